/* json.dumps, which is what the tojson filter of chat templates is. */
#include "text/chat/jinja.h"

#include "core/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One document on its way out. */
struct dumper {
    struct lf_jrun *r;
    struct lf_buf *out;
    const struct lf_jdumps *how;
};

static enum lf_err dump(const struct dumper *d, struct lf_jv v, size_t level);

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

static enum lf_err dump_list(const struct dumper *d, const struct lf_jlist *list, size_t level)
{
    enum lf_err rc = LF_OK;
    lf_buf_putc(d->out, '[');
    for (size_t i = 0; i < list->n && rc == LF_OK; i++) {
        separate(d, i, level + 1);
        rc = dump(d, list->v[i], level + 1);
    }
    if (list->n)
        newline(d, level);
    lf_buf_putc(d->out, ']');
    return rc;
}

/* Keys are strings; None, booleans and numbers are written as such, in quotes. */
static enum lf_err dump_key(const struct dumper *d, struct lf_jv key)
{
    switch (key.type) {
    case LF_J_STRING:
        dump_string(d, key.s);
        return LF_OK;
    case LF_J_NONE:
    case LF_J_BOOL:
    case LF_J_INT:
    case LF_J_FLOAT: {
        lf_buf_putc(d->out, '"');
        enum lf_err rc = dump(d, key, 0);
        lf_buf_putc(d->out, '"');
        return rc;
    }
    default:
        return lf_j_fail(d->r, LF_E_INVALID, "a key of JSON cannot be '%s'", lf_jv_type_name(key));
    }
}

/* The order in which sort_keys writes: a stable insertion, for the few keys of an object. */
static enum lf_err sort_pairs(struct lf_jrun *r, struct lf_jpair *v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct lf_jpair moving = v[i];
        size_t at = i;
        for (; at > 0; at--) {
            int order;
            enum lf_err rc = lf_jv_compare(r, v[at - 1].key, moving.key, &order);
            if (rc == LF_OK)
                rc = lf_j_spend(r, 0);
            if (rc != LF_OK)
                return rc;
            if (order <= 0)
                break;
            v[at] = v[at - 1];
        }
        v[at] = moving;
    }
    return LF_OK;
}

static enum lf_err dump_dict(const struct dumper *d, const struct lf_jdict *dict, size_t level)
{
    struct lf_jpair *v = dict->v;
    enum lf_err rc = LF_OK;
    if (d->how->sort_keys && dict->n > 1) {
        v = lf_j_alloc(d->r, dict->n * sizeof *v);
        if (!v)
            return LF_E_NO_MEMORY;
        memcpy(v, dict->v, dict->n * sizeof *v);
        rc = sort_pairs(d->r, v, dict->n);
    }
    lf_buf_putc(d->out, '{');
    for (size_t i = 0; i < dict->n && rc == LF_OK; i++) {
        separate(d, i, level + 1);
        rc = dump_key(d, v[i].key);
        lf_buf_append(d->out, d->how->key_separator.s, d->how->key_separator.n);
        if (rc == LF_OK)
            rc = dump(d, v[i].value, level + 1);
    }
    if (dict->n)
        newline(d, level);
    lf_buf_putc(d->out, '}');
    return rc;
}

static enum lf_err dump(const struct dumper *d, struct lf_jv v, size_t level)
{
    enum lf_err rc = lf_j_spend(d->r, 0);
    if (rc == LF_OK && d->out->rc != LF_OK)
        rc = lf_j_fail(d->r, d->out->rc, "JSON over the limit");
    if (rc != LF_OK)
        return rc;
    switch (v.type) {
    case LF_J_NONE:
        return lf_buf_puts(d->out, "null");
    case LF_J_BOOL:
        return lf_buf_puts(d->out, v.b ? "true" : "false");
    case LF_J_INT:
        return lf_buf_printf(d->out, "%lld", (long long)v.i);
    case LF_J_FLOAT:
        dump_float(d->out, v.d);
        return LF_OK;
    case LF_J_STRING:
        dump_string(d, v.s);
        return LF_OK;
    case LF_J_LIST:
    case LF_J_TUPLE:
        return dump_list(d, v.list, level);
    case LF_J_DICT:
        return dump_dict(d, v.dict, level);
    default:
        return lf_j_fail(d->r, LF_E_INVALID, "object of type %s is not JSON serializable",
                         lf_jv_type_name(v));
    }
}

enum lf_err lf_jv_dumps(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v,
                        const struct lf_jdumps *how)
{
    struct dumper d = {r, out, how};
    size_t before = out->len;
    enum lf_err rc = dump(&d, v, 0);
    if (rc == LF_OK && out->rc != LF_OK)
        rc = lf_j_fail(r, out->rc, "JSON over the limit");
    return rc == LF_OK ? lf_j_spend(r, out->len - before) : rc;
}
