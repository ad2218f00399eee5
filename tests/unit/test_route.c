/* LIBS: lf_route lf_core */
/* Which seat gets what: tables of seats, and what follows from them. */
#include "route/bases.h"
#include "route/prefix.h"
#include "route/route.h"
#include "route/waiting.h"

#include "core/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PROMPT 100
#define SEATS 4
#define BASES 4
#define CYCLE 10000000000u

/* All open and idle, without the adapter. */
static void table(struct lf_route_seat seats[SEATS])
{
    for (int i = 0; i < SEATS; i++)
        seats[i] = (struct lf_route_seat){.open = true, .spare = 100};
}

static void an_adapter_has_one_home(void **state)
{
    (void)state;
    struct lf_route_seat seats[SEATS];
    int homes[SEATS] = {0};
    table(seats);
    for (uint64_t owner = 1; owner <= 1000; owner++) {
        int home = lf_route_request(seats, SEATS, owner, PROMPT);
        assert_int_equal(lf_route_request(seats, SEATS, owner, PROMPT), home);
        homes[home]++;
        /* It is there from now on, and stays while others have a little less to do. */
        seats[home].adapter = LF_ROUTE_PRESENT;
        seats[home].requests = LF_ROUTE_READ / LF_ROUTE_REQUEST - 1;
        assert_int_equal(lf_route_request(seats, SEATS, owner, PROMPT), home);
        table(seats);
    }
    for (int i = 0; i < SEATS; i++)
        assert_in_range(homes[i], 200, 300); /* of 250 */
}

static void homes_of_others_stay_when_a_seat_is_lost(void **state)
{
    (void)state;
    struct lf_route_seat seats[SEATS];
    table(seats);
    for (uint64_t owner = 1; owner <= 1000; owner++) {
        int home = lf_route_request(seats, SEATS, owner, PROMPT);
        seats[1].open = false;
        int now = lf_route_request(seats, SEATS, owner, PROMPT);
        assert_int_not_equal(now, 1);
        assert_true(home == 1 || now == home);
        seats[1].open = true;
    }
}

static void a_hot_adapter_comes_to_another_seat(void **state)
{
    (void)state;
    struct lf_route_seat seats[SEATS];
    table(seats);
    seats[2].adapter = LF_ROUTE_PRESENT;
    seats[2].requests = LF_ROUTE_READ / LF_ROUTE_REQUEST + 1;
    int second = lf_route_request(seats, SEATS, 7, PROMPT);
    assert_int_not_equal(second, 2);
    /* From then on the two share its requests by their load, and a third is left alone. */
    seats[second].adapter = LF_ROUTE_PRESENT;
    seats[second].requests = 3;
    seats[2].requests = 4;
    assert_int_equal(lf_route_request(seats, SEATS, 7, PROMPT), second);
    seats[second].requests = 4;
    seats[2].requests = 3;
    assert_int_equal(lf_route_request(seats, SEATS, 7, PROMPT), 2);
}

static void host_memory_is_nearer_than_files(void **state)
{
    (void)state;
    struct lf_route_seat seats[SEATS];
    table(seats);
    seats[3].adapter = LF_ROUTE_ON_HOST;
    for (uint64_t owner = 1; owner < 50; owner++)
        assert_int_equal(lf_route_request(seats, SEATS, owner, PROMPT), 3);
}

static void a_prompt_stays_where_its_pages_are(void **state)
{
    (void)state;
    struct lf_route_seat seats[SEATS];
    table(seats);
    for (int i = 0; i < SEATS; i++)
        seats[i].adapter = LF_ROUTE_PRESENT;
    seats[1].cached = 640;
    seats[1].requests = 640 / LF_ROUTE_REQUEST - 1;
    assert_int_equal(lf_route_request(seats, SEATS, 5, 650), 1);
    seats[1].requests += 2; /* reading it again costs less than waiting */
    assert_int_not_equal(lf_route_request(seats, SEATS, 5, 650), 1);
    /* More than the prompt is no more than all of it. */
    seats[1] = (struct lf_route_seat){
        .open = true, .adapter = LF_ROUTE_PRESENT, .cached = 640, .requests = 1};
    assert_int_not_equal(lf_route_request(seats, SEATS, 5, 32), 1);
}

static void closed_seats_get_nothing(void **state)
{
    (void)state;
    struct lf_route_seat seats[SEATS];
    table(seats);
    for (int i = 0; i < SEATS; i++)
        seats[i].open = false;
    assert_int_equal(lf_route_request(seats, SEATS, 1, PROMPT), -1);
    assert_int_equal(lf_route_training(seats, SEATS, 1), -1);
    seats[2].open = true;
    seats[2].requests = 1000;
    assert_int_equal(lf_route_request(seats, SEATS, 1, PROMPT), 2);
    assert_int_equal(lf_route_training(seats, SEATS, 1000), 2);
}

static void trainings_go_where_there_is_room(void **state)
{
    (void)state;
    struct lf_route_seat seats[SEATS];
    table(seats);
    assert_int_equal(lf_route_training(seats, SEATS, 50), 0);
    seats[0].trainings = 1;
    seats[1].requests = 3;
    assert_int_equal(lf_route_training(seats, SEATS, 50), 2);
    seats[2].spare = seats[3].spare = 40;
    assert_int_equal(lf_route_training(seats, SEATS, 50), 1);
    seats[1].spare = 45;
    assert_int_equal(lf_route_training(seats, SEATS, 50), 0);
    assert_int_equal(lf_route_training(seats, SEATS, 200), 0); /* none has room: most of it */
    seats[3].spare = 150;
    assert_int_equal(lf_route_training(seats, SEATS, 200), 3);
}

static void pages_are_known_by_all_before_them(void **state)
{
    (void)state;
    int32_t ids[4 * LF_KV_PAGE_TOKENS + 3] = {0};
    uint64_t a[LF_PREFIX_PAGES], b[LF_PREFIX_PAGES];
    struct lf_prefixes p;
    assert_int_equal(lf_prefixes_init(&p, NULL), LF_OK);
    assert_int_equal(lf_prefix_chain(1, ids, 4 * LF_KV_PAGE_TOKENS + 3, a), 5);
    assert_int_equal(lf_prefix_chain(1, ids, LF_KV_PAGE_TOKENS - 1, b), 1);
    assert_int_equal(a[0], b[0]); /* the owner */
    lf_prefixes_note(&p, a, 5, 100);
    assert_int_equal(lf_prefixes_known(&p, a, 5, 100), 5);
    ids[2 * LF_KV_PAGE_TOKENS] = 9;
    assert_int_equal(lf_prefix_chain(1, ids, 4 * LF_KV_PAGE_TOKENS, b), 5);
    assert_int_equal(lf_prefixes_known(&p, b, 5, 100), 3);
    assert_int_equal(lf_prefix_chain(2, ids, 4 * LF_KV_PAGE_TOKENS, b), 5);
    assert_int_equal(lf_prefixes_known(&p, b, 5, 100), 0); /* another adapter's */
    lf_prefixes_free(&p);
}

static void pages_leave_when_others_have_come(void **state)
{
    (void)state;
    int32_t ids[LF_KV_PAGE_TOKENS] = {0};
    uint64_t first[LF_PREFIX_PAGES], page[LF_PREFIX_PAGES];
    struct lf_prefixes p;
    assert_int_equal(lf_prefixes_init(&p, NULL), LF_OK);
    lf_prefix_chain(1, ids, LF_KV_PAGE_TOKENS, first);
    lf_prefixes_note(&p, first + 1, 1, 10);
    for (int i = 1; i <= 9; i++) {
        ids[0] = i;
        lf_prefix_chain(1, ids, LF_KV_PAGE_TOKENS, page);
        lf_prefixes_note(&p, page + 1, 1, 10);
        lf_prefixes_note(&p, page + 1, 1, 10); /* once more is no other page */
    }
    assert_int_equal(lf_prefixes_known(&p, first + 1, 1, 10), 1);
    ids[0] = 10;
    lf_prefix_chain(1, ids, LF_KV_PAGE_TOKENS, page);
    lf_prefixes_note(&p, page + 1, 1, 10);
    assert_int_equal(lf_prefixes_known(&p, first + 1, 1, 10), 0);
    lf_prefixes_free(&p);
}

static void those_who_wait_are_bounded_by_key_and_in_all(void **state)
{
    (void)state;
    static struct lf_waiting w;
    lf_waiting_init(&w);
    assert_int_equal(lf_waiting_enter(&w, 1, 2, NULL), LF_OK);
    assert_int_equal(lf_waiting_enter(&w, 1, 2, NULL), LF_OK);
    assert_int_equal(lf_waiting_enter(&w, 1, 2, NULL), LF_E_OVERLOADED);
    assert_int_equal(lf_waiting_enter(&w, 1, 0, NULL), LF_OK);
    assert_int_equal(lf_waiting_enter(&w, 2, 2, NULL), LF_OK);
    lf_waiting_leave(&w, 1);
    lf_waiting_leave(&w, 1);
    assert_int_equal(lf_waiting_enter(&w, 1, 2, NULL), LF_OK);
    for (uint64_t key = 3; key < LF_QUEUE_MAX; key++)
        assert_int_equal(lf_waiting_enter(&w, key, 1, NULL), LF_OK);
    assert_int_equal(lf_waiting_enter(&w, 7, 0, NULL), LF_E_OVERLOADED);
    lf_waiting_leave(&w, 2);
    assert_int_equal(lf_waiting_enter(&w, 7, 0, NULL), LF_OK);
    lf_waiting_destroy(&w);
}

/* A device with room for two of four bases, at a moment; the first two are there, in use. */
static const uint64_t moment = 100 * (uint64_t)CYCLE;

static void device(struct lf_route_base b[BASES])
{
    for (int i = 0; i < BASES; i++)
        b[i] = (struct lf_route_base){.bytes = 50, .there = i < 2, .came_ns = (uint64_t)(i + 1)};
}

static void choose(struct lf_route_base b[BASES])
{
    lf_route_bases(b, BASES, 100, CYCLE, moment);
}

/* Nobody leaves who is in use; who has been idle longest goes first, and not at once. */
static void a_base_waits_for_one_that_is_idle(void **state)
{
    (void)state;
    struct lf_route_base b[BASES];
    device(b);
    b[2].wanted_ns = moment - 1;
    choose(b);
    assert_false(b[0].leaves || b[1].leaves || b[2].enters);
    b[1].idle_ns = moment - LF_ROUTE_IDLE_NS + 1;
    choose(b);
    assert_false(b[0].leaves || b[1].leaves);
    b[1].idle_ns = moment - LF_ROUTE_IDLE_NS;
    choose(b);
    assert_true(!b[0].leaves && b[1].leaves && !b[2].enters);
    b[0].idle_ns = b[1].idle_ns - 1;
    choose(b);
    assert_true(b[0].leaves && !b[1].leaves);
    b[0].pinned = true;
    choose(b);
    assert_true(!b[0].leaves && b[1].leaves);
    b[1].there = false;
    choose(b);
    assert_true(b[2].enters && !b[0].leaves);
    assert_int_equal(lf_route_bases_room(b, BASES, 100), 50);
}

/* After a cycle who is in use makes way, who trains last; who is pinned never. */
static void bases_in_use_make_way_after_a_cycle(void **state)
{
    (void)state;
    struct lf_route_base b[BASES];
    device(b);
    b[0].trains = true;
    b[2].wanted_ns = moment - CYCLE;
    choose(b);
    assert_true(!b[0].leaves && b[1].leaves);
    b[1].pinned = true;
    choose(b);
    assert_true(b[0].leaves && !b[1].leaves);
    b[0].pinned = true;
    choose(b);
    assert_false(b[0].leaves || b[1].leaves);
    device(b); /* a large one, which waits for a training: others have what is free until then */
    b[0].trains = true;
    b[1].there = false;
    b[2] = (struct lf_route_base){.bytes = 100, .wanted_ns = moment - CYCLE};
    b[3].wanted_ns = moment - 1;
    choose(b);
    assert_true(b[0].leaves && b[3].enters && !b[2].enters);
    b[1].there = true;
    b[3].wanted_ns = 0;
    choose(b);
    assert_true(b[0].leaves && !b[1].leaves);
    device(b); /* and one for which both have to go */
    b[3] = (struct lf_route_base){.bytes = 100, .wanted_ns = moment - CYCLE};
    choose(b);
    assert_true(b[0].leaves && b[1].leaves);
    b[1].pinned = true; /* nobody leaves in vain */
    choose(b);
    assert_false(b[0].leaves || b[1].leaves);
}

/* Who waits longest is next, and what becomes free is his; who is only welcome has the rest. */
static void bases_come_in_turn(void **state)
{
    (void)state;
    struct lf_route_base b[BASES];
    device(b);
    b[1].there = false;
    b[2].wanted_ns = moment - 1;
    b[3].wanted_ns = moment - 2;
    b[1].welcome = true;
    choose(b);
    assert_true(b[3].enters && !b[2].enters && !b[1].enters);
    b[3].bytes = 60; /* it wants more than is free, and has the first's, too */
    b[0].idle_ns = 1;
    choose(b);
    assert_true(b[0].leaves && !b[3].enters && !b[2].enters && !b[1].enters);
    b[3].bytes = 101; /* it can never come: others do */
    choose(b);
    assert_true(b[2].enters && !b[3].enters && !b[0].leaves);
    b[2].wanted_ns = b[3].wanted_ns = 0;
    choose(b);
    assert_true(b[1].enters);
}

static void a_step_is_divided_as_far_as_it_pays(void **state)
{
    (void)state;
    int first = -1;
    struct lf_route_seat seats[4] = {{.open = true, .trainings = 1},
                                     {.open = true},
                                     {.open = true, .requests = 1},
                                     {.open = true}};
    assert_int_equal(lf_route_devices(seats, 4, 2 * LF_ROUTE_STEP, &first), 2);
    assert_int_equal(first, 1);
    assert_int_equal(lf_route_devices(seats, 4, 2 * LF_ROUTE_STEP - 1, &first), 1);
    assert_int_equal(lf_route_devices(seats, 4, 100 * LF_ROUTE_STEP, &first), 2);
    seats[0].trainings = seats[2].requests = 0;
    assert_int_equal(lf_route_devices(seats, 4, 100 * LF_ROUTE_STEP, &first), 4);
    assert_int_equal(lf_route_devices(seats, 4, 3 * LF_ROUTE_STEP, &first), 3);
    assert_int_equal(first, 0);
    for (int i = 0; i < 4; i++)
        seats[i].open = false;
    assert_int_equal(lf_route_devices(seats, 4, 100 * LF_ROUTE_STEP, &first), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_adapter_has_one_home),
        cmocka_unit_test(homes_of_others_stay_when_a_seat_is_lost),
        cmocka_unit_test(a_hot_adapter_comes_to_another_seat),
        cmocka_unit_test(host_memory_is_nearer_than_files),
        cmocka_unit_test(a_prompt_stays_where_its_pages_are),
        cmocka_unit_test(closed_seats_get_nothing),
        cmocka_unit_test(trainings_go_where_there_is_room),
        cmocka_unit_test(a_step_is_divided_as_far_as_it_pays),
        cmocka_unit_test(pages_are_known_by_all_before_them),
        cmocka_unit_test(pages_leave_when_others_have_come),
        cmocka_unit_test(those_who_wait_are_bounded_by_key_and_in_all),
        cmocka_unit_test(a_base_waits_for_one_that_is_idle),
        cmocka_unit_test(bases_in_use_make_way_after_a_cycle),
        cmocka_unit_test(bases_come_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
