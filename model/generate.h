/* Generation: the live sequences of one exec, stepped together (continuous batching).
 *
 * A step is one ragged batch: one token of every sequence that decodes, and pieces of the prompts
 * of those that are still reading theirs, of any adapters mixed. Sequences come and go between
 * steps. What a sequence gets does not depend on its company, nor on the pieces in which its prompt
 * is read, on the cpu to the bit, on a card up to fp rounding: a draw is a pure function of (its
 * seed, how many tokens it has).
 *
 * KV pages are taken as a sequence grows. When they run out the youngest sequence gives its pages
 * back and waits; later it reads its prompt and what it has generated again and goes on. Nothing
 * of that is seen from outside but the time it takes. So too a longrope sequence when it outgrows
 * the original context, whose keys must then be turned by other factors.
 *
 * With `ahead` the next step is put on the stream before the tokens of the one under way are read:
 * it goes on from them on the device, and the host has a step's time for all else. A sequence that
 * such a token ends is then in one step more, whose outcome is thrown away. Where a draw needs
 * earlier tokens on the host (penalties, guides), the forward goes ahead and its draws follow when
 * those are there: a guide's mask is made while the device works. Where a prompt is scored, steps
 * wait for each other as without it.
 *
 * Of what goes ahead a step may be put on the stream in parts (lf_gen_parts), so that who comes
 * meanwhile need not wait for the end of it: his prompt is read between two of them.
 *
 * With `speculate` a step tries out tokens that a sequence may go on with (model/speculate.h): it
 * makes up to one more than there were drafts, the same that come without. Steps with drafts do not
 * go ahead.
 *
 * Who begins as another one of the same owner began does not read that again, also when the other
 * is long gone: its pages stay until they are needed (model/exec.h).
 *
 * One thread (the stream's) uses it. The engine of the daemon, `lorafs generate` and evaluation all
 * stand on this. Token ids in, token ids out: text, stop strings and queues are the caller's.
 */
#ifndef LF_MODEL_GENERATE_H
#define LF_MODEL_GENERATE_H

#include "core/err.h"
#include "model/exec.h"
#include "model/speculate.h"
#include "text/guide.h"

#include <stdbool.h>
#include <stdint.h>

struct lf_draft_base;
struct lf_gen;

struct lf_gen_limits {
    int seqs_max;    /* live sequences; at most the exec's seqs_max. 0: that */
    int tokens_max;  /* tokens of a step; at most the exec's tokens_max. 0: that */
    int context_max; /* prompt and completion of one sequence; at most the model's positions and
                        what all KV pages hold. 0: that */
    bool ahead;      /* pays where the stream is asynchronous; elsewhere it delays tokens */
    int speculate;   /* drafts of a sequence in a step, up to LF_DRAFTS_MAX; 0: none;
                        LF_SPECULATE_AUTO: as they pay */
    struct lf_draft_base *draft; /* draws drafts (model/draft_base.h): laid out, and of nobody else;
                               must outlive it. NULL: they are looked up. With both and
                               LF_SPECULATE_AUTO a step has them from where they pay most, with a
                               number from here */
};

enum lf_finish {
    LF_FINISH_NONE,
    LF_FINISH_EOS,    /* its token is an end-of-text id of the base, or a stop id */
    LF_FINISH_LENGTH, /* max_tokens reached */
    LF_FINISH_WHOLE,  /* its guide lets nothing follow */
    LF_FINISH_FAILED  /* its guide found no memory, or too many states, for what may follow */
};

/* What the model thinks of a prompt's tokens, each after those before it. Filled from the second
 * token on, piece by piece, until the first token of the completion is there. The caller's. */
struct lf_scores {
    float *logprob;     /* (n) */
    int32_t *top_ids;   /* (n, top_n) as of struct lf_sample_args; NULL without top_n */
    float *top_logprob; /* (n, top_n) */
};

struct lf_gen_request {
    const int32_t *ids; /* (n) the prompt, n >= 1; copied */
    int n;
    int slot;       /* adapter slot, or -1 for the bare base; stays loaded while live */
    uint64_t owner; /* a number for what is in that slot: what others of the same owner have read is
                       not read again (lf_exec_kv_find). 0: it is, and nothing is kept of it */
    uint64_t group; /* those of one number take turns with those of others at having prompts read */
    struct lf_sample_params sample;   /* its history_*, completion_n, bias_* and counter are set in
                                         here; top_n is at most LF_TOP_LOGPROBS_MAX */
    const struct lf_logit_bias *bias; /* (n_bias) no id twice; borrowed while live */
    int n_bias;
    struct lf_guide *guide;   /* of what may come; borrowed while live, NULL: anything may */
    struct lf_scores *scores; /* of the prompt; borrowed while live, NULL: none */
    int max_tokens;           /* of the completion; 0: the prompt is only read */
    bool ignore_eos;          /* the base's end-of-text ids do not end it */
    const int32_t *stop_ids;  /* (n_stop_ids) further ids that end it, copied; up to LF_STOPS_MAX */
    int n_stop_ids;
    bool background; /* lf_gen_hold */
    void *user;      /* comes back with each token */
};

/* temperature 0, everything off. */
struct lf_sample_params lf_sample_greedy(void);

/* A token that a step made. */
struct lf_gen_token {
    uint64_t id; /* the sequence's, from lf_gen_add */
    void *user;
    int32_t token;            /* -1: none was wanted (max_tokens 0) */
    float logprob;            /* of the token, from the raw logits */
    const int32_t *top_ids;   /* (top_n) the likeliest; until the next step */
    const float *top_logprob; /* (top_n) theirs */
    int index;                /* of it in the completion, from 0 */
    int n_cached;             /* tokens of the prompt that were found, not read */
    enum lf_finish finish;    /* not NONE: it was the last, and the sequence is gone */
};

/* Who takes no part in a step; each holds those above it, too. */
enum lf_gen_held {
    LF_GEN_HELD_NONE,
    LF_GEN_HELD_BACKGROUND,
    LF_GEN_HELD_DECODING, /* the step is of prompts alone */
};

struct lf_gen_status {
    int live; /* = decoding + reading + waiting */
    int decoding;
    int reading;       /* their prompts are partly in */
    int waiting;       /* hold no pages */
    int64_t unread;    /* tokens of their prompts, but of background sequences */
    int64_t preempted; /* times a sequence gave its pages back, since lf_gen_new */
    int64_t prompt_tokens, completion_tokens; /* run since lf_gen_new */
    int64_t cached_tokens;                    /* found instead */
    int64_t drafted, accepted; /* drafts tried out; those that came, completion_tokens all */
    int pages, pages_free, pages_idle; /* idle ones are free, but hold what may be found */
    /* Of the step whose tokens came last, 0 where there was none: sequences that decoded, tokens of
     * prompts, background sequences in it, and what the stream took for it. */
    int step_decoding, step_prompt, step_background;
    double step_seconds;
    int next_decoding, next_prompt, next_background; /* of the step that is under way */
};

/* The exec must have KV pages, all free. x and m must outlive it. Yours, free with lf_gen_free. */
enum lf_err lf_gen_new(struct lf_gen **out, struct lf_exec *x, const struct lf_model *m,
                       const struct lf_gen_limits *limits, struct lf_diag *diag) LF_MUST_CHECK;
/* Gives all pages back. */
void lf_gen_free(struct lf_gen *g);
/* What one sequence may have, prompt and completion together. */
int lf_gen_context_max(const struct lf_gen *g);
int lf_gen_seqs_max(const struct lf_gen *g);

/* Adds a sequence; it takes part from the next step on, or waits for pages. LF_E_INVALID: an empty
 * prompt, an id outside the vocabulary, n + max_tokens over lf_gen_context_max, more than is listed
 * or biased. LF_E_OVERLOADED: seqs_max are live. */
enum lf_err lf_gen_add(struct lf_gen *g, const struct lf_gen_request *r, uint64_t *id,
                       struct lf_diag *diag) LF_MUST_CHECK;
/* Ends a live sequence (a stop string, a client that left). Ignores an id that is gone. */
void lf_gen_remove(struct lf_gen *g, uint64_t id);

/* The tokens of one batch; `ahead` puts the next one behind it. prefill_max: ceiling for the prompt
 * tokens of a batch made now (0: what fits tokens_max, -1: none while any decode), to keep the
 * decoding sequences' next token near. out: room for lf_gen_seqs_max tokens; *n_out of them are
 * filled, those of one sequence in their order; none when only pieces of prompts were read. Without
 * live sequences it does nothing. Fails only for the device; the sequences are then still live. */
enum lf_err lf_gen_step(struct lf_gen *g, int prefill_max, struct lf_gen_token *out, int *n_out,
                        struct lf_diag *diag) LF_MUST_CHECK;
/* Steps that go ahead are put on the stream in so many parts from here on, up to LF_STEP_PARTS_MAX,
 * where the exec has room for a batch between them (aside_tokens) and there is no draft base. Those
 * that are recorded are not. 1: at once. */
void lf_gen_parts(struct lf_gen *g, int n_parts);
/* The last step is in parts: lf_gen_await says when more has to be put on the stream. */
bool lf_gen_in_parts(const struct lf_gen *g);
/* Some of them are not on the stream: lf_gen_go_on comes next, not lf_gen_step. */
bool lf_gen_part_way(const struct lf_gen *g);
/* Until the stream is at the last part but one that it has, or two parts before the step's end.
 * Returns at once where the last step is not in parts. */
enum lf_err lf_gen_await(struct lf_gen *g, struct lf_diag *diag) LF_MUST_CHECK;
/* The next part. tokens > 0: before it a step of up to so many tokens of prompts alone, and its
 * tokens, as lf_gen_step's. Prompts that are to be scored are not in it. */
enum lf_err lf_gen_go_on(struct lf_gen *g, int tokens, struct lf_gen_token *out, int *n_out,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* All parts that are left: whoever else uses the exec, or changes what is in an adapter's slot, has
 * to call it before. */
enum lf_err lf_gen_settle(struct lf_gen *g, struct lf_diag *diag) LF_MUST_CHECK;
/* What was read for the owner is not found any more. */
void lf_gen_forget(struct lf_gen *g, uint64_t owner);
/* Until it is called again these take no part in steps that have others. */
void lf_gen_hold(struct lf_gen *g, enum lf_gen_held held);
void lf_gen_status(const struct lf_gen *g, struct lf_gen_status *out);

#endif
