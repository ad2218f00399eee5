/* Checkpoints: the file's contents, and the thread that writes it. */
#include "trainer/checkpoint.h"

#include "core/buf.h"
#include "core/json.h"
#include "core/limits.h"
#include "model/safetensors.h"
#include "trainer/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "checkpoint.safetensors"
#define STATE "state" /* a tensor of bytes: JSON */
#define N_PARTS 3

static const char *const parts[N_PARTS] = {"params", "moment1", "moment2"};

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
                  "\"loss_sum\": %.17g, \"loss_weight\": %.17g}",
                  c->digest, (long long)c->step, (long long)c->tokens, c->seconds, c->loss_sum,
                  c->loss_weight);
}

/* Makes the directory where it is missing. */
static enum lf_err write_checkpoint(const struct lf_checkpoint *c, const char *dir,
                                    struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_tensor t[N_PARTS + 1];
    for (size_t i = 0; i < N_PARTS; i++)
        t[i] = (struct lf_tensor){.name = parts[i],
                                  .dtype = LF_F32,
                                  .n_dims = 1,
                                  .dims = {(int64_t)c->n},
                                  .data = c->data + i * c->n,
                                  .bytes = c->n * sizeof *c->data};
    lf_buf_auto state = {.max = LF_CHECKPOINT_STATE_MAX};
    print_state(&state, c);
    t[N_PARTS] = (struct lf_tensor){.name = STATE,
                                    .dtype = LF_U8,
                                    .n_dims = 1,
                                    .dims = {(int64_t)state.len},
                                    .data = state.data,
                                    .bytes = state.len};
    enum lf_err rc = state.rc == LF_OK ? file_path(path, dir, diag)
                                       : lf_fail(diag, state.rc, "no memory for a checkpoint");
    return rc ?: lf_dir_make(dir, diag) ?: lf_tensors_write(path, t, N_PARTS + 1, diag);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static enum lf_err parse_state(struct lf_checkpoint *c, const struct lf_tensors *file,
                               const char *digest, struct lf_diag *diag)
{
    json_t *j;
    const struct lf_tensor *t = lf_tensors_find(file, STATE);
    if (!t || t->dtype != LF_U8 || t->bytes > LF_CHECKPOINT_STATE_MAX)
        return lf_fail(diag, LF_E_DAMAGED, "the file is no checkpoint");
    enum lf_err rc = lf_json_parse(&j, t->data, t->bytes, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_json_in in = lf_json_in(j, diag);
    bool same = strcmp(lf_json_str(&in, "digest", ""), digest) == 0;
    c->step = lf_json_int64(&in, "step", c->step, 0, INT64_MAX);
    c->tokens = lf_json_int64(&in, "tokens", c->tokens, 0, INT64_MAX);
    c->seconds = lf_json_real(&in, "seconds", c->seconds, 0, 1e12);
    c->loss_sum = lf_json_real(&in, "loss_sum", c->loss_sum, -1e300, 1e300);
    c->loss_weight = lf_json_real(&in, "loss_weight", c->loss_weight, 0, 1e300);
    json_decref(j);
    snprintf(c->digest, sizeof c->digest, "%s", digest);
    return in.rc != LF_OK || same ? in.rc
                                  : lf_fail(diag, LF_E_INVALID,
                                            "the checkpoint is of other settings, rows, base or "
                                            "start");
}

static enum lf_err read_parts(struct lf_checkpoint *c, const struct lf_tensors *file,
                              struct lf_diag *diag)
{
    for (size_t i = 0; i < N_PARTS; i++) {
        const struct lf_tensor *t = lf_tensors_find(file, parts[i]);
        if (!t || t->dtype != LF_F32 || t->bytes != c->n * sizeof *c->data)
            return lf_fail(diag, LF_E_DAMAGED, "the checkpoint has no fitting \"%s\"", parts[i]);
        memcpy(c->data + i * c->n, t->data, t->bytes);
    }
    return LF_OK;
}

enum lf_err lf_checkpoint_read(struct lf_checkpoint *out, const char *dir, const char *digest,
                               size_t n, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_tensors *file = NULL;
    struct lf_checkpoint c = {.n = n};
    enum lf_err rc = file_path(path, dir, diag);
    rc = rc ?: lf_tensors_open(&file, path, LF_ADAPTER_HEADER_MAX, diag);
    if (rc != LF_OK)
        return rc;
    rc = parse_state(&c, file, digest, diag);
    if (rc == LF_OK) {
        c.data = malloc(N_PARTS * n * sizeof *c.data);
        rc = c.data ? read_parts(&c, file, diag)
                    : lf_fail(diag, LF_E_NO_MEMORY, "no memory for a checkpoint");
    }
    lf_tensors_free(file);
    if (rc == LF_OK)
        *out = c;
    else
        free(c.data);
    return rc;
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
    free(w->c.data);
    w->c.data = NULL;
    return lf_fail_errno(diag, bad, "no thread to write a checkpoint");
}

bool lf_checkpoint_over(struct lf_checkpoint_writer *w, bool wait)
{
    if (!w->busy || (!wait && !atomic_load(&w->finished)))
        return false;
    pthread_join(w->thread, NULL);
    w->busy = false;
    free(w->c.data);
    w->c.data = NULL;
    return true;
}
