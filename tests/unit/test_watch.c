/* LIBS: lf_trainer */
/* What goes wrong in a training is said, once, and what goes right is not; and a real training of
 * each kind says it. */
#include "tests/unit/tiny_rig.h"
#include "trainer/watch.h"

/* What was said of losses, a line each. */
struct said {
    struct lf_watch w;
    int n;
    char text[LF_DIAG_MAX]; /* the last */
};

static void see(struct said *s, int64_t step, double loss, double norm)
{
    struct lf_diag why;
    if (!lf_watch_see(&s->w, step, loss, norm, &why))
        return;
    s->n++;
    snprintf(s->text, sizeof s->text, "%s", why.text);
}

/* Noise of standard deviation 0.29 around 0. */
static double noise(int64_t i)
{
    return (double)lf_rng_u32(7, (uint32_t)i, 0) / 4294967296.0 - 0.5;
}

static void a_loss_that_falls_or_stays_says_nothing(void **state)
{
    (void)state;
    for (int64_t steps = 12; steps <= 20000; steps *= 5) {
        struct said s = {.n = 0};
        lf_watch_init(&s.w, 1000, steps);
        for (int64_t i = 0; i < steps; i++)
            see(&s, i + 1, 0.5 + exp(-(double)i / 40) + noise(i), 1);
        assert_int_equal(s.n, 0);
    }
}

static void a_loss_that_climbs_for_a_tenth_of_the_run_says_so_once(void **state)
{
    (void)state;
    struct said s = {.n = 0};
    lf_watch_init(&s.w, 1000, 400);
    for (int64_t i = 0; i < 400; i++)
        see(&s, i + 1, 1 + noise(i) * 0.2 + (i < 200 ? 0 : (double)(i - 200) * 0.01), 1);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.text, "the loss climbs: 0.99 at step 20, 1.29 at step 240 (means of "
                                "20); a lower learning_rate may help");
}

static void a_loss_of_guessing_says_so_after_three_steps(void **state)
{
    (void)state;
    struct said s = {.n = 0};
    lf_watch_init(&s.w, 1000, 100);
    for (int64_t i = 1; i <= 4; i++) /* the base may have begun there */
        see(&s, i, 7, 1);
    see(&s, 5, 6, 1);
    see(&s, 6, 6.8, 1);
    see(&s, 7, 6.8, 1);
    assert_int_equal(s.n, 0);
    see(&s, 8, 6.9078, 1);
    see(&s, 9, 6.9078, 1);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.text, "the loss, 6.91, is that of guessing among 1000 ids (step 8)");
    s = (struct said){.n = 0};
    lf_watch_init(&s.w, 1000, 100);
    for (int64_t i = 1; i <= 10; i++) { /* but not stay there */
        assert_int_equal(s.n, 0);
        see(&s, i, 7 - 0.01 * (double)i, 1);
    }
    assert_int_equal(s.n, 1);
}

/* ---- Trainings ------------------------------------------------------------------------------- */

struct warned {
    int n;
    char all[4 * LF_DIAG_MAX];
    struct lf_progress end;
};

static void hear_warning(void *arg, const struct lf_train_event *e)
{
    struct warned *h = arg;
    size_t n = strlen(h->all);
    if (e->kind == LF_TRAIN_END)
        h->end = e->progress;
    if (e->kind != LF_TRAIN_WARNING)
        return;
    h->n++;
    snprintf(h->all + n, sizeof h->all - n, "%s\n", e->reason);
}

static struct warned run(const struct lf_train_settings *s, const struct lf_adapter *init)
{
    struct lf_diag diag = {""};
    struct warned h = {.n = 0};
    struct lf_job *j;
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job_spec spec = {.settings = s,
                               .train = rows_made(&t, s, 30, 3),
                               .init = init,
                               .event = hear_warning,
                               .event_arg = &h};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    run_to_end(trainer, 0);
    lf_trainer_free(trainer);
    assert_int_equal(h.end.state, LF_JOB_DONE);
    return h;
}

static void an_adapter_of_zeros_learns_nothing_and_says_so(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    struct lf_train_settings s = rig_settings();
    struct lf_adapter *zeros;
    const struct lf_lora_settings lora = {.rank = 4, .alpha = 8};
    must(lf_adapter_new(&zeros, &t.model->config, &lora, 1, &diag), &diag);
    memset(zeros->params, 0, zeros->shape.n_params * sizeof *zeros->params);
    struct warned h = run(&s, zeros);
    if (!strstr(h.all, "the gradient is 0 (step 1): nothing is learnt\n"))
        fail_msg("%s", h.all);
    lf_adapter_free(zeros);
}

static void a_rate_that_is_too_high_makes_the_loss_climb_and_says_so(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    s.steps = 100;
    s.learning_rate = 0.1;
    s.warmup_steps = 100;
    s.batch_size = 30; /* all rows: no noise */
    s.dropout = 0;
    s.max_grad_norm = 0;
    struct warned h = run(&s, NULL);
    if (!strstr(h.all, "the loss climbs: "))
        fail_msg("%s", h.all);
    s.learning_rate = 5e-3;
    s.warmup_steps = 0;
    h = run(&s, NULL);
    if (strstr(h.all, "the loss climbs: "))
        fail_msg("%s", h.all);
}

static void a_warm_up_longer_than_the_training_is_said(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    s.learning_rate = 1e-3;
    s.steps = 10;
    s.warmup_steps = 10;
    struct warned h = run(&s, NULL);
    if (strstr(h.all, "warmup_steps"))
        fail_msg("%s", h.all);
    s.warmup_steps = 90;
    h = run(&s, NULL);
    if (!strstr(h.all, "\"warmup_steps\" is 90, and the training has 10: its rate comes to 0.0001, "
                       "not to 0.001\n"))
        fail_msg("%s", h.all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loss_that_falls_or_stays_says_nothing),
        cmocka_unit_test(a_loss_that_climbs_for_a_tenth_of_the_run_says_so_once),
        cmocka_unit_test(a_loss_of_guessing_says_so_after_three_steps),
        cmocka_unit_test(an_adapter_of_zeros_learns_nothing_and_says_so),
        cmocka_unit_test(a_rate_that_is_too_high_makes_the_loss_climb_and_says_so),
        cmocka_unit_test(a_warm_up_longer_than_the_training_is_said),
    };
    return cmocka_run_group_tests(tests, open_tiny, close_tiny);
}
