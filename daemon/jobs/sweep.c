/* The trainings of a sweep: given to the engine, halved, the best of them kept. */
#include "daemon/jobs/sweep.h"

#include "core/file.h"
#include "core/json.h"
#include "core/lock.h"
#include "core/log.h"
#include "trainer/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE "sweep.json" /* in the job's directory */

static struct lf_sweep_row *row_of(const struct lf_trial *t)
{
    return &t->run->table.row[t->index];
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* What the last run left. */
static enum lf_err state_read(struct lf_sweep_run *run, const struct lf_open_job *l,
                              struct lf_diag *diag)
{
    char path[LF_PATH_MAX], log[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, run->dir, STATE, diag);
    rc = rc
             ?: lf_registry_dir(l->jobs->d->registry, l->record.adapter_id,
                                lf_files[LF_FILE_LOG].disk, log, diag);
    return rc != LF_OK || !lf_file_exists(path)
               ? rc
               : lf_sweep_table_read(&run->table, path, log, l->record.id, diag);
}

enum lf_err lf_sweep_run_new(struct lf_sweep_run **out, struct lf_open_job *l,
                             const struct lf_train_settings *s, const struct lf_training_spec *spec,
                             const char *dir, struct lf_diag *diag)
{
    struct lf_sweep_run *run = calloc(1, sizeof *run);
    if (!run) {
        lf_dataset_free(spec->train);
        lf_dataset_free(spec->eval);
        lf_adapter_free(spec->init);
        return lf_no_memory(diag, "a sweep");
    }
    *run = (struct lf_sweep_run){.train = spec->train,
                                 .eval = spec->eval,
                                 .init = spec->init,
                                 .spec = *spec,
                                 .table.best = -1};
    snprintf(run->dir, sizeof run->dir, "%s", dir);
    enum lf_err rc = run->eval ? LF_OK
                               : lf_fail(diag, LF_E_INVALID,
                                         "a sweep is decided by evaluation rows, and there are "
                                         "none: its rows are all the same");
    rc = rc ?: lf_sweep_expand(&run->w, s, diag);
    rc = rc ?: lf_sweep_place_rungs(&run->w, run->train, diag);
    if (rc == LF_OK) {
        run->trial = calloc((size_t)run->w.n, sizeof *run->trial);
        run->table.row = calloc((size_t)run->w.n, sizeof *run->table.row);
        run->table.n = run->w.n;
        if (!run->trial || !run->table.row)
            rc = lf_no_memory(diag, "a sweep");
    }
    for (int i = 0; i < run->w.n && rc == LF_OK; i++) {
        run->trial[i] = (struct lf_trial){.job = l, .run = run, .index = i};
        run->table.row[i] = (struct lf_sweep_row){.chosen = run->w.chosen[i],
                                                  .last = run->w.settings[i].keep == LF_KEEP_LAST,
                                                  .progress = lf_progress_none()};
    }
    rc = rc ?: state_read(run, l, diag);
    if (rc == LF_OK)
        *out = run;
    else
        lf_sweep_run_free(run);
    return rc;
}

void lf_sweep_run_free(struct lf_sweep_run *run)
{
    if (!run)
        return;
    for (int i = 0; i < run->w.n && run->table.row; i++)
        lf_curve_free(&run->table.row[i].curve);
    free(run->table.row);
    free(run->trial);
    lf_sweep_free(&run->w);
    lf_dataset_free(run->train);
    lf_dataset_free(run->eval);
    lf_adapter_free(run->init);
    lf_adapter_free(run->adapter);
    free(run);
}

/* ---- The engine ------------------------------------------------------------------------------ */

static enum lf_err submit(struct lf_jobs *j, struct lf_sweep_run *run, struct lf_trial *t,
                          struct lf_diag *diag)
{
    char checkpoint[LF_PATH_MAX];
    struct lf_training_spec spec = run->spec;
    if (snprintf(checkpoint, sizeof checkpoint, "%s/trials/%d", run->dir, t->index) >= LF_PATH_MAX)
        return lf_fail(diag, LF_E_INVALID, "%s: path too long", run->dir);
    spec.settings = &run->w.settings[t->index];
    spec.eval_at = run->w.rung[t->index];
    spec.step_tokens = lf_dataset_step_tokens(run->train, spec.settings);
    spec.checkpoint_dir = checkpoint;
    spec.arg = t;
    spec.init = NULL;
    enum lf_err rc = run->init ? lf_adapter_copy(&spec.init, run->init, diag) : LF_OK;
    if (rc != LF_OK)
        return rc;
    spec.train = lf_dataset_share(run->train);
    spec.eval = lf_dataset_share(run->eval);
    if (!spec.train || !spec.eval) {
        lf_dataset_free(spec.train);
        lf_dataset_free(spec.eval);
        lf_adapter_free(spec.init);
        return lf_no_memory(diag, "a sweep's rows");
    }
    row_of(t)->state = LF_JOB_RUNNING;
    rc = lf_team_train(lf_team_for(j->d, t->job->record.adapter_id), &spec, 0, NULL, &t->training,
                       diag);
    if (rc != LF_OK) {
        t->training = NULL;
        row_of(t)->state = LF_JOB_QUEUED;
    }
    return rc;
}

enum lf_err lf_sweep_start(struct lf_jobs *j, struct lf_sweep_run *run, bool *any,
                           struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    *any = false;
    for (int i = 0; i < run->w.n && rc == LF_OK; i++) {
        if (run->table.row[i].state == LF_JOB_QUEUED && !run->trial[i].waits &&
            !run->trial[i].training)
            rc = submit(j, run, &run->trial[i], diag);
        *any = *any || run->trial[i].training;
    }
    return *any ? LF_OK : rc; /* those that are there bring the others along when they end */
}

void lf_sweep_pause(struct lf_sweep_run *run, bool paused)
{
    for (int i = 0; i < run->w.n; i++)
        if (run->trial[i].training)
            lf_training_pause(run->trial[i].training, paused);
}

void lf_sweep_finish(struct lf_sweep_run *run)
{
    for (int i = 0; i < run->w.n; i++)
        if (run->trial[i].training)
            lf_training_finish(run->trial[i].training);
}

void lf_sweep_cancel(struct lf_sweep_run *run)
{
    for (int i = 0; i < run->w.n; i++)
        if (run->trial[i].training)
            lf_training_cancel(run->trial[i].training);
}

/* ---- How far it is --------------------------------------------------------------------------- */

static void sum_up(struct lf_jobs *j, struct lf_sweep_run *run, struct lf_progress *sum)
{
    char note[sizeof run->note];
    lf_sweep_table_sum(&run->table, sum, note, sizeof note);
    lf_lock_auto held = lf_lock(&j->lock);
    memcpy(run->note, note, sizeof run->note);
}

/* The worse half ends at each rung that is reached. */
static void halve(struct lf_jobs *j, struct lf_sweep_run *run)
{
    lf_lock_auto held = lf_lock(&j->lock);
    for (int i = lf_sweep_table_ends(&run->table, &run->w); i >= 0;
         i = lf_sweep_table_ends(&run->table, &run->w))
        if (run->trial[i].training)
            lf_training_cancel(run->trial[i].training);
}

/* ---- Written down ---------------------------------------------------------------------------- */

struct sweep_texts {
    struct lf_buf json, csv, svg;
};

static void sweep_texts_free(struct sweep_texts *t)
{
    lf_buf_free(&t->json);
    lf_buf_free(&t->csv);
    lf_buf_free(&t->svg);
}

static enum lf_err make_texts(struct sweep_texts *t, const struct lf_open_job *l,
                              struct lf_diag *diag)
{
    char title[2 * LF_NAME_MAX];
    const struct lf_sweep_table *table = &l->sweep->table;
    *t = (struct sweep_texts){0};
    snprintf(title, sizeof title, "%s v%d", l->record.adapter, (int)l->record.version);
    enum lf_err rc = lf_sweep_table_json(&t->json, table) ?: lf_sweep_table_csv(&t->csv, table);
    rc = rc ?: lf_sweep_table_svg(&t->svg, table, title);
    if (rc == LF_OK)
        return rc;
    sweep_texts_free(t);
    return lf_no_memory(diag, "a sweep's table");
}

/* The state, and the same in the adapter's directory. */
static enum lf_err files_write(struct lf_jobs *j, const struct lf_open_job *l, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct sweep_texts t;
    uint64_t id = l->record.adapter_id;
    struct lf_registry *r = j->d->registry;
    enum lf_err rc = make_texts(&t, l, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_path_join(path, l->sweep->dir, STATE, diag);
    rc = rc ?: lf_file_write(path, t.json.data, t.json.len, diag);
    rc = rc ?: lf_registry_write(r, id, LF_FILE_SWEEP, &t.json, diag);
    rc = rc ?: lf_registry_write(r, id, LF_FILE_SWEEP_TABLE, &t.csv, diag);
    rc = rc ?: lf_registry_write(r, id, LF_FILE_SWEEP_CURVES, &t.svg, diag);
    sweep_texts_free(&t);
    return rc;
}

static void write_down(struct lf_jobs *j, const struct lf_open_job *l)
{
    struct lf_diag diag = {""};
    if (files_write(j, l, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "job %llu: its sweep is not written down: %s",
               (unsigned long long)l->record.id, diag.text);
}

/* ---- Events ---------------------------------------------------------------------------------- */

void lf_sweep_event(struct lf_jobs *j, struct lf_trial *t, const struct lf_train_event *e,
                    struct lf_progress *sum)
{
    struct lf_sweep_run *run = t->run;
    row_of(t)->progress = e->progress;
    if (lf_train_curve_add(&row_of(t)->curve, e) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "no memory for a point of a curve");
    sum_up(j, run, sum);
    if (e->kind == LF_TRAIN_EVAL) {
        halve(j, run);
        write_down(j, t->job);
    }
}

/* ---- The end --------------------------------------------------------------------------------- */

static void best_path(const struct lf_sweep_run *run, int trial, char out[LF_PATH_MAX])
{
    snprintf(out, LF_PATH_MAX, "%.*s/best-%d", LF_PATH_MAX - 32, run->dir, trial);
}

/* Takes the adapter of a training that is done: kept where it is the best so far. */
static void keep(struct lf_jobs *j, struct lf_sweep_run *run, struct lf_trial *t,
                 struct lf_adapter *a)
{
    char path[LF_PATH_MAX];
    struct lf_diag diag = {""};
    int before = run->table.best;
    const struct lf_base *base = lf_registry_base(j->d->registry, t->job->record.adapter_id);
    if (before >= 0 &&
        !(lf_sweep_row_loss(row_of(t)) < lf_sweep_row_loss(&run->table.row[before]))) {
        lf_adapter_free(a);
        return;
    }
    lf_adapter_free(run->adapter);
    run->adapter = a;
    run->table.best = t->index;
    best_path(run, t->index, path);
    if (lf_adapter_save(a, &base->model->config, path, lf_base_title(base), NULL, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "the best of a sweep is in memory alone: %s", diag.text);
    write_down(j, t->job);
    best_path(run, before, path);
    if (before >= 0 && lf_dir_remove(path, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "%s", diag.text);
}

static bool any_runs(const struct lf_sweep_run *run)
{
    bool any = false;
    for (int i = 0; i < run->w.n; i++)
        any = any || run->trial[i].training;
    return any;
}

/* What became of one, by how it ended. */
static void settle(struct lf_jobs *j, struct lf_sweep_run *run, struct lf_trial *t)
{
    const struct lf_training_end *e = &t->end;
    bool full = e->rc == LF_E_DEVICE_FULL && (any_runs(run) || !e->alone);
    for (int i = 0; i < run->w.n && !full; i++)
        run->trial[i].waits = false; /* there may be room now */
    t->waits = full;
    if (e->progress.steps > 0)
        row_of(t)->progress = e->progress;
    if (row_of(t)->state == LF_JOB_CANCELLED || e->rc == LF_E_CANCELLED) {
        row_of(t)->state = LF_JOB_CANCELLED;
        lf_adapter_free(e->adapter);
    } else if (e->rc == LF_OK) {
        row_of(t)->state = LF_JOB_DONE;
        keep(j, run, t, e->adapter);
    } else if (full || e->rc == LF_E_INTERRUPTED || e->rc == LF_E_DEVICE_LOST) {
        row_of(t)->state = LF_JOB_QUEUED; /* where others run they make room when they end */
        if (!full || !any_runs(run))
            run->again = e->rc;
    } else {
        row_of(t)->state = LF_JOB_FAILED;
        snprintf(row_of(t)->reason, sizeof row_of(t)->reason, "%s", e->why.text);
        if (lf_sweep_table_revive(&run->table))
            lf_log(LF_LOG_WARN, "jobs", "a sweep's best failed: the next best is trained anew");
    }
}

bool lf_sweep_ended(struct lf_jobs *j, struct lf_trial *t, struct lf_training_end *end)
{
    struct lf_sweep_run *run = t->run;
    struct lf_diag diag = {""};
    bool any = false;
    pthread_mutex_lock(&j->lock);
    struct lf_training *training = t->training;
    t->training = NULL;
    pthread_mutex_unlock(&j->lock);
    settle(j, run, t);
    halve(j, run);
    write_down(j, t->job);
    lf_training_release(training);
    pthread_mutex_lock(&j->lock);
    if (run->again == LF_OK && !t->job->cancelled && lf_sweep_start(j, run, &any, &diag) != LF_OK)
        run->again = LF_E_INTERRUPTED;
    any = any_runs(run);
    pthread_mutex_unlock(&j->lock);
    if (!any)
        lf_sweep_end(j, run, end);
    return !any;
}

/* No training ended well: the first reason. */
static void end_badly(const struct lf_sweep_run *run, struct lf_training_end *end)
{
    const char *why = "";
    for (int i = run->w.n; i-- > 0;)
        why = run->table.row[i].reason[0] ? run->table.row[i].reason : why;
    end->rc = *why
                  ? lf_fail(&end->why, LF_E_INVALID, "no training of the sweep ended well: %s", why)
                  : lf_fail(&end->why, LF_E_CANCELLED, "cancelled");
}

void lf_sweep_end(struct lf_jobs *j, struct lf_sweep_run *run, struct lf_training_end *end)
{
    char path[LF_PATH_MAX];
    struct lf_open_job *l = run->trial->job;
    const struct lf_base *base = lf_registry_base(j->d->registry, l->record.adapter_id);
    *end = (struct lf_training_end){.rc = run->again, .progress = lf_progress_none()};
    if (run->again != LF_OK) {
        lf_fail(&end->why, run->again, "the sweep waits");
    } else if (run->table.best < 0) {
        end_badly(run, end);
    } else {
        best_path(run, run->table.best, path);
        end->progress = run->table.row[run->table.best].progress;
        if (!run->adapter)
            end->rc = lf_adapter_load(&run->adapter, &base->model->config, path, &end->why);
        end->adapter = run->adapter;
        run->adapter = NULL;
        lf_curve_free(&l->curve);
        l->curve = run->table.row[run->table.best].curve; /* the version's */
        run->table.row[run->table.best].curve = (struct lf_curve){0};
        if (lf_curve_copy(&run->table.row[run->table.best].curve, &l->curve) != LF_OK)
            lf_log(LF_LOG_WARN, "jobs", "no memory for a curve");
    }
}

void lf_sweep_version_write(struct lf_jobs *j, const struct lf_open_job *l)
{
    struct sweep_texts t;
    struct lf_diag diag = {""};
    lf_buf_auto settings = {0};
    const struct lf_job_record *r = &l->record;
    if (make_texts(&t, l, &diag) != LF_OK ||
        lf_train_settings_print(&l->sweep->w.settings[l->sweep->table.best], &settings) != LF_OK) {
        lf_log(LF_LOG_WARN, "jobs", "v%d has no table of its sweep: %s", (int)r->version,
               diag.text);
        return;
    }
    const struct {
        enum lf_file_kind kind;
        const struct lf_buf *text;
    } files[] = {{LF_FILE_CONFIG, &settings},
                 {LF_FILE_SWEEP, &t.json},
                 {LF_FILE_SWEEP_TABLE, &t.csv},
                 {LF_FILE_SWEEP_CURVES, &t.svg}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        lf_registry_version_write(j->d->registry, r->adapter_id, r->version, files[i].kind,
                                  files[i].text->data, files[i].text->len);
    sweep_texts_free(&t);
}
