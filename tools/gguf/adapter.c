/* LoRA adapters as llama.cpp has them: a GGUF file of the type "adapter", in which the factors of a
 * map are NAME.lora_a (R, K) and NAME.lora_b (N, R), and one alpha holds for all: a product counts
 * alpha / R times. */
#include "tools/gguf/gguf.h"

#include "core/limits.h"
#include "model/arch.h"
#include "tools/gguf/inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_TYPE "general.type"
#define KEY_ADAPTER "adapter.type"
#define KEY_ALPHA "adapter.lora.alpha"

/* "blk.3.attn_q.weight.lora_a" */
static int factor_name(char out[LF_GGUF_NAME_MAX], const struct lf_config *c, int site, char ab)
{
    char name[LF_GGUF_NAME_MAX];
    int heads = lf_gguf_site(name, c, site);
    snprintf(out, LF_GGUF_NAME_MAX, "%.40s.weight.lora_%c", name, ab);
    return heads;
}

/* ---- Out ------------------------------------------------------------------------------------- */

/* The one that most of an adapter is scaled by: alpha of the first site, at its rank. */
static double common_alpha(const struct lf_adapter *a)
{
    for (int i = 0; i < a->shape.n_sites; i++)
        if (a->shape.rank[i] > 0 &&
            a->shape.scale[i] == lf_lora_scale(a->alpha, a->shape.rank[i], false))
            return a->alpha;
    for (int i = 0; i < a->shape.n_sites; i++)
        if (a->shape.rank[i] > 0)
            return (double)a->shape.scale[i] * a->shape.rank[i];
    return a->alpha;
}

/* A as it is; B's rows turned as q's and k's are, and scaled where the site's scale is not what
 * the file's alpha gives. */
static enum lf_err put_site(struct lf_gguf_writer *w, size_t *index, const struct lf_adapter *a,
                            const struct lf_config *c, int site, double alpha, enum lf_dtype dtype,
                            struct lf_diag *diag)
{
    const struct lf_proj *p = &c->proj[site % c->n_proj];
    char name[LF_GGUF_NAME_MAX];
    const size_t R = (size_t)a->shape.rank[site], N = (size_t)p->N, K = (size_t)p->K;
    const float *A = a->params + a->shape.a_off[site], *B = a->params + a->shape.b_off[site];
    const float as_told = lf_lora_scale(alpha, (int)R, false);
    const float factor = a->shape.scale[site] == as_told ? 1 : a->shape.scale[site] / as_told;
    const int heads = factor_name(name, c, site, 'b');
    const size_t bytes = lf_dtype_bytes(dtype), most = R * (N > K ? N : K);
    float *wide = malloc(most * sizeof *wide);
    char *narrow = malloc(most * bytes);
    enum lf_err rc = wide && narrow ? LF_OK : lf_no_memory(diag, "an adapter");
    if (rc == LF_OK) {
        lf_from_f32(narrow, dtype, A, R * K);
        rc = lf_gguf_put(w, (*index)++, 0, narrow, R * K * bytes, diag);
    }
    if (rc == LF_OK) {
        for (size_t n = 0; n < N; n++)
            for (size_t i = 0; i < R; i++)
                wide[n * R + i] = factor * B[lf_gguf_original_row(heads, p->N, n) * R + i];
        lf_from_f32(narrow, dtype, wide, N * R);
        rc = lf_gguf_put(w, (*index)++, 0, narrow, N * R * bytes, diag);
    }
    free(wide);
    free(narrow);
    return rc;
}

static void put_head(struct lf_gguf_writer *w, const struct lf_adapter *a,
                     const struct lf_config *c, double alpha, enum lf_dtype dtype)
{
    char name[LF_GGUF_NAME_MAX];
    lf_gguf_put_text(w, "general.architecture", lf_arch_find(c->model_type)->gguf);
    lf_gguf_put_text(w, KEY_TYPE, "adapter");
    lf_gguf_put_text(w, KEY_ADAPTER, "lora");
    lf_gguf_put_f32(w, KEY_ALPHA, (float)alpha);
    for (int i = 0; i < a->shape.n_sites; i++) {
        const struct lf_proj *p = &c->proj[i % c->n_proj];
        int64_t R = a->shape.rank[i];
        if (R == 0)
            continue;
        factor_name(name, c, i, 'a');
        lf_gguf_add(w, name, dtype, R, p->K);
        factor_name(name, c, i, 'b');
        lf_gguf_add(w, name, dtype, p->N, R);
    }
}

enum lf_err lf_gguf_export_adapter(const char *path, const struct lf_adapter *a,
                                   const struct lf_config *c, enum lf_dtype dtype,
                                   struct lf_diag *diag)
{
    const double alpha = common_alpha(a);
    struct lf_gguf_writer *w = NULL;
    size_t index = 0;
    if (!lf_arch_find(c->model_type)->gguf)
        return lf_fail(diag, LF_E_UNSUPPORTED, "llama.cpp has no architecture for \"%s\"",
                       c->model_type);
    if (a->shape.dora)
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "llama.cpp has no place for DoRA's magnitudes: export it merged");
    enum lf_err rc = lf_gguf_create(&w, path, 2 * (size_t)a->shape.n_sites, diag);
    if (rc == LF_OK)
        put_head(w, a, c, alpha, dtype);
    rc = rc ?: lf_gguf_begin(w, diag);
    for (int i = 0; i < a->shape.n_sites && rc == LF_OK; i++)
        if (a->shape.rank[i] > 0)
            rc = put_site(w, &index, a, c, i, alpha, dtype, diag);
    rc = rc ?: lf_gguf_commit(w, diag);
    lf_gguf_writer_free(w);
    return rc;
}

/* ---- In -------------------------------------------------------------------------------------- */

bool lf_gguf_is_adapter(const struct lf_gguf *g)
{
    struct lf_str type;
    return lf_gguf_str(g, KEY_TYPE, &type) && lf_str_is(type, "adapter");
}

static enum lf_err check_head(const struct lf_gguf *g, const struct lf_config *c,
                              struct lf_diag *diag)
{
    struct lf_str kind = {"", 0}, arch = {"", 0};
    const char *own = lf_arch_find(c->model_type)->gguf;
    lf_gguf_str(g, KEY_ADAPTER, &kind);
    lf_gguf_str(g, "general.architecture", &arch);
    if (!lf_str_is(kind, "lora"))
        return lf_fail(diag, LF_E_UNSUPPORTED, "adapter.type \"%.*s\" is not supported (lora is)",
                       (int)(kind.n < 32 ? kind.n : 32), kind.s);
    if (!own || !lf_str_is(arch, own))
        return lf_fail(diag, LF_E_BASE_DIFFERS,
                       "the adapter is of a base of architecture \"%.*s\"; this one is \"%s\"",
                       (int)(arch.n < 32 ? arch.n : 32), arch.s, own ? own : c->model_type);
    return LF_OK;
}

/* Two dimensions, and, of which the rank is one, the other as the base has it. */
static enum lf_err check_factor(const struct lf_gguf_tensor *t, int64_t rank, int64_t other,
                                bool is_a, struct lf_diag *diag)
{
    int64_t rows = t->n_dims == 2 ? t->dims[1] : 0, cols = t->dims[0];
    if (rows == (is_a ? rank : other) && cols == (is_a ? other : rank))
        return LF_OK;
    bool fits = t->n_dims == 2 && (is_a ? cols : rows) == other;
    return lf_fail(diag, fits ? LF_E_DAMAGED : LF_E_BASE_DIFFERS,
                   "tensor \"%.*s\" is (%lld, %lld), and not of rank %lld and %lld of the base's",
                   (int)t->name.n, t->name.s, (long long)rows, (long long)cols, (long long)rank,
                   (long long)other);
}

/* Both factors of a site, checked, or neither. */
static enum lf_err find_site(const struct lf_gguf_tensor *t[2], const struct lf_gguf *g,
                             const struct lf_config *c, int site, struct lf_diag *diag)
{
    const struct lf_proj *p = &c->proj[site % c->n_proj];
    char name[LF_GGUF_NAME_MAX];
    for (int b = 0; b < 2; b++) {
        factor_name(name, c, site, b ? 'b' : 'a');
        t[b] = lf_gguf_tensor(g, name);
    }
    if (!t[0] && !t[1])
        return LF_OK;
    if (!t[0] || !t[1])
        return lf_fail(diag, LF_E_DAMAGED, "\"%s\" has no other factor", name);
    int64_t rank = t[1]->dims[0];
    if (rank > LF_RANK_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "\"%s\" is of rank %lld, over the limit of %d", name,
                       (long long)rank, LF_RANK_MAX);
    return check_factor(t[0], rank, p->K, true, diag)
               ?: check_factor(t[1], rank, p->N, false, diag);
}

/* Ranks and scales; what no site takes would be lost. */
static enum lf_err read_shape(struct lf_adapter *a, const struct lf_gguf *g,
                              const struct lf_config *c, struct lf_diag *diag)
{
    size_t used = 0;
    double alpha = 0;
    lf_gguf_real(g, KEY_ALPHA, &alpha);
    if (!isfinite(alpha) || alpha < 0 || alpha > 1e6)
        return lf_fail(diag, LF_E_DAMAGED, KEY_ALPHA " is %g", alpha);
    for (int i = 0; i < a->shape.n_sites; i++) {
        const struct lf_gguf_tensor *t[2];
        enum lf_err rc = find_site(t, g, c, i, diag);
        if (rc != LF_OK)
            return rc;
        if (!t[0])
            continue;
        used += 2;
        int rank = (int)t[1]->dims[0];
        if (a->rank == 0)
            a->rank = rank;
        a->shape.rank[i] = rank;
        a->shape.scale[i] = alpha > 0 ? lf_lora_scale(alpha, rank, false) : 1;
    }
    a->alpha = alpha > 0 ? alpha : a->rank;
    if (used == g->n_tensors && used > 0)
        return LF_OK;
    return lf_fail(diag, LF_E_UNSUPPORTED,
                   "%zu of %zu tensors are no factors of a linear map of this base",
                   g->n_tensors - used, g->n_tensors);
}

static enum lf_err read_factors(struct lf_adapter *a, const struct lf_gguf *g,
                                const struct lf_config *c, int site, struct lf_diag *diag)
{
    const struct lf_proj *p = &c->proj[site % c->n_proj];
    const struct lf_gguf_tensor *t[2];
    char name[LF_GGUF_NAME_MAX];
    const size_t R = (size_t)a->shape.rank[site], N = (size_t)p->N, K = (size_t)p->K;
    const int heads = factor_name(name, c, site, 'b');
    float *A = a->params + a->shape.a_off[site], *B = a->params + a->shape.b_off[site];
    float *turned = malloc(N * R * sizeof *turned);
    enum lf_err rc = turned ? find_site(t, g, c, site, diag) : lf_no_memory(diag, "an adapter");
    if (rc == LF_OK) {
        unsigned bad = 0;
        lf_gguf_widen(A, t[0], 0, R * K);
        lf_gguf_widen(turned, t[1], 0, N * R);
        for (size_t n = 0; n < N; n++)
            memcpy(B + lf_gguf_original_row(heads, p->N, n) * R, turned + n * R, R * sizeof *B);
        for (size_t i = 0; i < R * K; i++)
            bad |= !isfinite(A[i]);
        for (size_t i = 0; i < N * R; i++)
            bad |= !isfinite(B[i]);
        if (bad)
            rc = lf_fail(diag, LF_E_DAMAGED, "\"%s\": the factors are not all finite", name);
    }
    free(turned);
    return rc;
}

enum lf_err lf_gguf_adapter(struct lf_adapter **out, const struct lf_gguf *g,
                            const struct lf_config *c, struct lf_diag *diag)
{
    struct lf_adapter *a;
    void *params = NULL;
    enum lf_err rc = check_head(g, c, diag) ?: lf_adapter_alloc(&a, c, diag);
    if (rc != LF_OK)
        return rc;
    rc = read_shape(a, g, c, diag);
    rc = rc ?: lf_adapter_shape_params(&params, &a->shape, c, LF_F32, diag);
    a->params = params;
    for (int i = 0; i < a->shape.n_sites && rc == LF_OK; i++)
        if (a->shape.rank[i] > 0)
            rc = read_factors(a, g, c, i, diag);
    if (rc == LF_OK)
        *out = a;
    else
        lf_adapter_free(a);
    return rc;
}
