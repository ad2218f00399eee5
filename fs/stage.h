/* Staged bytes: what was written to a file of the mount, kept in a temporary file without a name
 * until the daemon takes it or no one needs it any more.
 *
 * The pool bounds bytes and files of all stages together. Its directory is opened once, so it may
 * even lie below the mount point. Knows neither FUSE nor HTTP. One thread.
 */
#ifndef LF_FS_STAGE_H
#define LF_FS_STAGE_H

#include "core/err.h"

#include <stdint.h>
#include <sys/types.h>

struct lf_stage_pool {
    int dir; /* temporary files are made here */
    uint64_t bytes, bytes_max;
    size_t files, files_max;
};

struct lf_stage;

/* dir NULL: TMPDIR, else /var/tmp. Deinit after the last stage is freed. */
enum lf_err lf_stage_pool_init(struct lf_stage_pool *pool, const char *dir,
                               struct lf_diag *diag) LF_MUST_CHECK;
void lf_stage_pool_deinit(struct lf_stage_pool *pool);

/* Empty. Yours, free with lf_stage_free. */
enum lf_err lf_stage_new(struct lf_stage **out, struct lf_stage_pool *pool) LF_MUST_CHECK;
void lf_stage_free(struct lf_stage *s);

uint64_t lf_stage_bytes(const struct lf_stage *s);
/* Its descriptor, for pread and splice; the stage's. */
int lf_stage_fd(const struct lf_stage *s);
/* All n bytes or an error: LF_E_TOO_BIG past LF_DATASET_BYTES_MAX, LF_E_NO_SPACE past the pool. */
enum lf_err lf_stage_write(struct lf_stage *s, const void *data, size_t n,
                           uint64_t off) LF_MUST_CHECK;
enum lf_err lf_stage_truncate(struct lf_stage *s, uint64_t bytes) LF_MUST_CHECK;

#endif
