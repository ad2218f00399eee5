/* Lines of a file, streamed. */
#include "container/lines.h"

#include "core/limits.h"

#include <string.h>

#define CHUNK ((size_t)1 << 16)

enum lf_err lf_lines_open(struct lf_lines *l, const char *path, struct lf_diag *diag)
{
    memset(l, 0, sizeof *l);
    lf_buf_init(&l->buf, LF_DATASET_LINE_MAX + 8 * CHUNK);
    return lf_source_open(&l->source, path, diag);
}

void lf_lines_close(struct lf_lines *l)
{
    lf_source_close(&l->source);
    lf_buf_free(&l->buf);
}

/* Reads some more behind what is in the buffer. */
static enum lf_err read_more(struct lf_lines *l, struct lf_diag *diag)
{
    lf_buf_drop_front(&l->buf, l->used);
    l->used = 0;
    return lf_source_read(&l->source, &l->buf, diag);
}

enum lf_err lf_lines_need(struct lf_lines *l, size_t want, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && l->buf.len - l->used < want && !l->source.at_end)
        rc = read_more(l, diag);
    return rc;
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
        if (nl || l->source.at_end)
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
