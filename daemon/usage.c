/* A row for each adapter. */
#include "daemon/usage.h"

#include <stdbool.h>
#include <stddef.h>

#define SPREAD 0x9e3779b97f4a7c15u /* 2^64 over the golden ratio: ids are consecutive */

struct lf_adapter_usage *lf_usage_of(struct lf_usages *u, uint64_t id)
{
    bool merged = id >> 63; /* of several adapters (engine/blend.h) */
    size_t first = (size_t)((id * SPREAD) >> 32) % LF_USAGE_ADAPTERS_MAX;
    for (size_t i = 0; i < LF_USAGE_ADAPTERS_MAX && !merged; i++) {
        struct lf_adapter_usage *row = &u->row[(first + i) % LF_USAGE_ADAPTERS_MAX];
        uint_fast64_t owner = 0;
        if (atomic_compare_exchange_strong(&row->owner, &owner, id + 1) || owner == id + 1)
            return row;
    }
    return &u->row[LF_USAGE_ADAPTERS_MAX];
}
