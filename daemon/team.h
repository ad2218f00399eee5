/* Teams: what answers and trains for a base. A team is the base and its seats; a seat is an engine
 * that keeps the base on a device of its own. There is a seat for each card of --gpu, or --seats
 * of the cpu device. Requests and trainings come to the team, which gives each to one seat by
 * route/route.h; a seat whose device is lost gets no more, and the others go on. Made before the
 * first request and freed after the last; any thread. */
#ifndef LF_DAEMON_TEAM_H
#define LF_DAEMON_TEAM_H

#include "base/base.h"
#include "daemon/engine/engine.h"
#include "daemon/engine/together.h"
#include "daemon/forms.h"
#include "route/prefix.h"

#include <pthread.h>

struct lf_daemon;

struct lf_seat {
    struct lf_engine *engine;
    struct lf_prefixes prefixes; /* where it is not alone; under the team's lock */
};

struct lf_team {
    const struct lf_base *base;
    struct lf_forms *forms; /* that its answers may be asked in */
    pthread_mutex_t lock;   /* of choices: one at a time, each knows of those before it */
    struct lf_seat seat[LF_SEATS_MAX];
    int n;
};

struct lf_teams {
    struct lf_bases bases;
    struct lf_team team[LF_BASES_MAX];
    int n;
    struct lf_together
        together[LF_SEATS_MAX]; /* of several: by the seat, whose memory they share */
};

/* One of each --base; without their weights. LF_E_INVALID: two have one name. Yours, lf_teams_free,
 * also after a failure. */
enum lf_err lf_teams_new(struct lf_teams **out, const struct lf_daemon_options *o,
                         const char *cache_dir, struct lf_diag *diag) LF_MUST_CHECK;
/* The engines of all seats begin, and borrow what is in d: the first base and those that are pinned
 * are loaded, the others when they are asked for. LF_E_DEVICE_FULL: one has no room even alone, or
 * none beside those that are pinned. */
enum lf_err lf_teams_start(struct lf_teams *t, struct lf_daemon *d,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* NULL is nothing, for both. */
void lf_teams_stop(struct lf_teams *t);
void lf_teams_free(struct lf_teams *t);

/* LOADING while a seat does for the first time, unasked; then READY where every team has a seat
 * that is, or that comes when it is asked for (ABSENT, of a team); else FAILED or STOPPED. */
enum lf_engine_state lf_teams_state(const struct lf_teams *t);
enum lf_engine_state lf_team_state(const struct lf_team *t);
/* A seat that has failed, and its number among the team's: the first; NULL: none has. */
struct lf_engine *lf_teams_failed(const struct lf_teams *t, int *number);
/* Nobody is answered and nothing trains, on no seat. */
bool lf_teams_idle(const struct lf_teams *t);

/* The team of one of the bases. */
struct lf_team *lf_team_of(struct lf_teams *t, const struct lf_base *base);
/* The team of an adapter, by id. */
struct lf_team *lf_team_for(const struct lf_daemon *d, uint64_t adapter_id);

/* The base is to be on a device: waits where it is not (lf_engine_come). It comes to the seat with
 * most room, and to the others where nobody waits for theirs. */
enum lf_err lf_team_come(struct lf_team *t, uint64_t deadline_ns,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* As the lf_engine_* of the same names, for the seat that it is routed to. A generation waits here
 * until its base has come. */
enum lf_err lf_team_generate(struct lf_team *t, const struct lf_generate_spec *spec,
                             struct lf_generation **out, struct lf_diag *diag) LF_MUST_CHECK;
/* One that asks for several devices (config.json's "devices") borrows those of seats behind its own
 * that train nothing. full: bits of seats that are not asked, since the training had no room there;
 * where all are set, none counts. *seat: who has it; seat may be NULL. */
enum lf_err lf_team_train(struct lf_team *t, const struct lf_training_spec *spec, uint32_t full,
                          int *seat, struct lf_training **out, struct lf_diag *diag) LF_MUST_CHECK;
/* Whether a seat that may be asked is not in `full`. */
bool lf_team_has_other(const struct lf_team *t, uint32_t full);

/* Of all seats. */
enum lf_err lf_team_unload(struct lf_team *t, uint64_t id, struct lf_diag *diag) LF_MUST_CHECK;
/* keep: on all seats; else on those that have the version `current`, of which it takes the place.
 * Waits for all, up to timeout_ms. */
enum lf_err lf_team_bring(struct lf_team *t, const struct lf_pick *pick, int32_t current, bool keep,
                          int timeout_ms, struct lf_diag *diag) LF_MUST_CHECK;
/* The nearest to a device that it is. */
enum lf_residency lf_team_residency(const struct lf_team *t, uint64_t id, int32_t version);
/* The status of a seat that is open, or of the first: what all have in common. */
void lf_team_status(const struct lf_team *t, struct lf_engine_status *out);
/* The most device memory that a seat has in use. */
uint64_t lf_team_memory_used(const struct lf_team *t);
/* LF_E_INVALID where the training can run on no seat that is open, whatever ends there. */
enum lf_err lf_team_plan_check(const struct lf_team *t, const struct lf_train_settings *s,
                               struct lf_diag *diag) LF_MUST_CHECK;

#endif
