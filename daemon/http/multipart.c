/* Forms with files, by libmicrohttpd's reader of them. */
#include "daemon/http/multipart.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define READER_BYTES 4096 /* a part's head has to fit */
#define MEDIA_TYPE "multipart/form-data"

struct lf_multipart {
    struct MHD_PostProcessor *reader;
    lf_multipart_fn take;
    void *arg;
    enum lf_err rc; /* take's */
    struct lf_diag why;
};

static enum MHD_Result on_part(void *arg, enum MHD_ValueKind kind, const char *field,
                               const char *filename, const char *media_type, const char *coding,
                               const char *data, uint64_t off, size_t n)
{
    struct lf_multipart *m = arg;
    (void)kind;
    (void)media_type;
    (void)coding;
    const struct lf_part part = {field ? field : "", filename, off == 0, data, n};
    m->rc = m->rc ?: m->take(m->arg, &part, &m->why);
    return m->rc == LF_OK ? MHD_YES : MHD_NO;
}

enum lf_err lf_multipart_new(struct lf_multipart **out, struct lf_http *q, lf_multipart_fn take,
                             void *arg, struct lf_diag *diag)
{
    const char *type = lf_http_header(q, "Content-Type");
    struct lf_multipart *m = NULL;
    if (type && strncasecmp(type, MEDIA_TYPE, strlen(MEDIA_TYPE)) == 0) {
        m = calloc(1, sizeof *m);
        if (!m)
            return lf_no_memory(diag, "a form");
        *m = (struct lf_multipart){.take = take, .arg = arg};
        m->reader = MHD_create_post_processor(q->conn, READER_BYTES, on_part, m);
    }
    if (!m || !m->reader) {
        free(m);
        return lf_fail(diag, LF_E_INVALID, "the body must be " MEDIA_TYPE " with a boundary");
    }
    *out = m;
    return LF_OK;
}

enum lf_err lf_multipart_write(struct lf_multipart *m, const void *data, size_t n,
                               struct lf_diag *diag)
{
    if (MHD_post_process(m->reader, data, n) == MHD_YES && m->rc == LF_OK)
        return LF_OK;
    if (m->rc != LF_OK)
        return lf_fail(diag, m->rc, "%s", m->why.text);
    return lf_fail(diag, LF_E_INVALID, "the body is no form: a part of it cannot be read");
}

enum lf_err lf_multipart_end(struct lf_multipart *m, struct lf_diag *diag)
{
    enum MHD_Result whole = MHD_destroy_post_processor(m->reader);
    m->reader = NULL;
    return whole == MHD_YES ? LF_OK
                            : lf_fail(diag, LF_E_INVALID, "the body breaks off within a part");
}

void lf_multipart_free(struct lf_multipart *m)
{
    if (m && m->reader)
        MHD_destroy_post_processor(m->reader);
    free(m);
}
