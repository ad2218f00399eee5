/* LIBS: lf_trainer lf_core */
/* Checkpoints under faults: the directory holds the old one or the new one, whole, and nothing
 * else; one that cannot be read says so. */
#include "tests/fault/fault.h"

#include "trainer/checkpoint.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N 1000 /* parameters */

struct world {
    char dir[64], at[96];
    float data[2][3 * N]; /* of steps 1 and 2 */
    struct lf_checkpoint got;
};

static void must(enum lf_err rc, const struct lf_diag *diag)
{
    if (rc != LF_OK)
        fail_msg("%s: %s", lf_err_name(rc), diag->text);
}

/* The checkpoint of this test. */
static const struct lf_checkpoint asked = {
    .digest = "whose", .n = N, .moments_bytes = 2 * N * sizeof(float)};

static enum lf_err write_step(struct world *w, int step, struct lf_diag *diag)
{
    struct lf_checkpoint_writer writer = {0};
    struct lf_checkpoint c = asked;
    c.step = step;
    c.tokens = 7;
    c.data = malloc(sizeof w->data[0]);
    if (!c.data)
        return lf_fail(diag, LF_E_NO_MEMORY, "the test's own");
    memcpy(c.data, w->data[step - 1], sizeof w->data[0]);
    enum lf_err rc = lf_checkpoint_start(&writer, &c, w->at, diag);
    if (rc != LF_OK)
        return rc;
    lf_checkpoint_over(&writer, true);
    *diag = writer.diag;
    return writer.rc;
}

static void before_first(void *arg)
{
    struct world *w = arg;
    w->got = (struct lf_checkpoint){0};
    fault_dir(w->dir);
    snprintf(w->at, sizeof w->at, "%s/jobs/1", w->dir);
}

static void before(void *arg)
{
    struct world *w = arg;
    struct lf_diag diag = {""};
    before_first(arg);
    must(write_step(w, 1, &diag), &diag);
}

static void end(struct world *w)
{
    struct lf_diag diag = {""};
    free(w->got.data);
    must(lf_dir_remove(w->dir, &diag), &diag);
}

/* Entries of the directory that are no checkpoint. */
static int others(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *x = d ? readdir(d) : NULL; x; x = readdir(d))
        n += x->d_name[0] != '.' && strcmp(x->d_name, "checkpoint.safetensors") != 0;
    if (d)
        closedir(d);
    return n;
}

static void holds(struct world *w, bool first, enum lf_err written)
{
    struct lf_diag diag = {""};
    struct lf_checkpoint c = asked;
    enum lf_err rc = lf_checkpoint_read(&c, w->at, &diag);
    assert_int_equal(others(w->at), 0);
    if (first && written != LF_OK && rc == LF_E_NOT_FOUND)
        return;
    must(rc, &diag);
    assert_true(c.step == 2 || (c.step == 1 && written != LF_OK && !first));
    assert_memory_equal(c.data, w->data[c.step - 1], sizeof w->data[0]);
    free(c.data);
}

static enum lf_err write_second(void *arg, struct lf_diag *diag)
{
    return write_step(arg, 2, diag);
}

static void after(void *arg, enum lf_err rc)
{
    holds(arg, false, rc);
    end(arg);
}

static void after_first(void *arg, enum lf_err rc)
{
    holds(arg, true, rc);
    end(arg);
}

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    for (int step = 0; step < 2; step++)
        for (int i = 0; i < 3 * N; i++)
            w->data[step][i] = (float)(i + step);
    return w;
}

static void the_old_or_the_new_checkpoint_is_there_whole(void **state)
{
    (void)state;
    static const struct fault_subject again = {before, write_second, after};
    static const struct fault_subject first = {before_first, write_second, after_first};
    struct world *w = world_new();
    fault_sweep(&again, w);
    fault_sweep(&first, w);
    free(w);
}

static enum lf_err read_first(void *arg, struct lf_diag *diag)
{
    struct world *w = arg;
    w->got = asked;
    return lf_checkpoint_read(&w->got, w->at, diag);
}

static void after_read(void *arg, enum lf_err rc)
{
    struct world *w = arg;
    assert_int_equal(rc == LF_OK, w->got.data != NULL);
    if (rc == LF_OK)
        assert_memory_equal(w->got.data, w->data[0], sizeof w->data[0]);
    assert_int_not_equal(rc, LF_E_NOT_FOUND);
    assert_int_not_equal(rc, LF_E_DAMAGED);
    assert_int_not_equal(rc, LF_E_INVALID);
    end(w);
}

static void a_read_that_fails_does_not_call_the_checkpoint_bad(void **state)
{
    (void)state;
    static const struct fault_subject subject = {before, read_first, after_read};
    struct world *w = world_new();
    fault_sweep(&subject, w);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_old_or_the_new_checkpoint_is_there_whole, fault_teardown),
        cmocka_unit_test_teardown(a_read_that_fails_does_not_call_the_checkpoint_bad,
                                  fault_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
