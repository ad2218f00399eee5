/* --gpu and --seats: the devices that a program keeps a base on. */
#ifndef LF_TOOLS_SEATS_H
#define LF_TOOLS_SEATS_H

#include "core/err.h"
#include "core/limits.h"

#include <stdint.h>

struct lf_seats {
    const char *gpu;        /* as given: "0", "0,1", "all" */
    int64_t n;              /* --seats, of the cpu device; then how many there are */
    int card[LF_SEATS_MAX]; /* cuda: of each */
};

/* Reads what was given: a seat for each card, or so many of the cpu device, which *device (enum
 * lf_device_kind) then is where it was auto. All cards where there is none: the device says so, or
 * is another. */
enum lf_err lf_seats_read(struct lf_seats *s, int *device, struct lf_diag *diag) LF_MUST_CHECK;

#endif
