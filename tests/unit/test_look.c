/* LIBS: lf_trainer */
/* Rows before they are trained on: each is read, wrong or not, and what is learnt of the first ones
 * is shown. */
#include "tests/unit/dataset_rig.h"

#include "trainer/limits.h"
#include "trainer/look.h"

static json_t *look(const char *text, int64_t sample)
{
    struct lf_diag diag = {""};
    struct lf_train_settings s = settings(2048);
    json_t *out = NULL;
    assert_int_equal(lf_file_write(path, text, strlen(text), NULL), LF_OK);
    if (lf_rows_look(&out, path, &model, &s, sample, NULL, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    lf_train_settings_free(&s);
    return out;
}

static json_int_t count(const json_t *j, const char *name)
{
    return json_integer_value(json_object_get(j, name));
}

static const json_t *item(const json_t *j, const char *list, size_t i)
{
    return json_array_get(json_object_get(j, list), i);
}

static void every_wrong_row_is_named_and_the_rest_is_counted(void **state)
{
    (void)state;
    json_t *j = look("{\"prompt\": \"a\", \"completion\": \" b\"}\n"
                     "{\"prompt\": \"a\"}\n"
                     "not json\n"
                     "\n"
                     "{\"prompt\": \"a\", \"completion\": \"\"}\n"
                     "[1]\n"
                     "{\"prompt\": \"a\", \"completion\": \" c\"}\n"
                     "{\"prompt\": ",
                     0);
    static const int places[] = {2, 3, 6, 8};
    assert_int_equal(count(j, "rows"), 2);
    assert_int_equal(count(j, "n_faults"), 4);
    assert_int_equal(count(j, "lost_rows") + count(j, "rows"), 3);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(count(item(j, "faults", i), "place"), places[i]);
    const char *reason = lf_json_text_of(item(j, "faults", 1), "reason");
    assert_null(strstr(reason, "line 3"));
    assert_int_equal(json_array_size(json_object_get(j, "sample")), 0);
    json_decref(j);
}

static void the_first_rows_are_shown_with_what_carries_loss(void **state)
{
    (void)state;
    json_t *j = look("{\"prompt\": \"Q:\"}\n"
                     "{\"prompt\": \"Q:\", \"completion\": \" yes\"}\n"
                     "{\"prompt\": \"Q:\", \"completion\": \" no\"}\n",
                     1);
    const json_t *row = item(j, "sample", 0);
    assert_int_equal(json_array_size(json_object_get(j, "sample")), 1);
    assert_int_equal(count(row, "place"), 2);
    assert_int_equal(json_array_size(json_object_get(row, "pieces")), 2);
    assert_string_equal(lf_json_text_of(item(row, "pieces", 0), "text"), "<|begin_of_text|>Q:");
    assert_false(json_is_true(json_object_get(item(row, "pieces", 0), "learnt")));
    assert_string_equal(lf_json_text_of(item(row, "pieces", 1), "text"), " yes<|endoftext|>");
    assert_true(json_is_true(json_object_get(item(row, "pieces", 1), "learnt")));
    json_decref(j);
}

static void both_texts_of_a_pair_are_shown(void **state)
{
    (void)state;
    static const char text[] =
        "{\"prompt\": \"Q:\", \"chosen\": \" yes\", \"rejected\": \" no\"}\n";
    static const char *const kinds[] = {"chosen", "rejected"};
    struct lf_train_settings s = settings(2048);
    struct lf_diag diag = {""};
    json_t *j = NULL;
    s.loss = LF_LOSS_DPO;
    assert_int_equal(lf_file_write(path, text, strlen(text), NULL), LF_OK);
    if (lf_rows_look(&j, path, &model, &s, 1, NULL, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(count(j, "rows"), 1);
    assert_int_equal(json_array_size(json_object_get(j, "sample")), 2);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(lf_json_text_of(item(j, "sample", i), "kind"), kinds[i]);
    json_decref(j);
    lf_train_settings_free(&s);
}

static void a_file_that_cannot_be_read_on_ends_with_its_fault(void **state)
{
    (void)state;
    json_t *j = look("[{\"prompt\": \"a\", \"completion\": \" b\"}, {\"prompt\" 3}, {}]", 3);
    assert_int_equal(count(j, "rows"), 1);
    assert_int_equal(count(j, "n_faults"), 1);
    json_decref(j);
    char *long_line = malloc(LF_DATASET_LINE_MAX + 16);
    memset(long_line, 'x', LF_DATASET_LINE_MAX + 8);
    memcpy(long_line, "{\"a\": 1}\n{", 10);
    long_line[LF_DATASET_LINE_MAX + 15] = '\0';
    memset(long_line + LF_DATASET_LINE_MAX + 8, 'x', 7);
    j = look(long_line, 0);
    assert_int_equal(count(j, "n_faults"), 2);
    json_decref(j);
    free(long_line);
}

static void the_list_of_faults_has_a_ceiling_and_their_number_has_none(void **state)
{
    (void)state;
    lf_buf_auto text = {0};
    for (int i = 0; i < LF_LOOK_FAULTS_MAX + 5; i++)
        lf_buf_puts(&text, "{}\n");
    json_t *j = look(text.data, 0);
    assert_int_equal(count(j, "n_faults"), LF_LOOK_FAULTS_MAX + 5);
    assert_int_equal(json_array_size(json_object_get(j, "faults")), LF_LOOK_FAULTS_MAX);
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wrong_row_is_named_and_the_rest_is_counted),
        cmocka_unit_test(the_first_rows_are_shown_with_what_carries_loss),
        cmocka_unit_test(both_texts_of_a_pair_are_shown),
        cmocka_unit_test(a_file_that_cannot_be_read_on_ends_with_its_fault),
        cmocka_unit_test(the_list_of_faults_has_a_ceiling_and_their_number_has_none),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
