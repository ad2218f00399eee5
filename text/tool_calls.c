/* Calls of tools: found in an answer's text. */
#include "text/tool_calls.h"

#include "core/json.h"

#include <string.h>

#define OPEN "<tool_call>"
#define CLOSE "</tool_call>"

static const char *const marks[] = {"[TOOL_CALLS]", "<|python_tag|>", NULL};

/* A part of the text. */
struct excerpt {
    const char *p;
    size_t n;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Without the blanks at its end. */
static size_t trimmed(const char *text, size_t n)
{
    while (n > 0 && is_blank(text[n - 1]))
        n--;
    return n;
}

static void trim(struct excerpt *s)
{
    while (s->n > 0 && is_blank(s->p[0]))
        s->p++, s->n--;
    s->n = trimmed(s->p, s->n);
}

/* A call or a list of calls may follow. What a parser of JSON takes beside, a byte order mark, does
 * not count: it may have been streamed. */
static bool begins_json(struct excerpt s)
{
    return s.n > 0 && (s.p[0] == '{' || s.p[0] == '[');
}

/* Takes `mark` from its front. */
static bool skip(struct excerpt *s, const char *mark)
{
    size_t n = strlen(mark);
    if (s->n < n || memcmp(s->p, mark, n) != 0)
        return false;
    s->p += n;
    s->n -= n;
    return true;
}

static bool is_offered(const json_t *tools, const char *name)
{
    size_t i;
    json_t *t;
    json_array_foreach(tools, i, t) {
        const json_t *f = json_object_get(t, "function");
        if (strcmp(lf_json_text_of(f ? f : t, "name"), name) == 0)
            return true;
    }
    return false;
}

/* Appends what j says, where it is a call. */
static bool add_call(json_t *calls, const json_t *j, const json_t *tools)
{
    const char *name = lf_json_text_of(j, "name");
    json_t *arguments = json_object_get(j, "arguments");
    if (!arguments)
        arguments = json_object_get(j, "parameters");
    return *name && is_offered(tools, name) && json_is_object(arguments) &&
           json_array_append_new(
               calls, json_pack("{s:s, s:O}", "name", name, "arguments", arguments)) == 0;
}

/* One JSON value, a call or a list of calls. */
static bool add_json(json_t *calls, struct excerpt s, const json_t *tools)
{
    json_auto_t *j = NULL;
    if (lf_json_parse(&j, s.p, s.n, NULL) != LF_OK)
        return false;
    if (!json_is_array(j))
        return add_call(calls, j, tools);
    bool ok = json_array_size(j) > 0;
    for (size_t i = 0; i < json_array_size(j) && ok; i++)
        ok = add_call(calls, json_array_get(j, i), tools);
    return ok;
}

/* One after the other up to the end. */
static bool add_tagged(json_t *calls, struct excerpt s, const json_t *tools)
{
    trim(&s);
    while (s.n > 0) {
        if (!skip(&s, OPEN))
            return false;
        const char *close = memmem(s.p, s.n, CLOSE, strlen(CLOSE));
        if (!close || !add_json(calls, (struct excerpt){s.p, (size_t)(close - s.p)}, tools))
            return false;
        s.n -= (size_t)(close - s.p);
        s.p = close;
        skip(&s, CLOSE);
        trim(&s);
    }
    return true;
}

enum lf_err lf_tool_calls_find(json_t **calls, size_t *n_content, const char *text, size_t n,
                               const json_t *tools)
{
    struct excerpt all = {text, n};
    const char *open = n > 0 ? memmem(text, n, OPEN, strlen(OPEN)) : NULL;
    bool ok;
    *calls = NULL;
    *n_content = n;
    json_t *list = json_array();
    if (!list)
        return LF_E_NO_MEMORY;
    trim(&all);
    if (open) {
        ok = add_tagged(list, (struct excerpt){open, n - (size_t)(open - text)}, tools);
    } else {
        for (size_t i = 0; marks[i]; i++)
            if (skip(&all, marks[i]))
                trim(&all);
        ok = begins_json(all) && add_json(list, all, tools);
    }
    if (!ok) {
        json_decref(list);
        return LF_OK;
    }
    *calls = list;
    *n_content = open ? trimmed(text, (size_t)(open - text)) : 0;
    return LF_OK;
}

/* The text is JSON or a mark, as far as it goes. */
static bool may_begin(const char *text, size_t n)
{
    struct excerpt s = {text, n};
    trim(&s);
    bool may = s.n == 0 || begins_json(s);
    for (size_t i = 0; marks[i] && !may; i++)
        may = strncmp(s.p, marks[i], s.n < strlen(marks[i]) ? s.n : strlen(marks[i])) == 0;
    return may;
}

size_t lf_tool_calls_settled(const char *text, size_t n, bool after_content)
{
    size_t mark = strlen(OPEN);
    const char *open = n > 0 ? memmem(text, n, OPEN, mark) : NULL;
    if (!after_content && may_begin(text, n))
        return 0;
    size_t end = open ? (size_t)(open - text) : n;
    for (size_t k = mark - 1; !open && k > 0; k--) /* the beginning of a mark at the end */
        if (k <= n && memcmp(text + n - k, OPEN, k) == 0) {
            end = n - k;
            break;
        }
    return trimmed(text, end); /* blanks in front of a call are no content */
}
