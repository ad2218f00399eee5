/* Thrift's compact protocol. */
#include "container/thrift.h"

#include "container/limits.h"

static void skip_within(struct lf_thrift *t, enum lf_thrift_type type, bool item, int depth);

static unsigned byte(struct lf_thrift *t)
{
    if (t->bad || t->at == t->end) {
        t->bad = true;
        return 0;
    }
    return *t->at++;
}

static uint64_t varint(struct lf_thrift *t)
{
    uint64_t x = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        unsigned b = byte(t);
        x |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return x;
    }
    t->bad = true;
    return 0;
}

static int64_t zigzag(uint64_t x)
{
    return (int64_t)(x >> 1) ^ -(int64_t)(x & 1);
}

static size_t left(const struct lf_thrift *t)
{
    return t->bad ? 0 : (size_t)(t->end - t->at);
}

bool lf_thrift_field(struct lf_thrift *t, int *id, enum lf_thrift_type *type)
{
    unsigned head = byte(t);
    *type = (enum lf_thrift_type)(head & 15);
    if (t->bad || *type == LF_THRIFT_STOP)
        return false;
    int64_t next = head >> 4 ? *id + (int64_t)(head >> 4) : zigzag(varint(t));
    if (*type > LF_THRIFT_STRUCT || next < 0 || next > INT16_MAX)
        t->bad = true;
    *id = t->bad ? 0 : (int)next;
    return !t->bad;
}

int64_t lf_thrift_int(struct lf_thrift *t, enum lf_thrift_type type)
{
    if (type == LF_THRIFT_BYTE)
        return (int8_t)byte(t);
    if (type == LF_THRIFT_I16 || type == LF_THRIFT_I32 || type == LF_THRIFT_I64)
        return zigzag(varint(t));
    t->bad = true;
    return 0;
}

bool lf_thrift_bool(struct lf_thrift *t, enum lf_thrift_type type)
{
    if (type != LF_THRIFT_TRUE && type != LF_THRIFT_FALSE)
        t->bad = true;
    return type == LF_THRIFT_TRUE;
}

struct lf_str lf_thrift_binary(struct lf_thrift *t, enum lf_thrift_type type)
{
    uint64_t n = type == LF_THRIFT_BINARY ? varint(t) : UINT64_MAX;
    if (n > left(t)) {
        t->bad = true;
        return (struct lf_str){"", 0};
    }
    t->at += n;
    return (struct lf_str){(const char *)t->at - n, (size_t)n};
}

size_t lf_thrift_list(struct lf_thrift *t, enum lf_thrift_type type, enum lf_thrift_type *item)
{
    unsigned head = byte(t);
    uint64_t n = head >> 4 == 15 ? varint(t) : head >> 4;
    *item = (enum lf_thrift_type)(head & 15);
    if ((type != LF_THRIFT_LIST && type != LF_THRIFT_SET) || n > left(t) ||
        *item > LF_THRIFT_STRUCT) {
        t->bad = true;
        return 0;
    }
    return (size_t)n;
}

static void skip_map(struct lf_thrift *t, int depth)
{
    uint64_t n = varint(t);
    unsigned types = n > 0 ? byte(t) : 0;
    for (uint64_t i = 0; i < n && !t->bad; i++) {
        skip_within(t, (enum lf_thrift_type)(types >> 4), true, depth);
        skip_within(t, (enum lf_thrift_type)(types & 15), true, depth);
    }
}

static void skip_within(struct lf_thrift *t, enum lf_thrift_type type, bool item, int depth)
{
    enum lf_thrift_type inner;
    int id = 0;
    size_t n;
    if (depth > LF_THRIFT_DEPTH_MAX)
        t->bad = true;
    if (t->bad)
        return;
    switch (type) {
    case LF_THRIFT_TRUE:
    case LF_THRIFT_FALSE:
        if (item)
            byte(t);
        break;
    case LF_THRIFT_BYTE:
        byte(t);
        break;
    case LF_THRIFT_I16:
    case LF_THRIFT_I32:
    case LF_THRIFT_I64:
        varint(t);
        break;
    case LF_THRIFT_DOUBLE:
        for (int i = 0; i < 8; i++)
            byte(t);
        break;
    case LF_THRIFT_BINARY:
        (void)lf_thrift_binary(t, type);
        break;
    case LF_THRIFT_LIST:
    case LF_THRIFT_SET:
        n = lf_thrift_list(t, type, &inner);
        for (size_t i = 0; i < n && !t->bad; i++)
            skip_within(t, inner, true, depth + 1);
        break;
    case LF_THRIFT_MAP:
        skip_map(t, depth + 1);
        break;
    case LF_THRIFT_STRUCT:
        while (lf_thrift_field(t, &id, &inner))
            skip_within(t, inner, false, depth + 1);
        break;
    default:
        t->bad = true;
    }
}

void lf_thrift_skip(struct lf_thrift *t, enum lf_thrift_type type)
{
    skip_within(t, type, false, 0);
}
