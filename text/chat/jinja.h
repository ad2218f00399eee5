/* The inside of the chat templates: a bounded interpreter of Jinja as jinja2's immutable sandbox
 * runs it.
 *
 *   source -> tokens (lexer.c) -> tree (parser.c, expressions.c) -> text (run.c, eval.c)
 *
 * The tree belongs to the template and never changes. A run has its own arena: every value made
 * while rendering dies with it. Values are Python's (value.c): they do not change once made, as in
 * the sandbox; namespaces, loops, cyclers and one-shot iterators are the ones with a state.
 *
 * What is refused by name, though jinja2 has it: extends, include, import, block, autoescape,
 * recursive loops, filters and methods that no chat template needs, integers over 64 bits.
 */
#ifndef LF_TEXT_CHAT_JINJA_H
#define LF_TEXT_CHAT_JINJA_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Ceilings of one template and of one run, generous against any real one. */
#define LF_J_SOURCE_MAX (1u << 20)
#define LF_J_NODES_MAX (1u << 18)
#define LF_J_NESTING_MAX 200    /* tags and parentheses in a template */
#define LF_J_STEPS_MAX 10000000 /* nodes visited, and work on long values: under a second */
#define LF_J_DEPTH_MAX 1500     /* nested evaluations: C stack, so macros cannot run away */
#define LF_J_MEMORY_MAX (128u << 20)
#define LF_J_VALUE_DEPTH_MAX 200 /* lists in lists */
#define LF_J_RANGE_MAX 100000    /* the sandbox's own */

/* --- values --- */

enum lf_jtype {
    LF_J_UNDEFINED,
    LF_J_NONE,
    LF_J_BOOL,
    LF_J_INT,
    LF_J_FLOAT,
    LF_J_STRING,
    LF_J_LIST,
    LF_J_TUPLE,
    LF_J_DICT,
    LF_J_VIEW, /* dict.keys(), .values(), .items() */
    LF_J_RANGE,
    LF_J_ITERATOR, /* a generator: goes once, has no length */
    LF_J_NAMESPACE,
    LF_J_LOOP,
    LF_J_MACRO,
    LF_J_FUNCTION, /* of the environment: range, namespace... */
    LF_J_METHOD,   /* of a value: "x".strip */
    LF_J_JOINER,
    LF_J_CYCLER,
};

struct lf_jlist;
struct lf_jdict;
struct lf_jview;
struct lf_jrange;
struct lf_jiterator;
struct lf_jscope;
struct lf_jloop;
struct lf_jmacro;
struct lf_jfunction;
struct lf_jmethod;
struct lf_jcycler;
struct lf_jrun;
struct lf_jnode;

struct lf_jv {
    enum lf_jtype type;
    /* STRING: markup, which escapes what is added to it. TUPLE: a group of groupby. */
    bool special;
    union {
        bool b;
        int64_t i;
        double d;
        struct lf_str s;             /* STRING: UTF-8. UNDEFINED: what to say when it is used */
        const struct lf_jlist *list; /* LIST, TUPLE */
        struct lf_jdict *dict;       /* DICT, NAMESPACE */
        const struct lf_jview *view;
        const struct lf_jrange *range;
        struct lf_jiterator *iterator;
        struct lf_jloop *loop;
        const struct lf_jmacro *macro;
        const struct lf_jfunction *function;
        const struct lf_jmethod *method;
        struct lf_jcycler *cycler; /* CYCLER, JOINER */
    };
};

struct lf_jlist {
    size_t n;
    unsigned depth; /* of lists and dicts in it */
    struct lf_jv v[];
};

struct lf_jpair {
    struct lf_jv key, value;
};

struct lf_jdict {
    struct lf_jpair *v;
    size_t n, cap;
    unsigned depth;
};

enum lf_jview_kind { LF_J_KEYS, LF_J_VALUES, LF_J_ITEMS };

struct lf_jview {
    enum lf_jview_kind kind;
    const struct lf_jdict *dict;
};

struct lf_jrange {
    int64_t start, stop, step;
    size_t n;
};

/* What is left of it is items[at..n); past them, if `why`, the error that the source met. */
struct lf_jiterator {
    const struct lf_jlist *items;
    size_t at;
    const char *why;
};

struct lf_jmethod {
    struct lf_jv self;
    const struct lf_jmethod_def *def;
};

struct lf_jcycler {
    const struct lf_jlist *items; /* JOINER: NULL */
    struct lf_jv separator;
    size_t at;
};

/* The arguments of a call, evaluated. */
struct lf_jkeyword {
    struct lf_str name;
    struct lf_jv value;
};

struct lf_jcall {
    const struct lf_jv *v;
    size_t n;
    const struct lf_jkeyword *kw;
    size_t n_kw;
};

struct lf_jfunction {
    const char *name;
    enum lf_err (*call)(struct lf_jrun *r, const struct lf_jcall *c, struct lf_jv *out);
};

struct lf_jmethod_def {
    const char *name;
    /* NULL: Python has it, we do not. */
    enum lf_err (*call)(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                        struct lf_jv *out);
};

/* --- value.c --- */

static inline struct lf_jv lf_jv_none(void)
{
    return (struct lf_jv){.type = LF_J_NONE};
}

static inline struct lf_jv lf_jv_bool(bool b)
{
    return (struct lf_jv){.type = LF_J_BOOL, .b = b};
}

static inline struct lf_jv lf_jv_int(int64_t i)
{
    return (struct lf_jv){.type = LF_J_INT, .i = i};
}

static inline struct lf_jv lf_jv_float(double d)
{
    return (struct lf_jv){.type = LF_J_FLOAT, .d = d};
}

static inline struct lf_jv lf_jv_str(const char *s, size_t n)
{
    return (struct lf_jv){.type = LF_J_STRING, .s = {s, n}};
}

/* Undefined that says `why` (static or the arena's) when something is done with it. */
static inline struct lf_jv lf_jv_undefined(const char *why)
{
    return (struct lf_jv){.type = LF_J_UNDEFINED, .s = {why, 0}};
}

static inline bool lf_jv_is_number(struct lf_jv v)
{
    return v.type == LF_J_BOOL || v.type == LF_J_INT || v.type == LF_J_FLOAT;
}

/* BOOL and INT. */
static inline bool lf_jv_is_int(struct lf_jv v)
{
    return v.type == LF_J_BOOL || v.type == LF_J_INT;
}

static inline int64_t lf_jv_to_int(struct lf_jv v)
{
    return v.type == LF_J_BOOL ? v.b : v.i;
}

static inline double lf_jv_to_double(struct lf_jv v)
{
    return v.type == LF_J_FLOAT ? v.d : (double)lf_jv_to_int(v);
}

/* Python's name of the type: 'str', 'NoneType'... */
const char *lf_jv_type_name(struct lf_jv v);
bool lf_jv_truth(struct lf_jv v);
/* Python's ==. Never fails; values that cannot be equal are not. */
bool lf_jv_equal(struct lf_jv a, struct lf_jv b);
/* Python's ordering: *out < 0, 0, > 0. Fails where Python has none. */
enum lf_err lf_jv_compare(struct lf_jrun *r, struct lf_jv a, struct lf_jv b,
                          int *out) LF_MUST_CHECK;
/* Whether a dict may have it as a key. */
bool lf_jv_hashable(struct lf_jv v);
/* Code points, items, keys; fails where Python's len() does. */
enum lf_err lf_jv_length(struct lf_jrun *r, struct lf_jv v, size_t *out) LF_MUST_CHECK;
/* str(v) and repr(v), appended. Fails for what has no repeatable text. */
enum lf_err lf_jv_print(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v) LF_MUST_CHECK;
enum lf_err lf_jv_repr(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v) LF_MUST_CHECK;
/* str(v) as a value; a string is itself. */
enum lf_err lf_jv_to_string(struct lf_jrun *r, struct lf_jv v, struct lf_jv *out) LF_MUST_CHECK;
/* Takes the bytes of b (which is freed) as a string. */
enum lf_err lf_jv_take(struct lf_jrun *r, struct lf_buf *b, struct lf_jv *out) LF_MUST_CHECK;
enum lf_err lf_jv_copy(struct lf_jrun *r, const char *s, size_t n, struct lf_jv *out) LF_MUST_CHECK;
/* json.dumps(v, ensure_ascii=..., indent=..., separators=..., sort_keys=...) */
struct lf_jdumps {
    bool ensure_ascii, sort_keys, has_indent;
    struct lf_str indent, item_separator, key_separator;
};
enum lf_err lf_jv_dumps(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v,
                        const struct lf_jdumps *how) LF_MUST_CHECK;
/* repr(d) */
void lf_j_print_float(struct lf_buf *out, double d);

/* --- containers.c --- */

/* n items to be filled in by the caller; then lf_jlist_done, which refuses too deep a nesting. */
enum lf_err lf_jlist_new(struct lf_jrun *r, size_t n, struct lf_jlist **out) LF_MUST_CHECK;
enum lf_err lf_jlist_done(struct lf_jrun *r, struct lf_jlist *list, enum lf_jtype type,
                          struct lf_jv *out) LF_MUST_CHECK;
enum lf_err lf_jtuple2(struct lf_jrun *r, struct lf_jv a, struct lf_jv b,
                       struct lf_jv *out) LF_MUST_CHECK;
enum lf_err lf_jdict_new(struct lf_jrun *r, size_t cap, struct lf_jdict **out) LF_MUST_CHECK;
/* Sets or replaces; the key is hashable. */
enum lf_err lf_jdict_put(struct lf_jrun *r, struct lf_jdict *d, struct lf_jv key,
                         struct lf_jv value) LF_MUST_CHECK;
/* NULL: no such key. */
const struct lf_jv *lf_jdict_find(const struct lf_jdict *d, struct lf_jv key);
const struct lf_jv *lf_jdict_find_str(const struct lf_jdict *d, struct lf_str key);
struct lf_jv lf_jrange_at(const struct lf_jrange *range, size_t i);
/* An iterator over a list; `why` NULL or what its source failed with after these. */
enum lf_err lf_jiterator_new(struct lf_jrun *r, const struct lf_jlist *items, const char *why,
                             struct lf_jv *out) LF_MUST_CHECK;
/* Python's list(v): a new list, or v's own items. An iterator is used up. */
enum lf_err lf_jv_items(struct lf_jrun *r, struct lf_jv v,
                        const struct lf_jlist **out) LF_MUST_CHECK;
bool lf_jv_iterable(struct lf_jv v);
/* `needle in v` */
enum lf_err lf_jv_contains(struct lf_jrun *r, struct lf_jv v, struct lf_jv needle,
                           bool *out) LF_MUST_CHECK;
/* v[key], v.name as the sandbox does it: undefined where there is none. */
enum lf_err lf_jv_getitem(struct lf_jrun *r, struct lf_jv v, struct lf_jv key,
                          struct lf_jv *out) LF_MUST_CHECK;
enum lf_err lf_jv_getattr(struct lf_jrun *r, struct lf_jv v, struct lf_str name,
                          struct lf_jv *out) LF_MUST_CHECK;
/* v[start:stop:step]; NONE where one is left out. Fails where v cannot be sliced. */
enum lf_err lf_jv_slice(struct lf_jrun *r, struct lf_jv v, const struct lf_jv bounds[3],
                        struct lf_jv *out) LF_MUST_CHECK;
/* A value of jansson's; its strings are borrowed. */
enum lf_err lf_jv_from_json(struct lf_jrun *r, const json_t *j, struct lf_jv *out) LF_MUST_CHECK;

/* --- text.c: strings by code points, as Python has them --- */

size_t lf_j_length(struct lf_str s);
/* Where the first `chars` code points end. */
size_t lf_j_offset(struct lf_str s, size_t chars);
bool lf_j_is_space(uint32_t c);
/* Both ends (or one) without white space, or without the characters in `chars`. */
struct lf_str lf_j_strip(struct lf_str s, const struct lf_str *chars, bool left, bool right);
enum lf_jcase { LF_J_LOWER, LF_J_UPPER, LF_J_TITLE, LF_J_CAPITALIZE };
void lf_j_change_case(struct lf_buf *out, struct lf_str s, enum lf_jcase how);
/* str.islower, str.isupper */
bool lf_j_is_case(struct lf_str s, enum lf_jcase which);
bool lf_j_is_printable(uint32_t c);
/* case_table.c: letters that become several, 0-terminated. */
struct lf_jspecial_case {
    uint16_t c, upper[3], title[3];
};
extern const struct lf_jspecial_case lf_j_special_cases[];
extern const size_t lf_j_n_special_cases;
/* The end of the line that starts at `from`, and the start of the next (str.splitlines). */
size_t lf_j_line_end(struct lf_str s, size_t from, size_t *next);
/* &, <, >, ' and " as markupsafe escapes them. */
void lf_j_escape(struct lf_buf *out, struct lf_str s);
/* str.replace; most < 0: all */
enum lf_err lf_j_replace(struct lf_jrun *r, struct lf_str s, struct lf_str old, struct lf_str new,
                         int64_t most, struct lf_jv *out) LF_MUST_CHECK;
/* "%s and %d" % values */
enum lf_err lf_j_percent(struct lf_jrun *r, struct lf_str format, struct lf_jv values,
                         struct lf_jv *out) LF_MUST_CHECK;

/* --- the tree --- */

enum lf_jkind {
    /* statements */
    LF_JN_TEXT,         /* name */
    LF_JN_PRINT,        /* v: expressions */
    LF_JN_IF,           /* a: test, body, orelse */
    LF_JN_FOR,          /* a: target, b: iterable, c: test or NULL, body, orelse */
    LF_JN_SET,          /* a: target, b: value */
    LF_JN_SET_BLOCK,    /* a: target, b: filters on NULL or NULL, body */
    LF_JN_MACRO,        /* name, v: names, defaults of the last of them, body */
    LF_JN_CALL_BLOCK,   /* a: call, b: a MACRO node, the caller */
    LF_JN_FILTER_BLOCK, /* a: filters on NULL, body */
    LF_JN_WITH,         /* v: targets, defaults: values, body */
    LF_JN_SCOPE,        /* body ({% generation %}) */
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
    LF_JN_FILTER,  /* a or NULL, name, filter, args */
    LF_JN_TEST,    /* a, name, test, args */
    LF_JN_NOT,     /* a */
    LF_JN_UNARY,   /* op, a */
    LF_JN_AND,     /* a, b */
    LF_JN_OR,      /* a, b */
    LF_JN_BINARY,  /* op, a, b */
    LF_JN_CONCAT,  /* v */
    LF_JN_COMPARE, /* a, v: the others, ops */
    LF_JN_COND,    /* a if b else c; c may be NULL */
};

enum lf_jop {
    LF_JO_ADD,
    LF_JO_SUB,
    LF_JO_MUL,
    LF_JO_DIV,
    LF_JO_FLOORDIV,
    LF_JO_MOD,
    LF_JO_POW,
    LF_JO_EQ,
    LF_JO_NE,
    LF_JO_LT,
    LF_JO_LE,
    LF_JO_GT,
    LF_JO_GE,
    LF_JO_IN,
    LF_JO_NOT_IN,
};

struct lf_jbody {
    struct lf_jnode **v;
    size_t n;
};

struct lf_jargs {
    struct lf_jnode **v;
    size_t n;
    struct lf_str *names; /* of the keyword arguments */
    struct lf_jnode **values;
    size_t n_named;
    struct lf_jnode *star, *star_star; /* *args and **kwargs, or NULL */
};

struct lf_jnode {
    enum lf_jkind kind;
    enum lf_jop op;
    unsigned line;
    struct lf_jnode *a, *b, *c;
    struct lf_jnode **v;
    size_t n;
    struct lf_str name;
    struct lf_jv value;
    struct lf_jargs *args;
    struct lf_jnode **defaults;
    size_t n_defaults;
    enum lf_jop *ops;
    struct lf_jbody body, orelse;
    const struct lf_jfilter_def *filter; /* NULL: jinja2 has no such filter either */
    const struct lf_jtest_def *test;
    bool catches_kwargs, catches_varargs, has_caller; /* MACRO: names that its body uses */
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
    LF_JT_INT,
    LF_JT_FLOAT,
    LF_JT_OPERATOR, /* text */
};

struct lf_jtoken {
    enum lf_jtoken_type type;
    unsigned line;
    struct lf_str text;
    int64_t i;
    double d;
};

/* All tokens of a source; text is the arena's. */
enum lf_err lf_j_lex(struct lf_arena *arena, struct lf_str source, struct lf_jtoken **out,
                     struct lf_diag *diag) LF_MUST_CHECK;

/* --- parser.c, expressions.c --- */

struct lf_jparser {
    struct lf_arena *arena;
    struct lf_diag *diag;
    const struct lf_jtoken *at;
    size_t n_nodes;
    unsigned depth;
    bool conditional; /* under an if: an unknown filter is an error only when it is reached */
    const struct lf_jnode *unknown; /* elsewhere: the first such filter or test */
    unsigned loops;                 /* loops around, within this function body */
};

enum lf_err lf_j_parse(struct lf_arena *arena, struct lf_str source, struct lf_jbody *out,
                       struct lf_diag *diag) LF_MUST_CHECK;
/* LF_E_INVALID, with the line. */
enum lf_err lf_jp_fail(struct lf_jparser *p, const char *fmt, ...) LF_PRINTF(2, 3);
struct lf_jnode *lf_jp_node(struct lf_jparser *p, enum lf_jkind kind);
bool lf_jp_is_name(const struct lf_jtoken *t, const char *name);
bool lf_jp_is_op(const struct lf_jtoken *t, const char *op);
/* Passes over the token if it is this one. */
bool lf_jp_skip_name(struct lf_jparser *p, const char *name);
bool lf_jp_skip_op(struct lf_jparser *p, const char *op);
enum lf_err lf_jp_expect_op(struct lf_jparser *p, const char *op) LF_MUST_CHECK;
enum lf_err lf_jp_expect_name(struct lf_jparser *p, struct lf_str *out) LF_MUST_CHECK;
/* Appends to a growing array of the arena's. */
enum lf_err lf_jp_push(struct lf_jparser *p, struct lf_jnode ***v, size_t *n,
                       struct lf_jnode *node) LF_MUST_CHECK;

enum lf_err lf_jp_expression(struct lf_jparser *p, struct lf_jnode **out) LF_MUST_CHECK;
/* A tuple without parentheses, or one expression. `conditional`: a trailing if belongs to it. */
enum lf_err lf_jp_tuple(struct lf_jparser *p, bool conditional,
                        struct lf_jnode **out) LF_MUST_CHECK;
/* What may stand left of = or of `in`. */
enum lf_err lf_jp_target(struct lf_jparser *p, bool namespaces,
                         struct lf_jnode **out) LF_MUST_CHECK;
/* "| name(args) | ..." after `node`, which may be NULL. */
enum lf_err lf_jp_filters(struct lf_jparser *p, struct lf_jnode *node, bool first_is_bare,
                          struct lf_jnode **out) LF_MUST_CHECK;

/* --- run.c, eval.c --- */

struct lf_jbinding {
    struct lf_jbinding *next;
    struct lf_str name;
    struct lf_jv value;
};

struct lf_jscope {
    struct lf_jscope *parent;
    struct lf_jbinding *first;
};

struct lf_jmacro {
    const struct lf_jnode *node;
    struct lf_jscope *scope; /* where it was defined */
};

struct lf_jloop {
    const struct lf_jlist *items;
    struct lf_jiterator *iterator; /* instead, for an iterator */
    size_t next;                   /* in items */
    const struct lf_jnode *test, *target;
    struct lf_jscope *outer;
    size_t index0;
    struct lf_jv before, current, after;
    bool started, has_before, has_after, ended;
    size_t length; /* once known */
    bool has_length;
    const struct lf_jlist *changed; /* arguments of the last loop.changed() */
};

struct lf_jrun {
    struct lf_arena arena;
    struct lf_diag *diag;
    struct lf_buf *out;
    struct lf_jdict *globals; /* what the caller passed */
    struct lf_jscope *scope;
    enum { LF_J_NEXT, LF_J_BREAK, LF_J_CONTINUE } flow; /* what the statement before asked for */
    unsigned line;
    unsigned depth;
    uint64_t steps;
    size_t memory;
    bool over_memory; /* the LF_E_NO_MEMORY that comes up is LF_J_MEMORY_MAX */
};

/* An error of the template or of what it was given: "line N: ...". */
enum lf_err lf_j_fail(struct lf_jrun *r, enum lf_err rc, const char *fmt, ...) LF_PRINTF(3, 4);
/* "unsupported operand..." and the like, for an undefined operand what makes it undefined. */
enum lf_err lf_j_fail_undefined(struct lf_jrun *r, struct lf_jv v);
/* n zeroed bytes of the run's arena, bounded by LF_J_MEMORY_MAX; NULL after the reason is told. */
void *lf_j_alloc(struct lf_jrun *r, size_t n);
/* Counts work: 1 and a part of the bytes or items touched. */
enum lf_err lf_j_spend(struct lf_jrun *r, size_t work) LF_MUST_CHECK;
enum lf_err lf_j_run(struct lf_jrun *r, const struct lf_jbody *body) LF_MUST_CHECK;

enum lf_err lf_j_eval(struct lf_jrun *r, const struct lf_jnode *node,
                      struct lf_jv *out) LF_MUST_CHECK;
enum lf_err lf_j_call(struct lf_jrun *r, struct lf_jv callee, const struct lf_jcall *c,
                      struct lf_jv *out) LF_MUST_CHECK;
enum lf_err lf_j_call_macro(struct lf_jrun *r, const struct lf_jmacro *m, const struct lf_jcall *c,
                            const struct lf_jv *caller, struct lf_jv *out) LF_MUST_CHECK;
enum lf_err lf_j_eval_args(struct lf_jrun *r, const struct lf_jargs *args,
                           struct lf_jcall *out) LF_MUST_CHECK;
/* Applies the filters of `node`, whose innermost has no operand, to v. */
enum lf_err lf_j_eval_filters(struct lf_jrun *r, const struct lf_jnode *node, struct lf_jv v,
                              struct lf_jv *out) LF_MUST_CHECK;
enum lf_err lf_j_binary(struct lf_jrun *r, enum lf_jop op, struct lf_jv a, struct lf_jv b,
                        struct lf_jv *out) LF_MUST_CHECK;
enum lf_err lf_j_assign(struct lf_jrun *r, const struct lf_jnode *target,
                        struct lf_jv v) LF_MUST_CHECK;
enum lf_err lf_j_bind(struct lf_jrun *r, struct lf_str name, struct lf_jv v) LF_MUST_CHECK;
enum lf_err lf_j_lookup(struct lf_jrun *r, struct lf_str name, struct lf_jv *out) LF_MUST_CHECK;
/* A new innermost scope; the caller puts the old one back. */
enum lf_err lf_j_push_scope(struct lf_jrun *r, struct lf_jscope *parent) LF_MUST_CHECK;
/* loop.name */
enum lf_err lf_j_loop_attr(struct lf_jrun *r, struct lf_jloop *loop, struct lf_str name,
                           bool *found, struct lf_jv *out) LF_MUST_CHECK;

/* loop.cycle or loop.changed, to be called (functions.c) */
enum lf_err lf_j_loop_method(struct lf_jrun *r, struct lf_jloop *loop, bool changed,
                             struct lf_jv *out) LF_MUST_CHECK;

/* --- functions.c, methods.c, filters.c, sequences.c, tests.c --- */

/* NULL: no such name. */
const struct lf_jfunction *lf_j_function(struct lf_str name);
const struct lf_jmethod_def *lf_j_method(struct lf_jv self, struct lf_str name);
/* Whether the sandbox hides this attribute of a list or dict, because it would change it. */
bool lf_j_is_hidden(struct lf_jv self, struct lf_str name);

/* Parameters by position or name. v[i] is UNDEFINED with given[i] false where one is left out. */
#define LF_J_PARAMS_MAX 6
struct lf_jbound {
    struct lf_jv v[LF_J_PARAMS_MAX];
    bool given[LF_J_PARAMS_MAX];
};
/* `params` is NULL-terminated; the first n_required must be there. */
enum lf_err lf_j_bind_args(struct lf_jrun *r, const char *what, const struct lf_jcall *c,
                           const char *const *params, size_t n_required,
                           struct lf_jbound *out) LF_MUST_CHECK;

struct lf_jfilter_def {
    const char *name;
    enum lf_err (*apply)(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c,
                         struct lf_jv *out); /* NULL: jinja2 has it, we do not */
};
const struct lf_jfilter_def *lf_j_filter(struct lf_str name);

struct lf_jtest_def {
    const char *name;
    enum lf_err (*apply)(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c, bool *out);
};
const struct lf_jtest_def *lf_j_test(struct lf_str name);

#endif
