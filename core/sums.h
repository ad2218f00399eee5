/* Digests of a directory's files, beside them: DIR/sha256sums, which sha256sum -c reads. Its last
 * line is a digest of those before. Any thread. */
#ifndef LF_CORE_SUMS_H
#define LF_CORE_SUMS_H

#include "core/err.h"

#define LF_SUMS_NAME "sha256sums"

/* Of the named files (NULL-terminated), which are there. */
enum lf_err lf_sums_write(const char *dir, const char *const *names,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* LF_E_DAMAGED: a file is missing, or is not what was written; the reason names it. LF_E_INVALID:
 * the list of digests itself is damaged. LF_OK also where there is none. */
enum lf_err lf_sums_check(const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* The digest of the list, by which the files that it names are known wherever they are.
 * LF_E_INVALID: the list is damaged; LF_E_NOT_FOUND: there is none. Does not read the files. */
enum lf_err lf_sums_digest(char *hex, const char *dir, struct lf_diag *diag) LF_MUST_CHECK;

#endif
