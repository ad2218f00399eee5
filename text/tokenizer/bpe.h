/* A vocabulary and its merges, and what encoding a word needs: tables of strings (table.c), the
 * words already seen (words.c), what one call works with (memory.c), byte pair encoding (bpe.c). */
#ifndef LF_TEXT_TOKENIZER_BPE_H
#define LF_TEXT_TOKENIZER_BPE_H

#include "core/arena.h"
#include "core/limits.h"
#include "core/str.h"
#include "text/tokenizer.h"
#include "text/tokenizer/pattern.h"

#include <string.h>

/* --- table.c --- */

/* Exact string -> its index in an array of strings; open addressing. */
struct lf_tok_table {
    uint32_t *slots; /* index + 1; 0 is empty */
    size_t mask;
};

/* Slots for n entries: a power of two, at most half of them taken. */
size_t lf_tok_table_size(size_t n);
/* Room for n keys; then keys by their index. */
enum lf_err lf_tok_table_init(struct lf_tok_table *t, size_t n, struct lf_diag *diag) LF_MUST_CHECK;
void lf_tok_table_put(struct lf_tok_table *t, const struct lf_str *keys, uint32_t i);

/* These two are here to be inlined: every word of a text passes them. */
static inline uint64_t lf_tok_hash(const char *s, size_t n)
{
    uint64_t h = n * 0x9e3779b97f4a7c15u, w;
    for (; n >= 8; s += 8, n -= 8) {
        memcpy(&w, s, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    w = 0;
    memcpy(&w, s, n);
    h = (h ^ w) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

/* The index of a key, or -1. */
static inline int32_t lf_tok_table_find(const struct lf_tok_table *t, const struct lf_str *keys,
                                        struct lf_str key)
{
    if (!t->slots)
        return -1;
    for (size_t at = lf_tok_hash(key.s, key.n) & t->mask; t->slots[at]; at = (at + 1) & t->mask) {
        struct lf_str have = keys[t->slots[at] - 1];
        if (have.n == key.n && memcmp(have.s, key.s, key.n) == 0)
            return (int32_t)(t->slots[at] - 1);
    }
    return -1;
}

/* --- words.c --- */

struct lf_tok_words {
    struct lf_tok_bucket *buckets;
    size_t mask;
};

enum lf_err lf_tok_words_init(struct lf_tok_words *w, size_t n_tokens,
                              struct lf_diag *diag) LF_MUST_CHECK;
void lf_tok_words_free(struct lf_tok_words *w);
/* hash is lf_tok_hash of the word. The ids are borrowed until lf_tok_words_free. */
bool lf_tok_words_find(const struct lf_tok_words *words, uint64_t hash, struct lf_str word,
                       const int32_t **ids, size_t *n_ids);
/* Keeps the word where there is room. */
void lf_tok_words_put(const struct lf_tok_words *words, uint64_t hash, struct lf_str word,
                      const int32_t *ids, size_t n_ids);

/* --- memory.c --- */

/* A run [start, end) of the text in flight. `first`: it begins where the whole text begins. */
struct lf_tok_span {
    uint32_t start, end;
    bool first;
};

struct lf_tok_spans {
    struct lf_tok_span *v;
    size_t n, cap;
};

/* What one call of encode needs; freed at its end. */
struct lf_tok_scratch {
    struct lf_buf norm[2], split[2]; /* each stage writes one while it reads the other */
    unsigned norm_at, split_at;      /* the one written last */
    struct lf_tok_spans spans[2];
    pcre2_match_data *match;
    struct lf_tok_symbol *symbols;
    size_t cap_symbols;
    uint64_t *heap;
    size_t n_heap, cap_heap;
};

void lf_tok_scratch_init(struct lf_tok_scratch *x);
void lf_tok_scratch_free(struct lf_tok_scratch *x);
/* A copy that lives as long as the arena. */
enum lf_err lf_tok_strdup(struct lf_arena *arena, struct lf_str *out, const char *s, size_t n,
                          struct lf_diag *diag) LF_MUST_CHECK;

/* --- bpe.c --- */

struct lf_tok_merge {
    uint64_t pair; /* LF_TOK_PAIR; UINT64_MAX is empty */
    uint32_t rank;
    int32_t id; /* what the two become */
};

#define LF_TOK_PAIR(left, right) ((uint64_t)(uint32_t)(left) << 32 | (uint32_t)(right))

struct lf_tok_bpe {
    struct lf_str *spelling; /* by id; s NULL where the model has no such id */
    struct lf_str *word;     /* by_bytes: the bytes a spelling stands for; s NULL: none */
    size_t n_ids, cap_ids;   /* ids of the model are below n_ids */
    size_t n_tokens;
    struct lf_tok_table by_spelling, by_word;
    struct lf_tok_merge *merges;
    size_t merges_mask;
    bool by_bytes; /* ByteLevel comes last: words are raw bytes, its map undone at load */
    bool byte_fallback, fuse_unk, ignore_merges;
    bool merges_into_mark; /* some merge crosses from another character into U+2581... */
    bool cut_at_mark;      /* ...and where none does, words may be cut there */
    struct lf_str unk;     /* s NULL: none */
    int32_t unk_id;
    int32_t byte_id[256];      /* the symbol of a byte's character, or -1 */
    int32_t fallback_id[256];  /* "<0x41>", or -1 */
    int32_t ascii_id[128];     /* the symbol of an ASCII character, or -1 */
    struct lf_tok_words words; /* seen before */
};

/* The order of building: all tokens, the index, the merges, flags, ready. */
enum lf_err lf_tok_bpe_add(struct lf_tok_bpe *b, struct lf_str spelling, uint32_t id,
                           struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_tok_bpe_index(struct lf_tok_bpe *b, struct lf_diag *diag) LF_MUST_CHECK;
/* list: of struct lf_tok_merge. Lower ranks go first. Of a pair that comes twice the later one
 * counts. */
enum lf_err lf_tok_bpe_merges(struct lf_tok_bpe *b, const struct lf_buf *list,
                              struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_tok_bpe_ready(struct lf_tok_bpe *b, struct lf_arena *arena,
                             struct lf_diag *diag) LF_MUST_CHECK;
void lf_tok_bpe_free(struct lf_tok_bpe *b);
/* The id of an exact spelling in the model, or -1. */
int32_t lf_tok_bpe_find(const struct lf_tok_bpe *b, struct lf_str spelling);
int32_t lf_tok_bpe_find_char(const struct lf_tok_bpe *b, uint32_t c);

/* Appends the ids of one pre-tokenized word. */
enum lf_err lf_tok_bpe_encode(const struct lf_tok_bpe *b, struct lf_tok_scratch *x,
                              struct lf_ids *out, const char *word, size_t n) LF_MUST_CHECK;

#endif
