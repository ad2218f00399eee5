/* Byte pair encoding: the vocabulary and the merges.
 *
 * A word starts as symbols (its bytes or characters) and the merge of lowest rank, leftmost first,
 * is applied until none is left. A heap of (rank, position) over a linked list of symbols does it
 * in n log n, so a megabyte of one letter is fine.
 */
#include "core/utf8.h"
#include "core/grow.h"
#include "text/tokenizer/bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "\xe2\x96\x81" /* U+2581, SentencePiece's space */
#define MARK_BYTES 3
#define KEPT_BYTES 64 /* longer words hardly repeat */
#define FEW 24        /* symbols */
#define NO_PAIR UINT64_MAX
#define NONE UINT32_MAX

struct lf_tok_symbol {
    int32_t id; /* -1: merged into the one before */
    uint32_t prev, next;
};

static size_t merge_slot(const struct lf_tok_bpe *b, uint64_t pair)
{
    uint64_t h = pair * 0x9e3779b97f4a7c15u;
    size_t at = (h ^ h >> 32) & b->merges_mask;
    while (b->merges[at].pair != NO_PAIR && b->merges[at].pair != pair)
        at = (at + 1) & b->merges_mask;
    return at;
}

static const struct lf_tok_merge *merge_find(const struct lf_tok_bpe *b, int32_t left,
                                             int32_t right)
{
    const struct lf_tok_merge *m = &b->merges[merge_slot(b, LF_TOK_PAIR(left, right))];
    return m->pair == NO_PAIR ? NULL : m;
}

/* --- building --- */

enum lf_err lf_tok_bpe_add(struct lf_tok_bpe *b, struct lf_str spelling, uint32_t id,
                           struct lf_diag *diag)
{
    if (id >= LF_VOCAB_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "token id %u is over the limit of %d", id, LF_VOCAB_MAX);
    if (id >= b->cap_ids) {
        size_t had = b->cap_ids;
        if (lf_grow(&b->spelling, &b->cap_ids, (size_t)id + 1, sizeof *b->spelling) != LF_OK)
            return lf_no_memory(diag, "%u tokens", id);
        memset(b->spelling + had, 0, (b->cap_ids - had) * sizeof *b->spelling);
    }
    if (b->spelling[id].s)
        return lf_fail(diag, LF_E_INVALID, "two tokens of the vocabulary have id %u", id);
    b->spelling[id] = spelling;
    b->n_tokens++;
    if (id >= b->n_ids)
        b->n_ids = (size_t)id + 1;
    return LF_OK;
}

static enum lf_err index_strings(struct lf_tok_table *t, const struct lf_str *keys, size_t n,
                                 struct lf_diag *diag)
{
    enum lf_err rc = lf_tok_table_init(t, n, diag);
    for (uint32_t i = 0; rc == LF_OK && i < n; i++) {
        if (!keys[i].s)
            continue;
        if (lf_tok_table_find(t, keys, keys[i]) >= 0)
            rc = lf_fail(diag, LF_E_INVALID, "the vocabulary has \"%.*s\" twice", (int)keys[i].n,
                         keys[i].s);
        else
            lf_tok_table_put(t, keys, i);
    }
    return rc;
}

enum lf_err lf_tok_bpe_index(struct lf_tok_bpe *b, struct lf_diag *diag)
{
    return index_strings(&b->by_spelling, b->spelling, b->n_ids, diag);
}

int32_t lf_tok_bpe_find(const struct lf_tok_bpe *b, struct lf_str spelling)
{
    return lf_tok_table_find(&b->by_spelling, b->spelling, spelling);
}

static bool begins_with_mark(struct lf_str s)
{
    return s.n >= MARK_BYTES && memcmp(s.s, MARK, MARK_BYTES) == 0;
}

static bool ends_with_mark(struct lf_str s)
{
    return s.n >= MARK_BYTES && memcmp(s.s + s.n - MARK_BYTES, MARK, MARK_BYTES) == 0;
}

enum lf_err lf_tok_bpe_merges(struct lf_tok_bpe *b, const struct lf_buf *list, struct lf_diag *diag)
{
    const struct lf_tok_merge *merges = (const void *)list->data;
    size_t n = list->len / sizeof *merges, size = lf_tok_table_size(n);
    if (list->rc != LF_OK)
        return lf_fail(diag, list->rc, "no memory for the merges");
    b->merges = malloc(size * sizeof *b->merges);
    if (!b->merges)
        return lf_no_memory(diag, "%zu merges", n);
    for (size_t i = 0; i < size; i++)
        b->merges[i].pair = NO_PAIR;
    b->merges_mask = size - 1;
    for (size_t i = 0; i < n; i++) {
        b->merges[merge_slot(b, merges[i].pair)] = merges[i];
        if (begins_with_mark(b->spelling[(uint32_t)merges[i].pair]) &&
            !ends_with_mark(b->spelling[merges[i].pair >> 32]))
            b->merges_into_mark = true;
    }
    return LF_OK;
}

/* Spellings in GPT-2's alphabet back to the bytes they stand for. */
static enum lf_err undo_bytes(struct lf_tok_bpe *b, struct lf_arena *arena, struct lf_diag *diag)
{
    b->word = calloc(b->n_ids ? b->n_ids : 1, sizeof *b->word);
    if (!b->word)
        return lf_no_memory(diag, "%zu words", b->n_ids);
    for (size_t id = 0; id < b->n_ids; id++) {
        struct lf_str s = b->spelling[id];
        if (!s.s)
            continue;
        char *bytes = lf_arena_alloc(arena, s.n + 1);
        if (!bytes)
            return lf_no_memory(diag, "%zu words", b->n_ids);
        size_t n = 0, len;
        int byte = 0;
        for (size_t i = 0; i < s.n && byte >= 0; i += len) {
            byte = lf_tok_char_to_byte(lf_utf8_get(s.s + i, &len));
            bytes[n++] = (char)byte;
        }
        if (byte >= 0)
            b->word[id] = (struct lf_str){bytes, n};
    }
    return index_strings(&b->by_word, b->word, b->n_ids, diag);
}

int32_t lf_tok_bpe_find_char(const struct lf_tok_bpe *b, uint32_t c)
{
    char utf8[4];
    size_t n = lf_utf8_put(utf8, c);
    return lf_tok_bpe_find(b, (struct lf_str){utf8, n});
}

enum lf_err lf_tok_bpe_ready(struct lf_tok_bpe *b, struct lf_arena *arena, struct lf_diag *diag)
{
    for (unsigned i = 0; i < 256; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", i);
        b->fallback_id[i] = lf_tok_bpe_find(b, (struct lf_str){name, 6});
        b->byte_id[i] = lf_tok_bpe_find_char(b, lf_tok_byte_to_char((unsigned char)i));
        if (i < 128)
            b->ascii_id[i] = lf_tok_bpe_find_char(b, i);
    }
    b->unk_id = -1;
    if (b->unk.s) {
        b->unk_id = lf_tok_bpe_find(b, b->unk);
        if (b->unk_id < 0)
            return lf_fail(diag, LF_E_INVALID, "unk_token \"%s\" is not in the vocabulary",
                           b->unk.s);
    }
    b->cut_at_mark = !b->by_bytes && !b->ignore_merges && !b->merges_into_mark &&
                     lf_tok_bpe_find_char(b, 0x2581) >= 0;
    enum lf_err rc = lf_tok_words_init(&b->words, b->n_tokens, diag);
    return rc == LF_OK && b->by_bytes ? undo_bytes(b, arena, diag) : rc;
}

void lf_tok_bpe_free(struct lf_tok_bpe *b)
{
    lf_tok_words_free(&b->words);
    free(b->spelling);
    free(b->word);
    free(b->by_spelling.slots);
    free(b->by_word.slots);
    free(b->merges);
    *b = (struct lf_tok_bpe){0};
}

/* --- symbols --- */

static void symbol_add(struct lf_tok_scratch *x, uint32_t *n, int32_t id)
{
    x->symbols[*n] = (struct lf_tok_symbol){id, *n - 1, *n + 1};
    (*n)++;
}

/* The word as characters. One that the vocabulary lacks becomes its fallback bytes if all exist,
 * else the unknown token (a run of them one token with fuse_unk), else nothing. An unknown token
 * is placed when the next known character comes, behind fallback bytes between: so the library. */
static uint32_t symbols_of_chars(const struct lf_tok_bpe *b, struct lf_tok_scratch *x,
                                 const char *word, size_t n)
{
    uint32_t count = 0;
    bool unk = false;
    size_t len;
    for (size_t i = 0; i < n; i += len) {
        uint32_t c = lf_utf8_get(word + i, &len);
        int32_t id = c < 128 ? b->ascii_id[c] : lf_tok_bpe_find(b, (struct lf_str){word + i, len});
        if (id >= 0) {
            if (unk)
                symbol_add(x, &count, b->unk_id);
            unk = false;
            symbol_add(x, &count, id);
            continue;
        }
        size_t have = 0;
        while (b->byte_fallback && have < len && b->fallback_id[(unsigned char)word[i + have]] >= 0)
            have++;
        if (have == len) {
            for (size_t k = 0; k < len; k++)
                symbol_add(x, &count, b->fallback_id[(unsigned char)word[i + k]]);
        } else if (b->unk_id >= 0) {
            if (unk && !b->fuse_unk)
                symbol_add(x, &count, b->unk_id);
            unk = true;
        }
    }
    if (unk)
        symbol_add(x, &count, b->unk_id);
    return count;
}

static uint32_t symbols_of_bytes(const struct lf_tok_bpe *b, struct lf_tok_scratch *x,
                                 const char *word, size_t n)
{
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t id = b->byte_id[(unsigned char)word[i]];
        if (id >= 0)
            symbol_add(x, &count, id);
    }
    return count;
}

/* --- merging --- */

/* Few symbols: side by side, each with what it and the next become. */
static size_t merge_few(const struct lf_tok_bpe *b, int32_t *id, size_t n)
{
    const struct lf_tok_merge *merge[FEW];
    for (size_t i = 0; i + 1 < n; i++)
        merge[i] = merge_find(b, id[i], id[i + 1]);
    for (;;) {
        size_t best = n;
        uint32_t rank = UINT32_MAX;
        for (size_t i = 0; i + 1 < n; i++)
            if (merge[i] && (best == n || merge[i]->rank < rank)) {
                best = i;
                rank = merge[i]->rank;
            }
        if (best == n)
            return n;
        id[best] = merge[best]->id;
        n--;
        memmove(id + best + 1, id + best + 2, (n - best - 1) * sizeof *id);
        memmove(merge + best, merge + best + 1, (n - best - 1) * sizeof *merge);
        if (best + 1 < n)
            merge[best] = merge_find(b, id[best], id[best + 1]);
        if (best > 0)
            merge[best - 1] = merge_find(b, id[best - 1], id[best]);
    }
}

/* A heap of rank << 32 | position: the smallest on top. */
static void heap_push(struct lf_tok_scratch *x, uint64_t key)
{
    size_t i = x->n_heap++;
    while (i > 0 && x->heap[(i - 1) / 2] > key) {
        x->heap[i] = x->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    x->heap[i] = key;
}

static uint64_t heap_pop(struct lf_tok_scratch *x)
{
    uint64_t top = x->heap[0], last = x->heap[--x->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= x->n_heap)
            break;
        if (child + 1 < x->n_heap && x->heap[child + 1] < x->heap[child])
            child++;
        if (x->heap[child] >= last)
            break;
        x->heap[i] = x->heap[child];
        i = child;
    }
    x->heap[i] = last;
    return top;
}

/* Queues the merge of the symbol at `left` with the one after it, if there is one. */
static void queue_merge(const struct lf_tok_bpe *b, struct lf_tok_scratch *x, uint32_t left,
                        uint32_t right)
{
    const struct lf_tok_merge *m = merge_find(b, x->symbols[left].id, x->symbols[right].id);
    if (m)
        heap_push(x, (uint64_t)m->rank << 32 | left);
}

static void merge_all(const struct lf_tok_bpe *b, struct lf_tok_scratch *x, uint32_t n)
{
    struct lf_tok_symbol *v = x->symbols;
    x->n_heap = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        queue_merge(b, x, i, i + 1);
    while (x->n_heap > 0) {
        uint64_t key = heap_pop(x);
        uint32_t at = (uint32_t)key;
        uint32_t right = v[at].next;
        if (v[at].id < 0 || right >= n)
            continue;
        const struct lf_tok_merge *m = merge_find(b, v[at].id, v[right].id);
        if (!m || m->rank != key >> 32)
            continue; /* one of the two was merged elsewhere since */
        v[at].id = m->id;
        v[at].next = v[right].next;
        v[right].id = -1;
        if (v[at].next < n) {
            v[v[at].next].prev = at;
            queue_merge(b, x, at, v[at].next);
        }
        if (v[at].prev != NONE)
            queue_merge(b, x, v[at].prev, at);
    }
}

static enum lf_err merge_word(const struct lf_tok_bpe *b, struct lf_tok_scratch *x,
                              struct lf_ids *out, const char *word, size_t n)
{
    /* Never more symbols than bytes; a merge takes one symbol away and queues two at most. */
    enum lf_err rc = lf_grow(&x->symbols, &x->cap_symbols, n + 1, sizeof *x->symbols);
    rc = rc ?: lf_grow(&x->heap, &x->cap_heap, 3 * n + 1, sizeof *x->heap);
    if (rc != LF_OK)
        return rc;
    uint32_t count =
        b->by_bytes ? symbols_of_bytes(b, x, word, n) : symbols_of_chars(b, x, word, n);
    if (count <= FEW) {
        int32_t id[FEW];
        for (uint32_t i = 0; i < count; i++)
            id[i] = x->symbols[i].id;
        return lf_ids_append(out, id, merge_few(b, id, count));
    }
    merge_all(b, x, count);
    for (uint32_t i = 0; i < count && rc == LF_OK; i = x->symbols[i].next)
        rc = lf_ids_push(out, x->symbols[i].id);
    return rc;
}

/* A word not seen before. */
static enum lf_err encode_new(const struct lf_tok_bpe *b, struct lf_tok_scratch *x,
                              struct lf_ids *out, const char *word, size_t n)
{
    if (b->ignore_merges) {
        struct lf_str key = {word, n};
        int32_t id =
            b->by_bytes ? lf_tok_table_find(&b->by_word, b->word, key) : lf_tok_bpe_find(b, key);
        if (id >= 0)
            return lf_ids_push(out, id);
    }
    return merge_word(b, x, out, word, n);
}

static enum lf_err encode_word(const struct lf_tok_bpe *b, struct lf_tok_scratch *x,
                               struct lf_ids *out, const char *word, size_t n)
{
    const int32_t *ids;
    size_t n_ids, before = out->n;
    if (n > KEPT_BYTES)
        return encode_new(b, x, out, word, n);
    uint64_t hash = lf_tok_hash(word, n);
    if (lf_tok_words_find(&b->words, hash, (struct lf_str){word, n}, &ids, &n_ids))
        return lf_ids_append(out, ids, n_ids);
    enum lf_err rc = encode_new(b, x, out, word, n);
    if (rc == LF_OK && out->n > before)
        lf_tok_words_put(&b->words, hash, (struct lf_str){word, n}, out->ids + before,
                         out->n - before);
    return rc;
}

/* The end of the run that no merge leaves: before the next mark that follows another character. */
static size_t next_cut(const char *word, size_t from, size_t n)
{
    size_t i = from;
    while (n - i >= MARK_BYTES && memcmp(word + i, MARK, MARK_BYTES) == 0)
        i += MARK_BYTES;
    const char *mark = memmem(word + i, n - i, MARK, MARK_BYTES);
    return mark ? (size_t)(mark - word) : n;
}

enum lf_err lf_tok_bpe_encode(const struct lf_tok_bpe *b, struct lf_tok_scratch *x,
                              struct lf_ids *out, const char *word, size_t n)
{
    if (!b->cut_at_mark)
        return encode_word(b, x, out, word, n);
    enum lf_err rc = LF_OK;
    for (size_t i = 0, end; rc == LF_OK && i < n; i = end) {
        end = next_cut(word, i, n);
        rc = encode_word(b, x, out, word + i, end - i);
    }
    return rc;
}
