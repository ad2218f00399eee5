/* A daemon of some bases, as a child of this process: `lorafs serve` over a folder and a unix
 * socket. It ends when this process does, however that ends, with a checkpoint of what it trains.
 * One thread. */
#ifndef LF_LAND_HOST_H
#define LF_LAND_HOST_H

#include "core/err.h"
#include "core/limits.h"
#include "land/study.h"

#include <jansson.h>
#include <signal.h>
#include <sys/types.h>

struct lf_host {
    pid_t pid;                   /* 0: none runs */
    char socket[LF_PATH_MAX];    /* where it answers */
    char temporary[LF_PATH_MAX]; /* a folder made for the socket, or "" */
    char log[LF_PATH_MAX];       /* its stderr, appended */
};

/* Options of `lorafs serve` that a study may set, by their names with '_' for '-'; a value is a
 * string or an integer. LF_E_INVALID names an unknown one. */
enum lf_err lf_host_options_check(const json_t *options, struct lf_diag *diag) LF_MUST_CHECK;
/* Starts it over `data` (made), with these bases, and waits until it answers, or *stop is set
 * (LF_E_INTERRUPTED), or it ended: then the reason is its own. device: NULL, or instead of the
 * options' own. End with lf_host_stop, also after a failure. */
enum lf_err lf_host_start(struct lf_host *h, const struct lf_study_base *bases, int n,
                          const char *data, const json_t *options, const char *device,
                          const volatile sig_atomic_t *stop, struct lf_diag *diag) LF_MUST_CHECK;
/* Has it end, and waits; one that does not is killed. */
void lf_host_stop(struct lf_host *h);

#endif
