/* Added tokens: spellings found in the text before anything else is done to it (or, those marked
 * `normalized`, right after the normalizers). Leftmost first, then longest. */
#include "text/tokenizer/parts.h"

#include "core/utf8.h"

#include <stdlib.h>
#include <string.h>

/* --- declaring --- */

enum lf_err lf_tok_added_init(struct lf_tokenizer *t, size_t n, struct lf_diag *diag)
{
    if (n > LF_VOCAB_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "%zu added tokens are over the limit of %d", n,
                       LF_VOCAB_MAX);
    t->added = calloc(n + 1, sizeof *t->added);
    t->added_content = calloc(n + 1, sizeof *t->added_content);
    t->cap_added = n;
    t->next_added_id = (int32_t)t->bpe.n_tokens;
    if (!t->added || !t->added_content)
        return lf_no_memory(diag, "%zu added tokens", n);
    return lf_tok_table_init(&t->by_content, n, diag);
}

enum lf_err lf_tok_added_put(struct lf_tokenizer *t, const struct lf_tok_added *token,
                             struct lf_diag *diag)
{
    if (token->content.n == 0)
        return LF_OK;
    int32_t i = lf_tok_table_find(&t->by_content, t->added_content, token->content);
    if (i >= 0) { /* said again: the later properties, but once special is always special */
        int32_t id = t->added[i].id;
        bool special = t->added[i].special;
        t->added[i] = *token;
        t->added[i].id = id;
        t->added[i].special |= special;
        return LF_OK;
    }
    lf_assert(t->n_added < t->cap_added);
    int32_t id = lf_tok_bpe_find(&t->bpe, token->content);
    if (id < 0)
        id = t->next_added_id++;
    if (id >= LF_VOCAB_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "token id %d is over the limit of %d", id, LF_VOCAB_MAX);
    uint32_t at = (uint32_t)t->n_added++;
    t->added[at] = *token;
    t->added[at].id = id;
    t->added_content[at] = token->content;
    lf_tok_table_put(&t->by_content, t->added_content, at);
    return LF_OK;
}

static int by_matched(const void *a, const void *b)
{
    const struct lf_str x = (*(const struct lf_tok_added *const *)a)->matched;
    const struct lf_str y = (*(const struct lf_tok_added *const *)b)->matched;
    int c = memcmp(x.s, y.s, x.n < y.n ? x.n : y.n);
    return c ? c : (x.n > y.n) - (x.n < y.n);
}

static enum lf_err matcher_init(struct lf_tok_matcher *m, const struct lf_tokenizer *t,
                                bool normalized, struct lf_diag *diag)
{
    m->sorted = calloc(t->n_added + 1, sizeof *m->sorted);
    if (!m->sorted)
        return lf_no_memory(diag, "%zu added tokens", t->n_added);
    for (size_t i = 0; i < t->n_added; i++) {
        if (t->added[i].normalized != normalized)
            continue;
        m->sorted[m->n++] = &t->added[i];
        m->starts[(unsigned char)t->added[i].matched.s[0]] = true;
    }
    qsort(m->sorted, m->n, sizeof *m->sorted, by_matched);
    for (size_t i = 1; i < m->n; i++)
        if (by_matched(&m->sorted[i - 1], &m->sorted[i]) == 0)
            return lf_fail(diag, LF_E_INVALID,
                           "added tokens \"%.*s\" and \"%.*s\" are the same when normalised",
                           (int)m->sorted[i - 1]->content.n, m->sorted[i - 1]->content.s,
                           (int)m->sorted[i]->content.n, m->sorted[i]->content.s);
    return LF_OK;
}

/* What the text must hold for this token: its content, normalised if it says so. */
static enum lf_err normalize_token(struct lf_tokenizer *t, struct lf_tok_scratch *x,
                                   struct lf_tok_added *a, struct lf_diag *diag)
{
    a->matched = a->content;
    if (!a->normalized || t->n_norms == 0)
        return LF_OK;
    struct lf_str text = a->content;
    bool first = true;
    enum lf_err rc = lf_tok_normalize(t, x, &text, &first, diag);
    if (rc == LF_OK && text.n == 0)
        return lf_fail(diag, LF_E_INVALID, "added token \"%.*s\" is empty when normalised",
                       (int)a->content.n, a->content.s);
    return rc ?: lf_tok_strdup(&t->arena, &a->matched, text.s, text.n, diag);
}

static enum lf_err index_ids(struct lf_tokenizer *t, struct lf_diag *diag)
{
    t->n_ids = t->bpe.n_ids;
    for (size_t i = 0; i < t->n_added; i++)
        if ((size_t)t->added[i].id >= t->n_ids)
            t->n_ids = (size_t)t->added[i].id + 1;
    t->added_by_id = malloc((t->n_ids + 1) * sizeof *t->added_by_id);
    if (!t->added_by_id)
        return lf_no_memory(diag, "%zu tokens", t->n_ids);
    for (size_t i = 0; i < t->n_ids; i++)
        t->added_by_id[i] = -1;
    for (size_t i = 0; i < t->n_added; i++) {
        struct lf_tok_added *a = &t->added[i];
        t->added_by_id[a->id] = (int32_t)i;
        int32_t same = lf_tok_table_find(&t->by_content, t->added_content, a->matched);
        a->hidden = same >= 0 && t->added[same].special;
    }
    return LF_OK;
}

enum lf_err lf_tok_added_ready(struct lf_tokenizer *t, struct lf_diag *diag)
{
    static const char word[] = "[" LF_TOK_WORD_SET "]";
    struct lf_tok_scratch x;
    lf_tok_scratch_init(&x);
    enum lf_err rc = LF_OK;
    bool words = false;
    for (size_t i = 0; i < t->n_added && rc == LF_OK; i++) {
        rc = normalize_token(t, &x, &t->added[i], diag);
        words |= t->added[i].single_word;
    }
    lf_tok_scratch_free(&x);
    if (rc == LF_OK && words)
        rc = lf_tok_pattern_regex(&t->word, word, sizeof word - 1, diag);
    rc = rc ?: matcher_init(&t->raw, t, false, diag);
    return rc ?: matcher_init(&t->normalized, t, true, diag) ?: index_ids(t, diag);
}

void lf_tok_added_free(struct lf_tokenizer *t)
{
    free(t->added);
    free(t->added_content);
    free(t->added_by_id);
    free(t->by_content.slots);
    free(t->raw.sorted);
    free(t->normalized.sorted);
    lf_tok_pattern_free(&t->word);
}

const struct lf_tok_added *lf_tok_added_of(const struct lf_tokenizer *t, int32_t id)
{
    if (id < 0 || (size_t)id >= t->n_ids || t->added_by_id[id] < 0)
        return NULL;
    return &t->added[t->added_by_id[id]];
}

/* --- finding --- */

/* The longest token that starts at `from`: the sorted list is narrowed byte by byte. */
static const struct lf_tok_added *longest_at(const struct lf_tok_matcher *m, struct lf_str text,
                                             size_t from)
{
    const struct lf_tok_added *best = NULL;
    size_t lo = 0, hi = m->n;
    for (size_t depth = 0; from + depth < text.n && lo < hi; depth++) {
        unsigned char want = (unsigned char)text.s[from + depth];
        size_t a = lo, b = hi; /* the first whose byte is not below `want`; all are longer */
        while (a < b) {
            size_t mid = a + (b - a) / 2;
            if ((unsigned char)m->sorted[mid]->matched.s[depth] < want)
                a = mid + 1;
            else
                b = mid;
        }
        lo = a;
        b = hi;
        while (a < b) {
            size_t mid = a + (b - a) / 2;
            if ((unsigned char)m->sorted[mid]->matched.s[depth] <= want)
                a = mid + 1;
            else
                b = mid;
        }
        hi = a;
        if (lo < hi && m->sorted[lo]->matched.n == depth + 1)
            best = m->sorted[lo++];
    }
    return best;
}

static const struct lf_tok_added *find(const struct lf_tok_matcher *m, struct lf_str text,
                                       size_t *from)
{
    if (m->n == 0)
        return NULL;
    for (size_t i = *from; i < text.n; i++) {
        if (!m->starts[(unsigned char)text.s[i]])
            continue;
        const struct lf_tok_added *a = longest_at(m, text, i);
        if (a) {
            *from = i;
            return a;
        }
    }
    return NULL;
}

static enum lf_err is_word(const struct lf_tok_walk *w, size_t at, bool *yes, struct lf_diag *diag)
{
    size_t len, start, end;
    lf_utf8_get(w->text.s + at, &len);
    struct lf_tok_search s = {&w->t->word, {w->text.s + at, len}, 0, SIZE_MAX, w->match};
    return lf_tok_search_next(&s, yes, &start, &end, diag);
}

/* Whether no word character touches [start, end). */
static enum lf_err stands_alone(const struct lf_tok_walk *w, size_t start, size_t end, bool *alone,
                                struct lf_diag *diag)
{
    bool before = false, after = false;
    enum lf_err rc = LF_OK;
    if (start > 0) {
        size_t at = start - 1;
        while (at > 0 && ((unsigned char)w->text.s[at] & 0xc0) == 0x80)
            at--;
        rc = is_word(w, at, &before, diag);
    }
    if (rc == LF_OK && end < w->text.n)
        rc = is_word(w, end, &after, diag);
    *alone = !before && !after;
    return rc;
}

/* Looks for the next token and holds it in w->token. */
static enum lf_err advance(struct lf_tok_walk *w, struct lf_diag *diag)
{
    const struct lf_tok_added *a;
    while ((a = find(w->matcher, w->text, &w->from))) {
        size_t start = w->from, end = start + a->matched.n;
        w->from = end;
        bool alone = true;
        if (a->single_word) {
            enum lf_err rc = stands_alone(w, start, end, &alone, diag);
            if (rc != LF_OK)
                return rc;
        }
        if (!alone)
            continue;
        if (a->lstrip) {
            start -= lf_tok_spaces_at_end((struct lf_str){w->text.s, start});
            start = start > w->done ? start : w->done;
        }
        if (a->rstrip)
            end += lf_tok_spaces_at_start((struct lf_str){w->text.s + end, w->text.n - end});
        w->token = a;
        w->token_start = start;
        w->token_end = end;
        return LF_OK;
    }
    return LF_OK;
}

enum lf_err lf_tok_walk_next(struct lf_tok_walk *w, bool *found, const struct lf_tok_added **token,
                             size_t *start, size_t *end, struct lf_diag *diag)
{
    if (!w->token) {
        enum lf_err rc = advance(w, diag);
        if (rc != LF_OK)
            return rc;
    }
    size_t text_end = w->token ? w->token_start : w->text.n;
    *found = true;
    *start = w->done;
    *token = NULL;
    if (w->done < text_end) {
        *end = w->done = text_end;
    } else if (w->token) {
        *token = w->token;
        *start = w->token_start;
        *end = w->done = w->token_end;
        w->token = NULL;
    } else {
        *found = false;
    }
    return LF_OK;
}
