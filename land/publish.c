/* A report's parts, gathered. */
#include "land/publish.h"

#include "core/json.h"
#include "land/limits.h"
#include "land/task.h"
#include "client/paths.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* ---- Notes of a task ------------------------------------------------------------------------- */

static const char *text_of(const json_t *obj, const char *key)
{
    const char *s = json_string_value(json_object_get(obj, key));
    return s && s[0] ? s : NULL;
}

/* Exact rows are called so and nothing else: only they are set beside published scores. */
static const char *fidelity_of(const json_t *task)
{
    const char *word = text_of(task, "fidelity"), *text = text_of(task, "fidelity_text");
    bool exact = word && strcmp(word, lf_fidelity_name(LF_FIDELITY_EXACT)) == 0;
    return exact || !text ? word : text;
}

static void read_features(double *out, const char *path)
{
    json_auto_t *j = NULL;
    if (lf_file_exists(path) && lf_json_load(&j, path, NULL) != LF_OK)
        j = NULL;
    const json_t *values = json_object_get(j, "features");
    for (int i = 0; i < LF_LAND_FEATURES; i++)
        out[i] = lf_json_real_of(values, lf_land_feature_name((enum lf_land_feature)i));
}

static enum lf_err read_note(struct lf_publication *p, int k, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_land_task_note *note = &p->notes[k];
    const char *task = p->results.task[k];
    enum lf_err rc = lf_grid_path(path, &p->grid, diag, "tasks/%s/task.json", task);
    if (rc == LF_OK && lf_file_exists(path))
        rc = lf_json_load(&p->tasks[k], path, diag);
    rc = rc ?: lf_grid_path(path, &p->grid, diag, "tasks/%s/features.json", task);
    if (rc != LF_OK)
        return rc;
    read_features(p->features[k], path);
    note->category = text_of(p->tasks[k], "category");
    note->metric = text_of(p->tasks[k], "metric");
    note->fidelity = fidelity_of(p->tasks[k]);
    note->test_rows = json_integer_value(json_object_get(p->tasks[k], "test"));
    note->features = isnan(p->features[k][0]) ? NULL : p->features[k];
    return LF_OK;
}

static enum lf_err make_notes(struct lf_publication *p, struct lf_diag *diag)
{
    size_t n = (size_t)p->results.n_tasks + 1;
    p->notes = calloc(n, sizeof *p->notes);
    p->features = calloc(n, sizeof *p->features);
    p->tasks = calloc(n, sizeof(json_t *));
    return p->notes && p->features && p->tasks ? LF_OK : lf_no_memory(diag, "the report");
}

/* ---- Opening --------------------------------------------------------------------------------- */

static enum lf_err load_published(struct lf_land_table *t, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    enum lf_err rc = lf_land_table_init(t) ?: lf_path_share(path, "land/published.csv", diag);
    rc = rc ?: lf_file_read(&text, path, LF_TABLE_BYTES_MAX, diag);
    return rc ?: lf_land_table_parse_published(t, lf_buf_str(&text), text.len, diag);
}

static enum lf_err list_failures(struct lf_publication *p, struct lf_diag *diag)
{
    const struct lf_grid *f = &p->grid;
    size_t n = (size_t)(f->n_tasks * f->n_columns);
    p->failures = calloc(n + 1, sizeof *p->failures);
    if (!p->failures)
        return lf_no_memory(diag, "the report");
    for (size_t i = 0; i < n; i++) {
        const struct lf_cell *c = &f->cells[i];
        if (c->state == LF_CELL_FAILED)
            p->failures[p->report.n_failures++] =
                (struct lf_land_failure){c->column, f->tasks[c->task], c->reason};
    }
    p->report.failures = p->failures;
    return LF_OK;
}

/* "NVIDIA H200; 36 cells in 312 s, 41,200,000 tokens trained on; 2026-11-28". */
static void say_how(struct lf_publication *p)
{
    long long tokens = 0;
    char date[16] = "";
    char path[LF_PATH_MAX];
    struct stat st;
    struct tm tm;
    int cells = 0;
    for (int k = 0; k < p->results.n_tasks; k++)
        for (int b = 0; b < p->results.n_bases; b++) {
            const struct lf_land_cell *c = lf_land_table_get(&p->results, b, k);
            cells += c && !isnan(c->tuned_score);
            tokens += c ? c->tokens : 0;
        }
    if (lf_grid_path(path, &p->grid, NULL, "status.json") == LF_OK && stat(path, &st) == 0 &&
        gmtime_r(&st.st_mtime, &tm))
        strftime(date, sizeof date, "%F", &tm);
    snprintf(p->how, sizeof p->how,
             "%s; %d cells in %.0f s of wall time, %.2f million tokens trained on; %s",
             p->grid.device[0] ? p->grid.device : "unknown device", cells, p->grid.seconds,
             (double)tokens / 1e6, date);
}

enum lf_err lf_publication_open(struct lf_publication *p, const char *dir, struct lf_diag *diag)
{
    *p = (struct lf_publication){0};
    enum lf_err rc = lf_grid_read(&p->grid, dir, diag);
    rc = rc ?: lf_grid_table(&p->grid, &p->results, diag);
    if (rc == LF_OK && p->results.n_tasks == 0)
        rc = lf_fail(diag, LF_E_NOT_FOUND, "%s: no cell of the study has ended yet", dir);
    rc = rc ?: make_notes(p, diag);
    for (int k = 0; k < p->results.n_tasks && rc == LF_OK; k++)
        rc = read_note(p, k, diag);
    rc = rc ?: load_published(&p->published, diag);
    if (rc != LF_OK)
        return rc;
    say_how(p);
    p->report = (struct lf_land_report){.title = p->grid.title,
                                        .how = p->how,
                                        .results = &p->results,
                                        .notes = p->notes,
                                        .published = &p->published};
    return list_failures(p, diag);
}

/* The category that an installed task of that name has. */
static void note_installed(struct lf_publication *p, int k)
{
    struct lf_task *t = NULL;
    if (lf_task_open(&t, p->results.task[k], NULL) != LF_OK)
        return;
    p->tasks[k] = json_pack("{s:s, s:s}", "category", t->category, "metric", t->metric);
    p->notes[k].category = text_of(p->tasks[k], "category");
    p->notes[k].metric = text_of(p->tasks[k], "metric");
    lf_task_close(t);
}

enum lf_err lf_publication_open_published(struct lf_publication *p, struct lf_diag *diag)
{
    *p = (struct lf_publication){0};
    enum lf_err rc = load_published(&p->results, diag) ?: make_notes(p, diag);
    if (rc != LF_OK)
        return rc;
    for (int k = 0; k < p->results.n_tasks; k++)
        note_installed(p, k);
    p->report = (struct lf_land_report){
        .title = "LoRA Land, as published",
        .how = "The paper's own figures (Zhao et al., 2024, table 12); sums made from its cells.",
        .results = &p->results,
        .notes = p->notes};
    return LF_OK;
}

void lf_publication_close(struct lf_publication *p)
{
    for (int k = 0; p->tasks && k < p->results.n_tasks; k++)
        json_decref(p->tasks[k]);
    free(p->tasks);
    free(p->features);
    free(p->notes);
    free(p->failures);
    lf_land_table_free(&p->results);
    lf_land_table_free(&p->published);
    lf_grid_free(&p->grid);
    *p = (struct lf_publication){0};
}

/* ---- For a terminal -------------------------------------------------------------------------- */

static void put_mean(struct lf_buf *out, const char *name, const struct lf_land_mean *m)
{
    if (m->cells > 0)
        lf_buf_printf(out, "%-28s %6.3f %6.3f %+7.3f %6d\n", name, m->base, m->tuned, m->lift,
                      m->cells);
    else
        lf_buf_printf(out, "%-28s %6s %6.3f\n", name, "", m->tuned);
}

static void put_bases(struct lf_buf *out, const struct lf_land_table *t)
{
    struct lf_land_mean m;
    lf_buf_printf(out, "%-28s %6s %6s %7s %6s\n", "", "base", "tuned", "lift", "cells");
    for (int b = 0; b < t->n_bases; b++) {
        lf_land_table_mean(&m, t, b, -1);
        put_mean(out, t->base[b], &m);
    }
    lf_land_table_mean(&m, t, -1, -1);
    put_mean(out, "all", &m);
}

static void put_categories(struct lf_buf *out, const struct lf_publication *p)
{
    struct lf_land_mean m;
    const char *category;
    for (int k = 0; (category = lf_land_category(&p->report, &k)); k++) {
        lf_land_category_mean(&m, &p->report, category);
        put_mean(out, category, &m);
    }
}

static void put_wins(struct lf_buf *out, const struct lf_publication *p)
{
    for (int b = 0; b < p->results.n_bases && p->report.published; b++)
        for (int i = 0; i < LF_LAND_PEERS; i++) {
            struct lf_land_wins w;
            lf_land_peer_wins(&w, &p->report, b, lf_land_peers[i]);
            if (w.above + w.equal + w.below > 0)
                lf_buf_printf(out, "%s: above %s's published score on %d of %d comparable tasks\n",
                              p->results.base[b], lf_land_peers[i], w.above,
                              w.above + w.equal + w.below);
        }
}

/* Cells that failed, or are to be read with care. */
static void put_cautions(struct lf_buf *out, const struct lf_publication *p)
{
    char doubts[160];
    for (int i = 0; i < p->report.n_failures; i++)
        lf_buf_printf(out, "%s, %s: failed: %s\n", p->failures[i].task, p->failures[i].base,
                      p->failures[i].reason);
    for (int k = 0; k < p->results.n_tasks; k++)
        for (int b = 0; b < p->results.n_bases; b++) {
            const struct lf_land_cell *c = lf_land_table_get(&p->results, b, k);
            if (!c)
                continue;
            lf_land_doubts(doubts, c);
            if (*doubts)
                lf_buf_printf(out, "%s, %s: %s\n", p->results.task[k], p->results.base[b], doubts);
        }
}

enum lf_err lf_publication_text(const struct lf_publication *p, struct lf_buf *out)
{
    put_bases(out, &p->results);
    put_categories(out, p);
    put_wins(out, p);
    put_cautions(out, p);
    return out->rc;
}
