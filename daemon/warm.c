/* Adapters ahead of their requests. */
#include "daemon/warm.h"

#include "daemon/registry/registry.h"
#include "daemon/state.h"

#include "core/log.h"
#include "daemon/team.h"

#include <stdio.h>
#include <string.h>

bool lf_warm_is_pinned(const struct lf_daemon *d, const char *name)
{
    for (int i = 0; i < d->options.n_pinned; i++)
        if (strcmp(d->options.pinned[i], name) == 0)
            return true;
    return false;
}

bool lf_warm_base_is_pinned(const struct lf_daemon *d, const struct lf_base *base)
{
    struct lf_adapter_view v;
    for (int i = 0; i < d->options.n_pinned; i++)
        if (strcmp(d->options.pinned[i], base->name) == 0 ||
            (lf_registry_view(d->registry, d->options.pinned[i], &v, NULL) == LF_OK &&
             v.base == base))
            return true;
    return false;
}

void lf_warm(const struct lf_daemon *d, uint64_t id, int32_t version, int timeout_ms)
{
    struct lf_adapter_view v;
    struct lf_pick pick = {.id = id, .version = version};
    struct lf_diag diag = {""};
    char part[64];
    if (version < 1 || lf_registry_view_id(d->registry, id, &v, NULL) != LF_OK || v.stranger)
        return;
    int32_t current = version != v.record.current ? v.record.current : 0;
    snprintf(part, sizeof part, "versions/%d", (int)version);
    enum lf_err rc = lf_registry_dir(d->registry, id, part, pick.dir, &diag);
    rc = rc
             ?: lf_team_bring(lf_team_for(d, id), &pick, current,
                              lf_warm_is_pinned(d, v.record.name), timeout_ms, &diag);
    if (rc != LF_OK)
        lf_log(LF_LOG_WARN, "engine", "%s v%d is not on the device yet: %s", v.record.name,
               (int)version, diag.text);
}

void lf_warm_pinned(const struct lf_daemon *d)
{
    struct lf_adapter_view v;
    for (int i = 0; i < d->options.n_pinned; i++)
        if (lf_registry_view(d->registry, d->options.pinned[i], &v, NULL) == LF_OK)
            lf_warm(d, v.record.id, v.record.current, 0);
}
