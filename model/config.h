/* An architecture as a description: which norm, which activation, which bias, which rope, which
 * window. Read from a checkpoint's config.json; the one forward and one backward
 * (model/exec.h) branch on these fields and never on a model's name.
 * Immutable after load: any thread.
 */
#ifndef LF_MODEL_CONFIG_H
#define LF_MODEL_CONFIG_H

#include "core/err.h"
#include "core/limits.h"
#include "gpu/ops.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The linear maps of a block, in the order in which their inputs appear. Fused checkpoints (phi3)
 * have QKV in LF_PROJ_Q's place and GATE_UP in LF_PROJ_GATE's. */
enum lf_proj_kind {
    LF_PROJ_Q,
    LF_PROJ_K,
    LF_PROJ_V,
    LF_PROJ_O,
    LF_PROJ_GATE,
    LF_PROJ_UP,
    LF_PROJ_DOWN
};

/* Projections that read one input form a group. */
enum lf_group_kind { LF_GROUP_ATTN_IN, LF_GROUP_ATTN_OUT, LF_GROUP_MLP_IN, LF_GROUP_MLP_OUT };
#define LF_GROUPS 4

struct lf_proj {
    enum lf_proj_kind kind;
    enum lf_group_kind group;
    char module[32]; /* as in the checkpoint, under model.layers.<l>.: "self_attn.q_proj" */
    bool bias;       /* has one */
    int N, K;
    int col; /* its first column in the group's output */
};

/* What the checkpoint calls its norms, under model.layers.<l>. and (final) model. Static storage;
 * NULL where the architecture has none. attn and mlp stand before a branch's maps, post_attn and
 * post_mlp between them and the residual stream; q and k before the rotation. */
struct lf_norm_names {
    const char *attn, *mlp, *post_attn, *post_mlp, *q, *k, *final;
};

/* RMSNorm on q and k: none, of each head by itself (Qwen 3, Gemma 3), or of all heads of q, and of
 * k, as one row (Olmo 2). */
enum lf_qk_norm { LF_QK_NORM_NONE, LF_QK_NORM_HEADS, LF_QK_NORM_WHOLE };

enum lf_rope_kind {
    LF_ROPE_DEFAULT,
    LF_ROPE_LINEAR,
    LF_ROPE_LLAMA3,
    LF_ROPE_LONGROPE,
    LF_ROPE_YARN
};

/* How far the pairs of a head turn from one position to the next. */
struct lf_rope {
    enum lf_rope_kind kind;
    double theta;
    double factor;               /* linear, llama3, yarn */
    double low_freq, high_freq;  /* llama3 */
    double beta_fast, beta_slow; /* yarn */
    bool truncate;               /* yarn */
    double attention_factor;     /* longrope, yarn: scales cos and sin; else 1 */
    int original_positions;      /* llama3, yarn, longrope */
    double short_factor[LF_HEAD_DIM_MAX / 2], long_factor[LF_HEAD_DIM_MAX / 2]; /* longrope */
};

/* A model has one rope, or a second one for its layers with a window. */
enum lf_rope_place { LF_ROPE_GLOBAL, LF_ROPE_LOCAL, LF_ROPES_MAX };

struct lf_config {
    char model_type[32];       /* "llama", "gemma2" ... as in the file */
    int L, C, F, H, Hkv, D, V; /* layers, hidden, MLP inner, heads, kv heads, head dim, words */
    int positions_max;         /* max_position_embeddings */
    bool layer_norm;           /* LayerNorm with bias instead of RMSNorm */
    bool norm_plus_one;        /* the checkpoint stores w - 1 (Gemma) */
    float norm_eps;
    bool parallel_block; /* attention and MLP read the same normed input (Phi) */
    enum lf_qk_norm qk_norm;
    bool gated; /* gate and up (SwiGLU, GeGLU), else one fc1 */
    enum lf_act_kind act;
    float embed_scale; /* 1, or sqrt(C) (Gemma) */
    bool tied_head;    /* lm_head is the embedding */
    bool head_bias;    /* lm_head has a bias (Phi) */
    struct lf_norm_names norms;
    float attn_scale;                  /* 1/sqrt(D), or 1/sqrt(query_pre_attn_scalar) */
    float attn_softcap, final_softcap; /* 0: none */
    int window[LF_LAYERS_MAX];         /* a layer's sliding window, 0: none */
    /* Rotary embedding */
    int rot; /* rotated dims of a head, even */
    int n_ropes;
    struct lf_rope rope[LF_ROPES_MAX]; /* by lf_rope_place; longrope only where it is the one */
    uint8_t layer_rope[LF_LAYERS_MAX]; /* a layer's */
    /* Token ids; -1 or n = 0: none. generation_config.json's list wins over config.json's. */
    int32_t bos;
    int32_t eos[8];
    int n_eos;
    /* Projections, in lf_proj_kind order, absent ones left out. */
    int n_proj;
    struct lf_proj proj[LF_PROJ_MAX];
};

/* Reads DIR/config.json and DIR/generation_config.json (may be missing). An unknown model_type or
 * a setting that this program does not do is LF_E_UNSUPPORTED, naming it. */
enum lf_err lf_config_load(struct lf_config *out, const char *dir,
                           struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_config_parse(struct lf_config *out, const json_t *config,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* "mistral-7b", "llama-2-7b", "llama-3-8b", "llama-3-70b", "gemma-2b", "gemma-7b", "phi-2",
 * "small": shapes for benchmarks on random weights. LF_E_NOT_FOUND lists the names. */
enum lf_err lf_config_shape(struct lf_config *out, const char *name,
                            struct lf_diag *diag) LF_MUST_CHECK;

/* Sites are (layer, projection) pairs: what an adapter can target. */
static inline int lf_config_sites(const struct lf_config *c)
{
    return c->L * c->n_proj;
}
/* Elements of the norm of q, or of k: a head's, or all heads'. */
static inline int lf_config_qk_norm_n(const struct lf_config *c, bool k)
{
    return c->qk_norm == LF_QK_NORM_WHOLE ? (k ? c->Hkv : c->H) * c->D : c->D;
}
static inline bool lf_config_post_norms(const struct lf_config *c)
{
    return c->norms.post_attn || c->norms.post_mlp;
}
/* Columns of a group's output, and its projections' range [first, first + n). */
int lf_config_group(const struct lf_config *c, enum lf_group_kind g, int *first, int *n);
/* Weights of the model, embedding and head counted once each. */
int64_t lf_config_params(const struct lf_config *c);

#endif
