/* The inside of a task's file. Private to land.
 *
 * A member is looked up where it is nearest: in the split ("train", "test" or "all" of a source),
 * then in the source (one of "data"), then in the task itself. */
#ifndef LF_LAND_TASK_FILE_H
#define LF_LAND_TASK_FILE_H

#include "land/task.h"

/* A part of a source's rows, as the file words it. */
struct lf_task_part {
    const json_t *task, *source;
    const json_t *split; /* an object, or a list of files */
};

/* NULL where none of the three has it. Borrowed. */
const json_t *lf_task_member(const struct lf_task_part *p, const char *key);
/* "" where it is missing. Members' types were checked when the file was opened. */
const char *lf_task_string(const struct lf_task_part *p, const char *key);
/* The split's files: a list of patterns. */
const json_t *lf_task_files(const struct lf_task_part *p);

/* The study's metadata.yaml as a task's file, with the members of docs/land.md; its own name for it
 * where `name` is "". */
enum lf_err lf_task_from_yaml(json_t **out, char name[LF_NAME_MAX + 1], const char *text, size_t n,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* A task from its file as JSON, which it takes, also on failure. */
enum lf_err lf_task_new(struct lf_task **out, const char *name, json_t *file,
                        struct lf_diag *diag) LF_MUST_CHECK;

#endif
