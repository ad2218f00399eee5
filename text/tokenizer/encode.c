/* Text to ids: added tokens, normalizers, added tokens again, pre-tokenizers, BPE, template. */
#include "text/tokenizer/parts.h"

#include "core/budget.h"
#include "core/utf8.h"

/* Of the scratch for a byte of text, at the most: a word without end is as many symbols and thrice
 * as many entries of the heap, in lists that double. */
#define BYTES_A_BYTE 96
#define FREE_BYTES (64u << 10) /* a text that is not worth counting */

/* Plain text, normalised, without added tokens. */
static enum lf_err encode_plain(const struct lf_tokenizer *t, struct lf_tok_scratch *x,
                                struct lf_ids *out, struct lf_str text, bool first,
                                struct lf_diag *diag)
{
    enum lf_err rc = lf_tok_split(t, x, &text, first, diag);
    const struct lf_tok_spans *words = &x->spans[0];
    for (size_t i = 0; i < words->n && rc == LF_OK; i++) {
        rc = lf_tok_bpe_encode(&t->bpe, x, out, text.s + words->v[i].start,
                               words->v[i].end - words->v[i].start);
        if (rc != LF_OK)
            rc = lf_fail(diag, rc, "no memory to tokenize the text");
    }
    return rc;
}

/* A stretch between raw added tokens. */
static enum lf_err encode_stretch(const struct lf_tokenizer *t, struct lf_tok_scratch *x,
                                  struct lf_ids *out, struct lf_str text, bool first,
                                  struct lf_diag *diag)
{
    enum lf_err rc = lf_tok_normalize(t, x, &text, &first, diag);
    struct lf_tok_walk w = {.t = t, .matcher = &t->normalized, .text = text, .match = &x->match};
    while (rc == LF_OK) {
        const struct lf_tok_added *token;
        size_t start, end;
        bool found;
        rc = lf_tok_walk_next(&w, &found, &token, &start, &end, diag);
        if (rc != LF_OK || !found)
            break;
        if (token)
            rc = lf_ids_push(out, token->id);
        else
            rc = encode_plain(t, x, out, (struct lf_str){text.s + start, end - start},
                              first && start == 0, diag);
    }
    return rc;
}

static enum lf_err encode_text(const struct lf_tokenizer *t, struct lf_tok_scratch *x,
                               struct lf_ids *out, struct lf_str text, struct lf_diag *diag)
{
    struct lf_tok_walk w = {.t = t, .matcher = &t->raw, .text = text, .match = &x->match};
    for (;;) {
        const struct lf_tok_added *token;
        size_t start, end;
        bool found;
        enum lf_err rc = lf_tok_walk_next(&w, &found, &token, &start, &end, diag);
        if (rc != LF_OK || !found)
            return rc;
        if (token)
            rc = lf_ids_push(out, token->id);
        else
            rc = encode_stretch(t, x, out, (struct lf_str){text.s + start, end - start}, start == 0,
                                diag);
        if (rc != LF_OK)
            return rc;
    }
}

/* Copies the text with U+FFFD for every byte that is not UTF-8. */
static enum lf_err mend(struct lf_buf *out, const char *text, size_t n, struct lf_diag *diag)
{
    for (size_t i = 0; i < n;) {
        size_t good = lf_utf8_valid(text + i, n - i);
        lf_buf_append(out, text + i, good);
        i += good;
        if (i < n) {
            lf_buf_puts(out, "\xef\xbf\xbd");
            i++;
        }
    }
    return out->rc == LF_OK ? LF_OK : lf_fail(diag, out->rc, "no room for the text");
}

enum lf_err lf_tokenizer_encode(const struct lf_tokenizer *t, struct lf_ids *out, const char *text,
                                size_t n, bool special, struct lf_diag *diag)
{
    if (n > LF_TEXT_BYTES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "a text of %zu bytes is over the limit of %u", n,
                       LF_TEXT_BYTES_MAX);
    uint64_t taken = n > FREE_BYTES ? (uint64_t)n * BYTES_A_BYTE : 0;
    enum lf_err rc = lf_budget_take(t->budget, taken, 0, "the text's tokens need", diag);
    if (rc != LF_OK)
        return rc;
    struct lf_tok_scratch x;
    lf_tok_scratch_init(&x);
    lf_buf_auto mended = {.max = LF_TEXT_BYTES_MAX};
    struct lf_str good = {text, n};
    size_t before = out->n;
    if (lf_utf8_valid(text, n) < n) {
        rc = mend(&mended, text, n, diag);
        good = (struct lf_str){mended.data, mended.len};
    }
    for (size_t i = 0; i < t->template.n && rc == LF_OK; i++) {
        int32_t piece = t->template.ids[i];
        if (piece == LF_TOK_TEMPLATE_TEXT)
            rc = encode_text(t, &x, out, good, diag);
        else if (special)
            rc = lf_ids_push(out, piece);
    }
    if (rc != LF_OK)
        out->n = before;
    lf_tok_scratch_free(&x);
    lf_budget_give(t->budget, taken);
    return rc;
}
