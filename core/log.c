/* The log line. */
#include "core/log.h"

#include "core/utf8.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 8192
#define SAID_BYTES 2048
#define END_BYTES 2 /* "}\n" */

static _Atomic int threshold = LF_LOG_INFO;
static _Atomic int shape = LF_LOG_TEXT;
static const char *const words[] = {"debug", "info", "warn", "error"};

struct line {
    char text[LINE_BYTES];
    size_t n;
    bool full; /* something did not fit */
};

void lf_log_set_level(enum lf_log_level level)
{
    atomic_store(&threshold, (int)level);
}

void lf_log_set_format(enum lf_log_format format)
{
    atomic_store(&shape, (int)format);
}

static void put(struct line *l, const char *text, size_t n)
{
    l->full = l->full || n > sizeof l->text - END_BYTES - l->n;
    if (l->full)
        return;
    memcpy(l->text + l->n, text, n);
    l->n += n;
}

static void puts_to(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

/* In quotes. `text` has no control characters. */
static void put_quoted(struct line *l, const char *text)
{
    puts_to(l, "\"");
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            puts_to(l, "\\");
        put(l, p, 1);
    }
    puts_to(l, "\"");
}

/* All of it or nothing. */
static void put_field(struct line *l, const struct lf_log_field *f, bool json)
{
    char value[SAID_BYTES];
    size_t before = l->n;
    if (!f->value || l->full)
        return;
    lf_utf8_printable(value, sizeof value, f->value, strlen(f->value));
    bool bare = json ? f->is_number : value[0] && !strpbrk(value, " \"=\\");
    puts_to(l, json ? ",\"" : " ");
    puts_to(l, f->name);
    puts_to(l, json ? "\":" : "=");
    if (bare)
        puts_to(l, value);
    else
        put_quoted(l, value);
    if (l->full)
        l->n = before;
    l->full = false;
}

static void put_time(struct line *l)
{
    char text[40];
    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof text - n, ".%03ldZ", ts.tv_nsec / 1000000);
    puts_to(l, text);
}

static void write_line(enum lf_log_level level, const char *room, const struct lf_log_field *fields,
                       size_t n, const char *fmt, va_list ap)
{
    bool json = atomic_load(&shape) == LF_LOG_JSON;
    char raw[SAID_BYTES], said[SAID_BYTES];
    struct line l = {.n = 0};
    vsnprintf(raw, sizeof raw, fmt, ap);
    lf_utf8_printable(said, sizeof said, raw, strlen(raw));
    puts_to(&l, json ? "{\"time\":\"" : "");
    put_time(&l);
    puts_to(&l, json ? "\",\"level\":\"" : " ");
    puts_to(&l, words[level]);
    puts_to(&l, json ? "\",\"room\":\"" : " ");
    puts_to(&l, room);
    puts_to(&l, json ? "\",\"message\":" : ": ");
    if (json)
        put_quoted(&l, said);
    else
        puts_to(&l, said);
    for (size_t i = 0; i < n; i++)
        put_field(&l, &fields[i], json);
    if (json)
        l.text[l.n++] = '}';
    l.text[l.n++] = '\n';
    /* One write: lines of several threads do not mix. A full pipe loses the line, no more. */
    if (write(STDERR_FILENO, l.text, l.n) < 0)
        return;
}

void lf_log(enum lf_log_level level, const char *room, const char *fmt, ...)
{
    if ((int)level < atomic_load(&threshold))
        return;
    va_list ap;
    va_start(ap, fmt);
    write_line(level, room, NULL, 0, fmt, ap);
    va_end(ap);
}

void lf_log_fields(enum lf_log_level level, const char *room, const struct lf_log_field *fields,
                   size_t n, const char *fmt, ...)
{
    if ((int)level < atomic_load(&threshold))
        return;
    va_list ap;
    va_start(ap, fmt);
    write_line(level, room, fields, n, fmt, ap);
    va_end(ap);
}
