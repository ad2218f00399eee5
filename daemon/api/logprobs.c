/* Log-probabilities in OpenAI's two forms. */
#include "daemon/api/logprobs.h"

#include "core/grow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST -9999.0 /* in the place of minus infinity, which JSON has no word for */

/* ---- The record ------------------------------------------------------------------------------ */

void lf_token_record_free(struct lf_token_record *r)
{
    free(r->v);
    free(r->offset);
    *r = (struct lf_token_record){0};
}

static enum lf_err add(struct lf_token_record *r, const struct lf_generated *t, size_t offset)
{
    enum lf_err rc = lf_grow(&r->v, &r->cap_v, r->n + 1, sizeof *r->v);
    rc = rc ?: lf_grow(&r->offset, &r->cap_offset, r->n + 1, sizeof *r->offset);
    if (rc != LF_OK)
        return rc;
    r->offset[r->n] = offset;
    r->v[r->n++] = *t;
    return LF_OK;
}

enum lf_err lf_token_record_add(struct lf_token_record *r, const struct lf_completion *c,
                                size_t offset)
{
    return add(r, &c->made, offset);
}

size_t lf_text_chars(const char *text, size_t n)
{
    size_t chars = 0;
    for (size_t i = 0; i < n; i++)
        chars += (text[i] & 0xC0) != 0x80;
    return chars;
}

enum lf_err lf_token_record_prompt(struct lf_token_record *r, struct lf_buf *text,
                                   const struct lf_completion *c, const int32_t *ids)
{
    struct lf_decoder d;
    size_t from = text->len, chars = 0;
    enum lf_err rc = LF_OK;
    lf_decoder_init(&d, c->tokenizer, true);
    for (int t = 0; t < c->n_prompt && rc == LF_OK; t++) {
        struct lf_generated one = {.token = ids[t], .logprob = NAN};
        if (t > 0)
            one = lf_generation_prompt(c->g, t);
        rc = add(r, &one, chars);
        rc = rc ?: lf_decoder_push(&d, text, ids[t]);
        chars += lf_text_chars(text->data ? text->data + from : "", text->len - from);
        from = text->len;
    }
    rc = rc ?: lf_decoder_finish(&d, text);
    lf_decoder_free(&d);
    return rc;
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

/* A token by itself, special ones by their spelling. */
static void decode(struct lf_buf *text, const struct lf_completion *c, int32_t id)
{
    if (lf_tokenizer_decode(c->tokenizer, text, &id, 1, false) != LF_OK)
        lf_buf_reset(text);
}

static void put_token(struct lf_buf *b, const struct lf_completion *c, int32_t id)
{
    lf_buf_auto t = {0};
    decode(&t, c, id);
    lf_buf_json(b, t.data, t.len);
}

static void put_logprob(struct lf_buf *b, float x)
{
    if (isnan(x))
        lf_buf_puts(b, "null");
    else
        lf_buf_printf(b, "%.6g", fmax((double)x, LEAST));
}

/* Alternatives that there are. */
static int n_tops(const struct lf_completion *c, const struct lf_generated *t)
{
    int n = 0;
    while (t->top_ids && n < c->top_n && t->top_ids[n] >= 0)
        n++;
    return n;
}

/* ---- Completions ----------------------------------------------------------------------------- */

/* Members of an object, each name once: of tokens that read the same, the likeliest. */
struct listed_names {
    struct lf_buf texts;
    size_t end[LF_TOP_LOGPROBS_MAX + 1];
    int n;
};

static void put_named(struct lf_buf *b, struct listed_names *m, const struct lf_completion *c,
                      int32_t id, float logprob)
{
    size_t from = m->texts.len;
    lf_buf_auto t = {0};
    decode(&t, c, id);
    for (int i = 0; i < m->n; i++) {
        size_t begin = i ? m->end[i - 1] : 0, n = m->end[i] - begin;
        if (n == t.len && (n == 0 || memcmp(m->texts.data + begin, t.data, n) == 0))
            return;
    }
    if (t.len > 0 && lf_buf_append(&m->texts, t.data, t.len) != LF_OK)
        return;
    m->end[m->n++] = from + t.len;
    lf_buf_puts(b, m->n > 1 ? "," : "");
    lf_buf_json(b, t.data, t.len);
    lf_buf_putc(b, ':');
    put_logprob(b, logprob);
}

static void put_tops(struct lf_buf *b, const struct lf_completion *c, const struct lf_generated *t)
{
    struct listed_names m = {0};
    bool listed = false;
    if (isnan(t->logprob)) {
        lf_buf_puts(b, "null");
        return;
    }
    lf_buf_putc(b, '{');
    for (int i = 0; i < n_tops(c, t); i++) {
        put_named(b, &m, c, t->top_ids[i], t->top_logprob[i]);
        listed |= t->top_ids[i] == t->token;
    }
    if (!listed)
        put_named(b, &m, c, t->token, t->logprob);
    lf_buf_putc(b, '}');
    lf_buf_free(&m.texts);
}

void lf_put_completion_logprobs(struct lf_buf *b, const struct lf_completion *c,
                                const struct lf_token_record *r)
{
    lf_buf_puts(b, "{\"tokens\":[");
    for (size_t i = 0; i < r->n; i++) {
        lf_buf_puts(b, i ? "," : "");
        put_token(b, c, r->v[i].token);
    }
    lf_buf_puts(b, "],\"token_logprobs\":[");
    for (size_t i = 0; i < r->n; i++) {
        lf_buf_puts(b, i ? "," : "");
        put_logprob(b, r->v[i].logprob);
    }
    lf_buf_puts(b, "],\"top_logprobs\":[");
    for (size_t i = 0; i < r->n; i++) {
        lf_buf_puts(b, i ? "," : "");
        put_tops(b, c, &r->v[i]);
    }
    lf_buf_puts(b, "],\"text_offset\":[");
    for (size_t i = 0; i < r->n; i++)
        lf_buf_printf(b, i ? ",%zu" : "%zu", r->offset[i]);
    lf_buf_puts(b, "]}");
}

/* ---- Chats ----------------------------------------------------------------------------------- */

/* "token", "logprob" and "bytes"; these null where the token is part of a character. */
static void put_chat_token(struct lf_buf *b, const struct lf_completion *c, int32_t id,
                           float logprob)
{
    lf_buf_auto t = {0};
    decode(&t, c, id);
    lf_buf_puts(b, "{\"token\":");
    lf_buf_json(b, t.data, t.len);
    lf_buf_puts(b, ",\"logprob\":");
    put_logprob(b, logprob);
    lf_buf_puts(b, ",\"bytes\":");
    bool whole = t.len > 0 && !strstr(t.data, "\xEF\xBF\xBD");
    for (size_t i = 0; whole && i < t.len; i++)
        lf_buf_printf(b, i ? ",%d" : "[%d", (unsigned char)t.data[i]);
    lf_buf_puts(b, whole ? "]" : "null");
}

void lf_put_chat_logprobs(struct lf_buf *b, const struct lf_completion *c,
                          const struct lf_token_record *r)
{
    lf_buf_puts(b, "{\"content\":[");
    for (size_t i = 0; i < r->n; i++) {
        const struct lf_generated *t = &r->v[i];
        lf_buf_puts(b, i ? "," : "");
        put_chat_token(b, c, t->token, t->logprob);
        lf_buf_puts(b, ",\"top_logprobs\":[");
        for (int k = 0; k < n_tops(c, t); k++) {
            lf_buf_puts(b, k ? "," : "");
            put_chat_token(b, c, t->top_ids[k], t->top_logprob[k]);
            lf_buf_putc(b, '}');
        }
        lf_buf_puts(b, "]}");
    }
    lf_buf_puts(b, "],\"refusal\":null}");
}
