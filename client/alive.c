/* Whether the daemon is there, and the calls that wait for it while it is not. */
#include "client/inside.h"

#include "core/clock.h"
#include "core/log.h"

#define PULSES 3              /* looks at a quiet daemon within the patience with it */
#define PROBE_SECONDS 10      /* then another one is sent: the line may have been cut */
#define RETRY_FIRST_MS 100ull /* after the first look that finds nobody; then twice as */
#define RETRY_DOUBLINGS 3     /* long, up to 0.8 s */

static uint64_t seconds(int n)
{
    return (uint64_t)n * LF_NS_PER_S;
}

/* What a call fails with that finds nobody. */
static enum lf_err gone(const struct lf_client *h, struct lf_diag *diag)
{
    long long s = (long long)lf_client_gone_s(h);
    return h->state == LF_CLIENT_SILENT
               ? lf_fail(diag, LF_E_TIMED_OUT, "the daemon: nothing heard for %lld s", s)
               : lf_fail(diag, LF_E_UNREACHABLE, "the daemon: not to be reached for %lld s", s);
}

/* Ends a call, in no list, that has waited in vain. */
static void fail(struct lf_client_call *c)
{
    struct lf_diag diag = {""};
    struct lf_client_result r = {.body = "", .diag = &diag, .lost = true};
    r.rc = gone(c->client, &diag);
    c->spec.on_done(c->spec.arg, &r);
    lf_call_free(c);
}

/* ---- Those that wait ------------------------------------------------------------------------- */

static bool may_wait(const struct lf_client *h, const struct lf_client_call *c)
{
    return c->spec.waits && h->wait_s > 0 &&
           (c->lost_ns == 0 || lf_clock_ns() - c->lost_ns < seconds(h->wait_s));
}

void lf_alive_wait(struct lf_client_call *c)
{
    if (c->lost_ns == 0)
        c->lost_ns = lf_clock_ns();
    LIST_INSERT_HEAD(&c->client->waiting, c, link);
}

/* Those that have waited for as long as they may. */
static void end_overdue(struct lf_client *h)
{
    struct lf_client_call *c, *next;
    struct lf_client_calls over;
    LIST_INIT(&over); /* one that ends may cancel others, also of these */
    for (c = LIST_FIRST(&h->waiting); c; c = next) {
        next = LIST_NEXT(c, link);
        if (may_wait(h, c))
            continue;
        LIST_REMOVE(c, link);
        LIST_INSERT_HEAD(&over, c, link);
    }
    while ((c = LIST_FIRST(&over))) {
        LIST_REMOVE(c, link);
        fail(c);
    }
}

static void go_on(struct lf_client *h)
{
    struct lf_client_call *c;
    while (h->state == LF_CLIENT_HERE && (c = LIST_FIRST(&h->waiting))) {
        LIST_REMOVE(c, link);
        if (lf_call_go(c) != LF_OK)
            fail(c);
    }
}

/* Until the next look for a daemon that is gone; not the same for all who have lost it at once. */
static uint64_t retry_period(const struct lf_client *h)
{
    unsigned doublings = h->tries < RETRY_DOUBLINGS ? h->tries : RETRY_DOUBLINGS;
    uint64_t ns = (RETRY_FIRST_MS << doublings) * LF_NS_PER_MS;
    return ns + ns / 4 * (lf_clock_ns() % 1024) / 1024;
}

/* ---- Here, silent, away ---------------------------------------------------------------------- */

static void go_away(struct lf_client *h, enum lf_client_state how, uint64_t since_ns)
{
    uint64_t now = lf_clock_ns();
    h->state = how;
    h->gone_ns = since_ns;
    if (now - h->back_ns > LF_NS_PER_S)
        h->tries = 0;
    h->pulse_ns = h->tries == 0 ? now /* most cuts are over at once */ : now + retry_period(h);
}

void lf_alive_heard(struct lf_client *h)
{
    h->heard_ns = lf_clock_ns();
    if (h->state == LF_CLIENT_HERE)
        return;
    lf_log(LF_LOG_INFO, "client", "the daemon answers again");
    h->state = LF_CLIENT_HERE;
    h->back_ns = h->heard_ns;
    go_on(h);
}

bool lf_alive_lost(struct lf_client_call *c, bool seen, const struct lf_diag *why)
{
    struct lf_client *h = c->client;
    if (h->patience_s == 0)
        return false;
    if (h->state == LF_CLIENT_HERE) {
        lf_log(LF_LOG_WARN, "client", "%s", why->text);
        go_away(h, LF_CLIENT_AWAY, lf_clock_ns());
    }
    if (!may_wait(h, c) || !lf_call_repeats(c, seen))
        return false;
    lf_alive_wait(c);
    return true;
}

/* That it is there, or that its socket is closed, which those who call are told. */
static void probe_done(void *arg, const struct lf_client_result *r)
{
    struct lf_client *h = arg;
    h->probe = NULL;
    h->tries++;
    if (h->state == LF_CLIENT_SILENT && r->lost && r->rc != LF_E_TIMED_OUT) {
        lf_log(LF_LOG_INFO, "client", "the daemon has ended");
        h->state = LF_CLIENT_AWAY;
    }
}

static void probe(struct lf_client *h)
{
    const struct lf_client_spec spec = {.method = "GET",
                                        .path = "/health",
                                        .reply_max = LF_HTTP_ERROR_BODY_MAX,
                                        .timeout_s = PROBE_SECONDS,
                                        .on_done = probe_done,
                                        .arg = h};
    if (h->probe || lf_call_new(&h->probe, h, &spec, NULL) != LF_OK)
        return;
    if (lf_call_go(h->probe) != LF_OK) {
        lf_call_free(h->probe);
        h->probe = NULL;
    }
}

/* A call under way, other than the probe; NULL: there is none. */
static struct lf_client_call *under_way(const struct lf_client *h)
{
    struct lf_client_call *c = LIST_FIRST(&h->calls);
    return c && c == h->probe ? LIST_NEXT(c, link) : c;
}

/* Connections on which nothing comes are of no use, also those that no call has now: the way to the
 * daemon may have forgotten them. */
static void fall_silent(struct lf_client *h)
{
    struct lf_client_call *c;
    struct lf_diag diag;
    go_away(h, LF_CLIENT_SILENT, h->heard_ns);
    (void)!gone(h, &diag);
    lf_log(LF_LOG_WARN, "client", "%s", diag.text);
    while ((c = under_way(h))) {
        lf_call_stop(c);
        if (may_wait(h, c) && lf_call_repeats(c, true))
            lf_alive_wait(c);
        else
            fail(c);
    }
    if (h->probe) {
        lf_call_stop(h->probe);
        lf_call_free(h->probe);
        h->probe = NULL;
    }
    (void)!lf_call_carrier(h, NULL); /* without memory the old one stays */
}

static uint64_t pulse_period(const struct lf_client *h)
{
    return seconds(h->patience_s) / PULSES;
}

void lf_alive_pulse(struct lf_client *h)
{
    uint64_t now = lf_clock_ns();
    h->pulse_ns = UINT64_MAX;
    end_overdue(h);
    if (h->state == LF_CLIENT_HERE && !under_way(h))
        return;
    if (h->state == LF_CLIENT_HERE && now - h->heard_ns >= seconds(h->patience_s))
        fall_silent(h);
    if (h->state != LF_CLIENT_HERE || now - h->heard_ns >= pulse_period(h))
        probe(h);
    h->pulse_ns = now + (h->state == LF_CLIENT_HERE ? pulse_period(h) : retry_period(h));
}

/* ---- What others see ------------------------------------------------------------------------- */

enum lf_err lf_alive_start(struct lf_client *h, const struct lf_client_spec *spec, bool *waits,
                           struct lf_diag *diag)
{
    if (h->state != LF_CLIENT_HERE) {
        *waits = spec->waits && h->wait_s > 0;
        return *waits ? LF_OK : gone(h, diag);
    }
    if (h->patience_s > 0 && h->pulse_ns == UINT64_MAX) {
        h->heard_ns = lf_clock_ns(); /* nothing was waited for until now */
        h->pulse_ns = h->heard_ns + pulse_period(h);
    }
    *waits = false;
    return LF_OK;
}

void lf_client_patience(struct lf_client *h, int seconds_silent, int seconds_away)
{
    h->patience_s = seconds_silent;
    h->wait_s = seconds_away;
}

bool lf_client_is_gone(const struct lf_client *h)
{
    return h->state != LF_CLIENT_HERE;
}

int64_t lf_client_gone_s(const struct lf_client *h)
{
    return h->state == LF_CLIENT_HERE ? 0 : (int64_t)((lf_clock_ns() - h->gone_ns) / LF_NS_PER_S);
}
