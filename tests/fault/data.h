/* A data directory under faults: an old state, one change, and what may be found afterwards. What
 * the sweeps of the registry and of uploads stand on. */
#ifndef LF_TESTS_FAULT_DATA_H
#define LF_TESTS_FAULT_DATA_H

#include "tests/fault/fault.h"
#include "tests/unit/daemon_rig.h"

#include "core/json.h"

#include <dirent.h>
#include <sys/stat.h>

struct data {
    struct rig rig; /* its base is opened once */
    char peft[64];  /* a directory that can be imported */
    enum lf_err (*change)(struct data *d, struct lf_diag *diag);
    bool lost;              /* the old state is that all is closed, and the store is gone */
    bool reopens;           /* look after opening anew, else in the open registry */
    struct lf_buf old, new; /* what is there before and after the change */
    struct lf_job_record job;
};

/* Every file below `dir`, with its digest, in order of name; not the log, whose lines may be lost,
 * and not the versions, whose numbers may have holes. */
static inline void data_files(const char *dir, const char *shown, struct lf_buf *out)
{
    struct dirent **list;
    int n = scandir(dir, &list, NULL, alphasort);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        char path[LF_PATH_MAX], name[LF_PATH_MAX], hex[LF_SHA256_HEX];
        const char *word = list[i]->d_name;
        struct stat st;
        struct lf_buf text;
        struct lf_diag diag = {""};
        bool skipped = word[0] == '.' || !strcmp(word, "log.jsonl") || !strcmp(word, "versions");
        must(lf_path_join(path, dir, word, &diag) ?: lf_path_join(name, shown, word, &diag), &diag);
        free(list[i]);
        if (skipped)
            continue;
        assert_int_equal(stat(path, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            data_files(path, name, out);
            continue;
        }
        lf_buf_init(&text, 0);
        must(lf_file_read(&text, path, 1u << 30, &diag), &diag);
        lf_sha256_hex(hex, text.data ? text.data : "", text.len);
        lf_buf_printf(out, "%s %.16s\n", name, hex);
        lf_buf_free(&text);
    }
    free(list);
}

/* Entries of a directory; 0 where there is none. */
static inline int data_entries(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *x = d ? readdir(d) : NULL; x; x = readdir(d))
        n += x->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

/* Every line of a log must be JSON. */
static inline void data_log_check(const struct data *d, uint64_t id)
{
    char path[LF_PATH_MAX];
    struct lf_buf text;
    lf_buf_init(&text, 0);
    snprintf(path, sizeof path, "%s/adapters/%llu/log.jsonl", d->rig.dir, (unsigned long long)id);
    if (lf_file_exists(path)) {
        struct lf_diag diag = {""};
        must(lf_file_read(&text, path, 1u << 20, &diag), &diag);
        for (const char *line = text.data; line && *line;) {
            json_t *j = NULL;
            const char *end = strchr(line, '\n');
            assert_non_null(end);
            must(lf_json_parse(&j, line, (size_t)(end - line), &diag), &diag);
            json_decref(j);
            line = end + 1;
        }
    }
    lf_buf_free(&text);
}

static inline void data_look_at(struct data *d, const struct lf_adapter_view *v, struct lf_buf *out)
{
    struct lf_diag diag = {""};
    char dir[128], path[LF_PATH_MAX], shown[128];
    int32_t *versions;
    size_t n;
    snprintf(dir, sizeof dir, "%s/adapters/%d", d->rig.dir, (int)v->record.id);
    must(lf_registry_versions(d->rig.registry, v->record.name, &versions, &n, &diag), &diag);
    lf_buf_printf(out, "%s: %s, \"%s\"\n", v->record.name, lf_adapter_state_name(v->state),
                  v->record.trouble);
    data_files(dir, v->record.name, out);
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/versions/%d", dir, (int)versions[i]);
        snprintf(shown, sizeof shown, "%s version %zu%s", v->record.name, i + 1,
                 versions[i] == v->record.current ? " (current)" : "");
        data_files(path, shown, out);
    }
    free(versions);
    snprintf(path, sizeof path, "%s/versions", dir);
    assert_int_equal(data_entries(path), n); /* no others, and no temporaries */
    data_log_check(d, v->record.id);
}

/* All adapters and what lies in their directories; nothing else may lie there. */
static inline void data_look(struct data *d, struct lf_buf *out)
{
    struct lf_diag diag = {""};
    struct lf_adapter_view *v;
    char path[LF_PATH_MAX];
    size_t n;
    lf_buf_reset(out);
    lf_buf_puts(out, "");
    must(lf_registry_list(d->rig.registry, &v, &n, &diag), &diag);
    for (size_t i = 0; i < n; i++)
        data_look_at(d, &v[i], out);
    free(v);
    snprintf(path, sizeof path, "%s/adapters", d->rig.dir);
    assert_int_equal(data_entries(path), n);
    snprintf(path, sizeof path, "%s/incoming", d->rig.dir);
    assert_int_equal(data_entries(path), 0);
    assert_int_equal(out->rc, LF_OK);
}

/* What a PUT does, without an assertion. */
static inline enum lf_err data_put(struct data *d, const char *name, const char *file,
                                   const void *bytes, size_t n, struct lf_diag *diag)
{
    struct lf_file_ref ref;
    struct lf_upload u;
    int32_t imported;
    (void)!lf_file_ref_parse(&ref, file);
    enum lf_err rc = lf_registry_upload_begin(d->rig.registry, name, &ref, &u, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_upload_write(&u, bytes, n, diag);
    if (rc == LF_OK)
        return lf_registry_upload_commit(d->rig.registry, name, &u, &imported, diag);
    lf_upload_abort(&u);
    return rc;
}

#define DATA_ROW "{\"prompt\":\"a\",\"completion\":\"b\"}\n"

/* Adapter a has two versions, the second is current, rows and an open job of them; b is empty. */
static inline void data_before(void *arg)
{
    struct data *d = arg;
    struct lf_diag diag = {""};
    int32_t n;
    fault_dir(d->rig.dir);
    d->rig.registry = NULL;
    d->rig.store = NULL;
    rig_reopen(&d->rig);
    must(lf_registry_create(d->rig.registry, "a", NULL, &diag), &diag);
    must(lf_registry_create(d->rig.registry, "b", NULL, &diag), &diag);
    must(lf_registry_import(d->rig.registry, "a", d->peft, &n, &diag), &diag);
    must(lf_registry_import(d->rig.registry, "a", d->peft, &n, &diag), &diag);
    must(data_put(d, "a", "dataset.jsonl", DATA_ROW, strlen(DATA_ROW), &diag), &diag);
    d->job = (struct lf_job_record){.adapter_id = 1, .progress = lf_progress_none()};
    must(lf_registry_job_create(d->rig.registry, &d->job, &diag), &diag);
    if (d->lost) {
        char state[128];
        lf_registry_close(d->rig.registry);
        lf_store_close(d->rig.store);
        d->rig.registry = NULL;
        d->rig.store = NULL;
        snprintf(state, sizeof state, "%s/state", d->rig.dir);
        must(lf_dir_remove(state, &diag), &diag);
    }
}

static inline enum lf_err data_act(void *arg, struct lf_diag *diag)
{
    struct data *d = arg;
    return d->change(d, diag);
}

static inline void data_end(struct data *d)
{
    struct lf_diag diag = {""};
    lf_registry_close(d->rig.registry);
    lf_store_close(d->rig.store);
    must(lf_dir_remove(d->rig.dir, &diag), &diag);
}

/* The change is there or it is not, and can be made where it is not; opened anew as well. */
static inline void data_after(void *arg, enum lf_err rc)
{
    struct data *d = arg;
    struct lf_diag diag = {""};
    struct lf_buf now;
    lf_buf_init(&now, 0);
    if (d->reopens) {
        rig_reopen(&d->rig);
        data_look(d, &now);
        if (rc == LF_OK || strcmp(now.data, d->old.data) != 0)
            assert_string_equal(now.data, d->new.data);
    }
    if (rc != LF_OK && strcmp(now.data ? now.data : "", d->new.data) != 0) {
        rc = d->change(d, &diag);
        if (rc != LF_E_EXISTS && rc != LF_E_NOT_FOUND) /* it was done, but for its answer */
            must(rc, &diag);
    }
    rig_reopen(&d->rig);
    data_look(d, &now);
    assert_string_equal(now.data, d->new.data);
    lf_buf_free(&now);
    data_end(d);
}

static inline void data_sweep(enum lf_err (*change)(struct data *d, struct lf_diag *diag),
                              bool lost)
{
    static const struct fault_subject subject = {data_before, data_act, data_after};
    struct data d = {.change = change, .lost = lost};
    struct lf_diag diag = {""};
    char base[LF_PATH_MAX];
    rig_base_dir(base);
    fault_dir(d.peft);
    must(lf_base_open(&d.rig.bases.base[d.rig.bases.n++], NULL, base, LF_QUANT_NONE, NULL, &diag),
         &diag);
    rig_peft(&d.rig, d.peft, 1);
    lf_buf_init(&d.old, 0);
    lf_buf_puts(&d.old, "");
    lf_buf_init(&d.new, 0);
    data_before(&d);
    if (!lost)
        data_look(&d, &d.old);
    must(change(&d, &diag), &diag);
    rig_reopen(&d.rig);
    data_look(&d, &d.new);
    data_end(&d);
    fault_sweep(&subject, &d);
    d.reopens = true;
    fault_sweep(&subject, &d);
    lf_buf_free(&d.old);
    lf_buf_free(&d.new);
    lf_base_free(d.rig.bases.base[0]);
    must(lf_dir_remove(d.peft, &diag), &diag);
}

#endif
