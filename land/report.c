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
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<style>:root{--ink:#222;--paper:#fff;--soft:#5a5a5a;--line:#ddd;--tile:#f4f6f8;--mark:#fff6dc}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--paper:#16181b;--soft:#a9adb3;"
    "--line:#3a3e44;--tile:#23272c;--mark:#4a3d12}}"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);"
    "max-width:1180px;margin:2em auto;padding:0 1em}h1{margin-bottom:0}"
    "h2{margin-top:2em;border-bottom:1px solid var(--line)}"
    "table{border-collapse:collapse;font-size:13px}td,th{padding:3px 9px;"
    "border-bottom:1px solid var(--line);text-align:right}td:first-child,th:first-child,"
    "td.text{text-align:left}.how{color:var(--soft);margin-top:.2em}"
    ".tiles{display:flex;gap:1em;flex-wrap:wrap;margin:1.2em 0}"
    ".tile{background:var(--tile);border-radius:8px;padding:.6em 1.1em}.tile b{display:block;"
    "font-size:24px}.wide{overflow-x:auto}.note{color:var(--soft);font-size:13px}"
    ".paper{background:var(--mark);padding:.1em .5em;border-radius:4px}"
    "summary{cursor:pointer;margin:.8em 0}"
    "@media(max-width:600px){body{margin:1em auto;padding:0 .6em}.tile b{font-size:19px}}"
    "</style>\n";

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

/* Cells with both scores: the smallest lift, and how many lifts are above 0 by their intervals. */
struct lifts {
    double least;
    int certain, known; /* of those with an interval */
};

static struct lifts lifts_of(const struct lf_land_table *t)
{
    struct lifts l = {.least = INFINITY};
    for (int k = 0; k < t->n_tasks; k++)
        for (int b = 0; b < t->n_bases; b++) {
            const struct lf_land_cell *c = lf_land_table_get(t, b, k);
            if (c && c->tuned_score - c->base_score < l.least)
                l.least = c->tuned_score - c->base_score;
            l.known += c && !isnan(c->trust.lift.low);
            l.certain += c && c->trust.lift.low > 0;
        }
    return l;
}

static void section_head(struct lf_buf *out, const struct lf_land_report *r)
{
    struct lf_land_mean m;
    struct lifts l = lifts_of(r->results);
    lf_land_table_mean(&m, r->results, -1, -1);
    element(out, "h1", r->title);
    element(out, "p class=\"how\"", r->how);
    lf_buf_puts(out, "<div class=\"tiles\">");
    tile(out, "bases &times; tasks", "%d &times; %d", r->results->n_bases, r->results->n_tasks);
    if (m.cells > 0) {
        tile(out, "mean score of the bases", "%.3f", m.base);
        tile(out, "mean score after LoRA", "%.3f", m.tuned);
        tile(out, "mean lift", "%+.3f", m.lift);
        tile(out, "cells above their base", "%d of %d", m.positive, m.cells);
        tile(out, "smallest lift of a cell", "%+.3f", l.least);
    }
    if (l.known > 0)
        tile(out, "lifts that are not chance (95%)", "%d of %d", l.certain, l.known);
    if (r->n_failures > 0)
        tile(out, "cells failed", "%d", r->n_failures);
    lf_buf_puts(out, "</div>\n");
}

/* ---- Cells ----------------------------------------------------------------------------------- */

void lf_land_doubts(char out[160], const struct lf_land_cell *c)
{
    const struct lf_land_trust *t = &c->trust;
    const char *const doubts[] = {
        t->lift.low <= 0 && t->lift.high >= 0 ? "the lift may be chance" : NULL,
        t->collapsed ? "nearly all answers are one class" : NULL,
        c->tuned_score <= t->majority ? "no better than the most frequent class" : NULL,
    };
    out[0] = '\0';
    for (size_t i = 0; i < sizeof doubts / sizeof *doubts; i++)
        if (doubts[i])
            snprintf(out + strlen(out), 160 - strlen(out), "%s%s", *out ? "; " : "", doubts[i]);
}

static const char *failure_of(const struct lf_land_report *r, const char *base, const char *task)
{
    for (int i = 0; i < r->n_failures; i++)
        if (strcmp(r->failures[i].base, base) == 0 && strcmp(r->failures[i].task, task) == 0)
            return r->failures[i].reason;
    return NULL;
}

/* " (0.318 to 0.377)", or nothing. */
static const char *interval_text(char out[32], struct lf_interval x, bool is_lift)
{
    out[0] = '\0';
    if (!isnan(x.low))
        snprintf(out, 32, is_lift ? " (%+.3f to %+.3f)" : " (%.3f to %.3f)", x.low, x.high);
    return out;
}

static void fill_cell(struct lf_heat_cell *out, const struct lf_land_report *r, int base, int task)
{
    const struct lf_land_table *t = r->results;
    const struct lf_land_cell *c = lf_land_table_get(t, base, task);
    char tuned[32], lift[32], doubts[160];
    *out = (struct lf_heat_cell){.value = NAN, .shade = NAN, .about = "not run"};
    const char *failure = failure_of(r, t->base[base], t->task[task]);
    if (failure) {
        snprintf(out->small, sizeof out->small, "failed");
        snprintf(out->about, sizeof out->about, "failed: %.280s", failure);
    }
    if (!c || isnan(c->tuned_score))
        return;
    out->value = out->shade = c->tuned_score;
    lf_land_doubts(doubts, c);
    out->doubtful = doubts[0] != '\0';
    int n = snprintf(out->about, sizeof out->about, "score after LoRA %.3f%s", c->tuned_score,
                     interval_text(tuned, c->trust.tuned, false));
    if (!isnan(c->base_score)) {
        double by = c->tuned_score - c->base_score;
        snprintf(out->small, sizeof out->small, "%+.3f", by);
        snprintf(out->about + n, sizeof out->about - (size_t)n, ", lift %+.3f%s%s%s", by,
                 interval_text(lift, c->trust.lift, true), doubts[0] ? "; " : "", doubts);
    }
}

/* Pointers to the table's names, as the pictures take them. */
static void names_of(const char **out, const char (*names)[LF_NAME_MAX + 1], int n)
{
    for (int i = 0; i < n; i++)
        out[i] = names[i];
}

static enum lf_err matrix_svg(struct lf_buf *out, const struct lf_land_report *r)
{
    const struct lf_land_table *t = r->results;
    const char *bases[LF_LAND_BASES_MAX], *tasks[LF_LAND_TASKS_MAX];
    struct lf_heat_cell *cells = malloc((size_t)(t->n_bases * t->n_tasks + 1) * sizeof *cells);
    if (!cells)
        return LF_E_NO_MEMORY;
    names_of(bases, t->base, t->n_bases);
    names_of(tasks, t->task, t->n_tasks);
    for (int k = 0; k < t->n_tasks; k++)
        for (int b = 0; b < t->n_bases; b++)
            fill_cell(&cells[k * t->n_bases + b], r, b, k);
    const struct lf_heat_map map = {
        .rows = t->n_tasks,
        .columns = t->n_bases,
        .row_names = tasks,
        .column_names = bases,
        .cells = cells,
        .title = "scores after LoRA and lifts, tasks down and bases across",
        .shade_title = "score after LoRA; below it the lift over the base",
        .doubt_title = "chance, one class, or no better than the most frequent one"};
    enum lf_err rc = lf_heat_map_svg(out, &map);
    free(cells);
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

static void interval_cell(struct lf_buf *out, double v, struct lf_interval x, bool is_lift)
{
    char text[32] = "&ndash;", more[32];
    if (!isnan(v))
        snprintf(text, sizeof text, is_lift ? "%+.3f" : "%.3f", v);
    lf_buf_printf(out, "<td>%s%s</td>", text, interval_text(more, x, is_lift));
}

static void number_row(struct lf_buf *out, const struct lf_land_report *r, int base, int task)
{
    const struct lf_land_table *t = r->results;
    const struct lf_land_cell *c = lf_land_table_get(t, base, task);
    const char *failure = failure_of(r, t->base[base], t->task[task]);
    char doubts[160];
    if (!c)
        return;
    lf_buf_puts(out, "<tr>");
    element(out, "td", t->task[task]);
    element(out, "td class=\"text\"", t->base[base]);
    element(out, "td class=\"text\"", c->metric);
    lf_buf_printf(out, "<td>%lld</td>", (long long)c->rows);
    interval_cell(out, c->base_score, c->trust.base, false);
    interval_cell(out, c->tuned_score, c->trust.tuned, false);
    interval_cell(out, c->tuned_score - c->base_score, c->trust.lift, true);
    score_cell(out, c->trust.majority, false);
    lf_land_doubts(doubts, c);
    lf_buf_puts(out, "<td class=\"text\">");
    if (failure)
        lf_buf_puts(out, "failed: ");
    lf_buf_xml(out, failure ? failure : doubts);
    lf_buf_puts(out, "</td></tr>\n");
}

static void section_numbers(struct lf_buf *out, const struct lf_land_report *r)
{
    lf_buf_puts(
        out, "<details><summary>The same in numbers, with 95% intervals</summary>\n"
             "<p class=\"note\">Intervals are the percentile bootstrap's over the scored rows; a "
             "lift's is of the rows' differences. They say what other rows of the same kind "
             "would have changed, not what another seed would.</p><div class=\"wide\"><table>"
             "<tr><th>task</th><th>base</th><th>metric</th><th>rows</th><th>before</th>"
             "<th>after</th><th>lift</th><th>most frequent class</th><th>to note</th></tr>\n");
    for (int k = 0; k < r->results->n_tasks; k++)
        for (int b = 0; b < r->results->n_bases; b++)
            number_row(out, r, b, k);
    lf_buf_puts(out, "</table></div></details>\n");
}

static enum lf_err section_matrix(struct lf_buf *out, const struct lf_land_report *r)
{
    heading(out, "Scores after training, and the lift over the base");
    lf_buf_puts(out, "<div class=\"wide\">");
    enum lf_err rc = matrix_svg(out, r);
    lf_buf_puts(out, "</div>\n");
    section_numbers(out, r);
    return rc;
}

static void section_failures(struct lf_buf *out, const struct lf_land_report *r)
{
    if (r->n_failures == 0)
        return;
    heading(out, "What failed");
    lf_buf_puts(out, "<table><tr><th>task</th><th>base</th><th>why</th></tr>\n");
    for (int i = 0; i < r->n_failures; i++) {
        lf_buf_puts(out, "<tr>");
        element(out, "td", r->failures[i].task);
        element(out, "td class=\"text\"", r->failures[i].base);
        element(out, "td class=\"text\"", r->failures[i].reason);
        lf_buf_puts(out, "</tr>\n");
    }
    lf_buf_puts(out, "</table>\n");
}

/* ---- Averages -------------------------------------------------------------------------------- */

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
        if (!c || !q || isnan(c->tuned_score) || !fidelity || strcmp(fidelity, "exact") != 0 ||
            c->rows < r->notes[k].test_rows)
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
    lf_buf_puts(
        out,
        "<p class=\"note\"><span class=\"paper\">gpt-4 and gpt-3.5 are the paper's "
        "figures</span>, measured by its authors on their prompts and rows. A task whose "
        "data stands in for another (see the end), or of which not all rows were scored, "
        "cannot be compared at all and is left out of the counts.</p><table><tr><th>base</th>");
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

/* The colour is that of the interval's end nearest to 0, so that what may be chance stays pale. */
static struct lf_heat_cell correlation_cell(double r, int n)
{
    struct lf_interval x = lf_stat_correlation_interval(r, (size_t)n);
    struct lf_heat_cell c = {.value = r, .shade = isnan(r) ? r : 0};
    if (x.low > 0 || x.high < 0)
        c.shade = x.low > 0 ? x.low : x.high;
    if (!isnan(x.low))
        snprintf(c.small, sizeof c.small, "%.2f..%.2f", x.low, x.high);
    if (isnan(r))
        snprintf(c.about, sizeof c.about, "one of the two is constant");
    else
        snprintf(c.about, sizeof c.about, "correlation %.2f over %d tasks, 95%% %.2f to %.2f", r, n,
                 x.low, x.high);
    return c;
}

static enum lf_err section_correlations(struct lf_buf *out, const struct lf_land_analysis *a)
{
    const char *rows[LF_LAND_VARIABLES], *columns[LF_LAND_TARGETS];
    struct lf_heat_cell cells[LF_LAND_VARIABLES * LF_LAND_TARGETS];
    for (int i = 0; i < LF_LAND_VARIABLES; i++) {
        rows[i] = i < LF_LAND_FEATURES
                      ? lf_land_feature_name((enum lf_land_feature)i)
                      : lf_land_target_name((enum lf_land_target)(i - LF_LAND_FEATURES));
        for (int j = 0; j < LF_LAND_TARGETS; j++)
            cells[i * LF_LAND_TARGETS + j] = correlation_cell(
                a->correlation[i * LF_LAND_VARIABLES + LF_LAND_FEATURES + j], a->n);
    }
    for (int j = 0; j < LF_LAND_TARGETS; j++)
        columns[j] = lf_land_target_name((enum lf_land_target)j);
    const struct lf_heat_map map = {.rows = LF_LAND_VARIABLES,
                                    .columns = LF_LAND_TARGETS,
                                    .row_names = rows,
                                    .column_names = columns,
                                    .cells = cells,
                                    .title = "correlations of a task's texts and scores",
                                    .shade_title =
                                        "the end of the 95% interval that is nearest to 0",
                                    .signed_ = true};
    heading(out, "Do a task's texts foretell its scores?");
    lf_buf_printf(out,
                  "<p class=\"note\">Pearson's correlation over %d tasks, and below it the 95%% "
                  "interval (Fisher's z): what reaches over 0 may be chance and has no colour. "
                  "Lengths are in tokens; compressibility is deflated bytes over bytes of an "
                  "example.</p><div class=\"wide\">\n",
                  a->n);
    enum lf_err rc = lf_heat_map_svg(out, &map);
    lf_buf_puts(out, "</div>\n");
    return rc;
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
    rc = section_matrix(out, r);
    section_failures(out, r);
    rc = rc ?: section_bases(out, r->results);
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
    enum lf_err rc = matrix_svg(out, r);
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

static void csv_correlation(struct lf_buf *out, const struct lf_land_analysis *a,
                            enum lf_land_feature feature, enum lf_land_target target)
{
    const char *row = lf_land_feature_name(feature), *column = lf_land_target_name(target);
    double r = a->correlation[(int)feature * LF_LAND_VARIABLES + LF_LAND_FEATURES + (int)target];
    struct lf_interval x = lf_stat_correlation_interval(r, (size_t)a->n);
    csv_row(out, "correlation", row, column, r);
    csv_row(out, "correlation_low", row, column, x.low);
    csv_row(out, "correlation_high", row, column, x.high);
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
            csv_correlation(out, &a, (enum lf_land_feature)i, (enum lf_land_target)t);
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
