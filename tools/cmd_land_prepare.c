/* `lorafs land prepare`: rows of tasks, from their publishers' files. */
#include "core/file.h"
#include "tools/bar.h"
#include "tools/cmd_land.h"
#include "land/task.h"
#include "tools/options.h"

#include <stdio.h>
#include <string.h>

struct prepare_flags {
    const char *data, *out;
    struct lf_task_options o;
    int64_t shots, test_percent;
    bool all, json, quiet;
};

static json_t *to_json(const struct lf_task *t, const struct lf_task_rows *r, const char *out)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:s, s:s, s:s, s:s, s:b}", "task",
                     t->name, "out", out, "train", (json_int_t)r->train, "test",
                     (json_int_t)r->test, "left_out", (json_int_t)r->left_out, "leaked",
                     (json_int_t)r->leaked, "shots", r->shots, "fidelity",
                     lf_fidelity_name(r->fidelity), "fidelity_text", r->fidelity_text, "source",
                     r->source, "licence", r->licence, "prepared", r->prepared);
}

static void print_line(const struct lf_task *t, const struct lf_task_rows *r)
{
    printf("%-20s %7lld to train on, %6lld to score", t->name, (long long)r->train,
           (long long)r->test);
    if (r->leaked > 0)
        printf(", %lld left out: their prompt is scored", (long long)r->leaked);
    if (r->left_out > 0)
        printf(", %lld without an answer", (long long)r->left_out);
    const char *name = lf_fidelity_name(r->fidelity);
    bool said = strncmp(r->fidelity_text, name, strlen(name)) == 0;
    printf("; %s%s%s\n", said ? "" : name, said || !r->fidelity_text[0] ? "" : ": ",
           r->fidelity_text);
}

static enum lf_err prepare(const struct prepare_flags *o, const struct lf_task *t, json_t *all,
                           struct lf_diag *diag)
{
    char out[LF_PATH_MAX];
    struct lf_task_rows made;
    if (lf_path_join(out, o->out, t->name, diag) != LF_OK)
        return LF_E_INVALID;
    enum lf_err rc = lf_task_prepare(t, o->data, out, &o->o, &made, diag);
    if (rc == LF_OK && o->json)
        json_array_append_new(all, to_json(t, &made, out));
    else if (rc == LF_OK)
        print_line(t, &made);
    return rc;
}

/* Every task that has a folder in the data's. */
static enum lf_err prepare_all(const struct prepare_flags *o, json_t *all, struct lf_diag *diag)
{
    struct lf_task **list;
    struct lf_bar bar;
    int n, done = 0;
    enum lf_err rc = lf_task_list(&list, &n, diag);
    if (rc != LF_OK)
        return rc;
    lf_bar_init(&bar, o->quiet);
    for (int i = 0; i < n && rc == LF_OK; i++) {
        char dir[LF_PATH_MAX];
        lf_bar_update(&bar, (double)i / n, list[i]->name);
        if (snprintf(dir, sizeof dir, "%s/%s", o->data, list[i]->name) >= (int)sizeof dir ||
            !lf_file_exists(dir))
            continue;
        rc = prepare(o, list[i], all, diag);
        done += rc == LF_OK;
    }
    lf_bar_end(&bar);
    lf_task_list_free(list, n);
    if (rc == LF_OK && done == 0)
        rc = lf_fail(diag, LF_E_NOT_FOUND, "%s has no folder of a task's name", o->data);
    return rc;
}

static enum lf_err prepare_named(const struct prepare_flags *o, const struct lf_args *args,
                                 json_t *all, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; i < args->n && rc == LF_OK; i++) {
        struct lf_task *t;
        rc = lf_task_open(&t, args->v[i], diag);
        if (rc != LF_OK)
            break;
        rc = prepare(o, t, all, diag);
        lf_task_close(t);
    }
    return rc;
}

int lf_land_cmd_prepare(int argc, char **argv)
{
    struct prepare_flags o = {.shots = -1};
    const struct lf_option options[] = {
        {"data", 'i', LF_OPT_STR, "DIR", &o.data,
         "where the files are: in DIR/TASK, or in DIR itself", .required = true},
        {"out", 'o', LF_OPT_STR, "DIR", &o.out, "where the rows go: into DIR/TASK",
         .required = true},
        {"all", 'a', LF_OPT_FLAG, NULL, &o.all, "every task that has a folder DIR/TASK"},
        {"train-rows", 0, LF_OPT_INT, "N", &o.o.train_max, "at most N rows to train on; 0: all",
         .hi = 1e9},
        {"test-rows", 0, LF_OPT_INT, "N", &o.o.test_max, "at most N rows to score; 0: all",
         .hi = 1e9},
        {"shots", 's', LF_OPT_INT, "N", &o.shots,
         "examples in front of each prompt; -1: as the task says, none for prepared rows", .lo = -1,
         .hi = 64},
        {"test-percent", 0, LF_OPT_INT, "N", &o.test_percent,
         "where one of the two files is missing, score N percent of the other's rows; 0: fail",
         .hi = 99},
        {"quiet", 0, LF_OPT_FLAG, NULL, &o.quiet, "no progress bar"},
        {"json", 0, LF_OPT_FLAG, NULL, &o.json, "print what was made as JSON"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs land prepare",
        "TASK... --data DIR --out DIR",
        "Makes a task's rows from its publisher's files: train.jsonl (an adapter's dataset.jsonl), "
        "test.jsonl (its eval.jsonl), config.json and task.json, which has the counts and says "
        "whether these are the study's own rows.\n\n"
        "TASK is a name of `lorafs land tasks`, a task file of one's own, or a metadata.yaml of "
        "the study. DIR may also hold rows that are prepared: train.jsonl and test.jsonl with "
        "\"prompt\" and \"completion\".",
        options,
        .args_max = -1,
        .examples = "  lorafs land prepare viggo --data data2text-nlg/data/video_game --out rows\n"
                    "  lorafs land prepare --all --data downloads --out rows --test-rows 1000"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    if (o.all == (args.n > 0))
        return lf_usage_error(&usage, "name the tasks, or give --all");
    o.o.has_shots = o.shots >= 0;
    o.o.shots = o.shots >= 0 ? (int)o.shots : 0;
    o.o.test_percent = (int)o.test_percent;
    struct lf_diag diag = {""};
    json_auto_t *all = json_array();
    enum lf_err rc = o.all ? prepare_all(&o, all, &diag) : prepare_named(&o, &args, all, &diag);
    if (rc == LF_OK && o.json)
        lf_print_json(all);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
