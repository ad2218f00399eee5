/* An engine of the daemon on the embedded base, and how it is asked: what its tests stand on. */
#ifndef LF_TESTS_ENGINE_RIG_H
#define LF_TESTS_ENGINE_RIG_H

#include "tests/unit/daemon_rig.h"

#include "core/clock.h"
#include "daemon/engine/engine.h"

#include <poll.h>
#include <stdatomic.h>

struct bench {
    struct rig rig;
    struct lf_daemon_options options;
    struct lf_counters *counters;
    struct lf_waiting waiting;
    struct lf_engine *engine;
    char cache_dir[LF_PATH_MAX];
};

static inline void engine_up(struct bench *b)
{
    struct lf_diag diag = {""};
    const struct lf_engine_around around = {.o = &b->options,
                                            .base = b->rig.bases.base[0],
                                            .cache_dir = b->cache_dir,
                                            .counters = b->counters,
                                            .waiting = &b->waiting};
    must(lf_engine_start(&b->engine, &around, &diag), &diag);
    uint64_t end = lf_clock_ns() + 60000000000u;
    while (lf_engine_state(b->engine) == LF_ENGINE_LOADING && lf_clock_ns() < end)
        poll(NULL, 0, 2);
    if (lf_engine_state(b->engine) != LF_ENGINE_READY)
        must(lf_engine_failure(b->engine, &diag), &diag);
}

static inline void engine_down(struct bench *b)
{
    lf_engine_stop(b->engine);
    lf_engine_free(b->engine);
    b->engine = NULL;
}

static inline int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    rig_open(&b->rig);
    snprintf(b->cache_dir, sizeof b->cache_dir, "%s/cache", b->rig.dir);
    b->counters = malloc(sizeof *b->counters);
    lf_counters_init(b->counters);
    lf_waiting_init(&b->waiting);
    lf_daemon_options_default(&b->options);
    b->options.data_dir = b->rig.dir;
    b->options.device = LF_DEVICE_CPU;
    b->options.slots = 1;
    b->options.kv_tokens = 8192;
    b->options.batch_tokens_max = 256;
    b->options.train_tokens = 256;
    *state = b;
    return 0;
}

static inline int teardown(void **state)
{
    struct bench *b = *state;
    engine_down(b);
    rig_close(&b->rig);
    free(b->counters);
    free(b);
    return 0;
}

static const struct lf_pick no_adapter = {0};

static inline struct lf_generate_spec spec(const struct lf_pick *pick, int max_tokens)
{
    static const int32_t prompt[] = {1, 297, 412, 300};
    return (struct lf_generate_spec){.ids = prompt,
                                     .n = 4,
                                     .pick = pick,
                                     .sample = lf_sample_greedy(),
                                     .max_tokens = max_tokens,
                                     .ignore_eos = true};
}

static inline struct lf_generation *ask(struct bench *b, const struct lf_pick *pick, int max_tokens)
{
    struct lf_diag diag = {""};
    struct lf_generation *g;
    struct lf_generate_spec s = spec(pick, max_tokens);
    must(lf_engine_generate(b->engine, &s, &g, &diag), &diag);
    return g;
}

/* All its tokens; returns how it ended. */
static inline enum lf_err hear(struct lf_generation *g, struct lf_ids *ids)
{
    struct lf_diag diag = {""};
    struct lf_generation_news news;
    do {
        struct lf_generated some[8];
        lf_generation_take(g, some, 8, 1000, &news, &diag);
        for (int i = 0; i < news.n; i++)
            assert_int_equal(lf_ids_push(ids, some[i].token), LF_OK);
    } while (!news.ended);
    lf_generation_release(g);
    return news.rc;
}

/* The version of an adapter whose weights follow from the id and it, below the rig's directory. */
static inline struct lf_pick pick_of(struct bench *b, uint64_t id, int32_t version)
{
    struct lf_pick pick = {.id = id, .version = version};
    snprintf(pick.dir, sizeof pick.dir, "%s/peft%d.%d", b->rig.dir, (int)id, (int)version);
    rig_peft(&b->rig, pick.dir, id + 1000 * (uint64_t)version);
    return pick;
}

#endif
