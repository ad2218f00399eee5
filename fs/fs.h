/* A mount: its parts, one thread's. Floors, from the ground up; each knows only those before it:
 *
 *     space, stage, timer     names and kinds; written bytes; timers
 *     node                    what the kernel holds by number
 *     wait, request           operations that wait; what they request of the daemon
 *     outgoing                large files on their way to it
 *     snapshot                the daemon's tree, kept for a moment
 *     draft, removal          files on their way to the daemon; names on their way out
 *     attr, feed, ahead       what a name is; streams; files that are read
 *     handle                  what is open
 *     ops_*                   the kernel's requests
 *     mount                   the loop, from the mount to its end
 */
#ifndef LF_FS_FS_H
#define LF_FS_FS_H

#include "fs/snapshot.h"
#include "fs/stage.h"
#include "fs/timer.h"

struct lf_handle;

struct lf_fs {
    struct fuse_session *session;
    struct lf_client *client;
    struct lf_nodes nodes;
    struct lf_stage_pool stages;
    struct lf_timers timers;
    struct lf_waits waits;
    struct lf_snapshot snapshot;
    LIST_HEAD(, lf_node) removing; /* adapters with hidden names */
    struct lf_timer removal_timer;
    LIST_HEAD(, lf_handle) handles;
    uint64_t ahead_bytes; /* of blocks that handles read, or have asked for */
    uid_t uid;
    gid_t gid;
    int64_t mounted_ms;
};

#endif
