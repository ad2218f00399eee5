/* Values of a running template, as Python has them, and the run that owns them.
 *
 *   context.c     memory, work and failure of a run
 *   text.c        strings by code points
 *   value.c       true, equal, ordered; str() and repr(); dumps.c: JSON
 *   call.c        arguments bound to parameters
 *   containers.c  lists and dicts, and what can be iterated
 *   loops.c       a `for` and its `loop`
 *   access.c      what v.name, v[key] and v[a:b:c] are
 *   operators.c   + - * and the others
 *
 * Values do not change once made, as in jinja2's immutable sandbox; namespaces, loops and one-shot
 * iterators are the ones with a state. All are the run's arena's and die with it.
 *
 * A failure sticks in the run (`rc`): after the first one, every call here does nothing and gives
 * something harmless, so callers look at `rc` where they loop, and once at the end.
 */
#ifndef LF_TEXT_CHAT_VALUE_H
#define LF_TEXT_CHAT_VALUE_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/err.h"
#include "core/str.h"
#include "text/limits.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct lf_jrun;
struct lf_jnode;
struct lf_jscope;
struct lf_jmacro;
struct lf_jbound;

enum lf_jtype {
    LF_J_UNDEFINED,
    LF_J_NONE,
    LF_J_BOOL,
    LF_J_INT,
    LF_J_FLOAT,
    LF_J_STRING,
    LF_J_LIST, /* this one and the next five are `list` */
    LF_J_TUPLE,
    LF_J_RANGE,
    LF_J_KEYS, /* views of a dict */
    LF_J_VALUES,
    LF_J_ITEMS,
    LF_J_DICT,
    LF_J_ITERATOR, /* a generator: goes once, has no length */
    LF_J_NAMESPACE,
    LF_J_LOOP,
    LF_J_MACRO,
    LF_J_FUNCTION, /* of the environment: range, namespace... */
    LF_J_METHOD,   /* of a value: "x".strip */
};

struct lf_jv {
    enum lf_jtype type;
    bool markup; /* STRING: escapes what is added to it */
    union {
        bool b;
        int64_t i;
        double d;
        struct lf_str s; /* STRING: UTF-8. UNDEFINED: what to say when it is used, or NULL */
        const struct lf_jlist *list;
        struct lf_jdict *dict; /* DICT, NAMESPACE */
        struct lf_jiterator *iterator;
        struct lf_jloop *loop;
        const struct lf_jmacro *macro; /* run.c */
        const struct lf_jdef *function;
        const struct lf_jmethod *method;
    };
};

struct lf_jlist {
    struct lf_jv *v;
    size_t n, cap;
    unsigned depth; /* of lists and dicts in it, with itself */
};

struct lf_jpair {
    struct lf_jv key, value;
};

struct lf_jdict {
    struct lf_jpair *v;
    size_t n, cap;
    unsigned depth;
};

/* What is left of it is items[at..n); past them, if `why`, the error that the source met. */
struct lf_jiterator {
    const struct lf_jlist *items;
    size_t at;
    const char *why;
};

struct lf_jmethod {
    struct lf_jv self;
    const struct lf_jdef *def;
};

/* The arguments of a call, evaluated. */
struct lf_jcall {
    const struct lf_jv *v;
    size_t n;
    const struct lf_jpair *kw; /* keys: strings */
    size_t n_kw;
};

/* Arguments at their parameters: UNDEFINED with given[i] false where one is left out. */
struct lf_jbound {
    struct lf_jv v[LF_J_PARAMS_MAX];
    bool given[LF_J_PARAMS_MAX];
    unsigned how;               /* the row's */
    const struct lf_jcall *raw; /* as they were passed */
};

/* A row of the tables of filters, tests, functions and methods. */
struct lf_jdef {
    const char *name;
    /* "a b? c?:i": names in order; ? may be left out; :s must be a string, :S a string or None
     * (which is the same as left out), :i an integer. NULL: `call` looks at `raw` itself. */
    const char *params;
    /* NULL: jinja2 or Python has it, this has not. */
    struct lf_jv (*call)(struct lf_jrun *r, struct lf_jv self, const struct lf_jbound *a);
    unsigned how; /* which of several that share a function */
};
/* `how` of a method without `call` that the sandbox hides, since it would change the value. */
#define LF_J_UNSAFE 1

/* Where names are looked up (names.c); NULL: no such name. */
struct lf_jnames {
    const struct lf_jdef *(*filter)(struct lf_str name);
    const struct lf_jdef *(*test)(struct lf_str name);
    const struct lf_jdef *(*function)(struct lf_str name);
    const struct lf_jdef *(*method)(enum lf_jtype of, struct lf_str name);
};

struct lf_jloop {
    const struct lf_jlist *items;
    size_t next; /* in items */
    /* The loop's `if`, asked only when the item is needed. NULL: all pass. */
    bool (*passes)(struct lf_jrun *r, const struct lf_jloop *loop, struct lf_jv item);
    const struct lf_jnode *node; /* for it, and the scope around */
    struct lf_jscope *outer;
    size_t index0, before_items; /* the number of the current item; of those not in `items` */
    struct lf_jv before, current, after;
    bool started, has_before, has_after;
    const struct lf_jlist *changed; /* arguments of the last loop.changed() */
};

struct lf_jrun {
    struct lf_arena arena;
    struct lf_diag *diag;
    enum lf_err rc; /* the first failure */
    const struct lf_jnames *names;
    unsigned line;
    unsigned depth;
    uint64_t steps;
    size_t memory;
    struct lf_jlist no_list; /* what a failure gives */
    struct lf_jdict no_dict;
    /* run.c */
    struct lf_buf *out;
    struct lf_jdict *globals; /* what the caller passed */
    struct lf_jscope *scope;
    enum { LF_J_NEXT, LF_J_BREAK, LF_J_CONTINUE } flow; /* what the statement before asked for */
};

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

static inline struct lf_jv lf_jv_str(struct lf_str s)
{
    return (struct lf_jv){.type = LF_J_STRING, .s = s};
}

/* Undefined that says `why` (static or the arena's) when something is done with it. */
static inline struct lf_jv lf_jv_undefined(const char *why)
{
    return (struct lf_jv){.type = LF_J_UNDEFINED, .s = {why, 0}};
}

static inline struct lf_jv lf_jv_list(enum lf_jtype type, const struct lf_jlist *list)
{
    return (struct lf_jv){.type = type, .list = list};
}

static inline bool lf_jv_is_list(struct lf_jv v)
{
    return v.type >= LF_J_LIST && v.type <= LF_J_ITEMS;
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

/* --- context.c --- */

/* An error of the template or of what it was given, "line N: ...", unless there was one before;
 * undefined. */
struct lf_jv lf_j_fail(struct lf_jrun *r, enum lf_err rc, const char *fmt, ...) LF_PRINTF(3, 4);
/* What makes v undefined. */
struct lf_jv lf_j_fail_undefined(struct lf_jrun *r, struct lf_jv v);
/* n zeroed bytes of the run's arena, bounded by LF_J_MEMORY_MAX; NULL: failed. */
void *lf_j_alloc(struct lf_jrun *r, size_t n);
/* Counts work: 1 and a part of the bytes or items touched. */
void lf_j_spend(struct lf_jrun *r, size_t work);
/* A level of nesting; false: too deep. Each true one is taken back with r->depth--. */
bool lf_j_enter(struct lf_jrun *r);
/* The row of this name in a table whose last row has none. */
const struct lf_jdef *lf_j_find(const struct lf_jdef *table, struct lf_str name);
const struct lf_jv *lf_j_keyword(const struct lf_jcall *c, struct lf_str name);

/* --- call.c --- */

/* Binds the arguments and calls; `kind` ("filter") is for what it says about them. */
struct lf_jv lf_j_apply(struct lf_jrun *r, const char *kind, const struct lf_jdef *def,
                        struct lf_jv self, const struct lf_jcall *c);

/* --- text.c --- */

size_t lf_j_length(struct lf_str s);
/* Where the first `chars` code points end. */
size_t lf_j_offset(struct lf_str s, size_t chars);
bool lf_j_is_space(uint32_t c);
/* Both ends (or one) without white space, or without the characters in `chars`. */
struct lf_str lf_j_strip(struct lf_str s, const struct lf_str *chars, bool left, bool right);
enum lf_jcase { LF_J_LOWER, LF_J_UPPER, LF_J_TITLE, LF_J_CAPITALIZE };
/* Letter by letter; refuses the few that become several or depend on their place. */
struct lf_jv lf_j_change_case(struct lf_jrun *r, struct lf_jv s, enum lf_jcase how);
bool lf_j_is_printable(uint32_t c);
/* The end of the line that starts at `from`, and the start of the next (str.splitlines). */
size_t lf_j_line_end(struct lf_str s, size_t from, size_t *next);
/* &, <, >, ' and " as markupsafe escapes them. */
void lf_j_escape(struct lf_buf *out, struct lf_str s);
/* str.replace; most < 0: all */
struct lf_jv lf_j_replace(struct lf_jrun *r, struct lf_str s, struct lf_str old, struct lf_str new,
                          int64_t most);
/* A copy of bytes; the bytes of b, which is freed, whether or not there was a failure. */
struct lf_jv lf_jv_copy(struct lf_jrun *r, struct lf_str s);
struct lf_jv lf_jv_take(struct lf_jrun *r, struct lf_buf *b);

/* --- value.c, dumps.c --- */

/* Python's name of the type: 'str', 'NoneType'... */
const char *lf_jv_type_name(struct lf_jv v);
bool lf_jv_truth(struct lf_jv v);
/* Python's ==; values that cannot be equal are not. Each value that is looked at costs a step,
 * since lists share what they hold: few bytes can stand for any number of values. */
bool lf_jv_equal(struct lf_jrun *r, struct lf_jv a, struct lf_jv b);
/* The value of a key; NULL: there is none. */
const struct lf_jv *lf_jdict_find(struct lf_jrun *r, const struct lf_jdict *d, struct lf_jv key);
/* Python's ordering: < 0, 0, > 0. Fails where Python has none. */
int lf_jv_compare(struct lf_jrun *r, struct lf_jv a, struct lf_jv b);
/* Whether a dict may have it as a key; fails where not. */
bool lf_jv_hashable(struct lf_jrun *r, struct lf_jv v);
/* Code points, items, keys; fails where Python's len() does. */
size_t lf_jv_length(struct lf_jrun *r, struct lf_jv v);
/* str(v), appended. Fails for what has no repeatable text. */
void lf_jv_print(struct lf_jrun *r, struct lf_buf *out, struct lf_jv v);
/* str(v) as a value; a string is itself. */
struct lf_jv lf_jv_to_string(struct lf_jrun *r, struct lf_jv v);
/* repr(d) */
void lf_j_print_float(struct lf_buf *out, double d);
/* json.dumps(v, ensure_ascii=..., indent=..., separators=..., sort_keys=...) */
struct lf_jdumps {
    bool ensure_ascii, sort_keys, has_indent;
    struct lf_str indent, item_separator, key_separator;
};
struct lf_jv lf_jv_dumps(struct lf_jrun *r, struct lf_jv v, const struct lf_jdumps *how);

/* --- containers.c --- */

/* Empty, with room for n. */
struct lf_jlist *lf_jlist_new(struct lf_jrun *r, size_t n);
/* Refuses too deep a nesting. */
void lf_jlist_add(struct lf_jrun *r, struct lf_jlist *list, struct lf_jv v);
struct lf_jdict *lf_jdict_new(struct lf_jrun *r, size_t n);
/* Sets or replaces; the key is hashable. */
void lf_jdict_put(struct lf_jrun *r, struct lf_jdict *d, struct lf_jv key, struct lf_jv value);
/* KEYS, VALUES or ITEMS of it. */
struct lf_jv lf_jdict_view(struct lf_jrun *r, const struct lf_jdict *d, enum lf_jtype what);
/* Stable, by their keys. */
void lf_jpairs_sort(struct lf_jrun *r, struct lf_jpair *v, size_t n, bool reverse);
/* An iterator over a list; `why` NULL or what its source failed with after these. */
struct lf_jv lf_jiterator_new(struct lf_jrun *r, const struct lf_jlist *items, const char *why);
/* The items of what can be iterated. An iterator is used up. */
const struct lf_jlist *lf_jv_items(struct lf_jrun *r, struct lf_jv v);
/* `needle in v` */
bool lf_jv_contains(struct lf_jrun *r, struct lf_jv v, struct lf_jv needle);
/* A value of jansson's; its strings are borrowed. */
struct lf_jv lf_jv_from_json(struct lf_jrun *r, const json_t *j);

/* --- loops.c --- */

/* Goes on to the next item; false: there is none. */
bool lf_jloop_next(struct lf_jrun *r, struct lf_jloop *loop);
/* loop.name; false: no such. */
bool lf_jloop_attr(struct lf_jrun *r, struct lf_jloop *loop, struct lf_str name, struct lf_jv *out);

/* --- access.c --- */

/* v[key], v.name as the sandbox does it: undefined where there is none. */
struct lf_jv lf_jv_getitem(struct lf_jrun *r, struct lf_jv v, struct lf_jv key);
struct lf_jv lf_jv_getattr(struct lf_jrun *r, struct lf_jv v, struct lf_str name);
/* v[start:stop:step]; NONE where one is left out. Fails where v cannot be sliced. */
struct lf_jv lf_jv_slice(struct lf_jrun *r, struct lf_jv v, const struct lf_jv bounds[3]);

/* --- operators.c --- */

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

struct lf_jv lf_j_binary(struct lf_jrun *r, enum lf_jop op, struct lf_jv a, struct lf_jv b);
/* EQ to NOT_IN. */
bool lf_j_holds(struct lf_jrun *r, enum lf_jop op, struct lf_jv a, struct lf_jv b);
struct lf_jv lf_j_negative(struct lf_jrun *r, struct lf_jv v);

#endif
