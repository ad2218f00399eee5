/* A job's log: one JSON object a line, as `lorafs train --log` writes it.
 *
 *   {"step": 3, "micro": 2, "micro_loss": 1.25}           a micro-batch of step 3
 *   {"step": 3, "steps": 940, "loss": 1.2, "grad_norm": 0.8, "lr": 0.0001, "tokens": 5120,
 *    "tokens_per_second": 812.5}                          the optimizer step
 *   {"step": 3, "eval_loss": 1.3}
 *   {"step": 3, "checkpoint": true}                       or "checkpoint_error": "why"
 *   {"step": 940, "state": "done"}                        or "failed" with a "reason", "cancelled"
 *
 * Numbers that are not finite are null. A resumed job tells the steps after its checkpoint again;
 * what is told last holds. */
#ifndef LF_TRAINER_LOG_H
#define LF_TRAINER_LOG_H

#include "core/buf.h"
#include "core/err.h"
#include "trainer/trainer.h"

/* Appends the event's line. */
enum lf_err lf_train_log_line(struct lf_buf *out, const struct lf_train_event *e) LF_MUST_CHECK;
/* The log's loss curve (lf_curve_svg), appended. Lines that are not the log's are passed over. */
enum lf_err lf_train_log_curve(struct lf_buf *out, const char *log_path, const char *title,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* "running", "paused", "done", "failed", "cancelled". */
const char *lf_job_state_name(enum lf_job_state s);

#endif
