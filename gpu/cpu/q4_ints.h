/* Vectors of integers and of floats, of an instruction set's width, and how many of them the
 * products of integers keep in registers. `bits`, of an integer, is a constant wherever it is used.
 * Private to gpu/cpu/q4_fast.c. */
#ifndef LF_GPU_CPU_Q4_INTS_H
#define LF_GPU_CPU_Q4_INTS_H

#include "gpu/cpu/isa.h"

#ifdef __AVX2__

#ifdef __AVX512F__

#define LANES 16
#define FEW 5          /* tokens, at most, that are multiplied by rows as they are */
#define TILE 6         /* tokens of a panel's product whose sums are in registers */
#define AT_ONCE 1      /* registers of 16-bit numbers that a step leaves */
#define ROW_UNIT BLOCK /* columns: few tokens multiply multiples of it by rows as they are */
/* Rows that go together for few tokens. */
#define TOGETHER(T, bits) ((T) <= 2 && (T) * (bits) != 8 ? 4 : 2)
typedef __m512 vec;
typedef __m512i ivec;
#define FLOATS(i) _mm512_cvtepi32_ps((ivec)(i))
#define FMADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define MUL(a, b) _mm512_mul_ps(a, b)
#define SET1(f) _mm512_set1_ps(f)
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define PAIR(p) _mm512_set1_epi32(p)
#define INTS(p) _mm512_loadu_si512(p)
#define HALF_INTS(p) _mm512_maskz_loadu_epi32(0xff, p) /* the rest is 0 */
#define ADD_INTS(a, b) _mm512_add_epi32(a, b)
#define UNPACK_INTS(half, size, a, b) _mm512_unpack##half##_epi##size(a, b)
#define BYTES_OF(table, codes) _mm512_shuffle_epi8(table, codes)
#define NIBBLES(codes) _mm512_and_si512(codes, _mm512_set1_epi8(15))
#define SHIFT(codes, n) _mm512_srli_epi16(codes, n)
#ifdef __AVX512VNNI__
#define DOT_16(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#define DOT_8(sum, a, b) _mm512_dpbusd_epi32(sum, a, b)
#else
#define DOT_16(sum, a, b) _mm512_add_epi32(sum, _mm512_madd_epi16(a, b))
#define DOT_8(sum, a, b) DOT_16(sum, _mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1))
#endif

#else

#define LANES 8
#define FEW 4
#define TILE 4
#define AT_ONCE 2
#define ROW_UNIT RUN /* what is left is faster in panels: 384 columns by an eighth */
#define TOGETHER(T, bits) ((T) <= 1 ? 4 : (bits) == 8 ? ((T) == 2 ? 4 : 2) : (T) == 2 ? 2 : 1)
typedef __m256 vec;
typedef __m256i ivec;
#define FLOATS(i) _mm256_cvtepi32_ps((ivec)(i))
#define FMADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define MUL(a, b) _mm256_mul_ps(a, b)
#define SET1(f) _mm256_set1_ps(f)
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define PAIR(p) _mm256_set1_epi32(p)
#define INTS(p) _mm256_loadu_si256((const __m256i *)(p))
#define HALF_INTS(p) INTS(p) /* a group is one block */
#define ADD_INTS(a, b) _mm256_add_epi32(a, b)
#define UNPACK_INTS(half, size, a, b) _mm256_unpack##half##_epi##size(a, b)
#define BYTES_OF(table, codes) _mm256_shuffle_epi8(table, codes)
#define NIBBLES(codes) _mm256_and_si256(codes, _mm256_set1_epi8(15))
#define SHIFT(codes, n) _mm256_srli_epi16(codes, n)
#define DOT_16(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#ifdef __AVXVNNI__
#define DOT_8(sum, a, b) _mm256_dpbusd_avx_epi32(sum, a, b)
#else
#define DOT_8(sum, a, b) DOT_16(sum, _mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1))
#endif

#endif

/* Where that is the faster way. */
#define FEW_OF(bits) ((bits) == 8 ? 3 : FEW)

#define DOT(bits, sum, a, b) ((bits) == 8 ? DOT_8(sum, a, b) : DOT_16(sum, a, b))

/* Sums that a loop carries: of the type that their addition has, as gcc keeps a value that is used
 * as two types in two registers. Where nothing is carried it spills less with ivec. */
typedef int32_t isum __attribute__((vector_size(4 * LANES)));

#endif

#endif
