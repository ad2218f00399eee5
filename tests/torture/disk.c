/* The disk under a program's feet, for LD_PRELOAD. Of the calls that touch LF_DISK_ROOT and what is
 * below it,
 *
 *   those that change something are written to the file LF_DISK_JOURNAL, in the order in which they
 *   were done, so that journal.py can say what a power cut after any of them leaves; a call returns
 *   after its record is written;
 *   the n-th of a kind fails, as the file LF_DISK_FAULT says (struct control), which sweep.py
 *   maps.
 *
 * Any thread, several processes with one journal. Duplicates of descriptors are not followed. What
 * a program does that is not known here (a symbolic link, a shared map that is written through) is
 * recorded as such, and ends a test. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_MAX 65536
#define PARTS_MAX 1024 /* of a writev */

/* A record: this, two paths below the root, the bytes that were written. Read by journal.py. */
struct record {
    uint32_t op; /* a letter */
    uint32_t flags;
    int32_t pid, fd;
    uint64_t at, n; /* of a write, a truncation */
    uint32_t path_bytes, to_bytes, data_bytes, zero;
};

enum { FLAG_TRUNCATES = 1, FLAG_SYNCED = 2 /* O_SYNC, O_DSYNC */ };

/* Kinds of calls; sweep.py has their names in this order. */
enum kind {
    READ,
    WRITE,
    SYNC,
    OPEN,
    MKDIR,
    RENAME,
    REMOVE,
    LINK,
    RESIZE,
    MAP,
    LOOK,
    LIST,
    CLOSE,
    MODE,
    LOCK,
    KINDS
};

enum how { ONCE, FOR_GOOD, HALF }; /* HALF: once, a part of the bytes */

/* The file LF_DISK_FAULT, which is shared. */
struct control {
    atomic_int armed, kind, how, error;
    atomic_long n, met;       /* the n-th fails; how many were met since it was armed */
    atomic_long calls[KINDS]; /* met while it was armed, of all sweeps */
};

static struct {
    char root[PATH_MAX];
    size_t root_bytes;
    int journal; /* -1: none */
    struct control *control;
    atomic_char fds[FDS_MAX]; /* 1: below the root; 2: and synced with each write */
} disk = {.journal = -1};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The function that ours stands before. */
#define NEXT(fn)                 \
    static __typeof__(fn) *next; \
    if (!next)                   \
    *(void **)(void *)&next = dlsym(RTLD_NEXT, #fn)

static int next_open(const char *path, int flags, mode_t mode)
{
    NEXT(open);
    return next(path, flags, mode);
}

static __attribute__((constructor)) void start(void)
{
    const char *root = getenv("LF_DISK_ROOT"), *journal = getenv("LF_DISK_JOURNAL");
    const char *control = getenv("LF_DISK_FAULT");
    if (!root || strlen(root) >= sizeof disk.root)
        return;
    disk.root_bytes = strlen(root);
    memcpy(disk.root, root, disk.root_bytes + 1);
    if (journal)
        disk.journal = next_open(journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int fd = control ? next_open(control, O_RDWR | O_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *disk.control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    disk.control = map == MAP_FAILED ? NULL : map;
}

/* ---- What is below the root ------------------------------------------------------------------ */

/* Into `out` the path below the root, "" for the root itself; false where it is elsewhere. */
static bool below(char out[PATH_MAX], const char *path)
{
    char full[2 * PATH_MAX], *kept[PATH_MAX / 2], *save = NULL;
    size_t n = 0, bytes = 0;
    if (disk.root_bytes == 0 || !path)
        return false;
    if (path[0] == '/') {
        snprintf(full, sizeof full, "%s", path);
    } else {
        char cwd[PATH_MAX];
        if (!getcwd(cwd, sizeof cwd))
            return false;
        snprintf(full, sizeof full, "%s/%s", cwd, path);
    }
    for (char *word = strtok_r(full, "/", &save); word; word = strtok_r(NULL, "/", &save)) {
        if (strcmp(word, "..") == 0)
            n -= n > 0;
        else if (strcmp(word, ".") != 0)
            kept[n++] = word;
    }
    char whole[2 * PATH_MAX] = "";
    for (size_t i = 0; i < n; i++)
        bytes += (size_t)snprintf(whole + bytes, sizeof whole - bytes, "/%s", kept[i]);
    if (strncmp(whole, disk.root, disk.root_bytes) != 0 ||
        (whole[disk.root_bytes] != '/' && whole[disk.root_bytes] != '\0'))
        return false;
    snprintf(out, PATH_MAX, "%s", whole + disk.root_bytes + (whole[disk.root_bytes] == '/'));
    return true;
}

static bool is_ours(int fd)
{
    return fd >= 0 && fd < FDS_MAX && disk.fds[fd] != 0;
}

/* ---- The journal ----------------------------------------------------------------------------- */

/* Calls and their records are one after the other, in all processes. */
static void hold(void)
{
    if (disk.journal < 0)
        return;
    pthread_mutex_lock(&lock);
    while (flock(disk.journal, LOCK_EX) != 0)
        continue;
}

static void let_go(void)
{
    if (disk.journal < 0)
        return;
    int error = errno;
    flock(disk.journal, LOCK_UN);
    pthread_mutex_unlock(&lock);
    errno = error;
}

static void note(struct record r, const char *path, const char *to, const struct iovec *part, int n)
{
    NEXT(writev);
    struct iovec all[PARTS_MAX + 3];
    if (disk.journal < 0)
        return;
    int error = errno;
    r.pid = (int32_t)getpid();
    r.path_bytes = path ? (uint32_t)strlen(path) : 0;
    r.to_bytes = to ? (uint32_t)strlen(to) : 0;
    size_t left = r.op == 'W' ? (size_t)r.n : 0;
    r.data_bytes = (uint32_t)left;
    int k = 3;
    for (int i = 0; i < n && left > 0; i++) {
        all[k] = part[i];
        all[k].iov_len = all[k].iov_len < left ? all[k].iov_len : left;
        left -= all[k++].iov_len;
    }
    all[0] = (struct iovec){&r, sizeof r};
    all[1] = (struct iovec){(void *)(uintptr_t)path, r.path_bytes};
    all[2] = (struct iovec){(void *)(uintptr_t)to, r.to_bytes};
    ssize_t want = (ssize_t)(sizeof r + r.path_bytes + r.to_bytes + r.data_bytes);
    if (next(disk.journal, all, k) != want)
        abort(); /* no test without a whole journal */
    errno = error;
}

#define NOTE(...) note((struct record){__VA_ARGS__}, NULL, NULL, NULL, 0)
#define NOTE_PATH(path, ...) note((struct record){__VA_ARGS__}, path, NULL, NULL, 0)

/* ---- Faults ---------------------------------------------------------------------------------- */

/* Whether this call fails; errno is set. *half (may be NULL): it does a part instead. */
static bool fails(enum kind kind, bool *half)
{
    struct control *c = disk.control;
    if (!c || !c->armed)
        return false;
    c->calls[kind]++;
    if (c->kind != (int)kind)
        return false;
    long met = ++c->met;
    if (met < c->n || (met > c->n && c->how != FOR_GOOD))
        return false;
    if (c->how == HALF) {
        if (half)
            *half = true;
        return false;
    }
    errno = c->error;
    return true;
}

static size_t part_of(size_t n, bool half)
{
    return half && n > 1 ? n / 2 : n;
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* What every open of a file below the root does. */
static int opened(int fd, const char *path, int flags)
{
    if (fd < 0 || fd >= FDS_MAX)
        return fd;
    bool synced = flags & (O_SYNC | O_DSYNC);
    disk.fds[fd] = 1;
    NOTE_PATH(path, .op = 'O', .fd = fd,
              .flags = (flags & O_TRUNC ? FLAG_TRUNCATES : 0u) | (synced ? FLAG_SYNCED : 0u));
    return fd;
}

int open(const char *path, int flags, ...)
{
    char at[PATH_MAX];
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    if (!below(at, path))
        return next_open(path, flags, mode);
    if (fails(OPEN, NULL))
        return -1;
    hold();
    int fd = opened(next_open(path, flags, mode), at, flags);
    let_go();
    return fd;
}

int mkostemp(char *path, int flags)
{
    NEXT(mkostemp);
    char at[PATH_MAX];
    if (!below(at, path))
        return next(path, flags);
    if (fails(OPEN, NULL))
        return -1;
    hold();
    int fd = next(path, flags);
    if (fd >= 0 && below(at, path))
        opened(fd, at, flags);
    let_go();
    return fd;
}

int close(int fd)
{
    NEXT(close);
    if (!is_ours(fd))
        return next(fd);
    bool bad = fails(CLOSE, NULL);
    int error = errno;
    hold();
    disk.fds[fd] = 0;
    NOTE(.op = 'C', .fd = fd);
    int rc = next(fd);
    let_go();
    if (!bad)
        return rc;
    errno = error;
    return -1;
}

/* A call with one path that changes the tree. */
#define ONE_PATH(letter, kind, call)   \
    char at[PATH_MAX];                 \
    if (!below(at, path))              \
        return call;                   \
    if (fails(kind, NULL))             \
        return -1;                     \
    hold();                            \
    int rc = call;                     \
    if (rc == 0)                       \
        NOTE_PATH(at, .op = (letter)); \
    let_go();                          \
    return rc

int mkdir(const char *path, mode_t mode)
{
    NEXT(mkdir);
    ONE_PATH('M', MKDIR, next(path, mode));
}

int unlink(const char *path)
{
    NEXT(unlink);
    ONE_PATH('U', REMOVE, next(path));
}

int rmdir(const char *path)
{
    NEXT(rmdir);
    ONE_PATH('U', REMOVE, next(path));
}

int remove(const char *path)
{
    NEXT(remove);
    ONE_PATH('U', REMOVE, next(path));
}

int symlink(const char *target, const char *path)
{
    NEXT(symlink);
    ONE_PATH('?', LINK, next(target, path));
}

char *mkdtemp(char *path)
{
    NEXT(mkdtemp);
    char at[PATH_MAX];
    if (!below(at, path))
        return next(path);
    if (fails(MKDIR, NULL))
        return NULL;
    hold();
    char *made = next(path);
    if (made && below(at, path))
        NOTE_PATH(at, .op = 'M');
    let_go();
    return made;
}

/* A call with two; one of them below the root is as good as both: nothing crosses its edge. */
static int two_paths(char letter, const char *from, const char *to, int rc)
{
    char a[PATH_MAX], b[PATH_MAX];
    if (rc == 0)
        note((struct record){.op = (uint32_t)(below(a, from) && below(b, to) ? letter : '?')}, a, b,
             NULL, 0);
    return rc;
}

static bool either_below(const char *a, const char *b)
{
    char at[PATH_MAX];
    return below(at, a) || below(at, b);
}

int rename(const char *from, const char *to)
{
    NEXT(rename);
    if (!either_below(from, to))
        return next(from, to);
    if (fails(RENAME, NULL))
        return -1;
    hold();
    int rc = two_paths('R', from, to, next(from, to));
    let_go();
    return rc;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    NEXT(renameat2);
    if (!either_below(from, to))
        return next(from_dir, from, to_dir, to, flags);
    if (fails(RENAME, NULL))
        return -1;
    hold();
    int rc = two_paths(flags & RENAME_EXCHANGE ? 'X' : 'R', from, to,
                       next(from_dir, from, to_dir, to, flags));
    let_go();
    return rc;
}

int link(const char *from, const char *to)
{
    NEXT(link);
    if (!either_below(from, to))
        return next(from, to);
    if (fails(LINK, NULL))
        return -1;
    hold();
    int rc = two_paths('L', from, to, next(from, to));
    let_go();
    return rc;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

/* After a write of k bytes at `at`; -1: where the descriptor stood. */
static ssize_t wrote(int fd, off_t at, ssize_t k, const struct iovec *part, int n)
{
    if (k > 0 && disk.journal >= 0) {
        off_t from = at >= 0 ? at : lseek(fd, 0, SEEK_CUR) - k;
        note((struct record){.op = 'W', .fd = fd, .at = (uint64_t)from, .n = (uint64_t)k}, NULL,
             NULL, part, n);
    }
    return k;
}

ssize_t write(int fd, const void *data, size_t n)
{
    NEXT(write);
    bool half = false;
    if (!is_ours(fd))
        return next(fd, data, n);
    if (fails(WRITE, &half))
        return -1;
    struct iovec part = {(void *)(uintptr_t)data, n};
    hold();
    ssize_t k = wrote(fd, -1, next(fd, data, part_of(n, half)), &part, 1);
    let_go();
    return k;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    NEXT(pwrite);
    bool half = false;
    if (!is_ours(fd))
        return next(fd, data, n, at);
    if (fails(WRITE, &half))
        return -1;
    struct iovec part = {(void *)(uintptr_t)data, n};
    hold();
    ssize_t k = wrote(fd, at, next(fd, data, part_of(n, half), at), &part, 1);
    let_go();
    return k;
}

ssize_t writev(int fd, const struct iovec *part, int n)
{
    NEXT(writev);
    bool half = false;
    if (!is_ours(fd))
        return next(fd, part, n);
    if (fails(WRITE, &half))
        return -1;
    hold();
    ssize_t k = wrote(fd, -1, next(fd, part, (int)part_of((size_t)n, half)), part, n);
    let_go();
    return k;
}

int ftruncate(int fd, off_t n)
{
    NEXT(ftruncate);
    if (!is_ours(fd))
        return next(fd, n);
    if (fails(RESIZE, NULL))
        return -1;
    hold();
    int rc = next(fd, n);
    if (rc == 0)
        NOTE(.op = 'T', .fd = fd, .n = (uint64_t)n);
    let_go();
    return rc;
}

int posix_fallocate(int fd, off_t at, off_t n)
{
    NEXT(posix_fallocate);
    if (!is_ours(fd))
        return next(fd, at, n);
    if (fails(RESIZE, NULL))
        return errno;
    hold();
    int rc = next(fd, at, n);
    if (rc == 0)
        NOTE(.op = 'A', .fd = fd, .n = (uint64_t)(at + n));
    let_go();
    return rc;
}

ssize_t read(int fd, void *out, size_t n)
{
    NEXT(read);
    bool half = false;
    if (is_ours(fd) && fails(READ, &half))
        return -1;
    return next(fd, out, part_of(n, half));
}

ssize_t pread(int fd, void *out, size_t n, off_t at)
{
    NEXT(pread);
    bool half = false;
    if (is_ours(fd) && fails(READ, &half))
        return -1;
    return next(fd, out, part_of(n, half), at);
}

/* The file of locks that LMDB keeps is made anew after a boot. */
void *mmap(void *where, size_t n, int prot, int flags, int fd, off_t at)
{
    NEXT(mmap);
    if (!is_ours(fd))
        return next(where, n, prot, flags, fd, at);
    if (fails(MAP, NULL))
        return MAP_FAILED;
    if (prot & PROT_WRITE && flags & MAP_SHARED) {
        hold();
        NOTE(.op = 'P', .fd = fd);
        let_go();
    }
    return next(where, n, prot, flags, fd, at);
}

/* ---- Syncing --------------------------------------------------------------------------------- */

static bool sync_fails(int fd)
{
    return is_ours(fd) && fails(SYNC, NULL);
}

/* Nothing waits for the disk: what it would have is in the journal. */
static int synced(int fd)
{
    hold();
    NOTE(.op = 'F', .fd = fd);
    let_go();
    return 0;
}

int fsync(int fd)
{
    NEXT(fsync);
    return sync_fails(fd) ? -1 : is_ours(fd) ? synced(fd) : next(fd);
}

int fdatasync(int fd)
{
    NEXT(fdatasync);
    return sync_fails(fd) ? -1 : is_ours(fd) ? synced(fd) : next(fd);
}

ssize_t sendfile(int out, int fd, off_t *at, size_t n)
{
    NEXT(sendfile);
    bool half = false;
    if (is_ours(fd) && fails(READ, &half))
        return -1;
    return next(out, fd, at, part_of(n, half));
}

/* ---- Looking: faults alone ------------------------------------------------------------------- */

#define LOOKS(kind, bad, call) \
    char at[PATH_MAX];         \
    return disk.control && below(at, path) && fails(kind, NULL) ? (bad) : (call)

int stat(const char *path, struct stat *out)
{
    NEXT(stat);
    LOOKS(LOOK, -1, next(path, out));
}

int lstat(const char *path, struct stat *out)
{
    NEXT(lstat);
    LOOKS(LOOK, -1, next(path, out));
}

int statvfs(const char *path, struct statvfs *out)
{
    NEXT(statvfs);
    LOOKS(LOOK, -1, next(path, out));
}

int access(const char *path, int how)
{
    NEXT(access);
    LOOKS(LOOK, -1, next(path, how));
}

int chmod(const char *path, mode_t mode)
{
    NEXT(chmod);
    LOOKS(MODE, -1, next(path, mode));
}

DIR *opendir(const char *path)
{
    NEXT(opendir);
    LOOKS(OPEN, NULL, next(path));
}

int fstat(int fd, struct stat *out)
{
    NEXT(fstat);
    return is_ours(fd) && fails(LOOK, NULL) ? -1 : next(fd, out);
}

int fchmod(int fd, mode_t mode)
{
    NEXT(fchmod);
    return is_ours(fd) && fails(MODE, NULL) ? -1 : next(fd, mode);
}

int flock(int fd, int how)
{
    NEXT(flock);
    return is_ours(fd) && fails(LOCK, NULL) ? -1 : next(fd, how);
}

/* Of any directory: which one it is, is not known any more. */
struct dirent *readdir(DIR *d)
{
    NEXT(readdir);
    return fails(LIST, NULL) ? NULL : next(d);
}
