/* The inside of grammars. Private to text/guide/.
 *
 *   gbnf.c     GBNF into rules of expressions
 *   lay.c      an expression as places, of a program's or a language's kind
 *   program.c  rules into one program: nodes that take a byte, branch, call a rule, return
 *   machine.c  the states that a program can be in after some bytes, as they are met
 *   trie.c     a tokenizer's tokens by their bytes
 *   mask.c     the tokens that a state allows; guides
 *   regex.c    regular expressions into GBNF
 *   language.c sets of texts, of which others are taken
 *   schema.c   JSON schemas into GBNF (schema.h)
 */
#ifndef LF_TEXT_GUIDE_INSIDE_H
#define LF_TEXT_GUIDE_INSIDE_H

#include "core/arena.h"
#include "core/str.h"
#include "text/guide.h"
#include "text/limits.h"
#include "text/tokenizer/bpe.h"

#include <stdatomic.h>

/* ---- Expressions ----------------------------------------------------------------------------- */

#define LF_NONE (-1)

enum lf_expr_kind {
    LF_EXPR_EMPTY,
    LF_EXPR_CLASS, /* one code point of the ranges */
    LF_EXPR_ALL,   /* children one after the other */
    LF_EXPR_ANY,   /* one of the children */
    LF_EXPR_TIMES, /* the child from lo to hi times; hi LF_NONE: without end */
    LF_EXPR_RULE
};
struct lf_expr {
    enum lf_expr_kind kind;
    int32_t child;  /* the LAST one, or LF_NONE; of RULE: which */
    int32_t before; /* the sibling in front of this one, or LF_NONE */
    int32_t lo, hi; /* of CLASS: its ranges, from lo to hi - 1 */
};
struct lf_points {
    uint32_t lo, hi; /* code points, both in it */
};
/* Puts n ranges in order, none touching another; negated: all code points but theirs, for which
 * there is room for one more. Returns how many they are. */
size_t lf_ranges_settle(struct lf_points *r, size_t n, bool negated);
struct lf_rule {
    int32_t expr;    /* LF_NONE: it is only referred to so far */
    int32_t start;   /* its first node; LF_NONE: no text fits it */
    bool productive; /* some text fits it */
    bool empty;      /* nothing does, too */
};
struct lf_rules {
    struct lf_expr *expr;
    struct lf_points *range;
    struct lf_rule *rule;
    struct lf_str *name; /* (n_rules) in the text */
    size_t n_expr, n_range, n_rules, cap_expr, cap_range;
    struct lf_tok_table by_name;
    size_t rules_max;
};
/* The names are borrowed from the text. Free with lf_rules_free, also after a failure. */
enum lf_err lf_rules_parse(struct lf_rules *r, const char *text, size_t n,
                           struct lf_diag *diag) LF_MUST_CHECK;
void lf_rules_free(struct lf_rules *r);

/* What an expression is laid out with: who keeps the places, and what they are. Each call answers a
 * place, or LF_NONE: nothing leads there, or it failed. */
struct lf_laying {
    const struct lf_rules *r;
    void *arg;
    const enum lf_err *rc; /* the first failure: nothing more is laid out */
    int32_t (*points)(void *arg, struct lf_points p, int32_t next); /* one of them, then next */
    int32_t (*call)(void *arg, int32_t rule, int32_t next);
    int32_t (*either)(void *arg, int32_t a, int32_t b); /* each may be LF_NONE */
    int32_t (*loop)(void *arg, int32_t next);           /* next, or where loop_to says */
    void (*loop_to)(void *arg, int32_t loop, int32_t to);
};
/* The place that leads through the expression to `next`; LF_NONE: nothing does. */
int32_t lf_expr_lay(const struct lf_laying *y, int32_t at, int32_t next);

/* ---- Programs -------------------------------------------------------------------------------- */

enum lf_node_kind {
    LF_NODE_BYTE,   /* lo to hi, then next */
    LF_NODE_BRANCH, /* next and other */
    LF_NODE_CALL,   /* rule `other`, then next */
    LF_NODE_RETURN
};
struct lf_gnode {
    uint8_t kind, lo, hi;
    int32_t next, other;
};
#define LF_NODE_RETURN_AT 0 /* every program's only one */

struct lf_program {
    struct lf_gnode *node;
    size_t n, cap;
    int32_t *start; /* (n_rules) */
    int32_t root;   /* rule */
};
enum lf_err lf_program_make(struct lf_program *p, struct lf_rules *r,
                            struct lf_diag *diag) LF_MUST_CHECK;
void lf_program_free(struct lf_program *p);

/* ---- States ---------------------------------------------------------------------------------- */

/* Where returns lead: a list from the innermost call on. 0: none. */
struct lf_return {
    int32_t to, outer, depth;
};
/* A place in the program (a BYTE), and where it returns to. */
struct lf_gplace {
    int32_t at, outer;
};
struct lf_gstate {
    struct lf_gplace *place; /* (n) sorted by outer, then at */
    int32_t n;
    bool whole; /* the text is one of the grammar's */
    size_t hash;
    int32_t *next;  /* (256) states; -1: not known yet; NULL: none is */
    uint32_t *mask; /* NULL: not made yet */
    int32_t *exit;  /* (n_exit) with the mask of a local state (mask.c): nodes of the trie */
    int32_t n_exit;
    uint64_t loops; /* classes of bytes (lf_byte_class) that lead back to it; 0: not known yet */
};
#define LF_LOOPS_KNOWN (1ull << 63)             /* no class's bit */
#define LF_GUIDE_SEEN (2 * LF_GUIDE_PLACES_MAX) /* a power of two */
#define LF_DEAD 0                               /* the state from which nothing comes */

/* All states so far, and what belongs to them. When it has grown too big, lf_machine_forget. */
struct lf_machine {
    const struct lf_program *program;
    struct lf_gstate *state;
    size_t n, cap;
    uint32_t *by_place; /* open addressing: state + 1 */
    size_t by_place_mask;
    struct lf_return *ret;
    size_t n_ret, cap_ret;
    uint32_t *by_ret;
    size_t by_ret_mask;
    struct lf_gplace *work; /* (LF_GUIDE_PLACES_MAX) places of the state that is being made */
    size_t n_work;
    struct {
        uint64_t stamp;
        struct lf_gplace place;
    } * seen; /* (LF_GUIDE_SEEN) those that were in the work, of this stamp */
    uint64_t stamp;
    bool work_whole;
    size_t bytes;   /* that all of it takes, about */
    uint64_t epoch; /* states of an earlier one are not these */
    enum lf_err rc; /* memory ran out: states are dead from then on, until forgotten */
};
enum lf_err lf_machine_open(struct lf_machine *m, const struct lf_program *p) LF_MUST_CHECK;
void lf_machine_close(struct lf_machine *m);
void lf_machine_forget(struct lf_machine *m);
int32_t lf_machine_start(struct lf_machine *m);
int32_t lf_machine_step_new(struct lf_machine *m, int32_t state, uint8_t byte);
static inline int32_t lf_machine_step(struct lf_machine *m, int32_t state, uint8_t byte)
{
    const struct lf_gstate *s = &m->state[state];
    int32_t to = s->next ? s->next[byte] : -1;
    return to >= 0 ? to : lf_machine_step_new(m, state, byte);
}
/* Where a state's places all lie in the same places of rules, however they are reached: the state
 * of those alone, without returns, and the state behind their returns. False: they do not. */
bool lf_machine_split(struct lf_machine *m, int32_t state, int32_t *local, int32_t *behind);

/* ---- Tokens ---------------------------------------------------------------------------------- */

/* Classes of bytes, below 63: what forms tell apart has its own, letters have one. */
static inline int lf_byte_class(uint8_t byte)
{
    uint8_t lower = byte | 0x20;
    if (lower >= 'a' && lower <= 'z')
        return 0;
    if (byte < ' ' || byte >= 0x7f)
        return byte < ' ' ? 1 : 2;
    return byte < 'A' ? 3 + byte - ' ' : byte < 'a' ? 36 + byte - '[' : 42 + byte - '{';
}

/* Nodes in the order of their paths: a node's subtree follows it. */
struct lf_token_trie {
    int n_ids;
    size_t n, words;
    uint8_t *byte;
    uint16_t *depth;      /* 1: of the first byte */
    int32_t *skip;        /* the first node behind the subtree */
    int32_t *token_off;   /* (n + 1) */
    int32_t *token;       /* ids whose bytes end at a node */
    uint64_t *below;      /* classes of the bytes of a node and its subtree */
    struct lf_str *bytes; /* (n_ids) */
    int depth_max;
    int32_t space; /* the node of " " where an answer's first space is no part of its text, or
                      LF_NONE */
    int32_t *ends;
    int n_ends;
    struct lf_arena arena;
};

/* ---- Forms into GBNF ------------------------------------------------------------------------- */

/* Appends a "literal". */
void lf_gbnf_literal(struct lf_buf *out, const char *s, size_t n);

/* What nothing fits. */
#define LF_GBNF_NOTHING "[]"
/* Appends an expression for one code point of n ranges, in order and apart; in_json: as it stands
 * inside a JSON string. */
void lf_gbnf_set(struct lf_buf *out, const struct lf_points *r, size_t n, bool in_json);

/* How long what matches is, in code points; most is -1 where that has no end. */
struct lf_regex_size {
    int64_t least, most;
};
enum lf_regex_how {
    LF_REGEX_WHOLE, /* all of the text matches */
    LF_REGEX_FOUND, /* some of it does */
    LF_REGEX_JSON   /* the same, and the text is the inside of a JSON string */
};
/* Appends an expression for the texts of the regex. */
enum lf_err lf_regex_write(struct lf_buf *out, const char *regex, size_t n, enum lf_regex_how how,
                           struct lf_regex_size *size, struct lf_diag *diag) LF_MUST_CHECK;

/* ---- Languages ------------------------------------------------------------------------------- */

/* A set of texts: an automaton over their code points. Each of these makes a new one, yours
 * (lf_language_free), or NULL: it would be too large, or there is no memory. Those of two use both
 * up, which may be NULL. */
struct lf_language;
/* An expression of GBNF without rules. */
struct lf_language *lf_language_of(const char *expression, struct lf_diag *diag);
/* Whole numbers of up to so many digits. */
struct lf_language *lf_language_multiples(int of, int digits, struct lf_diag *diag);
/* Those of a length from least to most (-1: any) in code points; most is less where the automaton
 * would become too large. */
struct lf_language *lf_language_sized(struct lf_language *l, int64_t least, int64_t most,
                                      struct lf_diag *diag);
struct lf_language *lf_language_copy(const struct lf_language *l, struct lf_diag *diag);
struct lf_language *lf_language_both(struct lf_language *a, struct lf_language *b,
                                     struct lf_diag *diag);
/* What a has and b has not. */
struct lf_language *lf_language_without(struct lf_language *a, struct lf_language *b,
                                        struct lf_diag *diag);
void lf_language_free(struct lf_language *l);
bool lf_language_has(const struct lf_language *l, const char *text, size_t n);
bool lf_language_empty(const struct lf_language *l);
size_t lf_language_states(const struct lf_language *l); /* of NULL 0 */
/* Appends its rules, and to the text the name of the one that begins (LF_GBNF_NOTHING where it is
 * empty); in_json: its texts as the inside of JSON strings. */
enum lf_err lf_language_write(const struct lf_language *l, bool in_json, struct lf_buf *rules,
                              struct lf_buf *text) LF_MUST_CHECK;

#endif
