/* LIBS: lf_trainer */
/* Rows of preferences in the forms that people have them, as ids; and those that are none. */
#include "tests/unit/dataset_rig.h"

#define B "<|begin_of_text|>"
#define E "<|endoftext|>"

static struct lf_train_settings loss_settings(enum lf_loss loss)
{
    struct lf_train_settings s = settings(256);
    s.loss = loss;
    return s;
}

static void text_of(struct lf_buf *out, const struct lf_row *r, bool learnt)
{
    lf_buf_reset(out);
    for (int k = learnt ? 1 : 0; k <= r->n; k++) {
        int32_t id = k < r->n ? r->ids[k] : r->labels[r->n - 1];
        if (!learnt || r->labels[k - 1] >= 0)
            assert_int_equal(lf_tokenizer_decode(model.tokenizer, out, &id, 1, false), LF_OK);
    }
}

/* Row i's texts: the whole of the first and what is learnt of each; rejected NULL: there is one. */
static void expect_texts(const struct lf_dataset *d, int64_t i, const char *whole,
                         const char *chosen, const char *rejected)
{
    struct lf_row row, texts[2];
    lf_buf_auto out = {0};
    lf_dataset_row(d, i, &row);
    assert_int_equal(lf_row_texts(&row, texts), rejected ? 2 : 1);
    text_of(&out, &texts[0], false);
    assert_string_equal(lf_buf_str(&out), whole);
    text_of(&out, &texts[0], true);
    assert_string_equal(lf_buf_str(&out), chosen);
    if (!rejected)
        return;
    text_of(&out, &texts[1], true);
    assert_string_equal(lf_buf_str(&out), rejected);
    assert_int_equal(texts[0].n_supervised + texts[1].n_supervised, row.n_supervised);
}

static void expect_pair(const char *text, const struct lf_train_settings *s, const char *whole,
                        const char *chosen, const char *rejected)
{
    struct lf_dataset *d;
    struct lf_diag diag = {""};
    if (load(&d, text, s, &diag) != LF_OK)
        fail_msg("%s: %s", text, diag.text);
    assert_int_equal(lf_dataset_check(path, s, NULL, &diag), LF_OK);
    assert_int_equal(lf_dataset_rows(d), 1);
    expect_texts(d, 0, whole, chosen, rejected);
    lf_dataset_free(d);
}

static void texts_with_a_prompt(void **state)
{
    (void)state;
    struct lf_train_settings s = loss_settings(LF_LOSS_DPO);
    expect_pair("{\"prompt\": \"Who?\", \"chosen\": \" me\", \"rejected\": \" you there\"}\n", &s,
                B "Who? me" E, " me" E, " you there" E);
    expect_pair(
        "{\"question\": \"Who?\", \"answer\": \"x\", \"chosen\": \"me\", \"rejected\": 7}\n", &s,
        B "Question: Who?\nAnswer: me" E, " me" E, " 7" E);
    expect_pair("{\"query\": \"Who?\", \"chosen\": \" me\", \"rejected\": \" you\"}\n", &s,
                B "Who? me" E, " me" E, " you" E);
    s.template_ = (char *)(uintptr_t) "{who}:";
    expect_pair("{\"who\": \"I\", \"chosen\": \" me\", \"rejected\": \" you\"}\n", &s, B "I: me" E,
                " me" E, " you" E);
    s.template_ = NULL;
    s.columns = (char *)(uintptr_t) "{\"chosen\": \"good\", \"rejected\": \"bad\"}";
    expect_pair("{\"prompt\": \"Who?\", \"good\": \" me\", \"bad\": \" you\"}\n", &s, B "Who? me" E,
                " me" E, " you" E);
}

static void a_prompt_that_both_begin_with(void **state)
{
    (void)state;
    struct lf_train_settings s = loss_settings(LF_LOSS_DPO);
    expect_pair("{\"chosen\": \"Who is it? The man\", \"rejected\": \"Who is it? Then two\"}\n", &s,
                B "Who is it? The man" E, " The man" E, " Then two" E);
    expect_pair("{\"source\": \"x\", \"prompt\": null, \"chosen\": \"Who? me\", \"rejected\": "
                "\"Who? you\"}\n",
                &s, B "Who? me" E, " me" E, " you" E);
    static const char messages[] =
        "{\"prompt\": \"Hi\", \"chosen\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": "
        "\"assistant\", \"content\": \"hello\"}], \"rejected\": [{\"role\": \"user\", \"content\": "
        "\"Hi\"}, {\"role\": \"assistant\", \"content\": \"go\"}]}\n";
    expect_pair(messages, &s, B "<|user|>Hi<|assistant|>hello" E, "hello" E, "go" E);
}

static void messages_in_trls_and_openais_form(void **state)
{
    (void)state;
    struct lf_train_settings s = loss_settings(LF_LOSS_DPO);
    expect_pair("{\"prompt\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"chosen\": [{\"role\": "
                "\"assistant\", \"content\": \"hello\"}], \"rejected\": \"go\"}\n",
                &s, B "<|user|>Hi<|assistant|>hello" E, "hello" E, "go" E);
    expect_pair("{\"input\": {\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}, "
                "\"preferred_output\": [{\"role\": \"assistant\", \"content\": \"hello\"}], "
                "\"non_preferred_output\": [{\"role\": \"assistant\", \"content\": \"go\"}]}\n",
                &s, B "<|user|>Hi<|assistant|>hello" E, "hello" E, "go" E);
}

static void orpo_learns_the_prompt_of_what_is_chosen(void **state)
{
    (void)state;
    struct lf_train_settings s = loss_settings(LF_LOSS_ORPO);
    expect_pair("{\"prompt\": \"Who?\", \"chosen\": \" me\", \"rejected\": \" you\"}\n", &s,
                B "Who? me" E, "Who? me" E, " you" E);
    expect_pair("{\"prompt_ids\": [1, 300], \"chosen_ids\": [301, 0], \"rejected_ids\": [302]}\n",
                &s, B "om he" E, "om he" E, "le");
}

/* Loaded as for training: unwanted rows are no references to score against. */
static struct lf_dataset *to_train(const char *text, const struct lf_train_settings *s)
{
    struct lf_dataset *d;
    struct lf_diag diag = {""};
    assert_int_equal(lf_file_write(path, text, strlen(text), NULL), LF_OK);
    if (lf_dataset_load(&d, path, &model, s, false, NULL, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    return d;
}

static void kto_takes_labels_and_pairs(void **state)
{
    (void)state;
    static const char rows[] =
        "{\"prompt\": \"Who?\", \"completion\": \" me\", \"label\": true}\n"
        "{\"prompt\": \"Who?\", \"completion\": \" you\", \"label\": \"False\"}\n"
        "{\"prompt\": \"What?\", \"chosen\": \" this\", \"rejected\": \" that\"}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", "
        "\"content\": \"go\"}], \"label\": 0}\n";
    static const struct {
        const char *whole, *learnt;
        bool unwanted;
        int line;
    } want[] = {{B "Who? me" E, " me" E, false, 1},
                {B "Who? you" E, " you" E, true, 2},
                {B "What? this" E, " this" E, false, 3},
                {B "What? that" E, " that" E, true, 3},
                {B "<|user|>Hi<|assistant|>go" E, "go" E, true, 4}};
    struct lf_train_settings s = loss_settings(LF_LOSS_KTO);
    struct lf_dataset *d = to_train(rows, &s);
    struct lf_row row;
    assert_int_equal(lf_dataset_rows(d), 5);
    for (int i = 0; i < 5; i++) {
        lf_dataset_row(d, i, &row);
        expect_texts(d, i, want[i].whole, want[i].learnt, NULL);
        assert_int_equal(row.unwanted, want[i].unwanted);
        assert_int_equal(row.line, want[i].line);
    }
    lf_dataset_free(d);
    struct lf_diag diag = {""};
    assert_int_equal(load(&d, rows, &s, &diag), LF_OK);
    assert_int_equal(lf_dataset_rows(d), 2);
    lf_dataset_free(d);
}

/* What the longer text has no room for is cut from the prompt of both. */
static void both_texts_keep_the_same_prompt(void **state)
{
    (void)state;
    struct lf_train_settings s = loss_settings(LF_LOSS_DPO);
    struct lf_dataset *d;
    struct lf_row row, texts[2];
    s.max_length = 10;
    d = to_train("{\"prompt_ids\": [1, 10, 11, 12, 13, 14], \"chosen_ids\": [20, 0], "
                 "\"rejected_ids\": [30, 31, 32, 33, 34, 35, 0]}\n",
                 &s);
    static const int32_t chosen[] = {1, 13, 14, 20},
                         rejected[] = {1, 13, 14, 30, 31, 32, 33, 34, 35};
    lf_dataset_row(d, 0, &row);
    assert_int_equal(lf_row_texts(&row, texts), 2);
    assert_int_equal(texts[0].n, 4);
    assert_int_equal(texts[1].n, 9);
    assert_memory_equal(texts[0].ids, chosen, sizeof chosen);
    assert_memory_equal(texts[1].ids, rejected, sizeof rejected);
    struct lf_dataset_report r;
    lf_dataset_report(d, &r);
    assert_int_equal(r.cut_prompts, 1);
    assert_int_equal(r.cut_completions, 0);
    lf_dataset_free(d);
}

/* Rows of a pair that say nothing, between one that does. */
static void rows_without_a_difference_are_left_out(void **state)
{
    (void)state;
    struct lf_train_settings s = loss_settings(LF_LOSS_DPO);
    struct lf_dataset_report r;
    struct lf_dataset *d =
        to_train("{\"prompt\": \"a\", \"chosen\": \" b\", \"rejected\": \" b\"}\n"
                 "{\"prompt\": \"a\", \"chosen\": \" b\", \"rejected\": \" c\"}\n"
                 "{\"prompt\": \"a\", \"chosen\": \" b\", \"rejected\": \"\"}\n",
                 &s);
    lf_dataset_report(d, &r);
    assert_int_equal(r.rows, 1);
    assert_int_equal(r.lost, 2);
    assert_int_equal(r.lost_lines[0], 1);
    assert_int_equal(r.lost_lines[1], 3);
    lf_dataset_free(d);
}

static void refuses(const char *text, enum lf_loss loss, const char *why)
{
    struct lf_train_settings s = loss_settings(loss);
    struct lf_dataset *d;
    struct lf_diag diag = {""};
    if (load(&d, text, &s, &diag) == LF_OK)
        fail_msg("taken: %s", text);
    if (!strstr(diag.text, "line 1: ") || !strstr(diag.text, why))
        fail_msg("%s: %s", text, diag.text);
    assert_int_not_equal(lf_dataset_check(path, &s, NULL, &diag), LF_OK);
}

static void rows_that_are_none_are_refused(void **state)
{
    (void)state;
    refuses("{\"prompt\": \"a\", \"completion\": \"b\"}\n", LF_LOSS_DPO, "no \"chosen\"");
    refuses("{\"prompt\": \"a\", \"chosen\": \"b\"}\n", LF_LOSS_ORPO, "no \"rejected\"");
    refuses("{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": [{}]}\n", LF_LOSS_DPO, "both be");
    refuses("{\"prompt\": \"a\", \"chosen\": [], \"rejected\": []}\n", LF_LOSS_DPO, "no message");
    refuses("{\"chosen\": \"one\", \"rejected\": \"two\"}\n", LF_LOSS_DPO, "nothing alike");
    refuses("{\"chosen\": [{\"role\": \"user\", \"content\": \"a\"}], \"rejected\": [{\"role\": "
            "\"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n",
            LF_LOSS_DPO, "\"chosen\" has no message");
    refuses("{\"prompt\": \"a\", \"completion\": \"b\", \"label\": \"maybe\"}\n", LF_LOSS_KTO,
            "\"label\" must be");
    refuses("{\"prompt\": \"a\", \"completion\": \"b\"}\n", LF_LOSS_KTO, "no \"label\"");
    refuses("{\"prompt_ids\": 3, \"chosen_ids\": [1], \"rejected_ids\": [2]}\n", LF_LOSS_DPO,
            "\"prompt_ids\" must be a list");
    refuses("{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n", LF_LOSS_SUPERVISED,
            "\"loss\": \"dpo\"");
    refuses("{\"prompt\": \"a\", \"completion\": \"b\", \"label\": false}\n", LF_LOSS_SUPERVISED,
            "\"loss\": \"kto\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_with_a_prompt),
        cmocka_unit_test(a_prompt_that_both_begin_with),
        cmocka_unit_test(messages_in_trls_and_openais_form),
        cmocka_unit_test(orpo_learns_the_prompt_of_what_is_chosen),
        cmocka_unit_test(kto_takes_labels_and_pairs),
        cmocka_unit_test(both_texts_keep_the_same_prompt),
        cmocka_unit_test(rows_without_a_difference_are_left_out),
        cmocka_unit_test(rows_that_are_none_are_refused),
    };
    return cmocka_run_group_tests_name("pairs", tests, open_model, close_model);
}
