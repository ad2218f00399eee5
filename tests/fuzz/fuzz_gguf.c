/* LIBS: lf_tools */
/* Any bytes as a GGUF file: refused with a reason, or a checkpoint of bounded size is written whose
 * configuration is one; or, where it is an adapter's, an adapter of a small base is read. */
#include "tools/gguf/inside.h"
#include "tests/fuzz/work.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void import(const struct lf_gguf *g)
{
    struct lf_diag diag = {""};
    struct lf_config c;
    json_t *j;
    char path[128];
    enum lf_err rc = lf_gguf_config(&j, g, "float32", &diag);
    if (rc == LF_OK) {
        rc = lf_config_parse(&c, j, &diag);
        json_decref(j);
        snprintf(path, sizeof path, "%s/model.safetensors", work());
        if (rc == LF_OK)
            rc = lf_gguf_weights(g, &c, path, LF_F32, NULL, NULL, &diag);
    }
    lf_assert(rc == LF_OK || diag.text[0] != '\0');
    diag.text[0] = '\0';
    rc = lf_gguf_tokenizer(g, work(), &diag);
    lf_assert(rc == LF_OK || diag.text[0] != '\0');
}

static const struct lf_config *base(void)
{
    static struct lf_config c;
    static bool loaded;
    if (!loaded) {
        json_auto_t *j = json_pack(
            "{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "model_type", "llama", "num_hidden_layers",
            1, "hidden_size", 8, "intermediate_size", 16, "num_attention_heads", 2,
            "num_key_value_heads", 1, "vocab_size", 4, "max_position_embeddings", 32);
        lf_assert(lf_config_parse(&c, j, NULL) == LF_OK);
        loaded = true;
    }
    return &c;
}

static void import_adapter(const struct lf_gguf *g)
{
    struct lf_diag diag = {""};
    struct lf_adapter *a = NULL;
    enum lf_err rc = lf_gguf_adapter(&a, g, base(), &diag);
    lf_assert(rc == LF_OK || diag.text[0] != '\0');
    if (rc == LF_OK)
        lf_assert(a->shape.rank_max > 0 && a->shape.n_sites == lf_config_sites(base()));
    lf_adapter_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_gguf g;
    struct lf_diag diag = {""};
    if (lf_gguf_parse(&g, data, n, &diag) != LF_OK) {
        lf_assert(diag.text[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < g.n_tensors; i++) {
        float x[256];
        lf_gguf_widen(x, &g.tensors[i], 0, g.tensors[i].form->elements);
    }
    if (lf_gguf_is_adapter(&g))
        import_adapter(&g);
    else
        import(&g);
    lf_gguf_free(&g);
    return 0;
}
