/* Heat maps and bars. */
#include "land/svg.h"

#include <math.h>
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

static void svg_begin(struct lf_buf *out, int w, int h, const char *what)
{
    lf_buf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
                  "height=\"%d\" role=\"img\" font-family=\"system-ui,sans-serif\" "
                  "font-size=\"12\"><title>",
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

static void heat_cell(struct lf_buf *out, const struct lf_heat_map *m, int r, int c, int left,
                      int top)
{
    double v = m->value[r * m->columns + c];
    double x = left + c * CELL_W, y = top + r * CELL_H;
    if (isnan(v)) {
        lf_buf_printf(out,
                      "<rect x=\"%.0f\" y=\"%.0f\" width=\"%d\" height=\"%d\" fill=\"#f3f3f3\"/>\n",
                      x, y, CELL_W - 1, CELL_H - 1);
        return;
    }
    struct rgb fill = colour_of(v, m->signed_);
    double second = m->second ? m->second[r * m->columns + c] : NAN;
    lf_buf_puts(out, "<g><title>");
    lf_buf_xml(out, m->row_names[r]);
    lf_buf_puts(out, ", ");
    lf_buf_xml(out, m->column_names[c]);
    lf_buf_printf(out, ": %s %.3f", m->title, v);
    if (!isnan(second))
        lf_buf_printf(out, ", %s %+.3f", m->second_title, second);
    lf_buf_printf(out,
                  "</title><rect x=\"%.0f\" y=\"%.0f\" width=\"%d\" height=\"%d\" "
                  "fill=\"#%02x%02x%02x\"/><g fill=\"%s\" text-anchor=\"middle\">",
                  x, y, CELL_W - 1, CELL_H - 1, fill.r, fill.g, fill.b,
                  is_dark(fill) ? "#fff" : "#222");
    double mid = x + CELL_W / 2.0;
    lf_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\">%.*f</text>", mid,
                  y + (isnan(second) ? 19 : 14), m->signed_ ? 2 : 3, v);
    if (!isnan(second))
        lf_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"9.5\">%+.3f</text>", mid,
                      y + 25, second);
    lf_buf_puts(out, "</g></g>\n");
}

enum lf_err lf_heat_map_svg(struct lf_buf *out, const struct lf_heat_map *m)
{
    int left = widest(m->row_names, m->rows);
    int top = (int)(widest(m->column_names, m->columns) * 0.72) + 10;
    int overhang = top;
    svg_begin(out, left + m->columns * CELL_W + overhang, top + m->rows * CELL_H + 4, m->title);
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
                      "<path d=\"M%.1f 0V%d\" stroke=\"#e4e4e4\"/><text x=\"%.1f\" y=\"%d\" "
                      "text-anchor=\"middle\" fill=\"#666\">%.1f</text>\n",
                      x, height - 20, x, height - 6, tick / 10.0);
    }
    for (int i = 0; i < b->n; i++) {
        svg_text(out, left - 6, i * BAR_H + 17, "end", b->names[i]);
        one_bar(out, b, i, left, i * BAR_H + 4);
    }
    return lf_buf_puts(out, "</svg>\n");
}
