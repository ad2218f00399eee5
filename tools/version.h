/* What --version says: "0.2.0 (commit)", or "0.2.0" where a source tree has no repository. Made
 * when the programs are built. */
#ifndef LF_TOOLS_VERSION_H
#define LF_TOOLS_VERSION_H

extern const char lf_version[];

#endif
