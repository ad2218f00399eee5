/* Ceilings that client/ alone knows; those that several rooms know are in core/limits.h. The HTTP
 * client and its tree. */
#ifndef LF_CLIENT_LIMITS_H
#define LF_CLIENT_LIMITS_H

#define LF_HTTP_ERROR_BODY_MAX 4096 /* of an error's JSON; the rest is not read */
#define LF_HTTP_ETAG_MAX 128        /* bytes of a file's; the daemon's have 53 */
#define LF_HTTP_IDLE_MAX 64         /* connections kept for later calls */
#define LF_TREE_PATH_DEPTH_MAX 3    /* "versions/3/adapter_model.safetensors" */
#define LF_TREE_FILES_MAX 100000    /* of one adapter: its versions' files */

#endif
