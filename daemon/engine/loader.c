/* The loader: reads adapters from disk while the engine goes on. */
#include "daemon/engine/inside.h"

#include "core/lock.h"
#include "core/sums.h"

/* Appends at the end: first asked, first read. */
static void push(struct lf_resident **list, struct lf_resident *r)
{
    while (*list)
        list = &(*list)->next_load;
    r->next_load = NULL;
    *list = r;
}

void lf_engine_poke(struct lf_engine *e)
{
    lf_lock_auto held = lf_lock(&e->lock);
    e->poked = true;
    pthread_cond_signal(&e->more);
}

static void *loader_main(void *arg)
{
    struct lf_engine *e = arg;
    struct lf_loader *l = &e->loader;
    pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        struct lf_resident *r = l->todo;
        if (!r) {
            pthread_cond_wait(&l->more, &l->lock);
            continue;
        }
        l->todo = r->next_load;
        pthread_mutex_unlock(&l->lock);
        r->rc = lf_sums_check(r->dir, &r->why);
        if (r->rc == LF_OK || r->rc == LF_E_INVALID)
            r->rc = lf_adapter_load(&r->adapter, l->config, r->dir, &r->why);
        pthread_mutex_lock(&l->lock);
        push(&l->done, r);
        lf_engine_poke(e);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

enum lf_err lf_loader_start(struct lf_engine *e, struct lf_diag *diag)
{
    struct lf_loader *l = &e->loader;
    *l = (struct lf_loader){.config = &e->config};
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->more, NULL);
    int bad = pthread_create(&l->thread, NULL, loader_main, e);
    l->started = bad == 0;
    return bad ? lf_fail_errno(diag, bad, "the loader's thread") : LF_OK;
}

void lf_loader_stop(struct lf_engine *e)
{
    struct lf_loader *l = &e->loader;
    if (!l->started)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_signal(&l->more);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->more);
    l->started = false;
}

void lf_loader_request(struct lf_loader *l, struct lf_resident *r)
{
    lf_lock_auto held = lf_lock(&l->lock);
    push(&l->todo, r);
    pthread_cond_signal(&l->more);
}

struct lf_resident *lf_loader_done(struct lf_loader *l)
{
    lf_lock_auto held = lf_lock(&l->lock);
    struct lf_resident *list = l->done;
    l->done = NULL;
    return list;
}
