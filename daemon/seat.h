/* Seats: what answers and trains. A seat is a base, and the engine that keeps it on a device; the
 * daemon has a list of them, and every request and job works on the one of its adapter. Today there
 * is one: that of --base and --device. Made before the first request and freed after the last; any
 * thread, no locks. */
#ifndef LF_DAEMON_SEAT_H
#define LF_DAEMON_SEAT_H

#include "daemon/base.h"
#include "daemon/engine/engine.h"
#include "daemon/forms.h"

struct lf_daemon;

struct lf_seat {
    const struct lf_base *base;
    struct lf_engine *engine;
    struct lf_forms *forms; /* that its answers may be asked in */
};

struct lf_seats {
    struct lf_bases bases;
    struct lf_seat seat[LF_BASES_MAX];
    int n;
};

/* LF_ENGINE_READY where all are; else the state of one that is not, which is *who. */
enum lf_engine_state lf_seats_state(const struct lf_seats *s, const struct lf_seat **who);

/* The seat of one of its bases. */
const struct lf_seat *lf_seat_of(const struct lf_seats *s, const struct lf_base *base);
/* The seat of an adapter, by id. */
const struct lf_seat *lf_seat_for(const struct lf_daemon *d, uint64_t adapter_id);

#endif
