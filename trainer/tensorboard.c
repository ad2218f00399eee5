/* TensorBoard's event files. A record is the length of its bytes (8), a checksum of the length (4),
 * the bytes, a checksum of them (4); all little endian. The bytes are a message Event:
 *
 *     1 double wall_time   2 int64 step   3 string file_version   5 Summary   7 SessionLog
 *     Summary: 1 Value;  Value: 1 string tag, 2 float simple_value;  SessionLog: 1 status (1:
 * START)
 */
#include "trainer/tensorboard.h"

#include "core/buf.h"
#include "core/file.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CRC32C 0x82f63b78u /* Castagnoli's polynomial, bits reversed */
#define CRC_MASK 0xa282ead8u
#define EVENT_ROOM ((size_t)64 << 10)

enum wire { WIRE_VARINT = 0, WIRE_EIGHT = 1, WIRE_BYTES = 2, WIRE_FOUR = 5 };

struct lf_tensorboard {
    FILE *file;
    char path[LF_PATH_MAX];
    uint32_t crc_of[256];
};

/* ---- Records --------------------------------------------------------------------------------- */

static void make_table(uint32_t of[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? CRC32C : 0);
        of[i] = c;
    }
}

/* A checksum of data that holds checksums itself would be weak: it is turned and shifted. */
static uint32_t masked_crc(const struct lf_tensorboard *t, const void *data, size_t n)
{
    const unsigned char *p = data;
    uint32_t c = ~0u;
    for (size_t i = 0; i < n; i++)
        c = t->crc_of[(c ^ p[i]) & 255] ^ c >> 8;
    c = ~c;
    return (c >> 15 | c << 17) + CRC_MASK;
}

static enum lf_err put_record(struct lf_tensorboard *t, const struct lf_buf *event,
                              struct lf_diag *diag)
{
    if (event->rc != LF_OK)
        return lf_no_memory(diag, "an event");
    uint64_t n = htole64(event->len);
    uint32_t head = htole32(masked_crc(t, &n, sizeof n));
    uint32_t tail = htole32(masked_crc(t, event->data, event->len));
    if (fwrite(&n, sizeof n, 1, t->file) != 1 || fwrite(&head, sizeof head, 1, t->file) != 1 ||
        fwrite(event->data, event->len, 1, t->file) != 1 ||
        fwrite(&tail, sizeof tail, 1, t->file) != 1)
        return lf_fail_errno(diag, errno, "%s", t->path);
    return LF_OK;
}

/* ---- Messages -------------------------------------------------------------------------------- */

static void put_varint(struct lf_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        lf_buf_putc(b, (char)(v | 128));
    lf_buf_putc(b, (char)v);
}

static void put_key(struct lf_buf *b, int field, enum wire wire)
{
    put_varint(b, (uint64_t)field << 3 | wire);
}

static void put_bytes(struct lf_buf *b, int field, const void *data, size_t n)
{
    put_key(b, field, WIRE_BYTES);
    put_varint(b, n);
    lf_buf_append(b, data, n);
}

static void put_int(struct lf_buf *b, int field, uint64_t v)
{
    put_key(b, field, WIRE_VARINT);
    put_varint(b, v);
}

static void put_event(struct lf_buf *b, double time, int64_t step)
{
    uint64_t bits;
    memcpy(&bits, &time, sizeof bits);
    bits = htole64(bits);
    put_key(b, 1, WIRE_EIGHT);
    lf_buf_append(b, &bits, sizeof bits);
    put_int(b, 2, (uint64_t)step);
}

/* ---- The file -------------------------------------------------------------------------------- */

enum lf_err lf_tensorboard_open(struct lf_tensorboard **out, const char *dir, double time,
                                struct lf_diag *diag)
{
    lf_buf_auto event = {.max = EVENT_ROOM};
    char host[64] = "localhost", name[128];
    enum lf_err rc = lf_dir_make(dir, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_tensorboard *t = calloc(1, sizeof *t);
    if (!t)
        return lf_no_memory(diag, "an event file");
    make_table(t->crc_of);
    if (gethostname(host, sizeof host) != 0 || strchr(host, '/'))
        snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = '\0';
    snprintf(name, sizeof name, "events.out.tfevents.%010lld.%s.%03d.lorafs", (long long)time, host,
             (int)(fmod(time, 1) * 1000));
    rc = lf_path_join(t->path, dir, name, diag);
    if (rc == LF_OK && !(t->file = fopen(t->path, "we")))
        rc = lf_fail_errno(diag, errno, "%s", t->path);
    put_event(&event, time, 0);
    put_bytes(&event, 3, "brain.Event:2", strlen("brain.Event:2"));
    rc = rc ?: put_record(t, &event, diag);
    if (rc == LF_OK)
        *out = t;
    else
        lf_tensorboard_close(t);
    return rc;
}

enum lf_err lf_tensorboard_restart(struct lf_tensorboard *t, double time, int64_t step,
                                   struct lf_diag *diag)
{
    static const char start[] = {1 << 3 | WIRE_VARINT, 1};
    lf_buf_auto event = {.max = EVENT_ROOM};
    put_event(&event, time, step);
    put_bytes(&event, 7, start, sizeof start);
    return put_record(t, &event, diag);
}

enum lf_err lf_tensorboard_scalar(struct lf_tensorboard *t, double time, int64_t step,
                                  const char *tag, double value, struct lf_diag *diag)
{
    lf_buf_auto event = {.max = EVENT_ROOM}, summary = {.max = EVENT_ROOM};
    lf_buf_auto one = {.max = EVENT_ROOM};
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    bits = htole32(bits);
    put_bytes(&one, 1, tag, strlen(tag));
    put_key(&one, 2, WIRE_FOUR);
    lf_buf_append(&one, &bits, sizeof bits);
    put_bytes(&summary, 1, one.data, one.len);
    put_event(&event, time, step);
    put_bytes(&event, 5, summary.data, summary.len);
    return put_record(t, &event, diag);
}

enum lf_err lf_tensorboard_flush(struct lf_tensorboard *t, struct lf_diag *diag)
{
    return fflush(t->file) == 0 ? LF_OK : lf_fail_errno(diag, errno, "%s", t->path);
}

void lf_tensorboard_close(struct lf_tensorboard *t)
{
    if (!t)
        return;
    if (t->file)
        fclose(t->file);
    free(t);
}
