/* The caller's sequences into one ragged batch: checked, ordered, packed, uploaded at once. */
#include "core/num.h"
#include "model/exec_inside.h"
#include "model/rope.h"

#include <string.h>

#define PART_ALIGN ((size_t)64)
#define PARTS 16 /* arrays in the metadata, at most */

/* Sequences may share pages: each lists its own. */
size_t lf_exec_meta_bytes(const struct lf_exec_limits *l, int positions)
{
    size_t pages = (size_t)lf_min_int(l->kv_pages, positions / LF_KV_PAGE_TOKENS + 1);
    int T = l->tokens_max > l->train_tokens_max ? l->tokens_max : l->train_tokens_max;
    size_t per_token = 9 * sizeof(int32_t); /* ids pos rope seq seq' rows rows' labels weight */
    size_t per_seq = 2 * sizeof(struct lf_seq) + 2 * sizeof(struct lf_lora_seg) + sizeof(int32_t) +
                     sizeof(struct lf_sample_params);
    size_t per_row = 2 * sizeof(int32_t) + sizeof(struct lf_sample_params); /* lf_exec_score */
    return (size_t)T * per_token + (size_t)l->seqs_max * per_seq + (size_t)l->rows_max * per_row +
           (size_t)l->seqs_max * pages * sizeof(int32_t) + PARTS * PART_ALIGN;
}

void *lf_exec_carve(struct lf_exec *x, size_t bytes, const void **device)
{
    void *p = x->h_meta + x->meta_bytes;
    *device = x->meta + x->meta_bytes;
    x->meta_bytes += (bytes + PART_ALIGN - 1) / PART_ALIGN * PART_ALIGN;
    lf_assert(x->meta_bytes <= x->meta_cap);
    return p;
}

/* ---- Checks ---------------------------------------------------------------------------------- */

static bool known(const struct lf_exec *x, const struct lf_batch_seq *s, int32_t id)
{
    if (id < 0)
        return s->kv && LF_DRAWN(id) < x->n_drawn;
    return id < x->model->config.V;
}

static enum lf_err check_tokens(const struct lf_exec *x, const struct lf_batch_seq *s,
                                struct lf_diag *diag)
{
    int V = x->model->config.V;
    for (int i = 0; i < s->n; i++) {
        if (!known(x, s, s->ids[i]))
            return lf_fail(diag, LF_E_INVALID, "token id %d is outside of the vocabulary of %d",
                           s->ids[i], V);
        if (s->labels && (s->labels[i] < -1 || s->labels[i] >= V))
            return lf_fail(diag, LF_E_INVALID, "label %d is outside of the vocabulary of %d",
                           s->labels[i], V);
    }
    return LF_OK;
}

static enum lf_err check_slot(const struct lf_exec *x, const struct lf_batch_seq *s,
                              struct lf_diag *diag)
{
    if (s->slot < -1 || s->slot >= x->slots->n_slots ||
        (s->slot >= 0 && !x->slots->slot[s->slot].used))
        return lf_fail(diag, LF_E_INVALID, "adapter slot %d is empty", s->slot);
    const struct lf_slot *t = s->slot >= 0 ? &x->slots->slot[s->slot] : NULL;
    if (s->trains && (!t || !t->trains))
        return lf_fail(diag, LF_E_INVALID, "adapter slot %d has no gradients", s->slot);
    if (t && t->shape.rank_max > x->limits.rank_max)
        return lf_fail(diag, LF_E_INVALID, "an adapter of rank %d is over the limit of %d",
                       t->shape.rank_max, x->limits.rank_max);
    return LF_OK;
}

static enum lf_err check_seq(const struct lf_exec *x, const struct lf_batch_seq *s,
                             struct lf_diag *diag)
{
    int past = s->kv ? s->kv->n_tokens : 0;
    if (s->n < 1)
        return lf_fail(diag, LF_E_INVALID, "a sequence has no tokens");
    if (s->n > x->model->rope_positions - past)
        return lf_fail(diag, LF_E_INVALID, "%d tokens are more than the model's %d positions",
                       past + s->n, x->model->rope_positions);
    if (s->kv && (s->labels || s->trains))
        return lf_fail(diag, LF_E_INVALID, "a cached sequence has labels");
    if (s->trains && !s->labels)
        return lf_fail(diag, LF_E_INVALID, "a sequence that trains has no labels");
    if (s->kv && s->kv->n_pages > x->model->rope_positions / LF_KV_PAGE_TOKENS + 1)
        return lf_fail(diag, LF_E_INVALID, "a cached sequence has more pages than it can use");
    if (s->kv && s->kv->n_pages * LF_KV_PAGE_TOKENS - past < s->n)
        return lf_fail(diag, LF_E_INVALID, "a cached sequence has no pages for %d more tokens",
                       s->n);
    enum lf_err rc = check_slot(x, s, diag);
    return rc == LF_OK ? check_tokens(x, s, diag) : rc;
}

static enum lf_err check_all(const struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs,
                             struct lf_diag *diag)
{
    int64_t T = 0;
    bool train = false;
    if (n_seqs < 1 || n_seqs > x->limits.seqs_max)
        return lf_fail(diag, LF_E_INVALID, "%d sequences: between 1 and %d are possible", n_seqs,
                       x->limits.seqs_max);
    for (int i = 0; i < n_seqs; i++) {
        enum lf_err rc = check_seq(x, &seqs[i], diag);
        if (rc != LF_OK)
            return rc;
        T += seqs[i].n;
        train = train || seqs[i].trains;
    }
    int max = train         ? x->limits.train_tokens_max
              : x->is_aside ? x->limits.aside_tokens
                            : x->limits.tokens_max;
    if (T > max)
        return lf_fail(diag, LF_E_INVALID, "a batch of %lld tokens is over the limit of %d",
                       (long long)T, max);
    return LF_OK;
}

/* ---- Order ----------------------------------------------------------------------------------- */

enum batch_part { PART_CACHED, PART_LOSS, PART_TRAIN };

static enum batch_part part_of(const struct lf_batch_seq *s)
{
    return s->kv ? PART_CACHED : s->trains ? PART_TRAIN : PART_LOSS;
}

/* By part, then by slot, then as they came. Insertion: callers come nearly sorted, and often. */
static void sort_seqs(struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs)
{
    uint64_t *keys = x->plan.keys;
    for (int i = 0; i < n_seqs; i++) {
        uint64_t key = (uint64_t)part_of(&seqs[i]) << 48 |
                       (uint64_t)(uint32_t)(seqs[i].slot + 1) << 24 | (uint64_t)i;
        int j = i;
        for (; j > 0 && keys[j - 1] > key; j--)
            keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

/* Tokens besides the last ones from which on leaving them out pays. */
#define ENDS_TOKENS 64

/* Whether the last block's maps after attention run over the sequences' last rows alone. Where
 * these stand meanwhile there is room for half the batch's rows, unless heads are narrow. */
static bool keeps_ends(const struct lf_exec *x, const struct lf_batch_seq *seqs)
{
    const struct lf_batch_plan *p = &x->plan;
    const struct lf_config *c = &x->model->config;
    bool only = p->S_cached == p->S && p->T - p->S >= ENDS_TOKENS && p->T >= 2 * p->S;
    for (int i = 0; i < p->S && only; i++)
        only = seqs[i].last_only;
    return only && !c->parallel_block && c->C <= 2 * x->qkv_n && c->H * c->D <= 2 * x->h_n;
}

static void plan_order(struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs)
{
    struct lf_batch_plan *p = &x->plan;
    sort_seqs(x, seqs, n_seqs);
    p->S = n_seqs;
    int n_max = 0;
    p->noisy = false;
    p->T = p->S_cached = p->T_cached = p->S_train = p->T_train = p->M = p->M_train = 0;
    for (int i = 0; i < n_seqs; i++) {
        int k = (int)(p->keys[i] & 0xffffff);
        const struct lf_batch_seq *s = &seqs[k];
        enum batch_part part = part_of(s);
        p->order[i] = k;
        p->place[k] = i;
        p->start[i] = p->T;
        p->n[i] = s->n;
        p->T += s->n;
        n_max = lf_max_int(n_max, s->n);
        p->S_cached += part == PART_CACHED;
        p->T_cached += part == PART_CACHED ? s->n : 0;
        p->S_train += part == PART_TRAIN;
        p->T_train += part == PART_TRAIN ? s->n : 0;
        for (int t = 0; s->labels && t < s->n; t++) {
            p->M += s->labels[t] >= 0;
            p->M_train += part == PART_TRAIN && s->labels[t] >= 0;
        }
    }
    int rows = p->S_cached == p->S ? lf_exec_step_rows(x, p->T, n_max) : 0;
    x->recorded = rows > 0;
    p->rows = rows > 0 ? rows : p->T;
    p->ends = !x->recorded && keeps_ends(x, seqs);
}

/* ---- Packing --------------------------------------------------------------------------------- */

/* The rotary table's row of a text's first token. A label behind the last one belongs to it. */
static int rope_row(const struct lf_exec *x, const struct lf_batch_seq *s)
{
    int n = s->n + (s->labels && s->labels[s->n - 1] >= 0);
    return s->kv ? s->kv->rope_row : lf_rope_row(&x->model->config, n);
}

static void pack_tokens(struct lf_exec *x, const struct lf_batch_seq *seqs)
{
    struct lf_batch_plan *p = &x->plan;
    struct lf_ragged *b = &x->all.batch;
    size_t bytes = (size_t)p->rows * sizeof(int32_t);
    bool varies = lf_rope_varies(&x->model->config); /* else pos is the row */
    const void *d_ids, *d_pos, *d_seq, *d_rope;
    int32_t *ids = lf_exec_carve(x, bytes, &d_ids), *pos = lf_exec_carve(x, bytes, &d_pos);
    int32_t *seq = lf_exec_carve(x, bytes, &d_seq);
    int32_t *rope = varies ? lf_exec_carve(x, bytes, &d_rope) : pos;
    for (int i = 0; i < p->S; i++) {
        const struct lf_batch_seq *s = &seqs[p->order[i]];
        int past = s->kv ? s->kv->n_tokens : 0, row = p->start[i];
        int first = rope_row(x, s);
        memcpy(ids + row, s->ids, (size_t)s->n * sizeof *ids);
        for (int t = 0; t < s->n; t++) {
            pos[row + t] = past + t;
            seq[row + t] = i;
            rope[row + t] = first + past + t;
        }
    }
    for (int row = p->T; row < p->rows; row++) {
        ids[row] = pos[row] = rope[row] = 0;
        seq[row] = p->S + row - p->T;
    }
    b->T = p->rows;
    b->ids = d_ids;
    b->pos = d_pos;
    b->seq = d_seq;
    x->all.rope_pos = varies ? d_rope : d_pos;
}

static void pack_seqs(struct lf_exec *x, const struct lf_batch_seq *seqs)
{
    struct lf_batch_plan *p = &x->plan;
    struct lf_ragged *b = &x->all.batch;
    int padding = p->rows - p->T; /* sequences of one row that neither read nor write pages */
    int all = x->recorded ? p->rows : p->S; /* the others of a recorded step have no rows */
    const void *d_seqs;
    struct lf_seq *out = lf_exec_carve(x, (size_t)all * sizeof *out, &d_seqs);
    int n_pages = 0;
    b->n_max = b->kv_max = 0;
    for (int i = 0; i < p->S; i++) {
        const struct lf_batch_seq *s = &seqs[p->order[i]];
        int past = s->kv ? s->kv->n_tokens : 0;
        out[i] = (struct lf_seq){.start = p->start[i],
                                 .n = s->n,
                                 .past = past,
                                 .slot = s->slot,
                                 .page_off = s->kv ? n_pages : -1,
                                 .drop_p = s->drop_p,
                                 .noise = s->noise,
                                 .drop_key = s->drop_key};
        p->noisy = p->noisy || s->noise > 0;
        n_pages += s->kv ? s->kv->n_pages : 0;
        b->n_max = s->n > b->n_max ? s->n : b->n_max;
        b->kv_max = past + s->n > b->kv_max ? past + s->n : b->kv_max;
    }
    for (int i = 0; i < all - p->S; i++)
        out[p->S + i] = (struct lf_seq){
            .start = lf_min_int(p->T + i, p->rows), .n = i < padding, .slot = -1, .page_off = -1};
    b->S = all;
    b->seqs = d_seqs;
    b->h_seqs = out;
    b->n_cached = x->recorded ? all : p->S_cached;
    b->T_cached = p->T_cached + padding;
}

/* The cached sequences' page lists, one after another. Carved last of what a recorded step reads:
 * the lists grow from step to step. */
static void pack_pages(struct lf_exec *x, const struct lf_batch_seq *seqs)
{
    const struct lf_batch_plan *p = &x->plan;
    const void *d_pages;
    size_t n = 0;
    for (int i = 0; i < p->S_cached; i++)
        n += (size_t)seqs[p->order[i]].kv->n_pages;
    int32_t *pages = lf_exec_carve(x, n * sizeof *pages, &d_pages);
    for (int i = 0; i < p->S_cached; i++) {
        const struct lf_kv_seq *kv = seqs[p->order[i]].kv;
        memcpy(pages, kv->pages, (size_t)kv->n_pages * sizeof *pages);
        pages += kv->n_pages;
    }
    x->all.batch.pages = d_pages;
}

/* Runs of rows with one adapter, from sequence `first` on, rows counted from `row0`. ends: of a
 * batch that has a row a sequence. */
static void pack_segs(struct lf_exec *x, struct lf_ragged *b, const struct lf_batch_seq *seqs,
                      int first, int row0, bool ends)
{
    const struct lf_batch_plan *p = &x->plan;
    const void *d_segs;
    size_t most = (size_t)(x->recorded ? p->rows : p->S);
    struct lf_lora_seg *out = lf_exec_carve(x, most * sizeof *out, &d_segs);
    int n = 0;
    for (int i = first; i < p->S; i++) {
        const struct lf_batch_seq *s = &seqs[p->order[i]];
        int start = ends ? i : p->start[i] - row0, rows = ends ? 1 : s->n;
        if (s->slot < 0)
            continue;
        if (n > 0 && out[n - 1].slot == s->slot && out[n - 1].end == start &&
            out[n - 1].trains == s->trains)
            out[n - 1].end += rows;
        else
            out[n++] = (struct lf_lora_seg){start, start + rows, s->slot, s->trains};
    }
    for (; x->recorded && n > 0 && n < p->rows; n++) /* a recorded step has one a row, or none */
        out[n] = (struct lf_lora_seg){.start = p->rows, .end = p->rows};
    b->n_segs = n;
    b->segs = d_segs;
    b->h_segs = out;
}

/* What the batch's adapters have in common: the widest rank, which projections, how deep. */
static void pack_adapters(struct lf_exec *x)
{
    struct lf_ragged *b = &x->all.batch;
    const struct lf_config *c = &x->model->config;
    b->rank_max = 0;
    x->layer_first = c->L;
    memset(x->lora, 0, sizeof x->lora);
    memset(x->gain, 0, sizeof x->gain);
    for (int i = 0; i < b->n_segs; i++) {
        const struct lf_slot *t = &x->slots->slot[b->h_segs[i].slot];
        if (b->h_segs[i].start == b->h_segs[i].end)
            continue;
        if (t->shape.rank_max > b->rank_max)
            b->rank_max = t->shape.rank_max;
        if (b->h_segs[i].trains && t->layer_first < x->layer_first)
            x->layer_first = t->layer_first;
        for (int k = 0; k < c->n_proj; k++) {
            x->lora[k] = x->lora[k] || t->targets[k];
            x->gain[k] = x->gain[k] || (t->shape.dora && t->targets[k]);
        }
    }
}

/* The supervised rows. */
static void pack_labels(struct lf_exec *x, const struct lf_batch_seq *seqs)
{
    const struct lf_batch_plan *p = &x->plan;
    const void *d_rows, *d_train, *d_labels, *d_weight;
    size_t n = (size_t)p->M * sizeof(int32_t);
    int32_t *rows = lf_exec_carve(x, n, &d_rows), *labels = lf_exec_carve(x, n, &d_labels);
    int32_t *train = lf_exec_carve(x, (size_t)p->M_train * sizeof *train, &d_train);
    float *weight = lf_exec_carve(x, n, &d_weight);
    int m = 0, m_train = 0;
    for (int i = 0; i < p->S; i++) {
        const struct lf_batch_seq *s = &seqs[p->order[i]];
        for (int t = 0; s->labels && t < s->n; t++) {
            if (s->labels[t] < 0)
                continue;
            rows[m] = p->start[i] + t;
            labels[m] = s->labels[t];
            weight[m++] = s->loss_weight;
            if (s->trains)
                train[m_train++] = p->start[i] + t - (p->T - p->T_train);
        }
    }
    x->rows = d_rows;
    x->rows_train = d_train;
    x->labels = d_labels;
    x->weight = d_weight;
    x->h_weight = weight;
}

/* The training rows as a batch of their own, counted from the first of them. */
static void pack_train(struct lf_exec *x, const struct lf_batch_seq *seqs)
{
    const struct lf_batch_plan *p = &x->plan;
    const struct lf_ragged *b = &x->all.batch;
    struct lf_ragged *t = &x->train.batch;
    int first = p->S - p->S_train, row0 = p->T - p->T_train;
    const void *d_seqs, *d_seq;
    struct lf_seq *out = lf_exec_carve(x, (size_t)p->S_train * sizeof *out, &d_seqs);
    int32_t *seq = lf_exec_carve(x, (size_t)p->T_train * sizeof *seq, &d_seq);
    *t = (struct lf_ragged){.T = p->T_train,
                            .S = p->S_train,
                            .ids = b->ids + row0,
                            .pos = b->pos + row0,
                            .seq = d_seq,
                            .seqs = d_seqs,
                            .h_seqs = out,
                            .rank_max = b->rank_max};
    for (int i = 0; i < p->S_train; i++) {
        out[i] = b->h_seqs[first + i];
        out[i].start -= row0;
        for (int k = 0; k < out[i].n; k++)
            seq[out[i].start + k] = i;
        t->n_max = out[i].n > t->n_max ? out[i].n : t->n_max;
    }
    t->kv_max = t->n_max;
    x->train.rope_pos = x->all.rope_pos + row0;
    x->train.again = true;
    pack_segs(x, t, seqs, first, row0, false);
}

/* The sequences' last rows as a batch for the maps: it has no tokens, and dropout none either. */
static void pack_ends(struct lf_exec *x, const struct lf_batch_seq *seqs)
{
    const struct lf_batch_plan *p = &x->plan;
    const struct lf_ragged *b = &x->all.batch;
    size_t S = (size_t)p->S;
    const void *d_seqs, *d_seq, *d_rows;
    struct lf_seq *out = lf_exec_carve(x, S * sizeof *out, &d_seqs);
    int32_t *seq = lf_exec_carve(x, S * sizeof *seq, &d_seq);
    int32_t *rows = lf_exec_carve(x, S * sizeof *rows, &d_rows);
    for (int i = 0; i < p->S; i++) {
        out[i] = b->h_seqs[i];
        out[i].start = i;
        out[i].n = 1;
        seq[i] = i;
        rows[i] = p->start[i] + p->n[i] - 1;
    }
    x->ends.batch = (struct lf_ragged){.T = p->S,
                                       .S = p->S,
                                       .pos = b->pos,
                                       .seq = d_seq,
                                       .seqs = d_seqs,
                                       .h_seqs = out,
                                       .n_max = 1,
                                       .T_cached = p->S,
                                       .rank_max = b->rank_max};
    x->rows_ends = d_rows;
    pack_segs(x, &x->ends.batch, seqs, 0, 0, true);
}

enum lf_err lf_exec_pack(struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs,
                         struct lf_diag *diag)
{
    enum lf_err rc = check_all(x, seqs, n_seqs, diag);
    if (rc != LF_OK)
        return rc;
    x->meta_bytes = 0;
    plan_order(x, seqs, n_seqs);
    pack_tokens(x, seqs);
    pack_seqs(x, seqs);
    pack_segs(x, &x->all.batch, seqs, 0, 0, false);
    pack_pages(x, seqs);
    pack_adapters(x);
    if (x->recorded)
        lf_exec_step_round(x);
    if (x->plan.M > 0)
        pack_labels(x, seqs);
    if (x->plan.S_train > 0)
        pack_train(x, seqs);
    if (x->plan.ends)
        pack_ends(x, seqs);
    lf_stream_upload(x->stream, x->meta, x->h_meta, x->meta_bytes);
    return LF_OK;
}
