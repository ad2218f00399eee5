/* OpenAI's answers: in one piece, and as events. */
#include "daemon/api/openai.h"
#include "daemon/api/logprobs.h"
#include "daemon/api/sse.h"
#include "daemon/limits.h"

#include "core/json.h"
#include "text/tool_calls.h"

#include <stdlib.h>
#include <string.h>

/* "finish_reason", as JSON. */
static const char *const finish_words[] = {[LF_ENDING_NONE] = "null",
                                           [LF_ENDING_EOS] = "\"stop\"",
                                           [LF_ENDING_STOP] = "\"stop\"",
                                           [LF_ENDING_LENGTH] = "\"length\""};

static void put_head(struct lf_buf *b, const struct lf_openai *o, const char *object)
{
    lf_buf_printf(b, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":\"%s\",", o->id,
                  object, (long long)o->created, o->request.model.name);
}

/* A prompt counts once, every completion of it counts, also those that best_of leaves out. */
struct usage {
    int prompt, completion;
    int cached; /* of the prompts */
};

static int prompts_of(const struct lf_openai *o, const struct lf_completion *list)
{
    int n = 0;
    for (int i = 0; i < o->n_prompts; i++)
        n += list[i * o->best_of].n_prompt;
    return n;
}

/* When all have ended. */
static struct usage usage_of(const struct lf_openai *o, const struct lf_completion *list)
{
    struct usage u = {.prompt = prompts_of(o, list)};
    for (int i = 0; i < o->n_prompts * o->best_of; i++) {
        u.cached += i % o->best_of == 0 ? lf_generation_cached(list[i].g) : 0;
        u.completion += list[i].n_tokens;
    }
    return u;
}

static void put_usage(struct lf_buf *b, struct usage u)
{
    lf_buf_printf(b,
                  "\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,"
                  "\"total_tokens\":%d,\"prompt_tokens_details\":{\"cached_tokens\":%d}}",
                  u.prompt, u.completion, u.prompt + u.completion, u.cached);
}

static void put_logprobs(struct lf_buf *b, const struct lf_openai *o, const struct lf_completion *c,
                         const struct lf_token_record *r)
{
    lf_buf_puts(b, "\"logprobs\":");
    if (!o->logprobs)
        lf_buf_puts(b, "null");
    else if (o->chat)
        lf_put_chat_logprobs(b, c, r);
    else
        lf_put_completion_logprobs(b, c, r);
}

/* The i-th completion's prompt as text, and its tokens where they are wanted. */
static enum lf_err put_echo(struct lf_buf *text, struct lf_token_record *r,
                            const struct lf_openai *o, const struct lf_completion *c, int i)
{
    const struct lf_ids *p = &o->prompt[i / o->best_of];
    if (o->request.score_prompt)
        return lf_token_record_prompt(r, text, c, p->ids);
    return lf_tokenizer_decode(c->tokenizer, text, p->ids, p->n, true);
}

/* ---- Calls of tools -------------------------------------------------------------------------- */

/* The tools that the text calls, where it may (*calls is yours; NULL: none), and how many bytes of
 * it are content. */
static enum lf_err find_calls(json_t **calls, size_t *n_content, const struct lf_openai *o,
                              const struct lf_buf *text)
{
    *calls = NULL;
    *n_content = text->len;
    if (!o->tools)
        return LF_OK;
    enum lf_err rc = lf_tool_calls_find(calls, n_content, text->data, text->len, o->tools);
    while (*calls && o->call_once && json_array_size(*calls) > 1)
        json_array_remove(*calls, json_array_size(*calls) - 1);
    return rc;
}

/* "tool_calls"; in a stream each has its index. */
static void put_calls(struct lf_buf *b, const json_t *calls, bool indexed)
{
    lf_buf_puts(b, "\"tool_calls\":[");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i);
        const char *name = lf_json_text_of(call, "name");
        lf_buf_auto arguments = {0};
        char id[25];
        lf_answer_id(id);
        lf_buf_puts(b, i ? ",{" : "{");
        if (indexed)
            lf_buf_printf(b, "\"index\":%zu,", i);
        lf_buf_printf(b, "\"id\":\"call_%s\",\"type\":\"function\",\"function\":{\"name\":", id);
        lf_buf_json(b, name, strlen(name));
        lf_buf_puts(b, ",\"arguments\":");
        lf_json_put(&arguments, json_incref(json_object_get(call, "arguments")), 0);
        lf_buf_json(b, arguments.data, arguments.len);
        lf_buf_puts(b, "}}");
    }
    lf_buf_putc(b, ']');
}

/* ---- In one piece ---------------------------------------------------------------------------- */

/* A completion that has ended. */
struct finished {
    struct lf_buf text;
    size_t n_content; /* bytes of it before the calls */
    json_t *calls;    /* the rest is; NULL: none */
    struct lf_token_record tokens;
};

static void answers_free(struct finished *list, int n)
{
    for (int i = 0; list && i < n; i++) {
        lf_buf_free(&list[i].text);
        json_decref(list[i].calls);
        lf_token_record_free(&list[i].tokens);
    }
    free(list);
}

/* The i-th completion to its end. */
static enum lf_err collect(struct finished *a, struct lf_http *q, const struct lf_openai *o,
                           struct lf_completion *c, int i, struct lf_diag *diag)
{
    bool ready = false, stepped;
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && !ready)
        rc = lf_completion_await(c, q, 1000, &ready, diag);
    if (rc == LF_OK && o->echo)
        rc = put_echo(&a->text, &a->tokens, o, c, i);
    size_t chars = lf_text_chars(lf_buf_str(&a->text), a->text.len);
    while (rc == LF_OK && c->out.ending == LF_ENDING_NONE) {
        rc = lf_completion_next(c, q, &stepped, diag);
        if (rc == LF_OK && stepped && o->logprobs)
            rc = lf_token_record_add(&a->tokens, c, chars);
        if (rc == LF_OK && c->out.text.len > 0) {
            chars += lf_text_chars(c->out.text.data, c->out.text.len);
            rc = lf_buf_append(&a->text, c->out.text.data, c->out.text.len);
            lf_buf_reset(&c->out.text);
        }
    }
    return rc ?: find_calls(&a->calls, &a->n_content, o, &a->text);
}

/* Whether the k-th completion of a prompt is one of the n that are answered; the earlier one among
 * equals. */
static bool is_answered(const struct lf_openai *o, const struct lf_completion *of_prompt, int k)
{
    int better = 0;
    for (int i = 0; i < o->best_of; i++)
        better +=
            lf_completion_worth(&of_prompt[i]) > lf_completion_worth(&of_prompt[k]) ||
            (lf_completion_worth(&of_prompt[i]) == lf_completion_worth(&of_prompt[k]) && i < k);
    return better < o->n;
}

static void put_choice(struct lf_buf *b, const struct lf_openai *o, const struct lf_completion *c,
                       const struct finished *a, int index)
{
    lf_buf_printf(b, "%s{\"index\":%d,", index ? "," : "", index);
    lf_buf_puts(b, o->chat ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"text\":");
    if (a->calls && a->n_content == 0)
        lf_buf_puts(b, "null");
    else
        lf_buf_json(b, a->text.data, a->n_content);
    if (a->calls) {
        lf_buf_putc(b, ',');
        put_calls(b, a->calls, false);
    }
    lf_buf_puts(b, o->chat ? "}," : ",");
    put_logprobs(b, o, c, &a->tokens);
    lf_buf_printf(b, ",\"finish_reason\":%s}",
                  a->calls ? "\"tool_calls\"" : finish_words[c->out.ending]);
}

enum lf_err lf_openai_reply(struct lf_http *q, struct lf_openai *o, struct lf_completion *list,
                            struct lf_diag *diag)
{
    lf_buf_auto b = {0};
    int n = o->n_prompts * o->best_of, index = 0;
    struct finished *answers = calloc((size_t)n, sizeof *answers);
    enum lf_err rc = answers ? LF_OK : lf_no_memory(diag, "the answers");
    for (int i = 0; i < n && rc == LF_OK; i++)
        rc = collect(&answers[i], q, o, &list[i], i, diag);
    if (rc == LF_OK) {
        struct usage u = usage_of(o, list);
        put_head(&b, o, o->chat ? "chat.completion" : "text_completion");
        lf_buf_puts(&b, "\"choices\":[");
        for (int i = 0; i < n; i++)
            if (is_answered(o, &list[i - i % o->best_of], i % o->best_of))
                put_choice(&b, o, &list[i], &answers[i], index++);
        lf_buf_puts(&b, "],");
        put_usage(&b, u);
        lf_buf_puts(&b, "}\n");
        lf_completion_headers(q, &o->request.model, u.prompt, u.completion, &list[n - 1]);
        lf_http_reply(q, 200, "application/json", &b);
    }
    answers_free(answers, n);
    lf_completions_free(list, n);
    return rc;
}

/* ---- As events ------------------------------------------------------------------------------- */

struct streaming {
    struct lf_openai o;
    json_t *body; /* holds the stop strings */
    struct streamed {
        bool began;
        size_t offset;      /* characters of text that came */
        bool sent;          /* some content was */
        struct lf_buf held; /* text that may turn out to be a call */
    } choice[LF_CHOICES_MAX];
    struct lf_token_record tokens; /* since the last event */
};

static void chunk_begin(struct lf_buf *b, const struct streaming *st, int i)
{
    lf_buf_puts(b, "data: ");
    put_head(b, &st->o, st->o.chat ? "chat.completion.chunk" : "text_completion");
    lf_buf_printf(b, "\"choices\":[{\"index\":%d,", i);
}

static void chunk_end(struct lf_buf *b, const struct streaming *st, const char *finish)
{
    lf_buf_printf(b, ",\"finish_reason\":%s}]%s}\n\n", finish,
                  st->o.include_usage ? ",\"usage\":null" : "");
}

/* What comes before the first token: the assistant's role, or the prompt. */
static void begin(struct lf_buf *b, struct streaming *st, const struct lf_completion *c, int i)
{
    lf_buf_auto echo = {0};
    if (st->o.chat) {
        chunk_begin(b, st, i);
        lf_buf_puts(b, "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null");
        chunk_end(b, st, finish_words[LF_ENDING_NONE]);
    } else if (st->o.echo && put_echo(&echo, &st->tokens, &st->o, c, i) == LF_OK) {
        chunk_begin(b, st, i);
        lf_buf_puts(b, "\"text\":");
        lf_buf_json(b, echo.data, echo.len);
        lf_buf_puts(b, ",");
        put_logprobs(b, &st->o, c, &st->tokens);
        chunk_end(b, st, finish_words[LF_ENDING_NONE]);
        st->choice[i].offset = lf_text_chars(lf_buf_str(&echo), echo.len);
        st->tokens.n = 0;
    }
    st->choice[i].began = true;
}

/* The first n bytes of what is held as content; and calls, or NULL. */
static void put_delta(struct lf_buf *b, const struct streaming *st, struct streamed *h, size_t n,
                      const json_t *calls)
{
    lf_buf_puts(b, st->o.chat ? "\"delta\":{" : "\"text\":");
    if (!calls || n > 0) {
        lf_buf_puts(b, st->o.chat ? "\"content\":" : "");
        lf_buf_json(b, h->held.data, n);
        lf_buf_puts(b, calls ? "," : "");
    }
    if (calls)
        put_calls(b, calls, true);
    lf_buf_puts(b, st->o.chat ? "}," : ",");
}

static void event(struct lf_sse *s, struct lf_buf *out, int i, bool stepped)
{
    struct streaming *st = s->state;
    struct lf_completion *c = &s->list[i];
    struct streamed *h = &st->choice[i];
    bool over = c->out.ending != LF_ENDING_NONE;
    json_auto_t *calls = NULL;
    if (!h->began)
        begin(out, st, c, i);
    if (stepped && st->o.logprobs && lf_token_record_add(&st->tokens, c, h->offset) != LF_OK)
        out->rc = LF_E_NO_MEMORY;
    h->offset += lf_text_chars(lf_buf_str(&c->out.text), c->out.text.len);
    if (c->out.text.len > 0)
        lf_buf_append(&h->held, c->out.text.data, c->out.text.len);
    lf_buf_reset(&c->out.text);
    size_t n = h->held.len;
    if (over && find_calls(&calls, &n, &st->o, &h->held) != LF_OK)
        out->rc = LF_E_NO_MEMORY;
    if (!over && st->o.tools)
        n = lf_tool_calls_settled(h->held.data, n, h->sent);
    if (n == 0 && st->tokens.n == 0 && !over)
        return; /* part of a character, or what may become a stop string or a call */
    chunk_begin(out, st, i);
    put_delta(out, st, h, n, calls);
    put_logprobs(out, &st->o, c, &st->tokens);
    chunk_end(out, st, calls ? "\"tool_calls\"" : finish_words[c->out.ending]);
    h->sent |= n > 0;
    st->tokens.n = 0;
    lf_buf_drop_front(&h->held, n);
}

static void end(struct lf_sse *s, struct lf_buf *out)
{
    const struct streaming *st = s->state;
    if (st->o.include_usage) {
        lf_buf_puts(out, "data: ");
        put_head(out, &st->o, st->o.chat ? "chat.completion.chunk" : "text_completion");
        lf_buf_puts(out, "\"choices\":[],");
        put_usage(out, usage_of(&st->o, s->list));
        lf_buf_puts(out, "}\n\n");
    }
    lf_buf_puts(out, "data: [DONE]\n\n");
}

static void streaming_free(void *state)
{
    struct streaming *st = state;
    for (int i = 0; i < LF_CHOICES_MAX; i++)
        lf_buf_free(&st->choice[i].held);
    lf_openai_free(&st->o);
    lf_token_record_free(&st->tokens);
    json_decref(st->body);
    free(st);
}

enum lf_err lf_openai_reply_stream(struct lf_http *q, struct lf_openai *o, json_t *body,
                                   struct lf_completion *list, struct lf_diag *diag)
{
    static const struct lf_sse_dialect dialect = {event, end, streaming_free};
    struct streaming *st = calloc(1, sizeof *st);
    int n = o->n_prompts * o->best_of, prompt = prompts_of(o, list);
    if (!st) {
        lf_completions_free(list, n);
        return lf_no_memory(diag, "a stream");
    }
    st->o = *o;
    st->body = json_incref(body);
    *o = (struct lf_openai){0}; /* the ids and biases are the stream's */
    lf_completion_headers(q, &st->o.request.model, prompt, 0, NULL);
    return lf_sse_reply(q, &dialect, st, list, n, diag);
}
