/* Room on the disk: how much is left, and a little that is kept for removals. */
#include "daemon/registry/index.h"

#include "core/file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SHORT_SHARE 100         /* less than a hundredth of the disk is free: it is nearly full */
#define SHORT_BYTES (1ll << 30) /* on a large one, less than this */
#define RESERVE_SHARE 64        /* of the disk at the most */
#define RESERVE_BYTES (4ll << 20)

static bool look(struct lf_registry *r, int64_t *all, int64_t *free_bytes)
{
    struct statvfs fs;
    if (statvfs(r->data_dir, &fs) != 0)
        return false;
    *all = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
    *free_bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    return *all > 0;
}

static int64_t short_below(int64_t all)
{
    return all / SHORT_SHARE < SHORT_BYTES ? all / SHORT_SHARE : SHORT_BYTES;
}

bool lf_registry_disk_is_short(struct lf_registry *r)
{
    int64_t all, left;
    return look(r, &all, &left) && left < short_below(all);
}

bool lf_registry_disk_short(struct lf_registry *r, struct lf_diag *diag)
{
    int64_t all, left;
    if (!look(r, &all, &left) || left >= short_below(all))
        return false;
    lf_fail(diag, LF_E_NO_SPACE, "the disk is nearly full: %.1f of %.1f MB are free",
            (double)left / 1e6, (double)all / 1e6);
    return true;
}

void lf_registry_reserve_make(struct lf_registry *r)
{
    char path[LF_PATH_MAX];
    int64_t all, left;
    if (lf_registry_pathf(r, path, NULL, "reserve") != LF_OK || lf_file_exists(path) ||
        !look(r, &all, &left))
        return;
    int64_t bytes = all / RESERVE_SHARE < RESERVE_BYTES ? all / RESERVE_SHARE : RESERVE_BYTES;
    int fd = left > 2 * bytes ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    if (posix_fallocate(fd, 0, (off_t)bytes) != 0)
        unlink(path);
    close(fd);
}

bool lf_registry_reserve_give(struct lf_registry *r)
{
    char path[LF_PATH_MAX];
    return lf_registry_pathf(r, path, NULL, "reserve") == LF_OK && unlink(path) == 0;
}
