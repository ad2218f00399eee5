/* DPO, ORPO and KTO. */
#include "trainer/preference.h"

#include <math.h>

int lf_texts_ahead(enum lf_loss loss, const enum lf_text_role **roles)
{
    static const enum lf_text_role pair[] = {LF_TEXT_BASE_CHOSEN, LF_TEXT_BASE_REJECTED};
    static const enum lf_text_role kto[] = {LF_TEXT_MIXED, LF_TEXT_BASE_MIXED, LF_TEXT_BASE_CHOSEN};
    *roles = loss == LF_LOSS_KTO ? kto : pair;
    return loss == LF_LOSS_KTO ? 3 : loss == LF_LOSS_DPO ? 2 : 0;
}

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double log_sigmoid(double x)
{
    return x >= 0 ? -log1p(exp(-x)) : x - log1p(exp(x));
}

static struct lf_preference_loss dpo(const struct lf_train_settings *s,
                                     const struct lf_preference *p)
{
    double chosen = s->beta * (p->logp[LF_TEXT_CHOSEN] - p->logp[LF_TEXT_BASE_CHOSEN]);
    double rejected = s->beta * (p->logp[LF_TEXT_REJECTED] - p->logp[LF_TEXT_BASE_REJECTED]);
    double h = chosen - rejected, e = s->label_smoothing;
    double slope = s->beta * (e * sigmoid(h) - (1 - e) * sigmoid(-h));
    return (struct lf_preference_loss){.loss = -(1 - e) * log_sigmoid(h) - e * log_sigmoid(-h),
                                       .reward = {chosen, rejected},
                                       .slope = {slope, -slope},
                                       .right = chosen > rejected};
}

/* A mean log-probability that is not 0: certain completions have no odds. */
static double mean_below_0(double logp, int n)
{
    return fmin(logp / n, -1e-12);
}

static struct lf_preference_loss orpo(const struct lf_train_settings *s,
                                      const struct lf_preference *p)
{
    int n = p->n[LF_TEXT_CHOSEN], m = p->n[LF_TEXT_REJECTED];
    double chosen = mean_below_0(p->logp[LF_TEXT_CHOSEN], n);
    double rejected = mean_below_0(p->logp[LF_TEXT_REJECTED], m);
    double log_odds = chosen - log(-expm1(chosen)) - (rejected - log(-expm1(rejected)));
    double slope = -s->beta * sigmoid(-log_odds);
    return (struct lf_preference_loss){
        .loss = -s->beta * log_sigmoid(log_odds),
        .reward = {s->beta * chosen, s->beta * rejected},
        .slope = {slope / -expm1(chosen) / n, -slope / -expm1(rejected) / m},
        .right = chosen > rejected};
}

static struct lf_preference_loss kto(const struct lf_train_settings *s,
                                     const struct lf_preference *p)
{
    double ratio = p->logp[LF_TEXT_CHOSEN] - p->logp[LF_TEXT_BASE_CHOSEN];
    double sign = p->unwanted ? -1 : 1;
    double weight = p->unwanted ? s->undesirable_weight : s->desirable_weight;
    double v = sigmoid(sign * s->beta * (ratio - p->z));
    return (struct lf_preference_loss){.loss = weight * (1 - v),
                                       .reward = {s->beta * ratio},
                                       .slope = {-weight * sign * s->beta * v * (1 - v)},
                                       .right = sign * (ratio - p->z) > 0};
}

struct lf_preference_loss lf_preference_loss(const struct lf_train_settings *s,
                                             const struct lf_preference *p)
{
    if (s->loss == LF_LOSS_KTO)
        return kto(s, p);
    return s->loss == LF_LOSS_DPO ? dpo(s, p) : orpo(s, p);
}
