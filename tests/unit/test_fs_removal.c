/* LIBS: lf_fs lf_core Fuse3 */
/* Removals: hidden at once, sent late, or not at all. */
#include "tests/unit/fs_rig.h"

#include "core/clock.h"

static struct lf_place place(enum lf_kind kind, const char *rel)
{
    struct lf_place p = {.kind = kind, .owner = "ant"};
    snprintf(p.rel, sizeof p.rel, "%s", rel);
    return p;
}

static void hide(struct rig *r, enum lf_kind kind, const char *rel)
{
    struct lf_place p = place(kind, rel);
    assert_int_equal(lf_removal_add(&r->fs, r->ant, &p), LF_OK);
    assert_true(lf_removal_hides(r->ant, &p));
}

static bool hidden(struct rig *r, const char *rel)
{
    struct lf_place p = place(LF_KIND_UPLOAD, rel);
    return lf_removal_hides(r->ant, &p);
}

static void what_a_person_owns_is_removed_and_the_rest_is_back(void **state)
{
    struct rig *r = *state;
    hide(r, LF_KIND_UPLOAD, "prompt");
    hide(r, LF_KIND_TEXT, "status");
    hide(r, LF_KIND_VERSION, "versions/2");
    hide(r, LF_KIND_UPLOAD, "adapter/adapter_config.json"); /* of the version served */
    lf_removal_run(&r->fs, false);                          /* not yet */
    assert_null(calls);
    assert_true(hidden(r, "status"));
    assert_true(r->fs.removal_timer.due_ns > 0);
    lf_removal_run(&r->fs, true);
    assert_false(hidden(r, "status"));
    assert_false(hidden(r, "adapter/adapter_config.json"));
    assert_true(hidden(r, "prompt")); /* until the daemon has answered */
    assert_int_equal(r->ant->commits, 2);
    answer("DELETE", "/v1/adapters/ant/files/versions/2", LF_OK, "{}");
    answer("DELETE", "/v1/adapters/ant/files/prompt", LF_E_NOT_FOUND, "");
    assert_false(hidden(r, "prompt"));
    assert_false(hidden(r, "versions/2"));
    lf_timer_clear(&r->fs.removal_timer);
}

static void a_removal_is_sent_once(void **state)
{
    struct rig *r = *state;
    hide(r, LF_KIND_UPLOAD, "prompt");
    hide(r, LF_KIND_UPLOAD, "prompt");
    lf_removal_run(&r->fs, true);
    lf_removal_run(&r->fs, true);
    assert_int_equal(calls_made, 1);
    answer("DELETE", "/v1/adapters/ant/files/prompt", LF_OK, "{}");
    lf_timer_clear(&r->fs.removal_timer);
}

static void a_name_that_is_made_again_is_not_removed(void **state)
{
    struct rig *r = *state;
    struct lf_place p = place(LF_KIND_UPLOAD, "dataset.jsonl");
    hide(r, LF_KIND_UPLOAD, "dataset.jsonl");
    lf_removal_undo(&r->fs, r->ant, &p);
    assert_false(hidden(r, "dataset.jsonl"));
    lf_removal_run(&r->fs, true);
    assert_int_equal(calls_made, 0);
    lf_timer_clear(&r->fs.removal_timer);
}

static void an_adapter_that_goes_takes_its_removals_along(void **state)
{
    struct rig *r = *state;
    hide(r, LF_KIND_UPLOAD, "dataset.jsonl");
    hide(r, LF_KIND_TEXT, "status");
    lf_removal_forget(&r->fs, r->ant);
    assert_false(hidden(r, "dataset.jsonl"));
    assert_true(LIST_EMPTY(&r->fs.removing));
    lf_removal_run(&r->fs, true);
    assert_int_equal(calls_made, 0);
    lf_timer_clear(&r->fs.removal_timer);
}

static void rmdir_asks_for_what_a_person_would_miss(void **state)
{
    struct rig *r = *state;
    rig_know_tree(r);
    assert_int_equal(lf_removal_check(&r->fs, r->ant, 0), LF_E_NOT_EMPTY);
    hide(r, LF_KIND_UPLOAD, "dataset.jsonl");
    assert_int_equal(lf_removal_check(&r->fs, r->ant, 0), LF_E_NOT_EMPTY);
    hide(r, LF_KIND_VERSIONS, "versions");
    assert_int_equal(lf_removal_check(&r->fs, r->ant, 0), LF_OK); /* prompt and log stay behind */
    struct lf_node *n = lf_node_get(&r->fs.nodes, r->ant, "notes", LF_KIND_LOCAL);
    lf_node_add_local(n);
    assert_int_equal(lf_removal_check(&r->fs, r->ant, 0), LF_E_NOT_EMPTY);
    lf_node_unlink(&r->fs.nodes, n);
    lf_removal_forget(&r->fs, r->ant);
    struct lf_node *bee = lf_node_get(&r->fs.nodes, r->models, "bee", LF_KIND_ADAPTER);
    lf_node_hold(bee);
    assert_int_equal(lf_removal_check(&r->fs, bee, 0), LF_E_NOT_FOUND);
    lf_node_release(&r->fs.nodes, bee);
    lf_timer_clear(&r->fs.removal_timer);
}

static void the_version_that_is_served_goes_with_its_adapter_alone(void **state)
{
    struct rig *r = *state;
    rig_know_tree(r);
    struct lf_node *versions =
        lf_node_hold(lf_node_get(&r->fs.nodes, r->ant, "versions", LF_KIND_VERSIONS));
    struct lf_node *one = lf_node_hold(lf_node_get(&r->fs.nodes, versions, "1", LF_KIND_VERSION));
    const struct {
        pid_t lister, asks;
        uint64_t listed_ns;
        const char *hidden;
        enum lf_err wanted;
    } cases[] = {
        {0, 77, 0, "versions/12", LF_E_BUSY},
        {77, 77, 0, "versions/12", LF_E_BUSY}, /* long ago */
        {77, 78, lf_clock_ns(), "versions/12", LF_E_BUSY},
        {77, 77, lf_clock_ns(), "versions/12", LF_OK},
        {0, 0, 0, "adapter/adapter_config.json", LF_OK},
    };
    assert_int_equal(lf_removal_check(&r->fs, one, 77), LF_E_NOT_EMPTY); /* mv goes by that */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        r->ant->lister = cases[i].lister;
        r->ant->listed_ns = cases[i].listed_ns;
        hide(r, LF_KIND_REMOTE, "versions/1/log");
        hide(r, LF_KIND_REMOTE, cases[i].hidden);
        assert_int_equal(lf_removal_check(&r->fs, one, cases[i].asks), cases[i].wanted);
        assert_int_equal(hidden(r, "versions/1/log"), cases[i].wanted == LF_OK);
        assert_true(hidden(r, cases[i].hidden));
        lf_removal_forget(&r->fs, r->ant);
    }
    lf_node_release(&r->fs.nodes, one);
    lf_node_release(&r->fs.nodes, versions);
    lf_removal_forget(&r->fs, r->ant);
    lf_timer_clear(&r->fs.removal_timer);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_person_owns_is_removed_and_the_rest_is_back),
        TEST(a_removal_is_sent_once),
        TEST(a_name_that_is_made_again_is_not_removed),
        TEST(an_adapter_that_goes_takes_its_removals_along),
        TEST(rmdir_asks_for_what_a_person_would_miss),
        TEST(the_version_that_is_served_goes_with_its_adapter_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
