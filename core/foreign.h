/* Files of another kind than was asked for, known by their first bytes, so that a reason says what
 * a file is instead of where it stops to be what it is not. Pure; any thread. */
#ifndef LF_CORE_FOREIGN_H
#define LF_CORE_FOREIGN_H

#include "core/err.h"

#include <stddef.h>

/* LF_E_UNSUPPORTED with what it is and what to do, for the beginning (n bytes) of a Parquet, gzip,
 * zstd, zip or bzip2 file, UTF-16 text, an HTML page or a Git LFS pointer; else LF_OK. */
enum lf_err lf_foreign_check(const void *bytes, size_t n, struct lf_diag *diag) LF_MUST_CHECK;

#endif
