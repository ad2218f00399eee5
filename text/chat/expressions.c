/* Expressions, by jinja2's grammar: each level of precedence is one function. */
#include "text/chat/tree.h"
#include "text/limits.h"

#include <string.h>

static struct lf_jnode *unary(struct lf_jparser *p, bool filters);

/* A new node over what is there. */
static struct lf_jnode *over(struct lf_jparser *p, enum lf_jkind kind, struct lf_jnode *a)
{
    struct lf_jnode *node = lf_jp_node(p, kind);
    if (node != a)
        node->a = a;
    return node;
}

/* --- calls --- */

/* "(...)" */
static struct lf_jargs *arguments(struct lf_jparser *p)
{
    struct lf_jargs *args = lf_jp_alloc(p, sizeof *args);
    lf_jp_expect_op(p, "(");
    for (bool first = true; args && lf_jp_next_item(p, ")", first); first = false) {
        bool named = p->at->type == LF_JT_NAME && lf_jp_is_op(p->at + 1, "=");
        if (lf_jp_is_op(p->at, "*") || lf_jp_is_op(p->at, "**"))
            lf_jp_fail(p, "'%s' arguments are not supported", p->at->text.s);
        else if (!named && args->keys.n > 0)
            lf_jp_fail(p, "an argument in the wrong place of a call");
        if (named) {
            struct lf_jnode *key = lf_jp_node(p, LF_JN_CONST);
            key->value = lf_jv_str(lf_jp_expect_name(p));
            lf_jp_next(p);
            lf_jp_push(p, &args->keys, key);
        }
        lf_jp_push(p, named ? &args->values : &args->v, lf_jp_expression(p));
    }
    return args;
}

/* --- literals and names --- */

/* Items up to `close`, with commas between and one allowed at the end; pairs for a dict. */
static struct lf_jnode *items(struct lf_jparser *p, enum lf_jkind kind, const char *close)
{
    struct lf_jnode *node = lf_jp_node(p, kind);
    lf_jp_next(p);
    for (bool first = true; lf_jp_next_item(p, close, first); first = false) {
        lf_jp_push(p, &node->v, lf_jp_expression(p));
        if (kind != LF_JN_DICT)
            continue;
        lf_jp_expect_op(p, ":");
        lf_jp_push(p, &node->v, lf_jp_expression(p));
    }
    return node;
}

/* "a" "b" is "ab". */
static struct lf_jnode *strings(struct lf_jparser *p)
{
    struct lf_jnode *node = lf_jp_node(p, LF_JN_CONST);
    const struct lf_jtoken *from = p->at;
    struct lf_str all = from->text;
    for (lf_jp_next(p); p->at->type == LF_JT_STRING; p->at++)
        all.n += p->at->text.n;
    if (p->at > from + 1) {
        char *to = lf_jp_alloc(p, all.n + 1);
        all.s = to;
        for (; to && from->type == LF_JT_STRING; to += from++->text.n)
            memcpy(to, from->text.s, from->text.n);
    }
    node->value = lf_jv_str(all);
    return node;
}

/* true, false, none in either spelling; or a variable. */
static struct lf_jnode *name_or_constant(struct lf_jparser *p)
{
    static const struct {
        const char *names[2];
        struct lf_jv value;
    } all[] = {
        {{"true", "True"}, {.type = LF_J_BOOL, .b = true}},
        {{"false", "False"}, {.type = LF_J_BOOL, .b = false}},
        {{"none", "None"}, {.type = LF_J_NONE}},
    };
    struct lf_jnode *node = lf_jp_node(p, LF_JN_CONST);
    for (size_t i = 0; i < 3; i++) {
        if (lf_jp_skip_name(p, all[i].names[0]) || lf_jp_skip_name(p, all[i].names[1])) {
            node->value = all[i].value;
            return node;
        }
    }
    node->kind = LF_JN_NAME;
    node->name = lf_jp_expect_name(p);
    return node;
}

static struct lf_jnode *parenthesis(struct lf_jparser *p)
{
    p->at++;
    if (lf_jp_skip_op(p, ")"))
        return lf_jp_node(p, LF_JN_TUPLE);
    struct lf_jnode *node = lf_jp_tuple(p, true);
    lf_jp_expect_op(p, ")");
    return node;
}

static struct lf_jnode *primary(struct lf_jparser *p)
{
    if (lf_jp_is_op(p->at, "("))
        return parenthesis(p);
    if (lf_jp_is_op(p->at, "["))
        return items(p, LF_JN_LIST, "]");
    if (lf_jp_is_op(p->at, "{"))
        return items(p, LF_JN_DICT, "}");
    if (p->at->type == LF_JT_NAME)
        return name_or_constant(p);
    if (p->at->type == LF_JT_STRING)
        return strings(p);
    struct lf_jnode *node = lf_jp_node(p, LF_JN_CONST);
    node->value = p->at->number;
    lf_jp_expect(p, LF_JT_NUMBER, "an expression");
    return node;
}

/* --- what follows an expression: .name [x] (args) | filter, is test --- */

/* What is between brackets: an expression or a slice. */
static struct lf_jnode *subscript(struct lf_jparser *p)
{
    struct lf_jnode *part[3] = {NULL};
    size_t at = 0;
    while (p->rc == LF_OK && !lf_jp_is_op(p->at, "]")) {
        if (lf_jp_is_op(p->at, ":") && at < 2) {
            at++;
            p->at++;
        } else if (part[at] || lf_jp_is_op(p->at, ":")) {
            lf_jp_expect_op(p, "]");
        } else {
            part[at] = lf_jp_expression(p);
        }
    }
    if (at == 0 && !part[0])
        lf_jp_fail(p, "expected an expression, got ']'");
    lf_jp_expect_op(p, "]");
    if (at == 0)
        return part[0];
    struct lf_jnode *node = lf_jp_node(p, LF_JN_SLICE);
    for (size_t i = 0; i < 3; i++)
        lf_jp_push(p, &node->v, part[i]);
    return node;
}

/* After the dot: a name, or a number as an index. */
static void attribute(struct lf_jparser *p, struct lf_jnode *node)
{
    if (p->at->type != LF_JT_NUMBER) {
        node->name = lf_jp_expect_name(p);
        return;
    }
    node->kind = LF_JN_GETITEM;
    node->b = primary(p);
}

static struct lf_jnode *call(struct lf_jparser *p, struct lf_jnode *node)
{
    node = over(p, LF_JN_CALL, node);
    node->args = arguments(p);
    return node;
}

static struct lf_jnode *postfix(struct lf_jparser *p, struct lf_jnode *node)
{
    while (p->rc == LF_OK) {
        if (lf_jp_is_op(p->at, "(")) {
            node = call(p, node);
        } else if (lf_jp_skip_op(p, ".")) {
            node = over(p, LF_JN_GETATTR, node);
            attribute(p, node);
        } else if (lf_jp_skip_op(p, "[")) {
            node = over(p, LF_JN_GETITEM, node);
            node->b = subscript(p);
        } else {
            break;
        }
    }
    return node;
}

/* The name of a filter or test, looked up. */
static void resolve(struct lf_jparser *p, struct lf_jnode *node)
{
    bool filter = node->kind == LF_JN_FILTER;
    node->name = lf_jp_expect_name(p);
    if (lf_jp_is_op(p->at, "."))
        lf_jp_fail(p, "a name with dots is not supported here");
    if (p->rc != LF_OK)
        return;
    node->def = filter ? p->names->filter(node->name) : p->names->test(node->name);
    if (node->def && !node->def->call)
        lf_jp_fail(p, "%s '%s' is not supported", filter ? "filter" : "test", node->def->name);
    if (!node->def && !p->conditional && !p->unknown)
        p->unknown = node;
}

struct lf_jnode *lf_jp_filters(struct lf_jparser *p, struct lf_jnode *node, bool bare)
{
    for (; bare || lf_jp_skip_op(p, "|"); bare = false) {
        node = over(p, LF_JN_FILTER, node);
        resolve(p, node);
        if (lf_jp_is_op(p->at, "("))
            node->args = arguments(p);
    }
    return node;
}

/* Whether a test without parentheses takes what comes next as its argument. */
static bool starts_argument(const struct lf_jtoken *t)
{
    if (lf_jp_is_name(t, "else") || lf_jp_is_name(t, "or") || lf_jp_is_name(t, "and"))
        return false;
    return t->type == LF_JT_NAME || t->type == LF_JT_STRING || t->type == LF_JT_NUMBER ||
           lf_jp_is_op(t, "[") || lf_jp_is_op(t, "{");
}

/* "is [not] name [argument]" */
static struct lf_jnode *test(struct lf_jparser *p, struct lf_jnode *of)
{
    struct lf_jnode *node = over(p, LF_JN_TEST, of);
    bool negated = lf_jp_skip_name(p, "not");
    resolve(p, node);
    if (lf_jp_is_op(p->at, "(")) {
        node->args = arguments(p);
    } else if (starts_argument(p->at)) {
        if (lf_jp_is_name(p->at, "is"))
            lf_jp_fail(p, "tests with 'is' cannot be chained");
        node->args = lf_jp_alloc(p, sizeof *node->args);
        if (node->args)
            lf_jp_push(p, &node->args->v, postfix(p, primary(p)));
    }
    return negated ? over(p, LF_JN_NOT, node) : node;
}

static struct lf_jnode *filters_and_tests(struct lf_jparser *p, struct lf_jnode *node)
{
    while (p->rc == LF_OK) {
        if (lf_jp_is_op(p->at, "|"))
            node = lf_jp_filters(p, node, false);
        else if (lf_jp_skip_name(p, "is"))
            node = test(p, node);
        else if (lf_jp_is_op(p->at, "("))
            node = call(p, node);
        else
            break;
    }
    return node;
}

/* --- operators, the tightest first --- */

/* Every nesting of expressions passes here: the one place that bounds it. */
static struct lf_jnode *unary(struct lf_jparser *p, bool filters)
{
    struct lf_jnode *node;
    if (++p->depth > LF_J_NESTING_MAX)
        lf_jp_fail(p, "the expression is nested too deep");
    if (lf_jp_skip_op(p, "-")) {
        node = lf_jp_node(p, LF_JN_MINUS);
        node->a = unary(p, false);
    } else {
        node = primary(p);
    }
    node = postfix(p, node);
    if (filters)
        node = filters_and_tests(p, node);
    p->depth--;
    return node;
}

struct level {
    const char *ops[5];
    enum lf_jop codes[5];
    struct lf_jnode *(*operand)(struct lf_jparser *p);
};

/* Operands with these operators between, grouped from the left. */
static struct lf_jnode *left_to_right(struct lf_jparser *p, const struct level *level)
{
    struct lf_jnode *node = level->operand(p);
    for (size_t i = 0; level->ops[i];) {
        if (!lf_jp_skip_op(p, level->ops[i])) {
            i++;
            continue;
        }
        node = over(p, LF_JN_BINARY, node);
        node->op = level->codes[i];
        node->b = level->operand(p);
        i = 0;
    }
    return node;
}

static struct lf_jnode *operand(struct lf_jparser *p)
{
    return unary(p, true);
}

static struct lf_jnode *power(struct lf_jparser *p)
{
    static const struct level level = {{"**"}, {LF_JO_POW}, operand};
    return left_to_right(p, &level);
}

static struct lf_jnode *product(struct lf_jparser *p)
{
    static const struct level level = {
        {"*", "/", "//", "%"}, {LF_JO_MUL, LF_JO_DIV, LF_JO_FLOORDIV, LF_JO_MOD}, power};
    return left_to_right(p, &level);
}

static struct lf_jnode *concat(struct lf_jparser *p)
{
    struct lf_jnode *first = product(p);
    if (!lf_jp_is_op(p->at, "~"))
        return first;
    struct lf_jnode *node = lf_jp_node(p, LF_JN_CONCAT);
    lf_jp_push(p, &node->v, first);
    while (lf_jp_skip_op(p, "~"))
        lf_jp_push(p, &node->v, product(p));
    return node;
}

static struct lf_jnode *sum(struct lf_jparser *p)
{
    static const struct level level = {{"+", "-"}, {LF_JO_ADD, LF_JO_SUB}, concat};
    return left_to_right(p, &level);
}

/* The comparison at p->at, passed over; false where there is none. */
static bool comparison(struct lf_jparser *p, enum lf_jop *op)
{
    static const char *const names[] = {"==", "!=", "<", "<=", ">", ">="};
    for (unsigned i = 0; i < 6; i++) {
        if (lf_jp_skip_op(p, names[i])) {
            *op = (enum lf_jop)(LF_JO_EQ + i);
            return true;
        }
    }
    *op = LF_JO_IN;
    if (lf_jp_skip_name(p, "in"))
        return true;
    if (!lf_jp_is_name(p->at, "not") || !lf_jp_is_name(p->at + 1, "in"))
        return false;
    p->at += 2;
    *op = LF_JO_NOT_IN;
    return true;
}

/* a < b < c compares each with the next. */
static struct lf_jnode *compare(struct lf_jparser *p)
{
    struct lf_jnode *first = sum(p), *node = first;
    enum lf_jop op;
    while (p->rc == LF_OK && comparison(p, &op)) {
        struct lf_jnode *other = sum(p);
        if (node == first)
            node = over(p, LF_JN_COMPARE, first);
        /* An operand carries its operator, which an operand that is an operation has taken. */
        struct lf_jnode *with = over(p, LF_JN_COMPARE, other);
        with->op = op;
        lf_jp_push(p, &node->v, with);
    }
    return node;
}

static struct lf_jnode *not_(struct lf_jparser *p)
{
    size_t nots = 0;
    while (lf_jp_skip_name(p, "not"))
        nots++;
    struct lf_jnode *node = compare(p);
    for (; p->rc == LF_OK && nots > 0; nots--)
        node = over(p, LF_JN_NOT, node);
    return node;
}

/* Operands with one word between, grouped from the left. */
static struct lf_jnode *words(struct lf_jparser *p, const char *word, enum lf_jkind kind,
                              struct lf_jnode *(*part)(struct lf_jparser *p))
{
    struct lf_jnode *node = part(p);
    while (lf_jp_skip_name(p, word)) {
        node = over(p, kind, node);
        node->b = part(p);
    }
    return node;
}

static struct lf_jnode *and_(struct lf_jparser *p)
{
    return words(p, "and", LF_JN_AND, not_);
}

static struct lf_jnode *or_(struct lf_jparser *p)
{
    return words(p, "or", LF_JN_OR, and_);
}

/* a if b [else c]. An unknown filter in it is an error only when it is reached. */
struct lf_jnode *lf_jp_expression(struct lf_jparser *p)
{
    const struct lf_jnode *unknown = p->unknown;
    if (++p->depth > LF_J_NESTING_MAX)
        lf_jp_fail(p, "the expression is nested too deep");
    struct lf_jnode *node = or_(p);
    while (lf_jp_skip_name(p, "if")) {
        struct lf_jnode *then = node;
        node = lf_jp_node(p, LF_JN_COND);
        node->b = then;
        node->a = or_(p);
        if (lf_jp_skip_name(p, "else"))
            node->c = lf_jp_expression(p);
        p->unknown = unknown;
    }
    p->depth--;
    return node;
}

/* Where a tuple without parentheses is over, after a comma. */
static bool ends_tuple(const struct lf_jtoken *t)
{
    return t->type == LF_JT_VARIABLE_END || t->type == LF_JT_BLOCK_END || lf_jp_is_op(t, ")");
}

struct lf_jnode *lf_jp_tuple(struct lf_jparser *p, bool conditional)
{
    struct lf_jnode *(*item)(struct lf_jparser *) = conditional ? lf_jp_expression : or_;
    struct lf_jnode *first = item(p);
    if (!lf_jp_is_op(p->at, ","))
        return first;
    struct lf_jnode *tuple = lf_jp_node(p, LF_JN_TUPLE);
    lf_jp_push(p, &tuple->v, first);
    while (lf_jp_skip_op(p, ",") && !ends_tuple(p->at))
        lf_jp_push(p, &tuple->v, item(p));
    return tuple;
}

/* --- targets --- */

static bool assignable(const struct lf_jnode *node)
{
    if (node->kind != LF_JN_TUPLE)
        return node->kind == LF_JN_NAME || node->kind == LF_JN_NSREF;
    for (size_t i = 0; i < node->v.n; i++)
        if (!assignable(node->v.v[i]))
            return false;
    return true;
}

/* name or, for set, namespace.name */
static struct lf_jnode *one_target(struct lf_jparser *p, bool namespaces)
{
    struct lf_jnode *node = primary(p);
    if (namespaces && node->kind == LF_JN_NAME && lf_jp_skip_op(p, ".")) {
        node->kind = LF_JN_NSREF;
        node->value = lf_jv_str(lf_jp_expect_name(p));
    }
    return node;
}

struct lf_jnode *lf_jp_target(struct lf_jparser *p, bool namespaces)
{
    struct lf_jnode *first = one_target(p, namespaces), *node = first;
    while (lf_jp_skip_op(p, ",")) {
        if (node == first) {
            node = lf_jp_node(p, LF_JN_TUPLE);
            lf_jp_push(p, &node->v, first);
        }
        if (lf_jp_is_name(p->at, "in") || ends_tuple(p->at))
            break;
        lf_jp_push(p, &node->v, one_target(p, namespaces));
    }
    if (p->rc == LF_OK && !assignable(node))
        lf_jp_fail(p, "this cannot be assigned to");
    return node;
}
