/* Seals by zlib's CRC-32, little-endian. */
#include "meta/seal.h"

#include <string.h>
#include <zlib.h>

static void seal_make(unsigned char seal[LF_SEAL_BYTES], const MDB_val *key, const void *data,
                      size_t n)
{
    uLong crc = crc32_z(0, key->mv_data, key->mv_size);
    crc = crc32_z(crc, data, n);
    for (int i = 0; i < LF_SEAL_BYTES; i++)
        seal[i] = (unsigned char)(crc >> (8 * i));
}

enum lf_err lf_seal(MDB_val *sealed, void *room, const MDB_val *key, const MDB_val *val)
{
    if (val->mv_size > LF_SEALED_MAX - LF_SEAL_BYTES)
        return LF_E_TOO_BIG;
    memcpy(room, val->mv_data, val->mv_size);
    seal_make((unsigned char *)room + val->mv_size, key, val->mv_data, val->mv_size);
    *sealed = (MDB_val){val->mv_size + LF_SEAL_BYTES, room};
    return LF_OK;
}

bool lf_seal_open(MDB_val *val, const MDB_val *key)
{
    unsigned char seal[LF_SEAL_BYTES];
    if (val->mv_size < LF_SEAL_BYTES)
        return false;
    size_t n = val->mv_size - LF_SEAL_BYTES;
    seal_make(seal, key, val->mv_data, n);
    if (memcmp((const char *)val->mv_data + n, seal, LF_SEAL_BYTES) != 0)
        return false;
    val->mv_size = n;
    return true;
}
