/* The rig: runs an operation on the ref device (its definition) and on a device under test with
 * the same inputs, and compares what they wrote.
 *
 * A case is: rig_begin (which ends the case before); mirrors (arrays that exist on both sides) for
 * its inputs and outputs; rig_run with a function that launches the operation on one side. Inputs
 * in the act dtype are rounded to that of the device under test first, so that both sides see the
 * same values. Before every run outputs are filled with a poison and surrounded by guards. rig_run
 * fails the test when
 *   an output differs by more than its limits, or is NaN where the definition's is not;
 *   an element that the definition leaves alone was written (unless the output is loose);
 *   a guard or an input was touched;
 *   a second run gives other bytes.
 * Inputs are fresh random numbers; the seed is printed, and LF_TEST_SEED repeats a run.
 */
#ifndef LF_TESTS_OPS_RIG_H
#define LF_TESTS_OPS_RIG_H

#include "gpu/device.h"
#include "gpu/ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define RIG_MIRRORS_MAX 256
#define RIG_CASE_MAX 128 /* weights, and pieces of host memory, of one case */

enum rig_side { RIG_REF, RIG_DUT };

/* nmse: sum of squared differences over sum of squares. max: the largest |difference|, as a
 * multiple of |definition| + rms(definition). */
struct rig_limit {
    double nmse, max;
};

/* What one rounding to bf16 may do where a few elements are all: half a unit in the last place is
 * up to 2^-8 of a value. */
#define RIG_BF16_ROUNDING 1.6e-5

/* By the act dtype of the device under test. */
struct rig_limits {
    struct rig_limit f32, bf16;
};

/* One array, the same on both sides. */
struct mirror {
    const char *name;
    enum lf_dtype dtype[2];
    size_t n;
    void *init[2]; /* host: what is uploaded before a run */
    void *base[2]; /* device: a guard, the data, a guard */
    void *got[2];  /* host: what the last run left */
    double floor;  /* output: the least rms that errors are measured by; for sums that cancel */
    bool output;
    bool loose;   /* output: elements that the definition leaves alone may be written */
    bool scratch; /* output: not compared */
    bool taken;   /* input that prepare_weight made the backend's own: it may have changed */
    struct rig_limits limits;
};

struct rig {
    struct lf_device *dev[2];
    struct lf_stream *stream[2];
    enum lf_dtype act; /* of the device under test */
    uint64_t seed, draws;
    char label[256];
    struct mirror mirrors[RIG_MIRRORS_MAX];
    int n_mirrors;
    struct lf_weight *weights[RIG_CASE_MAX]; /* pairs, host */
    int n_weights;
    void *owned[RIG_CASE_MAX]; /* host memory of the case */
    int n_owned;
};

/* A program's main: argv[1] names the device: "cpu" (when absent), "cuda", or "cpu-SET", the cpu
 * with the kernels of one instruction set (lf_cpu_use). argv[2]: only the tests whose names match
 * this pattern ("*" and "?"). Answers 77 where the machine or the build has no such device. */
int rig_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n_tests);
/* Only the definition, for finite differences. */
int rig_main_ref(const struct CMUnitTest *tests, size_t n_tests);

void rig_begin(struct rig *r, const char *fmt, ...) LF_PRINTF(2, 3);
/* Zeroed host memory that lives as long as the case. */
void *rig_host(struct rig *r, size_t n, size_t size);

/* Random numbers of this run. */
uint32_t rig_u32(struct rig *r);
double rig_unit(struct rig *r);
double rig_normal(struct rig *r);
int rig_int(struct rig *r, int low, int high); /* [low, high] */

/* Inputs. Normal numbers times scale, in the act dtype or fp32. */
struct mirror *rig_act(struct rig *r, const char *name, size_t n, double scale);
struct mirror *rig_f32(struct rig *r, const char *name, size_t n, double scale);
/* Given numbers, in the act dtype. */
struct mirror *rig_act_of(struct rig *r, const char *name, const float *x, size_t n);
/* Given bytes; those of the sides may differ (tables of device pointers). */
struct mirror *rig_bytes(struct rig *r, const char *name, enum lf_dtype t, const void *ref,
                         const void *dut, size_t n);
/* Outputs: poisoned before each run, or starting from random values. */
struct mirror *rig_out_act(struct rig *r, const char *name, size_t n, struct rig_limits limits);
struct mirror *rig_out(struct rig *r, const char *name, enum lf_dtype t, size_t n,
                       struct rig_limits limits);
struct mirror *rig_inout_act(struct rig *r, const char *name, size_t n, double scale,
                             struct rig_limits limits);
struct mirror *rig_inout_f32(struct rig *r, const char *name, size_t n, double scale,
                             struct rig_limits limits);
/* The device pointer of a mirror; NULL for a NULL mirror. */
void *rig_at(const struct mirror *m, enum rig_side side);
/* The bytes that a mirror of this name starts from, on the ref side. */
const void *rig_init_of(const struct rig *r, const char *name);
/* Element i of what the last run left, as a number. */
double rig_got(const struct mirror *m, enum rig_side side, size_t i);

typedef void (*rig_launch)(struct rig *r, enum rig_side side, void *arg);
void rig_run(struct rig *r, rig_launch launch, void *arg);
/* One side only, without comparison: for finite differences and benchmarks. */
void rig_run_side(struct rig *r, enum rig_side side, rig_launch launch, void *arg);

/* ---- Weights ---- */

struct rig_weight_shape {
    enum lf_weight_kind kind;
    int N, K;
    bool bias;
    bool nested; /* Q4: doubly quantised scales */
    int block;   /* Q4 */
};

/* Random; pair[0] and pair[1] are the weight on the two sides. */
struct lf_weight *rig_weight(struct rig *r, const struct rig_weight_shape *shape);

/* ---- The ragged batch ---- */

struct rig_seq {
    int n, past, slot;
    bool cached, trains;
    float drop_p, noise;
};

struct rig_batch {
    struct lf_ragged side[2];
    int n_pages;           /* pages that the cache must have */
    struct lf_seq *h_seqs; /* of the ref side; the other differs in nothing */
    struct lf_lora_seg *h_segs;
};

/* Cached sequences first. */
void rig_batch(struct rig *r, struct rig_batch *out, const struct rig_seq *seqs, int S,
               int rank_max);

#endif
