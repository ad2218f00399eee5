/* Heat maps and bars. */
#include "land/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CELL_W 62
#define CELL_H 30
#define LETTER 7.8 /* width of a letter at 12 px in a wide font, about */

static double clamp(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

struct rgb {
    int r, g, b;
};

static struct rgb blend(struct rgb a, struct rgb b, double t)
{
    return (struct rgb){(int)lround(a.r + t * (b.r - a.r)), (int)lround(a.g + t * (b.g - a.g)),
                        (int)lround(a.b + t * (b.b - a.b))};
}

/* [0, 1]: pale yellow over green to dark blue. [-1, 1]: red over white to blue. */
static struct rgb colour_of(double v, bool is_signed)
{
    static const struct rgb steps[] = {
        {252, 250, 220}, {199, 226, 184}, {110, 190, 180}, {48, 131, 172}, {29, 62, 125}};
    static const struct rgb red = {178, 44, 48}, white = {250, 250, 250}, blue = {36, 92, 160};
    if (is_signed) {
        v = clamp(v, -1, 1);
        return v < 0 ? blend(white, red, -v) : blend(white, blue, v);
    }
    double at = clamp(v, 0, 1) * 4;
    int i = at >= 4 ? 3 : (int)at;
    return blend(steps[i], steps[i + 1], at - i);
}

static bool is_dark(struct rgb c)
{
    return 0.299 * c.r + 0.587 * c.g + 0.114 * c.b < 140;
}

static int widest(const char *const *names, int n)
{
    size_t most = 0;
    for (int i = 0; i < n; i++)
        if (strlen(names[i]) > most)
            most = strlen(names[i]);
    return (int)((double)most * LETTER) + 12;
}

/* currentColor is the page's text; black where the picture stands alone. */
static void svg_begin(struct lf_buf *out, int w, int h, const char *what)
{
    lf_buf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                  "height=\"%d\" role=\"img\" font-family=\"system-ui,sans-serif\" "
                  "font-size=\"12\" fill=\"currentColor\"><title>",
                  w, h, w, h);
    lf_buf_xml(out, what);
    lf_buf_puts(out, "</title>\n");
}

static void svg_text(struct lf_buf *out, double x, double y, const char *anchor, const char *text)
{
    lf_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    lf_buf_xml(out, text);
    lf_buf_puts(out, "</text>\n");
}

static void heat_text(struct lf_buf *out, const struct lf_heat_map *m,
                      const struct lf_heat_cell *cell, double x, double y)
{
    double mid = x + CELL_W / 2.0;
    if (isnan(cell->value)) {
        lf_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\">", mid, y + 19);
        lf_buf_xml(out, cell->small);
        lf_buf_puts(out, "</text>");
        return;
    }
    lf_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\">%.*f</text>", mid,
                  y + (cell->small[0] ? 14 : 19), m->signed_ ? 2 : 3, cell->value);
    if (!cell->small[0])
        return;
    lf_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"9.5\">", mid, y + 25);
    lf_buf_xml(out, cell->small);
    lf_buf_puts(out, "</text>");
}

static void heat_fill(struct lf_buf *out, double shade, bool is_signed)
{
    if (isnan(shade)) {
        lf_buf_puts(out, "fill=\"#888\" fill-opacity=\"0.15\"");
        return;
    }
    struct rgb fill = colour_of(shade, is_signed);
    lf_buf_printf(out, "fill=\"#%02x%02x%02x\"", fill.r, fill.g, fill.b);
}

static void heat_cell(struct lf_buf *out, const struct lf_heat_map *m, int r, int c, int left,
                      int top)
{
    const struct lf_heat_cell *cell = &m->cells[r * m->columns + c];
    double x = left + c * CELL_W, y = top + r * CELL_H;
    lf_buf_puts(out, "<g><title>");
    lf_buf_xml(out, m->row_names[r]);
    lf_buf_puts(out, ", ");
    lf_buf_xml(out, m->column_names[c]);
    lf_buf_puts(out, ": ");
    lf_buf_xml(out, cell->about);
    lf_buf_printf(out, "</title><rect x=\"%.0f\" y=\"%.0f\" width=\"%d\" height=\"%d\" ", x, y,
                  CELL_W - 1, CELL_H - 1);
    heat_fill(out, cell->shade, m->signed_);
    lf_buf_puts(out, "/>");
    if (cell->doubtful)
        lf_buf_printf(out, "<path d=\"M%.0f %.0fh-10l10 10z\" fill=\"#d2452b\"/>", x + CELL_W - 1,
                      y);
    const char *ink = isnan(cell->shade)                            ? "currentColor"
                      : is_dark(colour_of(cell->shade, m->signed_)) ? "#fff"
                                                                    : "#222";
    lf_buf_printf(out, "<g fill=\"%s\" text-anchor=\"middle\">", ink);
    heat_text(out, m, cell, x, y);
    lf_buf_puts(out, "</g></g>\n");
}

#define LEGEND_STEPS 9
#define LEGEND_STEP_W 16
#define LEGEND_H 34

static void heat_legend(struct lf_buf *out, const struct lf_heat_map *m, int x, int y)
{
    double low = m->signed_ ? -1 : 0;
    for (int i = 0; i < LEGEND_STEPS; i++) {
        double shade = low + (1 - low) * i / (LEGEND_STEPS - 1);
        lf_buf_printf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"12\" ",
                      x + 24 + i * LEGEND_STEP_W, y, LEGEND_STEP_W);
        heat_fill(out, shade, m->signed_);
        lf_buf_puts(out, "/>");
    }
    char ends[8];
    snprintf(ends, sizeof ends, "%.0f", low);
    svg_text(out, x + 20, y + 10, "end", ends);
    x += 24 + LEGEND_STEPS * LEGEND_STEP_W;
    svg_text(out, x + 4, y + 10, "start", "1");
    svg_text(out, x + 18, y + 10, "start", m->shade_title);
    if (!m->doubt_title)
        return;
    lf_buf_printf(out, "<path d=\"M%d %dh-10l10 10z\" fill=\"#d2452b\"/>", x + 10, y + 17);
    svg_text(out, x + 18, y + 27, "start", m->doubt_title);
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

enum lf_err lf_heat_map_svg(struct lf_buf *out, const struct lf_heat_map *m)
{
    const char *const words[] = {m->shade_title, m->doubt_title ? m->doubt_title : ""};
    int left = widest(m->row_names, m->rows);
    int top = (int)(widest(m->column_names, m->columns) * 0.72) + 10;
    int overhang = top, bottom = top + m->rows * CELL_H;
    int wide = larger(left + m->columns * CELL_W + overhang,
                      widest(words, 2) + LEGEND_STEPS * LEGEND_STEP_W + 52);
    svg_begin(out, wide, bottom + 10 + LEGEND_H, m->title);
    for (int c = 0; c < m->columns; c++) {
        double x = left + (c + 0.5) * CELL_W, y = top - 6;
        lf_buf_printf(out, "<text transform=\"translate(%.1f %.1f) rotate(-45)\">", x, y);
        lf_buf_xml(out, m->column_names[c]);
        lf_buf_puts(out, "</text>\n");
    }
    for (int r = 0; r < m->rows; r++) {
        svg_text(out, left - 6, top + r * CELL_H + 19, "end", m->row_names[r]);
        for (int c = 0; c < m->columns; c++)
            heat_cell(out, m, r, c, left, top);
    }
    heat_legend(out, m, 0, bottom + 10);
    return lf_buf_puts(out, "</svg>\n");
}

#define BAR_H 26
#define BAR_W 460

static void one_bar(struct lf_buf *out, const struct lf_bars *b, int i, int left, int y)
{
    double before = clamp(b->before[i], 0, 1), after = clamp(b->after[i], 0, 1);
    lf_buf_puts(out, "<g><title>");
    lf_buf_xml(out, b->names[i]);
    if (!isnan(b->before[i]))
        lf_buf_printf(out, ": %s %.3f", b->before_title, b->before[i]);
    if (!isnan(b->after[i]))
        lf_buf_printf(out, ", %s %.3f", b->after_title, b->after[i]);
    lf_buf_puts(out, "</title>");
    if (!isnan(b->after[i]))
        lf_buf_printf(out,
                      "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"#3083ac\"/>"
                      "<text x=\"%.1f\" y=\"%d\">%.3f</text>",
                      left, y, after * BAR_W, BAR_H - 8, left + after * BAR_W + 5, y + 13,
                      b->after[i]);
    if (!isnan(b->before[i]))
        lf_buf_printf(out,
                      "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"#c9ced3\"/>",
                      left, y + 5, before * BAR_W, BAR_H - 18);
    lf_buf_puts(out, "</g>\n");
}

enum lf_err lf_bars_svg(struct lf_buf *out, const struct lf_bars *b)
{
    int left = widest(b->names, b->n), height = b->n * BAR_H + 26;
    svg_begin(out, left + BAR_W + 60, height, b->after_title);
    for (int tick = 0; tick <= 10; tick += 2) {
        double x = left + tick * BAR_W / 10.0;
        lf_buf_printf(out,
                      "<path d=\"M%.1f 0V%d\" stroke=\"#888\" stroke-opacity=\"0.3\"/>"
                      "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.1f</text>\n",
                      x, height - 20, x, height - 6, tick / 10.0);
    }
    for (int i = 0; i < b->n; i++) {
        svg_text(out, left - 6, i * BAR_H + 17, "end", b->names[i]);
        one_bar(out, b, i, left, i * BAR_H + 4);
    }
    return lf_buf_puts(out, "</svg>\n");
}
