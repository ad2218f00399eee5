/* LIBS: lf_model lf_gpu lf_core */
/* Many configurations against transformers and peft themselves (transformers_oracle.py, run with
 * $LF_PYTHON): logits, logits with an adapter, the gradients of every adapted map, and adapters
 * saved here and read by peft. Skipped where the Python packages are missing. */
#include "tests/vectors/golden.h"
#include "model/limits.h"

#include <sys/wait.h>
#include <unistd.h>

#define LOGITS_TOLERANCE 2e-4f
#define GRADIENT_TOLERANCE 1e-4

/* DoRA's share is made LF_GAIN_ROWS at a time: one variant has more. */
#define TOKENS_MAX 320

static const struct lf_exec_limits limits = {.tokens_max = TOKENS_MAX,
                                             .train_tokens_max = TOKENS_MAX,
                                             .seqs_max = 2,
                                             .rows_max = 16,
                                             .rank_max = 8,
                                             .kv_pages = TOKENS_MAX / LF_KV_PAGE_TOKENS};

/* The oracle's exit status, or -1. */
static int oracle(const char *verb, const char *dir)
{
    const char *python = getenv("LF_PYTHON"), *source = getenv("LF_SOURCE");
    char script[1200];
    if (!python)
        python = "python3";
    int status;
    snprintf(script, sizeof script, "%s/tests/vectors/transformers_oracle.py",
             source ? source : ".");
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(127);
        execlp(python, python, script, verb, dir, (char *)NULL);
        _exit(77);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static void run(struct rig *r, const struct lf_batch_seq *seq, float *logits)
{
    struct lf_diag diag;
    ok(lf_exec_run(r->exec, seq, 1, NULL, &diag), &diag);
    ok(lf_exec_logits(r->exec, 0, logits, &diag), &diag);
}

/* The same through the cache, a few tokens at a time. */
static void run_cached(struct rig *r, const struct lf_batch_seq *seq, float *logits)
{
    struct lf_diag diag;
    struct lf_kv_seq kv = {.planned = seq->n};
    size_t V = (size_t)r->model->config.V;
    while (kv.n_tokens < seq->n) {
        int past = kv.n_tokens, left = seq->n - past;
        struct lf_batch_seq piece = *seq;
        piece.ids = seq->ids + past;
        piece.n = left < 7 ? left : 7;
        piece.kv = &kv;
        assert_int_equal(lf_exec_kv_grow(r->exec, &kv, past + piece.n), LF_OK);
        ok(lf_exec_run(r->exec, &piece, 1, NULL, &diag), &diag);
        ok(lf_exec_logits(r->exec, 0, logits + (size_t)past * V, &diag), &diag);
    }
    lf_exec_kv_release(r->exec, &kv);
}

static void check_against(const struct golden *g, const struct lf_tensors *gold, const char *name,
                          const float *got)
{
    size_t n;
    float *want = golden_copy(gold, name, LF_F32, &n);
    float worst = max_difference(got, want, n);
    print_message("%s: %s: largest difference %.2g\n", g->name, name, (double)worst);
    free(want);
    assert_true(worst <= LOGITS_TOLERANCE);
}

/* One factor's gradient, in the run of the slot's, against torch's. */
static void check_gradient(const struct golden *g, const struct lf_tensors *gold, const char *site,
                           const char *part, const float *got)
{
    char name[160];
    size_t n;
    double d = 0, w = 0;
    snprintf(name, sizeof name, "grad.base_model.model.%s.lora_%s.weight", site, part);
    float *want = golden_copy(gold, name, LF_F32, &n);
    for (size_t i = 0; i < n; i++) {
        d += pow((double)got[i] - (double)want[i], 2);
        w += pow((double)want[i], 2);
    }
    if (!(sqrt(d) <= GRADIENT_TOLERANCE * sqrt(w) + 1e-7))
        fail_msg("%s: %s: relative difference %g", g->name, name, sqrt(d / w));
    free(want);
}

static void check_gradients(struct rig *r, const struct golden *g, const struct lf_tensors *gold,
                            struct lf_batch_seq seq)
{
    struct lf_diag diag;
    const struct lf_slot *s = &r->slots->slot[seq.slot];
    int32_t labels[TOKENS_MAX];
    int m = 0;
    for (int i = 0; i < seq.n; i++) {
        labels[i] = i + 1 < seq.n && i + 1 >= 5 ? seq.ids[i + 1] : -1;
        m += labels[i] >= 0;
    }
    seq.labels = labels;
    seq.trains = true;
    seq.loss_weight = 1.0f / (float)m;
    ok(lf_exec_run(r->exec, &seq, 1, NULL, &diag), &diag);
    lf_exec_dora_grads(r->exec, seq.slot);
    float *grad = malloc(s->shape.n_params * sizeof *grad);
    lf_stream_download(r->stream, grad, s->grad, s->shape.n_params * sizeof *grad);
    ok(lf_stream_wait(r->stream, &diag), &diag);
    size_t n_parts = 0;
    for (int i = 0; i < s->shape.n_sites; i++) {
        char site[LF_SITE_NAME_MAX];
        if (s->shape.rank[i] == 0)
            continue;
        lf_adapter_site_name(site, &r->model->config, i);
        check_gradient(g, gold, site, "A", grad + s->shape.a_off[i]);
        check_gradient(g, gold, site, "B", grad + s->shape.b_off[i]);
        if (s->shape.dora)
            check_gradient(g, gold, site, "magnitude_vector", grad + s->shape.m_off[i]);
        n_parts += 2u + s->shape.dora;
    }
    assert_int_equal(n_parts + 3, lf_tensors_count(gold));
    free(grad);
}

static void save_again(struct rig *r, const struct golden *g)
{
    struct lf_diag diag;
    char dir[1200];
    struct lf_adapter *a = adapter_open(r, g, "adapter");
    snprintf(dir, sizeof dir, "%s/saved", g->dir);
    ok(lf_adapter_save(a, &r->model->config, dir, r->model->name, NULL, &diag), &diag);
    struct lf_adapter *b = adapter_open(r, g, "saved");
    assert_int_equal(a->shape.n_params, b->shape.n_params);
    assert_memory_equal(a->params, b->params, a->shape.n_params * sizeof(float));
    assert_memory_equal(a->shape.scale, b->shape.scale, (size_t)a->shape.n_sites * sizeof(float));
    lf_adapter_free(a);
    lf_adapter_free(b);
}

static void gives_what_transformers_gives(void **state)
{
    const struct golden *g = *state;
    struct lf_diag diag;
    for (int recompute = 0; recompute < 2; recompute++) {
        struct rig r;
        size_t n;
        struct lf_exec_limits l = limits;
        struct lf_tensors *gold = golden_open(g);
        int32_t *ids = golden_copy(gold, "input_ids", LF_I32, &n);
        l.recompute = recompute ? LF_RECOMPUTE_BLOCK : LF_RECOMPUTE_NONE;
        rig_open(&r, g, "model", LF_QUANT_NONE, &l);
        float *logits = malloc(n * (size_t)r.model->config.V * sizeof *logits);
        struct lf_batch_seq seq = {.ids = ids, .n = (int)n, .slot = -1};
        run(&r, &seq, logits);
        check_against(g, gold, "logits", logits);
        seq.slot = slot_open(&r, g, "adapter", false);
        run(&r, &seq, logits);
        check_against(g, gold, "logits_lora", logits);
        seq.slot = slot_open(&r, g, "adapter", true);
        run(&r, &seq, logits);
        check_against(g, gold, "logits_lora", logits);
        run_cached(&r, &seq, logits);
        check_against(g, gold, "logits_lora", logits);
        check_gradients(&r, g, gold, seq);
        if (recompute) { /* the last block's output must survive being run again */
            ok(lf_exec_logits(r.exec, 0, logits, &diag), &diag);
            check_against(g, gold, "logits_lora", logits);
        }
        save_again(&r, g);
        free(logits);
        free(ids);
        lf_tensors_free(gold);
        rig_close(&r);
    }
}

static void peft_reads_what_was_saved(void **state)
{
    assert_int_equal(oracle("check", *state), 0);
}

static struct golden goldens[2 * GOLDEN_MODELS_MAX];
static struct CMUnitTest tests[2 * GOLDEN_MODELS_MAX + 1];

int main(void)
{
    char names[GOLDEN_MODELS_MAX][64], root[1024], dir[] = "/tmp/lf-oracle-XXXXXX";
    char golden[64];
    if (!mkdtemp(dir))
        return 1;
    snprintf(golden, sizeof golden, "%s/golden", dir);
    int rc = oracle("make", golden);
    if (rc == 0) {
        setenv("LF_SHARED", dir, 1);
        int n = golden_list(names, root);
        for (int i = 0; i < 2 * n; i++) {
            struct golden *g = &goldens[i];
            g->device = i % 2 ? LF_DEVICE_CPU : LF_DEVICE_REF;
            snprintf(g->name, sizeof g->name, "%.50s on %s", names[i / 2], i % 2 ? "cpu" : "ref");
            snprintf(g->dir, sizeof g->dir, "%.900s/%s", root, names[i / 2]);
            tests[i] = (struct CMUnitTest){
                .name = g->name, .initial_state = g, .test_func = gives_what_transformers_gives};
        }
        tests[2 * n] = (struct CMUnitTest){.name = "saved adapters in peft",
                                           .initial_state = golden,
                                           .test_func = peft_reads_what_was_saved};
        rc = _cmocka_run_group_tests("transformers", tests, (size_t)(2 * n + 1), NULL, NULL);
    }
    struct lf_diag diag;
    if (lf_dir_remove(dir, &diag) != LF_OK)
        fprintf(stderr, "%s\n", diag.text);
    return rc;
}
