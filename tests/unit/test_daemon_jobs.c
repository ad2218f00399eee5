/* LIBS: lf_daemon */
/* Jobs on an engine that the test plays: it reports steps, ends trainings as it likes, and answers
 * prompts with a fixed text. */
#include "tests/unit/daemon_rig.h"

#include "core/clock.h"
#include "core/json.h"
#include "daemon/jobs/jobs.h"
#include "daemon/state.h"
#include "daemon/team.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>

/* ---- The engine ------------------------------------------------------------------------------ */

#define TRAININGS_MAX 8

struct lf_training {
    struct lf_training_spec spec; /* its pointers but for event, ended, arg are gone */
    char checkpoint_dir[LF_PATH_MAX];
    const struct lf_engine *by; /* whose it is */
    bool taken, paused, finishes, cancelled, released;
};

/* Any thread; one lock. */
struct lf_engine {
    pthread_mutex_t lock;
    struct lf_training trainings[TRAININGS_MAX];
    int n;
    const struct lf_tokenizer *tokenizer;
    const char *answer; /* to every prompt */
    char saved[LF_PATH_MAX];
    bool saved_first; /* when a training was released, this file was there */
    bool failed;
};

/* Another one has its trainings among those of the first, too. */
static struct lf_engine engine = {.lock = PTHREAD_MUTEX_INITIALIZER}, other;

struct lf_generation {
    struct lf_ids ids;
};

enum lf_engine_state lf_engine_state(struct lf_engine *e)
{
    pthread_mutex_lock(&engine.lock);
    bool failed = e->failed;
    pthread_mutex_unlock(&engine.lock);
    return failed ? LF_ENGINE_FAILED : LF_ENGINE_READY;
}

#define REST ((size_t)64 << 20) /* of the device, for adapters */

void lf_engine_status(struct lf_engine *e, struct lf_engine_status *out)
{
    *out = (struct lf_engine_status){
        .state = lf_engine_state(e), .plan = {.rest = REST}, .context_max = 64, .seqs_max = 4};
}

enum lf_err lf_engine_come(struct lf_engine *e, uint64_t deadline_ns, struct lf_diag *diag)
{
    (void)e;
    (void)deadline_ns;
    (void)diag;
    return LF_OK;
}

void lf_engine_welcome(struct lf_engine *e)
{
    (void)e;
}

uint64_t lf_engine_room(struct lf_engine *e)
{
    (void)e;
    return 0;
}

enum lf_err lf_engine_train(struct lf_engine *e, const struct lf_training_spec *spec,
                            struct lf_training **out, struct lf_diag *diag)
{
    (void)diag;
    lf_dataset_free(spec->train);
    lf_dataset_free(spec->eval);
    lf_adapter_free(spec->init);
    pthread_mutex_lock(&engine.lock);
    assert_true(engine.n < TRAININGS_MAX);
    struct lf_training *t = &engine.trainings[engine.n++];
    *t = (struct lf_training){.spec = *spec, .by = e};
    snprintf(t->checkpoint_dir, sizeof t->checkpoint_dir, "%s", spec->checkpoint_dir);
    *out = t;
    pthread_mutex_unlock(&engine.lock);
    return LF_OK;
}

static void set(bool *what, bool to)
{
    pthread_mutex_lock(&engine.lock);
    *what = to;
    pthread_mutex_unlock(&engine.lock);
}

void lf_training_pause(struct lf_training *t, bool paused)
{
    set(&t->paused, paused);
}

void lf_training_finish(struct lf_training *t)
{
    set(&t->finishes, true);
}

void lf_training_cancel(struct lf_training *t)
{
    set(&t->cancelled, true);
}

void lf_training_release(struct lf_training *t)
{
    set(&engine.saved_first, lf_file_exists(engine.saved));
    set(&t->released, true);
}

enum lf_err lf_engine_unload(struct lf_engine *e, uint64_t id, struct lf_diag *diag)
{
    (void)e;
    (void)id;
    (void)diag;
    return LF_OK;
}

/* Nothing is on it, so that no version comes ahead of its requests. */
enum lf_residency lf_engine_residency(struct lf_engine *e, uint64_t id, int32_t version)
{
    (void)e;
    (void)id;
    (void)version;
    return LF_RESIDENCY_NONE;
}

enum lf_err lf_engine_bring(struct lf_engine *e, const struct lf_pick *pick, bool keep,
                            int timeout_ms, struct lf_diag *diag)
{
    (void)e;
    (void)pick;
    (void)keep;
    (void)timeout_ms;
    return lf_fail(diag, LF_E_DEVICE_LOST, "nothing comes here");
}

enum lf_err lf_engine_generate(struct lf_engine *e, const struct lf_generate_spec *spec,
                               struct lf_generation **out, struct lf_diag *diag)
{
    assert_true(spec->background && spec->n > 0 && spec->n + spec->max_tokens <= 64);
    struct lf_generation *g = calloc(1, sizeof *g);
    assert_non_null(g);
    *out = g;
    return lf_tokenizer_encode(e->tokenizer, &g->ids, e->answer, strlen(e->answer), false, diag);
}

/* All of it, and an end-of-text token. */
void lf_generation_take(struct lf_generation *g, struct lf_generated *out, int cap, int timeout_ms,
                        struct lf_generation_news *news, struct lf_diag *diag)
{
    (void)timeout_ms;
    (void)diag;
    int n = (int)g->ids.n;
    assert_true(n < cap);
    for (int i = 0; i < n; i++)
        out[i].token = g->ids.ids[i];
    out[n].token = 0;
    *news = (struct lf_generation_news){.n = n + 1, .ended = true, .finish = LF_FINISH_EOS};
}

void lf_generation_cancel(struct lf_generation *g, bool enough)
{
    (void)g;
    (void)enough;
}

void lf_generation_release(struct lf_generation *g)
{
    if (g)
        lf_ids_free(&g->ids);
    free(g);
}

/* ---- The daemon around them ------------------------------------------------------------------ */

struct world {
    struct rig rig;
    struct lf_teams teams;
    struct lf_daemon d;
};

static void jobs_open(struct world *w)
{
    struct lf_diag diag = {""};
    w->d =
        (struct lf_daemon){.store = w->rig.store, .teams = &w->teams, .registry = w->rig.registry};
    must(lf_jobs_open(&w->d.jobs, &w->d, &diag), &diag);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    rig_open(&w->rig);
    w->teams = (struct lf_teams){
        .bases = w->rig.bases,
        .team = {{.base = w->rig.bases.base[0], .seat = {{.engine = &engine}}, .n = 1}},
        .n = 1};
    pthread_mutex_init(&w->teams.team[0].lock, NULL);
    engine.n = 0;
    engine.tokenizer = w->rig.bases.base[0]->model->tokenizer;
    engine.answer = "";
    jobs_open(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    lf_jobs_close(w->d.jobs);
    rig_close(&w->rig);
    free(w);
    return 0;
}

/* Puts a dataset and queues its training. */
static void put_rows(struct world *w, const char *name, const char *completion)
{
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    struct lf_buf rows;
    if (lf_registry_view(w->rig.registry, name, &v, NULL) != LF_OK)
        must(lf_registry_create(w->rig.registry, name, NULL, &diag), &diag);
    lf_buf_init(&rows, 0);
    for (int i = 0; i < 4; i++)
        lf_buf_printf(&rows, "{\"prompt\":\"Item %d is\",\"completion\":\" %s\"}\n", i, completion);
    must(rig_put_text(&w->rig, name, "dataset.jsonl", rows.data, &diag), &diag);
    lf_buf_free(&rows);
}

static void train(struct world *w, const char *name, const char *completion)
{
    struct lf_diag diag = {""};
    bool queued = false;
    put_rows(w, name, completion);
    must(lf_jobs_train(w->d.jobs, name, false, &queued, &diag), &diag);
    assert_true(queued);
}

static bool happens(bool (*what)(void *arg), void *arg, int ms)
{
    uint64_t end = lf_clock_ns() + (uint64_t)ms * 1000000u;
    while (!what(arg) && lf_clock_ns() < end)
        poll(NULL, 0, 2);
    return what(arg);
}

static bool has_training(void *arg)
{
    struct lf_training **out = arg;
    pthread_mutex_lock(&engine.lock);
    for (int i = 0; i < engine.n && !*out; i++)
        if (!engine.trainings[i].taken) {
            engine.trainings[i].taken = true;
            *out = &engine.trainings[i];
        }
    pthread_mutex_unlock(&engine.lock);
    return *out;
}

/* The next training that the engine is given. */
static struct lf_training *next_training(void)
{
    struct lf_training *t = NULL;
    assert_true(happens(has_training, &t, 10000));
    return t;
}

static bool no_training_comes(void)
{
    struct lf_training *t = NULL;
    return !happens(has_training, &t, 100);
}

static bool is_set(void *arg)
{
    pthread_mutex_lock(&engine.lock);
    bool is = *(bool *)arg;
    pthread_mutex_unlock(&engine.lock);
    return is;
}

static struct lf_progress progress(enum lf_job_state state, int64_t step)
{
    struct lf_progress p = lf_progress_none();
    p.state = state;
    p.step = step;
    p.steps = 4;
    p.tokens = 10 * step;
    p.loss = step > 0 ? 3 - 0.5 * (double)step : (double)NAN;
    p.tokens_per_second = 100;
    return p;
}

static void report(struct lf_training *t, enum lf_train_event_kind kind, int64_t step)
{
    struct lf_progress p = progress(LF_JOB_RUNNING, step);
    t->spec.event(t->spec.arg, &(struct lf_train_event){
                                   .kind = kind, .progress = p, .step = step, .loss = p.loss});
}

static void end(struct lf_training *t, enum lf_err rc, const char *why, bool alone)
{
    struct lf_training_end e = {.rc = rc, .alone = alone, .progress = progress(LF_JOB_RUNNING, 3)};
    lf_fail(&e.why, rc, "%s", why);
    t->spec.ended(t->spec.arg, &e);
    assert_true(happens(is_set, &t->released, 10000));
}

/* Done, with an adapter; eval_loss: of its evaluation rows, NAN where it has none. */
static void end_with_loss(struct world *w, struct lf_training *t, double eval_loss)
{
    struct lf_diag diag = {""};
    struct lf_lora_settings lora = {.rank = 2, .alpha = 4, .target_modules = "q_proj"};
    struct lf_training_end e = {.rc = LF_OK, .progress = progress(LF_JOB_DONE, 4)};
    e.progress.eval_loss = eval_loss;
    must(lf_adapter_new(&e.adapter, &w->rig.bases.base[0]->model->config, &lora, 1, &diag), &diag);
    t->spec.ended(t->spec.arg, &e);
    assert_true(happens(is_set, &t->released, 10000));
}

static void end_well(struct world *w, struct lf_training *t)
{
    end_with_loss(w, t, (double)NAN);
}

/* What is waited for: a status line, or the events of a log in order. */
struct line {
    struct world *w;
    const char *name, *want;
    struct lf_buf got;
};

static bool status_is(void *arg)
{
    struct line *l = arg;
    struct lf_adapter_view v;
    struct lf_diag diag = {""};
    must(lf_registry_view(l->w->rig.registry, l->name, &v, &diag), &diag);
    lf_buf_reset(&l->got);
    must(lf_adapter_status_line(&l->got, &v), &diag);
    return strcmp(l->got.data, l->want) == 0;
}

static void path_of(struct world *w, const char *name, const char *file, char out[LF_PATH_MAX])
{
    struct lf_adapter_view v;
    struct lf_diag diag = {""};
    must(lf_registry_view(w->rig.registry, name, &v, &diag), &diag);
    must(lf_registry_dir(w->rig.registry, v.record.id, file, out, &diag), &diag);
}

/* A file of the adapter's directory; lf_buf_free. */
static struct lf_buf file_of(struct world *w, const char *name, const char *file)
{
    struct lf_buf text;
    struct lf_diag diag = {""};
    char path[LF_PATH_MAX];
    path_of(w, name, file, path);
    lf_buf_init(&text, 0);
    must(lf_file_read(&text, path, 1 << 20, &diag), &diag);
    return text;
}

static bool log_is(void *arg)
{
    struct line *l = arg;
    struct lf_buf text = file_of(l->w, l->name, lf_files[LF_FILE_LOG].disk);
    lf_buf_reset(&l->got);
    for (const char *at = text.data; (at = strstr(at, "\"event\":\"")) != NULL;) {
        at += strlen("\"event\":\"");
        lf_buf_printf(&l->got, "%.*s ", (int)strcspn(at, "\""), at);
    }
    lf_buf_free(&text);
    return strcmp(l->got.data, l->want) == 0;
}

static void becomes(bool (*is)(void *), struct world *w, const char *name, const char *want)
{
    struct line l = {.w = w, .name = name, .want = want};
    lf_buf_init(&l.got, 0);
    if (!happens(is, &l, 10000))
        fail_msg("%s: %s, not %s", name, l.got.data, want);
    lf_buf_free(&l.got);
}

static void status_becomes(struct world *w, const char *name, const char *want)
{
    becomes(status_is, w, name, want);
}

static double metric_of(struct world *w, const char *name, const char *part, const char *key)
{
    char path[LF_PATH_MAX];
    json_t *j = NULL;
    path_of(w, name, lf_files[LF_FILE_METRICS].disk, path);
    if (lf_json_load(&j, path, NULL) != LF_OK)
        return -1;
    const json_t *v = json_object_get(json_object_get(j, part), key);
    double x = v ? json_number_value(v) : -1;
    json_decref(j);
    return x;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void a_dataset_becomes_a_version_that_is_served(void **state)
{
    struct world *w = *state;
    train(w, "a", "red");
    path_of(w, "a", "versions/1/adapter_model.safetensors", engine.saved);
    struct lf_training *t = next_training();
    assert_string_equal(strrchr(t->checkpoint_dir, '/'), "/checkpoint");
    status_becomes(w, "a", "queued");
    report(t, LF_TRAIN_STARTED, 0);
    report(t, LF_TRAIN_STEP, 1);
    report(t, LF_TRAIN_STEP, 2);
    status_becomes(w, "a", "training v1 2/4 loss 2.00 100 tok/s");
    end_well(w, t);
    assert_true(engine.saved_first); /* a crash finds the checkpoint or the version */
    status_becomes(w, "a", "ready v1");
    becomes(log_is, w, "a", "queued prepared started step step done ");
    assert_true(metric_of(w, "a", "train", "loss") == 1);
    assert_true(metric_of(w, "a", "train", "last_loss") == 2); /* of the last step, no average */
    struct lf_buf svg = file_of(w, "a", lf_files[LF_FILE_CURVE].disk);
    assert_non_null(strstr(svg.data, "a v1"));
    lf_buf_free(&svg);
    bool queued = true;
    struct lf_diag diag = {""};
    must(lf_jobs_train(w->d.jobs, "a", false, &queued, &diag), &diag);
    assert_false(queued); /* the version was made from these rows */
    must(lf_jobs_train(w->d.jobs, "a", true, &queued, &diag), &diag);
    assert_true(queued);
    end(next_training(), LF_E_INVALID, "the loss is not finite", false);
    status_becomes(w, "a", "failed: the loss is not finite; serving v1");
}

static enum lf_err retry(struct world *w, const char *name, struct lf_diag *diag)
{
    return lf_jobs_order_adapter(w->d.jobs, name, LF_CTL_RETRY, diag);
}

/* A file where the training has its checkpoint. */
static void checkpoint_write(const struct lf_training *t)
{
    char path[LF_PATH_MAX];
    struct lf_diag diag = {""};
    must(lf_dir_make(t->checkpoint_dir, &diag), &diag);
    must(lf_path_join(path, t->checkpoint_dir, "x", &diag), &diag);
    must(lf_file_write(path, "x", 1, &diag), &diag);
}

static bool is_gone(void *path)
{
    return !lf_file_exists(path);
}

static void end_not_finite(struct lf_training *t, int64_t line)
{
    struct lf_training_end e = {.rc = LF_E_INVALID,
                                .progress = progress(LF_JOB_RUNNING, 3),
                                .fault = {.not_finite = true, .n = 1, .lines = {line}}};
    lf_fail(&e.why, e.rc, "the loss is not finite");
    t->spec.ended(t->spec.arg, &e);
    assert_true(happens(is_set, &t->released, 10000));
}

static void a_retry_goes_on_from_the_checkpoint(void **state)
{
    struct world *w = *state;
    struct lf_diag diag = {""};
    train(w, "a", "red");
    struct lf_training *t = next_training();
    report(t, LF_TRAIN_STARTED, 0);
    report(t, LF_TRAIN_STEP, 1);
    checkpoint_write(t);
    end(t, LF_E_INVALID, "a bug", false);
    status_becomes(w, "a", "failed: a bug");
    lf_jobs_close(w->d.jobs); /* a restart in between */
    rig_reopen(&w->rig);
    jobs_open(w);
    must(retry(w, "a", &diag), &diag);
    struct lf_training *again = next_training();
    status_becomes(w, "a", "queued");
    assert_string_equal(again->checkpoint_dir, t->checkpoint_dir);
    assert_true(lf_file_exists(again->checkpoint_dir));
    assert_false(again->spec.fault.not_finite);
    end_well(w, again);
    status_becomes(w, "a", "ready v1");
    assert_true(happens(is_gone, t->checkpoint_dir, 10000));
    becomes(log_is, w, "a", "queued prepared started step failed retried prepared done ");
}

static void a_retry_after_a_loss_that_is_not_finite_is_half_as_fast_once(void **state)
{
    struct world *w = *state;
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    train(w, "a", "red");
    struct lf_training *t = next_training();
    checkpoint_write(t);
    end_not_finite(t, 3);
    status_becomes(w, "a", "failed: the loss is not finite");
    must(retry(w, "a", &diag), &diag);
    t = next_training();
    assert_true(t->spec.fault.not_finite && t->spec.fault.n == 1 && t->spec.fault.lines[0] == 3);
    must(lf_registry_view(w->rig.registry, "a", &v, &diag), &diag);
    assert_string_equal(v.warning,
                        "all rows have the same answer; tried again at half the learning rate, "
                        "without the rows of lines 3");
    end_not_finite(t, 2);
    status_becomes(w, "a", "failed: the loss is not finite");
    assert_int_equal(retry(w, "a", &diag), LF_E_BUSY);
    assert_non_null(strstr(diag.text, "half the learning rate already"));
    assert_true(no_training_comes());
    /* What is in its place since is trained anew. */
    must(rig_put_text(&w->rig, "a", "config.json", "{\"learning_rate\": 1e-4}", &diag), &diag);
    must(retry(w, "a", &diag), &diag);
    struct lf_training *fresh = next_training();
    assert_string_not_equal(fresh->checkpoint_dir, t->checkpoint_dir);
    assert_false(fresh->spec.fault.not_finite);
    assert_true(happens(is_gone, t->checkpoint_dir, 10000)); /* the failed one's */
    end_well(w, fresh);
    status_becomes(w, "a", "ready v2");
}

static void without_room_a_job_waits_until_another_ends(void **state)
{
    struct world *w = *state;
    train(w, "a", "red");
    struct lf_training *a = next_training();
    train(w, "b", "blue");
    assert_true(no_training_comes()); /* one is prepared ahead, no more */
    report(a, LF_TRAIN_STARTED, 0);
    end(next_training(), LF_E_DEVICE_FULL, "no room", false);
    assert_true(no_training_comes());
    status_becomes(w, "b", "queued: waits for memory that other trainings have");
    end_well(w, a);
    struct lf_training *b = next_training();
    status_becomes(w, "a", "ready v1");
    end(b, LF_E_DEVICE_FULL, "no room", true); /* and nothing could make any */
    status_becomes(w, "b", "failed: no room");
}

static void without_room_or_its_device_a_job_goes_to_another_seat(void **state)
{
    struct world *w = *state;
    w->teams.team[0].seat[1].engine = &other;
    w->teams.team[0].n = 2;
    set(&other.failed, false);
    train(w, "a", "red");
    struct lf_training *t = next_training();
    assert_ptr_equal(t->by, &engine);
    end(t, LF_E_DEVICE_FULL, "no room", true);
    t = next_training();
    assert_ptr_equal(t->by, &other);
    report(t, LF_TRAIN_STARTED, 0);
    set(&other.failed, true);
    end(t, LF_E_DEVICE_LOST, "the card fell off", false);
    t = next_training();
    assert_ptr_equal(t->by, &engine);
    end_well(w, t);
    status_becomes(w, "a", "ready v1");
}

static void a_lost_device_is_tried_three_times(void **state)
{
    struct world *w = *state;
    train(w, "a", "red");
    for (int i = 0; i < 3; i++) {
        struct lf_training *t = next_training();
        report(t, LF_TRAIN_STARTED, i);
        end(t, LF_E_DEVICE_LOST, "the card fell off", false);
    }
    status_becomes(w, "a", "failed: the card fell off");
    assert_true(no_training_comes());
}

static void a_pause_is_shown_before_the_trainer_comes_to_it(void **state)
{
    struct world *w = *state;
    struct lf_diag diag = {""};
    train(w, "a", "red");
    struct lf_training *t = next_training();
    report(t, LF_TRAIN_STARTED, 0);
    report(t, LF_TRAIN_STEP, 1);
    status_becomes(w, "a", "training v1 1/4 loss 2.50 100 tok/s");
    must(lf_jobs_order_adapter(w->d.jobs, "a", LF_CTL_PAUSE, &diag), &diag);
    assert_true(is_set(&t->paused));
    status_becomes(w, "a", "paused v1 1/4 loss 2.50");
    report(t, LF_TRAIN_STEP, 2); /* the step that was under way */
    status_becomes(w, "a", "paused v1 2/4 loss 2.00");
    assert_int_equal(lf_jobs_order_adapter(w->d.jobs, "a", LF_CTL_PAUSE, &diag), LF_E_BUSY);
    must(lf_jobs_order_adapter(w->d.jobs, "a", LF_CTL_RESUME, &diag), &diag);
    assert_false(is_set(&t->paused));
    status_becomes(w, "a", "training v1 2/4 loss 2.00 100 tok/s");
    end_well(w, t);
    status_becomes(w, "a", "ready v1");
}

static void only_what_trains_can_be_finished(void **state)
{
    struct world *w = *state;
    struct lf_diag diag = {""};
    train(w, "a", "red");
    struct lf_training *t = next_training();
    assert_int_equal(lf_jobs_order_adapter(w->d.jobs, "a", LF_CTL_FINISH, &diag), LF_E_BUSY);
    assert_false(is_set(&t->finishes));
    report(t, LF_TRAIN_STARTED, 0);
    report(t, LF_TRAIN_STEP, 1);
    status_becomes(w, "a", "training v1 1/4 loss 2.50 100 tok/s");
    must(lf_jobs_order_adapter(w->d.jobs, "a", LF_CTL_FINISH, &diag), &diag);
    assert_true(is_set(&t->finishes));
    end_well(w, t);
    status_becomes(w, "a", "ready v1");
    assert_int_equal(lf_jobs_order_adapter(w->d.jobs, "a", LF_CTL_FINISH, &diag), LF_E_BUSY);
}

static void newer_rows_take_the_place_of_an_open_job(void **state)
{
    struct world *w = *state;
    train(w, "a", "red");
    struct lf_training *first = next_training();
    report(first, LF_TRAIN_STARTED, 0);
    report(first, LF_TRAIN_STEP, 2);
    becomes(log_is, w, "a", "queued prepared started step ");
    train(w, "a", "blue");
    struct lf_buf log = file_of(w, "a", lf_files[LF_FILE_LOG].disk);
    const char *said = strstr(log.data, "\"version\":2");
    assert_non_null(said); /* what is lost, in the line of the job that does it */
    assert_non_null(strstr(said, "\"replaces\":1,\"its_step\":2,\"its_steps\":4"));
    assert_null(strstr(log.data, "\"replaces\":2"));
    lf_buf_free(&log);
    assert_true(happens(is_set, &first->cancelled, 10000));
    end(first, LF_E_CANCELLED, "cancelled", false);
    struct lf_training *second = next_training();
    report(second, LF_TRAIN_STARTED, 0);
    end_well(w, second);
    status_becomes(w, "a", "ready v2");
    struct lf_adapter_view v;
    struct lf_diag diag = {""};
    must(lf_registry_view(w->rig.registry, "a", &v, &diag), &diag);
    json_t *job = lf_jobs_json(w->d.jobs, v.record.last_job - 1);
    assert_string_equal(json_string_value(json_object_get(job, "state")), "cancelled");
    json_decref(job);
}

static void a_job_goes_on_in_the_next_run(void **state)
{
    struct world *w = *state;
    char checkpoint[LF_PATH_MAX];
    train(w, "a", "red");
    struct lf_training *t = next_training();
    memcpy(checkpoint, t->checkpoint_dir, sizeof checkpoint);
    report(t, LF_TRAIN_STARTED, 0);
    for (int i = 1; i <= 3; i++)
        report(t, LF_TRAIN_STEP, i);
    end(t, LF_E_INTERRUPTED, "the daemon stops", false);
    lf_jobs_close(w->d.jobs);
    rig_reopen(&w->rig);
    jobs_open(w);
    t = next_training();
    assert_string_equal(t->checkpoint_dir, checkpoint);
    json_t *list = NULL;
    struct lf_diag diag = {""};
    must(lf_jobs_list_json(w->d.jobs, &list, &diag), &diag);
    const json_t *job = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(job, "state")), "queued");
    assert_int_equal(json_integer_value(json_object_get(job, "step")), 3);
    json_decref(list);
    report(t, LF_TRAIN_STARTED, 2);
    report(t, LF_TRAIN_STEP, 3);
    end_well(w, t);
    status_becomes(w, "a", "ready v1");
    /* Three points: two of the first run, and the third as it was made again. */
    struct lf_buf svg = file_of(w, "a", lf_files[LF_FILE_CURVE].disk);
    int points = 0;
    for (const char *at = svg.data; (at = strstr(at, "class=\"point\"")) != NULL; at++)
        points++;
    assert_int_equal(points, 3);
    lf_buf_free(&svg);
}

static void a_job_that_took_the_daemon_down_twice_is_set_aside(void **state)
{
    struct world *w = *state;
    struct lf_diag diag = {""};
    struct lf_job_record *list = NULL;
    size_t n = 0;
    train(w, "a", "red");
    end(next_training(), LF_E_INTERRUPTED, "the daemon stops", false);
    lf_jobs_close(w->d.jobs);
    must(lf_store_job_list(w->rig.store, true, &list, &n, &diag), &diag);
    assert_int_equal(n, 1);
    list[0].attempts = 2; /* as two deaths leave it */
    must(lf_store_job_put(w->rig.store, &list[0], &diag), &diag);
    free(list);
    rig_reopen(&w->rig);
    jobs_open(w);
    status_becomes(w, "a",
                   "failed: set aside: the daemon died 2 times while its rows were prepared; "
                   "retry trains it again");
    must(retry(w, "a", &diag), &diag);
    end_well(w, next_training());
    status_becomes(w, "a", "ready v1");
}

struct wanted_score {
    struct world *w;
    const char *part;
    double score;
};

static bool is_scored(void *arg)
{
    const struct wanted_score *s = arg;
    return metric_of(s->w, "a", s->part, "score") == s->score;
}

static void a_version_is_scored_on_its_eval_rows(void **state)
{
    struct world *w = *state;
    struct lf_diag diag = {""};
    struct wanted_score base = {w, "base", 0.5}, eval = {w, "eval", 0.5};
    engine.answer = " red\nand more";
    must(lf_registry_create(w->rig.registry, "a", NULL, &diag), &diag);
    must(rig_put_text(&w->rig, "a", "config.json",
                      "{\"metric\":\"exact_match\",\"stop\":[\"\\n\"],\"max_tokens\":8}", &diag),
         &diag);
    must(rig_put_text(&w->rig, "a", "eval.jsonl",
                      "{\"prompt\":\"One is\",\"completion\":\" red\"}\n"
                      "{\"prompt\":\"Two is\",\"completion\":\" blue\"}\n",
                      &diag),
         &diag);
    train(w, "a", "red");
    assert_true(happens(is_scored, &base, 10000));
    struct lf_training *t = next_training();
    report(t, LF_TRAIN_STARTED, 0);
    end_well(w, t);
    assert_true(happens(is_scored, &eval, 10000));
    assert_true(metric_of(w, "a", "eval", "rows") == 2);
    /* Other rows: the version that is served is scored again. */
    eval.score = 1;
    must(rig_put_text(&w->rig, "a", "eval.jsonl",
                      "{\"prompt\":\"One is\",\"completion\":\" red\"}\n", &diag),
         &diag);
    lf_jobs_score(w->d.jobs, "a");
    assert_true(happens(is_scored, &eval, 10000));
}

/* Without rows to score there is the loss: a run that began well and ended as one who guesses. */
static void a_version_that_guesses_is_not_served(void **state)
{
    struct world *w = *state;
    double guess = log(w->rig.bases.base[0]->model->config.V);
    train(w, "a", "red");
    end_well(w, next_training());
    status_becomes(w, "a", "ready v1");
    train(w, "a", "blue");
    struct lf_training *t = next_training();
    report(t, LF_TRAIN_STEP, 1);
    end_with_loss(w, t, guess);
    char want[256];
    snprintf(want, sizeof want,
             "ready v1; v2 is worse: its loss is %.2f, that of guessing among %d ids; the first "
             "step's was 2.50",
             guess, w->rig.bases.base[0]->model->config.V);
    status_becomes(w, "a", want);
    struct lf_diag diag = {""};
    must(rig_put_text(&w->rig, "a", "config.json", "{\"gate\": \"off\"}", &diag), &diag);
    train(w, "a", "green");
    t = next_training();
    report(t, LF_TRAIN_STEP, 1);
    end_with_loss(w, t, guess);
    status_becomes(w, "a", "ready v3");
}

/* Twenty rows, of which fifteen are red: who says blue to all is worse than who says red to all,
 * though better than the base. */
static void a_first_version_has_to_beat_the_most_frequent_class(void **state)
{
    struct world *w = *state;
    struct lf_diag diag = {""};
    struct wanted_score base = {w, "base", 0}, eval = {w, "eval", 0.25};
    lf_buf_auto rows = {0};
    for (int i = 0; i < 20; i++)
        lf_buf_printf(&rows, "{\"prompt\":\"%d is\",\"completion\":\" %s\"}\n", i,
                      i < 15 ? "red" : "blue");
    engine.answer = " green";
    must(lf_registry_create(w->rig.registry, "a", NULL, &diag), &diag);
    must(rig_put_text(&w->rig, "a", "config.json", "{\"metric\":\"accuracy\",\"max_tokens\":8}",
                      &diag),
         &diag);
    must(rig_put_text(&w->rig, "a", "eval.jsonl", rows.data, &diag), &diag);
    train(w, "a", "red");
    struct lf_training *t = next_training();
    assert_true(happens(is_scored, &base, 10000));
    engine.answer = " blue";
    end_well(w, t);
    assert_true(happens(is_scored, &eval, 10000));
    status_becomes(w, "a",
                   "failed: v1 is worse than to answer \"red\" always: accuracy 0.25, not 0.75");
}

static void the_job_of_a_removed_adapter_is_cancelled(void **state)
{
    struct world *w = *state;
    struct lf_diag diag = {""};
    uint64_t id = 0;
    train(w, "a", "red");
    struct lf_training *t = next_training();
    report(t, LF_TRAIN_STARTED, 0);
    must(lf_registry_remove(w->rig.registry, "a", &id, &diag), &diag);
    lf_jobs_adapter_gone(w->d.jobs, id);
    assert_true(happens(is_set, &t->cancelled, 10000));
    end(t, LF_E_CANCELLED, "cancelled", false);
    assert_true(no_training_comes());
}

/* What is written for an adapter that was removed meanwhile does not bring its directory back. */
static void a_version_of_a_removed_adapter_is_made_nowhere(void **state)
{
    struct world *w = *state;
    struct lf_diag diag = {""};
    char dir[LF_PATH_MAX];
    uint64_t id = 0;
    train(w, "a", "red");
    struct lf_training *t = next_training();
    report(t, LF_TRAIN_STARTED, 0);
    must(lf_registry_remove(w->rig.registry, "a", &id, &diag), &diag);
    end_well(w, t);
    assert_true(no_training_comes());
    must(lf_registry_dir(w->rig.registry, id, NULL, dir, &diag), &diag);
    assert_false(lf_file_exists(dir));
}

/* Its inputs cannot become the job's, as where the adapter came back from the trash meanwhile. */
static void a_job_without_inputs_is_not_kept(void **state)
{
    struct world *w = *state;
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    struct lf_job_record *open = NULL;
    char dir[LF_PATH_MAX];
    bool queued = false;
    size_t n = 1;
    put_rows(w, "a", "red");
    must(lf_registry_view(w->rig.registry, "a", &v, &diag), &diag);
    must(lf_registry_dir(w->rig.registry, v.record.id, "jobs/1/in the way", dir, &diag), &diag);
    must(lf_dir_make(dir, &diag), &diag);
    assert_true(lf_jobs_train(w->d.jobs, "a", false, &queued, &diag) != LF_OK);
    must(lf_store_job_list(w->d.store, true, &open, &n, &diag), &diag);
    assert_int_equal(n, 0);
    free(open);
}

#define JOBS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOBS_TEST(a_dataset_becomes_a_version_that_is_served),
        JOBS_TEST(a_retry_goes_on_from_the_checkpoint),
        JOBS_TEST(a_retry_after_a_loss_that_is_not_finite_is_half_as_fast_once),
        JOBS_TEST(without_room_a_job_waits_until_another_ends),
        JOBS_TEST(without_room_or_its_device_a_job_goes_to_another_seat),
        JOBS_TEST(a_lost_device_is_tried_three_times),
        JOBS_TEST(only_what_trains_can_be_finished),
        JOBS_TEST(a_pause_is_shown_before_the_trainer_comes_to_it),
        JOBS_TEST(newer_rows_take_the_place_of_an_open_job),
        JOBS_TEST(a_job_goes_on_in_the_next_run),
        JOBS_TEST(a_job_that_took_the_daemon_down_twice_is_set_aside),
        JOBS_TEST(a_version_is_scored_on_its_eval_rows),
        JOBS_TEST(a_version_that_guesses_is_not_served),
        JOBS_TEST(a_first_version_has_to_beat_the_most_frequent_class),
        JOBS_TEST(the_job_of_a_removed_adapter_is_cancelled),
        JOBS_TEST(a_version_of_a_removed_adapter_is_made_nowhere),
        JOBS_TEST(a_job_without_inputs_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
