/* LIBS: lf_trainer */
/* The log's lines are JSON whatever the numbers, and its curve holds what was told last. */
#include "trainer/log.h"

#include "core/file.h"
#include "core/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static json_t *line_of(const struct lf_train_event *e)
{
    struct lf_buf out;
    json_t *j;
    struct lf_diag diag;
    lf_buf_init(&out, 0);
    assert_int_equal(lf_train_log_line(&out, e), LF_OK);
    assert_int_equal(out.data[out.len - 1], '\n');
    if (lf_json_parse(&j, out.data, out.len, &diag) != LF_OK)
        fail_msg("%s: %s", out.data, diag.text);
    lf_buf_free(&out);
    return j;
}

static void events_become_lines(void **state)
{
    (void)state;
    json_t *j = line_of(&(struct lf_train_event){
        .kind = LF_TRAIN_MICRO, .step = 2, .steps = 9, .micro = 4, .micro_loss = 1.25});
    assert_int_equal(json_integer_value(json_object_get(j, "step")), 3);
    assert_int_equal(json_integer_value(json_object_get(j, "micro")), 4);
    assert_true(json_number_value(json_object_get(j, "micro_loss")) == 1.25);
    json_decref(j);
    j = line_of(&(struct lf_train_event){.kind = LF_TRAIN_STEP,
                                         .step = 3,
                                         .steps = 9,
                                         .loss = NAN,
                                         .grad_norm = INFINITY,
                                         .learning_rate = 1e-4,
                                         .tokens = 99});
    assert_int_equal(json_integer_value(json_object_get(j, "step")), 3);
    assert_true(json_is_null(json_object_get(j, "loss")));
    assert_true(json_is_null(json_object_get(j, "grad_norm")));
    assert_true(json_number_value(json_object_get(j, "lr")) == 1e-4);
    json_decref(j);
    j = line_of(&(struct lf_train_event){
        .kind = LF_TRAIN_END, .state = LF_JOB_FAILED, .reason = "a \"reason\"\n"});
    assert_string_equal(json_string_value(json_object_get(j, "state")), "failed");
    assert_string_equal(json_string_value(json_object_get(j, "reason")), "a \"reason\"\n");
    json_decref(j);
    j = line_of(&(struct lf_train_event){.kind = LF_TRAIN_CHECKPOINT, .step = 5});
    assert_true(json_is_true(json_object_get(j, "checkpoint")));
    json_decref(j);
    j = line_of(&(struct lf_train_event){.kind = LF_TRAIN_EVAL, .eval_loss = 2});
    assert_true(json_number_value(json_object_get(j, "eval_loss")) == 2);
    json_decref(j);
}

static void the_curve_holds_what_was_told_last(void **state)
{
    (void)state;
    static const char log[] = "{\"step\": 1, \"loss\": 4}\n{\"step\": 2, \"loss\": 3}\n"
                              "{\"step\": 3, \"loss\": 900}\nnot JSON\n"
                              "{\"step\": 3, \"micro\": 1}\n"
                              "{\"step\": 2, \"loss\": 2.5}\n{\"step\": 3, \"loss\": 2}\n"
                              "{\"step\": 3, \"eval_loss\": 2.25}\n{\"step\": 4, \"lo";
    char path[64];
    struct lf_buf out, want;
    struct lf_diag diag;
    snprintf(path, sizeof path, "test_train_log.%d", (int)getpid());
    assert_int_equal(lf_file_write(path, log, strlen(log), &diag), LF_OK);
    lf_buf_init(&out, 0);
    assert_int_equal(lf_train_log_curve(&out, path, "t", &diag), LF_OK);
    unlink(path);
    static const char same[] = "{\"step\": 1, \"loss\": 4}\n{\"step\": 2, \"loss\": 2.5}\n"
                               "{\"step\": 3, \"loss\": 2}\n{\"step\": 3, \"eval_loss\": 2.25}\n";
    assert_int_equal(lf_file_write(path, same, strlen(same), &diag), LF_OK);
    lf_buf_init(&want, 0);
    assert_int_equal(lf_train_log_curve(&want, path, "t", &diag), LF_OK);
    unlink(path);
    assert_string_equal(out.data, want.data);
    lf_buf_free(&out);
    lf_buf_free(&want);
    assert_int_equal(lf_train_log_curve(&out, "/nonexistent/log", "t", &diag), LF_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_become_lines),
        cmocka_unit_test(the_curve_holds_what_was_told_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
