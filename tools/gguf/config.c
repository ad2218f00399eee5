/* config.json from a GGUF file's keys. */
#include "tools/gguf/inside.h"

#include "model/arch.h"

#include <math.h>
#include <stdio.h>

#define KEY_BYTES 96

struct maker {
    const struct lf_gguf *g;
    const struct lf_arch *arch;
    json_t *j;
    int64_t layers, hidden, heads, head_dim, context;
    struct lf_diag *diag;
};

/* "llama.block_count" */
static const char *full_key(char out[KEY_BYTES], const struct maker *m, const char *key)
{
    snprintf(out, KEY_BYTES, "%.16s.%.72s", m->arch->gguf, key);
    return out;
}

static bool get_int(const struct maker *m, const char *key, int64_t *out)
{
    char full[KEY_BYTES];
    return lf_gguf_int(m->g, full_key(full, m, key), out);
}

static bool get_real(const struct maker *m, const char *key, double *out)
{
    char full[KEY_BYTES];
    return lf_gguf_real(m->g, full_key(full, m, key), out) && isfinite(*out);
}

static bool has(const struct maker *m, const char *key)
{
    char full[KEY_BYTES];
    return lf_gguf_find(m->g, full_key(full, m, key)) != NULL;
}

static enum lf_err need_int(const struct maker *m, const char *key, int64_t *out)
{
    char full[KEY_BYTES];
    if (lf_gguf_int(m->g, full_key(full, m, key), out) && *out > 0 && *out <= INT32_MAX)
        return LF_OK;
    return lf_fail(m->diag, LF_E_DAMAGED, "key \"%s\" is missing or no size", full);
}

static void set(struct maker *m, const char *key, json_t *value)
{
    json_object_set_new(m->j, key, value);
}

/* ---- Sizes ----------------------------------------------------------------------------------- */

static enum lf_err sizes(struct maker *m)
{
    int64_t inner, kv;
    const struct lf_gguf_tensor *embed = lf_gguf_tensor(m->g, "token_embd.weight");
    enum lf_err rc = need_int(m, "block_count", &m->layers);
    rc = rc ?: need_int(m, "embedding_length", &m->hidden);
    rc = rc ?: need_int(m, "feed_forward_length", &inner);
    rc = rc ?: need_int(m, "context_length", &m->context);
    rc = rc ?: need_int(m, "attention.head_count", &m->heads);
    if (rc == LF_OK && (!embed || embed->n_dims != 2))
        rc = lf_fail(m->diag, LF_E_DAMAGED, "tensor \"token_embd.weight\" is missing");
    if (rc != LF_OK)
        return rc;
    kv = m->heads;
    get_int(m, "attention.head_count_kv", &kv);
    m->head_dim = m->hidden / m->heads;
    if (get_int(m, "attention.key_length", &m->head_dim))
        set(m, "head_dim", json_integer(m->head_dim));
    set(m, "num_hidden_layers", json_integer(m->layers));
    set(m, "hidden_size", json_integer(m->hidden));
    set(m, "intermediate_size", json_integer(inner));
    set(m, "max_position_embeddings", json_integer(m->context));
    set(m, "num_attention_heads", json_integer(m->heads));
    set(m, "num_key_value_heads", json_integer(kv));
    set(m, "vocab_size", json_integer(embed->dims[1]));
    set(m, "tie_word_embeddings", json_boolean(!lf_gguf_tensor(m->g, "output.weight")));
    return LF_OK;
}

/* ---- Rotary embedding ------------------------------------------------------------------------ */

/* Llama 3's scaling comes as a tensor of factors, one a pair: they must be those of the formula. */
static bool is_llama3(const struct lf_gguf_tensor *t, double theta, double factor, int64_t rot)
{
    const double original = 8192, low = 1, high = 4;
    if (t->n_dims != 1 || t->dims[0] != rot / 2 || t->form->elements != 1)
        return false;
    for (int64_t i = 0; i < rot / 2; i++) {
        float got;
        double wave = 2 * M_PI * pow(theta, 2.0 * (double)i / (double)rot), want = 1;
        double smooth = (original / wave - low) / (high - low);
        if (wave > original / low)
            want = factor;
        else if (wave > original / high)
            want = 1 / ((1 - smooth) / factor + smooth);
        lf_gguf_widen(&got, t, (size_t)i, 1);
        if (!(fabs((double)got - want) <= 1e-3 * want))
            return false;
    }
    return true;
}

static enum lf_err llama3_scaling(struct maker *m, const struct lf_gguf_tensor *t, double theta,
                                  int64_t rot)
{
    static const double factors[] = {8, 32, 4, 16};
    for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
        if (is_llama3(t, theta, factors[i], rot)) {
            set(m, "rope_scaling",
                json_pack("{s:s,s:f,s:f,s:f,s:i}", "rope_type", "llama3", "factor", factors[i],
                          "low_freq_factor", 1.0, "high_freq_factor", 4.0,
                          "original_max_position_embeddings", 8192));
            return LF_OK;
        }
    return lf_fail(m->diag, LF_E_UNSUPPORTED, "tensor \"rope_freqs.weight\" is not Llama 3's");
}

static json_t *factors_of(const struct lf_gguf_tensor *t, int64_t n)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) {
        float x;
        lf_gguf_widen(&x, t, (size_t)i, 1);
        json_array_append_new(list, json_real((double)x));
    }
    return list;
}

static enum lf_err longrope_scaling(struct maker *m, int64_t rot)
{
    const struct lf_gguf_tensor *t[2] = {lf_gguf_tensor(m->g, "rope_factors_short.weight"),
                                         lf_gguf_tensor(m->g, "rope_factors_long.weight")};
    int64_t original;
    for (int i = 0; i < 2; i++)
        if (!t[i] || t[i]->n_dims != 1 || t[i]->dims[0] != rot / 2 || t[i]->form->elements != 1)
            return lf_fail(m->diag, LF_E_DAMAGED,
                           "rope_factors_short and rope_factors_long are "
                           "not %lld numbers each",
                           (long long)(rot / 2));
    enum lf_err rc = need_int(m, "rope.scaling.original_context_length", &original);
    if (rc != LF_OK)
        return rc;
    json_t *r = json_pack("{s:s}", "type", "longrope");
    double attention;
    if (get_real(m, "rope.scaling.attn_factor", &attention))
        json_object_set_new(r, "attention_factor", json_real(attention));
    json_object_set_new(r, "short_factor", factors_of(t[0], rot / 2));
    json_object_set_new(r, "long_factor", factors_of(t[1], rot / 2));
    set(m, "original_max_position_embeddings", json_integer(original));
    set(m, "rope_scaling", r);
    return LF_OK;
}

static enum lf_err rope(struct maker *m)
{
    double theta = m->arch->theta, factor = 1, local;
    int64_t rot = m->head_dim;
    struct lf_str kind = {"none", 4};
    char full[KEY_BYTES];
    get_real(m, "rope.freq_base", &theta);
    get_int(m, "rope.dimension_count", &rot);
    set(m, "rope_theta", json_real(theta));
    if (m->arch->local_theta_key && get_real(m, "rope.freq_base_swa", &local))
        set(m, m->arch->local_theta_key, json_real(local));
    if (rot < 2 || rot > m->head_dim)
        return lf_fail(m->diag, LF_E_DAMAGED, "rope.dimension_count %lld of heads of %lld",
                       (long long)rot, (long long)m->head_dim);
    if (rot < m->head_dim)
        set(m, "partial_rotary_factor", json_real((double)rot / (double)m->head_dim));
    const struct lf_gguf_tensor *freqs = lf_gguf_tensor(m->g, "rope_freqs.weight");
    if (freqs)
        return llama3_scaling(m, freqs, theta, rot);
    if (lf_gguf_tensor(m->g, "rope_factors_long.weight"))
        return longrope_scaling(m, rot);
    bool linear = get_real(m, "rope.scale_linear", &factor);
    lf_gguf_str(m->g, full_key(full, m, "rope.scaling.type"), &kind);
    if (lf_str_is(kind, "linear"))
        linear = get_real(m, "rope.scaling.factor", &factor);
    else if (!lf_str_is(kind, "none"))
        return lf_fail(m->diag, LF_E_UNSUPPORTED, "rope.scaling.type \"%.*s\" is not supported",
                       (int)(kind.n < 32 ? kind.n : 32), kind.s);
    if (linear && factor != 1)
        set(m, "rope_scaling", json_pack("{s:s,s:f}", "type", "linear", "factor", factor));
    return LF_OK;
}

/* ---- The rest -------------------------------------------------------------------------------- */

/* Windows. Where the architecture has none a file with one is another (OLMo 3 calls itself olmo2).
 */
static enum lf_err windows(struct maker *m)
{
    const struct lf_arch *a = m->arch;
    int64_t window = 0, full;
    if (!get_int(m, "attention.sliding_window", &window) || window <= 0 || a->window_opt_in)
        return LF_OK;
    if (a->window == LF_WINDOW_NONE && window < m->context)
        return lf_fail(m->diag, LF_E_UNSUPPORTED, "%s.attention.sliding_window is not supported",
                       a->gguf);
    if (a->window == LF_WINDOW_NONE)
        return LF_OK;
    set(m, "sliding_window", json_integer(window));
    if (!a->full_every_key || !has(m, "attention.sliding_window_pattern"))
        return LF_OK;
    if (!get_int(m, "attention.sliding_window_pattern", &full))
        return lf_fail(m->diag, LF_E_UNSUPPORTED,
                       "%s.attention.sliding_window_pattern by layer is not supported", a->gguf);
    set(m, a->full_every_key, json_integer(full));
    return LF_OK;
}

static enum lf_err norms_and_caps(struct maker *m)
{
    const struct lf_arch *a = m->arch;
    const char *key =
        a->layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    double eps, cap;
    if (!get_real(m, key, &eps))
        return lf_fail(m->diag, LF_E_DAMAGED, "key \"%s.%s\" is missing", a->gguf, key);
    set(m, a->eps_key, json_real(eps));
    if (a->attn_softcaps && get_real(m, "attn_logit_softcapping", &cap))
        set(m, "attn_logit_softcapping", json_real(cap));
    if (a->final_softcaps && get_real(m, "final_logit_softcapping", &cap))
        set(m, "final_logit_softcapping", json_real(cap));
    if (a->query_scalar > 0) {
        bool other = m->layers == a->gguf_scalar_layers;
        set(m, "query_pre_attn_scalar", json_integer(other ? m->hidden / m->heads : m->head_dim));
    }
    return LF_OK;
}

static void biases(struct maker *m)
{
    if (m->arch->qkv_bias == LF_BIAS_BY_KEY && lf_gguf_tensor(m->g, "blk.0.attn_q.bias"))
        set(m, "attention_bias", json_true());
    if (m->arch->mlp_bias == LF_BIAS_BY_KEY && lf_gguf_tensor(m->g, "blk.0.ffn_up.bias"))
        set(m, "mlp_bias", json_true());
}

static void token_ids(struct maker *m)
{
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    int64_t id, seen[3];
    size_t n = 0;
    json_t *list = json_array();
    if (lf_gguf_int(m->g, "tokenizer.ggml.bos_token_id", &id) && id >= 0 && id <= INT32_MAX)
        set(m, "bos_token_id", json_integer(id));
    for (size_t i = 0; i < 3; i++) {
        bool fresh = lf_gguf_int(m->g, ends[i], &id) && id >= 0 && id <= INT32_MAX;
        for (size_t k = 0; k < n; k++)
            fresh = fresh && seen[k] != id;
        if (fresh)
            json_array_append_new(list, json_integer(seen[n++] = id));
    }
    set(m, "eos_token_id", list);
}

static enum lf_err find_arch(struct maker *m)
{
    struct lf_str name = {"", 0};
    char list[LF_ARCH_LIST_BYTES];
    lf_gguf_str(m->g, "general.architecture", &name);
    m->arch = lf_arch_find_gguf(name);
    if (m->arch)
        return LF_OK;
    return lf_fail(m->diag, LF_E_UNSUPPORTED, "architecture \"%.*s\" is not supported (%s are)",
                   (int)(name.n < 64 ? name.n : 64), name.s, lf_arch_list(list, true));
}

enum lf_err lf_gguf_config(json_t **out, const struct lf_gguf *g, const char *dtype,
                           struct lf_diag *diag)
{
    struct maker m = {.g = g, .diag = diag};
    enum lf_err rc = find_arch(&m);
    if (rc != LF_OK)
        return rc;
    m.j = json_pack("{s:s,s:[s],s:s}", "model_type", m.arch->model_type, "architectures",
                    m.arch->hf_class, "torch_dtype", dtype);
    if (!m.j)
        return lf_no_memory(diag, "config.json");
    rc = sizes(&m) ?: rope(&m) ?: windows(&m) ?: norms_and_caps(&m);
    if (rc != LF_OK) {
        json_decref(m.j);
        return rc;
    }
    biases(&m);
    token_ids(&m);
    *out = m.j;
    return LF_OK;
}
