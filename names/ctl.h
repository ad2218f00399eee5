/* The words of `ctl`: what may be written there, a line each. A new one is an entry here with its
 * row in names/ctl.c, and its case in daemon/api/adapters.c or, for an order to the adapter's job,
 * in daemon/jobs/jobs.c (with a line in daemon/api/routes.c where it has a job_route). Pure; any
 * thread.
 */
#ifndef LF_NAMES_CTL_H
#define LF_NAMES_CTL_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

enum lf_ctl_word {
    LF_CTL_TRAIN,
    LF_CTL_CANCEL,
    LF_CTL_PAUSE,
    LF_CTL_RESUME,
    LF_CTL_FINISH,
    LF_CTL_RETRY,
    LF_CTL_ROLLBACK,
    LF_CTL_N
};

struct lf_ctl_row {
    const char *word;
    const char *argument; /* " N": a version's number follows; "": nothing */
    bool job_route;       /* POST /v1/jobs/{id}/<word> gives the same order to a job */
    const char *purpose;
};
extern const struct lf_ctl_row lf_ctl[LF_CTL_N]; /* by word */

struct lf_ctl_order {
    enum lf_ctl_word word;
    int32_t n; /* the argument; 0 where there is none */
};
/* A line without its newline and without blanks around it. LF_E_INVALID names the word that
 * is near, if one is, and all words. */
enum lf_err lf_ctl_parse(struct lf_ctl_order *out, const char *line,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* The row of a word alone, NULL: none. */
const struct lf_ctl_row *lf_ctl_find(const char *word);
/* All words with `between` them: "train\ncancel\n...rollback N". */
enum lf_err lf_ctl_list(struct lf_buf *out, const char *between) LF_MUST_CHECK;

#endif
