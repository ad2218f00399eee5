/* LIBS: lf_trainer */
/* The log's lines are JSON whatever the numbers, and its curve holds what came last. */
#include "trainer/log.h"

#include "core/file.h"
#include "core/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The line as a reader sees it. */
static json_t *line_of(const struct lf_train_event *e)
{
    json_t *j, *dated = lf_json_dated(lf_train_log_json(e));
    struct lf_diag diag;
    assert_non_null(dated);
    char *text = json_dumps(dated, JSON_COMPACT | JSON_REAL_PRECISION(7));
    json_decref(dated);
    assert_memory_equal(text, "{\"time\":\"2", 10);
    if (lf_json_parse(&j, text, strlen(text), &diag) != LF_OK)
        fail_msg("%s: %s", text, diag.text);
    free(text);
    return j;
}

static void event_is(const json_t *line, const char *name)
{
    assert_string_equal(json_string_value(json_object_get(line, "event")), name);
}

static void events_become_lines(void **state)
{
    (void)state;
    json_t *j = line_of(&(struct lf_train_event){
        .kind = LF_TRAIN_MICRO, .step = 2, .micro = 4, .micro_loss = 1.25});
    assert_int_equal(json_integer_value(json_object_get(j, "step")), 3);
    assert_int_equal(json_integer_value(json_object_get(j, "micro")), 4);
    assert_true(json_number_value(json_object_get(j, "micro_loss")) == 1.25);
    event_is(j, "micro");
    json_decref(j);
    j = line_of(&(struct lf_train_event){.kind = LF_TRAIN_STEP,
                                         .step = 3,
                                         .progress = {.steps = 9, .tokens = 99},
                                         .loss = NAN,
                                         .grad_norm = INFINITY,
                                         .learning_rate = 1e-4});
    assert_int_equal(json_integer_value(json_object_get(j, "step")), 3);
    assert_true(json_is_null(json_object_get(j, "loss")));
    assert_true(json_is_null(json_object_get(j, "grad_norm")));
    assert_true(json_number_value(json_object_get(j, "learning_rate")) == 1e-4);
    assert_int_equal(json_integer_value(json_object_get(j, "tokens")), 99);
    event_is(j, "step");
    json_decref(j);
    j = line_of(&(struct lf_train_event){
        .kind = LF_TRAIN_END, .progress.state = LF_JOB_FAILED, .reason = "a \"reason\"\n"});
    event_is(j, "failed");
    assert_string_equal(json_string_value(json_object_get(j, "reason")), "a \"reason\"\n");
    json_decref(j);
    j = line_of(&(struct lf_train_event){.kind = LF_TRAIN_CHECKPOINT, .step = 5});
    event_is(j, "checkpoint");
    assert_null(json_object_get(j, "failed"));
    json_decref(j);
    j = line_of(&(struct lf_train_event){.kind = LF_TRAIN_CHECKPOINT, .step = 5, .reason = "full"});
    assert_string_equal(json_string_value(json_object_get(j, "failed")), "full");
    json_decref(j);
    j = line_of(&(struct lf_train_event){.kind = LF_TRAIN_EVAL, .progress.eval_loss = 2});
    assert_true(json_number_value(json_object_get(j, "eval_loss")) == 2);
    json_decref(j);
}

static void curve_of(struct lf_curve *c, const char *log, uint64_t job)
{
    char path[64];
    struct lf_diag diag;
    *c = (struct lf_curve){0};
    snprintf(path, sizeof path, "test_train_log.%d", (int)getpid());
    assert_int_equal(lf_file_write(path, log, strlen(log), &diag), LF_OK);
    assert_int_equal(lf_train_log_read(c, path, job, -1, &diag), LF_OK);
    unlink(path);
}

static void curve_is(struct lf_curve *c, size_t n_train, const struct lf_curve_point *train,
                     size_t n_eval, const struct lf_curve_point *eval)
{
    assert_int_equal(c->train.n, n_train);
    assert_int_equal(c->eval.n, n_eval);
    assert_memory_equal(c->train.p, train, n_train * sizeof *train);
    assert_memory_equal(c->eval.p, eval, n_eval * sizeof *eval);
    lf_curve_free(c);
}

/* Lines of before events had names are read as well. */
static void the_curve_holds_what_came_last(void **state)
{
    (void)state;
    static const char log[] = "{\"step\": 1, \"loss\": 4}\n{\"step\": 2, \"loss\": 3}\n"
                              "{\"step\": 3, \"loss\": 900}\nnot JSON\n"
                              "{\"step\": 3, \"micro\": 1}\n"
                              "{\"event\":\"started\",\"step\":1,\"steps\":3}\n"
                              "{\"event\":\"step\",\"step\": 2, \"loss\": 2.5}\n"
                              "{\"step\": 3, \"loss\": 2}\n"
                              "{\"step\": 3, \"eval_loss\": 2.25}\n{\"step\": 4, \"lo";
    const struct lf_curve_point train[] = {{1, 4}, {2, 2.5}, {3, 2}}, eval[] = {{3, 2.25}};
    struct lf_curve c;
    curve_of(&c, log, 0);
    curve_is(&c, 3, train, 1, eval);
    struct lf_diag diag;
    assert_int_equal(lf_train_log_read(&c, "/nonexistent/log", 0, -1, &diag), LF_E_NOT_FOUND);
}

static void a_log_of_many_jobs_has_a_curve_of_each(void **state)
{
    (void)state;
    static const char log[] = "{\"event\":\"step\",\"step\":1,\"loss\":4,\"job\":1}\n"
                              "{\"event\":\"eval\",\"step\":1,\"eval_loss\":5,\"job\":1}\n"
                              "{\"event\":\"step\",\"step\":1,\"loss\":3,\"job\":2}\n"
                              "{\"event\":\"step\",\"step\":2,\"loss\":2,\"job\":2}\n"
                              "{\"event\":\"scored\",\"version\":2,\"score\":1}\n";
    const struct lf_curve_point first[] = {{1, 4}}, eval[] = {{1, 5}}, second[] = {{1, 3}, {2, 2}};
    struct lf_curve c;
    curve_of(&c, log, 1);
    curve_is(&c, 1, first, 1, eval);
    curve_of(&c, log, 2);
    curve_is(&c, 2, second, 0, eval);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_become_lines),
        cmocka_unit_test(the_curve_holds_what_came_last),
        cmocka_unit_test(a_log_of_many_jobs_has_a_curve_of_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
