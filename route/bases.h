/* Which of several bases are on a device that has no room for all. A pure function of a table of
 * what is known of each: no clock, no lock; the daemon fills the table from its engines
 * (daemon/engine/together.h).
 *
 * A base that somebody waits for comes as soon as its bytes are free, who waits longest first. For
 * it those leave that have had nothing to do for LF_ROUTE_IDLE_NS, who has been idle longest first.
 * When it has waited for a cycle, those in use make way as well: they take nothing new, and leave
 * when what they have has ended; those that only answer before those that train, who came first
 * before who came later. One that trains begins no other training and answers until its end; what
 * is free beside it is for others meanwhile. Those that are pinned never make way. Nobody does for
 * a base for which there would still be no room, or that is only welcome: that would come if
 * somebody asked, and has what nobody else waits for. */
#ifndef LF_ROUTE_BASES_H
#define LF_ROUTE_BASES_H

#include <stdbool.h>
#include <stdint.h>

/* A moment between two requests of one client, or two scorings of one training, is no idleness. */
#define LF_ROUTE_IDLE_NS 250000000u

struct lf_route_base {
    uint64_t bytes;     /* of the device, that it takes when it is there */
    bool there;         /* on the device, on its way there, or not quite gone */
    bool pinned;        /* and stays */
    bool trains;        /* there, and a training is under way */
    bool welcome;       /* not there, and nobody waits for it */
    uint64_t wanted_ns; /* not there: since when somebody waits for it; 0: nobody does */
    uint64_t idle_ns;   /* there: since when it has nothing to do; 0: it has */
    uint64_t came_ns;   /* there: since when */
    /* What follows */
    bool enters; /* not there: its bytes are free */
    bool leaves; /* there: it is to make way */
};

/* bytes: of the device, for all; times are of lf_clock_ns. */
void lf_route_bases(struct lf_route_base *rows, int n, uint64_t bytes, uint64_t cycle_ns,
                    uint64_t now_ns);
/* Bytes that are free, or would be when those that are idle have left. */
uint64_t lf_route_bases_room(const struct lf_route_base *rows, int n, uint64_t bytes);

#endif
