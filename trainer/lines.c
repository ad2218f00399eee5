/* Lines of a file, streamed. */
#include "trainer/lines.h"

#include "core/foreign.h"
#include "core/limits.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 16)

enum lf_err lf_lines_open(struct lf_lines *l, const char *path, struct lf_diag *diag)
{
    *l = (struct lf_lines){.path = path, .fd = -1};
    lf_buf_init(&l->buf, LF_DATASET_LINE_MAX + 2 * CHUNK);
    l->hash = lf_sha256_begin();
    if (!l->hash)
        return lf_fail(diag, LF_E_NO_MEMORY, "%s: no memory to read it", path);
    l->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (l->fd < 0)
        return lf_fail_errno(diag, errno, "%s", path);
    return LF_OK;
}

void lf_lines_close(struct lf_lines *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    lf_buf_free(&l->buf);
    lf_sha256_end(l->hash, NULL);
    l->hash = NULL;
}

void lf_lines_sha256(struct lf_lines *l, char out[LF_SHA256_HEX])
{
    lf_sha256_end(l->hash, out);
    l->hash = NULL;
}

/* Reads some more behind what is in the buffer. */
static enum lf_err read_more(struct lf_lines *l, struct lf_diag *diag)
{
    lf_buf_drop_front(&l->buf, l->used);
    l->used = 0;
    char chunk[CHUNK];
    ssize_t n;
    do
        n = read(l->fd, chunk, sizeof chunk);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return lf_fail_errno(diag, errno, "%s", l->path);
    l->at_end = n == 0;
    l->bytes += (uint64_t)n;
    if (l->bytes > LF_DATASET_BYTES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "%s: larger than %llu bytes", l->path,
                       (unsigned long long)LF_DATASET_BYTES_MAX);
    if (l->bytes == (uint64_t)n) {
        enum lf_err rc = lf_foreign_check(chunk, (size_t)n, diag);
        if (rc != LF_OK)
            return rc;
    }
    lf_sha256_add(l->hash, chunk, (size_t)n);
    if (lf_buf_append(&l->buf, chunk, (size_t)n) != LF_OK)
        return lf_fail(diag, l->buf.rc, "%s: no memory to read it", l->path);
    return LF_OK;
}

/* Puts the line that starts at l->used wholly into the buffer; *n is its length. */
static enum lf_err find_end(struct lf_lines *l, size_t *n, struct lf_diag *diag)
{
    size_t seen = 0;
    for (;;) {
        size_t have = l->buf.len - l->used;
        const char *nl =
            have > seen ? memchr(l->buf.data + l->used + seen, '\n', have - seen) : NULL;
        *n = nl ? (size_t)(nl - (l->buf.data + l->used)) : have;
        l->ended = nl != NULL;
        if (*n > LF_DATASET_LINE_MAX)
            return lf_fail(diag, LF_E_TOO_BIG, "line %lld: longer than %u bytes",
                           (long long)l->number + 1, LF_DATASET_LINE_MAX);
        if (nl || l->at_end)
            return LF_OK;
        seen = have;
        enum lf_err rc = read_more(l, diag);
        if (rc != LF_OK)
            return rc;
    }
}

static bool is_blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r')
            return false;
    return true;
}

enum lf_err lf_lines_next(struct lf_lines *l, const char **text, size_t *n, struct lf_diag *diag)
{
    for (;;) {
        size_t k;
        enum lf_err rc = find_end(l, &k, diag);
        if (rc != LF_OK)
            return rc;
        if (k == 0 && !l->ended) {
            *text = NULL;
            *n = 0;
            return LF_OK;
        }
        char *s = l->buf.data + l->used;
        l->used += k + l->ended;
        l->number++;
        if (l->number == 1 && k >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0) {
            s += 3;
            k -= 3;
        }
        if (is_blank(s, k))
            continue;
        if (s[k - 1] == '\r')
            k--;
        s[k] = '\0';
        *text = s;
        *n = k;
        return LF_OK;
    }
}
