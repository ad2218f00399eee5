/* "Did you mean": the nearest of a few known words. */
#ifndef LF_CORE_NEAREST_H
#define LF_CORE_NEAREST_H

#include "core/err.h"

/* The list's (NULL-terminated) word that is nearest to a mistyped one, or NULL when none is
 * near: a third of its letters may be wrong, or it is the beginning of a longer word. Borrowed from
 * the list. */
const char *lf_nearest_word(const char *word, const char *const *words);
/* LF_E_INVALID: `unknown KIND "WORD"; did you mean "..."?` */
enum lf_err lf_fail_unknown(struct lf_diag *diag, const char *kind, const char *word,
                            const char *const *words);

#endif
