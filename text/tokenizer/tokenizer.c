/* A tokenizer as a whole: made, completed, asked, freed. */
#include "text/tokenizer/load.h"
#include "text/limits.h"

#include <stdlib.h>
#include <string.h>

enum lf_err lf_tok_new(struct lf_tokenizer **out, struct lf_diag *diag)
{
    struct lf_tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return lf_no_memory(diag, "a tokenizer");
    lf_arena_init(&t->arena);
    t->bos = t->eos = -1;
    *out = t;
    return LF_OK;
}

void lf_tokenizer_free(struct lf_tokenizer *t)
{
    if (!t)
        return;
    lf_tok_bpe_free(&t->bpe);
    lf_tok_added_free(t);
    for (size_t i = 0; i < LF_TOK_STEPS_MAX; i++) {
        lf_tok_pattern_free(&t->norms[i].pattern);
        lf_tok_pattern_free(&t->splits[i].pattern);
    }
    for (size_t i = 0; i < LF_DECODER_STAGES_MAX; i++)
        lf_tok_pattern_free(&t->decodes[i].pattern);
    lf_ids_free(&t->template);
    lf_arena_free(&t->arena);
    free(t);
}

void lf_tokenizer_budget(struct lf_tokenizer *t, struct lf_budget *b)
{
    t->budget = b;
}

/* Where the byte alphabet comes last, words are matched as raw bytes instead. Not where a byte's
 * character is missing and something would stand for it: that is spelled out in characters. */
static void words_as_bytes(struct lf_tokenizer *t)
{
    struct lf_tok_bpe *b = &t->bpe;
    if (t->n_splits == 0 || t->splits[t->n_splits - 1].kind != LF_TOK_SPLIT_BYTES)
        return;
    bool complete = true;
    for (unsigned i = 0; i < 256; i++)
        complete &= lf_tok_bpe_find_char(b, lf_tok_byte_to_char((unsigned char)i)) >= 0;
    if (!complete && (b->byte_fallback || b->unk.s))
        return;
    b->by_bytes = true;
    t->n_splits--;
}

enum lf_err lf_tok_template(struct lf_tokenizer *t, bool bos, bool eos, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    t->template.n = 0;
    if (bos && t->bos >= 0)
        rc = lf_ids_push(&t->template, t->bos);
    rc = rc ?: lf_ids_push(&t->template, LF_TOK_TEMPLATE_TEXT);
    if (rc == LF_OK && eos && t->eos >= 0)
        rc = lf_ids_push(&t->template, t->eos);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the template");
}

static void mark_fused(struct lf_tokenizer *t)
{
    bool fused = false;
    for (size_t i = 0; i < t->n_decodes; i++) {
        t->decodes[i].fused = fused;
        fused |=
            t->decodes[i].kind == LF_TOK_DECODE_FUSE || t->decodes[i].kind == LF_TOK_DECODE_BYTES;
    }
}

enum lf_err lf_tok_ready(struct lf_tokenizer *t, struct lf_diag *diag)
{
    words_as_bytes(t);
    enum lf_err rc = lf_tok_bpe_ready(&t->bpe, &t->arena, diag) ?: lf_tok_added_ready(t, diag);
    if (rc == LF_OK && t->template.n == 0)
        rc = lf_tok_template(t, false, false, diag);
    if (t->n_decodes == 0)
        t->decodes[t->n_decodes++].kind = LF_TOK_DECODE_SPACES;
    mark_fused(t);
    if (rc == LF_OK && t->template.ids[0] >= 0)
        t->bos = t->template.ids[0];
    return rc;
}

int32_t lf_tokenizer_bos(const struct lf_tokenizer *t)
{
    return t->bos;
}

int32_t lf_tokenizer_eos(const struct lf_tokenizer *t)
{
    return t->eos;
}

int32_t lf_tokenizer_find(const struct lf_tokenizer *t, const char *token)
{
    struct lf_str key = {token, strlen(token)};
    int32_t i = lf_tok_table_find(&t->by_content, t->added_content, key);
    return i >= 0 ? t->added[i].id : lf_tok_bpe_find(&t->bpe, key);
}

const char *lf_tokenizer_token(const struct lf_tokenizer *t, int32_t id)
{
    const struct lf_tok_added *a = lf_tok_added_of(t, id);
    if (a)
        return a->content.s;
    return id >= 0 && (size_t)id < t->bpe.n_ids ? t->bpe.spelling[id].s : NULL;
}

bool lf_tokenizer_is_special(const struct lf_tokenizer *t, int32_t id)
{
    const struct lf_tok_added *a = lf_tok_added_of(t, id);
    return a && a->hidden;
}
