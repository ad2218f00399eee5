/* A merged base as a checkpoint's directory. */
#include "model/export.h"

#include "core/file.h"
#include "core/json.h"
#include "core/limits.h"
#include "model/companions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((int64_t)1 << 20) /* numbers in memory at once, or a row where it has more */
#define SHARD_NAME_BYTES 64
#define TEMPORARY_BYTES (LF_PATH_MAX - 64)

/* How far it is. */
struct meter {
    const struct lf_export_options *o;
    uint64_t done, total;
};

/* A tensor's place among the files. */
struct exported_tensor {
    const struct lf_merged_tensor *t;
    struct lf_tensor as; /* what the file says of it */
    size_t shard, index; /* index: the writer's */
};

struct exporting {
    struct lf_merged_base *m;
    const struct lf_export_options *o;
    struct exported_tensor *tensors; /* (m->n) */
    size_t n_shards;
    struct meter meter;
    struct lf_tensors_writer *w;
    const struct exported_tensor *now;
};

/* ---- Pieces ---------------------------------------------------------------------------------- */

static enum lf_err step(struct meter *x, uint64_t bytes, struct lf_diag *diag)
{
    x->done += bytes;
    if (x->o->stop && *x->o->stop)
        return lf_fail(diag, LF_E_CANCELLED, "interrupted");
    if (x->o->progress)
        x->o->progress(x->o->progress_arg, (double)x->done / (double)x->total, "writing");
    return LF_OK;
}

/* All rows of a tensor of numbers in a dtype, in order, some at a time: `put` gets their bytes. */
typedef enum lf_err (*put_fn)(void *arg, const struct lf_merged_tensor *t, int64_t row,
                              const void *data, size_t bytes, struct lf_diag *diag);
static enum lf_err put_all_rows(struct lf_merged_base *m, const struct lf_merged_tensor *t,
                                enum lf_dtype dtype, put_fn put, void *arg, struct lf_diag *diag)
{
    int64_t some = t->cols < CHUNK ? CHUNK / t->cols : 1;
    some = some < t->rows ? some : t->rows;
    size_t row_bytes = (size_t)t->cols * lf_dtype_bytes(dtype);
    float *wide = malloc((size_t)some * (size_t)t->cols * sizeof *wide);
    char *narrow = malloc((size_t)some * row_bytes);
    enum lf_err rc = LF_OK;
    if (!wide || !narrow)
        rc = lf_no_memory(diag, "tensor \"%.128s\"", t->stored->name);
    for (int64_t row = 0; row < t->rows && rc == LF_OK; row += some) {
        int64_t n = t->rows - row < some ? t->rows - row : some;
        rc = lf_merged_rows(m, t, row, n, wide, diag);
        if (rc == LF_OK)
            lf_from_f32(narrow, dtype, wide, (size_t)(n * t->cols));
        rc = rc ?: put(arg, t, row, narrow, (size_t)n * row_bytes, diag);
    }
    free(wide);
    free(narrow);
    return rc;
}

/* ---- What goes where ------------------------------------------------------------------------- */

/* In the checkpoint's order; a shard is full where the next tensor does not fit. */
static enum lf_err lay_out(struct exporting *x, struct lf_diag *diag)
{
    uint64_t filled = 0;
    x->tensors = calloc(x->m->n + 1, sizeof *x->tensors);
    if (!x->tensors)
        return lf_no_memory(diag, "the tensors' places");
    x->n_shards = 1;
    for (size_t i = 0; i < x->m->n; i++) {
        struct exported_tensor *e = &x->tensors[i];
        e->t = &x->m->tensors[i];
        e->as = *e->t->stored;
        if (e->t->numbers)
            e->as.dtype = x->o->dtype;
        if (e->t->site >= 0) {
            e->as.n_dims = 2;
            e->as.dims[0] = e->t->rows;
            e->as.dims[1] = e->t->cols;
        }
        if (!lf_tensor_bytes(&e->as.bytes, e->as.dtype, e->as.dims, e->as.n_dims))
            return lf_fail(diag, LF_E_TOO_BIG, "tensor \"%.128s\" is too big", e->as.name);
        if (filled > 0 && filled + e->as.bytes > (uint64_t)x->o->shard_bytes) {
            x->n_shards++;
            filled = 0;
        }
        e->shard = x->n_shards - 1;
        filled += e->as.bytes;
        x->meter.total += e->as.bytes;
    }
    return LF_OK;
}

static void shard_name(char out[SHARD_NAME_BYTES], const struct exporting *x, size_t shard)
{
    if (x->n_shards == 1)
        snprintf(out, SHARD_NAME_BYTES, "model.safetensors");
    else
        snprintf(out, SHARD_NAME_BYTES, "model-%05zu-of-%05zu.safetensors", shard + 1, x->n_shards);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static enum lf_err put_rows(void *arg, const struct lf_merged_tensor *t, int64_t row,
                            const void *data, size_t bytes, struct lf_diag *diag)
{
    struct exporting *x = arg;
    size_t row_bytes = (size_t)t->cols * lf_dtype_bytes(x->o->dtype);
    enum lf_err rc =
        lf_tensors_put_part(x->w, x->now->index, (size_t)row * row_bytes, data, bytes, diag);
    return rc ?: step(&x->meter, bytes, diag);
}

static enum lf_err put_tensor(struct exporting *x, const struct exported_tensor *e,
                              struct lf_diag *diag)
{
    x->now = e;
    if (e->t->numbers)
        return put_all_rows(x->m, e->t, x->o->dtype, put_rows, x, diag);
    enum lf_err rc = lf_tensors_put(x->w, e->index, e->as.data, diag);
    return rc ?: step(&x->meter, e->as.bytes, diag);
}

/* Larger elements first, so that all are aligned. */
static enum lf_err write_shard(struct exporting *x, size_t shard, const char *path,
                               struct lf_diag *diag)
{
    size_t n = 0, names = 0;
    for (size_t i = 0; i < x->m->n; i++)
        if (x->tensors[i].shard == shard) {
            n++;
            names += strlen(x->tensors[i].as.name);
        }
    enum lf_err rc = lf_tensors_create(&x->w, path, n, names, diag);
    if (rc != LF_OK)
        return rc;
    for (size_t element = 8; element > 0; element /= 2)
        for (size_t i = 0; i < x->m->n && rc == LF_OK; i++) {
            struct exported_tensor *e = &x->tensors[i];
            if (e->shard == shard && lf_dtype_bytes(e->as.dtype) == element)
                rc = lf_tensors_add(x->w, &e->as, &e->index, diag);
        }
    for (size_t i = 0; i < x->m->n && rc == LF_OK; i++)
        if (x->tensors[i].shard == shard)
            rc = put_tensor(x, &x->tensors[i], diag);
    rc = rc ?: lf_tensors_commit(x->w, diag);
    lf_tensors_writer_free(x->w);
    return rc;
}

static enum lf_err write_index(const struct exporting *x, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], name[SHARD_NAME_BYTES];
    json_t *map = json_object();
    for (size_t i = 0; i < x->m->n; i++) {
        shard_name(name, x, x->tensors[i].shard);
        json_object_set_new(map, x->tensors[i].as.name, json_string(name));
    }
    json_t *j = json_pack("{s:{s:I},s:o}", "metadata", "total_size", (json_int_t)x->meter.total,
                          "weight_map", map);
    enum lf_err rc = lf_path_join(path, dir, "model.safetensors.index.json", diag);
    if (rc != LF_OK) {
        json_decref(j);
        return rc;
    }
    return lf_json_write(path, j, JSON_INDENT(2) | JSON_SORT_KEYS, diag);
}

static enum lf_err write_weights(struct exporting *x, const char *dir, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < x->n_shards && rc == LF_OK; i++) {
        char path[LF_PATH_MAX], name[SHARD_NAME_BYTES];
        shard_name(name, x, i);
        rc = lf_path_join(path, dir, name, diag) ?: write_shard(x, i, path, diag);
    }
    if (rc == LF_OK && x->n_shards > 1)
        rc = write_index(x, dir, diag);
    return rc;
}

/* The base's, of plain numbers: transformers 5 calls them "dtype", those before "torch_dtype". */
static enum lf_err write_config(const char *base, const char *dir, enum lf_dtype dtype,
                                struct lf_diag *diag)
{
    const char *name = dtype == LF_BF16 ? "bfloat16" : dtype == LF_F16 ? "float16" : "float32";
    char from[LF_PATH_MAX], to[LF_PATH_MAX];
    json_t *j;
    enum lf_err rc = lf_path_join(from, base, "config.json", diag);
    rc = rc ?: lf_path_join(to, dir, "config.json", diag);
    rc = rc ?: lf_json_load(&j, from, diag);
    if (rc != LF_OK)
        return rc;
    json_object_del(j, "quantization_config");
    json_object_set_new(j, json_object_get(j, "dtype") ? "dtype" : "torch_dtype",
                        json_string(name));
    return lf_json_write(to, j, JSON_INDENT(2) | JSON_SORT_KEYS, diag);
}

/* ---- The directory --------------------------------------------------------------------------- */

/* LF_E_EXISTS: something is there that a rename would not replace, or should not. */
static enum lf_err check_free(const char *dir, struct lf_diag *diag)
{
    struct stat st;
    lf_names_auto inside = {0};
    if (stat(dir, &st) != 0)
        return LF_OK;
    enum lf_err rc = lf_dir_names(&inside, dir, diag);
    if (rc == LF_OK && (inside.n > 0 || !S_ISDIR(st.st_mode)))
        rc = lf_fail(diag, LF_E_EXISTS, "%s: there is something already", dir);
    return rc;
}

/* Beside DIR, whose name it takes in the end. */
static enum lf_err make_temporary(char tmp[TEMPORARY_BYTES], const char *dir, uint64_t bytes,
                                  struct lf_diag *diag)
{
    enum lf_err rc = check_free(dir, diag);
    if (rc == LF_OK && snprintf(tmp, TEMPORARY_BYTES, "%s.tmp-XXXXXX", dir) >= TEMPORARY_BYTES)
        rc = lf_fail(diag, LF_E_INVALID, "%.64s...: path too long", dir);
    if (rc == LF_OK && !mkdtemp(tmp))
        rc = lf_fail_errno(diag, errno, "%s", tmp);
    if (rc == LF_OK && chmod(tmp, 0755) != 0)
        rc = lf_fail_errno(diag, errno, "%s: chmod", tmp);
    return rc ?: lf_dir_room(tmp, bytes, diag);
}

static enum lf_err put_in_place(const char *tmp, const char *dir, struct lf_diag *diag)
{
    char parent[LF_PATH_MAX];
    if (rename(tmp, dir) != 0)
        return lf_fail_errno(diag, errno, "%s", dir);
    snprintf(parent, sizeof parent, "%s/..", dir);
    return lf_dir_sync(parent, diag);
}

enum lf_err lf_export_checkpoint(struct lf_merged_base *m, const char *base, const char *dir,
                                 const struct lf_export_options *o, struct lf_diag *diag)
{
    struct exporting x = {.m = m, .o = o, .meter = {.o = o}};
    char tmp[TEMPORARY_BYTES] = "";
    enum lf_err rc = lay_out(&x, diag);
    rc = rc ?: make_temporary(tmp, dir, x.meter.total, diag);
    rc = rc ?: lf_companions_copy(base, tmp, diag);
    rc = rc ?: write_weights(&x, tmp, diag);
    rc = rc ?: write_config(base, tmp, o->dtype, diag);
    rc = rc ?: put_in_place(tmp, dir, diag);
    free(x.tensors);
    if (rc != LF_OK && tmp[0])
        (void)!lf_dir_remove(tmp, NULL);
    return rc;
}
