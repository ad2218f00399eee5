/* Datasets: a file's rows to two flat runs of ids and labels. */
#include "trainer/dataset.h"

#include "container/container.h"
#include "core/budget.h"
#include "core/json.h"
#include "trainer/form.h"
#include "trainer/row.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TAKEN_AT_ONCE (1u << 20) /* bytes of the budget */

struct row_at {
    size_t off;      /* in ids and labels */
    size_t text_off; /* in texts; SIZE_MAX: none */
    int n, n_supervised, n_prompt;
    int64_t line;
    json_t *columns; /* members that are no form's own, or NULL; owned */
};

struct lf_dataset {
    struct lf_dataset *of; /* whose rows these are, or NULL: its own */
    size_t *picked;        /* (n_rows) of `of`; owned */
    atomic_int refs;       /* parts that are of it */
    int32_t *ids, *labels; /* (n_tokens) of all rows, one after another */
    size_t n_tokens, cap_tokens;
    struct row_at *rows;
    size_t n_rows, cap_rows;
    struct lf_buf texts; /* completions, each with its NUL */
    bool keep_text;
    struct lf_budget *budget;
    uint64_t taken; /* of it */
    uint64_t columns_bytes;
    struct lf_dataset_report report;
};

/* ---- Rows of a file ---------------------------------------------------------------------------
 */

typedef enum lf_err (*row_fn)(void *arg, json_t *row, int64_t line, struct lf_diag *diag);

/* Calls fn with each row of the file, its values out of the budget, and leaves the digest of its
 * bytes in sha256 where that is not NULL. */
static enum lf_err each_row(const char *path, struct lf_budget *budget, char *sha256, row_fn fn,
                            void *arg, struct lf_diag *diag)
{
    struct lf_container *c;
    enum lf_err rc = lf_container_open(&c, path, diag);
    if (rc != LF_OK)
        return rc;
    lf_container_budget(c, budget);
    for (;;) {
        json_t *row;
        int64_t place;
        rc = lf_container_next(c, &row, &place, diag);
        if (rc != LF_OK || !row)
            break;
        rc = fn(arg, row, place, diag);
        json_decref(row);
        if (rc == LF_E_CANCELLED)
            break;
        if (rc != LF_OK) {
            lf_fail_within(diag, rc, "%s %lld", lf_container_unit(c), (long long)place);
            break;
        }
    }
    if (rc == LF_OK && sha256)
        lf_container_sha256(c, sha256);
    lf_container_close(c);
    return rc;
}

/* ---- The check ------------------------------------------------------------------------------- */

struct check {
    const struct lf_train_settings *s;
    int64_t rows, empty, first_empty;
};

static enum lf_err check_row(void *arg, json_t *row, int64_t line, struct lf_diag *diag)
{
    struct check *c = arg;
    bool empty;
    enum lf_err rc = lf_row_check(row, c->s, &empty, diag);
    c->rows++;
    if (empty && c->empty++ == 0)
        c->first_empty = line;
    return rc;
}

static enum lf_err nothing_usable(int64_t lost, int64_t first, struct lf_diag *diag)
{
    if (lost == 0)
        return lf_fail(diag, LF_E_INVALID, "no rows");
    return lf_fail(diag, LF_E_INVALID,
                   "none of the %lld rows has anything to learn: completions are empty, or cut "
                   "away by max_length (the first at line %lld)",
                   (long long)lost, (long long)first);
}

enum lf_err lf_dataset_check(const char *path, const struct lf_train_settings *s,
                             struct lf_budget *budget, struct lf_diag *diag)
{
    struct check c = {.s = s};
    enum lf_err rc = each_row(path, budget, NULL, check_row, &c, diag);
    return rc == LF_OK && c.rows == c.empty ? nothing_usable(c.empty, c.first_empty, diag) : rc;
}

/* ---- Normal rows ----------------------------------------------------------------------------- */

struct normal_rows {
    const struct lf_train_settings *s;
    lf_row_fn fn;
    void *arg;
    const char *form; /* of the row handed out last */
};

static enum lf_err normal_row(void *arg, json_t *row, int64_t line, struct lf_diag *diag)
{
    struct normal_rows *r = arg;
    json_auto_t *normal = NULL;
    (void)line;
    enum lf_err rc = lf_row_normal(&normal, &r->form, row, r->s, diag);
    return rc ?: r->fn(r->arg, normal, row, diag);
}

enum lf_err lf_dataset_each(const char *path, const struct lf_train_settings *s, lf_row_fn fn,
                            void *arg, struct lf_diag *diag)
{
    return each_row(path, NULL, NULL, normal_row, &(struct normal_rows){s, fn, arg, NULL}, diag);
}

static enum lf_err first_is_enough(void *arg, json_t *normal, json_t *row, struct lf_diag *diag)
{
    (void)arg;
    (void)normal;
    (void)row;
    (void)diag;
    return LF_E_CANCELLED;
}

enum lf_err lf_dataset_form(const char **out, const char *path, const struct lf_train_settings *s,
                            struct lf_diag *diag)
{
    struct normal_rows r = {s, first_is_enough, NULL, NULL};
    enum lf_err rc = each_row(path, NULL, NULL, normal_row, &r, diag);
    if (rc == LF_OK)
        return lf_fail(diag, LF_E_INVALID, "no rows");
    if (rc != LF_E_CANCELLED)
        return rc;
    *out = r.form;
    return LF_OK;
}

/* ---- Loading --------------------------------------------------------------------------------- */

struct dataset_load {
    struct lf_dataset *d;
    const struct lf_model *m;
    const struct lf_train_settings *s;
    const struct lf_dataset_limits *limits;
    struct lf_row_ids row;
};

/* What the dataset takes with one row more, from the budget; a piece at a time. */
static enum lf_err take(struct lf_dataset *d, const struct lf_row_ids *row, const json_t *json,
                        struct lf_diag *diag)
{
    uint64_t bytes = (d->n_tokens + row->ids.n) * 2 * sizeof *d->ids +
                     (d->n_rows + 1) * sizeof *d->rows + d->texts.len + row->completion.len;
    d->columns_bytes += d->keep_text ? lf_json_size(json) : 0;
    bytes += d->columns_bytes;
    if (bytes <= d->taken)
        return LF_OK;
    uint64_t more = bytes - d->taken > TAKEN_AT_ONCE ? bytes - d->taken : TAKEN_AT_ONCE;
    enum lf_err rc = lf_budget_take(d->budget, more, d->taken, "its rows need", diag);
    if (rc == LF_OK)
        d->taken += more;
    return rc;
}

/* Room for `extra` more elements of *p. */
static enum lf_err reserve(void *pp, size_t *cap, size_t n, size_t extra, size_t size,
                           struct lf_diag *diag)
{
    if (extra <= *cap - n)
        return LF_OK;
    size_t want = (n + extra) + (n + extra) / 2;
    void *old, *p = NULL;
    memcpy(&old, pp, sizeof old);
    if (want < SIZE_MAX / size)
        p = realloc(old, want * size);
    if (!p)
        return lf_no_memory(diag, "%zu elements of a dataset", want);
    memcpy(pp, &p, sizeof p);
    *cap = want;
    return LF_OK;
}

static enum lf_err reserve_tokens(struct lf_dataset *d, size_t extra, struct lf_diag *diag)
{
    size_t cap = d->cap_tokens;
    enum lf_err rc = reserve(&d->labels, &cap, d->n_tokens, extra, sizeof *d->labels, diag);
    return rc ?: reserve(&d->ids, &d->cap_tokens, d->n_tokens, extra, sizeof *d->ids, diag);
}

static void lose(struct lf_dataset_report *r, int64_t line)
{
    if (r->lost < (int64_t)(sizeof r->lost_lines / sizeof *r->lost_lines))
        r->lost_lines[r->lost] = line;
    r->lost++;
}

/* Appends the row's ids with labels shifted to the id before theirs, up to the last label. */
static void put_tokens(struct lf_dataset *d, const struct lf_row_ids *row, struct row_at *at)
{
    size_t n = row->targets.n;
    while (row->targets.ids[n - 1] < 0)
        n--;
    at->off = d->n_tokens;
    at->n = (int)n - 1;
    at->n_supervised = row->n_supervised;
    at->n_prompt = row->n_prompt > 0 ? (int)row->n_prompt : 1; /* what is asked is never nothing */
    memcpy(d->ids + at->off, row->ids.ids, (n - 1) * sizeof *d->ids);
    memcpy(d->labels + at->off, row->targets.ids + 1, (n - 1) * sizeof *d->labels);
    d->n_tokens += n - 1;
}

static enum lf_err put_text(struct lf_dataset *d, const struct lf_row_ids *row, struct row_at *at,
                            struct lf_diag *diag)
{
    at->text_off = SIZE_MAX;
    if (!d->keep_text || row->completion.len == 0)
        return LF_OK;
    at->text_off = d->texts.len;
    if (lf_buf_append(&d->texts, row->completion.data, row->completion.len + 1) != LF_OK)
        return lf_fail(diag, d->texts.rc, "no memory for completions");
    return LF_OK;
}

/* The row without what its form says of it; *out NULL where nothing is left. */
static enum lf_err other_members(json_t **out, const json_t *row, struct lf_diag *diag)
{
    static const char *const own[] = {"prompt", "completion", "messages",
                                      "tools",  "input_ids",  "labels"};
    json_t *rest = lf_json_copy(row);
    if (!rest)
        return lf_no_memory(diag, "a row");
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        json_object_del(rest, own[i]);
    *out = json_object_size(rest) > 0 ? json_incref(rest) : NULL;
    json_decref(rest);
    return LF_OK;
}

static enum lf_err load_row(void *arg, json_t *json, int64_t line, struct lf_diag *diag)
{
    struct dataset_load *load = arg;
    struct lf_dataset *d = load->d;
    struct lf_dataset_report *r = &d->report;
    const struct lf_dataset_limits *limits = load->limits;
    if (limits->go_on && !limits->go_on(limits->arg))
        return lf_fail(diag, LF_E_CANCELLED, "cancelled");
    enum lf_err rc = lf_row_encode(&load->row, json, load->m, load->s, diag);
    if (rc != LF_OK)
        return rc;
    r->lines++;
    if (load->row.n_supervised == 0) {
        lose(r, line);
        return LF_OK;
    }
    struct row_at at = {.line = line};
    rc = take(d, &load->row, json, diag);
    rc = rc ?: reserve_tokens(d, load->row.ids.n, diag);
    rc = rc ?: reserve(&d->rows, &d->cap_rows, d->n_rows, 1, sizeof *d->rows, diag);
    rc = rc ?: put_text(d, &load->row, &at, diag);
    if (rc == LF_OK && d->keep_text)
        rc = other_members(&at.columns, json, diag);
    if (rc != LF_OK)
        return rc;
    put_tokens(d, &load->row, &at);
    d->rows[d->n_rows++] = at;
    if (r->rows++ == 0)
        r->form = load->row.form;
    else if (strcmp(r->form, load->row.form) != 0 && r->other_forms++ == 0)
        r->other_line = line;
    r->tokens += at.n;
    r->supervised_tokens += at.n_supervised;
    r->cut_prompts += load->row.cut_prompt;
    r->cut_completions += load->row.cut_completion;
    r->n_max = at.n > r->n_max ? at.n : r->n_max;
    return LF_OK;
}

enum lf_err lf_dataset_load(struct lf_dataset **out, const char *path, const struct lf_model *m,
                            const struct lf_train_settings *s, bool keep_text, struct lf_diag *diag)
{
    static const struct lf_dataset_limits none = {NULL};
    return lf_dataset_load_within(out, path, m, s, keep_text, &none, diag);
}

enum lf_err lf_dataset_load_within(struct lf_dataset **out, const char *path,
                                   const struct lf_model *m, const struct lf_train_settings *s,
                                   bool keep_text, const struct lf_dataset_limits *limits,
                                   struct lf_diag *diag)
{
    struct dataset_load load = {.m = m, .s = s, .limits = limits};
    struct lf_dataset *d = calloc(1, sizeof *d);
    if (!d)
        return lf_no_memory(diag, "a dataset");
    lf_buf_init(&d->texts, LF_DATASET_BYTES_MAX);
    d->keep_text = keep_text;
    d->report.positions = s->max_length > m->rope_positions ? m->rope_positions : 0;
    d->budget = limits->budget;
    load.d = d;
    lf_row_ids_init(&load.row);
    enum lf_err rc = each_row(path, limits->budget, d->report.sha256, load_row, &load, diag);
    lf_row_ids_free(&load.row);
    if (rc == LF_OK && d->n_rows == 0)
        rc = nothing_usable(d->report.lost, d->report.lost_lines[0], diag);
    if (rc == LF_OK)
        *out = d;
    else
        lf_dataset_free(d);
    return rc;
}

static void part_free(struct lf_dataset *p)
{
    if (p)
        free(p->picked);
    free(p);
}

void lf_dataset_free(struct lf_dataset *d)
{
    if (!d)
        return;
    if (d->of) {
        if (atomic_fetch_sub(&d->of->refs, 1) == 1)
            lf_dataset_free(d->of);
        part_free(d);
        return;
    }
    free(d->ids);
    free(d->labels);
    for (size_t i = 0; i < d->n_rows; i++)
        json_decref(d->rows[i].columns);
    free(d->rows);
    lf_buf_free(&d->texts);
    lf_budget_give(d->budget, d->taken);
    free(d);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Whose the row is, with its place there in *i. */
static const struct lf_dataset *whole(const struct lf_dataset *d, int64_t *i)
{
    if (!d->of)
        return d;
    *i = (int64_t)d->picked[*i];
    return d->of;
}

int64_t lf_dataset_rows(const struct lf_dataset *d)
{
    return (int64_t)d->n_rows;
}

void lf_dataset_row(const struct lf_dataset *d, int64_t i, struct lf_row *out)
{
    d = whole(d, &i);
    const struct row_at *at = &d->rows[i];
    *out = (struct lf_row){.ids = d->ids + at->off,
                           .labels = d->labels + at->off,
                           .n = at->n,
                           .n_supervised = at->n_supervised,
                           .line = at->line};
}

void lf_dataset_report(const struct lf_dataset *d, struct lf_dataset_report *out)
{
    *out = d->report;
}

int lf_dataset_prompt(const struct lf_dataset *d, int64_t i, const int32_t **ids)
{
    d = whole(d, &i);
    const struct row_at *at = &d->rows[i];
    *ids = d->ids + at->off;
    return at->n_prompt;
}

const char *lf_dataset_completion(const struct lf_dataset *d, int64_t i)
{
    d = whole(d, &i);
    size_t off = d->rows[i].text_off;
    return off == SIZE_MAX ? NULL : d->texts.data + off;
}

const json_t *lf_dataset_columns(const struct lf_dataset *d, int64_t i)
{
    d = whole(d, &i);
    return d->rows[i].columns;
}

/* ---- Rows held out --------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, int32_t x)
{
    h = (h ^ (uint32_t)x) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

uint64_t lf_row_hash(const struct lf_row *r)
{
    uint64_t h = (uint64_t)r->n;
    for (int i = 0; i < r->n; i++)
        h = mix(mix(h, r->ids[i]), r->labels[i]);
    return h;
}

static uint64_t hash_at(const struct lf_dataset *d, size_t i)
{
    struct lf_row r;
    lf_dataset_row(d, (int64_t)i, &r);
    return lf_row_hash(&r);
}

/* The highest hash of a row that is held out: `share` of all hashes, but a row on either side. 0:
 * no two rows differ. */
static uint64_t highest_held(const struct lf_dataset *d, double share)
{
    uint64_t lo = UINT64_MAX, hi = 0, below = 0, limit = (uint64_t)(share * 0x1p64);
    for (size_t i = 0; i < d->n_rows; i++) {
        uint64_t h = hash_at(d, i);
        lo = h < lo ? h : lo;
        hi = h > hi ? h : hi;
    }
    for (size_t i = 0; i < d->n_rows; i++) {
        uint64_t h = hash_at(d, i);
        below = h < hi && h > below ? h : below; /* so that the highest stays */
    }
    if (lo == hi)
        return 0;
    return limit < lo ? lo : limit < below ? limit : below;
}

static struct lf_dataset *part_new(struct lf_dataset *of)
{
    struct lf_dataset *p = calloc(1, sizeof *p);
    if (!p || !(p->picked = malloc(of->n_rows * sizeof *p->picked))) {
        part_free(p);
        return NULL;
    }
    p->of = of;
    p->report = of->report;
    p->report.rows = p->report.tokens = p->report.supervised_tokens = p->report.n_max = 0;
    return p;
}

static void pick(struct lf_dataset *p, size_t i)
{
    const struct row_at *at = &p->of->rows[i];
    struct lf_dataset_report *r = &p->report;
    p->picked[p->n_rows++] = i;
    r->rows++;
    r->tokens += at->n;
    r->supervised_tokens += at->n_supervised;
    r->n_max = at->n > r->n_max ? at->n : r->n_max;
}

enum lf_err lf_dataset_hold_out(struct lf_dataset **d, struct lf_dataset **held, double share,
                                struct lf_diag *diag)
{
    struct lf_dataset *of = *d;
    lf_assert(!of->of && share >= 0 && share <= 0.5);
    uint64_t highest = highest_held(of, share);
    *held = NULL;
    if (highest == 0) /* no two that differ */
        return LF_OK;
    struct lf_dataset *stay = part_new(of), *go = part_new(of);
    if (!stay || !go) {
        part_free(stay);
        part_free(go);
        return lf_no_memory(diag, "the rows that are held out");
    }
    for (size_t i = 0; i < of->n_rows; i++)
        pick(hash_at(of, i) <= highest ? go : stay, i);
    stay->report.held_out = go->report.rows;
    atomic_init(&of->refs, 2);
    *d = stay;
    *held = go;
    return LF_OK;
}
