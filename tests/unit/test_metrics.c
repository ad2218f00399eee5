/* LIBS: lf_trainer */
/* Metrics that compare whole answers, and the loss curve. (ROUGE and SQuAD's F1 against their
 * reference implementations: tests/vectors/test_metrics_vectors.c.) */
#include "score/confusion.h"
#include "score/metrics.h"
#include "trainer/curve.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct pair {
    const char *metric, *completion, *reference;
    double want;
};

static const struct pair pairs[] = {
    {"exact_match", " yes\n", "yes", 1},
    {"exact_match", "Yes", "yes", 0},
    {"exact_match", "", "", 1},
    {"accuracy", " Positive.", " positive", 1},
    {"accuracy", "positive because it shines", "Positive", 1},
    {"accuracy", "positively", "Positive", 0},
    {"accuracy", "not positive", "Positive", 0},
    {"accuracy", "(B) the second", "B", 1},
    {"accuracy", "**B**", " B", 1},
    {"accuracy", "Answer: B", "B", 1},
    {"accuracy", "The answer is B.", "B", 1},
    {"accuracy", "\n1\n2", "1", 1},
    {"accuracy", "1.0", "1", 1},
    {"accuracy", "1.5", "1", 0},
    {"accuracy", "1 0", "1", 0},
    {"accuracy", "1 of them", "1", 1},
    {"accuracy", "Sci/Tech", "Sci", 0},
    {"accuracy", "card_payment_fee", "card_payment", 0},
    {"accuracy", "card-payment", "card", 0},
    {"accuracy", "10", "1", 0},
    {"accuracy", "", "1", 0},
    {"accuracy", "Extremely Negative", "Negative", 0},
    {"mae", " 3.5", "3", 0.9},
    {"mae", "about 4.0 or 5", "4", 1},
    {"mae", "none", "4", 0},
    {"mae", "-1 points", "1", 0},
    {"mae", "about -1", "1", 0},
    {"mae", "4-5 points", "4", 1},
    {"mae", "5.5", "5", 0},
    {"mae", "0", "5", 0},
    {"gsm8k", "so 3 + 4 = 7\n#### 7", "text\n#### 7", 1},
    {"gsm8k", "The cost is $1,100.", "#### 1100", 1},
    {"gsm8k", "it is -5", "#### -5", 1},
    {"gsm8k", "a loss of -$5", "#### -5", 1},
    {"gsm8k", "12 then 13", "#### 12", 0},
    {"gsm8k", "2.50 dollars", "#### 2.5", 1},
    {"gsm8k", "I do not know", "#### 12", 0},
    {"gsm8k", "He has 5 apples...", "#### 5", 1},
    {"gsm8k", "7 cost $. each", "#### 7", 1},
    {"gsm8k", "1.2.3", "#### 1.2", 0},
    {"gsm8k", "12-34", "#### -34", 1},
    {"accuracy", "\303\211COLE", "\303\251cole", 1},
    /* LoRA Land's */
    {"binary_accuracy_flex", " 1", " yes", 1},
    {"binary_accuracy_flex", "It is positive", "1", 1},
    {"binary_accuracy_flex", "NO!", "False", 1},
    {"binary_accuracy_flex", "nothing", "0", 1}, /* "no" is in it */
    {"binary_accuracy_flex", "I cannot tell", "0", 1},
    {"binary_accuracy_flex", "yes or no", "0", 0},
    {"binary_accuracy_flex", "perhaps", "1", 0},
    {"binary_accuracy_flex", "", "1", 0},
    {"mrpc_accuracy", " 0", "0", 1},
    {"mrpc_accuracy", "0 I think", "0", 0}, /* it looks for 1 and 2 alone */
    {"mrpc_accuracy", "the answer is 1", "1", 1},
    {"mnli_accuracy", "the answer is 0", "0", 1},
    {"mnli_accuracy", "0 or 1 or 2", "2", 1},
    {"mnli_accuracy", "3", "3.0", 1},
    {"hellaswag_accuracy", "ending 3.", "3", 1},
    {"hellaswag_accuracy", "ending 3.", "2", 0},
    {"mmlu_accuracy", " B", "B", 1},
    {"mmlu_accuracy", "(b)", " B", 1},
    {"mmlu_accuracy", "**B**", "B", 1},
    {"mmlu_accuracy", "Answer: B, because A is wrong", "B", 1},
    {"mmlu_accuracy", "A dog is a C", "C", 1},
    {"mmlu_accuracy", "I think D", "D", 1},
    {"mmlu_accuracy", "A", "A", 1},
    {"mmlu_accuracy", "hello", "B", 0},
    {"mmlu_accuracy", "choice 2", "2", 1},
    {"mmlu_accuracy", "choice 12", "2", 0},
    {"mmlu_accuracy", "no number", "none", 0},
    {"arc_accuracy", "(C) water", "C", 1},
    {"arc_accuracy", "The answer is 3.", "3", 1},
    {"winogrande_accuracy", "Option 2: beaches", "2", 1},
    {"winogrande_accuracy", "1 or 2", "2", 0},
    {"covid_accuracy", "Extremely Positive", "Extremely Positive", 1},
    {"covid_accuracy", "extremely  positive!", "Extremely Positive", 1},
    {"covid_accuracy", "Positive", "Extremely Positive", 0},
    {"covid_accuracy", "Extremely Negative", "Negative", 0},
    {"covid_accuracy", "It is neutral, not negative", "Neutral", 1},
    {"covid_accuracy", "good", "Positive", 0},
    {"customer_support_accuracy", "They want to check balance today", " check balance", 1},
    {"customer_support_accuracy", "Check Balance.", "check balance", 1},
    {"customer_support_accuracy", "balance", "check balance", 0},
    {"dbpedia", "Company", "Company", 1},
    {"dbpedia", " 0", "Company", 1},
    {"dbpedia", "13\n", "WrittenWork", 1},
    {"dbpedia", "14", "WrittenWork", 0},
    {"dbpedia", "the Company", "Company", 2. / 3},
    {"rouge_l", "", "", 0},
    {"rouge_1", "!!", "word", 0},
    {"token_f1", "the", "a an", 1},
};

static void scores_whole_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const struct lf_metric *m = lf_metric_find(pairs[i].metric);
        const struct lf_answer a = {pairs[i].completion, pairs[i].reference, NULL};
        double got = -1;
        assert_non_null(m);
        assert_int_equal(lf_metric_score(&got, m, &a, NULL), LF_OK);
        if (!(fabs(got - pairs[i].want) < 1e-12))
            fail_msg("%s(\"%s\", \"%s\") is %g, not %g", pairs[i].metric, pairs[i].completion,
                     pairs[i].reference, got, pairs[i].want);
    }
}

/* A model that never ends: a megabyte of words costs no more than the first of them. */
static void huge_completions_are_scored(void **state)
{
    (void)state;
    const size_t n = 1 << 20;
    char *words = malloc(n + 1), *one = malloc(n + 1);
    assert_non_null(words);
    assert_non_null(one);
    for (size_t i = 0; i < n; i++)
        words[i] = i % 2 ? ' ' : (char)('a' + i / 2 % 26);
    memset(one, '7', n);
    words[n] = one[n] = '\0';
    for (const char *p = lf_metric_names(); *p;) {
        char name[64];
        size_t len = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)len, p);
        p += len + strspn(p + len, ", ");
        const struct lf_answer answers[] = {{words, "a b c", NULL}, {one, "7", NULL}};
        for (size_t i = 0; i < 2 && strcmp(name, "humaneval") != 0; i++) {
            double score = -1;
            assert_int_equal(lf_metric_score(&score, lf_metric_find(name), &answers[i], NULL),
                             LF_OK);
            assert_true(score >= 0 && score <= 1);
        }
    }
    free(words);
    free(one);
}

static void what_a_metric_cannot_read_is_known(void **state)
{
    (void)state;
    assert_false(lf_metric_reads(lf_metric_find("rouge_l"), "\346\270\254\350\251\246."));
    assert_true(lf_metric_reads(lf_metric_find("rouge_l"), "\346\270\254 7"));
    assert_true(lf_metric_reads(lf_metric_find("exact_match"), "\346\270\254\350\251\246"));
}

/* Words may follow a label, but not make it another one's name. */
static void the_longest_class_is_the_answer(void **state)
{
    (void)state;
    static const struct {
        struct lf_answer a;
        double score;
    } cases[] = {
        {{"billing", "billing", NULL}, 1},
        {{"billing dispute", "billing", NULL}, 0},
        {{"Billing dispute, since", "billing", NULL}, 0},
        {{"billing disputes", "billing", NULL}, 1}, /* is no class */
        {{"billing because of it", "billing", NULL}, 1},
        {{"billing dispute", "billing dispute", NULL}, 1},
        {{"billing", "billing dispute", NULL}, 0},
    };
    struct lf_confusion *c;
    const struct lf_metric *m = lf_metric_find("accuracy");
    assert_int_equal(lf_confusion_new(&c, m, NULL), LF_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(lf_confusion_class(c, cases[i].a.reference, NULL), LF_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double score;
        assert_int_equal(lf_metric_score(&score, m, &cases[i].a, NULL), LF_OK);
        assert_int_equal(lf_confusion_add(c, &cases[i].a, &score, NULL), LF_OK);
        if (score != cases[i].score)
            fail_msg("'%s' for '%s' scores %g", cases[i].a.completion, cases[i].a.reference, score);
    }
    json_t *j = lf_confusion_json(c);
    char *matrix = json_dumps(json_object_get(j, "matrix"), JSON_COMPACT);
    assert_string_equal(matrix, "[[3,1,1],[1,1,0]]");
    free(matrix);
    json_decref(j);
    lf_confusion_free(c);
}

static void every_listed_name_is_found(void **state)
{
    (void)state;
    char name[64];
    int n = 0;
    for (const char *p = lf_metric_names(); *p; n++) {
        size_t len = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)len, p);
        assert_non_null(lf_metric_find(name));
        p += len + strspn(p + len, ", ");
    }
    assert_int_equal(n, 19);
    assert_ptr_equal(lf_metric_find("rouge"), lf_metric_find("rouge_l"));
    assert_ptr_equal(lf_metric_find("stsb"), lf_metric_find("mae"));
    assert_null(lf_metric_find("bleu"));
}

/* Draws n points of a falling loss; the SVG must stay small and well formed at its ends. */
static void draw(size_t n, double jump)
{
    struct lf_curve_point *p = calloc(n + 1, sizeof *p), eval[2] = {{1, 2}, {(double)n, 1}};
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (struct lf_curve_point){(double)(i + 1), 4 * exp(-5 * (double)i / (double)n) + jump};
    if (n > 3)
        p[3].value = NAN;
    const struct lf_curve c = {{p, n, n + 1}, {eval, n > 1 ? 2 : 0, 2}};
    struct lf_buf out;
    lf_buf_init(&out, 0);
    assert_int_equal(lf_curve_svg(&out, "a < b & \xff", &c), LF_OK);
    assert_memory_equal(out.data, "<svg ", 5);
    assert_string_equal(out.data + out.len - 7, "</svg>\n");
    assert_true(out.len < 64 * 1024);
    assert_null(strstr(out.data, "nan"));
    assert_null(strstr(out.data, "inf"));
    assert_non_null(strstr(out.data, "a &lt; b &amp; \xef\xbf\xbd"));
    lf_buf_free(&out);
    free(p);
}

static void draws_any_number_of_points(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 3, 50, 1000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        draw(sizes[i], 0);
        draw(sizes[i], 100);
    }
    draw(500, -2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_whole_answers),
        cmocka_unit_test(huge_completions_are_scored),
        cmocka_unit_test(what_a_metric_cannot_read_is_known),
        cmocka_unit_test(the_longest_class_is_the_answer),
        cmocka_unit_test(every_listed_name_is_found),
        cmocka_unit_test(draws_any_number_of_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
