/* Adapters that are mixed for a request. */
#include "daemon/engine/blend.h"

#include "core/buf.h"
#include "core/file.h"
#include "core/sums.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define OWN_ID (1ull << 63) /* adapters' ids are counted from 1 on, and never come there */

struct lf_blend {
    atomic_int refs;
    struct lf_merge how;
    char dir[LF_MERGE_PARTS_MAX][LF_PATH_MAX];
};

void lf_blend_hold(struct lf_blend *b)
{
    if (b)
        atomic_fetch_add(&b->refs, 1);
}

void lf_blend_release(struct lf_blend *b)
{
    if (b && atomic_fetch_sub(&b->refs, 1) == 1)
        free(b);
}

/* A digest of all that the result depends on. */
static enum lf_err blend_id(uint64_t *out, const struct lf_pick *parts, const struct lf_merge *how,
                            struct lf_diag *diag)
{
    char hex[LF_SHA256_HEX];
    lf_buf_auto text = {0};
    bool linear = how->strategy == LF_MERGE_LINEAR;
    lf_buf_printf(&text, "%d %a %d", (int)how->strategy, linear ? 0 : how->density,
                  !linear && how->by_frequency);
    for (int i = 0; i < how->n; i++)
        lf_buf_printf(&text, " %llu.%d:%a", (unsigned long long)parts[i].id, (int)parts[i].version,
                      how->weight[i]);
    if (text.rc != LF_OK)
        return lf_no_memory(diag, "a merge");
    enum lf_err rc = lf_sha256_of(hex, text.data, text.len, diag);
    hex[16] = '\0';
    *out = strtoull(hex, NULL, 16) | OWN_ID;
    return rc;
}

enum lf_err lf_blend_pick(struct lf_pick *out, const struct lf_pick *parts,
                          const struct lf_merge *how, struct lf_diag *diag)
{
    lf_assert(how->n >= 1 && how->n <= LF_MERGE_PARTS_MAX);
    struct lf_blend *b = malloc(sizeof *b);
    if (!b)
        return lf_no_memory(diag, "a merge");
    atomic_init(&b->refs, 1);
    b->how = *how;
    for (int i = 0; i < how->n; i++) {
        lf_assert(parts[i].id > 0 && !parts[i].blend);
        b->how.seed[i] =
            parts[i].id << 32 ^ (uint64_t)(uint32_t)parts[i].version << 8 ^ (uint64_t)i;
        memcpy(b->dir[i], parts[i].dir, sizeof b->dir[i]);
    }
    *out = (struct lf_pick){.blend = b};
    enum lf_err rc = blend_id(&out->id, parts, how, diag);
    if (rc != LF_OK)
        lf_blend_release(b);
    return rc;
}

enum lf_err lf_version_check(const char *dir, struct lf_diag *diag)
{
    enum lf_err rc = lf_sums_check(dir, diag);
    return rc == LF_E_INVALID ? LF_OK : rc;
}

enum lf_err lf_blend_load(struct lf_packed **out, const struct lf_blend *b,
                          const struct lf_config *c, enum lf_dtype type, struct lf_diag *diag)
{
    struct lf_adapter *parts[LF_MERGE_PARTS_MAX] = {0}, *merged = NULL;
    enum lf_err rc = LF_OK;
    for (int i = 0; i < b->how.n && rc == LF_OK; i++)
        rc = lf_version_check(b->dir[i], diag) ?: lf_adapter_load(&parts[i], c, b->dir[i], diag);
    rc =
        rc ?: lf_adapters_merge(&merged, c, &b->how, (const struct lf_adapter *const *)parts, diag);
    rc = rc ?: lf_packed_of(out, merged, type, diag);
    for (int i = 0; i < b->how.n; i++)
        lf_adapter_free(parts[i]);
    lf_adapter_free(merged);
    return rc;
}
