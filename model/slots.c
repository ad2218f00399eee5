/* Slots: adapters on a device, found by the operations through one table of sites. */
#include "model/adapter.h"

#include "model/moments.h"

#include <stdlib.h>

#define PIECE ((size_t)1 << 18) /* parameters that are narrowed at a time, in the host's cache */

enum lf_err lf_slots_new(struct lf_slots **out, struct lf_device *dev, const struct lf_config *c,
                         int n_slots, struct lf_diag *diag)
{
    if (n_slots < 1 || n_slots > LF_SLOTS_MAX)
        return lf_fail(diag, LF_E_INVALID, "%d adapter slots: between 1 and %d are possible",
                       n_slots, LF_SLOTS_MAX);
    struct lf_slots *s = calloc(1, sizeof *s);
    if (!s)
        return lf_no_memory(diag, "adapter slots");
    *s = (struct lf_slots){
        .dev = dev, .config = c, .n_slots = n_slots, .n_sites = lf_config_sites(c)};
    size_t n = (size_t)n_slots * (size_t)s->n_sites;
    void *sites = NULL;
    enum lf_err rc = lf_device_alloc(dev, &sites, n * sizeof *s->sites, diag);
    s->sites = sites;
    if (rc == LF_OK) {
        s->h_sites = calloc(n, sizeof *s->h_sites);
        s->slot = calloc((size_t)n_slots, sizeof *s->slot);
        if (!s->h_sites || !s->slot)
            rc = lf_no_memory(diag, "%d adapter slots", n_slots);
    }
    if (rc == LF_OK)
        *out = s;
    else
        lf_slots_free(s);
    return rc;
}

static void slot_clear(struct lf_slots *s, struct lf_slot *t)
{
    if (t->copy != t->master && !t->lent)
        lf_device_release(s->dev, t->copy);
    if (!t->lent)
        lf_device_release(s->dev, t->master);
    lf_device_release(s->dev, t->grad);
    lf_device_release(s->dev, t->norms);
    lf_device_release(s->dev, t->moments);
    lf_adapter_shape_free(&t->shape);
    *t = (struct lf_slot){0};
}

void lf_slots_free(struct lf_slots *s)
{
    if (!s)
        return;
    for (int i = 0; s->slot && i < s->n_slots; i++)
        slot_clear(s, &s->slot[i]);
    lf_device_release(s->dev, s->sites);
    free(s->h_sites);
    free(s->slot);
    free(s);
}

static enum lf_err alloc_floats(struct lf_slots *s, float **out, size_t n, bool paged,
                                struct lf_diag *diag)
{
    void *p = NULL;
    enum lf_err rc = paged ? lf_device_alloc_paged(s->dev, &p, n * sizeof(float), diag)
                           : lf_device_alloc(s->dev, &p, n * sizeof(float), diag);
    *out = p;
    return rc;
}

struct lf_slot_bytes lf_slot_bytes(const struct lf_adapter_shape *s, const struct lf_config *c,
                                   enum lf_dtype act, enum lf_slot_use use)
{
    size_t floats = s->n_params * sizeof(float), copy = s->n_params * lf_dtype_bytes(act);
    struct lf_slot_bytes b = {.device = copy};
    if (use != LF_SLOT_SERVES) {
        if (s->dora) /* norms; and what the forward reads is no master */
            b.device += 2 * lf_shape_outputs(s, c) * sizeof(float) + (act == LF_F32 ? floats : 0);
        /* the gradient; then the moments, and the master where the copy is not that */
        b.device += floats;
        b.paged = lf_moments_bytes(s, c, use == LF_SLOT_TRAINS_8BIT) + (act == LF_F32 ? 0 : floats);
    }
    return b;
}

static size_t slot_moments_bytes(const struct lf_slots *s, const struct lf_slot *t)
{
    return lf_moments_bytes(&t->shape, s->config, t->moments8);
}

/* Memory for one adapter. On fp32 devices the master is what the forward reads, unless it trains
 * with DoRA. What only the optimizer reads comes last, and need not find room on the device. */
static enum lf_err slot_alloc(struct lf_slots *s, struct lf_slot *t, struct lf_diag *diag)
{
    size_t n = t->shape.n_params;
    bool fp32 = s->dev->act == LF_F32, dora = t->trains && t->shape.dora;
    enum lf_err rc = LF_OK;
    if (fp32)
        rc = alloc_floats(s, &t->master, n, false, diag);
    if (rc == LF_OK && (!fp32 || dora))
        rc = lf_device_alloc(s->dev, &t->copy, n * lf_dtype_bytes(s->dev->act), diag);
    else
        t->copy = t->master;
    if (rc != LF_OK || !t->trains)
        return rc;
    if (dora) {
        size_t outputs = lf_shape_outputs(&t->shape, s->config);
        rc = alloc_floats(s, &t->norms, 2 * outputs, false, diag);
        t->row_sq = rc == LF_OK ? t->norms + outputs : NULL;
    }
    rc = rc ?: alloc_floats(s, &t->grad, n, false, diag);
    if (rc == LF_OK && !fp32)
        rc = alloc_floats(s, &t->master, n, true, diag);
    return rc ?: lf_device_alloc_paged(s->dev, &t->moments, slot_moments_bytes(s, t), diag);
}

static enum lf_err slot_upload(struct lf_slots *s, struct lf_stream *stream, struct lf_slot *t,
                               const float *params, struct lf_diag *diag)
{
    size_t n = t->shape.n_params;
    if (t->master)
        lf_stream_upload(stream, t->master, params, n * sizeof *params);
    if (t->copy != t->master) {
        size_t es = lf_dtype_bytes(s->dev->act);
        void *narrow = malloc(PIECE * es);
        if (!narrow)
            return lf_fail(diag, LF_E_NO_MEMORY, "no memory to upload an adapter");
        for (size_t at = 0; at < n; at += PIECE) {
            size_t piece = n - at < PIECE ? n - at : PIECE;
            lf_from_f32(narrow, s->dev->act, params + at, piece);
            lf_stream_upload(stream, (char *)t->copy + at * es, narrow, piece * es);
        }
        free(narrow);
    }
    if (t->trains) {
        lf_stream_zero(stream, t->grad, n * sizeof(float));
        lf_stream_zero(stream, t->moments, slot_moments_bytes(s, t));
    }
    return LF_OK;
}

/* The slot's row of the table of sites. */
static void slot_publish(struct lf_slots *s, struct lf_stream *stream, int slot)
{
    const struct lf_slot *t = &s->slot[slot];
    size_t first = (size_t)slot * (size_t)s->n_sites, es = lf_dtype_bytes(s->dev->act);
    for (int i = 0; i < s->n_sites; i++) {
        struct lf_lora_site *site = &s->h_sites[first + (size_t)i];
        *site = (struct lf_lora_site){0};
        if (!t->used || t->shape.rank[i] == 0)
            continue;
        site->a = (const char *)t->copy + t->shape.a_off[i] * es;
        site->b = (const char *)t->copy + t->shape.b_off[i] * es;
        site->da = t->trains ? t->grad + t->shape.a_off[i] : NULL;
        site->db = t->trains ? t->grad + t->shape.b_off[i] : NULL;
        site->dgain = t->trains && t->shape.dora ? t->grad + t->shape.m_off[i] : NULL;
        site->scale = t->shape.scale[i];
        site->rank = t->shape.rank[i];
        site->trained = t->shape.half_trains ? site->rank / 2 : site->rank;
        if (t->shape.dora)
            site->gain = (const char *)t->copy + t->shape.m_off[i] * es;
    }
    lf_stream_upload(stream, s->sites + first, s->h_sites + first,
                     (size_t)s->n_sites * sizeof *s->sites);
}

/* The first free slot, for an adapter of this shape. */
static enum lf_err slot_find(struct lf_slots *s, int *slot, const struct lf_adapter_shape *shape,
                             struct lf_diag *diag)
{
    int i = 0;
    lf_assert(shape->n_sites == s->n_sites);
    while (i < s->n_slots && s->slot[i].used)
        i++;
    if (i == s->n_slots)
        return lf_fail(diag, LF_E_DEVICE_FULL, "all %d adapter slots are taken", s->n_slots);
    enum lf_err rc = lf_adapter_shape_copy(&s->slot[i].shape, shape);
    if (rc != LF_OK)
        return lf_fail(diag, rc, "no memory for an adapter's shape");
    *slot = i;
    return LF_OK;
}

/* Such a slot, with memory. */
static enum lf_err slot_take(struct lf_slots *s, int *slot, const struct lf_adapter_shape *shape,
                             enum lf_slot_use use, struct lf_diag *diag)
{
    int i;
    enum lf_err rc = slot_find(s, &i, shape, diag);
    if (rc != LF_OK)
        return rc;
    s->slot[i].trains = use != LF_SLOT_SERVES;
    s->slot[i].moments8 = use == LF_SLOT_TRAINS_8BIT;
    rc = slot_alloc(s, &s->slot[i], diag);
    if (rc == LF_OK)
        *slot = i;
    else
        slot_clear(s, &s->slot[i]);
    return rc;
}

/* What a slot holds is on its way: operations find it from now on. */
static void slot_use(struct lf_slots *s, struct lf_stream *stream, int slot)
{
    struct lf_slot *t = &s->slot[slot];
    t->used = true;
    t->layer_first = s->config->L;
    for (int k = s->n_sites - 1; k >= 0; k--)
        if (t->shape.rank[k] > 0) {
            t->targets[k % s->config->n_proj] = true;
            t->layer_first = k / s->config->n_proj;
        }
    slot_publish(s, stream, slot);
}

enum lf_err lf_slots_load(struct lf_slots *s, struct lf_stream *stream, int *slot,
                          const struct lf_adapter *a, enum lf_slot_use use, struct lf_diag *diag)
{
    lf_assert(!a->shape.dora || (use == LF_SLOT_SERVES ? a->served : a->row_sq && !a->served));
    enum lf_err rc = slot_take(s, slot, &a->shape, use, diag);
    if (rc != LF_OK)
        return rc;
    rc = slot_upload(s, stream, &s->slot[*slot], a->params, diag);
    if (rc == LF_OK && s->slot[*slot].row_sq)
        lf_stream_upload(stream, s->slot[*slot].row_sq, a->row_sq,
                         lf_shape_outputs(&a->shape, s->config) * sizeof *a->row_sq);
    if (rc == LF_OK)
        slot_use(s, stream, *slot);
    else
        slot_clear(s, &s->slot[*slot]);
    return rc;
}

enum lf_err lf_slots_lend(struct lf_slots *s, struct lf_stream *stream, int *slot,
                          const struct lf_adapter_shape *shape, void *copy, struct lf_diag *diag)
{
    enum lf_err rc = slot_find(s, slot, shape, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_slot *t = &s->slot[*slot];
    t->lent = true;
    t->copy = copy;
    t->master = s->dev->act == LF_F32 ? copy : NULL;
    slot_use(s, stream, *slot);
    return LF_OK;
}

enum lf_err lf_slots_copy(struct lf_slots *s, struct lf_stream *stream, int *slot, int from,
                          struct lf_diag *diag)
{
    const struct lf_slot *t = &s->slot[from];
    lf_assert(t->used && !t->trains);
    enum lf_err rc = slot_take(s, slot, &t->shape, LF_SLOT_SERVES, diag);
    if (rc != LF_OK)
        return rc;
    lf_stream_copy(stream, s->slot[*slot].copy, t->copy,
                   t->shape.n_params * lf_dtype_bytes(s->dev->act));
    slot_use(s, stream, *slot);
    return LF_OK;
}

void lf_slots_unload(struct lf_slots *s, struct lf_stream *stream, int slot)
{
    lf_assert(slot >= 0 && slot < s->n_slots && s->slot[slot].used);
    /* Work that reads this adapter may still be on the stream. A lost device is reported by the
     * next wait of the stream's owner. */
    if (s->slot[slot].lent || lf_stream_wait(stream, NULL) == LF_OK) {
        struct lf_slot freed = s->slot[slot];
        s->slot[slot] = (struct lf_slot){0};
        slot_publish(s, stream, slot);
        slot_clear(s, &freed);
    } else {
        slot_clear(s, &s->slot[slot]);
    }
}

enum lf_err lf_slots_read(struct lf_slots *s, struct lf_stream *stream, int slot,
                          struct lf_adapter *a, struct lf_diag *diag)
{
    lf_assert(slot >= 0 && slot < s->n_slots && s->slot[slot].used);
    const struct lf_slot *t = &s->slot[slot];
    size_t n = t->shape.n_params;
    lf_assert(a->shape.n_params == n);
    if (t->master) {
        lf_stream_download(stream, a->params, t->master, n * sizeof(float));
        return lf_stream_wait(stream, diag);
    }
    size_t bytes = n * lf_dtype_bytes(s->dev->act);
    void *narrow = malloc(bytes);
    if (!narrow)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory to read an adapter");
    lf_stream_download(stream, narrow, t->copy, bytes);
    enum lf_err rc = lf_stream_wait(stream, diag);
    if (rc == LF_OK)
        lf_to_f32(a->params, narrow, s->dev->act, n);
    free(narrow);
    return rc;
}
