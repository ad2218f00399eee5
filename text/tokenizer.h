/* Text to token ids and back, as the Hugging Face tokenizers library does it from tokenizer.json.
 *
 * Knows: BPE (byte-level, or SentencePiece-style with byte fallback), added and special tokens,
 * normalizers, pre-tokenizers, post-processors, decoders. A part that is not known is refused by
 * its name when the file is loaded, never skipped. A loaded tokenizer is immutable: any number of
 * threads may use it at once. Knows nothing of models or devices.
 */
#ifndef LF_TEXT_TOKENIZER_H
#define LF_TEXT_TOKENIZER_H

#include "core/buf.h"
#include "core/err.h"
#include "text/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct lf_tokenizer;

/* A growable run of ids. Zero-initialised is empty; free ids with lf_ids_free. */
struct lf_ids {
    int32_t *ids;
    size_t n, cap;
};
void lf_ids_free(struct lf_ids *ids);
/* Local ids that are freed where their block ends: `lf_ids_auto ids = {0};` */
#define lf_ids_auto __attribute__((cleanup(lf_ids_free))) struct lf_ids
enum lf_err lf_ids_push(struct lf_ids *ids, int32_t id) LF_MUST_CHECK;
enum lf_err lf_ids_append(struct lf_ids *ids, const int32_t *more, size_t n) LF_MUST_CHECK;

/* Opens what the directory has, in this order: tokenizer.json; tokenizer.model (SentencePiece, or
 * tiktoken ranks with Llama 3's pattern and special tokens); vocab.json with merges.txt (GPT-2).
 * bos and eos are named by tokenizer_config.json or special_tokens_map.json, else bos is the id
 * that the post-processor puts first. A tokenizer.json's own post-processor says what is added;
 * for the other forms it is bos where the form has one, or what add_bos_token and add_eos_token of
 * tokenizer_config.json say. Truncation and padding in a tokenizer.json are not applied.
 * Yours, free with lf_tokenizer_free. */
enum lf_err lf_tokenizer_open(struct lf_tokenizer **out, const char *dir,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* From the bytes of a tokenizer.json; from those of a tokenizer.model. */
enum lf_err lf_tokenizer_parse(struct lf_tokenizer **out, const char *json, size_t n,
                               struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_tokenizer_parse_model(struct lf_tokenizer **out, const char *model, size_t n,
                                     struct lf_diag *diag) LF_MUST_CHECK;
void lf_tokenizer_free(struct lf_tokenizer *t);
/* What lf_tokenizer_encode needs beside the ids of a long text comes out of it from now on;
 * borrowed. Before other threads have the tokenizer. */
struct lf_budget;
void lf_tokenizer_budget(struct lf_tokenizer *t, struct lf_budget *b);

/* Appends the ids of n bytes of text (at most LF_TEXT_BYTES_MAX). Bytes that are not UTF-8 count
 * as U+FFFD each. With `special`, the post-processor adds what it adds (bos ...). Special tokens
 * written in the text are recognised, as the library does. LF_E_OVERLOADED, LF_E_TOO_BIG: the
 * budget has no room for it. */
enum lf_err lf_tokenizer_encode(const struct lf_tokenizer *t, struct lf_ids *out, const char *text,
                                size_t n, bool special, struct lf_diag *diag) LF_MUST_CHECK;
/* Appends the text of the ids. skip_special leaves special tokens out. Unknown ids are skipped,
 * as the library does. */
enum lf_err lf_tokenizer_decode(const struct lf_tokenizer *t, struct lf_buf *out,
                                const int32_t *ids, size_t n, bool skip_special) LF_MUST_CHECK;

/* -1 where there is none. */
int32_t lf_tokenizer_bos(const struct lf_tokenizer *t);
int32_t lf_tokenizer_eos(const struct lf_tokenizer *t);
/* The id of a token's exact spelling, or -1. */
int32_t lf_tokenizer_find(const struct lf_tokenizer *t, const char *token);
/* The token's spelling ("Ä the", "âthe", "<s>"), NUL-terminated, or NULL. Borrowed. */
const char *lf_tokenizer_token(const struct lf_tokenizer *t, int32_t id);
bool lf_tokenizer_is_special(const struct lf_tokenizer *t, int32_t id);
/* Appends the bytes that a token is in the midst of a text, maybe part of a character; none of a
 * special token or an unknown id. */
enum lf_err lf_tokenizer_bytes(const struct lf_tokenizer *t, struct lf_buf *out,
                               int32_t id) LF_MUST_CHECK;
/* A text's first token loses the space that it begins with. */
bool lf_tokenizer_drops_space(const struct lf_tokenizer *t);

/* Streaming decode: ids one at a time, text as soon as it is settled and never part of a
 * character. The bytes handed out, joined, equal lf_tokenizer_decode of all ids, which is this
 * very thing run to its end. One thread at a time; the tokenizer outlives it.
 *
 * A token is a string that passes a line of stages (a decoder each); a stage may hold text back:
 * an unfinished character, a run of fallback bytes (whose meaning the last byte decides). */
struct lf_decoder_stage {
    struct lf_buf held; /* came in, not settled yet */
    struct lf_buf out;  /* the token on its way to the next stage */
    size_t seen;        /* tokens that came in; for a strip, characters cut at the start */
    size_t trailing;    /* a strip: characters that may turn out to be the end */
};
struct lf_decoder {
    const struct lf_tokenizer *tok;
    bool skip_special;
    struct lf_decoder_stage stages[LF_DECODER_STAGES_MAX];
};
void lf_decoder_init(struct lf_decoder *d, const struct lf_tokenizer *t, bool skip_special);
void lf_decoder_free(struct lf_decoder *d);
/* Appends the new text to out: possibly nothing, never part of a character. */
enum lf_err lf_decoder_push(struct lf_decoder *d, struct lf_buf *out, int32_t id) LF_MUST_CHECK;
/* The end: whatever is left, incomplete characters as U+FFFD. */
enum lf_err lf_decoder_finish(struct lf_decoder *d, struct lf_buf *out) LF_MUST_CHECK;

#endif
