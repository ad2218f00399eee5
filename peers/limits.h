/* Ceilings that peers/ alone knows. */
#ifndef LF_PEERS_LIMITS_H
#define LF_PEERS_LIMITS_H

#include "core/limits.h"

#define LF_PUBLICATION_BYTES_MAX (LF_SETTINGS_BYTES_MAX + 4096) /* settings and a few numbers */
#define LF_PEERS_MAX 64                                         /* hosts that are asked in turn */
#define LF_PEER_LIST_BYTES_MAX (64u << 20)                      /* 100,000 adapters and more */
#define LF_PEER_ETAG_MAX 128                                    /* bytes of a header */
#define LF_PEER_FILE_BYTES_MAX (16ull << 30)                    /* of a version: rank 256 of 70B */

#endif
