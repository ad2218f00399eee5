/* What is remarkable about a data set. */
#include "trainer/survey.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FEW_ROWS 4 /* a row in so many for each answer: fewer, and they are no labels */
#define MOSTLY 0.95

#define PLACES (1u << 22) /* of a table, 32 MB */
#define ASK_EVERY 4096    /* rows */

/* What the survey is made for goes on. */
static bool goes_on(const struct lf_dataset_limits *limits, int64_t row)
{
    return !limits || !limits->go_on || row % ASK_EVERY != 0 || limits->go_on(limits->arg, 1);
}

/* ---- Rows that are equal --------------------------------------------------------------------- */

static bool is_equal(const int32_t *a, const int32_t *b, int n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

/* Rows of a data set by their hash: open addressing. Of many rows a part at a time, by the upper
 * half of their hash, so that the table stays small. That half stands beside the row, so that only
 * rows that are equal are looked up again: they may be anywhere on the disk. */
struct known_row {
    uint32_t row; /* + 1; 0: there is none */
    uint32_t mark;
};

struct places {
    const struct lf_dataset *d;
    struct known_row *at;
    size_t mask, used;
    uint64_t part, n_parts;
};

static enum lf_err places_new(struct places *p, const struct lf_dataset *d, struct lf_diag *diag)
{
    size_t n = 16, rows = (size_t)lf_dataset_rows(d);
    while (n < 2 * rows && n < PLACES)
        n *= 2;
    *p = (struct places){d, calloc(n, sizeof *p->at), n - 1, 0, 0, 1 + 2 * rows / PLACES};
    return p->at ? LF_OK : lf_fail(diag, LF_E_NO_MEMORY, "no memory to compare rows");
}

static void places_clear(struct places *p, uint64_t part)
{
    memset(p->at, 0, (p->mask + 1) * sizeof *p->at);
    p->part = part;
    p->used = 0;
}

static uint32_t mark_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static bool is_in_part(const struct places *p, uint64_t hash)
{
    return mark_of(hash) % p->n_parts == p->part;
}

/* The place of a row that is equal to row i of d, or the one that is free for it. */
static struct known_row *place_of(const struct places *p, const struct lf_dataset *d, int64_t i)
{
    uint64_t hash = lf_dataset_hash(d, i);
    struct lf_row r, other;
    lf_dataset_row(d, i, &r);
    for (size_t k = hash & p->mask;; k = (k + 1) & p->mask) {
        struct known_row *at = &p->at[k];
        if (at->row == 0)
            return at;
        if (at->mark != mark_of(hash))
            continue;
        lf_dataset_row(p->d, at->row - 1, &other);
        if (r.n == other.n && r.n_chosen == other.n_chosen && r.unwanted == other.unwanted &&
            is_equal(r.ids, other.ids, r.n) && is_equal(r.labels, other.labels, r.n))
            return at;
    }
}

static int64_t line_of(const struct lf_dataset *d, int64_t i)
{
    struct lf_row r;
    lf_dataset_row(d, i, &r);
    return r.line;
}

/* One more of such pairs; the first, by the line of its later row, is named. */
static void count_pair(int64_t *n, int64_t pair[2], int later, int64_t earlier_line,
                       int64_t later_line)
{
    if ((*n)++ > 0 && pair[later] < later_line)
        return;
    pair[later] = later_line;
    pair[1 - later] = earlier_line;
}

/* A table that hashes made on purpose have filled takes no more. */
static void find_duplicates(struct lf_survey *s, struct places *p, int64_t i)
{
    struct known_row *at = place_of(p, p->d, i);
    if (at->row != 0)
        count_pair(&s->duplicates, s->duplicate, 1, line_of(p->d, at->row - 1), line_of(p->d, i));
    else if (p->used < p->mask && ++p->used)
        *at = (struct known_row){(uint32_t)i + 1, mark_of(lf_dataset_hash(p->d, i))};
}

static void find_leaks(struct lf_survey *s, const struct places *p, const struct lf_dataset *eval,
                       int64_t i)
{
    const struct known_row *at = place_of(p, eval, i);
    if (at->row != 0)
        count_pair(&s->leaks, s->leak, 0, line_of(p->d, at->row - 1), line_of(eval, i));
}

static enum lf_err compare(struct lf_survey *s, const struct lf_dataset *d,
                           const struct lf_dataset *eval, const struct lf_dataset_limits *limits,
                           struct lf_diag *diag)
{
    struct places p;
    bool on = true;
    enum lf_err rc = places_new(&p, d, diag);
    if (rc != LF_OK)
        return rc;
    for (uint64_t part = 0; part < p.n_parts && on; part++) {
        places_clear(&p, part);
        for (int64_t i = 0; i < lf_dataset_rows(d) && (on = goes_on(limits, i)); i++)
            if (is_in_part(&p, lf_dataset_hash(d, i)))
                find_duplicates(s, &p, i);
        for (int64_t i = 0; eval && on && i < lf_dataset_rows(eval); i++)
            if ((on = goes_on(limits, i)) && is_in_part(&p, lf_dataset_hash(eval, i)))
                find_leaks(s, &p, eval, i);
    }
    free(p.at);
    return on ? LF_OK : lf_fail(diag, LF_E_CANCELLED, "cancelled");
}

/* ---- Answers --------------------------------------------------------------------------------- */

static int more_rows_first(const void *a, const void *b)
{
    const struct lf_survey_answer *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : (x->row > y->row) - (x->row < y->row);
}

/* What row i (of a pair its chosen text) learns last: labels, of which there are *n. */
static const int32_t *answer_of(const struct lf_dataset *d, int64_t i, int *n)
{
    struct lf_row r;
    const int32_t *ids;
    int first = lf_dataset_prompt(d, i, &ids) - 1;
    lf_dataset_row(d, i, &r);
    *n = r.n_chosen - first;
    return r.labels + first;
}

/* Which answer of d's, of those known, row i of `of` has; NULL: none. */
static struct lf_survey_answer *known_answer(struct lf_survey *s, const struct lf_dataset *d,
                                             const struct lf_dataset *of, int64_t i)
{
    int n, m;
    const int32_t *its = answer_of(of, i, &n);
    for (int k = 0; k < s->n_answers; k++) {
        const int32_t *other = answer_of(d, s->answers[k].row, &m);
        if (m == n && is_equal(its, other, n))
            return &s->answers[k];
    }
    return NULL;
}

/* Row i's answer is one of those known, or a new one. False: there are too many to be labels. */
static bool count_answer(struct lf_survey *s, const struct lf_dataset *d, int64_t i)
{
    struct lf_survey_answer *known = known_answer(s, d, d, i);
    if (known)
        known->n++;
    else if (s->n_answers < LF_SURVEY_ANSWERS_MAX)
        s->answers[s->n_answers++] = (struct lf_survey_answer){i, 1};
    else
        return false;
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

/* Labels of eval that nothing teaches. */
static void find_unknown(struct lf_survey *s, const struct lf_dataset *d,
                         const struct lf_dataset *eval)
{
    int64_t n = s->n_answers > 0 && eval ? lf_dataset_rows(eval) : 0;
    for (int64_t i = 0; i < n; i++)
        if (!known_answer(s, d, eval, i) && s->unknown++ == 0)
            s->unknown_line = line_of(eval, i);
}

/* ---- Lengths --------------------------------------------------------------------------------- */

/* The length of the row at place k, were they in order. */
static int at_place(const int64_t *count, int64_t k)
{
    int n = 0;
    for (int64_t seen = count[0]; seen <= k; seen += count[n])
        n++;
    return n;
}

static enum lf_err measure(struct lf_survey *s, const struct lf_dataset *d, struct lf_diag *diag)
{
    int64_t n = lf_dataset_rows(d), *count = calloc((size_t)s->report.n_max + 1, sizeof *count);
    if (!count)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory to compare rows");
    for (int64_t i = 0; i < n; i++) {
        struct lf_row r;
        lf_dataset_row(d, i, &r);
        count[r.n]++;
        s->unwanted += r.unwanted;
    }
    s->median = at_place(count, (n - 1) / 2);
    s->p90 = at_place(count, (n - 1) * 9 / 10);
    s->p99 = at_place(count, (n - 1) * 99 / 100);
    free(count);
    return LF_OK;
}

enum lf_err lf_survey_make(struct lf_survey *out, const struct lf_dataset *d,
                           const struct lf_dataset *eval, const struct lf_dataset_limits *limits,
                           struct lf_diag *diag)
{
    struct lf_survey s = {0};
    struct lf_dataset_report rows = {0};
    lf_dataset_report(d, &s.report);
    eval = s.report.held_out == 0 ? eval : NULL; /* those of d itself are other rows */
    enum lf_err rc = measure(&s, d, diag) ?: compare(&s, d, eval, limits, diag);
    if (rc != LF_OK)
        return rc;
    if (eval)
        lf_dataset_report(eval, &rows);
    memcpy(s.eval_sha256, rows.sha256, sizeof s.eval_sha256);
    count_answers(&s, d);
    find_unknown(&s, d, eval);
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
    warn(list, s->unknown > 0, "eval rows whose answer no row has: %lld (line %lld)",
         (long long)s->unknown, (long long)s->unknown_line);
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
