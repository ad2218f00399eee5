/* A study over an array job. */
#include "land/spread.h"

#include "core/file.h"
#include "core/json.h"
#include "slurm/array.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct spread_element {
    int base, first, n; /* of the study's tasks */
};

struct spread {
    struct lf_grid *f;
    const struct lf_study *s;
    const struct lf_slurm *slurm;
    const struct lf_spread_hooks *hooks;
    struct spread_element *elements; /* (n) */
    bool *open;                      /* (n) a cell of it has not ended */
    int n;
};

static bool has_ended(const struct lf_cell *c)
{
    return c->state == LF_CELL_DONE || c->state == LF_CELL_FAILED;
}

static bool is_of(const struct spread_element *e, const struct lf_cell *c)
{
    return c->base == e->base && c->task >= e->first && c->task < e->first + e->n;
}

static int n_cells(const struct spread *x)
{
    return x->f->n_tasks * x->f->n_columns;
}

static enum lf_err element_path(char out[LF_PATH_MAX], const struct spread *x, int k,
                                const char *name, struct lf_diag *diag)
{
    int n = snprintf(out, LF_PATH_MAX, "%s/%d/%s", x->slurm->dir, k, name);
    return n < LF_PATH_MAX ? LF_OK : lf_fail(diag, LF_E_INVALID, "%s is too long", x->slurm->dir);
}

/* ---- What an element runs -------------------------------------------------------------------- */

/* A path as it is from everywhere; a name that is none as it is. */
static json_t *absolute(const char *path)
{
    char *whole = realpath(path, NULL);
    json_t *j = json_string(whole ? whole : path);
    free(whole);
    return j;
}

/* An entry of the study's list with the member `key`, whatever it was. Yours. */
static json_t *entry_with(const json_t *list, int i, const char *key, json_t *value)
{
    const json_t *entry = json_array_get(list, (size_t)i);
    json_t *j = json_is_object(entry) ? lf_json_copy(entry) : json_object();
    json_object_set_new(j, key, value);
    return j;
}

static enum lf_err write_study(const struct spread *x, int k, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    const struct spread_element *e = &x->elements[k];
    json_t *j = lf_json_copy(x->s->file), *tasks = json_array();
    const json_t *bases = json_object_get(x->s->file, "bases");
    json_object_set_new(j, "name", json_string(x->s->name));
    json_object_set_new(
        j, "bases",
        json_pack("[o]", entry_with(bases, e->base, "base", absolute(x->s->bases[e->base].dir))));
    for (int i = e->first; i < e->first + e->n; i++) {
        const struct lf_study_task *t = &x->s->tasks[i];
        bool is_path = strchr(t->definition, '/') != NULL;
        json_t *task = entry_with(json_object_get(x->s->file, "tasks"), i, "task",
                                  is_path ? absolute(t->definition) : json_string(t->definition));
        json_object_set_new(task, "name", json_string(t->name));
        json_object_set_new(task, "data", absolute(t->data));
        json_array_append_new(tasks, task);
    }
    json_object_set_new(j, "tasks", tasks);
    enum lf_err rc = element_path(path, x, k, "", diag) ?: lf_dir_make(path, diag);
    rc = rc ?: element_path(path, x, k, "study.json", diag);
    if (rc != LF_OK)
        json_decref(j);
    return rc ?: lf_json_write(path, j, JSON_INDENT(1), diag);
}

/* A status of an earlier run is none: what failed in it is tried again. */
static enum lf_err prepare(void *arg, int k, struct lf_diag *diag)
{
    char status[LF_PATH_MAX];
    enum lf_err rc =
        write_study(arg, k, diag) ?: element_path(status, arg, k, "out/status.json", diag);
    if (rc == LF_OK)
        unlink(status);
    return rc;
}

static enum lf_err print_command(struct lf_buf *out, const char *device, struct lf_diag *diag)
{
    enum lf_err rc = lf_slurm_self(out, diag);
    lf_buf_puts(out, " land run \"$SLURM_ARRAY_TASK_ID/study.json\" --out "
                     "\"$SLURM_ARRAY_TASK_ID/out\" --quiet");
    if (device)
        lf_buf_printf(out, " --device %s", device);
    return rc == LF_OK && out->rc != LF_OK ? lf_no_memory(diag, "a command") : rc;
}

/* ---- What came of it ------------------------------------------------------------------------- */

/* A cell that its element has done: its file comes here, and counts where it is of the same rows
 * and settings. */
static enum lf_err take_done(const struct spread *x, int k, struct lf_cell *c, struct lf_diag *diag)
{
    char from[LF_PATH_MAX], to[LF_PATH_MAX], name[2 * LF_NAME_MAX + 32];
    snprintf(name, sizeof name, "out/cells/%s/%s.json", c->column, x->f->tasks[c->task]);
    enum lf_err rc = element_path(from, x, k, name, diag);
    rc = rc ?: lf_grid_path(to, x->f, diag, "cells/%s", c->column) ?: lf_dir_make(to, diag);
    rc = rc ?: lf_grid_path(to, x->f, diag, "cells/%s/%s.json", c->column, x->f->tasks[c->task]);
    if (rc != LF_OK || !lf_file_exists(from))
        return rc;
    rc = lf_file_copy(from, to, NULL, diag);
    if (rc == LF_OK)
        lf_grid_cell_recall(x->f, c);
    return rc != LF_OK || c->state != LF_CELL_DONE
               ? rc
               : x->hooks->ended(x->hooks->arg, c, LF_CELL_DONE, "", diag);
}

static struct lf_cell *find(const struct lf_grid *g, const struct lf_cell *c, const char *task)
{
    for (int i = 0; i < g->n_tasks * g->n_columns; i++)
        if (strcmp(g->cells[i].column, c->column) == 0 &&
            strcmp(g->tasks[g->cells[i].task], task) == 0)
            return &g->cells[i];
    return NULL;
}

/* Looks at an element's status. */
static enum lf_err take(void *arg, int k, bool ended, bool *open, double *progress,
                        struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    struct lf_grid g;
    struct spread *x = arg;
    const struct spread_element *e = &x->elements[k];
    enum lf_err rc = element_path(dir, x, k, "out", diag);
    if (rc != LF_OK || lf_grid_read(&g, dir, NULL) != LF_OK)
        return rc;
    *progress = lf_grid_progress(&g);
    *open = false;
    for (int i = 0; i < n_cells(x) && rc == LF_OK; i++) {
        struct lf_cell *c = &x->f->cells[i];
        if (!is_of(e, c) || has_ended(c))
            continue;
        const struct lf_cell *theirs = find(&g, c, x->f->tasks[c->task]);
        if (theirs && theirs->state == LF_CELL_DONE)
            rc = take_done(x, k, c, diag);
        else if (theirs && theirs->state == LF_CELL_FAILED && ended && g.finished)
            rc = x->hooks->ended(x->hooks->arg, c, LF_CELL_FAILED, theirs->reason, diag);
        else if (theirs && theirs->state != LF_CELL_FAILED) {
            c->state = theirs->state;
            c->progress = theirs->progress;
        }
        *open = *open || !has_ended(c);
    }
    lf_grid_free(&g);
    return rc;
}

static enum lf_err give_up(void *arg, int k, const char *reason, struct lf_diag *diag)
{
    struct spread *x = arg;
    enum lf_err rc = LF_OK;
    for (int i = 0; i < n_cells(x) && rc == LF_OK; i++)
        if (is_of(&x->elements[k], &x->f->cells[i]) && !has_ended(&x->f->cells[i]))
            rc = x->hooks->ended(x->hooks->arg, &x->f->cells[i], LF_CELL_FAILED, reason, diag);
    return rc;
}

static enum lf_err look(void *arg, struct lf_diag *diag)
{
    const struct spread *x = arg;
    return x->hooks->look(x->hooks->arg, diag);
}

/* ---- The array ------------------------------------------------------------------------------- */

static enum lf_err plan(struct spread *x, int tasks, struct lf_diag *diag)
{
    int groups = (x->s->n_tasks + tasks - 1) / tasks;
    x->n = groups * x->s->n_bases;
    x->elements = calloc((size_t)x->n, sizeof *x->elements);
    x->open = calloc((size_t)x->n, sizeof *x->open);
    if (!x->elements || !x->open)
        return lf_no_memory(diag, "the study");
    for (int k = 0; k < x->n; k++) {
        struct spread_element *e = &x->elements[k];
        *e = (struct spread_element){.base = k / groups, .first = k % groups * tasks, .n = tasks};
        if (e->first + e->n > x->s->n_tasks)
            e->n = x->s->n_tasks - e->first;
        for (int i = 0; i < n_cells(x); i++)
            x->open[k] = x->open[k] || (is_of(e, &x->f->cells[i]) && !has_ended(&x->f->cells[i]));
    }
    return LF_OK;
}

enum lf_err lf_spread_run(struct lf_grid *f, const struct lf_study *s, const char *device,
                          const struct lf_slurm *slurm, int tasks,
                          const struct lf_spread_hooks *hooks, struct lf_diag *diag)
{
    struct spread x = {.f = f, .s = s, .hooks = hooks, .slurm = slurm};
    const struct lf_slurm_work work = {
        .prepare = prepare, .take = take, .give_up = give_up, .look = look, .arg = &x};
    lf_buf_auto command = {0};
    enum lf_err rc = plan(&x, tasks, diag) ?: print_command(&command, device, diag);
    rc = rc ?: lf_slurm_run(slurm, lf_buf_str(&command), x.open, x.n, &work, diag);
    free(x.elements);
    free(x.open);
    return rc;
}
