/* OpenAI's routes. */
#include "daemon/api/api.h"
#include "daemon/api/openai.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"
#include "daemon/team.h"

#include <stdlib.h>

/* Asks for a completion of every prompt, then lets them be written. */
static enum lf_err answer(struct lf_http *q, struct lf_openai *o, json_t *body,
                          struct lf_diag *diag)
{
    int n = o->n_prompts * o->best_of;
    struct lf_completion *list = calloc((size_t)n, sizeof *list);
    enum lf_err rc = list ? LF_OK : lf_no_memory(diag, "the answers");
    int begun = 0;
    while (begun < n && rc == LF_OK) {
        const struct lf_ids *p = &o->prompt[begun / o->best_of];
        rc = lf_completion_start(&list[begun], &o->request, p->ids, (int)p->n, begun % o->best_of,
                                 diag);
        begun++;
    }
    if (rc == LF_OK)
        return o->stream ? lf_openai_reply_stream(q, o, body, list, diag)
                         : lf_openai_reply(q, o, list, diag);
    lf_completions_free(list, begun);
    return rc;
}

static enum lf_err route(struct lf_http *q, bool chat, struct lf_diag *diag)
{
    struct lf_openai *o = calloc(1, sizeof *o);
    json_auto_t *body = NULL;
    if (!o)
        return lf_no_memory(diag, "a request");
    enum lf_err rc = lf_http_json(q, &body, diag) ?: lf_openai_parse(o, q, body, chat, diag);
    if (rc == LF_OK)
        rc = chat ? lf_openai_messages(o, q, body, diag)
                  : lf_openai_prompts(o, json_object_get(body, "prompt"), diag);
    rc = rc ?: answer(q, o, body, diag);
    lf_openai_free(o);
    free(o);
    return rc;
}

enum lf_err lf_api_completions(struct lf_http *q, struct lf_diag *diag)
{
    return route(q, false, diag);
}

enum lf_err lf_api_chat_completions(struct lf_http *q, struct lf_diag *diag)
{
    return route(q, true, diag);
}

/* ---- Models ---------------------------------------------------------------------------------- */

static json_t *model_json(const char *name, int64_t created_ms, const char *parent)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s?}", "id", name, "object", "model", "created",
                     (json_int_t)(created_ms / 1000), "owned_by", "lorafs", "parent", parent);
}

enum lf_err lf_api_models(struct lf_http *q, struct lf_diag *diag)
{
    const struct lf_bases *bases = &q->daemon->teams->bases;
    struct lf_adapter_view *list = NULL;
    size_t n = 0;
    enum lf_err rc = lf_registry_list(q->daemon->registry, &list, &n, diag);
    if (rc != LF_OK)
        return rc;
    json_t *rows = json_array();
    for (int i = 0; i < bases->n; i++)
        json_array_append_new(rows,
                              model_json(bases->base[i]->name, bases->base[i]->created_ms, NULL));
    for (size_t i = 0; i < n; i++)
        if (lf_key_may(q->key, list[i].record.name) && list[i].record.current > 0 &&
            !list[i].stranger && !lf_bases_find(bases, list[i].record.name))
            json_array_append_new(rows, model_json(list[i].record.name, list[i].record.created_ms,
                                                   lf_bases_of(bases, list[i].record.base)->name));
    free(list);
    lf_http_reply_json(q, 200, json_pack("{s:s, s:o}", "object", "list", "data", rows));
    return LF_OK;
}

enum lf_err lf_api_model(struct lf_http *q, struct lf_diag *diag)
{
    struct lf_served_model s;
    struct lf_adapter_view v;
    enum lf_err rc = lf_served_model_find(q, q->param[0], &s, diag);
    if (rc != LF_OK)
        return rc;
    const struct lf_base *base = s.team->base;
    if (s.pick.id == 0) {
        lf_http_reply_json(q, 200, model_json(base->name, base->created_ms, NULL));
        return LF_OK;
    }
    rc = lf_registry_view(q->daemon->registry, s.name, &v, diag);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, model_json(q->param[0], v.record.created_ms, base->name));
    return rc;
}

enum lf_err lf_api_model_remove(struct lf_http *q, struct lf_diag *diag)
{
    const char *name = q->param[0];
    enum lf_err rc = lf_http_may(q, name, diag);
    if (rc == LF_OK && lf_bases_find(&q->daemon->teams->bases, name))
        rc = lf_fail(diag, LF_E_READ_ONLY, "%s is a base: adapters alone are removed", name);
    rc = rc ?: lf_jobs_adapter_remove(q->daemon->jobs, name, diag);
    if (rc == LF_OK)
        lf_http_reply_json(
            q, 200, json_pack("{s:s, s:s, s:b}", "id", name, "object", "model", "deleted", 1));
    return rc;
}
