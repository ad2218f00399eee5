/* Ceilings that trainer/ alone knows; those that several rooms know are in core/limits.h.
 * Checkpoints of a training. */
#ifndef LF_TRAINER_LIMITS_H
#define LF_TRAINER_LIMITS_H

#define LF_CHECKPOINT_STATE_MAX 4096 /* the JSON that says where a training is */

#endif
