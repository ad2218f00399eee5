/* The registry: every adapter's directory and record, kept in memory so that a listing of
 * thousands reads no disk.
 *
 * On disk (DATA/adapters/<id>/): the files of names/files.h, versions/<n>/ in PEFT's form,
 * identity.json with the name and the base (by which an adapter is found again whose record is
 * lost), import/ while an adapter is being copied in, jobs/<id>/ with what an open job trains on. A
 * change is: write, fsync, rename, then one transaction of the store, then the index;
 * lf_registry_open puts right whatever a crash left between these. Removed adapters lie in
 * DATA/trash until a daemon has run for 7 days, or the disk is nearly full: the wall clock alone
 * throws nothing away.
 *
 * Any thread. Two locks: `edit` makes changes one at a time and is held over the disk; `index` is
 * held for memory alone, so that readers never wait for an fsync. Knows nothing of HTTP, devices,
 * or how a job is run.
 */
#ifndef LF_DAEMON_REGISTRY_H
#define LF_DAEMON_REGISTRY_H

#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"
#include "base/base.h"
#include "meta/store.h"
#include "names/files.h"
#include "trainer/ask.h"
#include "trainer/settings.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct lf_registry;

/* store and bases are borrowed and must outlive it. Yours, lf_registry_close. */
enum lf_err lf_registry_open(struct lf_registry **out, const char *data_dir, struct lf_store *store,
                             const struct lf_bases *bases, struct lf_diag *diag) LF_MUST_CHECK;
void lf_registry_close(struct lf_registry *r);
/* What checking a file needs comes out of it (core/budget.h) from now on; borrowed. */
struct lf_budget;
void lf_registry_budget(struct lf_registry *r, struct lf_budget *b);
/* The base that an adapter is of; where there is no such adapter the default. */
const struct lf_base *lf_registry_base(struct lf_registry *r, uint64_t id);
/* Grows with every change that lf_registry_tree shows, also over restarts. */
uint64_t lf_registry_generation(struct lf_registry *r);

/* ---- Adapters -------------------------------------------------------------------------------- */

enum lf_adapter_state {
    LF_ADAPTER_EMPTY, /* no version yet */
    LF_ADAPTER_READY,
    LF_ADAPTER_QUEUED,
    LF_ADAPTER_TRAINING,
    LF_ADAPTER_PAUSED,
    LF_ADAPTER_FAILED /* its trouble says why; a version may be served all the same */
};
const char *lf_adapter_state_name(enum lf_adapter_state s);

/* What an adapter's open job is doing; job 0: there is none. */
struct lf_activity {
    uint64_t job;
    int32_t version; /* that it makes */
    struct lf_progress progress;
    bool waits;    /* queued: it does not fit beside the trainings that run */
    int preparing; /* queued: hundredths of its rows that are tokenised, plus 1; 0: not now */
    int starting;  /* the same of the base's weights that are decomposed for its start */
    char note[96]; /* training: of a sweep, what follows in `status`; "" */
};

/* What is done about an adapter's scores. */
struct lf_scores_due {
    int32_t versions;   /* that wait for theirs, or are being scored; 0: none */
    int64_t done, rows; /* of the version, or of the base before it; rows 0: not begun */
};

struct lf_metric;
/* What a version's metrics.json says of how it and the bare base score; metric NULL: nothing. */
struct lf_told {
    struct lf_told_score {
        const struct lf_metric *metric;
        double value;
    } eval, base;
};

/* A copy of what is known of one adapter. */
struct lf_adapter_view {
    struct lf_adapter_record record;
    enum lf_adapter_state state;
    struct lf_activity activity;
    struct lf_scores_due scores;
    struct lf_told told; /* of the served version */
    bool stranger;       /* what is served was trained on another base: it is not served */
    char named[LF_REPOSITORY_MAX + 1]; /* the base that an import names, where it may be another */
    const struct lf_base *base;
    int later; /* the file (enum lf_file_kind) that came too late for the job under way; -1: none */
    char
        warning[LF_DIAG_MAX]; /* of the rows trained on, by the open job or the version; "": none */
    char refusal[LF_DIAG_MAX]; /* what lf_registry_asked remembers; "": nothing */
};

/* config: a JSON object as for config.json, or NULL for the defaults. LF_E_EXISTS; LF_E_INVALID for
 * what cannot be a name, and for a base's. */
enum lf_err lf_registry_create(struct lf_registry *r, const char *name, const json_t *config,
                               struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_registry_rename(struct lf_registry *r, const char *name, const char *to,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* Into the trash; on a disk that is nearly full what is there goes for good, the oldest first. *id:
 * its number, for whoever runs a job of it. */
enum lf_err lf_registry_remove(struct lf_registry *r, const char *name, uint64_t *id,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* LF_E_NOT_FOUND for a name that is not there (or cannot be a name). */
enum lf_err lf_registry_view(struct lf_registry *r, const char *name, struct lf_adapter_view *out,
                             struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_registry_view_id(struct lf_registry *r, uint64_t id, struct lf_adapter_view *out,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* All, by name. *out is yours (free). */
enum lf_err lf_registry_list(struct lf_registry *r, struct lf_adapter_view **out, size_t *n,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* Makes version n the current one. LF_E_NOT_FOUND when it is not there. */
enum lf_err lf_registry_rollback(struct lf_registry *r, const char *name, int32_t n,
                                 struct lf_diag *diag) LF_MUST_CHECK;
/* Remembers why something was refused, as "file: reason", for `status`; and writes a log line. */
void lf_registry_refused(struct lf_registry *r, const char *name, const char *file,
                         const char *reason);
/* Remembers, for `error` alone and until the daemon ends, why `ctl` or `generate` was refused;
 * NULL: it was not, and an older refusal of that file (NULL: of any) is forgotten. */
void lf_registry_asked(struct lf_registry *r, const char *name, const char *file,
                       const char *refusal);
/* Remembers, for `status`, what is odd about the rows that are trained on; "": nothing. */
void lf_registry_warned(struct lf_registry *r, uint64_t id, const char *warning);
/* The same, of the served version, from its metrics.json, while no job is under way: after that
 * version or its report has become another. */
void lf_registry_rewarn(struct lf_registry *r, uint64_t id);

/* Refuses a file whose name means nothing: LF_E_NOT_FOUND with what would mean something, which
 * `error` says, too, until a file is taken. */
enum lf_err lf_registry_stray(struct lf_registry *r, const char *name, const char *path,
                              struct lf_diag *diag) LF_MUST_CHECK;

/* ---- The trash ------------------------------------------------------------------------------- */

/* Only for the calls below, where no daemon is: knows no base. Yours, lf_registry_close. */
enum lf_err lf_registry_open_trash(struct lf_registry **out, const char *data_dir,
                                   struct lf_store *store, struct lf_diag *diag) LF_MUST_CHECK;
/* *out: [{"entry", "name" (the adapter's; null: a damaged part), "version" (where it was removed
 * alone), "bytes", "removed_ms", "age_seconds"}], oldest first; yours. */
enum lf_err lf_registry_trash_list(struct lf_registry *r, json_t **out,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* Of which adapter the thing is that a word of lf_registry_trash_restore means; "": a damaged part.
 * LF_E_NOT_FOUND: nothing. */
enum lf_err lf_registry_trash_name(struct lf_registry *r, const char *word,
                                   char name[LF_NAME_MAX + 1], struct lf_diag *diag) LF_MUST_CHECK;
/* What came back. */
struct lf_restored {
    char name[LF_NAME_MAX + 1];
    int32_t version; /* of that adapter; 0: all of it */
};
/* `word` is an entry, or the name of an adapter that was removed (last). It comes back as it was,
 * under the name `as` (NULL: its own); its trainings that were under way do not. A version comes
 * back to its adapter, and is not served. LF_E_EXISTS where there is one of that name or number;
 * LF_E_NOT_FOUND where a version's adapter is gone; LF_E_INVALID for a damaged part. */
enum lf_err lf_registry_trash_restore(struct lf_registry *r, const char *word, const char *as,
                                      struct lf_restored *out, struct lf_diag *diag) LF_MUST_CHECK;
/* For good; word NULL: all there is. *bytes: that were freed. */
enum lf_err lf_registry_trash_empty(struct lf_registry *r, const char *word, int64_t *bytes,
                                    struct lf_diag *diag) LF_MUST_CHECK;

/* ---- What is shown --------------------------------------------------------------------------- */

/* The document of GET /v1/tree (docs/http.md). */
enum lf_err lf_registry_tree(struct lf_registry *r,
                             bool (*shown)(const void *arg, const char *name), const void *arg,
                             struct lf_buf *out) LF_MUST_CHECK;
/* The version numbers that are there, ascending. *out is yours (free). */
enum lf_err lf_registry_versions(struct lf_registry *r, const char *name, int32_t **out, size_t *n,
                                 struct lf_diag *diag) LF_MUST_CHECK;
/* The line of `status`: "training v4 120/2500 loss 0.83 4120 tok/s eta 3m12s". No newline. */
enum lf_err lf_adapter_status_line(struct lf_buf *out,
                                   const struct lf_adapter_view *v) LF_MUST_CHECK;
/* The text of `status`, without its last newline: that line, and one with what is odd about the
 * rows: "warning: 3 rows are there more than once, ...". */
enum lf_err lf_adapter_status_text(struct lf_buf *out,
                                   const struct lf_adapter_view *v) LF_MUST_CHECK;
/* Why an adapter of another base is not served. */
enum lf_err lf_adapter_stranger(const struct lf_adapter_view *v, struct lf_diag *diag);
/* The text of `error`, without its last newline: "dataset.jsonl: line 17: ..." of a file or a job,
 * and on a line of its own what `ctl` or `generate` refused. Nothing, where nothing is wrong. */
enum lf_err lf_adapter_error_line(struct lf_buf *out,
                                  const struct lf_adapter_view *v) LF_MUST_CHECK;
/* The last training did not end, or nothing else is to come of it: no job is open, and no version
 * waits for its scores. */
bool lf_adapter_is_settled(const struct lf_adapter_view *v);
/* The line of `progress`: "viggo v4 [█████░░░] 120/2500 loss 0.83 4120 tok/s eta 3m12s". */
enum lf_err lf_adapter_progress_line(struct lf_buf *out,
                                     const struct lf_adapter_view *v) LF_MUST_CHECK;

/* ---- Files ----------------------------------------------------------------------------------- */

/* The path on disk of a file that has bytes there. LF_E_NOT_FOUND when it does not exist. */
enum lf_err lf_registry_path(struct lf_registry *r, const char *name, const struct lf_file_ref *ref,
                             char out[LF_PATH_MAX], struct lf_diag *diag) LF_MUST_CHECK;
/* A file that has bytes on disk, open for reading. tag (lf_file_tag; NULL: any): of the bytes that
 * are wanted, which may be those of a file that was replaced a while ago; where they are gone, *fd
 * is of the file that is there now. pieces: it will be asked for again, with its tag. *fd is
 * yours. */
enum lf_err lf_registry_file_open(struct lf_registry *r, const char *name,
                                  const struct lf_file_ref *ref, const char *tag, bool pieces,
                                  int *fd, struct lf_diag *diag) LF_MUST_CHECK;
/* What nobody has read in pieces, or sent in parts, for a while is not kept any more. */
void lf_registry_expire(struct lf_registry *r);
/* Whether what is there may be replaced or removed, by its tag (lf_file_tag; NULL: nothing is
 * there). Asked when it is about to be, so that nobody else is quicker; fits NULL: it may. */
struct lf_condition {
    bool (*fits)(void *arg, const char *tag);
    void *arg;
};
/* Removes a file that lf_file_ref_writable, or a version that is not current (LF_E_BUSY), which
 * goes into the trash: entry is what it is there, or "". LF_E_FAILED: what is there does not fit.
 */
#define LF_TRASH_ENTRY 128 /* bytes: a time, a name, two numbers */
enum lf_err lf_registry_delete(struct lf_registry *r, const char *name,
                               const struct lf_file_ref *ref, struct lf_condition only,
                               char entry[LF_TRASH_ENTRY], struct lf_diag *diag) LF_MUST_CHECK;

/* A file on its way in: bytes go to DATA/incoming, and replace the old file in one step when they
 * are all there and good. */
struct lf_upload {
    int fd; /* -1: not begun */
    char path[LF_PATH_MAX];
    uint64_t bytes, bytes_max;
    struct lf_file_ref ref;
    bool waits;               /* rows that lack nothing but a template are taken: it may come */
    struct lf_condition only; /* what it may replace */
};
/* One that is no adapter's: lf_upload_place takes it in. */
enum lf_err lf_upload_open(struct lf_registry *r, uint64_t bytes_max, struct lf_upload *out,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Its bytes are the file at `path` from now on. */
enum lf_err lf_upload_place(struct lf_upload *u, const char *path,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* LF_E_READ_ONLY for a file that is not for writing. */
enum lf_err lf_registry_upload_begin(struct lf_registry *r, const char *name,
                                     const struct lf_file_ref *ref, struct lf_upload *out,
                                     struct lf_diag *diag) LF_MUST_CHECK;
/* LF_E_TOO_BIG past bytes_max. */
enum lf_err lf_upload_write(struct lf_upload *u, const void *data, size_t n,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Checks the bytes and takes them in (LF_E_FAILED: what is there does not fit); refused ones leave
 * the old file and become the adapter's trouble. *imported: the version that a PUT of adapter/
 * completed, else 0. The upload is ended either way. */
enum lf_err lf_registry_upload_commit(struct lf_registry *r, const char *name, struct lf_upload *u,
                                      int32_t *imported, struct lf_diag *diag) LF_MUST_CHECK;
void lf_upload_abort(struct lf_upload *u);
/* An empty upload gets these bytes for its own. Takes fd and the file, also on failure. */
enum lf_err lf_upload_adopt(struct lf_upload *u, int fd, const char *path, uint64_t bytes,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Files that come in parts; owners are the adapters' numbers. */
struct lf_parts *lf_registry_parts(struct lf_registry *r);
/* The bytes of a file that nobody writes to any more, on the data directory's disk, as a PUT of
 * them would take them in: they get a second name. */
enum lf_err lf_registry_put_file(struct lf_registry *r, const char *name, enum lf_file_kind kind,
                                 const char *path, struct lf_diag *diag) LF_MUST_CHECK;
/* Imports a PEFT directory that this process can read, as the two PUTs of adapter/ would; makes
 * the adapter where it is not there. */
enum lf_err lf_registry_import(struct lf_registry *r, const char *name, const char *dir,
                               int32_t *version, struct lf_diag *diag) LF_MUST_CHECK;

/* What made a version: a note in its weights' file (lf_tensors_note), so that it goes where they
 * go. The same rows, settings and base give the same bytes: neither time nor adapter is in it.
 * "" and 0: not known. */
struct lf_origin {
    int32_t version;
    char rows_sha256[LF_SHA256_HEX];
    char inputs_sha256[LF_SHA256_HEX]; /* of rows and settings */
    char start[LF_SHA256_HEX]; /* of the weights that its training went on with; "": none, written
                                  "fresh" */
    char base[LF_REPOSITORY_MAX + 1], base_sha256[LF_SHA256_HEX];
};
/* The note of a version trained here, on this base: JSON. Yours; NULL: no memory. */
char *lf_origin_text(const struct lf_origin *o, const struct lf_ask *ask,
                     const struct lf_base *base);
/* Of the weights in a directory in PEFT's form; all "" where they hold none. */
void lf_origin_read(struct lf_origin *out, const char *dir);

/* ---- For whoever runs jobs ------------------------------------------------------------------- */

/* A training is wanted, and not made yet; awaited: it will be, and is shown as queued. */
enum lf_err lf_registry_await(struct lf_registry *r, uint64_t id, bool wanted, bool awaited,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* Whether what is in the directory can be trained on: rows that fit the settings, and no half of an
 * import. LF_E_INVALID: not yet; *file (a row of lf_files) is what it is about. */
enum lf_err lf_registry_whole(struct lf_registry *r, uint64_t id, enum lf_file_kind *file,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* A file that was refused, or not whole, is so no more. */
void lf_registry_cleared(struct lf_registry *r, uint64_t id);
/* Says, while the job under way is, that the file is for the next training; and writes a log line.
 */
void lf_registry_later(struct lf_registry *r, uint64_t id, enum lf_file_kind file);

/* DATA/adapters/<id>, with "/" and `file` after it where file is not NULL. */
enum lf_err lf_registry_dir(struct lf_registry *r, uint64_t id, const char *file,
                            char out[LF_PATH_MAX], struct lf_diag *diag) LF_MUST_CHECK;
/* config.json with the `template` file in its place. Yours, lf_train_settings_free. */
enum lf_err lf_registry_settings(struct lf_registry *r, uint64_t id, struct lf_train_settings *out,
                                 struct lf_diag *diag) LF_MUST_CHECK;
/* How a version is asked: what the settings' "ask" says; what stands beside its weights; where it
 * had no template the settings' one, and of an import the form of the rows that lie with it. Free
 * with lf_ask_free. */
enum lf_err lf_registry_ask(struct lf_registry *r, uint64_t id, const char *version_dir,
                            const struct lf_train_settings *s, struct lf_ask *out,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Files the job in the store and in the index (lf_store_job_create). */
enum lf_err lf_registry_job_create(struct lf_registry *r, struct lf_job_record *job,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* A job that failed is open again; what it failed of is no longer the adapter's trouble. */
enum lf_err lf_registry_job_reopen(struct lf_registry *r, const struct lf_job_record *job,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* What the open job is doing now. */
void lf_registry_activity(struct lf_registry *r, uint64_t id, const struct lf_activity *a);
/* So many more versions (by < 0: fewer) are to be scored; and how far that is. */
void lf_registry_scores_due(struct lf_registry *r, uint64_t id, int by);
void lf_registry_scores_done(struct lf_registry *r, uint64_t id, int64_t done, int64_t rows);
/* The job ended (lf_store_job_finish): its version, written to versions/<n>, is served from now
 * on. An adapter that is gone: LF_OK. */
enum lf_err lf_registry_job_finish(struct lf_registry *r, const struct lf_job_record *job,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* What came of a version's scores: why NULL, it is served, where it was held; else it is not, and
 * that is the adapter's trouble. Nothing where another version was made the current one meanwhile.
 */
enum lf_err lf_registry_verdict(struct lf_registry *r, uint64_t id, int32_t version,
                                const char *why, struct lf_diag *diag) LF_MUST_CHECK;
/* Appends one JSON line to the log, with the time before the object's members; takes `line`
 * (json_decref). A line that cannot be written is lost. */
void lf_registry_log(struct lf_registry *r, uint64_t id, json_t *line);
/* What made a version, beside its weights: its settings, its lines of the log. What cannot be
 * written is lost, and logged. */
void lf_registry_version_log(struct lf_registry *r, uint64_t id, int32_t version, uint64_t job);
void lf_registry_version_write(struct lf_registry *r, uint64_t id, int32_t version,
                               enum lf_file_kind kind, const void *bytes, size_t n);
/* Writes the digests of a version's weights beside them (core/sums.h). */
enum lf_err lf_version_seal(const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* Replaces a file that the daemon writes (metrics.json, loss.svg). */
enum lf_err lf_registry_write(struct lf_registry *r, uint64_t id, enum lf_file_kind kind,
                              const struct lf_buf *text, struct lf_diag *diag) LF_MUST_CHECK;
/* Whether the disk is nearly full, and in what way. */
bool lf_registry_disk_short(struct lf_registry *r, struct lf_diag *diag);
/* What is in the trash is `seconds` older: what has been there for seven days is thrown away, and,
 * while the disk is nearly full, what has been there longest. */
void lf_registry_trash_expire(struct lf_registry *r, int64_t seconds);

#endif
