/* Generation: who takes part in the next batch, who holds KV pages, what each sequence becomes. */
#include "model/generate.h"

#include "core/grow.h"
#include "core/num.h"
#include "model/limits.h"

#include <stdlib.h>
#include <string.h>

/* A live sequence. tokens are prompt and completion, n of them known here and the next `drawn` on
 * their way; the first kv.n_tokens of them all are in the cache, the others are pending. One
 * pending token and something cached: it decodes. */
struct gen_seq {
    uint64_t id;
    void *user;
    int32_t *tokens; /* (n_prompt + max_tokens) */
    int n, n_prompt, max_tokens;
    int drawn;     /* by steps in flight: 0, 1, or 2 while the next step is put on the stream */
    int32_t draft; /* LF_DRAWN of the last one */
    bool background;
    bool planned; /* it is in the batch that is being made */
    int n_cached; /* of its prompt, found when it was admitted first; -1: it was not yet */
    int slot;
    struct lf_sample_params sample;
    const struct lf_logit_bias *bias; /* (n_bias) */
    int n_bias;
    struct lf_guide *guide; /* or NULL */
    bool failed;            /* it is */
    bool over;              /* its last token is here */
    struct lf_scores *scores;
    int n_scored; /* the prompt's tokens up to here have their scores, or need none */
    bool ignore_eos;
    int32_t stop_ids[LF_STOPS_MAX];
    int n_stop_ids;
    struct lf_kv_seq kv;
};

/* A step on the device: which sequences drew a token in it, in the order of the drawing; and behind
 * them those that have read their prompts and want no token. */
struct gen_flight {
    struct lf_mark *begin, *end; /* of its work on the stream */
    int n_decoding, n_prompt;    /* sequences, tokens */
    int n_background;            /* sequences of the batch */
    int n, n_done;
    int top_ld;
    struct gen_row {
        uint64_t id;
        int at; /* among the sequences, or before, when others have left */
    } * rows;   /* (seqs_max) */
};

struct lf_gen {
    struct lf_exec *x;
    const struct lf_model *m;
    int seqs_max, tokens_max, context_max;
    bool ahead, held;     /* held: background sequences take no part */
    int pages;            /* of the exec, all of them ours */
    struct gen_seq *seqs; /* (seqs_max), oldest first */
    int n_seqs;
    uint64_t next_id;
    int64_t preempted, prompt_tokens, cached_tokens, completion_tokens;
    /* The batch being made, (seqs_max) each; planned[i] is the sequence of batch[i]. */
    int *planned;
    struct lf_batch_seq *batch;
    struct lf_batch_result *results;
    int n_batch, n_tokens;
    /* What is sampled from it, (seqs_max) each. */
    int *which;
    struct lf_sample_params *params;
    struct gen_flight flights[LF_DRAWS_MAX]; /* a ring */
    int n_flights, flight_first;
    int step_decoding, step_prompt, step_background; /* of the flight that landed last */
    double step_seconds;
    struct lf_exec_tokens landed; /* of the flight that lands, (seqs_max) */
    /* What prompts' scores are asked with, (tokens_max). */
    int n_score;
    struct lf_exec_row *score;
    struct lf_exec_tokens scored;
    /* What draws look at */
    int32_t *history;
    struct lf_logit_bias *bias;
    size_t n_history, history_cap, n_bias, bias_cap;
    uint32_t *masks; /* (seqs_max, words) pinned; NULL: no sequence had a guide so far */
    int n_masks;
    struct gen_flight *open; /* of the batch that has run and whose draws are not made yet */
};

struct lf_sample_params lf_sample_greedy(void)
{
    return (struct lf_sample_params){.temperature = 0, .top_p = 1, .repetition_penalty = 1};
}

static int pages_for(int n_tokens)
{
    return (n_tokens + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS;
}

/* Its tokens, those on their way too. */
static int length(const struct gen_seq *s)
{
    return s->n + s->drawn;
}

static int pending(const struct gen_seq *s)
{
    return length(s) - s->kv.n_tokens;
}

/* The last token that it may have is on its way. */
static bool drawn_out(const struct gen_seq *s)
{
    return length(s) - s->n_prompt == s->max_tokens;
}

static bool decodes(const struct gen_seq *s)
{
    return s->kv.n_tokens > 0 && pending(s) == 1 && s->max_tokens > 0;
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
    enum lf_err rc = flights_new(g, n, diag);
    g->seqs = calloc(n, sizeof *g->seqs);
    g->planned = calloc(n, sizeof *g->planned);
    g->batch = calloc(n, sizeof *g->batch);
    g->results = calloc(n, sizeof *g->results);
    g->which = calloc(n, sizeof *g->which);
    g->params = calloc(n, sizeof *g->params);
    g->score = calloc((size_t)g->tokens_max, sizeof *g->score);
    bool tokens = tokens_new(&g->landed, n) && tokens_new(&g->scored, (size_t)g->tokens_max);
    if (rc == LF_OK && (!g->seqs || !g->planned || !g->batch || !g->results || !g->which ||
                        !g->params || !g->score || !tokens))
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
    free(g->params);
    free(g->score);
    tokens_free(&g->landed);
    tokens_free(&g->scored);
    free(g->history);
    free(g->bias);
    lf_device_release_host(lf_exec_stream(g->x)->dev, g->masks);
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
    const int32_t *ids = s->drawn > 0 ? &s->draft : s->tokens + s->kv.n_tokens;
    g->batch[g->n_batch++] = (struct lf_batch_seq){.ids = ids,
                                                   .n = take,
                                                   .kv = &s->kv,
                                                   .slot = s->slot,
                                                   .last_only = s->n_scored >= s->n_prompt};
    g->n_tokens += take;
}

/* Every sequence that decodes, oldest first, so that those whose pages are taken come later.
 * Returns how many go on from a token that they made. */
static int plan_decoding(struct lf_gen *g)
{
    int n = 0;
    for (int i = 0; i < g->n_seqs && g->n_tokens < g->tokens_max; i++) {
        struct gen_seq *s = &g->seqs[i];
        bool ours = decodes(s) && !drawn_out(s) && !(g->held && s->background);
        while (ours && lf_exec_kv_grow(g->x, &s->kv, length(s)) != LF_OK)
            ours = preempt(g, i) > i;
        if (ours) {
            plan(g, i, 1);
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
    while (g->n_batch == 0 && lf_exec_kv_free_pages(g->x) < needed)
        if (preempt(g, i + 1) < 0)
            break;
    for (int j = 0; j < g->n_seqs && g->n_batch > 0; j++)
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
    return !decodes(s) && s->drawn == 0 && pending(s) > 0 && !s->planned &&
           !(g->held && s->background);
}

/* The one with the least to read, of several the oldest; -1: none reads. */
static int shortest(const struct lf_gen *g)
{
    int found = -1;
    for (int i = 0; i < g->n_seqs; i++)
        if (reads(g, &g->seqs[i]) && (found < 0 || pending(&g->seqs[i]) < pending(&g->seqs[found])))
            found = i;
    return found;
}

/* Prompts: the shortest first, so that a short one need not wait for a long one; but half of what
 * there is room for is the oldest one's, so that all have their turn. Nobody overtakes the oldest
 * where it waits for pages. */
static void plan_reading(struct lf_gen *g, int prefill_max)
{
    int left = g->tokens_max - g->n_tokens, oldest = -1;
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
    if (shortest(g) == oldest)
        share = left;
    for (int i = oldest; i >= 0 && left > 0; i = shortest(g)) {
        if (!admit(g, i))
            return;
        int take = lf_min_int(pending(&g->seqs[i]), i == oldest ? share : left);
        plan(g, i, take);
        left -= take;
    }
}

/* ---- The tokens ------------------------------------------------------------------------------ */

static bool has_penalty(const struct lf_sample_params *p)
{
    return p->repetition_penalty != 1 || p->frequency_penalty != 0 || p->presence_penalty != 0;
}

/* Appends what the sequence's draw looks at to the lists of this batch. */
static enum lf_err add_lists(struct lf_gen *g, const struct gen_seq *s, struct lf_sample_params *p,
                             struct lf_diag *diag)
{
    size_t n = has_penalty(p) ? (size_t)s->n : 0, n_bias = (size_t)s->n_bias;
    enum lf_err rc = lf_grow(&g->history, &g->history_cap, g->n_history + n, sizeof *g->history);
    rc = rc ?: lf_grow(&g->bias, &g->bias_cap, g->n_bias + n_bias, sizeof *g->bias);
    if (rc != LF_OK)
        return lf_fail(diag, rc, "no memory for %zu tokens of history", g->n_history + n);
    p->history_off = (int32_t)g->n_history;
    p->history_n = (int32_t)n;
    p->completion_n = n > 0 ? s->n - s->n_prompt : 0;
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

/* The sequence's guide says what may be drawn; where it cannot, all may, and the sequence ends. */
static enum lf_err add_mask(struct lf_gen *g, struct gen_seq *s, struct lf_sample_params *p,
                            struct lf_diag *diag)
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
    s->failed = lf_guide_mask(s->guide, g->masks + (size_t)g->n_masks * words) != LF_OK;
    if (!s->failed)
        p->mask = ++g->n_masks;
    return LF_OK;
}

/* Draws for the sequences of the batch that have nothing pending any more, into flight f. */
static enum lf_err draw(struct lf_gen *g, struct gen_flight *f, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    f->n = f->n_done = f->top_ld = 0;
    g->n_history = g->n_bias = 0;
    g->n_masks = 0;
    for (int b = 0; b < g->n_batch && rc == LF_OK; b++) {
        struct gen_seq *s = &g->seqs[g->planned[b]];
        if (pending(s) > 0 || s->max_tokens == 0 || s->over)
            continue;
        struct lf_sample_params *p = &g->params[f->n];
        *p = s->sample;
        p->counter = (uint64_t)(length(s) - s->n_prompt);
        rc = add_lists(g, s, p, diag) ?: add_mask(g, s, p, diag);
        f->top_ld = lf_max_int(f->top_ld, p->top_n);
        g->which[f->n] = b;
        f->rows[f->n++] = (struct gen_row){s->id, g->planned[b]};
    }
    for (int b = 0; b < g->n_batch; b++) {
        const struct gen_seq *s = &g->seqs[g->planned[b]];
        if (pending(s) == 0 && s->max_tokens == 0)
            f->rows[f->n + f->n_done++] = (struct gen_row){s->id, g->planned[b]};
    }
    if (f->n == 0 || rc != LF_OK)
        return rc;
    const struct lf_exec_wish wish = {.which = g->which,
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
static enum lf_err score(struct lf_gen *g, struct lf_diag *diag)
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

/* ---- A step ---------------------------------------------------------------------------------- */

/* After a failure: the tokens whose successors were not sampled are pending again. */
static void rewind_batch(struct lf_gen *g)
{
    for (int b = 0; b < g->n_batch; b++) {
        struct gen_seq *s = &g->seqs[g->planned[b]];
        if (pending(s) == 0)
            s->kv.n_tokens--;
    }
}

/* The guide hears of the token, too. */
static enum lf_finish finish_of(const struct lf_gen *g, const struct gen_seq *s, int32_t token)
{
    if (s->failed || (s->guide && lf_guide_accept(s->guide, token) != LF_OK))
        return LF_FINISH_FAILED;
    for (int i = 0; i < s->n_stop_ids; i++)
        if (s->stop_ids[i] == token)
            return LF_FINISH_EOS;
    if (!s->ignore_eos && lf_model_is_eos(g->m, token))
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

/* Row i of the flight that has landed. */
static void accept(struct lf_gen *g, struct gen_seq *s, const struct gen_flight *f, int i,
                   struct lf_gen_token *out)
{
    int32_t token = g->landed.ids[i];
    size_t top = (size_t)i * (size_t)f->top_ld;
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
}

/* Puts the next step's forward on the stream, where any sequence has something for it. */
static enum lf_err launch(struct lf_gen *g, int prefill_max, struct lf_diag *diag)
{
    struct gen_flight *f = &g->flights[(g->flight_first + g->n_flights) % LF_DRAWS_MAX];
    g->n_batch = g->n_tokens = 0;
    for (int i = 0; i < g->n_seqs; i++)
        g->seqs[i].planned = false;
    reread_outgrown(g);
    int n_decoding = plan_decoding(g);
    plan_reading(g, prefill_max);
    if (g->n_batch == 0 && g->held) { /* others are not there, or wait for pages */
        g->held = false;
        n_decoding = plan_decoding(g);
        plan_reading(g, prefill_max);
        g->held = true;
    }
    if (g->n_batch == 0)
        return LF_OK;
    f->n_background = 0;
    for (int b = 0; b < g->n_batch; b++)
        f->n_background += g->seqs[g->planned[b]].background;
    f->n_decoding = n_decoding;
    f->n_prompt = g->n_tokens - n_decoding;
    lf_mark_set(f->begin);
    enum lf_err rc = lf_exec_run(g->x, g->batch, g->n_batch, g->results, diag);
    rc = rc ?: score(g, diag);
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
    enum lf_err rc = draw(g, f, diag);
    if (rc != LF_OK) {
        rewind_batch(g);
        return rc;
    }
    for (int i = 0; i < f->n; i++) {
        struct gen_seq *s = &g->seqs[f->rows[i].at];
        s->drawn++;
        s->draft = LF_DRAWN(i);
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

/* The next step will not wait for scores. */
static bool may_go_ahead(const struct lf_gen *g)
{
    bool may = g->ahead;
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
        wait = has_penalty(&s->sample) || s->n_bias > 0 || s->guide;
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
    for (int i = 0; f && i < f->n; i++) {
        struct gen_seq *s = find(g, &f->rows[i]);
        if (s)
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
    *n_out = n;
    return LF_OK;
}

void lf_gen_forget(struct lf_gen *g, uint64_t owner)
{
    lf_exec_kv_forget(g->x, owner);
}

void lf_gen_hold(struct lf_gen *g, bool background)
{
    g->held = background;
}

void lf_gen_status(const struct lf_gen *g, struct lf_gen_status *out)
{
    struct lf_gen_status st = {.live = g->n_seqs,
                               .preempted = g->preempted,
                               .prompt_tokens = g->prompt_tokens,
                               .cached_tokens = g->cached_tokens,
                               .completion_tokens = g->completion_tokens,
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
    }
    *out = st;
}
