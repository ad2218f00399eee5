/* The report's page: each section is a function. */
#include "land/report.h"

#include "land/analysis.h"
#include "container/csv.h"
#include "land/limits.h"
#include "land/svg.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    "<style>body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1180px;margin:2em auto;"
    "padding:0 1em}h1{margin-bottom:0}h2{margin-top:2em;border-bottom:1px solid #ddd}"
    "table{border-collapse:collapse;font-size:13px}td,th{padding:3px 9px;border-bottom:1px solid "
    "#eee;text-align:right}td:first-child,th:first-child{text-align:left}"
    ".how{color:#666;margin-top:.2em}.tiles{display:flex;gap:1em;flex-wrap:wrap;margin:1.2em 0}"
    ".tile{background:#f4f6f8;border-radius:8px;padding:.6em 1.1em}.tile b{display:block;"
    "font-size:24px}.wide{overflow-x:auto}.note{color:#555;font-size:13px}"
    ".paper{background:#fff6dc;padding:.1em .5em;border-radius:4px}</style>\n";

/* <tag>text</tag> */
static void element(struct lf_buf *out, const char *tag, const char *text)
{
    lf_buf_printf(out, "<%s>", tag);
    lf_buf_xml(out, text ? text : "");
    lf_buf_printf(out, "</%.*s>", (int)strcspn(tag, " "), tag);
}

static void heading(struct lf_buf *out, const char *text)
{
    element(out, "h2", text);
    lf_buf_putc(out, '\n');
}

static void tile(struct lf_buf *out, const char *what, const char *fmt, ...) LF_PRINTF(3, 4);
static void tile(struct lf_buf *out, const char *what, const char *fmt, ...)
{
    char value[32];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    lf_buf_printf(out, "<div class=\"tile\"><b>%s</b>%s</div>", value, what);
}

static double smallest_lift(const struct lf_land_table *t)
{
    double least = INFINITY;
    for (int k = 0; k < t->n_tasks; k++)
        for (int b = 0; b < t->n_bases; b++) {
            const struct lf_land_cell *c = lf_land_table_get(t, b, k);
            if (c && c->tuned_score - c->base_score < least)
                least = c->tuned_score - c->base_score;
        }
    return least;
}

static void section_head(struct lf_buf *out, const struct lf_land_report *r)
{
    struct lf_land_mean m;
    lf_land_table_mean(&m, r->results, -1, -1);
    element(out, "h1", r->title);
    element(out, "p class=\"how\"", r->how);
    lf_buf_puts(out, "<div class=\"tiles\">");
    tile(out, "bases &times; tasks", "%d &times; %d", r->results->n_bases, r->results->n_tasks);
    tile(out, "mean score of the bases", "%.3f", m.base);
    tile(out, "mean score after LoRA", "%.3f", m.tuned);
    tile(out, "mean lift", "%+.3f", m.lift);
    tile(out, "cells above their base", "%d of %d", m.positive, m.cells);
    if (m.cells > 0)
        tile(out, "smallest lift of a cell", "%+.3f", smallest_lift(r->results));
    lf_buf_puts(out, "</div>\n");
}

/* Pointers to the table's names, as the pictures take them. */
static void names_of(const char **out, const char (*names)[LF_NAME_MAX + 1], int n)
{
    for (int i = 0; i < n; i++)
        out[i] = names[i];
}

static enum lf_err matrix_svg(struct lf_buf *out, const struct lf_land_table *t)
{
    const char *bases[LF_LAND_BASES_MAX], *tasks[LF_LAND_TASKS_MAX];
    int n = t->n_bases * t->n_tasks;
    double *tuned = malloc((size_t)(2 * n + 1) * sizeof *tuned);
    if (!tuned)
        return LF_E_NO_MEMORY;
    double *lift = tuned + n;
    names_of(bases, t->base, t->n_bases);
    names_of(tasks, t->task, t->n_tasks);
    for (int k = 0; k < t->n_tasks; k++)
        for (int b = 0; b < t->n_bases; b++) {
            const struct lf_land_cell *c = lf_land_table_get(t, b, k);
            tuned[k * t->n_bases + b] = c ? c->tuned_score : NAN;
            lift[k * t->n_bases + b] = c ? c->tuned_score - c->base_score : NAN;
        }
    const struct lf_heat_map map = {.rows = t->n_tasks,
                                    .columns = t->n_bases,
                                    .row_names = tasks,
                                    .column_names = bases,
                                    .value = tuned,
                                    .second = lift,
                                    .title = "score after LoRA",
                                    .second_title = "lift"};
    enum lf_err rc = lf_heat_map_svg(out, &map);
    free(tuned);
    return rc;
}

static enum lf_err section_matrix(struct lf_buf *out, const struct lf_land_table *t)
{
    heading(out, "Scores after training, and the lift over the base");
    lf_buf_puts(out, "<div class=\"wide\">");
    enum lf_err rc = matrix_svg(out, t);
    lf_buf_puts(out, "</div>\n");
    return rc;
}

/* A cell of a table; a dash where the score is not known. */
static void score_cell(struct lf_buf *out, double v, bool is_lift)
{
    char text[32] = "&ndash;";
    if (!isnan(v))
        snprintf(text, sizeof text, is_lift ? "%+.3f" : "%.3f", v);
    lf_buf_printf(out, "<td>%s</td>", text);
}

static enum lf_err section_bases(struct lf_buf *out, const struct lf_land_table *t)
{
    const char *bases[LF_LAND_BASES_MAX];
    double before[LF_LAND_BASES_MAX], after[LF_LAND_BASES_MAX];
    names_of(bases, t->base, t->n_bases);
    for (int b = 0; b < t->n_bases; b++) {
        struct lf_land_mean m;
        lf_land_table_mean(&m, t, b, -1);
        before[b] = m.base;
        after[b] = m.tuned;
    }
    const struct lf_bars bars = {.n = t->n_bases,
                                 .names = bases,
                                 .before = before,
                                 .after = after,
                                 .before_title = "base",
                                 .after_title = "tuned"};
    heading(out, "Averages of each base");
    enum lf_err rc = lf_bars_svg(out, &bars);
    lf_buf_puts(out, "<table><tr><th>base</th><th>before</th><th>after</th><th>lift</th><th>lift, "
                     "losses as 0</th><th>cells</th><th>best of task</th></tr>\n");
    for (int b = 0; b < t->n_bases; b++) {
        struct lf_land_mean m;
        int best = 0;
        lf_land_table_mean(&m, t, b, -1);
        for (int k = 0; k < t->n_tasks; k++)
            best += lf_land_table_best(t, k) == b;
        lf_buf_puts(out, "<tr>");
        element(out, "td", t->base[b]);
        score_cell(out, m.base, false);
        score_cell(out, m.tuned, false);
        score_cell(out, m.lift, true);
        score_cell(out, m.clipped_lift, true);
        lf_buf_printf(out, "<td>%d</td><td>%d</td></tr>\n", m.cells, best);
    }
    lf_buf_puts(out, "</table>\n");
    return rc;
}

static bool same_category(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

const char *lf_land_category(const struct lf_land_report *r, int *k)
{
    for (; *k < r->results->n_tasks; ++*k) {
        const char *category = r->notes[*k].category;
        int i = 0;
        while (i < *k && !same_category(r->notes[i].category, category))
            i++;
        if (category && i == *k)
            return category;
    }
    return NULL;
}

void lf_land_category_mean(struct lf_land_mean *out, const struct lf_land_report *r,
                           const char *category)
{
    struct lf_land_mean sum = {0}, m;
    int n = 0;
    for (int k = 0; k < r->results->n_tasks; k++) {
        lf_land_table_mean(&m, r->results, -1, k);
        if (!same_category(r->notes[k].category, category) || m.cells == 0)
            continue;
        sum.base += m.base;
        sum.tuned += m.tuned;
        sum.lift += m.lift;
        sum.clipped_lift += m.clipped_lift;
        sum.cells += m.cells;
        sum.positive += m.positive;
        n++;
    }
    double by = n ? n : (double)NAN;
    *out = (struct lf_land_mean){sum.base / by,         sum.tuned / by, sum.lift / by,
                                 sum.clipped_lift / by, sum.cells,      sum.positive};
}

static enum lf_err section_categories(struct lf_buf *out, const struct lf_land_report *r)
{
    const char *names[LF_LAND_TASKS_MAX + 1];
    double before[LF_LAND_TASKS_MAX], after[LF_LAND_TASKS_MAX];
    int n = 0;
    for (int k = 0; (names[n] = lf_land_category(r, &k)); k++) {
        struct lf_land_mean m;
        lf_land_category_mean(&m, r, names[n]);
        before[n] = m.base;
        after[n++] = m.tuned;
    }
    if (n == 0)
        return LF_OK;
    const struct lf_bars bars = {.n = n,
                                 .names = names,
                                 .before = before,
                                 .after = after,
                                 .before_title = "base",
                                 .after_title = "tuned"};
    heading(out, "Averages of each category, over tasks and bases");
    return lf_bars_svg(out, &bars);
}

const char *const lf_land_peers[LF_LAND_PEERS] = {"gpt-4", "gpt-3.5"};

void lf_land_peer_wins(struct lf_land_wins *out, const struct lf_land_report *r, int base,
                       const char *peer)
{
    const struct lf_land_table *t = r->results, *p = r->published;
    struct lf_land_wins w = {0};
    int column = lf_land_table_base(p, peer);
    for (int k = 0; k < t->n_tasks && column >= 0; k++) {
        int row = lf_land_table_task(p, t->task[k]);
        const struct lf_land_cell *c = lf_land_table_get(t, base, k);
        const struct lf_land_cell *q = row < 0 ? NULL : lf_land_table_get(p, column, row);
        const char *fidelity = r->notes[k].fidelity;
        if (!c || !q || isnan(c->tuned_score) || !fidelity || strcmp(fidelity, "exact") != 0)
            continue;
        w.above += c->tuned_score > q->tuned_score;
        w.equal += c->tuned_score == q->tuned_score;
        w.below += c->tuned_score < q->tuned_score;
    }
    *out = w;
}

/* Our scores beside the paper's GPT columns. Different rows and prompts: said, not hidden. */
static void section_published(struct lf_buf *out, const struct lf_land_report *r)
{
    const struct lf_land_table *t = r->results;
    heading(out, "Beside the published GPT scores");
    lf_buf_puts(out,
                "<p class=\"note\"><span class=\"paper\">gpt-4 and gpt-3.5 are the paper's "
                "figures</span>, measured by its authors on their prompts and rows. A task whose "
                "data stands in for another (see the end) cannot be compared at all and is "
                "left out of the counts.</p><table><tr><th>base</th>");
    for (int i = 0; i < LF_LAND_PEERS; i++)
        lf_buf_printf(out, "<th>above %s</th><th>equal</th><th>below</th>", lf_land_peers[i]);
    lf_buf_puts(out, "</tr>\n");
    for (int b = 0; b < t->n_bases; b++) {
        lf_buf_puts(out, "<tr>");
        element(out, "td", t->base[b]);
        for (int i = 0; i < LF_LAND_PEERS; i++) {
            struct lf_land_wins w;
            lf_land_peer_wins(&w, r, b, lf_land_peers[i]);
            lf_buf_printf(out, "<td>%d</td><td>%d</td><td>%d</td>", w.above, w.equal, w.below);
        }
        lf_buf_puts(out, "</tr>\n");
    }
    lf_buf_puts(out, "</table>\n");
}

static enum lf_err section_correlations(struct lf_buf *out, const struct lf_land_analysis *a)
{
    const char *rows[LF_LAND_VARIABLES], *columns[LF_LAND_TARGETS];
    double values[LF_LAND_VARIABLES * LF_LAND_TARGETS];
    for (int i = 0; i < LF_LAND_VARIABLES; i++) {
        rows[i] = i < LF_LAND_FEATURES
                      ? lf_land_feature_name((enum lf_land_feature)i)
                      : lf_land_target_name((enum lf_land_target)(i - LF_LAND_FEATURES));
        for (int j = 0; j < LF_LAND_TARGETS; j++)
            values[i * LF_LAND_TARGETS + j] =
                a->correlation[i * LF_LAND_VARIABLES + LF_LAND_FEATURES + j];
    }
    for (int j = 0; j < LF_LAND_TARGETS; j++)
        columns[j] = lf_land_target_name((enum lf_land_target)j);
    const struct lf_heat_map map = {.rows = LF_LAND_VARIABLES,
                                    .columns = LF_LAND_TARGETS,
                                    .row_names = rows,
                                    .column_names = columns,
                                    .value = values,
                                    .title = "correlation",
                                    .signed_ = true};
    heading(out, "Do a task's texts foretell its scores?");
    lf_buf_printf(out,
                  "<p class=\"note\">Pearson's correlation over %d tasks. Lengths are in tokens; "
                  "compressibility is deflated bytes over bytes of an example.</p>\n",
                  a->n);
    return lf_heat_map_svg(out, &map);
}

static void section_models(struct lf_buf *out, const struct lf_land_analysis *a)
{
    if (a->n_models == 0)
        return;
    heading(out, "Linear models");
    lf_buf_puts(out, "<p class=\"note\">Least squares on standardised features. R&sup2; and RMSE "
                     "without the word are of the fit; left-one-out predicts each task from the "
                     "others, and a value below 0 means that the others' mean would have done "
                     "better.</p><table><tr><th>foretold</th>");
    for (int j = 0; j < LF_LAND_MODEL_FEATURES; j++)
        lf_buf_printf(out, "<th>%s</th>", lf_land_feature_name(lf_land_model_features[j]));
    lf_buf_puts(out, "<th>R&sup2;</th><th>RMSE</th><th>R&sup2; left-one-out</th><th>RMSE "
                     "left-one-out</th></tr>\n");
    for (int t = 0; t < a->n_models; t++) {
        const struct lf_fit *f = &a->model[t];
        lf_buf_printf(out, "<tr><td>%s</td>", lf_land_target_name((enum lf_land_target)t));
        for (size_t j = 0; j < f->k; j++)
            lf_buf_printf(out, "<td>%+.3f</td>", f->coef[j]);
        lf_buf_printf(out, "<td>%.3f</td><td>%.3f</td><td>%.3f</td><td>%.3f</td></tr>\n", f->r2,
                      f->rmse, f->r2_loo, f->rmse_loo);
    }
    lf_buf_puts(out, "</table>\n");
}

static void section_tasks(struct lf_buf *out, const struct lf_land_report *r)
{
    const struct lf_land_table *t = r->results;
    heading(out, "The tasks and their data");
    lf_buf_puts(out, "<table><tr><th>task</th><th>category</th><th>metric</th><th>data</th>"
                     "<th>rows</th><th>tokens trained on</th><th>seconds</th></tr>\n");
    for (int k = 0; k < t->n_tasks; k++) {
        int64_t rows = 0, tokens = 0;
        double seconds = 0;
        for (int b = 0; b < t->n_bases; b++) {
            const struct lf_land_cell *c = lf_land_table_get(t, b, k);
            if (!c)
                continue;
            rows = c->rows > rows ? c->rows : rows;
            tokens += c->tokens;
            seconds += c->seconds;
        }
        const char *text[] = {t->task[k], r->notes[k].category, r->notes[k].metric,
                              r->notes[k].fidelity};
        lf_buf_puts(out, "<tr>");
        for (int i = 0; i < 4; i++)
            element(out, "td", text[i]);
        lf_buf_printf(out, "<td>%lld</td><td>%lld</td><td>%.0f</td></tr>\n", (long long)rows,
                      (long long)tokens, seconds);
    }
    lf_buf_puts(out, "</table>\n");
}

/* The heuristics, a task a line. */
static void section_features(struct lf_buf *out, const struct lf_land_report *r)
{
    const struct lf_land_table *t = r->results;
    bool any = false;
    for (int k = 0; k < t->n_tasks; k++)
        any = any || (r->notes[k].features && !isnan(r->notes[k].features[0]));
    if (!any)
        return;
    heading(out, "What the tasks' texts look like");
    lf_buf_puts(out, "<div class=\"wide\"><table><tr><th>task</th>");
    for (int i = 0; i < LF_LAND_FEATURES; i++)
        lf_buf_printf(out, "<th>%s</th>", lf_land_feature_name((enum lf_land_feature)i));
    lf_buf_puts(out, "</tr>\n");
    for (int k = 0; k < t->n_tasks; k++) {
        const double *x = r->notes[k].features;
        lf_buf_puts(out, "<tr>");
        element(out, "td", t->task[k]);
        for (int i = 0; i < LF_LAND_FEATURES; i++) {
            char text[32] = "&ndash;";
            if (x && !isnan(x[i]))
                snprintf(text, sizeof text, x[i] < 10 ? "%.2f" : "%.0f", x[i]);
            lf_buf_printf(out, "<td>%s</td>", text);
        }
        lf_buf_puts(out, "</tr>\n");
    }
    lf_buf_puts(out, "</table></div>\n");
}

enum lf_err lf_land_report_html(struct lf_buf *out, const struct lf_land_report *r,
                                struct lf_diag *diag)
{
    struct lf_land_analysis a;
    enum lf_err rc = lf_land_analysis_init(&a, r, diag);
    if (rc != LF_OK)
        return rc;
    lf_buf_puts(out, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
    element(out, "title", r->title);
    lf_buf_printf(out, "\n%s", style);
    section_head(out, r);
    rc = section_matrix(out, r->results) ?: section_bases(out, r->results);
    rc = rc ?: section_categories(out, r);
    if (r->published)
        section_published(out, r);
    if (rc == LF_OK && a.n >= 3)
        rc = section_correlations(out, &a);
    section_models(out, &a);
    section_features(out, r);
    section_tasks(out, r);
    lf_buf_puts(out, "</html>\n");
    lf_land_analysis_free(&a);
    rc = rc != LF_OK ? rc : out->rc;
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the report");
}

enum lf_err lf_land_report_svg(struct lf_buf *out, const struct lf_land_report *r,
                               struct lf_diag *diag)
{
    enum lf_err rc = matrix_svg(out, r->results);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the picture");
}

static void csv_row(struct lf_buf *out, const char *kind, const char *row, const char *column,
                    double value)
{
    lf_buf_printf(out, "%s,", kind);
    lf_csv_put(out, row);
    lf_buf_putc(out, ',');
    lf_csv_put(out, column);
    lf_buf_printf(out, isnan(value) ? ",\n" : ",%.6f\n", value);
}

static void csv_mean(struct lf_buf *out, const char *kind, const char *row,
                     const struct lf_land_mean *m)
{
    csv_row(out, kind, row, "base", m->base);
    csv_row(out, kind, row, "tuned", m->tuned);
    csv_row(out, kind, row, "lift", m->lift);
    csv_row(out, kind, row, "clipped_lift", m->clipped_lift);
}

static void csv_means(struct lf_buf *out, const struct lf_land_report *r)
{
    struct lf_land_mean m;
    for (int b = 0; b < r->results->n_bases; b++) {
        lf_land_table_mean(&m, r->results, b, -1);
        csv_mean(out, "base", r->results->base[b], &m);
    }
    const char *category;
    for (int k = 0; (category = lf_land_category(r, &k)); k++) {
        lf_land_category_mean(&m, r, category);
        csv_mean(out, "category", category, &m);
    }
}

static void csv_features(struct lf_buf *out, const struct lf_land_report *r)
{
    for (int k = 0; k < r->results->n_tasks; k++)
        for (int i = 0; i < LF_LAND_FEATURES && r->notes[k].features; i++)
            csv_row(out, "feature", r->results->task[k],
                    lf_land_feature_name((enum lf_land_feature)i), r->notes[k].features[i]);
}

enum lf_err lf_land_report_csv(struct lf_buf *out, const struct lf_land_report *r,
                               struct lf_diag *diag)
{
    struct lf_land_analysis a;
    enum lf_err rc = lf_land_analysis_init(&a, r, diag);
    if (rc != LF_OK)
        return rc;
    lf_buf_puts(out, "kind,row,column,value\n");
    csv_means(out, r);
    csv_features(out, r);
    for (int i = 0; i < LF_LAND_FEATURES; i++)
        for (int t = 0; t < LF_LAND_TARGETS; t++)
            csv_row(out, "correlation", lf_land_feature_name((enum lf_land_feature)i),
                    lf_land_target_name((enum lf_land_target)t),
                    a.correlation[i * LF_LAND_VARIABLES + LF_LAND_FEATURES + t]);
    for (int t = 0; t < a.n_models; t++) {
        const char *name = lf_land_target_name((enum lf_land_target)t);
        csv_row(out, "model", name, "r2", a.model[t].r2);
        csv_row(out, "model", name, "rmse", a.model[t].rmse);
        csv_row(out, "model", name, "r2_left_one_out", a.model[t].r2_loo);
        csv_row(out, "model", name, "rmse_left_one_out", a.model[t].rmse_loo);
    }
    lf_land_analysis_free(&a);
    return out->rc == LF_OK ? LF_OK : lf_fail(diag, out->rc, "no memory for the report");
}
