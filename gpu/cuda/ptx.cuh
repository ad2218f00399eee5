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

/* 16 bytes of global memory into shared memory, or zeros when !valid; both addresses aligned. */
LF_DEVICE void copy_async(void *to, const void *from, bool valid)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes)
                 : "memory");
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

/* 2^x, relative error 2^-22. */
LF_DEVICE float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#endif
