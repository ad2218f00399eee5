/* Drafts from the text itself, and whether they pay. */
#include "model/speculate.h"

#include "core/num.h"

#include <math.h>

#define AUTO_DRAFTS 3 /* with their token four rows: attention's tile holds these of four heads */
#define LIKE_LEAST 2  /* tokens that agree before a place is taken */
#define LIKE_MOST 12
#define KEEP 0.85
#define SAVED_LEAST 0.1 /* an owner with less has none made */
#define GUESS_EVERY 4   /* tokens: as many as drafts that all come, and one */
#define GAIN_LEAST 1.05
#define PRICE_GUESSED 1.2  /* of the step without drafts, while nothing is known */
#define PRICE_JUMP 2.0     /* a step that takes longer than that was held up by something else */
#define PRICE_FORGET 0.998 /* a price that keeps drafts from being made is not asked again else */

void lf_speculation_init(struct lf_speculation *s, int drafts)
{
    *s = (struct lf_speculation){.most = drafts == LF_SPECULATE_AUTO ? AUTO_DRAFTS : drafts,
                                 .always = drafts != LF_SPECULATE_AUTO};
}

/* ---- Owners ---------------------------------------------------------------------------------- */

/* Where an owner is, or one that it takes the place of. */
static size_t place_of(uint64_t owner)
{
    return (owner * 0x9e3779b97f4a7c15u >> 32) % LF_SPECULATION_OWNERS;
}

static const struct lf_drafting *find(const struct lf_speculation *s, uint64_t owner)
{
    const struct lf_drafting *d = &s->of[place_of(owner)];
    return d->known && d->owner == owner ? d : NULL;
}

bool lf_speculation_drafts(const struct lf_speculation *s, uint64_t owner)
{
    const struct lf_drafting *d = find(s, owner);
    return s->always || (d && d->saved >= SAVED_LEAST);
}

bool lf_speculation_guesses(const struct lf_speculation *s, int n)
{
    return s->most > 0 && !s->always && n % GUESS_EVERY == 0;
}

void lf_speculation_came(struct lf_speculation *s, uint64_t owner, int drafted, int came)
{
    struct lf_drafting *d = &s->of[place_of(owner)];
    if (!find(s, owner)) {
        *d = (struct lf_drafting){.owner = owner, .saved = came, .made = drafted, .known = true};
        return;
    }
    d->saved = KEEP * d->saved + (1 - KEEP) * came;
    d->made = KEEP * d->made + (1 - KEEP) * drafted;
}

/* ---- Prices ---------------------------------------------------------------------------------- */

/* By 1 up to 8 rows, by 8 up to 64, by 16 up to 176, and all that have more. */
static int price_at(int rows)
{
    int i = rows <= 8 ? rows : rows <= 64 ? 8 + (rows - 1) / 8 : 16 + (rows - 65) / 16;
    return lf_min_int(i, LF_SPECULATION_PRICES - 1);
}

void lf_speculation_took(struct lf_speculation *s, bool with_drafts, int rows, double seconds)
{
    double *price = with_drafts ? &s->with[price_at(rows)] : &s->without[price_at(rows)];
    double known = *price > 0 ? *price : with_drafts ? s->without[price_at(rows)] : 0;
    if (known > 0)
        seconds = KEEP * known + (1 - KEEP) * fmin(seconds, PRICE_JUMP * known);
    *price = seconds;
}

double lf_speculation_gain(struct lf_speculation *s, const uint64_t *owners, int n)
{
    double saved = 0, rows = n;
    if (s->most == 0 || n == 0 || s->always)
        return s->most > 0 && n > 0;
    for (int i = 0; i < n; i++) {
        const struct lf_drafting *d = find(s, owners[i]);
        if (!d || d->saved < SAVED_LEAST)
            continue;
        saved += d->saved;
        rows += d->made;
    }
    double without = s->without[price_at(n)], *with = &s->with[price_at((int)ceil(rows))];
    if (saved == 0 || without == 0)
        return 0;
    double price = *with > 0 ? *with : PRICE_GUESSED * without;
    double gain = (n + saved) * without / (n * price);
    if (gain > GAIN_LEAST)
        return gain;
    *with *= PRICE_FORGET;
    return 0;
}

/* ---- Drafts ---------------------------------------------------------------------------------- */

/* How many tokens up to a and b, a < b, are the same. */
static int alike(const int32_t *tokens, int a, int b)
{
    int n = 0;
    while (n < LIKE_MOST && a - n >= 0 && tokens[a - n] == tokens[b - n])
        n++;
    return n;
}

int lf_speculation_look_up(int32_t *tokens, int n, int most)
{
    int best = LIKE_LEAST - 1, at = -1;
    for (int i = n - 2; i >= 0 && best < LIKE_MOST; i--) {
        int like = tokens[i] == tokens[n - 1] ? alike(tokens, i, n - 1) : 0;
        if (like > best) {
            best = like;
            at = i;
        }
    }
    for (int k = 0; at >= 0 && k < most; k++)
        tokens[n + k] = tokens[at + 1 + k]; /* beyond the text's end: the drafts themselves */
    return at >= 0 ? most : 0;
}
