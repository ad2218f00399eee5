/* The text of a completion: token ids in, settled text out, up to a stop string. Text is settled
 * when no later token can change it: a character whose bytes are not all there, and what may turn
 * out to be the beginning of a stop string, wait. Time is linear in the tokens. One thread. */
#ifndef LF_TEXT_WRITER_H
#define LF_TEXT_WRITER_H

#include "text/stop.h"
#include "text/tokenizer.h"

enum lf_ending { LF_ENDING_NONE, LF_ENDING_EOS, LF_ENDING_STOP, LF_ENDING_LENGTH };

struct lf_writer {
    struct lf_decoder decoder; /* its tok NULL: tokens have no text */
    struct lf_stop stop;
    struct lf_buf fresh; /* of the last token, before stop strings */
    bool leading;        /* white space at the start, where stop strings do not count */
    /* The caller's to read */
    struct lf_buf text;    /* settled since the caller reset it */
    int n_tokens;          /* taken */
    enum lf_ending ending; /* not NONE: no more text */
};

/* t (NULL: none; tokens have no text then) and the n stop strings, at most LF_STOPS_MAX and none
 * empty, are borrowed. Special tokens have no text. Free with lf_writer_free. */
void lf_writer_init(struct lf_writer *w, const struct lf_tokenizer *t, const char *const *stops,
                    int n);
/* Before the first token: stop strings count from the first character that is not white space, for
 * answers to be scored, which may open with a line's end. */
void lf_writer_skip_leading(struct lf_writer *w);
void lf_writer_free(struct lf_writer *w);
/* One token more, or text that is no token's. Where it completes a stop string, ending is
 * LF_ENDING_STOP and the text before the string is all there is. Nothing after the end. */
enum lf_err lf_writer_token(struct lf_writer *w, int32_t id) LF_MUST_CHECK;
enum lf_err lf_writer_text(struct lf_writer *w, const char *text, size_t n) LF_MUST_CHECK;
/* No more tokens, and why (an end-of-text token is not given): what waited is settled. A stop
 * string that this completes is the ending all the same. */
enum lf_err lf_writer_end(struct lf_writer *w, enum lf_ending why) LF_MUST_CHECK;

#endif
