/* tokenizer.model of SentencePiece: a protobuf with the pieces, their scores and how text is
 * normalised. A BPE model becomes what its tokenizer.json would be: every way to cut a piece in
 * two pieces is a merge, ranked by the score of the whole; pieces of equal score share a rank, so
 * that the leftmost goes first, as SentencePiece has it. */
#include "core/utf8.h"
#include "core/grow.h"
#include "text/tokenizer/load.h"

#include <stdlib.h>
#include <string.h>

/* --- protobuf --- */

/* One field of a message: a varint, a fixed32, or bytes. */
struct field {
    uint32_t number, wire;
    uint64_t value;
    struct lf_str bytes;
};

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static bool read_varint(struct lf_str *m, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && m->n > 0; shift += 7) {
        unsigned char byte = (unsigned char)*m->s;
        m->s++;
        m->n--;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out = value;
            return true;
        }
    }
    return false;
}

static void drop(struct lf_str *m, size_t n)
{
    m->s += n;
    m->n -= n;
}

/* Takes the next field off the front of a message; false where it is broken. */
static bool read_field(struct lf_str *m, struct field *f)
{
    uint64_t key;
    if (!read_varint(m, &key) || key >> 3 > UINT32_MAX || key >> 3 == 0)
        return false;
    *f = (struct field){.number = (uint32_t)(key >> 3), .wire = (uint32_t)(key & 7)};
    size_t fixed = f->wire == WIRE_FIXED32 ? 4 : f->wire == WIRE_FIXED64 ? 8 : 0;
    if (f->wire == WIRE_VARINT)
        return read_varint(m, &f->value);
    if (f->wire == WIRE_BYTES) {
        if (!read_varint(m, &f->value) || f->value > m->n)
            return false;
        f->bytes = (struct lf_str){m->s, (size_t)f->value};
        drop(m, (size_t)f->value);
        return true;
    }
    if (fixed == 0 || m->n < fixed)
        return false;
    memcpy(&f->value, m->s, fixed);
    drop(m, fixed);
    return true;
}

/* --- the model --- */

enum piece_type { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };

struct sp_piece {
    struct lf_str text;
    float score;
    uint64_t type;
};

struct proto {
    struct sp_piece *pieces;
    size_t n, cap;
    uint64_t model_type, byte_fallback, bos_id, eos_id, space_suffix;
    uint64_t dummy_prefix, remove_spaces, escape_spaces;
    struct lf_str charsmap;
};

static enum lf_err broken(struct lf_diag *diag)
{
    return lf_fail(diag, LF_E_DAMAGED, "not a SentencePiece model: its protobuf is broken");
}

static enum lf_err read_piece(struct proto *p, struct lf_str m, struct lf_diag *diag)
{
    struct sp_piece piece = {.type = NORMAL};
    struct field f;
    while (m.n > 0) {
        if (!read_field(&m, &f))
            return broken(diag);
        if (f.number == 1 && f.wire == WIRE_BYTES)
            piece.text = f.bytes;
        if (f.number == 2 && f.wire == WIRE_FIXED32)
            memcpy(&piece.score, &f.value, sizeof piece.score);
        if (f.number == 3 && f.wire == WIRE_VARINT)
            piece.type = f.value;
    }
    if (piece.text.n == 0 || lf_utf8_valid(piece.text.s, piece.text.n) < piece.text.n ||
        piece.score != piece.score)
        return lf_fail(diag, LF_E_DAMAGED, "piece %zu is empty, not UTF-8 or has no score", p->n);
    if (lf_grow(&p->pieces, &p->cap, p->n + 1, sizeof *p->pieces) != LF_OK)
        return lf_no_memory(diag, "%zu pieces", p->n);
    p->pieces[p->n++] = piece;
    return LF_OK;
}

/* The varints of a message that are asked for by number; the bytes of `bytes_number`. */
static enum lf_err read_spec(struct lf_str m, const uint32_t *numbers, uint64_t *const *values,
                             size_t n, uint32_t bytes_number, struct lf_str *bytes,
                             struct lf_diag *diag)
{
    struct field f;
    while (m.n > 0) {
        if (!read_field(&m, &f))
            return broken(diag);
        for (size_t i = 0; i < n; i++)
            if (f.number == numbers[i] && f.wire == WIRE_VARINT)
                *values[i] = f.value;
        if (f.number == bytes_number && f.wire == WIRE_BYTES)
            *bytes = f.bytes;
    }
    return LF_OK;
}

static enum lf_err read_proto(struct proto *p, struct lf_str m, struct lf_diag *diag)
{
    static const uint32_t trainer[] = {3, 24, 35, 41, 42}, normalizer[] = {3, 4, 5};
    uint64_t *const to_trainer[] = {&p->model_type, &p->space_suffix, &p->byte_fallback, &p->bos_id,
                                    &p->eos_id};
    uint64_t *const to_normalizer[] = {&p->dummy_prefix, &p->remove_spaces, &p->escape_spaces};
    struct field f;
    enum lf_err rc = LF_OK;
    while (m.n > 0 && rc == LF_OK) {
        if (!read_field(&m, &f))
            return broken(diag);
        if (f.wire != WIRE_BYTES)
            continue;
        if (f.number == 1)
            rc = read_piece(p, f.bytes, diag);
        else if (f.number == 2)
            rc = read_spec(f.bytes, trainer, to_trainer, 5, 0, NULL, diag);
        else if (f.number == 3)
            rc = read_spec(f.bytes, normalizer, to_normalizer, 3, 2, &p->charsmap, diag);
    }
    return rc;
}

static enum lf_err refuse_unknown(const struct proto *p, struct lf_diag *diag)
{
    const char *what = p->model_type != 2  ? "a model type other than BPE"
                       : p->charsmap.n > 0 ? "a normalizer other than identity"
                       : p->remove_spaces  ? "remove_extra_whitespaces"
                       : !p->escape_spaces ? "escape_whitespaces off"
                       : p->space_suffix   ? "treat_whitespace_as_suffix"
                                           : NULL;
    if (p->n == 0)
        return lf_fail(diag, LF_E_DAMAGED, "not a SentencePiece model: it has no pieces");
    return what ? lf_fail(diag, LF_E_UNSUPPORTED, "SentencePiece: %s is not supported", what)
                : LF_OK;
}

/* --- merges --- */

struct ranked {
    float score;
    uint32_t id;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static bool is_text(const struct sp_piece *p)
{
    return p->type == NORMAL || p->type == USER_DEFINED;
}

/* Appends every merge that makes this piece. */
static void cut_piece(const struct lf_tok_bpe *b, const struct proto *p, uint32_t id, uint32_t rank,
                      struct lf_buf *merges)
{
    struct lf_str s = p->pieces[id].text;
    for (size_t i = lf_utf8_len(s.s, s.n); i < s.n; i += lf_utf8_len(s.s + i, s.n - i)) {
        int32_t left = lf_tok_bpe_find(b, (struct lf_str){s.s, i});
        int32_t right = left < 0 ? -1 : lf_tok_bpe_find(b, (struct lf_str){s.s + i, s.n - i});
        if (right < 0 || !is_text(&p->pieces[left]) || !is_text(&p->pieces[right]))
            continue;
        struct lf_tok_merge m = {LF_TOK_PAIR(left, right), rank, (int32_t)id};
        lf_buf_append(merges, &m, sizeof m);
    }
}

static enum lf_err add_merges(struct lf_tokenizer *t, const struct proto *p, struct lf_diag *diag)
{
    struct ranked *order = calloc(p->n, sizeof *order);
    if (!order)
        return lf_no_memory(diag, "%zu pieces", p->n);
    lf_buf_auto merges = {0};
    size_t n = 0;
    for (uint32_t id = 0; id < p->n; id++)
        if (is_text(&p->pieces[id]))
            order[n++] = (struct ranked){p->pieces[id].score, id};
    qsort(order, n, sizeof *order, by_score);
    uint32_t rank = 0;
    for (size_t i = 0; i < n; i++) {
        rank += i > 0 && order[i].score != order[i - 1].score;
        cut_piece(&t->bpe, p, order[i].id, rank, &merges);
    }
    free(order);
    return lf_tok_bpe_merges(&t->bpe, &merges, diag);
}

/* --- the whole --- */

static enum lf_err add_pieces(struct lf_tokenizer *t, const struct proto *p, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (uint32_t id = 0; id < p->n && rc == LF_OK; id++) {
        struct lf_str text;
        rc = lf_tok_strdup(&t->arena, &text, p->pieces[id].text.s, p->pieces[id].text.n, diag);
        rc = rc ?: lf_tok_bpe_add(&t->bpe, text, id, diag);
        if (rc == LF_OK && p->pieces[id].type == UNKNOWN)
            t->bpe.unk = text;
    }
    return rc ?: lf_tok_bpe_index(&t->bpe, diag);
}

static enum lf_err add_added(struct lf_tokenizer *t, const struct proto *p, struct lf_diag *diag)
{
    enum lf_err rc = lf_tok_added_init(t, p->n, diag);
    for (uint32_t id = 0; id < p->n && rc == LF_OK; id++) {
        uint64_t type = p->pieces[id].type;
        struct lf_tok_added a = {.content = t->bpe.spelling[id], .special = type != USER_DEFINED};
        if (type == UNKNOWN || type == CONTROL || type == USER_DEFINED)
            rc = lf_tok_added_put(t, &a, diag);
    }
    return rc;
}

static enum lf_err add_components(struct lf_tokenizer *t, bool prefix, struct lf_diag *diag)
{
    static const char mark[] =
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"}";
    static const char prepend[] = "{\"type\":\"Prepend\",\"prepend\":\"\xe2\x96\x81\"}";
    static const char decoder[] =
        "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
        "\"\xe2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]}";
    static const char strip[] = "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}";
    enum lf_err rc = prefix ? lf_tok_read_text(t, prepend, lf_tok_read_normalizer, diag) : LF_OK;
    rc = rc ?: lf_tok_read_text(t, mark, lf_tok_read_normalizer, diag);
    rc = rc ?: lf_tok_read_text(t, decoder, lf_tok_read_decoder, diag);
    return rc == LF_OK && prefix ? lf_tok_read_text(t, strip, lf_tok_read_decoder, diag) : rc;
}

static int32_t control_id(const struct proto *p, uint64_t id)
{
    return id < p->n && p->pieces[id].type == CONTROL ? (int32_t)id : -1;
}

static enum lf_err build(struct lf_tokenizer *t, const struct proto *p, struct lf_diag *diag)
{
    t->bpe.byte_fallback = p->byte_fallback != 0;
    t->bpe.fuse_unk = true;
    enum lf_err rc = add_pieces(t, p, diag) ?: add_merges(t, p, diag) ?: add_added(t, p, diag);
    rc = rc ?: add_components(t, p->dummy_prefix != 0, diag);
    rc = rc ?: lf_tok_ready(t, diag);
    t->bos = control_id(p, p->bos_id);
    t->eos = control_id(p, p->eos_id);
    return rc ?: lf_tok_template(t, true, false, diag);
}

enum lf_err lf_tok_parse_sentencepiece(struct lf_tokenizer **out, const char *bytes, size_t n,
                                       struct lf_diag *diag)
{
    /* The defaults of the format. */
    struct proto p = {.model_type = 1,
                      .bos_id = 1,
                      .eos_id = 2,
                      .dummy_prefix = 1,
                      .remove_spaces = 1,
                      .escape_spaces = 1};
    struct lf_tokenizer *t = NULL;
    enum lf_err rc = read_proto(&p, (struct lf_str){bytes, n}, diag);
    rc = rc ?: refuse_unknown(&p, diag);
    rc = rc ?: lf_tok_new(&t, diag);
    rc = rc ?: build(t, &p, diag);
    free(p.pieces);
    if (rc == LF_OK)
        *out = t;
    else
        lf_tokenizer_free(t);
    return rc;
}
