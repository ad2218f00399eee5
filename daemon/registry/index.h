/* Inside the registry: its memory, and what its files have of each other. From the ground up:
 *
 *     index.c      the entries, and how one is read from its directory
 *     disk.c       paths                             space.c     how much room is left
 *     view.c       questions to the index            present.c   what is shown of an adapter
 *     settings.c   config.json and template          check.c     bytes that a person wrote
 *     log.c        what the daemon writes             whole.c     what a training waits for
 *     import.c     PEFT directories                   restore.c   versions that are copied in
 *     origin.c     what made a version                beside.c    and its files that say so
 *     change.c     changes: disk, then store, then index
 *     upload.c     files on their way in             stray.c     names that mean nothing
 *     identity.c   who an adapter is, beside its files
 *     remains.c    what a crash may have left in its directory
 *     trash.c      removed adapters                  back.c      and how they come back
 *     reconcile.c  opening: all three agree
 *
 * Functions here are called with the index lock held, but for those that say otherwise. */
#ifndef LF_DAEMON_REGISTRY_INDEX_H
#define LF_DAEMON_REGISTRY_INDEX_H

#include "core/file.h"
#include "core/parts.h"
#include "core/pins.h"
#include "core/recent.h"
#include "daemon/registry/registry.h"

#include <pthread.h>

#define LF_IDENTITY_FILE "identity.json" /* in an adapter's directory: its name, its base */

struct lf_file_stat {
    int64_t bytes; /* -1: not there */
    int64_t mtime_ms;
};

struct lf_version {
    int32_t n;
    struct lf_file_stat file[LF_VERSION_FILES_N];
};

struct lf_entry {
    struct lf_adapter_record record;
    struct lf_activity activity;
    struct lf_scores_due scores;
    const struct lf_base *base; /* lf_bases_of its record's */
    char *named; /* the base that the served version's adapter_config.json names, where it is
                    another one; NULL: none */
    struct lf_told told; /* of the served version */
    bool awaited;        /* a training is on its way, without a job yet */
    int later;           /* lf_adapter_view's, plus 1 */
    char *warning;       /* what is odd about the rows trained on last; NULL: nothing */
    char *refusal;       /* why an order or a question was refused last: "ctl: ..."; NULL: none */
    struct lf_file_stat files[LF_FILE_PLAIN_N];
    struct lf_file_stat staged_config, staged_weights; /* of import/ */
    struct lf_version *versions;                       /* ascending */
    size_t n_versions;
    struct lf_version *restored; /* ascending; of restore/: not whole yet */
    size_t n_restored;
    int32_t wanted; /* the version to serve, as soon as it is restored; 0: none was named */
    char *fragment; /* its part of the tree's document; NULL: to be made again */
    size_t fragment_len;
};

struct lf_registry {
    char data_dir[LF_PATH_MAX - 256]; /* leaves room for what is put after it */
    struct lf_store *store;
    const struct lf_bases *bases;
    struct lf_budget *budget;  /* what is checked comes out of it; or NULL */
    struct lf_pins pins;       /* has a lock of its own */
    struct lf_parts parts;     /* likewise */
    struct lf_recent checked;  /* rows that are good with some settings; has a lock of its own */
    pthread_mutex_t edit;      /* one change at a time; held over the disk; taken first */
    pthread_mutex_t log;       /* one line at a time, of whatever adapter; taken alone */
    pthread_mutex_t index;     /* protects all below */
    struct lf_entry **by_name; /* (n) */
    struct lf_entry **by_id;   /* (n) */
    size_t n, cap_names, cap_ids;
    uint64_t generation;
};

struct lf_entry *lf_index_find(const struct lf_registry *r, const char *name);
struct lf_entry *lf_index_find_id(const struct lf_registry *r, uint64_t id);
/* Room for one entry more. */
enum lf_err lf_index_reserve(struct lf_registry *r, struct lf_diag *diag) LF_MUST_CHECK;
/* Takes the entry, which there is room for. */
void lf_index_add(struct lf_registry *r, struct lf_entry *e);
/* Out of the index and freed. */
void lf_index_remove(struct lf_registry *r, struct lf_entry *e);
/* After its record was written under another name. */
void lf_index_renamed(struct lf_registry *r, struct lf_entry *e,
                      const struct lf_adapter_record *record);
/* The tree shows something else of it now. */
void lf_index_touch(struct lf_registry *r, struct lf_entry *e);
/* What is served was trained on other weights than those that are here. */
bool lf_entry_is_stranger(const struct lf_entry *e);
void lf_entry_view(struct lf_adapter_view *out, const struct lf_entry *e);
enum lf_adapter_state lf_entry_state(const struct lf_entry *e);
const struct lf_version *lf_entry_version(const struct lf_entry *e, int32_t n);

/* restore.c, with the edit lock: one file of versions/<n>, as an adapter that is copied has it.
 * With both of PEFT's there it is a version again. *imported: its number, else 0. */
enum lf_err lf_registry_restore(struct lf_registry *r, uint64_t id, struct lf_upload *u,
                                int32_t *imported, struct lf_diag *diag) LF_MUST_CHECK;
/* import.c: whether two files hold the same bytes. */
bool lf_files_are_same(const char *a, const char *b);
/* import.c: a directory in PEFT's form becomes a version; want: its number, where that is free (0:
 * what its origin says, or the next one). */
enum lf_err lf_registry_import_dir(struct lf_registry *r, uint64_t id, const char *staged,
                                   int32_t want, int32_t *version,
                                   struct lf_diag *diag) LF_MUST_CHECK;

/* No lock needed: they read the disk into an entry that is not in the index yet. */
enum lf_err lf_entry_scan(struct lf_entry *e, const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
void lf_entry_free(struct lf_entry *e);
/* bytes -1 where there is no such file. */
struct lf_file_stat lf_file_stat_of(const char *path);

/* With the locks of their own. The id behind a name, or LF_E_NOT_FOUND. */
enum lf_err lf_registry_id(struct lf_registry *r, const char *name, uint64_t *id,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* With the edit lock held: LF_E_FAILED where what is there does not fit. */
enum lf_err lf_registry_fits(struct lf_registry *r, const char *name, const struct lf_file_ref *ref,
                             struct lf_condition only, struct lf_diag *diag) LF_MUST_CHECK;
/* Of weights without a note: writes down the base that adapter_config.json names, where that may be
 * another than this one. */
enum lf_err lf_registry_named_write(const char *dir, const struct lf_origin *o,
                                    const struct lf_base *base, struct lf_diag *diag) LF_MUST_CHECK;
/* What the version's metrics.json says of its rows (lf_entry's warning). Yours. */
char *lf_registry_warning(struct lf_registry *r, uint64_t id, int32_t version);
/* What the version's metrics.json says of its scores. */
struct lf_told lf_registry_told(struct lf_registry *r, uint64_t id, int32_t version);
/* What was written down beside the weights of the served version (lf_entry's named). Yours. */
char *lf_registry_named(struct lf_registry *r, uint64_t id, int32_t current);
/* Puts a written record (NULL: it is as it was) and a fresh look at its directory's files into the
 * index. The change is made by now: where the directory cannot be read, the files stay as they were
 * shown. */
void lf_registry_refresh(struct lf_registry *r, uint64_t id,
                         const struct lf_adapter_record *record);
/* Whether a reason is of this file: "ctl: ...". */
bool lf_reason_is_of(const char *reason, const char *file);
/* fmt after "DATA/". */
enum lf_err lf_registry_pathf(const struct lf_registry *r, char out[LF_PATH_MAX],
                              struct lf_diag *diag, const char *fmt, ...)
    LF_PRINTF(4, 5) LF_MUST_CHECK;
/* trash.c: moves DATA/adapters/<id> into the trash, named so that a person finds it. record (may be
 * NULL): what the store knew of it, for when it comes back. */
enum lf_err lf_registry_trash(struct lf_registry *r, uint64_t id, const char *name,
                              const struct lf_adapter_record *record,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* Likewise a version of it. */
enum lf_err lf_registry_trash_version(struct lf_registry *r, uint64_t id, const char *name,
                                      int32_t n, char entry[LF_TRASH_ENTRY],
                                      struct lf_diag *diag) LF_MUST_CHECK;
/* The record of a directory, as far as its files tell: name, base, the newest version. */
enum lf_err lf_registry_recall(struct lf_registry *r, uint64_t id, struct lf_adapter_record *out,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* reconcile.c: into the index, disk and store agreeing. */
enum lf_err lf_registry_take_up(struct lf_registry *r, const struct lf_adapter_record *record,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* Writes identity.json, the name and the base of a record, where it does not say so already. */
enum lf_err lf_registry_identity(struct lf_registry *r, const struct lf_adapter_record *record,
                                 struct lf_diag *diag) LF_MUST_CHECK;
void lf_registry_identity_remove(struct lf_registry *r, uint64_t id);
/* Gives a directory that the store does not know a record, from identity.json and the newest
 * version; loudly. LF_E_NOT_FOUND where nothing is in it that anyone would miss. */
enum lf_err lf_registry_adopt(struct lf_registry *r, uint64_t id, struct lf_adapter_record *out,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* Whether the bytes at `path` may become the adapter's file. The reason in diag is the person's. */
enum lf_err lf_registry_check(struct lf_registry *r, uint64_t id, enum lf_file_kind kind,
                              const char *path, struct lf_diag *diag) LF_MUST_CHECK;
/* Whether the rows at `path` lack nothing but a template, which an adapter that has no version yet
 * does not have. */
bool lf_registry_wants_template(struct lf_registry *r, uint64_t id, const char *path);
/* The base of an adapter whose config.json names `name` ("": none). One that has neither trained
 * nor a version yet may become another's; LF_E_INVALID for others, and for a base that is not
 * there. */
enum lf_err lf_registry_base_named(struct lf_registry *r, uint64_t id, const char *name,
                                   const struct lf_base **out, struct lf_diag *diag) LF_MUST_CHECK;
/* It becomes the adapter's, of the config.json at `path`. With the edit lock held. */
enum lf_err lf_registry_base_choose(struct lf_registry *r, uint64_t id, const char *path,
                                    struct lf_diag *diag) LF_MUST_CHECK;
/* LF_E_INVALID: there is no base `name`; which there are. */
enum lf_err lf_registry_no_base(const struct lf_registry *r, const char *name,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* ---- For fsck, too: no lock, and no base, is needed ------------------------------------------ */

/* Calls fn with each thing in an adapter's directory that nothing needs (where: below DATA); aside:
 * it may be worth keeping. jobs (n_jobs): those that are open, of any adapter. */
typedef enum lf_err (*lf_remains_fn)(void *arg, const char *where, const char *what, bool aside,
                                     struct lf_diag *diag);
enum lf_err lf_registry_remains(struct lf_registry *r, uint64_t id,
                                const struct lf_job_record *jobs, size_t n_jobs, lf_remains_fn fn,
                                void *arg, struct lf_diag *diag) LF_MUST_CHECK;
/* Takes them away. */
enum lf_err lf_registry_clear(struct lf_registry *r, uint64_t id, const struct lf_job_record *jobs,
                              size_t n_jobs, struct lf_diag *diag) LF_MUST_CHECK;
/* What is at DATA/<where> goes into the trash; or away. */
enum lf_err lf_registry_aside(struct lf_registry *r, const char *where,
                              struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_registry_drop(struct lf_registry *r, const char *where,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* space.c: little is free where the data lies. */
bool lf_registry_disk_is_short(struct lf_registry *r);
/* space.c: DATA/reserve is there, so that a removal has room on a full disk: made where there is
 * room for it, given up. */
void lf_registry_reserve_make(struct lf_registry *r);
bool lf_registry_reserve_give(struct lf_registry *r);
/* trash.c: a thing in it. */
#define LF_TRASH_NOTE "removed.json" /* what the store knew of an adapter */
struct lf_trashed {
    char dir[LF_PATH_MAX];
    char name[LF_NAME_MAX + 1]; /* the adapter's when it was removed; "": a damaged part */
    int32_t version;            /* that was removed alone; 0: the adapter was */
    uint64_t id;
    json_t *note; /* owned; NULL: none */
};
enum lf_err lf_trash_look(struct lf_registry *r, const char *entry, struct lf_trashed *out,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* All entries; *index: of that name, or of the newest that was an adapter of this name. */
enum lf_err lf_trash_entries(struct lf_registry *r, struct lf_names *out,
                             struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_trash_find(struct lf_registry *r, const struct lf_names *all, const char *word,
                          size_t *index, struct lf_diag *diag) LF_MUST_CHECK;
/* trash.c: a path in the trash of today. */
enum lf_err lf_registry_trash_path(struct lf_registry *r, char out[LF_PATH_MAX], const char *label,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* reconcile.c: the record of an entry that was scanned serves a version that is there, and gives no
 * number out again; written where that changes it. *changed may be NULL. */
enum lf_err lf_registry_fit(struct lf_registry *r, struct lf_entry *e, bool *changed,
                            struct lf_diag *diag) LF_MUST_CHECK;

#endif
