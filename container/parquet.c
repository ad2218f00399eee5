/* Rows of a Parquet file: the values of its columns put together again, by Dremel's levels. */
#include "container/parquet.h"

#include "container/parquet_column.h"
#include "core/limits.h"
#include "core/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct lf_parquet {
    struct lf_pq_file file;
    struct lf_pq_column *columns; /* (file.n_leaves) */
    struct lf_pq_held held;
    struct lf_growth made; /* bytes of rows: runs may say a million of them in a few bytes */
    uint64_t row_bytes;    /* of the row that is put together */
    size_t group;          /* whose rows come; all are over: n_groups */
    bool open;             /* its columns are */
    int64_t left, row;     /* rows of it still to come; the number of the last one of all */
};

static enum lf_err read_node(struct lf_parquet *p, int i, json_t **out, struct lf_diag *diag);

enum lf_err lf_parquet_open(struct lf_parquet **out, const char *path, struct lf_diag *diag)
{
    struct lf_parquet *p = calloc(1, sizeof *p);
    if (!p)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory to read rows");
    enum lf_err rc = lf_pq_file_open(&p->file, path, diag);
    if (rc == LF_OK) {
        p->held.growth.packed = p->made.packed = p->file.map.bytes;
        p->columns = calloc((size_t)p->file.n_leaves, sizeof *p->columns);
        if (!p->columns)
            rc = lf_fail(diag, LF_E_NO_MEMORY, "no memory to read rows");
    }
    if (rc == LF_OK)
        *out = p;
    else
        lf_parquet_close(p);
    return rc;
}

static void close_columns(struct lf_parquet *p)
{
    for (int i = 0; p->columns && i < p->file.n_leaves; i++)
        lf_pq_column_close(&p->columns[i], &p->held);
    p->open = false;
}

void lf_parquet_close(struct lf_parquet *p)
{
    if (!p)
        return;
    close_columns(p);
    free(p->columns);
    lf_pq_file_close(&p->file);
    free(p);
}

void lf_parquet_budget(struct lf_parquet *p, struct lf_budget *b)
{
    p->held.budget = b;
}

void lf_parquet_sha256(const struct lf_parquet *p, char out[LF_SHA256_HEX])
{
    lf_sha256_hex(out, p->file.map.data, p->file.map.bytes);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static uint64_t number(const unsigned char *b, uint32_t n)
{
    uint64_t x = 0;
    for (uint32_t i = 0; i < n; i++)
        x |= (uint64_t)b[i] << 8 * i;
    return x;
}

/* A moment as text; `per_second` units since 1970. */
static json_t *moment(int64_t x, int64_t per_second, int digits)
{
    char text[64];
    struct tm tm;
    int64_t part = x % per_second;
    time_t s = (time_t)(x / per_second - (part < 0));
    part += part < 0 ? per_second : 0;
    if (!gmtime_r(&s, &tm))
        return json_null();
    size_t n = strftime(text, sizeof text, digits < 0 ? "%Y-%m-%d" : "%Y-%m-%dT%H:%M:%S", &tm);
    if (part > 0)
        snprintf(text + n, sizeof text - n, ".%0*lld", digits, (long long)part);
    return json_string(text);
}

static json_t *integer(const struct lf_pq_node *node, const unsigned char *b, uint32_t n)
{
    uint64_t bits = number(b, n);
    int64_t x = n == 4 ? (int32_t)(uint32_t)bits : (int64_t)bits;
    char digits[32];
    switch (node->meaning) {
    case LF_PQ_DATE:
        return moment(x * 86400, 1, -1);
    case LF_PQ_TIMESTAMP_MS:
        return moment(x, 1000, 3);
    case LF_PQ_TIMESTAMP_US:
        return moment(x, 1000000, 6);
    case LF_PQ_TIMESTAMP_NS:
        return moment(x, 1000000000, 9);
    case LF_PQ_UNSIGNED:
        if (bits <= INT64_MAX)
            return json_integer((json_int_t)bits);
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)bits);
        return json_string(digits); /* as core/json.h has it */
    default:
        return json_integer(x);
    }
}

static json_t *real(const unsigned char *b, uint32_t n)
{
    uint64_t bits = number(b, n);
    uint32_t half = (uint32_t)bits;
    double x;
    float f;
    memcpy(&f, &half, sizeof f);
    memcpy(&x, &bits, sizeof x);
    x = n == 4 ? (double)f : x;
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *value(const struct lf_pq_node *node, const unsigned char *b, uint32_t n)
{
    switch (node->type) {
    case LF_PQ_BOOLEAN:
        return json_boolean(*b);
    case LF_PQ_INT32:
    case LF_PQ_INT64:
        return integer(node, b, n);
    case LF_PQ_FLOAT:
    case LF_PQ_DOUBLE:
        return real(b, n);
    default:
        return lf_utf8_valid((const char *)b, n) == n ? json_stringn((const char *)b, n)
                                                      : json_null();
    }
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static enum lf_err within(const struct lf_parquet *p, int leaf, enum lf_err rc,
                          struct lf_diag *diag)
{
    return rc == LF_OK ? rc
                       : lf_fail_within(diag, rc, "column \"%.60s\"",
                                        p->file.nodes[p->file.leaves[leaf]].name);
}

static enum lf_err peek(struct lf_parquet *p, int leaf, bool *end, struct lf_diag *diag)
{
    return within(p, leaf, lf_pq_column_peek(&p->columns[leaf], &p->held, end, diag), diag);
}

/* The level to which the value that comes is there. Where the node's is not reached, neither are
 * those of all columns below it. */
static enum lf_err peek_def(struct lf_parquet *p, int node, int *def, struct lf_diag *diag)
{
    bool end;
    int leaf = p->file.nodes[node].first_leaf;
    enum lf_err rc = peek(p, leaf, &end, diag);
    if (rc == LF_OK && end)
        return lf_fail(diag, LF_E_INVALID, "column \"%.60s\" has fewer values than rows",
                       p->file.nodes[p->file.leaves[leaf]].name);
    *def = rc == LF_OK ? p->columns[leaf].def : 0;
    return rc;
}

static enum lf_err take(struct lf_parquet *p, int leaf, const unsigned char **b, uint32_t *n,
                        struct lf_diag *diag)
{
    bool end;
    enum lf_err rc = peek(p, leaf, &end, diag);
    if (rc == LF_OK && end)
        rc = lf_fail(diag, LF_E_INVALID, "a damaged page: values are missing");
    rc = rc ?: lf_pq_column_take(&p->columns[leaf], b, n, diag);
    if (rc != LF_OK)
        return within(p, leaf, rc, diag);
    p->row_bytes += 8 + (uint64_t)*n;
    if (p->row_bytes > LF_DATASET_LINE_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "longer than %u bytes", LF_DATASET_LINE_MAX);
    return lf_growth_add(&p->made, 8 + (uint64_t)*n, diag);
}

/* Nothing of the node is there: each column below it says so once. */
static enum lf_err pass(struct lf_parquet *p, int node, struct lf_diag *diag)
{
    const unsigned char *b;
    uint32_t n;
    enum lf_err rc = LF_OK;
    for (int leaf = p->file.nodes[node].first_leaf;
         leaf < p->file.n_leaves && p->file.leaves[leaf] < p->file.nodes[node].end && rc == LF_OK;
         leaf++)
        rc = take(p, leaf, &b, &n, diag);
    return rc;
}

static enum lf_err read_leaf(struct lf_parquet *p, int i, json_t **out, struct lf_diag *diag)
{
    const unsigned char *b;
    uint32_t n;
    enum lf_err rc = take(p, p->file.nodes[i].first_leaf, &b, &n, diag);
    if (rc != LF_OK)
        return rc;
    *out = b ? value(&p->file.nodes[i], b, n) : json_null();
    return *out ? LF_OK : lf_no_memory(diag, "a row");
}

static enum lf_err read_group(struct lf_parquet *p, int i, json_t **out, struct lf_diag *diag)
{
    json_auto_t *group = json_object();
    enum lf_err rc = group ? LF_OK : lf_no_memory(diag, "a row");
    for (int k = i + 1; k < p->file.nodes[i].end && rc == LF_OK; k = p->file.nodes[k].end) {
        json_t *v = NULL;
        if (!p->file.nodes[k].kept)
            continue;
        rc = read_node(p, k, &v, diag);
        if (rc == LF_OK && json_object_set_new(group, p->file.nodes[k].name, v) != 0)
            rc = lf_no_memory(diag, "a row");
    }
    if (rc == LF_OK)
        *out = json_incref(group);
    return rc;
}

/* A node that is there. */
static enum lf_err read_present(struct lf_parquet *p, int i, json_t **out, struct lf_diag *diag)
{
    return p->file.nodes[i].type == LF_PQ_GROUP ? read_group(p, i, out, diag)
                                                : read_leaf(p, i, out, diag);
}

/* An item of the list whose repeated node i is: that, or the one child that it has only for the
 * form's sake. */
static enum lf_err read_item(struct lf_parquet *p, int i, bool wrapped, json_t **out,
                             struct lf_diag *diag)
{
    const struct lf_pq_node *n = &p->file.nodes[i];
    bool single = wrapped && n->type == LF_PQ_GROUP && i + 1 < n->end &&
                  p->file.nodes[i + 1].end == n->end && strcmp(n->name, "array") != 0;
    return single ? read_node(p, i + 1, out, diag) : read_present(p, i, out, diag);
}

/* The items of repeated node i. */
static enum lf_err read_items(struct lf_parquet *p, int i, bool wrapped, json_t **out,
                              struct lf_diag *diag)
{
    const struct lf_pq_node *n = &p->file.nodes[i];
    json_auto_t *list = json_array();
    int def;
    bool end = false;
    enum lf_err rc = list ? peek_def(p, i, &def, diag) : lf_no_memory(diag, "a row");
    if (rc == LF_OK && def < n->def) {
        rc = pass(p, i, diag);
        end = true;
    }
    while (rc == LF_OK && !end) {
        json_t *v;
        rc = read_item(p, i, wrapped, &v, diag);
        if (rc == LF_OK && json_array_append_new(list, v) != 0)
            rc = lf_no_memory(diag, "a row");
        rc = rc ?: peek(p, n->first_leaf, &end, diag);
        end = end || (rc == LF_OK && p->columns[n->first_leaf].rep != n->rep);
    }
    if (rc == LF_OK)
        *out = json_incref(list);
    return rc;
}

/* Node i, below nodes that are there: its value, null, or a list where it repeats. */
static enum lf_err read_node(struct lf_parquet *p, int i, json_t **out, struct lf_diag *diag)
{
    const struct lf_pq_node *n = &p->file.nodes[i];
    int def;
    if (n->repeated)
        return read_items(p, i, false, out, diag);
    if (n->optional && n->type == LF_PQ_GROUP) {
        enum lf_err rc = peek_def(p, i, &def, diag);
        if (rc != LF_OK)
            return rc;
        if (def < n->def) {
            *out = json_null();
            return pass(p, i, diag);
        }
    }
    if (n->meaning == LF_PQ_LIST && n->type == LF_PQ_GROUP)
        return read_items(p, i + 1, true, out, diag);
    return read_present(p, i, out, diag);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* A row begins in every column at the same time, or in none: then the group is over. */
static enum lf_err check_begin(struct lf_parquet *p, struct lf_diag *diag)
{
    for (int leaf = 0; leaf < p->file.n_leaves; leaf++) {
        bool end;
        enum lf_err rc = peek(p, leaf, &end, diag);
        if (rc == LF_OK && (end != (p->left == 0) || (!end && p->columns[leaf].rep != 0)))
            rc = lf_fail(diag, LF_E_INVALID, "column \"%.60s\" has other rows than the file",
                         p->file.nodes[p->file.leaves[leaf]].name);
        if (rc != LF_OK)
            return rc;
    }
    return LF_OK;
}

/* Opens row groups until one has a row, or all are over. */
static enum lf_err next_group(struct lf_parquet *p, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && p->left == 0 && p->group < p->file.n_groups) {
        if (p->open) {
            rc = check_begin(p, diag);
            close_columns(p);
            p->group++;
            continue;
        }
        const struct lf_pq_chunk *chunks = p->file.chunks + p->group * (size_t)p->file.n_leaves;
        for (int i = 0; i < p->file.n_leaves; i++)
            lf_pq_column_open(&p->columns[i], &p->file.nodes[p->file.leaves[i]], &chunks[i],
                              p->file.map.data);
        p->open = true;
        p->left = p->file.rows[p->group];
    }
    return rc;
}

enum lf_err lf_parquet_next(struct lf_parquet *p, json_t **row, int64_t *place,
                            struct lf_diag *diag)
{
    *row = NULL;
    p->row_bytes = 0;
    *place = p->row + 1;
    enum lf_err rc = next_group(p, diag);
    if (rc == LF_OK && p->left == 0)
        return LF_OK;
    rc = rc ?: check_begin(p, diag) ?: read_group(p, 0, row, diag);
    p->left--;
    p->row++;
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "row %lld", (long long)*place);
}

double lf_parquet_done(const struct lf_parquet *p)
{
    return p->file.n_groups > 0 ? (double)p->group / (double)p->file.n_groups : 1;
}
