/* Lines of a log to runs of TensorBoard and MLflow. */
#include "trainer/track.h"

#include "core/file.h"
#include "core/grow.h"
#include "core/json.h"
#include "trainer/mlflow.h"
#include "trainer/tensorboard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Members of lines, by the names that TensorBoard (as transformers and TRL have them) and MLflow
 * show. */
static const struct {
    const char *member, *tag, *key;
} scalars[] = {{"loss", "train/loss", "loss"},
               {"learning_rate", "train/learning_rate", "learning_rate"},
               {"grad_norm", "train/grad_norm", "grad_norm"},
               {"tokens_per_second", "train/tokens_per_second", "tokens_per_second"},
               {"eval_loss", "eval/loss", "eval_loss"},
               {"reward_chosen", "train/rewards/chosen", "reward_chosen"},
               {"reward_rejected", "train/rewards/rejected", "reward_rejected"},
               {"reward_margin", "train/rewards/margins", "reward_margin"},
               {"reward_accuracy", "train/rewards/accuracies", "reward_accuracy"},
               {"eval_reward_chosen", "eval/rewards/chosen", "eval_reward_chosen"},
               {"eval_reward_rejected", "eval/rewards/rejected", "eval_reward_rejected"},
               {"eval_reward_margin", "eval/rewards/margins", "eval_reward_margin"},
               {"eval_reward_accuracy", "eval/rewards/accuracies", "eval_reward_accuracy"}};

struct tracked_run {
    json_int_t job; /* 0: the log is of one training */
    json_int_t trial;
    struct lf_tensorboard *tensorboard;
    struct lf_mlflow *mlflow;
};

struct lf_tracker {
    struct lf_tracker_spec spec;
    struct tracked_run *runs;
    size_t n, cap;
};

enum lf_err lf_tracker_open(struct lf_tracker **out, const struct lf_tracker_spec *spec,
                            struct lf_diag *diag)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return lf_no_memory(diag, "a tracker");
    (*out)->spec = *spec;
    return LF_OK;
}

/* "2026-11-28T09:51:50.194Z" in seconds of the epoch; 0: it is none. */
static double seconds_of(const json_t *time)
{
    struct tm tm = {0};
    const char *text = json_is_string(time) ? json_string_value(time) : "";
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    return rest ? (double)timegm(&tm) + strtod(*rest == '.' ? rest : "0", NULL) : 0;
}

/* ---- Runs ------------------------------------------------------------------------------------ */

static enum lf_err put_settings(struct lf_mlflow *m, const struct lf_train_settings *s,
                                struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    json_auto_t *all = NULL;
    const char *key;
    json_t *v;
    if (lf_train_settings_print(s, &text) != LF_OK)
        return lf_no_memory(diag, "the settings");
    enum lf_err rc = lf_json_parse(&all, text.data, text.len, diag);
    json_object_foreach(all, key, v) {
        char *value = json_is_string(v) ? strdup(json_string_value(v))
                                        : json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        if (rc == LF_OK)
            rc = value ? lf_mlflow_param(m, key, value, diag) : lf_no_memory(diag, "the settings");
        free(value);
    }
    return rc;
}

static enum lf_err run_open(struct lf_tracker *t, struct tracked_run *r, double time,
                            struct lf_diag *diag)
{
    const struct lf_tracker_spec *s = &t->spec;
    char name[128], dir[LF_PATH_MAX];
    int n = r->job ? snprintf(name, sizeof name, "job-%lld", (long long)r->job)
                   : snprintf(name, sizeof name, "%s", s->name);
    if (r->trial >= 0 && n < (int)sizeof name)
        snprintf(name + n, sizeof name - (size_t)n, "-trial-%lld", (long long)r->trial);
    enum lf_err rc = LF_OK;
    if (s->tensorboard)
        rc = lf_path_join(dir, s->tensorboard, name, diag)
                 ?: lf_tensorboard_open(&r->tensorboard, dir, time, diag);
    if (rc == LF_OK && s->mlflow)
        rc = lf_mlflow_open(&r->mlflow, s->mlflow, s->name, name, time, diag);
    if (rc == LF_OK && s->mlflow && s->settings)
        rc = put_settings(r->mlflow, s->settings, diag);
    return rc;
}

static enum lf_err run_of(struct lf_tracker *t, struct tracked_run **out, const json_t *line,
                          double time, struct lf_diag *diag)
{
    const json_t *trial = json_object_get(line, "trial");
    struct tracked_run wanted = {.job = json_integer_value(json_object_get(line, "job")),
                                 .trial = trial ? json_integer_value(trial) : -1};
    for (size_t i = 0; i < t->n; i++)
        if (t->runs[i].job == wanted.job && t->runs[i].trial == wanted.trial) {
            *out = &t->runs[i];
            return LF_OK;
        }
    if (lf_grow(&t->runs, &t->cap, t->n + 1, sizeof *t->runs) != LF_OK)
        return lf_no_memory(diag, "a tracker");
    *out = &t->runs[t->n];
    **out = wanted;
    t->n++;
    return run_open(t, *out, time, diag);
}

static void run_close(struct tracked_run *r)
{
    lf_tensorboard_close(r->tensorboard);
    lf_mlflow_close(r->mlflow);
    r->tensorboard = NULL;
    r->mlflow = NULL;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static enum lf_err put_scalars(struct tracked_run *r, const json_t *line, double time, int64_t step,
                               struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
        const json_t *v = json_object_get(line, scalars[i].member);
        if (!json_is_number(v))
            continue;
        double x = json_number_value(v);
        if (rc == LF_OK && r->tensorboard)
            rc = lf_tensorboard_scalar(r->tensorboard, time, step, scalars[i].tag, x, diag);
        if (rc == LF_OK && r->mlflow)
            rc = lf_mlflow_metric(r->mlflow, time, step, scalars[i].key, x, diag);
    }
    return rc ?: r->tensorboard ? lf_tensorboard_flush(r->tensorboard, diag) : LF_OK;
}

/* How it ended; RUNNING: the event is no end. */
static enum lf_mlflow_status ended(const char *event)
{
    if (strcmp(event, "done") == 0)
        return LF_MLFLOW_FINISHED;
    if (strcmp(event, "failed") == 0)
        return LF_MLFLOW_FAILED;
    bool killed = strcmp(event, "cancelled") == 0 || strcmp(event, "ended early") == 0;
    return killed ? LF_MLFLOW_KILLED : LF_MLFLOW_RUNNING;
}

enum lf_err lf_tracker_line(struct lf_tracker *t, const json_t *line, struct lf_diag *diag)
{
    const char *event = lf_json_text_of(line, "event");
    const json_t *step = json_object_get(line, "step");
    double time = seconds_of(json_object_get(line, "time"));
    enum lf_mlflow_status status = ended(event);
    struct tracked_run *r = NULL;
    bool starts = strcmp(event, "started") == 0;
    if (!json_is_integer(step) || (!starts && status == LF_MLFLOW_RUNNING &&
                                   strcmp(event, "step") != 0 && strcmp(event, "eval") != 0))
        return LF_OK;
    enum lf_err rc = run_of(t, &r, line, time, diag);
    if (rc == LF_OK && starts && json_integer_value(step) > 0 && r->tensorboard)
        rc = lf_tensorboard_restart(r->tensorboard, time, json_integer_value(step) + 1, diag);
    rc = rc ?: put_scalars(r, line, time, json_integer_value(step), diag);
    if (rc == LF_OK && status != LF_MLFLOW_RUNNING && r->mlflow)
        rc = lf_mlflow_end(r->mlflow, time, status, diag);
    return rc;
}

void lf_tracker_close(struct lf_tracker *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        run_close(&t->runs[i]);
    free(t->runs);
    free(t);
}
