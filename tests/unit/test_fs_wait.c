/* LIBS: lf_fs lf_core Fuse3 */
/* Waiting operations: woken, interrupted, called for, settled. */
#include "tests/unit/fs_rig.h"

static void wakes_in_order_and_each_once(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[3] = {{0}};
    struct lf_op_list list;
    TAILQ_INIT(&list);
    for (int i = 0; i < 3; i++) {
        struct lf_op *op = lf_op_new(&r->fs.waits, &req[i], r->ant, sizeof *op);
        lf_op_wait(op, &list, step_reply);
    }
    assert_int_equal(req[0].replies + req[1].replies + req[2].replies, 0);
    stepped = 0;
    lf_op_wake(&list, LF_E_BUSY);
    assert_int_equal(stepped, 3);
    for (int i = 0; i < 3; i++)
        was_answered(&req[i], EBUSY, "");
    lf_op_wake(&list, LF_OK);
    assert_int_equal(stepped, 3);
}

static struct lf_op_list again_list;
static void again(struct lf_op *op, enum lf_err rc)
{
    if (rc == LF_OK && ++stepped < 3)
        lf_op_wait(op, &again_list, again);
    else
        lf_op_reply(op, rc);
}

static void one_that_waits_again_waits_for_the_next_time(void **state)
{
    struct rig *r = *state;
    struct fuse_req req = {0};
    struct lf_op *op = lf_op_new(&r->fs.waits, &req, r->ant, sizeof *op);
    TAILQ_INIT(&again_list);
    stepped = 0;
    lf_op_wait(op, &again_list, again);
    lf_op_wake(&again_list, LF_OK);
    assert_int_equal(stepped, 1);
    lf_op_wake(&again_list, LF_OK);
    assert_int_equal(req.replies, 0);
    lf_op_wake(&again_list, LF_OK);
    was_answered(&req, 0, "");
}

static void an_interrupt_ends_what_it_waits_for(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[2] = {{0}};
    struct lf_op_list list;
    struct lf_client_spec spec = {.method = "GET", .path = "/x"};
    TAILQ_INIT(&list);
    struct lf_op *waits = lf_op_new(&r->fs.waits, &req[0], r->ant, sizeof *waits);
    struct lf_op *asks = lf_op_new(&r->fs.waits, &req[1], r->ant, sizeof *asks);
    lf_op_wait(waits, &list, step_reply);
    lf_op_call(asks, &spec, step_reply);
    for (int i = 0; i < 2; i++) {
        req[i].interrupt(&req[i], req[i].arg);
        req[i].interrupt(&req[i], req[i].arg); /* twice is once */
        assert_int_equal(req[i].replies, 0);   /* only noted: libfuse holds its locks */
    }
    assert_non_null(calls);
    lf_op_run_interrupts(&r->fs.waits);
    was_answered(&req[0], EINTR, "");
    was_answered(&req[1], EINTR, "");
    assert_true(TAILQ_EMPTY(&list));
    assert_null(calls);
}

static void a_call_steps_with_its_end(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[3] = {{0}};
    struct lf_client_spec spec = {.method = "GET", .path = "/x"};
    for (int i = 0; i < 2; i++)
        lf_op_call(lf_op_new(&r->fs.waits, &req[i], r->ant, sizeof(struct lf_op)), &spec,
                   step_reply);
    answer("GET", "/x", LF_OK, "hello");
    was_answered(&req[0], 0, "");
    answer("GET", "/x", LF_E_NOT_FOUND, "");
    was_answered(&req[1], ENOENT, "");
    start_fails = LF_E_UNREACHABLE;
    lf_op_call(lf_op_new(&r->fs.waits, &req[2], r->ant, sizeof(struct lf_op)), &spec, step_reply);
    was_answered(&req[2], lf_op_errno(LF_E_UNREACHABLE), "");
}

static void settled(struct lf_op *op, enum lf_err rc)
{
    if (rc != LF_OK || !lf_op_settles(op, op->node, settled))
        step_reply(op, rc);
}

static void waits_for_the_commits_of_its_adapter(void **state)
{
    struct rig *r = *state;
    struct fuse_req req = {0};
    struct lf_node *file = rig_file(r, "prompt", LF_KIND_UPLOAD);
    struct lf_op *commit[2];
    for (int i = 0; i < 2; i++) {
        commit[i] = lf_op_new_detached(&r->fs.waits, file, sizeof *commit[i]);
        lf_op_commits(commit[i], file);
        lf_op_commits(commit[i], file); /* counted once */
    }
    assert_int_equal(r->ant->commits, 2);
    settled(lf_op_new(&r->fs.waits, &req, file, sizeof(struct lf_op)), LF_OK);
    lf_op_end(commit[0]);
    assert_int_equal(req.replies, 0);
    lf_op_end(commit[1]);
    was_answered(&req, 0, "");
}

static void an_unmount_lets_go_of_the_kernels_and_keeps_our_own(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[2] = {{0}};
    struct lf_op_list list;
    TAILQ_INIT(&list);
    struct lf_op *own = lf_op_new_detached(&r->fs.waits, r->ant, sizeof *own);
    lf_op_wait(own, &list, step_reply);
    for (int i = 0; i < 2; i++)
        lf_op_wait(lf_op_new(&r->fs.waits, &req[i], r->ant, sizeof(struct lf_op)), &list,
                   step_reply);
    lf_op_interrupt_all(&r->fs.waits);
    was_answered(&req[0], EINTR, "");
    was_answered(&req[1], EINTR, "");
    assert_int_equal(r->fs.waits.n_detached, 1);
    lf_op_abandon(own);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(wakes_in_order_and_each_once),
        TEST(one_that_waits_again_waits_for_the_next_time),
        TEST(an_interrupt_ends_what_it_waits_for),
        TEST(a_call_steps_with_its_end),
        TEST(waits_for_the_commits_of_its_adapter),
        TEST(an_unmount_lets_go_of_the_kernels_and_keeps_our_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
