/* The shares of the sockets, and the thread that accepts, and closes what keeps waiting. */
#include "daemon/http/connections.h"

#include "core/clock.h"
#include "core/lock.h"
#include "core/log.h"
#include "daemon/limits.h"

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS 250
#define REST_MS 50
#define FIRST_HEAD_SECONDS 10u /* of a new connection: else it is half open */
#define HEAD_SECONDS 60u       /* of a kept one: idle, or dripping */
#define HASTE 5u               /* where a socket has its share, a head has a fifth of its time */
#define OVER_SECONDS 1u        /* one that is to be turned away has to ask before it is */
#define BODY_SECONDS 60u
#define ANSWER_SECONDS 600u  /* a reader may be a pager */
#define BYTES_A_SECOND 1000u /* the least that a body or an answer may move, on average */
/* Descriptors: two of a connection (its socket, the file that it sends or takes), and what the
 * store, adapters being loaded and trainings have open. */
#define DESCRIPTORS_EACH 2u
#define DESCRIPTORS_KEPT 256u

struct lf_connection {
    LIST_ENTRY(lf_connection) link;
    struct lf_connections *of;
    enum lf_listener kind;
    int fd;
    bool over, first, late;
    enum lf_connection_phase phase;
    uint64_t since_ns; /* the phase's begin */
    uint64_t bytes;    /* moved in it */
};

struct listener {
    int fd; /* -1: there is none */
    lf_connections_take take;
    void *arg;
};

struct lf_connections {
    struct listener listener[LF_LISTENER_N];
    pthread_mutex_t take_lock; /* held while one is accepted and handed on; taken first */
    struct lf_connection_share share;
    pthread_t thread;
    bool started;
    int wake;             /* eventfd: a place is free, or the end */
    pthread_mutex_t lock; /* of all below, and of the connections */
    bool quiet, ending;
    LIST_HEAD(, lf_connection) all; /* the youngest first */
    struct lf_connections_status status;
};

/* ---- Shares ---------------------------------------------------------------------------------- */

struct lf_connection_share lf_connection_share_of(uint64_t descriptors)
{
    uint64_t kept = descriptors / 4 < DESCRIPTORS_KEPT ? descriptors / 4 : DESCRIPTORS_KEPT;
    uint64_t n = (descriptors - kept) / LF_LISTENER_N / DESCRIPTORS_EACH;
    uint64_t over = n / 4 < LF_CONNECTIONS_OVER_MAX ? n / 4 : LF_CONNECTIONS_OVER_MAX;
    uint64_t answered = n - over < LF_CONNECTIONS_MAX ? n - over : LF_CONNECTIONS_MAX;
    return (struct lf_connection_share){(int)answered, (int)over};
}

static uint64_t raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 0;
    rlim_t now = r.rlim_cur;
    r.rlim_cur = r.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &r) == 0 ? r.rlim_cur : now;
}

static int descriptors_open(void)
{
    int n = -1; /* the one that counts is open, too */
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *e;
    while (dir && (e = readdir(dir)))
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

/* ---- Those that keep waiting ------------------------------------------------------------------
 */

static uint64_t patience(uint64_t seconds, uint64_t bytes)
{
    return (seconds + bytes / BYTES_A_SECOND) * LF_NS_PER_S;
}

uint64_t lf_connection_patience_ns(enum lf_connection_phase phase, uint64_t bytes, bool first,
                                   bool crowded)
{
    switch (phase) {
    case LF_CONNECTION_HEAD:
        return patience((first ? FIRST_HEAD_SECONDS : HEAD_SECONDS) / (crowded ? HASTE : 1), 0);
    case LF_CONNECTION_BODY:
        return patience(BODY_SECONDS, bytes);
    case LF_CONNECTION_SENDS:
        return patience(ANSWER_SECONDS, bytes);
    case LF_CONNECTION_RUNS:
        break;
    }
    return UINT64_MAX;
}

static uint64_t patience_with(const struct lf_connection *c)
{
    bool crowded = c->of->status.open[c->kind] >= c->of->share.answered;
    return c->over ? patience(OVER_SECONDS, 0)
                   : lf_connection_patience_ns(c->phase, c->bytes, c->first, crowded);
}

/* Its thread, which waits for the socket, finds the end of it. */
static void close_late(struct lf_connections *s)
{
    uint64_t now = lf_clock_ns();
    struct lf_connection *c;
    LIST_FOREACH(c, &s->all, link)
    {
        if (c->late || now - c->since_ns < patience_with(c))
            continue;
        c->late = true;
        s->status.late++;
        shutdown(c->fd, SHUT_RDWR);
    }
}

/* ---- Accepting ------------------------------------------------------------------------------- */

static bool has_room(struct lf_connections *s, enum lf_listener kind)
{
    return !s->quiet && s->listener[kind].fd >= 0 &&
           s->status.open[kind] < s->share.answered + s->share.turned_away;
}

/* False: no more are to be had now. */
static bool accept_one(struct lf_connections *s, enum lf_listener kind)
{
    const struct listener *l = &s->listener[kind];
    lf_lock_auto taking = lf_lock(&s->take_lock);
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return errno == EINTR || errno == ECONNABORTED;
    struct lf_connection *c = lf_connection_new(s, kind, fd);
    if (!c)
        close(fd);
    else if (!l->take(l->arg, fd))
        lf_connection_free(c);
    return true;
}

/* What there is for the thread to look at: the wake, and listeners that have room. Returns whether
 * it goes on. */
static bool look_where(struct lf_connections *s, struct pollfd p[1 + LF_LISTENER_N])
{
    lf_lock_auto held = lf_lock(&s->lock);
    close_late(s);
    p[0] = (struct pollfd){s->wake, POLLIN, 0};
    for (int i = 0; i < LF_LISTENER_N; i++)
        p[1 + i] = (struct pollfd){has_room(s, i) ? s->listener[i].fd : -1, POLLIN, 0};
    return !s->ending;
}

static void *run(void *arg)
{
    struct lf_connections *s = arg;
    struct pollfd p[1 + LF_LISTENER_N];
    eventfd_t count;
    while (look_where(s, p)) {
        if (poll(p, 1 + LF_LISTENER_N, LOOK_MS) <= 0)
            continue;
        if (p[0].revents)
            eventfd_read(s->wake, &count);
        bool came = false;
        for (int i = 0; i < LF_LISTENER_N; i++)
            came |= p[1 + i].revents && accept_one(s, i);
        if (!came && !p[0].revents)
            poll(NULL, 0, REST_MS); /* no descriptor, no memory: no turning in circles */
    }
    return NULL;
}

/* ---- Life ------------------------------------------------------------------------------------ */

enum lf_err lf_connections_new(struct lf_connections **out, struct lf_diag *diag)
{
    struct lf_connections *s = calloc(1, sizeof *s);
    if (!s)
        return lf_no_memory(diag, "the HTTP server");
    s->status.descriptors_max = raise_descriptors();
    s->share = lf_connection_share_of(s->status.descriptors_max);
    for (int i = 0; i < LF_LISTENER_N; i++)
        s->listener[i].fd = -1;
    LIST_INIT(&s->all);
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->take_lock, NULL);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum lf_err rc = LF_OK;
    if (s->wake < 0)
        rc = lf_fail_errno(diag, errno, "the HTTP server");
    else if (s->share.answered < LF_CONNECTIONS_MIN)
        rc = lf_fail(diag, LF_E_INVALID, "too few descriptors may be open (ulimit -n)");
    if (rc == LF_OK)
        *out = s;
    else
        lf_connections_free(s);
    return rc;
}

void lf_connections_listen(struct lf_connections *s, enum lf_listener kind, int fd,
                           lf_connections_take take, void *arg)
{
    s->listener[kind] = (struct listener){fd, take, arg};
}

void lf_connections_retake(struct lf_connections *s, enum lf_listener kind, void *arg)
{
    lf_lock_auto taking = lf_lock(&s->take_lock); /* the one before has all that are its */
    s->listener[kind].arg = arg;
}

enum lf_err lf_connections_start(struct lf_connections *s, struct lf_diag *diag)
{
    int bad = pthread_create(&s->thread, NULL, run, s);
    s->started = bad == 0;
    return bad ? lf_fail_errno(diag, bad, "a thread of the HTTP server") : LF_OK;
}

void lf_connections_quiesce(struct lf_connections *s)
{
    lf_lock_auto held = lf_lock(&s->lock);
    s->quiet = true;
    eventfd_write(s->wake, 1);
}

void lf_connections_free(struct lf_connections *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    if (s->wake >= 0)
        eventfd_write(s->wake, 1);
    pthread_mutex_unlock(&s->lock);
    if (s->started)
        pthread_join(s->thread, NULL);
    while (!LIST_EMPTY(&s->all)) /* whose server gave up before it began */
        lf_connection_free(LIST_FIRST(&s->all));
    if (s->wake >= 0)
        close(s->wake);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->take_lock);
    free(s);
}

struct lf_connection_share lf_connections_share(const struct lf_connections *s)
{
    return s->share;
}

/* ---- One ------------------------------------------------------------------------------------- */

static struct lf_connection *find(const struct lf_connections *s, int fd)
{
    struct lf_connection *c;
    LIST_FOREACH(c, &s->all, link)
    if (c->fd == fd)
        return c;
    return NULL;
}

static void forget(struct lf_connection *c)
{
    struct lf_connections *s = c->of;
    if (!has_room(s, c->kind))
        eventfd_write(s->wake, 1);
    LIST_REMOVE(c, link);
    s->status.open[c->kind]--;
    free(c);
}

struct lf_connection *lf_connection_new(struct lf_connections *s, enum lf_listener kind, int fd)
{
    struct lf_connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    *c = (struct lf_connection){
        .of = s, .kind = kind, .fd = fd, .first = true, .since_ns = lf_clock_ns()};
    lf_lock_auto held = lf_lock(&s->lock);
    struct lf_connection *before = fd >= 0 ? find(s, fd) : NULL;
    if (before) /* closed by a server that had no memory to say so */
        forget(before);
    c->over = s->status.open[kind]++ >= s->share.answered;
    s->status.turned_away += c->over;
    LIST_INSERT_HEAD(&s->all, c, link);
    return c;
}

void lf_connection_free(struct lf_connection *c)
{
    if (!c)
        return;
    lf_lock_auto held = lf_lock(&c->of->lock);
    forget(c);
}

struct lf_connection *lf_connection_of(struct lf_connections *s, int fd)
{
    lf_lock_auto held = lf_lock(&s->lock);
    return find(s, fd);
}

enum lf_listener lf_connection_listener(const struct lf_connection *c)
{
    return c->kind;
}

bool lf_connection_is_over(const struct lf_connection *c)
{
    return c->over;
}

void lf_connection_enter(struct lf_connection *c, enum lf_connection_phase phase)
{
    lf_lock_auto held = lf_lock(&c->of->lock);
    c->first = c->first && phase == LF_CONNECTION_HEAD;
    c->phase = phase;
    c->since_ns = lf_clock_ns();
    c->bytes = 0;
}

void lf_connection_moved(struct lf_connection *c, size_t n)
{
    lf_lock_auto held = lf_lock(&c->of->lock);
    c->bytes += n;
}

void lf_connections_status(struct lf_connections *s, struct lf_connections_status *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->status;
    pthread_mutex_unlock(&s->lock);
    out->descriptors = descriptors_open();
}
