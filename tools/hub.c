/* The hub client: one listing request, then parallel ranged downloads through a curl multi handle.
 */
#include "tools/hub.h"

#include "core/buf.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "core/limits.h"
#include "base/base.h"
#include "tools/hub_request.h"
#include "tools/limits.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HUB_PARALLEL 4
#define HUB_TRIES 5
#define HUB_PAUSE_MS 500       /* before the second try, doubled for each one after */
#define HUB_PAUSE_MAX_MS 60000 /* of what the hub asks for */

/* ---- The listing ----------------------------------------------------------------------------- */

bool lf_hub_wanted(const char *name)
{
    static const char *const exact[] = {"config.json",
                                        "generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer.model",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "chat_template.jinja",
                                        "chat_template.json",
                                        "model.safetensors.index.json",
                                        "adapter_config.json",
                                        "LICENSE",
                                        "README.md"};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (strcmp(name, exact[i]) == 0)
            return true;
    /* The same weights once more, under the names of Mistral's own code. */
    if (strncmp(name, "consolidated", 12) == 0)
        return false;
    size_t n = strlen(name);
    return n > 12 && strcmp(name + n - 12, ".safetensors") == 0 && !strchr(name, '/');
}

static void copy_hex(char *out, size_t cap, const json_t *v)
{
    const char *s = json_is_string(v) ? json_string_value(v) : "";
    if (strlen(s) == cap - 1 && strspn(s, "0123456789abcdef") == cap - 1)
        memcpy(out, s, cap);
}

static enum lf_err file_parse(struct lf_hub_file *f, const json_t *v, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(v, diag);
    const char *name = lf_json_str(&in, "rfilename", NULL);
    f->bytes = lf_json_int64(&in, "size", -1, 0, INT64_MAX);
    if (in.rc != LF_OK)
        return in.rc;
    if (!name || !lf_hub_path_ok(name))
        return lf_fail(diag, LF_E_INVALID, "the hub lists a file without a usable name");
    copy_hex(f->blob, sizeof f->blob, json_object_get(v, "blobId"));
    copy_hex(f->sha256, sizeof f->sha256, json_object_get(json_object_get(v, "lfs"), "sha256"));
    f->name = strdup(name);
    return f->name ? LF_OK : lf_no_memory(diag, "the listing");
}

static enum lf_err repo_read(struct lf_hub_repo *r, const json_t *root, struct lf_diag *diag)
{
    struct lf_json_in in = lf_json_in(root, diag);
    const char *sha = lf_json_str(&in, "sha", NULL);
    enum lf_err rc = in.rc;
    const json_t *siblings = json_object_get(root, "siblings");
    size_t n = json_array_size(siblings);
    if (rc != LF_OK)
        return rc;
    if (!sha || !lf_hub_id_ok(sha) || !json_is_array(siblings) || n > LF_HUB_FILES_MAX)
        return lf_fail(diag, LF_E_INVALID, "the hub's listing has no \"sha\" or no \"siblings\"");
    r->revision = strdup(sha);
    r->files = calloc(n ? n : 1, sizeof *r->files);
    if (!r->revision || !r->files)
        return lf_no_memory(diag, "the listing");
    for (size_t i = 0; i < n && rc == LF_OK; i++) {
        rc = file_parse(&r->files[i], json_array_get(siblings, i), diag);
        r->n_files = i + 1;
    }
    return rc;
}

enum lf_err lf_hub_parse(struct lf_hub_repo *r, const char *text, size_t n, struct lf_diag *diag)
{
    json_auto_t *root = NULL;
    enum lf_err rc = lf_json_parse(&root, text, n, diag);
    return rc ?: repo_read(r, root, diag);
}

enum lf_err lf_hub_list(struct lf_hub_repo *out, const char *id,
                        const struct lf_hub_options *options, struct lf_diag *diag)
{
    struct lf_hub_repo r = {0};
    struct lf_buf url = {.max = 4096}, body = {.max = LF_HUB_LISTING_MAX};
    CURL *c = NULL;
    char why[CURL_ERROR_SIZE] = "";
    const char *at = strchr(id, '@');
    r.id = at ? strndup(id, (size_t)(at - id)) : strdup(id);
    const char *revision = at ? at + 1 : "main";
    enum lf_err rc = LF_OK;
    if (!r.id || !lf_hub_id_ok(r.id) || !lf_hub_id_ok(revision) || !strchr(r.id, '/')) {
        rc = lf_fail(diag, LF_E_INVALID, "\"%s\" is not org/name or org/name@revision", id);
        goto out;
    }
    lf_hub_put_endpoint(&url, options);
    lf_buf_printf(&url, "/api/models/%s/revision/", r.id);
    rc = lf_hub_put_escaped(&url, revision) ?: lf_buf_puts(&url, "?blobs=true");
    c = rc == LF_OK ? lf_hub_request(url.data, options, why) : NULL;
    if (!c) {
        rc = lf_no_memory(diag, "a request");
        goto out;
    }
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, lf_hub_append_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &body);
    CURLcode code = curl_easy_perform(c);
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK)
        rc = lf_fail(diag, LF_E_UNREACHABLE, "%s: %s", url.data,
                     *why ? why : curl_easy_strerror(code));
    else if (status != 200)
        rc = lf_hub_status(status, id, diag);
    rc = rc ?: lf_hub_parse(&r, lf_buf_str(&body), body.len, diag);
    if (rc == LF_OK) {
        *out = r;
        r = (struct lf_hub_repo){0};
    }
out:
    curl_easy_cleanup(c);
    lf_buf_free(&url);
    lf_buf_free(&body);
    lf_hub_repo_free(&r);
    return rc;
}

void lf_hub_repo_free(struct lf_hub_repo *r)
{
    for (size_t i = 0; i < r->n_files; i++)
        free(r->files[i].name);
    free(r->files);
    free(r->revision);
    free(r->id);
    *r = (struct lf_hub_repo){0};
}

/* ---- Digests --------------------------------------------------------------------------------- */

/* SHA-1 of "blob <bytes>\0" and the contents: git's name for a file. */
static void git_blob_hex(char out[41], const struct lf_mapping *m)
{
    char head[32];
    unsigned char md[EVP_MAX_MD_SIZE] = {0};
    int n = snprintf(head, sizeof head, "blob %zu", m->bytes) + 1;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
        EVP_DigestUpdate(ctx, head, (size_t)n) == 1 &&
        EVP_DigestUpdate(ctx, m->data, m->bytes) == 1)
        EVP_DigestFinal_ex(ctx, md, NULL);
    EVP_MD_CTX_free(ctx);
    for (int i = 0; i < 20; i++)
        snprintf(out + 2 * i, 3, "%02x", md[i]);
}

static enum lf_err file_check(const struct lf_hub_file *f, const char *path, struct lf_diag *diag)
{
    lf_mapping_auto m = {0};
    enum lf_err rc = lf_file_map(&m, path, diag);
    if (rc != LF_OK)
        return rc;
    char sha256[LF_SHA256_HEX] = "", blob[41] = "";
    if (m.bytes != (size_t)f->bytes) {
        rc = lf_fail(diag, LF_E_DAMAGED, "%s: %zu bytes came, the hub says %lld", f->name, m.bytes,
                     (long long)f->bytes);
    } else if (*f->sha256) {
        lf_sha256_hex(sha256, m.data, m.bytes);
        if (strcmp(sha256, f->sha256) != 0)
            rc = lf_fail(diag, LF_E_DAMAGED, "%s: its SHA-256 is %s, the hub says %s", f->name,
                         sha256, f->sha256);
    } else if (*f->blob) {
        git_blob_hex(blob, &m);
        if (strcmp(blob, f->blob) != 0)
            rc = lf_fail(diag, LF_E_DAMAGED, "%s: its git blob id is %s, the hub says %s", f->name,
                         blob, f->blob);
    }
    return rc;
}

/* ---- Transfers ------------------------------------------------------------------------------- */

struct transfer {
    const struct lf_hub_file *file;
    char path[LF_PATH_MAX], part[LF_PATH_MAX + 8];
    FILE *f;
    CURL *curl;
    int64_t resumed; /* bytes that were there before this request */
    int64_t got;     /* bytes of this request */
    int64_t best;    /* bytes of the longest part that a request left */
    int tries;
    uint64_t again_ns; /* when the next try starts; 0: it is not waiting for one */
    bool checked;      /* the answer's status was seen to fit `resumed` */
    bool disk_failed;
    bool too_long; /* more comes than the hub says */
    bool damaged;  /* it came once and was not what the hub says */
    char why[CURL_ERROR_SIZE];
};

struct fetch {
    const struct lf_hub_repo *repo;
    const struct lf_hub_options *options;
    CURLM *multi;
    struct transfer *t;
    size_t n, next; /* transfers in all; the first that has not started */
    int running, waiting;
    int64_t total, kept; /* bytes of all wanted files; of files that were there already */
};

/* A server that ignores the range sends the whole file: start again from nothing. */
static bool transfer_begin_body(struct transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 300)
        return false;
    if (status != 206 && t->resumed > 0) {
        if (fflush(t->f) != 0 || ftruncate(fileno(t->f), 0) != 0)
            return false;
        rewind(t->f);
        t->resumed = 0;
    }
    t->checked = true;
    return true;
}

static size_t transfer_body(char *data, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    if (!t->checked && !transfer_begin_body(t))
        return 0;
    if (t->file->bytes - t->resumed - t->got < (int64_t)(size * n)) {
        t->too_long = true;
        return 0;
    }
    if (fwrite(data, size, n, t->f) != n) {
        t->disk_failed = true;
        return 0;
    }
    t->got += (int64_t)(size * n);
    return size * n;
}

static enum lf_err transfer_url(struct lf_buf *url, const struct fetch *f, const struct transfer *t)
{
    lf_hub_put_endpoint(url, f->options);
    lf_buf_printf(url, "/%s/resolve/%s/", f->repo->id, f->repo->revision);
    return lf_hub_put_escaped(url, t->file->name);
}

static enum lf_err transfer_start(struct fetch *f, struct transfer *t, struct lf_diag *diag)
{
    lf_buf_auto url = {.max = 4096};
    enum lf_err rc = transfer_url(&url, f, t);
    t->f = rc == LF_OK ? fopen(t->part, "ab") : NULL;
    if (rc == LF_OK && !t->f)
        rc = lf_fail_errno(diag, errno, "%s", t->part);
    if (rc == LF_OK) {
        t->resumed = lf_file_size(t->part) > 0 ? lf_file_size(t->part) : 0;
        t->got = 0;
        t->checked = false;
        t->curl = lf_hub_request(url.data, f->options, t->why);
        if (!t->curl)
            rc = lf_no_memory(diag, "a transfer");
    }
    if (rc == LF_OK) {
        curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, transfer_body);
        curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
        curl_easy_setopt(t->curl, CURLOPT_PRIVATE, t);
        if (t->resumed > 0) {
            char range[32];
            snprintf(range, sizeof range, "%lld-", (long long)t->resumed);
            curl_easy_setopt(t->curl, CURLOPT_RANGE, range);
        }
        curl_multi_add_handle(f->multi, t->curl);
        f->running++;
    }
    return rc;
}

/* Ends the request; the part file stays. Returns whether all bytes reached the file. */
static bool transfer_stop(struct fetch *f, struct transfer *t)
{
    bool written = true;
    if (t->curl) {
        curl_multi_remove_handle(f->multi, t->curl);
        curl_easy_cleanup(t->curl);
        t->curl = NULL;
        f->running--;
    }
    if (t->f) {
        written = fflush(t->f) == 0 && fsync(fileno(t->f)) == 0;
        written = fclose(t->f) == 0 && written;
        t->f = NULL;
    }
    return written && !t->disk_failed;
}

/* Puts a transfer that failed to wait for its next try: none where the file grew, else a pause that
 * grows, or that the hub asked for. */
static enum lf_err transfer_again(struct fetch *f, struct transfer *t, CURLcode code, long status,
                                  int64_t asked_s, struct lf_diag *diag)
{
    int64_t have = lf_file_size(t->part);
    bool came = have > t->best;
    t->best = came ? have : t->best;
    t->tries = came ? 1 : t->tries + 1;
    if (t->tries >= HUB_TRIES && status >= 400)
        return lf_hub_status(status, t->file->name, diag);
    if (t->tries >= HUB_TRIES)
        return lf_fail(diag, LF_E_IO, "%s: %s", t->file->name,
                       *t->why ? t->why : curl_easy_strerror(code));
    int64_t pause_ms = came ? 0 : (int64_t)HUB_PAUSE_MS << (t->tries - 1);
    if (asked_s > 0 && asked_s * 1000 > pause_ms)
        pause_ms = asked_s < HUB_PAUSE_MAX_MS / 1000 ? asked_s * 1000 : HUB_PAUSE_MAX_MS;
    t->again_ns = lf_clock_ns() + (uint64_t)pause_ms * 1000000u;
    f->waiting++;
    return LF_OK;
}

/* A request is over: checks the file and gives it its name, or has it tried again. */
static enum lf_err transfer_done(struct fetch *f, struct transfer *t, CURLcode code,
                                 struct lf_diag *diag)
{
    long status = 0;
    curl_off_t asked_s = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->curl, CURLINFO_RETRY_AFTER, &asked_s);
    if (!transfer_stop(f, t))
        return lf_fail(diag, LF_E_NO_SPACE, "%s: could not be written", t->part);
    if (t->too_long) {
        unlink(t->part);
        return lf_fail(diag, LF_E_DAMAGED, "%s: more comes than the %lld bytes that the hub says",
                       t->file->name, (long long)t->file->bytes);
    }
    bool complete = code == CURLE_OK || lf_file_size(t->part) == t->file->bytes;
    if (status >= 400 && status < 500 && status != 429 && status != 416)
        return lf_hub_status(status, t->file->name, diag);
    if (complete && (status < 300 || status == 416)) {
        enum lf_err rc = file_check(t->file, t->part, diag);
        if (rc == LF_E_DAMAGED)
            unlink(t->part);
        if (rc == LF_OK && rename(t->part, t->path) != 0)
            rc = lf_fail_errno(diag, errno, "%s", t->path);
        if (rc != LF_E_DAMAGED || t->damaged)
            return rc;
        t->damaged = true; /* once more from the start */
    }
    return transfer_again(f, t, code, status, asked_s, diag);
}

/* Starts what has waited long enough. */
static enum lf_err fetch_again(struct fetch *f, struct lf_diag *diag)
{
    uint64_t now = lf_clock_ns();
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < f->next && f->waiting > 0 && rc == LF_OK; i++) {
        struct transfer *t = &f->t[i];
        if (t->again_ns == 0 || t->again_ns > now)
            continue;
        t->again_ns = 0;
        f->waiting--;
        rc = transfer_start(f, t, diag);
    }
    return rc;
}

static int64_t fetch_bytes(const struct fetch *f)
{
    int64_t done = f->kept;
    for (size_t i = 0; i < f->next; i++) {
        const struct transfer *t = &f->t[i];
        bool over = !t->curl && t->again_ns == 0;
        done += !over ? t->resumed + t->got : t->file->bytes > 0 ? t->file->bytes : 0;
    }
    return done;
}

static enum lf_err fetch_poll(struct fetch *f, struct lf_diag *diag)
{
    int alive = 0, left = 0;
    curl_multi_perform(f->multi, &alive);
    CURLMsg *msg;
    while ((msg = curl_multi_info_read(f->multi, &left))) {
        struct transfer *t = NULL;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        enum lf_err rc = transfer_done(f, t, msg->data.result, diag);
        if (rc != LF_OK)
            return rc;
    }
    const struct lf_hub_options *o = f->options;
    if (o->progress && o->progress(o->progress_arg, fetch_bytes(f), f->total) != 0)
        return lf_fail(diag, LF_E_CANCELLED, "stopped; the same command goes on from here");
    curl_multi_poll(f->multi, NULL, 0, 200, NULL);
    return LF_OK;
}

/* Runs transfers [next, n), at most `parallel` at once. */
static enum lf_err fetch_run(struct fetch *f, struct lf_diag *diag)
{
    int parallel = f->options->parallel > 0 ? f->options->parallel : HUB_PARALLEL;
    if (parallel > LF_HUB_PARALLEL_MAX)
        parallel = LF_HUB_PARALLEL_MAX;
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && (f->next < f->n || f->running + f->waiting > 0)) {
        if (f->next < f->n && f->running + f->waiting < parallel)
            rc = transfer_start(f, &f->t[f->next++], diag);
        else
            rc = fetch_poll(f, diag);
        rc = rc ?: fetch_again(f, diag);
    }
    for (size_t i = 0; i < f->next; i++)
        transfer_stop(f, &f->t[i]);
    return rc;
}

/* Adds what is wanted and not there yet. config.json is left for the last round: its presence says
 * that the rest is complete. */
static enum lf_err fetch_plan(struct fetch *f, const char *dir, bool last_round,
                              struct lf_diag *diag)
{
    for (size_t i = 0; i < f->repo->n_files; i++) {
        const struct lf_hub_file *file = &f->repo->files[i];
        bool is_config = strcmp(file->name, "config.json") == 0;
        if (!lf_hub_wanted(file->name) || is_config != last_round)
            continue;
        struct transfer *t = &f->t[f->n];
        *t = (struct transfer){.file = file};
        if (lf_path_join(t->path, dir, file->name, diag) != LF_OK)
            return LF_E_INVALID;
        snprintf(t->part, sizeof t->part, "%s.part", t->path);
        f->total += file->bytes > 0 ? file->bytes : 0;
        bool there = file_check(file, t->path, NULL) == LF_OK;
        if (!there && file->bytes >= 0 && file_check(file, t->part, NULL) == LF_OK)
            there = rename(t->part, t->path) == 0;
        if (there)
            f->kept += file->bytes > 0 ? file->bytes : 0;
        else
            f->n++;
    }
    return LF_OK;
}

/* Files are about to change: until all are there, the directory is no checkpoint. A config.json
 * that is right waits as a part. */
static enum lf_err forget_config(const struct fetch *f, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], part[LF_PATH_MAX + 8];
    if (lf_path_join(path, dir, "config.json", diag) != LF_OK)
        return LF_E_INVALID;
    snprintf(part, sizeof part, "%s.part", path);
    bool right = false;
    for (size_t i = 0; i < f->repo->n_files; i++)
        if (strcmp(f->repo->files[i].name, "config.json") == 0)
            right = file_check(&f->repo->files[i], path, NULL) == LF_OK;
    int rc = right ? rename(path, part) : unlink(path);
    return rc == 0 || errno == ENOENT ? LF_OK : lf_fail_errno(diag, errno, "%s", path);
}

/* Where the files are from, for whoever reads the directory later (base/base.h). */
static enum lf_err source_write(const struct lf_hub_repo *r, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(path, dir, LF_BASE_SOURCE_FILE, diag);
    return rc
               ?: lf_json_write(path,
                                json_pack("{s:s, s:s}", "repository", r->id, "revision",
                                          r->revision ? r->revision : ""),
                                JSON_INDENT(2), diag);
}

/* What is not said beforehand cannot be checked, nor bounded. */
static enum lf_err said_enough(const struct lf_hub_repo *r, struct lf_diag *diag)
{
    for (size_t i = 0; i < r->n_files; i++) {
        const struct lf_hub_file *f = &r->files[i];
        if (lf_hub_wanted(f->name) && (f->bytes < 0 || (!*f->sha256 && !*f->blob)))
            return lf_fail(diag, LF_E_INVALID, "the hub says no size or no digest of %s", f->name);
    }
    return LF_OK;
}

enum lf_err lf_hub_fetch(const struct lf_hub_repo *r, const char *dir,
                         const struct lf_hub_options *options, struct lf_diag *diag)
{
    struct fetch f = {.repo = r, .options = options};
    enum lf_err rc = said_enough(r, diag) ?: lf_dir_make(dir, diag);
    if (rc != LF_OK)
        return rc;
    f.multi = curl_multi_init();
    f.t = calloc(r->n_files ? r->n_files : 1, sizeof *f.t);
    if (!f.multi || !f.t)
        rc = lf_no_memory(diag, "the transfers");
    for (int round = 0; round < 2 && rc == LF_OK; round++) {
        rc = fetch_plan(&f, dir, round == 1, diag);
        if (rc == LF_OK && round == 0 && f.n > 0)
            rc = forget_config(&f, dir, diag);
        rc = rc ?: fetch_run(&f, diag);
    }
    rc = rc ?: source_write(r, dir, diag);
    rc = rc ?: lf_dir_sync(dir, diag);
    if (rc == LF_OK && options->progress)
        options->progress(options->progress_arg, f.total, f.total);
    curl_multi_cleanup(f.multi);
    free(f.t);
    return rc;
}
