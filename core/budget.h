/* A budget of host memory that several threads draw on: what is about to be allocated for bytes
 * from outside is taken first, and given back when it is freed. What does not fit is refused; the
 * system's own memory is never what runs out. Any thread. */
#ifndef LF_CORE_BUDGET_H
#define LF_CORE_BUDGET_H

#include "core/err.h"

#include <stdint.h>

struct lf_budget; /* NULL, wherever one is passed: without a limit */

/* Yours, lf_budget_free. option: the option that sets it, for the reasons. NULL: memory is out. */
struct lf_budget *lf_budget_new(uint64_t bytes, const char *option);
void lf_budget_free(struct lf_budget *b);

/* what: "the rows of dataset.jsonl need"; the reason goes on from there. LF_E_TOO_BIG: more than
 * the whole budget; LF_E_OVERLOADED: more than is left of it now. With `held` bytes that the caller
 * has taken for the same thing before. */
enum lf_err lf_budget_take(struct lf_budget *b, uint64_t bytes, uint64_t held, const char *what,
                           struct lf_diag *diag) LF_MUST_CHECK;
void lf_budget_give(struct lf_budget *b, uint64_t bytes);

uint64_t lf_budget_limit(const struct lf_budget *b);
uint64_t lf_budget_used(const struct lf_budget *b);

/* What this process may have of the machine's memory: the least of its control groups' limits, of
 * its limit of address space and of the memory that there is. */
uint64_t lf_memory_limit(void);

#endif
