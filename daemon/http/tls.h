/* The certificate and its key, as they lie on the disk. */
#ifndef LF_DAEMON_HTTP_TLS_H
#define LF_DAEMON_HTTP_TLS_H

#include "core/buf.h"
#include "daemon/daemon.h"

struct lf_tls_files {
    struct lf_buf cert, key; /* PEM */
};

/* Of o->tls_cert and o->tls_key. Free with lf_tls_files_free, also after a failure. */
enum lf_err lf_tls_files_read(struct lf_tls_files *out, const struct lf_daemon_options *o,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* The key is wiped. */
void lf_tls_files_free(struct lf_tls_files *f);

#endif
