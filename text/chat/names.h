/* The names that a template may use: tables of filters, tests, functions and methods, each ending
 * with a row without a name. Rows without a function are refused by name when they are used. */
#ifndef LF_TEXT_CHAT_NAMES_H
#define LF_TEXT_CHAT_NAMES_H

#include "text/chat/value.h"

extern const struct lf_jdef lf_j_value_filters[];    /* filters.c */
extern const struct lf_jdef lf_j_sequence_filters[]; /* sequences.c */
extern const struct lf_jdef lf_j_tests[];            /* tests.c */
extern const struct lf_jdef lf_j_functions[];        /* functions.c */
/* methods.c */
const struct lf_jdef *lf_j_method(enum lf_jtype of, struct lf_str name);

/* names.c: all of them, for the parser and the run. */
extern const struct lf_jnames lf_j_names;

#endif
