/* `lorafs diff`: what two versions differ in: settings, rows, scores, curves. */
#include "core/json.h"
#include "tools/adapter_remote.h"
#include "tools/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A version as its files tell of it. */
struct told {
    char name[LF_NAME_MAX + 16]; /* "viggo/3" */
    json_t *settings, *report;   /* config.json, metrics.json; owned; NULL: it has none */
    json_t *evals;               /* {"120": 0.83, ...}: of its log; owned */
};

static void told_free(struct told *t)
{
    json_decref(t->settings);
    json_decref(t->report);
    json_decref(t->evals);
}

/* ---- From the daemon ------------------------------------------------------------------------- */

/* A file of the version; an empty text where it has none. */
static enum lf_err file_get(struct lf_remote *c, const char *name, int version, const char *file,
                            struct lf_buf *out, struct lf_diag *diag)
{
    char rest[LF_PATH_MAX / 2], path[LF_PATH_MAX];
    snprintf(rest, sizeof rest, "/files/versions/%d/%s", version, file);
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    if (!to)
        return lf_no_memory(diag, "%s", file);
    enum lf_err rc = lf_remote_path(path, name, rest, diag);
    rc = rc ?: lf_remote_stream(c, path, to, diag);
    bool whole = fclose(to) == 0;
    if (rc == LF_OK && (!whole || lf_buf_append(out, text, n) != LF_OK))
        rc = lf_no_memory(diag, "%s", file);
    free(text);
    return rc == LF_E_NOT_FOUND ? LF_OK : rc;
}

static enum lf_err json_get(struct lf_remote *c, const char *name, int version, const char *file,
                            json_t **out, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    enum lf_err rc = file_get(c, name, version, file, &text, diag);
    return rc != LF_OK || text.len == 0 ? rc : lf_json_parse(out, text.data, text.len, diag);
}

static enum lf_err evals_get(struct lf_remote *c, const char *name, int version, json_t *evals,
                             struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    enum lf_err rc = file_get(c, name, version, "log", &text, diag);
    const char *at = text.data, *end = at + text.len, *nl;
    for (; rc == LF_OK && at && at < end && (nl = memchr(at, '\n', (size_t)(end - at)));
         at = nl + 1) {
        json_auto_t *line = NULL;
        char step[24];
        if (lf_json_parse(&line, at, (size_t)(nl - at), NULL) != LF_OK ||
            strcmp(lf_json_text_of(line, "event"), "eval") != 0)
            continue;
        snprintf(step, sizeof step, "%lld",
                 (long long)json_integer_value(json_object_get(line, "step")));
        json_object_set(evals, step, json_object_get(line, "eval_loss"));
    }
    return rc;
}

/* "viggo": the version that serves; "viggo/3". */
static enum lf_err tell(struct lf_remote *c, const char *word, struct told *t, struct lf_diag *diag)
{
    const char *slash = strchr(word, '/');
    char name[LF_NAME_MAX + 1];
    int64_t served = 0;
    int version = slash ? (int)strtol(slash + 1, NULL, 10) : 0;
    size_t n = slash ? (size_t)(slash - word) : strlen(word);
    t->evals = json_object();
    if (n > LF_NAME_MAX || (slash && version < 1))
        return lf_fail(diag, LF_E_INVALID, "it must be NAME or NAME/N");
    snprintf(name, sizeof name, "%.*s", (int)n, word);
    enum lf_err rc = slash ? LF_OK : lf_remote_served(c, name, &served, diag);
    version = slash ? version : (int)served;
    snprintf(t->name, sizeof t->name, "%s/%d", name, version);
    rc = rc ?: json_get(c, name, version, "config.json", &t->settings, diag);
    rc = rc ?: json_get(c, name, version, "metrics.json", &t->report, diag);
    rc = rc ?: evals_get(c, name, version, t->evals, diag);
    if (rc == LF_OK && !t->settings && !t->report)
        rc = lf_fail(diag, LF_E_NOT_FOUND, "nothing is known of that version");
    return rc;
}

/* ---- Compared -------------------------------------------------------------------------------- */

/* "train.loss" of a report. */
static const json_t *value_at(const json_t *report, const char *path)
{
    const char *dot = strchr(path, '.');
    char part[32];
    if (!dot)
        return json_object_get(report, path);
    snprintf(part, sizeof part, "%.*s", (int)(dot - path), path);
    return json_object_get(json_object_get(report, part), dot + 1);
}

static void put(json_t *group, const char *key, const json_t *a, const json_t *b, bool equal_too)
{
    if ((!a && !b) || (!equal_too && a && b && json_equal(a, b)))
        return;
    json_object_set_new(group, key, json_pack("[O, O]", a ? a : json_null(), b ? b : json_null()));
}

/* Members of either; a setting that one of them has not is of another lorafs. */
static json_t *members_of(const json_t *a, const json_t *b, bool equal_too)
{
    json_t *out = json_object(), *v;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)a, key, v)
        put(out, key, v, json_object_get(b, key), equal_too);
    json_object_foreach((json_t *)(uintptr_t)b, key, v)
        if (!json_object_get(a, key))
            put(out, key, NULL, v, equal_too);
    return out;
}

static json_t *values_of(const struct told *a, const struct told *b, const char *const *paths,
                         bool equal_too)
{
    json_t *out = json_object();
    for (; *paths; paths++)
        put(out, *paths, value_at(a->report, *paths), value_at(b->report, *paths), equal_too);
    return out;
}

static json_t *compare(const struct told *a, const struct told *b)
{
    static const char *const origin[] = {"parent", "code", NULL};
    static const char *const rows[] = {"data.rows",   "data.validation_rows", "data.tokens",
                                       "data.sha256", "data.eval_sha256",     NULL};
    static const char *const scores[] = {"eval.score", "base.score",      "train.eval_loss",
                                         "train.loss", "train.last_loss", NULL};
    static const char *const figures[] = {"train.steps",   "train.kept_step",    "train.tokens",
                                          "train.seconds", "train.memory_bytes", NULL};
    return json_pack("{s:[s, s], s:o, s:o, s:o, s:o, s:o, s:o}", "versions", a->name, b->name,
                     "settings", members_of(a->settings, b->settings, false), "origin",
                     values_of(a, b, origin, false), "rows", values_of(a, b, rows, false), "scores",
                     values_of(a, b, scores, true), "figures", values_of(a, b, figures, true),
                     "eval_loss_by_step", members_of(a->evals, b->evals, true));
}

/* ---- Shown ----------------------------------------------------------------------------------- */

static void cell(char out[64], const json_t *v)
{
    char *text = json_is_real(v) ? NULL : json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (json_is_real(v))
        snprintf(out, 64, "%.6g", json_real_value(v));
    else
        snprintf(out, 64, "%.40s", json_is_null(v) ? "-" : text ? text : "");
    free(text);
}

static void print_table(const json_t *all)
{
    const char *group, *key;
    json_t *values, *pair;
    const json_t *names = json_object_get(all, "versions");
    printf("%-24s %-24s %s\n", "", json_string_value(json_array_get(names, 0)),
           json_string_value(json_array_get(names, 1)));
    json_object_foreach((json_t *)(uintptr_t)all, group, values) {
        if (!json_is_object(values) || json_object_size(values) == 0)
            continue;
        printf("%s\n", group);
        json_object_foreach(values, key, pair) {
            char a[64], b[64];
            cell(a, json_array_get(pair, 0));
            cell(b, json_array_get(pair, 1));
            printf("  %-22s %-24s %s\n", key, a, b);
        }
    }
}

struct diff {
    const char *other; /* the second version */
    bool json;
};

static enum lf_err diff(void *arg, struct lf_remote *c, const char *word, struct lf_diag *diag)
{
    const struct diff *d = arg;
    struct told a = {.name = ""}, b = a;
    enum lf_err rc = tell(c, word, &a, diag);
    if (rc != LF_OK)
        lf_fail_within(diag, rc, "%s", word);
    if (rc == LF_OK && (rc = tell(c, d->other, &b, diag)) != LF_OK)
        lf_fail_within(diag, rc, "%s", d->other);
    if (rc == LF_OK) {
        json_auto_t *all = compare(&a, &b);
        if (d->json)
            lf_print_json(all);
        else
            print_table(all);
    }
    told_free(&a);
    told_free(&b);
    return rc;
}

int lf_cmd_diff(int argc, char **argv)
{
    struct lf_remote_options o = {0};
    struct diff d = {NULL, false};
    const struct lf_option options[] = {
        {"json", 0, LF_OPT_FLAG, NULL, &d.json, "as JSON"},
        LF_REMOTE_OPTIONS(o),
        {0},
    };
    const struct lf_usage usage = {
        "lorafs diff",
        "A B",
        "What two versions differ in: settings, rows and where they started; and their scores, "
        "figures and evaluations side by side. A version is NAME, the one that serves, or NAME/N.",
        options,
        2,
        2,
        "  lorafs diff viggo/2 viggo"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    d.other = args.v[1];
    return lf_remote_each(&usage, &o, &args, 1, diff, &d);
}
