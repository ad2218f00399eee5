/* A load on a server: who asks what when, and what is heard. */
#include "bench/load.h"

#include "client/http.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/grow.h"
#include "core/json.h"
#include "core/num.h"
#include "core/rng.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_S 300     /* for an answer, at most */
#define AGAIN_S 0.05     /* after a failure a user waits */
#define TAIL 512         /* bytes of an answer in which its usage stands */
#define LINE_MAX_KEPT 16 /* of a line: enough to know what it is */

struct figures {
    double *v;
    size_t n, cap;
};

struct load_run {
    const struct lf_load *l;
    struct lf_client *client;
    struct load_user *users;
    double begin, end; /* of what counts */
    double next;       /* open loop: when the next request comes */
    double *share;     /* (n_models) up to here */
    int64_t *answered; /* (n_models) */
    struct figures first, next_token, whole, hot, others;
    struct lf_load_result r;
    uint64_t asked;
    int64_t events; /* while it is measured */
    struct {
        int64_t tokens, events;
    } ended; /* of all answers that came to their end */
    int busy;
    enum lf_err rc;
};

struct load_user {
    struct load_run *run;
    struct lf_client_call *call; /* NULL: it waits */
    double free_at, began, last; /* last: its last event; 0: none yet */
    int64_t events;
    int model, wanted;        /* tokens asked for */
    char line[LINE_MAX_KEPT]; /* the line under way */
    size_t n_line;
    bool listens; /* to what is not in a line of events yet */
    char tail[TAIL + 1];
    size_t n_tail;
};

static double now_s(void)
{
    return (double)lf_clock_ns() / 1e9;
}

static void note(struct load_run *x, struct figures *f, double v)
{
    if (lf_grow(&f->v, &f->cap, f->n + 1, sizeof *f->v) != LF_OK)
        x->rc = LF_E_NO_MEMORY;
    else
        f->v[f->n++] = v;
}

static bool counts(const struct load_run *x, double t)
{
    return t >= x->begin && t <= x->end;
}

/* ---- Questions ------------------------------------------------------------------------------- */

static uint32_t draw(const struct load_run *x, uint64_t i)
{
    return lf_rng_u32((uint64_t)x->l->seed, x->asked, i);
}

static int between(const int range[2], uint32_t bits)
{
    return range[0] + (int)(bits % (uint32_t)(range[1] - range[0] + 1));
}

static int choose_model(const struct load_run *x)
{
    double u = (double)lf_rng_unit(draw(x, 0)) * x->share[x->l->n_models - 1];
    int i = 0;
    while (i < x->l->n_models - 1 && u >= x->share[i])
        i++;
    return i;
}

/* Token i of a prompt: the model's own for its beginning. */
static uint32_t prompt_token(const struct load_run *x, int model, int i)
{
    uint32_t bits = i < x->l->prefix
                        ? lf_rng_u32((uint64_t)x->l->seed + 1, (uint64_t)model, (uint64_t)i)
                        : draw(x, 8 + (uint64_t)i);
    int range = x->l->vocabulary > 3 ? x->l->vocabulary - 3 : 30000;
    return 3 + bits % (uint32_t)range;
}

static json_t *prompt_of(const struct load_run *x, int model, int n)
{
    lf_buf_auto text = {0};
    json_t *ids = x->l->vocabulary ? json_array() : NULL;
    for (int i = 0; i < n; i++)
        if (ids)
            json_array_append_new(ids, json_integer(prompt_token(x, model, i)));
        else
            lf_buf_printf(&text, "%sw%u", i ? " " : "", prompt_token(x, model, i));
    return ids ? ids : json_stringn(lf_buf_str(&text), text.len);
}

static json_t *body_of(const struct load_run *x, struct load_user *u)
{
    const struct lf_load *l = x->l;
    json_t *prompt = prompt_of(x, u->model, l->prefix + between(l->prompt, draw(x, 1)));
    u->wanted = between(l->completion, draw(x, 2));
    if (l->api == LF_LOAD_COMPLETIONS)
        return json_pack("{s:s, s:o, s:i, s:i, s:b, s:b, s:{s:b}}", "model", l->models[u->model],
                         "prompt", prompt, "max_tokens", u->wanted, "temperature", 0, "ignore_eos",
                         1, "stream", 1, "stream_options", "include_usage", 1);
    json_t *p = json_pack("{s:i, s:b}", "max_new_tokens", u->wanted, "ignore_eos_token", 1);
    if (*l->models[u->model])
        json_object_set_new(p, "adapter_id", json_string(l->models[u->model]));
    return json_pack("{s:o, s:o}", "inputs", prompt, "parameters", p);
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* An event with tokens is there. The last one of OpenAI's, with the usage, has none, but counts as
 * one: it comes with the end, at once. */
static void event(struct load_user *u)
{
    struct load_run *x = u->run;
    double t = now_s();
    if (u->last == 0 && counts(x, t)) {
        note(x, &x->first, t - u->began);
        if (x->l->spread == LF_LOAD_HOT)
            note(x, u->model == 0 ? &x->hot : &x->others, t - u->began);
    } else if (counts(x, t)) {
        note(x, &x->next_token, t - u->last);
    }
    x->events += counts(x, t);
    u->events++;
    u->last = t;
}

static void keep_tail(struct load_user *u, const char *s, size_t n)
{
    size_t from = n > TAIL ? n - TAIL : 0, stay = u->n_tail;
    if (stay + n - from > TAIL)
        stay = TAIL - (n - from);
    memmove(u->tail, u->tail + u->n_tail - stay, stay);
    memcpy(u->tail + stay, s + from, n - from);
    u->n_tail = stay + n - from;
    u->tail[u->n_tail] = 0;
}

/* Lines "data:{..." or "data: {..." are events. */
static enum lf_client_flow hear(void *arg, const void *data, size_t n)
{
    struct load_user *u = arg;
    const char *s = data;
    keep_tail(u, s, n);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\n')
            u->n_line = 0;
        else if (u->n_line < LINE_MAX_KEPT && s[i] != ' ')
            u->line[u->n_line++] = s[i];
        if (u->n_line == 6 && s[i] == '{' && memcmp(u->line, "data:{", 6) == 0) {
            event(u);
            u->n_line = LINE_MAX_KEPT;
        }
    }
    return LF_CLIENT_TAKEN;
}

/* What the server says that it generated, else what it was asked for. */
static int tokens_of(const struct load_user *u)
{
    static const char *const names[] = {"\"completion_tokens\":", "\"generated_tokens\":"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *at = strstr(u->tail, names[i]);
        if (at)
            return (int)strtol(at + strlen(names[i]), NULL, 10);
    }
    return u->wanted;
}

static void failed(struct load_run *x, const struct lf_client_result *r)
{
    if (x->r.failed++ == 0)
        snprintf(x->r.why, sizeof x->r.why, "%d %.140s", r->status, r->diag ? r->diag->text : "");
}

static void done(void *arg, const struct lf_client_result *r)
{
    struct load_user *u = arg;
    struct load_run *x = u->run;
    double t = now_s();
    u->call = NULL;
    u->free_at = t;
    x->busy--;
    if (r->rc != LF_OK || u->last == 0) {
        failed(x, r);
        u->free_at = t + AGAIN_S;
        return;
    }
    x->ended.tokens += tokens_of(u);
    x->ended.events += u->events;
    if (counts(x, t)) {
        x->r.requests++;
        x->answered[u->model]++;
        note(x, &x->whole, t - u->began);
    }
}

static enum lf_err ask(struct load_run *x, struct load_user *u, struct lf_diag *diag)
{
    lf_buf_auto body = {0};
    x->asked++;
    u->model = choose_model(x);
    enum lf_err rc = lf_json_put(&body, body_of(x, u), JSON_COMPACT);
    if (rc != LF_OK)
        return lf_fail(diag, rc, "no memory for a request");
    const struct lf_client_spec spec = {.method = "POST",
                                        .path = x->l->api == LF_LOAD_LORAX ? "/generate_stream"
                                                                           : "/v1/completions",
                                        .content_type = "application/json",
                                        .body = body.data,
                                        .body_bytes = body.len,
                                        .reply_max = 1 << 16,
                                        .timeout_s = ANSWER_S,
                                        .on_data = hear,
                                        .on_done = done,
                                        .arg = u};
    u->began = now_s();
    u->last = 0;
    u->events = 0;
    u->n_line = u->n_tail = 0;
    x->busy++;
    return lf_client_start(&u->call, x->client, &spec, diag);
}

/* ---- Time ------------------------------------------------------------------------------------ */

static struct load_user *find_free(struct load_run *x, double t)
{
    for (int i = 0; i < x->l->users; i++)
        if (!x->users[i].call && x->users[i].free_at <= t)
            return &x->users[i];
    return NULL;
}

static enum lf_err ask_all(struct load_run *x, struct lf_diag *diag)
{
    double t = now_s();
    struct load_user *u;
    enum lf_err rc = LF_OK;
    if (x->l->rate <= 0) {
        while (rc == LF_OK && (u = find_free(x, t)) != NULL)
            rc = ask(x, u, diag);
        return rc;
    }
    for (; rc == LF_OK && x->next <= t;) {
        u = find_free(x, t);
        if (u)
            rc = ask(x, u, diag);
        else
            x->r.late += counts(x, t);
        double unit = (double)lf_rng_unit(
            lf_rng_u32((uint64_t)x->l->seed + 2, x->asked, (uint64_t)x->r.late));
        x->next += -log(1 - unit) / x->l->rate;
    }
    return rc;
}

static enum lf_err go(struct load_run *x, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && x->rc == LF_OK && now_s() < x->end) {
        struct pollfd p = {.fd = lf_client_fd(x->client), .events = POLLIN};
        rc = ask_all(x, diag);
        int wait = lf_client_timeout_ms(x->client);
        poll(&p, 1, wait < 0 || wait > 2 ? 2 : wait);
        lf_client_run(x->client);
    }
    if (rc == LF_OK && x->rc != LF_OK)
        return lf_fail(diag, x->rc, "no memory for what was measured");
    if (rc == LF_OK && x->first.n == 0)
        return lf_fail(diag, LF_E_FAILED, "no answer came%s%s", x->r.failed ? ": " : "", x->r.why);
    return rc;
}

/* ---- Figures --------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct lf_load_times times_of(struct figures *f)
{
    if (f->n == 0)
        return (struct lf_load_times){NAN, NAN, NAN};
    qsort(f->v, f->n, sizeof *f->v, by_value);
    return (struct lf_load_times){f->v[(f->n - 1) * 50 / 100], f->v[(f->n - 1) * 90 / 100],
                                  f->v[(f->n - 1) * 99 / 100]};
}

static double least_share(const struct load_run *x)
{
    int64_t least = x->answered[0];
    for (int i = 1; i < x->l->n_models; i++)
        least = x->answered[i] < least ? x->answered[i] : least;
    return x->r.requests > 0 ? (double)least * x->l->n_models / (double)x->r.requests : 0;
}

/* Answers that began before the time that is measured, or end after it, count with their part in
 * it: by events, which have so many tokens as those of answers that have ended. */
static int64_t tokens_measured(const struct load_run *x)
{
    double each = x->ended.events > 0 ? (double)x->ended.tokens / (double)x->ended.events : 1;
    return llround((double)x->events * each);
}

static void sum_up(struct load_run *x)
{
    x->r.seconds = x->end - x->begin;
    x->r.tokens = tokens_measured(x);
    x->r.first = times_of(&x->first);
    x->r.next = times_of(&x->next_token);
    x->r.whole = times_of(&x->whole);
    x->r.hot = times_of(&x->hot);
    x->r.others = times_of(&x->others);
    x->r.least_share = least_share(x);
}

static enum lf_err prepare(struct load_run *x, struct lf_diag *diag)
{
    const struct lf_load *l = x->l;
    double sum = 0;
    x->users = calloc((size_t)l->users, sizeof *x->users);
    x->share = calloc((size_t)l->n_models, sizeof *x->share);
    x->answered = calloc((size_t)l->n_models, sizeof *x->answered);
    if (!x->users || !x->share || !x->answered)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for %d users", l->users);
    for (int i = 0; i < l->users; i++)
        x->users[i].run = x;
    for (int i = 0; i < l->n_models; i++) {
        sum += l->spread == LF_LOAD_ZIPF            ? 1.0 / (i + 1)
               : l->spread == LF_LOAD_HOT && i == 0 ? lf_max_int(l->n_models - 1, 1)
                                                    : 1;
        x->share[i] = sum;
    }
    x->next = now_s();
    x->begin = x->next + l->warmup;
    x->end = x->begin + l->seconds;
    return lf_client_new(&x->client, l->url, l->api_key, l->cacert, diag);
}

enum lf_err lf_load_run(struct lf_load_result *out, const struct lf_load *l, struct lf_diag *diag)
{
    struct load_run x = {.l = l};
    enum lf_err rc = prepare(&x, diag) ?: go(&x, diag);
    if (rc == LF_OK) {
        sum_up(&x);
        *out = x.r;
    }
    lf_client_free(x.client);
    free(x.users);
    free(x.share);
    free(x.answered);
    free(x.first.v);
    free(x.next_token.v);
    free(x.whole.v);
    free(x.hot.v);
    free(x.others.v);
    return rc;
}
