/* The tokenizer room's inside: what a loaded tokenizer is made of.
 *
 * Encoding is a line of stations, each in its own file:
 *   text -> added tokens (added.c) -> normalizers (normalize.c) -> added tokens again ->
 *   pre-tokenizers (split.c) -> words -> BPE (bpe.c) -> ids -> post-processor (encode.c).
 * Decoding is a line of decoders (decode.c). A loader (json.c, sentencepiece.c, tiktoken.c,
 * merges.c) fills these structures and calls lf_tok_ready; after that nothing in them changes but
 * the word cache, which is lock-free.
 */
#ifndef LF_TEXT_TOKENIZER_PARTS_H
#define LF_TEXT_TOKENIZER_PARTS_H

#include "core/arena.h"
#include "core/limits.h"
#include "core/str.h"
#include "text/tokenizer.h"

#include <jansson.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdatomic.h>

/* A run [start, end) of the text in flight. `first`: it begins where the whole text begins. */
struct lf_tok_span {
    uint32_t start, end;
    bool first;
};

struct lf_tok_scratch;

struct lf_tok_spans {
    struct lf_tok_span *v;
    size_t n, cap;
};

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

/* --- normalize.c --- */

enum lf_tok_norm_kind {
    LF_TOK_NORM_PREPEND,
    LF_TOK_NORM_REPLACE,
    LF_TOK_NORM_UNICODE, /* NFC, NFD, NFKC or NFKD */
    LF_TOK_NORM_LOWERCASE,
    LF_TOK_NORM_STRIP,
};

struct lf_tok_norm {
    enum lf_tok_norm_kind kind;
    struct lf_tok_pattern pattern; /* REPLACE */
    struct lf_str text;            /* PREPEND: what; REPLACE: by what */
    bool compose, compat;          /* UNICODE */
    bool left, right;              /* STRIP */
};

/* Runs all normalizers over *text; the result is the caller's bytes or the scratch's. *first goes
 * false where leading text was stripped. */
enum lf_err lf_tok_normalize(const struct lf_tokenizer *t, struct lf_tok_scratch *x,
                             struct lf_str *text, bool *first, struct lf_diag *diag) LF_MUST_CHECK;

/* Appends the text with every match replaced. */
enum lf_err lf_tok_replace(struct lf_buf *out, const struct lf_tok_pattern *pattern,
                           struct lf_str by, struct lf_str text, pcre2_match_data **match,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* White_Space, as Rust and Oniguruma have it; and how many bytes of it begin or end a text. */
bool lf_tok_is_space(uint32_t c);
size_t lf_tok_spaces_at_start(struct lf_str s);
size_t lf_tok_spaces_at_end(struct lf_str s);

/* --- split.c --- */

enum lf_tok_split_kind {
    LF_TOK_SPLIT_PATTERN,
    LF_TOK_SPLIT_PREFIX_SPACE, /* " " before every piece that does not begin with one */
    LF_TOK_SPLIT_METASPACE,    /* " " becomes the mark, and the mark is prepended */
    LF_TOK_SPLIT_BYTES,        /* every byte becomes its printable character (GPT-2's table) */
};

enum lf_tok_behavior {
    LF_TOK_REMOVED,
    LF_TOK_ISOLATED,
    LF_TOK_MERGED_WITH_PREVIOUS,
    LF_TOK_MERGED_WITH_NEXT,
    LF_TOK_CONTIGUOUS,
};

enum lf_tok_prepend { LF_TOK_PREPEND_ALWAYS, LF_TOK_PREPEND_FIRST, LF_TOK_PREPEND_NEVER };

struct lf_tok_split {
    enum lf_tok_split_kind kind;
    struct lf_tok_pattern pattern;
    enum lf_tok_behavior behavior;
    bool invert;
    struct lf_str mark; /* METASPACE */
    enum lf_tok_prepend prepend;
};

/* Runs all pre-tokenizers over *text: the words are x->spans[0] of what *text then is. */
enum lf_err lf_tok_split(const struct lf_tokenizer *t, struct lf_tok_scratch *x,
                         struct lf_str *text, bool first, struct lf_diag *diag) LF_MUST_CHECK;

/* --- bpe.c --- */

/* Exact string -> its index in an array of strings; open addressing. */
struct lf_tok_table {
    uint32_t *slots; /* index + 1; 0 is empty */
    size_t mask;
};

struct lf_tok_merge {
    uint64_t pair; /* LF_TOK_PAIR; UINT64_MAX is empty */
    uint32_t rank;
    int32_t id; /* what the two become */
};

#define LF_TOK_PAIR(left, right) ((uint64_t)(uint32_t)(left) << 32 | (uint32_t)(right))

struct lf_tok_words {
    struct lf_tok_bucket *buckets;
    size_t mask;
};

struct lf_tok_bpe {
    struct lf_str *spelling; /* by id; s NULL where the model has no such id */
    struct lf_str *word;     /* by_bytes: the bytes a spelling stands for; s NULL: none */
    size_t n_ids, cap_ids;   /* ids of the model are below n_ids */
    size_t n_tokens;
    struct lf_tok_table by_spelling, by_word;
    struct lf_tok_merge *merges;
    size_t merges_mask;
    bool by_bytes; /* ByteLevel comes last: words are raw bytes, its map undone at load */
    bool byte_fallback, fuse_unk, ignore_merges;
    bool merges_into_mark; /* some merge crosses from another character into U+2581... */
    bool cut_at_mark;      /* ...and where none does, words may be cut there */
    struct lf_str unk;     /* s NULL: none */
    int32_t unk_id;
    int32_t byte_id[256];      /* the symbol of a byte's character, or -1 */
    int32_t fallback_id[256];  /* "<0x41>", or -1 */
    int32_t ascii_id[128];     /* the symbol of an ASCII character, or -1 */
    struct lf_tok_words words; /* seen before */
};

uint64_t lf_tok_hash(const char *s, size_t n);
/* Room for n keys; then keys by their index; the index of a key, or -1. */
enum lf_err lf_tok_table_init(struct lf_tok_table *t, size_t n, struct lf_diag *diag) LF_MUST_CHECK;
void lf_tok_table_put(struct lf_tok_table *t, const struct lf_str *keys, uint32_t i);
int32_t lf_tok_table_find(const struct lf_tok_table *t, const struct lf_str *keys,
                          struct lf_str key);

/* The order of building: all tokens, the index, the merges, flags, ready. */
enum lf_err lf_tok_bpe_add(struct lf_tok_bpe *b, struct lf_str spelling, uint32_t id,
                           struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_tok_bpe_index(struct lf_tok_bpe *b, struct lf_diag *diag) LF_MUST_CHECK;
/* Lower ranks go first. Of a pair that comes twice the later one counts. */
enum lf_err lf_tok_bpe_merges(struct lf_tok_bpe *b, const struct lf_tok_merge *merges, size_t n,
                              struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_tok_bpe_ready(struct lf_tok_bpe *b, struct lf_arena *arena,
                             struct lf_diag *diag) LF_MUST_CHECK;
void lf_tok_bpe_free(struct lf_tok_bpe *b);
/* The id of an exact spelling in the model, or -1. */
int32_t lf_tok_bpe_find(const struct lf_tok_bpe *b, struct lf_str spelling);
int32_t lf_tok_bpe_find_char(const struct lf_tok_bpe *b, uint32_t c);

/* Appends the ids of one pre-tokenized word. */
enum lf_err lf_tok_bpe_encode(const struct lf_tok_bpe *b, struct lf_tok_scratch *x,
                              struct lf_ids *out, const char *word, size_t n) LF_MUST_CHECK;

/* --- words.c --- */

enum lf_err lf_tok_words_init(struct lf_tok_words *w, size_t n_tokens,
                              struct lf_diag *diag) LF_MUST_CHECK;
void lf_tok_words_free(struct lf_tok_words *w);
/* hash is lf_tok_hash of the word. The ids are borrowed until lf_tok_words_free. */
bool lf_tok_words_find(const struct lf_tok_words *words, uint64_t hash, struct lf_str word,
                       const int32_t **ids, size_t *n_ids);
/* Keeps the word where there is room. */
void lf_tok_words_put(const struct lf_tok_words *words, uint64_t hash, struct lf_str word,
                      const int32_t *ids, size_t n_ids);

/* --- added.c --- */

struct lf_tok_added {
    struct lf_str content;
    struct lf_str matched; /* content, or its normalised form: what decodes, too */
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
    bool hidden; /* skip_special leaves it out: what decodes is a special token's content */
};

/* The added tokens of one pass, sorted by what they match. */
struct lf_tok_matcher {
    const struct lf_tok_added **sorted;
    size_t n;
    bool starts[256]; /* bytes that begin one */
};

/* Room for n added tokens, once, when the model is indexed. */
enum lf_err lf_tok_added_init(struct lf_tokenizer *t, size_t n, struct lf_diag *diag) LF_MUST_CHECK;
/* Declares an added token (content borrowed). Its id is the one the vocabulary has for this
 * spelling, or the next free one: so the library, whatever id the file names. */
enum lf_err lf_tok_added_put(struct lf_tokenizer *t, const struct lf_tok_added *token,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* After the last one, when the normalizers are known. */
enum lf_err lf_tok_added_ready(struct lf_tokenizer *t, struct lf_diag *diag) LF_MUST_CHECK;
void lf_tok_added_free(struct lf_tokenizer *t);
/* The added token of an id, or NULL. */
const struct lf_tok_added *lf_tok_added_of(const struct lf_tokenizer *t, int32_t id);

/* One walk over a text: its added tokens and what lies between them, in order. */
struct lf_tok_walk {
    const struct lf_tokenizer *t;
    const struct lf_tok_matcher *matcher;
    struct lf_str text;
    pcre2_match_data **match;         /* the scratch's */
    size_t from;                      /* where the next match may start */
    size_t done;                      /* what is before was handed out */
    const struct lf_tok_added *token; /* found, waiting for the text before it to go first */
    size_t token_start, token_end;
};

/* The next stretch: an added token, or with *token NULL plain text. *found false: no more. */
enum lf_err lf_tok_walk_next(struct lf_tok_walk *w, bool *found, const struct lf_tok_added **token,
                             size_t *start, size_t *end, struct lf_diag *diag) LF_MUST_CHECK;

/* --- decode.c --- */

enum lf_tok_decode_kind {
    LF_TOK_DECODE_BYTES,
    LF_TOK_DECODE_REPLACE,
    LF_TOK_DECODE_BYTE_FALLBACK,
    LF_TOK_DECODE_FUSE,
    LF_TOK_DECODE_STRIP,
    LF_TOK_DECODE_METASPACE,
    LF_TOK_DECODE_SPACES, /* no decoder: tokens joined by a space */
};

struct lf_tok_decode {
    enum lf_tok_decode_kind kind;
    struct lf_tok_pattern pattern;
    struct lf_str text; /* REPLACE: by what; STRIP, METASPACE: the character */
    size_t start, stop; /* STRIP: how many at most */
    bool prepends;      /* METASPACE: the first token lost its mark */
    bool fused;         /* what comes in is one token without end, in chunks */
};

/* --- the whole --- */

/* A piece of the post-processor's template: an id, or this for the text. */
#define LF_TOK_TEMPLATE_TEXT (-1)
#define LF_TOK_STEPS_MAX 32

struct lf_tokenizer {
    struct lf_arena arena; /* every string */
    struct lf_tok_bpe bpe;
    struct lf_tok_added *added;
    struct lf_str *added_content; /* as in added: the keys of by_content */
    size_t n_added, cap_added;
    int32_t next_added_id;
    struct lf_tok_table by_content;
    int32_t *added_by_id; /* index into added, or -1; n_ids entries */
    size_t n_ids;         /* all ids are below */
    struct lf_tok_matcher raw, normalized;
    struct lf_tok_pattern word; /* one word character; compiled where a token is single_word */
    struct lf_tok_norm norms[LF_TOK_STEPS_MAX];
    size_t n_norms;
    struct lf_tok_split splits[LF_TOK_STEPS_MAX];
    size_t n_splits;
    struct lf_tok_decode decodes[LF_DECODER_STAGES_MAX];
    size_t n_decodes;
    struct lf_ids template;
    int32_t bos, eos;
};

/* What one call of encode needs; freed at its end. */
struct lf_tok_scratch {
    struct lf_buf norm[2], split[2]; /* each stage writes one while it reads the other */
    unsigned norm_at, split_at;      /* the one written last */
    struct lf_tok_spans spans[2];
    pcre2_match_data *match;
    struct lf_tok_symbol *symbols;
    size_t cap_symbols;
    uint64_t *heap;
    size_t n_heap, cap_heap;
};

/* --- encode.c --- */

void lf_tok_scratch_init(struct lf_tok_scratch *x);
void lf_tok_scratch_free(struct lf_tok_scratch *x);

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
enum lf_err lf_tok_get_text(struct lf_tokenizer *t, struct lf_str *out, const json_t *obj,
                            const char *key, struct lf_diag *diag) LF_MUST_CHECK;
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

/* The merge of two tokens that stand behind each other in `both`, the first `left` bytes long. */
enum lf_err lf_tok_merge_of(const struct lf_tok_bpe *b, struct lf_str both, size_t left,
                            uint32_t rank, struct lf_tok_merge *out,
                            struct lf_diag *diag) LF_MUST_CHECK;

/* --- tokenizer.c --- */

enum lf_err lf_tok_new(struct lf_tokenizer **out, struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_tok_strdup(struct lf_tokenizer *t, struct lf_str *out, const char *s, size_t n,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* The template: the text, with bos before it and eos behind where asked for and known. */
enum lf_err lf_tok_template(struct lf_tokenizer *t, bool bos, bool eos,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* What every loader calls last. */
enum lf_err lf_tok_ready(struct lf_tokenizer *t, struct lf_diag *diag) LF_MUST_CHECK;

#endif
