/* Certificates. */
#include "daemon/http/tls.h"

#include "core/file.h"
#include "core/log.h"
#include "daemon/limits.h"

#include <string.h>
#include <sys/stat.h>

enum lf_err lf_tls_files_read(struct lf_tls_files *out, const struct lf_daemon_options *o,
                              struct lf_diag *diag)
{
    struct stat st;
    lf_buf_init(&out->cert, LF_PEM_BYTES_MAX);
    lf_buf_init(&out->key, LF_PEM_BYTES_MAX);
    if (!o->tls_cert || !o->tls_key)
        return lf_fail(diag, LF_E_INVALID, "--tls-cert and --tls-key go together");
    if (stat(o->tls_key, &st) == 0 && (st.st_mode & 077) != 0)
        lf_log(LF_LOG_WARN, "http", "%s: others may read the key", o->tls_key);
    enum lf_err rc = lf_file_read(&out->cert, o->tls_cert, LF_PEM_BYTES_MAX, diag);
    rc = rc ?: lf_file_read(&out->key, o->tls_key, LF_PEM_BYTES_MAX, diag);
    return rc;
}

void lf_tls_files_free(struct lf_tls_files *f)
{
    if (f->key.data)
        explicit_bzero(f->key.data, f->key.len);
    lf_buf_free(&f->cert);
    lf_buf_free(&f->key);
}
