/* The table of architectures, as their modelling code in transformers has them. */
#include "model/arch.h"

#include <stdio.h>
#include <string.h>

/* Fields that many rows share. */
#define GATED                                                                  \
    .gated = true, .o_module = "self_attn.o_proj", .up_module = "mlp.up_proj", \
    .down_module = "mlp.down_proj", .partial_rotary = 1
#define RMS(e) .eps_key = "rms_norm_eps", .eps = e
#define LLAMA(e) GATED, RMS(e), .act_key = "hidden_act", .act = "silu", .theta = 1e4
#define BIAS_BY_KEY .qkv_bias = LF_BIAS_BY_KEY, .o_bias = LF_BIAS_BY_KEY
#define WINDOWS_BY_TYPE .window = LF_WINDOW_BY_TYPE, .window_tokens = 4096
#define PRE_NORMS .attn = "input_layernorm", .mlp = "post_attention_layernorm", .final = "norm"
#define FOUR_NORMS                                                                     \
    .attn = "input_layernorm", .mlp = "pre_feedforward_layernorm",                     \
    .post_attn = "post_attention_layernorm", .post_mlp = "post_feedforward_layernorm", \
    .final = "norm"
#define QK_NORMS .q = "self_attn.q_norm", .k = "self_attn.k_norm"
#define GEMMA                                                                                  \
    GATED, RMS(1e-6), .act = "gelu_pytorch_tanh", .norm_plus_one = true, .scaled_embed = true, \
                      .tied_head = true, BIAS_BY_KEY, .head_dim = 256

static const struct lf_arch archs[] = {
    {
        LLAMA(1e-6),
        .model_type = "llama",
        .hf_class = "LlamaForCausalLM",
        .gguf = "llama",
        .norms = {PRE_NORMS},
        BIAS_BY_KEY,
        .mlp_bias = LF_BIAS_BY_KEY,
        .gguf_pairs = true,
    },
    {
        LLAMA(1e-6),
        .model_type = "mistral",
        .hf_class = "MistralForCausalLM",
        .gguf = "llama",
        .gguf_pairs = true,
        .norms = {PRE_NORMS},
        .kv_heads = 8,
        .window = LF_WINDOW_ALL,
        .window_tokens = 4096,
    },
    {
        LLAMA(1e-6),
        .model_type = "ministral",
        .hf_class = "MinistralForCausalLM",
        .norms = {PRE_NORMS},
        .kv_heads = 8,
        WINDOWS_BY_TYPE,
    },
    {
        .model_type = "phi",
        .hf_class = "PhiForCausalLM",
        .gguf = "phi2",
        .layer_norm = true,
        .eps_key = "layer_norm_eps",
        .eps = 1e-5,
        .norms = {.attn = "input_layernorm", .final = "final_layernorm"},
        .parallel_block = true,
        .act_key = "hidden_act",
        .act = "gelu_new",
        .o_module = "self_attn.dense",
        .up_module = "mlp.fc1",
        .down_module = "mlp.fc2",
        .qkv_bias = LF_BIAS_ALWAYS,
        .o_bias = LF_BIAS_ALWAYS,
        .mlp_bias = LF_BIAS_ALWAYS,
        .head_bias = true,
        .theta = 1e4,
        .partial_rotary = 0.5,
    },
    {
        LLAMA(1e-5),
        .model_type = "phi3",
        .hf_class = "Phi3ForCausalLM",
        .gguf = "phi3",
        .norms = {PRE_NORMS},
        .fused = true,
        .window = LF_WINDOW_ALL,
        .original_positions = 4096,
        .yarn_is_longrope = true,
    },
    {
        GEMMA,
        .model_type = "gemma",
        .hf_class = "GemmaForCausalLM",
        .gguf = "gemma",
        .norms = {PRE_NORMS},
        .act_key = "hidden_act",
        .gelu_is_tanh = true,
        .kv_heads = 16,
        .theta = 1e4,
    },
    {
        GEMMA,
        .model_type = "gemma2",
        .hf_class = "Gemma2ForCausalLM",
        .gguf = "gemma2",
        .norms = {FOUR_NORMS},
        .act_key = "hidden_activation",
        .kv_heads = 4,
        .theta = 1e4,
        .query_scalar = 256,
        .gguf_scalar_layers = 46,
        .attn_softcaps = true,
        .final_softcaps = true,
        .attn_softcap = 50,
        .final_softcap = 30,
        WINDOWS_BY_TYPE,
        .full_every = 2,
    },
    {
        GEMMA,
        .model_type = "gemma3_text",
        .hf_class = "Gemma3ForCausalLM",
        .gguf = "gemma3",
        .norms = {FOUR_NORMS, QK_NORMS},
        .qk_norm = LF_QK_NORM_HEADS,
        .act_key = "hidden_activation",
        .kv_heads = 4,
        .query_scalar = 256,
        .gguf_scalar_layers = 62,
        .final_softcaps = true,
        WINDOWS_BY_TYPE,
        .full_every = 6,
        .full_every_key = "sliding_window_pattern",
        .theta = 1e6,
        .local_theta_key = "rope_local_base_freq",
        .local_theta = 1e4,
    },
    {
        LLAMA(1e-6),
        .model_type = "qwen2",
        .hf_class = "Qwen2ForCausalLM",
        .gguf = "qwen2",
        .norms = {PRE_NORMS},
        .qkv_bias = LF_BIAS_ALWAYS,
        WINDOWS_BY_TYPE,
        .window_opt_in = true,
    },
    {
        LLAMA(1e-6),
        .model_type = "qwen3",
        .hf_class = "Qwen3ForCausalLM",
        .gguf = "qwen3",
        .norms = {PRE_NORMS, QK_NORMS},
        .qk_norm = LF_QK_NORM_HEADS,
        .head_dim = 128,
        BIAS_BY_KEY,
        WINDOWS_BY_TYPE,
        .window_opt_in = true,
    },
    {
        LLAMA(1e-5),
        .model_type = "olmo2",
        .hf_class = "Olmo2ForCausalLM",
        .gguf = "olmo2",
        .norms = {.post_attn = "post_attention_layernorm",
                  .post_mlp = "post_feedforward_layernorm",
                  .final = "norm",
                  QK_NORMS},
        .qk_norm = LF_QK_NORM_WHOLE,
        BIAS_BY_KEY,
    },
};
#define N_ARCHS (sizeof archs / sizeof *archs)

const struct lf_arch *lf_arch_find(const char *model_type)
{
    for (size_t i = 0; i < N_ARCHS; i++)
        if (strcmp(archs[i].model_type, model_type) == 0)
            return &archs[i];
    return NULL;
}

const struct lf_arch *lf_arch_find_gguf(struct lf_str name)
{
    for (size_t i = 0; i < N_ARCHS; i++) {
        const char *own = archs[i].gguf;
        if (own && strlen(own) == name.n && memcmp(own, name.s, name.n) == 0)
            return &archs[i];
    }
    return NULL;
}

const char *lf_arch_list(char out[LF_ARCH_LIST_BYTES], bool gguf)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < N_ARCHS; i++) {
        const char *name = gguf ? archs[i].gguf : archs[i].model_type;
        bool told =
            gguf && name && lf_arch_find_gguf((struct lf_str){name, strlen(name)}) != &archs[i];
        if (name && !told && n < LF_ARCH_LIST_BYTES)
            n += (size_t)snprintf(out + n, LF_ARCH_LIST_BYTES - n, "%s%s", n ? ", " : "", name);
    }
    return out;
}
