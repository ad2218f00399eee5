/* Ceilings that land/ alone knows; those that several rooms know are in core/limits.h. LoRA Land:
 * tasks, their sources, studies. */
#ifndef LF_LAND_LIMITS_H
#define LF_LAND_LIMITS_H

#define LF_TASKS_MAX 1024                  /* files in a directory of tasks */
#define LF_TASK_BYTES_MAX (1u << 20)       /* a task's definition */
#define LF_COMPUTE_MAX 32                  /* columns that a task computes */
#define LF_INFLATED_BYTES_MAX (2ull << 30) /* a .gz that grows past it is refused */
#define LF_SOURCE_MD_MAX (1u << 20)        /* the file that says where prepared rows came from */
#define LF_LAND_VARIANTS_MAX 16            /* settings that a study compares */
#define LF_STUDY_ROWS_MAX 1000000000       /* of a task, trained on or scored */
#define LF_STUDY_SHOTS_MAX 64              /* examples in front of a prompt */
#define LF_LAND_BASES_MAX 64               /* rows of the matrix */
#define LF_LAND_TASKS_MAX 256              /* its columns */
#define LF_TABLE_BYTES_MAX (16u << 20)     /* published scores, as CSV */
#define LF_SOCKET_BYTES_MAX 100            /* a unix socket's path has 107 */
#define LF_DAEMON_LOG_MAX (64 << 20)       /* read of a daemon's log, for why it died */
#define LF_DAEMON_ARGS_MAX 96              /* of a daemon's command line */
#define LF_DEATHS_MAX 3 /* of a base's daemon, without a cell that ended in between */

#endif
