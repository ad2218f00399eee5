/* LIBS: lf_fs lf_core Fuse3 */
/* Reading ahead: of one version, in order, as much as helps, and no more than may be. */
#include "tests/unit/fs_rig.h"

#include "fs/ahead.h"

#define KB 1024u
#define MB (1024u * KB)

/* A file whose byte at an offset is known. */
struct far_file {
    uint64_t bytes;
    const char *etag;
};

static char byte_at(uint64_t off)
{
    return (char)('a' + off / KB % 26);
}

/* A call ends as the daemon has it end that has this file. */
static void give_to(struct lf_client_call *c, const struct far_file *f)
{
    static const struct lf_diag diag = {"as the test wants it"};
    struct lf_client_call copy = *c;
    struct lf_client_result r = {
        .body = "", .etag = f->etag, .file_bytes = f->bytes, .diag = &diag};
    uint64_t stop = c->range_off + c->range_bytes;
    lf_client_cancel(c);
    r.status = 206;
    if (copy.if_match[0] && strcmp(copy.if_match, f->etag) != 0)
        r.status = 412;
    else if (copy.range_off >= f->bytes)
        r.status = 416;
    r.rc = r.status == 206 ? LF_OK : LF_E_IO;
    stop = stop < f->bytes ? stop : f->bytes;
    for (uint64_t at = copy.range_off; r.rc == LF_OK && at < stop;) {
        char piece[KB];
        size_t n = stop - at < sizeof piece ? (size_t)(stop - at) : sizeof piece;
        for (size_t i = 0; i < n; i++)
            piece[i] = byte_at(at + i);
        assert_int_equal(copy.on_data(copy.arg, piece, n), LF_CLIENT_TAKEN);
        at += n;
    }
    copy.on_done(copy.arg, &r);
}

static void give(const struct far_file *f)
{
    while (calls)
        give_to(calls, f);
}

static int under_way(void)
{
    int n = 0;
    for (const struct lf_client_call *c = calls; c; c = c->next)
        n++;
    return n;
}

struct reader {
    struct lf_node *node;
    struct lf_ahead *ahead;
};

static struct reader reader_new(struct rig *r)
{
    struct reader out = {.node = rig_file(r, "dataset.jsonl", LF_KIND_UPLOAD)};
    out.ahead = lf_ahead_new(&r->fs, out.node);
    assert_non_null(out.ahead);
    return out;
}

static void reader_end(struct rig *r, struct reader *in)
{
    lf_ahead_free(in->ahead);
    lf_node_release(&r->fs.nodes, in->node);
    assert_int_equal(r->fs.ahead_bytes, 0);
}

static void ask(struct rig *r, struct reader *in, struct fuse_req *req, uint64_t off, size_t size)
{
    struct lf_ahead_read *op = lf_op_new(&r->fs.waits, req, in->node, sizeof *op);
    *req = (struct fuse_req){0};
    op->ahead = in->ahead;
    op->off = off;
    op->size = size;
    lf_ahead_read(op);
}

static void got(const struct fuse_req *req, uint64_t off, size_t n)
{
    assert_int_equal(req->replies, 1);
    assert_int_equal(req->err, 0);
    assert_int_equal(req->n, n);
    if (n > 0)
        assert_int_equal(req->bytes[0], byte_at(off));
}

static void a_file_is_read_in_few_round_trips(void **state)
{
    struct rig *r = *state;
    const struct far_file f = {40 * MB + 5, "\"one\""};
    struct reader in = reader_new(r);
    struct fuse_req req;
    int trips = 0, widest = 0;
    for (uint64_t off = 0; off < f.bytes; off += 128 * KB) {
        ask(r, &in, &req, off, 128 * KB);
        if (!req.replies) {
            trips++;
            widest = under_way() > widest ? under_way() : widest;
            give(&f);
        }
        got(&req, off, f.bytes - off < 128 * KB ? (size_t)(f.bytes - off) : 128 * KB);
        assert_true(r->fs.ahead_bytes <= LF_AHEAD_WINDOW_MAX + 4 * MB);
    }
    ask(r, &in, &req, f.bytes, 128 * KB);
    got(&req, 0, 0);
    assert_in_range(trips, 2, 12); /* of 320 */
    assert_in_range(widest, 4, 16);
    reader_end(r, &in);
}

static void who_reads_the_beginning_asks_for_no_more(void **state)
{
    struct rig *r = *state;
    const struct far_file f = {10 * MB, "\"one\""};
    struct reader in = reader_new(r);
    struct fuse_req req;
    ask(r, &in, &req, 0, 4 * KB);
    assert_int_equal(calls->range_bytes, 128 * KB);
    give(&f);
    got(&req, 0, 4 * KB);
    ask(r, &in, &req, 4 * KB, 4 * KB); /* it is here */
    got(&req, 4 * KB, 4 * KB);
    assert_int_equal(calls_made, 1);
    reader_end(r, &in);
}

static void the_first_answer_says_of_which_version_the_others_are(void **state)
{
    struct rig *r = *state;
    const struct far_file f = {MB, "\"one\""}, other = {MB, "\"two\""};
    struct reader in = reader_new(r);
    struct fuse_req one, two;
    ask(r, &in, &one, 0, 128 * KB);
    ask(r, &in, &two, 512 * KB, 128 * KB); /* waits for that, whatever it asks for */
    assert_int_equal(under_way(), 1);
    give_to(calls, &f);
    got(&one, 0, 128 * KB);
    assert_string_equal(calls->if_match, "\"one\"");
    give(&other);
    assert_int_equal(two.err, ESTALE);
    ask(r, &in, &one, 0, 128 * KB);
    assert_int_equal(one.err, ESTALE);
    assert_null(calls);
    reader_end(r, &in);
}

static void who_jumps_gets_what_it_asks_for(void **state)
{
    struct rig *r = *state;
    const struct far_file f = {64 * MB, "\"one\""};
    struct reader in = reader_new(r);
    struct fuse_req req;
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t off = (i * 37 % 64) * MB;
        ask(r, &in, &req, off, 64 * KB);
        assert_int_equal(under_way(), 1);
        give(&f);
        got(&req, off, 64 * KB);
        assert_true(r->fs.ahead_bytes <= 128 * KB);
    }
    assert_int_equal(calls_made, 20);
    reader_end(r, &in);
}

static void a_read_lies_across_blocks(void **state)
{
    struct rig *r = *state;
    const struct far_file f = {3 * MB, "\"one\""};
    struct reader in = reader_new(r);
    struct fuse_req req;
    for (uint64_t off = 0; off < f.bytes; off += 100 * KB) {
        ask(r, &in, &req, off, 100 * KB);
        give(&f);
        got(&req, off, f.bytes - off < 100 * KB ? (size_t)(f.bytes - off) : 100 * KB);
    }
    reader_end(r, &in);
}

static void a_failure_is_for_who_waits_and_the_next_asks_again(void **state)
{
    struct rig *r = *state;
    const struct far_file f = {MB, "\"one\""};
    struct reader in = reader_new(r);
    struct fuse_req req;
    ask(r, &in, &req, 0, 128 * KB);
    answer_with("GET", "/v1/adapters/ant/files/dataset.jsonl", LF_E_UNREACHABLE, true, "");
    assert_int_equal(req.err, ECONNREFUSED);
    ask(r, &in, &req, 0, 128 * KB);
    assert_true(calls->waits);
    give(&f);
    got(&req, 0, 128 * KB);
    reader_end(r, &in);
}

static void what_is_under_way_ends_with_the_handle(void **state)
{
    struct rig *r = *state;
    const struct far_file f = {64 * MB, "\"one\""};
    struct reader in = reader_new(r);
    struct fuse_req req;
    for (uint64_t off = 0; off < MB; off += 128 * KB) {
        ask(r, &in, &req, off, 128 * KB);
        while (!req.replies)
            give_to(calls, &f);
    }
    assert_true(under_way() > 0);
    reader_end(r, &in);
    assert_null(calls);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_read_in_few_round_trips),
        TEST(who_reads_the_beginning_asks_for_no_more),
        TEST(the_first_answer_says_of_which_version_the_others_are),
        TEST(who_jumps_gets_what_it_asks_for),
        TEST(a_read_lies_across_blocks),
        TEST(a_failure_is_for_who_waits_and_the_next_asks_again),
        TEST(what_is_under_way_ends_with_the_handle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
