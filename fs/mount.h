/* The mount: a daemon's tree on a directory, served until it is unmounted. */
#ifndef LF_FS_MOUNT_H
#define LF_FS_MOUNT_H

#include "core/err.h"

#include <stdbool.h>

struct lf_mount_options {
    const char *target;      /* client/http.h: a URL, "unix:PATH" or a path */
    const char *dir;         /* where to */
    const char *api_key;     /* or NULL */
    const char *cacert;      /* as in lf_client_new */
    const char *staging;     /* directory of staged files; NULL: TMPDIR, else /var/tmp */
    const char *const *fuse; /* (n_fuse) words for mount's -o: "allow_other", "ro,nosuid"... */
    int n_fuse;
    int timeout_s; /* that a daemon may be silent (lf_client_patience) */
    int wait_s;    /* that reads and writes wait for one that is gone */
    bool foreground;
    const char *log; /* file that messages go to from the background; NULL: nowhere */
};

/* Mounts and serves: returns when the directory was unmounted, or after SIGTERM, SIGINT or SIGHUP,
 * with uploads under way ended. In the background unless `foreground`: then the caller's process
 * has ended successfully when the tree is there, and this returns in another. A mount left behind
 * by a process that died is cleared first. It is also mounted while no daemon answers: the tree is
 * there when it does. */
enum lf_err lf_mount_run(const struct lf_mount_options *o, struct lf_diag *diag) LF_MUST_CHECK;

/* Unmounts; lazy: even while files are open. */
enum lf_err lf_mount_undo(const char *dir, bool lazy, struct lf_diag *diag) LF_MUST_CHECK;

#endif
