/* The three streams that a program is started with. */
#ifndef LF_TOOLS_STREAMS_H
#define LF_TOOLS_STREAMS_H

/* First of all: descriptors 0 to 2 that whoever started us has closed are taken by ones that can be
 * neither read nor written. Else the first files and sockets that are opened would be them, and
 * what is printed would be written there. */
void lf_streams_open(void);
/* Last of all, with the command's exit status: what waits in stdout is written. Where that, or
 * something before it, could not be, it is said, and a status of 0 becomes 1. */
int lf_streams_close(const char *program, int status);

#endif
