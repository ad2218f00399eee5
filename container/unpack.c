/* Packed bodies, by zlib. */
#include "container/unpack.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#define PIECE_BYTES 65536
#define ANY_WRAPPER (15 + 32) /* zlib's or gzip's, by its first bytes; the largest window */

struct lf_unpack {
    z_stream z;
    bool begun, ended; /* a member of the stream */
    char piece[PIECE_BYTES];
};

enum lf_err lf_unpack_new(struct lf_unpack **out, const char *coding, struct lf_diag *diag)
{
    *out = NULL;
    if (!coding || strcasecmp(coding, "identity") == 0)
        return LF_OK;
    if (strcasecmp(coding, "gzip") != 0 && strcasecmp(coding, "x-gzip") != 0 &&
        strcasecmp(coding, "deflate") != 0)
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "Content-Encoding \"%.40s\" is not done here: gzip or deflate", coding);
    struct lf_unpack *u = calloc(1, sizeof *u);
    if (!u || inflateInit2(&u->z, ANY_WRAPPER) != Z_OK) {
        free(u);
        return lf_no_memory(diag, "a packed body");
    }
    *out = u;
    return LF_OK;
}

void lf_unpack_free(struct lf_unpack *u)
{
    if (u)
        inflateEnd(&u->z);
    free(u);
}

/* One piece more; what it takes of the input is gone from u->z. */
static enum lf_err step(struct lf_unpack *u, lf_unpack_take take, void *arg, struct lf_diag *diag)
{
    if (u->ended && inflateReset(&u->z) != Z_OK) /* gzip members may follow each other */
        return lf_fail(diag, LF_E_INVALID, "the body cannot be unpacked");
    u->begun = true;
    u->ended = false;
    u->z.next_out = (Bytef *)u->piece;
    u->z.avail_out = PIECE_BYTES;
    int rc = inflate(&u->z, Z_NO_FLUSH);
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return lf_fail(diag, rc == Z_MEM_ERROR ? LF_E_NO_MEMORY : LF_E_INVALID,
                       "the body cannot be unpacked: %s", u->z.msg ? u->z.msg : "it is damaged");
    u->ended = rc == Z_STREAM_END;
    size_t n = PIECE_BYTES - u->z.avail_out;
    return n > 0 ? take(arg, u->piece, n, diag) : LF_OK;
}

enum lf_err lf_unpack_write(struct lf_unpack *u, const char *data, size_t n, lf_unpack_take take,
                            void *arg, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    u->z.next_in = (Bytef *)(uintptr_t)data;
    u->z.avail_in = (uInt)n;
    do
        rc = step(u, take, arg, diag);
    while (rc == LF_OK && (u->z.avail_in > 0 || (!u->ended && u->z.avail_out == 0)));
    return rc;
}

enum lf_err lf_unpack_end(const struct lf_unpack *u, struct lf_diag *diag)
{
    return u->begun && !u->ended ? lf_fail(diag, LF_E_INVALID, "the packed body breaks off")
                                 : LF_OK;
}
