/* The deliverer: a thread that carries tokens and ends from the engine to those who wait for them.
 * Waking a waiter costs as much as a small part of a step, and there may be hundreds: the engine
 * hands over what a step has made at once, wakes one thread, and goes on. */
#include "daemon/engine/inside.h"

#include "core/limits.h"

#include <stdlib.h>

/* Of each of the two lists: many steps' tokens. When it is full the engine waits. */
#define LOAD_CAP (8 * LF_SEQS_MAX)

struct lf_deliverer {
    lf_deliver_fn deliver;
    pthread_t thread;
    bool started;
    struct lf_delivery *load; /* (LOAD_CAP) the engine's: not handed over yet */
    int n_load;
    struct lf_delivery *out; /* (LOAD_CAP) the deliverer's: being delivered */

    pthread_mutex_t lock;       /* protects all below */
    pthread_cond_t more;        /* handed over, or to stop */
    pthread_cond_t room;        /* the deliverer has taken what was handed over */
    struct lf_delivery *handed; /* (LOAD_CAP) */
    int n_handed;
    bool stopping;
};

static void *deliverer_main(void *arg)
{
    struct lf_deliverer *d = arg;
    pthread_mutex_lock(&d->lock);
    while (d->n_handed > 0 || !d->stopping) {
        if (d->n_handed == 0) {
            pthread_cond_wait(&d->more, &d->lock);
            continue;
        }
        struct lf_delivery *taken = d->handed;
        int n = d->n_handed;
        d->handed = d->out;
        d->out = taken;
        d->n_handed = 0;
        pthread_cond_signal(&d->room);
        pthread_mutex_unlock(&d->lock);
        for (int i = 0; i < n; i++)
            d->deliver(&taken[i]);
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

enum lf_err lf_deliverer_start(struct lf_deliverer **out, lf_deliver_fn deliver,
                               struct lf_diag *diag)
{
    struct lf_deliverer *d = calloc(1, sizeof *d);
    if (!d)
        return lf_no_memory(diag, "deliveries");
    d->deliver = deliver;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->more, NULL);
    pthread_cond_init(&d->room, NULL);
    d->load = calloc(LOAD_CAP, sizeof *d->load);
    d->out = calloc(LOAD_CAP, sizeof *d->out);
    d->handed = calloc(LOAD_CAP, sizeof *d->handed);
    enum lf_err rc = LF_OK;
    if (!d->load || !d->out || !d->handed)
        rc = lf_no_memory(diag, "deliveries");
    int bad = rc == LF_OK ? pthread_create(&d->thread, NULL, deliverer_main, d) : 0;
    d->started = rc == LF_OK && bad == 0;
    if (bad)
        rc = lf_fail_errno(diag, bad, "the deliverer's thread");
    if (rc == LF_OK)
        *out = d;
    else
        lf_deliverer_stop(d);
    return rc;
}

void lf_deliverer_stop(struct lf_deliverer *d)
{
    if (!d)
        return;
    if (d->started) {
        lf_deliverer_flush(d);
        pthread_mutex_lock(&d->lock);
        d->stopping = true;
        pthread_cond_signal(&d->more);
        pthread_mutex_unlock(&d->lock);
        pthread_join(d->thread, NULL);
    }
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->more);
    pthread_cond_destroy(&d->room);
    free(d->load);
    free(d->out);
    free(d->handed);
    free(d);
}

void lf_deliverer_put(struct lf_deliverer *d, const struct lf_delivery *what)
{
    if (d->n_load == LOAD_CAP)
        lf_deliverer_flush(d);
    d->load[d->n_load++] = *what;
}

void lf_deliverer_flush(struct lf_deliverer *d)
{
    if (d->n_load == 0)
        return;
    pthread_mutex_lock(&d->lock);
    while (d->n_handed + d->n_load > LOAD_CAP)
        pthread_cond_wait(&d->room, &d->lock);
    for (int i = 0; i < d->n_load; i++)
        d->handed[d->n_handed++] = d->load[i];
    d->n_load = 0;
    pthread_cond_signal(&d->more);
    pthread_mutex_unlock(&d->lock);
}
