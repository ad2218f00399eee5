/* A small llama checkpoint on disk, for tests of the model room that need one. */
#ifndef LF_TESTS_TINY_H
#define LF_TESTS_TINY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/file.h"
#include "core/rng.h"
#include "model/model.h"
#include "model/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TINY_CONFIG                                                                \
    "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":96,"       \
    "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2," \
    "\"vocab_size\":64,\"max_position_embeddings\":128,\"eos_token_id\":2}"

static inline void ok(enum lf_err rc, const struct lf_diag *diag)
{
    if (rc != LF_OK)
        fail_msg("%s: %s", lf_err_name(rc), diag->text);
}

static inline void tiny_file(const char *dir, const char *name, const char *text)
{
    struct lf_diag diag;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    ok(lf_file_write(path, text, strlen(text), &diag), &diag);
}

/* One tensor of random bf16 numbers, or of fp32 for vectors. */
static inline void tiny_add(struct lf_tensor *t, size_t *n, char (*names)[96], const char *name,
                            int N, int K)
{
    size_t count = (size_t)N * (size_t)(K ? K : 1);
    float *x = malloc(count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = K ? 0.2f * (lf_rng_unit(lf_rng_u32(1, i, *n)) - 0.5f) : 1.0f;
    snprintf(names[*n], sizeof *names, "%s", name);
    void *data = malloc(count * sizeof *x);
    enum lf_dtype dtype = K ? LF_BF16 : LF_F32;
    lf_from_f32(data, dtype, x, count);
    free(x);
    t[*n] = (struct lf_tensor){
        .name = names[*n], .dtype = dtype, .n_dims = K ? 2 : 1, .dims = {N, K}, .data = data};
    (*n)++;
}

/* Writes DIR/config.json and DIR/model.safetensors; `skip` names a tensor to leave out. */
static inline void tiny_write(const char *dir, const char *skip)
{
    static const struct {
        const char *module;
        int N, K;
    } parts[] = {
        {"input_layernorm", 64, 0},   {"post_attention_layernorm", 64, 0},
        {"self_attn.q_proj", 64, 64}, {"self_attn.k_proj", 32, 64},
        {"self_attn.v_proj", 32, 64}, {"self_attn.o_proj", 64, 64},
        {"mlp.gate_proj", 96, 64},    {"mlp.up_proj", 96, 64},
        {"mlp.down_proj", 64, 96},
    };
    struct lf_diag diag;
    struct lf_tensor t[32], sorted[32];
    char names[32][96], path[512];
    size_t n = 0, m = 0;
    tiny_add(t, &n, names, "model.embed_tokens.weight", 64, 64);
    tiny_add(t, &n, names, "lm_head.weight", 64, 64);
    tiny_add(t, &n, names, "model.norm.weight", 64, 0);
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            char name[96];
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, parts[i].module);
            tiny_add(t, &n, names, name, parts[i].N, parts[i].K);
        }
    for (int wide = 1; wide >= 0; wide--) /* fp32 first: aligned */
        for (size_t i = 0; i < n; i++)
            if ((t[i].dtype == LF_F32) == wide && (!skip || strcmp(skip, t[i].name) != 0))
                sorted[m++] = t[i];
    tiny_file(dir, "config.json", TINY_CONFIG);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    ok(lf_tensors_write(path, sorted, m, &diag), &diag);
    for (size_t i = 0; i < n; i++)
        free((void *)(uintptr_t)t[i].data);
}

static inline struct lf_config tiny_config(void)
{
    struct lf_config c;
    struct lf_diag diag;
    json_t *j;
    j = json_loads(TINY_CONFIG, 0, NULL);
    ok(lf_config_parse(&c, j, &diag), &diag);
    json_decref(j);
    return c;
}

#endif
