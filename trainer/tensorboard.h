/* Event files of TensorBoard: scalars of a run, in DIR/events.out.tfevents.*. Its format: records
 * with CRC-32C around protocol buffers, written here as far as scalars need them. One thread. */
#ifndef LF_TRAINER_TENSORBOARD_H
#define LF_TRAINER_TENSORBOARD_H

#include "core/err.h"

#include <stdint.h>

struct lf_tensorboard;

/* A new event file in dir, which is made; `time` is the run's first, in seconds of the epoch, and
 * names the file: the same run again takes its place. Yours, lf_tensorboard_close. */
enum lf_err lf_tensorboard_open(struct lf_tensorboard **out, const char *dir, double time,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* From `step` on it goes on anew: what later steps had said before holds no more. */
enum lf_err lf_tensorboard_restart(struct lf_tensorboard *t, double time, int64_t step,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* tag: "train/loss". */
enum lf_err lf_tensorboard_scalar(struct lf_tensorboard *t, double time, int64_t step,
                                  const char *tag, double value,
                                  struct lf_diag *diag) LF_MUST_CHECK;
/* What was written is readable. */
enum lf_err lf_tensorboard_flush(struct lf_tensorboard *t, struct lf_diag *diag) LF_MUST_CHECK;
void lf_tensorboard_close(struct lf_tensorboard *t);

#endif
