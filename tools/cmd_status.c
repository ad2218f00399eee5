/* `lorafs status`: what a daemon, or an adapter of it, is doing. */
#include "core/json.h"
#include "tools/adapter_remote.h"
#include "tools/commands.h"

#include <stdio.h>
#include <string.h>

struct question {
    bool json, follow;
    bool named;  /* each line begins with its adapter's name */
    bool failed; /* the state of one is so */
};

/* ---- One adapter ----------------------------------------------------------------------------- */

static enum lf_err show_adapter(struct lf_remote *c, const char *name, struct question *q,
                                struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *answer = NULL;
    enum lf_err rc = LF_OK;
    if (q->follow)
        rc = lf_remote_follow(c, name, stdout, diag);
    rc = rc ?: lf_remote_path(path, name, "", diag);
    rc = rc ?: lf_remote_json(c, &answer, "GET", path, NULL, diag);
    if (rc != LF_OK)
        return rc;
    if (q->json)
        lf_print_json(answer);
    else if (!q->follow)
        printf("%s%s%s\n", q->named ? name : "", q->named ? ": " : "",
               lf_json_text_of(answer, "status"));
    q->failed |= strcmp(lf_json_text_of(answer, "state"), "failed") == 0;
    return LF_OK;
}

/* ---- The daemon ------------------------------------------------------------------------------ */

/* Where there are several, or several bases, which come and go. */
static void print_seats(const json_t *seats, size_t n_bases)
{
    size_t i;
    json_t *s;
    json_array_foreach(seats, i, s) {
        if (json_array_size(seats) == 1 && n_bases == 1)
            continue;
        printf("  seat %zu: %s on %s", i, lf_json_text_of(s, "state"),
               lf_json_text_of(s, "device"));
        if (n_bases > 1)
            printf(", %.1f of %.1f MB%s",
                   (double)json_integer_value(json_object_get(s, "memory_used")) / 1e6,
                   (double)json_integer_value(json_object_get(s, "memory")) / 1e6,
                   json_is_true(json_object_get(s, "pinned")) ? ", pinned" : "");
        if (lf_json_real_of(s, "idle_seconds") > 0)
            printf(", idle for %.0f s", lf_json_real_of(s, "idle_seconds"));
        printf("%s\n", json_integer_value(json_object_get(s, "helping")) > 0
                           ? ", helps with a training of another"
                           : "");
    }
}

static void print_bases(const json_t *answer)
{
    size_t i;
    json_t *base;
    const json_t *bases = json_object_get(answer, "bases");
    json_array_foreach(bases, i, base) {
        printf("base %s: %s, %.1fM parameters, %.1f MB\n", lf_json_text_of(base, "name"),
               lf_json_text_of(base, "architecture"),
               (double)json_integer_value(json_object_get(base, "parameters")) / 1e6,
               (double)json_integer_value(json_object_get(base, "bytes")) / 1e6);
        print_seats(json_object_get(base, "seats"), json_array_size(bases));
    }
}

static void print_adapters(const json_t *answer)
{
    static const char *const states[] = {"ready",  "training", "queued",
                                         "paused", "failed",   "empty"};
    const json_t *adapters = json_object_get(answer, "adapters");
    printf("%zu adapter%s", json_array_size(adapters), json_array_size(adapters) == 1 ? "" : "s");
    const char *gap = ": ";
    for (size_t s = 0; s < sizeof states / sizeof states[0]; s++) {
        size_t i, n = 0;
        json_t *a;
        json_array_foreach(adapters, i, a)
            n += strcmp(lf_json_text_of(a, "state"), states[s]) == 0;
        if (n)
            printf("%s%zu %s", gap, n, states[s]);
        gap = n ? ", " : gap;
    }
    putchar('\n');
}

/* The status line of every adapter that has failed. */
static void print_failed(const json_t *answer)
{
    size_t i;
    json_t *a;
    json_array_foreach(json_object_get(answer, "adapters"), i, a)
        if (strcmp(lf_json_text_of(a, "state"), "failed") == 0)
            printf("%s: %s\n", lf_json_text_of(a, "name"), lf_json_text_of(a, "status"));
}

/* The status line of every adapter whose job is open. */
static enum lf_err print_jobs(struct lf_remote *c, const json_t *answer, struct lf_diag *diag)
{
    struct question line = {.named = true};
    size_t i;
    json_t *job;
    json_array_foreach(json_object_get(answer, "jobs"), i, job) {
        const char *state = lf_json_text_of(job, "state");
        bool open = strcmp(state, "queued") == 0 || strcmp(state, "running") == 0 ||
                    strcmp(state, "paused") == 0;
        enum lf_err rc =
            open ? show_adapter(c, lf_json_text_of(job, "adapter"), &line, diag) : LF_OK;
        if (rc != LF_OK && rc != LF_E_NOT_FOUND) /* removed since */
            return rc;
    }
    return LF_OK;
}

static enum lf_err show_daemon(struct lf_remote *c, const struct question *q, struct lf_diag *diag)
{
    static const char *const paths[] = {"/v1/bases", "/v1/adapters", "/v1/jobs"};
    json_auto_t *all = json_object();
    enum lf_err rc = LF_OK;
    for (int i = 0; rc == LF_OK && i < 3; i++) {
        json_auto_t *answer = NULL;
        rc = lf_remote_json(c, &answer, "GET", paths[i], NULL, diag);
        if (rc == LF_OK)
            json_object_update(all, answer);
    }
    if (rc == LF_OK && q->json) {
        lf_print_json(all);
    } else if (rc == LF_OK) {
        print_bases(all);
        print_adapters(all);
        print_failed(all);
        rc = print_jobs(c, all, diag);
    }
    return rc;
}

static enum lf_err show(void *arg, struct lf_remote *c, const char *name, struct lf_diag *diag)
{
    return name ? show_adapter(c, name, arg, diag) : show_daemon(c, arg, diag);
}

int lf_cmd_status(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct question q = {0};
    const struct lf_option options[] = {
        {"follow", 'f', LF_OPT_FLAG, NULL, &q.follow,
         "of one adapter: its progress until it is trained and scored; a bar on a terminal"},
        {"json", 0, LF_OPT_FLAG, NULL, &q.json, "print the daemon's JSON"},
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs status",
        "[NAME...]",
        "Without a name: the bases, how many adapters are in which state, and the jobs under way. "
        "With names: the status line of each adapter; the exit status is 1 where one has failed.",
        options,
        0,
        -1};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    if (q.follow && args.n != 1)
        return lf_usage_error(&usage, "--follow wants one name");
    q.named = args.n > 1;
    int status = lf_remote_each(&usage, &o, &args, args.n, show, &q);
    return q.failed ? 1 : status;
}
