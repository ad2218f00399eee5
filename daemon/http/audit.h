/* The audit log, DATA/audit.jsonl: a line of JSON of every change that was asked for, and of every
 * one that was refused: "time", "who", "what", "status", "request_id", and the first bytes of a
 * small body as "said". It is appended to and never read; over a ceiling it starts anew, and the
 * one before is kept beside it. Any thread. */
#ifndef LF_DAEMON_HTTP_AUDIT_H
#define LF_DAEMON_HTTP_AUDIT_H

#include "core/err.h"

#include <jansson.h>

struct lf_audit;
struct lf_http;

/* Of a data directory. Yours, lf_audit_close. */
enum lf_err lf_audit_open(struct lf_audit **out, const char *data_dir,
                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_audit_close(struct lf_audit *a);
/* A line: the members of j (taken; NULL: memory was out) after the time. What cannot be written is
 * said in the daemon's log. */
void lf_audit_write(struct lf_audit *a, json_t *j);
/* A request that is over, where it was a change. */
void lf_audit_request(struct lf_audit *a, struct lf_http *q);

#endif
