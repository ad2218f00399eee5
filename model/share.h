/* How the device's time is shared among sequences that decode, prompts and training: numbers from
 * times that were measured, nothing else. */
#ifndef LF_MODEL_SHARE_H
#define LF_MODEL_SHARE_H

#include "model/generate.h"

#include <stdbool.h>

/* Seconds, smoothed over the last batches of a kind; 0: not known yet. */
struct lf_share {
    double step;        /* a step in which sequences decode, no prompt is read and none evaluates */
    double last;        /* the last of these */
    double step_prompt; /* what each token of a prompt adds to it */
    double read;        /* for each token of a step of prompts alone */
    double train;       /* for each token of a training batch */
    double step_most;   /* that a step shall not pass; 0: only in proportion */
    double train_part;  /* of the time beside live sequences, that training has: 0 to 1, neither */
    double debt;        /* that serving is to have before training's next batch */
    bool resumed;       /* the next step is the first since one of these */
    double prompts;     /* that prompts may have beside sequences that decode */
    int64_t launched;   /* tokens of prompts so far */
    bool beside;        /* the last were, or may be, beside sequences that decode */
    double spare;       /* that evaluation may have beside sequences that decode */
    int mixed;          /* steps with prompts since the last without */
    int without;        /* steps without since the last with */
    double mixed_seconds, mixed_tokens; /* that steps with prompts took more; of prompts in them */
};

/* The step that ended last, as the status says. */
void lf_share_stepped(struct lf_share *s, const struct lf_gen_status *g);
/* A training batch has run. held: so many of its seconds live sequences waited for it, all of them
 * or since they came: serving is owed its part of that time. */
void lf_share_trained(struct lf_share *s, int tokens, double seconds, double held);
/* What the next step is to have of prompts. */
struct lf_share_prompts {
    int tokens; /* at most: lf_gen_step's prefill_max */
    bool alone; /* nothing else is in it (LF_GEN_HELD_DECODING) */
};

/* Asked once a step: beside n_decoding sequences whose pace matters n_prompts are to be read, of
 * `unread` tokens. Prompts have a part of the time that steps take without
 * them, which adds up while there are none: a short one that comes alone is read at once, one after
 * another without end leave those who decode most of their pace; and the more there are, the sooner
 * each decodes itself. No step is so long for that as to be felt, where those without prompts are
 * short. Often it is none, and now and then in any case, so that this time is known. The last piece
 * of what is to be read does not wait for one step more: it is had on credit.
 * Where many decode, a step of a few prompts alone may be over before one of all of them: if they
 * come now and then their first tokens come then, and the others wait little longer than beside.
 * While nobody decodes a step is only kept short enough for who comes next. */
struct lf_share_prompts lf_share_prompts(struct lf_share *s, int n_decoding, int n_prompts,
                                         int64_t unread);
/* In so many parts a step that goes ahead is put on the stream (lf_gen_parts), so that a prompt is
 * read between two of them: 1 where it is over soon at any rate. */
int lf_share_parts(const struct lf_share *s);
/* Tokens of a step of prompts alone between two parts, of `unread`: all, where lf_share_prompts
 * would give them one of their own. 0: they wait for the end. */
int lf_share_between(const struct lf_share *s, int64_t unread);
/* Seconds after the end of the last step until the next one has to be put behind the one that is
 * under way (next_* of g), so that the device has no gap: who comes until then is in it. 0: at
 * once, where nobody knows how long that one takes, or it is short. */
double lf_share_launch_after(const struct lf_share *s, const struct lf_gen_status *g);
/* The next step is without those who evaluate. */
bool lf_share_holds_background(const struct lf_share *s, int n_decoding);
/* Tokens of the next training batch, 0: as many as there may be. beside: sequences are live, and a
 * batch holds them up; awaited: none is, but one may come at any moment. */
int lf_share_training(const struct lf_share *s, bool beside, bool awaited);

#endif
