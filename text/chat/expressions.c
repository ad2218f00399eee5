/* Expressions, by jinja2's grammar: each level of precedence is one function. */
#include "text/chat/jinja.h"

#include <string.h>

static enum lf_err unary(struct lf_jparser *p, bool filters, struct lf_jnode **out);

/* A new node over what is there; NULL when memory is out. */
static struct lf_jnode *over(struct lf_jparser *p, enum lf_jkind kind, struct lf_jnode *a)
{
    struct lf_jnode *node = lf_jp_node(p, kind);
    if (node)
        node->a = a;
    return node;
}

/* --- calls --- */

static enum lf_err push_keyword(struct lf_jparser *p, struct lf_jargs *args, struct lf_str name,
                                struct lf_jnode *value)
{
    struct lf_str *names = lf_arena_alloc(p->arena, (args->n_named + 1) * sizeof *names);
    if (!names)
        return lf_jp_fail(p, "no memory for the template");
    if (args->n_named)
        memcpy(names, args->names, args->n_named * sizeof *names);
    names[args->n_named] = name;
    args->names = names;
    return lf_jp_push(p, &args->values, &args->n_named, value);
}

/* One argument of a call. */
static enum lf_err argument(struct lf_jparser *p, struct lf_jargs *args)
{
    bool star_star = lf_jp_skip_op(p, "**"), star = !star_star && lf_jp_skip_op(p, "*");
    bool named = !star && !star_star && p->at->type == LF_JT_NAME && lf_jp_is_op(p->at + 1, "=");
    struct lf_str name = {0};
    struct lf_jnode *value;
    enum lf_err rc = LF_OK;
    if (named) {
        rc = lf_jp_expect_name(p, &name);
        p->at++;
    }
    if (rc == LF_OK)
        rc = lf_jp_expression(p, &value);
    if (rc != LF_OK)
        return rc;
    bool plain = !star && !star_star && !named;
    if (args->star_star || (star && args->star) || (plain && (args->star || args->n_named > 0)))
        return lf_jp_fail(p, "an argument in the wrong place of a call");
    if (star)
        args->star = value;
    else if (star_star)
        args->star_star = value;
    else if (named)
        return push_keyword(p, args, name, value);
    else
        return lf_jp_push(p, &args->v, &args->n, value);
    return LF_OK;
}

/* "(...)" */
static enum lf_err arguments(struct lf_jparser *p, struct lf_jargs **out)
{
    struct lf_jargs *args = lf_arena_alloc(p->arena, sizeof *args);
    if (!args)
        return lf_jp_fail(p, "no memory for the template");
    enum lf_err rc = lf_jp_expect_op(p, "(");
    for (bool first = true; rc == LF_OK && !lf_jp_is_op(p->at, ")"); first = false) {
        if (!first)
            rc = lf_jp_expect_op(p, ",");
        if (rc == LF_OK && lf_jp_is_op(p->at, ")"))
            break;
        if (rc == LF_OK)
            rc = argument(p, args);
    }
    *out = args;
    return rc == LF_OK ? lf_jp_expect_op(p, ")") : rc;
}

/* --- literals and names --- */

/* Items up to `close`, with commas between and one allowed at the end; pairs for a dict. */
static enum lf_err items(struct lf_jparser *p, struct lf_jnode *node, const char *close)
{
    bool pairs = *close == '}';
    enum lf_err rc = LF_OK;
    for (bool first = true; rc == LF_OK && !lf_jp_is_op(p->at, close); first = false) {
        struct lf_jnode *item;
        if (!first)
            rc = lf_jp_expect_op(p, ",");
        if (rc == LF_OK && lf_jp_is_op(p->at, close))
            break;
        for (int half = 0; half < (pairs ? 2 : 1) && rc == LF_OK; half++) {
            if (half == 1)
                rc = lf_jp_expect_op(p, ":");
            if (rc == LF_OK)
                rc = lf_jp_expression(p, &item);
            if (rc == LF_OK)
                rc = lf_jp_push(p, &node->v, &node->n, item);
        }
    }
    return rc == LF_OK ? lf_jp_expect_op(p, close) : rc;
}

/* "a" "b" is "ab". */
static enum lf_err strings(struct lf_jparser *p, struct lf_jnode *node)
{
    size_t n = 0;
    const struct lf_jtoken *from = p->at;
    for (; p->at->type == LF_JT_STRING; p->at++)
        n += p->at->text.n;
    if (p->at == from + 1) {
        node->value = lf_jv_str(from->text.s, n);
        return LF_OK;
    }
    char *all = lf_arena_alloc(p->arena, n + 1);
    if (!all)
        return lf_jp_fail(p, "no memory for the template");
    node->value = lf_jv_str(all, n);
    for (; from < p->at; from++) {
        memcpy(all, from->text.s, from->text.n);
        all += from->text.n;
    }
    return LF_OK;
}

/* true, false, none in either spelling. */
static bool constant(const struct lf_jtoken *t, struct lf_jv *out)
{
    static const struct {
        const char *name;
        struct lf_jv value;
    } all[] = {
        {"true", {.type = LF_J_BOOL, .b = true}},
        {"True", {.type = LF_J_BOOL, .b = true}},
        {"false", {.type = LF_J_BOOL, .b = false}},
        {"False", {.type = LF_J_BOOL, .b = false}},
        {"none", {.type = LF_J_NONE}},
        {"None", {.type = LF_J_NONE}},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (lf_jp_is_name(t, all[i].name)) {
            *out = all[i].value;
            return true;
        }
    }
    return false;
}

static enum lf_err name_or_constant(struct lf_jparser *p, struct lf_jnode *node)
{
    if (constant(p->at, &node->value)) {
        p->at++;
        return LF_OK;
    }
    node->kind = LF_JN_NAME;
    return lf_jp_expect_name(p, &node->name);
}

static enum lf_err parenthesis(struct lf_jparser *p, struct lf_jnode **out)
{
    p->at++;
    if (lf_jp_skip_op(p, ")")) {
        *out = lf_jp_node(p, LF_JN_TUPLE);
        return *out ? LF_OK : LF_E_NO_MEMORY;
    }
    enum lf_err rc = lf_jp_tuple(p, true, out);
    return rc == LF_OK ? lf_jp_expect_op(p, ")") : rc;
}

static enum lf_err primary(struct lf_jparser *p, struct lf_jnode **out)
{
    if (lf_jp_is_op(p->at, "("))
        return parenthesis(p, out);
    struct lf_jnode *node = *out = lf_jp_node(p, LF_JN_CONST);
    if (!node)
        return LF_E_NO_MEMORY;
    if (p->at->type == LF_JT_NAME)
        return name_or_constant(p, node);
    if (p->at->type == LF_JT_STRING)
        return strings(p, node);
    if (p->at->type == LF_JT_INT) {
        node->value = lf_jv_int(p->at->i);
    } else if (p->at->type == LF_JT_FLOAT) {
        node->value = lf_jv_float(p->at->d);
    } else if (lf_jp_is_op(p->at, "[")) {
        p->at++;
        node->kind = LF_JN_LIST;
        return items(p, node, "]");
    } else if (lf_jp_is_op(p->at, "{")) {
        p->at++;
        node->kind = LF_JN_DICT;
        return items(p, node, "}");
    } else {
        return lf_jp_fail(p, "expected an expression, got '%.*s'", (int)p->at->text.n,
                          p->at->text.s);
    }
    p->at++;
    return LF_OK;
}

/* --- what follows an expression: .name [x] (args) | filter, is test --- */

/* One of the subscripts between brackets: an expression or a slice. */
static enum lf_err subscript(struct lf_jparser *p, struct lf_jnode **out)
{
    struct lf_jnode *part[3] = {NULL};
    size_t at = 0;
    bool slice = false;
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && !lf_jp_is_op(p->at, "]") && !lf_jp_is_op(p->at, ",")) {
        if (lf_jp_is_op(p->at, ":")) {
            if (++at == 3)
                return lf_jp_fail(p, "expected ']', got ':'");
            slice = true;
            p->at++;
        } else if (part[at]) {
            return lf_jp_fail(p, "expected ']', got '%.*s'", (int)p->at->text.n, p->at->text.s);
        } else {
            rc = lf_jp_expression(p, &part[at]);
        }
    }
    if (rc != LF_OK)
        return rc;
    if (!slice) {
        *out = part[0];
        return *out ? LF_OK : lf_jp_fail(p, "expected an expression, got ']'");
    }
    struct lf_jnode *node = *out = lf_jp_node(p, LF_JN_SLICE);
    if (!node)
        return LF_E_NO_MEMORY;
    for (size_t i = 0; i < 3 && rc == LF_OK; i++)
        rc = lf_jp_push(p, &node->v, &node->n, part[i]);
    return rc;
}

static enum lf_err brackets(struct lf_jparser *p, struct lf_jnode *node)
{
    struct lf_jnode *tuple = NULL;
    enum lf_err rc = LF_OK;
    if (lf_jp_is_op(p->at, "]"))
        return lf_jp_fail(p, "expected an expression, got ']'");
    rc = subscript(p, &node->b);
    while (rc == LF_OK && lf_jp_skip_op(p, ",") && !lf_jp_is_op(p->at, "]")) {
        struct lf_jnode *more;
        rc = subscript(p, &more);
        if (rc == LF_OK && !tuple) {
            tuple = lf_jp_node(p, LF_JN_TUPLE);
            rc = tuple ? lf_jp_push(p, &tuple->v, &tuple->n, node->b) : LF_E_NO_MEMORY;
            node->b = tuple;
        }
        if (rc == LF_OK)
            rc = lf_jp_push(p, &tuple->v, &tuple->n, more);
    }
    for (size_t i = 0; rc == LF_OK && tuple && i < tuple->n; i++)
        if (tuple->v[i]->kind == LF_JN_SLICE)
            return lf_jp_fail(p, "a slice among subscripts is not supported");
    return rc == LF_OK ? lf_jp_expect_op(p, "]") : rc;
}

static enum lf_err dotted(struct lf_jparser *p, struct lf_jnode *node)
{
    if (p->at->type == LF_JT_INT) {
        node->kind = LF_JN_GETITEM;
        node->b = lf_jp_node(p, LF_JN_CONST);
        if (!node->b)
            return LF_E_NO_MEMORY;
        node->b->value = lf_jv_int(p->at->i);
        p->at++;
        return LF_OK;
    }
    return lf_jp_expect_name(p, &node->name);
}

static enum lf_err postfix(struct lf_jparser *p, struct lf_jnode **out)
{
    enum lf_err rc = LF_OK;
    while (rc == LF_OK) {
        if (lf_jp_is_op(p->at, ".")) {
            struct lf_jnode *node = over(p, LF_JN_GETATTR, *out);
            p->at++;
            rc = node ? dotted(p, node) : LF_E_NO_MEMORY;
            *out = node;
        } else if (lf_jp_is_op(p->at, "[")) {
            struct lf_jnode *node = over(p, LF_JN_GETITEM, *out);
            p->at++;
            rc = node ? brackets(p, node) : LF_E_NO_MEMORY;
            *out = node;
        } else if (lf_jp_is_op(p->at, "(")) {
            struct lf_jnode *node = over(p, LF_JN_CALL, *out);
            rc = node ? arguments(p, &node->args) : LF_E_NO_MEMORY;
            *out = node;
        } else {
            break;
        }
    }
    return rc;
}

/* "name" or "name.name" of a filter or test. */
static enum lf_err dotted_name(struct lf_jparser *p, struct lf_str *out)
{
    enum lf_err rc = lf_jp_expect_name(p, out);
    if (rc == LF_OK && lf_jp_is_op(p->at, "."))
        rc = lf_jp_fail(p, "a name with dots is not supported here");
    return rc;
}

static enum lf_err resolve_filter(struct lf_jparser *p, struct lf_jnode *node)
{
    node->filter = lf_j_filter(node->name);
    if (node->filter && !node->filter->apply)
        return lf_jp_fail(p, "filter '%s' is not supported", node->filter->name);
    if (!node->filter && !p->conditional && !p->unknown)
        p->unknown = node;
    return LF_OK;
}

enum lf_err lf_jp_filters(struct lf_jparser *p, struct lf_jnode *node, bool first_is_bare,
                          struct lf_jnode **out)
{
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && (first_is_bare || lf_jp_skip_op(p, "|"))) {
        first_is_bare = false;
        struct lf_jnode *filter = over(p, LF_JN_FILTER, node);
        if (!filter)
            return LF_E_NO_MEMORY;
        rc = dotted_name(p, &filter->name);
        if (rc == LF_OK)
            rc = resolve_filter(p, filter);
        if (rc == LF_OK && lf_jp_is_op(p->at, "("))
            rc = arguments(p, &filter->args);
        node = filter;
    }
    *out = node;
    return rc;
}

/* Whether a test without parentheses takes what comes next as its argument. */
static bool starts_argument(const struct lf_jtoken *t)
{
    if (lf_jp_is_name(t, "else") || lf_jp_is_name(t, "or") || lf_jp_is_name(t, "and"))
        return false;
    return t->type == LF_JT_NAME || t->type == LF_JT_STRING || t->type == LF_JT_INT ||
           t->type == LF_JT_FLOAT || lf_jp_is_op(t, "[") || lf_jp_is_op(t, "{");
}

static enum lf_err test_argument(struct lf_jparser *p, struct lf_jnode *node)
{
    struct lf_jnode *value;
    if (lf_jp_is_name(p->at, "is"))
        return lf_jp_fail(p, "tests with 'is' cannot be chained");
    node->args = lf_arena_alloc(p->arena, sizeof *node->args);
    if (!node->args)
        return lf_jp_fail(p, "no memory for the template");
    enum lf_err rc = primary(p, &value);
    if (rc == LF_OK)
        rc = postfix(p, &value);
    return rc == LF_OK ? lf_jp_push(p, &node->args->v, &node->args->n, value) : rc;
}

/* "is [not] name [argument]" */
static enum lf_err test(struct lf_jparser *p, struct lf_jnode **out)
{
    struct lf_jnode *node = over(p, LF_JN_TEST, *out);
    if (!node)
        return LF_E_NO_MEMORY;
    p->at++;
    bool negated = lf_jp_skip_name(p, "not");
    enum lf_err rc = dotted_name(p, &node->name);
    if (rc != LF_OK)
        return rc;
    node->test = lf_j_test(node->name);
    if (node->test && !node->test->apply)
        return lf_jp_fail(p, "test '%s' is not supported", node->test->name);
    if (!node->test && !p->conditional && !p->unknown)
        p->unknown = node;
    if (lf_jp_is_op(p->at, "("))
        rc = arguments(p, &node->args);
    else if (starts_argument(p->at))
        rc = test_argument(p, node);
    *out = negated && rc == LF_OK ? over(p, LF_JN_NOT, node) : node;
    return rc == LF_OK && !*out ? LF_E_NO_MEMORY : rc;
}

static enum lf_err filters_and_tests(struct lf_jparser *p, struct lf_jnode **out)
{
    enum lf_err rc = LF_OK;
    while (rc == LF_OK) {
        if (lf_jp_is_op(p->at, "|")) {
            rc = lf_jp_filters(p, *out, false, out);
        } else if (lf_jp_is_name(p->at, "is")) {
            rc = test(p, out);
        } else if (lf_jp_is_op(p->at, "(")) {
            struct lf_jnode *node = over(p, LF_JN_CALL, *out);
            rc = node ? arguments(p, &node->args) : LF_E_NO_MEMORY;
            *out = node;
        } else {
            break;
        }
    }
    return rc;
}

/* --- operators, the tightest first --- */

static enum lf_err unary_inner(struct lf_jparser *p, bool filters, struct lf_jnode **out)
{
    enum lf_err rc;
    if (lf_jp_is_op(p->at, "-") || lf_jp_is_op(p->at, "+")) {
        struct lf_jnode *node = lf_jp_node(p, LF_JN_UNARY);
        if (!node)
            return LF_E_NO_MEMORY;
        node->op = lf_jp_is_op(p->at, "-") ? LF_JO_SUB : LF_JO_ADD;
        p->at++;
        rc = unary(p, false, &node->a);
        *out = node;
    } else {
        rc = primary(p, out);
    }
    if (rc == LF_OK)
        rc = postfix(p, out);
    return rc == LF_OK && filters ? filters_and_tests(p, out) : rc;
}

/* Every nesting of expressions passes here: the one place that bounds it. */
static enum lf_err unary(struct lf_jparser *p, bool filters, struct lf_jnode **out)
{
    if (++p->depth > LF_J_NESTING_MAX)
        return lf_jp_fail(p, "the expression is nested too deep");
    enum lf_err rc = unary_inner(p, filters, out);
    p->depth--;
    return rc;
}

struct level {
    const char *ops[5];
    enum lf_jop codes[5];
    enum lf_err (*operand)(struct lf_jparser *p, struct lf_jnode **out);
};

/* Operands with these operators between, grouped from the left. */
static enum lf_err left_to_right(struct lf_jparser *p, const struct level *level,
                                 struct lf_jnode **out)
{
    enum lf_err rc = level->operand(p, out);
    while (rc == LF_OK) {
        size_t i = 0;
        while (level->ops[i] && !lf_jp_is_op(p->at, level->ops[i]))
            i++;
        if (!level->ops[i])
            break;
        struct lf_jnode *node = over(p, LF_JN_BINARY, *out);
        if (!node)
            return LF_E_NO_MEMORY;
        node->op = level->codes[i];
        p->at++;
        rc = level->operand(p, &node->b);
        *out = node;
    }
    return rc;
}

static enum lf_err unary_operand(struct lf_jparser *p, struct lf_jnode **out)
{
    return unary(p, true, out);
}

static enum lf_err power(struct lf_jparser *p, struct lf_jnode **out)
{
    static const struct level level = {{"**"}, {LF_JO_POW}, unary_operand};
    return left_to_right(p, &level, out);
}

static enum lf_err product(struct lf_jparser *p, struct lf_jnode **out)
{
    static const struct level level = {
        {"*", "/", "//", "%"}, {LF_JO_MUL, LF_JO_DIV, LF_JO_FLOORDIV, LF_JO_MOD}, power};
    return left_to_right(p, &level, out);
}

static enum lf_err concat(struct lf_jparser *p, struct lf_jnode **out)
{
    enum lf_err rc = product(p, out);
    if (rc != LF_OK || !lf_jp_is_op(p->at, "~"))
        return rc;
    struct lf_jnode *node = lf_jp_node(p, LF_JN_CONCAT), *part = *out;
    if (!node)
        return LF_E_NO_MEMORY;
    rc = lf_jp_push(p, &node->v, &node->n, part);
    while (rc == LF_OK && lf_jp_skip_op(p, "~")) {
        rc = product(p, &part);
        if (rc == LF_OK)
            rc = lf_jp_push(p, &node->v, &node->n, part);
    }
    *out = node;
    return rc;
}

static enum lf_err sum(struct lf_jparser *p, struct lf_jnode **out)
{
    static const struct level level = {{"+", "-"}, {LF_JO_ADD, LF_JO_SUB}, concat};
    return left_to_right(p, &level, out);
}

/* The comparison at p->at, passed over; false where there is none. */
static bool comparison(struct lf_jparser *p, enum lf_jop *op)
{
    static const struct {
        const char *name;
        enum lf_jop op;
    } all[] = {{"==", LF_JO_EQ}, {"!=", LF_JO_NE}, {"<", LF_JO_LT},
               {"<=", LF_JO_LE}, {">", LF_JO_GT},  {">=", LF_JO_GE}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (lf_jp_skip_op(p, all[i].name)) {
            *op = all[i].op;
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
static enum lf_err compare(struct lf_jparser *p, struct lf_jnode **out)
{
    struct lf_jnode *node = NULL;
    enum lf_jop op;
    enum lf_err rc = sum(p, out);
    while (rc == LF_OK && comparison(p, &op)) {
        struct lf_jnode *operand;
        if (!node)
            node = over(p, LF_JN_COMPARE, *out);
        if (!node)
            return LF_E_NO_MEMORY;
        rc = sum(p, &operand);
        enum lf_jop *ops = lf_arena_alloc(p->arena, (node->n + 1) * sizeof *ops);
        if (rc == LF_OK && !ops)
            return lf_jp_fail(p, "no memory for the template");
        if (rc != LF_OK)
            return rc;
        if (node->n)
            memcpy(ops, node->ops, node->n * sizeof *ops);
        ops[node->n] = op;
        node->ops = ops;
        rc = lf_jp_push(p, &node->v, &node->n, operand);
        *out = node;
    }
    return rc;
}

static enum lf_err not_(struct lf_jparser *p, struct lf_jnode **out)
{
    size_t nots = 0;
    while (lf_jp_skip_name(p, "not"))
        nots++;
    enum lf_err rc = compare(p, out);
    for (; rc == LF_OK && nots > 0; nots--) {
        *out = over(p, LF_JN_NOT, *out);
        if (!*out)
            return LF_E_NO_MEMORY;
    }
    return rc;
}

/* Operands with one word between, grouped from the left. */
static enum lf_err words(struct lf_jparser *p, const char *word, enum lf_jkind kind,
                         enum lf_err (*operand)(struct lf_jparser *p, struct lf_jnode **out),
                         struct lf_jnode **out)
{
    enum lf_err rc = operand(p, out);
    while (rc == LF_OK && lf_jp_skip_name(p, word)) {
        struct lf_jnode *node = over(p, kind, *out);
        if (!node)
            return LF_E_NO_MEMORY;
        rc = operand(p, &node->b);
        *out = node;
    }
    return rc;
}

static enum lf_err and_(struct lf_jparser *p, struct lf_jnode **out)
{
    return words(p, "and", LF_JN_AND, not_, out);
}

static enum lf_err or_(struct lf_jparser *p, struct lf_jnode **out)
{
    return words(p, "or", LF_JN_OR, and_, out);
}

/* a if b [else c]. An unknown filter in it is an error only when it is reached. */
static enum lf_err condition(struct lf_jparser *p, struct lf_jnode **out)
{
    const struct lf_jnode *unknown = p->unknown;
    if (++p->depth > LF_J_NESTING_MAX)
        return lf_jp_fail(p, "the expression is nested too deep");
    enum lf_err rc = or_(p, out);
    while (rc == LF_OK && lf_jp_skip_name(p, "if")) {
        struct lf_jnode *node = lf_jp_node(p, LF_JN_COND);
        if (!node)
            return LF_E_NO_MEMORY;
        node->b = *out;
        rc = or_(p, &node->a);
        if (rc == LF_OK && lf_jp_skip_name(p, "else"))
            rc = condition(p, &node->c);
        p->unknown = unknown;
        *out = node;
    }
    p->depth--;
    return rc;
}

enum lf_err lf_jp_expression(struct lf_jparser *p, struct lf_jnode **out)
{
    return condition(p, out);
}

/* Where a tuple without parentheses is over, after a comma. */
static bool ends_tuple(const struct lf_jtoken *t)
{
    return t->type == LF_JT_VARIABLE_END || t->type == LF_JT_BLOCK_END || lf_jp_is_op(t, ")") ||
           lf_jp_is_name(t, "recursive");
}

enum lf_err lf_jp_tuple(struct lf_jparser *p, bool conditional, struct lf_jnode **out)
{
    enum lf_err rc = conditional ? condition(p, out) : or_(p, out);
    if (rc != LF_OK || !lf_jp_is_op(p->at, ","))
        return rc;
    struct lf_jnode *tuple = lf_jp_node(p, LF_JN_TUPLE), *item = *out;
    if (!tuple)
        return LF_E_NO_MEMORY;
    rc = lf_jp_push(p, &tuple->v, &tuple->n, item);
    while (rc == LF_OK && lf_jp_skip_op(p, ",") && !ends_tuple(p->at)) {
        rc = conditional ? condition(p, &item) : or_(p, &item);
        if (rc == LF_OK)
            rc = lf_jp_push(p, &tuple->v, &tuple->n, item);
    }
    *out = tuple;
    return rc;
}

/* --- targets --- */

static bool assignable(const struct lf_jnode *node)
{
    if (node->kind != LF_JN_TUPLE)
        return node->kind == LF_JN_NAME || node->kind == LF_JN_NSREF;
    for (size_t i = 0; i < node->n; i++)
        if (!assignable(node->v[i]))
            return false;
    return true;
}

/* name or, for set, namespace.name */
static enum lf_err one_target(struct lf_jparser *p, bool namespaces, struct lf_jnode **out)
{
    enum lf_err rc = primary(p, out);
    if (rc != LF_OK || !namespaces || (*out)->kind != LF_JN_NAME || !lf_jp_skip_op(p, "."))
        return rc;
    (*out)->kind = LF_JN_NSREF;
    struct lf_str attribute = {0};
    rc = lf_jp_expect_name(p, &attribute);
    (*out)->value = lf_jv_str(attribute.s, attribute.n);
    return rc;
}

enum lf_err lf_jp_target(struct lf_jparser *p, bool namespaces, struct lf_jnode **out)
{
    enum lf_err rc = one_target(p, namespaces, out);
    struct lf_jnode *tuple = NULL, *item = rc == LF_OK ? *out : NULL;
    while (rc == LF_OK && lf_jp_skip_op(p, ",")) {
        if (!tuple) {
            tuple = *out = lf_jp_node(p, LF_JN_TUPLE);
            rc = tuple ? lf_jp_push(p, &tuple->v, &tuple->n, item) : LF_E_NO_MEMORY;
        }
        if (rc != LF_OK || lf_jp_is_name(p->at, "in") || ends_tuple(p->at))
            break;
        rc = one_target(p, namespaces, &item);
        if (rc == LF_OK)
            rc = lf_jp_push(p, &tuple->v, &tuple->n, item);
    }
    if (rc == LF_OK && !assignable(*out))
        rc = lf_jp_fail(p, "this cannot be assigned to");
    return rc;
}
