/* API keys: who may do what.
 *
 * A key is "lf_ID_SECRET": ID names it, SECRET is 256 random bits. The file of keys (JSON, mode
 * 0600) has a salt and SHA-256 of salt and secret of each: for secrets that nobody can guess a slow
 * hash adds nothing. The daemon reads the file anew when it has changed, so that a key that is
 * added or revoked counts at once; while it cannot be read, no key of it is good.
 *
 * A key has a role, of which each includes those before it; may be for some adapters alone; and may
 * have limits of its own. Any thread.
 */
#ifndef LF_KEYS_H
#define LF_KEYS_H

#include "core/err.h"
#include "keys/limits.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lf_role {
    LF_ROLE_OPEN,     /* nobody is asked who they are */
    LF_ROLE_GENERATE, /* asks adapters and bases, and sees which there are */
    LF_ROLE_TRAIN,    /* makes, trains, reads, changes and removes adapters: what a mount does */
    LF_ROLE_ADMIN     /* all that the daemon can be told */
};
#define LF_ROLE_WORDS "open", "generate", "train", "admin"
const char *lf_role_name(enum lf_role role);

/* What is said of a key where it is made. */
struct lf_key_spec {
    const char *name; /* for people, and for the audit log: [A-Za-z0-9._-] */
    enum lf_role role;
    const char *const *adapters; /* (n_adapters) names, or patterns with * and ?; none: all */
    int n_adapters;
    int requests_a_minute; /* 0: any number */
    int at_once;           /* requests under way; 0: any number */
    int waiting;           /* of them, those that wait for a place; 0: LF_KEY_WAITING */
};

/* ---- The file -------------------------------------------------------------------------------- */

/* DATA/keys.json. */
enum lf_err lf_keys_path(char out[LF_PATH_MAX], const char *data_dir,
                         struct lf_diag *diag) LF_MUST_CHECK;
/* Makes a key, and the file where there is none. The key's text is not kept anywhere. */
enum lf_err lf_keys_add(const char *path, const struct lf_key_spec *spec,
                        char key[LF_KEY_TEXT_MAX + 1], struct lf_diag *diag) LF_MUST_CHECK;
/* By its id or its name. LF_E_NOT_FOUND. */
enum lf_err lf_keys_revoke(const char *path, const char *id_or_name,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* The file's records, without salts and digests; yours. A missing file is an empty list. */
enum lf_err lf_keys_list(const char *path, json_t **out, struct lf_diag *diag) LF_MUST_CHECK;

/* ---- Alive ----------------------------------------------------------------------------------- */

struct lf_keys;
/* path is copied; the file may come later. api_key: one more key, admin's, as it is; or NULL. A
 * file that is damaged is an error here. Yours, lf_keys_close. */
enum lf_err lf_keys_open(struct lf_keys **out, const char *path, const char *api_key,
                         struct lf_diag *diag) LF_MUST_CHECK;
void lf_keys_close(struct lf_keys *k);
/* Whether a stranger is asked for a key at all: there is one, or a file for them. */
bool lf_keys_wanted(struct lf_keys *k);

struct lf_key;
/* The key whose text is `given` (n bytes), found in a time that does not tell how near it came.
 * NULL: none. Yours, lf_key_release. */
struct lf_key *lf_keys_find(struct lf_keys *k, const char *given, size_t n);
/* The one of this name (lf_key_name); likewise. */
struct lf_key *lf_keys_named(struct lf_keys *k, const char *name);
/* NULL: nothing. */
void lf_key_release(struct lf_key *key);
const char *lf_key_name(const struct lf_key *key);
enum lf_role lf_key_role(const struct lf_key *key);
/* A number that no other key has; of NULL 0. */
uint64_t lf_key_number(const struct lf_key *key);
/* How many of its requests may wait for a place on the device; of NULL as many as there is room
 * for.
 */
int lf_key_waiting_max(const struct lf_key *key);
/* NULL, who needs no key, may ask all. */
bool lf_key_may(const struct lf_key *key, const char *adapter);
/* A request begins; lf_key_leave when it is over, and before lf_key_release. LF_E_OVERLOADED: not
 * before *retry_seconds. */
enum lf_err lf_key_enter(struct lf_key *key, uint64_t now_ns, int *retry_seconds,
                         struct lf_diag *diag) LF_MUST_CHECK;
void lf_key_leave(struct lf_key *key);

/* Equal, in a time that does not tell where they differ. */
bool lf_key_equal(const char *a, size_t n_a, const char *b, size_t n_b);

#endif
