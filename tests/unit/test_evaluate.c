/* LIBS: lf_trainer */
/* Evaluation by generation, on the embedded base: what the base says scores 1 as a reference. */
#include "trainer/evaluate.h"

#include "core/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define N_ROWS 5

static struct lf_device *dev;
static struct lf_stream *stream;
static struct lf_model *model;
static struct lf_slots *slots;
static struct lf_exec *exec;
static struct lf_gen *gen;
static char path[64];

static int open_base(void **state)
{
    (void)state;
    char dir[512];
    struct lf_diag diag = {""};
    struct lf_device_options options = {.threads = 2};
    struct lf_model_options model_options = {.quant = LF_QUANT_NF4};
    const struct lf_exec_limits limits = {
        .tokens_max = 64, .seqs_max = 4, .rows_max = 4, .rank_max = 1, .kv_pages = 16};
    snprintf(dir, sizeof dir, "%s/share/base", getenv("LF_SOURCE"));
    snprintf(path, sizeof path, "test_evaluate.%d", (int)getpid());
    if (lf_device_open(&dev, LF_DEVICE_CPU, &options, &diag) != LF_OK ||
        lf_stream_new(&stream, dev, 0, &diag) != LF_OK ||
        lf_model_open(&model, stream, dir, &model_options, &diag) != LF_OK ||
        lf_slots_new(&slots, dev, &model->config, 1, &diag) != LF_OK ||
        lf_exec_new(&exec, stream, model, slots, &limits, &diag) != LF_OK ||
        lf_gen_new(&gen, exec, model, &(struct lf_gen_limits){.context_max = 40}, &diag) != LF_OK) {
        fprintf(stderr, "%s\n", diag.text);
        return -1;
    }
    return 0;
}

static int close_base(void **state)
{
    (void)state;
    unlink(path);
    lf_gen_free(gen);
    lf_exec_free(exec);
    lf_slots_free(slots);
    lf_model_free(model);
    lf_stream_free(stream);
    lf_device_free(dev);
    return 0;
}

struct said {
    char *completion[N_ROWS];
    int rows;
};

static void listen(void *arg, const struct lf_eval_row *r)
{
    struct said *s = arg;
    s->completion[r->row] = strdup(r->completion);
    s->rows++;
}

static struct lf_dataset *rows_with(const struct said *s, bool keep_text)
{
    static const char *const prompts[N_ROWS] = {"The man", "It was a dark and", "In the year",
                                                "She said that", "Of all the"};
    struct lf_train_settings settings;
    struct lf_dataset *d;
    struct lf_diag diag = {""};
    struct lf_buf text;
    lf_buf_init(&text, 0);
    for (int i = 0; i < N_ROWS; i++) {
        const char *completion = s ? s->completion[i] : " nothing";
        lf_buf_printf(&text, "{\"prompt\": \"%s\", \"completion\": ", prompts[i]);
        lf_buf_json(&text, completion, strlen(completion));
        lf_buf_puts(&text, "}\n");
    }
    assert_int_equal(lf_file_write(path, text.data, text.len, NULL), LF_OK);
    lf_train_settings_default(&settings);
    if (lf_dataset_load(&d, path, model, &settings, keep_text, NULL, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    lf_buf_free(&text);
    return d;
}

static void what_the_base_says_scores_one(void **state)
{
    (void)state;
    struct said said = {.rows = 0};
    struct lf_eval_report r;
    struct lf_diag diag = {""};
    struct lf_eval_options o = {
        .metric = lf_metric_find("exact_match"), .max_tokens = 8, .row = listen, .row_arg = &said};
    struct lf_dataset *d = rows_with(NULL, true);
    assert_int_equal(lf_evaluate_here(gen, -1, model, d, &o, &r, &diag), LF_OK);
    assert_int_equal(r.rows, N_ROWS);
    assert_int_equal(said.rows, N_ROWS);
    assert_true(r.score == 0);
    assert_true(r.tokens > 0);
    assert_true(r.interval.low == 0 && r.interval.high == 0);
    lf_eval_report_free(&r);
    lf_dataset_free(d);
    o.row = NULL;
    for (int keep_text = 0; keep_text < 2; keep_text++) {
        d = rows_with(&said, keep_text);
        assert_int_equal(lf_evaluate_here(gen, -1, model, d, &o, &r, &diag), LF_OK);
        assert_int_equal(r.rows, N_ROWS);
        assert_true(r.score == 1);
        assert_int_equal(r.row_scores.n, N_ROWS);
        assert_int_equal(r.row_scores.v[N_ROWS - 1], 255);
        lf_eval_report_free(&r);
        o.rows_max = 2;
        assert_int_equal(lf_evaluate_here(gen, -1, model, d, &o, &r, &diag), LF_OK);
        assert_int_equal(r.rows, 2);
        lf_eval_report_free(&r);
        o.rows_max = 0;
        lf_dataset_free(d);
    }
    for (int i = 0; i < N_ROWS; i++)
        free(said.completion[i]);
}

static void a_prompt_that_does_not_fit_scores_zero(void **state)
{
    (void)state;
    struct lf_train_settings settings;
    struct lf_dataset *d;
    struct lf_eval_report r;
    struct lf_diag diag = {""};
    struct lf_eval_options o = {.metric = lf_metric_find("rouge_l"), .max_tokens = 4};
    struct lf_buf text;
    lf_buf_init(&text, 0);
    lf_buf_puts(&text, "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"");
    for (int i = 0; i < 100; i++)
        lf_buf_puts(&text, "word ");
    lf_buf_puts(&text, "\", \"completion\": \"b\"}\n");
    assert_int_equal(lf_file_write(path, text.data, text.len, NULL), LF_OK);
    lf_buf_free(&text);
    lf_train_settings_default(&settings);
    assert_int_equal(lf_dataset_load(&d, path, model, &settings, true, NULL, &diag), LF_OK);
    assert_int_equal(lf_evaluate_here(gen, -1, model, d, &o, &r, &diag), LF_OK);
    assert_int_equal(r.rows, 2);
    assert_int_equal(r.unfit, 1);
    lf_eval_report_free(&r);
    lf_dataset_free(d);
}

static void completions_end_at_a_stop_string(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
        bool met;
    } cases[] = {
        {" yes\nno", " yes", true}, {"\n\n yes\nno", "\n\n yes", true},
        {"yes", "yes", false},      {"", "", false},
        {"\n \n", "\n \n", false},  {"a END b\n", "a ", true},
        {" END", " ", true},
    };
    char *stop[] = {"\n", "END"};
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        bool met = i % 2 == 0 && cases[i / 2].met; /* every other time without stop strings */
        const struct lf_eval_options o = {.stop = stop, .n_stop = i % 2 == 0 ? 2 : 0};
        const struct lf_evaluation e = {.o = &o};
        struct lf_writer w;
        lf_evaluation_writer(&e, &w, NULL);
        assert_int_equal(lf_writer_text(&w, cases[i / 2].text, strlen(cases[i / 2].text)), LF_OK);
        assert_int_equal(lf_writer_end(&w, LF_ENDING_EOS), LF_OK);
        assert_int_equal(w.ending, met ? LF_ENDING_STOP : LF_ENDING_EOS);
        assert_string_equal(lf_buf_str(&w.text), met ? cases[i / 2].want : cases[i / 2].text);
        lf_writer_free(&w);
    }
}

/* The base's own words, cut at their first space but the leading one: fewer tokens are made. */
static void generation_ends_with_them(void **state)
{
    (void)state;
    struct said said = {.rows = 0};
    struct lf_eval_report all, r;
    struct lf_diag diag = {""};
    char *stop[] = {" "};
    struct lf_eval_options o = {.metric = lf_metric_find("accuracy"), .max_tokens = 16};
    struct lf_dataset *d = rows_with(NULL, true);
    assert_int_equal(lf_evaluate_here(gen, -1, model, d, &o, &all, &diag), LF_OK);
    o.stop = stop;
    o.n_stop = 1;
    o.row = listen;
    o.row_arg = &said;
    assert_int_equal(lf_evaluate_here(gen, -1, model, d, &o, &r, &diag), LF_OK);
    assert_true(r.tokens < all.tokens);
    assert_true(r.unended <= all.unended);
    for (int i = 0; i < N_ROWS; i++) {
        const char *word = said.completion[i] + strspn(said.completion[i], " \n");
        assert_null(strchr(word, ' '));
        free(said.completion[i]);
    }
    /* One class, "nothing", and no completion that names it. */
    assert_int_equal(json_array_size(json_object_get(r.confusion, "labels")), 1);
    lf_eval_report_free(&all);
    lf_eval_report_free(&r);
    lf_dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_base_says_scores_one),
        cmocka_unit_test(a_prompt_that_does_not_fit_scores_zero),
        cmocka_unit_test(completions_end_at_a_stop_string),
        cmocka_unit_test(generation_ends_with_them),
    };
    return cmocka_run_group_tests(tests, open_base, close_base);
}
