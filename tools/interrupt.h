/* Ctrl-C and SIGTERM end a command tidily: the first one sets a flag, a second one kills. */
#ifndef LF_TOOLS_INTERRUPT_H
#define LF_TOOLS_INTERRUPT_H

#include <signal.h>

extern volatile sig_atomic_t lf_interrupted;

/* From now on. */
void lf_interrupt_watch(void);

#endif
