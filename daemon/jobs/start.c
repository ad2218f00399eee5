/* Where a training starts: the version that "from" names, linked among the job's inputs when the
 * job is made, so that nothing that happens to that version later changes the job. */
#include "daemon/jobs/start.h"

#include "core/file.h"
#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A version that "from" names. */
struct start {
    struct lf_adapter_view of;
    int32_t version;
};

static enum lf_err version_dir(struct lf_registry *r, const struct start *s, int32_t version,
                               const char *file, char out[LF_PATH_MAX], struct lf_diag *diag)
{
    char part[128];
    snprintf(part, sizeof part, "versions/%d%s%s", (int)version, *file ? "/" : "", file);
    return lf_registry_dir(r, s->of.record.id, part, out, diag);
}

/* No job here made it: its report knows of no training. */
static bool is_import(struct lf_registry *r, const struct start *s, int32_t version)
{
    char path[LF_PATH_MAX];
    json_auto_t *report = NULL;
    if (version_dir(r, s, version, lf_files[LF_FILE_METRICS].disk, path, NULL) != LF_OK)
        return false;
    return !lf_file_exists(path) || lf_json_load(&report, path, NULL) != LF_OK ||
           !json_object_get(report, "train");
}

static enum lf_err find_import(struct lf_registry *r, struct start *s, struct lf_diag *diag)
{
    int32_t *list = NULL;
    size_t n = 0;
    enum lf_err rc = lf_registry_versions(r, s->of.record.name, &list, &n, diag);
    for (size_t i = n; i-- > 0 && s->version == 0;)
        if (is_import(r, s, list[i]))
            s->version = list[i];
    free(list);
    if (rc == LF_OK && s->version == 0)
        rc = lf_fail(diag, LF_E_INVALID, "nothing was imported into %s", s->of.record.name);
    return rc;
}

/* The version that is all of a text; 0: that is none. */
static int32_t number_of(const char *text)
{
    size_t n = strlen(text);
    long long x = n > 0 && n < 11 && strspn(text, "0123456789") == n ? strtoll(text, NULL, 10) : 0;
    return x <= INT32_MAX ? (int32_t)x : 0;
}

/* "3", "import", "current", "other", "other/3". */
static enum lf_err find(struct lf_registry *r, uint64_t adapter_id, const char *from,
                        struct start *s, struct lf_diag *diag)
{
    char name[LF_NAME_MAX + 1], dir[LF_PATH_MAX];
    const char *number = from + strcspn(from, "/");
    bool counted = *number || strspn(from, "0123456789") == strlen(from);
    bool own = (counted && !*number) || strcmp(from, "import") == 0 || strcmp(from, "current") == 0;
    snprintf(name, sizeof name, "%.*s", (int)(number - from), from);
    *s = (struct start){.version = 0};
    enum lf_err rc = own ? lf_registry_view_id(r, adapter_id, &s->of, diag)
                         : lf_registry_view(r, name, &s->of, diag);
    if (rc != LF_OK)
        return rc;
    if (strcmp(from, "import") == 0)
        return find_import(r, s, diag);
    s->version = counted ? number_of(*number ? number + 1 : from) : s->of.record.current;
    if (counted && s->version == 0)
        return lf_fail(diag, LF_E_INVALID, "%s has no version %s", s->of.record.name,
                       *number ? number + 1 : from);
    rc = version_dir(r, s, s->version, LF_ADAPTER_WEIGHTS_NAME, dir, diag);
    if (rc == LF_OK && (s->version < 1 || !lf_file_exists(dir)))
        rc = s->version < 1
                 ? lf_fail(diag, LF_E_INVALID, "%s has no version yet", s->of.record.name)
                 : lf_fail(diag, LF_E_INVALID, "%s has no version %d", s->of.record.name,
                           (int)s->version);
    return rc;
}

static enum lf_err link_files(struct lf_registry *r, const struct start *s, const char *dir,
                              struct lf_diag *diag)
{
    static const char *const names[] = {LF_ADAPTER_CONFIG_NAME, LF_ADAPTER_WEIGHTS_NAME};
    char from[LF_PATH_MAX], to[LF_PATH_MAX];
    enum lf_err rc = lf_dir_make(dir, diag);
    for (size_t i = 0; i < 2 && rc == LF_OK; i++) {
        rc = version_dir(r, s, s->version, names[i], from, diag);
        rc = rc ?: lf_path_join(to, dir, names[i], diag);
        if (rc == LF_OK && link(from, to) != 0)
            rc = lf_fail_errno(diag, errno, "%s", to);
    }
    return rc;
}

/* parent.json beside the files: what the version's report says of its start. */
static enum lf_err parent_write(const struct start *s, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], sha256[LF_SHA256_HEX];
    lf_buf_auto text = {0};
    enum lf_err rc = lf_path_join(path, dir, LF_ADAPTER_WEIGHTS_NAME, diag);
    rc = rc ?: lf_sha256_file(sha256, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_json_put(&text,
                     json_pack("{s:s, s:i, s:s}", "adapter", s->of.record.name, "version",
                               (int)s->version, "sha256", sha256),
                     JSON_COMPACT);
    if (rc != LF_OK)
        return lf_no_memory(diag, "where a training starts");
    rc = lf_path_join(path, dir, LF_START_PARENT, diag);
    return rc ?: lf_file_write(path, text.data, text.len, diag);
}

/* ---- What the settings say of its shape ------------------------------------------------------ */

/* What is not as by default has to agree: a rank of the settings' would be another adapter. */
static enum lf_err shape_fits(const struct lf_train_settings *s, const struct lf_adapter *a,
                              const struct lf_config *c, struct lf_diag *diag)
{
    struct lf_train_settings usual;
    struct lf_adapter *other = NULL;
    lf_train_settings_default(&usual);
    if (s->rank != usual.rank && s->rank != a->rank)
        return lf_fail(diag, LF_E_INVALID, "its rank is %d, \"rank\" is %d", a->rank, s->rank);
    if (s->rslora && !a->rslora)
        return lf_fail(diag, LF_E_INVALID, "it is not rsLoRA, which \"rslora\" asks for");
    if (s->dora && !a->shape.dora)
        return lf_fail(diag, LF_E_INVALID, "it has no magnitudes, which \"dora\" asks for");
    if (!s->target_modules && !s->rank_pattern && !s->alpha_pattern && !s->layers_to_transform)
        return LF_OK;
    struct lf_lora_settings lora = lf_train_settings_lora(s);
    lora.rank = a->rank;
    lora.alpha = a->alpha;
    lora.rslora = a->rslora;
    enum lf_err rc = lf_adapter_new(&other, c, &lora, 0, diag);
    for (int i = 0; i < a->shape.n_sites && rc == LF_OK; i++) {
        char site[LF_SITE_NAME_MAX];
        lf_adapter_site_name(site, c, i);
        if ((a->shape.rank[i] > 0) != (other->shape.rank[i] > 0))
            rc = lf_fail(diag, LF_E_INVALID, "it has %s%s, which \"target_modules\" has%s",
                         a->shape.rank[i] > 0 ? "" : "no ", site,
                         a->shape.rank[i] > 0 ? " not" : "");
        else if (s->rank_pattern && a->shape.rank[i] != other->shape.rank[i])
            rc = lf_fail(diag, LF_E_INVALID, "its rank at %s is %d, \"rank_pattern\" has %d", site,
                         a->shape.rank[i], other->shape.rank[i]);
        else if (s->alpha_pattern && a->shape.scale[i] != other->shape.scale[i])
            rc = lf_fail(diag, LF_E_INVALID, "its alpha at %s is not \"alpha_pattern\"'s", site);
    }
    lf_adapter_free(other);
    return rc;
}

enum lf_err lf_start_freeze(struct lf_registry *r, uint64_t adapter_id, const char *dir,
                            struct lf_train_settings *s, struct lf_diag *diag)
{
    char start[LF_PATH_MAX];
    struct start found;
    struct lf_adapter *a = NULL;
    const struct lf_config *c = &lf_registry_base(r, adapter_id)->model->config;
    if (!s->from[0])
        return LF_OK;
    enum lf_err rc = lf_path_join(start, dir, LF_INPUTS_START, diag);
    if (rc != LF_OK)
        return rc;
    rc = find(r, adapter_id, s->from, &found, diag);
    rc = rc ?: link_files(r, &found, start, diag) ?: parent_write(&found, start, diag);
    rc = rc ?: lf_adapter_load(&a, c, start, diag) ?: shape_fits(s, a, c, diag);
    if (rc == LF_OK) {
        s->rank = a->rank;
        s->alpha = a->alpha;
        s->rslora = a->rslora;
        s->dora = a->shape.dora;
    }
    lf_adapter_free(a);
    return rc == LF_OK ? rc : lf_fail_within(diag, LF_E_INVALID, "\"from\": %s", s->from);
}

enum lf_err lf_start_load(struct lf_adapter **out, const char *dir, const struct lf_config *c,
                          struct lf_diag *diag)
{
    char start[LF_PATH_MAX];
    *out = NULL;
    enum lf_err rc = lf_path_join(start, dir, LF_INPUTS_START, diag);
    if (rc != LF_OK || !lf_file_exists(start))
        return rc;
    return lf_adapter_load(out, c, start, diag);
}

json_t *lf_start_parent(const char *dir)
{
    char start[LF_PATH_MAX], path[LF_PATH_MAX];
    json_t *parent = NULL;
    if (lf_path_join(start, dir, LF_INPUTS_START, NULL) != LF_OK ||
        lf_path_join(path, start, LF_START_PARENT, NULL) != LF_OK || !lf_file_exists(path) ||
        lf_json_load(&parent, path, NULL) != LF_OK)
        return NULL;
    return parent;
}
