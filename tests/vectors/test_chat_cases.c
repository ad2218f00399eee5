/* LIBS: lf_text */
/* Chat templates against what jinja2 gave: chat_cases.jsonl, a case a line with "text" or "error"
 * (chat_oracle.py --answer makes them). The text must be equal; an error must be one here too. What
 * jinja2 can do and we cannot has "refused": what the error must say. */
#include "core/file.h"
#include "core/json.h"
#include "core/limits.h"
#include "text/chat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Renders a case; false where it is not as it should be, after saying how. */
static bool check(const json_t *c, int line)
{
    const json_t *source = json_object_get(c, "template"), *want = json_object_get(c, "text");
    struct lf_diag diag = {""};
    struct lf_chat *chat = NULL;
    struct lf_buf text;
    lf_buf_init(&text, 0);
    enum lf_err rc = lf_chat_parse(&chat, json_string_value(source), json_string_length(source),
                                   json_string_value(json_object_get(c, "bos")),
                                   json_string_value(json_object_get(c, "eos")), &diag);
    if (rc == LF_OK)
        rc = lf_chat_render(chat, &text, json_object_get(c, "vars"),
                            json_is_true(json_object_get(c, "generate")), &diag);
    const char *refused = json_string_value(json_object_get(c, "refused"));
    bool good = rc != LF_OK
                    ? !want && diag.text[0] && (!refused || strstr(diag.text, refused))
                    : want && text.len == json_string_length(want) &&
                          memcmp(text.len ? text.data : "", json_string_value(want), text.len) == 0;
    if (!good)
        print_message("line %d: %s\n  want %s\n  got  %s\n", line, json_string_value(source),
                      want ? json_string_value(want) : "an error",
                      rc == LF_OK ? text.data : diag.text);
    if (rc != LF_OK)
        assert_int_equal(text.len, 0);
    lf_chat_free(chat);
    lf_buf_free(&text);
    return good;
}

static void cases_render_as_jinja2_does(void **state)
{
    (void)state;
    char path[LF_PATH_MAX];
    struct lf_buf file;
    struct lf_diag diag;
    int line = 0, bad = 0;
    const char *root = getenv("LF_SOURCE");
    snprintf(path, sizeof path, "%s/tests/vectors/chat_cases.jsonl", root ? root : ".");
    lf_buf_init(&file, 0);
    if (lf_file_read(&file, path, 8u << 20, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    char *rest = file.data;
    for (char *text; (text = strsep(&rest, "\n")) && *text;) {
        json_t *c;
        line++;
        if (lf_json_parse(&c, text, strlen(text), &diag) != LF_OK)
            fail_msg("line %d: %s", line, diag.text);
        bad += !check(c, line);
        json_decref(c);
    }
    lf_buf_free(&file);
    assert_true(line > 200);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_render_as_jinja2_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
