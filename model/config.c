/* config.json into a description: a row of facts for each architecture, then the file's keys. */
#include "model/config.h"

#include "core/file.h"
#include "core/json.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define N_EOS (int)(sizeof((struct lf_config *)0)->eos / sizeof(int32_t))

enum bias_rule { BIAS_NONE, BIAS_ALWAYS, BIAS_BY_KEY };
enum window_rule {
    WINDOW_NONE,
    WINDOW_ALL,    /* "sliding_window" holds in every layer */
    WINDOW_BY_TYPE /* "layer_types", or the architecture's habit, says which layers have it */
};

/* What transformers' modelling code of a model_type does, as far as the file does not say it. */
struct arch {
    const char *model_type;
    bool layer_norm, norm_plus_one, parallel_block, post_norms, qk_norm, gated, fused, scaled_embed;
    bool tied_head; /* when the file does not say */
    bool head_bias;
    enum bias_rule qkv_bias, o_bias, mlp_bias;
    enum window_rule window;
    int window_tokens;      /* when the file does not say; null says there is none */
    bool window_alternates; /* even layers, when there is no "layer_types" */
    bool window_opt_in;     /* only with "use_sliding_window", from "max_window_layers" on */
    const char *act_key, *act_default;
    const char *eps_key;
    double eps_default;
    int head_dim, kv_heads; /* when the file does not say; 0: hidden / heads, heads */
    double partial_rotary;  /* when the file does not say */
    int original_positions; /* when the file does not say; 0: max_position_embeddings */
    const char *o_module, *up_module, *down_module;
    struct lf_norm_names norms;
};

#define LLAMA_NORMS                                                       \
    {                                                                     \
        "input_layernorm", "post_attention_layernorm", NULL, NULL, "norm" \
    }
#define LLAMA_BLOCK(eps)                                                               \
    .gated = true, .eps_key = "rms_norm_eps", .eps_default = eps, .partial_rotary = 1, \
    .o_module = "self_attn.o_proj", .up_module = "mlp.up_proj", .down_module = "mlp.down_proj"
#define SILU .act_key = "hidden_act", .act_default = "silu"

static const struct arch archs[] = {
    {LLAMA_BLOCK(1e-6), SILU, .norms = LLAMA_NORMS, .model_type = "llama", .qkv_bias = BIAS_BY_KEY,
     .o_bias = BIAS_BY_KEY, .mlp_bias = BIAS_BY_KEY},
    {LLAMA_BLOCK(1e-6), SILU, .norms = LLAMA_NORMS, .model_type = "mistral", .window = WINDOW_ALL,
     .window_tokens = 4096, .kv_heads = 8},
    {LLAMA_BLOCK(1e-6), SILU, .norms = LLAMA_NORMS, .model_type = "qwen2", .qkv_bias = BIAS_ALWAYS,
     .window = WINDOW_BY_TYPE, .window_tokens = 4096, .window_opt_in = true},
    {LLAMA_BLOCK(1e-6), SILU, .norms = LLAMA_NORMS, .model_type = "qwen3", .qk_norm = true,
     .qkv_bias = BIAS_BY_KEY, .o_bias = BIAS_BY_KEY, .window = WINDOW_BY_TYPE,
     .window_tokens = 4096, .window_opt_in = true, .head_dim = 128},
    {LLAMA_BLOCK(1e-5), SILU, .norms = LLAMA_NORMS, .model_type = "phi3", .fused = true,
     .window = WINDOW_ALL, .original_positions = 4096},
    {LLAMA_BLOCK(1e-6), .norms = LLAMA_NORMS, .model_type = "gemma", .norm_plus_one = true,
     .scaled_embed = true, .tied_head = true, .qkv_bias = BIAS_BY_KEY, .o_bias = BIAS_BY_KEY,
     .head_dim = 256, .kv_heads = 16, .act_key = "hidden_act", .act_default = "gelu_pytorch_tanh"},
    {LLAMA_BLOCK(1e-6), .model_type = "gemma2", .norm_plus_one = true, .scaled_embed = true,
     .tied_head = true, .post_norms = true, .qkv_bias = BIAS_BY_KEY, .o_bias = BIAS_BY_KEY,
     .window = WINDOW_BY_TYPE, .window_tokens = 4096, .window_alternates = true, .head_dim = 256,
     .kv_heads = 4, .act_key = "hidden_activation", .act_default = "gelu_pytorch_tanh",
     .norms = {"input_layernorm", "pre_feedforward_layernorm", "post_attention_layernorm",
               "post_feedforward_layernorm", "norm"}},
    {.model_type = "phi",
     .layer_norm = true,
     .parallel_block = true,
     .head_bias = true,
     .qkv_bias = BIAS_ALWAYS,
     .o_bias = BIAS_ALWAYS,
     .mlp_bias = BIAS_ALWAYS,
     .act_key = "hidden_act",
     .act_default = "gelu_new",
     .eps_key = "layer_norm_eps",
     .eps_default = 1e-5,
     .partial_rotary = 0.5,
     .o_module = "self_attn.dense",
     .up_module = "mlp.fc1",
     .down_module = "mlp.fc2",
     .norms = {"input_layernorm", NULL, NULL, NULL, "final_layernorm"}},
};

static enum lf_err find_arch(const struct arch **out, const json_t *j, struct lf_diag *diag)
{
    const char *type = NULL;
    enum lf_err rc = lf_json_get_str(&type, j, "model_type", diag);
    if (rc != LF_OK)
        return rc;
    if (!type)
        return lf_fail(diag, LF_E_INVALID, "\"model_type\" is missing");
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (strcmp(archs[i].model_type, type) == 0) {
            *out = &archs[i];
            return LF_OK;
        }
    return lf_fail(diag, LF_E_UNSUPPORTED,
                   "model_type \"%.64s\" is not supported (llama, mistral, "
                   "phi, phi3, gemma, gemma2, qwen2, qwen3 are)",
                   type);
}

static enum lf_err get_dim(int *out, const json_t *j, const char *key, int fallback, int hi,
                           struct lf_diag *diag)
{
    int64_t v = fallback;
    enum lf_err rc = lf_json_get_int(&v, j, key, 1, hi, diag);
    if (rc != LF_OK)
        return rc;
    if (v == 0)
        return lf_fail(diag, LF_E_INVALID, "\"%s\" is missing", key);
    *out = (int)v;
    return LF_OK;
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

static enum lf_err parse_dims(struct lf_config *c, const struct arch *a, const json_t *j,
                              struct lf_diag *diag)
{
    /* null: as many as heads, whatever the architecture's habit */
    bool null = json_is_null(json_object_get(j, "num_key_value_heads"));
    int kv_heads = null ? 0 : a->kv_heads;
    enum lf_err rc = get_dim(&c->L, j, "num_hidden_layers", 0, LF_LAYERS_MAX, diag);
    if (rc == LF_OK)
        rc = get_dim(&c->C, j, "hidden_size", 0, 1 << 16, diag);
    if (rc == LF_OK)
        rc = get_dim(&c->F, j, "intermediate_size", 0, 1 << 18, diag);
    if (rc == LF_OK)
        rc = get_dim(&c->V, j, "vocab_size", 0, 1 << 21, diag);
    if (rc == LF_OK)
        rc = get_dim(&c->H, j, "num_attention_heads", 0, 1 << 10, diag);
    if (rc == LF_OK)
        rc = get_dim(&c->Hkv, j, "num_key_value_heads", kv_heads ? kv_heads : c->H, 1 << 10, diag);
    if (rc == LF_OK)
        rc = get_dim(&c->D, j, "head_dim", a->head_dim ? a->head_dim : c->C / c->H, LF_HEAD_DIM_MAX,
                     diag);
    if (rc == LF_OK)
        rc = get_dim(&c->positions_max, j, "max_position_embeddings", 0, 1 << 24, diag);
    if (rc != LF_OK)
        return rc;
    if (c->H % c->Hkv != 0)
        return lf_fail(diag, LF_E_INVALID,
                       "\"num_attention_heads\" %d is not a multiple of "
                       "\"num_key_value_heads\" %d",
                       c->H, c->Hkv);
    if (c->D > LF_HEAD_DIM_MAX)
        return lf_fail(diag, LF_E_UNSUPPORTED, "heads of %d dimensions are over the limit of %d",
                       c->D, LF_HEAD_DIM_MAX);
    return LF_OK;
}

/* ---- Activation ------------------------------------------------------------------------------ */

static enum lf_err parse_act(struct lf_config *c, const struct arch *a, const json_t *j,
                             struct lf_diag *diag)
{
    static const struct {
        const char *name;
        enum lf_act_kind kind;
    } acts[] = {
        {"silu", LF_ACT_SILU},          {"swish", LF_ACT_SILU},
        {"gelu", LF_ACT_GELU_ERF},      {"gelu_pytorch_tanh", LF_ACT_GELU_TANH},
        {"gelu_new", LF_ACT_GELU_TANH}, {"gelu_fast", LF_ACT_GELU_TANH},
    };
    const char *name = a->act_default;
    enum lf_err rc = lf_json_get_str(&name, j, a->act_key, diag);
    if (rc != LF_OK)
        return rc;
    /* Gemma's first releases say "gelu" and mean the tanh form; transformers corrects it too. */
    if (strcmp(c->model_type, "gemma") == 0 && strcmp(name, "gelu") == 0)
        name = "gelu_pytorch_tanh";
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strcmp(acts[i].name, name) == 0) {
            c->act = acts[i].kind;
            return LF_OK;
        }
    return lf_fail(diag, LF_E_UNSUPPORTED, "\"%s\": \"%.64s\" is not supported", a->act_key, name);
}

/* ---- Rotary embedding ------------------------------------------------------------------------ */

static enum lf_err parse_factors(double *out, int n, const json_t *r, const char *key,
                                 struct lf_diag *diag)
{
    const json_t *list = json_object_get(r, key);
    if (!json_is_array(list) || json_array_size(list) != (size_t)n)
        return lf_fail(diag, LF_E_INVALID, "rope's \"%s\" must be a list of %d numbers", key, n);
    for (int i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        double x = json_is_number(v) ? json_number_value(v) : 0;
        if (!(x > 0 && x < 1e12))
            return lf_fail(diag, LF_E_INVALID, "rope's \"%s\" must be positive numbers", key);
        out[i] = x;
    }
    return LF_OK;
}

static enum lf_err rope_kind(enum lf_rope_kind *out, const struct lf_config *c, const json_t *r,
                             struct lf_diag *diag)
{
    static const struct {
        const char *name;
        enum lf_rope_kind kind;
    } kinds[] = {
        {"default", LF_ROPE_DEFAULT},   {"linear", LF_ROPE_LINEAR}, {"llama3", LF_ROPE_LLAMA3},
        {"longrope", LF_ROPE_LONGROPE}, {"su", LF_ROPE_LONGROPE},   {"yarn", LF_ROPE_YARN},
    };
    const char *name = "default";
    enum lf_err rc = lf_json_get_str(&name, r, "type", diag);
    if (rc == LF_OK)
        rc = lf_json_get_str(&name, r, "rope_type", diag);
    if (rc != LF_OK)
        return rc;
    /* Early Phi-3 files say "yarn" or "su" for what was then named longrope. */
    if (strcmp(c->model_type, "phi3") == 0 && strcmp(name, "yarn") == 0)
        name = "longrope";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *out = kinds[i].kind;
            return LF_OK;
        }
    return lf_fail(diag, LF_E_UNSUPPORTED, "rope type \"%.64s\" is not supported", name);
}

static double yarn_mscale(double factor, double mscale)
{
    return factor <= 1 ? 1.0 : 0.1 * mscale * log(factor) + 1.0;
}

/* attention_factor, where the file leaves it to the formula (transformers, modeling_rope_utils). */
static enum lf_err rope_attention(struct lf_config *c, const json_t *r, struct lf_diag *diag)
{
    double factor = c->rope_factor, original = c->rope_original_positions;
    double mscale = 0, mscale_all = 0, given = 0;
    enum lf_err rc = lf_json_get_real(&given, r, "attention_factor", 0, 1e6, diag);
    if (rc == LF_OK)
        rc = lf_json_get_real(&mscale, r, "mscale", 0, 1e6, diag);
    if (rc == LF_OK)
        rc = lf_json_get_real(&mscale_all, r, "mscale_all_dim", 0, 1e6, diag);
    if (rc != LF_OK)
        return rc;
    if (given > 0)
        c->rope_attention_factor = given;
    else if (c->rope == LF_ROPE_LONGROPE)
        c->rope_attention_factor = factor <= 1 ? 1.0 : sqrt(1 + log(factor) / log(original));
    else if (mscale > 0 && mscale_all > 0)
        c->rope_attention_factor = yarn_mscale(factor, mscale) / yarn_mscale(factor, mscale_all);
    else
        c->rope_attention_factor = yarn_mscale(factor, 1);
    return LF_OK;
}

static enum lf_err rope_original(struct lf_config *c, const struct arch *a, const json_t *j,
                                 const json_t *r, struct lf_diag *diag)
{
    int64_t n = a->original_positions;
    enum lf_err rc = LF_OK;
    if (n == 0) {
        n = c->positions_max;
        rc = lf_json_get_int(&n, r, "original_max_position_embeddings", 2, 1 << 24, diag);
    }
    /* Beside the rope object it wins, as in transformers. */
    if (rc == LF_OK)
        rc = lf_json_get_int(&n, j, "original_max_position_embeddings", 2, 1 << 24, diag);
    c->rope_original_positions = (int)n;
    return rc;
}

static enum lf_err rope_scaling(struct lf_config *c, const struct arch *a, const json_t *j,
                                const json_t *r, struct lf_diag *diag)
{
    enum lf_err rc = rope_original(c, a, j, r, diag);
    if (rc != LF_OK)
        return rc;
    if (c->rope == LF_ROPE_LONGROPE || c->rope == LF_ROPE_YARN)
        c->rope_factor = (double)c->positions_max / c->rope_original_positions;
    else
        c->rope_factor = 0;
    rc = lf_json_get_real(&c->rope_factor, r, "factor", 1e-6, 1e6, diag);
    if (rc == LF_OK && c->rope_factor == 0)
        rc = lf_fail(diag, LF_E_INVALID, "rope's \"factor\" is missing");
    if (rc == LF_OK && c->rope == LF_ROPE_LLAMA3) {
        rc = lf_json_get_real(&c->rope_low_freq, r, "low_freq_factor", 1e-6, 1e6, diag);
        if (rc == LF_OK)
            rc = lf_json_get_real(&c->rope_high_freq, r, "high_freq_factor", 1e-6, 1e6, diag);
        if (rc == LF_OK && !(c->rope_high_freq > c->rope_low_freq && c->rope_low_freq > 0))
            rc = lf_fail(diag, LF_E_INVALID,
                         "rope's \"low_freq_factor\" and \"high_freq_factor\" "
                         "must be there, the first below the second");
    }
    if (rc == LF_OK && c->rope == LF_ROPE_YARN) {
        rc = lf_json_get_real(&c->rope_beta_fast, r, "beta_fast", 1e-6, 1e6, diag);
        if (rc == LF_OK)
            rc = lf_json_get_real(&c->rope_beta_slow, r, "beta_slow", 1e-6, 1e6, diag);
        if (rc == LF_OK)
            rc = lf_json_get_bool(&c->rope_truncate, r, "truncate", diag);
    }
    if (rc == LF_OK && c->rope == LF_ROPE_LONGROPE) {
        rc = parse_factors(c->rope_short, c->rot / 2, r, "short_factor", diag);
        if (rc == LF_OK)
            rc = parse_factors(c->rope_long, c->rot / 2, r, "long_factor", diag);
    }
    if (rc == LF_OK && (c->rope == LF_ROPE_LONGROPE || c->rope == LF_ROPE_YARN))
        rc = rope_attention(c, r, diag);
    return rc;
}

/* The rope object of either spelling; NULL where the file has none. */
static enum lf_err rope_object(const json_t **out, const json_t *j, struct lf_diag *diag)
{
    const char *const keys[] = {"rope_scaling", "rope_parameters"};
    *out = NULL;
    for (int i = 0; i < 2; i++) {
        const json_t *r = json_object_get(j, keys[i]);
        if (!r || json_is_null(r))
            continue;
        if (!json_is_object(r))
            return lf_fail(diag, LF_E_INVALID, "\"%s\" must be an object", keys[i]);
        const char *key;
        json_t *v;
        json_object_foreach((json_t *)(uintptr_t)r, key, v)
            if (json_is_object(v))
                return lf_fail(diag, LF_E_UNSUPPORTED,
                               "\"%s\" by layer type (\"%.64s\") is not "
                               "supported",
                               keys[i], key);
        if (!*out)
            *out = r;
    }
    return LF_OK;
}

static enum lf_err parse_rope(struct lf_config *c, const struct arch *a, const json_t *j,
                              struct lf_diag *diag)
{
    const json_t *r;
    enum lf_err rc = rope_object(&r, j, diag);
    double partial = a->partial_rotary;
    c->rope_theta = 10000;
    c->rope_attention_factor = 1;
    c->rope_beta_fast = 32;
    c->rope_beta_slow = 1;
    c->rope_truncate = true;
    const json_t *const from[] = {j, r}; /* the object's own keys win */
    for (int i = 0; i < 2 && rc == LF_OK; i++) {
        rc = lf_json_get_real(&c->rope_theta, from[i], "rope_theta", 1, 1e12, diag);
        if (rc == LF_OK)
            rc = lf_json_get_real(&partial, from[i], "partial_rotary_factor", 1e-6, 1, diag);
    }
    if (rc == LF_OK)
        rc = rope_kind(&c->rope, c, r, diag);
    if (rc != LF_OK)
        return rc;
    c->rot = (int)(c->D * partial);
    if (c->rot < 2 || c->rot % 2 != 0)
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "rotating %d of a head's %d dimensions is not "
                       "supported (an even number is)",
                       c->rot, c->D);
    return c->rope == LF_ROPE_DEFAULT ? LF_OK : rope_scaling(c, a, j, r, diag);
}

/* ---- Windows --------------------------------------------------------------------------------- */

static enum lf_err parse_layer_types(struct lf_config *c, const json_t *types, int window,
                                     struct lf_diag *diag)
{
    if (!json_is_array(types) || json_array_size(types) != (size_t)c->L)
        return lf_fail(diag, LF_E_INVALID, "\"layer_types\" must be a list of %d names", c->L);
    for (int l = 0; l < c->L; l++) {
        const json_t *v = json_array_get(types, (size_t)l);
        const char *name = json_is_string(v) ? json_string_value(v) : "";
        if (strcmp(name, "sliding_attention") == 0 && window > 0)
            c->window[l] = window;
        else if (strcmp(name, "full_attention") != 0)
            return lf_fail(diag, LF_E_UNSUPPORTED, "\"layer_types\" has \"%.64s\" for layer %d%s",
                           name, l, window > 0 ? "" : " and there is no \"sliding_window\"");
    }
    return LF_OK;
}

static enum lf_err parse_windows(struct lf_config *c, const struct arch *a, const json_t *j,
                                 struct lf_diag *diag)
{
    if (a->window == WINDOW_NONE)
        return LF_OK;
    int64_t window = a->window_tokens, first = 0;
    bool wanted = !a->window_opt_in;
    if (json_is_null(json_object_get(j, "sliding_window")))
        window = 0;
    enum lf_err rc = lf_json_get_int(&window, j, "sliding_window", 1, INT_MAX, diag);
    if (rc == LF_OK && a->window_opt_in) {
        first = 28;
        rc = lf_json_get_bool(&wanted, j, "use_sliding_window", diag);
        if (rc == LF_OK)
            rc = lf_json_get_int(&first, j, "max_window_layers", 0, INT_MAX, diag);
    }
    if (rc != LF_OK)
        return rc;
    if (!wanted)
        window = 0;
    const json_t *types = json_object_get(j, "layer_types");
    if (a->window == WINDOW_BY_TYPE && types && !json_is_null(types))
        return parse_layer_types(c, types, (int)window, diag);
    for (int l = 0; l < c->L; l++)
        if (l >= first && !(a->window_alternates && l % 2))
            c->window[l] = (int)window;
    return LF_OK;
}

/* ---- Projections ----------------------------------------------------------------------------- */

static void add_proj(struct lf_config *c, enum lf_proj_kind kind, enum lf_group_kind group,
                     const char *module, int N, int K, bool bias)
{
    struct lf_proj *p = &c->proj[c->n_proj];
    int col = 0;
    if (c->n_proj > 0 && p[-1].group == group)
        col = p[-1].col + p[-1].N;
    *p = (struct lf_proj){.kind = kind, .group = group, .bias = bias, .N = N, .K = K, .col = col};
    snprintf(p->module, sizeof p->module, "%s", module);
    c->n_proj++;
}

static enum lf_err parse_projections(struct lf_config *c, const struct arch *a, const json_t *j,
                                     struct lf_diag *diag)
{
    bool attn_key = false, mlp_key = false;
    enum lf_err rc = lf_json_get_bool(&attn_key, j, "attention_bias", diag);
    if (rc == LF_OK)
        rc = lf_json_get_bool(&mlp_key, j, "mlp_bias", diag);
    if (rc != LF_OK)
        return rc;
    bool qkv = a->qkv_bias == BIAS_ALWAYS || (a->qkv_bias == BIAS_BY_KEY && attn_key);
    bool o = a->o_bias == BIAS_ALWAYS || (a->o_bias == BIAS_BY_KEY && attn_key);
    bool mlp = a->mlp_bias == BIAS_ALWAYS || (a->mlp_bias == BIAS_BY_KEY && mlp_key);
    int q_n = c->H * c->D, kv_n = c->Hkv * c->D;
    if (a->fused) {
        add_proj(c, LF_PROJ_Q, LF_GROUP_ATTN_IN, "self_attn.qkv_proj", q_n + 2 * kv_n, c->C, qkv);
    } else {
        add_proj(c, LF_PROJ_Q, LF_GROUP_ATTN_IN, "self_attn.q_proj", q_n, c->C, qkv);
        add_proj(c, LF_PROJ_K, LF_GROUP_ATTN_IN, "self_attn.k_proj", kv_n, c->C, qkv);
        add_proj(c, LF_PROJ_V, LF_GROUP_ATTN_IN, "self_attn.v_proj", kv_n, c->C, qkv);
    }
    add_proj(c, LF_PROJ_O, LF_GROUP_ATTN_OUT, a->o_module, c->C, q_n, o);
    if (a->fused) {
        add_proj(c, LF_PROJ_GATE, LF_GROUP_MLP_IN, "mlp.gate_up_proj", 2 * c->F, c->C, mlp);
    } else {
        if (a->gated)
            add_proj(c, LF_PROJ_GATE, LF_GROUP_MLP_IN, "mlp.gate_proj", c->F, c->C, mlp);
        add_proj(c, LF_PROJ_UP, LF_GROUP_MLP_IN, a->up_module, c->F, c->C, mlp);
    }
    add_proj(c, LF_PROJ_DOWN, LF_GROUP_MLP_OUT, a->down_module, c->C, c->F, mlp);
    return LF_OK;
}

/* ---- The rest -------------------------------------------------------------------------------- */

static enum lf_err parse_scales(struct lf_config *c, const struct arch *a, const json_t *j,
                                struct lf_diag *diag)
{
    double eps = a->eps_default, attn_scalar = c->D, attn_cap = 0, final_cap = 0;
    enum lf_err rc = lf_json_get_real(&eps, j, a->eps_key, 0, 1, diag);
    if (rc == LF_OK && a->post_norms) { /* Gemma 2's own settings */
        attn_scalar = 256;
        attn_cap = 50;
        final_cap = 30;
        /* null switches a cap off; a missing key is the default */
        if (json_is_null(json_object_get(j, "attn_logit_softcapping")))
            attn_cap = 0;
        if (json_is_null(json_object_get(j, "final_logit_softcapping")))
            final_cap = 0;
        rc = lf_json_get_real(&attn_scalar, j, "query_pre_attn_scalar", 1e-6, 1e9, diag);
        if (rc == LF_OK)
            rc = lf_json_get_real(&attn_cap, j, "attn_logit_softcapping", 0, 1e9, diag);
        if (rc == LF_OK)
            rc = lf_json_get_real(&final_cap, j, "final_logit_softcapping", 0, 1e9, diag);
    }
    c->norm_eps = (float)eps;
    c->attn_scale = (float)(1.0 / sqrt(attn_scalar));
    c->attn_softcap = (float)attn_cap;
    c->final_softcap = (float)final_cap;
    c->embed_scale = a->scaled_embed ? (float)sqrt((double)c->C) : 1.0f;
    return rc;
}

static enum lf_err parse_token_ids(struct lf_config *c, const json_t *j, struct lf_diag *diag)
{
    const json_t *bos = json_object_get(j, "bos_token_id");
    if (json_is_integer(bos))
        c->bos = (int32_t)json_integer_value(bos);
    const json_t *eos = json_object_get(j, "eos_token_id");
    if (!eos || json_is_null(eos))
        return LF_OK;
    size_t n = json_is_array(eos) ? json_array_size(eos) : 1;
    if (n > (size_t)N_EOS)
        return lf_fail(diag, LF_E_UNSUPPORTED, "\"eos_token_id\" has %zu ids; %d are supported", n,
                       N_EOS);
    c->n_eos = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_is_array(eos) ? json_array_get(eos, i) : eos;
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
            return lf_fail(diag, LF_E_INVALID, "\"eos_token_id\" must be token ids");
        c->eos[c->n_eos++] = (int32_t)json_integer_value(v);
    }
    return LF_OK;
}

/* Settings that would change the arithmetic in ways this program does not follow. */
static enum lf_err refuse_others(const json_t *j, struct lf_diag *diag)
{
    static const char *const flags[] = {"qk_layernorm", "use_bidirectional_attention",
                                        "is_encoder_decoder", "add_cross_attention"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (json_is_true(json_object_get(j, flags[i])))
            return lf_fail(diag, LF_E_UNSUPPORTED, "\"%s\" is not supported", flags[i]);
    const json_t *q = json_object_get(j, "quantization_config");
    if (!q || json_is_null(q))
        return LF_OK;
    const char *method = "bitsandbytes";
    enum lf_err rc = lf_json_get_str(&method, q, "quant_method", diag);
    if (rc != LF_OK)
        return rc;
    if (strcmp(method, "bitsandbytes") != 0 || !json_is_true(json_object_get(q, "load_in_4bit")))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "quantization_config of method \"%.64s\" is not "
                       "supported (bitsandbytes with load_in_4bit is)",
                       method);
    return LF_OK;
}

enum lf_err lf_config_parse(struct lf_config *out, const json_t *j, struct lf_diag *diag)
{
    const struct arch *a = NULL;
    if (!json_is_object(j))
        return lf_fail(diag, LF_E_INVALID, "the configuration is not a JSON object");
    enum lf_err rc = find_arch(&a, j, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_config c = {
        .layer_norm = a->layer_norm,
        .norm_plus_one = a->norm_plus_one,
        .parallel_block = a->parallel_block,
        .post_norms = a->post_norms,
        .qk_norm = a->qk_norm,
        .gated = a->gated,
        .tied_head = a->tied_head,
        .head_bias = a->head_bias,
        .norms = a->norms,
        .bos = -1,
    };
    snprintf(c.model_type, sizeof c.model_type, "%s", a->model_type);
    rc = refuse_others(j, diag);
    if (rc == LF_OK)
        rc = parse_dims(&c, a, j, diag);
    if (rc == LF_OK)
        rc = parse_act(&c, a, j, diag);
    if (rc == LF_OK)
        rc = parse_rope(&c, a, j, diag);
    if (rc == LF_OK)
        rc = parse_windows(&c, a, j, diag);
    if (rc == LF_OK)
        rc = parse_projections(&c, a, j, diag);
    if (rc == LF_OK)
        rc = parse_scales(&c, a, j, diag);
    if (rc == LF_OK)
        rc = lf_json_get_bool(&c.tied_head, j, "tie_word_embeddings", diag);
    if (rc == LF_OK)
        rc = parse_token_ids(&c, j, diag);
    if (rc == LF_OK)
        *out = c;
    return rc;
}

enum lf_err lf_config_load(struct lf_config *out, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_config c;
    json_t *j = NULL;
    if (lf_path_join(path, dir, "config.json", diag) != LF_OK)
        return LF_E_INVALID;
    enum lf_err rc = lf_json_load(&j, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_config_parse(&c, j, diag);
    json_decref(j);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc, "%s", path);
    if (lf_path_join(path, dir, "generation_config.json", diag) != LF_OK)
        return LF_E_INVALID;
    if (lf_file_exists(path)) {
        rc = lf_json_load(&j, path, diag);
        if (rc != LF_OK)
            return rc;
        rc = parse_token_ids(&c, j, diag);
        json_decref(j);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "%s", path);
    }
    *out = c;
    return LF_OK;
}

int lf_config_group(const struct lf_config *c, enum lf_group_kind g, int *first, int *n)
{
    int cols = 0;
    *first = 0;
    *n = 0;
    for (int p = 0; p < c->n_proj; p++) {
        if (c->proj[p].group != g)
            continue;
        if (*n == 0)
            *first = p;
        (*n)++;
        cols = c->proj[p].col + c->proj[p].N;
    }
    return cols;
}

int64_t lf_config_params(const struct lf_config *c)
{
    int norms = (c->parallel_block ? 1 : 2) + (c->post_norms ? 2 : 0);
    int64_t per_norm = c->layer_norm ? 2 * (int64_t)c->C : c->C;
    int64_t block = norms * per_norm + (c->qk_norm ? 2 * c->D : 0);
    for (int p = 0; p < c->n_proj; p++)
        block += (int64_t)c->proj[p].N * c->proj[p].K + (c->proj[p].bias ? c->proj[p].N : 0);
    int64_t tables = (int64_t)c->V * c->C * (c->tied_head ? 1 : 2) + (c->head_bias ? c->V : 0);
    return c->L * block + tables + per_norm;
}
