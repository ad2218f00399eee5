/* The daemon's tree, as of one moment: what GET /v1/tree and GET /v1/jobs answered, parsed, sorted
 * and never changed again. Every name in it is safe to put into a path: entries with other names
 * are left out.
 *
 * Pure data: knows neither HTTP nor FUSE. One thread. A directory that is being listed
 * keeps the snapshot it started with.
 */
#ifndef LF_CLIENT_TREE_H
#define LF_CLIENT_TREE_H

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lf_tree_file {
    const char *path; /* below the adapter: "log", "versions/3/adapter_model.safetensors" */
    uint64_t bytes;
    int64_t mtime_ms;
};

struct lf_tree_adapter {
    const char *name;
    int64_t created_ms, changed_ms;
    int64_t current;         /* version served; 0: none */
    const int64_t *versions; /* (n_versions) ascending */
    size_t n_versions;
    const struct lf_tree_file *files; /* (n_files) by path */
    size_t n_files;
};

struct lf_tree_base {
    const char *name;
    int64_t created_ms;
    uint64_t info_bytes, config_bytes;
};

struct lf_tree {
    int64_t generation;
    const struct lf_tree_base *bases; /* (n_bases) by name */
    size_t n_bases;
    const struct lf_tree_adapter *adapters; /* (n_adapters) by name */
    size_t n_adapters;
    int64_t changed_ms; /* the youngest adapter's */
};

/* Yours, given back with lf_tree_release. */
enum lf_err lf_tree_parse(struct lf_tree **out, const char *json, size_t n,
                          struct lf_diag *diag) LF_MUST_CHECK;
void lf_tree_release(struct lf_tree *t);

/* NULL where there is none; borrowed from the snapshot. */
const struct lf_tree_adapter *lf_tree_adapter(const struct lf_tree *t, const char *name);
const struct lf_tree_base *lf_tree_base(const struct lf_tree *t, const char *name);
const struct lf_tree_file *lf_tree_file(const struct lf_tree_adapter *a, const char *path);
/* The files whose path starts with `prefix`: *n of them from the returned one on. */
const struct lf_tree_file *lf_tree_files_below(const struct lf_tree_adapter *a, const char *prefix,
                                               size_t *n);
bool lf_tree_has_version(const struct lf_tree_adapter *a, int64_t version);

struct lf_tree_job {
    int64_t id;
    int64_t changed_ms; /* ended, else started, else made */
};

/* The queue: the jobs, ascending. */
struct lf_tree_jobs {
    struct lf_tree_job *jobs;
    size_t n;
};

enum lf_err lf_tree_jobs_parse(struct lf_tree_jobs *out, const char *json, size_t n,
                               struct lf_diag *diag) LF_MUST_CHECK;
void lf_tree_jobs_free(struct lf_tree_jobs *jobs);
/* NULL: there is none. */
const struct lf_tree_job *lf_tree_job(const struct lf_tree_jobs *jobs, int64_t id);

#endif
