/* The report's page: each section is a function. */
#include "tools/land/report.h"

#include "tools/land/analysis.h"
#include "tools/land/csv.h"
#include "tools/land/svg.h"

#include <math.h>
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

static void heading(struct lf_buf *out, const char *text)
{
    lf_buf_puts(out, "<h2>");
    lf_html_text(out, text);
    lf_buf_puts(out, "</h2>\n");
}

static void tile(struct lf_buf *out, const char *value, const char *what)
{
    lf_buf_printf(out, "<div class=\"tile\"><b>%s</b>%s</div>", value, what);
}

static void section_head(struct lf_buf *out, const struct lf_land_report *r)
{
    struct lf_land_mean m;
    char text[32];
    lf_land_table_mean(&m, r->results, -1, -1);
    lf_buf_puts(out, "<h1>");
    lf_html_text(out, r->title);
    lf_buf_puts(out, "</h1><p class=\"how\">");
    lf_html_text(out, r->how ? r->how : "");
    lf_buf_puts(out, "</p><div class=\"tiles\">");
    snprintf(text, sizeof text, "%d &times; %d", r->results->n_bases, r->results->n_tasks);
    tile(out, text, "bases &times; tasks");
    snprintf(text, sizeof text, "%.3f", m.base);
    tile(out, text, "mean score of the bases");
    snprintf(text, sizeof text, "%.3f", m.tuned);
    tile(out, text, "mean score after LoRA");
    snprintf(text, sizeof text, "%+.3f", m.lift);
    tile(out, text, "mean lift");
    snprintf(text, sizeof text, "%d of %d", m.positive, m.cells);
    tile(out, text, "cells above their base");
    lf_buf_puts(out, "</div>\n");
}

/* Pointers to the table's names, as the pictures take them. */
static void names_of(const char **out, const char (*names)[LF_NAME_MAX + 1], int n)
{
    for (int i = 0; i < n; i++)
        out[i] = names[i];
}

static enum lf_err section_matrix(struct lf_buf *out, const struct lf_land_table *t)
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
    heading(out, "Scores after training, and the lift over the base");
    lf_buf_puts(out, "<div class=\"wide\">");
    enum lf_err rc = lf_heat_map_svg(out, &map);
    lf_buf_puts(out, "</div>\n");
    free(tuned);
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
        lf_buf_puts(out, "<tr><td>");
        lf_html_text(out, t->base[b]);
        lf_buf_puts(out, "</td>");
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

static enum lf_err section_categories(struct lf_buf *out, const struct lf_land_report *r)
{
    const struct lf_land_table *t = r->results;
    const char *names[LF_LAND_TASKS_MAX];
    double before[LF_LAND_TASKS_MAX], after[LF_LAND_TASKS_MAX];
    int n = 0;
    for (int k = 0; k < t->n_tasks; k++) {
        const char *category = r->notes[k].category;
        bool seen = !category;
        for (int i = 0; i < n; i++)
            seen = seen || same_category(names[i], category);
        if (seen)
            continue;
        double sum_before = 0, sum_after = 0;
        int tasks = 0;
        for (int j = 0; j < t->n_tasks; j++) {
            struct lf_land_mean m;
            lf_land_table_mean(&m, t, -1, j);
            if (!same_category(r->notes[j].category, category) || m.cells == 0)
                continue;
            sum_before += m.base;
            sum_after += m.tuned;
            tasks++;
        }
        names[n] = category;
        before[n] = tasks ? sum_before / tasks : NAN;
        after[n++] = tasks ? sum_after / tasks : NAN;
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

/* Our scores beside the paper's GPT columns. Different rows and prompts: said, not hidden. */
static void section_published(struct lf_buf *out, const struct lf_land_report *r)
{
    static const char *const peers[] = {"gpt-4", "gpt-3.5"};
    const struct lf_land_table *t = r->results, *p = r->published;
    heading(out, "Beside the published GPT scores");
    lf_buf_puts(out,
                "<p class=\"note\"><span class=\"paper\">gpt-4 and gpt-3.5 are the paper's "
                "figures</span>, measured by its authors on their prompts and rows. A task whose "
                "data stands in for another (see the end) cannot be compared at all and is "
                "left out of the counts.</p><table><tr><th>base</th>");
    for (int i = 0; i < 2; i++)
        lf_buf_printf(out, "<th>above %s</th><th>equal</th><th>below</th>", peers[i]);
    lf_buf_puts(out, "</tr>\n");
    for (int b = 0; b < t->n_bases; b++) {
        lf_buf_puts(out, "<tr><td>");
        lf_html_text(out, t->base[b]);
        lf_buf_puts(out, "</td>");
        for (int i = 0; i < 2; i++) {
            int peer = lf_land_table_base(p, peers[i]), counts[3] = {0};
            for (int k = 0; k < t->n_tasks; k++) {
                int pk = lf_land_table_task(p, t->task[k]);
                const struct lf_land_cell *c = lf_land_table_get(t, b, k);
                const struct lf_land_cell *q =
                    pk < 0 || peer < 0 ? NULL : lf_land_table_get(p, peer, pk);
                const char *fidelity = r->notes[k].fidelity;
                if (!c || !q || isnan(c->tuned_score) || !fidelity ||
                    strcmp(fidelity, "exact") != 0)
                    continue;
                double d = c->tuned_score - q->tuned_score;
                counts[d > 0 ? 0 : d < 0 ? 2 : 1]++;
            }
            lf_buf_printf(out, "<td>%d</td><td>%d</td><td>%d</td>", counts[0], counts[1],
                          counts[2]);
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
        for (int i = 0; i < 4; i++) {
            lf_buf_puts(out, "<td>");
            lf_html_text(out, text[i] ? text[i] : "");
            lf_buf_puts(out, "</td>");
        }
        lf_buf_printf(out, "<td>%lld</td><td>%lld</td><td>%.0f</td></tr>\n", (long long)rows,
                      (long long)tokens, seconds);
    }
    lf_buf_puts(out, "</table>\n");
}

enum lf_err lf_land_report_html(struct lf_buf *out, const struct lf_land_report *r,
                                struct lf_diag *diag)
{
    struct lf_land_analysis a;
    enum lf_err rc = lf_land_analysis_init(&a, r, diag);
    if (rc != LF_OK)
        return rc;
    lf_buf_puts(out, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>");
    lf_html_text(out, r->title);
    lf_buf_puts(out, "</title>\n");
    lf_buf_puts(out, style);
    section_head(out, r);
    rc = section_matrix(out, r->results);
    if (rc == LF_OK)
        rc = section_bases(out, r->results);
    if (rc == LF_OK)
        rc = section_categories(out, r);
    if (r->published)
        section_published(out, r);
    if (rc == LF_OK && a.n >= 3)
        rc = section_correlations(out, &a);
    section_models(out, &a);
    section_tasks(out, r);
    lf_buf_puts(out, "</html>\n");
    lf_land_analysis_free(&a);
    rc = rc != LF_OK ? rc : out->rc;
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the report");
}

enum lf_err lf_land_report_csv(struct lf_buf *out, const struct lf_land_report *r,
                               struct lf_diag *diag)
{
    struct lf_land_analysis a;
    enum lf_err rc = lf_land_analysis_init(&a, r, diag);
    if (rc != LF_OK)
        return rc;
    lf_buf_puts(out, "kind,row,column,value\n");
    for (int i = 0; i < LF_LAND_FEATURES; i++)
        for (int t = 0; t < LF_LAND_TARGETS; t++) {
            double v = a.correlation[i * LF_LAND_VARIABLES + LF_LAND_FEATURES + t];
            lf_buf_puts(out, "correlation,");
            lf_csv_put(out, lf_land_feature_name((enum lf_land_feature)i));
            lf_buf_printf(out, ",%s,", lf_land_target_name((enum lf_land_target)t));
            lf_buf_printf(out, isnan(v) ? "\n" : "%.6f\n", v);
        }
    for (int t = 0; t < a.n_models; t++) {
        const char *name = lf_land_target_name((enum lf_land_target)t);
        lf_buf_printf(out, "model,%s,r2,%.6f\nmodel,%s,rmse,%.6f\n", name, a.model[t].r2, name,
                      a.model[t].rmse);
        lf_buf_printf(out, "model,%s,r2_left_one_out,%.6f\nmodel,%s,rmse_left_one_out,%.6f\n", name,
                      a.model[t].r2_loo, name, a.model[t].rmse_loo);
    }
    lf_land_analysis_free(&a);
    return out->rc == LF_OK ? LF_OK : lf_fail(diag, out->rc, "no memory for the report");
}
