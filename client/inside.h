/* The HTTP client from inside: calls as curl's transfers (call.c), whether the daemon is there
 * (alive.c), and what others see of both (http.c). Each knows those before it. */
#ifndef LF_CLIENT_INSIDE_H
#define LF_CLIENT_INSIDE_H

#include "client/http.h"
#include "client/limits.h"
#include "core/buf.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <sys/queue.h>

struct lf_client_call {
    LIST_ENTRY(lf_client_call) link; /* among the client's calls, or those that wait */
    struct lf_client *client;
    CURL *easy;
    struct curl_slist *headers;
    struct lf_client_spec spec; /* its text is the caller's, and gone once the call has started */
    uint64_t body_off;
    struct lf_buf reply; /* collected; or the error's JSON of a call with on_data */
    enum lf_err failed;  /* why a callback of ours ended the transfer, or LF_OK */
    /* Where it is begun again after a loss */
    uint64_t got;                /* bytes that on_data has taken */
    char etag[LF_HTTP_ETAG_MAX]; /* of these */
    bool in_part;                /* the answer has to begin where it was asked to */
    uint64_t lost_ns; /* when it was lost first, and nothing has come since; 0: it was not */
};

LIST_HEAD(lf_client_calls, lf_client_call);

enum lf_client_state {
    LF_CLIENT_HERE,
    LF_CLIENT_SILENT, /* connections are made, or stay, and nothing is heard */
    LF_CLIENT_AWAY    /* no connection is made, or what answers is a gateway without a daemon */
};

struct lf_client {
    CURLM *multi;
    int epoll;
    uint64_t timer_ns;            /* when curl wants to be called; UINT64_MAX: never */
    char *root;                   /* "http://host:port", without a '/' at its end */
    char *socket;                 /* path of the unix socket, or NULL */
    char *authorization;          /* header line, or NULL */
    char *cacert;                 /* absolute path, or NULL */
    struct lf_client_calls calls; /* under way */
    /* Whether the daemon is there */
    int patience_s; /* 0: it is waited for for ever, and nothing here is done */
    int wait_s;
    enum lf_client_state state;
    uint64_t heard_ns; /* of it, or that nothing was waited for */
    uint64_t pulse_ns; /* when to look again; UINT64_MAX: when there is a call */
    uint64_t gone_ns;  /* not HERE: since when */
    uint64_t back_ns;  /* when it was found again last */
    unsigned tries;    /* to find it again */
    struct lf_client_call *probe;
    struct lf_client_calls waiting; /* until it is back; no transfers meanwhile */
};

/* ---- Calls ----------------------------------------------------------------------------------- */

/* What carries the client's transfers, without any. */
enum lf_err lf_call_carrier(struct lf_client *h, struct lf_diag *diag) LF_MUST_CHECK;
/* A call that is not under way: in no list. Yours, free with lf_call_free. */
enum lf_err lf_call_new(struct lf_client_call **out, struct lf_client *h,
                        const struct lf_client_spec *spec, struct lf_diag *diag) LF_MUST_CHECK;
void lf_call_free(struct lf_client_call *c);
/* Begins it, or begins it again: with the first byte that is not here yet, of the same file. From
 * then on it is among the client's calls. */
enum lf_err lf_call_go(struct lf_client_call *c) LF_MUST_CHECK;
/* It is in no list any more, and its connection is closed unless it has ended. */
void lf_call_stop(struct lf_client_call *c);
/* How it ended, by curl's word; `r` borrows of the call and of `diag`. */
void lf_call_result(struct lf_client_result *r, struct lf_client_call *c, CURLcode code,
                    struct lf_diag *diag);
/* Whether a call that was lost may be made again: the daemon has not seen it, or seeing it twice
 * does what seeing it once does. */
bool lf_call_repeats(const struct lf_client_call *c, bool seen);
/* Whether a transfer that ended so may have been seen by the daemon. */
bool lf_call_was_seen(const struct lf_client_call *c, CURLcode code);

/* ---- Whether the daemon is there ------------------------------------------------------------- */

/* A call is about to start. LF_OK: *waits says whether it has to wait for the daemon. */
enum lf_err lf_alive_start(struct lf_client *h, const struct lf_client_spec *spec, bool *waits,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Takes a call that is in no list among those that wait. */
void lf_alive_wait(struct lf_client_call *c);
/* The daemon has spoken. */
void lf_alive_heard(struct lf_client *h);
/* A call, in no list, was lost. True: it waits now, and has not ended. */
bool lf_alive_lost(struct lf_client_call *c, bool seen, const struct lf_diag *why);
/* Looks again; when pulse_ns says so. */
void lf_alive_pulse(struct lf_client *h);

#endif
