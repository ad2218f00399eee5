/* The folder that a task's rows are written into. Private to land. */
#ifndef LF_LAND_TASK_DIR_H
#define LF_LAND_TASK_DIR_H

#include "core/buf.h"
#include "land/task.h"

/* A file being written beside its place; in place once all files are. */
struct lf_task_dir_file {
    char tmp[LF_PATH_MAX], path[LF_PATH_MAX];
    int fd; /* -1: not open */
    struct lf_buf chunk;
};
/* Close with lf_task_dir_drop, also after a failure. */
enum lf_err lf_task_dir_open(struct lf_task_dir_file *f, const char *dir, const char *name,
                             struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_task_dir_put(struct lf_task_dir_file *f, const json_t *row,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Everything on the disk, and in place. */
enum lf_err lf_task_dir_commit(struct lf_task_dir_file *f, struct lf_diag *diag) LF_MUST_CHECK;
/* Removes what is not in place. */
void lf_task_dir_drop(struct lf_task_dir_file *f);

/* config.json and task.json. */
enum lf_err lf_task_dir_notes(const struct lf_task *t, const struct lf_task_rows *rows,
                              const char *dir, struct lf_diag *diag) LF_MUST_CHECK;

/* What words say of fidelity: "exact", "exact (rows)", "near (...)", "PROXY (SICK)". */
enum lf_fidelity lf_fidelity_of(const char *words);
/* Fidelity, source and licence from the SOURCE.md in dir; without one, unknown. */
void lf_task_dir_source_md(struct lf_task_rows *out, const char *dir);

#endif
