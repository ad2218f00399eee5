/* Generation: what a draft base says that sequences go on with. It reads what they have, each at
 * its own pace, and draws one token after another for all that it has read whole. */
#include "model/generate_inside.h"

#include "core/num.h"

#define OWNER 1 /* what it reads depends on the tokens alone, whatever adapter makes them */

void lf_gen_draft_cut(struct gen_seq *s, int n)
{
    s->draft_kv.n_tokens = lf_min_int(s->draft_kv.n_tokens, n);
}

static int unread(const struct gen_seq *s)
{
    return s->n + s->n_proposed - s->draft_kv.n_tokens;
}

static int wanted(const struct lf_gen *g, const struct gen_seq *s)
{
    return lf_min_int(g->drafting.most, s->max_tokens - (s->n - s->n_prompt) - 1);
}

/* Its vocabulary may be shorter than the base's, by ids that no tokenizer makes. */
static bool knows(const struct lf_gen *g, const struct gen_seq *s)
{
    const struct lf_model *m = g->draft->model;
    bool known = s->n + wanted(g, s) <= m->rope_positions;
    for (int i = s->draft_kv.n_tokens; i < s->n && known; i++)
        known = s->tokens[i] < m->config.V;
    for (int i = 0; i < s->n_bias && known; i++)
        known = s->bias[i].id < m->config.V;
    return known;
}

/* Pages for its tokens and what is drawn behind them. */
static bool admit(const struct lf_gen *g, struct gen_seq *s)
{
    struct lf_exec *x = g->draft->exec;
    struct lf_kv_seq *kv = &s->draft_kv;
    int n = s->n + wanted(g, s);
    if (lf_exec_kv_outgrown(x, kv, n))
        lf_exec_kv_release(x, kv);
    if (kv->n_pages == 0) {
        kv->owner = OWNER;
        kv->planned = n;
        lf_exec_kv_find(x, kv, s->tokens, s->n);
    }
    if (lf_exec_kv_grow(x, kv, n) == LF_OK)
        return true;
    lf_exec_kv_release(x, kv);
    return false;
}

/* Round k of those that have k drafts: what they have not read, up to a batch of it all. The oldest
 * first, so that one that has to wait for the next step's round does so once. */
static enum lf_err read_round(struct lf_gen *g, struct gen_seq **seqs, int n, int k,
                              struct lf_diag *diag)
{
    int left = lf_exec_limits(g->draft->exec)->tokens_max;
    g->n_batch = 0;
    for (int i = 0; i < n && left > 0; i++) {
        struct gen_seq *s = seqs[i];
        if (s->n_proposed != k || wanted(g, s) <= k)
            continue;
        int take = lf_min_int(unread(s), left);
        g->planned[g->n_batch] = i;
        g->batch[g->n_batch++] = (struct lf_batch_seq){.ids = s->tokens + s->draft_kv.n_tokens,
                                                       .n = take,
                                                       .kv = &s->draft_kv,
                                                       .slot = -1,
                                                       .last_only = true};
        left -= take;
    }
    return g->n_batch > 0 ? lf_exec_run(g->draft->exec, g->batch, g->n_batch, g->results, diag)
                          : LF_OK;
}

/* Its guide leads behind what is proposed so far; false: not there, or there is nothing to draw. */
static bool guide_follows(struct gen_seq *s)
{
    bool follows = true;
    for (int k = 0; k < s->n_proposed && follows; k++)
        follows = lf_guide_accept(s->guide, s->tokens[s->n + k]) == LF_OK;
    return follows && !lf_guide_ended(s->guide);
}

/* What the guide allows behind what is proposed, as mask `to` of the draft base's vocabulary.
 * False: none of that is known. */
static bool write_mask(struct lf_gen *g, struct gen_seq *s, int to)
{
    int n_base = g->m->config.V, n_draft = g->draft->model->config.V;
    size_t base_words = lf_guide_words(n_base), words = lf_guide_words(n_draft);
    uint32_t *base = g->draft_masks, *mask = base + base_words + (size_t)to * words, any = 0;
    const struct lf_guide_place place = lf_guide_place(s->guide);
    bool known = guide_follows(s) && lf_guide_mask(s->guide, base) == LF_OK;
    lf_guide_return(s->guide, &place);
    for (size_t i = 0; i < words && known; i++) {
        uint32_t word = i < base_words ? base[i] : 0;
        if (i + 1 == words && n_draft % 32 > 0)
            word &= (1u << n_draft % 32) - 1;
        mask[i] = word;
        any |= word;
    }
    return any != 0;
}

/* Appends the mask of the sequence's next draw, where it has a guide. *drawn: there is a draw. */
static enum lf_err add_mask(struct lf_gen *g, struct gen_seq *s, struct lf_exec_wish *wish,
                            struct lf_sample_params *p, bool *drawn, struct lf_diag *diag)
{
    *drawn = true;
    if (!s->guide)
        return LF_OK;
    if (!g->draft_masks) {
        size_t words = (size_t)g->seqs_max * lf_guide_words(g->draft->model->config.V);
        void *masks = NULL;
        words += lf_guide_words(g->m->config.V);
        enum lf_err rc = lf_device_alloc_host(lf_exec_stream(g->x)->dev, &masks,
                                              words * sizeof *g->draft_masks, diag);
        if (rc != LF_OK)
            return rc;
        g->draft_masks = masks;
    }
    *drawn = write_mask(g, s, wish->n_masks);
    p->mask = *drawn ? ++wish->n_masks : 0;
    return LF_OK;
}

/* And its draws: each with the random number, the penalties, the biases and the guide of the token
 * in whose place it stands. */
static enum lf_err draw_round(struct lf_gen *g, struct gen_seq **seqs, struct lf_diag *diag)
{
    struct lf_exec_wish wish = {.which = g->which, .params = g->params};
    enum lf_err rc = LF_OK;
    g->n_history = g->n_bias = 0;
    for (int b = 0; b < g->n_batch && rc == LF_OK; b++) {
        struct gen_seq *s = seqs[g->planned[b]];
        struct lf_sample_params *p = &g->params[wish.n];
        bool drawn;
        if (unread(s) > 0)
            continue;
        *p = s->sample;
        p->top_n = p->mask = 0;
        p->counter = (uint64_t)(s->n + s->n_proposed - s->n_prompt);
        rc = add_mask(g, s, &wish, p, &drawn, diag);
        if (rc != LF_OK || !drawn)
            continue;
        rc = lf_gen_add_lists(g, s, s->n_proposed, p, diag);
        g->which[wish.n++] = b;
    }
    if (rc != LF_OK || wish.n == 0)
        return rc;
    wish.history = g->history;
    wish.n_history = (int)g->n_history;
    wish.bias = g->bias;
    wish.n_bias = (int)g->n_bias;
    if (wish.n_masks > 0)
        wish.masks = g->draft_masks + lf_guide_words(g->m->config.V);
    const struct lf_exec_tokens out = {.ids = g->draft_ids};
    rc = lf_exec_sample(g->draft->exec, &wish, &out, diag);
    for (int i = 0; i < wish.n && rc == LF_OK; i++) {
        struct gen_seq *s = seqs[g->planned[g->which[i]]];
        s->tokens[s->n + s->n_proposed++] = g->draft_ids[i];
    }
    return rc;
}

enum lf_err lf_gen_propose(struct lf_gen *g, struct gen_seq **seqs, int n, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    int n_able = 0;
    for (int i = 0; i < n; i++) {
        seqs[i]->n_proposed = 0;
        lf_gen_draft_cut(seqs[i], seqs[i]->n - 1); /* what follows the last one is drawn again */
        if (knows(g, seqs[i]) && admit(g, seqs[i]))
            seqs[n_able++] = seqs[i];
    }
    for (int k = 0; k < g->drafting.most && rc == LF_OK; k++)
        rc = read_round(g, seqs, n_able, k, diag) ?: draw_round(g, seqs, diag);
    for (int i = 0; i < n_able; i++) {
        lf_exec_kv_keep(g->draft->exec, &seqs[i]->draft_kv, seqs[i]->tokens, seqs[i]->n);
        for (int k = 0; k < seqs[i]->n_proposed; k++)
            if (seqs[i]->tokens[seqs[i]->n + k] >= g->m->config.V)
                seqs[i]->n_proposed = k;
    }
    return rc;
}
