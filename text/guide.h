/* Answers in a form. A grammar says which texts are answers; at each token of a completion a guide
 * says which tokens may come next, so that whatever is drawn is the beginning of one of them.
 *
 * Grammars are written in GBNF, llama.cpp's form: rules `name ::= ...` of "literals", [classes],
 * (groups), | alternatives and * + ? {m,n}, of which `root` is the answer; # begins a comment.
 * Other forms (a list of choices, a regular expression, a JSON schema) are turned into it here.
 *
 *     trie: the tokenizer's tokens by their bytes, made once
 *     grammar: an automaton over bytes whose states are made as they are met, with the tokens that
 *         each of them allows; shared by the guides of all who ask for the same
 *     guide: how far one completion is
 *
 * What is kept of a grammar's states has a ceiling; beyond it they are made anew. Guides of one
 * grammar belong to one thread at a time, that of the steps; all else here is any thread's.
 */
#ifndef LF_TEXT_GUIDE_H
#define LF_TEXT_GUIDE_H

#include "core/buf.h"
#include "core/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lf_tokenizer;

/* ---- Forms into grammars --------------------------------------------------------------------- */

/* Each appends a whole grammar (of a schema, also rules of which one is `root`). What is not done
 * is LF_E_UNSUPPORTED and named. */

/* One of the strings of a list that is not empty, none of them "". */
enum lf_err lf_grammar_of_choices(struct lf_buf *out, const json_t *list,
                                  struct lf_diag *diag) LF_MUST_CHECK;
/* All of the text matches: alternation, groups, classes, \d \w \s and their negations (of ASCII; \S
 * of all that is no space), ., quantifiers; ^ and $ at the ends. Refused: looking around,
 * references back, word boundaries, flags. */
enum lf_err lf_grammar_of_regex(struct lf_buf *out, const char *regex, size_t n,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* JSON that the schema (an object, or true) accepts. Every answer does, but not all that it accepts
 * are answers: members come in the order of "properties", others only where "additionalProperties"
 * or "patternProperties" ask for them, or none has a name; one space, or a new line and up to 20
 * spaces, at the places where white space may be; numbers have up to 20 digits on either side of
 * the point, and an exponent only where no bound but 0 is near; strings with a pattern, a format or
 * in "not" are written without escapes that need not be.
 *
 * Done: type, enum, const, properties, required, additionalProperties, patternProperties,
 * propertyNames, minProperties, maxProperties, items, prefixItems, contains with its numbers,
 * uniqueItems of up to 8 constants, numbers of items, length and pattern of strings, formats of
 * dates, times, durations, uuid, ipv4, ipv6, hostname, email, uri and uri-reference, bounds,
 * multipleOf of whole numbers, anyOf, allOf, oneOf where it is known how one part is none of the
 * others, not where it is known what is left, if, dependencies in all their names, $ref within the
 * schema, also to itself. Refused by name: all else of a "oneOf", a "not" and "uniqueItems", a
 * "multipleOf" of fractions, whatever "unevaluatedProperties" and "unevaluatedItems" say but true
 * and false, and those beside conditions, and what parts of an allOf, or behind a $ref, say of
 * items and members that other parts know of.
 * Annotations and unknown members are left aside, as validators do. */
enum lf_err lf_grammar_of_schema(struct lf_buf *out, const json_t *schema, const char *root,
                                 struct lf_diag *diag) LF_MUST_CHECK;

/* ---- Tokens ---------------------------------------------------------------------------------- */

struct lf_token_trie;

/* Of ids below n_ids; those of special tokens are never allowed but `ends` (n_ends), which end an
 * answer that is whole. Yours, lf_token_trie_free. */
enum lf_err lf_token_trie_new(struct lf_token_trie **out, const struct lf_tokenizer *t, int n_ids,
                              const int32_t *ends, int n_ends, struct lf_diag *diag) LF_MUST_CHECK;
void lf_token_trie_free(struct lf_token_trie *t);

/* ---- Grammars and guides --------------------------------------------------------------------- */

struct lf_grammar;

/* From n bytes of GBNF. LF_E_INVALID: what is wrong, with its line; also left recursion, and a root
 * that no text fits. trie: borrowed, or NULL where bytes alone are asked about. Counted: it has one
 * holder now. */
enum lf_err lf_grammar_new(struct lf_grammar **out, const char *gbnf, size_t n,
                           const struct lf_token_trie *trie, struct lf_diag *diag) LF_MUST_CHECK;
struct lf_grammar *lf_grammar_hold(struct lf_grammar *g);
void lf_grammar_release(struct lf_grammar *g);

struct lf_guide;

/* Holds the grammar. Yours, lf_guide_free. */
enum lf_err lf_guide_new(struct lf_guide **out, struct lf_grammar *g,
                         struct lf_diag *diag) LF_MUST_CHECK;
void lf_guide_free(struct lf_guide *u);
/* Words of a mask: a bit for each id, the lowest first. */
size_t lf_guide_words(int n_ids);
/* Which ids may come next: at least one. An end may when the answer is whole; where nothing else
 * can be done, too. */
enum lf_err lf_guide_mask(struct lf_guide *u, uint32_t *mask) LF_MUST_CHECK;
/* The token that came. LF_E_INVALID: it was not allowed; the guide stays where it was. An end
 * changes nothing. */
enum lf_err lf_guide_accept(struct lf_guide *u, int32_t id) LF_MUST_CHECK;
/* The same for bytes. */
enum lf_err lf_guide_bytes(struct lf_guide *u, const char *s, size_t n) LF_MUST_CHECK;
/* Where it is, and back there from whatever was accepted since. */
struct lf_guide_place {
    size_t n;
    uint64_t epoch;
    int32_t state;
    bool begun;
};
struct lf_guide_place lf_guide_place(const struct lf_guide *u);
void lf_guide_return(struct lf_guide *u, const struct lf_guide_place *to);
/* What came so far is an answer, and nothing may follow. */
bool lf_guide_ended(struct lf_guide *u);
/* What came so far is an answer. */
bool lf_guide_whole(struct lf_guide *u);

#endif
