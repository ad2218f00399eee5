/* Rows that are looked at before they are an adapter's. */
#include "daemon/api/api.h"
#include "daemon/registry/registry.h"
#include "daemon/state.h"

#include "core/clock.h"
#include "daemon/team.h"
#include "trainer/look.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOOK_MS 100 /* between looks at the client's end of the connection */

/* The body as a file, which is what rows are read from. */
static enum lf_err body_file(struct lf_http *q, int *fd, struct lf_diag *diag)
{
    enum lf_err rc = lf_http_take_soon(q, q->body.len, "looking at the rows needs", diag);
    if (rc != LF_OK)
        return rc;
    *fd = memfd_create("rows", MFD_CLOEXEC);
    if (*fd < 0)
        return lf_fail_errno(diag, errno, "a file of rows");
    for (size_t at = 0; at < q->body.len;) {
        ssize_t n = write(*fd, q->body.data + at, q->body.len - at);
        if (n < 0)
            return lf_fail_errno(diag, errno, "a file of rows");
        at += (size_t)n;
    }
    return LF_OK;
}

struct asker {
    struct lf_http *q;
    uint64_t looked_ns;
    enum lf_err rc; /* LF_OK while the answer is wanted */
    struct lf_diag *diag;
};

static bool go_on(void *arg, double done)
{
    struct asker *a = arg;
    (void)done;
    if (lf_clock_ns() - a->looked_ns < LOOK_MS * 1000000ull)
        return true;
    a->looked_ns = lf_clock_ns();
    a->rc = lf_http_wanted(a->q, a->diag);
    return a->rc == LF_OK;
}

static enum lf_err look(struct lf_http *q, int fd, uint64_t id, int64_t first, json_t **out,
                        struct lf_diag *diag)
{
    char path[64];
    struct lf_train_settings s;
    struct asker a = {.q = q, .looked_ns = lf_clock_ns(), .diag = diag};
    const struct lf_dataset_limits limits = {
        .budget = q->daemon->row_memory, .go_on = go_on, .arg = &a};
    enum lf_err rc = lf_registry_settings(q->daemon->registry, id, &s, diag);
    if (rc != LF_OK)
        return rc;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    rc = lf_rows_look(out, path, lf_team_for(q->daemon, id)->base->model, &s, first, &limits, diag);
    lf_train_settings_free(&s);
    return a.rc ?: rc;
}

enum lf_err lf_api_rows(struct lf_http *q, struct lf_diag *diag)
{
    static const char *const known[] = {"first", NULL};
    struct lf_adapter_view v;
    int64_t first = 0;
    int fd = -1;
    json_t *report = NULL;
    enum lf_err rc = lf_http_query_only(q, known, diag);
    rc = rc ?: lf_http_query_int(q, "first", 0, LF_ROWS_SAMPLE_MAX, &first, diag);
    rc = rc ?: lf_registry_view(q->daemon->registry, q->param[0], &v, diag);
    rc = rc ?: body_file(q, &fd, diag);
    rc = rc ?: look(q, fd, v.record.id, first, &report, diag);
    if (fd >= 0)
        close(fd);
    if (rc == LF_OK)
        lf_http_reply_json(q, 200, report);
    return rc;
}
