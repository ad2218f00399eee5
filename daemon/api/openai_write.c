/* OpenAI's answers: in one piece, and as events. */
#include "daemon/api/openai.h"
#include "core/grow.h"
#include "daemon/api/sse.h"
#include "daemon/limits.h"

#include <stdlib.h>
#include <string.h>

/* "finish_reason", as JSON. */
static const char *const finish_words[] = {[LF_ENDING_NONE] = "null",
                                           [LF_ENDING_EOS] = "\"stop\"",
                                           [LF_ENDING_STOP] = "\"stop\"",
                                           [LF_ENDING_LENGTH] = "\"length\""};

static void put_text(struct lf_buf *b, const char *s, size_t n)
{
    lf_buf_putc(b, '"');
    lf_buf_json(b, s ? s : "", n);
    lf_buf_putc(b, '"');
}

/* A token by itself, special ones by their spelling. */
static void put_token(struct lf_buf *b, const struct lf_completion *c, int32_t id)
{
    lf_buf_auto t = {0};
    if (lf_tokenizer_decode(c->tokenizer, &t, &id, 1, false) == LF_OK)
        put_text(b, t.data, t.len);
    else
        lf_buf_puts(b, "\"\"");
}

static void put_head(struct lf_buf *b, const struct lf_openai *o, const char *object)
{
    lf_buf_printf(b, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":\"%s\",", o->id,
                  object, (long long)o->created, o->request.model.name);
}

static void put_usage(struct lf_buf *b, const struct lf_completion *list, int n)
{
    long long prompt = 0, completion = 0;
    for (int i = 0; i < n; i++) {
        prompt += list[i].n_prompt;
        completion += list[i].n_tokens;
    }
    lf_buf_printf(b,
                  "\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,"
                  "\"total_tokens\":%lld}",
                  prompt, completion, prompt + completion);
}

/* ---- Log-probabilities ----------------------------------------------------------------------- */

/* The tokens of an answer, kept for its logprobs. */
struct record {
    struct lf_generated *v;
    size_t *offset; /* of its text in the answer's, bytes */
    size_t n, cap_v, cap_offset;
};

static void record_free(struct record *r)
{
    free(r->v);
    free(r->offset);
}

static enum lf_err record_add(struct record *r, const struct lf_completion *c, size_t offset)
{
    enum lf_err rc = lf_grow(&r->v, &r->cap_v, r->n + 1, sizeof *r->v);
    rc = rc ?: lf_grow(&r->offset, &r->cap_offset, r->n + 1, sizeof *r->offset);
    if (rc != LF_OK)
        return rc;
    r->offset[r->n] = offset;
    r->v[r->n++] = (struct lf_generated){c->token, c->logprob};
    return LF_OK;
}

/* The arrays of a completion's "logprobs". */
static void put_completion_logprobs(struct lf_buf *b, const struct lf_completion *c,
                                    const struct record *r)
{
    lf_buf_puts(b, "{\"tokens\":[");
    for (size_t i = 0; i < r->n; i++) {
        lf_buf_puts(b, i ? "," : "");
        put_token(b, c, r->v[i].token);
    }
    lf_buf_puts(b, "],\"token_logprobs\":[");
    for (size_t i = 0; i < r->n; i++)
        lf_buf_printf(b, i ? ",%.6g" : "%.6g", (double)r->v[i].logprob);
    lf_buf_puts(b, "],\"top_logprobs\":[");
    for (size_t i = 0; i < r->n; i++) {
        lf_buf_puts(b, i ? ",{" : "{");
        put_token(b, c, r->v[i].token);
        lf_buf_printf(b, ":%.6g}", (double)r->v[i].logprob);
    }
    lf_buf_puts(b, "],\"text_offset\":[");
    for (size_t i = 0; i < r->n; i++)
        lf_buf_printf(b, i ? ",%zu" : "%zu", r->offset[i]);
    lf_buf_puts(b, "]}");
}

/* The list of a chat's "logprobs". */
static void put_chat_logprobs(struct lf_buf *b, const struct lf_completion *c,
                              const struct record *r)
{
    lf_buf_puts(b, "{\"content\":[");
    for (size_t i = 0; i < r->n; i++) {
        lf_buf_puts(b, i ? ",{\"token\":" : "{\"token\":");
        put_token(b, c, r->v[i].token);
        lf_buf_printf(b, ",\"logprob\":%.6g,\"bytes\":null,\"top_logprobs\":[]}",
                      (double)r->v[i].logprob);
    }
    lf_buf_puts(b, "],\"refusal\":null}");
}

static void put_logprobs(struct lf_buf *b, const struct lf_openai *o, const struct lf_completion *c,
                         const struct record *r)
{
    lf_buf_puts(b, "\"logprobs\":");
    if (!o->logprobs)
        lf_buf_puts(b, "null");
    else if (o->chat)
        put_chat_logprobs(b, c, r);
    else
        put_completion_logprobs(b, c, r);
}

/* The prompt as text, before the completion's. */
static enum lf_err put_echo(struct lf_buf *text, const struct lf_openai *o,
                            const struct lf_completion *c, int i)
{
    const struct lf_ids *p = &o->prompt[i];
    return lf_tokenizer_decode(c->tokenizer, text, p->ids, p->n, true);
}

/* ---- In one piece ---------------------------------------------------------------------------- */

static enum lf_err choice(struct lf_buf *b, struct lf_http *q, const struct lf_openai *o,
                          struct lf_completion *c, int i, struct lf_diag *diag)
{
    struct record r = {0};
    bool stepped;
    enum lf_err rc = o->echo ? put_echo(&c->out.text, o, c, i) : LF_OK;
    while (rc == LF_OK && c->out.ending == LF_ENDING_NONE) {
        size_t offset = c->out.text.len;
        rc = lf_completion_next(c, q, &stepped, diag);
        if (rc == LF_OK && stepped && o->logprobs)
            rc = record_add(&r, c, offset);
    }
    if (rc == LF_OK) {
        lf_buf_printf(b, "%s{\"index\":%d,", i ? "," : "", i);
        lf_buf_puts(b, o->chat ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"text\":");
        put_text(b, c->out.text.data, c->out.text.len);
        lf_buf_puts(b, o->chat ? "}," : ",");
        put_logprobs(b, o, c, &r);
        lf_buf_printf(b, ",\"finish_reason\":%s}", finish_words[c->out.ending]);
    }
    record_free(&r);
    return rc;
}

enum lf_err lf_openai_reply(struct lf_http *q, struct lf_openai *o, struct lf_completion *list,
                            struct lf_diag *diag)
{
    lf_buf_auto b = {0};
    enum lf_err rc = LF_OK;
    int prompt = 0, tokens = 0;
    put_head(&b, o, o->chat ? "chat.completion" : "text_completion");
    lf_buf_puts(&b, "\"choices\":[");
    for (int i = 0; i < o->n_prompts && rc == LF_OK; i++) {
        rc = choice(&b, q, o, &list[i], i, diag);
        prompt += list[i].n_prompt;
        tokens += list[i].n_tokens;
    }
    lf_buf_puts(&b, "],");
    put_usage(&b, list, o->n_prompts);
    lf_buf_puts(&b, "}\n");
    if (rc == LF_OK) {
        lf_completion_headers(q, &o->request.model, prompt, tokens, &list[o->n_prompts - 1]);
        lf_http_reply(q, 200, "application/json", &b);
    }
    lf_completions_free(list, o->n_prompts);
    return rc;
}

/* ---- As events ------------------------------------------------------------------------------- */

struct streaming {
    struct lf_openai o;
    json_t *body; /* holds the stop strings */
    bool began[LF_PROMPTS_MAX];
    size_t offset[LF_PROMPTS_MAX]; /* bytes of text sent */
    struct record record;          /* since the last event */
};

static void chunk_begin(struct lf_buf *b, const struct streaming *st, int i)
{
    lf_buf_puts(b, "data: ");
    put_head(b, &st->o, st->o.chat ? "chat.completion.chunk" : "text_completion");
    lf_buf_printf(b, "\"choices\":[{\"index\":%d,", i);
}

static void chunk_end(struct lf_buf *b, const struct streaming *st, enum lf_ending ending)
{
    lf_buf_printf(b, ",\"finish_reason\":%s}]%s}\n\n", finish_words[ending],
                  st->o.include_usage ? ",\"usage\":null" : "");
}

/* What comes before the first token: the assistant's role, or the prompt. */
static void begin(struct lf_buf *b, struct streaming *st, const struct lf_completion *c, int i)
{
    struct lf_buf echo = {0};
    if (st->o.chat) {
        chunk_begin(b, st, i);
        lf_buf_puts(b, "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null");
        chunk_end(b, st, LF_ENDING_NONE);
    } else if (st->o.echo && put_echo(&echo, &st->o, c, i) == LF_OK) {
        chunk_begin(b, st, i);
        lf_buf_puts(b, "\"text\":");
        put_text(b, echo.data, echo.len);
        lf_buf_puts(b, ",\"logprobs\":null");
        chunk_end(b, st, LF_ENDING_NONE);
    }
    lf_buf_free(&echo);
    st->began[i] = true;
}

static void event(struct lf_sse *s, struct lf_buf *out, int i, bool stepped)
{
    struct streaming *st = s->state;
    struct lf_completion *c = &s->list[i];
    if (!st->began[i])
        begin(out, st, c, i);
    if (stepped && st->o.logprobs && record_add(&st->record, c, st->offset[i]) != LF_OK)
        out->rc = LF_E_NO_MEMORY;
    if (c->out.text.len == 0 && st->record.n == 0 && c->out.ending == LF_ENDING_NONE)
        return; /* part of a character, or what may become a stop string */
    chunk_begin(out, st, i);
    lf_buf_puts(out, st->o.chat ? "\"delta\":{\"content\":" : "\"text\":");
    put_text(out, c->out.text.data, c->out.text.len);
    lf_buf_puts(out, st->o.chat ? "}," : ",");
    put_logprobs(out, &st->o, c, &st->record);
    chunk_end(out, st, c->out.ending);
    st->offset[i] += c->out.text.len;
    st->record.n = 0;
    lf_buf_reset(&c->out.text);
}

static void end(struct lf_sse *s, struct lf_buf *out)
{
    const struct streaming *st = s->state;
    if (st->o.include_usage) {
        lf_buf_puts(out, "data: ");
        put_head(out, &st->o, st->o.chat ? "chat.completion.chunk" : "text_completion");
        lf_buf_puts(out, "\"choices\":[],");
        put_usage(out, s->list, s->n);
        lf_buf_puts(out, "}\n\n");
    }
    lf_buf_puts(out, "data: [DONE]\n\n");
}

static void streaming_free(void *state)
{
    struct streaming *st = state;
    lf_openai_free(&st->o);
    record_free(&st->record);
    json_decref(st->body);
    free(st);
}

enum lf_err lf_openai_reply_stream(struct lf_http *q, struct lf_openai *o, json_t *body,
                                   struct lf_completion *list, struct lf_diag *diag)
{
    static const struct lf_sse_dialect dialect = {event, end, streaming_free};
    struct streaming *st = calloc(1, sizeof *st);
    int n = o->n_prompts, prompt = 0;
    for (int i = 0; i < n; i++)
        prompt += list[i].n_prompt;
    if (!st) {
        lf_completions_free(list, n);
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a stream");
    }
    st->o = *o;
    st->body = json_incref(body);
    o->n_prompts = 0; /* the ids are the stream's */
    lf_completion_headers(q, &st->o.request.model, prompt, 0, NULL);
    return lf_sse_reply(q, &dialect, st, list, n, diag);
}
