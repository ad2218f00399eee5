/* Files: whole reads, maps, and replacements that cannot be seen half done. */
#include "core/file.h"
#include "core/replace.h"

#include "core/grow.h"
#include "core/limits.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Some file systems let signals cut these short. */
static int open_whole(const char *path, int flags)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int sync_whole(int fd)
{
    int rc;
    do
        rc = fsync(fd);
    while (rc != 0 && errno == EINTR);
    return rc;
}

enum lf_err lf_file_read(struct lf_buf *out, const char *path, size_t max, struct lf_diag *diag)
{
    int fd = open_whole(path, O_RDONLY);
    if (fd < 0)
        return lf_fail_errno(diag, errno, "%s", path);
    enum lf_err rc = LF_OK;
    size_t start = out->len;
    char chunk[1 << 16];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = lf_fail_errno(diag, errno, "%s", path);
        if (n <= 0)
            break;
        if (out->len - start + (size_t)n > max) {
            rc = lf_fail(diag, LF_E_TOO_BIG, "%s: larger than %zu bytes", path, max);
            break;
        }
        rc = lf_buf_append(out, chunk, (size_t)n);
        if (rc != LF_OK) {
            rc = lf_fail(diag, rc, "%s: no room to read it", path);
            break;
        }
    }
    close(fd);
    return rc;
}

enum lf_err lf_file_first_line(struct lf_buf *out, const char *path, size_t max,
                               struct lf_diag *diag)
{
    enum lf_err rc = lf_file_read(out, path, max, diag);
    if (rc != LF_OK)
        return rc;
    out->len = out->len ? strcspn(out->data, "\r\n") : 0;
    if (out->len == 0)
        return lf_fail(diag, LF_E_INVALID, "%s: its first line is empty", path);
    out->data[out->len] = '\0';
    return LF_OK;
}

enum lf_err lf_file_map_fd(struct lf_mapping *out, int fd, const char *what, struct lf_diag *diag)
{
    struct stat st;
    struct lf_mapping m = {"", 0};
    if (fstat(fd, &st) != 0)
        return lf_fail_errno(diag, errno, "%s", what);
    if (!S_ISREG(st.st_mode))
        return lf_fail(diag, LF_E_INVALID, "%s: not a regular file", what);
    if (st.st_size > 0) {
        m.bytes = (size_t)st.st_size;
        void *p = mmap(NULL, m.bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            return lf_fail_errno(diag, errno, "%s: mmap", what);
        m.data = p;
    }
    *out = m;
    return LF_OK;
}

enum lf_err lf_file_map(struct lf_mapping *out, const char *path, struct lf_diag *diag)
{
    /* A FIFO would be waited for. */
    int fd = open_whole(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return lf_fail_errno(diag, errno, "%s", path);
    enum lf_err rc = lf_file_map_fd(out, fd, path, diag);
    close(fd);
    return rc;
}

enum lf_err lf_file_map_optional(struct lf_mapping *out, const char *dir, const char *name,
                                 struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    *out = (struct lf_mapping){0};
    enum lf_err rc = lf_path_join(path, dir, name, diag);
    return rc == LF_OK && lf_file_exists(path) ? lf_file_map(out, path, diag) : rc;
}

void lf_file_unmap(struct lf_mapping *m)
{
    if (m->bytes)
        munmap((void *)(uintptr_t)m->data, m->bytes);
    *m = (struct lf_mapping){0};
}

/* The directory part of path, "." where there is none. */
static void dir_of(char out[LF_PATH_MAX], const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= LF_PATH_MAX)
        n = LF_PATH_MAX - 1;
    memcpy(out, path, n);
    out[n] = '\0';
    if (n == 0)
        memcpy(out, slash ? "/" : ".", 2);
}

enum lf_err lf_dir_sync(const char *dir, struct lf_diag *diag)
{
    int fd = open_whole(dir, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return lf_fail_errno(diag, errno, "%s", dir);
    int bad = sync_whole(fd) != 0 ? errno : 0;
    close(fd);
    return bad ? lf_fail_errno(diag, bad, "%s: fsync", dir) : LF_OK;
}

enum lf_err lf_file_remove(const char *path, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    if (unlink(path) != 0)
        return lf_fail_errno(diag, errno, "%s", path);
    dir_of(dir, path);
    return lf_dir_sync(dir, diag);
}

enum lf_err lf_file_move(const char *from, const char *to, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    if (rename(from, to) != 0)
        return lf_fail_errno(diag, errno, "%s: rename to %s", from, to);
    dir_of(dir, to);
    return lf_dir_sync(dir, diag);
}

enum lf_err lf_file_write_at(int fd, const void *data, size_t n, uint64_t offset, const char *what,
                             struct lf_diag *diag)
{
    const char *p = data;
    while (n > 0) {
        ssize_t k = pwrite(fd, p, n, (off_t)offset);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return lf_fail_errno(diag, errno, "%s: write", what);
        p += k;
        n -= (size_t)k;
        offset += (uint64_t)k;
    }
    return LF_OK;
}

enum lf_err lf_file_commit(int fd, const char *tmp, const char *path, struct lf_diag *diag)
{
    if (sync_whole(fd) != 0)
        return lf_fail_errno(diag, errno, "%s: fsync", tmp);
    return lf_file_move(tmp, path, diag);
}

static enum lf_err write_all(int fd, const char *data, size_t n, const char *path,
                             struct lf_diag *diag)
{
    while (n > 0) {
        ssize_t k = write(fd, data, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return lf_fail_errno(diag, errno, "%s: write", path);
        data += k;
        n -= (size_t)k;
    }
    return LF_OK;
}

enum lf_err lf_replacement_open(struct lf_replacement *r, const char *path, struct lf_diag *diag)
{
    r->fd = -1;
    do { /* as mkostemp, but with the mode that the process gives its files */
        uint32_t name = 0;
        if (getrandom(&name, sizeof name, 0) != sizeof name)
            return lf_fail_errno(diag, errno, "%s", path);
        snprintf(r->path, sizeof r->path, "%s", path);
        if (snprintf(r->tmp, sizeof r->tmp, "%s.tmp-%06x", path, name & 0xffffff) >=
            (int)sizeof r->tmp)
            return lf_fail(diag, LF_E_INVALID, "%.64s...: path too long", path);
        r->fd = open_whole(r->tmp, O_RDWR | O_CREAT | O_EXCL);
    } while (r->fd < 0 && errno == EEXIST);
    return r->fd < 0 ? lf_fail_errno(diag, errno, "%s", r->tmp) : LF_OK;
}

enum lf_err lf_replacement_commit(struct lf_replacement *r, struct lf_diag *diag)
{
    enum lf_err rc = lf_file_commit(r->fd, r->tmp, r->path, diag);
    if (rc == LF_OK)
        r->tmp[0] = '\0';
    return rc;
}

void lf_replacement_close(struct lf_replacement *r)
{
    if (r->fd < 0)
        return;
    close(r->fd);
    if (r->tmp[0])
        unlink(r->tmp);
    r->fd = -1;
}

enum lf_err lf_file_write(const char *path, const void *data, size_t n, struct lf_diag *diag)
{
    struct lf_replacement r;
    enum lf_err rc = lf_replacement_open(&r, path, diag);
    rc = rc ?: write_all(r.fd, data, n, r.tmp, diag) ?: lf_replacement_commit(&r, diag);
    lf_replacement_close(&r);
    return rc;
}

static enum lf_err copy_all(int in, const char *from, int out, const char *tmp, struct lf_sha256 *h,
                            struct lf_diag *diag)
{
    char chunk[1 << 16];
    for (;;) {
        ssize_t n = read(in, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return lf_fail_errno(diag, errno, "%s", from);
        if (n == 0)
            return LF_OK;
        if (h)
            lf_sha256_add(h, chunk, (size_t)n);
        enum lf_err rc = write_all(out, chunk, (size_t)n, tmp, diag);
        if (rc != LF_OK)
            return rc;
    }
}

enum lf_err lf_file_copy(const char *from, const char *to, char *sha256, struct lf_diag *diag)
{
    struct lf_replacement out = {.fd = -1};
    int in = open_whole(from, O_RDONLY);
    if (in < 0)
        return lf_fail_errno(diag, errno, "%s", from);
    struct lf_sha256 *h = sha256 ? lf_sha256_begin() : NULL;
    enum lf_err rc = sha256 && !h ? lf_no_memory(diag, "a digest") : LF_OK;
    rc = rc ?: lf_replacement_open(&out, to, diag);
    rc = rc ?: copy_all(in, from, out.fd, out.tmp, h, diag) ?: lf_replacement_commit(&out, diag);
    lf_replacement_close(&out);
    lf_sha256_end(h, sha256);
    close(in);
    return rc;
}

/* The part of dir behind its first `there` bytes. */
static enum lf_err make_from(const char *dir, size_t there, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (snprintf(path, sizeof path, "%s", dir) >= (int)sizeof path)
        return lf_fail(diag, LF_E_INVALID, "%s: path too long", dir);
    for (char *p = path + there + 1;; p++) {
        char c = *p;
        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        int bad = mkdir(path, 0755) == 0 ? 0 : errno;
        if (bad && bad != EEXIST)
            return lf_fail_errno(diag, bad, "%s", path);
        if (!bad) {
            char parent[LF_PATH_MAX];
            dir_of(parent, path);
            enum lf_err rc = lf_dir_sync(parent, diag);
            if (rc != LF_OK)
                return rc;
        }
        *p = c;
        if (c == '\0')
            return LF_OK;
    }
}

enum lf_err lf_dir_make(const char *dir, struct lf_diag *diag)
{
    return make_from(dir, 0, diag);
}

enum lf_err lf_dir_make_below(const char *root, const char *dir, struct lf_diag *diag)
{
    size_t n = strlen(root);
    lf_assert(strncmp(dir, root, n) == 0 && dir[n] == '/');
    return make_from(dir, n, diag);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

enum lf_err lf_dir_remove(const char *dir, struct lf_diag *diag)
{
    if (nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return lf_fail_errno(diag, errno, "%s", dir);
    return LF_OK;
}

enum lf_err lf_dir_room(const char *dir, uint64_t bytes, struct lf_diag *diag)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0)
        return lf_fail_errno(diag, errno, "%s", dir);
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (bytes <= left)
        return LF_OK;
    return lf_fail(diag, LF_E_NO_SPACE, "%s: %.1f MB are to be written, and %.1f MB are free", dir,
                   (double)bytes / 1e6, (double)left / 1e6);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum lf_err names_add(struct lf_names *l, const char *name, struct lf_diag *diag)
{
    char *copy = strdup(name);
    enum lf_err rc = copy ? lf_grow(&l->at, &l->cap, l->n + 1, sizeof *l->at) : LF_E_NO_MEMORY;
    if (rc == LF_OK) {
        l->at[l->n++] = copy;
        return LF_OK;
    }
    free(copy);
    return lf_no_memory(diag, "the names of a directory");
}

enum lf_err lf_dir_names(struct lf_names *out, const char *dir, struct lf_diag *diag)
{
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT || errno == ENOTDIR ? LF_OK : lf_fail_errno(diag, errno, "%s", dir);
    enum lf_err rc = LF_OK;
    struct dirent *x = NULL;
    while (rc == LF_OK && (errno = 0, x = readdir(d)))
        if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0)
            rc = names_add(out, x->d_name, diag);
    if (rc == LF_OK && errno != 0) /* what was read of it must not be taken for all of it */
        rc = lf_fail_errno(diag, errno, "%s", dir);
    closedir(d);
    if (out->n > 1)
        qsort(out->at, out->n, sizeof *out->at, by_bytes);
    return rc;
}

void lf_names_free(struct lf_names *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->at[i]);
    free(l->at);
    *l = (struct lf_names){0};
}

enum lf_err lf_path_join(char *out, const char *dir, const char *name, struct lf_diag *diag)
{
    return snprintf(out, LF_PATH_MAX, "%s/%s", dir, name) < LF_PATH_MAX
               ? LF_OK
               : lf_fail(diag, LF_E_INVALID, "%.80s...: path too long", dir);
}

/* Where the file system has no O_TMPFILE, a file whose name is gone at once. */
int lf_file_open_nameless(int dir)
{
    int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    for (unsigned i = 0; i < 1000; i++) {
        char name[64];
        snprintf(name, sizeof name, ".lorafs-%d-%u", (int)getpid(), i);
        fd = openat(dir, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0)
            unlinkat(dir, name, 0);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* On a disk, where /tmp may be memory. */
const char *lf_dir_of_temporaries(void)
{
    const char *dir = getenv("TMPDIR");
    return dir && *dir ? dir : "/var/tmp";
}

bool lf_file_exists(const char *path)
{
    return access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

int64_t lf_file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

void lf_file_tag(char out[LF_FILE_TAG], const struct stat *st)
{
    uint64_t ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
    snprintf(out, LF_FILE_TAG, "%016llx-%016llx-%016llx", (unsigned long long)st->st_ino,
             (unsigned long long)ns, (unsigned long long)st->st_size);
}

enum lf_err lf_file_tag_at(char out[LF_FILE_TAG], const char *path, struct lf_diag *diag)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return lf_fail_errno(diag, errno, "%s", path);
    lf_file_tag(out, &st);
    return LF_OK;
}

struct lf_sha256 {
    EVP_MD_CTX *md;
};

struct lf_sha256 *lf_sha256_begin(void)
{
    struct lf_sha256 *h = malloc(sizeof *h);
    if (!h)
        return NULL;
    h->md = EVP_MD_CTX_new();
    if (h->md && EVP_DigestInit_ex(h->md, EVP_sha256(), NULL) == 1)
        return h;
    EVP_MD_CTX_free(h->md);
    free(h);
    return NULL;
}

void lf_sha256_add(struct lf_sha256 *h, const void *data, size_t n)
{
    lf_assert(EVP_DigestUpdate(h->md, data, n) == 1);
}

static void hex_digits(char out[LF_SHA256_HEX], const unsigned char *md)
{
    for (int i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", md[i]);
}

void lf_sha256_end(struct lf_sha256 *h, char out[LF_SHA256_HEX])
{
    if (!h)
        return;
    unsigned char md[EVP_MAX_MD_SIZE];
    lf_assert(EVP_DigestFinal_ex(h->md, md, NULL) == 1);
    if (out)
        hex_digits(out, md);
    EVP_MD_CTX_free(h->md);
    free(h);
}

void lf_sha256_hex(char out[LF_SHA256_HEX], const void *data, size_t n)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    lf_assert(EVP_Digest(data, n, md, NULL, EVP_sha256(), NULL) == 1);
    hex_digits(out, md);
}

enum lf_err lf_sha256_of(char out[LF_SHA256_HEX], const void *data, size_t n, struct lf_diag *diag)
{
    struct lf_sha256 *h = lf_sha256_begin();
    if (!h)
        return lf_no_memory(diag, "a digest");
    lf_sha256_add(h, data, n);
    lf_sha256_end(h, out);
    return LF_OK;
}

enum lf_err lf_sha256_file(char out[LF_SHA256_HEX], const char *path, struct lf_diag *diag)
{
    lf_mapping_auto m = {0};
    enum lf_err rc = lf_file_map(&m, path, diag);
    return rc ?: lf_sha256_of(out, m.data, m.bytes, diag);
}

bool lf_name_is_temporary(const char *name)
{
    const char *at = strstr(name, ".tmp-");
    return at && strlen(at) == strlen(".tmp-XXXXXX");
}

bool lf_name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > LF_NAME_MAX || name[0] == '.')
        return false;
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}
