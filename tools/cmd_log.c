/* `lorafs log`: what happened to an adapter, as lines, or as runs of TensorBoard and MLflow. */
#include "tools/adapter_remote.h"
#include "tools/commands.h"

#include "core/json.h"
#include "trainer/track.h"

#include <stdio.h>
#include <string.h>

struct log_run {
    bool follow;
    const char *tensorboard, *mlflow;
};

/* ---- Lines to runs --------------------------------------------------------------------------- */

/* A stream into which the log is written, and its lines as they are whole. */
struct line_sink {
    struct lf_tracker *tracker;
    struct lf_buf line;
    enum lf_err rc;
    struct lf_diag *diag;
};

static void take_line(struct line_sink *s)
{
    json_auto_t *line = NULL;
    if (s->rc == LF_OK && lf_json_parse(&line, s->line.data, s->line.len, NULL) == LF_OK)
        s->rc = lf_tracker_line(s->tracker, line, s->diag);
    lf_buf_reset(&s->line);
}

static ssize_t sink_write(void *cookie, const char *data, size_t n)
{
    struct line_sink *s = cookie;
    for (const char *at = data, *end = data + n; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t part = newline ? (size_t)(newline - at) : (size_t)(end - at);
        if (lf_buf_append(&s->line, at, part) != LF_OK)
            s->rc = lf_no_memory(s->diag, "a line of the log");
        if (newline)
            take_line(s);
        at += part + (newline != NULL);
    }
    return s->rc == LF_OK ? (ssize_t)n : 0;
}

static enum lf_err track(const struct log_run *r, struct lf_remote *c, const char *name,
                         const char *path, struct lf_diag *diag)
{
    struct lf_tracker_spec spec = {
        .tensorboard = r->tensorboard, .mlflow = r->mlflow, .name = name};
    struct line_sink sink = {.line.max = LF_JSON_BYTES_MAX, .diag = diag};
    enum lf_err rc = lf_tracker_open(&sink.tracker, &spec, diag);
    if (rc != LF_OK)
        return rc;
    FILE *stream = fopencookie(&sink, "w", (cookie_io_functions_t){.write = sink_write});
    if (!stream)
        rc = lf_no_memory(diag, "the log");
    else
        setvbuf(stream, NULL, _IOLBF, 0); /* with --follow what is whole is to be seen */
    struct lf_diag why = {""};
    rc = rc ?: lf_remote_stream(c, path, stream, &why);
    if (stream)
        fclose(stream);
    if (sink.rc != LF_OK)
        rc = sink.rc;
    else if (rc != LF_OK)
        rc = lf_fail(diag, rc, "%s", why.text);
    lf_buf_free(&sink.line);
    lf_tracker_close(sink.tracker);
    return rc;
}

/* ---- The command ----------------------------------------------------------------------------- */

static enum lf_err print_log(void *arg, struct lf_remote *c, const char *name, struct lf_diag *diag)
{
    const struct log_run *r = arg;
    char path[LF_PATH_MAX];
    enum lf_err rc =
        lf_remote_path(path, name, r->follow ? "/files/log?follow=1" : "/files/log", diag);
    if (rc == LF_OK && (r->tensorboard || r->mlflow))
        return track(r, c, name, path, diag);
    return rc ?: lf_remote_stream(c, path, stdout, diag);
}

int lf_cmd_log(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct log_run r = {0};
    const struct lf_option options[] = {
        {"follow", 'f', LF_OPT_FLAG, NULL, &r.follow,
         "go on with what comes until the adapter is trained and scored"},
        {"tensorboard", 0, LF_OPT_STR, "DIR", &r.tensorboard,
         "write TensorBoard's event files below DIR instead, a run for each training"},
        {"mlflow", 0, LF_OPT_STR, "DIR", &r.mlflow,
         "write runs into MLflow's file store DIR (mlruns), the adapter being the experiment"},
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs log",
        "NAME",
        "Prints an adapter's log: a line of JSON for each step and whatever else happened.",
        options,
        1,
        1,
        "  lorafs log -f viggo | jq -r .loss\n"
        "  lorafs log -f viggo --tensorboard runs/viggo & tensorboard --logdir runs"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    return lf_remote_each(&usage, &o, &args, 1, print_log, &r);
}
