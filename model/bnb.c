/* bitsandbytes' serialisation of 4-bit matrices: reading it, and quantising into it. */
#include "model/bnb.h"

#include "core/json.h"
#include "gpu/nf4.h"
#include "model/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading --------------------------------------------------------------------------------- */

static const struct lf_tensor *part(const struct lf_tensors *ts, const char *name,
                                    const char *suffix)
{
    char full[LF_BNB_NAME_MAX];
    if (snprintf(full, sizeof full, "%s.%s", name, suffix) >= (int)sizeof full)
        return NULL;
    return lf_tensors_find(ts, full);
}

static bool power_of_two(int64_t x)
{
    return x > 0 && (x & (x - 1)) == 0;
}

/* Fills block, block2 and offset; checks that the state speaks of this matrix. */
static enum lf_err check_state(struct lf_weight *w, const json_t *state, bool nested,
                               struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(state, diag);
    w->block = lf_json_int(&in, "blocksize", 0, 32, 4096);
    w->block2 = nested ? lf_json_int(&in, "nested_blocksize", 0, 1, 1 << 20) : 0;
    w->offset = nested ? (float)lf_json_real(&in, "nested_offset", 0, -1e30, 1e30) : 0;
    if (in.rc != LF_OK)
        return in.rc;
    if (!power_of_two(w->block) || (nested && !power_of_two(w->block2)))
        return lf_fail(diag, LF_E_UNSUPPORTED, "block sizes %d and %d are not powers of two",
                       w->block, w->block2);
    const json_t *shape = json_object_get(state, "shape");
    if (json_array_size(shape) != 2 || json_integer_value(json_array_get(shape, 0)) != w->N ||
        json_integer_value(json_array_get(shape, 1)) != w->K)
        return lf_fail(diag, LF_E_DAMAGED, "its shape is not (%d, %d)", w->N, w->K);
    return LF_OK;
}

static enum lf_err read_state(struct lf_weight *w, const struct lf_tensors *ts, const char *name,
                              bool nested, struct lf_diag *diag)
{
    const struct lf_tensor *t = part(ts, name, "quant_state.bitsandbytes__nf4");
    if (!t)
        t = part(ts, name, "quant_state.bitsandbytes__fp4");
    if (!t || t->dtype != LF_U8)
        return lf_fail(diag, LF_E_DAMAGED, "its quant_state is missing");
    json_t *state;
    enum lf_err rc = lf_json_parse(&state, t->data, t->bytes, diag);
    if (rc == LF_OK) {
        rc = check_state(w, state, nested, diag);
        json_decref(state);
    }
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "quant_state");
}

/* A part of exactly n elements of a dtype. out: the address of the pointer to set. */
static enum lf_err read_part(void *out, const struct lf_tensors *ts, const char *name,
                             const char *suffix, enum lf_dtype dtype, size_t n,
                             struct lf_diag *diag)
{
    const struct lf_tensor *t = part(ts, name, suffix);
    if (!t)
        return lf_fail(diag, LF_E_DAMAGED, "its %s is missing", suffix);
    if (t->dtype != dtype || t->bytes != n * lf_dtype_bytes(dtype))
        return lf_fail(diag, LF_E_DAMAGED, "its %s does not have %zu elements of its dtype", suffix,
                       n);
    memcpy(out, &t->data, sizeof t->data);
    return LF_OK;
}

static enum lf_err read_parts(struct lf_weight *w, const struct lf_tensors *ts, const char *name,
                              const struct lf_tensor *codes, struct lf_diag *diag)
{
    size_t n = (size_t)w->N * (size_t)w->K;
    bool nested = part(ts, name, "nested_absmax") != NULL;
    if (n % 2 != 0 || codes->bytes != n / 2)
        return lf_fail(diag, LF_E_DAMAGED, "%zu bytes of codes are not those of (%d, %d)",
                       codes->bytes, w->N, w->K);
    w->data = codes->data;
    enum lf_err rc = read_state(w, ts, name, nested, diag);
    rc = rc ?: read_part(&w->code, ts, name, "quant_map", LF_F32, 16, diag);
    if (rc == LF_OK && !nested)
        rc = read_part(&w->absmax, ts, name, "absmax", LF_F32, lf_bnb_blocks(w), diag);
    if (rc != LF_OK || !nested)
        return rc;
    rc = read_part(&w->absmax_q, ts, name, "absmax", LF_U8, lf_bnb_blocks(w), diag);
    rc = rc ?: read_part(&w->absmax2, ts, name, "nested_absmax", LF_F32, lf_bnb_blocks2(w), diag);
    return rc ?: read_part(&w->absmax_code, ts, name, "nested_quant_map", LF_F32, 256, diag);
}

bool lf_bnb_is_part(const struct lf_tensors *ts, const char *name)
{
    static const char *const suffixes[] = {".absmax",
                                           ".quant_map",
                                           ".nested_absmax",
                                           ".nested_quant_map",
                                           ".quant_state.bitsandbytes__nf4",
                                           ".quant_state.bitsandbytes__fp4"};
    char matrix[LF_BNB_NAME_MAX];
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t n = strlen(name), k = strlen(suffixes[i]);
        if (n <= k || n - k >= sizeof matrix || strcmp(name + n - k, suffixes[i]) != 0)
            continue;
        snprintf(matrix, sizeof matrix, "%.*s", (int)(n - k), name);
        if (lf_tensors_find(ts, matrix))
            return true;
    }
    return false;
}

enum lf_err lf_bnb_read(bool *found, struct lf_weight *w, const struct lf_tensors *ts,
                        const char *name, int N, int K, struct lf_diag *diag)
{
    const struct lf_tensor *codes = lf_tensors_find(ts, name);
    *found = codes && part(ts, name, "quant_map");
    if (!*found)
        return LF_OK;
    struct lf_weight r = {.kind = LF_WEIGHT_Q4, .N = N, .K = K};
    enum lf_err rc = read_parts(&r, ts, name, codes, diag);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc, "4-bit tensor \"%.128s\"", name);
    *w = r;
    return LF_OK;
}

/* ---- Quantising ------------------------------------------------------------------------------ */

/* The codes are made where the stream computes; the scales of scales, a sixty-fourth of the
 * numbers, on the host. */
struct lf_bnb_quantizer {
    struct lf_stream *s;
    struct lf_pool *pool;
    size_t cap, x_bytes; /* elements, and bytes of them as stored, that the buffers hold */
    uint8_t *codes, *absmax_q;
    float *absmax, *absmax2;
    struct {
        void *x;
        uint8_t *codes;
        float *absmax;
    } device; /* NULL where the device computes in host memory */
};

enum lf_err lf_bnb_quantizer_new(struct lf_bnb_quantizer **out, struct lf_stream *s,
                                 struct lf_diag *diag)
{
    struct lf_bnb_quantizer *q = calloc(1, sizeof *q);
    if (!q)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory to quantise");
    q->s = s;
    enum lf_err rc = lf_pool_new(&q->pool, 0, diag);
    if (rc == LF_OK)
        *out = q;
    else
        free(q);
    return rc;
}

static void buffers_free(struct lf_bnb_quantizer *q)
{
    struct lf_device *dev = q->s->dev;
    lf_device_release_host(dev, q->codes);
    lf_device_release_host(dev, q->absmax);
    free(q->absmax_q);
    free(q->absmax2);
    lf_device_release(dev, q->device.x);
    lf_device_release(dev, q->device.codes);
    lf_device_release(dev, q->device.absmax);
    *q = (struct lf_bnb_quantizer){.s = q->s, .pool = q->pool};
}

void lf_bnb_quantizer_free(struct lf_bnb_quantizer *q)
{
    if (!q)
        return;
    buffers_free(q);
    lf_pool_free(q->pool);
    free(q);
}

static enum lf_err buffers_make(struct lf_bnb_quantizer *q, size_t n, size_t x_bytes,
                                struct lf_diag *diag)
{
    struct lf_device *dev = q->s->dev;
    size_t blocks = (n + LF_NF4_BLOCK - 1) / LF_NF4_BLOCK, absmax_bytes = blocks * sizeof(float);
    void *codes = NULL, *absmax = NULL, *on_device[3] = {NULL};
    enum lf_err rc = lf_device_alloc_host(dev, &codes, n / 2, diag);
    rc = rc ?: lf_device_alloc_host(dev, &absmax, absmax_bytes, diag);
    if (!lf_device_on_host(dev)) {
        const size_t bytes[3] = {x_bytes, n / 2, absmax_bytes};
        for (int i = 0; i < 3 && rc == LF_OK; i++)
            rc = lf_device_alloc(dev, &on_device[i], bytes[i], diag);
    }
    q->codes = codes;
    q->absmax = absmax;
    q->absmax_q = malloc(blocks);
    q->absmax2 = malloc((blocks / LF_NF4_BLOCK2 + 1) * sizeof *q->absmax2);
    q->device.x = on_device[0];
    q->device.codes = on_device[1];
    q->device.absmax = on_device[2];
    if (rc == LF_OK && (!q->absmax_q || !q->absmax2))
        rc = lf_fail(diag, LF_E_NO_MEMORY, "no memory to quantise %zu weights", n);
    return rc;
}

static enum lf_err buffers_grow(struct lf_bnb_quantizer *q, size_t n, size_t x_bytes,
                                struct lf_diag *diag)
{
    if (n <= q->cap && x_bytes <= q->x_bytes)
        return LF_OK;
    n = n > q->cap ? n : q->cap;
    x_bytes = x_bytes > q->x_bytes ? x_bytes : q->x_bytes;
    buffers_free(q);
    enum lf_err rc = buffers_make(q, n, x_bytes, diag);
    if (rc != LF_OK) {
        buffers_free(q);
        return rc;
    }
    q->cap = n;
    q->x_bytes = x_bytes;
    return LF_OK;
}

/* Codes and scales of n weights, into the host buffers. */
static enum lf_err quantise_blocks(struct lf_bnb_quantizer *q, const struct lf_tensor *t, size_t n,
                                   struct lf_diag *diag)
{
    struct lf_nf4_args a = {
        .codes = q->codes, .absmax = q->absmax, .x = t->data, .dtype = t->dtype, .n = n};
    if (q->device.x) {
        a.x = q->device.x;
        a.codes = q->device.codes;
        a.absmax = q->device.absmax;
        lf_stream_upload(q->s, q->device.x, t->data, n * lf_dtype_bytes(t->dtype));
    }
    q->s->ops->nf4(q->s, &a);
    if (q->device.x) {
        lf_stream_download(q->s, q->codes, a.codes, n / 2);
        lf_stream_download(q->s, q->absmax, a.absmax,
                           (n + LF_NF4_BLOCK - 1) / LF_NF4_BLOCK * sizeof *q->absmax);
    }
    return lf_stream_wait(q->s, diag);
}

enum lf_err lf_bnb_quantize(struct lf_bnb_quantizer *q, struct lf_weight *w,
                            const struct lf_tensor *t, int N, int K, struct lf_diag *diag)
{
    size_t n = (size_t)N * (size_t)K;
    if (n % 2 != 0)
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "tensor \"%.128s\": an odd number of weights "
                       "cannot be quantised",
                       t->name);
    enum lf_err rc = buffers_grow(q, n, n * lf_dtype_bytes(t->dtype), diag);
    rc = rc ?: quantise_blocks(q, t, n, diag);
    if (rc != LF_OK)
        return rc;
    *w = (struct lf_weight){
        .kind = LF_WEIGHT_Q4,
        .N = N,
        .K = K,
        .data = q->codes,
        .block = LF_NF4_BLOCK,
        .block2 = LF_NF4_BLOCK2,
        .code = lf_nf4_code,
        .absmax_q = q->absmax_q,
        .absmax_code = lf_dynamic_map,
        .absmax2 = q->absmax2,
    };
    lf_nf4_quantize_scales(q->absmax_q, q->absmax2, &w->offset, q->absmax, lf_bnb_blocks(w),
                           q->pool);
    if (!isfinite(w->offset))
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.128s\": its weights are not all finite",
                       t->name);
    return LF_OK;
}

void lf_bnb_state(char out[LF_BNB_STATE_MAX], const struct lf_weight *w, enum lf_dtype dtype)
{
    const char *name = dtype == LF_BF16 ? "bfloat16" : dtype == LF_F16 ? "float16" : "float32";
    snprintf(out, LF_BNB_STATE_MAX,
             "{\"quant_type\": \"nf4\", \"blocksize\": %d, \"dtype\": \"%s\", \"shape\": [%d, %d], "
             "\"nested_blocksize\": %d, \"nested_dtype\": \"float32\", \"nested_offset\": %.17g}",
             w->block, name, w->N, w->K, w->block2, (double)w->offset);
}
