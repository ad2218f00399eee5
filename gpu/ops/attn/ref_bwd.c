/* Attention backward, for sequences that attend to their own rows (training).
 *
 * With s = cap(scale q.k), p = exp(s - lse), dp = dO.v, delta = dO.O:
 *   ds = p (dp - delta) (1 - (s/softcap)^2),  dq = scale ds k,  dk = scale ds q,  dv = p dO.
 */
#include "gpu/backend.h"

#include <math.h>

struct pair {
    double p, ds;
};

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static const float *row(const void *base, int t, int ld, int h, int D)
{
    return (const float *)base + (size_t)t * ld + (size_t)h * D;
}

/* Query row tq and key row tk of head h. */
static struct pair pair_at(const struct lf_attn_bwd_args *a, int tq, int tk, int h)
{
    int hk = h / (a->H / a->Hkv);
    const float *k = row(a->k, tk, a->ldkv, hk, a->D), *v = row(a->v, tk, a->ldkv, hk, a->D);
    const float *d_o = row(a->d_o, tq, a->ldo, h, a->D);
    double s = a->scale * dot(row(a->q, tq, a->ldq, h, a->D), k, a->D), slope = 1;
    if (a->softcap > 0) {
        double th = tanh(s / a->softcap);
        s = a->softcap * th;
        slope = 1 - th * th;
    }
    size_t i = (size_t)tq * a->H + h;
    struct pair r;
    r.p = exp(s - a->lse[i]);
    r.ds = r.p * (dot(d_o, v, a->D) - a->delta[i]) * slope;
    return r;
}

static bool sees(int i, int j, int window)
{
    return j <= i && (window <= 0 || j > i - window);
}

static void query_gradient(const struct lf_attn_bwd_args *a, const struct lf_seq *seq, int i, int h)
{
    double dq[LF_HEAD_DIM_MAX] = {0};
    int hk = h / (a->H / a->Hkv), tq = seq->start + i;
    for (int j = 0; j <= i; j++) {
        if (!sees(i, j, a->window))
            continue;
        struct pair r = pair_at(a, tq, seq->start + j, h);
        const float *k = row(a->k, seq->start + j, a->ldkv, hk, a->D);
        for (int d = 0; d < a->D; d++)
            dq[d] += a->scale * r.ds * k[d];
    }
    float *out = (float *)a->dq + (size_t)tq * a->lddq + (size_t)h * a->D;
    for (int d = 0; d < a->D; d++)
        out[d] = (float)dq[d];
}

static void key_gradient(const struct lf_attn_bwd_args *a, const struct lf_seq *seq, int j, int hk)
{
    double dk[LF_HEAD_DIM_MAX] = {0}, dv[LF_HEAD_DIM_MAX] = {0};
    int group = a->H / a->Hkv, tk = seq->start + j;
    for (int h = hk * group; h < (hk + 1) * group; h++)
        for (int i = j; i < seq->n; i++) {
            if (!sees(i, j, a->window))
                continue;
            struct pair r = pair_at(a, seq->start + i, tk, h);
            const float *q = row(a->q, seq->start + i, a->ldq, h, a->D);
            const float *d_o = row(a->d_o, seq->start + i, a->ldo, h, a->D);
            for (int d = 0; d < a->D; d++) {
                dk[d] += a->scale * r.ds * q[d];
                dv[d] += r.p * d_o[d];
            }
        }
    size_t at = (size_t)tk * a->lddkv + (size_t)hk * a->D;
    for (int d = 0; d < a->D; d++) {
        ((float *)a->dk)[at + d] = (float)dk[d];
        ((float *)a->dv)[at + d] = (float)dv[d];
    }
}

void lf_ref_attn_bwd(struct lf_stream *s, const struct lf_attn_bwd_args *a)
{
    (void)s;
    for (int n = a->batch->n_cached; n < a->batch->S; n++) {
        const struct lf_seq *seq = &a->batch->seqs[n];
        for (int t = seq->start; t < seq->start + seq->n; t++)
            for (int h = 0; h < a->H; h++)
                a->delta[(size_t)t * a->H + h] = (float)dot(row(a->d_o, t, a->ldo, h, a->D),
                                                            row(a->o, t, a->ldo, h, a->D), a->D);
        for (int i = 0; i < seq->n; i++) {
            for (int h = 0; h < a->H; h++)
                query_gradient(a, seq, i, h);
            for (int hk = 0; hk < a->Hkv; hk++)
                key_gradient(a, seq, i, hk);
        }
    }
}
