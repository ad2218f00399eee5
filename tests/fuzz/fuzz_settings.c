/* LIBS: lf_trainer */
/* Any bytes as a config.json: refused with a reason, or settings that print and parse again. */
#include "trainer/settings.h"

#include "core/json.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void print(struct lf_buf *out, const struct lf_train_settings *s)
{
    lf_buf_init(out, 0);
    lf_assert(lf_train_settings_print(s, out) == LF_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_diag diag = {""};
    struct lf_train_settings s, again;
    json_t *j, *printed;
    if (lf_json_parse(&j, (const char *)data, n, &diag) != LF_OK)
        return 0;
    enum lf_err rc = lf_train_settings_parse(&s, j, &diag);
    json_decref(j);
    if (rc != LF_OK) {
        lf_assert(diag.text[0] != '\0');
        return 0;
    }
    struct lf_buf first, second;
    print(&first, &s);
    lf_assert(lf_json_parse(&printed, first.data, first.len, NULL) == LF_OK);
    lf_assert(lf_train_settings_parse(&again, printed, NULL) == LF_OK);
    print(&second, &again);
    lf_assert(strcmp(first.data, second.data) == 0);
    lf_buf_free(&first);
    lf_buf_free(&second);
    json_decref(printed);
    lf_train_settings_free(&s);
    lf_train_settings_free(&again);
    return 0;
}
