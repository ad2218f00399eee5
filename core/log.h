/* The program's own log: one line on stderr, `2026-11-23T10:11:12.345Z level room: text`.
 * Borders log; libraries return errors. Any thread; a line is never torn. */
#ifndef LF_CORE_LOG_H
#define LF_CORE_LOG_H

#include "core/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum lf_log_level { LF_LOG_DEBUG, LF_LOG_INFO, LF_LOG_WARN, LF_LOG_ERROR };

/* Lines below `level` are dropped. Starts at LF_LOG_INFO. */
void lf_log_set_level(enum lf_log_level level);
/* One line, whatever it quotes: control characters are escaped (lf_utf8_printable). */
void lf_log(enum lf_log_level level, const char *room, const char *fmt, ...) LF_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
