/* LIBS: lf_model lf_text */
/* Drafts: where they come from, when they pay, and that answers are what they are without them:
 * greedy and seeded ones, with penalties, biases, alternatives and guides, alone and in a batch. */
#include "tests/lib/tiny.h"

#include "core/num.h"
#include "core/rng.h"
#include "model/draft_base.h"
#include "model/generate.h"
#include "text/tokenizer.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* ---- Looking up ------------------------------------------------------------------------------ */

static void check_look_up(const int32_t *text, int n, int most, const int32_t *want, int n_want)
{
    int32_t tokens[64];
    memcpy(tokens, text, (size_t)n * sizeof *tokens);
    assert_int_equal(lf_speculation_look_up(tokens, n, most), n_want);
    assert_memory_equal(tokens + n, want, (size_t)n_want * sizeof *want);
}
#define LOOK_UP(most, n_want, want, ...)                                                         \
    check_look_up((const int32_t[]){__VA_ARGS__},                                                \
                  sizeof(int32_t[]){__VA_ARGS__} / sizeof(int32_t), most, (const int32_t[])want, \
                  n_want)
#define IDS(...)    \
    {               \
        __VA_ARGS__ \
    }

static void what_followed_the_same_words_is_the_draft(void **state)
{
    (void)state;
    LOOK_UP(3, 0, IDS(0), 7);
    LOOK_UP(3, 0, IDS(0), 1, 2, 3, 4, 2);
    LOOK_UP(3, 3, IDS(3, 4, 5), 1, 2, 3, 4, 5, 9, 1, 2);
    LOOK_UP(2, 2, IDS(3, 4), 1, 2, 3, 4, 5, 9, 1, 2);
    LOOK_UP(1, 1, IDS(8), 1, 2, 3, 0, 1, 2, 8, 0, 5, 1, 2);       /* the latest */
    LOOK_UP(1, 1, IDS(3), 6, 1, 2, 3, 0, 1, 2, 8, 0, 5, 6, 1, 2); /* the likest */
    LOOK_UP(5, 5, IDS(4, 5, 4, 5, 4), 4, 5, 4, 5);                /* beyond the end */
    LOOK_UP(3, 3, IDS(6, 6, 6), 6, 6, 6);
}

/* ---- Paying ---------------------------------------------------------------------------------- */

#define OWNER 77

/* Steps of n texts, of whose drafts or guesses a part comes, at a price a row and one of a step;
 * tells which of the 400 had drafts. */
static void run_steps(struct lf_speculation *s, int n, double came, double step, double row,
                      bool *with)
{
    uint64_t owners[64];
    for (int i = 0; i < n; i++)
        owners[i] = OWNER;
    for (int k = 0; k < 400; k++) {
        bool pays = lf_speculation_gain(s, owners, n) > 0 && lf_speculation_drafts(s, OWNER);
        bool guesses = !pays && lf_speculation_guesses(s, k);
        int drafts = pays ? s->most : 0;
        for (int i = 0; i < n && (pays || guesses); i++)
            lf_speculation_came(s, OWNER, s->most,
                                (int)floor(came * (k + i + 1)) - (int)floor(came * (k + i)));
        lf_speculation_took(s, pays, n + n * drafts, step + row * (n + n * drafts));
        with[k] = pays;
    }
}

/* Of the last hundred. */
static int steps_with_drafts(struct lf_speculation *s, int n, double came, double step, double row)
{
    bool with[400];
    int sum = 0;
    run_steps(s, n, came, step, row, with);
    for (int k = 300; k < 400; k++)
        sum += with[k];
    return sum;
}

static void drafts_are_made_while_they_pay(void **state)
{
    (void)state;
    struct lf_speculation s;
    lf_speculation_init(&s, 0);
    assert_int_equal(steps_with_drafts(&s, 1, 1, 1, 0), 0);
    lf_speculation_init(&s, LF_SPECULATE_AUTO);
    assert_true(steps_with_drafts(&s, 1, 1, 1, 0.01) > 95);
    assert_int_equal(steps_with_drafts(&s, 1, 0, 1, 0.01), 0); /* none comes any more */
    lf_speculation_init(&s, LF_SPECULATE_AUTO);
    assert_true(steps_with_drafts(&s, 16, 1, 0, 1) < 15); /* a row costs as much as it saves */
    lf_speculation_init(&s, 5);
    assert_int_equal(steps_with_drafts(&s, 4, 0, 0, 1), 100); /* as it was told to */
}

static void texts_that_repeat_again_have_drafts_within_a_few_tokens(void **state)
{
    (void)state;
    struct lf_speculation s;
    bool with[400];
    lf_speculation_init(&s, LF_SPECULATE_AUTO);
    for (int round = 0; round < 3; round++) {
        int first = 0;
        run_steps(&s, 1, 0, 1, 0.01, with);
        run_steps(&s, 1, 3, 1, 0.01, with);
        while (!with[first])
            first++;
        assert_in_range(first, 1, 8);
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

#define N 6
#define N_PROMPT 24
#define N_ANSWER 40
#define N_WORDS 4
#define NARROW_PAGES (N / 3 * (N_PROMPT + N_ANSWER + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS)

struct answers {
    int32_t ids[N][N_ANSWER];
    float logprobs[N][N_ANSWER];
    int32_t tops[N][N_ANSWER][2];
    int n[N];
    enum lf_finish finish[N];
    int steps, guided_steps; /* of all; of the one with a guide where it is alone */
    int64_t drafted, accepted;
};

static int32_t prompts[N][N_PROMPT];
static struct lf_logit_bias words[N][N_WORDS];
static struct lf_grammar *grammars[2]; /* of the last two: one that ends, one that goes on */
static struct lf_token_trie *trie;
static struct lf_tokenizer *tokenizer;

/* Of few words, which repeat in any order: some drafts come, some do not. */
static struct lf_gen_request request(int i)
{
    struct lf_sample_params sample = lf_sample_greedy();
    if (i > 0) {
        sample.temperature = 1;
        sample.seed = 100 + (uint64_t)i;
    }
    if (i == 2)
        sample.repetition_penalty = 1.3f;
    if (i == 3)
        sample.frequency_penalty = 0.7f;
    sample.top_n = 2;
    return (struct lf_gen_request){.ids = prompts[i],
                                   .n = N_PROMPT,
                                   .slot = -1,
                                   .owner = 1,
                                   .sample = sample,
                                   .bias = words[i],
                                   .n_bias = i > 0 ? N_WORDS : 0,
                                   .max_tokens = N_ANSWER,
                                   .ignore_eos = i < 4};
}

static void hear(struct answers *a, const struct lf_gen_token *t, int *ended)
{
    int i = (int)((int *)t->user - a->n);
    assert_int_equal(t->index, a->n[i]);
    a->ids[i][a->n[i]] = t->token;
    a->logprobs[i][a->n[i]] = t->logprob;
    memcpy(a->tops[i][a->n[i]++], t->top_ids, 2 * sizeof *t->top_ids);
    a->finish[i] = t->finish;
    *ended += t->finish != LF_FINISH_NONE;
}

/* Requests [from, to) at once. */
static void answer(struct answers *a, struct lf_gen *g, int from, int to)
{
    struct lf_diag diag = {""};
    struct lf_guide *guides[N] = {NULL};
    int ended = 0, before = a->steps;
    for (int i = from; i < to; i++) {
        struct lf_gen_request r = request(i);
        uint64_t id;
        r.user = &a->n[i];
        if (i >= N - 2) {
            must(lf_guide_new(&guides[i], grammars[i - (N - 2)], &diag), &diag);
            r.guide = guides[i];
        }
        must(lf_gen_add(g, &r, &id, &diag), &diag);
    }
    while (ended < to - from) {
        struct lf_gen_token out[16];
        int n = 0;
        must(lf_gen_step(g, 0, out, &n, &diag), &diag);
        a->steps++;
        for (int k = 0; k < n; k++)
            hear(a, &out[k], &ended);
    }
    a->guided_steps = a->steps - before;
    for (int i = from; i < to; i++)
        lf_guide_free(guides[i]);
}

/* A draft base: of the base's own weights (TINY_SEED), or of others. */
static void open_draft(struct lf_draft_base *d, const struct tiny *t, uint64_t seed,
                       const struct lf_exec_limits *l)
{
    struct lf_diag diag = {""};
    must(lf_model_random(&d->model, t->stream, &t->model->config, LF_QUANT_NF4, seed, &diag),
         &diag);
    must(lf_slots_new(&d->slots, t->dev, &d->model->config, 1, &diag), &diag);
    must(lf_draft_base_lay_out(d, t->stream, l, &diag), &diag);
}

static void close_draft(struct lf_draft_base *d)
{
    lf_exec_free(d->exec);
    lf_slots_free(d->slots);
    lf_model_free(d->model);
}

/* draft: the seed of a draft base; 0: there is none. draft_l: its limits. */
static void answer_all(struct answers *a, int n_ids, bool together, int speculate, bool ahead,
                       uint64_t draft, const struct lf_exec_limits *draft_l)
{
    struct lf_draft_base d = {NULL};
    struct tiny t;
    struct lf_diag diag = {""};
    struct lf_gen *g;
    struct lf_gen_status st;
    char config[512];
    const struct lf_exec_limits l = {
        .tokens_max = 160, .seqs_max = 16, .rows_max = 8, .rank_max = 4, .kv_pages = 64};
    struct lf_gen_limits gl = {.speculate = speculate, .ahead = ahead};
    snprintf(config, sizeof config,
             "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":128,"
             "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
             "\"vocab_size\":%d,\"max_position_embeddings\":256,\"eos_token_id\":0}",
             n_ids);
    memset(a, 0, sizeof *a);
    tiny_open_as(&t, config, LF_DEVICE_CPU, NULL, 1, &l);
    if (draft) {
        open_draft(&d, &t, draft, draft_l);
        gl.draft = &d;
    }
    must(lf_gen_new(&g, t.exec, t.model, &gl, &diag), &diag);
    for (int i = 0; i < N; i += together ? N : 1)
        answer(a, g, i, together ? N : i + 1);
    lf_gen_status(g, &st);
    assert_int_equal(st.pages_free, l.kv_pages);
    a->drafted = st.drafted;
    a->accepted = st.accepted;
    lf_gen_free(g);
    if (draft)
        assert_int_equal(lf_exec_kv_free_pages(d.exec), draft_l->kv_pages);
    close_draft(&d);
    tiny_close(&t);
}

/* The base's tokenizer, for the guides: numbers by a comma each, one to two digits. */
static int make_requests(void)
{
    struct lf_diag diag = {""};
    char dir[512];
    int n_ids = 0;
    int32_t end;
    snprintf(dir, sizeof dir, "%s/share/base", getenv("LF_SOURCE"));
    must(lf_tokenizer_open(&tokenizer, dir, &diag), &diag);
    while (lf_tokenizer_token(tokenizer, n_ids))
        n_ids++;
    end = lf_tokenizer_eos(tokenizer);
    must(lf_token_trie_new(&trie, tokenizer, n_ids, &end, 1, &diag), &diag);
    static const char *const digits[] = {"root ::= ([12] \",\"){12} \".\"",
                                         "root ::= ([12] [12]? \",\"){1,60}"};
    for (int i = 0; i < 2; i++)
        must(lf_grammar_new(&grammars[i], digits[i], strlen(digits[i]), trie, &diag), &diag);
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < N_WORDS; k++)
            words[i][k] = (struct lf_logit_bias){.id = 300 + 10 * i + k, .add = i < 4 ? 60 : 0};
        for (int k = 0; k < N_PROMPT; k++)
            prompts[i][k] = words[i][lf_rng_u32(5, (uint64_t)k, (uint64_t)i) % N_WORDS].id;
    }
    return n_ids;
}

/* Attention sums a step's rows together in another order than those of several steps: what differs
 * is the last bits of a number below 16, after a few thousand additions at the most. */
static void check_logprobs(const struct answers *got, const struct answers *want)
{
    for (int i = 0; i < N; i++)
        for (int k = 0; k < want->n[i]; k++)
            assert_true(fabsf(got->logprobs[i][k] - want->logprobs[i][k]) < 16 * 32 * FLT_EPSILON);
}

static struct answers plain; /* without drafts */

static void check_answers(const struct answers *got, const char *how)
{
    print_message("%s: %d of %d came, %d steps (%d)\n", how, (int)got->accepted, (int)got->drafted,
                  got->steps, plain.steps);
    assert_memory_equal(got->n, plain.n, sizeof plain.n);
    assert_memory_equal(got->ids, plain.ids, sizeof plain.ids);
    check_logprobs(got, &plain);
    assert_memory_equal(got->tops, plain.tops, sizeof plain.tops);
    assert_memory_equal(got->finish, plain.finish, sizeof plain.finish);
}

static void answers_are_those_without_drafts(void **state)
{
    (void)state;
    static struct answers got;
    int n_ids = make_requests();
    answer_all(&plain, n_ids, false, 0, false, 0, NULL);
    assert_int_equal(plain.finish[N - 2], LF_FINISH_WHOLE);
    assert_int_equal(plain.drafted, 0);
    for (int how = 0; how < 12; how++) {
        static const int speculate[] = {1, 3, 7};
        answer_all(&got, n_ids, how & 1, speculate[how / 4], how & 2, 0, NULL);
        check_answers(&got, "looked up");
        assert_true(got.accepted > 20 && got.accepted < got.drafted);
    }
    for (int how = 0; how < 12; how++) {
        /* All drafts come where the draft base is the base itself, and some by chance; then it has
         * room for a third of the texts, and reads a prompt in two pieces. */
        const struct lf_exec_limits wide = {.tokens_max = 160,
                                            .seqs_max = 16,
                                            .rows_max = 8,
                                            .rank_max = 4,
                                            .kv_pages = 64},
                                    narrow = {.tokens_max = 16,
                                              .seqs_max = 16,
                                              .rows_max = 8,
                                              .rank_max = 4,
                                              .kv_pages = NARROW_PAGES};
        bool itself = how >= 4;
        answer_all(&got, n_ids, how & 1, how & 2 ? LF_SPECULATE_AUTO : 3, how & 1,
                   itself ? TINY_SEED : TINY_SEED + 1, how < 8 ? &wide : &narrow);
        check_answers(&got, itself ? "drawn by the base itself" : "drawn by another base");
        if (itself && !(how & 2))
            assert_true(got.accepted > 40 && got.accepted * 10 > got.drafted * 9);
        /* A guide's drafts come as others do: three with each token, but for a few steps that read
         * the prompt and end the answer. */
        if (itself && !(how & 1) && !(how & 2))
            assert_in_range(got.guided_steps, 1, got.n[N - 1] / 4 + 4);
    }
    for (int i = 0; i < 2; i++)
        lf_grammar_release(grammars[i]);
    lf_token_trie_free(trie);
    lf_tokenizer_free(tokenizer);
}

/* Steps that an answer of 43 tokens takes: of any word, or of one over and over. */
static int steps_of(struct lf_gen *g, bool repeats, int seed)
{
    static const struct lf_logit_bias word = {.id = 9, .add = 100};
    static const int32_t prompt[] = {5, 6, 7};
    struct lf_diag diag = {""};
    struct lf_gen_request r = {.ids = prompt,
                               .n = 3,
                               .slot = -1,
                               .sample = lf_sample_greedy(),
                               .bias = &word,
                               .n_bias = repeats,
                               .max_tokens = 43,
                               .ignore_eos = true};
    uint64_t id;
    int steps = 0, made = 0;
    r.sample.temperature = repeats ? 0 : 9; /* about each word as often as the others */
    r.sample.seed = (uint64_t)seed;
    must(lf_gen_add(g, &r, &id, &diag), &diag);
    for (; made < 43; steps++) {
        struct lf_gen_token out[8];
        int n = 0;
        must(lf_gen_step(g, 0, out, &n, &diag), &diag);
        made += n;
    }
    assert_int_equal(made, 43);
    return steps;
}

static void open_small(struct tiny *t, struct lf_gen **g, int speculate)
{
    struct lf_diag diag = {""};
    const struct lf_exec_limits l = {
        .tokens_max = 64, .seqs_max = 8, .rows_max = 8, .rank_max = 4, .kv_pages = 8};
    const struct lf_gen_limits gl = {.speculate = speculate};
    tiny_open(t, LF_DEVICE_CPU, 1, &l);
    must(lf_gen_new(g, t->exec, t->model, &gl, &diag), &diag);
}

/* One word over and over: four tokens a step once it came three times. */
static void a_text_that_repeats_takes_fewer_steps(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_gen *g;
    struct lf_gen_status st;
    open_small(&t, &g, 3);
    assert_int_equal(steps_of(g, true, 0), 3 + 10);
    lf_gen_status(g, &st);
    assert_int_equal(st.live, 0);
    assert_int_equal(st.accepted, 30);
    lf_gen_free(g);
    tiny_close(&t);
}

/* Chosen by what pays: no draft for texts that do not repeat, and soon for one that does. A step
 * with drafts would have to take twice as long as one without to change that. */
/* How many steps a text that repeats takes after twenty that do not. */
static int steps_after_free_text(void)
{
    struct tiny t;
    struct lf_gen *g;
    struct lf_gen_status free_text, st;
    open_small(&t, &g, LF_SPECULATE_AUTO);
    for (int i = 0; i < 20; i++)
        assert_in_range(steps_of(g, false, i), 40, 43);
    lf_gen_status(g, &free_text);
    int steps = steps_of(g, true, 0);
    lf_gen_status(g, &st);
    print_message("%d steps; %d drafts before them, %d in them\n", steps, (int)free_text.drafted,
                  (int)(st.drafted - free_text.drafted));
    assert_true(free_text.drafted < 60);
    lf_gen_free(g);
    tiny_close(&t);
    return steps;
}

static void a_text_that_repeats_after_others_takes_fewer_steps_too(void **state)
{
    (void)state;
    int least = steps_after_free_text(); /* what drafts cost is measured, beside whatever runs */
    for (int i = 0; i < 2 && least > 24; i++)
        least = lf_min_int(least, steps_after_free_text());
    assert_true(least <= 24); /* eight tokens until it is seen, a few prices */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_followed_the_same_words_is_the_draft),
        cmocka_unit_test(drafts_are_made_while_they_pay),
        cmocka_unit_test(texts_that_repeat_again_have_drafts_within_a_few_tokens),
        cmocka_unit_test(answers_are_those_without_drafts),
        cmocka_unit_test(a_text_that_repeats_takes_fewer_steps),
        cmocka_unit_test(a_text_that_repeats_after_others_takes_fewer_steps_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
