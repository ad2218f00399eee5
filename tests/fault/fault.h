/* Fault sweeps: an act is tried again and again, and each time another of its calls of the system
 * fails, until it goes through without meeting the fault.
 *
 * fault.c defines malloc, write, fsync and so on for the whole program, libraries of others
 * included (the linker exports what a shared library calls), so that LMDB's calls fail as ours do.
 * Any thread meets them, but for those of memory, which sanitizers do not bear while a thread
 * starts; an act keeps to one thread at a time, or the n-th call is another each time. */
#ifndef LF_TESTS_FAULT_H
#define LF_TESTS_FAULT_H

#include "core/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum fault_kind {
    FAULT_MEMORY, /* malloc, calloc, realloc, strdup, aligned_alloc */
    FAULT_WRITE,  /* write, pwrite, writev; for good: half of the bytes, then none */
    FAULT_SYNC,   /* fsync, fdatasync */
    FAULT_RENAME,
    FAULT_OPEN, /* open, mkostemp, opendir */
    FAULT_MKDIR,
    FAULT_KINDS
};

struct fault_subject {
    /* A fresh world in its old state. */
    void (*before)(void *arg);
    /* What is swept: LF_OK, or an error with its reason. Must not assert. */
    enum lf_err (*act)(void *arg, struct lf_diag *diag);
    /* Asserts that the world is whole after act answered rc, and ends it. No fault is met here. */
    void (*after)(void *arg, enum lf_err rc);
};

/* For each kind, once alone and once for good: the n-th call fails. With LF_TEST_STRIDE=1, which
 * tools/torture sets, n = 1, 2, ...; else each call fails in one of the two ways, and of memory, of
 * which there are many more, every second one. Asserts that an error has its reason, and that
 * nothing leaks (where LeakSanitizer is there). */
void fault_sweep(const struct fault_subject *s, void *arg);
/* A new empty directory, in memory where the machine has a place for that. */
void fault_dir(char out[64]);
/* A cmocka teardown: names the fault under which the test failed. */
int fault_teardown(void **state);

#endif
