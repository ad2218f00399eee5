/* What `lorafs train` trains without a daemon, and how it ended. */
#include "tools/train_list.h"

#include "core/json.h"
#include "model/model.h"
#include "names/files.h"
#include "tools/hub_cache.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RESULT_FLAGS (JSON_INDENT(1) | JSON_REAL_PRECISION(9))

/* ---- Names ----------------------------------------------------------------------------------- */

/* "viggo" of "tasks/viggo/", "tasks/viggo.jsonl", "tasks/viggo.jsonl.gz". */
static enum lf_err name_of(char out[LF_NAME_MAX + 1], const char *path, bool is_dir,
                           struct lf_diag *diag)
{
    static const char *const packed[] = {".gz", ".zst"};
    const char *end = path + strlen(path), *start;
    while (end > path + 1 && end[-1] == '/')
        end--;
    for (start = end; start > path && start[-1] != '/'; start--)
        continue;
    size_t n = (size_t)(end - start);
    for (size_t i = 0; i < sizeof packed / sizeof *packed && !is_dir; i++) {
        size_t k = strlen(packed[i]);
        if (n > k && memcmp(end - k, packed[i], k) == 0)
            n -= k;
    }
    const char *dot = is_dir ? NULL : memrchr(start, '.', n);
    if (dot && dot > start)
        n = (size_t)(dot - start);
    snprintf(out, LF_NAME_MAX + 1, "%.*s", (int)n, start);
    return n <= LF_NAME_MAX && lf_name_ok(out)
               ? LF_OK
               : lf_fail(diag, LF_E_INVALID, "%s: '%.*s' is no name for an adapter", path, (int)n,
                         start);
}

/* DIR's file, where it is there; "" otherwise. */
static enum lf_err file_in(char out[LF_PATH_MAX], const char *dir, enum lf_file_kind kind,
                           struct lf_diag *diag)
{
    enum lf_err rc = lf_path_join(out, dir, lf_files[kind].disk, diag);
    if (rc == LF_OK && !lf_file_exists(out))
        out[0] = '\0';
    return rc;
}

/* ---- Settings -------------------------------------------------------------------------------- */

/* The directory's config.json and template; NULL where it has neither. */
static enum lf_err settings_in(json_t **out, const char *dir, struct lf_diag *diag)
{
    char config[LF_PATH_MAX], template_[LF_PATH_MAX];
    json_t *j = NULL;
    lf_buf_auto text = {0};
    enum lf_err rc = file_in(config, dir, LF_FILE_CONFIG, diag);
    rc = rc ?: file_in(template_, dir, LF_FILE_TEMPLATE, diag);
    if (rc == LF_OK && config[0])
        rc = lf_json_load(&j, config, diag);
    if (rc == LF_OK && j && !json_is_object(j))
        rc = lf_fail(diag, LF_E_INVALID, "%s: not a JSON object", config);
    if (rc == LF_OK && template_[0])
        rc = lf_file_read(&text, template_, lf_files[LF_FILE_TEMPLATE].bytes_max, diag);
    if (rc == LF_OK && text.len > 0) {
        j = j ? j : json_object();
        if (json_object_set_new(j, "template", json_stringn(text.data, text.len)) != 0)
            rc = lf_fail(diag, LF_E_INVALID, "%s: not UTF-8", template_);
    }
    if (rc == LF_OK)
        *out = j;
    else
        json_decref(j);
    return rc;
}

/* The directory's (NULL: none), and over them what the command line says. */
static enum lf_err settings_of(struct lf_train_item *it, const struct lf_train_flags *o,
                               const char *dir, struct lf_diag *diag)
{
    json_auto_t *given = NULL;
    struct lf_train_settings s;
    enum lf_err rc = lf_settings_of(&given, &o->settings, diag);
    if (rc == LF_OK && dir)
        rc = settings_in(&it->settings, dir, diag);
    if (rc == LF_OK && given && it->settings && json_object_update(it->settings, given) != 0)
        rc = lf_no_memory(diag, "the settings");
    if (rc == LF_OK && !it->settings)
        it->settings = json_incref(given);
    if (rc == LF_OK && (rc = lf_train_item_settings(it, &s, diag)) == LF_OK)
        lf_train_settings_free(&s);
    else if (rc == LF_E_INVALID && (dir || o->settings.file))
        lf_fail_within(diag, rc, "%s", dir ? dir : o->settings.file);
    return rc;
}

enum lf_err lf_train_item_settings(const struct lf_train_item *it, struct lf_train_settings *out,
                                   struct lf_diag *diag)
{
    if (!it->settings) {
        lf_train_settings_default(out);
        return LF_OK;
    }
    enum lf_err rc = lf_train_settings_parse(out, it->settings, diag);
    if (rc != LF_OK || !out->from[0])
        return rc;
    lf_train_settings_free(out);
    return lf_fail(diag, LF_E_INVALID,
                   "\"from\" names a version of a daemon's; here it is --init-adapter");
}

/* ---- The list -------------------------------------------------------------------------------- */

static enum lf_err add_file(struct lf_buf *text, const char *path, struct lf_diag *diag)
{
    char digest[LF_SHA256_HEX] = "";
    enum lf_err rc = path[0] ? lf_sha256_file(digest, path, diag) : LF_OK;
    lf_buf_printf(text, "%s\n", digest);
    return rc;
}

static enum lf_err make_key(struct lf_train_item *it, const struct lf_train_flags *o,
                            const char *base, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    lf_buf_printf(&text, "%s %d\n", base, o->o.quant);
    (void)!lf_json_put(&text, it->settings ? json_incref(it->settings) : json_object(),
                       JSON_SORT_KEYS | JSON_COMPACT);
    enum lf_err rc = add_file(&text, it->rows, diag) ?: add_file(&text, it->eval, diag);
    return rc != LF_OK        ? rc
           : text.rc != LF_OK ? lf_no_memory(diag, "the settings")
                              : lf_sha256_of(it->key, text.data, text.len, diag);
}

/* The one of --dataset, whose files are where the options say. */
static enum lf_err only(struct lf_train_item *it, const struct lf_train_flags *o,
                        struct lf_diag *diag)
{
    const char *const from[] = {o->dataset, o->eval, o->out, o->log, o->checkpoint};
    char *const to[] = {it->rows, it->eval, it->out, it->log, it->checkpoint};
    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        if (from[i] && snprintf(to[i], LF_PATH_MAX, "%s", from[i]) >= LF_PATH_MAX)
            return lf_fail(diag, LF_E_INVALID, "'%.80s...' is too long", from[i]);
    return settings_of(it, o, NULL, diag);
}

static enum lf_err one_of(struct lf_train_item *it, const struct lf_train_flags *o,
                          const char *base, const char *arg, struct lf_diag *diag)
{
    struct stat st;
    if (stat(arg, &st) != 0)
        return lf_fail_errno(diag, errno, "%s", arg);
    bool is_dir = S_ISDIR(st.st_mode);
    it->arg = arg;
    enum lf_err rc = name_of(it->name, arg, is_dir, diag);
    if (rc == LF_OK && is_dir) {
        rc = lf_path_join(it->rows, arg, lf_files[LF_FILE_DATASET].disk, diag);
        rc = rc ?: file_in(it->eval, arg, LF_FILE_EVAL, diag);
    } else if (rc == LF_OK && snprintf(it->rows, LF_PATH_MAX, "%s", arg) >= LF_PATH_MAX) {
        rc = lf_fail(diag, LF_E_INVALID, "'%.80s...' is too long", arg);
    }
    rc = rc ?: lf_path_join(it->dir, o->out, it->name, diag);
    rc = rc ?: lf_path_join(it->out, it->dir, "adapter", diag);
    rc = rc ?: lf_path_join(it->log, it->dir, "log.jsonl", diag);
    rc = rc
             ?: lf_path_join(it->checkpoint, o->checkpoint ? o->checkpoint : it->dir,
                             o->checkpoint ? it->name : "checkpoint", diag);
    rc = rc ?: settings_of(it, o, is_dir ? arg : NULL, diag);
    return rc ?: make_key(it, o, base, diag);
}

static enum lf_err check_names(const struct lf_train_list *l, const struct lf_args *args,
                               struct lf_diag *diag)
{
    for (int i = 1; i < l->n; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(l->items[i].name, l->items[k].name) == 0)
                return lf_fail(diag, LF_E_INVALID, "%s and %s would both be '%s'", args->v[k],
                               args->v[i], l->items[i].name);
    return LF_OK;
}

enum lf_err lf_train_list_make(struct lf_train_list *out, const struct lf_train_flags *o,
                               const char *base, const struct lf_args *args, struct lf_diag *diag)
{
    char digest[LF_SHA256_HEX];
    *out = (struct lf_train_list){.n = args->n > 0 ? args->n : 1};
    out->items = calloc((size_t)out->n, sizeof *out->items);
    if (!out->items)
        return lf_no_memory(diag, "the adapters");
    if (args->n == 0)
        return only(&out->items[0], o, diag);
    enum lf_err rc = lf_model_dir_digest(digest, base, diag);
    for (int i = 0; i < out->n && rc == LF_OK; i++)
        rc = one_of(&out->items[i], o, digest, args->v[i], diag);
    return rc ?: check_names(out, args, diag);
}

void lf_train_list_free(struct lf_train_list *l)
{
    for (int i = 0; i < l->n && l->items; i++)
        json_decref(l->items[i].settings);
    free(l->items);
    *l = (struct lf_train_list){0};
}

/* ---- Results --------------------------------------------------------------------------------- */

json_t *lf_train_result_read(const struct lf_train_item *it)
{
    char path[LF_PATH_MAX];
    json_t *j = NULL;
    if (!it->name[0] || lf_path_join(path, it->dir, "result.json", NULL) != LF_OK ||
        !lf_file_exists(path) || lf_json_load(&j, path, NULL) != LF_OK)
        return NULL;
    if (strcmp(lf_json_text_of(j, "key"), it->key) == 0)
        return j;
    json_decref(j);
    return NULL;
}

enum lf_err lf_train_result_write(const struct lf_train_item *it, json_t *report, const char *why,
                                  struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_t *j = json_pack("{s:s, s:s, s:s, s:s*}", "adapter", it->name, "key", it->key, "state",
                          why ? "failed" : "done", "reason", why);
    if (report && json_object_update(j, report) != 0) {
        json_decref(j);
        j = NULL;
    }
    json_decref(report);
    enum lf_err rc = lf_path_join(path, it->dir, "result.json", diag) ?: lf_dir_make(it->dir, diag);
    if (rc != LF_OK)
        json_decref(j);
    return rc ?: lf_json_write(path, j, RESULT_FLAGS, diag);
}

enum lf_err lf_train_result_forget(const struct lf_train_item *it, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, it->dir, "result.json", diag);
    return rc != LF_OK || !lf_file_exists(path) ? rc : lf_file_remove(path, diag);
}

static void print_real(const json_t *r, const char *key, const char *what)
{
    double x = lf_json_real_of(r, key);
    if (isfinite(x))
        printf(", %s %.4f", what, x);
}

static long long count(const json_t *r, const char *key)
{
    return (long long)json_integer_value(json_object_get(r, key));
}

static void print_line(const char *what, const json_t *r)
{
    printf("%s: %lld steps over %lld rows, %lld tokens in %.1f s (%.0f tok/s)", what,
           count(r, "steps"), count(r, "rows"), count(r, "tokens"),
           lf_json_real_of(r, "train_seconds"), lf_json_real_of(r, "tokens_per_second"));
    print_real(r, "smoothed_loss", "loss");
    print_real(r, "reward_margin", "reward margin");
    print_real(r, "eval_loss", "eval loss");
    print_real(r, "eval_reward_margin", "eval reward margin");
    print_real(r, "eval_reward_accuracy", "eval reward accuracy");
    if (count(r, "validation_rows") > 0)
        printf(" on %lld rows held out", count(r, "validation_rows"));
    if (count(r, "kept_step") > 0)
        printf(" at step %lld, which is kept", count(r, "kept_step"));
    printf("\n");
}

bool lf_train_result_print(const struct lf_train_item *it, const json_t *result, bool json)
{
    bool failed = strcmp(lf_json_text_of(result, "state"), "failed") == 0;
    if (failed)
        fprintf(stderr, "%s: %s\n", it->name, lf_json_text_of(result, "reason"));
    if (json) {
        json_dumpf(result, stdout, JSON_REAL_PRECISION(6));
        putchar('\n');
    } else if (!failed) {
        print_line(it->out, result);
    }
    return !failed;
}
