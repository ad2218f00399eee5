/* The log of a training: events to lines, lines to a curve. */
#include "trainer/log.h"

#include "core/json.h"
#include "container/lines.h"

#include <math.h>
#include <stdio.h>

static const char *event_name(const struct lf_train_event *e)
{
    static const char *const names[] = {
        [LF_TRAIN_STARTED] = "started",       [LF_TRAIN_STARTING] = "starting",
        [LF_TRAIN_MICRO] = "micro",           [LF_TRAIN_STEP] = "step",
        [LF_TRAIN_WARNING] = "warning",       [LF_TRAIN_EVAL] = "eval",
        [LF_TRAIN_CHECKPOINT] = "checkpoint", [LF_TRAIN_PAUSED] = "paused",
        [LF_TRAIN_RESUMED] = "resumed"};
    return e->kind == LF_TRAIN_END ? lf_job_state_name(e->progress.state) : names[e->kind];
}

json_t *lf_train_kept_json(const struct lf_progress *p)
{
    return p->kept > 0 ? json_integer((json_int_t)p->kept) : NULL;
}

bool lf_train_rewards_json(json_t *to, const char *prefix, const struct lf_rewards *r)
{
    static const char *const names[] = {
#define NAME(name) #name,
        LF_EACH_REWARD(NAME)
#undef NAME
    };
    const double values[] = {
#define VALUE(name) r->name,
        LF_EACH_REWARD(VALUE)
#undef VALUE
    };
    char key[48];
    bool ok = true;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        snprintf(key, sizeof key, "%sreward_%s", prefix, names[i]);
        if (isfinite(values[i]))
            ok = json_object_set_new(to, key, json_real(values[i])) == 0 && ok;
    }
    return ok;
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
    if (e->kind == LF_TRAIN_STEP)
        lf_train_rewards_json(more, "", &p->rewards);
    else if (e->kind == LF_TRAIN_EVAL)
        lf_train_rewards_json(more, "eval_", &p->eval_rewards);
    if (more)
        json_object_update(line, more);
    json_decref(more);
    return line;
}

/* A point where there is one. */
static enum lf_err add(struct lf_curve_points *l, double step, double value)
{
    return isfinite(value) ? lf_curve_add(l, step, value) : LF_OK;
}

enum lf_err lf_train_curve_add(struct lf_curve *c, const struct lf_train_event *e)
{
    const struct lf_progress *p = &e->progress;
    double step = (double)e->step;
    if (e->kind == LF_TRAIN_STEP)
        return lf_curve_add(&c->train, step, e->loss) ?: add(&c->margin, step, p->rewards.margin)
                       ?: add(&c->accuracy, step, p->rewards.accuracy);
    if (e->kind == LF_TRAIN_EVAL)
        return lf_curve_add(&c->eval, step, p->eval_loss)
                   ?: add(&c->eval_margin, step, p->eval_rewards.margin)
                   ?: add(&c->eval_accuracy, step, p->eval_rewards.accuracy);
    return LF_OK;
}

static enum lf_err read_line(struct lf_curve *c, const json_t *line, uint64_t job, int trial)
{
    const json_t *of = json_object_get(line, "trial"), *step = json_object_get(line, "step");
    const struct {
        const char *key;
        struct lf_curve_points *list;
    } figures[] = {{"loss", &c->train},
                   {"eval_loss", &c->eval},
                   {"reward_margin", &c->margin},
                   {"eval_reward_margin", &c->eval_margin},
                   {"reward_accuracy", &c->accuracy},
                   {"eval_reward_accuracy", &c->eval_accuracy}};
    enum lf_err rc = LF_OK;
    if (!json_is_integer(step) || (of ? json_integer_value(of) : -1) != trial ||
        (job && json_integer_value(json_object_get(line, "job")) != (json_int_t)job))
        return LF_OK;
    for (size_t i = 0; i < sizeof figures / sizeof *figures && rc == LF_OK; i++) {
        const json_t *v = json_object_get(line, figures[i].key);
        if (json_is_number(v))
            rc = lf_curve_add(figures[i].list, json_number_value(step), json_number_value(v));
    }
    return rc;
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
