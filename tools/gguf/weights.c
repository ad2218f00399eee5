/* model.safetensors from a GGUF file's tensors: each that the configuration asks for is looked up
 * by llama.cpp's name, widened, put back into the order of the original and written. */
#include "tools/gguf/inside.h"

#include "core/limits.h"
#include "model/arch.h"
#include "model/safetensors.h"
#include "tools/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HF_NAME_BYTES 96
#define CHUNK ((size_t)1 << 18) /* numbers widened at once; whole blocks of every form */

/* One tensor of the checkpoint. */
struct wanted_tensor {
    char name[HF_NAME_BYTES];
    const struct lf_gguf_tensor *t;
    int N, K;       /* K 0: a vector of N */
    int heads;      /* > 0: rows of each head stand in rotation's pairs, as llama.cpp turns them */
    bool minus_one; /* the file holds w + 1 */
    size_t index;   /* the writer's */
};

struct conversion {
    const struct lf_gguf *g;
    const struct lf_config *c;
    const struct lf_arch *arch;
    struct wanted_tensor *pieces;
    size_t n, cap;
    bool *used; /* by tensor of the file */
    struct lf_diag *diag;
};

/* ---- What is wanted -------------------------------------------------------------------------- */

static enum lf_err want(struct conversion *j, const struct wanted_tensor *p, const char *gguf)
{
    const struct lf_gguf_tensor *t = lf_gguf_tensor(j->g, gguf);
    if (!t)
        return lf_fail(j->diag, LF_E_DAMAGED, "tensor \"%s\" is missing", gguf);
    int64_t rows = t->n_dims > 1 ? t->dims[1] : t->dims[0], cols = t->n_dims > 1 ? t->dims[0] : 0;
    if (t->n_dims > 2 || rows != p->N || cols != p->K)
        return lf_fail(j->diag, LF_E_DAMAGED, "tensor \"%s\" is not (%d, %d)", gguf, p->N, p->K);
    lf_assert(j->n < j->cap);
    j->used[t - j->g->tensors] = true;
    j->pieces[j->n] = *p;
    j->pieces[j->n++].t = t;
    return LF_OK;
}

/* A norm; name NULL: the architecture has none. */
static enum lf_err want_norm(struct conversion *j, const char *where, const char *name,
                             const char *gguf, int n)
{
    struct wanted_tensor p = {.N = n, .minus_one = j->c->norm_plus_one};
    char from[LF_GGUF_NAME_MAX];
    if (!name)
        return LF_OK;
    snprintf(p.name, sizeof p.name, "%s%s.weight", where, name);
    snprintf(from, sizeof from, "%s.weight", gguf);
    enum lf_err rc = want(j, &p, from);
    if (rc == LF_OK && j->c->layer_norm) {
        snprintf(p.name, sizeof p.name, "%s%s.bias", where, name);
        snprintf(from, sizeof from, "%s.bias", gguf);
        rc = want(j, &p, from);
    }
    return rc;
}

static const char *gguf_name(bool fused, enum lf_proj_kind kind)
{
    static const char *const names[] = {
        [LF_PROJ_Q] = "attn_q",      [LF_PROJ_K] = "attn_k",      [LF_PROJ_V] = "attn_v",
        [LF_PROJ_O] = "attn_output", [LF_PROJ_GATE] = "ffn_gate", [LF_PROJ_UP] = "ffn_up",
        [LF_PROJ_DOWN] = "ffn_down",
    };
    if (fused && kind == LF_PROJ_Q)
        return "attn_qkv";
    return fused && kind == LF_PROJ_GATE ? "ffn_up" : names[kind];
}

static enum lf_err want_proj(struct conversion *j, int layer, const struct lf_proj *proj)
{
    struct wanted_tensor p = {.N = proj->N, .K = proj->K};
    const char *from = gguf_name(j->arch->fused, proj->kind);
    char gguf[LF_GGUF_NAME_MAX];
    if (j->arch->gguf_pairs && proj->kind == LF_PROJ_Q)
        p.heads = j->c->H;
    if (j->arch->gguf_pairs && proj->kind == LF_PROJ_K)
        p.heads = j->c->Hkv;
    snprintf(p.name, sizeof p.name, "model.layers.%d.%s.weight", layer, proj->module);
    snprintf(gguf, sizeof gguf, "blk.%d.%s.weight", layer, from);
    enum lf_err rc = want(j, &p, gguf);
    if (rc == LF_OK && proj->bias) {
        p.K = 0;
        snprintf(p.name, sizeof p.name, "model.layers.%d.%s.bias", layer, proj->module);
        snprintf(gguf, sizeof gguf, "blk.%d.%s.bias", layer, from);
        rc = want(j, &p, gguf);
    }
    return rc;
}

static enum lf_err want_layer(struct conversion *j, int l)
{
    const struct lf_config *c = j->c;
    const struct {
        const char *name, *gguf;
        int n;
    } norms[] = {
        {c->norms.attn, "attn_norm", c->C},
        {c->norms.mlp, "ffn_norm", c->C},
        {c->norms.post_attn, "post_attention_norm", c->C},
        {c->norms.post_mlp, "post_ffw_norm", c->C},
        {c->norms.q, "attn_q_norm", lf_config_qk_norm_n(c, false)},
        {c->norms.k, "attn_k_norm", lf_config_qk_norm_n(c, true)},
    };
    char where[64], gguf[LF_GGUF_NAME_MAX - 8];
    enum lf_err rc = LF_OK;
    snprintf(where, sizeof where, "model.layers.%d.", l);
    for (size_t i = 0; i < sizeof norms / sizeof *norms && rc == LF_OK; i++) {
        snprintf(gguf, sizeof gguf, "blk.%d.%s", l, norms[i].gguf);
        rc = want_norm(j, where, norms[i].name, gguf, norms[i].n);
    }
    for (int p = 0; p < c->n_proj && rc == LF_OK; p++)
        rc = want_proj(j, l, &c->proj[p]);
    return rc;
}

static enum lf_err want_all(struct conversion *j)
{
    const struct lf_config *c = j->c;
    const struct wanted_tensor embed = {.name = "model.embed_tokens.weight", .N = c->V, .K = c->C};
    const struct wanted_tensor head = {.name = "lm_head.weight", .N = c->V, .K = c->C};
    const struct wanted_tensor bias = {.name = "lm_head.bias", .N = c->V};
    enum lf_err rc = want(j, &embed, "token_embd.weight");
    if (rc == LF_OK && !c->tied_head)
        rc = want(j, &head, "output.weight");
    if (rc == LF_OK && c->head_bias)
        rc = want(j, &bias, "output.bias");
    rc = rc ?: want_norm(j, "model.", c->norms.final, "output_norm", c->C);
    for (int l = 0; l < c->L && rc == LF_OK; l++)
        rc = want_layer(j, l);
    return rc;
}

/* What no one asked for would be lost: an architecture that is not what it says. */
static enum lf_err refuse_unused(const struct conversion *j)
{
    static const char *const elsewhere[] = {"rope_freqs.weight", "rope_factors_short.weight",
                                            "rope_factors_long.weight"}; /* in config.json */
    for (size_t i = 0; i < j->g->n_tensors; i++) {
        struct lf_str name = j->g->tensors[i].name;
        bool known = j->used[i];
        for (size_t k = 0; k < 3; k++)
            known = known ||
                    (strlen(elsewhere[k]) == name.n && memcmp(elsewhere[k], name.s, name.n) == 0);
        if (!known)
            return lf_fail(j->diag, LF_E_UNSUPPORTED, "tensor \"%.*s\" is not of this architecture",
                           (int)name.n, name.s);
    }
    return LF_OK;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* Row r of the file is row `original_row` of the checkpoint: a head's pairs (i, i + D/2) stand side
 * by side in the file. */
static size_t original_row(const struct wanted_tensor *p, size_t r)
{
    if (p->heads == 0)
        return r;
    size_t D = (size_t)p->N / (size_t)p->heads, head = r / D, i = r % D;
    return head * D + i % 2 * (D / 2) + i / 2;
}

static void place(char *out, size_t es, const struct wanted_tensor *p, const char *narrow,
                  size_t from, size_t n)
{
    size_t K = p->K ? (size_t)p->K : 1;
    for (size_t at = 0; at < n;) { /* runs within a row */
        size_t row = (from + at) / K, col = (from + at) % K;
        size_t run = K - col < n - at ? K - col : n - at;
        memcpy(out + (original_row(p, row) * K + col) * es, narrow + at * es, run * es);
        at += run;
    }
}

static enum lf_err put_piece(struct lf_tensors_writer *w, const struct wanted_tensor *p,
                             enum lf_dtype dtype, struct lf_diag *diag)
{
    size_t n = (size_t)p->N * (size_t)(p->K ? p->K : 1), es = lf_dtype_bytes(dtype);
    float *wide = malloc(CHUNK * sizeof *wide);
    char *narrow = malloc(CHUNK * es), *whole = malloc(n * es);
    enum lf_err rc = LF_OK;
    if (!wide || !narrow || !whole)
        rc = lf_no_memory(diag, "tensor \"%s\"", p->name);
    for (size_t at = 0; at < n && rc == LF_OK; at += CHUNK) {
        size_t k = n - at < CHUNK ? n - at : CHUNK;
        lf_gguf_widen(wide, p->t, at, k);
        for (size_t i = 0; p->minus_one && i < k; i++)
            wide[i] -= 1;
        lf_from_f32(narrow, dtype, wide, k);
        place(whole, es, p, narrow, at, k);
    }
    rc = rc ?: lf_tensors_put(w, p->index, whole, diag);
    free(wide);
    free(narrow);
    free(whole);
    return rc;
}

static enum lf_err write_all(struct conversion *j, const char *path, enum lf_dtype dtype,
                             void (*progress)(void *arg, double fraction, const char *what),
                             void *arg)
{
    struct lf_tensors_writer *w = NULL;
    enum lf_err rc = lf_tensors_create(&w, path, j->n, j->n * HF_NAME_BYTES, j->diag);
    for (size_t i = 0; i < j->n && rc == LF_OK; i++) {
        struct wanted_tensor *p = &j->pieces[i];
        struct lf_tensor t = {
            .name = p->name, .dtype = dtype, .n_dims = p->K ? 2 : 1, .dims = {p->N, p->K}};
        rc = lf_tensors_add(w, &t, &p->index, j->diag);
    }
    for (size_t i = 0; i < j->n && rc == LF_OK; i++) {
        if (progress)
            progress(arg, (double)i / (double)j->n, "importing");
        rc = put_piece(w, &j->pieces[i], dtype, j->diag);
    }
    rc = rc ?: lf_tensors_commit(w, j->diag);
    lf_tensors_writer_free(w);
    return rc;
}

enum lf_err lf_gguf_weights(const struct lf_gguf *g, const struct lf_config *c, const char *path,
                            enum lf_dtype dtype,
                            void (*progress)(void *arg, double fraction, const char *what),
                            void *progress_arg, struct lf_diag *diag)
{
    struct conversion j = {.g = g, .c = c, .arch = lf_arch_find(c->model_type), .diag = diag};
    j.cap = 8 + (size_t)c->L * (16 + 2 * LF_PROJ_MAX);
    j.pieces = calloc(j.cap, sizeof *j.pieces);
    j.used = calloc(g->n_tensors + 1, sizeof *j.used);
    enum lf_err rc = LF_OK;
    if (!j.pieces || !j.used)
        rc = lf_no_memory(diag, "the tensors' names");
    rc = rc ?: want_all(&j);
    rc = rc ?: refuse_unused(&j);
    rc = rc ?: write_all(&j, path, dtype, progress, progress_arg);
    free(j.pieces);
    free(j.used);
    return rc;
}
