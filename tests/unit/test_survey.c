/* LIBS: lf_trainer */
/* What is said of a data set before it is trained on. */
#include "tests/unit/dataset_rig.h"
#include "trainer/survey.h"

static struct lf_survey survey_of(const char *rows, const char *eval, int max_length)
{
    struct lf_train_settings s = settings(max_length);
    struct lf_dataset *d, *e = NULL;
    struct lf_survey out;
    assert_int_equal(load(&d, rows, &s, NULL), LF_OK);
    if (eval)
        assert_int_equal(load(&e, eval, &s, NULL), LF_OK);
    assert_int_equal(lf_survey_make(&out, d, e, NULL, NULL), LF_OK);
    lf_dataset_free(d);
    lf_dataset_free(e);
    return out;
}

static void expect_line(const struct lf_survey *s, const char *want)
{
    lf_buf_auto line = {0};
    json_auto_t *warnings = lf_survey_warnings(s);
    assert_int_equal(lf_survey_line(&line, warnings), LF_OK);
    assert_string_equal(line.data, want);
}

#define ROW(P, C) "{\"prompt\": \"" P "\", \"completion\": \"" C "\"}\n"

static void rows_that_are_there_twice_are_counted(void **state)
{
    (void)state;
    struct lf_survey s =
        survey_of(ROW("a", "x") ROW("b", "x") ROW("a", "x") ROW("a", "y") ROW("b", "x"), NULL, 64);
    assert_int_equal(s.duplicates, 2);
    assert_int_equal(s.leaks, 0);
    expect_line(&s, "rows that repeat an earlier one: 2 of 5 (line 3 is 1)");
    /* The same ids of which another part is learnt are another row. */
    s = survey_of("{\"input_ids\": [5, 6, 7], \"labels\": [5, 6, 7]}\n"
                  "{\"input_ids\": [5, 6, 7], \"labels\": [-100, 6, 7]}\n"
                  "{\"input_ids\": [5, 6, 7], \"labels\": [-100, -100, 7]}\n",
                  NULL, 64);
    assert_int_equal(s.duplicates, 1); /* the first id is never learnt */
}

static void eval_rows_among_the_rows_are_counted(void **state)
{
    (void)state;
    struct lf_survey s = survey_of(ROW("a", "x") ROW("b", "y"),
                                   ROW("c", "x") ROW("b", "y") ROW("b", "x") ROW("a", "x"), 64);
    assert_int_equal(s.leaks, 2);
    expect_line(&s, "eval rows that are trained on, too, whose scores say little: 2 (line 2 is 2)");
}

static void eval_answers_that_no_row_has_are_counted(void **state)
{
    (void)state;
    const char *rows = ROW("a", "x") ROW("b", "y") ROW("c", "x") ROW("d", "y") ROW("e", "x")
        ROW("f", "y") ROW("g", "x") ROW("h", "y");
    struct lf_survey s = survey_of(rows, ROW("i", "x") ROW("j", "z") ROW("k", "v"), 64);
    assert_int_equal(s.unknown, 2);
    expect_line(&s, "eval rows whose answer no row has: 2 (line 2)");
    s = survey_of(rows, ROW("i", "x") ROW("j", "y"), 64);
    expect_line(&s, "");
    /* Answers of one's own are no labels. */
    s = survey_of(ROW("a", "x") ROW("b", "y"), ROW("c", "z"), 64);
    expect_line(&s, "");
}

static void rows_of_several_forms_are_counted(void **state)
{
    (void)state;
    struct lf_survey s = survey_of(
        ROW("a", "x") "{\"question\": \"q\", \"answer\": \"r\"}\n" ROW("b", "y"), NULL, 64);
    expect_line(&s,
                "rows in another form than the first's (prompt), in which it is asked: 1 (line 2)");
}

static void few_answers_are_labels(void **state)
{
    (void)state;
    lf_buf_auto text = {0};
    for (int i = 0; i < 40; i++)
        lf_buf_printf(&text, ROW("%d", "%s"), i, i == 7 ? "no" : "yes");
    struct lf_survey s = survey_of(text.data, NULL, 64);
    assert_int_equal(s.n_answers, 2);
    assert_int_equal(s.answers[0].n, 39);
    assert_int_equal(s.answers[1].row, 7);
    expect_line(&s, "98% of the rows have the same answer");
    lf_buf_reset(&text);
    for (int i = 0; i < 40; i++)
        lf_buf_printf(&text, ROW("%d", "yes"), i);
    s = survey_of(text.data, NULL, 64);
    expect_line(&s, "all rows have the same answer");
    lf_buf_reset(&text);
    for (int i = 0; i < 300; i++)
        lf_buf_printf(&text, ROW("%d", "the answer is %d"), i, i / 2);
    s = survey_of(text.data, NULL, 64);
    assert_int_equal(s.n_answers, 0);
    expect_line(&s, "");
}

static void a_length_above_the_bases_is_said(void **state)
{
    (void)state;
    lf_buf_auto text = {0};
    lf_buf_puts(&text, "{\"prompt\": \"");
    for (int i = 0; i < 2100; i++)
        lf_buf_puts(&text, "1 ");
    lf_buf_puts(&text, "\", \"completion\": \" 2\"}\n");
    struct lf_survey s = survey_of(text.data, NULL, 1 << 20);
    assert_in_range(s.report.n_max, 2000, 2048);
    expect_line(&s, "prompts shortened to fit max_length: 1; max_length is more than the base's "
                    "2048 positions, to which they were shortened");
    s = survey_of(text.data, NULL, 2048);
    assert_int_equal(s.report.positions, 0);
}

static void lengths_and_what_is_cut_are_said(void **state)
{
    (void)state;
    struct lf_survey s =
        survey_of(ROW("a", "") ROW("1 2 3 4 5 6 7 8", " 1") ROW("a", " 1 2 3 4 5"), NULL, 6);
    assert_int_equal(s.report.rows, 2);
    assert_int_equal(s.median, 5);
    assert_int_equal(s.report.n_max, 5);
    expect_line(&s, "rows with nothing to learn, left out: 1 of 3 (line 1); prompts shortened to "
                    "fit max_length: 2; completions shortened, whose end is not learnt: 1");
    json_t *j = lf_survey_json(&s);
    assert_int_equal(json_array_size(json_object_get(j, "warnings")), 3);
    assert_string_equal(lf_json_text_of(j, "form"), "prompt");
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_are_there_twice_are_counted),
        cmocka_unit_test(eval_rows_among_the_rows_are_counted),
        cmocka_unit_test(eval_answers_that_no_row_has_are_counted),
        cmocka_unit_test(rows_of_several_forms_are_counted),
        cmocka_unit_test(few_answers_are_labels),
        cmocka_unit_test(lengths_and_what_is_cut_are_said),
        cmocka_unit_test(a_length_above_the_bases_is_said),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
