/* LIBS: lf_land lf_core */
/* Any bytes as a publisher's file: the first byte chooses the format, the rest is the text. Every
 * row is an object that can be written and read again. */
#include "land/rows.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum lf_err take(void *arg, json_t *row, int64_t line, struct lf_diag *diag)
{
    int64_t *rows = arg;
    lf_assert(json_is_object(row) && line >= 0);
    char *text = json_dumps(row, JSON_COMPACT);
    lf_assert(text != NULL);
    json_t *again = json_loads(text, JSON_ALLOW_NUL, NULL);
    lf_assert(json_is_object(again));
    json_decref(again);
    free(text);
    return ++*rows == 1000 ? LF_E_CANCELLED : lf_fail(diag, LF_OK, "%s", "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *columns = json_pack("[s,s,s]", "a", "b", "..."), *element = json_string("row");
    json_t *steps = json_pack("[s,s,s]", "*", "rows", "*"), *none = json_array();
    const struct lf_rows_form forms[] = {
        {.format = "csv"},
        {.format = "csv", .columns = columns},
        {.format = "tsv"},
        {.format = "tsv", .quotes = true, .encoding = "WINDOWS-1252"},
        {.format = "jsonl"},
        {.format = "json"},
        {.format = "json", .rows = steps},
        {.format = "json", .rows = none},
        {.format = "xml", .rows = element},
        {.format = "sgml", .rows = element},
        {.format = "conll"},
    };
    if (n > 0) {
        struct lf_rows_form form = forms[data[0] % (sizeof forms / sizeof *forms)];
        struct lf_diag diag = {""};
        int64_t rows = 0;
        form.encoding = form.encoding ? form.encoding : "";
        enum lf_err rc = lf_rows_parse((const char *)data + 1, n - 1, &form, take, &rows, &diag);
        lf_assert(rc == LF_OK || rc == LF_E_CANCELLED || diag.text[0] != '\0');
    }
    json_decref(columns);
    json_decref(element);
    json_decref(steps);
    json_decref(none);
    return 0;
}
