/* `lorafs fsck`: a data directory is checked, and mended. */
#include "tools/commands.h"

#include "core/json.h"
#include "core/log.h"
#include "fsck/fsck.h"
#include "tools/options.h"

#include <stdio.h>
#include <sys/stat.h>

enum { CLEAN = 0, MENDED = 1, LEFT = 4, NOT_DONE = 8 }; /* as of fsck(8) */

static void print_problem(void *arg, const struct lf_fsck_problem *p)
{
    (void)arg;
    printf("%s: %s%s%s\n", p->where, p->what, p->mended ? ": " : "", p->mended ? p->mended : "");
}

static void add_problem(void *arg, const struct lf_fsck_problem *p)
{
    json_array_append_new(arg, json_pack("{s:s, s:s, s:s?}", "where", p->where, "what", p->what,
                                         "mended", p->mended));
}

static void print_counts(const struct lf_fsck_counts *n, bool repair)
{
    printf("%lld adapter%s, %lld version%s: ", (long long)n->adapters, n->adapters == 1 ? "" : "s",
           (long long)n->versions, n->versions == 1 ? "" : "s");
    if (n->problems == 0)
        puts("clean");
    else if (n->left == 0)
        printf("%lld problem%s, mended\n", (long long)n->problems, n->problems == 1 ? "" : "s");
    else
        printf("%lld problem%s, %lld left%s\n", (long long)n->problems, n->problems == 1 ? "" : "s",
               (long long)n->left, repair ? "" : "; --repair mends them");
}

int lf_cmd_fsck(int argc, char **argv)
{
    bool repair = false, json = false;
    const struct lf_option options[] = {
        {"repair", 0, LF_OPT_FLAG, NULL, &repair, "mend what is wrong"},
        {"json", 0, LF_OPT_FLAG, NULL, &json, "one JSON object instead of text"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs fsck",
        "DATA [options]",
        "Checks a daemon's data directory while no daemon has it open: the store against the "
        "files, what is served against its digests, what people wrote and what the daemon keeps "
        "for whether it can be read, and what a crash may have left. Each problem is a line: "
        "where, what, and what was done.\n\n"
        "With --repair nothing that may be worth keeping is thrown away: it goes into the trash "
        "(lorafs trash). Another run then finds nothing.\n\n"
        "Exit status: 0 clean, 1 problems that were mended, 4 problems that are left, 8 the check "
        "could not be made, 2 wrong usage.",
        options,
        .args_min = 1,
        .args_max = 1,
        .examples = "  lorafs fsck ~/.local/share/lorafs --repair"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_fsck_counts n = {0};
    json_auto_t *list = json_array();
    umask(077); /* what it makes is as what the daemon makes */
    lf_log_set_level(LF_LOG_OFF);
    enum lf_err rc =
        lf_fsck_run(args.v[0], repair, json ? add_problem : print_problem, list, &n, &diag);
    if (rc != LF_OK) {
        lf_command_failed(&usage, rc, &diag);
        return NOT_DONE;
    }
    if (json) {
        json_auto_t *out =
            json_pack("{s:I, s:I, s:O, s:I}", "adapters", (json_int_t)n.adapters, "versions",
                      (json_int_t)n.versions, "problems", list, "left", (json_int_t)n.left);
        lf_print_json(out);
    } else {
        print_counts(&n, repair);
    }
    return n.left ? LEFT : n.problems ? MENDED : CLEAN;
}
