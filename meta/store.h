/* The store: adapters and jobs in LMDB. Weights and data are files; this is their state. A change
 * on disk is: write, fsync, rename, then one transaction here; at start the daemon reconciles the
 * two.
 *
 * Any thread may call; each call is one transaction and copies what it returns, so no reader is
 * ever left open. One process opens a store at a time (LF_E_BUSY otherwise), never across fork, and
 * not on a network file system. Knows nothing of devices, HTTP, FUSE.
 *
 * Layout (DIR/data.mdb), big-endian keys so that a walk is in order:
 *   adapters  id       -> struct lf_adapter_record
 *   names     name     -> id, which is what makes a name unique
 *   jobs      id       -> struct lf_job_record
 *   counters  word     -> u64: format, epoch, adapter, job
 * Each value has a seal behind it (seal.h).
 */
#ifndef LF_META_STORE_H
#define LF_META_STORE_H

#include "core/err.h"
#include "core/limits.h"
#include "core/progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lf_store;

/* Makes DIR where it is not there. A file that is no store, or a damaged one, is kept as
 * data.mdb.damaged, said in the log, and the store is empty (rewrite.h). LF_E_DAMAGED for one of a
 * newer format. Yours, free with lf_store_close. */
enum lf_err lf_store_open(struct lf_store **out, const char *dir,
                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_store_close(struct lf_store *s);
/* Takes what lf_store_open holds of DIR, which is there, and opens nothing: LF_E_BUSY while another
 * process has it. Closing *fd gives it back. */
enum lf_err lf_store_lock(int *fd, const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* A copy of the store in DIR, which a daemon may have open, as TO/data.mdb; of one moment. */
enum lf_err lf_store_copy(const char *dir, const char *to, struct lf_diag *diag) LF_MUST_CHECK;
/* How many times this store has been opened, this time included: what tells one run of the daemon
 * from another. */
uint64_t lf_store_epoch(const struct lf_store *s);

/* LF_OK, or how the last change ended, with its reason, and for how long all have: the disk is
 * full, or fails. */
enum lf_err lf_store_trouble(struct lf_store *s, double *seconds,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* A change that changes nothing: whether changes can be made. */
enum lf_err lf_store_touch(struct lf_store *s, struct lf_diag *diag) LF_MUST_CHECK;

/* ---- Adapters -------------------------------------------------------------------------------- */

/* What the trouble of an adapter is of. Numbers of records on disk. */
enum lf_refused {
    LF_REFUSED_NOTHING, /* a job's, or there is none */
    LF_REFUSED_FILE,
    LF_REFUSED_VERSION /* a new version's, which is not served: it was not scored yet, or is worse
                        */
};

struct lf_adapter_record {
    uint64_t id; /* its directory's name; survives renames; never used again */
    char name[LF_NAME_MAX + 1];
    char base[LF_NAME_MAX + 1];
    int64_t created_ms, changed_ms;
    int32_t current;           /* version served; 0: none yet */
    int32_t versions;          /* numbers given out so far */
    uint64_t last_job;         /* 0: none */
    char inputs_sha256[65];    /* of the dataset and settings that `current` was trained on; "":
                                  none, or not trained here */
    char trouble[LF_DIAG_MAX]; /* why a file was refused or a job failed: "dataset.jsonl: line 17:
                                  ..."; "" none */
    char base_sha256[65];      /* of the base that `current` was trained on; "": not known */
    int32_t wanted;            /* 1: a training was asked for, and is not made yet */
    int32_t refused;           /* enum lf_refused: what was there before stands */
};

typedef enum lf_err (*lf_store_adapter_fn)(void *arg, struct lf_adapter_record *r,
                                           struct lf_diag *diag);
/* LF_E_EXISTS when the name is taken. Fills id, created_ms, changed_ms. prepare (may be NULL) makes
 * what the adapter has elsewhere, from the record as it will be: its error is the answer, and there
 * is no adapter then, nor when the commit after it fails. */
enum lf_err lf_store_adapter_create(struct lf_store *s, struct lf_adapter_record *r,
                                    lf_store_adapter_fn prepare, void *arg,
                                    struct lf_diag *diag) LF_MUST_CHECK;
/* Reads, lets `change` edit, writes with changed_ms of now, all in one transaction. `change`
 * returns LF_OK to commit and leaves id and name alone. out (may be NULL): as written. */
enum lf_err lf_store_adapter_update(struct lf_store *s, uint64_t id, lf_store_adapter_fn change,
                                    void *arg, struct lf_adapter_record *out,
                                    struct lf_diag *diag) LF_MUST_CHECK;
/* LF_E_EXISTS when `to` is taken, by another adapter. */
enum lf_err lf_store_adapter_rename(struct lf_store *s, uint64_t id, const char *to,
                                    struct lf_adapter_record *out,
                                    struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_store_adapter_delete(struct lf_store *s, uint64_t id,
                                    struct lf_diag *diag) LF_MUST_CHECK;
/* An adapter of which the files are there and the record is not, or cannot be read: r, with its id,
 * becomes the record. LF_E_EXISTS when the name is another's. */
enum lf_err lf_store_adapter_adopt(struct lf_store *s, const struct lf_adapter_record *r,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* *removed: this store gave the id out, and has no record of it any more. False for an id that it
 * never knew (the store was lost and is a new one, or an old copy), and for one whose record is
 * damaged. */
enum lf_err lf_store_adapter_removed(struct lf_store *s, uint64_t id, bool *removed,
                                     struct lf_diag *diag) LF_MUST_CHECK;
/* All whose records can be read, by id; the others are logged. *out is yours (free). */
enum lf_err lf_store_adapter_list(struct lf_store *s, struct lf_adapter_record **out, size_t *n,
                                  struct lf_diag *diag) LF_MUST_CHECK;

/* ---- Jobs ------------------------------------------------------------------------------------ */

struct lf_job_record {
    uint64_t id;
    uint64_t adapter_id;
    char adapter[LF_NAME_MAX + 1];            /* its name when the job was made */
    int32_t version;                          /* that it makes */
    int64_t created_ms, started_ms, ended_ms; /* 0: not yet */
    int32_t losses;                           /* times the device was lost under it */
    int32_t attempts; /* to prepare its rows, in a row, that the daemon did not survive */
    struct lf_progress progress; /* kept but for its times */
    char inputs_sha256[65];
    char reason[LF_DIAG_MAX]; /* why it failed */
    bool held;                /* DONE: its version is not served yet; not kept */
};

/* Gives the job its id and its version (the adapter's next number), makes it the adapter's last
 * job, clears the adapter's trouble. Fills id, adapter, version, created_ms. */
enum lf_err lf_store_job_create(struct lf_store *s, struct lf_job_record *r,
                                struct lf_adapter_record *adapter,
                                struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_store_job_get(struct lf_store *s, uint64_t id, struct lf_job_record *out,
                             struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_store_job_put(struct lf_store *s, const struct lf_job_record *r,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* Oldest first; records that cannot be read are logged and left out; only_open leaves out those
 * that ended. *out is yours (free). */
enum lf_err lf_store_job_list(struct lf_store *s, bool only_open, struct lf_job_record **out,
                              size_t *n, struct lf_diag *diag) LF_MUST_CHECK;
/* Forgets ended jobs beyond the newest `keep`. */
enum lf_err lf_store_job_prune(struct lf_store *s, size_t keep, struct lf_diag *diag) LF_MUST_CHECK;

/* An ended job in one transaction. Done: the job's version becomes the adapter's current one, its
 * inputs the adapter's; held: that is the adapter's trouble (LF_REFUSED_VERSION) instead. Failed:
 * its reason becomes the adapter's trouble. An adapter that is gone gives LF_OK (*adapter is then
 * untouched). */
enum lf_err lf_store_job_finish(struct lf_store *s, const struct lf_job_record *r,
                                struct lf_adapter_record *adapter,
                                struct lf_diag *diag) LF_MUST_CHECK;

/* ---- Mending --------------------------------------------------------------------------------- */

/* What lf_store_mend found: "adapter 7", "its bytes are damaged", "dropped". */
typedef void (*lf_store_mended_fn)(void *arg, const char *what, const char *why, const char *how);
/* Makes the tables agree, in one transaction: records that cannot be read are dropped, names stand
 * for the adapters that have them, and for no others. */
enum lf_err lf_store_mend(struct lf_store *s, lf_store_mended_fn say, void *arg,
                          struct lf_diag *diag) LF_MUST_CHECK;

#endif
