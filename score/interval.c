/* Bootstrap intervals. */
#include "score/interval.h"

#include "core/num.h"
#include "core/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void lf_row_scores_free(struct lf_row_scores *s)
{
    free(s->v);
    *s = (struct lf_row_scores){0};
}

enum lf_err lf_row_scores_new(struct lf_row_scores *out, size_t n)
{
    *out = (struct lf_row_scores){0};
    if (n == 0 || n > LF_ROW_SCORES_MAX)
        return LF_OK;
    out->v = calloc(n, 1);
    if (!out->v)
        return LF_E_NO_MEMORY;
    out->n = n;
    return LF_OK;
}

void lf_row_scores_set(struct lf_row_scores *s, size_t row, double score)
{
    if (row < s->n)
        s->v[row] = (uint8_t)lround(255 * fmin(fmax(score, 0), 1));
}

enum lf_err lf_row_scores_print(const struct lf_row_scores *s, struct lf_buf *out)
{
    for (size_t i = 0; i < s->n; i++)
        lf_buf_printf(out, "%02x", s->v[i]);
    return out->rc;
}

enum lf_err lf_row_scores_parse(struct lf_row_scores *out, const char *hex)
{
    size_t digits = strlen(hex);
    *out = (struct lf_row_scores){0};
    if (digits % 2 || digits / 2 > LF_ROW_SCORES_MAX)
        return LF_E_INVALID;
    enum lf_err rc = lf_row_scores_new(out, digits / 2);
    for (size_t i = 0; i < out->n && rc == LF_OK; i++) {
        int high = lf_hex_digit(hex[2 * i]), low = lf_hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            rc = LF_E_INVALID;
        else
            out->v[i] = (uint8_t)(16 * high + low);
    }
    if (rc != LF_OK)
        lf_row_scores_free(out);
    return rc;
}

/* The sum of n rows' values, drawn for the k-th time. before: NULL, or what is taken off. */
static int64_t drawn_sum(const uint8_t *after, const uint8_t *before, size_t n, uint64_t k)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i += 4) {
        struct lf_u32x4 r = lf_rng4(LF_BOOTSTRAPS, i, k);
        for (size_t j = 0; j < 4 && i + j < n; j++) {
            size_t row = (size_t)(((uint64_t)r.v[j] * n) >> 32);
            sum += after[row] - (before ? before[row] : 0);
        }
    }
    return sum;
}

static enum lf_err bootstrap(struct lf_interval *out, const uint8_t *after, const uint8_t *before,
                             size_t n)
{
    *out = (struct lf_interval){NAN, NAN};
    if (n == 0)
        return LF_OK;
    double *means = malloc(LF_BOOTSTRAPS * sizeof *means);
    if (!means)
        return LF_E_NO_MEMORY;
    for (size_t k = 0; k < LF_BOOTSTRAPS; k++)
        means[k] = (double)drawn_sum(after, before, n, k) / (255.0 * (double)n);
    qsort(means, LF_BOOTSTRAPS, sizeof *means, lf_order_double);
    size_t tail = LF_BOOTSTRAPS / 40;
    *out = (struct lf_interval){means[tail], means[LF_BOOTSTRAPS - 1 - tail]};
    free(means);
    return LF_OK;
}

enum lf_err lf_score_interval(struct lf_interval *out, const struct lf_row_scores *s)
{
    return bootstrap(out, s->v, NULL, s->n);
}

enum lf_err lf_lift_interval(struct lf_interval *out, const struct lf_row_scores *after,
                             const struct lf_row_scores *before)
{
    return bootstrap(out, after->v, before->v, after->n == before->n ? after->n : 0);
}
