/* LIBS: lf_score */
/* Bootstrap intervals of scores and lifts. */
#include "score/interval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* n rows of which every `of`-th scores 1. */
static struct lf_row_scores rows_of(size_t n, size_t of)
{
    struct lf_row_scores s;
    assert_int_equal(lf_row_scores_new(&s, n), LF_OK);
    for (size_t i = 0; i < n; i += of)
        lf_row_scores_set(&s, i, 1);
    return s;
}

/* Of a share p of n rows: about 1.96 standard errors to each side. */
static void an_interval_is_what_the_normal_law_says(void **state)
{
    (void)state;
    struct lf_row_scores s = rows_of(1000, 4);
    struct lf_interval x, again;
    assert_int_equal(lf_score_interval(&x, &s), LF_OK);
    double wide = 1.96 * sqrt(0.25 * 0.75 / 1000);
    assert_true(fabs(x.low - (0.25 - wide)) < 0.004 && fabs(x.high - (0.25 + wide)) < 0.004);
    assert_int_equal(lf_score_interval(&again, &s), LF_OK);
    assert_memory_equal(&x, &again, sizeof x);
    lf_row_scores_free(&s);
}

/* 50 of 1,000 rows become right, none becomes wrong: row by row that is certain, though the two
 * scores' own intervals meet. */
static void a_lift_is_of_the_same_rows(void **state)
{
    (void)state;
    struct lf_row_scores before = rows_of(1000, 2), after = rows_of(1000, 2), other = rows_of(9, 2);
    struct lf_interval lift, a, b;
    for (size_t i = 1; i < 100; i += 2)
        lf_row_scores_set(&after, i, 1);
    assert_int_equal(lf_lift_interval(&lift, &after, &before), LF_OK);
    assert_int_equal(lf_score_interval(&a, &after), LF_OK);
    assert_int_equal(lf_score_interval(&b, &before), LF_OK);
    assert_true(lift.low > 0.03 && lift.low < 0.05 && lift.high > 0.05 && lift.high < 0.07);
    assert_true(a.low < b.high);
    assert_int_equal(lf_lift_interval(&lift, &after, &other), LF_OK);
    assert_true(isnan(lift.low) && isnan(lift.high));
    lf_row_scores_free(&before);
    lf_row_scores_free(&after);
    lf_row_scores_free(&other);
}

static void without_rows_there_is_none(void **state)
{
    (void)state;
    struct lf_row_scores s;
    struct lf_interval x;
    static const size_t sizes[] = {0, LF_ROW_SCORES_MAX + 1};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lf_row_scores_new(&s, sizes[i]), LF_OK);
        lf_row_scores_set(&s, 0, 1);
        assert_int_equal(lf_score_interval(&x, &s), LF_OK);
        assert_true(isnan(x.low) && isnan(x.high));
    }
}

static void scores_come_back_from_text(void **state)
{
    (void)state;
    static const char *const wrong[] = {"0", "0g", "+1", "0 "};
    struct lf_row_scores s = rows_of(3, 2), back;
    lf_buf_auto text = {0};
    lf_row_scores_set(&s, 1, 0.5);
    assert_int_equal(lf_row_scores_print(&s, &text), LF_OK);
    assert_string_equal(text.data, "ff80ff");
    assert_int_equal(lf_row_scores_parse(&back, text.data), LF_OK);
    assert_int_equal(back.n, 3);
    assert_memory_equal(back.v, s.v, 3);
    lf_row_scores_free(&back);
    lf_row_scores_free(&s);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(lf_row_scores_parse(&back, wrong[i]), LF_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interval_is_what_the_normal_law_says),
        cmocka_unit_test(a_lift_is_of_the_same_rows),
        cmocka_unit_test(without_rows_there_is_none),
        cmocka_unit_test(scores_come_back_from_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
