/* `lorafs land status`: the matrix of a study. */
#include "tools/cmd_land.h"
#include "core/clock.h"
#include "land/show.h"
#include "tools/interrupt.h"
#include "tools/options.h"

#include <signal.h>
#include <stdio.h>

#define WATCH_NS 500000000

/* Draws until the study's run ends, or an interrupt. */
static enum lf_err watch(struct lf_grid *f, const char *dir, struct lf_diag *diag)
{
    struct lf_show show;
    enum lf_err rc = LF_OK;
    lf_show_init(&show, stdout, false);
    while (rc == LF_OK && f->running && !lf_interrupted) {
        if (show.live)
            lf_show_draw(&show, f, true);
        else
            rc = lf_show_print(f, false, diag);
        fflush(stdout);
        lf_clock_sleep(WATCH_NS);
        lf_grid_free(f);
        rc = rc ?: lf_grid_read(f, dir, diag);
    }
    lf_show_end(&show);
    return rc;
}

int lf_land_cmd_status(int argc, char **argv)
{
    bool json = false, follow = false;
    const struct lf_option options[] = {
        {"watch", 'w', LF_OPT_FLAG, NULL, &follow, "go on showing it until the run ends"},
        {"json", 0, LF_OPT_FLAG, NULL, &json, "print all cells as JSON"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs land status",
        "[DIR]",
        "The cells of a study that runs, or ran, in DIR (here, if not given): scores after "
        "training, and the lift over the base.",
        options,
        .args_max = 1,
        .examples = "  lorafs land status small-study --watch"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    const char *dir = args.n > 0 ? args.v[0] : ".";
    struct lf_diag diag = {""};
    struct lf_grid f;
    enum lf_err rc = lf_grid_read(&f, dir, &diag);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    if (follow) {
        lf_interrupt_watch();
        signal(SIGPIPE, SIG_IGN);
        rc = watch(&f, dir, &diag);
    }
    rc = rc ?: lf_show_print(&f, json, &diag);
    lf_grid_free(&f);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
