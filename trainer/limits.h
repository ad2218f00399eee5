/* Ceilings that trainer/ alone knows; those that several rooms know are in core/limits.h.
 */
#ifndef LF_TRAINER_LIMITS_H
#define LF_TRAINER_LIMITS_H

#include "core/limits.h"

#define LF_SURVEY_ANSWERS_MAX 64 /* labels of a data set; with more they are no labels */

#define LF_LOOK_FAULTS_MAX 1000 /* wrong rows of a file that are listed */

#define LF_SWEEP_RUNGS_MAX 3     /* of successive halving: 8 become 4, 2, 1 */
#define LF_SWEEP_GRID_MAX 100000 /* combinations of settings, of which "trials" are drawn */

#define LF_ROW_WEIGHT_MAX 1e6 /* of a row's loss, and of a class's; 0, or what floats divide by */
#define LF_ROW_WEIGHT_MIN 1e-6

#define LF_REPLICAS_MAX (LF_SEATS_MAX - 1) /* of a job: one device is its own */

/* Checkpoints */
#define LF_CHECKPOINT_STATE_MAX 4096 /* the JSON that says where a training is */

#endif
