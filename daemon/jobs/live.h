/* Inside the jobs' room: the open jobs and who works on them.
 *
 *   a caller       freezes inputs, makes the record, puts the job on the list     jobs.c
 *   the preparer   reads and tokenises the oldest waiting job's rows, one ahead   prepare.c
 *   the engine     trains; tells what happens, never waits                        engine/
 *   the clerk      writes down what the engine told: log, curve, store, versions  clerk.c
 *   the examiner   scores a new version on its eval rows by generation            examine.c
 *
 * One lock over the list; no disk and no device under it.
 */
#ifndef LF_DAEMON_JOBS_LIVE_H
#define LF_DAEMON_JOBS_LIVE_H

#include "daemon/jobs/inputs.h"
#include "daemon/jobs/jobs.h"
#include "daemon/state.h"

#include <pthread.h>

enum lf_stage {
    LF_STAGE_WAITING,   /* for the preparer */
    LF_STAGE_PREPARING,
    LF_STAGE_TRAINING,  /* with the engine: waiting for room there, or running */
    LF_STAGE_ENDED      /* the clerk is done with it: off the list */
};

/* One open job. */
struct lf_live {
    struct lf_live *next;
    struct lf_job_record record;
    enum lf_stage stage;
    bool cancelled;         /* asked for; the stage that has it ends it */
    double eta_seconds;
};

struct lf_jobs {
    struct lf_daemon *d;
    pthread_mutex_t making; /* one job is made at a time; held over the disk; taken first */
    pthread_mutex_t lock;   /* protects all below */
    pthread_cond_t changed;
    struct lf_live *live;   /* oldest first */
    bool closing;
};

/* adapters/<adapter>/jobs/<job> */
enum lf_err lf_job_dir(struct lf_jobs *j, uint64_t adapter_id, uint64_t job_id,
                       char out[LF_PATH_MAX], struct lf_diag *diag) LF_MUST_CHECK;
/* With the lock held. */
struct lf_live *lf_live_find(struct lf_jobs *j, uint64_t job_id);
/* What the registry shows of the job. With the lock held. */
void lf_live_show(struct lf_jobs *j, const struct lf_live *l);
/* The job ends as its record's status says: off the list, then the store, the registry, the log, its
 * directory. Takes l. No lock held. */
void lf_live_end(struct lf_jobs *j, struct lf_live *l);

#endif
