/* The calls that fail, and the sweep. */
#include "tests/fault/fault.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define CALLS_MAX 100000 /* an act that meets more of them does not end */

static const struct {
    const char *name;
    int once, for_good; /* errno */
} kinds[FAULT_KINDS] = {
    {"memory", ENOMEM, ENOMEM}, {"write", EIO, ENOSPC},   {"sync", EIO, EIO},
    {"rename", EIO, ENOSPC},    {"open", EMFILE, EMFILE}, {"mkdir", ENOSPC, ENOSPC},
};

static struct state {
    bool for_good;
    enum fault_kind kind;
    long n;
    atomic_bool armed;
    atomic_long met;
} at_start, *fault = &at_start; /* in a sweep: shared with the processes that it forks */

static _Thread_local bool sweeps; /* the thread that does */
static char under[64];            /* the fault of the sweep under way; "": none */

/* What runs before the sanitizer's memory is laid out must not look into it. */
#define EARLY __attribute__((no_sanitize("address", "undefined")))

/* Whether this call fails; errno is set. */
static EARLY bool hit(enum fault_kind kind)
{
    if (!fault->armed || fault->kind != kind || (kind == FAULT_MEMORY && !sweeps))
        return false;
    long met = ++fault->met;
    if (met < fault->n || (met > fault->n && !fault->for_good))
        return false;
    errno = fault->for_good ? kinds[kind].for_good : kinds[kind].once;
    return true;
}

/* The function that ours stands before. */
#define NEXT(fn)                 \
    static __typeof__(fn) *next; \
    if (!next)                   \
    *(void **)(void *)&next = dlsym(RTLD_NEXT, #fn)

/* ---- Memory ---------------------------------------------------------------------------------- */

/* The sanitizer's allocator where there is one, else the C library's: dlsym would allocate. */
#define ALLOCATOR(name, ...)                                              \
    extern void *__interceptor_##name(__VA_ARGS__) __attribute__((weak)); \
    extern void *__libc_##name(__VA_ARGS__)
ALLOCATOR(malloc, size_t n);
ALLOCATOR(calloc, size_t n, size_t each);
ALLOCATOR(realloc, void *p, size_t n);
extern void *__interceptor_aligned_alloc(size_t align, size_t n) __attribute__((weak));
extern void *__libc_memalign(size_t align, size_t n);

EARLY void *malloc(size_t n)
{
    if (hit(FAULT_MEMORY))
        return NULL;
    return __interceptor_malloc ? __interceptor_malloc(n) : __libc_malloc(n);
}

EARLY void *calloc(size_t n, size_t each)
{
    if (hit(FAULT_MEMORY))
        return NULL;
    return __interceptor_calloc ? __interceptor_calloc(n, each) : __libc_calloc(n, each);
}

EARLY void *realloc(void *p, size_t n)
{
    if (hit(FAULT_MEMORY))
        return NULL;
    return __interceptor_realloc ? __interceptor_realloc(p, n) : __libc_realloc(p, n);
}

EARLY void *aligned_alloc(size_t align, size_t n)
{
    if (hit(FAULT_MEMORY))
        return NULL;
    return __interceptor_aligned_alloc ? __interceptor_aligned_alloc(align, n)
                                       : __libc_memalign(align, n);
}

char *strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = malloc(n);
    return p ? memcpy(p, s, n) : NULL;
}

/* Jansson's reader does not bear a realloc that fails: it then misses the quote that ends a string
 * and reads on. A parse is one call of memory here, which fails as a whole. */
json_t *json_loadb(const char *text, size_t n, size_t flags, json_error_t *error)
{
    NEXT(json_loadb);
    if (hit(FAULT_MEMORY))
        return NULL;
    bool was = sweeps;
    sweeps = false;
    json_t *j = next(text, n, flags, error);
    sweeps = was;
    return j;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* A disk that is full takes a part of the bytes first. */
static bool takes_half(size_t n)
{
    return fault->for_good && fault->met == fault->n && n > 1;
}

ssize_t write(int fd, const void *data, size_t n)
{
    NEXT(write);
    if (!hit(FAULT_WRITE))
        return next(fd, data, n);
    return takes_half(n) ? next(fd, data, n / 2) : -1;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    NEXT(pwrite);
    if (!hit(FAULT_WRITE))
        return next(fd, data, n, at);
    return takes_half(n) ? next(fd, data, n / 2, at) : -1;
}

ssize_t writev(int fd, const struct iovec *part, int n)
{
    NEXT(writev);
    if (!hit(FAULT_WRITE))
        return next(fd, part, n);
    return takes_half((size_t)n) ? next(fd, part, n / 2) : -1;
}

/* Nothing waits for the disk here: no test cuts the power. */
int fsync(int fd)
{
    (void)fd;
    return hit(FAULT_SYNC) ? -1 : 0;
}

int fdatasync(int fd)
{
    return fsync(fd);
}

int rename(const char *from, const char *to)
{
    NEXT(rename);
    return hit(FAULT_RENAME) ? -1 : next(from, to);
}

int open(const char *path, int flags, ...)
{
    NEXT(open);
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return hit(FAULT_OPEN) ? -1 : next(path, flags & ~(O_SYNC | O_DSYNC), mode);
}

int mkostemp(char *path, int flags)
{
    NEXT(mkostemp);
    return hit(FAULT_OPEN) ? -1 : next(path, flags);
}

DIR *opendir(const char *path)
{
    NEXT(opendir);
    return hit(FAULT_OPEN) ? NULL : next(path);
}

int mkdir(const char *path, mode_t mode)
{
    NEXT(mkdir);
    return hit(FAULT_MKDIR) ? -1 : next(path, mode);
}

/* ---- The sweep ------------------------------------------------------------------------------- */

/* LeakSanitizer's, where it is linked in: other than 0 when something leaked. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* False when the act went through without meeting the fault. */
static bool one(const struct fault_subject *s, void *arg, enum fault_kind kind, bool for_good,
                long n)
{
    struct lf_diag diag = {""};
    snprintf(under, sizeof under, "%s %ld%s", kinds[kind].name, n, for_good ? " for good" : "");
    s->before(arg);
    fault->kind = kind;
    fault->for_good = for_good;
    fault->n = n;
    fault->met = 0;
    sweeps = fault->armed = true;
    enum lf_err rc = s->act(arg, &diag);
    fault->armed = false;
    bool met = fault->met >= n;
    if (rc != LF_OK && (!met || !diag.text[0]))
        fail_msg("%s: \"%s\"", lf_err_name(rc), diag.text);
    s->after(arg, rc);
    return met;
}

/* From one call that fails to the next. */
static long stride(enum fault_kind kind)
{
    const char *text = getenv("LF_TEST_STRIDE");
    long n = text ? strtol(text, NULL, 10) : kind == FAULT_MEMORY ? 8 : 4;
    return n < 1 ? 1 : n;
}

void fault_sweep(const struct fault_subject *s, void *arg)
{
    if (fault == &at_start) {
        void *shared =
            mmap(NULL, sizeof *fault, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(shared != MAP_FAILED);
        fault = shared;
    }
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        long step = stride((enum fault_kind)kind);
        for (int for_good = 0; for_good < 2; for_good++)
            for (long n = 1 + for_good * (step / 2);
                 one(s, arg, (enum fault_kind)kind, for_good, n); n += step)
                assert_true(n < CALLS_MAX);
    }
    under[0] = '\0';
    if (__lsan_do_recoverable_leak_check)
        assert_int_equal(__lsan_do_recoverable_leak_check(), 0);
}

void fault_dir(char out[64])
{
    snprintf(out, 64, "%s/lf-fault-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(out));
}

int fault_teardown(void **state)
{
    (void)state;
    fault->armed = false;
    if (under[0])
        print_error("under the fault: %s\n", under);
    under[0] = '\0';
    return 0;
}
