/* Other daemons, from which publications and the files of versions come where no directory is
 * shared with them: each has a directory of its own as in peers/publication.h, and takes over what
 * is newer.
 *
 *     GET URL/v1/publications                  {"publications": {NAME: {...}}}, with an ETag
 *     GET URL/v1/publications/SHA256/FILE      of a version
 *
 * What comes is taken for what its digest says, or not at all. A peer that does not answer is asked
 * again after a while, and the others meanwhile. */
#ifndef LF_PEERS_PEER_H
#define LF_PEERS_PEER_H

#include "core/err.h"

#include <stdatomic.h>

struct lf_peers;

/* urls: "http://a:8080,https://b:8080". key_file: its first line is the key of an admin there;
 * cacert: certificates that theirs must be signed by; NULL: none, and the system's. dir is as in
 * peers/publication.h. Calls end once *stop is true; stop is borrowed. Yours, lf_peers_free. */
enum lf_err lf_peers_new(struct lf_peers **out, const char *dir, const char *urls,
                         const char *key_file, const char *cacert, const atomic_bool *stop,
                         struct lf_diag *diag) LF_MUST_CHECK;
void lf_peers_free(struct lf_peers *p);
/* Asks each what it has published; what is newer than what DIR has is in DIR then. One thread. */
void lf_peers_listen(struct lf_peers *p);
/* DIR/versions/<sha256> from whoever has it. LF_E_NOT_FOUND: nobody has it; else
 * why the last one that may have it did not give it. Any thread. */
enum lf_err lf_peers_fetch(const struct lf_peers *p, const char *sha256,
                           struct lf_diag *diag) LF_MUST_CHECK;

#endif
