/* LIBS: lf_peers lf_core */
/* What several daemons share: which publication counts, what a daemon does about it, and that bytes
 * are what was published, or nobody's. */
#include "peers/publication.h"

#include "core/sums.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define A "aa00112233445566778899aabbccddeeff001122334455667788990011223344"
#define B "bb00112233445566778899aabbccddeeff001122334455667788990011223344"

static struct lf_published publication(const char *sha256, int64_t stamp_ms)
{
    struct lf_published p = {.name = "red", .version = sha256[0] ? 1 : 0, .stamp_ms = stamp_ms};
    snprintf(p.sha256, sizeof p.sha256, "%s", sha256);
    return p;
}

static void the_later_one_counts_and_of_equals_one_of_them(void **state)
{
    (void)state;
    struct lf_published a = publication(A, 5), b = publication(B, 5), c = publication(A, 6);
    assert_true(lf_published_is_newer(&c, &b) && !lf_published_is_newer(&b, &c));
    assert_true(lf_published_is_newer(&b, &a) && !lf_published_is_newer(&a, &b));
    assert_false(lf_published_is_newer(&a, &a));
}

static void a_text_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"version\": 1, \"sha256\": \"\", \"base_sha256\": \"\", \"stamp_ms\": 1}",
        "{\"version\": 0, \"sha256\": \"" A "\", \"base_sha256\": \"\", \"stamp_ms\": 1}",
        "{\"version\": 1, \"sha256\": \"../" A "\", \"base_sha256\": \"\", \"stamp_ms\": 1}",
        "{\"version\": 1, \"sha256\": \"" A "\", \"base_sha256\": \"" B "\"}",
        "{\"version\": 1, \"sha256\": \"" A "\", \"base_sha256\": \"" B
        "\", \"stamp_ms\": 1, \"settings\": 3}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lf_published p = {0};
        struct lf_diag diag = {""};
        assert_int_not_equal(lf_published_parse(&p, "red", bad[i], strlen(bad[i]), &diag), LF_OK);
        assert_true(diag.text[0]);
    }
}

/* ---- What a daemon does ---------------------------------------------------------------------- */

static struct lf_sharing_agreed agreed(uint64_t id, int32_t version, const char *sha256, int64_t ms)
{
    struct lf_sharing_agreed a = {.id = id, .version = version, .stamp_ms = ms};
    snprintf(a.sha256, sizeof a.sha256, "%s", sha256);
    return a;
}

static void what_changed_here_is_published(void **state)
{
    (void)state;
    struct lf_published a = publication(A, 5), b = publication(B, 7);
    struct lf_sharing_agreed none = {0}, at = agreed(3, 1, A, 5);
    struct lf_sharing_local v1 = {3, 1, true, false}, v2 = {3, 2, true, false};
    struct lf_sharing_local again = {4, 1, true, false}, empty = {3, 0, true, false};
    assert_int_equal(lf_sharing_act(&empty, &none, NULL), LF_SHARING_NOTHING);
    assert_int_equal(lf_sharing_act(&v1, &none, NULL), LF_SHARING_PUBLISH);
    assert_int_equal(lf_sharing_act(&v1, &at, &a), LF_SHARING_NOTHING);
    assert_int_equal(lf_sharing_act(&v2, &at, &a), LF_SHARING_PUBLISH);
    /* Removed and made anew; over what came from elsewhere meanwhile; and its file was lost. */
    assert_int_equal(lf_sharing_act(&again, &at, &a), LF_SHARING_PUBLISH);
    assert_int_equal(lf_sharing_act(&v2, &at, &b), LF_SHARING_PUBLISH);
    assert_int_equal(lf_sharing_act(&v1, &at, NULL), LF_SHARING_PUBLISH);
    /* A daemon that was just started: what was never shared is news, what was is not. */
    assert_int_equal(lf_sharing_act(&v1, &none, &b), LF_SHARING_PUBLISH);
    v1.published = true;
    assert_int_equal(lf_sharing_act(&v1, &none, &b), LF_SHARING_ADOPT);
}

static void what_changed_elsewhere_comes_where_it_is_wanted(void **state)
{
    (void)state;
    struct lf_published a = publication(A, 5), b = publication(B, 7), gone = publication("", 8);
    struct lf_sharing_agreed none = {0}, at = agreed(3, 1, A, 5), lazy = agreed(0, 0, A, 5);
    struct lf_sharing_local v1 = {3, 1, true, false}, absent = {0}, pinned = {.wanted = true};
    assert_int_equal(lf_sharing_act(&v1, &at, &b), LF_SHARING_ADOPT);
    assert_int_equal(lf_sharing_act(&absent, &none, &a), LF_SHARING_NOTHING);
    assert_int_equal(lf_sharing_act(&absent, &lazy, &b), LF_SHARING_NOTHING);
    assert_int_equal(lf_sharing_act(&pinned, &none, &a), LF_SHARING_ADOPT);
    assert_int_equal(lf_sharing_act(&v1, &at, &gone), LF_SHARING_REMOVE);
    assert_int_equal(lf_sharing_act(&absent, &none, &gone), LF_SHARING_NOTHING);
}

static void what_was_removed_here_is_withdrawn(void **state)
{
    (void)state;
    struct lf_published a = publication(A, 5), b = publication(B, 7), gone = publication("", 8);
    struct lf_sharing_agreed at = agreed(3, 1, A, 5);
    struct lf_sharing_local absent = {0};
    assert_int_equal(lf_sharing_act(&absent, &at, &a), LF_SHARING_WITHDRAW);
    assert_int_equal(lf_sharing_act(&absent, &at, &b), LF_SHARING_NOTHING);
    assert_int_equal(lf_sharing_act(&absent, &at, &gone), LF_SHARING_NOTHING);
}

/* ---- Files ----------------------------------------------------------------------------------- */

struct place {
    char dir[LF_PATH_MAX], shared[LF_PATH_MAX], version[LF_PATH_MAX], to[LF_PATH_MAX];
    char sha256[LF_SHA256_HEX];
};

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[LF_PATH_MAX];
    assert_int_equal(lf_path_join(path, dir, name, NULL), LF_OK);
    assert_int_equal(lf_file_write(path, text, strlen(text), NULL), LF_OK);
}

static int set_up(void **state)
{
    static const char *const named[] = {"adapter_config.json", "adapter_model.safetensors", NULL};
    struct place *p = calloc(1, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "/tmp/lorafs-test-peers-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    char *const below[] = {p->shared, p->version, p->to};
    static const char *const names[] = {"shared", "version", "to"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lf_path_join(below[i], p->dir, names[i], NULL), LF_OK);
        assert_int_equal(lf_dir_make(below[i], NULL), LF_OK);
    }
    write_file(p->version, named[0], "{}");
    write_file(p->version, named[1], "weights");
    assert_int_equal(lf_sums_write(p->version, named, NULL), LF_OK);
    assert_int_equal(lf_sums_digest(p->sha256, p->version, NULL), LF_OK);
    assert_int_equal(lf_shared_open(p->shared, NULL), LF_OK);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    int rc = lf_dir_remove(p->dir, NULL);
    free(p);
    return rc;
}

static size_t n_versions(const struct place *p)
{
    char path[LF_PATH_MAX];
    lf_names_auto names = {0};
    assert_int_equal(lf_path_join(path, p->shared, "versions", NULL), LF_OK);
    assert_int_equal(lf_dir_names(&names, path, NULL), LF_OK);
    return names.n;
}

static void a_version_is_put_once_and_got_as_it_was(void **state)
{
    struct place *p = *state;
    struct lf_diag diag = {""};
    for (int i = 0; i < 2; i++)
        assert_int_equal(lf_shared_put(p->shared, p->sha256, lf_shared_fill, p->version, &diag),
                         LF_OK);
    assert_int_equal(n_versions(p), 1);
    assert_true(lf_shared_has(p->shared, p->sha256));
    assert_int_equal(lf_shared_get(p->shared, p->sha256, p->to, &diag), LF_OK);
    assert_int_equal(lf_sums_check(p->to, &diag), LF_OK);
    assert_int_equal(lf_shared_get(p->shared, A, p->to, &diag), LF_E_NOT_FOUND);
    assert_int_equal(lf_shared_get(p->shared, "..", p->to, &diag), LF_E_NOT_FOUND);
}

static void other_bytes_are_not_published(void **state)
{
    struct place *p = *state;
    struct lf_diag diag = {""};
    assert_int_equal(lf_shared_put(p->shared, A, lf_shared_fill, p->version, &diag), LF_E_DAMAGED);
    write_file(p->version, "adapter_model.safetensors", "others");
    assert_int_equal(lf_shared_put(p->shared, p->sha256, lf_shared_fill, p->version, &diag),
                     LF_E_DAMAGED);
    assert_non_null(strstr(diag.text, "adapter_model.safetensors"));
    assert_int_equal(n_versions(p), 0);
}

static void other_bytes_are_not_taken(void **state)
{
    struct place *p = *state;
    struct lf_diag diag = {""};
    char path[LF_PATH_MAX];
    assert_int_equal(lf_shared_put(p->shared, p->sha256, lf_shared_fill, p->version, &diag), LF_OK);
    assert_int_equal(lf_shared_file(path, p->shared, p->sha256, "adapter_model.safetensors", &diag),
                     LF_OK);
    assert_int_equal(lf_file_write(path, "part", 4, NULL), LF_OK);
    assert_int_equal(lf_shared_get(p->shared, p->sha256, p->to, &diag), LF_E_DAMAGED);
}

static void a_publication_is_read_as_it_was_written(void **state)
{
    struct place *p = *state;
    struct lf_diag diag = {""};
    struct lf_published written = publication(A, 5), read = {0};
    lf_names_auto names = {0};
    written.settings = json_pack("{s:i}", "rank", 4);
    assert_int_equal(lf_shared_read(&read, p->shared, "red", &diag), LF_E_NOT_FOUND);
    assert_int_equal(lf_shared_write(p->shared, &written, &diag), LF_OK);
    assert_int_equal(lf_shared_read(&read, p->shared, "red", &diag), LF_OK);
    assert_string_equal(read.sha256, A);
    assert_true(json_equal(read.settings, written.settings));
    write_file(p->shared, "current/.hidden.json", "{}");
    write_file(p->shared, "current/other", "{}");
    assert_int_equal(lf_shared_names(&names, p->shared, &diag), LF_OK);
    assert_int_equal(names.n, 1);
    assert_string_equal(names.at[0], "red");
    lf_published_free(&read);
    lf_published_free(&written);
}

static void a_version_that_is_current_nowhere_goes_after_its_time(void **state)
{
    struct place *p = *state;
    struct lf_diag diag = {""};
    char path[LF_PATH_MAX];
    int n = -1;
    struct lf_published current = publication(p->sha256, 5), other = publication(A, 6);
    assert_int_equal(lf_shared_put(p->shared, p->sha256, lf_shared_fill, p->version, &diag), LF_OK);
    assert_int_equal(lf_shared_write(p->shared, &current, &diag), LF_OK);
    assert_int_equal(lf_shared_prune(p->shared, 0, &n, &diag), LF_OK);
    assert_int_equal(n, 0);

    /* It is out of use from when it was replaced, however old it is. */
    const struct timespec old[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(lf_shared_file(path, p->shared, p->sha256, ".", &diag), LF_OK);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_int_equal(lf_shared_write(p->shared, &other, &diag), LF_OK);
    lf_shared_replaced(p->shared, p->sha256);
    assert_int_equal(lf_shared_prune(p->shared, 3600, &n, &diag), LF_OK);
    assert_int_equal(n, 0);

    /* What cannot be read may say that it is current. */
    write_file(p->shared, "current/damaged.json", "{");
    assert_int_not_equal(lf_shared_prune(p->shared, 0, &n, &diag), LF_OK);
    assert_int_equal(n_versions(p), 1);
    assert_int_equal(lf_path_join(path, p->shared, "current/damaged.json", NULL), LF_OK);
    assert_int_equal(unlink(path), 0);

    /* It is gone, and known to have been there; and may come again. */
    assert_int_equal(lf_shared_prune(p->shared, 0, &n, &diag), LF_OK);
    assert_int_equal(n, 1);
    assert_int_equal(n_versions(p), 0);
    assert_false(lf_shared_has(p->shared, p->sha256));
    assert_true(lf_shared_had(p->shared, p->sha256) && !lf_shared_had(p->shared, B));
    assert_int_equal(lf_shared_put(p->shared, p->sha256, lf_shared_fill, p->version, &diag), LF_OK);
    assert_true(lf_shared_has(p->shared, p->sha256));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_later_one_counts_and_of_equals_one_of_them),
        cmocka_unit_test(a_text_that_is_none_is_refused),
        cmocka_unit_test(what_changed_here_is_published),
        cmocka_unit_test(what_changed_elsewhere_comes_where_it_is_wanted),
        cmocka_unit_test(what_was_removed_here_is_withdrawn),
        cmocka_unit_test_setup_teardown(a_version_is_put_once_and_got_as_it_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_bytes_are_not_published, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_bytes_are_not_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_publication_is_read_as_it_was_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_version_that_is_current_nowhere_goes_after_its_time,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
