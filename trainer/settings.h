/* A training job's settings: config.json of an adapter directory, or --config of `lorafs train`.
 * Unknown keys are refused by name; every value has a range. Host data, any thread.
 *
 * | key                | default    | meaning                                                     |
 * |--------------------|------------|-------------------------------------------------------------|
 * | base               | ""         | base model by name; "": the daemon's default                |
 * | preset             | ""         | "lora-land": the values of that study, where not set here   |
 * | rank, alpha        | 16, 32     | y = W x + (alpha / rank) B A x                              |
 * | rslora             | false      | alpha / sqrt(rank) instead                                  |
 * | target_modules     | all-linear | or a list of module names: ["q_proj", "v_proj"]             |
 * | dropout            | 0.05       | on the adapter's input, while training                      |
 * | batch_size         | 16         | rows of a micro-batch                                       |
 * | accumulation       | 1          | micro-batches of an optimizer step                          |
 * | epochs or steps    | 3 epochs   | passes over the rows, or optimizer steps; not both          |
 * | learning_rate      | "auto"     | the peak; see lf_train_auto_learning_rate                   |
 * | schedule           | cosine     | constant, linear, cosine (after the warm-up)                |
 * | warmup_fraction    | 0.03       | of the steps; or warmup_steps, not both                     |
 * | optimizer          | adamw      | adam, adamw (betas 0.9 and 0.999, eps 1e-8)                 |
 * | weight_decay       | 0          | decoupled with adamw, in the gradient with adam             |
 * | max_grad_norm      | 1          | clips the adapter's gradient; 0: off                        |
 * | loss_normalization | tokens     | tokens, micro_batch: enum lf_loss_normalization             |
 * | shuffle, seed      | true, 42   | the order of rows, the fresh adapter, the dropout masks     |
 * | max_length         | 2048       | tokens of a row: prompt cut from the left, then the rest    |
 * | template           | null       | prompt of a row from its columns: "Q: {question}\nA:"       |
 * | eval_every         | 0          | optimizer steps between evaluations; 0: at the end only     |
 * | eval_rows          | 200        | rows that are completed and scored, the first; 0: all       |
 * | max_tokens         | 256        | of a completion when a request does not say                 |
 * | stop               | []         | strings that end a completion when a request names none     |
 * | metric             | ""         | scores completions of eval rows: score/metrics.h          |
 */
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
    LF_LOSS_TOKENS,     /* by the supervised tokens of the whole optimizer step */
    LF_LOSS_MICRO_BATCH /* mean of the micro-batches' means, as Ludwig does */
};

struct lf_train_settings {
    char base[LF_NAME_MAX + 1]; /* "" = the daemon's default base */
    char preset[32];            /* "" or "lora-land" */
    /* LoRA */
    int rank;
    double alpha, dropout;
    bool rslora;
    char target_modules[256]; /* comma separated, or "all-linear" */
    /* The batch */
    int batch_size;   /* rows of a micro-batch */
    int accumulation; /* micro-batches of an optimizer step */
    int64_t steps;    /* optimizer steps; 0: epochs decide */
    double epochs;
    bool shuffle;
    uint64_t seed;
    int max_length; /* tokens of a row; the prompt is cut from the left first */
    /* The optimizer */
    double learning_rate; /* the peak; 0: auto */
    enum lf_schedule schedule;
    int64_t warmup_steps; /* -1: warmup_fraction decides */
    double warmup_fraction;
    bool adamw;                         /* decoupled weight decay */
    double weight_decay, max_grad_norm; /* max_grad_norm 0: no clipping */
    enum lf_loss_normalization loss_normalization;
    int64_t eval_every; /* optimizer steps between evaluations; 0: at the end only */
    int64_t eval_rows;  /* completed and scored after training, the first; 0: all */
    char *template_;    /* prompt template over columns, or NULL; owned */
    /* Generation defaults of the adapter */
    int max_tokens;           /* of a completion when the request does not say */
    char *stop[LF_STOPS_MAX]; /* strings that end it likewise, none empty; owned */
    int n_stop;
    char metric[32]; /* "" = by loss only; "rouge_l", "exact_match", "accuracy", ... */
};

/* The defaults: those of a person who drops a file and wants a good adapter (rank 16, all-linear,
 * 3 epochs ...). */
void lf_train_settings_default(struct lf_train_settings *out);
/* Defaults, then the preset's values, then the object's members. On error *out is untouched. */
enum lf_err lf_train_settings_parse(struct lf_train_settings *out, const json_t *obj,
                                    struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_train_settings_load(struct lf_train_settings *out, const char *path,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* All settings as a JSON object, pretty-printed: parsing it gives the same settings. */
enum lf_err lf_train_settings_print(const struct lf_train_settings *s,
                                    struct lf_buf *out) LF_MUST_CHECK;
enum lf_err lf_train_settings_copy(struct lf_train_settings *out,
                                   const struct lf_train_settings *s) LF_MUST_CHECK;
void lf_train_settings_free(struct lf_train_settings *s);

/* "learning_rate": "auto" on a base of hidden width C: 2e-4 at 4096 and above, which is what 7B
 * bases are usually trained with (QLoRA, and the lora-land preset), growing with (4096/C)^0.68 to
 * 1e-3 at 384, which is what the embedded base learns best with (docs/training.md has the runs). */
double lf_train_auto_learning_rate(int C);
/* Learning rate of optimizer step `step` (from 0) of `steps`: linear warm-up, then the schedule, as
 * transformers.get_{constant,linear,cosine}_schedule_with_warmup. learning_rate must be set. */
double lf_train_learning_rate(const struct lf_train_settings *s, int64_t step, int64_t steps);
int64_t lf_train_warmup_steps(const struct lf_train_settings *s, int64_t steps);

#endif
