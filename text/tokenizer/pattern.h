/* The ground floor of the tokenizers: characters, and patterns that are searched for in a text.
 * Knows nothing of tokens. */
#ifndef LF_TEXT_TOKENIZER_PATTERN_H
#define LF_TEXT_TOKENIZER_PATTERN_H

#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* --- ascii.c: what most tokenizers cut words by --- */

#define LF_TOK_GPT2_REGEX \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LF_TOK_LLAMA3_REGEX(digits)                                      \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

enum lf_tok_known {
    LF_TOK_UNKNOWN,
    LF_TOK_KNOWN_GPT2,
    LF_TOK_KNOWN_LLAMA3, /* up to three digits a word */
    LF_TOK_KNOWN_QWEN2,  /* one */
};

enum lf_tok_known lf_tok_known_regex(const char *regex, size_t n);
/* The end of the match at byte i (these regexes match everywhere), or i: ask the engine. */
size_t lf_tok_known_match(enum lf_tok_known known, struct lf_str s, size_t i);

/* --- regex.c: Oniguruma's dialect on PCRE2 --- */

struct lf_tok_pattern {
    struct lf_str literal; /* n > 0: an exact string, and re is NULL */
    pcre2_code *re;
    bool jit;
    enum lf_tok_known known;
};

enum lf_err lf_tok_pattern_regex(struct lf_tok_pattern *out, const char *regex, size_t n,
                                 struct lf_diag *diag) LF_MUST_CHECK;
/* The literal is borrowed. An empty one matches everywhere, as an empty regex does. */
enum lf_err lf_tok_pattern_literal(struct lf_tok_pattern *out, struct lf_str literal,
                                   struct lf_diag *diag) LF_MUST_CHECK;
void lf_tok_pattern_free(struct lf_tok_pattern *p);

/* What Rust's regex crate takes for \w, as the inside of a set: letters, marks, decimal digits,
 * connectors, letter numbers, circled letters, joiners. */
#define LF_TOK_WORD_SET                                                         \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}" \
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}\\x{200c}\\x{200d}"

/* One walk over the matches of a pattern in a text. */
struct lf_tok_search {
    const struct lf_tok_pattern *pattern;
    struct lf_str text;
    size_t from;              /* where the next search starts */
    size_t last_end;          /* the end of the last match, or SIZE_MAX */
    pcre2_match_data **match; /* made at the first use; the owner frees it */
};

/* *found false: no more. An empty match right after a match is passed over. */
enum lf_err lf_tok_search_next(struct lf_tok_search *s, bool *found, size_t *start, size_t *end,
                               struct lf_diag *diag) LF_MUST_CHECK;

/* --- unicode_new.c: what the versions of Unicode differ in --- */

/* The code points that Unicode 15, 15.1 and 16 added, which PCRE2's tables (Unicode 14) lack. */
struct lf_tok_new_range {
    uint32_t lo, hi;
    char category[3];
};
extern const struct lf_tok_new_range lf_tok_new_ranges[];
extern const size_t lf_tok_n_new_ranges;
/* Whether utf8proc normalises this one, but the library (Unicode 9) leaves it alone. */
bool lf_tok_is_unnormalized(uint32_t c);
/* The lower case of a letter that is newer than utf8proc; else c. */
uint32_t lf_tok_new_lower(uint32_t c);

/* --- bytes.c: GPT-2's byte alphabet --- */

uint32_t lf_tok_byte_to_char(unsigned char byte);
/* -1: not of the alphabet. */
int lf_tok_char_to_byte(uint32_t c);

#endif
