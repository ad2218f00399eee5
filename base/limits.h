/* Ceilings that base/ knows and those who read of a base. */
#ifndef LF_BASE_LIMITS_H
#define LF_BASE_LIMITS_H

#include "core/limits.h"

#define LF_BASE_CONFIG_BYTES_MAX (16u << 20) /* a base's config.json */
#define LF_REPOSITORY_MAX 200                /* the hub's names have 96 + 96 bytes at most */

#endif
