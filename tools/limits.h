/* Ceilings that tools/ alone knows; those that several rooms know are in core/limits.h. The command
 * line. */
#ifndef LF_TOOLS_LIMITS_H
#define LF_TOOLS_LIMITS_H

#define LF_OPTION_LIST_MAX 64                 /* values of one option */
#define LF_CONF_BYTES_MAX ((size_t)1 << 20)   /* of a lorafs.conf */
#define LF_CONF_NAME_MAX 96                   /* of a variable: LORAFS_LAND_PREPARE_... */
#define LF_HUB_LISTING_MAX ((size_t)32 << 20) /* JSON of a repository's files */
#define LF_HUB_FILES_MAX 10000                /* of a repository */
#define LF_HUB_PARALLEL_MAX 16                /* downloads at once */
#define LF_DEVICE_LOSSES_MAX 3                /* of the device, in a row; then the daemon ends */
#define LF_CARD_MAX 63                        /* its number */
#define LF_ARGS_BYTES_MAX ((size_t)1 << 20)   /* of a command line that is run again */
#define LF_GGUF_DIMS_MAX 4                    /* as in the format */
#define LF_GGUF_NAME_MAX 64                   /* of a tensor, as in the format */
#define LF_GGUF_KEYS_MAX 65536                /* of the metadata */
#define LF_GGUF_TENSORS_MAX 65536             /* of a file */
#define LF_GGUF_ALIGNMENT_MAX 65536           /* bytes between tensors */

#endif
