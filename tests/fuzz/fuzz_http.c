/* LIBS: lf_daemon */
/* Any path, range and body: a route is found or not, a range lies within its file, and a body is
 * refused with its reason or asks for something that can be done. The input is the path, the range
 * and the body, a newline after each of the first two. LF_SOURCE names the source tree. */
#include "core/json.h"
#include "daemon/api/api.h"
#include "daemon/api/openai.h"
#include "daemon/limits.h"
#include "daemon/state.h"
#include "daemon/team.h"
#include "tests/fuzz/lines.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char chat_template[] =
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}";

static struct lf_daemon *fake_daemon(void)
{
    static struct lf_model m;
    static struct lf_base base = {.name = "base", .model = &m};
    static struct lf_teams teams = {.bases = {{&base}, 1}, .team = {{.base = &base}}, .n = 1};
    static struct lf_daemon d = {.teams = &teams};
    char dir[512];
    const char *source = getenv("LF_SOURCE");
    if (m.tokenizer)
        return &d;
    snprintf(dir, sizeof dir, "%s/share/base", source ? source : ".");
    lf_assert(lf_config_load(&m.config, dir, NULL) == LF_OK);
    lf_assert(lf_tokenizer_open(&m.tokenizer, dir, NULL) == LF_OK);
    lf_assert(lf_chat_parse(&m.chat, chat_template, strlen(chat_template), "<|begin_of_text|>",
                            "<|endoftext|>", NULL) == LF_OK);
    m.rope_positions = m.config.positions_max;
    return &d;
}

static void find_route(const char *path)
{
    static char param[LF_HTTP_PARAMS_MAX][LF_HTTP_PARAM_BYTES];
    for (int m = LF_HTTP_GET; m <= LF_HTTP_DELETE; m++) {
        enum lf_err rc = LF_OK;
        const struct lf_route *r =
            lf_route_find(lf_routes, lf_routes_n, (enum lf_http_method)m, path, param, &rc);
        lf_assert(r ? r->method == (enum lf_http_method)m : rc != LF_OK);
        for (int i = 0; r && i < LF_HTTP_PARAMS_MAX; i++)
            lf_assert(memchr(param[i], '\0', LF_HTTP_PARAM_BYTES) != NULL);
    }
}

static void cut_range(const char *value)
{
    uint64_t first = 0, n = 0;
    if (lf_range_parse(value, FILE_BYTES, &first, &n) == LF_RANGE_PART)
        lf_assert(n >= 1 && first < FILE_BYTES && n <= FILE_BYTES - first);
}

static void check_prompts(const struct lf_openai *o, int32_t V)
{
    lf_assert(o->n_prompts >= 1 && o->n_prompts <= LF_PROMPTS_MAX);
    for (int i = 0; i < o->n_prompts; i++)
        for (size_t k = 0; k < o->prompt[i].n; k++)
            lf_assert(o->prompt[i].ids[k] >= 0 && o->prompt[i].ids[k] < V);
}

static void read_body(struct lf_http *q, const json_t *body, bool chat)
{
    struct lf_openai o;
    struct lf_diag diag = {""};
    enum lf_err rc = lf_openai_parse(&o, q, body, chat, &diag);
    if (rc == LF_OK) {
        lf_assert(o.request.sample.temperature >= 0 && o.request.sample.top_p > 0);
        lf_assert(o.request.n_stops >= 0 && o.request.n_stops <= LF_STOPS_MAX);
        rc = chat ? lf_openai_messages(&o, q, body, &diag)
                  : lf_openai_prompts(&o, json_object_get(body, "prompt"), &diag);
        if (rc == LF_OK)
            check_prompts(&o, o.request.model.team->base->model->config.V);
        lf_openai_free(&o);
    }
    lf_assert(rc == LF_OK || diag.text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_http q = {.daemon = fake_daemon()};
    json_t *body;
    char *path = take_line(&data, &n), *range = take_line(&data, &n);
    find_route(path);
    cut_range(range);
    if (lf_json_parse(&body, (const char *)data, n, NULL) == LF_OK) {
        if (json_is_object(body)) /* there is no registry that knows other names */
            json_object_set_new(body, "model", json_string("base"));
        read_body(&q, body, false);
        read_body(&q, body, true);
        json_decref(body);
    }
    free(path);
    free(range);
    return 0;
}
