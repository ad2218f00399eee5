/* Jobs: the queue of trainings, from a dataset that was put in place to a version that is served.
 *
 * A job's inputs are frozen when it is made (jobs/<id>/ of its adapter: dataset.jsonl and
 * eval.jsonl as hard links, settings.json), so that replacing a file never changes a job under
 * way, and a job resumed after a crash goes on with the same bytes. An adapter has one open job at
 * most: a newer one takes the place of one that is open.
 *
 * Any thread calls; the work is done by threads of this room (tokenising, saving, scoring, all
 * disk) and by the engine (all device). Progress is kept in memory and goes to the store every few
 * seconds and when something ends.
 */
#ifndef LF_DAEMON_JOBS_H
#define LF_DAEMON_JOBS_H

#include "core/err.h"
#include "meta/store.h"
#include "names/ctl.h"
#include "names/files.h"

#include <jansson.h>
#include <stdbool.h>

struct lf_daemon;
struct lf_jobs;

/* Takes up the jobs that were open when the last run ended: running ones continue from their
 * checkpoints, paused ones stay paused. Yours, lf_jobs_close. */
enum lf_err lf_jobs_open(struct lf_jobs **out, struct lf_daemon *d,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* Jobs that run write a checkpoint and stay open in the store. */
void lf_jobs_close(struct lf_jobs *j);

/* Queues a training of what the adapter's directory holds. Inputs that the open job was made from
 * queue nothing, nor do, without `force`, those of the served version. LF_E_NOT_FOUND without a
 * dataset. */
enum lf_err lf_jobs_train(struct lf_jobs *j, const char *name, bool force, bool *queued,
                          struct lf_diag *diag) LF_MUST_CHECK;

/* The same when nothing has come into the adapter's directory for a moment (quiet.c). Until then
 * the adapter is shown as queued, but for what would queue nothing now (*queued). */
enum lf_err lf_jobs_train_quiet(struct lf_jobs *j, const char *name, bool *queued,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* Nothing more is written to a file of it: what is awaited waits for a moment, and no longer. */
void lf_jobs_closed(struct lf_jobs *j, const char *name);
/* A file of the adapter is being received: what is awaited waits on. */
void lf_jobs_touched(struct lf_jobs *j, const char *name);
/* One was taken in. Settings go into a training that has not begun; of one that has, it is said
 * that they are for the next. */
void lf_jobs_came(struct lf_jobs *j, const char *name, enum lf_file_kind kind);

/* The rows to score or the settings have been replaced, or the served version was imported: it is
 * scored on them, where there are some and a metric, unless it was already. */
void lf_jobs_score(struct lf_jobs *j, const char *name);

/* An order to a job: a word with a job_route. RETRY is for one that failed or was cancelled; a
 * failed one goes on from its checkpoint where the adapter's files are still the same, and, where
 * its loss was not finite, once, at half the learning rate and without the rows that did it.
 * LF_E_BUSY where the job is not in a state for it. */
enum lf_err lf_jobs_order(struct lf_jobs *j, uint64_t id, enum lf_ctl_word order,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* The adapter's last job. */
enum lf_err lf_jobs_order_adapter(struct lf_jobs *j, const char *name, enum lf_ctl_word order,
                                  struct lf_diag *diag) LF_MUST_CHECK;
/* The adapter was removed: its job is cancelled. */
void lf_jobs_adapter_gone(struct lf_jobs *j, uint64_t adapter_id);
/* Removes an adapter (lf_registry_remove): its job is cancelled, and it leaves the device. */
enum lf_err lf_jobs_adapter_remove(struct lf_jobs *j, const char *name,
                                   struct lf_diag *diag) LF_MUST_CHECK;

/* How many jobs have ended and cannot be written down, or find no room for their tokenised rows,
 * with the reason of the first: the disk is full, or fails. They are tried again soon. */
size_t lf_jobs_unsaved(struct lf_jobs *j, struct lf_diag *diag);
/* A job as docs/http.md shows it; null where there is none. Yours. */
json_t *lf_jobs_json(struct lf_jobs *j, uint64_t id);
/* All that the store remembers, oldest first. */
enum lf_err lf_jobs_list_json(struct lf_jobs *j, json_t **out, struct lf_diag *diag) LF_MUST_CHECK;

#endif
