/* Batches: files of requests (JSON lines) that are answered in the background, after all others
 * (lf_generate_spec's background), many at once, into files of answers and of errors. A line is
 * answered as its route would answer it, with the rights of the key that made the batch.
 *
 * A batch is a document (documents.h); its answers grow beside it, a line each, and become files
 * when it ends. A daemon that starts anew goes on with the lines that have no answer yet: one that
 * was under way is asked again. Overload, a lost device and a full disk are waited for.
 *
 * Any thread. The work is done by threads of this part, which begin with the first batch. */
#ifndef LF_DAEMON_API_BATCH_H
#define LF_DAEMON_API_BATCH_H

#include "daemon/http/http.h"

struct lf_batches;

/* Takes up the batches that were open when the last run ended. routes: borrowed. Yours,
 * lf_batches_close. */
enum lf_err lf_batches_open(struct lf_batches **out, struct lf_daemon *d,
                            const struct lf_route *routes, size_t n,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* The threads end, and what they had under way is dropped; nothing is begun any more. */
void lf_batches_stop(struct lf_batches *s);
void lf_batches_close(struct lf_batches *s);

/* The route of the requests that may be in a batch; NULL: they may not. */
const struct lf_route *lf_batches_route(const struct lf_batches *s, const char *endpoint);
/* A new batch; doc: as it was made (lf_api_document_make), borrowed. */
enum lf_err lf_batches_add(struct lf_batches *s, const json_t *doc,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Ends it soon: what was answered is kept. LF_E_BUSY where it is over. */
enum lf_err lf_batches_cancel(struct lf_batches *s, const char *id,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* The document of a batch that is open, as it is now; yours. NULL: it is not. */
json_t *lf_batches_now(struct lf_batches *s, const char *id);

#endif
