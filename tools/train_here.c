/* Training in this process. */
#include "tools/train_here.h"

#include "core/budget.h"
#include "core/clock.h"
#include "core/json.h"
#include "tools/bar.h"
#include "tools/interrupt.h"
#include "trainer/ask.h"
#include "trainer/log.h"
#include "trainer/survey.h"
#include "trainer/track.h"
#include "trainer/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIT_ROWS 256 /* logits held at once: chunks of the loss */
#define HOST_PART 2    /* of the host's memory, a half: activations may wait there for backward */

enum training_state {
    TRAINING_WAITS,
    TRAINING_RUNS,
    TRAINING_ENDED /* its result is written, or was there already */
};

struct training {
    struct trainings *all;
    const struct lf_train_item *it;
    enum training_state state;
    struct lf_train_settings s;
    bool has_settings;
    struct lf_dataset *train, *eval; /* until the job takes them */
    struct lf_dataset_report rows;
    int longest; /* tokens of a row, also to evaluate on */
    struct lf_job *job;
    FILE *log;
    bool log_failed;
    struct lf_tracker *tracker;
    struct lf_diag untracked; /* why it is not written any more; "": it is */
    struct lf_progress seen;
    double last_loss;
};

struct trainings {
    const struct lf_train_flags *o;
    struct training *at; /* (n) owned */
    int n, n_running, n_ended, n_failed;
    struct lf_offline c;
    struct lf_crew crew;     /* with others that help */
    struct lf_adapter *init; /* where it starts; NULL: fresh */
    struct lf_slots *slots;
    struct lf_exec *x;
    struct lf_trainer *trainer;
    struct lf_bar bar;
    bool full; /* the device; until one of those that run ends */
    uint64_t start_ns;
};

/* ---- Inputs ---------------------------------------------------------------------------------- */

/* What the person should know of the rows. */
static enum lf_err warn_of(const struct training *r, struct lf_diag *diag)
{
    struct lf_survey s;
    enum lf_err rc = lf_survey_make(&s, r->train, r->eval, NULL, diag);
    json_auto_t *warnings = rc == LF_OK ? lf_survey_warnings(&s) : NULL;
    for (size_t i = 0; i < json_array_size(warnings); i++)
        fprintf(stderr, "%s: %s\n", r->it->rows, json_string_value(json_array_get(warnings, i)));
    return rc;
}

static enum lf_err load_rows(struct training *r, struct lf_dataset **out, const char *path,
                             struct lf_diag *diag)
{
    enum lf_err rc = lf_dataset_load(out, path, r->all->c.model, &r->s, false, NULL, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

static enum lf_err load_both(struct training *r, struct lf_diag *diag)
{
    enum lf_err rc = load_rows(r, &r->train, r->it->rows, diag);
    if (rc == LF_OK && r->it->eval[0])
        rc = load_rows(r, &r->eval, r->it->eval, diag);
    else if (rc == LF_OK && r->s.validation > 0)
        rc = lf_dataset_hold_out(&r->train, &r->eval, r->s.validation, diag);
    return rc;
}

/* Its runs are named as the adapter is, or the directory that it goes to. */
static enum lf_err open_tracker(struct training *r, struct lf_diag *diag)
{
    const struct lf_train_flags *o = r->all->o;
    const char *slash = strrchr(r->it->out, '/'), *name = r->it->name;
    if (!name[0])
        name = slash && slash[1] ? slash + 1 : r->it->out;
    struct lf_tracker_spec spec = {
        .tensorboard = o->tensorboard, .mlflow = o->mlflow, .name = name, .settings = &r->s};
    return o->tensorboard || o->mlflow ? lf_tracker_open(&r->tracker, &spec, diag) : LF_OK;
}

static enum lf_err open_log(struct training *r, struct lf_diag *diag)
{
    enum lf_err rc = r->it->dir[0] ? lf_dir_make(r->it->dir, diag) : LF_OK;
    if (rc == LF_OK && r->it->log[0] && !(r->log = fopen(r->it->log, "a")))
        rc = lf_fail_errno(diag, errno, "%s", r->it->log);
    return rc;
}

static enum lf_err load(struct training *r, struct lf_diag *diag)
{
    struct lf_dataset_report eval;
    enum lf_err rc = load_both(r, diag);
    if (rc != LF_OK)
        return rc;
    lf_dataset_report(r->train, &r->rows);
    r->longest = r->rows.n_max;
    if (r->eval) {
        lf_dataset_report(r->eval, &eval);
        r->longest = eval.n_max > r->longest ? eval.n_max : r->longest;
    }
    return warn_of(r, diag) ?: open_log(r, diag) ?: open_tracker(r, diag);
}

/* ---- Events ---------------------------------------------------------------------------------- */

static bool write_line(FILE *log, const json_t *line, const struct lf_train_event *e)
{
    return line && json_dumpf(line, log, JSON_COMPACT | JSON_REAL_PRECISION(7)) == 0 &&
           fputc('\n', log) != EOF && (e->kind == LF_TRAIN_MICRO || fflush(log) == 0);
}

static void show_one(struct trainings *t, const struct training *r)
{
    char what[128];
    const struct lf_progress *p = &r->seen;
    int n = snprintf(what, sizeof what, "step %lld/%lld  loss %.4f", (long long)p->step,
                     (long long)p->steps, r->last_loss);
    if (isfinite(p->rewards.margin))
        n += snprintf(what + n, sizeof what - (size_t)n, "  margin %.3f", p->rewards.margin);
    snprintf(what + n, sizeof what - (size_t)n, "  %.0f tok/s", p->tokens_per_second);
    lf_bar_update(&t->bar, (double)p->step / (double)p->steps, what);
}

static void show_all(struct trainings *t)
{
    char what[128];
    double done = t->n_ended, rate = 0;
    for (int i = 0; i < t->n; i++)
        if (t->at[i].state == TRAINING_RUNS && t->at[i].seen.step > 0) {
            const struct lf_progress *p = &t->at[i].seen;
            done += (double)p->step / (double)p->steps;
            rate += p->tokens_per_second;
        }
    snprintf(what, sizeof what, "%d of %d done  %.0f tok/s", t->n_ended, t->n, rate);
    lf_bar_update(&t->bar, done / t->n, what);
}

static void on_event(void *arg, const struct lf_train_event *e)
{
    struct training *r = arg;
    json_auto_t *line = r->log || r->tracker ? lf_json_dated(lf_train_log_json(e)) : NULL;
    if (r->log && !write_line(r->log, line, e))
        r->log_failed = true;
    if (r->tracker && line && !r->untracked.text[0] &&
        lf_tracker_line(r->tracker, line, &r->untracked) != LF_OK)
        fprintf(stderr, "warning: %s\n", r->untracked.text);
    if (e->kind == LF_TRAIN_STEP) {
        r->last_loss = e->loss;
        r->seen = e->progress;
        if (r->all->n == 1)
            show_one(r->all, r);
        else
            show_all(r->all);
    }
    const char *name = r->it->name, *colon = name[0] ? ": " : "";
    if (e->kind == LF_TRAIN_WARNING)
        fprintf(stderr, "%s%swarning: %s\n", name, colon, e->reason);
    if (e->kind == LF_TRAIN_CHECKPOINT && e->reason)
        fprintf(stderr, "%s%scheckpoint: %s\n", name, colon, e->reason);
}

/* ---- The end of one -------------------------------------------------------------------------- */

static enum lf_err draw_curve(const struct training *r, struct lf_diag *diag)
{
    struct lf_curve c = {0};
    lf_buf_auto svg = {0};
    enum lf_err rc = lf_train_log_read(&c, r->it->log, 0, -1, diag);
    if (rc == LF_OK && lf_curve_svg(&svg, r->it->out, &c) != LF_OK)
        rc = lf_no_memory(diag, "a curve");
    rc = rc ?: lf_file_write(r->all->o->curve, svg.data, svg.len, diag);
    lf_curve_free(&c);
    return rc;
}

static json_t *report_json(const struct training *r)
{
    const struct lf_progress *p = &r->seen;
    double seconds = (double)(lf_clock_ns() - r->all->start_ns) * 1e-9;
    json_t *j = json_pack("{s:I, s:o, s:o}", "steps", (json_int_t)p->step, "loss",
                          lf_json_finite(r->last_loss), "smoothed_loss", lf_json_finite(p->loss));
    if (!j)
        return NULL;
    if (isfinite(p->eval_loss))
        json_object_set_new(j, "eval_loss", json_real(p->eval_loss));
    bool whole = lf_train_rewards_json(j, "", &p->rewards) &&
                 lf_train_rewards_json(j, "eval_", &p->eval_rewards);
    if (p->kept)
        json_object_set_new(j, "kept_step", json_integer(p->kept));
    if (r->rows.held_out)
        json_object_set_new(j, "validation_rows", json_integer(r->rows.held_out));
    json_object_set_new(j, "rows", json_integer(r->rows.rows));
    json_object_set_new(j, "lost_rows", json_integer(r->rows.lost));
    json_object_set_new(j, "tokens", json_integer(p->tokens));
    json_object_set_new(j, "train_seconds", json_real(p->seconds));
    json_object_set_new(j, "tokens_per_second", lf_json_finite((double)p->tokens / p->seconds));
    if (!whole || json_object_set_new(j, "seconds", json_real(seconds)) != 0) {
        json_decref(j);
        return NULL;
    }
    return j;
}

static enum lf_err save(struct training *r, struct lf_diag *diag)
{
    const struct lf_adapter *a;
    const struct lf_model *m = r->all->c.model;
    const struct lf_ask ask = lf_ask_of(r->rows.form, &r->s);
    char *note = lf_ask_note(&ask);
    enum lf_err rc =
        note ? lf_job_adapter(r->job, &a, diag) : lf_no_memory(diag, "the adapter's note");
    rc = rc ?: lf_adapter_save(a, &m->config, r->it->out, m->name, note, diag);
    free(note);
    return rc ?: lf_ask_write(r->it->out, &ask, diag);
}

static enum lf_err close_log(struct training *r, struct lf_diag *diag)
{
    if (r->log && fclose(r->log) != 0)
        r->log_failed = true;
    r->log = NULL;
    return r->log_failed ? lf_fail(diag, LF_E_IO, "%s: could not be written", r->it->log) : LF_OK;
}

/* Its job ended by itself: what it learnt, or why not. */
static enum lf_err result_of(struct training *r, struct lf_diag *diag)
{
    struct lf_diag why;
    lf_job_progress(r->job, &r->seen, &why);
    if (r->seen.state != LF_JOB_DONE)
        return lf_fail(diag, LF_E_INVALID, "%s", why.text);
    enum lf_err rc = save(r, diag);
    rc = rc ?: close_log(r, diag);
    return rc == LF_OK && r->all->o->curve ? draw_curve(r, diag) : rc;
}

/* The end of one, with or without a job: rc and `why` say how. An error of its own where it is the
 * only one. */
static enum lf_err end(struct training *r, enum lf_err rc, const struct lf_diag *why,
                       struct lf_diag *diag)
{
    struct trainings *t = r->all;
    t->n_running -= r->state == TRAINING_RUNS;
    t->n_ended++;
    t->full = false;
    r->state = TRAINING_ENDED;
    if (rc != LF_OK && !r->it->name[0])
        return lf_fail(diag, rc, "%s", why->text);
    json_t *report = rc == LF_OK ? report_json(r) : json_object();
    lf_bar_end(&t->bar);
    if (!r->it->name[0]) {
        lf_train_result_print(r->it, report, t->o->json);
        json_decref(report);
        return LF_OK;
    }
    rc = lf_train_result_write(r->it, report, rc == LF_OK ? NULL : why->text, diag);
    json_auto_t *result = rc == LF_OK ? lf_train_result_read(r->it) : NULL;
    t->n_failed += result && !lf_train_result_print(r->it, result, t->o->json);
    return rc;
}

/* Those whose jobs ended. A job that is done loses its checkpoint, its result being there. */
static enum lf_err take_ended(struct trainings *t, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; i < t->n && rc == LF_OK; i++) {
        struct lf_diag why = {""};
        struct training *r = &t->at[i];
        if (r->state != TRAINING_RUNS)
            continue;
        struct lf_progress now;
        lf_job_progress(r->job, &now, NULL);
        if (lf_job_state_open(now.state))
            continue;
        enum lf_err how = result_of(r, &why);
        rc = end(r, how, &why, diag);
        if (rc == LF_OK)
            lf_job_release(r->job);
    }
    return rc;
}

/* ---- Training -------------------------------------------------------------------------------- */

/* Until the adapter has its start from the base's weights. */
static bool starting(void *arg, double part)
{
    const struct training *r = arg;
    char what[LF_NAME_MAX + 48];
    snprintf(what, sizeof what, "%s%sdecomposing the base's weights", r->it->name,
             r->it->name[0] ? ": " : "");
    lf_bar_update(&r->all->bar, part, what);
    return !lf_interrupted;
}

static enum lf_err add(struct training *r, struct lf_diag *diag)
{
    struct trainings *t = r->all;
    struct lf_job_spec spec = {.settings = &r->s,
                               .train = r->train,
                               .eval = r->eval,
                               .init = t->init,
                               .checkpoint_dir = r->it->checkpoint[0] ? r->it->checkpoint : NULL,
                               .checkpoint_seconds = t->o->checkpoint_seconds,
                               .event = on_event,
                               .starting = starting,
                               .event_arg = r};
    r->train = r->eval = NULL;
    if (t->n == 1)
        lf_crew_give(&t->crew, &spec);
    enum lf_err rc = lf_trainer_add(t->trainer, &spec, &r->job, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_diag why;
    const char *name = r->it->name, *colon = name[0] ? ": " : "";
    lf_job_progress(r->job, &r->seen, &why);
    if (r->seen.resumed > 0)
        fprintf(stderr, "%s%sresumed at step %lld\n", name, colon, (long long)r->seen.resumed);
    else if (why.text[0])
        fprintf(stderr, "%s%scheckpoint: %s\n", name, colon, why.text);
    r->state = TRAINING_RUNS;
    t->n_running++;
    return LF_OK;
}

/* Those that wait, until the device is full. */
static enum lf_err add_waiting(struct trainings *t, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; i < t->n && rc == LF_OK && !t->full; i++) {
        struct lf_diag why = {""};
        struct training *r = &t->at[i];
        if (r->state != TRAINING_WAITS)
            continue;
        enum lf_err how = r->train ? LF_OK : load_both(r, &why);
        how = how ?: add(r, &why);
        if (how == LF_E_CANCELLED) /* interrupted before it began */
            return LF_OK;
        t->full = how == LF_E_DEVICE_FULL && t->n_running > 0;
        if (how != LF_OK && !t->full)
            rc = end(r, how, &why, diag);
    }
    return rc;
}

/* Until all have ended; an interrupt leaves checkpoints and LF_E_INTERRUPTED. */
static enum lf_err step_to_end(struct trainings *t, struct lf_diag *diag)
{
    bool stopping = false;
    enum lf_err rc = add_waiting(t, diag);
    while (rc == LF_OK && t->n_ended < t->n) {
        int active, writing = 0;
        for (int i = 0; i < t->n && lf_interrupted; i++) {
            if (t->at[i].state == TRAINING_RUNS && !stopping)
                lf_job_checkpoint(t->at[i].job);
            writing += t->at[i].state == TRAINING_RUNS && lf_job_checkpointing(t->at[i].job);
        }
        stopping = lf_interrupted;
        if (stopping && writing == 0)
            return lf_fail(diag, LF_E_INTERRUPTED, "interrupted%s",
                           t->at[0].it->checkpoint[0] ? "; the same command goes on from here"
                                                      : "");
        rc = lf_trainer_step(t->trainer, 0, &active, diag);
        rc = rc ?: take_ended(t, diag);
        if (rc == LF_OK && !stopping)
            rc = add_waiting(t, diag);
    }
    return rc;
}

/* ---- What they share ------------------------------------------------------------------------- */

/* Room for a device's part of a step of the longest rows of all that train at a time, within the
 * ceiling; never less than one row. */
static int batch_tokens(const struct trainings *t)
{
    int64_t ceiling = t->o->batch_tokens, longest = 0, want = 0;
    if (ceiling == 0)
        ceiling = t->c.dev->traits->train_tokens;
    for (int i = 0; i < t->n; i++) {
        const struct training *r = &t->at[i];
        int64_t rows = ((int64_t)r->s.batch_size * r->s.accumulation + t->crew.n - 1) / t->crew.n;
        if (r->state == TRAINING_ENDED)
            continue;
        longest = r->longest > longest ? r->longest : longest;
        want += r->longest * rows;
        want = want < ceiling ? want : ceiling;
    }
    return (int)(want > longest ? want : longest);
}

/* What backward will find kept, and what not. */
static void take_host_memory(const struct trainings *t)
{
    struct lf_diag why;
    struct lf_exec_memory m;
    enum lf_recompute how = lf_exec_recomputes(t->x);
    lf_exec_memory(t->x, &m);
    if (how != LF_RECOMPUTE_NONE && !t->o->o.quiet)
        fprintf(stderr, "recompute %s, %.0f MiB of host memory\n", lf_recompute_word(how),
                (double)m.host / (1 << 20));
    if (lf_exec_host_take(t->x, t->c.model->config.L, &why) != LF_OK)
        fprintf(stderr, "more blocks are run again in backward: %s\n", why.text);
}

static enum lf_err make_exec(struct trainings *t, int rank, struct lf_diag *diag)
{
    int n = batch_tokens(t);
    enum lf_recompute how = (enum lf_recompute)t->o->recompute;
    bool of_use = how != LF_RECOMPUTE_AUTO || !lf_device_on_host(t->c.dev);
    const struct lf_exec_limits limits = {.tokens_max = n,
                                          .train_tokens_max = n,
                                          .seqs_max = n < LF_SEQS_MAX ? n : LF_SEQS_MAX,
                                          .rows_max = n < LOGIT_ROWS ? n : LOGIT_ROWS,
                                          .rank_max = rank,
                                          .recompute = how,
                                          .host_bytes = of_use ? lf_memory_limit() / HOST_PART : 0};
    enum lf_err rc = lf_exec_new(&t->x, t->c.stream, t->c.model, t->slots, &limits, diag);
    if (rc == LF_OK)
        take_host_memory(t);
    return rc ?: lf_crew_start(&t->crew, &limits, diag);
}

/* The widest site of what is trained, which patterns and a start may make wider than "rank". */
static enum lf_err widest(int *rank, const struct trainings *t, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    *rank = t->init ? t->init->shape.rank_max : 1;
    for (int i = 0; i < t->n && rc == LF_OK && !t->init; i++) {
        struct lf_adapter_shape shape = {0};
        const struct training *r = &t->at[i];
        if (r->state == TRAINING_ENDED)
            continue;
        const struct lf_lora_settings lora = lf_train_settings_lora(&r->s);
        rc = lf_adapter_shape_new(&shape, &t->c.model->config, &lora, diag);
        *rank = shape.rank_max > *rank ? shape.rank_max : *rank;
        lf_adapter_shape_free(&shape);
    }
    return rc;
}

static enum lf_err train(struct trainings *t, struct lf_diag *diag)
{
    int rank = 0;
    const struct lf_config *config = &t->c.model->config;
    enum lf_err rc = t->o->init ? lf_adapter_load(&t->init, config, t->o->init, diag) : LF_OK;
    rc = rc
             ?: lf_slots_new(&t->slots, t->c.dev, config,
                             t->n < LF_JOBS_FUSED_MAX ? t->n : LF_JOBS_FUSED_MAX, diag);
    rc = rc ?: widest(&rank, t, diag) ?: make_exec(t, rank, diag);
    rc = rc ?: lf_trainer_new(&t->trainer, t->x, t->c.stream, t->c.model, t->slots, 0, diag);
    lf_bar_init(&t->bar, t->o->o.quiet);
    rc = rc ?: step_to_end(t, diag);
    lf_bar_end(&t->bar);
    lf_trainer_free(t->trainer);
    lf_crew_stop(&t->crew);
    return rc;
}

/* ---- All ------------------------------------------------------------------------------------- */

/* Those that have a result are printed, and not trained. */
static enum lf_err begin(struct trainings *t, const struct lf_train_list *l, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    t->at = calloc((size_t)l->n, sizeof *t->at);
    if (!t->at)
        return lf_no_memory(diag, "the adapters");
    t->n = l->n;
    for (int i = 0; i < t->n && rc == LF_OK; i++) {
        struct training *r = &t->at[i];
        *r = (struct training){.all = t, .it = &l->items[i], .seen = lf_progress_none()};
        json_auto_t *result = lf_train_result_read(r->it);
        if (result && strcmp(lf_json_text_of(result, "state"), "done") == 0) {
            lf_train_result_print(r->it, result, t->o->json);
            r->state = TRAINING_ENDED;
            t->n_ended++;
            continue;
        }
        rc = lf_train_item_settings(r->it, &r->s, diag);
        r->has_settings = rc == LF_OK;
    }
    return rc;
}

static enum lf_err load_all(struct trainings *t, struct lf_diag *diag)
{
    struct lf_offline_options devices = t->o->o;
    struct lf_seats seats = t->o->seats;
    enum lf_err rc = lf_seats_read(&seats, &devices.device, diag);
    if (rc == LF_OK && seats.n > 1 && t->n > 1)
        rc = lf_fail(diag, LF_E_INVALID,
                     "several devices divide the rows of one adapter, and here are %d", t->n);
    rc = rc ?: lf_crew_open(&t->crew, &t->c, &devices, &seats, diag);
    for (int i = 0; i < t->n && rc == LF_OK; i++) {
        struct lf_diag why = {""};
        struct training *r = &t->at[i];
        enum lf_err how = r->state == TRAINING_WAITS ? load(r, &why) : LF_OK;
        if (how != LF_OK)
            rc = end(r, how, &why, diag);
    }
    return rc;
}

static void end_all(struct trainings *t)
{
    for (int i = 0; i < t->n; i++) {
        struct training *r = &t->at[i];
        (void)!close_log(r, NULL);
        lf_tracker_close(r->tracker);
        lf_dataset_free(r->train);
        lf_dataset_free(r->eval);
        if (r->has_settings)
            lf_train_settings_free(&r->s);
    }
    lf_exec_free(t->x);
    lf_adapter_free(t->init);
    lf_slots_free(t->slots);
    lf_crew_close(&t->crew);
    lf_offline_close(&t->c);
    free(t->at);
}

enum lf_err lf_train_here(const struct lf_train_flags *o, const struct lf_train_list *l,
                          int *failed, struct lf_diag *diag)
{
    struct trainings t = {.o = o, .start_ns = lf_clock_ns()};
    enum lf_err rc = begin(&t, l, diag);
    if (rc == LF_OK && t.n_ended < t.n)
        rc = load_all(&t, diag);
    if (rc == LF_OK && t.n_ended < t.n)
        rc = train(&t, diag);
    *failed = t.n_failed;
    end_all(&t);
    return rc;
}
