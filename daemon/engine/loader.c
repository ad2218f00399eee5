/* The loaders: adapters from their files into host memory, and from there onto the device, while
 * the engine goes on. */
#include "daemon/engine/blend.h"
#include "daemon/engine/inside.h"

#include "core/lock.h"

#include <unistd.h>

#define LOADERS_MIN 2
#define CORES_EACH 2

/* Appends at the end: first asked, first done. */
static void push(struct lf_resident **list, struct lf_resident *r)
{
    while (*list)
        list = &(*list)->next_load;
    r->next_load = NULL;
    *list = r;
}

static struct lf_resident *pop(struct lf_resident **list)
{
    struct lf_resident *r = *list;
    if (r)
        *list = r->next_load;
    return r;
}

void lf_engine_poke(struct lf_engine *e)
{
    lf_lock_auto held = lf_lock(&e->lock);
    e->poked = true;
    pthread_cond_signal(&e->more);
}

static void read_files(struct lf_engine *e, struct lf_resident *r)
{
    if (r->blend)
        r->rc = lf_blend_load(&r->packed, r->blend, &e->config, e->dev->act, &r->why);
    else
        r->rc = lf_version_check(r->dir, &r->why)
                    ?: lf_packed_load(&r->packed, e->model, e->dev->act, r->dir, &r->why);
}

static void copy(struct lf_loader *me, struct lf_resident *r)
{
    lf_stream_follow(me->stream, me->e->residents.freed);
    lf_stream_upload(me->stream, r->place.memory, r->packed->params, r->packed->bytes);
    r->rc = lf_stream_wait(me->stream, &r->why);
}

static void *loader_main(void *arg)
{
    struct lf_loader *me = arg;
    struct lf_loaders *l = &me->e->residents.loaders;
    pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        struct lf_resident *copied = pop(&l->to_copy), *r = copied ? copied : pop(&l->to_read);
        if (!r) {
            pthread_cond_wait(&l->more, &l->lock);
            continue;
        }
        pthread_mutex_unlock(&l->lock);
        if (copied)
            copy(me, r);
        else
            read_files(me->e, r);
        pthread_mutex_lock(&l->lock);
        push(&l->done, r);
        lf_engine_poke(me->e);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

enum lf_err lf_loaders_start(struct lf_engine *e, struct lf_diag *diag)
{
    struct lf_loaders *l = &e->residents.loaders;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *l = (struct lf_loaders){.n = LOADERS_MIN};
    while (l->n < LF_LOADERS_MAX && (l->n + 1) * CORES_EACH <= cores)
        l->n++;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->more, NULL);
    for (int i = 0; i < l->n; i++) {
        struct lf_loader *me = &l->loader[i];
        me->e = e;
        enum lf_err rc = lf_stream_new(&me->stream, e->dev, LF_STREAM_COPIES, diag);
        if (rc != LF_OK)
            return rc;
        int bad = pthread_create(&me->thread, NULL, loader_main, me);
        me->started = bad == 0;
        if (bad)
            return lf_fail_errno(diag, bad, "a loader's thread");
    }
    return LF_OK;
}

void lf_loaders_stop(struct lf_engine *e)
{
    struct lf_loaders *l = &e->residents.loaders;
    if (l->n == 0)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_broadcast(&l->more);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->n; i++) {
        if (l->loader[i].started)
            pthread_join(l->loader[i].thread, NULL);
        lf_stream_free(l->loader[i].stream);
    }
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->more);
    *l = (struct lf_loaders){0};
}

void lf_loaders_read(struct lf_loaders *l, struct lf_resident *r)
{
    lf_lock_auto held = lf_lock(&l->lock);
    push(&l->to_read, r);
    pthread_cond_signal(&l->more);
}

void lf_loaders_copy(struct lf_loaders *l, struct lf_resident *r)
{
    lf_lock_auto held = lf_lock(&l->lock);
    push(&l->to_copy, r);
    pthread_cond_signal(&l->more);
}

struct lf_resident *lf_loaders_done(struct lf_loaders *l)
{
    lf_lock_auto held = lf_lock(&l->lock);
    struct lf_resident *list = l->done;
    l->done = NULL;
    return list;
}
