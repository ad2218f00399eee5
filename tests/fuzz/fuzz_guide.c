/* LIBS: lf_text */
/* Any bytes as a grammar: a form (the first byte), its text up to a NUL, and bytes that a guide is
 * led by. What is refused has a reason; what is accepted can always be gone on with, or is whole.
 */
#include "text/guide.h"

#include "core/json.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TEXT_MAX 4096
#define DEEP 400 /* bytes after which a text may be as deep as it can be */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum lf_err gbnf_of(struct lf_buf *out, char form, const char *text, size_t n,
                           struct lf_diag *diag)
{
    json_t *j;
    if (form == 'g')
        return lf_buf_append(out, text, n);
    if (form == 'r')
        return lf_grammar_of_regex(out, text, n, diag);
    enum lf_err rc = lf_json_parse(&j, text, n, diag);
    if (rc != LF_OK)
        return rc;
    rc = form == 'c' ? lf_grammar_of_choices(out, j, diag)
                     : lf_grammar_of_schema(out, j, "root", diag);
    json_decref(j);
    return rc;
}

static bool goes_on(struct lf_guide *u, uint8_t wish)
{
    for (int i = 0; i < 256; i++) {
        char c = (char)(wish + i);
        if (lf_guide_bytes(u, &c, 1) == LF_OK)
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_diag diag = {""};
    lf_buf_auto gbnf = {0};
    struct lf_grammar *g;
    struct lf_guide *u;
    if (n < 2 || n > TEXT_MAX)
        return 0;
    const char *text = (const char *)data + 1, *end = memchr(text, 0, n - 1);
    size_t len = end ? (size_t)(end - text) : n - 1;
    enum lf_err rc = gbnf_of(&gbnf, (char)data[0], text, len, &diag);
    if (rc == LF_OK)
        rc = lf_grammar_new(&g, lf_buf_str(&gbnf), gbnf.len, NULL, &diag);
    if (rc != LF_OK) {
        lf_assert(diag.text[0] != '\0');
        return 0;
    }
    lf_assert(lf_guide_new(&u, g, &diag) == LF_OK);
    for (size_t i = 1 + len; i < n; i++)
        if (!goes_on(u, data[i])) {
            lf_assert(lf_guide_whole(u) || i > DEEP);
            break;
        }
    lf_guide_free(u);
    lf_grammar_release(g);
    return 0;
}
