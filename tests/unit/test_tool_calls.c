/* LIBS: lf_text */
/* Calls of tools in answers: each known form, and everything near it that is words. */
#include "text/tool_calls.h"

#include "core/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char offered[] = "[{\"type\":\"function\",\"function\":{\"name\":\"sum\"}},"
                              "{\"name\":\"now\"}]";

/* What is found, as JSON; "" for words. Yours. */
static char *found(const char *text, size_t *n_content)
{
    json_auto_t *tools = NULL, *calls = NULL;
    assert_int_equal(lf_json_parse(&tools, offered, strlen(offered), NULL), LF_OK);
    assert_int_equal(lf_tool_calls_find(&calls, n_content, text, strlen(text), tools), LF_OK);
    return calls ? json_dumps(calls, JSON_COMPACT) : strdup("");
}

#define SUM "{\"name\":\"sum\",\"arguments\":{\"a\":1}}"
#define NOW "{\"name\":\"now\",\"arguments\":{}}"

static void calls_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *text, *calls;
        size_t n_content;
    } cases[] = {
        {"<tool_call>\n" SUM "\n</tool_call>", "[" SUM "]", 0},
        {"I add.\n\n<tool_call>" SUM "</tool_call>\n<tool_call>" NOW "</tool_call>\n",
         "[" SUM "," NOW "]", 6},
        {"{\"name\": \"sum\", \"parameters\": {\"a\": 1}}", "[" SUM "]", 0},
        {"<|python_tag|>" SUM, "[" SUM "]", 0},
        {" [TOOL_CALLS] [" SUM ", " NOW "] ", "[" SUM "," NOW "]", 0},
        {"[" NOW "]", "[" NOW "]", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n;
        char *calls = found(cases[i].text, &n);
        assert_string_equal(calls, cases[i].calls);
        assert_int_equal(n, cases[i].n_content);
        free(calls);
    }
}

static void words_are_words(void **state)
{
    (void)state;
    static const char *const words[] = {
        "",
        " \n",
        "The sum is 3.",
        "{\"name\": \"sum\"}",
        "{\"name\": \"sum\", \"arguments\": \"a\"}",
        "{\"name\": \"other\", \"arguments\": {}}",
        "{\"a\": 1}",
        "[]",
        "[1, 2]",
        "[" SUM ", 3]",
        SUM " is what I would call",
        "I call " SUM,
        "<tool_call>" SUM,
        "<tool_call>" SUM "</tool_call> and more",
        "<tool_call>{\"name\": \"sum\", </tool_call>",
        "<tool_call></tool_call>",
        "<tool_call>" SUM
        "</tool_call><tool_call>{\"name\":\"other\",\"arguments\":{}}</tool_call>",
        "</tool_call>",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n;
        char *calls = found(words[i], &n);
        assert_string_equal(calls, "");
        assert_int_equal(n, strlen(words[i]));
        free(calls);
    }
}

/* In whatever pieces it comes: what is sent before the end are words that the whole says, too. */
static void what_was_settled_stays_words(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t sent; /* at the most, before its end is known */
    } cases[] = {
        {"The sum is 3.", 13},
        {"1 < 2 <tool", 5},
        {"<b>bold</b>", 11},
        {"I add.\n\n<tool_call>" SUM "</tool_call>", 6},
        {"<tool_call>" SUM "</tool_call>", 0},
        {" " SUM, 0},
        {"[TOOL_CALLS][" NOW "]", 0},
        {"<|python", 0},
        {"   ", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text;
        size_t sent = 0;
        for (size_t n = 1; n <= strlen(text); n++)
            sent += lf_tool_calls_settled(text + sent, n - sent, sent > 0);
        assert_int_equal(sent, cases[i].sent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_found),
        cmocka_unit_test(words_are_words),
        cmocka_unit_test(what_was_settled_stays_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
