/* Writing an adapter as PEFT does. Only keys that every peft since 0.3 knows are written, unless
 * an adapter needs a younger one (rsLoRA, DoRA, patterns). */
#include "model/adapter.h"

#include "core/buf.h"
#include "core/file.h"
#include "core/json.h"
#include "model/limits.h"
#include "model/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TENSOR_NAME_BYTES (LF_SITE_NAME_MAX + 48)

/* ---- adapter_config.json --------------------------------------------------------------------- */

/* "q_proj" where every layer has it, full names of single sites otherwise. */
static json_t *target_modules(const struct lf_adapter *a, const struct lf_config *c)
{
    json_t *list = json_array();
    for (int p = 0; p < c->n_proj; p++) {
        int n = 0;
        for (int l = 0; l < c->L; l++)
            n += a->shape.rank[l * c->n_proj + p] > 0;
        if (n == c->L) {
            const char *dot = strrchr(c->proj[p].module, '.');
            json_array_append_new(list, json_string(dot ? dot + 1 : c->proj[p].module));
            continue;
        }
        for (int l = 0; l < c->L; l++) {
            char key[LF_SITE_NAME_MAX];
            lf_adapter_site_name(key, c, l * c->n_proj + p);
            if (a->shape.rank[l * c->n_proj + p] > 0)
                json_array_append_new(list, json_string(key));
        }
    }
    return list;
}

/* Sites whose rank or alpha is not the common one, by their full names. */
static void patterns(const struct lf_adapter *a, const struct lf_config *c, json_t *ranks,
                     json_t *alphas)
{
    for (int i = 0; i < a->shape.n_sites; i++) {
        char key[LF_SITE_NAME_MAX];
        int rank = a->shape.rank[i];
        if (rank == 0)
            continue;
        lf_adapter_site_name(key, c, i);
        if (rank != a->rank)
            json_object_set_new(ranks, key, json_integer(rank));
        if (a->shape.scale[i] != lf_lora_scale(a->alpha, rank, a->rslora)) {
            double per = a->rslora ? sqrt((double)rank) : rank;
            json_object_set_new(alphas, key, json_real((double)a->shape.scale[i] * per));
        }
    }
}

/* Alpha is an integer in most files, and older readers want one. */
static json_t *number(double x)
{
    return x == floor(x) && fabs(x) < 1e9 ? json_integer((json_int_t)x) : json_real(x);
}

static json_t *config_json(const struct lf_adapter *a, const struct lf_config *c,
                           const char *base_name)
{
    json_t *j = json_object(), *ranks = json_object(), *alphas = json_object();
    patterns(a, c, ranks, alphas);
    json_object_set_new(j, "base_model_name_or_path", json_string(base_name));
    json_object_set_new(j, "bias", json_string("none"));
    json_object_set_new(j, "fan_in_fan_out", json_false());
    json_object_set_new(j, "inference_mode", json_true());
    json_object_set_new(j, "init_lora_weights", json_true());
    json_object_set_new(j, "lora_alpha", number(a->alpha));
    json_object_set_new(j, "lora_dropout", json_real(a->dropout));
    json_object_set_new(j, "modules_to_save", json_null());
    json_object_set_new(j, "peft_type", json_string("LORA"));
    json_object_set_new(j, "r", json_integer(a->rank));
    json_object_set_new(j, "target_modules", target_modules(a, c));
    json_object_set_new(j, "task_type", json_string("CAUSAL_LM"));
    if (a->rslora)
        json_object_set_new(j, "use_rslora", json_true());
    if (a->shape.dora)
        json_object_set_new(j, "use_dora", json_true());
    if (json_object_size(ranks) > 0)
        json_object_set(j, "rank_pattern", ranks);
    if (json_object_size(alphas) > 0)
        json_object_set(j, "alpha_pattern", alphas);
    json_decref(ranks);
    json_decref(alphas);
    return j;
}

static enum lf_err write_config(const struct lf_adapter *a, const struct lf_config *c,
                                const char *path, const char *base_name, struct lf_diag *diag)
{
    return lf_json_write(path, config_json(a, c, base_name),
                         JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(9), diag);
}

/* ---- adapter_model.safetensors --------------------------------------------------------------- */

static enum lf_err write_weights(const struct lf_adapter *a, const struct lf_config *c,
                                 const char *path, const char *note, struct lf_diag *diag)
{
    size_t n = 0, n_max = 3 * (size_t)a->shape.n_sites;
    lf_assert(!a->served);
    struct lf_tensor *t = calloc(n_max, sizeof *t);
    char(*names)[TENSOR_NAME_BYTES] = calloc(n_max, sizeof *names);
    enum lf_err rc = !t || !names ? lf_fail(diag, LF_E_NO_MEMORY, "%s: no memory", path) : LF_OK;
    for (int i = 0; i < a->shape.n_sites && rc == LF_OK; i++) {
        const struct lf_proj *p = &c->proj[i % c->n_proj];
        int64_t rank = a->shape.rank[i];
        char key[LF_SITE_NAME_MAX];
        if (rank == 0)
            continue;
        lf_adapter_site_name(key, c, i);
        snprintf(names[n], sizeof *names, "base_model.model.%s.lora_A.weight", key);
        t[n] = (struct lf_tensor){.name = names[n],
                                  .dtype = LF_F32,
                                  .n_dims = 2,
                                  .dims = {rank, p->K},
                                  .data = a->params + a->shape.a_off[i]};
        n++;
        snprintf(names[n], sizeof *names, "base_model.model.%s.lora_B.weight", key);
        t[n] = (struct lf_tensor){.name = names[n],
                                  .dtype = LF_F32,
                                  .n_dims = 2,
                                  .dims = {p->N, rank},
                                  .data = a->params + a->shape.b_off[i]};
        n++;
        if (!a->shape.dora)
            continue;
        snprintf(names[n], sizeof *names, "base_model.model.%s.lora_magnitude_vector", key);
        t[n] = (struct lf_tensor){.name = names[n],
                                  .dtype = LF_F32,
                                  .n_dims = 1,
                                  .dims = {p->N},
                                  .data = a->params + a->shape.m_off[i]};
        n++;
    }
    rc = rc ?: lf_tensors_write_noted(path, t, n, note, diag);
    free(t);
    free(names);
    return rc;
}

/* ---- The directory --------------------------------------------------------------------------- */

/* tmp becomes dir; what dir was before is removed. */
static enum lf_err place_dir(const char *tmp, const char *dir, struct lf_diag *diag)
{
    char parent[LF_PATH_MAX];
    enum lf_err rc = LF_OK;
    if (rename(tmp, dir) != 0) {
        if (errno != ENOTEMPTY && errno != EEXIST)
            return lf_fail_errno(diag, errno, "%s: rename to %s", tmp, dir);
        if (renameat2(AT_FDCWD, tmp, AT_FDCWD, dir, RENAME_EXCHANGE) != 0)
            return lf_fail_errno(diag, errno, "%s: exchange with %s", tmp, dir);
        rc = lf_dir_remove(tmp, diag);
    }
    snprintf(parent, sizeof parent, "%s/..", dir);
    return rc ?: lf_dir_sync(parent, diag);
}

enum lf_err lf_adapter_save(const struct lf_adapter *a, const struct lf_config *c, const char *dir,
                            const char *base_name, const char *note, struct lf_diag *diag)
{
    char tmp[LF_PATH_MAX - 64], path[LF_PATH_MAX];
    if (snprintf(tmp, sizeof tmp, "%s.XXXXXX", dir) >= (int)sizeof tmp)
        return lf_fail(diag, LF_E_INVALID, "%.64s...: path too long", dir);
    if (!mkdtemp(tmp))
        return lf_fail_errno(diag, errno, "%s", tmp);
    enum lf_err rc = chmod(tmp, 0755) != 0 ? lf_fail_errno(diag, errno, "%s: chmod", tmp) : LF_OK;
    snprintf(path, sizeof path, "%s/adapter_config.json", tmp);
    rc = rc ?: write_config(a, c, path, base_name, diag);
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", tmp);
    rc = rc ?: write_weights(a, c, path, note, diag);
    rc = rc ?: place_dir(tmp, dir, diag);
    if (rc != LF_OK)
        (void)!lf_dir_remove(tmp, NULL);
    return rc;
}
