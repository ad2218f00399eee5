/* Inside fsck: one run, and how problems are told and mended. */
#ifndef LF_FSCK_INSIDE_H
#define LF_FSCK_INSIDE_H

#include "fsck/fsck.h"
#include "daemon/registry/index.h"

struct lf_fsck {
    struct lf_registry r; /* its paths and its store; no base, no index */
    bool repair;
    lf_fsck_fn say;
    void *arg;
    struct lf_fsck_counts n;
    struct lf_job_record *jobs; /* open ones (n_jobs) */
    size_t n_jobs;
};

/* tell.c. A problem that was mended as rc says (without repair nothing is: rc is not looked at). */
void lf_fsck_tell(struct lf_fsck *f, const char *where, const char *what, enum lf_err rc,
                  const char *how, const struct lf_diag *why);
/* A problem whose thing goes into the trash (aside), or away. */
void lf_fsck_take(struct lf_fsck *f, const char *where, const char *what, bool aside);

/* adapter.c: the directory of a record, and the record. */
enum lf_err lf_fsck_adapter(struct lf_fsck *f, struct lf_adapter_record *record,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* files.c: a file that people or the daemon wrote, at DATA/<where>. */
void lf_fsck_file(struct lf_fsck *f, const char *where, enum lf_file_kind kind);
/* jobs.c: open jobs and what they train on. */
enum lf_err lf_fsck_jobs(struct lf_fsck *f, struct lf_diag *diag) LF_MUST_CHECK;

#endif
