/* What a service tells its supervisor, as sd_notify(3) does: datagrams on the socket that
 * NOTIFY_SOCKET names. The protocol is stable and this small; libsystemd is not wanted for it. */
#ifndef LF_CORE_NOTIFY_H
#define LF_CORE_NOTIFY_H

/* `state` is lines NAME=VALUE: "READY=1", "STOPPING=1", "STATUS=loading the base". Does nothing
 * where no supervisor listens (NOTIFY_SOCKET is not set). Any thread; never blocks. */
void lf_notify(const char *state);

#endif
