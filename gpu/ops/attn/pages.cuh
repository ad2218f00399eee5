/* The paged KV cache as kernels see it (gpu/ops/attn/pages.h defines it). Private to gpu/. */
#ifndef LF_GPU_OPS_ATTN_PAGES_CUH
#define LF_GPU_OPS_ATTN_PAGES_CUH

#include "gpu/cuda/kernel.cuh"

/* The arrays of a struct lf_ragged that find a token's keys. */
struct kv_pages {
    const int32_t *seq;
    const struct lf_seq *seqs;
    const int32_t *pages;
};

static inline struct kv_pages kv_pages_of(const struct lf_ragged *b)
{
    return {b->seq, b->seqs, b->pages};
}

/* Row (of D elements) of token `at`, head h, in one layer's (pages, Hkv, LF_KV_PAGE_TOKENS, D). */
LF_DEVICE size_t page_row(const int32_t *list, int at, int Hkv, int h)
{
    size_t page = (size_t)list[at / LF_KV_PAGE_TOKENS];
    return (page * Hkv + h) * LF_KV_PAGE_TOKENS + at % LF_KV_PAGE_TOKENS;
}

#endif
