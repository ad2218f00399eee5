/* LIBS: lf_model */
/* Generation: what a sequence gets does not depend on its company, on how its prompt is cut, or on
 * how often its pages were taken away. */
#include "tests/lib/tiny.h"

#include "core/rng.h"
#include "model/generate.h"

#include <math.h>
#include <stdlib.h>

#define N_PROMPTS 12
#define N_TOKENS 20
#define PENALISED 5

static struct lf_exec_limits limits(int kv_pages)
{
    return (struct lf_exec_limits){.tokens_max = 128,
                                   .seqs_max = N_PROMPTS,
                                   .rows_max = 8,
                                   .rank_max = 4,
                                   .kv_pages = kv_pages};
}

static int32_t prompts[N_PROMPTS][40];

static int prompt_length(int i)
{
    return 1 + i * 3;
}

static void make_prompts(void)
{
    for (int i = 0; i < N_PROMPTS; i++)
        for (int k = 0; k < prompt_length(i); k++)
            prompts[i][k] = 2 + (int32_t)(lf_rng_u32(5, (uint64_t)k, (uint64_t)i) % 510);
}

/* Every other one samples, one of these with penalties. */
static struct lf_gen_request request(int i)
{
    struct lf_sample_params sample = lf_sample_greedy();
    if (i % 2) {
        sample.temperature = 1;
        sample.top_p = 0.9f;
        sample.seed = 100 + (uint64_t)i;
    }
    if (i == PENALISED) {
        sample.repetition_penalty = 1.3f;
        sample.presence_penalty = 0.5f;
    }
    return (struct lf_gen_request){.ids = prompts[i],
                                   .n = prompt_length(i),
                                   .slot = -1,
                                   .sample = sample,
                                   .max_tokens = N_TOKENS,
                                   .ignore_eos = true};
}

struct texts {
    int32_t ids[N_PROMPTS][N_TOKENS];
    int n[N_PROMPTS];
    enum lf_finish finish[N_PROMPTS];
};

/* n requests to their ends, as many at once as g takes. */
static void run_requests(struct texts *out, struct lf_gen *g, struct lf_gen_request *r, int n)
{
    struct lf_diag diag = {""};
    memset(out, 0, sizeof *out);
    for (int next = 0, ended = 0; ended < n;) {
        struct lf_gen_token tokens[N_PROMPTS];
        struct lf_gen_status s;
        int made = 0;
        for (lf_gen_status(g, &s); next < n && s.live < lf_gen_seqs_max(g); lf_gen_status(g, &s)) {
            uint64_t id;
            r[next].user = &out->n[next];
            must(lf_gen_add(g, &r[next++], &id, &diag), &diag);
        }
        must(lf_gen_step(g, 0, tokens, &made, &diag), &diag);
        for (int k = 0; k < made; k++) {
            int i = (int)((int *)tokens[k].user - out->n);
            if (tokens[k].finish != LF_FINISH_EOS && tokens[k].token >= 0)
                out->ids[i][out->n[i]++] = tokens[k].token;
            out->finish[i] = tokens[k].finish;
            ended += tokens[k].finish != LF_FINISH_NONE;
        }
    }
}

static void run_all(struct texts *out, struct lf_gen *g)
{
    struct lf_gen_request r[N_PROMPTS];
    for (int i = 0; i < N_PROMPTS; i++)
        r[i] = request(i);
    run_requests(out, g, r, N_PROMPTS);
}

static struct lf_gen *gen_open(struct tiny *t, int seqs_max, int tokens_max, bool ahead,
                               int speculate)
{
    struct lf_diag diag = {""};
    struct lf_gen *g;
    struct lf_gen_limits l = {
        .seqs_max = seqs_max, .tokens_max = tokens_max, .ahead = ahead, .speculate = speculate};
    must(lf_gen_new(&g, t->exec, t->model, &l, &diag), &diag);
    return g;
}

/* Each alone: what all others must equal. */
static void run_alone(struct texts *out)
{
    struct tiny t;
    struct lf_exec_limits l = limits(64);
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 1, 0, false, 0);
    run_all(out, g);
    for (int i = 0; i < N_PROMPTS; i++) {
        assert_int_equal(out->n[i], N_TOKENS);
        assert_int_equal(out->finish[i], LF_FINISH_LENGTH);
    }
    lf_gen_free(g);
    tiny_close(&t);
}

struct gen_case {
    int pages, seqs, tokens;
    bool ahead, penalties;
    int speculate;
};

/* Steps that are put on the stream ahead of their tokens as well as without; and as long as none
 * wants a penalty, all of them are. */
static void run_case(const struct gen_case *c, const struct texts *alone)
{
    struct tiny t;
    struct texts got, want = *alone;
    struct lf_gen_status st;
    struct lf_exec_limits l = limits(c->pages);
    struct lf_gen_request r[N_PROMPTS];
    int n = 0;
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, c->seqs, c->tokens, c->ahead, c->speculate);
    for (int i = 0; i < N_PROMPTS; i++) {
        if (!c->penalties && i == PENALISED)
            continue;
        memcpy(want.ids[n], alone->ids[i], sizeof want.ids[n]);
        r[n++] = request(i);
    }
    run_requests(&got, g, r, n);
    assert_memory_equal(got.ids, want.ids, (size_t)n * sizeof *got.ids);
    assert_memory_equal(got.finish, want.finish, (size_t)n * sizeof *got.finish);
    lf_gen_status(g, &st);
    print_message("%d pages%s: %d times preempted, %d + %d tokens, %d of %d drafts\n", c->pages,
                  c->ahead ? ", ahead" : "", (int)st.preempted, (int)st.prompt_tokens,
                  (int)st.completion_tokens, (int)st.accepted, (int)st.drafted);
    assert_true(c->speculate > 0 || st.drafted == 0);
    assert_int_equal(st.live, 0);
    assert_int_equal(st.pages_free, c->pages);
    assert_true(c->pages > 5 || c->seqs < 12 || st.preempted > 0);
    lf_gen_free(g);
    tiny_close(&t);
}

static void company_prompt_pieces_and_preemption_do_not_matter(void **state)
{
    (void)state;
    static const struct gen_case cases[] = {
        {64, 12, 0}, {64, 5, 0}, {64, 12, 12}, {64, 12, 13}, {64, 3, 7},
        {5, 12, 0},  {9, 12, 0}, {14, 12, 17}, {4, 2, 5},
    };
    struct texts alone;
    make_prompts();
    run_alone(&alone);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int how = 0; how < 8; how++) {
            struct gen_case c = cases[i];
            c.ahead = how & 1;
            c.penalties = how & 2;
            c.speculate = how & 4 ? 3 : 0;
            run_case(&c, &alone);
        }
}

/* ---- Parts ----------------------------------------------------------------------------------- */

/* A request comes before each step and each part of one, and its prompt is read between two parts
 * where it may be. */
static int run_in_parts(struct texts *out, struct lf_gen *g, struct lf_gen_request *r, int n)
{
    struct lf_diag diag = {""};
    int between = 0;
    memset(out, 0, sizeof *out);
    for (int next = 0, ended = 0; ended < n;) {
        struct lf_gen_token tokens[N_PROMPTS];
        struct lf_gen_status s;
        uint64_t id;
        int made = 0;
        lf_gen_status(g, &s);
        if (next < n && s.live < lf_gen_seqs_max(g)) {
            r[next].user = &out->n[next];
            must(lf_gen_add(g, &r[next++], &id, &diag), &diag);
        }
        must(lf_gen_await(g, &diag), &diag);
        if (lf_gen_part_way(g))
            must(lf_gen_go_on(g, 40, tokens, &made, &diag), &diag);
        else
            must(lf_gen_step(g, 0, tokens, &made, &diag), &diag);
        lf_gen_status(g, &s);
        between += s.step_prompt > 0 && s.step_decoding == 0 && lf_gen_in_parts(g);
        for (int k = 0; k < made; k++) {
            int i = (int)((int *)tokens[k].user - out->n);
            out->ids[i][out->n[i]++] = tokens[k].token;
            out->finish[i] = tokens[k].finish;
            ended += tokens[k].finish != LF_FINISH_NONE;
        }
    }
    return between;
}

static void a_step_in_parts_with_prompts_between_is_the_same(void **state)
{
    (void)state;
    static const struct gen_case cases[] = {
        {64, 12, 0, true, true},  {64, 12, 0, true, false}, {64, 3, 0, true, true},
        {64, 12, 13, true, true}, {9, 12, 0, true, true},   {5, 12, 0, true, true},
    };
    struct texts alone;
    make_prompts();
    run_alone(&alone);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const struct gen_case *c = &cases[k];
        struct tiny t;
        struct texts got, want = alone;
        struct lf_gen_status st;
        struct lf_gen_request r[N_PROMPTS];
        struct lf_exec_limits l = limits(c->pages);
        int n = 0;
        l.aside_tokens = 40;
        tiny_open(&t, LF_DEVICE_CPU, 1, &l);
        struct lf_gen *g = gen_open(&t, c->seqs, c->tokens, true, 0);
        lf_gen_parts(g, 8); /* a layer each: two */
        for (int i = 0; i < N_PROMPTS; i++) {
            if (!c->penalties && i == PENALISED)
                continue;
            memcpy(want.ids[n], alone.ids[i], sizeof want.ids[n]);
            r[n++] = request(i);
        }
        int between = run_in_parts(&got, g, r, n);
        assert_memory_equal(got.ids, want.ids, (size_t)n * sizeof *got.ids);
        assert_memory_equal(got.finish, want.finish, (size_t)n * sizeof *got.finish);
        lf_gen_status(g, &st);
        print_message("%d pages: %d prompts' steps between parts, %d times preempted\n", c->pages,
                      between, (int)st.preempted);
        assert_true(between > 0);
        assert_int_equal(st.live, 0);
        assert_int_equal(st.pages_free, c->pages);
        lf_gen_free(g);
        tiny_close(&t);
    }
}

/* Adds the request, and steps until its step is in parts and one of them is on its way. */
static uint64_t part_way(struct lf_gen *g, struct lf_gen_request *r, struct lf_gen_token *tokens)
{
    struct lf_diag diag = {""};
    uint64_t id;
    int made;
    must(lf_gen_add(g, r, &id, &diag), &diag);
    for (int i = 0; i < 10 && !lf_gen_part_way(g); i++)
        must(lf_gen_step(g, 0, tokens, &made, &diag), &diag);
    assert_true(lf_gen_part_way(g));
    return id;
}

static void between_parts_a_prompt_has_its_first_token_and_who_leaves_does(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_diag diag = {""};
    struct lf_gen_status st;
    struct lf_gen_token tokens[N_PROMPTS];
    struct lf_exec_limits l = limits(64);
    int made;
    uint64_t other, third;
    make_prompts();
    l.aside_tokens = 40;
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 2, 0, true, 0);
    lf_gen_parts(g, 2);
    struct lf_gen_request r = request(2);
    uint64_t first = part_way(g, &r, tokens);
    r = request(6);
    must(lf_gen_add(g, &r, &other, &diag), &diag);
    must(lf_gen_go_on(g, 40, tokens, &made, &diag), &diag);
    assert_int_equal(made, 1); /* before the step that was there */
    assert_true(tokens[0].id == other && tokens[0].index == 0);
    lf_gen_status(g, &st);
    assert_int_equal(st.step_decoding, 0);
    assert_int_equal(st.step_prompt, prompt_length(6));
    assert_false(lf_gen_part_way(g));
    while (!lf_gen_part_way(g))
        must(lf_gen_step(g, 0, tokens, &made, &diag), &diag);
    lf_gen_remove(g, first); /* of a step that is part way: its place is free all the same */
    r = request(8);
    must(lf_gen_add(g, &r, &third, &diag), &diag);
    lf_gen_remove(g, third);
    for (int i = 0; i < 2 * N_TOKENS; i++) {
        if (lf_gen_part_way(g))
            must(lf_gen_settle(g, &diag), &diag);
        must(lf_gen_step(g, 0, tokens, &made, &diag), &diag);
        for (int k = 0; k < made; k++)
            assert_true(tokens[k].id == other);
    }
    lf_gen_status(g, &st);
    assert_int_equal(st.live, 0);
    assert_int_equal(st.pages_free, 64);
    lf_gen_free(g);
    tiny_close(&t);
}

static void check_stop_id(bool ahead)
{
    struct tiny t;
    struct texts alone, got;
    struct lf_exec_limits l = limits(64);
    make_prompts();
    run_alone(&alone);
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 0, 0, ahead, 0);
    struct lf_gen_request r = request(3);
    int32_t stop = alone.ids[3][6];
    int first = 0;
    while (alone.ids[3][first] != stop)
        first++;
    r.stop_ids = &stop;
    r.n_stop_ids = 1;
    run_requests(&got, g, &r, 1);
    assert_int_equal(got.n[0], first);
    assert_int_equal(got.finish[0], LF_FINISH_EOS);
    assert_memory_equal(got.ids[0], alone.ids[3], (size_t)first * sizeof stop);
    t.model->config.eos[0] = stop;
    r = request(3);
    r.ignore_eos = false;
    run_requests(&got, g, &r, 1);
    assert_int_equal(got.n[0], first);
    lf_gen_free(g);
    tiny_close(&t);
}

static void a_stop_id_ends_a_sequence(void **state)
{
    (void)state;
    check_stop_id(false);
    check_stop_id(true);
}

static void check_coming_and_going(bool ahead)
{
    struct tiny t;
    struct texts alone;
    struct lf_exec_limits l = limits(64);
    struct lf_diag diag = {""};
    struct lf_gen_token out[N_PROMPTS];
    uint64_t ids[3];
    int n, heard = 0;
    make_prompts();
    run_alone(&alone);
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 0, 0, ahead, 0);
    must(lf_gen_step(g, 0, out, &n, &diag), &diag);
    assert_int_equal(n, 0);
    for (int i = 0; i < 3; i++) {
        struct lf_gen_request r = request(i + 8);
        r.user = &ids[i];
        must(lf_gen_add(g, &r, &ids[i], &diag), &diag);
        for (int k = 0; k < 4; k++) {
            must(lf_gen_step(g, 10, out, &n, &diag), &diag);
            for (int j = 0; j < n; j++) {
                int which = (int)((uint64_t *)out[j].user - ids);
                assert_true(out[j].id == ids[which]);
                assert_int_equal(out[j].token, alone.ids[which + 8][out[j].index]);
                assert_true(out[j].logprob < 0);
                heard++;
            }
        }
    }
    assert_true(heard > 5);
    struct lf_gen_status st;
    lf_gen_status(g, &st);
    assert_int_equal(st.live, 3);
    for (int i = 0; i < 3; i++)
        lf_gen_remove(g, ids[i]);
    lf_gen_remove(g, ids[0]);
    lf_gen_status(g, &st);
    assert_int_equal(st.live, 0);
    assert_int_equal(st.pages_free, 64);
    lf_gen_free(g);
    tiny_close(&t);
}

static void sequences_come_and_go_between_steps(void **state)
{
    (void)state;
    check_coming_and_going(false);
    check_coming_and_going(true);
}

/* Steps until each of two sequences has its first token. */
static void steps_to_first(struct lf_gen *g, const struct lf_gen_request *r, int steps[2])
{
    struct lf_diag diag = {""};
    uint64_t ids[2];
    steps[0] = steps[1] = 0;
    for (int i = 0; i < 2; i++)
        must(lf_gen_add(g, &r[i], &ids[i], &diag), &diag);
    for (int k = 1; steps[0] == 0 || steps[1] == 0; k++) {
        struct lf_gen_token out[N_PROMPTS];
        int n;
        must(lf_gen_step(g, 0, out, &n, &diag), &diag);
        for (int j = 0; j < n; j++)
            steps[out[j].id == ids[1]] = steps[out[j].id == ids[1]] ?: k;
    }
    lf_gen_remove(g, ids[0]);
    lf_gen_remove(g, ids[1]);
}

static void a_short_prompt_does_not_wait_for_a_long_one(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_exec_limits l = limits(64);
    int steps[2];
    make_prompts();
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 2, 8, false, 0);
    struct lf_gen_request r[2] = {request(11), request(1)}; /* 34 tokens, 4 */
    steps_to_first(g, r, steps);
    assert_int_equal(steps[1], 1);
    assert_int_equal(steps[0], 6); /* 4 tokens beside the short one, then 7 a step */
    r[1] = request(11);            /* equals: one after the other */
    steps_to_first(g, r, steps);
    assert_true(steps[0] < steps[1]);
    lf_gen_free(g);
    tiny_close(&t);
}

/* Eight of one group came first, all with as much to read as the ninth, of another: it has the
 * second turn. */
static void groups_take_turns_at_being_read(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_exec_limits l = limits(64);
    struct lf_diag diag = {""};
    uint64_t id = 0;
    int before = 0;
    make_prompts();
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 9, 20, false, 0);
    for (int i = 0; i < 9; i++) {
        struct lf_gen_request r = request(11);
        r.group = i == 8;
        r.max_tokens = 1;
        must(lf_gen_add(g, &r, &id, &diag), &diag);
    }
    for (bool ended = false; !ended;) {
        struct lf_gen_token out[N_PROMPTS];
        int n;
        must(lf_gen_step(g, 0, out, &n, &diag), &diag);
        for (int j = 0; j < n && !ended; j++) {
            ended = out[j].id == id;
            before += !ended;
        }
    }
    assert_in_range(before, 0, 2);
    lf_gen_free(g);
    tiny_close(&t);
}

/* Those in the background stand still while they are held and another is there, and get what they
 * would have got. */
static void who_is_held_waits_for_the_others(void **state)
{
    (void)state;
    struct tiny t;
    struct texts alone;
    struct lf_exec_limits l = limits(64);
    struct lf_diag diag = {""};
    uint64_t ids[2];
    int seen[2] = {0}, steps = 0;
    make_prompts();
    run_alone(&alone);
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 2, 0, true, 0);
    for (int i = 0; i < 2; i++) {
        struct lf_gen_request r = request(i + 2);
        r.background = i == 1;
        must(lf_gen_add(g, &r, &ids[i], &diag), &diag);
    }
    lf_gen_hold(g, LF_GEN_HELD_BACKGROUND);
    for (; seen[1] < N_TOKENS && steps < 100; steps++) {
        struct lf_gen_token out[N_PROMPTS];
        int n;
        must(lf_gen_step(g, 0, out, &n, &diag), &diag);
        for (int j = 0; j < n; j++) {
            int which = out[j].id == ids[1];
            assert_int_equal(out[j].token, alone.ids[which + 2][out[j].index]);
            assert_true(which == 0 || seen[0] == N_TOKENS);
            seen[which]++;
        }
    }
    assert_in_range(steps, 2 * N_TOKENS, 2 * N_TOKENS + 2);
    lf_gen_free(g);
    tiny_close(&t);
}

/* Who decodes stands still for a step of prompts alone, and goes on as if nothing had been. */
static void prompts_have_steps_of_their_own(void **state)
{
    (void)state;
    struct tiny t;
    struct texts alone;
    struct lf_exec_limits l = limits(64);
    struct lf_diag diag = {""};
    uint64_t ids[2];
    int seen[2] = {0};
    make_prompts();
    run_alone(&alone);
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 2, 0, true, 0);
    for (int step = 0; seen[0] < N_TOKENS || seen[1] < N_TOKENS; step++) {
        struct lf_gen_token out[N_PROMPTS];
        struct lf_gen_status st;
        int n;
        if (step == 0 || step == 3) {
            struct lf_gen_request r = request(step == 0 ? 2 : 3);
            must(lf_gen_add(g, &r, &ids[step / 3], &diag), &diag);
        }
        lf_gen_hold(g, step == 3 ? LF_GEN_HELD_DECODING : LF_GEN_HELD_NONE);
        must(lf_gen_step(g, 0, out, &n, &diag), &diag);
        lf_gen_status(g, &st);
        if (step == 3) /* the one before landed; prompts alone are under way */
            assert_true(st.next_decoding == 0 && st.next_prompt > 0 && st.unread == 0);
        for (int j = 0; j < n; j++) {
            int which = seen[0] < N_TOKENS && out[j].id == ids[0] ? 0 : 1;
            assert_int_equal(out[j].token, alone.ids[which + 2][out[j].index]);
            seen[which]++;
        }
        assert_true(step < 100);
    }
    lf_gen_free(g);
    tiny_close(&t);
}

static void refuses_what_cannot_be(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_exec_limits l = limits(4);
    struct lf_diag diag = {""};
    uint64_t id;
    make_prompts();
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 2, 0, false, 0);
    assert_int_equal(lf_gen_context_max(g), 64);
    struct lf_gen_request r = request(11);
    r.max_tokens = 31;
    assert_int_equal(lf_gen_add(g, &r, &id, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "context of 64"));
    r.max_tokens = -1;
    assert_int_equal(lf_gen_add(g, &r, &id, &diag), LF_E_INVALID);
    r = request(1);
    r.n = 0;
    assert_int_equal(lf_gen_add(g, &r, &id, &diag), LF_E_INVALID);
    int32_t bad = 512;
    r = request(1);
    r.ids = &bad;
    r.n = 1;
    assert_int_equal(lf_gen_add(g, &r, &id, &diag), LF_E_INVALID);
    r = request(1);
    must(lf_gen_add(g, &r, &id, &diag), &diag);
    must(lf_gen_add(g, &r, &id, &diag), &diag);
    assert_int_equal(lf_gen_add(g, &r, &id, &diag), LF_E_OVERLOADED);
    lf_gen_free(g);
    tiny_close(&t);
}

/* ---- Scores ---------------------------------------------------------------------------------- */

#define TOP 4

/* log softmax of a prompt's logits: what its scores must be. */
static void log_softmax_of(double *out, int i)
{
    struct tiny t;
    struct lf_exec_limits l = limits(64);
    struct lf_diag diag = {""};
    struct lf_batch_seq s = {.ids = prompts[i], .n = prompt_length(i), .slot = -1};
    float logits[40 * 512];
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    assert_int_equal(t.model->config.V, 512);
    must(lf_exec_run(t.exec, &s, 1, NULL, &diag), &diag);
    must(lf_exec_logits(t.exec, 0, logits, &diag), &diag);
    for (int k = 0; k < prompt_length(i); k++) {
        double sum = 0;
        for (int v = 0; v < 512; v++)
            sum += exp((double)logits[k * 512 + v]);
        for (int v = 0; v < 512; v++)
            out[k * 512 + v] = logits[k * 512 + v] - log(sum);
    }
    tiny_close(&t);
}

static void check_scores(const struct lf_scores *s, int i)
{
    static double want[40 * 512];
    log_softmax_of(want, i);
    for (int k = 1; k < prompt_length(i); k++) {
        const double *row = want + (k - 1) * 512;
        assert_true(fabs(s->logprob[k] - row[prompts[i][k]]) < 1e-4);
        for (int j = 0; j < TOP; j++) {
            int32_t id = s->top_ids[k * TOP + j];
            int better = 0;
            assert_in_range(id, 0, 511);
            for (int v = 0; v < 512; v++)
                better += row[v] > row[id] + 1e-4;
            assert_true(better <= j);
            assert_true(fabs(s->top_logprob[k * TOP + j] - row[id]) < 1e-4);
        }
    }
}

/* Also cut into pieces, and with pages taken away from under it; a completion of 0 tokens ends. */
static void prompts_are_scored(void **state)
{
    (void)state;
    static const struct {
        int pages, tokens, max_tokens;
        bool ahead;
    } cases[] = {{64, 0, 0, false}, {64, 7, 0, true}, {64, 12, 3, true}, {9, 0, 3, true}};
    static float logprob[N_PROMPTS][40], top[N_PROMPTS][40 * TOP];
    static int32_t top_ids[N_PROMPTS][40 * TOP];
    make_prompts();
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct tiny t;
        struct texts got;
        struct lf_scores scores[N_PROMPTS];
        struct lf_gen_request r[N_PROMPTS];
        struct lf_gen_status st;
        struct lf_exec_limits l = limits(cases[k].pages);
        memset(logprob, 0, sizeof logprob);
        tiny_open(&t, LF_DEVICE_CPU, 1, &l);
        struct lf_gen *g = gen_open(&t, 0, cases[k].tokens, cases[k].ahead, 0);
        for (int i = 0; i < N_PROMPTS; i++) {
            scores[i] = (struct lf_scores){logprob[i], top_ids[i], top[i]};
            r[i] = request(i);
            r[i].sample.top_n = TOP;
            r[i].max_tokens = cases[k].max_tokens;
            r[i].scores = i == 2 ? NULL : &scores[i];
        }
        run_requests(&got, g, r, N_PROMPTS);
        for (int i = 0; i < N_PROMPTS; i++) {
            assert_int_equal(got.finish[i], LF_FINISH_LENGTH);
            if (i != 2)
                check_scores(&scores[i], i);
        }
        assert_true(logprob[2][1] == 0);
        lf_gen_status(g, &st);
        assert_int_equal(st.completion_tokens, N_PROMPTS * cases[k].max_tokens);
        lf_gen_free(g);
        tiny_close(&t);
    }
}

static void biases_and_alternatives_are_each_sequences_own(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_exec_limits l = limits(64);
    struct lf_diag diag = {""};
    struct lf_logit_bias up = {77, 100}, both[] = {{78, 100}, {77, -100}};
    struct lf_gen_token out[N_PROMPTS];
    int n = 0;
    make_prompts();
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 0, 0, true, 0);
    for (int i = 0; i < 3; i++) {
        uint64_t id;
        struct lf_gen_request r = request(4);
        r.bias = i == 2 ? both : &up;
        r.n_bias = i;
        r.sample.top_n = i == 1 ? 0 : TOP;
        must(lf_gen_add(g, &r, &id, &diag), &diag);
    }
    must(lf_gen_step(g, 0, out, &n, &diag), &diag);
    assert_int_equal(n, 3);
    assert_int_equal(out[0].token, out[0].top_ids[0]);
    assert_true(out[0].logprob == out[0].top_logprob[0]);
    assert_int_equal(out[1].token, 77);
    assert_int_equal(out[2].token, 78);
    assert_int_equal(out[2].top_ids[0], out[0].top_ids[0]);
    assert_true(out[2].logprob <= out[2].top_logprob[0]);
    lf_gen_free(g);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(company_prompt_pieces_and_preemption_do_not_matter),
        cmocka_unit_test(a_step_in_parts_with_prompts_between_is_the_same),
        cmocka_unit_test(between_parts_a_prompt_has_its_first_token_and_who_leaves_does),
        cmocka_unit_test(a_stop_id_ends_a_sequence),
        cmocka_unit_test(sequences_come_and_go_between_steps),
        cmocka_unit_test(prompts_are_scored),
        cmocka_unit_test(biases_and_alternatives_are_each_sequences_own),
        cmocka_unit_test(a_short_prompt_does_not_wait_for_a_long_one),
        cmocka_unit_test(who_is_held_waits_for_the_others),
        cmocka_unit_test(groups_take_turns_at_being_read),
        cmocka_unit_test(prompts_have_steps_of_their_own),
        cmocka_unit_test(refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
