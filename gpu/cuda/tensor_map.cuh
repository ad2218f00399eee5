/* Tensor maps: how the copy engine of Hopper finds boxes of a matrix. Private to gpu/. */
#ifndef LF_GPU_CUDA_TENSOR_MAP_CUH
#define LF_GPU_CUDA_TENSOR_MAP_CUH

#include "gpu/cuda/cuda.cuh"

#include <cuda.h>

/* What of bf16 numbers is laid out how: sizes from the innermost on, strides in elements of the
 * second and third, and a box, whose first side is 64 numbers (128 bytes) of a swizzled row. */
struct lf_boxes {
    const void *base; /* 16-byte aligned, as all rows are */
    uint64_t size[3], stride[2];
    uint32_t box[3];
};

/* A map for a kernel's __grid_constant__ parameter; boxes are zeros past the sizes. */
void lf_cuda_tensor_map(struct lf_cuda *dev, CUtensorMap *map, const struct lf_boxes *b);

#endif
