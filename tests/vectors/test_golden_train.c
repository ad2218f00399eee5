/* LIBS: lf_model lf_gpu lf_core */
/* The reference training trajectory (golden/README.md): 8 steps of 4 micro-batches on the 4-bit
 * base, driven by hand: forward and backward, sum of squares, AdamW with clipping. Losses, gradient
 * norms and the trained adapter must come out, with activations kept and with blocks run again,
 * and with an optimizer step's micro-batches run one by one or as one ragged batch. */
#include "tests/vectors/golden.h"

#define LOSS_TOLERANCE 1e-4
#define ADAPTER_TOLERANCE 1e-3

struct trajectory {
    json_t *json;
    int steps, accumulation;
};

static double real_at(const struct trajectory *t, const char *key, int i)
{
    return json_number_value(json_array_get(json_object_get(t->json, key), (size_t)i));
}

static void trajectory_open(struct trajectory *t, const struct golden *g)
{
    struct lf_diag diag;
    char path[1200];
    snprintf(path, sizeof path, "%s/train.json", g->dir);
    ok(lf_json_load(&t->json, path, &diag), &diag);
    t->steps = (int)json_integer_value(json_object_get(t->json, "steps"));
    t->accumulation = (int)json_integer_value(json_object_get(t->json, "accumulation"));
}

/* Micro-batch i: its ids and labels; the prompt carries no loss. Returns the length. */
static int micro_batch(const struct trajectory *t, int i, int32_t ids[64], int32_t labels[64])
{
    const json_t *x = json_array_get(json_object_get(t->json, "batches"), (size_t)i);
    int n = (int)json_array_size(x), prompt = (int)real_at(t, "prompt_tokens", i);
    assert_in_range(n, 2, 64);
    for (int k = 0; k < n; k++)
        ids[k] = (int32_t)json_integer_value(json_array_get(x, (size_t)k));
    for (int k = 0; k < n; k++)
        labels[k] = k + 1 < n && k + 1 >= prompt ? ids[k + 1] : -1;
    return n;
}

static int n_supervised(const int32_t *labels, int n)
{
    int m = 0;
    for (int k = 0; k < n; k++)
        m += labels[k] >= 0;
    return m;
}

/* Forward and backward of one optimizer step; checks its micro losses. */
static void run_step(struct rig *r, const struct trajectory *t, int step, int slot, bool together)
{
    struct lf_diag diag;
    int32_t ids[8][64], labels[8][64];
    struct lf_batch_seq seqs[8] = {{0}};
    struct lf_batch_result results[8];
    int A = t->accumulation;
    for (int a = 0; a < A; a++) {
        int n = micro_batch(t, step * A + a, ids[a], labels[a]);
        seqs[a] =
            (struct lf_batch_seq){.ids = ids[a],
                                  .n = n,
                                  .slot = slot,
                                  .labels = labels[a],
                                  .trains = true,
                                  .loss_weight = 1.0f / (float)(A * n_supervised(labels[a], n))};
    }
    for (int a = 0; a < A && !together; a++)
        ok(lf_exec_run(r->exec, &seqs[a], 1, &results[a], &diag), &diag);
    if (together)
        ok(lf_exec_run(r->exec, seqs, A, results, &diag), &diag);
    for (int a = 0; a < A; a++) {
        double loss = results[a].loss_sum / results[a].n_supervised;
        assert_int_equal(results[a].n_supervised, n_supervised(labels[a], seqs[a].n));
        assert_true(fabs(loss - real_at(t, "micro_losses", step * A + a)) <= LOSS_TOLERANCE);
    }
}

/* Clips and updates; checks the norm. */
static void run_adam(struct rig *r, const struct trajectory *t, int step, int slot, float *d_sumsq)
{
    struct lf_diag diag;
    struct lf_slot *s = &r->slots->slot[slot];
    struct lf_sumsq_args sum = {.out = d_sumsq, .g = s->grad, .n = s->shape.n_params};
    struct lf_adam_args adam = {.p = s->master,
                                .m = s->moments,
                                .v = (float *)s->moments + s->shape.n_params,
                                .g = s->grad,
                                .copy = s->copy == s->master ? NULL : s->copy,
                                .sumsq = d_sumsq,
                                .n = s->shape.n_params,
                                .grad_scale = 1,
                                .max_norm = 1,
                                .lr = (float)real_at(t, "lrs", step),
                                .beta1 = 0.9f,
                                .beta2 = 0.999f,
                                .eps = 1e-8f,
                                .decoupled = true,
                                .step = step + 1};
    float sumsq;
    r->dev->ops->sumsq(r->stream, &sum, 1);
    lf_stream_download(r->stream, &sumsq, d_sumsq, sizeof sumsq);
    ok(lf_stream_wait(r->stream, &diag), &diag);
    double want = real_at(t, "grad_norms", step);
    assert_true(fabs(sqrt((double)sumsq) - want) <= 1e-3 * want);
    r->dev->ops->adam(r->stream, &adam, 1);
}

static double relative_difference(const float *a, const float *b, size_t n)
{
    double d = 0, w = 0;
    for (size_t i = 0; i < n; i++) {
        d += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
        w += (double)b[i] * (double)b[i];
    }
    return sqrt(d / w);
}

static void check_trajectory(const struct golden *g, enum lf_recompute recompute, bool together)
{
    struct rig r;
    struct trajectory t;
    struct lf_diag diag;
    void *d_sumsq;
    struct lf_exec_limits limits = {.tokens_max = 32,
                                    .train_tokens_max = 128,
                                    .seqs_max = 8,
                                    .rows_max = 10,
                                    .rank_max = 8,
                                    .recompute = recompute,
                                    .host_bytes = SIZE_MAX};
    trajectory_open(&t, g);
    rig_open(&r, g, "model-nf4", LF_QUANT_NONE, &limits);
    assert_int_equal(lf_exec_recomputes(r.exec) != LF_RECOMPUTE_NONE,
                     recompute != LF_RECOMPUTE_NONE);
    ok(lf_exec_host_take(r.exec, r.model->config.L, &diag), &diag);
    int slot = slot_open(&r, g, "adapter-init", true);
    ok(lf_device_alloc(r.dev, &d_sumsq, sizeof(float), &diag), &diag);
    for (int step = 0; step < t.steps; step++) {
        run_step(&r, &t, step, slot, together);
        run_adam(&r, &t, step, slot, d_sumsq);
    }
    struct lf_adapter *got = adapter_open(&r, g, "adapter-init");
    struct lf_adapter *want = adapter_open(&r, g, "adapter-trained");
    ok(lf_slots_read(r.slots, r.stream, slot, got, &diag), &diag);
    double d = relative_difference(got->params, want->params, want->shape.n_params);
    print_message("%s: trained adapter: relative difference %.2g\n", g->name, d);
    lf_adapter_free(got);
    lf_adapter_free(want);
    lf_device_release(r.dev, d_sumsq);
    rig_close(&r);
    json_decref(t.json);
    assert_true(d <= ADAPTER_TOLERANCE);
}

static void trains_with_activations_kept(void **state)
{
    check_trajectory(*state, LF_RECOMPUTE_NONE, false);
}

static void trains_with_blocks_run_again(void **state)
{
    check_trajectory(*state, LF_RECOMPUTE_BLOCK, false);
}

static void trains_with_half_a_block_run_again(void **state)
{
    check_trajectory(*state, LF_RECOMPUTE_OFFLOAD, false);
}

static void trains_with_micro_batches_together(void **state)
{
    check_trajectory(*state, LF_RECOMPUTE_NONE, true);
}

/* Gradients of one batch, with other sequences (cached, evaluated) of the same and of other
 * adapters beside the training one, or alone. */
static void gradients(struct rig *r, const struct trajectory *t, int slot, int other,
                      struct lf_kv_seq *kv, float *out)
{
    struct lf_diag diag;
    int32_t ids[4][64], labels[4][64];
    struct lf_batch_seq seqs[4] = {{0}};
    struct lf_slot *s = &r->slots->slot[slot];
    for (int i = 0; i < 4; i++)
        seqs[i] = (struct lf_batch_seq){.ids = ids[i],
                                        .n = micro_batch(t, i, ids[i], labels[i]),
                                        .slot = i < 3 ? slot : other,
                                        .labels = labels[i],
                                        .loss_weight = 0.1f,
                                        .drop_p = i == 0 ? 0.3f : 0,
                                        .drop_key = 99,
                                        .trains = i == 0};
    if (kv) {
        seqs[1].kv = kv;
        seqs[1].labels = NULL;
        assert_int_equal(lf_exec_kv_grow(r->exec, kv, seqs[1].n), LF_OK);
    }
    ok(lf_exec_run(r->exec, seqs, kv ? 4 : 1, NULL, &diag), &diag);
    lf_stream_download(r->stream, out, s->grad, s->shape.n_params * sizeof *out);
    lf_stream_zero(r->stream, s->grad, s->shape.n_params * sizeof *out);
    ok(lf_stream_wait(r->stream, &diag), &diag);
}

static void gradients_do_not_depend_on_the_company(void **state)
{
    const struct golden *g = *state;
    float *grad[3];
    for (int i = 0; i < 3; i++) {
        struct rig r;
        struct trajectory t;
        struct lf_kv_seq kv = {0};
        struct lf_exec_limits limits = {.tokens_max = 128,
                                        .train_tokens_max = 128,
                                        .seqs_max = 8,
                                        .rows_max = 5,
                                        .rank_max = 8,
                                        .kv_pages = 8,
                                        .recompute =
                                            i == 2 ? LF_RECOMPUTE_BLOCK : LF_RECOMPUTE_NONE};
        trajectory_open(&t, g);
        rig_open(&r, g, "model-nf4", LF_QUANT_NONE, &limits);
        int other = slot_open(&r, g, "adapter-init", true);
        int slot = slot_open(&r, g, "adapter", true);
        grad[i] = malloc(r.slots->slot[slot].shape.n_params * sizeof(float));
        gradients(&r, &t, slot, other, i > 0 ? &kv : NULL, grad[i]);
        if (i > 0) {
            size_t n = r.slots->slot[slot].shape.n_params;
            assert_true(relative_difference(grad[i], grad[0], n) <= 1e-5);
            free(grad[i]);
        }
        lf_exec_kv_release(r.exec, &kv);
        rig_close(&r);
        json_decref(t.json);
    }
    free(grad[0]);
}

/* The slow definitions (ref) run the trajectory once; the other cases are the exec's doing. */
static const struct {
    const char *what;
    CMUnitTestFunction fn;
    bool on_ref;
} cases[] = {
    {"activations kept", trains_with_activations_kept, true},
    {"blocks run again", trains_with_blocks_run_again, false},
    {"half a block run again", trains_with_half_a_block_run_again, false},
    {"micro-batches together", trains_with_micro_batches_together, false},
    {"gradients in company", gradients_do_not_depend_on_the_company, false},
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
        for (size_t k = 0; k < N_CASES; k++) {
            if (g->device == LF_DEVICE_REF && !cases[k].on_ref)
                continue;
            snprintf(titles[n_tests], sizeof *titles, "%.64s: %.64s", g->name, cases[k].what);
            tests[n_tests++] = (struct CMUnitTest){
                .name = titles[n_tests], .test_func = cases[k].fn, .initial_state = g};
        }
    }
    return _cmocka_run_group_tests("golden_train", tests, (size_t)n_tests, NULL, NULL);
}
