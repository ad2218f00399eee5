/* LIBS: lf_daemon */
/* A team on engines that the test plays: who gets a request or a training, what all get, and what
 * is left when a seat is lost. */
#include "daemon/team.h"

#include "core/limits.h"
#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* ---- Engines --------------------------------------------------------------------------------- */

struct lf_engine {
    enum lf_engine_state state;
    bool dies;   /* at the next generation: after it was looked at */
    bool keeps;  /* its device to itself */
    bool leaves; /* the device, at the next generation: after it came */
    bool full;   /* it does not come */
    int came, welcomed;
    uint64_t room;
    int requests, given, lends, helped, unloads, brought;
    uint64_t has; /* an adapter, on the device */
    uint64_t memory_used;
};

static struct lf_engine engines[3];

enum lf_engine_state lf_engine_state(struct lf_engine *e)
{
    return e->state;
}

void lf_engine_status(struct lf_engine *e, struct lf_engine_status *out)
{
    *out = (struct lf_engine_status){.state = e->state,
                                     .requests = e->requests,
                                     .given = e->given,
                                     .memory_total = 1 << 30,
                                     .memory_used = e->memory_used,
                                     .plan = {.kv_tokens = 4096, .rest = 1 << 30},
                                     .context_max = 64};
}

enum lf_err lf_engine_come(struct lf_engine *e, uint64_t deadline_ns, struct lf_diag *diag)
{
    (void)deadline_ns;
    e->came++;
    if (e->full)
        return lf_fail(diag, LF_E_OVERLOADED, "seat %d has no room", (int)(e - engines));
    e->state = LF_ENGINE_READY;
    return LF_OK;
}

void lf_engine_welcome(struct lf_engine *e)
{
    e->welcomed += e->state == LF_ENGINE_ABSENT;
}

uint64_t lf_engine_room(struct lf_engine *e)
{
    return e->room;
}

enum lf_err lf_engine_generate(struct lf_engine *e, const struct lf_generate_spec *spec,
                               struct lf_generation **out, struct lf_diag *diag)
{
    (void)spec;
    (void)out;
    if (e->dies)
        e->state = LF_ENGINE_FAILED;
    if (e->leaves)
        e->state = LF_ENGINE_ABSENT;
    e->leaves = false;
    if (e->state != LF_ENGINE_READY)
        return lf_fail(diag, LF_E_DEVICE_LOST, "seat %d is lost", (int)(e - engines));
    e->requests++;
    return LF_OK;
}

enum lf_err lf_engine_train(struct lf_engine *e, const struct lf_training_spec *spec,
                            struct lf_training **out, struct lf_diag *diag)
{
    (void)out;
    e->helped = spec->n_replicas;
    if (e->state == LF_ENGINE_FAILED)
        return lf_fail(diag, LF_E_INTERRUPTED, "the engine has stopped");
    e->given++;
    return LF_OK;
}

enum lf_err lf_engine_lend(struct lf_engine *e, struct lf_replica **out, struct lf_diag *diag)
{
    if (e->state != LF_ENGINE_READY || e->keeps)
        return lf_fail(diag, LF_E_DEVICE_LOST, "it does not lend");
    *out = NULL;
    e->given++;
    e->lends++;
    return LF_OK;
}

enum lf_err lf_engine_unload(struct lf_engine *e, uint64_t id, struct lf_diag *diag)
{
    (void)id;
    (void)diag;
    e->unloads++;
    return LF_OK;
}

enum lf_err lf_engine_bring(struct lf_engine *e, const struct lf_pick *pick, bool keep,
                            int timeout_ms, struct lf_diag *diag)
{
    (void)pick;
    (void)keep;
    (void)timeout_ms;
    (void)diag;
    e->brought++;
    return LF_OK;
}

enum lf_residency lf_engine_residency(struct lf_engine *e, uint64_t id, int32_t version)
{
    (void)version;
    return e->has == id ? LF_RESIDENCY_DEVICE : LF_RESIDENCY_NONE;
}

/* ---- The team -------------------------------------------------------------------------------- */

static struct lf_model model;
static struct lf_base base = {.model = &model};

static int setup(void **state)
{
    static struct lf_team t;
    t = (struct lf_team){.base = &base, .n = 3};
    pthread_mutex_init(&t.lock, NULL);
    for (int i = 0; i < t.n; i++) {
        engines[i] = (struct lf_engine){.state = LF_ENGINE_READY};
        t.seat[i].engine = &engines[i];
        assert_int_equal(lf_prefixes_init(&t.seat[i].prefixes, NULL), LF_OK);
    }
    *state = &t;
    return 0;
}

static int teardown(void **state)
{
    struct lf_team *t = *state;
    for (int i = 0; i < t->n; i++)
        lf_prefixes_free(&t->seat[i].prefixes);
    pthread_mutex_destroy(&t->lock);
    return 0;
}

/* Of an adapter, with a prompt of n tokens that are all `word`; the seat that has it now. */
static int ask(struct lf_team *t, uint64_t id, int32_t word, int n)
{
    static int32_t ids[1024];
    int before[3];
    struct lf_diag diag = {""};
    struct lf_generation *g;
    struct lf_pick pick = {.id = id, .version = 1};
    struct lf_generate_spec spec = {.ids = ids, .n = n, .pick = &pick};
    for (int i = 0; i < n; i++)
        ids[i] = word;
    for (int i = 0; i < 3; i++)
        before[i] = engines[i].requests;
    assert_int_equal(lf_team_generate(t, &spec, &g, &diag), LF_OK);
    int seat = 0;
    while (engines[seat].requests == before[seat])
        seat++;
    return seat;
}

static void a_burst_for_a_cold_adapter_stays_together(void **state)
{
    struct lf_team *t = *state;
    int home = ask(t, 5, 1, 4);
    assert_int_equal(ask(t, 5, 2, 4), home);
    assert_int_equal(ask(t, 5, 3, 4), home);
    /* And where it is on a device it is asked for there. */
    engines[1].has = 9;
    assert_int_equal(ask(t, 9, 1, 4), 1);
}

static void all_are_used_when_one_has_too_much(void **state)
{
    struct lf_team *t = *state;
    for (int i = 0; i < 60; i++)
        ask(t, 5, i, 4);
    for (int i = 0; i < 3; i++)
        assert_in_range(engines[i].requests, 15, 25);
}

static void an_instruction_is_asked_where_it_was_read(void **state)
{
    struct lf_team *t = *state;
    int first = ask(t, 0, 1, 800);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(t, 0, 1, 800), first);
    assert_int_not_equal(ask(t, 0, 2, 800), first); /* another is read by who has less to do */
}

static void a_lost_seat_takes_no_other_requests_with_it(void **state)
{
    struct lf_team *t = *state;
    int home = ask(t, 5, 1, 4);
    engines[home].dies = true;
    int next = ask(t, 5, 1, 4);
    assert_int_not_equal(next, home);
    assert_int_equal(lf_team_state(t), LF_ENGINE_READY);
    for (int i = 0; i < 20; i++)
        assert_int_not_equal(ask(t, (uint64_t)i, i, 4), home);
    for (int i = 0; i < 3; i++)
        engines[i].state = LF_ENGINE_FAILED;
    struct lf_diag diag = {""};
    struct lf_generation *g;
    struct lf_pick pick = {.id = 1, .version = 1};
    const int32_t id = 1;
    struct lf_generate_spec spec = {.ids = &id, .n = 1, .pick = &pick};
    assert_int_equal(lf_team_generate(t, &spec, &g, &diag), LF_E_DEVICE_LOST);
    assert_string_equal(diag.text, "seat 0 is lost");
    assert_int_equal(lf_team_state(t), LF_ENGINE_FAILED);
}

static void trainings_are_spread_and_go_on_elsewhere(void **state)
{
    struct lf_team *t = *state;
    struct lf_diag diag = {""};
    struct lf_training *training;
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    struct lf_training_spec spec = {.settings = &s};
    int seat;
    for (int i = 0; i < 6; i++)
        assert_int_equal(lf_team_train(t, &spec, 0, &seat, &training, &diag), LF_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(engines[i].given, 2);
    /* One without room there is given to another one, and where none has any, to any. */
    assert_int_equal(lf_team_train(t, &spec, 1 << 0 | 1 << 1, &seat, &training, &diag), LF_OK);
    assert_int_equal(seat, 2);
    assert_true(lf_team_has_other(t, 1 << 0 | 1 << 1));
    assert_false(lf_team_has_other(t, 7));
    assert_int_equal(lf_team_train(t, &spec, 7, &seat, &training, &diag), LF_OK);
    engines[0].state = LF_ENGINE_FAILED;
    engines[1].given = engines[2].given = 9;
    assert_int_equal(lf_team_train(t, &spec, 0, &seat, &training, &diag), LF_OK);
    assert_int_not_equal(seat, 0);
    engines[1].state = engines[2].state = LF_ENGINE_FAILED;
    assert_int_equal(lf_team_train(t, &spec, 0, &seat, &training, &diag), LF_E_INTERRUPTED);
    lf_train_settings_free(&s);
}

/* Who leads has as many behind it as it asks for, of those that train nothing. */
static void a_training_on_several_devices_borrows_idle_ones(void **state)
{
    struct lf_team *t = *state;
    struct lf_diag diag = {""};
    struct lf_training *training;
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    struct lf_training_spec spec = {.settings = &s};
    int seat;
    s.devices = 2;
    engines[0].given = 1;
    assert_int_equal(lf_team_train(t, &spec, 0, &seat, &training, &diag), LF_OK);
    assert_int_equal(seat, 1);
    assert_int_equal(engines[1].helped, 1);
    assert_int_equal(engines[2].lends, 1);
    s.devices = 16; /* more than there are, and all have something to do: it is alone */
    assert_int_equal(lf_team_train(t, &spec, 0, &seat, &training, &diag), LF_OK);
    assert_int_equal(engines[seat].helped, 0);
    for (int i = 0; i < 3; i++)
        engines[i].given = engines[i].lends = 0;
    engines[1].keeps = true;
    s.devices = 3;
    assert_int_equal(lf_team_train(t, &spec, 0, &seat, &training, &diag), LF_OK);
    assert_int_equal(seat, 0);
    assert_int_equal(engines[0].helped, 1);
    assert_int_equal(engines[2].lends, 1);
    lf_train_settings_free(&s);
}

/* "auto": idle seats alone, and so many that each has enough of a step. */
static void a_training_that_pays_on_several_devices_has_idle_ones(void **state)
{
    struct lf_team *t = *state;
    struct lf_diag diag = {""};
    struct lf_training *training;
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    struct lf_training_spec spec = {.settings = &s, .step_tokens = 2 * LF_ROUTE_STEP - 1};
    int seat;
    assert_int_equal(s.devices, 1);
    s.devices = 0;
    assert_int_equal(lf_team_train(t, &spec, 0, &seat, &training, &diag), LF_OK);
    assert_int_equal(engines[seat].helped, 0);
    engines[seat].given = 0;

    spec.step_tokens = 100 * LF_ROUTE_STEP;
    engines[1].requests = 1; /* it answers somebody */
    assert_int_equal(lf_team_train(t, &spec, 0, &seat, &training, &diag), LF_OK);
    assert_int_equal(seat, 0);
    assert_int_equal(engines[0].helped, 1);
    assert_int_equal(engines[1].lends, 0);
    assert_int_equal(engines[2].lends, 1);

    /* The next one finds none idle: it is on one, that with fewest. */
    assert_int_equal(lf_team_train(t, &spec, 0, &seat, &training, &diag), LF_OK);
    assert_int_equal(seat, 1);
    assert_int_equal(engines[1].helped, 0);
    lf_train_settings_free(&s);
}

static void what_is_of_all_seats_comes_to_all(void **state)
{
    struct lf_team *t = *state;
    struct lf_diag diag = {""};
    struct lf_pick pick = {.id = 7, .version = 2};
    assert_int_equal(lf_team_unload(t, 7, &diag), LF_OK);
    engines[2].has = 7;
    assert_int_equal(lf_team_residency(t, 7, 1), LF_RESIDENCY_DEVICE);
    assert_int_equal(lf_team_residency(t, 8, 1), LF_RESIDENCY_NONE);
    assert_int_equal(lf_team_bring(t, &pick, 1, false, 0, &diag), LF_OK);
    assert_int_equal(engines[2].brought, 1); /* where the one before is */
    assert_int_equal(lf_team_bring(t, &pick, 1, true, 0, &diag), LF_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(engines[i].unloads, 1);
        assert_int_equal(engines[i].brought, i == 2 ? 2 : 1);
    }
    engines[1].memory_used = 5;
    assert_int_equal(lf_team_memory_used(t), 5);
    engines[1].state = LF_ENGINE_LOADING; /* until all have come up */
    assert_int_equal(lf_team_state(t), LF_ENGINE_LOADING);
}

/* A base that is on no seat comes to the one with most room, and is asked there; it is welcome on
 * the others, and none of this is done where it is on one. */
static void a_base_comes_where_there_is_room(void **state)
{
    struct lf_team *t = *state;
    struct lf_training *training;
    struct lf_diag diag = {""};
    struct lf_train_settings s;
    int seat;
    for (int i = 0; i < 3; i++)
        engines[i] = (struct lf_engine){.state = LF_ENGINE_ABSENT, .room = i == 1 ? 9 : 5};
    assert_int_equal(lf_team_state(t), LF_ENGINE_ABSENT);
    lf_train_settings_default(&s);
    struct lf_training_spec spec = {.settings = &s};
    assert_int_equal(lf_team_train(t, &spec, 0, &seat, &training, &diag), LF_OK);
    assert_int_equal(seat, 1); /* which waits there for its base */
    engines[1].leaves = true;  /* it has made way again before it was asked: it comes once more */
    assert_int_equal(ask(t, 5, 1, 4), 1);
    assert_int_equal(engines[1].came, 2);
    assert_true(engines[0].welcomed > 0 && engines[2].welcomed > 0);
    assert_int_equal(engines[0].came + engines[2].came, 0);
    assert_int_equal(lf_team_state(t), LF_ENGINE_READY);
    assert_int_equal(ask(t, 5, 1, 4), 1);
    assert_int_equal(engines[1].came, 2);
    engines[1].state = LF_ENGINE_FAILED; /* its device is lost: another has it come */
    assert_int_not_equal(ask(t, 5, 1, 4), 1);
    for (int i = 0; i < 3; i++)
        engines[i] = (struct lf_engine){.state = LF_ENGINE_ABSENT, .full = true};
    assert_int_equal(lf_team_come(t, 0, &diag), LF_E_OVERLOADED);
    assert_string_equal(diag.text, "seat 0 has no room");
    lf_train_settings_free(&s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_burst_for_a_cold_adapter_stays_together),
        TEST(all_are_used_when_one_has_too_much),
        TEST(an_instruction_is_asked_where_it_was_read),
        TEST(a_lost_seat_takes_no_other_requests_with_it),
        TEST(trainings_are_spread_and_go_on_elsewhere),
        TEST(a_training_on_several_devices_borrows_idle_ones),
        TEST(a_training_that_pays_on_several_devices_has_idle_ones),
        TEST(what_is_of_all_seats_comes_to_all),
        TEST(a_base_comes_where_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
