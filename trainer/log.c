/* The log of a job: events to lines, lines to a curve. */
#include "trainer/log.h"

#include "core/json.h"
#include "trainer/lines.h"
#include "trainer/curve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *lf_job_state_name(enum lf_job_state s)
{
    static const char *const names[] = {"running", "paused", "done", "failed", "cancelled"};
    return names[s];
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void put_real(struct lf_buf *out, const char *key, double x)
{
    lf_buf_printf(out, ", \"%s\": ", key);
    if (isfinite(x))
        lf_buf_printf(out, "%.7g", x);
    else
        lf_buf_puts(out, "null");
}

static void put_text(struct lf_buf *out, const char *key, const char *text)
{
    lf_buf_printf(out, ", \"%s\": \"", key);
    lf_buf_json(out, text, strlen(text));
    lf_buf_putc(out, '"');
}

static void put_step(struct lf_buf *out, const struct lf_train_event *e)
{
    lf_buf_printf(out, ", \"steps\": %lld", (long long)e->steps);
    put_real(out, "loss", e->loss);
    put_real(out, "grad_norm", e->grad_norm);
    put_real(out, "lr", e->learning_rate);
    lf_buf_printf(out, ", \"tokens\": %lld", (long long)e->tokens);
    put_real(out, "tokens_per_second", e->tokens_per_second);
}

enum lf_err lf_train_log_line(struct lf_buf *out, const struct lf_train_event *e)
{
    long long step = (long long)e->step + (e->kind == LF_TRAIN_MICRO);
    lf_buf_printf(out, "{\"step\": %lld", step);
    switch (e->kind) {
    case LF_TRAIN_MICRO:
        lf_buf_printf(out, ", \"micro\": %d", e->micro);
        put_real(out, "micro_loss", e->micro_loss);
        break;
    case LF_TRAIN_STEP:
        put_step(out, e);
        break;
    case LF_TRAIN_EVAL:
        put_real(out, "eval_loss", e->eval_loss);
        break;
    case LF_TRAIN_CHECKPOINT:
        if (e->reason)
            put_text(out, "checkpoint_error", e->reason);
        else
            lf_buf_puts(out, ", \"checkpoint\": true");
        break;
    case LF_TRAIN_END:
        put_text(out, "state", lf_job_state_name(e->state));
        if (e->reason)
            put_text(out, "reason", e->reason);
        break;
    }
    return lf_buf_puts(out, "}\n");
}

/* ---- The curve ------------------------------------------------------------------------------- */

struct points {
    struct lf_curve_point *p;
    size_t n, cap;
};

/* Appends a point; those of its step and later ones, told before, no longer hold. */
static enum lf_err tell(struct points *l, double step, double loss)
{
    while (l->n > 0 && l->p[l->n - 1].step >= step)
        l->n--;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 256;
        struct lf_curve_point *p = realloc(l->p, cap * sizeof *p);
        if (!p)
            return LF_E_NO_MEMORY;
        l->p = p;
        l->cap = cap;
    }
    l->p[l->n++] = (struct lf_curve_point){step, loss};
    return LF_OK;
}

static enum lf_err tell_line(struct points *train, struct points *eval, const json_t *line)
{
    const json_t *step = json_object_get(line, "step"), *loss = json_object_get(line, "loss");
    const json_t *eval_loss = json_object_get(line, "eval_loss");
    if (json_is_integer(step) && json_is_number(loss))
        return tell(train, json_number_value(step), json_number_value(loss));
    if (json_is_integer(step) && json_is_number(eval_loss))
        return tell(eval, json_number_value(step), json_number_value(eval_loss));
    return LF_OK;
}

enum lf_err lf_train_log_curve(struct lf_buf *out, const char *log_path, const char *title,
                               struct lf_diag *diag)
{
    struct points train = {NULL, 0, 0}, eval = train;
    struct lf_lines l;
    const char *text = NULL;
    size_t n;
    enum lf_err rc = lf_lines_open(&l, log_path, diag);
    while (rc == LF_OK && (rc = lf_lines_next(&l, &text, &n, diag)) == LF_OK && text) {
        json_t *line;
        if (lf_json_parse(&line, text, n, NULL) != LF_OK)
            continue;
        if (tell_line(&train, &eval, line) != LF_OK)
            rc = lf_fail(diag, LF_E_NO_MEMORY, "no memory for a curve");
        json_decref(line);
    }
    lf_lines_close(&l);
    if (rc == LF_OK) {
        rc = lf_curve_svg(out, title, train.p, train.n, eval.p, eval.n);
        if (rc != LF_OK)
            lf_fail(diag, rc, "no memory for a curve");
    }
    free(train.p);
    free(eval.p);
    return rc;
}
