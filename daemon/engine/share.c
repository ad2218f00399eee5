/* Times, and what follows from them. What a token costs is taken as it is at the size that batches
 * have; the sizes that follow settle where the cost is what was wanted, however it grows. */
#include "daemon/engine/share.h"

#include <math.h>

#define KEEP 0.75
/* Of the time of steps without prompts, for one prompt that is being read: a sequence beside it
 * keeps 70% of its rate, whatever the prompt's length. Several prompts are several who wait: by the
 * square of their number. */
#define PROMPT_PART 0.43
/* However many they are, and however long there were none: a step takes four times as long at the
 * most. */
#define PROMPTS_MOST 3.0
#define PROMPTS_LEAST 0.5       /* with less a step stays without: each that has some costs more */
#define PROMPT_TOKENS_MIN 4     /* there is always progress */
#define PROMPT_TOKENS_FIRST 256 /* while nothing is known */
#define MIXED_MOST 16           /* steps with prompts between two without */
/* While nobody decodes a step of prompts holds up who comes next for so many seconds. */
#define READ_MOST 0.1
#define READ_TOKENS_MIN 64
/* For each second of steps without, steps with those who evaluate may take so much longer. */
#define BACKGROUND_PART 0.25
#define SPARE_MOST 0.1
#define OWED_MOST 1.0 /* what evaluation had while nobody else was there is not held against it */
/* A training batch beside live sequences holds up their next token: for about as long as two steps,
 * at least for STALL_MIN seconds (a shorter batch would be all overhead). While nobody is there,
 * whoever comes next waits for half of YIELD seconds. */
#define STALL_STEPS 2.0
#define STALL_MIN 0.02
#define YIELD 0.025
#define TRAIN_TOKENS_MIN 64
#define TRAIN_TOKENS_FIRST 256
#define DEBT_SECONDS 2.0 /* a long batch is not held against training for longer */
#define TOKENS_MOST (1 << 20)

static void smooth(double *mean, double value)
{
    *mean = *mean > 0 ? KEEP * *mean + (1 - KEEP) * value : value;
}

void lf_share_stepped(struct lf_share *s, const struct lf_gen_status *g)
{
    double t = g->step_seconds;
    int64_t launched = g->prompt_tokens - s->launched;
    s->launched = g->prompt_tokens;
    if (s->beside)
        s->prompts -= s->step_prompt * (double)launched;
    s->debt -= t;
    if (g->step_background > 0) {
        s->spare = fmax(s->spare - fmax(t - s->step, 0), -OWED_MOST);
    } else if (g->step_decoding == 0 && g->step_prompt > 0) {
        smooth(&s->read, t / g->step_prompt);
    } else if (g->step_decoding > 0 && g->step_prompt == 0) {
        smooth(&s->step, t);
        s->spare = fmin(s->spare + BACKGROUND_PART * t, SPARE_MOST);
        s->mixed = 0;
    } else if (g->step_decoding > 0 && s->step > 0) {
        /* A step that is faster than without says that a token costs little, not less than that. */
        smooth(&s->step_prompt, fmax((t - s->step) / g->step_prompt, s->step / TOKENS_MOST));
        s->spare = fmin(s->spare + BACKGROUND_PART * t, SPARE_MOST);
        s->mixed++;
    }
}

bool lf_share_holds_background(const struct lf_share *s, int n_decoding)
{
    return n_decoding > 0 && (s->step == 0 || s->spare <= 0);
}

void lf_share_trained(struct lf_share *s, int tokens, double seconds, bool beside)
{
    if (tokens > 0)
        smooth(&s->train, seconds / tokens);
    s->debt = beside ? fmin(seconds, DEBT_SECONDS) : 0;
}

/* What fits the time, but `least`; `first` while it is not known. */
static int tokens_in(double seconds, double each, int least, int first)
{
    double tokens = each > 0 ? seconds / each : first;
    return (int)fmin(fmax(tokens, least), TOKENS_MOST);
}

int lf_share_prompts(struct lf_share *s, int n_decoding, int n_prompts)
{
    s->beside = n_decoding > 0;
    if (n_decoding == 0)
        return tokens_in(READ_MOST, s->read, READ_TOKENS_MIN, PROMPT_TOKENS_FIRST);
    double part = PROMPT_PART * fmax(1, (double)n_prompts * n_prompts);
    s->prompts = fmin(s->prompts + s->step * fmin(part, PROMPTS_MOST), s->step * PROMPTS_MOST);
    double seconds = s->prompts, least = PROMPTS_LEAST * s->step;
    if (s->step_most > 0) {
        seconds = fmin(seconds, s->step_most - s->step);
        least = fmin(least, seconds);
    }
    if (s->step == 0 || s->mixed >= MIXED_MOST || seconds < least)
        return -1;
    return tokens_in(seconds, s->step_prompt, PROMPT_TOKENS_MIN, PROMPT_TOKENS_FIRST);
}

int lf_share_training(const struct lf_share *s, bool beside, bool awaited)
{
    if (!beside && !awaited)
        return 0;
    double seconds = beside ? fmax(STALL_STEPS * s->step, STALL_MIN) : YIELD;
    return tokens_in(seconds, s->train, TRAIN_TOKENS_MIN, TRAIN_TOKENS_FIRST);
}
