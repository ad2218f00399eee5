/* LIBS: lf_core */
/* Files: what is no regular file is refused, and not waited for. */
#include "core/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void only_regular_files_are_mapped(void **state)
{
    (void)state;
    char dir[] = "/tmp/lf-file-XXXXXX", path[64];
    struct lf_diag diag = {""};
    struct lf_mapping m;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(10); /* nobody ever writes into it */
    assert_int_equal(lf_file_map(&m, path, &diag), LF_E_INVALID);
    alarm(0);
    assert_non_null(strstr(diag.text, "not a regular file"));
    assert_int_equal(lf_file_map(&m, dir, &diag), LF_E_INVALID);
    snprintf(path, sizeof path, "%s/plain", dir);
    assert_int_equal(lf_file_map(&m, path, &diag), LF_E_NOT_FOUND);
    assert_int_equal(lf_file_write(path, "abc", 3, &diag), LF_OK);
    assert_int_equal(lf_file_map(&m, path, &diag), LF_OK);
    assert_int_equal(m.bytes, 3);
    assert_memory_equal(m.data, "abc", 3);
    lf_file_unmap(&m);
    assert_int_equal(lf_dir_remove(dir, &diag), LF_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_regular_files_are_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
