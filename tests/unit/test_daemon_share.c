/* LIBS: lf_daemon */
/* Shares of the device's time, on a machine whose costs are made up: they are found from what
 * batches take, and what follows from them keeps those who decode at their pace. */
#include "daemon/engine/share.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define STEP 3.6e-3 /* seconds: of a step without prompts, and more for each of their tokens */
#define STEP_TOKEN 20e-6
#define BATCH 5e-3 /* of a training batch */
#define BATCH_TOKEN 43e-6

/* Times that scatter by a twentieth. */
static double scattered(double seconds, int i)
{
    return seconds * (1 + 0.05 * ((i * 7 % 11) / 5.0 - 1));
}

/* Few tokens cost twice as much each as many. */
static double step_seconds(int tokens)
{
    return STEP + STEP_TOKEN * (tokens < 300 ? tokens : 150 + tokens / 2);
}

/* Steps beside n_prompts that never end; the last hundred's seconds, on average, and of the longest
 * one. */
static double steps_beside(struct lf_share *s, int n_prompts, double *longest)
{
    double sum = 0;
    int without = 0;
    *longest = 0;
    for (int i = 0; i < 200; i++) {
        int tokens = lf_share_prompts(s, 8, n_prompts);
        bool none = tokens == -1;
        tokens = none ? 0 : tokens;
        assert_true(none || tokens > 0);
        struct lf_gen_status g = {.step_decoding = 8,
                                  .step_prompt = tokens,
                                  .prompt_tokens = s->launched + tokens,
                                  .step_seconds = scattered(step_seconds(tokens), i)};
        lf_share_stepped(s, &g);
        if (i < 100)
            continue;
        sum += step_seconds(tokens);
        without += none;
        *longest = fmax(*longest, step_seconds(tokens));
    }
    assert_true(without >= 5); /* so that it is known what that takes */
    return sum / 100;
}

static void prompts_get_their_part_and_no_more(void **state)
{
    (void)state;
    struct lf_share s = {0};
    double longest;
    double one = steps_beside(&s, 1, &longest) / STEP;
    double two = steps_beside(&s, 2, &longest) / STEP;
    double many = steps_beside(&s, 200, &longest) / STEP;
    print_message("a step beside 1, 2, 200 prompts: %.2f, %.2f, %.2f times\n", one, two, many);
    assert_true(one > 1.29 && one < 1.57); /* 1.43, to a tenth: what scatters hides it */
    assert_true(two > 2.45 && two < 3.0);  /* 1 + 4 * 0.43 = 2.72 */
    assert_true(many > 3.6 && many < 4.4); /* four times */
    assert_true(longest > 3.6 * STEP && longest < 4.4 * STEP);
}

/* What was not read yet is there for the one that comes. */
static void a_prompt_that_comes_alone_is_read_at_once(void **state)
{
    (void)state;
    struct lf_share s = {0};
    double longest;
    steps_beside(&s, 1, &longest);
    for (int i = 0; i < 20; i++) {
        struct lf_gen_status g = {
            .step_decoding = 8, .prompt_tokens = s.launched, .step_seconds = STEP};
        lf_share_prompts(&s, 8, 0);
        lf_share_stepped(&s, &g);
    }
    int tokens = lf_share_prompts(&s, 8, 1);
    print_message("%d tokens\n", tokens);
    assert_in_range(tokens, 486, 594); /* three steps' time by a short piece's price, to a tenth */
}

static void while_nobody_decodes_steps_of_prompts_are_short_all_the_same(void **state)
{
    (void)state;
    struct lf_share s = {0};
    int tokens = 0;
    for (int i = 0; i < 50; i++) {
        tokens = lf_share_prompts(&s, 0, 1);
        struct lf_gen_status g = {.step_prompt = tokens,
                                  .step_seconds = scattered(1e-3 + 1.4e-3 * tokens, i)};
        lf_share_stepped(&s, &g);
    }
    print_message("%d tokens\n", tokens);
    assert_true(tokens >= 64 && tokens < 80); /* a tenth of a second */
}

static void evaluation_has_what_is_spare(void **state)
{
    (void)state;
    struct lf_share s = {0};
    double all = 0;
    int with = 0;
    assert_false(lf_share_holds_background(&s, 0)); /* nobody else is there */
    for (int i = 0; i < 200; i++) {
        bool held = lf_share_holds_background(&s, 1);
        struct lf_gen_status g = {.step_decoding = held ? 1 : 33,
                                  .step_background = held ? 0 : 32,
                                  .step_seconds = scattered(held ? STEP : 2.5 * STEP, i)};
        lf_share_stepped(&s, &g);
        all += held ? STEP : 2.5 * STEP;
        with += !held;
    }
    print_message("%d of 200 steps with evaluation, %.2f times the time\n", with, all / STEP / 200);
    assert_true(with > 20);
    struct lf_gen_status alone = {
        .step_decoding = 32, .step_background = 32, .step_seconds = 2.5 * STEP};
    for (int i = 0; i < 100000; i++)
        lf_share_stepped(&s, &alone);
    int waited = 0;
    struct lf_gen_status beside = {.step_decoding = 1, .step_seconds = STEP};
    for (; lf_share_holds_background(&s, 1); waited++)
        lf_share_stepped(&s, &beside);
    assert_true(waited * STEP < 5);       /* seconds, after ten minutes alone */
    assert_true(all < 1.28 * STEP * 200); /* a stream keeps four fifths */
}

static void a_ceiling_in_milliseconds_holds(void **state)
{
    (void)state;
    struct lf_share s = {.step_most = 6e-3};
    double t, longest;
    t = steps_beside(&s, 200, &longest);
    print_message("%.2f ms, at the most %.2f\n", 1e3 * t, 1e3 * longest);
    assert_true(t > 4.8e-3 && longest < 6.3e-3);
    s = (struct lf_share){.step_most = 1e-3}; /* less than a step takes without prompts */
    assert_true(steps_beside(&s, 5, &longest) < 1.2 * STEP);
}

static void training_is_cut_to_the_time_that_others_can_wait(void **state)
{
    (void)state;
    struct lf_share s = {0};
    assert_int_equal(lf_share_training(&s, false, false), 0); /* as much as there may be */
    double seconds[2] = {0}; /* beside others; while they are awaited */
    double longest;
    steps_beside(&s, 1, &longest);
    for (int i = 0; i < 60; i++) {
        bool beside = i % 2 == 0;
        int tokens = lf_share_training(&s, beside, !beside);
        assert_true(tokens >= 64);
        double t = BATCH + BATCH_TOKEN * tokens;
        lf_share_trained(&s, tokens, scattered(t, i), beside);
        seconds[!beside] += i >= 40 ? t / 10 : 0;
    }
    print_message("a batch beside others takes %.1f ms, else %.1f ms\n", 1e3 * seconds[0],
                  1e3 * seconds[1]);
    assert_true(fabs(seconds[0] - 20e-3) < 4e-3);
    assert_true(fabs(seconds[1] - 25e-3) < 5e-3);
}

static void serving_has_as_much_time_as_training_had(void **state)
{
    (void)state;
    struct lf_share s = {0};
    struct lf_gen_status g = {.step_decoding = 1, .step_seconds = STEP};
    lf_share_trained(&s, 1000, 48e-3, true);
    int steps = 0;
    for (; s.debt > 0; steps++)
        lf_share_stepped(&s, &g);
    assert_int_equal(steps, 14); /* 48 / 3.6 */
    lf_share_trained(&s, 1000, 48e-3, false);
    assert_true(s.debt == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_get_their_part_and_no_more),
        cmocka_unit_test(a_prompt_that_comes_alone_is_read_at_once),
        cmocka_unit_test(while_nobody_decodes_steps_of_prompts_are_short_all_the_same),
        cmocka_unit_test(evaluation_has_what_is_spare),
        cmocka_unit_test(a_ceiling_in_milliseconds_holds),
        cmocka_unit_test(training_is_cut_to_the_time_that_others_can_wait),
        cmocka_unit_test(serving_has_as_much_time_as_training_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
