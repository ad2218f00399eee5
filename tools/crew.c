/* Devices that train one job together. */
#include "tools/crew.h"

#include "core/pool.h"

/* Seat i of n: its card, and its part of the threads. */
static struct lf_offline_options options_of(const struct lf_offline_options *o,
                                            const struct lf_seats *seats, int i)
{
    struct lf_offline_options its = *o;
    its.gpu = seats->card[i];
    if (seats->n > 1) {
        int64_t all = o->threads > 0 ? o->threads : lf_pool_cores(), each = all / seats->n;
        its.threads = each > 0 ? each : 1;
    }
    return its;
}

enum lf_err lf_crew_open(struct lf_crew *out, struct lf_offline *first,
                         const struct lf_offline_options *o, const struct lf_seats *seats,
                         struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    out->first = first;
    out->n = (int)seats->n;
    for (int i = 0; i < out->n && rc == LF_OK; i++) {
        struct lf_offline_options its = options_of(o, seats, i);
        rc = lf_offline_open(i == 0 ? first : &out->helper[i - 1].c, &its, diag);
    }
    return rc;
}

static void *lend(void *arg)
{
    lf_replica_serve(arg);
    lf_replica_close(arg);
    return NULL;
}

static enum lf_err start(struct lf_helper *h, const struct lf_exec_limits *limits,
                         struct lf_diag *diag)
{
    struct lf_diag less = {""}; /* then more blocks are run again */
    enum lf_err rc = lf_slots_new(&h->slots, h->c.dev, &h->c.model->config, 1, diag);
    rc = rc ?: lf_exec_new(&h->x, h->c.stream, h->c.model, h->slots, limits, diag);
    if (rc != LF_OK)
        return rc;
    if (lf_exec_host_take(h->x, h->c.model->config.L, &less) != LF_OK)
        lf_exec_host_give(h->x);
    const struct lf_replica_spec spec = {.x = h->x, .m = h->c.model, .slots = h->slots};
    rc = lf_replica_new(&h->replica, &spec, diag);
    if (rc != LF_OK)
        return rc;
    h->runs = pthread_create(&h->thread, NULL, lend, h->replica) == 0;
    if (h->runs)
        return LF_OK;
    lf_replica_leave(h->replica);
    lf_replica_close(h->replica);
    return lf_fail(diag, LF_E_NO_MEMORY, "no thread for a device");
}

enum lf_err lf_crew_start(struct lf_crew *c, const struct lf_exec_limits *limits,
                          struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; i < c->n - 1 && rc == LF_OK; i++) {
        rc = start(&c->helper[i], limits, diag);
        c->replica[i] = c->helper[i].replica;
    }
    return rc;
}

void lf_crew_give(struct lf_crew *c, struct lf_job_spec *spec)
{
    c->given = true;
    spec->replicas = c->replica;
    spec->n_replicas = c->n - 1;
}

void lf_crew_stop(struct lf_crew *c)
{
    for (int i = 0; i < c->n - 1; i++) {
        struct lf_helper *h = &c->helper[i];
        if (h->runs && !c->given)
            lf_replica_leave(h->replica);
        if (h->runs)
            pthread_join(h->thread, NULL);
        h->runs = false;
        lf_exec_free(h->x);
        lf_slots_free(h->slots);
        h->x = NULL;
        h->slots = NULL;
    }
    c->given = false;
}

void lf_crew_close(struct lf_crew *c)
{
    for (int i = 0; i < c->n - 1; i++)
        lf_offline_close(&c->helper[i].c);
    c->n = 0;
}
