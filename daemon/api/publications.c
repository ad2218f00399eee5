/* What other daemons ask for: which versions are current, and their files (peers/peer.h). */
#include "core/json.h"
#include "daemon/api/api.h"
#include "daemon/sharing.h"
#include "daemon/state.h"
#include "peers/publication.h"

#include <fcntl.h>
#include <string.h>

static enum lf_err shared_dir(const struct lf_http *q, const char **dir, struct lf_diag *diag)
{
    *dir = lf_sharing_dir(q->daemon->sharing);
    return *dir
               ? LF_OK
               : lf_fail(diag, LF_E_NOT_FOUND, "the daemon was started without --share or --peers");
}

/* The tag of the tiny files' directory changes with each that is replaced. */
enum lf_err lf_api_publications(struct lf_http *q, struct lf_diag *diag)
{
    const char *dir;
    char path[LF_PATH_MAX], tag[LF_FILE_TAG];
    lf_names_auto names = {0};
    enum lf_err rc = shared_dir(q, &dir, diag) ?: lf_path_join(path, dir, "current", diag);
    rc = rc ?: lf_file_tag_at(tag, path, diag);
    if (rc != LF_OK)
        return rc;
    lf_http_set(q, "ETag", "\"%s\"", tag);
    if (lf_tag_listed(lf_http_header(q, "If-None-Match"), tag)) {
        lf_http_reply_empty(q, 304);
        return LF_OK;
    }
    json_t *list = json_object();
    rc = lf_shared_names(&names, dir, diag);
    for (size_t i = 0; rc == LF_OK && i < names.n; i++) {
        struct lf_published p = {0};
        if (lf_shared_read(&p, dir, names.at[i], NULL) == LF_OK)
            json_object_set_new(list, p.name, lf_published_json(&p));
        lf_published_free(&p);
    }
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, json_pack("{s:o}", "publications", list));
    else
        json_decref(list);
    return rc;
}

enum lf_err lf_api_publication_file(struct lf_http *q, struct lf_diag *diag)
{
    const char *dir;
    char path[LF_PATH_MAX];
    bool known = false;
    enum lf_err rc = shared_dir(q, &dir, diag);
    for (int i = 0; lf_shared_files[i]; i++)
        known = known || strcmp(lf_shared_files[i], q->param[1]) == 0;
    if (rc == LF_OK && (!known || !lf_shared_has(dir, q->param[0])))
        rc = lf_fail(diag, LF_E_NOT_FOUND, "no version %.64s has a file %.64s", q->param[0],
                     q->param[1]);
    rc = rc ?: lf_shared_file(path, dir, q->param[0], q->param[1], diag);
    int fd = rc == LF_OK ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (rc == LF_OK && fd < 0)
        return lf_fail_errno(diag, errno, "%s", path);
    if (rc == LF_OK)
        lf_http_reply_file(q, fd, "application/octet-stream");
    return rc;
}
