/* The engines of a device on which several bases share the memory: who has told what of itself, and
 * who is there (route/bases.h). Made before the engines and freed after them; any thread. */
#ifndef LF_DAEMON_ENGINE_TOGETHER_H
#define LF_DAEMON_ENGINE_TOGETHER_H

#include "core/err.h"
#include "core/limits.h"
#include "route/bases.h"

#include <pthread.h>

struct lf_engine;

struct lf_together {
    uint64_t bytes;       /* of the device, for all */
    uint64_t cycle_ns;    /* route/bases.h */
    pthread_mutex_t lock; /* protects all below; taken before an engine's */
    int n;
    struct lf_engine *engine[LF_BASES_MAX]; /* by the base's number */
    const char *base[LF_BASES_MAX];
    struct lf_route_base row[LF_BASES_MAX];
};

void lf_together_init(struct lf_together *t, uint64_t bytes, uint64_t cycle_ns);
void lf_together_destroy(struct lf_together *t);
/* The next engine, before it tells anything; its number. */
int lf_together_add(struct lf_together *t, struct lf_engine *e, const char *base, uint64_t bytes,
                    bool pinned);
/* It says of itself what is the case (there, trains, welcome, wanted_ns, idle_ns of `now`), and
 * learns what follows: with `enters` it is there from now on. Others for whom something follows
 * look for themselves. Without any engine's lock. */
struct lf_route_base lf_together_tell(struct lf_together *t, int number,
                                      const struct lf_route_base *now);
/* Bytes that a base which is not there could have soon. */
uint64_t lf_together_room(struct lf_together *t);
/* Who is there, for a sentence: "a (trains), b"; "nothing". */
void lf_together_names(struct lf_together *t, char out[LF_DIAG_MAX]);

#endif
