/* Files that come in parts: a list of them, of which each has a lock of its own. */
#include "core/parts.h"

#include "core/clock.h"
#include "core/lock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEPT_NS (600ull * LF_NS_PER_S)
#define WRITTEN_BYTES (8u << 20)

struct lf_parted {
    LIST_ENTRY(lf_parted) link;
    uint64_t owner;
    char id[LF_PARTS_ID_MAX + 1];
    unsigned holds; /* with the list's lock */
    bool claimed;   /* likewise: it is no more than a name that is being answered */
    uint64_t used_ns;
    pthread_mutex_t lock; /* of all below; taken before the list's */
    uint64_t turn;        /* of who has hold of it */
    int fd;
    char path[LF_PATH_MAX];
    uint64_t bytes;
    struct lf_sha256 *sum; /* of these */
};

static bool id_ok(const char *id)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t n = strlen(id);
    return n > 0 && n <= LF_PARTS_ID_MAX && strspn(id, letters) == n;
}

static void drop_bytes(struct lf_parted *f)
{
    if (f->fd >= 0) {
        close(f->fd);
        unlink(f->path);
    }
    f->fd = -1;
    f->bytes = 0;
    if (f->sum)
        lf_sha256_end(f->sum, NULL);
    f->sum = NULL;
}

/* Out of the list, in which nobody else has hold of it. */
static void parted_free(struct lf_parts *p, struct lf_parted *f)
{
    LIST_REMOVE(f, link);
    p->n--;
    drop_bytes(f);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static enum lf_err begin_bytes(struct lf_parted *f, const char *dir, struct lf_diag *diag)
{
    drop_bytes(f);
    enum lf_err rc = lf_path_join(f->path, dir, "XXXXXX", diag);
    if (rc != LF_OK)
        return rc;
    f->sum = lf_sha256_begin();
    if (!f->sum)
        return lf_no_memory(diag, "the upload");
    f->fd = mkostemp(f->path, O_CLOEXEC);
    return f->fd < 0 ? lf_fail_errno(diag, errno, "%s", f->path) : LF_OK;
}

void lf_parts_init(struct lf_parts *p)
{
    pthread_mutex_init(&p->lock, NULL);
    LIST_INIT(&p->files);
    lf_recent_init(&p->ended);
    p->n = 0;
}

void lf_parts_deinit(struct lf_parts *p)
{
    while (!LIST_EMPTY(&p->files))
        parted_free(p, LIST_FIRST(&p->files));
    lf_recent_deinit(&p->ended);
    pthread_mutex_destroy(&p->lock);
}

/* With the list's lock. */
static void expire(struct lf_parts *p)
{
    struct lf_parted *f, *next;
    uint64_t now = lf_clock_ns();
    for (f = LIST_FIRST(&p->files); f; f = next) {
        next = LIST_NEXT(f, link);
        if (f->holds == 0 && !f->claimed && now - f->used_ns > KEPT_NS)
            parted_free(p, f);
    }
}

void lf_parts_expire(struct lf_parts *p)
{
    lf_lock_auto held = lf_lock(&p->lock);
    expire(p);
}

/* ---- Holding --------------------------------------------------------------------------------- */

/* With the list's lock; NULL: there is none. */
static struct lf_parted *find(const struct lf_parts *p, uint64_t owner, const char *id)
{
    struct lf_parted *f;
    LIST_FOREACH(f, &p->files, link)
    if (f->owner == owner && strcmp(f->id, id) == 0)
        return f;
    return NULL;
}

static struct lf_parted *parted_new(struct lf_parts *p, uint64_t owner, const char *id)
{
    struct lf_parted *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->owner = owner;
    f->fd = -1;
    f->used_ns = lf_clock_ns();
    snprintf(f->id, sizeof f->id, "%s", id);
    pthread_mutex_init(&f->lock, NULL);
    LIST_INSERT_HEAD(&p->files, f, link);
    p->n++;
    return f;
}

/* One that is held now; made: where there is none. */
static enum lf_err hold(struct lf_parted **out, struct lf_parts *p, uint64_t owner, const char *id,
                        bool made, struct lf_diag *diag)
{
    if (!id_ok(id))
        return lf_fail(diag, LF_E_INVALID, "an upload's id has letters, digits, - and _");
    lf_lock_auto held = lf_lock(&p->lock);
    struct lf_parted *f = find(p, owner, id);
    if (f && f->claimed)
        return lf_fail(diag, LF_E_BUSY, "the upload is being taken in");
    if (!f && !made)
        return lf_fail(diag, LF_E_NOT_FOUND, "there is no such upload");
    if (!f && p->n >= LF_PARTS_MAX)
        expire(p);
    if (!f && p->n >= LF_PARTS_MAX)
        return lf_fail(diag, LF_E_OVERLOADED, "%d uploads are on their way", LF_PARTS_MAX);
    if (!f && !(f = parted_new(p, owner, id)))
        return lf_no_memory(diag, "the upload");
    f->holds++;
    *out = f;
    return LF_OK;
}

static void let_go(struct lf_parts *p, struct lf_parted *f)
{
    lf_lock_auto held = lf_lock(&p->lock);
    f->used_ns = lf_clock_ns();
    f->holds--;
    if (f->holds == 0 && !f->claimed && f->fd < 0) /* it is nothing any more */
        parted_free(p, f);
}

enum lf_err lf_part_take(struct lf_part_hold *out, struct lf_parts *p, uint64_t owner,
                         const char *id, uint64_t at, const char *dir, struct lf_diag *diag)
{
    struct lf_parted *f;
    enum lf_err rc = hold(&f, p, owner, id, at == 0, diag);
    if (rc != LF_OK)
        return rc;
    pthread_mutex_lock(&f->lock);
    f->turn++;
    if (at != 0 && at != f->bytes)
        rc = lf_fail(diag, LF_E_BUSY, "the upload has %llu bytes", (unsigned long long)f->bytes);
    if (at == 0)
        rc = begin_bytes(f, dir, diag);
    *out = (struct lf_part_hold){f, f->turn};
    pthread_mutex_unlock(&f->lock);
    if (rc != LF_OK) {
        let_go(p, f);
        *out = (struct lf_part_hold){0};
    }
    return rc;
}

/* All n bytes at the end, or none that count. */
static enum lf_err append(struct lf_parted *f, const char *data, size_t n, struct lf_diag *diag)
{
    for (size_t at = 0; at < n;) {
        ssize_t k = pwrite(f->fd, data + at, n - at, (off_t)(f->bytes + at));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return lf_fail_errno(diag, errno, "writing the upload");
        at += (size_t)k;
    }
    lf_sha256_add(f->sum, data, n);
    if (f->bytes / WRITTEN_BYTES != (f->bytes + n) / WRITTEN_BYTES)
        sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* so that the last fsync is short */
    f->bytes += n;
    return LF_OK;
}

enum lf_err lf_part_write(struct lf_part_hold *h, const void *data, size_t n, struct lf_diag *diag)
{
    struct lf_parted *f = h->file;
    lf_lock_auto held = lf_lock(&f->lock);
    if (f->turn != h->turn || f->fd < 0)
        return lf_fail(diag, LF_E_CANCELLED, "another request goes on with this upload");
    if (n > LF_DATASET_BYTES_MAX - f->bytes)
        return lf_fail(diag, LF_E_TOO_BIG, "larger than %llu bytes",
                       (unsigned long long)LF_DATASET_BYTES_MAX);
    return append(f, data, n, diag);
}

void lf_part_leave(struct lf_parts *p, struct lf_part_hold *h)
{
    if (h->file)
        let_go(p, h->file);
    h->file = NULL;
}

enum lf_err lf_parts_bytes(struct lf_parts *p, uint64_t owner, const char *id, uint64_t *bytes,
                           struct lf_diag *diag)
{
    struct lf_parted *f;
    enum lf_err rc = hold(&f, p, owner, id, false, diag);
    if (rc != LF_OK)
        return rc;
    pthread_mutex_lock(&f->lock);
    f->turn++;
    *bytes = f->bytes;
    pthread_mutex_unlock(&f->lock);
    let_go(p, f);
    return LF_OK;
}

/* ---- Whole ----------------------------------------------------------------------------------- */

/* What a file that is no more is remembered by. */
static void key_of(char key[LF_SHA256_HEX], uint64_t owner, const char *id)
{
    char text[LF_PARTS_ID_MAX + 32];
    int n = snprintf(text, sizeof text, "%llu/%s", (unsigned long long)owner, id);
    lf_sha256_hex(key, text, (size_t)n);
}

/* With its lock. LF_OK: its bytes are the claim's. */
static enum lf_err hand_over(struct lf_claim *out, struct lf_parted *f, const char *sha256,
                             struct lf_diag *diag)
{
    char sum[LF_SHA256_HEX];
    f->turn++;
    if (!f->sum)
        return lf_fail(diag, LF_E_NOT_FOUND, "there is no such upload");
    lf_sha256_end(f->sum, sum);
    f->sum = NULL;
    if (strcmp(sum, sha256) != 0) {
        drop_bytes(f);
        return lf_fail(diag, LF_E_DAMAGED, "the upload's bytes are not those of its digest");
    }
    out->fd = f->fd;
    out->bytes = f->bytes;
    snprintf(out->path, sizeof out->path, "%s", f->path);
    f->fd = -1;
    return LF_OK;
}

enum lf_err lf_parts_claim(struct lf_claim *out, struct lf_parts *p, uint64_t owner, const char *id,
                           const char *sha256, struct lf_diag *diag)
{
    char key[LF_SHA256_HEX];
    struct lf_parted *f;
    key_of(key, owner, id_ok(id) ? id : "");
    enum lf_err rc = hold(&f, p, owner, id, false, diag);
    if (rc == LF_E_NOT_FOUND && lf_recent_find(&p->ended, key, out->answer))
        return lf_fail(diag, LF_E_EXISTS, "the upload was taken in");
    if (rc != LF_OK)
        return rc;
    pthread_mutex_lock(&f->lock);
    rc = hand_over(out, f, sha256, diag);
    pthread_mutex_lock(&p->lock);
    if (rc == LF_E_NOT_FOUND && f->claimed)
        rc = lf_fail(diag, LF_E_BUSY, "the upload is being taken in");
    f->claimed = f->claimed || rc == LF_OK;
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_unlock(&f->lock);
    let_go(p, f);
    return rc;
}

void lf_parts_answer(struct lf_parts *p, uint64_t owner, const char *id, const char *answer)
{
    char key[LF_SHA256_HEX];
    key_of(key, owner, id);
    if (answer)
        lf_recent_keep(&p->ended, key, answer);
    lf_lock_auto held = lf_lock(&p->lock);
    struct lf_parted *f = find(p, owner, id);
    lf_assert(f && f->claimed);
    f->claimed = false;
    if (f->holds == 0)
        parted_free(p, f);
}
