/* The trash: what was removed, and how it comes back. */
#include "core/json.h"
#include "daemon/api/api.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"

/* What the key is for; a damaged part is of no adapter. */
enum lf_err lf_api_trash(struct lf_http *q, struct lf_diag *diag)
{
    json_t *list = NULL;
    enum lf_err rc = lf_registry_trash_list(q->daemon->registry, &list, diag);
    for (size_t i = json_array_size(list); i-- > 0;)
        if (lf_http_may(q, lf_json_text_of(json_array_get(list, i), "name"), NULL) != LF_OK)
            json_array_remove(list, i);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, json_pack("{s:o}", "trash", list));
    return rc;
}

/* The word is the entry's, or the adapter's name. */
static enum lf_err may_restore(struct lf_http *q, const char *word, struct lf_diag *diag)
{
    char name[LF_NAME_MAX + 1];
    enum lf_err rc = lf_registry_trash_name(q->daemon->registry, word, name, diag);
    if (rc != LF_OK && rc != LF_E_NOT_FOUND)
        return rc;
    return lf_http_may(q, rc == LF_OK ? name : word, diag);
}

enum lf_err lf_api_trash_restore(struct lf_http *q, struct lf_diag *diag)
{
    static const char *const known[] = {"name", NULL};
    struct lf_restored back;
    json_auto_t *body = NULL;
    struct lf_json_in in = lf_http_json_in(q, &body, known, diag);
    const char *as = lf_json_str(&in, "name", NULL);
    enum lf_err rc = in.rc ?: may_restore(q, q->param[0], diag);
    rc = rc ?: as ? lf_http_may(q, as, diag) : LF_OK;
    rc = rc ?: lf_registry_trash_restore(q->daemon->registry, q->param[0], as, &back, diag);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200,
                           json_pack("{s:s, s:o*}", "restored", back.name, "version",
                                     back.version > 0 ? json_integer(back.version) : NULL));
    return rc;
}

enum lf_err lf_api_trash_empty(struct lf_http *q, struct lf_diag *diag)
{
    int64_t bytes;
    const char *word = q->param[0][0] ? q->param[0] : NULL;
    enum lf_err rc = lf_registry_trash_empty(q->daemon->registry, word, &bytes, diag);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, json_pack("{s:I}", "bytes", (json_int_t)bytes));
    return rc;
}
