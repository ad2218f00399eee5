/* Metrics over words: bags and sequences of them. Private to score/. */
#ifndef LF_SCORE_WORDS_H
#define LF_SCORE_WORDS_H

double lf_rouge_1(const char *completion, const char *reference);
double lf_rouge_2(const char *completion, const char *reference);
double lf_rouge_l(const char *completion, const char *reference);
double lf_token_f1(const char *completion, const char *reference);

#endif
