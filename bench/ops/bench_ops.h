/* Benchmarks of the device room's operations at the shapes of a 7B model (Mistral 7B: hidden 4096,
 * 32 layers, 32 query and 8 kv heads of 128, MLP 14336, vocabulary 32000; NF4, doubly quantised).
 *
 * Each row: the time of one operation (median of ten recorded runs of many, over weights and
 * activations that do not fit the cache), bytes and flops a second, and the share of the floor: the
 * least time in which this device could move the bytes or do the products, at rates measured at the
 * start. Random numbers, never zeros. One thread; a failure ends the program.
 */
#ifndef LF_TOOLS_BENCH_OPS_H
#define LF_TOOLS_BENCH_OPS_H

#include "gpu/device.h"
#include "gpu/ops.h"

enum { C = 4096, F = 14336, H = 32, HKV = 8, D = 128, V = 32000, LAYERS = 32 };
enum { QKV = (H + 2 * HKV) * D, PROJ = 7, SLOTS = 64, T_MAX = 4096 };

struct bench {
    struct lf_device *dev;
    struct lf_stream *s;
    const struct lf_ops *ops;
    const char *only; /* part of the names of the cases to run; NULL: all */
    size_t es;        /* bytes of act */
    double bytes_per_second, flops_per_second;
    unsigned char *noise; /* host: normal numbers in act */
    struct lf_weight w[LAYERS][PROJ], head;
    float *norm_w, *cos_, *sin_;
    struct lf_lora_site *sites; /* device: (SLOTS, LAYERS * PROJ) */
    size_t before_adapters;     /* held then */
    struct held *held;          /* memory, for release() */
    size_t n_held, cap_held;
    int i; /* number of the launch in a row */
};

/* Projections that share an input. */
struct bench_group {
    const char *name;
    int first, n, width;
};
enum { GROUPS = 4, GROUP_QKV = 0, GROUP_O, GROUP_GATE_UP, GROUP_DOWN };
extern const struct bench_group bench_groups[GROUPS];
extern const int proj_n[PROJ], proj_k[PROJ], proj_col[PROJ];

void die(const struct lf_diag *diag);
void bench_open(struct bench *b, enum lf_device_kind kind);
void bench_close(struct bench *b);
bool wanted(const struct bench *b, const char *name);

/* Device memory: undefined, normal numbers in act, fp32 around mean, a copy of host memory. */
void *get(struct bench *b, size_t bytes);
void *acts(struct bench *b, size_t n);
void *floats(struct bench *b, size_t n, double mean, double spread);
void *upload(struct bench *b, const void *host, size_t bytes);
/* Zeros in host memory. */
void *host(struct bench *b, size_t n, size_t size);
/* Frees all such memory but the first `held` pieces. */
void release(struct bench *b, size_t held);

/* Adapters of rank R on the projections of `mask`, one a slot; slot 0 has gradients. Replaces those
 * before. */
void make_adapters(struct bench *b, int R, unsigned mask);
enum { ALL_PROJ = (1 << PROJ) - 1, QV_PROJ = 1 << 0 | 1 << 2 };

/* S sequences of n new tokens, `past` before them; each with its own slot, or with trains all with
 * slot 0. */
struct lf_ragged *make_batch(struct bench *b, int S, int n, int past, bool cached, bool trains,
                             float drop_p, int rank);

/* A batch and its activations. Decoding uses one set for all layers, so does training here: its
 * values do not matter to its time. */
struct bench_step {
    const struct lf_ragged *batch;
    bool lora;
    unsigned mask; /* projections with adapters */
    void *x, *n, *qkv, *o, *h, *g, *u, *du, *dx, *dn, *dh, *dqkv, *d_o;
    void *k_pages, *v_pages, *dlogits;
    int layers;         /* that have pages of their own */
    size_t layer_pages; /* elements of a layer's */
    float *lse, *delta, *logits, *loss, *weight, *top_logprob;
    int32_t *ids, *labels, *top_ids;
    struct lf_sample_params *params, *h_params;
};
/* What attention works on; with backward, its gradients too. */
void make_attention(struct bench *b, struct bench_step *a, int layers, bool backward);
/* All of it. R: rank of the adapters. */
void make_step(struct bench *b, struct bench_step *a, int R, bool backward);

/* Arguments for one group of one layer. */
struct lf_linear_args linear_args(struct bench *b, int layer, int group, int T, void *y,
                                  const void *x, bool accumulate);
struct lf_linear_bwd_args linear_bwd_args(struct bench *b, int layer, int group, int T, void *dx,
                                          const void *dy);
struct lf_lora_args lora_args(struct bench *b, int layer, int group, const struct lf_ragged *batch,
                              void *y, void *u, const void *x);
struct lf_lora_bwd_args lora_bwd_args(struct bench *b, int layer, int group,
                                      const struct lf_ragged *batch, void *dx, void *du,
                                      const void *dy, const void *u, const void *x);
/* And for the other operations of a step. */
struct lf_linear_args head_args(struct bench *b, int T, void *y, const void *x);
struct lf_norm_args norm_args(struct bench *b, const struct bench_step *a);
struct lf_norm_bwd_args norm_bwd_args(struct bench *b, const struct bench_step *a);
struct lf_glu_args glu_args(const struct bench_step *a);
struct lf_glu_bwd_args glu_bwd_args(const struct bench_step *a);
struct lf_rope_args rope_args(struct bench *b, const struct bench_step *a, void *qkv, bool inverse);
struct lf_attn_args attn_args(struct bench *b, const struct bench_step *a, int layer);
struct lf_attn_bwd_args attn_bwd_args(struct bench *b, const struct bench_step *a);
struct lf_cross_entropy_args cross_entropy_args(const struct bench_step *a);
struct lf_sample_args sample_args(const struct bench_step *a);

typedef void (*launch_fn)(struct bench *b, void *arg);
/* Median seconds of one of n launches in a row. */
double time_of(struct bench *b, launch_fn fn, void *arg, int n);
/* Prints a row; returns s. */
double report(const struct bench *b, const char *name, double s, double bytes, double flops);
/* Bytes of that many doubly quantised weights. */
double q4_bytes(double elements);

void bench_linear(struct bench *b, bool backward);
void bench_lora(struct bench *b);
void bench_attn(struct bench *b);
void bench_small(struct bench *b);
void bench_decode(struct bench *b);
void bench_train(struct bench *b);

#endif
