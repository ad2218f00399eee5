/* What was found out lately, by a key: a few dozen answers that took long to get and are asked for
 * again. Any thread. */
#ifndef LF_CORE_RECENT_H
#define LF_CORE_RECENT_H

#include "core/file.h"

#include <pthread.h>

#define LF_RECENT_KEPT 64

struct lf_recent {
    pthread_mutex_t lock;
    struct {
        char key[LF_SHA256_HEX], value[LF_SHA256_HEX];
    } at[LF_RECENT_KEPT];
    size_t n; /* that were ever kept; the latest take the place of the earliest */
};

void lf_recent_init(struct lf_recent *r);
void lf_recent_deinit(struct lf_recent *r);
/* False: it is not known, and value is as it was. */
bool lf_recent_find(struct lf_recent *r, const char *key, char value[LF_SHA256_HEX]);
/* Key and value are cut to what there is room for. */
void lf_recent_keep(struct lf_recent *r, const char *key, const char *value);

#endif
