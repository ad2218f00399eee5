/* The files of an adapter's directory: their names in the tree, on disk, and what may be done with
 * them. Pure; any thread. */
#ifndef LF_DAEMON_REGISTRY_FILES_H
#define LF_DAEMON_REGISTRY_FILES_H

#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

enum lf_file_kind {
    /* On disk, one each: what the index keeps size and time of. */
    LF_FILE_DATASET,
    LF_FILE_EVAL,
    LF_FILE_CONFIG,
    LF_FILE_TEMPLATE,
    LF_FILE_PROMPT,
    LF_FILE_LOG,
    LF_FILE_CURVE,
    LF_FILE_METRICS,
    LF_FILE_PLAIN_N,
    /* Of the version served, and of version n. */
    LF_FILE_ADAPTER_CONFIG = LF_FILE_PLAIN_N,
    LF_FILE_ADAPTER_WEIGHTS,
    LF_FILE_VERSION_CONFIG,
    LF_FILE_VERSION_WEIGHTS,
    LF_FILE_VERSION, /* the directory versions/<n> */
    /* No bytes of their own. */
    LF_FILE_STATUS,
    LF_FILE_PROGRESS,
    LF_FILE_GENERATE,
    LF_FILE_CTL
};

struct lf_file_ref {
    enum lf_file_kind kind;
    int32_t version; /* of the LF_FILE_VERSION kinds */
};

/* A path of the tree, "dataset.jsonl" or "versions/3/adapter_config.json". False: no such file can
 * be there. */
bool lf_file_ref_parse(struct lf_file_ref *out, const char *path);

/* By kind, up to LF_FILE_PLAIN_N. Static storage. */
const char *lf_file_name(enum lf_file_kind kind);      /* in the tree: "log" */
const char *lf_file_disk_name(enum lf_file_kind kind); /* on disk: "log.jsonl" */

/* Any kind. */
bool lf_file_writable(enum lf_file_kind kind);      /* by PUT */
uint64_t lf_file_bytes_max(enum lf_file_kind kind); /* of a PUT */
const char *lf_file_media_type(enum lf_file_kind kind);

#define LF_ADAPTER_CONFIG_NAME "adapter_config.json"
#define LF_ADAPTER_WEIGHTS_NAME "adapter_model.safetensors"

#endif
