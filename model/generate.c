/* Generation: what each sequence becomes, from step to step. */
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
    for (int i = 0; i < LF_STEP_PARTS_MAX && rc == LF_OK; i++)
        rc = lf_mark_new(&g->marks[i], stream, diag);
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
    g->parts_wanted = g->n_parts = g->part = 1;
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
    g->planned_aside = calloc(n, sizeof *g->planned_aside);
    g->batch_aside = calloc(n, sizeof *g->batch_aside);
    g->score = calloc((size_t)g->tokens_max, sizeof *g->score);
    bool tokens = tokens_new(&g->landed, n) && tokens_new(&g->scored, (size_t)g->tokens_max);
    if (rc == LF_OK && (!g->seqs || !g->planned || !g->batch || !g->results || !g->which ||
                        !g->at || !g->owners || !g->some || !g->draft_ids || !g->params ||
                        !g->score || !g->planned_aside || !g->batch_aside || !tokens))
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
        g->step_seconds = lf_mark_seconds(f->begin, f->end) - f->between_seconds;
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
    for (int i = 0; i < LF_STEP_PARTS_MAX; i++)
        lf_mark_free(g->marks[i]);
    free(g->planned_aside);
    free(g->batch_aside);
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
    if (g->n_seqs == g->seqs_max) /* maybe of some that leave */
        rc = lf_gen_settle(g, diag);
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

static void remove_at(struct lf_gen *g, int i)
{
    lf_gen_give_back(g, &g->seqs[i]);
    if (g->draft)
        lf_exec_kv_release(g->draft->exec, &g->seqs[i].draft_kv);
    free(g->seqs[i].tokens);
    g->n_seqs--;
    memmove(&g->seqs[i], &g->seqs[i + 1], (size_t)(g->n_seqs - i) * sizeof *g->seqs);
}

void lf_gen_remove(struct lf_gen *g, uint64_t id)
{
    for (int i = 0; i < g->n_seqs; i++) {
        if (g->seqs[i].id != id)
            continue;
        if (g->open) /* in which sequences have their places */
            g->seqs[i].over = g->seqs[i].leaves = true;
        else
            remove_at(g, i);
        return;
    }
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
    int most = lf_gen_drafts_most(s, &g->look_up);
    bool drafts = g->by && lf_speculation_drafts(g->by, s->kv.owner);
    if (s->n_guessed > 0 || s->n_drafts > 0 || drafts || most < 1 ||
        !lf_speculation_guesses(&g->look_up, s->n))
        return;
    s->guessed = &g->look_up;
    s->n_guesses = s->n_guessed = lf_gen_look_up(s, most);
    if (s->n_guessed == 0)
        lf_speculation_came(&g->look_up, s->kv.owner, 0, 0);
}

/* The draft base can be asked what it would say of it. */
static bool may_guess(const struct lf_gen *g, const struct gen_seq *s)
{
    bool drafts = g->by && lf_speculation_drafts(g->by, s->kv.owner);
    return s->n > s->n_prompt && s->n_guessed == 0 && !drafts &&
           lf_gen_drafts_most(s, &g->drafting) > 0;
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

/* What the batch is, for whoever asks about the step. */
static void describe(const struct lf_gen *g, struct gen_flight *f, int n_decoding)
{
    f->n_background = f->n_drafts = 0;
    for (int b = 0; b < g->n_batch; b++) {
        f->n_background += g->seqs[g->planned[b]].background;
        f->n_drafts += g->seqs[g->planned[b]].n_drafts;
    }
    f->n_decoding = n_decoding;
    f->n_prompt = g->n_tokens - n_decoding - f->n_drafts;
    f->between_seconds = 0;
}

/* Puts the next step's forward on the stream, or the first of its parts, where any sequence has
 * something for it. */
static enum lf_err launch(struct lf_gen *g, int prefill_max, int n_parts, struct lf_diag *diag)
{
    struct gen_flight *f = &g->flights[(g->flight_first + g->n_flights) % LF_DRAWS_MAX];
    int n_decoding;
    g->part = g->n_parts = 1;
    lf_mark_set(f->begin);
    enum lf_err rc = lf_gen_plan(g, prefill_max, &n_decoding, diag);
    if (rc != LF_OK || g->n_batch == 0)
        return rc;
    describe(g, f, n_decoding);
    f->by = g->by;
    g->drafted += f->n_drafts;
    rc = lf_exec_begin(g->x, g->batch, g->n_batch, n_parts, diag);
    if (rc == LF_OK && lf_exec_part_way(g->x))
        g->n_parts = n_parts;
    lf_mark_set(g->marks[0]);
    rc = rc ?: lf_gen_score(g, diag);
    if (rc == LF_OK)
        g->open = f;
    else
        rewind_batch(g);
    return rc;
}

/* The draws of the batch behind it: the step is on its way. */
static enum lf_err draw(struct lf_gen *g, struct gen_flight *f, struct lf_diag *diag)
{
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

/* Of the batch that has run, once all of it is on the stream. Who was to leave does. */
static enum lf_err launch_draws(struct lf_gen *g, struct lf_diag *diag)
{
    struct gen_flight *f = g->open;
    if (!f || lf_gen_part_way(g))
        return LF_OK;
    g->open = NULL;
    enum lf_err rc = draw(g, f, diag);
    for (int i = g->n_seqs - 1; i >= 0; i--)
        if (g->seqs[i].leaves)
            remove_at(g, i);
    return rc;
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

/* The tokens of the flight that has landed. */
static int hear(struct lf_gen *g, const struct gen_flight *f, struct lf_gen_token *out)
{
    int n = 0;
    for (int i = 0; i < f->n; i++) {
        struct gen_seq *s = find(g, &f->rows[i]);
        if (s && s->n_refused > 0)
            s->n_refused--;
        else if (s)
            accept(g, s, f, i, &out[n++]);
    }
    g->completion_tokens += n;
    for (int i = 0; i < f->n_done; i++) {
        const struct gen_seq *s = find(g, &f->rows[f->n + i]);
        if (s)
            out[n++] = (struct lf_gen_token){.id = s->id,
                                             .user = s->user,
                                             .token = -1,
                                             .n_cached = s->n_cached,
                                             .finish = LF_FINISH_LENGTH};
    }
    return n;
}

static void remove_ended(struct lf_gen *g, const struct lf_gen_token *tokens, int n)
{
    for (int i = 0; i < n; i++)
        if (tokens[i].finish != LF_FINISH_NONE)
            lf_gen_remove(g, tokens[i].id);
}

static void begin_step(struct lf_gen *g)
{
    g->step_decoding = g->step_prompt = g->step_background = 0;
    g->step_seconds = 0;
}

enum lf_err lf_gen_step(struct lf_gen *g, int prefill_max, struct lf_gen_token *out, int *n_out,
                        struct lf_diag *diag)
{
    struct gen_flight *f = NULL;
    int n = 0;
    lf_assert(!lf_gen_part_way(g));
    begin_step(g);
    enum lf_err rc = LF_OK;
    uint64_t begin = g->n_flights == 0 ? lf_clock_ns() : 0;
    g->by = drafts_by(g);
    if (g->n_flights == 0)
        rc = launch(g, prefill_max, 1, diag) ?: launch_draws(g, diag);
    if (rc == LF_OK && g->n_flights == 1 && may_go_ahead(g))
        rc = launch(g, prefill_max, g->parts_wanted, diag);
    if (rc == LF_OK && !draws_wait(g))
        rc = launch_draws(g, diag);
    if (rc == LF_OK && g->n_flights > 0)
        rc = land(g, &f, diag);
    if (rc != LF_OK)
        return rc;
    if (f) {
        price(g, f, begin > 0 ? (double)(lf_clock_ns() - begin) / 1e9 : g->step_seconds);
        n = hear(g, f, out);
    }
    rc = launch_draws(g, diag);
    if (rc != LF_OK)
        return rc;
    remove_ended(g, out, n);
    rc = guess_by_draft(g, diag);
    if (rc == LF_OK)
        *n_out = n;
    return rc;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

void lf_gen_parts(struct lf_gen *g, int n_parts)
{
    bool may = lf_exec_limits(g->x)->aside_tokens > 0 && !g->draft;
    int most = lf_min_int(LF_STEP_PARTS_MAX, g->m->config.L);
    g->parts_wanted = may ? lf_min_int(n_parts, most) : 1;
}

bool lf_gen_in_parts(const struct lf_gen *g)
{
    return g->n_parts > 1;
}

bool lf_gen_part_way(const struct lf_gen *g)
{
    return g->part < g->n_parts;
}

enum lf_err lf_gen_await(struct lf_gen *g, struct lf_diag *diag)
{
    int over = g->part - (lf_gen_part_way(g) ? 1 : 2); /* parts that are to be over */
    return lf_gen_in_parts(g) && over > 0 ? lf_mark_wait(g->marks[over - 1], diag) : LF_OK;
}

/* Another batch has the tables of the open one meanwhile, or gives them back. */
static void change_tables(struct lf_gen *g)
{
    int *planned = g->planned;
    struct lf_batch_seq *batch = g->batch;
    g->planned = g->planned_aside;
    g->batch = g->batch_aside;
    g->planned_aside = planned;
    g->batch_aside = batch;
}

/* A step of prompts alone, before what is left of the open one. It lands first. */
static enum lf_err launch_between(struct lf_gen *g, int tokens, struct lf_diag *diag)
{
    struct gen_flight *f = &g->flights[g->flight_first];
    struct gen_flight *other = &g->flights[(g->flight_first + 1) % LF_DRAWS_MAX], own = *f;
    int n_batch = g->n_batch, n_tokens = g->n_tokens;
    enum lf_err rc = LF_OK;
    lf_assert(g->n_flights == 0 && g->open == f);
    change_tables(g);
    lf_gen_plan_between(g, lf_min_int(tokens, lf_exec_limits(g->x)->aside_tokens));
    if (g->n_batch > 0) {
        *f = *other;
        *other = own;
        g->open = other;
        describe(g, f, 0);
        f->by = NULL;
        lf_mark_set(f->begin);
        lf_exec_set_aside(g->x);
        rc = lf_exec_begin(g->x, g->batch, g->n_batch, 1, diag);
        if (rc == LF_OK)
            rc = draw(g, f, diag);
        else
            rewind_batch(g);
        lf_exec_take_up(g->x);
    }
    change_tables(g);
    g->n_batch = n_batch;
    g->n_tokens = n_tokens;
    return rc;
}

static void put_part(struct lf_gen *g)
{
    lf_exec_go_on(g->x);
    lf_mark_set(g->marks[g->part++]);
}

enum lf_err lf_gen_go_on(struct lf_gen *g, int tokens, struct lf_gen_token *out, int *n_out,
                         struct lf_diag *diag)
{
    struct gen_flight *f = NULL;
    begin_step(g);
    *n_out = 0;
    if (!lf_gen_part_way(g))
        return LF_OK;
    enum lf_err rc = tokens > 0 && may_go_ahead(g) ? launch_between(g, tokens, diag) : LF_OK;
    put_part(g);
    if (rc == LF_OK && g->n_flights > 0)
        rc = land(g, &f, diag);
    if (rc == LF_OK && f) {
        g->open->between_seconds += g->step_seconds;
        *n_out = hear(g, f, out);
        remove_ended(g, out, *n_out);
    }
    return rc ?: launch_draws(g, diag);
}

enum lf_err lf_gen_settle(struct lf_gen *g, struct lf_diag *diag)
{
    while (lf_gen_part_way(g))
        put_part(g);
    return launch_draws(g, diag);
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
