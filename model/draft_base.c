/* A draft base on its device, and whether its tokenizer is the base's. */
#include "model/draft_base.h"

#include "core/num.h"

#include <stdlib.h>
#include <string.h>

/* Both make the same ids of a text. One may have more rows than the other, to which no text comes.
 */
static enum lf_err check_tokenizer(const struct lf_model *draft, const struct lf_model *base,
                                   struct lf_diag *diag)
{
    int n = lf_max_int(draft->config.V, base->config.V);
    if (!draft->tokenizer || !base->tokenizer)
        return lf_fail(diag, LF_E_INVALID,
                       "without its tokenizer and the base's nothing is drafted");
    for (int32_t id = 0; id < n; id++) {
        const char *ours = lf_tokenizer_token(draft->tokenizer, id);
        const char *bases = lf_tokenizer_token(base->tokenizer, id);
        if (ours != bases && strcmp(ours ? ours : "", bases ? bases : "") != 0)
            return lf_fail(
                diag, LF_E_INVALID,
                "its tokenizer is not the base's: token %d is \"%.40s\", there \"%.40s\"", (int)id,
                ours ? ours : "", bases ? bases : "");
    }
    return LF_OK;
}

enum lf_err lf_draft_base_open(struct lf_draft_base **out, struct lf_stream *stream,
                               const char *dir, const struct lf_model *base,
                               const struct lf_model_options *options, struct lf_diag *diag)
{
    struct lf_config config;
    struct lf_draft_base *d = calloc(1, sizeof *d);
    if (!d)
        return lf_no_memory(diag, "the draft base");
    enum lf_err rc = LF_OK;
    if (stream->dev->paper) {
        rc = lf_config_load(&config, dir, diag);
        rc = rc ?: lf_model_random(&d->model, stream, &config, options->quant, 0, diag);
    } else {
        rc = lf_model_open(&d->model, stream, dir, options, diag);
        rc = rc ?: check_tokenizer(d->model, base, diag);
    }
    rc = rc ?: lf_slots_new(&d->slots, stream->dev, &d->model->config, 1, diag);
    if (rc == LF_OK)
        *out = d;
    else
        lf_draft_base_free(d);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "the draft base");
}

enum lf_err lf_draft_base_lay_out(struct lf_draft_base *d, struct lf_stream *stream,
                                  const struct lf_exec_limits *limits, struct lf_diag *diag)
{
    return lf_exec_new(&d->exec, stream, d->model, d->slots, limits, diag);
}

void lf_draft_base_free(struct lf_draft_base *d)
{
    if (!d)
        return;
    lf_exec_free(d->exec);
    lf_slots_free(d->slots);
    lf_model_free(d->model);
    free(d);
}

size_t lf_draft_base_bytes(const struct lf_draft_base *d)
{
    struct lf_exec_memory m = {0};
    if (d->exec)
        lf_exec_memory(d->exec, &m);
    return d->model->weight_bytes + m.copies + m.kv;
}
