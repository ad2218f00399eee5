/* Which seat gets a request, and which a training. Pure functions of a table of what is known of
 * the seats: the same table, the same choice; no clock, no lock, nothing drawn. The daemon fills
 * the table from its engines, a simulation (tools/route-sim/main.c) from made-up ones.
 *
 * A request goes where it costs least. A seat's cost is counted in tokens of a prompt that would
 * have to be read:
 *
 *     LF_ROUTE_REQUEST  for each request that waits or runs there
 *   + the tokens of its prompt that the seat has no keys and values of
 *   + LF_ROUTE_COPY     where its adapter is in the seat's host memory alone,
 *     LF_ROUTE_READ     where it is in its files
 *
 * and of those that cost the same the seat is taken that a hash of the adapter's version names. So
 *  - a cold adapter lives on one seat: its home by the hash, or where it came to be;
 *  - a hot one comes to others too: once its seat has LF_ROUTE_READ / LF_ROUTE_REQUEST requests
 *    more than one without it, the next goes there and brings it along. Who has it shares its
 *    requests from then on, and lets go of it when it is the one that was not used for longest;
 *  - the instruction of a task is read once: its requests stay where its pages are, until the
 *    others are so much idler that reading it again costs less than waiting.
 */
#ifndef LF_ROUTE_ROUTE_H
#define LF_ROUTE_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

/* What each request that is there costs the next: about the time that reading so many tokens takes.
 * Chosen by tools/route-sim/main.c (docs/scale.md); half and twice as many change its figures by
 * little.
 */
#define LF_ROUTE_REQUEST 64
#define LF_ROUTE_COPY (1 * LF_ROUTE_REQUEST)
#define LF_ROUTE_READ (4 * LF_ROUTE_REQUEST)

enum lf_route_adapter {
    LF_ROUTE_ABSENT,  /* in its files */
    LF_ROUTE_ON_HOST, /* in host memory */
    LF_ROUTE_PRESENT  /* on the device or on its way there; or none is asked for */
};

/* What is known of a seat when somebody asks. */
struct lf_route_seat {
    bool open;    /* it may be chosen */
    int requests; /* waiting and running */
    enum lf_route_adapter adapter;
    int cached;    /* tokens of the prompt that it has keys and values of */
    int trainings; /* of trainings: there, running or on their way */
    int64_t spare; /* and bytes that they may take beside what is there */
};

/* The seat (of n) for a request with a prompt of n_prompt tokens; -1: none is open. owner: a number
 * for the adapter's version, whatever it is. */
int lf_route_request(const struct lf_route_seat *seats, int n, uint64_t owner, int n_prompt);

/* The seat for a training that takes `bytes`: of those with room the one with fewest trainings,
 * then with fewest requests, then the first. Where none has room the one with most of it: there the
 * training waits for others to end. -1: none is open. */
int lf_route_training(const struct lf_route_seat *seats, int n, int64_t bytes);

/* A training that leaves it open how many devices divide its batches gets idle seats, that train
 * nothing and answer nobody, as long as a step of `tokens` gives each of them LF_ROUTE_STEP: then
 * two need little more than half the time of one (docs/benchmarks.md). How many, from 1 on;
 * *first: of several, the first idle one, which leads. */
#define LF_ROUTE_STEP 512
int lf_route_devices(const struct lf_route_seat *seats, int n, int64_t tokens, int *first);
static inline bool lf_route_is_idle(const struct lf_route_seat *s)
{
    return s->open && s->trainings == 0 && s->requests == 0;
}

#endif
