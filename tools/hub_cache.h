/* Bases by their name at the hub: `--base org/name`, kept in the cache of Hugging Face's libraries,
 * so that one download serves all of them.
 *
 *     HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub
 *         models--ORG--NAME/refs/main                   the commit that it stands for
 *         models--ORG--NAME/snapshots/COMMIT/FILE   ->  ../../blobs/DIGEST
 *         models--ORG--NAME/blobs/DIGEST
 */
#ifndef LF_TOOLS_HUB_CACHE_H
#define LF_TOOLS_HUB_CACHE_H

#include "core/err.h"
#include "core/limits.h"

#include <stdbool.h>

/* The directory of a base: `base` itself where that is a path; of "org/name" or
 * "org/name@revision" that is no directory here, its snapshot in the cache, which is pulled where
 * it is not there (a bar on stderr unless quiet; not with HF_HUB_OFFLINE). */
enum lf_err lf_hub_base(char out[LF_PATH_MAX], const char *base, bool quiet,
                        struct lf_diag *diag) LF_MUST_CHECK;

#endif
