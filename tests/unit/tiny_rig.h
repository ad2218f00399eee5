/* One tiny base for all tests of a program that trains, with TINY_SLOTS places for adapters:
 * open_tiny and close_tiny are for cmocka_run_group_tests. */
#ifndef LF_TESTS_TINY_RIG_H
#define LF_TESTS_TINY_RIG_H

#include "tests/unit/train_rig.h"

#ifndef TINY_SLOTS
#define TINY_SLOTS 8
#endif

static struct tiny t;

static inline int open_tiny(void **state)
{
    (void)state;
    tiny_open(&t, LF_DEVICE_CPU, TINY_SLOTS, &rig_limits);
    return 0;
}

static inline int close_tiny(void **state)
{
    (void)state;
    tiny_close(&t);
    return 0;
}

#endif
