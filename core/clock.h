/* Time, in the two forms the system needs. */
#ifndef LF_CORE_CLOCK_H
#define LF_CORE_CLOCK_H

#include <stdint.h>

#define LF_NS_PER_MS 1000000u
#define LF_NS_PER_S 1000000000u

/* Monotonic nanoseconds, for durations. */
uint64_t lf_clock_ns(void);
/* Nanoseconds of processor time that the calling thread has had, whatever else the machine does. */
uint64_t lf_clock_thread_ns(void);
/* The calling thread sleeps, or is woken by a signal. */
void lf_clock_sleep(uint64_t ns);
/* Milliseconds since 1970 (UTC), for records that outlive the process. */
int64_t lf_clock_unix_ms(void);

#endif
