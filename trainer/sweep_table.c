/* A sweep's table. */
#include "trainer/sweep_table.h"

#include "core/json.h"
#include "trainer/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double lf_sweep_row_loss(const struct lf_sweep_row *r)
{
    double best = (double)NAN;
    const struct lf_curve_points *l = &r->curve.eval;
    if (r->last && l->n > 0)
        return l->p[l->n - 1].value;
    for (size_t i = 0; i < l->n; i++)
        best = fmin(best, l->p[i].value); /* fmin takes the number beside a NaN */
    return best;
}

void lf_sweep_table_sum(const struct lf_sweep_table *t, struct lf_progress *sum, char *note,
                        size_t size)
{
    int done = 0, early = 0;
    *sum = lf_progress_none();
    sum->state = LF_JOB_RUNNING;
    sum->tokens_per_second = sum->eta_seconds = 0;
    for (int i = 0; i < t->n; i++) {
        const struct lf_sweep_row *r = &t->row[i];
        const struct lf_progress *p = &r->progress;
        bool open = lf_job_state_open(r->state);
        done += r->state == LF_JOB_DONE;
        early += !open && r->state != LF_JOB_DONE;
        sum->step += p->step;
        sum->steps += open ? p->steps : p->step;
        sum->tokens += p->tokens;
        sum->loss = fmin(sum->loss, p->loss);
        double loss = lf_sweep_row_loss(r);
        if (isfinite(loss) && !(loss >= sum->eval_loss))
            sum->eval_rewards = p->eval_rewards;
        sum->eval_loss = fmin(sum->eval_loss, loss);
        sum->seconds = fmax(sum->seconds, p->seconds);
        if (open && isfinite(p->tokens_per_second))
            sum->tokens_per_second += p->tokens_per_second;
        if (open)
            sum->eta_seconds = fmax(sum->eta_seconds, p->eta_seconds);
    }
    int n = snprintf(note, size, "; sweep of %d: %d done, %d ended early", t->n, done, early);
    if (isfinite(sum->eval_loss))
        snprintf(note + n, size - (size_t)n, ", best eval loss %.3f", sum->eval_loss);
}

/* ---- Successive halving ---------------------------------------------------------------------- */

static bool goes_on(const struct lf_sweep_row *r)
{
    return lf_job_state_open(r->state) || r->state == LF_JOB_DONE;
}

/* The first evaluation from a rung on; NULL: there is none yet. */
static const struct lf_curve_point *at_rung(const struct lf_sweep_row *r, int64_t step)
{
    const struct lf_curve_points *l = &r->curve.eval;
    for (size_t i = 0; i < l->n; i++)
        if (l->p[i].step >= (double)step)
            return &l->p[i];
    return NULL;
}

/* All that go on have an evaluation from the rung on. */
static bool is_reached(const struct lf_sweep_table *t, const struct lf_sweep *w)
{
    for (int i = 0; i < t->n; i++)
        if (lf_job_state_open(t->row[i].state) && !at_rung(&t->row[i], w->rung[i].step[t->rung]))
            return false;
    return true;
}

/* What cannot be compared is the worst. */
static double loss_at_rung(const struct lf_sweep_table *t, const struct lf_sweep *w, int i)
{
    const struct lf_curve_point *p = at_rung(&t->row[i], w->rung[i].step[t->rung]);
    return p && !isnan(p->value) ? p->value : (double)INFINITY;
}

/* Rows that go on and are better than row i. */
static int n_better(const struct lf_sweep_table *t, const struct lf_sweep *w, int i)
{
    int n = 0;
    double loss = loss_at_rung(t, w, i);
    for (int k = 0; k < t->n; k++) {
        double other = loss_at_rung(t, w, k);
        n += goes_on(&t->row[k]) && (other < loss || (other == loss && k < i));
    }
    return n;
}

int lf_sweep_table_ends(struct lf_sweep_table *t, const struct lf_sweep *w)
{
    for (; t->rung < w->rungs && is_reached(t, w); t->rung++) {
        int worst = -1, most = lf_sweep_survivors(w, t->rung) - 1;
        for (int i = 0; i < t->n; i++) {
            /* What is done costs no more. */
            int n = lf_job_state_open(t->row[i].state) ? n_better(t, w, i) : -1;
            if (n > most) {
                most = n;
                worst = i;
            }
        }
        if (worst >= 0) {
            t->row[worst].state = LF_JOB_CANCELLED;
            return worst;
        }
    }
    return -1;
}

bool lf_sweep_table_revive(struct lf_sweep_table *t)
{
    int best = -1;
    for (int i = 0; i < t->n; i++) {
        if (goes_on(&t->row[i]))
            return false;
        if (t->row[i].state == LF_JOB_CANCELLED &&
            (best < 0 || lf_sweep_row_loss(&t->row[i]) < lf_sweep_row_loss(&t->row[best])))
            best = i;
    }
    if (best < 0)
        return false;
    t->row[best].state = LF_JOB_QUEUED;
    lf_curve_free(&t->row[best].curve);
    t->row[best].curve = (struct lf_curve){0};
    return true;
}

/* ---- As JSON --------------------------------------------------------------------------------- */

static json_t *evals_json(const struct lf_curve_points *l)
{
    json_t *list = json_array();
    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(
            list, json_pack("[I, o]", (json_int_t)l->p[i].step, lf_json_finite(l->p[i].value)));
    return list;
}

static json_t *row_json(const struct lf_sweep_row *r, int i)
{
    const struct lf_progress *p = &r->progress;
    const char *state = r->state == LF_JOB_CANCELLED ? "ended early" : lf_job_state_name(r->state);
    return json_pack("{s:i, s:O, s:s, s:I, s:I, s:o, s:o, s:I, s:f, s:o, s:s*}", "trial", i,
                     "settings", r->chosen, "state", state, "step", (json_int_t)p->step, "steps",
                     (json_int_t)p->steps, "eval_loss", lf_json_finite(lf_sweep_row_loss(r)),
                     "loss", lf_json_finite(p->loss), "tokens", (json_int_t)p->tokens, "seconds",
                     p->seconds, "evals", evals_json(&r->curve.eval), "reason",
                     r->reason[0] ? r->reason : NULL);
}

static json_t *table_json(const struct lf_sweep_table *t)
{
    json_t *trials = json_array();
    for (int i = 0; i < t->n; i++)
        json_array_append_new(trials, row_json(&t->row[i], i));
    return json_pack("{s:s, s:o, s:i, s:o}", "by", "eval_loss", "best",
                     t->best < 0 ? json_null() : json_integer(t->best), "rungs", t->rung, "trials",
                     trials);
}

enum lf_err lf_sweep_table_json(struct lf_buf *out, const struct lf_sweep_table *t)
{
    enum lf_err rc = lf_json_put(out, table_json(t), JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    return rc ?: lf_buf_putc(out, '\n');
}

static void row_read(struct lf_sweep_row *r, const json_t *j)
{
    const char *state = lf_json_text_of(j, "state");
    const json_t *evals = json_object_get(j, "evals"), *loss = json_object_get(j, "loss");
    struct lf_progress *p = &r->progress;
    bool done = strcmp(state, "done") == 0, early = strcmp(state, "ended early") == 0;
    r->state = done ? LF_JOB_DONE : early ? LF_JOB_CANCELLED : LF_JOB_QUEUED;
    p->state = r->state;
    p->step = json_integer_value(json_object_get(j, "step"));
    p->steps = json_integer_value(json_object_get(j, "steps"));
    p->tokens = json_integer_value(json_object_get(j, "tokens"));
    p->seconds = lf_json_real_of(j, "seconds");
    p->loss = json_is_number(loss) ? json_number_value(loss) : (double)NAN;
    for (size_t i = 0; i < json_array_size(evals); i++) {
        const json_t *at = json_array_get(evals, i);
        if (lf_curve_add(&r->curve.eval, json_number_value(json_array_get(at, 0)),
                         json_number_value(json_array_get(at, 1))) != LF_OK)
            return;
    }
    if (done)
        p->eval_loss = lf_sweep_row_loss(r);
}

/* The steps' losses; without them the picture lacks a piece. */
static void row_recall(struct lf_sweep_row *r, int i, const char *log, uint64_t job)
{
    struct lf_curve whole = {0};
    if (lf_train_log_read(&whole, log, job, i, NULL) == LF_OK) {
        struct lf_curve_points evals = whole.eval;
        whole.eval = r->curve.eval; /* of which the table knows */
        r->curve = whole;
        whole = (struct lf_curve){.eval = evals};
    }
    lf_curve_free(&whole);
}

enum lf_err lf_sweep_table_read(struct lf_sweep_table *t, const char *path, const char *log,
                                uint64_t job, struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    enum lf_err rc = lf_json_load(&j, path, diag);
    const json_t *trials = json_object_get(j, "trials"), *best = json_object_get(j, "best");
    if (rc == LF_OK && json_array_size(trials) != (size_t)t->n)
        rc = lf_fail(diag, LF_E_DAMAGED, "%s is of another sweep", path);
    if (rc != LF_OK)
        return rc;
    for (int i = 0; i < t->n; i++) {
        row_read(&t->row[i], json_array_get(trials, (size_t)i));
        row_recall(&t->row[i], i, log, job);
    }
    t->rung = (int)json_integer_value(json_object_get(j, "rungs"));
    json_int_t k = json_is_integer(best) ? json_integer_value(best) : -1;
    t->best = k >= 0 && k < t->n ? (int)k : -1;
    return LF_OK;
}

/* ---- As CSV, and as a picture ---------------------------------------------------------------- */

/* A field of RFC 4180. */
static void csv_text(struct lf_buf *out, const char *text)
{
    bool plain = !strpbrk(text, ",\"\r\n");
    lf_buf_puts(out, plain ? "" : "\"");
    for (; *text; text++) {
        if (*text == '"')
            lf_buf_putc(out, '"');
        lf_buf_putc(out, *text);
    }
    lf_buf_puts(out, plain ? "" : "\"");
}

static void csv_value(struct lf_buf *out, const json_t *v)
{
    char *text = json_is_string(v)
                     ? NULL
                     : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    csv_text(out, json_is_null(v) ? "" : text ? text : json_string_value(v));
    free(text);
}

static void csv_row(struct lf_buf *out, const struct lf_sweep_row *r, const json_t *shown,
                    const char *const *figures)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)r->chosen, key, v) {
        lf_buf_putc(out, ',');
        csv_value(out, v);
    }
    for (; *figures; figures++) {
        lf_buf_putc(out, ',');
        csv_value(out, json_object_get(shown, *figures));
    }
}

enum lf_err lf_sweep_table_csv(struct lf_buf *out, const struct lf_sweep_table *t)
{
    static const char *const figures[] = {"state", "step",   "steps",   "eval_loss",
                                          "loss",  "tokens", "seconds", NULL};
    const char *key;
    json_t *v;
    lf_buf_puts(out, "trial");
    json_object_foreach((json_t *)(uintptr_t)t->row[0].chosen, key, v)
        lf_buf_printf(out, ",%s", key);
    for (size_t k = 0; figures[k]; k++)
        lf_buf_printf(out, ",%s", figures[k]);
    lf_buf_puts(out, ",best\r\n");
    for (int i = 0; i < t->n; i++) {
        json_auto_t *shown = row_json(&t->row[i], i);
        if (!shown)
            return LF_E_NO_MEMORY;
        lf_buf_printf(out, "%d", i);
        csv_row(out, &t->row[i], shown, figures);
        lf_buf_printf(out, ",%d\r\n", i == t->best);
    }
    return out->rc;
}

/* "learning_rate 0.0003, rank 8" */
static void name_of(struct lf_buf *out, const json_t *chosen)
{
    const char *key, *sep = "";
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)chosen, key, v) {
        lf_buf_printf(out, "%s%s ", sep, key);
        csv_value(out, v);
        sep = ", ";
    }
}

enum lf_err lf_sweep_table_svg(struct lf_buf *out, const struct lf_sweep_table *t,
                               const char *title)
{
    struct lf_buf *names = calloc((size_t)t->n, sizeof *names);
    struct lf_curve_run *runs = calloc((size_t)t->n, sizeof *runs);
    enum lf_err rc = names && runs ? LF_OK : LF_E_NO_MEMORY;
    for (int i = 0; i < t->n && rc == LF_OK; i++) {
        name_of(&names[i], t->row[i].chosen);
        runs[i] = (struct lf_curve_run){lf_buf_str(&names[i]), &t->row[i].curve, i == t->best};
    }
    rc = rc ?: lf_curves_svg(out, title, runs, t->n);
    for (int i = 0; i < t->n && names; i++)
        lf_buf_free(&names[i]);
    free(names);
    free(runs);
    return rc;
}
