/* Adapters between their files and the device, in three places:
 *
 *     files --loader--> host memory --loader--> the region of the device
 *
 * Who asks for an adapter wants its resident: from then on it is read, ahead of its turn, as far as
 * there are loaders and host memory. When its turn comes it holds the resident, which is copied
 * onto the device by a loader's own stream while others are served, and is in a slot when that is
 * done; what somebody holds stays. Reading, checking, narrowing and copying are the loaders' work:
 * the engine's thread hands over and takes back, and never waits for any of it.
 *
 * Where the device is full, neighbours leave whose return costs least for the time that they were
 * not used: a copy in host memory is cheap to bring back, a file is not; those that are pinned last
 * of all. Host memory keeps up to
 * host_max bytes: first those go that the device has too, the last used ahead (they stay there
 * longest), then those that were not used for longest.
 *
 *     ABSENT --read--> READING --> READ --place--> COPYING --> PLACED
 *       ^                 |         |  ^                         |
 *       |                 v         |  +---- host copy kept -----+
 *       +-------------- BROKEN    <-+----------- none -----------+
 *
 * The engine's thread alone, unless said otherwise. */
#ifndef LF_DAEMON_ENGINE_RESIDENTS_H
#define LF_DAEMON_ENGINE_RESIDENTS_H

#include "daemon/engine/engine.h"
#include "daemon/engine/region.h"
#include "daemon/limits.h"
#include "model/adapter.h"

#include <pthread.h>

enum lf_resident_state {
    LF_RESIDENT_ABSENT,  /* nowhere but in its files */
    LF_RESIDENT_READING, /* a loader has it */
    LF_RESIDENT_READ,    /* in host memory alone */
    LF_RESIDENT_COPYING, /* a loader brings it to its place on the device */
    LF_RESIDENT_PLACED,  /* in a slot; in host memory too where packed is not NULL */
    LF_RESIDENT_BROKEN   /* rc says why; forgotten when all who wanted it have heard */
};

struct lf_resident {
    uint64_t id;
    int32_t version;
    enum lf_resident_state state; /* changed under the table's lock */
    struct lf_packed *packed;     /* in host memory; the loader's while READING */
    struct lf_spot place;         /* COPYING, PLACED */
    int slot;                     /* PLACED */
    int wanted;                   /* generations that have not let go of it */
    int users;                    /* of them, those that hold its place on the device */
    bool unwanted;                /* leaves when nobody holds it, unless somebody asks again */
    bool pinned;                  /* leaves last */
    uint64_t used_ns;
    enum lf_err rc;
    struct lf_diag why;
    char dir[LF_PATH_MAX];
    struct lf_blend *blend;        /* NULL: the files in dir */
    struct lf_resident *next;      /* of its chain in the table */
    struct lf_resident *next_load; /* in the loaders' lists */
};

/* The loaders: threads that read adapters and copy them, first asked first; copies go ahead, since
 * with them an adapter is there. */
struct lf_loaders {
    struct lf_loader {
        struct lf_engine *e;
        struct lf_stream *stream; /* for its copies */
        pthread_t thread;
        bool started;
    } loader[LF_LOADERS_MAX];
    int n;
    pthread_mutex_t lock; /* protects all below */
    pthread_cond_t more;
    struct lf_resident *to_read, *to_copy, *done;
    bool stopping;
};

#define LF_RESIDENT_CHAINS 4096
struct lf_residents {
    struct lf_resident **chains; /* (LF_RESIDENT_CHAINS) by id and version */
    pthread_mutex_t lock; /* of the chains and states: others than the engine's thread look */
    struct lf_region region;
    struct lf_mark *freed; /* on the engine's stream: what was given up by then may be read still */
    struct lf_loaders loaders;
    size_t host_bytes, host_max;
    int n, n_placed, n_host; /* known; on the device or on the way there; in host memory */
    int n_held, n_reading;   /* generations that hold one; that are READING */
    size_t ahead_bytes;      /* READ and wanted, ... */
    int n_ahead;             /* ... and how many */
};

/* Before the engine's thread is started, and after it has ended. */
enum lf_err lf_residents_init(struct lf_residents *rs, struct lf_diag *diag) LF_MUST_CHECK;
void lf_residents_destroy(struct lf_residents *rs);
/* When the device is open, with memory for all else taken; and before it is closed. */
enum lf_err lf_residents_open(struct lf_engine *e, struct lf_diag *diag) LF_MUST_CHECK;
void lf_residents_close(struct lf_engine *e);

/* The resident of what is picked, wanted once more; NULL: no memory. */
struct lf_resident *lf_resident_want(struct lf_engine *e, const struct lf_pick *pick);
/* Who wanted it, and may hold it, does so no more. */
void lf_resident_let_go(struct lf_engine *e, struct lf_resident *r, bool held);
/* *held: it is on the device, or on the way there, and stays. LF_E_DEVICE_FULL: not now. Its own rc
 * where it is BROKEN. */
enum lf_err lf_resident_hold(struct lf_engine *e, struct lf_resident *r, bool *held,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* It leaves after all others from now on, the adapter's other versions as any. */
void lf_resident_pin(struct lf_engine *e, struct lf_resident *r);
/* Takes what the loaders have done. */
void lf_residents_collect(struct lf_engine *e);
/* Gives device memory back that nobody holds an adapter in; false: there is none. */
bool lf_residents_shrink(struct lf_engine *e);
bool lf_residents_can_shrink(struct lf_engine *e);
/* Takes every version of an adapter off the device and out of host memory as soon as nobody holds
 * it. */
void lf_residents_unload(struct lf_engine *e, uint64_t id);

/* loader.c. The first two on the engine's thread. */
enum lf_err lf_loaders_start(struct lf_engine *e, struct lf_diag *diag) LF_MUST_CHECK;
void lf_loaders_stop(struct lf_engine *e);
void lf_loaders_read(struct lf_loaders *l, struct lf_resident *r);
void lf_loaders_copy(struct lf_loaders *l, struct lf_resident *r);
/* What was read or copied (or failed: its rc) since the last call, linked by next_load. */
struct lf_resident *lf_loaders_done(struct lf_loaders *l);

#endif
