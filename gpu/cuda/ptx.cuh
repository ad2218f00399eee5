/* The instructions that CUDA C++ has no name for, one function each. Private to gpu/.
 *
 * Fragments of mma m16n8k16, for lane = 4 g + c of a warp (PTX ISA, "Matrix Fragments"):
 *   A (16 x 16)  a0: row g, k 2c..2c+1    a1: row g+8, same k    a2: row g, k 2c+8..  a3: row g+8
 *   B (16 x 8)   b0: col g, k 2c..2c+1    b1: col g, k 2c+8..2c+9
 *   D (16 x 8)   d0 d1: row g, cols 2c, 2c+1                     d2 d3: row g+8
 */
#ifndef LF_GPU_CUDA_PTX_CUH
#define LF_GPU_CUDA_PTX_CUH

#include <cuda_bf16.h>
#include <stdint.h>

#define LF_DEVICE static __device__ __forceinline__

/* The block's dynamic shared memory, 128-byte aligned. */
LF_DEVICE unsigned char *dynamic_smem()
{
    extern __shared__ __align__(128) unsigned char bytes[];
    return bytes;
}

/* Lets the next kernel of the stream start early, then waits until all before it is done and its
 * writes are seen. A kernel that starts early still waits here, so the order of a stream holds. */
LF_DEVICE void grid_wait()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif
}

/* Adds `by` to a counter in global memory and returns what was there. What the thread has seen
 * written before (a barrier makes that the whole block's) is seen by those who find the sum; what
 * those before had seen is seen here. Cheaper than __threadfence, which orders all threads' writes
 * alike for everybody. */
LF_DEVICE int add_in_order(int *counter, int by)
{
    int v;
    asm volatile("atom.add.acq_rel.gpu.global.s32 %0, [%1], %2;"
                 : "=r"(v)
                 : "l"(counter), "r"(by)
                 : "memory");
    return v;
}

/* d += a b. */
LF_DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Four 8 x 8 matrices of 16-bit values; lane i gives the address of row i % 8 of matrix i / 8. */
LF_DEVICE void ldmatrix(uint32_t (&r)[4], const void *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

/* The same, each matrix transposed. */
LF_DEVICE void ldmatrix_trans(uint32_t (&r)[4], const void *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

/* Where p lies in shared memory. */
LF_DEVICE uint32_t shared_at(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* 16 bytes of global memory into shared memory, or zeros when !valid; both addresses aligned. */
LF_DEVICE void copy_async(uint32_t to, const void *from, bool valid)
{
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
                 : "memory");
}

LF_DEVICE void copy_async(void *to, const void *from, bool valid)
{
    copy_async(shared_at(to), from, valid);
}

LF_DEVICE void copy_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Until at most `pending` of this thread's groups are under way. */
template <int pending> LF_DEVICE void copy_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

/* 16 bytes that are read once: past L1. */
LF_DEVICE uint4 load_once(const uint4 *p)
{
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

/* Asks for memory to be in L2 soon; bytes a multiple of 16. One thread does it. */
LF_DEVICE void prefetch_l2(const void *p, uint32_t bytes)
{
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(p), "r"(bytes) : "memory");
#else
    (void)p;
    (void)bytes;
#endif
}

/* The same for the line at p; each lane its own. */
LF_DEVICE void prefetch_line(const void *p)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
}

/* ---- Warpgroup products (sm_90a) ---------------------------------------------------------------
 *
 * B is a tile of N rows (columns of the product) by 64 k in shared memory, K-major with the
 * 128-byte swizzle: row n is at 128 n, and its 16-byte chunk i at (i ^ n % 8) * 16;
 * WGMMA_ALIGN-aligned. A (64 x 16) and D (64 x N) lie in registers: warp w of the warpgroup has
 * rows 16 w .. 16 w + 16, as mma's A and D. */

#define WGMMA_ALIGN 1024

/* The first aligned byte from p on, in shared memory. */
LF_DEVICE unsigned char *wgmma_aligned(unsigned char *p)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(p);
    return p + (WGMMA_ALIGN - at % WGMMA_ALIGN) % WGMMA_ALIGN;
}

/* Shared memory written by ordinary stores is read by wgmma next: each writer, before the barrier.
 */
LF_DEVICE void fence_for_wgmma()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/* Tile b as wgmma names it. Sixteen k further on, or a multiple of WGMMA_ALIGN bytes further on, is
 * that many bytes / 16 (32, and the multiple) more. */
LF_DEVICE uint64_t wgmma_tile(const void *b)
{
    uint64_t at = (uint32_t)__cvta_generic_to_shared(b);
    return (at >> 4 & 0x3fff) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

/* Other targets compile what uses these, but must not run it (lf_cuda_q4_wgmma's caller checks). */
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define LF_SM90A(...) asm volatile(__VA_ARGS__)
#else
#define LF_SM90A(...) __trap()
#endif

LF_DEVICE void wgmma_begin()
{
    LF_SM90A("wgmma.fence.sync.aligned;" ::: "memory");
}

/* Closes what was put under way since wgmma_begin: until a wait its A and D may not be touched,
 * and its tiles may not be written. */
LF_DEVICE void wgmma_end()
{
    LF_SM90A("wgmma.commit_group.sync.aligned;" ::: "memory");
}

#undef LF_SM90A

/* a b + c of two bf16 each, rounded once. */
LF_DEVICE uint32_t fma2(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t d;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

/* 2^x, relative error 2^-22. */
LF_DEVICE float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#endif
