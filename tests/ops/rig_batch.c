/* The rig's weights and ragged batches. */
#include "tests/ops/rig.h"

#include "gpu/nf4.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void set_both(const void **ref, const void **dut, const struct mirror *m)
{
    *ref = rig_at(m, RIG_REF);
    *dut = rig_at(m, RIG_DUT);
}

#define SET(pair, field, mirror_)        \
    do {                                 \
        const void *ref_, *dut_;         \
        set_both(&ref_, &dut_, mirror_); \
        (pair)[0].field = ref_;          \
        (pair)[1].field = dut_;          \
    } while (0)

/* ---- Weights ---- */

static struct mirror *dense(struct rig *r, const struct rig_weight_shape *s)
{
    size_t n = (size_t)s->N * (size_t)s->K;
    double scale = 1 / sqrt(s->K);
    if (s->kind == LF_WEIGHT_F32)
        return rig_f32(r, "w", n, scale);
    uint16_t *bits = rig_host(r, n, sizeof *bits);
    for (size_t i = 0; i < n; i++)
        bits[i] = lf_f32_to_bf16((float)(scale * rig_normal(r)));
    struct mirror *m = rig_bytes(r, "w", LF_BF16, bits, bits, n);
    return m;
}

static struct mirror *random_bytes(struct rig *r, const char *name, size_t n)
{
    uint8_t *bytes = rig_host(r, n, 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(rig_u32(r) >> 24);
    struct mirror *m = rig_bytes(r, name, LF_U8, bytes, bytes, n);
    return m;
}

static struct mirror *positive(struct rig *r, const char *name, size_t n, double scale)
{
    float *x = rig_host(r, n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(scale * (0.5 + rig_unit(r)));
    struct mirror *m = rig_bytes(r, name, LF_F32, x, x, n);
    return m;
}

static void quantized(struct rig *r, struct lf_weight *pair, const struct rig_weight_shape *s)
{
    size_t n = (size_t)s->N * (size_t)s->K;
    size_t blocks = (n + (size_t)s->block - 1) / (size_t)s->block;
    size_t blocks2 = (blocks + LF_NF4_BLOCK2 - 1) / LF_NF4_BLOCK2;
    double scale = 2 / sqrt(s->K);
    SET(pair, data, random_bytes(r, "codes", n / 2));
    SET(pair, code, rig_bytes(r, "code", LF_F32, lf_nf4_code, lf_nf4_code, 16));
    if (s->nested) {
        SET(pair, absmax_q, random_bytes(r, "absmax_q", blocks));
        SET(pair, absmax_code,
            rig_bytes(r, "absmax_code", LF_F32, lf_dynamic_map, lf_dynamic_map, 256));
        SET(pair, absmax2, positive(r, "absmax2", blocks2, scale / 2));
    } else {
        SET(pair, absmax, positive(r, "absmax", blocks, scale));
    }
    for (int side = 0; side < 2; side++) {
        pair[side].block = s->block;
        pair[side].block2 = LF_NF4_BLOCK2;
        pair[side].offset = s->nested ? (float)scale : 0;
    }
}

struct lf_weight *rig_weight(struct rig *r, const struct rig_weight_shape *s)
{
    assert_true(r->n_weights < RIG_CASE_MAX);
    struct lf_weight *pair = rig_host(r, 2, sizeof *pair);
    r->weights[r->n_weights++] = pair;
    pair[0] = pair[1] = (struct lf_weight){.kind = s->kind, .N = s->N, .K = s->K};
    int first = r->n_mirrors;
    if (s->kind == LF_WEIGHT_Q4)
        quantized(r, pair, s);
    else
        SET(pair, data, dense(r, s));
    if (s->bias)
        SET(pair, bias, rig_f32(r, "bias", (size_t)s->N, 1));
    for (int side = 0; side < 2; side++) {
        struct lf_diag diag = {{0}};
        const struct lf_ops *ops = r->dev[side]->ops;
        if (ops->prepare_weight && ops->prepare_weight(r->stream[side], &pair[side], &diag))
            fail_msg("%s", diag.text);
    }
    for (int i = first; i < r->n_mirrors; i++)
        r->mirrors[i].taken = pair[RIG_DUT].prepared != NULL;
    return pair;
}

/* ---- The ragged batch ---- */

static int pages_of(const struct rig_seq *s)
{
    return s->cached ? (s->past + s->n + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS : 0;
}

/* Page lists in random order, with pages of nobody between them. */
static struct mirror *make_pages(struct rig *r, struct rig_batch *b, const struct rig_seq *seqs,
                                 int S)
{
    int used = 0;
    for (int i = 0; i < S; i++)
        used += pages_of(&seqs[i]);
    b->n_pages = used + 3;
    int32_t *pages = rig_host(r, (size_t)b->n_pages, sizeof *pages);
    for (int i = 0; i < b->n_pages; i++)
        pages[i] = i;
    for (int i = b->n_pages - 1; i > 0; i--) {
        int j = rig_int(r, 0, i);
        int32_t swapped = pages[i];
        pages[i] = pages[j];
        pages[j] = swapped;
    }
    struct mirror *m = rig_bytes(r, "pages", LF_I32, pages, pages, (size_t)used);
    return m;
}

static int make_segs(struct rig_batch *b, const struct rig_seq *seqs, int S)
{
    int n = 0;
    for (int i = 0; i < S; i++) {
        const struct lf_seq *seq = &b->h_seqs[i];
        struct lf_lora_seg *last = n ? &b->h_segs[n - 1] : NULL;
        if (seq->slot < 0)
            continue;
        if (last && last->end == seq->start && last->slot == seq->slot)
            last->end += seq->n;
        else
            b->h_segs[n++] =
                (struct lf_lora_seg){seq->start, seq->start + seq->n, seq->slot, seqs[i].trains};
    }
    return n;
}

static void make_rows(struct rig *r, struct rig_batch *b, int T, int S)
{
    int32_t *pos = rig_host(r, (size_t)T, sizeof *pos), *seq = rig_host(r, (size_t)T, sizeof *seq);
    for (int i = 0; i < S; i++)
        for (int j = 0; j < b->h_seqs[i].n; j++) {
            pos[b->h_seqs[i].start + j] = b->h_seqs[i].past + j;
            seq[b->h_seqs[i].start + j] = i;
        }
    SET(b->side, pos, rig_bytes(r, "pos", LF_I32, pos, pos, (size_t)T));
    SET(b->side, seq, rig_bytes(r, "seq", LF_I32, seq, seq, (size_t)T));
}

void rig_batch(struct rig *r, struct rig_batch *out, const struct rig_seq *seqs, int S,
               int rank_max)
{
    struct lf_ragged all = {.S = S, .rank_max = rank_max};
    *out = (struct rig_batch){0};
    out->h_seqs = rig_host(r, (size_t)S, sizeof *out->h_seqs);
    out->h_segs = rig_host(r, (size_t)S, sizeof *out->h_segs);
    struct mirror *pages = make_pages(r, out, seqs, S);
    int page_off = 0;
    for (int i = 0; i < S; i++) {
        const struct rig_seq *q = &seqs[i];
        out->h_seqs[i] = (struct lf_seq){.start = all.T,
                                         .n = q->n,
                                         .past = q->past,
                                         .slot = q->slot,
                                         .page_off = q->cached ? page_off : -1,
                                         .drop_p = q->drop_p,
                                         .noise = q->noise,
                                         .drop_key = (uint64_t)rig_u32(r) << 32 | rig_u32(r)};
        page_off += pages_of(q);
        all.T += q->n;
        all.n_max = q->n > all.n_max ? q->n : all.n_max;
        all.kv_max = q->past + q->n > all.kv_max ? q->past + q->n : all.kv_max;
        all.n_cached += q->cached;
        all.T_cached += q->cached ? q->n : 0;
    }
    all.n_segs = make_segs(out, seqs, S);
    all.h_seqs = out->h_seqs;
    all.h_segs = out->h_segs;
    out->side[0] = out->side[1] = all;
    make_rows(r, out, all.T, S);
    SET(out->side, pages, pages);
    SET(out->side, seqs,
        rig_bytes(r, "seqs", LF_U8, out->h_seqs, out->h_seqs, (size_t)S * sizeof *out->h_seqs));
    SET(out->side, segs,
        rig_bytes(r, "segs", LF_U8, out->h_segs, out->h_segs,
                  (size_t)all.n_segs * sizeof *out->h_segs));
}
