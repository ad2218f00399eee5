/* LIBS: lf_fs lf_core Fuse3 */
/* Drafts: fetched when they must be, sent when they are dirty, trained at the last release, dropped
 * when they are refused. */
#include "tests/unit/fs_rig.h"

#define FILES "/v1/adapters/ant/files/"

/* A handle that writes; lf_draft_writer_gone is its release. */
static struct lf_node *opened(struct rig *r, const char *name)
{
    struct lf_node *n = rig_file(r, name, LF_KIND_UPLOAD);
    struct lf_draft *d = lf_draft_get(n);
    assert_non_null(d);
    d->writers++;
    return n;
}

static void put(struct lf_node *n, const char *text)
{
    assert_int_equal(lf_draft_write(n, text, strlen(text), lf_stage_bytes(lf_draft_bytes(n))),
                     LF_OK);
}

static void load(struct rig *r, struct lf_node *n, struct fuse_req *req)
{
    struct lf_transfer *t = lf_op_new(&r->fs.waits, req, n, sizeof *t);
    lf_draft_load(t, step_reply);
}

/* What a FLUSH does. */
static void send(struct rig *r, struct lf_node *n, struct fuse_req *req)
{
    struct lf_place place;
    struct lf_transfer *t = lf_op_new(&r->fs.waits, req, n, sizeof *t);
    lf_node_place(n, &place);
    lf_draft_send(t, &place, false, step_reply);
}

static void an_edit_in_place_fetches_the_file_once(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[3] = {{0}};
    char bytes[8] = "";
    struct lf_node *n = opened(r, "prompt");
    load(r, n, &req[0]);
    load(r, n, &req[1]);
    assert_null(lf_draft_bytes(n));
    answer("GET", FILES "prompt", LF_OK, "hello");
    was_answered(&req[0], 0, "");
    was_answered(&req[1], 0, "");
    assert_int_equal(calls_made, 1);
    assert_false(lf_draft_is_dirty(n)); /* fetched is not written */
    assert_int_equal(lf_draft_write(n, "J", 1, 0), LF_OK);
    assert_true(lf_draft_is_dirty(n));
    assert_int_equal(pread(lf_stage_fd(lf_draft_bytes(n)), bytes, 5, 0), 5);
    assert_string_equal(bytes, "Jello");
    send(r, n, &req[2]);
    assert_string_equal(calls->body, "Jello");
    answer("PUT", FILES "prompt", LF_OK, "{}");
    was_answered(&req[2], 0, "");
    lf_draft_writer_gone(&r->fs, n); /* nothing is left to send */
    assert_null(n->draft);
}

static void a_file_that_cannot_be_fetched_cannot_be_edited(void **state)
{
    struct rig *r = *state;
    struct fuse_req req = {0};
    struct lf_node *n = opened(r, "prompt");
    load(r, n, &req);
    answer("GET", FILES "prompt", LF_E_NOT_FOUND, "");
    was_answered(&req, ENOENT, "");
    assert_null(lf_draft_bytes(n));
    lf_draft_writer_gone(&r->fs, n);
    assert_null(n->draft);
    assert_int_equal(r->fs.stages.files, 0);
}

static void a_data_set_trains_at_the_last_release(void **state)
{
    struct rig *r = *state;
    struct fuse_req req = {0};
    struct lf_node *n = opened(r, "dataset.jsonl");
    n->draft->writers++; /* two have it open */
    assert_int_equal(lf_draft_empty(&r->fs, n), LF_OK);
    put(n, "{}\n");
    send(r, n, &req);
    assert_int_equal(r->ant->commits, 0);
    answer("PUT", FILES "dataset.jsonl?quiet=1", LF_OK, "{}");
    was_answered(&req, 0, "");
    lf_draft_writer_gone(&r->fs, n);
    assert_null(calls);
    lf_draft_writer_gone(&r->fs, n);
    assert_int_equal(r->ant->commits, 1);
    assert_string_equal(calls->body, "{}\n");
    answer("PUT", FILES "dataset.jsonl?train=1&quiet=1", LF_OK, "{}");
    assert_null(n->draft);
}

static void a_flush_that_trains_is_the_only_upload(void **state)
{
    struct rig *r = *state;
    struct fuse_req req = {0};
    struct lf_place place;
    struct lf_node *n = opened(r, "dataset.jsonl");
    assert_int_equal(lf_draft_empty(&r->fs, n), LF_OK);
    put(n, "{}\n");
    struct lf_transfer *t = lf_op_new(&r->fs.waits, &req, n, sizeof *t);
    t->held = true;
    lf_node_place(n, &place);
    lf_draft_send(t, &place, true, step_reply);
    answer("PUT", FILES "dataset.jsonl?train=1&quiet=1&held=1", LF_OK, "{}");
    was_answered(&req, 0, "");
    lf_draft_writer_gone(&r->fs, n);
    answer("GET", FILES "status?closed=1", LF_OK, "");
    assert_int_equal(calls_made, 2);
    assert_null(n->draft);
}

static void a_file_of_which_a_write_failed_goes_nowhere(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[2] = {{0}};
    struct lf_node *n = opened(r, "dataset.jsonl");
    assert_int_equal(lf_draft_empty(&r->fs, n), LF_OK);
    put(n, "{}\n");
    r->fs.stages.bytes_max = r->fs.stages.bytes;
    assert_int_equal(lf_draft_write(n, "{}\n", 3, 3), LF_E_NO_SPACE);
    send(r, n, &req[0]);
    was_answered(&req[0], ENOSPC, "");
    r->fs.stages.bytes_max += 100; /* room again makes it no better */
    put(n, "{}\n");
    send(r, n, &req[1]);
    was_answered(&req[1], ENOSPC, "");
    lf_draft_writer_gone(&r->fs, n);
    assert_int_equal(calls_made, 0);
    assert_null(n->draft);
}

static void a_refused_file_is_dropped_and_sent_no_more(void **state)
{
    struct rig *r = *state;
    struct fuse_req req = {0};
    struct lf_node *n = opened(r, "dataset.jsonl");
    assert_int_equal(lf_draft_empty(&r->fs, n), LF_OK);
    put(n, "{");
    send(r, n, &req);
    answer("PUT", FILES "dataset.jsonl?quiet=1", LF_E_INVALID, "");
    was_answered(&req, EINVAL, "");
    assert_int_equal(n->draft->verdict, LF_E_INVALID);
    assert_false(lf_draft_is_dirty(n));
    lf_draft_writer_gone(&r->fs, n);
    assert_int_equal(calls_made, 1);
    assert_null(n->draft);
    assert_int_equal(r->fs.stages.files, 0);
}

static void what_a_killed_writer_wrote_is_dropped(void **state)
{
    struct rig *r = *state;
    struct fuse_req req = {0};
    struct lf_node *n = opened(r, "dataset.jsonl");
    assert_int_equal(lf_draft_empty(&r->fs, n), LF_OK);
    put(n, "{}\n");
    send(r, n, &req);
    req.interrupt(&req, req.arg);
    lf_op_run_interrupts(&r->fs.waits);
    was_answered(&req, EINTR, "");
    lf_draft_writer_gone(&r->fs, n);
    assert_int_equal(calls_made, 1);
    assert_null(n->draft);
}

static void only_files_that_mean_something_empty_are_sent_empty(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *name;
        bool sent;
    } rows[] = {{"prompt", true},      {"template", true},
                {"config.json", true}, {"dataset.jsonl", false},
                {"eval.jsonl", false}, {"adapter_model.safetensors", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[128];
        struct lf_node *n = opened(r, rows[i].name);
        assert_int_equal(lf_draft_empty(&r->fs, n), LF_OK); /* `> file` */
        lf_draft_writer_gone(&r->fs, n);
        assert_int_equal(calls != NULL, rows[i].sent);
        snprintf(path, sizeof path, FILES "%s", rows[i].name);
        if (calls)
            answer("PUT", path, LF_OK, "{}");
    }
}

static void a_late_write_is_sent_at_the_release(void **state)
{
    struct rig *r = *state;
    struct fuse_req req = {0};
    struct lf_node *n = opened(r, "prompt");
    assert_int_equal(lf_draft_empty(&r->fs, n), LF_OK);
    put(n, "a");
    send(r, n, &req);
    put(n, "b"); /* while it is sent */
    answer("PUT", FILES "prompt", LF_OK, "{}");
    assert_true(lf_draft_is_dirty(n));
    lf_draft_writer_gone(&r->fs, n);
    assert_string_equal(calls->body, "ab");
    answer("PUT", FILES "prompt", LF_OK, "{}");
}

static void one_is_sent_after_the_other(void **state)
{
    struct rig *r = *state;
    struct fuse_req req[2] = {{0}};
    struct lf_node *n = opened(r, "prompt");
    assert_int_equal(lf_draft_empty(&r->fs, n), LF_OK);
    put(n, "a");
    send(r, n, &req[0]);
    put(n, "b");
    send(r, n, &req[1]);
    assert_int_equal(calls_made, 1);
    answer("PUT", FILES "prompt", LF_OK, "{}");
    assert_int_equal(calls_made, 2);
    assert_int_equal(req[1].replies, 0);
    answer("PUT", FILES "prompt", LF_E_TOO_BIG, "");
    was_answered(&req[0], 0, "");
    was_answered(&req[1], EFBIG, "");
    lf_draft_writer_gone(&r->fs, n);
}

static void a_local_file_is_never_sent_and_stays(void **state)
{
    struct rig *r = *state;
    struct lf_node *n = lf_node_get(&r->fs.nodes, r->ant, ".x.swp", LF_KIND_LOCAL);
    struct lf_draft *d = lf_draft_get(n);
    d->writers++;
    assert_int_equal(lf_draft_empty(&r->fs, n), LF_OK);
    lf_node_add_local(n);
    put(n, "x");
    lf_draft_writer_gone(&r->fs, n);
    assert_int_equal(calls_made, 0);
    assert_int_equal(lf_stage_bytes(lf_draft_bytes(n)), 1);
    lf_node_unlink(&r->fs.nodes, n);
    assert_int_equal(r->fs.stages.files, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_edit_in_place_fetches_the_file_once),
        TEST(a_file_that_cannot_be_fetched_cannot_be_edited),
        TEST(a_data_set_trains_at_the_last_release),
        TEST(a_flush_that_trains_is_the_only_upload),
        TEST(a_file_of_which_a_write_failed_goes_nowhere),
        TEST(a_refused_file_is_dropped_and_sent_no_more),
        TEST(what_a_killed_writer_wrote_is_dropped),
        TEST(only_files_that_mean_something_empty_are_sent_empty),
        TEST(a_late_write_is_sent_at_the_release),
        TEST(one_is_sent_after_the_other),
        TEST(a_local_file_is_never_sent_and_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
