/* The name space: which names there are, what each of them is, and what the daemon's snapshot says
 * about it. The files of an adapter are those of names/files.h.
 *
 *     /README /metrics            constant text; Prometheus text
 *     /base/<name>/{info,config.json}
 *     /jobs/<id>                  one JSON object each
 *     /model/<task>/              dataset.jsonl, status, ctl...
 *         adapter/                adapter_config.json adapter_model.safetensors
 *         versions/<n>/...        current -> <n>
 *
 * The two files of adapter/ may be written into the adapter directory itself, too, so that a PEFT
 * directory can be copied as one. A temporary's name (.x, x~, dataset.jsonl.tmp...: how editors,
 * rsync and os.replace write) is LOCAL: a file that stays in the mount. So is any name in a
 * directory of such a name (LOCAL_DIR). Any other name cannot be. Pure functions over a snapshot:
 * no HTTP, no FUSE, no state.
 */
#ifndef LF_FS_SPACE_H
#define LF_FS_SPACE_H

#include "core/buf.h"
#include "core/limits.h"
#include "fs/limits.h"
#include "names/files.h"
#include "client/tree.h"

#include <sys/stat.h>
#include <sys/types.h>

enum lf_kind {
    LF_KIND_ROOT,
    LF_KIND_README,
    LF_KIND_METRICS,
    LF_KIND_BASES, /* /base */
    LF_KIND_BASE,
    LF_KIND_BASE_FILE,
    LF_KIND_JOBS, /* /jobs */
    LF_KIND_JOB,
    LF_KIND_MODELS, /* /model */
    LF_KIND_ADAPTER,
    LF_KIND_WEIGHTS,  /* adapter/ */
    LF_KIND_VERSIONS, /* versions/ */
    LF_KIND_VERSION,
    LF_KIND_CURRENT,    /* versions/current, a symbolic link */
    LF_KIND_UPLOAD,     /* bytes that a person writes and the daemon checks */
    LF_KIND_REMOTE,     /* the daemon's bytes, which do not change: read by range */
    LF_KIND_LOG,        /* the daemon's bytes, growing while they are read */
    LF_KIND_TEXT,       /* made by the daemon at each open */
    LF_KIND_PROGRESS,   /* a stream that ends with the job */
    LF_KIND_GENERATE,   /* a conversation: prompt in, completion out */
    LF_KIND_CTL,        /* commands, a line each */
    LF_KIND_LOCAL,      /* a file of the mount alone */
    LF_KIND_LOCAL_LINK, /* a symbolic link of the mount alone: `ln -sfn` renames one onto current */
    LF_KIND_LOCAL_DIR   /* a directory of the mount alone: `rsync --delay-updates` makes one */
};

/* A place in the tree. owner: the adapter, base or job; rel: the path below the adapter, or the
 * base's file. Both "" where there is none. */
struct lf_place {
    enum lf_kind kind;
    char owner[LF_NAME_MAX + 1];
    char rel[LF_REL_MAX];
};

/* What the snapshots are at this moment; jobs is looked at for LF_KIND_JOB alone. */
struct lf_view {
    const struct lf_tree *tree; /* NULL: enough for the directories of the root */
    const struct lf_tree_jobs *jobs;
};

struct lf_facts {
    uint64_t bytes;
    int64_t mtime_ms; /* 0: no one knows */
};

/* The place that `name` in `parent` would be, whether or not it is there. LF_E_NOT_FOUND: never. */
enum lf_err lf_space_child(struct lf_place *out, const struct lf_view *v,
                           const struct lf_place *parent, const char *name) LF_MUST_CHECK;
/* LF_E_NOT_FOUND: not there. What is LOCAL never is: the mount knows it, no daemon. */
enum lf_err lf_space_facts(struct lf_facts *out, const struct lf_view *v,
                           const struct lf_place *p) LF_MUST_CHECK;
/* Calls fn for every name in a directory, without "." and ".."; fn returns LF_OK to go on. */
typedef enum lf_err (*lf_space_fn)(void *arg, const char *name);
enum lf_err lf_space_list(const struct lf_view *v, const struct lf_place *dir, lf_space_fn fn,
                          void *arg) LF_MUST_CHECK;

/* What is done with the places of a kind, in the order of the enum. */
struct lf_kind_row {
    mode_t mode; /* type and permission bits; of files that no one may write, 0444 */
    bool draft;  /* has a draft while it is written */
    bool stream;
    bool made;   /* its bytes are made at open */
    bool output; /* of the daemon's making in an adapter: a copy of one may be written, and is
                    dropped */
    bool given;  /* always there, and yet made by whoever copies a directory: mkdir, symlink and
                    open(O_EXCL) of such a name succeed */
};
extern const struct lf_kind_row lf_kinds[];

static inline bool lf_kind_is_dir(enum lf_kind kind)
{
    return S_ISDIR(lf_kinds[kind].mode);
}

/* An UPLOAD that trains when it is replaced: dataset.jsonl. */
bool lf_space_trains(const struct lf_place *p);
/* An UPLOAD of rows: a template that they need may come after them. */
bool lf_space_is_rows(const struct lf_place *p);
/* A person may remove it: the UPLOADs of the adapter directory itself, and versions. */
bool lf_space_removable(const struct lf_place *p);
/* An UPLOAD that means something when empty: template, prompt, config.json; no data set. */
bool lf_space_may_be_empty(const struct lf_place *p);

/* An OUTPUT of which the daemon takes a copy: what is on its disk (log, metrics.json...). */
bool lf_space_is_kept(const struct lf_place *p);
/* A name that is there and can yet be made: of a GIVEN kind, or of an import. */
bool lf_space_is_given(const struct lf_place *p);
/* "versions/current/x", where a copy has made a directory of the link, is "adapter/x". */
void lf_space_current(char rel[LF_REL_MAX]);

/* Whether what is written to an OUTPUT, n bytes from its start on, is a copy of one; to CTL, all n
 * bytes the list of commands that reading it shows. */
bool lf_space_is_copy(const struct lf_place *p, const char *bytes, size_t n);

/* Digits of a positive number without leading zeros, as versions and jobs are named. 0: no. */
int64_t lf_space_number(const char *name);

enum lf_err lf_space_readme(struct lf_buf *out); /* the text of /README */
enum lf_err lf_space_ctl(struct lf_buf *out);    /* what reading `ctl` shows: the commands */

#endif
