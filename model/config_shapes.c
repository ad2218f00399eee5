/* Shapes of well-known models, for benchmarks on random weights: their published config.json,
 * read by the same parser as any checkpoint's. */
#include "model/config.h"

#include "core/buf.h"
#include "core/json.h"
#include "core/limits.h"

#include <string.h>

static const struct {
    const char *name, *json;
} shapes[] = {
    {"small", "{\"model_type\":\"llama\",\"hidden_size\":384,\"intermediate_size\":1024,"
              "\"num_hidden_layers\":8,\"num_attention_heads\":6,\"num_key_value_heads\":2,"
              "\"vocab_size\":4096,\"max_position_embeddings\":2048,\"rms_norm_eps\":1e-5,"
              "\"tie_word_embeddings\":true}"},
    {"mistral-7b", "{\"model_type\":\"mistral\",\"hidden_size\":4096,\"intermediate_size\":14336,"
                   "\"num_hidden_layers\":32,\"num_attention_heads\":32,\"num_key_value_heads\":8,"
                   "\"vocab_size\":32000,\"max_position_embeddings\":32768,"
                   "\"sliding_window\":4096,\"rms_norm_eps\":1e-5,\"rope_theta\":10000.0}"},
    {"llama-2-7b", "{\"model_type\":\"llama\",\"hidden_size\":4096,\"intermediate_size\":11008,"
                   "\"num_hidden_layers\":32,\"num_attention_heads\":32,\"vocab_size\":32000,"
                   "\"max_position_embeddings\":4096,\"rms_norm_eps\":1e-5}"},
    {"llama-3-8b", "{\"model_type\":\"llama\",\"hidden_size\":4096,\"intermediate_size\":14336,"
                   "\"num_hidden_layers\":32,\"num_attention_heads\":32,\"num_key_value_heads\":8,"
                   "\"vocab_size\":128256,\"max_position_embeddings\":8192,"
                   "\"rms_norm_eps\":1e-5,\"rope_theta\":500000.0}"},
    {"llama-3-70b", "{\"model_type\":\"llama\",\"hidden_size\":8192,\"intermediate_size\":28672,"
                    "\"num_hidden_layers\":80,\"num_attention_heads\":64,\"num_key_value_heads\":8,"
                    "\"vocab_size\":128256,\"max_position_embeddings\":8192,"
                    "\"rms_norm_eps\":1e-5,\"rope_theta\":500000.0}"},
    {"gemma-2b", "{\"model_type\":\"gemma\",\"hidden_size\":2048,\"intermediate_size\":16384,"
                 "\"num_hidden_layers\":18,\"num_attention_heads\":8,\"num_key_value_heads\":1,"
                 "\"head_dim\":256,\"vocab_size\":256000,\"max_position_embeddings\":8192}"},
    {"gemma-7b", "{\"model_type\":\"gemma\",\"hidden_size\":3072,\"intermediate_size\":24576,"
                 "\"num_hidden_layers\":28,\"num_attention_heads\":16,\"num_key_value_heads\":16,"
                 "\"head_dim\":256,\"vocab_size\":256000,\"max_position_embeddings\":8192}"},
    {"phi-2", "{\"model_type\":\"phi\",\"hidden_size\":2560,\"intermediate_size\":10240,"
              "\"num_hidden_layers\":32,\"num_attention_heads\":32,\"vocab_size\":51200,"
              "\"max_position_embeddings\":2048,\"partial_rotary_factor\":0.4}"},
};

enum lf_err lf_config_shape(struct lf_config *out, const char *name, struct lf_diag *diag)
{
    struct lf_buf names;
    lf_buf_init(&names, LF_DIAG_MAX);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (strcmp(shapes[i].name, name) == 0) {
            lf_buf_free(&names);
            json_t *j;
            enum lf_err rc = lf_json_parse(&j, shapes[i].json, strlen(shapes[i].json), diag);
            if (rc != LF_OK)
                return rc;
            rc = lf_config_parse(out, j, diag);
            json_decref(j);
            return rc;
        }
        lf_buf_printf(&names, "%s%s", i ? ", " : "", shapes[i].name);
    }
    enum lf_err rc =
        lf_fail(diag, LF_E_NOT_FOUND, "no shape is named \"%.64s\" (%s)", name, lf_buf_str(&names));
    lf_buf_free(&names);
    return rc;
}
