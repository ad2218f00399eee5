/* Generation: who takes part in the next batch, who holds KV pages, what each sequence becomes. */
#include "model/generate_inside.h"

#include "core/clock.h"
#include "core/num.h"
#include "model/limits.h"
#include "model/rope.h"

#include <stdlib.h>
#include <string.h>

#define GUESS_STEPS 32 /* a draft base's guess costs about one */

struct lf_sample_params lf_sample_greedy(void)
{
    return (struct lf_sample_params){.temperature = 0, .top_p = 1, .repetition_penalty = 1};
}

static int pages_for(int n_tokens)
{
    return (n_tokens + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS;
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* Untouched pages cost nothing: alternatives are seldom wanted. */
static bool tokens_new(struct lf_exec_tokens *t, size_t n)
{
    size_t tops = n * LF_TOP_LOGPROBS_MAX;
    t->ids = calloc(n, sizeof *t->ids);
    t->logprobs = calloc(n, sizeof *t->logprobs);
    t->top_ids = calloc(tops, sizeof *t->top_ids);
    t->top_logprobs = calloc(tops, sizeof *t->top_logprobs);
    return t->ids && t->logprobs && t->top_ids && t->top_logprobs;
}

static void tokens_free(struct lf_exec_tokens *t)
{
    free(t->ids);
    free(t->logprobs);
    free(t->top_ids);
    free(t->top_logprobs);
}

static enum lf_err flights_new(struct lf_gen *g, size_t n, struct lf_diag *diag)
{
    struct lf_stream *stream = lf_exec_stream(g->x);
    enum lf_err rc = LF_OK;
    for (int i = 0; i < LF_DRAWS_MAX && rc == LF_OK; i++) {
        struct gen_flight *f = &g->flights[i];
        rc = lf_mark_new(&f->begin, stream, diag) ?: lf_mark_new(&f->end, stream, diag);
        f->rows = calloc(n, sizeof *f->rows);
        if (rc == LF_OK && !f->rows)
            rc = lf_no_memory(diag, "%zu live sequences", n);
    }
    return rc;
}

enum lf_err lf_gen_new(struct lf_gen **out, struct lf_exec *x, const struct lf_model *m,
                       const struct lf_gen_limits *limits, struct lf_diag *diag)
{
    const struct lf_exec_limits *xl = lf_exec_limits(x);
    struct lf_gen *g = calloc(1, sizeof *g);
    if (!g)
        return lf_no_memory(diag, "generation");
    g->x = x;
    g->m = m;
    g->pages = lf_exec_kv_free_pages(x);
    g->seqs_max = limits->seqs_max ? lf_min_int(limits->seqs_max, xl->seqs_max) : xl->seqs_max;
    g->tokens_max =
        limits->tokens_max ? lf_min_int(limits->tokens_max, xl->tokens_max) : xl->tokens_max;
    g->seqs_max = lf_min_int(g->seqs_max, g->tokens_max);
    g->context_max = lf_min_int(m->rope_positions, g->pages * LF_KV_PAGE_TOKENS);
    if (limits->context_max)
        g->context_max = lf_min_int(g->context_max, limits->context_max);
    if (g->context_max < 2) {
        free(g);
        return lf_fail(diag, LF_E_INVALID, "generation needs KV pages");
    }
    size_t n = (size_t)g->seqs_max;
    g->ahead = limits->ahead;
    g->draft = limits->draft;
    bool chosen = g->draft && limits->speculate != LF_SPECULATE_AUTO;
    lf_speculation_init(&g->look_up, chosen ? 0 : limits->speculate);
    lf_speculation_init(&g->drafting, g->draft ? limits->speculate : 0);
    enum lf_err rc = flights_new(g, n, diag);
    g->seqs = calloc(n, sizeof *g->seqs);
    g->planned = calloc(n, sizeof *g->planned);
    g->batch = calloc(n, sizeof *g->batch);
    g->results = calloc(n, sizeof *g->results);
    g->which = calloc(n, sizeof *g->which);
    g->at = calloc(n, sizeof *g->at);
    g->owners = calloc(n, sizeof *g->owners);
    g->some = calloc(n, sizeof *g->some);
    g->draft_ids = calloc(n, sizeof *g->draft_ids);
    g->params = calloc(n, sizeof *g->params);
    g->score = calloc((size_t)g->tokens_max, sizeof *g->score);
    bool tokens = tokens_new(&g->landed, n) && tokens_new(&g->scored, (size_t)g->tokens_max);
    if (rc == LF_OK &&
        (!g->seqs || !g->planned || !g->batch || !g->results || !g->which || !g->at || !g->owners ||
         !g->some || !g->draft_ids || !g->params || !g->score || !tokens))
        rc = lf_no_memory(diag, "%zu live sequences", n);
    if (rc == LF_OK)
        *out = g;
    else
        lf_gen_free(g);
    return rc;
}

/* The oldest flight is over; its rows stay until the next step. */
static enum lf_err land(struct lf_gen *g, struct gen_flight **out, struct lf_diag *diag)
{
    struct gen_flight *f = &g->flights[g->flight_first];
    g->flight_first = (g->flight_first + 1) % LF_DRAWS_MAX;
    g->n_flights--;
    *out = f;
    enum lf_err rc = f->n > 0 ? lf_exec_drawn(g->x, &g->landed, diag) : LF_OK;
    rc = rc ?: lf_mark_wait(f->end, diag);
    g->step_decoding = f->n_decoding;
    g->step_prompt = f->n_prompt;
    g->step_background = f->n_background;
    if (rc == LF_OK)
        g->step_seconds = lf_mark_seconds(f->begin, f->end);
    return rc;
}

void lf_gen_free(struct lf_gen *g)
{
    if (!g)
        return;
    struct gen_flight *f;
    while (g->n_flights > 0 && land(g, &f, NULL) == LF_OK)
        continue;
    for (int i = 0; i < g->n_seqs; i++) {
        lf_exec_kv_release(g->x, &g->seqs[i].kv);
        if (g->draft)
            lf_exec_kv_release(g->draft->exec, &g->seqs[i].draft_kv);
        free(g->seqs[i].tokens);
    }
    for (int i = 0; i < LF_DRAWS_MAX; i++) {
        lf_mark_free(g->flights[i].begin);
        lf_mark_free(g->flights[i].end);
        free(g->flights[i].rows);
    }
    free(g->seqs);
    free(g->planned);
    free(g->batch);
    free(g->results);
    free(g->which);
    free(g->at);
    free(g->owners);
    free(g->some);
    free(g->draft_ids);
    free(g->params);
    free(g->score);
    tokens_free(&g->landed);
    tokens_free(&g->scored);
    free(g->history);
    free(g->bias);
    lf_device_release_host(lf_exec_stream(g->x)->dev, g->masks);
    lf_device_release_host(lf_exec_stream(g->x)->dev, g->draft_masks);
    free(g);
}

int lf_gen_context_max(const struct lf_gen *g)
{
    return g->context_max;
}

int lf_gen_seqs_max(const struct lf_gen *g)
{
    return g->seqs_max;
}

/* ---- Coming and going ------------------------------------------------------------------------ */

static enum lf_err check_request(const struct lf_gen *g, const struct lf_gen_request *r,
                                 struct lf_diag *diag)
{
    if (r->n < 1)
        return lf_fail(diag, LF_E_INVALID, "the prompt has no token");
    if (r->max_tokens < 0)
        return lf_fail(diag, LF_E_INVALID, "max_tokens must be at least 0");
    if (r->sample.top_n < 0 || r->sample.top_n > LF_TOP_LOGPROBS_MAX)
        return lf_fail(diag, LF_E_INVALID, "%d alternatives to list: at most %d", r->sample.top_n,
                       LF_TOP_LOGPROBS_MAX);
    if (r->n_bias < 0 || r->n_bias > LF_LOGIT_BIASES_MAX)
        return lf_fail(diag, LF_E_INVALID, "more than %d biases", LF_LOGIT_BIASES_MAX);
    if (r->n_stop_ids < 0 || r->n_stop_ids > LF_STOPS_MAX)
        return lf_fail(diag, LF_E_INVALID, "more than %d stop ids", LF_STOPS_MAX);
    if ((int64_t)r->n + r->max_tokens > g->context_max)
        return lf_fail(diag, LF_E_INVALID,
                       "a prompt of %d tokens and %d to generate are over the context of %d", r->n,
                       r->max_tokens, g->context_max);
    for (int i = 0; i < r->n; i++)
        if (r->ids[i] < 0 || r->ids[i] >= g->m->config.V)
            return lf_fail(diag, LF_E_INVALID, "token id %d is not in the vocabulary of %d",
                           r->ids[i], g->m->config.V);
    for (int i = 0; i < r->n_bias; i++)
        if (r->bias[i].id < 0 || r->bias[i].id >= g->m->config.V)
            return lf_fail(diag, LF_E_INVALID, "token id %d is not in the vocabulary of %d",
                           r->bias[i].id, g->m->config.V);
    return LF_OK;
}

enum lf_err lf_gen_add(struct lf_gen *g, const struct lf_gen_request *r, uint64_t *id,
                       struct lf_diag *diag)
{
    enum lf_err rc = check_request(g, r, diag);
    if (rc != LF_OK)
        return rc;
    if (g->n_seqs == g->seqs_max)
        return lf_fail(diag, LF_E_OVERLOADED, "%d sequences are live already", g->n_seqs);
    int32_t *tokens = malloc(((size_t)r->n + (size_t)r->max_tokens) * sizeof *tokens);
    if (!tokens)
        return lf_no_memory(diag, "a sequence of %d tokens", r->n + r->max_tokens);
    memcpy(tokens, r->ids, (size_t)r->n * sizeof *tokens);
    struct gen_seq *s = &g->seqs[g->n_seqs++];
    *s = (struct gen_seq){.id = g->next_id++,
                          .group = r->group,
                          .user = r->user,
                          .tokens = tokens,
                          .n = r->n,
                          .n_prompt = r->n,
                          .max_tokens = r->max_tokens,
                          .slot = r->slot,
                          .sample = r->sample,
                          .bias = r->bias,
                          .n_bias = r->n_bias,
                          .guide = r->guide,
                          .scores = r->scores,
                          .n_scored = r->scores ? 1 : r->n,
                          .ignore_eos = r->ignore_eos,
                          .background = r->background,
                          .n_cached = -1,
                          .n_stop_ids = r->n_stop_ids,
                          .kv = {.owner = r->owner}};
    if (r->n_stop_ids > 0)
        memcpy(s->stop_ids, r->stop_ids, (size_t)r->n_stop_ids * sizeof *s->stop_ids);
    *id = s->id;
    return LF_OK;
}

/* What it has read stays for those who begin alike. */
static void give_back(struct lf_gen *g, struct gen_seq *s)
{
    lf_exec_kv_keep(g->x, &s->kv, s->tokens, s->n);
    lf_exec_kv_release(g->x, &s->kv);
}

static void remove_at(struct lf_gen *g, int i)
{
    give_back(g, &g->seqs[i]);
    if (g->draft)
        lf_exec_kv_release(g->draft->exec, &g->seqs[i].draft_kv);
    free(g->seqs[i].tokens);
    g->n_seqs--;
    memmove(&g->seqs[i], &g->seqs[i + 1], (size_t)(g->n_seqs - i) * sizeof *g->seqs);
}

void lf_gen_remove(struct lf_gen *g, uint64_t id)
{
    for (int i = 0; i < g->n_seqs; i++) {
        if (g->seqs[i].id == id) {
            remove_at(g, i);
            return;
        }
    }
}

/* ---- The batch ------------------------------------------------------------------------------- */

/* Takes the pages of the youngest sequence that holds some, sequence i or a younger one. Returns
 * its index, or -1 where none of them holds any. */
static int preempt(struct lf_gen *g, int i)
{
    for (int j = g->n_seqs - 1; j >= i; j--) {
        struct gen_seq *s = &g->seqs[j];
        if (s->kv.n_pages == 0)
            continue;
        g->preempted++;
        give_back(g, s);
        return j;
    }
    return -1;
}

/* A sequence that has outgrown its cached keys is read again, as transformers does. */
static void reread_outgrown(struct lf_gen *g)
{
    for (int i = 0; i < g->n_seqs; i++)
        if (lf_exec_kv_outgrown(g->x, &g->seqs[i].kv, length(&g->seqs[i])))
            give_back(g, &g->seqs[i]);
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

/* Tokens that are put behind the sequence's. */
static int look_up(struct gen_seq *s, int most)
{
    lf_gen_draft_cut(s, s->n);
    return lf_speculation_look_up(s->tokens, s->n, most);
}

/* This step has drafts behind its tokens. */
static bool takes_drafts(const struct lf_gen *g, const struct gen_seq *s)
{
    return g->by && s->drawn == 0 && lf_speculation_drafts(g->by, s->kv.owner);
}

/* How many it may have: with them comes a token that is none. */
static int drafts_most(const struct gen_seq *s, const struct lf_speculation *by)
{
    return lf_min_int(by->most, s->max_tokens - (s->n - s->n_prompt) - 1);
}

/* What it may go on with, where this step has drafts, and pages for them. */
static void plan_drafts(struct lf_gen *g, struct gen_seq *s, int *left)
{
    if (!takes_drafts(g, s))
        return;
    bool drawn = g->by == &g->drafting;
    int room = lf_min_int(*left, g->tokens_max - g->n_tokens - 1);
    int most = lf_min_int(drawn ? s->n_proposed : drafts_most(s, g->by), room);
    if (most > 0 && !lf_exec_kv_outgrown(g->x, &s->kv, s->n + most))
        lf_gen_add_drafts(g, s, drawn ? most : look_up(s, most));
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
        if (left > 0 && goes_on(g, s) && takes_drafts(g, s) && drafts_most(s, g->by) > 0) {
            s->n_guesses = s->n_guessed = 0; /* overwritten */
            left -= drafts_most(s, g->by);
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
           !(g->held && s->background);
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

/* ---- A step ---------------------------------------------------------------------------------- */

/* After a failure: the tokens whose successors were not sampled are pending again. */
static void rewind_batch(struct lf_gen *g)
{
    for (int b = 0; b < g->n_batch; b++) {
        struct gen_seq *s = &g->seqs[g->planned[b]];
        if (pending(s) <= 0)
            s->kv.n_tokens = length(s) - 1;
        s->n_drafts = 0;
    }
}

/* The guide hears of the token, too. */
static enum lf_finish finish_of(const struct lf_gen *g, const struct gen_seq *s, int32_t token)
{
    if (s->failed || (s->guide && lf_guide_accept(s->guide, token) != LF_OK))
        return LF_FINISH_FAILED;
    if (lf_gen_ends(g, s, token))
        return LF_FINISH_EOS;
    if (s->guide && lf_guide_ended(s->guide))
        return LF_FINISH_WHOLE;
    return s->n - s->n_prompt >= s->max_tokens ? LF_FINISH_LENGTH : LF_FINISH_NONE;
}

/* The sequence of a row; NULL: it has left. Sequences stand in the order of their ids. */
static struct gen_seq *find(struct lf_gen *g, const struct gen_row *r)
{
    for (int i = lf_min_int(r->at, g->n_seqs - 1); i >= 0 && g->seqs[i].id >= r->id; i--)
        if (g->seqs[i].id == r->id)
            return &g->seqs[i];
    return NULL;
}

/* The rest of its drafts is of no use, nor are its keys, and what was drawn behind it. */
static void refuse_drafts(struct lf_gen *g, struct gen_seq *s)
{
    lf_speculation_came(g->by, s->kv.owner, s->n_drafted, s->n_drafted - s->n_drafts);
    s->drawn -= s->n_drafts;
    s->kv.n_tokens -= s->n_drafts;
    s->n_refused = s->n_drafts;
    s->n_drafts = s->n_drafted = 0;
}

/* Looks up what drafts would be, where none are made. */
static void guess(struct lf_gen *g, struct gen_seq *s)
{
    int most = drafts_most(s, &g->look_up);
    bool drafts = g->by && lf_speculation_drafts(g->by, s->kv.owner);
    if (s->n_guessed > 0 || s->n_drafts > 0 || drafts || most < 1 ||
        !lf_speculation_guesses(&g->look_up, s->n))
        return;
    s->guessed = &g->look_up;
    s->n_guesses = s->n_guessed = look_up(s, most);
    if (s->n_guessed == 0)
        lf_speculation_came(&g->look_up, s->kv.owner, 0, 0);
}

/* The draft base can be asked what it would say of it. */
static bool may_guess(const struct lf_gen *g, const struct gen_seq *s)
{
    bool drafts = g->by && lf_speculation_drafts(g->by, s->kv.owner);
    return s->n > s->n_prompt && s->n_guessed == 0 && !drafts && drafts_most(s, &g->drafting) > 0;
}

/* The same by the draft base, of one sequence after the other, now and then: its steps cost time
 * that the one under way may be over in. */
static enum lf_err guess_by_draft(struct lf_gen *g, struct lf_diag *diag)
{
    struct gen_seq *s = NULL;
    if (g->guess_in > 0)
        g->guess_in--;
    if (g->drafting.most == 0 || g->drafting.always || g->guess_in > 0)
        return LF_OK;
    for (int i = 0; i < g->n_seqs; i++) {
        struct gen_seq *other = &g->seqs[i];
        bool next = other->id > g->guessed_id;
        if (may_guess(g, other) && (!s || (next && s->id <= g->guessed_id)))
            s = other;
    }
    if (!s)
        return LF_OK;
    enum lf_err rc = lf_gen_propose(g, &s, 1, diag);
    s->guessed = &g->drafting;
    s->n_guesses = s->n_guessed = s->n_proposed;
    g->guessed_id = s->id;
    if (s->n_proposed > 0) /* else it is another one's turn, and this one is read on later */
        g->guess_in = GUESS_STEPS;
    return rc;
}

/* The token is the next one: it was guessed, or the rest of the guesses is wrong. */
static void compare_guess(struct gen_seq *s, int32_t token)
{
    if (s->n_guessed == 0)
        return;
    bool right = s->tokens[s->n] == token;
    s->n_guesses -= right;
    if (right && s->n_guesses > 0)
        return;
    lf_speculation_came(s->guessed, s->kv.owner, s->n_guessed, s->n_guessed - s->n_guesses);
    s->n_guesses = s->n_guessed = 0;
}

/* Row i of the flight that has landed. */
static void accept(struct lf_gen *g, struct gen_seq *s, const struct gen_flight *f, int i,
                   struct lf_gen_token *out)
{
    int32_t token = g->landed.ids[i];
    size_t top = (size_t)i * (size_t)f->top_ld;
    bool drafted = s->n_drafts > 0 && s->tokens[s->n] == token;
    compare_guess(s, token);
    if (s->draft_kv.n_tokens > s->n && s->tokens[s->n] != token)
        lf_gen_draft_cut(s, s->n);
    s->tokens[s->n++] = token;
    s->drawn--;
    *out = (struct lf_gen_token){.id = s->id,
                                 .user = s->user,
                                 .token = token,
                                 .logprob = g->landed.logprobs[i],
                                 .top_ids = g->landed.top_ids + top,
                                 .top_logprob = g->landed.top_logprobs + top,
                                 .index = s->n - s->n_prompt - 1,
                                 .n_cached = s->n_cached,
                                 .finish = finish_of(g, s, token)};
    s->over = out->finish != LF_FINISH_NONE;
    s->n_drafts -= drafted;
    g->accepted += drafted;
    if (s->n_drafted > 0 && (!drafted || s->over)) {
        refuse_drafts(g, s);
        s->n_refused += drafted; /* what was drawn behind a draft that ends the text */
    }
    if (!s->over)
        guess(g, s);
}

/* The batch, and how many of it decode. Where those who are not held have nothing for it, as they
 * wait for pages, others are in it after all. */
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

/* Puts the next step's forward on the stream, where any sequence has something for it. */
static enum lf_err launch(struct lf_gen *g, int prefill_max, struct lf_diag *diag)
{
    struct gen_flight *f = &g->flights[(g->flight_first + g->n_flights) % LF_DRAWS_MAX];
    for (int i = 0; i < g->n_seqs; i++) {
        g->seqs[i].planned = g->seqs[i].awaits = false;
        g->seqs[i].n_drafts = g->seqs[i].n_drafted = 0;
    }
    reread_outgrown(g);
    lf_mark_set(f->begin);
    enum lf_err rc = draw_drafts(g, diag);
    if (rc != LF_OK)
        return rc;
    int n_decoding = plan_batch(g, prefill_max);
    if (g->n_batch == 0)
        return LF_OK;
    f->n_background = f->n_drafts = 0;
    for (int b = 0; b < g->n_batch; b++) {
        f->n_background += g->seqs[g->planned[b]].background;
        f->n_drafts += g->seqs[g->planned[b]].n_drafts;
    }
    f->by = g->by;
    f->n_decoding = n_decoding;
    f->n_prompt = g->n_tokens - n_decoding - f->n_drafts;
    g->drafted += f->n_drafts;
    rc = lf_exec_run(g->x, g->batch, g->n_batch, g->results, diag);
    rc = rc ?: lf_gen_score(g, diag);
    if (rc == LF_OK)
        g->open = f;
    else
        rewind_batch(g);
    return rc;
}

/* And its draws behind it. */
static enum lf_err launch_draws(struct lf_gen *g, struct lf_diag *diag)
{
    struct gen_flight *f = g->open;
    if (!f)
        return LF_OK;
    g->open = NULL;
    enum lf_err rc = lf_gen_draw(g, f, diag);
    if (rc != LF_OK) {
        rewind_batch(g);
        return rc;
    }
    for (int i = 0; i < f->n; i++) {
        struct gen_seq *s = &g->seqs[f->rows[i].at];
        s->drawn++;
        s->draw = LF_DRAWN(i);
    }
    lf_mark_set(f->end);
    for (int b = 0; b < g->n_batch; b++) {
        struct gen_seq *s = &g->seqs[g->planned[b]];
        lf_exec_kv_keep(g->x, &s->kv, s->tokens, s->n);
    }
    g->n_flights++;
    g->prompt_tokens += f->n_prompt;
    return LF_OK;
}

/* Where drafts come from by which the sequences that decode now gain most; NULL: they do not. */
static struct lf_speculation *drafts_by(struct lf_gen *g)
{
    int n = 0;
    for (int i = 0; i < g->n_seqs; i++)
        if (decodes(&g->seqs[i]) && !(g->held && g->seqs[i].background))
            g->owners[n++] = g->seqs[i].kv.owner;
    double look_up = lf_speculation_gain(&g->look_up, g->owners, n);
    double drafting = lf_speculation_gain(&g->drafting, g->owners, n);
    if (look_up == 0 && drafting == 0)
        return NULL;
    return drafting > look_up ? &g->drafting : &g->look_up;
}

/* What a step without prompts took; without drafts, as each source of them has to know. */
static void price(struct lf_gen *g, const struct gen_flight *f, double seconds)
{
    int rows = f->n_decoding + f->n_drafts;
    if (f->n_decoding == 0 || f->n_prompt > 0)
        return;
    if (f->by) {
        lf_speculation_took(f->by, true, rows, seconds);
    } else {
        lf_speculation_took(&g->look_up, false, rows, seconds);
        lf_speculation_took(&g->drafting, false, rows, seconds);
    }
}

/* The next step will not wait for scores, nor for what drafts follow. */
static bool may_go_ahead(const struct lf_gen *g)
{
    bool may = g->ahead && !g->by;
    for (int i = 0; i < g->n_seqs && may; i++)
        may = g->seqs[i].n_scored >= g->seqs[i].n_prompt;
    return may;
}

/* Its draws want tokens on the host that are still on their way, or lists whose memory may grow. */
static bool draws_wait(const struct lf_gen *g)
{
    bool wait = false;
    for (int i = 0; i < g->n_seqs && !wait; i++) {
        const struct gen_seq *s = &g->seqs[i];
        wait = lf_gen_has_penalty(&s->sample) || s->n_bias > 0 || s->guide;
    }
    return wait;
}

enum lf_err lf_gen_step(struct lf_gen *g, int prefill_max, struct lf_gen_token *out, int *n_out,
                        struct lf_diag *diag)
{
    struct gen_flight *f = NULL;
    int n = 0;
    g->step_decoding = g->step_prompt = g->step_background = 0;
    g->step_seconds = 0;
    enum lf_err rc = LF_OK;
    uint64_t begin = g->n_flights == 0 ? lf_clock_ns() : 0;
    g->by = drafts_by(g);
    if (g->n_flights == 0)
        rc = launch(g, prefill_max, diag) ?: launch_draws(g, diag);
    if (rc == LF_OK && g->n_flights == 1 && may_go_ahead(g))
        rc = launch(g, prefill_max, diag);
    if (rc == LF_OK && !draws_wait(g))
        rc = launch_draws(g, diag);
    if (rc == LF_OK && g->n_flights > 0)
        rc = land(g, &f, diag);
    if (rc != LF_OK)
        return rc;
    if (f)
        price(g, f, begin > 0 ? (double)(lf_clock_ns() - begin) / 1e9 : g->step_seconds);
    for (int i = 0; f && i < f->n; i++) {
        struct gen_seq *s = find(g, &f->rows[i]);
        if (s && s->n_refused > 0)
            s->n_refused--;
        else if (s)
            accept(g, s, f, i, &out[n++]);
    }
    rc = launch_draws(g, diag);
    if (rc != LF_OK)
        return rc;
    g->completion_tokens += n;
    for (int i = 0; f && i < f->n_done; i++) {
        const struct gen_seq *s = find(g, &f->rows[f->n + i]);
        if (s)
            out[n++] = (struct lf_gen_token){.id = s->id,
                                             .user = s->user,
                                             .token = -1,
                                             .n_cached = s->n_cached,
                                             .finish = LF_FINISH_LENGTH};
    }
    for (int i = 0; i < n; i++)
        if (out[i].finish != LF_FINISH_NONE)
            lf_gen_remove(g, out[i].id);
    rc = guess_by_draft(g, diag);
    if (rc == LF_OK)
        *n_out = n;
    return rc;
}

void lf_gen_forget(struct lf_gen *g, uint64_t owner)
{
    lf_exec_kv_forget(g->x, owner);
}

void lf_gen_hold(struct lf_gen *g, enum lf_gen_held held)
{
    g->held = held;
}

void lf_gen_status(const struct lf_gen *g, struct lf_gen_status *out)
{
    struct lf_gen_status st = {.live = g->n_seqs,
                               .preempted = g->preempted,
                               .prompt_tokens = g->prompt_tokens,
                               .cached_tokens = g->cached_tokens,
                               .completion_tokens = g->completion_tokens,
                               .drafted = g->drafted,
                               .accepted = g->accepted,
                               .step_decoding = g->step_decoding,
                               .step_prompt = g->step_prompt,
                               .step_background = g->step_background,
                               .step_seconds = g->step_seconds,
                               .pages = g->pages,
                               .pages_free = lf_exec_kv_free_pages(g->x),
                               .pages_idle = lf_exec_kv_idle_pages(g->x)};
    for (int i = 0; i < g->n_seqs; i++) {
        const struct gen_seq *s = &g->seqs[i];
        if (s->kv.n_pages == 0)
            st.waiting++;
        else if (decodes(s))
            st.decoding++;
        else
            st.reading++;
        if (!decodes(s) && s->drawn == 0 && !s->background)
            st.unread += pending(s);
    }
    if (g->n_flights > 0) {
        const struct gen_flight *f = &g->flights[g->flight_first];
        st.next_decoding = f->n_decoding;
        st.next_prompt = f->n_prompt;
        st.next_background = f->n_background;
    }
    *out = st;
}
