/* Parquet's delta encodings and split bytes. */
#include "container/parquet_values.h"

#include "container/limits.h"

#include <string.h>

enum delta_encoding { DELTA_NUMBERS = 5, DELTA_LENGTHS = 6, DELTA_STRINGS = 7, SPLIT_BYTES = 9 };

/* Differences in blocks: each has its least one, and "miniblocks" of what is over that, in so many
 * bits each. */
struct delta {
    const unsigned char *at, *end;
    uint64_t left; /* numbers that are still to come */
    uint64_t value, least;
    uint64_t n_minis, mini_n; /* miniblocks of a block, numbers of a miniblock */
    uint64_t mini, at_number; /* of the block; of the miniblock */
    const unsigned char *widths, *body;
    bool begun, bad;
};

static uint64_t varint(struct delta *d)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (d->at == d->end)
            break;
        v |= shift < 64 ? (uint64_t)(*d->at & 0x7f) << shift : 0;
        if (!(*d->at++ & 0x80))
            return v;
    }
    d->bad = true;
    return 0;
}

static uint64_t zigzag(struct delta *d)
{
    uint64_t v = varint(d);
    return v >> 1 ^ (0 - (v & 1));
}

static bool open_delta(struct delta *d, const unsigned char *at, const unsigned char *end,
                       int64_t n_max)
{
    *d = (struct delta){.at = at, .end = end};
    uint64_t block = varint(d);
    d->n_minis = varint(d);
    d->left = varint(d);
    d->value = zigzag(d);
    d->bad = d->bad || d->n_minis == 0 || block > LF_PARQUET_BLOCK_MAX || block % d->n_minis != 0 ||
             block / d->n_minis % 8 != 0 || d->left > (uint64_t)n_max;
    d->mini_n = d->bad ? 0 : block / d->n_minis;
    d->bad = d->bad || d->mini_n == 0;
    d->mini = d->n_minis; /* a block begins */
    d->at_number = d->mini_n;
    return !d->bad;
}

/* The next miniblock, of the next block where this one is over. */
static bool open_mini(struct delta *d)
{
    if (d->mini == d->n_minis) {
        d->least = zigzag(d);
        if (d->bad || (uint64_t)(d->end - d->at) < d->n_minis)
            return false;
        d->widths = d->at;
        d->at += d->n_minis;
        d->mini = 0;
    }
    uint64_t bytes = d->mini_n / 8 * d->widths[d->mini];
    if (d->widths[d->mini] > 64 || bytes > (uint64_t)(d->end - d->at))
        return false;
    d->mini++;
    d->body = d->at;
    d->at += bytes;
    d->at_number = 0;
    return true;
}

/* `width` bits from the bit-th on, the lowest first. */
static uint64_t bits_at(const unsigned char *p, uint64_t bit, unsigned width)
{
    uint64_t v = 0;
    unsigned have = 0;
    p += bit / 8;
    if (width > 0) {
        v = *p++ >> bit % 8;
        have = 8 - (unsigned)(bit % 8);
    }
    for (; have < width; have += 8)
        v |= (uint64_t)*p++ << have;
    return width < 64 ? v & (((uint64_t)1 << width) - 1) : v;
}

/* False: there is no other, or (d->bad) it is damaged. */
static bool next_number(struct delta *d, uint64_t *out)
{
    if (d->left == 0)
        return false;
    if (d->begun) {
        if (d->at_number == d->mini_n && !open_mini(d)) {
            d->bad = true;
            return false;
        }
        unsigned width = d->widths[d->mini - 1];
        d->value += d->least + bits_at(d->body, d->at_number++ * width, width);
    }
    d->begun = true;
    d->left--;
    *out = d->value;
    return true;
}

static void put_u32(struct lf_buf *out, uint64_t n)
{
    const unsigned char bytes[] = {(unsigned char)n, (unsigned char)(n >> 8),
                                   (unsigned char)(n >> 16), (unsigned char)(n >> 24)};
    (void)!lf_buf_append(out, bytes, sizeof bytes);
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static bool numbers(struct lf_buf *out, enum lf_pq_type type, struct delta *d)
{
    uint64_t v;
    if (type != LF_PQ_INT32 && type != LF_PQ_INT64)
        return false;
    while (out->rc == LF_OK && next_number(d, &v)) {
        put_u32(out, v);
        if (type == LF_PQ_INT64)
            put_u32(out, v >> 32);
    }
    return !d->bad;
}

/* ---- Byte strings ---------------------------------------------------------------------------- */

/* Past all the numbers: where what comes after them begins. */
static const unsigned char *end_of(struct delta d)
{
    uint64_t v;
    while (next_number(&d, &v))
        ;
    return d.bad ? NULL : d.at;
}

/* Lengths, then all the strings. With `shared`: each begins with so many bytes of the one before
 * it. */
static bool strings(struct lf_buf *out, struct delta *lengths, struct delta *shared)
{
    const unsigned char *at = end_of(*lengths), *end = lengths->end;
    lf_buf_auto last = {.max = out->max};
    uint64_t n, common = 0;
    while (at && out->rc == LF_OK && next_number(lengths, &n)) {
        if ((shared && !next_number(shared, &common)) || n > (uint64_t)(end - at) ||
            common > last.len)
            return false;
        last.len = common;
        (void)!lf_buf_append(&last, at, n);
        put_u32(out, last.len);
        (void)!lf_buf_append(out, lf_buf_str(&last), last.len);
        out->rc = out->rc ?: last.rc;
        at += n;
    }
    return at && !lengths->bad;
}

/* ---- Split bytes ----------------------------------------------------------------------------- */

/* The first bytes of all values, then the second ones, and so on. */
static bool join(struct lf_buf *out, size_t width, const unsigned char *at,
                 const unsigned char *end)
{
    size_t n = (size_t)(end - at) / width;
    if (n * width != (size_t)(end - at))
        return false;
    for (size_t i = 0; i < n && out->rc == LF_OK; i++)
        for (size_t k = 0; k < width; k++)
            (void)!lf_buf_putc(out, (char)at[k * n + i]);
    return true;
}

/* ---- All ------------------------------------------------------------------------------------- */

static enum lf_err unknown(int64_t encoding, struct lf_diag *diag)
{
    static const char *const names[] = {
        "PLAIN",          "GROUP_VAR_INT",       "PLAIN_DICTIONARY",        "RLE",
        "BIT_PACKED",     "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY",
        "RLE_DICTIONARY", "BYTE_STREAM_SPLIT"};
    bool known = encoding >= 0 && encoding < (int64_t)(sizeof names / sizeof *names);
    return lf_fail(diag, LF_E_UNSUPPORTED, "its values are encoded as %s: that is not read here",
                   known ? names[encoding] : "what is not known");
}

static bool make_plain(struct lf_buf *out, int64_t encoding, enum lf_pq_type type,
                       const unsigned char *at, const unsigned char *end, int64_t n_max)
{
    struct delta first, second;
    if (encoding == SPLIT_BYTES)
        return join(out, type == LF_PQ_INT64 || type == LF_PQ_DOUBLE ? 8 : 4, at, end);
    if (!open_delta(&first, at, end, n_max))
        return at == end; /* all are null */
    if (encoding == DELTA_NUMBERS)
        return numbers(out, type, &first);
    if (encoding == DELTA_LENGTHS)
        return strings(out, &first, NULL);
    const unsigned char *rest = end_of(first);
    return rest && open_delta(&second, rest, end, n_max) && strings(out, &second, &first);
}

enum lf_err lf_pq_plain(struct lf_buf *out, int64_t encoding, enum lf_pq_type type,
                        const unsigned char *at, const unsigned char *end, int64_t n_max,
                        struct lf_diag *diag)
{
    bool number = type == LF_PQ_INT32 || type == LF_PQ_INT64;
    bool real = type == LF_PQ_FLOAT || type == LF_PQ_DOUBLE;
    bool done = encoding == DELTA_NUMBERS   ? number
                : encoding == SPLIT_BYTES   ? number || real
                : encoding == DELTA_LENGTHS ? type == LF_PQ_BYTES
                                            : encoding == DELTA_STRINGS && type == LF_PQ_BYTES;
    if (!done)
        return unknown(encoding, diag);
    bool good = make_plain(out, encoding, type, at, end, n_max);
    if (out->rc != LF_OK)
        return lf_fail(diag, out->rc, "a page of more than %zu bytes is too large", out->max);
    return good ? LF_OK : lf_fail(diag, LF_E_INVALID, "a damaged page: its values");
}
