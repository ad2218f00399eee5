/* Parquet's footer. */
#include "container/parquet_file.h"

#include "container/limits.h"
#include "container/thrift.h"
#include "core/limits.h"
#include "core/utf8.h"

#include <stdlib.h>
#include <string.h>

static enum lf_err damaged(struct lf_diag *diag, const char *what)
{
    return lf_fail(diag, LF_E_INVALID, "it is no whole Parquet file: %s", what);
}

/* ---- The schema ------------------------------------------------------------------------------ */

/* A node as the footer has it. */
struct pq_element {
    int64_t type, repetition, children, converted;
    enum lf_pq_meaning logical; /* LF_PQ_AS_IS: it says nothing that is not in converted */
    struct lf_str name;
};

static enum lf_pq_meaning timestamp(struct lf_thrift *t)
{
    static const enum lf_pq_meaning units[] = {LF_PQ_UNREAD, LF_PQ_TIMESTAMP_MS, LF_PQ_TIMESTAMP_US,
                                               LF_PQ_TIMESTAMP_NS};
    enum lf_thrift_type type;
    enum lf_pq_meaning found = LF_PQ_UNREAD;
    for (int id = 0; lf_thrift_field(t, &id, &type);) {
        if (id != 2 || type != LF_THRIFT_STRUCT) {
            lf_thrift_skip(t, type);
            continue;
        }
        for (int unit = 0; lf_thrift_field(t, &unit, &type);) {
            found = unit <= 3 ? units[unit] : LF_PQ_UNREAD;
            lf_thrift_skip(t, type);
        }
    }
    return found;
}

static enum lf_pq_meaning integer(struct lf_thrift *t)
{
    enum lf_thrift_type type;
    enum lf_pq_meaning found = LF_PQ_AS_IS;
    for (int id = 0; lf_thrift_field(t, &id, &type);) {
        if (id == 2)
            found = lf_thrift_bool(t, type) ? LF_PQ_AS_IS : LF_PQ_UNSIGNED;
        else
            lf_thrift_skip(t, type);
    }
    return found;
}

/* The union LogicalType, by the number of the member that is there. */
static enum lf_pq_meaning logical_type(struct lf_thrift *t)
{
    static const enum lf_pq_meaning by_id[] = {
        [1] = LF_PQ_TEXT,    [3] = LF_PQ_LIST,   [4] = LF_PQ_TEXT,  [5] = LF_PQ_UNREAD,
        [6] = LF_PQ_DATE,    [7] = LF_PQ_UNREAD, [12] = LF_PQ_TEXT, [13] = LF_PQ_UNREAD,
        [14] = LF_PQ_UNREAD, [15] = LF_PQ_UNREAD};
    enum lf_thrift_type type;
    enum lf_pq_meaning found = LF_PQ_AS_IS;
    for (int id = 0; lf_thrift_field(t, &id, &type);) {
        if (id == 8 && type == LF_THRIFT_STRUCT) {
            found = timestamp(t);
        } else if (id == 10 && type == LF_THRIFT_STRUCT) {
            found = integer(t);
        } else {
            found = id < (int)(sizeof by_id / sizeof *by_id) ? by_id[id] : LF_PQ_UNREAD;
            lf_thrift_skip(t, type);
        }
    }
    return found;
}

static struct pq_element read_element(struct lf_thrift *t)
{
    struct pq_element e = {.type = LF_PQ_GROUP, .converted = -1, .name = {"", 0}};
    enum lf_thrift_type type;
    for (int id = 0; lf_thrift_field(t, &id, &type);) {
        if (id == 1)
            e.type = lf_thrift_int(t, type);
        else if (id == 3)
            e.repetition = lf_thrift_int(t, type);
        else if (id == 4)
            e.name = lf_thrift_binary(t, type);
        else if (id == 5)
            e.children = lf_thrift_int(t, type);
        else if (id == 6)
            e.converted = lf_thrift_int(t, type);
        else if (id == 10 && type == LF_THRIFT_STRUCT)
            e.logical = logical_type(t);
        else
            lf_thrift_skip(t, type);
    }
    return e;
}

static enum lf_pq_meaning meaning_of(const struct pq_element *e)
{
    static const enum lf_pq_meaning by_converted[] = {
        LF_PQ_TEXT,         LF_PQ_AS_IS,    LF_PQ_AS_IS,    LF_PQ_LIST,     LF_PQ_TEXT,
        LF_PQ_UNREAD,       LF_PQ_DATE,     LF_PQ_UNREAD,   LF_PQ_UNREAD,   LF_PQ_TIMESTAMP_MS,
        LF_PQ_TIMESTAMP_US, LF_PQ_UNSIGNED, LF_PQ_UNSIGNED, LF_PQ_UNSIGNED, LF_PQ_UNSIGNED,
        LF_PQ_AS_IS,        LF_PQ_AS_IS,    LF_PQ_AS_IS,    LF_PQ_AS_IS,    LF_PQ_TEXT,
        LF_PQ_UNREAD,       LF_PQ_UNREAD};
    const int64_t n = sizeof by_converted / sizeof *by_converted;
    enum lf_pq_meaning m = e->logical;
    if (m == LF_PQ_AS_IS && e->converted >= 0 && e->converted < n)
        m = by_converted[e->converted];
    bool whole = e->type == LF_PQ_INT32 || e->type == LF_PQ_INT64;
    if (e->type == LF_PQ_GROUP)
        return m == LF_PQ_LIST ? m : LF_PQ_AS_IS;
    if (e->type == LF_PQ_INT96 || e->type == LF_PQ_FIXED)
        return LF_PQ_UNREAD;
    if ((m == LF_PQ_TEXT) != (e->type == LF_PQ_BYTES))
        return m == LF_PQ_AS_IS ? m : LF_PQ_UNREAD;
    if ((m == LF_PQ_DATE && e->type != LF_PQ_INT32) || m == LF_PQ_LIST ||
        (m >= LF_PQ_TIMESTAMP_MS && m <= LF_PQ_TIMESTAMP_NS && e->type != LF_PQ_INT64) ||
        (m == LF_PQ_UNSIGNED && !whole))
        return LF_PQ_UNREAD;
    return m;
}

static enum lf_err add_node(struct lf_pq_file *f, struct lf_thrift *t, const struct lf_pq_node *up,
                            int64_t *children, struct lf_diag *diag)
{
    struct lf_pq_node *n = &f->nodes[f->n_nodes];
    struct pq_element e = read_element(t);
    *n = (struct lf_pq_node){.type = (enum lf_pq_type)e.type, .first_leaf = -1};
    if (t->bad || e.type < 0 || e.type > LF_PQ_GROUP || e.repetition < 0 || e.repetition > 2 ||
        e.children < 0 || (e.type != LF_PQ_GROUP && e.children > 0))
        return damaged(diag, "its columns");
    if (lf_utf8_valid(e.name.s, e.name.n) < e.name.n || memchr(e.name.s, 0, e.name.n))
        return damaged(diag, "a column's name");
    n->name = lf_arena_strndup(&f->names, e.name.s, e.name.n);
    if (!n->name)
        return lf_no_memory(diag, "a Parquet file's footer");
    n->meaning = meaning_of(&e);
    if (up) {
        n->optional = e.repetition == 1;
        n->repeated = e.repetition == 2;
        n->depth = up->depth + 1;
        n->def = up->def + (e.repetition != 0);
        n->rep = up->rep + n->repeated;
    }
    if (n->depth > LF_PARQUET_DEPTH_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "its columns are nested deeper than %d",
                       LF_PARQUET_DEPTH_MAX);
    *children = e.children;
    f->n_nodes++;
    return LF_OK;
}

/* A list has one child, which repeats. */
static void settle_lists(struct lf_pq_file *f)
{
    for (int i = 0; i < f->n_nodes; i++) {
        struct lf_pq_node *n = &f->nodes[i];
        if (n->meaning == LF_PQ_LIST && n->type == LF_PQ_GROUP &&
            (n->end == i + 1 || f->nodes[i + 1].end != n->end || !f->nodes[i + 1].repeated))
            n->meaning = LF_PQ_AS_IS;
    }
}

/* Leaves that are read, and the groups above them. */
static void keep(struct lf_pq_file *f)
{
    f->n_leaves = f->n_columns = 0;
    for (int i = 0; i < f->n_nodes; i++) {
        struct lf_pq_node *n = &f->nodes[i];
        f->n_columns += n->type != LF_PQ_GROUP;
        if (n->type == LF_PQ_GROUP || n->meaning == LF_PQ_UNREAD)
            continue;
        f->leaves[f->n_leaves] = i;
        for (int up = 0; up <= i; up++)
            if (f->nodes[up].end > i && !f->nodes[up].kept) {
                f->nodes[up].kept = true;
                f->nodes[up].first_leaf = f->n_leaves;
            }
        f->n_leaves++;
    }
}

static enum lf_err read_schema(struct lf_pq_file *f, struct lf_thrift *t, enum lf_thrift_type type,
                               struct lf_diag *diag)
{
    int64_t open[LF_PARQUET_DEPTH_MAX + 1]; /* children still to come */
    int path[LF_PARQUET_DEPTH_MAX + 1], depth = -1;
    enum lf_thrift_type item;
    size_t n = lf_thrift_list(t, type, &item);
    if (t->bad || n < 2 || item != LF_THRIFT_STRUCT || f->nodes)
        return damaged(diag, "its columns");
    if (n > LF_PARQUET_COLUMNS_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "it has more than %d columns", LF_PARQUET_COLUMNS_MAX);
    f->nodes = calloc(n, sizeof *f->nodes);
    f->leaves = calloc(n, sizeof *f->leaves);
    if (!f->nodes || !f->leaves)
        return lf_no_memory(diag, "a Parquet file's footer");
    for (size_t i = 0; i < n; i++) {
        int64_t children;
        if (i > 0 && depth < 0)
            return damaged(diag, "its columns");
        enum lf_err rc = add_node(f, t, i > 0 ? &f->nodes[path[depth]] : NULL, &children, diag);
        if (rc != LF_OK)
            return rc;
        if (depth >= 0)
            open[depth]--;
        path[++depth] = (int)i;
        open[depth] = children;
        while (depth >= 0 && open[depth] == 0)
            f->nodes[path[depth--]].end = (int)i + 1;
    }
    if (depth >= 0)
        return damaged(diag, "its columns");
    settle_lists(f);
    keep(f);
    return f->n_leaves > 0 ? LF_OK
                           : lf_fail(diag, LF_E_UNSUPPORTED, "it has no column that is read here");
}

/* ---- Row groups ------------------------------------------------------------------------------ */

static enum lf_err read_chunk_data(struct lf_thrift *t, struct lf_pq_chunk *c, struct lf_diag *diag)
{
    enum lf_thrift_type type;
    int64_t codec = 0, data = 0, dictionary = 0, bytes = 0;
    for (int id = 0; lf_thrift_field(t, &id, &type);) {
        if (id == 4)
            codec = lf_thrift_int(t, type);
        else if (id == 5)
            c->n_values = lf_thrift_int(t, type);
        else if (id == 7)
            bytes = lf_thrift_int(t, type);
        else if (id == 9)
            data = lf_thrift_int(t, type);
        else if (id == 11)
            dictionary = lf_thrift_int(t, type);
        else
            lf_thrift_skip(t, type);
    }
    int64_t at = dictionary > 0 && dictionary < data ? dictionary : data;
    if (!t->bad && c->n_values == 0)
        return LF_OK; /* it has no pages */
    if (t->bad || at < 4 || bytes < 0 || c->n_values < 0)
        return damaged(diag, "a column's place");
    if (codec != LF_PQ_BARE && codec != LF_PQ_SNAPPY && codec != LF_PQ_GZIP && codec != LF_PQ_ZSTD)
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "its columns are packed with %s; write it with snappy, zstd, gzip or none",
                       codec == 4                 ? "brotli"
                       : codec == 5 || codec == 7 ? "lz4"
                                                  : "what is not known");
    c->codec = (enum lf_pq_codec)codec;
    c->at = (uint64_t)at;
    c->bytes = (uint64_t)bytes;
    return LF_OK;
}

static enum lf_err read_chunk(struct lf_thrift *t, struct lf_pq_chunk *c, struct lf_diag *diag)
{
    enum lf_thrift_type type;
    enum lf_err rc = LF_OK;
    bool found = false;
    for (int id = 0; rc == LF_OK && lf_thrift_field(t, &id, &type);) {
        if (id == 3 && type == LF_THRIFT_STRUCT) {
            rc = read_chunk_data(t, c, diag);
            found = true;
        } else if (id == 1) {
            return lf_fail(diag, LF_E_UNSUPPORTED, "its columns are in other files");
        } else {
            lf_thrift_skip(t, type);
        }
    }
    return rc == LF_OK && (t->bad || !found) ? damaged(diag, "a row group") : rc;
}

/* The columns of the row group that comes; those that are kept are remembered. */
static enum lf_err read_chunks(struct lf_pq_file *f, struct lf_thrift *t, enum lf_thrift_type type,
                               struct lf_diag *diag)
{
    enum lf_thrift_type item;
    struct lf_pq_chunk chunk;
    size_t n = lf_thrift_list(t, type, &item), leaf = 0;
    if (t->bad || n != (size_t)f->n_columns || item != LF_THRIFT_STRUCT)
        return damaged(diag, "a row group");
    for (int i = 0; i < f->n_nodes; i++) {
        if (f->nodes[i].type == LF_PQ_GROUP)
            continue;
        chunk = (struct lf_pq_chunk){0};
        enum lf_err rc = read_chunk(t, &chunk, diag);
        if (rc != LF_OK)
            return rc;
        if (chunk.at > f->map.bytes || chunk.bytes > f->map.bytes - chunk.at)
            return damaged(diag, "a column's place");
        if (f->nodes[i].meaning != LF_PQ_UNREAD)
            f->chunks[f->n_groups * (size_t)f->n_leaves + leaf++] = chunk;
    }
    return LF_OK;
}

static enum lf_err read_group(struct lf_pq_file *f, struct lf_thrift *t, struct lf_diag *diag)
{
    enum lf_thrift_type type;
    enum lf_err rc = LF_OK;
    int64_t rows = -1;
    bool found = false;
    for (int id = 0; rc == LF_OK && lf_thrift_field(t, &id, &type);) {
        if (id == 1) {
            rc = found ? damaged(diag, "a row group") : read_chunks(f, t, type, diag);
            found = true;
        } else if (id == 3) {
            rows = lf_thrift_int(t, type);
        } else {
            lf_thrift_skip(t, type);
        }
    }
    if (rc == LF_OK && (t->bad || !found || rows < 0))
        rc = damaged(diag, "a row group");
    f->rows[f->n_groups] = rows;
    f->n_groups += rc == LF_OK;
    return rc;
}

static enum lf_err read_groups(struct lf_pq_file *f, struct lf_thrift *t, enum lf_thrift_type type,
                               struct lf_diag *diag)
{
    enum lf_thrift_type item;
    size_t n = lf_thrift_list(t, type, &item);
    if (t->bad || !f->nodes || f->rows || (n > 0 && item != LF_THRIFT_STRUCT))
        return damaged(diag, "its row groups");
    if (n > LF_PARQUET_GROUPS_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "it has more than %d row groups", LF_PARQUET_GROUPS_MAX);
    /* A group has some bytes for each column: what is asked for is a part of the footer's size. */
    if (n * (size_t)f->n_columns > (size_t)(t->end - t->at))
        return damaged(diag, "its row groups");
    f->rows = calloc(n + 1, sizeof *f->rows);
    f->chunks = calloc(n * (size_t)f->n_leaves + 1, sizeof *f->chunks);
    enum lf_err rc = f->rows && f->chunks ? LF_OK : lf_no_memory(diag, "a Parquet file's footer");
    for (size_t i = 0; i < n && rc == LF_OK; i++)
        rc = read_group(f, t, diag);
    return rc;
}

/* ---- The footer ------------------------------------------------------------------------------ */

static uint32_t u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static enum lf_err read_footer(struct lf_pq_file *f, struct lf_diag *diag)
{
    const unsigned char *d = f->map.data;
    size_t n = f->map.bytes;
    if (n < 12 || memcmp(d + n - 4, "PAR1", 4) != 0)
        return damaged(diag, "it is cut off");
    uint32_t bytes = u32(d + n - 8);
    if (bytes > LF_PARQUET_FOOTER_MAX || bytes > n - 12)
        return damaged(diag, "its footer's size");
    struct lf_thrift t = {d + n - 8 - bytes, d + n - 8, false};
    enum lf_thrift_type type;
    enum lf_err rc = LF_OK;
    for (int id = 0; rc == LF_OK && lf_thrift_field(&t, &id, &type);) {
        if (id == 2)
            rc = read_schema(f, &t, type, diag);
        else if (id == 4)
            rc = read_groups(f, &t, type, diag);
        else
            lf_thrift_skip(&t, type);
    }
    return rc == LF_OK && (t.bad || !f->rows) ? damaged(diag, "its footer") : rc;
}

enum lf_err lf_pq_file_open(struct lf_pq_file *f, const char *path, struct lf_diag *diag)
{
    *f = (struct lf_pq_file){0};
    enum lf_err rc = lf_file_map(&f->map, path, diag);
    if (rc == LF_OK && f->map.bytes > LF_DATASET_BYTES_MAX)
        rc = lf_fail(diag, LF_E_TOO_BIG, "%s: larger than %llu bytes", path,
                     (unsigned long long)LF_DATASET_BYTES_MAX);
    return rc ?: read_footer(f, diag);
}

void lf_pq_file_close(struct lf_pq_file *f)
{
    lf_file_unmap(&f->map);
    lf_arena_free(&f->names);
    free(f->nodes);
    free(f->leaves);
    free(f->chunks);
    free(f->rows);
    *f = (struct lf_pq_file){0};
}
