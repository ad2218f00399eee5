/* A training job's settings: config.json of an adapter directory, or --config of `lorafs train`.
 * Unknown keys are refused by name; every value has a range. Host data, any thread. */
#ifndef LF_TRAINER_SETTINGS_H
#define LF_TRAINER_SETTINGS_H

#include "core/buf.h"
#include "core/err.h"
#include "core/limits.h"
#include "model/adapter.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum lf_schedule { LF_SCHEDULE_CONSTANT, LF_SCHEDULE_LINEAR, LF_SCHEDULE_COSINE };
enum lf_loss_normalization {
    LF_LOSS_TOKENS,      /* by the supervised tokens of the whole optimizer step */
    LF_LOSS_MICRO_BATCH  /* mean of the micro-batches' means, as Ludwig does */
};

struct lf_train_settings {
    char base[LF_NAME_MAX + 1];  /* "" = the daemon's default base */
    char preset[32];             /* "" or "lora-land" */
    /* LoRA */
    int rank;
    double alpha, dropout;
    bool rslora;
    char target_modules[256];    /* comma separated, or "all-linear" */
    /* The batch */
    int batch_size;              /* rows of a micro-batch */
    int accumulation;            /* micro-batches of an optimizer step */
    int64_t steps;               /* optimizer steps; 0: epochs decide */
    double epochs;
    bool shuffle;
    uint64_t seed;
    int max_length;              /* tokens of a row; the prompt is cut from the left first */
    /* The optimizer */
    double learning_rate;
    enum lf_schedule schedule;
    int64_t warmup_steps;        /* -1: warmup_fraction decides */
    double warmup_fraction;
    bool adamw;                  /* decoupled weight decay */
    double weight_decay, max_grad_norm; /* max_grad_norm 0: no clipping */
    enum lf_loss_normalization loss_normalization;
    int64_t eval_every;          /* optimizer steps between evaluations on eval rows; 0: at the end */
    char *template_;             /* prompt template over columns, or NULL; owned */
    /* Generation defaults of the adapter */
    int max_tokens;              /* of a completion when the request does not say */
    char metric[32];             /* "" = by loss only; "rouge_l", "exact_match", "accuracy", ... */
};

/* The defaults: those of a person who drops a file and wants a good adapter (rank 16, all-linear,
 * 3 epochs...); DESIGN's study preset is "preset": "lora-land". */
void lf_train_settings_default(struct lf_train_settings *out);
/* Defaults, then the preset's values, then the object's members. On error *out is untouched. */
enum lf_err lf_train_settings_parse(struct lf_train_settings *out, const json_t *obj,
                                    struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_train_settings_load(struct lf_train_settings *out, const char *path,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* All settings as a JSON object, pretty-printed: parsing it gives the same settings. */
enum lf_err lf_train_settings_print(const struct lf_train_settings *s, struct lf_buf *out)
    LF_MUST_CHECK;
enum lf_err lf_train_settings_copy(struct lf_train_settings *out,
                                   const struct lf_train_settings *s) LF_MUST_CHECK;
void lf_train_settings_free(struct lf_train_settings *s);

/* Learning rate of optimizer step `step` (from 0) of `steps`: linear warm-up, then the schedule, as
 * transformers.get_{constant,linear,cosine}_schedule_with_warmup. */
double lf_train_learning_rate(const struct lf_train_settings *s, int64_t step, int64_t steps);
int64_t lf_train_warmup_steps(const struct lf_train_settings *s, int64_t steps);

#endif
