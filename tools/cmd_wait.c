/* `lorafs wait`: until adapters are trained and scored. */
#include "core/json.h"
#include "tools/adapter_remote.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>

static void print_result(const json_t *r)
{
    double score = lf_json_real_of(r, "score"), base = lf_json_real_of(r, "base");
    printf("%s %s v%d", lf_json_text_of(r, "adapter"), lf_json_text_of(r, "state"),
           (int)json_integer_value(json_object_get(r, "version")));
    if (json_object_get(r, "score"))
        printf(" %s %.4f", lf_json_text_of(r, "metric"), score);
    if (json_object_get(r, "score") && json_object_get(r, "base"))
        printf(" (base %.4f)", base);
    putchar('\n');
}

struct wait_flags {
    bool json, quiet;
};

static enum lf_err wait_for(void *arg, struct lf_remote *c, const char *name, struct lf_diag *diag)
{
    const struct wait_flags *flags = arg;
    char path[LF_PATH_MAX];
    json_auto_t *result = NULL;
    enum lf_err rc = flags->quiet ? LF_OK : lf_remote_follow(c, name, stderr, diag);
    rc = rc ?: lf_remote_path(path, name, "/files/result?follow=1", diag);
    rc = rc ?: lf_remote_json(c, &result, "GET", path, NULL, diag);
    if (rc != LF_OK)
        return rc;
    if (flags->json) {
        json_dumpf(result, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else {
        print_result(result);
    }
    fflush(stdout);
    if (strcmp(lf_json_text_of(result, "state"), "empty") == 0)
        return lf_fail(diag, LF_E_NOT_FOUND, "%s has no version, and nothing makes one", name);
    return LF_OK;
}

int lf_cmd_wait(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct wait_flags flags = {0};
    const struct lf_option options[] = {
        {"quiet", 'q', LF_OPT_FLAG, NULL, &flags.quiet, "do not show the progress on stderr"},
        {"json", 0, LF_OPT_FLAG, NULL, &flags.json, "print each result as a line of JSON"},
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs wait",
        "NAME...",
        "Waits until each adapter is trained and, where it has rows to be scored on, scored; "
        "prints what came of it. The exit status is 1 where a training failed or was cancelled, a "
        "version could not be scored, or there was nothing to wait for.",
        options,
        1,
        -1,
        "  lorafs wait viggo && lorafs ls -l"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    return lf_remote_each(&usage, &o, &args, args.n, wait_for, &flags);
}
