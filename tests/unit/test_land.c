/* LIBS: lf_tools lf_core m */
/* The study's sums, checked on the published table: its own averages, win counts and the
 * discrepancies between them and the paper's text must come out of its cells. */
#include "core/file.h"
#include "tools/land/stats.h"
#include "tools/land/table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void load_published(struct lf_land_table *t)
{
    char path[LF_PATH_MAX];
    struct lf_buf b;
    struct lf_diag diag = {""};
    const char *source = getenv("LF_SOURCE");
    snprintf(path, sizeof path, "%s/share/land/published.csv", source ? source : ".");
    lf_buf_init(&b, 0);
    assert_int_equal(lf_land_table_init(t), LF_OK);
    assert_int_equal(lf_file_read(&b, path, 1 << 20, &diag), LF_OK);
    assert_int_equal(lf_land_table_parse_published(t, b.data, b.len, &diag), LF_OK);
    lf_buf_free(&b);
}

static void published_averages_come_from_its_cells(void **state)
{
    (void)state;
    static const struct {
        const char *base;
        double before, tuned, lift, clipped;
        int above_gpt4;
    } want[] = {
        {"gemma-2b", .145, .657, .512, .512, 18},
        {"gemma-7b", .187, .644, .456, .458, 16},
        {"llama-2-7b", .252, .695, .443, .444, 19},
        {"mistral-7b", .271, .732, .461, .461, 23},
        {"phi-2", .274, .677, .403, .403, 20},
        {"gemma-2b-it", .326, .644, .319, .319, 17},
        {"zephyr-7b-beta", .350, .742, .392, .392, 22},
        {"llama-2-7b-chat", .370, .708, .337, .337, 20},
        {"gemma-7b-it", .377, .629, .252, .279, 18},
        {"mistral-7b-instruct", .462, .724, .263, .263, 21},
    };
    struct lf_land_table t;
    load_published(&t);
    assert_int_equal(t.n_tasks, 31);
    assert_int_equal(t.n_bases, 12);
    int gpt4 = lf_land_table_base(&t, "gpt-4"), above = 0, equal = 0;
    assert_false(lf_land_table_trained(&t, gpt4));
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct lf_land_mean m;
        struct lf_land_wins w;
        int b = lf_land_table_base(&t, want[i].base);
        assert_true(b >= 0);
        lf_land_table_mean(&m, &t, b, -1);
        lf_land_table_wins(&w, &t, b, gpt4);
        assert_true(fabs(m.base - want[i].before) < 6e-4);
        assert_true(fabs(m.tuned - want[i].tuned) < 6e-4);
        assert_true(fabs(m.lift - want[i].lift) < 1e-3);
        assert_true(fabs(m.clipped_lift - want[i].clipped) < 1e-3);
        assert_int_equal(w.above, want[i].above_gpt4);
        above += w.above;
        equal += w.equal;
    }
    /* The text says 224 of 310 above GPT-4; its table gives 194, and 10 ties. */
    assert_int_equal(above, 194);
    assert_int_equal(equal, 10);
    lf_land_table_free(&t);
}

static void published_lift_is_the_clipped_one(void **state)
{
    (void)state;
    struct lf_land_table t;
    struct lf_land_mean m;
    load_published(&t);
    lf_land_table_mean(&m, &t, -1, -1);
    assert_int_equal(m.cells, 310);
    assert_int_equal(m.positive, 301);
    assert_true(fabs(m.clipped_lift - .3868) < 5e-4);
    assert_true(fabs(m.lift - .3839) < 5e-4);
    double best = 0;
    for (int k = 0; k < t.n_tasks; k++)
        best += lf_land_table_get(&t, lf_land_table_best(&t, k), k)->tuned_score;
    assert_true(fabs(best / t.n_tasks - .756) < 6e-4);
    lf_land_table_free(&t);
}

static void results_survive_their_file(void **state)
{
    (void)state;
    struct lf_land_table t, u;
    struct lf_buf b, again;
    struct lf_diag diag = {""};
    lf_buf_init(&b, 0);
    lf_buf_init(&again, 0);
    assert_int_equal(lf_land_table_init(&t), LF_OK);
    assert_int_equal(lf_land_table_init(&u), LF_OK);
    struct lf_land_cell *c = lf_land_table_put(&t, "llama-14m", "viggo");
    snprintf(c->metric, sizeof c->metric, "rouge_l");
    c->base_score = .064;
    c->tuned_score = .469;
    c->rows = 200;
    c->tokens = 123456;
    c->seconds = 61.5;
    lf_land_table_put(&t, "phi-15m", "boolq")->tuned_score = .5;
    assert_int_equal(lf_land_table_print(&t, &b), LF_OK);
    assert_int_equal(lf_land_table_parse(&u, b.data, b.len, &diag), LF_OK);
    assert_int_equal(lf_land_table_print(&u, &again), LF_OK);
    assert_string_equal(b.data, again.data);
    static const char *const bad[] = {
        "base,task\nx,y\n",
        "base,task,metric,base_score,tuned_score,rows,tokens,seconds\n"
        "a,b,m,zero,1,1,1,1\n",
        "base,task,metric,base_score,tuned_score,rows,tokens,seconds\n"
        "../a,b,m,0,1,1,1,1\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        diag.text[0] = '\0';
        assert_int_equal(lf_land_table_parse(&u, bad[i], strlen(bad[i]), &diag), LF_E_INVALID);
        assert_non_null(strstr(diag.text, "line "));
    }
    lf_land_table_free(&t);
    lf_land_table_free(&u);
    lf_buf_free(&b);
    lf_buf_free(&again);
}

static void summaries_match_numpy(void **state)
{
    (void)state;
    /* numpy: x.mean(), x.std(), np.percentile(x, 95), np.corrcoef(x, y)[0, 1] */
    const double x[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3}, y[] = {2, 7, 1, 8, 2, 8, 1, 8, 2, 8};
    struct lf_summary s;
    assert_int_equal(lf_stat_summary(&s, x, 10), LF_OK);
    assert_true(fabs(s.mean - 3.9) < 1e-12);
    assert_true(fabs(s.sigma - 2.343074902771996) < 1e-12);
    assert_true(fabs(s.p95 - 7.65) < 1e-12);
    assert_true(fabs(lf_stat_correlation(x, y, 10) - 0.10492284287735874) < 1e-12);
    const double flat[] = {1, 1, 1};
    assert_true(isnan(lf_stat_correlation(x, flat, 3)));
    assert_int_equal(lf_stat_summary(&s, x, 0), LF_OK);
    assert_true(isnan(s.mean));
}

static void leave_one_out_punishes_noise(void **state)
{
    (void)state;
    enum { N = 12 };
    double x[N * 2], y[N];
    for (int i = 0; i < N; i++) {
        x[2 * i] = i;
        x[2 * i + 1] = (i * 7919) % 13; /* knows nothing of y */
        y[i] = 3 * i + 1;
    }
    struct lf_fit f;
    assert_int_equal(lf_stat_fit(&f, x, y, N, 2, NULL), LF_OK);
    assert_true(f.r2 > 1 - 1e-12 && f.r2_loo > 1 - 1e-9 && f.rmse_loo < 1e-6);
    assert_true(fabs(f.coef[1]) < 1e-9);
    lf_stat_fit_free(&f);
    for (int i = 0; i < N; i++)
        y[i] = (i * 6007) % 11;
    assert_int_equal(lf_stat_fit(&f, x, y, N, 2, NULL), LF_OK);
    assert_true(f.r2_loo < f.r2);
    lf_stat_fit_free(&f);
    assert_int_equal(lf_stat_fit(&f, x, y, 2, 2, NULL), LF_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_averages_come_from_its_cells),
        cmocka_unit_test(published_lift_is_the_clipped_one),
        cmocka_unit_test(results_survive_their_file),
        cmocka_unit_test(summaries_match_numpy),
        cmocka_unit_test(leave_one_out_punishes_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
