/* The gradient of whole models, every architecture and every adapted map, against finite
 * differences: for each factor of each site one random direction v, and
 * (L(p + h v) - L(p - h v)) / 2h, extrapolated to h = 0, must be g.v. On the ref device; dropout
 * on, its masks fixed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/budget.h"
#include "core/json.h"
#include "core/rng.h"
#include "model/exec.h"
#include "model/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANK 3
#define STEP 0.005f
#define N_SEQS 2
#define LAYERS 5 /* where some are run again and some are not */

/* The large eps keeps post norms of small branches from being steep. */
#define DIMS                                                                                \
    "\"hidden_size\":24,\"intermediate_size\":40,\"num_hidden_layers\":2,"                  \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":8,\"vocab_size\":32," \
    "\"max_position_embeddings\":64,\"rms_norm_eps\":0.05"

static const struct {
    const char *name, *config;
} shapes[] = {
    {"llama", "{\"model_type\":\"llama\",\"attention_bias\":true,\"mlp_bias\":true," DIMS "}"},
    {"llama 3: scaled rope, tied head",
     "{\"model_type\":\"llama\",\"tie_word_embeddings\":true,\"rope_scaling\":{\"rope_type\":"
     "\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"
     "\"original_max_position_embeddings\":16}," DIMS "}"},
    {"mistral, window", "{\"model_type\":\"mistral\",\"sliding_window\":4," DIMS "}"},
    {"phi", "{\"model_type\":\"phi\"," DIMS "}"},
    {"phi3, longrope past its original context, window",
     "{\"model_type\":\"phi3\",\"sliding_window\":5,\"original_max_position_embeddings\":10,"
     "\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1,1.5,2],"
     "\"long_factor\":[2,3,5,8]}," DIMS "}"},
    {"phi3", "{\"model_type\":\"phi3\",\"sliding_window\":null," DIMS "}"},
    {"gemma", "{\"model_type\":\"gemma\"," DIMS "}"},
    {"gemma2", "{\"model_type\":\"gemma2\",\"attn_logit_softcapping\":0.5,"
               "\"final_logit_softcapping\":1.0,\"sliding_window\":4," DIMS "}"},
    {"qwen2", "{\"model_type\":\"qwen2\"," DIMS "}"},
    {"qwen2, window in the second layer",
     "{\"model_type\":\"qwen2\",\"use_sliding_window\":true,\"sliding_window\":3,"
     "\"max_window_layers\":1," DIMS "}"},
    {"qwen3", "{\"model_type\":\"qwen3\"," DIMS "}"},
    {"ministral, window in the second layer",
     "{\"model_type\":\"ministral\",\"sliding_window\":4,\"layer_types\":[\"full_attention\","
     "\"sliding_attention\"]," DIMS "}"},
    {"olmo2", "{\"model_type\":\"olmo2\",\"attention_bias\":true," DIMS "}"},
    {"gemma3, a rope of its own in the second layer",
     "{\"model_type\":\"gemma3_text\",\"sliding_window\":4,\"final_logit_softcapping\":1.0,"
     "\"layer_types\":[\"full_attention\",\"sliding_attention\"],\"rope_theta\":50,"
     "\"rope_local_base_freq\":5,\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":3}," DIMS
     "}"},
};

struct bench {
    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_model *model;
    struct lf_slots *slots;
    struct lf_exec *exec;
    struct lf_adapter *adapter;
    int slot;
    int32_t ids[N_SEQS][16], labels[N_SEQS][16];
    struct lf_batch_seq seqs[N_SEQS];
};

static void ok(enum lf_err rc, const struct lf_diag *diag)
{
    if (rc != LF_OK)
        fail_msg("%s: %s", lf_err_name(rc), diag->text);
}

static float uniform(uint64_t i, uint64_t stream)
{
    return 2 * lf_rng_unit(lf_rng_u32(17, i, stream)) - 1;
}

static void make_batch(struct bench *b)
{
    int V = b->model->config.V;
    for (int s = 0; s < N_SEQS; s++) {
        int n = 9 + 4 * s;
        for (int i = 0; i < n; i++) {
            b->ids[s][i] = (int32_t)(lf_rng_u32(3, (uint64_t)i, (uint64_t)s) % (uint32_t)V);
            b->labels[s][i] = i < 3 || i == n - 1 ? -1 : b->ids[s][i] * 7 % V;
        }
        b->seqs[s] = (struct lf_batch_seq){.ids = b->ids[s],
                                           .n = n,
                                           .slot = b->slot,
                                           .labels = b->labels[s],
                                           .trains = true,
                                           .loss_weight = 1.0f + (float)s,
                                           .drop_p = 0.2f,
                                           .drop_key = 5 + (uint64_t)s};
    }
}

/* layers 0: as the text says. */
static void bench_open(struct bench *b, const char *text, int layers, enum lf_recompute recompute,
                       size_t memory_bytes, struct lf_budget *host)
{
    struct lf_diag diag;
    struct lf_config config;
    json_t *j;
    struct lf_lora_settings lora = {.rank = RANK, .alpha = 9, .target_modules = "all-linear"};
    struct lf_exec_limits limits = {.tokens_max = 32,
                                    .train_tokens_max = 32,
                                    .seqs_max = N_SEQS,
                                    .rows_max = 5,
                                    .rank_max = RANK,
                                    .recompute = recompute,
                                    .memory_bytes = memory_bytes,
                                    .host_bytes = host ? SIZE_MAX : 0,
                                    .host = host};
    ok(lf_json_parse(&j, text, strlen(text), &diag), &diag);
    ok(lf_config_parse(&config, j, &diag), &diag);
    json_decref(j);
    for (int l = config.L; l < layers; l++)
        config.window[l] = config.window[l % config.L];
    config.L = layers ? layers : config.L;
    config.embed_scale = 25; /* random embeddings are small, where norms are steep */
    ok(lf_device_open(&b->dev, LF_DEVICE_REF, NULL, &diag), &diag);
    ok(lf_stream_new(&b->stream, b->dev, 0, &diag), &diag);
    ok(lf_model_random(&b->model, b->stream, &config, LF_QUANT_NONE, 1, &diag), &diag);
    ok(lf_slots_new(&b->slots, b->dev, &b->model->config, 1, &diag), &diag);
    ok(lf_exec_new(&b->exec, b->stream, b->model, b->slots, &limits, &diag), &diag);
    ok(lf_adapter_new(&b->adapter, &b->model->config, &lora, 1, &diag), &diag);
    for (size_t i = 0; i < b->adapter->shape.n_params; i++) /* B too, so that A has a slope */
        b->adapter->params[i] = 0.15f * uniform(i, 1);
    ok(lf_slots_load(b->slots, b->stream, &b->slot, b->adapter, LF_SLOT_TRAINS, &diag), &diag);
    make_batch(b);
}

static void bench_close(struct bench *b)
{
    lf_adapter_free(b->adapter);
    lf_exec_free(b->exec);
    lf_slots_free(b->slots);
    lf_model_free(b->model);
    lf_stream_free(b->stream);
    lf_device_free(b->dev);
}

/* The weighted loss with the parameters [off, off + n) moved by h along direction `v`. */
static double loss_at(struct bench *b, size_t off, size_t n, uint64_t v, float h)
{
    struct lf_diag diag;
    struct lf_batch_seq seqs[N_SEQS];
    struct lf_batch_result results[N_SEQS];
    const float *p = b->adapter->params + off;
    float *moved = malloc(n * sizeof *moved), *master = b->slots->slot[b->slot].master;
    double loss = 0;
    for (size_t i = 0; i < n; i++)
        moved[i] = p[i] + h * uniform(i, v);
    lf_stream_upload(b->stream, master + off, moved, n * sizeof *moved);
    for (int s = 0; s < N_SEQS; s++) {
        seqs[s] = b->seqs[s];
        seqs[s].trains = false;
    }
    ok(lf_exec_run(b->exec, seqs, N_SEQS, results, &diag), &diag);
    for (int s = 0; s < N_SEQS; s++)
        loss += (double)seqs[s].loss_weight * results[s].loss_sum;
    lf_stream_upload(b->stream, master + off, p, n * sizeof *p);
    free(moved);
    return loss;
}

static void check_factor(struct bench *b, const char *name, const float *grad, size_t off, size_t n,
                         uint64_t v)
{
    double along = 0;
    for (size_t i = 0; i < n; i++)
        along += (double)grad[off + i] * (double)uniform(i, v);
    double wide = (loss_at(b, off, n, v, STEP) - loss_at(b, off, n, v, -STEP)) / (2 * STEP);
    double near = (loss_at(b, off, n, v, STEP / 2) - loss_at(b, off, n, v, -STEP / 2)) / STEP;
    double slope = (4 * near - wide) / 3; /* the h^2 terms cancel */
    if (!(fabs(slope - along) <= 1e-3 * fabs(slope) + 1e-3))
        fail_msg("%s: the gradient says %.6f, the loss changes by %.6f", name, along, slope);
}

static float *gradient_of(struct bench *b)
{
    struct lf_diag diag;
    size_t n = b->adapter->shape.n_params;
    ok(lf_exec_run(b->exec, b->seqs, N_SEQS, NULL, &diag), &diag);
    float *grad = malloc(n * sizeof *grad);
    lf_stream_download(b->stream, grad, b->slots->slot[b->slot].grad, n * sizeof *grad);
    ok(lf_stream_wait(b->stream, &diag), &diag);
    return grad;
}

/* The weights of make_batch, given between forward and backward. */
static void weigh(void *arg, const struct lf_batch_losses *of)
{
    (void)arg;
    for (int s = 0; s < N_SEQS; s++)
        for (int i = 0; i < of[s].n; i++) {
            assert_true(of[s].weight[i] == -7 && of[s].loss[i] > 0);
            of[s].weight[i] = 1.0f + (float)s;
        }
}

static void is_the_same_weighed_later(struct bench *b, const float *grad)
{
    struct lf_diag diag;
    struct lf_batch_seq seqs[N_SEQS];
    size_t bytes = b->adapter->shape.n_params * sizeof *grad;
    float *got = malloc(bytes);
    for (int s = 0; s < N_SEQS; s++) {
        seqs[s] = b->seqs[s];
        seqs[s].loss_weight = -7;
    }
    lf_stream_zero(b->stream, b->slots->slot[b->slot].grad, bytes);
    ok(lf_exec_run_weighed(b->exec, seqs, N_SEQS, weigh, NULL, NULL, &diag), &diag);
    lf_stream_download(b->stream, got, b->slots->slot[b->slot].grad, bytes);
    ok(lf_stream_wait(b->stream, &diag), &diag);
    assert_memory_equal(got, grad, bytes);
    free(got);
}

static void is_the_slope(void **state)
{
    struct bench b = {0};
    bench_open(&b, *state, 0, LF_RECOMPUTE_NONE, 0, NULL);
    const struct lf_config *c = &b.model->config;
    const struct lf_adapter_shape *s = &b.adapter->shape;
    float *grad = gradient_of(&b);
    double size = 0;
    for (size_t i = 0; i < s->n_params; i++)
        size += (double)grad[i] * (double)grad[i];
    assert_true(size > 0.01);
    for (int i = 0; i < s->n_sites; i++) {
        const struct lf_proj *p = &c->proj[i % c->n_proj];
        char name[LF_SITE_NAME_MAX];
        lf_adapter_site_name(name, c, i);
        check_factor(&b, name, grad, s->a_off[i], (size_t)(RANK * p->K), (uint64_t)(2 * i + 10));
        check_factor(&b, name, grad, s->b_off[i], (size_t)(RANK * p->N), (uint64_t)(2 * i + 11));
    }
    is_the_same_weighed_later(&b, grad);
    free(grad);
    bench_close(&b);
}

static void check_gradient(struct bench *b, const float *grad)
{
    size_t bytes = b->adapter->shape.n_params * sizeof *grad;
    float *got = gradient_of(b);
    assert_memory_equal(got, grad, bytes);
    free(got);
    lf_stream_zero(b->stream, b->slots->slot[b->slot].grad, bytes);
}

/* Twice the same gradient, and the device memory that activations take. */
static size_t check_same(const char *text, const float *grad, enum lf_recompute recompute,
                         size_t memory_bytes)
{
    struct bench b = {0};
    struct lf_exec_memory m;
    bench_open(&b, text, LAYERS, recompute, memory_bytes, NULL);
    assert_int_equal(lf_exec_recomputes(b.exec), LF_RECOMPUTE_BLOCK);
    for (int i = 0; i < 2; i++)
        check_gradient(&b, grad);
    lf_exec_memory(b.exec, &m);
    assert_int_equal(m.host, 0);
    bench_close(&b);
    return m.activations + m.saved + m.logits + m.scratch;
}

/* However many blocks wait in host memory, also where there is less of it than was planned. */
static size_t check_offload(const char *text, const float *grad, enum lf_recompute recompute,
                            size_t memory_bytes)
{
    struct bench b = {0};
    struct lf_exec_memory m;
    struct lf_diag why;
    uint64_t limit = 1 << 20;
    struct lf_budget *host = lf_budget_new(limit, "a test");
    bench_open(&b, text, LAYERS, recompute, memory_bytes, host);
    const struct lf_config *c = &b.model->config;
    bool waits = !c->parallel_block && !lf_config_post_norms(c);
    assert_int_equal(lf_exec_recomputes(b.exec), waits ? LF_RECOMPUTE_OFFLOAD : LF_RECOMPUTE_BLOCK);
    lf_exec_memory(b.exec, &m);
    assert_int_equal(m.host > 0, waits);
    for (uint64_t had = 0, now = 1; had != now;) {
        check_gradient(&b, grad);
        had = lf_budget_used(host);
        ok(lf_exec_host_take(b.exec, 1, &why), &why);
        now = lf_budget_used(host);
    }
    assert_int_equal(lf_budget_used(host), m.host);
    lf_exec_host_give(b.exec);
    assert_int_equal(lf_budget_used(host), 0);
    check_gradient(&b, grad);
    uint64_t others = limit - m.host + (waits ? 1 : 0); /* a block's is not there */
    ok(lf_budget_take(host, others, 0, "others need", &why), &why);
    assert_int_equal(lf_exec_host_take(b.exec, LAYERS, &why), waits ? LF_E_OVERLOADED : LF_OK);
    ok(lf_exec_host_take(b.exec, LAYERS, &why), &why); /* asked once */
    check_gradient(&b, grad);
    bench_close(&b);
    assert_int_equal(lf_budget_used(host), others);
    lf_budget_free(host);
    return m.activations + m.saved + m.logits + m.scratch;
}

/* However many blocks are run again. */
static void is_the_same_with_less_memory(void **state)
{
    struct bench b = {0};
    struct lf_exec_memory m;
    bench_open(&b, *state, LAYERS, LF_RECOMPUTE_NONE, 0, NULL);
    lf_exec_memory(b.exec, &m);
    size_t all = m.activations + m.saved + m.logits + m.scratch;
    float *grad = gradient_of(&b);
    assert_false(lf_exec_recomputes(b.exec));
    bench_close(&b);
    size_t least = check_same(*state, grad, LF_RECOMPUTE_BLOCK, 0);
    size_t some = check_same(*state, grad, LF_RECOMPUTE_AUTO, (least + all) / 2);
    assert_true(least < some && some <= (least + all) / 2);
    assert_int_equal(check_same(*state, grad, LF_RECOMPUTE_AUTO, least), least);
    assert_true(check_offload(*state, grad, LF_RECOMPUTE_OFFLOAD, 0) < some);
    assert_true(check_offload(*state, grad, LF_RECOMPUTE_AUTO, some) <= some);
    free(grad);
}

#define N_SHAPES (sizeof shapes / sizeof *shapes)

int main(void)
{
    struct CMUnitTest tests[2 * N_SHAPES];
    for (size_t i = 0; i < 2 * N_SHAPES; i++)
        tests[i] =
            (struct CMUnitTest){.name = shapes[i / 2].name,
                                .test_func = i % 2 ? is_the_same_with_less_memory : is_the_slope,
                                .initial_state = (void *)(uintptr_t)shapes[i / 2].config};
    return _cmocka_run_group_tests("block gradients", tests, 2 * N_SHAPES, NULL, NULL);
}
