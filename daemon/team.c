/* Which seat: tables for route/route.h from what the engines say, and what is asked of all. */
#include "daemon/team.h"

#include "core/clock.h"
#include "core/limits.h"
#include "core/lock.h"
#include "daemon/engine/plan.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"
#include "route/route.h"

/* Answers have the other half of a seat's pages. */
#define PROMPTS_PART 2
/* An adapter that was asked for is there, or on its way, until so many other pages were. */
#define COMING_PAGES 1024

/* ---- States ---------------------------------------------------------------------------------- */

enum lf_engine_state lf_team_state(const struct lf_team *t)
{
    bool ready = false;
    enum lf_engine_state other = LF_ENGINE_FAILED;
    for (int i = 0; i < t->n; i++) {
        enum lf_engine_state state = lf_engine_state(t->seat[i].engine);
        if (state == LF_ENGINE_LOADING)
            return state;
        if (state == LF_ENGINE_READY)
            ready = true;
        else if (other != LF_ENGINE_ABSENT)
            other = state;
    }
    return ready ? LF_ENGINE_READY : other;
}

enum lf_engine_state lf_teams_state(const struct lf_teams *t)
{
    enum lf_engine_state state = LF_ENGINE_READY;
    for (int i = 0; i < t->n && state == LF_ENGINE_READY; i++) {
        state = lf_team_state(&t->team[i]);
        state = state == LF_ENGINE_ABSENT ? LF_ENGINE_READY : state;
    }
    return state;
}

struct lf_engine *lf_teams_failed(const struct lf_teams *t, int *number)
{
    for (int i = 0; i < t->n; i++)
        for (*number = 0; *number < t->team[i].n; ++*number)
            if (lf_engine_state(t->team[i].seat[*number].engine) == LF_ENGINE_FAILED)
                return t->team[i].seat[*number].engine;
    return NULL;
}

bool lf_teams_idle(const struct lf_teams *t)
{
    struct lf_engine_status s;
    for (int i = 0; i < t->n; i++)
        for (int k = 0; k < t->team[i].n; k++) {
            lf_engine_status(t->team[i].seat[k].engine, &s);
            if (s.requests > 0 || s.given > 0)
                return false;
        }
    return true;
}

struct lf_team *lf_team_of(struct lf_teams *t, const struct lf_base *base)
{
    int i = 0;
    while (t->team[i].base != base)
        i++;
    return &t->team[i];
}

struct lf_team *lf_team_for(const struct lf_daemon *d, uint64_t adapter_id)
{
    return lf_team_of(d->teams, lf_registry_base(d->registry, adapter_id));
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* What a prompt is to the seats: its pages, as prefix.h has them. */
struct prompt_asked {
    const struct lf_pick *pick;
    uint64_t owner, chain[LF_PREFIX_PAGES];
    int n_chain;
};

static int64_t prompt_pages(const struct lf_engine_status *s)
{
    return s->plan.kv_tokens / LF_KV_PAGE_TOKENS / PROMPTS_PART;
}

static enum lf_route_adapter nearness(const struct lf_seat *seat, const struct prompt_asked *a)
{
    static const enum lf_route_adapter of[] = {[LF_RESIDENCY_NONE] = LF_ROUTE_ABSENT,
                                               [LF_RESIDENCY_HOST] = LF_ROUTE_ON_HOST,
                                               [LF_RESIDENCY_DEVICE] = LF_ROUTE_PRESENT};
    if (a->pick->id == 0 || lf_prefixes_known(&seat->prefixes, a->chain, 1, COMING_PAGES) == 1)
        return LF_ROUTE_PRESENT;
    return of[lf_engine_residency(seat->engine, a->pick->id, a->pick->version)];
}

/* The seat's row of the table; *pages: as many of a prompt's as it keeps. */
static struct lf_route_seat look(const struct lf_seat *seat, const struct prompt_asked *a,
                                 int64_t *pages)
{
    struct lf_engine_status s;
    lf_engine_status(seat->engine, &s);
    *pages = prompt_pages(&s);
    int known = lf_prefixes_known(&seat->prefixes, a->chain, a->n_chain, *pages);
    return (struct lf_route_seat){.open = s.state == LF_ENGINE_READY,
                                  .requests = s.requests,
                                  .adapter = nearness(seat, a),
                                  .cached = known > 0 ? (known - 1) * LF_KV_PAGE_TOKENS : 0};
}

/* The seat that a base which is on none comes to; -1: it is on one, or can come to none. */
static int seat_to_come(const struct lf_team *t)
{
    int best = -1;
    uint64_t most = 0;
    for (int i = 0; i < t->n; i++) {
        struct lf_engine *e = t->seat[i].engine;
        enum lf_engine_state state = lf_engine_state(e);
        if (state == LF_ENGINE_READY || state == LF_ENGINE_LOADING)
            return -1;
        uint64_t room = state == LF_ENGINE_ABSENT ? lf_engine_room(e) : 0;
        if (state == LF_ENGINE_ABSENT && (best < 0 || room > most)) {
            best = i;
            most = room;
        }
    }
    return best;
}

enum lf_err lf_team_come(struct lf_team *t, uint64_t deadline_ns, struct lf_diag *diag)
{
    int to = seat_to_come(t);
    for (int i = 0; i < t->n; i++)
        if (i != to)
            lf_engine_welcome(t->seat[i].engine);
    return to < 0 ? LF_OK : lf_engine_come(t->seat[to].engine, deadline_ns, diag);
}

/* On a seat that is there. */
static enum lf_err generate(struct lf_team *t, const struct lf_generate_spec *spec,
                            struct lf_generation **out, struct lf_diag *diag)
{
    struct prompt_asked a = {.pick = spec->pick};
    struct lf_route_seat table[LF_SEATS_MAX];
    int64_t pages[LF_SEATS_MAX];
    if (t->n == 1)
        return lf_engine_generate(t->seat[0].engine, spec, out, diag);
    a.owner = lf_pick_owner(a.pick->id, a.pick->version);
    a.n_chain = lf_prefix_chain(a.owner, spec->ids, spec->n, a.chain);
    lf_lock_auto held = lf_lock(&t->lock);
    for (int i = 0; i < t->n; i++)
        table[i] = look(&t->seat[i], &a, &pages[i]);
    int i = lf_route_request(table, t->n, a.owner, spec->n);
    if (i < 0) /* its reason is as good as another's */
        return lf_engine_generate(t->seat[0].engine, spec, out, diag);
    enum lf_err rc = lf_engine_generate(t->seat[i].engine, spec, out, diag);
    while (rc == LF_E_DEVICE_LOST) { /* since it was looked at */
        table[i].open = false;
        int next = lf_route_request(table, t->n, a.owner, spec->n);
        if (next < 0)
            return rc;
        i = next;
        rc = lf_engine_generate(t->seat[i].engine, spec, out, diag);
    }
    if (rc == LF_OK)
        lf_prefixes_note(&t->seat[i].prefixes, a.chain, a.n_chain, pages[i]);
    return rc;
}

/* A base that has come may make way again before it is asked: who wants it wants it anew. */
enum lf_err lf_team_generate(struct lf_team *t, const struct lf_generate_spec *spec,
                             struct lf_generation **out, struct lf_diag *diag)
{
    for (;;) {
        enum lf_err rc = lf_team_come(t, spec->deadline_ns, diag);
        if (rc != LF_OK)
            return rc;
        rc = generate(t, spec, out, diag);
        if (rc != LF_E_DEVICE_LOST || lf_team_state(t) != LF_ENGINE_ABSENT)
            return rc;
    }
}

/* ---- Trainings ------------------------------------------------------------------------------- */

bool lf_team_has_other(const struct lf_team *t, uint32_t full)
{
    for (int i = 0; i < t->n; i++)
        if (!(full >> i & 1) && lf_engine_state(t->seat[i].engine) == LF_ENGINE_READY)
            return true;
    return false;
}

/* Adapters that nobody is answered by make room. */
static int64_t spare_of(const struct lf_engine_status *s)
{
    return (int64_t)s->memory_total - (int64_t)s->memory_used + (int64_t)s->adapter_bytes_max;
}

static int64_t needs(const struct lf_team *t, const struct lf_train_settings *settings)
{
    struct lf_engine_status s;
    struct lf_training_needs n;
    lf_team_status(t, &s);
    bool known = lf_plan_training(&n, &s.plan, &t->base->model->config, settings, NULL) == LF_OK;
    return known ? (int64_t)n.least : 0;
}

/* Seats that help the one that leads, so many with it, and train nothing: those behind it, as
 * lf_engine_lend wants it. Unasked help comes of idle ones alone. */
static void borrow(struct lf_team *t, struct lf_training_spec *spec, int leader, int devices,
                   const struct lf_route_seat *table)
{
    bool asked = spec->settings->devices > 0;
    for (int i = leader + 1; i < t->n && spec->n_replicas < devices - 1; i++) {
        struct lf_diag why; /* it is not there any more: there is one less */
        struct lf_replica *r;
        bool free = asked ? table[i].open && table[i].trainings == 0 : lf_route_is_idle(&table[i]);
        if (free && lf_engine_lend(t->seat[i].engine, &r, &why) == LF_OK)
            spec->replicas[spec->n_replicas++] = r;
    }
}

/* One that others are to help has as many behind it, where such a one is open. */
static void leave_room(struct lf_route_seat *table, int n, int devices)
{
    bool any = false;
    for (int i = 0; i + devices <= n; i++)
        any = any || table[i].open;
    for (int i = n - devices + 1; any && i < n; i++)
        table[i].open = false;
}

/* The seat that a training comes to, and how many divide its batches; -1: none is open. */
static int leader_of(const struct lf_team *t, const struct lf_training_spec *spec,
                     const struct lf_route_seat *table, int *devices)
{
    int first;
    struct lf_route_seat leaders[LF_SEATS_MAX];
    *devices = spec->settings->devices;
    if (*devices == 0 && (*devices = lf_route_devices(table, t->n, spec->step_tokens, &first)) > 1)
        return first;
    memcpy(leaders, table, sizeof leaders);
    leave_room(leaders, t->n, *devices);
    return lf_route_training(leaders, t->n, needs(t, spec->settings));
}

enum lf_err lf_team_train(struct lf_team *t, const struct lf_training_spec *asked, uint32_t full,
                          int *seat, struct lf_training **out, struct lf_diag *diag)
{
    int devices = 1;
    struct lf_route_seat table[LF_SEATS_MAX];
    struct lf_training_spec with = *asked, *spec = &with;
    bool other = lf_team_has_other(t, full);
    lf_lock_auto held = lf_lock(&t->lock);
    for (int i = 0; i < t->n; i++) {
        struct lf_engine_status s;
        lf_engine_status(t->seat[i].engine, &s);
        table[i] =
            (struct lf_route_seat){.open = s.state == LF_ENGINE_READY && !(other && full >> i & 1),
                                   .requests = s.requests,
                                   .trainings = s.given,
                                   .spare = spare_of(&s)};
    }
    int i = t->n == 1 ? 0 : leader_of(t, spec, table, &devices);
    if (i < 0 && seat_to_come(t) >= 0)
        i = seat_to_come(t); /* where it waits for its base */
    i = i < 0 ? 0 : i;       /* none is open: a loading one has it wait, others say why not */
    borrow(t, spec, i, devices, table);
    if (seat)
        *seat = i;
    return lf_engine_train(t->seat[i].engine, spec, out, diag);
}

enum lf_err lf_team_plan_check(const struct lf_team *t, const struct lf_train_settings *s,
                               struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; i < t->n; i++) {
        struct lf_engine_status now;
        lf_engine_status(t->seat[i].engine, &now);
        if (now.state != LF_ENGINE_READY && now.state != LF_ENGINE_ABSENT)
            continue;
        rc = lf_plan_check(&now.plan, &t->base->model->config, s, diag);
        if (rc == LF_OK)
            break;
    }
    return rc;
}

/* ---- All seats ------------------------------------------------------------------------------- */

enum lf_err lf_team_unload(struct lf_team *t, uint64_t id, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; i < t->n; i++)
        rc = lf_engine_unload(t->seat[i].engine, id, diag) ?: rc;
    return rc;
}

enum lf_err lf_team_bring(struct lf_team *t, const struct lf_pick *pick, int32_t current, bool keep,
                          int timeout_ms, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    uint64_t end_ns = lf_clock_ns() + (uint64_t)timeout_ms * LF_NS_PER_MS;
    for (int i = 0; i < t->n; i++) {
        struct lf_engine *e = t->seat[i].engine;
        uint64_t now = lf_clock_ns();
        int left_ms = timeout_ms && now < end_ns ? (int)((end_ns - now) / LF_NS_PER_MS) : 0;
        bool replaces = current && lf_engine_residency(e, pick->id, current) == LF_RESIDENCY_DEVICE;
        if ((keep || replaces) && (t->n == 1 || lf_engine_state(e) != LF_ENGINE_FAILED))
            rc = lf_engine_bring(e, pick, keep, left_ms, diag) ?: rc;
    }
    return rc;
}

enum lf_residency lf_team_residency(const struct lf_team *t, uint64_t id, int32_t version)
{
    enum lf_residency best = LF_RESIDENCY_NONE;
    for (int i = 0; i < t->n; i++) {
        enum lf_residency r = lf_engine_residency(t->seat[i].engine, id, version);
        best = r > best ? r : best;
    }
    return best;
}

void lf_team_status(const struct lf_team *t, struct lf_engine_status *out)
{
    int i = t->n - 1;
    while (i > 0 && lf_engine_state(t->seat[i].engine) != LF_ENGINE_READY)
        i--;
    lf_engine_status(t->seat[i].engine, out);
}

uint64_t lf_team_memory_used(const struct lf_team *t)
{
    uint64_t most = 0;
    for (int i = 0; i < t->n; i++) {
        struct lf_engine_status s;
        lf_engine_status(t->seat[i].engine, &s);
        most = s.memory_used > most ? s.memory_used : most;
    }
    return most;
}
