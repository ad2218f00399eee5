/* LIBS: lf_tools */
/* Any bytes as a hub's listing: a refusal with its reason, or files whose names stay below the
 * directory that they are fetched into, with digests that are digests or nothing. */
#include "tools/hub.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_digest(const char *hex, size_t n)
{
    lf_assert(!*hex || (strlen(hex) == n && strspn(hex, "0123456789abcdef") == n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_hub_repo r = {0};
    struct lf_diag diag = {""};
    enum lf_err rc = lf_hub_parse(&r, (const char *)data, n, &diag);
    lf_assert(rc == LF_OK ? r.revision && *r.revision : diag.text[0] != '\0');
    for (size_t i = 0; rc == LF_OK && i < r.n_files; i++) {
        const struct lf_hub_file *f = &r.files[i];
        lf_assert(f->name && *f->name && *f->name != '/' && !strstr(f->name, ".."));
        lf_assert(f->bytes >= -1);
        check_digest(f->sha256, 64);
        check_digest(f->blob, 40);
        (void)lf_hub_wanted(f->name);
    }
    lf_hub_repo_free(&r);
    return 0;
}
