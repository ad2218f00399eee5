/* LIBS: lf_client */
/* The daemon's tree: parsed, sorted, searched; what cannot be a path is left out. */
#include "client/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char two[] =
    "{\"generation\": 42,"
    " \"bases\": [{\"name\": \"tiny\", \"created_ms\": 5, \"info_bytes\": 10,"
    "             \"config_bytes\": 20}],"
    " \"adapters\": ["
    "  {\"name\": \"zoo\", \"created_ms\": 1, \"changed_ms\": 9, \"state\": \"empty\","
    "   \"current\": 0, \"versions\": [], \"files\": {}},"
    "  {\"name\": \"ant\", \"created_ms\": 2, \"changed_ms\": 7, \"state\": \"ready\","
    "   \"current\": 2, \"versions\": [10, 2, 1],"
    "   \"files\": {\"log\": [3, 4], \"dataset.jsonl\": [100, 6],"
    "             \"versions/2/adapter_config.json\": [1, 1],"
    "             \"versions/10/adapter_config.json\": [1, 1],"
    "             \"versions/2/adapter_model.safetensors\": [8, 1]}}]}";

static struct lf_tree *parse(const char *json)
{
    struct lf_diag diag = {""};
    struct lf_tree *t = NULL;
    if (lf_tree_parse(&t, json, strlen(json), &diag) != LF_OK)
        fail_msg("%s", diag.text);
    return t;
}

static void finds_adapters_bases_and_files(void **state)
{
    (void)state;
    struct lf_tree *t = parse(two);
    assert_int_equal(t->generation, 42);
    assert_int_equal(t->changed_ms, 9);
    assert_string_equal(t->adapters[0].name, "ant");
    const struct lf_tree_adapter *a = lf_tree_adapter(t, "ant");
    assert_non_null(a);
    assert_null(lf_tree_adapter(t, "an"));
    assert_int_equal(a->current, 2);
    assert_int_equal(lf_tree_file(a, "dataset.jsonl")->bytes, 100);
    assert_null(lf_tree_file(a, "eval.jsonl"));
    assert_true(lf_tree_has_version(a, 10));
    assert_false(lf_tree_has_version(a, 3));
    assert_int_equal(lf_tree_base(t, "tiny")->config_bytes, 20);
    lf_tree_release(t);
}

static void lists_the_files_below_a_directory(void **state)
{
    (void)state;
    struct lf_tree *t = parse(two);
    size_t n;
    const struct lf_tree_adapter *a = lf_tree_adapter(t, "ant");
    const struct lf_tree_file *f = lf_tree_files_below(a, "versions/2/", &n);
    assert_int_equal(n, 2);
    assert_string_equal(f[0].path, "versions/2/adapter_config.json");
    assert_string_equal(f[1].path, "versions/2/adapter_model.safetensors");
    lf_tree_files_below(a, "versions/3/", &n);
    assert_int_equal(n, 0);
    lf_tree_release(t);
}

static void leaves_out_names_that_are_no_path(void **state)
{
    (void)state;
    struct lf_tree *t = parse(
        "{\"generation\": 1, \"bases\": [{\"name\": \"../x\"}], \"adapters\": ["
        "{\"name\": \"..\", \"files\": {}}, {\"name\": \"a/b\", \"files\": {}}, {\"files\": {}}, 7,"
        "{\"name\": \"ok\", \"versions\": [0, -1, \"x\", 4], \"files\": {"
        "\"../../etc/passwd\": [1, 1], \"a//b\": [1, 1], \"\": [1, 1], \"a/b/c/d\": [1, 1],"
        "\"log\": [-1, 1], \"status\": 3, \"prompt\": [5, 1]}}]}");
    assert_int_equal(t->n_bases, 0);
    assert_int_equal(t->n_adapters, 1);
    assert_int_equal(t->adapters[0].n_versions, 1);
    assert_int_equal(t->adapters[0].n_files, 1);
    assert_string_equal(t->adapters[0].files[0].path, "prompt");
    lf_tree_release(t);
}

static void refuses_what_is_no_tree(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "[]",
                                      "{",
                                      "{\"adapters\": 3}",
                                      "{\"bases\": {}}",
                                      "{\"adapters\": [{\"name\": \"a\", \"versions\": 1}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lf_diag diag = {""};
        struct lf_tree *t = NULL;
        if (lf_tree_parse(&t, bad[i], strlen(bad[i]), &diag) == LF_OK)
            fail_msg("%s is taken", bad[i]);
        assert_null(t);
        assert_true(diag.text[0] != '\0');
    }
}

static void reads_the_queue(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_tree_jobs jobs = {0};
    static const char text[] =
        "{\"jobs\": [{\"id\": 7, \"created_ms\": 5, \"started_ms\": null}, "
        "{\"id\": 3, \"created_ms\": 1, \"ended_ms\": 9}, {}, {\"id\": -2}, 5]}";
    assert_null(lf_tree_job(&jobs, 3));
    assert_int_equal(lf_tree_jobs_parse(&jobs, text, strlen(text), &diag), LF_OK);
    assert_int_equal(jobs.n, 2);
    assert_int_equal(lf_tree_job(&jobs, 3)->changed_ms, 9);
    assert_int_equal(lf_tree_job(&jobs, 7)->changed_ms, 5);
    assert_null(lf_tree_job(&jobs, 4));
    assert_int_not_equal(lf_tree_jobs_parse(&jobs, "{\"jobs\": 1}", 11, &diag), LF_OK);
    assert_int_equal(jobs.n, 2);
    lf_tree_jobs_free(&jobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_adapters_bases_and_files),
        cmocka_unit_test(lists_the_files_below_a_directory),
        cmocka_unit_test(leaves_out_names_that_are_no_path),
        cmocka_unit_test(refuses_what_is_no_tree),
        cmocka_unit_test(reads_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
