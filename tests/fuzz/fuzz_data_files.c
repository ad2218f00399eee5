/* LIBS: lf_daemon lf_trainer lf_core */
/* Any bytes as one of the small files that a data directory holds: the first byte says which. Each
 * is read, or refused with a reason. */
#include "tests/fuzz/work.h"

#include "core/sums.h"
#include "backup/backup.h"
#include "daemon/api/batch_file.h"
#include "keys/key_file.h"
#include "meta/documents.h"
#include "trainer/ask.h"
#include "trainer/checkpoint.h"
#include "trainer/log.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum lf_err sums(const char *dir, struct lf_diag *diag)
{
    return lf_sums_check(dir, diag);
}

static enum lf_err form(const char *dir, struct lf_diag *diag)
{
    struct lf_ask ask;
    enum lf_err rc = lf_ask_read(&ask, dir, diag);
    if (rc == LF_OK)
        lf_ask_free(&ask);
    return rc;
}

static enum lf_err checkpoint(const char *dir, struct lf_diag *diag)
{
    struct lf_checkpoint c = {.digest = "whose", .n = 8, .moments_bytes = 16 * sizeof(float)};
    enum lf_err rc = lf_checkpoint_read(&c, dir, diag);
    if (rc == LF_OK)
        lf_checkpoint_free(&c);
    return rc;
}

static enum lf_err training_log(const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_curve c = {0};
    enum lf_err rc = lf_path_join(path, dir, "log.jsonl", diag);
    rc = rc ?: lf_train_log_read(&c, path, 0, -1, diag);
    lf_curve_free(&c);
    return rc;
}

static enum lf_err keys(const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    json_auto_t *j = NULL;
    json_t *key;
    size_t i;
    struct lf_key_record r;
    enum lf_err rc = lf_path_join(path, dir, "keys.json", diag) ?: lf_key_file_read(&j, path, diag);
    json_array_foreach(json_object_get(j, "keys"), i, key)
        rc = rc ?: lf_key_record_parse(&r, key, diag);
    return rc;
}

static enum lf_err backup(const char *dir, struct lf_diag *diag)
{
    json_auto_t *list = NULL;
    return lf_backup_list(&list, dir, NULL, diag);
}

#define ID(kind) kind "000000000000000000000001"

static enum lf_err batch(const char *dir, struct lf_diag *diag)
{
    struct lf_batch_file f;
    json_auto_t *errors = NULL;
    size_t entry;
    lf_batch_file_init(&f, NULL);
    enum lf_err rc =
        lf_batch_file_open(&f, dir, ID("batch_"), ID("file-"), "/v1/completions", &errors, diag);
    while (rc == LF_OK && !errors && lf_batch_file_next(&f, &entry)) {
        lf_buf_auto body = {0};
        rc = lf_batch_file_body(&f, entry, &body, diag);
    }
    lf_batch_file_close(&f);
    if (lf_document_remove(dir, ID("batch_"), diag) != LF_OK)
        return LF_E_IO;
    return rc;
}

static enum lf_err document(const char *dir, struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    bool aside;
    const char *fault = lf_document_fault(dir, ID("file-") ".json", &aside);
    enum lf_err rc = lf_document_get(&j, dir, "file-", ID("file-"), diag);
    lf_assert(rc == LF_OK || fault);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct {
        const char *name;
        enum lf_err (*read)(const char *dir, struct lf_diag *diag);
    } files[] = {
        {LF_SUMS_NAME, sums},          {"form", form},
        {"log.jsonl", training_log},   {"checkpoint.safetensors", checkpoint},
        {"keys.json", keys},           {"sets/1700000000000-0123456789abcdef.json", backup},
        {ID("file-") ".bytes", batch}, {ID("file-") ".json", document},
    };
    char path[LF_PATH_MAX], sets[LF_PATH_MAX];
    struct lf_diag diag = {""};
    if (n == 0)
        return 0;
    size_t which = data[0] % (sizeof files / sizeof *files);
    lf_assert(lf_path_join(sets, work(), "sets", NULL) == LF_OK &&
              lf_path_join(path, work(), files[which].name, NULL) == LF_OK);
    lf_assert(lf_dir_make(sets, NULL) == LF_OK);
    FILE *f = fopen(path, "w");
    lf_assert(f && fwrite(data + 1, 1, n - 1, f) == n - 1 && fclose(f) == 0);
    enum lf_err rc = files[which].read(work(), &diag);
    lf_assert(rc == LF_OK || diag.text[0] != '\0');
    remove(path);
    return 0;
}
