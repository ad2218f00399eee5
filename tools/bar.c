/* A progress bar on a terminal. */
#include "tools/bar.h"

#include "core/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_CELLS 30
#define REDRAW_NS 100000000u

void lf_bar_init(struct lf_bar *b, bool quiet)
{
    *b = (struct lf_bar){.shown = !quiet && isatty(STDERR_FILENO), .start_ns = lf_clock_ns()};
}

/* "7s", "3m12s", "2h05m". */
static void duration_text(char *out, size_t cap, double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s < 60)
        snprintf(out, cap, "%lds", s);
    else if (s < 3600)
        snprintf(out, cap, "%ldm%02lds", s / 60, s % 60);
    else
        snprintf(out, cap, "%ldh%02ldm", s / 3600, s / 60 % 60);
}

void lf_bar_update(void *bar, double fraction, const char *what)
{
    struct lf_bar *b = bar;
    uint64_t now = lf_clock_ns();
    if (!b->shown || (b->drawn && now - b->last_ns < REDRAW_NS && fraction < 1))
        return;
    fraction = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
    int full = (int)(fraction * BAR_CELLS);
    char cells[BAR_CELLS * 3 + 1] = "", rest[32] = ""; /* a cell is 3 bytes of UTF-8 */
    for (int i = 0; i < BAR_CELLS; i++)
        memcpy(cells + i * 3, i < full ? "█" : "░", 3);
    double spent = (double)(now - b->start_ns) * 1e-9;
    if (fraction > 0.02 && fraction < 1)
        duration_text(rest, sizeof rest, spent * (1 - fraction) / fraction);
    fprintf(stderr, "\r\033[K%s %s %3d%% %s", what, cells, (int)(fraction * 100), rest);
    fflush(stderr);
    b->drawn = true;
    b->last_ns = now;
}

void lf_bar_end(struct lf_bar *b)
{
    if (b->drawn)
        fprintf(stderr, "\r\033[K");
    b->drawn = false;
}
