/* u = x A^T for up to eight tokens, each perhaps with its own adapter: a block makes one rank of
 * one projection of a segment, so that one sequence has many multiprocessors too. The whole of that
 * row of A is under way in registers before the kernel may look at x. */
#include "gpu/ops/lora/lora.cuh"
#include "gpu/ops/norm/row.cuh"

#define THREADS 256
#define NORM_RUNS (LORA_NORM_MAX / (THREADS * 8))
#define RUNS (LORA_DECODE_WIDTH / (THREADS * 8))

struct dot_args {
    struct lf_lora_args a;
    struct lora_batch b;
    struct lf_norm_args norm;
};

/* What a block makes: rank r of projection p for the rows of a segment. */
struct decode_work {
    int start, end, p, r;
    const bf16 *A; /* NULL: nothing */
};

/* The batch and its adapters were there before any kernel of the run began, so they may be looked
 * up, and A read, before grid_wait. */
LF_DEVICE struct decode_work work_of(const struct dot_args &s, int block)
{
    int of_p = small_div(block, s.b.rank_max), segment = small_div(of_p, s.a.n);
    int p = of_p - segment * s.a.n, r = block - of_p * s.b.rank_max;
    const struct lf_lora_seg seg = s.b.segs[segment];
    const struct lf_lora_site *site = &s.a.sites[(size_t)seg.slot * s.a.n_sites + s.a.site[p]];
    bool there = seg.start < seg.end && r < site->rank;
    return {seg.start, seg.end, p, r, there ? (const bf16 *)site->a + (size_t)r * s.a.K : NULL};
}

/* This thread's k of run j. */
LF_DEVICE int k_of(int j)
{
    return (j * THREADS + threadIdx.x) * 8;
}

/* The dot product of A with a row of x; with a norm, that of its weights times x, and then by the
 * norm of x. */
template <int runs, bool normed>
LF_DEVICE float dot(const uint4 (&A)[runs], const struct dot_args &s, const bf16 *x)
{
    uint4 words[runs];
    float sum = 0.0f, squares = 0.0f;
#pragma unroll
    for (int j = 0; j < runs; j++)
        words[j] = *lora_words(x, k_of(j), s.a.K);
#pragma unroll
    for (int j = 0; j < runs; j++) {
        float a[8], v[8], w[8];
        floats8(a, A[j]);
        floats8(v, words[j]);
        if (normed)
            load8(w, s.norm.w + min(k_of(j), s.a.K - 8), 8, true);
#pragma unroll
        for (int e = 0; e < 8; e++) {
            squares += normed ? v[e] * v[e] : 0.0f;
            sum += v[e] * (normed ? a[e] * w[e] : a[e]);
        }
    }
    sum = block_sum<THREADS>(sum);
    if (normed)
        sum *= rsqrtf(block_sum<THREADS>(squares) / s.a.K + s.norm.eps);
    return sum;
}

LF_DEVICE void put(const struct dot_args &s, const struct decode_work &w, int t, float u)
{
    ((bf16 *)s.a.u)[((size_t)t * s.a.n + w.p) * s.b.rank_max + w.r] = __float2bfloat16_rn(u);
}

/* Blocks: with a norm, its rows, T of them; then (segment, p, r). */
template <int runs, bool normed>
static __global__ void __launch_bounds__(THREADS, runs > NORM_RUNS ? 2 : 4)
    decode_kernel(const __grid_constant__ struct dot_args s)
{
    const bf16 *x = (const bf16 *)(normed ? s.norm.x : s.a.x);
    int block = blockIdx.x, ld = normed ? s.norm.ldx : s.a.ldx;
    if (normed && block < s.norm.T) {
        struct share<THREADS, NORM_RUNS> w;
        load_row(w, s.norm.w, s.norm.C, true);
        grid_wait();
        norm_row(s.norm, block, w, true, true);
        return;
    }
    struct decode_work w = work_of(s, block - (normed ? s.norm.T : 0));
    bool vec = w.A && whole_words(w.A, s.a.K);
    uint4 A[runs];
#pragma unroll
    for (int j = 0; j < runs; j++)
        A[j] = load_once(lora_words(vec ? w.A : NULL, k_of(j), vec ? s.a.K : 0));
    grid_wait();
    if (!w.A)
        return;
    for (int t = w.start; vec && t < w.end; t++) {
        float u = dot<runs, normed>(A, s, x + (size_t)t * ld);
        if (threadIdx.x == 0)
            put(s, w, t, u);
    }
    for (int t = w.start + threadIdx.x / 32; !vec && t < w.end; t += THREADS / 32) {
        float u =
            lora_dot_apart(w.A, x + (size_t)t * ld, normed ? s.norm.w : NULL, s.a.K, s.norm.eps);
        if (threadIdx.x % 32 == 0)
            put(s, w, t, u);
    }
}

void lf_cuda_lora_decode_u(struct lf_stream *s, const struct lf_lora_args *a,
                           const struct lf_norm_args *norm)
{
    struct dot_args g = {*a, lora_batch_of(a->batch), {}};
    int blocks = g.b.n_segs * a->n * g.b.rank_max;
    if (norm) {
        g.norm = *norm;
        lf_launch<decode_kernel<NORM_RUNS, true>>(s, dim3(norm->T + blocks), THREADS, 0, g);
    } else if (a->K <= LORA_NORM_MAX) {
        lf_launch<decode_kernel<NORM_RUNS, false>>(s, dim3(blocks), THREADS, 0, g);
    } else {
        lf_launch<decode_kernel<RUNS, false>>(s, dim3(blocks), THREADS, 0, g);
    }
}
