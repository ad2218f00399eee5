/* LIBS: lf_fs lf_core Fuse3 */
/* A large file on its way: sent while it is written, gone on with after a cut, taken in once, as
 * the bytes that were sent. */
#include "tests/unit/fs_rig.h"

#include "core/file.h"
#include "fs/outgoing.h"

#define MB (1024u * 1024u)
#define FILE_URL "/v1/adapters/ant/files/dataset.jsonl?train=1"

/* What the daemon has of the upload that it knows. */
static char far_id[64];
static char *far_bytes;
static uint64_t far_n;

struct sender {
    struct lf_stage *stage;
    struct lf_outgoing *out;
    char *bytes; /* what was written */
    uint64_t n;
    struct fuse_req req;
};

static void write_at(struct sender *s, uint64_t off, size_t n, char seed)
{
    char *piece = malloc(n);
    for (size_t i = 0; i < n; i++)
        piece[i] = (char)(seed + (off + i) / 1000 % 64);
    s->bytes = realloc(s->bytes, off + n > s->n ? off + n : s->n);
    memcpy(s->bytes + off, piece, n);
    s->n = off + n > s->n ? off + n : s->n;
    assert_int_equal(lf_stage_write(s->stage, piece, n, off), LF_OK);
    free(piece);
}

static struct sender sender_new(struct rig *r)
{
    struct sender s = {0};
    far_id[0] = '\0';
    far_n = 0;
    assert_int_equal(lf_stage_new(&s.stage, &r->fs.stages), LF_OK);
    s.out = lf_outgoing_new(NULL, "ant", s.stage);
    assert_non_null(s.out);
    return s;
}

static void sender_end(struct sender *s)
{
    lf_outgoing_free(s->out);
    lf_stage_free(s->stage);
    free(s->bytes);
    free(far_bytes);
    far_bytes = NULL;
}

static void end_call(enum lf_err rc, bool lost, int status, const char *body)
{
    static const struct lf_diag diag = {"as the test wants it"};
    struct lf_client_call copy = *calls;
    lf_client_cancel(calls);
    copy.on_done(copy.arg, &(struct lf_client_result){.rc = rc,
                                                      .lost = lost,
                                                      .status = lost ? 0 : status,
                                                      .body = body,
                                                      .body_bytes = strlen(body),
                                                      .diag = &diag});
}

/* A part comes: `arrives` bytes of it, and where those are not all the line is cut after `given`.
 */
static void part(uint64_t arrives, uint64_t given)
{
    struct lf_client_call *c = calls;
    char id[64];
    unsigned long long at;
    assert_non_null(c);
    assert_string_equal(c->method, "PUT");
    assert_int_equal(sscanf(c->path, "/v1/adapters/ant/uploads/%63[0-9a-f]?at=%llu", id, &at), 2);
    assert_true(c->spec.once);
    if (at == 0) {
        snprintf(far_id, sizeof far_id, "%s", id);
        far_n = 0;
    }
    assert_string_equal(id, far_id);
    assert_int_equal(at, far_n);
    assert_int_equal(at, c->spec.body_off);
    uint64_t all = c->spec.body_bytes, n = given < all ? given : all;
    char *piece = malloc(n + 1);
    assert_int_equal(pread(c->spec.body_fd, piece, n, (off_t)at), n);
    c->spec.on_body(c->arg, piece, n, at);
    uint64_t take = arrives < n ? arrives : n;
    far_bytes = realloc(far_bytes, far_n + take + 1);
    memcpy(far_bytes + far_n, piece, take);
    far_n += take;
    free(piece);
    if (take == all)
        end_call(LF_OK, false, 200, "{}");
    else
        end_call(LF_E_IO, true, 0, "");
}

static void look(void)
{
    char path[128], body[64];
    snprintf(path, sizeof path, "/v1/adapters/ant/uploads/%s", far_id);
    snprintf(body, sizeof body, "{\"bytes\": %llu}", (unsigned long long)far_n);
    assert_non_null(calls);
    assert_string_equal(calls->method, "GET");
    assert_string_equal(calls->path, path);
    assert_true(calls->waits);
    end_call(LF_OK, false, 200, body);
}

/* The last call names what the daemon has. */
static void claim_is(enum lf_err rc, int status)
{
    char sum[LF_SHA256_HEX], path[256];
    lf_sha256_hex(sum, far_bytes, far_n);
    snprintf(path, sizeof path, FILE_URL "&upload=%s&sha256=%s", far_id, sum);
    assert_non_null(calls);
    assert_string_equal(calls->method, "PUT");
    assert_string_equal(calls->path, path);
    end_call(rc, false, status, "");
}

static void finish(struct rig *r, struct sender *s)
{
    struct lf_op *op = lf_op_new(&r->fs.waits, &s->req, r->ant, sizeof *op);
    stepped = 0;
    lf_outgoing_finish(s->out, FILE_URL, op, step_reply);
}

static void it_is_sent_while_it_is_written(void **state)
{
    struct rig *r = *state;
    struct sender s = sender_new(r);
    write_at(&s, 0, MB, 'a');
    lf_outgoing_more(s.out);
    assert_null(calls); /* too little for a call */
    write_at(&s, MB, 4 * MB, 'a');
    lf_outgoing_more(s.out);
    write_at(&s, 5 * MB, MB, 'a');
    lf_outgoing_more(s.out);
    part(UINT64_MAX, UINT64_MAX);
    assert_int_equal(far_n, 5 * MB);
    assert_null(calls);
    finish(r, &s);
    part(UINT64_MAX, UINT64_MAX);
    claim_is(LF_OK, 200);
    was_answered(&s.req, 0, "");
    assert_int_equal(far_n, s.n);
    assert_memory_equal(far_bytes, s.bytes, s.n);
    sender_end(&s);
}

static void after_a_cut_it_goes_on_with_what_had_come(void **state)
{
    struct rig *r = *state;
    struct sender s = sender_new(r);
    write_at(&s, 0, 20 * MB, 'a');
    finish(r, &s);
    part(7 * MB, 9 * MB); /* two are lost in the line */
    look();
    part(3 * MB, 4 * MB);
    look();
    part(UINT64_MAX, UINT64_MAX);
    claim_is(LF_OK, 200);
    was_answered(&s.req, 0, "");
    assert_memory_equal(far_bytes, s.bytes, s.n);
    sender_end(&s);
}

static void what_the_daemon_has_forgotten_is_sent_anew(void **state)
{
    struct rig *r = *state;
    struct sender s = sender_new(r);
    write_at(&s, 0, 10 * MB, 'a');
    finish(r, &s);
    part(7 * MB, 9 * MB);
    end_call(LF_E_NOT_FOUND, false, 404, ""); /* it was restarted */
    part(UINT64_MAX, UINT64_MAX);
    end_call(LF_E_NOT_FOUND, false, 404, ""); /* and once more, before the last call */
    part(UINT64_MAX, UINT64_MAX);
    claim_is(LF_OK, 200);
    was_answered(&s.req, 0, "");
    sender_end(&s);
}

static void a_line_that_lets_nothing_through_is_given_up(void **state)
{
    struct rig *r = *state;
    struct sender s = sender_new(r);
    write_at(&s, 0, 10 * MB, 'a');
    finish(r, &s);
    for (int i = 0; i < 100 && calls; i++) {
        part(0, MB);
        look();
    }
    assert_null(calls);
    was_answered(&s.req, EIO, "");
    sender_end(&s);
}

static void a_daemon_that_stays_away_is_said(void **state)
{
    struct rig *r = *state;
    struct sender s = sender_new(r);
    write_at(&s, 0, 10 * MB, 'a');
    lf_outgoing_more(s.out);
    end_call(LF_E_UNREACHABLE, true, 0, "");
    end_call(LF_E_UNREACHABLE, true, 0, ""); /* the look, which has waited */
    write_at(&s, 10 * MB, 10 * MB, 'a');
    lf_outgoing_more(s.out);
    assert_null(calls); /* until it is finished */
    finish(r, &s);
    end_call(LF_E_NOT_FOUND, false, 404, "");
    part(UINT64_MAX, UINT64_MAX);
    claim_is(LF_E_INVALID, 422);
    was_answered(&s.req, EINVAL, "");
    assert_string_equal(lf_outgoing_why(s.out), "as the test wants it");
    sender_end(&s);
}

static void bytes_that_change_after_they_were_sent_are_known(void **state)
{
    struct rig *r = *state;
    struct sender s = sender_new(r);
    write_at(&s, 0, 10 * MB, 'a');
    lf_outgoing_more(s.out);
    part(UINT64_MAX, UINT64_MAX);
    assert_true(lf_outgoing_change(s.out, 10 * MB));
    assert_false(lf_outgoing_change(s.out, 10 * MB - 1));
    sender_end(&s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_sent_while_it_is_written),
        TEST(after_a_cut_it_goes_on_with_what_had_come),
        TEST(what_the_daemon_has_forgotten_is_sent_anew),
        TEST(a_line_that_lets_nothing_through_is_given_up),
        TEST(a_daemon_that_stays_away_is_said),
        TEST(bytes_that_change_after_they_were_sent_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
