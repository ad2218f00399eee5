/* Adapters that `lorafs train` trains without a daemon: one of --dataset, or one of each argument,
 * a file of rows or an adapter's directory (dataset.jsonl, eval.jsonl, config.json, template, as
 * the mount has them). Of several, each has in --out:
 *
 *     NAME/adapter/       as PEFT has it
 *     NAME/log.jsonl      trainer/log.h
 *     NAME/result.json    how it ended, and of what: such a one is not trained again
 *     NAME/checkpoint/    while it is not done
 *
 * Host data, one thread. */
#ifndef LF_TOOLS_TRAIN_LIST_H
#define LF_TOOLS_TRAIN_LIST_H

#include "core/file.h"
#include "core/limits.h"
#include "tools/adapter_remote.h"
#include "tools/crew.h"
#include "tools/options.h"
#include "trainer/settings.h"

struct lf_train_flags {
    struct lf_offline_options o;
    struct lf_seats seats;
    struct lf_remote_options remote;
    struct lf_settings_flags settings;
    const char *dataset, *eval, *init, *out, *log, *curve, *checkpoint;
    const char *tensorboard, *mlflow;
    int64_t batch_tokens;
    double checkpoint_seconds;
    int recompute;
    bool json;
    bool slurm;
    int64_t slurm_tasks; /* adapters of an element; 0: as many as fuse */
    struct lf_option_strs sbatch;
};

struct lf_train_item {
    char name[LF_NAME_MAX + 1]; /* "": the one of --dataset */
    const char *arg;            /* that it is of; borrowed */
    char rows[LF_PATH_MAX];
    char eval[LF_PATH_MAX];       /* "": none */
    char dir[LF_PATH_MAX];        /* NAME/; "": the one of --dataset has none */
    char out[LF_PATH_MAX];        /* the adapter's */
    char log[LF_PATH_MAX];        /* "": none */
    char checkpoint[LF_PATH_MAX]; /* "": none */
    json_t *settings;             /* what is given of them; NULL: nothing. owned */
    char key[LF_SHA256_HEX];      /* of base, settings and rows: what decides the result; "" for
                                     the one of --dataset */
};

struct lf_train_list {
    struct lf_train_item *items; /* (n) owned */
    int n;
};

/* base: the checkpoint's directory. Settings that are wrong, a name that two have and rows that are
 * not there are errors. Yours, lf_train_list_free, also after a failure. */
enum lf_err lf_train_list_make(struct lf_train_list *out, const struct lf_train_flags *o,
                               const char *base, const struct lf_args *args,
                               struct lf_diag *diag) LF_MUST_CHECK;
void lf_train_list_free(struct lf_train_list *l);

/* The item's settings; lf_train_settings_free. */
enum lf_err lf_train_item_settings(const struct lf_train_item *it, struct lf_train_settings *out,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* Its result.json, if that is of the item's key; else NULL. Yours. */
json_t *lf_train_result_read(const struct lf_train_item *it);
/* Writes it: `report` (taken) behind the name, "state": "done", or where why is not NULL "failed"
 * and the reason. */
enum lf_err lf_train_result_write(const struct lf_train_item *it, json_t *report, const char *why,
                                  struct lf_diag *diag) LF_MUST_CHECK;
/* Removes the result.json that is there, whatever it is of. */
enum lf_err lf_train_result_forget(const struct lf_train_item *it,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* On stdout a line, for people or as JSON; a failure goes to stderr. True: it is done. */
bool lf_train_result_print(const struct lf_train_item *it, const json_t *result, bool json);

#endif
