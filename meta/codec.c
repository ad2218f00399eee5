/* Records to bytes and back. One list of fields per record (`adapter_fields`, `job_fields`) is
 * walked by the writer and by the reader, so that the two cannot differ. */
#include "meta/codec.h"

#include <string.h>

#define ADAPTER_FORMAT 4 /* 2: with `refused`; 3: `wanted`; 4: `base_sha256` */
#define JOB_FORMAT 4     /* 1: without losses; 3: `attempts`; 4: rewards */

/* Either side of the walk: `out` when writing, `in` when reading. The first failure sticks. */
struct record_cursor {
    struct lf_buf *out;
    const unsigned char *in;
    size_t left;
    enum lf_err rc;
};

static bool take(struct record_cursor *c, void *dst, size_t n)
{
    if (c->rc == LF_OK && n > c->left)
        c->rc = LF_E_DAMAGED;
    if (c->rc != LF_OK)
        return false;
    memcpy(dst, c->in, n);
    c->in += n;
    c->left -= n;
    return true;
}

static void field_u64(struct record_cursor *c, uint64_t *v)
{
    unsigned char b[8];
    if (c->out) {
        for (int i = 0; i < 8; i++)
            b[i] = (unsigned char)(*v >> (8 * i));
        lf_buf_append(c->out, b, sizeof b);
    } else if (take(c, b, sizeof b)) {
        *v = 0;
        for (int i = 0; i < 8; i++)
            *v |= (uint64_t)b[i] << (8 * i);
    }
}

static void field_i64(struct record_cursor *c, int64_t *v)
{
    uint64_t u = (uint64_t)*v;
    field_u64(c, &u);
    *v = (int64_t)u;
}

static void field_i32(struct record_cursor *c, int32_t *v)
{
    int64_t wide = *v;
    field_i64(c, &wide);
    if (wide < INT32_MIN || wide > INT32_MAX)
        c->rc = LF_E_DAMAGED;
    else
        *v = (int32_t)wide;
}

static void field_real(struct record_cursor *c, double *v)
{
    uint64_t u;
    memcpy(&u, v, sizeof u);
    field_u64(c, &u);
    memcpy(v, &u, sizeof u);
}

static void field_text(struct record_cursor *c, char *s, size_t cap)
{
    unsigned char b[2];
    if (c->out) {
        size_t n = strnlen(s, cap - 1);
        b[0] = (unsigned char)n;
        b[1] = (unsigned char)(n >> 8);
        lf_buf_append(c->out, b, sizeof b);
        lf_buf_append(c->out, s, n);
        return;
    }
    if (!take(c, b, sizeof b))
        return;
    size_t n = b[0] | (size_t)b[1] << 8;
    if (n >= cap) {
        c->rc = LF_E_DAMAGED;
    } else if (take(c, s, n)) {
        s[n] = '\0';
        if (strlen(s) != n)
            c->rc = LF_E_DAMAGED;
    }
}

/* The format that the record has: when writing, the newest. */
static unsigned char field_format(struct record_cursor *c, unsigned char newest)
{
    unsigned char b = newest;
    if (c->out)
        lf_buf_append(c->out, &b, 1);
    else if (take(c, &b, 1) && (b < 1 || b > newest))
        c->rc = LF_E_UNSUPPORTED;
    return b;
}

static void adapter_fields(struct record_cursor *c, struct lf_adapter_record *r)
{
    unsigned char format = field_format(c, ADAPTER_FORMAT);
    field_u64(c, &r->id);
    field_text(c, r->name, sizeof r->name);
    field_text(c, r->base, sizeof r->base);
    field_i64(c, &r->created_ms);
    field_i64(c, &r->changed_ms);
    field_i32(c, &r->current);
    field_i32(c, &r->versions);
    field_u64(c, &r->last_job);
    field_text(c, r->inputs_sha256, sizeof r->inputs_sha256);
    field_text(c, r->trouble, sizeof r->trouble);
    if (format >= 2)
        field_i32(c, &r->refused);
    if (format >= 3)
        field_i32(c, &r->wanted);
    if (format >= 4)
        field_text(c, r->base_sha256, sizeof r->base_sha256);
}

static void job_fields(struct record_cursor *c, struct lf_job_record *r)
{
    unsigned char format = field_format(c, JOB_FORMAT);
    field_u64(c, &r->id);
    field_u64(c, &r->adapter_id);
    field_text(c, r->adapter, sizeof r->adapter);
    struct lf_progress *p = &r->progress;
    int32_t state = (int32_t)p->state;
    if (!c->out)
        *p = lf_progress_none();
    field_i32(c, &state);
    if (state < LF_JOB_QUEUED || state > LF_JOB_CANCELLED)
        c->rc = LF_E_DAMAGED;
    else
        p->state = (enum lf_job_state)state;
    field_i32(c, &r->version);
    field_i64(c, &r->created_ms);
    field_i64(c, &r->started_ms);
    field_i64(c, &r->ended_ms);
    field_i64(c, &p->step);
    field_i64(c, &p->steps);
    field_i64(c, &p->tokens);
    field_real(c, &p->loss);
    field_real(c, &p->eval_loss);
    field_real(c, &p->tokens_per_second);
    field_text(c, r->inputs_sha256, sizeof r->inputs_sha256);
    field_text(c, r->reason, sizeof r->reason);
    if (format >= 2)
        field_i32(c, &r->losses);
    if (format >= 3)
        field_i32(c, &r->attempts);
    if (format < 4)
        return;
#define FIELD(name)                  \
    field_real(c, &p->rewards.name); \
    field_real(c, &p->eval_rewards.name);
    LF_EACH_REWARD(FIELD)
#undef FIELD
}

static enum lf_err decoded(const struct record_cursor *c, const char *what, struct lf_diag *diag)
{
    if (c->rc == LF_E_UNSUPPORTED)
        return lf_fail(diag, c->rc, "%s record of a newer format", what);
    if (c->rc != LF_OK || c->left != 0)
        return lf_fail(diag, LF_E_DAMAGED, "%s record is damaged", what);
    return LF_OK;
}

enum lf_err lf_adapter_record_encode(struct lf_buf *out, const struct lf_adapter_record *r)
{
    struct lf_adapter_record copy = *r;
    adapter_fields(&(struct record_cursor){.out = out}, &copy);
    return out->rc;
}

enum lf_err lf_adapter_record_decode(struct lf_adapter_record *out, const void *data, size_t n,
                                     struct lf_diag *diag)
{
    struct record_cursor c = {.in = data, .left = n};
    struct lf_adapter_record r = {0};
    adapter_fields(&c, &r);
    enum lf_err rc = decoded(&c, "adapter", diag);
    if (rc == LF_OK)
        *out = r;
    return rc;
}

enum lf_err lf_job_record_encode(struct lf_buf *out, const struct lf_job_record *r)
{
    struct lf_job_record copy = *r;
    job_fields(&(struct record_cursor){.out = out}, &copy);
    return out->rc;
}

enum lf_err lf_job_record_decode(struct lf_job_record *out, const void *data, size_t n,
                                 struct lf_diag *diag)
{
    struct record_cursor c = {.in = data, .left = n};
    struct lf_job_record r = {0};
    job_fields(&c, &r);
    enum lf_err rc = decoded(&c, "job", diag);
    if (rc == LF_OK)
        *out = r;
    return rc;
}
