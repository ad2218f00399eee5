/* What goes wrong in a training. */
#include "trainer/watch.h"

#include <math.h>

#define GUESSING 0.98 /* of ln(V) */
#define KNEW 0.9      /* of it: a step that knew better */
#define GUESSES 3     /* steps in a row: one batch alone may be odd */
#define BLOCKS 20     /* of the run: two of them are a tenth */
#define BLOCK_MIN 5
#define DEVIATIONS 6 /* standard errors of the difference of two means, which is no chance */

bool lf_loss_is_guess(double loss, int V)
{
    return loss >= GUESSING * log(V);
}

void lf_watch_init(struct lf_watch *w, int V, int64_t steps)
{
    *w = (struct lf_watch){.V = V, .block_steps = steps / BLOCKS};
    if (w->block_steps < BLOCK_MIN)
        w->block_steps = BLOCK_MIN;
}

static double mean(const struct lf_watch_block *b)
{
    return b->sum / (double)b->n;
}

/* Of the mean. */
static double variance(const struct lf_watch_block *b)
{
    double n = (double)b->n, of_one = (b->squares - b->sum * b->sum / n) / (n - 1);
    return fmax(of_one, 0) / n;
}

/* The block that ends now is higher than the lowest one by more than chance. */
static bool climbs(const struct lf_watch *w, struct lf_diag *why)
{
    const struct lf_watch_block *a = &w->lowest, *b = &w->now;
    if (a->n == 0)
        return false;
    double from = mean(a), to = mean(b);
    lf_fail(why, LF_E_FAILED,
            "the loss climbs: %.2f at step %lld, %.2f at step %lld (means of %lld); a lower "
            "learning_rate may help",
            from, (long long)a->last, to, (long long)b->last, (long long)b->n);
    return to > from + DEVIATIONS * sqrt(variance(a) + variance(b));
}

static bool see_climb(struct lf_watch *w, int64_t step, double loss, struct lf_diag *why)
{
    w->now.n++;
    w->now.last = step;
    w->now.sum += loss;
    w->now.squares += loss * loss;
    if (w->now.n < w->block_steps)
        return false;
    bool does = climbs(w, why);
    if (w->lowest.n == 0 || mean(&w->now) < mean(&w->lowest))
        w->lowest = w->now;
    w->now = (struct lf_watch_block){0};
    return does;
}

static bool once(bool *said, bool is)
{
    bool news = is && !*said;
    *said = *said || is;
    return news;
}

bool lf_watch_see(struct lf_watch *w, int64_t step, double loss, double grad_norm,
                  struct lf_diag *why)
{
    struct lf_diag climb;
    bool rises = see_climb(w, step, loss, &climb);
    w->knew = w->knew || loss < KNEW * log(w->V);
    w->guesses = lf_loss_is_guess(loss, w->V) ? w->guesses + 1 : 0;
    if (once(&w->said_zero, !(grad_norm > 0))) {
        lf_fail(why, LF_E_FAILED, "the gradient is 0 (step %lld): nothing is learnt",
                (long long)step);
        return true;
    }
    if (once(&w->said_guess, w->guesses >= (w->knew ? GUESSES : 2 * w->block_steps))) {
        lf_fail(why, LF_E_FAILED, "the loss, %.2f, is that of guessing among %d ids (step %lld)",
                loss, w->V, (long long)step);
        return true;
    }
    if (!once(&w->said_climb, rises))
        return false;
    *why = climb;
    return true;
}
