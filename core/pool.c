/* The thread pool: workers sleep on a condition; a run bumps the generation.
 *
 * Every part is claimed once in a generation, by its worker or by the caller: who has done its own
 * part does those that nobody has begun. So a worker that the machine gives no core to holds up
 * nobody, and one that comes late finds nothing to do and touches nothing of the loop. */
#include "core/pool.h"
#include "core/clock.h"
#include "core/limits.h"
#include "core/lock.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

/* How long a thread looks on before it sleeps or gives its turn away: decode's loops follow each
 * other within that, and waking a core that a hypervisor has put to sleep takes as long. */
#define POOL_WATCH_NS 50000
#define POOL_TURNS 16 /* looks between two looks at the clock */

struct pool_worker {
    struct lf_pool *pool;
    pthread_t thread;
    int index;           /* 1 .. n_threads-1; the caller is 0 */
    atomic_uint claimed; /* the last generation in which somebody claimed its part */
};

struct lf_pool {
    int n_threads;
    int n_started;
    struct pool_worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_uint generation; /* written under lock, read while spinning */
    atomic_int unfinished;
    bool stop; /* protected by lock */
    /* The loop under way; written before generation is bumped, constant until unfinished is 0. */
    size_t n, part;
    lf_pool_fn fn;
    void *arg;
};

static void pool_part(struct lf_pool *p, int worker)
{
    size_t begin = p->part * (size_t)worker;
    size_t end = begin + p->part;
    if (end > p->n)
        end = p->n;
    if (begin < end)
        p->fn(p->arg, begin, end, worker);
}

/* The part of worker w in a generation, where nobody has begun it; no part leaves one out. */
static void pool_claim(struct lf_pool *p, struct pool_worker *w, unsigned generation)
{
    unsigned before = generation - 1;
    if (!atomic_compare_exchange_strong(&w->claimed, &before, generation))
        return;
    pool_part(p, w->index);
    atomic_fetch_sub_explicit(&p->unfinished, 1, memory_order_release);
}

/* A turn of waiting: a core that shares its units with another leaves them to it. */
static inline void relax(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

/* Waits for a generation other than *seen, which it becomes; false when the pool stops. */
static bool pool_wait(struct lf_pool *p, unsigned *seen)
{
    uint64_t start = lf_clock_ns();
    for (unsigned i = 1; atomic_load_explicit(&p->generation, memory_order_acquire) == *seen; i++) {
        if (i % POOL_TURNS == 0 && lf_clock_ns() - start > POOL_WATCH_NS)
            break;
        relax();
    }
    lf_lock_auto held = lf_lock(&p->lock);
    while (!p->stop && atomic_load(&p->generation) == *seen)
        pthread_cond_wait(&p->wake, &p->lock);
    *seen = atomic_load(&p->generation);
    return !p->stop;
}

static void *pool_main(void *arg)
{
    struct pool_worker *w = arg;
    unsigned seen = 0;
    while (pool_wait(w->pool, &seen))
        pool_claim(w->pool, w, seen);
    return NULL;
}

int lf_pool_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return CPU_COUNT(&set);
}

enum lf_err lf_pool_new(struct lf_pool **out, int n_threads, struct lf_diag *diag)
{
    if (n_threads <= 0)
        n_threads = lf_pool_cores();
    if (n_threads > LF_POOL_THREADS_MAX)
        n_threads = LF_POOL_THREADS_MAX;
    struct lf_pool *p = calloc(1, sizeof *p);
    struct pool_worker *workers = calloc((size_t)n_threads, sizeof *workers);
    if (!p || !workers) {
        free(p);
        free(workers);
        return lf_no_memory(diag, "a pool of %d threads", n_threads);
    }
    p->n_threads = n_threads;
    p->workers = workers;
    p->n_started = 1;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (int i = 1; i < n_threads; i++) {
        workers[i].pool = p;
        workers[i].index = i;
        int e = pthread_create(&workers[i].thread, NULL, pool_main, &workers[i]);
        if (e) {
            lf_pool_free(p);
            return lf_fail_errno(diag, e, "starting worker thread %d", i);
        }
        p->n_started++;
    }
    *out = p;
    return LF_OK;
}

void lf_pool_free(struct lf_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i < p->n_started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p);
}

/* Until the workers have done what they began; to who needs the core where that takes long. */
static void pool_join(struct lf_pool *p)
{
    uint64_t start = lf_clock_ns();
    bool late = false;
    for (unsigned i = 1; atomic_load_explicit(&p->unfinished, memory_order_acquire) > 0; i++) {
        late = late || (i % POOL_TURNS == 0 && lf_clock_ns() - start > POOL_WATCH_NS);
        if (late)
            sched_yield();
        else
            relax();
    }
}

int lf_pool_threads(const struct lf_pool *p)
{
    return p ? p->n_threads : 1;
}

void lf_pool_run(struct lf_pool *p, size_t n, size_t grain, lf_pool_fn fn, void *arg)
{
    if (n == 0)
        return;
    if (grain == 0)
        grain = 1;
    if (!p || p->n_threads == 1 || n <= grain) {
        fn(arg, 0, n, 0);
        return;
    }
    size_t threads = (size_t)p->n_threads;
    size_t grains = (n + grain - 1) / grain;
    p->n = n;
    p->part = (grains + threads - 1) / threads * grain;
    p->fn = fn;
    p->arg = arg;
    atomic_store(&p->unfinished, p->n_threads - 1);
    pthread_mutex_lock(&p->lock);
    unsigned generation = atomic_fetch_add_explicit(&p->generation, 1, memory_order_release) + 1;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pool_part(p, 0);
    for (int i = 1; i < p->n_threads; i++)
        pool_claim(p, &p->workers[i], generation);
    pool_join(p);
}
