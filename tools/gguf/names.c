/* The tensors of a checkpoint by both of their names, and how they differ in a GGUF file. */
#include "tools/gguf/inside.h"

#include "model/arch.h"

#include <stdio.h>
#include <stdlib.h>

struct naming {
    struct lf_gguf_names *out;
    const struct lf_config *c;
    const struct lf_arch *arch;
    size_t cap;
};

static struct lf_gguf_name *add(struct naming *l, int N, int K)
{
    lf_assert(l->out->n < l->cap);
    struct lf_gguf_name *p = &l->out->at[l->out->n++];
    p->N = N;
    p->K = K;
    return p;
}

static void add_plain(struct naming *l, const char *hf, const char *gguf, int N, int K)
{
    struct lf_gguf_name *p = add(l, N, K);
    snprintf(p->hf, sizeof p->hf, "%s", hf);
    snprintf(p->gguf, sizeof p->gguf, "%s", gguf);
}

/* name NULL: the architecture has none. */
static void add_norm(struct naming *l, const char *where, const char *name, const char *gguf, int n)
{
    if (!name)
        return;
    struct lf_gguf_name *p = add(l, n, 0);
    p->plus_one = l->c->norm_plus_one;
    snprintf(p->hf, sizeof p->hf, "%s%s.weight", where, name);
    snprintf(p->gguf, sizeof p->gguf, "%s.weight", gguf);
    if (!l->c->layer_norm)
        return;
    p = add(l, n, 0);
    p->plus_one = l->c->norm_plus_one;
    snprintf(p->hf, sizeof p->hf, "%s%s.bias", where, name);
    snprintf(p->gguf, sizeof p->gguf, "%s.bias", gguf);
}

static const char *map_name(bool fused, enum lf_proj_kind kind)
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

int lf_gguf_site(char out[LF_GGUF_NAME_MAX], const struct lf_config *c, int site)
{
    const struct lf_arch *arch = lf_arch_find(c->model_type);
    const struct lf_proj *proj = &c->proj[site % c->n_proj];
    snprintf(out, LF_GGUF_NAME_MAX, "blk.%d.%s", site / c->n_proj,
             map_name(arch->fused, proj->kind));
    if (arch->gguf_pairs && proj->kind == LF_PROJ_Q)
        return c->H;
    return arch->gguf_pairs && proj->kind == LF_PROJ_K ? c->Hkv : 0;
}

static void add_map(struct naming *l, int site)
{
    const struct lf_proj *proj = &l->c->proj[site % l->c->n_proj];
    char gguf[LF_GGUF_NAME_MAX];
    int heads = lf_gguf_site(gguf, l->c, site);
    for (int bias = 0; bias <= proj->bias; bias++) {
        struct lf_gguf_name *p = add(l, proj->N, bias ? 0 : proj->K);
        const char *what = bias ? "bias" : "weight";
        p->heads = heads;
        snprintf(p->hf, sizeof p->hf, "model.layers.%d.%s.%s", site / l->c->n_proj, proj->module,
                 what);
        snprintf(p->gguf, sizeof p->gguf, "%.48s.%s", gguf, what);
    }
}

static void add_layer(struct naming *l, int layer)
{
    const struct lf_config *c = l->c;
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
    snprintf(where, sizeof where, "model.layers.%d.", layer);
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        snprintf(gguf, sizeof gguf, "blk.%d.%s", layer, norms[i].gguf);
        add_norm(l, where, norms[i].name, gguf, norms[i].n);
    }
    for (int p = 0; p < c->n_proj; p++)
        add_map(l, layer * c->n_proj + p);
}

enum lf_err lf_gguf_names(struct lf_gguf_names *out, const struct lf_config *c,
                          struct lf_diag *diag)
{
    struct naming l = {.out = out, .c = c, .arch = lf_arch_find(c->model_type)};
    *out = (struct lf_gguf_names){0};
    l.cap = 8 + (size_t)c->L * (16 + 2 * LF_PROJ_MAX);
    out->at = calloc(l.cap, sizeof *out->at);
    if (!out->at)
        return lf_no_memory(diag, "the tensors' names");
    add_plain(&l, "model.embed_tokens.weight", "token_embd.weight", c->V, c->C);
    if (!c->tied_head)
        add_plain(&l, "lm_head.weight", "output.weight", c->V, c->C);
    if (c->head_bias)
        add_plain(&l, "lm_head.bias", "output.bias", c->V, 0);
    add_norm(&l, "model.", c->norms.final, "output_norm", c->C);
    for (int layer = 0; layer < c->L; layer++)
        add_layer(&l, layer);
    return LF_OK;
}

void lf_gguf_names_free(struct lf_gguf_names *n)
{
    free(n->at);
    *n = (struct lf_gguf_names){0};
}

/* A head's pairs (i, i + D/2) stand side by side in the file. */
size_t lf_gguf_original_row(int heads, int N, size_t row)
{
    if (heads == 0)
        return row;
    size_t D = (size_t)N / (size_t)heads, head = row / D, i = row % D;
    return head * D + i % 2 * (D / 2) + i / 2;
}
