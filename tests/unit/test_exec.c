/* LIBS: lf_model lf_gpu lf_core */
/* The exec's edges: limits, what a batch may be, pages, memory by plan. What it computes is
 * tests/vectors'. */
#include "tests/unit/tiny.h"

#include "model/exec.h"

static char dir[] = "/tmp/lf-exec-XXXXXX";
static struct lf_device *dev;
static struct lf_stream *stream;
static struct lf_model *model;
static struct lf_slots *slots;

static const struct lf_exec_limits limits = {.tokens_max = 40,
                                             .train_tokens_max = 40,
                                             .seqs_max = 4,
                                             .rows_max = 4,
                                             .rank_max = 4,
                                             .kv_pages = 5};

static int set_up(void **state)
{
    struct lf_diag diag;
    struct lf_model_options o = {.quant = LF_QUANT_NF4};
    (void)state;
    if (!mkdtemp(dir))
        return 1;
    tiny_write(dir, NULL);
    ok(lf_device_open(&dev, LF_DEVICE_CPU, NULL, &diag), &diag);
    ok(lf_stream_new(&stream, dev, 0, &diag), &diag);
    ok(lf_model_open(&model, stream, dir, &o, &diag), &diag);
    ok(lf_slots_new(&slots, dev, &model->config, 3, &diag), &diag);
    return 0;
}

static int tear_down(void **state)
{
    struct lf_diag diag;
    (void)state;
    lf_slots_free(slots);
    lf_model_free(model);
    lf_stream_free(stream);
    lf_device_free(dev);
    return lf_dir_remove(dir, &diag);
}

static struct lf_exec *exec_with(const struct lf_exec_limits *l)
{
    struct lf_exec *x;
    struct lf_diag diag;
    ok(lf_exec_new(&x, stream, model, slots, l, &diag), &diag);
    return x;
}

static int load(int rank, bool trains)
{
    struct lf_diag diag;
    struct lf_adapter *a;
    int slot;
    struct lf_lora_settings s = {.rank = rank, .alpha = 8, .target_modules = "q_proj,up_proj"};
    ok(lf_adapter_new(&a, &model->config, &s, 3, &diag), &diag);
    ok(lf_slots_load(slots, stream, &slot, a, trains ? LF_SLOT_TRAINS : LF_SLOT_SERVES, &diag),
       &diag);
    lf_adapter_free(a);
    return slot;
}

static void refuses_limits_out_of_range(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        int value;
        const char *word;
    } bad[] = {
        {offsetof(struct lf_exec_limits, tokens_max), 0, "tokens_max"},
        {offsetof(struct lf_exec_limits, train_tokens_max), -1, "train_tokens_max"},
        {offsetof(struct lf_exec_limits, seqs_max), LF_SEQS_MAX + 1, "seqs_max"},
        {offsetof(struct lf_exec_limits, rows_max), 0, "rows_max"},
        {offsetof(struct lf_exec_limits, rank_max), 257, "rank_max"},
        {offsetof(struct lf_exec_limits, kv_pages), -1, "kv_pages"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lf_exec_limits l = limits;
        struct lf_exec *x;
        struct lf_diag diag;
        memcpy((char *)&l + bad[i].offset, &bad[i].value, sizeof(int));
        assert_int_equal(lf_exec_new(&x, stream, model, slots, &l, &diag), LF_E_INVALID);
        assert_non_null(strstr(diag.text, bad[i].word));
    }
}

static void pages_are_counted_and_given_back(void **state)
{
    (void)state;
    struct lf_exec *x = exec_with(&limits);
    struct lf_kv_seq a = {0}, b = {0};
    assert_int_equal(lf_exec_kv_free_pages(x), 5);
    assert_int_equal(lf_exec_kv_grow(x, &a, 0), LF_OK);
    assert_int_equal(lf_exec_kv_grow(x, &a, 17), LF_OK);
    assert_int_equal(a.n_pages, 2);
    assert_int_equal(lf_exec_kv_grow(x, &a, 32), LF_OK);
    assert_int_equal(lf_exec_kv_free_pages(x), 3);
    assert_int_equal(lf_exec_kv_grow(x, &b, 49), LF_E_DEVICE_FULL);
    assert_int_equal(b.n_pages, 0);
    assert_int_equal(lf_exec_kv_grow(x, &b, 48), LF_OK);
    assert_int_equal(lf_exec_kv_grow(x, &a, 33), LF_E_DEVICE_FULL);
    assert_int_equal(a.n_pages, 2);
    lf_exec_kv_release(x, &a);
    lf_exec_kv_release(x, &a);
    lf_exec_kv_release(x, &b);
    assert_int_equal(lf_exec_kv_free_pages(x), 5);
    lf_exec_free(x);
}

static void refuses(struct lf_exec *x, const struct lf_batch_seq *seqs, int n, const char *word)
{
    struct lf_diag diag = {""};
    enum lf_err rc = lf_exec_run(x, seqs, n, NULL, &diag);
    if (rc != LF_E_INVALID || !strstr(diag.text, word))
        fail_msg("gave %s: \"%s\", not %s", lf_err_name(rc), diag.text, word);
}

static void refuses_batches_that_do_not_fit(void **state)
{
    (void)state;
    struct lf_exec *x = exec_with(&limits);
    int32_t ids[200] = {1, 2, 3}, labels[200] = {-1, 5, 6}, bad_id = 64, bad_label = -2;
    int served = load(4, false), wide = load(5, false);
    struct lf_kv_seq kv = {0};
    const struct lf_batch_seq good = {.ids = ids, .n = 3, .slot = -1};
    struct lf_batch_seq s = good, many[5] = {good, good, good, good, good};
    refuses(x, many, 5, "5 sequences");
    refuses(x, many, 0, "0 sequences");
    s.n = 0;
    refuses(x, &s, 1, "no tokens");
    s.n = 41;
    refuses(x, &s, 1, "41 tokens");
    s.n = 129;
    refuses(x, &s, 1, "128 positions");
    s = good;
    s.ids = &bad_id;
    s.n = 1;
    refuses(x, &s, 1, "token id 64");
    s = good;
    s.labels = &bad_label;
    s.n = 1;
    refuses(x, &s, 1, "label -2");
    s = good;
    s.slot = 2;
    refuses(x, &s, 1, "slot 2 is empty");
    s.slot = 7;
    refuses(x, &s, 1, "slot 7");
    s.slot = wide;
    refuses(x, &s, 1, "rank 5");
    s.slot = served;
    s.trains = true;
    refuses(x, &s, 1, "no labels");
    s.labels = labels;
    refuses(x, &s, 1, "no gradients");
    s = good;
    s.kv = &kv;
    refuses(x, &s, 1, "no pages");
    s.labels = labels;
    refuses(x, &s, 1, "labels");
    assert_int_equal(kv.n_tokens, 0);
    lf_slots_unload(slots, stream, served);
    lf_slots_unload(slots, stream, wide);
    lf_exec_free(x);
}

static void labels_that_carry_no_loss_are_no_trouble(void **state)
{
    (void)state;
    struct lf_exec *x = exec_with(&limits);
    struct lf_diag diag;
    struct lf_batch_result r = {1, 1};
    int32_t ids[3] = {1, 2, 3}, none[3] = {-1, -1, -1};
    int slot = load(4, true);
    struct lf_batch_seq s = {
        .ids = ids, .n = 3, .slot = slot, .labels = none, .trains = true, .loss_weight = 1};
    ok(lf_exec_run(x, &s, 1, &r, &diag), &diag);
    assert_true(r.loss_sum == 0 && r.n_supervised == 0);
    const float *grad = slots->slot[slot].grad; /* host memory on this device */
    for (size_t i = 0; i < slots->slot[slot].shape.n_params; i++)
        assert_true(grad[i] == 0);
    lf_slots_unload(slots, stream, slot);
    lf_exec_free(x);
}

/* A step put on the stream before the host has the tokens of the one before. */
static void a_run_goes_on_from_tokens_that_are_not_fetched(void **state)
{
    (void)state;
    struct lf_exec *x = exec_with(&limits);
    struct lf_diag diag;
    int32_t ids[3] = {1, 2, 3}, drawn = LF_DRAWN(0), beyond = LF_DRAWN(1), next[2], out[2];
    float logits[2][64];
    int which = 0;
    for (int way = 0; way < 2; way++) {
        struct lf_kv_seq kv = {0};
        struct lf_sample_params p = {.top_p = 1, .repetition_penalty = 1};
        ok(lf_exec_kv_grow(x, &kv, 4), &diag);
        struct lf_batch_seq s = {.ids = ids, .n = 3, .kv = &kv, .slot = -1};
        const struct lf_exec_wish wish = {.which = &which, .params = &p, .n = 1};
        const struct lf_exec_tokens first = {.ids = &next[way]}, second = {.ids = &out[way]};
        ok(lf_exec_run(x, &s, 1, NULL, &diag), &diag);
        ok(lf_exec_draw(x, &wish, &diag), &diag);
        if (way == 0)
            ok(lf_exec_drawn(x, &first, &diag), &diag);
        s.n = 1;
        s.ids = &beyond;
        assert_int_equal(lf_exec_run(x, &s, 1, NULL, &diag), LF_E_INVALID);
        s.ids = way == 0 ? &next[0] : &drawn;
        ok(lf_exec_run(x, &s, 1, NULL, &diag), &diag);
        ok(lf_exec_draw(x, &wish, &diag), &diag);
        if (way == 1)
            ok(lf_exec_drawn(x, &first, &diag), &diag);
        ok(lf_exec_drawn(x, &second, &diag), &diag);
        ok(lf_exec_logits(x, 0, logits[way], &diag), &diag);
        lf_exec_kv_release(x, &kv);
    }
    assert_int_equal(next[0], next[1]);
    assert_int_equal(out[0], out[1]);
    assert_memory_equal(logits[0], logits[1], sizeof *logits);
    struct lf_batch_seq uncached = {.ids = &drawn, .n = 1, .slot = -1};
    assert_int_equal(lf_exec_run(x, &uncached, 1, NULL, &diag), LF_E_INVALID);
    lf_exec_free(x);
}

static void sampling_is_checked(void **state)
{
    (void)state;
    struct lf_exec *x = exec_with(&limits);
    struct lf_diag diag;
    int32_t ids[3] = {1, 2, 3}, out[4], history[2] = {1, 2};
    float logprob[4], logits[3 * 64];
    int which = 0, other = 1;
    struct lf_batch_seq s = {.ids = ids, .n = 3, .slot = -1};
    struct lf_sample_params p = {.top_p = 1,
                                 .repetition_penalty = 2,
                                 .history_n = 2,
                                 .frequency_penalty = 0.5f,
                                 .completion_n = 1};
    ok(lf_exec_run(x, &s, 1, NULL, &diag), &diag);
    struct lf_exec_wish w = {.which = &other, .params = &p, .n = 1, .history = history};
    const struct lf_exec_tokens to = {out, logprob, NULL, NULL};
    w.n_history = 2;
    assert_int_equal(lf_exec_sample(x, &w, &to, &diag), LF_E_INVALID);
    w.which = &which;
    w.n = 0;
    assert_int_equal(lf_exec_sample(x, &w, &to, &diag), LF_E_INVALID);
    w.n = w.n_history = 1;
    assert_int_equal(lf_exec_sample(x, &w, &to, &diag), LF_E_INVALID);
    w.n_history = 2;
    p.bias_n = 1;
    assert_int_equal(lf_exec_sample(x, &w, &to, &diag), LF_E_INVALID);
    p.bias_n = 0;
    p.top_n = 1;
    assert_int_equal(lf_exec_sample(x, &w, &to, &diag), LF_E_INVALID);
    w.top_ld = LF_TOP_LOGPROBS_MAX + 1;
    assert_int_equal(lf_exec_sample(x, &w, &to, &diag), LF_E_INVALID);
    w.top_ld = p.top_n = 0;
    struct lf_exec_row row = {.at = 3, .next = 5};
    assert_int_equal(lf_exec_score(x, &row, 1, 0, &to, &diag), LF_E_INVALID);
    row = (struct lf_exec_row){.at = 2, .next = 64};
    assert_int_equal(lf_exec_score(x, &row, 1, 0, &to, &diag), LF_E_INVALID);
    ok(lf_exec_sample(x, &w, &to, &diag), &diag);
    assert_in_range(out[0], 0, 63);
    assert_true(logprob[0] < 0);
    assert_int_equal(lf_exec_logits(x, 1, logits, &diag), LF_E_INVALID);
    ok(lf_exec_logits(x, 0, logits, &diag), &diag);
    lf_exec_free(x);
}

static void auto_recomputes_when_memory_is_short(void **state)
{
    (void)state;
    struct lf_exec_limits l = limits;
    struct lf_exec_memory kept, again;
    l.recompute = LF_RECOMPUTE_NONE;
    struct lf_exec *x = exec_with(&l);
    lf_exec_memory(x, &kept);
    assert_false(lf_exec_recomputes(x));
    lf_exec_free(x);
    size_t total = kept.activations + kept.saved + kept.logits + kept.scratch;
    l.recompute = LF_RECOMPUTE_AUTO;
    l.memory_bytes = total + 256; /* a list of more pages takes a line more */
    x = exec_with(&l);
    assert_false(lf_exec_recomputes(x));
    lf_exec_free(x);
    l.kv_pages *= 8; /* the cache is not what the ceiling is for */
    x = exec_with(&l);
    assert_false(lf_exec_recomputes(x));
    lf_exec_free(x);
    l.kv_pages /= 8;
    l.memory_bytes = total - 4096;
    x = exec_with(&l);
    lf_exec_memory(x, &again);
    assert_true(lf_exec_recomputes(x));
    assert_true(again.saved < kept.saved);
    assert_int_equal(again.kv, kept.kv);
    lf_exec_free(x);
}

static void says_how_much_memory_it_wanted(void **state)
{
    (void)state;
    struct lf_device_options o = {.memory_bytes = 8 << 20};
    struct lf_exec_limits l = limits;
    struct lf_device *small;
    struct lf_stream *s;
    struct lf_model *m;
    struct lf_slots *t;
    struct lf_exec *x;
    struct lf_diag diag;
    struct lf_model_options mo = {.quant = LF_QUANT_NF4};
    struct lf_device_info before, after;
    ok(lf_device_open(&small, LF_DEVICE_CPU, &o, &diag), &diag);
    ok(lf_stream_new(&s, small, 0, &diag), &diag);
    ok(lf_model_open(&m, s, dir, &mo, &diag), &diag);
    ok(lf_slots_new(&t, small, &m->config, 1, &diag), &diag);
    l.kv_pages = 100000;
    lf_device_info(small, &before);
    assert_int_equal(lf_exec_new(&x, s, m, t, &l, &diag), LF_E_DEVICE_FULL);
    assert_non_null(strstr(diag.text, "100000 KV pages"));
    lf_device_info(small, &after);
    assert_int_equal(before.memory_used, after.memory_used);
    lf_slots_free(t);
    lf_model_free(m);
    lf_stream_free(s);
    lf_device_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_limits_out_of_range),
        cmocka_unit_test(pages_are_counted_and_given_back),
        cmocka_unit_test(refuses_batches_that_do_not_fit),
        cmocka_unit_test(labels_that_carry_no_loss_are_no_trouble),
        cmocka_unit_test(a_run_goes_on_from_tokens_that_are_not_fetched),
        cmocka_unit_test(sampling_is_checked),
        cmocka_unit_test(auto_recomputes_when_memory_is_short),
        cmocka_unit_test(says_how_much_memory_it_wanted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
