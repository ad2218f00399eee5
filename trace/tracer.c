/* Spans on their way: a ring that anybody appends to, and a thread that posts what is in it, at
 * once when there is a batch of it, else from time to time. What a collector does not take for the
 * moment is posted again, what it refuses is lost. */
#include "trace/trace.h"

#include "core/buf.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/limits.h"
#include "core/lock.h"
#include "core/log.h"
#include "trace/inside.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 512       /* spans of a post; OpenTelemetry's default */
#define DELAY_MS 5000   /* likewise: that a span waits for others */
#define POST_SECONDS 10 /* likewise: of a post */
#define STOP_NS (5ull * LF_NS_PER_S)
#define TRIES 5 /* of a batch, a second after the first, then twice as long each */

struct lf_tracer {
    char url[LF_PATH_MAX];
    struct curl_slist *headers;
    json_t *resource, *scope;
    uint64_t delay_ns;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock */
    json_t *ring[LF_TRACE_QUEUE_MAX];
    size_t first, n;
    uint64_t stop_ns; /* it ends at this time at the latest; 0: it goes on */
    uint64_t sent, dropped;
    bool failing; /* the thread's: it has been said */
};

/* ---- The environment ------------------------------------------------------------------------- */

/* A variable that is there and says something. */
static const char *variable(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* "a=b,c=d", percent-encoded, of a variable; each pair to take(arg, name, value). */
static enum lf_err each_pair(const char *name, void (*take)(void *arg, char *key, char *value),
                             void *arg, struct lf_diag *diag)
{
    char room[LF_TRACE_PAIRS_MAX], *rest = room, *pair;
    const char *v = variable(name);
    if (!v)
        return LF_OK;
    if (strlen(v) >= sizeof room)
        return lf_fail(diag, LF_E_INVALID, "%s is over %zu bytes", name, sizeof room - 1);
    memcpy(room, v, strlen(v) + 1);
    while ((pair = strsep(&rest, ","))) {
        pair += strspn(pair, " ");
        char *value = strchr(pair, '=');
        int n = 0;
        if (!*pair)
            continue;
        if (!value || value == pair)
            return lf_fail(diag, LF_E_INVALID, "%s is no list of NAME=VALUE", name);
        *value++ = '\0';
        char *plain = curl_easy_unescape(NULL, value, 0, &n);
        if (!plain)
            return lf_no_memory(diag, "the tracer");
        take(arg, pair, plain);
        curl_free(plain);
    }
    return LF_OK;
}

static void take_attribute(void *arg, char *key, char *value)
{
    lf_attribute_set(arg, key, "stringValue", json_string(value));
}

static void take_header(void *arg, char *key, char *value)
{
    struct lf_tracer *t = arg;
    char line[LF_TRACE_PAIRS_MAX];
    snprintf(line, sizeof line, "%s: %s", key, value);
    struct curl_slist *more = curl_slist_append(t->headers, line);
    t->headers = more ? more : t->headers;
}

/* The address to post to; "" where none is set. */
static enum lf_err find_url(struct lf_tracer *t, const char *endpoint, struct lf_diag *diag)
{
    const char *whole = endpoint ? NULL : variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    const char *base = endpoint ? endpoint : variable("OTEL_EXPORTER_OTLP_ENDPOINT");
    const char *off = variable("OTEL_SDK_DISABLED");
    const char *url = whole ? whole : base;
    if (!url || (off && strcasecmp(off, "true") == 0))
        return LF_OK;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return lf_fail(diag, LF_E_INVALID, "%s is no address of a collector (http://HOST:4318)",
                       url);
    size_t n = strlen(url);
    while (!whole && n > 0 && url[n - 1] == '/')
        n--;
    int long_ = snprintf(t->url, sizeof t->url, "%.*s%s", (int)n, url, whole ? "" : "/v1/traces");
    return long_ < (int)sizeof t->url
               ? LF_OK
               : lf_fail(diag, LF_E_INVALID, "a collector's address is over %zu bytes",
                         sizeof t->url - 1);
}

static enum lf_err find_delay(struct lf_tracer *t, struct lf_diag *diag)
{
    const char *text = variable("OTEL_BSP_SCHEDULE_DELAY");
    char *end = NULL;
    long ms = text ? strtol(text, &end, 10) : DELAY_MS;
    if (text && (*end || ms < 1 || ms > LF_TRACE_DELAY_MAX_MS))
        return lf_fail(diag, LF_E_INVALID, "OTEL_BSP_SCHEDULE_DELAY=%s is no number of ms", text);
    t->delay_ns = (uint64_t)ms * LF_NS_PER_MS;
    return LF_OK;
}

static enum lf_err find_rest(struct lf_tracer *t, const char *version, struct lf_diag *diag)
{
    const char *service = variable("OTEL_SERVICE_NAME");
    json_t *attributes = json_array();
    enum lf_err rc = each_pair("OTEL_RESOURCE_ATTRIBUTES", take_attribute, attributes, diag);
    lf_attribute_set(attributes, "service.name", "stringValue",
                     json_string(service ? service : "lorafs"));
    lf_attribute_set(attributes, "service.version", "stringValue", json_string(version));
    t->resource = json_pack("{s:o}", "attributes", attributes);
    t->scope = json_pack("{s:s, s:s}", "name", "lorafs", "version", version);
    t->headers = curl_slist_append(NULL, "Content-Type: application/json");
    rc = rc ?: each_pair("OTEL_EXPORTER_OTLP_HEADERS", take_header, t, diag);
    if (rc == LF_OK && (!t->resource || !t->scope || !t->headers))
        rc = lf_no_memory(diag, "the tracer");
    return rc ?: find_delay(t, diag);
}

/* ---- The thread ------------------------------------------------------------------------------ */

/* Until `until_ns`, or something has changed. Under the lock. */
static void wait_until(struct lf_tracer *t, uint64_t until_ns)
{
    struct timespec at = {.tv_sec = (time_t)(until_ns / LF_NS_PER_S),
                          .tv_nsec = (long)(until_ns % LF_NS_PER_S)};
    pthread_cond_timedwait(&t->changed, &t->lock, &at);
}

/* Waits for a batch, or for the first span's time; *n of them come out of the ring. False: it is
 * over, and nothing is left. */
static bool take_batch(struct lf_tracer *t, json_t **spans, size_t *n)
{
    lf_lock_auto held = lf_lock(&t->lock);
    uint64_t until = 0;
    *n = 0;
    while (!t->stop_ns && t->n < BATCH) {
        until = t->n && !until ? lf_clock_ns() + t->delay_ns : until;
        if (until && lf_clock_ns() >= until)
            break;
        wait_until(t, until ? until : lf_clock_ns() + LF_NS_PER_S * 3600ull);
    }
    *spans = json_array();
    for (; t->n > 0 && *n < BATCH; ++*n, t->n--) {
        json_array_append_new(*spans, t->ring[t->first]); /* that takes no NULL */
        t->first = (t->first + 1) % LF_TRACE_QUEUE_MAX;
    }
    return *n > 0 || !t->stop_ns;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct lf_tracer *t = arg;
    (void)a, (void)b, (void)c, (void)d;
    lf_lock_auto held = lf_lock(&t->lock);
    return t->stop_ns && lf_clock_ns() > t->stop_ns;
}

static size_t on_reply(char *data, size_t size, size_t n, void *arg)
{
    (void)data, (void)arg;
    return size * n;
}

/* The status that the collector answered, or 0 and why it did not. */
static long post(struct lf_tracer *t, CURL *curl, const struct lf_buf *body, const char **why)
{
    long status = 0;
    curl_easy_setopt(curl, CURLOPT_URL, t->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)POST_SECONDS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_reply);
    CURLcode code = curl_easy_perform(curl);
    *why = curl_easy_strerror(code);
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Those that OTLP says to come back after, and no answer at all. */
static bool is_passing(long status)
{
    return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

/* Sleeps unless it is to stop; false: there is no time left. */
static bool pause_for(struct lf_tracer *t, uint64_t ns)
{
    lf_lock_auto held = lf_lock(&t->lock);
    uint64_t until = lf_clock_ns() + ns;
    while (!t->stop_ns && lf_clock_ns() < until)
        wait_until(t, until);
    return !t->stop_ns;
}

/* Says it once when it begins to fail, and once when it does not any more. */
static void tell(struct lf_tracer *t, bool fails, long status, const char *why)
{
    if (fails && !t->failing && status)
        lf_log(LF_LOG_WARN, "trace", "%s answers %ld: spans are lost", t->url, status);
    else if (fails && !t->failing)
        lf_log(LF_LOG_WARN, "trace", "%s: %s: spans are lost", t->url, why);
    else if (!fails && t->failing)
        lf_log(LF_LOG_INFO, "trace", "%s takes spans again", t->url);
    t->failing = fails;
}

static bool send_body(struct lf_tracer *t, CURL *curl, const struct lf_buf *body)
{
    uint64_t pause_ns = LF_NS_PER_S;
    for (int i = 1;; i++, pause_ns *= 2) {
        const char *why;
        long status = post(t, curl, body, &why);
        bool taken = status >= 200 && status < 300;
        if (taken || i == TRIES || !is_passing(status) || !pause_for(t, pause_ns)) {
            tell(t, !taken, status, why);
            return taken;
        }
    }
}

/* {"resourceSpans": [...]}; takes spans. */
static enum lf_err write_body(const struct lf_tracer *t, json_t *spans, struct lf_buf *out)
{
    json_t *all = json_pack("{s:[{s:O, s:[{s:O, s:o}]}]}", "resourceSpans", "resource", t->resource,
                            "scopeSpans", "scope", t->scope, "spans", spans);
    lf_buf_init(out, LF_TRACE_BODY_MAX);
    return lf_json_put(out, all, JSON_COMPACT);
}

static void *tracer_main(void *arg)
{
    struct lf_tracer *t = arg;
    CURL *curl = curl_easy_init();
    json_t *spans;
    size_t n;
    while (take_batch(t, &spans, &n)) {
        lf_buf_auto body = {0};
        bool taken = write_body(t, spans, &body) == LF_OK && curl && send_body(t, curl, &body);
        lf_lock_auto held = lf_lock(&t->lock);
        *(taken ? &t->sent : &t->dropped) += n;
    }
    json_decref(spans);
    curl_easy_cleanup(curl);
    return NULL;
}

/* ---- For everybody --------------------------------------------------------------------------- */

static void tracer_free(struct lf_tracer *t)
{
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->changed);
    curl_slist_free_all(t->headers);
    json_decref(t->resource);
    json_decref(t->scope);
    free(t);
    curl_global_cleanup();
}

enum lf_err lf_tracer_start(struct lf_tracer **out, const char *endpoint, const char *version,
                            struct lf_diag *diag)
{
    pthread_condattr_t monotonic;
    struct lf_tracer *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t)
        return lf_no_memory(diag, "the tracer");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    enum lf_err rc = find_url(t, endpoint, diag);
    if (rc != LF_OK || !t->url[0]) {
        tracer_free(t);
        return rc;
    }
    rc = find_rest(t, version, diag);
    if (rc == LF_OK && pthread_create(&t->thread, NULL, tracer_main, t) != 0)
        rc = lf_fail(diag, LF_E_NO_MEMORY, "no thread for the tracer");
    if (rc == LF_OK)
        *out = t;
    else
        tracer_free(t);
    return rc;
}

void lf_tracer_end(struct lf_tracer *t, json_t *span)
{
    if (!span)
        return;
    lf_span_close(span);
    lf_lock_auto held = lf_lock(&t->lock);
    if (t->n == LF_TRACE_QUEUE_MAX) {
        t->dropped++;
        json_decref(span);
        return;
    }
    t->ring[(t->first + t->n++) % LF_TRACE_QUEUE_MAX] = span;
    if (t->n == 1 || t->n == BATCH)
        pthread_cond_signal(&t->changed);
}

void lf_tracer_counts(struct lf_tracer *t, uint64_t *sent, uint64_t *dropped)
{
    *sent = *dropped = 0;
    if (!t)
        return;
    lf_lock_auto held = lf_lock(&t->lock);
    *sent = t->sent;
    *dropped = t->dropped;
}

void lf_tracer_stop(struct lf_tracer *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stop_ns = lf_clock_ns() + STOP_NS;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    tracer_free(t);
}
