/* The HTTP server: listening sockets, and each connection's requests up to a handler and back. */
#ifndef LF_DAEMON_HTTP_SERVER_H
#define LF_DAEMON_HTTP_SERVER_H

#include "daemon/daemon.h"
#include "daemon/http/http.h"

struct lf_http_server;

/* Listens on what d's options say; at: where that is. routes (n) are borrowed. Yours,
 * lf_http_server_stop. */
enum lf_err lf_http_server_start(struct lf_http_server **out, struct lf_daemon *d,
                                 const struct lf_route *routes, size_t n,
                                 struct lf_daemon_address *at, struct lf_diag *diag) LF_MUST_CHECK;
/* Reads the certificate and its key anew: for connections from now on. A pair that is none changes
 * nothing. One call at a time. */
enum lf_err lf_http_server_reload(struct lf_http_server *s, struct lf_diag *diag) LF_MUST_CHECK;
/* No new connections; those that are open go on. */
void lf_http_server_quiesce(struct lf_http_server *s);
/* Waits for the connections' threads to end: all handlers must be on their way out. Frees. */
void lf_http_server_stop(struct lf_http_server *s);

#endif
