/* A base as the daemon's host side knows it: its name, description, tokenizer and chat template,
 * without weights or a device. Opened once at start and immutable: any thread, no locks, and it
 * stays while the engine loses its device and opens the model again. */
#ifndef LF_BASE_BASE_H
#define LF_BASE_BASE_H

#include "core/err.h"
#include "core/file.h"
#include "core/limits.h"
#include "base/limits.h"
#include "model/model.h"

#include <stdint.h>

/* Written by `lorafs pull`: {"repository", "revision"}. */
#define LF_BASE_SOURCE_FILE "lorafs-source.json"

struct lf_base {
    char name[LF_NAME_MAX + 1]; /* as asked for, or the directory's last part; in the hub's cache
                                   the repository's */
    char dir[LF_PATH_MAX];
    int64_t created_ms;   /* of config.json */
    int64_t weight_bytes; /* of the safetensors files */
    char *config_text;    /* config.json as it is */
    size_t config_bytes;
    /* Which base this is: SHA-256 over config.json, the tokenizer's file, and of each safetensors
     * file its size, its header and 64 pieces of 4 KB, evenly spread. Weights that were changed in
     * few places only may look the same. */
    char sha256[LF_SHA256_HEX];
    char repository[LF_REPOSITORY_MAX + 1]; /* "org/name", as far as it is known; else "" */
    char revision[LF_REPOSITORY_MAX + 1];
    char *info; /* a page for people: architecture, parameters, quantisation */
    size_t info_bytes;
    const char *quant;      /* "nf4", "none": how the block weights are held */
    struct lf_model *model; /* its config, tokenizer and chat; no weights, no device */
};

/* What PEFT calls it: its repository, else its name. */
const char *lf_base_title(const struct lf_base *b);
/* Whether a base_model_name_or_path may mean this base. */
bool lf_base_is_called(const struct lf_base *b, const char *name);

/* DIR is a checkpoint; name: what it is called, NULL or "" as its directory. LF_E_INVALID for a
 * name that cannot be a file's. cache_dir: as for lf_base_identify. Yours, lf_base_free. */
enum lf_err lf_base_open(struct lf_base **out, const char *name, const char *dir,
                         enum lf_quant quant, const char *cache_dir,
                         struct lf_diag *diag) LF_MUST_CHECK;
void lf_base_free(struct lf_base *b);
/* Fills sha256, repository and revision; part of lf_base_open. The digest is kept in cache_dir
 * (NULL: it is not) for a base whose files have the same paths, sizes, times and inodes. */
enum lf_err lf_base_identify(struct lf_base *b, const char *cache_dir,
                             struct lf_diag *diag) LF_MUST_CHECK;

/* The bases of a daemon; the first is the default. */
struct lf_bases {
    struct lf_base *base[LF_BASES_MAX];
    int n;
};
/* By name, "" the default. NULL: there is none. */
const struct lf_base *lf_bases_find(const struct lf_bases *b, const char *name);
/* Their names for a sentence: "a", "a" and "b", "a", "b" and "c". */
void lf_bases_list(const struct lf_bases *b, char out[LF_DIAG_MAX]);
/* The base of an adapter that was made on one of this name. Where there is none any more the
 * default: its directory may have another name now, and whether it fits is seen when it is read. */
const struct lf_base *lf_bases_of(const struct lf_bases *b, const char *name);

#endif
