/* The daemon's life: rooms are opened bottom up, requests are served, rooms are closed top down. */
#include "daemon/daemon.h"

#include "core/budget.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/log.h"
#include "core/notify.h"
#include "daemon/api/api.h"
#include "daemon/api/batch.h"
#include "backup/backup.h"
#include "daemon/http/audit.h"
#include "keys/keys.h"
#include "daemon/http/server.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/sharing.h"
#include "daemon/state.h"
#include "daemon/team.h"
#include "daemon/warm.h"
#include "meta/documents.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 100
#define STORE_TRIES 20
#define RETURN_NS (60ull * LF_NS_PER_S)
#define RETURNS 3

void lf_daemon_options_default(struct lf_daemon_options *o)
{
    *o = (struct lf_daemon_options){
        .listen = "127.0.0.1:8080",
        .device = LF_DEVICE_CPU,
        .seats = 1,
        .slots = 1024,
        .batch_tokens_max = 2048,
        .train_tokens = 4096,
        .train_share = 25,
        .adapter_cycle_s = 2,
        .base_cycle_s = 10,
        .base_wait_s = 120,
        .recompute = LF_RECOMPUTE_AUTO,
        .checkpoint_seconds = 15,
        .drain_seconds = 10,
        .store_seconds = 60,
        .speculate = LF_SPECULATE_AUTO,
        .request_seconds = 3600,
        .stop_fd = -1,
        .reload_fd = -1,
    };
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static enum lf_err open_keys(struct lf_daemon *d, struct lf_diag *diag)
{
    const struct lf_daemon_options *o = &d->options;
    char path[LF_PATH_MAX];
    lf_buf_auto key = {0};
    enum lf_err rc = lf_keys_path(path, o->data_dir, diag);
    if (o->api_key_file)
        rc = rc ?: lf_file_first_line(&key, o->api_key_file, LF_KEY_FILE_MAX, diag);
    return rc ?: lf_keys_open(&d->keys, o->keys_file ? o->keys_file : path, key.data, diag);
}

/* ---- Host memory ----------------------------------------------------------------------------- */

/* A quarter is for requests, so that no data set takes their room; one is for adapters
 * (engine/residents.c). */
static enum lf_err open_budgets(struct lf_daemon *d, struct lf_diag *diag)
{
    uint64_t all = d->options.host_memory_bytes ? (uint64_t)d->options.host_memory_bytes
                                                : lf_memory_limit() / 2;
    d->request_memory = lf_budget_new(all / 4, "a quarter of --host-memory");
    d->row_memory = lf_budget_new(all / 2, "half of --host-memory");
    return d->request_memory && d->row_memory ? LF_OK : lf_no_memory(diag, "the daemon");
}

static void set_budgets(struct lf_daemon *d)
{
    for (int i = 0; i < d->teams->bases.n; i++)
        if (d->teams->bases.base[i]->model->tokenizer)
            lf_tokenizer_budget(d->teams->bases.base[i]->model->tokenizer, d->request_memory);
}

/* ---- The rooms ------------------------------------------------------------------------------- */

static enum lf_err open_rooms(struct lf_daemon *d, struct lf_diag *diag)
{
    const struct lf_daemon_options *o = &d->options;
    char store_dir[LF_PATH_MAX];
    enum lf_err rc = LF_OK;
    if (lf_path_join(store_dir, o->data_dir, "state", diag) != LF_OK ||
        lf_path_join(d->cache_dir, o->data_dir, "cache", diag) != LF_OK ||
        lf_path_join(d->documents_dir, o->data_dir, "documents", diag) != LF_OK)
        return LF_E_INVALID;
    if (open_budgets(d, diag) != LF_OK)
        return LF_E_NO_MEMORY;
    rc = open_keys(d, diag);
    rc = rc ?: lf_tracer_start(&d->tracer, o->otlp_endpoint, LF_VERSION, diag);
    rc = rc ?: lf_store_open(&d->store, store_dir, diag);
    if (rc == LF_OK && chmod(o->data_dir, 0700) != 0) /* it may be someone's who lent it */
        lf_log(LF_LOG_WARN, "daemon", "%s: others may enter it: %s", o->data_dir, strerror(errno));
    rc = rc ?: lf_backup_clear(o->data_dir, diag) ?: lf_audit_open(&d->audit, o->data_dir, diag);
    rc = rc ?: lf_teams_new(&d->teams, o, d->cache_dir, diag);
    if (rc == LF_OK)
        set_budgets(d);
    rc = rc ?: lf_registry_open(&d->registry, o->data_dir, d->store, &d->teams->bases, diag);
    if (rc == LF_OK)
        lf_registry_budget(d->registry, d->request_memory);
    rc = rc ?: lf_teams_start(d->teams, d, diag);
    if (rc == LF_OK)
        lf_warm_pinned(d);
    rc = rc ?: lf_jobs_open(&d->jobs, d, diag);
    rc = rc ?: lf_sharing_open(&d->sharing, d, diag);
    rc = rc ?: lf_documents_open(d->documents_dir, diag);
    return rc ?: lf_batches_open(&d->batches, d, lf_routes, lf_routes_n, diag);
}

/* The engines first: they tell the jobs how far these came, and they write it down. */
static void close_rooms(struct lf_daemon *d)
{
    lf_batches_close(d->batches);
    lf_sharing_close(d->sharing);
    lf_teams_stop(d->teams);
    lf_jobs_close(d->jobs);
    lf_registry_close(d->registry);
    lf_teams_free(d->teams);
    lf_store_close(d->store);
    lf_budget_free(d->request_memory);
    lf_budget_free(d->row_memory);
    lf_audit_close(d->audit);
    lf_keys_close(d->keys);
    lf_tracer_stop(d->tracer);
    lf_waiting_destroy(&d->waiting);
    free(d);
}

static void reload(struct lf_daemon *d, struct lf_http_server *server)
{
    char drained[256];
    struct lf_diag diag = {""};
    while (read(d->options.reload_fd, drained, sizeof drained) == sizeof drained)
        continue;
    if (!d->options.tls_cert)
        lf_log(LF_LOG_INFO, "daemon", "there is no certificate to read anew");
    else if (lf_http_server_reload(server, &diag) == LF_OK)
        lf_log(LF_LOG_INFO, "daemon", "the certificate is read anew");
    else
        lf_log(LF_LOG_ERROR, "daemon", "the certificate stays as it was: %s", diag.text);
}

/* Whether the store can still be written: one that fails is tried again and again, so that it is
 * opened again, and given up in the end. A disk that is full is waited for. */
static enum lf_err store_watch(struct lf_daemon *d, uint64_t *tried_ns, struct lf_diag *diag)
{
    double seconds = 0, patience = d->options.store_seconds;
    enum lf_err rc = lf_store_trouble(d->store, &seconds, diag);
    if (rc == LF_OK || (double)(lf_clock_ns() - *tried_ns) < patience / STORE_TRIES * 1e9)
        return LF_OK;
    *tried_ns = lf_clock_ns();
    rc = lf_store_touch(d->store, diag);
    if (rc == LF_OK || rc == LF_E_NO_SPACE || seconds < patience)
        return LF_OK;
    return lf_fail_within(diag, LF_E_IO, "the store cannot be written");
}

/* Whether the daemon is to end for a seat that has failed: its reason. Whatever failed in an engine
 * that had been ready, another process may do better: LF_E_DEVICE_LOST. While other seats are ready
 * they go on, and the process makes way for one that may have the lost device again as soon as
 * nobody has asked or trained for RETURN_NS, a few times. A device that cannot be opened at all
 * ends the daemon, but for one that was lost before. */
static enum lf_err seats_watch(struct lf_daemon *d, uint64_t *idle_ns, struct lf_diag *diag)
{
    int number;
    struct lf_engine_status s;
    struct lf_engine *e = lf_teams_failed(d->teams, &number);
    if (!e)
        return LF_OK;
    uint64_t now = lf_clock_ns();
    lf_engine_status(e, &s);
    bool was_ready = s.load_seconds > 0, others = lf_teams_state(d->teams) != LF_ENGINE_FAILED;
    if (others && (was_ready || d->options.device_losses > 0)) {
        if (*idle_ns == 0 || !lf_teams_idle(d->teams))
            *idle_ns = now;
        if (!was_ready || d->options.device_losses >= RETURNS || now - *idle_ns < RETURN_NS)
            return LF_OK;
    }
    enum lf_err rc = lf_engine_failure(e, diag);
    if (d->options.seats > 1)
        lf_fail_within(diag, rc, "seat %d", number);
    return was_ready ? LF_E_DEVICE_LOST : rc;
}

/* Until stop_fd is readable (LF_OK), or the store is given up, or the seats are. */
static enum lf_err serve(struct lf_daemon *d, struct lf_http_server *server, struct lf_diag *diag)
{
    struct pollfd p[] = {{d->options.stop_fd, POLLIN, 0}, {d->options.reload_fd, POLLIN, 0}};
    uint64_t tried_ns = 0, idle_ns = 0;
    bool told = false;
    for (;;) {
        if (poll(p, 2, LOOK_MS) > 0 && p[0].revents)
            return LF_OK;
        if (p[1].revents)
            reload(d, server);
        lf_rates_note(&d->rates, d);
        enum lf_err lost = store_watch(d, &tried_ns, diag);
        if (lost != LF_OK)
            return lost;
        lost = seats_watch(d, &idle_ns, diag);
        if (lost != LF_OK)
            return lost;
        if (!told && lf_teams_state(d->teams) == LF_ENGINE_READY) { /* what needs this may start */
            lf_notify("READY=1\nSTATUS=serving");
            told = true;
        }
    }
}

/* Asked to stop, it goes on for a while, so that nobody is turned away who has not heard of it. */
static void leave(struct lf_daemon *d)
{
    atomic_store(&d->leaving, true);
    uint64_t end_ns = lf_clock_ns() + (uint64_t)d->options.lame_duck_seconds * LF_NS_PER_S;
    while (lf_clock_ns() < end_ns)
        poll(NULL, 0, LOOK_MS);
}

/* Answers under way may end within the drain time. */
static void drain(struct lf_daemon *d)
{
    atomic_store(&d->stopping, true);
    uint64_t end_ns = lf_clock_ns() + (uint64_t)d->options.drain_seconds * 1000000000u;
    while (atomic_load(&d->active) > 0 && lf_clock_ns() < end_ns)
        poll(NULL, 0, LOOK_MS);
}

static enum lf_err run(struct lf_daemon *d, struct lf_diag *diag)
{
    struct lf_http_server *server = NULL;
    struct lf_daemon_address at;
    enum lf_err rc = lf_http_server_start(&server, d, lf_routes, lf_routes_n, &at, diag);
    if (rc != LF_OK)
        return rc;
    lf_log(LF_LOG_INFO, "daemon", "base %s; listening on %s%s%s%s", d->teams->bases.base[0]->name,
           at.tcp, at.tcp[0] && d->options.tls_cert ? " (TLS)" : "", at.tcp[0] ? " and " : "",
           at.unix_path);
    if (d->options.ready)
        d->options.ready(d->options.ready_arg, &at);
    lf_notify("STATUS=loading the base");
    rc = serve(d, server, diag);
    lf_log(LF_LOG_INFO, "daemon", "stopping");
    lf_notify("STOPPING=1");
    if (rc == LF_OK)
        leave(d);
    lf_http_server_quiesce(server);
    lf_batches_stop(d->batches);
    drain(d);
    lf_teams_stop(d->teams); /* what is left ends, so that its connections do */
    lf_http_server_stop(server);
    return rc;
}

enum lf_err lf_daemon_run(const struct lf_daemon_options *o, struct lf_diag *diag)
{
    struct lf_daemon *d = calloc(1, sizeof *d);
    if (!d)
        return lf_no_memory(diag, "the daemon");
    d->options = *o;
    d->started_ms = lf_clock_unix_ms();
    lf_counters_init(&d->counters);
    lf_rates_init(&d->rates);
    lf_waiting_init(&d->waiting);
    lf_counter_add(&d->counters.device_losses, (uint64_t)o->device_losses);
    enum lf_err rc = open_rooms(d, diag) ?: run(d, diag);
    close_rooms(d);
    return rc;
}
