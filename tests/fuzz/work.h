/* A directory for targets that need files. */
#ifndef LF_TESTS_FUZZ_WORK_H
#define LF_TESTS_FUZZ_WORK_H

#include "core/file.h"

#include <stdio.h>
#include <stdlib.h>

static char work_dir[64];

static void remove_work(void)
{
    (void)!lf_dir_remove(work_dir, NULL);
}

/* One directory for the whole run, in memory where there is such a place; removed at its end. */
static const char *work(void)
{
    if (!*work_dir) {
        snprintf(work_dir, sizeof work_dir, "/dev/shm/lf-fuzz-XXXXXX");
        if (!mkdtemp(work_dir)) {
            snprintf(work_dir, sizeof work_dir, "/tmp/lf-fuzz-XXXXXX");
            lf_assert(mkdtemp(work_dir));
        }
        atexit(remove_work);
    }
    return work_dir;
}

#endif
