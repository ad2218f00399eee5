/* Decoding steps, recorded: one more token of every cached sequence, or a few of some, is the same
 * run of operations each time, so a device that can record it (CUDA graphs) launches it at once.
 *
 * A recording serves every batch of its key: as many rows or fewer (the rest is padding, which has
 * no pages and no adapter), keys up to kv_max, up to n_max tokens of a sequence, ranks up to
 * rank_max, the same projections with adapters. What differs from step to step lies in the
 * metadata, whose arrays stand at the same places for the same number of rows (exec_batch.c). */
#include "model/exec_inside.h"

#include "core/num.h"
#include "model/limits.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MOST 128 /* with more, computing takes longer than launching */
#define KV_MIN 256    /* keys of the smallest recording */
#define RANK_MIN 8

struct lf_recording {
    struct lf_step_key key;
    struct lf_graph *graph;
    uint64_t used; /* when, counted in steps */
};

struct lf_recordings {
    struct lf_recording of[LF_RECORDINGS_MAX];
    int n;
    uint64_t steps;
};

/* The next power of two from `least` on. */
static int rounded(int n, int least)
{
    int r = least;
    while (r < n)
        r *= 2;
    return r;
}

enum lf_err lf_exec_steps_open(struct lf_exec *x, struct lf_diag *diag)
{
    if (!lf_stream_records(x->stream))
        return LF_OK;
    x->recordings = calloc(1, sizeof *x->recordings);
    return x->recordings ? LF_OK : lf_no_memory(diag, "an exec");
}

void lf_exec_steps_close(struct lf_exec *x)
{
    for (int i = 0; x->recordings && i < x->recordings->n; i++)
        lf_graph_free(x->recordings->of[i].graph);
    free(x->recordings);
}

int lf_exec_step_rows(const struct lf_exec *x, int T, int n_max)
{
    const struct lf_config *c = &x->model->config;
    int unit = T <= 8 ? 1 : T <= 64 ? 8 : 16;
    int most = lf_min_int(x->limits.tokens_max, x->limits.seqs_max);
    if (!x->recordings || x->is_aside || T > lf_min_int(ROWS_MOST, most) ||
        rounded(n_max, 1) * (c->H / c->Hkv) > LF_ATTN_FEW)
        return 0;
    return lf_min_int((T + unit - 1) / unit * unit, most);
}

void lf_exec_step_round(struct lf_exec *x)
{
    struct lf_ragged *b = &x->all.batch;
    struct lf_step_key *k = &x->step;
    memset(k, 0, sizeof *k);
    k->rows = b->T;
    k->kv_max = b->kv_max = rounded(b->kv_max, KV_MIN);
    k->n_max = b->n_max = rounded(b->n_max, 1);
    if (b->rank_max > 0)
        k->rank_max = b->rank_max = lf_min_int(rounded(b->rank_max, RANK_MIN), x->limits.rank_max);
    for (int p = 0; p < x->model->config.n_proj; p++) {
        k->lora |= (uint32_t)x->lora[p] << p;
        k->gain |= (uint32_t)x->gain[p] << p;
    }
}

/* The recording of x->step, or NULL. */
static struct lf_recording *find(struct lf_recordings *r, const struct lf_step_key *key)
{
    for (int i = 0; i < r->n; i++)
        if (memcmp(&r->of[i].key, key, sizeof *key) == 0)
            return &r->of[i];
    return NULL;
}

/* A place for a new one. */
static struct lf_recording *make_room(struct lf_recordings *r)
{
    if (r->n < LF_RECORDINGS_MAX)
        return &r->of[r->n++];
    struct lf_recording *oldest = &r->of[0];
    for (int i = 1; i < r->n; i++)
        if (r->of[i].used < oldest->used)
            oldest = &r->of[i];
    lf_graph_free(oldest->graph);
    return oldest;
}

static enum lf_err record(struct lf_exec *x, struct lf_recording **out, struct lf_diag *diag)
{
    struct lf_graph *graph = NULL;
    enum lf_err rc = lf_stream_record_begin(x->stream, diag);
    if (rc != LF_OK)
        return rc;
    lf_exec_forward(x, 0, x->model->config.L);
    rc = lf_stream_record_end(x->stream, &graph, diag);
    if (rc != LF_OK)
        return rc;
    *out = make_room(x->recordings);
    **out = (struct lf_recording){.key = x->step, .graph = graph};
    return LF_OK;
}

enum lf_err lf_exec_step(struct lf_exec *x, struct lf_diag *diag)
{
    struct lf_recording *r = find(x->recordings, &x->step);
    enum lf_err rc = r ? LF_OK : record(x, &r, diag);
    if (rc != LF_OK)
        return rc;
    r->used = ++x->recordings->steps;
    lf_graph_launch(r->graph);
    x->x_last = x->serve.x_out;
    return LF_OK;
}
