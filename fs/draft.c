/* Drafts: fetched, written, sent. */
#include "fs/draft.h"

#include "core/clock.h"
#include "core/log.h"
#include "fs/outgoing.h"
#include "fs/request.h"
#include "fs/limits.h"

#include <stdio.h>
#include <stdlib.h>

#define TELL_MS 400ull

/* ---- Life ------------------------------------------------------------------------------------ */

struct lf_draft *lf_draft_get(struct lf_node *n)
{
    if (n->draft)
        return n->draft;
    struct lf_draft *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    TAILQ_INIT(&d->waiters);
    d->mtime_ms = lf_clock_unix_ms();
    d->mode = lf_kinds[n->kind].mode & 07777;
    n->draft = d;
    return d;
}

void lf_draft_free(struct lf_draft *d)
{
    if (!d)
        return;
    lf_outgoing_free(d->out);
    lf_stage_free(d->bytes);
    lf_stage_free(d->incoming);
    free(d);
}

void lf_draft_settle(struct lf_node *n)
{
    struct lf_draft *d = n->draft;
    if (!d || d->writers > 0 || d->uses > 0 || n->kind == LF_KIND_LOCAL)
        return;
    lf_draft_free(d);
    n->draft = NULL;
}

struct lf_stage *lf_draft_bytes(const struct lf_node *n)
{
    return n->draft ? n->draft->bytes : NULL;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* What was sent ahead is of no use any more. */
static void out_drop(struct lf_draft *d)
{
    lf_outgoing_free(d->out);
    d->out = NULL;
}

/* Bytes from `off` on are about to change. What is being sent goes on: the file is dirty
 * afterwards, and is sent anew. */
static void out_change(struct lf_draft *d, uint64_t off)
{
    if (d->out && !lf_outgoing_change(d->out, off) && !d->busy)
        out_drop(d);
}

bool lf_draft_is_dirty(const struct lf_node *n)
{
    return n->draft && n->draft->changes != n->draft->sent;
}

static void draft_changed(struct lf_draft *d)
{
    d->changes++;
    d->emptied = false;
    d->mtime_ms = lf_clock_unix_ms();
}

enum lf_err lf_draft_empty(struct lf_fs *fs, struct lf_node *n)
{
    struct lf_draft *d = n->draft;
    out_change(d, 0);
    enum lf_err rc =
        d->bytes ? lf_stage_truncate(d->bytes, 0) : lf_stage_new(&d->bytes, &fs->stages);
    if (rc != LF_OK)
        return rc;
    if (d->changes != d->sent)
        draft_changed(d);
    d->emptied = d->changes == d->sent;
    d->broken = LF_OK;
    d->mtime_ms = lf_clock_unix_ms();
    return LF_OK;
}

enum lf_err lf_draft_write(struct lf_node *n, const void *data, size_t n_bytes, uint64_t off)
{
    out_change(n->draft, off);
    enum lf_err rc = lf_stage_write(n->draft->bytes, data, n_bytes, off);
    draft_changed(n->draft); /* also after a failure: a part may be there */
    if (rc != LF_OK)
        n->draft->broken = rc;
    return rc;
}

enum lf_err lf_draft_truncate(struct lf_node *n, uint64_t bytes)
{
    out_change(n->draft, bytes);
    enum lf_err rc = lf_stage_truncate(n->draft->bytes, bytes);
    if (rc == LF_OK)
        draft_changed(n->draft);
    return rc;
}

static void told(struct lf_op *op, enum lf_err rc)
{
    (void)rc; /* it may not be there: then nothing waits */
    lf_op_end(op);
}

/* Tells the daemon something about an adapter's files, by the query of a GET. */
static void tell(struct lf_fs *fs, struct lf_node *adapter, const char *query)
{
    char url[LF_URL_MAX];
    struct lf_place place;
    lf_node_place(adapter, &place);
    snprintf(place.rel, sizeof place.rel, "%s", lf_files[LF_FILE_STATUS].name);
    struct lf_op *op = lf_url_file(url, &place, query) == LF_OK
                           ? lf_op_new_detached(&fs->waits, adapter, sizeof *op)
                           : NULL;
    if (op)
        lf_op_request(op, "GET", url, NULL, NULL, 0, told);
}

void lf_draft_tell(struct lf_fs *fs, struct lf_node *n)
{
    struct lf_node *adapter = lf_node_adapter(n);
    uint64_t now = lf_clock_ns();
    if (!adapter || now - adapter->told_ns < TELL_MS * LF_NS_PER_MS)
        return;
    bool goes_on = now - adapter->told_ns < LF_NS_PER_S; /* most files are written at once */
    adapter->told_ns = now;
    if (goes_on)
        tell(fs, adapter, "?writing=1");
}

/* What is to be sent in parts; LF_E_NO_MEMORY. */
static enum lf_err out_get(struct lf_fs *fs, struct lf_draft *d, const char *adapter)
{
    if (d->out && !lf_outgoing_is_for(d->out, adapter))
        out_drop(d);
    if (!d->out)
        d->out = lf_outgoing_new(fs->client, adapter, d->bytes);
    return d->out ? LF_OK : LF_E_NO_MEMORY;
}

void lf_draft_ahead(struct lf_fs *fs, struct lf_node *n)
{
    struct lf_draft *d = n->draft;
    struct lf_place place;
    if (n->kind != LF_KIND_UPLOAD || !n->linked || d->busy || d->broken != LF_OK ||
        lf_stage_bytes(d->bytes) <= LF_WHOLE_BYTES_MAX)
        return;
    lf_node_place(n, &place);
    if (out_get(fs, d, place.owner) == LF_OK)
        lf_outgoing_more(d->out);
}

/* ---- Both ways ------------------------------------------------------------------------------- */

static struct lf_transfer *transfer(struct lf_op *op)
{
    return (struct lf_transfer *)op;
}

static void use_begin(struct lf_transfer *t, lf_op_step then)
{
    t->then = then;
    t->op.node->draft->uses++;
}

static void use_end(struct lf_op *op, enum lf_err rc)
{
    op->node->draft->uses--;
    transfer(op)->then(op, rc);
}

static void idle(struct lf_draft *d)
{
    d->busy = false;
    lf_op_wake(&d->waiters, LF_OK);
}

/* ---- Fetching -------------------------------------------------------------------------------- */

static enum lf_client_flow load_piece(void *arg, const void *data, size_t n)
{
    struct lf_op *op = arg;
    struct lf_stage *s = op->node->draft->incoming;
    enum lf_err rc = lf_stage_write(s, data, n, lf_stage_bytes(s));
    return rc == LF_OK ? LF_CLIENT_TAKEN : LF_CLIENT_ABORT;
}

static void load_call(struct lf_op *op);

static void load_done(struct lf_op *op, enum lf_err rc)
{
    struct lf_draft *d = op->node->draft;
    bool replaced = rc != LF_OK && rc != LF_E_INTERRUPTED && op->answer &&
                    op->answer->status == LF_HTTP_PRECONDITION_FAILED;
    if (replaced && lf_stage_truncate(d->incoming, 0) == LF_OK) {
        load_call(op); /* while it was fetched, and the line was cut: the new one, from its start */
        return;
    }
    if (rc == LF_OK && !d->bytes) { /* it may have been emptied meanwhile */
        d->bytes = d->incoming;
        d->incoming = NULL;
    }
    lf_stage_free(d->incoming);
    d->incoming = NULL;
    idle(d);
    use_end(op, rc);
}

static void load_call(struct lf_op *op)
{
    char url[LF_URL_MAX];
    struct lf_client_spec spec = {
        .method = "GET", .path = url, .waits = true, .on_data = load_piece};
    enum lf_err rc = lf_url_node(url, op->node, "");
    if (rc == LF_OK)
        lf_op_call(op, &spec, load_done);
    else
        load_done(op, rc);
}

static void load_step(struct lf_op *op, enum lf_err rc)
{
    struct lf_draft *d = op->node->draft;
    if (rc != LF_OK || d->bytes) {
        use_end(op, rc);
        return;
    }
    if (d->busy) {
        lf_op_wait(op, &d->waiters, load_step);
        return;
    }
    rc = lf_stage_new(&d->incoming, &op->fs->stages);
    if (rc != LF_OK) {
        use_end(op, rc);
        return;
    }
    d->busy = true;
    load_call(op);
}

void lf_draft_load(struct lf_transfer *t, lf_op_step then)
{
    use_begin(t, then);
    load_step(&t->op, LF_OK);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void send_step(struct lf_op *op, enum lf_err rc);

static const char *why_not(const struct lf_op *op, enum lf_err rc)
{
    const struct lf_outgoing *out = op->node->draft->out;
    if (rc == LF_E_INTERRUPTED)
        return lf_err_name(rc);
    if (out)
        return lf_outgoing_why(out);
    return op->answer && op->answer->diag ? op->answer->diag->text : lf_err_name(rc);
}

static void send_done(struct lf_op *op, enum lf_err rc)
{
    struct lf_draft *d = op->node->draft;
    const struct lf_transfer *t = transfer(op);
    if (rc == LF_E_IO && d->bytes && d->changes != t->changes) {
        out_drop(d);
        d->busy = false; /* another writer has cut it meanwhile: as it is now */
        send_step(op, LF_OK);
        return;
    }
    if (rc == LF_E_IO && d->emptied && d->sent == t->changes) {
        out_drop(d);
        idle(d); /* and these bytes the daemon has seen before */
        use_end(op, d->verdict);
        return;
    }
    if (rc != LF_OK)
        lf_log(LF_LOG_INFO, "fs", "%s/%s is not taken: %s", t->to.owner, t->to.rel,
               why_not(op, rc));
    out_drop(d);
    d->sent = t->changes;
    d->verdict = rc;
    d->emptied = false;
    if (rc == LF_OK && t->train)
        d->trained = t->changes;
    lf_snapshot_changed(&op->fs->snapshot, rc);
    idle(d);
    use_end(op, rc);
}

static void send_step(struct lf_op *op, enum lf_err rc)
{
    struct lf_draft *d = op->node->draft;
    struct lf_transfer *t = transfer(op);
    char url[LF_URL_MAX];
    if (rc == LF_OK && d->busy) {
        lf_op_wait(op, &d->waiters, send_step);
        return;
    }
    const char *query = t->train && t->held        ? "?train=1&quiet=1&held=1"
                        : t->train                 ? "?train=1&quiet=1"
                        : lf_space_is_rows(&t->to) ? "?quiet=1"
                                                   : "";
    bool large = rc == LF_OK && lf_stage_bytes(d->bytes) > LF_WHOLE_BYTES_MAX;
    rc = rc ?: d->broken ?: lf_url_file(url, &t->to, query);
    if (rc == LF_OK && large)
        rc = out_get(op->fs, d, t->to.owner);
    if (rc != LF_OK) {
        use_end(op, rc);
        return;
    }
    d->busy = true;
    t->changes = d->changes;
    op->answer = NULL;
    if (large) {
        lf_outgoing_finish(d->out, url, op, send_done);
        return;
    }
    out_drop(d);
    struct lf_client_spec spec = {.method = "PUT",
                                  .path = url,
                                  .body_fd = lf_stage_fd(d->bytes),
                                  .body_bytes = lf_stage_bytes(d->bytes),
                                  .reply_max = LF_REQUEST_REPLY_MAX,
                                  .waits = true};
    lf_op_call(op, &spec, send_done);
}

void lf_draft_send(struct lf_transfer *t, const struct lf_place *to, bool train, lf_op_step then)
{
    t->to = *to;
    t->train = train;
    use_begin(t, then);
    send_step(&t->op, LF_OK);
}

void lf_draft_commit(struct lf_transfer *t, lf_op_step then)
{
    struct lf_place place;
    lf_node_place(t->op.node, &place);
    lf_op_commits(&t->op, t->op.node);
    lf_draft_send(t, &place, lf_space_trains(&place), then);
}

/* ---- The last RELEASE ------------------------------------------------------------------------ */

static bool wants_commit(const struct lf_node *n)
{
    const struct lf_draft *d = n->draft;
    struct lf_place place;
    if (n->kind != LF_KIND_UPLOAD || !n->linked || !d->bytes || d->broken != LF_OK)
        return false;
    lf_node_place(n, &place);
    if (d->changes != d->sent)
        return true;
    if (d->emptied)
        return lf_space_may_be_empty(&place);
    return lf_space_trains(&place) && d->verdict == LF_OK && d->sent != d->trained;
}

static void commit_done(struct lf_op *op, enum lf_err rc)
{
    (void)rc; /* logged; the daemon's status has the reason */
    lf_draft_settle(op->node);
    lf_op_end(op);
}

void lf_draft_writer_gone(struct lf_fs *fs, struct lf_node *n)
{
    n->draft->writers--;
    if (n->draft->writers > 0)
        return;
    struct lf_transfer *t = wants_commit(n) ? lf_op_new_detached(&fs->waits, n, sizeof *t) : NULL;
    if (!t) {
        if (n->linked && n->draft->sent > 0 && n->draft->sent == n->draft->trained)
            tell(fs, lf_node_adapter(n), "?closed=1");
        lf_draft_settle(n);
        return;
    }
    lf_draft_commit(t, commit_done);
}
