/* Rows as they are learnt, and those that are wrong. */
#include "trainer/look.h"

#include "container/container.h"
#include "core/json.h"
#include "trainer/limits.h"
#include "trainer/pair.h"
#include "trainer/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Pieces ---------------------------------------------------------------------------------- */

enum lf_err lf_row_piece_text(struct lf_row_piece *p, const struct lf_model *m, const int32_t *ids,
                              int n, struct lf_diag *diag)
{
    lf_buf_reset(&p->text);
    if (!m->tokenizer) {
        for (int i = 0; i < n; i++)
            lf_buf_printf(&p->text, "%s%d", i ? " " : "", ids[i]);
        return p->text.rc;
    }
    enum lf_err rc = lf_tokenizer_decode(m->tokenizer, &p->text, ids, (size_t)n, false);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "a row's ids are no text");
}

/* The last id of a row is its last label. */
enum lf_err lf_row_each_piece(const struct lf_row *row, const struct lf_model *m,
                              lf_row_piece_fn fn, void *arg, struct lf_diag *diag)
{
    int32_t *ids = malloc(((size_t)row->n + 1) * sizeof *ids);
    struct lf_row_piece p = {.text = {0}};
    enum lf_err rc = ids ? LF_OK : lf_no_memory(diag, "a row");
    if (rc == LF_OK) {
        memcpy(ids, row->ids, (size_t)row->n * sizeof *ids);
        ids[row->n] = row->labels[row->n - 1];
    }
    for (int k = 0, end; k <= row->n && rc == LF_OK; k = end) {
        p.learnt = k > 0 && row->labels[k - 1] >= 0;
        for (end = k + 1; end <= row->n && (row->labels[end - 1] >= 0) == p.learnt;)
            end++;
        rc = lf_row_piece_text(&p, m, ids + k, end - k, diag) ?: fn(arg, &p);
    }
    lf_buf_free(&p.text);
    free(ids);
    return rc;
}

static enum lf_err put_piece(void *arg, const struct lf_row_piece *p)
{
    lf_buf_auto text = {0};
    enum lf_err rc = lf_buf_utf8(&text, p->text.data ? p->text.data : "", p->text.len);
    json_t *piece =
        json_pack("{s:s#, s:b}", "text", text.data ? text.data : "", text.len, "learnt", p->learnt);
    return rc ?: json_array_append_new(arg, piece) == 0 ? LF_OK : LF_E_NO_MEMORY;
}

enum lf_err lf_row_pieces(json_t **out, const struct lf_row *row, const struct lf_model *m,
                          struct lf_diag *diag)
{
    json_t *list = json_array();
    enum lf_err rc = list ? lf_row_each_piece(row, m, put_piece, list, diag) : LF_E_NO_MEMORY;
    if (rc == LF_OK)
        *out = list;
    else
        json_decref(list);
    return rc;
}

/* ---- A file's rows --------------------------------------------------------------------------- */

struct look {
    const struct lf_model *m;
    const struct lf_train_settings *s;
    int64_t sampled_max;
    struct lf_row_ids row[2]; /* of a pair: the chosen and the rejected one */
    int64_t rows, tokens, supervised_tokens, lost, cut_prompts, cut_completions, n_faults;
    const char *form;         /* of the first row; NULL: there is none yet */
    json_t *faults, *sampled; /* owned */
};

/* The reason without the place, which the readers of a container put in front of it. */
static void put_fault(struct look *l, const char *unit, int64_t place, const char *reason)
{
    char before[64];
    int n = snprintf(before, sizeof before, "%s %lld: ", unit, (long long)place);
    if (strncmp(reason, before, (size_t)n) == 0)
        reason += n;
    if (l->n_faults++ < LF_LOOK_FAULTS_MAX)
        json_array_append_new(
            l->faults, json_pack("{s:I, s:s}", "place", (json_int_t)place, "reason", reason));
}

/* The encoded row as it would be trained on: up to its last label. */
static struct lf_row row_of(const struct lf_row_ids *r)
{
    size_t n = r->targets.n;
    while (r->targets.ids[n - 1] < 0)
        n--;
    return (struct lf_row){.ids = r->ids.ids,
                           .labels = r->targets.ids + 1,
                           .n = (int)n - 1,
                           .n_supervised = r->n_supervised};
}

/* kind: of a row of preferences, else NULL. */
static enum lf_err sample(struct look *l, const struct lf_row *row, const char *kind, int64_t place,
                          struct lf_diag *diag)
{
    json_t *pieces = NULL;
    enum lf_err rc = lf_row_pieces(&pieces, row, l->m, diag);
    if (rc == LF_OK)
        json_array_append_new(l->sampled,
                              json_pack("{s:I, s:s*, s:i, s:i, s:o}", "place", (json_int_t)place,
                                        "kind", kind, "tokens", row->n + 1, "learnt",
                                        row->n_supervised, "pieces", pieces));
    return rc;
}

/* One text, or the two of a pair, as they are in l->row. */
static enum lf_err add_row(struct look *l, int n_texts, const char *const *kinds, int64_t place,
                           struct lf_diag *diag)
{
    const struct lf_row_ids *r = l->row;
    bool pair = n_texts > 1;
    enum lf_err rc = LF_OK;
    l->form = l->form ? l->form : r->form;
    l->cut_prompts += r[0].cut_prompt || (pair && r[1].cut_prompt);
    l->cut_completions += r[0].cut_completion || (pair && r[1].cut_completion);
    if (r[0].n_supervised == 0 || (pair && r[1].n_supervised == 0)) {
        l->lost++;
        return LF_OK;
    }
    l->rows++;
    for (int k = 0; k < n_texts && rc == LF_OK; k++) {
        struct lf_row row = row_of(&r[k]);
        l->tokens += row.n;
        l->supervised_tokens += row.n_supervised;
        if (l->rows <= l->sampled_max)
            rc = sample(l, &row, kinds[k], place, diag);
    }
    return rc;
}

static enum lf_err look_at_pair(struct look *l, const json_t *json, int64_t place,
                                struct lf_diag *diag)
{
    static const char *const pair[] = {"chosen", "rejected"};
    struct lf_pair p;
    enum lf_err rc = lf_pair_split(&p, json, l->s, diag);
    if (rc == LF_OK && l->s->loss != LF_LOSS_KTO)
        rc = lf_pair_encode(l->row, &p, l->m, diag) ?: add_row(l, 2, pair, place, diag);
    for (int k = 0; l->s->loss == LF_LOSS_KTO && k < p.n && rc == LF_OK; k++) {
        const char *const kind = lf_pair_is_unwanted(&p, k) ? "unwanted" : "wanted";
        rc = lf_row_encode(l->row, p.row[k], l->m, &p.s, diag);
        rc = rc ?: add_row(l, 1, &kind, place, diag);
    }
    lf_pair_free(&p);
    return rc;
}

/* A failure is the row's. */
static enum lf_err look_at(struct look *l, const json_t *json, int64_t place, struct lf_diag *diag)
{
    static const char *const none[] = {NULL};
    if (l->s->loss != LF_LOSS_SUPERVISED)
        return look_at_pair(l, json, place, diag);
    return lf_row_encode(l->row, json, l->m, l->s, diag) ?: add_row(l, 1, none, place, diag);
}

static enum lf_err each(struct look *l, struct lf_container *c,
                        const struct lf_dataset_limits *limits, struct lf_diag *diag)
{
    const char *unit = lf_container_unit(c);
    for (int64_t before = -1, place = 0;; before = place) {
        json_t *json = NULL;
        struct lf_diag why = {""};
        if (limits && limits->go_on && !limits->go_on(limits->arg, lf_container_done(c)))
            return lf_fail(diag, LF_E_CANCELLED, "cancelled");
        enum lf_err rc = lf_container_next(c, &json, &place, &why);
        if (rc == LF_OK && !json)
            return LF_OK;
        bool read = rc == LF_OK;
        rc = rc ?: look_at(l, json, place, &why);
        json_decref(json);
        if (rc == LF_E_NO_MEMORY || rc == LF_E_OVERLOADED)
            return lf_fail(diag, rc, "%s", why.text);
        if (rc != LF_OK)
            put_fault(l, unit, place, why.text);
        /* A file that cannot be read stays where it is. */
        if (!read && (!lf_container_goes_on(c) || place == before))
            return LF_OK;
    }
}

enum lf_err lf_rows_look(json_t **out, const char *path, const struct lf_model *m,
                         const struct lf_train_settings *s, int64_t sampled_max,
                         const struct lf_dataset_limits *limits, struct lf_diag *diag)
{
    struct look l = {.m = m, .s = s, .sampled_max = sampled_max};
    struct lf_container *c;
    enum lf_err rc = lf_container_open(&c, path, diag);
    if (rc != LF_OK)
        return rc;
    lf_container_budget(c, limits ? limits->budget : NULL);
    l.faults = json_array();
    l.sampled = json_array();
    lf_row_ids_init(&l.row[0]);
    lf_row_ids_init(&l.row[1]);
    rc = each(&l, c, limits, diag);
    if (rc == LF_OK) {
        *out =
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s?, s:I, s:O, s:O}", "unit",
                      lf_container_unit(c), "rows", (json_int_t)l.rows, "tokens",
                      (json_int_t)l.tokens, "supervised_tokens", (json_int_t)l.supervised_tokens,
                      "lost_rows", (json_int_t)l.lost, "cut_prompts", (json_int_t)l.cut_prompts,
                      "cut_completions", (json_int_t)l.cut_completions, "form", l.form, "n_faults",
                      (json_int_t)l.n_faults, "faults", l.faults, "sample", l.sampled);
        rc = *out ? LF_OK : lf_no_memory(diag, "the report");
    }
    lf_row_ids_free(&l.row[0]);
    lf_row_ids_free(&l.row[1]);
    json_decref(l.faults);
    json_decref(l.sampled);
    lf_container_close(c);
    return rc;
}
