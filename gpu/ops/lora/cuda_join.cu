/* Adapters as additional columns and rows of a dense product (struct lora_join): writes scale B or
 * A beside the weights, and u or du beside the activations. All of it is small against the product:
 * u is T by some dozens of columns. */
#include "gpu/ops/lora/lora.cuh"

struct join_args {
    const struct lf_lora_site *sites;
    bf16 *out;
    int n_sites, ld, K, N; /* N: rows of the group */
    int site[LF_GROUP_MAX],
        row[LF_GROUP_MAX + 1]; /* rows [row[p], row[p + 1]) are projection p's */
    struct lora_join j;
};

/* Which adapter's rank a column is. False: nobody's. */
LF_DEVICE bool find_rank(struct lf_lora_site *site, int *p, int *r, const struct join_args &a,
                         int col)
{
    int at = col / a.j.rank_max;
    *r = col % a.j.rank_max;
    *p = at % a.j.n;
    if (at >= a.j.n_slots * a.j.n)
        return false;
    *site = a.sites[(size_t)a.j.slot[at / a.j.n] * a.n_sites + a.site[*p]];
    return *r < site->rank;
}

/* A thread makes eight columns of a row of the weights. */
static __global__ void __launch_bounds__(256)
    join_b_kernel(const __grid_constant__ struct join_args a)
{
    grid_wait();
    int runs = a.j.cols / 8, i = blockIdx.x * 256 + threadIdx.x, row = i / runs;
    if (row >= a.N)
        return;
    float v[8];
#pragma unroll
    for (int e = 0; e < 8; e++) {
        struct lf_lora_site site;
        int p, r;
        v[e] = 0.0f;
        if (find_rank(&site, &p, &r, a, i % runs * 8 + e) && row >= a.row[p] && row < a.row[p + 1])
            v[e] = site.scale *
                   to_f32(((const bf16 *)site.b)[(size_t)(row - a.row[p]) * site.rank + r]);
    }
    store8(a.out + (size_t)row * a.ld + i % runs * 8, v, 8, true);
}

/* A block makes 2048 columns of one rank's row. */
static __global__ void __launch_bounds__(256)
    join_a_kernel(const __grid_constant__ struct join_args a, bool vec)
{
    grid_wait();
    int k = (blockIdx.y * 256 + threadIdx.x) * 8;
    if (k >= a.K)
        return;
    struct lf_lora_site site;
    int p, r;
    uint4 v = make_uint4(0, 0, 0, 0);
    if (find_rank(&site, &p, &r, a, blockIdx.x))
        v = words8((const bf16 *)site.a + (size_t)r * a.K + k, a.K - k, whole_words(site.a, a.K));
    bf16 *to = a.out + (size_t)blockIdx.x * a.ld + k;
    if (vec) {
        *(uint4 *)to = v;
    } else {
        float f[8];
        floats8(f, v);
        store8(to, f, a.K - k, false);
    }
}

/* A thread clears eight columns of a row. */
static __global__ void __launch_bounds__(256) clear_kernel(bf16 *to, int ld, int runs, int64_t n)
{
    grid_wait();
    int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i < n)
        *(uint4 *)(to + i / runs * ld + i % runs * 8) = make_uint4(0, 0, 0, 0);
}

bool lf_cuda_lora_join(struct lora_join *j, const struct lf_ragged *b, int n, int room,
                       bool training)
{
    int rows = 0;
    *j = {};
    j->n = n, j->rank_max = b->rank_max;
    for (int i = 0; i < b->n_segs; i++) {
        const struct lf_lora_seg *g = &b->h_segs[i];
        int k = 0;
        if (g->start >= g->end || (training && !g->trains))
            continue;
        rows += g->end - g->start;
        while (k < j->n_slots && j->slot[k] != g->slot)
            k++;
        if (k == LORA_JOIN_SLOTS)
            return false;
        j->slot[k] = g->slot;
        j->n_slots = k < j->n_slots ? j->n_slots : k + 1;
    }
    int64_t used = (int64_t)j->n_slots * n * b->rank_max;
    if (used == 0 || used > room)
        return false;
    j->cols = lf_div_up(used, 8) * 8;
    j->bare = j->n_slots > 1 || rows < b->T || j->cols > used;
    return j->cols <= room;
}

static void clear(struct lf_stream *s, const struct lora_join *j, bf16 *to, int T, int ld)
{
    int runs = j->cols / 8;
    if (j->bare)
        lf_launch<clear_kernel>(s, dim3(lf_div_up((int64_t)T * runs, 256)), 256, 0, to, ld, runs,
                                (int64_t)T * runs);
}

void lf_cuda_lora_join_u(struct lf_stream *s, const struct lf_lora_args *a,
                         const struct lora_join *j)
{
    clear(s, j, (bf16 *)a->x + a->K, a->batch->T, a->ldx);
    lf_cuda_lora_shrink(s, a, j);
}

void lf_cuda_lora_join_du(struct lf_stream *s, const struct lf_lora_bwd_args *a,
                          const struct lora_join *j, int N)
{
    clear(s, j, (bf16 *)a->dy + N, a->batch->T, a->lddy);
    lf_cuda_lora_du(s, a, j, N);
}

/* What both products of weights have in common; the rows are a projection's after the other. */
template <typename A>
static struct join_args join_args_of(const A *a, const struct lora_join *j, bf16 *w, int ld)
{
    struct join_args g = {};
    g.sites = a->sites;
    g.out = w;
    g.n_sites = a->n_sites, g.ld = ld, g.K = a->K;
    g.j = *j;
    for (int p = 0; p < a->n; p++) {
        g.site[p] = a->site[p];
        g.row[p + 1] = g.N += a->N[p];
    }
    return g;
}

void lf_cuda_lora_join_b(struct lf_stream *s, const struct lf_lora_args *a,
                         const struct lora_join *j, bf16 *w, int ld)
{
    struct join_args g = join_args_of(a, j, w, ld);
    lf_launch<join_b_kernel>(s, dim3(lf_div_up((int64_t)g.N * (j->cols / 8), 256)), 256, 0, g);
}

void lf_cuda_lora_join_a(struct lf_stream *s, const struct lf_lora_bwd_args *a,
                         const struct lora_join *j, bf16 *w, int ld)
{
    lf_launch<join_a_kernel>(s, dim3(j->cols, lf_div_up(a->K, 2048)), 256, 0,
                             join_args_of(a, j, w, ld), lf_eights(w, ld, a->K));
}
