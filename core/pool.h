/* A fixed pool of threads for data-parallel loops (the CPU device's arithmetic).
 *
 * The calling thread works too. Loops do not nest and one thread at a time drives a pool. How a
 * loop is cut depends on n and the number of threads alone, never on timing, so results repeat.
 */
#ifndef LF_CORE_POOL_H
#define LF_CORE_POOL_H

#include "core/err.h"

#ifdef __cplusplus
extern "C" {
#endif

struct lf_pool;

/* One contiguous part [begin, end) of a loop; `worker` in [0, lf_pool_threads). */
typedef void (*lf_pool_fn)(void *arg, size_t begin, size_t end, int worker);

/* Cores that this process may run on. */
int lf_pool_cores(void);
/* n_threads 0: one for each core this process may run on. Yours, free with lf_pool_free. */
enum lf_err lf_pool_new(struct lf_pool **out, int n_threads, struct lf_diag *diag) LF_MUST_CHECK;
void lf_pool_free(struct lf_pool *p);
int lf_pool_threads(const struct lf_pool *p);
/* Runs fn over [0, n) cut into one part a thread, each a multiple of `grain` (but the last);
 * returns when all parts are done. p may be NULL: the caller does it all. */
void lf_pool_run(struct lf_pool *p, size_t n, size_t grain, lf_pool_fn fn, void *arg);

#ifdef __cplusplus
}
#endif
#endif
