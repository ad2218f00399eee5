/* Each value of the store ends with a seal: the CRC-32 of its key and of what stands before, so
 * that bytes that went wrong on the disk are seen, and not taken for a state. */
#ifndef LF_META_SEAL_H
#define LF_META_SEAL_H

#include "core/err.h"
#include "meta/limits.h"

#include <lmdb.h>
#include <stdbool.h>

#define LF_SEAL_BYTES 4

/* The key's value with its seal into `room` (LF_SEALED_MAX bytes). LF_E_TOO_BIG where it does not
 * fit. */
enum lf_err lf_seal(MDB_val *sealed, void *room, const MDB_val *key,
                    const MDB_val *val) LF_MUST_CHECK;
/* val loses its seal. False: it is none of this key and value. */
bool lf_seal_open(MDB_val *val, const MDB_val *key);

#endif
