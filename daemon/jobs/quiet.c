/* Trainings that wait until their directory is whole. The files of a directory that is copied come
 * in whatever order: rows before the template that they need, before their settings, before the
 * weights that were made of them. So a training that the mount asks for is awaited: it is made when
 * nothing has come for a moment, of what is there then; and not at all where that is what the
 * served version was made from. Where the rows do not fit the settings, or half of an import is
 * missing, it waits for what is missing. That it waits is in the adapter's record, for the next
 * run. */
#include "daemon/jobs/inside.h"

#include "core/clock.h"
#include "core/lock.h"
#include "core/log.h"

#include <stdlib.h>
#include <time.h>

#define QUIET_MS 1000 /* between two files of a directory that is copied */
#define HELD_MS 5000  /* a file is being written: its close is what counts */

/* With the lock held. */
static struct lf_awaited **find(struct lf_jobs *j, uint64_t adapter_id)
{
    struct lf_awaited **at = &j->awaited;
    while (*at && (*at)->adapter_id != adapter_id)
        at = &(*at)->next;
    return at;
}

static void put_off(struct lf_jobs *j, struct lf_awaited *a, uint64_t ms)
{
    uint64_t due_ns = lf_clock_ns() + ms * LF_NS_PER_MS;
    if (due_ns > a->due_ns || ms == QUIET_MS)
        a->due_ns = due_ns;
    pthread_cond_signal(&j->quiet);
}

enum lf_err lf_jobs_await(struct lf_jobs *j, uint64_t adapter_id, bool shown, struct lf_diag *diag)
{
    enum lf_err rc = lf_registry_await(j->d->registry, adapter_id, true, shown, diag);
    if (rc != LF_OK)
        return rc;
    lf_lock_auto held = lf_lock(&j->lock);
    struct lf_awaited **at = find(j, adapter_id);
    if (!*at) {
        *at = calloc(1, sizeof **at);
        if (!*at)
            return lf_no_memory(diag, "the training");
        (*at)->adapter_id = adapter_id;
    }
    put_off(j, *at, QUIET_MS);
    return LF_OK;
}

bool lf_jobs_is_awaited(struct lf_jobs *j, uint64_t adapter_id)
{
    lf_lock_auto held = lf_lock(&j->lock);
    return *find(j, adapter_id) != NULL;
}

static void put_off_named(struct lf_jobs *j, const char *name, uint64_t ms)
{
    struct lf_adapter_view v;
    if (lf_registry_view(j->d->registry, name, &v, NULL) != LF_OK)
        return;
    lf_lock_auto held = lf_lock(&j->lock);
    struct lf_awaited *a = *find(j, v.record.id);
    if (a)
        put_off(j, a, ms);
}

void lf_jobs_touched(struct lf_jobs *j, const char *name)
{
    put_off_named(j, name, HELD_MS);
}

void lf_jobs_closed(struct lf_jobs *j, const char *name)
{
    put_off_named(j, name, QUIET_MS);
}

void lf_jobs_await_forget(struct lf_jobs *j, uint64_t adapter_id)
{
    struct lf_awaited **at = find(j, adapter_id), *a = *at;
    if (a) {
        *at = a->next;
        free(a);
    }
}

/* Nothing has come for a moment. Where something is missing still, the adapter's trouble says what,
 * and what comes next makes it be awaited again. */
static void due(struct lf_jobs *j, uint64_t adapter_id)
{
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    enum lf_file_kind file = LF_FILE_DATASET;
    bool queued;
    if (lf_registry_view_id(j->d->registry, adapter_id, &v, NULL) != LF_OK)
        return;
    enum lf_err rc = lf_registry_whole(j->d->registry, adapter_id, &file, &diag);
    rc = rc ?: lf_jobs_train(j, v.record.name, false, &queued, &diag);
    if (rc == LF_OK) {
        lf_registry_cleared(j->d->registry, adapter_id);
        return;
    }
    lf_registry_refused(j->d->registry, v.record.name, lf_files[file].name, diag.text);
    if (lf_registry_await(j->d->registry, adapter_id, rc == LF_E_INVALID, false, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "%s: %s", v.record.name, diag.text);
}

static struct lf_awaited *soonest(struct lf_jobs *j)
{
    struct lf_awaited *found = j->awaited;
    for (struct lf_awaited *a = j->awaited; a; a = a->next)
        if (a->due_ns < found->due_ns)
            found = a;
    return found;
}

void *lf_quiet_main(void *arg)
{
    struct lf_jobs *j = arg;
    pthread_mutex_lock(&j->lock);
    while (!j->closing) {
        struct lf_awaited *a = soonest(j);
        if (!a) {
            pthread_cond_wait(&j->quiet, &j->lock);
        } else if (a->due_ns > lf_clock_ns()) {
            struct timespec at = {.tv_sec = (time_t)(a->due_ns / LF_NS_PER_S),
                                  .tv_nsec = (long)(a->due_ns % LF_NS_PER_S)};
            pthread_cond_timedwait(&j->quiet, &j->lock, &at);
        } else {
            uint64_t id = a->adapter_id;
            lf_jobs_await_forget(j, id);
            pthread_mutex_unlock(&j->lock);
            due(j, id);
            pthread_mutex_lock(&j->lock);
        }
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

void lf_jobs_came(struct lf_jobs *j, const char *name, enum lf_file_kind kind)
{
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    bool queued, settings = kind == LF_FILE_CONFIG || kind == LF_FILE_TEMPLATE;
    enum lf_err rc = lf_registry_view(j->d->registry, name, &v, &diag);
    if (rc == LF_OK && v.record.wanted) {
        rc = lf_jobs_train_quiet(j, name, &queued, &diag);
    } else if (rc == LF_OK && settings && v.activity.job) {
        if (lf_jobs_has_begun(j, v.activity.job))
            lf_registry_later(j->d->registry, v.record.id, kind);
        else
            rc = lf_jobs_train(j, name, false, &queued, &diag);
    }
    if (rc != LF_OK)
        lf_log(LF_LOG_WARN, "jobs", "%s: %s is not taken into its training: %s", name,
               lf_files[kind].name, diag.text);
}
