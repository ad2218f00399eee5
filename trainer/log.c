/* The log of a training: events to lines, lines to a curve. */
#include "trainer/log.h"

#include "core/json.h"
#include "container/lines.h"

static const char *event_name(const struct lf_train_event *e)
{
    static const char *const names[] = {"started", "micro",      "step",   "warning",
                                        "eval",    "checkpoint", "paused", "resumed"};
    return e->kind == LF_TRAIN_END ? lf_job_state_name(e->progress.state) : names[e->kind];
}

json_t *lf_train_kept_json(const struct lf_progress *p)
{
    return p->kept > 0 ? json_integer((json_int_t)p->kept) : NULL;
}

json_t *lf_train_log_json(const struct lf_train_event *e)
{
    const struct lf_progress *p = &e->progress;
    json_int_t step = (json_int_t)e->step + (e->kind == LF_TRAIN_MICRO);
    json_t *line = json_pack("{s:s, s:I}", "event", event_name(e), "step", step);
    json_t *more = NULL;
    if (e->kind == LF_TRAIN_STARTED)
        more = json_pack("{s:I}", "steps", (json_int_t)p->steps);
    else if (e->kind == LF_TRAIN_MICRO)
        more =
            json_pack("{s:i, s:o}", "micro", e->micro, "micro_loss", lf_json_finite(e->micro_loss));
    else if (e->kind == LF_TRAIN_STEP)
        more = json_pack("{s:I, s:o, s:o, s:o, s:I, s:o}", "steps", (json_int_t)p->steps, "loss",
                         lf_json_finite(e->loss), "learning_rate", lf_json_finite(e->learning_rate),
                         "grad_norm", lf_json_finite(e->grad_norm), "tokens", (json_int_t)p->tokens,
                         "tokens_per_second", lf_json_finite(p->tokens_per_second));
    else if (e->kind == LF_TRAIN_EVAL)
        more = json_pack("{s:o, s:o*}", "eval_loss", lf_json_finite(p->eval_loss), "kept_step",
                         lf_train_kept_json(p));
    else if (e->kind == LF_TRAIN_END && e->progress.state == LF_JOB_DONE)
        more = json_pack("{s:o*}", "kept_step", lf_train_kept_json(p));
    else if (e->reason)
        more = json_pack("{s:s}", e->kind == LF_TRAIN_CHECKPOINT ? "failed" : "reason", e->reason);
    if (more)
        json_object_update(line, more);
    json_decref(more);
    return line;
}

static enum lf_err read_line(struct lf_curve *c, const json_t *line, uint64_t job, int trial)
{
    const json_t *of = json_object_get(line, "trial");
    const json_t *step = json_object_get(line, "step"), *loss = json_object_get(line, "loss");
    const json_t *eval_loss = json_object_get(line, "eval_loss");
    if (!json_is_integer(step) || (of ? json_integer_value(of) : -1) != trial ||
        (job && json_integer_value(json_object_get(line, "job")) != (json_int_t)job))
        return LF_OK;
    if (json_is_number(loss))
        return lf_curve_add(&c->train, json_number_value(step), json_number_value(loss));
    if (json_is_number(eval_loss))
        return lf_curve_add(&c->eval, json_number_value(step), json_number_value(eval_loss));
    return LF_OK;
}

enum lf_err lf_train_log_read(struct lf_curve *c, const char *path, uint64_t job, int trial,
                              struct lf_diag *diag)
{
    struct lf_lines l;
    const char *text = NULL;
    size_t n;
    enum lf_err rc = lf_lines_open(&l, path, diag);
    while (rc == LF_OK && (rc = lf_lines_next(&l, &text, &n, diag)) == LF_OK && text) {
        json_t *line;
        if (lf_json_parse(&line, text, n, NULL) != LF_OK)
            continue;
        if (read_line(c, line, job, trial) != LF_OK)
            rc = lf_no_memory(diag, "a curve");
        json_decref(line);
    }
    lf_lines_close(&l);
    return rc;
}
