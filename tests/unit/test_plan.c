/* LIBS: lf_trainer */
/* The order of rows and the weights of their losses. */
#include "trainer/plan.h"

#include "core/file.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define N_ROWS 10

/* Row i of the dataset starts with id 100 + i, has i % 3 + 1 supervised tokens and weighs i % 4 +
 * 0.5. */
static struct lf_dataset *make_rows(const struct lf_train_settings *s)
{
    struct lf_model m = {.config = {.V = 512, .bos = -1}, .rope_positions = 64};
    struct lf_buf text;
    struct lf_diag diag;
    struct lf_dataset *d;
    char path[64];
    lf_buf_init(&text, 0);
    for (int i = 0; i < N_ROWS; i++)
        lf_buf_printf(
            &text,
            "{\"input_ids\": [%d, 1, 2, 3], \"labels\": [-100, 1, %d, %d], \"weight\": %d.5}\n",
            100 + i, i % 3 > 0 ? 2 : -100, i % 3 > 1 ? 3 : -100, i % 4);
    snprintf(path, sizeof path, "test_plan.%d.jsonl", (int)getpid());
    assert_int_equal(lf_file_write(path, text.data, text.len, &diag), LF_OK);
    assert_int_equal(lf_dataset_load(&d, path, &m, s, false, NULL, &diag), LF_OK);
    unlink(path);
    lf_buf_free(&text);
    return d;
}

/* Ten rows. */
static void few_rows_are_passed_over_more_often(void **state)
{
    (void)state;
    static const struct {
        double epochs;
        int batch_size, n_rows;
    } cases[] = {{0, 10, 250}, {0, 2, 60}, {0, 1, 30}, {3, 10, 30}, {1, 2, 10}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lf_train_settings s;
        struct lf_plan p;
        lf_train_settings_default(&s);
        s.batch_size = cases[i].batch_size;
        s.epochs = cases[i].epochs;
        struct lf_dataset *d = make_rows(&s);
        assert_int_equal(lf_plan_init(&p, d, &s, NULL), LF_OK);
        assert_int_equal(p.n_rows, cases[i].n_rows);
        lf_plan_free(&p);
        lf_dataset_free(d);
    }
}

static void every_row_comes_once_in_an_epoch(void **state)
{
    (void)state;
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    s.batch_size = 4;
    s.epochs = 2.5;
    struct lf_dataset *d = make_rows(&s);
    struct lf_plan p;
    int seen[3][N_ROWS] = {{0}}, position = 0, moved = 0;
    assert_int_equal(lf_plan_init(&p, d, &s, NULL), LF_OK);
    assert_int_equal(p.n_rows, 25);
    assert_int_equal(p.steps, 7);
    for (int64_t step = 0; step < p.steps; step++) {
        lf_plan_go(&p, step);
        assert_int_equal(p.n, step < 6 ? 4 : 1);
        for (int i = 0; i < p.n; i++, position++) {
            seen[position / N_ROWS][p.rows[i]]++;
            moved += p.rows[i] != (uint32_t)(position % N_ROWS);
        }
    }
    for (int i = 0; i < N_ROWS; i++) {
        assert_int_equal(seen[0][i], 1);
        assert_int_equal(seen[1][i], 1);
        assert_in_range(seen[2][i], 0, 1);
    }
    assert_true(moved > 10);
    lf_plan_free(&p);
    lf_dataset_free(d);
}

static void a_step_is_the_same_from_wherever_it_is_reached(void **state)
{
    (void)state;
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    s.batch_size = 2;
    s.accumulation = 4;
    s.steps = 20;
    struct lf_dataset *d = make_rows(&s);
    struct lf_plan a, b;
    assert_int_equal(lf_plan_init(&a, d, &s, NULL), LF_OK);
    assert_int_equal(lf_plan_init(&b, d, &s, NULL), LF_OK);
    for (int64_t step = 0; step < 20; step++)
        lf_plan_go(&a, step);
    lf_plan_go(&b, 19);
    assert_int_equal(a.n, 8);
    assert_memory_equal(a.rows, b.rows, 8 * sizeof *a.rows);
    for (int i = 0; i < 8; i++)
        assert_true(lf_plan_drop_key(&a, i) == lf_plan_drop_key(&b, i));
    assert_true(lf_plan_drop_key(&a, 0) != lf_plan_drop_key(&a, 1));
    lf_plan_go(&b, 3);
    lf_plan_go(&b, 19);
    assert_memory_equal(a.rows, b.rows, 8 * sizeof *a.rows);
    s.shuffle = false;
    lf_plan_free(&b);
    assert_int_equal(lf_plan_init(&b, d, &s, NULL), LF_OK);
    lf_plan_go(&b, 1);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(b.rows[i], (8 + i) % N_ROWS);
    lf_plan_free(&a);
    lf_plan_free(&b);
    lf_dataset_free(d);
}

/* Sum over the step's tokens of their weights; and, for micro-batches, over each one's. */
static void check_weights(const struct lf_plan *p, enum lf_loss_normalization by)
{
    double all = 0, micro = 0;
    for (int i = 0; i < p->n; i++) {
        struct lf_row row;
        lf_dataset_row(p->d, p->rows[i], &row);
        micro += (double)p->weight[lf_plan_micro(p, i)] * row.weight * row.n_supervised;
        if (lf_plan_ends_micro(p, i)) {
            if (by == LF_LOSS_MICRO_BATCH)
                assert_float_equal(micro, 1.0 / p->n_micros, 1e-6);
            all += micro;
            micro = 0;
        }
    }
    assert_float_equal(all, 1, 1e-6);
}

static void weights_of_a_step_sum_to_one(void **state)
{
    (void)state;
    for (int by = LF_LOSS_TOKENS; by <= LF_LOSS_MICRO_BATCH; by++) {
        struct lf_train_settings s;
        lf_train_settings_default(&s);
        s.batch_size = 3;
        s.accumulation = 2;
        s.epochs = 1;
        s.loss_normalization = (enum lf_loss_normalization)by;
        struct lf_dataset *d = make_rows(&s);
        struct lf_plan p;
        assert_int_equal(lf_plan_init(&p, d, &s, NULL), LF_OK);
        assert_int_equal(p.steps, 2);
        for (int64_t step = 0; step < p.steps; step++) {
            lf_plan_go(&p, step);
            assert_int_equal(p.n, step == 0 ? 6 : 4);
            assert_int_equal(p.n_micros, 2);
            check_weights(&p, s.loss_normalization);
        }
        lf_plan_free(&p);
        lf_dataset_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_rows_are_passed_over_more_often),
        cmocka_unit_test(every_row_comes_once_in_an_epoch),
        cmocka_unit_test(a_step_is_the_same_from_wherever_it_is_reached),
        cmocka_unit_test(weights_of_a_step_sum_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
