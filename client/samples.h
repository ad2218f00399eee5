/* Prometheus' text, as GET /metrics answers it: read, and looked up by name and label. */
#ifndef LF_CLIENT_SAMPLES_H
#define LF_CLIENT_SAMPLES_H

#include "core/buf.h"
#include "core/err.h"

#include <stddef.h>

struct lf_sample_line {
    const char *name;
    const char *labels; /* `adapter="viggo",outcome="ended"`, as it stands there; "" */
    double value;
};
/* Zero-initialised: none. */
struct lf_samples {
    struct lf_sample_line *v; /* (n) in the order of the text */
    size_t n;
    struct lf_buf text; /* names and labels are in it */
};

/* Takes the text, also on failure. LF_E_INVALID names the line that is none; *out is empty then.
 * Remarks, types and times of values are passed over. */
enum lf_err lf_samples_parse(struct lf_samples *out, struct lf_buf *text,
                             struct lf_diag *diag) LF_MUST_CHECK;
void lf_samples_free(struct lf_samples *m);
/* The sum of all values of this name whose labels contain `label` (`adapter="viggo"`); NULL: of
 * all. 0 where there is none. */
double lf_samples_value(const struct lf_samples *m, const char *name, const char *label);

#endif
