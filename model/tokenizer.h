/* Text to token ids and back, as the Hugging Face tokenizers library does it from tokenizer.json.
 *
 * Knows: BPE (byte-level, or SentencePiece-style with byte fallback), added and special tokens,
 * normalizers, pre-tokenizers, post-processors, decoders. A part that is not known is refused by
 * its name when the file is loaded, never skipped. A loaded tokenizer is immutable: any number of
 * threads may use it at once. Knows nothing of models or devices.
 */
#ifndef LF_MODEL_TOKENIZER_H
#define LF_MODEL_TOKENIZER_H

#include "core/buf.h"
#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

struct lf_tokenizer;

/* A growable run of ids. Zero-initialised is empty; free ids with lf_ids_free. */
struct lf_ids {
    int32_t *ids;
    size_t n, cap;
};
void lf_ids_free(struct lf_ids *ids);
enum lf_err lf_ids_push(struct lf_ids *ids, int32_t id) LF_MUST_CHECK;

/* Opens DIR/tokenizer.json, or DIR/tokenizer.model (SentencePiece) where there is no
 * tokenizer.json. DIR/tokenizer_config.json, where it exists, names bos and eos and says whether
 * they are added. Yours, free with lf_tokenizer_free. */
enum lf_err lf_tokenizer_open(struct lf_tokenizer **out, const char *dir, struct lf_diag *diag)
    LF_MUST_CHECK;
/* From the bytes of a tokenizer.json (the fuzz target's door). */
enum lf_err lf_tokenizer_parse(struct lf_tokenizer **out, const char *json, size_t n,
                               struct lf_diag *diag) LF_MUST_CHECK;
void lf_tokenizer_free(struct lf_tokenizer *t);

/* Appends the ids of n bytes of text. Bytes that are not UTF-8 count as U+FFFD each. With
 * `special`, the post-processor adds what it adds (bos ...). Special tokens written in the text
 * are recognised, as the library does. */
enum lf_err lf_tokenizer_encode(const struct lf_tokenizer *t, struct lf_ids *out, const char *text,
                                size_t n, bool special, struct lf_diag *diag) LF_MUST_CHECK;
/* Appends the text of the ids. skip_special leaves special tokens out. Unknown ids are skipped,
 * as the library does. */
enum lf_err lf_tokenizer_decode(const struct lf_tokenizer *t, struct lf_buf *out,
                                const int32_t *ids, size_t n, bool skip_special) LF_MUST_CHECK;

/* Entries including added tokens: ids are below this. */
int32_t lf_tokenizer_size(const struct lf_tokenizer *t);
/* -1 where there is none. */
int32_t lf_tokenizer_bos(const struct lf_tokenizer *t);
int32_t lf_tokenizer_eos(const struct lf_tokenizer *t);
/* The id of a token's exact spelling in the vocabulary, or -1. */
int32_t lf_tokenizer_find(const struct lf_tokenizer *t, const char *token);
/* The token's spelling in the vocabulary ("Ġthe", "▁the", "<s>"), or NULL. Borrowed. */
const char *lf_tokenizer_token(const struct lf_tokenizer *t, int32_t id);
bool lf_tokenizer_is_special(const struct lf_tokenizer *t, int32_t id);

/* Streaming decode: ids one at a time, text as soon as it is whole characters. The bytes handed
 * out, joined, equal lf_tokenizer_decode(all ids, skip_special). One thread at a time. */
struct lf_decoder {
    const struct lf_tokenizer *tok;
    bool skip_special;
    struct lf_ids window;  /* ids whose text is not settled yet, with the context before them */
    size_t n_context;      /* of these, the ones whose text was handed out already */
    size_t context_bytes;  /* the length of that text */
};
void lf_decoder_init(struct lf_decoder *d, const struct lf_tokenizer *t, bool skip_special);
void lf_decoder_free(struct lf_decoder *d);
/* Appends the new text to out: possibly nothing, never part of a character. */
enum lf_err lf_decoder_push(struct lf_decoder *d, struct lf_buf *out, int32_t id) LF_MUST_CHECK;
/* The end: whatever is left, incomplete characters as U+FFFD. */
enum lf_err lf_decoder_finish(struct lf_decoder *d, struct lf_buf *out) LF_MUST_CHECK;

#endif
