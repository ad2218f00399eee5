/* A base opened without a daemon. */
#include "tools/offline.h"

#include "model/dora.h"
#include "tools/bar.h"
#include "tools/hub_cache.h"

#define STEP_TOKENS 2048 /* a longer prompt is read in pieces */

enum lf_err lf_offline_open_device(struct lf_offline *out, const struct lf_offline_options *o,
                                   struct lf_diag *diag)
{
    struct lf_device_options options = {.threads = (int)o->threads,
                                        .index = (int)o->gpu,
                                        .cpu_products = (enum lf_cpu_products)o->cpu_products};
    enum lf_err rc = lf_device_open(&out->dev, (enum lf_device_kind)o->device, &options, diag);
    return rc ?: lf_stream_new(&out->stream, out->dev, 0, diag);
}

static enum lf_err open_model(struct lf_offline *out, const struct lf_offline_options *o,
                              struct lf_diag *diag)
{
    struct lf_bar bar;
    char dir[LF_PATH_MAX];
    enum lf_err rc = lf_hub_base(dir, o->base, o->quiet, diag);
    if (rc != LF_OK)
        return rc;
    lf_bar_init(&bar, o->quiet);
    struct lf_model_options options = {
        .quant = (enum lf_quant)o->quant, .progress = lf_bar_update, .progress_arg = &bar};
    rc = lf_model_open(&out->model, out->stream, dir, &options, diag);
    lf_bar_end(&bar);
    return rc;
}

static enum lf_err make_random(struct lf_offline *out, const struct lf_offline_options *o,
                               struct lf_diag *diag)
{
    struct lf_config config;
    enum lf_err rc = lf_config_shape(&config, o->shape, diag);
    rc = rc ?: lf_model_random(&out->model, out->stream, &config, (enum lf_quant)o->quant, 1, diag);
    return rc;
}

enum lf_err lf_offline_open(struct lf_offline *out, const struct lf_offline_options *o,
                            struct lf_diag *diag)
{
    enum lf_err rc = lf_offline_open_device(out, o, diag);
    return rc ?: (o->shape ? make_random(out, o, diag) : open_model(out, o, diag));
}

enum lf_err lf_offline_adapter(struct lf_offline *c, const char *dir, struct lf_diag *diag)
{
    const struct lf_config *config = &c->model->config;
    struct lf_adapter *a = NULL;
    c->slot = -1;
    c->rank_max = 1;
    enum lf_err rc = lf_slots_new(&c->slots, c->dev, config, 1, diag);
    if (rc != LF_OK || !dir)
        return rc;
    if ((rc = lf_adapter_load(&a, config, dir, diag)) != LF_OK)
        return rc;
    c->rank_max = a->shape.rank_max;
    rc = lf_dora_serve(a, c->model, diag)
             ?: lf_slots_load(c->slots, c->stream, &c->slot, a, LF_SLOT_SERVES, diag);
    lf_adapter_free(a);
    return rc;
}

enum lf_err lf_offline_gen(struct lf_gen **g, struct lf_exec **x, const struct lf_offline *c,
                           int64_t seqs, int64_t prompt_max, int64_t completion_max,
                           struct lf_diag *diag)
{
    int64_t context = prompt_max + completion_max, tokens = seqs * prompt_max;
    if (context > c->model->rope_positions)
        context = c->model->rope_positions;
    int64_t pages = (context + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS;
    const struct lf_exec_limits limits = {.tokens_max =
                                              (int)(tokens < STEP_TOKENS ? tokens : STEP_TOKENS),
                                          .seqs_max = (int)seqs,
                                          .rows_max = (int)seqs,
                                          .rank_max = c->rank_max,
                                          .kv_pages = (int)(seqs * pages)};
    enum lf_err rc = lf_exec_new(x, c->stream, c->model, c->slots, &limits, diag);
    const struct lf_gen_limits ahead = {.ahead = lf_stream_async(c->stream)};
    return rc ?: lf_gen_new(g, *x, c->model, &ahead, diag);
}

void lf_offline_close(struct lf_offline *c)
{
    lf_slots_free(c->slots);
    lf_model_free(c->model);
    lf_stream_free(c->stream);
    lf_device_free(c->dev);
    *c = (struct lf_offline){0};
}
