/* Pages of the KV cache: a stack of free ones, and each layer's place in the one allocation. */
#include "model/exec_inside.h"
#include "model/rope.h"

#include <stdlib.h>

enum lf_err lf_exec_kv_open(struct lf_exec *x, struct lf_diag *diag)
{
    int n = x->limits.kv_pages;
    if (n == 0)
        return LF_OK;
    x->free_pages = malloc((size_t)n * sizeof *x->free_pages);
    if (!x->free_pages)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for %d KV pages", n);
    for (int i = 0; i < n; i++) /* low numbers are handed out first */
        x->free_pages[i] = n - 1 - i;
    x->n_free = n;
    return LF_OK;
}

void lf_exec_kv_close(struct lf_exec *x)
{
    free(x->free_pages);
}

void *lf_exec_kv_layer(const struct lf_exec *x, int l, bool values)
{
    if (!x->kv)
        return NULL;
    size_t i = (size_t)l + (values ? (size_t)x->model->config.L : 0);
    return x->kv + i * x->kv_layer_bytes;
}

enum lf_err lf_exec_kv_grow(struct lf_exec *x, struct lf_kv_seq *s, int n_tokens)
{
    int need = (n_tokens + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS;
    if (need <= s->n_pages)
        return LF_OK;
    if (need - s->n_pages > x->n_free)
        return LF_E_DEVICE_FULL;
    if (need > s->cap) {
        int cap = s->cap > 0 ? s->cap : 8;
        while (cap < need)
            cap *= 2;
        int32_t *grown = realloc(s->pages, (size_t)cap * sizeof *grown);
        if (!grown)
            return LF_E_NO_MEMORY;
        s->pages = grown;
        s->cap = cap;
    }
    while (s->n_pages < need)
        s->pages[s->n_pages++] = x->free_pages[--x->n_free];
    return LF_OK;
}

void lf_exec_kv_release(struct lf_exec *x, struct lf_kv_seq *s)
{
    while (s->n_pages > 0)
        x->free_pages[x->n_free++] = s->pages[--s->n_pages];
    free(s->pages);
    *s = (struct lf_kv_seq){0};
}

bool lf_exec_kv_outgrown(const struct lf_exec *x, const struct lf_kv_seq *s, int n_tokens)
{
    return s->n_tokens > 0 && lf_rope_row(&x->model->config, n_tokens) > s->rope_row;
}

int lf_exec_kv_free_pages(const struct lf_exec *x)
{
    return x->n_free;
}
