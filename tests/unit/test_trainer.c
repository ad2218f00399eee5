/* LIBS: lf_trainer */
/* The trainer on a tiny base: jobs do not change each other, batches do not change a job, and each
 * definition (accumulation, normalisation, evaluation, clipping) is what it says. */
#include "tests/unit/tiny_rig.h"

#include <pthread.h>

static void a_job_learns(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    struct heard h = {0};
    s.steps = 60;
    s.warmup_steps = 2;
    s.dropout = 0;
    s.learning_rate = 2e-2;
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job *j = job_add(trainer, &t, &s, 1, &h);
    int active;
    struct lf_diag diag;
    must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
    double first = h.loss; /* about ln 512; a random tied head lets it fall little */
    run_to_end(trainer, 0);
    print_message("loss %.3f, then %.3f\n", first, h.loss);
    assert_true(h.loss < first - 0.15);
    assert_int_equal(h.steps, 60);
    assert_int_equal(h.micros, 60);
    assert_int_equal(h.ends, 1);
    assert_int_equal(h.state, LF_JOB_DONE);
    struct lf_progress p;
    lf_job_progress(j, &p, NULL);
    assert_int_equal(p.state, LF_JOB_DONE);
    assert_int_equal(p.step, 60);
    assert_int_equal(p.steps, 60);
    assert_true(p.tokens > 60 * 4 * 3);
    assert_true(p.tokens_per_second > 0);
    assert_true(isnan(p.eval_loss));
    lf_job_release(j);
    lf_trainer_free(trainer);
}

static void three_jobs_fused_give_what_each_gives_alone(void **state)
{
    (void)state;
    static char attention[] = "q_proj,v_proj";
    struct lf_train_settings s[3] = {rig_settings(), rig_settings(), rig_settings()};
    struct lf_job *jobs[3];
    s[1].rank = 8;
    s[1].batch_size = 1;
    s[1].accumulation = 4;
    s[1].loss_normalization = LF_LOSS_MICRO_BATCH;
    s[1].optimizer = LF_OPTIMIZER_ADAM;
    s[1].weight_decay = 0.01;
    s[1].seed = 5;
    s[1].neftune_alpha = 5;
    s[1].target_modules = attention;
    s[2].batch_size = 7;
    s[2].steps = 0;
    s[2].epochs = 1.5;
    s[2].weight_decay = 0.1;
    s[2].schedule = LF_SCHEDULE_LINEAR;
    s[2].dora = true;
    struct lf_trainer *trainer = trainer_open(&t);
    for (uint64_t k = 0; k < 3; k++)
        jobs[k] = job_add(trainer, &t, &s[k], k, NULL);
    run_to_end(trainer, 0);
    for (uint64_t k = 0; k < 3; k++) {
        size_t n, m;
        float *fused = params_of(jobs[k], &n), *alone = trained_alone(&t, &s[k], k, 0, &m);
        assert_int_equal(n, m);
        double d = distance(fused, alone, n);
        print_message("job %d: fused and alone differ by %.1e\n", (int)k, d);
        assert_true(d <= 1e-4);
        free(fused);
        free(alone);
    }
    lf_trainer_free(trainer);
}

/* As PEFT writes them: one full name a layer, more than fits any line. */
static void modules_in_full_train_as_modules_by_name(void **state)
{
    (void)state;
    static char brief[] = "q_proj,up_proj";
    struct lf_train_settings s = rig_settings();
    struct lf_buf names;
    lf_buf_init(&names, 0);
    for (int i = 0; i < 9; i++)
        for (int layer = 0; layer < t.model->config.L; layer++)
            lf_buf_printf(&names, "%smodel.layers.%d.self_attn.q_proj,model.layers.%d.mlp.up_proj",
                          names.len ? "," : "", layer, layer);
    assert_true(names.len > 255);
    size_t n, m;
    s.target_modules = brief;
    float *want = trained_alone(&t, &s, 3, 0, &n);
    s.target_modules = names.data;
    float *got = trained_alone(&t, &s, 3, 0, &m);
    assert_int_equal(n, m);
    assert_memory_equal(got, want, n * sizeof *got);
    free(got);
    free(want);
    lf_buf_free(&names);
}

/* Five rows and the settings of who gives none: a step an epoch, and each of them at a rate. */
static void few_rows_are_learnt(void **state)
{
    (void)state;
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    s.rank = 4;
    struct heard h = {0};
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job_spec spec = {
        .settings = &s, .train = rows_made(&t, &s, 5, 1), .event = hear, .event_arg = &h};
    struct lf_job *j;
    struct lf_diag diag;
    int active;
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
    assert_int_equal(h.steps, 1);
    assert_true(h.lr_sum == 1e-3); /* "auto" of a small base */
    double first = h.loss;
    run_to_end(trainer, 0);
    assert_int_equal(h.steps, 25); /* passes, of a step each */
    assert_true(h.loss < first);
    lf_job_release(j);
    lf_trainer_free(trainer);
}

/* The first step goes by the gradient's sign whatever beta2 is; those after it do not. */
static void beta2_is_the_settings(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    for (int steps = 1; steps <= 12; steps += 11) {
        size_t n;
        s.steps = steps;
        s.warmup_steps = 0;
        s.adam_beta2 = 0.999;
        float *usual = trained_alone(&t, &s, 3, 0, &n);
        s.adam_beta2 = 0.9;
        float *shorter = trained_alone(&t, &s, 3, 0, &n);
        double d = distance(shorter, usual, n);
        print_message("%d steps: differ by %.1e\n", steps, d);
        assert_true(steps == 1 ? d <= 1e-6 : d > 1e-3);
        free(usual);
        free(shorter);
    }
}

static void the_size_of_batches_does_not_matter(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    static const int budgets[] = {1, 17, 40, 100};
    size_t n;
    float *want = trained_alone(&t, &s, 3, 0, &n);
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        float *got = trained_alone(&t, &s, 3, budgets[i], &n);
        double d = distance(got, want, n);
        print_message("budget %d: differs by %.1e\n", budgets[i], d);
        assert_true(d <= 1e-4);
        free(got);
    }
    free(want);
}

static void accumulation_is_a_larger_batch(void **state)
{
    (void)state;
    struct lf_train_settings one = rig_settings(), many = rig_settings();
    one.batch_size = 8;
    many.batch_size = 1;
    many.accumulation = 8;
    size_t n;
    float *a = trained_alone(&t, &one, 3, 0, &n), *b = trained_alone(&t, &many, 3, 0, &n);
    assert_true(distance(a, b, n) <= 1e-4);
    free(a);
    free(b);
}

static void the_same_job_gives_the_same_bytes(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    size_t n;
    s.neftune_alpha = 5;
    float *a = trained_alone(&t, &s, 3, 0, &n), *b = trained_alone(&t, &s, 3, 0, &n);
    assert_memory_equal(a, b, n * sizeof *a);
    free(b);
    s.neftune_alpha = 0;
    b = trained_alone(&t, &s, 3, 0, &n);
    assert_true(distance(a, b, n) > 1e-3);
    free(b);
    s.seed++;
    b = trained_alone(&t, &s, 3, 0, &n);
    assert_true(distance(a, b, n) > 0.1);
    free(a);
    free(b);
}

struct preparation {
    struct lf_trainer *trainer;
    struct lf_job_spec spec;
    struct lf_job *job;
    enum lf_err rc;
};

static void *prepare_beside(void *arg)
{
    struct preparation *p = arg;
    struct lf_diag diag = {""};
    p->rc = lf_job_prepare(&p->job, p->trainer, &p->spec, &diag);
    return NULL;
}

static void a_job_is_prepared_while_others_train(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    struct lf_diag diag = {""};
    size_t n;
    int active = 1;
    struct heard h = {0};
    struct lf_trainer *trainer = trainer_open(&t);
    struct preparation p = {
        .trainer = trainer,
        .spec = {
            .settings = &s, .train = rows_made(&t, &s, 30, 5), .event = hear, .event_arg = &h}};
    struct preparation unused = {.trainer = trainer,
                                 .spec = {.settings = &s, .train = rows_made(&t, &s, 30, 6)}};
    pthread_t thread[2];
    job_add(trainer, &t, &s, 3, NULL);
    assert_int_equal(pthread_create(&thread[0], NULL, prepare_beside, &p), 0);
    assert_int_equal(pthread_create(&thread[1], NULL, prepare_beside, &unused), 0);
    for (int i = 0; i < 6; i++)
        must(lf_trainer_step(trainer, 50, &active, &diag), &diag);
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    must(p.rc, &diag);
    must(unused.rc, &diag);
    lf_job_discard(unused.job);
    assert_int_equal(h.steps, 0);
    must(lf_trainer_place(trainer, p.job, &diag), &diag);
    run_to_end(trainer, 50);
    float *beside = params_of(p.job, &n);
    lf_trainer_free(trainer);
    float *alone = trained_alone(&t, &s, 5, 50, &n);
    assert_true(distance(beside, alone, n) < 1e-4);
    free(beside);
    free(alone);
}

static void evaluation_watches_and_changes_nothing(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    struct heard h = {0};
    struct lf_diag diag = {""};
    struct lf_job *j;
    s.eval_every = 5;
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job_spec spec = {.settings = &s,
                               .train = rows_made(&t, &s, 30, 3),
                               .eval = rows_made(&t, &s, 30, 3),
                               .event = hear,
                               .event_arg = &h};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    run_to_end(trainer, 50);
    assert_int_equal(h.evals, 3);
    size_t n;
    float *watched = params_of(j, &n);
    lf_trainer_free(trainer);
    float *alone = trained_alone(&t, &s, 3, 50, &n);
    assert_memory_equal(watched, alone, n * sizeof *alone);
    free(watched);
    free(alone);

    /* What it says is what a step without dropout over all these rows would say next. */
    s = rig_settings();
    s.dropout = 0;
    s.steps = 0;
    s.epochs = 1;
    s.batch_size = 30;
    s.schedule = LF_SCHEDULE_CONSTANT;
    s.warmup_steps = 1;
    struct heard one = {0};
    trainer = trainer_open(&t);
    spec = (struct lf_job_spec){.settings = &s,
                                .train = rows_made(&t, &s, 30, 3),
                                .eval = rows_made(&t, &s, 30, 3),
                                .event = hear,
                                .event_arg = &one};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    run_to_end(trainer, 0);
    assert_int_equal(one.steps, 1);
    assert_true(one.lr_sum == 0);
    assert_float_equal(one.loss, one.eval_loss, 1e-5);
    lf_trainer_free(trainer);
}

static void a_loss_that_is_not_finite_ends_its_job_alone(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    struct lf_lora_settings lora = {.rank = 4, .alpha = 8, .target_modules = "all-linear"};
    struct lf_adapter *bad;
    struct lf_diag diag = {""};
    struct heard h = {0};
    struct lf_job *j, *good;
    must(lf_adapter_new(&bad, &t.model->config, &lora, 1, &diag), &diag);
    for (size_t i = 0; i < bad->shape.n_params; i++)
        bad->params[i] = INFINITY;
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job_spec spec = {.settings = &s,
                               .train = rows_made(&t, &s, 30, 3),
                               .init = bad,
                               .event = hear,
                               .event_arg = &h};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    lf_adapter_free(bad);
    good = job_add(trainer, &t, &s, 3, NULL);
    run_to_end(trainer, 0);
    assert_int_equal(h.state, LF_JOB_FAILED);
    assert_int_equal(h.steps, 0);
    assert_non_null(strstr(h.reason, "not finite at step 1"));
    assert_non_null(strstr(h.reason, "line "));
    struct lf_progress p;
    struct lf_diag why;
    lf_job_progress(j, &p, &why);
    assert_int_equal(p.state, LF_JOB_FAILED);
    assert_string_equal(why.text, h.reason);
    lf_job_release(j);
    size_t n;
    float *a = params_of(good, &n), *b = trained_alone(&t, &s, 3, 0, &n);
    assert_true(distance(a, b, n) <= 1e-4);
    free(a);
    free(b);
    lf_trainer_free(trainer);
}

/* The parameters after one step from `init`; free(). */
static float *after_a_step(const struct lf_train_settings *s, const struct lf_adapter *init)
{
    struct lf_diag diag = {""};
    struct lf_job *j;
    size_t n;
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job_spec spec = {.settings = s, .train = rows_made(&t, s, 30, 3), .init = init};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    run_to_end(trainer, 0);
    float *p = params_of(j, &n);
    lf_trainer_free(trainer);
    return p;
}

/* As peft's create_loraplus_optimizer: two groups of parameters, whose rates have that ratio. A
 * first step of Adam is as long as its rate, whatever the gradient. */
static void lora_plus_takes_b_at_a_rate_of_its_own(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    struct lf_diag diag = {""};
    struct lf_adapter *init;
    const struct lf_lora_settings lora = {.rank = 4, .alpha = 8};
    s.steps = 1;
    s.warmup_steps = 0;
    s.schedule = LF_SCHEDULE_CONSTANT;
    s.learning_rate = 1e-3;
    must(lf_adapter_new(&init, &t.model->config, &lora, 1, &diag), &diag);
    for (size_t i = 0; i < init->shape.n_params; i++) /* so that A has a gradient, too */
        init->params[i] += 0.01f * (float)((int)(i % 7) - 3);
    float *plain = after_a_step(&s, init);
    s.lora_plus = 16;
    float *plus = after_a_step(&s, init);
    const struct lf_adapter_shape *shape = &init->shape;
    for (int i = 0; i < shape->n_sites; i++) {
        const float *p0 = init->params;
        size_t a = shape->a_off[i], b = shape->b_off[i];
        for (size_t k = 0; k < 16; k++) {
            assert_float_equal(plus[a + k] - p0[a + k], plain[a + k] - p0[a + k], 1e-7);
            assert_float_equal(plus[b + k] - p0[b + k], 16 * (plain[b + k] - p0[b + k]), 1e-5);
        }
        assert_true(fabsf(plain[b] - p0[b]) > 1e-4f);
    }
    lf_adapter_free(init);
    free(plain);
    free(plus);
}

/* What trains beside its start has that in its second half, which stays as it is. */
static void the_half_that_is_a_start_does_not_train(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    struct lf_diag diag = {""};
    struct lf_adapter *init;
    const struct lf_lora_settings lora = {.rank = 4, .alpha = 8, .doubled = true};
    must(lf_adapter_new(&init, &t.model->config, &lora, 1, &diag), &diag);
    assert_int_equal(init->rank, 8);
    assert_true(init->alpha == 16 && init->shape.scale[0] == 2);
    for (size_t i = 0; i < init->shape.n_params; i++)
        init->params[i] += 0.01f * (float)((int)(i % 7) - 3);
    float *now = after_a_step(&s, init);
    for (int i = 0; i < init->shape.n_sites; i++) {
        const struct lf_proj *p = &t.model->config.proj[i % t.model->config.n_proj];
        size_t a = init->shape.a_off[i], b = init->shape.b_off[i];
        int moved = 0;
        for (int k = 0; k < 8 * p->K; k++) {
            bool same = now[a + (size_t)k] == init->params[a + (size_t)k];
            moved += !same;
            assert_true(same || k < 4 * p->K);
        }
        for (int k = 0; k < 8 * p->N; k++) {
            bool same = now[b + (size_t)k] == init->params[b + (size_t)k];
            moved += !same;
            assert_true(same || k % 8 < 4);
        }
        assert_true(moved > 3 * (p->K + p->N));
    }
    lf_adapter_free(init);
    free(now);
}

static void starts_from_an_adapter_that_is_given(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    struct lf_lora_settings lora = {.rank = 2, .alpha = 2, .target_modules = "v_proj"};
    struct lf_adapter *init;
    struct lf_diag diag = {""};
    struct lf_job *j;
    const struct lf_adapter *now;
    must(lf_adapter_new(&init, &t.model->config, &lora, 1, &diag), &diag);
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job_spec spec = {.settings = &s, .train = rows_made(&t, &s, 30, 3), .init = init};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    must(lf_job_adapter(j, &now, &diag), &diag);
    assert_int_equal(now->shape.n_params, init->shape.n_params);
    assert_memory_equal(now->params, init->params, init->shape.n_params * sizeof *init->params);
    lf_adapter_free(init);
    lf_trainer_free(trainer);
}

static void pauses_between_steps_and_goes_on(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    struct heard h = {0};
    struct lf_diag diag = {""};
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job *j = job_add(trainer, &t, &s, 3, &h);
    int active = 1;
    must(lf_trainer_step(trainer, 20, &active, &diag), &diag);
    lf_job_pause(j, true);
    while (active > 0)
        must(lf_trainer_step(trainer, 20, &active, &diag), &diag);
    assert_int_equal(h.steps, 1);
    struct lf_progress p;
    lf_job_progress(j, &p, NULL);
    assert_int_equal(p.state, LF_JOB_PAUSED);
    assert_int_equal(h.pauses, 1);
    lf_job_pause(j, false);
    assert_int_equal(h.resumes, 1);
    run_to_end(trainer, 20);
    size_t n;
    float *a = params_of(j, &n), *b = trained_alone(&t, &s, 3, 20, &n);
    assert_memory_equal(a, b, n * sizeof *a);
    free(a);
    free(b);
    lf_trainer_free(trainer);
}

static void a_job_that_is_told_to_finish_is_done_after_the_step(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    for (int paused = 0; paused < 2; paused++) {
        struct heard h = {0};
        struct lf_diag diag = {""};
        struct lf_trainer *trainer = trainer_open(&t);
        struct lf_job *j = job_add(trainer, &t, &s, 3, &h);
        int active = 1;
        if (paused)
            lf_job_pause(j, true);
        while (paused && active > 0)
            must(lf_trainer_step(trainer, 20, &active, &diag), &diag);
        lf_job_finish(j);
        lf_job_finish(j);
        run_to_end(trainer, 20);
        assert_int_equal(h.state, LF_JOB_DONE);
        assert_int_equal(h.steps, 1); /* the one that was done, or under way */
        assert_int_equal(h.ends, 1);
        lf_job_release(j);
        lf_trainer_free(trainer);
    }
}

static void cancelled_jobs_end_at_once(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    struct heard h = {0};
    struct lf_diag diag = {""};
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job *j = job_add(trainer, &t, &s, 3, &h);
    int active;
    must(lf_trainer_step(trainer, 20, &active, &diag), &diag);
    lf_job_cancel(j);
    assert_int_equal(h.state, LF_JOB_CANCELLED);
    must(lf_trainer_step(trainer, 20, &active, &diag), &diag);
    assert_int_equal(active, 0);
    assert_int_equal(h.ends, 1);
    lf_job_release(j);
    lf_trainer_free(trainer);
}

static void refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    struct lf_diag diag = {""};
    struct lf_job *j;
    struct lf_trainer *trainer;
    must(lf_trainer_new(&trainer, t.exec, t.stream, t.model, t.slots, 10, &diag), &diag);
    struct lf_job_spec spec = {.settings = &s, .train = rows_made(&t, &s, 30, 3)};
    assert_int_equal(lf_trainer_add(trainer, &spec, &j, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "max_length"));
    lf_trainer_free(trainer);

    trainer = trainer_open(&t);
    s.rank = 32;
    spec.train = rows_made(&t, &s, 30, 3);
    assert_int_equal(lf_trainer_add(trainer, &spec, &j, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "rank"));
    s.rank = 4;
    static char unknown[] = "c_attn";
    s.target_modules = unknown;
    spec.train = rows_made(&t, &s, 30, 3);
    assert_int_equal(lf_trainer_add(trainer, &spec, &j, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "q_proj"));
    s = rig_settings();
    for (int k = 0; k < 8; k++)
        job_add(trainer, &t, &s, 3, NULL);
    spec.train = rows_made(&t, &s, 30, 3);
    assert_int_equal(lf_trainer_add(trainer, &spec, &j, &diag), LF_E_DEVICE_FULL);
    lf_trainer_free(trainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_learns),
        cmocka_unit_test(three_jobs_fused_give_what_each_gives_alone),
        cmocka_unit_test(modules_in_full_train_as_modules_by_name),
        cmocka_unit_test(few_rows_are_learnt),
        cmocka_unit_test(beta2_is_the_settings),
        cmocka_unit_test(the_size_of_batches_does_not_matter),
        cmocka_unit_test(accumulation_is_a_larger_batch),
        cmocka_unit_test(the_same_job_gives_the_same_bytes),
        cmocka_unit_test(a_job_is_prepared_while_others_train),
        cmocka_unit_test(evaluation_watches_and_changes_nothing),
        cmocka_unit_test(a_loss_that_is_not_finite_ends_its_job_alone),
        cmocka_unit_test(lora_plus_takes_b_at_a_rate_of_its_own),
        cmocka_unit_test(the_half_that_is_a_start_does_not_train),
        cmocka_unit_test(starts_from_an_adapter_that_is_given),
        cmocka_unit_test(pauses_between_steps_and_goes_on),
        cmocka_unit_test(a_job_that_is_told_to_finish_is_done_after_the_step),
        cmocka_unit_test(cancelled_jobs_end_at_once),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, open_tiny, close_tiny);
}
