/* UTF-8, one code point at a time. */
#include "core/utf8.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

size_t lf_utf8_len(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80)
        return 1;
    size_t want = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
    if (want == 0 || s[0] > 0xf4 || n < want)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return want;
}

size_t lf_utf8_valid(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= sizeof eight) {
            memcpy(&eight, s + i, sizeof eight);
            if (!(eight & 0x8080808080808080u)) {
                i += sizeof eight;
                continue;
            }
        }
        size_t k = lf_utf8_len(s + i, n - i);
        if (k == 0)
            break;
        i += k;
    }
    return i;
}

size_t lf_utf8_part(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t want = s[0] >= 0xf5 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 1;
    if (want == 1 || n < 2)
        return 1;
    unsigned char lo = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char hi = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < lo || s[1] > hi)
        return 1;
    return want == 4 && n > 2 && (s[2] & 0xc0) == 0x80 ? 3 : 2;
}

uint32_t lf_utf8_get(const char *text, size_t *len)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80) {
        *len = 1;
        return s[0];
    }
    if (s[0] < 0xe0) {
        *len = 2;
        return (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
    }
    if (s[0] < 0xf0) {
        *len = 3;
        return (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
    }
    *len = 4;
    return (s[0] & 0x07u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
}

size_t lf_utf8_put(char out[4], uint32_t cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

/* Controls (C0, DEL, C1), line and paragraph separators, and what changes the direction of writing
 * (Trojan Source's characters). */
static bool is_unfit(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x061c || cp == 0x200e || cp == 0x200f ||
           (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

static size_t put_escaped(char out[8], uint32_t cp)
{
    static const char from[] = "\n\t\r", to[] = "ntr";
    const char *at = cp ? strchr(from, (int)cp) : NULL;
    if (cp < 0x80 && at)
        return (size_t)snprintf(out, 8, "\\%c", to[at - from]);
    return (size_t)snprintf(out, 8, cp < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)cp & 0xffff);
}

size_t lf_utf8_printable(char *out, size_t cap, const char *text, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n;) {
        char piece[8];
        size_t k = lf_utf8_len(text + i, n - i), put = k;
        if (k == 0 && (unsigned char)text[i] >= 0xc2 && lf_utf8_part(text + i, n - i) == n - i)
            break; /* cut off */
        uint32_t cp = k ? lf_utf8_get(text + i, &k) : (unsigned char)text[i];
        if (k == 0 || is_unfit(cp))
            put = put_escaped(piece, cp);
        else
            memcpy(piece, text + i, k);
        if (len + put >= cap)
            break;
        memcpy(out + len, piece, put);
        len += put;
        i += k ? k : 1;
    }
    out[len] = '\0';
    return len;
}
