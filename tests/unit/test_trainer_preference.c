/* LIBS: lf_trainer */
/* Training by preferences on a tiny base: what the losses are, that jobs and batches change
 * nothing, and that a job goes on from its checkpoint. What TRL says of them is
 * tests/vectors/trl_oracle.py. */
#include "tests/unit/tiny_rig.h"

#include "trainer/preference.h"

static const enum lf_loss losses[] = {LF_LOSS_DPO, LF_LOSS_ORPO, LF_LOSS_KTO};
#define N_LOSSES (sizeof losses / sizeof *losses)

/* ---- The losses ------------------------------------------------------------------------------ */

static struct lf_preference likely(double chosen, double rejected)
{
    return (struct lf_preference){.logp = {chosen, rejected, -11, -9}, .n = {5, 4, 5, 4}, .z = 0.7};
}

static void a_slope_is_its_losss(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * N_LOSSES; i++) {
        struct lf_train_settings s;
        lf_train_settings_default(&s);
        s.loss = losses[i / 2];
        s.beta = 0.3;
        s.label_smoothing = 0.1;
        s.undesirable_weight = 1.5;
        for (int k = 0; k < (s.loss == LF_LOSS_KTO ? 1 : 2); k++) {
            struct lf_preference at = likely(-7, -8), above = at, below = at;
            const double h = 1e-5;
            at.unwanted = above.unwanted = below.unwanted = i % 2 == 1;
            above.logp[k] += h;
            below.logp[k] -= h;
            double slope =
                (lf_preference_loss(&s, &above).loss - lf_preference_loss(&s, &below).loss);
            assert_float_equal(slope / (2 * h), lf_preference_loss(&s, &at).slope[k], 1e-7);
            assert_true(fabs(slope) > 1e-7);
        }
    }
}

static void an_adapter_like_the_base_prefers_nothing(void **state)
{
    (void)state;
    struct lf_train_settings s;
    struct lf_preference same = likely(-11, -9);
    lf_train_settings_default(&s);
    s.loss = LF_LOSS_DPO;
    struct lf_preference_loss dpo = lf_preference_loss(&s, &same);
    assert_float_equal(dpo.loss, log(2), 1e-12);
    assert_true(dpo.reward[0] == 0 && dpo.reward[1] == 0 && !dpo.right);
    s.loss = LF_LOSS_KTO;
    same.z = 0;
    assert_float_equal(lf_preference_loss(&s, &same).loss, 0.5, 1e-12);
    same.unwanted = true;
    s.undesirable_weight = 3;
    assert_float_equal(lf_preference_loss(&s, &same).loss, 1.5, 1e-12);
}

/* A completion of probability 1 has no finite odds, and is no reason to stop. */
static void certainty_is_finite(void **state)
{
    (void)state;
    struct lf_train_settings s;
    struct lf_preference sure = likely(0, -8);
    lf_train_settings_default(&s);
    s.loss = LF_LOSS_ORPO;
    struct lf_preference_loss l = lf_preference_loss(&s, &sure);
    assert_true(isfinite(l.loss) && isfinite(l.slope[0]) && isfinite(l.slope[1]));
    s.loss = LF_LOSS_DPO;
    s.beta = 1000;
    l = lf_preference_loss(&s, &sure);
    assert_true(isfinite(l.loss) && isfinite(l.slope[0]));
}

/* ---- Trainings ------------------------------------------------------------------------------- */

static struct lf_train_settings preference_settings(enum lf_loss loss)
{
    struct lf_train_settings s = rig_settings();
    s.loss = loss;
    s.steps = 6;
    return s;
}

struct told {
    struct heard h;
    struct lf_rewards first, last, eval;
    double first_loss;
};

static void listen(void *arg, const struct lf_train_event *e)
{
    struct told *o = arg;
    if (e->kind == LF_TRAIN_STEP) {
        o->last = e->progress.rewards;
        if (o->h.steps == 0) {
            o->first = o->last;
            o->first_loss = e->loss;
        }
    }
    if (e->kind == LF_TRAIN_EVAL)
        o->eval = e->progress.eval_rewards;
    hear(&o->h, e);
}

static struct lf_job *add(struct lf_trainer *trainer, const struct lf_train_settings *s,
                          struct told *o, const char *checkpoint, uint32_t spread)
{
    struct lf_diag diag = {""};
    struct lf_job *j;
    struct lf_job_spec spec = {
        .settings = s, .checkpoint_dir = checkpoint, .event = o ? listen : NULL, .event_arg = o};
    spec.train =
        s->loss == LF_LOSS_SUPERVISED ? rows_made(&t, s, 30, 3) : pairs_made(&t, s, spread);
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    return j;
}

static float *alone(const struct lf_train_settings *s, uint32_t spread, int budget, struct told *o,
                    size_t *n)
{
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job *j = add(trainer, s, o, NULL, spread);
    run_to_end(trainer, budget);
    float *p = params_of(j, n);
    lf_trainer_free(trainer);
    return p;
}

static void preferences_are_learnt(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_LOSSES; i++) {
        struct lf_train_settings s = preference_settings(losses[i]);
        struct lf_diag diag = {""};
        struct told o = {.h = {0}};
        struct lf_job *j;
        s.steps = 60;
        s.batch_size = 8;
        s.beta = 0.5;
        s.learning_rate = 2e-2;
        s.eval_every = s.steps;
        struct lf_trainer *trainer = trainer_open(&t);
        struct lf_job_spec spec = {.settings = &s,
                                   .train = pairs_made(&t, &s, 6),
                                   .eval = pairs_made(&t, &s, 6),
                                   .event = listen,
                                   .event_arg = &o};
        must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
        run_to_end(trainer, 0);
        print_message("loss %.3f, then %.3f; margin %.3f, then %.3f, accuracy %.2f\n", o.first_loss,
                      o.h.loss, o.first.margin, o.eval.margin, o.eval.accuracy);
        assert_true(o.h.loss < o.first_loss);
        assert_true(o.eval.margin > o.first.margin + 0.05);
        assert_true(o.eval.accuracy > 0.6);
        if (s.loss != LF_LOSS_ORPO) /* the first step is the base's own */
            assert_float_equal(o.first_loss, s.loss == LF_LOSS_DPO ? log(2) : 0.5, 1e-4);
        lf_trainer_free(trainer);
    }
}

static void jobs_fused_give_what_each_gives_alone(void **state)
{
    (void)state;
    struct lf_train_settings s[4];
    struct lf_job *jobs[4];
    struct lf_trainer *trainer = trainer_open(&t);
    for (int k = 0; k < 4; k++) {
        s[k] = preference_settings((enum lf_loss)k);
        s[k].seed = (uint64_t)k;
        s[k].loss_normalization = k % 2 ? LF_LOSS_MICRO_BATCH : LF_LOSS_TOKENS;
        s[k].accumulation = 1 + k % 2;
        jobs[k] = add(trainer, &s[k], NULL, NULL, 6);
    }
    run_to_end(trainer, 0);
    for (int k = 0; k < 4; k++) {
        size_t n;
        float *fused = params_of(jobs[k], &n), *want = alone(&s[k], 6, 0, NULL, &n);
        double d = distance(fused, want, n);
        print_message("loss %d: fused and alone differ by %.1e\n", k, d);
        assert_true(d <= 1e-4);
        free(fused);
        free(want);
    }
    lf_trainer_free(trainer);
}

static void the_size_of_batches_does_not_matter(void **state)
{
    (void)state;
    static const int budgets[] = {1, 23, 60};
    for (size_t i = 0; i < N_LOSSES; i++) {
        struct lf_train_settings s = preference_settings(losses[i]);
        size_t n;
        struct told o = {.h = {0}}, less;
        s.accumulation = 2;
        s.steps = 3;
        float *want = alone(&s, 60, 0, &o, &n); /* of which a batch holds few */
        for (size_t k = 0; k < sizeof budgets / sizeof *budgets; k++) {
            less = (struct told){.h = {0}};
            float *got = alone(&s, 60, budgets[k], &less, &n);
            assert_true(distance(got, want, n) <= 1e-4);
            assert_float_equal(less.h.loss, o.h.loss, 1e-4);
            assert_float_equal(less.last.accuracy, o.last.accuracy, 0);
            free(got);
        }
        free(want);
    }
}

/* As the mean over the same rows in a step that learns nothing. */
static void evaluation_says_what_a_step_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_LOSSES; i++) {
        struct lf_train_settings s = preference_settings(losses[i]);
        struct lf_diag diag = {""};
        struct told o = {.h = {0}};
        struct lf_job *j;
        struct lf_trainer *trainer = trainer_open(&t);
        s.dropout = 0;
        s.batch_size = 60;
        s.steps = 2;
        s.warmup_steps = 1; /* the first one has no rate */
        s.eval_every = 1;
        s.shuffle = false;
        struct lf_job_spec spec = {.settings = &s,
                                   .train = pairs_made(&t, &s, 6),
                                   .eval = pairs_made(&t, &s, 6),
                                   .event = listen,
                                   .event_arg = &o};
        must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
        for (int active = 1; o.h.evals == 0 && active > 0;)
            must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
        assert_float_equal(o.h.eval_loss, o.h.loss, 1e-5);
        assert_float_equal(o.eval.margin, o.last.margin, 1e-5);
        assert_float_equal(o.eval.accuracy, o.last.accuracy, 1e-5);
        lf_trainer_free(trainer);
    }
}

static void a_job_goes_on_from_its_checkpoint(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_preference.XXXXXX";
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < N_LOSSES; i++) {
        struct lf_train_settings s = preference_settings(losses[i]);
        struct told o = {.h = {0}};
        struct lf_diag diag = {""};
        char path[128];
        size_t n;
        snprintf(path, sizeof path, "%s/%zu", dir, i);
        float *want = alone(&s, 6, 60, NULL, &n);
        struct lf_trainer *trainer = trainer_open(&t);
        add(trainer, &s, &o, path, 6);
        for (int active = 1; o.h.steps < 3;) /* in the middle of the rows of the fourth */
            must(lf_trainer_step(trainer, 60, &active, &diag), &diag);
        lf_trainer_free(trainer);
        trainer = trainer_open(&t);
        struct lf_job *j = add(trainer, &s, NULL, path, 6);
        struct lf_progress p;
        lf_job_progress(j, &p, NULL);
        assert_true(p.resumed > 0);
        run_to_end(trainer, 60);
        float *got = params_of(j, &n);
        assert_memory_equal(got, want, n * sizeof *got);
        lf_trainer_free(trainer);
        free(want);
        free(got);
    }
    must(lf_dir_remove(dir, NULL), &(struct lf_diag){""});
}

static void a_pair_that_no_batch_holds_is_refused(void **state)
{
    (void)state;
    struct lf_train_settings s = preference_settings(LF_LOSS_DPO);
    struct lf_diag diag = {""};
    struct lf_trainer *trainer;
    struct lf_job *j;
    must(lf_trainer_new(&trainer, t.exec, t.stream, t.model, t.slots, 12, &diag), &diag);
    struct lf_job_spec spec = {.settings = &s, .train = pairs_made(&t, &s, 6)};
    assert_int_equal(lf_trainer_add(trainer, &spec, &j, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "a pair has"));
    lf_trainer_free(trainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slope_is_its_losss),
        cmocka_unit_test(an_adapter_like_the_base_prefers_nothing),
        cmocka_unit_test(certainty_is_finite),
        cmocka_unit_test(preferences_are_learnt),
        cmocka_unit_test(jobs_fused_give_what_each_gives_alone),
        cmocka_unit_test(the_size_of_batches_does_not_matter),
        cmocka_unit_test(evaluation_says_what_a_step_says),
        cmocka_unit_test(a_job_goes_on_from_its_checkpoint),
        cmocka_unit_test(a_pair_that_no_batch_holds_is_refused),
    };
    return cmocka_run_group_tests_name("preferences", tests, open_tiny, close_tiny);
}
