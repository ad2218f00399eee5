/* A progress bar on stderr's last line, where stderr is a terminal; elsewhere it is silent. Drawn
 * at most ten times a second. One thread. */
#ifndef LF_TOOLS_BAR_H
#define LF_TOOLS_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct lf_bar {
    bool shown; /* stderr is a terminal, and the caller does not want quiet */
    bool drawn; /* something stands on the line */
    uint64_t start_ns, last_ns;
};

void lf_bar_init(struct lf_bar *b, bool quiet);
/* fraction in [0, 1]; `what` stands before the bar, the estimated rest of the time after it. The
 * signature of struct lf_model_options' progress: arg is the bar. */
void lf_bar_update(void *bar, double fraction, const char *what);
/* Clears the line. */
void lf_bar_end(struct lf_bar *b);

#endif
