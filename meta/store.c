/* The store in LMDB. Every public function is one transaction; `struct lf_tx` carries it and turns
 * LMDB's codes into ours at one place. Durability is LMDB's default: a commit returns after its
 * pages and then its meta page were synced, so a crash loses at most the transaction under way. */
#include "meta/inside.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "core/lock.h"
#include "core/grow.h"
#include "meta/codec.h"
#include "meta/limits.h"
#include "meta/rewrite.h"
#include "meta/seal.h"

#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Address space, not disk: the file grows as it fills. A record is below 2 KiB, so this holds
 * LF_ADAPTERS_MAX adapters and as many jobs twice over. */
#define STORE_MAP_BYTES ((size_t)1 << 30)
#define READERS_BYTES ((LF_STORE_READERS_MAX + 2) * 64) /* a reader of LMDB, and its head */

enum lf_err lf_mdb_err(int code, const char *doing, struct lf_diag *diag)
{
    enum lf_err rc = LF_E_IO;
    if (code == MDB_SUCCESS)
        return LF_OK;
    if (code == MDB_NOTFOUND)
        rc = LF_E_NOT_FOUND;
    else if (code == MDB_KEYEXIST)
        rc = LF_E_EXISTS;
    else if (code == MDB_MAP_FULL || code == MDB_TXN_FULL || code == MDB_DBS_FULL)
        rc = LF_E_NO_SPACE;
    else if (code == MDB_READERS_FULL)
        rc = LF_E_OVERLOADED;
    else if (code == MDB_INVALID || code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND ||
             code == MDB_VERSION_MISMATCH || code == MDB_PANIC || code == MDB_INCOMPATIBLE)
        rc = LF_E_DAMAGED;
    else if (code > 0)
        rc = lf_err_from_errno(code);
    return lf_fail(diag, rc, "store: %s: %s", doing, mdb_strerror(code));
}

/* ---- The environment and its transactions ---------------------------------------------------- */

static void env_close(struct lf_store *s)
{
    if (s->env)
        mdb_env_close(s->env);
    s->env = NULL;
}

/* LMDB maps its table of readers, a file that it makes as long as it must be and no more: a page
 * that the disk has no room for when it is first used is a SIGBUS. So the room is taken before;
 * what there was of it without is as it was. */
static enum lf_err readers_make(const struct lf_store *s, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, s->dir, "lock.mdb", diag);
    if (rc != LF_OK)
        return rc;
    bool there = lf_file_size(path) >= READERS_BYTES;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int bad = fd < 0 ? errno : posix_fallocate(fd, 0, READERS_BYTES);
    if (fd >= 0)
        close(fd);
    return bad == 0 || there ? LF_OK : lf_fail_errno(diag, bad, "%s", path);
}

static enum lf_err env_open(struct lf_store *s, struct lf_diag *diag)
{
    enum lf_err rc = readers_make(s, diag);
    if (rc != LF_OK)
        return rc;
    int code = mdb_env_create(&s->env) ?: mdb_env_set_maxdbs(s->env, 4);
    code = code ?: mdb_env_set_mapsize(s->env, STORE_MAP_BYTES);
    code = code ?: mdb_env_set_maxreaders(s->env, LF_STORE_READERS_MAX);
    code = code ?: mdb_env_open(s->env, s->dir, MDB_NOTLS, 0600);
    if (code == MDB_SUCCESS)
        s->openings++;
    else
        env_close(s);
    return lf_mdb_err(code, s->dir, diag);
}

/* The first write makes both meta pages. A file below that was cut short while it was made (the
 * disk was full, the power went), and LMDB would refuse it for ever; nothing was ever committed to
 * it. */
static enum lf_err half_made_remove(const struct lf_store *s, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (lf_path_join(path, s->dir, "data.mdb", diag) != LF_OK)
        return LF_E_INVALID;
    int64_t bytes = lf_file_size(path);
    if (bytes > 0 && bytes < 2 * sysconf(_SC_PAGESIZE) && unlink(path) != 0)
        return lf_fail_errno(diag, errno, "%s", path);
    return LF_OK;
}

static int tables_bind(struct lf_store *s, MDB_txn *txn, unsigned flags)
{
    int code = mdb_dbi_open(txn, "adapters", flags, &s->adapters);
    code = code ?: mdb_dbi_open(txn, "names", flags, &s->names);
    code = code ?: mdb_dbi_open(txn, "jobs", flags, &s->jobs);
    return code ?: mdb_dbi_open(txn, "counters", flags, &s->counters);
}

/* LMDB writes nothing more through an environment whose meta page it could not write once. The disk
 * may be well again: another environment takes its place, unless another thread has done so since
 * `openings` was read. What was committed is in both. */
static enum lf_err env_renew(struct lf_store *s, unsigned openings, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    pthread_rwlock_wrlock(&s->gate);
    if (s->openings == openings) {
        MDB_txn *txn = NULL;
        env_close(s);
        rc = env_open(s, diag);
        int code = rc == LF_OK ? mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn) : MDB_SUCCESS;
        if (rc == LF_OK && code == MDB_SUCCESS)
            code = tables_bind(s, txn, 0);
        if (txn && code == MDB_SUCCESS)
            code = mdb_txn_commit(txn);
        else if (txn)
            mdb_txn_abort(txn);
        if (code != MDB_SUCCESS) {
            rc = lf_mdb_err(code, "opening it again", diag);
            env_close(s);
        }
    }
    pthread_rwlock_unlock(&s->gate);
    return rc;
}

static int txn_begin(struct lf_tx *t, unsigned flags, unsigned *openings)
{
    pthread_rwlock_rdlock(&t->s->gate);
    *openings = t->s->openings;
    int code = t->s->env ? mdb_txn_begin(t->s->env, NULL, flags, &t->txn) : MDB_PANIC;
    if (code != MDB_SUCCESS) {
        t->txn = NULL;
        pthread_rwlock_unlock(&t->s->gate);
    }
    return code;
}

/* The disk, and not what was asked for. */
static bool is_trouble(enum lf_err rc)
{
    return rc == LF_E_IO || rc == LF_E_NO_SPACE || rc == LF_E_DAMAGED || rc == LF_E_DENIED ||
           rc == LF_E_READ_ONLY;
}

/* Remembers how a change ended. */
static void note_change(struct lf_store *s, enum lf_err rc, const struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&s->trouble_lock);
    if (!is_trouble(rc)) {
        if (rc == LF_OK)
            s->failed = LF_OK;
        return;
    }
    if (s->failed == LF_OK)
        s->failed_ns = lf_clock_ns();
    s->failed = rc;
    lf_fail(&s->why, rc, "%s", diag && diag->text[0] ? diag->text : lf_err_name(rc));
}

/* lf_tx_end follows, also where there is no transaction. */
enum lf_err lf_tx_begin(struct lf_tx *t, struct lf_store *s, bool writes, struct lf_diag *diag)
{
    unsigned flags = writes ? 0 : MDB_RDONLY, openings;
    *t = (struct lf_tx){.s = s, .diag = diag, .writes = writes};
    int code = txn_begin(t, flags, &openings);
    if (code == MDB_PANIC) {
        enum lf_err rc = env_renew(s, openings, diag);
        if (rc != LF_OK) {
            note_change(s, rc, diag);
            return rc;
        }
        code = txn_begin(t, flags, &openings);
    }
    enum lf_err begun = lf_mdb_err(code, "begin", diag);
    if (writes && begun != LF_OK)
        note_change(s, begun, diag);
    return begun;
}

/* Commits when rc is LF_OK, aborts otherwise; rc where none was begun. */
enum lf_err lf_tx_end(struct lf_tx *t, enum lf_err rc)
{
    if (!t->txn)
        return rc;
    if (rc == LF_OK)
        rc = lf_mdb_err(mdb_txn_commit(t->txn), "commit", t->diag);
    else
        mdb_txn_abort(t->txn);
    t->txn = NULL;
    pthread_rwlock_unlock(&t->s->gate);
    if (t->writes)
        note_change(t->s, rc, t->diag);
    return rc;
}

/* ---- Sealed values --------------------------------------------------------------------------- */

/* The bytes are LMDB's, until the transaction ends. That there is no value is the caller's to say.
 */
enum lf_err lf_tx_get(struct lf_tx *t, MDB_dbi db, MDB_val key, MDB_val *val)
{
    int code = mdb_get(t->txn, db, &key, val);
    if (code == MDB_NOTFOUND)
        return LF_E_NOT_FOUND;
    if (code == MDB_SUCCESS && !lf_seal_open(val, &key))
        return lf_fail(t->diag, LF_E_DAMAGED, "store: a value is damaged");
    return lf_mdb_err(code, "read", t->diag);
}

/* LF_E_EXISTS only with MDB_NOOVERWRITE. */
static enum lf_err value_put(struct lf_tx *t, MDB_dbi db, MDB_val key, MDB_val val, unsigned flags)
{
    char room[LF_SEALED_MAX];
    MDB_val sealed;
    if (lf_seal(&sealed, room, &key, &val) != LF_OK)
        return lf_fail(t->diag, LF_E_TOO_BIG, "store: a value of %zu bytes", val.mv_size);
    return lf_mdb_err(mdb_put(t->txn, db, &key, &sealed, flags), "write", t->diag);
}

/* ---- Counters -------------------------------------------------------------------------------- */

static enum lf_err counter_get(struct lf_tx *t, const char *word, uint64_t *out)
{
    MDB_val val;
    enum lf_err rc = lf_tx_get(t, t->s->counters, lf_text_val(word), &val);
    *out = 0;
    if (rc == LF_E_NOT_FOUND)
        return LF_OK;
    if (rc == LF_OK && val.mv_size != sizeof *out)
        rc = LF_E_DAMAGED;
    if (rc != LF_OK)
        return lf_fail(t->diag, rc, "store: counter \"%s\" is damaged", word);
    memcpy(out, val.mv_data, sizeof *out);
    return LF_OK;
}

static enum lf_err counter_put(struct lf_tx *t, const char *word, uint64_t v)
{
    return value_put(t, t->s->counters, lf_text_val(word), (MDB_val){sizeof v, &v}, 0);
}

static enum lf_err counter_next(struct lf_tx *t, const char *word, uint64_t *out)
{
    uint64_t v;
    enum lf_err rc = counter_get(t, word, &v) ?: counter_put(t, word, v + 1);
    if (rc == LF_OK)
        *out = v + 1;
    return rc;
}

/* ---- Records --------------------------------------------------------------------------------- */

static enum lf_err record_get(struct lf_tx *t, MDB_dbi db, uint64_t id, MDB_val *val)
{
    struct lf_id_key k = lf_id_key(id);
    return lf_tx_get(t, db, lf_id_val(&k), val);
}

/* `encoded` is how the record became the bytes of b, which are freed. */
static enum lf_err record_put(struct lf_tx *t, MDB_dbi db, uint64_t id, struct lf_buf *b,
                              enum lf_err encoded)
{
    struct lf_id_key k = lf_id_key(id);
    enum lf_err rc = encoded == LF_OK
                         ? value_put(t, db, lf_id_val(&k), (MDB_val){b->len, b->data}, 0)
                         : lf_fail(t->diag, encoded, "store: no memory for a record");
    lf_buf_free(b);
    return rc;
}

static enum lf_err record_drop(struct lf_tx *t, MDB_dbi db, uint64_t id)
{
    struct lf_id_key k = lf_id_key(id);
    MDB_val key = lf_id_val(&k);
    return lf_mdb_err(mdb_del(t->txn, db, &key, NULL), "delete", t->diag);
}

enum lf_err lf_tx_adapter_read(struct lf_tx *t, uint64_t id, struct lf_adapter_record *out)
{
    MDB_val val;
    enum lf_err rc = record_get(t, t->s->adapters, id, &val);
    if (rc == LF_E_NOT_FOUND)
        return lf_fail(t->diag, rc, "no such adapter");
    return rc ?: lf_adapter_record_decode(out, val.mv_data, val.mv_size, t->diag);
}

/* Changed now. */
enum lf_err lf_tx_adapter_write(struct lf_tx *t, struct lf_adapter_record *r)
{
    struct lf_buf b = {.max = LF_RECORD_BYTES_MAX};
    r->changed_ms = lf_clock_unix_ms();
    return record_put(t, t->s->adapters, r->id, &b, lf_adapter_record_encode(&b, r));
}

static enum lf_err job_read(struct lf_tx *t, uint64_t id, struct lf_job_record *out)
{
    MDB_val val;
    enum lf_err rc = record_get(t, t->s->jobs, id, &val);
    if (rc == LF_E_NOT_FOUND)
        return lf_fail(t->diag, rc, "no such job: %llu", (unsigned long long)id);
    return rc ?: lf_job_record_decode(out, val.mv_data, val.mv_size, t->diag);
}

static enum lf_err job_write(struct lf_tx *t, const struct lf_job_record *r)
{
    struct lf_buf b = {.max = LF_RECORD_BYTES_MAX};
    return record_put(t, t->s->jobs, r->id, &b, lf_job_record_encode(&b, r));
}

enum lf_err lf_tx_name_take(struct lf_tx *t, const char *name, uint64_t id)
{
    MDB_val val = {sizeof id, &id};
    enum lf_err rc = value_put(t, t->s->names, lf_text_val(name), val, MDB_NOOVERWRITE);
    if (rc == LF_E_EXISTS)
        return lf_fail(t->diag, rc, "there is an adapter \"%s\" already", name);
    return rc;
}

static enum lf_err name_drop(struct lf_tx *t, const char *name)
{
    MDB_val key = lf_text_val(name);
    return lf_mdb_err(mdb_del(t->txn, t->s->names, &key, NULL), "name", t->diag);
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* One process at a time: LMDB would allow more, the daemon's memory of the state would not. */
enum lf_err lf_store_lock(int *out, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (lf_path_join(path, dir, "owner", diag) != LF_OK)
        return LF_E_INVALID;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return lf_fail_errno(diag, errno, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int bad = errno;
        close(fd);
        if (bad == EWOULDBLOCK)
            return lf_fail(diag, LF_E_BUSY, "%s: in use by a daemon", dir);
        return lf_fail_errno(diag, bad, "%s: lock", path);
    }
    *out = fd;
    return LF_OK;
}

static enum lf_err tables_open(struct lf_store *s, struct lf_diag *diag)
{
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, true, diag);
    rc = rc ?: lf_mdb_err(tables_bind(s, t.txn, MDB_CREATE), "tables", diag);
    rc = rc ?: counter_put(&t, "format", LF_STORE_FORMAT);
    rc = rc ?: counter_next(&t, "epoch", &s->epoch);
    return lf_tx_end(&t, rc);
}

enum lf_err lf_store_open(struct lf_store **out, const char *dir, struct lf_diag *diag)
{
    enum lf_err rc = lf_dir_make(dir, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_store *s = calloc(1, sizeof *s);
    if (!s)
        return lf_no_memory(diag, "the store");
    s->lock_fd = -1;
    pthread_rwlock_init(&s->gate, NULL);
    pthread_mutex_init(&s->trouble_lock, NULL);
    s->dir = strdup(dir);
    if (!s->dir)
        rc = lf_no_memory(diag, "the store");
    rc = rc ?: lf_store_lock(&s->lock_fd, dir, diag);
    rc = rc ?: half_made_remove(s, diag) ?: lf_store_rewrite(dir, STORE_MAP_BYTES, diag);
    rc = rc ?: env_open(s, diag) ?: tables_open(s, diag);
    rc = rc ?: lf_dir_sync(dir, diag); /* of a new file LMDB syncs the bytes alone */
    if (rc == LF_OK)
        *out = s;
    else
        lf_store_close(s);
    return rc;
}

void lf_store_close(struct lf_store *s)
{
    if (!s)
        return;
    env_close(s);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    pthread_rwlock_destroy(&s->gate);
    pthread_mutex_destroy(&s->trouble_lock);
    free(s->dir);
    free(s);
}

uint64_t lf_store_epoch(const struct lf_store *s)
{
    return s->epoch;
}

enum lf_err lf_store_trouble(struct lf_store *s, double *seconds, struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&s->trouble_lock);
    if (s->failed == LF_OK)
        return LF_OK;
    *seconds = (double)(lf_clock_ns() - s->failed_ns) / 1e9;
    return lf_fail(diag, s->failed, "%s", s->why.text);
}

enum lf_err lf_store_touch(struct lf_store *s, struct lf_diag *diag)
{
    struct lf_tx t;
    return lf_tx_begin(&t, s, true, diag) ?: lf_tx_end(&t, counter_put(&t, "epoch", s->epoch));
}

/* ---- Adapters -------------------------------------------------------------------------------- */

enum lf_err lf_store_adapter_create(struct lf_store *s, struct lf_adapter_record *r,
                                    lf_store_adapter_fn prepare, void *arg, struct lf_diag *diag)
{
    struct lf_adapter_record made = *r;
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, true, diag);
    rc = rc ?: counter_next(&t, "adapter", &made.id) ?: lf_tx_name_take(&t, made.name, made.id);
    made.created_ms = lf_clock_unix_ms();
    rc = rc ?: lf_tx_adapter_write(&t, &made);
    if (rc == LF_OK && prepare)
        rc = prepare(arg, &made, diag);
    rc = lf_tx_end(&t, rc);
    if (rc == LF_OK)
        *r = made;
    return rc;
}

enum lf_err lf_store_adapter_update(struct lf_store *s, uint64_t id, lf_store_adapter_fn change,
                                    void *arg, struct lf_adapter_record *out, struct lf_diag *diag)
{
    struct lf_adapter_record r;
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, true, diag);
    rc = rc ?: lf_tx_adapter_read(&t, id, &r) ?: change(arg, &r, diag);
    rc = rc ?: lf_tx_adapter_write(&t, &r);
    rc = lf_tx_end(&t, rc);
    if (rc == LF_OK && out)
        *out = r;
    return rc;
}

enum lf_err lf_store_adapter_rename(struct lf_store *s, uint64_t id, const char *to,
                                    struct lf_adapter_record *out, struct lf_diag *diag)
{
    struct lf_adapter_record r;
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, true, diag);
    rc = rc ?: lf_tx_adapter_read(&t, id, &r);
    if (rc == LF_OK && strcmp(r.name, to) != 0)
        rc = lf_tx_name_take(&t, to, id) ?: name_drop(&t, r.name);
    snprintf(r.name, sizeof r.name, "%s", to);
    rc = lf_tx_end(&t, rc ?: lf_tx_adapter_write(&t, &r));
    if (rc == LF_OK && out)
        *out = r;
    return rc;
}

enum lf_err lf_store_adapter_delete(struct lf_store *s, uint64_t id, struct lf_diag *diag)
{
    struct lf_adapter_record r;
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, true, diag);
    rc = rc ?: lf_tx_adapter_read(&t, id, &r) ?: name_drop(&t, r.name);
    rc = rc ?: record_drop(&t, s->adapters, id);
    return lf_tx_end(&t, rc);
}

/* The name is the adapter's already where its record was damaged and the names are well. */
static enum lf_err name_adopt(struct lf_tx *t, const struct lf_adapter_record *r)
{
    MDB_val val;
    uint64_t id = 0;
    if (lf_tx_get(t, t->s->names, lf_text_val(r->name), &val) == LF_OK && val.mv_size == sizeof id)
        memcpy(&id, val.mv_data, sizeof id);
    return id == r->id ? LF_OK : lf_tx_name_take(t, r->name, r->id);
}

enum lf_err lf_store_adapter_adopt(struct lf_store *s, const struct lf_adapter_record *r,
                                   struct lf_diag *diag)
{
    struct lf_adapter_record made = *r;
    uint64_t known = 0;
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, true, diag);
    rc = rc ?: counter_get(&t, "adapter", &known);
    if (rc == LF_OK && known < r->id)
        rc = counter_put(&t, "adapter", r->id);
    rc = rc ?: name_adopt(&t, r) ?: lf_tx_adapter_write(&t, &made);
    return lf_tx_end(&t, rc);
}

/* A list that grows as a walk goes over a table's records of `bytes` each. */
struct list {
    char *items;
    size_t n, cap, bytes;
};

static void *list_add(struct list *l)
{
    if (lf_grow(&l->items, &l->cap, l->n + 1, l->bytes) != LF_OK)
        return NULL;
    return l->items + l->n++ * l->bytes;
}

/* The list is the caller's, or after a failure nobody's. */
static enum lf_err list_take(struct list *l, enum lf_err rc, void *out, size_t *n)
{
    if (rc != LF_OK) {
        free(l->items);
        return rc;
    }
    memcpy(out, &l->items, sizeof l->items);
    *n = l->n;
    return LF_OK;
}

/* Calls `each` for every record of the table, in order of id. */
typedef enum lf_err (*walk_fn)(struct list *l, const MDB_val *key, MDB_val *val,
                               struct lf_diag *diag);

static enum lf_err table_walk(struct lf_tx *t, MDB_dbi db, walk_fn each, struct list *l)
{
    MDB_cursor *c;
    enum lf_err rc = lf_mdb_err(mdb_cursor_open(t->txn, db, &c), "walk", t->diag);
    if (rc != LF_OK)
        return rc;
    MDB_val key, val;
    int code = mdb_cursor_get(c, &key, &val, MDB_FIRST);
    while (code == MDB_SUCCESS && rc == LF_OK) {
        rc = each(l, &key, &val, t->diag);
        if (rc == LF_OK)
            code = mdb_cursor_get(c, &key, &val, MDB_NEXT);
    }
    mdb_cursor_close(c);
    if (rc == LF_OK && code != MDB_NOTFOUND)
        rc = lf_mdb_err(code, "walk", t->diag);
    return rc;
}

static enum lf_err named(struct list *l, const MDB_val *key, MDB_val *val, struct lf_diag *diag)
{
    uint64_t *id = list_add(l);
    if (!id)
        return lf_no_memory(diag, "the list of names");
    *id = 0;
    if (lf_seal_open(val, key) && val->mv_size == sizeof *id)
        memcpy(id, val->mv_data, sizeof *id);
    return LF_OK;
}

/* There is a record of the id, be it damaged, or a name that stands for it: a record whose key is
 * damaged has lost its place. */
static enum lf_err id_mentioned(struct lf_tx *t, uint64_t id, bool *there)
{
    struct lf_id_key k = lf_id_key(id);
    MDB_val key = lf_id_val(&k), val;
    struct list l = {.bytes = sizeof id};
    int code = mdb_get(t->txn, t->s->adapters, &key, &val);
    *there = code == MDB_SUCCESS;
    if (code != MDB_NOTFOUND)
        return lf_mdb_err(code, "adapter", t->diag);
    enum lf_err rc = table_walk(t, t->s->names, named, &l);
    const uint64_t *ids = (const uint64_t *)(void *)l.items;
    for (size_t i = 0; i < l.n && rc == LF_OK; i++)
        *there |= ids[i] == id;
    free(l.items);
    return rc;
}

enum lf_err lf_store_adapter_removed(struct lf_store *s, uint64_t id, bool *removed,
                                     struct lf_diag *diag)
{
    uint64_t known = 0;
    bool there = false;
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, false, diag);
    rc = rc ?: counter_get(&t, "adapter", &known) ?: id_mentioned(&t, id, &there);
    rc = lf_tx_end(&t, rc);
    if (rc == LF_OK)
        *removed = id <= known && !there;
    return rc;
}

/* One record that cannot be read takes no other along. */
static enum lf_err left_out(struct list *l, const char *what, uint64_t id, enum lf_err rc,
                            const struct lf_diag *why)
{
    if (rc == LF_OK)
        return rc;
    l->n--;
    lf_log(LF_LOG_ERROR, "store", "%s %llu is left out: %s", what, (unsigned long long)id,
           why->text);
    return LF_OK;
}

static enum lf_err adapter_listed(struct list *l, const MDB_val *key, MDB_val *val,
                                  struct lf_diag *diag)
{
    struct lf_diag why = {""};
    struct lf_adapter_record *r = list_add(l);
    if (!r)
        return lf_no_memory(diag, "the list of adapters");
    enum lf_err rc = lf_seal_open(val, key)
                         ? lf_adapter_record_decode(r, val->mv_data, val->mv_size, &why)
                         : lf_fail(&why, LF_E_DAMAGED, "its bytes are damaged");
    return left_out(l, "adapter", lf_key_id(key), rc, &why);
}

static enum lf_err job_listed(struct list *l, const MDB_val *key, MDB_val *val,
                              struct lf_diag *diag)
{
    struct lf_diag why = {""};
    struct lf_job_record *r = list_add(l);
    if (!r)
        return lf_no_memory(diag, "the list of jobs");
    enum lf_err rc = lf_seal_open(val, key)
                         ? lf_job_record_decode(r, val->mv_data, val->mv_size, &why)
                         : lf_fail(&why, LF_E_DAMAGED, "its bytes are damaged");
    return left_out(l, "job", lf_key_id(key), rc, &why);
}

enum lf_err lf_store_adapter_list(struct lf_store *s, struct lf_adapter_record **out, size_t *n,
                                  struct lf_diag *diag)
{
    struct list l = {.bytes = sizeof **out};
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, false, diag);
    rc = lf_tx_end(&t, rc ?: table_walk(&t, s->adapters, adapter_listed, &l));
    return list_take(&l, rc, out, n);
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

enum lf_err lf_store_job_create(struct lf_store *s, struct lf_job_record *r,
                                struct lf_adapter_record *adapter, struct lf_diag *diag)
{
    struct lf_job_record made = *r;
    struct lf_adapter_record a;
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, true, diag);
    rc = rc ?: lf_tx_adapter_read(&t, made.adapter_id, &a) ?: counter_next(&t, "job", &made.id);
    if (rc == LF_OK) {
        made.created_ms = lf_clock_unix_ms();
        made.version = ++a.versions;
        memcpy(made.adapter, a.name, sizeof made.adapter);
        a.last_job = made.id;
        a.trouble[0] = '\0';
        a.refused = LF_REFUSED_NOTHING;
        rc = job_write(&t, &made);
    }
    rc = rc ?: lf_tx_adapter_write(&t, &a);
    rc = lf_tx_end(&t, rc);
    if (rc == LF_OK) {
        *r = made;
        *adapter = a;
    }
    return rc;
}

enum lf_err lf_store_job_get(struct lf_store *s, uint64_t id, struct lf_job_record *out,
                             struct lf_diag *diag)
{
    struct lf_tx t;
    return lf_tx_begin(&t, s, false, diag) ?: lf_tx_end(&t, job_read(&t, id, out));
}

enum lf_err lf_store_job_put(struct lf_store *s, const struct lf_job_record *r,
                             struct lf_diag *diag)
{
    struct lf_tx t;
    return lf_tx_begin(&t, s, true, diag) ?: lf_tx_end(&t, job_write(&t, r));
}

enum lf_err lf_store_job_list(struct lf_store *s, bool only_open, struct lf_job_record **out,
                              size_t *n, struct lf_diag *diag)
{
    struct list l = {.bytes = sizeof **out};
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, false, diag);
    rc = lf_tx_end(&t, rc ?: table_walk(&t, s->jobs, job_listed, &l));
    struct lf_job_record *jobs = (struct lf_job_record *)(void *)l.items;
    size_t kept = 0;
    for (size_t i = 0; i < l.n; i++)
        if (!only_open || lf_job_state_open(jobs[i].progress.state))
            jobs[kept++] = jobs[i];
    l.n = kept;
    return list_take(&l, rc, out, n);
}

enum lf_err lf_store_job_prune(struct lf_store *s, size_t keep, struct lf_diag *diag)
{
    struct list l = {.bytes = sizeof(struct lf_job_record)};
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, true, diag);
    rc = rc ?: table_walk(&t, s->jobs, job_listed, &l);
    struct lf_job_record *jobs = (struct lf_job_record *)(void *)l.items;
    for (size_t i = l.n; i-- > 0 && rc == LF_OK;) {
        if (lf_job_state_open(jobs[i].progress.state))
            continue;
        if (keep > 0) {
            keep--;
            continue;
        }
        rc = record_drop(&t, s->jobs, jobs[i].id);
    }
    rc = lf_tx_end(&t, rc);
    free(jobs);
    return rc;
}

enum lf_err lf_store_job_finish(struct lf_store *s, const struct lf_job_record *r,
                                struct lf_adapter_record *adapter, struct lf_diag *diag)
{
    struct lf_adapter_record a;
    struct lf_tx t;
    enum lf_err rc = lf_tx_begin(&t, s, true, diag);
    rc = rc ?: job_write(&t, r);
    enum lf_err found = LF_OK;
    if (rc == LF_OK) {
        found = lf_tx_adapter_read(&t, r->adapter_id, &a);
        rc = found == LF_E_NOT_FOUND ? LF_OK : found;
    }
    if (rc == LF_OK && found == LF_OK) {
        if (r->progress.state == LF_JOB_DONE && r->held) {
            snprintf(a.trouble, sizeof a.trouble, "v%d is scored first", (int)r->version);
            a.refused = LF_REFUSED_VERSION;
        } else if (r->progress.state == LF_JOB_DONE) {
            a.current = r->version;
            memcpy(a.inputs_sha256, r->inputs_sha256, sizeof a.inputs_sha256);
        } else if (r->progress.state == LF_JOB_FAILED) {
            memcpy(a.trouble, r->reason, sizeof a.trouble);
            a.refused = LF_REFUSED_NOTHING;
        }
        rc = lf_tx_adapter_write(&t, &a);
    }
    rc = lf_tx_end(&t, rc);
    if (rc == LF_OK && found == LF_OK)
        *adapter = a;
    return rc;
}
