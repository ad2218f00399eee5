/* One table of the files of an adapter. */
#include "daemon/registry/files.h"

#include "core/limits.h"

#include <stdlib.h>
#include <string.h>

/* An adapter of LF_RANK_MAX on the largest base in sight (70B, all linear) in fp32. */
#define WEIGHTS_BYTES_MAX (16ull << 30)
#define CONFIG_BYTES_MAX (1u << 20)

static const struct file {
    const char *name, *disk;
    const char *media_type;
    uint64_t bytes_max; /* 0: not for writing */
} files[] = {
    [LF_FILE_DATASET] = {"dataset.jsonl", "dataset.jsonl", "application/jsonl",
                         LF_DATASET_BYTES_MAX},
    [LF_FILE_EVAL] = {"eval.jsonl", "eval.jsonl", "application/jsonl", LF_DATASET_BYTES_MAX},
    [LF_FILE_CONFIG] = {"config.json", "config.json", "application/json", CONFIG_BYTES_MAX},
    [LF_FILE_TEMPLATE] = {"template", "template", "text/plain; charset=utf-8", CONFIG_BYTES_MAX},
    [LF_FILE_PROMPT] = {"prompt", "prompt", "text/plain; charset=utf-8", LF_PROMPT_BYTES_MAX},
    [LF_FILE_LOG] = {"log", "log.jsonl", "application/jsonl", 0},
    [LF_FILE_CURVE] = {"loss.svg", "loss.svg", "image/svg+xml", 0},
    [LF_FILE_METRICS] = {"metrics.json", "metrics.json", "application/json", 0},
    [LF_FILE_ADAPTER_CONFIG] = {"adapter/" LF_ADAPTER_CONFIG_NAME, NULL, "application/json",
                                CONFIG_BYTES_MAX},
    [LF_FILE_ADAPTER_WEIGHTS] = {"adapter/" LF_ADAPTER_WEIGHTS_NAME, NULL,
                                 "application/octet-stream", WEIGHTS_BYTES_MAX},
    [LF_FILE_VERSION_CONFIG] = {NULL, NULL, "application/json", 0},
    [LF_FILE_VERSION_WEIGHTS] = {NULL, NULL, "application/octet-stream", 0},
    [LF_FILE_VERSION] = {NULL, NULL, NULL, 0},
    [LF_FILE_STATUS] = {"status", NULL, "text/plain; charset=utf-8", 0},
    [LF_FILE_PROGRESS] = {"progress", NULL, "text/plain; charset=utf-8", 0},
    [LF_FILE_GENERATE] = {"generate", NULL, NULL, 0},
    [LF_FILE_CTL] = {"ctl", NULL, NULL, 0},
};

/* "3", "3/adapter_config.json"...: what follows "versions/". */
static bool version_parse(struct lf_file_ref *out, const char *rest)
{
    char *end;
    if (rest[0] < '1' || rest[0] > '9')
        return false;
    long n = strtol(rest, &end, 10);
    if (n > INT32_MAX)
        return false;
    enum lf_file_kind kind;
    if (*end == '\0')
        kind = LF_FILE_VERSION;
    else if (strcmp(end, "/" LF_ADAPTER_CONFIG_NAME) == 0)
        kind = LF_FILE_VERSION_CONFIG;
    else if (strcmp(end, "/" LF_ADAPTER_WEIGHTS_NAME) == 0)
        kind = LF_FILE_VERSION_WEIGHTS;
    else
        return false;
    *out = (struct lf_file_ref){kind, (int32_t)n};
    return true;
}

bool lf_file_ref_parse(struct lf_file_ref *out, const char *path)
{
    if (strncmp(path, "versions/", 9) == 0)
        return version_parse(out, path + 9);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files[i].name && strcmp(files[i].name, path) == 0) {
            *out = (struct lf_file_ref){(enum lf_file_kind)i, 0};
            return true;
        }
    return false;
}

const char *lf_file_name(enum lf_file_kind kind)
{
    return files[kind].name;
}

const char *lf_file_disk_name(enum lf_file_kind kind)
{
    return files[kind].disk;
}

bool lf_file_writable(enum lf_file_kind kind)
{
    return files[kind].bytes_max > 0;
}

uint64_t lf_file_bytes_max(enum lf_file_kind kind)
{
    return files[kind].bytes_max;
}

const char *lf_file_media_type(enum lf_file_kind kind)
{
    return files[kind].media_type;
}
