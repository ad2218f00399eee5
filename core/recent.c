/* What was found out lately. */
#include "core/recent.h"

#include "core/lock.h"

#include <stdio.h>
#include <string.h>

void lf_recent_init(struct lf_recent *r)
{
    *r = (struct lf_recent){0};
    pthread_mutex_init(&r->lock, NULL);
}

void lf_recent_deinit(struct lf_recent *r)
{
    pthread_mutex_destroy(&r->lock);
}

bool lf_recent_find(struct lf_recent *r, const char *key, char value[LF_SHA256_HEX])
{
    lf_lock_auto held = lf_lock(&r->lock);
    for (size_t i = 0; i < LF_RECENT_KEPT; i++)
        if (i < r->n && strcmp(r->at[i].key, key) == 0) {
            memcpy(value, r->at[i].value, LF_SHA256_HEX);
            return true;
        }
    return false;
}

void lf_recent_keep(struct lf_recent *r, const char *key, const char *value)
{
    lf_lock_auto held = lf_lock(&r->lock);
    size_t i = r->n++ % LF_RECENT_KEPT;
    snprintf(r->at[i].key, sizeof r->at[i].key, "%s", key);
    snprintf(r->at[i].value, sizeof r->at[i].value, "%s", value);
}
