/* LIBS: lf_trainer */
/* Datasets: which ids carry loss, what is cut, what is refused and how it is said. */
#include "core/clock.h"

#include "tests/unit/dataset_rig.h"

static void completions_alone_carry_loss(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(64);
    struct lf_dataset *d;
    struct lf_dataset_report r;
    assert_int_equal(load(&d,
                          "\xef\xbb\xbf{\"prompt\": \"the man\", \"completion\": \" and\"}\r\n"
                          "\n  \r\n"
                          "{\"completion\": 7, \"prompt\": \"\", \"other\": [1, {}]}",
                          &s, NULL),
                     LF_OK);
    lf_dataset_report(d, &r);
    assert_int_equal(r.rows, 2);
    assert_int_equal(r.lost, 0);
    expect_row(d, 0, "<|begin_of_text|>the man[ and][<|endoftext|>]");
    expect_row(d, 1, "<|begin_of_text|>[7][<|endoftext|>]");
    struct lf_row row;
    lf_dataset_row(d, 1, &row);
    assert_int_equal(row.line, 4);
    assert_int_equal(row.n, 2);
    assert_int_equal(row.n_supervised, 2);
    assert_string_equal(lf_dataset_completion(d, 0), " and");
    lf_dataset_free(d);
}

static void a_prompt_has_the_ids_that_generation_starts_from(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(64);
    struct lf_dataset *d;
    static const char prompt[] = "Sum of parts:";
    struct lf_ids ids = {NULL, 0, 0};
    enum lf_err rc =
        load(&d, "{\"prompt\": \"Sum of parts:\", \"completion\": \"x y\"}\n", &s, NULL);
    assert_int_equal(rc, LF_OK);
    assert_int_equal(lf_prompt_encode(&ids, &model, prompt, strlen(prompt), NULL), LF_OK);
    const int32_t *got;
    assert_int_equal(lf_dataset_prompt(d, 0, &got), ids.n);
    assert_memory_equal(got, ids.ids, ids.n * sizeof *got);
    assert_int_equal(ids.ids[0], BOS);
    lf_ids_free(&ids);
    lf_dataset_free(d);
}

static void templates_make_prompts_of_columns(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(64);
    struct lf_dataset *d;
    struct lf_diag diag;
    s.template_ = (char *)(uintptr_t) "{{{a}}} {n} {b}{none}:";
    assert_int_equal(load(&d,
                          "{\"a\": \"man\", \"n\": 1.5, \"b\": true, \"none\": null, "
                          "\"completion\": \"x\"}\n",
                          &s, NULL),
                     LF_OK);
    expect_row(d, 0, "<|begin_of_text|>{man} 1.5 true:[x][<|endoftext|>]");
    lf_dataset_free(d);
    assert_int_equal(load(&d, "{\"text\": \"man\", \"completion\": \"x\"}\n", &s, &diag),
                     LF_E_INVALID);
    assert_string_equal(diag.text, "line 1: the template's {a} is no column of the row; it has: "
                                   "text, completion");
}

static void every_assistant_turn_of_a_chat_carries_loss(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(256);
    struct lf_dataset *d;
    assert_int_equal(
        load(&d,
             "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
             "\"content\": \"b\"}, {\"role\": \"user\", \"content\": \"c\"}, {\"role\": "
             "\"assistant\", \"content\": \"d\"}, {\"role\": \"user\", \"content\": \"e\"}]}\n",
             &s, NULL),
        LF_OK);
    expect_row(d, 0,
               "<|begin_of_text|><|user|>a<|assistant|>[b][<|endoftext|>]\n"
               "<|user|>c<|assistant|>[d][<|endoftext|>]");
    assert_string_equal(lf_dataset_completion(d, 0), "d");
    const int32_t *prompt;
    int n = lf_dataset_prompt(d, 0, &prompt);
    assert_int_equal(prompt[n - 1], lf_tokenizer_find(model.tokenizer, "<|assistant|>"));
    lf_dataset_free(d);
}

/* Loads a chat of two assistant turns through another template and compares the row. */
static void expect_chat(const char *template_, const char *want)
{
    struct lf_train_settings s = settings(256);
    struct lf_dataset *d;
    struct lf_chat *chat, *kept = model.chat;
    assert_int_equal(lf_chat_parse(&chat, template_, strlen(template_), "<|begin_of_text|>",
                                   "<|endoftext|>", NULL),
                     LF_OK);
    model.chat = chat;
    assert_int_equal(
        load(&d,
             "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
             "\"content\": \"b\"}, {\"role\": \"user\", \"content\": \"c\"}, {\"role\": "
             "\"assistant\", \"content\": \"d\"}]}\n",
             &s, NULL),
        LF_OK);
    model.chat = kept;
    lf_chat_free(chat);
    expect_row(d, 0, want);
    lf_dataset_free(d);
}

static void chat_templates_differ_in_how_a_turn_ends(void **state)
{
    (void)state;
    /* An end-of-text at the end of the whole text alone, as Phi 3 has it. */
    expect_chat("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
                "{% if add_generation_prompt %}<|assistant|>{% else %}{{ eos_token }}{% endif %}",
                "<|user|>a<|assistant|>[b]<|user|>c<|assistant|>[d][<|endoftext|>]");
    /* None at all: it is added. */
    expect_chat("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
                "{% if add_generation_prompt %}<|assistant|>{% endif %}",
                "<|user|>a<|assistant|>[b]<|user|>c<|assistant|>[d][<|endoftext|>]");
    /* Earlier answers are shown otherwise than they were made: they are not learnt. */
    expect_chat("{% for m in messages %}<|{{ m.role }}|>"
                "{% if loop.last and m.role == 'assistant' %}x{% endif %}{{ m.content }}"
                "{% endfor %}"
                "{% if add_generation_prompt %}<|assistant|>{% endif %}",
                "<|user|>a<|assistant|>b<|user|>c<|assistant|>[x][d][<|endoftext|>]");
}

static void ready_made_labels_stand_over_their_ids(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(64);
    struct lf_dataset *d;
    struct lf_row row;
    assert_int_equal(load(&d,
                          "{\"input_ids\": [5, 6, 7, 8], \"labels\": [-100, -100, 7, -100]}\n"
                          "{\"input_ids\": [5, 6]}\n",
                          &s, NULL),
                     LF_OK);
    lf_dataset_row(d, 0, &row);
    assert_int_equal(row.n, 2);
    assert_int_equal(row.ids[1], 6);
    assert_int_equal(row.labels[0], -1);
    assert_int_equal(row.labels[1], 7);
    lf_dataset_row(d, 1, &row);
    assert_int_equal(row.n, 1);
    assert_int_equal(row.labels[0], 6);
    assert_null(lf_dataset_completion(d, 0));
    lf_dataset_free(d);
}

static void rows_of_other_trainers_are_read(void **state)
{
    (void)state;
    static const char chat[] = "<|begin_of_text|><|user|>a<|assistant|>[b][<|endoftext|>]";
    expect_first("{\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}, {\"from\": "
                 "\"gpt\", \"value\": \"b\"}]}\n",
                 chat);
    expect_first("{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}], \"completion\": "
                 "[{\"role\": \"assistant\", \"content\": \"b\"}]}\n",
                 chat);
    expect_first("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", "
                 "\"text\": \"a\"}]}, {\"role\": \"assistant\", \"content\": \"b\", \"name\": "
                 "null}], \"prompt\": null, \"input_ids\": null}\n",
                 chat);
    expect_first("{\"text\": \"b\"}\n", "<|begin_of_text|>[b][<|endoftext|>]");
}

#define TURNS(WEIGHT)                                                                        \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "   \
    "\"content\": \"b\", " WEIGHT "}, {\"role\": \"user\", \"content\": \"c\"}, {\"role\": " \
    "\"assistant\", \"content\": \"d\"}]}\n"

static void turns_of_weight_0_are_context_alone(void **state)
{
    (void)state;
    static const char whole[] = "<|begin_of_text|><|user|>a<|assistant|>[b][<|endoftext|>]\n"
                                "<|user|>c<|assistant|>[d][<|endoftext|>]";
    static const char second[] = "<|begin_of_text|><|user|>a<|assistant|>b<|endoftext|>\n"
                                 "<|user|>c<|assistant|>[d][<|endoftext|>]";
    expect_first(TURNS("\"weight\": 1"), whole);
    expect_first(TURNS("\"weight\": null"), whole);
    expect_first(TURNS("\"weight\": 0"), second);
    expect_first(TURNS("\"weight\": 0.0"), second);
    expect_first(TURNS("\"train\": false"), second);
    /* The prompt's answers of TRL's form, too. */
    expect_first(
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
        "\"content\": \"b\"}, {\"role\": \"user\", \"content\": \"c\"}], \"completion\": "
        "[{\"role\": \"assistant\", \"content\": \"d\"}]}\n",
        second);
    /* One at the end is not there. */
    expect_first(
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
        "\"content\": \"b\"}, {\"role\": \"assistant\", \"content\": \"d\", \"weight\": 0}]}\n",
        "<|begin_of_text|><|user|>a<|assistant|>[b][<|endoftext|>]");
}

static void masks_of_ready_made_rows_are_followed(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"input_ids\": [5, 6, 7, 8], \"labels\": [-100, -100, 7, 8]}\n",
        "{\"input_ids\": [0, 0, 5, 6, 7, 8], \"labels\": [0, 0, -100, -100, 7, 8], "
        "\"attention_mask\": [0, 0, 1, 1, 1, 1]}\n",
        "{\"input_ids\": [5, 6, 7, 8, 0], \"labels\": [-100, -100, 7, 8, 0], "
        "\"attention_mask\": [1, 1, 1, 1, 0]}\n",
        "{\"input_ids\": [5, 6, 7, 8], \"completion_mask\": [0, 0, 1, 1]}\n",
        "{\"input_ids\": [5, 6, 7, 8], \"assistant_masks\": [0, 0, 1, 1], \"labels\": null, "
        "\"position_ids\": [0, 1, 2, 3]}\n"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lf_train_settings s = settings(64);
        struct lf_dataset *d;
        struct lf_row row;
        assert_int_equal(load(&d, rows[i], &s, NULL), LF_OK);
        lf_dataset_row(d, 0, &row);
        assert_int_equal(row.n, 3);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(row.ids[k], 5 + k);
            assert_int_equal(row.labels[k], k ? 6 + k : -1);
        }
        lf_dataset_free(d);
    }
}

static void what_a_row_says_of_learning_is_done_or_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"input_ids\": [5, 6, 7], \"attention_mask\": [1, 0, 1]}\n", "attention_mask"},
        {"{\"input_ids\": [5, 6, 7], \"attention_mask\": [1, 1]}\n", "attention_mask"},
        {"{\"input_ids\": [5, 6, 7], \"loss_mask\": [1, 2, 1]}\n", "loss_mask"},
        {"{\"input_ids\": [5, 6, 7], \"position_ids\": [0, 0, 1]}\n", "position_ids"},
        {"{\"prompt\": \"a\", \"completion\": \"b\", \"weight\": -1}\n", "weight"},
        {"{\"prompt\": \"a\", \"completion\": \"b\", \"weight\": 1e7}\n", "weight"},
        {"{\"prompt\": \"a\", \"completion\": \"b\", \"weight\": 1e-300}\n", "weight"},
        {TURNS("\"weight\": 0.5"), "weight"},
        {TURNS("\"train\": \"no\""), "train"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": null}]}\n", "content"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": {\"a\": 1}}]}\n", "content"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": [{\"type\": \"image\"}]}]}\n",
         "parts"},
        {"{\"messages\": [{\"role\": \"assistant\", \"content\": \"b\", \"weight\": 0}]}\n",
         "nothing to learn"},
        {"{\"conversations\": [{\"from\": \"martian\", \"value\": \"a\"}]}\n", "martian"},
        {"{\"prompt\": null, \"completion\": \"b\"}\n", "prompt"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_refused(rows[i][0], rows[i][1]);
}

/* As the rows weigh in order; 0 ends them. */
static void rows_weigh(const char *rows, const struct lf_train_settings *s, const double *want)
{
    struct lf_dataset *d;
    struct lf_row row;
    int64_t n = 0;
    assert_int_equal(load(&d, rows, s, NULL), LF_OK);
    for (; want[n] != 0; n++) {
        lf_dataset_row(d, n, &row);
        assert_true(row.weight == want[n]);
    }
    assert_int_equal(lf_dataset_rows(d), n);
    lf_dataset_free(d);
}

static void rows_and_classes_have_weights(void **state)
{
    (void)state;
    static const char rows[] =
        "{\"prompt\": \"a\", \"completion\": \" b\", \"weight\": 2.5}\n"
        "{\"prompt\": \"a\", \"completion\": \" b\", \"weight\": 0}\n"        /* is left out */
        "{\"prompt\": \"a\", \"completion\": \" c \", \"weight\": \"0.5\"}\n" /* as CSV has it */
        "{\"prompt\": \"a\", \"completion\": \"c\", \"weight\": \"heavy\"}\n"
        "{\"prompt\": \"a\", \"completion\": \"b c\"}\n";
    struct lf_train_settings s = settings(64);
    struct lf_dataset *d;
    struct lf_diag diag = {""};
    rows_weigh(rows, &s, (double[]){2.5, 0.5, 1, 1, 0});
    s.class_weights = "{\"c\": 4, \"b\": 0.5}";
    rows_weigh(rows, &s, (double[]){1.25, 2, 4, 1, 0});
    s.class_weights = "{\"c\": 4, \"B\": 0.5}";
    rows_weigh(rows, &s, (double[]){2.5, 2, 4, 1, 0}); /* evaluation rows need not have all */
    assert_int_equal(lf_dataset_load(&d, path, &model, &s, false, NULL, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "no row's answer is \"B\""));
    s = settings(64);
    s.template_ = "{weight}"; /* a column like others */
    rows_weigh("{\"weight\": 70, \"completion\": \"b\"}\n", &s, (double[]){1, 0});
    s.template_ = NULL;
    s.columns = "{\"weight\": \"importance\"}";
    rows_weigh("{\"prompt\": \"a\", \"completion\": \"b\", \"importance\": 3}\n", &s,
               (double[]){3, 0});
}

static void long_rows_lose_the_prompt_from_the_left_then_the_end(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(5);
    struct lf_dataset *d;
    struct lf_dataset_report r;
    assert_int_equal(load(&d,
                          "{\"prompt\": \"1 2 3 4\", \"completion\": \" 5\"}\n"
                          "{\"prompt\": \"1 2 3 4\", \"completion\": \" 5 6 7 8 9\"}\n"
                          "{\"prompt\": \"1\", \"completion\": \" 2\"}\n",
                          &s, NULL),
                     LF_OK);
    lf_dataset_report(d, &r);
    expect_row(d, 0, "<|begin_of_text|>4[ ][5][<|endoftext|>]");
    expect_row(d, 1, "<|begin_of_text|>[ ][5][ ][6]");
    expect_row(d, 2, "<|begin_of_text|>1[ ][2][<|endoftext|>]");
    assert_int_equal(r.cut_prompts, 2);
    assert_int_equal(r.cut_completions, 1);
    assert_int_equal(r.lost, 0);
    lf_dataset_free(d);
}

static void other_members_stay_with_a_row_that_is_scored(void **state)
{
    (void)state;
    static const char text[] =
        "{\"prompt\": \"a\", \"completion\": \" b\", \"test\": \"t\", \"n\": [1]}\n"
        "{\"prompt\": \"c\", \"completion\": \"\"}\n"
        "{\"prompt\": \"e\", \"completion\": \" f\"}\n";
    struct lf_train_settings s = settings(64);
    struct lf_dataset *d;
    assert_int_equal(load(&d, text, &s, NULL), LF_OK);
    const json_t *columns = lf_dataset_columns(d, 0);
    assert_int_equal(json_object_size(columns), 2);
    assert_string_equal(json_string_value(json_object_get(columns, "test")), "t");
    assert_null(lf_dataset_columns(d, 1));
    lf_dataset_free(d);
    assert_int_equal(lf_dataset_load(&d, path, &model, &s, false, NULL, NULL), LF_OK);
    assert_null(lf_dataset_columns(d, 0));
    lf_dataset_free(d);
}

static void rows_with_nothing_to_learn_are_named(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(4);
    struct lf_dataset *d;
    struct lf_dataset_report r;
    struct lf_diag diag;
    assert_int_equal(load(&d,
                          "{\"prompt\": \"a\", \"completion\": \"\"}\n"
                          "{\"prompt\": \"a\", \"completion\": \"b\"}\n"
                          "{\"input_ids\": [5, 6, 7], \"labels\": [5, -100, -100]}\n"
                          "{\"input_ids\": [1, 2, 3, 4, 5], "
                          "\"labels\": [1, -100, -100, -100, 5]}\n",
                          &s, NULL),
                     LF_OK);
    lf_dataset_report(d, &r);
    assert_int_equal(r.lines, 4);
    assert_int_equal(r.rows, 1);
    assert_int_equal(r.lost, 3);
    assert_int_equal(r.lost_lines[0], 1);
    assert_int_equal(r.lost_lines[1], 3);
    assert_int_equal(r.lost_lines[2], 4);
    lf_dataset_free(d);
    assert_int_equal(load(&d, "\n{\"prompt\": \"a\", \"completion\": \"\"}\n", &s, &diag),
                     LF_E_INVALID);
    assert_non_null(strstr(diag.text, "none of the 1 rows"));
    assert_non_null(strstr(diag.text, "line 2"));
}

static void any_container_gives_the_same_rows(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"prompt\": \"the\", \"completion\": \" man\"}\n",
        "[\n {\"prompt\": \"the\", \"completion\": \" man\"}\n]\n",
        "prompt,completion\nthe, man\n",
        "id\tquestion\tprompt\tcompletion\r\n1\t\tthe\t man\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_first(texts[i], "<|begin_of_text|>the[ man][<|endoftext|>]");
    expect_first("instruction,input,output\nSay it,,man\n",
                 "<|begin_of_text|>Below is an instruction that describes a task. Write a response "
                 "that appropriately completes the request.\n\n### Instruction:\nSay it\n\n### "
                 "Response:[man][<|endoftext|>]");
}

static void refuses_bad_lines_by_number(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "no rows"},
        {"\n\n", "no rows"},
        {"{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"a\"}\n",
         "line 2: no \"completion\" (the row has: prompt)"},
        {"{\"text\": \"a\", \"completion\": \"b\"}\n", "line 1: no \"prompt\""},
        {"{\"prompt\": [\"a\"], \"completion\": \"b\"}\n", "\"prompt\" must be a string"},
        {"{\"prompt\": \"a\", \"completion\": null}\n", "\"completion\" must be a string"},
        {"\n{\"prompt\": \"a\", \"compl", "line 2 is cut off"},
        {"{\"prompt\": \"a\", }\n", "line 1: "},
        {"[1]\n", "line 1: a row must be an object"},
        {"{} {}\n", "line 1: "},
        {"{\"prompt\": \"\\ud800\", \"completion\": \"b\"}\n", "line 1: "},
        {"{\"prompt\": \"\xff\", \"completion\": \"b\"}\n", "line 1: "},
        {"{\"messages\": []}\n", "no message of the assistant"},
        {"{\"messages\": {}}\n", "must be a list"},
        {"{\"messages\": [1]}\n", "message 1 has no \"role\""},
        {"{\"messages\": [{\"role\": \"assistant\"}]}\n", "message 1 has no \"content\""},
        {"{\"input_ids\": [1, 2], \"labels\": [1]}\n", "2 \"input_ids\" and 1 \"labels\""},
        {"{\"input_ids\": [1, 1.5]}\n", "\"input_ids\"[1] is no token id"},
        {"{\"input_ids\": 3}\n", "must be a list of integers"},
        {"{\"prompt\": \"a\", \"completion\": \"\"}\n", "none of the 1 rows has anything"},
    };
    struct lf_train_settings s = settings(64);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lf_dataset *d = NULL;
        struct lf_diag loaded = {""}, checked = {""};
        assert_int_equal(load(&d, cases[i].text, &s, &loaded), LF_E_INVALID);
        assert_null(d);
        assert_int_equal(lf_dataset_check(path, &s, NULL, &checked), LF_E_INVALID);
        if (!strstr(loaded.text, cases[i].says))
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, loaded.text, cases[i].says);
        assert_string_equal(loaded.text, checked.text);
    }
    struct lf_dataset *d = NULL;
    struct lf_diag diag;
    assert_int_equal(load(&d, "{\"input_ids\": [1, 4096]}\n", &s, &diag), LF_E_INVALID);
    assert_string_equal(diag.text, "line 1: \"input_ids\"[1] is 4096; the base has 4096 ids");
    assert_int_equal(load(&d, "{\"input_ids\": [1, 2], \"labels\": [-1, 2]}\n", &s, &diag),
                     LF_E_INVALID);
    assert_int_equal(lf_dataset_load(&d, "/nonexistent/x.jsonl", &model, &s, false, NULL, &diag),
                     LF_E_NOT_FOUND);
    assert_int_equal(lf_dataset_load(&d, ".", &model, &s, false, NULL, &diag),
                     lf_err_from_errno(EISDIR));
}

static void a_line_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(64);
    size_t n = LF_DATASET_LINE_MAX + 100;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, ' ', n);
    assert_int_equal(lf_file_write(path, text, n, NULL), LF_OK);
    free(text);
    struct lf_diag diag;
    assert_int_equal(lf_dataset_check(path, &s, NULL, &diag), LF_E_TOO_BIG);
    assert_non_null(strstr(diag.text, "line 1: longer than"));
}

static void templates_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"{", "}", "{}", "{a", "a}", "{{a}}", "", "{a{b}}", "{a\n}"};
    static const char *const good[] = {"{a}", "{{{a}}}", "x {a b} y {c}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (lf_template_check(bad[i], NULL) != LF_E_INVALID)
            fail_msg("\"%s\" was accepted", bad[i]);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(lf_template_check(good[i], NULL), LF_OK);
}

static void a_hundred_thousand_rows_load_in_seconds(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(256);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 100000; i++)
        fprintf(f,
                "{\"prompt\": \"Turn the video game data into a sentence.\\nData: inform(name[Game "
                "%d], esrb[M (for Mature)], platforms[PlayStation, Xbox, PC])\\nAnswer:\", "
                "\"completion\": \" Game %d is rated M and came out on PlayStation, Xbox and "
                "PC.\"}\n",
                i, i * 7);
    assert_int_equal(fclose(f), 0);
    uint64_t start = lf_clock_ns();
    assert_int_equal(lf_dataset_check(path, &s, NULL, NULL), LF_OK);
    double check = (double)(lf_clock_ns() - start) * 1e-9;
    struct lf_dataset *d;
    start = lf_clock_ns();
    assert_int_equal(lf_dataset_load(&d, path, &model, &s, false, NULL, NULL), LF_OK);
    double seconds = (double)(lf_clock_ns() - start) * 1e-9;
    struct lf_dataset_report r;
    lf_dataset_report(d, &r);
    print_message("checked in %.2f s, loaded %lld tokens in %.2f s\n", check, (long long)r.tokens,
                  seconds);
    assert_int_equal(r.rows, 100000);
    assert_true(seconds < 60);
    lf_dataset_free(d);
}

/* n rows "Item <first + i>", each of them `times` times; what is held out of them, in *held. */
static struct lf_dataset *split(int first, int n, int times, double share, struct lf_dataset **held)
{
    struct lf_train_settings s = settings(64);
    struct lf_dataset *d;
    lf_buf_auto text = {0};
    for (int i = 0; i < n * times; i++)
        lf_buf_printf(&text, "{\"prompt\": \"Item %d\", \"completion\": \" %d\"}\n", first + i % n,
                      i % n % 7);
    assert_int_equal(load(&d, lf_buf_str(&text), &s, NULL), LF_OK);
    assert_int_equal(lf_dataset_hold_out(&d, held, share, NULL), LF_OK);
    return d;
}

static bool holds(const struct lf_dataset *d, const struct lf_row *r)
{
    for (int64_t i = 0; d && i < lf_dataset_rows(d); i++) {
        struct lf_row other;
        lf_dataset_row(d, i, &other);
        if (lf_row_hash(&other) == lf_row_hash(r))
            return true;
    }
    return false;
}

static void held_out_rows_stay_so_when_others_come_or_go(void **state)
{
    (void)state;
    struct lf_dataset *few_held, *held, *few = split(0, 400, 1, 0.1, &few_held);
    struct lf_dataset *d = split(0, 1000, 2, 0.1, &held);
    struct lf_dataset_report r, h;
    lf_dataset_report(d, &r);
    lf_dataset_report(held, &h);
    assert_int_equal(r.rows + h.rows, 2000);
    assert_int_equal(r.held_out, h.rows);
    assert_int_equal(lf_dataset_rows(held), h.rows);
    assert_in_range(h.rows, 140, 260); /* 200, and three standard deviations of 2 * 9.5 */
    for (int64_t i = 0; i < lf_dataset_rows(few); i++) {
        struct lf_row row;
        lf_dataset_row(few, i, &row);
        assert_true(holds(d, &row));
    }
    for (int64_t i = 0; i < h.rows; i++) {
        struct lf_row row;
        const int32_t *ids;
        lf_dataset_row(held, i, &row);
        assert_false(holds(d, &row)); /* its double is held out, too */
        assert_int_equal(holds(few_held, &row), (row.line - 1) % 1000 < 400);
        assert_true(lf_dataset_prompt(held, i, &ids) > 0 && ids == row.ids);
        assert_int_equal(lf_dataset_completion(held, i)[1], '0' + (row.line - 1) % 1000 % 7);
    }
    lf_dataset_free(few);
    lf_dataset_free(held); /* in whatever order */
    lf_dataset_free(few_held);
    lf_dataset_free(d);
}

static void a_row_is_held_out_and_a_row_stays(void **state)
{
    (void)state;
    struct lf_dataset *held, *d;
    for (int n = 2; n < 12; n++)
        for (int half = 0; half < 2; half++) {
            d = split(n, n, 3, half ? 0.5 : 0, &held);
            assert_true(lf_dataset_rows(d) >= 3 && lf_dataset_rows(held) >= 3);
            assert_int_equal(lf_dataset_rows(d) + lf_dataset_rows(held), 3 * n);
            lf_dataset_free(d);
            lf_dataset_free(held);
        }
    d = split(0, 1, 4, 0.5, &held);
    assert_null(held);
    assert_int_equal(lf_dataset_rows(d), 4);
    lf_dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completions_alone_carry_loss),
        cmocka_unit_test(a_prompt_has_the_ids_that_generation_starts_from),
        cmocka_unit_test(templates_make_prompts_of_columns),
        cmocka_unit_test(every_assistant_turn_of_a_chat_carries_loss),
        cmocka_unit_test(chat_templates_differ_in_how_a_turn_ends),
        cmocka_unit_test(ready_made_labels_stand_over_their_ids),
        cmocka_unit_test(rows_of_other_trainers_are_read),
        cmocka_unit_test(turns_of_weight_0_are_context_alone),
        cmocka_unit_test(masks_of_ready_made_rows_are_followed),
        cmocka_unit_test(what_a_row_says_of_learning_is_done_or_refused),
        cmocka_unit_test(rows_and_classes_have_weights),
        cmocka_unit_test(long_rows_lose_the_prompt_from_the_left_then_the_end),
        cmocka_unit_test(other_members_stay_with_a_row_that_is_scored),
        cmocka_unit_test(rows_with_nothing_to_learn_are_named),
        cmocka_unit_test(any_container_gives_the_same_rows),
        cmocka_unit_test(refuses_bad_lines_by_number),
        cmocka_unit_test(a_line_over_the_limit_is_refused),
        cmocka_unit_test(templates_are_checked),
        cmocka_unit_test(held_out_rows_stay_so_when_others_come_or_go),
        cmocka_unit_test(a_row_is_held_out_and_a_row_stays),
        cmocka_unit_test(a_hundred_thousand_rows_load_in_seconds),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
