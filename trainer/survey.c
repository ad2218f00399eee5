/* What is remarkable about a data set. */
#include "trainer/survey.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FEW_ROWS 4 /* a row in so many for each answer: fewer, and they are no labels */
#define MOSTLY 0.95

/* ---- Rows that are equal --------------------------------------------------------------------- */

static bool is_equal(const int32_t *a, const int32_t *b, int n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

/* Rows of a data set by their hash: open addressing, row + 1 in a place, 0 where there is none. */
struct places {
    const struct lf_dataset *d;
    int64_t *row;
    size_t mask;
};

static enum lf_err places_new(struct places *p, const struct lf_dataset *d, struct lf_diag *diag)
{
    size_t n = 16;
    while (n < 2 * (size_t)lf_dataset_rows(d))
        n *= 2;
    *p = (struct places){d, calloc(n, sizeof *p->row), n - 1};
    return p->row ? LF_OK : lf_fail(diag, LF_E_NO_MEMORY, "no memory to compare rows");
}

/* The place of a row that is equal to r, or the one that is free for it. */
static int64_t *place_of(const struct places *p, const struct lf_row *r)
{
    size_t i = lf_row_hash(r) & p->mask;
    for (;; i = (i + 1) & p->mask) {
        struct lf_row other;
        if (p->row[i] == 0)
            return &p->row[i];
        lf_dataset_row(p->d, p->row[i] - 1, &other);
        if (r->n == other.n && is_equal(r->ids, other.ids, r->n) &&
            is_equal(r->labels, other.labels, r->n))
            return &p->row[i];
    }
}

static int64_t line_of(const struct lf_dataset *d, int64_t i)
{
    struct lf_row r;
    lf_dataset_row(d, i, &r);
    return r.line;
}

static void find_duplicates(struct lf_survey *s, const struct places *p)
{
    for (int64_t i = 0; i < lf_dataset_rows(p->d); i++) {
        struct lf_row r;
        lf_dataset_row(p->d, i, &r);
        int64_t *at = place_of(p, &r);
        if (*at == 0) {
            *at = i + 1;
        } else if (s->duplicates++ == 0) {
            s->duplicate[0] = line_of(p->d, *at - 1);
            s->duplicate[1] = r.line;
        }
    }
}

static void find_leaks(struct lf_survey *s, const struct places *p, const struct lf_dataset *eval)
{
    for (int64_t i = 0; i < lf_dataset_rows(eval); i++) {
        struct lf_row r;
        lf_dataset_row(eval, i, &r);
        const int64_t *at = place_of(p, &r);
        if (*at != 0 && s->leaks++ == 0) {
            s->leak[0] = r.line;
            s->leak[1] = line_of(p->d, *at - 1);
        }
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

static int more_rows_first(const void *a, const void *b)
{
    const struct lf_survey_answer *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : (x->row > y->row) - (x->row < y->row);
}

/* What row i learns last: labels, of which there are *n. */
static const int32_t *answer_of(const struct lf_dataset *d, int64_t i, int *n)
{
    struct lf_row r;
    const int32_t *ids;
    int first = lf_dataset_prompt(d, i, &ids) - 1;
    lf_dataset_row(d, i, &r);
    *n = r.n - first;
    return r.labels + first;
}

/* Row i's answer is one of those known, or a new one. False: there are too many to be labels. */
static bool count_answer(struct lf_survey *s, const struct lf_dataset *d, int64_t i)
{
    int n, m;
    const int32_t *mine = answer_of(d, i, &n);
    for (int k = 0; k < s->n_answers; k++) {
        const int32_t *other = answer_of(d, s->answers[k].row, &m);
        if (m == n && is_equal(mine, other, n)) {
            s->answers[k].n++;
            return true;
        }
    }
    if (s->n_answers == LF_SURVEY_ANSWERS_MAX)
        return false;
    s->answers[s->n_answers++] = (struct lf_survey_answer){i, 1};
    return true;
}

static void count_answers(struct lf_survey *s, const struct lf_dataset *d)
{
    bool few = true;
    for (int64_t i = 0; i < lf_dataset_rows(d) && few; i++)
        few = count_answer(s, d, i);
    if (!few || (int64_t)s->n_answers * FEW_ROWS > lf_dataset_rows(d))
        s->n_answers = 0;
    qsort(s->answers, (size_t)s->n_answers, sizeof *s->answers, more_rows_first);
}

/* ---- Lengths --------------------------------------------------------------------------------- */

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static enum lf_err measure(struct lf_survey *s, const struct lf_dataset *d, struct lf_diag *diag)
{
    size_t n = (size_t)lf_dataset_rows(d);
    int *lengths = malloc(n * sizeof *lengths);
    if (!lengths)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory to compare rows");
    for (size_t i = 0; i < n; i++) {
        struct lf_row r;
        lf_dataset_row(d, (int64_t)i, &r);
        lengths[i] = r.n;
    }
    qsort(lengths, n, sizeof *lengths, compare_ints);
    s->median = lengths[(n - 1) / 2];
    s->p90 = lengths[(n - 1) * 9 / 10];
    s->p99 = lengths[(n - 1) * 99 / 100];
    free(lengths);
    return LF_OK;
}

enum lf_err lf_survey_make(struct lf_survey *out, const struct lf_dataset *d,
                           const struct lf_dataset *eval, struct lf_diag *diag)
{
    struct lf_survey s = {0};
    struct places p;
    lf_dataset_report(d, &s.report);
    enum lf_err rc = measure(&s, d, diag) ?: places_new(&p, d, diag);
    if (rc != LF_OK)
        return rc;
    find_duplicates(&s, &p);
    if (eval && s.report.held_out == 0) {
        struct lf_dataset_report rows;
        find_leaks(&s, &p, eval);
        lf_dataset_report(eval, &rows);
        memcpy(s.eval_sha256, rows.sha256, sizeof s.eval_sha256);
    }
    free(p.row);
    count_answers(&s, d);
    *out = s;
    return LF_OK;
}

/* ---- What is said ---------------------------------------------------------------------------- */

static void warn(json_t *list, bool is, const char *fmt, ...) LF_PRINTF(3, 4);

static void warn(json_t *list, bool is, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (is)
        json_array_append_new(list, json_vsprintf(fmt, args));
    va_end(args);
}

json_t *lf_survey_warnings(const struct lf_survey *s)
{
    const struct lf_dataset_report *r = &s->report;
    json_t *list = json_array();
    int64_t top = s->n_answers > 0 ? s->answers[0].n : 0;
    warn(list, r->lost > 0, "rows with nothing to learn, left out: %lld of %lld (line %lld)",
         (long long)r->lost, (long long)r->lines, (long long)r->lost_lines[0]);
    warn(list, r->cut_prompts > 0, "prompts shortened to fit max_length: %lld",
         (long long)r->cut_prompts);
    warn(list, r->cut_completions > 0, "completions shortened, whose end is not learnt: %lld",
         (long long)r->cut_completions);
    warn(list, r->positions > 0 && r->cut_prompts + r->cut_completions > 0,
         "max_length is more than the base's %d positions, to which they were shortened",
         r->positions);
    warn(list, s->duplicates > 0,
         "rows that repeat an earlier one: %lld of %lld (line %lld is %lld)",
         (long long)s->duplicates, (long long)r->rows, (long long)s->duplicate[1],
         (long long)s->duplicate[0]);
    warn(list, s->leaks > 0,
         "eval rows that are trained on, too, whose scores say little: %lld (line %lld is %lld)",
         (long long)s->leaks, (long long)s->leak[0], (long long)s->leak[1]);
    warn(list, r->other_forms > 0,
         "rows in another form than the first's (%s), in which it is asked: %lld (line %lld)",
         r->form, (long long)r->other_forms, (long long)r->other_line);
    warn(list, s->n_answers == 1, "all rows have the same answer");
    warn(list, s->n_answers > 1 && (double)top > MOSTLY * (double)r->rows,
         "%.0f%% of the rows have the same answer", 100.0 * (double)top / (double)r->rows);
    return list;
}

enum lf_err lf_survey_line(struct lf_buf *out, const json_t *warnings)
{
    for (size_t i = 0; i < json_array_size(warnings); i++) {
        const char *text = json_string_value(json_array_get(warnings, i));
        lf_buf_printf(out, "%s%s", i ? "; " : "", text ? text : "");
    }
    return lf_buf_append(out, "", 0);
}

json_t *lf_survey_json(const struct lf_survey *s)
{
    const struct lf_dataset_report *d = &s->report;
    return json_pack(
        "{s:I, s:o*, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:I, s:I, s:s, s:o, s:s, s:s*}",
        "rows", (json_int_t)d->rows, "validation_rows",
        d->held_out > 0 ? json_integer((json_int_t)d->held_out) : NULL, "tokens",
        (json_int_t)d->tokens, "supervised_tokens", (json_int_t)d->supervised_tokens, "cut_prompts",
        (json_int_t)d->cut_prompts, "cut_completions", (json_int_t)d->cut_completions, "lost_rows",
        (json_int_t)d->lost, "median_row", s->median, "p90_row", s->p90, "p99_row", s->p99,
        "longest_row", d->n_max, "duplicates", (json_int_t)s->duplicates, "leaks",
        (json_int_t)s->leaks, "form", d->form, "warnings", lf_survey_warnings(s), "sha256",
        d->sha256, "eval_sha256", s->eval_sha256[0] ? s->eval_sha256 : NULL);
}
