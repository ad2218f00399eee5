/* LIBS: lf_model */
/* Generation on the cpu in a crowd: 72 sequences at once, of two adapters and the bare base, with
 * prompts of all lengths that are read in pieces, begin alike and are found, with drafts and with
 * too few pages. Each gets the tokens, and to the bit the log-probabilities, that it gets alone. */
#include "tests/lib/tiny.h"

#include "core/rng.h"
#include "model/generate.h"

#define CROWD 72
#define LONGEST 72
#define ALIKE 33 /* tokens that every other prompt begins with */
#define MADE 24

static int32_t prompts[CROWD][LONGEST];

struct answers {
    int32_t ids[CROWD][MADE];
    float logprob[CROWD][MADE];
    int n[CROWD];
};

static int prompt_length(int i)
{
    return i % 2 ? ALIKE + 1 + i / 2 : 1 + i;
}

static void make_prompts(void)
{
    for (int i = 0; i < CROWD; i++)
        for (int k = 0; k < prompt_length(i); k++) {
            uint64_t who = i % 2 && k < ALIKE ? 999 : (uint64_t)i;
            prompts[i][k] = 2 + (int32_t)(lf_rng_u32(5, (uint64_t)k, who) % 510);
        }
}

/* Mostly greedy. */
static struct lf_gen_request request(int i, bool finds)
{
    struct lf_sample_params sample = lf_sample_greedy();
    if (i % 5 == 4) {
        sample.temperature = 1;
        sample.seed = 100 + (uint64_t)i;
    }
    int slot = i % 3 - 1;
    return (struct lf_gen_request){.ids = prompts[i],
                                   .n = prompt_length(i),
                                   .slot = slot,
                                   .owner = finds ? (uint64_t)(slot + 2) : 0,
                                   .sample = sample,
                                   .max_tokens = MADE,
                                   .ignore_eos = true};
}

static void load_adapter(struct tiny *t, int rank, uint64_t seed)
{
    struct lf_diag diag = {""};
    struct lf_adapter *a;
    struct lf_lora_settings s = {.rank = rank, .alpha = 16};
    int slot;
    must(lf_adapter_new(&a, &t->model->config, &s, seed, &diag), &diag);
    for (size_t i = 0; i < a->shape.n_params; i++)
        a->params[i] += 0.1F * (lf_rng_unit(lf_rng_u32(seed, i, 1)) - 0.5F);
    must(lf_slots_load(t->slots, t->stream, &slot, a, LF_SLOT_SERVES, &diag), &diag);
    lf_adapter_free(a);
}

static void open_crowd(struct tiny *t, enum lf_cpu_products products, int pages)
{
    struct lf_device_options o = {.threads = 2, .cpu_products = products};
    struct lf_exec_limits l = {
        .tokens_max = 256, .seqs_max = CROWD, .rows_max = 64, .rank_max = 8, .kv_pages = pages};
    tiny_open_as(t, TINY_CONFIG, LF_DEVICE_CPU, &o, 2, &l);
    load_adapter(t, 4, 3);
    load_adapter(t, 8, 4);
}

/* As many at once as g takes; *most: the most that decoded in one step. */
static void run(struct answers *out, struct lf_gen *g, bool finds, int *most)
{
    struct lf_diag diag = {""};
    memset(out, 0, sizeof *out);
    *most = 0;
    for (int next = 0, ended = 0; ended < CROWD;) {
        static struct lf_gen_token tokens[CROWD * (LF_DRAFTS_MAX + 1)];
        struct lf_gen_status s;
        int made = 0;
        for (lf_gen_status(g, &s); next < CROWD && s.live < lf_gen_seqs_max(g);
             lf_gen_status(g, &s)) {
            struct lf_gen_request r = request(next, finds);
            uint64_t id;
            r.user = &out->n[next++];
            must(lf_gen_add(g, &r, &id, &diag), &diag);
        }
        must(lf_gen_step(g, 0, tokens, &made, &diag), &diag);
        for (int k = 0; k < made; k++) {
            int i = (int)((int *)tokens[k].user - out->n), n = out->n[i]++;
            out->ids[i][n] = tokens[k].token;
            out->logprob[i][n] = tokens[k].logprob;
            ended += tokens[k].finish != LF_FINISH_NONE;
        }
        lf_gen_status(g, &s);
        *most = s.step_decoding > *most ? s.step_decoding : *most;
    }
}

struct crowd {
    int pages, seqs, tokens, speculate;
    bool finds;
};

static void run_case(struct answers *out, enum lf_cpu_products products, const struct crowd *c)
{
    struct lf_diag diag = {""};
    struct lf_gen_limits l = {
        .seqs_max = c->seqs, .tokens_max = c->tokens, .speculate = c->speculate};
    struct lf_gen_status s;
    struct lf_gen *g;
    struct tiny t;
    int most;
    open_crowd(&t, products, c->pages);
    must(lf_gen_new(&g, t.exec, t.model, &l, &diag), &diag);
    run(out, g, c->finds, &most);
    lf_gen_status(g, &s);
    print_message("%d pages: %d at once, %d times preempted, %d tokens found, %d of %d drafts\n",
                  c->pages, most, (int)s.preempted, (int)s.cached_tokens, (int)s.accepted,
                  (int)s.drafted);
    assert_true(c->seqs < CROWD || c->tokens > 0 || c->pages < 500 || most >= 64);
    assert_true(!c->finds || s.cached_tokens > 0);
    assert_true(c->speculate == 0 || s.accepted > 0);
    assert_true(c->pages > 100 || s.preempted > 0);
    lf_gen_free(g);
    tiny_close(&t);
}

static void check(enum lf_cpu_products products)
{
    static const struct crowd cases[] = {{500, CROWD, 0, 0, false},
                                         {500, CROWD, 0, 3, true},
                                         {500, CROWD, 97, 0, true},
                                         {90, CROWD, 0, 3, true}};
    static const struct crowd by_itself = {500, 1, 0, 0, false};
    static struct answers alone, got;
    make_prompts();
    run_case(&alone, products, &by_itself);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        run_case(&got, products, &cases[k]);
        for (int i = 0; i < CROWD; i++) {
            assert_int_equal(got.n[i], MADE);
            if (memcmp(got.ids[i], alone.ids[i], sizeof got.ids[i]) != 0 ||
                memcmp(got.logprob[i], alone.logprob[i], sizeof got.logprob[i]) != 0)
                fail_msg("case %d: sequence %d", (int)k, i);
        }
    }
}

static void in_integers_of_16_bits(void **state)
{
    (void)state;
    check(LF_CPU_INT16);
}

static void in_integers_of_8_bits(void **state)
{
    (void)state;
    check(LF_CPU_INT8);
}

static void in_fp32(void **state)
{
    (void)state;
    check(LF_CPU_FP32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_integers_of_16_bits),
                                       cmocka_unit_test(in_integers_of_8_bits),
                                       cmocka_unit_test(in_fp32)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
