/* The heuristics of a task's texts. */
#include "land/features.h"

#include "land/stats.h"
#include "score/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Six measurements of each row, a column each. */
enum feature { INPUT, OUTPUT, EXAMPLE, SIMILARITY, COMPRESS, COLUMNS };

static enum lf_err count_tokens(double *out, const struct lf_tokenizer *tok, const char *text,
                                struct lf_ids *ids, struct lf_diag *diag)
{
    ids->n = 0;
    enum lf_err rc = lf_tokenizer_encode(tok, ids, text, strlen(text), false, diag);
    *out = (double)ids->n;
    return rc;
}

/* Deflated bytes over bytes of the row's text; 1 for an empty one. */
static enum lf_err compressibility(double *out, const struct lf_land_row *r, struct lf_buf *text,
                                   struct lf_buf *packed, struct lf_diag *diag)
{
    lf_buf_reset(text);
    lf_buf_puts(text, r->prompt);
    enum lf_err rc = lf_buf_puts(text, r->completion);
    lf_buf_reset(packed);
    uLongf room = compressBound((uLong)text->len);
    while (rc == LF_OK && packed->len < room)
        rc = lf_buf_append(packed, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    if (rc != LF_OK)
        return lf_fail(diag, rc, "no memory to compress a row of %zu bytes", text->len);
    int z = compress2((Bytef *)packed->data, &room, (const Bytef *)text->data, (uLong)text->len, 9);
    if (z != Z_OK)
        return lf_fail(diag, LF_E_NO_MEMORY, "zlib: %s", zError(z));
    *out = text->len ? (double)room / (double)text->len : 1;
    return LF_OK;
}

static enum lf_err measure_lengths(double *x, size_t n, const struct lf_tokenizer *tok,
                                   const struct lf_land_row *rows, struct lf_diag *diag)
{
    lf_ids_auto ids = {0};
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < n && rc == LF_OK; i++) {
        rc = count_tokens(&x[INPUT * n + i], tok, rows[i].prompt, &ids, diag);
        rc = rc ?: count_tokens(&x[OUTPUT * n + i], tok, rows[i].completion, &ids, diag);
        x[EXAMPLE * n + i] = x[INPUT * n + i] + x[OUTPUT * n + i];
    }
    return rc;
}

/* Similarity and compressibility of every step-th row, packed to the front of their columns; *m of
 * them. */
static enum lf_err measure_texts(double *x, size_t n, size_t *m, const struct lf_land_row *rows,
                                 struct lf_diag *diag)
{
    lf_buf_auto text = {0}, packed = {0};
    const struct lf_metric *rouge = lf_metric_find("rouge_l");
    size_t step = (n + LF_LAND_FEATURE_ROWS - 1) / LF_LAND_FEATURE_ROWS;
    enum lf_err rc = LF_OK;
    *m = 0;
    for (size_t i = 0; i < n && rc == LF_OK; i += step) {
        const struct lf_answer a = {rows[i].completion, rows[i].prompt, NULL};
        rc = lf_metric_score(&x[SIMILARITY * n + *m], rouge, &a, diag);
        rc = rc ?: compressibility(&x[COMPRESS * n + *m], &rows[i], &text, &packed, diag);
        ++*m;
    }
    return rc;
}

enum lf_err lf_land_features(double *out, const struct lf_tokenizer *tok,
                             const struct lf_land_row *rows, size_t n, size_t total,
                             struct lf_diag *diag)
{
    static const enum lf_land_feature lengths[] = {LF_LAND_INPUT_MEAN, LF_LAND_OUTPUT_MEAN,
                                                   LF_LAND_EXAMPLE_MEAN};
    static const enum lf_land_feature texts[] = {LF_LAND_SIMILARITY_MEAN, LF_LAND_COMPRESS_MEAN};
    double got[LF_LAND_FEATURES];
    double *x = calloc(n ? n * COLUMNS : 1, sizeof *x);
    size_t m = 0;
    enum lf_err rc = x ? measure_lengths(x, n, tok, rows, diag)
                       : lf_fail(diag, LF_E_NO_MEMORY, "no memory to measure %zu rows", n);
    rc = rc ?: measure_texts(x, n, &m, rows, diag);
    struct lf_summary s;
    for (int i = 0; i < 3 && rc == LF_OK; i++) {
        rc = lf_stat_summary(&s, x + (size_t)i * n, n);
        got[lengths[i]] = s.mean;
        got[lengths[i] + 1] = s.sigma;
        got[lengths[i] + 2] = s.p95;
    }
    for (int i = 0; i < 2 && rc == LF_OK; i++) {
        rc = lf_stat_summary(&s, x + (size_t)(SIMILARITY + i) * n, m);
        got[texts[i]] = s.mean;
        got[texts[i] + 1] = s.sigma;
    }
    got[LF_LAND_EXAMPLES] = (double)total;
    if (rc == LF_OK)
        memcpy(out, got, sizeof got);
    free(x);
    return rc;
}
