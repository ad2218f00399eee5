/* Ceilings that fs/ alone knows; those that several rooms know are in core/limits.h. The mount. */
#ifndef LF_FS_LIMITS_H
#define LF_FS_LIMITS_H

#include "core/limits.h"

#define LF_REL_MAX (3 * (LF_NAME_MAX + 1)) /* "versions/<n>/<name>" */
#define LF_NODE_DEPTH_MAX 8                /* the tree is five deep */
#define LF_URL_MAX 512 /* "/v1/adapters/<name>/files/<rel><query>", names of 64 bytes */
#define LF_REQUEST_REPLY_MAX (1u << 20)    /* of what is no listing */
#define LF_SNAPSHOT_REPLY_MAX (256u << 20) /* 100,000 adapters are about 80 MB */
#define LF_FS_ETAG_MAX 128                 /* of a file that is read; the daemon's have 53 */
#define LF_WHOLE_BYTES_MAX (4u << 20)   /* of a file that is sent in one call; larger: in parts */
#define LF_AHEAD_WINDOW_MAX (16u << 20) /* of a handle: 20 ms at 6 Gbit/s */
#define LF_AHEAD_BYTES_MAX (256u << 20) /* of all handles together */
#define LF_OPEN_TEXT_MAX (16u << 20)    /* a file that is made at open */

#endif
