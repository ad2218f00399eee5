/* Forms of answers: what is asked under which name, into grammars. */
#include "daemon/api/form.h"

#include "daemon/forms.h"
#include "daemon/limits.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"

#include "core/json.h"
#include "daemon/team.h"

#include <string.h>

struct wanted_form {
    enum lf_form form;
    const json_t *what; /* NULL: nothing; a text, or JSON */
    const char *name;
    json_t *object; /* {"type": "object"} */
};

/* ---- What is asked --------------------------------------------------------------------------- */

/* As everywhere, [], {} and "" ask for nothing. */
static bool is_nothing(const json_t *v)
{
    return !v || json_is_null(v) || (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0) ||
           (json_is_string(v) && json_string_length(v) == 0);
}

static enum lf_err ask(struct wanted_form *k, enum lf_form form, const json_t *what,
                       const char *name, struct lf_diag *diag)
{
    if (is_nothing(what))
        return LF_OK;
    if (k->what)
        return lf_fail(diag, LF_E_INVALID, "\"%s\" and \"%s\" both say what the answer's form is",
                       k->name, name);
    k->form = form;
    k->what = what;
    k->name = name;
    return LF_OK;
}

/* {"type": "text" | "json_object" | "json_schema" | "regex", ...} */
static enum lf_err response_format(struct wanted_form *k, const json_t *f, struct lf_diag *diag)
{
    const char *type = lf_json_text_of(f, "type");
    const json_t *schema = json_object_get(f, "schema");
    if (is_nothing(f) || strcmp(type, "text") == 0)
        return LF_OK;
    if (strcmp(type, "json_object") == 0)
        return ask(k, LF_FORM_SCHEMA, schema ? schema : k->object, "response_format", diag);
    if (strcmp(type, "json_schema") == 0) {
        const json_t *named = json_object_get(f, "json_schema");
        schema = json_object_get(named, "schema") ?: schema;
        if (!schema)
            return lf_fail(diag, LF_E_INVALID, "\"response_format\" has no schema");
        return ask(k, LF_FORM_SCHEMA, schema, "response_format", diag);
    }
    if (strcmp(type, "regex") == 0 && json_object_get(f, "pattern"))
        return ask(k, LF_FORM_REGEX, json_object_get(f, "pattern"), "response_format", diag);
    return lf_fail(diag, LF_E_UNSUPPORTED,
                   "\"response_format\" may be of the types text, json_object and json_schema");
}

/* GBNF, or text-generation-inference's {"type": "json" | "regex", "value"}. */
static enum lf_err grammar(struct wanted_form *k, const json_t *g, struct lf_diag *diag)
{
    const char *type = lf_json_text_of(g, "type");
    const json_t *value = json_object_get(g, "value");
    if (!json_is_object(g) || is_nothing(g))
        return ask(k, LF_FORM_GBNF, g, "grammar", diag);
    if (!value)
        return lf_fail(diag, LF_E_INVALID, "\"grammar\" has no \"value\"");
    if (strcmp(type, "json") == 0 || strcmp(type, "json_schema") == 0)
        return ask(k, LF_FORM_SCHEMA, value, "grammar", diag);
    if (strcmp(type, "regex") == 0)
        return ask(k, LF_FORM_REGEX, value, "grammar", diag);
    return lf_fail(diag, LF_E_UNSUPPORTED, "\"grammar\" may be of the types json and regex");
}

static enum lf_err structured(struct wanted_form *k, const json_t *s, struct lf_diag *diag)
{
    static const char *const known[] = {"json", "regex", "choice", "grammar", "json_object", NULL};
    enum lf_err rc = LF_OK;
    if (!is_nothing(s) && !json_is_object(s))
        rc = lf_fail(diag, LF_E_INVALID, "\"structured_outputs\" must be an object");
    rc = rc ?: json_is_object(s) ? lf_json_only(s, known, diag) : LF_OK;
    rc = rc ?: ask(k, LF_FORM_SCHEMA, json_object_get(s, "json"), "json", diag);
    rc = rc ?: ask(k, LF_FORM_REGEX, json_object_get(s, "regex"), "regex", diag);
    rc = rc ?: ask(k, LF_FORM_CHOICES, json_object_get(s, "choice"), "choice", diag);
    rc = rc ?: ask(k, LF_FORM_GBNF, json_object_get(s, "grammar"), "grammar", diag);
    bool any = json_is_true(json_object_get(s, "json_object"));
    return rc ?: ask(k, LF_FORM_SCHEMA, any ? k->object : NULL, "json_object", diag);
}

static enum lf_err find_asked(struct wanted_form *k, const json_t *body, struct lf_diag *diag)
{
    static const struct {
        const char *name;
        enum lf_form form;
    } plain[] = {{"guided_json", LF_FORM_SCHEMA}, {"json_schema", LF_FORM_SCHEMA},
                 {"schema", LF_FORM_SCHEMA},      {"guided_regex", LF_FORM_REGEX},
                 {"regex", LF_FORM_REGEX},        {"guided_choice", LF_FORM_CHOICES},
                 {"choices", LF_FORM_CHOICES},    {"guided_grammar", LF_FORM_GBNF},
                 {"ebnf", LF_FORM_GBNF}};
    enum lf_err rc = response_format(k, json_object_get(body, "response_format"), diag);
    rc = rc ?: grammar(k, json_object_get(body, "grammar"), diag);
    rc = rc ?: structured(k, json_object_get(body, "structured_outputs"), diag);
    for (size_t i = 0; i < sizeof plain / sizeof *plain && rc == LF_OK; i++)
        rc = ask(k, plain[i].form, json_object_get(body, plain[i].name), plain[i].name, diag);
    return rc;
}

/* ---- Grammars -------------------------------------------------------------------------------- */

static enum lf_err set(struct lf_request *a, enum lf_form form, const char *text, size_t n,
                       struct lf_diag *diag)
{
    return lf_forms_grammar(a->model.team->forms, &a->grammar, form, text, n, diag);
}

/* The labels that the adapter's version was scored on. */
static enum lf_err set_labels(struct lf_request *a, struct lf_http *q, struct lf_diag *diag)
{
    static const struct lf_file_ref ref = {LF_FILE_METRICS, 0};
    char path[LF_PATH_MAX];
    json_auto_t *report = NULL;
    lf_buf_auto text = {0};
    if (a->model.pick.id != 0 &&
        lf_registry_path(q->daemon->registry, a->model.name, &ref, path, NULL) == LF_OK &&
        lf_json_load(&report, path, NULL) != LF_OK)
        report = NULL;
    if (json_integer_value(json_object_get(report, "version")) != a->model.pick.version)
        json_object_clear(report);
    json_t *eval = json_object_get(report, "eval");
    json_t *labels = json_object_get(json_object_get(eval, "confusion"), "labels");
    if (json_array_size(labels) == 0)
        return lf_fail(
            diag, LF_E_INVALID,
            "\"choices\": \"labels\": %s was not scored on rows whose answers are labels",
            a->model.name);
    if (lf_json_put(&text, json_incref(labels), JSON_COMPACT) != LF_OK)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for the labels");
    return set(a, LF_FORM_CHOICES, text.data, text.len, diag);
}

enum lf_err lf_request_form(struct lf_request *a, struct lf_http *q, const json_t *body,
                            struct lf_diag *diag)
{
    json_auto_t *object = json_pack("{s:s}", "type", "object");
    struct wanted_form k = {.object = object};
    lf_buf_auto text = {.max = LF_FORM_BYTES_MAX};
    enum lf_err rc = find_asked(&k, body, diag);
    if (rc != LF_OK || !k.what)
        return rc;
    if (a->ignore_eos)
        return lf_fail(diag, LF_E_INVALID, "\"%s\" and \"ignore_eos\" exclude each other", k.name);
    const char *s = json_string_value(k.what);
    if (strcmp(k.name, "choices") == 0 && s && strcmp(s, "labels") == 0)
        return set_labels(a, q, diag);
    if (s) /* JSON may come as its text */
        rc = set(a, k.form, s, json_string_length(k.what), diag);
    else if (k.form == LF_FORM_GBNF || k.form == LF_FORM_REGEX)
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be a text", k.name);
    else if (k.form == LF_FORM_CHOICES ? !json_is_array(k.what) : !json_is_object(k.what))
        return lf_fail(diag, LF_E_INVALID, "\"%s\" must be %s", k.name,
                       k.form == LF_FORM_CHOICES ? "a list of texts" : "a schema");
    else if (lf_json_put(&text, json_incref((json_t *)(uintptr_t)k.what), JSON_COMPACT) != LF_OK)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a form");
    else
        rc = set(a, k.form, text.data, text.len, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "\"%s\"", k.name);
}

/* ---- Calls of tools -------------------------------------------------------------------------- */

/* One call of one of the tools, with its arguments under `arguments`. */
static json_t *call_schema(const json_t *tools, const char *only, const char *arguments)
{
    json_t *calls = json_array();
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *f = json_object_get(json_array_get(tools, i), "function");
        json_t *name = json_object_get(f, "name"), *p = json_object_get(f, "parameters");
        if (only && strcmp(only, json_string_value(name) ?: "") != 0)
            continue;
        json_array_append_new(
            calls, json_pack("{s:s, s:{s:{s:O}, s:o}, s:[s, s], s:b}", "type", "object",
                             "properties", "name", "const", name, arguments,
                             json_object_size(p) > 0 ? json_incref(p)
                                                     : json_pack("{s:s}", "type", "object"),
                             "required", "name", arguments, "additionalProperties", 0));
    }
    return json_pack("{s:o}", "anyOf", calls);
}

enum lf_err lf_request_calls(struct lf_request *a, const json_t *tools, const char *only, bool once,
                             struct lf_diag *diag)
{
    const struct lf_tokenizer *t = a->model.team->base->model->tokenizer;
    bool hermes = lf_tokenizer_find(t, "<tool_call>") >= 0;
    bool list = !hermes && lf_tokenizer_find(t, "[TOOL_CALLS]") >= 0;
    json_auto_t *schema = call_schema(tools, only, hermes || list ? "arguments" : "parameters");
    lf_buf_auto gbnf = {.max = LF_FORM_BYTES_MAX};
    if (json_array_size(json_object_get(schema, "anyOf")) == 0)
        return lf_fail(diag, LF_E_INVALID, "\"tool_choice\": there is no tool \"%.64s\"",
                       only ? only : "");
    enum lf_err rc = lf_grammar_of_schema(&gbnf, schema, "call", diag);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc, "\"tools\"");
    const char *more = once ? "{0}" : "*";
    if (hermes)
        lf_buf_printf(&gbnf,
                      "one ::= \"<tool_call>\\n\" call \"\\n</tool_call>\"\n"
                      "root ::= one (\"\\n\" one)%s\n",
                      more);
    else if (list)
        lf_buf_printf(&gbnf, "root ::= \"[\" call (\", \" call)%s \"]\"\n", more);
    else
        lf_buf_puts(&gbnf, "root ::= call\n");
    if (gbnf.rc != LF_OK)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for the tools");
    return set(a, LF_FORM_GBNF, gbnf.data, gbnf.len, diag);
}
