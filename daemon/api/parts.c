/* A file in parts: what is sent of it is kept under an id of the client's, and becomes the file by
 * a PUT without a body that names it and the digest of all its bytes. */
#include "daemon/api/api.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"

#include "core/parts.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define CLAIM_LOOK_MS 100

static struct lf_parts *parts_of(struct lf_http *q)
{
    return lf_registry_parts(q->daemon->registry);
}

static enum lf_err owner_of(struct lf_http *q, uint64_t *owner, struct lf_diag *diag)
{
    struct lf_adapter_view v;
    enum lf_err rc = lf_registry_view(q->daemon->registry, q->param[0], &v, diag);
    if (rc == LF_OK)
        *owner = v.record.id;
    return rc;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static enum lf_err part_begin(struct lf_http *q, int64_t bytes, struct lf_diag *diag)
{
    static const char *const known[] = {"at", NULL};
    char dir[LF_PATH_MAX];
    int64_t at = 0;
    uint64_t owner = 0;
    enum lf_err rc = lf_http_query_only(q, known, diag);
    rc = rc ?: lf_http_query_int(q, "at", 0, (int64_t)LF_DATASET_BYTES_MAX, &at, diag);
    rc = rc ?: owner_of(q, &owner, diag);
    rc = rc ?: lf_path_join(dir, q->daemon->options.data_dir, "incoming", diag);
    if (rc == LF_OK && bytes > (int64_t)LF_DATASET_BYTES_MAX - at)
        rc = lf_fail(diag, LF_E_TOO_BIG, "a file may have %llu bytes",
                     (unsigned long long)LF_DATASET_BYTES_MAX);
    if (rc == LF_OK && lf_registry_disk_short(q->daemon->registry, diag))
        rc = LF_E_NO_SPACE;
    if (rc != LF_OK)
        return rc;
    struct lf_part_hold *part = q->sinking = calloc(1, sizeof *part);
    return part ? lf_part_take(part, parts_of(q), owner, q->param[1], (uint64_t)at, dir, diag)
                : lf_no_memory(diag, "the upload");
}

static enum lf_err part_write(struct lf_http *q, const void *data, size_t n, struct lf_diag *diag)
{
    lf_jobs_touched(q->daemon->jobs, q->param[0]);
    return lf_part_write(q->sinking, data, n, diag);
}

static void part_end(struct lf_http *q)
{
    if (q->sinking)
        lf_part_leave(parts_of(q), q->sinking);
    free(q->sinking);
}

const struct lf_http_sink lf_api_part = {part_begin, part_write, part_end};

enum lf_err lf_api_part_look(struct lf_http *q, struct lf_diag *diag)
{
    uint64_t owner, bytes;
    enum lf_err rc = owner_of(q, &owner, diag);
    rc = rc ?: lf_parts_bytes(parts_of(q), owner, q->param[1], &bytes, diag);
    if (rc == LF_OK)
        lf_http_reply_json(
            q, 200, json_pack("{s:s, s:I}", "upload", q->param[1], "bytes", (json_int_t)bytes));
    return rc;
}

/* ---- Whole ----------------------------------------------------------------------------------- */

enum lf_err lf_api_parts_claim(struct lf_http *q, struct lf_upload *u, struct lf_api_claim *out,
                               struct lf_diag *diag)
{
    const char *sha256 = lf_http_query(q, "sha256");
    struct lf_claim claim;
    if (!sha256 || strlen(sha256) != LF_SHA256_HEX - 1 || u->bytes > 0)
        return lf_fail(diag, LF_E_INVALID, "\"upload\" comes with \"sha256\" and without a body");
    enum lf_err rc = owner_of(q, &out->owner, diag);
    if (rc != LF_OK)
        return rc;
    /* Who asks again while it is taken in was cut off, and is told how that ends. */
    while ((rc = lf_parts_claim(&claim, parts_of(q), out->owner, out->id, sha256, diag)) ==
               LF_E_BUSY &&
           lf_http_wanted(q, NULL) == LF_OK)
        poll(NULL, 0, CLAIM_LOOK_MS);
    if (rc == LF_E_EXISTS)
        memcpy(out->answer, claim.answer, sizeof out->answer);
    if (rc != LF_OK)
        return rc;
    rc = lf_upload_adopt(u, claim.fd, claim.path, claim.bytes, diag);
    if (rc != LF_OK)
        lf_api_parts_answer(q, out, NULL);
    return rc;
}

void lf_api_parts_answer(struct lf_http *q, const struct lf_api_claim *c, const char *answer)
{
    lf_parts_answer(parts_of(q), c->owner, c->id, answer);
}
