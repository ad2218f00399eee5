/* LIBS: lf_model */
/* Pages that are kept: who begins as another one did does not read that again, and gets what it
 * would have got. */
#include "tests/lib/tiny.h"

#include "core/clock.h"
#include "core/rng.h"
#include "model/generate.h"

#include <stdlib.h>

#define PAGE LF_KV_PAGE_TOKENS
#define PAGES 6

static const struct lf_exec_limits small = {
    .tokens_max = 64, .seqs_max = 4, .rows_max = 4, .rank_max = 4, .kv_pages = PAGES};

/* ---- The pages themselves -------------------------------------------------------------------- */

/* A sequence that has read n of these tokens. */
static struct lf_kv_seq read_by(struct lf_exec *x, uint64_t owner, const int32_t *ids, int n)
{
    struct lf_kv_seq s = {.owner = owner, .planned = n};
    lf_exec_kv_find(x, &s, ids, n);
    assert_int_equal(lf_exec_kv_grow(x, &s, n), LF_OK);
    s.n_tokens = n;
    lf_exec_kv_keep(x, &s, ids, n);
    return s;
}

static int found(struct lf_exec *x, uint64_t owner, const int32_t *ids, int n)
{
    struct lf_kv_seq s = {.owner = owner, .planned = n};
    lf_exec_kv_find(x, &s, ids, n);
    int tokens = s.n_tokens;
    lf_exec_kv_release(x, &s);
    return tokens;
}

static void count_up(int32_t *ids, int n, int from)
{
    for (int i = 0; i < n; i++)
        ids[i] = from + i;
}

static void what_is_kept_is_found_by_its_owner_alone(void **state)
{
    (void)state;
    struct tiny t;
    int32_t ids[4 * PAGE], other[4 * PAGE];
    count_up(ids, 4 * PAGE, 1);
    memcpy(other, ids, sizeof ids);
    other[2 * PAGE - 1] = 500;
    tiny_open(&t, LF_DEVICE_CPU, 1, &small);
    struct lf_kv_seq a = read_by(t.exec, 7, ids, 3 * PAGE + 4);
    assert_int_equal(a.n_kept, 3);
    assert_int_equal(found(t.exec, 7, ids, 4 * PAGE), 3 * PAGE);
    assert_int_equal(found(t.exec, 7, ids, 3 * PAGE), 2 * PAGE); /* the last token is run */
    assert_int_equal(found(t.exec, 7, ids, PAGE - 1), 0);
    assert_int_equal(found(t.exec, 7, other, 4 * PAGE), PAGE);
    assert_int_equal(found(t.exec, 7, ids + PAGE, 3 * PAGE), 0); /* elsewhere in the text */
    assert_int_equal(found(t.exec, 8, ids, 4 * PAGE), 0);
    assert_int_equal(found(t.exec, 0, ids, 4 * PAGE), 0);
    lf_exec_kv_release(t.exec, &a);
    assert_int_equal(lf_exec_kv_idle_pages(t.exec), 3);
    assert_int_equal(lf_exec_kv_free_pages(t.exec), PAGES);
    assert_int_equal(found(t.exec, 7, ids, 4 * PAGE), 3 * PAGE);
    lf_exec_kv_forget(t.exec, 8);
    assert_int_equal(found(t.exec, 7, ids, 4 * PAGE), 3 * PAGE);
    lf_exec_kv_forget(t.exec, 7);
    assert_int_equal(found(t.exec, 7, ids, 4 * PAGE), 0);
    assert_int_equal(lf_exec_kv_idle_pages(t.exec), 0);
    assert_int_equal(lf_exec_kv_free_pages(t.exec), PAGES);
    tiny_close(&t);
}

/* Two that read the same at once hold one page for it from then on. */
static void equal_pages_become_one(void **state)
{
    (void)state;
    struct tiny t;
    int32_t ids[3 * PAGE];
    count_up(ids, 3 * PAGE, 1);
    tiny_open(&t, LF_DEVICE_CPU, 1, &small);
    struct lf_kv_seq s[2] = {{.owner = 1}, {.owner = 1}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lf_exec_kv_grow(t.exec, &s[i], 2 * PAGE + 1), LF_OK);
        s[i].n_tokens = 2 * PAGE + 1;
    }
    assert_int_equal(lf_exec_kv_free_pages(t.exec), 0);
    for (int i = 0; i < 2; i++)
        lf_exec_kv_keep(t.exec, &s[i], ids, 2 * PAGE + 1);
    assert_memory_equal(s[0].pages, s[1].pages, 2 * sizeof(int32_t));
    assert_int_not_equal(s[0].pages[2], s[1].pages[2]);
    assert_int_equal(lf_exec_kv_free_pages(t.exec), 2);
    lf_exec_kv_release(t.exec, &s[0]);
    assert_int_equal(lf_exec_kv_free_pages(t.exec), 3);
    lf_exec_kv_release(t.exec, &s[1]);
    assert_int_equal(lf_exec_kv_free_pages(t.exec), PAGES);
    assert_int_equal(lf_exec_kv_idle_pages(t.exec), 2);
    tiny_close(&t);
}

static void the_longest_idle_page_goes_first(void **state)
{
    (void)state;
    struct tiny t;
    int32_t a[2 * PAGE + 1], b[2 * PAGE + 1];
    count_up(a, 2 * PAGE + 1, 1);
    count_up(b, 2 * PAGE + 1, 101);
    tiny_open(&t, LF_DEVICE_CPU, 1, &small);
    struct lf_kv_seq s = read_by(t.exec, 1, a, 2 * PAGE);
    lf_exec_kv_release(t.exec, &s);
    s = read_by(t.exec, 1, b, 2 * PAGE);
    lf_exec_kv_release(t.exec, &s);
    assert_int_equal(found(t.exec, 1, a, 2 * PAGE + 1), 2 * PAGE); /* used: b is the oldest */
    struct lf_kv_seq big = {0};
    assert_int_equal(lf_exec_kv_grow(t.exec, &big, 3 * PAGE), LF_OK);
    assert_int_equal(found(t.exec, 1, b, 2 * PAGE + 1), PAGE); /* its end went, not its beginning */
    assert_int_equal(found(t.exec, 1, a, 2 * PAGE + 1), 2 * PAGE);
    assert_int_equal(lf_exec_kv_grow(t.exec, &big, 6 * PAGE), LF_OK);
    assert_int_equal(found(t.exec, 1, a, 2 * PAGE + 1), 0);
    assert_int_equal(lf_exec_kv_grow(t.exec, &big, 6 * PAGE + 1), LF_E_DEVICE_FULL);
    lf_exec_kv_release(t.exec, &big);
    assert_int_equal(lf_exec_kv_idle_pages(t.exec), 0);
    tiny_close(&t);
}

/* What is forgotten while it is held is not found, and what comes after it is not kept. */
static void forgetting_ends_the_keeping(void **state)
{
    (void)state;
    struct tiny t;
    int32_t ids[3 * PAGE + 1];
    count_up(ids, 3 * PAGE + 1, 1);
    tiny_open(&t, LF_DEVICE_CPU, 1, &small);
    struct lf_kv_seq s = read_by(t.exec, 1, ids, PAGE + 3);
    lf_exec_kv_forget(t.exec, 1);
    assert_int_equal(lf_exec_kv_grow(t.exec, &s, 3 * PAGE), LF_OK);
    s.n_tokens = 3 * PAGE;
    lf_exec_kv_keep(t.exec, &s, ids, 3 * PAGE);
    assert_int_equal(found(t.exec, 1, ids, 3 * PAGE + 1), 0);
    lf_exec_kv_release(t.exec, &s);
    assert_int_equal(lf_exec_kv_idle_pages(t.exec), 0);
    assert_int_equal(lf_exec_kv_free_pages(t.exec), PAGES);
    tiny_close(&t);
}

/* ---- Answers --------------------------------------------------------------------------------- */

#define N_REQUESTS 60
#define N_TOKENS 12
#define PROMPT_MAX 80
#define OWNERS 3 /* the base and two adapters */

static struct wanted {
    int32_t ids[PROMPT_MAX];
    int n, owner; /* the base is 0 */
    int32_t answer[N_TOKENS];
} wanted[N_REQUESTS];

/* Of a few beginnings, cut anywhere, and ends of their own. */
static void make_requests(void)
{
    for (int i = 0; i < N_REQUESTS; i++) {
        struct wanted *w = &wanted[i];
        uint64_t beginning = lf_rng_u32(1, (uint64_t)i, 0) % 3;
        int shared = (int)(lf_rng_u32(2, (uint64_t)i, 0) % 70);
        w->n = shared + 1 + (int)(lf_rng_u32(3, (uint64_t)i, 0) % 10);
        w->owner = (int)(lf_rng_u32(4, (uint64_t)i, 0) % OWNERS);
        for (int k = 0; k < w->n; k++)
            w->ids[k] = 2 + (int32_t)(lf_rng_u32(k < shared ? 5 : 6, (uint64_t)k,
                                                 k < shared ? beginning : (uint64_t)i) %
                                      500);
    }
}

static int load_adapter(struct tiny *t, uint64_t seed)
{
    struct lf_diag diag = {""};
    struct lf_adapter *a;
    int slot;
    struct lf_lora_settings s = {.rank = 4, .alpha = 64, .target_modules = "q_proj,v_proj"};
    must(lf_adapter_new(&a, &t->model->config, &s, seed, &diag), &diag);
    for (size_t i = 0; i < a->shape.n_params; i++)
        a->params[i] = 0.2f * (lf_rng_unit(lf_rng_u32(seed, i, 1)) - 0.5f);
    must(lf_slots_load(t->slots, t->stream, &slot, a, LF_SLOT_SERVES, &diag), &diag);
    lf_adapter_free(a);
    return slot;
}

static void hear(const struct lf_gen_token *out, int n, int32_t (*answers)[N_TOKENS], int *ended)
{
    for (int k = 0; k < n; k++) {
        answers[(struct wanted *)out[k].user - wanted][out[k].index] = out[k].token;
        *ended += out[k].finish != LF_FINISH_NONE;
    }
}

/* All requests; with `keeps`, what others have read is used. Tells how much of them was. */
static struct lf_gen_status answer_all(int32_t (*answers)[N_TOKENS], int pages, bool ahead,
                                       bool keeps)
{
    struct tiny t;
    struct lf_diag diag = {""};
    struct lf_exec_limits l = small;
    struct lf_gen_limits gl = {.ahead = ahead};
    struct lf_gen *g;
    struct lf_gen_status st;
    int slots[OWNERS] = {-1};
    l.kv_pages = pages;
    tiny_open(&t, LF_DEVICE_CPU, OWNERS - 1, &l);
    for (int i = 1; i < OWNERS; i++)
        slots[i] = load_adapter(&t, (uint64_t)i);
    must(lf_gen_new(&g, t.exec, t.model, &gl, &diag), &diag);
    for (int next = 0, ended = 0; ended < N_REQUESTS;) {
        struct lf_gen_token out[8];
        int n;
        for (lf_gen_status(g, &st); next < N_REQUESTS && st.live < 4; lf_gen_status(g, &st)) {
            struct wanted *w = &wanted[next++];
            uint64_t id;
            struct lf_gen_request r = {.ids = w->ids,
                                       .n = w->n,
                                       .slot = slots[w->owner],
                                       .owner = keeps ? (uint64_t)w->owner + 1 : 0,
                                       .sample = lf_sample_greedy(),
                                       .max_tokens = N_TOKENS,
                                       .ignore_eos = true,
                                       .user = w};
            must(lf_gen_add(g, &r, &id, &diag), &diag);
        }
        must(lf_gen_step(g, 0, out, &n, &diag), &diag);
        hear(out, n, answers, &ended);
    }
    lf_gen_status(g, &st);
    assert_int_equal(st.pages_free, pages);
    lf_gen_free(g);
    tiny_close(&t);
    return st;
}

static void answers_are_those_of_reading_all(void **state)
{
    (void)state;
    static const int pages[] = {200, 40, 12, 6};
    static int32_t plain[N_REQUESTS][N_TOKENS], got[N_REQUESTS][N_TOKENS];
    make_requests();
    struct lf_gen_status read = answer_all(plain, 200, false, false);
    assert_int_equal(read.cached_tokens, 0);
    assert_int_equal(read.pages_idle, 0);
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        for (int ahead = 0; ahead < 2; ahead++) {
            memset(got, 0, sizeof got);
            struct lf_gen_status st = answer_all(got, pages[i], ahead, true);
            print_message("%d pages%s: %d tokens read, %d found, %d times preempted\n", pages[i],
                          ahead ? ", ahead" : "", (int)st.prompt_tokens, (int)st.cached_tokens,
                          (int)st.preempted);
            assert_memory_equal(got, plain, sizeof plain);
            assert_true(st.cached_tokens > 0);
            if (st.preempted == 0)
                assert_int_equal(st.prompt_tokens + st.cached_tokens, read.prompt_tokens);
        }
}

/* ---- At once --------------------------------------------------------------------------------- */

#define AT_ONCE 4
#define TAIL 5
#define SHARED (3 * PAGE)

/* What AT_ONCE requests that come together and begin alike have read and found when all have
 * answered, with so many tokens of prompts a step; the last one may be another owner's. */
static struct lf_gen_status ask_at_once(int prefill_max, bool stranger, int *steps)
{
    struct tiny t;
    struct lf_diag diag = {""};
    struct lf_exec_limits l = small;
    const struct lf_gen_limits gl = {0};
    struct lf_gen *g;
    struct lf_gen_status st;
    int ended = 0;
    l.kv_pages = 40;
    tiny_open(&t, LF_DEVICE_CPU, 1, &l);
    must(lf_gen_new(&g, t.exec, t.model, &gl, &diag), &diag);
    for (int i = 0; i < AT_ONCE; i++) {
        int32_t ids[SHARED + TAIL];
        uint64_t id;
        count_up(ids, SHARED, 1);
        count_up(ids + SHARED, TAIL, 200 + 10 * i);
        struct lf_gen_request r = {.ids = ids,
                                   .n = SHARED + TAIL,
                                   .slot = -1,
                                   .owner = 1 + (stranger && i == AT_ONCE - 1),
                                   .sample = lf_sample_greedy(),
                                   .max_tokens = 1};
        must(lf_gen_add(g, &r, &id, &diag), &diag);
    }
    for (*steps = 0; ended < AT_ONCE; ++*steps) {
        struct lf_gen_token out[AT_ONCE];
        int n;
        must(lf_gen_step(g, prefill_max, out, &n, &diag), &diag);
        ended += n;
    }
    lf_gen_status(g, &st);
    lf_gen_free(g);
    tiny_close(&t);
    return st;
}

static void what_several_begin_with_at_once_is_read_once(void **state)
{
    (void)state;
    int steps;
    struct lf_gen_status st = ask_at_once(0, false, &steps);
    assert_int_equal(st.prompt_tokens, SHARED + AT_ONCE * TAIL);
    assert_int_equal(st.cached_tokens, (AT_ONCE - 1) * SHARED);
    assert_int_equal(steps, 2);
    st = ask_at_once(20, false, &steps); /* in pieces: 20, 20, 13, 15 */
    assert_int_equal(st.prompt_tokens, SHARED + AT_ONCE * TAIL);
    assert_int_equal(steps, 4);
    st = ask_at_once(0, true, &steps); /* another's is read beside it, and again */
    assert_int_equal(st.prompt_tokens, 2 * SHARED + AT_ONCE * TAIL);
    assert_int_equal(steps, 2);
}

/* ---- Time ------------------------------------------------------------------------------------ */

#define LONG 1000

/* Seconds to the first token. */
static double first_token(struct lf_gen *g, const int32_t *ids, int *n_cached)
{
    struct lf_diag diag = {""};
    struct lf_gen_request r = {.ids = ids,
                               .n = LONG,
                               .slot = -1,
                               .owner = 1,
                               .sample = lf_sample_greedy(),
                               .max_tokens = 1};
    struct lf_gen_token out[4];
    uint64_t id, begin = lf_clock_ns();
    int n = 0;
    must(lf_gen_add(g, &r, &id, &diag), &diag);
    while (n == 0)
        must(lf_gen_step(g, 0, out, &n, &diag), &diag);
    *n_cached = out[0].n_cached;
    return (double)(lf_clock_ns() - begin) / 1e9;
}

/* The same but for its end: a fifth of the time at the most. */
static void a_long_prompt_is_read_once(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_diag diag = {""};
    struct lf_exec_limits l = {
        .tokens_max = 256, .seqs_max = 1, .rows_max = 1, .rank_max = 1, .kv_pages = 80};
    struct lf_gen_limits gl = {0};
    struct lf_gen *g;
    int32_t ids[LONG];
    int n_cached;
    tiny_open_as(&t,
                 "{\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":128,"
                 "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
                 "\"vocab_size\":512,\"max_position_embeddings\":2048,\"rms_norm_eps\":1e-5,"
                 "\"tie_word_embeddings\":true}",
                 LF_DEVICE_CPU, NULL, 1, &l);
    must(lf_gen_new(&g, t.exec, t.model, &gl, &diag), &diag);
    for (int i = 0; i < LONG; i++)
        ids[i] = 2 + i % 500;
    double first = first_token(g, ids, &n_cached), second = 1e9;
    assert_int_equal(n_cached, 0);
    for (int i = 0; i < 3; i++) {
        ids[LONG - 5] = 2 + i;
        double s = first_token(g, ids, &n_cached);
        assert_int_equal(n_cached, (LONG - 5) / PAGE * PAGE);
        second = s < second ? s : second;
    }
    print_message("first %.2f ms, second %.2f ms\n", first * 1e3, second * 1e3);
    assert_true(second < 0.2 * first);
    lf_gen_free(g);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_is_found_by_its_owner_alone),
        cmocka_unit_test(equal_pages_become_one),
        cmocka_unit_test(the_longest_idle_page_goes_first),
        cmocka_unit_test(forgetting_ends_the_keeping),
        cmocka_unit_test(answers_are_those_of_reading_all),
        cmocka_unit_test(what_several_begin_with_at_once_is_read_once),
        cmocka_unit_test(a_long_prompt_is_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
