/* Ceilings that slurm/ alone knows. */
#ifndef LF_SLURM_LIMITS_H
#define LF_SLURM_LIMITS_H

#define LF_SLURM_OPTIONS_MAX 64         /* of sbatch, that a user gives */
#define LF_SLURM_ANSWER_MAX (16u << 20) /* bytes that squeue prints: a line an element */
#define LF_SLURM_TRIES_MAX 3 /* of an element, without anything that came of the one before */

#endif
