/* LIBS: lf_model */
/* Longrope has one set of factors for texts up to the original context, here 16 tokens, and
 * another for longer ones. Which one counts goes by the whole text, as in transformers, however it
 * comes. */
#include "tests/lib/tiny.h"

#include "core/rng.h"
#include "model/generate.h"

#include <math.h>
#include <stdlib.h>

#define ORIGINAL 16
#define V 512
#define N_PROMPTS 12
#define N_TOKENS 20
#define TEXT_MAX 64

static const char config[] =
    "{\"model_type\":\"phi3\"," TINY_SIZES ",\"original_max_position_embeddings\":16,"
    "\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1,1.2,1.4,1.6,1.8,2,2],"
    "\"long_factor\":[2,3,5,8,13,21,34,55]}}";

static void open_tiny(struct tiny *t, int kv_pages)
{
    struct lf_exec_limits l = {.tokens_max = 128,
                               .seqs_max = N_PROMPTS,
                               .rows_max = 8,
                               .rank_max = 4,
                               .kv_pages = kv_pages};
    tiny_open_as(t, config, LF_DEVICE_CPU, NULL, 1, &l);
}

static void random_ids(int32_t *ids, int n, int stream)
{
    for (int k = 0; k < n; k++)
        ids[k] = 2 + (int32_t)(lf_rng_u32(5, (uint64_t)k, (uint64_t)stream) % (V - 2));
}

/* What n ids without a cache say of `next` after token `at`. */
static float logprob(struct tiny *t, const int32_t *ids, int n, int at, int32_t next)
{
    static float logits[TEXT_MAX * V];
    struct lf_diag diag = {""};
    struct lf_batch_seq seq = {.ids = ids, .n = n, .slot = -1};
    must(lf_exec_run(t->exec, &seq, 1, NULL, &diag), &diag);
    must(lf_exec_logits(t->exec, 0, logits, &diag), &diag);
    const float *row = logits + at * V;
    double sum = 0;
    for (int v = 0; v < V; v++)
        sum += exp((double)row[v]);
    return (float)((double)row[next] - log(sum));
}

struct text {
    int32_t ids[TEXT_MAX];
    int n, n_prompt;
    float logprobs[N_TOKENS];
};

/* Prompts of 1 to 34 tokens, all at once as far as g takes them. */
static void generate(struct lf_gen *g, struct text *texts)
{
    struct lf_diag diag = {""};
    struct lf_gen_token out[N_PROMPTS];
    uint64_t id;
    int n, next = 0, left = N_PROMPTS * N_TOKENS;
    while (left > 0) {
        for (; next < N_PROMPTS; next++) {
            struct text *t = &texts[next];
            t->n = t->n_prompt = 1 + 3 * next;
            random_ids(t->ids, t->n, next);
            struct lf_gen_request r = {.ids = t->ids,
                                       .n = t->n,
                                       .slot = -1,
                                       .sample = lf_sample_greedy(),
                                       .max_tokens = N_TOKENS,
                                       .ignore_eos = true,
                                       .user = t};
            if (lf_gen_add(g, &r, &id, &diag) != LF_OK)
                break;
        }
        must(lf_gen_step(g, 0, out, &n, &diag), &diag);
        for (int i = 0; i < n; i++) {
            struct text *t = out[i].user;
            t->ids[t->n++] = out[i].token;
            t->logprobs[out[i].index] = out[i].logprob;
        }
        left -= n;
    }
}

static void a_text_that_outgrows_the_original_context_is_read_again(void **state)
{
    (void)state;
    static const struct {
        int pages;
        struct lf_gen_limits limits;
    } cases[] = {{64, {.seqs_max = 12}},
                 {64, {.seqs_max = 12, .tokens_max = 5}},
                 {9, {.seqs_max = 12}},
                 {5, {.seqs_max = 3, .tokens_max = 7}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tiny t;
        struct lf_gen *g;
        struct lf_diag diag;
        struct lf_gen_status st;
        struct text texts[N_PROMPTS];
        float worst = 0;
        open_tiny(&t, cases[i].pages);
        must(lf_gen_new(&g, t.exec, t.model, &cases[i].limits, &diag), &diag);
        generate(g, texts);
        for (int p = 0; p < N_PROMPTS; p++)
            for (int k = 0; k < N_TOKENS; k++) {
                int n = texts[p].n_prompt + k;
                float want = logprob(&t, texts[p].ids, n, n - 1, texts[p].ids[n]);
                worst = fmaxf(worst, fabsf(texts[p].logprobs[k] - want));
            }
        print_message("%d pages: log-probabilities differ by %.1g\n", cases[i].pages,
                      (double)worst);
        assert_true(worst < 1e-5f);
        lf_gen_status(g, &st);
        assert_int_equal(st.pages_free, cases[i].pages);
        lf_gen_free(g);
        tiny_close(&t);
    }
}

/* The loss behind the last token is of a text that is one token longer. */
static void a_label_behind_the_last_token_belongs_to_the_text(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_diag diag;
    struct lf_batch_result result;
    int32_t ids[ORIGINAL + 1], labels[ORIGINAL];
    open_tiny(&t, 0);
    random_ids(ids, ORIGINAL + 1, 0);
    for (int i = 0; i < ORIGINAL; i++)
        labels[i] = i == ORIGINAL - 1 ? ids[ORIGINAL] : -1;
    struct lf_batch_seq seq = {.ids = ids, .n = ORIGINAL, .slot = -1, .labels = labels};
    must(lf_exec_run(t.exec, &seq, 1, &result, &diag), &diag);
    float as_long = logprob(&t, ids, ORIGINAL + 1, ORIGINAL - 1, ids[ORIGINAL]);
    float as_short = logprob(&t, ids, ORIGINAL, ORIGINAL - 1, ids[ORIGINAL]);
    tiny_close(&t);
    assert_true(fabsf(as_long - as_short) > 1e-4f);
    assert_true(fabsf((float)result.loss_sum + as_long) < 1e-5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_that_outgrows_the_original_context_is_read_again),
        cmocka_unit_test(a_label_behind_the_last_token_belongs_to_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
