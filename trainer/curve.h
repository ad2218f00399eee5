/* The loss curve of a training as a picture. */
#ifndef LF_TRAINER_CURVE_H
#define LF_TRAINER_CURVE_H

#include "core/buf.h"
#include "core/err.h"

#include <stddef.h>

/* A loss curve as a self-contained SVG: the training loss and its smoothed line over steps, and
 * evaluation points where there are any (n_eval 0: none). Any number of points, drawn as no more
 * than the picture has columns; points that are not finite are left out. */
struct lf_curve_point {
    double step, loss;
};
enum lf_err lf_curve_svg(struct lf_buf *out, const char *title, const struct lf_curve_point *train,
                         size_t n_train, const struct lf_curve_point *eval,
                         size_t n_eval) LF_MUST_CHECK;

#endif
