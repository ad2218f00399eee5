/* A client of Hugging Face-compatible hubs: lists a repository's files at a revision and fetches
 * those that this program can use.
 *
 * Transfers are parallel and resume where an earlier run stopped; every file is checked against the
 * hub's own digest (SHA-256 of large files, the git blob id of small ones) before it takes its
 * name, so a directory that holds config.json is whole. The token goes to the endpoint's host
 * only, never to the storage host that it redirects to. One thread.
 */
#ifndef LF_TOOLS_HUB_H
#define LF_TOOLS_HUB_H

#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

struct lf_hub_file {
    char *name; /* path in the repository; no "..", no leading '/' */
    int64_t bytes;
    char sha256[65]; /* large files; "" otherwise */
    char blob[41];   /* git blob id (SHA-1) of small files; "" where the hub gives none */
};

struct lf_hub_repo {
    char *id;       /* "org/name" */
    char *revision; /* the commit that the asked revision stands for */
    struct lf_hub_file *files;
    size_t n_files;
};

struct lf_hub_options {
    const char *endpoint; /* "https://..."; NULL: HF_ENDPOINT, else the public hub */
    const char *token;    /* NULL: HF_TOKEN; "" sends none */
    int parallel;         /* transfers at once; 0: 4 */
    /* Bytes there and bytes in all, some times a second and at the end; or NULL. Non-zero stops. */
    int (*progress)(void *arg, int64_t done, int64_t total);
    void *progress_arg;
};

/* id: "org/name" or "org/name@revision" (branch, tag or commit; "main" otherwise). LF_E_NOT_FOUND,
 * LF_E_DENIED (gated or private: says to set HF_TOKEN). Free with lf_hub_repo_free. */
enum lf_err lf_hub_list(struct lf_hub_repo *out, const char *id,
                        const struct lf_hub_options *options, struct lf_diag *diag) LF_MUST_CHECK;
void lf_hub_repo_free(struct lf_hub_repo *r);
/* A listing as the hub sends it, into one that has no files yet; free it also after a failure. */
enum lf_err lf_hub_parse(struct lf_hub_repo *r, const char *text, size_t n,
                         struct lf_diag *diag) LF_MUST_CHECK;

/* Whether this program reads such a file: configuration, tokenizer, templates, safetensors. */
bool lf_hub_wanted(const char *name);

/* Fetches the wanted files into DIR (made where it is missing). config.json comes last. What is
 * there already with the right digest is kept; unfinished files wait as NAME.part. */
enum lf_err lf_hub_fetch(const struct lf_hub_repo *r, const char *dir,
                         const struct lf_hub_options *options, struct lf_diag *diag) LF_MUST_CHECK;

#endif
