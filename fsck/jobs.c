/* Open jobs: each has an adapter, what it trains on, and a checkpoint that can be read or none. */
#include "fsck/inside.h"

#include "core/clock.h"
#include "core/file.h"
#include "daemon/jobs/inputs.h"
#include "model/safetensors.h"

#include <stdio.h>
#include <string.h>

static enum lf_err want_again(void *arg, struct lf_adapter_record *record, struct lf_diag *diag)
{
    (void)diag;
    snprintf(record->trouble, sizeof record->trouble, "%s", (const char *)arg);
    record->refused = 0;
    record->wanted = 1;
    return LF_OK;
}

/* It ends, and its adapter trains again on what its directory holds. */
static void give_up(struct lf_fsck *f, struct lf_job_record *job, const char *what)
{
    char where[64], dir[LF_PATH_MAX];
    struct lf_diag why = {""};
    snprintf(where, sizeof where, "state: job %llu", (unsigned long long)job->id);
    job->progress.state = LF_JOB_FAILED;
    job->ended_ms = lf_clock_unix_ms();
    snprintf(job->reason, sizeof job->reason, "%.*s", LF_DIAG_MAX - 1, what);
    enum lf_err rc =
        lf_registry_dir(&f->r, job->adapter_id, lf_files[LF_FILE_DATASET].disk, dir, &why);
    bool again = rc == LF_OK && lf_file_exists(dir);
    rc = rc ?: lf_store_job_put(f->r.store, job, &why);
    if (rc == LF_OK && again)
        rc = lf_store_adapter_update(f->r.store, job->adapter_id, want_again, job->reason, NULL,
                                     &why);
    rc = rc == LF_E_NOT_FOUND ? LF_OK : rc; /* its adapter is gone, too */
    lf_fsck_tell(f, where, what, rc, again ? "ended; its adapter is to be trained anew" : "ended",
                 &why);
}

/* Whether what was frozen for it is there. */
static enum lf_err inputs_read(const char *dir, struct lf_diag *diag)
{
    char path[LF_PATH_MAX];
    struct lf_train_settings s;
    lf_train_settings_default(&s);
    enum lf_err rc = lf_inputs_settings(dir, &s, diag);
    lf_train_settings_free(&s);
    rc = rc ?: lf_path_join(path, dir, LF_INPUTS_DATASET, diag);
    if (rc == LF_OK && lf_file_size(path) < 0)
        rc = lf_fail(diag, LF_E_NOT_FOUND, "there is no " LF_INPUTS_DATASET);
    return rc;
}

static void checkpoint_check(struct lf_fsck *f, const struct lf_job_record *job, const char *dir)
{
    char path[LF_PATH_MAX], where[LF_PATH_MAX];
    struct lf_tensors *t = NULL;
    lf_names_auto names = {0};
    if (lf_path_join(path, dir, LF_INPUTS_CHECKPOINT, NULL) != LF_OK ||
        lf_dir_names(&names, path, NULL) != LF_OK)
        return;
    for (size_t i = 0; i < names.n; i++) {
        char file[LF_PATH_MAX];
        bool bad = lf_path_join(file, path, names.at[i], NULL) != LF_OK ||
                   lf_name_is_temporary(names.at[i]) ||
                   lf_tensors_open(&t, file, LF_ADAPTER_HEADER_MAX, NULL) != LF_OK;
        lf_tensors_free(t);
        t = NULL;
        snprintf(where, sizeof where, "adapters/%llu/jobs/%llu/" LF_INPUTS_CHECKPOINT "/%.200s",
                 (unsigned long long)job->adapter_id, (unsigned long long)job->id, names.at[i]);
        if (bad)
            lf_fsck_take(f, where, "a checkpoint that cannot be read", false);
    }
}

static enum lf_err job_check(struct lf_fsck *f, struct lf_job_record *job, struct lf_diag *diag)
{
    char dir[LF_PATH_MAX], part[64], what[LF_DIAG_MAX + 64];
    struct lf_diag why = {""};
    snprintf(part, sizeof part, "jobs/%llu", (unsigned long long)job->id);
    enum lf_err rc = lf_registry_dir(&f->r, job->adapter_id, part, dir, diag);
    if (rc != LF_OK)
        return rc;
    if (inputs_read(dir, &why) != LF_OK) {
        snprintf(what, sizeof what, "what it trains on is lost: %s", why.text);
        give_up(f, job, what);
    } else {
        checkpoint_check(f, job, dir);
    }
    return LF_OK;
}

enum lf_err lf_fsck_jobs(struct lf_fsck *f, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < f->n_jobs && rc == LF_OK; i++)
        rc = job_check(f, &f->jobs[i], diag);
    return rc;
}
