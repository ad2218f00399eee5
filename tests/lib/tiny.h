/* A tiny random base on a device, with slots and an exec: what tests of the rooms above the model
 * stand on where they need arithmetic and no particular weights. Failures are cmocka's. */
#ifndef LF_TESTS_TINY_H
#define LF_TESTS_TINY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/json.h"
#include "model/exec.h"

#include <string.h>

struct tiny {
    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_model *model;
    struct lf_slots *slots;
    struct lf_exec *exec;
};

static inline void must(enum lf_err rc, const struct lf_diag *diag)
{
    if (rc != LF_OK)
        fail_msg("%s: %s", lf_err_name(rc), diag->text);
}

/* 2 layers, hidden 64, 4 and 2 heads of 16, vocabulary 512, 256 positions. */
#define TINY_SIZES                                                            \
    "\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":2,"   \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":512," \
    "\"max_position_embeddings\":256,\"rms_norm_eps\":1e-5,\"bos_token_id\":1,\"eos_token_id\":0"

#define TINY_SEED 7

/* From the text of a config.json; NF4. options NULL: two threads and products in fp32. */
static inline void tiny_open_as(struct tiny *t, const char *text, enum lf_device_kind kind,
                                const struct lf_device_options *options, int n_slots,
                                const struct lf_exec_limits *limits)
{
    static const struct lf_device_options usual = {.threads = 2, .cpu_products = LF_CPU_FP32};
    struct lf_diag diag = {""};
    struct lf_config config;
    json_t *j;
    must(lf_json_parse(&j, text, strlen(text), &diag), &diag);
    must(lf_config_parse(&config, j, &diag), &diag);
    json_decref(j);
    must(lf_device_open(&t->dev, kind, options ? options : &usual, &diag), &diag);
    must(lf_stream_new(&t->stream, t->dev, 0, &diag), &diag);
    must(lf_model_random(&t->model, t->stream, &config, LF_QUANT_NF4, TINY_SEED, &diag), &diag);
    must(lf_slots_new(&t->slots, t->dev, &t->model->config, n_slots, &diag), &diag);
    must(lf_exec_new(&t->exec, t->stream, t->model, t->slots, limits, &diag), &diag);
}

#define TINY_CONFIG "{\"model_type\":\"llama\"," TINY_SIZES ",\"tie_word_embeddings\":true}"

static inline void tiny_open(struct tiny *t, enum lf_device_kind kind, int n_slots,
                             const struct lf_exec_limits *limits)
{
    tiny_open_as(t, TINY_CONFIG, kind, NULL, n_slots, limits);
}

static inline void tiny_close(struct tiny *t)
{
    lf_exec_free(t->exec);
    lf_slots_free(t->slots);
    lf_model_free(t->model);
    lf_stream_free(t->stream);
    lf_device_free(t->dev);
}

#endif
