/* LIBS: lf_trainer */
/* A job on several devices: it learns what it learns on one, its copies of the adapter are equal to
 * the byte, it goes on from either's checkpoint, and a device that leaves takes nothing with it. */
#include "tests/unit/train_rig.h"

#include "trainer/job.h"

#define DEVICES 3

static struct tiny t[DEVICES];
static char dir[] = "/tmp/test_trainer_replica.XXXXXX";

static int open_all(void **state)
{
    (void)state;
    for (int i = 0; i < DEVICES; i++)
        tiny_open(&t[i], LF_DEVICE_CPU, 2, &rig_limits);
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    for (int i = 0; i < DEVICES; i++)
        tiny_close(&t[i]);
    return lf_dir_remove(dir, NULL) == LF_OK ? 0 : -1;
}

/* The first device trains, the others help, each on a thread of its own. */
struct several {
    struct lf_trainer *trainer;
    struct lf_job *j;
    struct heard h;
    struct lf_replica *replica[DEVICES - 1];
    pthread_t thread[DEVICES - 1];
    int n; /* of devices */
};

static void *lend(void *arg)
{
    lf_replica_serve(arg);
    lf_replica_close(arg);
    return NULL;
}

struct how {
    int devices;
    const char *checkpoint;
    struct lf_dataset *(*rows)(const struct lf_train_settings *s);
    bool eval;
};

static struct lf_dataset *plain_rows(const struct lf_train_settings *s)
{
    return rows_made(&t[0], s, 30, 3);
}

static void begin(struct several *of, const struct lf_train_settings *s, const struct how *how)
{
    struct lf_diag diag = {""};
    *of = (struct several){.n = how->devices, .trainer = trainer_open(&t[0])};
    for (int k = 0; k < of->n - 1; k++) {
        const struct lf_replica_spec spec = {
            .x = t[k + 1].exec, .m = t[k + 1].model, .slots = t[k + 1].slots};
        must(lf_replica_new(&of->replica[k], &spec, &diag), &diag);
        assert_int_equal(pthread_create(&of->thread[k], NULL, lend, of->replica[k]), 0);
    }
    struct lf_job_spec spec = {.settings = s,
                               .train = (how->rows ? how->rows : plain_rows)(s),
                               .eval = how->eval ? rows_made(&t[0], s, 9, 8) : NULL,
                               .checkpoint_dir = how->checkpoint,
                               .replicas = of->replica,
                               .n_replicas = of->n - 1,
                               .event = hear,
                               .event_arg = &of->h};
    must(lf_trainer_add(of->trainer, &spec, &of->j, &diag), &diag);
}

static void end(struct several *of)
{
    lf_trainer_free(of->trainer);
    for (int k = 0; k < of->n - 1; k++)
        pthread_join(of->thread[k], NULL);
}

/* What its slot on the device of a replica holds is what its own does. */
static void assert_same_copies(const struct several *of)
{
    const struct lf_slot *own = &t[0].slots->slot[of->j->slot];
    size_t bytes = own->shape.n_params * sizeof(float);
    for (int k = 0; k < of->j->n_replicas; k++) {
        const struct lf_slot *slot =
            &of->j->replica[k]->portion.slots->slot[of->j->replica[k]->slot];
        assert_memory_equal(slot->master, own->master, bytes);
        assert_memory_equal(slot->copy, own->copy, bytes);
        assert_memory_equal(slot->moments, own->moments, 2 * bytes);
    }
}

/* To its end; tokens[k] of its devices are counted. */
static void run_split(struct several *of, int budget, int64_t tokens[DEVICES])
{
    struct lf_diag diag = {""};
    memset(tokens, 0, DEVICES * sizeof *tokens);
    for (int active = 1; active > 0;) {
        must(lf_trainer_step(of->trainer, budget, &active, &diag), &diag);
        tokens[0] += of->trainer->own.n_tokens;
        for (int k = 0; k < of->j->n_replicas; k++)
            tokens[k + 1] += of->j->replica[k]->portion.n_tokens;
        assert_same_copies(of);
    }
}

struct outcome {
    float *params;
    size_t n;
    struct heard h;
    int64_t tokens[DEVICES];
};

static struct outcome trained(const struct lf_train_settings *s, const struct how *how, int budget)
{
    struct several of;
    struct outcome o;
    begin(&of, s, how);
    run_split(&of, budget, o.tokens);
    assert_int_equal(of.h.state, LF_JOB_DONE);
    assert_int_equal(of.j->n_replicas, how->devices - 1);
    o.params = params_of(of.j, &o.n);
    o.h = of.h;
    end(&of);
    return o;
}

/* Of two runs that differ in the order of sums alone. */
static void assert_equal_learning(const struct outcome *a, const struct outcome *b)
{
    double d = distance(a->params, b->params, b->n);
    print_message("losses %.7f and %.7f, weights differ by %.1e\n", a->h.loss, b->h.loss, d);
    assert_true(fabs(a->h.loss - b->h.loss) <= 1e-6);
    assert_true(fabs(a->h.norm - b->h.norm) <= 1e-4 * b->h.norm);
    assert_true(d <= 1e-4);
    assert_int_equal(a->h.steps, b->h.steps);
    assert_int_equal(a->h.micros, b->h.micros);
}

static void compare(const struct lf_train_settings *s, const struct how *how, int budget)
{
    struct how alone = *how;
    alone.devices = 1;
    struct outcome one = trained(s, &alone, budget), more = trained(s, how, budget);
    assert_equal_learning(&more, &one);
    for (int k = 0; k < how->devices; k++) /* by tokens, up to a row of a batch */
        assert_true(more.tokens[k] > 0);
    if (how->eval)
        assert_true(fabs(one.h.eval_loss - more.h.eval_loss) <= 1e-6);
    free(one.params);
    free(more.params);
}

static void learns_what_it_learns_on_one(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    s.neftune_alpha = 5;
    s.accumulation = 2;
    compare(&s, &(struct how){.devices = 2, .eval = true}, 0);
    compare(&s, &(struct how){.devices = 3}, 40); /* a step takes several batches */
    s.lora_plus = 4;
    s.weight_decay = 0.1;
    s.max_grad_norm = 0.01;
    s.optimizer = LF_OPTIMIZER_ADAM;
    s.loss_normalization = LF_LOSS_MICRO_BATCH;
    compare(&s, &(struct how){.devices = 3}, 0);
}

static void magnitudes_are_learnt_on_all(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    s.dora = true;
    compare(&s, &(struct how){.devices = 2, .eval = true}, 0);
    s.accumulation = 2;
    s.lora_plus = 4;
    s.max_grad_norm = 0.01;
    compare(&s, &(struct how){.devices = 3}, 40);
}

static void rows_are_divided_by_tokens(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    s.batch_size = 16;
    s.steps = 4;
    struct outcome o = trained(&s, &(struct how){.devices = 2}, 0);
    print_message("%lld and %lld tokens\n", (long long)o.tokens[0], (long long)o.tokens[1]);
    assert_true(llabs(o.tokens[0] - o.tokens[1]) <= 4 * 19); /* a row a step */
    free(o.params);
}

static struct lf_dataset *pairs(const struct lf_train_settings *s)
{
    return pairs_made(&t[0], s, 8);
}

static void preferences_are_of_all_devices(void **state)
{
    (void)state;
    static const enum lf_loss losses[] = {LF_LOSS_DPO, LF_LOSS_ORPO, LF_LOSS_KTO};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        struct lf_train_settings s = rig_settings();
        s.loss = losses[i];
        s.steps = 6;
        compare(&s, &(struct how){.devices = 2, .rows = pairs}, 0);
        compare(&s, &(struct how){.devices = 3, .rows = pairs}, 40);
    }
}

/* Some steps on so many devices, with a checkpoint after each. */
static void run_steps(const struct lf_train_settings *s, const struct how *how, int n)
{
    struct several of;
    struct lf_diag diag = {""};
    begin(&of, s, how);
    for (int i = 0, active; i < n; i++)
        must(lf_trainer_step(of.trainer, 0, &active, &diag), &diag);
    assert_same_copies(&of);
    end(&of);
}

static void goes_on_on_more_devices_or_fewer(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    char checkpoint[128];
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", dir);
    struct outcome one = trained(&s, &(struct how){.devices = 1}, 0);
    for (int first = 1; first <= 2; first++) {
        struct how how = {.devices = first, .checkpoint = checkpoint};
        run_steps(&s, &how, 5);
        how.devices = 3 - first;
        struct outcome rest = trained(&s, &how, 0);
        assert_int_equal(rest.h.steps, s.steps - 5);
        assert_true(distance(rest.params, one.params, one.n) <= 1e-4);
        assert_true(fabs(rest.h.loss - one.h.loss) <= 1e-6);
        free(rest.params);
        must(lf_dir_remove(checkpoint, NULL), &(struct lf_diag){""});
    }
    free(one.params);
}

/* ---- Devices that leave ---------------------------------------------------------------------- */

/* Does so many things that it is asked for, and is gone. */
struct brief {
    struct lf_replica *replica;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    int woke, turns;
};

static void wake(void *arg)
{
    struct brief *b = arg;
    pthread_mutex_lock(&b->lock);
    b->woke++;
    pthread_cond_signal(&b->woken);
    pthread_mutex_unlock(&b->lock);
}

static void *lend_briefly(void *arg)
{
    struct brief *b = arg;
    for (int i = 0; i < b->turns; i++) {
        pthread_mutex_lock(&b->lock);
        while (b->woke <= i)
            pthread_cond_wait(&b->woken, &b->lock);
        pthread_mutex_unlock(&b->lock);
        lf_replica_turn(b->replica);
    }
    pthread_mutex_lock(&b->lock);
    while (b->woke <= b->turns)
        pthread_cond_wait(&b->woken, &b->lock);
    pthread_mutex_unlock(&b->lock);
    lf_replica_close(b->replica);
    return NULL;
}

/* Of two that help, the first is lost with the thing that it is asked for after `turns` of them. */
static struct outcome trained_and_lost(const struct lf_train_settings *s, int turns)
{
    struct lf_diag diag = {""};
    struct outcome o = {0};
    struct several of = {.n = 3, .trainer = trainer_open(&t[0])};
    struct brief b = {.turns = turns};
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.woken, NULL);
    for (int k = 0; k < 2; k++) {
        struct lf_replica_spec spec = {
            .x = t[k + 1].exec, .m = t[k + 1].model, .slots = t[k + 1].slots};
        spec.wake = k == 0 ? wake : NULL;
        spec.arg = &b;
        must(lf_replica_new(&of.replica[k], &spec, &diag), &diag);
        b.replica = of.replica[0];
        pthread_create(&of.thread[k], NULL, k == 0 ? lend_briefly : lend,
                       k == 0 ? (void *)&b : of.replica[k]);
    }
    struct lf_job_spec spec = {.settings = s,
                               .train = plain_rows(s),
                               .eval = rows_made(&t[0], s, 9, 8),
                               .replicas = of.replica,
                               .n_replicas = 2,
                               .event = hear,
                               .event_arg = &of.h};
    must(lf_trainer_add(of.trainer, &spec, &of.j, &diag), &diag);
    run_split(&of, 0, o.tokens);
    assert_int_equal(of.j->n_replicas, 1);
    assert_int_equal(of.h.state, LF_JOB_DONE);
    o.params = params_of(of.j, &o.n);
    o.h = of.h;
    end(&of);
    pthread_cond_destroy(&b.woken);
    pthread_mutex_destroy(&b.lock);
    return o;
}

static void one_that_is_lost_takes_nothing_with_it(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    s.accumulation = 2;
    s.steps = 3;
    s.eval_every = 1;
    struct outcome one = trained(&s, &(struct how){.devices = 1, .eval = true}, 0);
    for (int turns = 0; turns < 9; turns++) { /* to be loaded, to run, to add up, to step, ... */
        struct outcome o = trained_and_lost(&s, turns);
        print_message("lost after %d: losses %.7f and %.7f\n", turns, o.h.loss, one.h.loss);
        assert_true(fabs(o.h.loss - one.h.loss) <= 1e-6);
        assert_true(fabs(o.h.eval_loss - one.h.eval_loss) <= 1e-6);
        assert_true(distance(o.params, one.params, one.n) <= 1e-4);
        assert_int_equal(o.h.steps, one.h.steps);
        assert_int_equal(o.h.evals, one.h.evals);
        free(o.params);
    }
    free(one.params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_what_it_learns_on_one),
        cmocka_unit_test(magnitudes_are_learnt_on_all),
        cmocka_unit_test(rows_are_divided_by_tokens),
        cmocka_unit_test(preferences_are_of_all_devices),
        cmocka_unit_test(goes_on_on_more_devices_or_fewer),
        cmocka_unit_test(one_that_is_lost_takes_nothing_with_it),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
