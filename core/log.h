/* The program's own log: one line on stderr, `2026-11-23T10:11:12.345Z level room: text
 * name=value`, or the same as a JSON object. Borders log; libraries return errors. Any thread; a
 * line is never torn. */
#ifndef LF_CORE_LOG_H
#define LF_CORE_LOG_H

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>

enum lf_log_level { LF_LOG_DEBUG, LF_LOG_INFO, LF_LOG_WARN, LF_LOG_ERROR, LF_LOG_OFF };
/* JSON: {"time", "level", "room", "message"} and the fields of the line. */
enum lf_log_format { LF_LOG_TEXT, LF_LOG_JSON };
#define LF_LOG_FORMAT_WORDS "text|json"

/* Lines below `level` are dropped; nothing is a line of LF_LOG_OFF. Starts at LF_LOG_INFO. */
void lf_log_set_level(enum lf_log_level level);
/* Starts at LF_LOG_TEXT. */
void lf_log_set_format(enum lf_log_format format);
/* One line, whatever it quotes: control characters are escaped (lf_utf8_printable). */
void lf_log(enum lf_log_level level, const char *room, const char *fmt, ...) LF_PRINTF(3, 4);

/* What a program may look for in a line. */
struct lf_log_field {
    const char *name;  /* [a-z_] */
    const char *value; /* NULL: the field is left out */
    bool is_number;    /* the value is one, as JSON has them */
};
/* The same with fields (n); those that do not fit are left out. */
void lf_log_fields(enum lf_log_level level, const char *room, const struct lf_log_field *fields,
                   size_t n, const char *fmt, ...) LF_PRINTF(5, 6);

#endif
