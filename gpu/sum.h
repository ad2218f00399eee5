/* The sum of arrays that several devices made: one step's gradients. */
#ifndef LF_GPU_SUM_H
#define LF_GPU_SUM_H

#include "core/limits.h"
#include "gpu/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y = x[0] + x[1] + ..., n elements of fp32 in just this order, so that all who add the same arrays
 * up have the same bytes. y may be one of them, the others host memory that the device reaches
 * (lf_device_alloc_host, of any device). On the stream. */
struct lf_sum_args {
    float *y;
    const float *x[LF_SEATS_MAX]; /* (n_x) */
    int n_x;                      /* from 1 */
    size_t n;
};
void lf_stream_sum(struct lf_stream *s, const struct lf_sum_args *a);

/* On a card (cuda/sum.cu). Private to gpu/. */
void lf_cuda_sum(struct lf_stream *s, const struct lf_sum_args *a);

#ifdef __cplusplus
}
#endif
#endif
