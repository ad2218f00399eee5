/* Rotary position embedding on CUDA, alone or with the cache's writes. A thread rotates up to eight
 * pairs of one head; heads of one token are in one block, so cos and sin come from L1 after the
 * first. */
#include "gpu/ops/attn/pages.cuh"
#include "gpu/ops/rope/turn.cuh"

/* Pairs `at` .. at + 8 of head h of token t. On leaving u and v are the rotated ones. */
LF_DEVICE void rotate(float (&u)[8], float (&v)[8], const struct lf_rope_args &a, int t, int h,
                      int at, int half, bool vec)
{
    int n = half - at;
    size_t table = (size_t)a.pos[t] * half + at;
    bf16 *x1 = (bf16 *)a.x + (size_t)t * a.ldx + (size_t)h * a.D + at, *x2 = x1 + half;
    load8(u, x1, n, vec);
    load8(v, x2, n, vec);
    turn8(u, v, a.cos_ + table, a.sin_ + table, n, vec, a.inverse);
    store8(x1, u, n, vec);
    store8(x2, v, n, vec);
}

static __global__ void __launch_bounds__(256) rope_kernel(struct lf_rope_args a, int half, bool vec)
{
    grid_wait();
    int runs = (half + 7) / 8;
    for (int i = blockIdx.y * 256 + threadIdx.x; i < a.H * runs; i += gridDim.y * 256) {
        float u[8], v[8];
        rotate(u, v, a, blockIdx.x, i / runs, i % runs * 8, half, vec);
    }
}

/* Whole heads in whole words, every token cached (or padding). Keys go into their page as they are
 * turned; after the heads come the values, in words of eight. */
static __global__ void __launch_bounds__(256)
    rope_kv_kernel(struct lf_rope_args a, struct lf_kv_write_args w, struct kv_pages pages, int few)
{
    int t = blockIdx.x, half = a.D / 2, runs = half / 8, words = a.D / 8;
    const struct lf_seq seq = pages.seqs[pages.seq[t]];
    bool cached = seq.page_off >= 0;
    size_t page = 0; /* this token's row of head 0 */
    if (cached)
        page = page_row(pages.pages + seq.page_off, seq.past + t - seq.start, w.Hkv, 0);
    grid_wait();
    if (seq.n <= few)
        return;
    int i = blockIdx.y * 256 + threadIdx.x, rotations = a.H * runs;
    if (i < rotations) {
        float u[8], v[8];
        int h = i / runs, at = i % runs * 8, key = h - (a.H - w.Hkv);
        rotate(u, v, a, t, h, at, half, true);
        if (key >= 0 && cached) {
            bf16 *to = (bf16 *)w.k_pages + (page + key * LF_KV_PAGE_TOKENS) * a.D + at;
            store8(to, u, 8, true);
            store8(to + half, v, 8, true);
        }
    } else if (i < rotations + w.Hkv * words && cached) {
        int h = (i - rotations) / words, d = (i - rotations) % words * 8;
        const bf16 *from = (const bf16 *)w.v + (size_t)t * w.ldkv + h * a.D + d;
        *(uint4 *)((bf16 *)w.v_pages + (page + h * LF_KV_PAGE_TOKENS) * a.D + d) =
            *(const uint4 *)from;
    }
}

void lf_cuda_rope(struct lf_stream *s, const struct lf_rope_args *a)
{
    int half = a->rot / 2;
    bool vec = lf_eights(a->x, a->ldx, a->D) && half % 8 == 0 && lf_eights(a->cos_, 8, 8) &&
               lf_eights(a->sin_, 8, 8);
    /* Few tokens: more blocks, so that decoding does not wait for one of them. */
    int parts = a->T < 64 ? lf_div_up((int64_t)a->H * lf_div_up(half, 8), 256) : 1;
    lf_launch<rope_kernel>(s, dim3(a->T, parts), 256, 0, *a, half, vec);
}

void lf_cuda_rope_kv_write(struct lf_stream *s, const struct lf_rope_args *a,
                           const struct lf_kv_write_args *w, int few)
{
    bool whole = a->rot == a->D && a->D % 16 == 0 && lf_eights(a->x, a->ldx, a->D) &&
                 lf_eights(a->cos_, 8, 8) && lf_eights(a->sin_, 8, 8) &&
                 lf_eights(w->v, w->ldkv, a->D) && lf_eights(w->k_pages, 8, 8) &&
                 lf_eights(w->v_pages, 8, 8);
    if (!whole || w->batch->T_cached != a->T) {
        lf_assert(few == 0);
        lf_cuda_rope(s, a);
        lf_cuda_kv_write(s, w);
        return;
    }
    int items = a->H * (a->D / 16) + w->Hkv * (a->D / 8);
    lf_launch<rope_kv_kernel>(s, dim3(a->T, lf_div_up(items, 256)), 256, 0, *a, *w,
                              kv_pages_of(w->batch), few);
}
