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

/* And its draws: each with the random number, the penalties and the biases of the token in whose
 * place it stands. What a guide allows is looked at behind it. */
static enum lf_err draw_round(struct lf_gen *g, struct gen_seq **seqs, struct lf_diag *diag)
{
    struct lf_exec_wish wish = {.which = g->which, .params = g->params};
    enum lf_err rc = LF_OK;
    g->n_history = g->n_bias = 0;
    for (int b = 0; b < g->n_batch && rc == LF_OK; b++) {
        const struct gen_seq *s = seqs[g->planned[b]];
        struct lf_sample_params *p = &g->params[wish.n];
        if (unread(s) > 0)
            continue;
        *p = s->sample;
        p->top_n = p->mask = 0;
        p->counter = (uint64_t)(s->n + s->n_proposed - s->n_prompt);
        rc = lf_gen_add_lists(g, s, s->n_proposed, p, diag);
        g->which[wish.n++] = b;
    }
    if (rc != LF_OK || wish.n == 0)
        return rc;
    wish.history = g->history;
    wish.n_history = (int)g->n_history;
    wish.bias = g->bias;
    wish.n_bias = (int)g->n_bias;
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
