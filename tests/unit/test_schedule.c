/* LIBS: lf_trainer */
/* Learning rates against transformers.get_{constant,linear,cosine}_schedule_with_warmup 5.17. */
#include "trainer/settings.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void follows_transformers(void **state)
{
    (void)state;
    static const struct {
        enum lf_schedule schedule;
        int warmup, steps;
        double lr[10];
    } cases[] = {
        {LF_SCHEDULE_CONSTANT,
         3,
         10,
         {0, 2e-3 / 3, 4e-3 / 3, 2e-3, 2e-3, 2e-3, 2e-3, 2e-3, 2e-3, 2e-3}},
        {LF_SCHEDULE_LINEAR,
         3,
         10,
         {0, 2e-3 / 3, 4e-3 / 3, 2e-3, 0.0017142857142857142, 0.0014285714285714286,
          0.0011428571428571427, 0.0008571428571428571, 0.0005714285714285714,
          0.0002857142857142857}},
        {LF_SCHEDULE_COSINE,
         3,
         10,
         {0, 2e-3 / 3, 4e-3 / 3, 2e-3, 0.001900968867902419, 0.0016234898018587336,
          0.0012225209339563144, 0.0007774790660436857, 0.0003765101981412665,
          9.903113209758097e-05}},
        {LF_SCHEDULE_COSINE, 0, 4, {2e-3, 0.0017071067811865474, 1e-3, 0.00029289321881345256}},
        {LF_SCHEDULE_COSINE, 4, 4, {0, 5e-4, 1e-3, 1.5e-3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lf_train_settings s = {
            .learning_rate = 2e-3, .schedule = cases[i].schedule, .warmup_steps = cases[i].warmup};
        for (int step = 0; step < cases[i].steps; step++) {
            double lr = lf_train_learning_rate(&s, step, cases[i].steps);
            if (fabs(lr - cases[i].lr[step]) > 1e-15)
                fail_msg("case %zu, step %d: %.17g, not %.17g", i, step, lr, cases[i].lr[step]);
        }
    }
}

/* transformers' get_cosine_with_hard_restarts_schedule_with_warmup(2, 10, num_cycles=2), and
 * without the warm-up torch's CosineAnnealingWarmRestarts(T_0=4). */
static void a_cosine_begins_again(void **state)
{
    (void)state;
    static const double lr[] = {0,     0.001,
                                0.002, 0.0017071067811865474,
                                0.001, 0.00029289321881345256,
                                0.002, 0.0017071067811865474,
                                0.001, 0.00029289321881345256};
    struct lf_train_settings s = {.learning_rate = 2e-3,
                                  .schedule = LF_SCHEDULE_COSINE,
                                  .warmup_steps = 2,
                                  .restart_every = 4};
    for (int step = 0; step < 10; step++)
        assert_true(fabs(lf_train_learning_rate(&s, step, 10) - lr[step]) < 1e-15);
    s.warmup_steps = 0;
    for (int step = 0; step < 8; step++)
        assert_true(fabs(lf_train_learning_rate(&s, step, 8) - lr[step + 2]) < 1e-15);
}

static void a_fraction_of_the_steps_warms_up(void **state)
{
    (void)state;
    struct lf_train_settings s = {.warmup_steps = -1, .warmup_fraction = 0.03};
    assert_int_equal(lf_train_warmup_steps(&s, 2500), 75);
    assert_int_equal(lf_train_warmup_steps(&s, 10), 1);
    s.warmup_fraction = 0;
    assert_int_equal(lf_train_warmup_steps(&s, 10), 0);
}

static void the_first_step_of_a_fraction_has_a_rate(void **state)
{
    (void)state;
    struct lf_train_settings s = {
        .learning_rate = 2e-3, .warmup_steps = -1, .warmup_fraction = 0.03};
    assert_true(lf_train_learning_rate(&s, 0, 1) == 2e-3);
    s.warmup_fraction = 0.5;
    assert_true(lf_train_learning_rate(&s, 0, 4) == 1e-3);
    assert_true(lf_train_learning_rate(&s, 1, 4) == 2e-3);
    assert_true(lf_train_learning_rate(&s, 2, 4) == 2e-3);
}

static void auto_is_1e_3_on_the_small_base_and_2e_4_on_7b(void **state)
{
    (void)state;
    assert_float_equal(lf_train_auto_learning_rate(LF_LOSS_SUPERVISED, 384), 1e-3, 1e-5);
    assert_float_equal(lf_train_auto_learning_rate(LF_LOSS_SUPERVISED, 64), 1e-3, 1e-12);
    assert_float_equal(lf_train_auto_learning_rate(LF_LOSS_SUPERVISED, 4096), 2e-4, 1e-12);
    assert_float_equal(lf_train_auto_learning_rate(LF_LOSS_SUPERVISED, 8192), 2e-4, 1e-12);
    assert_true(lf_train_auto_learning_rate(LF_LOSS_SUPERVISED, 2048) > 3e-4);
    assert_float_equal(lf_train_auto_learning_rate(LF_LOSS_DPO, 4096), 2e-5, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_transformers),
        cmocka_unit_test(a_cosine_begins_again),
        cmocka_unit_test(a_fraction_of_the_steps_warms_up),
        cmocka_unit_test(the_first_step_of_a_fraction_has_a_rate),
        cmocka_unit_test(auto_is_1e_3_on_the_small_base_and_2e_4_on_7b),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
