/* What made a version, beside its weights: files that the daemon writes. */
#include "daemon/registry/index.h"

#include "core/file.h"
#include "core/log.h"

#include <stdio.h>
#include <string.h>

void lf_registry_version_write(struct lf_registry *r, uint64_t id, int32_t version,
                               enum lf_file_kind kind, const void *bytes, size_t n)
{
    char dir[LF_PATH_MAX], path[LF_PATH_MAX];
    struct lf_diag diag = {""};
    const char *name = NULL;
    for (size_t i = 0; i < LF_VERSION_FILES_N; i++)
        if (lf_version_files[i].kind == kind)
            name = lf_version_files[i].name;
    enum lf_err rc = lf_registry_pathf(r, dir, &diag, "adapters/%llu/versions/%d",
                                       (unsigned long long)id, (int)version);
    if (rc == LF_OK && (!name || !lf_file_exists(dir)))
        return; /* removed meanwhile */
    rc = rc ?: lf_path_join(path, dir, name, &diag);
    rc = rc ?: lf_file_write(path, bytes, n, &diag);
    if (rc == LF_OK)
        lf_registry_refresh(r, id, NULL);
    else
        lf_log(LF_LOG_WARN, "registry", "version %d: %s", (int)version, diag.text);
}

/* A line of the log that has the member: "job":7 or "version":3. */
static bool line_has(const char *line, size_t n, const char *member)
{
    const char *at = memmem(line, n, member, strlen(member));
    const char *end = at ? at + strlen(member) : NULL;
    return end && end < line + n && (*end == ',' || *end == '}');
}

void lf_registry_version_log(struct lf_registry *r, uint64_t id, int32_t version, uint64_t job)
{
    char path[LF_PATH_MAX], of_job[48], of_version[48];
    struct lf_mapping m;
    lf_buf_auto out = {0};
    snprintf(of_job, sizeof of_job, "\"job\":%llu", (unsigned long long)job);
    snprintf(of_version, sizeof of_version, "\"version\":%d", (int)version);
    if (lf_registry_dir(r, id, lf_files[LF_FILE_LOG].disk, path, NULL) != LF_OK ||
        lf_file_map(&m, path, NULL) != LF_OK)
        return;
    const char *at = (const char *)m.data, *end = at + m.bytes, *nl;
    for (; at && at < end && (nl = memchr(at, '\n', (size_t)(end - at))); at = nl + 1)
        if (line_has(at, (size_t)(nl - at), of_job) || line_has(at, (size_t)(nl - at), of_version))
            lf_buf_append(&out, at, (size_t)(nl + 1 - at));
    lf_file_unmap(&m);
    if (out.rc == LF_OK && out.len > 0)
        lf_registry_version_write(r, id, version, LF_FILE_LOG, out.data, out.len);
}
