/* A filter for chat_oracle.py: JSON lines {"template", "bos", "eos", "vars", "generate"} in,
 * {"text": ...} or {"error": ..., "code": "invalid"} out. bos and eos may be null. */
#include "core/json.h"
#include "text/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static json_t *answer(const json_t *question)
{
    const json_t *source = json_object_get(question, "template");
    struct lf_diag diag = {""};
    struct lf_chat *chat = NULL;
    struct lf_buf text;
    lf_buf_init(&text, 0);
    enum lf_err rc = lf_chat_parse(&chat, json_string_value(source), json_string_length(source),
                                   json_string_value(json_object_get(question, "bos")),
                                   json_string_value(json_object_get(question, "eos")), &diag);
    if (rc == LF_OK)
        rc = lf_chat_render(chat, &text, json_object_get(question, "vars"),
                            json_is_true(json_object_get(question, "generate")), &diag);
    json_t *reply = rc == LF_OK
                        ? json_pack("{s:s%}", "text", text.len ? text.data : "", text.len)
                        : json_pack("{s:s, s:s}", "error", diag.text, "code", lf_err_name(rc));
    lf_chat_free(chat);
    lf_buf_free(&text);
    return reply;
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        json_t *question;
        struct lf_diag diag;
        if (lf_json_parse(&question, line, (size_t)n, &diag) != LF_OK)
            die(diag.text);
        json_t *reply = answer(question);
        if (!reply)
            die("a reply that is no JSON");
        json_dumpf(reply, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(reply);
        json_decref(question);
    }
    free(line);
    return 0;
}
