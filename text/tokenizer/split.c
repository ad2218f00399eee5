/* Pre-tokenizers: the text is cut into words. Each step works on every piece that the steps before
 * it left, as if the piece were a text of its own; some rewrite the text as they go. */
#include "text/tokenizer/parts.h"

#include "core/grow.h"
#include "core/utf8.h"

#include <stdlib.h>
#include <string.h>

static enum lf_err span_push(struct lf_tok_spans *v, size_t start, size_t end, bool first,
                             struct lf_diag *diag)
{
    if (start == end)
        return LF_OK;
    if (lf_grow(&v->v, &v->cap, v->n + 1, sizeof *v->v) != LF_OK)
        return lf_no_memory(diag, "%zu words", v->n);
    v->v[v->n++] = (struct lf_tok_span){(uint32_t)start, (uint32_t)end, first};
    return LF_OK;
}

/* Joins the stretches of one piece, matches and what lies between, into its words. */
struct joiner {
    struct lf_tok_spans *out;
    enum lf_tok_behavior behavior;
    size_t base;       /* where the piece starts */
    bool first;        /* whether the piece is the first of the text */
    bool open;         /* a word is under way */
    size_t start, end; /* it, in the piece */
    bool was_match;    /* what the last stretch was */
    struct lf_diag *diag;
};

static enum lf_err join_flush(struct joiner *j)
{
    if (!j->open)
        return LF_OK;
    j->open = false;
    return span_push(j->out, j->base + j->start, j->base + j->end, j->first && j->start == 0,
                     j->diag);
}

/* Whether this stretch joins the word under way. */
static bool joins(const struct joiner *j, bool is_match)
{
    switch (j->behavior) {
    case LF_TOK_CONTIGUOUS:
        return is_match == j->was_match;
    case LF_TOK_MERGED_WITH_PREVIOUS:
        return is_match && !j->was_match;
    case LF_TOK_MERGED_WITH_NEXT:
        return !is_match && j->was_match;
    case LF_TOK_REMOVED:
    case LF_TOK_ISOLATED:
        break;
    }
    return false;
}

static enum lf_err join(struct joiner *j, size_t start, size_t end, bool is_match)
{
    enum lf_err rc = LF_OK;
    if (j->open && joins(j, is_match)) {
        j->end = end;
    } else {
        rc = join_flush(j);
        j->open = !(is_match && j->behavior == LF_TOK_REMOVED);
        j->start = start;
        j->end = end;
    }
    j->was_match = is_match;
    return rc;
}

static enum lf_err split_piece(const struct lf_tok_split *step, struct lf_tok_scratch *x,
                               struct lf_tok_spans *out, struct lf_str text,
                               struct lf_tok_span piece, struct lf_diag *diag)
{
    struct lf_str inside = {text.s + piece.start, piece.end - piece.start};
    struct lf_tok_search s = {&step->pattern, inside, 0, SIZE_MAX, &x->match};
    struct joiner j = {.out = out,
                       .behavior = step->behavior,
                       .base = piece.start,
                       .first = piece.first,
                       .diag = diag};
    size_t done = 0, start, end;
    for (;;) {
        bool found;
        enum lf_err rc = lf_tok_search_next(&s, &found, &start, &end, diag);
        if (rc == LF_OK && !found)
            start = inside.n;
        if (rc == LF_OK && start > done)
            rc = join(&j, done, start, step->invert);
        if (rc == LF_OK && !found)
            return join_flush(&j);
        rc = rc ?: join(&j, start, end, !step->invert);
        if (rc != LF_OK)
            return rc;
        done = end;
    }
}

static enum lf_err by_pattern(const struct lf_tok_split *step, struct lf_tok_scratch *x,
                              struct lf_str text, struct lf_diag *diag)
{
    struct lf_tok_spans old = x->spans[0];
    x->spans[0] = x->spans[1];
    x->spans[1] = old;
    x->spans[0].n = 0;
    for (size_t i = 0; i < old.n; i++) {
        enum lf_err rc = split_piece(step, x, &x->spans[0], text, old.v[i], diag);
        if (rc != LF_OK)
            return rc;
    }
    return LF_OK;
}

/* One piece of the old text, rewritten at the end of the new one. */
static void rewrite_piece(const struct lf_tok_split *step, struct lf_buf *out, const char *s,
                          size_t n, bool first)
{
    if (step->kind == LF_TOK_SPLIT_BYTES) {
        char utf8[4];
        for (size_t i = 0; i < n; i++)
            lf_buf_append(out, utf8, lf_utf8_put(utf8, lf_tok_byte_to_char((unsigned char)s[i])));
        return;
    }
    if (step->kind == LF_TOK_SPLIT_PREFIX_SPACE) {
        lf_buf_puts(out, s[0] == ' ' ? "" : " ");
        lf_buf_append(out, s, n);
        return;
    }
    struct lf_str mark = step->mark;
    bool has = s[0] == ' ' || (n >= mark.n && memcmp(s, mark.s, mark.n) == 0);
    if (!has && (step->prepend == LF_TOK_PREPEND_ALWAYS ||
                 (step->prepend == LF_TOK_PREPEND_FIRST && first)))
        lf_buf_append(out, mark.s, mark.n);
    for (size_t i = 0, run; i < n; i += run) {
        const char *space = memchr(s + i, ' ', n - i);
        run = space ? (size_t)(space - s) - i : n - i;
        lf_buf_append(out, s + i, run);
        if (!space)
            break;
        lf_buf_append(out, mark.s, mark.n);
        run++;
    }
}

static enum lf_err by_rewriting(const struct lf_tok_split *step, struct lf_tok_scratch *x,
                                struct lf_str *text, struct lf_diag *diag)
{
    struct lf_buf *out = &x->split[x->split_at ^= 1];
    lf_buf_reset(out);
    struct lf_tok_spans *v = &x->spans[0];
    for (size_t i = 0; i < v->n; i++) {
        struct lf_tok_span *p = &v->v[i];
        size_t start = out->len;
        rewrite_piece(step, out, text->s + p->start, p->end - p->start, p->first);
        *p = (struct lf_tok_span){(uint32_t)start, (uint32_t)out->len, p->first};
    }
    if (out->rc != LF_OK)
        return lf_fail(diag, out->rc, "no room to pre-tokenize the text");
    *text = (struct lf_str){out->len ? out->data : "", out->len};
    return LF_OK;
}

enum lf_err lf_tok_split(const struct lf_tokenizer *t, struct lf_tok_scratch *x,
                         struct lf_str *text, bool first, struct lf_diag *diag)
{
    x->spans[0].n = 0;
    enum lf_err rc = span_push(&x->spans[0], 0, text->n, first, diag);
    for (size_t i = 0; i < t->n_splits && rc == LF_OK; i++) {
        const struct lf_tok_split *step = &t->splits[i];
        rc = step->kind == LF_TOK_SPLIT_PATTERN ? by_pattern(step, x, *text, diag)
                                                : by_rewriting(step, x, text, diag);
    }
    return rc;
}
