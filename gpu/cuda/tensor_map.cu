/* Tensor maps, made by the driver's own function, which the runtime finds. */
#include "gpu/cuda/tensor_map.cuh"

typedef CUresult (*encode_fn)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                              const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                              const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                              CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static encode_fn encoder(void)
{
    static std::atomic<void *> found;
    void *fn = found.load(std::memory_order_relaxed);
    cudaDriverEntryPointQueryResult how;
    if (!fn && cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &fn, 12000,
                                                cudaEnableDefault, &how) == cudaSuccess)
        found.store(fn, std::memory_order_relaxed);
    return (encode_fn)fn;
}

void lf_cuda_tensor_map(struct lf_cuda *dev, CUtensorMap *map, const struct lf_boxes *b)
{
    const cuuint64_t size[3] = {b->size[0], b->size[1], b->size[2]};
    const cuuint64_t stride[2] = {b->stride[0] * sizeof(bf16), b->stride[1] * sizeof(bf16)};
    const cuuint32_t box[3] = {b->box[0], b->box[1], b->box[2]}, step[3] = {1, 1, 1};
    encode_fn encode = encoder();
    if (!encode || encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, (void *)b->base, size, stride,
                          box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                          CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                          CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) != CUDA_SUCCESS)
        lf_cuda_note(dev, cudaErrorInvalidValue);
}
