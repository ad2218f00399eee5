/* The name space: three questions (what is this name, what is known of it, what is in here), over
 * the table of names/files.h. */
#include "fs/space.h"

#include "core/file.h"
#include "fs/limits.h"

#include <stdio.h>
#include <string.h>

/* ---- The table ------------------------------------------------------------------------------- */

/* What the mount makes of a file of an adapter. */
static const enum lf_kind form_kinds[] = {
    [LF_FORM_WRITTEN] = LF_KIND_UPLOAD,    [LF_FORM_GROWN] = LF_KIND_LOG,
    [LF_FORM_MADE] = LF_KIND_TEXT,         [LF_FORM_FOLLOWED] = LF_KIND_PROGRESS,
    [LF_FORM_ANSWERED] = LF_KIND_GENERATE, [LF_FORM_ORDERED] = LF_KIND_CTL,
};

/* An adapter's directories. */
static const struct {
    const char *name;
    enum lf_kind kind;
} adapter_dirs[] = {{"adapter", LF_KIND_WEIGHTS}, {"versions", LF_KIND_VERSIONS}};

static const struct {
    const char *name;
    enum lf_kind kind;
} root_names[] = {
    {"README", LF_KIND_README},   {"base", LF_KIND_BASES},   {"jobs", LF_KIND_JOBS},
    {"metrics", LF_KIND_METRICS}, {"model", LF_KIND_MODELS},
};
#define N_ROOT_NAMES (sizeof root_names / sizeof *root_names)

static const char *const base_names[] = {"config.json", "info"};

const struct lf_kind_row lf_kinds[] = {
    [LF_KIND_ROOT] = {S_IFDIR | 0555},
    [LF_KIND_README] = {S_IFREG | 0444, .made = true},
    [LF_KIND_METRICS] = {S_IFREG | 0444, .made = true},
    [LF_KIND_BASES] = {S_IFDIR | 0555},
    [LF_KIND_BASE] = {S_IFDIR | 0555},
    [LF_KIND_BASE_FILE] = {S_IFREG | 0444, .made = true},
    [LF_KIND_JOBS] = {S_IFDIR | 0555},
    [LF_KIND_JOB] = {S_IFREG | 0444, .made = true},
    [LF_KIND_MODELS] = {S_IFDIR | 0755},
    [LF_KIND_ADAPTER] = {S_IFDIR | 0755},
    [LF_KIND_WEIGHTS] = {S_IFDIR | 0755, .given = true},
    [LF_KIND_VERSIONS] = {S_IFDIR | 0755, .given = true},
    [LF_KIND_VERSION] = {S_IFDIR | 0755, .given = true},
    [LF_KIND_CURRENT] = {S_IFLNK | 0777, .given = true},
    [LF_KIND_UPLOAD] = {S_IFREG | 0644, .draft = true},
    [LF_KIND_REMOTE] = {S_IFREG | 0444, .given = true},
    [LF_KIND_LOG] = {S_IFREG | 0444, .output = true, .given = true},
    [LF_KIND_TEXT] = {S_IFREG | 0444, .made = true, .output = true, .given = true},
    [LF_KIND_PROGRESS] = {S_IFREG | 0444, .stream = true, .output = true, .given = true},
    [LF_KIND_GENERATE] = {S_IFREG | 0644, .stream = true, .output = true, .given = true},
    [LF_KIND_CTL] = {S_IFREG | 0644, .made = true, .given = true},
    [LF_KIND_LOCAL] = {S_IFREG | 0644, .draft = true},
    [LF_KIND_LOCAL_LINK] = {S_IFLNK | 0777},
    [LF_KIND_LOCAL_DIR] = {S_IFDIR | 0755},
};

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

int64_t lf_space_number(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > 18 || name[0] == '0' || strspn(name, "0123456789") != n)
        return 0;
    int64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (name[i] - '0');
    return v;
}

static const struct lf_file_row *upload(const struct lf_place *p)
{
    return p->kind == LF_KIND_UPLOAD ? lf_file_find(p->rel) : NULL;
}

bool lf_space_trains(const struct lf_place *p)
{
    const struct lf_file_row *f = upload(p);
    return f && f->effect == LF_EFFECT_TRAIN;
}

bool lf_space_is_rows(const struct lf_place *p)
{
    const struct lf_file_row *f = lf_file_find(p->rel);
    return f && f->check == LF_CHECK_ROWS;
}

bool lf_space_removable(const struct lf_place *p)
{
    const struct lf_file_row *f = upload(p);
    return p->kind == LF_KIND_VERSION || (f && f->disk);
}

bool lf_space_may_be_empty(const struct lf_place *p)
{
    const struct lf_file_row *f = upload(p);
    return f && f->effect == LF_EFFECT_NONE;
}

bool lf_space_is_kept(const struct lf_place *p)
{
    const struct lf_file_row *f = lf_file_find(p->rel);
    return f && f->disk && lf_kinds[p->kind].output;
}

bool lf_space_is_given(const struct lf_place *p)
{
    return lf_kinds[p->kind].given ||
           (p->kind == LF_KIND_UPLOAD &&
            strncmp(p->rel, LF_FILE_ADAPTER_DIR, strlen(LF_FILE_ADAPTER_DIR)) == 0);
}

void lf_space_current(char rel[LF_REL_MAX])
{
    static const char link[] = "versions/current";
    size_t n = sizeof link - 1;
    if (strncmp(rel, link, n) == 0 && rel[n] == '/') {
        memmove(rel + strlen("adapter"), rel + n, strlen(rel + n) + 1);
        memcpy(rel, "adapter", strlen("adapter"));
    }
}

bool lf_space_is_copy(const struct lf_place *p, const char *bytes, size_t n)
{
    const struct lf_file_row *f = lf_file_find(p->rel);
    lf_buf_auto words = {0};
    if (p->kind == LF_KIND_CTL)
        return lf_space_ctl(&words) == LF_OK && n == words.len && memcmp(bytes, words.data, n) == 0;
    return f && lf_file_is_copy(f, bytes, n);
}

/* ---- What a name is -------------------------------------------------------------------------- */

static enum lf_err place_set(struct lf_place *out, enum lf_kind kind, const char *owner,
                             const char *dir, const char *name)
{
    struct lf_place p = {.kind = kind};
    int n = snprintf(p.owner, sizeof p.owner, "%s", owner);
    int k = snprintf(p.rel, sizeof p.rel, "%s%s%s", dir, *dir ? "/" : "", name);
    if (n < 0 || (size_t)n >= sizeof p.owner || k < 0 || (size_t)k >= sizeof p.rel)
        return LF_E_NOT_FOUND;
    *out = p;
    return LF_OK;
}

static enum lf_err root_child(struct lf_place *out, const char *name)
{
    for (size_t i = 0; i < N_ROOT_NAMES; i++)
        if (strcmp(root_names[i].name, name) == 0)
            return place_set(out, root_names[i].kind, "", "", "");
    return LF_E_NOT_FOUND;
}

static enum lf_err local_child(struct lf_place *out, const char *adapter, const char *name)
{
    return lf_file_is_temporary(name) ? place_set(out, LF_KIND_LOCAL, adapter, "", "")
                                      : LF_E_NOT_FOUND;
}

static enum lf_err adapter_child(struct lf_place *out, const char *adapter, const char *name)
{
    const struct lf_file_row *f = lf_file_find(name);
    for (size_t i = 0; i < 2; i++)
        if (strcmp(adapter_dirs[i].name, name) == 0)
            return place_set(out, adapter_dirs[i].kind, adapter, "", name);
    if (f)
        return place_set(out, form_kinds[f->form], adapter, "", name);
    struct lf_place p;
    if (place_set(&p, LF_KIND_UPLOAD, adapter, "adapter", name) == LF_OK && lf_file_find(p.rel)) {
        *out = p;
        return LF_OK;
    }
    return local_child(out, adapter, name);
}

/* What stands beside the weights of the version that is served, as a copy of versions/current has
 * it; before there is one, nothing can be told by it. */
static enum lf_err beside_child(struct lf_place *out, const struct lf_tree_adapter *a,
                                const char *adapter, const char *name)
{
    if (!a || a->current == 0)
        return place_set(out, LF_KIND_LOCAL, adapter, "", "");
    return place_set(out, LF_KIND_UPLOAD, adapter, "adapter", name);
}

static enum lf_err weights_child(struct lf_place *out, const struct lf_view *v,
                                 const struct lf_place *parent, const char *name)
{
    struct lf_place p;
    const char *adapter = parent->owner;
    const struct lf_tree_adapter *a = lf_tree_adapter(v->tree, adapter);
    bool fits = place_set(&p, LF_KIND_REMOTE, adapter, "adapter", name) == LF_OK;
    if (fits && lf_file_find(p.rel))
        p.kind = LF_KIND_UPLOAD;
    else if (strcmp(parent->rel, "adapter") != 0 && lf_version_file_find(name))
        return beside_child(out, a, adapter, name);
    else if (!fits || !lf_name_ok(name) || !a || !lf_tree_file(a, p.rel))
        return local_child(out, adapter, name);
    *out = p;
    return LF_OK;
}

static enum lf_err versions_child(struct lf_place *out, const char *adapter, const char *name)
{
    if (strcmp(name, "current") == 0)
        return place_set(out, LF_KIND_CURRENT, adapter, "versions", name);
    if (lf_space_number(name))
        return place_set(out, LF_KIND_VERSION, adapter, "versions", name);
    return place_set(out, LF_KIND_LOCAL_LINK, adapter, "", "");
}

/* Of a version that is there REMOTE; else what restores it, as it is copied in. */
static enum lf_err version_child(struct lf_place *out, const struct lf_view *v,
                                 const struct lf_place *parent, const char *name)
{
    struct lf_place p;
    const struct lf_tree_adapter *a = lf_tree_adapter(v->tree, parent->owner);
    if (!lf_version_file_find(name))
        return local_child(out, parent->owner, name);
    enum lf_err rc = place_set(&p, LF_KIND_REMOTE, parent->owner, parent->rel, name);
    if (rc != LF_OK)
        return rc;
    if (!a || !lf_tree_file(a, p.rel))
        p.kind = LF_KIND_UPLOAD;
    *out = p;
    return LF_OK;
}

enum lf_err lf_space_child(struct lf_place *out, const struct lf_view *v,
                           const struct lf_place *parent, const char *name)
{
    switch (parent->kind) {
    case LF_KIND_ROOT:
        return root_child(out, name);
    case LF_KIND_BASES:
        return lf_name_ok(name) ? place_set(out, LF_KIND_BASE, name, "", "") : LF_E_NOT_FOUND;
    case LF_KIND_BASE:
        if (!is_one_of(name, base_names, 2))
            return LF_E_NOT_FOUND;
        return place_set(out, LF_KIND_BASE_FILE, parent->owner, "", name);
    case LF_KIND_JOBS:
        return lf_space_number(name) ? place_set(out, LF_KIND_JOB, name, "", "") : LF_E_NOT_FOUND;
    case LF_KIND_MODELS:
        return lf_name_ok(name) ? place_set(out, LF_KIND_ADAPTER, name, "", "") : LF_E_NOT_FOUND;
    case LF_KIND_ADAPTER:
        return adapter_child(out, parent->owner, name);
    case LF_KIND_WEIGHTS:
        return weights_child(out, v, parent, name);
    case LF_KIND_VERSIONS:
        return versions_child(out, parent->owner, name);
    case LF_KIND_VERSION:
        return version_child(out, v, parent, name);
    case LF_KIND_LOCAL_DIR:
        return place_set(out, LF_KIND_LOCAL, parent->owner, "", "");
    default:
        return LF_E_NOT_FOUND;
    }
}

/* ---- What is known of a place ---------------------------------------------------------------- */

static enum lf_err base_facts(struct lf_facts *out, const struct lf_view *v,
                              const struct lf_place *p)
{
    const struct lf_tree_base *b = lf_tree_base(v->tree, p->owner);
    if (!b)
        return LF_E_NOT_FOUND;
    out->mtime_ms = b->created_ms;
    if (p->kind == LF_KIND_BASE_FILE)
        out->bytes = strcmp(p->rel, "info") == 0 ? b->info_bytes : b->config_bytes;
    return LF_OK;
}

static enum lf_err listed_facts(struct lf_facts *out, const struct lf_tree_adapter *a,
                                const char *rel)
{
    char beside[LF_REL_MAX];
    const struct lf_tree_file *f = lf_tree_file(a, rel);
    size_t n = strlen(LF_FILE_ADAPTER_DIR);
    if (!f && strncmp(rel, LF_FILE_ADAPTER_DIR, n) == 0 && lf_version_file_find(rel + n)) {
        snprintf(beside, sizeof beside, "versions/%lld/%s", (long long)a->current, rel + n);
        f = lf_tree_file(a, beside);
    }
    if (!f)
        return LF_E_NOT_FOUND;
    out->bytes = f->bytes;
    out->mtime_ms = f->mtime_ms;
    return LF_OK;
}

static enum lf_err made_facts(struct lf_facts *out, enum lf_err (*text)(struct lf_buf *))
{
    lf_buf_auto b = {0};
    enum lf_err rc = text(&b);
    out->bytes = b.len;
    return rc;
}

static enum lf_err adapter_facts(struct lf_facts *out, const struct lf_view *v,
                                 const struct lf_place *p)
{
    const struct lf_tree_adapter *a = lf_tree_adapter(v->tree, p->owner);
    const struct lf_file_row *f;
    if (!a)
        return LF_E_NOT_FOUND;
    out->mtime_ms = a->changed_ms;
    switch (p->kind) {
    case LF_KIND_VERSION:
        return lf_tree_has_version(a, lf_space_number(p->rel + strlen("versions/")))
                   ? LF_OK
                   : LF_E_NOT_FOUND;
    case LF_KIND_CURRENT:
        out->bytes = (uint64_t)snprintf(NULL, 0, "%lld", (long long)a->current);
        return a->current > 0 ? LF_OK : LF_E_NOT_FOUND;
    case LF_KIND_LOCAL:
    case LF_KIND_LOCAL_LINK:
    case LF_KIND_LOCAL_DIR:
        return LF_E_NOT_FOUND;
    case LF_KIND_CTL:
        return made_facts(out, lf_space_ctl);
    case LF_KIND_ADAPTER:
    case LF_KIND_WEIGHTS:
    case LF_KIND_VERSIONS:
        return LF_OK;
    default:
        f = lf_file_find(p->rel);
        return listed_facts(out, a, p->rel) == LF_OK || (f && lf_file_is_always(f))
                   ? LF_OK
                   : LF_E_NOT_FOUND;
    }
}

static int64_t latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

enum lf_err lf_space_facts(struct lf_facts *out, const struct lf_view *v, const struct lf_place *p)
{
    struct lf_facts f = {0};
    const struct lf_tree_job *job;
    enum lf_err rc = LF_OK;
    switch (p->kind) {
    case LF_KIND_ROOT:
    case LF_KIND_METRICS:
        break;
    case LF_KIND_BASES:
        for (size_t i = 0; v->tree && i < v->tree->n_bases; i++)
            f.mtime_ms = latest(f.mtime_ms, v->tree->bases[i].created_ms);
        break;
    case LF_KIND_JOBS:
        for (size_t i = 0; v->jobs && i < v->jobs->n; i++)
            f.mtime_ms = latest(f.mtime_ms, v->jobs->jobs[i].changed_ms);
        break;
    case LF_KIND_README:
        rc = made_facts(&f, lf_space_readme);
        break;
    case LF_KIND_MODELS:
        f.mtime_ms = v->tree ? v->tree->changed_ms : 0;
        break;
    case LF_KIND_BASE:
    case LF_KIND_BASE_FILE:
        rc = base_facts(&f, v, p);
        break;
    case LF_KIND_JOB:
        job = lf_tree_job(v->jobs, lf_space_number(p->owner));
        rc = job ? LF_OK : LF_E_NOT_FOUND;
        f.mtime_ms = job ? job->changed_ms : 0;
        break;
    default:
        rc = adapter_facts(&f, v, p);
    }
    if (rc == LF_OK)
        *out = f;
    return rc;
}

/* ---- What is in a directory ------------------------------------------------------------------ */

static enum lf_err list_names(const char *const *names, size_t n, lf_space_fn fn, void *arg)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < n && rc == LF_OK; i++)
        rc = fn(arg, names[i]);
    return rc;
}

static enum lf_err list_root(lf_space_fn fn, void *arg)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < N_ROOT_NAMES && rc == LF_OK; i++)
        rc = fn(arg, root_names[i].name);
    return rc;
}

static enum lf_err list_jobs(const struct lf_view *v, lf_space_fn fn, void *arg)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < v->jobs->n && rc == LF_OK; i++) {
        char name[24];
        snprintf(name, sizeof name, "%lld", (long long)v->jobs->jobs[i].id);
        rc = fn(arg, name);
    }
    return rc;
}

static enum lf_err list_adapter(const struct lf_tree_adapter *a, lf_space_fn fn, void *arg)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < 2 && rc == LF_OK; i++)
        rc = fn(arg, adapter_dirs[i].name);
    for (size_t i = 0; i < LF_FILE_N && rc == LF_OK; i++)
        if (!strchr(lf_files[i].name, '/') &&
            (lf_file_is_always(&lf_files[i]) || lf_tree_file(a, lf_files[i].name)))
            rc = fn(arg, lf_files[i].name);
    return rc;
}

static enum lf_err list_versions(const struct lf_tree_adapter *a, lf_space_fn fn, void *arg)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < a->n_versions && rc == LF_OK; i++) {
        char name[24];
        snprintf(name, sizeof name, "%lld", (long long)a->versions[i]);
        rc = fn(arg, name);
    }
    return rc == LF_OK && a->current > 0 ? fn(arg, "current") : rc;
}

/* The files right below adapter/ or versions/<n>/. */
static enum lf_err list_files(const struct lf_tree_adapter *a, const char *rel, lf_space_fn fn,
                              void *arg)
{
    char prefix[LF_REL_MAX + 1];
    int len = snprintf(prefix, sizeof prefix, "%s/", rel);
    size_t n;
    enum lf_err rc = LF_OK;
    const struct lf_tree_file *f = lf_tree_files_below(a, prefix, &n);
    for (size_t i = 0; i < n && rc == LF_OK; i++)
        if (!strchr(f[i].path + len, '/'))
            rc = fn(arg, f[i].path + len);
    return rc;
}

enum lf_err lf_space_list(const struct lf_view *v, const struct lf_place *dir, lf_space_fn fn,
                          void *arg)
{
    const struct lf_tree_adapter *a = NULL;
    enum lf_err rc = LF_OK;
    if (dir->kind >= LF_KIND_ADAPTER && !(a = lf_tree_adapter(v->tree, dir->owner)))
        return LF_E_NOT_FOUND;
    switch (dir->kind) {
    case LF_KIND_ROOT:
        return list_root(fn, arg);
    case LF_KIND_BASES:
        for (size_t i = 0; i < v->tree->n_bases && rc == LF_OK; i++)
            rc = fn(arg, v->tree->bases[i].name);
        return rc;
    case LF_KIND_BASE:
        return list_names(base_names, 2, fn, arg);
    case LF_KIND_JOBS:
        return list_jobs(v, fn, arg);
    case LF_KIND_MODELS:
        for (size_t i = 0; i < v->tree->n_adapters && rc == LF_OK; i++)
            rc = fn(arg, v->tree->adapters[i].name);
        return rc;
    case LF_KIND_ADAPTER:
        return list_adapter(a, fn, arg);
    case LF_KIND_VERSIONS:
        return list_versions(a, fn, arg);
    case LF_KIND_WEIGHTS:
        return list_files(a, "adapter", fn, arg);
    case LF_KIND_VERSION:
        return list_files(a, dir->rel, fn, arg);
    case LF_KIND_LOCAL_DIR:
        return LF_OK;
    default:
        return LF_E_NOT_FOUND;
    }
}
