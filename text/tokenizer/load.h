/* The files that tokenizers come in: components.c and json.c read a tokenizer.json, sentencepiece.c
 * and tiktoken.c a tokenizer.model, merges.c a vocab.json with merges.txt; open.c chooses. */
#ifndef LF_TEXT_TOKENIZER_LOAD_H
#define LF_TEXT_TOKENIZER_LOAD_H

#include "text/tokenizer/parts.h"

#include "core/json.h"

/* --- tokenizer.c --- */

enum lf_err lf_tok_new(struct lf_tokenizer **out, struct lf_diag *diag) LF_MUST_CHECK;
/* The template: the text, with bos before it and eos behind where asked for and known. */
enum lf_err lf_tok_template(struct lf_tokenizer *t, bool bos, bool eos,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* What every loader calls last. */
enum lf_err lf_tok_ready(struct lf_tokenizer *t, struct lf_diag *diag) LF_MUST_CHECK;

/* --- components.c --- */

/* Adds what a component of a tokenizer.json says; null is none. */
typedef enum lf_err (*lf_tok_read_fn)(struct lf_tokenizer *t, const json_t *obj,
                                      struct lf_diag *diag);
enum lf_err lf_tok_read_normalizer(struct lf_tokenizer *t, const json_t *obj,
                                   struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_tok_read_pre_tokenizer(struct lf_tokenizer *t, const json_t *obj,
                                      struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_tok_read_post_processor(struct lf_tokenizer *t, const json_t *obj,
                                       struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_tok_read_decoder(struct lf_tokenizer *t, const json_t *obj,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* A member that must be a string, copied. */
void lf_tok_get_text(struct lf_tokenizer *t, struct lf_str *out, struct lf_json_in *in,
                     const char *key);
/* GPT-2's and Llama 3's way of cutting words. */
enum lf_err lf_tok_split_gpt2(struct lf_tokenizer *t, struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_tok_split_llama3(struct lf_tokenizer *t, struct lf_diag *diag) LF_MUST_CHECK;
/* The byte alphabet, there and back. */
enum lf_err lf_tok_byte_level(struct lf_tokenizer *t, struct lf_diag *diag) LF_MUST_CHECK;
/* As `read` of a component that is written as text. */
enum lf_err lf_tok_read_text(struct lf_tokenizer *t, const char *json, lf_tok_read_fn read,
                             struct lf_diag *diag) LF_MUST_CHECK;

/* --- the other forms: sentencepiece.c, tiktoken.c, merges.c --- */

enum lf_err lf_tok_parse_sentencepiece(struct lf_tokenizer **out, const char *bytes, size_t n,
                                       struct lf_diag *diag) LF_MUST_CHECK;
/* Whether the first line is a token in base64 and its rank. */
bool lf_tok_is_tiktoken(const char *bytes, size_t n);
enum lf_err lf_tok_parse_tiktoken(struct lf_tokenizer **out, const char *bytes, size_t n,
                                  struct lf_diag *diag) LF_MUST_CHECK;
/* added may be empty. */
enum lf_err lf_tok_parse_merges(struct lf_tokenizer **out, struct lf_str vocab,
                                struct lf_str merges, struct lf_str added,
                                struct lf_diag *diag) LF_MUST_CHECK;

/* --- json.c --- */

/* {"token": id, ...}: adds all and indexes them. */
enum lf_err lf_tok_read_vocab(struct lf_tokenizer *t, struct lf_str range,
                              struct lf_diag *diag) LF_MUST_CHECK;

/* Appends the merge of two tokens that stand behind each other in `both`, the first `left` bytes
 * long, to a list of such for lf_tok_bpe_merges, which says where there is no memory. */
enum lf_err lf_tok_merge_add(struct lf_buf *list, const struct lf_tok_bpe *b,
                             const struct lf_buf *both, size_t left,
                             struct lf_diag *diag) LF_MUST_CHECK;

#endif
