/* Token ids from a JSON file: a list of lists, or one list. */
#ifndef LF_TOOLS_IDS_H
#define LF_TOOLS_IDS_H

#include "core/err.h"
#include "text/tokenizer.h"

/* Zero-initialised is empty. */
struct lf_id_lists {
    struct lf_ids *lists; /* (n), none of them empty */
    size_t n;
    size_t n_max; /* ids of the longest list */
};

/* Ids must lie in [0, vocab); the reason names file, list and place. Free with
 * lf_id_lists_free. */
enum lf_err lf_id_lists_load(struct lf_id_lists *out, const char *path, int vocab,
                             struct lf_diag *diag) LF_MUST_CHECK;
void lf_id_lists_free(struct lf_id_lists *l);

#endif
