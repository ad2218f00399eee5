/* The inside of an lf_exec, for its own files. Private to model/.
 *
 *   exec.c           making one, and one run from end to end
 *   exec_memory.c    the size table: every buffer, its bytes, its place
 *   exec_batch.c     the caller's sequences into one ragged batch, packed and uploaded once
 *   exec_group.c     linear maps that share an input: base and LoRA, forward and backward
 *   exec_gain.c      DoRA's share of them
 *   exec_forward.c   embedding and blocks
 *   exec_step.c      decoding steps, recorded
 *   exec_parts.c     a batch in parts, and another one between them
 *   exec_head.c      final norm, logits, loss and its gradient, sampling
 *   exec_backward.c  the gradient through the blocks
 *   exec_offload.c   what waits for backward in host memory
 *   kv.c             pages of the cache, kept ones among them
 *
 * Rows of a batch stand in three parts: cached sequences, uncached ones that only want a loss,
 * uncached ones that train. So each part is contiguous, and backward runs over the last alone.
 */
#ifndef LF_MODEL_EXEC_INSIDE_H
#define LF_MODEL_EXEC_INSIDE_H

#include "model/exec.h"
#include "model/limits.h"

/* What one block's forward leaves behind for its backward. act unless said otherwise. */
struct lf_acts {
    void *x_in;           /* (T, C) the block's input */
    void *x_mid;          /* (T, C) after attention; parallel blocks: = x_out */
    void *x_out;          /* (T, C) */
    void *raw;            /* (T, qkv) q, k before their norms, v; = qkv where nothing is normed */
    void *qkv;            /* (T, qkv) q and k normed and rotated */
    void *o;              /* (T, H*D + room) */
    float *lse;           /* (T, H); NULL when no backward follows */
    void *h;              /* (T, 2F or F, + room) before the activation */
    void *attn_y, *mlp_y; /* (T, C) before their norms; with post norms only */
    void *u[LF_GROUPS];   /* (T, n*rank_max) LoRA's middle */
};

/* Fixed device buffers beside them. room: columns behind a map's input, or behind its output's
 * gradient, for what belongs to adapters (struct lf_linear_args). */
struct lf_work {
    void *n; /* (T, C + room) a norm's output */
    void *g; /* (T, F + room) the activation's output; tight where backward has no use. Backward:
                its gradient first */
    void *x; /* (T, C) the residual stream where nothing is kept */
    void *y; /* (T, C) a post norm's output; with post norms only */
    void *z; /* (LF_GAIN_ROWS or T, the widest map's N): a map's product by itself, for DoRA */
    /* Backward */
    void *dx;         /* (T, C + room) gradient of the residual stream */
    void *dn;         /* (T, C + room) of a norm's output; then that output again; = n but where
                         both branches read one norm's output */
    void *dy;         /* (T, C + room) through a post norm; with post norms only */
    void *dqkv, *d_o; /* (T, qkv + room), (T, H*D + room); where g was */
    void *du;         /* (T, n*rank_max) */
    float *delta;     /* (T, H) */
    float *aw, *aa;   /* (rank_max, the widest map's N), (rank_max, rank_max): of DoRA's norms */
    /* Head */
    void *rows_x;                    /* (T, C) the selected rows of the last block's output */
    void *rows_n;                    /* (T, C) normed; the gradient there on the way back */
    float *logits;                   /* (rows_max, V) */
    void *dlogits;                   /* (rows_max, V) act; = logits on fp32 devices */
    float *loss;                     /* (T) */
    int32_t *ids;                    /* (seqs_max) sampled */
    int32_t *scored;                 /* (rows_max) */
    float *logprob;                  /* (seqs_max or rows_max, the larger) */
    int32_t *top_ids;                /* (that, LF_TOP_LOGPROBS_MAX) */
    float *top_logprob;              /* the same */
    struct lf_sample_params *params; /* (seqs_max) */
};

/* The order of a batch. Host arrays with room for seqs_max. */
struct lf_batch_plan {
    int *order;     /* (S) caller's index of the i-th sequence of the batch */
    int *place;     /* (S) the inverse: by the caller's index */
    int *start, *n; /* (S) rows of the i-th sequence of the batch */
    uint64_t *keys; /* scratch of the sort */
    int S, T;
    int rows;               /* that run: T, or with the padding of a recorded step */
    int S_cached, T_cached; /* the first part */
    int S_train, T_train;   /* the last part */
    int M, M_train;         /* supervised rows; those that train are the last of them */
    bool ends;              /* the last block puts out one row a sequence: its last token's */
    bool noisy;             /* some sequence has noise on its embeddings */
};

/* What one pass through the blocks runs over: the whole batch, or its training rows. */
struct lf_pass {
    struct lf_ragged batch;
    const int32_t *rope_pos; /* (T) rows of the rotary table */
    bool again;              /* run for backward's sake: what it does not read may be left out */
};

/* What a recorded step depends on beside the metadata. Compared as bytes. */
struct lf_step_key {
    int32_t rows, kv_max, n_max, rank_max;
    uint32_t lora; /* projections with adapters, a bit each */
    uint32_t gain; /* and with DoRA's */
};

struct lf_recordings; /* exec_step.c */

/* What of a batch of cached sequences lasts from one block to the next: the exec's fields of these
 * names while it runs, and of another batch here meanwhile. */
struct lf_aside {
    char *meta, *h_meta;
    size_t meta_cap, meta_bytes;
    struct lf_batch_plan plan;
    struct lf_pass all, ends;
    const int32_t *rows_ends;
    bool lora[LF_PROJ_MAX], gain[LF_PROJ_MAX];
    int part, n_parts;
    void *x; /* (T, C) work.x */
};

/* Tokens that are being drawn, or were and are not fetched yet. */
struct lf_draw {
    int n, top_ld;
    struct lf_mark *mark; /* behind their download */
    int32_t *ids;         /* (seqs_max) pinned host */
    int32_t *top_ids;     /* (seqs_max, LF_TOP_LOGPROBS_MAX) all behind ids */
    float *logprobs;      /* (seqs_max) */
    float *top_logprobs;  /* as top_ids; both (n, top_ld) as they are fetched */
};

/* What of a block waits in host memory together. */
enum lf_offload_part {
    LF_OFFLOAD_ATTN, /* q, k, v, before their norms too; attention's output, lse */
    LF_OFFLOAD_MID,  /* x_mid */
    LF_OFFLOAD_PARTS
};
#define LF_OFFLOAD_BUFFERS (LF_OFFLOAD_PARTS + 1) /* one each, and the second x_mid */

struct lf_offload {
    int most;                        /* the first blocks, as planned, of those that are run again */
    int n;                           /* of them, those that have host memory */
    bool refused;                    /* there was no more */
    char **host;                     /* (most) a block's at[LF_OFFLOAD_PARTS] bytes, pinned */
    size_t at[LF_OFFLOAD_PARTS + 1]; /* where a part begins in a block's */
    struct lf_stream *stream;        /* of the copies */
    struct lf_mark *ready;           /* on the exec's stream: what a copy follows */
    struct lf_mark *moved[LF_OFFLOAD_BUFFERS];
};

struct lf_exec {
    struct lf_stream *stream;
    const struct lf_ops *ops;
    struct lf_model *model;
    struct lf_slots *slots;
    struct lf_exec_limits limits;
    int n_again; /* the first blocks, run again in backward: they share one set of activations */
    struct lf_offload offload;
    struct lf_exec_memory memory;
    size_t es;      /* bytes of an act element */
    int qkv_n, h_n; /* columns of q, k, v together; of the MLP's inner, before activation */
    int room;       /* columns for adapters behind maps' inputs; 0: they go by themselves */
    /* Memory */
    void *device;                   /* the one allocation that everything below points into */
    char *copies;                   /* the groups' weights unpacked, layer by layer; or NULL */
    size_t copy_off[LF_GROUPS + 1]; /* where a group's lie in a layer's; last: a layer's bytes */
    struct lf_work work;
    struct lf_acts serve;  /* a forward without backward: in place where that is possible */
    struct lf_acts *saved; /* (L) a forward with backward; the first n_again share all but x_in */
    const void *x_last; /* (T, C) the last block's output in the last run; with plan.ends (S, C) */
    /* KV cache */
    char *kv; /* (2, L, pages, Hkv, LF_KV_PAGE_TOKENS, D) act */
    size_t kv_layer_bytes;
    struct lf_kv_pool *pool; /* kv.c; NULL without pages */
    /* The batch */
    char *meta; /* device; filled from h_meta (pinned host) in one upload */
    char *h_meta;
    size_t meta_cap, meta_bytes;
    struct lf_batch_plan plan;
    struct lf_pass all;        /* every row */
    struct lf_pass train;      /* the training rows, counted from their first */
    struct lf_pass ends;       /* with plan.ends: the sequences' last rows, a row each */
    const int32_t *rows_ends;  /* (S) where they are */
    const int32_t *rows;       /* (M) supervised rows */
    const int32_t *rows_train; /* (M_train) the last of them, counted from the first training row */
    const int32_t *labels;     /* (M) */
    const float *weight;       /* (M) */
    float *h_weight;           /* (M) where they were uploaded from, in h_meta */
    struct lf_batch_losses *losses; /* (seqs_max) scratch of a run that is weighed */
    float *h_loss;                  /* (T) pinned host */
    bool lora[LF_PROJ_MAX]; /* some adapter of the batch has this projection in some layer */
    bool gain[LF_PROJ_MAX]; /* some with DoRA's gain */
    int layer_first;        /* the lowest layer that a training adapter touches */
    struct lf_draw draws[LF_DRAWS_MAX]; /* a ring */
    int n_draws, draw_first;            /* under way; the oldest of them */
    int n_drawn;                        /* tokens of the last one: what LF_DRAWN may name */
    /* What a drawing reads: device memory, grown as needed; *_cap in bytes */
    int32_t *history;
    struct lf_logit_bias *bias;
    uint32_t *masks;
    size_t history_cap, bias_cap, masks_cap;
    /* Decoding */
    struct lf_recordings *recordings; /* NULL where the device records nothing */
    struct lf_step_key step;          /* of this batch */
    bool recorded;                    /* this batch runs as a recorded step */
    /* Parts */
    int part, n_parts; /* of the batch's n_parts so many are on the stream */
    struct lf_aside aside;
    bool is_aside; /* the batch that runs is the small one that aside is for */
};

static inline void *lf_at(const void *p, size_t elements, size_t es)
{
    return p ? (char *)(uintptr_t)p + elements * es : NULL;
}

/* exec_batch.c: fills plan, all, train ... and uploads. */
enum lf_err lf_exec_pack(struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* Bytes that the packed metadata of any batch within the limits, or of a sampling, needs. */
size_t lf_exec_meta_bytes(const struct lf_exec_limits *l, int positions);
/* The next `bytes` of the metadata: its host address, and the device's in *device. */
void *lf_exec_carve(struct lf_exec *x, size_t bytes, const void **device);

#define LF_GAIN_ROWS 256 /* at a time: enough that a product is not the reading of its weight */

/* exec_group.c: the maps that read one input, base and LoRA. Inputs have room behind them (ld_in =
 * K
 * + room), but for a residual stream that no norm comes after. */
bool lf_exec_group_has_lora(const struct lf_exec *x, enum lf_group_kind g);
/* y (+)= x W^T, and LoRA's share; u is kept for backward. norm makes x, glu takes y, as struct
 * lf_map_args says; each may be NULL. */
struct lf_group_io {
    void *y;
    const void *x;
    void *u;
    int ldy, ldx;
    bool accumulate;
    const void *plus; /* what accumulate adds; NULL: y */
    const struct lf_norm_args *norm;
    const struct lf_glu_args *glu;
};
void lf_exec_group(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                   const struct lf_group_io *io);
/* dx (+)= the input's gradient, or dx NULL; and where `in` is there, the gradients of the group's
 * adapters. With `in` NULL lf_exec_group_grads makes those, before the next group's backward. */
void lf_exec_group_bwd(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                       void *dx, const void *dy, const void *in, int ld_in, const void *u,
                       bool accumulate);
void lf_exec_group_grads(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                         const void *dy, const void *in, int ld_in, const void *u);

/* exec_gain.c: nothing where no adapter of the batch has a gain. y, dy and dx are the whole
 * group's; x, of ldx, is its input. */
bool lf_exec_group_has_gain(const struct lf_exec *x, enum lf_group_kind g);
void lf_exec_gain(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g, void *y,
                  int ldy, const void *in, int ldx);
void lf_exec_gain_bwd(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                      void *dx, const void *dy);
void lf_exec_gain_grads(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                        const void *dy, const void *in, int ldx);

/* exec_forward.c: blocks [first, end), and the embedding before the first of all. */
void lf_exec_forward(struct lf_exec *x, int first, int end);
void lf_exec_block(struct lf_exec *x, const struct lf_pass *p, int l, const struct lf_acts *b);
/* Its MLP up to the activation, from x_mid. */
void lf_exec_mlp_inner(struct lf_exec *x, const struct lf_pass *p, int l, const struct lf_acts *b);
/* One of the model's norms over T rows, into rows of ldy. */
void lf_exec_norm(struct lf_exec *x, void *y, int ldy, const void *in, const float *w,
                  const float *b, int T);

/* exec_step.c: the forward of a batch that decodes, from a recording. */
enum lf_err lf_exec_steps_open(struct lf_exec *x, struct lf_diag *diag) LF_MUST_CHECK;
void lf_exec_steps_close(struct lf_exec *x);
/* Rows, T and more, of the recording for T tokens, up to n_max of a sequence; 0: they are not
 * recorded. */
int lf_exec_step_rows(const struct lf_exec *x, int T, int n_max);
/* Sets x->step, and rounds the batch's bounds up to it. */
void lf_exec_step_round(struct lf_exec *x);
/* Puts the forward of the packed batch on the stream; records it when it is the first of its key.
 */
enum lf_err lf_exec_step(struct lf_exec *x, struct lf_diag *diag) LF_MUST_CHECK;

/* exec_parts.c */
/* A plan's arrays, for batches of n_seqs. False: no memory; free what there is. */
bool lf_exec_plan_new(struct lf_batch_plan *p, size_t n_seqs);
void lf_exec_plan_free(struct lf_batch_plan *p);
/* The host's part of what is set aside; its limits are those of a batch there. */
struct lf_exec_limits lf_exec_aside_limits(const struct lf_exec *x);
enum lf_err lf_exec_aside_open(struct lf_exec *x, struct lf_diag *diag) LF_MUST_CHECK;
void lf_exec_aside_close(struct lf_exec *x);

/* exec_head.c: losses of the supervised rows into h_loss (there after a wait); with grad, of
 * training rows also the gradient of the last block's output, into work.dx. */
void lf_exec_loss(struct lf_exec *x, bool grad);
/* That gradient alone, after a loss without it. */
void lf_exec_loss_grad(struct lf_exec *x);

enum lf_err lf_exec_draws_open(struct lf_exec *x, struct lf_diag *diag) LF_MUST_CHECK;
void lf_exec_draws_close(struct lf_exec *x);

/* exec_backward.c: from work.dx down to the lowest adapter. */
void lf_exec_backward(struct lf_exec *x);

/* exec_offload.c; what is put on the stream does nothing where block l is not offloaded. */
/* How many of the blocks that are run again (n_again) may be. */
void lf_exec_offload_plan(struct lf_exec *x);
enum lf_err lf_exec_offload_open(struct lf_exec *x, struct lf_diag *diag) LF_MUST_CHECK;
void lf_exec_offload_close(struct lf_exec *x);
/* Block l's x_mid comes back into work.x: blocks take turns. */
static inline bool lf_exec_offload_other_mid(const struct lf_exec *x, int l)
{
    return l < x->offload.n && (x->offload.n - l) % 2 != 0;
}
/* Out of b, the training rows of forward's buffers, once what is on the stream has made it;
 * await_out: before the next block writes there. */
void lf_exec_offload_out(struct lf_exec *x, int l, enum lf_offload_part part,
                         const struct lf_acts *b);
void lf_exec_offload_await_out(struct lf_exec *x, enum lf_offload_part part);
/* Back into b, backward's buffers, once what is on the stream is done with it; await_in: before it
 * is read. */
void lf_exec_offload_in(struct lf_exec *x, int l, enum lf_offload_part part,
                        const struct lf_acts *b);
void lf_exec_offload_await_in(struct lf_exec *x, int l, enum lf_offload_part part);

/* kv.c */
enum lf_err lf_exec_kv_open(struct lf_exec *x, struct lf_diag *diag) LF_MUST_CHECK;
void lf_exec_kv_close(struct lf_exec *x);
/* This layer's pages of keys, or of values; NULL without a cache. */
void *lf_exec_kv_layer(const struct lf_exec *x, int l, bool values);

/* exec_memory.c: the size table. Allocates and hands out everything of x's device memory. */
enum lf_err lf_exec_allocate(struct lf_exec *x, struct lf_diag *diag) LF_MUST_CHECK;
/* The training rows of block l's activations: where forward left them, or of a block that is run
 * again (again) where it puts them then. */
struct lf_acts lf_exec_training_rows(const struct lf_exec *x, int l, bool again);
/* A group's weights unpacked, rows of its K; NULL where there was no memory for copies. */
void *lf_exec_copy(const struct lf_exec *x, int l, enum lf_group_kind g);

#endif
