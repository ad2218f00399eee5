/* The tokenizer's speed: real texts, there and back, on one thread. */
#include "bench/bench.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/num.h"
#include "core/str.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 1024 /* a text is whole lines of at least this much: a row of a dataset */

static double seconds_since(uint64_t start)
{
    return (double)(lf_clock_thread_ns() - start) / 1e9;
}

/* The next text of the file, or none. */
static bool next_text(struct lf_str *rest, struct lf_str *text)
{
    if (rest->n == 0)
        return false;
    size_t from = rest->n < TEXT_BYTES ? rest->n : TEXT_BYTES;
    const char *newline = memchr(rest->s + from, '\n', rest->n - from);
    size_t n = newline ? (size_t)(newline - rest->s) + 1 : rest->n;
    *text = (struct lf_str){rest->s, n};
    *rest = (struct lf_str){rest->s + n, rest->n - n};
    return true;
}

/* All texts once. ids keeps those of all of them, one after the other. */
static enum lf_err encode_all(struct lf_bench_tokens *r, double *seconds, struct lf_ids *ids,
                              const struct lf_tokenizer *t, struct lf_str file,
                              struct lf_diag *diag)
{
    struct lf_str text;
    enum lf_err rc = LF_OK;
    r->texts = 0;
    ids->n = 0;
    uint64_t start = lf_clock_thread_ns();
    while (rc == LF_OK && next_text(&file, &text)) {
        rc = lf_tokenizer_encode(t, ids, text.s, text.n, false, diag);
        r->texts++;
    }
    *seconds = seconds_since(start);
    r->tokens = ids->n;
    return rc;
}

static enum lf_err decode_all(double *seconds, const struct lf_tokenizer *t,
                              const struct lf_ids *ids, struct lf_diag *diag)
{
    lf_buf_auto out = {0};
    uint64_t start = lf_clock_thread_ns();
    enum lf_err rc = lf_tokenizer_decode(t, &out, ids->ids, ids->n, false);
    *seconds = seconds_since(start);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory to decode %zu tokens", ids->n);
}

double lf_bench_median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, lf_order_double);
    return v[n / 2];
}

static enum lf_err run(struct lf_bench_tokens *r, const struct lf_tokenizer *t, struct lf_str file,
                       int iters, struct lf_diag *diag)
{
    lf_ids_auto ids = {0};
    double *encode = calloc((size_t)iters, sizeof *encode);
    double *decode = calloc((size_t)iters, sizeof *decode);
    enum lf_err rc = LF_OK;
    if (!encode || !decode)
        rc = lf_no_memory(diag, "%d figures", iters);
    rc = rc ?: encode_all(r, &r->first_seconds, &ids, t, file, diag);
    for (int i = 0; i < iters && rc == LF_OK; i++) {
        rc = encode_all(r, &encode[i], &ids, t, file, diag);
        rc = rc ?: decode_all(&decode[i], t, &ids, diag);
    }
    if (rc == LF_OK) {
        r->bytes = file.n;
        r->encode_seconds = lf_bench_median(encode, iters);
        r->decode_seconds = lf_bench_median(decode, iters);
    }
    free(encode);
    free(decode);
    return rc;
}

enum lf_err lf_bench_tokenize(struct lf_bench_tokens *out, const char *base, const char *path,
                              int iters, struct lf_diag *diag)
{
    struct lf_bench_tokens r = {0};
    struct lf_tokenizer *t;
    lf_mapping_auto m = {0};
    enum lf_err rc = lf_tokenizer_open(&t, base, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_file_map(&m, path, diag);
    if (rc == LF_OK)
        rc = m.bytes ? run(&r, t, (struct lf_str){m.data, m.bytes}, iters, diag)
                     : lf_fail(diag, LF_E_INVALID, "%s: an empty file", path);
    if (rc == LF_OK)
        *out = r;
    lf_tokenizer_free(t);
    return rc;
}
