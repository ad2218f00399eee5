/* Staged bytes: unlinked temporary files within a budget. */
#include "fs/stage.h"

#include "core/file.h"
#include "core/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct lf_stage {
    struct lf_stage_pool *pool;
    int fd;
    uint64_t bytes;
};

enum lf_err lf_stage_pool_init(struct lf_stage_pool *pool, const char *dir, struct lf_diag *diag)
{
    if (!dir)
        dir = lf_dir_of_temporaries();
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return lf_fail_errno(diag, errno, "%s", dir);
    *pool = (struct lf_stage_pool){
        .dir = fd, .bytes_max = LF_STAGED_BYTES_MAX, .files_max = LF_STAGED_FILES_MAX};
    return LF_OK;
}

void lf_stage_pool_deinit(struct lf_stage_pool *pool)
{
    lf_assert(pool->files == 0 && pool->bytes == 0);
    if (pool->dir >= 0)
        close(pool->dir);
    pool->dir = -1;
}

enum lf_err lf_stage_new(struct lf_stage **out, struct lf_stage_pool *pool)
{
    if (pool->files >= pool->files_max)
        return LF_E_NO_SPACE;
    struct lf_stage *s = calloc(1, sizeof *s);
    if (!s)
        return LF_E_NO_MEMORY;
    s->pool = pool;
    s->fd = lf_file_open_nameless(pool->dir);
    if (s->fd < 0) {
        enum lf_err rc = lf_err_from_errno(errno);
        free(s);
        return rc;
    }
    pool->files++;
    *out = s;
    return LF_OK;
}

void lf_stage_free(struct lf_stage *s)
{
    if (!s)
        return;
    s->pool->files--;
    s->pool->bytes -= s->bytes;
    close(s->fd);
    free(s);
}

uint64_t lf_stage_bytes(const struct lf_stage *s)
{
    return s->bytes;
}

int lf_stage_fd(const struct lf_stage *s)
{
    return s->fd;
}

static enum lf_err check_growth(const struct lf_stage *s, uint64_t bytes)
{
    if (bytes > LF_DATASET_BYTES_MAX)
        return LF_E_TOO_BIG;
    uint64_t left = s->pool->bytes_max - s->pool->bytes;
    return bytes > s->bytes && bytes - s->bytes > left ? LF_E_NO_SPACE : LF_OK;
}

static void set_bytes(struct lf_stage *s, uint64_t bytes)
{
    s->pool->bytes += bytes - s->bytes;
    s->bytes = bytes;
}

enum lf_err lf_stage_write(struct lf_stage *s, const void *data, size_t n, uint64_t off)
{
    if (off > LF_DATASET_BYTES_MAX || n > LF_DATASET_BYTES_MAX)
        return LF_E_TOO_BIG;
    enum lf_err rc = check_growth(s, off + n);
    const char *p = data;
    while (rc == LF_OK && n > 0) {
        ssize_t k = pwrite(s->fd, p, n, (off_t)off);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            rc = k < 0 ? lf_err_from_errno(errno) : LF_E_NO_SPACE;
            break;
        }
        p += k;
        n -= (size_t)k;
        off += (uint64_t)k;
        if (off > s->bytes)
            set_bytes(s, off);
    }
    return rc;
}

enum lf_err lf_stage_truncate(struct lf_stage *s, uint64_t bytes)
{
    enum lf_err rc = check_growth(s, bytes);
    if (rc != LF_OK)
        return rc;
    if (ftruncate(s->fd, (off_t)bytes) != 0)
        return lf_err_from_errno(errno);
    set_bytes(s, bytes);
    return LF_OK;
}
