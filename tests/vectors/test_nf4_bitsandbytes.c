/* LIBS: lf_model lf_gpu lf_core */
/* The quantiser against checkpoints that bitsandbytes quantised on CUDA: from the bf16 matrices we
 * must make the same codes, scales and offset, to the byte. The argument is a device: cpu, cuda. */
#include "gpu/nf4.h"
#include "model/bnb.h"
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
static struct lf_bnb_quantizer *quantizer;

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
    const struct lf_tensor *t = find(plain, name, "");
    struct lf_weight w;
    struct lf_diag diag;
    if (lf_bnb_quantize(quantizer, &w, t, (int)t->dims[0], (int)t->dims[1], &diag))
        fail_msg("%s", diag.text);
    assert_memory_equal(w.data, find(quantized, name, "")->data, (size_t)(w.N * w.K / 2));
    assert_memory_equal(w.absmax_q, find(quantized, name, ".absmax")->data, lf_bnb_blocks(&w));
    assert_memory_equal(w.absmax2, find(quantized, name, ".nested_absmax")->data,
                        lf_bnb_blocks2(&w) * sizeof *w.absmax2);
    assert_true(w.offset == stored_offset(find(quantized, name, STATE_SUFFIX)));
    assert_memory_equal(w.code, find(quantized, name, ".quant_map")->data, sizeof lf_nf4_code);
    assert_memory_equal(w.absmax_code, find(quantized, name, ".nested_quant_map")->data,
                        sizeof lf_dynamic_map);
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

static int run(const char *device)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(makes_the_same_bytes)};
    struct lf_device *dev = NULL;
    struct lf_stream *stream = NULL;
    struct lf_diag diag;
    enum lf_device_kind kind;
    enum lf_err rc = lf_device_kind_parse(&kind, device, &diag);
    if (rc == LF_OK)
        rc = lf_device_open(&dev, kind, NULL, &diag);
    if (rc == LF_E_NOT_FOUND || rc == LF_E_UNSUPPORTED) {
        print_message("skipped: %s\n", diag.text);
        return EXIT_SKIPPED;
    }
    if (rc == LF_OK)
        rc = lf_stream_new(&stream, dev, 0, &diag);
    if (rc == LF_OK)
        rc = lf_bnb_quantizer_new(&quantizer, stream, &diag);
    if (rc != LF_OK)
        print_error("%s\n", diag.text);
    int failed = rc == LF_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
    lf_bnb_quantizer_free(quantizer);
    lf_stream_free(stream);
    lf_device_free(dev);
    return failed;
}

int main(int argc, char **argv)
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
    return run(argc > 1 ? argv[1] : "cpu");
}
