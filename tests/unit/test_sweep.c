/* LIBS: lf_trainer */
/* Lists in a config.json become trainings; they share the passes over the base. */
#define TINY_SLOTS 16
#include "tests/unit/tiny_rig.h"
#include "trainer/sweep_table.h"

static enum lf_err parse(struct lf_train_settings *s, const char *text, struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    must(lf_json_parse(&j, text, strlen(text), diag), diag);
    return lf_train_settings_parse(s, j, diag);
}

static struct lf_sweep sweep_of(const char *text)
{
    struct lf_train_settings s;
    struct lf_diag diag = {""};
    struct lf_sweep w;
    must(parse(&s, text, &diag), &diag);
    must(lf_sweep_expand(&w, &s, &diag), &diag);
    lf_train_settings_free(&s);
    return w;
}

static void lists_are_combined(void **state)
{
    (void)state;
    struct lf_sweep w = sweep_of("{\"learning_rate\": [1e-4, 3e-4, 1e-3], \"rank\": [8, 16],"
                                 " \"target_modules\": [\"all-linear\", [\"q_proj\", \"v_proj\"]],"
                                 " \"batch_size\": 4}");
    assert_int_equal(w.n, 12);
    assert_int_equal(w.rungs, 0);
    int rates = 0, modules = 0;
    for (int i = 0; i < w.n; i++) {
        assert_int_equal(w.settings[i].batch_size, 4);
        assert_null(w.settings[i].sweep);
        rates += w.settings[i].learning_rate == 3e-4 && w.settings[i].rank == 16;
        modules += w.settings[i].target_modules &&
                   strcmp(w.settings[i].target_modules, "q_proj,v_proj") == 0;
        assert_int_equal(json_object_size(w.chosen[i]), 3);
    }
    assert_int_equal(rates, 2);
    assert_int_equal(modules, 6);
    lf_sweep_free(&w);
}

static void a_sweep_prints_and_reads_back(void **state)
{
    (void)state;
    struct lf_train_settings s, again;
    struct lf_diag diag = {""};
    lf_buf_auto text = {0}, second = {0};
    must(parse(&s, "{\"learning_rate\": [0.0001, 0.0003], \"trials\": 2}", &diag), &diag);
    assert_true(s.learning_rate == 1e-4); /* whoever looks at one value sees the first */
    must(lf_train_settings_print(&s, &text), &diag);
    assert_non_null(strstr(text.data, "\"learning_rate\": [0.0001,0.0003]"));
    must(parse(&again, text.data, &diag), &diag);
    must(lf_train_settings_print(&again, &second), &diag);
    assert_string_equal(text.data, second.data);
    lf_train_settings_free(&s);
    lf_train_settings_free(&again);
}

static void bad_sweeps_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {{"{\"learning_rate\": [1e-4, 7]}", "learning_rate"},
               {"{\"rank\": []}", "\"rank\" may have 1 to 64 values"},
               {"{\"trials\": 4}", "no setting has several values"},
               {"{\"max_length\": [128, 256]}", "max_length"},
               {"{\"steps\": [10, 20], \"epochs\": 1}", "not both"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lf_train_settings s;
        struct lf_diag diag = {""};
        assert_int_equal(parse(&s, bad[i].text, &diag), LF_E_INVALID);
        if (!strstr(diag.text, bad[i].why))
            fail_msg("%s: %s", bad[i].text, diag.text);
    }
    struct lf_train_settings s;
    struct lf_sweep w;
    struct lf_diag diag = {""};
    must(parse(&s, "{\"rank\": [1,2,3,4,5,6,7,8,9], \"seed\": [1,2,3,4,5,6,7,8]}", &diag), &diag);
    assert_int_equal(lf_sweep_expand(&w, &s, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "a sweep of 72 trainings; 64 at the most"));
    lf_train_settings_free(&s);
}

static void trials_are_drawn_and_halved(void **state)
{
    (void)state;
    static const char text[] = "{\"rank\": [1,2,3,4,5,6,7,8,9,10], \"alpha\": [1,2,4,8,16,32],"
                               " \"seed\": 3, \"trials\": 8, \"steps\": 80}";
    struct lf_sweep w = sweep_of(text), again = sweep_of(text);
    struct lf_diag diag = {""};
    assert_int_equal(w.n, 8);
    assert_int_equal(w.rungs, 3);
    for (int i = 0; i < w.n; i++) {
        assert_true(json_equal(w.chosen[i], again.chosen[i]));
        for (int k = 0; k < i; k++)
            assert_false(json_equal(w.chosen[i], w.chosen[k]));
    }
    assert_true(lf_sweep_rung(&w, 0) == 0.125 && lf_sweep_rung(&w, 2) == 0.5);
    assert_int_equal(lf_sweep_survivors(8), 4);
    assert_int_equal(lf_sweep_survivors(3), 2);
    struct lf_dataset *d = rows_made(&t, &w.settings[0], 30, 3);
    must(lf_sweep_evaluate(&w, d, &diag), &diag);
    assert_int_equal(w.settings[0].eval_every, 10);
    lf_dataset_free(d);
    lf_sweep_free(&w);
    lf_sweep_free(&again);
}

/* A table of n rows, each with an evaluation after half of its 8 steps: row i's loss is loss[i]. */
static void table_of(struct lf_sweep_table *table, const struct lf_sweep *w,
                     struct lf_sweep_row *rows, const double *loss)
{
    *table = (struct lf_sweep_table){.row = rows, .n = w->n, .best = -1};
    for (int i = 0; i < w->n; i++) {
        rows[i] = (struct lf_sweep_row){
            .chosen = w->chosen[i], .state = LF_JOB_RUNNING, .progress = lf_progress_none()};
        rows[i].progress.steps = 8;
        assert_int_equal(lf_curve_add(&rows[i].curve.eval, 4, loss[i]), LF_OK);
    }
}

static void table_free(struct lf_sweep_table *table)
{
    for (int i = 0; i < table->n; i++)
        lf_curve_free(&table->row[i].curve);
}

static void the_worse_half_ends_when_all_are_there(void **state)
{
    (void)state;
    static const double loss[] = {3, 1, 4, 2, 5, 6};
    struct lf_sweep_row rows[6];
    struct lf_sweep_table table;
    struct lf_sweep w = sweep_of("{\"rank\": [1,2,3,4,5,6,7], \"trials\": 6, \"steps\": 8}");
    table_of(&table, &w, rows, loss);
    rows[4].curve.eval.n = 0; /* it has not come there */
    assert_int_equal(lf_sweep_table_ends(&table, &w), -1);
    rows[4].curve.eval.n = 1;
    int ended = 0;
    for (int i; (i = lf_sweep_table_ends(&table, &w)) >= 0; ended++)
        assert_true(loss[i] > 1 && rows[i].state == LF_JOB_CANCELLED);
    assert_int_equal(ended, 5); /* 6, 3, 2, 1: all three rungs are behind them */
    assert_int_equal(rows[1].state, LF_JOB_RUNNING);
    table_free(&table);
    lf_sweep_free(&w);
}

static void a_table_reads_back_and_is_a_csv_and_a_picture(void **state)
{
    (void)state;
    static const double loss[] = {0.5, 0.25};
    char path[64];
    struct lf_sweep_row rows[2], again[2];
    struct lf_sweep_table table, read;
    struct lf_diag diag = {""};
    lf_buf_auto json = {0}, second = {0}, csv = {0}, svg = {0};
    struct lf_sweep w =
        sweep_of("{\"target_modules\": [\"all-linear\", [\"q_proj\", \"v_proj\"]]}");
    table_of(&table, &w, rows, loss);
    rows[1].state = LF_JOB_DONE;
    rows[0].state = LF_JOB_CANCELLED;
    table.best = 1;
    must(lf_sweep_table_json(&json, &table), &diag);
    must(lf_sweep_table_csv(&csv, &table), &diag);
    must(lf_sweep_table_svg(&svg, &table, "a < b"), &diag);
    assert_string_equal(
        csv.data, "trial,target_modules,state,step,steps,eval_loss,loss,tokens,seconds,best\r\n"
                  "0,all-linear,ended early,0,8,0.5,,0,0.0,0\r\n"
                  "1,\"[\"\"q_proj\"\",\"\"v_proj\"\"]\",done,0,8,0.25,,0,0.0,1\r\n");
    assert_non_null(strstr(svg.data, "<g class=\"run best\""));
    assert_non_null(strstr(svg.data, "a &lt; b"));
    snprintf(path, sizeof path, "test_sweep.%d.json", (int)getpid());
    must(lf_file_write(path, json.data, json.len, &diag), &diag);
    table_of(&read, &w, again, loss);
    table_free(&read); /* the rows alone */
    for (int i = 0; i < 2; i++)
        again[i].curve = (struct lf_curve){0};
    must(lf_sweep_table_read(&read, path, "/nonexistent/log", 1, &diag), &diag);
    unlink(path);
    must(lf_sweep_table_json(&second, &read), &diag);
    assert_string_equal(json.data, second.data);
    table_free(&read);
    table_free(&table);
    lf_sweep_free(&w);
}

/* Passes over the base that n trainings at different rates take, fused, a row each at a time. */
static int passes(const struct lf_sweep *w, int n)
{
    struct lf_diag diag = {""};
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_dataset *d = rows_made(&t, &w->settings[0], 30, 3);
    int count = 0;
    for (int i = 0; i < n; i++) {
        struct lf_job *j;
        struct lf_job_spec spec = {.settings = &w->settings[i], .train = lf_dataset_share(d)};
        must(lf_trainer_add(trainer, &spec, &j, &diag), &diag);
    }
    lf_dataset_free(d); /* the others have it still */
    for (int active = 1; active > 0; count++)
        must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
    lf_trainer_free(trainer);
    return count;
}

static void eight_rates_take_the_passes_of_one(void **state)
{
    (void)state;
    struct lf_sweep w =
        sweep_of("{\"learning_rate\": [1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3],"
                 " \"batch_size\": 1, \"steps\": 24, \"rank\": 4}");
    int one = passes(&w, 1), eight = passes(&w, 8);
    print_message("passes over the base: one training %d, eight rates %d\n", one, eight);
    assert_int_equal(one, 24);
    assert_true(eight * 10 <= one * 13);
    lf_sweep_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_combined),
        cmocka_unit_test(a_sweep_prints_and_reads_back),
        cmocka_unit_test(bad_sweeps_are_refused),
        cmocka_unit_test(trials_are_drawn_and_halved),
        cmocka_unit_test(the_worse_half_ends_when_all_are_there),
        cmocka_unit_test(a_table_reads_back_and_is_a_csv_and_a_picture),
        cmocka_unit_test(eight_rates_take_the_passes_of_one),
    };
    return cmocka_run_group_tests(tests, open_tiny, close_tiny);
}
