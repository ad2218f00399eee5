/* A lock that is held until its block ends: `lf_lock_auto held = lf_lock(&e->lock);` */
#ifndef LF_CORE_LOCK_H
#define LF_CORE_LOCK_H

#include <pthread.h>

#define lf_lock_auto __attribute__((cleanup(lf_unlock), unused)) pthread_mutex_t *

static inline pthread_mutex_t *lf_lock(pthread_mutex_t *m)
{
    pthread_mutex_lock(m);
    return m;
}

static inline void lf_unlock(pthread_mutex_t **m)
{
    pthread_mutex_unlock(*m);
}

#endif
