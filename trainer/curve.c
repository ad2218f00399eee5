/* The loss curve: points, ranges, the frame, the lines. */
#include "trainer/curve.h"

#include "core/grow.h"
#include "core/num.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* All of a curve's lists. */
#define N_LISTS 6
static void lists_of(struct lf_curve_points *out[N_LISTS], const struct lf_curve *c)
{
    struct lf_curve *own = (struct lf_curve *)(uintptr_t)c;
    struct lf_curve_points *lists[N_LISTS] = {&own->train,    &own->eval,
                                              &own->margin,   &own->eval_margin,
                                              &own->accuracy, &own->eval_accuracy};
    memcpy(out, lists, sizeof lists);
}

void lf_curve_free(struct lf_curve *c)
{
    struct lf_curve_points *lists[N_LISTS];
    lists_of(lists, c);
    for (int i = 0; i < N_LISTS; i++)
        free(lists[i]->p);
    *c = (struct lf_curve){0};
}

enum lf_err lf_curve_add(struct lf_curve_points *l, double step, double value)
{
    while (l->n > 0 && l->p[l->n - 1].step >= step)
        l->n--;
    if (lf_grow(&l->p, &l->cap, l->n + 1, sizeof *l->p) != LF_OK)
        return LF_E_NO_MEMORY;
    l->p[l->n++] = (struct lf_curve_point){step, value};
    return LF_OK;
}

static enum lf_err points_copy(struct lf_curve_points *out, const struct lf_curve_points *l)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < l->n && rc == LF_OK; i++)
        rc = lf_curve_add(out, l->p[i].step, l->p[i].value);
    return rc;
}

enum lf_err lf_curve_copy(struct lf_curve *out, const struct lf_curve *c)
{
    struct lf_curve copy = {0};
    struct lf_curve_points *from[N_LISTS], *to[N_LISTS];
    enum lf_err rc = LF_OK;
    lists_of(from, c);
    lists_of(to, &copy);
    for (int i = 0; i < N_LISTS && rc == LF_OK; i++)
        rc = points_copy(to[i], from[i]);
    if (rc == LF_OK)
        *out = copy;
    else
        lf_curve_free(&copy);
    return rc;
}

/* The picture and the plot in it, in pixels. */
enum {
    WIDTH = 760,
    HEIGHT = 420,
    LEFT = 70,
    RIGHT = 736,
    TOP = 58,
    BOTTOM = 364,
    SMALL = 132, /* the height of a plot of rewards, below that */
    BETWEEN = 66,
    COLUMNS = RIGHT - LEFT + 1
};

/* One of the plots that stand above each other. */
struct plot {
    int top, bottom;
    const char *label;
};

#define LOG_FROM 30.0 /* largest / smallest loss from which the axis is logarithmic */

struct axis {
    double lo, hi;
    bool log;
    double from, to; /* pixels of lo and hi */
};

static double place(const struct axis *a, double v)
{
    double t = a->log ? log(v / a->lo) / log(a->hi / a->lo) : (v - a->lo) / (a->hi - a->lo);
    return a->from + t * (a->to - a->from);
}

/* The 1, 2 or 5 times a power of ten that cuts `range` into about n parts. */
static double tick_step(double range, int n)
{
    double raw = range / n, unit = pow(10, floor(log10(raw))), m = raw / unit;
    return unit * (m < 1.5 ? 1 : m < 3.5 ? 2 : m < 7.5 ? 5 : 10);
}

/* ---- Ranges ---------------------------------------------------------------------------------- */

struct range {
    double lo, hi;
};

static bool usable(const struct lf_curve_point *p)
{
    return isfinite(p->step) && isfinite(p->value);
}

static void widen(struct range *steps, struct range *losses, const struct lf_curve_points *l)
{
    const struct lf_curve_point *p = l->p;
    for (size_t i = 0; i < l->n; i++) {
        if (!usable(&p[i]))
            continue;
        steps->lo = fmin(steps->lo, p[i].step);
        steps->hi = fmax(steps->hi, p[i].step);
        losses->lo = fmin(losses->lo, p[i].value);
        losses->hi = fmax(losses->hi, p[i].value);
    }
}

static struct axis step_axis(struct range r)
{
    if (!(r.hi >= r.lo))
        r = (struct range){0, 10};
    if (r.hi - r.lo < 1)
        r.hi = r.lo + 1;
    return (struct axis){r.lo, r.hi, false, LEFT, RIGHT};
}

static struct axis value_axis(struct range r, const struct plot *p)
{
    if (!(r.hi >= r.lo))
        r = (struct range){0, 4};
    if (r.lo > 0 && r.hi / r.lo > LOG_FROM)
        return (struct axis){r.lo / 1.15, r.hi * 1.15, true, p->bottom, p->top};
    double room = fmax((r.hi - r.lo) * 0.06, fmax(fabs(r.hi), 1e-3) * 0.05);
    double lo = r.lo >= 0 && r.lo - room < 0 ? 0 : r.lo - room;
    return (struct axis){lo, r.hi + room, false, p->bottom, p->top};
}

/* ---- The frame ------------------------------------------------------------------------------- */

static const char style[] =
    "<style>\n"
    "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#5b6472}\n"
    ".title{font-size:15px;font-weight:600;fill:#1c2430}\n"
    ".paper{fill:#fff}.grid{stroke:#e6e9ee;stroke-width:1}.frame{stroke:#9aa3af;stroke-width:1}\n"
    ".raw{fill:none;stroke:#b5d2f2;stroke-width:1;stroke-linejoin:round}\n"
    ".smooth{fill:none;stroke:#1f6fc4;stroke-width:2.25;stroke-linejoin:round}\n"
    ".eval{fill:none;stroke:#e07b1a;stroke-width:1.25;stroke-dasharray:3 3}\n"
    ".dot{fill:#e07b1a;stroke:#fff;stroke-width:1.5}.point{fill:#1f6fc4}\n"
    "@media (prefers-color-scheme:dark){text{fill:#a3adba}.title{fill:#e8ecf1}\n"
    ".paper{fill:#14181e}.grid{stroke:#262d37}.frame{stroke:#56606e}\n"
    ".raw{stroke:#2a4363}.smooth{stroke:#6aaef5}.point{fill:#6aaef5}.dot{stroke:#14181e}}\n"
    "</style>\n";

static const char runs_style[] = "<style>.run{fill:none;stroke-width:1.25;stroke-linejoin:round}"
                                 ".best{stroke-width:3}</style>\n";

static void put_open(struct lf_buf *out, const char *title, int height)
{
    lf_buf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                  "viewBox=\"0 0 %d %d\" role=\"img\">\n<title>",
                  WIDTH, height, WIDTH, height);
    lf_buf_xml(out, title);
    lf_buf_printf(out, "</title>\n%s<rect class=\"paper\" width=\"%d\" height=\"%d\"/>\n", style,
                  WIDTH, HEIGHT);
    lf_buf_printf(out, "<text class=\"title\" x=\"%d\" y=\"30\">", LEFT);
    lf_buf_xml(out, title);
    lf_buf_puts(out, "</text>\n");
}

static void put_step_tick(struct lf_buf *out, const struct plot *p, const struct axis *x, double v)
{
    double px = place(x, v);
    lf_buf_printf(out,
                  "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>"
                  "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>\n",
                  px, p->top, px, p->bottom, px, p->bottom + 19, v);
}

static void put_loss_tick(struct lf_buf *out, const struct axis *y, double v)
{
    double py = place(y, v);
    lf_buf_printf(out,
                  "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                  "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n",
                  LEFT, py, RIGHT, py, LEFT - 8, py + 4, v);
}

static void put_ticks(struct lf_buf *out, const struct plot *p, const struct axis *x,
                      const struct axis *y)
{
    double step = fmax(tick_step(x->hi - x->lo, 8), 1);
    for (double k = ceil(x->lo / step); k * step <= x->hi * (1 + 1e-9); k++)
        put_step_tick(out, p, x, k * step);
    if (!y->log) {
        step = tick_step(y->hi - y->lo, lf_max_int((p->bottom - p->top) / 50, 4));
        for (double k = ceil(y->lo / step - 1e-9); k * step <= y->hi + step * 1e-9; k++)
            put_loss_tick(out, y, k == 0 ? 0 : k * step);
        return;
    }
    static const double in_decade[] = {1, 2, 5};
    bool fine = y->hi / y->lo < 3e3;
    for (double unit = pow(10, floor(log10(y->lo))); unit <= y->hi; unit *= 10)
        for (int i = 0; i < (fine ? 3 : 1); i++)
            if (unit * in_decade[i] >= y->lo && unit * in_decade[i] <= y->hi)
                put_loss_tick(out, y, unit * in_decade[i]);
}

static void put_frame(struct lf_buf *out, const struct plot *p, const struct axis *x,
                      const struct axis *y)
{
    put_ticks(out, p, x, y);
    lf_buf_printf(out,
                  "<path class=\"frame\" fill=\"none\" d=\"M%d %dV%dH%d\"/>\n"
                  "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">optimizer step</text>\n"
                  "<text transform=\"translate(22 %d) rotate(-90)\" text-anchor=\"middle\">"
                  "%s%s</text>\n",
                  LEFT, p->top, p->bottom, RIGHT, (LEFT + RIGHT) / 2, p->bottom + 42,
                  (p->top + p->bottom) / 2, p->label, y->log ? " (log)" : "");
}

static void put_legend(struct lf_buf *out, bool eval)
{
    int x = RIGHT - (eval ? 246 : 158);
    lf_buf_printf(out,
                  "<path class=\"raw\" d=\"M%d 26h18\"/><text x=\"%d\" y=\"30\">step</text>\n"
                  "<path class=\"smooth\" d=\"M%d 26h18\"/>"
                  "<text x=\"%d\" y=\"30\">smoothed</text>\n",
                  x, x + 24, x + 66, x + 90);
    if (eval)
        lf_buf_printf(out,
                      "<circle class=\"dot\" cx=\"%d\" cy=\"26\" r=\"4.5\"/>"
                      "<text x=\"%d\" y=\"30\">evaluation</text>\n",
                      x + 172, x + 182);
}

/* ---- The lines ------------------------------------------------------------------------------- */

/* What falls into one column of pixels. */
struct pixel_column {
    double lo, hi; /* of the losses; lo > hi: nothing */
    double smooth; /* the smoothed loss after the last of them */
};

static void fill_columns(struct pixel_column *c, const struct axis *x,
                         const struct lf_curve_points *l)
{
    const struct lf_curve_point *p = l->p;
    size_t n = l->n;
    for (int i = 0; i < COLUMNS; i++)
        c[i] = (struct pixel_column){INFINITY, -INFINITY, 0};
    double window = fmax(1, (double)n / 40), keep = 1 - 2 / (window + 1);
    double sum = 0, weight = 0;
    for (size_t i = 0; i < n; i++) {
        if (!usable(&p[i]))
            continue;
        sum = sum * keep + p[i].value;
        weight = weight * keep + 1;
        struct pixel_column *at = &c[(int)(place(x, p[i].step) - LEFT + 0.5)];
        at->lo = fmin(at->lo, p[i].value);
        at->hi = fmax(at->hi, p[i].value);
        at->smooth = sum / weight;
    }
}

/* The path's commands through the smoothed losses. */
static void put_smooth(struct lf_buf *out, const struct pixel_column *c, const struct axis *y)
{
    const char *move = "M";
    for (int i = 0; i < COLUMNS; i++) {
        if (c[i].lo > c[i].hi)
            continue;
        lf_buf_printf(out, "%s%d %.1f", move, LEFT + i, place(y, c[i].smooth));
        move = "L";
    }
}

static void put_lines(struct lf_buf *out, const struct pixel_column *c, const struct axis *y)
{
    const char *move = "M";
    lf_buf_puts(out, "<path class=\"raw\" d=\"");
    for (int i = 0; i < COLUMNS; i++) {
        if (c[i].lo > c[i].hi)
            continue;
        lf_buf_printf(out, "%s%d %.1f", move, LEFT + i, place(y, c[i].lo));
        if (c[i].hi > c[i].lo)
            lf_buf_printf(out, "V%.1f", place(y, c[i].hi));
        move = "L";
    }
    lf_buf_puts(out, "\"/>\n<path class=\"smooth\" d=\"");
    put_smooth(out, c, y);
    lf_buf_puts(out, "\"/>\n");
}

static void put_eval(struct lf_buf *out, const struct axis *x, const struct axis *y,
                     const struct lf_curve_points *l)
{
    const struct lf_curve_point *p = l->p;
    size_t n = l->n;
    const char *move = "M";
    lf_buf_puts(out, "<path class=\"eval\" d=\"");
    for (size_t i = 0; i < n; i++) {
        if (!usable(&p[i]))
            continue;
        lf_buf_printf(out, "%s%.1f %.1f", move, place(x, p[i].step), place(y, p[i].value));
        move = "L";
    }
    lf_buf_puts(out, "\"/>\n");
    for (size_t i = 0; i < n; i++)
        if (usable(&p[i]))
            lf_buf_printf(out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/>\n",
                          place(x, p[i].step), place(y, p[i].value));
}

/* Steps so few that a line alone would not show them. */
static void put_few(struct lf_buf *out, const struct pixel_column *c, const struct axis *y)
{
    for (int i = 0; i < COLUMNS; i++)
        if (c[i].lo <= c[i].hi)
            lf_buf_printf(out, "<circle class=\"point\" cx=\"%d\" cy=\"%.1f\" r=\"3\"/>\n",
                          LEFT + i, place(y, c[i].lo));
}

static void widen_all(struct range *steps, struct range *values,
                      const struct lf_curve_points *train, const struct lf_curve_points *eval)
{
    widen(steps, values, train);
    widen(steps, values, eval);
}

/* The steps' points and the evaluations' in one plot. */
static void put_plot(struct lf_buf *out, const struct plot *p, const struct axis *x,
                     const struct axis *y, struct pixel_column *columns,
                     const struct lf_curve_points *train, const struct lf_curve_points *eval)
{
    put_frame(out, p, x, y);
    fill_columns(columns, x, train);
    if (train->n > 0)
        put_lines(out, columns, y);
    if (train->n > 0 && train->n <= 8)
        put_few(out, columns, y);
    if (eval->n > 0)
        put_eval(out, x, y, eval);
}

static void put_rewards(struct lf_buf *out, const struct axis *x, struct pixel_column *columns,
                        const struct lf_curve *c)
{
    const struct plot margin = {HEIGHT + 4, HEIGHT + 4 + SMALL, "reward margin"};
    const struct plot accuracy = {margin.bottom + BETWEEN, margin.bottom + BETWEEN + SMALL,
                                  "reward accuracy"};
    const struct axis part = {0, 1, false, accuracy.bottom, accuracy.top};
    struct range steps = {INFINITY, -INFINITY}, values = steps;
    widen_all(&steps, &values, &c->margin, &c->eval_margin);
    values.lo = fmin(values.lo, 0);
    struct axis y = value_axis(values, &margin);
    put_plot(out, &margin, x, &y, columns, &c->margin, &c->eval_margin);
    put_plot(out, &accuracy, x, &part, columns, &c->accuracy, &c->eval_accuracy);
}

enum lf_err lf_curve_svg(struct lf_buf *out, const char *title, const struct lf_curve *c)
{
    bool rewards = c->accuracy.n + c->eval_accuracy.n > 0;
    const struct plot plot = {TOP, BOTTOM, rewards ? "loss" : "loss, nats per token"};
    struct pixel_column *columns = malloc(COLUMNS * sizeof *columns);
    if (!columns)
        return LF_E_NO_MEMORY;
    struct range steps = {INFINITY, -INFINITY}, losses = steps;
    widen_all(&steps, &losses, &c->train, &c->eval);
    struct axis x = step_axis(steps), y = value_axis(losses, &plot);
    put_open(out, title, HEIGHT + (rewards ? 2 * (SMALL + BETWEEN) : 0));
    put_plot(out, &plot, &x, &y, columns, &c->train, &c->eval);
    if (c->train.n > 0)
        put_legend(out, c->eval.n > 0);
    else
        lf_buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">no step yet</text>\n",
                      (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2);
    if (rewards)
        put_rewards(out, &x, columns, c);
    free(columns);
    return lf_buf_puts(out, "</svg>\n");
}

/* ---- Several --------------------------------------------------------------------------------- */

#define LEGEND_ROWS 16 /* lines of it */

/* A hue of its own for each of n. */
static void put_colour(struct lf_buf *out, int i, int n)
{
    lf_buf_printf(out, "hsl(%d,62%%,52%%)", (210 + i * 360 / n) % 360);
}

static void put_run(struct lf_buf *out, const struct axis *x, const struct axis *y,
                    struct pixel_column *columns, const struct lf_curve_run *runs, int i, int n)
{
    const struct lf_curve_points *l = &runs[i].curve->eval;
    fill_columns(columns, x, &runs[i].curve->train);
    lf_buf_printf(out, "<g class=\"run%s\" stroke=\"", runs[i].best ? " best" : "");
    put_colour(out, i, n);
    lf_buf_puts(out, "\"><title>");
    lf_buf_xml(out, runs[i].name);
    lf_buf_puts(out, "</title><path d=\"");
    put_smooth(out, columns, y);
    lf_buf_puts(out, "\"/>");
    for (size_t k = 0; k < l->n; k++)
        if (usable(&l->p[k]))
            lf_buf_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", place(x, l->p[k].step),
                          place(y, l->p[k].value));
    lf_buf_puts(out, "</g>\n");
}

static void put_names(struct lf_buf *out, const struct lf_curve_run *runs, int n)
{
    for (int i = 0; i < n && i < LEGEND_ROWS; i++) {
        int y = TOP + 14 + 15 * i;
        lf_buf_printf(out, "<path class=\"run%s\" stroke=\"", runs[i].best ? " best" : "");
        put_colour(out, i, n);
        lf_buf_printf(out, "\" d=\"M%d %dh14\"/><text x=\"%d\" y=\"%d\" text-anchor=\"end\">",
                      RIGHT - 22, y, RIGHT - 28, y + 4);
        lf_buf_xml(out, runs[i].name);
        lf_buf_printf(out, "%s</text>\n", runs[i].best ? " (best)" : "");
    }
    if (n > LEGEND_ROWS)
        lf_buf_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">and %d more</text>\n",
                      RIGHT - 28, TOP + 18 + 15 * LEGEND_ROWS, n - LEGEND_ROWS);
}

enum lf_err lf_curves_svg(struct lf_buf *out, const char *title, const struct lf_curve_run *runs,
                          int n)
{
    struct pixel_column *columns = malloc(COLUMNS * sizeof *columns);
    if (!columns)
        return LF_E_NO_MEMORY;
    struct range steps = {INFINITY, -INFINITY}, losses = steps;
    const struct plot plot = {TOP, BOTTOM, "loss"};
    for (int i = 0; i < n; i++)
        widen_all(&steps, &losses, &runs[i].curve->train, &runs[i].curve->eval);
    struct axis x = step_axis(steps), y = value_axis(losses, &plot);
    put_open(out, title, HEIGHT);
    lf_buf_puts(out, runs_style);
    put_frame(out, &plot, &x, &y);
    for (int best = 0; best < 2; best++)
        for (int i = 0; i < n; i++)
            if (runs[i].best == (best > 0))
                put_run(out, &x, &y, columns, runs, i, n);
    put_names(out, runs, n);
    free(columns);
    return lf_buf_puts(out, "</svg>\n");
}
