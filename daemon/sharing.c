/* Sharing adapters with other daemons. */
#include "daemon/sharing.h"

#include "core/clock.h"
#include "core/grow.h"
#include "core/json.h"
#include "core/lock.h"
#include "core/log.h"
#include "core/sums.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"
#include "daemon/team.h"
#include "daemon/warm.h"
#include "peers/peer.h"
#include "peers/publication.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_SECONDS 1
/* After so many looks all is compared, whatever seems to have changed; where something failed: */
#define ALL_LOOKS 30
#define AGAIN_LOOKS 5
/* Versions that are current nowhere go after as long as what is in the trash; looked for: */
#define OUT_OF_USE_SECONDS (7 * 86400)
#define PRUNE_NS (3600 * LF_NS_PER_S)

/* A name that was looked at. */
struct shared {
    char name[LF_NAME_MAX + 1];
    char tag[LF_FILE_TAG]; /* of its file, then; "": there was none */
    struct lf_sharing_agreed agreed;
    bool failed; /* it is tried again with all others */
    /* By the lock: */
    bool busy;          /* all above is of one thread, which may wait for disk and network */
    enum lf_err rc;     /* how that ended last */
    struct lf_diag why; /* and why */
};

struct lf_sharing {
    struct lf_daemon *d;
    char dir[LF_PATH_MAX];
    struct lf_peers *peers; /* NULL: none */
    pthread_t thread;
    bool started;
    atomic_bool stop;
    pthread_mutex_t lock;  /* never over the disk or the network; protects: */
    pthread_cond_t idle;   /* a name is not busy any more */
    struct shared **known; /* by name; owned, and stay where they are */
    size_t n, cap;
    pthread_mutex_t said; /* protects: */
    enum lf_err trouble;
    struct lf_diag why;
    /* Of the thread: */
    char tag[LF_FILE_TAG]; /* of the directory of tiny files */
    uint64_t generation;   /* of the registry */
    int looks;
    uint64_t pruned_ns; /* when it was looked for versions that are out of use */
    bool failed;        /* something did when all was compared last */
};

/* ---- What is known --------------------------------------------------------------------------- */

/* With the lock. NULL: memory is out. */
static struct shared *known(struct lf_sharing *s, const char *name)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int order = strcmp(s->known[mid]->name, name);
        if (order == 0)
            return s->known[mid];
        lo = order < 0 ? mid + 1 : lo;
        hi = order < 0 ? hi : mid;
    }
    struct shared *k = calloc(1, sizeof *k);
    if (!k || lf_grow(&s->known, &s->cap, s->n + 1, sizeof *s->known) != LF_OK) {
        free(k);
        return NULL;
    }
    memmove(s->known + lo + 1, s->known + lo, (s->n - lo) * sizeof *s->known);
    s->n++;
    s->known[lo] = k;
    snprintf(k->name, sizeof k->name, "%s", name);
    return k;
}

/* Has the name for this thread alone, until leave(). */
static struct shared *enter(struct lf_sharing *s, const char *name, enum lf_err *rc,
                            struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&s->lock);
    struct shared *k = known(s, name);
    *rc = k ? LF_OK : lf_no_memory(diag, "sharing");
    if (!k || k->busy)
        return NULL;
    k->busy = true;
    return k;
}

/* The same for who can wait. What it waited for is not done again at once where it failed: *rc. */
static struct shared *enter_after(struct lf_sharing *s, const char *name, enum lf_err *rc,
                                  struct lf_diag *diag)
{
    lf_lock_auto held = lf_lock(&s->lock);
    struct shared *k = known(s, name);
    bool waited = k && k->busy;
    *rc = k ? LF_OK : lf_no_memory(diag, "sharing");
    while (k && k->busy)
        pthread_cond_wait(&s->idle, &s->lock);
    if (waited && k->rc != LF_OK)
        *rc = lf_fail(diag, k->rc, "%s", k->why.text);
    if (*rc != LF_OK)
        return NULL;
    k->busy = true;
    return k;
}

static void leave(struct lf_sharing *s, struct shared *k, enum lf_err rc, const struct lf_diag *why)
{
    lf_lock_auto held = lf_lock(&s->lock);
    k->busy = false;
    k->rc = rc;
    k->why = *why;
    pthread_cond_broadcast(&s->idle);
}

static void agree(struct shared *k, const struct lf_sharing_local *local,
                  const struct lf_published *theirs)
{
    k->agreed = (struct lf_sharing_agreed){local->id, local->version, "", theirs->stamp_ms};
    memcpy(k->agreed.sha256, theirs->sha256, sizeof k->agreed.sha256);
}

/* ---- Here ------------------------------------------------------------------------------------ */

static enum lf_err version_dir(struct lf_sharing *s, uint64_t id, int32_t n, char out[LF_PATH_MAX],
                               struct lf_diag *diag)
{
    char part[64];
    snprintf(part, sizeof part, LF_FILE_VERSIONS_DIR "%d", (int)n);
    return lf_registry_dir(s->d->registry, id, part, out, diag);
}

static enum lf_err digest_of(struct lf_sharing *s, uint64_t id, int32_t n, char hex[LF_SHA256_HEX],
                             struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    enum lf_err rc = version_dir(s, id, n, dir, diag) ?: lf_sums_digest(hex, dir, diag);
    if (rc != LF_E_NOT_FOUND)
        return rc;
    return lf_version_seal(dir, diag) ?: lf_sums_digest(hex, dir, diag);
}

static bool look_here(struct lf_sharing *s, const char *name, struct lf_adapter_view *v,
                      struct lf_sharing_local *local)
{
    bool here = lf_registry_view(s->d->registry, name, v, NULL) == LF_OK;
    *local = (struct lf_sharing_local){.wanted = here || lf_warm_is_pinned(s->d, name)};
    if (here) {
        local->id = v->record.id;
        local->version = v->stranger ? 0 : v->record.current;
    }
    return here;
}

/* ---- What is done ---------------------------------------------------------------------------- */

/* The adapter's config.json. Yours; NULL: it has none. */
static json_t *settings_of(struct lf_sharing *s, uint64_t id)
{
    char path[LF_PATH_MAX];
    json_t *j = NULL;
    if (lf_registry_dir(s->d->registry, id, lf_files[LF_FILE_CONFIG].disk, path, NULL) != LF_OK ||
        !lf_file_exists(path) || lf_json_load(&j, path, NULL) != LF_OK)
        return NULL;
    return j;
}

/* version 0: it was removed. after: what it takes the place of, or NULL. */
static enum lf_err publish(struct lf_sharing *s, struct shared *k, const struct lf_adapter_view *v,
                           const struct lf_sharing_local *local, const struct lf_published *after,
                           struct lf_diag *diag)
{
    char dir[LF_PATH_MAX] = "";
    struct lf_published p = {.version = local->version};
    enum lf_err rc = LF_OK;
    snprintf(p.name, sizeof p.name, "%s", k->name);
    p.stamp_ms = lf_clock_unix_ms();
    if (after && p.stamp_ms <= after->stamp_ms)
        p.stamp_ms = after->stamp_ms + 1;
    if (p.version > 0) {
        memcpy(p.base_sha256, v->base->sha256, sizeof p.base_sha256);
        p.settings = settings_of(s, local->id);
        rc = version_dir(s, local->id, p.version, dir, diag);
        rc = rc ?: digest_of(s, local->id, p.version, p.sha256, diag);
        rc = rc ?: lf_shared_put(s->dir, p.sha256, lf_shared_fill, dir, diag);
    }
    rc = rc ?: lf_shared_write(s->dir, &p, diag);
    if (rc == LF_OK && p.version > 0) /* unless it was taken away in between */
        rc = lf_shared_put(s->dir, p.sha256, lf_shared_fill, dir, diag);
    if (rc == LF_OK && after)
        lf_shared_replaced(s->dir, after->sha256);
    if (rc == LF_OK) {
        agree(k, local, &p);
        lf_log(LF_LOG_INFO, "peers", p.version ? "%s v%d is published" : "%s is withdrawn", p.name,
               (int)p.version);
    }
    lf_published_free(&p);
    return rc;
}

static const struct lf_base *base_of(struct lf_sharing *s, const char *sha256)
{
    const struct lf_bases *all = &s->d->teams->bases;
    for (int i = 0; i < all->n; i++)
        if (strcmp(all->base[i]->sha256, sha256) == 0)
            return all->base[i];
    return NULL;
}

/* The number of a version that is here already; 0: it is not. */
static int32_t find_version(struct lf_sharing *s, const struct lf_adapter_view *v,
                            const char *sha256)
{
    char hex[LF_SHA256_HEX];
    int32_t *versions = NULL, found = 0;
    size_t n = 0;
    if (lf_registry_versions(s->d->registry, v->record.name, &versions, &n, NULL) != LF_OK)
        return 0;
    for (size_t i = n; i-- > 0 && !found;)
        if (digest_of(s, v->record.id, versions[i], hex, NULL) == LF_OK && strcmp(hex, sha256) == 0)
            found = versions[i];
    free(versions);
    return found;
}

/* Their settings, of the base as it is called here. Yours; NULL: memory is out. */
static json_t *settings_here(const struct lf_published *theirs, const struct lf_base *base)
{
    json_t *j = theirs->settings ? lf_json_copy(theirs->settings) : json_object();
    if (j && json_object_set_new(j, "base", json_string(base->name)) != 0) {
        json_decref(j);
        return NULL;
    }
    return j;
}

/* An adapter that was not here: with their settings, where these can be taken. */
static enum lf_err make(struct lf_sharing *s, const struct lf_published *theirs,
                        const struct lf_base *base, struct lf_diag *diag)
{
    json_auto_t *settings = settings_here(theirs, base);
    json_auto_t *bare = json_pack("{s:s}", "base", base->name);
    enum lf_err rc = settings && bare ? LF_OK : lf_no_memory(diag, "an adapter");
    rc = rc ?: lf_registry_create(s->d->registry, theirs->name, settings, diag);
    return rc == LF_E_INVALID ? lf_registry_create(s->d->registry, theirs->name, bare, diag) : rc;
}

static enum lf_err put_settings(struct lf_sharing *s, uint64_t id, const char *dir,
                                const struct lf_published *theirs, const struct lf_base *base,
                                struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *had = settings_of(s, id);
    json_auto_t *settings = settings_here(theirs, base);
    if (had && !json_object_get(had, "base"))
        json_object_set_new(had, "base", json_string(base->name));
    if (!theirs->settings || !settings || json_equal(had, settings))
        return LF_OK;
    enum lf_err rc = lf_path_join(path, dir, lf_files[LF_FILE_CONFIG].disk, diag);
    rc = rc ?: lf_json_write(path, json_incref(settings), JSON_INDENT(1), diag);
    return rc ?: lf_registry_put_file(s->d->registry, theirs->name, LF_FILE_CONFIG, path, diag);
}

/* Its files come here, and become a version that is current. */
static enum lf_err import(struct lf_sharing *s, const struct lf_published *theirs,
                          const struct lf_base *base, uint64_t id, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX];
    int32_t version = 0;
    uint64_t made;
    enum lf_err rc = LF_OK;
    if (s->peers && !lf_shared_has(s->dir, theirs->sha256))
        rc = lf_peers_fetch(s->peers, theirs->sha256, diag);
    rc = rc ?: lf_path_join(dir, s->d->options.data_dir, "incoming/shared-XXXXXX", diag);
    if (rc != LF_OK)
        return rc;
    if (!mkdtemp(dir))
        return lf_fail_errno(diag, errno, "%s", dir);
    rc = lf_shared_get(s->dir, theirs->sha256, dir, diag);
    rc = rc ?: (id ? put_settings(s, id, dir, theirs, base, diag) : make(s, theirs, base, diag));
    if (rc == LF_OK) {
        rc = lf_registry_import(s->d->registry, theirs->name, dir, &version, diag);
        if (rc != LF_OK && !id) /* nothing is left of it */
            (void)!lf_registry_remove(s->d->registry, theirs->name, &made, NULL);
    }
    if (lf_dir_remove(dir, NULL) != LF_OK)
        lf_log(LF_LOG_WARN, "peers", "%s is left over", dir);
    return rc;
}

/* What is published becomes current here. */
static enum lf_err adopt(struct lf_sharing *s, struct shared *k, const struct lf_published *theirs,
                         struct lf_diag *diag)
{
    struct lf_adapter_view v;
    struct lf_sharing_local local;
    const struct lf_base *base = base_of(s, theirs->base_sha256);
    bool here = look_here(s, k->name, &v, &local);
    if (!base || (here && v.base != base)) {
        agree(k, &local, theirs);
        return lf_fail(diag, LF_E_BASE_DIFFERS, "%s is published of another base", k->name);
    }
    int32_t n = here ? find_version(s, &v, theirs->sha256) : 0;
    enum lf_err rc = LF_OK;
    if (n == 0) {
        rc = import(s, theirs, base, local.id, diag);
    } else if (n != v.record.current) {
        lf_warm(s->d, local.id, n, LF_WARM_MS);
        rc = lf_registry_rollback(s->d->registry, k->name, n, diag);
    }
    if (rc != LF_OK)
        return rc;
    look_here(s, k->name, &v, &local);
    agree(k, &local, theirs);
    if (n == 0) {
        lf_log(LF_LOG_INFO, "peers", "%s v%d is here: v%d of who published it", k->name,
               (int)local.version, (int)theirs->version);
        lf_jobs_score(s->d->jobs, k->name);
        lf_warm_pinned(s->d);
    }
    return LF_OK;
}

/* Into the trash, as it is where it was removed. */
static enum lf_err take_away(struct lf_sharing *s, struct shared *k,
                             const struct lf_published *theirs, struct lf_diag *diag)
{
    enum lf_err rc = lf_jobs_adapter_remove(s->d->jobs, k->name, diag);
    if (rc != LF_OK)
        return rc;
    agree(k, &(struct lf_sharing_local){.id = 0}, theirs);
    lf_log(LF_LOG_INFO, "peers", "%s was withdrawn, and is in the trash", k->name);
    return LF_OK;
}

/* ---- Looking --------------------------------------------------------------------------------- */

static enum lf_err act(struct lf_sharing *s, struct shared *k, const struct lf_adapter_view *v,
                       struct lf_sharing_local *local, const struct lf_published *theirs,
                       struct lf_diag *diag)
{
    char hex[LF_SHA256_HEX];
    enum lf_err rc = LF_OK;
    if (k->agreed.stamp_ms == 0 && local->version > 0) {
        rc = digest_of(s, local->id, local->version, hex, diag);
        local->published = rc == LF_OK && lf_shared_had(s->dir, hex);
    }
    if (rc != LF_OK)
        return rc;
    switch (lf_sharing_act(local, &k->agreed, theirs)) {
    case LF_SHARING_NOTHING:
        if (theirs)
            agree(k, local, theirs);
        return LF_OK;
    case LF_SHARING_PUBLISH:
        return publish(s, k, v, local, theirs, diag);
    case LF_SHARING_WITHDRAW:
        return publish(s, k, v, &(struct lf_sharing_local){.id = 0}, theirs, diag);
    case LF_SHARING_ADOPT:
        return adopt(s, k, theirs, diag);
    case LF_SHARING_REMOVE:
        return take_away(s, k, theirs, diag);
    }
    return LF_OK;
}

/* Compares one name here and there. all: also where nothing seems to have changed. */
static enum lf_err compare(struct lf_sharing *s, struct shared *k, bool all, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], tag[LF_FILE_TAG] = "";
    struct lf_adapter_view v;
    struct lf_sharing_local local;
    struct lf_published theirs = {0};
    enum lf_err rc = lf_shared_path(path, s->dir, k->name, diag);
    if (rc != LF_OK)
        return rc;
    look_here(s, k->name, &v, &local);
    rc = lf_file_tag_at(tag, path, diag);
    bool there = rc == LF_OK, same = local.id == k->agreed.id && local.version == k->agreed.version;
    if (rc != LF_OK && rc != LF_E_NOT_FOUND)
        return rc;
    if (!all && (same || k->failed) && strcmp(tag, k->tag) == 0)
        return LF_OK;
    rc = there ? lf_shared_read(&theirs, s->dir, k->name, diag) : LF_OK;
    rc = rc ?: act(s, k, &v, &local, there ? &theirs : NULL, diag);
    lf_published_free(&theirs);
    memcpy(k->tag, tag, sizeof k->tag);
    bool failed = rc != LF_OK && rc != LF_E_BASE_DIFFERS;
    if (failed && !k->failed)
        lf_log(LF_LOG_WARN, "peers", "%s: %s", k->name, diag->text);
    k->failed = failed;
    s->failed = s->failed || failed;
    return rc;
}

/* A name that a request brings here meanwhile is looked at when that is done: it changes the
 * registry. */
static void look_at(struct lf_sharing *s, const char *name, bool all)
{
    struct lf_diag diag = {""};
    enum lf_err rc;
    struct shared *k = enter(s, name, &rc, &diag);
    if (!k)
        return;
    rc = compare(s, k, all, &diag);
    leave(s, k, rc, &diag);
}

/* The names that are published, those that are here, and those that were. */
static enum lf_err look_at_all(struct lf_sharing *s, bool all, struct lf_diag *diag)
{
    lf_names_auto names = {0};
    struct lf_adapter_view *here = NULL;
    size_t n_here = 0;
    enum lf_err rc = lf_shared_names(&names, s->dir, diag);
    rc = rc ?: lf_registry_list(s->d->registry, &here, &n_here, diag);
    for (size_t i = 0; rc == LF_OK && i < names.n && !atomic_load(&s->stop); i++)
        look_at(s, names.at[i], all);
    for (size_t i = 0; rc == LF_OK && i < n_here && !atomic_load(&s->stop); i++)
        look_at(s, here[i].record.name, all);
    free(here);
    return rc;
}

static void look(struct lf_sharing *s)
{
    char path[LF_PATH_MAX], tag[LF_FILE_TAG] = "";
    struct lf_diag diag = {""};
    if (s->peers)
        lf_peers_listen(s->peers);
    uint64_t generation = lf_registry_generation(s->d->registry);
    enum lf_err rc = lf_path_join(path, s->dir, "current", &diag);
    rc = rc ?: lf_file_tag_at(tag, path, &diag);
    bool all = ++s->looks >= (s->failed ? AGAIN_LOOKS : ALL_LOOKS);
    if (all) {
        s->looks = 0;
        s->failed = false;
    }
    if (rc == LF_OK && (all || generation != s->generation || strcmp(tag, s->tag) != 0))
        rc = look_at_all(s, all, &diag);
    s->generation = generation;
    memcpy(s->tag, tag, sizeof s->tag);
    lf_lock_auto held = lf_lock(&s->said);
    if (rc != LF_OK && s->trouble == LF_OK)
        lf_log(LF_LOG_ERROR, "peers", "%s", diag.text);
    s->trouble = rc;
    s->why = diag;
}

static void prune(struct lf_sharing *s)
{
    struct lf_diag diag = {""};
    int n = 0;
    if (lf_clock_ns() - s->pruned_ns < PRUNE_NS)
        return;
    s->pruned_ns = lf_clock_ns();
    if (lf_shared_prune(s->dir, OUT_OF_USE_SECONDS, &n, &diag) != LF_OK)
        lf_log(LF_LOG_WARN, "peers", "versions that are out of use stay: %s", diag.text);
    else if (n > 0)
        lf_log(LF_LOG_INFO, "peers", "%d versions that were current nowhere are removed", n);
}

static void *sharing_main(void *arg)
{
    struct lf_sharing *s = arg;
    while (!atomic_load(&s->stop)) {
        look(s);
        prune(s);
        for (int i = 0; i < LOOK_SECONDS * 20 && !atomic_load(&s->stop); i++)
            lf_clock_sleep(LF_NS_PER_S / 20);
    }
    return NULL;
}

/* ---- From outside ---------------------------------------------------------------------------- */

enum lf_err lf_sharing_bring(struct lf_sharing *s, const char *name, struct lf_diag *diag)
{
    struct lf_published theirs = {0};
    struct lf_adapter_view v;
    struct lf_sharing_local local;
    enum lf_err rc = LF_E_NOT_FOUND;
    if (!s || lf_shared_read(&theirs, s->dir, name, NULL) != LF_OK)
        return LF_E_NOT_FOUND;
    struct shared *k = theirs.version ? enter_after(s, name, &rc, diag) : NULL;
    if (k) {
        if (!look_here(s, name, &v, &local) || v.record.current == 0)
            rc = adopt(s, k, &theirs, diag); /* nobody was faster */
        leave(s, k, rc, diag);
    }
    lf_published_free(&theirs);
    return rc;
}

const char *lf_sharing_dir(const struct lf_sharing *s)
{
    return s ? s->dir : NULL;
}

enum lf_err lf_sharing_trouble(struct lf_sharing *s, struct lf_diag *diag)
{
    if (!s)
        return LF_OK;
    lf_lock_auto held = lf_lock(&s->said);
    return s->trouble == LF_OK ? LF_OK : lf_fail(diag, s->trouble, "sharing: %s", s->why.text);
}

enum lf_err lf_sharing_open(struct lf_sharing **out, struct lf_daemon *d, struct lf_diag *diag)
{
    const struct lf_daemon_options *o = &d->options;
    if (!o->share_dir && !o->peers)
        return LF_OK;
    struct lf_sharing *s = calloc(1, sizeof *s);
    if (!s)
        return lf_no_memory(diag, "sharing");
    s->d = d;
    s->pruned_ns = lf_clock_ns();
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->idle, NULL);
    pthread_mutex_init(&s->said, NULL);
    *out = s;
    enum lf_err rc = LF_OK;
    if (o->share_dir)
        snprintf(s->dir, sizeof s->dir, "%s", o->share_dir);
    else
        rc = lf_path_join(s->dir, o->data_dir, "shared", diag);
    rc = rc ?: lf_shared_open(s->dir, diag);
    if (o->peers)
        rc = rc
                 ?: lf_peers_new(&s->peers, s->dir, o->peers, o->peers_key_file, o->peers_cacert,
                                 &s->stop, diag);
    int bad = rc == LF_OK ? pthread_create(&s->thread, NULL, sharing_main, s) : 0;
    s->started = rc == LF_OK && bad == 0;
    return bad ? lf_fail_errno(diag, bad, "a thread") : rc;
}

void lf_sharing_close(struct lf_sharing *s)
{
    if (!s)
        return;
    atomic_store(&s->stop, true);
    if (s->started)
        pthread_join(s->thread, NULL);
    lf_peers_free(s->peers);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->said);
    for (size_t i = 0; i < s->n; i++)
        free(s->known[i]);
    free(s->known);
    free(s);
}
