/* Asking other daemons, with curl. */
#include "peers/peer.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"
#include "peers/limits.h"
#include "peers/publication.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define CONNECT_SECONDS 3
#define LIST_SECONDS 30
#define STALLED_SECONDS 30            /* a file of which nothing comes for so long */
#define AGAIN_NS (5ull * LF_NS_PER_S) /* who did not answer is asked again after this */

struct peer {
    char *url; /* owned; without a slash at its end */
    CURL *curl;
    char etag[LF_PEER_ETAG_MAX]; /* of the list that was taken in last; "": none */
    uint64_t silent_ns;          /* when it did not answer; 0: it did */
};

struct lf_peers {
    char dir[LF_PATH_MAX];
    char *cacert; /* owned; NULL: the system's */
    struct curl_slist *headers;
    const atomic_bool *stop;
    int n;
    struct peer peer[LF_PEERS_MAX];
};

/* ---- One call -------------------------------------------------------------------------------- */

struct call {
    const struct lf_peers *p;
    struct lf_buf *text; /* where the answer goes; or */
    int fd;
    uint64_t n, max;
    char etag[LF_PEER_ETAG_MAX];
    bool full; /* it had more than max bytes */
};

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct call *c = arg;
    n *= size;
    c->full = n > c->max - c->n;
    if (c->full)
        return 0;
    bool kept = c->text ? lf_buf_append(c->text, data, n) == LF_OK
                        : lf_file_write_at(c->fd, data, n, c->n, "", NULL) == LF_OK;
    c->n += n;
    return kept ? n : 0;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    static const char name[] = "etag:";
    struct call *c = arg;
    size_t at = sizeof name - 1, end = n * size;
    if (end > at && strncasecmp(data, name, at) == 0) {
        for (; at < end && (data[at] == ' ' || data[at] == '\t'); at++)
            continue;
        while (end > at && strchr(" \t\r\n", data[end - 1]))
            end--;
        snprintf(c->etag, sizeof c->etag, "%.*s", (int)(end - at), data + at);
    }
    return n * size;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
    const struct lf_peers *p = arg;
    (void)a, (void)b, (void)d, (void)e;
    return atomic_load(p->stop);
}

/* The status in *status, where there was an answer. */
static enum lf_err perform(CURL *curl, struct call *c, const char *url, struct curl_slist *headers,
                           long *status, struct lf_diag *diag)
{
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    if (c->p->cacert)
        curl_easy_setopt(curl, CURLOPT_CAINFO, c->p->cacert);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALLED_SECONDS);
    if (c->text)
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)LIST_SECONDS);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, c->p);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, c);
    CURLcode code = curl_easy_perform(curl);
    if (c->full)
        return lf_fail(diag, LF_E_TOO_BIG, "%s: more than %llu bytes", url,
                       (unsigned long long)c->max);
    if (code != CURLE_OK)
        return lf_fail(diag, LF_E_UNREACHABLE, "%s: %s", url, curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    if (*status == 401 || *status == 403)
        return lf_fail(diag, LF_E_DENIED, "%s: it wants the key of an admin (--peers-key-file)",
                       url);
    if (*status == 404)
        return lf_fail(diag, LF_E_NOT_FOUND, "%s: it is not there", url);
    return *status == 200 || *status == 304
               ? LF_OK
               : lf_fail(diag, LF_E_UNREACHABLE, "%s: it answered %ld", url, *status);
}

/* ---- The list -------------------------------------------------------------------------------- */

static enum lf_err take_list(const struct lf_peers *p, const struct lf_buf *text,
                             struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    const char *name;
    json_t *value;
    enum lf_err rc = lf_json_parse(&j, lf_buf_str(text), text->len, diag);
    if (rc != LF_OK)
        return rc;
    json_object_foreach(json_object_get(j, "publications"), name, value) {
        struct lf_published theirs = {0}, ours = {0};
        rc = lf_published_take(&theirs, name, value, diag);
        if (rc != LF_OK)
            return rc;
        /* What cannot be read here is replaced. */
        bool have = lf_shared_read(&ours, p->dir, name, NULL) == LF_OK;
        if (!have || lf_published_is_newer(&theirs, &ours))
            rc = lf_shared_write(p->dir, &theirs, diag);
        lf_published_free(&theirs);
        lf_published_free(&ours);
        if (rc != LF_OK)
            return rc;
    }
    return LF_OK;
}

static enum lf_err listen_to(const struct lf_peers *p, struct peer *peer, struct lf_diag *diag)
{
    char url[LF_PATH_MAX], had[LF_PEER_ETAG_MAX + 32];
    lf_buf_auto text = {.max = LF_PEER_LIST_BYTES_MAX};
    struct call c = {.p = p, .text = &text, .max = LF_PEER_LIST_BYTES_MAX};
    long status = 0;
    struct curl_slist *headers = NULL, *more;
    bool whole = true;
    for (const struct curl_slist *h = p->headers; h && whole; h = h->next) {
        whole = (more = curl_slist_append(headers, h->data)) != NULL;
        headers = more ? more : headers;
    }
    snprintf(had, sizeof had, "If-None-Match: %s", peer->etag);
    if (whole && peer->etag[0]) {
        whole = (more = curl_slist_append(headers, had)) != NULL;
        headers = more ? more : headers;
    }
    snprintf(url, sizeof url, "%s/v1/publications", peer->url);
    enum lf_err rc = whole ? perform(peer->curl, &c, url, headers, &status, diag)
                           : lf_no_memory(diag, "a request");
    curl_slist_free_all(headers);
    if (rc == LF_OK && status == 200) {
        rc = take_list(p, &text, diag);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "%s", peer->url);
        snprintf(peer->etag, sizeof peer->etag, "%s", c.etag);
    }
    return rc;
}

void lf_peers_listen(struct lf_peers *p)
{
    for (int i = 0; i < p->n && !atomic_load(p->stop); i++) {
        struct peer *peer = &p->peer[i];
        struct lf_diag diag = {""};
        uint64_t now = lf_clock_ns();
        if (peer->silent_ns && now - peer->silent_ns < AGAIN_NS)
            continue;
        bool well = listen_to(p, peer, &diag) == LF_OK;
        if (!well && !peer->silent_ns && !atomic_load(p->stop))
            lf_log(LF_LOG_WARN, "peers", "%s", diag.text);
        if (well && peer->silent_ns)
            lf_log(LF_LOG_INFO, "peers", "%s answers again", peer->url);
        peer->silent_ns = well ? 0 : lf_clock_ns();
    }
}

/* ---- Versions -------------------------------------------------------------------------------- */

struct fetching {
    const struct lf_peers *p;
    const struct peer *from;
    const char *sha256;
    CURL *curl;
};

static enum lf_err fetch_file(const struct fetching *f, const char *to, const char *file,
                              struct lf_diag *diag)
{
    char path[LF_PATH_MAX], url[LF_PATH_MAX];
    long status = 0;
    enum lf_err rc = lf_path_join(path, to, file, diag);
    if (rc != LF_OK)
        return rc;
    snprintf(url, sizeof url, "%s/v1/publications/%s/%s", f->from->url, f->sha256, file);
    struct call c = {.p = f->p, .max = LF_PEER_FILE_BYTES_MAX};
    c.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (c.fd < 0)
        return lf_fail_errno(diag, errno, "%s", path);
    rc = perform(f->curl, &c, url, f->p->headers, &status, diag);
    if (rc == LF_OK && fsync(c.fd) != 0)
        rc = lf_fail_errno(diag, errno, "%s", path);
    close(c.fd);
    return rc;
}

static enum lf_err fetch_fill(void *arg, const char *to, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; lf_shared_files[i] && rc == LF_OK; i++)
        rc = fetch_file(arg, to, lf_shared_files[i], diag);
    return rc;
}

enum lf_err lf_peers_fetch(const struct lf_peers *p, const char *sha256, struct lf_diag *diag)
{
    struct fetching f = {.p = p, .sha256 = sha256, .curl = curl_easy_init()};
    if (!f.curl)
        return lf_no_memory(diag, "a request");
    enum lf_err rc = lf_fail(diag, LF_E_NOT_FOUND, "no peer has version %.12s...", sha256);
    for (int i = 0; i < p->n && rc != LF_OK && !atomic_load(p->stop); i++) {
        struct lf_diag why = {""};
        f.from = &p->peer[i];
        enum lf_err got = lf_shared_put(p->dir, sha256, fetch_fill, &f, &why);
        if (got != LF_E_NOT_FOUND)
            rc = got == LF_OK ? got : lf_fail(diag, got, "%s", why.text);
    }
    curl_easy_cleanup(f.curl);
    return rc;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static enum lf_err add_peer(struct lf_peers *p, const char *url, size_t n, struct lf_diag *diag)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return lf_fail(diag, LF_E_INVALID, "--peers: %.*s is no http(s)://host:port", (int)n, url);
    if (p->n == LF_PEERS_MAX)
        return lf_fail(diag, LF_E_INVALID, "--peers: more than %d", LF_PEERS_MAX);
    while (n > 0 && url[n - 1] == '/')
        n--;
    struct peer *peer = &p->peer[p->n++];
    peer->url = strndup(url, n);
    peer->curl = curl_easy_init();
    return peer->url && peer->curl ? LF_OK : lf_no_memory(diag, "peers");
}

static enum lf_err take_key(struct lf_peers *p, const char *key_file, struct lf_diag *diag)
{
    lf_buf_auto key = {0};
    lf_buf_auto line = {0};
    if (!key_file)
        return LF_OK;
    enum lf_err rc = lf_file_first_line(&key, key_file, LF_KEY_FILE_MAX, diag);
    if (rc != LF_OK)
        return rc;
    if (lf_buf_printf(&line, "Authorization: Bearer %s", lf_buf_str(&key)) == LF_OK)
        p->headers = curl_slist_append(NULL, line.data);
    return p->headers ? LF_OK : lf_no_memory(diag, "peers");
}

enum lf_err lf_peers_new(struct lf_peers **out, const char *dir, const char *urls,
                         const char *key_file, const char *cacert, const atomic_bool *stop,
                         struct lf_diag *diag)
{
    struct lf_peers *p = calloc(1, sizeof *p);
    if (!p)
        return lf_no_memory(diag, "peers");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    p->stop = stop;
    snprintf(p->dir, sizeof p->dir, "%s", dir);
    enum lf_err rc = take_key(p, key_file, diag);
    if (rc == LF_OK && cacert && !(p->cacert = strdup(cacert)))
        rc = lf_no_memory(diag, "peers");
    for (const char *at = urls; rc == LF_OK && *at;) {
        size_t n = strcspn(at, ",");
        rc = add_peer(p, at, n, diag);
        at += n + (at[n] == ',');
    }
    if (rc != LF_OK)
        lf_peers_free(p);
    else
        *out = p;
    return rc;
}

void lf_peers_free(struct lf_peers *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->n; i++) {
        free(p->peer[i].url);
        curl_easy_cleanup(p->peer[i].curl);
    }
    curl_slist_free_all(p->headers);
    free(p->cacert);
    free(p);
    curl_global_cleanup();
}
