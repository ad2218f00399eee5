/* Names that mean nothing: refused, with what would mean something. */
#include "daemon/registry/index.h"

#include "core/nearest.h"

#include <stdio.h>
#include <string.h>

static bool ends_with_one_of(const char *name, const char *const *ends)
{
    size_t n = strlen(name);
    for (; *ends; ends++) {
        size_t k = strlen(*ends);
        if (n >= k && strcmp(name + n - k, *ends) == 0)
            return true;
    }
    return false;
}

/* The name without what follows its last dot. */
static void stem(char out[LF_NAME_MAX + 1], const char *name)
{
    const char *dot = strrchr(name, '.');
    int n = dot ? (int)(dot - name) : (int)strlen(name);
    snprintf(out, LF_NAME_MAX + 1, "%.*s", n < LF_NAME_MAX ? n : LF_NAME_MAX, name);
}

/* The file of an adapter whose name is spelt much the same, endings aside. */
static const char *nearest(const char *name)
{
    char stems[LF_FILE_N][LF_NAME_MAX + 1], mine[LF_NAME_MAX + 1];
    const char *words[LF_FILE_N + 1] = {NULL};
    for (size_t i = 0; i < LF_FILE_N; i++) {
        const char *slash = strchr(lf_files[i].name, '/');
        stem(stems[i], slash ? slash + 1 : lf_files[i].name);
        words[i] = stems[i];
    }
    for (size_t i = 0; i < LF_FILE_N;
         i++) { /* "dataset.jsonl.gz": rows may be packed, under ours */
        const char *slash = strrchr(lf_files[i].name, '/'),
                   *known = slash ? slash + 1 : lf_files[i].name;
        if (strncmp(name, known, strlen(known)) == 0 && name[strlen(known)] == '.')
            return lf_files[i].name;
    }
    stem(mine, name);
    const char *near = lf_nearest_word(mine, words);
    for (size_t i = 0; near && i < LF_FILE_N; i++)
        if (words[i] == near)
            return lf_files[i].name;
    return NULL;
}

/* What a person may have meant by the last part of a path. */
static void hint(struct lf_diag *out, const char *name)
{
    static const char *const pickles[] = {".bin", ".pt", ".pth", ".ckpt", NULL};
    static const char *const rows[] = {".jsonl", ".json", ".csv", ".tsv", ".parquet",
                                       ".txt",   ".gz",   ".zst", NULL};
    const char *near = nearest(name);
    if (ends_with_one_of(name, pickles))
        lf_fail(out, LF_E_NOT_FOUND, "it is PyTorch's: save the adapter as safetensors");
    else if (near)
        lf_fail(out, LF_E_NOT_FOUND, "did you mean %s?", near);
    else if (ends_with_one_of(name, rows))
        lf_fail(out, LF_E_NOT_FOUND, "rows to train on are %s, rows held out %s",
                lf_files[LF_FILE_DATASET].name, lf_files[LF_FILE_EVAL].name);
    else
        lf_fail(out, LF_E_NOT_FOUND, "README in the mount lists the names");
}

enum lf_err lf_registry_stray(struct lf_registry *r, const char *name, const char *path,
                              struct lf_diag *diag)
{
    struct lf_diag hinted = {""}, why = {""};
    struct lf_adapter_view v;
    const char *slash = strrchr(path, '/');
    enum lf_err rc = lf_registry_view(r, name, &v, diag);
    if (rc != LF_OK)
        return rc;
    hint(&hinted, slash ? slash + 1 : path);
    lf_fail(&why, LF_E_NOT_FOUND, "an adapter has no such file: %s", hinted.text);
    lf_registry_asked(r, name, path, why.text);
    lf_fail_within(&why, LF_E_NOT_FOUND, "%.100s", path);
    lf_registry_log(r, v.record.id,
                    json_pack("{s:s, s:s}", "event", "refused", "reason", why.text));
    return lf_fail(diag, LF_E_NOT_FOUND, "%s", why.text);
}
