/* Benchmarks of the exec, and the floor that the machine puts under them.
 *
 * A case runs real batches through lf_exec_run on random ids and random adapters (never zeros). Its
 * floor is the time that the device would need if it did nothing but move the bytes that must be
 * moved (at the bandwidth of a copy) or the multiplications that must be done (at the rate of a
 * dense product), whichever takes longer; both rates are measured on this device, in this process.
 * One thread.
 */
#ifndef LF_BENCH_BENCH_H
#define LF_BENCH_BENCH_H

#include "core/err.h"
#include "model/exec.h"
#include "tools/crew.h"

struct lf_floor {
    double bytes_per_second; /* the best of a copy and of y += x, reads and writes together */
    double flops_per_second; /* of a dense product in the device's act dtype; 2 a multiplication */
};

enum lf_err lf_floor_measure(struct lf_floor *out, struct lf_stream *s,
                             struct lf_diag *diag) LF_MUST_CHECK;

enum lf_bench_kind { LF_BENCH_DECODE, LF_BENCH_PREFILL, LF_BENCH_TRAIN, LF_BENCH_STEP };

struct lf_bench_case {
    enum lf_bench_kind kind;
    int seqs;     /* sequences of a batch */
    int tokens;   /* prefill, train, step: of each; decode: tokens in its cache before */
    int prompt;   /* decode: tokens of a new prompt beside each step; 0: none */
    int adapters; /* sequences take them in turn; 0: the bare base */
    struct lf_lora_settings lora;
    enum lf_recompute recompute; /* train, step */
    int warmup, iters;           /* batches: decoded tokens a sequence, prefills, micro-batches */
};

struct lf_bench_result {
    double seconds;           /* a batch, the median of iters */
    double tokens_per_second; /* decode: not the prompts' */
    double floor_seconds;
    bool memory_bound; /* the floor is bytes, not multiplications */
    bool recomputed;
    size_t memory_bytes; /* on the device for this case, weights included */
    size_t host_bytes;   /* of pinned memory, where activations wait for backward */
    double loss;         /* step: of the last one */
};

/* c: an open model without slots (made and freed here). A train case is forward and backward of a
 * micro-batch; the optimizer's step, once an accumulation, is not in it. */
enum lf_err lf_bench_run(struct lf_bench_result *out, struct lf_offline *c,
                         const struct lf_bench_case *b, const struct lf_floor *floor,
                         struct lf_diag *diag) LF_MUST_CHECK;

/* Whole optimizer steps of one job, by the trainer, on all of the crew's devices. The result has no
 * floor; its memory is that of the first device. */
enum lf_err lf_bench_step(struct lf_bench_result *out, struct lf_crew *crew,
                          const struct lf_bench_case *b, struct lf_diag *diag) LF_MUST_CHECK;

/* A tokenizer on a file of text, cut at line ends into texts of a kilobyte or more. Seconds are of
 * the thread's processor time. */
struct lf_bench_tokens {
    size_t texts, bytes, tokens;
    double first_seconds;  /* all texts for the first time: no word was seen before */
    double encode_seconds; /* again, the median of iters */
    double decode_seconds; /* all ids to text at once, the median of iters */
};

/* Of n figures, which it sorts. */
double lf_bench_median(double *v, int n);
/* base: a directory with a tokenizer. */
enum lf_err lf_bench_tokenize(struct lf_bench_tokens *out, const char *base, const char *path,
                              int iters, struct lf_diag *diag) LF_MUST_CHECK;

#endif
