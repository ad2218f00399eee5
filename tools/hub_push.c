/* A push: create, ask how each file is to come (preupload), bring the large ones where the hub says
 * (Git LFS' batch), commit. */
#include "tools/hub_push.h"

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "tools/hub_request.h"
#include "tools/limits.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE 512 /* bytes of a file by which the hub decides */
#define TRIES 5
#define PAUSE_MS 500        /* before the second try, doubled for each one after */
#define ANSWER_SECONDS 300L /* a commit of large files is checked before it is answered */
#define JSON_KIND "application/json"
#define LFS_KIND "application/vnd.git-lfs+json"

struct pushed_file {
    const char *name;
    struct lf_mapping map;
    char sha256[LF_SHA256_HEX];
    bool large;
};

struct pushing {
    const struct lf_hub_push *p;
    const struct lf_hub_options *o;
    struct pushed_file *files;
    size_t n;
    int64_t done, total; /* bytes of large files */
};

/* ---- Requests -------------------------------------------------------------------------------- */

/* What is sent. */
struct sending {
    const char *data;
    size_t n, at;
    struct pushing *x; /* whose progress it is; or NULL */
};

static size_t take_body(char *out, size_t size, size_t n, void *arg)
{
    struct sending *s = arg;
    size_t some = s->n - s->at < size * n ? s->n - s->at : size * n;
    memcpy(out, s->data + s->at, some);
    s->at += some;
    if (s->x && s->x->o->progress &&
        s->x->o->progress(s->x->o->progress_arg, s->x->done + (int64_t)s->at, s->x->total))
        return CURL_READFUNC_ABORT;
    return some;
}

static int seek_body(void *arg, curl_off_t offset, int origin)
{
    struct sending *s = arg;
    if (origin != SEEK_SET || offset < 0 || (size_t)offset > s->n)
        return CURL_SEEKFUNC_FAIL;
    s->at = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static enum lf_err push_status(long status, const char *what, const struct lf_buf *answer,
                               struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    const char *said = NULL;
    if (lf_json_parse(&j, answer->data ? answer->data : "", answer->len, NULL) == LF_OK)
        said = json_string_value(json_object_get(j, "error"));
    if (status == 401 || status == 403)
        return lf_fail(diag, LF_E_DENIED,
                       "%s: the hub answers %ld%s%.200s; HF_TOKEN must be a token that may write",
                       what, status, said ? ": " : "", said ? said : "");
    if (said)
        return lf_fail(diag, LF_E_IO, "%s: the hub answers %ld: %.200s", what, status, said);
    return lf_hub_status(status, what, diag);
}

/* One request, by a handle that was made for it; its status, also over 299, in *status. */
static enum lf_err perform(long *status, struct lf_buf *answer, CURL *c, struct curl_slist *headers,
                           struct sending *s, const char *what, const char *why,
                           struct lf_diag *diag)
{
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, ANSWER_SECONDS);
    curl_easy_setopt(c, CURLOPT_READFUNCTION, take_body);
    curl_easy_setopt(c, CURLOPT_READDATA, s);
    curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, seek_body);
    curl_easy_setopt(c, CURLOPT_SEEKDATA, s);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, lf_hub_append_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, answer);
    CURLcode code = curl_easy_perform(c);
    *status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, status);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return lf_fail(diag, LF_E_CANCELLED, "interrupted");
    if (code != CURLE_OK)
        return lf_fail(diag, LF_E_UNREACHABLE, "%s: %s", what,
                       *why ? why : curl_easy_strerror(code));
    return LF_OK;
}

/* POST of a text to the endpoint's path, or to a URL; the answer as JSON, NULL where it has none.
 */
static enum lf_err post(json_t **out, long *status, const struct pushing *x, const char *url,
                        const char *kind, const struct lf_buf *body, struct lf_diag *diag)
{
    char why[CURL_ERROR_SIZE] = "", type[96];
    lf_buf_auto answer = {.max = LF_HUB_LISTING_MAX};
    struct sending s = {.data = body->data, .n = body->len};
    *status = 0;
    CURL *c = lf_hub_request(url, x->o, why);
    snprintf(type, sizeof type, "Content-Type: %s", kind);
    struct curl_slist *headers = curl_slist_append(NULL, type);
    enum lf_err rc = c && headers ? LF_OK : lf_no_memory(diag, "a request");
    if (rc == LF_OK) {
        if (strcmp(kind, LFS_KIND) == 0)
            headers = curl_slist_append(headers, "Accept: " LFS_KIND);
        curl_easy_setopt(c, CURLOPT_POST, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
        rc = perform(status, &answer, c, headers, &s, url, why, diag);
    }
    if (rc == LF_OK && *status > 299)
        rc = push_status(*status, x->p->id, &answer, diag);
    if (rc == LF_OK && answer.len > 0 &&
        lf_json_parse(out, lf_buf_str(&answer), answer.len, diag) != LF_OK)
        rc = lf_fail_within(diag, LF_E_DAMAGED, "%s", url);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    return rc;
}

static enum lf_err post_json(json_t **out, long *status, const struct pushing *x, const char *path,
                             const char *kind, json_t *body, struct lf_diag *diag)
{
    lf_buf_auto url = {.max = 4096}, text = {0};
    lf_hub_put_endpoint(&url, x->o);
    lf_buf_puts(&url, path);
    lf_json_put(&text, body, JSON_COMPACT);
    if (url.rc != LF_OK || text.rc != LF_OK)
        return lf_no_memory(diag, "a request");
    return post(out, status, x, lf_buf_str(&url), kind, &text, diag);
}

/* ---- The steps ------------------------------------------------------------------------------- */

static enum lf_err open_files(struct pushing *x, const struct lf_names *names, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = LF_OK;
    x->files = calloc(names->n + 1, sizeof *x->files);
    if (!x->files)
        return lf_no_memory(diag, "the files' names");
    for (; x->n < names->n && rc == LF_OK; x->n++) {
        struct pushed_file *f = &x->files[x->n];
        f->name = names->at[x->n];
        rc = lf_path_join(path, x->p->dir, f->name, diag) ?: lf_file_map(&f->map, path, diag);
        rc = rc ?: lf_sha256_of(f->sha256, f->map.data, f->map.bytes, diag);
    }
    return rc;
}

/* Made, or there already. */
static enum lf_err create_repo(const struct pushing *x, struct lf_diag *diag)
{
    json_auto_t *answer = NULL;
    const char *slash = strchr(x->p->id, '/');
    long status;
    json_t *body =
        json_pack("{s:s%, s:s, s:s, s:b}", "organization", x->p->id, (size_t)(slash - x->p->id),
                  "name", slash + 1, "type", "model", "private", x->p->private);
    enum lf_err rc = post_json(&answer, &status, x, "/api/repos/create", JSON_KIND, body, diag);
    return rc != LF_OK && status == 409 ? LF_OK : rc;
}

/* Base64 of n bytes, as a JSON string; NULL: no memory. */
static json_t *base64(const void *data, size_t n)
{
    json_t *j = NULL;
    char *text = n <= INT32_MAX / 2 ? malloc(n / 3 * 4 + 8) : NULL;
    if (text) {
        int k = EVP_EncodeBlock((unsigned char *)text, data, (int)n);
        j = json_stringn(text, (size_t)k);
    }
    free(text);
    return j;
}

/* Which files are large is the hub's word. */
static enum lf_err ask_modes(struct pushing *x, struct lf_diag *diag)
{
    char path[512];
    long status;
    json_auto_t *answer = NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < x->n; i++) {
        const struct pushed_file *f = &x->files[i];
        size_t some = f->map.bytes < SAMPLE ? f->map.bytes : SAMPLE;
        json_array_append_new(list, json_pack("{s:s, s:I, s:o}", "path", f->name, "size",
                                              (json_int_t)f->map.bytes, "sample",
                                              base64(f->map.data, some)));
    }
    snprintf(path, sizeof path, "/api/models/%s/preupload/main", x->p->id);
    enum lf_err rc =
        post_json(&answer, &status, x, path, JSON_KIND, json_pack("{s:o}", "files", list), diag);
    const json_t *files = json_object_get(answer, "files");
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *f = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(f, "path"));
        const char *mode = json_string_value(json_object_get(f, "uploadMode"));
        for (size_t k = 0; name && mode && k < x->n; k++)
            if (strcmp(x->files[k].name, name) == 0 && strcmp(mode, "lfs") == 0) {
                x->files[k].large = true;
                x->total += (int64_t)x->files[k].map.bytes;
            }
    }
    return rc;
}

static struct curl_slist *headers_of(const json_t *list)
{
    struct curl_slist *headers = NULL;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)list, key, value) {
        char line[4096];
        if (json_is_string(value) &&
            snprintf(line, sizeof line, "%s: %s", key, json_string_value(value)) < (int)sizeof line)
            headers = curl_slist_append(headers, line);
    }
    return headers;
}

/* One try. The storage is another host, which gets no token of ours. */
static enum lf_err put_once(struct pushing *x, long *status, const struct pushed_file *f,
                            const char *url, const json_t *with, struct lf_diag *diag)
{
    char why[CURL_ERROR_SIZE] = "";
    lf_buf_auto answer = {.max = LF_HUB_LISTING_MAX};
    struct sending s = {.data = f->map.data, .n = f->map.bytes, .x = x};
    struct lf_hub_options bare = *x->o;
    bare.token = "";
    CURL *c = lf_hub_request(url, &bare, why);
    struct curl_slist *headers = headers_of(with);
    enum lf_err rc = c ? LF_OK : lf_no_memory(diag, "a request");
    if (rc == LF_OK) {
        curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)f->map.bytes);
        rc = perform(status, &answer, c, headers, &s, f->name, why, diag);
    }
    if (rc == LF_OK && *status > 299)
        rc = lf_hub_status(*status, f->name, diag);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    return rc;
}

static enum lf_err put_large(struct pushing *x, const struct pushed_file *f, const json_t *action,
                             struct lf_diag *diag)
{
    const char *url = json_string_value(json_object_get(action, "href"));
    uint64_t pause_ms = PAUSE_MS;
    if (!url || (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
        return lf_fail(diag, LF_E_DAMAGED, "%s: the hub does not say where it goes", f->name);
    for (int i = 1;; i++, pause_ms *= 2) {
        long status = 0;
        enum lf_err rc = put_once(x, &status, f, url, json_object_get(action, "header"), diag);
        bool again = rc == LF_E_UNREACHABLE || status == 429 || status >= 500;
        if (rc == LF_OK || !again || i == TRIES)
            return rc;
        lf_clock_sleep(pause_ms * 1000000u);
    }
}

/* Whether a URL is the endpoint's: to others the token does not go. */
static bool is_ours(const struct pushing *x, const char *url)
{
    lf_buf_auto endpoint = {.max = 4096};
    lf_hub_put_endpoint(&endpoint, x->o);
    lf_buf_putc(&endpoint, '/');
    return endpoint.rc == LF_OK && strncmp(url, endpoint.data, endpoint.len) == 0;
}

static enum lf_err verify_large(const struct pushing *x, const struct pushed_file *f,
                                const json_t *action, struct lf_diag *diag)
{
    json_auto_t *answer = NULL;
    lf_buf_auto body = {0};
    long status;
    const char *url = json_string_value(json_object_get(action, "href"));
    if (!url)
        return LF_OK; /* the hub does not ask for it */
    lf_json_put(&body, json_pack("{s:s, s:I}", "oid", f->sha256, "size", (json_int_t)f->map.bytes),
                JSON_COMPACT);
    if (body.rc != LF_OK)
        return lf_no_memory(diag, "a request");
    struct lf_hub_options bare = *x->o;
    struct pushing other = *x;
    other.o = &bare;
    if (!is_ours(x, url))
        bare.token = "";
    return post(&answer, &status, &other, url, LFS_KIND, &body, diag);
}

/* What the hub has already it gives no place for. */
static enum lf_err bring_large(struct pushing *x, const json_t *objects, struct pushed_file *f,
                               struct lf_diag *diag)
{
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *o = json_array_get(objects, i);
        const char *oid = json_string_value(json_object_get(o, "oid"));
        const json_t *actions = json_object_get(o, "actions");
        const char *refused =
            json_string_value(json_object_get(json_object_get(o, "error"), "message"));
        if (!oid || strcmp(oid, f->sha256) != 0)
            continue;
        if (refused)
            return lf_fail(diag, LF_E_IO, "%s: the hub answers: %.200s", f->name, refused);
        enum lf_err rc = LF_OK;
        if (json_object_get(actions, "upload"))
            rc = put_large(x, f, json_object_get(actions, "upload"), diag)
                     ?: verify_large(x, f, json_object_get(actions, "verify"), diag);
        x->done += (int64_t)f->map.bytes;
        return rc;
    }
    return lf_fail(diag, LF_E_DAMAGED, "%s: the hub does not answer for it", f->name);
}

static enum lf_err bring_all(struct pushing *x, struct lf_diag *diag)
{
    char path[512];
    long status;
    json_auto_t *answer = NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < x->n; i++)
        if (x->files[i].large)
            json_array_append_new(list, json_pack("{s:s, s:I}", "oid", x->files[i].sha256, "size",
                                                  (json_int_t)x->files[i].map.bytes));
    json_t *body = json_pack("{s:s, s:[s], s:s, s:o}", "operation", "upload", "transfers", "basic",
                             "hash_algo", "sha256", "objects", list);
    if (x->total == 0) {
        json_decref(body);
        return LF_OK;
    }
    snprintf(path, sizeof path, "/%s.git/info/lfs/objects/batch", x->p->id);
    enum lf_err rc = post_json(&answer, &status, x, path, LFS_KIND, body, diag);
    for (size_t i = 0; i < x->n && rc == LF_OK; i++)
        if (x->files[i].large)
            rc = bring_large(x, json_object_get(answer, "objects"), &x->files[i], diag);
    return rc;
}

static void put_line(struct lf_buf *b, const char *key, json_t *value)
{
    lf_json_put(b, json_pack("{s:s, s:o}", "key", key, "value", value), JSON_COMPACT);
    lf_buf_putc(b, '\n');
}

/* One line for the commit, one for each file: small ones in it, large ones by their digest. */
static enum lf_err commit_all(char commit[LF_HUB_COMMIT_BYTES], const struct pushing *x,
                              struct lf_diag *diag)
{
    lf_buf_auto url = {.max = 4096}, body = {0};
    json_auto_t *answer = NULL;
    long status;
    put_line(&body, "header", json_pack("{s:s, s:s}", "summary", x->p->message, "description", ""));
    for (size_t i = 0; i < x->n; i++) {
        const struct pushed_file *f = &x->files[i];
        if (f->large)
            put_line(&body, "lfsFile",
                     json_pack("{s:s, s:s, s:s, s:I}", "path", f->name, "algo", "sha256", "oid",
                               f->sha256, "size", (json_int_t)f->map.bytes));
        else
            put_line(&body, "file",
                     json_pack("{s:s, s:s, s:o}", "path", f->name, "encoding", "base64", "content",
                               base64(f->map.data, f->map.bytes)));
    }
    lf_hub_put_endpoint(&url, x->o);
    lf_buf_printf(&url, "/api/models/%s/commit/main", x->p->id);
    if (url.rc != LF_OK || body.rc != LF_OK)
        return lf_no_memory(diag, "a commit");
    enum lf_err rc =
        post(&answer, &status, x, lf_buf_str(&url), "application/x-ndjson", &body, diag);
    const char *oid = json_string_value(json_object_get(answer, "commitOid"));
    if (rc == LF_OK)
        snprintf(commit, LF_HUB_COMMIT_BYTES, "%s", oid ? oid : "");
    return rc;
}

enum lf_err lf_hub_push(char commit[LF_HUB_COMMIT_BYTES], const struct lf_hub_push *p,
                        const struct lf_hub_options *options, struct lf_diag *diag)
{
    struct pushing x = {.p = p, .o = options};
    lf_names_auto names = {0};
    enum lf_err rc = lf_hub_id_check(p->id, diag);
    rc = rc ?: lf_dir_names(&names, p->dir, diag);
    rc = rc ?: open_files(&x, &names, diag);
    rc = rc ?: create_repo(&x, diag);
    rc = rc ?: ask_modes(&x, diag);
    rc = rc ?: bring_all(&x, diag);
    rc = rc ?: commit_all(commit, &x, diag);
    for (size_t i = 0; i < x.n; i++)
        lf_file_unmap(&x.files[i].map);
    free(x.files);
    return rc;
}
