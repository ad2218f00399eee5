/* Replicas: how a job asks the devices that help it. What they do then is in trainer/split.c. */
#include "core/lock.h"
#include "trainer/job.h"

#include <stdlib.h>

/* ---- The lender's side ----------------------------------------------------------------------- */

static void unref(struct lf_replica *r)
{
    pthread_mutex_lock(&r->lock);
    bool last = --r->refs == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last)
        return;
    lf_portion_deinit(&r->portion);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

enum lf_err lf_replica_new(struct lf_replica **out, const struct lf_replica_spec *spec,
                           struct lf_diag *diag)
{
    void *d_sumsq = NULL;
    struct lf_replica *r = calloc(1, sizeof *r);
    if (!r)
        return lf_no_memory(diag, "a replica");
    r->m = spec->m;
    r->slot = -1;
    r->wake = spec->wake;
    r->arg = spec->arg;
    r->refs = 2;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    enum lf_err rc = lf_portion_init(&r->portion, spec->x, spec->slots, spec->tokens_max, diag);
    rc = rc ?: lf_device_alloc(r->portion.stream->dev, &d_sumsq, sizeof *r->d_sumsq, diag);
    r->d_sumsq = d_sumsq;
    if (rc == LF_OK) {
        *out = r;
    } else {
        r->refs = 1;
        unref(r);
    }
    return rc;
}

bool lf_replica_turn(struct lf_replica *r)
{
    struct lf_diag why = {""};
    pthread_mutex_lock(&r->lock);
    bool asked = r->state == LF_REPLICA_ASKED, goes_on = asked || !r->let_go;
    lf_replica_work work = r->work;
    pthread_mutex_unlock(&r->lock);
    if (!asked)
        return goes_on;
    enum lf_err rc = work(r, &why);
    lf_lock_auto held = lf_lock(&r->lock);
    r->rc = rc;
    r->why = why;
    r->state = LF_REPLICA_ANSWERED;
    pthread_cond_broadcast(&r->changed);
    return true;
}

void lf_replica_budget(struct lf_replica *r, int tokens)
{
    atomic_store(&r->budget, tokens);
}

void lf_replica_serve(struct lf_replica *r)
{
    while (lf_replica_turn(r)) {
        lf_lock_auto held = lf_lock(&r->lock);
        while (r->state != LF_REPLICA_ASKED && !r->let_go)
            pthread_cond_wait(&r->changed, &r->lock);
    }
}

/* Under the lock: what was asked will not be done. */
static void refuse(struct lf_replica *r)
{
    lf_portion_noted(&r->portion);
    r->rc = lf_fail(&r->why, LF_E_DEVICE_LOST, "the device is not there any more");
    r->state = LF_REPLICA_ANSWERED;
    pthread_cond_broadcast(&r->changed);
}

void lf_replica_close(struct lf_replica *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->closed = true;
    if (r->state == LF_REPLICA_ASKED)
        refuse(r);
    pthread_mutex_unlock(&r->lock);
    if (r->slot >= 0)
        lf_slots_unload(r->portion.slots, r->portion.stream, r->slot);
    lf_device_release(r->portion.stream->dev, r->d_sumsq);
    unref(r);
}

/* ---- The job's side -------------------------------------------------------------------------- */

void lf_replica_leave(struct lf_replica *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->let_go = true;
    pthread_cond_broadcast(&r->changed);
    if (r->wake && !r->closed)
        r->wake(r->arg);
    pthread_mutex_unlock(&r->lock);
    unref(r);
}

void lf_replica_ask(struct lf_replica *r, lf_replica_work work)
{
    lf_lock_auto held = lf_lock(&r->lock);
    r->work = work;
    r->pending = true;
    r->state = LF_REPLICA_ASKED;
    if (r->closed)
        refuse(r);
    else if (r->wake)
        r->wake(r->arg);
    pthread_cond_broadcast(&r->changed);
}

enum lf_err lf_replica_answer(struct lf_replica *r, struct lf_diag *why)
{
    if (!r->pending)
        return LF_OK;
    lf_lock_auto held = lf_lock(&r->lock);
    while (r->state != LF_REPLICA_ANSWERED)
        pthread_cond_wait(&r->changed, &r->lock);
    r->state = LF_REPLICA_IDLE;
    r->pending = false;
    *why = r->why;
    return r->rc;
}
