/* `lorafs train`: train adapters on data sets, here or at a daemon. */
#include "tools/commands.h"

#include "core/json.h"
#include "tools/hub_cache.h"
#include "tools/interrupt.h"
#include "tools/train_here.h"
#include "tools/train_slurm.h"

#include <stdio.h>

/* ---- Here ------------------------------------------------------------------------------------ */

static enum lf_err train_here(const struct lf_train_flags *o, const struct lf_args *args,
                              const struct lf_usage *u, int *status, struct lf_diag *diag)
{
    int failed = 0;
    char base[LF_PATH_MAX];
    struct lf_train_list l = {0};
    enum lf_err rc = lf_hub_base(base, o->o.base, o->o.quiet, diag);
    rc = rc ?: lf_train_list_make(&l, o, base, args, diag);
    if (rc == LF_OK)
        rc = o->slurm ? lf_train_slurm(o, &l, base, u, &failed, diag)
                      : lf_train_here(o, &l, &failed, diag);
    lf_train_list_free(&l);
    *status = failed > 0;
    return rc;
}

/* ---- At a daemon ----------------------------------------------------------------------------- */

static enum lf_err train_there(const struct lf_train_flags *o, const char *name,
                               struct lf_diag *diag)
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

/* The training is done without a daemon: the base is named here, and no preset's. */
static bool is_here(const struct lf_args *args, const struct lf_usage *u)
{
    return args->n == 0 || lf_option_given(args, u, "base") || lf_option_given(args, u, "slurm");
}

/* What only one of the ways knows is refused with the others, unless it is a preset. */
static const char *misplaced(const struct lf_args *args, const struct lf_usage *u)
{
    static const char *const here[] = {
        "out",    "init-adapter", "log", "curve", "checkpoint",  "quant",  "device", "tensorboard",
        "mlflow", "recompute",    "gpu", "seats", "slurm-tasks", "sbatch", NULL};
    static const char *const there[] = {"url", "api-key-file", NULL};
    for (const char *const *name = is_here(args, u) ? there : here; *name; name++)
        if (lf_option_given(args, u, *name))
            return *name;
    return NULL;
}

/* What is of one adapter is refused with several. */
static const char *single(const struct lf_args *args, const struct lf_usage *u)
{
    static const char *const names[] = {"dataset", "eval", "init-adapter", "log", "curve", NULL};
    for (const char *const *name = names; *name; name++)
        if (lf_option_given(args, u, *name))
            return *name;
    return NULL;
}

static int check_here(const struct lf_train_flags *o, const struct lf_args *args,
                      const struct lf_usage *u)
{
    const char *one = args->n > 0 ? single(args, u) : NULL;
    if (one)
        return lf_usage_error(u, "--%s is of a training of --dataset alone", one);
    if (o->slurm && args->n == 0)
        return lf_usage_error(u, "--slurm trains adapters of arguments, files of rows or folders");
    if (!o->slurm && (o->slurm_tasks || o->sbatch.n))
        return lf_usage_error(u, "--slurm-tasks and --sbatch are of --slurm");
    if (o->curve && !o->log)
        return lf_usage_error(u, "--curve is drawn from --log");
    if (args->n == 0 && !o->dataset)
        return lf_usage_error(u, "--dataset FILE is needed");
    if (!o->o.base || !o->out)
        return lf_usage_error(u, "--base DIR and --out DIR are needed, or the NAME of a daemon's "
                                 "adapter");
    return 0;
}

static int check_there(struct lf_train_flags *o, const struct lf_args *args,
                       const struct lf_usage *u)
{
    if (args->n > 2)
        return lf_usage_error(u, "a NAME and a data set are enough; --base trains several here");
    if (args->n == 2 && lf_option_given(args, u, "dataset"))
        return lf_usage_error(u, "two data sets: %s and %s", o->dataset, args->v[1]);
    if (args->n == 2)
        o->dataset = args->v[1];
    return o->dataset ? 0 : lf_usage_error(u, "--dataset FILE is needed");
}

/* What the table cannot see of the command line; 0: it is right. */
static int check(struct lf_train_flags *o, const struct lf_args *args, const struct lf_usage *u)
{
    const char *stray = misplaced(args, u);
    if (stray)
        return lf_usage_error(u, "--%s is of %s", stray,
                              is_here(args, u) ? "a training at a daemon, which wants a NAME"
                                               : "a training here, with --base");
    return is_here(args, u) ? check_here(o, args, u) : check_there(o, args, u);
}

static const char about[] =
    "With a NAME: has a daemon train that adapter, which is made where it is not there; "
    "`lorafs wait NAME` waits for it.\n\n"
    "With --base: trains a LoRA adapter in this process and writes it as PEFT does. An "
    "interrupted run with --checkpoint goes on where it was when it is started again, also on "
    "more devices or fewer (--gpu, --seats).\n\n"
    "With --base and arguments: trains an adapter of each in one batch, into --out's folder of "
    "its name. An argument is a file of rows, or a folder as an adapter has it: "
    "dataset.jsonl, eval.jsonl, config.json and template. The same command goes on where it "
    "was killed, and trains what failed, or has other rows or settings than before; "
    "result.json says how each ended. With --slurm, Slurm trains them, in groups, on cards of its "
    "own, which must reach the base, the rows and --out under the same paths; elements whose node "
    "is lost, or whose time is over, go on where they were.\n\n"
    "Exit status: 0 when all are trained, 1 when one failed.";

int lf_cmd_train(int argc, char **argv)
{
    struct lf_train_flags flags = {.o.quant = LF_QUANT_NF4,
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
        {"slurm", 0, LF_OPT_FLAG, NULL, &flags.slurm,
         "train in an array job of Slurm: an element for each group of adapters"},
        {"slurm-tasks", 0, LF_OPT_INT, "N", &flags.slurm_tasks,
         "adapters in an element, which trains them together; 0: as many as fuse",
         .hi = LF_JOBS_FUSED_MAX},
        LF_SBATCH_OPTION(flags.sbatch),
        LF_REMOTE_OPTIONS(flags.remote),
        {"quiet", 0, LF_OPT_FLAG, NULL, &flags.o.quiet, "no progress bar"},
        {"json", 0, LF_OPT_FLAG, NULL, &flags.json, "print the result as JSON"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs train",
        "NAME [DATASET] | --base BASE --out DIR [DATASET...]",
        about,
        options,
        .args_max = -1,
        .examples =
            "  lorafs train viggo train.jsonl -e test.jsonl && lorafs wait viggo\n"
            "  lorafs train -b share/base -i train.jsonl -c config.json -o out -l log.jsonl\n"
            "  lorafs train -b share/base -o out tasks/*/\n"
            "  lorafs train -b share/base -o out --slurm --sbatch=--gres=gpu:1 tasks/*/"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    int status = check(&flags, &args, &usage);
    if (status)
        return status;
    lf_interrupt_watch();
    struct lf_diag diag = {""};
    enum lf_err rc = is_here(&args, &usage) ? train_here(&flags, &args, &usage, &status, &diag)
                                            : train_there(&flags, args.v[0], &diag);
    return rc == LF_OK ? status : lf_command_failed(&usage, rc, &diag);
}
