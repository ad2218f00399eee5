/* LIBS: lf_daemon lf_trainer lf_core */
/* openapi.json describes config.json as the table of settings does. (docs/training.md's table and
 * lorafs-config(5) are made from there: tools/settings-doc.) */
#include "core/json.h"
#include "daemon/embedded.h"
#include "trainer/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *number(double x)
{
    return x == (double)(json_int_t)x ? json_integer((json_int_t)x) : json_real(x);
}

/* A number of the type or null, with its range, and its default where it has one. */
static json_t *range(const struct lf_setting *t, const char *type)
{
    json_t *v = json_pack("{s:[s, s], s:o, s:o}", "type", type, "null", "minimum", number(t->lo),
                          "maximum", number(t->hi));
    if (t->otherwise >= t->lo)
        json_object_set_new(v, "default", number(t->otherwise));
    return v;
}

static json_t *words(const struct lf_setting *t)
{
    json_t *list = json_array();
    for (int i = 0; t->words[i]; i++)
        json_array_append_new(list, json_string(t->words[i]));
    json_array_append_new(list, json_null());
    return json_pack("{s:o, s:s}", "enum", list, "default", t->words[(int)t->otherwise]);
}

static json_t *described(const struct lf_setting *t)
{
    switch (t->type) {
    case LF_SETTING_INT:
    case LF_SETTING_INT64:
        return range(t, "integer");
    case LF_SETTING_REAL:
        return range(t, "number");
    case LF_SETTING_BOOL:
        return json_pack("{s:[s, s], s:b}", "type", "boolean", "null", "default",
                         t->otherwise != 0);
    case LF_SETTING_WORD:
        return words(t);
    case LF_SETTING_NAME:
        return json_pack("{s:[s, s], s:s}", "type", "string", "null", "default", "");
    case LF_SETTING_TEXT:
        return json_pack("{s:[s, s], s:n}", "type", "string", "null", "default");
    case LF_SETTING_COLUMNS:
        return json_pack("{s:[s, s], s:{s:s}, s:n}", "type", "object", "null",
                         "additionalProperties", "type", "string", "default");
    case LF_SETTING_PATTERN:
        return json_pack("{s:[s, s], s:{s:s, s:o, s:o}, s:n}", "type", "object", "null",
                         "additionalProperties", "type", "number", "minimum", number(t->lo),
                         "maximum", number(t->hi), "default");
    case LF_SETTING_LAYERS:
        return json_pack("{s:[s, s], s:{s:s, s:i}, s:i, s:n}", "type", "array", "null", "items",
                         "type", "integer", "minimum", 0, "minItems", 1, "default");
    case LF_SETTING_RATE:
        return json_pack("{s:[{s:s}, {s:s, s:o, s:o}, {s:s}], s:s}", "anyOf", "const", "auto",
                         "type", "number", "minimum", number(t->lo), "maximum", number(t->hi),
                         "type", "null", "default", "auto");
    case LF_SETTING_COUNT:
        return json_pack("{s:[{s:s}, {s:s, s:o, s:o}, {s:s}], s:o}", "anyOf", "const", "auto",
                         "type", "integer", "minimum", number(t->lo), "maximum", number(t->hi),
                         "type", "null", "default", number(t->otherwise));
    case LF_SETTING_MODULES:
        return json_pack("{s:[{s:s}, {s:s, s:{s:s}, s:i}, {s:s}], s:s}", "anyOf", "type", "string",
                         "type", "array", "items", "type", "string", "minItems", 1, "type", "null",
                         "default", "all-linear");
    case LF_SETTING_STOPS:
        return json_pack("{s:[{s:s, s:i}, {s:s, s:{s:s, s:i}, s:i}, {s:s}], s:[]}", "anyOf", "type",
                         "string", "minLength", 1, "type", "array", "items", "type", "string",
                         "minLength", 1, "maxItems", LF_STOPS_MAX, "type", "null", "default");
    }
    return NULL;
}

/* Two of which one may be given. */
static json_t *not_both(const char *a, const char *b)
{
    return json_pack("{s:{s:[s, s], s:{s:{s:{s:s}}, s:{s:{s:s}}}}}", "not", "required", a, b,
                     "properties", a, "not", "type", "null", b, "not", "type", "null");
}

static void the_document_describes_the_settings(void **state)
{
    (void)state;
    json_t *doc, *properties = json_object(), *choices = json_array();
    struct lf_diag diag = {""};
    for (const struct lf_setting *t = lf_settings; t->key; t++) {
        json_t *v = described(t);
        assert_non_null(v);
        json_object_set_new(v, "description", json_string(t->help));
        json_object_set_new(properties, t->key, v);
        if (t->instead_of)
            json_array_append_new(choices, not_both(t->key, t->instead_of));
    }
    json_t *want = json_pack("{s:s, s:b, s:o, s:o}", "type", "object", "additionalProperties", 0,
                             "properties", properties, "allOf", choices);
    assert_int_equal(lf_json_parse(&doc, (const char *)lf_openapi->bytes, lf_openapi->n, &diag),
                     LF_OK);
    json_t *schemas = json_object_get(json_object_get(doc, "components"), "schemas");
    if (!json_equal(json_object_get(schemas, "Settings"), want)) {
        char *text = json_dumps(want, JSON_INDENT(1));
        fprintf(stderr, "openapi.json's components.schemas.Settings must be\n%s\n", text);
        free(text);
        fail();
    }
    json_decref(want);
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_document_describes_the_settings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
