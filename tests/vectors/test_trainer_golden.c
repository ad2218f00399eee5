/* LIBS: lf_trainer */
/* The reference training trajectory (golden/README.md) through the trainer: dataset, order,
 * accumulation, schedule, clipping, optimizer. Micro-batch losses, gradient norms, learning rates
 * and the trained adapter must come out, for every reference model. */
#include "tests/vectors/golden.h"

#include "trainer/trainer.h"

#include <unistd.h>

#define LOSS_TOLERANCE 1e-4
#define NORM_TOLERANCE 1e-3
#define ADAPTER_TOLERANCE 1e-3

static const struct lf_exec_limits limits = {
    .tokens_max = 256, .train_tokens_max = 256, .seqs_max = 16, .rows_max = 64, .rank_max = 8};

struct follow {
    json_t *json;
    int micros, steps;
};

static double real_at(const json_t *json, const char *key, int i)
{
    return json_number_value(json_array_get(json_object_get(json, key), (size_t)i));
}

static void compare(void *arg, const struct lf_train_event *e)
{
    struct follow *f = arg;
    if (e->kind == LF_TRAIN_MICRO) {
        assert_float_equal(e->micro_loss, real_at(f->json, "micro_losses", f->micros),
                           LOSS_TOLERANCE);
        f->micros++;
    } else if (e->kind == LF_TRAIN_STEP) {
        assert_float_equal(e->grad_norm, real_at(f->json, "grad_norms", f->steps), NORM_TOLERANCE);
        assert_float_equal(e->learning_rate, real_at(f->json, "lrs", f->steps), 1e-12);
        f->steps++;
    }
}

/* The trajectory's batches as rows of {"input_ids", "labels"}. */
static struct lf_dataset *rows_of(const json_t *json, const struct lf_model *m,
                                  const struct lf_train_settings *s)
{
    struct lf_diag diag = {""};
    struct lf_dataset *d;
    struct lf_buf text;
    char path[64];
    const json_t *batches = json_object_get(json, "batches");
    lf_buf_init(&text, 0);
    for (size_t i = 0; i < json_array_size(batches); i++) {
        const json_t *ids = json_array_get(batches, i);
        lf_buf_puts(&text, "{\"input_ids\": [");
        for (size_t k = 0; k < json_array_size(ids); k++)
            lf_buf_printf(&text, "%s%d", k ? ", " : "",
                          (int)json_integer_value(json_array_get(ids, k)));
        lf_buf_puts(&text, "], \"labels\": [");
        for (size_t k = 0; k < json_array_size(ids); k++)
            lf_buf_printf(&text, "%s%d", k ? ", " : "",
                          (double)k < real_at(json, "prompt_tokens", (int)i)
                              ? -100
                              : (int)json_integer_value(json_array_get(ids, k)));
        lf_buf_puts(&text, "]}\n");
    }
    snprintf(path, sizeof path, "test_trainer_golden.%d.jsonl", (int)getpid());
    ok(lf_file_write(path, text.data, text.len, &diag), &diag);
    ok(lf_dataset_load(&d, path, m, s, false, NULL, &diag), &diag);
    unlink(path);
    lf_buf_free(&text);
    return d;
}

static struct lf_train_settings settings_of(const json_t *json)
{
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    s.dropout = 0;
    s.batch_size = 1;
    s.accumulation = (int)json_integer_value(json_object_get(json, "accumulation"));
    s.steps = json_integer_value(json_object_get(json, "steps"));
    s.learning_rate = json_number_value(json_object_get(json, "peak_lr"));
    s.warmup_steps = json_integer_value(json_object_get(json, "warmup_steps"));
    s.max_grad_norm = json_number_value(json_object_get(json, "max_grad_norm"));
    s.loss_normalization = LF_LOSS_MICRO_BATCH;
    s.shuffle = false;
    return s;
}

static double distance(const struct lf_adapter *a, const struct lf_adapter *b)
{
    double d = 0, norm = 0;
    assert_int_equal(a->shape.n_params, b->shape.n_params);
    for (size_t i = 0; i < a->shape.n_params; i++) {
        d += pow((double)a->params[i] - b->params[i], 2);
        norm += pow(b->params[i], 2);
    }
    return sqrt(d / norm);
}

static void follows_the_reference(void **state)
{
    const struct golden *g = *state;
    struct follow f = {0};
    struct rig r;
    struct lf_diag diag = {""};
    struct lf_trainer *t;
    struct lf_job *j;
    const struct lf_adapter *trained;
    char path[1200];
    snprintf(path, sizeof path, "%s/train.json", g->dir);
    ok(lf_json_load(&f.json, path, &diag), &diag);
    struct lf_train_settings s = settings_of(f.json);
    rig_open(&r, g, "model-nf4", LF_QUANT_NF4, &limits);
    struct lf_adapter *init = adapter_open(&r, g, "adapter-init");
    struct lf_adapter *want = adapter_open(&r, g, "adapter-trained");
    ok(lf_trainer_new(&t, r.exec, r.stream, r.model, r.slots, 0, &diag), &diag);
    struct lf_job_spec spec = {.settings = &s,
                               .train = rows_of(f.json, r.model, &s),
                               .init = init,
                               .event = compare,
                               .event_arg = &f};
    ok(lf_trainer_add(t, &spec, &j, &diag), &diag);
    for (int active = 1; active > 0;)
        ok(lf_trainer_step(t, 0, &active, &diag), &diag);
    assert_int_equal(f.steps, s.steps);
    assert_int_equal(f.micros, s.steps * s.accumulation);
    ok(lf_job_adapter(j, &trained, &diag), &diag);
    double d = distance(trained, want);
    print_message("%s: the trained adapter differs by %.1e\n", g->name, d);
    assert_true(d <= ADAPTER_TOLERANCE);
    lf_trainer_free(t);
    lf_adapter_free(init);
    lf_adapter_free(want);
    rig_close(&r);
    json_decref(f.json);
}

int main(void)
{
    static struct golden cases[GOLDEN_MODELS_MAX];
    static struct CMUnitTest tests[GOLDEN_MODELS_MAX];
    char names[GOLDEN_MODELS_MAX][64], root[1024];
    int n = golden_list(names, root);
    if (n == 0)
        return 77;
    for (int i = 0; i < n; i++) {
        snprintf(cases[i].name, sizeof cases[i].name, "%.63s", names[i]);
        snprintf(cases[i].dir, sizeof cases[i].dir, "%.900s/%.63s", root, names[i]);
        cases[i].device = LF_DEVICE_CPU;
        tests[i] = (struct CMUnitTest)cmocka_unit_test_prestate(follows_the_reference, &cases[i]);
        tests[i].name = cases[i].name;
    }
    return _cmocka_run_group_tests("trainer_golden", tests, (size_t)n, NULL, NULL);
}
