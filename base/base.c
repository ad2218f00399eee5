/* A base's host side: opened from its directory, described for people. */
#include "base/base.h"

#include "core/file.h"
#include "base/limits.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A snapshot in the cache of Hugging Face's libraries, models--ORG--NAME/snapshots/COMMIT, has the
 * name of its repository; `path` is cut there. NULL: it is none. */
static const char *repository_of(char *path)
{
    static const char mark[] = "/models--", below[] = "/snapshots/";
    char *repo = NULL;
    for (char *next = strstr(path, mark); next; next = strstr(next + 1, mark))
        repo = next;
    char *end = repo ? strchr(repo + 1, '/') : NULL;
    char *name = repo ? strstr(repo + sizeof mark - 1, "--") : NULL;
    if (!end || !name || name >= end || strncmp(end, below, sizeof below - 1) != 0 ||
        strchr(end + sizeof below - 1, '/'))
        return NULL;
    *end = '\0';
    return name + 2;
}

/* As asked for, or the last part of a path, slashes at its end aside. */
static enum lf_err name_of(char out[LF_NAME_MAX + 1], const char *name, const char *dir,
                           struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (name && *name && !lf_name_ok(name))
        return lf_fail(diag, LF_E_INVALID,
                       "\"%.100s\" cannot be a base's name: 1 to %d of [A-Za-z0-9._-]", name,
                       LF_NAME_MAX);
    if (!realpath(dir, path))
        return lf_fail_errno(diag, errno, "%s", dir);
    const char *last = name && *name ? name : repository_of(path);
    if (!last)
        last = strrchr(path, '/') + 1;
    if (!lf_name_ok(last))
        return lf_fail(diag, LF_E_INVALID,
                       "%s: the directory's name becomes the base's: 1 to %d of [A-Za-z0-9._-]",
                       dir, LF_NAME_MAX);
    memcpy(out, last, strlen(last) + 1);
    return LF_OK;
}

static int64_t weight_bytes(const char *dir)
{
    int64_t sum = 0;
    DIR *d = opendir(dir);
    for (struct dirent *x = d ? readdir(d) : NULL; x; x = readdir(d)) {
        char path[LF_PATH_MAX];
        size_t n = strlen(x->d_name);
        if (n < 12 || strcmp(x->d_name + n - 12, ".safetensors") != 0 ||
            snprintf(path, sizeof path, "%s/%s", dir, x->d_name) >= (int)sizeof path)
            continue;
        int64_t bytes = lf_file_size(path);
        sum += bytes > 0 ? bytes : 0;
    }
    if (d)
        closedir(d);
    return sum;
}

static enum lf_err config_read(struct lf_base *b, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    lf_buf_auto text = {0};
    if (lf_path_join(path, b->dir, "config.json", diag) != LF_OK)
        return LF_E_INVALID;
    enum lf_err rc = lf_file_read(&text, path, LF_BASE_CONFIG_BYTES_MAX, diag);
    if (rc == LF_OK) {
        b->config_text = lf_buf_take(&text, &b->config_bytes);
        struct stat st;
        if (stat(path, &st) == 0)
            b->created_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
        if (!b->config_text)
            rc = lf_fail(diag, LF_E_NO_MEMORY, "%s: no memory", path);
    }
    return rc;
}

/* The parts of a model that need no device. */
static enum lf_err host_open(struct lf_base *b, struct lf_diag *diag)
{
    struct lf_model *m = calloc(1, sizeof *m);
    if (!m)
        return lf_no_memory(diag, "the base");
    b->model = m;
    snprintf(m->name, sizeof m->name, "%s", b->name);
    enum lf_err rc = lf_config_load(&m->config, b->dir, diag);
    rc = rc ?: lf_tokenizer_open(&m->tokenizer, b->dir, diag);
    if (rc != LF_OK)
        return rc;
    m->rope_positions = m->config.positions_max;
    if (lf_chat_open(&m->chat, b->dir, &m->chat_reason) != LF_OK)
        m->chat = NULL; /* the reason is shown to whoever asks for a chat */
    return LF_OK;
}

/* How the block weights are held: 4-bit checkpoints stay 4-bit. */
static const char *quant_name(const struct lf_base *b, enum lf_quant quant)
{
    return quant == LF_QUANT_NF4 || strstr(b->config_text, "\"quantization_config\"") ? "nf4"
                                                                                      : "none";
}

static enum lf_err info_make(struct lf_base *b, struct lf_diag *diag)
{
    const struct lf_config *c = &b->model->config;
    lf_buf_auto t = {0};
    lf_buf_printf(&t, "name           %s\n", b->name);
    if (b->repository[0])
        lf_buf_printf(&t, "repository     %s%s%s\n", b->repository, b->revision[0] ? "@" : "",
                      b->revision);
    lf_buf_printf(&t, "sha256         %s\n", b->sha256);
    lf_buf_printf(&t, "architecture   %s\n", c->model_type);
    lf_buf_printf(&t, "parameters     %lld\n", (long long)lf_config_params(c));
    lf_buf_printf(&t, "bytes          %lld\n", (long long)b->weight_bytes);
    lf_buf_printf(&t, "quantisation   %s\n", b->quant);
    lf_buf_printf(&t, "layers         %d\n", c->L);
    lf_buf_printf(&t, "hidden         %d\n", c->C);
    lf_buf_printf(&t, "heads          %d, %d of keys and values\n", c->H, c->Hkv);
    lf_buf_printf(&t, "vocabulary     %d\n", c->V);
    lf_buf_printf(&t, "context        %d tokens\n", c->positions_max);
    lf_buf_printf(&t, "chat template  %s\n", b->model->chat ? "yes" : b->model->chat_reason.text);
    lf_buf_puts(&t, "target modules ");
    for (int i = 0; i < c->n_proj; i++) {
        const char *dot = strrchr(c->proj[i].module, '.');
        lf_buf_printf(&t, i ? ", %s" : "%s", dot ? dot + 1 : c->proj[i].module);
    }
    lf_buf_putc(&t, '\n');
    enum lf_err rc = t.rc;
    if (rc == LF_OK)
        b->info = lf_buf_take(&t, &b->info_bytes);
    return rc == LF_OK ? rc : lf_fail(diag, rc, "no memory for the base's description");
}

enum lf_err lf_base_open(struct lf_base **out, const char *name, const char *dir,
                         enum lf_quant quant, const char *cache_dir, struct lf_diag *diag)
{
    struct lf_base *b = calloc(1, sizeof *b);
    if (!b)
        return lf_no_memory(diag, "the base");
    enum lf_err rc = LF_OK;
    if (snprintf(b->dir, sizeof b->dir, "%s", dir) >= (int)sizeof b->dir)
        rc = lf_fail(diag, LF_E_INVALID, "%s: path too long", dir);
    rc = rc ?: name_of(b->name, name, dir, diag);
    rc = rc ?: config_read(b, diag);
    rc = rc ?: host_open(b, diag);
    rc = rc ?: lf_base_identify(b, cache_dir, diag);
    if (rc == LF_OK) {
        b->weight_bytes = weight_bytes(b->dir);
        b->quant = quant_name(b, quant);
        rc = info_make(b, diag);
    }
    if (rc == LF_OK)
        *out = b;
    else
        lf_base_free(b);
    return rc;
}

void lf_base_free(struct lf_base *b)
{
    if (!b)
        return;
    if (b->model) {
        lf_tokenizer_free(b->model->tokenizer);
        lf_chat_free(b->model->chat);
        free(b->model);
    }
    free(b->config_text);
    free(b->info);
    free(b);
}

const struct lf_base *lf_bases_find(const struct lf_bases *b, const char *name)
{
    for (int i = 0; i < b->n; i++)
        if (!*name || strcmp(b->base[i]->name, name) == 0)
            return b->base[i];
    return NULL;
}

void lf_bases_list(const struct lf_bases *b, char out[LF_DIAG_MAX])
{
    size_t at = 0;
    for (int i = 0; i < b->n && at < LF_DIAG_MAX; i++)
        at += (size_t)snprintf(out + at, LF_DIAG_MAX - at, "%s\"%s\"",
                               i == 0          ? ""
                               : i == b->n - 1 ? " and "
                                               : ", ",
                               b->base[i]->name);
}

const struct lf_base *lf_bases_of(const struct lf_bases *b, const char *name)
{
    const struct lf_base *found = lf_bases_find(b, name);
    return found ? found : b->base[0];
}
