/* Several adapters as one, for requests that ask for a mixture.
 *
 *   linear       sum of w_i * scale_i * B_i A_i, exactly: the ranks are stacked (PEFT's "cat")
 *   ties         per factor: each adapter's largest values, the elected sign, the mean of those
 * that have it dare_linear  per factor: random values, the others' part made up for, and their sum
 *   dare_ties    per factor: random values as there, then sign and mean as with ties
 *
 * The last three work on A and on B by themselves, with sqrt(|w_i scale_i|) for each, as PEFT's
 * add_weighted_adapter does, and take adapters of one rank. What a layer has from one adapter alone
 * is merged from that one. Pure: the same adapters, seeds and settings give the same bytes. */
#ifndef LF_MODEL_MERGE_H
#define LF_MODEL_MERGE_H

#include "model/adapter.h"

enum lf_merge_strategy { LF_MERGE_LINEAR, LF_MERGE_TIES, LF_MERGE_DARE_LINEAR, LF_MERGE_DARE_TIES };
extern const char *const lf_merge_words[]; /* in that order; a NULL after them */

struct lf_merge {
    enum lf_merge_strategy strategy;
    int n; /* 1 .. LF_MERGE_PARTS_MAX */
    double weight[LF_MERGE_PARTS_MAX];
    uint64_t seed[LF_MERGE_PARTS_MAX]; /* dare: what is dropped of the i-th follows from it */
    double density;                    /* of values that are kept, over 0 and up to 1; not linear */
    bool by_frequency;                 /* ties: values elect the sign, not their sum */
};

/* parts (m->n), of the base c describes. LF_E_TOO_BIG: ranks stack to more than LF_RANK_MAX;
 * LF_E_INVALID: ranks differ that must not; LF_E_UNSUPPORTED: DoRA. Yours, lf_adapter_free. */
enum lf_err lf_adapters_merge(struct lf_adapter **out, const struct lf_config *c,
                              const struct lf_merge *m, const struct lf_adapter *const *parts,
                              struct lf_diag *diag) LF_MUST_CHECK;

#endif
