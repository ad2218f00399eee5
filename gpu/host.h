/* What the two backends in host memory (ref, cpu) share: a device pointer is a host pointer, and
 * work is done when the call returns. Private to gpu/. */
#ifndef LF_GPU_HOST_H
#define LF_GPU_HOST_H

#include "gpu/backend.h"

enum lf_err lf_host_alloc(struct lf_device *dev, void **out, size_t bytes,
                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_host_release(struct lf_device *dev, void *p);
void lf_host_copy(struct lf_stream *s, void *dst, const void *src, size_t bytes);
void lf_host_zero(struct lf_stream *s, void *dst, size_t bytes);
/* memory_total and memory_free of this machine. */
void lf_host_memory(struct lf_device_info *out);
/* The rows of a backend's table that say so. */
#define LF_HOST_BACKEND                                                                   \
    .act = LF_F32, .alloc = lf_host_alloc, .release = lf_host_release,                    \
    .alloc_host = lf_host_alloc, .release_host = lf_host_release, .upload = lf_host_copy, \
    .download = lf_host_copy, .copy = lf_host_copy, .zero = lf_host_zero
/* For the table of operations: nothing needs scratch on the stream. */
size_t lf_host_linear_scratch_bytes(const struct lf_device *dev, int T, int N, int K);

#endif
