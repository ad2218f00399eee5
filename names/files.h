/* The files of an adapter's directory. This table is what the mount lists and lets be written, what
 * the daemon keeps, checks and serves, and what the mount's README and docs/http.md describe.
 *
 *     dataset.jsonl, log, status ...                  in the directory itself
 *     adapter/adapter_config.json ...                 of the version that is served
 *     versions/<n>/adapter_config.json ...            of version n; versions/<n> alone: all of it
 *
 * A new file is an entry here with its row in names/files.c, and what makes its bytes: for MADE and
 * FOLLOWED a function in daemon/api/files.c, for WRITTEN, where no check fits, one in
 * daemon/registry/check.c. Pure; any thread.
 */
#ifndef LF_NAMES_FILES_H
#define LF_NAMES_FILES_H

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lf_file_kind {
    /* On disk, one each. */
    LF_FILE_DATASET,
    LF_FILE_EVAL,
    LF_FILE_CONFIG,
    LF_FILE_TEMPLATE,
    LF_FILE_PROMPT,
    LF_FILE_LOG,
    LF_FILE_CURVE,
    LF_FILE_METRICS,
    LF_FILE_SWEEP,
    LF_FILE_SWEEP_TABLE,
    LF_FILE_SWEEP_CURVES,
    LF_FILE_CARD,
    LF_FILE_PLAIN_N,
    /* Of the version that is served, or of version n. */
    LF_FILE_ADAPTER_CONFIG = LF_FILE_PLAIN_N,
    LF_FILE_ADAPTER_WEIGHTS,
    /* No bytes of their own. */
    LF_FILE_STATUS,
    LF_FILE_ERROR,
    LF_FILE_SETTINGS,
    LF_FILE_PROGRESS,
    LF_FILE_RESULT,
    LF_FILE_GENERATE,
    LF_FILE_CHAT,
    LF_FILE_CTL,
    LF_FILE_N,
    LF_FILE_VERSION = LF_FILE_N /* the directory versions/<n>; has no row */
};

/* Where the bytes come from. */
enum lf_file_form {
    LF_FORM_WRITTEN,  /* from people; the daemon checks and keeps them */
    LF_FORM_GROWN,    /* the daemon appends to them while they are read */
    LF_FORM_MADE,     /* the daemon makes them, whole: at the end of a job, or at each reading */
    LF_FORM_FOLLOWED, /* a stream that ends when the job is over and its version scored */
    LF_FORM_ANSWERED, /* a prompt is written, its completion is read */
    LF_FORM_ORDERED   /* commands are written, a line each (names/ctl.h) */
};

/* What written bytes must be; refused, they leave the old file. */
enum lf_file_check {
    LF_CHECK_NONE, /* the file is not for writing */
    LF_CHECK_ROWS, /* rows, in any container (container/container.h) */
    LF_CHECK_SETTINGS,
    LF_CHECK_TEMPLATE,
    LF_CHECK_TEXT, /* without NUL bytes */
    LF_CHECK_JSON, /* an object */
    LF_CHECK_TENSORS
};

/* What taking them in starts. */
enum lf_file_effect {
    LF_EFFECT_NONE,
    LF_EFFECT_TRAIN,
    LF_EFFECT_SCORE, /* the version that is served is scored on them */
    LF_EFFECT_IMPORT /* with all files of its kind there, they become a version */
};

struct lf_file_row {
    const char *name;       /* in the tree: "log", "adapter/adapter_config.json" */
    const char *disk;       /* below the adapter's directory in DATA; NULL: not there by itself */
    const char *media_type; /* NULL: it is not read over HTTP */
    enum lf_file_form form;
    const char *purpose; /* "rows to train on: ..." */
    /* Of what is written; all 0: not for writing. */
    uint64_t bytes_max;
    enum lf_file_check check;
    enum lf_file_effect effect;
};
extern const struct lf_file_row lf_files[LF_FILE_N]; /* by kind */

/* The row of a name in the tree, NULL: none. versions/ is not looked into. */
const struct lf_file_row *lf_file_find(const char *name);
/* Is there in every adapter, whether or not anything was made yet. */
bool lf_file_is_always(const struct lf_file_row *f);

/* How editors, rsync, sed -i and os.replace name what they will rename: hidden files, backups
 * (x~, #x#), a known name with something after it that names no kind of file, or with mkstemp's
 * letters (busybox), tmp..., *.tmp, sedXXXXXX, XXXXXXXX (perl), gawk.XXXXXX, d2utmpXXXXXX, digits
 * (vim). */
bool lf_file_is_temporary(const char *name);
/* How rsync names the directories where files wait that it will rename: .~tmp~ (--delay-updates),
 * .rsync-partial and .rsync-tmp. */
bool lf_file_is_temporary_dir(const char *name);
/* Whether n bytes from its start on are such as the daemon writes into this file: then they are a
 * copy, which tells nothing new. Of `generate` and `chat` nothing is: answers are kept
 * nowhere. */
bool lf_file_is_copy(const struct lf_file_row *f, const char *bytes, size_t n);

/* The files of versions/<n>/: the weights in PEFT's form, and what made them. */
struct lf_version_file {
    const char *name;
    enum lf_file_kind kind;
};
#define LF_VERSION_FILES_N 9
extern const struct lf_version_file lf_version_files[LF_VERSION_FILES_N]; /* weights first */
/* NULL: a version has no such file. */
const struct lf_version_file *lf_version_file_find(const char *name);

/* The number of a version that `text` begins with, and where it ends; 0: none, or too great. */
int32_t lf_version_number(const char *text, char **end);
#define LF_VERSION_CURRENT (-1)

/* One file of an adapter. */
struct lf_file_ref {
    enum lf_file_kind kind;
    int32_t version; /* 0: not below versions/; LF_VERSION_CURRENT: of the one that is served */
};
/* A path of the tree, "dataset.jsonl", "adapter/metrics.json" (of the version that is served) or
 * "versions/3/adapter_config.json". False: no such file can be there. */
bool lf_file_ref_parse(struct lf_file_ref *out, const char *path);
/* By PUT. */
bool lf_file_ref_writable(const struct lf_file_ref *ref);

#define LF_FILE_ADAPTER_DIR "adapter/"
#define LF_FILE_VERSIONS_DIR "versions/"
#define LF_ADAPTER_CONFIG_NAME "adapter_config.json"
#define LF_ADAPTER_WEIGHTS_NAME "adapter_model.safetensors"

#endif
