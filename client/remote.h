/* Calls of the daemon's HTTP API (docs/http.md), one at a time, each waited for; client/http.h
 * underneath. One thread. */
#ifndef LF_CLIENT_REMOTE_H
#define LF_CLIENT_REMOTE_H

#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>

/* Zero-initialised: the default socket (client/paths.h), the key of LORAFS_API_KEY if there is
 * one. */
struct lf_remote_options {
    const char *url;      /* "http://host:port", or the path of a unix socket */
    const char *key_file; /* its first line is the API key */
    const char *cacert;   /* certificates that an https daemon's must be signed by */
};

/* Rows for a command's option table; o is its struct lf_remote_options. */
/* clang-format off */
#define LF_REMOTE_OPTIONS(o)                                                                       \
    {"url", 'u', LF_OPT_STR, "URL", &(o).url,                                                      \
     "the daemon: http(s)://host:port, or the path of its unix socket; otherwise the socket in "   \
     "the default data directory"},                                                                \
    {"api-key-file", 0, LF_OPT_STR, "FILE", &(o).key_file,                                         \
     "file whose first line is the API key; otherwise LORAFS_API_KEY"},                            \
    {"cacert", 0, LF_OPT_STR, "FILE", &(o).cacert,                                                 \
     "certificates that an https daemon's must be signed by; otherwise the system's"}
/* clang-format on */

/* The API key that the options name: the file's first line, else LORAFS_API_KEY's; `out` stays
 * empty where there is none. */
enum lf_err lf_remote_key(struct lf_buf *out, const struct lf_remote_options *o,
                          struct lf_diag *diag) LF_MUST_CHECK;

struct lf_remote;

/* Yours, free with lf_remote_free. Does not connect yet. */
enum lf_err lf_remote_new(struct lf_remote **out, const struct lf_remote_options *o,
                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_remote_free(struct lf_remote *c);

/* Calls end with LF_E_CANCELLED once *flag is set (by a handler of a signal, which ends the wait);
 * NULL: they do not. */
void lf_remote_stop_on(struct lf_remote *c, const volatile sig_atomic_t *flag);
/* method path, with a JSON body (NULL: none), to a JSON answer (*out NULL when it is empty; yours,
 * json_decref). Errors are the daemon's own; LF_E_UNREACHABLE when there is none. */
enum lf_err lf_remote_json(struct lf_remote *c, json_t **out, const char *method, const char *path,
                           const json_t *body, struct lf_diag *diag) LF_MUST_CHECK;
/* PUT path with the bytes of a local file, to a JSON answer as above. */
enum lf_err lf_remote_upload(struct lf_remote *c, json_t **out, const char *path, const char *file,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* The bytes of a GET, as they come. */
enum lf_err lf_remote_stream(struct lf_remote *c, const char *path, FILE *to,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* POST path with a body (n bytes): `take` gets the answer's bytes as they come. */
typedef void (*lf_remote_take_fn)(void *arg, const char *data, size_t n);
enum lf_err lf_remote_post(struct lf_remote *c, const char *path, const char *content_type,
                           const void *body, size_t n, lf_remote_take_fn take, void *arg,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* An adapter's progress until it is trained and scored: a line drawn over and over where `to` is a
 * terminal, lines else. That it failed is not said by the code but by the last line. */
enum lf_err lf_remote_follow(struct lf_remote *c, const char *name, FILE *to,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* "/v1/adapters/NAME" + rest. LF_E_INVALID for what cannot be a name. */
enum lf_err lf_remote_path(char out[LF_PATH_MAX], const char *name, const char *rest,
                           struct lf_diag *diag) LF_MUST_CHECK;

#endif
