/* LIBS: lf_tools */
/* Any bytes as a GGUF file: refused with a reason, or a checkpoint of bounded size is written whose
 * configuration is one. */
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
    import(&g);
    lf_gguf_free(&g);
    return 0;
}
