/* The flag of Ctrl-C. */
#include "tools/interrupt.h"

volatile sig_atomic_t lf_interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    lf_interrupted = 1;
}

void lf_interrupt_rearm(void)
{
    struct sigaction act = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND};
    lf_interrupted = 0;
    sigaction(SIGINT, &act, NULL);
}

void lf_interrupt_watch(void)
{
    struct sigaction act = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}
