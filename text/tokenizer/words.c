/* The words already seen, with their ids. Text repeats its words, so a finished one is kept: a
 * table of immutable entries, filled by compare-and-swap and never emptied. Readers take no lock
 * and write nothing; when a word's bucket is full it is merged again each time. */
#include "text/tokenizer/bpe.h"
#include "text/limits.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET 4 /* with their hashes, a cache line */

struct lf_tok_word {
    uint32_t n_bytes, n_ids;
    int32_t ids[]; /* then the bytes */
};

struct lf_tok_bucket {
    _Atomic uint64_t hash[BUCKET]; /* written after the word: until then it is not found */
    _Atomic(struct lf_tok_word *) word[BUCKET];
};

enum lf_err lf_tok_words_init(struct lf_tok_words *w, size_t n_tokens, struct lf_diag *diag)
{
    size_t n = 64;
    while (n < LF_TOK_BUCKETS_MAX && n * BUCKET < 8 * n_tokens) /* in proportion */
        n *= 2;
    w->buckets = aligned_alloc(sizeof *w->buckets, n * sizeof *w->buckets);
    if (!w->buckets)
        return lf_no_memory(diag, "the word cache");
    memset(w->buckets, 0, n * sizeof *w->buckets);
    w->mask = n - 1;
    return LF_OK;
}

void lf_tok_words_free(struct lf_tok_words *w)
{
    for (size_t i = 0; w->buckets && i <= w->mask; i++)
        for (int k = 0; k < BUCKET; k++)
            free(atomic_load_explicit(&w->buckets[i].word[k], memory_order_relaxed));
    free(w->buckets);
}

bool lf_tok_words_find(const struct lf_tok_words *words, uint64_t hash, struct lf_str word,
                       const int32_t **ids, size_t *n_ids)
{
    struct lf_tok_bucket *b = &words->buckets[hash & words->mask];
    for (int k = 0; k < BUCKET; k++) {
        if (atomic_load_explicit(&b->hash[k], memory_order_relaxed) != hash)
            continue;
        const struct lf_tok_word *w = atomic_load_explicit(&b->word[k], memory_order_acquire);
        if (w && w->n_bytes == word.n && memcmp(w->ids + w->n_ids, word.s, word.n) == 0) {
            *ids = w->ids;
            *n_ids = w->n_ids;
            return true;
        }
    }
    return false;
}

void lf_tok_words_put(const struct lf_tok_words *words, uint64_t hash, struct lf_str word,
                      const int32_t *ids, size_t n_ids)
{
    struct lf_tok_bucket *b = &words->buckets[hash & words->mask];
    for (int k = 0; k < BUCKET; k++) {
        if (atomic_load_explicit(&b->word[k], memory_order_relaxed))
            continue;
        struct lf_tok_word *w = malloc(sizeof *w + n_ids * sizeof *ids + word.n);
        if (!w)
            return;
        *w = (struct lf_tok_word){.n_bytes = (uint32_t)word.n, .n_ids = (uint32_t)n_ids};
        memcpy(w->ids, ids, n_ids * sizeof *ids);
        memcpy(w->ids + n_ids, word.s, word.n);
        struct lf_tok_word *empty = NULL;
        if (atomic_compare_exchange_strong_explicit(&b->word[k], &empty, w, memory_order_release,
                                                    memory_order_relaxed))
            atomic_store_explicit(&b->hash[k], hash, memory_order_relaxed);
        else
            free(w);
        return;
    }
}
