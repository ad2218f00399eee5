/* LIBS: lf_model lf_gpu lf_core */
/* Reference models of every architecture (golden/README.md): logits, greedy ids, quantised bytes,
 * and sequences of several adapters in one batch. */
#include "tests/vectors/golden.h"

#include "gpu/nf4.h"

#include <unistd.h>

#define LOGITS_TOLERANCE 2e-4f

static const struct lf_exec_limits limits = {
    .tokens_max = 128, .seqs_max = 8, .rows_max = 20, .rank_max = 8, .kv_pages = 16};

/* ---- Logits ---------------------------------------------------------------------------------- */

/* Runs the reference input as one batch; all logits into out. */
static void run_logits(struct rig *r, const struct golden *g, int slot, float *out)
{
    struct lf_diag diag;
    struct lf_tensors *gold = golden_open(g);
    size_t n;
    int32_t *ids = golden_copy(gold, "input_ids", LF_I32, &n);
    const struct lf_tensor *t = lf_tensors_find(gold, "input_ids");
    int S = (int)t->dims[0], T = (int)t->dims[1];
    struct lf_batch_seq seqs[8] = {{0}};
    for (int s = 0; s < S; s++)
        seqs[s] = (struct lf_batch_seq){.ids = ids + s * T, .n = T, .slot = slot};
    ok(lf_exec_run(r->exec, seqs, S, NULL, &diag), &diag);
    for (int s = 0; s < S; s++)
        ok(lf_exec_logits(r->exec, s, out + (size_t)s * (size_t)(T * r->model->config.V), &diag),
           &diag);
    free(ids);
    lf_tensors_free(gold);
}

static void check_logits(const struct golden *g, const char *model, enum lf_quant quant,
                         const char *adapter, const char *want_name)
{
    struct rig r;
    size_t n;
    struct lf_tensors *gold = golden_open(g);
    float *want = golden_copy(gold, want_name, LF_F32, &n);
    float *got = calloc(n, sizeof *got);
    rig_open(&r, g, model, quant, &limits);
    run_logits(&r, g, adapter ? slot_open(&r, g, adapter, false) : -1, got);
    float worst = max_difference(got, want, n);
    print_message("%s: %s of %s: largest difference %.2g\n", g->name, want_name, model,
                  (double)worst);
    rig_close(&r);
    free(want);
    free(got);
    lf_tensors_free(gold);
    assert_true(worst <= LOGITS_TOLERANCE);
}

static void logits_of_the_full_precision_model(void **state)
{
    check_logits(*state, "model", LF_QUANT_NONE, NULL, "logits_fp");
}

static void logits_of_the_serialised_4_bit_model(void **state)
{
    check_logits(*state, "model-nf4", LF_QUANT_NONE, NULL, "logits_nf4");
}

static void logits_of_the_model_quantised_here(void **state)
{
    check_logits(*state, "model", LF_QUANT_NF4, NULL, "logits_nf4");
}

static void logits_with_an_adapter(void **state)
{
    check_logits(*state, "model-nf4", LF_QUANT_NONE, "adapter", "logits_nf4_lora");
}

/* ---- Greedy decoding ------------------------------------------------------------------------- */

static int32_t best_of(const float *logits, int V)
{
    int best = 0;
    for (int v = 1; v < V; v++)
        if (logits[v] > logits[best])
            best = v;
    return best;
}

static void greedy_by_recomputing(struct rig *r, int32_t *ids, int n_prompt, int n, int slot)
{
    struct lf_diag diag;
    int V = r->model->config.V;
    float *logits = malloc((size_t)n * (size_t)V * sizeof *logits);
    for (int at = n_prompt; at < n; at++) {
        struct lf_batch_seq seq = {.ids = ids, .n = at, .slot = slot};
        ok(lf_exec_run(r->exec, &seq, 1, NULL, &diag), &diag);
        ok(lf_exec_logits(r->exec, 0, logits, &diag), &diag);
        ids[at] = best_of(logits + (size_t)(at - 1) * (size_t)V, V);
    }
    free(logits);
}

/* The prompt in two pieces, then one token at a time. */
static void greedy_from_the_cache(struct rig *r, int32_t *ids, int n_prompt, int n, int slot)
{
    struct lf_diag diag;
    struct lf_kv_seq kv = {0};
    struct lf_sample_params greedy = {.top_p = 1, .repetition_penalty = 1};
    int which = 0;
    const struct lf_exec_wish wish = {.which = &which, .params = &greedy, .n = 1};
    while (kv.n_tokens < n - 1) {
        int past = kv.n_tokens, k = past == 0 ? 3 : past < n_prompt ? n_prompt - past : 1;
        struct lf_batch_seq seq = {.ids = ids + past, .n = k, .kv = &kv, .slot = slot};
        assert_int_equal(lf_exec_kv_grow(r->exec, &kv, past + k), LF_OK);
        ok(lf_exec_run(r->exec, &seq, 1, NULL, &diag), &diag);
        const struct lf_exec_tokens out = {.ids = &ids[kv.n_tokens]};
        if (kv.n_tokens >= n_prompt)
            ok(lf_exec_sample(r->exec, &wish, &out, &diag), &diag);
    }
    lf_exec_kv_release(r->exec, &kv);
    assert_int_equal(lf_exec_kv_free_pages(r->exec), limits.kv_pages);
}

static void check_greedy(const struct golden *g, const char *model, const char *adapter,
                         const char *want_name)
{
    struct rig r;
    size_t n;
    struct lf_tensors *gold = golden_open(g);
    int32_t *want = golden_copy(gold, want_name, LF_I32, &n);
    int32_t *got = calloc(n, sizeof *got);
    rig_open(&r, g, model, LF_QUANT_NONE, &limits);
    int slot = adapter ? slot_open(&r, g, adapter, false) : -1;
    for (int cached = 0; cached < 2; cached++) {
        memcpy(got, want, 8 * sizeof *got);
        if (cached)
            greedy_from_the_cache(&r, got, 8, (int)n, slot);
        else
            greedy_by_recomputing(&r, got, 8, (int)n, slot);
        assert_memory_equal(got, want, n * sizeof *got);
    }
    rig_close(&r);
    free(want);
    free(got);
    lf_tensors_free(gold);
}

static void greedy_ids_of_the_full_precision_model(void **state)
{
    check_greedy(*state, "model", NULL, "greedy_fp");
}

static void greedy_ids_with_an_adapter(void **state)
{
    check_greedy(*state, "model-nf4", "adapter", "greedy_nf4_lora");
}

/* ---- Many sequences, several adapters -------------------------------------------------------- */

#define MIXED 7

/* Sequences of several lengths, cached and not, of no adapter and of two: what each gets must not
 * depend on the others. */
static void a_mixed_batch_gives_what_each_gets_alone(void **state)
{
    const struct golden *g = *state;
    struct rig r;
    struct lf_diag diag;
    struct lf_tensors *gold = golden_open(g);
    int32_t *ids = golden_copy(gold, "input_ids", LF_I32, NULL);
    struct lf_batch_seq seqs[MIXED];
    struct lf_kv_seq kv[MIXED] = {{0}};
    float *alone[MIXED];
    rig_open(&r, g, "model-nf4", LF_QUANT_NONE, &limits);
    size_t V = (size_t)r.model->config.V;
    int one = slot_open(&r, g, "adapter", false), two = slot_open(&r, g, "adapter-trained", false);
    for (int i = 0; i < MIXED; i++) {
        int n = 5 + 3 * i;
        seqs[i] = (struct lf_batch_seq){.ids = ids + i,
                                        .n = n,
                                        .slot = i % 3 == 0   ? two
                                                : i % 3 == 1 ? -1
                                                             : one};
        alone[i] = malloc((size_t)n * V * sizeof(float));
        ok(lf_exec_run(r.exec, &seqs[i], 1, NULL, &diag), &diag);
        ok(lf_exec_logits(r.exec, 0, alone[i], &diag), &diag);
    }
    for (int i = 0; i < MIXED; i += 2) {
        seqs[i].kv = &kv[i];
        assert_int_equal(lf_exec_kv_grow(r.exec, &kv[i], seqs[i].n), LF_OK);
    }
    ok(lf_exec_run(r.exec, seqs, MIXED, NULL, &diag), &diag);
    for (int i = 0; i < MIXED; i++) {
        size_t n = (size_t)seqs[i].n * V;
        float *together = malloc(n * sizeof *together);
        ok(lf_exec_logits(r.exec, i, together, &diag), &diag);
        assert_true(max_difference(together, alone[i], n) <= 1e-5f);
        free(together);
        free(alone[i]);
        lf_exec_kv_release(r.exec, &kv[i]);
    }
    rig_close(&r);
    free(ids);
    lf_tensors_free(gold);
}

/* ---- Products in integers -------------------------------------------------------------------- */

/* Products are off by about 8e-5 of their size in 16 bits, by 1e-2 in 8 (gpu/ops.h), like noise: a
 * dozen of them one after the other, and logits of a size of about two, make half of this. */
#define INT16_TOLERANCE 1e-3F
#define INT8_TOLERANCE 0.12F

static float rms_of_difference(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return (float)sqrt(sum / (double)n);
}

/* Logits of the reference input, as cached sequences. */
static void cached_logits(struct rig *r, float *out, const int32_t *ids, int S, int T, int slot)
{
    struct lf_diag diag;
    for (int s = 0; s < S; s++) {
        struct lf_kv_seq kv = {0};
        struct lf_batch_seq seq = {.ids = ids + s * T, .n = T, .slot = slot, .kv = &kv};
        assert_int_equal(lf_exec_kv_grow(r->exec, &kv, T), LF_OK);
        ok(lf_exec_run(r->exec, &seq, 1, NULL, &diag), &diag);
        ok(lf_exec_logits(r->exec, 0, out + (size_t)s * (size_t)(T * r->model->config.V), &diag),
           &diag);
        lf_exec_kv_release(r->exec, &kv);
    }
}

/* As the daemon makes them on a cpu: logits, and with 16 bits the greedy ids too. */
static void check_products(const struct golden *g, enum lf_cpu_products products, float tolerance)
{
    struct rig r;
    size_t n, n_ids, agree = 0;
    if (g->device != LF_DEVICE_CPU)
        skip();
    struct lf_tensors *gold = golden_open(g);
    float *want = golden_copy(gold, "logits_nf4_lora", LF_F32, &n), *got = calloc(n, sizeof *got);
    int32_t *greedy = golden_copy(gold, "greedy_nf4_lora", LF_I32, &n_ids);
    int32_t *ids = golden_copy(gold, "input_ids", LF_I32, NULL),
            *drawn = calloc(n_ids, sizeof *ids);
    const struct lf_tensor *t = lf_tensors_find(gold, "input_ids");
    rig_open_as(&r, g, "model-nf4", LF_QUANT_NONE, &limits, products);
    int slot = slot_open(&r, g, "adapter", false), V = r.model->config.V;
    cached_logits(&r, got, ids, (int)t->dims[0], (int)t->dims[1], slot);
    for (size_t i = 0; i < n; i += (size_t)V)
        agree += best_of(want + i, V) == best_of(got + i, V);
    float off = rms_of_difference(got, want, n);
    print_message("%s: rms of differences %.2g, the largest %.2g; the likeliest token is the same "
                  "for %zu of %zu\n",
                  g->name, (double)off, (double)max_difference(got, want, n), agree, n / (size_t)V);
    memcpy(drawn, greedy, 8 * sizeof *drawn);
    greedy_from_the_cache(&r, drawn, 8, (int)n_ids, slot);
    if (products == LF_CPU_INT16)
        assert_memory_equal(drawn, greedy, n_ids * sizeof *drawn);
    rig_close(&r);
    free(want), free(got), free(ids), free(greedy), free(drawn);
    lf_tensors_free(gold);
    assert_true(off <= tolerance);
}

static void products_in_16_bits_are_near_the_reference(void **state)
{
    check_products(*state, LF_CPU_INT16, INT16_TOLERANCE);
}

static void products_in_8_bits_are_near_the_reference(void **state)
{
    check_products(*state, LF_CPU_INT8, INT8_TOLERANCE);
}

/* ---- Quantised files ------------------------------------------------------------------------- */

/* quant_state says the dtype that the weights had: bf16 here, fp32 in the reference. */
static void compare_states(const struct lf_tensor *got, const struct lf_tensor *want)
{
    struct lf_diag diag;
    json_t *a, *b;
    ok(lf_json_parse(&a, got->data, got->bytes, &diag), &diag);
    ok(lf_json_parse(&b, want->data, want->bytes, &diag), &diag);
    assert_true((float)json_real_value(json_object_get(a, "nested_offset")) ==
                (float)json_real_value(json_object_get(b, "nested_offset")));
    json_object_del(a, "nested_offset");
    json_object_del(b, "nested_offset");
    json_object_del(a, "dtype");
    json_object_del(b, "dtype");
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
}

/* The tensors of a quantised file are those of the reference, byte for byte. */
static void compare_quantised(const struct lf_tensors *got, const struct lf_tensors *want)
{
    assert_int_equal(lf_tensors_count(got), lf_tensors_count(want));
    for (size_t i = 0; i < lf_tensors_count(want); i++) {
        const struct lf_tensor *w = lf_tensors_at(want, i), *t = lf_tensors_find(got, w->name);
        if (!t)
            fail_msg("no tensor %s", w->name);
        if (strstr(w->name, "quant_state")) {
            compare_states(t, w);
        } else if (t->dtype == w->dtype) {
            assert_int_equal(t->bytes, w->bytes);
            if (memcmp(t->data, w->data, w->bytes) != 0)
                fail_msg("tensor %s differs", w->name);
        } else { /* what is not quantised stays bf16 here; the reference widened it */
            assert_int_equal(t->dtype, LF_BF16);
            assert_int_equal(t->bytes * 2, w->bytes);
        }
    }
}

static void quantised_files_equal_the_reference(void **state)
{
    const struct golden *g = *state;
    struct rig r;
    struct lf_diag diag;
    struct lf_tensors *got, *want;
    char src[1200], ref[1200], dst[] = "/tmp/lf-quantize-XXXXXX";
    assert_non_null(mkdtemp(dst));
    snprintf(src, sizeof src, "%s/model", g->dir);
    snprintf(ref, sizeof ref, "%s/model-nf4", g->dir);
    rig_open(&r, g, "model", LF_QUANT_NONE, &limits);
    ok(lf_model_quantize(r.stream, src, dst, NULL, NULL, &diag), &diag);
    rig_close(&r);
    ok(lf_tensors_open_checkpoint(&got, dst, &diag), &diag);
    ok(lf_tensors_open_checkpoint(&want, ref, &diag), &diag);
    compare_quantised(got, want);
    lf_tensors_free(got);
    lf_tensors_free(want);
    ok(lf_dir_remove(dst, &diag), &diag);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static const struct {
    const char *what;
    CMUnitTestFunction fn;
} cases[] = {
    {"logits", logits_of_the_full_precision_model},
    {"4-bit logits", logits_of_the_serialised_4_bit_model},
    {"4-bit logits, quantised here", logits_of_the_model_quantised_here},
    {"logits with an adapter", logits_with_an_adapter},
    {"greedy ids", greedy_ids_of_the_full_precision_model},
    {"greedy ids with an adapter", greedy_ids_with_an_adapter},
    {"mixed batch", a_mixed_batch_gives_what_each_gets_alone},
    {"products in integers of 16 bits", products_in_16_bits_are_near_the_reference},
    {"products in integers of 8 bits", products_in_8_bits_are_near_the_reference},
    {"quantised files", quantised_files_equal_the_reference},
};
#define N_CASES (sizeof cases / sizeof *cases)

static struct golden goldens[2 * GOLDEN_MODELS_MAX];
static struct CMUnitTest tests[2 * GOLDEN_MODELS_MAX * N_CASES];
static char titles[2 * GOLDEN_MODELS_MAX * N_CASES][160];

int main(void)
{
    static const char *const devices[] = {"ref", "cpu"};
    char names[GOLDEN_MODELS_MAX][64], root[1024];
    int n = golden_list(names, root), n_tests = 0;
    if (n == 0)
        return 77;
    for (int i = 0; i < 2 * n; i++) {
        struct golden *g = &goldens[i];
        snprintf(g->name, sizeof g->name, "%.50s on %s", names[i / 2], devices[i % 2]);
        snprintf(g->dir, sizeof g->dir, "%.900s/%s", root, names[i / 2]);
        g->device = i % 2 ? LF_DEVICE_CPU : LF_DEVICE_REF;
        for (size_t k = 0; k < N_CASES; k++, n_tests++) {
            snprintf(titles[n_tests], sizeof *titles, "%.64s: %.64s", g->name, cases[k].what);
            tests[n_tests] = (struct CMUnitTest){
                .name = titles[n_tests], .test_func = cases[k].fn, .initial_state = g};
        }
    }
    return _cmocka_run_group_tests("golden", tests, (size_t)n_tests, NULL, NULL);
}
