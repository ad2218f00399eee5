/* LIBS: lf_fs lf_core Fuse3 */
/* Streams: what starts them, what a read gets, how they end. */
#include "tests/unit/fs_rig.h"
#include "fs/feed.h"

#define GENERATE "/v1/adapters/ant/generate"

struct world {
    struct rig *r;
    struct lf_node *node;
    struct lf_feed *feed;
};

static void open_feed(struct world *w, void **state, const char *name, enum lf_kind kind)
{
    w->r = *state;
    w->node = rig_file(w->r, name, kind);
    w->feed = lf_feed_new(&w->r->fs, w->node);
    assert_non_null(w->feed);
    rig_know_tree(w->r);
    w->r->fs.snapshot.tree_cache.fresh = true; /* for ever */
    w->r->fs.snapshot.tree_cache.ttl_ns = UINT64_MAX;
}

static void close_feed(struct world *w)
{
    lf_feed_free(w->feed);
}

static void read_feed(struct world *w, struct fuse_req *req, size_t size, bool nonblocking)
{
    struct lf_feed_read *f = lf_op_new(&w->r->fs.waits, req, w->node, sizeof *f);
    f->feed = w->feed;
    f->size = size;
    f->nonblocking = nonblocking;
    lf_feed_read(f);
}

static enum lf_client_flow piece(const char *text)
{
    assert_non_null(calls);
    return calls->on_data(calls->arg, text, strlen(text));
}

static void a_prompt_in_its_completion_out(void **state)
{
    struct world w;
    struct fuse_req req[4] = {{0}};
    open_feed(&w, state, "generate", LF_KIND_GENERATE);
    assert_int_equal(lf_feed_write(w.feed, "Once ", 5), LF_OK);
    assert_int_equal(lf_feed_write(w.feed, "upon\n", 5), LF_OK);
    assert_null(calls); /* nothing starts before the first read */
    read_feed(&w, &req[0], 100, false);
    assert_string_equal(calls->path, GENERATE);
    assert_string_equal(calls->body, "Once upon"); /* one newline ends the line */
    assert_int_equal(req[0].replies, 0);
    assert_int_equal(piece("a time"), LF_CLIENT_TAKEN);
    was_answered(&req[0], 0, "a time");
    read_feed(&w, &req[1], 3, false);
    assert_int_equal(piece("there"), LF_CLIENT_TAKEN);
    was_answered(&req[1], 0, "the");
    answer("POST", GENERATE, LF_OK, "");
    read_feed(&w, &req[2], 100, false);
    was_answered(&req[2], 0, "re"); /* what is left, then the end */
    read_feed(&w, &req[3], 100, false);
    was_answered(&req[3], 0, "");
    close_feed(&w);
}

/* An empty body: the daemon takes the stored prompt, or has none. */
static void a_walk_over_the_tree_asks_the_stored_prompt(void **state)
{
    struct world w;
    struct fuse_req req[2] = {{0}};
    open_feed(&w, state, "generate", LF_KIND_GENERATE);
    read_feed(&w, &req[0], 100, false);
    assert_string_equal(calls->body, "");
    answer("POST", GENERATE, LF_OK, "x");
    close_feed(&w);
    was_answered(&req[0], 0, "x");
    struct rig *r = *state;
    struct lf_diag diag = {""};
    static const char bare[] = "{\"generation\": 8, \"bases\": [], \"adapters\": [{\"name\": "
                               "\"ant\", \"current\": 1, \"versions\": [1], \"files\": {}}]}";
    struct lf_tree *known = r->fs.snapshot.tree;
    open_feed(&w, state, "generate", LF_KIND_GENERATE);
    lf_tree_release(known);
    lf_tree_release(r->fs.snapshot.tree);
    assert_int_equal(lf_tree_parse(&r->fs.snapshot.tree, bare, strlen(bare), &diag), LF_OK);
    read_feed(&w, &req[1], 100, true); /* and one that does not wait is told it, too */
    answer("POST", GENERATE, LF_E_NO_PROMPT, "");
    was_answered(&req[1], ENODATA, "");
    close_feed(&w);
}

static void the_next_write_is_the_next_turn(void **state)
{
    struct world w;
    struct fuse_req req[2] = {{0}};
    open_feed(&w, state, "generate", LF_KIND_GENERATE);
    assert_int_equal(lf_feed_write(w.feed, "one", 3), LF_OK);
    read_feed(&w, &req[0], 100, false);
    assert_int_equal(piece("1"), LF_CLIENT_TAKEN);
    assert_int_equal(piece("unread"), LF_CLIENT_TAKEN);
    assert_int_equal(lf_feed_write(w.feed, "two", 3), LF_OK);
    assert_null(calls); /* the first is cancelled */
    read_feed(&w, &req[1], 100, false);
    assert_string_equal(calls->body, "two");
    answer("POST", GENERATE, LF_OK, "2");
    was_answered(&req[1], 0, "2");
    close_feed(&w);
}

#define CHAT GENERATE "?chat=1"

static void a_chat_is_asked_with_what_was_said_before(void **state)
{
    struct world w;
    struct fuse_req req[5] = {{0}};
    open_feed(&w, state, "chat", LF_KIND_GENERATE);
    read_feed(&w, &req[0], 100, false); /* nothing was said: there is nothing to read */
    was_answered(&req[0], 0, "");
    assert_int_equal(lf_feed_write(w.feed, "one\r\n", 5), LF_OK);
    read_feed(&w, &req[1], 100, false);
    assert_string_equal(calls->path, CHAT);
    assert_string_equal(calls->body, "{\"messages\":[{\"role\":\"user\",\"content\":\"one\"}]}");
    assert_int_equal(piece("1"), LF_CLIENT_TAKEN);
    was_answered(&req[1], 0, "1");
    answer("POST", CHAT, LF_OK, "");
    read_feed(&w, &req[2], 100, false);
    was_answered(&req[2], 0, "");
    /* A message that was refused was not said. */
    assert_int_equal(lf_feed_write(w.feed, "bad", 3), LF_OK);
    read_feed(&w, &req[3], 100, false);
    answer("POST", CHAT, LF_E_INVALID, "");
    was_answered(&req[3], EINVAL, "");
    assert_int_equal(lf_feed_write(w.feed, "two", 3), LF_OK);
    read_feed(&w, &req[4], 100, false);
    assert_string_equal(calls->body, "{\"messages\":[{\"role\":\"user\",\"content\":\"one\"},"
                                     "{\"role\":\"assistant\",\"content\":\"1\"},"
                                     "{\"role\":\"user\",\"content\":\"two\"}]}");
    answer("POST", CHAT, LF_OK, "2");
    was_answered(&req[4], 0, "2");
    close_feed(&w);
}

static void more_than_the_buffer_waits_in_the_connection(void **state)
{
    struct world w;
    struct fuse_req req[2] = {{0}};
    static char big[60001];
    memset(big, 'x', sizeof big - 1);
    open_feed(&w, state, "generate", LF_KIND_GENERATE);
    assert_int_equal(lf_feed_write(w.feed, "p", 1), LF_OK);
    read_feed(&w, &req[0], 1, false);
    assert_int_equal(piece(big), LF_CLIENT_TAKEN);
    was_answered(&req[0], 0, "x");
    assert_int_equal(piece(big), LF_CLIENT_PAUSE);
    read_feed(&w, &req[1], 1, false);
    was_answered(&req[1], 0, "x");
    assert_false(calls->resumed); /* too much is unread */
    for (int i = 0; i < 200; i++) {
        struct fuse_req more = {0};
        read_feed(&w, &more, 200, false);
    }
    assert_true(calls->resumed);
    close_feed(&w); /* ends the call */
}

static void an_interrupted_reader_that_closes_ends_it(void **state)
{
    struct world w;
    struct fuse_req req[2] = {{0}};
    open_feed(&w, state, "generate", LF_KIND_GENERATE);
    assert_int_equal(lf_feed_write(w.feed, "p", 1), LF_OK);
    read_feed(&w, &req[0], 100, false);
    lf_feed_flush(w.feed); /* a child's close: nothing was interrupted */
    assert_non_null(calls);
    req[0].interrupt(&req[0], req[0].arg);
    lf_op_run_interrupts(&w.r->fs.waits);
    was_answered(&req[0], EINTR, "");
    assert_non_null(calls); /* Python reads again */
    lf_feed_flush(w.feed);
    assert_null(calls);
    read_feed(&w, &req[1], 100, false);
    assert_int_equal(req[1].err, lf_op_errno(LF_E_CANCELLED));
    close_feed(&w);
}

static void a_reader_that_does_not_wait_is_told_to_come_again(void **state)
{
    struct world w;
    struct fuse_req req[2] = {{0}};
    open_feed(&w, state, "progress", LF_KIND_PROGRESS);
    read_feed(&w, &req[0], 100, true);
    was_answered(&req[0], EAGAIN, "");
    assert_string_equal(calls->path, "/v1/adapters/ant/files/progress?follow=1");
    assert_true(w.r->fs.snapshot.tree_cache.fresh);
    answer("GET", "/v1/adapters/ant/files/progress?follow=1", LF_OK, "done\n");
    assert_false(w.r->fs.snapshot.tree_cache.fresh); /* the job has ended: there is a version */
    read_feed(&w, &req[1], 100, true);
    was_answered(&req[1], 0, "done\n");
    close_feed(&w);
}

static void a_failure_comes_after_the_bytes(void **state)
{
    struct world w;
    struct fuse_req req[3] = {{0}};
    open_feed(&w, state, "generate", LF_KIND_GENERATE);
    assert_int_equal(lf_feed_write(w.feed, "p", 1), LF_OK);
    read_feed(&w, &req[0], 1, false);
    assert_int_equal(piece("ab"), LF_CLIENT_TAKEN);
    answer("POST", GENERATE, LF_E_IO, "");
    read_feed(&w, &req[1], 100, false);
    was_answered(&req[1], 0, "b");
    read_feed(&w, &req[2], 100, false);
    was_answered(&req[2], EIO, "");
    close_feed(&w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_prompt_in_its_completion_out),
        TEST(a_walk_over_the_tree_asks_the_stored_prompt),
        TEST(the_next_write_is_the_next_turn),
        TEST(a_chat_is_asked_with_what_was_said_before),
        TEST(more_than_the_buffer_waits_in_the_connection),
        TEST(an_interrupted_reader_that_closes_ends_it),
        TEST(a_reader_that_does_not_wait_is_told_to_come_again),
        TEST(a_failure_comes_after_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
