/* Ceilings that score/ alone knows; those that several rooms know are in core/limits.h. Metrics and
 * the sandbox. */
#ifndef LF_SCORE_LIMITS_H
#define LF_SCORE_LIMITS_H

#define LF_METRIC_WORDS_MAX 16384       /* ROUGE-L's table of both texts: 0.3 s at most */
#define LF_CONFUSION_LABELS_MAX 256     /* more classes make no matrix */
#define LF_ROW_SCORES_MAX 100000        /* more rows have no interval: 200 KB of a report */
#define LF_BOOTSTRAPS 2000              /* draws of all rows for an interval */
#define LF_COLLAPSED_SHARE 0.95         /* of the answers: hardly any other class is named */
#define LF_LABEL_BYTES_MAX 200          /* the rest tells no class from another */
#define LF_PROGRAM_BYTES_MAX (1u << 20) /* more is no answer */
#define LF_SANDBOX_STDERR_MAX 400       /* of a program, kept to say why it failed */

#endif
