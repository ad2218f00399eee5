/* What several daemons share: which version of an adapter is current, and its files. All of it lies
 * in one directory, of a file system that all of them reach (NFS, Lustre, a bucket that is
 * mounted), or of each its own, which peers/peer.h keeps alike:
 *
 *   DIR/current/NAME.json   which version of NAME is current: a few hundred bytes, replaced at once
 *   DIR/versions/SHA256/    adapter_config.json, adapter_model.safetensors and sha256sums, whose
 *                           digest is the directory's name: there as a whole, and never changed
 *   DIR/gone/SHA256         an empty file: there was such a version, which was current nowhere
 *
 *     {"version": 3, "sha256": "9f...", "base_sha256": "04...", "stamp_ms": 1796053000000,
 *      "settings": {"rank": 16, ...}}
 *
 * A version is known by its digest; its number is the publisher's own, and another daemon may have
 * another for it. Of two publications of one name the one with the greater stamp counts, of equal
 * stamps the greater digest, so that all come to the same one in whatever order they hear of them.
 * A stamp is the publisher's time, or one more than that of what it replaces: clocks need not
 * agree. "sha256": "" withdraws the name.
 *
 * Nothing here is locked: any thread, any host. */
#ifndef LF_PEERS_PUBLICATION_H
#define LF_PEERS_PUBLICATION_H

#include "core/buf.h"
#include "core/err.h"
#include "core/file.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct lf_published {
    char name[LF_NAME_MAX + 1];
    int32_t version; /* as the publisher counts; 0: withdrawn */
    char sha256[LF_SHA256_HEX];
    char base_sha256[LF_SHA256_HEX]; /* the base that it was trained on */
    int64_t stamp_ms;
    json_t *settings; /* the adapter's config.json; owned, NULL: none */
};

/* A zero-initialised one may be freed. */
void lf_published_free(struct lf_published *p);
/* Of the name's file, or of a peer: bytes from outside. LF_E_INVALID says what is wrong. Yours. */
enum lf_err lf_published_parse(struct lf_published *out, const char *name, const char *text,
                               size_t n, struct lf_diag *diag) LF_MUST_CHECK;
/* The same of JSON; borrows nothing. */
enum lf_err lf_published_take(struct lf_published *out, const char *name, const json_t *j,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* Its JSON, yours; NULL: memory is out. */
json_t *lf_published_json(const struct lf_published *p);
/* Whether a counts, and not b. */
bool lf_published_is_newer(const struct lf_published *a, const struct lf_published *b);

/* Makes the directories, and takes away what a crash left of versions on their way in that are a
 * day old. */
enum lf_err lf_shared_open(const char *dir, struct lf_diag *diag) LF_MUST_CHECK;
/* DIR/current/NAME.json. */
enum lf_err lf_shared_path(char out[LF_PATH_MAX], const char *dir, const char *name,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* The names with a file, in order, into an empty list. */
enum lf_err lf_shared_names(struct lf_names *out, const char *dir,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* What is published of a name. LF_E_NOT_FOUND: nothing. Yours. */
enum lf_err lf_shared_read(struct lf_published *out, const char *dir, const char *name,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Writes it as it is, durably and at once. */
enum lf_err lf_shared_write(const char *dir, const struct lf_published *p,
                            struct lf_diag *diag) LF_MUST_CHECK;

/* The files of a version, sha256sums last (NULL-terminated). */
extern const char *const lf_shared_files[];
/* Whether it is a digest's name; nothing else becomes part of a path. */
bool lf_is_sha256(const char *text);
bool lf_shared_has(const char *dir, const char *sha256);
/* Whether it is there, or was. */
bool lf_shared_had(const char *dir, const char *sha256);
/* DIR/versions/<sha256>/<file>. LF_E_INVALID: that is no digest. */
enum lf_err lf_shared_file(char out[LF_PATH_MAX], const char *dir, const char *sha256,
                           const char *file, struct lf_diag *diag) LF_MUST_CHECK;
/* Fills the empty directory `to` with a version's files. */
typedef enum lf_err (*lf_shared_fill_fn)(void *arg, const char *to, struct lf_diag *diag);
/* Has DIR/versions/<sha256> made, unless it is there already. LF_E_DAMAGED: what it was filled with
 * is not of this digest; nobody sees it then. */
enum lf_err lf_shared_put(const char *dir, const char *sha256, lf_shared_fill_fn fill, void *arg,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* From a directory of this machine, `arg`, in PEFT's form with its sha256sums. */
enum lf_err lf_shared_fill(void *arg, const char *to, struct lf_diag *diag) LF_MUST_CHECK;
/* Copies a version's files into the empty directory `to`, whose bytes are then checked:
 * LF_E_DAMAGED or LF_E_NOT_FOUND where they are not those of this digest, or not there (yet). */
enum lf_err lf_shared_get(const char *dir, const char *sha256, const char *to,
                          struct lf_diag *diag) LF_MUST_CHECK;

/* It was current until now: its time begins. */
void lf_shared_replaced(const char *dir, const char *sha256);
/* Takes away the versions that no name has as current, and that came, or were replaced, so many
 * seconds ago and more. *n: how many. Others may publish meanwhile: who does looks afterwards
 * whether the version is there still, and puts it again. */
enum lf_err lf_shared_prune(const char *dir, int64_t seconds, int *n,
                            struct lf_diag *diag) LF_MUST_CHECK;

/* ---- What a daemon does about a name --------------------------------------------------------- */

/* The adapter as a daemon has it. */
struct lf_sharing_local {
    uint64_t id;     /* 0: there is none */
    int32_t version; /* that is current; 0: none */
    bool wanted;     /* its publication is fetched before anybody asks: it is here, or pinned */
    bool published;  /* the current version's digest is, or was, among those that are shared */
};

/* The two as they agreed last, in this life of the daemon; zero-initialised: they never did. */
struct lf_sharing_agreed {
    uint64_t id;
    int32_t version;
    char sha256[LF_SHA256_HEX];
    int64_t stamp_ms;
};

enum lf_sharing_act {
    LF_SHARING_NOTHING,
    LF_SHARING_PUBLISH,  /* what is current here is news */
    LF_SHARING_WITHDRAW, /* it was removed here */
    LF_SHARING_ADOPT,    /* what is published becomes current here */
    LF_SHARING_REMOVE,   /* it was removed elsewhere */
};

/* theirs: NULL: nothing is published. A change that was made here since the two agreed is
 * published, also over one that was made elsewhere meanwhile: the last one counts, and no version
 * is lost. A daemon that was just started knows its changes by that they were never published.
 * Pure. */
enum lf_sharing_act lf_sharing_act(const struct lf_sharing_local *local,
                                   const struct lf_sharing_agreed *agreed,
                                   const struct lf_published *theirs);

#endif
