/* Adapters that several daemons serve (peers/publication.h): what becomes current here is
 * published, and what others publish becomes current here: at once where the adapter is here
 * already, or pinned, else when it is asked for. A thread of its own looks every second. Any
 * thread. */
#ifndef LF_DAEMON_SHARING_H
#define LF_DAEMON_SHARING_H

#include "core/err.h"

struct lf_daemon;
struct lf_sharing;

/* With neither --share nor --peers *out is NULL, which all functions below take. After the jobs. */
enum lf_err lf_sharing_open(struct lf_sharing **out, struct lf_daemon *d,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_sharing_close(struct lf_sharing *s);
/* Brings an adapter that is not here, or has no version here, from where it is published.
 * LF_E_NOT_FOUND, and no reason: nobody publishes it. */
enum lf_err lf_sharing_bring(struct lf_sharing *s, const char *name,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* The directory of what is shared; NULL: none. */
const char *lf_sharing_dir(const struct lf_sharing *s);
/* Why the directory could not be read or written the last time; LF_OK: it could. */
enum lf_err lf_sharing_trouble(struct lf_sharing *s, struct lf_diag *diag) LF_MUST_CHECK;

#endif
