/* Generation: which sequences take part in a step, with how much, and who holds KV pages for it. */
#include "model/generate_inside.h"

#include "core/num.h"
#include "model/rope.h"

static int pages_for(int n_tokens)
{
    return (n_tokens + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS;
}

/* Takes the pages of the youngest sequence that holds some, sequence i or a younger one. Returns
 * its index, or -1 where none of them holds any. */
static int preempt(struct lf_gen *g, int i)
{
    for (int j = g->n_seqs - 1; j >= i; j--) {
        struct gen_seq *s = &g->seqs[j];
        if (s->kv.n_pages == 0)
            continue;
        g->preempted++;
        lf_gen_give_back(g, s);
        return j;
    }
    return -1;
}

/* A sequence that has outgrown its cached keys is read again, as transformers does. */
static void reread_outgrown(struct lf_gen *g)
{
    for (int i = 0; i < g->n_seqs; i++)
        if (lf_exec_kv_outgrown(g->x, &g->seqs[i].kv, length(&g->seqs[i])))
            lf_gen_give_back(g, &g->seqs[i]);
}

static void plan(struct lf_gen *g, int i, int take)
{
    struct gen_seq *s = &g->seqs[i];
    s->planned = true;
    g->planned[g->n_batch] = i;
    const int32_t *ids = s->drawn > 0 ? &s->draw : s->tokens + s->kv.n_tokens;
    g->batch[g->n_batch++] =
        (struct lf_batch_seq){.ids = ids,
                              .n = take,
                              .kv = &s->kv,
                              .slot = s->slot,
                              .last_only = s->n_scored >= s->n_prompt && s->n_drafts == 0};
    g->n_tokens += take;
}

/* This step has drafts behind its tokens. */
static bool takes_drafts(const struct lf_gen *g, const struct gen_seq *s)
{
    return g->by && s->drawn == 0 && lf_speculation_drafts(g->by, s->kv.owner);
}

/* What it may go on with, where this step has drafts, and pages for them. */
static void plan_drafts(struct lf_gen *g, struct gen_seq *s, int *left)
{
    if (!takes_drafts(g, s))
        return;
    bool drawn = g->by == &g->drafting;
    int room = lf_min_int(*left, g->tokens_max - g->n_tokens - 1);
    int most = lf_min_int(drawn ? s->n_proposed : lf_gen_drafts_most(s, g->by), room);
    if (most > 0 && !lf_exec_kv_outgrown(g->x, &s->kv, s->n + most))
        lf_gen_add_drafts(g, s, drawn ? most : lf_gen_look_up(s, most));
    if (lf_exec_kv_grow(g->x, &s->kv, s->n + s->n_drafts) != LF_OK)
        s->n_drafts = s->n_drafted = 0;
    if (s->n_drafts == 0 && (!drawn || s->n_proposed > 0))
        lf_speculation_came(g->by, s->kv.owner, 0, 0);
    *left -= s->n_drafts;
}

static bool goes_on(const struct lf_gen *g, const struct gen_seq *s)
{
    return decodes(s) && !drawn_out(s) && g->held != LF_GEN_HELD_DECODING &&
           !(g->held && s->background);
}

/* Where the draft base makes this step's drafts: it does so for all at once, as far as there are
 * rows for them. */
static enum lf_err draw_drafts(struct lf_gen *g, struct lf_diag *diag)
{
    int n = 0, left = g->seqs_max - g->n_seqs;
    if (g->by != &g->drafting)
        return LF_OK;
    for (int i = 0; i < g->n_seqs; i++) {
        struct gen_seq *s = &g->seqs[i];
        s->n_proposed = 0;
        if (left > 0 && goes_on(g, s) && takes_drafts(g, s) && lf_gen_drafts_most(s, g->by) > 0) {
            s->n_guesses = s->n_guessed = 0; /* overwritten */
            left -= lf_gen_drafts_most(s, g->by);
            g->some[n++] = s;
        }
    }
    return lf_gen_propose(g, g->some, n, diag);
}

/* Every sequence that decodes, oldest first, so that those whose pages are taken come later.
 * Returns how many go on from a token that they made. */
static int plan_decoding(struct lf_gen *g)
{
    int n = 0, left = g->seqs_max - g->n_seqs; /* rows for drafts */
    for (int i = 0; i < g->n_seqs && g->n_tokens < g->tokens_max; i++) {
        struct gen_seq *s = &g->seqs[i];
        bool ours = goes_on(g, s);
        while (ours && lf_exec_kv_grow(g->x, &s->kv, length(s)) != LF_OK)
            ours = preempt(g, i) > i;
        if (ours) {
            plan_drafts(g, s, &left);
            plan(g, i, 1 + s->n_drafts);
            n += length(s) > s->n_prompt;
        }
    }
    return n;
}

/* Pages for all that a waiting sequence has to read, leaving one for each that runs; the first of
 * an empty batch takes them from younger ones, so that there is always progress. What others have
 * read need not be read again, unless it is to be scored. */
static bool admit(struct lf_gen *g, int i)
{
    struct gen_seq *s = &g->seqs[i];
    if (s->kv.n_pages > 0)
        return true;
    s->kv.planned = s->n;
    if (s->n_scored >= s->n_prompt)
        lf_exec_kv_find(g->x, &s->kv, s->tokens, s->n);
    int needed = pages_for(s->n) - s->kv.n_pages;
    bool others = g->n_batch > 0 || g->held == LF_GEN_HELD_DECODING;
    while (!others && lf_exec_kv_free_pages(g->x) < needed)
        if (preempt(g, i + 1) < 0)
            break;
    for (int j = 0; j < g->n_seqs && others; j++)
        needed += j != i && g->seqs[j].kv.n_pages > 0;
    if (lf_exec_kv_free_pages(g->x) < needed || lf_exec_kv_grow(g->x, &s->kv, s->n) != LF_OK) {
        lf_exec_kv_release(g->x, &s->kv);
        return false;
    }
    if (s->n_cached < 0)
        s->n_cached = s->kv.n_tokens;
    g->cached_tokens += s->kv.n_tokens;
    return true;
}

/* It reads in this step or a later one. One that is read and draws nothing is about to end; one
 * that is to be read again waits for its tokens that are on their way. */
static bool reads(const struct lf_gen *g, const struct gen_seq *s)
{
    return !decodes(s) && s->drawn == 0 && pending(s) > 0 && !s->planned && !s->awaits &&
           !s->over && !(g->held && s->background);
}

/* Tokens of the group's prompts in the batch; `first`: where prompts begin in it. */
static int group_reads(const struct lf_gen *g, uint64_t group, int first)
{
    int n = 0;
    for (int b = first; b < g->n_batch; b++)
        n += g->seqs[g->planned[b]].group == group ? g->batch[b].n : 0;
    return n;
}

/* Of the group that has the least in the batch the one with the least to read, of several the
 * oldest; -1: none reads. */
static int next_reader(const struct lf_gen *g, int first)
{
    int found = -1, least = 0;
    for (int i = 0; i < g->n_seqs; i++) {
        const struct gen_seq *s = &g->seqs[i];
        if (!reads(g, s))
            continue;
        int in_batch = group_reads(g, s->group, first);
        if (found >= 0 &&
            (in_batch > least || (in_batch == least && pending(s) >= pending(&g->seqs[found]))))
            continue;
        found = i;
        least = in_batch;
    }
    return found;
}

/* Pages that hold the same in both texts. */
static int common_pages(const struct gen_seq *a, const struct gen_seq *b)
{
    int n = lf_min_int(a->n, b->n), k = 0;
    while (k < n && a->tokens[k] == b->tokens[k])
        k++;
    return k / LF_KV_PAGE_TOKENS;
}

/* Of an empty sequence's beginning, to be found now. */
static int found_pages(struct lf_gen *g, struct gen_seq *s)
{
    s->kv.planned = s->n;
    lf_exec_kv_find(g->x, &s->kv, s->tokens, s->n);
    int n = s->kv.n_pages;
    lf_exec_kv_release(g->x, &s->kv);
    return n;
}

/* Sequence i holds no page yet, and one that reads in this step is about to have read more of i's
 * beginning than is to be found now: a step later that need not be read again. */
static bool is_being_read(struct lf_gen *g, int i)
{
    struct gen_seq *s = &g->seqs[i];
    int row = lf_rope_row(&g->m->config, s->n), most = (s->n - 1) / LF_KV_PAGE_TOKENS;
    if (s->kv.n_pages > 0 || s->kv.owner == 0 || s->n_scored < s->n_prompt)
        return false;
    for (int b = 0; b < g->n_batch; b++) {
        const struct gen_seq *other = &g->seqs[g->planned[b]];
        if (other->kv.owner != s->kv.owner || other->kv.rope_row != row || decodes(other))
            continue;
        int common = lf_min_int(common_pages(s, other), most);
        if (common * LF_KV_PAGE_TOKENS > other->kv.n_tokens && common > found_pages(g, s))
            return true;
    }
    return false;
}

/* The one that is in the batch already reads on, as far as there is room. */
static void read_on(struct lf_gen *g, int b, int left)
{
    int more = lf_min_int(left, pending(&g->seqs[g->planned[b]]) - g->batch[b].n);
    g->batch[b].n += more;
    g->n_tokens += more;
}

/* Prompts: groups in turn, and of a group the shortest first, so that a short one need not wait for
 * a long one; but half of what there is room for is the oldest one's, so that all have their turn.
 * Nobody overtakes the oldest where it waits for pages. Those that begin alike begin one after the
 * other. */
static void plan_reading(struct lf_gen *g, int prefill_max)
{
    int left = g->tokens_max - g->n_tokens, oldest = -1, first = g->n_batch;
    int64_t others = 0;
    if (prefill_max > 0)
        left = lf_min_int(left, prefill_max);
    if (prefill_max < 0 && g->n_batch > 0)
        return;
    for (int i = 0; i < g->n_seqs; i++) {
        if (!reads(g, &g->seqs[i]))
            continue;
        if (oldest < 0)
            oldest = i;
        else
            others += pending(&g->seqs[i]);
    }
    int share = others < left / 2 ? left - (int)others : left - left / 2;
    if (next_reader(g, first) == oldest)
        share = left;
    for (int i = oldest; i >= 0 && left > 0; i = next_reader(g, first)) {
        g->seqs[i].awaits = is_being_read(g, i);
        if (g->seqs[i].awaits)
            continue;
        if (!admit(g, i))
            return;
        int take = lf_min_int(pending(&g->seqs[i]), i == oldest ? share : left);
        plan(g, i, take);
        left -= take;
    }
    if (left > 0 && g->n_batch > first) /* the oldest's: what others did not need */
        read_on(g, first, left);
}

/* The batch, and how many of it decode. */
static int plan_batch(struct lf_gen *g, int prefill_max)
{
    enum lf_gen_held held = g->held;
    int n_decoding;
    for (;; g->held--) {
        g->n_batch = g->n_tokens = 0;
        n_decoding = plan_decoding(g);
        plan_reading(g, prefill_max);
        if (g->n_batch > 0 || g->held == LF_GEN_HELD_NONE)
            break;
    }
    g->held = held;
    return n_decoding;
}

enum lf_err lf_gen_plan(struct lf_gen *g, int prefill_max, int *n_decoding, struct lf_diag *diag)
{
    for (int i = 0; i < g->n_seqs; i++) {
        g->seqs[i].planned = g->seqs[i].awaits = false;
        g->seqs[i].n_drafts = g->seqs[i].n_drafted = 0;
    }
    reread_outgrown(g);
    enum lf_err rc = draw_drafts(g, diag);
    if (rc == LF_OK)
        *n_decoding = plan_batch(g, prefill_max);
    return rc;
}

void lf_gen_plan_between(struct lf_gen *g, int tokens)
{
    enum lf_gen_held held = g->held;
    g->held = LF_GEN_HELD_DECODING;
    g->n_batch = g->n_tokens = 0;
    plan_reading(g, tokens);
    g->held = held;
}

int lf_gen_look_up(struct gen_seq *s, int most)
{
    lf_gen_draft_cut(s, s->n);
    return lf_speculation_look_up(s->tokens, s->n, most);
}

void lf_gen_give_back(struct lf_gen *g, struct gen_seq *s)
{
    lf_exec_kv_keep(g->x, &s->kv, s->tokens, s->n);
    lf_exec_kv_release(g->x, &s->kv);
}
