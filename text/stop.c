/* Stop strings over text that comes in pieces. */
#include "text/stop.h"

#include <string.h>

void lf_stop_init(struct lf_stop *s, const char *const *strings, int n)
{
    lf_assert(n >= 0 && n <= LF_STOPS_MAX);
    *s = (struct lf_stop){.n = n, .met = -1};
    for (int i = 0; i < n; i++) {
        lf_assert(strings[i][0]);
        s->strings[i] = strings[i];
    }
}

void lf_stop_free(struct lf_stop *s)
{
    lf_buf_free(&s->held);
}

/* Where the earliest string begins in what is held, or -1; of several there, the first listed. */
static ptrdiff_t find_first(const struct lf_stop *s, int *which)
{
    ptrdiff_t first = -1;
    for (int i = 0; i < s->n; i++) {
        const char *at = memmem(s->held.data, s->held.len, s->strings[i], strlen(s->strings[i]));
        if (at && (first < 0 || at - s->held.data < first)) {
            first = at - s->held.data;
            *which = i;
        }
    }
    return first;
}

/* Bytes at the end of what is held that begin one of the strings. */
static size_t open_tail(const struct lf_stop *s)
{
    size_t longest = 0;
    for (int i = 0; i < s->n; i++) {
        size_t n = strlen(s->strings[i]) - 1;
        n = n < s->held.len ? n : s->held.len;
        for (; n > longest; n--)
            if (memcmp(s->held.data + s->held.len - n, s->strings[i], n) == 0)
                longest = n;
    }
    return longest;
}

static enum lf_err hand_out(struct lf_stop *s, struct lf_buf *out, size_t n)
{
    enum lf_err rc = n ? lf_buf_append(out, s->held.data, n) : LF_OK;
    if (rc == LF_OK)
        lf_buf_drop_front(&s->held, n);
    return rc;
}

enum lf_err lf_stop_push(struct lf_stop *s, struct lf_buf *out, const char *text, size_t n)
{
    if (s->met >= 0 || n == 0)
        return LF_OK;
    if (s->n == 0)
        return lf_buf_append(out, text, n);
    enum lf_err rc = lf_buf_append(&s->held, text, n);
    if (rc != LF_OK)
        return rc;
    int which = -1;
    ptrdiff_t first = find_first(s, &which);
    if (first < 0)
        return hand_out(s, out, s->held.len - open_tail(s));
    rc = hand_out(s, out, (size_t)first);
    if (rc == LF_OK) {
        s->met = which;
        lf_buf_reset(&s->held);
    }
    return rc;
}

enum lf_err lf_stop_finish(struct lf_stop *s, struct lf_buf *out)
{
    return hand_out(s, out, s->held.len);
}
