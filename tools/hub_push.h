/* Uploads to a hub: the files of a directory as one commit of a model's repository. */
#ifndef LF_TOOLS_HUB_PUSH_H
#define LF_TOOLS_HUB_PUSH_H

#include "tools/hub.h"

struct lf_hub_push {
    const char *id;      /* "org/name"; made where it is not there */
    const char *dir;     /* whose files go */
    const char *message; /* of the commit */
    bool private;        /* of a repository that is made */
};

/* Large files go first, each checked by its SHA-256 and left out where the hub has it already: so a
 * push that broke goes on with the others. Then all appear at once, by a commit on `main`, whose
 * name is written into `commit` ("" where the hub does not say). LF_E_DENIED: the token is missing,
 * or may not write. */
#define LF_HUB_COMMIT_BYTES 65
enum lf_err lf_hub_push(char commit[LF_HUB_COMMIT_BYTES], const struct lf_hub_push *p,
                        const struct lf_hub_options *options, struct lf_diag *diag) LF_MUST_CHECK;

#endif
