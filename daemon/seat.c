/* Which seat. */
#include "daemon/seat.h"

#include "daemon/registry/registry.h"
#include "daemon/state.h"

enum lf_engine_state lf_seats_state(const struct lf_seats *s, const struct lf_seat **who)
{
    enum lf_engine_state state = LF_ENGINE_READY;
    for (int i = 0; i < s->n && state == LF_ENGINE_READY; i++) {
        *who = &s->seat[i];
        state = lf_engine_state(s->seat[i].engine);
    }
    return state;
}

const struct lf_seat *lf_seat_of(const struct lf_seats *s, const struct lf_base *base)
{
    int i = 0;
    while (s->seat[i].base != base)
        i++;
    return &s->seat[i];
}

const struct lf_seat *lf_seat_for(const struct lf_daemon *d, uint64_t adapter_id)
{
    return lf_seat_of(d->seats, lf_registry_base(d->registry, adapter_id));
}
