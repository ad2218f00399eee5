/* The weights of a base's linear maps as numbers, one site after another: as the checkpoint has
 * them, and as the model's device computes with them. One thread drives it. */
#ifndef LF_MODEL_SITE_WEIGHTS_H
#define LF_MODEL_SITE_WEIGHTS_H

#include "core/pool.h"
#include "model/merged_base.h"
#include "model/model.h"

struct lf_bnb_quantizer;
struct lf_site_weights {
    const struct lf_model *m;
    struct lf_pool *pool; /* all cores, for who works on the numbers */
    /* Of the checkpoint; not opened where only what is served is read, and that is in host memory
     */
    struct lf_merged_base base;
    struct lf_device *dev; /* the host's */
    struct lf_stream *stream;
    struct lf_bnb_quantizer *quantizer;
};

/* stored: the checkpoint's numbers are wanted. LF_E_UNSUPPORTED: the model has none, its weights
 * are random. Close with lf_site_weights_close, also after a failure. */
enum lf_err lf_site_weights_open(struct lf_site_weights *out, const struct lf_model *m, bool stored,
                                 struct lf_diag *diag) LF_MUST_CHECK;
void lf_site_weights_close(struct lf_site_weights *x);
/* The checkpoint's tensor of a site. */
const struct lf_merged_tensor *lf_site_weights_tensor(const struct lf_site_weights *x, int site);
/* w (N, K): as it is stored, 4-bit matrices widened. */
enum lf_err lf_site_weights_stored(struct lf_site_weights *x, int site, float *w,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* w (N, K): what is left of it where it is quantised as it is loaded; else the same. */
enum lf_err lf_site_weights_served(struct lf_site_weights *x, int site, float *w,
                                   struct lf_diag *diag) LF_MUST_CHECK;

#endif
