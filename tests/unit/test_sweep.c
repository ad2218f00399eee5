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
    } bad[] = {
        {"{\"learning_rate\": [1e-4, 7]}", "learning_rate"},
        {"{\"rank\": []}", "\"rank\" may have 1 to 64 values"},
        {"{\"trials\": 4}", "no setting has several values"},
        {"{\"max_length\": [128, 256]}", "max_length"},
        {"{\"rank\": [8, 16], \"from\": \"current\"}", "\"rank\" is that of the version"},
        {"{\"alpha\": [8, 16], \"from\": 3}", "\"alpha\" is that of the version"},
        {"{\"rank\": [8, 16, 8]}", "\"rank\" has the value 8 twice"},
        {"{\"learning_rate\": [0.001, 1e-3]}", "\"learning_rate\" has the value 0.001 twice"},
        {"{\"target_modules\": [[\"q_proj\"], [\"q_proj\"]]}", "twice"},
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
    /* Each value goes with the others' first, and two of them not with each other. */
    must(parse(&s, "{\"init\": [\"\", \"pissa\"], \"weight_decay\": [0, 0.1]}", &diag), &diag);
    assert_int_equal(lf_sweep_expand(&w, &s, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "set it to 0"));
    lf_train_settings_free(&s);
}

static void trials_are_drawn(void **state)
{
    (void)state;
    static const char text[] = "{\"rank\": [1,2,3,4,5,6,7,8,9,10], \"alpha\": [1,2,4,8,16,32],"
                               " \"seed\": 3, \"trials\": 8, \"steps\": 80}";
    struct lf_sweep w = sweep_of(text), again = sweep_of(text);
    assert_int_equal(w.n, 8);
    for (int i = 0; i < w.n; i++) {
        assert_true(json_equal(w.chosen[i], again.chosen[i]));
        for (int k = 0; k < i; k++)
            assert_false(json_equal(w.chosen[i], w.chosen[k]));
    }
    lf_sweep_free(&w);
    lf_sweep_free(&again);
}

/* The steps of the first training's rungs; -1 ends them. */
static void rungs_are(const char *text, const int64_t *steps)
{
    struct lf_sweep w = sweep_of(text);
    struct lf_dataset *d = rows_made(&t, &w.settings[0], 30, 3);
    struct lf_diag diag = {""};
    must(lf_sweep_place_rungs(&w, d, &diag), &diag);
    int n = 0;
    for (; steps[n] >= 0; n++)
        assert_int_equal(w.rung[0].step[n], steps[n]);
    assert_int_equal(w.rungs, n);
    assert_int_equal(w.rung[0].n, n);
    lf_dataset_free(d);
    lf_sweep_free(&w);
}

#define EIGHT "\"rank\": [1,2,3,4,5,6,7,8]"

static void rungs_are_parts_of_the_steps(void **state)
{
    (void)state;
    rungs_are("{" EIGHT ", \"steps\": 320}", (int64_t[]){20, 40, 80, -1});
    rungs_are("{" EIGHT ", \"steps\": 320, \"halving\": 0.5}", (int64_t[]){40, 80, 160, -1});
    rungs_are("{" EIGHT ", \"steps\": 320, \"halving\": 0}", (int64_t[]){-1});
    rungs_are("{\"rank\": [1,2], \"steps\": 320}", (int64_t[]){80, -1});
    rungs_are("{\"rank\": [1,2,3], \"steps\": 320}", (int64_t[]){40, 80, -1});
    /* Not before the warm-up is over, nor at once. */
    rungs_are("{" EIGHT ", \"steps\": 320, \"warmup_fraction\": 0.2}", (int64_t[]){64, 64, 80, -1});
    rungs_are("{" EIGHT ", \"steps\": 320, \"warmup_steps\": 200, \"accumulation\": 4,"
              " \"schedule_by\": \"micro_batches\"}",
              (int64_t[]){50, 50, 80, -1});
    rungs_are("{" EIGHT ", \"steps\": 48}", (int64_t[]){8, 8, 12, -1});
    rungs_are("{" EIGHT ", \"steps\": 4}", (int64_t[]){4, 4, 4, -1});
}

static void survivors_are(const char *lists, const int *left)
{
    struct lf_sweep w = sweep_of(lists);
    for (int rung = 0; rung < w.rungs; rung++)
        assert_int_equal(lf_sweep_survivors(&w, rung), left[rung]);
    assert_int_equal(left[w.rungs - 1], 1);
    lf_sweep_free(&w);
}

static void one_is_left_after_the_last_rung(void **state)
{
    (void)state;
    survivors_are("{\"rank\": [1,2]}", (int[]){1});
    survivors_are("{\"rank\": [1,2,3]}", (int[]){2, 1});
    survivors_are("{" EIGHT "}", (int[]){4, 2, 1});
    survivors_are("{" EIGHT ", \"alpha\": [1,2,3,4,5,6,7,8]}", (int[]){16, 4, 1});
}

/* A table of trainings under way, of 64 steps each, without an evaluation. */
static void table_of(struct lf_sweep_table *table, const struct lf_sweep *w,
                     struct lf_sweep_row *rows)
{
    *table = (struct lf_sweep_table){.row = rows, .n = w->n, .best = -1};
    for (int i = 0; i < w->n; i++) {
        rows[i] = (struct lf_sweep_row){
            .chosen = w->chosen[i], .state = LF_JOB_RUNNING, .progress = lf_progress_none()};
        rows[i].progress.steps = 64;
    }
}

static void table_free(struct lf_sweep_table *table)
{
    for (int i = 0; i < table->n; i++)
        lf_curve_free(&table->row[i].curve);
}

static void evaluated(struct lf_sweep_table *table, int row, int64_t step, double loss)
{
    assert_int_equal(lf_curve_add(&table->row[row].curve.eval, (double)step, loss), LF_OK);
}

/* What ends now: a bit each. */
static int ending(struct lf_sweep_table *table, const struct lf_sweep *w)
{
    int rows = 0;
    for (int i; (i = lf_sweep_table_ends(table, w)) >= 0;) {
        assert_int_equal(table->row[i].state, LF_JOB_CANCELLED);
        rows |= 1 << i;
    }
    return rows;
}

/* Six trainings, of which 4, 2 and 1 go on after steps 8, 16 and 32 of 128. */
static struct lf_sweep six(void)
{
    struct lf_diag diag = {""};
    struct lf_sweep w = sweep_of("{\"rank\": [1,2,3,4,5,6], \"steps\": 128}");
    struct lf_dataset *d = rows_made(&t, &w.settings[0], 30, 3);
    must(lf_sweep_place_rungs(&w, d, &diag), &diag);
    lf_dataset_free(d);
    return w;
}

static void the_worse_half_ends_when_all_are_there(void **state)
{
    (void)state;
    static const double loss[] = {3, 1, 4, 2, (double)NAN, 6};
    struct lf_sweep_row rows[6];
    struct lf_sweep_table table;
    struct lf_sweep w = six();
    table_of(&table, &w, rows);
    for (int i = 0; i < 6; i++) {
        evaluated(&table, i, 4, 7 - loss[i]); /* before the rung it says nothing */
        assert_int_equal(ending(&table, &w), 0);
        evaluated(&table, i, i == 0 ? 9 : 8, loss[i]);
    }
    assert_int_equal(ending(&table, &w), 1 << 4 | 1 << 5);
    evaluated(&table, 3, 16, 0.5);
    evaluated(&table, 3, 32, 0); /* further than the others, of which it has nothing */
    evaluated(&table, 1, 16, 0.4);
    evaluated(&table, 0, 16, 0.3);
    assert_int_equal(ending(&table, &w), 0);
    evaluated(&table, 2, 16, 0.5);
    assert_int_equal(ending(&table, &w), 1 << 2 | 1 << 3);
    evaluated(&table, 0, 32, 0.2);
    evaluated(&table, 1, 32, 0.2);
    assert_int_equal(ending(&table, &w), 1 << 1); /* of equals the first goes on */
    assert_int_equal(rows[0].state, LF_JOB_RUNNING);
    table_free(&table);
    lf_sweep_free(&w);
}

static void who_failed_or_is_done_makes_no_room_for_worse_ones(void **state)
{
    (void)state;
    struct lf_sweep_row rows[6];
    struct lf_sweep_table table;
    struct lf_sweep w = six();
    table_of(&table, &w, rows);
    for (int i = 1; i < 6; i++)
        evaluated(&table, i, 8, i);
    rows[0].state = LF_JOB_FAILED;
    rows[5].state = LF_JOB_DONE; /* the worst, at its end before others began */
    rows[1].state = LF_JOB_DONE;
    evaluated(&table, 5, 16, 0.9);
    evaluated(&table, 1, 16, 0.1);
    assert_int_equal(ending(&table, &w), 0); /* four of five are left: the fifth is done */
    for (int i = 2; i < 5; i++)
        evaluated(&table, i, 16, 0.2 * i);
    assert_int_equal(ending(&table, &w), 1 << 3 | 1 << 4);
    table_free(&table);
    lf_sweep_free(&w);
}

static void the_next_best_is_trained_where_the_best_failed(void **state)
{
    (void)state;
    static const double loss[] = {4, 1, 2, 3, 5, 6};
    struct lf_sweep_row rows[6];
    struct lf_sweep_table table;
    struct lf_sweep w = six();
    table_of(&table, &w, rows);
    for (int i = 0; i < 6; i++) {
        evaluated(&table, i, 8, loss[i]);
        rows[i].state = i == 1 ? LF_JOB_RUNNING : LF_JOB_CANCELLED;
    }
    assert_false(lf_sweep_table_revive(&table)); /* the best is there */
    rows[1].state = LF_JOB_FAILED;
    assert_true(lf_sweep_table_revive(&table));
    assert_int_equal(rows[2].state, LF_JOB_QUEUED);
    assert_int_equal(rows[2].curve.eval.n, 0); /* from its start */
    assert_false(lf_sweep_table_revive(&table));
    table_free(&table);
    lf_sweep_free(&w);
}

static void a_table_reads_back_and_is_a_csv_and_a_picture(void **state)
{
    (void)state;
    char path[64];
    struct lf_sweep_row rows[2], again[2];
    struct lf_sweep_table table, read;
    struct lf_diag diag = {""};
    lf_buf_auto json = {0}, second = {0}, csv = {0}, svg = {0};
    struct lf_sweep w =
        sweep_of("{\"target_modules\": [\"all-linear\", [\"q_proj\", \"v_proj\"]]}");
    table_of(&table, &w, rows);
    evaluated(&table, 0, 4, 0.5);
    evaluated(&table, 1, 4, 0.25);
    rows[1].state = LF_JOB_DONE;
    rows[0].state = LF_JOB_CANCELLED;
    table.best = 1;
    must(lf_sweep_table_json(&json, &table), &diag);
    must(lf_sweep_table_csv(&csv, &table), &diag);
    must(lf_sweep_table_svg(&svg, &table, "a < b"), &diag);
    assert_string_equal(
        csv.data, "trial,target_modules,state,step,steps,eval_loss,loss,tokens,seconds,best\r\n"
                  "0,all-linear,ended early,0,64,0.5,,0,0.0,0\r\n"
                  "1,\"[\"\"q_proj\"\",\"\"v_proj\"\"]\",done,0,64,0.25,,0,0.0,1\r\n");
    assert_non_null(strstr(svg.data, "<g class=\"run best\""));
    assert_non_null(strstr(svg.data, "a &lt; b"));
    snprintf(path, sizeof path, "test_sweep.%d.json", (int)getpid());
    must(lf_file_write(path, json.data, json.len, &diag), &diag);
    table_of(&read, &w, again);
    must(lf_sweep_table_read(&read, path, "/nonexistent/log", 1, &diag), &diag);
    unlink(path);
    must(lf_sweep_table_json(&second, &read), &diag);
    assert_string_equal(json.data, second.data);
    table_free(&read);
    table_free(&table);
    lf_sweep_free(&w);
}

/* ---- What a sweep costs, counted ------------------------------------------------------------ */

/* As a daemon runs it: trainings fused, ended as the table says. */
struct run {
    const struct lf_sweep *w;
    struct lf_sweep_table table;
    struct lf_sweep_row rows[8];
    struct member {
        struct run *run;
        struct lf_job *job;
    } member[8];
    int passes;
    int64_t tokens, evaluated; /* trained on, over all; and read to evaluate */
    int best;
};

static void on_event(void *arg, const struct lf_train_event *e)
{
    struct member *m = arg;
    struct run *r = m->run;
    struct lf_sweep_row *row = &r->rows[m - r->member];
    row->progress = e->progress;
    if (e->kind == LF_TRAIN_EVAL)
        evaluated(&r->table, (int)(m - r->member), e->step, e->progress.eval_loss);
    if (e->kind == LF_TRAIN_END)
        row->state = e->progress.state;
}

/* The first n trainings. */
static void run_sweep(struct run *r, const struct lf_sweep *w, int n)
{
    struct lf_diag diag = {""};
    struct lf_trainer *trainer = trainer_open(&t);
    struct lf_dataset *d = rows_made(&t, &w->settings[0], 1, 3);
    struct lf_dataset *held = rows_made(&t, &w->settings[0], 1, 3);
    struct lf_dataset_report report;
    lf_dataset_report(held, &report);
    *r = (struct run){.w = w, .best = -1};
    table_of(&r->table, w, r->rows);
    r->table.n = n;
    for (int i = 0; i < n; i++) {
        r->member[i].run = r;
        struct lf_job_spec spec = {.settings = &w->settings[i],
                                   .train = lf_dataset_share(d),
                                   .eval = lf_dataset_share(held),
                                   .eval_at = w->rung[i],
                                   .event = on_event,
                                   .event_arg = &r->member[i]};
        must(lf_trainer_add(trainer, &spec, &r->member[i].job, &diag), &diag);
    }
    lf_dataset_free(d); /* the others have it still */
    lf_dataset_free(held);
    for (int active = 1; active > 0; r->passes++) {
        must(lf_trainer_step(trainer, 0, &active, &diag), &diag);
        for (int i; (i = lf_sweep_table_ends(&r->table, w)) >= 0;)
            lf_job_cancel(r->member[i].job);
    }
    for (int i = 0; i < n; i++) {
        const struct lf_sweep_row *row = &r->rows[i];
        r->tokens += row->progress.tokens;
        r->evaluated += (int64_t)row->curve.eval.n * report.tokens;
        if (row->state == LF_JOB_DONE &&
            (r->best < 0 || lf_sweep_row_loss(row) < lf_sweep_row_loss(&r->rows[r->best])))
            r->best = i;
    }
    lf_trainer_free(trainer);
    table_free(&r->table);
}

/* None so large that its losses jump about: with those a last bit would decide who is the best. */
#define RATES "\"learning_rate\": [1e-8, 1e-7, 1e-6, 1e-5, 1e-3, 1e-4, 3e-6, 3e-5], "
#define SHORT                                                                        \
    "\"batch_size\": 1, \"steps\": 128, \"rank\": 4, \"dropout\": 0, \"schedule\": " \
    "\"constant\", \"eval_every\": 64"

static void eight_rates_cost_about_one_and_the_best_is_found(void **state)
{
    (void)state;
    static struct run one, eight, all;
    struct lf_diag diag = {""};
    struct lf_sweep w = sweep_of("{" RATES SHORT "}");
    struct lf_sweep whole = sweep_of("{" RATES SHORT ", \"halving\": 0}");
    struct lf_dataset *d = rows_made(&t, &w.settings[0], 30, 3);
    must(lf_sweep_place_rungs(&w, d, &diag), &diag);
    lf_dataset_free(d);
    run_sweep(&one, &whole, 1);
    run_sweep(&all, &whole, 8);
    run_sweep(&eight, &w, 8);
    print_message("one training, eight rates to their ends, eight halved: passes over the base "
                  "%d, %d, %d; tokens trained %lld, %lld, %lld; evaluated %lld, %lld, %lld\n",
                  one.passes, all.passes, eight.passes, (long long)one.tokens,
                  (long long)all.tokens, (long long)eight.tokens, (long long)one.evaluated,
                  (long long)all.evaluated, (long long)eight.evaluated);
    assert_int_equal(all.best, 4); /* 1e-3 */
    assert_int_equal(eight.best, 4);
    assert_int_equal(all.tokens, 8 * one.tokens);
    assert_int_equal(4 * eight.tokens, 7 * one.tokens); /* 8/16 + 4/16 + 2/8 + 3/4 */
    assert_true(eight.passes * 10 <= one.passes * 13);
    lf_sweep_free(&w);
    lf_sweep_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_combined),
        cmocka_unit_test(a_sweep_prints_and_reads_back),
        cmocka_unit_test(bad_sweeps_are_refused),
        cmocka_unit_test(trials_are_drawn),
        cmocka_unit_test(rungs_are_parts_of_the_steps),
        cmocka_unit_test(one_is_left_after_the_last_rung),
        cmocka_unit_test(the_worse_half_ends_when_all_are_there),
        cmocka_unit_test(who_failed_or_is_done_makes_no_room_for_worse_ones),
        cmocka_unit_test(the_next_best_is_trained_where_the_best_failed),
        cmocka_unit_test(a_table_reads_back_and_is_a_csv_and_a_picture),
        cmocka_unit_test(eight_rates_cost_about_one_and_the_best_is_found),
    };
    return cmocka_run_group_tests(tests, open_tiny, close_tiny);
}
