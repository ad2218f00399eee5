/* `lorafs train`: train an adapter on a dataset, here or at a daemon. */
#include "tools/commands.h"

#include "core/budget.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "tools/adapter_remote.h"
#include "tools/bar.h"
#include "tools/crew.h"
#include "tools/offline.h"
#include "tools/interrupt.h"
#include "tools/options.h"
#include "trainer/ask.h"
#include "trainer/survey.h"
#include "trainer/log.h"
#include "trainer/track.h"
#include "trainer/trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LOGIT_ROWS 256 /* logits held at once: chunks of the loss */
#define HOST_PART 2    /* of the host's memory, a half: activations may wait there for backward */

struct train_flags {
    struct lf_offline_options o;
    struct lf_seats seats;
    struct lf_remote_options remote;
    struct lf_settings_flags settings;
    const char *dataset, *eval, *init, *out, *log, *curve, *checkpoint;
    const char *tensorboard, *mlflow;
    int64_t batch_tokens;
    double checkpoint_seconds;
    int recompute;
    bool json;
};

struct train_run {
    const struct train_flags *flags;
    struct lf_offline c;
    struct lf_crew crew; /* with others that help */
    struct lf_train_settings s;
    struct lf_dataset *train, *eval; /* until the job takes them */
    struct lf_dataset_report rows;
    struct lf_slots *slots;
    FILE *log;
    bool log_failed;
    struct lf_tracker *tracker;
    struct lf_diag untracked; /* why it is not written any more; "": it is */
    struct lf_bar bar;
    struct lf_progress seen; /* as the job ended */
    double last_loss;
    uint64_t start_ns;
};

/* ---- Inputs ---------------------------------------------------------------------------------- */

static enum lf_err load_settings(struct train_run *r, struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    enum lf_err rc = lf_settings_of(&j, &r->flags->settings, diag);
    if (rc == LF_OK && j) {
        rc = lf_train_settings_parse(&r->s, j, diag);
        if (rc != LF_OK && r->flags->settings.file)
            lf_fail_within(diag, rc, "%s", r->flags->settings.file);
    } else if (rc == LF_OK) {
        lf_train_settings_default(&r->s);
    }
    return rc;
}

/* What the person should know of the rows. */
static enum lf_err warn_of(struct train_run *r, struct lf_diag *diag)
{
    struct lf_survey s;
    enum lf_err rc = lf_survey_make(&s, r->train, r->eval, NULL, diag);
    json_auto_t *warnings = rc == LF_OK ? lf_survey_warnings(&s) : NULL;
    for (size_t i = 0; i < json_array_size(warnings); i++)
        fprintf(stderr, "%s: %s\n", r->flags->dataset,
                json_string_value(json_array_get(warnings, i)));
    return rc;
}

static enum lf_err load_rows(struct train_run *r, struct lf_dataset **out, const char *path,
                             struct lf_diag *diag)
{
    enum lf_err rc = lf_dataset_load(out, path, r->c.model, &r->s, false, NULL, diag);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

/* Its runs are named as the directory of the adapter is. */
static enum lf_err open_tracker(struct train_run *r, struct lf_diag *diag)
{
    const struct train_flags *o = r->flags;
    const char *slash = strrchr(o->out, '/');
    struct lf_tracker_spec spec = {.tensorboard = o->tensorboard,
                                   .mlflow = o->mlflow,
                                   .name = slash && slash[1] ? slash + 1 : o->out,
                                   .settings = &r->s};
    return o->tensorboard || o->mlflow ? lf_tracker_open(&r->tracker, &spec, diag) : LF_OK;
}

static enum lf_err load_inputs(struct train_run *r, struct lf_diag *diag)
{
    const struct train_flags *o = r->flags;
    struct lf_offline_options devices = o->o;
    struct lf_seats seats = o->seats;
    enum lf_err rc = load_settings(r, diag);
    if (rc == LF_OK && r->s.from[0])
        rc = lf_fail(diag, LF_E_INVALID,
                     "\"from\" names a version of a daemon's; here it is --init-adapter");
    rc = rc ?: lf_seats_read(&seats, &devices.device, diag);
    rc = rc ?: lf_crew_open(&r->crew, &r->c, &devices, &seats, diag);
    rc = rc ?: load_rows(r, &r->train, o->dataset, diag);
    if (rc == LF_OK && o->eval)
        rc = load_rows(r, &r->eval, o->eval, diag);
    else if (rc == LF_OK && r->s.validation > 0)
        rc = lf_dataset_hold_out(&r->train, &r->eval, r->s.validation, diag);
    if (rc == LF_OK)
        lf_dataset_report(r->train, &r->rows);
    rc = rc ?: warn_of(r, diag);
    if (rc == LF_OK && o->log && !(r->log = fopen(o->log, "a")))
        rc = lf_fail_errno(diag, errno, "%s", o->log);
    return rc ?: open_tracker(r, diag);
}

/* ---- Events ---------------------------------------------------------------------------------- */

static bool write_line(FILE *log, const json_t *line, const struct lf_train_event *e)
{
    return line && json_dumpf(line, log, JSON_COMPACT | JSON_REAL_PRECISION(7)) == 0 &&
           fputc('\n', log) != EOF && (e->kind == LF_TRAIN_MICRO || fflush(log) == 0);
}

static void show(struct train_run *r, const struct lf_train_event *e)
{
    char what[128];
    const struct lf_progress *p = &e->progress;
    int n = snprintf(what, sizeof what, "step %lld/%lld  loss %.4f", (long long)e->step,
                     (long long)p->steps, e->loss);
    if (isfinite(p->rewards.margin))
        n += snprintf(what + n, sizeof what - (size_t)n, "  margin %.3f", p->rewards.margin);
    snprintf(what + n, sizeof what - (size_t)n, "  %.0f tok/s", p->tokens_per_second);
    lf_bar_update(&r->bar, (double)e->step / (double)e->progress.steps, what);
}

static void on_event(void *arg, const struct lf_train_event *e)
{
    struct train_run *r = arg;
    json_auto_t *line = r->log || r->tracker ? lf_json_dated(lf_train_log_json(e)) : NULL;
    if (r->log && !write_line(r->log, line, e))
        r->log_failed = true;
    if (r->tracker && line && !r->untracked.text[0] &&
        lf_tracker_line(r->tracker, line, &r->untracked) != LF_OK)
        fprintf(stderr, "warning: %s\n", r->untracked.text);
    if (e->kind == LF_TRAIN_STEP) {
        r->last_loss = e->loss;
        show(r, e);
    }
    if (e->kind == LF_TRAIN_WARNING)
        fprintf(stderr, "warning: %s\n", e->reason);
    if (e->kind == LF_TRAIN_CHECKPOINT && e->reason)
        fprintf(stderr, "checkpoint: %s\n", e->reason);
}

/* ---- Training -------------------------------------------------------------------------------- */

/* Room for a device's part of a step of the longest rows, within the ceiling; never less than one
 * row. */
static int batch_tokens(const struct train_run *r)
{
    int64_t ceiling = r->flags->batch_tokens, longest = r->rows.n_max;
    struct lf_dataset_report eval;
    if (ceiling == 0)
        ceiling = r->c.dev->traits->train_tokens;
    if (r->eval) {
        lf_dataset_report(r->eval, &eval);
        longest = eval.n_max > longest ? eval.n_max : longest;
    }
    int64_t rows = ((int64_t)r->s.batch_size * r->s.accumulation + r->crew.n - 1) / r->crew.n;
    int64_t want = longest * rows;
    want = want < ceiling ? want : ceiling;
    return (int)(want > longest ? want : longest);
}

/* What backward will find kept, and what not. */
static void take_host_memory(const struct train_run *r, struct lf_exec *x)
{
    struct lf_diag why;
    struct lf_exec_memory m;
    enum lf_recompute how = lf_exec_recomputes(x);
    lf_exec_memory(x, &m);
    if (how != LF_RECOMPUTE_NONE && !r->flags->o.quiet)
        fprintf(stderr, "recompute %s, %.0f MiB of host memory\n", lf_recompute_word(how),
                (double)m.host / (1 << 20));
    if (lf_exec_host_take(x, r->c.model->config.L, &why) != LF_OK)
        fprintf(stderr, "more blocks are run again in backward: %s\n", why.text);
}

static enum lf_err make_exec(struct train_run *r, struct lf_exec **x, int rank,
                             struct lf_diag *diag)
{
    int n = batch_tokens(r);
    enum lf_recompute how = (enum lf_recompute)r->flags->recompute;
    bool of_use = how != LF_RECOMPUTE_AUTO || !lf_device_on_host(r->c.dev);
    const struct lf_exec_limits limits = {.tokens_max = n,
                                          .train_tokens_max = n,
                                          .seqs_max = n < LF_SEQS_MAX ? n : LF_SEQS_MAX,
                                          .rows_max = n < LOGIT_ROWS ? n : LOGIT_ROWS,
                                          .rank_max = rank,
                                          .recompute = how,
                                          .host_bytes = of_use ? lf_memory_limit() / HOST_PART : 0};
    enum lf_err rc = lf_exec_new(x, r->c.stream, r->c.model, r->slots, &limits, diag);
    if (rc == LF_OK)
        take_host_memory(r, *x);
    return rc ?: lf_crew_start(&r->crew, &limits, diag);
}

/* Steps until the job ends; an interrupt leaves a checkpoint and LF_E_INTERRUPTED. */
static enum lf_err step_to_end(struct train_run *r, struct lf_trainer *t, struct lf_job *j,
                               struct lf_diag *diag)
{
    bool stopping = false;
    for (int active = 1; active > 0;) {
        if (lf_interrupted && !stopping) {
            stopping = true;
            lf_job_checkpoint(j);
        }
        if (stopping && !lf_job_checkpointing(j))
            return lf_fail(diag, LF_E_INTERRUPTED, "interrupted%s",
                           r->flags->checkpoint ? "; the same command goes on from here" : "");
        enum lf_err rc = lf_trainer_step(t, 0, &active, diag);
        if (rc != LF_OK)
            return rc;
    }
    struct lf_diag why;
    lf_job_progress(j, &r->seen, &why);
    if (r->seen.state != LF_JOB_DONE)
        return lf_fail(diag, LF_E_INVALID, "%s", why.text);
    return LF_OK;
}

static enum lf_err save(struct train_run *r, struct lf_job *j, struct lf_diag *diag)
{
    const struct lf_adapter *a;
    const struct lf_ask ask = lf_ask_of(r->rows.form, &r->s);
    char *note = lf_ask_note(&ask);
    enum lf_err rc = note ? lf_job_adapter(j, &a, diag) : lf_no_memory(diag, "the adapter's note");
    rc = rc ?: lf_adapter_save(a, &r->c.model->config, r->flags->out, r->c.model->name, note, diag);
    free(note);
    return rc ?: lf_ask_write(r->flags->out, &ask, diag);
}

static enum lf_err run_job(struct train_run *r, struct lf_exec *x, const struct lf_adapter *init,
                           struct lf_diag *diag)
{
    struct lf_trainer *t = NULL;
    struct lf_job *j;
    const struct train_flags *o = r->flags;
    struct lf_job_spec spec = {.settings = &r->s,
                               .train = r->train,
                               .eval = r->eval,
                               .init = init,
                               .checkpoint_dir = o->checkpoint,
                               .checkpoint_seconds = o->checkpoint_seconds,
                               .event = on_event,
                               .event_arg = r};
    enum lf_err rc = lf_trainer_new(&t, x, r->c.stream, r->c.model, r->slots, 0, diag);
    if (rc != LF_OK)
        return rc;
    r->train = r->eval = NULL;
    lf_crew_give(&r->crew, &spec);
    lf_bar_init(&r->bar, o->o.quiet);
    rc = lf_trainer_add(t, &spec, &j, diag);
    if (rc == LF_OK) {
        struct lf_diag why;
        lf_job_progress(j, &r->seen, &why);
        if (r->seen.resumed > 0)
            fprintf(stderr, "resumed at step %lld\n", (long long)r->seen.resumed);
        else if (why.text[0])
            fprintf(stderr, "checkpoint: %s\n", why.text);
        rc = step_to_end(r, t, j, diag);
    }
    lf_bar_end(&r->bar);
    rc = rc ?: save(r, j, diag);
    if (rc == LF_OK)
        lf_job_release(j);
    lf_trainer_free(t);
    return rc;
}

/* The widest site of what is trained, which patterns and a start may make wider than "rank". */
static enum lf_err widest(int *rank, const struct train_run *r, const struct lf_adapter *init,
                          struct lf_diag *diag)
{
    struct lf_adapter_shape shape = {0};
    const struct lf_lora_settings lora = lf_train_settings_lora(&r->s);
    enum lf_err rc = init ? LF_OK : lf_adapter_shape_new(&shape, &r->c.model->config, &lora, diag);
    *rank = init ? init->shape.rank_max : shape.rank_max;
    lf_adapter_shape_free(&shape);
    return rc;
}

static enum lf_err train(struct train_run *r, struct lf_diag *diag)
{
    int rank = 0;
    const struct lf_config *config = &r->c.model->config;
    struct lf_adapter *init = NULL;
    struct lf_exec *x = NULL;
    enum lf_err rc = r->flags->init ? lf_adapter_load(&init, config, r->flags->init, diag) : LF_OK;
    rc = rc ?: lf_slots_new(&r->slots, r->c.dev, config, 1, diag);
    rc = rc ?: widest(&rank, r, init, diag) ?: make_exec(r, &x, rank, diag);
    rc = rc ?: run_job(r, x, init, diag);
    lf_crew_stop(&r->crew);
    lf_exec_free(x);
    lf_adapter_free(init);
    return rc;
}

/* ---- Afterwards ------------------------------------------------------------------------------ */

static enum lf_err draw_curve(const struct train_run *r, struct lf_diag *diag)
{
    struct lf_curve c = {0};
    lf_buf_auto svg = {0};
    enum lf_err rc = lf_train_log_read(&c, r->flags->log, 0, -1, diag);
    if (rc == LF_OK && lf_curve_svg(&svg, r->flags->out, &c) != LF_OK)
        rc = lf_no_memory(diag, "a curve");
    rc = rc ?: lf_file_write(r->flags->curve, svg.data, svg.len, diag);
    lf_curve_free(&c);
    return rc;
}

static void print_rewards(const char *prefix, const struct lf_rewards *r)
{
    json_auto_t *j = json_object();
    const char *key;
    json_t *value;
    if (j && lf_train_rewards_json(j, prefix, r))
        json_object_foreach(j, key, value)
            printf("\"%s\": %.6g, ", key, json_real_value(value));
}

static void print_report(const struct train_run *r)
{
    double seconds = (double)(lf_clock_ns() - r->start_ns) * 1e-9;
    bool evaluated = isfinite(r->seen.eval_loss);
    if (r->flags->json) {
        printf("{\"steps\": %lld, \"loss\": %.6g, \"smoothed_loss\": %.6g, ",
               (long long)r->seen.step, r->last_loss, r->seen.loss);
        if (evaluated)
            printf("\"eval_loss\": %.6g, ", r->seen.eval_loss);
        print_rewards("", &r->seen.rewards);
        print_rewards("eval_", &r->seen.eval_rewards);
        if (r->seen.kept)
            printf("\"kept_step\": %lld, ", (long long)r->seen.kept);
        if (r->rows.held_out)
            printf("\"validation_rows\": %lld, ", (long long)r->rows.held_out);
        printf("\"rows\": %lld, \"lost_rows\": %lld, \"tokens\": %lld, \"train_seconds\": %.3f, "
               "\"tokens_per_second\": %.1f, \"seconds\": %.3f}\n",
               (long long)r->rows.rows, (long long)r->rows.lost, (long long)r->seen.tokens,
               r->seen.seconds, (double)r->seen.tokens / r->seen.seconds, seconds);
        return;
    }
    printf("%s: %lld steps over %lld rows, %lld tokens in %.1f s (%.0f tok/s), loss %.4f",
           r->flags->out, (long long)r->seen.step, (long long)r->rows.rows,
           (long long)r->seen.tokens, r->seen.seconds, (double)r->seen.tokens / r->seen.seconds,
           r->seen.loss);
    if (isfinite(r->seen.rewards.margin))
        printf(", reward margin %.4f", r->seen.rewards.margin);
    if (evaluated)
        printf(", eval loss %.4f", r->seen.eval_loss);
    if (isfinite(r->seen.eval_rewards.margin))
        printf(", eval reward margin %.4f, accuracy %.2f", r->seen.eval_rewards.margin,
               r->seen.eval_rewards.accuracy);
    if (r->rows.held_out)
        printf(" on %lld rows held out", (long long)r->rows.held_out);
    if (r->seen.kept)
        printf(" at step %lld, which is kept", (long long)r->seen.kept);
    printf("\n");
}

static enum lf_err run_flags(const struct train_flags *o, struct lf_diag *diag)
{
    struct train_run r = {.flags = o, .start_ns = lf_clock_ns()};
    enum lf_err rc = load_inputs(&r, diag) ?: train(&r, diag);
    if (r.log && fclose(r.log) != 0)
        r.log_failed = true;
    if (rc == LF_OK && r.log_failed)
        rc = lf_fail(diag, LF_E_IO, "%s: could not be written", o->log);
    if (rc == LF_OK && o->curve)
        rc = draw_curve(&r, diag);
    if (rc == LF_OK)
        print_report(&r);
    lf_tracker_close(r.tracker);
    lf_dataset_free(r.train);
    lf_dataset_free(r.eval);
    lf_slots_free(r.slots);
    lf_train_settings_free(&r.s);
    lf_crew_close(&r.crew);
    lf_offline_close(&r.c);
    return rc;
}

/* ---- At a daemon ----------------------------------------------------------------------------- */

static enum lf_err train_there(const struct train_flags *o, const char *name, struct lf_diag *diag)
{
    bool queued = false;
    struct lf_remote *c = NULL;
    json_auto_t *settings = NULL;
    enum lf_err rc = lf_settings_of(&settings, &o->settings, diag);
    rc = rc ?: lf_remote_new(&c, &o->remote, diag);
    rc = rc ?: lf_remote_train(c, name, settings, o->dataset, o->eval, &queued, diag);
    lf_remote_free(c);
    if (rc != LF_OK)
        return rc;
    if (o->json)
        printf("{\"adapter\": \"%s\", \"queued\": %s}\n", name, queued ? "true" : "false");
    else
        printf("%s: %s\n", name, queued ? "queued" : "trained on these rows already");
    return LF_OK;
}

/* What only one of the two ways knows is refused with the other, unless it is a preset. */
static const char *misplaced(const struct lf_args *args, const struct lf_usage *u)
{
    static const char *const here[] = {
        "base",   "out",         "init-adapter", "log",       "curve", "checkpoint", "quant",
        "device", "tensorboard", "mlflow",       "recompute", "gpu",   "seats"};
    static const char *const there[] = {"url", "api-key-file"};
    const char *const *names = args->n > 0 ? here : there;
    size_t n = args->n > 0 ? sizeof here / sizeof *here : sizeof there / sizeof *there;
    for (size_t i = 0; i < n; i++)
        if (lf_option_given(args, u, names[i]))
            return names[i];
    return NULL;
}

/* What the table cannot see of the command line; 0: it is right. */
static int check(struct train_flags *o, const struct lf_args *args, const struct lf_usage *u)
{
    const char *stray = misplaced(args, u);
    if (o->curve && !o->log)
        return lf_usage_error(u, "--curve is drawn from --log");
    if (stray)
        return lf_usage_error(u, "--%s is of %s", stray,
                              args->n > 0 ? "a training here, and NAME of one at a daemon"
                                          : "a training at a daemon, which wants a NAME");
    if (args->n == 2 && lf_option_given(args, u, "dataset"))
        return lf_usage_error(u, "two data sets: %s and %s", o->dataset, args->v[1]);
    if (args->n == 2)
        o->dataset = args->v[1];
    if (!o->dataset)
        return lf_usage_error(u, "--dataset FILE is needed");
    if (args->n == 0 && (!o->o.base || !o->out))
        return lf_usage_error(u, "--base DIR and --out DIR are needed, or the NAME of a daemon's "
                                 "adapter");
    return 0;
}

int lf_cmd_train(int argc, char **argv)
{
    struct train_flags flags = {.o.quant = LF_QUANT_NF4,
                                .seats = LF_CREW_SEATS,
                                .checkpoint_seconds = 60,
                                .recompute = LF_RECOMPUTE_AUTO};
    const struct lf_option options[] = {
        {"base", 'b', LF_OPT_STR, "BASE", &flags.o.base,
         "the base model, to train here: a checkpoint directory, or one at the hub"},
        {"dataset", 'i', LF_OPT_STR, "FILE", &flags.dataset,
         "rows: JSON lines, a JSON array, CSV, TSV or Parquet; `lorafs rows` shows them"},
        {"out", 'o', LF_OPT_STR, "DIR", &flags.out, "where the PEFT adapter is written"},
        LF_SETTINGS_OPTIONS(flags.settings),
        {"eval", 'e', LF_OPT_STR, "FILE", &flags.eval,
         "rows to report the loss of; at a daemon, to score on"},
        {"init-adapter", 0, LF_OPT_STR, "DIR", &flags.init, "start from this PEFT adapter"},
        {"log", 'l', LF_OPT_STR, "FILE", &flags.log,
         "append a JSON line for each micro-batch, step and evaluation"},
        {"curve", 0, LF_OPT_STR, "FILE", &flags.curve, "draw the log's loss curve (SVG)"},
        {"tensorboard", 0, LF_OPT_STR, "DIR", &flags.tensorboard,
         "write the curve as TensorBoard's event files below DIR"},
        {"mlflow", 0, LF_OPT_STR, "DIR", &flags.mlflow,
         "write it as a run in MLflow's file store DIR (mlruns)"},
        {"checkpoint", 0, LF_OPT_STR, "DIR", &flags.checkpoint,
         "save the state there, and go on from what is there"},
        {"checkpoint-seconds", 0, LF_OPT_REAL, "S", &flags.checkpoint_seconds,
         "between checkpoints; 0: each step", .hi = 1e6},
        {"batch-tokens", 0, LF_OPT_INT, "N", &flags.batch_tokens,
         "ceiling for the tokens computed at once; 0: by the device. Does not change what is "
         "learnt",
         .hi = 1 << 20},
        {"recompute", 0, LF_OPT_CHOICE, LF_RECOMPUTE_WORDS, &flags.recompute,
         "what backward makes again, or keeps in host memory, to save the device's. Does not "
         "change what is learnt"},
        LF_OFFLINE_OPTION_QUANT(flags.o),
        LF_OFFLINE_OPTIONS_COMPUTE(flags.o),
        LF_CREW_OPTIONS(flags.seats),
        LF_REMOTE_OPTIONS(flags.remote),
        {"quiet", 0, LF_OPT_FLAG, NULL, &flags.o.quiet, "no progress bar"},
        {"json", 0, LF_OPT_FLAG, NULL, &flags.json, "print the result as JSON"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs train",
        "NAME [DATASET] | --base BASE --out DIR",
        "With a NAME: has a daemon train that adapter, which is made where it is not there; "
        "`lorafs wait NAME` waits for it.\n\n"
        "With --base: trains a LoRA adapter in this process and writes it as PEFT does. An "
        "interrupted run with --checkpoint goes on where it was when it is started again, also on "
        "more devices or fewer (--gpu, --seats).",
        options,
        .args_max = 2,
        .examples =
            "  lorafs train viggo train.jsonl -e test.jsonl && lorafs wait viggo\n"
            "  lorafs train -b share/base -i train.jsonl -c config.json -o out -l log.jsonl"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    int wrong = check(&flags, &args, &usage);
    if (wrong)
        return wrong;
    lf_interrupt_watch();
    struct lf_diag diag = {""};
    enum lf_err rc = args.n > 0 ? train_there(&flags, args.v[0], &diag) : run_flags(&flags, &diag);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
