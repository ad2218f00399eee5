/* Teams begin and end: bases are opened, engines started, stopped and freed. */
#include "daemon/engine/plan.h"
#include "daemon/state.h"
#include "daemon/team.h"
#include "daemon/warm.h"

#include "core/clock.h"
#include "core/log.h"

#include <stdlib.h>
#include <string.h>

#define MIB 1048576.0

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

static enum lf_err base_add(struct lf_bases *all, const struct lf_daemon_base *b,
                            const struct lf_daemon_options *o, const char *cache_dir,
                            struct lf_diag *diag)
{
    struct lf_base *base = NULL;
    enum lf_err rc = lf_base_open(&base, b->name, b->dir, o->quant, cache_dir, diag);
    if (rc != LF_OK)
        return rc;
    const struct lf_base *other = all->n > 0 ? lf_bases_find(all, base->name) : NULL;
    if (other) {
        rc = lf_fail(diag, LF_E_INVALID,
                     "%s and %s are both called %s: give one another name, --base NAME=%s",
                     other->dir, base->dir, base->name, base->dir);
        lf_base_free(base);
        return rc;
    }
    all->base[all->n++] = base;
    return LF_OK;
}

enum lf_err lf_teams_new(struct lf_teams **out, const struct lf_daemon_options *o,
                         const char *cache_dir, struct lf_diag *diag)
{
    struct lf_teams *t = calloc(1, sizeof *t);
    if (!t)
        return lf_no_memory(diag, "the daemon");
    *out = t;
    enum lf_err rc = LF_OK;
    for (int i = 0; i < o->n_bases && rc == LF_OK; i++)
        rc = base_add(&t->bases, &o->bases[i], o, cache_dir, diag);
    for (int i = 0; i < t->bases.n && rc == LF_OK; i++) {
        t->n++;
        rc = team_new(&t->team[i], t->bases.base[i], o->seats, diag);
    }
    return rc;
}

/* ---- Parts of the memory --------------------------------------------------------------------- */

static enum lf_err divide(struct lf_daemon *d, struct lf_base_part *parts, struct lf_diag *diag)
{
    struct lf_teams *t = d->teams;
    uint64_t total = 0, all = 0;
    bool pinned[LF_BASES_MAX];
    for (int i = 0; i < t->n; i++)
        pinned[i] = lf_warm_base_is_pinned(d, t->team[i].base);
    enum lf_err rc =
        lf_plan_parts(parts, &total, &d->options, &t->bases, pinned, d->row_memory, diag);
    if (rc != LF_OK)
        return rc;
    for (int i = 0; i < t->n; i++) {
        all += parts[i].bytes;
        lf_log(LF_LOG_INFO, "engine", "%s: %.0f MiB of the device's %.0f", t->team[i].base->name,
               (double)parts[i].bytes / MIB, (double)total / MIB);
    }
    if (all > total)
        lf_log(LF_LOG_INFO, "engine", "not all of the %d bases fit at a time", t->n);
    for (int k = 0; k < d->options.seats; k++)
        lf_together_init(&t->together[k], total, (uint64_t)(d->options.base_cycle_s * LF_NS_PER_S));
    return LF_OK;
}

enum lf_err lf_teams_start(struct lf_teams *t, struct lf_daemon *d, struct lf_diag *diag)
{
    struct lf_base_part parts[LF_BASES_MAX] = {{0}};
    bool several = t->n > 1;
    enum lf_err rc = several ? divide(d, parts, diag) : LF_OK;
    for (int i = 0; i < t->n; i++)
        for (int k = 0; k < t->team[i].n; k++) {
            const struct lf_base *base = t->team[i].base;
            const struct lf_engine_around around = {.o = &d->options,
                                                    .seat = k,
                                                    .base = base,
                                                    .cache_dir = d->cache_dir,
                                                    .memory = d->row_memory,
                                                    .counters = &d->counters,
                                                    .waiting = &d->waiting,
                                                    .sharers = d->options.seats * t->n,
                                                    .together = several ? &t->together[k] : NULL,
                                                    .bytes = parts[i].bytes,
                                                    .plan = several ? &parts[i].plan : NULL,
                                                    .context_max = parts[i].context_max,
                                                    .pinned =
                                                        several && lf_warm_base_is_pinned(d, base),
                                                    .first = i == 0};
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
    for (int k = 0; t && t->n > 1 && k < t->team[0].n; k++)
        lf_together_destroy(&t->together[k]);
    for (int i = 0; t && i < t->bases.n; i++)
        lf_base_free(t->bases.base[i]);
    free(t);
}
