/* Who may ask what: by key, by who is at the other end of a unix socket, and, where there are no
 * keys, by what a browser says of the page that asks. */
#ifndef LF_DAEMON_HTTP_ADMIT_H
#define LF_DAEMON_HTTP_ADMIT_H

#include "daemon/http/http.h"

/* A request whose route is known. LF_E_DENIED: 401 for who is not known, 403 for who may not;
 * LF_E_OVERLOADED: the key has its share for now. */
enum lf_err lf_admit(struct lf_http *q, struct lf_diag *diag) LF_MUST_CHECK;
/* It is over. */
void lf_admit_leave(struct lf_http *q);
/* For the audit log: "key:NAME", "uid:1000", "anyone". Static, or as long as the request. */
const char *lf_admit_who(struct lf_http *q, char out[LF_NAME_MAX + 8]);

#endif
