/* UTF-8, the form of all text here: one code point at a time. Any thread. */
#ifndef LF_CORE_UTF8_H
#define LF_CORE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed sequence at s (1 to 4; n > 0 bytes are there), or 0. */
size_t lf_utf8_len(const char *s, size_t n);
/* Length of the longest well-formed prefix. */
size_t lf_utf8_valid(const char *s, size_t n);
/* At bytes that begin no well-formed sequence: how many of them U+FFFD stands for, the longest that
 * could have begun one, at least 1 (Unicode's "maximal subpart", as Python and Rust replace). */
size_t lf_utf8_part(const char *s, size_t n);
/* The code point at s, which is well-formed; its bytes in *len. */
uint32_t lf_utf8_get(const char *s, size_t *len);
/* Writes a code point (below 0x110000) and returns its bytes, 1 to 4. */
size_t lf_utf8_put(char out[4], uint32_t cp);
/* A text of anybody's bytes, made fit for a terminal and for one line of a log: control characters,
 * line separators, marks that turn the direction of writing, and bytes that are no UTF-8 become \n,
 * \t, \r or \x1b, \u202e. What does not fit in cap bytes with a NUL is cut between characters, and
 * a character of which `text` has only the beginning at its end is left out. Returns the length. A
 * text that is fit stays as it is. */
size_t lf_utf8_printable(char *out, size_t cap, const char *text, size_t n);

#endif
