/* Exact strings to their indices: open addressing. */
#include "text/tokenizer/bpe.h"

#include <stdlib.h>

size_t lf_tok_table_size(size_t n)
{
    size_t size = 16;
    while (size < 2 * n)
        size *= 2;
    return size;
}

enum lf_err lf_tok_table_init(struct lf_tok_table *t, size_t n, struct lf_diag *diag)
{
    size_t size = lf_tok_table_size(n);
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return lf_no_memory(diag, "a table of %zu words", n);
    *t = (struct lf_tok_table){.slots = slots, .mask = size - 1};
    return LF_OK;
}

void lf_tok_table_put(struct lf_tok_table *t, const struct lf_str *keys, uint32_t i)
{
    size_t at = lf_tok_hash(keys[i].s, keys[i].n) & t->mask;
    while (t->slots[at])
        at = (at + 1) & t->mask;
    t->slots[at] = i + 1;
}
