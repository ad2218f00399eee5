/* The engine: one thread that owns the device, the model, the adapters on it, the live sequences
 * and the trainer. Others give it work through queues and wait on their own piece of it; nobody
 * holds a lock over a forward.
 *
 * A turn of the engine: take in what is new; end what is past its deadline; admit waiting
 * generations by priority, keys and adapters in turn, bringing them onto the device; one serving
 * step (one token of every live sequence, and prompts); when it is training's turn, one training
 * batch. How much of a step prompts may have, and how long a training batch may be, follows from
 * measured times (model/share.h): a long prompt leaves those who decode most of their pace;
 * training has its part of the device's time beside live sequences (a fourth, --train-share), in
 * short batches, all of it without them, and full batches when nobody has asked for five seconds.
 *
 * What a step makes reaches its receivers through the deliverer's thread (deliver.c), and on a
 * device that works by itself the next step is put there before this one's tokens are read
 * (model/generate.h): neither waits for those who read them. Where steps are long it is put there
 * shortly before the one under way ends: who comes meanwhile is in it.
 *
 * An adapter that is not on the device is brought there by loader threads, while others go on, as
 * soon as somebody asks for it (residents.h); those that nobody uses make room for it. When a step
 * fails, everything under way ends with LF_E_DEVICE_LOST and the engine has failed, whatever it was
 * (lf_engine_failure): a process that has lost a device cannot open it again.
 */
#ifndef LF_DAEMON_ENGINE_H
#define LF_DAEMON_ENGINE_H

#include "core/err.h"
#include "core/limits.h"
#include "base/base.h"
#include "daemon/counters.h"
#include "daemon/daemon.h"
#include "model/generate.h"
#include "route/waiting.h"
#include "trainer/trainer.h"

#include <stdbool.h>
#include <stdint.h>

struct lf_engine;

enum lf_engine_state {
    LF_ENGINE_LOADING, /* the model is being opened */
    LF_ENGINE_READY,
    LF_ENGINE_FAILED,  /* it could not be opened, or a step failed: lf_engine_failure */
    LF_ENGINE_STOPPED, /* or about to: lf_engine_stop was called */
    LF_ENGINE_ABSENT   /* of several bases on the device another has the memory, or is about to:
                          lf_engine_come */
};

/* What an engine stands on, all of it borrowed, some shared with other engines. */
struct lf_engine_around {
    const struct lf_daemon_options *o;
    int seat; /* of o->seats: which device is its own */
    const struct lf_base *base;
    const char *cache_dir;    /* where quantised weights are kept */
    struct lf_budget *memory; /* of the host's, for a training's activations that wait there */
    struct lf_counters *counters;
    struct lf_waiting *waiting; /* in front of all of them */
    int sharers;                /* engines among which o's host memory is divided; 0: it alone */
    /* Of several bases that share devices; all 0 where there is one: */
    struct lf_together *together;      /* those of its device (together.h) */
    uint64_t bytes;                    /* of the device, that the base has when it is there */
    const struct lf_memory_plan *plan; /* what is laid out in them, as far as it can be foretold */
    int context_max;                   /* likewise */
    bool pinned, first;                /* it stays; it comes without being asked */
};
/* What it stands on must outlive it. Returns at once; the base's weights are loaded by the engine's
 * thread, at once or when they are wanted. Yours, lf_engine_free. */
enum lf_err lf_engine_start(struct lf_engine **out, const struct lf_engine_around *around,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Ends what is under way (generations: LF_E_CANCELLED; trainings write a checkpoint first and end
 * with LF_E_INTERRUPTED) and waits for the thread. Later work is refused. */
void lf_engine_stop(struct lf_engine *e);
/* After lf_engine_stop, when all generations are released. */
void lf_engine_free(struct lf_engine *e);
enum lf_engine_state lf_engine_state(struct lf_engine *e);
/* Of one that is ABSENT: has its base come, and waits for that. LF_OK: it has come, or is in
 * another state by now. LF_E_OVERLOADED: there was no room for --base-wait; LF_E_TIMED_OUT:
 * deadline_ns (of lf_clock_ns; 0: none) is over; LF_E_DEVICE_LOST: it could not be loaded, now or a
 * moment ago. */
enum lf_err lf_engine_come(struct lf_engine *e, uint64_t deadline_ns,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* One that is ABSENT comes where there is room that nobody else waits for. */
void lf_engine_welcome(struct lf_engine *e);
/* Bytes of its device that it could have soon. */
uint64_t lf_engine_room(struct lf_engine *e);
/* Why it failed, or why it could not be loaded the last time: the code, and the reason. */
enum lf_err lf_engine_failure(struct lf_engine *e, struct lf_diag *diag);

/* What the device's memory is laid out for when the engine is ready, in bytes. Adapters and the
 * states of their optimizers come and go in the rest. */
struct lf_memory_plan {
    uint64_t weights;
    uint64_t copies;  /* of them, unpacked for large batches */
    uint64_t kv;      /* the cache of keys and values */
    uint64_t draft;   /* the draft base: weights and cache */
    uint64_t saved;   /* what a training's backward reads */
    uint64_t working; /* activations, logits, scratch, tables */
    uint64_t rest;
    uint64_t host; /* of the host's, while a training runs: activations that wait for backward */
    int64_t kv_tokens;           /* of the cache */
    enum lf_recompute recompute; /* what was chosen (lf_exec_recomputes) */
    int recomputes;              /* 1: it is not NONE, since memory is short */
    bool own_memory;             /* of the device: what it has no room for can wait in the host's */
    enum lf_dtype act;           /* of activations, and of adapters that are served */
};

struct lf_engine_status {
    enum lf_engine_state state;
    char device[128];        /* its name */
    const char *device_word; /* "cuda"; NULL until it is open */
    enum lf_dtype act;       /* what it computes in */
    int waiting;             /* generations without a sequence yet, and who waits for the base */
    int requests;            /* generations, also in the background, that have not ended */
    int given;               /* trainings, likewise */
    struct lf_gen_status gen;
    int slots, slots_used; /* adapters on the device, those that train not counted */
    uint64_t adapter_bytes, adapter_bytes_max; /* of the device: taken, laid out for adapters */
    int adapters_host;                         /* in host memory, also those on the device */
    uint64_t host_bytes, host_bytes_max;       /* that they take there, and may */
    int trainings;                             /* that run */
    int helping;                               /* with trainings of other engines, so many */
    uint64_t memory_used, memory_peak, memory_total; /* of the device, bytes */
    struct lf_memory_plan plan;
    double load_seconds; /* the base */
    int context_max, seqs_max;
    /* Of several bases on the device */
    uint64_t part;    /* bytes of it, that this one has when it is there; 0: there is one base */
    uint64_t idle_ns; /* there: since when it has nothing to do; 0: it has */
    bool pinned;      /* it stays */
    bool loading;     /* ABSENT: on its way */
    bool load_failed; /* ABSENT: lf_engine_failure */
};
void lf_engine_status(struct lf_engine *e, struct lf_engine_status *out);

/* ---- Generations ----------------------------------------------------------------------------- */

/* An adapter's version, and the PEFT directory that it is read from. id 0: the bare base. */
struct lf_blend;
struct lf_pick {
    uint64_t id;
    int32_t version;
    char dir[LF_PATH_MAX];
    struct lf_blend *blend; /* NULL: one adapter; else several, and the id is theirs (blend.h) */
};

/* A number of an adapter's version, or of the base, that no other has: whose keys and values they
 * are. Ids are counted from 1 on; those of blends have the highest bit. */
static inline uint64_t lf_pick_owner(uint64_t id, int32_t version)
{
    return id >> 63 ? id : (id << 32 | (uint32_t)version) + 1;
}

struct lf_generate_spec {
    const int32_t *ids; /* (n) the prompt, n >= 1; copied */
    int n;
    const struct lf_pick *pick;
    struct lf_sample_params sample;   /* its top_n too: what is listed with each token */
    const struct lf_logit_bias *bias; /* (n_bias) no id twice; copied */
    int n_bias;
    struct lf_grammar *grammar; /* of this engine's base; held while it is answered. NULL: none */
    bool score_prompt;          /* lf_generation_prompt */
    int max_tokens;             /* of the completion; 0: the prompt is only read */
    bool ignore_eos;
    bool background; /* after all others, few at a time: evaluation */
    int priority;    /* the lower comes first where sequences are waited for */
    uint64_t key;    /* who asks: those of a key and adapter have their turns together */
    int waiting_max; /* of the key's, besides: more are refused; 0: as many as there is room for */
    uint64_t deadline_ns; /* of lf_clock_ns: what is not whole by then ends with LF_E_TIMED_OUT; 0:
                             none */
    bool whole; /* nothing is to be done before it has ended: nobody is woken for its tokens */
};

struct lf_generation;

/* LF_E_OVERLOADED: LF_QUEUE_MAX wait already, on all seats, or waiting_max of the key.
 * LF_E_INVALID: prompt and max_tokens are over the context. LF_E_DEVICE_LOST: the engine is not
 * ready. Yours, lf_generation_release. */
enum lf_err lf_engine_generate(struct lf_engine *e, const struct lf_generate_spec *spec,
                               struct lf_generation **out, struct lf_diag *diag) LF_MUST_CHECK;

/* Takes an adapter off the device, also one that stays there, as soon as no generation uses it; the
 * next one that asks for it brings it back. */
enum lf_err lf_engine_unload(struct lf_engine *e, uint64_t id, struct lf_diag *diag) LF_MUST_CHECK;

/* Brings an adapter's version onto the device ahead of its first request, and waits for that up to
 * timeout_ms (0: does not; the engine may still be loading then). keep: it stays, in the place of
 * another version of the adapter that stayed so far: others make room before it, but for what has
 * no room at all otherwise. LF_E_DEVICE_FULL: all others are in use. LF_E_TIMED_OUT: it goes on. */
enum lf_err lf_engine_bring(struct lf_engine *e, const struct lf_pick *pick, bool keep,
                            int timeout_ms, struct lf_diag *diag) LF_MUST_CHECK;

/* Where an adapter's version is, at this moment. */
enum lf_residency {
    LF_RESIDENCY_NONE, /* in its files */
    LF_RESIDENCY_HOST, /* in host memory */
    LF_RESIDENCY_DEVICE
};
enum lf_residency lf_engine_residency(struct lf_engine *e, uint64_t id, int32_t version);

struct lf_generated {
    int32_t token;
    float logprob;
    /* (top_n) as of struct lf_sample_args; NULL without top_n. The generation's. */
    const int32_t *top_ids;
    const float *top_logprob;
};
struct lf_generation_news {
    int n;                 /* tokens taken now */
    bool ended;            /* and there will be no more */
    enum lf_finish finish; /* when it ended well; EOS: its last token is the end's */
    enum lf_err rc;        /* why it ended otherwise */
};
/* Takes up to cap tokens; waits up to timeout_ms when there are none (whole: in any case) and it
 * has not ended. diag: the reason of news->rc. The generation's own thread. */
void lf_generation_take(struct lf_generation *g, struct lf_generated *out, int cap, int timeout_ms,
                        struct lf_generation_news *news, struct lf_diag *diag);
/* Token t of the prompt as the model scored it, t >= 1; for spec->score_prompt, and after the first
 * token or the end was taken. */
struct lf_generated lf_generation_prompt(const struct lf_generation *g, int t);
/* Tokens of the prompt that an earlier one of the same adapter's version (or the base) began with
 * too, so that they were not read again; likewise. */
int lf_generation_cached(const struct lf_generation *g);
/* Ends it soon; what was generated may still be taken. enough: the caller has what it wanted. */
void lf_generation_cancel(struct lf_generation *g, bool enough);
/* Cancels it where it has not ended. */
void lf_generation_release(struct lf_generation *g);

/* Nanoseconds of lf_clock_ns; 0: not yet. */
struct lf_generation_times {
    uint64_t submitted, started, first_token, ended;
};
void lf_generation_times(struct lf_generation *g, struct lf_generation_times *out);

/* ---- Trainings ------------------------------------------------------------------------------- */

/* How a training ended: LF_OK and the adapter (yours); LF_E_CANCELLED; LF_E_DEVICE_FULL: no room
 * beside the others now; LF_E_INTERRUPTED: the engine stops; LF_E_DEVICE_LOST: it failed; else the
 * training did. */
struct lf_training_end {
    enum lf_err rc;
    struct lf_diag why;
    struct lf_progress progress; /* steps 0: it had no place */
    struct lf_adapter *adapter;
    struct lf_train_fault fault; /* where the training failed */
    bool alone;                  /* DEVICE_FULL: and nothing else trains or could make room */
};

/* Both are called on the engine's thread: they hand over and return, never block. */
struct lf_training_spec {
    const struct lf_train_settings *settings; /* copied */
    struct lf_dataset *train;                 /* taken, also on failure */
    struct lf_dataset *eval;                  /* taken, or NULL */
    struct lf_eval_steps eval_at;
    struct lf_adapter *init;    /* where it starts: taken; NULL: fresh */
    const char *checkpoint_dir; /* copied */
    double checkpoint_seconds;
    struct lf_train_fault fault;                  /* that it is tried again after */
    struct lf_replica *replicas[LF_REPLICAS_MAX]; /* (n_replicas) lent by other engines; taken */
    int n_replicas;
    int64_t step_tokens;     /* of an optimizer step, on average */
    lf_train_event_fn event; /* all but LF_TRAIN_MICRO and LF_TRAIN_END */
    void (*ended)(void *arg, const struct lf_training_end *end); /* once; the last call */
    void *arg;
};

struct lf_training;

/* After LF_OK, spec->ended is called exactly once. Yours, lf_training_release. */
enum lf_err lf_engine_train(struct lf_engine *e, const struct lf_training_spec *spec,
                            struct lf_training **out, struct lf_diag *diag) LF_MUST_CHECK;
/* Its device helps with a training of another engine: a replica (trainer/replica.h) that this
 * engine's thread serves between its own steps, from here on until the job lets go of it or the
 * engine stops. An engine waits for what it asked of another meanwhile: lenders are of a higher
 * seat than who they help, or two would wait for each other. LF_E_DEVICE_LOST: it is not ready. For
 * a training's spec. */
enum lf_err lf_engine_lend(struct lf_engine *e, struct lf_replica **out,
                           struct lf_diag *diag) LF_MUST_CHECK;
void lf_training_pause(struct lf_training *t, bool paused);
/* Done at the next step boundary: what is trained by then is the adapter. */
void lf_training_finish(struct lf_training *t);
void lf_training_cancel(struct lf_training *t);
/* After it ended. Until then the place on the device and the checkpoint of a training that is done
 * stay: save the adapter first. Waits until the engine has let go of both. */
void lf_training_release(struct lf_training *t);

#endif
