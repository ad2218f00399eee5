/* A base model: its description, its weights on a device, its tokenizer and chat template.
 *
 * Opened once and shared; immutable afterwards. A Hugging Face checkpoint directory goes in: fp32,
 * fp16 or bf16 safetensors (one file or shards), or a bitsandbytes-serialised 4-bit one, which is
 * used as it is. With LF_QUANT_NF4 the blocks' linear weights are quantised (threads, or the GPU)
 * and, with a cache directory, kept there so that the next start maps them.
 */
#ifndef LF_MODEL_MODEL_H
#define LF_MODEL_MODEL_H

#include "core/err.h"
#include "core/file.h"
#include "gpu/ops.h"
#include "text/chat.h"
#include "model/config.h"
#include "text/tokenizer.h"

enum lf_quant {
    LF_QUANT_NONE, /* block linears as stored (4-bit stays 4-bit) */
    LF_QUANT_NF4   /* block linears in NF4 with double quantisation */
};

struct lf_model_options {
    enum lf_quant quant;
    const char *cache_dir; /* where quantised copies are kept, by digest; NULL: nowhere. One that
                              cannot be written is done without */
    /* Progress of a long load, 0..1, or NULL. Called on the opening thread. */
    void (*progress)(void *arg, double fraction, const char *what);
    void *progress_arg;
    /* The checkpoint's own, where the caller has opened it already: borrowed, and must outlive the
     * model, which then has no chat template. NULL: both are opened. */
    struct lf_tokenizer *tokenizer;
};

struct lf_layer {
    struct lf_weight w[LF_PROJ_MAX]; /* by index in config.proj */
    /* NULL where config.norms has none */
    const float *attn_norm, *attn_norm_b;
    const float *mlp_norm, *mlp_norm_b;
    const float *post_attn_norm, *post_mlp_norm;
    const float *q_norm, *k_norm; /* (lf_config_qk_norm_n) */
};

struct lf_model {
    char name[65]; /* the directory's name, or the shape's */
    struct lf_config config;
    struct lf_device *dev;
    struct lf_weight embed; /* (V, C) */
    struct lf_weight head;  /* (V, C); the embedding's memory when tied */
    struct lf_layer *layers;
    const float *final_norm, *final_norm_b;
    struct {
        const float *cos_,
            *sin_;        /* (rows, rot/2), device; which row is a position's: model/rope.h */
    } rope[LF_ROPES_MAX]; /* config.n_ropes of them; a layer's is config.layer_rope[l] */
    int rope_positions;   /* = positions_max */
    size_t weight_bytes;  /* on the device */
    size_t mapped_bytes;  /* of them, where a host device reads them in the files' own pages */
    struct lf_tokenizer *tokenizer; /* NULL for a shape without one */
    bool tokenizer_borrowed;
    struct lf_chat *chat;       /* NULL: the checkpoint has none, or it was refused: */
    struct lf_diag chat_reason; /* why chat is NULL */
    char *dir;                  /* the checkpoint; NULL: random weights; owned */
    char digest[65]; /* tells one base from another: SHA-256 over config.json, the tensors'
                        names, dtypes and shapes, and a sample of each one's bytes */
    struct lf_model_memory *memory; /* what lf_model_free releases */
};

/* LF_E_UNSUPPORTED names what is not done; LF_E_DAMAGED what does not fit. Yours, free with
 * lf_model_free. `stream` is used for uploads and is idle again on return. */
enum lf_err lf_model_open(struct lf_model **out, struct lf_stream *stream, const char *dir,
                          const struct lf_model_options *options,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* Description, tokenizer and chat template alone: for who makes rows of a data set and no more. */
enum lf_err lf_model_open_text(struct lf_model **out, const char *dir,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* The names of a checkpoint's safetensors files, in order, into an empty list. */
enum lf_err lf_model_dir_weights(struct lf_names *out, const char *dir,
                                 struct lf_diag *diag) LF_MUST_CHECK;
/* What a checkpoint's directory is, without reading all of it: SHA-256 over its config.json and its
 * safetensors files' names and sizes. */
enum lf_err lf_model_dir_digest(char out[LF_SHA256_HEX], const char *dir,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* Random weights of a shape (lf_config_shape), reproducible from the seed; for benchmarks, and for
 * plans: on a device that is on paper they have no values. */
enum lf_err lf_model_random(struct lf_model **out, struct lf_stream *stream,
                            const struct lf_config *config, enum lf_quant quant, uint64_t seed,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_model_free(struct lf_model *m);
/* Ids that end a text: generation_config.json's, config.json's, or the tokenizer's eos. */
static inline bool lf_model_is_eos(const struct lf_model *m, int32_t id)
{
    for (int i = 0; i < m->config.n_eos; i++)
        if (m->config.eos[i] == id)
            return true;
    return m->tokenizer && id >= 0 && lf_tokenizer_eos(m->tokenizer) == id;
}
/* The one that training puts after a completion, or -1. */
static inline int32_t lf_model_eos(const struct lf_model *m)
{
    if (m->config.n_eos > 0)
        return m->config.eos[0];
    return m->tokenizer ? lf_tokenizer_eos(m->tokenizer) : -1;
}

/* Writes DIR as transformers + bitsandbytes do: model.safetensors with 4-bit block linears and the
 * rest as it was, config.json with a quantization_config, and the tokenizer's
 * files. The stream's device quantises. */
enum lf_err lf_model_quantize(struct lf_stream *s, const char *src_dir, const char *dst_dir,
                              void (*progress)(void *arg, double fraction, const char *what),
                              void *progress_arg, struct lf_diag *diag) LF_MUST_CHECK;

#endif
