/* A checkpoint directory into a model on a device. */
#include "model/bnb.h"
#include "model/limits.h"
#include "model/memory.h"
#include "model/model.h"
#include "model/quantize.h"

#include "core/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES LF_BNB_NAME_MAX
#define CONVERT_CHUNK ((size_t)1 << 18) /* elements converted at once */

struct load {
    struct lf_model *m;
    struct lf_stream *s;
    const struct lf_tensors *ts, *cache; /* cache: 4-bit copies, or NULL */
    struct lf_bnb_quantizer *q;          /* quantises in memory, or NULL */
    struct lf_reporter progress;
};

/* ---- Vectors --------------------------------------------------------------------------------- */

static bool is_float(const struct lf_tensor *t)
{
    return t->dtype == LF_F32 || t->dtype == LF_BF16 || t->dtype == LF_F16;
}

/* A norm or bias of n elements, as fp32; plus_one: the checkpoint stores w - 1. */
static enum lf_err load_vector(struct load *ld, const float **out, const char *name, int n,
                               bool plus_one, struct lf_diag *diag)
{
    const struct lf_tensor *t = lf_tensors_find(ld->ts, name);
    if (!t)
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%s\" is missing", name);
    if (!is_float(t) || t->n_dims != 1 || t->dims[0] != n)
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%s\" is not %d floating-point numbers", name,
                       n);
    float *x = malloc((size_t)n * sizeof *x);
    if (!x)
        return lf_no_memory(diag, "tensor \"%s\"", name);
    lf_to_f32(x, t->data, t->dtype, (size_t)n);
    for (int i = 0; plus_one && i < n; i++)
        x[i] += 1.0f;
    enum lf_err rc = lf_model_place_floats(ld->m, ld->s, out, x, (size_t)n, diag);
    free(x);
    return rc;
}

/* ---- Matrices -------------------------------------------------------------------------------- */

/* A matrix in another dtype than the device wants: converted piece by piece on its way. */
static enum lf_err place_converted(struct load *ld, struct lf_weight *w, const struct lf_tensor *t,
                                   enum lf_dtype want, struct lf_diag *diag)
{
    size_t n = (size_t)w->N * (size_t)w->K, es = lf_dtype_bytes(want);
    float *wide = malloc(CONVERT_CHUNK * sizeof *wide);
    char *narrow = malloc(CONVERT_CHUNK * es);
    void *base = NULL;
    enum lf_err rc = LF_OK;
    if (!wide || !narrow)
        rc = lf_no_memory(diag, "tensor \"%.128s\"", t->name);
    rc = rc ?: lf_model_alloc(ld->m, &base, n * es, diag);
    for (size_t at = 0; at < n && rc == LF_OK; at += CONVERT_CHUNK) {
        size_t k = n - at < CONVERT_CHUNK ? n - at : CONVERT_CHUNK;
        lf_to_f32(wide, (const char *)t->data + at * lf_dtype_bytes(t->dtype), t->dtype, k);
        lf_from_f32(narrow, want, wide, k);
        lf_stream_upload(ld->s, (char *)base + at * es, narrow, k * es);
    }
    free(wide);
    free(narrow);
    if (rc != LF_OK)
        return rc;
    w->kind = want == LF_F32 ? LF_WEIGHT_F32 : LF_WEIGHT_BF16;
    w->data = base;
    return ld->s->ops->prepare_weight ? ld->s->ops->prepare_weight(ld->s, w, diag) : LF_OK;
}

static enum lf_err place_plain(struct load *ld, struct lf_weight *w, const struct lf_tensor *t,
                               struct lf_diag *diag)
{
    /* fp32 devices take fp32 and bf16 as they are, fp16 widened; bf16 devices want bf16. */
    enum lf_dtype want = LF_BF16;
    if (ld->m->dev->act == LF_F32 && t->dtype != LF_BF16)
        want = LF_F32;
    if (t->dtype != want)
        return place_converted(ld, w, t, want, diag);
    w->kind = want == LF_F32 ? LF_WEIGHT_F32 : LF_WEIGHT_BF16;
    w->data = t->data;
    return lf_model_place(ld->m, ld->s, w, true, diag);
}

static enum lf_err load_matrix(struct load *ld, struct lf_weight *w, const char *name, int N, int K,
                               bool quantize, struct lf_diag *diag)
{
    const struct lf_tensor *t = lf_tensors_find(ld->ts, name);
    struct lf_weight r = {.N = N, .K = K};
    bool found = false;
    if (!t)
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%s\" is missing", name);
    enum lf_err rc = lf_bnb_read(&found, &r, ld->ts, name, N, K, diag);
    if (rc == LF_OK && !found && quantize && ld->cache)
        rc = lf_bnb_read(&found, &r, ld->cache, name, N, K, diag);
    if (rc != LF_OK)
        return rc;
    if (!found && !is_float(t))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "tensor \"%s\" is neither floating-point nor 4-bit "
                       "of bitsandbytes",
                       name);
    if (!found && (t->n_dims != 2 || t->dims[0] != N || t->dims[1] != K))
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%s\" is not (%d, %d)", name, N, K);
    if (found) {
        rc = lf_model_place(ld->m, ld->s, &r, true, diag);
    } else if (quantize && ld->q) {
        rc = lf_bnb_quantize(ld->q, &r, t, N, K, diag);
        rc = rc ?: lf_model_place(ld->m, ld->s, &r, false, diag);
    } else {
        rc = place_plain(ld, &r, t, diag);
    }
    if (rc == LF_OK)
        *w = r;
    return rc;
}

/* ---- The model ------------------------------------------------------------------------------- */

static enum lf_err load_norm(struct load *ld, const float **w, const float **b, const char *where,
                             const char *norm, int n, struct lf_diag *diag)
{
    const struct lf_config *c = &ld->m->config;
    char name[NAME_MAX_BYTES];
    if (!norm)
        return LF_OK;
    snprintf(name, sizeof name, "%s%s.weight", where, norm);
    enum lf_err rc = load_vector(ld, w, name, n, c->norm_plus_one, diag);
    if (rc == LF_OK && c->layer_norm) {
        snprintf(name, sizeof name, "%s%s.bias", where, norm);
        rc = load_vector(ld, b, name, n, false, diag);
    }
    return rc;
}

static enum lf_err load_proj(struct load *ld, struct lf_weight *w, const char *where,
                             const struct lf_proj *p, struct lf_diag *diag)
{
    char name[NAME_MAX_BYTES];
    const float *bias = NULL;
    enum lf_err rc = LF_OK;
    snprintf(name, sizeof name, "%s%s.bias", where, p->module);
    if (p->bias)
        rc = load_vector(ld, &bias, name, p->N, false, diag);
    else if (lf_tensors_find(ld->ts, name))
        rc = lf_fail(diag, LF_E_UNSUPPORTED, "tensor \"%s\": config.json says there is none", name);
    snprintf(name, sizeof name, "%s%s.weight", where, p->module);
    rc = rc ?: load_matrix(ld, w, name, p->N, p->K, true, diag);
    if (rc == LF_OK)
        w->bias = bias;
    return rc;
}

static enum lf_err load_layer(struct load *ld, int l, struct lf_diag *diag)
{
    const struct lf_config *c = &ld->m->config;
    struct lf_layer *y = &ld->m->layers[l];
    char where[64];
    snprintf(where, sizeof where, "model.layers.%d.", l);
    const int nq = lf_config_qk_norm_n(c, false), nk = lf_config_qk_norm_n(c, true);
    enum lf_err rc =
        load_norm(ld, &y->attn_norm, &y->attn_norm_b, where, c->norms.attn, c->C, diag);
    rc = rc ?: load_norm(ld, &y->mlp_norm, &y->mlp_norm_b, where, c->norms.mlp, c->C, diag);
    rc = rc ?: load_norm(ld, &y->post_attn_norm, NULL, where, c->norms.post_attn, c->C, diag);
    rc = rc ?: load_norm(ld, &y->post_mlp_norm, NULL, where, c->norms.post_mlp, c->C, diag);
    rc = rc ?: load_norm(ld, &y->q_norm, NULL, where, c->norms.q, nq, diag);
    rc = rc ?: load_norm(ld, &y->k_norm, NULL, where, c->norms.k, nk, diag);
    for (int p = 0; p < c->n_proj && rc == LF_OK; p++)
        rc = load_proj(ld, &y->w[p], where, &c->proj[p], diag);
    return rc;
}

static enum lf_err load_ends(struct load *ld, struct lf_diag *diag)
{
    struct lf_model *m = ld->m;
    const struct lf_config *c = &m->config;
    enum lf_err rc =
        load_matrix(ld, &m->embed, "model.embed_tokens.weight", c->V, c->C, false, diag);
    if (rc == LF_OK && m->embed.kind == LF_WEIGHT_Q4)
        rc = lf_fail(diag, LF_E_UNSUPPORTED, "a 4-bit embedding is not supported");
    if (rc == LF_OK && c->tied_head)
        m->head = m->embed;
    else if (rc == LF_OK)
        rc = load_matrix(ld, &m->head, "lm_head.weight", c->V, c->C, false, diag);
    if (rc == LF_OK && c->head_bias)
        rc = load_vector(ld, &m->head.bias, "lm_head.bias", c->V, false, diag);
    if (rc == LF_OK)
        rc = load_norm(ld, &m->final_norm, &m->final_norm_b, "model.", c->norms.final, c->C, diag);
    return rc;
}

static enum lf_err load_weights(struct load *ld, struct lf_diag *diag)
{
    enum lf_err rc = load_ends(ld, diag);
    for (int l = 0; l < ld->m->config.L && rc == LF_OK; l++) {
        lf_reporter_say(&ld->progress, (double)l / ld->m->config.L, "loading");
        rc = load_layer(ld, l, diag);
    }
    rc = rc ?: lf_model_place_ropes(ld->m, ld->s, diag);
    return rc ?: lf_stream_wait(ld->s, diag);
}

/* ---- The digest ------------------------------------------------------------------------------ */

#define SAMPLE 64 /* bytes taken from the start and the middle of each tensor */

static enum lf_err make_digest(char out[LF_SHA256_HEX], const struct lf_tensors *ts,
                               const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto b = {0};
    snprintf(path, sizeof path, "%s/config.json", dir);
    enum lf_err rc = lf_file_read(&b, path, LF_JSON_BYTES_MAX, diag);
    for (size_t i = 0; i < lf_tensors_count(ts) && rc == LF_OK; i++) {
        const struct lf_tensor *t = lf_tensors_at(ts, i);
        size_t n = t->bytes < SAMPLE ? t->bytes : SAMPLE;
        lf_buf_printf(&b, "\n%s %d %zu", t->name, (int)t->dtype, t->bytes);
        for (int d = 0; d < t->n_dims; d++)
            lf_buf_printf(&b, " %lld", (long long)t->dims[d]);
        lf_buf_append(&b, t->data, n);
        lf_buf_append(&b, (const char *)t->data + (t->bytes - n) / 2, n);
    }
    if (rc == LF_OK && b.rc != LF_OK)
        rc = lf_fail(diag, b.rc, "%s: no memory for its digest", dir);
    if (rc == LF_OK)
        lf_sha256_hex(out, b.data, b.len);
    return rc;
}

static bool has_weights(const char *name)
{
    static const char end[] = ".safetensors";
    size_t len = strlen(name), n = sizeof end - 1;
    return len >= n && strcmp(name + len - n, end) == 0;
}

enum lf_err lf_model_dir_weights(struct lf_names *out, const char *dir, struct lf_diag *diag)
{
    enum lf_err rc = lf_dir_names(out, dir, diag);
    size_t left = 0;
    for (size_t i = 0; i < out->n; i++) {
        if (has_weights(out->at[i]))
            out->at[left++] = out->at[i];
        else
            free(out->at[i]);
    }
    out->n = left;
    return rc;
}

enum lf_err lf_model_dir_digest(char out[LF_SHA256_HEX], const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_names_auto names = {0};
    lf_buf_auto text = {0};
    enum lf_err rc = lf_path_join(path, dir, "config.json", diag);
    rc = rc ?: lf_sha256_file(out, path, diag) ?: lf_model_dir_weights(&names, dir, diag);
    if (rc != LF_OK)
        return rc;
    lf_buf_puts(&text, out);
    for (size_t i = 0; i < names.n; i++) {
        if (lf_path_join(path, dir, names.at[i], NULL) == LF_OK)
            lf_buf_printf(&text, "\n%s %lld", names.at[i], (long long)lf_file_size(path));
    }
    return text.rc == LF_OK ? lf_sha256_of(out, text.data, text.len, diag)
                            : lf_no_memory(diag, "a checkpoint's digest");
}

/* ---- The cache ------------------------------------------------------------------------------- */

/* The checkpoint holds block linears that are not 4-bit. */
static bool wants_quantizing(const struct lf_tensors *ts, const struct lf_config *c)
{
    char name[NAME_MAX_BYTES];
    snprintf(name, sizeof name, "model.layers.0.%s.weight.quant_map", c->proj[0].module);
    return lf_tensors_find(ts, name) == NULL;
}

/* Opens the 4-bit copy of this base, writing it first where it is missing or damaged. */
static enum lf_err open_cache(struct load *ld, const char *cache_dir, struct lf_diag *diag)
{
    struct lf_model *m = ld->m;
    char path[LF_PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s.nf4.safetensors", cache_dir, m->digest) >=
        (int)sizeof path)
        return lf_fail(diag, LF_E_INVALID, "%.64s...: path too long", cache_dir);
    struct lf_tensors **cache = &m->memory->cache;
    if (lf_tensors_open(cache, path, LF_SAFETENSORS_HEADER_MAX, NULL) != LF_OK) {
        enum lf_err rc = lf_dir_make(cache_dir, diag);
        rc = rc ?: lf_quantize_file(path, ld->s, ld->ts, &m->config, false, &ld->progress, diag);
        rc = rc ?: lf_tensors_open(cache, path, LF_SAFETENSORS_HEADER_MAX, diag);
        if (rc != LF_OK)
            return rc;
    }
    ld->cache = *cache;
    return LF_OK;
}

/* A disk that does not take the cache is no reason not to serve. */
static bool only_the_disk(enum lf_err rc)
{
    return rc == LF_E_NO_SPACE || rc == LF_E_DENIED || rc == LF_E_READ_ONLY || rc == LF_E_IO ||
           rc == LF_E_NOT_FOUND;
}

static enum lf_err prepare_quantizing(struct load *ld, const struct lf_model_options *o,
                                      struct lf_diag *diag)
{
    if (o->quant != LF_QUANT_NF4 || !wants_quantizing(ld->ts, &ld->m->config))
        return LF_OK;
    if (o->cache_dir) {
        enum lf_err rc = open_cache(ld, o->cache_dir, diag);
        if (rc == LF_OK || !only_the_disk(rc))
            return rc;
    }
    return lf_bnb_quantizer_new(&ld->q, ld->s, diag);
}

/* ---- Tokenizer and chat template ------------------------------------------------------------- */

static bool has_file(const char *dir, const char *name)
{
    char path[LF_PATH_MAX];
    return snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path &&
           lf_file_exists(path);
}

static enum lf_err open_text(struct lf_model *m, const char *dir, struct lf_tokenizer *given,
                             struct lf_diag *diag)
{
    if (given) {
        m->tokenizer = given;
        m->tokenizer_borrowed = true;
        return LF_OK;
    }
    if (!has_file(dir, "tokenizer.json") && !has_file(dir, "tokenizer.model") &&
        !has_file(dir, "vocab.json")) {
        lf_fail(&m->chat_reason, LF_E_NOT_FOUND, "the checkpoint has no tokenizer");
        return LF_OK;
    }
    enum lf_err rc = lf_tokenizer_open(&m->tokenizer, dir, diag);
    if (rc != LF_OK)
        return rc;
    if (lf_chat_open(&m->chat, dir, &m->chat_reason) != LF_OK)
        m->chat = NULL;
    return LF_OK;
}

static void dir_name(char out[65], const char *dir)
{
    char *real = realpath(dir, NULL);
    const char *slash = real ? strrchr(real, '/') : NULL;
    snprintf(out, 65, "%s", slash ? slash + 1 : dir);
    free(real);
}

enum lf_err lf_model_open_text(struct lf_model **out, const char *dir, struct lf_diag *diag)
{
    struct lf_config config;
    struct lf_model *m = NULL;
    char name[65];
    dir_name(name, dir);
    enum lf_err rc = lf_config_load(&config, dir, diag);
    rc = rc ?: lf_model_new(&m, NULL, &config, name, diag) ?: open_text(m, dir, NULL, diag);
    if (rc == LF_OK)
        *out = m;
    else
        lf_model_free(m);
    return rc;
}

enum lf_err lf_model_open(struct lf_model **out, struct lf_stream *stream, const char *dir,
                          const struct lf_model_options *options, struct lf_diag *diag)
{
    struct lf_config config;
    struct lf_model *m = NULL;
    char name[65];
    dir_name(name, dir);
    enum lf_err rc = lf_config_load(&config, dir, diag);
    rc = rc ?: lf_model_new(&m, stream->dev, &config, name, diag);
    if (rc != LF_OK)
        return rc;
    struct load ld = {.m = m, .s = stream, .progress = {options->progress, options->progress_arg}};
    m->dir = strdup(dir);
    rc = m->dir ? LF_OK : lf_no_memory(diag, "a model");
    rc = rc ?: lf_tensors_open_checkpoint(&m->memory->checkpoint, dir, diag);
    ld.ts = m->memory->checkpoint;
    rc = rc ?: make_digest(m->digest, ld.ts, dir, diag);
    rc = rc ?: open_text(m, dir, options->tokenizer, diag);
    rc = rc ?: prepare_quantizing(&ld, options, diag);
    rc = rc ?: load_weights(&ld, diag);
    lf_bnb_quantizer_free(ld.q);
    if (rc != LF_OK) {
        lf_model_free(m);
        return rc;
    }
    if (!lf_device_on_host(m->dev)) {
        /* Everything was copied. The cache stays mapped: model/site_weights.h reads it. */
        lf_tensors_free(m->memory->checkpoint);
        m->memory->checkpoint = NULL;
    }
    lf_reporter_say(&ld.progress, 1.0, "loaded");
    *out = m;
    return LF_OK;
}
