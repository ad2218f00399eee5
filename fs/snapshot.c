/* The snapshot: one call for all that wait, parsed into the tree and the queue. */
#include "fs/snapshot.h"

#include "core/clock.h"
#include "core/log.h"
#include "fs/limits.h"

#include <stdio.h>

#define TTL_MIN_MS 250
#define TTL_JOBS_MS 1000
#define CACHE_TIMEOUT_S 15

static void tree_request(struct lf_cache *c, char *path, size_t cap)
{
    if (c->of->tree && !c->whole)
        snprintf(path, cap, "/v1/tree?since=%lld", (long long)c->of->tree->generation);
    else
        snprintf(path, cap, "/v1/tree");
}

static enum lf_err tree_parse(struct lf_cache *c, const struct lf_client_result *r,
                              struct lf_diag *diag)
{
    struct lf_tree *tree;
    uint64_t began = lf_clock_ns();
    if (r->status == 304)
        return LF_OK;
    enum lf_err rc = lf_tree_parse(&tree, r->body, r->body_bytes, diag);
    if (rc != LF_OK)
        return rc;
    lf_tree_release(c->of->tree);
    c->of->tree = tree;
    uint64_t took = lf_clock_ns() - began;
    c->ttl_ns = took * 10 > TTL_MIN_MS * LF_NS_PER_MS ? took * 10 : TTL_MIN_MS * LF_NS_PER_MS;
    return LF_OK;
}

static void jobs_request(struct lf_cache *c, char *path, size_t cap)
{
    (void)c;
    snprintf(path, cap, "/v1/jobs");
}

static enum lf_err jobs_parse(struct lf_cache *c, const struct lf_client_result *r,
                              struct lf_diag *diag)
{
    struct lf_tree_jobs jobs;
    enum lf_err rc = lf_tree_jobs_parse(&jobs, r->body, r->body_bytes, diag);
    if (rc != LF_OK)
        return rc;
    lf_tree_jobs_free(&c->of->jobs);
    c->of->jobs = jobs;
    return LF_OK;
}

static void cache_ask(struct lf_cache *c);

/* A daemon that is gone leaves what it said last to be seen. */
static enum lf_err or_stale(struct lf_cache *c, enum lf_err rc)
{
    if (!c->known)
        return rc;
    c->changed = false; /* it was waited for once */
    if (!c->stale && c->fetched_ns)
        lf_log(LF_LOG_WARN, "fs", "what is listed is stale: the daemon said it %lld s ago",
               (long long)((lf_clock_ns() - c->fetched_ns) / LF_NS_PER_S));
    c->stale = true;
    return LF_OK;
}

static void cache_answered(void *arg, const struct lf_client_result *r)
{
    struct lf_cache *c = arg;
    struct lf_diag diag = {""};
    enum lf_err rc = r->rc;
    c->call = NULL;
    if (rc == LF_OK) {
        rc = c->parse(c, r, &diag);
        if (rc != LF_OK)
            lf_log(LF_LOG_ERROR, "fs", "the daemon's tree: %s", diag.text);
    } else {
        lf_log(LF_LOG_DEBUG, "fs", "the daemon's tree: %s", r->diag->text);
    }
    c->fresh = rc == LF_OK && !c->outdated;
    c->whole = rc != LF_OK; /* another daemon, with generations of its own, may answer next */
    if (rc == LF_OK) {
        c->known = true;
        c->stale = false;
        c->changed = c->changed && c->outdated;
        c->fetched_ns = lf_clock_ns();
    }
    lf_op_wake(&c->now, r->lost ? or_stale(c, rc) : rc);
    /* A step above may have asked again already; then those below joined that call. */
    if (!c->call && !TAILQ_EMPTY(&c->next))
        cache_ask(c);
}

static void cache_ask(struct lf_cache *c)
{
    char path[64];
    struct lf_client_spec spec = {.method = "GET",
                                  .path = path,
                                  .reply_max = LF_SNAPSHOT_REPLY_MAX,
                                  .timeout_s = CACHE_TIMEOUT_S,
                                  .waits = c->changed,
                                  .on_done = cache_answered,
                                  .arg = c};
    struct lf_op *op;
    c->outdated = false;
    TAILQ_FOREACH(op, &c->next, wait)
    op->waits_in = &c->now;
    TAILQ_CONCAT(&c->now, &c->next, wait);
    c->request(c, path, sizeof path);
    enum lf_err rc = lf_client_start(&c->call, c->of->client, &spec, NULL);
    if (rc != LF_OK)
        lf_op_wake(&c->now, lf_client_is_gone(c->of->client) ? or_stale(c, rc) : rc);
}

static void cache_wait(struct lf_cache *c, struct lf_op *op, lf_op_step step)
{
    uint64_t age_ns = lf_clock_ns() - c->fetched_ns;
    if (c->fresh && age_ns < c->ttl_ns) {
        if (age_ns > c->ttl_ns / 4 * 3 && !c->call)
            cache_ask(c);
        step(op, LF_OK);
        return;
    }
    lf_op_wait(op, c->call && !c->outdated ? &c->now : &c->next, step);
    if (!c->call)
        cache_ask(c);
}

static void cache_expire(struct lf_cache *c)
{
    c->fresh = false;
    if (c->call)
        c->outdated = true;
}

/* ---- Both ------------------------------------------------------------------------------------ */

static void cache_init(struct lf_cache *c, struct lf_snapshot *s, unsigned ttl_ms)
{
    c->of = s;
    c->ttl_ns = (uint64_t)ttl_ms * LF_NS_PER_MS;
    TAILQ_INIT(&c->now);
    TAILQ_INIT(&c->next);
}

void lf_snapshot_init(struct lf_snapshot *s)
{
    *s = (struct lf_snapshot){.tree_cache = {.request = tree_request, .parse = tree_parse},
                              .jobs_cache = {.request = jobs_request, .parse = jobs_parse}};
    cache_init(&s->tree_cache, s, TTL_MIN_MS);
    cache_init(&s->jobs_cache, s, TTL_JOBS_MS);
}

void lf_snapshot_deinit(struct lf_snapshot *s)
{
    lf_tree_release(s->tree);
    lf_tree_jobs_free(&s->jobs);
}

struct lf_view lf_snapshot_view(const struct lf_snapshot *s)
{
    return (struct lf_view){.tree = s->tree, .jobs = &s->jobs};
}

void lf_snapshot_look(struct lf_snapshot *s, struct lf_op *op, enum lf_kind kind, lf_op_step step)
{
    switch (kind) {
    case LF_KIND_ROOT:
    case LF_KIND_README:
    case LF_KIND_METRICS:
        step(op, LF_OK);
        return;
    case LF_KIND_JOBS:
    case LF_KIND_JOB:
        cache_wait(&s->jobs_cache, op, step);
        return;
    default:
        cache_wait(&s->tree_cache, op, step);
    }
}

void lf_snapshot_expire(struct lf_snapshot *s)
{
    cache_expire(&s->tree_cache);
    cache_expire(&s->jobs_cache);
}

void lf_snapshot_changed(struct lf_snapshot *s, enum lf_err rc)
{
    lf_snapshot_expire(s);
    s->tree_cache.changed = s->tree_cache.changed || rc == LF_OK;
}
