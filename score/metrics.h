/* Scores of a completion against its reference, and what reports draw from them. Pure functions,
 * any thread. */
#ifndef LF_SCORE_METRICS_H
#define LF_SCORE_METRICS_H

#include "core/buf.h"
#include "core/err.h"
#include "score/limits.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* A metric by name, in [0, 1]. What cannot be read as an answer scores 0; no bytes of a completion
 * are an error. White space around completion and reference never counts.
 *
 *   rouge_1, rouge_2, rouge_l  F1 of unigrams, bigrams, longest common subsequence, over runs of
 *                a-z and 0-9 of the lower-cased text: rouge-score without stemming, to 1e-6 (of
 *                the first LF_METRIC_WORDS_MAX words)
 *   token_f1     SQuAD's: words without case, punctuation and articles, as multisets
 *   exact_match  equal
 *   accuracy     a label: equal but for case, white space and punctuation around it; "the answer
 *                is" before it and words after it do not count, unless they make it another class
 *                (lf_confusion_add); 1 equals 1.0, and is not 1 0
 *   mae          1 - |d| / 5 of the first number (STS-B); a number over 5 scores 0
 *   gsm8k        the last number is equal: "$1,100." is 1100
 *   humaneval    the completion, put behind the row's "raw_prompt", passes the row's "test" of
 *                its "entry_point": run in a sandbox (score/sandbox.h), pass@1
 *
 * and LoRA Land's, with its names and leniency. "Equal" here: but for case and full stops around,
 * or as numbers.
 *
 *   binary_accuracy_flex  the same truth: of the first of 1, 0, yes, no, true, false, positive,
 *                negative, in this order, that occurs anywhere
 *   mrpc_accuracy, mnli_accuracy, hellaswag_accuracy  equal, or one of the digits 1-2, 0-2, 0-3
 *                occurs in both
 *   mmlu_accuracy, arc_accuracy, winogrande_accuracy  equal, or the same choice: of a reference
 *                that is a letter the first letter that stands alone, else the first number
 *   covid_accuracy  the same of the five sentiments, by the first one that is named
 *   customer_support_accuracy  equal, or the reference occurs in the completion
 *   dbpedia      ROUGE-L; a completion that is a number from 0 to 13 stands for its class's name
 *
 * Also known: rouge (rouge_l), stsb (mae), gsm8k_regex (gsm8k).
 */
struct lf_metric;

/* What is scored; borrowed during the call. */
struct lf_answer {
    const char *completion, *reference;
    const json_t *row; /* other members of the reference's row, or NULL: humaneval's */
};

/* NULL for an unknown name; lf_metric_names lists the known ones, comma separated. Static. */
const struct lf_metric *lf_metric_find(const char *name);
const char *lf_metric_names(void);
const char *lf_metric_name(const struct lf_metric *m);
/* LF_E_UNSUPPORTED, and why, where this machine cannot score it: humaneval needs a sandbox. */
enum lf_err lf_metric_ready(const struct lf_metric *m, struct lf_diag *diag) LF_MUST_CHECK;
/* Fails for memory; humaneval also when the row lacks what it needs (LF_E_INVALID) or its program
 * could not be run at all. */
enum lf_err lf_metric_score(double *out, const struct lf_metric *m, const struct lf_answer *a,
                            struct lf_diag *diag) LF_MUST_CHECK;

/* Whether the metric finds anything in a reference: ROUGE knows no words but those of a-z and 0-9,
 * so that an answer in Chinese scores 0 whatever it is. */
bool lf_metric_reads(const struct lf_metric *m, const char *reference);
/* Whether a completion may go on after its label. */
bool lf_metric_lets_follow(const struct lf_metric *m);
/* Whether answers are labels, so that they make a confusion matrix. */
bool lf_metric_labels(const struct lf_metric *m);
/* What the metric reads from a text, as a label in lower case; nothing where it reads none. */
enum lf_err lf_metric_label(struct lf_buf *out, const struct lf_metric *m,
                            const char *text) LF_MUST_CHECK;

#endif
