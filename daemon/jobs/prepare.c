/* The preparers: each reads and tokenises the rows of the oldest waiting job, into files of the
 * job, and hands it to the engine. One takes small data sets alone, so that none waits behind a
 * large one. One job is prepared ahead of what fits the device. */
#include "daemon/jobs/inside.h"
#include "daemon/jobs/start.h"
#include "daemon/jobs/sweep.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/lock.h"
#include "core/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SMALL_BYTES (64 << 20) /* some seconds of work */
#define SHOWN_AFTER_NS 1000000000ull
#define SWEPT 0.05   /* of the rows are held out for a sweep that has no others to be decided by */
#define REST_MS 1000 /* until requests may have given back memory */
#define REST_SPACE_MS 20000 /* until there may be room on the disk: all is written anew */

/* The oldest job that may be prepared; NULL: none now, but perhaps at *due_ms, where it is not 0.
 * With the lock held. */
static struct lf_open_job *next_job(struct lf_jobs *j, bool small, int64_t *due_ms)
{
    struct lf_open_job *found = NULL;
    int64_t now_ms = lf_clock_unix_ms();
    *due_ms = 0;
    for (struct lf_open_job *l = j->open; l; l = l->next) {
        if (l->stage == LF_STAGE_TRAINING && !l->started)
            return NULL; /* one ahead is enough */
        if (l->stage != LF_STAGE_WAITING || l->record.progress.state != LF_JOB_QUEUED ||
            l->cancelled || l->no_room || (small && l->bytes > SMALL_BYTES))
            continue;
        if (l->rests_until_ms > now_ms)
            *due_ms = *due_ms && *due_ms < l->rests_until_ms ? *due_ms : l->rests_until_ms;
        else if (!found)
            found = l;
    }
    return found;
}

struct prepared {
    struct lf_train_settings settings;
    struct lf_dataset_limits limits;
    struct lf_dataset *train, *eval;
    struct lf_inputs_fault tried;
    struct lf_adapter *init;
    char checkpoint_dir[LF_PATH_MAX];
};

static void prepared_free(struct prepared *p)
{
    lf_train_settings_free(&p->settings);
    lf_dataset_free(p->train);
    lf_dataset_free(p->eval);
    lf_adapter_free(p->init);
}

/* And shows how far it is, where it takes a while. */
static bool still_wanted(void *arg, double done)
{
    struct lf_open_job *l = arg;
    int hundredths = (int)(done * 100);
    lf_lock_auto held = lf_lock(&l->jobs->lock);
    if (hundredths + 1 != l->prepared && lf_clock_ns() - l->prepares_since_ns > SHOWN_AFTER_NS) {
        l->prepared = hundredths + 1;
        if (!l->cancelled)
            lf_open_job_show(l->jobs, l);
    }
    return !l->cancelled && !l->jobs->closing;
}

/* `rows`: the file of the tokenised rows. A restart finds it there. */
static enum lf_err rows_load(struct lf_dataset **out, const char *dir, const char *name,
                             const char *rows, const struct lf_model *m, const struct prepared *p,
                             struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_dataset_limits limits = p->limits;
    limits.dir = dir;
    limits.rows = rows;
    enum lf_err rc = lf_path_join(path, dir, name, diag);
    rc = rc ?: lf_dataset_load(out, path, m, &p->settings, false, &limits, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", name);
}

static enum lf_err load(struct lf_jobs *j, const struct lf_job_record *r, struct prepared *p,
                        struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], eval[LF_PATH_MAX];
    const struct lf_model *m = lf_team_for(j->d, r->adapter_id)->base->model;
    lf_train_settings_default(&p->settings);
    enum lf_err rc = lf_job_dir(j, r->adapter_id, r->id, dir, diag);
    rc = rc ?: lf_path_join(p->checkpoint_dir, dir, LF_INPUTS_CHECKPOINT, diag);
    rc = rc ?: lf_path_join(eval, dir, LF_INPUTS_EVAL, diag);
    rc = rc ?: lf_inputs_settings(dir, &p->settings, diag);
    rc = rc ?: lf_start_load(&p->init, dir, &m->config, diag);
    rc = rc ?: lf_inputs_fault_read(&p->tried, dir, diag);
    rc = rc ?: rows_load(&p->train, dir, LF_INPUTS_DATASET, LF_INPUTS_ROWS, m, p, diag);
    if (rc == LF_OK && lf_file_exists(eval))
        rc = rows_load(&p->eval, dir, LF_INPUTS_EVAL, LF_INPUTS_EVAL_ROWS, m, p, diag);
    else if (rc == LF_OK && (p->settings.validation > 0 || p->settings.sweep))
        rc = lf_dataset_hold_out(&p->train, &p->eval,
                                 p->settings.validation > 0 ? p->settings.validation : SWEPT, diag);
    return rc;
}

/* That it is tried again, and how. */
static void say_tried(json_t *list, const struct lf_inputs_fault *tried)
{
    lf_buf_auto text = {0};
    if (tried->failures == 0)
        return;
    lf_buf_puts(&text, "tried again at half the learning rate");
    for (int i = 0; i < tried->fault.n; i++)
        lf_buf_printf(&text, "%s%lld", i ? ", " : ", without the rows of lines ",
                      (long long)tried->fault.lines[i]);
    json_array_append_new(list, json_string(lf_buf_str(&text)));
}

/* Settings that ask for rows to evaluate on, where there are none. */
static void say_without_rows(json_t *list, const struct prepared *p)
{
    const struct {
        const char *key;
        bool given;
    } asking[] = {{"patience", p->settings.patience > 0},
                  {"metric", p->settings.metric[0] != '\0'}};
    for (size_t i = 0; i < sizeof asking / sizeof *asking && !p->eval; i++)
        if (asking[i].given)
            json_array_append_new(
                list, json_sprintf("\"%s\" does nothing: there is no eval.jsonl, and no "
                                   "\"validation\"",
                                   asking[i].key));
}

/* Completions of kto that are all on one side. */
static void say_one_sided(json_t *list, const struct prepared *p, const struct lf_survey *s)
{
    bool all = s->unwanted == s->report.rows;
    if (p->settings.loss == LF_LOSS_KTO && (all || s->unwanted == 0))
        json_array_append_new(
            list, json_sprintf("%s completion is wanted: kto learns from the difference of both",
                               all ? "no" : "each"));
}

/* What is said of the training before it begins. */
static void say(struct lf_open_job *l, const struct prepared *p)
{
    json_decref(l->warnings);
    l->warnings = json_array();
    say_tried(l->warnings, &p->tried);
    say_without_rows(l->warnings, p);
    say_one_sided(l->warnings, p, &l->survey);
    if (json_array_size(l->warnings) == 0) {
        json_decref(l->warnings);
        l->warnings = NULL;
    }
}

/* In the log, and what a person should know of them in `status`. */
static void show_rows(struct lf_jobs *j, const struct lf_open_job *l)
{
    const struct lf_job_record *r = &l->record;
    const struct lf_dataset_report *d = &l->survey.report;
    lf_buf_auto warnings = {0};
    json_t *line =
        json_pack("{s:s, s:I, s:I, s:I, s:I}", "event", "prepared", "job", (json_int_t)r->id,
                  "rows", (json_int_t)d->rows, "tokens", (json_int_t)d->tokens, "supervised_tokens",
                  (json_int_t)d->supervised_tokens);
    const struct {
        const char *name;
        int64_t n;
    } cuts[] = {{"validation_rows", d->held_out},
                {"cut_prompts", d->cut_prompts},
                {"cut_completions", d->cut_completions},
                {"lost_rows", d->lost}};
    for (size_t i = 0; line && i < sizeof cuts / sizeof *cuts; i++)
        if (cuts[i].n > 0)
            json_object_set_new(line, cuts[i].name, json_integer(cuts[i].n));
    json_auto_t *list = lf_survey_warnings(&l->survey);
    json_array_extend(list, l->warnings);
    if (lf_survey_line(&warnings, list) == LF_OK) {
        if (line && warnings.len > 0)
            json_object_set(line, "warnings", list);
        lf_registry_warned(j->d->registry, r->adapter_id, warnings.data);
    }
    lf_registry_log(j->d->registry, r->adapter_id, line);
}

/* What the engine is given, but for who hears of it. */
static struct lf_training_spec spec_of(const struct lf_jobs *j, const struct prepared *p)
{
    return (struct lf_training_spec){.settings = &p->settings,
                                     .train = p->train,
                                     .eval = p->eval,
                                     .init = p->init,
                                     .step_tokens = lf_dataset_step_tokens(p->train, &p->settings),
                                     .checkpoint_dir = p->checkpoint_dir,
                                     .checkpoint_seconds = j->d->options.checkpoint_seconds,
                                     .fault = p->tried.fault};
}

/* Whether the job may go to the engine: it was not cancelled or paused while its rows were read.
 * With the lock held. */
static bool may_train(const struct lf_jobs *j, struct lf_open_job *l, enum lf_err *rc)
{
    if (l->cancelled)
        *rc = LF_E_CANCELLED;
    else if (l->record.progress.state == LF_JOB_PAUSED || j->closing)
        l->stage = LF_STAGE_WAITING;
    else
        l->stage = LF_STAGE_TRAINING;
    l->started = false;
    l->starting = 0;
    return !l->cancelled && l->stage == LF_STAGE_TRAINING;
}

/* The engine stops, and so will the daemon. */
static enum lf_err comes_later(struct lf_open_job *l, enum lf_err rc)
{
    if (rc != LF_E_INTERRUPTED)
        return rc;
    l->stage = LF_STAGE_WAITING;
    l->no_room = true;
    return LF_OK;
}

/* The job is the engine's now. */
static enum lf_err hand_over(struct lf_jobs *j, struct lf_open_job *l, struct prepared *p,
                             struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    struct lf_training_spec spec = spec_of(j, p);
    spec.event = lf_recorder_event;
    spec.ended = lf_recorder_ended;
    spec.arg = l;
    lf_lock_auto held = lf_lock(&j->lock);
    if (!may_train(j, l, &rc))
        return rc;
    p->train = p->eval = NULL;
    p->init = NULL;
    return comes_later(l, lf_team_train(lf_team_for(j->d, l->record.adapter_id), &spec, l->full,
                                        &l->seat, &l->training, diag));
}

/* All trainings of a sweep are; where its last run left none, it is over. */
static enum lf_err hand_over_sweep(struct lf_jobs *j, struct lf_open_job *l, struct prepared *p,
                                   struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    bool any = true;
    struct lf_training_end end;
    struct lf_sweep_run *run = NULL, *unused = NULL;
    struct lf_training_spec spec = spec_of(j, p);
    spec.event = lf_recorder_trial_event;
    spec.ended = lf_recorder_trial_ended;
    enum lf_err rc = lf_job_dir(j, l->record.adapter_id, l->record.id, dir, diag);
    if (rc != LF_OK)
        return rc;
    p->train = p->eval = NULL;
    p->init = NULL;
    rc = lf_sweep_run_new(&run, l, &p->settings, &spec, dir, diag);
    if (rc != LF_OK)
        return rc;
    pthread_mutex_lock(&j->lock);
    if (may_train(j, l, &rc)) {
        unused = l->sweep;
        l->sweep = run;
        rc = comes_later(l, lf_sweep_start(j, run, &any, diag));
        any = any || rc != LF_OK || l->stage != LF_STAGE_TRAINING;
    } else {
        unused = run;
    }
    pthread_mutex_unlock(&j->lock);
    lf_sweep_run_free(unused);
    if (!any) {
        lf_sweep_end(j, run, &end);
        lf_recorder_ended(l, &end);
    }
    return rc;
}

/* The daemon stops, or others have the memory for its rows or the disk is full: it waits again.
 * Where a training has the memory, until that ends; the rest is given back soon. */
static bool comes_back(struct lf_jobs *j, struct lf_open_job *l, enum lf_err rc,
                       const struct lf_diag *why)
{
    lf_lock_auto held = lf_lock(&j->lock);
    bool memory = rc == LF_E_OVERLOADED, space = rc == LF_E_NO_SPACE;
    if (l->cancelled || !(memory || space || (rc == LF_E_CANCELLED && j->closing)))
        return false;
    for (const struct lf_open_job *o = j->open; o && memory; o = o->next)
        l->no_room = l->no_room || o->stage == LF_STAGE_TRAINING;
    if (space && !l->waits_for[0])
        lf_log(LF_LOG_ERROR, "jobs", "job %llu waits for room: %s",
               (unsigned long long)l->record.id, why->text);
    snprintf(l->waits_for, sizeof l->waits_for, "%s", space ? why->text : "");
    l->rests_until_ms = lf_clock_unix_ms() + (space ? REST_SPACE_MS : REST_MS);
    l->stage = LF_STAGE_WAITING;
    lf_open_job_show(j, l);
    return true;
}

/* In the store before the rows are touched, so that a job that takes the daemon down is known. */
static void note_attempts(struct lf_jobs *j, struct lf_open_job *l, int32_t n)
{
    struct lf_diag diag = {""};
    pthread_mutex_lock(&j->lock);
    l->record.attempts = n;
    struct lf_job_record record = l->record;
    pthread_mutex_unlock(&j->lock);
    if (lf_store_job_put(j->d->store, &record, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "job %llu: %s", (unsigned long long)record.id, diag.text);
}

static void not_preparing(struct lf_jobs *j, struct lf_open_job *l, enum lf_err rc)
{
    lf_lock_auto held = lf_lock(&j->lock);
    bool shown = l->prepared > 0;
    l->prepared = 0;
    if (rc == LF_OK)
        l->waits_for[0] = '\0';
    if (shown && !l->cancelled)
        lf_open_job_show(j, l);
}

static void prepare(struct lf_jobs *j, struct lf_open_job *l)
{
    struct lf_diag diag = {""};
    struct prepared p = {.limits = {j->d->row_memory, still_wanted, l, NULL, NULL}};
    note_attempts(j, l, l->record.attempts + 1);
    enum lf_err rc = load(j, &l->record, &p, &diag);
    if (rc == LF_OK)
        rc = lf_survey_make(&l->survey, p.train, p.eval, &p.limits, &diag);
    note_attempts(j, l, 0);
    not_preparing(j, l, rc);
    if (rc == LF_OK) {
        say(l, &p);
        show_rows(j, l);
        rc = p.settings.sweep ? hand_over_sweep(j, l, &p, &diag) : hand_over(j, l, &p, &diag);
    }
    prepared_free(&p);
    if (rc == LF_OK || comes_back(j, l, rc, &diag))
        return;
    pthread_mutex_lock(&j->lock);
    l->stage = LF_STAGE_ENDED;
    l->record.progress.state =
        rc == LF_E_CANCELLED || l->cancelled ? LF_JOB_CANCELLED : LF_JOB_FAILED;
    if (l->record.progress.state == LF_JOB_FAILED)
        memcpy(l->record.reason, diag.text, sizeof l->record.reason);
    pthread_mutex_unlock(&j->lock);
    (void)lf_open_job_end(j, l);
}

/* Until the list changes, or it is due_ms (0: never). With the lock held. */
static void await_change(struct lf_jobs *j, int64_t due_ms)
{
    const struct timespec until = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000};
    if (due_ms)
        pthread_cond_timedwait(&j->changed, &j->lock, &until);
    else
        pthread_cond_wait(&j->changed, &j->lock);
}

static void work(struct lf_jobs *j, bool small)
{
    lf_lock_auto held = lf_lock(&j->lock);
    while (!j->closing) {
        int64_t due_ms;
        struct lf_open_job *l = next_job(j, small, &due_ms);
        if (!l) {
            await_change(j, due_ms);
            continue;
        }
        l->stage = LF_STAGE_PREPARING;
        l->prepares_since_ns = lf_clock_ns();
        pthread_mutex_unlock(&j->lock);
        prepare(j, l);
        pthread_mutex_lock(&j->lock);
    }
}

void *lf_preparer_main(void *arg)
{
    work(arg, false);
    return NULL;
}

void *lf_small_preparer_main(void *arg)
{
    work(arg, true);
    return NULL;
}
