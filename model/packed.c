/* Adapters as a device reads them, in host memory. */
#include "model/dora.h"
#include "model/peft.h"

#include <stdlib.h>

enum lf_err lf_packed_of(struct lf_packed **out, const struct lf_adapter *a, enum lf_dtype type,
                         struct lf_diag *diag)
{
    struct lf_packed *p = calloc(1, sizeof *p);
    size_t bytes = a->shape.n_params * lf_dtype_bytes(type);
    lf_assert(!a->shape.dora || a->served);
    if (p)
        p->params = malloc(bytes);
    if (!p || !p->params || lf_adapter_shape_copy(&p->shape, &a->shape) != LF_OK) {
        lf_packed_free(p);
        return lf_no_memory(diag, "an adapter of %zu bytes", bytes);
    }
    p->bytes = bytes;
    lf_from_f32(p->params, type, a->params, a->shape.n_params);
    *out = p;
    return LF_OK;
}

void lf_packed_free(struct lf_packed *p)
{
    if (!p)
        return;
    lf_adapter_shape_free(&p->shape);
    free(p->params);
    free(p);
}

/* The base's weights are a part of its numbers. */
static enum lf_err pack_dora(struct lf_packed **out, struct lf_adapter *a, const struct lf_model *m,
                             enum lf_dtype type, const char *dir, struct lf_diag *diag)
{
    void *params = NULL;
    enum lf_err rc = lf_peft_read_tensors(a, &params, LF_F32, &m->config, dir, diag);
    a->params = params;
    return rc ?: lf_dora_serve(a, m, diag) ?: lf_packed_of(out, a, type, diag);
}

static enum lf_err pack(struct lf_packed **out, struct lf_adapter *a, const struct lf_config *c,
                        enum lf_dtype type, const char *dir, struct lf_diag *diag)
{
    struct lf_packed *p = calloc(1, sizeof *p);
    enum lf_err rc = p ? lf_peft_read_tensors(a, &p->params, type, c, dir, diag)
                       : lf_no_memory(diag, "an adapter");
    if (rc == LF_OK) {
        p->shape = a->shape;
        p->bytes = p->shape.n_params * lf_dtype_bytes(type);
        a->shape = (struct lf_adapter_shape){0};
        *out = p;
    } else {
        lf_packed_free(p);
    }
    return rc;
}

enum lf_err lf_packed_load(struct lf_packed **out, const struct lf_model *m, enum lf_dtype type,
                           const char *dir, struct lf_diag *diag)
{
    struct lf_adapter *a;
    enum lf_err rc = lf_adapter_alloc(&a, &m->config, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_peft_read_config(a, &m->config, dir, diag);
    if (rc == LF_OK)
        rc = a->shape.dora ? pack_dora(out, a, m, type, dir, diag)
                           : pack(out, a, &m->config, type, dir, diag);
    lf_adapter_free(a);
    return rc;
}
