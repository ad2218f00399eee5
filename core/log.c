/* The log line. */
#include "core/log.h"

#include "core/utf8.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int threshold = LF_LOG_INFO;
static const char *const words[] = {"debug", "info", "warn", "error"};

void lf_log_set_level(enum lf_log_level level)
{
    atomic_store(&threshold, (int)level);
}

void lf_log(enum lf_log_level level, const char *room, const char *fmt, ...)
{
    if ((int)level < atomic_load(&threshold))
        return;
    char line[2048], said[2048];
    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ %s %s: ", ts.tv_nsec / 1000000,
                          words[level], room);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(said, sizeof said, fmt, ap);
    va_end(ap);
    n += lf_utf8_printable(line + n, sizeof line - n - 1, said, strlen(said));
    line[n++] = '\n';
    /* One write: lines of several threads do not mix. A full pipe loses the line, no more. */
    if (write(STDERR_FILENO, line, n) < 0)
        return;
}
