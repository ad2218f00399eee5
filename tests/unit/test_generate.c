/* LIBS: lf_model */
/* Generation: what a sequence gets does not depend on its company, on how its prompt is cut, or on
 * how often its pages were taken away. */
#include "tests/lib/tiny.h"

#include "core/rng.h"
#include "model/generate.h"

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
            if (tokens[k].finish != LF_FINISH_EOS)
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

static struct lf_gen *gen_open(struct tiny *t, int seqs_max, int tokens_max, bool ahead)
{
    struct lf_diag diag = {""};
    struct lf_gen *g;
    struct lf_gen_limits l = {.seqs_max = seqs_max, .tokens_max = tokens_max, .ahead = ahead};
    must(lf_gen_new(&g, t->exec, t->model, &l, &diag), &diag);
    return g;
}

/* Each alone: what all others must equal. */
static void run_alone(struct texts *out)
{
    struct tiny t;
    struct lf_exec_limits l = limits(64);
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 1, 0, false);
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
    struct lf_gen *g = gen_open(&t, c->seqs, c->tokens, c->ahead);
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
    print_message("%d pages%s: %d times preempted, %d + %d tokens\n", c->pages,
                  c->ahead ? ", ahead" : "", (int)st.preempted, (int)st.prompt_tokens,
                  (int)st.completion_tokens);
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
        for (int how = 0; how < 4; how++) {
            struct gen_case c = cases[i];
            c.ahead = how & 1;
            c.penalties = how & 2;
            run_case(&c, &alone);
        }
}

static void check_stop_id(bool ahead)
{
    struct tiny t;
    struct texts alone, got;
    struct lf_exec_limits l = limits(64);
    make_prompts();
    run_alone(&alone);
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 0, 0, ahead);
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
    struct lf_gen *g = gen_open(&t, 0, 0, ahead);
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

static void refuses_what_cannot_be(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_exec_limits l = limits(4);
    struct lf_diag diag = {""};
    uint64_t id;
    make_prompts();
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    struct lf_gen *g = gen_open(&t, 2, 0, false);
    assert_int_equal(lf_gen_context_max(g), 64);
    struct lf_gen_request r = request(11);
    r.max_tokens = 31;
    assert_int_equal(lf_gen_add(g, &r, &id, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "context of 64"));
    r.max_tokens = 0;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(company_prompt_pieces_and_preemption_do_not_matter),
        cmocka_unit_test(a_stop_id_ends_a_sequence),
        cmocka_unit_test(sequences_come_and_go_between_steps),
        cmocka_unit_test(refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
