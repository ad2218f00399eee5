/* A template's tree, and how its source becomes one:
 *
 *   source -> tokens (lexer.c) -> tree (parser.c: tags; expressions.c)
 *
 * The tree belongs to the template's arena and never changes. As in a run, the first failure
 * sticks in the parser: it then stands at the last token, so that every loop ends, and what it
 * gives is thrown away.
 */
#ifndef LF_TEXT_CHAT_TREE_H
#define LF_TEXT_CHAT_TREE_H

#include "text/chat/value.h"

enum lf_jkind {
    /* statements */
    LF_JN_TEXT,         /* name */
    LF_JN_PRINT,        /* a */
    LF_JN_IF,           /* a: test, body, orelse */
    LF_JN_FOR,          /* a: target, b: iterable, c: test or NULL, body, orelse */
    LF_JN_SET,          /* a: target, b: value */
    LF_JN_SET_BLOCK,    /* a: target, b: filters on NULL or NULL, body */
    LF_JN_MACRO,        /* name, v: names, defaults of the last of them, body */
    LF_JN_CALL_BLOCK,   /* a: call, b: a MACRO node, the caller */
    LF_JN_FILTER_BLOCK, /* a: filters on NULL, body */
    LF_JN_SCOPE,        /* v: targets, defaults: values, body ({% with %}, {% generation %}) */
    LF_JN_BREAK,
    LF_JN_CONTINUE,
    /* expressions */
    LF_JN_CONST,   /* value */
    LF_JN_NAME,    /* name */
    LF_JN_NSREF,   /* name, value: the attribute; only as a target */
    LF_JN_TUPLE,   /* v */
    LF_JN_LIST,    /* v */
    LF_JN_DICT,    /* v: key, value, key, value... */
    LF_JN_GETATTR, /* a, name */
    LF_JN_GETITEM, /* a, b */
    LF_JN_SLICE,   /* v: three, NULL where left out; only as b of GETITEM */
    LF_JN_CALL,    /* a, args */
    LF_JN_FILTER,  /* a or NULL, name, def, args */
    LF_JN_TEST,    /* a, name, def, args */
    LF_JN_NOT,     /* a */
    LF_JN_MINUS,   /* a */
    LF_JN_AND,     /* a, b */
    LF_JN_OR,      /* a, b */
    LF_JN_BINARY,  /* op, a, b */
    LF_JN_CONCAT,  /* v */
    LF_JN_COMPARE, /* a, v: the others, each as the a of a COMPARE with its op */
    LF_JN_COND,    /* b if a else c; c may be NULL */
};

struct lf_jnodes {
    struct lf_jnode **v;
    size_t n;
};

/* Of a call: by position, then by name (`keys` are CONST strings). */
struct lf_jargs {
    struct lf_jnodes v, keys, values;
};

struct lf_jnode {
    enum lf_jkind kind;
    enum lf_jop op; /* BINARY; the operator before an operand of COMPARE */
    unsigned line;
    struct lf_jnode *a, *b, *c;
    struct lf_jnodes v, defaults, body, orelse;
    struct lf_str name;
    struct lf_jv value;
    struct lf_jargs *args;
    const struct lf_jdef *def; /* FILTER, TEST: NULL: jinja2 has no such name either */
    bool has_caller;           /* MACRO: its body asks for one */
};

/* --- lexer.c --- */

enum lf_jtoken_type {
    LF_JT_END,
    LF_JT_TEXT,
    LF_JT_BLOCK_BEGIN,
    LF_JT_BLOCK_END,
    LF_JT_VARIABLE_BEGIN,
    LF_JT_VARIABLE_END,
    LF_JT_NAME,
    LF_JT_STRING,
    LF_JT_NUMBER,
    LF_JT_OPERATOR, /* text */
};

struct lf_jtoken {
    enum lf_jtoken_type type;
    unsigned line;
    struct lf_str text;
    struct lf_jv number;
};

/* All tokens of a source, to be freed; their text is the arena's. */
enum lf_err lf_j_lex(struct lf_arena *arena, struct lf_str source, struct lf_jtoken **out,
                     struct lf_diag *diag) LF_MUST_CHECK;

/* --- parser.c --- */

struct lf_jparser {
    struct lf_arena *arena;
    const struct lf_jnames *names;
    struct lf_diag *diag;
    enum lf_err rc; /* the first failure */
    const struct lf_jtoken *at, *end;
    struct lf_jnode nowhere; /* what is given after a failure */
    size_t n_nodes;
    unsigned depth;
    bool conditional; /* under an if: an unknown filter is an error only when it is reached */
    const struct lf_jnode *unknown; /* elsewhere: the first such filter or test */
    unsigned loops;                 /* loops around, within this function body */
};

enum lf_err lf_j_parse(struct lf_arena *arena, struct lf_str source, const struct lf_jnames *names,
                       struct lf_jnodes *out, struct lf_diag *diag) LF_MUST_CHECK;

/* "line N: ..." */
void lf_jp_fail(struct lf_jparser *p, const char *fmt, ...) LF_PRINTF(2, 3);
void *lf_jp_alloc(struct lf_jparser *p, size_t n);
struct lf_jnode *lf_jp_node(struct lf_jparser *p, enum lf_jkind kind);
/* Goes past the token, unless there was a failure. */
void lf_jp_next(struct lf_jparser *p);
void lf_jp_push(struct lf_jparser *p, struct lf_jnodes *nodes, struct lf_jnode *node);
bool lf_jp_is_name(const struct lf_jtoken *t, const char *name);
bool lf_jp_is_op(const struct lf_jtoken *t, const char *op);
/* Passes over the token if it is this one; `expect` fails where it is another. */
bool lf_jp_skip_name(struct lf_jparser *p, const char *name);
bool lf_jp_skip_op(struct lf_jparser *p, const char *op);
void lf_jp_expect_op(struct lf_jparser *p, const char *op);
void lf_jp_expect(struct lf_jparser *p, enum lf_jtoken_type type, const char *what);
struct lf_str lf_jp_expect_name(struct lf_jparser *p);
/* Before each item of a list that ends with `close`: true after the comma, if one is due; false
 * with `close` passed over, at the end. */
bool lf_jp_next_item(struct lf_jparser *p, const char *close, bool first);

/* --- expressions.c --- */

struct lf_jnode *lf_jp_expression(struct lf_jparser *p);
/* A tuple without parentheses, or one expression. `conditional`: a trailing if belongs to it. */
struct lf_jnode *lf_jp_tuple(struct lf_jparser *p, bool conditional);
/* What may stand left of = or of `in`. */
struct lf_jnode *lf_jp_target(struct lf_jparser *p, bool namespaces);
/* "| name(args) | ..." after `node`, which may be NULL; `bare`: the first comes without its |. */
struct lf_jnode *lf_jp_filters(struct lf_jparser *p, struct lf_jnode *node, bool bare);

#endif
