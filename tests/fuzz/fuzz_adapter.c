/* Any adapter_config.json, a NUL, and any adapter_model.safetensors: refused with a reason, or an
 * adapter whose ranks and numbers are in their bounds, which is saved and read again the same. */
#include "core/json.h"
#include "model/adapter.h"
#include "tests/fuzz/work.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char text[] = "{\"model_type\":\"llama\",\"hidden_size\":8,\"intermediate_size\":12,"
                           "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"vocab_size\":16,"
                           "\"max_position_embeddings\":32}";

static const struct lf_config *config(void)
{
    static struct lf_config c;
    json_t *j = NULL;
    if (c.L == 0) {
        lf_assert(lf_json_parse(&j, text, sizeof text - 1, NULL) == LF_OK);
        lf_assert(lf_config_parse(&c, j, NULL) == LF_OK);
        json_decref(j);
    }
    return &c;
}

static void write_whole(const char *name, const void *data, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", work(), name);
    FILE *f = fopen(path, "wb");
    lf_assert(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

static void check(const struct lf_adapter *a)
{
    const struct lf_adapter_shape *s = &a->shape;
    struct lf_adapter *again;
    char saved[128];
    lf_assert(s->n_sites == lf_config_sites(config()) && s->rank_max <= LF_RANK_MAX);
    for (int i = 0; i < s->n_sites; i++)
        lf_assert(s->rank[i] >= 0 && s->rank[i] <= s->rank_max && isfinite(s->scale[i]));
    snprintf(saved, sizeof saved, "%s/saved", work());
    lf_assert(lf_adapter_save(a, config(), saved, "base", NULL, NULL) == LF_OK);
    lf_assert(lf_adapter_load(&again, config(), saved, NULL) == LF_OK);
    lf_assert(again->shape.n_params == s->n_params);
    lf_assert(memcmp(again->params, a->params, s->n_params * sizeof(float)) == 0);
    for (int i = 0; i < s->n_sites; i++)
        lf_assert(again->shape.rank[i] == s->rank[i] &&
                  (s->rank[i] == 0 ||
                   fabsf(again->shape.scale[i] - s->scale[i]) <= 1e-6f * fabsf(s->scale[i])));
    lf_adapter_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *end = n ? memchr(data, '\0', n) : NULL;
    size_t n_config = end ? (size_t)(end - data) : n;
    struct lf_diag diag = {""};
    struct lf_adapter *a;
    write_whole("adapter_config.json", data, n_config);
    write_whole("adapter_model.safetensors", data + n_config + (end != NULL),
                n - n_config - (end != NULL));
    if (lf_adapter_load(&a, config(), work(), &diag) == LF_OK) {
        check(a);
        lf_adapter_free(a);
    } else {
        lf_assert(diag.text[0] != '\0');
    }
    return 0;
}
