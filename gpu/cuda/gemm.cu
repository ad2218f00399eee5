/* Dense products on cuBLASLt. A plan (layouts and algorithm) is worked out once for each shape and
 * kept in a table of the stream, so that a repeated shape costs one call. */
#include "core/err.h"
#include "gpu/cuda/cuda.cuh"

#include <new>

#define PLANS 512 /* slots of the table; a clash replaces the older plan */

struct gemm_key {
    int T, N, K, ldy, ldx, ldw;
    int flags; /* trans, accumulate, y_f32, alignment */
};

struct gemm_plan {
    struct gemm_key key;
    bool made;
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t w, x, y;
    cublasLtMatmulAlgo_t algo;
};

struct lf_gemm_plans {
    struct gemm_plan plan[PLANS];
};

static bool key_equal(const struct gemm_key *a, const struct gemm_key *b)
{
    return a->T == b->T && a->N == b->N && a->K == b->K && a->ldy == b->ldy && a->ldx == b->ldx &&
           a->ldw == b->ldw && a->flags == b->flags;
}

static int key_slot(const struct gemm_key *k)
{
    uint64_t h = 0x9E3779B97F4A7C15ull;
    const int v[7] = {k->T, k->N, k->K, k->ldy, k->ldx, k->ldw, k->flags};
    for (int i = 0; i < 7; i++)
        h = (h ^ (uint32_t)v[i]) * 0x100000001B3ull;
    return (int)((h >> 32) % PLANS);
}

/* The largest power of two up to 16 that divides an address. */
static uint32_t alignment_of(const void *p)
{
    uintptr_t at = (uintptr_t)p;
    return at % 16 == 0 ? 16 : at % 8 == 0 ? 8 : at % 4 == 0 ? 4 : 2;
}

/* Of what is added to y. */
static const void *plus_of(const struct lf_gemm *g)
{
    return g->accumulate && g->plus ? g->plus : g->y;
}

static void plan_drop(struct gemm_plan *p)
{
    if (p->y)
        cublasLtMatrixLayoutDestroy(p->y);
    if (p->x)
        cublasLtMatrixLayoutDestroy(p->x);
    if (p->w)
        cublasLtMatrixLayoutDestroy(p->w);
    if (p->op)
        cublasLtMatmulDescDestroy(p->op);
    *p = {};
}

void lf_cuda_gemm_plans_free(struct lf_gemm_plans *plans)
{
    for (int i = 0; plans && i < PLANS; i++)
        plan_drop(&plans->plan[i]);
    delete plans;
}

/* cuBLASLt is column-major: it sees y^T (N, T) = op(w) (N, K) times x^T (K, T). */
static bool plan_describe(struct gemm_plan *p, const struct lf_gemm *g)
{
    cublasOperation_t turn = g->trans ? CUBLAS_OP_N : CUBLAS_OP_T;
    cudaDataType_t y_type = g->y_f32 ? CUDA_R_32F : CUDA_R_16BF;
    bool ok = cublasLtMatmulDescCreate(&p->op, CUBLAS_COMPUTE_32F, CUDA_R_32F) == 0;
    ok = ok && cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_TRANSA, &turn,
                                              sizeof turn) == 0;
    ok = ok && cublasLtMatrixLayoutCreate(&p->w, CUDA_R_16BF, g->trans ? g->N : g->K,
                                          g->trans ? g->K : g->N, g->ldw) == 0;
    ok = ok && cublasLtMatrixLayoutCreate(&p->x, CUDA_R_16BF, g->K, g->T, g->ldx) == 0;
    return ok && cublasLtMatrixLayoutCreate(&p->y, y_type, g->N, g->T, g->ldy) == 0;
}

static bool plan_choose(struct gemm_plan *p, struct lf_cuda_stream *cs, const struct lf_gemm *g)
{
    cublasLtMatmulPreference_t wish = NULL;
    cublasLtMatmulHeuristicResult_t found;
    int n = 0;
    size_t space = LF_CUDA_WORKSPACE;
    uint32_t w_align = alignment_of(g->w), x_align = alignment_of(g->x);
    uint32_t y_align = alignment_of(g->y), plus_align = alignment_of(plus_of(g));
    bool ok = cublasLtMatmulPreferenceCreate(&wish) == 0;
    ok = ok && cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                    &space, sizeof space) == 0;
    ok = ok && cublasLtMatmulPreferenceSetAttribute(
                   wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &w_align, 4) == 0;
    ok = ok && cublasLtMatmulPreferenceSetAttribute(
                   wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &x_align, 4) == 0;
    ok = ok && cublasLtMatmulPreferenceSetAttribute(
                   wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &plus_align, 4) == 0;
    ok = ok && cublasLtMatmulPreferenceSetAttribute(
                   wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &y_align, 4) == 0;
    ok = ok && cublasLtMatmulAlgoGetHeuristic(cs->dev->lt, p->op, p->w, p->x, p->y, p->y, wish, 1,
                                              &found, &n) == 0;
    if (wish)
        cublasLtMatmulPreferenceDestroy(wish);
    if (!ok || n == 0)
        return false;
    p->algo = found.algo;
    return true;
}

static struct gemm_plan *plan_for(struct lf_cuda_stream *cs, const struct lf_gemm *g)
{
    int align = (int)(alignment_of(g->w) | alignment_of(g->x) << 5 | alignment_of(g->y) << 10 |
                      alignment_of(plus_of(g)) << 15);
    struct gemm_key key = {g->T,
                           g->N,
                           g->K,
                           g->ldy,
                           g->ldx,
                           g->ldw,
                           align << 3 | g->trans << 2 | g->accumulate << 1 | (int)g->y_f32};
    if (!cs->plans)
        cs->plans = new (std::nothrow) lf_gemm_plans();
    if (!cs->plans)
        return NULL;
    struct gemm_plan *p = &cs->plans->plan[key_slot(&key)];
    if (p->made && key_equal(&p->key, &key))
        return p;
    plan_drop(p);
    if (!plan_describe(p, g) || !plan_choose(p, cs, g)) {
        plan_drop(p);
        return NULL;
    }
    p->key = key;
    p->made = true;
    return p;
}

void lf_cuda_gemm(struct lf_stream *s, const struct lf_gemm *g)
{
    struct lf_cuda_stream *cs = lf_cuda_of(s);
    if (!lf_cuda_enter(cs->dev) || !g->T || !g->N)
        return;
    const struct gemm_plan *p = plan_for(cs, g);
    float alpha = 1.0f, beta = g->accumulate ? 1.0f : 0.0f;
    if (!p || cublasLtMatmul(cs->dev->lt, p->op, &alpha, g->w, p->w, g->x, p->x, &beta, plus_of(g),
                             p->y, g->y, p->y, &p->algo, cs->workspace, LF_CUDA_WORKSPACE,
                             cs->stream) != CUBLAS_STATUS_SUCCESS)
        lf_cuda_note(cs->dev, cudaErrorUnknown);
}
