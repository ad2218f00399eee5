/* Quantised copies on disk: a base's 4-bit cache, and `lorafs quantize`, which writes the
 * checkpoint that transformers with bitsandbytes writes. Streamed: one matrix in memory at a time.
 */
#include "model/quantize.h"

#include "core/buf.h"
#include "core/file.h"
#include "core/json.h"
#include "model/bnb.h"
#include "model/companions.h"
#include "model/limits.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One block linear of the file. */
struct linear {
    char name[LF_BNB_NAME_MAX]; /* ...weight */
    const struct lf_tensor *t;
    size_t codes, absmax, map, absmax2, map2; /* writer's indices */
    char state[LF_BNB_STATE_MAX];
};

struct quantizing {
    struct lf_stream *s;
    const struct lf_tensors *ts;
    struct lf_tensors_writer *w;
    struct lf_bnb_quantizer *q;
    struct linear *linears;
    size_t n_linears;
    bool *is_linear; /* by tensor index */
    size_t *rest;    /* writer's indices of the other tensors, by tensor index */
    bool with_rest;
    const struct lf_reporter *progress;
};

/* ---- What there is --------------------------------------------------------------------------- */

static enum lf_err find_linear(struct quantizing *j, struct linear *lin, const struct lf_config *c,
                               int layer, int p, struct lf_diag *diag)
{
    const struct lf_proj *proj = &c->proj[p];
    snprintf(lin->name, sizeof lin->name, "model.layers.%d.%s.weight", layer, proj->module);
    lin->t = lf_tensors_find(j->ts, lin->name);
    if (!lin->t)
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%s\" is missing", lin->name);
    if (lin->t->dtype != LF_F32 && lin->t->dtype != LF_BF16 && lin->t->dtype != LF_F16)
        return lf_fail(diag, LF_E_INVALID,
                       "tensor \"%s\" is not fp32, fp16 or bf16: is the base "
                       "quantised already?",
                       lin->name);
    if (lin->t->n_dims != 2 || lin->t->dims[0] != proj->N || lin->t->dims[1] != proj->K)
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%s\" is not (%d, %d)", lin->name, proj->N,
                       proj->K);
    return LF_OK;
}

static enum lf_err job_open(struct quantizing *j, const struct lf_config *c, struct lf_diag *diag)
{
    size_t n = lf_tensors_count(j->ts);
    j->n_linears = (size_t)lf_config_sites(c);
    j->linears = calloc(j->n_linears, sizeof *j->linears);
    j->is_linear = calloc(n + 1, sizeof *j->is_linear);
    j->rest = calloc(n + 1, sizeof *j->rest);
    if (!j->linears || !j->is_linear || !j->rest)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory to quantise");
    enum lf_err rc = lf_bnb_quantizer_new(&j->q, j->s, diag);
    for (int i = 0; i < (int)j->n_linears && rc == LF_OK; i++) {
        rc = find_linear(j, &j->linears[i], c, i / c->n_proj, i % c->n_proj, diag);
        if (rc == LF_OK)
            j->is_linear[j->linears[i].t - lf_tensors_at(j->ts, 0)] = true;
    }
    return rc;
}

static void job_close(struct quantizing *j)
{
    lf_tensors_writer_free(j->w);
    lf_bnb_quantizer_free(j->q);
    free(j->linears);
    free(j->is_linear);
    free(j->rest);
}

/* ---- Places in the file: larger elements first, so that all are aligned ---------------------- */

static enum lf_err add_part(struct quantizing *j, size_t *index, const struct linear *lin,
                            const char *suffix, enum lf_dtype dtype, size_t n, struct lf_diag *diag)
{
    char name[LF_BNB_NAME_MAX + 48];
    snprintf(name, sizeof name, "%s%s", lin->name, suffix);
    struct lf_tensor t = {.name = name, .dtype = dtype, .n_dims = 1, .dims = {(int64_t)n}};
    if (!suffix[0]) { /* the codes are a column */
        t.n_dims = 2;
        t.dims[1] = 1;
    }
    return lf_tensors_add(j->w, &t, index, diag);
}

static enum lf_err add_linear(struct quantizing *j, struct linear *lin, size_t element,
                              struct lf_diag *diag)
{
    struct lf_weight w = {
        .N = (int)lin->t->dims[0], .K = (int)lin->t->dims[1], .block = 64, .block2 = 256};
    size_t n = (size_t)w.N * (size_t)w.K;
    enum lf_err rc = LF_OK;
    if (element == 4) {
        rc = add_part(j, &lin->map, lin, ".quant_map", LF_F32, 16, diag);
        if (rc == LF_OK)
            rc =
                add_part(j, &lin->absmax2, lin, ".nested_absmax", LF_F32, lf_bnb_blocks2(&w), diag);
        rc = rc ?: add_part(j, &lin->map2, lin, ".nested_quant_map", LF_F32, 256, diag);
    } else if (element == 1) {
        rc = add_part(j, &lin->codes, lin, "", LF_U8, n / 2, diag);
        rc = rc ?: add_part(j, &lin->absmax, lin, ".absmax", LF_U8, lf_bnb_blocks(&w), diag);
    }
    return rc;
}

static enum lf_err add_all(struct quantizing *j, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t element = 8; element > 0 && rc == LF_OK; element /= 2) {
        for (size_t i = 0; i < lf_tensors_count(j->ts) && rc == LF_OK; i++) {
            const struct lf_tensor *t = lf_tensors_at(j->ts, i);
            if (j->with_rest && !j->is_linear[i] && lf_dtype_bytes(t->dtype) == element)
                rc = lf_tensors_add(j->w, t, &j->rest[i], diag);
        }
        for (size_t i = 0; i < j->n_linears && rc == LF_OK; i++)
            rc = add_linear(j, &j->linears[i], element, diag);
    }
    return rc;
}

/* ---- Data ------------------------------------------------------------------------------------ */

static enum lf_err put_linear(struct quantizing *j, struct linear *lin, struct lf_diag *diag)
{
    struct lf_weight w;
    enum lf_err rc =
        lf_bnb_quantize(j->q, &w, lin->t, (int)lin->t->dims[0], (int)lin->t->dims[1], diag);
    if (rc != LF_OK)
        return rc;
    lf_bnb_state(lin->state, &w, lin->t->dtype);
    rc = lf_tensors_put(j->w, lin->codes, w.data, diag);
    rc = rc ?: lf_tensors_put(j->w, lin->absmax, w.absmax_q, diag);
    rc = rc ?: lf_tensors_put(j->w, lin->map, w.code, diag);
    rc = rc ?: lf_tensors_put(j->w, lin->absmax2, w.absmax2, diag);
    return rc ?: lf_tensors_put(j->w, lin->map2, w.absmax_code, diag);
}

/* The states come last: their lengths are known only when the offsets are. */
static enum lf_err put_states(struct quantizing *j, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < j->n_linears && rc == LF_OK; i++) {
        struct linear *lin = &j->linears[i];
        size_t index;
        rc = add_part(j, &index, lin, ".quant_state.bitsandbytes__nf4", LF_U8, strlen(lin->state),
                      diag);
        rc = rc ?: lf_tensors_put(j->w, index, lin->state, diag);
    }
    return rc;
}

static enum lf_err put_all(struct quantizing *j, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < lf_tensors_count(j->ts) && rc == LF_OK; i++)
        if (j->with_rest && !j->is_linear[i])
            rc = lf_tensors_put(j->w, j->rest[i], lf_tensors_at(j->ts, i)->data, diag);
    for (size_t i = 0; i < j->n_linears && rc == LF_OK; i++) {
        lf_reporter_say(j->progress, (double)i / (double)j->n_linears, "quantising");
        rc = put_linear(j, &j->linears[i], diag);
    }
    return rc ?: put_states(j, diag);
}

enum lf_err lf_quantize_file(const char *path, struct lf_stream *s, const struct lf_tensors *ts,
                             const struct lf_config *c, bool with_rest,
                             const struct lf_reporter *progress, struct lf_diag *diag)
{
    struct quantizing j = {.s = s, .ts = ts, .with_rest = with_rest, .progress = progress};
    enum lf_err rc = job_open(&j, c, diag);
    if (rc == LF_OK) {
        size_t n = lf_tensors_count(ts) + 6 * j.n_linears, names = 0;
        for (size_t i = 0; i < lf_tensors_count(ts); i++)
            names += strlen(lf_tensors_at(ts, i)->name);
        names += 6 * j.n_linears * (LF_BNB_NAME_MAX + 48);
        rc = lf_tensors_create(&j.w, path, n, names, diag);
    }
    rc = rc ?: add_all(&j, diag);
    rc = rc ?: put_all(&j, diag);
    rc = rc ?: lf_tensors_commit(j.w, diag);
    job_close(&j);
    return rc;
}

/* ---- lorafs quantize ------------------------------------------------------------------------- */

/* What transformers writes for BitsAndBytesConfig(load_in_4bit, nf4, double quantisation). */
static json_t *quantization_config(void)
{
    return json_pack("{s:b,s:b,s:s,s:s,s:s,s:b,s:b,s:b,s:n,s:f,s:b,s:b,s:s}", "_load_in_4bit", 1,
                     "_load_in_8bit", 0, "bnb_4bit_compute_dtype", "bfloat16",
                     "bnb_4bit_quant_storage", "uint8", "bnb_4bit_quant_type", "nf4",
                     "bnb_4bit_use_double_quant", 1, "llm_int8_enable_fp32_cpu_offload", 0,
                     "llm_int8_has_fp16_weight", 0, "llm_int8_skip_modules", "llm_int8_threshold",
                     6.0, "load_in_4bit", 1, "load_in_8bit", 0, "quant_method", "bitsandbytes");
}

static enum lf_err write_config(const char *src_dir, const char *dst_dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_t *j;
    snprintf(path, sizeof path, "%s/config.json", src_dir);
    enum lf_err rc = lf_json_load(&j, path, diag);
    if (rc != LF_OK)
        return rc;
    json_object_set_new(j, "quantization_config", quantization_config());
    snprintf(path, sizeof path, "%s/config.json", dst_dir);
    return lf_json_write(path, j, JSON_INDENT(2) | JSON_SORT_KEYS, diag);
}

/* Weights first, config.json last: a directory with a config.json is complete. */
static enum lf_err write_checkpoint(struct lf_stream *s, const char *src_dir, const char *dst_dir,
                                    const struct lf_reporter *progress, struct lf_diag *diag)
{
    struct lf_config c;
    struct lf_tensors *ts = NULL;
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_config_load(&c, src_dir, diag);
    rc = rc ?: lf_tensors_open_checkpoint(&ts, src_dir, diag);
    rc = rc ?: lf_dir_make(dst_dir, diag);
    snprintf(path, sizeof path, "%s/model.safetensors", dst_dir);
    rc = rc ?: lf_quantize_file(path, s, ts, &c, true, progress, diag);
    lf_tensors_free(ts);
    return rc ?: lf_companions_copy(src_dir, dst_dir, diag) ?: write_config(src_dir, dst_dir, diag);
}

enum lf_err lf_model_quantize(struct lf_stream *s, const char *src_dir, const char *dst_dir,
                              void (*progress)(void *arg, double fraction, const char *what),
                              void *progress_arg, struct lf_diag *diag)
{
    struct lf_reporter p = {progress, progress_arg};
    char path[LF_PATH_MAX];
    if (strlen(src_dir) + 64 > sizeof path || strlen(dst_dir) + 64 > sizeof path)
        return lf_fail(diag, LF_E_INVALID, "%.64s...: path too long", src_dir);
    snprintf(path, sizeof path, "%s/config.json", dst_dir);
    if (lf_file_exists(path))
        return lf_fail(diag, LF_E_EXISTS, "%s: there is a checkpoint already", dst_dir);
    enum lf_err rc = write_checkpoint(s, src_dir, dst_dir, &p, diag);
    if (rc == LF_OK)
        lf_reporter_say(&p, 1.0, "done");
    return rc;
}
