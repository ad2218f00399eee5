/* LIBS: lf_model lf_gpu lf_core */
/* The NF4 codec against checkpoints that bitsandbytes quantised on CUDA: from the bf16 matrices we
 * must make the same codes, scales and offset, to the byte. */
#include "gpu/nf4.h"
#include "model/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define EXIT_SKIPPED 77
#define STATE_SUFFIX ".quant_state.bitsandbytes__nf4"

/* Directories under LF_SHARED: the bf16 checkpoint, the quantised one. */
static const char *const pairs[][2] = {
    {"golden/llama/model", "golden/llama/model-nf4"},
    {"golden/llama3/model", "golden/llama3/model-nf4"},
    {"golden/mistral/model", "golden/mistral/model-nf4"},
    {"golden/gemma/model", "golden/gemma/model-nf4"},
    {"golden/gemma2/model", "golden/gemma2/model-nf4"},
    {"golden/phi/model", "golden/phi/model-nf4"},
    {"golden/phi3/model", "golden/phi3/model-nf4"},
    {"golden/qwen2/model", "golden/qwen2/model-nf4"},
    {"golden/qwen3/model", "golden/qwen3/model-nf4"},
    {"base/llama-14m", "base/llama-14m-nf4"},
};

static const char *shared;

static struct lf_tensors *open_checkpoint(const char *name)
{
    struct lf_tensors *t;
    struct lf_diag diag;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", shared, name);
    if (lf_tensors_open_checkpoint(&t, path, &diag))
        fail_msg("%s", diag.text);
    return t;
}

static const struct lf_tensor *find(const struct lf_tensors *t, const char *name,
                                    const char *suffix)
{
    char full[640];
    assert_true((size_t)snprintf(full, sizeof full, "%s%s", name, suffix) < sizeof full);
    const struct lf_tensor *found = lf_tensors_find(t, full);
    if (!found)
        fail_msg("no %s", full);
    return found;
}

static float stored_offset(const struct lf_tensor *state)
{
    json_t *json = json_loadb(state->data, state->bytes, 0, NULL);
    assert_non_null(json);
    float offset = (float)json_real_value(json_object_get(json, "nested_offset"));
    json_decref(json);
    return offset;
}

static void check_matrix(const struct lf_tensors *plain, const struct lf_tensors *quantized,
                         const char *name)
{
    const struct lf_tensor *w = find(plain, name, "");
    size_t n = w->bytes / lf_dtype_bytes(w->dtype);
    size_t blocks = (n + LF_NF4_BLOCK - 1) / LF_NF4_BLOCK;
    size_t blocks2 = (blocks + LF_NF4_BLOCK2 - 1) / LF_NF4_BLOCK2;
    float *x = malloc(n * sizeof *x), *absmax = malloc(blocks * sizeof *absmax);
    float *absmax2 = malloc(blocks2 * sizeof *absmax2), offset;
    uint8_t *codes = malloc(n / 2), *q = malloc(blocks);
    assert_true(x && absmax && absmax2 && codes && q);
    lf_to_f32(x, w->data, w->dtype, n);
    lf_nf4_quantize(codes, q, absmax2, &offset, absmax, x, n, NULL);
    assert_memory_equal(codes, find(quantized, name, "")->data, n / 2);
    assert_memory_equal(q, find(quantized, name, ".absmax")->data, blocks);
    assert_memory_equal(absmax2, find(quantized, name, ".nested_absmax")->data,
                        blocks2 * sizeof *absmax2);
    assert_true(offset == stored_offset(find(quantized, name, STATE_SUFFIX)));
    assert_memory_equal(lf_nf4_code, find(quantized, name, ".quant_map")->data,
                        sizeof lf_nf4_code);
    assert_memory_equal(lf_dynamic_map, find(quantized, name, ".nested_quant_map")->data,
                        sizeof lf_dynamic_map);
    free(x);
    free(absmax);
    free(absmax2);
    free(codes);
    free(q);
}

static void makes_the_same_bytes(void **state)
{
    (void)state;
    int matrices = 0;
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
        struct lf_tensors *plain = open_checkpoint(pairs[p][0]);
        struct lf_tensors *quantized = open_checkpoint(pairs[p][1]);
        for (size_t i = 0; i < lf_tensors_count(quantized); i++) {
            const char *name = lf_tensors_at(quantized, i)->name;
            const char *suffix = strstr(name, STATE_SUFFIX);
            char weight[512];
            if (!suffix)
                continue;
            snprintf(weight, sizeof weight, "%.*s", (int)(suffix - name), name);
            check_matrix(plain, quantized, weight);
            matrices++;
        }
        lf_tensors_free(plain);
        lf_tensors_free(quantized);
    }
    print_message("%d matrices agree\n", matrices);
    assert_true(matrices > 100);
}

int main(void)
{
    char path[4096];
    shared = getenv("LF_SHARED");
    snprintf(path, sizeof path, "%s/golden/README.md", shared ? shared : "");
    FILE *f = fopen(path, "re");
    if (!f) {
        print_message("skipped: no reference material\n");
        return EXIT_SKIPPED;
    }
    fclose(f);
    const struct CMUnitTest tests[] = {cmocka_unit_test(makes_the_same_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
