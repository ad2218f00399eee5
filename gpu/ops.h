/* Operations: everything a transformer with LoRA adapters does, forward and backward, over one
 * ragged batch. Each is defined once, in plain C (gpu/ops/<op>/ref.c); cpu.c and cuda.cu beside it
 * must agree with it within the tolerance that its test states (tests/ops/).
 *
 * Letters: T tokens of the batch, S sequences, C hidden, F MLP inner, N out features, K in
 * features, H heads, D head dim, R rank, V vocabulary, M selected rows.
 * `act` is the device's activation dtype. Matrices are row-major; `ld*` is a row stride in
 * elements. Pointers are device memory unless they are said to be host's. Outputs come first.
 * An operation never allocates; sizes are checked by the caller (the model), not here. All
 * results are deterministic: the same inputs give the same bytes. On the cpu forwards give a token
 * the same bytes whatever tokens are beside it, and however many of its sequence come at once.
 *
 * In the common subset of C17 and C++17: cuda.cu includes this header.
 */
#ifndef LF_GPU_OPS_H
#define LF_GPU_OPS_H

#include "core/limits.h"
#include "gpu/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Weights --------------------------------------------------------------------------------- */

enum lf_weight_kind {
    LF_WEIGHT_F32,
    LF_WEIGHT_BF16,
    LF_WEIGHT_Q4 /* 4-bit codes of a 16-entry table (NF4, FP4), scaled by blocks; gpu/nf4.h */
};

/* One matrix W (N, K) of a linear map y = W x + bias. The struct is host memory. */
struct lf_weight {
    enum lf_weight_kind kind;
    int N, K;
    const void *data;  /* F32, BF16: (N, K). Q4: (N*K/2) u8, element 2j in the high nibble of byte
                          j of the flattened matrix */
    const float *bias; /* (N) or NULL */
    /* Q4 only. Value = code[nibble] * scale[element / block], scale = absmax, or with double
     * quantisation absmax_code[absmax_q[i]] * absmax2[i / block2] + offset, in fp32. */
    int block;                /* elements a scale covers: 64, or another power of two >= 32 */
    const float *code;        /* (16) */
    const float *absmax;      /* (ceil(N*K/block)), or NULL when nested */
    const uint8_t *absmax_q;  /* (ceil(N*K/block)) */
    const float *absmax_code; /* (256) */
    const float *absmax2;     /* (ceil(N*K/block/block2)) */
    int block2;               /* a power of two; 256 */
    float offset;
    void *prepared; /* a backend's own form, made by prepare_weight; else NULL */
};

/* ---- The ragged batch ------------------------------------------------------------------------ */

/* One sequence's share of the run of tokens. */
struct lf_seq {
    int32_t start, n;  /* its new tokens are rows [start, start + n) */
    int32_t past;      /* tokens before them, in the KV cache */
    int32_t slot;      /* adapter slot, or -1 for the bare base */
    int32_t page_off;  /* where its page list starts in `pages`; -1: no cache, attends to its own
                          new tokens only (training, evaluation) */
    float drop_p;      /* LoRA dropout probability; 0 = none */
    float noise;       /* NEFTune: what embed adds is uniform in +- of this; 0 = none. Element c of
                          the token at position i: noise * (2 lf_rng_unit(lf_rng_u32(drop_key,
                          i*C + c, LF_NOISE_SITE)) - 1) */
    uint64_t drop_key; /* lf_rng key of this row's masks: element k of the token at position i
                          (batch.pos) at site j is dropped when
                          lf_rng_unit(lf_rng_u32(drop_key, i*K + k, j)) < drop_p, else scaled by
                          1/(1-drop_p), all in fp32; i*K + k in 64 bits */
};

#define LF_NOISE_SITE UINT32_MAX /* no site of an adapter has this number */

/* Consecutive rows with one adapter slot (several sequences where they share it). */
struct lf_lora_seg {
    int32_t start, end; /* rows */
    int32_t slot;       /* >= 0 */
    int32_t trains;     /* gradients are wanted */
};

/* What a forward or backward runs over. Arrays are device memory; `h_*` their host mirrors. */
struct lf_ragged {
    int T, S, n_segs;
    const int32_t *ids; /* (T) */
    const int32_t *pos; /* (T) position in the sequence: past + index */
    const int32_t *seq; /* (T) index into seqs */
    const struct lf_seq *seqs;
    const int32_t *pages;           /* page lists of the cached sequences, one after another */
    const struct lf_lora_seg *segs; /* ascending, disjoint; rows of no segment have no adapter */
    const struct lf_seq *h_seqs;
    const struct lf_lora_seg *h_segs;
    int n_max;    /* the longest sequence's n */
    int kv_max;   /* the longest past + n */
    int rank_max; /* over the segments' adapters */
    int n_cached; /* the first n_cached sequences have pages, the others not; when recorded, the
                     last of them may be padding without pages (page_off -1, one row) */
    int T_cached; /* their rows come first */
};

/* What an adapter slot holds for one site (layer x projection). Device table
 * (slots, n_sites): entry slot * n_sites + site. rank 0: the adapter has nothing there. */
struct lf_lora_site {
    const void *a; /* (R, K) act */
    const void *b; /* (N, R) act */
    float *da;     /* (R, K) fp32, accumulated into; NULL unless the slot trains */
    float *db;     /* (N, R) fp32 */
    float scale;   /* alpha/r, or alpha/sqrt(r) with rsLoRA */
    int32_t rank;
    int32_t trained;  /* ranks with gradients, the first; those of the others stay as they are */
    const void *gain; /* (N) act: DoRA's. Of output n, what of the base's product is added to it.
                         NULL: nothing */
    float *dgain;     /* (N) fp32, accumulated into; NULL unless the slot trains */
};

/* ---- Arguments ------------------------------------------------------------------------------- */

/* y[t] = scale * (E[ids[t]] + the sequence's noise). E (V, C) F32 or BF16, never Q4. An id below 0
 * is read from `drawn`: -1 - i stands for drawn[i], a token that the host does not know yet. */
struct lf_embed_args {
    void *y;                    /* (T, C) act */
    const int32_t *ids, *drawn; /* drawn: NULL where no id is below 0 */
    const struct lf_weight *e;
    const struct lf_ragged *batch; /* whose sequences have noise; NULL: none has */
    int T, C;
    float scale;
};

/* RMSNorm: y = x * rstd * w, rstd = 1/sqrt(mean(x^2) + eps).
 * LayerNorm: y = (x - mean) * rstd * w + b, rstd = 1/sqrt(var(x) + eps).
 * Rows are (t, h), h < H, at x + t*ldx + h*C: H = 1 for hidden states, the head count for the
 * per-head norms of q and k. fp32 inside. Gemma's (1 + w) is folded into w at load. */
struct lf_norm_args {
    void *y; /* act; may be x (in place) */
    const void *x;
    const float *w; /* (C) */
    const float *b; /* (C) or NULL */
    bool layer_norm;
    int T, H, C, ldx, ldy;
    float eps;
};

/* dx (+)= gradient through the norm; w and b are frozen. The row's mean and rstd are made again. */
struct lf_norm_bwd_args {
    void *dx;       /* act, lddx; may be dy when not accumulating */
    const void *dy; /* act, ldy */
    const void *x;  /* the forward's input, ldx */
    void *y;        /* the forward's output again, ldy; may be dy, not dx; or NULL */
    const float *w, *b;
    bool layer_norm, accumulate;
    int T, H, C, ldx, ldy, lddx;
    float eps;
};

/* For each p < n: y[:, col[p] : col[p]+N_p] (+)= x W_p^T + bias_p. All W_p have one K. Weights
 * that read one input (q, k, v; gate, up) go together, so that x is read once. */
struct lf_linear_args {
    void *y;       /* (T, ldy) act, or fp32 when y_f32 */
    const void *x; /* (T, ldx) act */
    const struct lf_weight *w[LF_GROUP_MAX];
    int col[LF_GROUP_MAX];
    int n;
    int T, ldy, ldx;
    bool accumulate; /* add to y instead of overwriting it */
    bool y_f32;      /* logits */
    void *copy;      /* what copy_weights made of these weights, or NULL */
    int ldcopy;
    int room;   /* columns behind K in each row of x that the call may use as scratch; 0: none */
    int T_fast; /* the first so many tokens are no training's: on the cpu integers may multiply them
                   with Q4 weights (below). The other tokens are as if these were not there */
};

/* Integers of tokens (LF_CPU_INT16, LF_CPU_INT8), in blocks of 64 elements, where a weight's blocks
 * are at least as long and K is whole blocks of 64: a token's block x becomes a * s, a whole
 * numbers, the codes whole numbers over a step, and sums of their products are exact. So a block
 * with the weight's scale S is off by at most
 *   S * (e * sum |x| + 32 * s),
 * e the largest error of a code.
 * 16 bits: s is the larger of max |x| / 32767 and sum |x| / 338900; e 5.4e-5 for NF4 (step 6283), 0
 * for FP4. Errors of many blocks add up like noise: about 8e-5 of a result's size, where a product
 * in bf16 has 1e-3.
 * 8 bits: s is the larger of max |x| / 127 and max (|x[i]| + |x[i ^ 2]|) / 132; e 2.9e-3 for NF4
 * (step 123.26), 3.2e-3 for FP4 (step 120): about 1e-2 of a result's size.
 * A token's integers depend on nothing but itself, and so do its results. */

/* dx (+)= sum_p dy[:, col[p] : col[p]+N_p] W_p. */
struct lf_linear_bwd_args {
    void *dx;       /* (T, lddx) act */
    const void *dy; /* (T, lddy) act */
    const struct lf_weight *w[LF_GROUP_MAX];
    int col[LF_GROUP_MAX];
    int n;
    int T, lddx, lddy;
    bool accumulate;
    void *copy; /* as in struct lf_linear_args */
    int ldcopy;
    int room; /* columns behind the group's in each row of dy that the call may use as scratch */
};

/* Segmented LoRA (PEFT): for each segment with slot s and each p < n whose site has rank R > 0:
 *   u[:, p*rank_max : p*rank_max + R] = drop(x) A^T      (kept for backward)
 *   y[:, col[p] : col[p]+N_p] += scale * u B^T
 * drop() as struct lf_seq says, with j = site[p]; each site draws its own mask. */
struct lf_lora_args {
    void *y;                          /* (T, ldy) act */
    void *u;                          /* (T, n*rank_max) act */
    const void *x;                    /* (T, ldx) act */
    const struct lf_lora_site *sites; /* (slots, n_sites), device */
    const struct lf_ragged *batch;
    int n_sites;
    int site[LF_GROUP_MAX], col[LF_GROUP_MAX], N[LF_GROUP_MAX];
    int n, K, ldy, ldx;
};

/* DoRA's share beside lora's, of rows t in [begin, end) whose adapter has a gain at the site. z has
 * these rows, the first at `begin`. By element:
 *   gain:        y[t] += gain * z[t], z = x W^T without its bias
 *   gain_grads:  dgain += dy[t] * z[t], with that z; of segments that train
 *   gain_bwd:    z[t] = gain * dy[t], and 0 in the other rows, for dx += z W
 */
struct lf_gain_args {
    void *y; /* (T, ldy) act; the first of N columns. dy, which stays, for the last two */
    void *z; /* (end - begin, N) act */
    const struct lf_lora_site *sites;
    const struct lf_ragged *batch;
    int n_sites, site, N, ldy;
    int begin, end;
};

/* DoRA's numbers of a site that trains, at the beginning of a step (dora) and at its end, of its
 * gradients (dora_grads). With norm[n] = |W[n] + scale * (B A)[n]|, which has no gradient, and
 * g = m / norm:
 *   dora:        norm; served = g B, and gain = g - 1
 *   dora_grads:  dm = (dm + sum_r B[n, r] db[n, r]) / norm, then db = g db
 * so what gain_grads and lora_bwd left of the gain and of g B becomes that of m and of B. */
struct lf_dora_args {
    void *served, *gain;  /* (N, R), (N) act */
    float *norm;          /* (N) */
    float *db, *dm;       /* (N, R), (N) */
    const float *b, *m;   /* (N, R), (N) */
    const float *row_sq;  /* (N) |W[n]|^2 */
    const float *aw, *aa; /* (R, N) A W^T, (R, R) A A^T */
    int N, R;
    float scale;
};

/* With du = scale * dy B:  db += scale * dy^T u,  da += du^T drop(x),  dx += drop'(du A).
 * dx is over all p together. Segments that do not train are skipped: none of their rows is
 * touched; gradients of one slot add over its segments. lora_bwd makes du, dx, and da and db where
 * x is there; else lora_grads makes those later, from du. */
struct lf_lora_bwd_args {
    void *dx;       /* (T, lddx) act, accumulated into; NULL when the input needs no gradient */
    void *du;       /* (T, n*rank_max) act, scratch */
    const void *dy; /* (T, lddy) act */
    const void *u;  /* from the forward */
    const void *x;  /* or NULL: not yet */
    const struct lf_lora_site *sites;
    const struct lf_ragged *batch;
    int n_sites;
    int site[LF_GROUP_MAX], col[LF_GROUP_MAX], N[LF_GROUP_MAX];
    int n, K, lddx, lddy, ldx;
};

/* Rotates the first `rot` dims of each head, halves apart as in GPT-NeoX and Hugging Face:
 * (x1, x2) -> (x1 c - x2 s, x2 c + x1 s), x1 = x[i], x2 = x[i + rot/2]. In place. */
struct lf_rope_args {
    void *x; /* (T, ldx) act: H heads of D */
    const int32_t *pos;
    const float *cos_, *sin_; /* (positions, rot/2) */
    int T, H, D, rot, ldx;
    bool inverse; /* backward: the transposed rotation */
};

/* Puts the new k and v of cached sequences into their pages. A page holds LF_KV_PAGE_TOKENS
 * tokens of one layer: (pages, Hkv, LF_KV_PAGE_TOKENS, D) act. */
struct lf_kv_write_args {
    void *k_pages, *v_pages; /* this layer's */
    const void *k, *v;       /* (T, ldkv) act */
    const struct lf_ragged *batch;
    int Hkv, D, ldkv;
};

/* Causal attention of every new token over its own sequence: cached sequences read keys and
 * values (the new ones too) from their pages, the others from k and v.
 * p = softmax over keys j <= i (j > i - window when window > 0) of cap(scale * q_i.k_j),
 * cap(s) = softcap * tanh(s / softcap) when softcap > 0. Query head h reads kv head h / (H/Hkv). */
#define LF_ATTN_FEW                                                             \
    16 /* rows: of one kv head's query heads, for all new tokens of a sequence. \
          With so many or fewer in each, a launch depends on the batch's bounds \
          alone and may be recorded */
struct lf_attn_args {
    void *o;    /* (T, ldo) act: H heads of D */
    float *lse; /* (T, H) log-sum-exp for backward, or NULL */
    const void *q, *k, *v;
    const void *k_pages, *v_pages; /* this layer's, or NULL when no sequence is cached */
    const struct lf_ragged *batch;
    int H, Hkv, D, ldo, ldq, ldkv;
    int window; /* 0: none */
    float scale, softcap;
};

/* Overwrites dq, dk, dv for the rows of uncached sequences; other rows are not touched. */
struct lf_attn_bwd_args {
    void *dq, *dk, *dv; /* strides lddq, lddkv */
    float *delta;       /* (T, H) scratch */
    const void *d_o;    /* (T, ldo) act */
    const void *o, *q, *k, *v;
    const float *lse;
    const struct lf_ragged *batch;
    int H, Hkv, D, ldo, ldq, ldkv, lddq, lddkv;
    int window;
    float scale, softcap;
};

enum lf_act_kind { LF_ACT_SILU, LF_ACT_GELU_TANH, LF_ACT_GELU_ERF };

/* gated: y = act(x[:, :F]) * x[:, F:]; else y = act(x[:, :F]). */
struct lf_glu_args {
    void *y;       /* (T, ldy) act, F of a row */
    const void *x; /* (T, ldx) act, 2F or F of a row */
    enum lf_act_kind act;
    bool gated;
    int T, F, ldy, ldx;
};

struct lf_glu_bwd_args {
    void *dx; /* as x, ldx; may be x */
    const void *dy, *x;
    void *y; /* the forward's output again, ldy; may be dy; or NULL */
    enum lf_act_kind act;
    bool gated;
    int T, F, ldy, ldx; /* ldy: of dy */
};

/* A group's linear map with what stands around it in a block; parts that are NULL are left out:
 * norm, which makes linear's x; linear; lora, over the same group, x and y; glu, which takes
 * linear's y. With glu linear's y is lost afterwards: a backend may leave it out. y is rounded
 * once. Rooms that linear grants hold what belongs to the adapters: u behind x, scale B behind the
 * weights' copy, so that their share is part of the product. */
struct lf_map_args {
    const struct lf_norm_args *norm;
    const struct lf_linear_args *linear;
    const struct lf_lora_args *lora;
    const struct lf_glu_args *glu;
    const void *plus; /* (T, ldy) tight; with accumulate: y = plus + what would be added to y.
                         NULL: y */
};

/* Backward of a group's linear map with its adapters, over the same dy and dx. linear NULL: no dx
 * (then lora's is NULL, too). lora NULL: none. Rooms as above: du behind dy, A below the copy. */
struct lf_map_bwd_args {
    const struct lf_linear_bwd_args *linear;
    const struct lf_lora_bwd_args *lora;
};

/* y += x, n elements of act. */
struct lf_add_args {
    void *y;
    const void *x;
    size_t n;
};

/* gather: y[m] = x[rows[m]]. scatter: y[rows[m]] = x[m], other rows of y zero. C wide, act. */
struct lf_rows_args {
    void *y;
    const void *x;
    const int32_t *rows; /* (M), ascending, no two alike for scatter */
    int M, T, C;         /* T: rows of y for scatter */
    int ldy;             /* x is tight */
};

/* logits = softcap * tanh(logits / softcap), in place, fp32. */
struct lf_softcap_args {
    float *logits;
    size_t n;
    float softcap;
};

/* loss[m] = logsumexp(logits[m]) - logits[m, label]; and where dlogits is not NULL
 * dlogits[m] = weight[m] * (softmax(logits[m]) - onehot(label)), times softcap's derivative when
 * softcap > 0 (logits are the capped ones). label -1: loss 0 and no gradient. */
struct lf_cross_entropy_args {
    float *loss;         /* (M) */
    void *dlogits;       /* (M, V) act; may be logits when act is fp32; or NULL */
    const float *logits; /* (M, V) fp32 */
    const int32_t *labels;
    const float *weight; /* (M), or NULL without dlogits */
    int M, V;
    float softcap;
};

/* One sequence's way of choosing the next token. Host struct, uploaded with the rows. */
struct lf_sample_params {
    float temperature;        /* 0: greedy (lowest id among equals) */
    float top_p;              /* 1: off */
    float min_p;              /* 0: off */
    float repetition_penalty; /* 1: off; > 1 divides positive, multiplies negative logits of ids
                                 in the history (CTRL, Hugging Face) */
    float frequency_penalty, presence_penalty; /* 0: off; OpenAI's */
    int32_t top_k;                             /* 0: off */
    int32_t history_off, history_n; /* this row's part of `history`: prompt and completion ids */
    int32_t completion_n;     /* the last completion_n of them count for the two OpenAI penalties */
    int32_t bias_off, bias_n; /* this row's part of `bias`: no id twice */
    int32_t mask;             /* which of `masks` has the ids that may come, from 1; 0: all may */
    int32_t top_n;            /* alternatives to list; 0: none */
    uint64_t seed, counter;   /* lf_rng_unit(lf_rng_u32(seed, counter, 0)) chooses */
};
/* Added to a logit before all else. */
struct lf_logit_bias {
    int32_t id;
    float add;
};

/* Order: the mask, biases, penalties (repetition first), temperature, top-k, top-p, min-p, draw
 * from what is left. Equal logits stay or go together, so that no order of ids matters: top-k keeps
 * ids that fewer than k exceed; top-p, over the softmax of what top-k kept, keeps ids whose strict
 * betters sum to less than top_p; min-p keeps p >= min_p * max p. The draw takes the first kept id,
 * ascending, at which the running sum of p exceeds u times their total.
 *
 * Log-probabilities are of the raw logits' softmax, before all of these. A row whose id is given
 * (a prompt's next token) is not chosen for, only scored. */
struct lf_sample_args {
    int32_t *ids;     /* (M) chosen, or given */
    float *logprob;   /* (M) of them; or NULL, when no row has a top_n */
    int32_t *top_ids; /* (M, top_ld) row m: its top_n likeliest ids, the likeliest first, the lowest
                         among equals; -1 where there are no more numbers. NULL when none has */
    float *top_logprob;                      /* (M, top_ld) theirs */
    int top_ld;                              /* at least every top_n */
    float *logits;                           /* (M, V) fp32; used up as scratch */
    const int32_t *given;                    /* (M) device; -1: choose. NULL: choose for all */
    const struct lf_sample_params *params;   /* (M) device */
    const struct lf_sample_params *h_params; /* the same, host: greedy rows take a short way */
    const int32_t *history;                  /* device */
    const struct lf_logit_bias *bias;        /* device; NULL when no row has any */
    const uint32_t *masks; /* device (n, (V + 31) / 32): a bit an id, the lowest first, at least one
                              set; NULL when no row has one */
    int M, V;
};

/* out[0] = sum of squares of g, fp32 result, fixed order. Runs of one call are apart: each
 * overwrites its own out. */
struct lf_sumsq_args {
    float *out;
    const float *g;
    size_t n;
};

/* A moment of 8 bits, as bitsandbytes' block-wise optimizers keep it (gpu/dynamic.h; the second
 * moment's map is the one without signs). A scale of 0: its block is 0, whatever the codes. */
struct lf_moment8 {
    uint8_t *codes; /* (n) */
    float *scales;  /* (ceil(n / LF_DYNAMIC_BLOCK)) */
};

/* AdamW on one flat run of parameters (Loshchilov & Hutter; as torch.optim.AdamW), with clipping
 * by norm as torch.nn.utils.clip_grad_norm_: c = min(1, max_norm / (sqrt(sumsq) * grad_scale +
 * 1e-6)), g' = g * grad_scale * c. weight_decay decouples (adamw) or joins the gradient (adam).
 * A list of these runs is one launch. With moments of 8 bits the step is taken with the new moments
 * as they are before they are rounded. */
struct lf_adam_args {
    float *p, *m, *v;         /* (n) masters and moments */
    struct lf_moment8 m8, v8; /* the moments, where m and v are NULL */
    float *g;                 /* (n); zeroed afterwards */
    void *copy;               /* (n) act compute copy to refresh, or NULL */
    const float *sumsq;       /* device scalar, of g before scaling; NULL: no clipping */
    size_t n;
    float grad_scale, max_norm;
    float lr, beta1, beta2, eps, weight_decay;
    bool decoupled;
    int step; /* from 1, for bias correction */
};

/* Weights to NF4, one scale a block of LF_NF4_BLOCK: what bitsandbytes writes, byte for byte on
 * every device (gpu/nf4.h). The scales of scales come after it, on the host. */
struct lf_nf4_args {
    uint8_t *codes;      /* (n/2), as in struct lf_weight */
    float *absmax;       /* (ceil(n/LF_NF4_BLOCK)) */
    const void *x;       /* (n), at any address on ref and cpu */
    enum lf_dtype dtype; /* of x: F32, BF16 or F16 */
    size_t n;            /* even */
};

/* ---- The table ------------------------------------------------------------------------------- */

/* The operations that every backend has, X(b, the operation, whose arguments it takes), but for the
 * two that take a list; those that copy stand apart. */
/* clang-format off */
#define LF_EACH_OP(X, b) \
    X(b, embed, embed) X(b, norm, norm) X(b, norm_bwd, norm_bwd) X(b, linear, linear) \
    X(b, linear_bwd, linear_bwd) X(b, lora, lora) X(b, gain, gain) X(b, gain_bwd, gain) \
    X(b, gain_grads, gain) X(b, dora, dora) X(b, dora_grads, dora) X(b, lora_bwd, lora_bwd) \
    X(b, lora_grads, lora_bwd) X(b, rope, rope) X(b, attn, attn) X(b, attn_bwd, attn_bwd) \
    X(b, glu, glu) X(b, glu_bwd, glu_bwd) X(b, add, add) X(b, softcap, softcap) \
    X(b, cross_entropy, cross_entropy) X(b, sample, sample) X(b, nf4, nf4)
#define LF_EACH_COPY(X, b) X(b, kv_write, kv_write) X(b, gather, rows) X(b, scatter, rows)
/* clang-format on */

#define LF_OP_MEMBER(b, op, args) \
    void (*op)(struct lf_stream * s, const struct lf_##args##_args *a);

struct lf_ops {
    /* Makes a weight the backend's own, once at load: data and scales may be put into another order
     * where they lie (w->prepared is then set), and from then on only this backend's operations
     * may read them. NULL: not needed. */
    enum lf_err (*prepare_weight)(struct lf_stream *s, struct lf_weight *w, struct lf_diag *diag);
    void (*release_weight)(struct lf_device *dev, struct lf_weight *w);
    /* Scratch that linear maps over these shapes need on a stream. */
    size_t (*linear_scratch_bytes)(const struct lf_device *dev, int T, int N, int K);
    /* Unpacks a group's weights once, where there is memory for it, so that maps of many tokens
     * need not do so each time: out (sum of N, ld) act. For rooms, ld is K and the room, and there
     * are as many rows more. Same results. NULL: no use. */
    void (*copy_weights)(struct lf_stream *s, void *out, int ld, const struct lf_weight *const *w,
                         int n);

    /* As few kernels as a backend can; NULL: one after another (lf_map, lf_attn_cached). */
    void (*map)(struct lf_stream *s, const struct lf_map_args *a);
    void (*map_bwd)(struct lf_stream *s, const struct lf_map_bwd_args *a);
    void (*attn_cached)(struct lf_stream *s, const struct lf_rope_args *r,
                        const struct lf_kv_write_args *w, const struct lf_attn_args *a);

    LF_EACH_OP(LF_OP_MEMBER, )
    LF_EACH_COPY(LF_OP_MEMBER, )
    void (*sumsq)(struct lf_stream *s, const struct lf_sumsq_args *a, int n);
    void (*adam)(struct lf_stream *s, const struct lf_adam_args *a, int n);
};

static inline void lf_map(struct lf_stream *s, const struct lf_map_args *a)
{
    if (s->ops->map) {
        s->ops->map(s, a);
        return;
    }
    const struct lf_linear_args *l = a->linear;
    if (a->norm)
        s->ops->norm(s, a->norm);
    if (a->plus && a->plus != l->y)
        lf_stream_copy(s, l->y, a->plus,
                       (size_t)l->T * (size_t)l->ldy * lf_dtype_bytes(s->dev->act));
    s->ops->linear(s, l);
    if (a->lora)
        s->ops->lora(s, a->lora);
    if (a->glu)
        s->ops->glu(s, a->glu);
}

static inline void lf_map_bwd(struct lf_stream *s, const struct lf_map_bwd_args *a)
{
    if (s->ops->map_bwd) {
        s->ops->map_bwd(s, a);
        return;
    }
    if (a->linear)
        s->ops->linear_bwd(s, a->linear);
    if (a->lora)
        s->ops->lora_bwd(s, a->lora);
}

/* What a batch with cached sequences does between its maps: rope over all heads of q and k (r's
 * last Hkv heads are w's and a's k), kv_write, attn. Where every sequence is cached, q and k of the
 * batch may stay as they were: nobody reads them again. */
static inline void lf_attn_cached(struct lf_stream *s, const struct lf_rope_args *r,
                                  const struct lf_kv_write_args *w, const struct lf_attn_args *a)
{
    if (s->ops->attn_cached) {
        s->ops->attn_cached(s, r, w, a);
        return;
    }
    s->ops->rope(s, r);
    s->ops->kv_write(s, w);
    s->ops->attn(s, a);
}

#ifdef __cplusplus
}
#endif
#endif
