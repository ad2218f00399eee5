/* Streams: one HTTP call a turn, a bounded buffer, waiting readers. */
#include "fs/feed.h"

#include "core/json.h"
#include "core/log.h"
#include "fs/request.h"
#include "fs/limits.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_BUFFER_BYTES (64u << 10) /* more is left in the connection until it is read */
#define STREAM_RETURN_MS 200
#define STREAM_READABLE (POLLIN | POLLRDNORM)
#define STREAM_WRITABLE (POLLOUT | POLLWRNORM)

enum stream_state {
    STREAM_IDLE, /* a prompt may be written; the next read starts */
    STREAM_RUNNING,
    STREAM_ENDED /* reads get what is left, then rc or the end */
};

struct lf_feed {
    struct lf_fs *fs;
    struct lf_node *node; /* the handle's, which outlives the stream */
    enum stream_state state;
    enum lf_err rc;              /* why it ended, or LF_OK */
    struct lf_client_call *call; /* while it runs */
    bool paused;
    struct lf_buf prompt; /* of the turn to come */
    bool chat;
    json_t *history;      /* chat: the messages so far, a list */
    struct lf_buf answer; /* chat: what came of the last one's */
    struct lf_buf bytes;  /* arrived, not read */
    struct lf_op_list readers;
    struct fuse_pollhandle *poll; /* to be woken, or NULL */
    struct lf_timer interrupted;  /* set: a read was interrupted, and none has come since */
};

/* ---- Ends ------------------------------------------------------------------------------------ */

static void notify(struct lf_feed *s)
{
    if (!s->poll)
        return;
    fuse_lowlevel_notify_poll(s->poll);
    fuse_pollhandle_destroy(s->poll);
    s->poll = NULL;
}

/* Of all that runs; rc is what readers get after the bytes that are left. */
static void stream_end(struct lf_feed *s, enum lf_err rc)
{
    lf_client_cancel(s->call);
    s->call = NULL;
    s->paused = false;
    s->state = STREAM_ENDED;
    s->rc = rc;
    lf_timer_clear(&s->interrupted);
    lf_op_wake(&s->readers, LF_OK);
    notify(s);
}

static void on_return_timeout(void *arg)
{
    struct lf_feed *s = arg;
    if (s->state == STREAM_RUNNING)
        stream_end(s, LF_E_CANCELLED);
}

struct lf_feed *lf_feed_new(struct lf_fs *fs, struct lf_node *n)
{
    struct lf_feed *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->fs = fs;
    s->node = n;
    s->prompt.max = s->answer.max = LF_PROMPT_BYTES_MAX;
    s->chat = n->kind == LF_KIND_GENERATE && strcmp(n->name, lf_files[LF_FILE_CHAT].name) == 0;
    TAILQ_INIT(&s->readers);
    s->interrupted.fn = on_return_timeout;
    s->interrupted.arg = s;
    return s;
}

void lf_feed_free(struct lf_feed *s)
{
    if (!s)
        return;
    lf_assert(TAILQ_EMPTY(&s->readers));
    lf_client_cancel(s->call);
    lf_timer_clear(&s->interrupted);
    if (s->poll)
        fuse_pollhandle_destroy(s->poll);
    lf_buf_free(&s->prompt);
    lf_buf_free(&s->bytes);
    lf_buf_free(&s->answer);
    json_decref(s->history);
    free(s);
}

/* ---- What arrives ---------------------------------------------------------------------------- */

static enum lf_client_flow on_piece(void *arg, const void *data, size_t n)
{
    struct lf_feed *s = arg;
    if (s->bytes.len > 0 && n > STREAM_BUFFER_BYTES - s->bytes.len) {
        s->paused = true;
        return LF_CLIENT_PAUSE;
    }
    if (lf_buf_append(&s->bytes, data, n) != LF_OK ||
        (s->chat && lf_buf_append(&s->answer, data, n) != LF_OK))
        return LF_CLIENT_ABORT;
    lf_op_wake(&s->readers, LF_OK);
    notify(s);
    return LF_CLIENT_TAKEN;
}

static void on_end(void *arg, const struct lf_client_result *r)
{
    struct lf_feed *s = arg;
    s->call = NULL;
    if (s->chat && r->rc != LF_OK && s->answer.len == 0) /* it was not said */
        json_array_remove(s->history, json_array_size(s->history) - 1);
    if (s->node->kind == LF_KIND_PROGRESS)
        lf_snapshot_expire(&s->fs->snapshot); /* the job has ended */
    if (r->rc != LF_OK)
        lf_log(LF_LOG_INFO, "fs", "%s/%s: %s", s->node->parent->name, s->node->name, r->diag->text);
    if (r->rc != LF_OK && s->node->kind == LF_KIND_PROGRESS && r->status >= 400 &&
        lf_buf_printf(&s->bytes, "%s\n", r->diag->text) != LF_OK)
        lf_buf_reset(&s->bytes); /* the reason is shown, then read fails */
    stream_end(s, r->rc);
}

/* Adds a message of that role to the history. */
static enum lf_err say(struct lf_feed *s, const char *role, const struct lf_buf *text)
{
    lf_buf_auto utf8 = {.max = LF_PROMPT_BYTES_MAX};
    if (!s->history)
        s->history = json_array();
    if (lf_buf_utf8(&utf8, lf_buf_str(text), text->len) != LF_OK)
        return utf8.rc;
    json_t *m = json_pack("{s:s, s:s#}", "role", role, "content", lf_buf_str(&utf8), utf8.len);
    return s->history && m && json_array_append_new(s->history, m) == 0 ? LF_OK : LF_E_NO_MEMORY;
}

/* The prompt becomes the conversation with it as the last message. */
static enum lf_err put_conversation(struct lf_feed *s)
{
    enum lf_err rc = s->answer.len > 0 ? say(s, "assistant", &s->answer) : LF_OK;
    lf_buf_reset(&s->answer);
    rc = rc ?: say(s, "user", &s->prompt);
    lf_buf_reset(&s->prompt);
    return rc ?: lf_json_put(&s->prompt, json_pack("{s:O}", "messages", s->history), JSON_COMPACT);
}

static void drop_newline(struct lf_buf *b)
{
    if (b->len > 0 && b->data[b->len - 1] == '\n')
        b->len--;
    if (b->len > 0 && b->data[b->len - 1] == '\r')
        b->len--;
}

static enum lf_err stream_start(struct lf_feed *s)
{
    char url[LF_URL_MAX];
    struct lf_place place;
    struct lf_client_spec spec = {
        .path = url, .reply_max = 4096, .on_data = on_piece, .on_done = on_end, .arg = s};
    enum lf_err rc;
    if (s->node->kind == LF_KIND_PROGRESS) {
        rc = lf_url_node(url, s->node, "?follow=1");
        spec.method = "GET";
    } else {
        drop_newline(&s->prompt);
        lf_node_place(s->node, &place);
        rc = lf_url_adapter(url, place.owner, s->chat ? "/generate?chat=1" : "/generate");
        rc = rc ?: s->chat ? put_conversation(s) : LF_OK;
        spec.method = "POST";
        spec.content_type = "text/plain";
        spec.body = s->prompt.data;
        spec.body_bytes = s->prompt.len;
    }
    rc = rc ?: lf_client_start(&s->call, s->fs->client, &spec, NULL);
    if (rc == LF_OK)
        s->state = STREAM_RUNNING;
    lf_buf_free(&s->prompt);
    return rc;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static struct lf_feed *feed_of(struct lf_op *op)
{
    return ((struct lf_feed_read *)op)->feed;
}

static void reply_bytes(struct lf_op *op)
{
    struct lf_feed *s = feed_of(op);
    size_t size = ((struct lf_feed_read *)op)->size;
    size_t n = size < s->bytes.len ? size : s->bytes.len;
    if (fuse_reply_buf(op->req, s->bytes.data, n) != -ENOENT)
        lf_buf_drop_front(&s->bytes, n);
    lf_op_end(op);
}

static void read_more(struct lf_op *op, enum lf_err rc)
{
    struct lf_feed *s = feed_of(op);
    if (rc != LF_OK) { /* interrupted */
        if (s->state == STREAM_RUNNING)
            lf_timer_set(&s->fs->timers, &s->interrupted, STREAM_RETURN_MS);
        lf_op_reply(op, rc);
    } else if (s->bytes.len > 0) {
        reply_bytes(op);
    } else if (s->state == STREAM_ENDED && s->rc != LF_OK) {
        lf_op_reply(op, s->rc);
    } else if (s->state == STREAM_ENDED) {
        fuse_reply_buf(op->req, NULL, 0);
        lf_op_end(op);
    } else if (((struct lf_feed_read *)op)->nonblocking) {
        lf_op_reply(op, LF_E_OVERLOADED); /* EAGAIN */
    } else {
        lf_op_wait(op, &s->readers, read_more);
    }
}

static void read_start(struct lf_op *op)
{
    struct lf_feed *s = feed_of(op);
    enum lf_err rc = s->state == STREAM_IDLE ? stream_start(s) : LF_OK;
    if (!lf_op_failed(op, rc))
        read_more(op, LF_OK);
}

/* Nothing was written: where the adapter has no `prompt`, the daemon says so at once, and a reader
 * that does not wait gets that instead of EAGAIN. */
static void read_stored(struct lf_op *op, enum lf_err rc)
{
    struct lf_place place;
    const struct lf_tree_adapter *a = NULL;
    const struct lf_tree_file *prompt = NULL;
    lf_node_place(op->node, &place);
    if (rc == LF_OK)
        a = lf_tree_adapter(op->fs->snapshot.tree, place.owner);
    if (rc == LF_OK && !a)
        rc = LF_E_NOT_FOUND;
    if (lf_op_failed(op, rc))
        return;
    prompt = lf_tree_file(a, "prompt");
    if (!prompt || prompt->bytes == 0)
        ((struct lf_feed_read *)op)->nonblocking = false;
    read_start(op);
}

void lf_feed_read(struct lf_feed_read *r)
{
    struct lf_feed *s = r->feed;
    lf_timer_clear(&s->interrupted);
    if (s->paused && s->bytes.len <= STREAM_BUFFER_BYTES / 2) {
        s->paused = false;
        lf_client_resume(s->call);
    }
    if (s->state == STREAM_IDLE && s->chat && s->prompt.len == 0)
        stream_end(s, LF_OK);
    if (s->state == STREAM_IDLE && s->node->kind == LF_KIND_GENERATE && s->prompt.len == 0)
        lf_snapshot_look(&s->fs->snapshot, &r->op, s->node->kind, read_stored);
    else
        read_start(&r->op);
}

/* ---- Writing, closing, polling --------------------------------------------------------------- */

enum lf_err lf_feed_write(struct lf_feed *s, const void *data, size_t n)
{
    if (s->state != STREAM_IDLE) { /* the next turn */
        stream_end(s, LF_E_CANCELLED);
        lf_buf_reset(&s->bytes);
        s->state = STREAM_IDLE;
        s->rc = LF_OK;
    }
    return lf_buf_append(&s->prompt, data, n);
}

void lf_feed_flush(struct lf_feed *s)
{
    if (s->state == STREAM_RUNNING && s->interrupted.due_ns)
        stream_end(s, LF_E_CANCELLED);
}

unsigned lf_feed_poll(struct lf_feed *s, struct fuse_pollhandle *ph)
{
    unsigned events = s->node->kind == LF_KIND_GENERATE ? STREAM_WRITABLE : 0;
    bool starts = s->node->kind == LF_KIND_PROGRESS || s->prompt.len > 0;
    if (s->poll)
        fuse_pollhandle_destroy(s->poll);
    s->poll = ph;
    if (s->state == STREAM_IDLE && (!starts || stream_start(s) != LF_OK))
        return events | STREAM_READABLE; /* the read says what is wrong, or starts */
    if (s->bytes.len > 0 || s->state == STREAM_ENDED)
        events |= STREAM_READABLE;
    return events;
}
