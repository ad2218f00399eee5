/* Tokens to a tree: tags and the text between them. Expressions are expressions.c. */
#include "text/chat/tree.h"
#include "core/limits.h"
#include "text/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- tools --- */

void lf_jp_fail(struct lf_jparser *p, const char *fmt, ...)
{
    char text[LF_DIAG_MAX / 2];
    va_list ap;
    if (p->rc != LF_OK)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    p->rc = lf_fail(p->diag, LF_E_INVALID, "line %u: %s", p->at->line, text);
    p->at = p->end;
}

void *lf_jp_alloc(struct lf_jparser *p, size_t n)
{
    void *m = lf_arena_alloc(p->arena, n);
    if (!m) {
        lf_jp_fail(p, "no memory for the template");
        p->rc = LF_E_NO_MEMORY;
    }
    return m;
}

void lf_jp_next(struct lf_jparser *p)
{
    p->at += p->rc == LF_OK;
}

struct lf_jnode *lf_jp_node(struct lf_jparser *p, enum lf_jkind kind)
{
    if (p->n_nodes++ >= LF_J_NODES_MAX)
        lf_jp_fail(p, "the template has more than %u parts", LF_J_NODES_MAX);
    struct lf_jnode *node = p->rc == LF_OK ? lf_jp_alloc(p, sizeof *node) : NULL;
    if (!node)
        node = &p->nowhere;
    *node = (struct lf_jnode){.kind = kind, .line = p->at->line};
    return node;
}

void lf_jp_push(struct lf_jparser *p, struct lf_jnodes *nodes, struct lf_jnode *node)
{
    size_t n = nodes->n;
    if (p->rc != LF_OK)
        return;
    bool full = n == 0 || (n >= 4 && (n & (n - 1)) == 0); /* room for 4, then powers of two */
    if (full) {
        struct lf_jnode **more = lf_jp_alloc(p, (n ? 2 * n : 4) * sizeof *more);
        if (!more)
            return;
        if (n)
            memcpy(more, nodes->v, n * sizeof *more);
        nodes->v = more;
    }
    nodes->v[nodes->n++] = node;
}

bool lf_jp_is_name(const struct lf_jtoken *t, const char *name)
{
    return t->type == LF_JT_NAME && lf_str_is(t->text, name);
}

bool lf_jp_is_op(const struct lf_jtoken *t, const char *op)
{
    return t->type == LF_JT_OPERATOR && strcmp(t->text.s, op) == 0;
}

bool lf_jp_skip_name(struct lf_jparser *p, const char *name)
{
    bool is = lf_jp_is_name(p->at, name);
    p->at += is;
    return is;
}

bool lf_jp_skip_op(struct lf_jparser *p, const char *op)
{
    bool is = lf_jp_is_op(p->at, op);
    p->at += is;
    return is;
}

static void expected(struct lf_jparser *p, const char *what)
{
    lf_jp_fail(p, "expected %s, got '%.*s'", what, (int)p->at->text.n, p->at->text.s);
}

void lf_jp_expect_op(struct lf_jparser *p, const char *op)
{
    char what[8];
    snprintf(what, sizeof what, "'%s'", op);
    if (!lf_jp_skip_op(p, op))
        expected(p, what);
}

void lf_jp_expect(struct lf_jparser *p, enum lf_jtoken_type type, const char *what)
{
    if (p->at->type != type)
        expected(p, what);
    else
        p->at++;
}

struct lf_str lf_jp_expect_name(struct lf_jparser *p)
{
    struct lf_str name = p->at->text;
    lf_jp_expect(p, LF_JT_NAME, "a name");
    return name;
}

bool lf_jp_next_item(struct lf_jparser *p, const char *close, bool first)
{
    if (p->rc != LF_OK || lf_jp_skip_op(p, close))
        return false;
    if (!first)
        lf_jp_expect_op(p, ",");
    return p->rc == LF_OK && (first || !lf_jp_skip_op(p, close));
}

/* --- bodies --- */

/* The tags that end a body; which of them did is left at p->at. */
struct ends {
    const char *names[4];
};

static struct lf_jnode *statement(struct lf_jparser *p);

static bool ends_here(const struct lf_jparser *p, const struct ends *ends)
{
    for (size_t i = 0; ends && i < 4 && ends->names[i]; i++)
        if (lf_jp_is_name(p->at, ends->names[i]))
            return true;
    return false;
}

static struct lf_jnode *text_node(struct lf_jparser *p)
{
    struct lf_jnode *node = lf_jp_node(p, LF_JN_TEXT);
    node->name = p->at->text;
    lf_jp_next(p);
    return node;
}

static struct lf_jnode *print_node(struct lf_jparser *p)
{
    p->at++;
    struct lf_jnode *node = lf_jp_node(p, LF_JN_PRINT);
    node->a = lf_jp_tuple(p, true);
    lf_jp_expect(p, LF_JT_VARIABLE_END, "the end of the expression");
    return node;
}

/* Text and tags up to one of `ends` (whose "{%" is passed over), or to the end of the source. */
static void body_until(struct lf_jparser *p, const struct ends *ends, struct lf_jnodes *out)
{
    while (p->rc == LF_OK) {
        struct lf_jnode *node;
        if (p->at->type == LF_JT_TEXT) {
            node = text_node(p);
        } else if (p->at->type == LF_JT_VARIABLE_BEGIN) {
            node = print_node(p);
        } else if (p->at->type == LF_JT_BLOCK_BEGIN) {
            p->at++;
            if (ends_here(p, ends))
                return;
            node = statement(p);
            lf_jp_expect(p, LF_JT_BLOCK_END, "the end of the tag");
        } else {
            if (ends)
                lf_jp_fail(p, "unexpected end of template, looking for %s", ends->names[0]);
            return;
        }
        if (p->unknown)
            lf_jp_fail(p, "no %s named '%.*s'",
                       p->unknown->kind == LF_JN_FILTER ? "filter" : "test",
                       (int)p->unknown->name.n, p->unknown->name.s);
        lf_jp_push(p, out, node);
    }
}

/* The rest of an opening tag, then its body. An unknown filter is an error at once, but for a body
 * right under an if (`conditional`), where jinja2 waits until it is reached. */
static void body_of_tag(struct lf_jparser *p, const struct ends *ends, bool conditional,
                        struct lf_jnodes *out)
{
    bool was = p->conditional;
    if (++p->depth > LF_J_NESTING_MAX)
        lf_jp_fail(p, "tags are nested too deep");
    p->conditional = conditional;
    lf_jp_skip_op(p, ":");
    lf_jp_expect(p, LF_JT_BLOCK_END, "the end of the tag");
    body_until(p, ends, out);
    p->conditional = was;
    p->depth--;
}

/* A body that ends with one tag, which is passed over up to its "%}". */
static void body_to(struct lf_jparser *p, const char *end, struct lf_jnodes *out)
{
    const struct ends ends = {{end}};
    body_of_tag(p, &ends, false, out);
    lf_jp_next(p);
}

/* A body that is a function of its own: loops around it are not its. */
static void function_body(struct lf_jparser *p, const char *end, struct lf_jnodes *out)
{
    unsigned loops = p->loops;
    p->loops = 0;
    body_to(p, end, out);
    p->loops = loops;
}

/* What a tag says to its own body (a loop's condition, a macro's defaults, a block's filter) counts
 * as part of it: an unknown filter is an error at once. Returns what was; give it back after. */
static bool inside_tag(struct lf_jparser *p)
{
    bool was = p->conditional;
    p->conditional = false;
    return was;
}

/* --- tags --- */

/* An if and its elifs, each the only statement of the else of the one before. */
static void parse_if(struct lf_jparser *p, struct lf_jnode *node)
{
    static const struct ends ends = {{"endif", "else", "elif"}}, end = {{"endif"}};
    bool was = p->conditional;
    p->conditional = true;
    for (;;) {
        node->a = lf_jp_tuple(p, false);
        body_of_tag(p, &ends, true, &node->body);
        if (!lf_jp_skip_name(p, "elif"))
            break;
        struct lf_jnode *next = lf_jp_node(p, LF_JN_IF);
        lf_jp_push(p, &node->orelse, next);
        node = next;
    }
    if (lf_jp_skip_name(p, "else"))
        body_of_tag(p, &end, true, &node->orelse);
    lf_jp_next(p);
    p->conditional = was;
}

static void parse_for(struct lf_jparser *p, struct lf_jnode *node)
{
    static const struct ends ends = {{"endfor", "else"}};
    node->a = lf_jp_target(p, false);
    if (!lf_jp_skip_name(p, "in"))
        lf_jp_fail(p, "expected 'in'");
    node->b = lf_jp_tuple(p, false);
    bool was = inside_tag(p);
    if (lf_jp_skip_name(p, "if"))
        node->c = lf_jp_expression(p);
    p->conditional = was;
    if (lf_jp_is_name(p->at, "recursive"))
        lf_jp_fail(p, "recursive loops are not supported");
    p->loops++;
    body_of_tag(p, &ends, false, &node->body);
    p->loops--;
    if (lf_jp_skip_name(p, "else"))
        body_to(p, "endfor", &node->orelse);
    else
        lf_jp_next(p);
}

static void parse_set(struct lf_jparser *p, struct lf_jnode *node)
{
    node->a = lf_jp_target(p, true);
    if (lf_jp_skip_op(p, "=")) {
        node->b = lf_jp_tuple(p, true);
        return;
    }
    node->kind = LF_JN_SET_BLOCK;
    bool was = inside_tag(p);
    node->b = lf_jp_filters(p, NULL, false);
    p->conditional = was;
    body_to(p, "endset", &node->body);
}

/* (a, b=1) */
static void parse_signature(struct lf_jparser *p, struct lf_jnode *node)
{
    bool was = inside_tag(p);
    lf_jp_expect_op(p, "(");
    while (lf_jp_next_item(p, ")", node->v.n == 0)) {
        struct lf_jnode *name = lf_jp_node(p, LF_JN_NAME);
        name->name = lf_jp_expect_name(p);
        lf_jp_push(p, &node->v, name);
        if (lf_jp_skip_op(p, "="))
            lf_jp_push(p, &node->defaults, lf_jp_expression(p));
        else if (node->defaults.n > 0)
            lf_jp_fail(p, "an argument without default follows one with");
    }
    p->conditional = was;
}

/* Whether a name occurs between two tokens: what a macro's body may ask for. */
static bool mentions(const struct lf_jtoken *from, const struct lf_jtoken *to, const char *name)
{
    for (; from < to; from++)
        if (lf_jp_is_name(from, name))
            return true;
    return false;
}

static void macro_body(struct lf_jparser *p, struct lf_jnode *node, const char *end)
{
    const struct lf_jtoken *from = p->at;
    function_body(p, end, &node->body);
    if (mentions(from, p->at, "kwargs") || mentions(from, p->at, "varargs"))
        lf_jp_fail(p, "varargs and kwargs of a macro are not supported");
    node->has_caller = mentions(from, p->at, "caller");
}

static void parse_macro(struct lf_jparser *p, struct lf_jnode *node)
{
    node->name = lf_jp_expect_name(p);
    parse_signature(p, node);
    macro_body(p, node, "endmacro");
}

static void parse_call_block(struct lf_jparser *p, struct lf_jnode *node)
{
    struct lf_jnode *caller = lf_jp_node(p, LF_JN_MACRO);
    caller->name = (struct lf_str){"caller", 6};
    if (lf_jp_is_op(p->at, "("))
        parse_signature(p, caller);
    node->b = caller;
    node->a = lf_jp_expression(p);
    if (node->a->kind != LF_JN_CALL)
        lf_jp_fail(p, "expected a call");
    macro_body(p, caller, "endcall");
}

static void parse_filter_block(struct lf_jparser *p, struct lf_jnode *node)
{
    bool was = inside_tag(p);
    node->a = lf_jp_filters(p, NULL, true);
    p->conditional = was;
    body_to(p, "endfilter", &node->body);
}

static void parse_with(struct lf_jparser *p, struct lf_jnode *node)
{
    while (p->rc == LF_OK && p->at->type != LF_JT_BLOCK_END) {
        if (node->v.n > 0)
            lf_jp_expect_op(p, ",");
        lf_jp_push(p, &node->v, lf_jp_target(p, false));
        lf_jp_expect_op(p, "=");
        lf_jp_push(p, &node->defaults, lf_jp_expression(p));
    }
    body_to(p, "endwith", &node->body);
}

static void parse_generation(struct lf_jparser *p, struct lf_jnode *node)
{
    function_body(p, "endgeneration", &node->body);
}

static void parse_jump(struct lf_jparser *p, struct lf_jnode *node)
{
    (void)node;
    if (!p->loops)
        lf_jp_fail(p, "break or continue outside a loop");
}

static struct lf_jnode *statement(struct lf_jparser *p)
{
    static const struct {
        const char *name;
        enum lf_jkind kind;
        void (*parse)(struct lf_jparser *p, struct lf_jnode *node);
    } tags[] = {
        {"if", LF_JN_IF, parse_if},
        {"for", LF_JN_FOR, parse_for},
        {"set", LF_JN_SET, parse_set},
        {"macro", LF_JN_MACRO, parse_macro},
        {"call", LF_JN_CALL_BLOCK, parse_call_block},
        {"filter", LF_JN_FILTER_BLOCK, parse_filter_block},
        {"with", LF_JN_SCOPE, parse_with},
        {"generation", LF_JN_SCOPE, parse_generation},
        {"break", LF_JN_BREAK, parse_jump},
        {"continue", LF_JN_CONTINUE, parse_jump},
    };
    struct lf_jnode *node = lf_jp_node(p, LF_JN_TEXT);
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (!lf_jp_skip_name(p, tags[i].name))
            continue;
        node->kind = tags[i].kind;
        tags[i].parse(p, node);
        return node;
    }
    lf_jp_fail(p, "tag '%.*s' is not supported", (int)p->at->text.n, p->at->text.s);
    return node;
}

enum lf_err lf_j_parse(struct lf_arena *arena, struct lf_str source, const struct lf_jnames *names,
                       struct lf_jnodes *out, struct lf_diag *diag)
{
    struct lf_jtoken *tokens;
    struct lf_jnodes body = {0};
    enum lf_err rc = lf_j_lex(arena, source, &tokens, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_jparser p = {
        .arena = arena, .names = names, .diag = diag, .at = tokens, .end = tokens};
    while (p.end->type != LF_JT_END)
        p.end++;
    body_until(&p, NULL, &body);
    free(tokens);
    if (p.rc == LF_OK)
        *out = body;
    return p.rc;
}
