/* Parquet's pages. */
#include "container/parquet_column.h"

#include "container/limits.h"
#include "container/parquet_values.h"
#include "container/thrift.h"
#include "core/budget.h"

#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum page_type { PAGE_DATA, PAGE_INDEX, PAGE_DICTIONARY, PAGE_DATA_2 };
enum encoding { ENC_PLAIN = 0, ENC_PLAIN_DICTIONARY = 2, ENC_RLE = 3, ENC_RLE_DICTIONARY = 8 };

static enum lf_err damaged(const char *what, struct lf_diag *diag)
{
    return lf_fail(diag, LF_E_INVALID, "a damaged page: %s", what);
}

static uint32_t u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static bool next_run(struct lf_pq_runs *r)
{
    uint64_t head = 0;
    int shift = 0;
    do {
        if (r->at == r->end || shift > 28)
            return false;
        head |= (uint64_t)(*r->at & 0x7f) << shift;
        shift += 7;
    } while (*r->at++ & 0x80);
    size_t room = (size_t)(r->end - r->at), bytes = ((size_t)r->width + 7) / 8;
    r->packed = head & 1;
    r->left = head >> 1;
    if (r->packed) {
        bytes = (size_t)r->left * (size_t)r->width; /* groups of 8 */
        r->left *= 8;
        if (bytes > room) { /* some writers leave out the last group's padding */
            bytes = room;
            r->left = r->width ? (uint64_t)bytes * 8 / (uint64_t)r->width : r->left;
        }
        r->run = r->at;
        r->bit = 0;
    } else {
        if (bytes > room)
            return false;
        r->value = 0;
        for (size_t i = 0; i < bytes; i++)
            r->value |= (uint32_t)r->at[i] << 8 * i;
    }
    r->at += bytes;
    return true;
}

static bool next_number(struct lf_pq_runs *r, uint32_t *out)
{
    while (r->left == 0)
        if (!next_run(r))
            return false;
    r->left--;
    if (!r->packed) {
        *out = r->value;
        return true;
    }
    uint64_t bits = 0, first = r->bit / 8;
    size_t bytes = (r->bit % 8 + (uint64_t)r->width + 7) / 8;
    for (size_t i = 0; i < bytes; i++)
        bits |= (uint64_t)r->run[first + i] << 8 * i;
    *out = (uint32_t)(bits >> r->bit % 8 & (((uint64_t)1 << r->width) - 1));
    r->bit += (uint64_t)r->width;
    return true;
}

static int bits_of(int max)
{
    int n = 0;
    while (max >> n)
        n++;
    return n;
}

/* ---- Unpacking ------------------------------------------------------------------------------- */

static bool inflate_all(unsigned char *out, size_t n, const unsigned char *in, size_t packed)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in,
                  .avail_in = (uInt)packed,
                  .next_out = out,
                  .avail_out = (uInt)n};
    if (inflateInit2(&z, 15 + 32) != Z_OK)
        return false;
    int rc = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return rc == Z_STREAM_END && z.avail_out == 0;
}

static bool unpack(enum lf_pq_codec codec, unsigned char *out, size_t n, const unsigned char *in,
                   size_t packed)
{
    size_t made = 0;
    switch (codec) {
    case LF_PQ_BARE:
        if (packed == n && n > 0)
            memcpy(out, in, n);
        return packed == n;
    case LF_PQ_SNAPPY:
        made = n;
        return snappy_uncompressed_length((const char *)in, packed, &made) == SNAPPY_OK &&
               made == n &&
               snappy_uncompress((const char *)in, packed, (char *)out, &made) == SNAPPY_OK;
    case LF_PQ_GZIP:
        return inflate_all(out, n, in, packed);
    case LF_PQ_ZSTD:
        return ZSTD_decompress(out, n, in, packed) == n;
    }
    return false;
}

/* For n bytes more, of a page or of what is made of it. */
static enum lf_err take_room(struct lf_pq_held *held, uint64_t n, struct lf_diag *diag)
{
    if (n > LF_PARQUET_PAGE_MAX || held->bytes + n > LF_PARQUET_HELD_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "a page of %llu bytes is too large",
                       (unsigned long long)n);
    enum lf_err rc = lf_budget_take(held->budget, n, held->bytes, "its pages need", diag);
    if (rc == LF_OK)
        held->bytes += n;
    return rc;
}

static void release(struct lf_pq_held *held, unsigned char **buffer, uint64_t *bytes)
{
    free(*buffer);
    lf_budget_give(held->budget, *bytes);
    held->bytes -= *bytes;
    *buffer = NULL;
    *bytes = 0;
}

/* A page's bytes unpacked into *buffer; the first `bare` of them are not packed. */
static enum lf_err unpack_page(struct lf_pq_held *held, unsigned char **buffer, uint64_t *bytes,
                               enum lf_pq_codec codec, const unsigned char *in, size_t packed,
                               size_t n, size_t bare, struct lf_diag *diag)
{
    release(held, buffer, bytes);
    enum lf_err rc = lf_growth_add(&held->growth, n, diag) ?: take_room(held, n, diag);
    if (rc != LF_OK)
        return rc;
    *bytes = n;
    *buffer = malloc(n + 1);
    if (!*buffer)
        return lf_no_memory(diag, "a page of %zu bytes", n);
    if (bare > n || bare > packed)
        return damaged("its levels", diag);
    memcpy(*buffer, in, bare);
    /* One that is empty may have no packed bytes at all. */
    if (n == bare || unpack(codec, *buffer + bare, n - bare, in + bare, packed - bare))
        return LF_OK;
    return damaged("it does not unpack", diag);
}

/* ---- Pages ----------------------------------------------------------------------------------- */

struct page_header {
    int64_t type, unpacked, packed, n_values, encoding, def_bytes, rep_bytes;
    bool is_packed;
};

/* The header of the kind of page that it is: the numbers of its members. */
static void read_kind(struct lf_thrift *t, struct page_header *h, bool second)
{
    enum lf_thrift_type type;
    for (int id = 0; lf_thrift_field(t, &id, &type);) {
        if (id == 1)
            h->n_values = lf_thrift_int(t, type);
        else if (id == (second ? 4 : 2))
            h->encoding = lf_thrift_int(t, type);
        else if (second && id == 5)
            h->def_bytes = lf_thrift_int(t, type);
        else if (second && id == 6)
            h->rep_bytes = lf_thrift_int(t, type);
        else if (second && id == 7)
            h->is_packed = lf_thrift_bool(t, type);
        else
            lf_thrift_skip(t, type);
    }
}

static enum lf_err read_header(struct lf_pq_column *c, struct page_header *h, struct lf_diag *diag)
{
    struct lf_thrift t = {c->at, c->end, false};
    enum lf_thrift_type type;
    *h = (struct page_header){
        .type = -1, .unpacked = -1, .packed = -1, .encoding = -1, .is_packed = true};
    for (int id = 0; lf_thrift_field(&t, &id, &type);) {
        if (id == 1)
            h->type = lf_thrift_int(&t, type);
        else if (id == 2)
            h->unpacked = lf_thrift_int(&t, type);
        else if (id == 3)
            h->packed = lf_thrift_int(&t, type);
        else if ((id == 5 || id == 7 || id == 8) && type == LF_THRIFT_STRUCT)
            read_kind(&t, h, id == 8);
        else
            lf_thrift_skip(&t, type);
    }
    if (t.bad || h->unpacked < 0 || h->packed < 0 || h->packed > t.end - t.at || h->n_values < 0 ||
        h->n_values > INT32_MAX || h->def_bytes < 0 || h->rep_bytes < 0)
        return damaged("its header", diag);
    c->at = t.at;
    return LF_OK;
}

static size_t width_of(enum lf_pq_type type)
{
    return type == LF_PQ_INT64 || type == LF_PQ_DOUBLE ? 8 : 4;
}

/* Where each of n byte strings of the dictionary begins: behind its length. */
static enum lf_err find_entries(struct lf_pq_column *c, uint32_t n, struct lf_diag *diag)
{
    uint64_t at = 0;
    c->starts = malloc(((size_t)n + 1) * sizeof *c->starts);
    if (!c->starts)
        return lf_no_memory(diag, "a dictionary");
    for (uint32_t i = 0; i < n; i++) {
        if (c->dictionary_bytes - at < 4)
            return damaged("its dictionary", diag);
        uint32_t bytes = u32(c->dictionary + at);
        at += 4;
        c->starts[i] = (uint32_t)at;
        if (bytes > c->dictionary_bytes - at)
            return damaged("its dictionary", diag);
        at += bytes;
    }
    c->starts[n] = (uint32_t)at + 4; /* as if another length came */
    return LF_OK;
}

static enum lf_err open_dictionary(struct lf_pq_column *c, struct lf_pq_held *held,
                                   const struct page_header *h, struct lf_diag *diag)
{
    if (c->has_dictionary || (h->encoding != ENC_PLAIN && h->encoding != ENC_PLAIN_DICTIONARY) ||
        c->node->type == LF_PQ_BOOLEAN)
        return damaged("its dictionary", diag);
    enum lf_err rc = unpack_page(held, &c->dictionary, &c->dictionary_bytes, c->codec, c->at,
                                 (size_t)h->packed, (size_t)h->unpacked, 0, diag);
    if (rc != LF_OK)
        return rc;
    c->n_entries = (uint32_t)h->n_values;
    c->has_dictionary = true;
    uint64_t entry = c->node->type == LF_PQ_BYTES ? 4 : width_of(c->node->type);
    if (c->n_entries > c->dictionary_bytes / entry)
        return damaged("its dictionary", diag);
    return c->node->type == LF_PQ_BYTES ? find_entries(c, c->n_entries, diag) : LF_OK;
}

/* Levels stand in front of the values: in the first version each behind its length. */
static enum lf_err open_levels(struct lf_pq_runs *r, int max, const unsigned char **at,
                               const unsigned char *end, int64_t bytes, struct lf_diag *diag)
{
    *r = (struct lf_pq_runs){.width = bits_of(max)};
    if (max == 0 && bytes <= 0)
        return LF_OK;
    if (bytes < 0) {
        if (end - *at < 4)
            return damaged("its levels", diag);
        bytes = u32(*at);
        *at += 4;
    }
    if (bytes > end - *at)
        return damaged("its levels", diag);
    r->at = *at;
    *at += bytes;
    r->end = *at;
    return LF_OK;
}

/* Values of another encoding, made plain. */
static enum lf_err make_plain(struct lf_pq_column *c, struct lf_pq_held *held, int64_t encoding,
                              struct lf_diag *diag)
{
    lf_buf_auto out = {.max = LF_PARQUET_PAGE_MAX};
    enum lf_err rc =
        lf_pq_plain(&out, encoding, c->node->type, c->value, c->values_end, c->page_left, diag);
    rc = rc ?: lf_growth_add(&held->growth, out.len, diag) ?: take_room(held, out.len, diag);
    if (rc != LF_OK)
        return rc;
    c->plain_bytes = out.len;
    c->plain = (unsigned char *)lf_buf_take(&out, NULL);
    if (!c->plain)
        return lf_no_memory(diag, "a page");
    c->value = c->plain;
    c->values_end = c->plain + c->plain_bytes;
    return LF_OK;
}

static enum lf_err open_values(struct lf_pq_column *c, struct lf_pq_held *held, int64_t encoding,
                               struct lf_diag *diag)
{
    bool boolean = c->node->type == LF_PQ_BOOLEAN;
    c->by_index = encoding == ENC_PLAIN_DICTIONARY || encoding == ENC_RLE_DICTIONARY;
    c->runs_of_bits = boolean && encoding == ENC_RLE;
    c->bit = 0;
    if (c->by_index) {
        if (!c->has_dictionary)
            return damaged("it has no dictionary", diag);
        bool none = c->value == c->values_end; /* all are null */
        c->indices = (struct lf_pq_runs){
            .at = c->value + !none, .end = c->values_end, .width = none ? 0 : *c->value};
        return c->indices.width <= 32 ? LF_OK : damaged("its dictionary's indices", diag);
    }
    if (c->runs_of_bits)
        return open_levels(&c->indices, 1, &c->value, c->values_end, -1, diag);
    return encoding == ENC_PLAIN ? LF_OK : make_plain(c, held, encoding, diag);
}

static enum lf_err open_data(struct lf_pq_column *c, struct lf_pq_held *held,
                             const struct page_header *h, struct lf_diag *diag)
{
    bool second = h->type == PAGE_DATA_2;
    int64_t bare = second ? h->def_bytes + h->rep_bytes : 0;
    enum lf_pq_codec codec = second && !h->is_packed ? LF_PQ_BARE : c->codec;
    if (bare > h->unpacked || h->n_values > c->chunk_left)
        return damaged("its header", diag);
    enum lf_err rc = unpack_page(held, &c->page, &c->page_bytes, codec, c->at, (size_t)h->packed,
                                 (size_t)h->unpacked, (size_t)bare, diag);
    if (rc != LF_OK)
        return rc;
    release(held, &c->plain, &c->plain_bytes);
    c->page_left = h->n_values;
    c->value = c->page;
    c->values_end = c->page + c->page_bytes;
    rc = open_levels(&c->reps, c->node->rep, &c->value, c->values_end, second ? h->rep_bytes : -1,
                     diag);
    rc = rc
             ?: open_levels(&c->defs, c->node->def, &c->value, c->values_end,
                            second ? h->def_bytes : -1, diag);
    return rc ?: open_values(c, held, h->encoding, diag);
}

/* Opens pages until one has a value. */
static enum lf_err next_page(struct lf_pq_column *c, struct lf_pq_held *held, struct lf_diag *diag)
{
    while (c->page_left == 0) {
        struct page_header h;
        enum lf_err rc =
            c->at == c->end ? damaged("one is missing", diag) : read_header(c, &h, diag);
        if (rc == LF_OK && h.type == PAGE_DICTIONARY)
            rc = open_dictionary(c, held, &h, diag);
        else if (rc == LF_OK && (h.type == PAGE_DATA || h.type == PAGE_DATA_2))
            rc = open_data(c, held, &h, diag);
        if (rc != LF_OK)
            return rc;
        c->at += h.packed;
    }
    return LF_OK;
}

/* ---- Values ---------------------------------------------------------------------------------- */

void lf_pq_column_open(struct lf_pq_column *c, const struct lf_pq_node *node,
                       const struct lf_pq_chunk *chunk, const unsigned char *file)
{
    *c = (struct lf_pq_column){.node = node,
                               .codec = chunk->codec,
                               .at = file + chunk->at,
                               .end = file + chunk->at + chunk->bytes,
                               .chunk_left = chunk->n_values};
}

void lf_pq_column_close(struct lf_pq_column *c, struct lf_pq_held *held)
{
    release(held, &c->page, &c->page_bytes);
    release(held, &c->plain, &c->plain_bytes);
    release(held, &c->dictionary, &c->dictionary_bytes);
    free(c->starts);
    *c = (struct lf_pq_column){0};
}

enum lf_err lf_pq_column_peek(struct lf_pq_column *c, struct lf_pq_held *held, bool *end,
                              struct lf_diag *diag)
{
    uint32_t rep = 0, def = 0;
    *end = !c->ready && c->chunk_left == 0;
    if (c->ready || *end)
        return LF_OK;
    enum lf_err rc = next_page(c, held, diag);
    if (rc != LF_OK)
        return rc;
    if ((c->node->rep > 0 && !next_number(&c->reps, &rep)) ||
        (c->node->def > 0 && !next_number(&c->defs, &def)) || rep > (uint32_t)c->node->rep ||
        def > (uint32_t)c->node->def)
        return damaged("its levels", diag);
    c->rep = (int)rep;
    c->def = (int)def;
    c->ready = true;
    c->page_left--;
    c->chunk_left--;
    return LF_OK;
}

static enum lf_err take_entry(struct lf_pq_column *c, const unsigned char **bytes, uint32_t *n,
                              struct lf_diag *diag)
{
    uint32_t i;
    if (!next_number(&c->indices, &i) || i >= c->n_entries)
        return damaged("its dictionary's indices", diag);
    if (c->node->type == LF_PQ_BYTES) {
        *bytes = c->dictionary + c->starts[i];
        *n = c->starts[i + 1] - 4 - c->starts[i];
    } else {
        *n = (uint32_t)width_of(c->node->type);
        *bytes = c->dictionary + (size_t)i * *n;
    }
    return LF_OK;
}

static enum lf_err take_boolean(struct lf_pq_column *c, const unsigned char **bytes, uint32_t *n,
                                struct lf_diag *diag)
{
    static const unsigned char values[] = {0, 1};
    uint32_t v;
    if (c->runs_of_bits) {
        if (!next_number(&c->indices, &v))
            return damaged("its values", diag);
    } else {
        if (c->value == c->values_end)
            return damaged("its values", diag);
        v = *c->value >> c->bit & 1;
        c->bit = (c->bit + 1) % 8;
        c->value += c->bit == 0;
    }
    *bytes = &values[v & 1];
    *n = 1;
    return LF_OK;
}

enum lf_err lf_pq_column_take(struct lf_pq_column *c, const unsigned char **bytes, uint32_t *n,
                              struct lf_diag *diag)
{
    c->ready = false;
    *bytes = NULL;
    *n = 0;
    if (c->def < c->node->def)
        return LF_OK;
    if (c->by_index)
        return take_entry(c, bytes, n, diag);
    if (c->node->type == LF_PQ_BOOLEAN)
        return take_boolean(c, bytes, n, diag);
    size_t left = (size_t)(c->values_end - c->value);
    bool strings = c->node->type == LF_PQ_BYTES;
    if (strings && left < 4)
        return damaged("its values", diag);
    *n = strings ? u32(c->value) : (uint32_t)width_of(c->node->type);
    c->value += strings ? 4 : 0;
    left -= strings ? 4 : 0;
    if (*n > left)
        return damaged("its values", diag);
    *bytes = c->value;
    c->value += *n;
    return LF_OK;
}
