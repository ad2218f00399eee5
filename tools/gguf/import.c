/* A GGUF file into a checkpoint's directory, or an adapter's. */
#include "tools/gguf/gguf.h"

#include "core/json.h"
#include "core/limits.h"
#include "tools/gguf/inside.h"

#include <stdio.h>
#include <string.h>

/* Weights first, config.json last: a directory with a config.json is complete. */
static enum lf_err import(const struct lf_gguf *g, const char *dir, enum lf_dtype dtype,
                          void (*progress)(void *arg, double fraction, const char *what), void *arg,
                          struct lf_diag *diag)
{
    char config[LF_PATH_MAX], weights[LF_PATH_MAX];
    struct lf_config c;
    json_t *j;
    snprintf(config, sizeof config, "%s/config.json", dir);
    snprintf(weights, sizeof weights, "%s/model.safetensors", dir);
    enum lf_err rc = lf_gguf_config(&j, g, dtype == LF_F32 ? "float32" : "bfloat16", diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_config_parse(&c, j, diag) ?: lf_dir_make(dir, diag);
    rc = rc ?: lf_gguf_weights(g, &c, weights, dtype, progress, arg, diag);
    rc = rc ?: lf_gguf_tokenizer(g, dir, diag);
    rc = rc ?: lf_json_write(config, json_incref(j), JSON_INDENT(2), diag);
    json_decref(j);
    return rc;
}

enum lf_err lf_gguf_import(const char *path, const char *dir, enum lf_dtype dtype,
                           void (*progress)(void *arg, double fraction, const char *what),
                           void *progress_arg, struct lf_diag *diag)
{
    char config[LF_PATH_MAX];
    lf_mapping_auto map = {0};
    struct lf_gguf g;
    if (strlen(dir) + 64 > sizeof config)
        return lf_fail(diag, LF_E_INVALID, "%.64s...: path too long", dir);
    snprintf(config, sizeof config, "%s/config.json", dir);
    if (lf_file_exists(config))
        return lf_fail(diag, LF_E_EXISTS, "%s: there is a checkpoint already", dir);
    enum lf_err rc = lf_file_map(&map, path, diag);
    rc = rc ?: lf_gguf_parse(&g, map.data, map.bytes, diag);
    if (rc == LF_OK) {
        if (lf_gguf_is_adapter(&g))
            rc = lf_fail(diag, LF_E_INVALID, "an adapter: say with --base what it was made on");
        rc = rc ?: import(&g, dir, dtype, progress, progress_arg, diag);
        lf_gguf_free(&g);
    }
    if (rc == LF_OK && progress)
        progress(progress_arg, 1.0, "imported");
    return rc == LF_OK ? rc : lf_fail_within(diag, rc, "%s", path);
}

enum lf_err lf_gguf_import_adapter(const char *path, const char *dir, const char *base,
                                   const char *base_name, struct lf_diag *diag)
{
    lf_mapping_auto map = {0};
    struct lf_config c;
    struct lf_adapter *a = NULL;
    struct lf_gguf g = {0};
    enum lf_err rc = lf_config_load(&c, base, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_file_map(&map, path, diag);
    rc = rc ?: lf_gguf_parse(&g, map.data, map.bytes, diag);
    if (rc == LF_OK && !lf_gguf_is_adapter(&g))
        rc = lf_fail(diag, LF_E_INVALID, "a checkpoint and no adapter: --base is not for it");
    rc = rc ?: lf_gguf_adapter(&a, &g, &c, diag);
    lf_gguf_free(&g);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc, "%s", path);
    rc = lf_adapter_save(a, &c, dir, base_name, NULL, diag);
    lf_adapter_free(a);
    return rc;
}
