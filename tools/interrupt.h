/* Ctrl-C and SIGTERM end a command tidily: the first one sets a flag, a second one kills. */
#ifndef LF_TOOLS_INTERRUPT_H
#define LF_TOOLS_INTERRUPT_H

#include <signal.h>

extern volatile sig_atomic_t lf_interrupted;

/* From now on. */
void lf_interrupt_watch(void);
/* For something that may be interrupted again and again: the flag is cleared, and the next Ctrl-C
 * sets it again; SIGTERM kills. */
void lf_interrupt_rearm(void);

#endif
