/* LIBS: lf_client */
/* Any bytes as an answer of GET /metrics: read or refused; what is read is within the text. */
#include "client/samples.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_buf text = {0};
    struct lf_samples m;
    struct lf_diag diag = {""};
    if (lf_buf_append(&text, data, n) != LF_OK)
        return 0;
    if (lf_samples_parse(&m, &text, &diag) != LF_OK) {
        lf_assert(m.n == 0 && diag.text[0]);
        return 0;
    }
    for (size_t i = 0; i < m.n; i++) {
        lf_assert(m.v[i].name >= m.text.data && m.v[i].name < m.text.data + n);
        lf_assert(strlen(m.v[i].name) + strlen(m.v[i].labels) < n);
    }
    lf_samples_free(&m);
    return 0;
}
