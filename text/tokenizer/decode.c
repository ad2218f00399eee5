/* Ids to text: each token passes the decoders one after the other.
 *
 * The library runs a decoder over the list of all tokens, then the next one over its result. Here
 * a token goes through all of them at once, and a decoder that cannot answer yet holds it back, so
 * that decoding a stream and decoding a list are one thing. After Fuse or ByteLevel there is one
 * token without end: what follows gets it in chunks of whole characters (`fused`), and either
 * works on chunks (Strip, Metaspace, Fuse) or gathers them up to the end.
 */
#include "text/tokenizer/parts.h"

#include "core/num.h"
#include "core/utf8.h"
#include "text/limits.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

static enum lf_err pass(struct lf_decoder *d, size_t stage, struct lf_buf *out, const char *s,
                        size_t n);

/* Passes on what this stage has made. */
static enum lf_err pass_made(struct lf_decoder *d, size_t stage, struct lf_buf *out)
{
    const struct lf_buf *made = &d->stages[stage].out;
    if (made->rc != LF_OK)
        return made->rc;
    return pass(d, stage + 1, out, made->len ? made->data : "", made->len);
}

/* --- ByteLevel --- */

/* Moves what is settled from `held` to the next stage: whole characters, and U+FFFD for each
 * maximal part of one that can no longer be completed. */
static enum lf_err bytes_settle(struct lf_decoder *d, size_t stage, struct lf_buf *out, bool last)
{
    struct lf_decoder_stage *st = &d->stages[stage];
    const char *s = st->held.data;
    size_t n = st->held.len, i = 0;
    lf_buf_reset(&st->out);
    while (i < n) {
        size_t good = lf_utf8_valid(s + i, n - i);
        lf_buf_append(&st->out, s + i, good);
        i += good;
        if (i == n)
            break;
        size_t part = lf_utf8_part(s + i, n - i);
        if (!last && i + part == n)
            break; /* the next byte may go on */
        lf_buf_puts(&st->out, REPLACEMENT);
        i += part;
    }
    lf_buf_drop_front(&st->held, i);
    return pass_made(d, stage, out);
}

/* A token of GPT-2's alphabet gives its bytes; any other, its own UTF-8. */
static void bytes_add(struct lf_buf *held, const char *s, size_t n)
{
    size_t before = held->len, len;
    for (size_t i = 0; i < n; i += len) {
        int byte = lf_tok_char_to_byte(lf_utf8_get(s + i, &len));
        if (byte < 0) {
            held->len = before;
            lf_buf_append(held, s, n);
            return;
        }
        lf_buf_putc(held, (char)byte);
    }
}

/* --- ByteFallback --- */

/* "<0x41>" is a byte; the library accepts a sign before one digit, so "<0x+1>" is one too. */
static int fallback_byte(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>')
        return -1;
    int value = 0;
    for (size_t i = 3; i < 5; i++) {
        char c = s[i];
        if (c == '+' && i == 3)
            continue;
        int digit = lf_hex_digit(c);
        if (digit < 0)
            return -1;
        value = 16 * value + digit;
    }
    return value;
}

/* A run of bytes is one token of text, or a U+FFFD for each when it is not UTF-8 as a whole. */
static enum lf_err fallback_flush(struct lf_decoder *d, size_t stage, struct lf_buf *out)
{
    struct lf_buf *held = &d->stages[stage].held;
    size_t n = held->len;
    if (n == 0)
        return LF_OK;
    enum lf_err rc = LF_OK;
    if (lf_utf8_valid(held->data, n) == n)
        rc = pass(d, stage + 1, out, held->data, n);
    else
        for (size_t i = 0; i < n && rc == LF_OK; i++)
            rc = pass(d, stage + 1, out, REPLACEMENT, sizeof REPLACEMENT - 1);
    lf_buf_reset(held);
    return rc;
}

static enum lf_err fallback_token(struct lf_decoder *d, size_t stage, struct lf_buf *out,
                                  const char *s, size_t n)
{
    int byte = fallback_byte(s, n);
    if (byte >= 0)
        return lf_buf_putc(&d->stages[stage].held, (char)byte);
    return fallback_flush(d, stage, out) ?: pass(d, stage + 1, out, s, n);
}

/* --- Strip --- */

static bool is_char(const struct lf_tok_decode *step, const char *s, size_t n)
{
    return n == step->text.n && memcmp(s, step->text.s, n) == 0;
}

/* Cuts up to `start` of the character from the front and holds up to `stop` of them back. */
static enum lf_err strip_chunk(struct lf_decoder *d, size_t stage, struct lf_buf *out,
                               const char *s, size_t n)
{
    const struct lf_tok_decode *step = &d->tok->decodes[stage];
    struct lf_decoder_stage *st = &d->stages[stage];
    lf_buf_reset(&st->out);
    for (size_t i = 0, len; i < n; i += len) {
        lf_utf8_get(s + i, &len);
        bool is = is_char(step, s + i, len);
        if (is && st->seen < step->start) {
            st->seen++;
        } else if (is && st->trailing < step->stop) {
            st->trailing++;
            st->seen = step->start;
        } else {
            st->seen = step->start;
            for (; !is && st->trailing > 0; st->trailing--)
                lf_buf_append(&st->out, step->text.s, step->text.n);
            lf_buf_append(&st->out, s + i, len);
        }
    }
    return pass_made(d, stage, out);
}

static enum lf_err strip_token(struct lf_decoder *d, size_t stage, struct lf_buf *out,
                               const char *s, size_t n)
{
    d->stages[stage].seen = d->stages[stage].trailing = 0;
    return strip_chunk(d, stage, out, s, n);
}

/* --- the others --- */

static enum lf_err replace_token(struct lf_decoder *d, size_t stage, struct lf_buf *out,
                                 const char *s, size_t n)
{
    const struct lf_tok_decode *step = &d->tok->decodes[stage];
    struct lf_buf *made = &d->stages[stage].out;
    pcre2_match_data *match = NULL;
    lf_buf_reset(made);
    enum lf_err rc =
        lf_tok_replace(made, &step->pattern, step->text, (struct lf_str){s, n}, &match, NULL);
    pcre2_match_data_free(match);
    return rc ?: pass_made(d, stage, out);
}

/* Marks are spaces; in the first token they go, where encoding had prepended one. */
static enum lf_err metaspace_token(struct lf_decoder *d, size_t stage, struct lf_buf *out,
                                   const char *s, size_t n)
{
    const struct lf_tok_decode *step = &d->tok->decodes[stage];
    struct lf_decoder_stage *st = &d->stages[stage];
    bool drop = step->prepends && (step->fused || st->seen == 0);
    lf_buf_reset(&st->out);
    for (size_t i = 0, len; i < n; i += len) {
        lf_utf8_get(s + i, &len);
        if (!is_char(step, s + i, len))
            lf_buf_append(&st->out, s + i, len);
        else if (!drop)
            lf_buf_putc(&st->out, ' ');
    }
    st->seen++;
    return pass_made(d, stage, out);
}

static enum lf_err spaced_token(struct lf_decoder *d, size_t stage, struct lf_buf *out,
                                const char *s, size_t n)
{
    enum lf_err rc = d->stages[stage].seen++ ? pass(d, stage + 1, out, " ", 1) : LF_OK;
    return rc ?: pass(d, stage + 1, out, s, n);
}

/* A whole token, or a chunk for a stage that takes chunks. */
static enum lf_err token(struct lf_decoder *d, size_t stage, struct lf_buf *out, const char *s,
                         size_t n)
{
    const struct lf_tok_decode *step = &d->tok->decodes[stage];
    switch (step->kind) {
    case LF_TOK_DECODE_BYTES:
        bytes_add(&d->stages[stage].held, s, n);
        return d->stages[stage].held.rc == LF_OK ? bytes_settle(d, stage, out, false)
                                                 : d->stages[stage].held.rc;
    case LF_TOK_DECODE_REPLACE:
        return replace_token(d, stage, out, s, n);
    case LF_TOK_DECODE_BYTE_FALLBACK:
        return fallback_token(d, stage, out, s, n);
    case LF_TOK_DECODE_FUSE:
        return pass(d, stage + 1, out, s, n);
    case LF_TOK_DECODE_STRIP:
        return step->fused ? strip_chunk(d, stage, out, s, n) : strip_token(d, stage, out, s, n);
    case LF_TOK_DECODE_METASPACE:
        return metaspace_token(d, stage, out, s, n);
    case LF_TOK_DECODE_SPACES:
        return spaced_token(d, stage, out, s, n);
    }
    return LF_OK;
}

/* Whether this stage must see the whole of a token that comes in chunks. */
static bool gathers(const struct lf_tok_decode *step)
{
    return step->fused &&
           (step->kind == LF_TOK_DECODE_BYTES || step->kind == LF_TOK_DECODE_REPLACE ||
            step->kind == LF_TOK_DECODE_BYTE_FALLBACK);
}

static enum lf_err pass(struct lf_decoder *d, size_t stage, struct lf_buf *out, const char *s,
                        size_t n)
{
    if (stage == d->tok->n_decodes)
        return lf_buf_append(out, s, n);
    if (gathers(&d->tok->decodes[stage]))
        return lf_buf_append(&d->stages[stage].held, s, n);
    return token(d, stage, out, s, n);
}

/* Nothing more comes into this stage. */
static enum lf_err end(struct lf_decoder *d, size_t stage, struct lf_buf *out)
{
    if (stage == d->tok->n_decodes)
        return out->rc;
    const struct lf_tok_decode *step = &d->tok->decodes[stage];
    struct lf_buf *held = &d->stages[stage].held;
    enum lf_err rc = LF_OK;
    if (gathers(step)) {
        lf_buf_auto whole = *held;
        lf_buf_init(held, whole.max);
        rc = token(d, stage, out, lf_buf_str(&whole), whole.len);
    }
    if (rc == LF_OK && step->kind == LF_TOK_DECODE_BYTES)
        rc = bytes_settle(d, stage, out, true);
    if (rc == LF_OK && step->kind == LF_TOK_DECODE_BYTE_FALLBACK)
        rc = fallback_flush(d, stage, out);
    return rc ?: end(d, stage + 1, out);
}

/* --- a token by itself --- */

/* What a stage makes of bytes in the midst of a text, into made. */
static enum lf_err alone(const struct lf_tok_decode *step, struct lf_buf *made, struct lf_str in)
{
    pcre2_match_data *match = NULL;
    int byte;
    enum lf_err rc;
    switch (step->kind) {
    case LF_TOK_DECODE_BYTES:
        bytes_add(made, in.s, in.n);
        return made->rc;
    case LF_TOK_DECODE_REPLACE:
        rc = lf_tok_replace(made, &step->pattern, step->text, in, &match, NULL);
        pcre2_match_data_free(match);
        return rc;
    case LF_TOK_DECODE_BYTE_FALLBACK:
        byte = fallback_byte(in.s, in.n);
        return byte >= 0 ? lf_buf_putc(made, (char)byte) : lf_buf_append(made, in.s, in.n);
    case LF_TOK_DECODE_SPACES:
        lf_buf_putc(made, ' ');
        return lf_buf_append(made, in.s, in.n);
    case LF_TOK_DECODE_METASPACE:
        for (size_t i = 0, len; i < in.n; i += len) {
            lf_utf8_get(in.s + i, &len);
            if (is_char(step, in.s + i, len))
                lf_buf_putc(made, ' ');
            else
                lf_buf_append(made, in.s + i, len);
        }
        return made->rc;
    case LF_TOK_DECODE_FUSE:
    case LF_TOK_DECODE_STRIP: /* of a whole text: its ends alone */
        break;
    }
    return lf_buf_append(made, in.s, in.n);
}

enum lf_err lf_tokenizer_bytes(const struct lf_tokenizer *t, struct lf_buf *out, int32_t id)
{
    const struct lf_tok_added *a = lf_tok_added_of(t, id);
    lf_buf_auto one = {0}, other = {0};
    struct lf_buf *now = &one, *next = &other;
    if ((a && a->hidden) ||
        (!a && (id < 0 || (size_t)id >= t->bpe.n_ids || !t->bpe.spelling[id].s)))
        return LF_OK;
    struct lf_str s = a ? a->matched : t->bpe.spelling[id];
    enum lf_err rc = lf_buf_append(now, s.s, s.n);
    for (size_t i = 0; i < t->n_decodes && rc == LF_OK; i++) {
        struct lf_buf *was = now;
        lf_buf_reset(next);
        rc = alone(&t->decodes[i], next, (struct lf_str){lf_buf_str(now), now->len});
        now = next;
        next = was;
    }
    return rc ?: lf_buf_append(out, lf_buf_str(now), now->len);
}

bool lf_tokenizer_drops_space(const struct lf_tokenizer *t)
{
    bool drops = false;
    for (size_t i = 0; i < t->n_decodes; i++) {
        const struct lf_tok_decode *s = &t->decodes[i];
        drops = drops || s->kind == LF_TOK_DECODE_SPACES ||
                (s->kind == LF_TOK_DECODE_METASPACE && s->prepends) ||
                (s->kind == LF_TOK_DECODE_STRIP && s->fused && s->start > 0 && s->text.n == 1 &&
                 s->text.s[0] == ' ');
    }
    return drops;
}

/* --- the public face --- */

void lf_decoder_init(struct lf_decoder *d, const struct lf_tokenizer *t, bool skip_special)
{
    *d = (struct lf_decoder){.tok = t, .skip_special = skip_special};
}

void lf_decoder_free(struct lf_decoder *d)
{
    for (size_t i = 0; i < LF_DECODER_STAGES_MAX; i++) {
        lf_buf_free(&d->stages[i].held);
        lf_buf_free(&d->stages[i].out);
    }
}

enum lf_err lf_decoder_push(struct lf_decoder *d, struct lf_buf *out, int32_t id)
{
    const struct lf_tokenizer *t = d->tok;
    const struct lf_tok_added *a = lf_tok_added_of(t, id);
    if (a)
        return d->skip_special && a->hidden ? LF_OK : pass(d, 0, out, a->matched.s, a->matched.n);
    if (id < 0 || (size_t)id >= t->bpe.n_ids || !t->bpe.spelling[id].s)
        return LF_OK;
    return pass(d, 0, out, t->bpe.spelling[id].s, t->bpe.spelling[id].n);
}

enum lf_err lf_decoder_finish(struct lf_decoder *d, struct lf_buf *out)
{
    enum lf_err rc = end(d, 0, out);
    lf_decoder_free(d);
    for (size_t i = 0; i < LF_DECODER_STAGES_MAX; i++)
        d->stages[i].seen = d->stages[i].trailing = 0;
    return rc;
}

enum lf_err lf_tokenizer_decode(const struct lf_tokenizer *t, struct lf_buf *out,
                                const int32_t *ids, size_t n, bool skip_special)
{
    struct lf_decoder d;
    lf_decoder_init(&d, t, skip_special);
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < n && rc == LF_OK; i++)
        rc = lf_decoder_push(&d, out, ids[i]);
    rc = rc ?: lf_decoder_finish(&d, out);
    lf_decoder_free(&d);
    return rc;
}
