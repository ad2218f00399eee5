/* A growable run of ids. */
#include "text/tokenizer.h"

#include "core/grow.h"

#include <stdlib.h>
#include <string.h>

void lf_ids_free(struct lf_ids *ids)
{
    free(ids->ids);
    *ids = (struct lf_ids){0};
}

enum lf_err lf_ids_push(struct lf_ids *ids, int32_t id)
{
    if (lf_grow(&ids->ids, &ids->cap, ids->n + 1, sizeof *ids->ids) != LF_OK)
        return LF_E_NO_MEMORY;
    ids->ids[ids->n++] = id;
    return LF_OK;
}

enum lf_err lf_ids_append(struct lf_ids *ids, const int32_t *more, size_t n)
{
    if (n == 0)
        return LF_OK;
    if (lf_grow(&ids->ids, &ids->cap, ids->n + n, sizeof *ids->ids) != LF_OK)
        return LF_E_NO_MEMORY;
    memcpy(ids->ids + ids->n, more, n * sizeof *more);
    ids->n += n;
    return LF_OK;
}
