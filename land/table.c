/* The matrix, its files and its sums. */
#include "land/table.h"

#include "core/file.h"
#include "container/csv.h"
#include "land/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lf_err lf_land_table_init(struct lf_land_table *t)
{
    memset(t, 0, sizeof *t);
    t->cells = calloc((size_t)LF_LAND_TASKS_MAX * LF_LAND_BASES_MAX, sizeof *t->cells);
    return t->cells ? LF_OK : LF_E_NO_MEMORY;
}

void lf_land_table_free(struct lf_land_table *t)
{
    free(t->cells);
    memset(t, 0, sizeof *t);
}

static int find_name(const char (*names)[LF_NAME_MAX + 1], int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

int lf_land_table_base(const struct lf_land_table *t, const char *name)
{
    return find_name(t->base, t->n_bases, name);
}

int lf_land_table_task(const struct lf_land_table *t, const char *name)
{
    return find_name(t->task, t->n_tasks, name);
}

static int add_name(char (*names)[LF_NAME_MAX + 1], int *n, int max, const char *name)
{
    int i = find_name((const char(*)[LF_NAME_MAX + 1]) names, *n, name);
    if (i >= 0 || *n == max)
        return i;
    snprintf(names[*n], LF_NAME_MAX + 1, "%s", name);
    return (*n)++;
}

struct lf_land_cell lf_land_cell_unknown(void)
{
    return (struct lf_land_cell){
        .there = true, .base_score = NAN, .tuned_score = NAN, .trust = lf_land_trust_unknown()};
}

static struct lf_land_cell *cell_at(const struct lf_land_table *t, int base, int task)
{
    return &t->cells[(size_t)task * LF_LAND_BASES_MAX + (size_t)base];
}

struct lf_land_cell *lf_land_table_put(struct lf_land_table *t, const char *base, const char *task)
{
    int b = add_name(t->base, &t->n_bases, LF_LAND_BASES_MAX, base);
    int k = add_name(t->task, &t->n_tasks, LF_LAND_TASKS_MAX, task);
    if (b < 0 || k < 0)
        return NULL;
    struct lf_land_cell *c = cell_at(t, b, k);
    if (!c->there)
        *c = lf_land_cell_unknown();
    return c;
}

const struct lf_land_cell *lf_land_table_get(const struct lf_land_table *t, int base, int task)
{
    const struct lf_land_cell *c = cell_at(t, base, task);
    return c->there ? c : NULL;
}

/* ---- Files ------------------------------------------------------------------------------------
 */

/* The columns of published.csv by name: where in a record each stands. */
static enum lf_err read_header(struct lf_csv *csv, size_t at[4], struct lf_diag *diag)
{
    static const char *const names[] = {"task", "model", "tuned", "lift"};
    bool more;
    enum lf_err rc = lf_csv_next(csv, &more, diag);
    for (int i = 0; i < 4 && rc == LF_OK; i++) {
        at[i] = 0;
        while (at[i] < csv->n_fields && strcmp(lf_csv_field(csv, at[i]), names[i]) != 0)
            at[i]++;
        if (!more || at[i] == csv->n_fields)
            return lf_fail(diag, LF_E_INVALID, "line 1: no column \"%s\"", names[i]);
    }
    return rc;
}

/* An empty field is NaN. */
static enum lf_err read_number(double *out, const struct lf_csv *csv, size_t field,
                               const char *name, struct lf_diag *diag)
{
    const char *s = lf_csv_field(csv, field);
    char *end;
    double v = *s ? strtod(s, &end) : NAN;
    if (*s && (*end || !isfinite(v)))
        return lf_fail(diag, LF_E_INVALID, "line %lld: %s is \"%s\", not a number",
                       (long long)csv->line, name, s);
    *out = v;
    return LF_OK;
}

static enum lf_err put_named(struct lf_land_cell **out, struct lf_land_table *t,
                             const struct lf_csv *csv, const char *base, const char *task,
                             struct lf_diag *diag)
{
    if (!lf_name_ok(base) || !lf_name_ok(task))
        return lf_fail(diag, LF_E_INVALID,
                       "line %lld: \"%s\" and \"%s\" are no names of a base "
                       "and a task",
                       (long long)csv->line, base, task);
    *out = lf_land_table_put(t, base, task);
    return *out ? LF_OK
                : lf_fail(diag, LF_E_TOO_BIG, "line %lld: more than %d bases or %d tasks",
                          (long long)csv->line, LF_LAND_BASES_MAX, LF_LAND_TASKS_MAX);
}

static enum lf_err read_record(struct lf_land_table *t, const struct lf_csv *csv,
                               const size_t at[4], struct lf_diag *diag)
{
    struct lf_land_cell *c;
    double tuned = NAN, lift = NAN;
    enum lf_err rc =
        put_named(&c, t, csv, lf_csv_field(csv, at[1]), lf_csv_field(csv, at[0]), diag);
    rc = rc ?: read_number(&tuned, csv, at[2], "tuned", diag);
    rc = rc ?: read_number(&lift, csv, at[3], "lift", diag);
    if (rc == LF_OK) {
        c->tuned_score = tuned;
        c->base_score = tuned - lift;
    }
    return rc;
}

enum lf_err lf_land_table_parse_published(struct lf_land_table *t, const char *text, size_t n,
                                          struct lf_diag *diag)
{
    struct lf_csv csv;
    size_t at[4];
    bool more = true;
    lf_csv_init(&csv, text, n, ',', true);
    enum lf_err rc = read_header(&csv, at, diag);
    while (rc == LF_OK && (rc = lf_csv_next(&csv, &more, diag)) == LF_OK && more)
        rc = read_record(t, &csv, at, diag);
    lf_csv_free(&csv);
    return rc;
}

static void put_score(struct lf_buf *out, double v)
{
    if (isnan(v))
        lf_buf_putc(out, ',');
    else
        lf_buf_printf(out, ",%.6f", v);
}

static void put_trust(struct lf_buf *out, const struct lf_land_trust *t)
{
    const double v[] = {t->base.low, t->base.high, t->tuned.low, t->tuned.high,
                        t->lift.low, t->lift.high, t->majority};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        put_score(out, v[i]);
    lf_buf_puts(out, isnan(t->majority) ? ",\n" : t->collapsed ? ",yes\n" : ",no\n");
}

enum lf_err lf_land_table_print(const struct lf_land_table *t, struct lf_buf *out)
{
    lf_buf_puts(out, "base,task,metric,base_score,tuned_score,rows,tokens,seconds,base_low,"
                     "base_high,tuned_low,tuned_high,lift_low,lift_high,majority,collapsed\n");
    for (int b = 0; b < t->n_bases; b++)
        for (int k = 0; k < t->n_tasks; k++) {
            const struct lf_land_cell *c = lf_land_table_get(t, b, k);
            if (!c)
                continue;
            lf_buf_printf(out, "%s,%s,%s", t->base[b], t->task[k], c->metric);
            put_score(out, c->base_score);
            put_score(out, c->tuned_score);
            lf_buf_printf(out, ",%lld,%lld,%.1f", (long long)c->rows, (long long)c->tokens,
                          c->seconds);
            put_trust(out, &c->trust);
        }
    return out->rc;
}

/* ---- Sums -------------------------------------------------------------------------------------
 */

void lf_land_table_mean(struct lf_land_mean *out, const struct lf_land_table *t, int base, int task)
{
    struct lf_land_mean m = {0};
    int tuned = 0;
    for (int b = 0; b < t->n_bases; b++) {
        if (base < 0 && !lf_land_table_trained(t, b))
            continue;
        for (int k = 0; k < t->n_tasks; k++) {
            const struct lf_land_cell *c = lf_land_table_get(t, b, k);
            if (!c || (base >= 0 && b != base) || (task >= 0 && k != task) || isnan(c->tuned_score))
                continue;
            tuned++;
            m.tuned += c->tuned_score;
            if (isnan(c->base_score))
                continue;
            double lift = c->tuned_score - c->base_score;
            m.cells++;
            m.base += c->base_score;
            m.lift += lift;
            m.clipped_lift += lift > 0 ? lift : 0;
            m.positive += lift > 0;
        }
    }
    m.tuned = tuned ? m.tuned / tuned : NAN;
    m.base = m.cells ? m.base / m.cells : NAN;
    m.lift = m.cells ? m.lift / m.cells : NAN;
    m.clipped_lift = m.cells ? m.clipped_lift / m.cells : NAN;
    *out = m;
}

bool lf_land_table_trained(const struct lf_land_table *t, int base)
{
    for (int k = 0; k < t->n_tasks; k++) {
        const struct lf_land_cell *c = lf_land_table_get(t, base, k);
        if (c && !isnan(c->base_score))
            return true;
    }
    return false;
}

int lf_land_table_best(const struct lf_land_table *t, int task)
{
    int best = -1;
    double score = -INFINITY;
    for (int b = 0; b < t->n_bases; b++) {
        const struct lf_land_cell *c = lf_land_table_get(t, b, task);
        if (c && c->tuned_score > score && lf_land_table_trained(t, b)) {
            best = b;
            score = c->tuned_score;
        }
    }
    return best;
}
