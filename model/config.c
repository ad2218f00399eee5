/* config.json into a description: the row of the model's architecture (model/arch.h) says what the
 * keys mean and what holds where they are missing. */
#include "model/arch.h"
#include "model/rope.h"

#include "core/file.h"
#include "core/json.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define N_EOS (int)(sizeof((struct lf_config *)0)->eos / sizeof(int32_t))

static const struct lf_arch *find_arch(struct lf_json_in *in)
{
    char list[LF_ARCH_LIST_BYTES];
    const char *type = lf_json_need_str(in, "model_type");
    const struct lf_arch *a = type ? lf_arch_find(type) : NULL;
    if (type && !a)
        in->rc =
            lf_fail(in->diag, LF_E_UNSUPPORTED, "model_type \"%.64s\" is not supported (%s are)",
                    type, lf_arch_list(list, false));
    return a;
}

/* The key is there, and null. */
static bool is_null(const struct lf_json_in *in, const char *key)
{
    return json_is_null(json_object_get(in->obj, key));
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

/* A size; otherwise 0: the key must be there. */
static int dim(struct lf_json_in *in, const char *key, int otherwise, int hi)
{
    int v = lf_json_int(in, key, otherwise, 1, hi);
    if (v == 0 && in->rc == LF_OK)
        in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" is missing", key);
    return v;
}

static void read_dims(struct lf_config *c, const struct lf_arch *a, struct lf_json_in *in)
{
    c->L = dim(in, "num_hidden_layers", 0, LF_LAYERS_MAX);
    c->C = dim(in, "hidden_size", 0, 1 << 16);
    c->F = dim(in, "intermediate_size", 0, 1 << 18);
    c->V = dim(in, "vocab_size", 0, 1 << 21);
    c->H = dim(in, "num_attention_heads", 0, 1 << 10);
    if (in->rc != LF_OK)
        return;
    /* null: as many as heads, whatever the architecture's habit */
    int kv_heads = a->kv_heads && !is_null(in, "num_key_value_heads") ? a->kv_heads : c->H;
    c->Hkv = dim(in, "num_key_value_heads", kv_heads, 1 << 10);
    c->D = dim(in, "head_dim", a->head_dim ? a->head_dim : c->C / c->H, LF_HEAD_DIM_MAX);
    c->positions_max = dim(in, "max_position_embeddings", 0, 1 << 24);
    if (in->rc != LF_OK)
        return;
    if (c->H % c->Hkv != 0)
        in->rc = lf_fail(in->diag, LF_E_INVALID,
                         "\"num_attention_heads\" %d is not a multiple of "
                         "\"num_key_value_heads\" %d",
                         c->H, c->Hkv);
    else if (c->D > LF_HEAD_DIM_MAX)
        in->rc = lf_fail(in->diag, LF_E_UNSUPPORTED,
                         "heads of %d dimensions are over the limit of %d", c->D, LF_HEAD_DIM_MAX);
}

/* ---- Activation ------------------------------------------------------------------------------ */

static void read_act(struct lf_config *c, const struct lf_arch *a, struct lf_json_in *in)
{
    static const struct {
        const char *name;
        enum lf_act_kind kind;
    } acts[] = {
        {"silu", LF_ACT_SILU},          {"swish", LF_ACT_SILU},
        {"gelu", LF_ACT_GELU_ERF},      {"gelu_pytorch_tanh", LF_ACT_GELU_TANH},
        {"gelu_new", LF_ACT_GELU_TANH}, {"gelu_fast", LF_ACT_GELU_TANH},
    };
    const char *name = lf_json_str(in, a->act_key, a->act);
    if (in->rc != LF_OK)
        return;
    if (a->gelu_is_tanh && strcmp(name, "gelu") == 0)
        name = "gelu_pytorch_tanh";
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strcmp(acts[i].name, name) == 0) {
            c->act = acts[i].kind;
            return;
        }
    in->rc =
        lf_fail(in->diag, LF_E_UNSUPPORTED, "\"%s\": \"%.64s\" is not supported", a->act_key, name);
}

/* ---- Windows --------------------------------------------------------------------------------- */

static void read_layer_types(struct lf_config *c, const json_t *types, int window,
                             struct lf_json_in *in)
{
    if (!json_is_array(types) || json_array_size(types) != (size_t)c->L) {
        in->rc =
            lf_fail(in->diag, LF_E_INVALID, "\"layer_types\" must be a list of %d names", c->L);
        return;
    }
    for (int l = 0; l < c->L && in->rc == LF_OK; l++) {
        const json_t *v = json_array_get(types, (size_t)l);
        const char *name = json_is_string(v) ? json_string_value(v) : "";
        if (strcmp(name, "sliding_attention") == 0 && window > 0)
            c->window[l] = window;
        else if (strcmp(name, "full_attention") != 0)
            in->rc =
                lf_fail(in->diag, LF_E_UNSUPPORTED, "\"layer_types\" has \"%.64s\" for layer %d%s",
                        name, l, window > 0 ? "" : " and there is no \"sliding_window\"");
    }
}

static void read_windows(struct lf_config *c, const struct lf_arch *a, struct lf_json_in *in)
{
    if (a->window == LF_WINDOW_NONE)
        return;
    int usual = is_null(in, "sliding_window") ? 0 : a->window_tokens, first = 0;
    int window = lf_json_int(in, "sliding_window", usual, 1, INT_MAX), full = a->full_every;
    if (a->window_opt_in) {
        if (!lf_json_bool(in, "use_sliding_window", false))
            window = 0;
        first = lf_json_int(in, "max_window_layers", 28, 0, INT_MAX);
    }
    if (a->full_every_key)
        full = lf_json_int(in, a->full_every_key, full, 1, INT_MAX);
    if (in->rc == LF_OK && a->local_theta_key && window == 0)
        in->rc = lf_fail(in->diag, LF_E_UNSUPPORTED,
                         "\"%s\" is for layers with a \"sliding_window\", and there is none",
                         a->local_theta_key);
    if (in->rc != LF_OK)
        return;
    const json_t *types = json_object_get(in->obj, "layer_types");
    if (a->window == LF_WINDOW_BY_TYPE && types && !json_is_null(types)) {
        read_layer_types(c, types, window, in);
        return;
    }
    for (int l = 0; l < c->L; l++)
        if (l >= first && !(full > 0 && (l + 1) % full == 0))
            c->window[l] = window;
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

static void read_projections(struct lf_config *c, const struct lf_arch *a, struct lf_json_in *in)
{
    bool attn_key = lf_json_bool(in, "attention_bias", false);
    bool mlp_key = lf_json_bool(in, "mlp_bias", false);
    bool qkv = a->qkv_bias == LF_BIAS_ALWAYS || (a->qkv_bias == LF_BIAS_BY_KEY && attn_key);
    bool o = a->o_bias == LF_BIAS_ALWAYS || (a->o_bias == LF_BIAS_BY_KEY && attn_key);
    bool mlp = a->mlp_bias == LF_BIAS_ALWAYS || (a->mlp_bias == LF_BIAS_BY_KEY && mlp_key);
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
}

/* ---- The rest -------------------------------------------------------------------------------- */

/* null switches a cap off; a missing key is the default. */
static float softcap(struct lf_json_in *in, const char *key, double otherwise)
{
    return (float)lf_json_real(in, key, is_null(in, key) ? 0 : otherwise, 0, 1e9);
}

static void read_scales(struct lf_config *c, const struct lf_arch *a, struct lf_json_in *in)
{
    double scalar = c->D;
    c->norm_eps = (float)lf_json_real(in, a->eps_key, a->eps, 0, 1);
    if (a->query_scalar > 0)
        scalar = lf_json_real(in, "query_pre_attn_scalar", a->query_scalar, 1e-6, 1e9);
    if (a->attn_softcaps)
        c->attn_softcap = softcap(in, "attn_logit_softcapping", a->attn_softcap);
    if (a->final_softcaps)
        c->final_softcap = softcap(in, "final_logit_softcapping", a->final_softcap);
    c->attn_scale = (float)(1.0 / sqrt(scalar));
    c->embed_scale = a->scaled_embed ? (float)sqrt((double)c->C) : 1.0f;
    c->tied_head = lf_json_bool(in, "tie_word_embeddings", a->tied_head);
}

static enum lf_err read_token_ids(struct lf_config *c, const json_t *j, struct lf_diag *diag)
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
static void refuse_others(struct lf_json_in *in)
{
    static const char *const flags[] = {"qk_layernorm", "use_bidirectional_attention",
                                        "is_encoder_decoder", "add_cross_attention"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags && in->rc == LF_OK; i++)
        if (json_is_true(json_object_get(in->obj, flags[i])))
            in->rc = lf_fail(in->diag, LF_E_UNSUPPORTED, "\"%s\" is not supported", flags[i]);
    const json_t *q = json_object_get(in->obj, "quantization_config");
    if (in->rc != LF_OK || !q || json_is_null(q))
        return;
    struct lf_json_in of = lf_json_in(q, in->diag);
    const char *method = lf_json_str(&of, "quant_method", "bitsandbytes");
    in->rc = of.rc;
    if (of.rc == LF_OK &&
        (strcmp(method, "bitsandbytes") != 0 || !json_is_true(json_object_get(q, "load_in_4bit"))))
        in->rc = lf_fail(in->diag, LF_E_UNSUPPORTED,
                         "quantization_config of method \"%.64s\" is not "
                         "supported (bitsandbytes with load_in_4bit is)",
                         method);
}

enum lf_err lf_config_parse(struct lf_config *out, const json_t *j, struct lf_diag *diag)
{
    if (!json_is_object(j))
        return lf_fail(diag, LF_E_INVALID, "the configuration is not a JSON object");
    struct lf_json_in in = lf_json_in(j, diag);
    const struct lf_arch *a = find_arch(&in);
    if (!a)
        return in.rc;
    struct lf_config c = {
        .layer_norm = a->layer_norm,
        .norm_plus_one = a->norm_plus_one,
        .parallel_block = a->parallel_block,
        .qk_norm = a->qk_norm,
        .gated = a->gated,
        .head_bias = a->head_bias,
        .norms = a->norms,
        .bos = -1,
    };
    snprintf(c.model_type, sizeof c.model_type, "%s", a->model_type);
    refuse_others(&in);
    read_dims(&c, a, &in);
    read_act(&c, a, &in);
    read_windows(&c, a, &in);
    lf_rope_read(&c, a, &in);
    read_projections(&c, a, &in);
    read_scales(&c, a, &in);
    if (in.rc == LF_OK)
        in.rc = read_token_ids(&c, j, diag);
    if (in.rc == LF_OK)
        *out = c;
    return in.rc;
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
        rc = read_token_ids(&c, j, diag);
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
    const struct lf_norm_names *n = &c->norms;
    int norms = !!n->attn + !!n->mlp + !!n->post_attn + !!n->post_mlp;
    int64_t per_norm = c->layer_norm ? 2 * (int64_t)c->C : c->C, block = norms * per_norm;
    if (c->qk_norm)
        block += lf_config_qk_norm_n(c, false) + lf_config_qk_norm_n(c, true);
    for (int p = 0; p < c->n_proj; p++)
        block += (int64_t)c->proj[p].N * c->proj[p].K + (c->proj[p].bias ? c->proj[p].N : 0);
    int64_t tables = (int64_t)c->V * c->C * (c->tied_head ? 1 : 2) + (c->head_bias ? c->V : 0);
    return c->L * block + tables + per_norm;
}
