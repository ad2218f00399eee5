/* The gate: which new versions are served. One that is scored waits for its score where another one
 * serves meanwhile; what is worse by more than chance stays a version that is not served. */
#include "daemon/jobs/inside.h"

#include "core/json.h"
#include "score/confusion.h"
#include "score/metrics.h"
#include "trainer/watch.h"

#include <math.h>
#include <stdlib.h>

#define KNEW 0.9         /* of ln(vocabulary): a loss of who knew something */
#define MAJORITY_ROWS 20 /* fewer do not tell how often a class comes */

bool lf_scored_rows(struct lf_jobs *j, uint64_t adapter_id, const struct lf_train_settings *s,
                    char path[LF_PATH_MAX], bool *held_out)
{
    struct lf_registry *r = j->d->registry;
    *held_out = false;
    if (lf_registry_dir(r, adapter_id, lf_files[LF_FILE_EVAL].disk, path, NULL) == LF_OK &&
        lf_file_exists(path))
        return true;
    *held_out = s->validation > 0;
    return *held_out &&
           lf_registry_dir(r, adapter_id, lf_files[LF_FILE_DATASET].disk, path, NULL) == LF_OK &&
           lf_file_exists(path);
}

bool lf_served_has_rows(struct lf_jobs *j, uint64_t adapter_id)
{
    char path[LF_PATH_MAX];
    struct lf_adapter_view v;
    struct lf_train_settings s;
    if (lf_registry_view_id(j->d->registry, adapter_id, &v, NULL) != LF_OK ||
        v.record.current == 0 || v.stranger ||
        lf_registry_settings(j->d->registry, adapter_id, &s, NULL) != LF_OK)
        return false;
    bool held_out, any = lf_scored_rows(j, adapter_id, &s, path, &held_out);
    lf_train_settings_free(&s);
    return any;
}

/* The adapter's settings do not turn it off. *scores: they name a metric. */
static bool is_on(struct lf_jobs *j, uint64_t adapter_id, bool *scores)
{
    struct lf_train_settings s;
    if (lf_registry_settings(j->d->registry, adapter_id, &s, NULL) != LF_OK)
        return false;
    bool on = s.gate == LF_GATE_ON;
    *scores = lf_metric_find(s.metric) != NULL;
    lf_train_settings_free(&s);
    return on;
}

bool lf_gate_holds(struct lf_jobs *j, uint64_t adapter_id)
{
    bool scores;
    return lf_served_has_rows(j, adapter_id) && is_on(j, adapter_id, &scores) && scores;
}

bool lf_gate_guesses(struct lf_jobs *j, const struct lf_open_job *l, struct lf_diag *why)
{
    bool scores;
    const struct lf_job_record *r = &l->record;
    const struct lf_progress *p = &r->progress;
    int V = lf_registry_base(j->d->registry, r->adapter_id)->model->config.V;
    double loss = isfinite(p->eval_loss) ? p->eval_loss : p->loss;
    if (l->curve.train.n == 0 || !lf_loss_is_guess(loss, V) ||
        l->curve.train.p[0].value >= KNEW * log(V) || !is_on(j, r->adapter_id, &scores))
        return false;
    lf_fail(why, LF_E_FAILED,
            "v%d is worse: its loss is %.2f, that of guessing among %d ids; the first step's was "
            "%.2f",
            (int)r->version, loss, V, l->curve.train.p[0].value);
    return true;
}

/* a is less than b, by more than the standard error of two means over n rows of scores in [0, 1].
 */
static bool is_worse(double a, double b, double n)
{
    return n > 0 && a < b - sqrt((a * (1 - a) + b * (1 - b)) / n);
}

/* What the most frequent class scores; 0 where there are too few rows to speak of one. */
static double majority(const json_t *eval, double n, const char **label)
{
    const json_t *confusion = json_object_get(eval, "confusion");
    double share = lf_confusion_majority(confusion, label);
    return share < 1 && n >= MAJORITY_ROWS ? share : 0;
}

bool lf_gate_is_worse(const struct lf_scored *s, struct lf_diag *why)
{
    const char *metric = lf_json_text_of(s->eval, "metric"), *label = "";
    double score = lf_json_real_of(s->eval, "score"), n = lf_json_real_of(s->eval, "rows");
    if (s->served) { /* better than what is served is better, whatever else is */
        double was = lf_json_real_of(s->served, "score");
        lf_fail(why, LF_E_FAILED, "v%d is worse: %s %.2f, was %.2f", (int)s->version, metric, score,
                was);
        return is_worse(score, was, n);
    }
    double base = lf_json_real_of(s->base, "score"), most = majority(s->eval, n, &label);
    if (is_worse(score, base, n)) {
        lf_fail(why, LF_E_FAILED, "v%d is worse than the base: %s %.2f, was %.2f", (int)s->version,
                metric, score, base);
        return true;
    }
    lf_fail(why, LF_E_FAILED, "v%d is worse than to answer \"%.40s\" always: %s %.2f, not %.2f",
            (int)s->version, label, metric, score, most);
    return is_worse(score, most, n);
}
