/* fsck: a data directory that no daemon has open is checked, and mended. Each problem is one thing:
 * where it is, what is wrong with it, and what was done. Nothing that may be worth keeping is
 * thrown away: it goes into the trash. After a run that mends, another one finds nothing.
 *
 *   state/         opens; records can be read, and names stand for adapters
 *   adapters/<id>/ record and directory are there, and agree; what people wrote can be read; lines
 *                  of the log are whole; versions have both files, which are what their digests
 *                  say; what a crash left
 *   jobs           an open one has its inputs, and its checkpoint can be read
 *   documents/     each can be read, and what stands beside one is of it
 *   shared/        what was published is what its digest says, and can be read
 *   incoming/, cache/
 *
 * A changed byte in rows, prompts and templates that can be read all the same is not seen. One
 * thread. */
#ifndef LF_FSCK_H
#define LF_FSCK_H

#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

struct lf_fsck_problem {
    const char *where;  /* below DATA: "adapters/3/versions/2", "state/data.mdb" */
    const char *what;   /* "adapter_model.safetensors is not what was written" */
    const char *mended; /* "moved to the trash"; NULL: it was not */
};
typedef void (*lf_fsck_fn)(void *arg, const struct lf_fsck_problem *p);

struct lf_fsck_counts {
    int64_t adapters, versions; /* that were looked at */
    int64_t problems, left;     /* found; of which not mended */
};

/* repair: mends; else nothing is changed. LF_E_BUSY while a daemon has DATA open; LF_E_NOT_FOUND
 * where it is none. An error is of the check itself: problems are none. */
enum lf_err lf_fsck_run(const char *data_dir, bool repair, lf_fsck_fn say, void *arg,
                        struct lf_fsck_counts *out, struct lf_diag *diag) LF_MUST_CHECK;

#endif
