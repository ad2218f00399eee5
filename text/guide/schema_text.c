/* JSON in GBNF, and its strings with what a schema says of them. */
#include "core/json.h"
#include "core/utf8.h"
#include "text/guide/schema.h"

#include <stdio.h>
#include <string.h>

#define COPIES 256 /* of a character in a program; beyond, it is called */

/* One character of a string as JSON writes it: no surrogate stands alone. */
#define CHARACTER                                                                                \
    "([^\"\\\\\\x00-\\x1f] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" ([0-9a-ce-fA-CE-F] [0-9a-fA-F]{3}" \
    " | [dD] [0-7] [0-9a-fA-F]{2} | [dD] [89abAB] [0-9a-fA-F]{2} \"\\\\u\" [dD] [c-fC-F] "       \
    "[0-9a-fA-F]{2})))"

void lf_json_rules(struct lf_buf *out)
{
    lf_buf_puts(out,
                "json ::= json-object | json-array | json-string | json-number | \"true\" | "
                "\"false\" | \"null\"\n"
                "json-ws ::= (\" \" | \"\\n\" \"\\n\"? [ \\t]{0,20})?\n"
                "json-member ::= json-string json-ws \":\" json-ws json\n"
                "json-object ::= \"{\" json-ws (json-member (\",\" json-ws json-member)* json-ws)? "
                "\"}\"\n"
                "json-array ::= \"[\" json-ws (json (\",\" json-ws json)* json-ws)? \"]\"\n"
                "json-integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,19})\n"
                "json-number ::= json-integer (\".\" [0-9]{1,20})? ([eE] [-+]? [0-9]{1,2})?\n"
                "json-character ::= " CHARACTER "\n"
                "json-string ::= \"\\\"\" " CHARACTER "* \"\\\"\"\n");
}

void lf_gbnf_literal(struct lf_buf *out, const char *s, size_t n)
{
    lf_buf_putc(out, '"');
    for (size_t i = 0, len; i < n; i += len) {
        unsigned char c = (unsigned char)s[i];
        len = lf_utf8_len(s + i, n - i);
        if (len > 1) {
            lf_buf_append(out, s + i, len);
            continue;
        }
        len = 1;
        if (c < 0x20 || c == 0x7f)
            lf_buf_printf(out, "\\x%02x", c);
        else
            lf_buf_printf(out, "%s%c", c == '"' || c == '\\' ? "\\" : "", c);
    }
    lf_buf_putc(out, '"');
}

enum lf_err lf_grammar_of_choices(struct lf_buf *out, const json_t *list, struct lf_diag *diag)
{
    lf_buf_puts(out, "root ::= ");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);
        if (!json_is_string(s) || json_string_length(s) == 0)
            return lf_fail(diag, LF_E_INVALID, "a choice is no text, or \"\"");
        lf_buf_puts(out, i ? " | " : "");
        lf_gbnf_literal(out, json_string_value(s), json_string_length(s));
    }
    if (json_array_size(list) == 0)
        return lf_fail(diag, LF_E_INVALID, "there is no choice to choose from");
    return lf_buf_putc(out, '\n') == LF_OK ? LF_OK
                                           : lf_fail(diag, out->rc, "no memory for the choices");
}

/* ---- Strings --------------------------------------------------------------------------------- */

#define YEAR "([1-9] [0-9]{3} | \"0\" [1-9] [0-9]{2})"
#define LEAP "([1-9] [0-9] | \"0\" [1-9]) (\"0\" [48] | [2468] [048] | [13579] [26])"
#define DATE                                                                                     \
    "(" YEAR " \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | [12] [0-9] | \"3\" "     \
    "[01]) | (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\") | \"02-\" (\"0\" " \
    "[1-9] | \"1\" [0-9] | \"2\" [0-8])) | " LEAP " \"-02-29\")"
#define TIME                                                                              \
    "(([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,9})?" \
    " (\"Z\" | [-+] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9]))"
#define BYTE "(\"25\" [0-5] | \"2\" [0-4] [0-9] | \"1\" [0-9] [0-9] | [1-9]? [0-9])"
#define HEX "[0-9a-fA-F]"
/* No two hyphens in a row: those mean something where international names are told. */
#define LABEL "[a-zA-Z0-9]{1,20} (\"-\" [a-zA-Z0-9]{1,20}){0,2}"
#define TOP "[a-zA-Z] [a-zA-Z0-9]{0,19}"
#define HOST "((" LABEL " \".\"){0,3} " TOP ")"
/* The same of any length: where lengths are asked for they are counted anyway. */
#define NAMES "(([a-zA-Z0-9]+ (\"-\" [a-zA-Z0-9]+)* \".\")+ [a-zA-Z] [a-zA-Z0-9]*)"
#define ATOM "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+"
#define GROUP HEX "{1,4}"
#define IPV6                                                                              \
    "(" GROUP " (\":\" " GROUP "){7} | \"::\" (" GROUP " (\":\" " GROUP "){0,6})? | "     \
    "(" GROUP " \":\"){1,7} \":\" | " GROUP " \"::\" " GROUP " (\":\" " GROUP "){0,5} | " \
    "(" GROUP " \":\"){2} \":\" " GROUP " (\":\" " GROUP "){0,4} | "                      \
    "(" GROUP " \":\"){3} \":\" " GROUP " (\":\" " GROUP "){0,3} | "                      \
    "(" GROUP " \":\"){4} \":\" " GROUP " (\":\" " GROUP "){0,2} | "                      \
    "(" GROUP " \":\"){5} \":\" " GROUP " (\":\" " GROUP ")? | "                          \
    "(" GROUP " \":\"){6} \":\" " GROUP ")"
#define PLAIN "[a-zA-Z0-9._~!$&'()*+,;=:@-]"
#define PCHAR "(" PLAIN " | \"%\" " HEX "{2})"
#define BEHIND "(\"?\" (" PCHAR " | [/?])*)? (\"#\" (" PCHAR " | [/?])*)?"
#define PATH "(\"/\" " PCHAR "*)*"
#define URI                                                                                        \
    "([a-zA-Z] [a-zA-Z0-9+.-]{0,20} \":\" (\"//\" " NAMES " (\":\" [0-9]{1,5})? " PATH " | " PCHAR \
    "+ " PATH ") " BEHIND ")"

static const struct {
    const char *name, *text;
} formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", DATE " \"T\" " TIME},
    {"uuid", HEX "{8} (\"-\" " HEX "{4}){3} \"-\" " HEX "{12}"},
    {"ipv4", BYTE " (\".\" " BYTE "){3}"},
    {"ipv6", IPV6},
    {"hostname", HOST},
    {"email", ATOM " (\".\" " ATOM ")* \"@\" " NAMES},
    {"uri", URI},
    {"uri-reference", "(" URI " | " PATH " " BEHIND ")"},
    {"duration", "\"P\" ([0-9]{1,4} \"W\" | ([0-9]{1,4} \"Y\")? ([0-9]{1,4} \"M\")? [0-9]{1,4} "
                 "\"D\" (\"T\" [0-9]{1,4} \"H\" ([0-9]{1,4} \"M\" ([0-9]{1,4} \"S\")?)?)? | "
                 "\"T\" ([0-9]{1,4} \"H\" ([0-9]{1,4} \"M\" ([0-9]{1,4} \"S\")?)? | "
                 "[0-9]{1,4} \"M\" ([0-9]{1,4} \"S\")? | [0-9]{1,4} \"S\"))"},
};

static const char *format_of(const json_t *schema)
{
    const char *name = json_string_value(json_object_get(schema, "format"));
    for (size_t i = 0; name && i < sizeof formats / sizeof *formats; i++)
        if (strcmp(name, formats[i].name) == 0)
            return formats[i].text;
    return NULL;
}

void lf_schema_text(struct lf_buf *out, const char *s, size_t n)
{
    json_auto_t *one = json_stringn(s, n);
    lf_buf_auto quoted = {0};
    lf_json_put(&quoted, json_incref(one), JSON_ENCODE_ANY);
    const char *p = lf_buf_str(&quoted), *end = p + quoted.len, *from = p;
    for (size_t len; p < end; p += len) {
        len = lf_utf8_len(p, (size_t)(end - p));
        if (len <= 1) {
            len = 1;
            continue;
        }
        uint32_t c = lf_utf8_get(p, &len);
        if (p > from)
            lf_gbnf_literal(out, from, (size_t)(p - from));
        lf_buf_puts(out, " (");
        lf_gbnf_literal(out, p, len);
        if (c < 0x10000)
            lf_buf_printf(out, " | \"\\\\u%04x\") ", c);
        else
            lf_buf_printf(out, " | \"\\\\u%04x\\\\u%04x\") ", 0xd800 + ((c - 0x10000) >> 10),
                          0xdc00 + ((c - 0x10000) & 0x3ff));
        from = p + len;
    }
    lf_gbnf_literal(out, from, (size_t)(end - from));
}

/* ---- As languages ---------------------------------------------------------------------------- */

struct lf_language *lf_schema_matches(const char *pattern, size_t n, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    struct lf_regex_size size;
    enum lf_err rc = lf_regex_write(&text, pattern, n, LF_REGEX_FOUND, &size, diag);
    return rc == LF_OK ? lf_language_of(lf_buf_str(&text), diag) : NULL;
}

#define ANY "[\\x00-\\U0010ffff]"

static struct lf_language *texts(const json_t *list, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    lf_buf_puts(&text, LF_GBNF_NOTHING);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);
        if (!json_is_string(s))
            continue;
        lf_buf_puts(&text, " | ");
        lf_gbnf_literal(&text, json_string_value(s), json_string_length(s));
    }
    return lf_language_of(lf_buf_str(&text), diag);
}

struct lf_language *lf_schema_other_strings(const json_t *list, struct lf_diag *diag)
{
    return lf_language_without(lf_language_of(ANY "*", diag), texts(list, diag), diag);
}

/* A pattern, or a list of them. */
static struct lf_language *by_patterns(struct lf_language *l, const json_t *p, bool match,
                                       struct lf_diag *diag)
{
    json_auto_t *list =
        json_is_array(p) ? json_incref((json_t *)(uintptr_t)p) : json_pack("[O]", p);
    for (size_t i = 0; i < json_array_size(list) && l; i++) {
        const json_t *s = json_array_get(list, i);
        if (!json_is_string(s))
            continue;
        struct lf_language *one =
            lf_schema_matches(json_string_value(s), json_string_length(s), diag);
        l = match ? lf_language_both(l, one, diag) : lf_language_without(l, one, diag);
    }
    return l;
}

struct lf_language *lf_schema_strings(struct lf_schemas *m, const json_t *schema)
{
    const json_t *pattern = json_object_get(schema, "pattern");
    const json_t *not = json_object_get(schema, LF_SCHEMA_EXCEPT_PATTERN);
    json_auto_t *constants = lf_schema_constants(schema);
    const char *format = format_of(schema);
    int64_t least = lf_schemas_count(m, schema, "minLength", 0);
    int64_t most = lf_schemas_count(m, schema, "maxLength", -1);
    if (json_object_get(schema, "anyOf") || json_object_get(schema, "oneOf"))
        lf_schemas_fail(m, LF_E_UNSUPPORTED, "\"propertyNames\" of several kinds are not done");
    if (m->rc != LF_OK)
        return NULL;
    if (lf_schema_is_nothing(schema) || (most >= 0 && least > most))
        return lf_language_of(LF_GBNF_NOTHING, m->diag);
    struct lf_language *l = lf_language_of(format ?: ANY "*", m->diag);
    if (pattern)
        l = by_patterns(l, pattern, true, m->diag);
    if (constants)
        l = lf_language_both(l, texts(constants, m->diag), m->diag);
    if (not )
        l = by_patterns(l, not, false, m->diag);
    if (json_object_get(schema, LF_SCHEMA_EXCEPT))
        l = lf_language_without(l, texts(json_object_get(schema, LF_SCHEMA_EXCEPT), m->diag),
                                m->diag);
    l = least > 0 || most >= 0 ? lf_language_sized(l, least, most, m->diag) : l;
    lf_schemas_spend(m, lf_language_states(l));
    return l;
}

/* ---- As a grammar ---------------------------------------------------------------------------- */

/* A pattern that keeps to the lengths by itself, as it is. False: it does not, or it failed. */
static bool put_pattern(struct lf_schemas *m, struct lf_buf *out, const json_t *p, int64_t least,
                        int64_t most)
{
    lf_buf_auto text = {0};
    struct lf_regex_size size;
    m->rc = lf_regex_write(&text, json_string_value(p), json_string_length(p), LF_REGEX_JSON, &size,
                           m->diag);
    if (m->rc != LF_OK || size.least < least || (most >= 0 && (size.most < 0 || size.most > most)))
        return false;
    lf_buf_printf(out, "\"\\\"\" %s \"\\\"\"", lf_buf_str(&text));
    return true;
}

enum lf_err lf_schema_string(struct lf_schemas *m, struct lf_buf *out, const json_t *schema)
{
    int64_t least = lf_schemas_count(m, schema, "minLength", 0);
    int64_t most = lf_schemas_count(m, schema, "maxLength", -1);
    const json_t *p = json_object_get(schema, "pattern");
    const char *format = format_of(schema);
    bool excepts = json_object_get(schema, LF_SCHEMA_EXCEPT) ||
                   json_object_get(schema, LF_SCHEMA_EXCEPT_PATTERN) || (most >= 0 && most < least);
    if (m->rc != LF_OK)
        return m->rc;
    if (json_is_string(p) && !format && !excepts && put_pattern(m, out, p, least, most))
        return LF_OK;
    if (m->rc == LF_OK && (p || excepts || (format && (least > 0 || most >= 0)))) {
        struct lf_language *l = lf_schema_strings(m, schema);
        lf_buf_puts(out, "\"\\\"\" ");
        m->rc = l ? lf_language_write(l, true, m->out, out) : m->rc ?: LF_E_UNSUPPORTED;
        lf_buf_puts(out, " \"\\\"\"");
        lf_language_free(l);
    } else if (format) {
        lf_buf_printf(out, "\"\\\"\" %s \"\\\"\"", format);
    } else if (least == 0 && most < 0) {
        lf_buf_puts(out, "json-string");
    } else {
        const char *one = most > COPIES || least > COPIES ? "json-character" : CHARACTER;
        lf_buf_printf(out, most < 0 ? "\"\\\"\" %s{%d,} \"\\\"\"" : "\"\\\"\" %s{%d,%d} \"\\\"\"",
                      one, (int)least, (int)most);
    }
    return m->rc;
}
