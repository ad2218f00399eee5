/* A job: how it begins, what happens at its step boundaries, how it ends. */
#include "trainer/job.h"

#include "core/clock.h"
#include "core/lock.h"
#include "model/adapter_start.h"
#include "model/dora.h"
#include "model/moments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SMOOTH_LOSS 0.95 /* of the smoothed loss is kept at a step */
#define SMOOTH_TIME 0.9
#define RETRY_RATE 0.5 /* of the settings', after a loss that was not finite */

/* ---- What others see --------------------------------------------------------------------------
 */

void lf_job_report(struct lf_job *j, const struct lf_train_event *e)
{
    struct lf_train_event filled = *e;
    filled.progress = j->now;
    if (e->kind != LF_TRAIN_CHECKPOINT)
        filled.step = j->now.step;
    if (j->event)
        j->event(j->event_arg, &filled);
}

static void report(struct lf_job *j, enum lf_train_event_kind kind)
{
    lf_job_report(j, &(struct lf_train_event){.kind = kind});
}

static void show(struct lf_job *j)
{
    lf_lock_auto held = lf_lock(&j->mutex);
    j->seen = j->now;
    j->seen_why = j->why;
}

void lf_job_progress(struct lf_job *j, struct lf_progress *out, struct lf_diag *why)
{
    lf_lock_auto held = lf_lock(&j->mutex);
    *out = j->seen;
    if (why)
        *why = j->seen_why;
}

static bool ended(const struct lf_job *j)
{
    return !lf_job_state_open(j->now.state);
}

/* ---- Checkpoints ----------------------------------------------------------------------------- */

/* What a checkpoint must agree with to be this job's: all that decides its numbers. */
static enum lf_err make_digest(struct lf_job *j, struct lf_diag *diag)
{
    struct lf_dataset_report rows;
    lf_dataset_report(j->train, &rows);
    lf_buf_auto text = {0};
    struct lf_sha256 *h = lf_sha256_begin();
    enum lf_err rc = lf_train_settings_print_deciding(&j->s, &text);
    if (rc == LF_OK && h) {
        const struct lf_adapter_shape *shape = &j->adapter->shape;
        size_t n = (size_t)shape->n_sites;
        lf_sha256_add(h, text.data, text.len);
        lf_sha256_add(h, rows.sha256, sizeof rows.sha256);
        lf_sha256_add(h, j->t->m->digest, sizeof j->t->m->digest);
        lf_sha256_add(h, shape->rank, n * sizeof *shape->rank);
        lf_sha256_add(h, shape->scale, n * sizeof *shape->scale);
        lf_sha256_add(h, j->adapter->params, shape->n_params * sizeof *j->adapter->params);
    }
    lf_sha256_end(h, j->digest);
    return rc == LF_OK && h ? LF_OK : lf_no_memory(diag, "a digest");
}

static void note(struct lf_job *j, const struct lf_diag *d)
{
    memcpy(&j->why, d, sizeof j->why);
}

/* Reports a write that is over; `wait` waits for it. */
static void settle(struct lf_job *j, bool wait)
{
    if (!lf_checkpoint_over(&j->writer, wait))
        return;
    bool ok = j->writer.rc == LF_OK;
    j->checkpoint_owed = false;
    j->checkpoint_step = ok ? j->writer.c.step : -1;
    note(j, &j->writer.diag);
    show(j);
    lf_job_report(j, &(struct lf_train_event){.kind = LF_TRAIN_CHECKPOINT,
                                              .step = j->writer.c.step,
                                              .reason = ok ? NULL : j->writer.diag.text});
}

/* Copies parameters and moments to the host. */
static enum lf_err snapshot(struct lf_job *j, struct lf_checkpoint *c, struct lf_diag *diag)
{
    const struct lf_slot *slot = &j->t->own.slots->slot[j->slot];
    size_t n = slot->shape.n_params, bytes = n * sizeof(float);
    size_t moments = lf_moments_bytes(&slot->shape, &j->t->m->config, slot->moments8);
    *c = (struct lf_checkpoint){.step = j->now.step,
                                .tokens = j->now.tokens,
                                .seconds = j->now.seconds,
                                .loss_sum = j->loss_sum,
                                .loss_weight = j->loss_weight,
                                .n = n,
                                .moments_bytes = moments,
                                .moments8 = slot->moments8,
                                .data = malloc(bytes + moments),
                                .best = j->best};
    if (j->best.params)
        c->best.params = malloc(bytes);
    if (!c->data || (j->best.params && !c->best.params)) {
        lf_checkpoint_free(c);
        return lf_no_memory(diag, "a checkpoint");
    }
    memcpy(c->digest, j->digest, sizeof c->digest);
    if (j->best.params)
        memcpy(c->best.params, j->best.params, bytes);
    lf_stream_download(j->t->own.stream, c->data, slot->master, bytes);
    lf_stream_download(j->t->own.stream, lf_checkpoint_moments(c), slot->moments, moments);
    enum lf_err rc = lf_stream_wait(j->t->own.stream, diag);
    if (rc != LF_OK)
        lf_checkpoint_free(c);
    return rc;
}

/* Starts a checkpoint of the step that is done. Trouble with it is noted; the job goes on. */
static enum lf_err save(struct lf_job *j, struct lf_diag *diag)
{
    struct lf_checkpoint c;
    struct lf_diag trouble = {""};
    settle(j, true);
    if (ended(j)) /* the event's receiver cancelled it */
        return LF_OK;
    enum lf_err rc = snapshot(j, &c, &trouble);
    if (rc == LF_E_DEVICE_LOST)
        return lf_fail(diag, rc, "%s", trouble.text);
    rc = rc ?: lf_checkpoint_start(&j->writer, &c, j->checkpoint_dir, &trouble);
    note(j, &trouble);
    j->checkpoint_wanted = false;
    j->checkpoint_owed = j->checkpoint_owed && rc == LF_OK;
    j->checkpoint_ns = lf_clock_ns();
    if (rc != LF_OK)
        lf_job_report(j, &(struct lf_train_event){.kind = LF_TRAIN_CHECKPOINT,
                                                  .step = j->now.step,
                                                  .reason = j->why.text});
    return LF_OK;
}

/* A checkpoint at a step boundary, where one is wanted or due; one that is merely due waits while
 * the last is still being written. */
static enum lf_err save_if_due(struct lf_job *j, struct lf_diag *diag)
{
    if (!j->checkpoint_dir)
        return LF_OK;
    double since = (double)(lf_clock_ns() - j->checkpoint_ns) * 1e-9;
    bool due = since >= j->checkpoint_seconds &&
               (!j->writer.busy || j->checkpoint_seconds == 0 || atomic_load(&j->writer.finished));
    return j->checkpoint_wanted || due ? save(j, diag) : LF_OK;
}

/* The job's checkpoint into j->found, where there is one that can be used; why not is noted. */
static void find_checkpoint(struct lf_job *j)
{
    struct lf_checkpoint *c = &j->found;
    struct lf_diag trouble = {""};
    if (!j->checkpoint_dir)
        return;
    const struct lf_adapter_shape *shape = &j->adapter->shape;
    bool eight = lf_train_slot_use(&j->s) == LF_SLOT_TRAINS_8BIT;
    *c = (struct lf_checkpoint){
        .n = shape->n_params,
        .moments_bytes = lf_moments_bytes(shape, &j->t->m->config, eight),
        .moments8 = eight,
    };
    memcpy(c->digest, j->digest, sizeof c->digest);
    enum lf_err rc = lf_checkpoint_read(c, j->checkpoint_dir, &trouble);
    if (rc == LF_OK && c->step > j->plan.steps) {
        lf_checkpoint_free(c);
        rc = lf_fail(&trouble, LF_E_DAMAGED, "the checkpoint is of a later step");
    }
    if (rc != LF_OK && rc != LF_E_NOT_FOUND)
        lf_fail(&j->why, rc, "started over: %s", trouble.text);
}

/* Whether a version made now would have the weights of an earlier step. */
static bool keeps_best(const struct lf_job *j)
{
    return j->best.params && j->best.step != j->now.step;
}

static void show_kept(struct lf_job *j)
{
    j->now.kept = j->best.params ? j->best.step : 0;
}

/* ---- Its replicas -----------------------------------------------------------------------------
 */

/* All answers are in before the first replica leaves: each reads the others' gradients. */
bool lf_job_answers(struct lf_job *j)
{
    struct lf_diag why[LF_REPLICAS_MAX];
    bool failed[LF_REPLICAS_MAX];
    int n = j->n_replicas, left = 0;
    for (int k = 0; k < n; k++)
        failed[k] = lf_replica_answer(j->replica[k], &why[k]) != LF_OK;
    for (int k = 0; k < n; k++) {
        if (failed[k])
            lf_replica_leave(j->replica[k]);
        else
            j->replica[left++] = j->replica[k];
    }
    j->n_replicas = left;
    for (int k = 0; k < n; k++) {
        struct lf_diag what;
        if (!failed[k])
            continue;
        lf_fail(&what, LF_E_DEVICE_LOST, "a device left the training, which goes on on %d: %s",
                left + 1, why[k].text);
        lf_job_report(j, &(struct lf_train_event){.kind = LF_TRAIN_WARNING, .reason = what.text});
    }
    return left == n;
}

/* The same base, in the same numbers. */
static enum lf_err check_replica(const struct lf_job *j, const struct lf_replica *r,
                                 struct lf_diag *diag)
{
    const struct lf_trainer *t = j->t;
    if (strcmp(r->m->digest, t->m->digest) != 0)
        return lf_fail(diag, LF_E_BASE_DIFFERS, "a replica's base is another");
    if (r->portion.stream->dev->act != t->own.stream->dev->act)
        return lf_fail(diag, LF_E_INVALID, "a replica's device is of another kind");
    return LF_OK;
}

static enum lf_err load_there(struct lf_replica *r, struct lf_diag *diag)
{
    int rank = r->job->adapter->shape.rank_max, most = lf_exec_limits(r->portion.x)->rank_max;
    if (rank > most)
        return lf_fail(diag, LF_E_INVALID, "the rank is %d; there it may be %d at the most", rank,
                       most);
    return lf_portion_load(&r->portion, &r->slot, r->job, diag);
}

/* Its adapter to the devices that help, and memory for what they tell each other. */
static enum lf_err spread(struct lf_job *j, struct lf_diag *diag)
{
    void *grads = NULL;
    size_t n = j->adapter->shape.n_params;
    enum lf_err rc = LF_OK;
    for (int k = 0; k < j->n_replicas; k++)
        rc = rc ?: check_replica(j, j->replica[k], diag);
    if (rc != LF_OK || j->n_replicas == 0)
        return rc;
    rc = lf_device_alloc_host(j->t->own.stream->dev, &grads,
                              (size_t)(1 + j->n_replicas) * n * sizeof *j->grads, diag);
    if (rc != LF_OK)
        return rc;
    j->grads = grads;
    for (int k = 0; k < j->n_replicas; k++) {
        struct lf_replica *r = j->replica[k];
        r->job = j;
        r->portion.t = j->t;
        r->grads = j->grads + (size_t)(k + 1) * n;
        lf_replica_ask(r, load_there);
    }
    lf_job_answers(j);
    return LF_OK;
}

/* ---- Its place ------------------------------------------------------------------------------- */

/* Takes the slot, with what the checkpoint has where there is one. */
static enum lf_err take_slot(struct lf_job *j, struct lf_diag *diag)
{
    struct lf_checkpoint *c = &j->found;
    if (c->data)
        memcpy(j->adapter->params, c->data, c->n * sizeof(float));
    enum lf_err rc = lf_portion_load(&j->t->own, &j->slot, j, diag);
    rc = rc ?: spread(j, diag);
    if (rc != LF_OK || !c->data)
        return rc;
    j->now.step = j->now.resumed = j->checkpoint_step = c->step;
    j->now.tokens = c->tokens;
    j->now.seconds = c->seconds;
    j->loss_sum = c->loss_sum;
    j->loss_weight = c->loss_weight;
    j->best = c->best;
    c->best.params = NULL;
    show_kept(j);
    if (j->loss_weight > 0)
        j->now.loss = j->loss_sum / j->loss_weight;
    return LF_OK;
}

/* ---- Boundaries ------------------------------------------------------------------------------ */

/* Its last step is done: of the plan, or what was to be done before it was ordered to finish, or
 * had not become better for long enough. */
static bool is_complete(const struct lf_job *j)
{
    bool enough = j->s.patience > 0 && j->best.misses >= j->s.patience;
    return j->now.step == j->plan.steps || ((j->finish_wanted || enough) && j->now.step > 0);
}

/* The next step, or what is instead of it. */
static enum lf_err go_on(struct lf_job *j, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    j->sums = (struct lf_job_sums){0};
    if (is_complete(j)) {
        j->now.kept = keeps_best(j) ? j->best.step : 0;
        if (j->now.kept) {
            j->now.eval_loss = j->best.loss;
            j->now.eval_rewards = j->best.rewards;
        }
        lf_job_end(j, LF_JOB_DONE, NULL);
        return LF_OK;
    }
    lf_plan_go(&j->plan, j->now.step);
    j->clock_ns = lf_clock_ns();
    if (j->pause_wanted) {
        j->now.state = LF_JOB_PAUSED;
        report(j, LF_TRAIN_PAUSED);
        if (j->checkpoint_dir && j->checkpoint_step != j->now.step)
            rc = save(j, diag);
    }
    show(j);
    return rc;
}

static bool evaluation_due(const struct lf_job *j)
{
    bool due = j->eval_every > 0 && j->now.step > 0 && j->now.step % j->eval_every == 0;
    for (int i = 0; i < j->eval_at.n; i++)
        due = due || j->now.step == j->eval_at.step[i];
    return due || is_complete(j);
}

/* With `step` steps done: evaluation where it is due, then on. */
static enum lf_err at_boundary(struct lf_job *j, struct lf_diag *diag)
{
    if (!j->eval || !evaluation_due(j))
        return go_on(j, diag);
    j->evaluation = (struct lf_job_eval){.running = true};
    show(j);
    return LF_OK;
}

/* The weights as they are now, for the version; after the last step they are what the slot has. */
static enum lf_err keep_best(struct lf_job *j, struct lf_diag *diag)
{
    size_t bytes = j->adapter->shape.n_params * sizeof(float);
    if (j->s.keep == LF_KEEP_LAST || is_complete(j))
        return LF_OK;
    if (!j->best.params && !(j->best.params = malloc(bytes))) {
        struct lf_diag why;
        lf_no_memory(&why, "the best weights");
        lf_job_end(j, LF_JOB_FAILED, &why);
        return LF_OK;
    }
    lf_stream_download(j->t->own.stream, j->best.params, j->t->own.slots->slot[j->slot].master,
                       bytes);
    return lf_stream_wait(j->t->own.stream, diag);
}

static double mean_of(double sum, int64_t n)
{
    return n > 0 ? sum / (double)n : (double)NAN;
}

static struct lf_rewards rewards_of(const struct lf_reward_sums *s)
{
    double chosen = mean_of(s->chosen, s->n_chosen), rejected = mean_of(s->rejected, s->n_rejected);
    return (struct lf_rewards){chosen, rejected, chosen - rejected,
                               mean_of((double)s->n_right, s->n_rows)};
}

enum lf_err lf_job_eval_done(struct lf_job *j, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    j->evaluation.running = false;
    j->now.eval_loss = lf_loss_mean(&j->evaluation.loss);
    j->now.eval_rewards = rewards_of(&j->evaluation.rewards);
    if (lf_best_see(&j->best, j->now.step, j->now.eval_loss)) {
        j->best.rewards = j->now.eval_rewards;
        rc = keep_best(j, diag);
    }
    show_kept(j);
    report(j, LF_TRAIN_EVAL);
    return rc == LF_OK && j->now.state == LF_JOB_RUNNING ? go_on(j, diag) : rc;
}

double lf_job_rate(const struct lf_job *j)
{
    double rate = lf_train_learning_rate(&j->s, j->now.step, j->plan.steps);
    return j->tried.not_finite ? RETRY_RATE * rate : rate;
}

static void count_time(struct lf_job *j)
{
    uint64_t now = lf_clock_ns();
    double dt = fmax((double)(now - j->clock_ns) * 1e-9, 1e-9), rate = (double)j->sums.tokens / dt;
    double keep = j->step_seconds > 0 ? SMOOTH_TIME : 0;
    j->now.seconds += dt;
    j->step_seconds = keep * j->step_seconds + (1 - keep) * dt;
    j->now.tokens_per_second = keep * j->now.tokens_per_second + (1 - keep) * rate;
    j->clock_ns = now;
}

enum lf_err lf_job_step_done(struct lf_job *j, double norm, struct lf_diag *diag)
{
    bool by_tokens = j->s.loss_normalization == LF_LOSS_TOKENS;
    double loss = by_tokens ? lf_loss_mean(&j->sums.step) : j->sums.means;
    double lr = lf_job_rate(j);
    count_time(j);
    j->now.step++;
    j->now.tokens += j->sums.tokens;
    j->loss_sum = j->loss_sum * SMOOTH_LOSS + loss;
    j->loss_weight = j->loss_weight * SMOOTH_LOSS + 1;
    j->now.loss = j->loss_sum / j->loss_weight;
    j->now.rewards = rewards_of(&j->sums.rewards);
    j->now.eta_seconds = j->step_seconds * (double)(j->now.steps - j->now.step);
    show(j);
    lf_job_report(j,
                  &(struct lf_train_event){
                      .kind = LF_TRAIN_STEP, .loss = loss, .grad_norm = norm, .learning_rate = lr});
    struct lf_diag warning;
    if (lf_watch_see(&j->watch, j->now.step, loss, norm, &warning))
        lf_job_report(j,
                      &(struct lf_train_event){.kind = LF_TRAIN_WARNING, .reason = warning.text});
    if (j->now.state != LF_JOB_RUNNING)
        return LF_OK;
    enum lf_err rc = save_if_due(j, diag);
    return rc == LF_OK && j->now.state == LF_JOB_RUNNING ? at_boundary(j, diag) : rc;
}

void lf_job_end(struct lf_job *j, enum lf_job_state state, const struct lf_diag *why)
{
    settle(j, true);
    if (why)
        note(j, why);
    j->now.state = state;
    j->evaluation.running = false;
    show(j);
    lf_job_report(j,
                  &(struct lf_train_event){.kind = LF_TRAIN_END,
                                           .reason = state == LF_JOB_FAILED ? j->why.text : NULL});
}

enum lf_err lf_job_poll(struct lf_job *j, struct lf_diag *diag)
{
    settle(j, false);
    if (j->now.state == LF_JOB_PAUSED && j->checkpoint_wanted)
        return save(j, diag);
    if (j->begun || j->now.state != LF_JOB_RUNNING)
        return LF_OK;
    j->begun = true;
    return at_boundary(j, diag);
}

/* ---- From outside ---------------------------------------------------------------------------- */

void lf_job_pause(struct lf_job *j, bool paused)
{
    j->pause_wanted = paused;
    if (!paused && j->now.state == LF_JOB_PAUSED) {
        j->now.state = LF_JOB_RUNNING;
        j->clock_ns = lf_clock_ns();
        show(j);
        report(j, LF_TRAIN_RESUMED);
    }
}

void lf_job_finish(struct lf_job *j)
{
    if (j->now.state == LF_JOB_PAUSED) {
        lf_job_pause(j, false);
        j->begun = false; /* it is at a boundary: to be looked at once more */
    }
    j->finish_wanted = true;
}

static void remove_checkpoint(struct lf_job *j)
{
    lf_checkpoint_over(&j->writer, true);
    if (j->checkpoint_dir && lf_dir_remove(j->checkpoint_dir, &j->why) != LF_OK)
        show(j);
}

void lf_job_cancel(struct lf_job *j)
{
    if (ended(j))
        return;
    lf_job_end(j, LF_JOB_CANCELLED, NULL);
    remove_checkpoint(j);
}

void lf_job_checkpoint(struct lf_job *j)
{
    if (ended(j) || !j->checkpoint_dir)
        return;
    j->checkpoint_wanted = j->checkpoint_owed = true;
}

bool lf_job_checkpointing(const struct lf_job *j)
{
    return j->now.state == LF_JOB_RUNNING && j->checkpoint_owed;
}

enum lf_err lf_job_adapter(struct lf_job *j, const struct lf_adapter **out, struct lf_diag *diag)
{
    enum lf_err rc = lf_slots_read(j->t->own.slots, j->t->own.stream, j->slot, j->adapter, diag);
    if (rc == LF_OK && ended(j) && keeps_best(j))
        memcpy(j->adapter->params, j->best.params, j->adapter->shape.n_params * sizeof(float));
    if (rc == LF_OK)
        *out = j->adapter;
    return rc;
}

void lf_job_fault(const struct lf_job *j, struct lf_train_fault *out)
{
    *out = j->fault;
}

void lf_job_release(struct lf_job *j)
{
    lf_assert(ended(j));
    if (j->now.state == LF_JOB_DONE)
        remove_checkpoint(j);
    lf_job_free(j);
}

/* ---- Life ------------------------------------------------------------------------------------ */

void lf_job_free(struct lf_job *j)
{
    struct lf_trainer *t = j->t;
    for (int i = 0; i < t->n_jobs; i++) {
        if (t->jobs[i] != j)
            continue;
        t->n_jobs--;
        memmove(&t->jobs[i], &t->jobs[i + 1], (size_t)(t->n_jobs - i) * sizeof *t->jobs);
        t->turn = 0;
    }
    lf_checkpoint_over(&j->writer, true);
    lf_checkpoint_free(&j->found);
    free(j->best.params);
    free(j->known);
    for (int k = 0; k < j->n_replicas; k++)
        lf_replica_leave(j->replica[k]);
    lf_device_release_host(t->own.stream->dev, j->grads);
    if (j->slot >= 0)
        lf_slots_unload(t->own.slots, t->own.stream, j->slot);
    lf_plan_free(&j->plan);
    lf_adapter_free(j->adapter);
    lf_dataset_free(j->train);
    lf_dataset_free(j->eval);
    lf_train_settings_free(&j->s);
    free(j->checkpoint_dir);
    pthread_mutex_destroy(&j->mutex);
    free(j);
}

static enum lf_err check_length(const struct lf_trainer *t, const struct lf_dataset *d,
                                const struct lf_train_settings *s, struct lf_diag *diag)
{
    struct lf_dataset_report r;
    lf_dataset_report(d, &r);
    if (r.n_max > t->own.tokens_max && (s->loss == LF_LOSS_DPO || s->loss == LF_LOSS_ORPO))
        return lf_fail(
            diag, LF_E_INVALID,
            "a pair has %d tokens and a batch holds %d: set max_length, of either of its "
            "texts, to half of that or less",
            r.n_max, t->own.tokens_max);
    if (r.n_max > t->own.tokens_max)
        return lf_fail(diag, LF_E_INVALID,
                       "a row has %d tokens and a batch holds %d: set max_length to that or less",
                       r.n_max, t->own.tokens_max);
    return LF_OK;
}

/* The start that it is given, or a fresh one, at random. start: from the base's weights, to be set
 * where no checkpoint has what came of it. */
static enum lf_err make_adapter(struct lf_job *j, const struct lf_adapter *init,
                                struct lf_adapter_start *start, struct lf_diag *diag)
{
    const struct lf_config *c = &j->t->m->config;
    int rank_max = lf_exec_limits(j->t->own.x)->rank_max;
    struct lf_lora_settings lora = lf_train_settings_lora(&j->s);
    enum lf_err rc = lf_adapter_start_parse(start, j->s.init, diag);
    if (rc == LF_OK && init && start->kind != LF_START_USUAL)
        rc = lf_fail(diag, LF_E_INVALID,
                     "an adapter is given to start from, and \"init\" asks for another start");
    if (rc == LF_OK)
        rc = init ? lf_adapter_copy(&j->adapter, init, diag)
                  : lf_adapter_new(&j->adapter, c, &lora, j->s.seed, diag);
    if (rc == LF_OK && j->adapter->shape.rank_max > rank_max)
        rc = lf_fail(diag, LF_E_INVALID, "the rank is %d; here it may be %d at the most",
                     j->adapter->shape.rank_max, rank_max);
    return rc ?: lf_dora_measure(j->adapter, j->t->m, !init, diag);
}

/* What a loss of preferences needs beside the rows. */
static enum lf_err prefer(struct lf_job *j, struct lf_diag *diag)
{
    if (j->s.loss == LF_LOSS_SUPERVISED)
        return LF_OK;
    if (j->t->own.seqs_max < 2)
        return lf_fail(diag, LF_E_INVALID,
                       "a batch holds one text here, and preferences are of two");
    if (j->s.loss == LF_LOSS_KTO && lf_dataset_rows(j->train) < 2)
        return lf_fail(diag, LF_E_INVALID,
                       "one row: kto compares its prompt with another's completion");
    /* Groups follow each other: of the rows that have sequences in a batch only those of its first
     * and last group may have some in others. */
    j->n_known = (int64_t)j->t->own.seqs_max + 2 * j->s.batch_size;
    for (int k = 0; k < j->n_replicas; k++)
        j->n_known += j->replica[k]->portion.seqs_max;
    j->known = calloc((size_t)j->n_known, sizeof *j->known);
    return j->known ? LF_OK : lf_no_memory(diag, "a job");
}

static enum lf_err begin(struct lf_job *j, const struct lf_job_spec *spec, struct lf_diag *diag)
{
    struct lf_trainer *t = j->t;
    enum lf_err rc = lf_train_settings_copy(&j->s, spec->settings);
    if (rc != LF_OK)
        return lf_fail(diag, rc, "no memory for a job");
    if (j->s.learning_rate == 0)
        j->s.learning_rate = lf_train_auto_learning_rate(j->s.loss, t->m->config.C);
    if (j->s.sweep)
        return lf_fail(diag, LF_E_INVALID, "a sweep, a list for a setting, is of a daemon's jobs");
    if (spec->fault)
        j->tried = *spec->fault;
    if (lf_dataset_rows(j->train) < j->s.batch_size) /* few rows: still a step an epoch */
        j->s.batch_size = (int)lf_dataset_rows(j->train);
    if (spec->checkpoint_dir && !(j->checkpoint_dir = strdup(spec->checkpoint_dir)))
        return lf_no_memory(diag, "a job");
    rc = check_length(t, j->train, &j->s, diag);
    if (rc == LF_OK && j->eval)
        rc = check_length(t, j->eval, &j->s, diag);
    rc = rc ?: prefer(j, diag);
    rc = rc ?: lf_plan_init(&j->plan, j->train, &j->s, diag);
    j->plan.skipped = j->tried.lines;
    j->plan.n_skipped = j->tried.n;
    j->now.steps = j->plan.steps;
    lf_watch_init(&j->watch, t->m->config.V, j->plan.steps);
    if (rc == LF_OK && j->eval)
        j->eval_every = lf_best_every(&j->plan, j->eval);
    struct lf_adapter_start start;
    rc = rc ?: make_adapter(j, spec->init, &start, diag);
    if (rc == LF_OK && j->checkpoint_dir)
        rc = make_digest(j, diag);
    if (rc != LF_OK)
        return rc;
    find_checkpoint(j);
    return j->found.data ? LF_OK
                         : lf_adapter_start_set(j->adapter, j->t->m, &start, j->s.seed,
                                                spec->starting, spec->event_arg, diag);
}

enum lf_err lf_job_prepare(struct lf_job **out, struct lf_trainer *t,
                           const struct lf_job_spec *spec, struct lf_diag *diag)
{
    struct lf_job *j = calloc(1, sizeof *j);
    if (!j) {
        for (int k = 0; k < spec->n_replicas; k++)
            lf_replica_leave(spec->replicas[k]);
        lf_dataset_free(spec->train);
        lf_dataset_free(spec->eval);
        return lf_no_memory(diag, "a job");
    }
    j->t = t;
    j->slot = -1;
    j->train = spec->train;
    j->eval = spec->eval;
    j->eval_at = spec->eval_at;
    lf_assert(spec->n_replicas <= LF_REPLICAS_MAX);
    for (int k = 0; k < spec->n_replicas; k++)
        j->replica[j->n_replicas++] = spec->replicas[k];
    j->event = spec->event;
    j->event_arg = spec->event_arg;
    j->checkpoint_seconds = spec->checkpoint_seconds;
    j->checkpoint_ns = lf_clock_ns();
    j->checkpoint_step = -1;
    j->now = lf_progress_none();
    j->now.state = LF_JOB_RUNNING;
    j->now.tokens_per_second = 0;
    pthread_mutex_init(&j->mutex, NULL);
    enum lf_err rc = begin(j, spec, diag);
    if (rc == LF_OK)
        *out = j;
    else
        lf_job_discard(j);
    return rc;
}

void lf_job_discard(struct lf_job *j)
{
    if (j)
        lf_job_free(j);
}

/* A warm-up whose end the training does not see: all its rates are below the one that was given. */
static void warn_of_warmup(struct lf_job *j)
{
    struct lf_diag what;
    int64_t n = j->now.steps, all = n;
    if (j->s.schedule_by == LF_SCHEDULE_BY_MICRO_BATCHES)
        all *= j->s.accumulation;
    if (j->s.warmup_steps <= all)
        return;
    lf_fail(
        &what, LF_E_INVALID,
        "\"warmup_steps\" is %lld, and the training has %lld: its rate comes to %.3g, not to %.3g",
        (long long)j->s.warmup_steps, (long long)all, lf_train_learning_rate(&j->s, n - 1, n),
        j->s.learning_rate);
    lf_job_report(j, &(struct lf_train_event){.kind = LF_TRAIN_WARNING, .reason = what.text});
}

enum lf_err lf_trainer_place(struct lf_trainer *t, struct lf_job *j, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    if (t->n_jobs == LF_JOBS_FUSED_MAX)
        rc = lf_fail(diag, LF_E_DEVICE_FULL, "%d jobs train already", t->n_jobs);
    rc = rc ?: lf_trainer_make_room(t, j, diag);
    rc = rc ?: take_slot(j, diag);
    if (rc != LF_OK) {
        lf_job_discard(j);
        return rc;
    }
    lf_checkpoint_free(&j->found);
    show(j);
    t->jobs[t->n_jobs++] = j;
    report(j, LF_TRAIN_STARTED);
    warn_of_warmup(j);
    return LF_OK;
}

enum lf_err lf_trainer_add(struct lf_trainer *t, const struct lf_job_spec *spec,
                           struct lf_job **out, struct lf_diag *diag)
{
    enum lf_err rc = lf_job_prepare(out, t, spec, diag);
    return rc ?: lf_trainer_place(t, *out, diag);
}
