/* LIBS: lf_model m */
/* Shares of the device's time, on a machine whose costs are made up: they are found from what
 * batches take, and what follows from them keeps those who decode at their pace. */
#include "model/share.h"

#include "core/rng.h"

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

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
        int tokens = lf_share_prompts(s, 8, n_prompts, INT64_MAX).tokens;
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
        lf_share_prompts(&s, 8, 0, 0);
        lf_share_stepped(&s, &g);
    }
    int tokens = lf_share_prompts(&s, 8, 1, INT64_MAX).tokens;
    print_message("%d tokens\n", tokens);
    assert_in_range(tokens, 486, 594); /* three steps' time by a short piece's price, to a tenth */
}

/* Half of it would be there for the next step: it is not cut for that, and paid for later. */
static void a_last_piece_is_read_on_credit(void **state)
{
    (void)state;
    struct lf_share s = {0};
    double longest;
    steps_beside(&s, 1, &longest);
    s.prompts = 0.5 * STEP;
    int cut = lf_share_prompts(&s, 8, 1, 5000).tokens;
    s.prompts = 0.5 * STEP;
    int whole = lf_share_prompts(&s, 8, 1, 300).tokens;
    assert_in_range(cut, 100, 250);
    assert_in_range(whole, 300, 301);
    struct lf_gen_status g = {.step_decoding = 8,
                              .step_prompt = whole,
                              .prompt_tokens = s.launched + whole,
                              .step_seconds = step_seconds(whole)};
    lf_share_stepped(&s, &g);
    assert_true(s.prompts < 0);
    assert_int_equal(lf_share_prompts(&s, 8, 1, 300).tokens, -1);
}

/* ---- Many users ------------------------------------------------------------------------------ */

/* Users who ask again as soon as they are answered, of a device that works by itself: a step is put
 * behind the one under way before that one's tokens are known (model/generate.h). Lengths are LoRA
 * Land's. */
#define USERS 50
#define SECONDS 40.0
#define WARM 5.0 /* seconds that do not count */
#define ROUND 0.5e-3
#define HEARD_MAX 400000

struct user {
    double asked, heard;
    int left, wanted, made; /* tokens: of the prompt, not in a step yet; of the answer */
};

struct flight {
    double end, seconds; /* seconds: without what went between its parts */
    int decoding, prompt, parts;
    bool draws[USERS];
};

struct load {
    double step, step_token, alone; /* what they cost; of prompts alone */
    bool crowd;                     /* all but the first user go on and on, and he asks seldom */
    bool parts;                     /* steps are put on the stream in parts */
    struct lf_share share;
    struct user users[USERS];
    struct flight flight;
    double now;
    int steps;
    uint64_t n_asked;
    double first[HEARD_MAX], next[HEARD_MAX], longest;
    size_t n_first, n_next;
};

static void ask(struct load *l, struct user *u, double at)
{
    uint64_t i = l->n_asked++;
    if (l->crowd && u == l->users) {
        *u = (struct user){
            .asked = at + 0.1 * lf_rng_unit(lf_rng_u32(3, i, 0)), .left = 180, .wanted = 8};
        return;
    }
    *u = (struct user){.asked = at,
                       .left = 30 + (int)(lf_rng_u32(1, i, 0) % 471),
                       .wanted = l->crowd ? INT_MAX : 1 + (int)(lf_rng_u32(2, i, 0) % 120)};
}

static bool waits(const struct user *u, double at)
{
    return u->left > 0 && u->asked <= at;
}

/* The shortest prompts first, as far as they go. */
static void plan_prompts(struct load *l, struct flight *f, double at, int tokens)
{
    while (tokens > 0) {
        struct user *next = NULL;
        for (int i = 0; i < USERS; i++)
            if (waits(&l->users[i], at) && (!next || l->users[i].left < next->left))
                next = &l->users[i];
        if (!next)
            return;
        int n = next->left < tokens ? next->left : tokens;
        next->left -= n;
        tokens -= n;
        f->prompt += n;
        f->draws[next - l->users] |= next->left == 0;
    }
}

/* How many prompts wait, and their tokens. */
static int unread_at(const struct load *l, double at, int *tokens)
{
    int n = 0;
    *tokens = 0;
    for (int i = 0; i < USERS; i++) {
        n += waits(&l->users[i], at);
        *tokens += waits(&l->users[i], at) ? l->users[i].left : 0;
    }
    return n;
}

static struct flight launch(struct load *l, double at)
{
    struct flight f = {0};
    int n_decoding = 0, unread, n_prompts = unread_at(l, at, &unread);
    for (int i = 0; i < USERS; i++)
        n_decoding += l->users[i].made > 0;
    struct lf_share_prompts prompts = lf_share_prompts(&l->share, n_decoding, n_prompts, unread);
    for (int i = 0; i < USERS && !prompts.alone; i++) {
        const struct user *u = &l->users[i];
        f.draws[i] = u->left == 0 && u->made + l->flight.draws[i] < u->wanted;
        f.decoding += f.draws[i];
    }
    if (prompts.tokens > 0 || f.decoding == 0)
        plan_prompts(l, &f, at, prompts.tokens > 0 ? prompts.tokens : 64);
    if (f.decoding + f.prompt > 0)
        f.seconds =
            scattered((f.decoding > 0 ? l->step : l->alone) + l->step_token * f.prompt, l->steps++);
    f.end = fmax(at, l->flight.end) + f.seconds;
    f.parts = l->parts && f.decoding > 0 ? lf_share_parts(&l->share) : 1;
    return f;
}

/* What the flight brought; who has all asks again, and is not in the one behind it. */
static void hear_all(struct load *l, const struct flight *f, struct flight *behind)
{
    for (int i = 0; i < USERS; i++) {
        struct user *u = &l->users[i];
        if (!f->draws[i])
            continue;
        if (l->now > WARM && u->made == 0 && (!l->crowd || i == 0))
            l->first[l->n_first++] = l->now - u->asked;
        else if (l->now > WARM && l->n_next < HEARD_MAX)
            l->next[l->n_next++] = l->now - u->heard;
        u->heard = l->now;
        if (++u->made < u->wanted)
            continue;
        ask(l, u, l->now + ROUND);
        behind->draws[i] = false;
    }
}

/* Prompts between the parts of the step that has just begun: as it does, or one of them ends, one
 * runs, and what is put on the stream then comes behind that. */
static void read_between(struct load *l)
{
    struct flight *f = &l->flight;
    double part = f->seconds / f->parts, begin = f->end - f->seconds;
    for (int k = 0; k <= f->parts - 2; k++) {
        double at = begin + k * part;
        int unread, n = unread_at(l, at, &unread) > 0 ? lf_share_between(&l->share, unread) : 0;
        if (n == 0)
            continue;
        struct flight own = {0};
        plan_prompts(l, &own, at, n);
        own.seconds = scattered(l->alone + l->step_token * own.prompt, l->steps++);
        struct lf_gen_status g = {.step_prompt = own.prompt,
                                  .prompt_tokens = l->share.launched + own.prompt,
                                  .step_seconds = own.seconds};
        lf_share_stepped(&l->share, &g);
        l->now = at + part + own.seconds;
        hear_all(l, &own, f);
        begin += own.seconds;
        f->end += own.seconds;
    }
}

static void turn(struct load *l)
{
    const struct flight *f = &l->flight;
    const struct lf_gen_status under_way = {.next_decoding = f->decoding, .next_prompt = f->prompt};
    double at = l->now + lf_share_launch_after(&l->share, &under_way);
    if (f->parts > 1) /* two of them are left */
        at = fmax(l->now, f->end - 2 * f->seconds / f->parts);
    struct flight next = launch(l, at);
    l->now = fmax(at, f->end);
    if (f->seconds > 0) {
        struct lf_gen_status landed = {.step_decoding = f->decoding,
                                       .step_prompt = f->prompt,
                                       .prompt_tokens = l->share.launched + next.prompt,
                                       .step_seconds = f->seconds};
        lf_share_stepped(&l->share, &landed);
        if (l->now > WARM && f->decoding > 0)
            l->longest = fmax(l->longest, f->seconds);
    } else if (next.seconds == 0) {
        l->now += ROUND; /* nobody is there */
    }
    hear_all(l, f, &next);
    l->flight = next;
    if (next.parts > 1)
        read_between(l);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Milliseconds, of sorted seconds. */
static double part_of(const double *v, size_t n, double part)
{
    return 1e3 * v[(size_t)(part * (double)(n - 1))];
}

static struct load *run_load(double step, double step_token, double alone, bool crowd, bool parts)
{
    struct load *l = calloc(1, sizeof *l);
    l->step = step;
    l->step_token = step_token;
    l->alone = alone;
    l->crowd = crowd;
    l->parts = parts;
    for (int i = 0; i < USERS; i++)
        ask(l, &l->users[i], 0.01 * i);
    while (l->now < WARM + SECONDS)
        turn(l);
    qsort(l->first, l->n_first, sizeof *l->first, compare);
    qsort(l->next, l->n_next, sizeof *l->next, compare);
    print_message("steps of %.1f ms: %.0f tok/s, first token p50 %.1f p99 %.1f ms, next one p50 "
                  "%.1f p99 %.1f at most %.1f ms, longest step %.1f ms\n",
                  1e3 * step, (double)(l->n_first + l->n_next) / SECONDS,
                  part_of(l->first, l->n_first, 0.5), part_of(l->first, l->n_first, 0.99),
                  part_of(l->next, l->n_next, 0.5), part_of(l->next, l->n_next, 0.99),
                  part_of(l->next, l->n_next, 1), 1e3 * l->longest);
    return l;
}

static void many_users_wait_for_nobody(void **state)
{
    (void)state;
    struct load *l =
        run_load(8e-3, 20e-6, 3e-3, false, false); /* as a card with 50 users over HTTP */
    assert_true(part_of(l->first, l->n_first, 0.5) < 30);
    assert_true(part_of(l->first, l->n_first, 0.99) < 120);
    assert_true(part_of(l->next, l->n_next, 0.5) < 12.5);
    assert_true(part_of(l->next, l->n_next, 0.99) < 20);
    assert_true(l->longest < 1.1 * 18.7e-3); /* times scatter */
    free(l);
    l = run_load(3.5e-3, 20e-6, 3e-3, false,
                 false); /* steps that nobody feels need not be short for prompts */
    assert_true(part_of(l->first, l->n_first, 0.99) < 120);
    assert_true(part_of(l->next, l->n_next, 0.99) < 20);
    free(l);
    l = run_load(30e-3, 80e-6, 20e-3, false,
                 false); /* where a step is felt at any rate, prompts have their part */
    assert_true(l->longest < 1.1 * 2.2 * 30e-3);
    free(l);
}

static double tokens_made(const struct load *l)
{
    return (double)(l->n_first + l->n_next);
}

/* As a card on which 256 of one adapter answer at length and another's request comes now and then:
 * alone it would take 180 tokens' step, 6.6 ms. */
static void a_crowd_does_not_hold_up_who_comes_now_and_then(void **state)
{
    (void)state;
    struct load *l = run_load(9.5e-3, 20e-6, 3e-3, true, false);
    assert_true(part_of(l->first, l->n_first, 0.5) < 2.1 * 6.6);
    assert_true(part_of(l->first, l->n_first, 0.99) < 3 * 6.6); /* he comes as a step begins */
    assert_true(part_of(l->next, l->n_next, 0.5) < 1.1 * 9.5);
    assert_true(part_of(l->next, l->n_next, 0.99) < 2 * 9.5);
    free(l);
}

/* In eight parts he waits for two or three of them, whatever a step takes, and nobody makes fewer
 * tokens for it. */
static void in_a_crowd_he_waits_for_a_part_of_a_step(void **state)
{
    (void)state;
    for (double step = 9.5e-3; step < 16e-3; step += 5e-3) {
        struct load *whole = run_load(step, 20e-6, 3e-3, true, false);
        struct load *l = run_load(step, 20e-6, 3e-3, true, true);
        assert_true(part_of(l->first, l->n_first, 0.5) < 6.6 + 1e3 * step / 8 * 2.1);
        assert_true(part_of(l->first, l->n_first, 0.99) < 1.8 * 6.6);
        assert_true(part_of(l->next, l->n_next, 0.99) < 1e3 * step + 7.5);
        assert_true(tokens_made(l) > 0.99 * tokens_made(whole));
        free(whole);
        free(l);
    }
}

static void a_step_is_launched_as_late_as_its_forerunner_allows(void **state)
{
    (void)state;
    struct lf_share s = {0};
    struct lf_gen_status g = {.next_decoding = 8};
    double longest;
    assert_true(lf_share_launch_after(&s, &g) == 0); /* nothing is known */
    steps_beside(&s, 1, &longest);
    double after = lf_share_launch_after(&s, &g);
    assert_true(after > 0.4 * STEP && after < 0.8 * STEP);
    g.next_prompt = 200;
    assert_true(lf_share_launch_after(&s, &g) > after + 200 * 0.7 * STEP_TOKEN);
    g.next_background = 1;
    assert_true(lf_share_launch_after(&s, &g) == 0);
    s.last = 1e-3; /* fewer decode now: it may be short */
    g = (struct lf_gen_status){.next_decoding = 1};
    assert_true(lf_share_launch_after(&s, &g) == 0);
    g = (struct lf_gen_status){0}; /* none is under way */
    assert_true(lf_share_launch_after(&s, &g) == 0);
}

static void while_nobody_decodes_steps_of_prompts_are_short_all_the_same(void **state)
{
    (void)state;
    struct lf_share s = {0};
    int tokens = 0;
    for (int i = 0; i < 50; i++) {
        tokens = lf_share_prompts(&s, 0, 1, 1000).tokens;
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
    struct lf_share s = {.train_part = 0.5};
    assert_int_equal(lf_share_training(&s, false, false), 0); /* as much as there may be */
    double seconds[2] = {0}; /* beside others; while they are awaited */
    double longest;
    steps_beside(&s, 1, &longest);
    for (int i = 0; i < 60; i++) {
        bool beside = i % 2 == 0;
        int tokens = lf_share_training(&s, beside, !beside);
        assert_true(tokens >= 64);
        double t = BATCH + BATCH_TOKEN * tokens;
        double took = scattered(t, i);
        lf_share_trained(&s, tokens, took, beside ? took : 0);
        seconds[!beside] += i >= 40 ? t / 10 : 0;
    }
    print_message("a batch beside others takes %.1f ms, else %.1f ms\n", 1e3 * seconds[0],
                  1e3 * seconds[1]);
    assert_true(fabs(seconds[0] - 20e-3) < 4e-3);
    assert_true(fabs(seconds[1] - 25e-3) < 5e-3);
}

/* A training beside a stream, as the engine alternates them: what each has of the time. */
static void check_parts(double part)
{
    struct lf_share s = {.train_part = part};
    double steps = 0, batches = 0;
    for (int i = 0; i < 5000; i++) {
        double step = scattered(STEP, i);
        struct lf_gen_status g = {.step_decoding = 1, .step_seconds = step};
        lf_share_stepped(&s, &g);
        steps += step;
        if (s.debt > 0)
            continue;
        int tokens = lf_share_training(&s, true, false);
        double seconds = scattered(BATCH + BATCH_TOKEN * tokens, i);
        lf_share_trained(&s, tokens, seconds, seconds);
        batches += seconds;
    }
    print_message("training has %.1f%% of the time for %.0f%%\n", 100 * batches / (steps + batches),
                  100 * part);
    assert_true(fabs(batches / (steps + batches) - part) < 0.01);
}

/* Streams of 400 tokens that come one after the other, each while a batch runs that nobody waited
 * for, and whose steps behind a batch take longer: what a stream keeps of its pace from its first
 * token to its last, on average. */
static void check_streams(double part)
{
    struct lf_share s = {.train_part = part};
    double alone = 0, all = 0;
    for (uint32_t stream = 0; stream < 300; stream++) {
        int tokens = lf_share_training(&s, false, true);
        double seconds = BATCH + BATCH_TOKEN * tokens;
        lf_share_trained(&s, tokens, seconds, seconds * lf_rng_unit(lf_rng_u32(4, stream, 0)));
        bool behind = true;
        for (int i = 0; i < 400; i++) {
            double step = scattered(STEP / 2, i), took = step + (behind ? 0.5e-3 : 0);
            struct lf_gen_status g = {
                .step_decoding = i > 0, .step_prompt = i == 0 ? 90 : 0, .step_seconds = took};
            lf_share_stepped(&s, &g);
            alone += i > 0 ? step : 0;
            all += i > 0 ? took : 0;
            behind = s.debt <= 0;
            if (!behind || i == 399)
                continue;
            tokens = lf_share_training(&s, true, false);
            seconds = scattered(BATCH + BATCH_TOKEN * tokens, i);
            lf_share_trained(&s, tokens, seconds, seconds);
            all += seconds;
        }
    }
    print_message("a stream keeps %.2f%% of its pace, %.0f%% for training\n", 100 * alone / all,
                  100 * part);
    assert_true(fabs(alone / all - (1 - part)) < 0.006);
}

static void training_has_its_part_of_the_time(void **state)
{
    (void)state;
    check_parts(0.5);
    check_parts(0.25);
    check_parts(0.05);
    struct lf_share s = {.train_part = 0.25, .debt = 0.1};
    lf_share_trained(&s, 1000, 48e-3, 0); /* nobody waited for it */
    assert_true(s.debt == 0);
}

static void a_stream_keeps_all_of_its_part(void **state)
{
    (void)state;
    check_streams(0.5);
    check_streams(0.25);
    check_streams(0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_get_their_part_and_no_more),
        cmocka_unit_test(a_prompt_that_comes_alone_is_read_at_once),
        cmocka_unit_test(a_last_piece_is_read_on_credit),
        cmocka_unit_test(a_crowd_does_not_hold_up_who_comes_now_and_then),
        cmocka_unit_test(in_a_crowd_he_waits_for_a_part_of_a_step),
        cmocka_unit_test(many_users_wait_for_nobody),
        cmocka_unit_test(a_step_is_launched_as_late_as_its_forerunner_allows),
        cmocka_unit_test(while_nobody_decodes_steps_of_prompts_are_short_all_the_same),
        cmocka_unit_test(evaluation_has_what_is_spare),
        cmocka_unit_test(a_ceiling_in_milliseconds_holds),
        cmocka_unit_test(training_is_cut_to_the_time_that_others_can_wait),
        cmocka_unit_test(training_has_its_part_of_the_time),
        cmocka_unit_test(a_stream_keeps_all_of_its_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
