/* What is known of an architecture beside what its files say: one row of one table (arch.c) for
 * each family that is supported. model/config.c reads config.json by it, tools/gguf/ a GGUF file's
 * keys; from there on everything is a field of struct lf_config, and no code asks for a name.
 *
 * A row says what transformers' modelling code does, key by key; nothing of a family is inferred
 * from another trait of it. Immutable, static storage: any thread. */
#ifndef LF_MODEL_ARCH_H
#define LF_MODEL_ARCH_H

#include "core/str.h"
#include "model/config.h"

enum lf_bias_rule {
    LF_BIAS_NONE,
    LF_BIAS_ALWAYS,
    LF_BIAS_BY_KEY /* "attention_bias", "mlp_bias" */
};

enum lf_window_rule {
    LF_WINDOW_NONE,
    LF_WINDOW_ALL,    /* "sliding_window" holds in every layer */
    LF_WINDOW_BY_TYPE /* in those that "layer_types" says, or full_every where there is none */
};

struct lf_arch {
    const char *model_type; /* config.json's */
    const char *hf_class;   /* its entry in "architectures" */
    const char *gguf; /* "general.architecture" of a GGUF file; NULL: there is none. Where rows
                         share it, a file is the first one's */
    /* The block */
    bool layer_norm, norm_plus_one, parallel_block, gated;
    bool fused; /* q, k, v are one matrix; gate and up, too */
    enum lf_qk_norm qk_norm;
    struct lf_norm_names norms; /* NULL: the block has no such norm */
    const char *eps_key;
    double eps; /* this and what follows: when the file does not say */
    enum lf_bias_rule qkv_bias, o_bias, mlp_bias;
    const char *o_module, *up_module, *down_module;
    const char *act_key, *act;
    bool gelu_is_tanh; /* early files say "gelu" and mean the tanh form */
    int head_dim;      /* 0: hidden / heads */
    int kv_heads;      /* 0: as many as heads */
    bool gguf_pairs;   /* GGUF's q and k stand in another order: rotation's pairs together */
    /* The ends */
    bool scaled_embed; /* by sqrt(C) */
    bool tied_head;
    bool head_bias;
    /* Attention scores */
    double query_scalar;    /* "query_pre_attn_scalar"; 0: the key is not read, it is head_dim */
    int gguf_scalar_layers; /* the model of so many layers scales by hidden / heads (GGUF has no key
                               for it), the others by head_dim */
    bool attn_softcaps;     /* "attn_logit_softcapping" counts */
    bool final_softcaps;    /* "final_logit_softcapping" counts */
    double attn_softcap, final_softcap; /* null switches them off */
    /* Windows */
    enum lf_window_rule window;
    int window_tokens;          /* null: no window */
    bool window_opt_in;         /* only with "use_sliding_window", from "max_window_layers" on */
    int full_every;             /* every n-th layer has no window; 0: all have it */
    const char *full_every_key; /* or this key's number; NULL: there is none */
    /* Rotary embedding */
    double theta;           /* "rope_theta" */
    double partial_rotary;  /* "partial_rotary_factor" */
    int original_positions; /* "original_max_position_embeddings"; 0: max_position_embeddings */
    bool yarn_is_longrope;  /* early files say "yarn" for what was then named longrope */
    /* Layers with a window have a rope of their own, of this key's base: without scaling, or what
     * "rope_parameters" says for "sliding_attention". NULL: all layers have one rope. */
    const char *local_theta_key;
    double local_theta;
};

/* NULL: not supported. */
const struct lf_arch *lf_arch_find(const char *model_type);
const struct lf_arch *lf_arch_find_gguf(struct lf_str architecture);

#define LF_ARCH_LIST_BYTES 256
/* "llama, mistral, phi": the model types, or GGUF's names, for messages. Returns out. */
const char *lf_arch_list(char out[LF_ARCH_LIST_BYTES], bool gguf);

#endif
