/* LIBS: lf_daemon lf_trainer lf_model lf_gpu lf_meta lf_core */
/* The engine on the embedded base: generations in company, adapters that take turns in a slot,
 * cancels, full queues, and trainings beside serving that survive a stop. */
#include "tests/unit/engine_rig.h"

#include "daemon/engine/plan.h"

static void company_does_not_change_an_answer(void **state)
{
    struct bench *b = *state;
    engine_up(b);
    struct lf_ids alone = {0};
    assert_int_equal(hear(ask(b, &no_adapter, 8), &alone), LF_OK);
    assert_int_equal(alone.n, 8);
    struct lf_generation *many[12];
    for (int i = 0; i < 12; i++)
        many[i] = ask(b, &no_adapter, 8);
    for (int i = 0; i < 12; i++) {
        struct lf_ids got = {0};
        assert_int_equal(hear(many[i], &got), LF_OK);
        assert_int_equal(got.n, alone.n);
        assert_memory_equal(got.ids, alone.ids, alone.n * sizeof *alone.ids);
        lf_ids_free(&got);
    }
    lf_ids_free(&alone);
}

/* How often its reader comes back from waiting, for an answer of 40 tokens. */
static int wakes(struct bench *b, bool whole)
{
    struct lf_diag diag = {""};
    struct lf_generation *g;
    struct lf_generate_spec s = spec(&no_adapter, 40);
    struct lf_generation_news news;
    struct lf_generated some[40];
    int n = 0, tokens = 0;
    s.whole = whole;
    must(lf_engine_generate(b->engine, &s, &g, &diag), &diag);
    do {
        lf_generation_take(g, some, 40, 60000, &news, &diag);
        tokens += news.n;
        n++;
    } while (!news.ended);
    assert_int_equal(tokens, 40);
    lf_generation_release(g);
    return n;
}

static void who_wants_the_whole_answer_is_woken_once(void **state)
{
    struct bench *b = *state;
    engine_up(b);
    assert_int_equal(wakes(b, true), 1);
    assert_true(wakes(b, false) > 1);
}

/* A prompt of 1,500 tokens fits one step, which would hold up the stream beside it for all its
 * length. */
static void a_long_prompt_leaves_a_stream_its_pace(void **state)
{
    struct bench *b = *state;
    struct lf_diag diag = {""};
    static int32_t words[1500];
    for (int i = 0; i < 1500; i++)
        words[i] = 2 + i % 500;
    b->options.batch_tokens_max = 2048;
    engine_up(b);
    struct lf_generate_spec s = spec(&no_adapter, 1);
    struct lf_generation *stream = ask(b, &no_adapter, 1500), *long_one;
    struct lf_generated some[64];
    struct lf_generation_news news;
    for (int heard = 0; heard < 40; heard += news.n) /* costs are known by then */
        lf_generation_take(stream, some, 64, 1000, &news, &diag);
    s.ids = words;
    s.n = 1500;
    s.whole = true;
    int between = 0;
    must(lf_engine_generate(b->engine, &s, &long_one, &diag), &diag);
    do {
        lf_generation_take(stream, some, 64, 1000, &news, &diag);
        between += news.n;
        lf_generation_take(long_one, some, 64, 0, &news, &diag);
    } while (!news.ended);
    print_message("%d tokens of a stream while a prompt was read\n", between);
    assert_true(between > 15);
    lf_generation_release(long_one);
    lf_generation_release(stream);
}

static void await_live(struct bench *b, int n)
{
    struct lf_engine_status status;
    do {
        poll(NULL, 0, 1);
        lf_engine_status(b->engine, &status);
    } while (status.gen.live < n);
}

/* More of one adapter's, or one key's, requests than fit the device, none of which ends soon: the
 * next of another is answered before any of them. */
static void flood(struct bench *b, const struct lf_pick *pick, uint64_t key)
{
    enum { FLOOD = 160, TOKENS = 1000 };
    struct lf_diag diag = {""};
    struct lf_generation *g[FLOOD], *mine;
    struct lf_generation_times my, its;
    struct lf_generation_news news;
    struct lf_generated one;
    int before_mine = 0;
    for (int i = 0; i < FLOOD; i++) {
        struct lf_generate_spec s = spec(pick, TOKENS);
        s.key = key;
        must(lf_engine_generate(b->engine, &s, &g[i], &diag), &diag);
    }
    await_live(b, 128);
    mine = ask(b, &no_adapter, 1);
    do
        lf_generation_take(mine, &one, 1, 1000, &news, &diag);
    while (!news.ended);
    assert_int_equal(news.rc, LF_OK);
    lf_generation_times(mine, &my);
    for (int i = 0; i < FLOOD; i++) {
        lf_generation_times(g[i], &its);
        before_mine += its.ended > 0 && its.ended < my.ended;
        lf_generation_release(g[i]);
    }
    assert_int_equal(before_mine, 0);
    lf_generation_release(mine);
}

static void a_flood_of_one_leaves_others_their_turn(void **state)
{
    struct bench *b = *state;
    struct lf_pick pick = {.id = 1, .version = 1};
    snprintf(pick.dir, sizeof pick.dir, "%s/peft", b->rig.dir);
    rig_peft(&b->rig, pick.dir, 1);
    engine_up(b);
    flood(b, &pick, 0);
    flood(b, &no_adapter, 7);
}

/* A key has so many waiting and no more, whatever others have, and as they get their places it may
 * send others. */
static void a_key_has_a_queue_of_its_own(void **state)
{
    enum { PLACES = 128, MAX = 5 };
    struct bench *b = *state;
    struct lf_diag diag = {""};
    struct lf_generation *live[PLACES], *g[MAX + 1], *other;
    struct lf_generate_spec s = spec(&no_adapter, 2);
    struct lf_ids ids = {0};
    engine_up(b);
    for (int i = 0; i < PLACES; i++)
        live[i] = ask(b, &no_adapter, 50);
    await_live(b, PLACES);
    s.key = 1;
    s.waiting_max = MAX;
    for (int i = 0; i < MAX; i++)
        must(lf_engine_generate(b->engine, &s, &g[i], &diag), &diag);
    assert_int_equal(lf_engine_generate(b->engine, &s, &g[MAX], &diag), LF_E_OVERLOADED);
    assert_string_equal(diag.text, "5 requests of this key wait already");
    s.key = 2;
    must(lf_engine_generate(b->engine, &s, &other, &diag), &diag);
    for (int i = 0; i < PLACES; i++)
        lf_generation_release(live[i]);
    for (int i = 0; i < MAX; i++)
        assert_int_equal(hear(g[i], &ids), LF_OK);
    assert_int_equal(hear(other, &ids), LF_OK);
    s.key = 1;
    for (int i = 0; i < MAX; i++)
        must(lf_engine_generate(b->engine, &s, &g[i], &diag), &diag);
    for (int i = 0; i < MAX; i++)
        assert_int_equal(hear(g[i], &ids), LF_OK);
    lf_ids_free(&ids);
}

static void adapters_take_turns_in_one_slot(void **state)
{
    struct bench *b = *state;
    struct lf_pick picks[2] = {{.id = 1, .version = 1}, {.id = 2, .version = 1}};
    struct lf_ids first[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        snprintf(picks[i].dir, sizeof picks[i].dir, "%s/peft%d", b->rig.dir, i);
        rig_peft(&b->rig, picks[i].dir, (uint64_t)i + 1);
    }
    engine_up(b);
    for (int turn = 0; turn < 2; turn++) {
        struct lf_generation *g[2] = {ask(b, &picks[0], 6), ask(b, &picks[1], 6)};
        for (int i = 0; i < 2; i++) {
            struct lf_ids got = {0};
            assert_int_equal(hear(g[i], &got), LF_OK);
            if (turn == 0) {
                first[i] = got;
                continue;
            }
            assert_memory_equal(got.ids, first[i].ids, got.n * sizeof *got.ids);
            lf_ids_free(&got);
        }
    }
    assert_int_not_equal(memcmp(first[0].ids, first[1].ids, 6 * sizeof *first[0].ids), 0);
    assert_true(atomic_load(&b->counters->adapters_evicted) >= 2);
    lf_ids_free(&first[0]);
    lf_ids_free(&first[1]);
    struct lf_diag diag = {""};
    for (int i = 0; i < 2; i++) /* one of them is there */
        must(lf_engine_unload(b->engine, picks[i].id, &diag), &diag);
    struct lf_engine_status s = {.slots_used = 1};
    for (uint64_t end = lf_clock_ns() + 10000000000u; s.slots_used > 0 && lf_clock_ns() < end;
         poll(NULL, 0, 5))
        lf_engine_status(b->engine, &s);
    assert_int_equal(s.slots_used, 0);
    struct lf_pick gone = {.id = 3, .version = 1, .dir = "/nowhere"};
    struct lf_ids none = {0};
    assert_int_equal(hear(ask(b, &gone, 6), &none), LF_E_NOT_FOUND);
    struct lf_ids again = {0}; /* the broken one holds no slot */
    assert_int_equal(hear(ask(b, &picks[0], 6), &again), LF_OK);
    lf_ids_free(&again);
}

/* Where all sequences are taken and end one after the other: the lowest priority has the next. */
static void who_comes_first_is_asked_of_priorities(void **state)
{
    struct bench *b = *state;
    struct lf_diag diag = {""};
    struct lf_generation *busy[128], *g[3];
    struct lf_generation_times t[3];
    struct lf_generate_spec s = spec(&no_adapter, 2);
    static const int priorities[3] = {1, 0, -1};
    engine_up(b);
    for (int i = 0; i < 128; i++)
        busy[i] = ask(b, &no_adapter, 20 + i);
    await_live(b, 128);
    for (int i = 0; i < 3; i++) {
        s.priority = priorities[i];
        must(lf_engine_generate(b->engine, &s, &g[i], &diag), &diag);
    }
    for (int i = 0; i < 3; i++) {
        struct lf_generation_news news = {0};
        struct lf_generated some[4];
        while (!news.ended)
            lf_generation_take(g[i], some, 4, 1000, &news, &diag);
        assert_int_equal(news.rc, LF_OK);
        lf_generation_times(g[i], &t[i]);
        lf_generation_release(g[i]);
    }
    assert_true(t[2].started < t[1].started && t[1].started < t[0].started);
    for (int i = 0; i < 128; i++)
        lf_generation_release(busy[i]);
}

/* Those that run, and those that wait. */
static void what_is_not_whole_by_its_deadline_ends(void **state)
{
    enum { N = 132 };
    struct bench *b = *state;
    struct lf_diag diag = {""};
    struct lf_generation *g[N];
    struct lf_generate_spec s = spec(&no_adapter, 1500);
    engine_up(b);
    s.deadline_ns = lf_clock_ns() + 300000000;
    for (int i = 0; i < N; i++)
        must(lf_engine_generate(b->engine, &s, &g[i], &diag), &diag);
    for (int i = 0; i < N; i++) {
        struct lf_ids ids = {0};
        assert_int_equal(hear(g[i], &ids), LF_E_TIMED_OUT);
        assert_true(i == 0 ? ids.n > 0 && ids.n < 1500 : i < N - 1 || ids.n == 0);
        lf_ids_free(&ids);
    }
    assert_true(lf_clock_ns() > s.deadline_ns);
}

static void a_cancelled_generation_leaves_at_once(void **state)
{
    struct bench *b = *state;
    struct lf_engine_status s;
    engine_up(b);
    struct lf_generation *g = ask(b, &no_adapter, 1500);
    struct lf_generation_news news;
    struct lf_generated some[4];
    lf_generation_take(g, some, 4, 10000, &news, NULL);
    assert_true(news.n > 0 && !news.ended);
    lf_generation_cancel(g, false);
    struct lf_ids rest = {0};
    assert_int_equal(hear(g, &rest), LF_E_CANCELLED);
    lf_ids_free(&rest);
    lf_generation_release(ask(b, &no_adapter, 1500)); /* nobody listens: the same */
    uint64_t end = lf_clock_ns() + 10000000000u;
    do {
        poll(NULL, 0, 10);
        lf_engine_status(b->engine, &s);
    } while ((s.gen.live > 0 || s.waiting > 0) && lf_clock_ns() < end);
    assert_int_equal(s.gen.live, 0);
    assert_int_equal(s.gen.pages_free, s.gen.pages);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct bench *b = *state;
    struct lf_diag diag;
    struct lf_generation *g, *held[LF_QUEUE_MAX + 256];
    struct lf_generate_spec s = spec(&no_adapter, 2045);
    engine_up(b);
    assert_int_equal(lf_engine_generate(b->engine, &s, &g, &diag), LF_E_INVALID);
    s.max_tokens = -1;
    assert_int_equal(lf_engine_generate(b->engine, &s, &g, &diag), LF_E_INVALID);
    s.max_tokens = 4;
    s.n = 0;
    assert_int_equal(lf_engine_generate(b->engine, &s, &g, &diag), LF_E_INVALID);
    s = spec(&no_adapter, 400);
    enum lf_err rc = LF_OK;
    int n = 0;
    while (rc == LF_OK && n < LF_QUEUE_MAX + 256) {
        rc = lf_engine_generate(b->engine, &s, &held[n], &diag);
        n += rc == LF_OK;
    }
    assert_int_equal(rc, LF_E_OVERLOADED);
    assert_true(n >= LF_QUEUE_MAX);
    for (int i = 0; i < n; i++)
        lf_generation_release(held[i]);
    engine_down(b);
}

/* ---- Trainings ------------------------------------------------------------------------------- */

struct heard {
    atomic_int starting, started, steps, ended;
    const char *init;  /* the training's; NULL: the usual one */
    atomic_bool holds; /* its start stands still */
    double part;       /* of it */
    int resumed;
    enum lf_err rc;
    struct lf_adapter *adapter;
};

static void on_event(void *arg, const struct lf_train_event *e)
{
    struct heard *h = arg;
    if (e->kind == LF_TRAIN_STARTING) {
        assert_true(e->part >= h->part && e->part < 1);
        h->part = e->part;
        atomic_fetch_add(&h->starting, 1);
    }
    while (atomic_load(&h->holds))
        poll(NULL, 0, 1);
    if (e->kind == LF_TRAIN_STARTED)
        h->resumed = (int)e->progress.resumed;
    atomic_fetch_add(&h->started, e->kind == LF_TRAIN_STARTED);
    atomic_fetch_add(&h->steps, e->kind == LF_TRAIN_STEP);
}

static void on_ended(void *arg, const struct lf_training_end *end)
{
    struct heard *h = arg;
    h->rc = end->rc;
    h->adapter = end->adapter;
    atomic_fetch_add(&h->ended, 1);
}

static struct lf_training *train(struct bench *b, int steps, struct heard *h)
{
    struct lf_diag diag = {""};
    struct lf_train_settings s;
    struct lf_dataset *rows = NULL;
    struct lf_training *t = NULL;
    char path[LF_PATH_MAX], checkpoint[LF_PATH_MAX];
    struct lf_buf text;
    lf_buf_init(&text, 0);
    for (int i = 0; i < 8; i++)
        lf_buf_printf(&text, "{\"prompt\":\"Item %d is\",\"completion\":\" red\"}\n", i);
    snprintf(path, sizeof path, "%s/rows.jsonl", b->rig.dir);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", b->rig.dir);
    must(lf_file_write(path, text.data, text.len, &diag), &diag);
    lf_buf_free(&text);
    lf_train_settings_default(&s);
    s.rank = 2;
    s.steps = steps;
    s.batch_size = 2;
    snprintf(s.init, sizeof s.init, "%s", h->init ? h->init : "");
    must(lf_dataset_load(&rows, path, b->rig.bases.base[0]->model, &s, false, NULL, &diag), &diag);
    must(lf_engine_train(b->engine,
                         &(struct lf_training_spec){.settings = &s,
                                                    .train = rows,
                                                    .checkpoint_dir = checkpoint,
                                                    .checkpoint_seconds = 3600,
                                                    .event = on_event,
                                                    .ended = on_ended,
                                                    .arg = h},
                         &t, &diag),
         &diag);
    lf_train_settings_free(&s);
    return t;
}

static void wait_for(atomic_int *what, int n)
{
    uint64_t end = lf_clock_ns() + 60000000000u;
    while (atomic_load(what) < n && lf_clock_ns() < end)
        poll(NULL, 0, 2);
    assert_true(atomic_load(what) >= n);
}

static void training_goes_on_beside_serving(void **state)
{
    struct bench *b = *state;
    struct heard h = {0};
    engine_up(b);
    struct lf_generation *g = ask(b, &no_adapter, 120);
    struct lf_training *t = train(b, 4, &h);
    struct lf_ids ids = {0};
    assert_int_equal(hear(g, &ids), LF_OK);
    assert_int_equal(ids.n, 120);
    wait_for(&h.ended, 1);
    assert_int_equal(h.rc, LF_OK);
    assert_int_equal(atomic_load(&h.steps), 4);
    assert_non_null(h.adapter);
    lf_adapter_free(h.adapter);
    lf_training_release(t);
    lf_ids_free(&ids);
}

static void a_training_is_cancelled_and_one_that_was_stopped_goes_on(void **state)
{
    struct bench *b = *state;
    struct heard cancelled = {0}, stopped = {0}, resumed = {0};
    engine_up(b);
    struct lf_training *t = train(b, 5000, &cancelled);
    wait_for(&cancelled.steps, 1);
    lf_training_cancel(t);
    wait_for(&cancelled.ended, 1);
    assert_int_equal(cancelled.rc, LF_E_CANCELLED);
    lf_training_release(t);
    t = train(b, 5000, &stopped);
    wait_for(&stopped.steps, 2);
    lf_engine_stop(b->engine);
    assert_int_equal(atomic_load(&stopped.ended), 1);
    assert_int_equal(stopped.rc, LF_E_INTERRUPTED);
    lf_training_release(t);
    engine_down(b);
    engine_up(b);
    t = train(b, 5000, &resumed);
    wait_for(&resumed.started, 1);
    assert_true(resumed.resumed >= 2);
    lf_training_cancel(t);
    wait_for(&resumed.ended, 1);
    lf_training_release(t);
}

/* It takes minutes for a large base: how far it is can be seen, and it can be cancelled. */
static void a_start_from_the_bases_weights_is_seen_and_cancelled(void **state)
{
    struct bench *b = *state;
    struct heard whole = {.init = "pissa_niter_1"}, cut = {.init = "pissa_niter_1", .holds = true};
    engine_up(b);
    struct lf_training *t = train(b, 1, &whole);
    wait_for(&whole.ended, 1);
    assert_int_equal(whole.rc, LF_OK);
    assert_true(atomic_load(&whole.starting) > 4 && whole.part > 0.5);
    lf_adapter_free(whole.adapter);
    lf_training_release(t);
    t = train(b, 1, &cut);
    wait_for(&cut.starting, 1);
    lf_training_cancel(t);
    atomic_store(&cut.holds, false);
    wait_for(&cut.ended, 1);
    assert_int_equal(cut.rc, LF_E_CANCELLED);
    assert_int_equal(atomic_load(&cut.starting), 1);
    assert_int_equal(atomic_load(&cut.started), 0);
    lf_training_release(t);
}

static void expect_near(uint64_t a, uint64_t b, uint64_t by)
{
    if (a > b ? a - b > by : b - a > by)
        fail_msg("%llu and %llu", (unsigned long long)a, (unsigned long long)b);
}

/* The plan on paper is what the engine takes: to the byte where one table is walked, to the
 * rounding of single arrays for weights, which a host device reads in their file. */
static void a_plan_on_paper_is_what_is_taken(void **state)
{
    struct bench *b = *state;
    const struct lf_config *base = &b->rig.bases.base[0]->model->config;
    const enum lf_recompute hows[] = {LF_RECOMPUTE_NONE, LF_RECOMPUTE_BLOCK, LF_RECOMPUTE_AUTO};
    for (size_t i = 0; i < sizeof hows / sizeof *hows; i++) {
        struct lf_memory_plan plan;
        struct lf_engine_status real;
        struct lf_diag diag = {""};
        b->options.quant = LF_QUANT_NF4;
        b->options.recompute = hows[i];
        b->options.gpu_memory_bytes = (int64_t)256 << 20;
        b->options.draft_dir = i == 1 ? b->rig.bases.base[0]->dir : NULL;
        must(lf_plan_layout(&plan, &b->options, base, NULL, &diag), &diag);
        engine_up(b);
        lf_engine_status(b->engine, &real);
        engine_down(b);
        assert_int_equal(plan.saved, real.plan.saved);
        assert_int_equal(plan.kv, real.plan.kv);
        assert_int_equal(plan.kv_tokens, real.plan.kv_tokens);
        assert_int_equal(plan.copies, real.plan.copies);
        assert_int_equal(plan.host, real.plan.host);
        assert_int_equal(plan.recompute, real.plan.recompute);
        uint64_t arrays = (uint64_t)lf_config_sites(base) * 8 + 64;
        expect_near(plan.weights, real.plan.weights, arrays * 256);
        expect_near(plan.draft, real.plan.draft, arrays * 256);
        expect_near(plan.working, real.plan.working, arrays * 256);
        assert_int_equal(plan.draft > 0, b->options.draft_dir != NULL);
        assert_true(plan.working > 0);
    }
}

/* Two bases that are the same, in memory for both, for one, and for none. */
static void several_bases_divide_the_memory(void **state)
{
    struct bench *b = *state;
    struct lf_base_part parts[LF_BASES_MAX];
    struct lf_diag diag = {""};
    struct lf_bases two = {.base = {b->rig.bases.base[0], b->rig.bases.base[0]}, .n = 2};
    bool pinned[LF_BASES_MAX] = {false};
    uint64_t total;
    b->options.gpu_memory_bytes = (int64_t)512 << 20;
    must(lf_plan_parts(parts, &total, &b->options, &two, pinned, NULL, &diag), &diag);
    assert_int_equal(total, (uint64_t)512 << 20);
    expect_near(parts[0].bytes, total / 2, 1);
    assert_int_equal(parts[0].bytes, parts[1].bytes);
    assert_int_equal(parts[0].context_max, b->rig.bases.base[0]->model->config.positions_max);
    assert_true(parts[0].plan.rest > 0);
    /* One at a time, with all that there is where that is no more than half as much again. */
    uint64_t least = 1 << 20;
    for (b->options.gpu_memory_bytes = 0;; least += 1 << 20) {
        b->options.gpu_memory_bytes = (int64_t)least;
        if (lf_plan_parts(parts, &total, &b->options, &two, pinned, NULL, &diag) == LF_OK)
            break;
        assert_non_null(strstr(diag.text, "the base base, in "));
    }
    expect_near(parts[0].bytes, least, least / 4);
    b->options.gpu_memory_bytes = (int64_t)(least + least / 2);
    must(lf_plan_parts(parts, &total, &b->options, &two, pinned, NULL, &diag), &diag);
    assert_in_range(parts[0].bytes, least, total);
    assert_true(parts[0].bytes + parts[1].bytes > total);
    pinned[0] = true; /* the other could never come */
    assert_int_equal(lf_plan_parts(parts, &total, &b->options, &two, pinned, NULL, &diag),
                     LF_E_DEVICE_FULL);
    assert_non_null(strstr(diag.text, "--pin: the bases that stay"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_wants_the_whole_answer_is_woken_once, setup, teardown),
        cmocka_unit_test_setup_teardown(company_does_not_change_an_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_one_leaves_others_their_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_has_a_queue_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_prompt_leaves_a_stream_its_pace, setup, teardown),
        cmocka_unit_test_setup_teardown(adapters_take_turns_in_one_slot, setup, teardown),
        cmocka_unit_test_setup_teardown(who_comes_first_is_asked_of_priorities, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_whole_by_its_deadline_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_generation_leaves_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plan_on_paper_is_what_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(several_bases_divide_the_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(training_goes_on_beside_serving, setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_from_the_bases_weights_is_seen_and_cancelled, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_training_is_cancelled_and_one_that_was_stopped_goes_on,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
