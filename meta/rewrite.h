/* The store's file, made anew each time that it is opened. LMDB follows what stands in its pages: a
 * file that was cut or written over can take the process down that opens it (SIGBUS, SIGSEGV, an
 * assertion), at once or at a later change. So a child process reads all of it and writes what it
 * holds into a fresh file; when that ends well the fresh one takes its place. */
#ifndef LF_META_REWRITE_H
#define LF_META_REWRITE_H

#include "core/err.h"

#include <stddef.h>

/* The store's format: 1 had no seals (seal.h), which the fresh file gets. */
#define LF_STORE_FORMAT 2

/* map_bytes: as the store opens it. LF_OK: DIR/data.mdb is good, or there is none. A damaged file
 * becomes DIR/data.mdb.damaged, said in the log, and there is none. Where there is no room for a
 * fresh file, one of today's format stays, and for an older one that is the error. LF_E_DAMAGED: it
 * is of a newer format. Call before threads begin, and not in a transaction. */
enum lf_err lf_store_rewrite(const char *dir, size_t map_bytes, struct lf_diag *diag) LF_MUST_CHECK;

#endif
