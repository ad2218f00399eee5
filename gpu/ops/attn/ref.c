/* Causal attention over a ragged batch, keys and values from pages or from the batch itself. */
#include "gpu/backend.h"
#include "gpu/ops/attn/pages.h"

#include <math.h>

/* One query row: query i of a sequence, head h; it sees keys [lo, hi). */
struct query {
    const struct lf_seq *seq;
    int t, i, h, lo, hi;
};

static struct query query_at(const struct lf_seq *seq, int i, int h, int window)
{
    int at = (seq->page_off >= 0 ? seq->past : 0) + i; /* its own key's index */
    int lo = window > 0 && at - window + 1 > 0 ? at - window + 1 : 0;
    return (struct query){seq, seq->start + i, i, h, lo, at + 1};
}

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static double cap(double x, double softcap)
{
    return softcap > 0 ? softcap * tanh(x / softcap) : x;
}

/* Key (or value) row j of the query's sequence, for the kv head its head reads. */
static const float *kv_row(const struct lf_attn_args *a, const struct query *q, int j,
                           const void *rows, const void *pages)
{
    int hk = q->h / (a->H / a->Hkv);
    if (q->seq->page_off >= 0)
        return (const float *)pages + lf_page_row(a->batch, q->seq, j, a->Hkv, hk) * a->D;
    return (const float *)rows + (size_t)(q->seq->start + j) * a->ldkv + (size_t)hk * a->D;
}

static double score(const struct lf_attn_args *a, const struct query *q, int j)
{
    const float *qr = (const float *)a->q + (size_t)q->t * a->ldq + (size_t)q->h * a->D;
    return cap(a->scale * dot(qr, kv_row(a, q, j, a->k, a->k_pages), a->D), a->softcap);
}

static void attend(const struct lf_attn_args *a, const struct query *q)
{
    double max = -INFINITY, total = 0, o[LF_HEAD_DIM_MAX] = {0};
    for (int j = q->lo; j < q->hi; j++)
        max = fmax(max, score(a, q, j));
    for (int j = q->lo; j < q->hi; j++) {
        double p = exp(score(a, q, j) - max);
        const float *v = kv_row(a, q, j, a->v, a->v_pages);
        total += p;
        for (int d = 0; d < a->D; d++)
            o[d] += p * v[d];
    }
    float *out = (float *)a->o + (size_t)q->t * a->ldo + (size_t)q->h * a->D;
    for (int d = 0; d < a->D; d++)
        out[d] = (float)(o[d] / total);
    if (a->lse)
        a->lse[(size_t)q->t * a->H + q->h] = (float)(max + log(total));
}

void lf_ref_attn(struct lf_stream *s, const struct lf_attn_args *a)
{
    (void)s;
    for (int i = 0; i < a->batch->S; i++) {
        const struct lf_seq *seq = &a->batch->seqs[i];
        for (int j = 0; j < seq->n; j++)
            for (int h = 0; h < a->H; h++) {
                struct query q = query_at(seq, j, h, a->window);
                attend(a, &q);
            }
    }
}
