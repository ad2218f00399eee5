/* The tokens of an answer with their log-probabilities, as OpenAI's completions and chats write
 * them. The connection's thread. */
#ifndef LF_DAEMON_API_LOGPROBS_H
#define LF_DAEMON_API_LOGPROBS_H

#include "daemon/api/completion.h"

/* Tokens kept to be written. Zero-initialised is empty. */
struct lf_token_record {
    struct lf_generated *v; /* (n) */
    size_t *offset;         /* (n) where each one's text begins in the answer's, in characters */
    size_t n, cap_v, cap_offset;
};
void lf_token_record_free(struct lf_token_record *r);
/* The completion's last token, which begins `offset` characters into the text. */
enum lf_err lf_token_record_add(struct lf_token_record *r, const struct lf_completion *c,
                                size_t offset) LF_MUST_CHECK;
/* The prompt (ids, c->n_prompt of them) with its scores; once the completion has a token or has
 * ended, of a request with score_prompt. Its text goes to `text`. */
enum lf_err lf_token_record_prompt(struct lf_token_record *r, struct lf_buf *text,
                                   const struct lf_completion *c, const int32_t *ids) LF_MUST_CHECK;
/* Characters of n bytes of UTF-8. */
size_t lf_text_chars(const char *text, size_t n);

/* "logprobs" of a completion: tokens, token_logprobs, top_logprobs, text_offset. What has no score
 * (a prompt's first token) is null; a token is in its own top_logprobs always. */
void lf_put_completion_logprobs(struct lf_buf *b, const struct lf_completion *c,
                                const struct lf_token_record *r);
/* "logprobs" of a chat: a list of tokens, each with its alternatives. */
void lf_put_chat_logprobs(struct lf_buf *b, const struct lf_completion *c,
                          const struct lf_token_record *r);

#endif
