/* A row for each key that has somebody waiting. */
#include "route/waiting.h"

#include "core/lock.h"

void lf_waiting_init(struct lf_waiting *w)
{
    w->n_rows = w->n = 0;
    pthread_mutex_init(&w->lock, NULL);
}

void lf_waiting_destroy(struct lf_waiting *w)
{
    pthread_mutex_destroy(&w->lock);
}

/* n_rows: there is none. */
static int find(const struct lf_waiting *w, uint64_t key)
{
    int i = 0;
    while (i < w->n_rows && w->rows[i].key != key)
        i++;
    return i;
}

enum lf_err lf_waiting_enter(struct lf_waiting *w, uint64_t key, int key_max, struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&w->lock);
    if (w->n >= LF_QUEUE_MAX)
        return lf_fail(diag, LF_E_OVERLOADED, "%d requests wait already", w->n);
    int i = find(w, key), n = i < w->n_rows ? w->rows[i].n : 0;
    if (key_max > 0 && n >= key_max)
        return lf_fail(diag, LF_E_OVERLOADED, "%d requests of this key wait already", n);
    if (i == w->n_rows)
        w->n_rows++; /* there are no more rows than there are who wait */
    w->rows[i] = (struct lf_waiting_row){.key = key, .n = n + 1};
    w->n++;
    return LF_OK;
}

void lf_waiting_leave(struct lf_waiting *w, uint64_t key)
{
    lf_lock_auto held = lf_lock(&w->lock);
    int i = find(w, key);
    lf_assert(i < w->n_rows);
    if (--w->rows[i].n == 0)
        w->rows[i] = w->rows[--w->n_rows];
    w->n--;
}
