/* `lorafs logits`: the logits of given token ids, to compare with other implementations. */
#include "tools/commands.h"

#include "model/exec.h"
#include "model/safetensors.h"
#include "tools/ids.h"
#include "tools/offline.h"
#include "tools/options.h"

#include <stdlib.h>

#define ROWS_AT_ONCE 256 /* logits held on the device: 128 MB for a vocabulary of 128k */

/* Each row alone through the exec. logits: (n, n_max, V), zeroed. */
static enum lf_err run_rows(struct lf_exec *x, const struct lf_offline *c,
                            const struct lf_id_lists *l, float *logits, struct lf_diag *diag)
{
    size_t row_floats = l->n_max * (size_t)c->model->config.V;
    for (size_t i = 0; i < l->n; i++) {
        struct lf_batch_seq seq = {
            .ids = l->lists[i].ids, .n = (int)l->lists[i].n, .slot = c->slot};
        struct lf_batch_result result;
        enum lf_err rc = lf_exec_run(x, &seq, 1, &result, diag);
        rc = rc ?: lf_exec_logits(x, 0, logits + i * row_floats, diag);
        if (rc != LF_OK)
            return rc;
    }
    return LF_OK;
}

static enum lf_err write_logits(const struct lf_offline *c, const struct lf_id_lists *l,
                                const char *path, struct lf_diag *diag)
{
    struct lf_tensor t = {.name = "logits",
                          .dtype = LF_F32,
                          .n_dims = 3,
                          .dims = {(int64_t)l->n, (int64_t)l->n_max, c->model->config.V}};
    struct lf_exec *x = NULL;
    float *logits = NULL;
    enum lf_err rc;
    if (l->n_max > (size_t)c->model->rope_positions)
        return lf_fail(diag, LF_E_INVALID,
                       "a list of %zu ids is longer than the model's %d positions", l->n_max,
                       c->model->rope_positions);
    if (!lf_tensor_bytes(&t.bytes, t.dtype, t.dims, t.n_dims) || !(logits = calloc(1, t.bytes)))
        return lf_no_memory(diag, "logits of %zu x %zu x %d", l->n, l->n_max, c->model->config.V);
    struct lf_exec_limits limits = {.tokens_max = (int)l->n_max,
                                    .seqs_max = 1,
                                    .rows_max = ROWS_AT_ONCE,
                                    .rank_max = c->rank_max};
    rc = lf_exec_new(&x, c->stream, c->model, c->slots, &limits, diag);
    rc = rc ?: run_rows(x, c, l, logits, diag);
    t.data = logits;
    rc = rc ?: lf_tensors_write(path, &t, 1, diag);
    lf_exec_free(x);
    free(logits);
    return rc;
}

int lf_cmd_logits(int argc, char **argv)
{
    struct lf_offline_options o = {0};
    const char *adapter = NULL, *ids = NULL, *out = NULL;
    const struct lf_option options[] = {
        LF_OFFLINE_OPTION_BASE(o),
        {"adapter", 'a', LF_OPT_STR, "DIR", &adapter, "a PEFT adapter to apply"},
        {"ids", 'i', LF_OPT_STR, "FILE", &ids, "JSON: a list of lists of token ids",
         .required = true},
        {"out", 'o', LF_OPT_STR, "FILE", &out, "safetensors file to write", .required = true},
        LF_OFFLINE_OPTION_QUANT(o),
        LF_OFFLINE_OPTIONS_DEVICE(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs logits", "--base DIR --ids FILE.json --out FILE.safetensors",
        "Runs lists of token ids through a base model and writes the tensor `logits`, fp32, of "
        "shape (lists, longest list, vocabulary). Where a list is shorter than the longest, the "
        "rest of its rows is zero. The ids are taken as they are: nothing is added to them.",
        options,
        .examples = "  echo '[[1, 72, 101], [1, 50, 60]]' > ids.json\n"
                    "  lorafs logits --base share/base --ids ids.json --out logits.safetensors"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_offline c = {0};
    struct lf_id_lists lists = {0};
    enum lf_err rc = lf_offline_open(&c, &o, &diag) ?: lf_offline_adapter(&c, adapter, &diag);
    rc = rc ?: lf_id_lists_load(&lists, ids, c.model->config.V, &diag);
    rc = rc ?: write_logits(&c, &lists, out, &diag);
    lf_id_lists_free(&lists);
    lf_offline_close(&c);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
