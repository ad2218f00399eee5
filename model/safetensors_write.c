/* The safetensors writer. Data offsets are given out as tensors are added; the header's room is
 * kept in front and padded with spaces, as the format allows. */
#include "model/safetensors.h"

#include "core/buf.h"
#include "core/file.h"
#include "core/replace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The longest entry: {"dtype":"BF16","shape":[8 numbers of 20 digits],"data_offsets":[2 of 20]},
 * and quotes, colon, comma around it. */
#define ENTRY_BYTES 280

struct lf_tensors_writer {
    struct lf_replacement out;
    size_t header_room; /* bytes of the header, after its 8 bytes of length */
    size_t data_bytes;
    struct lf_buf header; /* the JSON so far, without the closing brace */
    struct placed {
        size_t offset, bytes;
    } * placed;
    size_t n, n_max;
};

static const char *dtype_name(enum lf_dtype t)
{
    static const char *const names[] = {
        [LF_F32] = "F32", [LF_BF16] = "BF16", [LF_F16] = "F16",
        [LF_U8] = "U8",   [LF_I32] = "I32",   [LF_I64] = "I64",
    };
    return names[t];
}

enum lf_err lf_tensors_create(struct lf_tensors_writer **out, const char *path, size_t n_max,
                              size_t names_bytes, struct lf_diag *diag)
{
    struct lf_tensors_writer *w = calloc(1, sizeof *w);
    if (!w)
        return lf_fail(diag, LF_E_NO_MEMORY, "%s: no memory", path);
    w->out.fd = -1;
    /* A name may need six bytes of JSON for one of its own. */
    w->header_room = (64 + n_max * ENTRY_BYTES + 6 * names_bytes + 7) / 8 * 8;
    lf_buf_init(&w->header, w->header_room);
    lf_buf_puts(&w->header, "{\"__metadata__\":{\"format\":\"pt\"}");
    w->n_max = n_max;
    w->placed = calloc(n_max ? n_max : 1, sizeof *w->placed);
    enum lf_err rc = w->placed ? LF_OK : lf_fail(diag, LF_E_NO_MEMORY, "%s: no memory", path);
    rc = rc ?: lf_replacement_open(&w->out, path, diag);
    if (rc == LF_OK)
        *out = w;
    else
        lf_tensors_writer_free(w);
    return rc;
}

enum lf_err lf_tensors_add(struct lf_tensors_writer *w, const struct lf_tensor *t, size_t *index,
                           struct lf_diag *diag)
{
    lf_assert(w->n < w->n_max);
    lf_assert(w->data_bytes % lf_dtype_bytes(t->dtype) == 0);
    size_t bytes, end;
    if (!lf_tensor_bytes(&bytes, t->dtype, t->dims, t->n_dims) ||
        __builtin_add_overflow(w->data_bytes, bytes, &end))
        return lf_fail(diag, LF_E_TOO_BIG, "tensor \"%.128s\" is too big", t->name);
    lf_buf_putc(&w->header, ',');
    lf_buf_json(&w->header, t->name, strlen(t->name));
    lf_buf_printf(&w->header, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(t->dtype));
    for (int i = 0; i < t->n_dims; i++)
        lf_buf_printf(&w->header, "%s%lld", i ? "," : "", (long long)t->dims[i]);
    lf_buf_printf(&w->header, "],\"data_offsets\":[%zu,%zu]}", w->data_bytes, end);
    if (w->header.rc != LF_OK)
        return lf_fail(diag, w->header.rc, "%s: no room for its header", w->out.path);
    w->placed[w->n] = (struct placed){w->data_bytes, bytes};
    w->data_bytes = end;
    *index = w->n++;
    return LF_OK;
}

enum lf_err lf_tensors_put(struct lf_tensors_writer *w, size_t index, const void *data,
                           struct lf_diag *diag)
{
    lf_assert(index < w->n);
    return lf_tensors_put_part(w, index, 0, data, w->placed[index].bytes, diag);
}

enum lf_err lf_tensors_put_part(struct lf_tensors_writer *w, size_t index, size_t offset,
                                const void *data, size_t n, struct lf_diag *diag)
{
    lf_assert(index < w->n && offset <= w->placed[index].bytes &&
              n <= w->placed[index].bytes - offset);
    return lf_file_write_at(w->out.fd, data, n,
                            8 + w->header_room + w->placed[index].offset + offset, w->out.tmp,
                            diag);
}

enum lf_err lf_tensors_commit(struct lf_tensors_writer *w, struct lf_diag *diag)
{
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)w->header_room >> (8 * i));
    lf_buf_putc(&w->header, '}');
    while (w->header.rc == LF_OK && w->header.len < w->header_room)
        lf_buf_putc(&w->header, ' ');
    if (w->header.rc != LF_OK)
        return lf_fail(diag, w->header.rc, "%s: no room for its header", w->out.path);
    if (ftruncate(w->out.fd, (off_t)(8 + w->header_room + w->data_bytes)) != 0)
        return lf_fail_errno(diag, errno, "%s: truncate", w->out.tmp);
    enum lf_err rc = lf_file_write_at(w->out.fd, length, 8, 0, w->out.tmp, diag);
    rc = rc ?: lf_file_write_at(w->out.fd, w->header.data, w->header_room, 8, w->out.tmp, diag);
    return rc ?: lf_replacement_commit(&w->out, diag);
}

void lf_tensors_writer_free(struct lf_tensors_writer *w)
{
    if (!w)
        return;
    lf_replacement_close(&w->out);
    lf_buf_free(&w->header);
    free(w->placed);
    free(w);
}

/* Into the metadata, before the first tensor; the header's room was made for it. */
static void put_note(struct lf_tensors_writer *w, const char *note)
{
    lf_assert(w->n == 0);
    w->header.len--; /* the metadata's closing brace */
    lf_buf_puts(&w->header, ",\"lorafs\":");
    lf_buf_json(&w->header, note, strlen(note));
    lf_buf_putc(&w->header, '}');
}

enum lf_err lf_tensors_write(const char *path, const struct lf_tensor *t, size_t n,
                             struct lf_diag *diag)
{
    return lf_tensors_write_noted(path, t, n, NULL, diag);
}

enum lf_err lf_tensors_write_noted(const char *path, const struct lf_tensor *t, size_t n,
                                   const char *note, struct lf_diag *diag)
{
    struct lf_tensors_writer *w;
    size_t names = note ? strlen(note) + 16 : 0, index;
    for (size_t i = 0; i < n; i++)
        names += strlen(t[i].name);
    enum lf_err rc = lf_tensors_create(&w, path, n, names, diag);
    if (rc != LF_OK)
        return rc;
    if (note)
        put_note(w, note);
    for (size_t i = 0; i < n && rc == LF_OK; i++) {
        rc = lf_tensors_add(w, &t[i], &index, diag);
        rc = rc ?: lf_tensors_put(w, index, t[i].data, diag);
    }
    rc = rc ?: lf_tensors_commit(w, diag);
    lf_tensors_writer_free(w);
    return rc;
}
