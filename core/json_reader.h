/* A pull reader for JSON, beside the tree that lf_json_parse makes: for large flat members that are
 * read in place (a vocabulary of 128,000 tokens), and for files with a member that no tree can
 * hold (tokenizer_config.json writes a length of 10^30). A value that is not pulled apart is a
 * byte range for lf_json_parse. No recursion; nothing is read past n. One thread at a time. */
#ifndef LF_CORE_JSON_READER_H
#define LF_CORE_JSON_READER_H

#include "core/buf.h"
#include "core/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct lf_json_reader {
    const char *s;
    size_t n, i;
    struct lf_buf text; /* the last string, when it had escapes */
    struct lf_diag *diag;
};

void lf_json_reader_init(struct lf_json_reader *r, const char *s, size_t n, struct lf_diag *diag);
void lf_json_reader_free(struct lf_json_reader *r);
/* LF_E_INVALID with line and column. */
enum lf_err lf_json_reader_fail(struct lf_json_reader *r, const char *what);
/* The next byte that is not white space, or '\0' at the end; not consumed. */
char lf_json_reader_peek(struct lf_json_reader *r);
enum lf_err lf_json_reader_expect(struct lf_json_reader *r, char c) LF_MUST_CHECK;
/* Between the items of a list or object: after its opening bracket (count 0) or an item. *more
 * false: the closing bracket was there, and is consumed. */
enum lf_err lf_json_reader_more(struct lf_json_reader *r, char close, size_t count,
                                bool *more) LF_MUST_CHECK;
/* A string, valid until the next one. */
enum lf_err lf_json_reader_string(struct lf_json_reader *r, struct lf_str *out) LF_MUST_CHECK;
/* A string and the colon after it. */
enum lf_err lf_json_reader_key(struct lf_json_reader *r, struct lf_str *out) LF_MUST_CHECK;
/* A non-negative integer below 2^31. */
enum lf_err lf_json_reader_uint(struct lf_json_reader *r, uint32_t *out) LF_MUST_CHECK;
/* Passes over a value of any kind: its bytes, not checked beyond brackets and quotes. */
enum lf_err lf_json_reader_skip(struct lf_json_reader *r, struct lf_str *out) LF_MUST_CHECK;
/* The bytes of one member of the object that s is; n 0 in *out where it has no such member. */
enum lf_err lf_json_reader_member(struct lf_str *out, const char *s, size_t n, const char *key,
                                  struct lf_diag *diag) LF_MUST_CHECK;
/* The same, parsed; NULL where text is empty, or has no such member, or null. */
enum lf_err lf_json_reader_value(json_t **out, struct lf_str text, const char *key,
                                 struct lf_diag *diag) LF_MUST_CHECK;
/* Nothing but white space is left. */
enum lf_err lf_json_reader_end(struct lf_json_reader *r) LF_MUST_CHECK;

#endif
