/* The daemon's HTTP client, for the mount and the command line: many calls at once, none of which
 * blocks.
 *
 * Everything happens on one thread, the one that drives it. lf_client_fd() is readable when there
 * is work, lf_client_run() does it; callbacks run inside lf_client_run() (on_data also inside
 * lf_client_resume()) and nowhere else. Connections are kept and used again; a daemon that was
 * restarted in between is reached again without a failed call.
 *
 * Knows curl. Knows neither FUSE nor what the bytes mean.
 */
#ifndef LF_CLIENT_HTTP_H
#define LF_CLIENT_HTTP_H

#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

struct lf_client;
struct lf_client_call;

/* How a call ended. */
struct lf_client_result {
    enum lf_err rc;   /* LF_OK: the status is 2xx or 304. Else what the daemon's error says, or
                         LF_E_UNREACHABLE, LF_E_IO (the connection broke), LF_E_TIMED_OUT */
    bool lost;        /* it is no word of the daemon's: the connection failed, or a gateway has no
                         daemon, and what has become of the call is not known */
    int status;       /* HTTP; 0 where there was no answer */
    const char *body; /* the collected answer, NUL-terminated; borrowed during the callback */
    size_t body_bytes;
    const char *etag;           /* of the file that was sent; NULL: none. Borrowed */
    uint64_t file_bytes;        /* of the file that a part was sent of; UINT64_MAX: not said */
    const struct lf_diag *diag; /* the reason when rc is not LF_OK; borrowed */
};

/* The end of a call, which is gone afterwards. May start and cancel other calls. */
typedef void (*lf_client_done_fn)(void *arg, const struct lf_client_result *r);

/* A piece of a 2xx answer. Must not start, cancel or resume calls. */
enum lf_client_flow {
    LF_CLIENT_TAKEN, /* go on */
    LF_CLIENT_PAUSE, /* the piece was not taken: it comes again after lf_client_resume */
    LF_CLIENT_ABORT  /* end the call with LF_E_NO_SPACE */
};
typedef enum lf_client_flow (*lf_client_data_fn)(void *arg, const void *data, size_t n);

struct lf_client_spec {
    const char *method;       /* "GET", "POST", "PUT", "DELETE" */
    const char *path;         /* from the root, with its query; nothing in it needs an escape */
    const char *content_type; /* of the body; NULL: application/octet-stream */
    const void *body;         /* body_bytes of it, copied; or */
    int body_fd;              /* where body is NULL and body_bytes > 0: sent from body_off on of
                                 this file, which stays open until the end */
    uint64_t body_off;
    uint64_t body_bytes;
    uint64_t range_off, range_bytes; /* Range; range_bytes 0: everything */
    const char *if_match;            /* only while the file has this ETag, else 412; NULL: any */
    size_t reply_max;                /* ceiling of the collected answer; LF_E_TOO_BIG past it */
    int timeout_s;                   /* of the whole call; 0: none */
    bool waits; /* for a daemon that is gone (lf_client_patience), and is made again there when it
                   was lost, if that does no harm: a GET, from where it broke off; a PUT; another
                   one that was not sent yet */
    bool once;  /* with `waits`: a PUT that must not be seen twice */
    /* The pieces of a file's body as they are given to the line; off: in the file. NULL: none */
    void (*on_body)(void *arg, const void *data, size_t n, uint64_t off);
    lf_client_data_fn on_data; /* NULL: the answer is collected for on_done */
    lf_client_done_fn on_done;
    void *arg;
};

/* target: "http://host:port", "host:port", "https://...", "unix:PATH" or a path with a '/' (made
 * absolute). api_key may be NULL. cacert: a file of certificates that an https daemon's must be
 * signed by; NULL: the system's. Yours, free with lf_client_free. */
enum lf_err lf_client_new(struct lf_client **out, const char *target, const char *api_key,
                          const char *cacert, struct lf_diag *diag) LF_MUST_CHECK;
/* Calls in flight are dropped without their callbacks. */
void lf_client_free(struct lf_client *h);

/* From now on the client looks after the daemon. Where nothing is heard of it for `silent` seconds,
 * though calls wait for it and it is asked whether it is there, or where no connection is made, it
 * is gone, until it answers again: it is looked for all the time. Calls that wait do so for `away`
 * seconds from when they lost it, then end; others that it keeps waiting end, and new ones fail, at
 * once (LF_E_TIMED_OUT where it is silent, else LF_E_UNREACHABLE). So who calls pays the time once,
 * however many calls it takes. After lf_client_new, and with 0 for `silent`, it is waited for for
 * ever where it is silent, and a call fails with its connection. */
void lf_client_patience(struct lf_client *h, int silent, int away);
bool lf_client_is_gone(const struct lf_client *h);
/* Seconds since which a daemon that is gone was heard of last. */
int64_t lf_client_gone_s(const struct lf_client *h);

/* On failure no callback comes. *out is the client's: valid until on_done or lf_client_cancel. */
enum lf_err lf_client_start(struct lf_client_call **out, struct lf_client *h,
                            const struct lf_client_spec *spec, struct lf_diag *diag) LF_MUST_CHECK;
/* Ends the call at once, closing its connection; no callback comes any more. Not inside on_data. */
void lf_client_cancel(struct lf_client_call *c);
/* After LF_CLIENT_PAUSE: on_data may be called before this returns. Not inside on_data. */
void lf_client_resume(struct lf_client_call *c);

/* Readable when lf_client_run has work. */
int lf_client_fd(const struct lf_client *h);
/* Milliseconds until lf_client_run must be called at the latest; -1: no limit. */
int lf_client_timeout_ms(const struct lf_client *h);
void lf_client_run(struct lf_client *h);

#endif
