/* The order of rows, and the weight of each token's loss. */
#include "trainer/plan.h"

#include <math.h>
#include <stdlib.h>

/* Rows of a full step. */
static int64_t step_rows(const struct lf_train_settings *s)
{
    return (int64_t)s->batch_size * s->accumulation;
}

/* Few rows, passed over three times, are too few steps to learn anything. */
static double epochs_of(const struct lf_train_settings *s, int64_t n)
{
    if (s->epochs > 0)
        return s->epochs;
    double wanted = (double)(LF_PLAN_AUTO_STEPS * step_rows(s)) / (double)n;
    return fmin(fmax(wanted, LF_PLAN_AUTO_EPOCHS), LF_PLAN_AUTO_EPOCHS_MOST);
}

enum lf_err lf_plan_init(struct lf_plan *p, const struct lf_dataset *d,
                         const struct lf_train_settings *s, struct lf_diag *diag)
{
    *p = (struct lf_plan){.d = d, .s = s, .epoch = -1, .step = -1};
    int64_t n = lf_dataset_rows(d), full = step_rows(s);
    if (n > UINT32_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "%lld rows are too many", (long long)n);
    p->n_rows = s->steps > 0 ? s->steps * full : llround(epochs_of(s, n) * (double)n);
    if (p->n_rows < 1)
        p->n_rows = 1;
    p->steps = (p->n_rows + full - 1) / full;
    p->order = malloc((size_t)n * sizeof *p->order);
    p->rows = malloc((size_t)(full < p->n_rows ? full : p->n_rows) * sizeof *p->rows);
    p->weight = malloc((size_t)s->accumulation * sizeof *p->weight);
    p->row_weight = malloc((size_t)s->accumulation * sizeof *p->row_weight);
    if (!p->order || !p->rows || !p->weight || !p->row_weight)
        return lf_no_memory(diag, "the order of %lld rows", (long long)n);
    return LF_OK;
}

void lf_plan_free(struct lf_plan *p)
{
    free(p->order);
    free(p->rows);
    free(p->weight);
    free(p->row_weight);
    *p = (struct lf_plan){0};
}

/* Fisher and Yates' shuffle, drawn from the epoch's own key. */
static void shuffle_epoch(struct lf_plan *p, int64_t epoch)
{
    uint32_t n = (uint32_t)lf_dataset_rows(p->d);
    uint64_t key = lf_train_key(p->s->seed, LF_FOR_ORDER, (uint64_t)epoch);
    for (uint32_t i = 0; i < n; i++)
        p->order[i] = i;
    for (uint32_t i = n; p->s->shuffle && i > 1; i--) {
        uint32_t j = (uint32_t)((uint64_t)lf_rng_u32(key, i, 0) * i >> 32);
        uint32_t swap = p->order[i - 1];
        p->order[i - 1] = p->order[j];
        p->order[j] = swap;
    }
    p->epoch = epoch;
}

static bool is_skipped(const struct lf_plan *p, uint32_t i)
{
    struct lf_row row;
    for (int k = 0; k < p->n_skipped; k++) {
        lf_dataset_row(p->d, i, &row);
        if (row.line == p->skipped[k])
            return true;
    }
    return false;
}

static uint32_t row_at(struct lf_plan *p, int64_t position)
{
    int64_t n = lf_dataset_rows(p->d);
    if (position / n != p->epoch)
        shuffle_epoch(p, position / n);
    for (int64_t k = 0; k < n; k++) {
        uint32_t row = p->order[(position + k) % n];
        if (!is_skipped(p, row))
            return row;
    }
    return p->order[position % n];
}

/* Tokens of row i whose mean loss is learnt, by the row's weight: of pairs those of the chosen
 * text, where orpo does. */
static double learnt_tokens(const struct lf_plan *p, int i)
{
    struct lf_row row, texts[2];
    lf_dataset_row(p->d, p->rows[i], &row);
    if (row.n_chosen == row.n)
        return row.weight * row.n_supervised;
    lf_row_texts(&row, texts);
    return texts[0].n_supervised;
}

/* A step's gradient is that of its mean loss, over tokens (or rows, of preferences) or over
 * micro-batches' means; each sequence's tokens are weighted so that gradients just add up to it,
 * however they are batched. */
static void weigh(struct lf_plan *p)
{
    double all = 0, micro = 0;
    int first = 0;
    for (int i = 0; i < p->n; i++) {
        double n = learnt_tokens(p, i);
        all += n;
        micro += n;
        if (lf_plan_ends_micro(p, i)) {
            int k = lf_plan_micro(p, i);
            p->weight[k] = (float)(1.0 / (micro * p->n_micros));
            p->row_weight[k] = (float)(1.0 / ((double)(i + 1 - first) * p->n_micros));
            micro = 0;
            first = i + 1;
        }
    }
    if (p->s->loss_normalization != LF_LOSS_TOKENS)
        return;
    for (int k = 0; k < p->n_micros; k++) {
        p->weight[k] = (float)(1.0 / all);
        p->row_weight[k] = (float)(1.0 / p->n);
    }
}

void lf_plan_go(struct lf_plan *p, int64_t step)
{
    lf_assert(step >= 0 && step < p->steps);
    int64_t first = step * step_rows(p->s), left = p->n_rows - first;
    p->step = step;
    p->n = (int)(left < step_rows(p->s) ? left : step_rows(p->s));
    p->n_micros = lf_plan_micro(p, p->n - 1) + 1;
    for (int i = 0; i < p->n; i++)
        p->rows[i] = row_at(p, first + i);
    weigh(p);
}

uint64_t lf_plan_drop_key(const struct lf_plan *p, int i)
{
    uint64_t key = lf_train_key(p->s->seed, LF_FOR_DROPOUT, (uint64_t)p->step);
    return lf_train_key(key, LF_FOR_DROPOUT, (uint64_t)i);
}
