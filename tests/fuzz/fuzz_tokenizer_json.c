/* Any bytes as a tokenizer.json, a NUL, and a text for it: refused, or the text goes there and back
 * without harm, and a stream of its ids decodes as they do at once. */
#include "text/tokenizer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static void decode(const struct lf_tokenizer *t, const struct lf_ids *ids, bool skip)
{
    struct lf_buf whole, stream;
    struct lf_decoder d;
    lf_buf_init(&whole, 1u << 20);
    lf_buf_init(&stream, 1u << 20);
    lf_decoder_init(&d, t, skip);
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < ids->n && rc == LF_OK; i++)
        rc = lf_decoder_push(&d, &stream, ids->ids[i]);
    if (rc == LF_OK)
        rc = lf_decoder_finish(&d, &stream);
    enum lf_err at_once = lf_tokenizer_decode(t, &whole, ids->ids, ids->n, skip);
    expect(rc == at_once);
    if (rc == LF_OK)
        expect(whole.len == stream.len &&
               (whole.len == 0 || memcmp(whole.data, stream.data, whole.len) == 0));
    lf_decoder_free(&d);
    lf_buf_free(&whole);
    lf_buf_free(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *json = (const char *)data;
    const char *end = memchr(json, '\0', n);
    size_t n_json = end ? (size_t)(end - json) : n;
    size_t n_text = end ? n - n_json - 1 : 0;
    struct lf_tokenizer *t;
    struct lf_diag diag;
    struct lf_ids ids = {0};
    if (lf_tokenizer_parse(&t, json, n_json, &diag) != LF_OK)
        return 0;
    if (n_text < 4096 &&
        lf_tokenizer_encode(t, &ids, n_text ? end + 1 : "", n_text, true, &diag) == LF_OK) {
        for (size_t i = 0; i < n_text && ids.n < 8192; i++) /* and ids that no text gives */
            if (lf_ids_push(&ids, (int32_t)(unsigned char)end[1 + i] - 2) != LF_OK)
                break;
        decode(t, &ids, false);
        decode(t, &ids, true);
    }
    lf_ids_free(&ids);
    lf_tokenizer_free(t);
    return 0;
}
