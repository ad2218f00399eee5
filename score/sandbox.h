/* Python programs that nobody trusts, run to see whether they end well.
 *
 * bubblewrap (bwrap) gives a program namespaces of its own (user, mount, pid, net, ipc, uts): it
 * sees /usr read-only and nothing else of this machine, has no network and no other process, and
 * may write no file. A seccomp filter lets it start no process and no thread; limits end it when it
 * takes too long or too much memory. Any thread, any number at once. */
#ifndef LF_SCORE_SANDBOX_H
#define LF_SCORE_SANDBOX_H

#include "core/err.h"

#include <stddef.h>

struct lf_sandbox_limits {
    int seconds;         /* of processor time; of wall clock LF_SANDBOX_PATIENCE times that, since
                            other programs may want the processor too */
    size_t memory_bytes; /* of address space */
};

#define LF_SANDBOX_PATIENCE 8

enum lf_sandbox_end {
    LF_SANDBOX_PASSED,   /* it ran to its last line */
    LF_SANDBOX_FAILED,   /* an exception, an exit, a signal: memory, processor time, a crash */
    LF_SANDBOX_TIMED_OUT /* of wall clock */
};

/* LF_E_UNSUPPORTED, and why: bwrap, prlimit (util-linux) or python3 is not in /usr/bin, or this
 * machine allows no namespaces. Runs an empty program. */
enum lf_err lf_sandbox_ready(struct lf_diag *diag) LF_MUST_CHECK;

/* Runs the program (n bytes; any bytes: what does not compile fails). Fails itself only where the
 * sandbox cannot be made: never for what the program is or does. */
enum lf_err lf_sandbox_run(enum lf_sandbox_end *out, const char *program, size_t n,
                           const struct lf_sandbox_limits *limits,
                           struct lf_diag *diag) LF_MUST_CHECK;

#endif
