/* The matrix on a terminal. */
#include "land/show.h"

#include "core/clock.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_NS 200000000u
#define WIDE 14  /* of a cell: "0.469 (+0.405)" */
#define NARROW 6 /* "0.469" and a gap */
#define GAP 2
#define NAMES_MIN 8
#define WIDTH_UNKNOWN 200 /* of what is no terminal */

static const char *const state_colours[] = {
    [LF_CELL_WAITING] = "2", [LF_CELL_TRAINING] = "36", [LF_CELL_SCORING] = "35",
    [LF_CELL_DONE] = "32",   [LF_CELL_FAILED] = "31",
};

/* ---- Cells ----------------------------------------------------------------------------------- */

/* What a cell says where there is little room, and where there is enough. */
static const char *const state_forms[][2] = {
    [LF_CELL_WAITING] = {"-", "waiting"},   [LF_CELL_TRAINING] = {"%3.0f%%", "training %3.0f%%"},
    [LF_CELL_SCORING] = {"...", "scoring"}, [LF_CELL_DONE] = {"%.3f", "%.3f (%+.3f)"},
    [LF_CELL_FAILED] = {"fail", "failed"},
};

static void cell_text(char out[32], const struct lf_cell *c, bool wide)
{
    const struct lf_land_cell *r = &c->result;
    const char *form = state_forms[c->state][wide];
    if (c->state == LF_CELL_TRAINING)
        snprintf(out, 32, form, 100 * c->progress);
    else if (c->state == LF_CELL_DONE)
        snprintf(out, 32, form, r->tuned_score, r->tuned_score - r->base_score);
    else
        snprintf(out, 32, "%s", form);
}

static void put_cell(struct lf_buf *out, const char *text, int width, const char *colour)
{
    lf_buf_printf(out, "%*s%s%s%s%*s%s", GAP, "", colour ? "\033[" : "", colour ? colour : "",
                  colour ? "m" : "", width, text, colour ? "\033[0m" : "");
}

/* A column's name, its front cut where it is too long: ends differ more often. */
static void put_heading(struct lf_buf *out, const char *name, int width)
{
    size_t n = strlen(name);
    const char *from = n > (size_t)width ? name + (n - (size_t)width) : name;
    put_cell(out, from, width, NULL);
}

/* ---- The matrix ------------------------------------------------------------------------------ */

struct layout {
    int names, cell;
    bool wide;
};

static struct layout lay_out(const struct lf_grid *f, int width)
{
    struct layout l = {.names = NAMES_MIN, .cell = WIDE, .wide = true};
    for (int k = 0; k < f->n_tasks; k++)
        if ((int)strlen(f->tasks[k]) > l.names)
            l.names = (int)strlen(f->tasks[k]);
    if (l.names + f->n_columns * (WIDE + GAP) > width) {
        l.cell = NARROW;
        l.wide = false;
    }
    return l;
}

/* Averages of each column over its finished cells. */
static void put_means(struct lf_buf *out, const struct lf_grid *f, const struct layout *l)
{
    lf_buf_printf(out, "%-*s", l->names, "mean");
    for (int i = 0; i < f->n_columns; i++) {
        double tuned = 0, lift = 0;
        char text[32] = "-";
        int n = 0;
        for (int k = 0; k < f->n_tasks; k++) {
            const struct lf_cell *c = lf_grid_cell(f, i, k);
            if (c->state != LF_CELL_DONE)
                continue;
            n++;
            tuned += c->result.tuned_score;
            lift += c->result.tuned_score - c->result.base_score;
        }
        if (n > 0)
            snprintf(text, sizeof text, l->wide ? "%.3f (%+.3f)" : "%.3f", tuned / n, lift / n);
        put_cell(out, text, l->cell, NULL);
    }
    lf_buf_putc(out, '\n');
}

static void put_duration(struct lf_buf *out, double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s < 60)
        lf_buf_printf(out, "%lds", s);
    else if (s < 3600)
        lf_buf_printf(out, "%ldm%02lds", s / 60, s % 60);
    else
        lf_buf_printf(out, "%ldh%02ldm", s / 3600, s / 60 % 60);
}

static void put_sums(struct lf_buf *out, const struct lf_grid *f)
{
    int done = lf_grid_count(f, LF_CELL_DONE), failed = lf_grid_count(f, LF_CELL_FAILED);
    int training = lf_grid_count(f, LF_CELL_TRAINING);
    lf_buf_printf(out, "%d of %d cells", done, f->n_tasks * f->n_columns);
    if (failed)
        lf_buf_printf(out, ", %d failed", failed);
    if (f->running && training)
        lf_buf_printf(out, ", %d training at %.0f tok/s", training, f->tokens_per_second);
    lf_buf_puts(out, f->running ? "; " : f->finished ? "; finished after " : "; stopped after ");
    put_duration(out, f->seconds);
    double part = lf_grid_progress(f);
    if (f->running && part > 0.02 && part < 1) {
        lf_buf_puts(out, ", about ");
        put_duration(out, f->seconds * (1 - part) / part);
        lf_buf_puts(out, " left");
    }
    lf_buf_putc(out, '\n');
}

void lf_show_matrix(struct lf_buf *out, const struct lf_grid *f, int width, bool colour)
{
    struct layout l = lay_out(f, width);
    lf_buf_printf(out, "%-*s", l.names, "");
    for (int i = 0; i < f->n_columns; i++)
        put_heading(out, f->columns[i], l.cell);
    lf_buf_putc(out, '\n');
    for (int k = 0; k < f->n_tasks; k++) {
        lf_buf_printf(out, "%-*s", l.names, f->tasks[k]);
        for (int i = 0; i < f->n_columns; i++) {
            const struct lf_cell *c = lf_grid_cell(f, i, k);
            char text[32];
            cell_text(text, c, l.wide);
            put_cell(out, text, l.cell, colour ? state_colours[c->state] : NULL);
        }
        lf_buf_putc(out, '\n');
    }
    put_means(out, f, &l);
    put_sums(out, f);
}

static enum lf_err print_json(const struct lf_grid *f, struct lf_diag *diag)
{
    json_t *j = lf_grid_json(f);
    bool ok = j && json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0;
    json_decref(j);
    putchar('\n');
    return ok ? LF_OK : lf_fail(diag, LF_E_IO, "the cells could not be printed");
}

enum lf_err lf_show_print(const struct lf_grid *f, bool json, struct lf_diag *diag)
{
    struct winsize size;
    lf_buf_auto text = {0};
    bool terminal = isatty(STDOUT_FILENO);
    if (json)
        return print_json(f, diag);
    int width = terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0
                    ? size.ws_col
                    : WIDTH_UNKNOWN;
    lf_show_matrix(&text, f, width, terminal);
    for (int i = 0; i < f->n_tasks * f->n_columns; i++)
        if (f->cells[i].state == LF_CELL_FAILED)
            lf_buf_printf(&text, "%s %s: %s\n", f->cells[i].column, f->tasks[f->cells[i].task],
                          f->cells[i].reason);
    enum lf_err rc = text.rc == LF_OK ? LF_OK : lf_fail(diag, text.rc, "no memory");
    if (rc == LF_OK)
        fputs(text.data, stdout);
    return rc;
}

/* ---- Drawn over itself ----------------------------------------------------------------------- */

void lf_show_init(struct lf_show *s, FILE *to, bool quiet)
{
    *s = (struct lf_show){.to = quiet ? NULL : to, .live = !quiet && isatty(fileno(to))};
}

static void erase(struct lf_show *s)
{
    if (s->lines > 0)
        fprintf(s->to, "\033[%dA\033[J", s->lines);
    s->lines = 0;
}

void lf_show_draw(struct lf_show *s, const struct lf_grid *f, bool now)
{
    uint64_t t = lf_clock_ns();
    struct winsize size = {.ws_col = 80, .ws_row = 24};
    lf_buf_auto text = {0};
    if (!s->live || (!now && t - s->drawn_ns < REDRAW_NS))
        return;
    if (ioctl(fileno(s->to), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        size.ws_col = 80;
    lf_show_matrix(&text, f, size.ws_col, true);
    if (text.rc == LF_OK) {
        const char *from = text.data;
        int lines = f->n_tasks + 3;
        if (lines >= size.ws_row) { /* too tall to be drawn over: its last line alone */
            from += text.len - 1;
            while (from > text.data && from[-1] != '\n')
                from--;
            lines = 1;
        }
        erase(s);
        fputs(from, s->to);
        fflush(s->to);
        s->lines = lines;
    }
    s->drawn_ns = t;
}

void lf_show_note(struct lf_show *s, bool always, const char *fmt, ...)
{
    va_list ap;
    if (!s->to || (s->live && !always))
        return;
    if (s->live)
        erase(s);
    va_start(ap, fmt);
    vfprintf(s->to, fmt, ap);
    va_end(ap);
    fputc('\n', s->to);
    fflush(s->to);
}

void lf_show_end(struct lf_show *s)
{
    if (s->live)
        erase(s);
    if (s->to)
        fflush(s->to);
}
