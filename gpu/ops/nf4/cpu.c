/* Weights to NF4 on the cpu. */
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/run.h"
#include "gpu/nf4.h"

#include <math.h>

/* lf_nf4_quantize_block for a whole block, value beside value. */
static float whole_block(uint8_t *codes, const float *x)
{
    float absmax = 0;
#pragma omp simd reduction(max : absmax)
    for (int i = 0; i < LF_NF4_BLOCK; i++)
        absmax = fabsf(x[i]) > absmax ? fabsf(x[i]) : absmax;
    float inverse = 1.0f / absmax;
    if (!isfinite(inverse)) {
        memset(codes, LF_NF4_ZERO << 4 | LF_NF4_ZERO, LF_NF4_BLOCK / 2);
        return absmax;
    }
    int32_t c[LF_NF4_BLOCK];
#pragma omp simd
    for (int i = 0; i < LF_NF4_BLOCK; i++) {
        float v = x[i] * inverse;
        int32_t n = 0;
        for (int t = 0; t < 15; t++)
            n += v > lf_nf4_thresholds[t];
        c[i] = n;
    }
    for (int i = 0; i < LF_NF4_BLOCK; i += 2)
        codes[i / 2] = (uint8_t)(c[i] << 4 | c[i + 1]);
    return absmax;
}

static void blocks(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_nf4_args *a = args;
    size_t element = lf_dtype_bytes(a->dtype);
    (void)scratch;
    for (size_t b = begin; b < end; b++) {
        size_t at = b * LF_NF4_BLOCK;
        size_t n = a->n - at < LF_NF4_BLOCK ? a->n - at : LF_NF4_BLOCK;
        float x[LF_NF4_BLOCK];
        lf_to_f32(x, (const char *)a->x + at * element, a->dtype, n);
        a->absmax[b] = n == LF_NF4_BLOCK ? whole_block(a->codes + at / 2, x)
                                         : lf_nf4_quantize_block(a->codes + at / 2, x, n);
    }
}

void LF_ISA(nf4)(struct lf_stream *s, const struct lf_nf4_args *a)
{
    lf_cpu_run(s, (a->n + LF_NF4_BLOCK - 1) / LF_NF4_BLOCK, 256, blocks, a);
}
