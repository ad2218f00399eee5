/* Default paths: where things are unless an option says otherwise. */
#ifndef LF_CLIENT_PATHS_H
#define LF_CLIENT_PATHS_H

#include "core/err.h"
#include "core/limits.h"

/* The daemon's data: $LORAFS_DATA, else $XDG_DATA_HOME/lorafs, else ~/.local/share/lorafs, else (no
 * home) /var/lib/lorafs. */
void lf_path_data(char out[LF_PATH_MAX]);
/* Its unix socket: lorafsd.sock there. */
void lf_path_socket(char out[LF_PATH_MAX]);
/* What is installed beside the programs: share/lorafs-dist/REL next to the program's bin/, or
 * share/REL of the tree that it was built in. LF_E_NOT_FOUND where neither is there. */
enum lf_err lf_path_share(char out[LF_PATH_MAX], const char *rel,
                          struct lf_diag *diag) LF_MUST_CHECK;

#endif
