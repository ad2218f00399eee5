/* Speculation: what a text may go on with is looked up in the text itself, or drawn from a small
 * draft base (model/draft_base.h), and a step reads these drafts with the token that they follow.
 * Answers that repeat their prompts (extraction, editing, code), or that a small model knows as
 * well, come several tokens a step.
 *
 * A draft is kept where it is the very token that is drawn in its place, by the same pure draw that
 * would have been made a step later: the text is the one that comes without drafts, greedy or not.
 * A draft base draws with that token's own random number. Where both distributions are alike both
 * draws mostly are, and a seed's text does not depend on there being one, as it would with drafts
 * that are refused at random and replaced from the residual distribution.
 *
 * Drafts cost: a step of more rows, and that it waits for the tokens before it. Where the number of
 * drafts is not fixed they are made while the tokens that they save are worth it: measured for each
 * owner of a text (an adapter's version) and, for the price of a step, by its rows. Where none are
 * made a text is guessed at all the same, now and then: a look-up whose tokens no step reads, but
 * which are compared with those that come. It costs the look-up, or the draft base's steps, and
 * says what drafts would save.
 *
 * Each source of drafts has a struct lf_speculation. It knows of tokens, owners and times alone.
 * One thread uses it.
 */
#ifndef LF_MODEL_SPECULATE_H
#define LF_MODEL_SPECULATE_H

#include "model/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define LF_SPECULATE_AUTO (-1)

/* Tables of fixed sizes: not limits, what falls out of them is measured anew. */
#define LF_SPECULATION_OWNERS 256
#define LF_SPECULATION_PRICES 24

struct lf_speculation {
    int most;    /* drafts of a text in a step; 0: none are made */
    bool always; /* whatever they save */
    struct lf_drafting {
        uint64_t owner;
        double saved; /* tokens that came as drafted, of a text in a step */
        double made;  /* drafts */
        bool known;
    } of[LF_SPECULATION_OWNERS];
    /* Seconds of a step by its rows, with drafts and without; 0: not known. */
    double with[LF_SPECULATION_PRICES], without[LF_SPECULATION_PRICES];
};

/* drafts: LF_SPECULATE_AUTO, or how many a step reads of each text, up to LF_DRAFTS_MAX. */
void lf_speculation_init(struct lf_speculation *s, int drafts);
/* How many times as fast tokens come where a step of n texts with these owners, each of which has
 * one token more in it, has drafts; 0: that does not pay. 1 where it is not asked. */
double lf_speculation_gain(struct lf_speculation *s, const uint64_t *owners, int n);
/* Whether texts of the owner are worth drafts in such a step. */
bool lf_speculation_drafts(const struct lf_speculation *s, uint64_t owner);
/* Whether a text that has n tokens now and has no drafts made is to be guessed at. */
bool lf_speculation_guesses(const struct lf_speculation *s, int n);
/* A text of the owner had so many drafts in a step that was for drafts, or was guessed to go on
 * with so many tokens, of which so many came. */
void lf_speculation_came(struct lf_speculation *s, uint64_t owner, int drafted, int came);
/* What a step without prompts took. */
void lf_speculation_took(struct lf_speculation *s, bool with_drafts, int rows, double seconds);

/* Puts up to `most` tokens behind the n of a text, where there is room for them: what followed the
 * place before that the text's end is most like. Returns how many; 0: no two tokens in a row came
 * before. */
int lf_speculation_look_up(int32_t *tokens, int n, int most);

#endif
