/* LIBS: lf_daemon lf_core */
/* What a step's tokens cost the host on their way to those who wait for them: the engine's thread
 * hands them over, another one delivers them. All come, in their order. */
#include "daemon/engine/inside.h"

#include "core/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define STREAMS 256
#define TOKENS 100
#define MICROSECONDS_MOST 3.0 /* of the engine's thread, for a token */

struct stream {
    struct lf_generation *g;
    pthread_t reader;
    int heard;
    bool in_order;
    enum lf_err rc;
};

/* An engine of which nothing runs but its queue and its deliverer. */
static void open_engine(struct lf_engine *e, struct lf_counters *counters)
{
    *e = (struct lf_engine){.counters = counters, .state = LF_ENGINE_READY};
    lf_counters_init(counters);
    e->inbox_end = &e->inbox;
    e->status.context_max = 1 + TOKENS;
    e->waits = calloc(1, sizeof *e->waits);
    lf_waiting_init(e->waits);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->more, NULL);
    assert_int_equal(lf_deliverer_start(&e->deliverer, lf_generation_deliver, NULL), LF_OK);
}

static void close_engine(struct lf_engine *e)
{
    lf_deliverer_stop(e->deliverer);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->more);
    lf_waiting_destroy(e->waits);
    free(e->waits);
}

static void *read_all(void *arg)
{
    struct stream *s = arg;
    struct lf_generation_news news;
    struct lf_generated some[8];
    do {
        lf_generation_take(s->g, some, 8, 60000, &news, NULL);
        for (int i = 0; i < news.n; i++)
            s->in_order = s->in_order && some[i].token == s->heard++;
    } while (!news.ended);
    s->rc = news.rc;
    return NULL;
}

static void ask_and_read(struct lf_engine *e, struct stream *s, bool whole)
{
    static const int32_t prompt[] = {1};
    const struct lf_pick base = {0};
    const struct lf_generate_spec spec = {
        .ids = prompt, .n = 1, .pick = &base, .max_tokens = TOKENS, .whole = whole};
    *s = (struct stream){.in_order = true};
    assert_int_equal(lf_engine_generate(e, &spec, &s->g, NULL), LF_OK);
    lf_generation_leaves_queue(s->g);
    assert_int_equal(pthread_create(&s->reader, NULL, read_all, s), 0);
}

static double process_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Processor time, so that other programs do not count. */
static void check_cost(bool whole)
{
    static struct lf_engine e;
    static struct lf_counters counters;
    static struct stream streams[STREAMS];
    open_engine(&e, &counters);
    for (int i = 0; i < STREAMS; i++)
        ask_and_read(&e, &streams[i], whole);
    double all = process_seconds();
    uint64_t begin = lf_clock_thread_ns();
    for (int k = 0; k < TOKENS; k++) {
        uint64_t now = lf_clock_ns();
        for (int i = 0; i < STREAMS; i++) {
            const struct lf_gen_token t = {.token = k, .index = k};
            if (k < TOKENS - 1)
                lf_generation_push(streams[i].g, &t, now);
            else
                lf_generation_end(streams[i].g, &t, LF_OK, "");
        }
        lf_deliverer_flush(e.deliverer);
    }
    double engine = (double)(lf_clock_thread_ns() - begin) / 1e3 / (STREAMS * TOKENS);
    for (int i = 0; i < STREAMS; i++) {
        pthread_join(streams[i].reader, NULL);
        assert_int_equal(streams[i].rc, LF_OK);
        assert_int_equal(streams[i].heard, TOKENS);
        assert_true(streams[i].in_order);
        lf_generation_release(streams[i].g);
    }
    all = (process_seconds() - all) * 1e6 / (STREAMS * TOKENS);
    print_message("%d %s: a token costs the engine's thread %.2f us, all threads %.1f us\n",
                  STREAMS, whole ? "whole answers" : "streams", engine, all);
    assert_true(engine < MICROSECONDS_MOST);
    close_engine(&e);
}

static void tokens_come_in_order_and_cost_the_engine_little(void **state)
{
    (void)state;
    check_cost(false);
    check_cost(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_come_in_order_and_cost_the_engine_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
