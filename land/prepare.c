/* A task's rows: from a publisher's files, or from rows that are prepared already, to what trains
 * and what scores. Rows that score come first, so that none of them is trained on. */
#include "land/task.h"

#include "core/file.h"
#include "core/grow.h"
#include "core/num.h"
#include "land/columns.h"
#include "land/task_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum pass { PASS_SHOTS, PASS_TEST, PASS_TRAIN };

static const struct lf_rows_form prepared_form = {.format = "jsonl", .encoding = ""};

/* Where the rows of a pass come from. */
struct origin {
    bool prepared;
    struct lf_task_part part; /* of the task's file, when not prepared */
    char path[LF_PATH_MAX];   /* of the rows, when prepared */
    int percent;              /* of them are scored, the others trained on; 0: all are the pass's */
    const char *split_by;     /* column whose equal values stay together; "": the prompt */
};

struct preparation {
    const struct lf_task *t;
    const struct lf_task_options *o;
    struct lf_task_rows made;
    char dir[LF_PATH_MAX]; /* the data's */
    struct origin train, test;
    /* The pass under way */
    enum pass pass;
    const struct origin *origin;
    struct lf_columns columns;
    struct lf_task_dir_file *file;
    struct lf_buf shots; /* the examples, as text */
    int n_shots;
    uint64_t shot[LF_STUDY_SHOTS_MAX]; /* hashes of their prompts */
    uint64_t *seen; /* hashes of the prompts that are scored, sorted before PASS_TRAIN */
    size_t n_seen, cap_seen;
    bool cut;    /* rows were left to a limit */
    json_t *hub; /* the source as a folder of the hub's; owned */
};

/* ---- Hashes ---------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *s, size_t n)
{
    char hex[LF_SHA256_HEX];
    lf_sha256_hex(hex, s, n);
    hex[16] = '\0';
    return strtoull(hex, NULL, 16);
}

static uint64_t hash_text(const json_t *v)
{
    if (json_is_string(v))
        return hash_of(json_string_value(v), json_string_length(v));
    char *s = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    uint64_t h = hash_of(s ? s : "", s ? strlen(s) : 0);
    free(s);
    return h;
}

static enum lf_err remember(struct preparation *p, uint64_t h, struct lf_diag *diag)
{
    if (lf_grow(&p->seen, &p->cap_seen, p->n_seen + 1, sizeof *p->seen) != LF_OK)
        return lf_no_memory(diag, "the prompts");
    p->seen[p->n_seen++] = h;
    return LF_OK;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static bool is_text(const json_t *v)
{
    return json_is_string(v) && json_string_length(v) > 0;
}

/* A prepared row as it is; NULL: it has no answer. */
static enum lf_err take_prepared(json_t *row, json_t **out, struct lf_diag *diag)
{
    const json_t *completion = json_object_get(row, "completion");
    *out = NULL;
    if (!is_text(json_object_get(row, "prompt")) || !json_is_string(completion))
        return lf_fail(diag, LF_E_INVALID, "no \"prompt\" and \"completion\"");
    json_object_del(row, "file");
    if (is_text(completion))
        *out = json_incref(row);
    return LF_OK;
}

/* Whether the row is of the pass, where one file has rows of both. */
static bool of_the_pass(const struct preparation *p, const json_t *columns, const json_t *row)
{
    const struct origin *from = p->origin;
    if (from->percent == 0)
        return true;
    const json_t *by = from->split_by[0] ? json_object_get(columns, from->split_by)
                                         : json_object_get(row, "prompt");
    bool scored = hash_text(by) % 100 < (uint64_t)from->percent;
    return scored == (p->pass == PASS_TEST);
}

static enum lf_err put_row(struct preparation *p, json_t *row, struct lf_diag *diag)
{
    const json_t *prompt = json_object_get(row, "prompt");
    if (p->shots.len > 0) {
        json_t *whole = json_sprintf("%s%s", p->shots.data, json_string_value(prompt));
        if (!whole || json_object_set_new(row, "prompt", whole) != 0)
            return lf_no_memory(diag, "a row");
    }
    return lf_task_dir_put(p->file, row, diag);
}

static bool is_shot(const struct preparation *p, uint64_t h)
{
    for (int i = 0; i < p->n_shots; i++)
        if (p->shot[i] == h)
            return true;
    return false;
}

/* Examples have prompts of their own. */
static enum lf_err add_shot(struct preparation *p, const json_t *row, uint64_t h,
                            struct lf_diag *diag)
{
    if (is_shot(p, h))
        return LF_OK;
    p->shot[p->n_shots] = h;
    lf_buf_puts(&p->shots, json_string_value(json_object_get(row, "prompt")));
    lf_buf_puts(&p->shots, json_string_value(json_object_get(row, "completion")));
    if (lf_buf_puts(&p->shots, "\n\n") != LF_OK)
        return lf_fail(diag, p->shots.rc, "no memory for the examples");
    p->n_shots++;
    return p->n_shots == p->made.shots || p->n_shots == LF_STUDY_SHOTS_MAX ? LF_E_CANCELLED : LF_OK;
}

/* Whether a row is one more than the limit's; 0: there is none. */
static bool is_full(struct preparation *p, int64_t n, int64_t most)
{
    bool full = most > 0 && n == most;
    p->cut = p->cut || full;
    return full;
}

static enum lf_err add_row(struct preparation *p, json_t *row, struct lf_diag *diag)
{
    struct lf_task_rows *made = &p->made;
    uint64_t h = hash_text(json_object_get(row, "prompt"));
    if (p->pass == PASS_SHOTS)
        return add_shot(p, row, h, diag);
    if (p->pass == PASS_TEST) {
        made->test_found++;
        enum lf_err rc = remember(p, h, diag);
        if (rc != LF_OK || is_full(p, made->test, p->o->test_max))
            return rc;
        made->test++;
        return put_row(p, row, diag);
    }
    made->train_found++;
    if (is_shot(p, h)) /* its answer stands in its prompt */
        return LF_OK;
    if (p->n_seen > 0 && bsearch(&h, p->seen, p->n_seen, sizeof h, lf_order_u64)) {
        made->leaked++;
        return LF_OK;
    }
    if (is_full(p, made->train, p->o->train_max))
        return LF_OK;
    made->train++;
    return put_row(p, row, diag);
}

static enum lf_err on_row(void *arg, json_t *columns, int64_t line, struct lf_diag *diag)
{
    struct preparation *p = arg;
    json_auto_t *row = NULL;
    bool wanted = true;
    (void)line;
    enum lf_err rc = p->origin->prepared
                         ? take_prepared(columns, &row, diag)
                         : lf_columns_row(&p->columns, columns, &row, &wanted, diag);
    if (rc == LF_OK && !row && wanted && p->pass != PASS_SHOTS)
        p->made.left_out += p->origin->percent == 0 || p->pass == PASS_TEST;
    if (rc == LF_OK && row && of_the_pass(p, columns, row))
        rc = add_row(p, row, diag);
    return rc;
}

static enum lf_err run_pass(struct preparation *p, enum pass pass, struct lf_diag *diag)
{
    enum lf_err rc;
    p->pass = pass;
    p->origin = pass == PASS_TEST ? &p->test : &p->train;
    if (p->origin->prepared) {
        rc = lf_rows_read(p->origin->path, &prepared_form, on_row, p, diag);
    } else {
        rc = lf_columns_open(&p->columns, &p->origin->part, p->dir, diag);
        rc = rc ?: lf_columns_read(&p->columns, on_row, p, diag);
        lf_columns_close(&p->columns);
    }
    return rc == LF_E_CANCELLED ? LF_OK : rc;
}

/* ---- Where the rows come from ---------------------------------------------------------------- */

/* Ends the reading as cancelled where the first row is a prepared one. */
static enum lf_err on_first(void *arg, json_t *row, int64_t line, struct lf_diag *diag)
{
    (void)arg;
    (void)line;
    (void)diag;
    return is_text(json_object_get(row, "prompt")) &&
                   json_is_string(json_object_get(row, "completion"))
               ? LF_E_CANCELLED
               : LF_E_INVALID;
}

static bool find_prepared(struct preparation *p, struct origin *o, const char *name)
{
    o->prepared = lf_path_join(o->path, p->dir, name, NULL) == LF_OK && lf_file_exists(o->path) &&
                  lf_rows_read(o->path, &prepared_form, on_first, NULL, NULL) == LF_E_CANCELLED;
    return o->prepared;
}

static void take_source(struct preparation *p, const json_t *source)
{
    const struct lf_task_part part = {p->t->file, source, NULL};
    struct lf_task_rows *made = &p->made;
    const char *fidelity = lf_task_string(&part, "fidelity");
    snprintf(made->source, sizeof made->source, "%s", lf_task_string(&part, "source"));
    snprintf(made->licence, sizeof made->licence, "%s", lf_task_string(&part, "licence"));
    snprintf(made->fidelity_text, sizeof made->fidelity_text, "%s",
             fidelity[0] ? fidelity : lf_fidelity_name(LF_FIDELITY_EXACT));
    made->fidelity = lf_fidelity_of(made->fidelity_text);
}

/* One file for both: by the task, or because the other one is not there. */
static void share(struct preparation *p, struct lf_task_part part, int percent)
{
    p->train = p->test = (struct origin){
        .part = part, .percent = percent, .split_by = lf_task_string(&part, "split_by")};
}

/* Takes the source if all its files are there; else *missing is one that is not. */
static bool try_whole(struct preparation *p, const json_t *source, const char **missing)
{
    struct lf_task_part all = {p->t->file, source, json_object_get(source, "all")};
    struct lf_task_part train = {p->t->file, source, json_object_get(source, "train")};
    struct lf_task_part test = {p->t->file, source, json_object_get(source, "test")};
    if (all.split) {
        if (lf_columns_missing(&all, p->dir, missing) > 0)
            return false;
        share(p, all, (int)json_integer_value(json_object_get(source, "test_percent")));
    } else {
        if (lf_columns_missing(&train, p->dir, missing) > 0 ||
            lf_columns_missing(&test, p->dir, missing) > 0)
            return false;
        p->train = (struct origin){.part = train, .split_by = ""};
        p->test = (struct origin){.part = test, .split_by = ""};
    }
    take_source(p, source);
    return true;
}

/* A split of the source, with its other members, out of the hub's files. */
static json_t *hub_split(const json_t *split, const char *folder, const char *name)
{
    json_t *files = json_pack("[s++]", folder, name, "-*.parquet");
    if (!json_is_object(split))
        return files;
    json_t *out = json_copy((json_t *)(uintptr_t)split);
    json_object_set_new(out, "files", files);
    return out;
}

/* A data set's folder as the Hugging Face hub has it: Parquet files of each split, below data/, a
 * configuration's name or nothing. Their columns are those of the publisher's files. */
static bool try_hub(struct preparation *p, const json_t *source)
{
    static const char *const folders[] = {"data/", "*/", ""};
    static const char *const of_text[] = {"columns", "encoding", "rows"};
    const json_t *train = json_object_get(source, "train"), *test = json_object_get(source, "test");
    const char *scored = strcmp(p->t->evaluated, "validation") == 0 ? "validation" : "test";
    const char *missing;
    if (!train || !test)
        return false;
    json_decref(p->hub);
    p->hub = json_copy((json_t *)(uintptr_t)source);
    for (size_t i = 0; i < sizeof of_text / sizeof *of_text; i++)
        json_object_del(p->hub, of_text[i]);
    json_object_set_new(p->hub, "format", json_string("rows"));
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        json_object_set_new(p->hub, "train", hub_split(train, folders[i], "train"));
        json_object_set_new(p->hub, "test", hub_split(test, folders[i], scored));
        if (try_whole(p, p->hub, &missing))
            return true;
    }
    return false;
}

/* Takes the source if one of its two splits is there, and shares that one out. */
static bool try_half(struct preparation *p, const json_t *source, int percent)
{
    static const char *const splits[] = {"train", "test"};
    for (int i = 0; i < 2; i++) {
        struct lf_task_part part = {p->t->file, source, json_object_get(source, splits[i])};
        const char *missing;
        if (!part.split || lf_columns_missing(&part, p->dir, &missing) > 0)
            continue;
        share(p, part, percent);
        take_source(p, source);
        p->made.fidelity = LF_FIDELITY_OTHER_SPLIT;
        snprintf(p->made.fidelity_text, sizeof p->made.fidelity_text,
                 "other split: %d%% of the %s rows are scored, the others trained on", percent,
                 splits[i]);
        return true;
    }
    return false;
}

/* The data's folder: data/<name>, where that is there. */
static void find_dir(struct preparation *p, const char *data)
{
    struct stat st;
    if (lf_path_join(p->dir, data, p->t->name, NULL) != LF_OK || stat(p->dir, &st) != 0 ||
        !S_ISDIR(st.st_mode))
        snprintf(p->dir, sizeof p->dir, "%s", data);
}

/* What is known of prepared rows: what this program wrote beside them, or a SOURCE.md. */
static void take_notes(struct lf_task_rows *made, const char *dir)
{
    struct lf_task_rows before;
    if (lf_task_dir_read(&before, dir, NULL) == LF_OK) {
        memcpy(made->fidelity_text, before.fidelity_text, sizeof made->fidelity_text);
        memcpy(made->source, before.source, sizeof made->source);
        memcpy(made->licence, before.licence, sizeof made->licence);
        made->fidelity = before.fidelity;
    } else {
        lf_task_dir_source_md(made, dir);
    }
    made->prepared = true;
}

static enum lf_err find_rows(struct preparation *p, struct lf_diag *diag)
{
    const json_t *data = json_object_get(p->t->file, "data");
    const char *missing = "", *of_another;
    if (!lf_file_exists(p->dir))
        return lf_fail(diag, LF_E_NOT_FOUND, "%s is not there", p->dir);
    p->train.split_by = p->test.split_by = "";
    if (find_prepared(p, &p->train, "train.jsonl") && find_prepared(p, &p->test, "test.jsonl")) {
        take_notes(&p->made, p->dir);
        return LF_OK;
    }
    for (size_t i = 0; i < json_array_size(data); i++)
        if (try_whole(p, json_array_get(data, i), i == 0 ? &missing : &of_another))
            return LF_OK;
    for (size_t i = 0; i < json_array_size(data); i++)
        if (try_hub(p, json_array_get(data, i)))
            return LF_OK;
    for (size_t i = 0; p->o->test_percent > 0 && i < json_array_size(data); i++)
        if (try_half(p, json_array_get(data, i), p->o->test_percent))
            return LF_OK;
    return lf_fail(diag, LF_E_NOT_FOUND,
                   "%s has no %s, and no train.jsonl and test.jsonl of prompts and completions; "
                   "to get it: %s",
                   p->dir, missing, p->t->get);
}

/* ---- All of it ------------------------------------------------------------------------------- */

/* Exact are the study's rows, all of them, behind the study's examples: what was cut for a quick
 * look or has other counts is near. Rows that were prepared elsewhere are taken at their word, cut
 * they are not exact either. */
static void compare_with_study(struct lf_task_rows *made, const struct lf_task *t, bool cut)
{
    int64_t want_test =
        strcmp(t->evaluated, "validation") == 0 ? t->study_validation : t->study_test;
    bool counts = (t->study_train == 0 || made->train_found == t->study_train) &&
                  (want_test == 0 || made->test_found == want_test);
    int want_shots = made->prepared ? 0 : t->shots;
    if (made->fidelity != LF_FIDELITY_EXACT)
        return;
    if ((made->prepared || counts) && !cut && made->shots == want_shots)
        return;
    made->fidelity = LF_FIDELITY_NEAR;
    snprintf(made->fidelity_text, sizeof made->fidelity_text,
             "near: %lld of %lld rows to train on and %lld of %lld to score, %d examples in a "
             "prompt; the study has %lld, %lld and %d",
             (long long)made->train, (long long)made->train_found, (long long)made->test,
             (long long)made->test_found, made->shots, (long long)t->study_train,
             (long long)want_test, t->shots);
}

static enum lf_err run_passes(struct preparation *p, struct lf_task_dir_file *train,
                              struct lf_task_dir_file *test, struct lf_diag *diag)
{
    enum lf_err rc = p->made.shots > 0 ? run_pass(p, PASS_SHOTS, diag) : LF_OK;
    p->made.shots = p->n_shots;
    p->file = test;
    rc = rc ?: run_pass(p, PASS_TEST, diag);
    if (p->n_seen > 0)
        qsort(p->seen, p->n_seen, sizeof *p->seen, lf_order_u64);
    p->file = train;
    rc = rc ?: run_pass(p, PASS_TRAIN, diag);
    if (rc == LF_OK && (p->made.train == 0 || p->made.test == 0))
        rc = lf_fail(diag, LF_E_INVALID, "%s: no row %s (%lld were left out)", p->dir,
                     p->made.train == 0 ? "to train on" : "to score", (long long)p->made.left_out);
    return rc;
}

static enum lf_err write_all(struct preparation *p, const char *out, struct lf_diag *diag)
{
    struct lf_task_dir_file train = {.fd = -1}, test = {.fd = -1};
    enum lf_err rc = lf_task_dir_open(&train, out, "train.jsonl", diag);
    rc = rc ?: lf_task_dir_open(&test, out, "test.jsonl", diag);
    rc = rc ?: run_passes(p, &train, &test, diag);
    if (rc == LF_OK)
        compare_with_study(&p->made, p->t, p->cut);
    rc = rc ?: lf_task_dir_commit(&train, diag);
    rc = rc ?: lf_task_dir_commit(&test, diag);
    rc = rc ?: lf_task_dir_notes(p->t, &p->made, out, diag);
    lf_task_dir_drop(&train);
    lf_task_dir_drop(&test);
    return rc;
}

enum lf_err lf_task_prepare(const struct lf_task *t, const char *data, const char *out,
                            const struct lf_task_options *o, struct lf_task_rows *made,
                            struct lf_diag *diag)
{
    struct preparation p = {.t = t, .o = o, .shots.max = LF_PROMPT_BYTES_MAX};
    find_dir(&p, data);
    enum lf_err rc = find_rows(&p, diag);
    p.made.shots = o->has_shots ? o->shots : p.made.prepared ? 0 : t->shots;
    bool was_there = lf_file_exists(out);
    rc = rc ?: lf_dir_make(out, diag);
    rc = rc ?: write_all(&p, out, diag);
    if (rc != LF_OK && !was_there)
        rmdir(out);
    if (rc == LF_OK)
        *made = p.made;
    free(p.seen);
    json_decref(p.hub);
    lf_buf_free(&p.shots);
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", t->name);
}
