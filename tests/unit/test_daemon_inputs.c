/* LIBS: lf_daemon */
/* A data set is read once for its digest, however often it is asked for, until another one takes
 * its place. */
#include "daemon/jobs/inputs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_digest(struct lf_recent *d, const char *path, const char *bytes)
{
    struct lf_diag diag = {""};
    char want[LF_SHA256_HEX], got[LF_SHA256_HEX];
    lf_sha256_hex(want, bytes, strlen(bytes));
    if (lf_digest_of(d, path, got, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_string_equal(got, want);
}

/* Behind the back of whoever goes by the file's tag. */
static void write_over(const char *path, const char *bytes)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, bytes, strlen(bytes), 0), strlen(bytes));
    assert_int_equal(futimens(fd, (struct timespec[]){st.st_atim, st.st_mtim}), 0);
    close(fd);
}

static void a_data_set_is_read_once(void **state)
{
    (void)state;
    struct lf_recent d;
    struct lf_diag diag = {""};
    char dir[] = "/tmp/lf-inputs-XXXXXX", path[64], other[64], sha256[LF_SHA256_HEX];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/rows", dir);
    snprintf(other, sizeof other, "%s/linked", dir);
    lf_recent_init(&d);
    assert_int_equal(lf_file_write(path, "one", 3, &diag), LF_OK);
    expect_digest(&d, path, "one");
    write_over(path, "two");
    expect_digest(&d, path, "one");
    assert_int_equal(link(path, other), 0); /* as a job's inputs are */
    expect_digest(&d, other, "one");
    assert_int_equal(lf_file_write(path, "six", 3, &diag), LF_OK);
    expect_digest(&d, path, "six");
    expect_digest(&d, other, "one");
    for (int i = 0; i < LF_RECENT_KEPT; i++) { /* more than are kept */
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        assert_int_equal(lf_file_write(path, text, strlen(text), &diag), LF_OK);
        expect_digest(&d, path, text);
    }
    expect_digest(&d, other, "two");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(lf_digest_of(&d, path, sha256, &diag), LF_E_NOT_FOUND);
    lf_recent_deinit(&d);
    assert_int_equal(lf_dir_remove(dir, &diag), LF_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_data_set_is_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
