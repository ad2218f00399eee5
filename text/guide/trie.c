/* A tokenizer's tokens by their bytes. */
#include "core/grow.h"
#include "text/guide/inside.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct lf_str bytes;
    int32_t id;
};

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    size_t n = x->bytes.n < y->bytes.n ? x->bytes.n : y->bytes.n;
    int c = memcmp(x->bytes.s, y->bytes.s, n);
    if (c == 0 && x->bytes.n != y->bytes.n)
        return x->bytes.n < y->bytes.n ? -1 : 1;
    return c ? c : x->id - y->id;
}

static bool ends(const struct lf_token_trie *t, int32_t id)
{
    for (int i = 0; i < t->n_ends; i++)
        if (t->ends[i] == id)
            return true;
    return false;
}

/* Those that have bytes, in their order. */
static enum lf_err gather(struct lf_token_trie *t, const struct lf_tokenizer *tokenizer,
                          struct entry *list, size_t *n)
{
    lf_buf_auto b = {0};
    enum lf_err rc = LF_OK;
    *n = 0;
    for (int32_t id = 0; id < t->n_ids && rc == LF_OK; id++) {
        lf_buf_reset(&b);
        rc = lf_tokenizer_bytes(tokenizer, &b, id);
        if (rc != LF_OK || b.len == 0 || b.len > UINT16_MAX || ends(t, id))
            continue;
        char *s = lf_arena_alloc(&t->arena, b.len);
        if (!s)
            return LF_E_NO_MEMORY;
        memcpy(s, b.data, b.len);
        list[(*n)++] = (struct entry){t->bytes[id] = (struct lf_str){s, b.len}, id};
    }
    qsort(list, *n, sizeof *list, compare);
    return rc;
}

/* How much an entry begins like the one before it. */
static size_t common(const struct entry *list, size_t i)
{
    size_t n = 0;
    if (i == 0)
        return 0;
    const struct lf_str a = list[i - 1].bytes, b = list[i].bytes;
    while (n < a.n && n < b.n && a.s[n] == b.s[n])
        n++;
    return n;
}

/* path: the nodes of the bytes of the last entry. */
static void fill(struct lf_token_trie *t, const struct entry *list, size_t n, int32_t *path)
{
    size_t depth = 0;
    t->n = 0;
    for (size_t i = 0; i < n; i++) {
        size_t same = common(list, i);
        while (depth > same)
            t->skip[path[--depth]] = (int32_t)t->n;
        for (; depth < list[i].bytes.n; depth++) {
            path[depth] = (int32_t)t->n;
            t->byte[t->n] = (uint8_t)list[i].bytes.s[depth];
            t->depth[t->n] = (uint16_t)(depth + 1);
            t->token_off[t->n++] = (int32_t)i;
        }
        t->token[i] = list[i].id;
        t->token_off[t->n] = (int32_t)i + 1;
        if ((int)depth > t->depth_max)
            t->depth_max = (int)depth;
    }
    while (depth > 0)
        t->skip[path[--depth]] = (int32_t)t->n;
}

/* From the last node to the first: each depth has what came since its last node. */
static void fill_below(struct lf_token_trie *t, uint64_t *of_depth)
{
    for (size_t i = t->n; i-- > 0;) {
        uint64_t *children = &of_depth[t->depth[i] + 1];
        t->below[i] = 1ull << lf_byte_class(t->byte[i]) | *children;
        *children = 0;
        of_depth[t->depth[i]] |= t->below[i];
    }
}

static enum lf_err build(struct lf_token_trie *t, const struct entry *list, size_t n)
{
    size_t nodes = 1;
    for (size_t i = 0; i < n; i++)
        nodes += list[i].bytes.n - common(list, i);
    t->byte = malloc(nodes);
    t->depth = malloc(nodes * sizeof *t->depth);
    t->skip = malloc(nodes * sizeof *t->skip);
    t->token_off = calloc(nodes + 1, sizeof *t->token_off);
    t->token = malloc(n * sizeof *t->token + 1);
    t->below = malloc(nodes * sizeof *t->below);
    int32_t *path = malloc((UINT16_MAX + 1) * sizeof *path);
    uint64_t *of_depth = calloc(UINT16_MAX + 2, sizeof *of_depth);
    bool ok =
        t->byte && t->depth && t->skip && t->token_off && t->token && t->below && path && of_depth;
    if (ok) {
        fill(t, list, n, path);
        fill_below(t, of_depth);
    }
    free(path);
    free(of_depth);
    return ok ? LF_OK : LF_E_NO_MEMORY;
}

static int32_t space_of(const struct lf_token_trie *t)
{
    for (size_t i = 0; i < t->n; i = (size_t)t->skip[i])
        if (t->byte[i] == ' ')
            return (int32_t)i;
    return LF_NONE;
}

enum lf_err lf_token_trie_new(struct lf_token_trie **out, const struct lf_tokenizer *tokenizer,
                              int n_ids, const int32_t *end_ids, int n_ends, struct lf_diag *diag)
{
    struct lf_token_trie *t = calloc(1, sizeof *t);
    struct entry *list = calloc((size_t)n_ids + 1, sizeof *list);
    size_t n = 0;
    enum lf_err rc = t && list ? LF_OK : LF_E_NO_MEMORY;
    if (rc == LF_OK) {
        t->n_ids = n_ids;
        t->n_ends = n_ends;
        t->words = lf_guide_words(n_ids);
        t->bytes = calloc((size_t)n_ids + 1, sizeof *t->bytes);
        t->ends = malloc((size_t)n_ends * sizeof *t->ends + 1);
        rc = t->bytes && t->ends ? LF_OK : LF_E_NO_MEMORY;
    }
    if (rc == LF_OK) {
        if (n_ends > 0)
            memcpy(t->ends, end_ids, (size_t)n_ends * sizeof *t->ends);
        rc = gather(t, tokenizer, list, &n) ?: build(t, list, n);
    }
    if (rc == LF_OK)
        t->space = lf_tokenizer_drops_space(tokenizer) ? space_of(t) : LF_NONE;
    free(list);
    if (rc == LF_OK)
        *out = t;
    else
        lf_token_trie_free(t);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the tokens' bytes");
}

void lf_token_trie_free(struct lf_token_trie *t)
{
    if (!t)
        return;
    free(t->byte);
    free(t->depth);
    free(t->skip);
    free(t->token_off);
    free(t->token);
    free(t->below);
    free(t->bytes);
    free(t->ends);
    lf_arena_free(&t->arena);
    free(t);
}
