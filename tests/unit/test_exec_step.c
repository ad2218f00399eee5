/* LIBS: lf_model lf_gpu lf_core */
/* Decoding steps against whole forwards of the same texts: sequences join and leave, adapters are
 * exchanged, contexts grow past a recording's. test_exec_step [DEVICE]; cpu records nothing, cuda
 * does. */
#include "tests/unit/tiny.h"

#include "model/exec.h"

#include <math.h>

#define V 512
#define SEQS 9
#define SLOTS 4
#define TOKENS 400

static enum lf_device_kind kind = LF_DEVICE_CPU;
static struct lf_device *dev;
static struct lf_stream *stream;
static struct lf_model *model;
static struct lf_slots *slots;
static struct lf_exec *x;
static int slot[SLOTS];

struct text {
    int32_t ids[TOKENS];
    int n;
    int adapter; /* or -1 */
    struct lf_kv_seq kv;
};

static const char CONFIG[] =
    "{\"model_type\":\"llama\",\"hidden_size\":256,\"intermediate_size\":512,"
    "\"num_hidden_layers\":3,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
    "\"vocab_size\":512,\"max_position_embeddings\":512,\"eos_token_id\":2}";

static void load(int i, int rank, const char *targets, uint64_t seed)
{
    struct lf_diag diag;
    struct lf_adapter *a;
    struct lf_lora_settings s = {.rank = rank, .alpha = 2.0 * rank, .target_modules = targets};
    ok(lf_adapter_new(&a, &model->config, &s, seed, &diag), &diag);
    for (size_t k = 0; k < a->shape.n_params; k++) /* B too: zeros would add nothing */
        a->params[k] = 0.1f * (lf_rng_unit(lf_rng_u32(seed, k, 7)) - 0.5f);
    ok(lf_slots_load(slots, stream, &slot[i], a, LF_SLOT_SERVES, &diag), &diag);
    lf_adapter_free(a);
}

static int set_up(void **state)
{
    struct lf_diag diag;
    struct lf_config config;
    char dir[] = "/tmp/lf-step-XXXXXX";
    const struct lf_exec_limits limits = {.tokens_max = 1024,
                                          .seqs_max = SEQS,
                                          .rows_max = 16,
                                          .rank_max = 16,
                                          .kv_pages = SEQS * (TOKENS / 16 + 1)};
    (void)state;
    assert_non_null(mkdtemp(dir));
    tiny_file(dir, "config.json", CONFIG);
    ok(lf_config_load(&config, dir, &diag), &diag);
    ok(lf_dir_remove(dir, &diag), &diag);
    enum lf_err rc = lf_device_open(&dev, kind, NULL, &diag);
    if (rc == LF_E_NOT_FOUND || rc == LF_E_UNSUPPORTED)
        exit(77);
    ok(rc, &diag);
    ok(lf_stream_new(&stream, dev, 0, &diag), &diag);
    ok(lf_model_random(&model, stream, &config, LF_QUANT_NF4, 5, &diag), &diag);
    ok(lf_slots_new(&slots, dev, &model->config, SLOTS, &diag), &diag);
    load(0, 8, "q_proj,v_proj", 1);
    load(1, 16, "all-linear", 2);
    load(2, 3, "down_proj", 3);
    ok(lf_exec_new(&x, stream, model, slots, &limits, &diag), &diag);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lf_exec_free(x);
    lf_slots_free(slots);
    lf_model_free(model);
    lf_stream_free(stream);
    lf_device_free(dev);
    return 0;
}

static struct lf_batch_seq seq_of(struct text *t, int n, bool cached)
{
    return (struct lf_batch_seq){.ids = t->ids + t->n - n,
                                 .n = n,
                                 .kv = cached ? &t->kv : NULL,
                                 .slot = t->adapter < 0 ? -1 : slot[t->adapter]};
}

/* One more token of each text, or up to `most`, all in one batch; logits (n, V) of the last. */
static void step(struct text *const *texts, int n, int most, float *logits)
{
    struct lf_batch_seq seqs[SEQS];
    struct lf_batch_result results[SEQS];
    struct lf_diag diag;
    for (int i = 0; i < n; i++) {
        struct text *t = texts[i];
        for (int more = 1 + (t->n + i) % most; more > 0; more--, t->n++)
            t->ids[t->n] = (int32_t)(lf_rng_u32((uint64_t)t->adapter + 9, (uint64_t)t->n, 0) % V);
        assert_int_equal(lf_exec_kv_grow(x, &t->kv, t->n), LF_OK);
        seqs[i] = seq_of(t, t->n - t->kv.n_tokens, true);
    }
    ok(lf_exec_run(x, seqs, n, results, &diag), &diag);
    for (int i = 0; i < n; i++) {
        static float all[TOKENS * V];
        ok(lf_exec_logits(x, i, all, &diag), &diag);
        memcpy(logits + i * V, all + (seqs[i].n - 1) * V, V * sizeof *logits);
    }
}

/* The same text, its last token's logits, by one forward without a cache. */
static void whole(struct text *t, float *logits)
{
    static float all[TOKENS * V];
    struct lf_batch_seq seq = seq_of(t, t->n, false);
    struct lf_batch_result result;
    struct lf_diag diag;
    ok(lf_exec_run(x, &seq, 1, &result, &diag), &diag);
    ok(lf_exec_logits(x, 0, all, &diag), &diag);
    memcpy(logits, all + (t->n - 1) * V, V * sizeof *logits);
}

/* On cuda both ways compute in bf16, in other orders: a few roundings of 2^-9 apart. */
static void same(const float *a, const float *b, const char *when, int i)
{
    double dot = 0, aa = 0, bb = 0;
    for (int v = 0; v < V; v++) {
        dot += (double)a[v] * b[v];
        aa += (double)a[v] * a[v];
        bb += (double)b[v] * b[v];
    }
    double cosine = dot / sqrt(aa * bb), least = kind == LF_DEVICE_CUDA ? 0.9997 : 0.9999999;
    if (!(cosine > least))
        fail_msg("%s, text %d: cosine %.8f", when, i, cosine);
}

static void steps_of(struct text *const *texts, int n, int most, int count, const char *when)
{
    static float logits[SEQS * V], expected[V];
    for (int k = 0; k < count; k++)
        step(texts, n, most, logits);
    for (int i = 0; i < n; i++) {
        whole(texts[i], expected);
        same(logits + i * V, expected, when, i);
    }
}

static void steps(struct text *const *texts, int n, int count, const char *when)
{
    steps_of(texts, n, 1, count, when);
}

static void steps_equal_whole_forwards(void **state)
{
    static struct text t[SEQS];
    struct text *all[SEQS], *some[3] = {&t[7], &t[1], &t[4]};
    (void)state;
    for (int i = 0; i < SEQS; i++) {
        all[i] = &t[i];
        t[i].adapter = i % 4 - 1;
    }
    steps(all, 1, 3, "the bare base alone");
    steps(all + 1, 1, 3, "one adapter alone");
    steps(all, SEQS, 5, "all");
    steps(some, 3, 4, "three of them");
    steps(all + 2, 5, 4, "five of them");
    lf_slots_unload(slots, stream, slot[1]);
    load(1, 5, "k_proj,o_proj,up_proj", 11);
    for (int i = 0; i < SEQS; i++) /* its texts start again with what is in its place */
        if (t[i].adapter == 1) {
            lf_exec_kv_release(x, &t[i].kv);
            t[i].n = 0;
        }
    steps(all, SEQS, 6, "another adapter in the place of one");
    steps(all + 3, 2, 300, "long contexts");
    steps(all, SEQS, 2, "long and short");
    steps_of(all, 2, 4, 9, "a few tokens of two");
    steps_of(some, 3, 3, 9, "a few tokens of three");
    steps_of(all, SEQS, 2, 5, "a few tokens of all");
    steps(all, SEQS, 2, "one of all");
    for (int i = 0; i < SEQS; i++)
        lf_exec_kv_release(x, &t[i].kv);
}

/* Prompts of which the last token's logits alone are wanted, in one batch, and what follows them.
 */
static void last_tokens_equal_whole_forwards(void **state)
{
    static struct text t[SEQS];
    static float logits[SEQS * V], expected[V];
    struct text *all[SEQS];
    struct lf_batch_seq seqs[SEQS];
    struct lf_batch_result results[SEQS];
    const struct lf_exec_row first = {.seq = 0, .at = 0, .next = 1};
    struct lf_exec_tokens scores = {.logprobs = logits};
    struct lf_diag diag;
    (void)state;
    for (int i = 0; i < SEQS; i++) {
        all[i] = &t[i];
        t[i].adapter = i % 4 - 1;
        for (t[i].n = 0; t[i].n < 1 + 13 * i; t[i].n++)
            t[i].ids[t[i].n] = (int32_t)(lf_rng_u32((uint64_t)i, (uint64_t)t[i].n, 1) % V);
        assert_int_equal(lf_exec_kv_grow(x, &t[i].kv, t[i].n), LF_OK);
        seqs[i] = seq_of(&t[i], t[i].n, true);
        seqs[i].last_only = true;
    }
    ok(lf_exec_run(x, seqs, SEQS, results, &diag), &diag);
    assert_int_equal(
        lf_exec_score(x, &(struct lf_exec_row){.seq = 5, .next = 1}, 1, 0, &scores, &diag),
        LF_E_INVALID);
    assert_non_null(strstr(diag.text, "last token alone"));
    ok(lf_exec_score(x, &first, 1, 0, &scores, &diag), &diag); /* its first token is its last */
    for (int i = 0; i < SEQS; i++)
        ok(lf_exec_logits(x, i, logits + i * V, &diag), &diag);
    for (int i = 0; i < SEQS; i++) {
        whole(&t[i], expected);
        same(logits + i * V, expected, "prompts' last tokens", i);
    }
    steps(all, SEQS, 2, "after such prompts");
    for (int i = 0; i < SEQS; i++)
        lf_exec_kv_release(x, &t[i].kv);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_equal_whole_forwards),
                                       cmocka_unit_test(last_tokens_equal_whole_forwards)};
    struct lf_diag diag;
    if (argc > 1 && lf_device_kind_parse(&kind, argv[1], &diag) != LF_OK)
        return 2;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
