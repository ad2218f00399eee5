/* Pictures of the report: heat maps and bars as inline SVG, with a <title> on every mark so that a
 * pointer over it shows the number. Text is escaped. Colours are ordered in lightness, so that a
 * grey print still reads; what stands outside of them has the colour of the text around, so that
 * they work on white paper and on a dark page. */
#ifndef LF_LAND_SVG_H
#define LF_LAND_SVG_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>

/* A cell of a heat map. */
struct lf_heat_cell {
    double value;    /* written; NaN: `about` alone is there, for the tooltip */
    double shade;    /* chooses the colour */
    char small[24];  /* below the value; "": nothing */
    char about[320]; /* the tooltip, behind the names of row and column */
    bool doubtful;   /* its corner is marked */
};

/* A matrix of rows x columns, above a legend of its colours. */
struct lf_heat_map {
    int rows, columns;
    const char *const *row_names, *const *column_names;
    const struct lf_heat_cell *cells; /* (rows, columns) */
    const char *title;                /* what it shows */
    const char *shade_title;          /* what a colour is, for the legend */
    const char *doubt_title;          /* what a marked corner is; NULL: no corner is marked */
    bool signed_;                     /* shades in [-1, 1] around 0 (correlations), else [0, 1] */
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
