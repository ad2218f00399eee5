/* Metrics by name. */
#include "score/metrics.h"

#include "score/answers.h"
#include "score/humaneval.h"
#include "score/sandbox.h"
#include "score/words.h"

#include <math.h>
#include <string.h>

struct lf_metric {
    const char *name;
    /* NaN: memory is out. */
    double (*score)(const char *completion, const char *reference);
    enum lf_err (*label)(struct lf_buf *out, const char *text); /* NULL: no labels */
    const char *digits; /* the answer is one of these: lf_digit, lf_digit_label instead */
    bool runs;          /* humaneval: the completion is a program */
};

static const struct lf_metric metrics[] = {
    {"rouge_1", lf_rouge_1, NULL},
    {"rouge_2", lf_rouge_2, NULL},
    {"rouge_l", lf_rouge_l, NULL},
    {"token_f1", lf_token_f1, NULL},
    {"exact_match", lf_exact_match, NULL},
    {"accuracy", lf_accuracy, lf_accuracy_label},
    {"mae", lf_mae, NULL},
    {"gsm8k", lf_gsm8k, NULL},
    {"binary_accuracy_flex", lf_binary_flex, lf_binary_flex_label},
    {"mrpc_accuracy", .digits = "12"},
    {"mnli_accuracy", .digits = "012"},
    {"hellaswag_accuracy", .digits = "0123"},
    {"mmlu_accuracy", lf_choice, lf_choice_label},
    {"arc_accuracy", lf_choice, lf_choice_label},
    {"winogrande_accuracy", lf_choice, lf_choice_label},
    {"covid_accuracy", lf_covid, lf_covid_label},
    {"customer_support_accuracy", lf_customer_support, lf_words_label},
    {"dbpedia", lf_dbpedia, lf_dbpedia_label},
    {"humaneval", .runs = true},
};
#define N_METRICS (sizeof metrics / sizeof *metrics)

static const struct {
    const char *name, *of;
} aliases[] = {{"rouge", "rouge_l"}, {"stsb", "mae"}, {"gsm8k_regex", "gsm8k"}};

const struct lf_metric *lf_metric_find(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(aliases[i].name, name) == 0)
            name = aliases[i].of;
    for (size_t i = 0; i < N_METRICS; i++)
        if (strcmp(metrics[i].name, name) == 0)
            return &metrics[i];
    return NULL;
}

const char *lf_metric_names(void)
{
    return "rouge_1, rouge_2, rouge_l, token_f1, exact_match, accuracy, mae, gsm8k, "
           "binary_accuracy_flex, mrpc_accuracy, mnli_accuracy, hellaswag_accuracy, "
           "mmlu_accuracy, arc_accuracy, winogrande_accuracy, covid_accuracy, "
           "customer_support_accuracy, dbpedia, humaneval";
}

const char *lf_metric_name(const struct lf_metric *m)
{
    return m->name;
}

enum lf_err lf_metric_ready(const struct lf_metric *m, struct lf_diag *diag)
{
    return m->runs ? lf_sandbox_ready(diag) : LF_OK;
}

enum lf_err lf_metric_score(double *out, const struct lf_metric *m, const struct lf_answer *a,
                            struct lf_diag *diag)
{
    if (m->runs)
        return lf_humaneval(out, a->completion, a->row, diag);
    double score = m->digits ? lf_digit(a->completion, a->reference, m->digits)
                             : m->score(a->completion, a->reference);
    if (isnan(score))
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory to score a completion");
    *out = score;
    return LF_OK;
}

bool lf_metric_reads(const struct lf_metric *m, const char *reference)
{
    bool rouge = strncmp(m->name, "rouge", 5) == 0;
    return !rouge || reference[strcspn(reference, "abcdefghijklmnopqrstuvwxyz"
                                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")];
}

bool lf_metric_lets_follow(const struct lf_metric *m)
{
    return m->score == lf_accuracy;
}

bool lf_metric_labels(const struct lf_metric *m)
{
    return m->label || m->digits;
}

enum lf_err lf_metric_label(struct lf_buf *out, const struct lf_metric *m, const char *text)
{
    return m->digits ? lf_digit_label(out, text, m->digits) : m->label(out, text);
}
