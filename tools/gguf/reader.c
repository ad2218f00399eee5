/* A GGUF file's keys and tensors, checked. */
#include "tools/gguf/inside.h"

#include "core/utf8.h"
#include "tools/limits.h"

#include <stdlib.h>
#include <string.h>

struct header_cursor {
    const unsigned char *s;
    size_t n, i;
    struct lf_diag *diag;
};

static enum lf_err cut_off(struct header_cursor *c)
{
    return lf_fail(c->diag, LF_E_DAMAGED, "the file ends within its header");
}

static enum lf_err skip(struct header_cursor *c, uint64_t n)
{
    if (n > c->n - c->i)
        return cut_off(c);
    c->i += n;
    return LF_OK;
}

/* Little-endian, as the machines are that this runs on. */
static enum lf_err take(struct header_cursor *c, void *out, size_t n)
{
    if (n > c->n - c->i)
        return cut_off(c);
    memcpy(out, c->s + c->i, n);
    c->i += n;
    return LF_OK;
}

static enum lf_err take_str(struct header_cursor *c, struct lf_str *out)
{
    uint64_t n;
    enum lf_err rc = take(c, &n, sizeof n);
    size_t at = c->i;
    rc = rc ?: skip(c, n);
    if (rc != LF_OK)
        return rc;
    *out = (struct lf_str){(const char *)c->s + at, n};
    if (lf_utf8_valid(out->s, out->n) < out->n || memchr(out->s, '\0', out->n))
        return lf_fail(c->diag, LF_E_DAMAGED, "a string is not UTF-8");
    return LF_OK;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static size_t kind_bytes(enum lf_gguf_kind kind)
{
    static const unsigned char bytes[LF_GGUF_KINDS] = {
        [LF_GGUF_U8] = 1,  [LF_GGUF_I8] = 1,  [LF_GGUF_U16] = 2, [LF_GGUF_I16] = 2,
        [LF_GGUF_U32] = 4, [LF_GGUF_I32] = 4, [LF_GGUF_F32] = 4, [LF_GGUF_BOOL] = 1,
        [LF_GGUF_U64] = 8, [LF_GGUF_I64] = 8, [LF_GGUF_F64] = 8,
    };
    return bytes[kind];
}

static enum lf_err take_kind(struct header_cursor *c, enum lf_gguf_kind *out,
                             const struct lf_gguf_key *k)
{
    uint32_t kind;
    enum lf_err rc = take(c, &kind, sizeof kind);
    if (rc == LF_OK && kind >= LF_GGUF_KINDS)
        rc = lf_fail(c->diag, LF_E_DAMAGED, "key \"%.*s\" is of an unknown kind",
                     (int)(k->name.n < 64 ? k->name.n : 64), k->name.s);
    if (rc == LF_OK)
        *out = (enum lf_gguf_kind)kind;
    return rc;
}

static enum lf_err take_array(struct header_cursor *c, struct lf_gguf_key *k)
{
    uint64_t n;
    enum lf_err rc = take_kind(c, &k->each, k) ?: take(c, &n, sizeof n);
    if (rc != LF_OK)
        return rc;
    if (k->each == LF_GGUF_ARRAY)
        return lf_fail(c->diag, LF_E_UNSUPPORTED, "an array of arrays");
    k->at = c->s + c->i;
    k->n = n;
    if (k->each != LF_GGUF_STR)
        return n > c->n ? cut_off(c) : skip(c, n * kind_bytes(k->each));
    for (uint64_t i = 0; i < n && rc == LF_OK; i++) {
        struct lf_str s;
        rc = take_str(c, &s);
    }
    return rc;
}

static enum lf_err take_key(struct header_cursor *c, struct lf_gguf_key *k)
{
    struct lf_str s;
    enum lf_err rc = take_str(c, &k->name) ?: take_kind(c, &k->kind, k);
    if (rc != LF_OK)
        return rc;
    if (k->kind == LF_GGUF_ARRAY)
        return take_array(c, k);
    k->at = c->s + c->i;
    k->n = 1;
    return k->kind == LF_GGUF_STR ? take_str(c, &s) : skip(c, kind_bytes(k->kind));
}

const struct lf_gguf_key *lf_gguf_find(const struct lf_gguf *g, const char *key)
{
    for (size_t i = 0; i < g->n_keys; i++)
        if (lf_str_is(g->keys[i].name, key))
            return &g->keys[i];
    return NULL;
}

struct lf_str lf_gguf_next_str(const unsigned char **at)
{
    uint64_t n;
    memcpy(&n, *at, sizeof n);
    struct lf_str s = {(const char *)*at + sizeof n, n};
    *at += sizeof n + n;
    return s;
}

bool lf_gguf_str(const struct lf_gguf *g, const char *key, struct lf_str *out)
{
    const struct lf_gguf_key *k = lf_gguf_find(g, key);
    if (!k || k->kind != LF_GGUF_STR)
        return false;
    const unsigned char *at = k->at;
    *out = lf_gguf_next_str(&at);
    return true;
}

bool lf_gguf_int(const struct lf_gguf *g, const char *key, int64_t *out)
{
    static const unsigned integers = 1u << LF_GGUF_U8 | 1u << LF_GGUF_U16 | 1u << LF_GGUF_U32 |
                                     1u << LF_GGUF_U64 | 1u << LF_GGUF_I8 | 1u << LF_GGUF_I16 |
                                     1u << LF_GGUF_I32 | 1u << LF_GGUF_I64;
    static const unsigned narrow = 1u << LF_GGUF_I8 | 1u << LF_GGUF_I16 | 1u << LF_GGUF_I32;
    const struct lf_gguf_key *k = lf_gguf_find(g, key);
    if (!k || !(integers >> k->kind & 1))
        return false;
    uint64_t v =
        0; /* a 64-bit one that does not fit is negative, and refused where a size is read */
    size_t n = kind_bytes(k->kind);
    memcpy(&v, k->at, n);
    if (narrow >> k->kind & 1 && v >> (8 * n - 1)) /* its sign */
        v -= (uint64_t)1 << 8 * n;
    *out = (int64_t)v;
    return true;
}

bool lf_gguf_real(const struct lf_gguf *g, const char *key, double *out)
{
    const struct lf_gguf_key *k = lf_gguf_find(g, key);
    int64_t whole;
    float f;
    if (lf_gguf_int(g, key, &whole)) {
        *out = (double)whole;
        return true;
    }
    if (!k || (k->kind != LF_GGUF_F32 && k->kind != LF_GGUF_F64))
        return false;
    if (k->kind == LF_GGUF_F64) {
        memcpy(out, k->at, sizeof *out);
    } else {
        memcpy(&f, k->at, sizeof f);
        *out = (double)f;
    }
    return true;
}

bool lf_gguf_bool(const struct lf_gguf *g, const char *key, bool *out)
{
    const struct lf_gguf_key *k = lf_gguf_find(g, key);
    if (!k || k->kind != LF_GGUF_BOOL)
        return false;
    *out = *k->at != 0;
    return true;
}

/* ---- Tensors --------------------------------------------------------------------------------- */

/* Bytes of its data; LF_E_DAMAGED where its shape cannot be. */
static enum lf_err tensor_bytes(size_t *out, const struct lf_gguf_tensor *t, struct lf_diag *diag)
{
    uint64_t n = 1;
    for (int i = 0; i < t->n_dims; i++)
        if (t->dims[i] < 1 || __builtin_mul_overflow(n, (uint64_t)t->dims[i], &n) ||
            n > SIZE_MAX / 8)
            return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.*s\": its shape is out of range",
                           (int)t->name.n, t->name.s);
    if ((uint64_t)t->dims[0] % t->form->elements != 0)
        return lf_fail(diag, LF_E_DAMAGED, "tensor \"%.*s\": its rows are no whole blocks of %s",
                       (int)t->name.n, t->name.s, t->form->name);
    *out = n / t->form->elements * t->form->bytes;
    return LF_OK;
}

/* One entry; its data's offset, still from the start of all data, in *off. */
static enum lf_err take_tensor(struct header_cursor *c, struct lf_gguf_tensor *t, uint64_t *off)
{
    uint32_t n_dims, type;
    enum lf_err rc = take_str(c, &t->name);
    if (rc == LF_OK && t->name.n >= LF_GGUF_NAME_MAX)
        rc = lf_fail(c->diag, LF_E_DAMAGED, "a tensor's name has %zu bytes", t->name.n);
    rc = rc ?: take(c, &n_dims, sizeof n_dims);
    if (rc == LF_OK && (n_dims < 1 || n_dims > LF_GGUF_DIMS_MAX))
        rc = lf_fail(c->diag, LF_E_DAMAGED, "tensor \"%.*s\" has %u dimensions", (int)t->name.n,
                     t->name.s, n_dims);
    rc = rc ?: take(c, t->dims, n_dims * sizeof *t->dims);
    rc = rc ?: take(c, &type, sizeof type);
    rc = rc ?: take(c, off, sizeof *off);
    if (rc != LF_OK)
        return rc;
    t->n_dims = (int)n_dims;
    t->form = lf_gguf_form(type);
    if (!t->form)
        return lf_fail(c->diag, LF_E_UNSUPPORTED,
                       "tensor \"%.*s\" is of type %u; F32, F16, BF16, Q4_0, Q8_0, Q4_K and Q6_K "
                       "are read",
                       (int)t->name.n, t->name.s, type);
    return LF_OK;
}

static enum lf_err place_tensor(struct header_cursor *c, struct lf_gguf_tensor *t, size_t data,
                                uint64_t off, uint64_t alignment)
{
    size_t bytes;
    enum lf_err rc = tensor_bytes(&bytes, t, c->diag);
    if (rc != LF_OK)
        return rc;
    if (off % alignment != 0 || off > c->n - data || bytes > c->n - data - off)
        return lf_fail(c->diag, LF_E_DAMAGED, "tensor \"%.*s\": its data is not in the file",
                       (int)t->name.n, t->name.s);
    t->data = c->s + data + off;
    return LF_OK;
}

static int by_name(const void *a, const void *b)
{
    struct lf_str x = ((const struct lf_gguf_tensor *)a)->name;
    struct lf_str y = ((const struct lf_gguf_tensor *)b)->name;
    int order = memcmp(x.s, y.s, x.n < y.n ? x.n : y.n);
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

static enum lf_err read_tensors(struct header_cursor *c, struct lf_gguf *g)
{
    uint64_t *offs = calloc(g->n_tensors + 1, sizeof *offs);
    int64_t alignment = 32;
    enum lf_err rc = offs ? LF_OK : lf_no_memory(c->diag, "the header");
    for (size_t i = 0; i < g->n_tensors && rc == LF_OK; i++)
        rc = take_tensor(c, &g->tensors[i], &offs[i]);
    lf_gguf_int(g, "general.alignment", &alignment);
    if (alignment < 1 || alignment > LF_GGUF_ALIGNMENT_MAX) {
        rc = rc ?: lf_fail(c->diag, LF_E_DAMAGED, "an alignment of %lld", (long long)alignment);
        alignment = 1;
    }
    size_t data = c->i + ((size_t)alignment - c->i % (size_t)alignment) % (size_t)alignment;
    if (rc == LF_OK && g->n_tensors > 0 && data > c->n)
        rc = cut_off(c);
    for (size_t i = 0; i < g->n_tensors && rc == LF_OK; i++)
        rc = place_tensor(c, &g->tensors[i], data, offs[i], (uint64_t)alignment);
    free(offs);
    if (rc == LF_OK && g->n_tensors > 0)
        qsort(g->tensors, g->n_tensors, sizeof *g->tensors, by_name);
    for (size_t i = 1; i < g->n_tensors && rc == LF_OK; i++)
        if (by_name(&g->tensors[i - 1], &g->tensors[i]) == 0)
            rc = lf_fail(c->diag, LF_E_DAMAGED, "tensor \"%.*s\" is there twice",
                         (int)g->tensors[i].name.n, g->tensors[i].name.s);
    return rc;
}

const struct lf_gguf_tensor *lf_gguf_tensor(const struct lf_gguf *g, const char *name)
{
    struct lf_gguf_tensor key = {.name = {name, strlen(name)}};
    return g->n_tensors ? bsearch(&key, g->tensors, g->n_tensors, sizeof key, by_name) : NULL;
}

void lf_gguf_widen(float *out, const struct lf_gguf_tensor *t, size_t from, size_t n)
{
    const struct lf_gguf_form *f = t->form;
    const unsigned char *block = t->data + from / f->elements * f->bytes;
    for (size_t i = 0; i < n; i += f->elements, block += f->bytes)
        f->widen(out + i, block);
}

/* ---- The file -------------------------------------------------------------------------------- */

static enum lf_err read_head(struct header_cursor *c, struct lf_gguf *g)
{
    char magic[4];
    uint32_t version;
    uint64_t n_tensors, n_keys;
    if (take(c, magic, sizeof magic) != LF_OK || memcmp(magic, "GGUF", 4) != 0)
        return lf_fail(c->diag, LF_E_INVALID, "not a GGUF file");
    enum lf_err rc = take(c, &version, sizeof version);
    if (rc == LF_OK && version != 2 && version != 3)
        return lf_fail(c->diag, LF_E_UNSUPPORTED, "GGUF version %u; 2 and 3 are read", version);
    rc = rc ?: take(c, &n_tensors, sizeof n_tensors);
    rc = rc ?: take(c, &n_keys, sizeof n_keys);
    if (rc != LF_OK)
        return rc;
    if (n_tensors > LF_GGUF_TENSORS_MAX || n_keys > LF_GGUF_KEYS_MAX)
        return lf_fail(c->diag, LF_E_TOO_BIG, "%llu tensors and %llu keys are over the limits",
                       (unsigned long long)n_tensors, (unsigned long long)n_keys);
    g->keys = calloc(n_keys + 1, sizeof *g->keys);
    g->tensors = calloc(n_tensors + 1, sizeof *g->tensors);
    if (!g->keys || !g->tensors)
        return lf_no_memory(c->diag, "the header");
    g->n_tensors = n_tensors;
    for (; g->n_keys < n_keys && rc == LF_OK; g->n_keys++)
        rc = take_key(c, &g->keys[g->n_keys]);
    return rc;
}

enum lf_err lf_gguf_parse(struct lf_gguf *out, const void *data, size_t n, struct lf_diag *diag)
{
    struct lf_gguf g = {0};
    struct header_cursor c = {data, n, 0, diag};
    enum lf_err rc = read_head(&c, &g) ?: read_tensors(&c, &g);
    if (rc == LF_OK)
        *out = g;
    else
        lf_gguf_free(&g);
    return rc;
}

void lf_gguf_free(struct lf_gguf *g)
{
    free(g->keys);
    free(g->tensors);
    *g = (struct lf_gguf){0};
}
