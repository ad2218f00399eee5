/* Time. */
#include "core/clock.h"

#include <time.h>

uint64_t lf_clock_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * LF_NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t lf_clock_thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * LF_NS_PER_S + (uint64_t)t.tv_nsec;
}

int64_t lf_clock_unix_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void lf_clock_sleep(uint64_t ns)
{
    nanosleep(&(struct timespec){(time_t)(ns / LF_NS_PER_S), (long)(ns % LF_NS_PER_S)}, NULL);
}
