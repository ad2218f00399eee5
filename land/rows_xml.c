/* XML as rows, and SGML that is nearly XML. Elements of the wanted name become objects as they
 * close; nothing outside them is kept. */
#include "core/limits.h"
#include "core/utf8.h"
#include "land/rows_inside.h"

#include <ctype.h>
#include <expat.h>
#include <string.h>

/* An element that is open inside a row. */
struct element {
    json_t *json;     /* its object */
    size_t text_from; /* where its text begins in the reading's `text` */
    bool has_children;
};

struct xml_reading {
    const struct lf_rows *rows;
    const char *name; /* of a row's element */
    XML_Parser parser;
    struct element open[LF_JSON_DEPTH_MAX];
    int depth;
    struct lf_buf text; /* of the open elements, the innermost last */
    int64_t line;       /* of the row */
    enum lf_err rc;
    struct lf_diag *diag;
};

static void stop(struct xml_reading *x, enum lf_err rc)
{
    x->rc = rc;
    XML_StopParser(x->parser, XML_FALSE);
}

static void out_of_memory(struct xml_reading *x)
{
    stop(x, lf_no_memory(x->diag, "an element"));
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct xml_reading *x = arg;
    if (x->rc != LF_OK || (x->depth == 0 && strcmp(name, x->name) != 0))
        return;
    if (x->depth == LF_JSON_DEPTH_MAX) {
        stop(x, lf_fail(x->diag, LF_E_INVALID, "line %lu: elements nested deeper than %d",
                        (unsigned long)XML_GetCurrentLineNumber(x->parser), LF_JSON_DEPTH_MAX));
        return;
    }
    json_t *json = json_object(), *all = attributes[0] ? json_object() : NULL;
    for (; attributes[0]; attributes += 2)
        json_object_set_new(all, attributes[0],
                            lf_rows_string(attributes[1], strlen(attributes[1])));
    if (all)
        json_object_set_new(json, "attributes", all);
    if (x->depth == 0)
        x->line = (int64_t)XML_GetCurrentLineNumber(x->parser);
    else
        x->open[x->depth - 1].has_children = true;
    x->open[x->depth++] = (struct element){json, x->text.len, false};
    if (!json)
        out_of_memory(x);
}

static void on_text(void *arg, const XML_Char *s, int n)
{
    struct xml_reading *x = arg;
    if (x->rc == LF_OK && x->depth > 0 && lf_buf_append(&x->text, s, (size_t)n) != LF_OK)
        out_of_memory(x);
}

/* The element's own text without white space around it; yours. */
static json_t *own_text(const struct xml_reading *x, const struct element *e)
{
    const char *s = x->text.data ? x->text.data + e->text_from : "";
    size_t n = x->text.len - e->text_from;
    while (n > 0 && isspace((unsigned char)s[0])) {
        s++;
        n--;
    }
    while (n > 0 && isspace((unsigned char)s[n - 1]))
        n--;
    return lf_rows_string(s, n);
}

/* Puts a closed child into its parent's list of that name. */
static bool put_child(json_t *parent, const char *name, json_t *child)
{
    json_t *list = json_object_get(parent, name);
    if (!json_is_array(list)) {
        list = json_array();
        if (json_object_set_new(parent, name, list) != 0) {
            json_decref(child);
            return false;
        }
    }
    return json_array_append_new(list, child) == 0;
}

static void on_end(void *arg, const XML_Char *name)
{
    struct xml_reading *x = arg;
    if (x->rc != LF_OK || x->depth == 0)
        return;
    struct element *e = &x->open[--x->depth];
    json_t *text = own_text(x, e), *value = e->json;
    bool bare = !e->has_children && !json_object_get(e->json, "attributes") && x->depth > 0;
    bool said = text && json_string_length(text) > 0;
    if (x->text.data)
        x->text.len = e->text_from;
    if (bare) {
        json_decref(value);
        value = text;
    } else if (!said) {
        json_decref(text);
    } else if (json_object_set_new(value, "text", text) != 0) {
        json_decref(value);
        value = NULL;
    }
    e->json = NULL;
    if (x->depth > 0) {
        if (!value || !put_child(x->open[x->depth - 1].json, name, value))
            out_of_memory(x);
        return;
    }
    enum lf_err rc = lf_rows_give(x->rows, value, x->line, x->diag);
    if (rc != LF_OK)
        stop(x, rc);
}

/* encoding: NULL for what the document says. */
static enum lf_err parse(const struct lf_rows *r, const char *text, size_t n, const char *encoding,
                         struct lf_diag *diag)
{
    struct xml_reading x = {.rows = r,
                            .name = json_string_value(r->form->rows),
                            .diag = diag,
                            .text.max = LF_DATASET_LINE_MAX};
    enum { PIECE = 1 << 20 };
    x.parser = XML_ParserCreate(encoding);
    if (!x.parser)
        return lf_no_memory(diag, "a parser");
    XML_SetUserData(x.parser, &x);
    XML_SetElementHandler(x.parser, on_start, on_end);
    XML_SetCharacterDataHandler(x.parser, on_text);
    enum XML_Status status = XML_STATUS_OK;
    for (size_t at = 0; status == XML_STATUS_OK && (at < n || at == 0); at += PIECE) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        status = XML_Parse(x.parser, text + at, (int)piece, at + piece >= n);
    }
    if (x.rc == LF_OK && status != XML_STATUS_OK)
        x.rc = lf_fail(diag, LF_E_INVALID, "line %lu: %s",
                       (unsigned long)XML_GetCurrentLineNumber(x.parser),
                       XML_ErrorString(XML_GetErrorCode(x.parser)));
    for (int i = 0; i < x.depth; i++)
        json_decref(x.open[i].json);
    lf_buf_free(&x.text);
    XML_ParserFree(x.parser);
    return x.rc;
}

enum lf_err lf_rows_xml(const struct lf_rows *r, const char *text, size_t n, struct lf_diag *diag)
{
    return parse(r, text, n, NULL, diag);
}

/* ---- SGML ------------------------------------------------------------------------------------ */

/* The entity at text (an '&'): its length with the ';', and whether XML knows it and it stands for
 * a letter that XML allows. */
static size_t entity(const char *text, size_t n, bool *known)
{
    static const char *const names[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&apos;"};
    size_t end = 1;
    *known = false;
    while (end < n && end < 12 && (isalnum((unsigned char)text[end]) || text[end] == '#'))
        end++;
    if (end == 1 || end >= n || text[end] != ';')
        return 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        *known = *known || (strlen(names[i]) == end + 1 && memcmp(text, names[i], end + 1) == 0);
    if (text[1] != '#')
        return *known ? end + 1 : 1;
    int code = 0;
    for (size_t i = 2; i < end && code < 0x110000; i++)
        code = isdigit((unsigned char)text[i]) ? code * 10 + (text[i] - '0') : 0x110000;
    *known = code == '\t' || code == '\n' || code == '\r' || (code >= 32 && code < 0xd800);
    return end + 1;
}

static void mend_ampersand(struct lf_buf *out, const char *text, size_t n, size_t *at)
{
    bool known;
    size_t len = entity(text + *at, n - *at, &known);
    if (known)
        lf_buf_append(out, text + *at, len);
    else if (len == 1)
        lf_buf_puts(out, "&amp;");
    else
        lf_buf_putc(out, ' '); /* a control character, which the Reuters files have by number */
    *at += len;
}

/* A text being mended, with the names of the elements that are open in it. */
struct mending {
    struct lf_buf out;
    struct {
        const char *s;
        size_t n;
    } open[LF_JSON_DEPTH_MAX];
    int depth;
};

static void close_last(struct mending *m)
{
    m->depth--;
    lf_buf_puts(&m->out, "</");
    lf_buf_append(&m->out, m->open[m->depth].s, m->open[m->depth].n);
    lf_buf_putc(&m->out, '>');
}

/* An end tag closes its element and those left open inside it; one without an element is left
 * out. */
static void mend_end(struct mending *m, const char *name, size_t n)
{
    int at = m->depth - 1;
    while (at >= 0 && !(m->open[at].n == n && memcmp(m->open[at].s, name, n) == 0))
        at--;
    while (at >= 0 && m->depth > at)
        close_last(m);
}

/* The tag, comment or declaration at text[*at], or a '<' that begins none. Comments and
 * declarations are left out. */
static void mend_tag(struct mending *m, const char *text, size_t n, size_t *at)
{
    const char *s = text + *at, *end = memchr(s, '>', n - *at);
    size_t len = end ? (size_t)(end - s) + 1 : 0, from = len > 1 && s[1] == '/' ? 2 : 1, name = 0;
    bool special = len > 1 && (s[1] == '!' || s[1] == '?');
    while (from + name < len &&
           (isalnum((unsigned char)s[from + name]) || strchr("_-.:", s[from + name])))
        name++;
    bool tag = name > 0 && isalpha((unsigned char)s[from]) && m->depth < LF_JSON_DEPTH_MAX;
    if (!special && !tag) {
        lf_buf_puts(&m->out, "&lt;");
        *at += 1;
        return;
    }
    *at += len;
    if (special)
        return;
    if (from == 2) {
        mend_end(m, s + from, name);
        return;
    }
    lf_buf_append(&m->out, s, len);
    if (s[len - 2] != '/') {
        m->open[m->depth].s = s + from;
        m->open[m->depth++].n = name;
    }
}

static void mend(struct mending *m, const char *text, size_t n)
{
    lf_buf_puts(&m->out, "<sgml>");
    for (size_t at = 0; at < n && m->out.rc == LF_OK;) {
        unsigned char c = (unsigned char)text[at];
        if (c == '&') {
            mend_ampersand(&m->out, text, n, &at);
        } else if (c == '<') {
            mend_tag(m, text, n, &at);
        } else {
            bool control = c < 32 && c != '\t' && c != '\n' && c != '\r';
            lf_buf_putc(&m->out, control || c == 127 ? ' ' : text[at]);
            at++;
        }
    }
    while (m->depth > 0)
        close_last(m);
    lf_buf_puts(&m->out, "</sgml>");
}

enum lf_err lf_rows_sgml(const struct lf_rows *r, const char *text, size_t n, struct lf_diag *diag)
{
    struct mending m = {.out.max = 5 * n + 4096};
    mend(&m, text, n);
    enum lf_err rc = m.out.rc == LF_OK ? LF_OK : lf_fail(diag, m.out.rc, "no memory to mend it");
    bool utf8 = lf_utf8_valid(text, n) == n;
    rc = rc ?: parse(r, m.out.data, m.out.len, utf8 ? "UTF-8" : "ISO-8859-1", diag);
    lf_buf_free(&m.out);
    return rc;
}
