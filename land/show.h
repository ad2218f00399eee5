/* A study's matrix on a terminal: tasks down, columns across, one word a cell. */
#ifndef LF_LAND_SHOW_H
#define LF_LAND_SHOW_H

#include "core/buf.h"
#include "land/grid.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Appends the matrix, its averages and a line of sums, each line ending in '\n'. width: columns of
 * the terminal; where the matrix does not fit, cells shrink to their score. colour: ANSI. */
void lf_show_matrix(struct lf_buf *out, const struct lf_grid *f, int width, bool colour);

/* On stdout: the matrix and why cells failed; or all cells as JSON. */
enum lf_err lf_show_print(const struct lf_grid *f, bool json, struct lf_diag *diag) LF_MUST_CHECK;

/* A matrix that is drawn over itself, on a terminal; elsewhere there are only notes. */
struct lf_show {
    FILE *to;
    bool live; /* `to` is a terminal */
    int lines; /* drawn, to be drawn over */
    uint64_t drawn_ns;
};

/* quiet: nothing is shown at all. */
void lf_show_init(struct lf_show *s, FILE *to, bool quiet);
/* At most five times a second; now: whenever it was drawn last. */
void lf_show_draw(struct lf_show *s, const struct lf_grid *f, bool now);
/* A line that stays, above the matrix. `always`: also on a terminal, where the matrix tells the
 * rest. */
void lf_show_note(struct lf_show *s, bool always, const char *fmt, ...) LF_PRINTF(3, 4);
/* Takes the matrix off the screen. */
void lf_show_end(struct lf_show *s);

#endif
