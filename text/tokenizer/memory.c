/* What one call of encode works with, and strings that a tokenizer keeps. */
#include "text/tokenizer/bpe.h"

#include <stdlib.h>

void lf_tok_scratch_init(struct lf_tok_scratch *x)
{
    *x = (struct lf_tok_scratch){0};
    for (size_t i = 0; i < 2; i++) {
        lf_buf_init(&x->norm[i], LF_TEXT_BYTES_MAX);
        lf_buf_init(&x->split[i], LF_TEXT_BYTES_MAX);
    }
}

void lf_tok_scratch_free(struct lf_tok_scratch *x)
{
    for (size_t i = 0; i < 2; i++) {
        lf_buf_free(&x->norm[i]);
        lf_buf_free(&x->split[i]);
        free(x->spans[i].v);
    }
    pcre2_match_data_free(x->match);
    free(x->symbols);
    free(x->heap);
}

enum lf_err lf_tok_strdup(struct lf_arena *arena, struct lf_str *out, const char *s, size_t n,
                          struct lf_diag *diag)
{
    char *p = lf_arena_strndup(arena, s, n);
    if (!p)
        return lf_no_memory(diag, "the tokenizer's strings");
    *out = (struct lf_str){p, n};
    return LF_OK;
}
