/* The mount's route: a prompt as text in, its completion as text out, as it is made. */
#include "daemon/api/api.h"
#include "daemon/api/params.h"
#include "daemon/api/sampling.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"

#include "core/file.h"
#include "daemon/team.h"
#include "trainer/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The prompt ------------------------------------------------------------------------------ */

/* What a shell adds to the end of a text. */
static void drop_newline(struct lf_buf *b)
{
    if (b->len > 0 && b->data[b->len - 1] == '\n')
        b->data[--b->len] = '\0';
    if (b->len > 0 && b->data[b->len - 1] == '\r')
        b->data[--b->len] = '\0';
}

/* The body, or else the adapter's `prompt` file. */
static enum lf_err words(struct lf_http *q, uint64_t id, struct lf_buf *out, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = LF_OK;
    if (q->body.len > 0) {
        rc = lf_buf_append(out, q->body.data, q->body.len);
    } else {
        rc = lf_registry_dir(q->daemon->registry, id, lf_files[LF_FILE_PROMPT].disk, path, diag);
        if (rc == LF_OK && !lf_file_exists(path))
            rc = lf_fail(diag, LF_E_NO_PROMPT, "no prompt was given, and %s has no `prompt` file",
                         q->param[0]);
        rc = rc ?: lf_file_read(out, path, LF_PROMPT_BYTES_MAX, diag);
        if (rc == LF_OK && out->len == 0)
            rc = lf_fail(diag, LF_E_NO_PROMPT,
                         "no prompt was given, and the file `prompt` is empty");
    }
    if (rc == LF_OK)
        drop_newline(out);
    return rc;
}

/* The words as the adapter was trained to be asked, or the base. */
static enum lf_err encode(struct lf_http *q, struct lf_ids *out, const struct lf_served_model *m,
                          const struct lf_buf *text, struct lf_diag *diag)
{
    struct lf_ask ask;
    json_auto_t *vars = NULL;
    const struct lf_model *model = m->team->base->model;
    enum lf_err rc = lf_served_model_ask(q, m, &ask, diag);
    if (rc != LF_OK)
        return rc;
    const struct lf_ask *known = m->pick.id ? &ask : NULL;
    if (lf_http_query_flag(q, "chat"))
        rc = lf_ask_said(&vars, lf_buf_str(text), text->len, diag)
                 ?: lf_ask_chat(out, model, known, vars, diag);
    else
        rc = lf_ask_encode(out, model, known, lf_buf_str(text), text->len, diag);
    lf_ask_free(&ask);
    return rc;
}

/* ---- What is asked --------------------------------------------------------------------------- */

static enum lf_err read_query(struct lf_http *q, struct lf_request *a, struct lf_diag *diag)
{
    const char *stop = lf_http_query(q, "stop");
    a->ignore_eos = lf_http_query_flag(q, "ignore_eos");
    if (stop && *stop)
        a->stops[a->n_stops++] = stop;
    enum lf_err rc = lf_params_check_query(q, &lf_params_text, diag);
    rc = rc ?: lf_http_query_int(q, "max_tokens", 1, INT32_MAX, &a->max_tokens, diag);
    return rc ?: lf_request_sampling(a, NULL, q, diag);
}

/* What `error` says of it. A client that went away has nothing to be told. */
static void remember(struct lf_http *q, enum lf_err rc, const struct lf_diag *why)
{
    enum lf_file_kind file = lf_http_query_flag(q, "chat") ? LF_FILE_CHAT : LF_FILE_GENERATE;
    if (rc != LF_E_CANCELLED)
        lf_registry_asked(q->daemon->registry, q->param[0], lf_files[file].name,
                          rc == LF_OK ? NULL : why->text);
}

/* ---- The stream ------------------------------------------------------------------------------ */

struct plain {
    struct lf_completion c;
    char *stop;                        /* what the query gave, kept */
    struct lf_train_settings settings; /* whose stop strings end it where the query gave none */
};

static void plain_close(void *arg)
{
    struct plain *p = arg;
    lf_completion_free(&p->c);
    lf_train_settings_free(&p->settings);
    free(p->stop);
    free(p);
}

static enum lf_err plain_fill(void *arg, struct lf_http *q, struct lf_buf *out, bool *end)
{
    struct plain *p = arg;
    struct lf_completion *c = &p->c;
    bool ready, stepped;
    struct lf_diag why = {""};
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && out->len == 0 && !*end) {
        rc = lf_completion_await(c, q, 1000, &ready, &why);
        if (rc == LF_OK && ready)
            do
                rc = lf_completion_step(c, &stepped, &why);
            while (rc == LF_OK && c->out.ending == LF_ENDING_NONE && c->at < c->n_ahead);
        if (rc == LF_OK && c->out.text.len > 0) {
            rc = lf_buf_append(out, c->out.text.data, c->out.text.len);
            lf_buf_reset(&c->out.text);
        }
        *end = c->out.ending != LF_ENDING_NONE;
    }
    if (rc != LF_OK)
        remember(q, rc, &why);
    return rc;
}

/* The settings decide how long the answer may be where the query does not; never over the
 * context. */
static void limit(struct lf_request *a, int settings_max, int n_prompt)
{
    struct lf_engine_status status;
    if (a->max_tokens >= 0)
        return;
    lf_team_status(a->model.team, &status);
    int room = status.context_max - n_prompt;
    a->max_tokens = room < settings_max ? room : settings_max;
    if (a->max_tokens < 1)
        a->max_tokens = 1; /* the engine will say that it does not fit */
}

/* Stop strings that outlive the query: its own, or the settings'. */
static enum lf_err keep_stops(struct plain *p, struct lf_request *a,
                              const struct lf_train_settings *s, struct lf_diag *diag)
{
    bool failed = a->n_stops > 0 ? !(p->stop = strdup(a->stops[0]))
                                 : lf_train_settings_copy(&p->settings, s) != LF_OK;
    if (failed)
        return lf_no_memory(diag, "an answer");
    if (a->n_stops > 0)
        a->stops[0] = p->stop;
    else
        for (int i = 0; i < s->n_stop; i++)
            a->stops[a->n_stops++] = p->settings.stop[i];
    return LF_OK;
}

static enum lf_err answer(struct lf_http *q, struct lf_request *a, const struct lf_ids *ids,
                          const struct lf_train_settings *s, struct lf_diag *diag)
{
    bool ready;
    struct plain *p = calloc(1, sizeof *p);
    if (!p)
        return lf_no_memory(diag, "an answer");
    a->streams = true;
    enum lf_err rc = keep_stops(p, a, s, diag);
    rc = rc ?: lf_completion_start(&p->c, a, ids->ids, (int)ids->n, 0, diag);
    rc = rc ?: lf_completion_await(&p->c, q, 1000, &ready, diag);
    if (rc != LF_OK) {
        plain_close(p);
        return rc;
    }
    lf_completion_headers(q, &a->model, p->c.n_prompt, 0, NULL);
    lf_http_reply_stream(q, "text/plain; charset=utf-8",
                         &(struct lf_http_stream){plain_fill, plain_close, p});
    return LF_OK;
}

static enum lf_err generate_text(struct lf_http *q, struct lf_diag *diag)
{
    struct lf_request a;
    struct lf_train_settings s;
    lf_buf_auto text = {.max = LF_PROMPT_BYTES_MAX};
    lf_ids_auto ids = {0};
    lf_request_init(&a);
    enum lf_err rc = lf_served_model_find(q, q->param[0], &a.model, diag);
    if (rc != LF_OK)
        return rc;
    lf_train_settings_default(&s);
    if (a.model.pick.id)
        rc = lf_registry_settings(q->daemon->registry, a.model.pick.id, &s, diag);
    rc = rc ?: read_query(q, &a, diag);
    rc = rc ?: words(q, a.model.pick.id, &text, diag);
    rc = rc ?: encode(q, &ids, &a.model, &text, diag);
    if (rc == LF_OK) {
        limit(&a, s.max_tokens, (int)ids.n);
        rc = answer(q, &a, &ids, &s, diag);
    }
    lf_train_settings_free(&s);
    return rc;
}

enum lf_err lf_api_generate_text(struct lf_http *q, struct lf_diag *diag)
{
    struct lf_diag why = {""};
    enum lf_err rc = generate_text(q, &why);
    remember(q, rc, &why);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "%s", why.text);
}
