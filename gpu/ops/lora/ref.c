/* LoRA over segments of rows: each segment has its adapter, each adapter its rank. */
#include "gpu/backend.h"
#include "gpu/ops/lora/drop.h"

static const struct lf_lora_site *site_of(const struct lf_lora_site *sites, int n_sites,
                                          const struct lf_lora_seg *seg, int site)
{
    return &sites[(size_t)seg->slot * n_sites + site];
}

/* x[t, k] after dropout, as fp32: what the forward saw. */
static double dropped(const struct lf_ragged *b, const float *x, int t, int K, int k, int site)
{
    return lf_drop_factor(&b->seqs[b->seq[t]], b->pos[t], K, k, site) * x[k];
}

static void forward_row(const struct lf_lora_args *a, const struct lf_lora_site *site, int p, int t)
{
    const float *A = site->a, *B = site->b;
    const float *x = (const float *)a->x + (size_t)t * a->ldx;
    float *u = (float *)a->u + ((size_t)t * a->n + p) * a->batch->rank_max;
    float *y = (float *)a->y + (size_t)t * a->ldy + a->col[p];
    int R = site->rank;
    for (int r = 0; r < R; r++) {
        double sum = 0;
        for (int k = 0; k < a->K; k++)
            sum += dropped(a->batch, x, t, a->K, k, a->site[p]) * A[(size_t)r * a->K + k];
        u[r] = (float)sum;
    }
    for (int n = 0; n < a->N[p]; n++) {
        double sum = 0;
        for (int r = 0; r < R; r++)
            sum += (double)u[r] * B[(size_t)n * R + r];
        y[n] = (float)(y[n] + site->scale * sum);
    }
}

void lf_ref_lora(struct lf_stream *s, const struct lf_lora_args *a)
{
    (void)s;
    for (int g = 0; g < a->batch->n_segs; g++) {
        const struct lf_lora_seg *seg = &a->batch->segs[g];
        for (int p = 0; p < a->n; p++) {
            const struct lf_lora_site *site = site_of(a->sites, a->n_sites, seg, a->site[p]);
            for (int t = seg->start; t < seg->end; t++)
                forward_row(a, site, p, t);
        }
    }
}

static void du_row(const struct lf_lora_bwd_args *a, const struct lf_lora_site *site, int p, int t)
{
    const float *dy = (const float *)a->dy + (size_t)t * a->lddy + a->col[p];
    float *du = (float *)a->du + ((size_t)t * a->n + p) * a->batch->rank_max;
    const float *B = site->b;
    for (int r = 0; r < site->rank; r++) {
        double sum = 0;
        for (int n = 0; n < a->N[p]; n++)
            sum += (double)dy[n] * B[(size_t)n * site->rank + r];
        du[r] = (float)(site->scale * sum);
    }
}

static void add_da(const struct lf_lora_bwd_args *a, const struct lf_lora_site *site, int p,
                   const struct lf_lora_seg *seg)
{
    for (int r = 0; r < site->trained; r++)
        for (int k = 0; k < a->K; k++) {
            double sum = 0;
            for (int t = seg->start; t < seg->end; t++) {
                const float *x = (const float *)a->x + (size_t)t * a->ldx;
                size_t row = ((size_t)t * a->n + p) * a->batch->rank_max;
                sum +=
                    ((const float *)a->du)[row + r] * dropped(a->batch, x, t, a->K, k, a->site[p]);
            }
            float *da = &site->da[(size_t)r * a->K + k];
            *da = (float)(*da + sum);
        }
}

static void add_db(const struct lf_lora_bwd_args *a, const struct lf_lora_site *site, int p,
                   const struct lf_lora_seg *seg)
{
    for (int n = 0; n < a->N[p]; n++)
        for (int r = 0; r < site->trained; r++) {
            double sum = 0;
            for (int t = seg->start; t < seg->end; t++) {
                const float *dy = (const float *)a->dy + (size_t)t * a->lddy + a->col[p];
                size_t row = ((size_t)t * a->n + p) * a->batch->rank_max;
                sum += (double)dy[n] * ((const float *)a->u)[row + r];
            }
            float *db = &site->db[(size_t)n * site->rank + r];
            *db = (float)(*db + site->scale * sum);
        }
}

static void add_dx(const struct lf_lora_bwd_args *a, const struct lf_lora_seg *seg, int t)
{
    const struct lf_ragged *b = a->batch;
    float *dx = (float *)a->dx + (size_t)t * a->lddx;
    for (int k = 0; k < a->K; k++) {
        double total = dx[k];
        for (int p = 0; p < a->n; p++) {
            const struct lf_lora_site *site = site_of(a->sites, a->n_sites, seg, a->site[p]);
            const float *A = site->a;
            const float *du = (const float *)a->du + ((size_t)t * a->n + p) * b->rank_max;
            double sum = 0;
            for (int r = 0; r < site->rank; r++)
                sum += (double)du[r] * A[(size_t)r * a->K + k];
            total += lf_drop_factor(&b->seqs[b->seq[t]], b->pos[t], a->K, k, a->site[p]) * sum;
        }
        dx[k] = (float)total;
    }
}

void lf_ref_lora_bwd(struct lf_stream *s, const struct lf_lora_bwd_args *a)
{
    for (int g = 0; g < a->batch->n_segs; g++) {
        const struct lf_lora_seg *seg = &a->batch->segs[g];
        if (!seg->trains)
            continue;
        for (int p = 0; p < a->n; p++)
            for (int t = seg->start; t < seg->end; t++)
                du_row(a, site_of(a->sites, a->n_sites, seg, a->site[p]), p, t);
        for (int t = seg->start; a->dx && t < seg->end; t++)
            add_dx(a, seg, t);
    }
    if (a->x)
        lf_ref_lora_grads(s, a);
}

void lf_ref_lora_grads(struct lf_stream *s, const struct lf_lora_bwd_args *a)
{
    (void)s;
    for (int g = 0; g < a->batch->n_segs; g++) {
        const struct lf_lora_seg *seg = &a->batch->segs[g];
        for (int p = 0; p < a->n && seg->trains; p++) {
            const struct lf_lora_site *site = site_of(a->sites, a->n_sites, seg, a->site[p]);
            add_da(a, site, p, seg);
            add_db(a, site, p, seg);
        }
    }
}
