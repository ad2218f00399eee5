/* Files that are read piece by piece, and may be replaced meanwhile. */
#include "core/pins.h"

#include "core/clock.h"
#include "core/lock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIN_NS (60ull * LF_NS_PER_S) /* a reader may work on what it has read */

void lf_pins_init(struct lf_pins *p)
{
    pthread_mutex_init(&p->lock, NULL);
    for (size_t i = 0; i < LF_PINS_MAX; i++)
        p->pin[i] = (struct lf_pin){.fd = -1};
}

static void forget(struct lf_pin *pin)
{
    if (pin->fd >= 0)
        close(pin->fd);
    *pin = (struct lf_pin){.fd = -1};
}

void lf_pins_deinit(struct lf_pins *p)
{
    for (size_t i = 0; i < LF_PINS_MAX; i++)
        forget(&p->pin[i]);
    pthread_mutex_destroy(&p->lock);
}

void lf_pins_expire(struct lf_pins *p)
{
    lf_lock_auto held = lf_lock(&p->lock);
    uint64_t now = lf_clock_ns();
    for (size_t i = 0; i < LF_PINS_MAX; i++)
        if (now - p->pin[i].asked_ns > PIN_NS)
            forget(&p->pin[i]);
}

void lf_pins_forget(struct lf_pins *p, uint64_t owner, int kind)
{
    lf_lock_auto held = lf_lock(&p->lock);
    for (size_t i = 0; i < LF_PINS_MAX; i++)
        if (p->pin[i].owner == owner && p->pin[i].kind == kind)
            forget(&p->pin[i]);
}

static struct lf_pin *find(struct lf_pins *p, uint64_t owner, int kind, const char *tag)
{
    for (size_t i = 0; i < LF_PINS_MAX; i++) {
        struct lf_pin *pin = &p->pin[i];
        if (pin->fd >= 0 && pin->owner == owner && pin->kind == kind && strcmp(pin->tag, tag) == 0)
            return pin;
    }
    return NULL;
}

/* One that is free, or becomes so: the one that was asked for longest ago. */
static struct lf_pin *make_room(struct lf_pins *p)
{
    struct lf_pin *oldest = &p->pin[0];
    for (size_t i = 1; i < LF_PINS_MAX; i++)
        if (p->pin[i].asked_ns < oldest->asked_ns)
            oldest = &p->pin[i];
    forget(oldest);
    return oldest;
}

void lf_pins_keep(struct lf_pins *p, uint64_t owner, int kind, const char *tag, int fd)
{
    lf_lock_auto held = lf_lock(&p->lock);
    struct lf_pin *pin = find(p, owner, kind, tag);
    if (!pin) {
        pin = make_room(p);
        *pin = (struct lf_pin){owner, kind, "", fcntl(fd, F_DUPFD_CLOEXEC, 0), 0};
        snprintf(pin->tag, sizeof pin->tag, "%s", tag);
    }
    pin->asked_ns = lf_clock_ns();
}

int lf_pins_find(struct lf_pins *p, uint64_t owner, int kind, const char *tag)
{
    lf_lock_auto held = lf_lock(&p->lock);
    const struct lf_pin *pin = find(p, owner, kind, tag);
    return pin ? fcntl(pin->fd, F_DUPFD_CLOEXEC, 0) : -1;
}
