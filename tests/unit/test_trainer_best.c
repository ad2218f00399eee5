/* LIBS: lf_trainer */
/* Evaluations during a training: the best one's weights become the adapter, a training that does
 * not become better ends, and a resumed one knows what the best was. */
#include "tests/unit/tiny_rig.h"

#define EVALS_MAX 32

/* Every evaluation: its step, its loss, and the parameters then. */
struct seen {
    struct lf_job **job;
    int n, steps;
    int64_t step[EVALS_MAX];
    double loss[EVALS_MAX];
    float *params[EVALS_MAX];
    size_t n_params;
    struct lf_progress end;
};

static void see(void *arg, const struct lf_train_event *e)
{
    struct seen *s = arg;
    s->steps += e->kind == LF_TRAIN_STEP;
    if (e->kind == LF_TRAIN_END)
        s->end = e->progress;
    if (e->kind != LF_TRAIN_EVAL)
        return;
    assert_true(s->n < EVALS_MAX);
    s->step[s->n] = e->step;
    s->loss[s->n] = e->progress.eval_loss;
    s->params[s->n++] = params_of(*s->job, &s->n_params);
}

static int best_of(const struct seen *s)
{
    int best = 0;
    for (int i = 1; i < s->n; i++)
        if (s->loss[i] < s->loss[best])
            best = i;
    return best;
}

static void forget(struct seen *s)
{
    for (int i = 0; i < s->n; i++)
        free(s->params[i]);
}

/* A rate at which what is learnt of some rows soon harms others, by far more than a rounding. */
static struct lf_train_settings overfits(void)
{
    struct lf_train_settings s = rig_settings();
    s.learning_rate = 2e-1;
    s.warmup_steps = 0;
    s.schedule = LF_SCHEDULE_CONSTANT;
    s.eval_every = 2;
    return s;
}

/* Up to `steps` batches of a job on rows of seed 3, evaluated on others; 0: to its end. */
static struct lf_trainer *run(const struct lf_train_settings *s, const char *checkpoint, int steps,
                              struct lf_job **j, struct seen *seen)
{
    struct lf_diag diag = {""};
    int active = 1;
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job_spec spec = {.settings = s,
                               .train = rows_made(&t, s, 30, 3),
                               .eval = rows_made(&t, s, 8, 9),
                               .checkpoint_dir = checkpoint,
                               .event = see,
                               .event_arg = seen};
    *seen = (struct seen){.job = j};
    must(lf_trainer_add(trainer, &spec, j, &diag), &diag);
    while (active && (steps == 0 || seen->steps < steps))
        must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
    return trainer;
}

static void the_best_evaluations_weights_are_kept(void **state)
{
    (void)state;
    struct lf_train_settings s = overfits();
    struct lf_job *j;
    struct seen seen;
    size_t n;
    struct lf_trainer *trainer = run(&s, NULL, 0, &j, &seen);
    int best = best_of(&seen);
    assert_int_equal(seen.n, 6);
    assert_true(best < seen.n - 1); /* or nothing is tested */
    float *kept = params_of(j, &n);
    assert_memory_equal(kept, seen.params[best], n * sizeof *kept);
    assert_int_equal(seen.end.kept, seen.step[best]);
    assert_true(seen.end.eval_loss == seen.loss[best]);
    assert_int_equal(seen.end.step, 12);
    lf_job_release(j);
    lf_trainer_free(trainer);
    forget(&seen);

    s.keep = LF_KEEP_LAST;
    trainer = run(&s, NULL, 0, &j, &seen);
    float *last = params_of(j, &n);
    assert_memory_equal(last, seen.params[seen.n - 1], n * sizeof *last);
    assert_memory_not_equal(last, kept, n * sizeof *last);
    assert_int_equal(seen.end.kept, 0);
    assert_true(seen.end.eval_loss == seen.loss[seen.n - 1]);
    lf_job_release(j);
    lf_trainer_free(trainer);
    forget(&seen);
    free(kept);
    free(last);
}

static void patience_ends_what_becomes_no_better(void **state)
{
    (void)state;
    struct lf_train_settings s = overfits();
    struct lf_job *j;
    struct seen seen;
    s.steps = 60;
    s.patience = 2;
    struct lf_trainer *trainer = run(&s, NULL, 0, &j, &seen);
    int best = best_of(&seen);
    assert_int_equal(best, seen.n - 3);
    assert_true(seen.end.step < 60);
    assert_int_equal(seen.end.step, seen.step[seen.n - 1]);
    assert_int_equal(seen.end.state, LF_JOB_DONE);
    assert_int_equal(seen.end.kept, seen.step[best]);
    lf_job_release(j);
    lf_trainer_free(trainer);
    forget(&seen);
}

/* Stopped after each step in turn: the end is the same, to the bit. */
static void a_resumed_training_knows_its_best(void **state)
{
    (void)state;
    struct lf_train_settings s = overfits();
    struct lf_job *j;
    struct seen seen;
    size_t n;
    char dir[64];
    struct lf_diag diag = {""};
    s.steps = 60;
    s.patience = 3;
    struct lf_trainer *trainer = run(&s, NULL, 0, &j, &seen);
    float *whole = params_of(j, &n);
    struct lf_progress want = seen.end;
    lf_job_release(j);
    lf_trainer_free(trainer);
    forget(&seen);
    snprintf(dir, sizeof dir, "trainer_best.%d", (int)getpid());
    for (int stop = 1; stop < want.step; stop++) {
        trainer = run(&s, dir, stop, &j, &seen); /* a checkpoint after each step */
        lf_trainer_free(trainer);
        forget(&seen);
        trainer = run(&s, dir, 0, &j, &seen);
        float *resumed = params_of(j, &n);
        assert_int_equal(seen.end.resumed, stop);
        assert_int_equal(seen.end.step, want.step);
        assert_int_equal(seen.end.kept, want.kept);
        assert_true(seen.end.eval_loss == want.eval_loss);
        assert_memory_equal(resumed, whole, n * sizeof *whole);
        free(resumed);
        lf_job_release(j); /* and its checkpoint */
        lf_trainer_free(trainer);
        forget(&seen);
    }
    free(whole);
    must(lf_dir_remove(dir, &diag), &diag);
}

/* Evaluations of 40 steps of 4 rows, by the number of rows to evaluate. */
static int evaluations(int rows)
{
    struct lf_train_settings s = rig_settings();
    struct heard h = {0};
    struct lf_job *j;
    struct lf_diag diag = {""};
    s.steps = 40;
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job_spec spec = {.settings = &s,
                               .train = rows_made(&t, &s, 30, 3),
                               .eval = rows_made(&t, &s, rows, 9),
                               .event = hear,
                               .event_arg = &h};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    run_to_end(trainer, 0);
    lf_job_release(j);
    lf_trainer_free(trainer);
    return h.evals;
}

static void evaluations_go_by_what_they_cost(void **state)
{
    (void)state;
    assert_int_equal(evaluations(2), 10);
    int some = evaluations(8);
    print_message("8 rows beside 160: %d evaluations\n", some);
    assert_true(some > 1 && some < 10);
    assert_int_equal(evaluations(40), 1); /* the one at the end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_evaluations_weights_are_kept),
        cmocka_unit_test(patience_ends_what_becomes_no_better),
        cmocka_unit_test(a_resumed_training_knows_its_best),
        cmocka_unit_test(evaluations_go_by_what_they_cost),
    };
    return cmocka_run_group_tests(tests, open_tiny, close_tiny);
}
