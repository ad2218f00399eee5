/* Generation from inside: the sequences, the batch that is being made, and the steps under way. */
#ifndef LF_MODEL_GENERATE_INSIDE_H
#define LF_MODEL_GENERATE_INSIDE_H

#include "core/num.h"
#include "model/draft_base.h"
#include "model/generate.h"
#include "model/limits.h"
#include "model/speculate.h"

/* A live sequence. tokens are prompt and completion, n of them known here and the next `drawn` on
 * their way; the first kv.n_tokens of them all are in the cache, the others are pending. One
 * pending token and something cached: it decodes. */
struct gen_seq {
    uint64_t id, group;
    void *user;
    int32_t *tokens; /* (n_prompt + max_tokens) */
    int n, n_prompt, max_tokens;
    int drawn;     /* by steps in flight: 0, 1, or 2 while the next step is put on the stream; more
                      of those with drafts */
    int32_t draw;  /* LF_DRAWN of the last one */
    int n_drafts;  /* behind its n tokens, in the batch or in flight, and not refused yet */
    int n_drafted; /* what that was at first */
    int n_refused; /* rows of the flight that lands that are of no use */
    int n_guesses; /* behind its n tokens too: no step reads them, what comes is compared */
    int n_guessed; /* what that was at first */
    struct lf_speculation *guessed; /* whose they are */
    int n_proposed;                 /* behind its n tokens too: what the draft base drew last */
    bool background;
    bool planned; /* it is in the batch that is being made */
    bool awaits;  /* it is not, since another one in it reads what both begin with */
    int n_cached; /* of its prompt, found when it was admitted first; -1: it was not yet */
    int slot;
    struct lf_sample_params sample;
    const struct lf_logit_bias *bias; /* (n_bias) */
    int n_bias;
    struct lf_guide *guide; /* or NULL */
    bool failed;            /* it is */
    bool over;              /* its last token is here, or it is not wanted any more */
    bool leaves;            /* as soon as the batch that it may be in is on the stream */
    struct lf_scores *scores;
    int n_scored; /* the prompt's tokens up to here have their scores, or need none */
    bool ignore_eos;
    int32_t stop_ids[LF_STOPS_MAX];
    int n_stop_ids;
    struct lf_kv_seq kv;
    struct lf_kv_seq draft_kv; /* the draft base's: of its tokens, and of proposed ones behind them
                                  until others come there */
};

/* A step on the device: which sequences drew a token in it, in the order of the drawing; and behind
 * them those that have read their prompts and want no token. */
struct gen_flight {
    struct lf_mark *begin, *end; /* of its work on the stream */
    int n_decoding, n_prompt;    /* sequences, tokens */
    int n_drafts;                /* tokens that go on from these sequences */
    struct lf_speculation *by;   /* whose; then it waited. NULL: it was for none */
    int n_background;            /* sequences of the batch */
    double between_seconds;      /* of begin to end, that another step took between its parts */
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
    struct lf_draft_base *draft;             /* or NULL */
    struct lf_speculation look_up, drafting; /* sources of drafts: the text, the draft base */
    struct lf_speculation *by; /* this step has drafts where there are any, and does not go ahead;
                                  NULL: it has none */
    int guess_in;              /* steps until the draft base guesses */
    uint64_t guessed_id;       /* the sequence for which it did last */
    bool ahead;
    enum lf_gen_held held;
    int pages;            /* of the exec, all of them ours */
    struct gen_seq *seqs; /* (seqs_max), oldest first */
    int n_seqs;
    uint64_t next_id;
    int64_t preempted, prompt_tokens, cached_tokens, completion_tokens, drafted, accepted;
    /* The batch being made, (seqs_max) each; planned[i] is the sequence of batch[i]. */
    int *planned;
    struct lf_batch_seq *batch;
    struct lf_batch_result *results;
    int n_batch, n_tokens;
    /* What is sampled from it, (seqs_max) each. */
    int *which, *at;
    uint64_t *owners;      /* (seqs_max) of those who decode */
    struct gen_seq **some; /* (seqs_max) that the draft base draws for */
    int32_t *draft_ids;    /* (seqs_max) what it drew */
    uint32_t *draft_masks; /* (seqs_max, words) its guides', pinned, behind the words of one of the
                              base's; NULL: no sequence that it drew for had a guide so far */
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
    struct gen_flight *open; /* of the batch that has run, or does in part, and whose draws are not
                                made yet */
    /* Parts */
    int parts_wanted;  /* of steps that go ahead */
    int part, n_parts; /* of the last step n_parts, so many of them on the stream;
                          n_parts 1: it was not in parts */
    struct lf_mark *marks[LF_STEP_PARTS_MAX]; /* behind each */
    int *planned_aside; /* (seqs_max) planned and batch of a step between them */
    struct lf_batch_seq *batch_aside;
};

/* Its tokens, those on their way too. */
static inline int length(const struct gen_seq *s)
{
    return s->n + s->drawn;
}

static inline int pending(const struct gen_seq *s)
{
    return length(s) - s->kv.n_tokens;
}

/* The last token that it may have is on its way. */
static inline bool drawn_out(const struct gen_seq *s)
{
    return length(s) - s->n_prompt == s->max_tokens;
}

static inline bool decodes(const struct gen_seq *s)
{
    return s->kv.n_tokens > 0 && pending(s) == 1 && s->max_tokens > 0;
}

/* How many drafts it may have: with them comes a token that is none. */
static inline int lf_gen_drafts_most(const struct gen_seq *s, const struct lf_speculation *by)
{
    return lf_min_int(by->most, s->max_tokens - (s->n - s->n_prompt) - 1);
}

/* generate_plan.c */
/* The next batch, and how many of it decode. Where those who are not held have nothing for it, as
 * they wait for pages, others are in it after all. */
enum lf_err lf_gen_plan(struct lf_gen *g, int prefill_max, int *n_decoding,
                        struct lf_diag *diag) LF_MUST_CHECK;
/* A batch of up to so many tokens of prompts alone, of those who are not in the one before. Nobody
 * gives pages for it. */
void lf_gen_plan_between(struct lf_gen *g, int tokens);
/* The sequence's pages. What it has read stays for those who begin alike. */
void lf_gen_give_back(struct lf_gen *g, struct gen_seq *s);
/* Tokens that are put behind the sequence's. */
int lf_gen_look_up(struct gen_seq *s, int most);

/* generate_draw.c */
/* Draws for the sequences of the batch that have nothing pending any more, into flight f. */
enum lf_err lf_gen_draw(struct lf_gen *g, struct gen_flight *f, struct lf_diag *diag) LF_MUST_CHECK;
/* Scores of the prompts' tokens whose predecessors are in the batch that has run, where they are
 * wanted and were not made yet. Waits. */
enum lf_err lf_gen_score(struct lf_gen *g, struct lf_diag *diag) LF_MUST_CHECK;
bool lf_gen_has_penalty(const struct lf_sample_params *p);
/* The token ends the sequence. */
bool lf_gen_ends(const struct lf_gen *g, const struct gen_seq *s, int32_t token);
/* The n tokens behind the sequence's own are its drafts, as far as they may come: s->n_drafts. */
void lf_gen_add_drafts(const struct lf_gen *g, struct gen_seq *s, int n);
/* Appends what the sequence's draw behind `draft` drafts looks at to the lists of g. */
enum lf_err lf_gen_add_lists(struct lf_gen *g, const struct gen_seq *s, int draft,
                             struct lf_sample_params *p, struct lf_diag *diag) LF_MUST_CHECK;

/* generate_draft.c: with a draft base. g's tables of the batch are used up. */
/* Up to what each of n sequences may still have, s->n_proposed tokens behind its own: none where
 * the draft base does not know its tokens, has no pages for them, or has not read all yet. */
enum lf_err lf_gen_propose(struct lf_gen *g, struct gen_seq **seqs, int n,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* The draft base's keys of tokens from n on are none of the sequence's. */
void lf_gen_draft_cut(struct gen_seq *s, int n);

#endif
