/* Connections: they are accepted here, as many as each socket may have, and closed here where their
 * client keeps the daemon waiting.
 *
 * The unix socket and TCP have a share each, out of the descriptors that the process may open, so
 * that a crowd on one never shuts out the other: the mount is always answered. Over its share a
 * socket takes a few more, which are told to come back later (503); others wait to be accepted
 * until those are gone. One thread accepts, and closes half-open ones, those whose head or body
 * drips in and those whose answer is not read. All functions may be called from any thread.
 */
#ifndef LF_DAEMON_HTTP_CONNECTIONS_H
#define LF_DAEMON_HTTP_CONNECTIONS_H

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lf_connection;
struct lf_connections;

enum lf_listener { LF_LISTENER_TCP, LF_LISTENER_UNIX, LF_LISTENER_N };

/* What a connection waits for. */
enum lf_connection_phase {
    LF_CONNECTION_HEAD, /* the client: the first bytes of its next request, or the rest of a head */
    LF_CONNECTION_BODY, /* the client: more of the body */
    LF_CONNECTION_RUNS, /* us */
    LF_CONNECTION_SENDS /* the client: it takes its answer */
};

/* Takes a socket that was accepted, and closes it some time, after lf_connection_free. False: it
 * has been closed. */
typedef bool (*lf_connections_take)(void *arg, int fd);

/* Raises the process' limit of open descriptors as far as it may be, and shares them out. Yours,
 * lf_connections_free. */
enum lf_err lf_connections_new(struct lf_connections **out, struct lf_diag *diag) LF_MUST_CHECK;
/* A listening socket, which is borrowed; before lf_connections_start, one of each kind. */
void lf_connections_listen(struct lf_connections *s, enum lf_listener kind, int fd,
                           lf_connections_take take, void *arg);
/* From now on they go to another `arg`. */
void lf_connections_retake(struct lf_connections *s, enum lf_listener kind, void *arg);
enum lf_err lf_connections_start(struct lf_connections *s, struct lf_diag *diag) LF_MUST_CHECK;
/* No new connections from now on; those that are open go on. */
void lf_connections_quiesce(struct lf_connections *s);
/* When all connections are closed. NULL: nothing. */
void lf_connections_free(struct lf_connections *s);

/* Of each socket: what is answered, and on top of that what is told to come back. */
struct lf_connection_share {
    int answered, turned_away;
};
/* Out of `descriptors` that the process may open. */
struct lf_connection_share lf_connection_share_of(uint64_t descriptors);
struct lf_connection_share lf_connections_share(const struct lf_connections *s);

/* Of a socket that was just accepted: fd is borrowed until lf_connection_free. NULL: memory is
 * out. */
struct lf_connection *lf_connection_new(struct lf_connections *s, enum lf_listener kind, int fd);
void lf_connection_free(struct lf_connection *c);
/* The one of a socket that `take` was given; NULL: there is none. */
struct lf_connection *lf_connection_of(struct lf_connections *s, int fd);
enum lf_listener lf_connection_listener(const struct lf_connection *c);
/* It came when its socket had its share. */
bool lf_connection_is_over(const struct lf_connection *c);
/* Another phase begins. */
void lf_connection_enter(struct lf_connection *c, enum lf_connection_phase phase);
/* The client has sent or taken n bytes more, in this phase. */
void lf_connection_moved(struct lf_connection *c, size_t n);

/* How long a client may keep a phase waiting in which it has moved that many bytes; UINT64_MAX: for
 * ever. first: the connection's first request; crowded: its socket has its share. */
uint64_t lf_connection_patience_ns(enum lf_connection_phase phase, uint64_t bytes, bool first,
                                   bool crowded);

struct lf_connections_status {
    int open[LF_LISTENER_N];
    uint64_t turned_away; /* since the start */
    uint64_t late;        /* closed because their clients kept them waiting */
    uint64_t descriptors_max;
    int descriptors; /* open now, of the whole process; -1: not known */
};
void lf_connections_status(struct lf_connections *s, struct lf_connections_status *out);

#endif
