/* The cells and their files. */
#include "land/grid.h"

#include "core/file.h"
#include "core/clock.h"
#include "core/json.h"
#include "land/limits.h"

#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* A cell's work in parts: training is most of it. */
#define PART_TRAINING 0.8
#define FILE_FLAGS (JSON_INDENT(1) | JSON_REAL_PRECISION(9))

static const char *const state_names[] = {
    [LF_CELL_WAITING] = "waiting", [LF_CELL_TRAINING] = "training", [LF_CELL_SCORING] = "scoring",
    [LF_CELL_DONE] = "done",       [LF_CELL_FAILED] = "failed",
};

enum lf_err lf_grid_path(char out[LF_PATH_MAX], const struct lf_grid *f, struct lf_diag *diag,
                         const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(out, LF_PATH_MAX, "%s/", f->dir);
    va_start(ap, fmt);
    n += vsnprintf(out + n, LF_PATH_MAX - (size_t)n, fmt, ap);
    va_end(ap);
    return n < LF_PATH_MAX ? LF_OK : lf_fail(diag, LF_E_INVALID, "%s: path too long", f->dir);
}

/* ---- Making ---------------------------------------------------------------------------------- */

static enum lf_err make(struct lf_grid *f, const char *dir, int n_columns, int n_tasks,
                        struct lf_diag *diag)
{
    *f = (struct lf_grid){.n_columns = n_columns, .n_tasks = n_tasks};
    if (snprintf(f->dir, sizeof f->dir, "%s", dir) >= (int)sizeof f->dir)
        return lf_fail(diag, LF_E_INVALID, "%.80s...: the path is too long", dir);
    f->tasks = calloc((size_t)n_tasks + 1, sizeof *f->tasks);
    f->cells = calloc((size_t)n_tasks * (size_t)n_columns + 1, sizeof *f->cells);
    if (!f->tasks || !f->cells) {
        lf_grid_free(f);
        return lf_no_memory(diag, "the study's cells");
    }
    for (int i = 0; i < n_tasks * n_columns; i++) {
        struct lf_cell *c = &f->cells[i];
        c->task = i / n_columns;
        c->result = lf_land_cell_unknown();
    }
    return LF_OK;
}

enum lf_err lf_grid_init(struct lf_grid *f, const struct lf_study *s, const char *dir,
                         struct lf_diag *diag)
{
    enum lf_err rc = make(f, dir, s->n_bases * s->n_variants, s->n_tasks, diag);
    if (rc != LF_OK)
        return rc;
    f->study = s;
    snprintf(f->name, sizeof f->name, "%s", s->name);
    snprintf(f->title, sizeof f->title, "%s", s->title);
    for (int k = 0; k < s->n_tasks; k++)
        snprintf(f->tasks[k], sizeof *f->tasks, "%s", s->tasks[k].name);
    for (int i = 0; i < f->n_columns; i++)
        lf_study_column(f->columns[i], s, i / s->n_variants, i % s->n_variants);
    for (int i = 0; i < f->n_tasks * f->n_columns; i++) {
        struct lf_cell *c = &f->cells[i];
        int column = i % f->n_columns;
        c->base = column / s->n_variants;
        c->variant = column % s->n_variants;
        snprintf(c->column, sizeof c->column, "%s", f->columns[column]);
    }
    return LF_OK;
}

void lf_grid_free(struct lf_grid *f)
{
    for (int i = 0; f->cells && i < f->n_tasks * f->n_columns; i++) {
        json_decref(f->cells[i].settings);
        json_decref(f->cells[i].metrics);
    }
    free(f->cells);
    free(f->tasks);
    *f = (struct lf_grid){0};
}

/* ---- As JSON --------------------------------------------------------------------------------- */

static json_t *cell_json(const struct lf_grid *f, const struct lf_cell *c)
{
    const struct lf_land_cell *r = &c->result;
    json_t *j = json_pack(
        "{s:s, s:s, s:s, s:f, s:s, s:o, s:o, s:o, s:I, s:I, s:f, s:o}", "base", c->column, "task",
        f->tasks[c->task], "state", state_names[c->state], "progress",
        c->state == LF_CELL_TRAINING ? c->progress : 0.0, "metric", r->metric, "base_score",
        lf_json_finite(r->base_score), "tuned_score", lf_json_finite(r->tuned_score), "lift",
        lf_json_finite(r->tuned_score - r->base_score), "rows", (json_int_t)r->rows, "tokens",
        (json_int_t)r->tokens, "seconds", r->seconds, "reason",
        c->state == LF_CELL_FAILED ? json_string(c->reason) : json_null());
    json_object_update_new(j, lf_land_trust_json(&r->trust));
    return j;
}

static json_t *names_json(const char (*names)[LF_NAME_MAX + 1], int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_string(names[i]));
    return list;
}

json_t *lf_grid_json(const struct lf_grid *f)
{
    json_t *cells = json_array();
    for (int i = 0; i < f->n_tasks * f->n_columns; i++)
        json_array_append_new(cells, cell_json(f, &f->cells[i]));
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:I, s:o, s:o, s:o}", "name", f->name, "title",
        f->title, "state",
        f->running    ? "running"
        : f->finished ? "finished"
                      : "stopped",
        "device", f->device, "seconds", f->seconds, "progress", lf_grid_progress(f),
        "tokens_per_second", f->tokens_per_second, "updated_ms", (json_int_t)lf_clock_unix_ms(),
        "columns", names_json((const char(*)[LF_NAME_MAX + 1]) f->columns, f->n_columns), "tasks",
        names_json((const char(*)[LF_NAME_MAX + 1]) f->tasks, f->n_tasks), "cells", cells);
}

enum lf_err lf_grid_write(const struct lf_grid *f, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    return lf_grid_path(path, f, diag, "status.json")
               ?: lf_json_write(path, lf_grid_json(f), FILE_FLAGS, diag);
}

/* ---- Reading back ---------------------------------------------------------------------------- */

static enum lf_err read_names(char (*out)[LF_NAME_MAX + 1], const json_t *list,
                              struct lf_diag *diag)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!s || !lf_name_ok(s))
            return lf_fail(diag, LF_E_DAMAGED, "a column or task without a name");
        snprintf(out[i], LF_NAME_MAX + 1, "%s", s);
    }
    return LF_OK;
}

static void read_result(struct lf_cell *c, const json_t *j)
{
    struct lf_land_cell *r = &c->result;
    for (int s = LF_CELL_WAITING; s <= LF_CELL_FAILED; s++)
        if (strcmp(lf_json_text_of(j, "state"), state_names[s]) == 0)
            c->state = (enum lf_cell_state)s;
    snprintf(r->metric, sizeof r->metric, "%s", lf_json_text_of(j, "metric"));
    snprintf(c->reason, sizeof c->reason, "%s", lf_json_text_of(j, "reason"));
    double progress = lf_json_real_of(j, "progress"), seconds = lf_json_real_of(j, "seconds");
    c->progress = isfinite(progress) ? progress : 0;
    r->base_score = lf_json_real_of(j, "base_score");
    r->tuned_score = lf_json_real_of(j, "tuned_score");
    r->rows = json_integer_value(json_object_get(j, "rows"));
    r->tokens = json_integer_value(json_object_get(j, "tokens"));
    r->seconds = isfinite(seconds) ? seconds : 0;
    r->trust = lf_land_trust_read(j);
}

static enum lf_err read_cells(struct lf_grid *f, const json_t *list, struct lf_diag *diag)
{
    if (json_array_size(list) != (size_t)f->n_tasks * (size_t)f->n_columns)
        return lf_fail(diag, LF_E_DAMAGED, "not as many cells as columns and tasks make");
    for (int i = 0; i < f->n_tasks * f->n_columns; i++) {
        snprintf(f->cells[i].column, LF_NAME_MAX + 1, "%s", f->columns[i % f->n_columns]);
        read_result(&f->cells[i], json_array_get(list, (size_t)i));
    }
    return LF_OK;
}

/* Somebody holds DIR/lock. */
static bool is_locked(const struct lf_grid *f)
{
    char path[LF_PATH_MAX];
    if (lf_grid_path(path, f, NULL, "lock") != LF_OK)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0;
    close(fd);
    return locked;
}

static enum lf_err read_back(struct lf_grid *f, const char *dir, const json_t *j,
                             struct lf_diag *diag)
{
    const json_t *columns = json_object_get(j, "columns"), *tasks = json_object_get(j, "tasks");
    if (json_array_size(columns) > LF_LAND_BASES_MAX || json_array_size(tasks) > LF_LAND_TASKS_MAX)
        return lf_fail(diag, LF_E_DAMAGED, "more columns or tasks than a study has");
    enum lf_err rc = make(f, dir, (int)json_array_size(columns), (int)json_array_size(tasks), diag);
    rc = rc ?: read_names(f->columns, columns, diag);
    rc = rc ?: read_names(f->tasks, tasks, diag);
    rc = rc ?: read_cells(f, json_object_get(j, "cells"), diag);
    if (rc != LF_OK)
        return rc;
    struct lf_json_in in = lf_json_in(j, diag);
    snprintf(f->name, sizeof f->name, "%s", lf_json_str(&in, "name", ""));
    snprintf(f->title, sizeof f->title, "%s", lf_json_str(&in, "title", ""));
    snprintf(f->device, sizeof f->device, "%s", lf_json_str(&in, "device", ""));
    f->finished = strcmp(lf_json_str(&in, "state", ""), "finished") == 0;
    f->seconds = lf_json_real(&in, "seconds", f->seconds, 0, 1e12);
    f->tokens_per_second = lf_json_real(&in, "tokens_per_second", f->tokens_per_second, 0, 1e12);
    f->running = is_locked(f);
    return in.rc;
}

enum lf_err lf_grid_read(struct lf_grid *f, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *j = NULL;
    if (lf_path_join(path, dir, "status.json", diag) != LF_OK)
        return LF_E_INVALID;
    if (!lf_file_exists(path))
        return lf_fail(diag, LF_E_NOT_FOUND, "%s: no study was run there", dir);
    enum lf_err rc = lf_json_load(&j, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = read_back(f, dir, j, diag);
    if (rc == LF_OK)
        return rc;
    lf_grid_free(f);
    return lf_fail_within(diag, rc, "%s", path);
}

/* ---- Cells' files ---------------------------------------------------------------------------- */

static enum lf_err cell_path(char out[LF_PATH_MAX], const struct lf_grid *f,
                             const struct lf_cell *c, struct lf_diag *diag)
{
    return lf_grid_path(out, f, diag, "cells/%s/%s.json", c->column, f->tasks[c->task]);
}

static enum lf_err write_results(const struct lf_grid *f, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_land_table t;
    lf_buf_auto text = {0};
    enum lf_err rc = lf_grid_table(f, &t, diag);
    if (rc != LF_OK)
        return rc;
    if (lf_land_table_print(&t, &text) != LF_OK)
        rc = lf_fail(diag, text.rc, "no memory for results.csv");
    rc = rc ?: lf_grid_path(path, f, diag, "results.csv");
    rc = rc ?: lf_file_write(path, text.data, text.len, diag);
    lf_land_table_free(&t);
    return rc;
}

enum lf_err lf_grid_cell_write(const struct lf_grid *f, const struct lf_cell *c,
                               struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_grid_path(path, f, diag, "cells/%s", c->column);
    rc = rc ?: lf_dir_make(path, diag);
    rc = rc ?: cell_path(path, f, c, diag);
    if (rc != LF_OK)
        return rc;
    json_t *j = cell_json(f, c);
    json_object_set_new(j, "key", json_string(c->key));
    json_object_set(j, "settings", c->settings);
    if (c->metrics)
        json_object_set(j, "metrics", c->metrics);
    return lf_json_write(path, j, FILE_FLAGS, diag) ?: write_results(f, diag);
}

void lf_grid_cell_recall(const struct lf_grid *f, struct lf_cell *c)
{
    char path[LF_PATH_MAX];
    json_auto_t *j = NULL;
    if (cell_path(path, f, c, NULL) != LF_OK || !lf_file_exists(path) ||
        lf_json_load(&j, path, NULL) != LF_OK || strcmp(lf_json_text_of(j, "key"), c->key) != 0 ||
        strcmp(lf_json_text_of(j, "state"), state_names[LF_CELL_DONE]) != 0)
        return;
    read_result(c, j);
    json_decref(c->metrics);
    c->metrics = json_incref(json_object_get(j, "metrics"));
}

/* ---- Sums ------------------------------------------------------------------------------------ */

int lf_grid_count(const struct lf_grid *f, enum lf_cell_state s)
{
    int n = 0;
    for (int i = 0; i < f->n_tasks * f->n_columns; i++)
        n += f->cells[i].state == s;
    return n;
}

double lf_grid_progress(const struct lf_grid *f)
{
    double sum = 0;
    int n = f->n_tasks * f->n_columns;
    for (int i = 0; i < n; i++) {
        const struct lf_cell *c = &f->cells[i];
        sum += c->state == LF_CELL_TRAINING ? PART_TRAINING * c->progress
               : c->state > LF_CELL_SCORING ? 1
                                            : PART_TRAINING * (c->state == LF_CELL_SCORING);
    }
    return n ? sum / n : 0;
}

enum lf_err lf_grid_table(const struct lf_grid *f, struct lf_land_table *t, struct lf_diag *diag)
{
    if (lf_land_table_init(t) != LF_OK)
        return lf_no_memory(diag, "the results");
    for (int k = 0; k < f->n_tasks; k++)
        for (int i = 0; i < f->n_columns; i++) {
            const struct lf_cell *c = lf_grid_cell(f, i, k);
            if (c->state != LF_CELL_DONE && c->state != LF_CELL_FAILED)
                continue;
            struct lf_land_cell *at = lf_land_table_put(t, c->column, f->tasks[k]);
            lf_assert(at); /* a study has no more columns and tasks than a table */
            *at = c->result;
        }
    return LF_OK;
}
