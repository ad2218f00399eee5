/* Rotary position embedding on CUDA. A thread rotates up to eight pairs of one head; heads of one
 * token are in one block, so cos and sin come from L1 after the first. */
#include "gpu/cuda/kernel.cuh"

static __global__ void __launch_bounds__(256)
    rope_kernel(struct lf_rope_args a, int half, bool vec)
{
    grid_wait();
    int t = blockIdx.x, runs = (half + 7) / 8;
    size_t table = (size_t)a.pos[t] * half;
    for (int i = blockIdx.y * 256 + threadIdx.x; i < a.H * runs; i += gridDim.y * 256) {
        int h = i / runs, at = i % runs * 8, n = half - at;
        bf16 *x1 = (bf16 *)a.x + (size_t)t * a.ldx + (size_t)h * a.D + at, *x2 = x1 + half;
        float c[8], s[8], u[8], v[8];
        load8(c, a.cos_ + table + at, n, vec);
        load8(s, a.sin_ + table + at, n, vec);
        load8(u, x1, n, vec);
        load8(v, x2, n, vec);
#pragma unroll
        for (int e = 0; e < 8; e++) {
            float sine = a.inverse ? -s[e] : s[e], first = u[e];
            u[e] = first * c[e] - v[e] * sine;
            v[e] = v[e] * c[e] + first * sine;
        }
        store8(x1, u, n, vec);
        store8(x2, v, n, vec);
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
