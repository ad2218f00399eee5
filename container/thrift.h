/* Thrift's compact protocol, as far as Parquet's headers need it: a pull reader over bytes from
 * outside. The first mistake sticks in `bad`; nothing is read past the end. One thread at a time.
 */
#ifndef LF_CONTAINER_THRIFT_H
#define LF_CONTAINER_THRIFT_H

#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

enum lf_thrift_type {
    LF_THRIFT_STOP,
    LF_THRIFT_TRUE, /* a field's value is in its type; a list's is a byte */
    LF_THRIFT_FALSE,
    LF_THRIFT_BYTE,
    LF_THRIFT_I16,
    LF_THRIFT_I32,
    LF_THRIFT_I64,
    LF_THRIFT_DOUBLE,
    LF_THRIFT_BINARY,
    LF_THRIFT_LIST,
    LF_THRIFT_SET,
    LF_THRIFT_MAP,
    LF_THRIFT_STRUCT
};

struct lf_thrift {
    const unsigned char *at, *end;
    bool bad;
};

/* The next field of a structure: its number, counted on from *id (0 at first), and its type. False
 * at the structure's end, and when the bytes are bad. What is not read must be skipped. */
bool lf_thrift_field(struct lf_thrift *t, int *id, enum lf_thrift_type *type);
/* The value of a field or an item of that type; 0 where it is another one, which is bad. */
int64_t lf_thrift_int(struct lf_thrift *t, enum lf_thrift_type type);
bool lf_thrift_bool(struct lf_thrift *t, enum lf_thrift_type type);
/* Borrowed from the bytes. */
struct lf_str lf_thrift_binary(struct lf_thrift *t, enum lf_thrift_type type);
/* How many items follow, each of `item`: never more than there are bytes. */
size_t lf_thrift_list(struct lf_thrift *t, enum lf_thrift_type type, enum lf_thrift_type *item);
void lf_thrift_skip(struct lf_thrift *t, enum lf_thrift_type type);

#endif
