/* `lorafs land run`: a study, trained and scored. */
#include "tools/cmd_land.h"
#include "land/run.h"
#include "land/show.h"
#include "tools/offline.h"
#include "tools/interrupt.h"
#include "tools/options.h"

#include <stdio.h>

static enum lf_err run_study(const char *path, const struct lf_study_places *places,
                             struct lf_land_order *o, bool json, int *status, struct lf_diag *diag)
{
    struct lf_study s;
    struct lf_grid f = {0};
    enum lf_err rc = lf_study_open(&s, path, places, diag);
    if (rc != LF_OK)
        return rc;
    if (!o->dir)
        o->dir = s.name;
    rc = lf_land_run(&f, &s, o, diag);
    int failed = lf_grid_count(&f, LF_CELL_FAILED);
    struct lf_diag printing = {""};
    if (f.n_tasks > 0 && lf_show_print(&f, json, &printing) != LF_OK)
        fprintf(stderr, "lorafs land run: %s\n", printing.text);
    if (rc == LF_OK && !json)
        printf("%s/results.csv; `lorafs land report %s` makes the report\n", o->dir, o->dir);
    *status = rc == LF_OK && failed > 0;
    lf_grid_free(&f);
    lf_study_close(&s);
    return rc;
}

int lf_land_cmd_run(int argc, char **argv)
{
    struct lf_land_order o = {.stop = &lf_interrupted};
    struct lf_study_places places = {0};
    int device = LF_DEVICE_AUTO, status = 0;
    int64_t tasks = 0;
    struct lf_option_strs sbatch = {.n = 0};
    bool json = false;
    const struct lf_option options[] = {
        {"out", 'o', LF_OPT_STR, "DIR", &o.dir,
         "where everything goes, and what is there already is gone on from; the study's name if "
         "not given"},
        {"bases", 'b', LF_OPT_STR, "DIR", &places.bases,
         "the folder that the bases are in, instead of where the study says"},
        {"data", 'D', LF_OPT_STR, "DIR", &places.data,
         "the folder that the tasks' data is in, instead of where the study says"},
        {"device", 'd', LF_OPT_CHOICE, LF_DEVICE_WORDS, &device,
         "where to compute, instead of what the study says"},
        {"slurm", 0, LF_OPT_FLAG, NULL, &o.slurm,
         "train in an array job of Slurm: an element for each base and group of tasks"},
        {"slurm-tasks", 0, LF_OPT_INT, "N", &tasks,
         "tasks of a base in an element, which trains them together; 0: as many as the study fuses",
         .hi = LF_LAND_TASKS_MAX},
        LF_SBATCH_OPTION(sbatch),
        LF_REMOTE_OPTIONS(o.remote),
        {"quiet", 'q', LF_OPT_FLAG, NULL, &o.quiet, "no matrix and no lines while it runs"},
        {"json", 0, LF_OPT_FLAG, NULL, &json, "print all cells as JSON at the end"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs land run",
        "STUDY.json [--out DIR]",
        "Trains and scores every task of a study on every base: a daemon for each base in turn, "
        "or one for all of them where the study says \"together\"; all tasks of a base are trained "
        "together. With --url, a daemon that runs already is used, for the bases that it has. With "
        "--slurm, Slurm runs the bases, and groups of tasks of them, on cards of its own, which "
        "must reach the study's files and its folder; elements whose node is lost, or whose time "
        "is over, go on where they were.\n\n"
        "What was killed goes on where it was when the same command is given again; a cell that "
        "fails is written down with its reason, and tried again by the next run.\n\n"
        "Exit status: 0 when all cells are done, 1 when some failed or the run could not go on.",
        options,
        .args_min = 1,
        .args_max = 1,
        .examples = "  lorafs land run study.json\n"
                    "  lorafs land run study.json --out /data/study --device cuda\n"
                    "  lorafs land run study.json --slurm --sbatch=--gres=gpu:1"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    if (device != LF_DEVICE_AUTO)
        o.device = lf_device_kind_word((enum lf_device_kind)device);
    o.slurm_tasks = (int)tasks;
    o.slurm_options = sbatch.s;
    o.slurm_n = sbatch.n;
    if (o.slurm && o.remote.url)
        return lf_usage_error(&usage, "--slurm starts daemons of its own, and --url names one");
    if (!o.slurm && (tasks || sbatch.n))
        return lf_usage_error(&usage, "--slurm-tasks and --sbatch are of --slurm");
    struct lf_diag diag = {""};
    lf_interrupt_watch();
    signal(SIGPIPE, SIG_IGN);
    enum lf_err rc = run_study(args.v[0], &places, &o, json, &status, &diag);
    return rc == LF_OK ? status : lf_command_failed(&usage, rc, &diag);
}
