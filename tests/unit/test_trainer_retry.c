/* LIBS: lf_trainer */
/* A loss that is not finite: which rows did it, and a second try at half the rate without them. */
#include "tests/unit/train_rig.h"
#include "trainer/plan.h"

#define POISON 511 /* an id that the rows of the rig have not */

static struct tiny t;

/* The id's embedding is not finite, nor is what comes after it in a row. */
static void poison(void)
{
    const struct lf_weight *e = &t.model->embed;
    size_t bytes = (e->kind == LF_WEIGHT_F32 ? 4 : 2) * (size_t)e->K;
    assert_int_not_equal(e->kind, LF_WEIGHT_Q4);
    memset((char *)(uintptr_t)e->data + POISON * bytes, 0xff, bytes); /* NaN in either */
}

static int open_tiny(void **state)
{
    (void)state;
    tiny_open_as(&t, "{\"model_type\":\"llama\"," TINY_SIZES ",\"tie_word_embeddings\":false}",
                 LF_DEVICE_CPU, NULL, 8, &rig_limits);
    poison();
    return 0;
}

static int close_tiny(void **state)
{
    (void)state;
    tiny_close(&t);
    return 0;
}

/* 30 rows, of which the one at line `bad` (0: none) holds an id whose loss is not finite. */
static struct lf_dataset *rows(const struct lf_train_settings *s, int bad)
{
    char path[64];
    struct lf_diag diag = {""};
    struct lf_dataset *d;
    lf_buf_auto text = {0};
    for (int i = 1; i <= 30; i++)
        lf_buf_printf(&text, "{\"input_ids\": [%d, 7, %d, 9, 11]}\n", i + 20,
                      i == bad ? POISON : i + 60);
    snprintf(path, sizeof path, "train_retry.%d.jsonl", (int)getpid());
    must(lf_file_write(path, text.data, text.len, &diag), &diag);
    must(lf_dataset_load(&d, path, t.model, s, false, NULL, &diag), &diag);
    unlink(path);
    return d;
}

static struct lf_job *add(struct lf_trainer *trainer, const struct lf_train_settings *s, int bad,
                          const char *checkpoint, const struct lf_train_fault *fault,
                          struct heard *h)
{
    struct lf_diag diag = {""};
    struct lf_job *j;
    struct lf_job_spec spec = {.settings = s,
                               .train = rows(s, bad),
                               .checkpoint_dir = checkpoint,
                               .fault = fault,
                               .event = hear,
                               .event_arg = h};
    *h = (struct heard){0};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    return j;
}

static void the_rows_that_did_it_are_skipped_at_half_the_rate(void **state)
{
    (void)state;
    struct heard h;
    struct lf_train_fault fault;
    struct lf_diag diag = {""};
    struct lf_train_settings s = rig_settings();
    const char *dir = "train_retry.checkpoint";
    must(lf_dir_remove(dir, &diag), &diag);
    s.schedule = LF_SCHEDULE_CONSTANT;
    s.warmup_steps = 0;
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job *j = add(trainer, &s, 17, dir, NULL, &h);
    run_to_end(trainer, 0);
    int done = h.steps;
    assert_int_equal(h.state, LF_JOB_FAILED);
    assert_in_range(done, 1, 10); /* of 12: it has come somewhere */
    assert_non_null(strstr(h.reason, "(row of line 17)"));
    lf_job_fault(j, &fault);
    assert_true(fault.not_finite);
    assert_int_equal(fault.n, 1);
    assert_int_equal(fault.lines[0], 17);
    lf_job_release(j);
    lf_trainer_free(trainer);

    trainer = trainer_open(&t);
    j = add(trainer, &s, 17, dir, &fault, &h);
    run_to_end(trainer, 0);
    assert_int_equal(h.state, LF_JOB_DONE);
    assert_int_equal(h.steps, 12 - done); /* from the checkpoint */
    assert_true(fabs(h.lr_sum - 0.5 * s.learning_rate * h.steps) < 1e-12);
    lf_job_fault(j, &fault);
    assert_false(fault.not_finite);
    lf_job_release(j);
    lf_trainer_free(trainer);
    must(lf_dir_remove(dir, &diag), &diag);
}

/* All rows of the batch: no row is to be blamed for weights that are bad. */
static void weights_that_are_bad_blame_no_row(void **state)
{
    (void)state;
    struct heard h;
    struct lf_train_fault fault;
    struct lf_diag diag = {""};
    struct lf_adapter *bad;
    struct lf_train_settings s = rig_settings();
    const struct lf_lora_settings lora = {.rank = 4, .alpha = 8};
    must(lf_adapter_new(&bad, &t.model->config, &lora, 1, &diag), &diag);
    for (size_t i = 0; i < bad->shape.n_params; i++)
        bad->params[i] = INFINITY;
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job *j;
    struct lf_job_spec spec = {
        .settings = &s, .train = rows(&s, 0), .init = bad, .event = hear, .event_arg = &h};
    h = (struct heard){0};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    run_to_end(trainer, 0);
    assert_int_equal(h.state, LF_JOB_FAILED);
    lf_job_fault(j, &fault);
    assert_true(fault.not_finite);
    assert_int_equal(fault.n, 0);
    lf_adapter_free(bad);
    lf_trainer_free(trainer);
}

static void a_plan_without_a_row_is_otherwise_the_same(void **state)
{
    (void)state;
    struct lf_plan whole, less;
    struct lf_diag diag = {""};
    struct lf_row a, b;
    const int64_t skipped[] = {5};
    struct lf_train_settings s = rig_settings();
    struct lf_dataset *d = rows(&s, 0);
    must(lf_plan_init(&whole, d, &s, &diag), &diag);
    must(lf_plan_init(&less, d, &s, &diag), &diag);
    less.skipped = skipped;
    less.n_skipped = 1;
    for (int step = 0, seen = 0; step < 12; step++) {
        lf_plan_go(&whole, step);
        lf_plan_go(&less, step);
        assert_int_equal(whole.n, less.n);
        for (int i = 0; i < whole.n; i++) {
            lf_dataset_row(d, whole.rows[i], &a);
            lf_dataset_row(d, less.rows[i], &b);
            seen += a.line == 5;
            assert_int_not_equal(b.line, 5);
            assert_true(a.line == 5 || a.line == b.line);
        }
        assert_true(step < 11 || seen > 0);
    }
    lf_plan_free(&whole);
    lf_plan_free(&less);
    lf_dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_that_are_bad_blame_no_row),
        cmocka_unit_test(a_plan_without_a_row_is_otherwise_the_same),
        cmocka_unit_test(the_rows_that_did_it_are_skipped_at_half_the_rate),
    };
    return cmocka_run_group_tests(tests, open_tiny, close_tiny);
}
