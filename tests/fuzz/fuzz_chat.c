/* Any bytes as a chat template, a NUL, and its variables as JSON: refused, failed, or rendered;
 * never for long, and nothing is written on an error. */
#include "core/json.h"
#include "text/chat.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char usual[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\\u00e9 b\\n\"},{\"role\":\"x\"}],"
        "\"xs\":[3,1,2.5,\"s\",null,true],\"d\":{\"a\":1,\"b\":[{}]},\"s\":\" Text, text \"}";
    const char *source = (const char *)data;
    const char *end = memchr(source, '\0', n);
    size_t n_source = end ? (size_t)(end - source) : n;
    size_t n_vars = end ? n - n_source - 1 : sizeof usual - 1;
    struct lf_chat *chat;
    struct lf_diag diag;
    struct lf_buf out;
    json_t *vars = NULL;
    if (lf_chat_parse(&chat, source, n_source, "<s>", NULL, &diag) != LF_OK)
        return 0;
    lf_buf_init(&out, 0);
    if (lf_json_parse(&vars, end ? end + 1 : usual, n_vars, &diag) == LF_OK &&
        lf_chat_render(chat, &out, vars, true, &diag) != LF_OK && out.len != 0)
        __builtin_trap();
    json_decref(vars);
    lf_buf_free(&out);
    lf_chat_free(chat);
    return 0;
}
