/* LIBS: lf_peers lf_core */
/* Any file of a shared directory: what is taken is what would be written, and its digests can be
 * parts of paths. */
#include "peers/publication.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_published p = {0}, again = {0};
    struct lf_diag diag = {""};
    if (lf_published_parse(&p, "a", (const char *)data, n, &diag) != LF_OK) {
        lf_assert(diag.text[0]);
        return 0;
    }
    lf_assert((p.version > 0) == lf_is_sha256(p.sha256) && p.stamp_ms > 0);
    json_t *j = lf_published_json(&p);
    lf_assert(j && lf_published_take(&again, "a", j, &diag) == LF_OK);
    lf_assert(again.version == p.version && again.stamp_ms == p.stamp_ms);
    lf_assert(strcmp(again.sha256, p.sha256) == 0);
    lf_assert(p.settings ? json_equal(p.settings, again.settings) : !again.settings);
    lf_assert(!lf_published_is_newer(&p, &again));
    json_decref(j);
    lf_published_free(&p);
    lf_published_free(&again);
    return 0;
}
