/* Reading a PEFT adapter: its configuration (peft_sites.c), then the tensors. What would change the
 * arithmetic and is not done here is refused by name. */
#include "model/peft.h"

#include "core/file.h"
#include "core/buf.h"
#include "core/json.h"
#include "core/limits.h"
#include "model/limits.h"
#include "model/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "base_model.model."
#define PIECE 4096 /* numbers that are converted at a time */

/* ---- The configuration ----------------------------------------------------------------------- */

/* Keys without bearing on the numbers of a trained adapter. */
static const char *const ignored[] = {
    "auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode",
    "init_lora_weights", "peft_version", "megatron_core", "qalora_group_size", "eva_config",
    "corda_config", "loftq_config", "runtime_config", "ensure_weight_tying", "lora_ga_config",
    /* read elsewhere */
    "peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules",
    "exclude_modules", "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern",
    "bias", "use_dora", NULL};

/* Initialisations that leave the base's weights as they are; the others subtract from them. */
static bool init_harmless(const json_t *v)
{
    static const char *const kinds[] = {"gaussian", "eva", "orthogonal", NULL};
    if (!json_is_string(v))
        return true;
    for (int i = 0; kinds[i]; i++)
        if (strcmp(kinds[i], json_string_value(v)) == 0)
            return true;
    return false;
}

static enum lf_err refuse_variants(const json_t *config, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(config, diag);
    const char *type = lf_json_str(&in, "peft_type", "LORA");
    const char *bias = lf_json_str(&in, "bias", "none"), *key;
    json_t *v;
    if (in.rc != LF_OK)
        return in.rc;
    if (strcmp(type, "LORA") != 0)
        return lf_fail(diag, LF_E_UNSUPPORTED, "peft_type \"%.32s\" is not supported (LORA is)",
                       type);
    if (strcmp(bias, "none") != 0)
        return lf_fail(diag, LF_E_UNSUPPORTED, "\"bias\": \"%.32s\" is not supported", bias);
    if (!init_harmless(json_object_get(config, "init_lora_weights")))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "\"init_lora_weights\": \"%.32s\" is not supported "
                       "(it changes the base's weights)",
                       json_string_value(json_object_get(config, "init_lora_weights")));
    json_object_foreach((json_t *)(uintptr_t)config, key, v) {
        int i = 0;
        while (ignored[i] && strcmp(ignored[i], key) != 0)
            i++;
        if (!ignored[i] && lf_peft_is_set(v))
            return lf_fail(diag, LF_E_UNSUPPORTED, "\"%.64s\" is not supported", key);
    }
    return LF_OK;
}

/* ---- Tensors --------------------------------------------------------------------------------- */

/* What a site has, as PEFT's files call it, and as a plain state dict does, where the adapter's
 * name
 * ("default") stands in between. */
enum site_part { PART_A, PART_B, PART_MAGNITUDES };
static const char *const part_names[][2] = {
    {"lora_A.weight", "lora_A.default.weight"},
    {"lora_B.weight", "lora_B.default.weight"},
    {"lora_magnitude_vector", "lora_magnitude_vector.default.weight"},
};

static const struct lf_tensor *find_part(const struct lf_tensors *ts, const char *key,
                                         enum site_part part)
{
    const struct lf_tensor *t = NULL;
    for (int i = 0; i < 2 && !t; i++) {
        char name[LF_SITE_NAME_MAX + 64];
        snprintf(name, sizeof name, PREFIX "%s.%s", key, part_names[part][i]);
        t = lf_tensors_find(ts, name);
    }
    return t;
}

static enum lf_err check_numbers(const struct lf_tensor *t, struct lf_diag *diag)
{
    if (t->dtype == LF_F32 || t->dtype == LF_F16 || t->dtype == LF_BF16)
        return LF_OK;
    return lf_fail(diag, LF_E_UNSUPPORTED, "tensor \"%.128s\" is not fp32, fp16 or bf16", t->name);
}

static enum lf_err check_factor(const struct lf_tensor *t, int rows, int cols, bool rank_is_rows,
                                struct lf_diag *diag)
{
    enum lf_err rc = check_numbers(t, diag);
    if (rc != LF_OK)
        return rc;
    if (t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols)
        return LF_OK;
    if (t->n_dims != 2)
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.128s\" is not a matrix", t->name);
    bool rank_differs = rank_is_rows ? t->dims[0] != rows : t->dims[1] != cols;
    return lf_fail(diag, rank_differs ? LF_E_DAMAGED : LF_E_BASE_DIFFERS,
                   "tensor \"%.128s\" is (%lld, %lld); %s says (%d, %d)", t->name,
                   (long long)t->dims[0], (long long)t->dims[1],
                   rank_differs ? "adapter_config.json" : "this base", rows, cols);
}

static enum lf_err check_magnitudes(const struct lf_tensor *t, const char *key, int N,
                                    struct lf_diag *diag)
{
    if (!t)
        return lf_fail(diag, LF_E_DAMAGED, "%s has no lora_magnitude_vector, which DoRA needs",
                       key);
    if (t->n_dims != 1)
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.128s\" is not a vector", t->name);
    if (t->dims[0] != N)
        return lf_fail(diag, LF_E_BASE_DIFFERS, "tensor \"%.128s\" is (%lld); this base says (%d)",
                       t->name, (long long)t->dims[0], N);
    return check_numbers(t, diag);
}

/* Sites that are targeted but have no tensors (an adapter saved for some layers) get rank 0. */
static enum lf_err match_tensors(struct lf_adapter *a, const struct lf_config *c,
                                 const struct lf_tensors *ts, struct lf_diag *diag)
{
    size_t used = 0;
    for (int i = 0; i < a->shape.n_sites; i++) {
        const struct lf_proj *p = &c->proj[i % c->n_proj];
        char key[LF_SITE_NAME_MAX];
        if (a->shape.rank[i] == 0)
            continue;
        lf_adapter_site_name(key, c, i);
        const struct lf_tensor *A = find_part(ts, key, PART_A), *B = find_part(ts, key, PART_B);
        if (!A && !B) {
            a->shape.rank[i] = 0;
            continue;
        }
        if (!A || !B)
            return lf_fail(diag, LF_E_DAMAGED, "%s has one of lora_A and lora_B", key);
        enum lf_err rc = check_factor(A, a->shape.rank[i], p->K, true, diag);
        rc = rc ?: check_factor(B, p->N, a->shape.rank[i], false, diag);
        if (a->shape.dora)
            rc = rc ?: check_magnitudes(find_part(ts, key, PART_MAGNITUDES), key, p->N, diag);
        if (rc != LF_OK)
            return rc;
        used += 2 + a->shape.dora;
    }
    return used == lf_tensors_count(ts) ? LF_OK : LF_E_UNSUPPORTED;
}

/* Names the first tensor that no targeted site took, with what is probably wrong. */
static enum lf_err refuse_unused(const struct lf_adapter *a, const struct lf_config *c,
                                 const struct lf_tensors *ts, struct lf_diag *diag)
{
    for (size_t i = 0; i < lf_tensors_count(ts); i++) {
        const struct lf_tensor *t = lf_tensors_at(ts, i);
        bool used = false;
        for (int s = 0; s < a->shape.n_sites && !used; s++) {
            char key[LF_SITE_NAME_MAX];
            if (a->shape.rank[s] == 0)
                continue;
            lf_adapter_site_name(key, c, s);
            used = t == find_part(ts, key, PART_A) || t == find_part(ts, key, PART_B) ||
                   (a->shape.dora && t == find_part(ts, key, PART_MAGNITUDES));
        }
        int layer;
        if (used)
            continue;
        if (sscanf(t->name, PREFIX "model.layers.%d.", &layer) == 1 && layer >= c->L)
            return lf_fail(diag, LF_E_BASE_DIFFERS, "tensor \"%.128s\": this base has %d layers",
                           t->name, c->L);
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "tensor \"%.128s\" is not a LoRA factor of a "
                       "targeted linear map of this base",
                       t->name);
    }
    return LF_OK;
}

static bool all_finite(const void *p, enum lf_dtype type, size_t n)
{
    const uint16_t *halves = p;
    const float *floats = p;
    unsigned bad = 0;
    if (type == LF_BF16)
        for (size_t i = 0; i < n; i++)
            bad |= (halves[i] & 0x7F80) == 0x7F80;
    else
        for (size_t i = 0; i < n; i++)
            bad |= !isfinite(floats[i]);
    return !bad;
}

/* A tensor, as the type that is wanted; whether it is finite. */
static bool read_numbers(char *dst, enum lf_dtype type, const struct lf_tensor *t, size_t n)
{
    float some[PIECE];
    size_t to = lf_dtype_bytes(type), from = lf_dtype_bytes(t->dtype);
    if (t->dtype == type)
        memcpy(dst, t->data, n * to);
    for (size_t at = 0; at < n && t->dtype != type; at += PIECE) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        lf_to_f32(some, (const char *)t->data + at * from, t->dtype, piece);
        lf_from_f32(dst + at * to, type, some, piece);
    }
    return all_finite(dst, type, n);
}

static enum lf_err read_tensors(const struct lf_adapter *a, void *params, enum lf_dtype type,
                                const struct lf_config *c, const struct lf_tensors *ts,
                                struct lf_diag *diag)
{
    size_t bytes = lf_dtype_bytes(type);
    for (int i = 0; i < a->shape.n_sites; i++) {
        const struct lf_proj *p = &c->proj[i % c->n_proj];
        size_t rank = (size_t)a->shape.rank[i];
        char key[LF_SITE_NAME_MAX];
        if (rank == 0)
            continue;
        lf_adapter_site_name(key, c, i);
        const struct {
            enum site_part part;
            size_t off, n;
        } parts[] = {{PART_A, a->shape.a_off[i], rank * (size_t)p->K},
                     {PART_B, a->shape.b_off[i], rank * (size_t)p->N},
                     {PART_MAGNITUDES, a->shape.m_off[i], (size_t)p->N}};
        bool ok = true;
        for (size_t k = 0; k < 2u + a->shape.dora; k++)
            ok = ok && read_numbers((char *)params + parts[k].off * bytes, type,
                                    find_part(ts, key, parts[k].part), parts[k].n);
        if (!ok)
            return lf_fail(diag, LF_E_DAMAGED, "the adapter's weights are not all finite");
    }
    return LF_OK;
}

/* ---- Together -------------------------------------------------------------------------------- */

enum lf_err lf_peft_read_config(struct lf_adapter *a, const struct lf_config *c, const char *dir,
                                struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_t *config = NULL;
    if (lf_path_join(path, dir, "adapter_config.json", diag) != LF_OK)
        return LF_E_INVALID;
    enum lf_err rc = lf_json_load(&config, path, diag);
    if (rc != LF_OK)
        return rc;
    if (!json_is_object(config))
        rc = lf_fail(diag, LF_E_INVALID, "not a JSON object");
    rc = rc ?: refuse_variants(config, diag);
    rc = rc ?: lf_peft_sites(a, c, config, diag);
    json_decref(config);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

enum lf_err lf_peft_read_tensors(struct lf_adapter *a, void **params, enum lf_dtype type,
                                 const struct lf_config *c, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_tensors *ts;
    if (lf_path_join(path, dir, "adapter_model.safetensors", diag) != LF_OK)
        return LF_E_INVALID;
    enum lf_err rc = lf_tensors_open(&ts, path, LF_ADAPTER_HEADER_MAX, diag);
    if (rc == LF_E_NOT_FOUND && lf_path_join(path, dir, "adapter_model.bin", NULL) == LF_OK &&
        lf_file_exists(path))
        return lf_fail(diag, LF_E_UNSUPPORTED, "%s is PyTorch's: save the adapter as safetensors",
                       path);
    if (rc != LF_OK)
        return rc;
    rc = match_tensors(a, c, ts, diag);
    if (rc == LF_E_UNSUPPORTED && lf_tensors_count(ts) > 0)
        rc = refuse_unused(a, c, ts, diag);
    rc = rc ?: lf_adapter_shape_params(params, &a->shape, c, type, diag);
    rc = rc ?: read_tensors(a, *params, type, c, ts, diag);
    lf_tensors_free(ts);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

enum lf_err lf_adapter_load(struct lf_adapter **out, const struct lf_config *c, const char *dir,
                            struct lf_diag *diag)
{
    struct lf_adapter *a;
    void *params = NULL;
    enum lf_err rc = lf_adapter_alloc(&a, c, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_peft_read_config(a, c, dir, diag)
             ?: lf_peft_read_tensors(a, &params, LF_F32, c, dir, diag);
    a->params = params;
    if (rc == LF_OK)
        *out = a;
    else
        lf_adapter_free(a);
    return rc;
}
