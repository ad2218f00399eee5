/* Batches: the list, and the threads that work on it. */
#include "daemon/api/batch.h"
#include "daemon/api/batch_file.h"
#include "daemon/api/documents.h"
#include "daemon/state.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/lock.h"
#include "core/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_MS 200 /* between tries of what is overloaded, lost, full */

struct open_batch {
    struct open_batch *next;
    json_t *doc;                               /* owned */
    const char *id, *owner, *input, *endpoint; /* of doc, which keeps them */
    struct lf_batch_file file;                 /* its lines and answers */
    const struct lf_route *route;
    struct lf_key *key; /* held; NULL: who made it needs none */
    int64_t expires_s;
    bool claimed; /* a thread prepares or ends it: its file is that one's alone */
    bool prepared, cancelled;
    bool told;            /* that it cannot be written: not again and again */
    int under_way;        /* lines */
    atomic_bool unwanted; /* what is under way */
};

struct lf_batches {
    struct lf_daemon *d;
    const struct lf_route *routes;
    size_t n_routes;
    pthread_mutex_t
        writing; /* one document is written at a time; held over the disk; taken first */
    /* Of all below, and of the batches; held over a line that is appended, and over the disk when a
     * batch ends. */
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct open_batch *open; /* the earliest first */
    bool closing;
    pthread_t threads[LF_BATCH_AT_ONCE_MAX];
    int n_threads;
};

static int64_t now_s(void)
{
    return lf_clock_unix_ms() / 1000;
}

/* ---- The document ---------------------------------------------------------------------------- */

static const char *status_of(const struct open_batch *b)
{
    return lf_json_text_of(b->doc, "status");
}

/* It has this status from now on, and since when. */
static void become(json_t *doc, const char *status)
{
    char key[32];
    snprintf(key, sizeof key, "%s_at", status);
    json_object_set_new(doc, "status", json_string(status));
    json_object_set_new(doc, key, json_integer((json_int_t)now_s()));
}

/* With the lock held: as it is now; yours. */
static json_t *copy(const struct open_batch *b)
{
    json_t *j = json_deep_copy(b->doc);
    json_object_set_new(j, "request_counts", lf_batch_file_counts(&b->file));
    return j;
}

/* Writes down how it is; with `status`, as if it had that one already. */
static enum lf_err put(struct lf_batches *s, struct open_batch *b, const char *status,
                       struct lf_diag *diag)
{
    lf_lock_auto writing = lf_lock(&s->writing);
    pthread_mutex_lock(&s->lock);
    json_auto_t *j = copy(b);
    pthread_mutex_unlock(&s->lock);
    if (status)
        become(j, status);
    return j ? lf_document_put(s->d->documents_dir, j, diag) : lf_no_memory(diag, "a batch");
}

static void batch_free(struct open_batch *b)
{
    if (!b)
        return;
    lf_batch_file_close(&b->file);
    lf_key_release(b->key);
    json_decref(b->doc);
    free(b);
}

static struct open_batch *find(struct lf_batches *s, const char *id)
{
    struct open_batch *b = s->open;
    while (b && strcmp(b->id, id) != 0)
        b = b->next;
    return b;
}

/* It is over, and written down: off the list. With the lock held. */
static void drop(struct lf_batches *s, struct open_batch *b)
{
    struct open_batch **at = &s->open;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    batch_free(b);
}

/* Whether its lines are still to be tried. */
static bool goes_on(const struct open_batch *b)
{
    return !atomic_load(&b->unwanted) && now_s() < b->expires_s;
}

/* What it comes to is written down; nobody else changes its document any more. */
static bool is_settled(struct lf_batches *s, const struct open_batch *b)
{
    lf_lock_auto held = lf_lock(&s->lock);
    return strcmp(status_of(b), "finalizing") == 0;
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

/* Whose rights it has; LF_E_DENIED: they are gone. */
static enum lf_err find_key(struct lf_batches *s, struct open_batch *b, struct lf_diag *diag)
{
    static const char of_key[] = "key:"; /* lf_admit_who's */
    if (strncmp(b->owner, of_key, strlen(of_key)) != 0 || b->key)
        return LF_OK;
    b->key = lf_keys_named(s->d->keys, b->owner + strlen(of_key));
    return b->key ? LF_OK
                  : lf_fail(diag, LF_E_DENIED, "the key that the batch was made with is no more");
}

/* Its lines, and what of them was answered. *errors: it cannot be done, and why; yours. */
static enum lf_err read_lines(struct lf_batches *s, struct open_batch *b, struct lf_batch_file *out,
                              json_t **errors, struct lf_diag *diag)
{
    struct lf_diag why = {""};
    enum lf_err rc = find_key(s, b, &why);
    rc = rc
             ?: lf_batch_file_open(out, s->d->documents_dir, b->id, b->input, b->endpoint, errors,
                                   &why);
    if (rc == LF_E_DENIED || rc == LF_E_NOT_FOUND || rc == LF_E_INVALID)
        *errors = json_pack("[{s:s, s:s, s:n, s:n}]", "code", lf_err_name(rc), "message", why.text,
                            "line", "param");
    return *errors || rc == LF_OK ? LF_OK : lf_fail(diag, rc, "%s", why.text);
}

/* With the lock held: its lines are known, or why they cannot be answered (taken). */
static void begin(struct open_batch *b, const struct lf_batch_file *file, json_t *errors)
{
    lf_batch_file_close(&b->file);
    b->file = *file;
    if (errors)
        json_object_set_new(b->doc, "errors",
                            json_pack("{s:s, s:o}", "object", "list", "data", errors));
    else if (strcmp(status_of(b), "validating") == 0)
        become(b->doc, "in_progress");
}

/* A thread has claimed it. */
static enum lf_err prepare(struct lf_batches *s, struct open_batch *b, bool *over,
                           struct lf_diag *diag)
{
    struct lf_batch_file file;
    json_t *errors = NULL;
    lf_batch_file_init(&file, NULL);
    if (is_settled(s, b))
        return LF_OK;
    enum lf_err rc = read_lines(s, b, &file, &errors, diag);
    if (rc != LF_OK) {
        lf_batch_file_close(&file);
        return rc;
    }
    pthread_mutex_lock(&s->lock);
    begin(b, &file, errors);
    pthread_mutex_unlock(&s->lock);
    rc = put(s, b, errors ? "failed" : NULL, diag);
    *over = rc == LF_OK && errors;
    return rc;
}

/* What its answers become is written down before they do, so that a daemon that dies in between
 * goes on here. */
static enum lf_err settle(struct lf_batches *s, struct open_batch *b, struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&s->lock);
    bool expired = b->file.completed + b->file.failed < b->file.total && !b->cancelled;
    const char *outcome = b->cancelled ? "cancelled" : expired ? "expired" : "completed";
    enum lf_err rc = expired ? lf_batch_file_expire(&b->file, diag) : LF_OK;
    rc = rc ?: lf_batch_file_sync(&b->file, diag);
    rc = rc ?: lf_batch_file_name(b->doc, s->d->documents_dir, diag);
    if (rc == LF_OK && json_object_set_new(b->doc, "outcome", json_string(outcome)) != 0)
        rc = lf_no_memory(diag, "a batch");
    if (rc == LF_OK)
        become(b->doc, "finalizing");
    return rc;
}

/* A thread has claimed it: nothing is under way, and nothing is to come. */
static enum lf_err finish(struct lf_batches *s, struct open_batch *b, bool *over,
                          struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    if (!is_settled(s, b))
        rc = settle(s, b, diag) ?: put(s, b, NULL, diag);
    rc = rc ?: lf_batch_file_publish(b->doc, s->d->documents_dir, diag);
    rc = rc ?: put(s, b, lf_json_text_of(b->doc, "outcome"), diag);
    *over = rc == LF_OK;
    return rc;
}

/* ---- A line ---------------------------------------------------------------------------------- */

/* What has its time again: too many requests, no device, no room. */
static bool is_for_later(unsigned status)
{
    return status == 429 || status == 503 || status == 507;
}

/* The answer that stands: its status; 0: none is wanted any more. */
static unsigned ask(struct lf_batches *s, struct open_batch *b, size_t entry, struct lf_buf *text)
{
    int64_t left_ms = b->expires_s * 1000 - lf_clock_unix_ms();
    uint64_t end_ns = lf_clock_ns() + (left_ms > 0 ? (uint64_t)left_ms * LF_NS_PER_MS : 0);
    while (goes_on(b)) {
        lf_buf_auto body = {0};
        unsigned status = 0;
        lf_buf_free(text);
        if (lf_batch_file_body(&b->file, entry, &body, NULL) == LF_OK)
            status = lf_http_ask(s->d, b->route, b->key, &body, &b->unwanted, end_ns, text);
        if (status > 0 && !is_for_later(status))
            return status;
        if (goes_on(b))
            lf_clock_sleep((uint64_t)AGAIN_MS * LF_NS_PER_MS);
    }
    return 0;
}

/* An answer for which there is no room waits for some. */
static void answer(struct lf_batches *s, struct open_batch *b, size_t entry)
{
    lf_buf_auto text = {0};
    unsigned status = ask(s, b, entry, &text);
    enum lf_err rc = status > 0 ? LF_E_NO_SPACE : LF_OK;
    while (rc != LF_OK && !atomic_load(&b->unwanted)) {
        pthread_mutex_lock(&s->lock);
        rc = lf_batch_file_add(&b->file, entry, status, &text, NULL);
        pthread_mutex_unlock(&s->lock);
        if (rc != LF_OK)
            lf_clock_sleep((uint64_t)AGAIN_MS * LF_NS_PER_MS);
    }
}

/* ---- The threads ----------------------------------------------------------------------------- */

enum task { TASK_NONE, TASK_PREPARE, TASK_LINE, TASK_FINISH };

/* With the lock held: what is to be done next, and for whom. */
static enum task task_take(struct lf_batches *s, struct open_batch **out, size_t *entry)
{
    for (struct open_batch *b = s->open; b; b = b->next) {
        *out = b;
        if (b->claimed)
            continue;
        if (b->prepared && goes_on(b) && lf_batch_file_next(&b->file, entry)) {
            b->under_way++;
            return TASK_LINE;
        }
        if (b->under_way > 0)
            continue;
        b->claimed = true;
        return b->prepared ? TASK_FINISH : TASK_PREPARE;
    }
    return TASK_NONE;
}

/* Does it, with the lock held before and after. */
static void task_do(struct lf_batches *s, enum task task, struct open_batch *b, size_t entry)
{
    struct lf_diag diag = {""};
    bool over = false;
    enum lf_err rc = LF_OK;
    pthread_mutex_unlock(&s->lock);
    if (task == TASK_LINE)
        answer(s, b, entry);
    else
        rc = task == TASK_PREPARE ? prepare(s, b, &over, &diag) : finish(s, b, &over, &diag);
    if (rc != LF_OK)
        lf_clock_sleep((uint64_t)AGAIN_MS * LF_NS_PER_MS);
    pthread_mutex_lock(&s->lock);
    if (rc != LF_OK && !b->told)
        lf_log(LF_LOG_ERROR, "batch", "%s: %s; it is tried again", b->id, diag.text);
    b->told = rc != LF_OK && task != TASK_LINE;
    if (task == TASK_LINE)
        b->under_way--;
    else
        b->claimed = false;
    if (task == TASK_PREPARE && rc == LF_OK)
        b->prepared = true;
    if (over)
        drop(s, b);
    pthread_cond_broadcast(&s->work);
}

static void *work(void *arg)
{
    struct lf_batches *s = arg;
    lf_lock_auto held = lf_lock(&s->lock);
    while (!s->closing) {
        struct open_batch *b;
        size_t entry;
        enum task task = task_take(s, &b, &entry);
        if (task == TASK_NONE)
            pthread_cond_wait(&s->work, &s->lock);
        else
            task_do(s, task, b, entry);
    }
    return NULL;
}

/* With the lock held. */
static enum lf_err threads_start(struct lf_batches *s, struct lf_diag *diag)
{
    while (s->n_threads < LF_BATCH_AT_ONCE_MAX && !s->closing) {
        int bad = pthread_create(&s->threads[s->n_threads], NULL, work, s);
        if (bad && s->n_threads == 0)
            return lf_fail_errno(diag, bad, "the threads of batches");
        if (bad)
            break; /* fewer do */
        s->n_threads++;
    }
    return LF_OK;
}

/* ---- From outside ---------------------------------------------------------------------------- */

const struct lf_route *lf_batches_route(const struct lf_batches *s, const char *endpoint)
{
    static const char *const endpoints[] = {"/v1/chat/completions", "/v1/completions"};
    char param[LF_HTTP_PARAMS_MAX][LF_HTTP_PARAM_BYTES];
    enum lf_err rc;
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++)
        if (strcmp(endpoints[i], endpoint) == 0)
            return lf_route_find(s->routes, s->n_routes, LF_HTTP_POST, endpoint, param, &rc);
    return NULL;
}

enum lf_err lf_batches_add(struct lf_batches *s, const json_t *doc, struct lf_diag *diag)
{
    struct open_batch *b = calloc(1, sizeof *b);
    if (!b || !(b->doc = json_deep_copy(doc))) {
        free(b);
        return lf_no_memory(diag, "a batch");
    }
    b->id = lf_json_text_of(b->doc, "id");
    b->owner = lf_json_text_of(b->doc, "owner");
    b->input = lf_json_text_of(b->doc, "input_file_id");
    b->endpoint = lf_json_text_of(b->doc, "endpoint");
    b->route = lf_batches_route(s, b->endpoint);
    b->expires_s = (int64_t)json_integer_value(json_object_get(b->doc, "expires_at"));
    b->cancelled = strcmp(status_of(b), "cancelling") == 0;
    atomic_init(&b->unwanted, b->cancelled);
    lf_batch_file_init(&b->file, json_object_get(b->doc, "request_counts"));
    lf_lock_auto held = lf_lock(&s->lock);
    enum lf_err rc = b->route
                         ? threads_start(s, diag)
                         : lf_fail(diag, LF_E_UNSUPPORTED, "%s: no endpoint of batches", b->id);
    if (rc != LF_OK) {
        batch_free(b);
        return rc;
    }
    struct open_batch **at = &s->open;
    while (*at)
        at = &(*at)->next;
    *at = b;
    pthread_cond_broadcast(&s->work);
    return LF_OK;
}

enum lf_err lf_batches_cancel(struct lf_batches *s, const char *id, struct lf_diag *diag)
{
    struct lf_diag why = {""};
    lf_lock_auto writing = lf_lock(&s->writing);
    pthread_mutex_lock(&s->lock);
    struct open_batch *b = find(s, id);
    bool open = b && strcmp(status_of(b), "finalizing") != 0;
    json_auto_t *j = NULL;
    if (open && !b->cancelled) {
        b->cancelled = true;
        become(b->doc, "cancelling");
        atomic_store(&b->unwanted, true);
        j = copy(b);
        pthread_cond_broadcast(&s->work);
    }
    pthread_mutex_unlock(&s->lock);
    if (!open)
        return lf_fail(diag, LF_E_BUSY, "%s is over", id);
    if (j && lf_document_put(s->d->documents_dir, j, &why) != LF_OK)
        lf_log(LF_LOG_ERROR, "batch", "%s: %s", id, why.text);
    return LF_OK;
}

json_t *lf_batches_now(struct lf_batches *s, const char *id)
{
    lf_lock_auto held = lf_lock(&s->lock);
    const struct open_batch *b = find(s, id);
    return b ? copy(b) : NULL;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static bool is_over(const json_t *doc)
{
    static const char *const ends[] = {"completed", "failed", "expired", "cancelled"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(ends[i], lf_json_text_of(doc, "status")) == 0)
            return true;
    return false;
}

enum lf_err lf_batches_open(struct lf_batches **out, struct lf_daemon *d,
                            const struct lf_route *routes, size_t n, struct lf_diag *diag)
{
    lf_names_auto ids = {0};
    struct lf_batches *s = calloc(1, sizeof *s);
    if (!s)
        return lf_no_memory(diag, "batches");
    s->d = d;
    s->routes = routes;
    s->n_routes = n;
    pthread_mutex_init(&s->writing, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    enum lf_err rc = lf_documents_list(&ids, d->documents_dir, LF_KIND_BATCH, diag);
    for (size_t i = 0; i < ids.n && rc == LF_OK; i++) {
        struct lf_diag why = {""};
        json_auto_t *doc = NULL;
        enum lf_err bad = lf_document_get(&doc, d->documents_dir, LF_KIND_BATCH, ids.at[i], &why);
        if (bad == LF_OK && !is_over(doc))
            bad = lf_batches_add(s, doc, &why);
        if (bad != LF_OK) /* lorafs fsck sets it aside */
            lf_log(LF_LOG_ERROR, "batch", "%s is passed over: %s", ids.at[i], why.text);
    }
    if (rc == LF_OK)
        *out = s;
    else
        lf_batches_close(s);
    return rc;
}

void lf_batches_stop(struct lf_batches *s)
{
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    for (struct open_batch *b = s->open; b; b = b->next)
        atomic_store(&b->unwanted, true);
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    for (; s->n_threads > 0; s->n_threads--)
        pthread_join(s->threads[s->n_threads - 1], NULL);
}

void lf_batches_close(struct lf_batches *s)
{
    if (!s)
        return;
    lf_batches_stop(s);
    while (s->open) {
        struct open_batch *b = s->open;
        s->open = b->next;
        batch_free(b);
    }
    pthread_mutex_destroy(&s->writing);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->work);
    free(s);
}
