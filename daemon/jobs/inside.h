/* Inside the jobs' room: the open jobs and who works on them.
 *
 *   a caller       freezes inputs, makes the record, puts the job on the list     jobs.c
 *   the preparers  read and tokenise the oldest waiting jobs' rows, one ahead;
 *                  one of them takes small data sets alone                       prepare.c
 *   the engine     trains; its events are queued, it never waits                  engine/
 *   the recorder   writes events down: log, curve, store, versions                record.c
 *   the scorer     scores base and versions on eval rows by generation            score.c
 *   the awaiter    makes a job when its directory has been quiet for a moment     quiet.c
 *
 * One lock over the list; no disk and no device under it.
 */
#ifndef LF_DAEMON_JOBS_INSIDE_H
#define LF_DAEMON_JOBS_INSIDE_H

#include "core/limits.h"
#include "daemon/engine/engine.h"
#include "daemon/jobs/inputs.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"
#include "daemon/team.h"
#include "trainer/curve.h"
#include "trainer/dataset.h"
#include "trainer/survey.h"

#include <pthread.h>

/* Who has an open job. Whether it is paused is its record's state. */
enum lf_job_stage {
    LF_STAGE_WAITING, /* for the preparer */
    LF_STAGE_PREPARING,
    LF_STAGE_TRAINING, /* with the engine: waiting for room there, or running */
    LF_STAGE_UNSAVED,  /* trained; its version could not be written, and is tried again */
    LF_STAGE_ENDED     /* on its way off the list */
};

struct lf_open_job;
struct lf_sweep_run; /* sweep.h */
struct lf_trial;

/* What the engine reports, on its way to the recorder. */
struct lf_job_event {
    struct lf_job_event *next;
    struct lf_open_job *job;
    struct lf_trial *trial;      /* of its sweep; NULL: it is none, or all of it */
    struct lf_train_event event; /* LF_TRAIN_END: the job's `end` says how */
    char reason[LF_DIAG_MAX];    /* the event's */
};

/* Fields are under the jobs' lock, but for the recorder's own. */
struct lf_open_job {
    struct lf_open_job *next;
    struct lf_jobs *jobs;
    struct lf_job_record record;
    enum lf_job_stage stage;
    bool cancelled;               /* asked for; the stage that has it ends it */
    bool no_room;                 /* did not fit beside the others: waits until one of them ends */
    bool started;                 /* TRAINING: has its place on the device */
    int64_t bytes;                /* of its data sets' files */
    uint64_t prepares_since_ns;   /* PREPARING */
    int prepared;                 /* PREPARING: lf_activity's */
    int starting;                 /* TRAINING, before it started: lf_activity's */
    int64_t rests_until_ms;       /* WAITING: what it needs was not there */
    struct lf_training *training; /* TRAINING, else NULL */
    int seat;                     /* TRAINING: who has it */
    uint32_t full;                /* bits of seats that had no room for it, since it waited last */
    bool busy;                    /* one of those may have, when what trains there has ended */
    struct lf_sweep_run *sweep;   /* of several trainings instead; NULL: it is none; owned */
    /* The recorder's own; survey and warnings are the preparer's before TRAINING */
    struct lf_curve curve;
    struct lf_survey survey;       /* of its rows */
    uint64_t memory_bytes;         /* the most that the device's had in use when it was looked */
    json_t *warnings;              /* of how it goes: texts; NULL: none; owned */
    bool unsaved;                  /* progress that is not in the store, or not drawn */
    struct lf_job_event end_event; /* here from the start: that a training ended cannot be lost */
    struct lf_training_end end;
    struct lf_adapter *trained;  /* UNSAVED: what is to be saved; owned */
    bool unwritten;              /* ENDED, and the store could not be told yet */
    char waits_for[LF_DIAG_MAX]; /* why it is UNSAVED or unwritten, or WAITING for a disk; under
                                    the lock */
};

/* A training that is made when nothing has come into the adapter's directory until then. */
struct lf_awaited {
    struct lf_awaited *next;
    uint64_t adapter_id, due_ns;
};

/* A version that waits to be scored. */
struct lf_scoring {
    struct lf_scoring *next;
    uint64_t adapter_id;
    int32_t version; /* 0: the base alone */
    bool judged;     /* and whether it is served goes by its score */
};

struct lf_jobs {
    struct lf_daemon *d;
    struct lf_recent digests;  /* of data sets; has a lock of its own */
    pthread_mutex_t making;    /* one job is made at a time; held over the disk, but not while a
                                  data set is read; taken first */
    pthread_mutex_t reporting; /* one metrics.json is read and written at a time; taken last */
    pthread_mutex_t lock;      /* protects all below */
    pthread_cond_t changed;    /* the list, for the preparer */
    pthread_cond_t came;       /* events, for the recorder */
    pthread_cond_t asked;      /* scorings, for the scorer */
    pthread_cond_t quiet;      /* awaited trainings, for the awaiter */
    struct lf_awaited *awaited;
    struct lf_open_job *open; /* oldest first */
    struct lf_job_event *events, **events_end;
    struct lf_scoring *scorings, **scorings_end;
    bool closing;
    pthread_t threads[5];
    int n_threads;
};

/* adapters/<adapter>/jobs/<job> */
enum lf_err lf_job_dir(struct lf_jobs *j, uint64_t adapter_id, uint64_t job_id,
                       char out[LF_PATH_MAX], struct lf_diag *diag) LF_MUST_CHECK;
/* What the registry shows of the job. With the lock held. */
void lf_open_job_show(struct lf_jobs *j, const struct lf_open_job *l);
/* The job ends as its record's status says: the store, off the list, the registry, the log,
 * its directory. Takes l. No lock held. False: the store cannot be told now; the recorder tries
 * again, and l stays on the list until then. */
bool lf_open_job_end(struct lf_jobs *j, struct lf_open_job *l);

/* The threads' mains; arg is the lf_jobs. */
void *lf_preparer_main(void *arg);
void *lf_small_preparer_main(void *arg);
void *lf_recorder_main(void *arg);
void *lf_scorer_main(void *arg);
void *lf_quiet_main(void *arg);
/* quiet.c: makes the training when its directory has been quiet for a moment; shown: as queued. */
enum lf_err lf_jobs_await(struct lf_jobs *j, uint64_t adapter_id, bool shown,
                          struct lf_diag *diag) LF_MUST_CHECK;
bool lf_jobs_is_awaited(struct lf_jobs *j, uint64_t adapter_id);
/* No longer on the list; with the lock held. */
void lf_jobs_await_forget(struct lf_jobs *j, uint64_t adapter_id);
/* Whether the job's training has its place on the device, or had. */
bool lf_jobs_has_begun(struct lf_jobs *j, uint64_t job_id);
/* record.c: given to the engine with each training; arg is the lf_open_job. */
void lf_recorder_event(void *arg, const struct lf_train_event *e);
void lf_recorder_ended(void *arg, const struct lf_training_end *end);
/* Of one training of a sweep; arg is the lf_trial. */
void lf_recorder_trial_event(void *arg, const struct lf_train_event *e);
void lf_recorder_trial_ended(void *arg, const struct lf_training_end *end);
/* score.c: scores the version (0: the base alone) where the adapter has eval rows and a metric;
 * judged: it is new, and the gate is for it. */
void lf_scorer_request(struct lf_jobs *j, uint64_t adapter_id, int32_t version, bool judged);
/* gate.c: the file of the rows that the adapter is scored on: eval.jsonl, or else its dataset, of
 * which its settings hold out a part. False: there are none. */
bool lf_scored_rows(struct lf_jobs *j, uint64_t adapter_id, const struct lf_train_settings *s,
                    char path[LF_PATH_MAX], bool *held_out);
/* A version is served, and there are rows to score it on. */
bool lf_served_has_rows(struct lf_jobs *j, uint64_t adapter_id);
/* A version that is trained now is served when it has been scored; another one is until
 * then. */
bool lf_gate_holds(struct lf_jobs *j, uint64_t adapter_id);
/* The training went from knowing something to guessing, and the gate is not off. */
bool lf_gate_guesses(struct lf_jobs *j, const struct lf_open_job *l, struct lf_diag *why);
/* Scores as metrics.json has them. */
struct lf_scored {
    int32_t version;
    const json_t *eval, *base;
    const json_t *served; /* of the version that is served, on the same rows; NULL: none is */
};
/* The version is worse by more than chance than the one that is served; where none is, than the
 * base, or than the class that most rows have. */
bool lf_gate_is_worse(const struct lf_scored *s, struct lf_diag *why);

/* For data sets that are read aside from a job: until the daemon stops, their tokenised rows
 * without a name in the adapter's directory, which `dir` is the room for. */
struct lf_dataset_limits lf_jobs_row_limits(struct lf_jobs *j, uint64_t adapter_id,
                                            char dir[LF_PATH_MAX]);
/* leaks.c: where the adapter's eval rows are others than those that its training was prepared with,
 * looks for them among the version's rows; what is found stands in its report and in `status`. */
enum lf_err lf_leaks_look(struct lf_jobs *j, uint64_t adapter_id, int32_t version,
                          struct lf_diag *diag) LF_MUST_CHECK;

/* report.c: metrics.json and loss.svg. */
/* What training says: rows, tokens, loss, times, and where it started (taken). Earlier versions'
 * reports move to "history". */
enum lf_err lf_report_training(struct lf_jobs *j, const struct lf_open_job *l, json_t *parent,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* Puts the base's scores (taken) under "base". */
enum lf_err lf_report_base(struct lf_jobs *j, uint64_t adapter_id, json_t *base,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Puts `part` (taken) into the version's report. */
enum lf_err lf_report_eval(struct lf_jobs *j, uint64_t adapter_id, int32_t version, json_t *part,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Before the served version is scored: the report is of it (one that was imported, or served again,
 * has a report without a training), and a reason why it could not be scored is taken back. */
enum lf_err lf_report_retry(struct lf_jobs *j, uint64_t adapter_id, int32_t version,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* metrics.json as it is, or {}. Yours. */
json_t *lf_report_read(struct lf_jobs *j, uint64_t adapter_id);
enum lf_err lf_report_curve(struct lf_jobs *j, const struct lf_open_job *l,
                            struct lf_diag *diag) LF_MUST_CHECK;
#endif
