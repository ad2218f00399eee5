/* A file's bytes as text in UTF-8, read as a stream: what gzip or zstd packed is unpacked, UTF-16
 * becomes UTF-8, a byte order mark is left out. Bounded in what it reads and in how much a packed
 * file may grow; hashed on the way. One thread at a time. */
#ifndef LF_CONTAINER_SOURCE_H
#define LF_CONTAINER_SOURCE_H

#include "core/buf.h"
#include "core/err.h"
#include "core/file.h"

#include <stdbool.h>
#include <stdint.h>

/* How much was read of a packed file, and made of it. */
struct lf_growth {
    uint64_t packed, unpacked;
};
/* Counts n more bytes; LF_E_TOO_BIG past LF_DATASET_BYTES_MAX, and where a small file grows beyond
 * what rows do: it is made to fill a disk or a memory. */
enum lf_err lf_growth_add(struct lf_growth *g, uint64_t n, struct lf_diag *diag) LF_MUST_CHECK;

enum lf_source_packing { LF_SOURCE_BARE, LF_SOURCE_GZIP, LF_SOURCE_ZSTD };
enum lf_source_encoding { LF_SOURCE_UTF8, LF_SOURCE_UTF16LE, LF_SOURCE_UTF16BE };

struct lf_source {
    const char *path; /* borrowed */
    int fd;
    struct lf_sha256 *hash;
    struct lf_growth growth;
    enum lf_source_packing packing;
    enum lf_source_encoding encoding;
    bool begun;  /* packing and encoding are known */
    bool at_end; /* nothing comes any more */
    /* Packed bytes, of which in_at were used, and what unpacks them (z_stream, ZSTD_DStream) */
    struct lf_buf in;
    size_t in_at;
    bool in_end;     /* of the file */
    bool more;       /* the unpacker may have more to give without more to read */
    bool member_end; /* what was unpacked last ends a member or frame */
    void *unpacker;
    struct lf_buf text; /* unpacked; the beginning of a character may be left over */
    bool text_end;
};

/* Close with lf_source_close, also after a failure. */
enum lf_err lf_source_open(struct lf_source *s, const char *path,
                           struct lf_diag *diag) LF_MUST_CHECK;
void lf_source_close(struct lf_source *s);
/* Appends some more text to `out`; s->at_end where there is none. Reasons do not name the path. */
enum lf_err lf_source_read(struct lf_source *s, struct lf_buf *out,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* At the end: SHA-256 over the file's bytes, as they are stored. */
void lf_source_sha256(struct lf_source *s, char out[LF_SHA256_HEX]);

#endif
