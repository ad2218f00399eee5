/* Documents: what clients keep at the daemon beside adapters and jobs (files, batches, requests of
 * fine-tunings), each a JSON object with an id, some with bytes.
 *
 *   DIR/<id>.json    the object; a document is there from when this is
 *   DIR/<id>.bytes   its bytes, where it has some: as many as its "bytes"
 *   DIR/<id>.output, DIR/<id>.errors   of a batch under way, growing
 *
 * An id is a kind ("file-") and 24 hex digits, and later ones sort behind earlier ones. A change is
 * there wholly or not at all, and lasts. Nothing is kept in memory; any thread, but one at a time
 * for a document. */
#ifndef LF_META_DOCUMENTS_H
#define LF_META_DOCUMENTS_H

#include "core/err.h"
#include "core/file.h"
#include "meta/limits.h"

#include <jansson.h>
#include <stdbool.h>

#define LF_DOCUMENT_BYTES ".bytes"
#define LF_DOCUMENT_OUTPUT ".output"
#define LF_DOCUMENT_ERRORS ".errors"

/* Makes DIR where it is not there, and removes what a crash left of documents that are not. */
enum lf_err lf_documents_open(const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* What is wrong with a file of DIR, by its name; NULL: nothing. *aside: it may be worth keeping. */
const char *lf_document_fault(const char *dir, const char *file, bool *aside);

/* Whether the text is an id of this kind: nothing else becomes part of a path. */
bool lf_document_is(const char *id, const char *kind);
/* A new one, of this moment. */
void lf_document_id(char out[LF_DOCUMENT_ID_MAX], const char *kind);
/* The ids of a kind, the earliest first, into an empty list. */
enum lf_err lf_documents_list(struct lf_names *out, const char *dir, const char *kind,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* LF_E_NO_SPACE where there are LF_DOCUMENTS_MAX of a kind already. */
enum lf_err lf_documents_room(const char *dir, const char *kind,
                              struct lf_diag *diag) LF_MUST_CHECK;

/* *out is yours (json_decref). LF_E_NOT_FOUND, also for what is no id of the kind. */
enum lf_err lf_document_get(json_t **out, const char *dir, const char *kind, const char *id,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* Makes it, or puts the object in the place of what it was; its id is its "id". */
enum lf_err lf_document_put(const char *dir, const json_t *j, struct lf_diag *diag) LF_MUST_CHECK;
/* DIR/<id><suffix>. */
enum lf_err lf_document_path(char out[LF_PATH_MAX], const char *dir, const char *id,
                             const char *suffix, struct lf_diag *diag) LF_MUST_CHECK;
/* All of it. */
enum lf_err lf_document_remove(const char *dir, const char *id, struct lf_diag *diag) LF_MUST_CHECK;

#endif
