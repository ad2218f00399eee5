/* What a checkpoint's directory has beside its weights and config.json: tokenizer, chat template,
 * generation_config.json, licence. */
#ifndef LF_MODEL_COMPANIONS_H
#define LF_MODEL_COMPANIONS_H

#include "core/err.h"

/* Those that are there, into another checkpoint's directory. */
enum lf_err lf_companions_copy(const char *src_dir, const char *dst_dir,
                               struct lf_diag *diag) LF_MUST_CHECK;

#endif
