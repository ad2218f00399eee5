/* The names that others give our settings. */
#include "trainer/synonyms.h"

#include "core/json.h"
#include "core/nearest.h"

#include <string.h>

static const struct {
    const char *theirs, *ours;
} synonyms[] = {
    /* LoRA */
    {"r", "rank"},
    {"lora_r", "rank"},
    {"lora_rank", "rank"},
    {"lora_alpha", "alpha"},
    {"lora_dropout", "dropout"},
    {"use_rslora", "rslora"},
    {"use_dora", "dora"},
    {"lora_target_modules", "target_modules"},
    {"lora_target_linear", "target_modules"},
    {"target_linear", "target_modules"},
    {"lora_layers", "layers_to_transform"},
    {"layers", "layers_to_transform"},
    {"peft_layers_to_transform", "layers_to_transform"},
    {"rank_patterns", "rank_pattern"},
    {"neftune_noise_alpha", "neftune_alpha"},
    {"noisy_embedding_alpha", "neftune_alpha"},
    {"loraplus_lr_ratio", "lora_plus"},
    /* The batch */
    {"per_device_train_batch_size", "batch_size"},
    {"train_batch_size", "batch_size"},
    {"micro_batch_size", "batch_size"},
    {"mini_batch_size", "batch_size"},
    {"gradient_accumulation_steps", "accumulation"},
    {"gradient_accumulation", "accumulation"},
    {"max_steps", "steps"},
    {"train_steps", "steps"},
    {"num_train_steps", "steps"},
    {"num_steps", "steps"},
    {"iters", "steps"},
    {"num_train_epochs", "epochs"},
    {"num_epochs", "epochs"},
    {"n_epochs", "epochs"},
    {"max_seq_length", "max_length"},
    {"max_seq_len", "max_length"},
    {"sequence_len", "max_length"},
    {"sequence_length", "max_length"},
    {"max_sequence_length", "max_length"},
    {"global_max_sequence_length", "max_length"},
    {"cutoff_len", "max_length"},
    {"model_max_length", "max_length"},
    {"max_prompt_length", "max_length"},
    {"should_shuffle", "shuffle"},
    {"random_seed", "seed"},
    {"random_state", "seed"},
    {"data_seed", "seed"},
    {"init_lora_weights", "init"},
    {"loftq_config", "init"},
    /* The optimizer */
    {"lr", "learning_rate"},
    {"learning_rate_multiplier", "learning_rate"},
    {"lr_scheduler_type", "schedule"},
    {"lr_scheduler", "schedule"},
    {"lr_schedule", "schedule"},
    {"learning_rate_scheduler", "schedule"},
    {"scheduler", "schedule"},
    {"decay", "schedule"},
    {"num_warmup_steps", "warmup_steps"},
    {"warmup", "warmup_steps"},
    {"warmup_ratio", "warmup_fraction"},
    {"optim", "optimizer"},
    {"adam_beta_2", "adam_beta2"},
    {"beta2", "adam_beta2"},
    {"wd", "weight_decay"},
    {"max_norm", "max_grad_norm"},
    {"gradient_clipping", "max_grad_norm"},
    {"clip_grad_norm", "max_grad_norm"},
    {"clipglobalnorm", "max_grad_norm"},
    /* Preferences */
    {"loss_type", "loss"},
    {"rl", "loss"},
    {"pref_loss", "loss"},
    {"rl_beta", "beta"},
    {"dpo_beta", "beta"},
    {"pref_beta", "beta"},
    {"orpo_alpha", "beta"},
    {"dpo_label_smoothing", "label_smoothing"},
    {"kto_desirable_weight", "desirable_weight"},
    {"kto_undesirable_weight", "undesirable_weight"},
    {"chosen_column", "columns"},
    {"rejected_column", "columns"},
    /* Evaluation */
    {"eval_steps", "eval_every"},
    {"evals_per_epoch", "eval_every"},
    {"steps_per_eval", "eval_every"},
    {"evaluation_steps", "eval_every"},
    {"max_eval_samples", "eval_rows"},
    {"early_stop", "patience"},
    {"early_stopping_patience", "patience"},
    {"load_best_model_at_end", "keep"},
    /* Rows */
    {"train_on_inputs", "train_on"},
    {"train_on_input", "train_on"},
    {"train_on_prompt", "train_on"},
    {"mask_inputs", "train_on"},
    {"mask_prompt", "train_on"},
    {"mask_history", "train_on"},
    {"completion_only_loss", "train_on"},
    {"assistant_only_loss", "train_on"},
    {"train_on_responses_only", "train_on"},
    {"roles_to_train", "train_on"},
    {"dataset_text_field", "columns"},
    {"text_column", "columns"},
    {"prompt_column", "columns"},
    {"response_column", "columns"},
    {"completion_column", "columns"},
    {"messages_column", "columns"},
    {"field_messages", "columns"},
    {"field_instruction", "columns"},
    {"field_input", "columns"},
    {"field_output", "columns"},
    {"column_mapping", "columns"},
    /* The adapter in use */
    {"base_model", "base"},
    {"base_model_name_or_path", "base"},
    {"model_name_or_path", "base"},
    {"model_name", "base"},
    {"prompt_template", "template"},
    {"max_new_tokens", "max_tokens"},
    {"stop_sequences", "stop"},
    {"stop_strings", "stop"},
    {"metric_for_best_model", "metric"},
};
/* What others can, and no setting here does; why, where that is not plain. */
static const char other_base[] =
    "it trains beside changed base weights, and all adapters share the base as it is";
static const char no_padding[] = "rows share a batch without padding as it is";
static const struct {
    const char *theirs, *why;
} not_done[] = {
    {"corda_config", other_base},
    {"use_qalora", NULL},
    {"bias", NULL},
    {"lora_bias", NULL},
    {"modules_to_save", NULL},
    {"lora_modules_to_save", NULL},
    {"layers_pattern", NULL},
    {"layer_replication", NULL},
    {"exclude_modules", NULL},
    {"target_parameters", NULL},
    {"trainable_token_indices", NULL},
    {"packing", no_padding},
    {"sample_packing", no_padding},
    {"pack", no_padding},
    {"loraplus_lr_embedding", NULL},
    {"label_smoothing_factor", NULL},
    {"group_by_length", no_padding},
    {"save_steps", NULL},
    {"save_strategy", NULL},
    {"report_to", NULL},
    {"resume_from_checkpoint", NULL},
    {"suffix", NULL},
};

#define N_SYNONYMS (sizeof synonyms / sizeof *synonyms)

/* Our word for a key, NULL: none is near. */
static const char *our_word(const char *key, const char *const *ours)
{
    const char *theirs[N_SYNONYMS + 1] = {NULL};
    for (size_t i = 0; i < N_SYNONYMS; i++) {
        theirs[i] = synonyms[i].theirs;
        if (strcmp(key, theirs[i]) == 0)
            return synonyms[i].ours;
    }
    const char *near = lf_nearest_word(key, ours);
    const char *far = near ? NULL : lf_nearest_word(key, theirs);
    for (size_t i = 0; far && i < N_SYNONYMS; i++)
        if (far == theirs[i])
            near = synonyms[i].ours;
    return near;
}

enum lf_err lf_settings_only(const json_t *obj, const char *const *known, struct lf_diag *diag)
{
    struct lf_diag why = {""};
    const char *key;
    json_t *value;
    enum lf_err rc = lf_json_only(obj, known, &why);
    if (rc == LF_OK || !json_is_object(obj))
        return rc == LF_OK ? rc : lf_fail(diag, rc, "%s", why.text);
    json_object_foreach((json_t *)(uintptr_t)obj, key, value) {
        const char *const *k = known;
        while (*k && strcmp(*k, key) != 0)
            k++;
        if (!*k)
            break;
    }
    for (size_t i = 0; i < sizeof not_done / sizeof *not_done; i++)
        if (strcmp(not_done[i].theirs, key) == 0)
            return lf_fail(diag, rc, "unknown key \"%.100s\": that is not done here%s%s", key,
                           not_done[i].why ? ": " : "", not_done[i].why ? not_done[i].why : "");
    const char *ours = our_word(key, known);
    if (json_is_object(value))
        return lf_fail(diag, rc,
                       "unknown key \"%.100s\"; settings stand side by side, none within another",
                       key);
    return ours ? lf_fail(diag, rc, "unknown key \"%.100s\"; did you mean \"%s\"?", key, ours)
                : lf_fail(diag, rc, "unknown key \"%.100s\"", key);
}
