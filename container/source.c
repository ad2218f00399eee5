/* Files unpacked and made UTF-8. */
#include "container/source.h"

#include "container/limits.h"
#include "core/foreign.h"
#include "core/limits.h"
#include "core/utf8.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define CHUNK ((size_t)1 << 16)
#define SNIFF 512 /* bytes of text that show what it is */

enum lf_err lf_growth_add(struct lf_growth *g, uint64_t n, struct lf_diag *diag)
{
    g->unpacked += n;
    if (g->unpacked > LF_DATASET_BYTES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "it unpacks to more than %llu bytes",
                       (unsigned long long)LF_DATASET_BYTES_MAX);
    if (g->unpacked > LF_UNPACKED_FREE_MAX && g->unpacked / LF_UNPACKED_TIMES_MAX > g->packed)
        return lf_fail(diag, LF_E_TOO_BIG, "it unpacks to more than %d times its size",
                       LF_UNPACKED_TIMES_MAX);
    return LF_OK;
}

enum lf_err lf_source_open(struct lf_source *s, const char *path, struct lf_diag *diag)
{
    *s = (struct lf_source){.path = path, .fd = -1};
    lf_buf_init(&s->text, 4 * CHUNK);
    lf_buf_init(&s->in, CHUNK);
    s->hash = lf_sha256_begin();
    if (!s->hash)
        return lf_fail(diag, LF_E_NO_MEMORY, "%s: no memory to read it", path);
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        return lf_fail_errno(diag, errno, "%s", path);
    return LF_OK;
}

static void unpacker_free(struct lf_source *s)
{
    if (s->unpacker && s->packing == LF_SOURCE_GZIP)
        inflateEnd(s->unpacker);
    if (s->unpacker && s->packing == LF_SOURCE_ZSTD)
        ZSTD_freeDStream(s->unpacker);
    else
        free(s->unpacker);
    s->unpacker = NULL;
}

void lf_source_close(struct lf_source *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    unpacker_free(s);
    lf_buf_free(&s->text);
    lf_buf_free(&s->in);
    lf_sha256_end(s->hash, NULL);
    s->hash = NULL;
}

void lf_source_sha256(struct lf_source *s, char out[LF_SHA256_HEX])
{
    lf_sha256_end(s->hash, out);
    s->hash = NULL;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

/* The file's next bytes into s->in, of which all was used. */
static enum lf_err fill(struct lf_source *s, struct lf_diag *diag)
{
    char chunk[CHUNK];
    ssize_t k;
    do
        k = read(s->fd, chunk, CHUNK);
    while (k < 0 && errno == EINTR);
    if (k < 0)
        return lf_fail_errno(diag, errno, "%s", s->path);
    s->growth.packed += (uint64_t)k;
    if (s->growth.packed > LF_DATASET_BYTES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "%s: larger than %llu bytes", s->path,
                       (unsigned long long)LF_DATASET_BYTES_MAX);
    lf_sha256_add(s->hash, chunk, (size_t)k);
    s->in_end = k == 0;
    s->in_at = 0;
    lf_buf_reset(&s->in);
    if (lf_buf_append(&s->in, chunk, (size_t)k) != LF_OK)
        return lf_fail(diag, s->in.rc, "%s: no memory to read it", s->path);
    return LF_OK;
}

/* How the file is packed, by its first bytes. */
static enum lf_err find_packing(struct lf_source *s, const char *bytes, size_t n,
                                struct lf_diag *diag)
{
    if (n >= 2 && memcmp(bytes, "\x1f\x8b", 2) == 0) {
        z_stream *z = calloc(1, sizeof *z);
        if (!z || inflateInit2(z, 15 + 16) != Z_OK) {
            free(z);
            return lf_fail(diag, LF_E_NO_MEMORY, "no memory to unpack it");
        }
        s->unpacker = z;
        s->packing = LF_SOURCE_GZIP;
    } else if (n >= 4 && memcmp(bytes, "\x28\xb5\x2f\xfd", 4) == 0) {
        s->unpacker = ZSTD_createDStream();
        s->packing = LF_SOURCE_ZSTD;
        if (!s->unpacker)
            return lf_fail(diag, LF_E_NO_MEMORY, "no memory to unpack it");
    }
    return LF_OK;
}

/* What comes of some more packed bytes; *used of the n are done with. */
static enum lf_err inflate_some(struct lf_source *s, const char *in, size_t n, size_t *used,
                                char *out, size_t *made, struct lf_diag *diag)
{
    z_stream *z = s->unpacker;
    if (s->member_end && n > 0) {
        if (in[0] == '\0') { /* tapes and some tools fill up with zeros */
            *used = 1;
            *made = 0;
            return LF_OK;
        }
        inflateReset(z);
    }
    z->next_in = (Bytef *)(uintptr_t)in;
    z->avail_in = (uInt)n;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)*made;
    int rc = inflate(z, Z_NO_FLUSH);
    if (rc == Z_MEM_ERROR)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory to unpack it");
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return lf_fail(diag, LF_E_INVALID, "it is no whole gzip file: %s",
                       z->msg ? z->msg : zError(rc));
    s->member_end = rc == Z_STREAM_END;
    *used = n - z->avail_in;
    *made -= z->avail_out;
    return LF_OK;
}

static enum lf_err unzstd_some(struct lf_source *s, const char *in, size_t n, size_t *used,
                               char *out, size_t *made, struct lf_diag *diag)
{
    ZSTD_inBuffer from = {in, n, 0};
    ZSTD_outBuffer to = {out, *made, 0};
    size_t rc = ZSTD_decompressStream(s->unpacker, &to, &from);
    if (ZSTD_isError(rc))
        return lf_fail(diag, LF_E_INVALID, "it is no whole zstd file: %s", ZSTD_getErrorName(rc));
    s->member_end = rc == 0;
    *used = from.pos;
    *made = to.pos;
    return LF_OK;
}

/* The next piece of the file, unpacked, at most CHUNK bytes; *n 0 at its end. */
static enum lf_err next_piece(struct lf_source *s, char *piece, size_t *n, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    *n = 0;
    while (rc == LF_OK && *n == 0) {
        if (s->in_at == s->in.len && !s->more && !s->in_end)
            rc = fill(s, diag);
        size_t used = 0, made = CHUNK;
        const char *in = s->in.data + s->in_at;
        if (rc == LF_OK && s->in_at == s->in.len && !s->more) {
            if (!s->member_end)
                rc = lf_fail(diag, LF_E_INVALID, "it is cut off: its %s data do not end",
                             s->packing == LF_SOURCE_GZIP ? "gzip" : "zstd");
            return rc;
        }
        if (rc == LF_OK)
            rc = s->packing == LF_SOURCE_GZIP
                     ? inflate_some(s, in, s->in.len - s->in_at, &used, piece, &made, diag)
                     : unzstd_some(s, in, s->in.len - s->in_at, &used, piece, &made, diag);
        if (rc == LF_OK) {
            s->in_at += used;
            s->more = made == CHUNK;
            *n = made;
            rc = lf_growth_add(&s->growth, made, diag);
        }
    }
    return rc;
}

/* ---- Text ------------------------------------------------------------------------------------ */

/* What kind of file it is, by its first bytes, which are in s->in. */
static enum lf_err begin_packing(struct lf_source *s, struct lf_diag *diag)
{
    enum lf_err rc = fill(s, diag);
    rc = rc ?: find_packing(s, s->in.data, s->in.len, diag);
    return rc;
}

/* Some more of the file's text, not converted yet, behind what is left in s->text. */
static enum lf_err more_text(struct lf_source *s, struct lf_diag *diag)
{
    char piece[CHUNK];
    size_t n;
    enum lf_err rc = LF_OK;
    if (s->packing == LF_SOURCE_BARE) {
        if (s->in_at == s->in.len)
            rc = fill(s, diag);
        if (rc != LF_OK)
            return rc;
        n = s->in.len - s->in_at;
        lf_buf_append(&s->text, s->in.data + s->in_at, n);
        s->in_at = s->in.len;
    } else {
        rc = next_piece(s, piece, &n, diag);
        if (rc != LF_OK)
            return rc;
        lf_buf_append(&s->text, piece, n);
    }
    s->text_end = n == 0;
    return s->text.rc == LF_OK ? LF_OK : lf_fail(diag, s->text.rc, "no memory to read it");
}

static bool is_ascii(char c)
{
    return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t';
}

/* UTF-16 without a mark: no other text has a NUL beside each of its first two characters. */
static enum lf_source_encoding unmarked(const char *t, size_t n)
{
    if (n < 4)
        return LF_SOURCE_UTF8;
    if (is_ascii(t[0]) && !t[1] && is_ascii(t[2]) && !t[3])
        return LF_SOURCE_UTF16LE;
    return !t[0] && is_ascii(t[1]) && !t[2] && is_ascii(t[3]) ? LF_SOURCE_UTF16BE : LF_SOURCE_UTF8;
}

/* The first bytes of the text say how it is encoded; what is no text is called what it is. */
static enum lf_err find_encoding(struct lf_source *s, struct lf_diag *diag)
{
    const char *t = lf_buf_str(&s->text);
    size_t n = s->text.len, mark = 0;
    if (n >= 4 && (memcmp(t, "\xff\xfe\0\0", 4) == 0 || memcmp(t, "\0\0\xfe\xff", 4) == 0))
        return lf_fail(diag, LF_E_UNSUPPORTED, "it is UTF-32 text: save it as UTF-8");
    if (n >= 2 && memcmp(t, "\xff\xfe", 2) == 0)
        s->encoding = LF_SOURCE_UTF16LE;
    else if (n >= 2 && memcmp(t, "\xfe\xff", 2) == 0)
        s->encoding = LF_SOURCE_UTF16BE;
    if (s->encoding != LF_SOURCE_UTF8)
        mark = 2;
    else if (n >= 3 && memcmp(t, "\xef\xbb\xbf", 3) == 0)
        mark = 3;
    else if (unmarked(t, n) != LF_SOURCE_UTF8)
        s->encoding = unmarked(t, n);
    else if (lf_foreign_check(t, n, diag) != LF_OK)
        return LF_E_UNSUPPORTED;
    lf_buf_drop_front(&s->text, mark);
    return LF_OK;
}

static uint32_t unit_at(const struct lf_source *s, size_t i)
{
    const unsigned char *t = (const unsigned char *)s->text.data + i;
    return s->encoding == LF_SOURCE_UTF16LE ? t[0] | (uint32_t)t[1] << 8
                                            : t[1] | (uint32_t)t[0] << 8;
}

/* Whole characters of s->text become UTF-8; of one that is cut, the beginning is left there. */
static enum lf_err convert(struct lf_source *s, struct lf_buf *out, struct lf_diag *diag)
{
    size_t i = 0;
    char utf8[4];
    while (i + 2 <= s->text.len) {
        uint32_t c = unit_at(s, i), low;
        bool high = c >= 0xd800 && c < 0xdc00;
        if (high && i + 4 > s->text.len)
            break;
        low = high ? unit_at(s, i + 2) : 0;
        if ((c >= 0xdc00 && c < 0xe000) || (high && (low < 0xdc00 || low > 0xdfff)))
            return lf_fail(diag, LF_E_INVALID, "it is no whole UTF-16: half of a character");
        if (high)
            c = 0x10000u + ((c - 0xd800) << 10) + (low - 0xdc00);
        lf_buf_append(out, utf8, lf_utf8_put(utf8, c));
        i += high ? 4 : 2;
    }
    lf_buf_drop_front(&s->text, i);
    if (s->text_end && s->text.len > 0)
        return lf_fail(diag, LF_E_INVALID, "it is no whole UTF-16: it ends within a character");
    return LF_OK;
}

enum lf_err lf_source_read(struct lf_source *s, struct lf_buf *out, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    if (!s->begun) {
        rc = begin_packing(s, diag);
        while (rc == LF_OK && s->text.len < SNIFF && !s->text_end)
            rc = more_text(s, diag);
        rc = rc ?: find_encoding(s, diag);
        s->begun = rc == LF_OK;
    } else if (!s->text_end) {
        rc = more_text(s, diag);
    }
    if (rc == LF_OK && s->encoding != LF_SOURCE_UTF8) {
        rc = convert(s, out, diag);
    } else if (rc == LF_OK) {
        lf_buf_append(out, lf_buf_str(&s->text), s->text.len);
        lf_buf_reset(&s->text);
    }
    if (rc == LF_OK && out->rc != LF_OK)
        rc = lf_fail(diag, out->rc, "%s: no memory to read it", s->path);
    s->at_end = s->text_end;
    return rc;
}
