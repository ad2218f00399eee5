/* Inside the jobs' room: the open jobs and who works on them.
 *
 *   a caller       freezes inputs, makes the record, puts the job on the list     jobs.c
 *   the preparer   reads and tokenises the oldest waiting job's rows, one ahead   prepare.c
 *   the engine     trains; tells what happens, never waits                        engine/
 *   the clerk      writes down what the engine told: log, curve, store, versions  clerk.c
 *   the examiner   scores base and versions on eval rows by generation            examine.c
 *
 * One lock over the list; no disk and no device under it.
 */
#ifndef LF_DAEMON_JOBS_LIVE_H
#define LF_DAEMON_JOBS_LIVE_H

#include "daemon/engine/engine.h"
#include "daemon/jobs/inputs.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"
#include "trainer/dataset.h"
#include "trainer/curve.h"

#include <pthread.h>

enum lf_stage {
    LF_STAGE_WAITING, /* for the preparer */
    LF_STAGE_PREPARING,
    LF_STAGE_TRAINING, /* with the engine: waiting for room there, or running */
    LF_STAGE_ENDED     /* on its way off the list */
};

/* The points of a loss curve. Trained ones grow by doubling. */
struct lf_curve {
    struct lf_curve_point *train, *eval;
    size_t n_train, n_eval, cap_train, cap_eval;
};

/* One open job. Fields are under the jobs' lock, but for the clerk's own. */
struct lf_live {
    struct lf_live *next;
    struct lf_jobs *jobs;
    struct lf_job_record record;
    enum lf_stage stage;
    bool cancelled; /* asked for; the stage that has it ends it */
    bool no_room;   /* did not fit beside the others: waits until one of them ends */
    bool started;   /* TRAINING: has its place on the device */
    double eta_seconds;
    struct lf_training *training; /* TRAINING, else NULL */
    /* The clerk's own */
    struct lf_curve curve;
    struct lf_dataset_report rows; /* the preparer's before TRAINING */
    bool unsaved;                  /* progress that is not in the store, or not drawn */
};

/* What the engine told, on its way to the clerk. */
struct lf_note {
    struct lf_note *next;
    struct lf_live *live;
    struct lf_training_event event;
};

/* A version that waits to be scored. */
struct lf_exam {
    struct lf_exam *next;
    uint64_t adapter_id;
    int32_t version; /* 0: the base alone */
};

struct lf_jobs {
    struct lf_daemon *d;
    pthread_mutex_t making;    /* one job is made at a time; held over the disk; taken first */
    pthread_mutex_t reporting; /* one metrics.json is read and written at a time; taken last */
    pthread_mutex_t lock;      /* protects all below */
    pthread_cond_t changed;    /* the list, for the preparer */
    pthread_cond_t noted;      /* notes, for the clerk */
    pthread_cond_t asked;      /* exams, for the examiner */
    struct lf_live *live;      /* oldest first */
    struct lf_note *notes, **notes_end;
    struct lf_exam *exams, **exams_end;
    bool closing;
    pthread_t threads[3];
    int n_threads;
};

/* adapters/<adapter>/jobs/<job> */
enum lf_err lf_job_dir(struct lf_jobs *j, uint64_t adapter_id, uint64_t job_id,
                       char out[LF_PATH_MAX], struct lf_diag *diag) LF_MUST_CHECK;
/* With the lock held. */
struct lf_live *lf_live_find(struct lf_jobs *j, uint64_t job_id);
/* What the registry shows of the job. With the lock held. */
void lf_live_show(struct lf_jobs *j, const struct lf_live *l);
/* The job ends as its record's status says: off the list, then the store, the registry, the log,
 * its directory. Takes l. No lock held. */
void lf_live_end(struct lf_jobs *j, struct lf_live *l);

/* The threads' mains; arg is the lf_jobs. */
void *lf_preparer_main(void *arg);
void *lf_clerk_main(void *arg);
void *lf_examiner_main(void *arg);
/* clerk.c: given to the engine with each training, arg is the lf_live. */
void lf_clerk_note(void *arg, const struct lf_training_event *e);
/* examine.c: scores the version (0: the base alone) where the adapter has eval rows and a metric.
 */
void lf_examiner_ask(struct lf_jobs *j, uint64_t adapter_id, int32_t version);

/* report.c: metrics.json and loss.svg. */
/* What training says: rows, tokens, loss, times. Earlier versions' reports move to "history". */
enum lf_err lf_report_training(struct lf_jobs *j, const struct lf_live *l,
                               const struct lf_job_progress *p, struct lf_diag *diag) LF_MUST_CHECK;
/* Puts the base's scores (taken) under "base". */
enum lf_err lf_report_base(struct lf_jobs *j, uint64_t adapter_id, json_t *base,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Puts `part` (taken) into the version's report. */
enum lf_err lf_report_eval(struct lf_jobs *j, uint64_t adapter_id, int32_t version, json_t *part,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Takes back the reason why it could not be scored, before it is tried again. */
enum lf_err lf_report_retry(struct lf_jobs *j, uint64_t adapter_id,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* metrics.json as it is, or {}. Yours. */
json_t *lf_report_read(struct lf_jobs *j, uint64_t adapter_id);
enum lf_err lf_report_curve(struct lf_jobs *j, const struct lf_live *l,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_curve_add(struct lf_curve_point **list, size_t *n, size_t *cap, double step, double loss);
/* The curve so far of a job that is taken up again, from the log's lines. */
void lf_curve_recall(struct lf_jobs *j, struct lf_live *l);
void lf_curve_free(struct lf_curve *c);

#endif
