/* Inside the store: an environment, a transaction of it, and the steps that files of this room
 * share.
 */
#ifndef LF_META_INSIDE_H
#define LF_META_INSIDE_H

#include "meta/store.h"

#include <lmdb.h>
#include <pthread.h>
#include <string.h>

struct lf_store {
    char *dir;
    /* Held for reading over a transaction, for writing over an opening of the environment. */
    pthread_rwlock_t gate;
    MDB_env *env;      /* NULL: could not be opened again yet */
    unsigned openings; /* of the environment */
    MDB_dbi adapters, names, jobs, counters;
    int lock_fd;
    uint64_t epoch;
    pthread_mutex_t trouble_lock; /* protects what follows; taken last */
    enum lf_err failed;           /* how the last change ended */
    uint64_t failed_ns;           /* when the first of those that failed in a row did */
    struct lf_diag why;
};

struct lf_tx {
    struct lf_store *s;
    MDB_txn *txn;
    struct lf_diag *diag;
    bool writes;
};

struct lf_id_key {
    unsigned char b[8];
};

static inline struct lf_id_key lf_id_key(uint64_t id)
{
    struct lf_id_key k;
    for (int i = 0; i < 8; i++)
        k.b[i] = (unsigned char)(id >> (56 - 8 * i));
    return k;
}

static inline MDB_val lf_id_val(struct lf_id_key *k)
{
    return (MDB_val){sizeof k->b, k->b};
}

static inline uint64_t lf_key_id(const MDB_val *key)
{
    const unsigned char *b = key->mv_data;
    uint64_t id = 0;
    for (size_t i = 0; i < key->mv_size; i++)
        id = id << 8 | b[i];
    return id;
}

static inline MDB_val lf_text_val(const char *s)
{
    return (MDB_val){strlen(s), (void *)(uintptr_t)s};
}

/* LMDB's code as ours. */
enum lf_err lf_mdb_err(int code, const char *doing, struct lf_diag *diag);
enum lf_err lf_tx_begin(struct lf_tx *t, struct lf_store *s, bool writes,
                        struct lf_diag *diag) LF_MUST_CHECK;
/* Commits when rc is LF_OK, aborts otherwise. */
enum lf_err lf_tx_end(struct lf_tx *t, enum lf_err rc) LF_MUST_CHECK;
/* The bytes without their seal are LMDB's, until the transaction ends. LF_E_NOT_FOUND is the
 * caller's to say. */
enum lf_err lf_tx_get(struct lf_tx *t, MDB_dbi db, MDB_val key, MDB_val *val) LF_MUST_CHECK;
enum lf_err lf_tx_adapter_read(struct lf_tx *t, uint64_t id,
                               struct lf_adapter_record *out) LF_MUST_CHECK;
enum lf_err lf_tx_adapter_write(struct lf_tx *t, struct lf_adapter_record *r) LF_MUST_CHECK;
enum lf_err lf_tx_name_take(struct lf_tx *t, const char *name, uint64_t id) LF_MUST_CHECK;

#endif
