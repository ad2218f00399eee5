/* The Range header: one range of bytes is honoured, anything else gets the whole file. And the
 * tags that say of which file it is to be. */
#include "daemon/http/http.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Digits to a number, saturating; false when there are none. */
static bool digits(const char **p, uint64_t *out)
{
    uint64_t v = 0;
    if (!isdigit((unsigned char)**p))
        return false;
    for (; isdigit((unsigned char)**p); (*p)++) {
        unsigned d = (unsigned)(**p - '0');
        v = v > (UINT64_MAX - d) / 10 ? UINT64_MAX : v * 10 + d;
    }
    *out = v;
    return true;
}

enum lf_range lf_range_parse(const char *value, uint64_t bytes, uint64_t *first, uint64_t *n)
{
    uint64_t a = 0, b = UINT64_MAX;
    if (!value || strncmp(value, "bytes=", 6) != 0)
        return LF_RANGE_WHOLE;
    const char *p = value + 6;
    bool has_a = digits(&p, &a);
    if (*p++ != '-')
        return LF_RANGE_WHOLE;
    bool has_b = digits(&p, &b);
    if (*p || (!has_a && !has_b) || (has_a && has_b && b < a))
        return LF_RANGE_WHOLE;
    if (!has_a) { /* the last b bytes */
        if (b == 0 || bytes == 0)
            return LF_RANGE_NONE;
        a = b < bytes ? bytes - b : 0;
        b = UINT64_MAX;
    }
    if (a >= bytes)
        return LF_RANGE_NONE;
    *first = a;
    *n = (b < bytes - 1 ? b : bytes - 1) - a + 1;
    return LF_RANGE_PART;
}

bool lf_tag_listed(const char *value, const char *tag)
{
    char quoted[LF_FILE_TAG + 2];
    snprintf(quoted, sizeof quoted, "\"%s\"", tag);
    return value && (strcmp(value, "*") == 0 || strstr(value, quoted));
}

bool lf_tag_only(const char *value, char tag[LF_FILE_TAG])
{
    if (!value || strlen(value) != LF_FILE_TAG + 1 || value[0] != '"' || value[LF_FILE_TAG] != '"')
        return false;
    snprintf(tag, LF_FILE_TAG, "%.*s", LF_FILE_TAG - 1, value + 1);
    return !strchr(tag, '"');
}
