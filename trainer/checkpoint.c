/* Checkpoints: the file's contents, and the thread that writes it. */
#include "trainer/checkpoint.h"

#include "core/buf.h"
#include "core/json.h"
#include "core/limits.h"
#include "model/safetensors.h"
#include "trainer/limits.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "checkpoint.safetensors"
#define STATE "state" /* a tensor of bytes: JSON */
#define BEST "best"   /* parameters as they were at the best evaluation, where they are kept */
#define N_PARTS 3     /* at most */

/* A checkpoint's arrays, as the file has them. */
struct checkpoint_part {
    const char *name;
    enum lf_dtype dtype;
    void *data;
    size_t n;
};

/* Of a checkpoint whose data is there; how many. */
static int parts_of(struct checkpoint_part out[N_PARTS], const struct lf_checkpoint *c)
{
    float *moments = lf_checkpoint_moments(c);
    out[0] = (struct checkpoint_part){"params", LF_F32, c->data, c->n};
    out[1] = (struct checkpoint_part){"moments8", LF_U8, moments, c->moments_bytes};
    if (c->moments8)
        return 2;
    out[1] = (struct checkpoint_part){"moment1", LF_F32, moments, c->n};
    out[2] = (struct checkpoint_part){"moment2", LF_F32, moments + c->n, c->n};
    return 3;
}

static enum lf_err file_path(char out[LF_PATH_MAX], const char *dir, struct lf_diag *diag)
{
    if (snprintf(out, LF_PATH_MAX, "%s/" FILE_NAME, dir) >= LF_PATH_MAX)
        return lf_fail(diag, LF_E_INVALID, "%s: path too long", dir);
    return LF_OK;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void print_state(struct lf_buf *out, const struct lf_checkpoint *c)
{
    lf_buf_printf(out,
                  "{\"digest\": \"%s\", \"step\": %lld, \"tokens\": %lld, \"seconds\": %.17g, "
                  "\"loss_sum\": %.17g, \"loss_weight\": %.17g, \"best_step\": %lld, "
                  "\"best_loss\": %.17g, \"evaluated\": %lld, \"misses\": %d",
                  c->digest, (long long)c->step, (long long)c->tokens, c->seconds, c->loss_sum,
                  c->loss_weight, (long long)c->best.step, c->best.loss, (long long)c->best.seen,
                  c->best.misses);
#define PRINT(name)                     \
    if (isfinite(c->best.rewards.name)) \
        lf_buf_printf(out, ", \"best_" #name "\": %.17g", c->best.rewards.name);
    LF_EACH_REWARD(PRINT)
#undef PRINT
    lf_buf_puts(out, "}");
}

static struct lf_tensor tensor_of(const struct checkpoint_part *p)
{
    return (struct lf_tensor){.name = p->name,
                              .dtype = p->dtype,
                              .n_dims = 1,
                              .dims = {(int64_t)p->n},
                              .data = p->data,
                              .bytes = p->n * lf_dtype_bytes(p->dtype)};
}

/* Makes the directory where it is missing. */
static enum lf_err write_checkpoint(const struct lf_checkpoint *c, const char *dir,
                                    struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_tensor t[N_PARTS + 2];
    struct checkpoint_part parts[N_PARTS];
    int n = parts_of(parts, c);
    for (int i = 0; i < n; i++)
        t[i] = tensor_of(&parts[i]);
    if (c->best.params)
        t[n++] = tensor_of(&(struct checkpoint_part){BEST, LF_F32, c->best.params, c->n});
    lf_buf_auto state = {.max = LF_CHECKPOINT_STATE_MAX};
    print_state(&state, c);
    t[n++] = tensor_of(&(struct checkpoint_part){STATE, LF_U8, state.data, state.len});
    enum lf_err rc = state.rc == LF_OK ? file_path(path, dir, diag)
                                       : lf_fail(diag, state.rc, "no memory for a checkpoint");
    return rc ?: lf_dir_make(dir, diag) ?: lf_tensors_write(path, t, n, diag);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static enum lf_err parse_state(struct lf_checkpoint *c, const struct lf_tensors *file,
                               struct lf_diag *diag)
{
    json_t *j;
    const struct lf_tensor *t = lf_tensors_find(file, STATE);
    if (!t || t->dtype != LF_U8 || t->bytes > LF_CHECKPOINT_STATE_MAX)
        return lf_fail(diag, LF_E_DAMAGED, "the file is no checkpoint");
    enum lf_err rc = lf_json_parse(&j, t->data, t->bytes, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_json_in in = lf_json_in(j, diag);
    bool same = strcmp(lf_json_str(&in, "digest", ""), c->digest) == 0;
    c->step = lf_json_int64(&in, "step", c->step, 0, INT64_MAX);
    c->tokens = lf_json_int64(&in, "tokens", c->tokens, 0, INT64_MAX);
    c->seconds = lf_json_real(&in, "seconds", c->seconds, 0, 1e12);
    c->loss_sum = lf_json_real(&in, "loss_sum", c->loss_sum, -1e300, 1e300);
    c->loss_weight = lf_json_real(&in, "loss_weight", c->loss_weight, 0, 1e300);
    c->best.step = lf_json_int64(&in, "best_step", 0, 0, INT64_MAX);
    c->best.loss = lf_json_real(&in, "best_loss", 0, -1e300, 1e300);
    c->best.seen = lf_json_int64(&in, "evaluated", 0, 0, INT64_MAX);
    c->best.misses = lf_json_int(&in, "misses", 0, 0, INT_MAX);
#define READ(name) \
    c->best.rewards.name = lf_json_real(&in, "best_" #name, (double)NAN, -1e300, 1e300);
    LF_EACH_REWARD(READ)
#undef READ
    json_decref(j);
    return in.rc != LF_OK || same ? in.rc
                                  : lf_fail(diag, LF_E_INVALID,
                                            "the checkpoint is of other settings, rows, base or "
                                            "start");
}

static enum lf_err read_part(const struct checkpoint_part *p, const struct lf_tensors *file,
                             struct lf_diag *diag)
{
    const struct lf_tensor *t = lf_tensors_find(file, p->name);
    if (!t || t->dtype != p->dtype || t->bytes != p->n * lf_dtype_bytes(p->dtype))
        return lf_fail(diag, LF_E_DAMAGED, "the checkpoint has no fitting \"%s\"", p->name);
    memcpy(p->data, t->data, t->bytes);
    return LF_OK;
}

static enum lf_err read_parts(struct lf_checkpoint *c, const struct lf_tensors *file,
                              struct lf_diag *diag)
{
    struct checkpoint_part parts[N_PARTS + 1];
    bool best = lf_tensors_find(file, BEST);
    enum lf_err rc = LF_OK;
    c->data = malloc(c->n * sizeof *c->data + c->moments_bytes);
    c->best.params = best ? malloc(c->n * sizeof *c->data) : NULL;
    if (!c->data || (best && !c->best.params))
        return lf_no_memory(diag, "a checkpoint");
    int n = parts_of(parts, c);
    if (best)
        parts[n++] = (struct checkpoint_part){BEST, LF_F32, c->best.params, c->n};
    for (int i = 0; i < n && rc == LF_OK; i++)
        rc = read_part(&parts[i], file, diag);
    return rc;
}

enum lf_err lf_checkpoint_read(struct lf_checkpoint *c, const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_tensors *file = NULL;
    struct lf_checkpoint found = *c;
    enum lf_err rc = file_path(path, dir, diag);
    rc = rc ?: lf_tensors_open(&file, path, LF_ADAPTER_HEADER_MAX, diag);
    if (rc != LF_OK)
        return rc;
    rc = parse_state(&found, file, diag) ?: read_parts(&found, file, diag);
    lf_tensors_free(file);
    if (rc == LF_OK)
        *c = found;
    else
        lf_checkpoint_free(&found);
    return rc;
}

void lf_checkpoint_free(struct lf_checkpoint *c)
{
    free(c->data);
    free(c->best.params);
    c->data = c->best.params = NULL;
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void *write_thread(void *arg)
{
    struct lf_checkpoint_writer *w = arg;
    w->rc = write_checkpoint(&w->c, w->dir, &w->diag);
    atomic_store(&w->finished, true);
    return NULL;
}

enum lf_err lf_checkpoint_start(struct lf_checkpoint_writer *w, const struct lf_checkpoint *c,
                                const char *dir, struct lf_diag *diag)
{
    lf_assert(!w->busy);
    w->c = *c;
    w->dir = dir;
    w->diag.text[0] = '\0';
    atomic_store(&w->finished, false);
    int bad = pthread_create(&w->thread, NULL, write_thread, w);
    w->busy = bad == 0;
    if (w->busy)
        return LF_OK;
    lf_checkpoint_free(&w->c);
    return lf_fail_errno(diag, bad, "no thread to write a checkpoint");
}

bool lf_checkpoint_over(struct lf_checkpoint_writer *w, bool wait)
{
    if (!w->busy || (!wait && !atomic_load(&w->finished)))
        return false;
    pthread_join(w->thread, NULL);
    w->busy = false;
    lf_checkpoint_free(&w->c);
    return true;
}
