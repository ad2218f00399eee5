/* Devices that train one job together (trainer/replica.h), in a command that needs no daemon: the
 * first one is the command's own, and the others help, each with the base and on a thread of its
 * own. */
#ifndef LF_TOOLS_CREW_H
#define LF_TOOLS_CREW_H

#include "tools/offline.h"
#include "tools/seats.h"
#include "trainer/trainer.h"

#include <pthread.h>

/* Rows for a command's option table, beside LF_OFFLINE_OPTIONS_COMPUTE; s is its struct lf_seats.
 */
/* clang-format off */
#define LF_CREW_OPTIONS(s)                                                                         \
    {"gpu", 0, LF_OPT_STR, "N,...|all", &(s).gpu,                                                  \
     "which cards of the cuda device, from 0; several divide the rows of each batch among them"},  \
    {"seats", 0, LF_OPT_INT, "N", &(s).n,                                                          \
     "how many times the base is on the cpu device, to the same end; they share its threads",      \
     .lo = 1, .hi = LF_SEATS_MAX}
#define LF_CREW_SEATS {.gpu = "0", .n = 1} /* before the options are read */
/* clang-format on */

struct lf_helper {
    struct lf_offline c;
    struct lf_slots *slots;
    struct lf_exec *x;
    struct lf_replica *replica;
    pthread_t thread;
    bool runs;
};

struct lf_crew {
    struct lf_offline *first; /* borrowed */
    struct lf_helper helper[LF_REPLICAS_MAX];
    int n;                                       /* devices, with the first */
    struct lf_replica *replica[LF_REPLICAS_MAX]; /* (n - 1) */
    bool given;                                  /* a job has them */
};

/* Opens the base on each device; seats and o->device are as lf_seats_read left them. `first` is the
 * caller's, zero-initialised, to be closed after the crew, also after a failure. */
enum lf_err lf_crew_open(struct lf_crew *out, struct lf_offline *first,
                         const struct lf_offline_options *o, const struct lf_seats *seats,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* The others are ready for a job; host memory for activations is taken as far as there is. */
enum lf_err lf_crew_start(struct lf_crew *c, const struct lf_exec_limits *limits,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* For a job's spec, which takes them: once. */
void lf_crew_give(struct lf_crew *c, struct lf_job_spec *spec);
/* Once that job is freed, or where there was none. */
void lf_crew_stop(struct lf_crew *c);
/* A zero-initialised one may be closed. */
void lf_crew_close(struct lf_crew *c);

#endif
