/* JSON from outside, read strictly. */
#include "core/json.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/foreign.h"
#include "core/limits.h"
#include "core/nearest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What jansson and malloc take for each kind of value, beside a string's own bytes. */
#define OBJECT_BYTES 224
#define ARRAY_BYTES 128
#define MEMBER_BYTES 112 /* of an object, beside its key */
#define ENTRY_BYTES 16   /* of an array */
#define STRING_BYTES 80
#define NUMBER_BYTES 32

struct survey {
    size_t deepest; /* nesting of brackets outside strings; a parser recurses that deep */
    size_t tree_bytes;
};

/* The bytes of a string from its opening quote on. */
static size_t string_bytes(const char *s, size_t n)
{
    size_t k = 1;
    while (k < n && s[k] != '"')
        k += s[k] == '\\' ? 2 : 1;
    return k < n ? k + 1 : n;
}

static struct survey json_survey(const char *s, size_t n)
{
    struct survey v = {0, 0};
    size_t depth = 0;
    for (size_t i = 0, k; i < n; i += k) {
        char c = s[i];
        k = 1;
        if (c == '"') {
            k = string_bytes(s + i, n - i);
            v.tree_bytes += STRING_BYTES + k;
        } else if (c == '[' || c == '{') {
            depth++;
            v.deepest = depth > v.deepest ? depth : v.deepest;
            v.tree_bytes += c == '[' ? ARRAY_BYTES : OBJECT_BYTES;
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ':') {
            v.tree_bytes += MEMBER_BYTES;
        } else if (c == ',') {
            v.tree_bytes += ENTRY_BYTES;
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            while (i + k < n && s[i + k] && strchr("+-.eE0123456789", s[i + k]))
                k++;
            v.tree_bytes += NUMBER_BYTES;
        }
    }
    return v;
}

size_t lf_json_tree_bytes(const char *text, size_t n)
{
    return json_survey(text, n).tree_bytes;
}

size_t lf_json_size(const json_t *j)
{
    const char *key;
    json_t *v;
    size_t bytes = 0;
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        bytes = OBJECT_BYTES;
        json_object_foreach((json_t *)(uintptr_t)j, key, v)
            bytes += MEMBER_BYTES + strlen(key) + lf_json_size(v);
        break;
    case JSON_ARRAY:
        bytes = ARRAY_BYTES;
        for (size_t i = 0; i < json_array_size(j); i++)
            bytes += ENTRY_BYTES + lf_json_size(json_array_get(j, i));
        break;
    case JSON_STRING:
        bytes = STRING_BYTES + json_string_length(j);
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        bytes = NUMBER_BYTES;
        break;
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        break;
    }
    return bytes;
}

/* ---- Large integers -------------------------------------------------------------------------- */

/* The integer at s, of at most n bytes, does not fit 64 bits with a sign; *length is its own. Reals
 * (with a point or an exponent) are none. */
static bool is_large_at(const char *s, size_t n, size_t *length)
{
    size_t sign = n > 0 && s[0] == '-', k = sign;
    while (k < n && s[k] >= '0' && s[k] <= '9')
        k++;
    *length = k;
    if (k == sign || (k < n && strchr(".eE", s[k])) || (k - sign > 1 && s[sign] == '0'))
        return false;
    if (k - sign != 19)
        return k - sign > 19;
    return memcmp(s + sign, sign ? "9223372036854775808" : "9223372036854775807", 19) > 0;
}

/* Appends the text with its large integers in quotes. Brackets, strings and words are copied: what
 * is wrong with them is the parser's to say. */
static enum lf_err quote_large(struct lf_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n && out->rc == LF_OK;) {
        size_t k = 1;
        if (s[i] == '"') {
            while (i + k < n && s[i + k] != '"')
                k += s[i + k] == '\\' ? 2 : 1;
            k = i + k < n ? k + 1 : n - i;
            lf_buf_append(out, s + i, k);
        } else if (s[i] == '-' || (s[i] >= '0' && s[i] <= '9')) {
            bool large = is_large_at(s + i, n - i, &k);
            while (!large && i + k < n && strchr("+-.eE0123456789", s[i + k]))
                k++;
            lf_buf_puts(out, large ? "\"" : "");
            lf_buf_append(out, s + i, k);
            lf_buf_puts(out, large ? "\"" : "");
        } else {
            lf_buf_append(out, s + i, k);
        }
        i += k;
    }
    return out->rc;
}

/* What quote_large made of an integer. */
static bool is_large(const json_t *v)
{
    size_t k, n = json_string_length(v);
    return json_is_string(v) && is_large_at(json_string_value(v), n, &k) && k == n;
}

static json_t *parse(const char *text, size_t n, json_error_t *e)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    errno = 0; /* jansson calls a token that it has no memory for an invalid one */
    json_t *j = json_loadb(text, n, flags, e);
    if (j || json_error_code(e) != json_error_numeric_overflow)
        return j;
    lf_buf_auto quoted = {.max = 2 * n + 2}; /* a large one has 19 digits, and gains two quotes */
    if (quote_large(&quoted, text, n) != LF_OK) {
        errno = ENOMEM;
        return NULL;
    }
    errno = 0;
    return json_loadb(quoted.data, quoted.len, flags, e);
}

enum lf_err lf_json_parse(json_t **out, const char *text, size_t n, struct lf_diag *diag)
{
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        n -= 3;
    }
    if (n > LF_JSON_BYTES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "JSON of %zu bytes is over the limit", n);
    struct survey v = json_survey(text, n);
    if (v.deepest > LF_JSON_DEPTH_MAX)
        return lf_fail(diag, LF_E_INVALID, "JSON is nested deeper than %d", LF_JSON_DEPTH_MAX);
    if (v.tree_bytes > LF_JSON_TREE_MAX && v.tree_bytes / LF_JSON_TREE_TIMES > n)
        return lf_fail(diag, LF_E_TOO_BIG,
                       "JSON of too many values: %zu MB of memory for %zu bytes",
                       v.tree_bytes >> 20, n);
    json_error_t e;
    json_t *j = parse(text, n, &e);
    if (!j && errno == ENOMEM)
        return lf_no_memory(diag, "JSON of %zu bytes", n);
    struct lf_diag kind;
    if (!j && lf_foreign_check(text, n, &kind) != LF_OK)
        return lf_fail(diag, LF_E_INVALID, "%s", kind.text);
    if (!j)
        return lf_fail(diag, LF_E_INVALID, "line %d column %d: %s", e.line, e.column, e.text);
    *out = j;
    return LF_OK;
}

enum lf_err lf_json_load(json_t **out, const char *path, struct lf_diag *diag)
{
    lf_mapping_auto m = {0};
    enum lf_err rc = lf_file_map(&m, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_json_parse(out, m.data, m.bytes, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

static const char *type_name(const json_t *v)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "a list",  [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a number", [JSON_TRUE] = "a boolean",
        [JSON_FALSE] = "a boolean",    [JSON_NULL] = "null",
    };
    return names[json_typeof(v)];
}

const char *lf_json_text_of(const json_t *obj, const char *key)
{
    const char *s = json_string_value(json_object_get(obj, key));
    return s ? s : "";
}

double lf_json_real_of(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

enum lf_err lf_json_only(const json_t *obj, const char *const *known, struct lf_diag *diag)
{
    if (!json_is_object(obj))
        return lf_fail(diag, LF_E_INVALID, "expected an object, not %s",
                       obj ? type_name(obj) : "nothing");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)obj, key, value) {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (!known[i])
            return lf_fail_unknown(diag, "key", key, known);
    }
    return LF_OK;
}

static int put(const char *text, size_t n, void *b)
{
    return lf_buf_append(b, text, n) == LF_OK ? 0 : -1;
}

json_t *lf_json_copy(const json_t *j)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)j);
    bool whole = json_object_size(copy) == json_object_size(j) &&
                 json_array_size(copy) == json_array_size(j);
    if (copy && !whole) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

enum lf_err lf_json_put(struct lf_buf *b, json_t *j, size_t flags)
{
    if ((!j || json_dump_callback(j, put, b, flags) != 0) && b->rc == LF_OK)
        b->rc = LF_E_NO_MEMORY;
    json_decref(j);
    return b->rc;
}

enum lf_err lf_json_write(const char *path, json_t *j, size_t flags, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    enum lf_err rc = lf_json_put(&text, j, flags);
    return rc == LF_OK ? lf_file_write(path, text.data, text.len, diag)
                       : lf_fail(diag, rc, "%s: no memory", path);
}

json_t *lf_json_finite(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *lf_json_dated(json_t *o)
{
    char text[64];
    int64_t ms = lf_clock_unix_ms();
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof text - n, ".%03dZ", (int)(ms % 1000));
    json_t *dated = o ? json_pack("{s:s}", "time", text) : NULL;
    if (dated && json_object_update(dated, o) != 0) {
        json_decref(dated);
        dated = NULL;
    }
    json_decref(o);
    return dated;
}

/* ---- Members that are checked ---------------------------------------------------------------- */

struct lf_json_in lf_json_in(const json_t *obj, struct lf_diag *diag)
{
    return (struct lf_json_in){.obj = obj, .diag = diag};
}

#define IS(type) (1u << JSON_##type)

/* An integer, however it is written. */
static bool is_whole(const json_t *v)
{
    double x = json_real_value(v);
    return json_is_integer(v) || is_large(v) || (json_is_real(v) && x == floor(x));
}

/* The member, of one of the types; NULL where it is missing or null, or there was a failure. */
static const json_t *member(struct lf_json_in *in, const char *key, unsigned types,
                            const char *what)
{
    const json_t *v = in->rc == LF_OK ? json_object_get(in->obj, key) : NULL;
    if (!v || json_is_null(v))
        return NULL;
    if (types >> json_typeof(v) & 1 || (types & IS(INTEGER) && is_whole(v)))
        return v;
    in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" must be %s, not %s", key, what, type_name(v));
    return NULL;
}

/* As it is shown. */
static const char *digits_of(char out[48], const json_t *v)
{
    if (json_is_integer(v))
        snprintf(out, 48, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(out, 48, "%g", json_real_value(v));
    else
        snprintf(out, 48, "%.40s", json_string_value(v));
    return out;
}

bool lf_json_whole(const json_t *v, int64_t *out)
{
    double x = json_real_value(v);
    if (!json_is_integer(v) && !(json_is_real(v) && is_whole(v) && x >= -0x1p63 && x < 0x1p63))
        return false;
    *out = json_is_integer(v) ? (int64_t)json_integer_value(v) : (int64_t)x;
    return true;
}

int64_t lf_json_int64(struct lf_json_in *in, const char *key, int64_t otherwise, int64_t lo,
                      int64_t hi)
{
    const json_t *v = member(in, key, IS(INTEGER), "an integer");
    int64_t x = otherwise;
    char digits[48];
    if (!v || (lf_json_whole(v, &x) && x >= lo && x <= hi))
        return x;
    in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" is %s; it must be between %lld and %lld", key,
                     digits_of(digits, v), (long long)lo, (long long)hi);
    return otherwise;
}

/* From 2^63 to 2^64 - 1. */
static bool upper_half(const json_t *v, uint64_t *out)
{
    double x = json_real_value(v);
    errno = 0;
    if (json_is_string(v))
        *out = strtoull(json_string_value(v), NULL, 10);
    else if (x >= 0x1p63 && x < 0x1p64)
        *out = (uint64_t)x;
    else
        return false;
    return errno == 0 && !(json_is_string(v) && json_string_value(v)[0] == '-');
}

int64_t lf_json_bits(struct lf_json_in *in, const char *key, int64_t otherwise)
{
    const json_t *v = member(in, key, IS(INTEGER), "an integer");
    int64_t x = otherwise;
    uint64_t large;
    char digits[48];
    if (!v || lf_json_whole(v, &x))
        return x;
    if (upper_half(v, &large))
        return (int64_t)large;
    in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" is %s; it must be between 0 and %llu", key,
                     digits_of(digits, v), (unsigned long long)UINT64_MAX);
    return otherwise;
}

int lf_json_int(struct lf_json_in *in, const char *key, int otherwise, int lo, int hi)
{
    return (int)lf_json_int64(in, key, otherwise, lo, hi);
}

double lf_json_real(struct lf_json_in *in, const char *key, double otherwise, double lo, double hi)
{
    const json_t *v = member(in, key, IS(INTEGER) | IS(REAL), "a number");
    double x = !v                  ? otherwise
               : json_is_string(v) ? strtod(json_string_value(v), NULL)
                                   : json_number_value(v);
    if (!v || (x >= lo && x <= hi))
        return x;
    in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" is %g; it must be between %g and %g", key, x,
                     lo, hi);
    return otherwise;
}

bool lf_json_bool(struct lf_json_in *in, const char *key, bool otherwise)
{
    const json_t *v = member(in, key, IS(TRUE) | IS(FALSE), "true or false");
    return v ? json_is_true(v) : otherwise;
}

const char *lf_json_str(struct lf_json_in *in, const char *key, const char *otherwise)
{
    const json_t *v = member(in, key, IS(STRING), "a string");
    if (!v || strlen(json_string_value(v)) == json_string_length(v))
        return v ? json_string_value(v) : otherwise;
    in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" holds a NUL character", key);
    return otherwise;
}

const char *lf_json_need_str(struct lf_json_in *in, const char *key)
{
    const char *s = lf_json_str(in, key, NULL);
    if (!s && in->rc == LF_OK)
        in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" is missing", key);
    return s;
}

int lf_json_word(struct lf_json_in *in, const char *key, int otherwise, const char *const *words)
{
    const char *word = lf_json_str(in, key, NULL);
    char list[512] = "";
    if (!word)
        return otherwise;
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], word) == 0)
            return i;
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", words[i]);
    }
    in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" is \"%.128s\"; it must be one of: %s", key,
                     word, list);
    return otherwise;
}

const json_t *lf_json_object(struct lf_json_in *in, const char *key)
{
    const json_t *v = member(in, key, ~0u, "");
    if (!v || json_is_object(v))
        return v;
    in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" must be an object", key);
    return NULL;
}

const json_t *lf_json_list(struct lf_json_in *in, const char *key, size_t min, size_t max)
{
    const json_t *v = member(in, key, ~0u, "");
    size_t n = json_array_size(v);
    if (in->rc != LF_OK || (!v && min == 0) || (json_is_array(v) && n >= min && n <= max))
        return v;
    in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" must be a list of %zu to %zu", key, min, max);
    return NULL;
}
