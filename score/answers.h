/* Metrics that compare short answers: labels, choices, numbers. Private to score/. All take
 * completion and reference; white space around them does not count. */
#ifndef LF_SCORE_ANSWERS_H
#define LF_SCORE_ANSWERS_H

#include "core/buf.h"

#include <stdbool.h>

double lf_exact_match(const char *completion, const char *reference);
double lf_accuracy(const char *completion, const char *reference);
/* What follows a label ends it: nothing, a space, or punctuation of a sentence. */
bool lf_label_ends(const char *after);
double lf_mae(const char *completion, const char *reference);
double lf_gsm8k(const char *completion, const char *reference);

/* LoRA Land's. */
double lf_binary_flex(const char *completion, const char *reference);
/* Of one of these digits. */
double lf_digit(const char *completion, const char *reference, const char *digits);
double lf_choice(const char *completion, const char *reference);
double lf_covid(const char *completion, const char *reference);
double lf_customer_support(const char *completion, const char *reference);
double lf_dbpedia(const char *completion, const char *reference);

/* What they read from a text, appended as a label; nothing where they read none. */
enum lf_err lf_accuracy_label(struct lf_buf *out, const char *text);
enum lf_err lf_binary_flex_label(struct lf_buf *out, const char *text);
enum lf_err lf_digit_label(struct lf_buf *out, const char *text, const char *digits);
enum lf_err lf_choice_label(struct lf_buf *out, const char *text);
enum lf_err lf_covid_label(struct lf_buf *out, const char *text);
enum lf_err lf_words_label(struct lf_buf *out, const char *text);
enum lf_err lf_dbpedia_label(struct lf_buf *out, const char *text);

#endif
