/* A completion: a generation from a request's words to text that is fit to be sent. Names become
 * adapters, prompts ids; tokens become text, stop strings end it, and a client that goes away
 * cancels it. What OpenAI's, LoRAX' and the mount's routes have in common; what differs is how
 * they write it. The connection's thread. */
#ifndef LF_DAEMON_API_COMPLETION_H
#define LF_DAEMON_API_COMPLETION_H

#include "daemon/engine/engine.h"
#include "daemon/http/http.h"
#include "daemon/team.h"
#include "text/writer.h"
#include "trainer/ask.h"

/* ---- What is asked --------------------------------------------------------------------------- */

/* What answers, the base or an adapter on it, and for whom. */
struct lf_served_model {
    struct lf_team *team;
    struct lf_pick pick;        /* id 0: the base */
    char name[LF_NAME_MAX + 1]; /* as the answer calls it */
    uint64_t key;               /* lf_key_number of who asks */
    int waiting_max;            /* of that key's requests */
    json_t *span;               /* the request's, borrowed; or NULL */
};
/* An adapter, or a version of it ("viggo/3"), or a base by its name, or the default one by "", or
 * by a placeholder of clients that no adapter is called ("dummy", "tgi"). LF_E_NOT_FOUND;
 * LF_E_BUSY for an adapter without a version yet. */
enum lf_err lf_served_model_find(struct lf_http *q, const char *name, struct lf_served_model *out,
                                 struct lf_diag *diag) LF_MUST_CHECK;

/* How it is asked; the base and a mixture, of which nothing is to be known, with all of it empty.
 * Free with lf_ask_free. */
enum lf_err lf_served_model_ask(struct lf_http *q, const struct lf_served_model *m,
                                struct lf_ask *out, struct lf_diag *diag) LF_MUST_CHECK;

struct lf_request {
    struct lf_served_model model;
    struct lf_sample_params sample;
    struct lf_logit_bias *bias; /* (n_bias) */
    int n_bias;
    struct lf_grammar *grammar; /* of the answer; held, or NULL */
    bool score_prompt;
    bool chat;          /* it answers messages, not a prompt: for its span */
    int64_t max_tokens; /* -1: what the context leaves */
    bool ignore_eos;
    bool streams;                    /* its text is sent as it comes */
    const char *stops[LF_STOPS_MAX]; /* borrowed until the completions are freed */
    int n_stops;
    int64_t seed;
    bool background;      /* after all others */
    int priority;         /* the lower comes first */
    uint64_t deadline_ns; /* of lf_clock_ns; 0: none */
};
/* Greedy, nothing else set; a seed drawn from the system. Free with lf_request_free. */
void lf_request_init(struct lf_request *a);
void lf_request_free(struct lf_request *a);
/* How many alternatives are listed with each token: no more than there are tokens. */
void lf_request_list(struct lf_request *a, int top_n);
/* "logit_bias" of a JSON body: null, or an object of ids and what is added to their logits. */
enum lf_err lf_request_biases(struct lf_request *a, const json_t *biases,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* "stop" of a JSON body: null, a string, or a list of them; "" are left out. */
enum lf_err lf_request_stops(struct lf_request *a, const json_t *stop,
                             struct lf_diag *diag) LF_MUST_CHECK;

/* ---- How it goes ----------------------------------------------------------------------------- */

#define LF_TOKENS_AHEAD 32

struct lf_completion {
    struct lf_generation *g;
    const struct lf_tokenizer *tokenizer;
    struct lf_generated ahead[LF_TOKENS_AHEAD]; /* taken, not stepped over yet */
    int n_ahead, at;
    struct lf_generation_news news;
    /* The caller's to read */
    int n_prompt, n_tokens;   /* n_tokens: generated, the one that ended it too */
    struct lf_writer out;     /* its text, and its ending: not NONE, no more tokens */
    struct lf_generated made; /* the last token */
    bool special;             /* it has no text */
    int top_n;                /* alternatives with each */
    double logprob_sum;       /* of all tokens */
    json_t *span;             /* the request's, which is told at the end; borrowed, or NULL */
};

/* Asks the engine for the choice-th completion of a prompt, whose seed follows from the request's.
 * ids (n) are copied. Free with lf_completion_free, also after a failure. */
enum lf_err lf_completion_start(struct lf_completion *c, const struct lf_request *a,
                                const int32_t *ids, int n, int choice,
                                struct lf_diag *diag) LF_MUST_CHECK;
void lf_completion_free(struct lf_completion *c);
/* All of a list of n, and the list; NULL: none. */
void lf_completions_free(struct lf_completion *list, int n);

/* How likely its tokens were, on average: best_of keeps those where this is highest. */
double lf_completion_worth(const struct lf_completion *c);

/* Waits up to timeout_ms for a token, or the end, to be there: *ready. LF_E_CANCELLED when the
 * client went away; else why the engine gave up. */
enum lf_err lf_completion_await(struct lf_completion *c, struct lf_http *q, int timeout_ms,
                                bool *ready, struct lf_diag *diag) LF_MUST_CHECK;
/* Steps over one token that is ready, or to the end. Its text, as far as it is settled, is appended
 * to c->out.text. *stepped: there was a token. */
enum lf_err lf_completion_step(struct lf_completion *c, bool *stepped,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* Both: the next token, where one comes within a second. */
enum lf_err lf_completion_next(struct lf_completion *c, struct lf_http *q, bool *stepped,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* LoRAX' reply headers; before the reply. over: the completion, when it is; else NULL. */
void lf_completion_headers(struct lf_http *q, const struct lf_served_model *s, int n_prompt,
                           int n_tokens, const struct lf_completion *over);

/* A random word for an answer's id: 24 hex digits. */
void lf_answer_id(char out[25]);

#endif
