/* Sockets that listen. */
#ifndef LF_DAEMON_HTTP_LISTEN_H
#define LF_DAEMON_HTTP_LISTEN_H

#include "core/err.h"

/* address: "ADDR:PORT", "[ADDR]:PORT", ":PORT" for all addresses, "PORT" for this machine alone;
 * port 0 is any free one. bound: where it listens now. LF_E_BUSY where another process does. */
enum lf_err lf_listen_tcp(int *out, const char *address, char *bound, size_t cap,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* Mode 0600. A socket file left by a killed daemon is replaced; LF_E_BUSY where one answers. */
enum lf_err lf_listen_unix(int *out, const char *path, struct lf_diag *diag) LF_MUST_CHECK;

#endif
