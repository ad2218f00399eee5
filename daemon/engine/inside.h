/* The engine from inside. Fields are the engine thread's own unless they say otherwise. */
#ifndef LF_DAEMON_ENGINE_INSIDE_H
#define LF_DAEMON_ENGINE_INSIDE_H

#include "daemon/engine/engine.h"
#include "daemon/engine/residents.h"
#include "model/draft_base.h"
#include "model/share.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- Generations ----------------------------------------------------------------------------- */

struct lf_generation {
    struct lf_engine *engine;
    struct lf_adapter_usage *usage; /* its adapter's row */
    struct lf_generation *next;     /* in the engine's inbox */
    atomic_int refs;                /* the engine and the caller */
    atomic_bool cancelled, enough;
    /* Set by the caller before the engine sees it, then the engine's */
    int32_t *ids;
    int n;
    struct lf_pick pick;
    struct lf_sample_params sample;
    struct lf_logit_bias *bias;
    int n_bias;
    struct lf_guide *guide; /* or NULL */
    int max_tokens;
    bool ignore_eos, background, whole;
    int priority;
    uint64_t key;
    uint64_t deadline_ns;    /* 0: none */
    bool scored;             /* the prompt */
    struct lf_scores scores; /* written before the first token, or the end, is put */
    struct lf_scores tops;   /* (max_tokens, top_n) of its tokens, written before each is put */
    int n_made;              /* tokens in tops */
    int n_cached;            /* tokens of the prompt that were found; written as the scores are */
    struct lf_resident *resident; /* wanted; NULL: the base */
    bool held;                    /* its place on the device */
    uint64_t seq;                 /* lf_gen's id; 0: none yet */

    pthread_mutex_t lock; /* protects all below */
    pthread_cond_t more;
    struct lf_generated *tokens; /* (max_tokens) */
    int n_tokens, n_taken;
    bool ended;
    enum lf_finish finish;
    enum lf_err rc;
    struct lf_diag why;
    struct lf_generation_times times;
};

/* What a step made of a generation, on its way to whoever waits for it. */
struct lf_delivery {
    struct lf_generation *g;
    int32_t token; /* -1: none */
    bool ends;
    enum lf_finish finish; /* ends: how, or why */
    enum lf_err rc;
    uint64_t ns; /* when it was made */
};
struct lf_deliverer; /* deliver.c */
struct lf_together;  /* together.h */
struct lf_bringing;  /* bring.c */

/* Beside the places that the device has for a step, one for so many of them is kept for those who
 * come while the requests of one key for one adapter hold all of the others. */
#define LF_PLACES_KEPT_PART 16

/* Whose turn it is among those who wait (turns.c). */
struct lf_turns {
    struct lf_turn {
        int priority, turn, i; /* turn: of its key for its adapter so many are before it, on the
                                * device or waiting; i: place among those who wait */
    } * order;                 /* (n waiting) in the order of their turns */
    size_t cap;
    /* How many of a key's for an adapter have been counted */
    struct lf_turn_count {
        uint64_t id, key; /* the adapter's, and 1; 0: free */
        int n;
    } * counts, rest;
    int n_counts;
};

/* ---- Trainings ------------------------------------------------------------------------------- */

/* Where a training is. The engine's thread moves it, under the engine's lock:
 *
 *     WAITING --prepared, placed--> PLACED --the trainer ended it--> ENDED --released--> GONE
 *     WAITING --cancelled, or no room----------------------> ENDED
 *     WAITING, PLACED --the engine stops or fails----------> ENDED --> GONE, released or not
 *
 * The caller's `ended` is called on the way into ENDED. */
enum lf_training_state {
    LF_TRAINING_WAITING, /* being prepared, or for its place; job is NULL */
    LF_TRAINING_PLACED,  /* job runs, is paused, or has just ended */
    LF_TRAINING_ENDED, /* the caller was notified; a job that is done keeps its place and checkpoint
                        */
    LF_TRAINING_GONE   /* the engine holds no reference any more */
};
/* What the caller wants of it: bits of `wanted`, set by any thread. */
enum {
    LF_TRAINING_PAUSE = 1,
    LF_TRAINING_FINISH = 2,
    LF_TRAINING_CANCEL = 4,
    LF_TRAINING_RELEASE = 8
};

struct lf_training {
    struct lf_engine *engine;
    struct lf_training *next; /* in the engine's inbox or its list */
    atomic_int refs;          /* the engine and the caller */
    atomic_uint wanted;
    enum lf_training_state state;
    struct lf_train_settings settings;
    struct lf_dataset *train, *eval; /* NULL once the trainer has them */
    struct lf_eval_steps eval_at;
    char *checkpoint_dir;
    double checkpoint_seconds;
    struct lf_train_fault fault;
    struct lf_adapter *init;
    struct lf_replica *replicas[LF_REPLICAS_MAX]; /* until the trainer has them */
    int n_replicas;
    lf_train_event_fn event;
    void (*ended)(void *arg, const struct lf_training_end *end);
    void *arg;
    struct lf_job *job;
    /* Its preparation, by a thread of its own */
    pthread_t preparer;
    bool preparing;          /* the thread was started, and not joined yet */
    atomic_bool unwanted;    /* what it makes */
    int hundredths;          /* of its start that are done; the thread's */
    atomic_bool prepared;    /* it is about to end: all below is set */
    struct lf_job *job_made; /* not placed yet */
    enum lf_err made;
    struct lf_diag made_why;
};

/* A replica that helps with a training of another engine. */
struct lf_lending {
    struct lf_replica *replica;
    struct lf_lending *next;
};

/* ---- The engine ------------------------------------------------------------------------------ */

struct lf_engine {
    const struct lf_daemon_options *o;
    int seat;
    char called[16]; /* in the log; "" where it is alone */
    const struct lf_base *base;
    const char *cache_dir;
    uint64_t bytes;           /* of the device, for all that is on it; 0: as --memory says */
    int sharers;              /* engines that share the host's memory */
    struct lf_budget *memory; /* of the host's, for what waits for backward */
    struct lf_counters *counters;
    struct lf_waiting *waits;     /* those of all seats */
    struct lf_together *together; /* NULL: the base is the only one, and always there */
    int number;                   /* in it */
    bool pinned;                  /* it never makes way */
    bool makes_way;
    uint64_t idle_ns; /* since when there has been nothing to do; 0: there is */
    pthread_t thread;
    bool started;

    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_model *model;
    struct lf_slots *slots;
    struct lf_exec *exec;
    struct lf_draft_base *draft; /* NULL: there is none */
    struct lf_gen *gen;
    struct lf_trainer *trainer; /* NULL: this daemon never trains */
    struct lf_config config;    /* the model's, for the loaders */
    struct lf_residents residents;
    struct lf_deliverer *deliverer;
    struct lf_generation **waiting; /* (LF_QUEUE_MAX + background ones), oldest first */
    int n_waiting;
    size_t cap_waiting;
    struct lf_bringing *bringing;
    struct lf_turns turns;
    bool room;                     /* something ended: those who wait are looked at again */
    struct lf_generation **live;   /* (seqs_max) */
    int n_live, n_background;      /* n_background of the live ones */
    struct lf_gen_token *tokens;   /* (seqs_max) of a step */
    struct lf_gen_status counted;  /* when one landed last */
    struct lf_training *trainings; /* oldest first */
    struct lf_lending *lent;
    struct lf_share share;
    uint64_t launch_ns; /* the next serving step is put on the stream then, not before */
    uint64_t asked_ns;  /* when a generation was live last; 0: none was */
    struct lf_mark *train_begin, *train_end; /* of the training batch that ran last */
    int train_tokens; /* its tokens, until its time is known; 0: there was none */
    bool train_beside;
    uint64_t train_ns; /* when it was put on the stream */
    struct lf_memory_plan plan;
    struct lf_device_info info; /* as it was last looked at */
    double load_seconds;        /* the base */
    uint64_t load_told_ns;      /* when the log last said how far a load is */

    pthread_mutex_t lock;   /* protects all below */
    pthread_cond_t more;    /* work for the engine */
    pthread_cond_t gone;    /* signalled when a training reaches LF_TRAINING_GONE */
    pthread_cond_t brought; /* an adapter is where lf_engine_bring wants it, or cannot be */
    struct lf_bringing *bring_inbox;
    enum lf_engine_state state;
    enum lf_err rc; /* FAILED */
    struct lf_diag why;
    struct lf_generation *inbox, **inbox_end;
    struct lf_training *training_inbox, **training_end;
    struct lf_lending *lend_inbox;
    uint64_t *unloads; /* adapters, by id, that leave the device */
    size_t n_unloads, cap_unloads;
    int queued;          /* not background: in the inbox or waiting */
    int requests, given; /* generations; trainings that have not ended, others' too */
    int helping;         /* of those, others' */
    bool stopping, poked;
    /* Of several bases; stay.c */
    int wanted;                         /* by so many who wait for it */
    uint64_t wanted_ns, wanted_last_ns; /* since when anything waits for it; when it did last */
    bool first, welcome;                /* it comes unasked: at the start, or where there is room */
    bool loading;                       /* it has its room, and is not ready yet */
    uint64_t failures;                  /* times that it could not be loaded: rc, why */
    uint64_t failed_ns;
    struct lf_engine_status status; /* as of the last turn */
};

/* device.c: opens and closes what is on the device. */
enum lf_err lf_engine_open(struct lf_engine *e, struct lf_diag *diag) LF_MUST_CHECK;
void lf_engine_close(struct lf_engine *e);
/* A part of opening: all that is sized by the memory there is, and e->plan of it. dev, stream and
 * model are there. */
enum lf_err lf_engine_lay_out(struct lf_engine *e, struct lf_diag *diag) LF_MUST_CHECK;
/* And of closing: those three and what was laid out. */
void lf_engine_release(struct lf_engine *e);

/* stay.c: with several bases on a device. Until there is room for a base that is wanted, and then
 * it is to be loaded; false: the engine is to stop. */
bool lf_engine_await(struct lf_engine *e);
/* Once a turn. True: it has nothing any more, takes nothing in, and is to leave the device. */
bool lf_engine_makes_way(struct lf_engine *e);
/* After it left (LF_OK), or could not be loaded. False: the engine is to end. */
bool lf_engine_sleeps(struct lf_engine *e, enum lf_err rc, const struct lf_diag *why);
/* Closes it, until it is awaited again. */
void lf_engine_sleep(struct lf_engine *e);

/* loader.c: has the engine look whether there is something new to do. Any thread. */
void lf_engine_poke(struct lf_engine *e);

/* bring.c: adapters that are to be there before they are asked for, one step of each. */
void lf_engine_bring_all(struct lf_engine *e);
void lf_engine_end_bringing(struct lf_engine *e, enum lf_err rc, const char *why);

/* serve.c */
void lf_engine_admit(struct lf_engine *e);
enum lf_err lf_engine_serve_step(struct lf_engine *e, struct lf_diag *diag) LF_MUST_CHECK;
/* Ends generations whose callers went away, or whose deadlines have passed. */
void lf_engine_sweep(struct lf_engine *e);
/* Ends all, waiting and live. */
void lf_engine_end_generations(struct lf_engine *e, enum lf_err rc, const char *why);
/* queue.c. So far from now, for waits on conditions of the monotonic clock. */
struct timespec lf_deadline_in(int timeout_ms);
/* It waits no more. Takes the engine's lock. */
void lf_generation_leaves_queue(struct lf_generation *g);
/* Ends it for its caller, with its last token (or NULL), and lets go of it. */
void lf_generation_end(struct lf_generation *g, const struct lf_gen_token *last, enum lf_err rc,
                       const char *why);
/* A token, made at `now`. */
void lf_generation_push(struct lf_generation *g, const struct lf_gen_token *t, uint64_t now);
/* The deliverer's thread: gives it to the caller, wakes him where he waits for that, and with an
 * end lets go of the generation. */
void lf_generation_deliver(const struct lf_delivery *d);

/* turns.c */
enum lf_err lf_turns_open(struct lf_turns *t, struct lf_diag *diag) LF_MUST_CHECK;
void lf_turns_close(struct lf_turns *t);
/* Fills t->order; live ones count for their adapter's turns. */
enum lf_err lf_turns_take(struct lf_turns *t, struct lf_generation *const *live, int n_live,
                          struct lf_generation *const *waiting, int n_waiting) LF_MUST_CHECK;

/* deliver.c: deliveries arrive in the order in which they are put, after the next flush. */
typedef void (*lf_deliver_fn)(const struct lf_delivery *d); /* on the deliverer's thread */
enum lf_err lf_deliverer_start(struct lf_deliverer **out, lf_deliver_fn deliver,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* Delivers what is left first. NULL is nothing. */
void lf_deliverer_stop(struct lf_deliverer *d);
void lf_deliverer_put(struct lf_deliverer *d, const struct lf_delivery *what);
void lf_deliverer_flush(struct lf_deliverer *d);

/* lend.c: what jobs of other engines ask for. budget: tokens of a batch from here on. */
void lf_engine_lend_turns(struct lf_engine *e, int budget);
/* They get nothing more. */
void lf_engine_end_lending(struct lf_engine *e);

/* train.c */
/* New ones onto the device, pauses and cancels as asked. */
void lf_engine_trainings_poll(struct lf_engine *e);
enum lf_err lf_engine_train_step(struct lf_engine *e, int budget,
                                 struct lf_diag *diag) LF_MUST_CHECK;
int lf_engine_trainings_running(const struct lf_engine *e);
/* None runs, and none is about to. */
bool lf_engine_trainings_idle(const struct lf_engine *e);
/* Checkpoints of all that run, within the time; then all end. */
void lf_engine_trainings_stop(struct lf_engine *e);
/* Those that were cancelled before they began, while there is no device, end. */
void lf_engine_trainings_drop(struct lf_engine *e);
/* All end, and the trainer is freed. */
void lf_engine_end_trainings(struct lf_engine *e, enum lf_err rc, const char *why);

#endif
