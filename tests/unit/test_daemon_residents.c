/* LIBS: lf_daemon lf_trainer lf_model lf_gpu lf_meta lf_core */
/* Adapters between files, host memory and the device: more than fit are served in turn, what was in
 * host memory is not read again, a cold one holds up nobody, versions are whole. */
#include "tests/unit/engine_rig.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#define PICKS 8
#define TOKENS 4

static struct lf_engine_status status_of(struct bench *b)
{
    struct lf_engine_status s;
    lf_engine_status(b->engine, &s);
    return s;
}

/* Bytes of one adapter of the rig on the device, up to its alignment. */
static int64_t adapter_bytes(struct bench *b)
{
    struct lf_pick pick = pick_of(b, 99, 1);
    struct lf_ids ids = {0};
    engine_up(b);
    assert_int_equal(hear(ask(b, &pick, 1), &ids), LF_OK);
    int64_t bytes = (int64_t)status_of(b).adapter_bytes;
    engine_down(b);
    lf_ids_free(&ids);
    return bytes;
}

/* Each one's answer by itself. */
static void answers_alone(struct bench *b, const struct lf_pick *picks, int n, struct lf_ids *ids)
{
    for (int i = 0; i < n; i++) {
        ids[i] = (struct lf_ids){0};
        assert_int_equal(hear(ask(b, &picks[i], TOKENS), &ids[i]), LF_OK);
        assert_int_equal(ids[i].n, TOKENS);
    }
}

static void assert_answer(struct lf_generation *g, const struct lf_ids *want)
{
    struct lf_ids got = {0};
    assert_int_equal(hear(g, &got), LF_OK);
    assert_int_equal(got.n, want->n);
    assert_memory_equal(got.ids, want->ids, got.n * sizeof *got.ids);
    lf_ids_free(&got);
}

/* All at once, three times each, against what each says alone. */
static void ask_all(struct bench *b, const struct lf_pick *picks, const struct lf_ids *want)
{
    struct lf_generation *g[3 * PICKS];
    for (int i = 0; i < 3 * PICKS; i++)
        g[i] = ask(b, &picks[i * 5 % PICKS], TOKENS);
    for (int i = 0; i < 3 * PICKS; i++)
        assert_answer(g[i], &want[i * 5 % PICKS]);
}

static void more_than_fit_are_served_in_turn(void **state)
{
    struct bench *b = *state;
    struct lf_pick picks[PICKS];
    struct lf_ids want[PICKS];
    int64_t bytes = adapter_bytes(b);
    for (int i = 0; i < PICKS; i++)
        picks[i] = pick_of(b, (uint64_t)i + 1, 1);
    b->options.slots = 64;
    b->options.adapter_memory_bytes = 3 * bytes + bytes / 2;
    engine_up(b);
    answers_alone(b, picks, PICKS, want);
    for (int i = 1; i < PICKS; i++)
        assert_memory_not_equal(want[0].ids, want[i].ids, TOKENS * sizeof(int32_t));
    ask_all(b, picks, want);
    struct lf_engine_status s = status_of(b);
    assert_int_equal(s.slots_used, 3);
    assert_true((int64_t)s.adapter_bytes_max <= b->options.adapter_memory_bytes);
    assert_int_equal(s.adapters_host, 0);
    assert_true(atomic_load(&b->counters->adapters_read) >= 2 * PICKS - 3);
    for (int i = 0; i < PICKS; i++)
        lf_ids_free(&want[i]);
}

static void what_is_in_host_memory_is_not_read_again(void **state)
{
    struct bench *b = *state;
    struct lf_pick picks[PICKS];
    struct lf_ids want[PICKS];
    struct lf_diag diag = {""};
    int64_t bytes = adapter_bytes(b);
    for (int i = 0; i < PICKS; i++)
        picks[i] = pick_of(b, (uint64_t)i + 1, 1);
    b->options.slots = 64;
    b->options.adapter_memory_bytes = 2 * bytes;
    b->options.adapter_cache_bytes = PICKS * bytes;
    engine_up(b);
    uint64_t before = atomic_load(&b->counters->adapters_read);
    answers_alone(b, picks, PICKS, want);
    ask_all(b, picks, want);
    ask_all(b, picks, want);
    assert_int_equal(atomic_load(&b->counters->adapters_read) - before, PICKS);
    assert_true(atomic_load(&b->counters->adapters_loaded) >= 2 * PICKS);
    assert_true(atomic_load(&b->counters->adapter_hits_host) > 0);
    int on_device = 0, on_host = 0;
    for (int i = 0; i < PICKS; i++) {
        enum lf_residency at = lf_engine_residency(b->engine, picks[i].id, 1);
        on_device += at == LF_RESIDENCY_DEVICE;
        on_host += at == LF_RESIDENCY_HOST;
    }
    assert_int_equal(on_device, 2);
    assert_int_equal(on_host, PICKS - 2);
    assert_int_equal(lf_engine_residency(b->engine, 77, 1), LF_RESIDENCY_NONE);
    for (int i = 0; i < PICKS; i++)
        must(lf_engine_unload(b->engine, picks[i].id, &diag), &diag);
    assert_answer(ask(b, &picks[0], TOKENS), &want[0]); /* the unloads are over by then */
    struct lf_engine_status s = status_of(b);
    assert_int_equal(s.slots_used, 1);
    assert_int_equal(s.adapters_host, 1);
    assert_true(s.host_bytes <= (uint64_t)b->options.adapter_cache_bytes);
    for (int i = 0; i < PICKS; i++)
        lf_ids_free(&want[i]);
}

/* Its files cannot be read before the gate is opened: a list of digests that does not come, and
 * then says nothing. */
static void gate_path(char path[LF_PATH_MAX + 16], const struct lf_pick *pick)
{
    snprintf(path, LF_PATH_MAX + 16, "%s/sha256sums", pick->dir);
}

static void gate_close(const struct lf_pick *pick)
{
    char path[LF_PATH_MAX + 16];
    gate_path(path, pick);
    assert_int_equal(mkfifo(path, 0600), 0);
}

static void gate_open(const struct lf_pick *pick)
{
    char path[LF_PATH_MAX + 16];
    gate_path(path, pick);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    close(fd);
}

/* One whose file cannot be read yet, as on a slow disk: others, warm or cold, are answered. */
static void a_cold_adapter_holds_up_nobody(void **state)
{
    struct bench *b = *state;
    struct lf_pick slow = pick_of(b, 1, 1), warm = pick_of(b, 2, 1), cold = pick_of(b, 3, 1);
    struct lf_generation_news news;
    struct lf_generated some[64];
    struct lf_ids ids = {0}, first = {0};
    gate_close(&slow);
    b->options.slots = 8;
    engine_up(b);
    assert_int_equal(hear(ask(b, &warm, TOKENS), &first), LF_OK);
    struct lf_generation *waits = ask(b, &slow, TOKENS), *stream = ask(b, &warm, 60);
    int heard = 0;
    do {
        lf_generation_take(stream, some, 64, 1000, &news, NULL);
        heard += news.n;
    } while (!news.ended);
    assert_int_equal(heard, 60);
    lf_generation_release(stream);
    assert_int_equal(hear(ask(b, &cold, TOKENS), &ids), LF_OK);
    lf_generation_take(waits, some, 64, 0, &news, NULL);
    assert_true(news.n == 0 && !news.ended);
    gate_open(&slow);
    ids.n = 0;
    assert_int_equal(hear(waits, &ids), LF_OK);
    assert_int_equal(ids.n, TOKENS);
    lf_ids_free(&ids);
    lf_ids_free(&first);
}

/* One place, and two who want it: the second has it, and is not let in yet, when the first has come
 * so far that nobody may overtake him. The steps take so long, of prompts of the base, that both
 * happen in one of them. */
static void who_has_a_place_does_not_wait_for_who_has_none(void **state)
{
    struct bench *b = *state;
    struct lf_pick first = pick_of(b, 1, 1), second = pick_of(b, 2, 1);
    struct lf_generation *prompts[3], *g[2];
    struct lf_ids ids = {0}, prompt = {0};
    struct lf_diag diag = {""};
    gate_close(&first);
    b->options.adapter_cycle_s = 0;
    engine_up(b);
    for (int i = 0; i < b->options.batch_tokens_max; i++)
        assert_int_equal(lf_ids_push(&prompt, 4 + i), LF_OK);
    for (int i = 0; i < 3; i++) {
        struct lf_generate_spec s = spec(&no_adapter, 1);
        s.ids = prompt.ids;
        s.n = prompt.n;
        prompt.ids[0] = 4 + i; /* none is another's beginning */
        must(lf_engine_generate(b->engine, &s, &prompts[i], &diag), &diag);
    }
    g[0] = ask(b, &first, TOKENS);
    g[1] = ask(b, &second, TOKENS);
    while (lf_engine_residency(b->engine, 2, 1) == LF_RESIDENCY_NONE)
        sched_yield();
    gate_open(&first);
    for (int i = 0; i < 2; i++)
        assert_int_equal(hear(g[i], &ids), LF_OK);
    assert_int_equal(ids.n, 2 * TOKENS);
    for (int i = 0; i < 3; i++)
        assert_int_equal(hear(prompts[i], &ids), LF_OK);
    lf_ids_free(&prompt);
    lf_ids_free(&ids);
}

/* What was brought is there for its first request, and what is gone is said to be. */
static void what_is_brought_is_there_before_it_is_asked_for(void **state)
{
    struct bench *b = *state;
    struct lf_pick pick = pick_of(b, 1, 1), gone = {.id = 2, .version = 1};
    struct lf_diag diag = {""};
    struct lf_ids ids = {0};
    snprintf(gone.dir, sizeof gone.dir, "%s/nothing", b->rig.dir);
    b->options.slots = 8;
    engine_up(b);
    must(lf_engine_bring(b->engine, &pick, false, 60000, &diag), &diag);
    assert_int_equal(lf_engine_residency(b->engine, 1, 1), LF_RESIDENCY_DEVICE);
    assert_int_equal(atomic_load(&b->counters->adapters_loaded), 1);
    assert_int_equal(hear(ask(b, &pick, TOKENS), &ids), LF_OK);
    assert_int_equal(atomic_load(&b->counters->adapters_loaded), 1);
    enum lf_err rc = lf_engine_bring(b->engine, &gone, true, 60000, &diag);
    assert_true(rc != LF_OK && rc != LF_E_TIMED_OUT);
    assert_int_equal(lf_engine_residency(b->engine, 2, 1), LF_RESIDENCY_NONE);
    must(lf_engine_bring(b->engine, &pick, false, 60000, &diag), &diag); /* it is there */
    assert_int_equal(atomic_load(&b->counters->adapters_loaded), 1);
    lf_ids_free(&ids);
}

/* Two places: one is the pinned adapter's, by its version, and the rest take turns in the other. */
static void who_is_pinned_leaves_last(void **state)
{
    struct bench *b = *state;
    struct lf_pick pinned[] = {pick_of(b, 1, 1), pick_of(b, 1, 2)}, others[4];
    struct lf_diag diag = {""};
    struct lf_ids ids = {0};
    b->options.slots = 2;
    for (int i = 0; i < 4; i++)
        others[i] = pick_of(b, 2 + (uint64_t)i, 1);
    engine_up(b);
    for (int version = 0; version < 2; version++) {
        must(lf_engine_bring(b->engine, &pinned[version], true, 60000, &diag), &diag);
        for (int i = 0; i < 8; i++)
            assert_int_equal(hear(ask(b, &others[i % 4], 1), &ids), LF_OK);
        assert_int_equal(lf_engine_residency(b->engine, 1, version + 1), LF_RESIDENCY_DEVICE);
    }
    assert_true(lf_engine_residency(b->engine, 1, 1) != LF_RESIDENCY_DEVICE); /* no more */
    assert_int_equal(atomic_load(&b->counters->adapters_loaded), 2 + 16);
    must(lf_engine_unload(b->engine, 1, &diag), &diag);
    for (int i = 0; i < 4; i++)
        assert_int_equal(hear(ask(b, &others[i], 1), &ids), LF_OK);
    assert_true(lf_engine_residency(b->engine, 1, 2) != LF_RESIDENCY_DEVICE);
    lf_ids_free(&ids);
}

/* Requests for the old and for the new version, mixed, while there is room for one of them. */
static void an_answer_is_wholly_of_one_version(void **state)
{
    struct bench *b = *state;
    struct lf_pick picks[2] = {pick_of(b, 1, 1), pick_of(b, 1, 2)};
    struct lf_ids want[2];
    struct lf_generation *g[20];
    engine_up(b); /* one slot */
    answers_alone(b, picks, 2, want);
    assert_memory_not_equal(want[0].ids, want[1].ids, TOKENS * sizeof(int32_t));
    for (int i = 0; i < 20; i++)
        g[i] = ask(b, &picks[i > 9 ? i % 3 > 0 : i % 3 == 0], TOKENS);
    for (int i = 0; i < 20; i++)
        assert_answer(g[i], &want[i > 9 ? i % 3 > 0 : i % 3 == 0]);
    assert_int_equal(status_of(b).slots_used, 1);
    for (int i = 0; i < 2; i++)
        lf_ids_free(&want[i]);
}

/* What can never fit says so, at once, and the next is served. */
static void what_can_never_fit_is_refused(void **state)
{
    struct bench *b = *state;
    struct lf_pick pick = pick_of(b, 1, 1);
    struct lf_ids ids = {0};
    b->options.adapter_memory_bytes = 4096;
    engine_up(b);
    assert_int_equal(hear(ask(b, &pick, TOKENS), &ids), LF_E_DEVICE_FULL);
    assert_int_equal(hear(ask(b, &no_adapter, TOKENS), &ids), LF_OK);
    assert_int_equal(ids.n, TOKENS);
    lf_ids_free(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(more_than_fit_are_served_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_in_host_memory_is_not_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cold_adapter_holds_up_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(who_has_a_place_does_not_wait_for_who_has_none, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_brought_is_there_before_it_is_asked_for, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_is_pinned_leaves_last, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_is_wholly_of_one_version, setup, teardown),
        cmocka_unit_test_setup_teardown(what_can_never_fit_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
