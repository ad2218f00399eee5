/* LIBS: lf_core */
/* Budgets of host memory, and what JSON becomes as a tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/budget.h"
#include "core/json.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void what_does_not_fit_is_refused_and_said_which_way(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    struct lf_budget *b = lf_budget_new(100, "--option");
    assert_int_equal(lf_budget_take(b, 60, 0, "it needs", &diag), LF_OK);
    assert_int_equal(lf_budget_take(b, 41, 0, "it needs", &diag), LF_E_OVERLOADED);
    assert_non_null(strstr(diag.text, "it needs"));
    assert_non_null(strstr(diag.text, "--option"));
    assert_int_equal(lf_budget_take(b, 40, 0, "it needs", &diag), LF_OK);
    assert_int_equal(lf_budget_used(b), 100);
    lf_budget_give(b, 100);
    assert_int_equal(lf_budget_take(b, 101, 0, "it needs", &diag), LF_E_TOO_BIG);
    assert_int_equal(lf_budget_take(b, 50, 51, "it needs", &diag), LF_E_TOO_BIG);
    assert_int_equal(lf_budget_take(b, UINT64_MAX, UINT64_MAX, "it needs", &diag), LF_E_TOO_BIG);
    assert_int_equal(lf_budget_used(b), 0);
    assert_int_equal(lf_budget_take(NULL, UINT64_MAX, 0, "it needs", &diag), LF_OK);
    lf_budget_give(NULL, 1);
    lf_budget_free(b);
}

static void the_machines_memory_is_the_least_limit(void **state)
{
    (void)state;
    uint64_t here = lf_memory_limit();
    assert_in_range(here, 1 << 20, UINT64_MAX / 2);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit r = {1u << 29, 1u << 29};
        _exit(setrlimit(RLIMIT_AS, &r) == 0 && lf_memory_limit() == 1u << 29 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Bytes that malloc has given out; a sanitizer has one of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
size_t __sanitizer_get_current_allocated_bytes(void);
static size_t in_use(void)
{
    return __sanitizer_get_current_allocated_bytes();
}
#else
static size_t in_use(void)
{
    return mallinfo2().uordblks;
}
#endif

/* A document of n times `piece` in a list. */
static char *list_of(const char *piece, size_t n)
{
    size_t len = strlen(piece);
    char *text = malloc(n * (len + 1) + 2), *p = text;
    *p++ = '[';
    for (size_t i = 0; i < n; i++) {
        memcpy(p, piece, len);
        p[len] = ',';
        p += len + 1;
    }
    p[-1] = ']';
    *p = '\0';
    return text;
}

static void a_tree_is_no_larger_than_is_said_before(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "{}", "[]", "1", "\"\"", "1.5", "{\"a\":null}", "[[1]]", "\"some words in a text\""};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        char *text = list_of(pieces[i], 50000);
        json_t *j = NULL;
        size_t before = in_use(), said = lf_json_tree_bytes(text, strlen(text));
        assert_int_equal(lf_json_parse(&j, text, strlen(text), NULL), LF_OK);
        size_t took = in_use() - before;
        if (took > said || said > 4 * took + 4096)
            fail_msg("%s: %zu bytes said, %zu taken", pieces[i], said, took);
        assert_in_range(lf_json_size(j), took / 2, 2 * said);
        json_decref(j);
        free(text);
    }
}

static void a_small_document_becomes_no_large_tree(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    json_t *j = NULL;
    char *text = list_of("{}", 2000000);
    assert_int_equal(lf_json_parse(&j, text, strlen(text), &diag), LF_E_TOO_BIG);
    assert_non_null(strstr(diag.text, "too many values"));
    free(text);
    text = list_of("12345", 1000000); /* a prompt of ids */
    assert_int_equal(lf_json_parse(&j, text, strlen(text), &diag), LF_OK);
    json_decref(j);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_fit_is_refused_and_said_which_way),
        cmocka_unit_test(the_machines_memory_is_the_least_limit),
        cmocka_unit_test(a_tree_is_no_larger_than_is_said_before),
        cmocka_unit_test(a_small_document_becomes_no_large_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
