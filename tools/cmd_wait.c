/* `lorafs wait`: until adapters are trained and scored. */
#include "core/json.h"
#include "tools/adapter_remote.h"
#include "tools/commands.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#define LATE_STATUS 124 /* as timeout(1) has it */

static volatile sig_atomic_t late;

static void on_alarm(int sig)
{
    (void)sig;
    late = 1;
}

/* From now on: `late` is set when the seconds are over. */
static void start_clock(double seconds)
{
    struct sigaction act = {.sa_handler = on_alarm};
    double whole = floor(seconds);
    struct itimerval t = {.it_value = {(time_t)whole, (suseconds_t)((seconds - whole) * 1e6)}};
    sigaction(SIGALRM, &act, NULL);
    if (t.it_value.tv_sec == 0 && t.it_value.tv_usec == 0)
        late = 1;
    setitimer(ITIMER_REAL, &t, NULL);
}

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
    double timeout; /* seconds; < 0: for ever */
    bool missed;    /* it was over before an adapter was done */
};

/* What there is when the time is over: the result, or LF_E_TIMED_OUT with what is still to come. */
static enum lf_err look_once(json_t **out, struct lf_remote *c, const char *name,
                             struct wait_flags *flags, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_diag why = {""};
    lf_remote_stop_on(c, NULL);
    enum lf_err rc = lf_remote_path(path, name, "/files/result", &why);
    rc = rc ?: lf_remote_json(c, out, "GET", path, NULL, &why);
    lf_remote_stop_on(c, &late);
    if (rc != LF_E_BUSY)
        return rc == LF_OK ? rc : lf_fail(diag, rc, "%s", why.text);
    flags->missed = true;
    return lf_fail(diag, LF_E_TIMED_OUT, "after %g s: %s", flags->timeout, why.text);
}

static enum lf_err result_of(json_t **out, struct lf_remote *c, const char *name,
                             struct wait_flags *flags, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (flags->timeout >= 0)
        lf_remote_stop_on(c, &late);
    enum lf_err rc = flags->quiet ? LF_OK : lf_remote_follow(c, name, stderr, diag);
    rc = rc ?: lf_remote_path(path, name, "/files/result?follow=1", diag);
    rc = rc ?: lf_remote_json(c, out, "GET", path, NULL, diag);
    return rc == LF_E_CANCELLED && late ? look_once(out, c, name, flags, diag) : rc;
}

static enum lf_err wait_for(void *arg, struct lf_remote *c, const char *name, struct lf_diag *diag)
{
    struct wait_flags *flags = arg;
    json_auto_t *result = NULL;
    enum lf_err rc = result_of(&result, c, name, flags, diag);
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
    struct wait_flags flags = {.timeout = -1};
    const struct lf_option options[] = {
        {"quiet", 'q', LF_OPT_FLAG, NULL, &flags.quiet, "do not show the progress on stderr"},
        {"timeout", 't', LF_OPT_REAL, "SECONDS", &flags.timeout,
         "wait no longer; the exit status is 124 then, and the training goes on", .lo = 0,
         .hi = 1e9},
        {"json", 0, LF_OPT_FLAG, NULL, &flags.json, "print each result as a line of JSON"},
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs wait",
        "NAME...",
        "Waits until each adapter is trained and, where it has rows to be scored on, scored; "
        "prints what came of it. The exit status is 1 where a training failed or was cancelled, a "
        "version could not be scored, or there was nothing to wait for, and 124 where --timeout "
        "was over first.",
        options,
        1,
        -1,
        "  lorafs wait viggo && lorafs ls -l"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    if (flags.timeout >= 0)
        start_clock(flags.timeout);
    int status = lf_remote_each(&usage, &o, &args, args.n, wait_for, &flags);
    return flags.missed ? LATE_STATUS : status;
}
