/* Documents: files of a directory, by their ids. */
#include "meta/documents.h"

#include "core/clock.h"
#include "core/json.h"
#include "meta/limits.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define OBJECT ".json"
#define DIGITS 24 /* of an id: 12 of the time in ms, 4 that count, 8 drawn */

static const char *const suffixes[] = {OBJECT, LF_DOCUMENT_BYTES, LF_DOCUMENT_OUTPUT,
                                       LF_DOCUMENT_ERRORS};
#define SUFFIXES_N (sizeof suffixes / sizeof *suffixes)

/* ---- Names ----------------------------------------------------------------------------------- */

bool lf_document_is(const char *id, const char *kind)
{
    size_t n = strlen(kind);
    return strncmp(id, kind, n) == 0 && strlen(id + n) == DIGITS &&
           strspn(id + n, "0123456789abcdef") == DIGITS;
}

void lf_document_id(char out[LF_DOCUMENT_ID_MAX], const char *kind)
{
    static atomic_uint count; /* of those of one millisecond */
    uint32_t drawn = 0;
    (void)!getrandom(&drawn, sizeof drawn, GRND_NONBLOCK);
    snprintf(out, LF_DOCUMENT_ID_MAX, "%s%012llx%04x%08x", kind,
             (unsigned long long)lf_clock_unix_ms(), atomic_fetch_add(&count, 1) & 0xffff, drawn);
}

enum lf_err lf_document_path(char out[LF_PATH_MAX], const char *dir, const char *id,
                             const char *suffix, struct lf_diag *diag)
{
    char name[LF_DOCUMENT_ID_MAX + 16];
    snprintf(name, sizeof name, "%s%s", id, suffix);
    return lf_path_join(out, dir, name, diag);
}

/* The id of the file, cut out of its name, and the suffix's place; SUFFIXES_N: it has none. */
static size_t take_apart(char id[LF_DOCUMENT_ID_MAX], const char *file)
{
    const char *dot = strchr(file, '.');
    size_t n = dot ? (size_t)(dot - file) : 0;
    if (n == 0 || n >= LF_DOCUMENT_ID_MAX)
        return SUFFIXES_N;
    memcpy(id, file, n);
    id[n] = '\0';
    size_t i = 0;
    while (i < SUFFIXES_N && strcmp(suffixes[i], dot) != 0)
        i++;
    return i;
}

/* ---- One ------------------------------------------------------------------------------------- */

enum lf_err lf_document_get(json_t **out, const char *dir, const char *kind, const char *id,
                            struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    if (!lf_document_is(id, kind))
        return lf_fail(diag, LF_E_NOT_FOUND, "there is no %.80s", id);
    enum lf_err rc = lf_document_path(path, dir, id, OBJECT, diag);
    rc = rc ?: lf_json_load(out, path, diag);
    return rc == LF_E_NOT_FOUND ? lf_fail(diag, rc, "there is no %s", id) : rc;
}

enum lf_err lf_document_put(const char *dir, const json_t *j, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = lf_document_path(path, dir, lf_json_text_of(j, "id"), OBJECT, diag);
    return rc ?: lf_json_write(path, json_incref((json_t *)(uintptr_t)j), JSON_COMPACT, diag);
}

enum lf_err lf_document_remove(const char *dir, const char *id, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < SUFFIXES_N && rc == LF_OK; i++) {
        rc = lf_document_path(path, dir, id, suffixes[i], diag);
        if (rc == LF_OK && lf_file_exists(path))
            rc = lf_file_remove(path, diag);
    }
    return rc;
}

/* ---- All ------------------------------------------------------------------------------------- */

enum lf_err lf_documents_list(struct lf_names *out, const char *dir, const char *kind,
                              struct lf_diag *diag)
{
    char id[LF_DOCUMENT_ID_MAX];
    size_t n = 0;
    enum lf_err rc = lf_dir_names(out, dir, diag);
    for (size_t i = 0; i < out->n; i++) {
        if (take_apart(id, out->at[i]) == 0 && lf_document_is(id, kind)) {
            char *kept = out->at[i];
            kept[strlen(id)] = '\0';
            out->at[i] = out->at[n];
            out->at[n++] = kept;
        }
    }
    for (; out->n > n; out->n--)
        free(out->at[out->n - 1]);
    return rc;
}

enum lf_err lf_documents_room(const char *dir, const char *kind, struct lf_diag *diag)
{
    lf_names_auto ids = {0};
    enum lf_err rc = lf_documents_list(&ids, dir, kind, diag);
    if (rc == LF_OK && ids.n >= LF_DOCUMENTS_MAX)
        rc = lf_fail(diag, LF_E_NO_SPACE, "%d of the kind \"%s\" are kept already: remove some",
                     LF_DOCUMENTS_MAX, kind);
    return rc;
}

/* It can be read, is its own, and has all of the bytes that it says. */
static bool is_well(const char *dir, const char *id)
{
    char path[LF_PATH_MAX];
    json_auto_t *j = NULL;
    if (lf_document_path(path, dir, id, OBJECT, NULL) != LF_OK ||
        lf_json_load(&j, path, NULL) != LF_OK || strcmp(lf_json_text_of(j, "id"), id) != 0)
        return false;
    const json_t *bytes = json_object_get(j, "bytes");
    return !bytes || (lf_document_path(path, dir, id, LF_DOCUMENT_BYTES, NULL) == LF_OK &&
                      lf_file_size(path) == (int64_t)json_integer_value(bytes));
}

const char *lf_document_fault(const char *dir, const char *file, bool *aside)
{
    char id[LF_DOCUMENT_ID_MAX];
    size_t suffix = take_apart(id, file);
    *aside = suffix < SUFFIXES_N || !lf_name_is_temporary(file);
    if (suffix == SUFFIXES_N)
        return *aside ? "it is no document's" : "a file that was being written";
    if (is_well(dir, id))
        return NULL;
    return suffix == 0 ? "it cannot be read, or lacks its bytes" : "it is of no document";
}

enum lf_err lf_documents_open(const char *dir, struct lf_diag *diag)
{
    char id[LF_DOCUMENT_ID_MAX], path[LF_PATH_MAX];
    lf_names_auto names = {0};
    enum lf_err rc = lf_dir_make(dir, diag) ?: lf_dir_names(&names, dir, diag);
    for (size_t i = 0; i < names.n && rc == LF_OK; i++) {
        size_t suffix = take_apart(id, names.at[i]);
        bool known = suffix < SUFFIXES_N && suffix > 0;
        if (known)
            rc = lf_document_path(path, dir, id, OBJECT, diag);
        if (rc == LF_OK && ((known && !lf_file_exists(path)) || lf_name_is_temporary(names.at[i])))
            rc = lf_path_join(path, dir, names.at[i], diag) ?: lf_dir_remove(path, diag);
    }
    return rc;
}
