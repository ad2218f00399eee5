/* Models of random weights: the shapes and the memory of real ones, for benchmarks, and without
 * values on devices that are on paper, for plans. */
#include "model/memory.h"
#include "model/model.h"

#include "core/file.h"
#include "core/pool.h"
#include "core/rng.h"
#include "gpu/nf4.h"
#include "model/bnb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_SPREAD 0.035f /* uniform in +-; a standard deviation of 0.02 */
#define FILL_GRAIN 4096      /* draws of sixteen bytes */

struct gen {
    struct lf_model *m;
    struct lf_stream *s;
    struct lf_pool *pool;
    uint64_t seed, stream; /* each array draws from its own stream of numbers */
    uint16_t values[256];  /* bf16 weights by random byte */
    uint8_t *bytes;        /* (cap) scratch */
    uint16_t *halves;      /* (cap) */
    float *floats;         /* as many as a matrix has blocks of blocks, or a vector elements */
    size_t cap;
};

struct fill {
    uint64_t seed, stream;
    uint8_t *out;
    size_t n;
};

static void fill_part(void *arg, size_t begin, size_t end, int worker)
{
    const struct fill *f = arg;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        struct lf_u32x4 r = lf_rng4(f->seed, i, f->stream);
        memcpy(f->out + 16 * i, r.v, f->n - 16 * i < 16 ? f->n - 16 * i : 16);
    }
}

static void fill_bytes(struct gen *g, uint8_t *out, size_t n)
{
    struct fill f = {g->seed, g->stream++, out, n};
    if (g->s->dev->paper)
        return;
    lf_pool_run(g->pool, (n + 15) / 16, FILL_GRAIN, fill_part, &f);
}

static enum lf_err gen_plain(struct gen *g, struct lf_weight *w, struct lf_diag *diag)
{
    size_t n = (size_t)w->N * (size_t)w->K;
    fill_bytes(g, g->bytes, n);
    for (size_t i = 0; i < n && !g->s->dev->paper; i++)
        g->halves[i] = g->values[g->bytes[i]];
    w->kind = LF_WEIGHT_BF16;
    w->data = g->halves;
    return lf_model_place(g->m, g->s, w, false, diag);
}

/* Codes and scales straight from random bytes: nothing is quantised. */
static enum lf_err gen_nf4(struct gen *g, struct lf_weight *w, struct lf_diag *diag)
{
    w->kind = LF_WEIGHT_Q4;
    w->block = LF_NF4_BLOCK;
    w->block2 = LF_NF4_BLOCK2;
    w->code = lf_nf4_code;
    w->absmax_code = lf_dynamic_map;
    w->offset = WEIGHT_SPREAD;
    size_t n = (size_t)w->N * (size_t)w->K, blocks = lf_bnb_blocks(w), blocks2 = lf_bnb_blocks2(w);
    fill_bytes(g, g->bytes, n / 2);
    fill_bytes(g, g->bytes + n / 2, blocks);
    for (size_t i = 0; i < blocks2; i++)
        g->floats[i] = WEIGHT_SPREAD / 4;
    w->data = g->bytes;
    w->absmax_q = g->bytes + n / 2;
    w->absmax2 = g->floats;
    return lf_model_place(g->m, g->s, w, false, diag);
}

static enum lf_err gen_constant(struct gen *g, const float **out, int n, float value,
                                struct lf_diag *diag)
{
    for (int i = 0; i < n; i++)
        g->floats[i] = value;
    return lf_model_place_floats(g->m, g->s, out, g->floats, (size_t)n, diag);
}

static enum lf_err gen_norm(struct gen *g, const float **w, const float **b, const char *name,
                            int n, struct lf_diag *diag)
{
    enum lf_err rc = name ? gen_constant(g, w, n, 1, diag) : LF_OK;
    if (rc == LF_OK && name && g->m->config.layer_norm)
        rc = gen_constant(g, b, n, 0, diag);
    return rc;
}

static enum lf_err gen_layer(struct gen *g, struct lf_layer *y, enum lf_quant quant,
                             struct lf_diag *diag)
{
    const struct lf_config *c = &g->m->config;
    enum lf_err rc = gen_norm(g, &y->attn_norm, &y->attn_norm_b, c->norms.attn, c->C, diag);
    rc = rc ?: gen_norm(g, &y->mlp_norm, &y->mlp_norm_b, c->norms.mlp, c->C, diag);
    rc = rc ?: gen_norm(g, &y->post_attn_norm, NULL, c->norms.post_attn, c->C, diag);
    rc = rc ?: gen_norm(g, &y->post_mlp_norm, NULL, c->norms.post_mlp, c->C, diag);
    rc = rc ?: gen_norm(g, &y->q_norm, NULL, c->norms.q, lf_config_qk_norm_n(c, false), diag);
    rc = rc ?: gen_norm(g, &y->k_norm, NULL, c->norms.k, lf_config_qk_norm_n(c, true), diag);
    for (int p = 0; p < c->n_proj && rc == LF_OK; p++) {
        struct lf_weight *w = &y->w[p];
        *w = (struct lf_weight){.N = c->proj[p].N, .K = c->proj[p].K};
        rc = quant == LF_QUANT_NF4 ? gen_nf4(g, w, diag) : gen_plain(g, w, diag);
        if (rc == LF_OK && c->proj[p].bias)
            rc = gen_constant(g, &w->bias, w->N, 0, diag);
    }
    return rc;
}

static enum lf_err gen_model(struct gen *g, enum lf_quant quant, struct lf_diag *diag)
{
    struct lf_model *m = g->m;
    const struct lf_config *c = &m->config;
    m->embed = (struct lf_weight){.N = c->V, .K = c->C};
    enum lf_err rc = gen_plain(g, &m->embed, diag);
    m->head = m->embed;
    if (rc == LF_OK && !c->tied_head) {
        m->head = (struct lf_weight){.N = c->V, .K = c->C};
        rc = gen_plain(g, &m->head, diag);
    }
    if (rc == LF_OK && c->head_bias)
        rc = gen_constant(g, &m->head.bias, c->V, 0, diag);
    rc = rc ?: gen_norm(g, &m->final_norm, &m->final_norm_b, c->norms.final, c->C, diag);
    for (int l = 0; l < c->L && rc == LF_OK; l++)
        rc = gen_layer(g, &m->layers[l], quant, diag);
    rc = rc ?: lf_model_place_ropes(m, g->s, diag);
    return rc ?: lf_stream_wait(g->s, diag);
}

static enum lf_err gen_open(struct gen *g, struct lf_diag *diag)
{
    const struct lf_config *c = &g->m->config;
    size_t widest = (size_t)(c->V > c->C ? c->V : c->C);
    g->cap = (size_t)c->V * (size_t)c->C;
    for (int p = 0; p < c->n_proj; p++) {
        size_t n = (size_t)c->proj[p].N * (size_t)c->proj[p].K;
        g->cap = n > g->cap ? n : g->cap;
        widest = (size_t)c->proj[p].N > widest ? (size_t)c->proj[p].N : widest;
    }
    enum lf_err rc = lf_pool_new(&g->pool, 0, diag);
    if (rc != LF_OK)
        return rc;
    size_t blocks2 = g->cap / (LF_NF4_BLOCK * LF_NF4_BLOCK2) + 1;
    g->bytes = malloc(g->cap + 16);
    g->halves = malloc(g->cap * sizeof *g->halves);
    g->floats = malloc((blocks2 > widest ? blocks2 : widest) * sizeof *g->floats);
    if (!g->bytes || !g->halves || !g->floats)
        return lf_no_memory(diag, "random weights");
    for (int i = 0; i < 256; i++)
        g->values[i] = lf_f32_to_bf16(WEIGHT_SPREAD * ((float)i - 127.5f) / 127.5f);
    return LF_OK;
}

enum lf_err lf_model_random(struct lf_model **out, struct lf_stream *stream,
                            const struct lf_config *config, enum lf_quant quant, uint64_t seed,
                            struct lf_diag *diag)
{
    struct gen g = {.s = stream, .seed = seed};
    enum lf_err rc = lf_model_new(&g.m, stream->dev, config, config->model_type, diag);
    if (rc != LF_OK)
        return rc;
    char what[128];
    snprintf(what, sizeof what, "random %s %d %d %d %d %llu", config->model_type, config->L,
             config->C, config->V, (int)quant, (unsigned long long)seed);
    lf_sha256_hex(g.m->digest, what, strlen(what));
    lf_fail(&g.m->chat_reason, LF_E_NOT_FOUND, "a model of random weights has no chat template");
    rc = gen_open(&g, diag) ?: gen_model(&g, quant, diag);
    lf_pool_free(g.pool);
    free(g.bytes);
    free(g.halves);
    free(g.floats);
    if (rc == LF_OK)
        *out = g.m;
    else
        lf_model_free(g.m);
    return rc;
}
