/* What OpenAI's routes for files, fine-tunings and batches have in common: whose a document is,
 * pages of lists, metadata. The connection's thread. */
#ifndef LF_DAEMON_API_DOCUMENTS_H
#define LF_DAEMON_API_DOCUMENTS_H

#include "daemon/http/http.h"
#include "meta/documents.h"

#define LF_KIND_FILE "file-"
#define LF_KIND_BATCH "batch_"
#define LF_KIND_TUNING "ftjob-"

/* A document belongs to who made it. A key that is for some adapters alone sees its own; all others
 * see all. */

/* One of the kind that who asks may see; yours. LF_E_NOT_FOUND, also for a file that has
 * expired. */
enum lf_err lf_api_document(json_t **out, struct lf_http *q, const char *kind, const char *id,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Makes one of j, which gets what it lacks: an "id", "created_at", and whose it is. */
enum lf_err lf_api_document_make(json_t *j, struct lf_http *q, const char *kind,
                                 struct lf_diag *diag) LF_MUST_CHECK;
/* As clients see it: yours. */
json_t *lf_api_document_shown(const json_t *j);
/* All of the kind that who asks may see, as clients see them, the earliest first. *out is yours. */
enum lf_err lf_api_documents(json_t **out, struct lf_http *q, const char *kind,
                             struct lf_diag *diag) LF_MUST_CHECK;

/* What a page is asked for: the query's "limit", "after", "order". */
struct lf_page {
    int64_t limit;
    const char *after; /* an id; NULL: from the beginning */
    bool ascending;
};
/* limit: where none is given; known (NULL-terminated): the query's names, those too. */
enum lf_err lf_page_read(struct lf_page *out, struct lf_http *q, const char *const *known,
                         int limit, int limit_max, struct lf_diag *diag) LF_MUST_CHECK;
/* Replies with that page of a list (borrowed), the earliest first, each with an "id". */
enum lf_err lf_page_reply(struct lf_http *q, const struct lf_page *p, const json_t *list,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* Replies with a list that is a page already (taken). */
void lf_list_reply(struct lf_http *q, json_t *page, bool has_more);

/* "metadata" of a body, checked; borrowed. NULL: none. */
const json_t *lf_api_metadata(struct lf_json_in *in);

#endif
