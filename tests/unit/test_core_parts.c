/* LIBS: lf_core */
/* Files that come in parts: gone on with by one at a time, claimed once, of the bytes that were
 * sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/parts.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rig {
    struct lf_parts parts;
    char dir[64];
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    snprintf(r->dir, sizeof r->dir, "/tmp/lf-parts.XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    lf_parts_init(&r->parts);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    lf_parts_deinit(&r->parts);
    assert_int_equal(rmdir(r->dir), 0); /* it is empty */
    free(r);
    return 0;
}

static enum lf_err take(struct rig *r, struct lf_part_hold *h, uint64_t owner, const char *id,
                        uint64_t at)
{
    struct lf_diag diag;
    return lf_part_take(h, &r->parts, owner, id, at, r->dir, &diag);
}

static void add(struct lf_part_hold *h, const char *text)
{
    struct lf_diag diag;
    assert_int_equal(lf_part_write(h, text, strlen(text), &diag), LF_OK);
}

static uint64_t bytes_of(struct rig *r, uint64_t owner, const char *id)
{
    uint64_t n = UINT64_MAX;
    struct lf_diag diag;
    return lf_parts_bytes(&r->parts, owner, id, &n, &diag) == LF_OK ? n : UINT64_MAX;
}

static enum lf_err claim(struct rig *r, struct lf_claim *c, uint64_t owner, const char *id,
                         const char *text)
{
    char sum[LF_SHA256_HEX];
    struct lf_diag diag;
    lf_sha256_hex(sum, text, strlen(text));
    return lf_parts_claim(c, &r->parts, owner, id, sum, &diag);
}

static void claimed_is(struct lf_claim *c, const char *text)
{
    char got[64] = "";
    assert_int_equal(c->bytes, strlen(text));
    assert_int_equal(pread(c->fd, got, sizeof got, 0), c->bytes);
    assert_string_equal(got, text);
    close(c->fd);
    unlink(c->path);
}

static void what_has_come_is_gone_on_with(void **state)
{
    struct rig *r = *state;
    struct lf_part_hold h;
    struct lf_claim c;
    assert_int_equal(take(r, &h, 1, "up", 0), LF_OK);
    add(&h, "one ");
    lf_part_leave(&r->parts, &h);
    assert_int_equal(bytes_of(r, 1, "up"), 4);
    assert_int_equal(take(r, &h, 1, "up", 3), LF_E_BUSY);
    assert_int_equal(take(r, &h, 1, "up", 4), LF_OK);
    add(&h, "two");
    lf_part_leave(&r->parts, &h);
    assert_int_equal(claim(r, &c, 1, "up", "one two"), LF_OK);
    claimed_is(&c, "one two");
    lf_parts_answer(&r->parts, 1, "up", "taken");
    assert_int_equal(claim(r, &c, 1, "up", "one two"), LF_E_EXISTS);
    assert_string_equal(c.answer, "taken");
    assert_int_equal(bytes_of(r, 1, "up"), UINT64_MAX);
}

static void who_takes_hold_has_it_alone(void **state)
{
    struct rig *r = *state;
    struct lf_part_hold dead, next, other;
    struct lf_diag diag;
    assert_int_equal(take(r, &dead, 1, "up", 0), LF_OK);
    add(&dead, "abc");
    assert_int_equal(take(r, &next, 1, "up", 3), LF_OK);
    assert_int_equal(lf_part_write(&dead, "x", 1, &diag), LF_E_CANCELLED);
    add(&next, "def");
    assert_int_equal(bytes_of(r, 1, "up"), 6); /* who looks will go on from there */
    assert_int_equal(lf_part_write(&next, "x", 1, &diag), LF_E_CANCELLED);
    assert_int_equal(take(r, &other, 2, "up", 0), LF_OK); /* another's of that name */
    lf_part_leave(&r->parts, &dead);
    lf_part_leave(&r->parts, &next);
    lf_part_leave(&r->parts, &other);
    assert_int_equal(bytes_of(r, 1, "up"), 6);
    assert_int_equal(bytes_of(r, 2, "up"), 0);
}

static void at_0_it_begins_anew(void **state)
{
    struct rig *r = *state;
    struct lf_part_hold h;
    struct lf_claim c;
    assert_int_equal(take(r, &h, 1, "up", 0), LF_OK);
    add(&h, "what was said before");
    lf_part_leave(&r->parts, &h);
    assert_int_equal(take(r, &h, 1, "up", 0), LF_OK);
    add(&h, "this");
    lf_part_leave(&r->parts, &h);
    assert_int_equal(claim(r, &c, 1, "up", "this"), LF_OK);
    claimed_is(&c, "this");
    lf_parts_answer(&r->parts, 1, "up", NULL); /* it was refused: nothing is remembered */
    assert_int_equal(claim(r, &c, 1, "up", "this"), LF_E_NOT_FOUND);
}

static void other_bytes_are_not_taken(void **state)
{
    struct rig *r = *state;
    struct lf_part_hold h;
    struct lf_claim c;
    assert_int_equal(take(r, &h, 1, "up", 0), LF_OK);
    add(&h, "these");
    lf_part_leave(&r->parts, &h);
    assert_int_equal(claim(r, &c, 1, "up", "those"), LF_E_DAMAGED);
    assert_int_equal(claim(r, &c, 1, "up", "these"), LF_E_NOT_FOUND);
}

static void while_it_is_taken_in_it_is_not_gone_on_with(void **state)
{
    struct rig *r = *state;
    struct lf_part_hold h, again;
    struct lf_claim c;
    struct lf_diag diag;
    assert_int_equal(take(r, &h, 1, "up", 0), LF_OK);
    add(&h, "all");
    assert_int_equal(claim(r, &c, 1, "up", "all"), LF_OK);
    assert_int_equal(lf_part_write(&h, "x", 1, &diag), LF_E_CANCELLED);
    assert_int_equal(take(r, &again, 1, "up", 0), LF_E_BUSY);
    assert_int_equal(claim(r, &c, 1, "up", "all"), LF_E_BUSY);
    lf_part_leave(&r->parts, &h);
    claimed_is(&c, "all");
    lf_parts_answer(&r->parts, 1, "up", "taken");
}

static void *take_turns(void *arg)
{
    struct rig *r = arg;
    struct lf_part_hold h;
    struct lf_diag diag;
    for (int i = 0; i < 200; i++) {
        uint64_t at = bytes_of(r, 1, "up");
        if (take(r, &h, 1, "up", at) != LF_OK)
            continue; /* another was first */
        for (int k = 0; k < 3 && lf_part_write(&h, "xxxxxxx", 7, &diag) == LF_OK; k++)
            sched_yield();
        lf_part_leave(&r->parts, &h);
    }
    return NULL;
}

static void writers_that_take_it_from_each_other_leave_it_whole(void **state)
{
    struct rig *r = *state;
    struct lf_part_hold h;
    struct lf_claim c;
    pthread_t thread[4];
    assert_int_equal(take(r, &h, 1, "up", 0), LF_OK);
    add(&h, "x");
    lf_part_leave(&r->parts, &h);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, take_turns, r), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    uint64_t n = bytes_of(r, 1, "up");
    char *all = malloc(n + 1);
    memset(all, 'x', n);
    all[n] = '\0';
    assert_int_equal(n % 7, 1);
    assert_int_equal(claim(r, &c, 1, "up", all), LF_OK);
    assert_int_equal(c.bytes, n);
    close(c.fd);
    unlink(c.path);
    lf_parts_answer(&r->parts, 1, "up", "taken");
    free(all);
}

static void there_are_so_many_and_names_are_names(void **state)
{
    struct rig *r = *state;
    struct lf_part_hold h;
    char id[LF_PARTS_ID_MAX + 2];
    for (int i = 0; i < LF_PARTS_MAX; i++) {
        snprintf(id, sizeof id, "up-%d", i);
        assert_int_equal(take(r, &h, 1, id, 0), LF_OK);
        lf_part_leave(&r->parts, &h);
    }
    assert_int_equal(take(r, &h, 1, "more", 0), LF_E_OVERLOADED);
    assert_int_equal(take(r, &h, 1, "", 0), LF_E_INVALID);
    assert_int_equal(take(r, &h, 1, "../x", 0), LF_E_INVALID);
    memset(id, 'x', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    assert_int_equal(take(r, &h, 1, id, 0), LF_E_INVALID);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_has_come_is_gone_on_with),
        TEST(who_takes_hold_has_it_alone),
        TEST(at_0_it_begins_anew),
        TEST(other_bytes_are_not_taken),
        TEST(while_it_is_taken_in_it_is_not_gone_on_with),
        TEST(writers_that_take_it_from_each_other_leave_it_whole),
        TEST(there_are_so_many_and_names_are_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
