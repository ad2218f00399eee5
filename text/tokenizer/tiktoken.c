/* tokenizer.model of tiktoken, as Llama 3 is published: a line for each token, its bytes in base64
 * and its rank. The file holds neither pattern nor special tokens; they are Llama 3's. A pair of
 * tokens merges when their bytes together are a token, the lowest rank first; a word that is a
 * token is not merged at all. */
#include "core/utf8.h"
#include "text/limits.h"
#include "text/tokenizer/load.h"

#include <stdio.h>
#include <string.h>

#define N_SPECIAL 256

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes up to a byte that is no digit; the number of digits read. */
static size_t base64_decode(unsigned char *out, size_t max, size_t *n, struct lf_str s)
{
    uint32_t bits = 0, have = 0;
    size_t i = 0;
    *n = 0;
    for (; i < s.n && base64_digit(s.s[i]) >= 0 && *n < max; i++) {
        bits = bits << 6 | (uint32_t)base64_digit(s.s[i]);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[(*n)++] = (unsigned char)(bits >> have);
        }
    }
    return i;
}

/* "aGVsbG8= 123\n" off the front of s. */
static bool read_line(struct lf_str *s, unsigned char token[LF_TOKEN_BYTES_MAX], size_t *n,
                      uint32_t *rank)
{
    size_t i = base64_decode(token, LF_TOKEN_BYTES_MAX, n, *s);
    while (i < s->n && s->s[i] == '=')
        i++;
    if (*n == 0 || i >= s->n || s->s[i++] != ' ')
        return false;
    size_t digits = 0;
    *rank = 0;
    for (; i < s->n && s->s[i] >= '0' && s->s[i] <= '9' && digits < 9; i++, digits++)
        *rank = 10 * *rank + (uint32_t)(s->s[i] - '0');
    if (digits == 0 || (i < s->n && s->s[i] != '\n'))
        return false;
    i += i < s->n;
    s->s += i;
    s->n -= i;
    return true;
}

bool lf_tok_is_tiktoken(const char *bytes, size_t n)
{
    unsigned char token[LF_TOKEN_BYTES_MAX];
    size_t len;
    uint32_t rank;
    struct lf_str s = {bytes, n};
    return read_line(&s, token, &len, &rank);
}

static enum lf_err add_tokens(struct lf_tokenizer *t, struct lf_str s, struct lf_diag *diag)
{
    unsigned char token[LF_TOKEN_BYTES_MAX];
    char spelling[2 * LF_TOKEN_BYTES_MAX + 4];
    enum lf_err rc = LF_OK;
    for (size_t line = 1; s.n > 0 && rc == LF_OK; line++) {
        size_t n, len = 0;
        uint32_t rank;
        struct lf_str kept;
        if (!read_line(&s, token, &n, &rank))
            return lf_fail(diag, LF_E_DAMAGED, "line %zu is not a token in base64 and its rank",
                           line);
        for (size_t i = 0; i < n; i++)
            len += lf_utf8_put(spelling + len, lf_tok_byte_to_char(token[i]));
        rc = lf_tok_strdup(&t->arena, &kept, spelling, len, diag);
        rc = rc ?: lf_tok_bpe_add(&t->bpe, kept, rank, diag);
    }
    return rc ?: lf_tok_bpe_index(&t->bpe, diag);
}

static enum lf_err add_merges(struct lf_tokenizer *t, struct lf_diag *diag)
{
    lf_buf_auto merges = {0};
    for (uint32_t id = 0; id < t->bpe.n_ids; id++) {
        struct lf_str s = t->bpe.spelling[id];
        for (size_t i = s.n ? lf_utf8_len(s.s, s.n) : 0; i < s.n;
             i += lf_utf8_len(s.s + i, s.n - i)) {
            int32_t left = lf_tok_bpe_find(&t->bpe, (struct lf_str){s.s, i});
            int32_t right =
                left < 0 ? -1 : lf_tok_bpe_find(&t->bpe, (struct lf_str){s.s + i, s.n - i});
            struct lf_tok_merge m = {LF_TOK_PAIR(left, right), id, (int32_t)id};
            if (right >= 0)
                lf_buf_append(&merges, &m, sizeof m);
        }
    }
    return lf_tok_bpe_merges(&t->bpe, &merges, diag);
}

/* The 256 special tokens after the ranks: those with a use have names, the others are numbered. */
static enum lf_err add_special(struct lf_tokenizer *t, struct lf_diag *diag)
{
    static const char *const names[N_SPECIAL] = {
        [0] = "<|begin_of_text|>",   [1] = "<|end_of_text|>",   [4] = "<|finetune_right_pad_id|>",
        [6] = "<|start_header_id|>", [7] = "<|end_header_id|>", [8] = "<|eom_id|>",
        [9] = "<|eot_id|>",          [10] = "<|python_tag|>",
    };
    enum lf_err rc = lf_tok_added_init(t, N_SPECIAL, diag);
    int reserved = 0;
    for (size_t i = 0; i < N_SPECIAL && rc == LF_OK; i++) {
        char name[48];
        if (names[i])
            snprintf(name, sizeof name, "%s", names[i]);
        else
            snprintf(name, sizeof name, "<|reserved_special_token_%d|>", reserved++);
        struct lf_tok_added a = {.special = true};
        rc = lf_tok_strdup(&t->arena, &a.content, name, strlen(name), diag);
        rc = rc ?: lf_tok_added_put(t, &a, diag);
    }
    return rc;
}

enum lf_err lf_tok_parse_tiktoken(struct lf_tokenizer **out, const char *bytes, size_t n,
                                  struct lf_diag *diag)
{
    struct lf_tokenizer *t;
    enum lf_err rc = lf_tok_new(&t, diag);
    if (rc != LF_OK)
        return rc;
    t->bpe.ignore_merges = true;
    rc = add_tokens(t, (struct lf_str){bytes, n}, diag) ?: add_merges(t, diag);
    rc = rc ?: add_special(t, diag);
    rc = rc ?: lf_tok_split_llama3(t, diag);
    rc = rc ?: lf_tok_byte_level(t, diag);
    rc = rc ?: lf_tok_ready(t, diag);
    t->bos = lf_tokenizer_find(t, "<|begin_of_text|>");
    t->eos = lf_tokenizer_find(t, "<|end_of_text|>");
    rc = rc ?: lf_tok_template(t, true, false, diag);
    if (rc == LF_OK)
        *out = t;
    else
        lf_tokenizer_free(t);
    return rc;
}
