/* Where a token's keys and values lie in the paged KV cache. Private to gpu/. */
#ifndef LF_GPU_OPS_ATTN_PAGES_H
#define LF_GPU_OPS_ATTN_PAGES_H

#include "gpu/ops.h"

/* Row (of D elements) of token `at` of a cached sequence, head h, in one layer's
 * (pages, Hkv, LF_KV_PAGE_TOKENS, D). */
static inline size_t lf_page_row(const struct lf_ragged *b, const struct lf_seq *seq, int at,
                                 int Hkv, int h)
{
    size_t page = (size_t)b->pages[seq->page_off + at / LF_KV_PAGE_TOKENS];
    return (page * (size_t)Hkv + (size_t)h) * LF_KV_PAGE_TOKENS + (size_t)(at % LF_KV_PAGE_TOKENS);
}

#endif
