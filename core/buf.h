/* A growable byte buffer that is born with a ceiling and always ends in a NUL (not counted).
 *
 * Any append can fail: for memory, or because the ceiling is reached. The first failure sticks
 * in `rc`, later appends do nothing, so a writer checks once at the end. One thread at a time.
 */
#ifndef LF_CORE_BUF_H
#define LF_CORE_BUF_H

#include "core/err.h"

struct lf_buf {
    char *data; /* NUL-terminated; NULL until the first append */
    size_t len; /* bytes, without the NUL */
    size_t cap;
    size_t max;     /* ceiling for len; 0 means 1 GiB */
    enum lf_err rc; /* the first failure, or LF_OK */
};

/* A buffer of zeros is an empty one: `struct lf_buf text = {.max = ceiling};` Where it is a member,
 * of memory that may hold anything: */
void lf_buf_init(struct lf_buf *b, size_t max);
/* Frees; the buffer may be used again with the same ceiling. */
void lf_buf_free(struct lf_buf *b);
/* A local buffer that is freed where its block ends: `lf_buf_auto text = {0};` */
#define lf_buf_auto __attribute__((cleanup(lf_buf_free))) struct lf_buf
/* Keeps the memory and the ceiling, forgets bytes and failure. */
void lf_buf_reset(struct lf_buf *b);

enum lf_err lf_buf_append(struct lf_buf *b, const void *data, size_t n);
enum lf_err lf_buf_puts(struct lf_buf *b, const char *s);
enum lf_err lf_buf_putc(struct lf_buf *b, char c);
enum lf_err lf_buf_printf(struct lf_buf *b, const char *fmt, ...) LF_PRINTF(2, 3);
/* Appends s, NULL where n is 0, as a JSON string; bytes that are not UTF-8 become U+FFFD. */
enum lf_err lf_buf_json(struct lf_buf *b, const char *s, size_t n);
/* Appends s as text or an attribute's value of HTML, XML, SVG; control characters but tab and line
 * ends, and bytes that are not UTF-8, become U+FFFD. */
enum lf_err lf_buf_xml(struct lf_buf *b, const char *s);
/* Appends s with bytes that are not UTF-8 replaced: U+FFFD for each "maximal subpart". */
enum lf_err lf_buf_utf8(struct lf_buf *b, const char *s, size_t n);
/* The bytes with a NUL after them; never NULL. */
static inline const char *lf_buf_str(const struct lf_buf *b)
{
    return b->data ? b->data : "";
}

/* Removes the first n bytes. */
void lf_buf_drop_front(struct lf_buf *b, size_t n);
/* Hands the bytes over (NUL-terminated, yours, free with free()); the buffer is empty again.
 * Never NULL unless memory ran out. */
char *lf_buf_take(struct lf_buf *b, size_t *len);

#endif
