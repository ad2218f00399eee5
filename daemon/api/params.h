/* Which members a request may have. What would change the answer and is not done here is refused by
 * its name, and so is what nobody knows: a client never believes that it got what it did not. Any
 * thread. */
#ifndef LF_DAEMON_API_PARAMS_H
#define LF_DAEMON_API_PARAMS_H

#include "daemon/http/http.h"

/* Members of a kind. */
struct lf_param {
    /* NULL: the route reads them. "*": they change no answer. Else the values that ask for what is
     * done anyway, as compact JSON with blanks between; "": none but those of every member. */
    const char *idle;
    const char *const *keys; /* a NULL after them */
};
struct lf_params {
    const struct lf_param *own, *common; /* each ends with NULL keys; common may be NULL */
    bool sampling;                       /* and lf_sampling_params with "seed" */
};
extern const struct lf_params lf_params_completion, lf_params_chat, lf_params_stream_options;
extern const struct lf_params lf_params_lorax_body, lf_params_lorax; /* lorax: "parameters" */
extern const struct lf_params lf_params_text;                        /* the mount's query */

/* Null is absent, under any name; [], {} and "" ask for nothing, under any known one. LF_E_INVALID
 * for an unknown name, with the nearest that does something; LF_E_UNSUPPORTED for a value that is
 * not done. obj NULL: nothing. */
enum lf_err lf_params_check(const json_t *obj, const struct lf_params *list,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* The same for the names of a query. */
enum lf_err lf_params_check_query(struct lf_http *q, const struct lf_params *list,
                                  struct lf_diag *diag) LF_MUST_CHECK;

#endif
