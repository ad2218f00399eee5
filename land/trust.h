/* How far a cell's scores can be trusted: intervals over its rows, and whether the answers are more
 * than the most frequent class. Host data, one thread. */
#ifndef LF_LAND_TRUST_H
#define LF_LAND_TRUST_H

#include "core/err.h"
#include "score/interval.h"

#include <jansson.h>
#include <stdbool.h>

struct lf_land_trust {
    struct lf_interval base, tuned; /* of the scores, 95% */
    struct lf_interval lift;        /* row by row; NaN where the two are not of the same rows */
    double majority; /* what the most frequent class scores; NaN: answers are no labels */
    bool collapsed;  /* nearly all answers are one class (lf_confusion_collapsed) */
};

/* Nothing is known. */
struct lf_land_trust lf_land_trust_unknown(void);
/* What the daemon's metrics.json says, of its "eval" and "base". LF_E_NO_MEMORY. */
enum lf_err lf_land_trust_of(struct lf_land_trust *out, const json_t *eval,
                             const json_t *base) LF_MUST_CHECK;
/* {"base_interval": [low, high], "tuned_interval", "lift_interval", "majority", "collapsed"}, of
 * what is known; and back. A new object; NULL when memory is out. */
json_t *lf_land_trust_json(const struct lf_land_trust *t);
struct lf_land_trust lf_land_trust_read(const json_t *j);

#endif
