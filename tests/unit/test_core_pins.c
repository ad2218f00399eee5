/* LIBS: lf_core */
/* Files that are read piece by piece stay readable when they are replaced; not for ever, and not
 * more than there is room for. */
#include "core/pins.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PROMPT, DATASET };

struct rig {
    struct lf_pins pins;
    char path[64];
};

static int set_up(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    lf_pins_init(&r->pins);
    snprintf(r->path, sizeof r->path, "/tmp/lf-pins-%d", (int)getpid());
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;
    lf_pins_deinit(&r->pins);
    free(r);
    return 0;
}

/* A file with these bytes, kept and then removed. */
static void keep(struct rig *r, uint64_t owner, const char *bytes, char tag[LF_FILE_TAG])
{
    struct stat st;
    int fd = open(r->path, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
    assert_int_equal(fstat(fd, &st), 0);
    lf_file_tag(tag, &st);
    lf_pins_keep(&r->pins, owner, PROMPT, tag, fd);
    close(fd);
    unlink(r->path);
}

static bool finds(struct rig *r, uint64_t owner, int kind, const char *tag, const char *bytes)
{
    char got[16] = "";
    int fd = lf_pins_find(&r->pins, owner, kind, tag);
    if (fd < 0)
        return false;
    assert_true(pread(fd, got, sizeof got - 1, 0) >= 0);
    close(fd);
    assert_string_equal(got, bytes);
    return true;
}

static void what_was_asked_for_is_found_by_its_owner_and_tag(void **state)
{
    struct rig *r = *state;
    char tag[LF_FILE_TAG];
    keep(r, 1, "old", tag);
    assert_true(finds(r, 1, PROMPT, tag, "old"));
    assert_false(finds(r, 2, PROMPT, tag, ""));
    assert_false(finds(r, 1, DATASET, tag, ""));
    assert_false(finds(r, 1, PROMPT, "0", ""));
    lf_pins_forget(&r->pins, 1, DATASET);
    assert_true(finds(r, 1, PROMPT, tag, "old"));
    lf_pins_forget(&r->pins, 1, PROMPT);
    assert_false(finds(r, 1, PROMPT, tag, ""));
}

static void what_nobody_asks_for_goes(void **state)
{
    struct rig *r = *state;
    char early[LF_FILE_TAG], late[LF_FILE_TAG];
    keep(r, 1, "early", early);
    r->pins.pin[0].asked_ns = 0;
    keep(r, 2, "late", late);
    lf_pins_expire(&r->pins);
    assert_false(finds(r, 1, PROMPT, early, ""));
    assert_true(finds(r, 2, PROMPT, late, "late"));
}

static void the_one_asked_for_longest_ago_makes_room(void **state)
{
    struct rig *r = *state;
    char first[LF_FILE_TAG], second[LF_FILE_TAG], tag[LF_FILE_TAG];
    keep(r, 1, "first", first);
    keep(r, 2, "second", second);
    for (int i = 3; i <= LF_PINS_MAX; i++)
        keep(r, (uint64_t)i, "more", tag);
    int fd = lf_pins_find(&r->pins, 1, PROMPT, first);
    lf_pins_keep(&r->pins, 1, PROMPT, first, fd); /* asked for again */
    close(fd);
    keep(r, LF_PINS_MAX + 1, "last", tag);
    assert_true(finds(r, 1, PROMPT, first, "first"));
    assert_false(finds(r, 2, PROMPT, second, ""));
    assert_true(finds(r, LF_PINS_MAX + 1, PROMPT, tag, "last"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_asked_for_is_found_by_its_owner_and_tag, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_nobody_asks_for_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_one_asked_for_longest_ago_makes_room, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
