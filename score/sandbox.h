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
    int seconds; /* of processor time of each; of wall clock LF_SANDBOX_PATIENCE times that, since
                    other programs may want the processor too */
    size_t memory_bytes; /* of address space */
};

#define LF_SANDBOX_PATIENCE 8

enum lf_sandbox_end {
    LF_SANDBOX_PASSED,   /* its judge ran to the last line */
    LF_SANDBOX_FAILED,   /* an exception, an exit, a signal: memory, processor time, a crash */
    LF_SANDBOX_TIMED_OUT /* of wall clock */
};

/* LF_E_UNSUPPORTED, and why: bwrap, prlimit (util-linux) or python3 is not in /usr/bin, or this
 * machine allows no namespaces. Runs an empty program. */
enum lf_err lf_sandbox_ready(struct lf_diag *diag) LF_MUST_CHECK;

/* A program, and another one that judges it. They run in two boxes, which have a socket between
 * them and nothing else, so what a program does to its own process, or finds there, changes no
 * verdict. Both are any bytes: what does not compile fails. */
struct lf_sandbox_job {
    const char *program;
    size_t program_bytes;
    /* Runs when the program has come to its last line. `program("f")` in it is the program's
     * function f: arguments and results go over as data (numbers, strings, bytes, lists, tuples,
     * sets, dictionaries), exceptions by their names. */
    const char *judge;
    size_t judge_bytes;
};

/* Runs the job. Fails itself only where the sandbox cannot be made: never for what a program is or
 * does. */
enum lf_err lf_sandbox_run(enum lf_sandbox_end *out, const struct lf_sandbox_job *job,
                           const struct lf_sandbox_limits *limits,
                           struct lf_diag *diag) LF_MUST_CHECK;

#endif
