/* `lorafs key add|list|revoke`: the keys of a daemon, in its data directory. */
#include "core/json.h"
#include "client/paths.h"
#include "daemon/http/audit.h"
#include "keys/keys.h"
#include "tools/commands.h"
#include "tools/options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct where {
    const char *data, *keys;
    char own[LF_PATH_MAX];
};

#define WHERE_OPTIONS(w)                                                        \
    {"data", 'D', LF_OPT_STR, "DIR", &(w).data, "the daemon's data directory"}, \
    {                                                                           \
        "keys", 0, LF_OPT_STR, "FILE", &(w).keys,                               \
            "the file of keys; keys.json in the data directory if not given"    \
    }

static void where_init(struct where *w)
{
    lf_path_data(w->own);
    w->data = w->own;
    w->keys = NULL;
}

static enum lf_err path_of(char path[LF_PATH_MAX], const struct where *w, struct lf_diag *diag)
{
    if (!w->keys)
        return lf_keys_path(path, w->data, diag);
    if (snprintf(path, LF_PATH_MAX, "%s", w->keys) >= LF_PATH_MAX)
        return lf_fail(diag, LF_E_INVALID, "%s: path too long", w->keys);
    return LF_OK;
}

/* Into the data directory's audit log. */
static void note(const struct where *w, const char *what, const char *name)
{
    char who[32], text[LF_NAME_MAX + 32];
    struct lf_audit *a;
    struct lf_diag diag;
    if (w->keys || lf_audit_open(&a, w->data, &diag) != LF_OK)
        return;
    snprintf(who, sizeof who, "uid:%lld", (long long)getuid());
    snprintf(text, sizeof text, "lorafs key %s %s", what, name);
    lf_audit_write(a, json_pack("{s:s, s:s}", "who", who, "what", text));
    lf_audit_close(a);
}

static int add_key(int argc, char **argv)
{
    struct where w;
    struct lf_option_strs adapters = {.n = 0};
    int role = 1; /* of the words below */
    int64_t rate = 0, at_once = 0, waiting = 0;
    where_init(&w);
    const struct lf_option options[] = {
        {"role", 'r', LF_OPT_CHOICE, "generate|train|admin", &role,
         "generate asks; train makes, trains and changes adapters, too; admin may do all"},
        {"adapter", 'a', LF_OPT_STRS, "NAME", &adapters,
         "for this adapter alone, or those of a pattern with * and ?; may be given again"},
        {"rate", 0, LF_OPT_INT, "N", &rate, "requests a minute; 0: any number",
         .hi = LF_KEY_RATE_MAX},
        {"at-once", 0, LF_OPT_INT, "N", &at_once, "requests under way; 0: any number",
         .hi = LF_KEY_RATE_MAX},
        {"waiting", 0, LF_OPT_INT, "N", &waiting,
         "of them, those that wait for a place on the device; 0: half of all that may",
         .hi = LF_QUEUE_MAX},
        WHERE_OPTIONS(w),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs key add",
        "NAME",
        "Makes a key and prints it, this once: the file has its digest alone. It counts at once, "
        "also for a daemon that runs. From the first key on, whoever comes over TCP needs one.",
        options,
        1,
        1,
        "  lorafs key add ci --role train --adapter 'ci-*' --rate 600"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_key_spec spec = {.name = args.v[0],
                               .role = (enum lf_role)(role + LF_ROLE_GENERATE),
                               .adapters = adapters.s,
                               .n_adapters = adapters.n,
                               .requests_a_minute = (int)rate,
                               .at_once = (int)at_once,
                               .waiting = (int)waiting};
    struct lf_diag diag = {""};
    char path[LF_PATH_MAX], key[LF_KEY_TEXT_MAX + 1];
    enum lf_err rc = path_of(path, &w, &diag) ?: lf_keys_add(path, &spec, key, &diag);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    note(&w, "add", spec.name);
    printf("%s\n", key);
    return 0;
}

static void print_number(const json_t *k, const char *what)
{
    json_int_t n = json_integer_value(json_object_get(k, what));
    if (n > 0)
        printf("\t%s=%lld", what, (long long)n);
}

static void print_key(const json_t *k)
{
    const json_t *adapters = json_object_get(k, "adapters");
    printf("%s\t%s\t%s\t%s\t", lf_json_text_of(k, "id"), lf_json_text_of(k, "name"),
           lf_json_text_of(k, "role"), lf_json_text_of(k, "made"));
    for (size_t i = 0; i < json_array_size(adapters); i++)
        printf("%s%s", i ? "," : "", json_string_value(json_array_get(adapters, i)));
    if (json_array_size(adapters) == 0)
        printf("*");
    print_number(k, "requests_a_minute");
    print_number(k, "at_once");
    print_number(k, "waiting");
    printf("\n");
}

static int list_keys(int argc, char **argv)
{
    struct where w;
    bool as_json = false;
    where_init(&w);
    const struct lf_option options[] = {
        {"json", 'j', LF_OPT_FLAG, NULL, &as_json, "as JSON"},
        WHERE_OPTIONS(w),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs key list", "", "Lists the keys: id, name, role, when it was made, adapters.",
        options,           0,  0,
    };
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    char path[LF_PATH_MAX];
    json_auto_t *keys = NULL;
    enum lf_err rc = path_of(path, &w, &diag) ?: lf_keys_list(path, &keys, &diag);
    if (rc != LF_OK)
        return lf_command_failed(&usage, rc, &diag);
    if (as_json)
        lf_print_json(keys);
    for (size_t i = 0; !as_json && i < json_array_size(keys); i++)
        print_key(json_array_get(keys, i));
    return 0;
}

static int revoke_keys(int argc, char **argv)
{
    struct where w;
    where_init(&w);
    const struct lf_option options[] = {WHERE_OPTIONS(w), {0}};
    const struct lf_usage usage = {
        "lorafs key revoke",
        "ID|NAME...",
        "Removes keys, by id or name. What they ask is refused from then on; what is under way "
        "ends as it would.",
        options,
        1,
        -1,
        NULL};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    char path[LF_PATH_MAX];
    enum lf_err rc = path_of(path, &w, &diag);
    for (int i = 0; i < args.n && rc == LF_OK; i++) {
        rc = lf_keys_revoke(path, args.v[i], &diag);
        if (rc == LF_OK)
            note(&w, "revoke", args.v[i]);
    }
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}

int lf_cmd_key(int argc, char **argv)
{
    static const struct lf_command commands[] = {
        {"add", add_key, "make a key"},
        {"list", list_keys, "list them"},
        {"revoke", revoke_keys, "remove keys"},
        {0},
    };
    bool asks = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (argc > 1 && !asks)
        return lf_command_run("lorafs key", commands, argc, argv);
    FILE *to = asks ? stdout : stderr;
    fprintf(to, "usage: lorafs key COMMAND [options]\n\n"
                "The API keys of a daemon: each has a role, may be for some adapters alone, and\n"
                "may have limits.\n\n");
    lf_commands_print(to, commands);
    fprintf(to, "\n`lorafs key COMMAND --help` explains one.\n");
    return asks ? 0 : 2;
}
