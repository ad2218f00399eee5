/* A data directory of the daemon on the embedded base: what tests of its rooms stand on. Failures
 * are cmocka's. */
#ifndef LF_TESTS_DAEMON_RIG_H
#define LF_TESTS_DAEMON_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/file.h"
#include "daemon/registry/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rig {
    char dir[64];
    struct lf_bases bases;
    struct lf_store *store;
    struct lf_registry *registry;
};

static inline void must(enum lf_err rc, const struct lf_diag *diag)
{
    if (rc != LF_OK)
        fail_msg("%s: %s", lf_err_name(rc), diag->text);
}

static inline void rig_base_dir(char out[LF_PATH_MAX])
{
    const char *source = getenv("LF_SOURCE");
    snprintf(out, LF_PATH_MAX, "%s/share/base", source ? source : ".");
}

static inline void rig_reopen(struct rig *r)
{
    struct lf_diag diag = {""};
    char dir[LF_PATH_MAX];
    lf_registry_close(r->registry);
    lf_store_close(r->store);
    snprintf(dir, sizeof dir, "%s/state", r->dir);
    must(lf_store_open(&r->store, dir, &diag), &diag);
    must(lf_registry_open(&r->registry, r->dir, r->store, &r->bases, &diag), &diag);
}

static inline void rig_open(struct rig *r)
{
    struct lf_diag diag = {""};
    char base[LF_PATH_MAX];
    *r = (struct rig){.dir = "/tmp/lf-daemon-XXXXXX"};
    assert_non_null(mkdtemp(r->dir));
    rig_base_dir(base);
    must(lf_base_open(&r->bases.base[r->bases.n++], NULL, base, LF_QUANT_NONE, NULL, &diag), &diag);
    rig_reopen(r);
}

static inline void rig_close(struct rig *r)
{
    struct lf_diag diag = {""};
    lf_registry_close(r->registry);
    lf_store_close(r->store);
    lf_base_free(r->bases.base[0]);
    must(lf_dir_remove(r->dir, &diag), &diag);
}

/* What a PUT does. */
static inline enum lf_err rig_put(struct rig *r, const char *name, const char *file,
                                  const void *data, size_t n, struct lf_diag *diag)
{
    struct lf_file_ref ref;
    struct lf_upload u;
    int32_t imported;
    assert_true(lf_file_ref_parse(&ref, file));
    enum lf_err rc = lf_registry_upload_begin(r->registry, name, &ref, &u, diag);
    if (rc != LF_OK)
        return rc;
    must(lf_upload_write(&u, data, n, diag), diag);
    return lf_registry_upload_commit(r->registry, name, &u, &imported, diag);
}

static inline enum lf_err rig_put_text(struct rig *r, const char *name, const char *file,
                                       const char *text, struct lf_diag *diag)
{
    return rig_put(r, name, file, text, strlen(text), diag);
}

/* A fresh adapter of the base as a PEFT directory. */
static inline void rig_peft(struct rig *r, const char *dir, uint64_t seed)
{
    struct lf_diag diag = {""};
    struct lf_adapter *a = NULL;
    struct lf_lora_settings s = {.rank = 4, .alpha = 8, .target_modules = "q_proj,v_proj"};
    const struct lf_config *c = &r->bases.base[0]->model->config;
    must(lf_adapter_new(&a, c, &s, seed, &diag), &diag);
    /* B is zero in a fresh one; this one is to change the answers. */
    for (size_t i = 0; i < a->shape.n_params; i++)
        a->params[i] += 0.02f * (float)((int)((i * 2654435761u + seed) % 7) - 3);
    must(lf_adapter_save(a, c, dir, r->bases.base[0]->name, NULL, &diag), &diag);
    lf_adapter_free(a);
}

#endif
