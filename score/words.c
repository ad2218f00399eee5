/* Metrics over words. A word is known by a 64-bit hash of its bytes, so that bags of words are
 * sorted numbers; the chance that two different words of a pair of texts meet is below 1e-12. */
#include "score/words.h"

#include "core/grow.h"
#include "core/num.h"
#include "core/utf8.h"
#include "score/limits.h"
#include "score/metrics.h"
#include "score/spans.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define HASH_START 14695981039346656037ull /* FNV-1a */
#define HASH_PRIME 1099511628211ull

struct words {
    uint64_t *w; /* in the order of the text */
    size_t n, cap;
    bool failed; /* memory was out */
};

static uint64_t hash_byte(uint64_t h, unsigned char c)
{
    return (h ^ c) * HASH_PRIME;
}

/* Spreads the hash's low bits, where FNV is weak (splitmix64's finish). */
static uint64_t mix(uint64_t h)
{
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
    return h ^ (h >> 31);
}

static void push(struct words *ws, uint64_t h)
{
    if (lf_grow(&ws->w, &ws->cap, ws->n + 1, sizeof *ws->w) == LF_OK)
        ws->w[ws->n++] = mix(h);
    else
        ws->failed = true;
}

/* A text being read in lower case. */
struct reader {
    const char *s;
    uint32_t next; /* a code point that comes before s, or 0 */
};

/* The next code point, 0 at the end; bytes that are not UTF-8 come as U+FFFD. U+0130 is the one
 * letter whose lower case is two code points: i and a dot above it. */
static uint32_t next_lower(struct reader *r)
{
    uint32_t cp = r->next;
    r->next = 0;
    if (cp || *r->s == '\0')
        return cp;
    size_t n = lf_utf8_len(r->s, strnlen(r->s, 4));
    cp = n ? lf_utf8_get(r->s, &n) : 0xfffd;
    r->s += n ? n : 1;
    if (cp == 0x130)
        r->next = 0x307;
    return cp == 0x130 ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
}

/* ---- ROUGE ----------------------------------------------------------------------------------- */

/* rouge_score.tokenize without a stemmer: runs of a-z and 0-9 of the lower-cased text. At most
 * LF_METRIC_WORDS_MAX of them. */
static struct words rouge_words(const char *s)
{
    struct words ws = {NULL, 0, 0, false};
    struct reader r = {s, 0};
    uint64_t h = HASH_START;
    bool inside = false;
    for (uint32_t c; ws.n < LF_METRIC_WORDS_MAX && (c = next_lower(&r)) != 0;) {
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (word)
            h = hash_byte(h, (unsigned char)c);
        else if (inside)
            push(&ws, h);
        if (!word)
            h = HASH_START;
        inside = word;
    }
    if (inside && ws.n < LF_METRIC_WORDS_MAX)
        push(&ws, h);
    return ws;
}

/* Size of the common part of two bags; sorts them. */
static size_t overlap(struct words *a, struct words *b)
{
    if (a->n == 0 || b->n == 0)
        return 0;
    qsort(a->w, a->n, sizeof *a->w, lf_order_u64);
    qsort(b->w, b->n, sizeof *b->w, lf_order_u64);
    size_t i = 0, j = 0, same = 0;
    while (i < a->n && j < b->n) {
        if (a->w[i] == b->w[j]) {
            same++;
            i++;
            j++;
        } else if (a->w[i] < b->w[j]) {
            i++;
        } else {
            j++;
        }
    }
    return same;
}

/* Every two neighbours as one: n - 1 of them. */
static void to_bigrams(struct words *ws)
{
    for (size_t i = 0; i + 1 < ws->n; i++)
        ws->w[i] = mix(ws->w[i] * HASH_PRIME ^ ws->w[i + 1]);
    ws->n = ws->n > 0 ? ws->n - 1 : 0;
}

/* Length of the longest common subsequence, in one row of the table; NaN without memory. */
static double common_subsequence(const struct words *a, const struct words *b)
{
    uint32_t *row = calloc(b->n + 1, sizeof *row);
    if (!row)
        return NAN;
    for (size_t i = 0; i < a->n; i++) {
        uint32_t diagonal = 0;
        for (size_t j = 1; j <= b->n; j++) {
            uint32_t above = row[j];
            if (a->w[i] == b->w[j - 1])
                row[j] = diagonal + 1;
            else if (row[j - 1] > above)
                row[j] = row[j - 1];
            diagonal = above;
        }
    }
    uint32_t n = row[b->n];
    free(row);
    return n;
}

static double f1(double same, size_t n_completion, size_t n_reference)
{
    if (same == 0 || n_completion == 0 || n_reference == 0)
        return 0;
    double precision = same / (double)n_completion, recall = same / (double)n_reference;
    return 2 * precision * recall / (precision + recall);
}

/* F1 of two bags or sequences, which it frees. */
static double score(struct words *a, struct words *b, bool in_order)
{
    double f = NAN;
    if (!a->failed && !b->failed) {
        double same = in_order ? common_subsequence(a, b) : (double)overlap(a, b);
        f = f1(same, a->n, b->n);
    }
    free(a->w);
    free(b->w);
    return f;
}

double lf_rouge_1(const char *completion, const char *reference)
{
    struct words a = rouge_words(completion), b = rouge_words(reference);
    return score(&a, &b, false);
}

double lf_rouge_2(const char *completion, const char *reference)
{
    struct words a = rouge_words(completion), b = rouge_words(reference);
    to_bigrams(&a);
    to_bigrams(&b);
    return score(&a, &b, false);
}

double lf_rouge_l(const char *completion, const char *reference)
{
    struct words a = rouge_words(completion), b = rouge_words(reference);
    return score(&a, &b, true);
}

/* ---- SQuAD ----------------------------------------------------------------------------------- */

static bool is_punctuation(uint32_t c)
{
    return c < 0x80 && c != 0 && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", (int)c);
}

static bool is_alphanumeric(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
           (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

static bool is_article(const uint32_t *c, size_t n)
{
    return (n == 1 && c[0] == 'a') || (n == 2 && c[0] == 'a' && c[1] == 'n') ||
           (n == 3 && c[0] == 't' && c[1] == 'h' && c[2] == 'e');
}

/* Turns the articles among c (n) into spaces: runs of letters and digits that are one. */
static void blank_articles(uint32_t *c, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && is_alphanumeric(c[end]))
            end++;
        if (is_article(c + i, end - i))
            for (size_t k = i; k < end; k++)
                c[k] = ' ';
        i = end > i ? end : i + 1;
    }
}

/* The official script's normalize_answer: lower case, no ASCII punctuation, no articles, words
 * between white space. */
static struct words squad_words(const char *s)
{
    struct words ws = {NULL, 0, 0, false};
    struct reader r = {s, 0};
    uint32_t *c = malloc((strlen(s) + 1) * sizeof *c); /* U+0130 has two bytes: it fits */
    if (!c) {
        ws.failed = true;
        return ws;
    }
    size_t n = 0;
    for (uint32_t x; (x = next_lower(&r)) != 0;)
        if (!is_punctuation(x))
            c[n++] = x;
    blank_articles(c, n);
    c[n] = ' ';
    uint64_t h = HASH_START;
    for (size_t i = 0; i <= n; i++) {
        bool space = lf_is_space(c[i]);
        if (space && h != HASH_START)
            push(&ws, h);
        for (int shift = 0; !space && shift < 24; shift += 8)
            h = hash_byte(h, (unsigned char)(c[i] >> shift));
        if (space)
            h = HASH_START;
    }
    free(c);
    return ws;
}

double lf_token_f1(const char *completion, const char *reference)
{
    struct words a = squad_words(completion), b = squad_words(reference);
    bool both_empty = !a.failed && !b.failed && a.n == 0 && b.n == 0;
    double f = score(&a, &b, false);
    return both_empty ? 1 : f;
}
