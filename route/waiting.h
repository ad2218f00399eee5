/* How many wait in front of all seats together, by the key that asks: there are bounds to all of
 * them and to those of a key. Any thread. */
#ifndef LF_ROUTE_WAITING_H
#define LF_ROUTE_WAITING_H

#include "core/err.h"
#include "core/limits.h"

#include <pthread.h>
#include <stdint.h>

struct lf_waiting {
    pthread_mutex_t lock; /* protects all below */
    struct lf_waiting_row {
        uint64_t key;
        int n;
    } rows[LF_QUEUE_MAX]; /* (n_rows) of each key that has any */
    int n_rows, n;
};

void lf_waiting_init(struct lf_waiting *w);
void lf_waiting_destroy(struct lf_waiting *w);
/* One more of the key waits. LF_E_OVERLOADED: LF_QUEUE_MAX do already, or key_max (0: no bound) of
 * the key. */
enum lf_err lf_waiting_enter(struct lf_waiting *w, uint64_t key, int key_max,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* One of those does so no more. */
void lf_waiting_leave(struct lf_waiting *w, uint64_t key);

#endif
