/* LIBS: lf_meta lf_core */
/* Any bytes as a record of the store: damaged, or one that is written as it was read. */
#include "meta/codec.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void adapter(const uint8_t *data, size_t n)
{
    struct lf_adapter_record r, again;
    struct lf_diag diag = {""};
    lf_buf_auto out = {0}, twice = {0};
    enum lf_err rc = lf_adapter_record_decode(&r, data, n, &diag);
    lf_assert(rc == LF_OK || diag.text[0] != '\0');
    if (rc != LF_OK)
        return;
    lf_assert(lf_adapter_record_encode(&out, &r) == LF_OK);
    lf_assert(lf_adapter_record_decode(&again, out.data, out.len, NULL) == LF_OK);
    lf_assert(lf_adapter_record_encode(&twice, &again) == LF_OK);
    lf_assert(out.len == twice.len && memcmp(out.data, twice.data, out.len) == 0);
}

static void job(const uint8_t *data, size_t n)
{
    struct lf_job_record r, again;
    struct lf_diag diag = {""};
    lf_buf_auto out = {0}, twice = {0};
    enum lf_err rc = lf_job_record_decode(&r, data, n, &diag);
    lf_assert(rc == LF_OK || diag.text[0] != '\0');
    if (rc != LF_OK)
        return;
    lf_assert(lf_job_record_encode(&out, &r) == LF_OK);
    lf_assert(lf_job_record_decode(&again, out.data, out.len, NULL) == LF_OK);
    lf_assert(lf_job_record_encode(&twice, &again) == LF_OK);
    lf_assert(out.len == twice.len && memcmp(out.data, twice.data, out.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    adapter(data, n);
    job(data, n);
    return 0;
}
