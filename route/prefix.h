/* What seats have read, as far as who sends them prompts can know: the pages that a prompt fills
 * are noted when it is sent, and are taken to be there until the seat has read as many others as
 * its cache is large. An estimate, which costs at worst a prompt that is read again; the seat
 * itself knows better (model/exec.h). No locks. */
#ifndef LF_ROUTE_PREFIX_H
#define LF_ROUTE_PREFIX_H

#include "core/err.h"

#include <stddef.h>
#include <stdint.h>

#define LF_PREFIX_PAGES                                                  \
    1024 /* of a prompt, that are looked at: what follows is read anyway \
          */

/* Numbers for the owner and for the pages that the first tokens of ids (n) fill, each of its
 * tokens, of all before it and of the owner; returns how many, at most LF_PREFIX_PAGES. So the
 * first one tells whether something of the owner's has come to a seat. */
int lf_prefix_chain(uint64_t owner, const int32_t *ids, int n, uint64_t out[LF_PREFIX_PAGES]);

/* What one seat has. */
struct lf_prefixes {
    struct lf_prefix_row {
        uint64_t page; /* 0: free */
        uint64_t at;   /* `noted` when it was noted last */
    } * rows;
    uint64_t noted; /* pages so far, none counted again while it was there */
};

enum lf_err lf_prefixes_init(struct lf_prefixes *p, struct lf_diag *diag) LF_MUST_CHECK;
void lf_prefixes_free(struct lf_prefixes *p);
/* Of a chain, how many from the first on are there; capacity: pages that the seat keeps. */
int lf_prefixes_known(const struct lf_prefixes *p, const uint64_t *chain, int n, int64_t capacity);
/* The seat reads them. */
void lf_prefixes_note(struct lf_prefixes *p, const uint64_t *chain, int n, int64_t capacity);

#endif
