/* Any bytes as a tokenizer.model, SentencePiece's protobuf or tiktoken's ranks: refused, or it
 * reads a text. */
#include "text/tokenizer.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char text[] = " ab \xe2\x96\x81 a\xc3\xa9 <s> 12345\n";
    struct lf_tokenizer *t;
    struct lf_diag diag;
    struct lf_ids ids = {0};
    struct lf_buf out;
    if (lf_tokenizer_parse_model(&t, (const char *)data, n, &diag) != LF_OK)
        return 0;
    lf_buf_init(&out, 1u << 20);
    if (lf_tokenizer_encode(t, &ids, text, sizeof text - 1, true, &diag) != LF_OK ||
        lf_tokenizer_decode(t, &out, ids.ids, ids.n, false) != LF_OK)
        __builtin_trap();
    for (size_t i = 0; i < ids.n; i++)
        if (!lf_tokenizer_token(t, ids.ids[i]))
            __builtin_trap();
    lf_buf_free(&out);
    lf_ids_free(&ids);
    lf_tokenizer_free(t);
    return 0;
}
