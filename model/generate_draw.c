/* Generation: what is drawn from a batch that has run, and the scores of its prompts. */
#include "core/grow.h"
#include "core/num.h"
#include "model/generate_inside.h"

#include <string.h>

/* ---- The tokens ------------------------------------------------------------------------------ */

bool lf_gen_has_penalty(const struct lf_sample_params *p)
{
    return p->repetition_penalty != 1 || p->frequency_penalty != 0 || p->presence_penalty != 0;
}

enum lf_err lf_gen_add_lists(struct lf_gen *g, const struct gen_seq *s, int draft,
                             struct lf_sample_params *p, struct lf_diag *diag)
{
    size_t n = lf_gen_has_penalty(p) ? (size_t)(s->n + draft) : 0, n_bias = (size_t)s->n_bias;
    enum lf_err rc = lf_grow(&g->history, &g->history_cap, g->n_history + n, sizeof *g->history);
    rc = rc ?: lf_grow(&g->bias, &g->bias_cap, g->n_bias + n_bias, sizeof *g->bias);
    if (rc != LF_OK)
        return lf_fail(diag, rc, "no memory for %zu tokens of history", g->n_history + n);
    p->history_off = (int32_t)g->n_history;
    p->history_n = (int32_t)n;
    p->completion_n = n > 0 ? s->n + draft - s->n_prompt : 0;
    p->bias_off = (int32_t)g->n_bias;
    p->bias_n = s->n_bias;
    if (n > 0)
        memcpy(g->history + g->n_history, s->tokens, n * sizeof *s->tokens);
    if (n_bias > 0)
        memcpy(g->bias + g->n_bias, s->bias, n_bias * sizeof *s->bias);
    g->n_history += n;
    g->n_bias += n_bias;
    return LF_OK;
}

/* The sequence's guide says what may be drawn; where it cannot, all may. */
static enum lf_err add_mask(struct lf_gen *g, const struct gen_seq *s, struct lf_sample_params *p,
                            bool *failed, struct lf_diag *diag)
{
    struct lf_device *dev = lf_exec_stream(g->x)->dev;
    size_t words = lf_guide_words(g->m->config.V);
    p->mask = 0;
    if (!s->guide)
        return LF_OK;
    if (!g->masks) {
        void *masks = NULL;
        enum lf_err rc =
            lf_device_alloc_host(dev, &masks, (size_t)g->seqs_max * words * sizeof *g->masks, diag);
        if (rc != LF_OK)
            return rc;
        g->masks = masks;
    }
    *failed = lf_guide_mask(s->guide, g->masks + (size_t)g->n_masks * words) != LF_OK;
    if (!*failed)
        p->mask = ++g->n_masks;
    return LF_OK;
}

/* The draw behind `draft` drafts of sequence b of the batch. */
static enum lf_err add_draw(struct lf_gen *g, struct gen_flight *f, int b, int draft, bool *failed,
                            struct lf_diag *diag)
{
    const struct gen_seq *s = &g->seqs[g->planned[b]];
    struct lf_sample_params *p = &g->params[f->n];
    *p = s->sample;
    p->counter = (uint64_t)(length(s) + draft - s->n_prompt);
    enum lf_err rc = lf_gen_add_lists(g, s, draft, p, diag) ?: add_mask(g, s, p, failed, diag);
    f->top_ld = lf_max_int(f->top_ld, p->top_n);
    g->which[f->n] = b;
    g->at[f->n] = g->batch[b].n - 1 - s->n_drafts + draft;
    f->rows[f->n++] = (struct gen_row){s->id, g->planned[b]};
    return rc;
}

/* All draws of sequence b: a token, and one behind each of its drafts, as long as its guide goes
 * along. Where a guide fails at the first one the sequence ends. */
static enum lf_err add_draws(struct lf_gen *g, struct gen_flight *f, int b, struct lf_diag *diag)
{
    struct gen_seq *s = &g->seqs[g->planned[b]];
    struct lf_guide_place place = {0};
    enum lf_err rc = add_draw(g, f, b, 0, &s->failed, diag);
    if (s->n_drafts == 0 || rc != LF_OK)
        return rc;
    if (s->guide)
        place = lf_guide_place(s->guide);
    int k = 0;
    bool failed = s->failed;
    while (rc == LF_OK && !failed && k < s->n_drafts) {
        failed = s->guide && lf_guide_accept(s->guide, s->tokens[s->n + k]) != LF_OK;
        if (!failed)
            rc = add_draw(g, f, b, ++k, &failed, diag);
    }
    if (s->guide)
        lf_guide_return(s->guide, &place);
    if (failed && k > 0 && g->params[f->n - 1].mask == 0) { /* all might be drawn there */
        f->n--;
        k--;
    }
    s->kv.n_tokens -= s->n_drafts - k;
    s->n_drafts = s->n_drafted = k;
    return rc;
}

bool lf_gen_ends(const struct lf_gen *g, const struct gen_seq *s, int32_t token)
{
    for (int i = 0; i < s->n_stop_ids; i++)
        if (s->stop_ids[i] == token)
            return true;
    return !s->ignore_eos && lf_model_is_eos(g->m, token);
}

void lf_gen_add_drafts(const struct lf_gen *g, struct gen_seq *s, int n)
{
    struct lf_guide_place place = {0};
    int k = 0;
    if (s->guide)
        place = lf_guide_place(s->guide);
    while (k < n && !lf_gen_ends(g, s, s->tokens[s->n + k]) &&
           (!s->guide || lf_guide_accept(s->guide, s->tokens[s->n + k]) == LF_OK))
        k++;
    if (s->guide)
        lf_guide_return(s->guide, &place);
    s->n_drafts = s->n_drafted = k;
    s->n_guesses = s->n_guessed = 0; /* overwritten */
}

/* Draws for the sequences of the batch that have nothing pending any more, into flight f. */
enum lf_err lf_gen_draw(struct lf_gen *g, struct gen_flight *f, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    f->n = f->n_done = f->top_ld = 0;
    g->n_history = g->n_bias = 0;
    g->n_masks = 0;
    for (int b = 0; b < g->n_batch && rc == LF_OK; b++) {
        const struct gen_seq *s = &g->seqs[g->planned[b]];
        if (pending(s) > 0 || s->max_tokens == 0 || s->over)
            continue;
        rc = add_draws(g, f, b, diag);
    }
    for (int b = 0; b < g->n_batch; b++) {
        const struct gen_seq *s = &g->seqs[g->planned[b]];
        if (pending(s) == 0 && s->max_tokens == 0)
            f->rows[f->n + f->n_done++] = (struct gen_row){s->id, g->planned[b]};
    }
    if (f->n == 0 || rc != LF_OK)
        return rc;
    const struct lf_exec_wish wish = {.which = g->which,
                                      .at = g->at,
                                      .params = g->params,
                                      .n = f->n,
                                      .history = g->history,
                                      .n_history = (int)g->n_history,
                                      .bias = g->bias,
                                      .n_bias = (int)g->n_bias,
                                      .masks = g->masks,
                                      .n_masks = g->n_masks,
                                      .top_ld = f->top_ld};
    return lf_exec_draw(g->x, &wish, diag);
}

/* ---- Scores ---------------------------------------------------------------------------------- */

/* The token of its prompt that row i of the scores is about. */
static int scored_token(const struct lf_gen *g, int i)
{
    const struct lf_exec_row *r = &g->score[i];
    const struct gen_seq *s = &g->seqs[g->planned[r->seq]];
    return s->kv.n_tokens - g->batch[r->seq].n + r->at + 1;
}

static void keep_score(struct lf_gen *g, int i, int top_ld)
{
    struct gen_seq *s = &g->seqs[g->planned[g->score[i].seq]];
    int t = scored_token(g, i);
    size_t n = (size_t)s->sample.top_n, to = (size_t)t * n, from = (size_t)i * (size_t)top_ld;
    s->scores->logprob[t] = g->scored.logprobs[i];
    s->n_scored = t + 1;
    if (n == 0)
        return;
    memcpy(s->scores->top_ids + to, g->scored.top_ids + from, n * sizeof *g->scored.top_ids);
    memcpy(s->scores->top_logprob + to, g->scored.top_logprobs + from,
           n * sizeof *g->scored.top_logprobs);
}

/* The prompts' tokens whose predecessors are in the batch that has run, where they are wanted and
 * have no score yet. */
enum lf_err lf_gen_score(struct lf_gen *g, struct lf_diag *diag)
{
    int top_ld = 0;
    g->n_score = 0;
    for (int b = 0; b < g->n_batch; b++) {
        const struct gen_seq *s = &g->seqs[g->planned[b]];
        int first = s->kv.n_tokens - g->batch[b].n, t = lf_max_int(s->n_scored, first + 1);
        for (; t < s->n_prompt && t <= s->kv.n_tokens; t++) {
            g->score[g->n_score++] = (struct lf_exec_row){b, t - 1 - first, s->tokens[t]};
            top_ld = lf_max_int(top_ld, s->sample.top_n);
        }
    }
    if (g->n_score == 0)
        return LF_OK;
    enum lf_err rc = lf_exec_score(g->x, g->score, g->n_score, top_ld, &g->scored, diag);
    for (int i = 0; i < g->n_score && rc == LF_OK; i++)
        keep_score(g, i, top_ld);
    return rc;
}
