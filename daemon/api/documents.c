/* Documents as OpenAI's routes answer with them. */
#include "daemon/api/documents.h"

#include "core/clock.h"
#include "core/json.h"
#include "daemon/http/admit.h"
#include "daemon/state.h"

#include <string.h>

#define OWNER "owner" /* who made it (lf_admit_who) */

/* ---- One ------------------------------------------------------------------------------------- */

static bool may_see(struct lf_http *q, const json_t *j)
{
    char who[LF_NAME_MAX + 8];
    return lf_key_may(q->key, "") || /* whatever its adapter */
           strcmp(lf_admit_who(q, who), lf_json_text_of(j, OWNER)) == 0;
}

static bool has_expired(const char *kind, const json_t *j)
{
    const json_t *at = json_object_get(j, "expires_at");
    return strcmp(kind, LF_KIND_FILE) == 0 && json_is_integer(at) &&
           json_integer_value(at) <= lf_clock_unix_ms() / 1000;
}

enum lf_err lf_api_document(json_t **out, struct lf_http *q, const char *kind, const char *id,
                            struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    enum lf_err rc = lf_document_get(&j, q->daemon->documents_dir, kind, id, diag);
    if (rc != LF_OK)
        return rc;
    if (has_expired(kind, j)) {
        rc = lf_document_remove(q->daemon->documents_dir, id, diag);
        return rc ?: lf_fail(diag, LF_E_NOT_FOUND, "%s has expired", id);
    }
    if (!may_see(q, j))
        return lf_fail(diag, LF_E_NOT_FOUND, "there is no %s", id);
    *out = json_incref(j);
    return LF_OK;
}

enum lf_err lf_api_document_make(json_t *j, struct lf_http *q, const char *kind,
                                 struct lf_diag *diag)
{
    char id[LF_DOCUMENT_ID_MAX], who[LF_NAME_MAX + 8];
    lf_document_id(id, kind);
    json_auto_t *own =
        json_pack("{s:s, s:I, s:s}", "id", id, "created_at",
                  (json_int_t)(lf_clock_unix_ms() / 1000), OWNER, lf_admit_who(q, who));
    if (!own || json_object_update_missing(j, own) != 0)
        return lf_no_memory(diag, "a document");
    enum lf_err rc = lf_documents_room(q->daemon->documents_dir, kind, diag);
    return rc ?: lf_document_put(q->daemon->documents_dir, j, diag);
}

json_t *lf_api_document_shown(const json_t *j)
{
    static const char *const hidden[] = {OWNER, "outcome", "output_expires_after"};
    json_t *shown = lf_json_copy(j);
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        json_object_del(shown, hidden[i]);
    return shown;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

enum lf_err lf_api_documents(json_t **out, struct lf_http *q, const char *kind,
                             struct lf_diag *diag)
{
    lf_names_auto ids = {0};
    json_auto_t *list = json_array();
    enum lf_err rc = lf_documents_list(&ids, q->daemon->documents_dir, kind, diag);
    for (size_t i = 0; i < ids.n && rc == LF_OK; i++) {
        json_auto_t *j = NULL;
        rc = lf_api_document(&j, q, kind, ids.at[i], diag);
        if (rc == LF_OK)
            json_array_append_new(list, lf_api_document_shown(j));
        rc = rc == LF_E_NOT_FOUND ? LF_OK : rc;
    }
    if (rc == LF_OK)
        *out = json_incref(list);
    return rc;
}

enum lf_err lf_page_read(struct lf_page *out, struct lf_http *q, const char *const *known,
                         int limit, int limit_max, struct lf_diag *diag)
{
    const char *order = lf_http_query(q, "order");
    *out = (struct lf_page){.limit = limit, .after = lf_http_query(q, "after")};
    enum lf_err rc = lf_http_query_only(q, known, diag);
    rc = rc ?: lf_http_query_int(q, "limit", 1, limit_max, &out->limit, diag);
    out->ascending = order && strcmp(order, "asc") == 0;
    if (rc == LF_OK && order && !out->ascending && strcmp(order, "desc") != 0)
        rc = lf_fail(diag, LF_E_INVALID, "\"order\" must be asc or desc");
    return rc;
}

void lf_list_reply(struct lf_http *q, json_t *page, bool has_more)
{
    const json_t *first = json_array_get(page, 0);
    const json_t *last = first ? json_array_get(page, json_array_size(page) - 1) : NULL;
    lf_http_reply_json(q, 200,
                       json_pack("{s:s, s:O?, s:O?, s:b, s:o}", "object", "list", "first_id",
                                 json_object_get(first, "id"), "last_id",
                                 json_object_get(last, "id"), "has_more", has_more, "data", page));
}

enum lf_err lf_page_reply(struct lf_http *q, const struct lf_page *p, const json_t *list,
                          struct lf_diag *diag)
{
    json_t *page = json_array();
    size_t n = json_array_size(list), at = 0;
    bool found = !p->after;
    for (; at < n && (int64_t)json_array_size(page) < p->limit; at++) {
        json_t *j = json_array_get(list, p->ascending ? at : n - 1 - at);
        if (found)
            json_array_append(page, j);
        else
            found = strcmp(lf_json_text_of(j, "id"), p->after) == 0;
    }
    if (!found) {
        json_decref(page);
        return lf_fail(diag, LF_E_NOT_FOUND, "\"after\": there is no %.80s", p->after);
    }
    lf_list_reply(q, page, at < n);
    return LF_OK;
}

/* ---- Metadata -------------------------------------------------------------------------------- */

const json_t *lf_api_metadata(struct lf_json_in *in)
{
    const json_t *m = lf_json_object(in, "metadata");
    const char *key;
    json_t *text;
    if (json_object_size(m) > LF_METADATA_MAX)
        in->rc =
            lf_fail(in->diag, LF_E_INVALID, "\"metadata\" may have %d members", LF_METADATA_MAX);
    json_object_foreach((json_t *)(uintptr_t)m, key, text) {
        if (in->rc == LF_OK && (strlen(key) > LF_METADATA_KEY_MAX || !json_is_string(text) ||
                                json_string_length(text) > LF_METADATA_TEXT_MAX))
            in->rc = lf_fail(in->diag, LF_E_INVALID,
                             "\"metadata\": \"%.64s\" must be a text of up to %d bytes under a "
                             "name of up to %d",
                             key, LF_METADATA_TEXT_MAX, LF_METADATA_KEY_MAX);
    }
    return m;
}
