/* Names and vectors of the instruction set that a cpu source is compiled for. Private to gpu/.
 *
 * gpu/cpu/ and the ops' cpu.c are compiled once for each set (CMakeLists.txt): `base`, which every
 * machine of the architecture runs, and on x86-64 `avx2` (with FMA), `avx512` (F, BW, DQ, VL; with
 * what avx2 has) and `vnni` (avx512 and its products of integers). LF_CPU_ISA is the set's name; it
 * becomes a part of every symbol, and the backend picks a table when it opens. `amx` has vnni's
 * table: functions with a target of their own use tiles where struct lf_cpu says that they are
 * there.
 */
#ifndef LF_GPU_CPU_ISA_H
#define LF_GPU_CPU_ISA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __AVX2__
#include <immintrin.h>
#endif

#define LF_ISA_JOIN2(isa, name) lf_cpu_##isa##_##name
#define LF_ISA_JOIN(isa, name) LF_ISA_JOIN2(isa, name)
#define LF_ISA(name) LF_ISA_JOIN(LF_CPU_ISA, name)
/* cpu_base, ... as LF_DECLARE_OPS has them. */
#define LF_ISA_SET2(isa) cpu_##isa
#define LF_ISA_SET1(isa) LF_ISA_SET2(isa)
#define LF_ISA_SET LF_ISA_SET1(LF_CPU_ISA)

#define LF_INLINE static inline __attribute__((always_inline))

/* Eight floats: one register of AVX2, two of SSE and NEON. */
typedef float lf_v8 __attribute__((vector_size(32)));

LF_INLINE lf_v8 lf_v8_load(const float *p)
{
    lf_v8 v;
    memcpy(&v, p, sizeof v);
    return v;
}

LF_INLINE void lf_v8_store(float *p, lf_v8 v)
{
    memcpy(p, &v, sizeof v);
}

/* a * b + c, rounded once where the machine has that: in so many words, as a compiler that may fuse
 * them does so here and not there. */
LF_INLINE float lf_multiply_add(float a, float b, float c)
{
#if defined __FMA__ || defined __ARM_FEATURE_FMA
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

LF_INLINE lf_v8 lf_v8_multiply_add(lf_v8 a, float b, lf_v8 c)
{
#ifdef __FMA__
    return (lf_v8)_mm256_fmadd_ps((__m256)a, _mm256_set1_ps(b), (__m256)c);
#else
    return a * b + c;
#endif
}

/* lf_v8_sum: ((v[0] + v[2]) + (v[1] + v[3])) + ((v[4] + v[6]) + (v[5] + v[7])), the order of every
 * product of rows by rows (gpu/cpu/gemm.h). */
#ifdef __AVX2__

/* The first n < 8 elements; the others are 0. */
LF_INLINE lf_v8 lf_v8_load_part(const float *p, size_t n)
{
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (lf_v8)_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane));
}

LF_INLINE float lf_v8_sum(lf_v8 v)
{
    __m256 two = _mm256_add_ps((__m256)v, _mm256_permute_ps((__m256)v, 0x4e));
    __m256 one = _mm256_add_ps(two, _mm256_movehdup_ps(two));
    return _mm_cvtss_f32(_mm_add_ss(_mm256_castps256_ps128(one), _mm256_extractf128_ps(one, 1)));
}

#else

LF_INLINE lf_v8 lf_v8_load_part(const float *p, size_t n)
{
    lf_v8 v = {0};
    memcpy(&v, p, n * sizeof *p);
    return v;
}

LF_INLINE float lf_v8_sum(lf_v8 v)
{
    return ((v[0] + v[2]) + (v[1] + v[3])) + ((v[4] + v[6]) + (v[5] + v[7]));
}

#endif

#endif
