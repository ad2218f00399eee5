/* json.dumps, which is what the tojson filter of chat templates is. */
#include "text/chat/value.h"

#include "core/utf8.h"
#include "text/limits.h"

#include <math.h>
#include <string.h>

/* One document on its way out. */
struct dumper {
    struct lf_jrun *r;
    struct lf_buf *out;
    const struct lf_jdumps *how;
};

static void dump(const struct dumper *d, struct lf_jv v, size_t level);

static void put_unit(struct lf_buf *out, uint32_t unit)
{
    lf_buf_printf(out, "\\u%04x", unit);
}

static void dump_string(const struct dumper *d, struct lf_str s)
{
    static const char escaped[] = "\"\\\n\r\t\f\b", names[] = "\"\\nrtfb";
    struct lf_buf *out = d->out;
    lf_buf_putc(out, '"');
    for (size_t i = 0, len; i < s.n; i += len) {
        uint32_t c = lf_utf8_get(s.s + i, &len);
        const char *at = c && c < 0x80 ? strchr(escaped, (char)c) : NULL;
        if (at) {
            lf_buf_printf(out, "\\%c", names[at - escaped]);
        } else if (c < 0x20 || (d->how->ensure_ascii && c >= 0x7f && c < 0x10000)) {
            put_unit(out, c);
        } else if (d->how->ensure_ascii && c >= 0x10000) {
            put_unit(out, 0xd800 + ((c - 0x10000) >> 10));
            put_unit(out, 0xdc00 + ((c - 0x10000) & 0x3ff));
        } else {
            lf_buf_append(out, s.s + i, len);
        }
    }
    lf_buf_putc(out, '"');
}

static void dump_float(struct lf_buf *out, double value)
{
    if (isnan(value))
        lf_buf_puts(out, "NaN");
    else if (isinf(value))
        lf_buf_puts(out, value > 0 ? "Infinity" : "-Infinity");
    else
        lf_j_print_float(out, value);
}

static void newline(const struct dumper *d, size_t level)
{
    if (!d->how->has_indent)
        return;
    lf_buf_putc(d->out, '\n');
    for (size_t i = 0; i < level; i++)
        lf_buf_append(d->out, d->how->indent.s, d->how->indent.n);
}

static void separate(const struct dumper *d, size_t i, size_t level)
{
    if (i > 0)
        lf_buf_append(d->out, d->how->item_separator.s, d->how->item_separator.n);
    newline(d, level);
}

static void dump_list(const struct dumper *d, const struct lf_jlist *list, size_t level)
{
    lf_buf_putc(d->out, '[');
    for (size_t i = 0; i < list->n && d->r->rc == LF_OK; i++) {
        separate(d, i, level + 1);
        dump(d, list->v[i], level + 1);
    }
    if (list->n)
        newline(d, level);
    lf_buf_putc(d->out, ']');
}

/* Keys are strings; None, booleans and numbers are written as such, in quotes. */
static void dump_key(const struct dumper *d, struct lf_jv key)
{
    if (key.type == LF_J_UNDEFINED || key.type > LF_J_STRING)
        lf_j_fail(d->r, LF_E_INVALID, "a key of JSON cannot be '%s'", lf_jv_type_name(key));
    const char *quote = key.type == LF_J_STRING ? "" : "\"";
    lf_buf_puts(d->out, quote);
    dump(d, key, 0);
    lf_buf_puts(d->out, quote);
}

static void dump_dict(const struct dumper *d, const struct lf_jdict *dict, size_t level)
{
    struct lf_jpair *v = dict->v;
    if (d->how->sort_keys && dict->n > 1) {
        v = lf_j_alloc(d->r, dict->n * sizeof *v);
        if (!v)
            return;
        memcpy(v, dict->v, dict->n * sizeof *v);
        lf_jpairs_sort(d->r, v, dict->n, false);
    }
    lf_buf_putc(d->out, '{');
    for (size_t i = 0; i < dict->n && d->r->rc == LF_OK; i++) {
        separate(d, i, level + 1);
        dump_key(d, v[i].key);
        lf_buf_append(d->out, d->how->key_separator.s, d->how->key_separator.n);
        dump(d, v[i].value, level + 1);
    }
    if (dict->n)
        newline(d, level);
    lf_buf_putc(d->out, '}');
}

static void dump(const struct dumper *d, struct lf_jv v, size_t level)
{
    size_t before = d->out->len;
    if (d->r->rc != LF_OK)
        return;
    if (v.type == LF_J_NONE)
        lf_buf_puts(d->out, "null");
    else if (v.type == LF_J_BOOL)
        lf_buf_puts(d->out, v.b ? "true" : "false");
    else if (v.type == LF_J_INT)
        lf_buf_printf(d->out, "%lld", (long long)v.i);
    else if (v.type == LF_J_FLOAT)
        dump_float(d->out, v.d);
    else if (v.type == LF_J_STRING)
        dump_string(d, v.s);
    else if (v.type == LF_J_LIST || v.type == LF_J_TUPLE)
        dump_list(d, v.list, level);
    else if (v.type == LF_J_DICT)
        dump_dict(d, v.dict, level);
    else
        lf_j_fail(d->r, LF_E_INVALID, "object of type %s is not JSON serializable",
                  lf_jv_type_name(v));
    if (d->out->rc != LF_OK)
        lf_j_fail(d->r, d->out->rc, "JSON over the limit");
    lf_j_spend(d->r, d->out->len - before);
}

struct lf_jv lf_jv_dumps(struct lf_jrun *r, struct lf_jv v, const struct lf_jdumps *how)
{
    struct lf_buf b = {.max = LF_J_MEMORY_MAX};
    struct dumper d = {r, &b, how};
    dump(&d, v, 0);
    return lf_jv_take(r, &b);
}
