/* What is written about a version: metrics.json and loss.svg.
 *
 * metrics.json: {"version": 4, "job": 7, "parent": {...}, "code": "0.2.0 (1ce50a8)",
 *                "data": {...}, "train": {...}, "eval": {...}, "base": {...}, "history":
 * [{"version": 3, "train_loss": ..., ...}, ...]} "eval" and "base": {"metric", "score", "rows",
 * "max_tokens", "stop", "sha256", "seconds"} and, of a metric whose answers are labels, "confusion"
 * (score/confusion.h). Before the first version is there, "base" stands alone. */
#include "daemon/jobs/inside.h"

#include "core/json.h"
#include "core/lock.h"
#include "daemon/limits.h"
#include "trainer/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- metrics.json ---------------------------------------------------------------------------- */

json_t *lf_report_read(struct lf_jobs *j, uint64_t adapter_id)
{
    char path[LF_PATH_MAX];
    json_t *old = NULL;
    if (lf_registry_dir(j->d->registry, adapter_id, lf_files[LF_FILE_METRICS].disk, path, NULL) !=
            LF_OK ||
        lf_json_load(&old, path, NULL) != LF_OK || !json_is_object(old)) {
        json_decref(old);
        old = json_object();
    }
    return old;
}

static enum lf_err write_report(struct lf_jobs *j, uint64_t adapter_id, json_t *report,
                                struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    lf_json_put(&text, json_incref(report), JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    enum lf_err rc = lf_buf_putc(&text, '\n');
    if (rc == LF_OK)
        rc = lf_registry_write(j->d->registry, adapter_id, LF_FILE_METRICS, &text, diag);
    else
        lf_fail(diag, rc, "no memory for the report");
    json_int_t version = json_integer_value(json_object_get(report, "version"));
    if (rc == LF_OK && version > 0)
        lf_registry_version_write(j->d->registry, adapter_id, (int32_t)version, LF_FILE_METRICS,
                                  text.data, text.len);
    return rc;
}

/* The report of an earlier version in one row. */
static json_t *summary(const json_t *old)
{
    const json_t *train = json_object_get(old, "train"), *eval = json_object_get(old, "eval");
    return json_pack("{s:O*, s:O*, s:O*, s:O*}", "version", json_object_get(old, "version"),
                     "train_loss", json_object_get(train, "loss"), "eval_loss",
                     json_object_get(train, "eval_loss"), "score", json_object_get(eval, "score"));
}

static json_t *history(const json_t *old)
{
    json_t *list = json_object_get(old, "history") ? lf_json_copy(json_object_get(old, "history"))
                                                   : json_array();
    if (!json_is_array(list)) {
        json_decref(list);
        list = json_array();
    }
    if (json_object_get(old, "version")) {
        for (size_t i = json_array_size(list); i-- > 0;)
            if (json_equal(json_object_get(json_array_get(list, i), "version"),
                           json_object_get(old, "version")))
                json_array_remove(list, i); /* it was served again */
        json_array_append_new(list, summary(old));
    }
    while (json_array_size(list) > LF_JOB_HISTORY_MAX)
        json_array_remove(list, 0);
    return list;
}

/* "loss" is an average over the last steps, of which each weighs 5% more than the one before. */
static json_t *train_json(const struct lf_open_job *l)
{
    const struct lf_progress *p = &l->record.progress;
    const struct lf_curve_points *steps = &l->curve.train;
    double last = steps->n > 0 ? steps->p[steps->n - 1].value : (double)NAN;
    json_t *out = json_pack("{s:I, s:o*, s:o, s:o, s:o, s:I, s:f, s:f, s:o*, s:O*}", "steps",
                            (json_int_t)p->step, "kept_step", lf_train_kept_json(p), "loss",
                            lf_json_finite(p->loss), "last_loss", lf_json_finite(last), "eval_loss",
                            lf_json_finite(p->eval_loss), "tokens", (json_int_t)p->tokens,
                            "seconds", p->seconds, "tokens_per_second",
                            p->seconds > 0 ? (double)p->tokens / p->seconds : 0.0, "memory_bytes",
                            l->memory_bytes > 0 ? json_integer((json_int_t)l->memory_bytes) : NULL,
                            "warnings", l->warnings);
    if (out) {
        lf_train_rewards_json(out, "", &p->rewards);
        lf_train_rewards_json(out, "eval_", &p->eval_rewards);
    }
    return out;
}

enum lf_err lf_report_training(struct lf_jobs *j, const struct lf_open_job *l, json_t *parent,
                               struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&j->reporting);
    json_auto_t *old = lf_report_read(j, l->record.adapter_id);
    json_auto_t *report =
        json_pack("{s:i, s:I, s:o, s:s, s:o, s:o, s:o, s:O*}", "version", (int)l->record.version,
                  "job", (json_int_t)l->record.id, "parent", parent, "code",
                  j->d->options.version ? j->d->options.version : LF_VERSION, "data",
                  lf_survey_json(&l->survey), "train", train_json(l), "history", history(old),
                  "base", json_object_get(old, "base"));
    return write_report(j, l->record.adapter_id, report, diag);
}

enum lf_err lf_report_eval(struct lf_jobs *j, uint64_t adapter_id, int32_t version, json_t *part,
                           struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&j->reporting);
    json_auto_t *report = lf_report_read(j, adapter_id), *mine = part;
    /* A newer version may have been reported meanwhile; its scores are still to come. */
    if (json_integer_value(json_object_get(report, "version")) != version)
        return LF_OK;
    json_object_update(report, mine);
    return write_report(j, adapter_id, report, diag);
}

enum lf_err lf_report_base(struct lf_jobs *j, uint64_t adapter_id, json_t *base,
                           struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&j->reporting);
    json_auto_t *report = lf_report_read(j, adapter_id);
    return json_object_set_new(report, "base", base) == 0
               ? write_report(j, adapter_id, report, diag)
               : lf_no_memory(diag, "the report");
}

enum lf_err lf_report_retry(struct lf_jobs *j, uint64_t adapter_id, int32_t version,
                            struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&j->reporting);
    json_auto_t *report = lf_report_read(j, adapter_id);
    if (json_integer_value(json_object_get(report, "version")) != version) {
        /* No job here made it. */
        json_auto_t *bare = json_pack("{s:i, s:o, s:O*}", "version", (int)version, "history",
                                      history(report), "base", json_object_get(report, "base"));
        return bare ? write_report(j, adapter_id, bare, diag) : lf_no_memory(diag, "the report");
    }
    if (!json_object_get(json_object_get(report, "eval"), "reason"))
        return LF_OK;
    json_object_del(report, "eval");
    return write_report(j, adapter_id, report, diag);
}

/* ---- loss.svg -------------------------------------------------------------------------------- */

enum lf_err lf_report_curve(struct lf_jobs *j, const struct lf_open_job *l, struct lf_diag *diag)
{
    char title[2 * LF_NAME_MAX];
    struct lf_adapter_view v;
    lf_buf_auto svg = {0};
    if (l->curve.train.n == 0)
        return LF_OK;
    enum lf_err rc = lf_registry_view_id(j->d->registry, l->record.adapter_id, &v, NULL);
    if (rc != LF_OK)
        return LF_OK; /* removed meanwhile */
    snprintf(title, sizeof title, "%s v%d", v.record.name, (int)l->record.version);
    rc = lf_curve_svg(&svg, title, &l->curve);
    if (rc == LF_OK)
        rc = lf_registry_write(j->d->registry, l->record.adapter_id, LF_FILE_CURVE, &svg, diag);
    if (rc == LF_OK && l->record.progress.state == LF_JOB_DONE)
        lf_registry_version_write(j->d->registry, l->record.adapter_id, l->record.version,
                                  LF_FILE_CURVE, svg.data, svg.len);
    else
        lf_fail(diag, rc, "no memory for the curve");
    return rc;
}
