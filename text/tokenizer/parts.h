/* What a loaded tokenizer is made of.
 *
 * Encoding is a line of stations, each in its own file:
 *   text -> added tokens (added.c) -> normalizers (normalize.c) -> added tokens again ->
 *   pre-tokenizers (split.c) -> words -> BPE (bpe.c) -> ids -> post-processor (encode.c).
 * Decoding is a line of decoders (decode.c). A loader (load.h) fills these structures and calls
 * lf_tok_ready; after that nothing in them changes but the word cache, which is lock-free.
 */
#ifndef LF_TEXT_TOKENIZER_PARTS_H
#define LF_TEXT_TOKENIZER_PARTS_H

#include "text/limits.h"
#include "text/tokenizer/bpe.h"

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

struct lf_tokenizer {
    struct lf_arena arena;    /* every string */
    struct lf_budget *budget; /* or NULL */
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

#endif
