/* Writing a GGUF file: keys, then the tensors' places, then their bytes in any order. */
#include "tools/gguf/inside.h"

#include "core/replace.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ALIGNMENT 32u
#define VERSION 3u

struct lf_gguf_writer {
    struct lf_replacement out;
    struct lf_buf keys, places;
    uint64_t n_keys, n_tensors;
    uint64_t data, data_bytes; /* where data begins, and how much there is */
    uint64_t *offs, *bytes;    /* (n_tensors) of each one's, from `data` on */
    size_t n_max;
};

static void put(struct lf_buf *b, const void *x, size_t n)
{
    lf_buf_append(b, x, n); /* little-endian, as the machines are; a failure stays in the buffer */
}

static void put_u32(struct lf_buf *b, uint32_t x)
{
    put(b, &x, sizeof x);
}

static void put_u64(struct lf_buf *b, uint64_t x)
{
    put(b, &x, sizeof x);
}

static void put_str(struct lf_buf *b, struct lf_str s)
{
    put_u64(b, s.n);
    put(b, s.s, s.n);
}

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static struct lf_buf *begin_key(struct lf_gguf_writer *w, const char *key, enum lf_gguf_kind kind)
{
    w->n_keys++;
    put_str(&w->keys, (struct lf_str){key, strlen(key)});
    put_u32(&w->keys, kind);
    return &w->keys;
}

void lf_gguf_put_text(struct lf_gguf_writer *w, const char *key, const char *s)
{
    put_str(begin_key(w, key, LF_GGUF_STR), (struct lf_str){s, strlen(s)});
}

void lf_gguf_put_f32(struct lf_gguf_writer *w, const char *key, float x)
{
    put(begin_key(w, key, LF_GGUF_F32), &x, sizeof x);
}

/* ---- Tensors --------------------------------------------------------------------------------- */

/* As GGUF numbers them (forms.c). */
static uint32_t type_of(enum lf_dtype dtype)
{
    return dtype == LF_F32 ? 0 : dtype == LF_F16 ? 1 : 30;
}

enum lf_err lf_gguf_create(struct lf_gguf_writer **out, const char *path, size_t n_max,
                           struct lf_diag *diag)
{
    struct lf_gguf_writer *w = calloc(1, sizeof *w);
    if (!w)
        return lf_no_memory(diag, "%s", path);
    w->out.fd = -1;
    w->n_max = n_max;
    w->offs = calloc(n_max + 1, sizeof *w->offs);
    w->bytes = calloc(n_max + 1, sizeof *w->bytes);
    enum lf_err rc = w->offs && w->bytes ? LF_OK : lf_no_memory(diag, "%s", path);
    rc = rc ?: lf_replacement_open(&w->out, path, diag);
    if (rc == LF_OK)
        *out = w;
    else
        lf_gguf_writer_free(w);
    return rc;
}

void lf_gguf_add(struct lf_gguf_writer *w, const char *name, enum lf_dtype dtype, int64_t rows,
                 int64_t cols)
{
    lf_assert(w->n_tensors < w->n_max);
    uint64_t bytes = (uint64_t)(rows ? rows : 1) * (uint64_t)cols * lf_dtype_bytes(dtype);
    put_str(&w->places, (struct lf_str){name, strlen(name)});
    put_u32(&w->places, rows ? 2 : 1);
    put_u64(&w->places, (uint64_t)cols);
    if (rows)
        put_u64(&w->places, (uint64_t)rows);
    put_u32(&w->places, type_of(dtype));
    put_u64(&w->places, w->data_bytes);
    w->offs[w->n_tensors] = w->data_bytes;
    w->bytes[w->n_tensors++] = bytes;
    w->data_bytes += aligned(bytes);
}

enum lf_err lf_gguf_begin(struct lf_gguf_writer *w, struct lf_diag *diag)
{
    lf_buf_auto head = {0};
    lf_buf_puts(&head, "GGUF");
    put_u32(&head, VERSION);
    put_u64(&head, w->n_tensors);
    put_u64(&head, w->n_keys);
    if (w->keys.rc != LF_OK || w->places.rc != LF_OK || head.rc != LF_OK)
        return lf_no_memory(diag, "the header of %s", w->out.path);
    w->data = aligned(head.len + w->keys.len + w->places.len);
    enum lf_err rc = lf_dir_room(w->out.tmp, w->data + w->data_bytes, diag);
    if (rc == LF_OK && ftruncate(w->out.fd, (off_t)(w->data + w->data_bytes)) != 0)
        rc = lf_fail_errno(diag, errno, "%s: truncate", w->out.tmp);
    rc = rc ?: lf_file_write_at(w->out.fd, head.data, head.len, 0, w->out.tmp, diag);
    rc = rc ?: lf_file_write_at(w->out.fd, w->keys.data, w->keys.len, head.len, w->out.tmp, diag);
    return rc
               ?: lf_file_write_at(w->out.fd, w->places.data, w->places.len, head.len + w->keys.len,
                                   w->out.tmp, diag);
}

enum lf_err lf_gguf_put(struct lf_gguf_writer *w, size_t index, uint64_t offset, const void *data,
                        size_t n, struct lf_diag *diag)
{
    lf_assert(index < w->n_tensors && offset <= w->bytes[index] && n <= w->bytes[index] - offset);
    return lf_file_write_at(w->out.fd, data, n, w->data + w->offs[index] + offset, w->out.tmp,
                            diag);
}

enum lf_err lf_gguf_commit(struct lf_gguf_writer *w, struct lf_diag *diag)
{
    return lf_replacement_commit(&w->out, diag);
}

void lf_gguf_writer_free(struct lf_gguf_writer *w)
{
    if (!w)
        return;
    lf_replacement_close(&w->out);
    lf_buf_free(&w->keys);
    lf_buf_free(&w->places);
    free(w->offs);
    free(w->bytes);
    free(w);
}
