/* LIBS: lf_land lf_core m */
/* A study's file, its cells on disk, and its matrix. */
#include "core/file.h"
#include "land/grid.h"
#include "land/host.h"
#include "land/show.h"
#include "land/study.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char dir[] = "/tmp/lorafs-test-land.XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return lf_dir_remove(dir, NULL) == LF_OK ? 0 : -1;
}

static enum lf_err open_text(struct lf_study *s, const char *text, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    const struct lf_study_places none = {0};
    snprintf(path, sizeof path, "%s/tiny.json", dir);
    assert_int_equal(lf_file_write(path, text, strlen(text), diag), LF_OK);
    return lf_study_open(s, path, &none, diag);
}

static const char tiny[] =
    "{\"bases\": [\"bases/a\", {\"base\": \"/opt/b/\", \"settings\": {\"rank\": 4}}],\n"
    " \"data\": \"rows\", \"rows\": 100, \"eval_rows\": 10, \"fused\": 3,\n"
    " \"tasks\": [\"viggo\", {\"task\": \"mine/own.json\", \"rows\": 7, \"data\": \"/data\",\n"
    "              \"settings\": {\"steps\": 5}}],\n"
    " \"settings\": {\"rank\": 8, \"epochs\": 2, \"learning_rate\": 0.001},\n"
    " \"variants\": [{\"name\": \"low\"}, {\"name\": \"high\", \"settings\": {\"rank\": 64}}],\n"
    " \"daemon\": {\"device\": \"cpu\", \"train_tokens\": 512}}";

static void a_study_says_what_is_trained(void **state)
{
    (void)state;
    char path[LF_PATH_MAX], column[LF_NAME_MAX + 1];
    struct lf_study s;
    struct lf_diag diag = {""};
    assert_int_equal(open_text(&s, tiny, &diag), LF_OK);
    assert_string_equal(s.name, "tiny");
    assert_string_equal(s.title, "tiny");
    assert_int_equal(s.n_bases * s.n_tasks * s.n_variants, 8);
    snprintf(path, sizeof path, "%s/bases/a", dir);
    assert_string_equal(s.bases[0].dir, path);
    assert_string_equal(s.bases[1].name, "b");
    assert_string_equal(s.tasks[0].definition, "viggo");
    assert_int_equal(s.tasks[0].rows, 100);
    assert_int_equal(s.tasks[0].shots, -1);
    snprintf(path, sizeof path, "%s/mine/own.json", dir);
    assert_string_equal(s.tasks[1].definition, path);
    assert_string_equal(s.tasks[1].name, "own");
    assert_string_equal(s.tasks[1].data, "/data");
    assert_int_equal(s.tasks[1].rows, 7);
    assert_int_equal(s.tasks[1].eval_rows, 10);
    lf_study_column(column, &s, 1, 1);
    assert_string_equal(column, "b.high");
    assert_int_equal(lf_host_options_check(s.daemon, &diag), LF_OK);
    lf_study_close(&s);

    const struct lf_study_places places = {"/srv/bases", "/srv/rows"};
    snprintf(path, sizeof path, "%s/tiny.json", dir);
    assert_int_equal(lf_study_open(&s, path, &places, &diag), LF_OK);
    assert_string_equal(s.bases[0].dir, "/srv/bases/a");
    assert_string_equal(s.bases[1].dir, "/srv/bases/b");
    assert_string_equal(s.tasks[0].data, "/srv/rows");
    assert_string_equal(s.tasks[1].data, "/srv/rows");
    lf_study_close(&s);
}

static void nearer_settings_win(void **state)
{
    (void)state;
    struct lf_study s;
    struct lf_diag diag = {""};
    assert_int_equal(open_text(&s, tiny, &diag), LF_OK);
    json_t *own = json_pack("{s:s, s:i, s:f}", "metric", "rouge_l", "rank", 2, "learning_rate", 1.);
    json_t *x = lf_study_settings(&s, own, 0, 0, 0);
    assert_int_equal(json_integer_value(json_object_get(x, "rank")), 8);
    assert_int_equal(json_integer_value(json_object_get(x, "epochs")), 2);
    assert_string_equal(json_string_value(json_object_get(x, "metric")), "rouge_l");
    json_decref(x);
    x = lf_study_settings(&s, own, 1, 1, 0);
    assert_int_equal(json_integer_value(json_object_get(x, "rank")), 4);
    assert_int_equal(json_integer_value(json_object_get(x, "steps")), 5);
    assert_null(json_object_get(x, "epochs")); /* steps and epochs exclude each other */
    json_decref(x);
    x = lf_study_settings(&s, NULL, 1, 0, 1);
    assert_int_equal(json_integer_value(json_object_get(x, "rank")), 64);
    json_decref(x);
    json_decref(own);
    assert_int_equal(json_integer_value(json_object_get(s.settings, "rank")), 8);
    lf_study_close(&s);
}

static void a_wrong_study_is_refused_by_its_member(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"[]", "object"},
        {"{\"bases\": [], \"tasks\": [\"a\"]}", "\"bases\""},
        {"{\"bases\": [\"a\"]}", "\"tasks\""},
        {"{\"bases\": [\"a\"], \"tasks\": [\"x\"], \"epochs\": 3}", "epochs"},
        {"{\"bases\": [\"x/a\", \"y/a\"], \"tasks\": [\"x\"]}", "two bases are called a"},
        {"{\"bases\": [\"a\"], \"tasks\": [\"x\", \"x\"]}", "two tasks are called x"},
        {"{\"bases\": [\"a\"], \"tasks\": [{\"name\": \"x\"}]}", "without \"task\""},
        {"{\"bases\": [\"a\"], \"tasks\": [{\"task\": \"x\", \"rows\": -1}]}", "\"rows\""},
        {"{\"bases\": [\"..\"], \"tasks\": [\"x\"]}", "no name of a base"},
        {"{\"bases\": [\"a\"], \"tasks\": [\"x\"], \"settings\": {\"rang\": 8}}",
         "settings of x on a"},
        {"{\"bases\": [\"a\"], \"tasks\": [\"x\"], \"variants\": [\"r8\"]}", "entry 1"},
        {"{\"bases\": [\"a\"], \"tasks\": [\"x\"], \"fused\": 0}", "fused"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lf_study s;
        struct lf_diag diag = {""};
        assert_int_equal(open_text(&s, bad[i].text, &diag), LF_E_INVALID);
        assert_non_null(strstr(diag.text, bad[i].why));
        assert_non_null(strstr(diag.text, "tiny.json"));
    }
    struct lf_diag diag = {""};
    json_t *options = json_pack("{s:i}", "train_token", 4);
    assert_int_equal(lf_host_options_check(options, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "train_tokens"));
    json_decref(options);
}

/* Every cell in another state. */
static void fill(struct lf_grid *f)
{
    for (int i = 0; i < f->n_tasks * f->n_columns; i++) {
        struct lf_cell *c = &f->cells[i];
        c->state = (enum lf_cell_state)(i % (LF_CELL_FAILED + 1));
        c->progress = 0.25;
        snprintf(c->key, sizeof c->key, "key-%d", i);
        c->settings = json_pack("{s:i}", "rank", i);
        if (c->state == LF_CELL_DONE) {
            c->result = (struct lf_land_cell){.there = true,
                                              .metric = "rouge_l",
                                              .base_score = 0.125,
                                              .tuned_score = 0.5,
                                              .trust = lf_land_trust_unknown(),
                                              .rows = 10,
                                              .tokens = 1000,
                                              .seconds = 2.5};
            c->result.trust.lift = (struct lf_interval){0.25, 0.5};
            c->result.trust.majority = 0.75;
            c->result.trust.collapsed = true;
        }
        if (c->state == LF_CELL_FAILED)
            snprintf(c->reason, sizeof c->reason, "no \"room\"");
    }
}

static void cells_survive_their_files(void **state)
{
    (void)state;
    struct lf_study s;
    struct lf_grid f, back;
    struct lf_land_table t;
    struct lf_diag diag = {""};
    assert_int_equal(open_text(&s, tiny, &diag), LF_OK);
    assert_int_equal(lf_grid_read(&back, dir, &diag), LF_E_NOT_FOUND);
    assert_int_equal(lf_grid_init(&f, &s, dir, &diag), LF_OK);
    fill(&f);
    f.seconds = 12.5;
    assert_int_equal(lf_grid_write(&f, &diag), LF_OK);
    assert_int_equal(lf_grid_read(&back, dir, &diag), LF_OK);
    assert_false(back.running);
    assert_true(fabs(back.seconds - 12.5) < 1e-9);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(back.cells[i].state, f.cells[i].state);
        assert_string_equal(back.cells[i].column, f.cells[i].column);
        assert_string_equal(back.cells[i].reason, f.cells[i].reason);
    }
    assert_true(fabs(lf_grid_progress(&back) - lf_grid_progress(&f)) < 1e-9);

    /* A finished cell comes back to a new run, if its key is the same. */
    struct lf_cell *done = &f.cells[LF_CELL_DONE];
    assert_int_equal(lf_grid_cell_write(&f, done, &diag), LF_OK);
    struct lf_cell *same = &back.cells[LF_CELL_DONE];
    same->state = LF_CELL_WAITING;
    snprintf(same->key, sizeof same->key, "another");
    lf_grid_cell_recall(&back, same);
    assert_int_equal(same->state, LF_CELL_WAITING);
    snprintf(same->key, sizeof same->key, "%s", done->key);
    lf_grid_cell_recall(&back, same);
    assert_int_equal(same->state, LF_CELL_DONE);
    assert_true(fabs(same->result.base_score - 0.125) < 1e-9);
    assert_int_equal(same->result.tokens, 1000);
    assert_true(same->result.trust.lift.low == 0.25 && same->result.trust.lift.high == 0.5);
    assert_true(isnan(same->result.trust.base.low));
    assert_true(same->result.trust.majority == 0.75 && same->result.trust.collapsed);
    assert_int_equal(lf_grid_table(&f, &t, &diag), LF_OK);
    int ended = 0;
    for (int b = 0; b < t.n_bases; b++)
        for (int k = 0; k < t.n_tasks; k++)
            ended += lf_land_table_get(&t, b, k) != NULL;
    assert_int_equal(ended, lf_grid_count(&f, LF_CELL_DONE) + lf_grid_count(&f, LF_CELL_FAILED));
    lf_land_table_free(&t);
    lf_grid_free(&f);
    lf_grid_free(&back);

    /* Damaged files are refused, and a damaged cell is as none. */
    char path[LF_PATH_MAX];
    snprintf(path, sizeof path, "%s/status.json", dir);
    static const char *const damaged[] = {"{\"columns\": [\"a\"], \"tasks\": [\"../x\"]}",
                                          "{\"columns\": [\"a\"], \"tasks\": [\"x\"]}"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lf_file_write(path, damaged[i], strlen(damaged[i]), &diag), LF_OK);
        assert_int_equal(lf_grid_read(&back, dir, &diag), LF_E_DAMAGED);
    }
    lf_study_close(&s);
}

static void a_matrix_fits_its_terminal(void **state)
{
    (void)state;
    struct lf_study s;
    struct lf_grid f;
    struct lf_buf text;
    struct lf_diag diag = {""};
    lf_buf_init(&text, 0);
    assert_int_equal(open_text(&s, tiny, &diag), LF_OK);
    assert_int_equal(lf_grid_init(&f, &s, dir, &diag), LF_OK);
    fill(&f);
    lf_show_matrix(&text, &f, 100, false);
    assert_non_null(strstr(text.data, "0.500 (+0.375)"));
    assert_non_null(strstr(text.data, "training  25%"));
    assert_non_null(strstr(text.data, "1 of 8 cells, 1 failed"));
    assert_null(strchr(text.data, '\033'));
    lf_buf_reset(&text);
    lf_show_matrix(&text, &f, 44, false);
    for (const char *p = text.data; *p; p++) {
        size_t n = strcspn(p, "\n");
        assert_true(n <= 44);
        p += n;
    }
    assert_non_null(strstr(text.data, "0.500"));
    lf_buf_free(&text);
    lf_grid_free(&f);
    lf_study_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_study_says_what_is_trained),
        cmocka_unit_test(nearer_settings_win),
        cmocka_unit_test(a_wrong_study_is_refused_by_its_member),
        cmocka_unit_test(cells_survive_their_files),
        cmocka_unit_test(a_matrix_fits_its_terminal),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
