/* A batch in parts, and another one between them. From one block to the next a batch needs the
 * residual stream, its metadata and the host's plan of it; everything else in the working memory is
 * made and read within a block, or within the drawing. So there is a second set of those, for a
 * small batch, and the two change places. */
#include "model/exec_inside.h"

#include <stdlib.h>

#define SWAP(a, b)               \
    do {                         \
        __auto_type swap_ = (a); \
        (a) = (b);               \
        (b) = swap_;             \
    } while (0)

bool lf_exec_plan_new(struct lf_batch_plan *p, size_t n_seqs)
{
    p->order = calloc(n_seqs, sizeof *p->order);
    p->place = calloc(n_seqs, sizeof *p->place);
    p->start = calloc(n_seqs, sizeof *p->start);
    p->n = calloc(n_seqs, sizeof *p->n);
    p->keys = calloc(n_seqs, sizeof *p->keys);
    return p->order && p->place && p->start && p->n && p->keys;
}

void lf_exec_plan_free(struct lf_batch_plan *p)
{
    free(p->order);
    free(p->place);
    free(p->start);
    free(p->n);
    free(p->keys);
}

struct lf_exec_limits lf_exec_aside_limits(const struct lf_exec *x)
{
    return (struct lf_exec_limits){.tokens_max = x->limits.aside_tokens,
                                   .seqs_max = x->limits.seqs_max,
                                   .rows_max = x->limits.rows_max,
                                   .kv_pages = x->limits.kv_pages};
}

enum lf_err lf_exec_aside_open(struct lf_exec *x, struct lf_diag *diag)
{
    void *meta = NULL;
    if (x->limits.aside_tokens == 0)
        return LF_OK;
    if (!lf_exec_plan_new(&x->aside.plan, (size_t)x->limits.seqs_max))
        return lf_no_memory(diag, "an exec");
    enum lf_err rc = lf_device_alloc_host(x->stream->dev, &meta, x->aside.meta_cap, diag);
    x->aside.h_meta = meta;
    return rc;
}

void lf_exec_aside_close(struct lf_exec *x)
{
    lf_exec_plan_free(&x->aside.plan);
    lf_device_release_host(x->stream->dev, x->aside.h_meta);
}

static void change_places(struct lf_exec *x)
{
    struct lf_aside *a = &x->aside;
    SWAP(x->meta, a->meta);
    SWAP(x->h_meta, a->h_meta);
    SWAP(x->meta_cap, a->meta_cap);
    SWAP(x->meta_bytes, a->meta_bytes);
    SWAP(x->plan, a->plan);
    SWAP(x->all, a->all);
    SWAP(x->ends, a->ends);
    SWAP(x->rows_ends, a->rows_ends);
    for (int p = 0; p < LF_PROJ_MAX; p++) {
        SWAP(x->lora[p], a->lora[p]);
        SWAP(x->gain[p], a->gain[p]);
    }
    SWAP(x->part, a->part);
    SWAP(x->n_parts, a->n_parts);
    SWAP(x->work.x, a->x);
    x->serve.x_in = x->serve.x_mid = x->serve.x_out = x->work.x;
    x->is_aside = !x->is_aside;
}

bool lf_exec_part_way(const struct lf_exec *x)
{
    return x->part < x->n_parts;
}

void lf_exec_go_on(struct lf_exec *x)
{
    int L = x->model->config.L;
    lf_assert(lf_exec_part_way(x));
    lf_exec_forward(x, L * x->part / x->n_parts, L * (x->part + 1) / x->n_parts);
    x->part++;
}

void lf_exec_set_aside(struct lf_exec *x)
{
    lf_assert(!x->is_aside && x->limits.aside_tokens > 0);
    change_places(x);
}

void lf_exec_take_up(struct lf_exec *x)
{
    lf_assert(x->is_aside && !lf_exec_part_way(x));
    change_places(x);
}
