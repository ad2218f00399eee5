/* `lorafs land tasks`: what tasks there are. */
#include "tools/cmd_land.h"
#include "land/task.h"
#include "tools/options.h"

#include <stdio.h>
#include <stdlib.h>

static json_t *to_json(const struct lf_task *t)
{
    json_t *stop = json_array();
    for (int i = 0; i < t->n_stop; i++)
        json_array_append_new(stop, json_string(t->stop[i]));
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:i, s:o, s:{s:I, s:I, s:I, s:s}, s:s, s:s, s:s}", "name",
        t->name, "title", t->title, "category", t->category, "metric", t->metric, "shots", t->shots,
        "max_tokens", t->max_tokens, "stop", stop, "study", "train", (json_int_t)t->study_train,
        "validation", (json_int_t)t->study_validation, "test", (json_int_t)t->study_test,
        "evaluated", t->evaluated, "source", t->source, "get", t->get, "licence", t->licence);
}

static void print_line(const struct lf_task *t)
{
    printf("%-20s %-12s %-25s %s\n", t->name, t->category, t->metric, t->title);
}

static void print_all_of(const struct lf_task *t)
{
    printf("%s: %s\n", t->name, t->title);
    printf("  category   %s\n", t->category);
    printf("  metric     %s\n", t->metric);
    printf("  examples   %d in front of a prompt\n", t->shots);
    printf("  max tokens %d\n", t->max_tokens);
    printf("  the study  %lld rows to train on, %lld validation, %lld test; it scored %s\n",
           (long long)t->study_train, (long long)t->study_validation, (long long)t->study_test,
           t->evaluated);
    printf("  source     %s\n", t->source);
    printf("  licence    %s\n", t->licence);
    printf("  to get it  %s\n", t->get);
}

static enum lf_err open_tasks(struct lf_task ***out, int *n, const struct lf_args *args,
                              struct lf_diag *diag)
{
    if (args->n == 0)
        return lf_task_list(out, n, diag);
    struct lf_task **list = calloc((size_t)args->n, sizeof *list);
    enum lf_err rc = list ? LF_OK : lf_no_memory(diag, "the tasks");
    for (int i = 0; i < args->n && rc == LF_OK; i++)
        rc = lf_task_open(&list[i], args->v[i], diag);
    if (rc != LF_OK) {
        lf_task_list_free(list, list ? args->n : 0);
        return rc;
    }
    *out = list;
    *n = args->n;
    return LF_OK;
}

static void print_json(struct lf_task *const *list, int n)
{
    json_auto_t *all = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(all, to_json(list[i]));
    lf_print_json(all);
}

int lf_land_cmd_tasks(int argc, char **argv)
{
    bool json = false;
    const struct lf_option options[] = {
        {"json", 0, LF_OPT_FLAG, NULL, &json, "print the tasks as JSON"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs land tasks",
        "[TASK...]",
        "Lists the tasks that are installed; with names (or paths of task files), all that is "
        "known of these: how many rows the study had, whose data it is and how to get it.",
        options,
        .args_max = -1,
        .examples = "  lorafs land tasks\n  lorafs land tasks viggo gsm8k"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    struct lf_task **list;
    int n;
    enum lf_err rc = open_tasks(&list, &n, &args, &diag);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    if (json)
        print_json(list, n);
    for (int i = 0; i < n && !json; i++) {
        if (args.n == 0)
            print_line(list[i]);
        else
            print_all_of(list[i]);
    }
    lf_task_list_free(list, n);
    return 0;
}
