/* The transformer over ragged batches: the one forward and the one backward. What runs them is
 * called an exec.
 *
 * A batch is a flat run of tokens of many sequences and many adapters. Prefill, decode, evaluation
 * and training are this call with other segments: cached sequences (serving) write their keys and
 * values into pages, uncached ones (training, evaluation) attend to their own tokens; only rows of
 * slots that train collect gradients.
 *
 * An lf_exec owns the working memory for batches up to its limits and the KV pages; one thread (the
 * stream's) uses it. Knows nothing of datasets, optimizers, HTTP.
 */
#ifndef LF_MODEL_EXEC_H
#define LF_MODEL_EXEC_H

#include "core/err.h"
#include "model/adapter.h"
#include "model/model.h"

#include <stdbool.h>
#include <stdint.h>

/* What backward reads of a block. However it comes there, it is the same to the byte. */
enum lf_recompute {
    LF_RECOMPUTE_NONE,   /* keep every activation */
    LF_RECOMPUTE_AUTO,   /* OFFLOAD for as few blocks as memory_bytes allow, the others kept */
    LF_RECOMPUTE_BLOCK,  /* keep each block's input; run the block again in backward */
    LF_RECOMPUTE_OFFLOAD /* BLOCK, but what attention's half of a block made waits in host memory
                            (lf_exec_host_take) and is not made again; blocks with norms behind
                            their branches, and parallel ones, are run again whole, and so are
                            those for which host_bytes are too few */
};
#define LF_RECOMPUTE_WORDS "none|auto|block|offload" /* in that order */
const char *lf_recompute_word(enum lf_recompute r);

struct lf_budget;

struct lf_exec_limits {
    int tokens_max;       /* T of any batch */
    int train_tokens_max; /* T of a batch with backward; 0: this exec never trains */
    int seqs_max;
    int rows_max;     /* selected rows whose logits are held at once (chunks of the loss) */
    int rank_max;     /* of any adapter */
    int kv_pages;     /* LF_KV_PAGE_TOKENS tokens each; 0: no cache */
    int aside_tokens; /* T of a batch between the parts of another; 0: none */
    enum lf_recompute recompute;
    size_t memory_bytes;    /* ceiling for AUTO, the KV cache not counted; 0: all that the device
                               has free, with the cache */
    size_t host_bytes;      /* ceiling for what waits in host memory; 0: nothing does. Of no use
                               where the device's memory is the host's */
    struct lf_budget *host; /* what it is taken from; NULL: without a limit */
};

struct lf_exec;

/* Allocates everything at once from a size table; LF_E_DEVICE_FULL says what would be needed.
 * Yours, free with lf_exec_free. model, slots and stream must outlive it. */
enum lf_err lf_exec_new(struct lf_exec **out, struct lf_stream *stream, struct lf_model *model,
                        struct lf_slots *slots, const struct lf_exec_limits *limits,
                        struct lf_diag *diag) LF_MUST_CHECK;
void lf_exec_free(struct lf_exec *x);
/* The limits and the stream it was made with. Borrowed. */
const struct lf_exec_limits *lf_exec_limits(const struct lf_exec *x);
struct lf_stream *lf_exec_stream(const struct lf_exec *x);
/* Bytes by purpose, for status pages and refusals. */
struct lf_exec_memory {
    size_t activations, saved, logits, kv, scratch;
    size_t copies; /* of the weights, unpacked; 0 where memory is scarce */
    size_t host;   /* of the host, that lf_exec_host_take gets in all; not the device's */
};
void lf_exec_memory(const struct lf_exec *x, struct lf_exec_memory *out);
/* What was chosen: NONE, BLOCK (some blocks or all) or OFFLOAD (likewise). */
enum lf_recompute lf_exec_recomputes(const struct lf_exec *x);

/* Gets the host memory in which `blocks` more of the planned ones wait, pinned on cuda: some 50 ms
 * for a block of 4,096 tokens. A block that has none yet is run again. After a failure, which
 * leaves what there is, nothing more is asked for until it is given back. Between runs. */
enum lf_err lf_exec_host_take(struct lf_exec *x, int blocks, struct lf_diag *diag) LF_MUST_CHECK;
/* Gives back all of it. */
void lf_exec_host_give(struct lf_exec *x);

/* ---- KV pages -------------------------------------------------------------------------------- */

/* A cached sequence: its pages and how many tokens are in them. */
struct lf_kv_seq {
    int32_t *pages;
    int n_pages, cap;
    int n_tokens;
    int planned;  /* set by the caller before the first run: how long the whole text is that it
                     reads in, maybe in pieces; 0: the first run is all */
    int rope_row; /* the rotary table's row of its first token, chosen by that */
    /* What its keys and values depend on beside its tokens, as the caller numbers it: the weights
     * that they come from. 0: its pages are not for others */
    uint64_t owner;
    int n_kept; /* pages, its first ones, that others find */
};

/* The cached tokens' keys are those of a shorter text than one of n_tokens in all: they were turned
 * by other factors (longrope, Phi-3.5: past 4,096 tokens), and the text is to be read again. */
bool lf_exec_kv_outgrown(const struct lf_exec *x, const struct lf_kv_seq *s, int n_tokens);

/* Makes room for n_tokens in all. LF_E_DEVICE_FULL leaves the sequence as it was. */
enum lf_err lf_exec_kv_grow(struct lf_exec *x, struct lf_kv_seq *s, int n_tokens) LF_MUST_CHECK;
/* Gives the pages back; the sequence is empty, of the same owner. */
void lf_exec_kv_release(struct lf_exec *x, struct lf_kv_seq *s);
/* Those to be had, idle ones (below) too. */
int lf_exec_kv_free_pages(const struct lf_exec *x);

/* Pages outlive the sequences that filled them: a full one does not change any more, and whoever of
 * the same owner begins with the same tokens shares it. Where nobody holds it, it is idle and stays
 * until it is needed for something else, the one that has been idle longest first. */

/* Pages that hold the beginning of ids (n), for an empty sequence with its owner and `planned` set;
 * s->n_tokens of them need not be run then, at most n - 1: the last one's logits are wanted. */
void lf_exec_kv_find(struct lf_exec *x, struct lf_kv_seq *s, const int32_t *ids, int n);
/* Pages that are full are found from now on. ids: the sequence's tokens, n of them known. */
void lf_exec_kv_keep(struct lf_exec *x, struct lf_kv_seq *s, const int32_t *ids, int n);
/* No page of the owner is found any more. */
void lf_exec_kv_forget(struct lf_exec *x, uint64_t owner);
int lf_exec_kv_idle_pages(const struct lf_exec *x);

/* ---- Batches --------------------------------------------------------------------------------- */

/* In place of an id: the i-th token of the last lf_exec_draw, which the host need not know yet. */
#define LF_DRAWN(i) (-1 - (i))

/* One sequence of a batch, as the caller states it. */
struct lf_batch_seq {
    const int32_t *ids; /* (n) new tokens; of cached sequences also LF_DRAWN(i) */
    int n;
    struct lf_kv_seq *kv; /* NULL: uncached. Grown by the caller to hold n more; n_tokens is
                             advanced by a successful forward */
    int slot;             /* or -1 */
    bool last_only;       /* cached: no token's logits but the last one's will be asked for, so that
                             the last block may leave the others out (batches of such alone) */
    /* Loss (uncached sequences) */
    const int32_t *labels; /* (n) labels[i] is the token after ids[i], -1 where it carries no loss;
                              NULL: none */
    float loss_weight;     /* gradient scale of each of this sequence's supervised tokens */
    bool trains;           /* gradients into the slot; else only the loss is computed */
    float drop_p;          /* LoRA dropout, 0 when not training */
    float noise;           /* NEFTune's, on the embedding; 0 when not training */
    uint64_t drop_key;     /* of both */
};

/* What comes back for the sequence in the same place. */
struct lf_batch_result {
    double loss_sum; /* over its supervised tokens, unweighted */
    int n_supervised;
};

/* The supervised tokens of one sequence, once their losses are known. */
struct lf_batch_losses {
    const float *loss; /* (n) of each, unweighted */
    float *weight;     /* (n) gradient scale of each: comes in as the sequence's loss_weight. Of no
                          use where the sequence does not train */
    int n;
};
/* Weighs tokens by what the losses of all sequences are: of (n_seqs), in the caller's order. */
typedef void (*lf_weigh_fn)(void *arg, const struct lf_batch_losses *of);

/* Forward over the sequences (any order; grouped inside so that adapters and cached ones are
 * contiguous), and backward where any of them trains. results: (n_seqs) host, filled on return
 * (waits when labels are present). */
enum lf_err lf_exec_run(struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs,
                        struct lf_batch_result *results, struct lf_diag *diag) LF_MUST_CHECK;
/* The same for losses that are no sums over tokens (preferences): `weigh` is called between forward
 * and backward, and decides what each token's gradient weighs. It takes a wait there, and the
 * training rows' logits are made twice: they are too many to be kept. */
enum lf_err lf_exec_run_weighed(struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs,
                                lf_weigh_fn weigh, void *arg, struct lf_batch_result *results,
                                struct lf_diag *diag) LF_MUST_CHECK;

/* ---- Parts -----------------------------------------------------------------------------------
 * A batch of cached sequences that is put on the stream some blocks at a time, so that another one
 * need not wait for all of them. */

/* Like lf_exec_run, but only the first of n_parts parts, of at least a layer each; a recorded step
 * goes there whole. The sequences have their new tokens at once. Where lf_exec_part_way says so,
 * lf_exec_go_on has to be called until it does not, before the next run and before anything is
 * drawn. */
enum lf_err lf_exec_begin(struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs,
                          int n_parts, struct lf_diag *diag) LF_MUST_CHECK;
bool lf_exec_part_way(const struct lf_exec *x);
void lf_exec_go_on(struct lf_exec *x);
/* What is part way stays where it is, and one batch of up to aside_tokens may run and be drawn from
 * until it is taken up again. Adapters stay in their slots from one to the other. */
void lf_exec_set_aside(struct lf_exec *x);
void lf_exec_take_up(struct lf_exec *x);

/* ---- Drawing --------------------------------------------------------------------------------- */

/* What is drawn, as struct lf_sample_params says it. Host memory. */
struct lf_exec_wish {
    const int *which; /* (n) sequences whose next token it is: indices of the last run's seqs */
    const int *at;    /* (n) which of its new tokens that one follows; NULL: the last */
    const struct lf_sample_params *params; /* (n) */
    int n;                                 /* up to seqs_max */
    const int32_t *history;                /* (n_history) */
    int n_history;
    const struct lf_logit_bias *bias; /* (n_bias) */
    int n_bias;
    const uint32_t *masks; /* (n_masks, (V + 31) / 32) pinned, until it is fetched */
    int n_masks;
    int top_ld; /* alternatives there is room for: at least every top_n; 0: none */
};
/* Where what was drawn goes. Host memory, rows of the wish. */
struct lf_exec_tokens {
    int32_t *ids;        /* (n); NULL where they are known */
    float *logprobs;     /* (n); NULL: not wanted */
    int32_t *top_ids;    /* (n, top_ld); NULL where top_ld is 0 */
    float *top_logprobs; /* (n, top_ld) likewise */
};
/* After lf_exec_run: puts the drawing of the next tokens on the stream, and does not wait: a next
 * run may be put behind it that goes on from these tokens (LF_DRAWN). At most LF_DRAWS_MAX are
 * under way; each is fetched by an lf_exec_drawn, oldest first. */
enum lf_err lf_exec_draw(struct lf_exec *x, const struct lf_exec_wish *wish,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* The tokens of the oldest drawing under way. Waits for it alone. */
enum lf_err lf_exec_drawn(struct lf_exec *x, const struct lf_exec_tokens *out,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* Both, with none other under way. */
enum lf_err lf_exec_sample(struct lf_exec *x, const struct lf_exec_wish *wish,
                           const struct lf_exec_tokens *out, struct lf_diag *diag) LF_MUST_CHECK;

/* A token of the last run whose successor is known. */
struct lf_exec_row {
    int seq; /* an index of the run's seqs */
    int at;  /* which of its new tokens */
    int32_t next;
};
/* After lf_exec_run, before its lf_exec_draw: how likely the successors of n rows are, and the
 * top_n likeliest in the place of each. Logits are made rows_max rows at a time. Waits. */
enum lf_err lf_exec_score(struct lf_exec *x, const struct lf_exec_row *rows, int n, int top_n,
                          const struct lf_exec_tokens *out, struct lf_diag *diag) LF_MUST_CHECK;

/* After lf_exec_run: logits of every token of sequence `which`, fp32, host, (n, V); where the run
 * left all but last tokens out (last_only), of that one. For `lorafs logits`; in chunks, slow. */
enum lf_err lf_exec_logits(struct lf_exec *x, int which, float *logits,
                           struct lf_diag *diag) LF_MUST_CHECK;

/* DoRA's numbers of a slot that trains (nothing of others): what a forward reads of its parameters,
 * after these were changed, and before the optimizer reads its gradients what these are of its own.
 */
void lf_exec_dora(struct lf_exec *x, int slot);
void lf_exec_dora_grads(struct lf_exec *x, int slot);

#endif
