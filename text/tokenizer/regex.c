/* Patterns: exact strings, and regular expressions in Oniguruma's dialect (the library's engine)
 * rewritten for PCRE2.
 *
 * Where the two differ, and what is done:
 *   \s \S   White_Space; PCRE2's \s also holds U+180E      written out as a set
 *   \w \b   Alphabetic, marks, digits, connectors, and      written out; PCRE2's \w lacks marks
 *           of Latin-1 the other numbers too
 *   \h      a hex digit; in PCRE2 a horizontal space        written out
 *   \p{..}  Unicode 16; PCRE2 10.42 has 14                  the new code points are added to the
 *           set; a negated property inside brackets keeps 14's meaning
 *   \p{Han} script; in PCRE2 script extensions              \p{sc:Han}
 *   [a[b]]  a nested set is a union                         brackets dropped; nested [^..] refused
 *   &&      intersection of sets                            refused
 *   ^ $     always at line ends                             PCRE2_MULTILINE
 *   (?m)    dot matches newline                             (?s)
 *   {n,m}+  a repeated repeat, not possessive               refused
 *   {,m}    from none                                       {0,m}
 * Anything else that the two read differently (\K, \R, \g, POSIX brackets, octal...) is refused.
 */
#include "core/utf8.h"
#include "text/limits.h"
#include "text/tokenizer/pattern.h"

#include <string.h>

#define SPACE_SET                                                                            \
    "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}" \
    "\\x{3000}"
#define WORD_SET "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

/* A regex on its way from one dialect to the other. */
struct rewrite {
    const char *s;
    size_t n, i;
    struct lf_buf out;
    struct lf_diag *diag;
};

static enum lf_err refuse(struct rewrite *r, const char *what)
{
    return lf_fail(r->diag, LF_E_UNSUPPORTED, "regex: %s at byte %zu is not supported", what, r->i);
}

static bool at(const struct rewrite *r, const char *word)
{
    size_t n = strlen(word);
    return r->n - r->i >= n && memcmp(r->s + r->i, word, n) == 0;
}

/* Appends the new code points whose category is `name` or begins with it ("L", "Lu", "Han"). */
static void put_new(struct lf_buf *out, const char *name)
{
    bool han = strcmp(name, "Han") == 0; /* all that planes 2 and 3 gained is Han */
    for (size_t i = 0; i < lf_tok_n_new_ranges; i++) {
        const struct lf_tok_new_range *r = &lf_tok_new_ranges[i];
        if (han ? r->lo >= 0x20000 : strncmp(r->category, name, strlen(name)) == 0)
            lf_buf_printf(out, "\\x{%x}-\\x{%x}", r->lo, r->hi);
    }
}

static void put_word_set(struct lf_buf *out)
{
    lf_buf_puts(out, WORD_SET);
    put_new(out, "L");
    put_new(out, "M");
    put_new(out, "Nd");
    put_new(out, "Nl");
    put_new(out, "Pc");
}

static bool is_category(const char *name)
{
    static const char *const all[] = {"C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm",
                                      "Lo", "Lt", "Lu", "M",  "Mc", "Me", "Mn", "N",  "Nd",
                                      "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi", "Po",
                                      "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(all[i], name) == 0)
            return true;
    return false;
}

/* \p{Name}, \P{Name}, \p{^Name}; r->i is after the p. */
static enum lf_err put_property(struct rewrite *r, bool negated, bool in_class)
{
    char name[32];
    size_t n = 0;
    if (r->i >= r->n || r->s[r->i] != '{')
        return refuse(r, "a property without braces");
    r->i++;
    if (at(r, "^")) {
        negated = !negated;
        r->i++;
    }
    for (; r->i < r->n && r->s[r->i] != '}' && n < sizeof name - 1; r->i++) {
        char c = r->s[r->i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'))
            return refuse(r, "a property's name");
        name[n++] = c;
    }
    name[n] = '\0';
    if (!at(r, "}"))
        return refuse(r, "a property's name");
    r->i++;
    const char *script = is_category(name) ? "" : "sc:";
    if (in_class && negated) {
        lf_buf_printf(&r->out, "\\P{%s%s}", script, name);
        return LF_OK;
    }
    if (!in_class)
        lf_buf_puts(&r->out, negated ? "[^" : "[");
    lf_buf_printf(&r->out, "\\p{%s%s}", script, name);
    put_new(&r->out, name);
    if (!in_class)
        lf_buf_putc(&r->out, ']');
    return LF_OK;
}

/* \b and \B, by what \w means here. */
static void put_border(struct lf_buf *out, bool is_border)
{
    static const char *const border[] = {"(?:(?<=[", "])(?![", "])|(?<![", "])(?=[", "]))"};
    static const char *const inside[] = {"(?:(?<=[", "])(?=[", "])|(?<![", "])(?![", "]))"};
    for (size_t i = 0; i < 5; i++) {
        lf_buf_puts(out, is_border ? border[i] : inside[i]);
        if (i < 4)
            put_word_set(out);
    }
}

/* The set named by one letter, without brackets; false where it has none. */
static bool put_set(struct lf_buf *out, char letter)
{
    switch (letter) {
    case 's':
        lf_buf_puts(out, SPACE_SET);
        return true;
    case 'w':
        put_word_set(out);
        return true;
    case 'd':
        lf_buf_puts(out, "\\p{Nd}");
        put_new(out, "Nd");
        return true;
    case 'h':
        lf_buf_puts(out, "0-9a-fA-F");
        return true;
    default:
        return false;
    }
}

/* A backslash in brackets or out of them; r->i is after it. */
static enum lf_err put_escape(struct rewrite *r, bool in_class)
{
    if (r->i >= r->n)
        return refuse(r, "a trailing backslash");
    char c = r->s[r->i++];
    if (c == 'p' || c == 'P')
        return put_property(r, c == 'P', in_class);
    if (strchr("swdh", c)) {
        lf_buf_puts(&r->out, in_class ? "" : "[");
        put_set(&r->out, c);
        lf_buf_puts(&r->out, in_class ? "" : "]");
        return LF_OK;
    }
    if (strchr("SWDH", c) && !in_class) {
        lf_buf_puts(&r->out, "[^");
        put_set(&r->out, (char)(c | 0x20));
        lf_buf_puts(&r->out, "]");
        return LF_OK;
    }
    if (c == 'S' || c == 'D') {
        lf_buf_puts(&r->out, c == 'S' ? "\\S\\x{180e}" : "\\P{Nd}");
        return LF_OK;
    }
    if ((c == 'b' || c == 'B') && !in_class) {
        put_border(&r->out, c == 'b');
        return LF_OK;
    }
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if ((letter && !strchr(in_class ? "tnrfavex" : "tnrfavexAzZG", c)) || (c >= '0' && c <= '9'))
        return refuse(r, "this escape");
    if (c == 'x' && !at(r, "{") && r->i < r->n && r->s[r->i] >= '8')
        return refuse(r, "a byte above 0x7f");
    if (c == 'v') { /* in PCRE2 a class of vertical spaces */
        lf_buf_puts(&r->out, "\\x0b");
        return LF_OK;
    }
    lf_buf_putc(&r->out, '\\');
    lf_buf_putc(&r->out, c);
    return LF_OK;
}

/* A bracketed set; r->i is after its first bracket. Nested sets join the outer one. */
static enum lf_err put_class(struct rewrite *r)
{
    size_t depth = 1;
    lf_buf_putc(&r->out, '[');
    if (at(r, "^")) {
        lf_buf_putc(&r->out, '^');
        r->i++;
    }
    if (at(r, "]"))
        return refuse(r, "an empty set");
    while (r->i < r->n) {
        if (at(r, "[:") || at(r, "&&") || at(r, "[^") || at(r, "[]"))
            return refuse(r, "this kind of set in a set");
        char c = r->s[r->i++];
        if (c == '\\') {
            enum lf_err rc = put_escape(r, true);
            if (rc != LF_OK)
                return rc;
        } else if (c == '[') {
            depth++;
        } else if (c == ']' && --depth == 0) {
            lf_buf_putc(&r->out, ']');
            return LF_OK;
        } else if (c != ']') {
            lf_buf_putc(&r->out, c);
        }
    }
    return refuse(r, "a set without end");
}

/* "(?" and what follows it up to the group's body; r->i is after the question mark. */
static enum lf_err put_group(struct rewrite *r)
{
    static const char *const plain[] = {":", "=", "!", ">", "<=", "<!"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (!at(r, plain[i]))
            continue;
        lf_buf_printf(&r->out, "(?%s", plain[i]);
        r->i += strlen(plain[i]);
        return LF_OK;
    }
    lf_buf_puts(&r->out, "(?");
    for (; r->i < r->n; r->i++) {
        char c = r->s[r->i];
        if (c == ':' || c == ')') {
            lf_buf_putc(&r->out, c);
            r->i++;
            return LF_OK;
        }
        if (c != 'i' && c != 'm' && c != '-')
            break;
        lf_buf_putc(&r->out, c == 'm' ? 's' : c);
    }
    return refuse(r, "this kind of group");
}

/* "{...}"; r->i is after the brace. What is no interval is literal text to both engines. */
static enum lf_err put_interval(struct rewrite *r)
{
    size_t digits = strspn(r->s + r->i, "0123456789"), i = r->i + digits;
    bool comma = i < r->n && r->s[i] == ',';
    if (comma)
        i += 1 + strspn(r->s + i + 1, "0123456789");
    bool interval = i < r->n && r->s[i] == '}' && (digits > 0 || i > r->i + 1);
    lf_buf_puts(&r->out, interval ? "{" : "\\{");
    if (!interval)
        return LF_OK;
    lf_buf_puts(&r->out, digits == 0 ? "0" : "");
    lf_buf_append(&r->out, r->s + r->i, i + 1 - r->i);
    r->i = i + 1;
    if (at(r, "+") || (at(r, "?") && !comma))
        return refuse(r, "a quantifier after {n}");
    return LF_OK;
}

static enum lf_err rewrite_all(struct rewrite *r)
{
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && r->i < r->n) {
        char c = r->s[r->i++];
        if (c == '\\') {
            rc = put_escape(r, false);
        } else if (c == '[') {
            rc = put_class(r);
        } else if (c == '(' && at(r, "?")) {
            r->i++;
            rc = put_group(r);
        } else if (c == '(' && at(r, "*")) {
            rc = refuse(r, "a verb");
        } else if (c == '{') {
            rc = put_interval(r);
        } else {
            lf_buf_putc(&r->out, c);
        }
    }
    if (rc == LF_OK && r->out.rc != LF_OK)
        rc = lf_fail(r->diag, r->out.rc, "regex: no room to rewrite it");
    return rc;
}

static enum lf_err compile(struct lf_tok_pattern *out, const char *s, size_t n,
                           struct lf_diag *diag)
{
    int code;
    PCRE2_SIZE where;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)s, n,
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_AUTO_CAPTURE |
                                       PCRE2_NEVER_BACKSLASH_C,
                                   &code, &where, NULL);
    if (!re) {
        PCRE2_UCHAR text[128];
        pcre2_get_error_message(code, text, sizeof text);
        return lf_fail(diag, LF_E_INVALID, "regex: %s", (const char *)text);
    }
    /* Where executable memory is denied the interpreter does the same, slower. */
    bool jit = pcre2_jit_compile(re, PCRE2_JIT_COMPLETE) == 0;
    *out = (struct lf_tok_pattern){.re = re, .jit = jit};
    return LF_OK;
}

enum lf_err lf_tok_pattern_regex(struct lf_tok_pattern *out, const char *regex, size_t n,
                                 struct lf_diag *diag)
{
    if (n > LF_REGEX_BYTES_MAX)
        return lf_fail(diag, LF_E_TOO_BIG, "regex: %zu bytes are over the limit", n);
    struct rewrite r = {
        .s = regex, .n = n, .diag = diag, .out.max = 64 * (size_t)LF_REGEX_BYTES_MAX};
    enum lf_err rc = rewrite_all(&r);
    rc = rc ?: compile(out, lf_buf_str(&r.out), r.out.len, diag);
    if (rc == LF_OK)
        out->known = lf_tok_known_regex(regex, n);
    lf_buf_free(&r.out);
    return rc;
}

enum lf_err lf_tok_pattern_literal(struct lf_tok_pattern *out, struct lf_str literal,
                                   struct lf_diag *diag)
{
    if (literal.n == 0)
        return compile(out, "", 0, diag);
    *out = (struct lf_tok_pattern){.literal = literal};
    return LF_OK;
}

void lf_tok_pattern_free(struct lf_tok_pattern *p)
{
    pcre2_code_free(p->re);
    *p = (struct lf_tok_pattern){0};
}

/* The first match at or after s->from, an empty one too. */
static enum lf_err find_regex(struct lf_tok_search *s, bool *found, size_t *start, size_t *end,
                              struct lf_diag *diag)
{
    const struct lf_tok_pattern *p = s->pattern;
    if (p->known) {
        *start = s->from;
        *end = lf_tok_known_match(p->known, s->text, s->from);
        *found = *end > *start;
        if (*found)
            return LF_OK;
    }
    if (!*s->match)
        *s->match = pcre2_match_data_create(1, NULL);
    if (!*s->match)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory to match a regex");
    PCRE2_SPTR text = (PCRE2_SPTR)s->text.s;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (p->jit)
        rc = pcre2_jit_match(p->re, text, s->text.n, s->from, PCRE2_NO_UTF_CHECK, *s->match, NULL);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(p->re, text, s->text.n, s->from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         *s->match, NULL);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        return lf_fail(diag, LF_E_UNSUPPORTED, "a regex gave up on this text (code %d)", rc);
    *found = rc >= 0;
    if (*found) {
        PCRE2_SIZE *at_ = pcre2_get_ovector_pointer(*s->match);
        *start = at_[0];
        *end = at_[1];
    }
    return LF_OK;
}

static bool find_literal(const struct lf_tok_search *s, size_t *start, size_t *end)
{
    struct lf_str want = s->pattern->literal;
    const char *from = s->text.s + s->from;
    const char *hit = want.n == 1 ? memchr(from, want.s[0], s->text.n - s->from)
                                  : memmem(from, s->text.n - s->from, want.s, want.n);
    if (!hit)
        return false;
    *start = (size_t)(hit - s->text.s);
    *end = *start + want.n;
    return true;
}

enum lf_err lf_tok_search_next(struct lf_tok_search *s, bool *found, size_t *start, size_t *end,
                               struct lf_diag *diag)
{
    *found = false;
    while (s->from <= s->text.n) {
        if (s->pattern->re) {
            enum lf_err rc = find_regex(s, found, start, end, diag);
            if (rc != LF_OK || !*found)
                return rc;
        } else {
            *found = s->from < s->text.n && find_literal(s, start, end);
            if (!*found)
                return LF_OK;
        }
        if (*start < *end || *end != s->last_end) {
            s->from = s->last_end = *end;
            return LF_OK;
        }
        *found = false; /* empty, right after the last match: step over a character */
        size_t left = s->text.n - s->from;
        s->from += left ? lf_utf8_len(s->text.s + s->from, left) : 1;
    }
    return LF_OK;
}
