/* Costs, and the least of them. */
#include "route/route.h"

#include "core/rng.h"

static int64_t cost_of(const struct lf_route_seat *s, int n_prompt)
{
    static const int64_t bring[] = {[LF_ROUTE_ABSENT] = LF_ROUTE_READ,
                                    [LF_ROUTE_ON_HOST] = LF_ROUTE_COPY,
                                    [LF_ROUTE_PRESENT] = 0};
    int unread = s->cached < n_prompt ? n_prompt - s->cached : 0;
    return (int64_t)s->requests * LF_ROUTE_REQUEST + unread + bring[s->adapter];
}

/* How much the owner would rather be at the seat than at others: those that leave or come change
 * nothing between the rest. */
static uint32_t liking(uint64_t owner, int seat)
{
    return lf_rng_u32(owner, (uint64_t)seat, 0);
}

int lf_route_request(const struct lf_route_seat *seats, int n, uint64_t owner, int n_prompt)
{
    int best = -1;
    int64_t least = 0;
    for (int i = 0; i < n; i++) {
        int64_t cost = cost_of(&seats[i], n_prompt);
        if (!seats[i].open || (best >= 0 && cost > least))
            continue;
        if (best >= 0 && cost == least && liking(owner, i) <= liking(owner, best))
            continue;
        best = i;
        least = cost;
    }
    return best;
}

/* Whether a is the better place. */
static bool trains_better(const struct lf_route_seat *a, const struct lf_route_seat *b,
                          int64_t bytes)
{
    bool fits = a->spare >= bytes;
    if (fits != (b->spare >= bytes))
        return fits;
    if (!fits)
        return a->spare > b->spare;
    return a->trainings != b->trainings ? a->trainings < b->trainings : a->requests < b->requests;
}

int lf_route_training(const struct lf_route_seat *seats, int n, int64_t bytes)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (seats[i].open && (best < 0 || trains_better(&seats[i], &seats[best], bytes)))
            best = i;
    return best;
}

int lf_route_devices(const struct lf_route_seat *seats, int n, int64_t tokens, int *first)
{
    int64_t idle = 0, most = tokens / LF_ROUTE_STEP;
    for (int i = n; i-- > 0;)
        if (lf_route_is_idle(&seats[i])) {
            idle++;
            *first = i;
        }
    idle = idle < most ? idle : most;
    return idle > 1 ? (int)idle : 1;
}
