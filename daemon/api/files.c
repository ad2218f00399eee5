/* An adapter's files: bytes from disk, lines that are made, and streams that follow a job. */
#include "daemon/api/api.h"
#include "daemon/jobs/jobs.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"
#include "daemon/warm.h"

#include "core/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL_VALUE_TIMES 128 /* a value of 2 bytes in memory */
#define FOLLOW_LOOK_MS 100
#define FOLLOW_REDRAW_MS 250
#define FOLLOW_LINE_MS 1000
#define FOLLOW_SILENCE_MS 30000
#define FOLLOW_CHUNK_BYTES (16u << 10)

/* The file that the route names. */
static enum lf_err file_of(const struct lf_http *q, struct lf_file_ref *out, struct lf_diag *diag)
{
    return lf_file_ref_parse(out, q->param[1])
               ? LF_OK
               : lf_fail(diag, LF_E_NOT_FOUND, "an adapter has no file \"%.100s\"", q->param[1]);
}

/* ---- Following ------------------------------------------------------------------------------- */

struct follow {
    struct lf_registry *registry;
    uint64_t id;
    int fd; /* of the log; -1: the progress line is followed */
    bool started;
    bool ending;    /* the job is over: what is there is sent, then the end */
    bool failed;    /* and it failed, or cannot go on: the connection is cut */
    bool redraw;    /* a terminal's line, drawn over and over; else a line now and then */
    int mark;       /* how far the line shown last was (mark_of) */
    char last[512]; /* the line shown last */
    uint64_t shown_ns;
};

static void follow_close(void *arg)
{
    struct follow *f = arg;
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

/* Nothing more is to come. *gone: nor is there an adapter, and *v is as it was. */
static bool job_over(const struct follow *f, struct lf_adapter_view *v, bool *gone)
{
    *gone = lf_registry_view_id(f->registry, f->id, v, NULL) != LF_OK;
    return *gone || lf_adapter_is_settled(v);
}

static bool follow_over(struct lf_http *q)
{
    return lf_http_gone(q) || atomic_load(&q->daemon->stopping);
}

static enum lf_err follow_log(void *arg, struct lf_http *q, struct lf_buf *out, bool *end)
{
    struct follow *f = arg;
    struct lf_adapter_view v;
    bool gone;
    char chunk[FOLLOW_CHUNK_BYTES];
    for (;;) {
        ssize_t n = read(f->fd, chunk, sizeof chunk);
        if (n < 0)
            return LF_E_IO;
        if (n > 0)
            return lf_buf_append(out, chunk, (size_t)n);
        if (f->ending || follow_over(q)) {
            *end = true;
            return LF_OK;
        }
        f->ending = job_over(f, &v, &gone); /* and one more look at the file */
        if (!f->ending)
            poll(NULL, 0, FOLLOW_LOOK_MS);
    }
}

/* Sixteenths of the phase, which counts for more: preparing, training, scoring. */
static int mark_of(const struct lf_adapter_view *v)
{
    const struct lf_progress *p = &v->activity.progress;
    const struct lf_scores_due *s = &v->scores;
    if (v->activity.job && !p->steps)
        return (v->activity.preparing + v->activity.starting) * 16 / 101 +
               (v->state == LF_ADAPTER_TRAINING);
    if (v->activity.job)
        return 100 + (int)(p->step * 16 / p->steps);
    return s->rows ? 300 + (int)(s->done * 16 / s->rows) : 200;
}

/* A line that has changed is shown again four times a second on a terminal; else with each phase,
 * with each sixteenth of one, once a second at most, and every half minute. */
static bool is_due(const struct follow *f, const struct lf_adapter_view *v, const char *line)
{
    uint64_t since_ms = (lf_clock_ns() - f->shown_ns) / 1000000;
    if (!f->started)
        return true;
    if (strcmp(line, f->last) == 0)
        return false;
    if (!f->redraw && mark_of(v) / 100 != f->mark / 100)
        return true;
    return f->redraw ? since_ms >= FOLLOW_REDRAW_MS
                     : since_ms >= (mark_of(v) != f->mark ? FOLLOW_LINE_MS : FOLLOW_SILENCE_MS);
}

/* The line, in place of the one before on a terminal. */
static enum lf_err show(struct follow *f, struct lf_buf *out, const struct lf_adapter_view *v,
                        const char *line, bool over)
{
    const char *before = f->redraw && f->started ? "\r\033[K" : "";
    snprintf(f->last, sizeof f->last, "%s", line);
    f->shown_ns = lf_clock_ns();
    f->started = true;
    f->mark = mark_of(v);
    return lf_buf_printf(out, "%s%s%s", before, line, f->redraw && !over ? "" : "\n");
}

static enum lf_err follow_progress(void *arg, struct lf_http *q, struct lf_buf *out, bool *end)
{
    struct follow *f = arg;
    struct lf_adapter_view v;
    lf_buf_auto line = {0};
    if (f->failed)
        return LF_E_FAILED;
    for (;;) {
        bool gone, settled = job_over(f, &v, &gone), over = settled || follow_over(q);
        if (gone) {
            f->failed = true;
            return lf_buf_puts(out, "removed\n");
        }
        lf_buf_reset(&line);
        enum lf_err rc = lf_adapter_progress_line(&line, &v);
        if (rc != LF_OK)
            return rc;
        if (over || is_due(f, &v, line.data)) {
            f->failed = over && (!settled || v.state == LF_ADAPTER_FAILED);
            *end = over && !f->failed;
            return show(f, out, &v, line.data, over);
        }
        poll(NULL, 0, FOLLOW_LOOK_MS);
    }
}

/* From the Range's start, or from the beginning. */
static enum lf_err follow_start(struct lf_http *q, const struct lf_adapter_view *v,
                                const char *log_path, struct lf_diag *diag)
{
    struct follow *f = calloc(1, sizeof *f);
    if (!f)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory to follow");
    *f = (struct follow){.registry = q->daemon->registry,
                         .id = v->record.id,
                         .fd = -1,
                         .redraw = lf_http_query_flag(q, "redraw")};
    if (log_path) {
        uint64_t first = 0, n;
        f->fd = open(log_path, O_RDONLY | O_CLOEXEC);
        if (f->fd < 0) {
            enum lf_err rc = errno == ENOENT
                                 ? lf_fail(diag, LF_E_NOT_FOUND, "%s has no log yet", q->param[0])
                                 : lf_fail_errno(diag, errno, "log");
            free(f);
            return rc;
        }
        if (lf_range_parse(lf_http_header(q, "Range"), UINT64_MAX, &first, &n) == LF_RANGE_PART)
            lseek(f->fd, (off_t)first, SEEK_SET);
    }
    lf_http_reply_stream(
        q, lf_files[log_path ? LF_FILE_LOG : LF_FILE_PROGRESS].media_type,
        &(struct lf_http_stream){log_path ? follow_log : follow_progress, follow_close, f});
    return LF_OK;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Files that are made at each reading: a line without its newline. */
typedef enum lf_err (*line_fn)(struct lf_buf *out, const struct lf_adapter_view *v);
static const line_fn lines[LF_FILE_N] = {
    [LF_FILE_STATUS] = lf_adapter_status_text,
    [LF_FILE_ERROR] = lf_adapter_error_line,
    [LF_FILE_PROGRESS] = lf_adapter_progress_line,
};

static enum lf_err reply_line(struct lf_http *q, const struct lf_adapter_view *v,
                              enum lf_file_kind kind, struct lf_diag *diag)
{
    lf_buf_auto line = {0};
    enum lf_err rc = lines[kind](&line, v);
    if (rc == LF_OK && line.len > 0)
        rc = lf_buf_putc(&line, '\n');
    if (rc == LF_OK)
        lf_http_reply(q, 200, lf_files[kind].media_type, &line);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the line");
}

/* What a training would start with. */
static enum lf_err reply_settings(struct lf_http *q, uint64_t id, struct lf_diag *diag)
{
    struct lf_train_settings s;
    lf_buf_auto text = {0};
    enum lf_err rc = lf_registry_settings(q->daemon->registry, id, &s, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_train_settings_print(&s, &text);
    lf_train_settings_free(&s);
    if (rc == LF_OK)
        lf_http_reply(q, 200, lf_files[LF_FILE_SETTINGS].media_type, &text);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the settings");
}

/* Bytes from disk. Of a file that is asked for by its tag those of then, for a while. */
static enum lf_err reply_disk(struct lf_http *q, const struct lf_file_ref *ref,
                              struct lf_diag *diag)
{
    char tag[LF_FILE_TAG];
    bool same = lf_tag_only(lf_http_header(q, "If-Match"), tag);
    bool pieces = lf_http_header(q, "Range") && !q->head;
    int fd = -1;
    enum lf_err rc = lf_registry_file_open(q->daemon->registry, q->param[0], ref, same ? tag : NULL,
                                           pieces, &fd, diag);
    if (rc == LF_OK)
        lf_http_reply_file(q, fd, lf_files[ref->kind].media_type);
    return rc;
}

enum lf_err lf_api_file_read(struct lf_http *q, struct lf_diag *diag)
{
    struct lf_adapter_view v;
    struct lf_file_ref ref;
    char path[LF_PATH_MAX];
    static const char *const known[] = {"follow", "redraw", "writing", "closed", NULL};
    bool follow = lf_http_query_flag(q, "follow") && !q->head;
    enum lf_err rc = lf_http_query_only(q, known, diag);
    rc = rc ?: lf_registry_view(q->daemon->registry, q->param[0], &v, diag);
    if (rc != LF_OK)
        return rc;
    if (file_of(q, &ref, diag) != LF_OK)
        return LF_E_NOT_FOUND;
    if (lf_http_query_flag(q, "writing"))
        lf_jobs_touched(q->daemon->jobs, q->param[0]);
    if (lf_http_query_flag(q, "closed"))
        lf_jobs_closed(q->daemon->jobs, q->param[0]);
    if (ref.kind == LF_FILE_PROGRESS && follow)
        return follow_start(q, &v, NULL, diag);
    if (ref.kind < LF_FILE_N && lines[ref.kind])
        return reply_line(q, &v, ref.kind, diag);
    if (ref.kind == LF_FILE_RESULT)
        return lf_api_result(q, &v, follow, diag);
    if (ref.kind == LF_FILE_SETTINGS)
        return reply_settings(q, v.record.id, diag);
    if (ref.kind != LF_FILE_LOG || !follow)
        return reply_disk(q, &ref, diag);
    rc = lf_registry_path(q->daemon->registry, q->param[0], &ref, path, diag);
    return rc ?: follow_start(q, &v, path, diag);
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* A prompt without anyone who reads the answer. */
static enum lf_err one_way(struct lf_http *q, struct lf_diag *diag)
{
    enum lf_err rc = lf_fail(diag, LF_E_INVALID,
                             "opened for writing alone: a prompt goes in and its completion comes "
                             "out of the same descriptor (exec 3<>generate)");
    lf_registry_asked(q->daemon->registry, q->param[0], q->param[1], diag->text);
    return rc;
}

/* If-Match and If-None-Match of a request that changes the file; tag NULL: it is not there. */
static bool fits(void *arg, const char *tag)
{
    struct lf_http *q = arg;
    const char *match = lf_http_header(q, "If-Match");
    bool fit = (!match || (tag && lf_tag_listed(match, tag))) &&
               !(tag && lf_tag_listed(lf_http_header(q, "If-None-Match"), tag));
    q->unmatched = !fit;
    return fit;
}

static enum lf_err upload_begin(struct lf_http *q, int64_t bytes, struct lf_diag *diag)
{
    static const char *const known[] = {"train", "quiet", "held", "upload", "sha256", NULL};
    struct lf_file_ref ref;
    enum lf_err rc = lf_http_query_only(q, known, diag);
    if (rc != LF_OK)
        return rc;
    if (!lf_file_ref_parse(&ref, q->param[1]))
        return lf_registry_stray(q->daemon->registry, q->param[0], q->param[1], diag);
    if (lf_http_header(q, "Content-Range"))
        return lf_fail(diag, LF_E_UNSUPPORTED,
                       "a body with a \"Content-Range\" is a part of a file: parts go to "
                       "/v1/adapters/{name}/uploads/{id}");
    if (lf_files[ref.kind].form == LF_FORM_ANSWERED)
        return one_way(q, diag);
    struct lf_upload *u = malloc(sizeof *u);
    if (!u)
        return lf_no_memory(diag, "the upload");
    u->fd = -1;
    q->sinking = u;
    rc = lf_registry_upload_begin(q->daemon->registry, q->param[0], &ref, u, diag);
    u->waits = lf_http_query_flag(q, "quiet");
    u->only = (struct lf_condition){fits, q};
    lf_jobs_touched(q->daemon->jobs, q->param[0]);
    if (rc == LF_OK && bytes > 0 && (uint64_t)bytes > u->bytes_max) {
        rc = lf_fail(diag, LF_E_TOO_BIG, "%s may have %llu bytes", q->param[1],
                     (unsigned long long)u->bytes_max);
        lf_registry_refused(q->daemon->registry, q->param[0], q->param[1], diag->text);
    }
    return rc;
}

static enum lf_err upload_write(struct lf_http *q, const void *data, size_t n, struct lf_diag *diag)
{
    lf_jobs_touched(q->daemon->jobs, q->param[0]);
    return lf_upload_write(q->sinking, data, n, diag);
}

static void upload_end(struct lf_http *q)
{
    if (q->sinking)
        lf_upload_abort(q->sinking);
    free(q->sinking);
}

const struct lf_http_sink lf_api_upload = {upload_begin, upload_write, upload_end};

/* At once, or, with "quiet", when the directory has been so for a moment. */
static enum lf_err train(struct lf_http *q, bool *queued, struct lf_diag *diag)
{
    struct lf_jobs *j = q->daemon->jobs;
    return lf_http_query_flag(q, "quiet") ? lf_jobs_train_quiet(j, q->param[0], queued, diag)
                                          : lf_jobs_train(j, q->param[0], false, queued, diag);
}

/* What a document may become while it is checked; rows are counted one by one. */
static enum lf_err room_to_check(struct lf_http *q, const struct lf_upload *u, struct lf_diag *diag)
{
    enum lf_file_check check = lf_files[u->ref.kind].check;
    if (check != LF_CHECK_SETTINGS && check != LF_CHECK_JSON)
        return LF_OK;
    uint64_t small = u->bytes * SMALL_VALUE_TIMES;
    uint64_t most = LF_JSON_TREE_MAX + u->bytes * LF_JSON_TREE_TIMES;
    return lf_http_take_soon(q, small < most ? small : most, "checking the file needs", diag);
}

/* What came of a file that was taken in. */
struct taken {
    uint64_t bytes;
    int queued;
    int32_t imported;
};

static enum lf_err take_in(struct lf_http *q, struct taken *t, struct lf_diag *diag)
{
    bool queued = false;
    struct lf_upload *u = q->sinking;
    enum lf_file_kind kind = u->ref.kind;
    enum lf_file_effect effect = lf_files[kind].effect;
    t->bytes = u->bytes;
    enum lf_err rc = room_to_check(q, u, diag);
    rc = rc ?: lf_registry_upload_commit(q->daemon->registry, q->param[0], u, &t->imported, diag);
    if (rc == LF_OK)
        lf_jobs_came(q->daemon->jobs, q->param[0], kind);
    if (rc == LF_OK && effect == LF_EFFECT_TRAIN && lf_http_query_flag(q, "train"))
        rc = train(q, &queued, diag);
    if (rc == LF_OK && lf_http_query_flag(q, "held"))
        lf_jobs_touched(q->daemon->jobs, q->param[0]);
    if (rc != LF_OK)
        return rc;
    t->queued = queued;
    if (effect == LF_EFFECT_SCORE || kind == LF_FILE_CONFIG || t->imported > 0)
        lf_jobs_score(q->daemon->jobs, q->param[0]);
    if (t->imported > 0)
        lf_warm_pinned(q->daemon);
    return LF_OK;
}

/* One that came in parts, as it was remembered where it came once before. */
static enum lf_err take_parts(struct lf_http *q, const char *id, struct taken *t,
                              struct lf_diag *diag)
{
    struct lf_api_claim claim = {.id = id};
    enum lf_err rc = lf_api_parts_claim(q, q->sinking, &claim, diag);
    if (rc == LF_E_EXISTS &&
        sscanf(claim.answer, "%" SCNu64 " %d %" SCNd32, &t->bytes, &t->queued, &t->imported) == 3)
        return LF_OK;
    if (rc != LF_OK)
        return rc;
    rc = take_in(q, t, diag);
    snprintf(claim.answer, sizeof claim.answer, "%" PRIu64 " %d %" PRId32, t->bytes, t->queued,
             t->imported);
    lf_api_parts_answer(q, &claim, rc == LF_OK ? claim.answer : NULL);
    return rc;
}

enum lf_err lf_api_file_write(struct lf_http *q, struct lf_diag *diag)
{
    struct taken t = {0};
    const char *id = lf_http_query(q, "upload");
    enum lf_err rc = id ? take_parts(q, id, &t, diag) : take_in(q, &t, diag);
    if (rc != LF_OK)
        return rc;
    json_t *j = json_pack("{s:s, s:I, s:b}", "file", q->param[1], "bytes", (json_int_t)t.bytes,
                          "queued", t.queued);
    if (t.imported > 0)
        json_object_set_new(j, "imported", json_integer(t.imported));
    lf_http_reply_json(q, 200, j);
    return LF_OK;
}

enum lf_err lf_api_file_remove(struct lf_http *q, struct lf_diag *diag)
{
    struct lf_file_ref ref;
    if (file_of(q, &ref, diag) != LF_OK)
        return LF_E_NOT_FOUND;
    char entry[LF_TRASH_ENTRY];
    const struct lf_condition only = {fits, q};
    enum lf_err rc = lf_registry_delete(q->daemon->registry, q->param[0], &ref, only, entry, diag);
    if (rc != LF_E_NOT_FOUND && !q->unmatched)
        lf_registry_asked(q->daemon->registry, q->param[0], q->param[1],
                          rc == LF_OK ? NULL : diag->text);
    if (rc == LF_OK)
        lf_http_reply_json(
            q, 200,
            json_pack("{s:s, s:s*}", "removed", q->param[1], "trash", entry[0] ? entry : NULL));
    return rc;
}
