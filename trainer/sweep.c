/* Combinations of settings, and when the worse of them end. */
#include "trainer/sweep.h"

#include "core/json.h"
#include "core/rng.h"
#include "trainer/limits.h"
#include "trainer/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A loss after fewer steps says too little of a setting. */
#define FIRST_STEPS 8

/* Combinations of all lists. */
static int64_t grid_size(const json_t *lists)
{
    const char *key;
    json_t *list;
    int64_t n = 1;
    json_object_foreach((json_t *)(uintptr_t)lists, key, list)
        if (n <= LF_SWEEP_GRID_MAX)
            n *= (int64_t)json_array_size(list);
    return n;
}

/* Combination k, the last list's values first. Yours. */
static json_t *combination(const json_t *lists, int64_t k)
{
    const char *key;
    json_t *list, *out = json_object();
    int64_t left = grid_size(lists);
    json_object_foreach((json_t *)(uintptr_t)lists, key, list) {
        left /= (int64_t)json_array_size(list);
        json_object_set(out, key, json_array_get(list, (size_t)(k / left)));
        k %= left;
    }
    return out;
}

/* The settings with these values instead of the lists. */
static enum lf_err settings_with(struct lf_train_settings *out, const struct lf_train_settings *s,
                                 json_t *chosen, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    json_auto_t *all = NULL;
    if (lf_train_settings_print(s, &text) != LF_OK)
        return lf_no_memory(diag, "a sweep");
    enum lf_err rc = lf_json_parse(&all, text.data, text.len, diag);
    if (rc != LF_OK)
        return rc;
    json_object_update(all, chosen);
    json_object_del(all, "trials");
    json_object_del(all, "halving");
    return lf_train_settings_parse(out, all, diag);
}

/* (n) of `size` combinations, distinct, in an order drawn from the seed. */
static void draw(int64_t *at, int n, int64_t size, uint64_t seed)
{
    for (int i = 0; i < n; i++) {
        bool again = true;
        for (uint32_t try = 0; again; try++) {
            again = false;
            at[i] = (int64_t)((uint64_t)lf_rng_u32(seed, (uint32_t)i, try) * (uint64_t)size >> 32);
            for (int k = 0; k < i; k++)
                again = again || at[k] == at[i];
        }
    }
}

static enum lf_err choose(struct lf_sweep *w, const struct lf_train_settings *s,
                          const json_t *lists, struct lf_diag *diag)
{
    int64_t at[LF_JOBS_FUSED_MAX], size = grid_size(lists);
    bool drawn = s->trials > 0 && s->trials < size;
    if (size > (drawn ? LF_SWEEP_GRID_MAX : LF_JOBS_FUSED_MAX))
        return lf_fail(diag, LF_E_INVALID,
                       "a sweep of %lld trainings; %d at the most, \"trials\" draws some of up to "
                       "%d",
                       (long long)size, LF_JOBS_FUSED_MAX, LF_SWEEP_GRID_MAX);
    unsigned n = (unsigned)(drawn ? s->trials : size);
    for (unsigned i = 0; i < n && !drawn; i++)
        at[i] = i;
    if (drawn)
        draw(at, (int)n, size, s->seed);
    w->settings = calloc(n, sizeof *w->settings);
    w->chosen = calloc(n, sizeof *w->chosen);
    w->rung = calloc(n, sizeof *w->rung);
    if (!w->settings || !w->chosen || !w->rung)
        return lf_no_memory(diag, "a sweep");
    enum lf_err rc = LF_OK;
    for (; w->n < (int)n && rc == LF_OK; w->n++) {
        w->chosen[w->n] = combination(lists, at[w->n]);
        lf_train_settings_default(&w->settings[w->n]);
        rc = settings_with(&w->settings[w->n], s, w->chosen[w->n], diag);
    }
    w->last = s->halving;
    for (int left = w->n; w->last > 0 && left > 1 && w->rungs < LF_SWEEP_RUNGS_MAX;
         left -= left / 2)
        w->rungs++;
    return rc;
}

enum lf_err lf_sweep_expand(struct lf_sweep *out, const struct lf_train_settings *s,
                            struct lf_diag *diag)
{
    json_auto_t *lists = NULL;
    struct lf_sweep w = {0};
    enum lf_err rc = lf_json_parse(&lists, s->sweep, strlen(s->sweep), diag);
    rc = rc ?: choose(&w, s, lists, diag);
    if (rc == LF_OK)
        *out = w;
    else
        lf_sweep_free(&w);
    return rc;
}

void lf_sweep_free(struct lf_sweep *w)
{
    for (int i = 0; i < w->n; i++) {
        lf_train_settings_free(&w->settings[i]);
        json_decref(w->chosen[i]);
    }
    free(w->settings);
    free(w->chosen);
    free(w->rung);
    *w = (struct lf_sweep){0};
}

/* Optimizer steps of the warm-up. */
static int64_t warmup_of(const struct lf_train_settings *s, int64_t steps)
{
    int64_t per_step = s->schedule_by == LF_SCHEDULE_BY_MICRO_BATCHES ? s->accumulation : 1;
    return (lf_train_warmup_steps(s, steps * per_step) + per_step - 1) / per_step;
}

enum lf_err lf_sweep_place_rungs(struct lf_sweep *w, const struct lf_dataset *train,
                                 struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; i < w->n && w->rungs > 0 && rc == LF_OK; i++) {
        struct lf_plan plan;
        rc = lf_plan_init(&plan, train, &w->settings[i], diag);
        int64_t warm = warmup_of(&w->settings[i], plan.steps);
        int64_t first = warm > FIRST_STEPS ? warm : FIRST_STEPS;
        w->rung[i].n = w->rungs;
        for (int rung = 0; rung < w->rungs; rung++) {
            double part = ldexp(w->last, rung + 1 - w->rungs);
            int64_t step = (int64_t)ceil(part * (double)plan.steps);
            step = step > first ? step : first;
            w->rung[i].step[rung] = step < plan.steps ? step : plan.steps;
        }
        lf_plan_free(&plan);
    }
    return rc;
}

int lf_sweep_survivors(const struct lf_sweep *w, int rung)
{
    double left = pow(w->n, (double)(w->rungs - 1 - rung) / w->rungs);
    return (int)ceil(left - 1e-9); /* of 64 it is 16, whatever pow rounds to */
}
