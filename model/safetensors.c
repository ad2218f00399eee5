/* The safetensors reader: every rule of the format is checked before a tensor is handed out. */
#include "model/safetensors.h"

#include "core/foreign.h"
#include "core/arena.h"
#include "core/file.h"
#include "core/json.h"
#include "core/limits.h"
#include "model/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct lf_tensors {
    struct lf_arena arena;    /* names */
    const char *note;         /* in the arena, or NULL */
    struct lf_mapping *files; /* none when the bytes are the caller's */
    size_t n_files;
    struct lf_tensor *t; /* (n) in file order */
    size_t n;
    const struct lf_tensor **by_name; /* (n) sorted */
};

static const struct {
    const char *name;
    enum lf_dtype dtype;
} dtypes[] = {
    {"F32", LF_F32}, {"BF16", LF_BF16}, {"F16", LF_F16},
    {"U8", LF_U8},   {"I32", LF_I32},   {"I64", LF_I64},
};

/* Of the format, but no weight this program reads has them. */
static const char *const foreign_dtypes[] = {
    "BOOL",    "I8",      "I16", "U16",     "U32",     "U64", "F64",         "F8_E4M3",
    "F8_E5M2", "F8_E8M0", "F4",  "F6_E2M3", "F6_E3M2", "C64", "F8_E4M3FNUZ", "F8_E5M2FNUZ"};

bool lf_tensor_bytes(size_t *out, enum lf_dtype dtype, const int64_t *dims, int n_dims)
{
    size_t bytes = lf_dtype_bytes(dtype);
    bool empty = false;
    for (int i = 0; i < n_dims; i++)
        empty = empty || dims[i] == 0;
    for (int i = 0; i < n_dims && !empty; i++)
        if (dims[i] < 0 || __builtin_mul_overflow(bytes, (size_t)dims[i], &bytes))
            return false;
    *out = empty ? 0 : bytes;
    return true;
}

/* ---- One tensor's entry ---------------------------------------------------------------------- */

static enum lf_err parse_dtype(enum lf_dtype *out, const json_t *v, const char *name,
                               struct lf_diag *diag)
{
    const char *s = json_is_string(v) ? json_string_value(v) : "";
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, s) == 0) {
            *out = dtypes[i].dtype;
            return LF_OK;
        }
    for (size_t i = 0; i < sizeof foreign_dtypes / sizeof *foreign_dtypes; i++)
        if (strcmp(foreign_dtypes[i], s) == 0)
            return lf_fail(diag, LF_E_UNSUPPORTED,
                           "tensor \"%.128s\" has dtype %s, which is not "
                           "supported",
                           name, s);
    return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.128s\": unknown dtype \"%.32s\"", name, s);
}

static enum lf_err parse_shape(struct lf_tensor *t, const json_t *v, struct lf_diag *diag)
{
    if (!json_is_array(v))
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.128s\" has no shape", t->name);
    if (json_array_size(v) > LF_TENSOR_DIMS_MAX)
        return lf_fail(diag, LF_E_UNSUPPORTED, "tensor \"%.128s\" has more than %d dimensions",
                       t->name, LF_TENSOR_DIMS_MAX);
    t->n_dims = (int)json_array_size(v);
    for (int i = 0; i < t->n_dims; i++) {
        const json_t *d = json_array_get(v, (size_t)i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.128s\": bad shape", t->name);
        t->dims[i] = json_integer_value(d);
    }
    return LF_OK;
}

/* data, n: the file's bytes after the header. */
static enum lf_err parse_entry(struct lf_tensor *t, const json_t *v, const unsigned char *data,
                               size_t n, struct lf_diag *diag)
{
    if (!json_is_object(v) || json_object_size(v) != 3)
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.128s\": not a dtype, a shape and offsets",
                       t->name);
    enum lf_err rc = parse_dtype(&t->dtype, json_object_get(v, "dtype"), t->name, diag);
    rc = rc ?: parse_shape(t, json_object_get(v, "shape"), diag);
    if (rc != LF_OK)
        return rc;
    const json_t *offsets = json_object_get(v, "data_offsets");
    const json_t *b = json_array_get(offsets, 0), *e = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(b) || !json_is_integer(e))
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.128s\": bad data_offsets", t->name);
    json_int_t begin = json_integer_value(b), end = json_integer_value(e);
    if (begin < 0 || end < begin || (uint64_t)end > n)
        return lf_fail(diag, LF_E_DAMAGED,
                       "tensor \"%.128s\": offsets [%lld, %lld) are outside "
                       "of the file's %zu bytes of data",
                       t->name, (long long)begin, (long long)end, n);
    if (!lf_tensor_bytes(&t->bytes, t->dtype, t->dims, t->n_dims) ||
        t->bytes != (size_t)(end - begin))
        return lf_fail(diag, LF_E_DAMAGED,
                       "tensor \"%.128s\": its shape does not fit its %lld "
                       "bytes",
                       t->name, (long long)(end - begin));
    t->data = data + begin;
    return LF_OK;
}

static int by_data(const void *a, const void *b)
{
    const struct lf_tensor *x = a, *y = b;
    if (x->data != y->data)
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* The tensors cover the data without holes or overlaps, to the end of the file. */
static enum lf_err check_cover(struct lf_tensor *t, size_t n, const unsigned char *data,
                               size_t data_bytes, struct lf_diag *diag)
{
    qsort(t, n, sizeof *t, by_data);
    const unsigned char *at = data;
    for (size_t i = 0; i < n; i++) {
        if (t[i].data != at)
            return lf_fail(diag, LF_E_DAMAGED,
                           "tensor \"%.128s\": its data leaves a hole or "
                           "overlaps another's",
                           t[i].name);
        at += t[i].bytes;
    }
    if (at != data + data_bytes)
        return lf_fail(diag, LF_E_DAMAGED, "%zu bytes at the end belong to no tensor",
                       (size_t)(data + data_bytes - at));
    return LF_OK;
}

/* ---- One file -------------------------------------------------------------------------------- */

static enum lf_err check_metadata(const json_t *meta, struct lf_diag *diag)
{
    const char *key;
    json_t *v;
    if (!json_is_object(meta))
        return lf_fail(diag, LF_E_DAMAGED, "__metadata__ is not an object");
    json_object_foreach((json_t *)(uintptr_t)meta, key, v)
        if (!json_is_string(v))
            return lf_fail(diag, LF_E_DAMAGED, "__metadata__'s \"%.64s\" is not a string", key);
    return LF_OK;
}

static enum lf_err parse_header(json_t **out, const unsigned char *bytes, size_t n,
                                size_t header_max, size_t *header_bytes, struct lf_diag *diag)
{
    uint64_t len = 0;
    if (n < 8)
        return lf_fail(diag, LF_E_DAMAGED, "too short for a safetensors file");
    for (int i = 7; i >= 0; i--)
        len = len << 8 | bytes[i];
    if (len > header_max)
        return lf_fail(diag, LF_E_DAMAGED, "its header of %llu bytes is over the limit of %zu",
                       (unsigned long long)len, header_max);
    if (len > n - 8)
        return lf_fail(diag, LF_E_DAMAGED, "its header of %llu bytes is longer than the file",
                       (unsigned long long)len);
    json_t *j;
    enum lf_err rc = lf_json_parse(&j, (const char *)bytes + 8, (size_t)len, diag);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc == LF_E_INVALID ? LF_E_DAMAGED : rc, "header");
    if (!json_is_object(j)) {
        json_decref(j);
        return lf_fail(diag, LF_E_DAMAGED, "its header is not a JSON object");
    }
    *header_bytes = (size_t)len;
    *out = j;
    return LF_OK;
}

static enum lf_err add_entries(struct lf_tensors *ts, const json_t *header,
                               const unsigned char *data, size_t data_bytes, struct lf_diag *diag)
{
    size_t n = json_object_size(header), at = ts->n;
    if (n > LF_SAFETENSORS_TENSORS_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "%zu tensors are over the limit of %d", n,
                       LF_SAFETENSORS_TENSORS_MAX);
    struct lf_tensor *grown = realloc(ts->t, (at + n + 1) * sizeof *grown);
    if (!grown)
        return lf_no_memory(diag, "%zu tensors", n);
    ts->t = grown;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)header, key, v) {
        enum lf_err rc;
        if (strcmp(key, "__metadata__") == 0) {
            rc = check_metadata(v, diag);
            const char *note = json_string_value(json_object_get(v, "lorafs"));
            if (rc == LF_OK && note && !(ts->note = lf_arena_strdup(&ts->arena, note)))
                return lf_no_memory(diag, "the metadata");
        } else {
            struct lf_tensor t = {.name = lf_arena_strdup(&ts->arena, key)};
            if (!t.name)
                return lf_no_memory(diag, "tensor names");
            rc = parse_entry(&t, v, data, data_bytes, diag);
            if (rc == LF_OK)
                ts->t[at++] = t;
        }
        if (rc != LF_OK)
            return rc;
    }
    enum lf_err rc = check_cover(ts->t + ts->n, at - ts->n, data, data_bytes, diag);
    if (rc == LF_OK)
        ts->n = at;
    return rc;
}

static enum lf_err add_bytes(struct lf_tensors *ts, const unsigned char *bytes, size_t n,
                             size_t header_max, struct lf_diag *diag)
{
    json_auto_t *header = NULL;
    size_t header_bytes = 0;
    enum lf_err rc = parse_header(&header, bytes, n, header_max, &header_bytes, diag);
    /* Only now: a good header's length may begin as another kind of file does. */
    if (rc != LF_OK && n > 0 && lf_foreign_check(bytes, n, diag) != LF_OK)
        return LF_E_UNSUPPORTED;
    return rc ?: add_entries(ts, header, bytes + 8 + header_bytes, n - 8 - header_bytes, diag);
}

static enum lf_err add_file(struct lf_tensors *ts, const char *path, size_t header_max,
                            struct lf_diag *diag)
{
    struct lf_mapping *grown = realloc(ts->files, (ts->n_files + 1) * sizeof *grown);
    if (!grown)
        return lf_fail(diag, LF_E_NO_MEMORY, "%s: no memory", path);
    ts->files = grown;
    struct lf_mapping *file = &ts->files[ts->n_files];
    *file = (struct lf_mapping){0};
    enum lf_err rc = lf_file_map(file, path, diag);
    if (rc != LF_OK)
        return rc;
    /* Weights that are used where they lie: one token of 7B passes 900,000 pages of 4 KiB. A kernel
     * and a file system that have huge pages for files read the file into them; refusal costs
     * nothing. */
    madvise((void *)(uintptr_t)file->data, file->bytes, MADV_HUGEPAGE);
    ts->n_files++;
    rc = add_bytes(ts, file->data, file->bytes, header_max, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

/* ---- Sets ------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    const struct lf_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static enum lf_err index_names(struct lf_tensors *ts, struct lf_diag *diag)
{
    ts->by_name = malloc((ts->n + 1) * sizeof(*ts->by_name));
    if (!ts->by_name)
        return lf_no_memory(diag, "%zu tensors", ts->n);
    for (size_t i = 0; i < ts->n; i++)
        ts->by_name[i] = &ts->t[i];
    qsort(ts->by_name, ts->n, sizeof *ts->by_name, by_name);
    for (size_t i = 1; i < ts->n; i++)
        if (strcmp(ts->by_name[i - 1]->name, ts->by_name[i]->name) == 0)
            return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.128s\" is in two shards",
                           ts->by_name[i]->name);
    return LF_OK;
}

static struct lf_tensors *tensors_new(void)
{
    struct lf_tensors *ts = calloc(1, sizeof *ts);
    if (ts)
        lf_arena_init(&ts->arena);
    return ts;
}

/* Ends each way of opening: hands the set over, or frees it. */
static enum lf_err tensors_finish(struct lf_tensors **out, struct lf_tensors *ts, enum lf_err rc,
                                  struct lf_diag *diag)
{
    rc = rc ?: index_names(ts, diag);
    if (rc == LF_OK)
        *out = ts;
    else
        lf_tensors_free(ts);
    return rc;
}

enum lf_err lf_tensors_open(struct lf_tensors **out, const char *path, size_t header_max,
                            struct lf_diag *diag)
{
    struct lf_tensors *ts = tensors_new();
    if (!ts)
        return lf_fail(diag, LF_E_NO_MEMORY, "%s: no memory", path);
    return tensors_finish(out, ts, add_file(ts, path, header_max, diag), diag);
}

enum lf_err lf_tensors_parse(struct lf_tensors **out, const void *data, size_t n, size_t header_max,
                             struct lf_diag *diag)
{
    struct lf_tensors *ts = tensors_new();
    if (!ts)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory");
    return tensors_finish(out, ts, add_bytes(ts, data, n, header_max, diag), diag);
}

static bool shard_name_ok(const char *name)
{
    return name[0] != '\0' && !strchr(name, '/') && strcmp(name, "..") != 0 &&
           strcmp(name, ".") != 0;
}

/* Opens every file that weight_map names, each once. */
static enum lf_err open_shards(struct lf_tensors *ts, const char *dir, const json_t *map,
                               struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *seen = json_object();
    const char *key;
    json_t *v;
    enum lf_err rc = seen ? LF_OK : lf_fail(diag, LF_E_NO_MEMORY, "no memory");
    json_object_foreach((json_t *)(uintptr_t)map, key, v) {
        const char *name = json_is_string(v) ? json_string_value(v) : "";
        if (rc != LF_OK || json_object_get(seen, name))
            continue;
        if (!shard_name_ok(name))
            rc = lf_fail(diag, LF_E_DAMAGED,
                         "the index's shard name \"%.64s\" is not a plain file "
                         "name",
                         name);
        else if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
            rc = lf_fail(diag, LF_E_INVALID, "%.64s...: path too long", dir);
        else if (json_object_set_new(seen, name, json_true()) != 0)
            rc = lf_fail(diag, LF_E_NO_MEMORY, "no memory");
        else
            rc = add_file(ts, path, LF_SAFETENSORS_HEADER_MAX, diag);
    }
    return rc;
}

static enum lf_err open_index(struct lf_tensors **out, const char *dir, const char *index_path,
                              struct lf_diag *diag)
{
    json_t *index;
    enum lf_err rc = lf_json_load(&index, index_path, diag);
    if (rc != LF_OK)
        return rc;
    const json_t *map = json_object_get(index, "weight_map");
    struct lf_tensors *ts = tensors_new();
    if (!ts)
        rc = lf_fail(diag, LF_E_NO_MEMORY, "%s: no memory", dir);
    else if (!json_is_object(map))
        rc = tensors_finish(out, ts,
                            lf_fail(diag, LF_E_DAMAGED, "%s: no \"weight_map\"", index_path), diag);
    else
        rc = tensors_finish(&ts, ts, open_shards(ts, dir, map, diag), diag);
    const char *key;
    json_t *v;
    if (rc == LF_OK) {
        json_object_foreach((json_t *)(uintptr_t)map, key, v)
            if (rc == LF_OK && !lf_tensors_find(ts, key))
                rc = lf_fail(diag, LF_E_DAMAGED, "%s: no shard has \"%.128s\"", index_path, key);
        if (rc == LF_OK)
            *out = ts;
        else
            lf_tensors_free(ts);
    }
    json_decref(index);
    return rc;
}

enum lf_err lf_tensors_open_checkpoint(struct lf_tensors **out, const char *dir,
                                       struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (lf_path_join(path, dir, "model.safetensors.index.json", diag) != LF_OK)
        return LF_E_INVALID;
    if (lf_file_exists(path))
        return open_index(out, dir, path, diag);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    return lf_tensors_open(out, path, LF_SAFETENSORS_HEADER_MAX, diag);
}

void lf_tensors_free(struct lf_tensors *ts)
{
    if (!ts)
        return;
    for (size_t i = 0; i < ts->n_files; i++)
        lf_file_unmap(&ts->files[i]);
    free(ts->files);
    free(ts->t);
    free(ts->by_name);
    lf_arena_free(&ts->arena);
    free(ts);
}

size_t lf_tensors_count(const struct lf_tensors *ts)
{
    return ts->n;
}

const struct lf_tensor *lf_tensors_at(const struct lf_tensors *ts, size_t i)
{
    return &ts->t[i];
}

const struct lf_tensor *lf_tensors_find(const struct lf_tensors *ts, const char *name)
{
    struct lf_tensor key = {.name = name};
    const struct lf_tensor *k = &key;
    const struct lf_tensor **hit = bsearch(&k, ts->by_name, ts->n, sizeof *ts->by_name, by_name);
    return hit ? *hit : NULL;
}

const char *lf_tensors_note(const struct lf_tensors *t)
{
    return t->note;
}
