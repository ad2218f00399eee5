/* LIBS: lf_trainer */
/* Checkpoints: a job that was killed at any moment and resumed ends with the bytes of one that ran
 * through; and what happens to checkpoints that cannot be written, read or used. */
#include "tests/unit/train_rig.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

/* Where the test lives from here on, so that a killed child leaves nothing anywhere else. */
static char dir[] = "/tmp/test_trainer_resume.XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return lf_dir_remove(dir, NULL) == LF_OK ? 0 : -1;
}

static void path_in_dir(char out[128], const char *name)
{
    snprintf(out, 128, "%s/%s", dir, name);
}

static struct lf_job *add(struct lf_trainer *trainer, struct tiny *t,
                          const struct lf_train_settings *s, const char *checkpoint,
                          struct heard *h)
{
    struct lf_diag diag = {""};
    struct lf_job *j;
    struct lf_job_spec spec = {.settings = s,
                               .train = rows_made(t, s, 30, 3),
                               .checkpoint_dir = checkpoint,
                               .event = h ? hear : NULL,
                               .event_arg = h};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    return j;
}

/* Trains to the end, with a checkpoint at each step, from one where there is one, and writes the
 * parameters to `result`. */
static void train_here(const char *checkpoint, const char *result)
{
    struct tiny t;
    struct lf_diag diag = {""};
    struct lf_train_settings s = rig_settings();
    s.accumulation = 2;
    s.steps = 40;
    s.dora = true;
    tiny_open(&t, LF_DEVICE_CPU, 2, &rig_limits);
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job *j = add(trainer, &t, &s, checkpoint, NULL);
    run_to_end(trainer, 40);
    size_t n;
    float *p = params_of(j, &n);
    must(lf_file_write(result, p, n * sizeof *p, &diag), &diag);
    free(p);
    lf_trainer_free(trainer);
    tiny_close(&t);
}

/* A child that trains and is killed after `wait_us`; true when it ended by itself before. */
static bool child_ended(const char *checkpoint, const char *result, long wait_us)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        train_here(checkpoint, result);
        _exit(0);
    }
    struct timespec wait = {wait_us / 1000000, wait_us % 1000000 * 1000};
    nanosleep(&wait, NULL);
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFEXITED(status);
}

static void assert_same_files(const char *a, const char *b)
{
    struct lf_mapping x, y;
    assert_int_equal(lf_file_map(&x, a, NULL), LF_OK);
    assert_int_equal(lf_file_map(&y, b, NULL), LF_OK);
    assert_int_equal(x.bytes, y.bytes);
    assert_memory_equal(x.data, y.data, x.bytes);
    lf_file_unmap(&x);
    lf_file_unmap(&y);
}

static void killed_and_resumed_ends_with_the_same_bytes(void **state)
{
    (void)state;
    char checkpoint[128], killed[128], whole[128];
    path_in_dir(checkpoint, "checkpoint");
    path_in_dir(killed, "killed");
    path_in_dir(whole, "whole");
    int kills = 0;
    long wait_us = 20000;
    for (uint64_t i = 0; !child_ended(checkpoint, killed, wait_us); i++) {
        kills++;
        wait_us = 20000 + (long)(lf_rng_u32(11, i, 0) % (60000 + 20000 * (uint32_t)i));
        assert_true(i < 200);
    }
    print_message("killed %d times\n", kills);
    assert_true(kills > 0);
    assert_false(lf_file_exists(checkpoint) && kills == 0);
    train_here(NULL, whole);
    assert_same_files(killed, whole);
    assert_int_equal(lf_dir_remove(checkpoint, NULL), LF_OK);
}

static void stop_anywhere(const struct lf_train_settings *s)
{
    struct tiny t;
    struct lf_diag diag = {""};
    struct lf_exec_limits limits = rig_limits;
    char checkpoint[128];
    limits.rank_max = s->rank;
    path_in_dir(checkpoint, "stops");
    tiny_open(&t, LF_DEVICE_CPU, 2, &limits);
    size_t n;
    float *whole = trained_alone(&t, s, 3, 0, &n);
    struct lf_progress p = {.state = LF_JOB_RUNNING};
    for (int round = 0; p.state == LF_JOB_RUNNING; round++) {
        struct lf_trainer *trainer = trainer_open(&t);
        struct lf_job *j = add(trainer, &t, s, checkpoint, NULL);
        lf_job_progress(j, &p, NULL);
        assert_int_equal(p.resumed, 3 * round);
        for (int i = 0, active = 1; i < 3 && active > 0; i++)
            must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
        lf_job_progress(j, &p, NULL);
        if (p.state == LF_JOB_DONE) {
            float *resumed = params_of(j, &n);
            assert_memory_equal(resumed, whole, n * sizeof *whole);
            free(resumed);
            lf_job_release(j);
            assert_false(lf_file_exists(checkpoint));
        }
        lf_trainer_free(trainer);
    }
    free(whole);
    tiny_close(&t);
}

static void stops_anywhere_and_goes_on_from_the_last_step(void **state)
{
    (void)state;
    struct lf_train_settings s = rig_settings();
    stop_anywhere(&s);
    s.rank = 64; /* the least of which these layers have moments of 8 bits, beside some of 32 */
    s.optimizer = LF_OPTIMIZER_ADAMW_8BIT;
    s.dora = true;
    stop_anywhere(&s);
}

/* A job that resumes although it should not would have resumed > 0. */
static void expect_over(struct tiny *t, const struct lf_train_settings *s, const char *checkpoint,
                        const char *says)
{
    struct lf_trainer *trainer = trainer_open(t);
    struct lf_progress p;
    struct lf_diag why;
    lf_job_progress(add(trainer, t, s, checkpoint, NULL), &p, &why);
    assert_int_equal(p.resumed, 0);
    if (!strstr(why.text, says))
        fail_msg("\"%s\" does not say \"%s\"", why.text, says);
    lf_trainer_free(trainer);
}

static void another_jobs_checkpoint_is_not_used(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_diag diag = {""};
    struct lf_train_settings s = rig_settings();
    char checkpoint[128], file[256];
    int active;
    path_in_dir(checkpoint, "others");
    snprintf(file, sizeof file, "%s/checkpoint.safetensors", checkpoint);
    tiny_open(&t, LF_DEVICE_CPU, 2, &rig_limits);
    struct lf_trainer *trainer = trainer_open(&t);
    add(trainer, &t, &s, checkpoint, NULL);
    for (int i = 0; i < 3; i++)
        must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
    lf_trainer_free(trainer);
    assert_true(lf_file_exists(file));

    s.learning_rate *= 2;
    expect_over(&t, &s, checkpoint, "other settings");
    s = rig_settings();
    s.seed++;
    expect_over(&t, &s, checkpoint, "other settings");
    s = rig_settings();
    s.eval_every = 3;
    trainer = trainer_open(&t);
    struct lf_progress p;
    lf_job_progress(add(trainer, &t, &s, checkpoint, NULL), &p, NULL);
    assert_int_equal(p.resumed, 3);
    lf_trainer_free(trainer);

    s = rig_settings();
    struct lf_buf bytes;
    lf_buf_init(&bytes, 0);
    must(lf_file_read(&bytes, file, 1 << 20, &diag), &diag);
    must(lf_file_write(file, bytes.data, bytes.len / 2, &diag), &diag);
    expect_over(&t, &s, checkpoint, "started over");
    must(lf_file_write(file, "", 0, &diag), &diag);
    expect_over(&t, &s, checkpoint, "started over");
    lf_buf_free(&bytes);
    tiny_close(&t);
}

static void a_checkpoint_that_cannot_be_written_stops_nothing(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_diag diag = {""};
    struct lf_train_settings s = rig_settings();
    struct heard h = {0};
    char file[128], checkpoint[256];
    path_in_dir(file, "file");
    snprintf(checkpoint, sizeof checkpoint, "%s/under", file);
    must(lf_file_write(file, "x", 1, &diag), &diag);
    tiny_open(&t, LF_DEVICE_CPU, 2, &rig_limits);
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job *j = add(trainer, &t, &s, checkpoint, &h);
    run_to_end(trainer, 0);
    assert_int_equal(h.state, LF_JOB_DONE);
    assert_int_equal(h.checkpoints, 0);
    assert_non_null(strstr(h.trouble, "file"));
    size_t n;
    float *a = params_of(j, &n), *b = trained_alone(&t, &s, 3, 0, &n);
    assert_memory_equal(a, b, n * sizeof *a);
    free(a);
    free(b);
    lf_trainer_free(trainer);
    tiny_close(&t);
}

static void checkpoints_come_when_asked_for(void **state)
{
    (void)state;
    struct tiny t;
    struct lf_diag diag = {""};
    struct lf_train_settings s = rig_settings();
    struct heard h = {0};
    char checkpoint[128];
    int active;
    path_in_dir(checkpoint, "asked");
    s.steps = 1000000; /* it does not end while a slow disk writes */
    tiny_open(&t, LF_DEVICE_CPU, 2, &rig_limits);
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_job *j;
    struct lf_job_spec spec = {.settings = &s,
                               .train = rows_made(&t, &s, 30, 3),
                               .checkpoint_dir = checkpoint,
                               .checkpoint_seconds = 3600,
                               .event = hear,
                               .event_arg = &h};
    must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    for (int i = 0; i < 3; i++)
        must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
    assert_int_equal(h.checkpoints, 0);
    lf_job_checkpoint(j);
    while (h.checkpoints == 0)
        must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
    assert_int_equal(h.checkpoint_step, 4);
    lf_job_pause(j, true);
    while (active > 0)
        must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
    while (h.checkpoints == 1)
        must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
    assert_int_equal(h.checkpoint_step, h.steps);
    lf_job_cancel(j);
    assert_false(lf_file_exists(checkpoint));
    lf_trainer_free(trainer);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_and_resumed_ends_with_the_same_bytes),
        cmocka_unit_test(stops_anywhere_and_goes_on_from_the_last_step),
        cmocka_unit_test(another_jobs_checkpoint_is_not_used),
        cmocka_unit_test(a_checkpoint_that_cannot_be_written_stops_nothing),
        cmocka_unit_test(checkpoints_come_when_asked_for),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
