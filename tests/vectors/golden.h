/* What the tests on reference models share: finding them, opening one on a device, running ids
 * through it. Failures are cmocka's. */
#ifndef LF_TESTS_GOLDEN_H
#define LF_TESTS_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/file.h"
#include "core/json.h"
#include "model/dora.h"
#include "model/exec.h"
#include "model/safetensors.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN_MODELS_MAX 32

/* One case of a test program: a reference model on a device. */
struct golden {
    char name[64];
    char dir[1024];
    enum lf_device_kind device;
};

struct rig {
    struct lf_device *dev;
    struct lf_stream *stream;
    struct lf_model *model;
    struct lf_slots *slots;
    struct lf_exec *exec;
};

static inline void ok(enum lf_err rc, const struct lf_diag *diag)
{
    if (rc != LF_OK)
        fail_msg("%s: %s", lf_err_name(rc), diag->text);
}

static inline int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Sorted names of the reference models; 0 where there is no reference material. */
static inline int golden_list(char names[GOLDEN_MODELS_MAX][64], char root[1024])
{
    const char *shared = getenv("LF_SHARED");
    int n = 0;
    snprintf(root, 1024, "%s/golden", shared ? shared : "");
    DIR *d = shared ? opendir(root) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[2048];
        snprintf(path, sizeof path, "%s/%s/golden.safetensors", root, e->d_name);
        if (n < GOLDEN_MODELS_MAX && lf_file_exists(path))
            snprintf(names[n++], 64, "%.63s", e->d_name);
    }
    if (d)
        closedir(d);
    qsort(names, (size_t)n, 64, by_text);
    return n;
}

static inline void rig_open_as(struct rig *r, const struct golden *g, const char *model,
                               enum lf_quant quant, const struct lf_exec_limits *limits,
                               enum lf_cpu_products products)
{
    struct lf_diag diag;
    const struct lf_device_options device = {.cpu_products = products};
    char dir[1200];
    snprintf(dir, sizeof dir, "%s/%s", g->dir, model);
    ok(lf_device_open(&r->dev, g->device, &device, &diag), &diag);
    ok(lf_stream_new(&r->stream, r->dev, 0, &diag), &diag);
    struct lf_model_options options = {.quant = quant};
    ok(lf_model_open(&r->model, r->stream, dir, &options, &diag), &diag);
    ok(lf_slots_new(&r->slots, r->dev, &r->model->config, 4, &diag), &diag);
    ok(lf_exec_new(&r->exec, r->stream, r->model, r->slots, limits, &diag), &diag);
}

/* With products in fp32, which the tolerances are for. */
static inline void rig_open(struct rig *r, const struct golden *g, const char *model,
                            enum lf_quant quant, const struct lf_exec_limits *limits)
{
    rig_open_as(r, g, model, quant, limits, LF_CPU_FP32);
}

static inline void rig_close(struct rig *r)
{
    lf_exec_free(r->exec);
    lf_slots_free(r->slots);
    lf_model_free(r->model);
    lf_stream_free(r->stream);
    lf_device_free(r->dev);
}

static inline struct lf_adapter *adapter_open(struct rig *r, const struct golden *g,
                                              const char *name)
{
    struct lf_diag diag;
    struct lf_adapter *a;
    char dir[1200];
    snprintf(dir, sizeof dir, "%s/%s", g->dir, name);
    ok(lf_adapter_load(&a, &r->model->config, dir, &diag), &diag);
    return a;
}

/* Loads DIR/name into a slot. */
static inline int slot_open(struct rig *r, const struct golden *g, const char *name, bool trains)
{
    struct lf_diag diag;
    int slot;
    struct lf_adapter *a = adapter_open(r, g, name);
    ok(trains ? lf_dora_measure(a, r->model, false, &diag) : lf_dora_serve(a, r->model, &diag),
       &diag);
    ok(lf_slots_load(r->slots, r->stream, &slot, a, trains ? LF_SLOT_TRAINS : LF_SLOT_SERVES,
                     &diag),
       &diag);
    lf_adapter_free(a);
    if (trains)
        lf_exec_dora(r->exec, slot);
    return slot;
}

static inline struct lf_tensors *golden_open(const struct golden *g)
{
    struct lf_diag diag;
    struct lf_tensors *t;
    char path[1200];
    snprintf(path, sizeof path, "%s/golden.safetensors", g->dir);
    ok(lf_tensors_open(&t, path, LF_SAFETENSORS_HEADER_MAX, &diag), &diag);
    return t;
}

/* A tensor's numbers; free(). */
static inline void *golden_copy(const struct lf_tensors *t, const char *name, enum lf_dtype dtype,
                                size_t *n)
{
    const struct lf_tensor *x = lf_tensors_find(t, name);
    assert_non_null(x);
    assert_int_equal(x->dtype, dtype);
    void *p = malloc(x->bytes);
    memcpy(p, x->data, x->bytes);
    if (n)
        *n = x->bytes / lf_dtype_bytes(dtype);
    return p;
}

static inline float max_difference(const float *a, const float *b, size_t n)
{
    float worst = 0;
    for (size_t i = 0; i < n; i++) {
        float d = fabsf(a[i] - b[i]);
        if (!(d <= worst)) /* also when d is NaN */
            worst = d;
    }
    return worst;
}

#endif
