/* Times, and what follows from them. What a token costs is taken as it is at the size that batches
 * have; the sizes that follow settle where the cost is what was wanted, however it grows. */
#include "model/share.h"

#include "model/limits.h"

#include <math.h>

#define KEEP 0.75
/* Of the time of steps without prompts, for one prompt that is being read: a sequence beside it
 * keeps 70% of its rate, whatever the prompt's length. Several prompts are several who wait: by the
 * square of their number. */
#define PROMPT_PART 0.43
/* However many they are, and however long there were none: a step takes four times as long at the
 * most, and no longer than STEP_FELT, which nobody notices between two tokens; unless that leaves
 * prompts less than PROMPTS_ANYWAY steps' time: with less, those who wait become more and more. */
#define PROMPTS_MOST 3.0
#define PROMPTS_ANYWAY 1.2
#define STEP_FELT 0.0187
#define PROMPTS_LEAST 0.33      /* with less a step stays without: each that has some costs more */
#define PROMPT_TOKENS_MIN 4     /* there is always progress */
#define PROMPT_TOKENS_FIRST 256 /* while nothing is known */
#define MIXED_MOST 16           /* steps with prompts between two without */
#define ALONE_AFTER 6           /* steps without before one of prompts alone, which costs more */
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
/* A step is put on the stream so long before the one under way ends, and by so much of what that
 * takes, since times scatter. To wait for less than LAUNCH_LEAST is not worth it. */
#define LAUNCH_AHEAD 1e-3
#define LAUNCH_AHEAD_PART 0.2
#define LAUNCH_LEAST 1e-3

/* A part of a step is no shorter: the host has as long as it lasts to put the next one on the
 * stream, and to look who came. */
#define PART_LEAST 1e-3
#define PARTS_MIN 3 /* with fewer there is no place between them */

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
    if (launched > 0 || g->step_prompt > 0)
        s->without = 0;
    s->debt = fmax(s->debt, 0) - t; /* below 0: the last step was so much too long */
    /* The first step behind a training batch is put on a stream that has come to rest: what it
     * takes more for that is training's time. */
    if (s->resumed && g->step_decoding > 0 && g->step_prompt == 0 && t > s->step && s->step > 0)
        s->debt += (t - s->step) / s->train_part;
    s->resumed = false;
    if (g->step_background > 0) {
        s->spare = fmax(s->spare - fmax(t - s->step, 0), -OWED_MOST);
    } else if (g->step_decoding == 0 && g->step_prompt > 0) {
        smooth(&s->read, t / g->step_prompt);
    } else if (g->step_decoding > 0 && g->step_prompt == 0) {
        smooth(&s->step, t);
        s->last = t;
        s->without++;
        s->spare = fmin(s->spare + BACKGROUND_PART * t, SPARE_MOST);
        s->mixed = 0;
    } else if (g->step_decoding > 0 && s->step > 0) {
        /* Of many tokens a step says more than of few. One that is faster than without says that a
         * token costs little, not less than that. */
        s->mixed_seconds = KEEP * s->mixed_seconds + t - s->step;
        s->mixed_tokens = KEEP * s->mixed_tokens + g->step_prompt;
        s->step_prompt = fmax(s->mixed_seconds / s->mixed_tokens, s->step / TOKENS_MOST);
        s->spare = fmin(s->spare + BACKGROUND_PART * t, SPARE_MOST);
        s->mixed++;
    }
}

bool lf_share_holds_background(const struct lf_share *s, int n_decoding)
{
    return n_decoding > 0 && (s->step == 0 || s->spare <= 0);
}

void lf_share_trained(struct lf_share *s, int tokens, double seconds, double held)
{
    if (tokens > 0)
        smooth(&s->train, seconds / tokens);
    double before = held < seconds ? 0 : s->debt; /* as it began nobody was there */
    s->debt = fmin(before + held * (1 - s->train_part) / s->train_part, DEBT_SECONDS);
    s->resumed = true;
}

/* What fits the time, but `least`; `first` while it is not known. */
static int tokens_in(double seconds, double each, int least, int first)
{
    double tokens = each > 0 ? seconds / each : first;
    return (int)fmin(fmax(tokens, least), TOKENS_MOST);
}

/* What prompts may have of one step, in seconds. */
static double prompts_most(const struct lf_share *s)
{
    double seconds = fmax(STEP_FELT - s->step, PROMPTS_ANYWAY * s->step);
    seconds = fmin(seconds, PROMPTS_MOST * s->step);
    return s->step_most > 0 ? fmin(seconds, s->step_most - s->step) : seconds;
}

/* A step of so many tokens of prompts alone is over before one of all sequences, and prompts may
 * have that much. */
static bool is_for_them_alone(const struct lf_share *s, int64_t unread)
{
    double alone = s->read * (double)unread;
    return alone > 0 && alone < fmin(s->step, s->prompts) && s->without >= ALONE_AFTER;
}

int lf_share_parts(const struct lf_share *s)
{
    int n = (int)fmin(fmin(s->step, s->last) / PART_LEAST, LF_STEP_PARTS_MAX);
    return n >= PARTS_MIN ? n : 1;
}

int lf_share_between(const struct lf_share *s, int64_t unread)
{
    return is_for_them_alone(s, unread) ? (int)fmin((double)unread, TOKENS_MOST) : 0;
}

struct lf_share_prompts lf_share_prompts(struct lf_share *s, int n_decoding, int n_prompts,
                                         int64_t unread)
{
    s->beside = n_decoding > 0;
    if (n_decoding == 0)
        return (struct lf_share_prompts){
            tokens_in(READ_MOST, s->read, READ_TOKENS_MIN, PROMPT_TOKENS_FIRST), false};
    double part = PROMPT_PART * fmax(1, (double)n_prompts * n_prompts);
    double most = prompts_most(s), least = fmin(PROMPTS_LEAST * s->step, most);
    s->prompts = fmin(s->prompts + s->step * fmin(part, PROMPTS_MOST), most);
    if (s->step == 0 || s->mixed >= MIXED_MOST || s->prompts < least)
        return (struct lf_share_prompts){-1, false};
    double all = s->step_prompt * (double)unread;
    double seconds = all <= most ? fmax(s->prompts, all) : s->prompts;
    return (struct lf_share_prompts){
        tokens_in(seconds, s->step_prompt, PROMPT_TOKENS_MIN, PROMPT_TOKENS_FIRST),
        is_for_them_alone(s, unread)};
}

double lf_share_launch_after(const struct lf_share *s, const struct lf_gen_status *g)
{
    double step = fmin(s->step, s->last), each = g->next_decoding > 0 ? s->step_prompt : s->read;
    double takes = (g->next_decoding > 0 ? step : 0) + g->next_prompt * each;
    bool known = g->next_background == 0 && (g->next_decoding == 0 || step > 0) &&
                 (g->next_prompt == 0 || each > 0);
    double after = takes - LAUNCH_AHEAD - LAUNCH_AHEAD_PART * takes;
    return known && after >= LAUNCH_LEAST ? after : 0;
}

int lf_share_training(const struct lf_share *s, bool beside, bool awaited)
{
    if (!beside && !awaited)
        return 0;
    double seconds = beside ? fmax(STALL_STEPS * s->step, STALL_MIN) : YIELD;
    return tokens_in(seconds, s->train, TRAIN_TOKENS_MIN, TRAIN_TOKENS_FIRST);
}
