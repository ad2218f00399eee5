/* LIBS: lf_fs lf_core */
/* The name space: what each name is, what is known of it, what a directory lists. */
#include "fs/space.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char text[] =
    "{\"generation\": 1, \"bases\": [{\"name\": \"tiny\", \"created_ms\": 5, \"info_bytes\": 10,"
    " \"config_bytes\": 20}],"
    " \"adapters\": [{\"name\": \"ant\", \"changed_ms\": 7, \"current\": 2, \"versions\": [1, 2],"
    " \"files\": {\"dataset.jsonl\": [100, 6], \"log\": [3, 4], \"prompt\": [5, 4],"
    "  \"adapter/adapter_config.json\": [11, 1], \"adapter/README.md\": [2, 1],"
    "  \"versions/2/adapter_config.json\": [11, 1]}}]}";

struct world {
    struct lf_tree *tree;
    struct lf_tree_jobs jobs;
    struct lf_view view;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct lf_diag diag = {""};
    static const char queue[] = "{\"jobs\": [{\"id\": 3}]}";
    if (!w || lf_tree_parse(&w->tree, text, strlen(text), &diag) != LF_OK ||
        lf_tree_jobs_parse(&w->jobs, queue, strlen(queue), &diag) != LF_OK) {
        fprintf(stderr, "%s\n", diag.text);
        return 1;
    }
    w->view = (struct lf_view){w->tree, &w->jobs};
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    lf_tree_release(w->tree);
    lf_tree_jobs_free(&w->jobs);
    free(w);
    return 0;
}

/* Follows a path from the root; LF_E_NOT_FOUND where it cannot be or is not there. */
static enum lf_err walk(const struct world *w, const char *path, struct lf_place *place,
                        struct lf_facts *facts)
{
    enum lf_err rc = LF_OK;
    *place = (struct lf_place){.kind = LF_KIND_ROOT};
    *facts = (struct lf_facts){0};
    while (*path && rc == LF_OK) {
        char name[300];
        int n = (int)strcspn(path, "/");
        snprintf(name, sizeof name, "%.*s", n, path);
        path += n + (path[n] == '/');
        struct lf_place child;
        rc = lf_space_child(&child, &w->view, place, name);
        if (rc == LF_OK)
            *place = child;
    }
    return rc == LF_OK ? lf_space_facts(facts, &w->view, place) : rc;
}

static void knows_every_name_of_the_tree(void **state)
{
    static const struct {
        const char *path;
        enum lf_kind kind;
        uint64_t bytes;
    } rows[] = {
        {"base", LF_KIND_BASES, 0},
        {"base/tiny", LF_KIND_BASE, 0},
        {"base/tiny/info", LF_KIND_BASE_FILE, 10},
        {"base/tiny/config.json", LF_KIND_BASE_FILE, 20},
        {"metrics", LF_KIND_METRICS, 0},
        {"jobs/3", LF_KIND_JOB, 0},
        {"model/ant", LF_KIND_ADAPTER, 0},
        {"model/ant/dataset.jsonl", LF_KIND_UPLOAD, 100},
        {"model/ant/log", LF_KIND_LOG, 3},
        {"model/ant/status", LF_KIND_TEXT, 0},
        {"model/ant/progress", LF_KIND_PROGRESS, 0},
        {"model/ant/generate", LF_KIND_GENERATE, 0},
        {"model/ant/adapter", LF_KIND_WEIGHTS, 0},
        {"model/ant/adapter/adapter_config.json", LF_KIND_UPLOAD, 11},
        {"model/ant/adapter/README.md", LF_KIND_UPLOAD, 2},
        {"model/ant/versions/2", LF_KIND_VERSION, 0},
        {"model/ant/versions/2/adapter_config.json", LF_KIND_REMOTE, 11},
        {"model/ant/versions/current", LF_KIND_CURRENT, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lf_place p;
        struct lf_facts f;
        if (walk(*state, rows[i].path, &p, &f) != LF_OK)
            fail_msg("%s is not there", rows[i].path);
        if (p.kind != rows[i].kind || f.bytes != rows[i].bytes)
            fail_msg("%s is of kind %d with %llu bytes", rows[i].path, (int)p.kind,
                     (unsigned long long)f.bytes);
    }
}

static void says_what_is_not_there(void **state)
{
    static const char *const paths[] = {"nothing",
                                        "base/huge",
                                        "base/tiny/weights",
                                        "jobs/4",
                                        "jobs/x",
                                        "model/bee",
                                        "model/.git",
                                        "model/ant/eval.jsonl",
                                        "model/ant/metrics.json",
                                        "model/ant/.dataset.jsonl.swp",
                                        "model/ant/adapter/adapter_model.safetensors",
                                        "model/ant/adapter/4913",
                                        "model/ant/versions/3",
                                        "model/ant/versions/02",
                                        "model/ant/versions/1/adapter_config.json",
                                        "model/ant/versions/CuAb12"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct lf_place p;
        struct lf_facts f;
        if (walk(*state, paths[i], &p, &f) != LF_E_NOT_FOUND)
            fail_msg("%s is there", paths[i]);
    }
}

static void takes_temporaries_for_local_files_and_nothing_else(void **state)
{
    const struct world *w = *state;
    struct lf_place p, adapter = {.kind = LF_KIND_ADAPTER, .owner = "ant"};
    struct lf_place weights = {.kind = LF_KIND_WEIGHTS, .owner = "ant", .rel = "adapter"};
    struct lf_place versions = {.kind = LF_KIND_VERSIONS, .owner = "ant", .rel = "versions"};
    char longest[256];
    memset(longest, 'x', 255);
    longest[255] = '\0';
    static const char *const names[] = {".dataset.jsonl.swp",
                                        "4913",
                                        "dataset.jsonl~",
                                        "sedAbc123",
                                        ".dataset.jsonl.XXXXXX",
                                        "#template#",
                                        "config.json.tmp-81",
                                        "tmpx7ab_0",
                                        "adapter_config.json.part",
                                        "dataset.jsonlaBc12d",
                                        "config.json1764536012",
                                        "gawk.aBc12d",
                                        "d2utmpaBc12d"};
    static const char *const others[] = {"a b",
                                         "train.jsonl",
                                         "notes",
                                         "sedimentary",
                                         "adapter_model.bin",
                                         "old.jsonl",
                                         "checkpoint-5",
                                         "dataset.jsonlbackup",
                                         "dataset.jsonl2",
                                         "promptaBc12d",
                                         "gawk.awk"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(lf_space_child(&p, &w->view, &adapter, names[i]), LF_OK);
        assert_int_equal(p.kind, LF_KIND_LOCAL);
        assert_int_equal(lf_space_child(&p, &w->view, &weights, names[i]), LF_OK);
        assert_int_equal(p.kind, LF_KIND_LOCAL);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_int_equal(lf_space_child(&p, &w->view, &adapter, others[i]), LF_E_NOT_FOUND);
        assert_int_equal(lf_space_child(&p, &w->view, &weights, others[i]), LF_E_NOT_FOUND);
    }
    const struct lf_place waiting = {.kind = LF_KIND_LOCAL_DIR, .owner = "ant"};
    assert_int_equal(lf_space_child(&p, &w->view, &waiting, "dataset.jsonl"), LF_OK);
    assert_int_equal(p.kind, LF_KIND_LOCAL);
    assert_true(lf_file_is_temporary_dir(".~tmp~") && lf_file_is_temporary_dir(".rsync-partial"));
    assert_false(lf_file_is_temporary_dir(".git") || lf_file_is_temporary_dir("tmp"));
    assert_int_equal(lf_space_child(&p, &w->view, &adapter, longest), LF_E_NOT_FOUND);
    assert_int_equal(lf_space_child(&p, &w->view, &adapter, "adapter_config.json"), LF_OK);
    assert_int_equal(p.kind, LF_KIND_UPLOAD);
    assert_string_equal(p.rel, "adapter/adapter_config.json");
    assert_int_equal(lf_space_child(&p, &w->view, &versions, "CuXy12zz"), LF_OK);
    assert_int_equal(p.kind, LF_KIND_LOCAL_LINK);
}

static enum lf_err count(void *arg, const char *name)
{
    (void)name;
    ++*(size_t *)arg;
    return LF_OK;
}

static void lists_what_is_there(void **state)
{
    static const struct {
        struct lf_place dir;
        size_t n;
    } rows[] = {
        {{.kind = LF_KIND_ROOT}, 5},
        {{.kind = LF_KIND_BASES}, 1},
        {{.kind = LF_KIND_BASE, .owner = "tiny"}, 2},
        {{.kind = LF_KIND_JOBS}, 1},
        {{.kind = LF_KIND_MODELS}, 1},
        {{.kind = LF_KIND_ADAPTER, .owner = "ant"}, 13}, /* ten are always there */
        {{.kind = LF_KIND_WEIGHTS, .owner = "ant", .rel = "adapter"}, 2},
        {{.kind = LF_KIND_VERSIONS, .owner = "ant", .rel = "versions"}, 3},
        {{.kind = LF_KIND_VERSION, .owner = "ant", .rel = "versions/2"}, 1},
    };
    const struct world *w = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = 0;
        assert_int_equal(lf_space_list(&w->view, &rows[i].dir, count, &n), LF_OK);
        if (n != rows[i].n)
            fail_msg("row %zu: %zu names, not %zu", i, n, rows[i].n);
    }
    struct lf_place gone = {.kind = LF_KIND_ADAPTER, .owner = "bee"};
    size_t n = 0;
    assert_int_equal(lf_space_list(&w->view, &gone, count, &n), LF_E_NOT_FOUND);
}

struct listed {
    const struct world *w;
    const struct lf_place *dir;
    size_t n;
};

static enum lf_err must_be_there(void *arg, const char *name)
{
    struct listed *l = arg;
    struct lf_place p;
    struct lf_facts f;
    assert_int_equal(lf_space_child(&p, &l->w->view, l->dir, name), LF_OK);
    if (lf_space_facts(&f, &l->w->view, &p) != LF_OK)
        fail_msg("%s is listed, not found", name);
    if (lf_kind_is_dir(p.kind)) {
        struct listed below = {l->w, &p, 0};
        assert_int_equal(lf_space_list(&l->w->view, &p, must_be_there, &below), LF_OK);
        l->n += below.n;
    }
    l->n++;
    return LF_OK;
}

static void lists_nothing_that_it_does_not_find(void **state)
{
    struct lf_place root = {.kind = LF_KIND_ROOT};
    struct listed l = {*state, &root, 0};
    assert_int_equal(lf_space_list(&l.w->view, &root, must_be_there, &l), LF_OK);
    assert_int_equal(l.n, 5 + 1 + 2 + 1 + 1 + 13 + 2 + 3 + 1);
}

static void knows_which_files_train_and_which_may_go(void **state)
{
    (void)state;
    struct lf_place dataset = {.kind = LF_KIND_UPLOAD, .owner = "a", .rel = "dataset.jsonl"};
    struct lf_place eval = {.kind = LF_KIND_UPLOAD, .owner = "a", .rel = "eval.jsonl"};
    struct lf_place prompt = {.kind = LF_KIND_UPLOAD, .owner = "a", .rel = "prompt"};
    struct lf_place weights = {
        .kind = LF_KIND_UPLOAD, .owner = "a", .rel = "adapter/adapter_model.safetensors"};
    struct lf_place version = {.kind = LF_KIND_VERSION, .owner = "a", .rel = "versions/2"};
    struct lf_place status = {.kind = LF_KIND_TEXT, .owner = "a", .rel = "status"};
    assert_true(lf_space_trains(&dataset));
    assert_false(lf_space_trains(&eval));
    assert_true(lf_space_removable(&prompt));
    assert_true(lf_space_removable(&version));
    assert_false(lf_space_removable(&weights));
    assert_false(lf_space_removable(&status));
    assert_true(lf_space_may_be_empty(&prompt));
    assert_false(lf_space_may_be_empty(&eval));
    assert_false(lf_space_may_be_empty(&weights));
}

static void reads_numbers_strictly(void **state)
{
    (void)state;
    assert_int_equal(lf_space_number("1"), 1);
    assert_int_equal(lf_space_number("120"), 120);
    assert_int_equal(lf_space_number("999999999999999999"), 999999999999999999);
    static const char *const bad[] = {"", "0", "01", "-1", "1x", " 1", "1000000000000000000"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(lf_space_number(bad[i]), 0);
}

static void explains_itself_on_a_page(void **state)
{
    (void)state;
    struct lf_buf page;
    size_t lines = 0;
    lf_buf_init(&page, 0);
    assert_int_equal(lf_space_readme(&page), LF_OK);
    for (const char *p = page.data; *p; p += strcspn(p, "\n") + 1) {
        assert_in_range(strcspn(p, "\n"), 0, 100);
        lines++;
    }
    assert_in_range(lines, 10, 50);
    lf_buf_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_every_name_of_the_tree),
        cmocka_unit_test(says_what_is_not_there),
        cmocka_unit_test(takes_temporaries_for_local_files_and_nothing_else),
        cmocka_unit_test(lists_what_is_there),
        cmocka_unit_test(lists_nothing_that_it_does_not_find),
        cmocka_unit_test(knows_which_files_train_and_which_may_go),
        cmocka_unit_test(reads_numbers_strictly),
        cmocka_unit_test(explains_itself_on_a_page),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
