/* The log of a training: one JSON object a line, the same in an adapter's `log` and as
 * `lorafs train --log` writes it.
 *
 *   {"time": "2026-11-28T09:51:50.194Z", "event": "started", "step": 0, "steps": 940}
 *   {"time", "event": "micro", "step": 3, "micro": 2, "micro_loss": 1.25}    `train --log` alone
 *   {"time", "event": "step", "step": 3, "steps": 940, "loss": 1.2, "learning_rate": 0.0001,
 *    "grad_norm": 0.8, "tokens": 5120, "tokens_per_second": 812.5}
 *   {"time", "event": "warning", "step": 3, "reason": "the loss climbs: ..."}
 *   {"time", "event": "eval", "step": 3, "eval_loss": 1.3, "kept_step": 3}
 *   {"time", "event": "checkpoint", "step": 3}        "failed": why it could not be written
 *   {"time", "event": "paused", "step": 3}, "resumed"
 *   {"time", "event": "done", "step": 940}, "cancelled", or "failed" with a "reason"
 *
 * A training by preferences has in its steps "reward_chosen", "reward_rejected", "reward_margin"
 * and "reward_accuracy", and the same with "eval_" in its evaluations.
 *
 * In an adapter's log lines have the "job" too, and there are others (docs/training.md). Numbers
 * that are not finite are null. A job that was resumed reports the steps after its checkpoint
 * again; what comes last holds. */
#ifndef LF_TRAINER_LOG_H
#define LF_TRAINER_LOG_H

#include "core/err.h"
#include "trainer/curve.h"
#include "trainer/trainer.h"

#include <jansson.h>

/* "kept_step": the step whose weights are the best so far; NULL where they are the last one's. */
json_t *lf_train_kept_json(const struct lf_progress *p);
/* Adds what there is of the rewards: "reward_margin", or with prefix "eval_" "eval_reward_margin",
 * and so on. False: no memory. */
bool lf_train_rewards_json(json_t *to, const char *prefix, const struct lf_rewards *r);
/* The event's line but for its time (lf_json_dated). Yours; NULL: no memory. */
json_t *lf_train_log_json(const struct lf_train_event *e);
/* Adds the event's points: of a step, of an evaluation. */
enum lf_err lf_train_curve_add(struct lf_curve *c, const struct lf_train_event *e) LF_MUST_CHECK;
/* Adds the curve that the log at `path` holds; of one job, where job is not 0, and of one training
 * of its sweep, where trial is not -1. Lines that are not
 * of a training are passed over. Free the curve also after a failure. */
enum lf_err lf_train_log_read(struct lf_curve *c, const char *path, uint64_t job, int trial,
                              struct lf_diag *diag) LF_MUST_CHECK;

#endif
