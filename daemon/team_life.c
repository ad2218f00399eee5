/* Teams begin and end: bases are opened, engines started, stopped and freed. */
#include "daemon/state.h"
#include "daemon/team.h"

#include <stdlib.h>

static enum lf_err team_new(struct lf_team *t, const struct lf_base *base, int n,
                            struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    pthread_mutex_init(&t->lock, NULL);
    t->base = base;
    t->n = n;
    t->forms = lf_forms_new(base->model);
    for (int i = 0; i < n && n > 1; i++)
        rc = rc ?: lf_prefixes_init(&t->seat[i].prefixes, diag);
    return t->forms ? rc : lf_no_memory(diag, "the daemon");
}

enum lf_err lf_teams_new(struct lf_teams **out, const struct lf_daemon_options *o,
                         const char *cache_dir, struct lf_diag *diag)
{
    struct lf_teams *t = calloc(1, sizeof *t);
    if (!t)
        return lf_no_memory(diag, "the daemon");
    *out = t;
    enum lf_err rc = lf_base_open(&t->bases.base[0], o->base_dir, o->quant, cache_dir, diag);
    if (rc != LF_OK)
        return rc;
    t->n = t->bases.n = 1;
    return team_new(&t->team[0], t->bases.base[0], o->seats, diag);
}

enum lf_err lf_teams_start(struct lf_teams *t, struct lf_daemon *d, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; i < t->n; i++)
        for (int k = 0; k < t->team[i].n; k++) {
            const struct lf_engine_around around = {.o = &d->options,
                                                    .seat = k,
                                                    .base = t->team[i].base,
                                                    .cache_dir = d->cache_dir,
                                                    .memory = d->row_memory,
                                                    .counters = &d->counters,
                                                    .waiting = &d->waiting};
            rc = rc ?: lf_engine_start(&t->team[i].seat[k].engine, &around, diag);
        }
    return rc;
}

void lf_teams_stop(struct lf_teams *t)
{
    for (int i = 0; t && i < t->n; i++)
        for (int k = 0; k < t->team[i].n; k++)
            lf_engine_stop(t->team[i].seat[k].engine);
}

void lf_teams_free(struct lf_teams *t)
{
    for (int i = 0; t && i < t->n; i++) {
        for (int k = 0; k < t->team[i].n; k++) {
            lf_engine_free(t->team[i].seat[k].engine);
            lf_prefixes_free(&t->team[i].seat[k].prefixes);
        }
        lf_forms_free(t->team[i].forms);
        pthread_mutex_destroy(&t->team[i].lock);
    }
    for (int i = 0; t && i < t->bases.n; i++)
        lf_base_free(t->bases.base[i]);
    free(t);
}
