/* Calls of the daemon's HTTP API, each waited for. */
#include "client/remote.h"

#include "core/file.h"
#include "core/json.h"
#include "client/http.h"
#include "client/paths.h"
#include "core/limits.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STOP_LOOK_MS 200

struct lf_remote {
    struct lf_client *http;
    const volatile sig_atomic_t *stop;
    char target[LF_PATH_MAX];
};

/* A call on its way; the callbacks fill it. */
struct wait {
    enum lf_err rc;
    struct lf_diag diag;
    struct lf_buf body;
    FILE *to;
    int bad;                /* the errno with which nothing more went into it */
    lf_remote_take_fn take; /* instead of `to` */
    void *take_arg;
    bool done;
};

enum lf_err lf_remote_key(struct lf_buf *out, const struct lf_remote_options *o,
                          struct lf_diag *diag)
{
    const char *env = getenv("LORAFS_API_KEY");
    if (!o->key_file)
        return env ? lf_buf_puts(out, env) : LF_OK;
    return lf_file_first_line(out, o->key_file, LF_KEY_FILE_MAX, diag);
}

enum lf_err lf_remote_new(struct lf_remote **out, const struct lf_remote_options *o,
                          struct lf_diag *diag)
{
    char socket[LF_PATH_MAX];
    struct lf_buf key = {.max = LF_KEY_FILE_MAX};
    lf_path_socket(socket);
    struct lf_remote *c = calloc(1, sizeof *c);
    enum lf_err rc = c ? LF_OK : lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    rc = rc ?: lf_remote_key(&key, o, diag);
    if (c)
        snprintf(c->target, sizeof c->target, "%s", o->url ? o->url : socket);
    rc = rc ?: lf_client_new(&c->http, o->url ? o->url : socket, key.data, o->cacert, diag);
    lf_buf_free(&key);
    if (rc == LF_OK)
        *out = c;
    else
        free(c);
    return rc;
}

void lf_remote_stop_on(struct lf_remote *c, const volatile sig_atomic_t *flag)
{
    c->stop = flag;
}

void lf_remote_free(struct lf_remote *c)
{
    if (c)
        lf_client_free(c->http);
    free(c);
}

static enum lf_client_flow on_data(void *arg, const void *data, size_t n)
{
    struct wait *w = arg;
    if (w->take) {
        w->take(w->take_arg, data, n);
        return LF_CLIENT_TAKEN;
    }
    errno = 0;
    if (fwrite(data, 1, n, w->to) == n && fflush(w->to) == 0)
        return LF_CLIENT_TAKEN;
    w->bad = errno ? errno : EIO;
    return LF_CLIENT_ABORT;
}

static void on_done(void *arg, const struct lf_client_result *r)
{
    struct wait *w = arg;
    w->rc = r->rc;
    if (r->rc != LF_OK)
        w->diag = *r->diag;
    else if (r->body_bytes)
        w->rc = lf_buf_append(&w->body, r->body, r->body_bytes);
    w->done = true;
}

/* A signal between the look at its flag and poll is seen a little later. */
static int wait_ms(const struct lf_remote *c)
{
    int ms = lf_client_timeout_ms(c->http);
    return c->stop && (ms < 0 || ms > STOP_LOOK_MS) ? STOP_LOOK_MS : ms;
}

static enum lf_err call(struct lf_remote *c, struct wait *w, const struct lf_client_spec *spec,
                        struct lf_diag *diag)
{
    struct lf_client_call *running = NULL;
    enum lf_err rc = lf_client_start(&running, c->http, spec, diag);
    if (rc != LF_OK)
        return rc;
    while (!w->done) {
        struct pollfd p = {.fd = lf_client_fd(c->http), .events = POLLIN};
        if (c->stop && *c->stop) {
            lf_client_cancel(running);
            return lf_fail(diag, LF_E_CANCELLED, "interrupted");
        }
        poll(&p, 1, wait_ms(c));
        lf_client_run(c->http);
    }
    if (w->rc == LF_E_UNREACHABLE)
        return lf_fail(diag, w->rc,
                       "no daemon answers at %.200s (%.80s): `lorafs serve --base DIR` starts one, "
                       "--url or LORAFS_URL names another",
                       c->target, w->diag.text);
    if (w->rc != LF_OK && diag)
        *diag = w->diag;
    return w->rc;
}

/* The call, and what its answer says as JSON. */
static enum lf_err call_json(struct lf_remote *c, json_t **out, struct lf_client_spec *spec,
                             struct lf_diag *diag)
{
    struct wait w = {0};
    lf_buf_init(&w.body, LF_JSON_BYTES_MAX);
    spec->reply_max = LF_JSON_BYTES_MAX;
    spec->on_done = on_done;
    spec->arg = &w;
    enum lf_err rc = call(c, &w, spec, diag);
    json_t *answer = NULL;
    if (rc == LF_OK && w.body.len > 0)
        rc = lf_json_parse(&answer, w.body.data, w.body.len, diag);
    if (rc == LF_OK)
        *out = answer;
    lf_buf_free(&w.body);
    return rc;
}

enum lf_err lf_remote_json(struct lf_remote *c, json_t **out, const char *method, const char *path,
                           const json_t *body, struct lf_diag *diag)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (body && !text)
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    struct lf_client_spec spec = {
        .method = method,
        .path = path,
        .content_type = "application/json",
        .body = text,
        .body_bytes = text ? strlen(text) : 0,
        .body_fd = -1,
    };
    enum lf_err rc = call_json(c, out, &spec, diag);
    free(text);
    return rc;
}

/* A pipe's bytes, and those of a file that is made as it is read, have a size when they are kept in
 * a file that is gone when it is closed. 0: *fd is that one now; else an errno. */
static int keep(int *fd)
{
    char piece[1 << 16];
    ssize_t n;
    FILE *kept = tmpfile();
    while (kept && (n = read(*fd, piece, sizeof piece)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || fwrite(piece, 1, (size_t)n, kept) != (size_t)n)
            break;
    }
    int bad = !kept ? errno : n == 0 && fflush(kept) == 0 ? 0 : errno;
    int own = bad == 0 ? fcntl(fileno(kept), F_DUPFD_CLOEXEC, 3) : -1;
    if (bad == 0 && own < 0)
        bad = errno;
    if (kept)
        fclose(kept);
    if (bad == 0) {
        close(*fd);
        *fd = own;
    }
    return bad;
}

enum lf_err lf_remote_upload(struct lf_remote *c, json_t **out, const char *path, const char *file,
                             struct lf_diag *diag)
{
    struct stat st = {.st_size = 0};
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    int bad = fd < 0 || fstat(fd, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
    if (bad == 0 && (!S_ISREG(st.st_mode) || st.st_size == 0)) {
        bad = keep(&fd);
        bad = bad ? bad : fstat(fd, &st) != 0 ? errno : 0;
    }
    struct lf_client_spec spec = {
        .method = "PUT", .path = path, .body_fd = fd, .body_bytes = (uint64_t)st.st_size};
    enum lf_err rc = bad ? lf_fail_errno(diag, bad, "%s", file) : call_json(c, out, &spec, diag);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The call, its answer given on piece by piece. */
static enum lf_err call_stream(struct lf_remote *c, struct wait *w, struct lf_client_spec *spec,
                               struct lf_diag *diag)
{
    lf_buf_init(&w->body, 0);
    spec->body_fd = -1;
    spec->reply_max = LF_HTTP_BODY_MAX;
    spec->on_data = on_data;
    spec->on_done = on_done;
    spec->arg = w;
    enum lf_err rc = call(c, w, spec, diag);
    lf_buf_free(&w->body);
    return rc;
}

enum lf_err lf_remote_stream(struct lf_remote *c, const char *path, FILE *to, struct lf_diag *diag)
{
    struct wait w = {.to = to};
    struct lf_client_spec spec = {.method = "GET", .path = path};
    enum lf_err rc = call_stream(c, &w, &spec, diag);
    return w.bad ? lf_fail_errno(diag, w.bad, "writing the answer") : rc;
}

enum lf_err lf_remote_post(struct lf_remote *c, const char *path, const char *content_type,
                           const void *body, size_t n, lf_remote_take_fn take, void *arg,
                           struct lf_diag *diag)
{
    struct wait w = {.take = take, .take_arg = arg};
    struct lf_client_spec spec = {.method = "POST",
                                  .path = path,
                                  .content_type = content_type,
                                  .body = body,
                                  .body_bytes = n};
    return call_stream(c, &w, &spec, diag);
}

enum lf_err lf_remote_follow(struct lf_remote *c, const char *name, FILE *to, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    const char *rest =
        isatty(fileno(to)) ? "/files/progress?follow=1&redraw=1" : "/files/progress?follow=1";
    enum lf_err rc = lf_remote_path(path, name, rest, diag);
    rc = rc ?: lf_remote_stream(c, path, to, diag);
    return rc == LF_E_IO ? LF_OK : rc; /* cut off: it failed, as its last line says */
}

enum lf_err lf_remote_path(char out[LF_PATH_MAX], const char *name, const char *rest,
                           struct lf_diag *diag)
{
    if (!lf_name_ok(name))
        return lf_fail(diag, LF_E_INVALID, "'%.80s' is not a name of an adapter", name);
    snprintf(out, LF_PATH_MAX, "/v1/adapters/%s%s", name, rest);
    return LF_OK;
}
