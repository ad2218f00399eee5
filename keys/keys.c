/* The keys that are good now. */
#include "keys/keys.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/lock.h"
#include "core/log.h"
#include "keys/key_file.h"

#include <fnmatch.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct lf_key {
    atomic_int refs;
    struct lf_key_record r;
    pthread_mutex_t lock; /* of the two below */
    double allowance;     /* requests that may come at once */
    uint64_t counted_ns;
    atomic_int under_way;
};

struct lf_keys {
    char path[LF_PATH_MAX];
    struct lf_key *plain; /* --api-key-file's; or NULL */
    char *plain_text;
    pthread_mutex_t lock; /* of all below */
    struct stat seen;     /* the file as it was read; zeros: there is none */
    struct lf_key **v;    /* (n) */
    size_t n;
    bool broken; /* the file is there and cannot be read: no key of it is good */
};

/* ---- One ------------------------------------------------------------------------------------- */

static struct lf_key *key_new(const struct lf_key_record *r)
{
    struct lf_key *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->r = *r;
    k->allowance = r->requests_a_minute;
    k->counted_ns = lf_clock_ns();
    atomic_init(&k->refs, 1);
    pthread_mutex_init(&k->lock, NULL);
    return k;
}

void lf_key_release(struct lf_key *key)
{
    if (!key || atomic_fetch_sub(&key->refs, 1) > 1)
        return;
    pthread_mutex_destroy(&key->lock);
    free(key);
}

const char *lf_key_name(const struct lf_key *key)
{
    return key->r.name;
}

uint64_t lf_key_number(const struct lf_key *key)
{
    return key ? strtoull(key->r.id, NULL, 16) + 1 : 0;
}

int lf_key_waiting_max(const struct lf_key *key)
{
    if (!key)
        return LF_QUEUE_MAX;
    return key->r.waiting > 0 ? key->r.waiting : LF_KEY_WAITING;
}

enum lf_role lf_key_role(const struct lf_key *key)
{
    return key->r.role;
}

bool lf_key_may(const struct lf_key *key, const char *adapter)
{
    if (!key || key->r.n_adapters == 0)
        return true;
    for (int i = 0; i < key->r.n_adapters; i++)
        if (fnmatch(key->r.adapters[i], adapter, 0) == 0)
            return true;
    return false;
}

/* What came in fills up with the time, to a minute's number. *wait_s: until the next may come. */
static bool is_within_rate(struct lf_key *k, uint64_t now_ns, int *wait_s)
{
    double per_s = k->r.requests_a_minute / 60.0;
    lf_lock_auto held = lf_lock(&k->lock);
    if (now_ns > k->counted_ns)
        k->allowance += (double)(now_ns - k->counted_ns) / LF_NS_PER_S * per_s;
    if (k->allowance > k->r.requests_a_minute)
        k->allowance = k->r.requests_a_minute;
    k->counted_ns = now_ns;
    if (k->allowance < 1) {
        *wait_s = (int)((1 - k->allowance) / per_s) + 1;
        return false;
    }
    k->allowance -= 1;
    return true;
}

enum lf_err lf_key_enter(struct lf_key *key, uint64_t now_ns, int *retry_seconds,
                         struct lf_diag *diag)
{
    int under_way = atomic_fetch_add(&key->under_way, 1);
    if (key->r.at_once > 0 && under_way >= key->r.at_once) {
        *retry_seconds = 1;
        atomic_fetch_sub(&key->under_way, 1);
        return lf_fail(diag, LF_E_OVERLOADED, "the key \"%s\" may have %d requests under way",
                       key->r.name, key->r.at_once);
    }
    if (key->r.requests_a_minute > 0 && !is_within_rate(key, now_ns, retry_seconds)) {
        atomic_fetch_sub(&key->under_way, 1);
        return lf_fail(diag, LF_E_OVERLOADED, "the key \"%s\" may send %d requests a minute",
                       key->r.name, key->r.requests_a_minute);
    }
    return LF_OK;
}

void lf_key_leave(struct lf_key *key)
{
    atomic_fetch_sub(&key->under_way, 1);
}

/* ---- All ------------------------------------------------------------------------------------- */

static void drop(struct lf_key **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lf_key_release(v[i]);
    free(v);
}

static bool is_same_record(const struct lf_key_record *a, const struct lf_key_record *b)
{
    return strcmp(a->sha256, b->sha256) == 0 && strcmp(a->name, b->name) == 0 &&
           a->role == b->role && a->n_adapters == b->n_adapters &&
           memcmp(a->adapters, b->adapters, sizeof a->adapters) == 0 &&
           a->requests_a_minute == b->requests_a_minute && a->at_once == b->at_once &&
           a->waiting == b->waiting;
}

/* The same key as before: its limits go on counting. */
static struct lf_key *known(const struct lf_keys *k, const struct lf_key_record *r)
{
    for (size_t i = 0; i < k->n; i++)
        if (is_same_record(&k->v[i]->r, r)) {
            atomic_fetch_add(&k->v[i]->refs, 1);
            return k->v[i];
        }
    return NULL;
}

static enum lf_err load(struct lf_keys *k, struct lf_diag *diag)
{
    json_auto_t *file = NULL;
    enum lf_err rc = lf_key_file_read(&file, k->path, diag);
    const json_t *list = json_object_get(file, "keys");
    size_t n = json_array_size(list), made = 0;
    struct lf_key **v = rc == LF_OK ? calloc(n + 1, sizeof(struct lf_key *)) : NULL;
    if (rc == LF_OK && !v)
        rc = lf_no_memory(diag, "keys");
    for (size_t i = 0; i < n && rc == LF_OK; i++) {
        struct lf_key_record r;
        rc = lf_key_record_parse(&r, json_array_get(list, i), diag);
        if (rc == LF_OK && !(v[made] = known(k, &r)) && !(v[made] = key_new(&r)))
            rc = lf_no_memory(diag, "keys");
        made += rc == LF_OK;
    }
    if (rc != LF_OK) {
        drop(v, made);
        v = NULL;
        made = 0;
    }
    drop(k->v, k->n);
    k->v = v;
    k->n = made;
    k->broken = rc != LF_OK;
    return rc;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* With the lock held. */
static enum lf_err look(struct lf_keys *k, struct lf_diag *diag)
{
    struct stat st;
    if (stat(k->path, &st) != 0)
        memset(&st, 0, sizeof st);
    if (is_same(&st, &k->seen))
        return LF_OK;
    k->seen = st;
    return load(k, diag);
}

enum lf_err lf_keys_open(struct lf_keys **out, const char *path, const char *api_key,
                         struct lf_diag *diag)
{
    struct lf_key_record plain = {.name = "api-key-file", .role = LF_ROLE_ADMIN};
    struct lf_keys *k = calloc(1, sizeof *k);
    if (!k)
        return lf_no_memory(diag, "keys");
    pthread_mutex_init(&k->lock, NULL);
    enum lf_err rc = LF_OK;
    if (strlen(path) >= sizeof k->path)
        rc = lf_fail(diag, LF_E_INVALID, "%s: path too long", path);
    else
        memcpy(k->path, path, strlen(path) + 1);
    if (api_key && (!(k->plain = key_new(&plain)) || !(k->plain_text = strdup(api_key))))
        rc = lf_no_memory(diag, "keys");
    rc = rc ?: look(k, diag);
    if (rc == LF_OK)
        *out = k;
    else
        lf_keys_close(k);
    return rc;
}

void lf_keys_close(struct lf_keys *k)
{
    if (!k)
        return;
    drop(k->v, k->n);
    lf_key_release(k->plain);
    free(k->plain_text);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

static void look_and_log(struct lf_keys *k)
{
    struct lf_diag diag = {""};
    if (look(k, &diag) != LF_OK)
        lf_log(LF_LOG_ERROR, "http", "no key is good: %s", diag.text);
}

bool lf_keys_wanted(struct lf_keys *k)
{
    lf_lock_auto held = lf_lock(&k->lock);
    look_and_log(k);
    return k->plain || k->broken || k->seen.st_ino != 0;
}

/* All are looked at, whichever it is, and one that has no such id is hashed all the same. */
struct lf_key *lf_keys_find(struct lf_keys *k, const char *given, size_t n)
{
    static const char salt[LF_KEY_SECRET_HEX + 1] =
        "0000000000000000000000000000000000000000000000000000000000000000";
    char id[LF_KEY_ID_HEX + 1], digest[LF_SHA256_HEX];
    const char *secret;
    size_t n_secret;
    struct lf_key *found = NULL;
    lf_lock_auto held = lf_lock(&k->lock);
    look_and_log(k);
    if (k->plain && lf_key_equal(given, n, k->plain_text, strlen(k->plain_text)))
        found = k->plain;
    if (lf_key_split(given, n, id, &secret, &n_secret)) {
        struct lf_key *named = NULL;
        for (size_t i = 0; i < k->n; i++)
            if (strcmp(k->v[i]->r.id, id) == 0)
                named = k->v[i];
        lf_key_digest(digest, named ? named->r.salt : salt, secret, n_secret);
        if (named && lf_key_equal(digest, sizeof digest - 1, named->r.sha256, sizeof digest - 1))
            found = named;
    }
    if (found)
        atomic_fetch_add(&found->refs, 1);
    return found;
}

struct lf_key *lf_keys_named(struct lf_keys *k, const char *name)
{
    struct lf_key *found = NULL;
    lf_lock_auto held = lf_lock(&k->lock);
    look_and_log(k);
    if (k->plain && strcmp(k->plain->r.name, name) == 0)
        found = k->plain;
    for (size_t i = 0; i < k->n && !found; i++)
        if (strcmp(k->v[i]->r.name, name) == 0)
            found = k->v[i];
    if (found)
        atomic_fetch_add(&found->refs, 1);
    return found;
}

bool lf_key_equal(const char *a, size_t n_a, const char *b, size_t n_b)
{
    unsigned char differs = n_a != n_b;
    for (size_t i = 0; i < n_a; i++)
        differs |= (unsigned char)(a[i] ^ b[n_b ? i % n_b : 0]);
    return n_b > 0 && differs == 0;
}
