/* A training job's settings: config.json of an adapter directory, or --config of `lorafs train`.
 * What settings there are stands in one table, lf_settings: it reads, prints and checks them, says
 * which decide a training's numbers, and is what docs/training.md, lorafs-config(5) and
 * openapi.json are held against. A new setting is a row of it and a field here; tools/settings-doc
 * then writes the documents. Unknown keys are refused by name; every value has a range. Host data,
 * any thread.
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
enum lf_schedule_by {
    LF_SCHEDULE_BY_STEPS,
    LF_SCHEDULE_BY_MICRO_BATCHES /* a step has the rate of its last one, as Ludwig has it */
};
enum lf_optimizer {
    LF_OPTIMIZER_ADAM,
    LF_OPTIMIZER_ADAMW,
    LF_OPTIMIZER_ADAMW_8BIT,
    LF_OPTIMIZER_PAGED_ADAMW_8BIT /* the same: all moments are paged (model/adapter.h) */
};
enum lf_loss_normalization {
    LF_LOSS_TOKENS,     /* by the supervised tokens of the whole optimizer step */
    LF_LOSS_MICRO_BATCH /* mean of the micro-batches' means, as Ludwig does */
};
enum lf_loss {
    LF_LOSS_SUPERVISED,
    LF_LOSS_DPO, /* those of preferences: trainer/preference.h */
    LF_LOSS_ORPO,
    LF_LOSS_KTO
};
enum lf_train_on {
    LF_TRAIN_ON_COMPLETIONS, /* in a chat, every turn of the assistant */
    LF_TRAIN_ON_LAST_TURN,   /* the last of them alone */
    LF_TRAIN_ON_ALL          /* prompts, too */
};

enum lf_gate { LF_GATE_OFF, LF_GATE_ON }; /* whether a version that is worse is not served */
enum lf_keep {
    LF_KEEP_BEST,
    LF_KEEP_LAST
}; /* by the loss on evaluation rows, where there are some */

struct lf_train_settings {
    char base[LF_NAME_MAX + 1];   /* "" = the daemon's default base */
    char preset[LF_NAME_MAX + 1]; /* "" or "lora-land" */
    char from[LF_NAME_MAX + 1];   /* the version where it starts; "": fresh */
    /* LoRA */
    int rank;
    double alpha, dropout;
    double neftune_alpha; /* of NEFTune's noise on embeddings, while training; 0: none */
    bool rslora, dora;
    char init[LF_NAME_MAX + 1];         /* model/adapter_start.h; "": PEFT's usual one */
    char *target_modules;               /* names, comma separated; NULL: all linear maps; owned */
    char *rank_pattern, *alpha_pattern; /* JSON: {"q_proj": 4}, as PEFT has them; NULL; owned */
    char *layers_to_transform;          /* JSON: [0, 1]; NULL: all; owned */
    /* The batch */
    int batch_size;   /* rows of a micro-batch */
    int accumulation; /* micro-batches of an optimizer step */
    int devices;      /* that divide its batches' rows, where there are so many; 0: auto */
    int64_t steps;    /* optimizer steps; 0: epochs decide */
    double epochs;    /* 0: auto, by the rows (trainer/plan.h) */
    bool shuffle;
    uint64_t seed;
    int max_length; /* tokens of a row; the prompt is cut from the left first */
    /* The optimizer */
    double learning_rate; /* the peak; 0: auto */
    enum lf_schedule schedule;
    enum lf_schedule_by schedule_by; /* what warm-up, decay and restart_every count */
    int64_t restart_every;           /* of these in a cosine, which begins again; 0: one */
    double lora_plus;                /* the rate of B is so many times that of A */
    int64_t warmup_steps;            /* -1: warmup_fraction decides */
    double warmup_fraction;
    enum lf_optimizer optimizer;        /* adam alone has no decoupled weight decay */
    double adam_beta2;                  /* decay of the second moment */
    double weight_decay, max_grad_norm; /* max_grad_norm 0: no clipping */
    enum lf_loss_normalization loss_normalization;
    enum lf_loss loss;
    double beta, label_smoothing, desirable_weight, undesirable_weight; /* of preferences */
    int64_t eval_every; /* optimizer steps between evaluations; 0: by their cost (trainer/best.h) */
    int patience;       /* evaluations in a row that were no better, and it ends; 0: never */
    enum lf_keep keep;
    enum lf_gate gate;
    int trials;     /* of a sweep: drawn; 0: all */
    double halving; /* of a sweep: the part of the steps after which one is left; 0: all */
    char *sweep;    /* {"rank": [8, 16]}: settings with several values, whose fields here have the
                       first; JSON; NULL: none; owned (trainer/sweep.h) */
    double validation; /* of the rows, for evaluation where there are no other rows for it */
    int64_t eval_rows; /* completed and scored after training, the first; 0: all */
    char *template_;   /* prompt template over columns, or NULL; owned */
    char *completion;  /* likewise of what is learnt */
    char *columns;     /* {"prompt": "question", ...}, as JSON: whose members a row has under other
                          names; or NULL; owned */
    char *class_weights; /* JSON: {"spam": 4}: of rows' losses, by their answers; NULL; owned */
    enum lf_train_on train_on;
    int ask; /* of lf_ask_words (trainer/ask.h): what becomes of a prompt; 0: as the rows were */
    /* Generation defaults of the adapter */
    int max_tokens;           /* of a completion when the request does not say */
    char *stop[LF_STOPS_MAX]; /* strings that end it likewise, none empty; owned */
    int n_stop;
    char metric[LF_NAME_MAX + 1]; /* "" = by loss only; "rouge_l", "exact_match", ... */
};

/* ---- The table ------------------------------------------------------------------------------- */

enum lf_setting_type {
    LF_SETTING_INT,
    LF_SETTING_INT64,
    LF_SETTING_REAL,
    LF_SETTING_BOOL,
    LF_SETTING_WORD,    /* one of `words`; an enum in the struct */
    LF_SETTING_NAME,    /* "": none; char[LF_NAME_MAX + 1] */
    LF_SETTING_TEXT,    /* null: none; char * */
    LF_SETTING_RATE,    /* a number, or "auto"; double, 0: auto */
    LF_SETTING_COUNT,   /* an integer, or "auto"; int, 0: auto */
    LF_SETTING_COLUMNS, /* an object of names, or null; char *, JSON */
    LF_SETTING_PATTERN, /* an object of numbers within the range, or null; char *, JSON */
    LF_SETTING_LAYERS,  /* a list of layers' numbers, or null; char *, JSON */
    LF_SETTING_MODULES, /* "all-linear", or names as a list or separated by commas; char * */
    LF_SETTING_STOPS    /* a string, or a list of them */
};

/* Does it decide what a training computes? A checkpoint is resumed where the text of those that do
 * is the same to the byte, so nothing that stands in it may ever leave it. */
enum lf_setting_effect {
    LF_SETTING_DECIDES,
    LF_SETTING_DECIDES_IF_SET, /* stands in the text where it is not the default: for settings that
                                  are younger than checkpoints under way */
    LF_SETTING_LEFT_OUT,
    LF_SETTING_AT_LOWEST /* decides nothing, and stands in the text with its range's low end */
};

struct lf_setting {
    const char *key;
    enum lf_setting_type type;
    size_t at;                /* of the field in struct lf_train_settings */
    double lo, hi, otherwise; /* numbers: range and default; words: the default's index; of a number
                                 or "auto": as what "auto" stands in the text of those that decide,
                                 the default of before there was one; 0: as "auto" */
    enum lf_setting_effect effect;
    const char *help; /* a phrase for people, Markdown */
    const char *const *words;
    /* Of two that decide the same, this one wins where it is given, and the other one otherwise.
     * Both are refused. An integer; below its range it is not given. */
    const char *instead_of;
};
extern const struct lf_setting lf_settings[]; /* ends with a NULL key; in the order of printing */

/* The defaults: those of a person who drops a file and wants a good adapter (rank 16, all-linear,
 * 3 epochs or more ...). */
void lf_train_settings_default(struct lf_train_settings *out);
/* Defaults, then the preset's values, then the object's members. On error *out is untouched. */
enum lf_err lf_train_settings_parse(struct lf_train_settings *out, const json_t *obj,
                                    struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_train_settings_load(struct lf_train_settings *out, const char *path,
                                   struct lf_diag *diag) LF_MUST_CHECK;
/* Those that decide the numbers, likewise: what a checkpoint's digest is of. */
enum lf_err lf_train_settings_print_deciding(const struct lf_train_settings *s,
                                             struct lf_buf *out) LF_MUST_CHECK;
/* All settings as a JSON object, pretty-printed: parsing it gives the same settings. */
enum lf_err lf_train_settings_print(const struct lf_train_settings *s,
                                    struct lf_buf *out) LF_MUST_CHECK;
enum lf_err lf_train_settings_copy(struct lf_train_settings *out,
                                   const struct lf_train_settings *s) LF_MUST_CHECK;
void lf_train_settings_free(struct lf_train_settings *s);
/* Those of the fresh adapter. Texts are borrowed. */
struct lf_lora_settings lf_train_settings_lora(const struct lf_train_settings *s);
/* How an adapter lies on the device while it trains. */
static inline enum lf_slot_use lf_train_slot_use(const struct lf_train_settings *s)
{
    return s->optimizer >= LF_OPTIMIZER_ADAMW_8BIT ? LF_SLOT_TRAINS_8BIT : LF_SLOT_TRAINS;
}

/* "learning_rate": "auto" on a base of hidden width C: 2e-4 at 4096 and above, which is what 7B
 * bases are usually trained with (QLoRA, and the lora-land preset), growing with (4096/C)^0.68 to
 * 1e-3 at 384, which is what the embedded base learns best with (docs/training.md has the runs). A
 * tenth of that for preferences, whose completions need not become likely, but likelier. */
double lf_train_auto_learning_rate(enum lf_loss loss, int C);
/* Learning rate of optimizer step `step` (from 0) of `steps`: linear warm-up, then the schedule, as
 * transformers.get_{constant,linear,cosine}_schedule_with_warmup. Those begin at 0, which a run of
 * one step does not get over: with warmup_fraction the warm-up is one step ahead of them, so that
 * step 0 has a rate. By micro-batches it is Ludwig's, whose "cosine" is torch's
 * CosineAnnealingWarmRestarts after a warm-up. learning_rate must be set. */
double lf_train_learning_rate(const struct lf_train_settings *s, int64_t step, int64_t steps);
/* Of `steps` that are counted as schedule_by says. */
int64_t lf_train_warmup_steps(const struct lf_train_settings *s, int64_t steps);

#endif
