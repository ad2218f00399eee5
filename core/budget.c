/* Budgets of host memory. */
#include "core/budget.h"

#include "core/limits.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct lf_budget {
    uint64_t limit;
    const char *option;
    atomic_uint_fast64_t used;
};

struct lf_budget *lf_budget_new(uint64_t bytes, const char *option)
{
    struct lf_budget *b = calloc(1, sizeof *b);
    if (b)
        *b = (struct lf_budget){.limit = bytes, .option = option};
    return b;
}

void lf_budget_free(struct lf_budget *b)
{
    free(b);
}

static double mb(uint64_t bytes)
{
    return (double)bytes / 1048576.0;
}

enum lf_err lf_budget_take(struct lf_budget *b, uint64_t bytes, uint64_t held, const char *what,
                           struct lf_diag *diag)
{
    if (!b)
        return LF_OK;
    if (bytes > b->limit || held > b->limit - bytes)
        return lf_fail(diag, LF_E_TOO_BIG, "%s %.1f MiB of host memory; there are %.1f for it (%s)",
                       what, mb(held + bytes), mb(b->limit), b->option);
    uint64_t used = atomic_load(&b->used);
    do {
        if (bytes > b->limit - used)
            return lf_fail(diag, LF_E_OVERLOADED,
                           "%s %.1f MiB of host memory; %.1f of %.1f are taken: try again later "
                           "(%s)",
                           what, mb(bytes), mb(used), mb(b->limit), b->option);
    } while (!atomic_compare_exchange_weak(&b->used, &used, used + bytes));
    return LF_OK;
}

void lf_budget_give(struct lf_budget *b, uint64_t bytes)
{
    if (b)
        atomic_fetch_sub(&b->used, bytes);
}

uint64_t lf_budget_limit(const struct lf_budget *b)
{
    return b ? b->limit : UINT64_MAX;
}

uint64_t lf_budget_used(const struct lf_budget *b)
{
    return b ? atomic_load(&b->used) : 0;
}

/* ---- What there is --------------------------------------------------------------------------- */

/* The number in a file; UINT64_MAX: "max", or there is none. */
static uint64_t number_in(const char *path)
{
    unsigned long long n = 0;
    FILE *f = fopen(path, "re");
    bool there = f && fscanf(f, "%llu", &n) == 1;
    if (f)
        fclose(f);
    return there ? n : UINT64_MAX;
}

/* The least limit of a group and those above it. */
static uint64_t limit_of_group(const char *root, char *group, const char *file)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        char path[LF_PATH_MAX];
        snprintf(path, sizeof path, "%s%s/%s", root, group, file);
        uint64_t n = number_in(path);
        least = n < least ? n : least;
        char *slash = strrchr(group, '/');
        if (!slash || !*group)
            return least;
        *slash = '\0';
    }
}

/* "0::/a/b" of the unified hierarchy, "7:memory:/a/b" of the one before. */
static uint64_t limit_of_groups(void)
{
    char line[LF_PATH_MAX];
    uint64_t least = UINT64_MAX;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *name = strchr(line, ':'), *group = name ? strchr(name + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        uint64_t n = UINT64_MAX;
        if (name[1] == '\0')
            n = limit_of_group("/sys/fs/cgroup", group, "memory.max");
        else if (strcmp(name + 1, "memory") == 0)
            n = limit_of_group("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
        least = n < least ? n : least;
    }
    if (f)
        fclose(f);
    return least;
}

uint64_t lf_memory_limit(void)
{
    struct rlimit r;
    uint64_t least = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t group = limit_of_groups();
    if (getrlimit(RLIMIT_AS, &r) == 0 && r.rlim_cur != RLIM_INFINITY && r.rlim_cur < least)
        least = r.rlim_cur;
    return group < least ? group : least;
}
