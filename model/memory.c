/* A model's memory: where weights live on a device, and how they get there. */
#include "model/memory.h"

#include "model/bnb.h"
#include "model/rope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_ALIGN ((size_t)256)

enum lf_err lf_model_new(struct lf_model **out, struct lf_device *dev,
                         const struct lf_config *config, const char *name, struct lf_diag *diag)
{
    struct lf_model *m = calloc(1, sizeof *m);
    if (!m)
        return lf_no_memory(diag, "a model");
    m->dev = dev;
    m->config = *config;
    m->rope_positions = config->positions_max;
    snprintf(m->name, sizeof m->name, "%s", name);
    m->layers = calloc((size_t)config->L, sizeof *m->layers);
    m->memory = calloc(1, sizeof *m->memory);
    if (!m->layers || !m->memory) {
        lf_model_free(m);
        return lf_no_memory(diag, "a model");
    }
    *out = m;
    return LF_OK;
}

static void release_weight(struct lf_model *m, struct lf_weight *w)
{
    if (w->prepared)
        m->dev->ops->release_weight(m->dev, w);
}

void lf_model_free(struct lf_model *m)
{
    if (!m)
        return;
    for (int l = 0; m->layers && l < m->config.L; l++)
        for (int p = 0; p < m->config.n_proj; p++)
            release_weight(m, &m->layers[l].w[p]);
    if (m->head.prepared != m->embed.prepared)
        release_weight(m, &m->head);
    release_weight(m, &m->embed);
    if (m->memory) {
        for (size_t i = 0; i < m->memory->n; i++)
            lf_device_release(m->dev, m->memory->p[i]);
        lf_tensors_free(m->memory->checkpoint);
        lf_tensors_free(m->memory->cache);
        free(m->memory->p);
    }
    if (!m->tokenizer_borrowed)
        lf_tokenizer_free(m->tokenizer);
    lf_chat_free(m->chat);
    free(m->memory);
    free(m->layers);
    free(m->dir);
    free(m);
}

enum lf_err lf_model_alloc(struct lf_model *m, void **out, size_t bytes, struct lf_diag *diag)
{
    struct lf_model_memory *mem = m->memory;
    if (mem->n == mem->cap) {
        size_t cap = mem->cap ? 2 * mem->cap : 64;
        void **grown = realloc(mem->p, cap * sizeof *grown);
        if (!grown)
            return lf_no_memory(diag, "a model");
        mem->p = grown;
        mem->cap = cap;
    }
    enum lf_err rc = lf_device_alloc(m->dev, out, bytes, diag);
    if (rc == LF_OK) {
        mem->p[mem->n++] = *out;
        m->weight_bytes += bytes;
    }
    return rc;
}

/* One array of a weight on its way. */
struct weight_array {
    void *slot; /* address of the pointer to set */
    const void *host;
    size_t bytes, align;
    size_t offset; /* in the common allocation */
    bool in_place;
};

static size_t pieces_of(struct weight_array p[6], struct lf_weight *w)
{
    size_t count = (size_t)w->N * (size_t)w->K, n = 0;
    if (w->kind != LF_WEIGHT_Q4) {
        size_t es = w->kind == LF_WEIGHT_F32 ? 4 : 2;
        p[n++] = (struct weight_array){
            .slot = &w->data, .host = w->data, .bytes = count * es, .align = es};
        return n;
    }
    size_t blocks = lf_bnb_blocks(w);
    p[n++] =
        (struct weight_array){.slot = &w->data, .host = w->data, .bytes = count / 2, .align = 1};
    p[n++] = (struct weight_array){.slot = &w->code, .host = w->code, .bytes = 64, .align = 4};
    if (w->absmax) {
        p[n++] = (struct weight_array){
            .slot = &w->absmax, .host = w->absmax, .bytes = blocks * 4, .align = 4};
        return n;
    }
    p[n++] = (struct weight_array){
        .slot = &w->absmax_q, .host = w->absmax_q, .bytes = blocks, .align = 1};
    p[n++] = (struct weight_array){
        .slot = &w->absmax_code, .host = w->absmax_code, .bytes = 1024, .align = 4};
    p[n++] = (struct weight_array){
        .slot = &w->absmax2, .host = w->absmax2, .bytes = lf_bnb_blocks2(w) * 4, .align = 4};
    return n;
}

enum lf_err lf_model_place(struct lf_model *m, struct lf_stream *s, struct lf_weight *w,
                           bool lasting, struct lf_diag *diag)
{
    struct weight_array p[6];
    size_t n = pieces_of(p, w), total = 0, mapped = m->mapped_bytes;
    void *base = NULL;
    bool here = lasting && lf_device_on_host(m->dev);
    for (size_t i = 0; i < n; i++) {
        p[i].in_place = here && (uintptr_t)p[i].host % p[i].align == 0;
        p[i].offset = total;
        if (!p[i].in_place)
            total += (p[i].bytes + DEVICE_ALIGN - 1) / DEVICE_ALIGN * DEVICE_ALIGN;
        else
            m->mapped_bytes += p[i].bytes;
    }
    m->weight_bytes += m->mapped_bytes - mapped;
    enum lf_err rc = total > 0 ? lf_model_alloc(m, &base, total, diag) : LF_OK;
    if (rc != LF_OK)
        return rc;
    for (size_t i = 0; i < n; i++) {
        const void *at = p[i].in_place ? p[i].host : (char *)base + p[i].offset;
        if (!p[i].in_place)
            lf_stream_upload(s, (char *)base + p[i].offset, p[i].host, p[i].bytes);
        memcpy(p[i].slot, &at, sizeof at);
    }
    return s->ops->prepare_weight ? s->ops->prepare_weight(s, w, diag) : LF_OK;
}

enum lf_err lf_model_place_floats(struct lf_model *m, struct lf_stream *s, const float **out,
                                  const float *x, size_t n, struct lf_diag *diag)
{
    void *p;
    enum lf_err rc = lf_model_alloc(m, &p, n * sizeof *x, diag);
    if (rc != LF_OK)
        return rc;
    lf_stream_upload(s, p, x, n * sizeof *x);
    *out = p;
    return LF_OK;
}

enum lf_err lf_model_place_ropes(struct lf_model *m, struct lf_stream *s, struct lf_diag *diag)
{
    const struct lf_config *c = &m->config;
    size_t n = lf_rope_rows(c) * (size_t)(c->rot / 2);
    float *cos_ = malloc(n * sizeof *cos_), *sin_ = malloc(n * sizeof *sin_);
    enum lf_err rc = LF_OK;
    if (!cos_ || !sin_)
        rc = lf_no_memory(diag, "%d positions", c->positions_max);
    for (int i = 0; i < c->n_ropes && rc == LF_OK; i++) {
        if (!s->dev->paper)
            lf_rope_tables(cos_, sin_, c, &c->rope[i]);
        rc = lf_model_place_floats(m, s, &m->rope[i].cos_, cos_, n, diag);
        rc = rc ?: lf_model_place_floats(m, s, &m->rope[i].sin_, sin_, n, diag);
    }
    free(cos_);
    free(sin_);
    return rc;
}
