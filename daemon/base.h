/* A base as the daemon's host side knows it: its name, description, tokenizer and chat template,
 * without weights or a device. Opened once at start and immutable: any thread, no locks, and it
 * stays while the engine loses its device and opens the model again. */
#ifndef LF_DAEMON_BASE_H
#define LF_DAEMON_BASE_H

#include "core/err.h"
#include "core/limits.h"
#include "model/model.h"

#include <stdint.h>

struct lf_base {
    char name[LF_NAME_MAX + 1]; /* the directory's last part; in the hub's cache the repository's */
    char dir[LF_PATH_MAX];
    int64_t created_ms;   /* of config.json */
    int64_t weight_bytes; /* of the safetensors files */
    char *config_text;    /* config.json as it is */
    size_t config_bytes;
    char *info; /* a page for people: architecture, parameters, quantisation */
    size_t info_bytes;
    const char *quant;      /* "nf4", "none": how the block weights are held */
    struct lf_model *model; /* its config, tokenizer and chat; no weights, no device */
};

/* DIR is a checkpoint. LF_E_INVALID for a name that cannot be a file's. Yours, lf_base_free. */
enum lf_err lf_base_open(struct lf_base **out, const char *dir, enum lf_quant quant,
                         struct lf_diag *diag) LF_MUST_CHECK;
void lf_base_free(struct lf_base *b);

/* The bases of a daemon; the first is the default. */
struct lf_bases {
    struct lf_base *base[LF_BASES_MAX];
    int n;
};
/* By name, "" the default. NULL: there is none. */
const struct lf_base *lf_bases_find(const struct lf_bases *b, const char *name);
/* The base of an adapter that was made on one of this name. Where there is none any more the
 * default: its directory may have another name now, and whether it fits is seen when it is read. */
const struct lf_base *lf_bases_of(const struct lf_bases *b, const char *name);

#endif
