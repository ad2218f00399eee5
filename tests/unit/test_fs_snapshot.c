/* LIBS: lf_fs lf_core Fuse3 */
/* The snapshot: one call for all who wait, believed for a moment, asked for again after changes. */
#include "tests/unit/fs_rig.h"

static void look(struct rig *r, struct fuse_req *req, enum lf_kind kind)
{
    struct lf_op *op = lf_op_new(&r->fs.waits, req, r->ant, sizeof *op);
    lf_snapshot_look(&r->fs.snapshot, op, kind, step_reply);
}

static void all_who_wait_share_one_call(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[4] = {{0}};
    for (int i = 0; i < 3; i++)
        look(r, &req[i], LF_KIND_ADAPTER);
    assert_int_equal(calls_made, 1);
    answer("GET", "/v1/tree", LF_OK, RIG_TREE);
    for (int i = 0; i < 3; i++)
        was_answered(&req[i], 0, "");
    assert_non_null(lf_tree_adapter(lf_snapshot_view(&r->fs.snapshot).tree, "ant"));
    look(r, &req[3], LF_KIND_UPLOAD); /* fresh: at once */
    was_answered(&req[3], 0, "");
    assert_int_equal(calls_made, 1);
}

static void what_needs_nothing_asks_nothing(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[2] = {{0}};
    look(r, &req[0], LF_KIND_ROOT);
    look(r, &req[1], LF_KIND_README);
    was_answered(&req[0], 0, "");
    was_answered(&req[1], 0, "");
    assert_int_equal(calls_made, 0);
}

static void the_queue_is_a_document_of_its_own(void **state)
{
    struct rig *r = *state;
    struct fuse_req req = {0};
    look(r, &req, LF_KIND_JOBS);
    answer("GET", "/v1/jobs", LF_OK, "{\"jobs\": [{\"id\": 3}]}");
    was_answered(&req, 0, "");
    assert_non_null(lf_tree_job(lf_snapshot_view(&r->fs.snapshot).jobs, 3));
    assert_null(lf_snapshot_view(&r->fs.snapshot).tree);
}

static void an_answer_to_before_a_change_is_not_for_who_came_after(void **state)
{
    struct rig *r = *state;
    struct fuse_req before = {0}, after = {0}, later = {0};
    look(r, &before, LF_KIND_ADAPTER);
    lf_snapshot_expire(&r->fs.snapshot);
    look(r, &after, LF_KIND_ADAPTER);
    answer("GET", "/v1/tree", LF_OK, RIG_TREE);
    was_answered(&before, 0, "");
    assert_int_equal(after.replies, 0);
    look(r, &later, LF_KIND_ADAPTER); /* joins the call that is under way */
    assert_int_equal(calls_made, 2);
    answer("GET", "/v1/tree?since=7", LF_OK, RIG_TREE);
    was_answered(&after, 0, "");
    was_answered(&later, 0, "");
}

static void an_answer_to_before_a_change_is_not_believed(void **state)
{
    struct rig *r = *state;
    struct fuse_req before = {0}, after = {0};
    look(r, &before, LF_KIND_ADAPTER);
    lf_snapshot_expire(&r->fs.snapshot);
    answer("GET", "/v1/tree", LF_OK, RIG_TREE);
    was_answered(&before, 0, "");
    look(r, &after, LF_KIND_ADAPTER);
    answer("GET", "/v1/tree?since=7", LF_OK, RIG_TREE);
    was_answered(&after, 0, "");
}

static void a_failure_steps_with_it_and_the_next_asks_for_everything(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[4] = {{0}};
    look(r, &req[0], LF_KIND_ADAPTER);
    answer("GET", "/v1/tree", LF_OK, RIG_TREE);
    lf_snapshot_expire(&r->fs.snapshot);
    look(r, &req[1], LF_KIND_ADAPTER);
    answer("GET", "/v1/tree?since=7", LF_E_IO, "");
    was_answered(&req[1], EIO, "");
    look(r, &req[2], LF_KIND_ADAPTER);
    answer("GET", "/v1/tree", LF_OK, "not a tree");
    assert_int_equal(req[2].replies, 1);
    assert_int_not_equal(req[2].err, 0);
    assert_non_null(lf_tree_adapter(r->fs.snapshot.tree, "ant")); /* the old one stays */
}

static void a_daemon_that_is_gone_leaves_what_it_said(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[4] = {{0}};
    start_fails = LF_E_UNREACHABLE;
    look(r, &req[0], LF_KIND_ADAPTER); /* nothing yet */
    assert_int_equal(req[0].err, lf_op_errno(LF_E_UNREACHABLE));
    start_fails = LF_OK;
    look(r, &req[1], LF_KIND_ADAPTER);
    answer("GET", "/v1/tree", LF_OK, RIG_TREE);
    lf_snapshot_expire(&r->fs.snapshot);
    look(r, &req[2], LF_KIND_ADAPTER);
    assert_false(calls->waits);
    answer_with("GET", "/v1/tree?since=7", LF_E_IO, true, "");
    was_answered(&req[2], 0, "");
    start_fails = LF_E_UNREACHABLE;
    look(r, &req[3], LF_KIND_ADAPTER);
    was_answered(&req[3], 0, "");
    assert_non_null(lf_tree_adapter(r->fs.snapshot.tree, "ant"));
}

static void after_a_change_of_ours_it_is_waited_for_once(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[4] = {{0}};
    look(r, &req[0], LF_KIND_ADAPTER);
    answer("GET", "/v1/tree", LF_OK, RIG_TREE);
    lf_snapshot_changed(&r->fs.snapshot, LF_OK);
    look(r, &req[1], LF_KIND_ADAPTER);
    assert_true(calls->waits);
    answer_with("GET", "/v1/tree?since=7", LF_E_UNREACHABLE, true, "");
    was_answered(&req[1], 0, "");
    look(r, &req[2], LF_KIND_ADAPTER);
    assert_false(calls->waits);
    answer("GET", "/v1/tree", LF_OK, RIG_TREE);
    lf_snapshot_changed(&r->fs.snapshot, LF_E_UNREACHABLE); /* it was not done */
    look(r, &req[3], LF_KIND_ADAPTER);
    assert_false(calls->waits);
    answer("GET", "/v1/tree?since=7", LF_OK, RIG_TREE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_who_wait_share_one_call),
        TEST(what_needs_nothing_asks_nothing),
        TEST(the_queue_is_a_document_of_its_own),
        TEST(an_answer_to_before_a_change_is_not_for_who_came_after),
        TEST(an_answer_to_before_a_change_is_not_believed),
        TEST(a_failure_steps_with_it_and_the_next_asks_for_everything),
        TEST(a_daemon_that_is_gone_leaves_what_it_said),
        TEST(after_a_change_of_ours_it_is_waited_for_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
