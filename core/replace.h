/* A file that is to take the place of another, whole or not at all: it is written beside it, by
 * whoever has more to do for that than lf_file_write; then it takes the place, or goes. (file.c) */
#ifndef LF_CORE_REPLACE_H
#define LF_CORE_REPLACE_H

#include "core/err.h"
#include "core/limits.h"

struct lf_replacement {
    int fd; /* -1: none is open. Else for reading and writing */
    char path[LF_PATH_MAX];
    char
        tmp[LF_PATH_MAX]; /* PATH.tmp-XXXXXX (lf_name_is_temporary), for reasons; "": it is there */
};

/* With the mode that the process gives its files. Close it, also after a failure. */
enum lf_err lf_replacement_open(struct lf_replacement *r, const char *path,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* It takes the place, durably. It stays open, and is written to no more. */
enum lf_err lf_replacement_commit(struct lf_replacement *r, struct lf_diag *diag) LF_MUST_CHECK;
/* One that was not committed goes. Nothing where fd is -1. */
void lf_replacement_close(struct lf_replacement *r);

#endif
