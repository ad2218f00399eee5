/* LIBS: lf_land lf_trainer lf_core */
/* The study's tasks: all 31 are there, and each makes the expected rows of a few rows in its
 * publisher's form (tests/data/tasks: own words). And what is refused, with its reason. */
#include "core/file.h"
#include "core/json.h"
#include "land/task.h"
#include "score/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char out[64];

static const char *source_path(char path[LF_PATH_MAX], const char *rel)
{
    const char *source = getenv("LF_SOURCE");
    snprintf(path, LF_PATH_MAX, "%s/%s", source ? source : ".", rel);
    return path;
}

static int make_out(void **state)
{
    (void)state;
    snprintf(out, sizeof out, "test_tasks.XXXXXX");
    return mkdtemp(out) ? 0 : -1;
}

static int remove_out(void **state)
{
    (void)state;
    return lf_dir_remove(out, NULL);
}

static char *read_text(const char *path)
{
    struct lf_buf b;
    struct lf_diag diag = {""};
    lf_buf_init(&b, 0);
    lf_buf_puts(&b, "");
    if (lf_file_read(&b, path, 1 << 20, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    return lf_buf_take(&b, NULL);
}

/* dir/name is what the repository's rel/name is. */
static void expect_file(const char *dir, const char *rel, const char *name)
{
    char path[LF_PATH_MAX], whole[512];
    snprintf(whole, sizeof whole, "%s/%s", dir, name);
    char *made = read_text(whole);
    snprintf(whole, sizeof whole, "%s/%s", rel, name);
    char *want = read_text(source_path(path, whole));
    if (strcmp(made, want) != 0)
        fail_msg("%s is\n%s\nnot\n%s", whole, made, want);
    free(made);
    free(want);
}

/* ---- The 31 ---------------------------------------------------------------------------------- */

static void the_study_has_31_tasks(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int tasks;
    } categories[] = {
        {"Classic NLP", 7}, {"Coding", 2}, {"Knowledge", 8}, {"Reasoning", 13}, {"Math", 1}};
    struct lf_diag diag = {""};
    struct lf_task **list;
    int n, shots[3] = {0}, labels = 0;
    if (lf_task_list(&list, &n, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(n, 31);
    for (size_t c = 0; c < 5; c++) {
        int tasks = 0;
        for (int i = 0; i < n; i++)
            tasks += strcmp(list[i]->category, categories[c].name) == 0;
        assert_int_equal(tasks, categories[c].tasks);
    }
    for (int i = 0; i < n; i++) {
        const struct lf_task *t = list[i];
        assert_in_range(t->shots, 0, 2);
        shots[t->shots]++;
        labels += lf_metric_labels(lf_metric_find(t->metric));
        assert_true(t->title[0] && t->source[0] && t->get[0] && t->licence[0]);
        assert_true(t->study_train > 0 && t->n_stop > 0);
        assert_true(strcmp(t->evaluated, "test") == 0 || strcmp(t->evaluated, "validation") == 0);
        if (i > 0)
            assert_true(strcmp(list[i - 1]->name, t->name) < 0);
    }
    assert_int_equal(shots[1], 5);
    assert_int_equal(shots[2], 1);
    assert_int_equal(labels, 16); /* the paper's 17 of accuracy, less gsm8k */
    lf_task_list_free(list, n);
}

static void each_reads_its_publishers_files(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    struct lf_task **list;
    int n;
    assert_int_equal(lf_task_list(&list, &n, &diag), LF_OK);
    for (int i = 0; i < n; i++) {
        char rel[128], data[LF_PATH_MAX], dir[256];
        struct lf_task_rows made, again;
        snprintf(rel, sizeof rel, "tests/data/tasks/%s/data", list[i]->name);
        snprintf(dir, sizeof dir, "%s/%s", out, list[i]->name);
        if (lf_task_prepare(list[i], source_path(data, rel), dir, &(struct lf_task_options){0},
                            &made, &diag) != LF_OK)
            fail_msg("%s", diag.text);
        rel[strlen(rel) - strlen("/data")] = '\0';
        expect_file(dir, rel, "train.jsonl");
        expect_file(dir, rel, "test.jsonl");
        assert_int_equal(made.shots, list[i]->shots);
        assert_false(made.prepared);
        /* A few rows are not the study's: no result may say that they are. */
        assert_int_not_equal(made.fidelity, LF_FIDELITY_EXACT);
        assert_int_equal(lf_task_dir_read(&again, dir, &diag), LF_OK);
        assert_memory_equal(&again, &made, sizeof made);
    }
    lf_task_list_free(list, n);
}

/* ---- Other forms ----------------------------------------------------------------------------- */

static struct lf_task *open_task(const char *what)
{
    struct lf_task *t;
    struct lf_diag diag = {""};
    if (lf_task_open(&t, what, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    return t;
}

static void reads_the_studys_own_metadata(void **state)
{
    (void)state;
    char path[LF_PATH_MAX], data[LF_PATH_MAX], dir[128];
    struct lf_diag diag = {""};
    struct lf_task_rows made;
    struct lf_task *t = open_task(source_path(path, "tests/data/own_weather/metadata.yaml"));
    assert_string_equal(t->name, "own_weather");
    assert_string_equal(t->metric, "binary_accuracy_flex");
    assert_string_equal(t->evaluated, "validation");
    assert_int_equal(t->study_train, 2);
    snprintf(dir, sizeof dir, "%s/own_weather", out);
    if (lf_task_prepare(t, source_path(data, "tests/data/own_weather"), dir,
                        &(struct lf_task_options){0}, &made, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(made.train, 2);
    assert_int_equal(made.test, 1);
    assert_int_equal(made.fidelity, LF_FIDELITY_EXACT);
    snprintf(path, sizeof path, "%s/test.jsonl", dir);
    char *text = read_text(path);
    assert_string_equal(text,
                        "{\"prompt\": \"Say whether the day is dry. An example: {'rain': 0}."
                        "\\n\\n### Day: snow\\n### Dry (1 or 0):\", \"completion\": \" 0\"}\n");
    free(text);
    /* Of two rows one, or behind other examples, it is not the study's. */
    const struct lf_task_options cut[] = {{.train_max = 1}, {.has_shots = true, .shots = 1}};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        if (lf_task_prepare(t, data, dir, &cut[i], &made, &diag) != LF_OK)
            fail_msg("%s", diag.text);
        assert_int_equal(made.fidelity, LF_FIDELITY_NEAR);
    }
    const struct lf_task_options enough = {.train_max = 2, .test_max = 1};
    assert_int_equal(lf_task_prepare(t, data, dir, &enough, &made, &diag), LF_OK);
    assert_int_equal(made.fidelity, LF_FIDELITY_EXACT);
    lf_task_close(t);
}

static void takes_prepared_rows_as_they_are(void **state)
{
    (void)state;
    char data[128], dir[128], path[LF_PATH_MAX];
    struct lf_diag diag = {""};
    struct lf_task_rows made;
    struct lf_task *t = open_task("viggo");
    snprintf(data, sizeof data, "%s/prepared", out);
    snprintf(path, sizeof path, "%s/viggo", data);
    assert_int_equal(lf_dir_make(path, NULL), LF_OK);
    const struct {
        const char *name, *text;
    } files[] = {
        {"train.jsonl", "{\"prompt\": \"a\", \"completion\": \" b\"}\n"
                        "{\"prompt\": \"c\", \"completion\": \" d\"}\n"
                        "{\"prompt\": \"e\", \"completion\": \"\"}\n"},
        {"test.jsonl", "{\"prompt\": \"c\", \"completion\": \" f\", \"more\": 1}\n"},
        {"SOURCE.md", "# x\n- Fidelity: PROXY (own rows)\n- Origin: here\n- Licence: none\n"}};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/viggo/%s", data, files[i].name);
        assert_int_equal(lf_file_write(path, files[i].text, strlen(files[i].text), NULL), LF_OK);
    }
    snprintf(dir, sizeof dir, "%s/made", out);
    if (lf_task_prepare(t, data, dir, &(struct lf_task_options){0}, &made, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_true(made.prepared);
    assert_int_equal(made.train, 1);
    assert_int_equal(made.leaked, 1);
    assert_int_equal(made.left_out, 1);
    assert_int_equal(made.shots, 0);
    assert_int_equal(made.fidelity, LF_FIDELITY_STAND_IN);
    assert_string_equal(made.fidelity_text, "PROXY (own rows)");
    snprintf(path, sizeof path, "%s/test.jsonl", dir);
    char *text = read_text(path);
    assert_string_equal(text, files[1].text);
    free(text);
    lf_task_close(t);
}

/* As `huggingface-cli download` leaves a data set: Parquet files of each split. */
static void a_folder_of_the_hub_is_a_tasks_data(void **state)
{
    (void)state;
    char data[LF_PATH_MAX], dir[128], path[LF_PATH_MAX];
    struct lf_diag diag = {""};
    struct lf_task_rows made;
    const struct lf_task_options o = {.has_shots = true, .shots = 0};
    struct lf_task *t = open_task("viggo");
    snprintf(dir, sizeof dir, "%s/hub", out);
    if (lf_task_prepare(t, source_path(data, "tests/data/hub_viggo"), dir, &o, &made, &diag) !=
        LF_OK)
        fail_msg("%s", diag.text);
    assert_false(made.prepared);
    assert_int_equal(made.train_found, 3);
    assert_int_equal(made.test_found, 1);
    assert_int_equal(made.fidelity, LF_FIDELITY_NEAR);
    snprintf(path, sizeof path, "%s/test.jsonl", dir);
    char *text = read_text(path);
    assert_non_null(strstr(text, "A it is."));
    assert_non_null(strstr(text, "confirm(name[D])"));
    free(text);
    lf_task_close(t);
}

static void one_file_is_shared_out_where_that_is_asked_for(void **state)
{
    (void)state;
    char data[LF_PATH_MAX], dir[128], path[256];
    struct lf_diag diag = {""};
    struct lf_task_rows made;
    struct lf_task_options o = {0};
    struct lf_task *t = open_task("viggo");
    snprintf(path, sizeof path, "%s/half", out);
    assert_int_equal(lf_dir_make(path, NULL), LF_OK);
    struct lf_buf csv;
    lf_buf_init(&csv, 0);
    lf_buf_puts(&csv, "mr,ref\n");
    for (int i = 0; i < 200; i++)
        lf_buf_printf(&csv, "data %d,text %d\n", i, i);
    snprintf(path, sizeof path, "%s/half/train.csv", out);
    assert_int_equal(lf_file_write(path, csv.data, csv.len, NULL), LF_OK);
    lf_buf_free(&csv);
    snprintf(data, sizeof data, "%s/half", out);
    snprintf(dir, sizeof dir, "%s/shared", out);
    assert_int_equal(lf_task_prepare(t, data, dir, &o, &made, &diag), LF_E_NOT_FOUND);
    assert_non_null(strstr(diag.text, "has no test.csv"));
    assert_non_null(strstr(diag.text, "data2text-nlg"));
    assert_false(lf_file_exists(dir));
    o.test_percent = 25;
    o.test_max = 10;
    if (lf_task_prepare(t, data, dir, &o, &made, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(made.train_found + made.test_found, 200);
    assert_in_range(made.test_found, 30, 70);
    assert_int_equal(made.test, 10);
    assert_int_equal(made.leaked, 0);
    assert_int_equal(made.fidelity, LF_FIDELITY_OTHER_SPLIT);
    lf_task_close(t);
}

/* ---- Refused --------------------------------------------------------------------------------- */

#define HEAD "\"prompt\": \"{a}\", \"completion\": \" {b}\", \"metric\": \"accuracy\""
#define DATA "\"data\": [{\"format\": \"csv\", \"train\": [\"a.csv\"], \"test\": [\"b.csv\"]}]"

static const struct {
    const char *file, *says;
} refused[] = {
    {"{", "line 1"},
    {"[]", "must be an object"},
    {"{" HEAD "}", "\"data\""},
    {"{" HEAD ", \"data\": []}", "\"data\""},
    {"{" DATA "}", "\"metric\""},
    {"{\"promt\": \"x\", " HEAD ", " DATA "}", "\"promt\""},
    {"{\"shots\": -1, " HEAD ", " DATA "}", "\"shots\""},
    {"{\"stop\": \"x\", " HEAD ", " DATA "}", "\"stop\""},
    {"{\"study\": 3, " HEAD ", " DATA "}", "\"study\""},
    {"{\"compute\": {\"a\": 1}, " HEAD ", " DATA "}", "\"compute\" of \"a\""},
    {"{\"compute\": 1, " HEAD ", " DATA "}", "\"compute\""},
    {"{\"prompt\": \"none\", \"completion\": \"{b}\", \"metric\": \"mae\", " DATA "}", "{column}"},
    {"{\"completion\": \"{b}\", \"metric\": \"mae\", " DATA "}", "needs \"prompt\""},
    {"{" HEAD ", \"data\": [{\"format\": \"csv\", \"train\": [\"a.csv\"]}]}", "\"test\""},
    {"{" HEAD ", \"data\": [{\"format\": \"csv\", \"all\": [\"a.csv\"]}]}", "\"test_percent\""},
    {"{" HEAD ", \"data\": [{\"format\": \"csv\", \"train\": [\"/etc/x\"], \"test\": [\"b\"]}]}",
     "leaves"},
    {"{" HEAD ", \"data\": [{\"format\": \"csv\", \"train\": [\"../x\"], \"test\": [\"b\"]}]}",
     "leaves"},
    {"{" HEAD ", \"data\": [{\"train\": [\"x\"], \"test\": [\"b\"]}]}", "\"format\""},
    {"{" HEAD ", \"join\": {\"files\": [\"x\"]}, " DATA "}", "\"join\""},
};

static void bad_task_files_are_refused_by_name(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/own.json", out);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct lf_task *t;
        struct lf_diag diag = {""};
        const char *text = refused[i].file;
        assert_int_equal(lf_file_write(path, text, strlen(text), NULL), LF_OK);
        assert_int_equal(lf_task_open(&t, path, &diag), LF_E_INVALID);
        if (!strstr(diag.text, refused[i].says) || !strstr(diag.text, "own.json"))
            fail_msg("%s: \"%s\" does not say \"%s\"", text, diag.text, refused[i].says);
    }
    struct lf_task *t;
    struct lf_diag diag = {""};
    assert_int_equal(lf_task_open(&t, "vigo", &diag), LF_E_NOT_FOUND);
    assert_non_null(strstr(diag.text, "\"viggo\""));
    assert_int_equal(lf_task_open(&t, "no/such.json", &diag), LF_E_NOT_FOUND);
}

static void bad_rows_name_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *task, *train, *says;
    } cases[] = {
        {"{" HEAD ", " DATA "}", "a,b\n1,2\n1,2,3\n", "a.csv: line 3: 3 fields"},
        {"{" HEAD ", " DATA "}", "a,b\n1,\"2\n", "a.csv: line 2"},
        {"{" HEAD ", " DATA "}", "a,c\n1,2\n", "a.csv: line 2: \"completion\""},
        {"{" HEAD ", " DATA "}", "a,b\n1,\n", "no row to train on"},
        {"{\"compute\": {\"x\": \"{{ a.b.c }}\"}, " HEAD ", " DATA "}", "a,b\n1,2\n",
         "b.csv: line 2: \"compute\" of \"x\""},
        {"{\"compute\": {\"x\": \"{% if %}\"}, " HEAD ", " DATA "}", "a,b\n1,2\n",
         "\"compute\" of \"x\""},
        {"{\"where\": \"a +\", " HEAD ", " DATA "}", "a,b\n1,2\n", "\"where\""},
        {"{\"keep\": [\"z\"], " HEAD ", " DATA "}", "a,b\n1,2\n", "\"keep\""},
        {"{\"encoding\": \"none-such\", " HEAD ", " DATA "}", "a,b\n1,2\n", "\"encoding\""},
    };
    char path[128], test[128], train[128], dir[128];
    snprintf(path, sizeof path, "%s/own.json", out);
    snprintf(train, sizeof train, "%s/a.csv", out);
    snprintf(test, sizeof test, "%s/b.csv", out);
    snprintf(dir, sizeof dir, "%s/none", out);
    assert_int_equal(lf_file_write(test, "a,b\n7,8\n", 8, NULL), LF_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lf_diag diag = {""};
        struct lf_task_rows made;
        assert_int_equal(lf_file_write(path, cases[i].task, strlen(cases[i].task), NULL), LF_OK);
        assert_int_equal(lf_file_write(train, cases[i].train, strlen(cases[i].train), NULL), LF_OK);
        struct lf_task *t = open_task(path);
        assert_int_equal(lf_task_prepare(t, out, dir, &(struct lf_task_options){0}, &made, &diag),
                         LF_E_INVALID);
        if (!strstr(diag.text, cases[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].train, diag.text, cases[i].says);
        assert_false(lf_file_exists(dir));
        lf_task_close(t);
    }
}

static void a_column_of_any_name_can_be_computed_with(void **state)
{
    (void)state;
    static const char task[] =
        "{\"compute\": {\"x\": \"{{ row['Class Index'] }}\"}, \"prompt\": \"{a}\","
        " \"completion\": \" {x}\", \"metric\": \"accuracy\", " DATA "}";
    static const char rows[] = "a,Class Index\n1,2\n", other[] = "a,Class Index\n3,4\n";
    char path[256], dir[128];
    struct lf_diag diag = {""};
    struct lf_task_rows made;
    snprintf(path, sizeof path, "%s/a.csv", out);
    assert_int_equal(lf_file_write(path, rows, sizeof rows - 1, NULL), LF_OK);
    snprintf(path, sizeof path, "%s/b.csv", out);
    assert_int_equal(lf_file_write(path, other, sizeof other - 1, NULL), LF_OK);
    snprintf(path, sizeof path, "%s/own.json", out);
    assert_int_equal(lf_file_write(path, task, sizeof task - 1, NULL), LF_OK);
    struct lf_task *t = open_task(path);
    snprintf(dir, sizeof dir, "%s/indexed", out);
    if (lf_task_prepare(t, out, dir, &(struct lf_task_options){0}, &made, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    snprintf(path, sizeof path, "%s/train.jsonl", dir);
    char *text = read_text(path);
    assert_string_equal(text, "{\"prompt\": \"1\", \"completion\": \" 2\"}\n");
    free(text);
    lf_task_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_study_has_31_tasks),
        cmocka_unit_test(each_reads_its_publishers_files),
        cmocka_unit_test(reads_the_studys_own_metadata),
        cmocka_unit_test(takes_prepared_rows_as_they_are),
        cmocka_unit_test(a_folder_of_the_hub_is_a_tasks_data),
        cmocka_unit_test(one_file_is_shared_out_where_that_is_asked_for),
        cmocka_unit_test(bad_task_files_are_refused_by_name),
        cmocka_unit_test(bad_rows_name_file_and_line),
        cmocka_unit_test(a_column_of_any_name_can_be_computed_with),
    };
    return cmocka_run_group_tests(tests, make_out, remove_out);
}
