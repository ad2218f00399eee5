/* A job's inputs, frozen: a directory with dataset.jsonl and eval.jsonl (hard links: the files of
 * an adapter are replaced, never written over) and settings.json. Any thread. */
#ifndef LF_DAEMON_JOBS_INPUTS_H
#define LF_DAEMON_JOBS_INPUTS_H

#include "core/file.h"
#include "core/recent.h"
#include "daemon/registry/registry.h"
#include "trainer/trainer.h"

/* The SHA-256 of a file. digests: of those that were read already, by their tags (core/file.h): a
 * large one takes a while, and a file that is the same one has the same bytes. */
enum lf_err lf_digest_of(struct lf_recent *digests, const char *path, char sha256[LF_SHA256_HEX],
                         struct lf_diag *diag) LF_MUST_CHECK;
/* Reads the adapter's data set, if it is there, so that freezing it need not: no lock is to be held
 * for as long. */
void lf_inputs_read(struct lf_registry *r, struct lf_recent *digests, uint64_t adapter_id);

/* Freezes what the adapter's directory holds now into `dir`, which is made. sha256: of the dataset
 * and the settings that decide what it gives, what tells a training from another: not of those that
 * only score it, or answer. LF_E_NOT_FOUND without a dataset. */
enum lf_err lf_inputs_freeze(struct lf_registry *r, struct lf_recent *digests, uint64_t adapter_id,
                             const char *dir, char sha256[LF_SHA256_HEX],
                             struct lf_diag *diag) LF_MUST_CHECK;
/* What was frozen. Yours, lf_train_settings_free. */
enum lf_err lf_inputs_settings(const char *dir, struct lf_train_settings *out,
                               struct lf_diag *diag) LF_MUST_CHECK;

/* What a training failed of, beside its inputs, and how often; nothing where it did not. */
struct lf_inputs_fault {
    int failures; /* that had a loss or gradient which was not finite */
    struct lf_train_fault fault;
};
enum lf_err lf_inputs_fault_read(struct lf_inputs_fault *out, const char *dir,
                                 struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_inputs_fault_write(const struct lf_inputs_fault *f, const char *dir,
                                  struct lf_diag *diag) LF_MUST_CHECK;

#define LF_INPUTS_DATASET "dataset.jsonl"
#define LF_INPUTS_EVAL "eval.jsonl"
#define LF_INPUTS_SETTINGS "settings.json"
#define LF_INPUTS_CHECKPOINT "checkpoint"
/* What a training reads: made of them, made again where they are lost (trainer/row_file.h) */
#define LF_INPUTS_ROWS "dataset.rows"
#define LF_INPUTS_EVAL_ROWS "eval.rows"
#define LF_INPUTS_FAULT "fault.json"

#endif
