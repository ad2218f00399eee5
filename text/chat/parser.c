/* Tokens to a tree: tags and the text between them. Expressions are expressions.c. */
#include "text/chat/jinja.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- tools --- */

enum lf_err lf_jp_fail(struct lf_jparser *p, const char *fmt, ...)
{
    char text[LF_DIAG_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return lf_fail(p->diag, LF_E_INVALID, "line %u: %s", p->at->line, text);
}

struct lf_jnode *lf_jp_node(struct lf_jparser *p, enum lf_jkind kind)
{
    if (p->n_nodes++ >= LF_J_NODES_MAX) {
        lf_jp_fail(p, "the template has more than %u parts", LF_J_NODES_MAX);
        return NULL;
    }
    struct lf_jnode *node = lf_arena_alloc(p->arena, sizeof *node);
    if (!node) {
        lf_jp_fail(p, "no memory for the template");
        return NULL;
    }
    node->kind = kind;
    node->line = p->at->line;
    return node;
}

bool lf_jp_is_name(const struct lf_jtoken *t, const char *name)
{
    return t->type == LF_JT_NAME && t->text.n == strlen(name) &&
           memcmp(t->text.s, name, t->text.n) == 0;
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

enum lf_err lf_jp_expect_op(struct lf_jparser *p, const char *op)
{
    if (!lf_jp_skip_op(p, op))
        return lf_jp_fail(p, "expected '%s', got '%.*s'", op, (int)p->at->text.n, p->at->text.s);
    return LF_OK;
}

enum lf_err lf_jp_expect_name(struct lf_jparser *p, struct lf_str *out)
{
    if (p->at->type != LF_JT_NAME)
        return lf_jp_fail(p, "expected a name, got '%.*s'", (int)p->at->text.n, p->at->text.s);
    *out = p->at->text;
    p->at++;
    return LF_OK;
}

enum lf_err lf_jp_push(struct lf_jparser *p, struct lf_jnode ***v, size_t *n, struct lf_jnode *node)
{
    bool full = *n == 0 || (*n >= 4 && (*n & (*n - 1)) == 0); /* room for 4, then powers of two */
    if (full) {
        size_t cap = *n ? 2 * *n : 4;
        struct lf_jnode **more = lf_arena_alloc(p->arena, cap * sizeof **v);
        if (!more)
            return lf_jp_fail(p, "no memory for the template");
        if (*n)
            memcpy(more, *v, *n * sizeof **v);
        *v = more;
    }
    (*v)[(*n)++] = node;
    return LF_OK;
}

/* --- bodies --- */

/* The tags that end a body; which of them did is left at p->at. */
struct ends {
    const char *names[4];
};

static enum lf_err statement(struct lf_jparser *p, struct lf_jnode **out);

static enum lf_err expect_block_end(struct lf_jparser *p)
{
    if (p->at->type != LF_JT_BLOCK_END)
        return lf_jp_fail(p, "expected the end of the tag, got '%.*s'", (int)p->at->text.n,
                          p->at->text.s);
    p->at++;
    return LF_OK;
}

static bool ends_here(const struct lf_jparser *p, const struct ends *ends)
{
    for (size_t i = 0; ends && i < 4 && ends->names[i]; i++)
        if (lf_jp_is_name(p->at, ends->names[i]))
            return true;
    return false;
}

static enum lf_err text_node(struct lf_jparser *p, struct lf_jnode **out)
{
    *out = lf_jp_node(p, LF_JN_TEXT);
    if (!*out)
        return LF_E_NO_MEMORY;
    (*out)->name = p->at->text;
    p->at++;
    return LF_OK;
}

static enum lf_err print_node(struct lf_jparser *p, struct lf_jnode **out)
{
    p->at++;
    struct lf_jnode *node = lf_jp_node(p, LF_JN_PRINT), *value;
    if (!node)
        return LF_E_NO_MEMORY;
    enum lf_err rc = lf_jp_tuple(p, true, &value);
    if (rc == LF_OK)
        rc = lf_jp_push(p, &node->v, &node->n, value);
    if (rc == LF_OK && p->at->type != LF_JT_VARIABLE_END)
        rc = lf_jp_fail(p, "expected the end of the expression, got '%.*s'", (int)p->at->text.n,
                        p->at->text.s);
    p->at++;
    *out = node;
    return rc;
}

/* Text and tags up to one of `ends` (whose "{%" is passed over), or to the end of the source. */
static enum lf_err body_until(struct lf_jparser *p, const struct ends *ends, struct lf_jbody *out)
{
    for (;;) {
        struct lf_jnode *node = NULL;
        enum lf_err rc;
        if (p->at->type == LF_JT_TEXT) {
            rc = text_node(p, &node);
        } else if (p->at->type == LF_JT_VARIABLE_BEGIN) {
            rc = print_node(p, &node);
        } else if (p->at->type == LF_JT_BLOCK_BEGIN) {
            p->at++;
            if (ends_here(p, ends))
                return LF_OK;
            rc = statement(p, &node);
            if (rc == LF_OK)
                rc = expect_block_end(p);
        } else {
            return ends
                       ? lf_jp_fail(p, "unexpected end of template, looking for %s", ends->names[0])
                       : LF_OK;
        }
        if (rc == LF_OK && p->unknown)
            rc = lf_jp_fail(p, "no %s named '%.*s'",
                            p->unknown->kind == LF_JN_FILTER ? "filter" : "test",
                            (int)p->unknown->name.n, p->unknown->name.s);
        if (rc == LF_OK)
            rc = lf_jp_push(p, &out->v, &out->n, node);
        if (rc != LF_OK)
            return rc;
    }
}

/* The rest of an opening tag, then its body. An unknown filter is an error at once, but for a body
 * right under an if (`conditional`), where jinja2 waits until it is reached. */
static enum lf_err body_of_tag(struct lf_jparser *p, const struct ends *ends, bool conditional,
                               struct lf_jbody *out)
{
    bool was = p->conditional;
    if (++p->depth > LF_J_NESTING_MAX)
        return lf_jp_fail(p, "tags are nested too deep");
    p->conditional = conditional;
    lf_jp_skip_op(p, ":");
    enum lf_err rc = expect_block_end(p);
    if (rc == LF_OK)
        rc = body_until(p, ends, out);
    p->conditional = was;
    p->depth--;
    return rc;
}

/* What a tag says to its own body (a loop's condition, a macro's defaults, a block's filter) counts
 * as part of it: an unknown filter is an error at once. Returns what was; give it back after. */
static bool inside_tag(struct lf_jparser *p)
{
    bool was = p->conditional;
    p->conditional = false;
    return was;
}

/* A body that ends with one tag, which is passed over up to its "%}". */
static enum lf_err body_to(struct lf_jparser *p, const char *end, struct lf_jbody *out)
{
    const struct ends ends = {{end}};
    enum lf_err rc = body_of_tag(p, &ends, false, out);
    if (rc == LF_OK)
        p->at++;
    return rc;
}

/* A body that is a function of its own: loops around it are not its. */
static enum lf_err function_body(struct lf_jparser *p, const char *end, struct lf_jbody *out)
{
    unsigned loops = p->loops;
    p->loops = 0;
    enum lf_err rc = body_to(p, end, out);
    p->loops = loops;
    return rc;
}

/* --- tags --- */

/* An if and its elifs, each the only statement of the else of the one before. */
static enum lf_err parse_if(struct lf_jparser *p, struct lf_jnode *node)
{
    static const struct ends ends = {{"endif", "else", "elif"}}, end = {{"endif"}};
    bool was = p->conditional;
    enum lf_err rc;
    for (;;) {
        p->conditional = true;
        rc = lf_jp_tuple(p, false, &node->a);
        if (rc == LF_OK)
            rc = body_of_tag(p, &ends, true, &node->body);
        if (rc != LF_OK || !lf_jp_skip_name(p, "elif"))
            break;
        struct lf_jnode *next = lf_jp_node(p, LF_JN_IF);
        rc = next ? lf_jp_push(p, &node->orelse.v, &node->orelse.n, next) : LF_E_NO_MEMORY;
        if (rc != LF_OK)
            break;
        node = next;
    }
    if (rc == LF_OK && lf_jp_skip_name(p, "else"))
        rc = body_of_tag(p, &end, true, &node->orelse);
    p->at += rc == LF_OK;
    p->conditional = was;
    return rc;
}

static enum lf_err parse_for(struct lf_jparser *p, struct lf_jnode *node)
{
    static const struct ends ends = {{"endfor", "else"}};
    enum lf_err rc = lf_jp_target(p, false, &node->a);
    if (rc == LF_OK && !lf_jp_skip_name(p, "in"))
        rc = lf_jp_fail(p, "expected 'in'");
    if (rc == LF_OK)
        rc = lf_jp_tuple(p, false, &node->b);
    bool was = inside_tag(p);
    if (rc == LF_OK && lf_jp_skip_name(p, "if"))
        rc = lf_jp_expression(p, &node->c);
    p->conditional = was;
    if (rc == LF_OK && lf_jp_is_name(p->at, "recursive"))
        rc = lf_jp_fail(p, "recursive loops are not supported");
    p->loops++;
    if (rc == LF_OK)
        rc = body_of_tag(p, &ends, false, &node->body);
    p->loops--;
    if (rc == LF_OK && lf_jp_skip_name(p, "else"))
        return body_to(p, "endfor", &node->orelse);
    if (rc == LF_OK)
        p->at++;
    return rc;
}

static enum lf_err parse_set(struct lf_jparser *p, struct lf_jnode *node)
{
    enum lf_err rc = lf_jp_target(p, true, &node->a);
    if (rc != LF_OK)
        return rc;
    if (lf_jp_skip_op(p, "="))
        return lf_jp_tuple(p, true, &node->b);
    node->kind = LF_JN_SET_BLOCK;
    bool was = inside_tag(p);
    rc = lf_jp_filters(p, NULL, false, &node->b);
    p->conditional = was;
    return rc == LF_OK ? body_to(p, "endset", &node->body) : rc;
}

/* (a, b=1) */
static enum lf_err parse_signature(struct lf_jparser *p, struct lf_jnode *node)
{
    enum lf_err rc = lf_jp_expect_op(p, "(");
    bool was = inside_tag(p);
    while (rc == LF_OK && !lf_jp_is_op(p->at, ")")) {
        struct lf_jnode *name, *value;
        if (node->n > 0)
            rc = lf_jp_expect_op(p, ",");
        if (rc != LF_OK)
            break;
        name = lf_jp_node(p, LF_JN_NAME);
        if (!name)
            return LF_E_NO_MEMORY;
        rc = lf_jp_expect_name(p, &name->name);
        if (rc == LF_OK)
            rc = lf_jp_push(p, &node->v, &node->n, name);
        if (rc == LF_OK && lf_jp_skip_op(p, "=")) {
            rc = lf_jp_expression(p, &value);
            if (rc == LF_OK)
                rc = lf_jp_push(p, &node->defaults, &node->n_defaults, value);
        } else if (rc == LF_OK && node->n_defaults > 0) {
            rc = lf_jp_fail(p, "an argument without default follows one with");
        }
    }
    p->conditional = was;
    return rc == LF_OK ? lf_jp_expect_op(p, ")") : rc;
}

/* Whether a name occurs between two tokens: what a macro's body may ask for. */
static bool mentions(const struct lf_jtoken *from, const struct lf_jtoken *to, const char *name)
{
    for (; from < to; from++)
        if (lf_jp_is_name(from, name))
            return true;
    return false;
}

static enum lf_err macro_body(struct lf_jparser *p, struct lf_jnode *node, const char *end)
{
    const struct lf_jtoken *from = p->at;
    enum lf_err rc = function_body(p, end, &node->body);
    node->catches_kwargs = mentions(from, p->at, "kwargs");
    node->catches_varargs = mentions(from, p->at, "varargs");
    node->has_caller = mentions(from, p->at, "caller");
    return rc;
}

static enum lf_err parse_macro(struct lf_jparser *p, struct lf_jnode *node)
{
    enum lf_err rc = lf_jp_expect_name(p, &node->name);
    if (rc == LF_OK)
        rc = parse_signature(p, node);
    return rc == LF_OK ? macro_body(p, node, "endmacro") : rc;
}

static enum lf_err parse_call_block(struct lf_jparser *p, struct lf_jnode *node)
{
    struct lf_jnode *caller = node->b = lf_jp_node(p, LF_JN_MACRO);
    if (!caller)
        return LF_E_NO_MEMORY;
    caller->name = (struct lf_str){"caller", 6};
    enum lf_err rc = lf_jp_is_op(p->at, "(") ? parse_signature(p, caller) : LF_OK;
    if (rc == LF_OK)
        rc = lf_jp_expression(p, &node->a);
    if (rc == LF_OK && node->a->kind != LF_JN_CALL)
        rc = lf_jp_fail(p, "expected a call");
    return rc == LF_OK ? macro_body(p, caller, "endcall") : rc;
}

static enum lf_err parse_filter_block(struct lf_jparser *p, struct lf_jnode *node)
{
    bool was = inside_tag(p);
    enum lf_err rc = lf_jp_filters(p, NULL, true, &node->a);
    p->conditional = was;
    return rc == LF_OK ? body_to(p, "endfilter", &node->body) : rc;
}

static enum lf_err parse_with(struct lf_jparser *p, struct lf_jnode *node)
{
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && p->at->type != LF_JT_BLOCK_END) {
        struct lf_jnode *target, *value;
        if (node->n > 0)
            rc = lf_jp_expect_op(p, ",");
        if (rc == LF_OK)
            rc = lf_jp_target(p, false, &target);
        if (rc == LF_OK)
            rc = lf_jp_expect_op(p, "=");
        if (rc == LF_OK)
            rc = lf_jp_expression(p, &value);
        if (rc == LF_OK)
            rc = lf_jp_push(p, &node->v, &node->n, target);
        if (rc == LF_OK)
            rc = lf_jp_push(p, &node->defaults, &node->n_defaults, value);
    }
    return rc == LF_OK ? body_to(p, "endwith", &node->body) : rc;
}

static enum lf_err parse_print(struct lf_jparser *p, struct lf_jnode *node)
{
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && p->at->type != LF_JT_BLOCK_END) {
        struct lf_jnode *value;
        if (node->n > 0)
            rc = lf_jp_expect_op(p, ",");
        if (rc == LF_OK)
            rc = lf_jp_expression(p, &value);
        if (rc == LF_OK)
            rc = lf_jp_push(p, &node->v, &node->n, value);
    }
    return rc;
}

static enum lf_err parse_generation(struct lf_jparser *p, struct lf_jnode *node)
{
    return function_body(p, "endgeneration", &node->body);
}

static enum lf_err parse_jump(struct lf_jparser *p, struct lf_jnode *node)
{
    (void)node;
    return p->loops ? LF_OK : lf_jp_fail(p, "break or continue outside a loop");
}

static enum lf_err statement(struct lf_jparser *p, struct lf_jnode **out)
{
    static const struct {
        const char *name;
        enum lf_jkind kind;
        enum lf_err (*parse)(struct lf_jparser *p, struct lf_jnode *node);
    } tags[] = {
        {"if", LF_JN_IF, parse_if},
        {"for", LF_JN_FOR, parse_for},
        {"set", LF_JN_SET, parse_set},
        {"macro", LF_JN_MACRO, parse_macro},
        {"call", LF_JN_CALL_BLOCK, parse_call_block},
        {"filter", LF_JN_FILTER_BLOCK, parse_filter_block},
        {"with", LF_JN_WITH, parse_with},
        {"print", LF_JN_PRINT, parse_print},
        {"generation", LF_JN_SCOPE, parse_generation},
        {"break", LF_JN_BREAK, parse_jump},
        {"continue", LF_JN_CONTINUE, parse_jump},
    };
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (!lf_jp_skip_name(p, tags[i].name))
            continue;
        *out = lf_jp_node(p, tags[i].kind);
        return *out ? tags[i].parse(p, *out) : LF_E_NO_MEMORY;
    }
    return lf_jp_fail(p, "tag '%.*s' is not supported", (int)p->at->text.n, p->at->text.s);
}

enum lf_err lf_j_parse(struct lf_arena *arena, struct lf_str source, struct lf_jbody *out,
                       struct lf_diag *diag)
{
    struct lf_jtoken *tokens;
    enum lf_err rc = lf_j_lex(arena, source, &tokens, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_jparser p = {.arena = arena, .diag = diag, .at = tokens};
    struct lf_jbody body = {0};
    rc = body_until(&p, NULL, &body);
    free(tokens);
    if (rc == LF_OK)
        *out = body;
    return rc;
}
