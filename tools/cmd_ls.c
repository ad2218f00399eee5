/* `lorafs ls`: list the adapters of a daemon. */
#include "core/json.h"
#include "tools/adapter_remote.h"
#include "tools/commands.h"

#include <stdio.h>
#include <time.h>

/* "2026-11-23 18:04", local time. */
static void time_text(char out[32], const json_t *unix_ms)
{
    time_t t = (time_t)(json_integer_value(unix_ms) / 1000);
    struct tm tm;
    if (!localtime_r(&t, &tm) || strftime(out, 32, "%F %H:%M", &tm) == 0)
        snprintf(out, 32, "-");
}

static void print_long(const json_t *adapter)
{
    char changed[32], version[24] = "-";
    json_int_t n = json_integer_value(json_object_get(adapter, "version"));
    if (n > 0)
        snprintf(version, sizeof version, "v%lld", (long long)n);
    time_text(changed, json_object_get(adapter, "changed_ms"));
    printf("%-9s %5s  %-16s  %-20s  %s\n", lf_json_text_of(adapter, "state"), version, changed,
           lf_json_text_of(adapter, "base"), lf_json_text_of(adapter, "name"));
}

struct list_flags {
    bool longer, json;
};

static enum lf_err list(void *arg, struct lf_remote *c, const char *name, struct lf_diag *diag)
{
    const struct list_flags *flags = arg;
    size_t i;
    json_t *adapter;
    json_auto_t *answer = NULL;
    (void)name;
    enum lf_err rc = lf_remote_json(c, &answer, "GET", "/v1/adapters", NULL, diag);
    if (flags->json && rc == LF_OK)
        lf_print_json(answer);
    if (flags->json || rc != LF_OK)
        return rc;
    if (flags->longer)
        printf("%-9s %5s  %-16s  %-20s  %s\n", "STATE", "LIVE", "CHANGED", "BASE", "NAME");
    json_array_foreach(json_object_get(answer, "adapters"), i, adapter) {
        if (flags->longer)
            print_long(adapter);
        else
            printf("%s\n", lf_json_text_of(adapter, "name"));
    }
    return LF_OK;
}

int lf_cmd_ls(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct list_flags flags = {0};
    const struct lf_option options[] = {
        {"long", 'l', LF_OPT_FLAG, NULL, &flags.longer,
         "with state, version, time of change and base"},
        {"json", 0, LF_OPT_FLAG, NULL, &flags.json, "print the daemon's JSON"},
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {"lorafs ls", "[-l]", "Lists the adapters of a daemon.", options};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    return lf_remote_each(&usage, &o, &args, 0, list, &flags);
}
