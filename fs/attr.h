/* Questions about nodes: what is this name, what are its attributes. All but the root's need
 * lf_snapshot_look first. */
#ifndef LF_FS_ATTR_H
#define LF_FS_ATTR_H

#include "fs/fs.h"

/* The node that `name` in `dir` is. Borrowed. */
enum lf_err lf_attr_resolve(struct lf_node **out, struct lf_fs *fs, struct lf_node *dir,
                            const char *name) LF_MUST_CHECK;
/* Attributes of a node, and how long the kernel may believe them. */
enum lf_err lf_attr_stat(struct stat *out, double *timeout_s, struct lf_fs *fs,
                         struct lf_node *n) LF_MUST_CHECK;
/* The same in the form that entries are replied in; counts no lookup. */
/* A text of an adapter whose size the snapshot does not know: status and error, while something is
 * done about it. Only the daemon can tell. */
bool lf_attr_is_unsized(struct lf_fs *fs, struct lf_node *n);
enum lf_err lf_attr_entry(struct fuse_entry_param *out, struct lf_fs *fs,
                          struct lf_node *n) LF_MUST_CHECK;

#endif
