/* vocab.json, merges.txt and, where there is one, added_tokens.json: the older form of byte-level
 * tokenizers, with GPT-2's way of cutting words. */
#include "core/json_reader.h"
#include "text/tokenizer/load.h"

#include <stdlib.h>
#include <string.h>

static const char end_of_text[] = "<|endoftext|>";

/* A line "a b": both sides behind each other in `both`. */
static enum lf_err read_line(struct lf_str line, struct lf_buf *both, size_t *left, size_t number,
                             struct lf_diag *diag)
{
    const char *space = memchr(line.s, ' ', line.n);
    *left = space ? (size_t)(space - line.s) : 0;
    if (!space || memchr(space + 1, ' ', line.n - *left - 1))
        return lf_fail(diag, LF_E_INVALID, "line %zu of the merges is not two tokens", number);
    lf_buf_reset(both);
    lf_buf_append(both, line.s, *left);
    return lf_buf_append(both, space + 1, line.n - *left - 1);
}

static enum lf_err read_merges(struct lf_tokenizer *t, struct lf_str s, struct lf_diag *diag)
{
    lf_buf_auto both = {.max = s.n + 1}, merges = {0};
    enum lf_err rc = LF_OK;
    for (size_t number = 1; s.n > 0 && rc == LF_OK; number++) {
        const char *newline = memchr(s.s, '\n', s.n);
        struct lf_str line = {s.s, newline ? (size_t)(newline - s.s) : s.n};
        size_t whole = line.n + (newline != NULL), left;
        s.s += whole;
        s.n -= whole;
        if (line.n > 0 && line.s[line.n - 1] == '\r')
            line.n--;
        bool is_header = line.n >= 8 && memcmp(line.s, "#version", 8) == 0;
        if (is_header || (line.n == 0 && s.n == 0))
            continue;
        rc = read_line(line, &both, &left, number, diag);
        rc = rc ?: lf_tok_merge_add(&merges, &t->bpe, &both, left, diag);
    }
    return rc ?: lf_tok_bpe_merges(&t->bpe, &merges, diag);
}

struct numbered {
    struct lf_str content;
    uint32_t id;
};

static int by_id(const void *a, const void *b)
{
    uint32_t x = ((const struct numbered *)a)->id, y = ((const struct numbered *)b)->id;
    return (x > y) - (x < y);
}

/* {"token": id}: appends struct numbered to `list`. */
static enum lf_err read_numbered(struct lf_tokenizer *t, struct lf_str s, struct lf_buf *list,
                                 struct lf_diag *diag)
{
    struct lf_json_reader r;
    lf_json_reader_init(&r, s.s, s.n, diag);
    enum lf_err rc = lf_json_reader_expect(&r, '{');
    for (size_t count = 0; rc == LF_OK; count++) {
        bool more;
        struct lf_str key;
        struct numbered one;
        rc = lf_json_reader_more(&r, '}', count, &more);
        if (rc != LF_OK || !more)
            break;
        rc = lf_json_reader_key(&r, &key);
        rc = rc ?: lf_tok_strdup(&t->arena, &one.content, key.s, key.n, diag);
        rc = rc ?: lf_json_reader_uint(&r, &one.id);
        if (rc == LF_OK && lf_buf_append(list, &one, sizeof one) != LF_OK)
            rc = lf_fail(diag, list->rc, "no memory for the added tokens");
    }
    rc = rc ?: lf_json_reader_end(&r);
    lf_json_reader_free(&r);
    return rc;
}

/* End of text, which is special; then added_tokens.json by id, which must follow the vocabulary. */
static enum lf_err read_added(struct lf_tokenizer *t, struct lf_str s, struct lf_diag *diag)
{
    lf_buf_auto list = {0};
    enum lf_err rc = s.n ? read_numbered(t, s, &list, diag) : LF_OK;
    struct numbered *v = (struct numbered *)(void *)list.data;
    size_t n = list.len / sizeof *v;
    if (n)
        qsort(v, n, sizeof *v, by_id);
    rc = rc ?: lf_tok_added_init(t, n + 1, diag);
    struct lf_tok_added eot = {.content = {end_of_text, sizeof end_of_text - 1}, .special = true};
    if (rc == LF_OK && lf_tok_bpe_find(&t->bpe, eot.content) >= 0)
        rc = lf_tok_added_put(t, &eot, diag);
    for (size_t i = 0; i < n && rc == LF_OK; i++) {
        struct lf_tok_added a = {.content = v[i].content, .normalized = true};
        rc = lf_tok_added_put(t, &a, diag);
        if (rc == LF_OK && lf_tokenizer_find(t, a.content.s) != (int32_t)v[i].id)
            rc = lf_fail(diag, LF_E_INVALID, "added token \"%s\" cannot have id %u", a.content.s,
                         v[i].id);
    }
    return rc;
}

enum lf_err lf_tok_parse_merges(struct lf_tokenizer **out, struct lf_str vocab,
                                struct lf_str merges, struct lf_str added, struct lf_diag *diag)
{
    struct lf_tokenizer *t;
    enum lf_err rc = lf_tok_new(&t, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_tok_read_vocab(t, vocab, diag) ?: read_merges(t, merges, diag);
    rc = rc ?: read_added(t, added, diag);
    rc = rc ?: lf_tok_split_gpt2(t, diag);
    rc = rc ?: lf_tok_byte_level(t, diag);
    rc = rc ?: lf_tok_ready(t, diag);
    t->bos = t->eos = lf_tokenizer_find(t, end_of_text);
    if (rc == LF_OK)
        *out = t;
    else
        lf_tokenizer_free(t);
    return rc;
}
