/* Datasets: a file's rows, tokenised into another (row_file.c). */
#include "trainer/dataset.h"

#include "container/container.h"
#include "core/budget.h"
#include "core/grow.h"
#include "core/json.h"
#include "trainer/form.h"
#include "trainer/pair.h"
#include "trainer/row.h"
#include "trainer/row_file.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TAKEN_AT_ONCE (1u << 20) /* bytes of the budget */
#define ORDER_BYTES 8            /* of a row: in a training's plan, and in a part of the rows */

struct lf_dataset {
    struct lf_dataset *of; /* whose rows these are, or NULL: its own */
    uint32_t *picked;      /* (n_picked) of `of`; owned */
    size_t n_picked;
    atomic_int refs; /* 1, while it is somebody's, and parts that are of it */
    struct lf_row_file rows;
    json_t **columns; /* (rows.n, with keep_text) members that are no form's own, or NULL; owned */
    size_t n_columns, cap_columns;
    struct lf_budget *budget;
    uint64_t taken; /* of it */
    uint64_t columns_bytes;
    struct lf_dataset_report report;
};

static const struct lf_dataset_limits no_limits = {NULL};

/* ---- Rows of a file ---------------------------------------------------------------------------
 */

typedef enum lf_err (*row_fn)(void *arg, json_t *row, int64_t line, struct lf_diag *diag);

/* Calls fn with each row of the file, within the limits, and leaves the digest of its bytes in
 * sha256 where that is not NULL. */
static enum lf_err each_row(const char *path, const struct lf_dataset_limits *limits, char *sha256,
                            row_fn fn, void *arg, struct lf_diag *diag)
{
    struct lf_container *c;
    enum lf_err rc = lf_container_open(&c, path, diag);
    if (rc != LF_OK)
        return rc;
    lf_container_budget(c, limits->budget);
    for (;;) {
        json_t *row;
        int64_t place;
        if (limits->go_on && !limits->go_on(limits->arg, lf_container_done(c))) {
            rc = lf_fail(diag, LF_E_CANCELLED, "cancelled");
            break;
        }
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

/* *empty: nothing is left of the pair, or of both rows that kto makes of it. */
static enum lf_err check_pair(const json_t *row, const struct lf_train_settings *s, bool *empty,
                              struct lf_diag *diag)
{
    struct lf_pair p;
    int n_empty = 0;
    enum lf_err rc = lf_pair_split(&p, row, s, diag);
    for (int k = 0; k < p.n && rc == LF_OK; k++) {
        rc = lf_row_check(p.row[k], &p.s, empty, diag);
        n_empty += rc == LF_OK && *empty;
    }
    *empty = s->loss == LF_LOSS_KTO ? n_empty == p.n : n_empty > 0;
    lf_pair_free(&p);
    return rc;
}

static enum lf_err check_row(void *arg, json_t *row, int64_t line, struct lf_diag *diag)
{
    struct check *c = arg;
    bool empty;
    enum lf_err rc = c->s->loss == LF_LOSS_SUPERVISED ? lf_row_check(row, c->s, &empty, diag)
                                                      : check_pair(row, c->s, &empty, diag);
    c->rows++;
    if (empty && c->empty++ == 0)
        c->first_empty = line;
    return rc;
}

static enum lf_err nothing_usable(int64_t lost, int64_t first, struct lf_diag *diag)
{
    if (lost == 0)
        return lf_fail(diag, LF_E_INVALID, "no rows");
    return lf_fail(
        diag, LF_E_INVALID,
        "none of the %lld rows has anything to learn: completions are empty, cut away by "
        "max_length, of weight 0, or the rejected ones are the chosen ones (the first at line "
        "%lld)",
        (long long)lost, (long long)first);
}

enum lf_err lf_dataset_check(const char *path, const struct lf_train_settings *s,
                             const struct lf_dataset_limits *limits, struct lf_diag *diag)
{
    struct check c = {.s = s};
    enum lf_err rc = each_row(path, limits ? limits : &no_limits, NULL, check_row, &c, diag);
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
    struct lf_pair p = {.s = *r->s};
    bool pairs = r->s->loss != LF_LOSS_SUPERVISED;
    (void)line;
    enum lf_err rc = pairs ? lf_pair_split(&p, row, r->s, diag) : LF_OK;
    rc = rc ?: lf_row_normal(&normal, &r->form, pairs ? p.row[0] : row, &p.s, diag);
    if (rc == LF_OK && !p.unwanted)
        rc = r->fn(r->arg, normal, row, diag);
    lf_pair_free(&p);
    return rc;
}

enum lf_err lf_dataset_each(const char *path, const struct lf_train_settings *s, lf_row_fn fn,
                            void *arg, struct lf_diag *diag)
{
    return each_row(path, &no_limits, NULL, normal_row, &(struct normal_rows){s, fn, arg, NULL},
                    diag);
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
    enum lf_err rc = each_row(path, &no_limits, NULL, normal_row, &r, diag);
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
    bool keep_text;
    struct lf_row_writer out;
    struct lf_row_ids row[2];  /* of a pair both */
    json_t *classes;           /* weights by answers, or NULL; owned */
    json_t *unseen;            /* those that no row has had yet, or NULL; owned */
    struct lf_ids ids, labels; /* scratch of put */
};

/* What the dataset takes with one row more, from the budget; a piece at a time. */
static enum lf_err take(const struct dataset_load *load, const json_t *json, struct lf_diag *diag)
{
    struct lf_dataset *d = load->d;
    uint64_t bytes = (load->out.n + 1) * (ORDER_BYTES + (load->keep_text ? sizeof *d->columns : 0));
    d->columns_bytes += load->keep_text ? lf_json_size(json) : 0;
    bytes += d->columns_bytes;
    if (bytes <= d->taken)
        return LF_OK;
    uint64_t more = bytes - d->taken > TAKEN_AT_ONCE ? bytes - d->taken : TAKEN_AT_ONCE;
    enum lf_err rc = lf_budget_take(d->budget, more, d->taken, "its rows need", diag);
    if (rc == LF_OK)
        d->taken += more;
    return rc;
}

static void lose(struct lf_dataset_report *r, int64_t line)
{
    if (r->lost < (int64_t)(sizeof r->lost_lines / sizeof *r->lost_lines))
        r->lost_lines[r->lost] = line;
    r->lost++;
}

/* Appends the row's ids with labels shifted to the id before theirs, up to the last label. */
static enum lf_err shift(struct lf_ids *ids, struct lf_ids *labels, const struct lf_row_ids *row)
{
    size_t n = row->targets.n;
    while (row->targets.ids[n - 1] < 0)
        n--;
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i + 1 < n; i++)
        rc = rc ?: lf_ids_push(ids, row->ids.ids[i])
                 ?: lf_ids_push(labels, row->targets.ids[i + 1]);
    return rc;
}

/* The texts of a row, one or a pair, to the file. */
static enum lf_err put(struct dataset_load *load, const struct lf_row_ids *row, int n_texts,
                       struct lf_row_place *at, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    load->ids.n = load->labels.n = 0;
    at->n_supervised = 0;
    for (int k = 0; k < n_texts && rc == LF_OK; k++) {
        rc = shift(&load->ids, &load->labels, &row[k]);
        at->n_supervised += (uint32_t)row[k].n_supervised;
        at->n_chosen = k == 0 ? (uint32_t)load->ids.n : at->n_chosen;
    }
    if (rc != LF_OK)
        return lf_no_memory(diag, "a row");
    at->n = (uint32_t)load->ids.n;
    at->n_prompt = row->n_prompt > 0 ? (uint32_t)row->n_prompt : 1; /* what is asked is something */
    bool text = load->keep_text && row->completion.len > 0;
    return lf_row_file_add(&load->out, at, load->ids.ids, load->labels.ids,
                           text ? &row->completion : NULL, diag);
}

/* The row without what its form says of it; *out NULL where nothing is left. */
static enum lf_err other_members(json_t **out, const json_t *row, struct lf_diag *diag)
{
    static const char *const own[] = {"prompt", "completion", "messages",  "tools",
                                      "chosen", "rejected",   "input_ids", "labels"};
    json_t *rest = lf_json_copy(row);
    if (!rest)
        return lf_no_memory(diag, "a row");
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        json_object_del(rest, own[i]);
    *out = json_object_size(rest) > 0 ? json_incref(rest) : NULL;
    json_decref(rest);
    return LF_OK;
}

static enum lf_err put_columns(struct lf_dataset *d, const json_t *row, struct lf_diag *diag)
{
    if (lf_grow(&d->columns, &d->cap_columns, d->n_columns + 1, sizeof *d->columns) != LF_OK)
        return lf_no_memory(diag, "a row");
    enum lf_err rc = other_members(&d->columns[d->n_columns], row, diag);
    d->n_columns += rc == LF_OK;
    return rc;
}

/* A row that is in. */
static void note(struct lf_dataset_report *r, const struct lf_row_ids *row, int n_texts,
                 const struct lf_row_place *at)
{
    if (r->rows++ == 0)
        r->form = row->form;
    else if (strcmp(r->form, row->form) != 0 && r->other_forms++ == 0)
        r->other_line = at->line;
    r->tokens += at->n;
    r->supervised_tokens += at->n_supervised;
    r->cut_prompts += row[0].cut_prompt || (n_texts > 1 && row[1].cut_prompt);
    r->cut_completions += row[0].cut_completion || (n_texts > 1 && row[1].cut_completion);
    r->n_max = (int)at->n > r->n_max ? (int)at->n : r->n_max;
}

static bool are_equal(const struct lf_ids *a, const struct lf_ids *b)
{
    return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof *a->ids) == 0;
}

/* One text, or the two of a pair, as a row. */
static enum lf_err add_row(struct dataset_load *load, const struct lf_row_ids *row, int n_texts,
                           bool unwanted, const json_t *json, int64_t line, struct lf_diag *diag)
{
    struct lf_row_place at = {.line = line, .unwanted = unwanted, .weight = row->weight};
    if (load->keep_text && unwanted)
        return LF_OK;
    load->d->report.lines++;
    if (row[0].n_supervised == 0 ||
        (n_texts > 1 && (row[1].n_supervised == 0 || are_equal(&row[0].ids, &row[1].ids)))) {
        lose(&load->d->report, line);
        return LF_OK;
    }
    enum lf_err rc = take(load, json, diag);
    if (rc == LF_OK && load->keep_text)
        rc = put_columns(load->d, json, diag);
    rc = rc ?: put(load, row, n_texts, &at, diag);
    if (rc == LF_OK)
        note(&load->d->report, row, n_texts, &at);
    return rc;
}

static enum lf_err load_pair(struct dataset_load *load, const json_t *json, int64_t line,
                             struct lf_diag *diag)
{
    struct lf_pair p;
    enum lf_err rc = lf_pair_split(&p, json, load->s, diag);
    if (rc == LF_OK && load->s->loss != LF_LOSS_KTO) {
        rc = lf_pair_encode(load->row, &p, load->m, diag);
        rc = rc ?: add_row(load, load->row, 2, false, json, line, diag);
    }
    for (int k = 0; load->s->loss == LF_LOSS_KTO && k < p.n && rc == LF_OK; k++) {
        rc = lf_row_encode(load->row, p.row[k], load->m, &p.s, diag);
        rc = rc ?: add_row(load, load->row, 1, lf_pair_is_unwanted(&p, k), json, line, diag);
    }
    lf_pair_free(&p);
    return rc;
}

/* The row's weight is also that of its answer, without white space around it. */
static void weigh_class(struct dataset_load *load)
{
    static const char space[] = " \t\r\n\f\v";
    const char *text = lf_buf_str(&load->row->completion);
    text += strspn(text, space);
    size_t n = strlen(text);
    while (n > 0 && strchr(space, text[n - 1]))
        n--;
    const json_t *w = json_object_getn(load->classes, text, n);
    load->row->weight *= w ? json_number_value(w) : 1;
    if (w && load->unseen)
        json_object_deln(load->unseen, text, n);
}

/* A class that no row is of is a word that was misspelt. */
static enum lf_err check_classes(const struct dataset_load *load, struct lf_diag *diag)
{
    const char *name = json_object_iter_key(json_object_iter(load->unseen));
    return name ? lf_fail(diag, LF_E_INVALID, "\"class_weights\": no row's answer is \"%.100s\"",
                          name)
                : LF_OK;
}

static enum lf_err load_row(void *arg, json_t *json, int64_t line, struct lf_diag *diag)
{
    struct dataset_load *load = arg;
    if (load->s->loss != LF_LOSS_SUPERVISED)
        return load_pair(load, json, line, diag);
    enum lf_err rc = lf_row_encode(load->row, json, load->m, load->s, diag);
    if (rc == LF_OK && load->classes)
        weigh_class(load);
    return rc ?: add_row(load, load->row, 1, false, json, line, diag);
}

/* The report as it stands in the file. */
struct written_report {
    struct lf_dataset_report report; /* without its form */
    char form[LF_NAME_MAX + 1];
};

static enum lf_err rows_end(struct dataset_load *load, const char *key, struct lf_diag *diag)
{
    struct lf_dataset *d = load->d;
    struct written_report note = {.report = d->report};
    snprintf(note.form, sizeof note.form, "%s", d->report.form);
    note.report.form = NULL;
    return lf_row_file_end(&load->out, &d->rows, key, &note, sizeof note, diag);
}

/* Rows that were tokenised before; *there false: they are not there. */
static enum lf_err find_rows(struct lf_dataset *d, bool *there, const char *key,
                             const struct lf_dataset_limits *limits, struct lf_diag *diag)
{
    struct written_report note;
    enum lf_err rc = lf_row_file_open(&d->rows, there, &note, sizeof note, key, limits, diag);
    if (rc != LF_OK || !*there)
        return rc;
    d->report = note.report;
    note.form[sizeof note.form - 1] = '\0';
    d->report.form = lf_form_name(note.form);
    *there = d->report.form != NULL;
    if (!*there)
        lf_row_file_close(&d->rows);
    return LF_OK;
}

static enum lf_err tokenise(struct dataset_load *load, const char *path, const char *key,
                            const struct lf_dataset_limits *limits, struct lf_diag *diag)
{
    struct lf_dataset *d = load->d;
    lf_row_ids_init(&load->row[0]);
    lf_row_ids_init(&load->row[1]);
    memset(&d->report, 0, sizeof d->report);
    d->report.positions =
        load->s->max_length > load->m->rope_positions ? load->m->rope_positions : 0;
    enum lf_err rc = LF_OK;
    if (load->s->class_weights)
        rc = lf_json_parse(&load->classes, load->s->class_weights, strlen(load->s->class_weights),
                           diag);
    if (rc == LF_OK && !load->keep_text) /* evaluation rows need not have all */
        load->unseen = json_copy(load->classes);
    rc = rc ?: lf_row_file_begin(&load->out, limits, diag);
    rc = rc ?: each_row(path, limits, d->report.sha256, load_row, load, diag);
    lf_row_ids_free(&load->row[0]);
    lf_row_ids_free(&load->row[1]);
    lf_ids_free(&load->ids);
    lf_ids_free(&load->labels);
    if (rc == LF_OK && d->report.rows == 0)
        rc = nothing_usable(d->report.lost, d->report.lost_lines[0], diag);
    rc = rc ?: check_classes(load, diag);
    json_decref(load->classes);
    json_decref(load->unseen);
    if (rc == LF_OK)
        return rows_end(load, key, diag);
    lf_row_file_abandon(&load->out);
    return rc;
}

/* What tokenised rows are of: the file, by what tells it from another without reading it, the
 * settings and the base. */
static enum lf_err make_key(char key[LF_SHA256_HEX], const char *path, const struct lf_model *m,
                            const struct lf_train_settings *s, struct lf_diag *diag)
{
    struct stat st;
    lf_buf_auto text = {0};
    if (stat(path, &st) != 0)
        return lf_fail_errno(diag, errno, "%s", path);
    enum lf_err rc = lf_train_settings_print_deciding(s, &text);
    lf_buf_printf(&text, "\n%s %d %llu %llu %lld.%09ld", m->digest, m->rope_positions,
                  (unsigned long long)st.st_size, (unsigned long long)st.st_ino,
                  (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    if (rc != LF_OK || text.rc != LF_OK)
        return lf_no_memory(diag, "a dataset");
    return lf_sha256_of(key, text.data, text.len, diag);
}

enum lf_err lf_dataset_load(struct lf_dataset **out, const char *path, const struct lf_model *m,
                            const struct lf_train_settings *s, bool keep_text,
                            const struct lf_dataset_limits *limits, struct lf_diag *diag)
{
    bool there = false;
    char key[LF_SHA256_HEX] = "";
    limits = limits ? limits : &no_limits;
    lf_assert(!limits->rows || !keep_text); /* members of rows are in memory alone */
    struct lf_dataset *d = calloc(1, sizeof *d);
    if (!d)
        return lf_no_memory(diag, "a dataset");
    atomic_init(&d->refs, 1);
    d->budget = limits->budget;
    struct dataset_load load = {.d = d, .m = m, .s = s, .keep_text = keep_text};
    enum lf_err rc = limits->rows ? make_key(key, path, m, s, diag) : LF_OK;
    rc = rc ?: find_rows(d, &there, key, limits, diag);
    if (rc == LF_OK && there) {
        d->taken = d->rows.n * ORDER_BYTES;
        rc = lf_budget_take(d->budget, d->taken, 0, "its rows need", diag);
        d->taken = rc == LF_OK ? d->taken : 0;
    } else if (rc == LF_OK) {
        rc = tokenise(&load, path, key, limits, diag);
    }
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
        lf_dataset_free(d->of);
        part_free(d);
        return;
    }
    if (atomic_fetch_sub(&d->refs, 1) > 1)
        return;
    for (size_t i = 0; i < d->n_columns; i++)
        json_decref(d->columns[i]);
    free(d->columns);
    lf_row_file_close(&d->rows);
    lf_budget_give(d->budget, d->taken);
    free(d);
}

/* ---- Reading --------------------------------------------------------------------------------- */

int64_t lf_dataset_rows(const struct lf_dataset *d)
{
    return (int64_t)(d->of ? d->n_picked : d->rows.n);
}

/* Whose the row is, with its place there in *i. */
static const struct lf_dataset *whole(const struct lf_dataset *d, int64_t *i)
{
    if (!d->of)
        return d;
    *i = d->picked[*i];
    return d->of;
}

/* The row's place, and its ids. */
static const struct lf_row_place *place_of(const struct lf_dataset *d, int64_t i,
                                           const int32_t **ids)
{
    d = whole(d, &i);
    *ids = lf_row_file_ids(&d->rows, &d->rows.at[i]);
    return &d->rows.at[i];
}

void lf_dataset_row(const struct lf_dataset *d, int64_t i, struct lf_row *out)
{
    const int32_t *ids;
    const struct lf_row_place *at = place_of(d, i, &ids);
    *out = (struct lf_row){.ids = ids,
                           .labels = ids + at->n,
                           .n = (int)at->n,
                           .n_supervised = (int)at->n_supervised,
                           .n_chosen = (int)at->n_chosen,
                           .unwanted = at->unwanted != 0,
                           .weight = at->weight,
                           .line = at->line};
}

int lf_row_texts(const struct lf_row *r, struct lf_row out[2])
{
    out[0] = out[1] = *r;
    out[0].n = out[0].n_chosen = r->n_chosen;
    out[1].ids += r->n_chosen;
    out[1].labels += r->n_chosen;
    out[1].n = out[1].n_chosen = r->n - r->n_chosen;
    for (int k = 0; k < 2; k++) {
        out[k].n_supervised = 0;
        for (int i = 0; i < out[k].n; i++)
            out[k].n_supervised += out[k].labels[i] >= 0;
    }
    return r->n_chosen < r->n ? 2 : 1;
}

uint64_t lf_dataset_hash(const struct lf_dataset *d, int64_t i)
{
    const int32_t *ids;
    return place_of(d, i, &ids)->hash;
}

void lf_dataset_report(const struct lf_dataset *d, struct lf_dataset_report *out)
{
    *out = d->report;
}

int64_t lf_dataset_step_tokens(const struct lf_dataset *d, const struct lf_train_settings *s)
{
    struct lf_dataset_report r;
    lf_dataset_report(d, &r);
    int64_t batch = s->batch_size < r.rows ? s->batch_size : r.rows;
    return r.tokens * batch * s->accumulation / r.rows;
}

int lf_dataset_prompt(const struct lf_dataset *d, int64_t i, const int32_t **ids)
{
    return (int)place_of(d, i, ids)->n_prompt;
}

const char *lf_dataset_completion(const struct lf_dataset *d, int64_t i)
{
    const int32_t *ids;
    const struct lf_row_place *at = place_of(d, i, &ids);
    return at->text_bytes ? (const char *)(ids + 2 * (size_t)at->n) : NULL;
}

const json_t *lf_dataset_columns(const struct lf_dataset *d, int64_t i)
{
    d = whole(d, &i);
    return d->columns ? d->columns[i] : NULL;
}

static struct lf_dataset *part_new(struct lf_dataset *of)
{
    struct lf_dataset *p = calloc(1, sizeof *p);
    if (!p || !(p->picked = malloc(of->rows.n * sizeof *p->picked))) {
        part_free(p);
        return NULL;
    }
    p->of = of;
    p->report = of->report;
    p->report.rows = p->report.tokens = p->report.supervised_tokens = p->report.n_max = 0;
    return p;
}

struct lf_dataset *lf_dataset_share(struct lf_dataset *d)
{
    struct lf_dataset *of = d->of ? d->of : d, *p = part_new(of);
    if (!p)
        return NULL;
    for (size_t i = 0; i < (size_t)lf_dataset_rows(d); i++)
        p->picked[i] = d->of ? d->picked[i] : (uint32_t)i;
    p->n_picked = (size_t)lf_dataset_rows(d);
    p->report = d->report;
    atomic_fetch_add(&of->refs, 1);
    return p;
}

/* ---- Rows held out --------------------------------------------------------------------------- */

/* The highest hash of a row that is held out: `share` of all hashes, but a row on either side. 0:
 * no two rows differ. */
static uint64_t highest_held(const struct lf_dataset *d, double share)
{
    uint64_t lo = UINT64_MAX, hi = 0, below = 0, limit = (uint64_t)(share * 0x1p64);
    for (int64_t i = 0; i < lf_dataset_rows(d); i++) {
        uint64_t h = lf_dataset_hash(d, i);
        lo = h < lo ? h : lo;
        hi = h > hi ? h : hi;
    }
    for (int64_t i = 0; i < lf_dataset_rows(d); i++) {
        uint64_t h = lf_dataset_hash(d, i);
        below = h < hi && h > below ? h : below; /* so that the highest stays */
    }
    if (lo == hi)
        return 0;
    return limit < lo ? lo : limit < below ? limit : below;
}

static void pick(struct lf_dataset *p, int64_t i)
{
    const struct lf_row_place *at = &p->of->rows.at[i];
    struct lf_dataset_report *r = &p->report;
    p->picked[p->n_picked++] = (uint32_t)i;
    r->rows++;
    r->tokens += at->n;
    r->supervised_tokens += at->n_supervised;
    r->n_max = (int)at->n > r->n_max ? (int)at->n : r->n_max;
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
    for (int64_t i = 0; i < lf_dataset_rows(of); i++)
        pick(lf_dataset_hash(of, i) <= highest ? go : stay, i);
    stay->report.held_out = go->report.rows;
    atomic_fetch_add(&of->refs, 1); /* two instead of its owner */
    *d = stay;
    *held = go;
    return LF_OK;
}
