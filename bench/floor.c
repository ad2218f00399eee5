/* What a device can do at best: bandwidth by copying, multiplications by a dense product. */
#include "bench/bench.h"

#include "core/clock.h"
#include "core/rng.h"

#include <stdlib.h>

#define HOST_BYTES ((size_t)256 << 20) /* of a buffer: well past every cache */
#define CARD_BYTES ((size_t)1 << 30)
#define HOST_SIDE 2048 /* of the square product */
#define CARD_SIDE 8192
#define REPEATS 7 /* the best counts */

struct probe {
    struct lf_stream *s;
    void *x, *y;
    size_t bytes; /* of each */
    int side;
    struct lf_weight w;
};

typedef void (*probe_fn)(struct probe *p);

static void run_copy(struct probe *p)
{
    lf_stream_copy(p->s, p->y, p->x, p->bytes);
}

static void run_add(struct probe *p)
{
    size_t n = p->bytes / lf_dtype_bytes(p->s->dev->act);
    p->s->ops->add(p->s, &(struct lf_add_args){.y = p->y, .x = p->x, .n = n});
}

static void run_product(struct probe *p)
{
    p->s->ops->linear(p->s, &(struct lf_linear_args){.y = p->y,
                                                     .x = p->x,
                                                     .w = {&p->w},
                                                     .n = 1,
                                                     .T = p->side,
                                                     .ldy = p->side,
                                                     .ldx = p->side});
}

/* Seconds of the fastest run. */
static enum lf_err best_of(double *out, probe_fn run, struct probe *p, struct lf_diag *diag)
{
    double best = 1e30;
    for (int i = 0; i < REPEATS; i++) {
        uint64_t start = lf_clock_ns();
        run(p);
        enum lf_err rc = lf_stream_wait(p->s, diag);
        if (rc != LF_OK)
            return rc;
        double seconds = (double)(lf_clock_ns() - start) * 1e-9;
        best = seconds < best ? seconds : best;
    }
    *out = best;
    return LF_OK;
}

/* The same random run of act values, repeated over the buffer. */
static enum lf_err fill(struct probe *p, void *to, struct lf_diag *diag)
{
    enum { N = 1 << 20 };
    size_t es = lf_dtype_bytes(p->s->dev->act);
    float *x = malloc(N * sizeof *x);
    char *piece = malloc(N * es);
    if (!x || !piece) {
        free(x);
        free(piece);
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    }
    for (int i = 0; i < N; i++)
        x[i] = lf_rng_unit(lf_rng_u32(1, (uint64_t)i, 7)) - 0.5f;
    lf_from_f32(piece, p->s->dev->act, x, N);
    for (size_t at = 0; at < p->bytes; at += N * es) {
        size_t left = p->bytes - at;
        lf_stream_upload(p->s, (char *)to + at, piece, left < N * es ? left : N * es);
    }
    enum lf_err rc = lf_stream_wait(p->s, diag);
    free(x);
    free(piece);
    return rc;
}

static enum lf_err measure(struct lf_floor *out, struct probe *p, struct lf_diag *diag)
{
    struct lf_device *dev = p->s->dev;
    double copy = 0, add = 0, product = 0, n = p->side;
    enum lf_err rc = fill(p, p->x, diag) ?: fill(p, p->y, diag);
    rc = rc ?: best_of(&copy, run_copy, p, diag);
    rc = rc ?: best_of(&add, run_add, p, diag);
    if (rc == LF_OK && p->s->ops->prepare_weight)
        rc = p->s->ops->prepare_weight(p->s, &p->w, diag);
    if (rc == LF_OK)
        rc = lf_stream_reserve(
            p->s, p->s->ops->linear_scratch_bytes(dev, p->side, p->side, p->side), diag);
    rc = rc ?: best_of(&product, run_product, p, diag);
    if (p->s->ops->release_weight)
        p->s->ops->release_weight(dev, &p->w);
    if (rc != LF_OK)
        return rc;
    double by_copy = 2.0 * (double)p->bytes / copy, by_add = 3.0 * (double)p->bytes / add;
    out->bytes_per_second = by_copy > by_add ? by_copy : by_add;
    out->flops_per_second = 2 * n * n * n / product;
    return LF_OK;
}

enum lf_err lf_floor_measure(struct lf_floor *out, struct lf_stream *s, struct lf_diag *diag)
{
    bool card = !lf_device_on_host(s->dev);
    struct probe p = {
        .s = s, .bytes = card ? CARD_BYTES : HOST_BYTES, .side = card ? CARD_SIDE : HOST_SIDE};
    size_t w_bytes = (size_t)p.side * (size_t)p.side * lf_dtype_bytes(s->dev->act);
    void *w = NULL;
    enum lf_err rc = lf_device_alloc(s->dev, &p.x, p.bytes, diag);
    rc = rc ?: lf_device_alloc(s->dev, &p.y, p.bytes, diag);
    rc = rc ?: lf_device_alloc(s->dev, &w, w_bytes, diag);
    if (rc == LF_OK) {
        struct probe weight = p;
        weight.bytes = w_bytes;
        rc = fill(&weight, w, diag);
    }
    p.w = (struct lf_weight){.kind = s->dev->act == LF_F32 ? LF_WEIGHT_F32 : LF_WEIGHT_BF16,
                             .N = p.side,
                             .K = p.side,
                             .data = w};
    rc = rc ?: measure(out, &p, diag);
    lf_device_release(s->dev, w);
    lf_device_release(s->dev, p.y);
    lf_device_release(s->dev, p.x);
    return rc;
}
