/* One call at a time: parts, looks at what has arrived after a cut, and the last one. */
#include "fs/outgoing.h"

#include "core/file.h"
#include "core/json.h"
#include "fs/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ID_BYTES 16
#define PART_MIN_BYTES (4u << 20) /* a part that does not end the file: many round trips long */
#define STARTS 4                  /* anew, where the daemon has forgotten it; then it fails */
#define STALLS 8                  /* cuts in a row after none of which anything had come */
#define HTTP_NOT_FOUND 404
#define HTTP_CONFLICT 409

struct lf_outgoing {
    struct lf_client *client;
    struct lf_stage *bytes;
    char adapter[LF_NAME_MAX + 1];
    char id[2 * ID_BYTES + 1];
    uint64_t sent;         /* that the daemon has */
    uint64_t to;           /* where the part under way ends */
    struct lf_sha256 *sum; /* of the first `summed` bytes, which were given to the line */
    uint64_t summed;
    struct lf_client_call *call;
    bool unsure;  /* how many of them it has: it is asked */
    bool failed;  /* nothing more is tried until it is to be finished */
    bool changed; /* some of those bytes, while it was being finished */
    int starts, stalls;
    char url[LF_URL_MAX];      /* "": it is not being finished */
    struct lf_op_list waiters; /* for that; one at the most */
    struct lf_diag why;
};

static void go_on(struct lf_outgoing *o);

/* ---- Beginnings and ends --------------------------------------------------------------------- */

/* From the first byte, by another name. */
static enum lf_err begin(struct lf_outgoing *o)
{
    unsigned char raw[ID_BYTES];
    if (o->sum)
        lf_sha256_end(o->sum, NULL);
    o->sum = lf_sha256_begin();
    if (!o->sum)
        return LF_E_NO_MEMORY;
    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        return LF_E_IO;
    for (int i = 0; i < ID_BYTES; i++)
        snprintf(o->id + 2 * i, 3, "%02x", raw[i]);
    o->sent = o->summed = 0;
    o->unsure = o->changed = false;
    return LF_OK;
}

struct lf_outgoing *lf_outgoing_new(struct lf_client *client, const char *adapter,
                                    struct lf_stage *bytes)
{
    struct lf_outgoing *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->client = client;
    o->bytes = bytes;
    snprintf(o->adapter, sizeof o->adapter, "%s", adapter);
    TAILQ_INIT(&o->waiters);
    if (begin(o) == LF_OK)
        return o;
    lf_outgoing_free(o);
    return NULL;
}

void lf_outgoing_free(struct lf_outgoing *o)
{
    if (!o)
        return;
    lf_client_cancel(o->call);
    if (o->sum)
        lf_sha256_end(o->sum, NULL);
    free(o);
}

/* Where it is being finished, that has come to an end; else what comes next begins with a look. */
static void end(struct lf_outgoing *o, enum lf_err rc, const struct lf_diag *why)
{
    o->unsure = o->failed = true;
    if (!o->url[0])
        return;
    o->url[0] = '\0';
    snprintf(o->why.text, sizeof o->why.text, "%s",
             rc == LF_OK           ? ""
             : why && why->text[0] ? why->text
                                   : lf_err_name(rc));
    lf_op_wake(&o->waiters, rc); /* which may free it */
}

static void begin_again(struct lf_outgoing *o)
{
    bool had_some = o->sent > 0;
    bool too_often = had_some ? ++o->starts > STARTS : ++o->stalls > STALLS;
    enum lf_err rc = too_often ? LF_E_IO : begin(o);
    if (rc == LF_OK)
        go_on(o);
    else
        end(o, rc, NULL);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void call(struct lf_outgoing *o, struct lf_client_spec *spec, lf_client_done_fn done)
{
    spec->reply_max = LF_REQUEST_REPLY_MAX;
    spec->waits = true;
    spec->on_done = done;
    spec->arg = o;
    enum lf_err rc = lf_client_start(&o->call, o->client, spec, NULL);
    if (rc != LF_OK)
        end(o, rc, NULL);
}

static enum lf_err url_of(const struct lf_outgoing *o, char url[LF_URL_MAX])
{
    int n = snprintf(url, LF_URL_MAX, "/v1/adapters/%s/uploads/%s", o->adapter, o->id);
    return n < 0 || n >= LF_URL_MAX ? LF_E_INVALID : LF_OK;
}

static void looked(void *arg, const struct lf_client_result *r)
{
    struct lf_outgoing *o = arg;
    json_auto_t *j = NULL;
    o->call = NULL;
    if (r->status == HTTP_NOT_FOUND) {
        begin_again(o);
        return;
    }
    enum lf_err rc = r->rc ?: lf_json_parse(&j, r->body, r->body_bytes, NULL);
    json_int_t n = rc == LF_OK ? json_integer_value(json_object_get(j, "bytes")) : -1;
    if (rc == LF_OK && (n < 0 || (uint64_t)n > o->summed))
        rc = LF_E_DAMAGED;
    o->stalls = rc == LF_OK && (uint64_t)n > o->sent ? 0 : o->stalls + 1;
    if (rc == LF_OK && o->stalls > STALLS)
        rc = LF_E_IO;
    if (rc != LF_OK) {
        end(o, rc, r->diag);
        return;
    }
    o->sent = (uint64_t)n;
    o->unsure = false;
    go_on(o);
}

static void look(struct lf_outgoing *o)
{
    char url[LF_URL_MAX];
    struct lf_client_spec spec = {.method = "GET", .path = url, .timeout_s = LF_REQUEST_TIMEOUT_S};
    if (url_of(o, url) == LF_OK)
        call(o, &spec, looked);
}

/* Bytes that are given to the line; after a cut some for the second time. */
static void given(void *arg, const void *data, size_t n, uint64_t off)
{
    struct lf_outgoing *o = arg;
    if (off > o->summed || off + n <= o->summed)
        return;
    size_t skip = (size_t)(o->summed - off);
    lf_sha256_add(o->sum, (const char *)data + skip, n - skip);
    o->summed = off + n;
}

static void part_arrived(void *arg, const struct lf_client_result *r)
{
    struct lf_outgoing *o = arg;
    o->call = NULL;
    if (r->rc == LF_OK) {
        o->sent = o->to;
        o->stalls = 0;
    } else if (r->lost || r->status == HTTP_CONFLICT || r->status == HTTP_NOT_FOUND) {
        o->unsure = true;
    }
    if (r->rc == LF_OK || o->unsure)
        go_on(o);
    else
        end(o, r->rc, r->diag);
}

static void send_part(struct lf_outgoing *o)
{
    char url[LF_URL_MAX];
    o->to = lf_stage_bytes(o->bytes);
    struct lf_client_spec spec = {.method = "PUT",
                                  .path = url,
                                  .body_fd = lf_stage_fd(o->bytes),
                                  .body_off = o->sent,
                                  .body_bytes = o->to - o->sent,
                                  .on_body = given,
                                  .once = true};
    enum lf_err rc = url_of(o, url);
    size_t n = strlen(url);
    if (rc == LF_OK)
        snprintf(url + n, sizeof url - n, "?at=%llu", (unsigned long long)o->sent);
    call(o, &spec, part_arrived);
}

static void claimed(void *arg, const struct lf_client_result *r)
{
    struct lf_outgoing *o = arg;
    o->call = NULL;
    if (r->status == HTTP_NOT_FOUND || (r->rc == LF_E_DAMAGED && o->changed))
        begin_again(o);
    else
        end(o, r->rc, r->diag);
}

static void claim(struct lf_outgoing *o)
{
    char sum[LF_SHA256_HEX], url[LF_URL_MAX];
    struct lf_client_spec spec = {.method = "PUT", .path = url, .body = ""};
    lf_sha256_end(o->sum, sum);
    o->sum = NULL;
    int n = snprintf(url, sizeof url, "%s%cupload=%s&sha256=%s", o->url,
                     strchr(o->url, '?') ? '&' : '?', o->id, sum);
    if (n < 0 || n >= LF_URL_MAX)
        end(o, LF_E_INVALID, NULL);
    else
        call(o, &spec, claimed);
}

/* What is to be done next, if anything. */
static void go_on(struct lf_outgoing *o)
{
    uint64_t bytes = lf_stage_bytes(o->bytes), left = bytes > o->sent ? bytes - o->sent : 0;
    if (o->call || (o->failed && !o->url[0]))
        return;
    if (o->unsure)
        look(o);
    else if (left >= PART_MIN_BYTES || (left > 0 && o->url[0]))
        send_part(o);
    else if (o->url[0] && bytes == o->summed)
        claim(o);
    else if (o->url[0])
        end(o, LF_E_IO, NULL); /* it was cut: what was sent is too much */
}

/* ---- What others see ------------------------------------------------------------------------- */

bool lf_outgoing_is_for(const struct lf_outgoing *o, const char *adapter)
{
    return strcmp(o->adapter, adapter) == 0;
}

bool lf_outgoing_change(struct lf_outgoing *o, uint64_t off)
{
    if (off >= o->summed)
        return true;
    o->changed = true;
    return false;
}

void lf_outgoing_more(struct lf_outgoing *o)
{
    go_on(o);
}

void lf_outgoing_finish(struct lf_outgoing *o, const char *url, struct lf_op *op, lf_op_step step)
{
    snprintf(o->url, sizeof o->url, "%s", url);
    o->failed = false;
    o->starts = o->stalls = 0;
    lf_op_wait(op, &o->waiters, step);
    go_on(o);
}

const char *lf_outgoing_why(const struct lf_outgoing *o)
{
    return o->why.text;
}
