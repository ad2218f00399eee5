/* OpenAI's fine-tuning jobs: the daemon's jobs under other names. One that is made here trains an
 * adapter of its own, whose name is the fine-tuned model's; what only OpenAI's object has (files,
 * suffix, metadata) is a document with the job's number as its id. */
#include "daemon/api/api.h"
#include "daemon/api/completion.h"
#include "daemon/api/documents.h"
#include "daemon/api/tuning.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"

#include "core/clock.h"
#include "core/json.h"
#include "daemon/team.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 20 /* entries, where no limit is asked for */
#define PAGE_MOST 1000

/* ---- What is asked --------------------------------------------------------------------------- */

static const char *const method_words[] = {"supervised", "dpo", NULL};

struct tuning {
    const char *model, *training_file, *validation_file, *suffix;
    const json_t *metadata;
    const struct lf_base *base;
    json_t *config; /* owned: the adapter's */
    json_t *method; /* owned: as it is answered */
    char name[LF_NAME_MAX + 1];
};

static void tuning_free(struct tuning *t)
{
    json_decref(t->config);
    json_decref(t->method);
}

/* A hyperparameter that is a number: not "auto", and not left out. */
static bool is_given(const json_t *h, const char *key)
{
    const json_t *v = json_object_get(h, key);
    return v && !json_is_null(v) && strcmp(lf_json_text_of(h, key), "auto") != 0;
}

static enum lf_err read_hyperparameters(struct tuning *t, const json_t *h, bool dpo,
                                        struct lf_diag *diag)
{
    static const char *const known[] = {"n_epochs", "batch_size", "learning_rate_multiplier",
                                        "beta", NULL};
    struct lf_json_in in = lf_json_in(h, diag);
    if (h)
        in.rc = lf_json_only(h, known, diag);
    if (is_given(h, "n_epochs"))
        json_object_set_new(t->config, "epochs",
                            json_integer(lf_json_int(&in, "n_epochs", 1, 1, 1000000)));
    if (is_given(h, "batch_size"))
        json_object_set_new(t->config, "batch_size",
                            json_integer(lf_json_int(&in, "batch_size", 1, 1, 4096)));
    if (is_given(h, "learning_rate_multiplier"))
        json_object_set_new(
            t->config, "learning_rate",
            json_real(lf_train_auto_learning_rate(dpo ? LF_LOSS_DPO : LF_LOSS_SUPERVISED,
                                                  t->base->model->config.C) *
                      lf_json_real(&in, "learning_rate_multiplier", 1, 1e-6, 1000)));
    if (is_given(h, "beta") && !dpo && in.rc == LF_OK)
        return lf_fail(diag, LF_E_INVALID, "\"beta\" is of the method dpo");
    if (is_given(h, "beta"))
        json_object_set_new(t->config, "beta", json_real(lf_json_real(&in, "beta", 0.1, 0, 2)));
    return in.rc;
}

/* "method", or the "hyperparameters" of before there were methods. */
static enum lf_err read_method(struct tuning *t, const json_t *body, struct lf_diag *diag)
{
    static const char *const known[] = {"type", "supervised", "dpo", NULL};
    static const char *const members[] = {"hyperparameters", NULL};
    struct lf_json_in in = lf_json_in(body, diag);
    const json_t *h = lf_json_object(&in, "hyperparameters");
    struct lf_json_in method = lf_json_in(lf_json_object(&in, "method"), diag);
    if (in.rc != LF_OK)
        return in.rc;
    if (method.obj) {
        if (strcmp(lf_json_text_of(method.obj, "type"), "reinforcement") == 0)
            return lf_fail(diag, LF_E_UNSUPPORTED,
                           "\"method\": reinforcement is not done here: supervised or dpo");
        method.rc = lf_json_only(method.obj, known, diag);
    }
    bool dpo = lf_json_word(&method, "type", 0, method_words) == 1;
    const char *word = method_words[dpo], *other = method_words[!dpo];
    if (method.rc == LF_OK && json_object_get(method.obj, other))
        method.rc =
            lf_fail(diag, LF_E_INVALID, "\"method\" is %s, and has what is for %s", word, other);
    struct lf_json_in own = lf_json_in(lf_json_object(&method, word), diag);
    if (own.obj && method.rc == LF_OK) {
        const json_t *before = h;
        own.rc = lf_json_only(own.obj, members, diag);
        h = lf_json_object(&own, "hyperparameters");
        if (own.rc == LF_OK && before && h && !json_equal(before, h))
            own.rc = lf_fail(diag, LF_E_INVALID,
                             "\"hyperparameters\" and those of \"method\" are not the same");
        h = h ? h : before;
    }
    enum lf_err rc = method.rc ?: own.rc ?: read_hyperparameters(t, h, dpo, diag);
    if (dpo)
        json_object_set_new(t->config, "loss", json_string("dpo"));
    static const char *const autos = "{s:s, s:s, s:s}";
    json_auto_t *shown = json_pack(autos, "n_epochs", "auto", "batch_size", "auto",
                                   "learning_rate_multiplier", "auto");
    json_object_update(shown, (json_t *)(uintptr_t)h);
    t->method = json_pack("{s:s, s:{s:O}}", "type", word, word, "hyperparameters", shown);
    return rc;
}

/* The base, or the adapter whose version it goes on with; and what the new adapter is called. */
static enum lf_err read_model(struct tuning *t, struct lf_http *q, struct lf_diag *diag)
{
    struct lf_adapter_view v;
    char digits[25];
    const char *stem = t->suffix ? t->suffix : t->model;
    t->base = lf_bases_find(&q->daemon->teams->bases, t->model);
    if (!t->base) {
        enum lf_err rc = lf_http_may(q, t->model, diag);
        rc = rc ?: lf_registry_view(q->daemon->registry, t->model, &v, diag);
        if (rc == LF_OK && v.record.current == 0)
            rc = lf_fail(diag, LF_E_BUSY, "%s has no version yet to go on with", t->model);
        if (rc != LF_OK)
            return rc;
        t->base = v.base;
        json_object_set_new(t->config, "from", json_string(t->model));
    }
    json_object_set_new(t->config, "base", json_string(t->base->name));
    if (t->suffix && (!lf_name_ok(t->suffix) || strlen(t->suffix) > LF_NAME_MAX - 9))
        return lf_fail(diag, LF_E_INVALID,
                       "\"suffix\" must have 1 to %d of the characters A-Z a-z 0-9 . _ -, and not "
                       "begin with a dot",
                       LF_NAME_MAX - 9);
    lf_answer_id(digits);
    snprintf(t->name, sizeof t->name, "%.*s-%.8s", LF_NAME_MAX - 9, *stem ? stem : t->base->name,
             digits);
    return lf_http_may(q, t->name, diag);
}

static enum lf_err tuning_read(struct tuning *t, struct lf_http *q, const json_t *body,
                               struct lf_diag *diag)
{
    static const char *const known[] = {
        "model",           "training_file", "validation_file", "suffix", "method",
        "hyperparameters", "integrations",  "metadata",        "seed",   NULL};
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    int64_t seed = (int64_t)s.seed;
    lf_train_settings_free(&s);
    struct lf_json_in in = {.obj = body, .diag = diag, .rc = lf_json_only(body, known, diag)};
    t->model = lf_json_need_str(&in, "model");
    t->training_file = lf_json_need_str(&in, "training_file");
    t->validation_file = lf_json_str(&in, "validation_file", NULL);
    t->suffix = lf_json_str(&in, "suffix", NULL);
    t->metadata = lf_api_metadata(&in);
    seed = lf_json_int64(&in, "seed", seed, 0, INT32_MAX);
    if (in.rc == LF_OK && lf_json_list(&in, "integrations", 0, 1) &&
        json_array_size(json_object_get(body, "integrations")) > 0)
        in.rc = lf_fail(diag, LF_E_UNSUPPORTED, "\"integrations\" are not done here");
    t->config = json_pack("{s:I}", "seed", (json_int_t)seed);
    enum lf_err rc = in.rc ?: t->config ? LF_OK : lf_no_memory(diag, "a fine-tuning");
    return rc ?: read_model(t, q, diag) ?: read_method(t, body, diag);
}

/* ---- As it is shown -------------------------------------------------------------------------- */

/* The job's number in a fine-tuning's id; 0: it is none. */
static uint64_t job_number(const char *id)
{
    return lf_document_is(id, LF_KIND_TUNING) ? strtoull(id + strlen(LF_KIND_TUNING), NULL, 16) : 0;
}

static void id_of(char out[LF_DOCUMENT_ID_MAX], uint64_t job)
{
    snprintf(out, LF_DOCUMENT_ID_MAX, LF_KIND_TUNING "%024llx", (unsigned long long)job);
}

static json_t *seconds_or_null(const json_t *job, const char *key)
{
    json_int_t ms = json_integer_value(json_object_get(job, key));
    return ms > 0 ? json_integer(ms / 1000) : json_null();
}

/* How it stands. *model: what answers, "" where nothing does; *why: it failed, and of what. */
static const char *status_of(struct lf_http *q, const json_t *job, char model[LF_NAME_MAX + 1],
                             char why[LF_DIAG_MAX])
{
    struct lf_adapter_view v;
    const char *state = lf_json_text_of(job, "state"), *name = lf_json_text_of(job, "adapter");
    model[0] = '\0';
    snprintf(why, LF_DIAG_MAX, "%s", lf_json_text_of(job, "reason"));
    if (strcmp(state, lf_job_state_name(LF_JOB_DONE)) != 0)
        return state;
    bool there = lf_registry_view(q->daemon->registry, name, &v, NULL) == LF_OK;
    if (there && json_integer_value(json_object_get(job, "id")) == (json_int_t)v.activity.job) {
        return lf_job_state_name(LF_JOB_RUNNING); /* its version does not serve yet */
    } else if (there && v.record.current > 0) {
        memcpy(model, v.record.name, sizeof v.record.name);
    } else if (there && v.record.refused == LF_REFUSED_VERSION) {
        snprintf(why, LF_DIAG_MAX, "%s", v.record.trouble);
        return "failed";
    }
    return "succeeded";
}

/* The job as OpenAI has it; NULL: no memory. */
static json_t *shown(struct lf_http *q, const json_t *job)
{
    char id[LF_DOCUMENT_ID_MAX], model[LF_NAME_MAX + 1], why[LF_DIAG_MAX], file[LF_NAME_MAX + 32];
    json_auto_t *kept = NULL;
    id_of(id, (uint64_t)json_integer_value(json_object_get(job, "id")));
    (void)!lf_document_get(&kept, q->daemon->documents_dir, LF_KIND_TUNING, id, NULL);
    const char *status = status_of(q, job, model, why), *adapter = lf_json_text_of(job, "adapter");
    snprintf(file, sizeof file, "%s/dataset.jsonl", adapter);
    double eta = lf_json_real_of(job, "eta_seconds");
    bool over = json_is_integer(json_object_get(job, "ended_ms"));
    json_t *estimate = over || !(eta >= 0)
                           ? json_null()
                           : json_integer((json_int_t)eta + lf_clock_unix_ms() / 1000);
    json_t *error = strcmp(status, "failed") == 0
                        ? json_pack("{s:s, s:s, s:n}", "code", "failed", "message", why, "param")
                        : json_null();
    json_t *out = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:s, s:s?, s:s, s:s, s:O?, s:[], s:o, s:[]}", "object",
        "fine_tuning.job", "id", id, "created_at", seconds_or_null(job, "created_ms"),
        "finished_at", seconds_or_null(job, "ended_ms"), "estimated_finish", estimate, "model",
        adapter, "fine_tuned_model", model[0] ? model : NULL, "organization_id", "lorafs", "status",
        status, "trained_tokens", over ? json_object_get(job, "tokens") : NULL, "result_files",
        "error", error, "integrations");
    json_auto_t *others =
        json_pack("{s:s, s:n, s:n, s:n, s:{}, s:n}", "training_file", file, "validation_file",
                  "metadata", "method", "hyperparameters", "seed");
    json_object_update(out, others);
    if (kept)
        json_object_update(out, kept);
    json_object_del(out, "owner");
    return out;
}

/* The job of the path, that who asks may see; yours. */
static enum lf_err job_of(json_t **out, struct lf_http *q, struct lf_diag *diag)
{
    json_t *job = lf_jobs_json(q->daemon->jobs, job_number(q->param[0]));
    enum lf_err rc = LF_OK;
    if (json_is_null(job))
        rc = lf_fail(diag, LF_E_NOT_FOUND, "there is no fine-tuning job %.80s", q->param[0]);
    rc = rc ?: lf_http_may(q, lf_json_text_of(job, "adapter"), diag);
    if (rc == LF_OK)
        *out = job;
    else
        json_decref(job);
    return rc;
}

static enum lf_err reply(struct lf_http *q, struct lf_diag *diag)
{
    json_auto_t *job = NULL;
    enum lf_err rc = job_of(&job, q, diag);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, shown(q, job));
    return rc;
}

/* ---- Making one ------------------------------------------------------------------------------ */

static enum lf_err within_file(enum lf_err rc, enum lf_file_kind kind, const char *id,
                               struct lf_diag *diag)
{
    return rc == LF_OK ? rc
                       : lf_fail_within(diag, rc,
                                        kind == LF_FILE_EVAL ? "\"validation_file\" %.80s"
                                                             : "\"training_file\" %.80s",
                                        id);
}

/* The file is there, and for this. */
static enum lf_err check_rows(struct lf_http *q, const char *id, enum lf_file_kind kind,
                              struct lf_diag *diag)
{
    json_auto_t *file = NULL;
    enum lf_err rc = lf_api_document(&file, q, LF_KIND_FILE, id, diag);
    if (rc == LF_OK && strcmp(lf_json_text_of(file, "purpose"), "fine-tune") != 0)
        rc = lf_fail(diag, LF_E_INVALID, "its purpose is not fine-tune");
    return within_file(rc, kind, id, diag);
}

static enum lf_err put_rows(struct lf_http *q, const struct tuning *t, const char *id,
                            enum lf_file_kind kind, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_document_path(path, q->daemon->documents_dir, id, LF_DOCUMENT_BYTES, diag);
    rc = rc ?: lf_registry_put_file(q->daemon->registry, t->name, kind, path, diag);
    return within_file(rc, kind, id, diag);
}

/* What is not asked for any more: documents of jobs that are forgotten. */
static void forget(struct lf_http *q)
{
    lf_names_auto ids = {0};
    (void)!lf_documents_list(&ids, q->daemon->documents_dir, LF_KIND_TUNING, NULL);
    for (size_t i = 0; i < ids.n; i++) {
        json_auto_t *job = lf_jobs_json(q->daemon->jobs, job_number(ids.at[i]));
        if (json_is_null(job))
            (void)!lf_document_remove(q->daemon->documents_dir, ids.at[i], NULL);
    }
}

/* Keeps what the job does not know of. */
static enum lf_err keep(struct lf_http *q, const struct tuning *t, struct lf_diag *diag)
{
    char id[LF_DOCUMENT_ID_MAX];
    struct lf_adapter_view v;
    enum lf_err rc = lf_registry_view(q->daemon->registry, t->name, &v, diag);
    if (rc != LF_OK)
        return rc;
    id_of(id, v.record.last_job);
    snprintf(q->param[0], sizeof q->param[0], "%s", id);
    const char *type = lf_json_text_of(t->method, "type");
    json_auto_t *j = json_pack(
        "{s:s, s:s, s:s, s:s?, s:s?, s:O?, s:O, s:O, s:O}", "id", id, "model", t->model,
        "training_file", t->training_file, "validation_file", t->validation_file,
        "user_provided_suffix", t->suffix, "metadata", t->metadata, "method", t->method,
        "hyperparameters", json_object_get(json_object_get(t->method, type), "hyperparameters"),
        "seed", json_object_get(t->config, "seed"));
    if (!j)
        return lf_no_memory(diag, "a fine-tuning");
    forget(q);
    return lf_document_put(q->daemon->documents_dir, j, diag);
}

/* An adapter of which nothing came. */
static void discard(struct lf_http *q, const char *name)
{
    uint64_t id;
    int64_t bytes;
    if (lf_registry_remove(q->daemon->registry, name, &id, NULL) != LF_OK)
        return;
    lf_jobs_adapter_gone(q->daemon->jobs, id);
    (void)!lf_registry_trash_empty(q->daemon->registry, name, &bytes, NULL);
}

static enum lf_err start(struct lf_http *q, const struct tuning *t, struct lf_diag *diag)
{
    bool queued;
    enum lf_err rc = check_rows(q, t->training_file, LF_FILE_DATASET, diag);
    if (rc == LF_OK && t->validation_file)
        rc = check_rows(q, t->validation_file, LF_FILE_EVAL, diag);
    rc = rc ?: lf_registry_create(q->daemon->registry, t->name, t->config, diag);
    if (rc != LF_OK)
        return rc;
    rc = put_rows(q, t, t->training_file, LF_FILE_DATASET, diag);
    if (rc == LF_OK && t->validation_file)
        rc = put_rows(q, t, t->validation_file, LF_FILE_EVAL, diag);
    rc = rc ?: lf_jobs_train(q->daemon->jobs, t->name, true, &queued, diag);
    rc = rc ?: keep(q, t, diag);
    if (rc != LF_OK)
        discard(q, t->name);
    return rc;
}

enum lf_err lf_api_tuning_create(struct lf_http *q, struct lf_diag *diag)
{
    json_auto_t *body = NULL;
    struct tuning t = {NULL};
    enum lf_err rc = lf_http_json(q, &body, diag);
    rc = rc ?: tuning_read(&t, q, body, diag) ?: start(q, &t, diag) ?: reply(q, diag);
    tuning_free(&t);
    return rc;
}

/* ---- What is there --------------------------------------------------------------------------- */

enum lf_err lf_api_tunings(struct lf_http *q, struct lf_diag *diag)
{
    static const char *const known[] = {"after", "limit", NULL};
    struct lf_page page;
    json_auto_t *jobs = NULL, *list = json_array();
    enum lf_err rc = lf_page_read(&page, q, known, PAGE, PAGE_MOST, diag);
    rc = rc ?: lf_jobs_list_json(q->daemon->jobs, &jobs, diag);
    for (size_t i = 0; i < json_array_size(jobs) && rc == LF_OK; i++) {
        const json_t *job = json_array_get(jobs, i);
        if (lf_key_may(q->key, lf_json_text_of(job, "adapter")))
            json_array_append_new(list, shown(q, job));
    }
    return rc ?: lf_page_reply(q, &page, list, diag);
}

enum lf_err lf_api_tuning(struct lf_http *q, struct lf_diag *diag)
{
    return reply(q, diag);
}

/* POST /v1/fine_tuning/jobs/{id}/<word of ctl>. */
enum lf_err lf_api_tuning_order(struct lf_http *q, struct lf_diag *diag)
{
    struct lf_ctl_order o;
    json_auto_t *job = NULL;
    enum lf_err rc = job_of(&job, q, diag);
    rc = rc ?: lf_ctl_parse(&o, strrchr(q->route->path, '/') + 1, diag);
    rc = rc ?: lf_jobs_order(q->daemon->jobs, job_number(q->param[0]), o.word, diag);
    return rc ?: reply(q, diag);
}

/* One, of the version that came of it, once it serves: the best of the evaluations, or the last
 * step. */
enum lf_err lf_api_tuning_checkpoints(struct lf_http *q, struct lf_diag *diag)
{
    static const char *const known[] = {"after", "limit", NULL};
    char model[LF_NAME_MAX + 1], why[LF_DIAG_MAX], id[LF_DOCUMENT_ID_MAX];
    struct lf_page page;
    json_auto_t *job = NULL, *list = json_array();
    enum lf_err rc = lf_page_read(&page, q, known, PAGE, PAGE_MOST, diag) ?: job_of(&job, q, diag);
    if (rc != LF_OK)
        return rc;
    (void)status_of(q, job, model, why);
    snprintf(id, sizeof id, "ftckpt-%s", q->param[0] + strlen(LF_KIND_TUNING));
    const json_t *step = json_object_get(job, "step");
    if (model[0])
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:s, s:s, s:O, s:{s:O, s:O, s:O}}", "object",
                            "fine_tuning.job.checkpoint", "id", id, "created_at",
                            seconds_or_null(job, "ended_ms"), "fine_tuned_model_checkpoint", model,
                            "fine_tuning_job_id", q->param[0], "step_number", step, "metrics",
                            "step", step, "train_loss", json_object_get(job, "loss"), "valid_loss",
                            json_object_get(job, "eval_loss")));
    return lf_page_reply(q, &page, list, diag);
}

enum lf_err lf_api_tuning_events(struct lf_http *q, struct lf_diag *diag)
{
    static const char *const known[] = {"after", "limit", NULL};
    struct lf_page page;
    json_auto_t *job = NULL;
    enum lf_err rc = lf_page_read(&page, q, known, PAGE, PAGE_MOST, diag) ?: job_of(&job, q, diag);
    return rc ?: lf_tuning_events(q, job, &page, diag);
}
