/* Hopper's warpgroups beyond ptx.cuh: products over wide tiles with either operand in shared
 * memory, barriers that copies arrive at, and registers that pass from one warpgroup to another.
 * Private to gpu/. Other targets than sm_90a compile what uses these, but must not run it.
 *
 * A tile of R rows by 64 k, or several such panels one after another (R * 128 bytes each), lies in
 * shared memory as wgmma_tile (ptx.cuh) says: row r at 128 r, its 16-byte chunk i at
 * (i ^ r % 8) * 16, WGMMA_ALIGN-aligned. The same bytes serve two ways: a panel's columns are
 * contracted (x w^T), or its rows, and the columns of all panels are the product's.
 *
 * A place in it is named by its shared address / 16, in 32 bits: what names what a product reads is
 * worked out for each of them, and 64 bits cost as much time as a small product. Sixteen k further
 * on are 2 (columns) or 128 (rows), 64 rows further on 512, a panel R * 8. */
#ifndef LF_GPU_CUDA_WARPGROUP_CUH
#define LF_GPU_CUDA_WARPGROUP_CUH

#include "gpu/cuda/ptx.cuh"

#define WARPGROUP 128 /* threads */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define LF_SM90A(...) asm volatile(__VA_ARGS__)
#else
#define LF_SM90A(...) __trap()
#endif

/* ---- Registers and barriers ------------------------------------------------------------------ */

/* All of a warpgroup: from here on it has n registers a thread (a multiple of 8). */
template <int n> LF_DEVICE void registers_give()
{
    LF_SM90A("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(n));
}

template <int n> LF_DEVICE void registers_take()
{
    LF_SM90A("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(n));
}

/* A barrier in shared memory that `count` arrivals complete, again and again. One thread begins
 * it; a fence and a __syncthreads stand before its use. */
LF_DEVICE void barrier_begin(uint64_t *b, int count)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(b);
    LF_SM90A("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at), "r"(count) : "memory");
}

LF_DEVICE void barrier_arrive(uint64_t *b)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(b);
    LF_SM90A("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at) : "memory");
}

/* One more arrival, when all copy_async that the thread asked for before are done. */
LF_DEVICE void barrier_arrive_copied(uint64_t *b)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(b);
    LF_SM90A("cp.async.mbarrier.arrive.shared::cta.b64 [%0];" ::"r"(at) : "memory");
}

/* Arrives, and the barrier waits for so many bytes that copy_box brings. */
LF_DEVICE void barrier_expect(uint64_t *b, uint32_t bytes)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(b);
    LF_SM90A("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(bytes)
             : "memory");
}

/* The box of a tensor map (tensor_map.cuh) that begins at x, y, z, innermost first. */
LF_DEVICE void copy_box(void *to, const void *map, int x, int y, int z, uint64_t *b)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    uint32_t barrier = (uint32_t)__cvta_generic_to_shared(b);
    LF_SM90A("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
             "[%0], [%1, {%2, %3, %4}], [%5];" ::"r"(at),
             "l"(map), "r"(x), "r"(y), "r"(z), "r"(barrier)
             : "memory");
}

/* Until completion number `turn` (from 0); at most one may be missed. */
LF_DEVICE void barrier_wait(uint64_t *b, int turn)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(b);
    LF_SM90A("{\n.reg .pred p;\n"
             "AGAIN:\n"
             "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
             "@p bra DONE;\n"
             "bra AGAIN;\n"
             "DONE:\n}" ::"r"(at),
             "r"(turn & 1)
             : "memory");
}

/* Consecutive bytes, a multiple of 16, both addresses aligned. */
LF_DEVICE void copy_bulk(void *to, const void *from, uint32_t bytes, uint64_t *b)
{
    LF_SM90A("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, "
             "[%3];" ::"r"(shared_at(to)),
             "l"(from), "r"(bytes), "r"(shared_at(b))
             : "memory");
}

/* Barrier `id` (1 to 15) of so many threads of the block, whole warps: all wait for all. */
LF_DEVICE void threads_wait(int id, int threads)
{
    LF_SM90A("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* Arrives there without waiting. */
LF_DEVICE void threads_arrive(int id, int threads)
{
    LF_SM90A("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* Barrier `id` (1 to 15) of two warpgroups: one waits until the other has arrived. */
LF_DEVICE void pair_wait(int id)
{
    LF_SM90A("bar.sync %0, %1;" ::"r"(id), "n"(2 * WARPGROUP) : "memory");
}

LF_DEVICE void pair_arrive(int id)
{
    LF_SM90A("bar.arrive %0, %1;" ::"r"(id), "n"(2 * WARPGROUP) : "memory");
}

/* ---- Products -------------------------------------------------------------------------------- */

LF_DEVICE uint32_t tile_name(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p) >> 4;
}

/* As wgmma wants it: 128-byte swizzle, eight rows 1024 bytes apart; panels of `rows` rows. */
LF_DEVICE uint64_t wgmma_operand(uint32_t name, int rows)
{
    return (uint64_t)0x40000040 << 32 | (name + (uint32_t)(rows * 8 << 16));
}

/* Until at most `pending` groups are under way. What they made may be used after wgmma_made. */
template <int pending> LF_DEVICE void wgmma_wait_for()
{
    LF_SM90A("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

/* No use of d moves up over what stands before. */
template <int n> LF_DEVICE void wgmma_made(float (&d)[n])
{
#pragma unroll
    for (int i = 0; i < n; i++)
        asm volatile("" : "+f"(d[i])::"memory");
}

/* d (64 x N, in registers as mma's D) = a b, or += with `add`; sixteen k. b is
 * a tile's name, its columns contracted, and a (64 x 16) another, or four words as mma's A. _bt:
 * rows of b, of panels of `rows`, are contracted. */
#define LF_D8(i)                                                                                \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
        "+f"(d[i + 6]), "+f"(d[i + 7])
#define LF_D32(i) LF_D8(i), LF_D8(i + 8), LF_D8(i + 16), LF_D8(i + 24)
#define LF_R0_23                                             \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15," \
    "%16,%17,%18,%19,%20,%21,%22,%23"
#define LF_R0_31 LF_R0_23 ",%24,%25,%26,%27,%28,%29,%30,%31"
#define LF_R32_39 "%32,%33,%34,%35,%36,%37,%38,%39"
#define LF_R32_47 LF_R32_39 ",%40,%41,%42,%43,%44,%45,%46,%47"
#define LF_R48_55 "%48,%49,%50,%51,%52,%53,%54,%55"
#define LF_R32_63 LF_R32_47 "," LF_R48_55 ",%56,%57,%58,%59,%60,%61,%62,%63"
#define LF_R64_95                                                      \
    "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79," \
    "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define LF_R96_127                                                                 \
    "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111," \
    "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"

LF_DEVICE void wgmma(float (&d)[32], uint32_t a, uint32_t b, int add)
{
    LF_SM90A("{.reg .pred p; setp.ne.b32 p, %34, 0;\n"
             "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" LF_R0_31 "}, "
             "%32, %33, p, 1, 1, 0, 0;}"
             : LF_D32(0)
             : "l"(wgmma_operand(a, 0)), "l"(wgmma_operand(b, 0)), "r"(add));
}

LF_DEVICE void wgmma(float (&d)[64], uint32_t a, uint32_t b, int add)
{
    LF_SM90A("{.reg .pred p; setp.ne.b32 p, %66, 0;\n"
             "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" LF_R0_31 "," LF_R32_63 "}, "
             "%64, %65, p, 1, 1, 0, 0;}"
             : LF_D32(0), LF_D32(32)
             : "l"(wgmma_operand(a, 0)), "l"(wgmma_operand(b, 0)), "r"(add));
}

/* a in registers, b by name or as wgmma wants it (which is less work where it is known early):
 * `columns` as text, the numbers of a's words, of b and of add as operands. */
#define LF_WGMMA_A(n, columns, registers, a0, a1, a2, a3, at, plus, ...)                           \
    LF_DEVICE void wgmma(float(&d)[n], const uint32_t(&a)[4], uint64_t b, int add)                 \
    {                                                                                              \
        LF_SM90A("{.reg .pred p; setp.ne.b32 p, %" #plus ", 0;\n"                                  \
                 "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" registers "}, " \
                 "{%" #a0 ",%" #a1 ",%" #a2 ",%" #a3 "}, %" #at ", p, 1, 1, 0;}"                   \
                 : __VA_ARGS__                                                                     \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));                  \
    }
LF_WGMMA_A(8, "16", "%0,%1,%2,%3,%4,%5,%6,%7", 8, 9, 10, 11, 12, 13, LF_D8(0))
LF_WGMMA_A(16, "32", "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15", 16, 17, 18, 19, 20,
           21, LF_D8(0), LF_D8(8))
LF_WGMMA_A(24, "48", LF_R0_23, 24, 25, 26, 27, 28, 29, LF_D8(0), LF_D8(8), LF_D8(16))
LF_WGMMA_A(32, "64", LF_R0_31, 32, 33, 34, 35, 36, 37, LF_D32(0))
LF_WGMMA_A(40, "80", LF_R0_31 "," LF_R32_39, 40, 41, 42, 43, 44, 45, LF_D32(0), LF_D8(32))
LF_WGMMA_A(48, "96", LF_R0_31 "," LF_R32_47, 48, 49, 50, 51, 52, 53, LF_D32(0), LF_D8(32),
           LF_D8(40))
LF_WGMMA_A(56, "112", LF_R0_31 "," LF_R32_47 "," LF_R48_55, 56, 57, 58, 59, 60, 61, LF_D32(0),
           LF_D8(32), LF_D8(40), LF_D8(48))
LF_WGMMA_A(64, "128", LF_R0_31 "," LF_R32_63, 64, 65, 66, 67, 68, 69, LF_D32(0), LF_D32(32))
LF_WGMMA_A(96, "192", LF_R0_31 "," LF_R32_63 "," LF_R64_95, 96, 97, 98, 99, 100, 101, LF_D32(0),
           LF_D32(32), LF_D32(64))
LF_WGMMA_A(128, "256", LF_R0_31 "," LF_R32_63 "," LF_R64_95 "," LF_R96_127, 128, 129, 130, 131, 132,
           133, LF_D32(0), LF_D32(32), LF_D32(64), LF_D32(96))

template <int n> LF_DEVICE void wgmma(float (&d)[n], const uint32_t (&a)[4], uint32_t b, int add)
{
    wgmma(d, a, wgmma_operand(b, 0), add);
}

LF_DEVICE void wgmma_bt(float (&d)[32], const uint32_t (&a)[4], uint32_t b, int rows)
{
    LF_SM90A("{.reg .pred p; setp.ne.b32 p, 1, 0;\n"
             "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" LF_R0_31 "}, "
             "{%32,%33,%34,%35}, %36, p, 1, 1, 1;}"
             : LF_D32(0)
             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(wgmma_operand(b, rows)));
}

LF_DEVICE void wgmma_bt(float (&d)[64], const uint32_t (&a)[4], uint32_t b, int rows)
{
    LF_SM90A("{.reg .pred p; setp.ne.b32 p, 1, 0;\n"
             "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" LF_R0_31 "," LF_R32_63 "}, "
             "{%64,%65,%66,%67}, %68, p, 1, 1, 1;}"
             : LF_D32(0), LF_D32(32)
             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(wgmma_operand(b, rows)));
}

#undef LF_SM90A
#undef LF_D8
#undef LF_D32
#undef LF_R0_23
#undef LF_R0_31
#undef LF_R32_39
#undef LF_R32_47
#undef LF_R48_55
#undef LF_R32_63
#undef LF_R64_95
#undef LF_R96_127
#undef LF_WGMMA_A

#endif
