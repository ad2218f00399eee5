/* The loss curve of a training, and where it learns preferences how rewards go: points, and as a
 * picture. */
#ifndef LF_TRAINER_CURVE_H
#define LF_TRAINER_CURVE_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>

struct lf_curve_point {
    double step, value;
};
struct lf_curve_points {
    struct lf_curve_point *p; /* (n) */
    size_t n, cap;
};
/* Zero-initialised is empty; free with lf_curve_free. */
struct lf_curve {
    struct lf_curve_points train, eval; /* losses */
    struct lf_curve_points margin, eval_margin, accuracy, eval_accuracy;
};
void lf_curve_free(struct lf_curve *c);
/* The same points again. Yours. */
enum lf_err lf_curve_copy(struct lf_curve *out, const struct lf_curve *c) LF_MUST_CHECK;
/* Appends a point. Those of its step and later ones no longer hold: a training that was resumed
 * reports the steps after its checkpoint again. */
enum lf_err lf_curve_add(struct lf_curve_points *l, double step, double value) LF_MUST_CHECK;

/* The curve as a self-contained SVG: the training loss and its smoothed line over steps, and
 * evaluation points where there are any; below them likewise the margin and the accuracy of
 * rewards. Any number of points, drawn as no more than the picture has columns; points that are not
 * finite are left out. */
enum lf_err lf_curve_svg(struct lf_buf *out, const char *title,
                         const struct lf_curve *c) LF_MUST_CHECK;
/* Several trainings in one picture: the smoothed line of each, its evaluations, and a legend. */
struct lf_curve_run {
    const char *name;
    const struct lf_curve *curve;
    bool best; /* it is drawn last, and thick */
};
enum lf_err lf_curves_svg(struct lf_buf *out, const char *title, const struct lf_curve_run *runs,
                          int n) LF_MUST_CHECK;

#endif
