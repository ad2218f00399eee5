/* LIBS: lf_keys lf_core */
/* API keys: the file of them, who may do what, and limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "keys/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rig {
    char dir[64], path[128];
    struct lf_diag diag;
};

static int set_up(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    snprintf(r->dir, sizeof r->dir, "/tmp/lorafs-keys-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->path, sizeof r->path, "%s/keys.json", r->dir);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;
    assert_int_equal(lf_dir_remove(r->dir, &r->diag), LF_OK);
    free(r);
    return 0;
}

static void add(struct rig *r, const struct lf_key_spec *spec, char key[LF_KEY_TEXT_MAX + 1])
{
    if (lf_keys_add(r->path, spec, key, &r->diag) != LF_OK)
        fail_msg("%s", r->diag.text);
}

static void a_key_is_good_until_it_is_revoked(void **state)
{
    struct rig *r = *state;
    struct lf_keys *k = NULL;
    char key[LF_KEY_TEXT_MAX + 1], other[LF_KEY_TEXT_MAX + 1];
    assert_int_equal(lf_keys_open(&k, r->path, NULL, &r->diag), LF_OK);
    assert_false(lf_keys_wanted(k));
    add(r, &(struct lf_key_spec){.name = "alice", .role = LF_ROLE_TRAIN}, key);
    add(r, &(struct lf_key_spec){.name = "bob", .role = LF_ROLE_GENERATE}, other);
    assert_int_equal(strlen(key), LF_KEY_TEXT_MAX);
    assert_true(lf_keys_wanted(k));
    struct lf_key *found = lf_keys_find(k, key, strlen(key));
    assert_non_null(found);
    assert_string_equal(lf_key_name(found), "alice");
    assert_int_equal(lf_key_role(found), LF_ROLE_TRAIN);
    for (size_t i = 0; i < strlen(key); i++) { /* one letter off, anywhere */
        char near[LF_KEY_TEXT_MAX + 1];
        memcpy(near, key, sizeof near);
        near[i] = near[i] == 'a' ? 'b' : 'a';
        assert_null(lf_keys_find(k, near, strlen(near)));
    }
    assert_null(lf_keys_find(k, key, strlen(key) - 1));
    assert_null(lf_keys_find(k, "", 0));
    assert_int_equal(lf_keys_revoke(r->path, "alice", &r->diag), LF_OK);
    assert_null(lf_keys_find(k, key, strlen(key)));
    assert_string_equal(lf_key_name(found), "alice"); /* a request that has it goes on */
    lf_key_release(found);
    assert_int_equal(lf_keys_revoke(r->path, "alice", &r->diag), LF_E_NOT_FOUND);
    assert_int_equal(lf_keys_revoke(r->path, "bob", &r->diag), LF_OK);
    assert_true(lf_keys_wanted(k)); /* nobody may, rather than everybody */
    lf_keys_close(k);
}

static void the_file_has_no_secret_and_is_its_owners(void **state)
{
    struct rig *r = *state;
    char key[LF_KEY_TEXT_MAX + 1];
    struct stat st;
    struct lf_buf text = {0};
    json_t *list = NULL;
    add(r, &(struct lf_key_spec){.name = "alice", .role = LF_ROLE_ADMIN}, key);
    assert_int_equal(stat(r->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(lf_file_read(&text, r->path, 1 << 20, &r->diag), LF_OK);
    assert_null(strstr(text.data, key + 12));
    assert_non_null(strstr(text.data, "sha256"));
    assert_int_equal(lf_keys_list(r->path, &list, &r->diag), LF_OK);
    assert_int_equal(json_array_size(list), 1);
    assert_null(json_object_get(json_array_get(list, 0), "sha256"));
    assert_null(json_object_get(json_array_get(list, 0), "salt"));
    json_decref(list);
    lf_buf_free(&text);
}

static void bad_specs_and_names_that_are_taken_are_refused(void **state)
{
    struct rig *r = *state;
    char key[LF_KEY_TEXT_MAX + 1];
    const char *bad = "../x";
    add(r, &(struct lf_key_spec){.name = "alice", .role = LF_ROLE_ADMIN}, key);
    assert_int_equal(lf_keys_add(r->path,
                                 &(struct lf_key_spec){.name = "alice", .role = LF_ROLE_TRAIN}, key,
                                 &r->diag),
                     LF_E_EXISTS);
    assert_int_equal(
        lf_keys_add(r->path, &(struct lf_key_spec){.name = "a b", .role = 1}, key, &r->diag),
        LF_E_INVALID);
    assert_int_equal(lf_keys_add(r->path,
                                 &(struct lf_key_spec){
                                     .name = "c", .role = 1, .adapters = &bad, .n_adapters = 1},
                                 key, &r->diag),
                     LF_E_INVALID);
}

static void grants_are_names_or_patterns(void **state)
{
    struct rig *r = *state;
    struct lf_keys *k = NULL;
    char key[LF_KEY_TEXT_MAX + 1];
    static const char *const grants[] = {"viggo", "ci-*"};
    add(r,
        &(struct lf_key_spec){
            .name = "ci", .role = LF_ROLE_TRAIN, .adapters = grants, .n_adapters = 2},
        key);
    assert_int_equal(lf_keys_open(&k, r->path, NULL, &r->diag), LF_OK);
    struct lf_key *found = lf_keys_find(k, key, strlen(key));
    assert_non_null(found);
    assert_true(lf_key_may(found, "viggo"));
    assert_true(lf_key_may(found, "ci-7"));
    assert_false(lf_key_may(found, "viggo2"));
    assert_false(lf_key_may(found, "ci"));
    assert_false(lf_key_may(found, ""));
    assert_true(lf_key_may(NULL, "anything"));
    lf_key_release(found);
    lf_keys_close(k);
}

static void limits_count_and_fill_up_again(void **state)
{
    struct rig *r = *state;
    struct lf_keys *k = NULL;
    char key[LF_KEY_TEXT_MAX + 1];
    int wait_s = 0;
    add(r,
        &(struct lf_key_spec){.name = "slow",
                              .role = LF_ROLE_GENERATE,
                              .requests_a_minute = 6,
                              .at_once = 2,
                              .waiting = 7},
        key);
    assert_int_equal(lf_keys_open(&k, r->path, NULL, &r->diag), LF_OK);
    struct lf_key *f = lf_keys_find(k, key, strlen(key));
    uint64_t now = lf_clock_ns();
    assert_int_equal(lf_key_enter(f, now, &wait_s, &r->diag), LF_OK);
    assert_int_equal(lf_key_enter(f, now, &wait_s, &r->diag), LF_OK);
    assert_int_equal(lf_key_enter(f, now, &wait_s, &r->diag), LF_E_OVERLOADED);
    assert_int_equal(wait_s, 1);
    assert_int_equal(lf_key_waiting_max(f), 7);
    assert_int_equal(lf_key_waiting_max(NULL), LF_QUEUE_MAX);
    assert_true(lf_key_number(f) != 0 && lf_key_number(NULL) == 0);
    lf_key_leave(f);
    for (int i = 2; i < 6; i++) {
        lf_key_leave(f);
        assert_int_equal(lf_key_enter(f, now, &wait_s, &r->diag), LF_OK);
    }
    lf_key_leave(f);
    assert_int_equal(lf_key_enter(f, now, &wait_s, &r->diag), LF_E_OVERLOADED);
    assert_in_range(wait_s, 9, 11);
    assert_int_equal(lf_key_enter(f, now + 11 * (uint64_t)LF_NS_PER_S, &wait_s, &r->diag), LF_OK);
    lf_key_release(f);
    lf_keys_close(k);
}

static void a_damaged_file_makes_no_key_good(void **state)
{
    struct rig *r = *state;
    struct lf_keys *k = NULL;
    char key[LF_KEY_TEXT_MAX + 1];
    add(r, &(struct lf_key_spec){.name = "alice", .role = LF_ROLE_ADMIN}, key);
    assert_int_equal(lf_keys_open(&k, r->path, "plain", &r->diag), LF_OK);
    assert_int_equal(lf_file_write(r->path, "{\"keys\": [{}", 12, &r->diag), LF_OK);
    assert_null(lf_keys_find(k, key, strlen(key)));
    assert_true(lf_keys_wanted(k));
    struct lf_key *plain = lf_keys_find(k, "plain", 5);
    assert_non_null(plain);
    assert_int_equal(lf_key_role(plain), LF_ROLE_ADMIN);
    lf_key_release(plain);
    lf_keys_close(k);
    assert_int_equal(lf_keys_open(&k, r->path, NULL, &r->diag), LF_E_INVALID);
}

static void keys_are_equal_only_when_they_are(void **state)
{
    (void)state;
    assert_true(lf_key_equal("secret", 6, "secret", 6));
    assert_false(lf_key_equal("secreT", 6, "secret", 6));
    assert_false(lf_key_equal("secret", 5, "secret", 6));
    assert_false(lf_key_equal("secretsecret", 12, "secret", 6));
    assert_false(lf_key_equal("", 0, "secret", 6));
    assert_false(lf_key_equal("", 0, "", 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_is_good_until_it_is_revoked),
        TEST(the_file_has_no_secret_and_is_its_owners),
        TEST(bad_specs_and_names_that_are_taken_are_refused),
        TEST(grants_are_names_or_patterns),
        TEST(limits_count_and_fill_up_again),
        TEST(a_damaged_file_makes_no_key_good),
        cmocka_unit_test(keys_are_equal_only_when_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
