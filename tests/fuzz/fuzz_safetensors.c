/* Any bytes as a safetensors file: opened or refused; what is opened is read to its last byte. */
#include "core/limits.h"
#include "model/bnb.h"
#include "model/safetensors.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_tensors *t;
    struct lf_diag diag;
    unsigned sum = 0;
    if (lf_tensors_parse(&t, data, n, LF_ADAPTER_HEADER_MAX, &diag) != LF_OK)
        return 0;
    for (size_t i = 0; i < lf_tensors_count(t); i++) {
        const struct lf_tensor *x = lf_tensors_at(t, i);
        struct lf_weight w;
        bool found;
        for (size_t k = 0; k < x->bytes; k++)
            sum += ((const uint8_t *)x->data)[k];
        if (lf_tensors_find(t, x->name) != x)
            __builtin_trap();
        if (lf_bnb_read(&found, &w, t, x->name, 4, 32, &diag) == LF_OK && found)
            sum += (unsigned)w.block;
    }
    __asm__ volatile("" ::"r"(sum)); /* it was read */
    lf_tensors_free(t);
    return 0;
}
