/* Files that are read piece by piece, and may be replaced meanwhile: who began with the old bytes
 * goes on with them. What was asked for in pieces stays open until nobody has asked for it for a
 * minute, or the file is removed. */
#ifndef LF_CORE_PINS_H
#define LF_CORE_PINS_H

#include "core/file.h"
#include "core/limits.h"

#include <pthread.h>

struct lf_pin {
    uint64_t owner; /* who has files of several kinds: numbers of the caller's */
    int kind;
    char tag[LF_FILE_TAG];
    int fd; /* -1: nothing is kept here */
    uint64_t asked_ns;
};

struct lf_pins {
    pthread_mutex_t lock; /* taken last, and for memory alone */
    struct lf_pin pin[LF_PINS_MAX];
};

void lf_pins_init(struct lf_pins *p);
void lf_pins_deinit(struct lf_pins *p);
/* A piece of this file was asked for; fd stays the caller's. */
void lf_pins_keep(struct lf_pins *p, uint64_t owner, int kind, const char *tag, int fd);
/* A descriptor of one that is kept, yours; -1: it is not. */
int lf_pins_find(struct lf_pins *p, uint64_t owner, int kind, const char *tag);
/* The file was removed: its room is wanted. */
void lf_pins_forget(struct lf_pins *p, uint64_t owner, int kind);
/* Closes those for which nobody has asked for a minute. */
void lf_pins_expire(struct lf_pins *p);

#endif
