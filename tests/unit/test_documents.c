/* LIBS: lf_meta lf_core */
/* Documents: ids are ordered and never a path, a change is whole, what a crash left goes. */
#include "core/file.h"
#include "core/json.h"
#include "meta/documents.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static struct lf_diag diag;

static void must(enum lf_err rc)
{
    if (rc != LF_OK)
        fail_msg("%s: %s", lf_err_name(rc), diag.text);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/lf-documents-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return lf_dir_remove(dir, NULL);
}

static void put(const char *id, int n)
{
    json_auto_t *j = json_pack("{s:s, s:i}", "id", id, "n", n);
    must(lf_document_put(dir, j, &diag));
}

static void write_beside(const char *id, const char *suffix)
{
    char path[LF_PATH_MAX];
    must(lf_document_path(path, dir, id, suffix, &diag));
    must(lf_file_write(path, "x", 1, &diag));
}

static bool is_there(const char *id, const char *suffix)
{
    char path[LF_PATH_MAX];
    must(lf_document_path(path, dir, id, suffix, &diag));
    return lf_file_exists(path);
}

static void ids_are_in_the_order_of_their_making(void **state)
{
    (void)state;
    char id[20][LF_DOCUMENT_ID_MAX];
    lf_names_auto names = {0};
    for (int i = 0; i < 20; i++) {
        lf_document_id(id[i], i % 2 ? "batch_" : "file-");
        assert_true(lf_document_is(id[i], i % 2 ? "batch_" : "file-"));
        assert_false(lf_document_is(id[i], i % 2 ? "file-" : "batch_"));
        put(id[i], i);
        write_beside(id[i], LF_DOCUMENT_BYTES);
    }
    must(lf_documents_list(&names, dir, "file-", &diag));
    assert_int_equal(names.n, 10);
    for (size_t i = 0; i < names.n; i++)
        assert_string_equal(names.at[i], id[2 * i]);
}

static void a_name_that_is_no_id_is_not_found(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "file-",
                                        "file-../../../../../etc/passwd",
                                        "file-00000000000000000000000G",
                                        "file-0000000000000000000000000",
                                        "batch_000000000000000000000000"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *j = NULL;
        assert_int_equal(lf_document_get(&j, dir, "file-", names[i], &diag), LF_E_NOT_FOUND);
        assert_null(j);
    }
}

static void a_document_is_replaced_and_removed_whole(void **state)
{
    (void)state;
    char id[LF_DOCUMENT_ID_MAX];
    json_t *j = NULL;
    lf_document_id(id, "file-");
    put(id, 1);
    put(id, 2);
    write_beside(id, LF_DOCUMENT_BYTES);
    must(lf_document_get(&j, dir, "file-", id, &diag));
    assert_int_equal(json_integer_value(json_object_get(j, "n")), 2);
    json_decref(j);
    must(lf_document_remove(dir, id, &diag));
    j = NULL;
    assert_int_equal(lf_document_get(&j, dir, "file-", id, &diag), LF_E_NOT_FOUND);
    assert_false(is_there(id, LF_DOCUMENT_BYTES));
}

static void what_a_crash_left_goes_at_the_next_opening(void **state)
{
    (void)state;
    char whole[LF_DOCUMENT_ID_MAX], half[LF_DOCUMENT_ID_MAX], name[LF_DOCUMENT_ID_MAX + 8];
    bool aside;
    lf_document_id(whole, "batch_");
    lf_document_id(half, "batch_");
    put(whole, 1);
    write_beside(whole, LF_DOCUMENT_OUTPUT);
    write_beside(half, LF_DOCUMENT_OUTPUT);
    write_beside(whole, ".json.tmp-0a1b2c");
    must(lf_documents_open(dir, &diag));
    assert_true(is_there(whole, LF_DOCUMENT_OUTPUT));
    assert_false(is_there(half, LF_DOCUMENT_OUTPUT));
    assert_false(is_there(whole, ".json.tmp-0a1b2c"));
    write_beside(whole, ".json"); /* "x" */
    snprintf(name, sizeof name, "%s.json", whole);
    assert_non_null(lf_document_fault(dir, name, &aside));
    assert_true(aside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ids_are_in_the_order_of_their_making, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_that_is_no_id_is_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_document_is_replaced_and_removed_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_crash_left_goes_at_the_next_opening, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
