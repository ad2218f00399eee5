/* Pictures of the report: heat maps and bars as inline SVG, with a <title> on every mark so that a
 * pointer over it shows the number. Text is escaped. Colours work on white paper and are ordered in
 * lightness, so that a grey print still reads. */
#ifndef LF_LAND_SVG_H
#define LF_LAND_SVG_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>

/* A matrix of rows x columns. value NaN: an empty cell. */
struct lf_heat_map {
    int rows, columns;
    const char *const *row_names, *const *column_names;
    const double *value;      /* (rows, columns): chooses the colour */
    const double *second;     /* (rows, columns) shown small below the value, signed; or NULL */
    const char *title;        /* what a value is: "score", for the tooltips */
    const char *second_title; /* what `second` is */
    bool signed_;             /* values in [-1, 1] around 0 (correlations), else [0, 1] */
};
enum lf_err lf_heat_map_svg(struct lf_buf *out, const struct lf_heat_map *m) LF_MUST_CHECK;

/* Horizontal bars in [0, 1]: `before` in grey inside `after` in colour, one pair a name. NaN: no
 * bar. */
struct lf_bars {
    int n;
    const char *const *names;
    const double *before, *after;
    const char *before_title, *after_title;
};
enum lf_err lf_bars_svg(struct lf_buf *out, const struct lf_bars *b) LF_MUST_CHECK;

#endif
