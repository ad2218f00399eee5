/* A row's values, out of the budget that the container has. */
#include "container/inside.h"

#include "core/budget.h"
#include "core/json.h"

#define FREE_BYTES (256u << 10) /* a row that is not worth counting */

void lf_text_rows_give(struct lf_text_rows *t)
{
    lf_budget_give(t->budget, t->taken);
    t->taken = 0;
}

enum lf_err lf_text_rows_parse(struct lf_text_rows *t, json_t **row, const char *text, size_t n,
                               struct lf_diag *diag)
{
    uint64_t bytes = t->budget ? lf_json_tree_bytes(text, n) + n : 0;
    lf_text_rows_give(t);
    if (bytes <= FREE_BYTES)
        return lf_json_parse(row, text, n, diag);
    enum lf_err rc = lf_budget_take(t->budget, bytes, 0, "its values need", diag);
    if (rc == LF_OK)
        t->taken = bytes;
    return rc ?: lf_json_parse(row, text, n, diag);
}
