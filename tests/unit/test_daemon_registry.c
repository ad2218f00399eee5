/* LIBS: lf_daemon lf_meta lf_core */
/* The registry: what goes in, what is refused, what is shown, and what a crash may have left. */
#include "tests/unit/daemon_rig.h"

#include "core/json.h"
#include "trainer/settings.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sys/stat.h>

static int setup(void **state)
{
    struct rig *r = malloc(sizeof *r);
    rig_open(r);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

static void make(struct rig *r, const char *name)
{
    struct lf_diag diag = {""};
    must(lf_registry_create(r->registry, name, NULL, &diag), &diag);
}

static void status_is(struct rig *r, const char *name, const char *line)
{
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    struct lf_buf b;
    lf_buf_init(&b, 0);
    must(lf_registry_view(r->registry, name, &v, &diag), &diag);
    assert_int_equal(lf_adapter_status_line(&b, &v), LF_OK);
    assert_string_equal(b.data, line);
    lf_buf_free(&b);
}

static void error_starts(struct rig *r, const char *name, const char *line)
{
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    struct lf_buf b;
    lf_buf_init(&b, 0);
    must(lf_registry_view(r->registry, name, &v, &diag), &diag);
    assert_int_equal(lf_adapter_error_line(&b, &v), LF_OK);
    assert_int_equal(b.len == 0, *line == '\0');
    assert_int_equal(strncmp(b.data, line, strlen(line)), 0);
    lf_buf_free(&b);
}

static json_t *tree(struct rig *r)
{
    struct lf_diag diag = {""};
    struct lf_buf b;
    json_t *j = NULL;
    lf_buf_init(&b, 0);
    assert_int_equal(lf_registry_tree(r->registry, NULL, NULL, &b), LF_OK);
    must(lf_json_parse(&j, b.data, b.len, &diag), &diag);
    lf_buf_free(&b);
    return j;
}

static bool has(struct rig *r, const char *path)
{
    char full[LF_PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", r->dir, path);
    return lf_file_exists(full);
}

static void names_are_checked_and_unique(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag;
    static const char *const bad[] = {
        "",         ".",
        "..",       ".x",
        "a/b",      "a b",
        "\xc3\xa4", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(lf_registry_create(r->registry, bad[i], NULL, &diag), LF_E_INVALID);
    make(r, "a");
    make(r, "b");
    assert_int_equal(lf_registry_create(r->registry, "a", NULL, &diag), LF_E_EXISTS);
    assert_int_equal(lf_registry_rename(r->registry, "a", "b", &diag), LF_E_EXISTS);
    assert_int_equal(lf_registry_rename(r->registry, "a", "../c", &diag), LF_E_INVALID);
    assert_int_equal(lf_registry_rename(r->registry, "x", "c", &diag), LF_E_NOT_FOUND);
    must(lf_registry_rename(r->registry, "a", "c", &diag), &diag);
    status_is(r, "c", "empty");
    rig_reopen(r);
    status_is(r, "c", "empty");
}

static void a_removed_adapter_lies_in_the_trash(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    uint64_t id;
    make(r, "a");
    must(lf_registry_remove(r->registry, "a", &id, &diag), &diag);
    assert_int_equal(lf_registry_remove(r->registry, "a", &id, &diag), LF_E_NOT_FOUND);
    assert_false(has(r, "adapters/1"));
    make(r, "a");
}

/* The number of things in the trash. */
static size_t trashed(struct rig *r)
{
    struct lf_diag diag = {""};
    json_t *list = NULL;
    must(lf_registry_trash_list(r->registry, &list, &diag), &diag);
    size_t n = json_array_size(list);
    json_decref(list);
    return n;
}

static void what_has_lain_in_the_trash_for_seven_days_goes(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    uint64_t id;
    char trash[LF_PATH_MAX];
    snprintf(trash, sizeof trash, "%s/trash/1-old-7", r->dir); /* says the clock: in 1970 */
    must(lf_dir_make(trash, &diag), &diag);
    lf_registry_trash_expire(r->registry, 6 * 24 * 3600);
    make(r, "a");
    must(lf_registry_remove(r->registry, "a", &id, &diag), &diag);
    assert_int_equal(trashed(r), 2);
    rig_reopen(r);
    lf_registry_trash_expire(r->registry, 24 * 3600);
    assert_int_equal(trashed(r), 1);
    assert_false(has(r, "trash/1-old-7"));
    lf_registry_trash_expire(r->registry, 6 * 24 * 3600);
    assert_int_equal(trashed(r), 0);
}

static void a_removed_adapter_comes_back_as_it_was(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    struct lf_adapter_view is;
    struct lf_restored back;
    char peft[80];
    int32_t n;
    uint64_t id;
    int64_t bytes;
    snprintf(peft, sizeof peft, "%s/peft", r->dir);
    make(r, "a");
    for (uint64_t seed = 1; seed < 4; seed++) {
        rig_peft(r, peft, seed);
        must(lf_registry_import(r->registry, "a", peft, &n, &diag), &diag);
    }
    must(lf_registry_rollback(r->registry, "a", 2, &diag), &diag);
    must(lf_registry_remove(r->registry, "a", &id, &diag), &diag);
    make(r, "a");
    assert_int_equal(lf_registry_trash_restore(r->registry, "a", NULL, &back, &diag), LF_E_EXISTS);
    assert_int_equal(lf_registry_trash_restore(r->registry, "x", NULL, &back, &diag),
                     LF_E_NOT_FOUND);
    must(lf_registry_trash_restore(r->registry, "a", "b", &back, &diag), &diag);
    assert_string_equal(back.name, "b");
    assert_int_equal(back.version, 0);
    for (int again = 0; again < 2; again++) {
        must(lf_registry_view(r->registry, "b", &is, &diag), &diag);
        assert_int_equal(is.record.current, 2);
        assert_int_equal(is.record.versions, 3);
        assert_string_equal(is.record.trouble, "");
        rig_reopen(r);
    }
    assert_int_equal(trashed(r), 0);
    must(lf_registry_remove(r->registry, "a", &id, &diag), &diag);
    must(lf_registry_remove(r->registry, "b", &id, &diag), &diag);
    must(lf_registry_trash_empty(r->registry, "b", &bytes, &diag), &diag);
    assert_true(bytes > 0);
    assert_int_equal(trashed(r), 1);
    must(lf_registry_trash_empty(r->registry, NULL, &bytes, &diag), &diag);
    assert_int_equal(trashed(r), 0);
}

static void a_bad_file_is_refused_and_named_and_the_old_one_stays(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    make(r, "a");
    must(rig_put_text(r, "a", "dataset.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\"}\n", &diag),
         &diag);
    static const char second_is_bad[] = "{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\":1}\n";
    assert_int_equal(rig_put_text(r, "a", "dataset.jsonl", second_is_bad, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "line 2"));
    struct lf_adapter_view v;
    must(lf_registry_view(r->registry, "a", &v, &diag), &diag);
    assert_int_equal(v.state, LF_ADAPTER_FAILED);
    error_starts(r, "a", "dataset.jsonl: line 2");
    json_t *j = tree(r);
    json_t *a = json_array_get(json_object_get(j, "adapters"), 0);
    json_t *f = json_object_get(json_object_get(a, "files"), "dataset.jsonl");
    assert_int_equal(json_integer_value(json_array_get(f, 0)), 32);
    json_decref(j);
    must(rig_put_text(r, "a", "dataset.jsonl", "{\"prompt\":\"a\",\"completion\":\"c\"}\n", &diag),
         &diag);
    status_is(r, "a", "empty");
    error_starts(r, "a", "");
    assert_int_equal(rig_put_text(r, "a", "config.json", "{\"rank\":0}", &diag), LF_E_INVALID);
    assert_int_equal(rig_put_text(r, "a", "config.json", "{", &diag), LF_E_INVALID);
    assert_int_equal(rig_put_text(r, "a", "config.json", "{\"base\":\"other\"}", &diag),
                     LF_E_INVALID);
    assert_int_equal(rig_put_text(r, "a", "template", "{prompt", &diag), LF_E_INVALID);
    assert_int_equal(rig_put(r, "a", "prompt", "a\0b", 3, &diag), LF_E_INVALID);
    must(rig_put_text(r, "a", "prompt", "hello\n", &diag), &diag);
    assert_int_equal(rig_put_text(r, "a", "log", "x", &diag), LF_E_READ_ONLY);
    assert_int_equal(rig_put_text(r, "b", "prompt", "x", &diag), LF_E_NOT_FOUND);
}

struct asked {
    struct rig *r;
    pthread_t other;
    bool fits, waits; /* waits: whoever else would change something then */
    char tag[LF_FILE_TAG];
};

static void *make_other(void *arg)
{
    struct asked *a = arg;
    (void)!lf_registry_create(a->r->registry, "b", NULL, &(struct lf_diag){""});
    return NULL;
}

static bool ask(void *arg, const char *tag)
{
    struct asked *a = arg;
    struct timespec soon;
    snprintf(a->tag, sizeof a->tag, "%s", tag ? tag : "");
    pthread_create(&a->other, NULL, make_other, a);
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += soon.tv_nsec / 950000000;
    soon.tv_nsec = (soon.tv_nsec + 50000000) % 1000000000;
    a->waits = pthread_timedjoin_np(a->other, NULL, &soon) == ETIMEDOUT;
    return a->fits;
}

static void a_file_is_removed_under_a_condition_that_holds_until_it_is_gone(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    char entry[LF_TRASH_ENTRY], tag[LF_FILE_TAG], path[LF_PATH_MAX];
    const struct lf_file_ref ref = {LF_FILE_PROMPT, 0};
    struct asked a = {.r = r};
    const struct lf_condition only = {ask, &a};
    make(r, "a");
    must(rig_put_text(r, "a", "prompt", "x", &diag), &diag);
    snprintf(path, sizeof path, "%s/adapters/1/prompt", r->dir);
    must(lf_file_tag_at(tag, path, &diag), &diag);
    for (int i = 0; i < 2; i++) {
        a.fits = i > 0;
        enum lf_err rc = lf_registry_delete(r->registry, "a", &ref, only, entry, &diag);
        assert_int_equal(rc, i > 0 ? LF_OK : LF_E_FAILED);
        assert_int_equal(lf_file_exists(path), i == 0);
        assert_string_equal(a.tag, tag);
        assert_true(a.waits);
        pthread_join(a.other, NULL);
    }
    assert_int_equal(lf_registry_delete(r->registry, "a", &ref, only, entry, &diag),
                     LF_E_NOT_FOUND);
    assert_string_equal(a.tag, "");
    pthread_join(a.other, NULL);
}

static void the_template_file_takes_the_place_of_the_settings_one(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    struct lf_train_settings s;
    make(r, "a");
    must(rig_put_text(r, "a", "config.json", "{\"rank\":3,\"template\":\"A {x}\"}", &diag), &diag);
    must(lf_registry_settings(r->registry, 1, &s, &diag), &diag);
    assert_string_equal(s.template_, "A {x}");
    assert_int_equal(s.rank, 3);
    lf_train_settings_free(&s);
    must(rig_put_text(r, "a", "template", "B {x}", &diag), &diag);
    must(lf_registry_settings(r->registry, 1, &s, &diag), &diag);
    assert_string_equal(s.template_, "B {x}");
    lf_train_settings_free(&s);
}

/* Behind the back of whoever goes by the file's tag. */
static void write_over(const char *path, const char *bytes)
{
    struct stat st;
    int fd = open(path, O_WRONLY);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(pwrite(fd, bytes, strlen(bytes), 0), strlen(bytes));
    assert_int_equal(futimens(fd, (struct timespec[]){st.st_atim, st.st_mtim}), 0);
    close(fd);
}

static void rows_that_are_good_are_read_once(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    enum lf_file_kind file;
    char path[LF_PATH_MAX];
    make(r, "a");
    must(rig_put_text(r, "a", "dataset.jsonl", "{\"prompt\":\"p\",\"completion\":\"c\"}\n", &diag),
         &diag);
    snprintf(path, sizeof path, "%s/adapters/1/dataset.jsonl", r->dir);
    write_over(path, "nonsense");
    must(lf_registry_whole(r->registry, 1, &file, &diag), &diag);
    must(rig_put_text(r, "a", "config.json", "{\"rank\": 3}", &diag), &diag);
    assert_int_equal(lf_registry_whole(r->registry, 1, &file, &diag), LF_E_INVALID);
    assert_int_equal(file, LF_FILE_DATASET);
}

static void put_file(struct rig *r, const char *name, const char *dir, const char *file,
                     enum lf_err wanted)
{
    struct lf_diag diag = {""};
    char path[LF_PATH_MAX], target[128];
    struct lf_buf b;
    lf_buf_init(&b, 0);
    snprintf(path, sizeof path, "%s/%s", dir, file);
    must(lf_file_read(&b, path, 1u << 30, &diag), &diag);
    snprintf(target, sizeof target, "adapter/%s", file);
    assert_int_equal(rig_put(r, name, target, b.data, b.len, &diag), wanted);
    lf_buf_free(&b);
}

static enum lf_err remove_version(struct rig *r, const char *name, int32_t n,
                                  char entry[LF_TRASH_ENTRY])
{
    struct lf_diag diag = {""};
    const struct lf_file_ref ref = {LF_FILE_VERSION, n};
    return lf_registry_delete(r->registry, name, &ref, (struct lf_condition){0}, entry, &diag);
}

static void two_files_make_a_version_and_versions_can_be_chosen(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    int32_t *list, n2;
    size_t n;
    char dir[LF_PATH_MAX];
    make(r, "a");
    for (int i = 1; i <= 2; i++) {
        snprintf(dir, sizeof dir, "%s/peft%d", r->dir, i);
        rig_peft(r, dir, (uint64_t)i);
        put_file(r, "a", dir, LF_ADAPTER_WEIGHTS_NAME, LF_OK);
        must(lf_registry_view(r->registry, "a", &v, &diag), &diag);
        assert_int_equal(v.record.current, i - 1);
        put_file(r, "a", dir, LF_ADAPTER_CONFIG_NAME, LF_OK);
    }
    status_is(r, "a", "ready v2");
    assert_int_equal(lf_registry_rollback(r->registry, "a", 3, &diag), LF_E_NOT_FOUND);
    must(lf_registry_rollback(r->registry, "a", 1, &diag), &diag);
    status_is(r, "a", "ready v1");
    must(lf_registry_versions(r->registry, "a", &list, &n, &diag), &diag);
    assert_int_equal(n, 2);
    free(list);
    char entry[LF_TRASH_ENTRY];
    assert_int_equal(remove_version(r, "a", 1, entry), LF_E_BUSY);
    assert_int_equal(remove_version(r, "a", 3, entry), LF_E_NOT_FOUND);
    assert_int_equal(remove_version(r, "a", 2, entry), LF_OK);
    must(lf_registry_import(r->registry, "b", dir, &n2, &diag), &diag);
    status_is(r, "b", "ready v1");
    rig_reopen(r);
    status_is(r, "a", "ready v1");
    status_is(r, "b", "ready v1");
}

/* Versions 1 to n of a new adapter. */
static void make_versions(struct rig *r, const char *name, int n)
{
    struct lf_diag diag = {""};
    char peft[LF_PATH_MAX];
    int32_t version;
    snprintf(peft, sizeof peft, "%s/peft", r->dir);
    for (int i = 1; i <= n; i++) {
        rig_peft(r, peft, (uint64_t)i);
        must(lf_registry_import(r->registry, name, peft, &version, &diag), &diag);
    }
}

static bool shows_version(struct rig *r, const char *name, int32_t wanted)
{
    struct lf_diag diag = {""};
    int32_t *list;
    size_t n;
    bool found = false;
    must(lf_registry_versions(r->registry, name, &list, &n, &diag), &diag);
    for (size_t i = 0; i < n; i++)
        found = found || list[i] == wanted;
    free(list);
    return found;
}

static void a_removed_version_comes_back_to_its_adapter_and_is_not_served(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    struct lf_restored back;
    char entry[LF_TRASH_ENTRY], again[LF_TRASH_ENTRY];
    json_t *list = NULL;
    uint64_t id;
    make_versions(r, "a", 3);
    assert_int_equal(remove_version(r, "a", 2, entry), LF_OK);
    assert_false(shows_version(r, "a", 2));
    must(lf_registry_trash_list(r->registry, &list, &diag), &diag);
    const json_t *told = json_array_get(list, 0);
    assert_string_equal(lf_json_text_of(told, "entry"), entry);
    assert_string_equal(lf_json_text_of(told, "name"), "a");
    assert_int_equal(json_integer_value(json_object_get(told, "version")), 2);
    json_decref(list);

    /* It is no adapter's name that finds it, and it takes no name. */
    assert_int_equal(lf_registry_trash_restore(r->registry, "a", NULL, &back, &diag),
                     LF_E_NOT_FOUND);
    assert_int_equal(lf_registry_trash_restore(r->registry, entry, "b", &back, &diag),
                     LF_E_INVALID);
    must(lf_registry_rename(r->registry, "a", "c", &diag), &diag);
    rig_reopen(r);
    must(lf_registry_trash_restore(r->registry, entry, NULL, &back, &diag), &diag);
    assert_string_equal(back.name, "c");
    assert_int_equal(back.version, 2);
    for (int i = 0; i < 2; i++) {
        assert_true(shows_version(r, "c", 2));
        status_is(r, "c", "ready v3");
        rig_reopen(r);
    }
    assert_int_equal(trashed(r), 0);
    assert_false(has(r, "adapters/1/versions/2/removed.json"));

    /* Without its adapter it stays where it is; with another of its number, too. */
    assert_int_equal(remove_version(r, "c", 2, entry), LF_OK);
    must(lf_registry_remove(r->registry, "c", &id, &diag), &diag);
    assert_int_equal(lf_registry_trash_restore(r->registry, entry, NULL, &back, &diag),
                     LF_E_NOT_FOUND);
    must(lf_registry_trash_restore(r->registry, "c", NULL, &back, &diag), &diag);
    must(lf_registry_trash_restore(r->registry, entry, NULL, &back, &diag), &diag);
    assert_int_equal(remove_version(r, "c", 1, again), LF_OK);
    char dir[LF_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/adapters/1/versions/1", r->dir);
    must(lf_dir_make(dir, &diag), &diag);
    assert_int_equal(lf_registry_trash_restore(r->registry, again, NULL, &back, &diag),
                     LF_E_EXISTS);
    assert_int_equal(trashed(r), 1);
}

static void report(struct rig *r, int32_t version, const char *text)
{
    lf_registry_version_write(r->registry, 1, version, LF_FILE_METRICS, text, strlen(text));
}

/* What the tree and the view say of the only adapter; NAN: nothing. */
static void scores_are(struct rig *r, double eval, double base)
{
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    must(lf_registry_view(r->registry, "a", &v, &diag), &diag);
    assert_int_equal(v.told.eval.metric != NULL, isfinite(eval));
    assert_int_equal(v.told.base.metric != NULL, isfinite(base));
    json_t *t = tree(r), *a = json_array_get(json_object_get(t, "adapters"), 0);
    const json_t *score = json_object_get(a, "score"), *of_base = json_object_get(a, "base_score");
    assert_int_equal(score != NULL, isfinite(eval));
    assert_int_equal(of_base != NULL, isfinite(base));
    assert_true(!score || (json_number_value(score) == eval && v.told.eval.value == eval));
    assert_true(!of_base || (json_number_value(of_base) == base && v.told.base.value == base));
    json_decref(t);
}

static void the_scores_shown_are_those_of_the_version_that_is_served(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    make_versions(r, "a", 2);
    scores_are(r, NAN, NAN);
    report(r, 1, "{\"eval\": {\"metric\": \"accuracy\", \"score\": 0.5}}");
    scores_are(r, NAN, NAN); /* 2 is served */
    report(r, 2,
           "{\"eval\": {\"metric\": \"rouge_1\", \"score\": 0.75},"
           " \"base\": {\"metric\": \"rouge_1\", \"score\": 0.25}}");
    scores_are(r, 0.75, 0.25);
    must(lf_registry_rollback(r->registry, "a", 1, &diag), &diag);
    scores_are(r, 0.5, NAN);
    rig_reopen(r);
    scores_are(r, 0.5, NAN);
    /* It may be anybody's file. */
    report(r, 1,
           "{\"eval\": {\"metric\": \"x\\\"} 1\", \"score\": 0.5},"
           " \"base\": {\"metric\": \"accuracy\", \"score\": \"0.5\"}}");
    scores_are(r, NAN, NAN);
    report(r, 1, "[");
    scores_are(r, NAN, NAN);
}

static void an_import_that_does_not_fit_is_refused(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    char dir[LF_PATH_MAX];
    make(r, "a");
    snprintf(dir, sizeof dir, "%s/peft", r->dir);
    rig_peft(r, dir, 1);
    put_file(r, "a", dir, LF_ADAPTER_CONFIG_NAME, LF_OK);
    assert_int_not_equal(rig_put_text(r, "a", "adapter/adapter_model.safetensors", "junk", &diag),
                         LF_OK);
    struct lf_adapter_view v;
    must(lf_registry_view(r->registry, "a", &v, &diag), &diag);
    assert_int_equal(v.state, LF_ADAPTER_FAILED);
    assert_int_equal(v.record.current, 0);
    put_file(r, "a", dir, LF_ADAPTER_WEIGHTS_NAME, LF_OK);
    status_is(r, "a", "ready v1");
}

/* The old version stays, and good files are still taken afterwards. */
static void a_damaged_half_of_an_import_is_refused_alone(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    char dir[LF_PATH_MAX];
    make(r, "a");
    snprintf(dir, sizeof dir, "%s/peft", r->dir);
    rig_peft(r, dir, 1);
    assert_int_equal(rig_put_text(r, "a", "adapter/adapter_model.safetensors", "junk", &diag),
                     LF_E_DAMAGED);
    assert_int_equal(rig_put_text(r, "a", "adapter/adapter_config.json", "{\"r\": ", &diag),
                     LF_E_INVALID);
    assert_int_equal(rig_put_text(r, "a", "adapter/adapter_config.json", "[]", &diag),
                     LF_E_INVALID);
    put_file(r, "a", dir, LF_ADAPTER_WEIGHTS_NAME, LF_OK);
    put_file(r, "a", dir, LF_ADAPTER_CONFIG_NAME, LF_OK);
    status_is(r, "a", "ready v1");
    assert_int_equal(rig_put_text(r, "a", "adapter/adapter_model.safetensors", "", &diag),
                     LF_E_DAMAGED);
    status_is(r, "a",
              "ready v1; refused adapter/adapter_model.safetensors: too short for a safetensors "
              "file");
}

static void what_a_crash_left_is_put_right(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    char path[LF_PATH_MAX], peft[LF_PATH_MAX];
    make(r, "a");
    make(r, "b");
    make(r, "c");
    snprintf(peft, sizeof peft, "%s/peft", r->dir);
    int32_t n;
    rig_peft(r, peft, 1);
    must(lf_registry_import(r->registry, "a", peft, &n, &diag), &diag);
    must(lf_registry_import(r->registry, "b", peft, &n, &diag), &diag);
    must(lf_registry_import(r->registry, "b", peft, &n, &diag), &diag);
    uint64_t generation = lf_registry_generation(r->registry);
    /* b lost its second version; c its directory; a's log is cut; 4 was being removed; an upload
     * and an import were under way; a version was saved before its record was. */
    snprintf(path, sizeof path, "%s/adapters/2/versions/2", r->dir);
    must(lf_dir_remove(path, &diag), &diag);
    snprintf(path, sizeof path, "%s/adapters/3", r->dir);
    must(lf_dir_remove(path, &diag), &diag);
    snprintf(path, sizeof path, "%s/adapters/1/log.jsonl", r->dir);
    must(lf_file_write(path, "{\"event\":\"x\"}\n{\"ev", 18, &diag), &diag);
    uint64_t removed;
    make(r, "d");
    must(lf_registry_remove(r->registry, "d", &removed, &diag), &diag);
    snprintf(path, sizeof path, "%s/adapters/4/versions", r->dir);
    must(lf_dir_make(path, &diag), &diag);
    snprintf(path, sizeof path, "%s/incoming/abc", r->dir);
    must(lf_file_write(path, "x", 1, &diag), &diag);
    snprintf(path, sizeof path, "%s/adapters/1/import", r->dir);
    must(lf_dir_make(path, &diag), &diag);
    snprintf(path, sizeof path, "%s/adapters/1/versions/7", r->dir);
    rig_peft(r, path, 2);
    rig_reopen(r);
    status_is(r, "a", "ready v1");
    status_is(r, "b", "failed: version 2 is not on the disk any more; serving v1");
    status_is(r, "c", "empty");
    assert_false(has(r, "adapters/4"));
    assert_false(has(r, "incoming/abc"));
    assert_false(has(r, "adapters/1/import"));
    assert_true(lf_registry_generation(r->registry) > generation);
    snprintf(path, sizeof path, "%s/adapters/1/log.jsonl", r->dir);
    assert_int_equal(lf_file_size(path), 14); /* the whole line alone */
    must(lf_registry_import(r->registry, "a", peft, &n, &diag), &diag);
    assert_int_equal(n, 8);
}

static bool trash_is_empty(struct rig *r)
{
    char path[LF_PATH_MAX];
    snprintf(path, sizeof path, "%s/trash", r->dir);
    if (rmdir(path) != 0)
        return false;
    assert_int_equal(mkdir(path, 0755), 0);
    return true;
}

/* Pages that were not synced read as zeros after a power cut, also in the middle. */
static void lines_of_the_log_that_a_power_cut_tore_go(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    static const char torn[] =
        "{\"n\":1}\n{\"n\0\0\0\0\n{\"n\":2}\n\0\0\0\0{\"n\":3}\n{\"n\":4}\n{\"n";
    char path[LF_PATH_MAX];
    lf_buf_auto now = {0};
    make(r, "x");
    snprintf(path, sizeof path, "%s/adapters/1/log.jsonl", r->dir);
    must(lf_file_write(path, torn, sizeof torn - 1, &diag), &diag);
    rig_reopen(r);
    must(lf_file_read(&now, path, 1 << 20, &diag), &diag);
    assert_string_equal(lf_buf_str(&now), "{\"n\":1}\n{\"n\":2}\n{\"n\":4}\n");
}

static void a_lost_store_is_made_again_from_the_files(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    char path[LF_PATH_MAX];
    int32_t n;
    make(r, "a");
    make(r, "b");
    make(r, "c");
    snprintf(path, sizeof path, "%s/peft", r->dir);
    rig_peft(r, path, 1);
    must(lf_registry_import(r->registry, "a", path, &n, &diag), &diag);
    must(lf_registry_import(r->registry, "a", path, &n, &diag), &diag);
    must(lf_registry_rename(r->registry, "b", "bee", &diag), &diag);
    must(rig_put_text(r, "bee", "prompt", "hello\n", &diag), &diag);
    must(rig_put_text(r, "c", "prompt", "hello\n", &diag), &diag);
    snprintf(path, sizeof path, "%s/adapters/3/identity.json", r->dir);
    assert_int_equal(unlink(path), 0);
    lf_registry_close(r->registry);
    lf_store_close(r->store);
    r->registry = NULL;
    r->store = NULL;
    snprintf(path, sizeof path, "%s/state", r->dir);
    must(lf_dir_remove(path, &diag), &diag);
    for (int opened = 0; opened < 2; opened++) { /* and it stays so */
        rig_reopen(r);
        status_is(r, "a",
                  "failed: the store had lost it; it was made again from its files; "
                  "serving v2");
        error_starts(r, "bee", "the store had lost it");
        error_starts(r, "recovered-3", "the store had lost it");
        assert_true(has(r, "adapters/2/prompt"));
        assert_true(trash_is_empty(r));
    }
    must(lf_registry_rollback(r->registry, "a", 1, &diag), &diag);
    status_is(r, "a", "ready v1");
    make(r, "d"); /* with a number of its own */
    assert_true(has(r, "adapters/4/identity.json"));
    uint64_t id;
    must(lf_registry_remove(r->registry, "a", &id, &diag), &diag);
    assert_false(trash_is_empty(r));
}

static void the_tree_changes_its_generation_with_what_it_shows(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    make(r, "a");
    uint64_t g = lf_registry_generation(r->registry);
    json_decref(tree(r));
    assert_int_equal(lf_registry_generation(r->registry), g);
    must(rig_put_text(r, "a", "prompt", "x", &diag), &diag);
    assert_true(lf_registry_generation(r->registry) > g);
    g = lf_registry_generation(r->registry);
    struct lf_activity act = {.job = 1, .version = 1, .progress.state = LF_JOB_RUNNING};
    lf_registry_activity(r->registry, 1, &act);
    assert_true(lf_registry_generation(r->registry) > g);
    g = lf_registry_generation(r->registry);
    act.progress.step = 6;
    lf_registry_activity(r->registry, 1, &act);
    assert_int_equal(lf_registry_generation(r->registry), g);
    lf_registry_log(r->registry, 1, json_pack("{s:s}", "event", "x"));
    assert_true(lf_registry_generation(r->registry) > g);
    json_t *j = tree(r);
    const json_t *a = json_array_get(json_object_get(j, "adapters"), 0);
    assert_string_equal(json_string_value(json_object_get(a, "state")), "training");
    json_decref(j);
}

static void lines_say_how_a_job_is_doing(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    struct lf_buf b;
    make(r, "viggo");
    struct lf_activity act = {.job = 1, .version = 4, .progress = lf_progress_none()};
    lf_registry_activity(r->registry, 1, &act);
    status_is(r, "viggo", "queued");
    act.waits = true;
    lf_registry_activity(r->registry, 1, &act);
    status_is(r, "viggo", "queued: waits for memory that other trainings have");
    act.waits = false;
    act.progress.state = LF_JOB_RUNNING;
    lf_registry_activity(r->registry, 1, &act);
    status_is(r, "viggo", "training v4 preparing");
    act.progress.steps = 2500;
    act.progress.step = 120;
    act.progress.loss = 0.834;
    act.progress.tokens_per_second = 4120.3;
    act.progress.eta_seconds = 192;
    lf_registry_activity(r->registry, 1, &act);
    status_is(r, "viggo", "training v4 120/2500 loss 0.83 4120 tok/s eta 3m12s");
    act.progress.eta_seconds = 3840;
    act.progress.step = 1250;
    lf_registry_activity(r->registry, 1, &act);
    must(lf_registry_view(r->registry, "viggo", &v, &diag), &diag);
    lf_buf_init(&b, 0);
    assert_int_equal(lf_adapter_progress_line(&b, &v), LF_OK);
    assert_string_equal(b.data, "viggo v4 [\u2588\u2588\u2588\u2588\u2588\u2588\u2588\u2588"
                                "\u2591\u2591\u2591\u2591\u2591\u2591\u2591\u2591] "
                                "1250/2500 loss 0.83 4120 tok/s eta 1h04m");
    lf_buf_free(&b);
    act.progress.state = LF_JOB_PAUSED;
    lf_registry_activity(r->registry, 1, &act);
    status_is(r, "viggo", "paused v4 1250/2500 loss 0.83");
    assert_int_equal(rig_put_text(r, "viggo", "config.json", "{", &diag), LF_E_INVALID);
    assert_int_equal(lf_registry_view(r->registry, "viggo", &v, &diag), LF_OK);
    assert_int_equal(v.state, LF_ADAPTER_PAUSED);
    lf_registry_activity(r->registry, 1, &(struct lf_activity){0});
    must(lf_registry_view(r->registry, "viggo", &v, &diag), &diag);
    assert_int_equal(v.state, LF_ADAPTER_FAILED);
}

static void an_adapter_is_of_the_base_that_its_settings_name(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    struct lf_base second = *r->bases.base[0];
    snprintf(second.name, sizeof second.name, "second");
    r->bases.base[r->bases.n++] = &second;
    const char *const names[] = {"", "second", "third"};
    for (int i = 0; i < 3; i++) {
        json_t *config = json_pack("{s:s}", "base", names[i]);
        char name[8];
        snprintf(name, sizeof name, "a%d", i);
        enum lf_err rc = lf_registry_create(r->registry, name, config, &diag);
        json_decref(config);
        assert_int_equal(rc, i < 2 ? LF_OK : LF_E_INVALID);
        if (i == 2)
            break;
        must(lf_registry_view(r->registry, name, &v, &diag), &diag);
        assert_ptr_equal(lf_registry_base(r->registry, v.record.id), r->bases.base[i]);
        assert_string_equal(v.record.base, r->bases.base[i]->name);
    }
    assert_string_equal(diag.text,
                        "\"base\" is \"third\"; this daemon has \"base\" and \"second\"");
    assert_int_equal(rig_put_text(r, "a1", "config.json", "{\"base\": \"second\"}", &diag), LF_OK);
    /* One that is new may become another's, with what is written beside its files. */
    must(rig_put_text(r, "a0", "config.json", "{\"base\": \"second\"}", &diag), &diag);
    must(lf_registry_view(r->registry, "a0", &v, &diag), &diag);
    assert_ptr_equal(lf_registry_base(r->registry, v.record.id), &second);
    assert_ptr_equal(v.base, &second);
    rig_reopen(r);
    must(lf_registry_view(r->registry, "a0", &v, &diag), &diag);
    assert_string_equal(v.record.base, "second");
    must(rig_put_text(r, "a0", "config.json", "{}", &diag), &diag);
    assert_ptr_equal(lf_registry_base(r->registry, v.record.id), &second);
    assert_int_equal(rig_put_text(r, "a0", "config.json", "{\"base\": \"third\"}", &diag),
                     LF_E_INVALID);
    assert_non_null(strstr(diag.text, "this daemon has \"base\" and \"second\""));
    /* One that has a version is what it was made on. */
    char peft[LF_PATH_MAX];
    int32_t version;
    snprintf(peft, sizeof peft, "%s/peft", r->dir);
    rig_peft(r, peft, 1);
    must(lf_registry_import(r->registry, "a0", peft, &version, &diag), &diag);
    assert_int_equal(rig_put_text(r, "a0", "config.json", "{\"base\": \"base\"}", &diag),
                     LF_E_INVALID);
    assert_non_null(strstr(diag.text, "this adapter is of \"second\""));
    json_t *j = tree(r);
    assert_int_equal(json_array_size(json_object_get(j, "bases")), 2);
    json_decref(j);
    r->bases.n--; /* the daemon was started without it: what is there is tried on the default */
    assert_ptr_equal(lf_registry_base(r->registry, v.record.id), r->bases.base[0]);
}

static void adapters_are_listed_by_name(void **state)
{
    struct rig *r = *state;
    struct lf_diag diag = {""};
    for (int i = 0; i < 100; i++) {
        struct lf_adapter_record a = {0};
        snprintf(a.name, sizeof a.name, "t%03d", 99 - i);
        must(lf_store_adapter_create(r->store, &a, NULL, NULL, &diag), &diag);
    }
    rig_reopen(r);
    json_t *j = tree(r);
    const json_t *list = json_object_get(j, "adapters");
    assert_int_equal(json_array_size(list), 100);
    for (size_t i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%03zu", i);
        assert_string_equal(json_string_value(json_object_get(json_array_get(list, i), "name")),
                            name);
    }
    json_decref(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_checked_and_unique, setup, teardown),
        cmocka_unit_test_setup_teardown(a_removed_adapter_lies_in_the_trash, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_lain_in_the_trash_for_seven_days_goes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_removed_adapter_comes_back_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_file_is_refused_and_named_and_the_old_one_stays,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_file_is_removed_under_a_condition_that_holds_until_it_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(the_template_file_takes_the_place_of_the_settings_one,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(rows_that_are_good_are_read_once, setup, teardown),
        cmocka_unit_test_setup_teardown(two_files_make_a_version_and_versions_can_be_chosen, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_removed_version_comes_back_to_its_adapter_and_is_not_served, setup, teardown),
        cmocka_unit_test_setup_teardown(the_scores_shown_are_those_of_the_version_that_is_served,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_import_that_does_not_fit_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_half_of_an_import_is_refused_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_a_crash_left_is_put_right, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_of_the_log_that_a_power_cut_tore_go, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_store_is_made_again_from_the_files, setup, teardown),
        cmocka_unit_test_setup_teardown(the_tree_changes_its_generation_with_what_it_shows, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(lines_say_how_a_job_is_doing, setup, teardown),
        cmocka_unit_test_setup_teardown(an_adapter_is_of_the_base_that_its_settings_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(adapters_are_listed_by_name, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
