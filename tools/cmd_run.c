/* `lorafs run` and `lorafs chat`: ask an adapter of a daemon, once or line by line. */
#include "client/remote.h"
#include "core/json.h"
#include "tools/commands.h"
#include "tools/interrupt.h"
#include "tools/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct talk {
    struct lf_remote *remote;
    const char *name, *system;
    int64_t max_tokens, seed;
    double temperature;
    json_t *messages;     /* of a chat: all turns so far */
    struct lf_buf answer; /* the turn's text */
    struct lf_buf line;   /* of the stream, unfinished */
    struct lf_diag why;   /* an error within the stream; "": none */
};

#define TALK_OPTIONS(t)                                                                           \
    {"max-tokens",    'n',                                                                        \
     LF_OPT_INT,      "N",                                                                        \
     &(t).max_tokens, "most tokens of an answer; otherwise the adapter's setting",                \
     .lo = 1,         .hi = 1 << 20},                                                             \
        {"temperature",    'T',                                                                   \
         LF_OPT_REAL,      "X",                                                                   \
         &(t).temperature, "0 takes the likeliest token; otherwise the daemon's default",         \
         .lo = 0,          .hi = 2},                                                              \
    {                                                                                             \
        "seed", 0, LF_OPT_INT, "N", &(t).seed, "of the sampling; the same gives the same answer", \
            .lo = 0, .hi = 1e15                                                                   \
    }

static void show(struct talk *t, const char *text, size_t n)
{
    fwrite(text, 1, n, stdout);
    fflush(stdout);
    (void)!lf_buf_append(&t->answer, text, n);
}

/* ---- A completion ---------------------------------------------------------------------------- */

static void take_text(void *arg, const char *data, size_t n)
{
    show(arg, data, n);
}

static enum lf_err complete(struct talk *t, const char *prompt, size_t n, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], query[160];
    int at = snprintf(query, sizeof query, "/generate?");
    if (t->max_tokens > 0)
        at += snprintf(query + at, sizeof query - (size_t)at, "max_tokens=%lld&",
                       (long long)t->max_tokens);
    if (t->temperature >= 0)
        at += snprintf(query + at, sizeof query - (size_t)at, "temperature=%g&", t->temperature);
    if (t->seed >= 0)
        at += snprintf(query + at, sizeof query - (size_t)at, "seed=%lld&", (long long)t->seed);
    query[at - 1] = '\0';
    enum lf_err rc = lf_remote_path(path, t->name, query, diag);
    return rc ?: lf_remote_post(t->remote, path, "text/plain", prompt, n, take_text, t, diag);
}

/* ---- A turn of a chat ------------------------------------------------------------------------ */

/* One "data: {...}" of the stream. */
static void take_event(struct talk *t, const char *line)
{
    static const char start[] = "data: ";
    json_auto_t *j = NULL;
    if (strncmp(line, start, sizeof start - 1) != 0)
        return;
    const char *text = line + sizeof start - 1;
    if (lf_json_parse(&j, text, strlen(text), NULL) != LF_OK) /* [DONE] */
        return;
    const char *error = lf_json_text_of(json_object_get(j, "error"), "message");
    if (*error)
        snprintf(t->why.text, sizeof t->why.text, "%s", error);
    const json_t *choice = json_array_get(json_object_get(j, "choices"), 0);
    const char *delta = lf_json_text_of(json_object_get(choice, "delta"), "content");
    show(t, delta, strlen(delta));
}

static void take_stream(void *arg, const char *data, size_t n)
{
    struct talk *t = arg;
    for (size_t i = 0; i < n; i++) {
        if (data[i] != '\n') {
            (void)!lf_buf_putc(&t->line, data[i]);
            continue;
        }
        if (t->line.len > 0)
            take_event(t, t->line.data);
        lf_buf_reset(&t->line);
    }
}

static json_t *chat_request(const struct talk *t)
{
    json_t *j =
        json_pack("{s:s, s:O, s:b}", "model", t->name, "messages", t->messages, "stream", 1);
    if (j && t->max_tokens > 0)
        json_object_set_new(j, "max_tokens", json_integer(t->max_tokens));
    if (j && t->temperature >= 0)
        json_object_set_new(j, "temperature", json_real(t->temperature));
    if (j && t->seed >= 0)
        json_object_set_new(j, "seed", json_integer(t->seed));
    return j;
}

/* A turn that failed or was interrupted leaves the history as it was. */
static enum lf_err chat(struct talk *t, const char *said, size_t n, struct lf_diag *diag)
{
    json_array_append_new(t->messages,
                          json_pack("{s:s, s:s%}", "role", "user", "content", said, n));
    json_auto_t *request = chat_request(t);
    char *body = request ? json_dumps(request, JSON_COMPACT) : NULL;
    t->why.text[0] = '\0';
    lf_buf_reset(&t->line);
    enum lf_err rc = body ? lf_remote_post(t->remote, "/v1/chat/completions", "application/json",
                                           body, strlen(body), take_stream, t, diag)
                          : lf_fail(diag, LF_E_INVALID, "what was said is not UTF-8");
    free(body);
    if (rc == LF_OK && t->why.text[0])
        rc = lf_fail(diag, LF_E_FAILED, "%s", t->why.text);
    if (rc == LF_OK)
        json_array_append_new(t->messages, json_pack("{s:s, s:s}", "role", "assistant", "content",
                                                     t->answer.data ? t->answer.data : ""));
    else
        json_array_remove(t->messages, json_array_size(t->messages) - 1);
    return rc;
}

/* ---- Line by line ---------------------------------------------------------------------------- */

static void begin_chat(struct talk *t)
{
    json_decref(t->messages);
    t->messages = json_array();
    if (t->system)
        json_array_append_new(t->messages,
                              json_pack("{s:s, s:s}", "role", "system", "content", t->system));
}

/* "/word" of a person; true: it was one. */
static bool command(struct talk *t, const char *line, bool *over)
{
    if (line[0] != '/')
        return false;
    if (strcmp(line, "/exit") == 0 || strcmp(line, "/quit") == 0 || strcmp(line, "/bye") == 0)
        *over = true;
    else if (strcmp(line, "/clear") == 0 && t->messages)
        begin_chat(t);
    else if (strcmp(line, "/history") == 0 && t->messages)
        json_dumpf(t->messages, stdout, JSON_INDENT(2)), putchar('\n');
    else
        fprintf(stderr, "%s/exit ends it; Ctrl-C ends an answer\n",
                t->messages ? "/clear forgets the conversation, /history shows it, " : "");
    return true;
}

/* A line, or (out->len 0 and *over) the end. */
static void read_line(struct lf_buf *out, bool asks, bool *over)
{
    char piece[4096];
    lf_buf_reset(out);
    if (asks)
        fputs("> ", stderr);
    for (;;) {
        if (!fgets(piece, sizeof piece, stdin)) {
            *over = out->len == 0;
            return;
        }
        size_t n = strcspn(piece, "\n");
        if (lf_buf_append(out, piece, n) != LF_OK || piece[n] == '\n')
            return;
    }
}

static enum lf_err turn(struct talk *t, const char *text, size_t n, struct lf_diag *diag)
{
    lf_buf_reset(&t->answer);
    enum lf_err rc = t->messages ? chat(t, text, n, diag) : complete(t, text, n, diag);
    if (t->answer.len > 0 || rc == LF_OK)
        putchar('\n');
    fflush(stdout);
    return rc;
}

static int talk(struct talk *t, const struct lf_usage *usage, bool asks)
{
    lf_buf_auto line = {.max = LF_PROMPT_BYTES_MAX};
    int status = 0;
    for (bool over = false; !over;) {
        struct lf_diag diag = {""};
        read_line(&line, asks, &over);
        if (line.len == 0 || command(t, line.data, &over))
            continue;
        lf_interrupt_rearm();
        enum lf_err rc = turn(t, line.data, line.len, &diag);
        if (rc == LF_E_CANCELLED && asks)
            continue;
        if (rc != LF_OK)
            status = lf_command_failed(usage, rc, &diag);
        if (rc == LF_E_UNREACHABLE)
            break;
    }
    if (asks)
        fputc('\n', stderr);
    return status;
}

/* ---- The commands ---------------------------------------------------------------------------- */

/* All of stdin, without one newline at its end; or the arguments. */
static enum lf_err prompt_of(struct lf_buf *out, const struct lf_args *args, struct lf_diag *diag)
{
    char piece[4096];
    size_t n;
    for (int i = 1; i < args->n; i++)
        lf_buf_printf(out, "%s%s", i > 1 ? " " : "", args->v[i]);
    while (args->n == 1 && (n = fread(piece, 1, sizeof piece, stdin)) > 0)
        if (lf_buf_append(out, piece, n) != LF_OK)
            break;
    if (out->rc != LF_OK)
        return lf_fail(diag, out->rc, "the prompt is over %u bytes", LF_PROMPT_BYTES_MAX);
    if (args->n == 1 && out->len > 0 && out->data[out->len - 1] == '\n')
        out->len--;
    return LF_OK;
}

static int run(struct talk *t, const struct lf_remote_options *o, const struct lf_usage *usage,
               const struct lf_args *args)
{
    struct lf_diag diag = {""};
    lf_buf_auto prompt = {.max = LF_PROMPT_BYTES_MAX};
    bool asks = isatty(STDIN_FILENO), lines = t->messages || asks;
    int status = 0;
    t->name = args->v[0];
    enum lf_err rc = lf_remote_new(&t->remote, o, &diag);
    if (rc == LF_OK)
        lf_remote_stop_on(t->remote, &lf_interrupted);
    if (rc == LF_OK && args->n == 1 && lines) {
        status = talk(t, usage, asks);
    } else {
        lf_interrupt_watch();
        rc = rc ?: prompt_of(&prompt, args, &diag);
        rc = rc ?: turn(t, prompt.data ? prompt.data : "", prompt.len, &diag);
    }
    lf_remote_free(t->remote);
    lf_buf_free(&t->answer);
    lf_buf_free(&t->line);
    json_decref(t->messages);
    return rc == LF_OK ? status : lf_command_failed(usage, rc, &diag);
}

int lf_cmd_run(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct talk t = {.seed = -1, .temperature = -1};
    const struct lf_option options[] = {TALK_OPTIONS(t), LF_REMOTE_OPTIONS(o), {0}};
    const struct lf_usage usage = {
        "lorafs run",
        "NAME [PROMPT...]",
        "Completes a prompt with an adapter of a daemon, through the adapter's template, and "
        "prints the answer as it comes. The prompt is what follows the name, else stdin; on a "
        "terminal, each line is one. An empty one asks the adapter's stored `prompt`.",
        options,
        1,
        -1,
        "  lorafs run viggo 'Great film. Sentiment:'\n"
        "  lorafs run viggo -n 64 < prompt"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    return run(&t, &o, &usage, &args);
}

int lf_cmd_chat(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct talk t = {.seed = -1, .temperature = -1};
    const struct lf_option options[] = {
        {"system", 's', LF_OPT_STR, "TEXT", &t.system, "the system's message"},
        TALK_OPTIONS(t),
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs chat",
        "NAME [TEXT...]",
        "Talks with an adapter of a daemon, asked as it was trained: each line is a turn, "
        "and all turns so far are asked with it. /clear forgets them, /history shows them, /exit "
        "or Ctrl-D ends; Ctrl-C ends an answer. With TEXT: one turn.",
        options,
        1,
        -1,
        "  lorafs chat support --system 'You are brief.'"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    begin_chat(&t);
    return run(&t, &o, &usage, &args);
}
