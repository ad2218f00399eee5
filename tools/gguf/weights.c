/* model.safetensors from a GGUF file's tensors: each that the configuration asks for is looked up
 * by llama.cpp's name, widened, put back into the order of the original and written. */
#include "tools/gguf/inside.h"

#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)1 << 18) /* numbers widened at once; whole blocks of every form */

/* One tensor of the checkpoint. */
struct wanted_tensor {
    const struct lf_gguf_name *of;
    const struct lf_gguf_tensor *t;
    size_t index; /* the writer's */
};

struct conversion {
    const struct lf_gguf *g;
    struct lf_gguf_names names;
    struct wanted_tensor *pieces; /* (names.n) */
    bool *used;                   /* by tensor of the file */
    struct lf_diag *diag;
};

/* ---- What is wanted -------------------------------------------------------------------------- */

static enum lf_err want(struct conversion *j, size_t i)
{
    const struct lf_gguf_name *p = &j->names.at[i];
    const struct lf_gguf_tensor *t = lf_gguf_tensor(j->g, p->gguf);
    if (!t)
        return lf_fail(j->diag, LF_E_DAMAGED, "tensor \"%s\" is missing", p->gguf);
    int64_t rows = t->n_dims > 1 ? t->dims[1] : t->dims[0], cols = t->n_dims > 1 ? t->dims[0] : 0;
    if (t->n_dims > 2 || rows != p->N || cols != p->K)
        return lf_fail(j->diag, LF_E_DAMAGED, "tensor \"%s\" is not (%d, %d)", p->gguf, p->N, p->K);
    j->used[t - j->g->tensors] = true;
    j->pieces[i] = (struct wanted_tensor){.of = p, .t = t};
    return LF_OK;
}

/* What no one asked for would be lost: an architecture that is not what it says. */
static enum lf_err refuse_unused(const struct conversion *j)
{
    static const char *const elsewhere[] = {"rope_freqs.weight", "rope_factors_short.weight",
                                            "rope_factors_long.weight"}; /* in config.json */
    for (size_t i = 0; i < j->g->n_tensors; i++) {
        struct lf_str name = j->g->tensors[i].name;
        bool known = j->used[i];
        for (size_t k = 0; k < 3; k++)
            known = known ||
                    (strlen(elsewhere[k]) == name.n && memcmp(elsewhere[k], name.s, name.n) == 0);
        if (!known)
            return lf_fail(j->diag, LF_E_UNSUPPORTED, "tensor \"%.*s\" is not of this architecture",
                           (int)name.n, name.s);
    }
    return LF_OK;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void place(char *out, size_t es, const struct lf_gguf_name *p, const char *narrow,
                  size_t from, size_t n)
{
    size_t K = p->K ? (size_t)p->K : 1;
    for (size_t at = 0; at < n;) { /* runs within a row */
        size_t row = (from + at) / K, col = (from + at) % K;
        size_t run = K - col < n - at ? K - col : n - at;
        memcpy(out + (lf_gguf_original_row(p->heads, p->N, row) * K + col) * es, narrow + at * es,
               run * es);
        at += run;
    }
}

static enum lf_err put_piece(struct lf_tensors_writer *w, const struct wanted_tensor *piece,
                             enum lf_dtype dtype, struct lf_diag *diag)
{
    const struct lf_gguf_name *p = piece->of;
    size_t n = (size_t)p->N * (size_t)(p->K ? p->K : 1), es = lf_dtype_bytes(dtype);
    float *wide = malloc(CHUNK * sizeof *wide);
    char *narrow = malloc(CHUNK * es), *whole = malloc(n * es);
    enum lf_err rc = LF_OK;
    if (!wide || !narrow || !whole)
        rc = lf_no_memory(diag, "tensor \"%s\"", p->hf);
    for (size_t at = 0; at < n && rc == LF_OK; at += CHUNK) {
        size_t k = n - at < CHUNK ? n - at : CHUNK;
        lf_gguf_widen(wide, piece->t, at, k);
        for (size_t i = 0; p->plus_one && i < k; i++)
            wide[i] -= 1;
        lf_from_f32(narrow, dtype, wide, k);
        place(whole, es, p, narrow, at, k);
    }
    rc = rc ?: lf_tensors_put(w, piece->index, whole, diag);
    free(wide);
    free(narrow);
    free(whole);
    return rc;
}

static enum lf_err write_all(struct conversion *j, const char *path, enum lf_dtype dtype,
                             void (*progress)(void *arg, double fraction, const char *what),
                             void *arg)
{
    struct lf_tensors_writer *w = NULL;
    enum lf_err rc =
        lf_tensors_create(&w, path, j->names.n, j->names.n * LF_GGUF_HF_NAME_BYTES, j->diag);
    for (size_t i = 0; i < j->names.n && rc == LF_OK; i++) {
        const struct lf_gguf_name *p = &j->names.at[i];
        struct lf_tensor t = {
            .name = p->hf, .dtype = dtype, .n_dims = p->K ? 2 : 1, .dims = {p->N, p->K}};
        rc = lf_tensors_add(w, &t, &j->pieces[i].index, j->diag);
    }
    for (size_t i = 0; i < j->names.n && rc == LF_OK; i++) {
        if (progress)
            progress(arg, (double)i / (double)j->names.n, "importing");
        rc = put_piece(w, &j->pieces[i], dtype, j->diag);
    }
    rc = rc ?: lf_tensors_commit(w, j->diag);
    lf_tensors_writer_free(w);
    return rc;
}

enum lf_err lf_gguf_weights(const struct lf_gguf *g, const struct lf_config *c, const char *path,
                            enum lf_dtype dtype,
                            void (*progress)(void *arg, double fraction, const char *what),
                            void *progress_arg, struct lf_diag *diag)
{
    struct conversion j = {.g = g, .diag = diag};
    enum lf_err rc = lf_gguf_names(&j.names, c, diag);
    j.pieces = calloc(j.names.n + 1, sizeof *j.pieces);
    j.used = calloc(g->n_tensors + 1, sizeof *j.used);
    if (rc == LF_OK && (!j.pieces || !j.used))
        rc = lf_no_memory(diag, "the tensors' names");
    for (size_t i = 0; i < j.names.n && rc == LF_OK; i++)
        rc = want(&j, i);
    rc = rc ?: refuse_unused(&j);
    rc = rc ?: write_all(&j, path, dtype, progress, progress_arg);
    lf_gguf_names_free(&j.names);
    free(j.pieces);
    free(j.used);
    return rc;
}
