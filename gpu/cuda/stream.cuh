/* Streams of the CUDA device, for the table in backend.cu. Private to gpu/cuda/. */
#ifndef LF_GPU_CUDA_STREAM_CUH
#define LF_GPU_CUDA_STREAM_CUH

#include "gpu/cuda/cuda.cuh"

/* The reason of the device's fault, as LF_E_DEVICE_LOST. */
enum lf_err lf_cuda_lost(struct lf_cuda *dev, struct lf_diag *diag);

enum lf_err lf_cuda_stream_open(struct lf_stream *s, int priority, struct lf_diag *diag);
void lf_cuda_stream_close(struct lf_stream *s);
enum lf_err lf_cuda_stream_reserve(struct lf_stream *s, size_t bytes, struct lf_diag *diag);
enum lf_err lf_cuda_stream_wait(struct lf_stream *s, struct lf_diag *diag);
void lf_cuda_upload(struct lf_stream *s, void *dst, const void *src, size_t bytes);
void lf_cuda_download(struct lf_stream *s, void *dst, const void *src, size_t bytes);
void lf_cuda_copy(struct lf_stream *s, void *dst, const void *src, size_t bytes);
void lf_cuda_zero(struct lf_stream *s, void *dst, size_t bytes);

enum lf_err lf_cuda_mark_new(struct lf_stream *s, void **out, struct lf_diag *diag);
void lf_cuda_mark_set(struct lf_stream *s, void *mark);
enum lf_err lf_cuda_mark_wait(struct lf_stream *s, void *mark, struct lf_diag *diag);
void lf_cuda_mark_follow(struct lf_stream *s, void *mark);
double lf_cuda_mark_seconds(struct lf_stream *s, void *from, void *to);
void lf_cuda_mark_free(struct lf_stream *s, void *mark);
enum lf_err lf_cuda_record_begin(struct lf_stream *s, struct lf_diag *diag);
enum lf_err lf_cuda_record_end(struct lf_stream *s, void **out, struct lf_diag *diag);
void lf_cuda_graph_launch(struct lf_stream *s, void *graph);
void lf_cuda_graph_free(struct lf_stream *s, void *graph);

#endif
