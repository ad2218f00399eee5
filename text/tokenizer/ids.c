/* A growable run of ids. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

void lf_ids_free(struct lf_ids *ids)
{
    free(ids->ids);
    *ids = (struct lf_ids){0};
}

static enum lf_err ids_reserve(struct lf_ids *ids, size_t more)
{
    if (ids->cap - ids->n >= more)
        return LF_OK;
    size_t cap = ids->cap ? 2 * ids->cap : 64;
    while (cap - ids->n < more)
        cap *= 2;
    int32_t *p = realloc(ids->ids, cap * sizeof *p);
    if (!p)
        return LF_E_NO_MEMORY;
    ids->ids = p;
    ids->cap = cap;
    return LF_OK;
}

enum lf_err lf_ids_push(struct lf_ids *ids, int32_t id)
{
    if (ids_reserve(ids, 1) != LF_OK)
        return LF_E_NO_MEMORY;
    ids->ids[ids->n++] = id;
    return LF_OK;
}

enum lf_err lf_ids_append(struct lf_ids *ids, const int32_t *more, size_t n)
{
    if (n == 0)
        return LF_OK;
    if (ids_reserve(ids, n) != LF_OK)
        return LF_E_NO_MEMORY;
    memcpy(ids->ids + ids->n, more, n * sizeof *more);
    ids->n += n;
    return LF_OK;
}
