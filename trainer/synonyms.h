/* What PEFT, TRL, axolotl, Unsloth and Ludwig call the settings of trainer/settings.h: for the
 * reason that refuses such a key. Pure; any thread. */
#ifndef LF_TRAINER_SYNONYMS_H
#define LF_TRAINER_SYNONYMS_H

#include "core/err.h"

#include <jansson.h>

/* Refuses the first member of a settings object that is not in `known` (NULL-terminated):
 * LF_E_INVALID with our word for it, where there is one or it is near to one; an object in an
 * object is said to be one. */
enum lf_err lf_settings_only(const json_t *obj, const char *const *known,
                             struct lf_diag *diag) LF_MUST_CHECK;

#endif
