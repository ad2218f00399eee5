/* Array jobs of Slurm, by its own commands (sbatch, squeue): work in elements that are numbers from
 * 0, each a card's. What an element did is told by its files, not by Slurm, which forgets: so
 * nothing is kept about a job but its name, and who asks again finds it. One thread. */
#ifndef LF_SLURM_SLURM_H
#define LF_SLURM_SLURM_H

#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"

#include <stdbool.h>

struct lf_slurm {
    char dir[LF_PATH_MAX]; /* absolute; on a file system that all nodes reach. the script is there,
                              and what element K prints, K.log */
    char name[64];         /* of the jobs, by the directory: no other one has it */
    const char *const *options; /* more of sbatch's: "--partition=gpu", "--gres=gpu:1"; borrowed */
    int n_options;
};

/* dir is made. */
enum lf_err lf_slurm_init(struct lf_slurm *s, const char *dir, const char *const *options,
                          int n_options, struct lf_diag *diag) LF_MUST_CHECK;
/* "'it'\''s'": a word for a shell. */
enum lf_err lf_slurm_quote(struct lf_buf *out, const char *word) LF_MUST_CHECK;
/* "exec " and the program that this is, by its path, for a shell. */
enum lf_err lf_slurm_self(struct lf_buf *out, struct lf_diag *diag) LF_MUST_CHECK;
/* Submits the elements with wanted[k], of n, as one array: each runs `command` in a shell, whose
 * SLURM_ARRAY_TASK_ID is k. Slurm runs one again whose node is lost. LF_E_NOT_FOUND: there is no
 * sbatch; LF_E_FAILED: what it said. */
enum lf_err lf_slurm_submit(const struct lf_slurm *s, const char *command, const bool *wanted,
                            int n, struct lf_diag *diag) LF_MUST_CHECK;
/* live[k], of n: whether it waits or runs, of whatever job of this name. */
enum lf_err lf_slurm_live(const struct lf_slurm *s, bool *live, int n,
                          struct lf_diag *diag) LF_MUST_CHECK;

#endif
