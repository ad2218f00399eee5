/* Tokenised rows, written as a stream and mapped. */
#include "trainer/row_file.h"

#include "core/limits.h"
#include "trainer/limits.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK ((size_t)1 << 20) /* bytes that are written at a time */
#define HEAD_BYTES 4096
#define VERSION 3 /* of this layout, and of what rows become: another one makes them anew */

static const char magic[8] = "lfrows\n";

struct head {
    char magic[8];
    uint32_t version, crc; /* of all behind it in the head */
    uint64_t bytes, index_off, n_rows;
    uint32_t body_crc; /* of all behind the head */
    uint32_t note_bytes;
    char key[LF_SHA256_HEX];
    char note[LF_ROW_NOTE_BYTES];
};
static_assert(sizeof(struct head) <= HEAD_BYTES, "the head has its page");
static_assert(sizeof(struct lf_row_place) == 56, "no holes");

static uint32_t crc_of_head(const struct head *h)
{
    const size_t from = offsetof(struct head, bytes);
    return (uint32_t)crc32_z(0, (const unsigned char *)h + from, sizeof *h - from);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static enum lf_err write_at(int fd, const char *p, size_t n, uint64_t off, struct lf_diag *diag)
{
    while (n > 0) {
        ssize_t k = pwrite(fd, p, n, (off_t)off);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return lf_fail_errno(diag, k < 0 ? errno : ENOSPC, "tokenised rows");
        p += k;
        n -= (size_t)k;
        off += (uint64_t)k;
    }
    return LF_OK;
}

/* Writes out what is in the buffer. The system begins to bring it to the disk at once: what is
 * dirty counts as memory. */
static enum lf_err flush(int fd, struct lf_buf *b, uint64_t *at, struct lf_diag *diag)
{
    if (b->rc != LF_OK)
        return lf_no_memory(diag, "tokenised rows");
    enum lf_err rc = write_at(fd, lf_buf_str(b), b->len, *at, diag);
    if (rc == LF_OK && b->len > 0)
        sync_file_range(fd, (off_t)*at, (off_t)b->len, SYNC_FILE_RANGE_WRITE);
    *at += b->len;
    lf_buf_reset(b);
    return rc;
}

static enum lf_err flush_rows(struct lf_row_writer *w, struct lf_diag *diag)
{
    w->crc = (uint32_t)crc32_z(w->crc, (const unsigned char *)lf_buf_str(&w->rows), w->rows.len);
    return flush(w->fd, &w->rows, &w->rows_at, diag);
}

#define PART ".part" /* behind the file's name until it is whole */

static enum lf_err part_of(char out[LF_NAME_MAX + 1], const char *name, struct lf_diag *diag)
{
    int n = snprintf(out, LF_NAME_MAX + 1, "%s" PART, name);
    return n <= LF_NAME_MAX ? LF_OK : lf_fail(diag, LF_E_INVALID, "%s: too long a name", name);
}

enum lf_err lf_row_file_begin(struct lf_row_writer *w, const struct lf_dataset_limits *limits,
                              struct lf_diag *diag)
{
    char part[LF_NAME_MAX + 1];
    const char *dir = limits->dir ? limits->dir : lf_dir_of_temporaries();
    *w = (struct lf_row_writer){
        .name = limits->rows, .dir = -1, .fd = -1, .index_fd = -1, .rows_at = HEAD_BYTES};
    enum lf_err rc = w->name ? part_of(part, w->name, diag) : LF_OK;
    if (rc != LF_OK)
        return rc;
    w->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w->dir >= 0)
        w->fd = w->name ? openat(w->dir, part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
                        : lf_file_open_nameless(w->dir);
    return w->fd >= 0 ? LF_OK : lf_fail_errno(diag, errno, "tokenised rows in %s", dir);
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void lf_row_file_abandon(struct lf_row_writer *w)
{
    char part[LF_NAME_MAX + 1];
    if (w->fd >= 0 && w->name && part_of(part, w->name, NULL) == LF_OK)
        unlinkat(w->dir, part, 0);
    close_one(&w->fd);
    close_one(&w->index_fd);
    close_one(&w->dir);
    lf_buf_free(&w->rows);
    lf_buf_free(&w->index);
}

/* The index goes to a file of its own once it is larger than a buffer should be. */
static enum lf_err flush_index(struct lf_row_writer *w, struct lf_diag *diag)
{
    if (w->index_fd < 0)
        w->index_fd = lf_file_open_nameless(w->dir);
    if (w->index_fd < 0)
        return lf_fail_errno(diag, errno, "tokenised rows");
    return flush(w->index_fd, &w->index, &w->index_at, diag);
}

enum lf_err lf_row_file_add(struct lf_row_writer *w, const struct lf_row_place *place,
                            const int32_t *ids, const int32_t *labels, const struct lf_buf *text,
                            struct lf_diag *diag)
{
    struct lf_row_place at = *place;
    static const char zeros[8];
    at.off = w->rows_at + w->rows.len;
    at.hash = lf_row_hash(&(struct lf_row){.ids = ids,
                                           .labels = labels,
                                           .n = (int)at.n,
                                           .n_chosen = (int)at.n_chosen,
                                           .unwanted = at.unwanted != 0});
    at.text_bytes = text ? (uint32_t)text->len + 1 : 0;
    lf_buf_append(&w->rows, ids, at.n * sizeof *ids);
    lf_buf_append(&w->rows, labels, at.n * sizeof *labels);
    if (text)
        lf_buf_append(&w->rows, lf_buf_str(text), at.text_bytes);
    lf_buf_append(&w->rows, zeros, -w->rows.len & 7);
    lf_buf_append(&w->index, &at, sizeof at);
    enum lf_err rc = w->rows.len < CHUNK ? w->rows.rc : flush_rows(w, diag);
    if (rc == LF_OK)
        rc = w->index.len < CHUNK ? w->index.rc : flush_index(w, diag);
    w->n++;
    return rc == LF_E_NO_MEMORY ? lf_no_memory(diag, "tokenised rows") : rc;
}

/* The index behind the rows. */
static enum lf_err move_index(struct lf_row_writer *w, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (uint64_t at = 0; at < w->index_at && rc == LF_OK;) {
        char chunk[1 << 16];
        ssize_t k = pread(w->index_fd, chunk, sizeof chunk, (off_t)at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return lf_fail_errno(diag, k < 0 ? errno : EIO, "tokenised rows");
        lf_buf_append(&w->rows, chunk, (size_t)k);
        at += (uint64_t)k;
        rc = w->rows.len < CHUNK ? LF_OK : flush_rows(w, diag);
    }
    lf_buf_append(&w->rows, lf_buf_str(&w->index), w->index.len);
    return rc ?: flush_rows(w, diag);
}

static void point(struct lf_row_file *r, const struct head *h)
{
    r->at = (const void *)((const char *)r->map.data + h->index_off);
    r->n = (size_t)h->n_rows;
}

enum lf_err lf_row_file_end(struct lf_row_writer *w, struct lf_row_file *out, const char *key,
                            const void *note, size_t n, struct lf_diag *diag)
{
    char part[LF_NAME_MAX + 1];
    struct head h;
    lf_assert(n <= sizeof h.note);
    enum lf_err rc = flush_rows(w, diag);
    memset(&h, 0, sizeof h); /* with its padding */
    memcpy(h.magic, magic, sizeof magic);
    h.version = VERSION;
    h.index_off = w->rows_at;
    h.n_rows = w->n;
    rc = rc ?: move_index(w, diag);
    h.bytes = w->rows_at;
    h.body_crc = w->crc;
    snprintf(h.key, sizeof h.key, "%s", key);
    h.note_bytes = (uint32_t)n;
    memcpy(h.note, note, n);
    h.crc = crc_of_head(&h);
    rc = rc ?: write_at(w->fd, (const char *)&h, sizeof h, 0, diag);
    rc = rc ?: lf_file_map_fd(&out->map, w->fd, "tokenised rows", diag);
    if (rc == LF_OK && w->name)
        rc = part_of(part, w->name, diag);
    if (rc == LF_OK && w->name && renameat(w->dir, part, w->dir, w->name) != 0)
        rc = lf_fail_errno(diag, errno, "%s", w->name);
    if (rc == LF_OK)
        point(out, &h);
    else
        lf_file_unmap(&out->map);
    lf_row_file_abandon(w);
    return rc;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The head fits the file and the key. */
static bool head_fits(const struct head *h, size_t bytes, const char *key)
{
    return memcmp(h->magic, magic, sizeof magic) == 0 && h->version == VERSION &&
           h->crc == crc_of_head(h) && strncmp(h->key, key, sizeof h->key) == 0 &&
           h->bytes == bytes && h->index_off >= HEAD_BYTES && h->index_off <= bytes &&
           h->index_off % 8 == 0 && h->n_rows > 0 && h->n_rows <= UINT32_MAX &&
           h->n_rows * sizeof(struct lf_row_place) == bytes - h->index_off;
}

static enum lf_err body_fits(bool *fits, const struct lf_row_file *r, const struct head *h,
                             const struct lf_dataset_limits *limits, struct lf_diag *diag)
{
    const unsigned char *p = r->map.data;
    uint32_t crc = 0;
    for (size_t at = HEAD_BYTES; at < r->map.bytes; at += CHUNK) {
        size_t left = r->map.bytes - at;
        crc = (uint32_t)crc32_z(crc, p + at, left < CHUNK ? left : CHUNK);
        if (limits->go_on && !limits->go_on(limits->arg, (double)at / (double)r->map.bytes))
            return lf_fail(diag, LF_E_CANCELLED, "cancelled");
    }
    *fits = crc == h->body_crc;
    return LF_OK;
}

static bool place_fits(const struct lf_row_place *at, uint64_t end)
{
    uint64_t bytes = (uint64_t)at->n * 2 * sizeof(int32_t) + at->text_bytes;
    return at->off >= HEAD_BYTES && at->off % 8 == 0 && at->off <= end && bytes <= end - at->off &&
           at->weight >= LF_ROW_WEIGHT_MIN * LF_ROW_WEIGHT_MIN &&
           at->weight <= LF_ROW_WEIGHT_MAX * LF_ROW_WEIGHT_MAX && at->n > 0 && at->n <= INT32_MAX &&
           at->n_prompt <= at->n && at->n_supervised <= at->n;
}

static enum lf_err look(struct lf_row_file *r, bool *fits, void *note, size_t n, const char *key,
                        const struct lf_dataset_limits *limits, struct lf_diag *diag)
{
    struct head h;
    if (r->map.bytes < HEAD_BYTES)
        return LF_OK;
    memcpy(&h, r->map.data, sizeof h);
    if (!head_fits(&h, r->map.bytes, key) || h.note_bytes != n)
        return LF_OK;
    enum lf_err rc = body_fits(fits, r, &h, limits, diag);
    if (rc != LF_OK || !*fits)
        return rc;
    point(r, &h);
    for (size_t i = 0; i < r->n && *fits; i++)
        *fits = place_fits(&r->at[i], h.index_off);
    memcpy(note, h.note, n);
    return LF_OK;
}

enum lf_err lf_row_file_open(struct lf_row_file *out, bool *there, void *note, size_t n,
                             const char *key, const struct lf_dataset_limits *limits,
                             struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    bool fits = false;
    *there = false;
    *out = (struct lf_row_file){{0}, NULL, 0};
    if (!limits->rows || lf_path_join(path, limits->dir, limits->rows, NULL) != LF_OK ||
        lf_file_map(&out->map, path, NULL) != LF_OK)
        return LF_OK;
    enum lf_err rc = look(out, &fits, note, n, key, limits, diag);
    *there = rc == LF_OK && fits;
    if (!*there)
        lf_row_file_close(out);
    return rc;
}

void lf_row_file_close(struct lf_row_file *r)
{
    lf_file_unmap(&r->map);
    *r = (struct lf_row_file){{0}, NULL, 0};
}
