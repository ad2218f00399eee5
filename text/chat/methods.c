/* Methods of strings, dicts, lists and cyclers. Those that Python has and no chat template needs
 * are known by name, so that they are defined, and refused when they are called. */
#include "text/chat/jinja.h"

#include "core/utf8.h"

#include <string.h>
#include <utf8proc.h>

/* The n-th argument as a string; `or_none`: None and nothing are an empty *out with *given false.
 */
static enum lf_err string_arg(struct lf_jrun *r, const struct lf_jbound *a, size_t i, bool or_none,
                              struct lf_str *out, bool *given)
{
    *given = a->given[i] && !(or_none && a->v[i].type == LF_J_NONE);
    *out = (struct lf_str){"", 0};
    if (!*given)
        return LF_OK;
    if (a->v[i].type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, a->v[i]);
    if (a->v[i].type != LF_J_STRING)
        return lf_j_fail(r, LF_E_INVALID, "a string is needed, not '%s'", lf_jv_type_name(a->v[i]));
    *out = a->v[i].s;
    return LF_OK;
}

static enum lf_err int_arg(struct lf_jrun *r, const struct lf_jbound *a, size_t i, int64_t *out)
{
    if (!a->given[i])
        return LF_OK;
    if (a->v[i].type == LF_J_UNDEFINED)
        return lf_j_fail_undefined(r, a->v[i]);
    if (!lf_jv_is_int(a->v[i]))
        return lf_j_fail(r, LF_E_INVALID, "an integer is needed, not '%s'",
                         lf_jv_type_name(a->v[i]));
    *out = lf_jv_to_int(a->v[i]);
    return LF_OK;
}

/* Markup escapes the arguments of its methods, which is not done here. */
static enum lf_err refuse_markup(struct lf_jrun *r, struct lf_jv self)
{
    return self.special ? lf_j_fail(r, LF_E_UNSUPPORTED, "this method of Markup is not supported")
                        : LF_OK;
}

/* --- strings: stripping --- */

static enum lf_err strip_sides(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                               bool left, bool right, struct lf_jv *out)
{
    static const char *const params[] = {"chars", NULL};
    struct lf_jbound a;
    struct lf_str chars;
    bool given;
    enum lf_err rc = lf_j_bind_args(r, "strip()", c, params, 0, &a);
    if (rc == LF_OK)
        rc = string_arg(r, &a, 0, true, &chars, &given);
    if (rc != LF_OK)
        return rc;
    struct lf_str s = lf_j_strip(self.s, given ? &chars : NULL, left, right);
    *out = lf_jv_str(s.s, s.n);
    out->special = self.special;
    return lf_j_spend(r, self.s.n);
}

static enum lf_err m_strip(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                           struct lf_jv *out)
{
    return strip_sides(r, self, c, true, true, out);
}

static enum lf_err m_lstrip(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                            struct lf_jv *out)
{
    return strip_sides(r, self, c, true, false, out);
}

static enum lf_err m_rstrip(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                            struct lf_jv *out)
{
    return strip_sides(r, self, c, false, true, out);
}

static enum lf_err remove_affix(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                                bool prefix, struct lf_jv *out)
{
    static const char *const params[] = {"affix", NULL};
    struct lf_jbound a;
    struct lf_str affix;
    bool given;
    enum lf_err rc = lf_j_bind_args(r, "removeprefix()", c, params, 1, &a);
    if (rc == LF_OK)
        rc = string_arg(r, &a, 0, false, &affix, &given);
    if (rc != LF_OK)
        return rc;
    struct lf_str s = self.s;
    const char *at = prefix ? s.s : s.s + s.n - affix.n;
    if (affix.n <= s.n && memcmp(at, affix.s, affix.n) == 0) {
        s.s += prefix ? affix.n : 0;
        s.n -= affix.n;
    }
    *out = lf_jv_str(s.s, s.n);
    return refuse_markup(r, self);
}

static enum lf_err m_removeprefix(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                                  struct lf_jv *out)
{
    return remove_affix(r, self, c, true, out);
}

static enum lf_err m_removesuffix(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                                  struct lf_jv *out)
{
    return remove_affix(r, self, c, false, out);
}

/* --- strings: splitting and joining --- */

/* Strings that a split makes. */
struct pieces {
    struct lf_jrun *r;
    struct lf_buf v; /* of struct lf_jv */
    bool special;
};

static void piece(struct pieces *p, const char *s, size_t n)
{
    struct lf_jv v = lf_jv_str(s, n);
    v.special = p->special;
    lf_buf_append(&p->v, &v, sizeof v);
}

static enum lf_err pieces_done(struct pieces *p, bool reversed, struct lf_jv *out)
{
    struct lf_jlist *list;
    size_t n = p->v.len / sizeof(struct lf_jv);
    enum lf_err rc = p->v.rc == LF_OK ? lf_jlist_new(p->r, n, &list)
                                      : lf_j_fail(p->r, p->v.rc, "a split is over the limit");
    const struct lf_jv *v = (const struct lf_jv *)(const void *)p->v.data;
    for (size_t i = 0; rc == LF_OK && i < n; i++)
        list->v[i] = v[reversed ? n - 1 - i : i];
    lf_buf_free(&p->v);
    return rc == LF_OK ? lf_jlist_done(p->r, list, LF_J_LIST, out) : rc;
}

static void split_at(struct pieces *p, struct lf_str s, struct lf_str by, int64_t most)
{
    while (most != 0) {
        const char *hit = memmem(s.s, s.n, by.s, by.n);
        if (!hit)
            break;
        size_t n = (size_t)(hit - s.s);
        piece(p, s.s, n);
        s.s += n + by.n;
        s.n -= n + by.n;
        most -= most > 0;
    }
    piece(p, s.s, s.n);
}

/* From the right; the pieces come in reverse. */
static void rsplit_at(struct pieces *p, struct lf_str s, struct lf_str by, int64_t most)
{
    while (most != 0 && s.n >= by.n) {
        size_t i = s.n - by.n;
        while (i > 0 && memcmp(s.s + i, by.s, by.n) != 0)
            i--;
        if (memcmp(s.s + i, by.s, by.n) != 0)
            break;
        piece(p, s.s + i + by.n, s.n - i - by.n);
        s.n = i;
        most -= most > 0;
    }
    piece(p, s.s, s.n);
}

static size_t word_length(struct lf_str s)
{
    size_t i = 0, len;
    while (i < s.n && !lf_j_is_space(lf_utf8_get(s.s + i, &len)))
        i += len;
    return i;
}

/* By runs of white space, without empty pieces. */
static void split_words(struct pieces *p, struct lf_str s, int64_t most)
{
    s = lf_j_strip(s, NULL, true, false);
    while (s.n > 0 && most != 0) {
        size_t n = word_length(s);
        piece(p, s.s, n);
        struct lf_str rest = {s.s + n, s.n - n};
        s = lf_j_strip(rest, NULL, true, false);
        most -= most > 0;
    }
    if (s.n > 0) {
        s = lf_j_strip(s, NULL, false, true);
        piece(p, s.s, s.n);
    }
}

static enum lf_err split_side(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                              bool right, struct lf_jv *out)
{
    static const char *const params[] = {"sep", "maxsplit", NULL};
    struct lf_jbound a;
    struct lf_str by;
    bool given;
    int64_t most = -1;
    enum lf_err rc = lf_j_bind_args(r, "split()", c, params, 0, &a);
    if (rc == LF_OK)
        rc = string_arg(r, &a, 0, true, &by, &given);
    if (rc == LF_OK)
        rc = int_arg(r, &a, 1, &most);
    if (rc == LF_OK && given && by.n == 0)
        rc = lf_j_fail(r, LF_E_INVALID, "empty separator");
    if (rc == LF_OK && right && !given && most >= 0)
        rc = lf_j_fail(r, LF_E_UNSUPPORTED, "rsplit() by white space with a limit");
    if (rc == LF_OK)
        rc = lf_j_spend(r, self.s.n);
    if (rc != LF_OK)
        return rc;
    struct pieces p = {.r = r, .special = self.special};
    lf_buf_init(&p.v, LF_J_MEMORY_MAX);
    if (!given)
        split_words(&p, self.s, most);
    else if (right)
        rsplit_at(&p, self.s, by, most);
    else
        split_at(&p, self.s, by, most);
    return pieces_done(&p, given && right, out);
}

static enum lf_err m_split(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                           struct lf_jv *out)
{
    return split_side(r, self, c, false, out);
}

static enum lf_err m_rsplit(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                            struct lf_jv *out)
{
    return split_side(r, self, c, true, out);
}

static enum lf_err m_splitlines(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                                struct lf_jv *out)
{
    static const char *const params[] = {"keepends", NULL};
    struct lf_jbound a;
    enum lf_err rc = lf_j_bind_args(r, "splitlines()", c, params, 0, &a);
    if (rc == LF_OK)
        rc = lf_j_spend(r, self.s.n);
    if (rc != LF_OK)
        return rc;
    bool keep = a.given[0] && lf_jv_truth(a.v[0]);
    struct pieces p = {.r = r, .special = self.special};
    lf_buf_init(&p.v, LF_J_MEMORY_MAX);
    for (size_t i = 0, next; i < self.s.n; i = next) {
        size_t end = lf_j_line_end(self.s, i, &next);
        piece(&p, self.s.s + i, (keep ? next : end) - i);
    }
    return pieces_done(&p, false, out);
}

static enum lf_err m_join(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                          struct lf_jv *out)
{
    static const char *const params[] = {"iterable", NULL};
    struct lf_jbound a;
    const struct lf_jlist *items;
    struct lf_buf b;
    enum lf_err rc = lf_j_bind_args(r, "join()", c, params, 1, &a);
    if (rc == LF_OK)
        rc = refuse_markup(r, self);
    if (rc == LF_OK)
        rc = lf_jv_items(r, a.v[0], &items);
    if (rc != LF_OK)
        return rc;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    for (size_t i = 0; i < items->n && rc == LF_OK; i++) {
        if (items->v[i].type != LF_J_STRING)
            rc = lf_j_fail(r, LF_E_INVALID, "sequence item %zu: expected str, '%s' found", i,
                           lf_jv_type_name(items->v[i]));
        else if (i > 0)
            lf_buf_append(&b, self.s.s, self.s.n);
        if (rc == LF_OK)
            rc = lf_jv_print(r, &b, items->v[i]);
    }
    if (rc == LF_OK)
        return lf_jv_take(r, &b, out);
    lf_buf_free(&b);
    return rc;
}

/* --- strings: searching --- */

static enum lf_err find_side(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                             bool right, struct lf_jv *out)
{
    static const char *const params[] = {"sub", NULL};
    struct lf_jbound a;
    struct lf_str sub;
    bool given;
    enum lf_err rc = lf_j_bind_args(r, "find()", c, params, 1, &a);
    if (rc == LF_OK)
        rc = string_arg(r, &a, 0, false, &sub, &given);
    if (rc == LF_OK)
        rc = lf_j_spend(r, self.s.n);
    if (rc != LF_OK)
        return rc;
    const char *hit = sub.n == 0 ? self.s.s : memmem(self.s.s, self.s.n, sub.s, sub.n);
    if (right && hit) {
        size_t i = self.s.n - sub.n;
        while (memcmp(self.s.s + i, sub.s, sub.n) != 0)
            i--;
        hit = self.s.s + i;
    }
    struct lf_str before = {self.s.s, hit ? (size_t)(hit - self.s.s) : 0};
    *out = lf_jv_int(hit ? (int64_t)lf_j_length(before) : -1);
    return LF_OK;
}

static enum lf_err m_find(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                          struct lf_jv *out)
{
    return find_side(r, self, c, false, out);
}

static enum lf_err m_rfind(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                           struct lf_jv *out)
{
    return find_side(r, self, c, true, out);
}

static enum lf_err m_index(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                           struct lf_jv *out)
{
    enum lf_err rc = find_side(r, self, c, false, out);
    if (rc == LF_OK && out->i < 0)
        rc = lf_j_fail(r, LF_E_INVALID, "substring not found");
    return rc;
}

static enum lf_err m_count(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                           struct lf_jv *out)
{
    static const char *const params[] = {"sub", NULL};
    struct lf_jbound a;
    struct lf_str sub, s = self.s;
    bool given;
    enum lf_err rc = lf_j_bind_args(r, "count()", c, params, 1, &a);
    if (rc == LF_OK)
        rc = string_arg(r, &a, 0, false, &sub, &given);
    if (rc == LF_OK)
        rc = lf_j_spend(r, self.s.n);
    if (rc != LF_OK)
        return rc;
    int64_t n = sub.n == 0 ? (int64_t)lf_j_length(s) + 1 : 0;
    for (const char *hit; sub.n > 0 && (hit = memmem(s.s, s.n, sub.s, sub.n)); n++) {
        size_t past = (size_t)(hit - s.s) + sub.n;
        s.s += past;
        s.n -= past;
    }
    *out = lf_jv_int(n);
    return LF_OK;
}

static bool has_affix(struct lf_str s, struct lf_str affix, bool end)
{
    return affix.n <= s.n && memcmp(end ? s.s + s.n - affix.n : s.s, affix.s, affix.n) == 0;
}

/* startswith and endswith: one string, or a tuple of which any will do. */
static enum lf_err affix_side(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                              bool end, struct lf_jv *out)
{
    static const char *const params[] = {"affix", NULL};
    struct lf_jbound a;
    bool has = false;
    enum lf_err rc = lf_j_bind_args(r, end ? "endswith()" : "startswith()", c, params, 1, &a);
    if (rc != LF_OK)
        return rc;
    bool tuple = a.v[0].type == LF_J_TUPLE;
    size_t n = tuple ? a.v[0].list->n : 1;
    for (size_t i = 0; i < n && !has; i++) {
        struct lf_jv one = tuple ? a.v[0].list->v[i] : a.v[0];
        if (one.type == LF_J_UNDEFINED)
            return lf_j_fail_undefined(r, one);
        if (one.type != LF_J_STRING)
            return lf_j_fail(r, LF_E_INVALID, "a string or a tuple of them is needed, not '%s'",
                             lf_jv_type_name(one));
        has = has_affix(self.s, one.s, end);
    }
    *out = lf_jv_bool(has);
    return LF_OK;
}

static enum lf_err m_startswith(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                                struct lf_jv *out)
{
    return affix_side(r, self, c, false, out);
}

static enum lf_err m_endswith(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                              struct lf_jv *out)
{
    return affix_side(r, self, c, true, out);
}

enum lf_err lf_j_replace(struct lf_jrun *r, struct lf_str s, struct lf_str old, struct lf_str new,
                         int64_t most, struct lf_jv *out)
{
    struct lf_buf b;
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    size_t done = 0, len;
    while (most != 0 && b.rc == LF_OK) {
        const char *hit = done > s.n ? NULL : memmem(s.s + done, s.n - done, old.s, old.n);
        if (!hit)
            break;
        size_t at = (size_t)(hit - s.s);
        lf_buf_append(&b, s.s + done, at - done);
        lf_buf_append(&b, new.s, new.n);
        done = at + old.n;
        if (old.n == 0) { /* between all characters */
            if (at == s.n) {
                done = at + 1;
                break;
            }
            lf_utf8_get(s.s + at, &len);
            lf_buf_append(&b, s.s + at, len);
            done = at + len;
        }
        most -= most > 0;
    }
    if (done < s.n)
        lf_buf_append(&b, s.s + done, s.n - done);
    return lf_jv_take(r, &b, out);
}

static enum lf_err m_replace(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                             struct lf_jv *out)
{
    static const char *const params[] = {"old", "new", "count", NULL};
    struct lf_jbound a;
    struct lf_str old, new;
    bool given;
    int64_t most = -1;
    enum lf_err rc = lf_j_bind_args(r, "replace()", c, params, 2, &a);
    if (rc == LF_OK)
        rc = refuse_markup(r, self);
    if (rc == LF_OK)
        rc = string_arg(r, &a, 0, false, &old, &given);
    if (rc == LF_OK)
        rc = string_arg(r, &a, 1, false, &new, &given);
    if (rc == LF_OK)
        rc = int_arg(r, &a, 2, &most);
    return rc == LF_OK ? lf_j_replace(r, self.s, old, new, most, out) : rc;
}

/* --- strings: case and kind --- */

static enum lf_err change_case(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                               enum lf_jcase how, struct lf_jv *out)
{
    struct lf_buf b;
    if (c->n + c->n_kw > 0)
        return lf_j_fail(r, LF_E_INVALID, "this method takes no arguments");
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    lf_j_change_case(&b, self.s, how);
    enum lf_err rc = lf_jv_take(r, &b, out);
    out->special = self.special;
    return rc;
}

static enum lf_err m_lower(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                           struct lf_jv *out)
{
    return change_case(r, self, c, LF_J_LOWER, out);
}

static enum lf_err m_upper(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                           struct lf_jv *out)
{
    return change_case(r, self, c, LF_J_UPPER, out);
}

static enum lf_err m_title(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                           struct lf_jv *out)
{
    return change_case(r, self, c, LF_J_TITLE, out);
}

static enum lf_err m_capitalize(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                                struct lf_jv *out)
{
    return change_case(r, self, c, LF_J_CAPITALIZE, out);
}

static enum lf_err m_islower(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                             struct lf_jv *out)
{
    (void)c;
    *out = lf_jv_bool(lf_j_is_case(self.s, LF_J_LOWER));
    return lf_j_spend(r, self.s.n);
}

static enum lf_err m_isupper(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                             struct lf_jv *out)
{
    (void)c;
    *out = lf_jv_bool(lf_j_is_case(self.s, LF_J_UPPER));
    return lf_j_spend(r, self.s.n);
}

static bool is_letter(uint32_t c)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

static bool is_decimal(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

/* Whether there is a character and all are of one kind. */
static enum lf_err all_are(struct lf_jrun *r, struct lf_str s, bool (*is)(uint32_t c),
                           struct lf_jv *out)
{
    bool all = s.n > 0;
    for (size_t i = 0, len; i < s.n && all; i += len)
        all = is(lf_utf8_get(s.s + i, &len));
    *out = lf_jv_bool(all);
    return lf_j_spend(r, s.n);
}

static enum lf_err m_isspace(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                             struct lf_jv *out)
{
    (void)c;
    return all_are(r, self.s, lf_j_is_space, out);
}

static enum lf_err m_isalpha(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                             struct lf_jv *out)
{
    (void)c;
    return all_are(r, self.s, is_letter, out);
}

static enum lf_err m_isdecimal(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                               struct lf_jv *out)
{
    (void)c;
    return all_are(r, self.s, is_decimal, out);
}

/* isdigit also takes superscripts and circled digits, which no template asks about. */
static enum lf_err m_isdigit(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                             struct lf_jv *out)
{
    for (size_t i = 0, len; i < self.s.n; i += len)
        if (utf8proc_category((utf8proc_int32_t)lf_utf8_get(self.s.s + i, &len)) ==
            UTF8PROC_CATEGORY_NO)
            return lf_j_fail(r, LF_E_UNSUPPORTED, "isdigit() of such a number");
    return m_isdecimal(r, self, c, out);
}

/* --- strings: format --- */

/* Fields are numbered by the format or by their order, not both. */
struct numbering {
    size_t next;
    bool by_order, by_number;
};

/* The value of a field; NULL: there is none. */
static const struct lf_jv *format_field(const struct lf_jcall *c, struct lf_str name,
                                        struct numbering *numbers)
{
    size_t i = 0;
    bool digits = name.n > 0 && name.n < 6;
    for (size_t k = 0; k < name.n && digits; k++) {
        digits = name.s[k] >= '0' && name.s[k] <= '9';
        i = 10 * i + (size_t)(name.s[k] - '0');
    }
    if (name.n == 0)
        i = numbers->next++;
    numbers->by_order |= name.n == 0;
    numbers->by_number |= digits;
    if (name.n == 0 || digits)
        return i < c->n && !(numbers->by_order && numbers->by_number) ? &c->v[i] : NULL;
    for (size_t k = 0; k < c->n_kw; k++)
        if (c->kw[k].name.n == name.n && memcmp(c->kw[k].name.s, name.s, name.n) == 0)
            return &c->kw[k].value;
    return NULL;
}

/* "{} {0} {name}" without conversions and formats. */
static enum lf_err m_format(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                            struct lf_jv *out)
{
    struct lf_buf b;
    struct numbering numbers = {0};
    struct lf_str s = self.s;
    enum lf_err rc = refuse_markup(r, self);
    lf_buf_init(&b, LF_J_MEMORY_MAX);
    for (size_t i = 0; i < s.n && rc == LF_OK; i++) {
        bool brace = s.s[i] == '{' || s.s[i] == '}';
        bool doubled = brace && i + 1 < s.n && s.s[i + 1] == s.s[i];
        if (!brace || doubled) {
            lf_buf_putc(&b, s.s[i]);
            i += doubled;
            continue;
        }
        const char *close = s.s[i] == '{' ? memchr(s.s + i, '}', s.n - i) : NULL;
        struct lf_str name = {s.s + i + 1, close ? (size_t)(close - s.s) - i - 1 : 0};
        bool plain = close != NULL;
        for (size_t k = 0; k < name.n; k++)
            plain &= name.s[k] == '\0' || !strchr(".[!:{", name.s[k]);
        const struct lf_jv *v = plain ? format_field(c, name, &numbers) : NULL;
        if (close && !plain)
            rc = lf_j_fail(r, LF_E_UNSUPPORTED, "format() with more than names");
        else if (!v)
            rc = lf_j_fail(r, LF_E_INVALID, "format() without the value a field needs");
        else
            rc = lf_jv_print(r, &b, *v);
        i += name.n + 1;
    }
    if (rc == LF_OK)
        return lf_jv_take(r, &b, out);
    lf_buf_free(&b);
    return rc;
}

/* --- dicts --- */

static enum lf_err m_get(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                         struct lf_jv *out)
{
    if (c->n < 1 || c->n > 2 || c->n_kw > 0)
        return lf_j_fail(r, LF_E_INVALID, "get() takes one or two arguments");
    if (!lf_jv_hashable(c->v[0]))
        return lf_j_fail(r, LF_E_INVALID, "unhashable type: '%s'", lf_jv_type_name(c->v[0]));
    const struct lf_jv *have = lf_jdict_find(self.dict, c->v[0]);
    *out = have ? *have : c->n == 2 ? c->v[1] : lf_jv_none();
    return lf_j_spend(r, self.dict->n);
}

static enum lf_err view(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                        enum lf_jview_kind kind, struct lf_jv *out)
{
    if (c->n + c->n_kw > 0)
        return lf_j_fail(r, LF_E_INVALID, "this method takes no arguments");
    struct lf_jview *v = lf_j_alloc(r, sizeof *v);
    if (!v)
        return LF_E_NO_MEMORY;
    *v = (struct lf_jview){.kind = kind, .dict = self.dict};
    *out = (struct lf_jv){.type = LF_J_VIEW, .view = v};
    return LF_OK;
}

static enum lf_err m_items(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                           struct lf_jv *out)
{
    return view(r, self, c, LF_J_ITEMS, out);
}

static enum lf_err m_keys(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                          struct lf_jv *out)
{
    return view(r, self, c, LF_J_KEYS, out);
}

static enum lf_err m_values(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                            struct lf_jv *out)
{
    return view(r, self, c, LF_J_VALUES, out);
}

/* A value that does not change is its own copy. */
static enum lf_err m_copy(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                          struct lf_jv *out)
{
    if (c->n + c->n_kw > 0)
        return lf_j_fail(r, LF_E_INVALID, "copy() takes no arguments");
    *out = self;
    return LF_OK;
}

/* --- lists and cyclers --- */

static enum lf_err list_search(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                               bool count, struct lf_jv *out)
{
    int64_t n = 0;
    if (c->n != 1 || c->n_kw > 0)
        return lf_j_fail(r, LF_E_INVALID, "this method takes one argument");
    for (size_t i = 0; i < self.list->n; i++) {
        if (!lf_jv_equal(self.list->v[i], c->v[0]))
            continue;
        n++;
        if (!count) {
            *out = lf_jv_int((int64_t)i);
            return lf_j_spend(r, i);
        }
    }
    *out = lf_jv_int(n);
    return count ? lf_j_spend(r, self.list->n)
                 : lf_j_fail(r, LF_E_INVALID, "the value is not in the list");
}

static enum lf_err m_list_index(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                                struct lf_jv *out)
{
    return list_search(r, self, c, false, out);
}

static enum lf_err m_list_count(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                                struct lf_jv *out)
{
    return list_search(r, self, c, true, out);
}

static enum lf_err m_next(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                          struct lf_jv *out)
{
    (void)c;
    *out = self.cycler->items->v[self.cycler->at];
    self.cycler->at = (self.cycler->at + 1) % self.cycler->items->n;
    return lf_j_spend(r, 0);
}

static enum lf_err m_reset(struct lf_jrun *r, struct lf_jv self, const struct lf_jcall *c,
                           struct lf_jv *out)
{
    (void)c;
    self.cycler->at = 0;
    *out = lf_jv_none();
    return lf_j_spend(r, 0);
}

/* --- by name --- */

static const struct lf_jmethod_def string_methods[] = {
    {"strip", m_strip},
    {"lstrip", m_lstrip},
    {"rstrip", m_rstrip},
    {"removeprefix", m_removeprefix},
    {"removesuffix", m_removesuffix},
    {"split", m_split},
    {"rsplit", m_rsplit},
    {"splitlines", m_splitlines},
    {"join", m_join},
    {"find", m_find},
    {"rfind", m_rfind},
    {"index", m_index},
    {"count", m_count},
    {"startswith", m_startswith},
    {"endswith", m_endswith},
    {"replace", m_replace},
    {"lower", m_lower},
    {"upper", m_upper},
    {"title", m_title},
    {"capitalize", m_capitalize},
    {"islower", m_islower},
    {"isupper", m_isupper},
    {"isspace", m_isspace},
    {"isalpha", m_isalpha},
    {"isdecimal", m_isdecimal},
    {"isdigit", m_isdigit},
    {"format", m_format},
    {"casefold", NULL},
    {"center", NULL},
    {"encode", NULL},
    {"expandtabs", NULL},
    {"format_map", NULL},
    {"isalnum", NULL},
    {"isascii", NULL},
    {"isidentifier", NULL},
    {"isnumeric", NULL},
    {"isprintable", NULL},
    {"istitle", NULL},
    {"ljust", NULL},
    {"maketrans", NULL},
    {"partition", NULL},
    {"rindex", NULL},
    {"rjust", NULL},
    {"rpartition", NULL},
    {"swapcase", NULL},
    {"translate", NULL},
    {"zfill", NULL},
    {NULL, NULL},
};

static const struct lf_jmethod_def dict_methods[] = {
    {"get", m_get},   {"items", m_items}, {"keys", m_keys}, {"values", m_values},
    {"copy", m_copy}, {"fromkeys", NULL}, {NULL, NULL},
};

static const struct lf_jmethod_def list_methods[] = {
    {"index", m_list_index},
    {"count", m_list_count},
    {"copy", m_copy},
    {NULL, NULL},
};

static const struct lf_jmethod_def tuple_methods[] = {
    {"index", m_list_index},
    {"count", m_list_count},
    {NULL, NULL},
};

static const struct lf_jmethod_def range_methods[] = {
    {"index", NULL}, {"count", NULL}, {"start", NULL}, {"stop", NULL}, {"step", NULL}, {NULL, NULL},
};

static const struct lf_jmethod_def cycler_methods[] = {
    {"next", m_next},
    {"reset", m_reset},
    {NULL, NULL},
};

/* Attributes of numbers, which are no methods all, but none is of use to a template. */
static const struct lf_jmethod_def number_methods[] = {
    {"real", NULL},        {"imag", NULL},      {"conjugate", NULL},        {"numerator", NULL},
    {"denominator", NULL}, {"bit_count", NULL}, {"as_integer_ratio", NULL}, {"bit_length", NULL},
    {"is_integer", NULL},  {"hex", NULL},       {"to_bytes", NULL},         {"from_bytes", NULL},
    {NULL, NULL},
};

static const struct lf_jmethod_def *methods_of(struct lf_jv self)
{
    switch (self.type) {
    case LF_J_STRING:
        return string_methods;
    case LF_J_DICT:
        return dict_methods;
    case LF_J_LIST:
        return list_methods;
    case LF_J_TUPLE:
        return tuple_methods;
    case LF_J_RANGE:
        return range_methods;
    case LF_J_CYCLER:
        return cycler_methods;
    case LF_J_BOOL:
    case LF_J_INT:
    case LF_J_FLOAT:
        return number_methods;
    default:
        return NULL;
    }
}

const struct lf_jmethod_def *lf_j_method(struct lf_jv self, struct lf_str name)
{
    const struct lf_jmethod_def *m = methods_of(self);
    for (; m && m->name; m++)
        if (strlen(m->name) == name.n && memcmp(m->name, name.s, name.n) == 0)
            return m;
    return NULL;
}

bool lf_j_is_hidden(struct lf_jv self, struct lf_str name)
{
    static const char *const of_list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                          "sort",   "extend", "remove", NULL};
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    const char *const *hidden = self.type == LF_J_LIST   ? of_list
                                : self.type == LF_J_DICT ? of_dict
                                                         : NULL;
    for (; hidden && *hidden; hidden++)
        if (strlen(*hidden) == name.n && memcmp(*hidden, name.s, name.n) == 0)
            return true;
    return false;
}
