/* Which sites a PEFT configuration gives an adapter, with what rank and scale: one that was read
 * from adapter_config.json, or made of settings, which say it in the same words. Private to model/.
 */
#ifndef LF_MODEL_PEFT_H
#define LF_MODEL_PEFT_H

#include "model/adapter.h"

#include <jansson.h>

/* PEFT's idea of a member that is there: not null, false or empty. */
bool lf_peft_is_set(const json_t *v);
/* Rank, alpha, dropout and rsLoRA, and rank and scale of every site: by target_modules as a list, a
 * regex or "all-linear", exclude_modules, layers_to_transform, rank_pattern, alpha_pattern. */
enum lf_err lf_peft_sites(struct lf_adapter *a, const struct lf_config *c, const json_t *config,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* LF_E_INVALID: a pattern of the configuration is of no site of the adapter. */
enum lf_err lf_peft_patterns_check(const struct lf_adapter *a, const struct lf_config *c,
                                   const json_t *config, struct lf_diag *diag) LF_MUST_CHECK;

/* DIR/adapter_config.json: the sites of an adapter that has none yet, and its common values. */
enum lf_err lf_peft_read_config(struct lf_adapter *a, const struct lf_config *c, const char *dir,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* Its tensors, as this type: *params is the run, yours; sites that have none get rank 0. */
enum lf_err lf_peft_read_tensors(struct lf_adapter *a, void **params, enum lf_dtype type,
                                 const struct lf_config *c, const char *dir,
                                 struct lf_diag *diag) LF_MUST_CHECK;

#endif
