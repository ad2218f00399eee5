/* Methods of strings, dicts and lists. */
#include "text/chat/names.h"

#include "core/utf8.h"
#include "text/limits.h"

#include <string.h>
#include <utf8proc.h>

#define METHOD(name) \
    static struct lf_jv name(struct lf_jrun *r, struct lf_jv self, const struct lf_jbound *a)

enum { LEFT = 1, RIGHT = 2 };

/* Markup escapes the arguments of its methods, which is not done here. */
static void refuse_markup(struct lf_jrun *r, struct lf_jv self)
{
    if (self.markup)
        lf_j_fail(r, LF_E_UNSUPPORTED, "this method of Markup is not supported");
}

/* A part of self. */
static struct lf_jv part_of(struct lf_jv self, struct lf_str s)
{
    self.s = s;
    return self;
}

static struct lf_str from(struct lf_str s, size_t at)
{
    return (struct lf_str){s.s + at, s.n - at};
}

/* --- strings: stripping and splitting --- */

METHOD(strip)
{
    lf_j_spend(r, self.s.n);
    return part_of(
        self, lf_j_strip(self.s, a->given[0] ? &a->v[0].s : NULL, a->how & LEFT, a->how & RIGHT));
}

static bool has_affix(struct lf_str s, struct lf_str affix, bool end)
{
    return affix.n <= s.n && memcmp(end ? s.s + s.n - affix.n : s.s, affix.s, affix.n) == 0;
}

METHOD(remove_affix)
{
    struct lf_str s = self.s, affix = a->v[0].s;
    refuse_markup(r, self);
    if (has_affix(s, affix, a->how == RIGHT))
        s = (struct lf_str){s.s + (a->how == LEFT ? affix.n : 0), s.n - affix.n};
    return part_of(self, s);
}

/* Where `by` begins for the first or the last time; NULL: nowhere. */
static const char *search(struct lf_str s, struct lf_str by, bool last)
{
    const char *hit = memmem(s.s, s.n, by.s, by.n);
    if (!hit || !last)
        return hit;
    for (hit = s.s + s.n - by.n; memcmp(hit, by.s, by.n) != 0;)
        hit--;
    return hit;
}

/* By runs of white space, without empty pieces. */
static void split_words(struct lf_jrun *r, struct lf_jlist *out, struct lf_jv self, int64_t most)
{
    struct lf_str s = lf_j_strip(self.s, NULL, true, false);
    for (; s.n > 0 && most != 0 && r->rc == LF_OK; most -= most > 0) {
        size_t n = 0, len;
        while (n < s.n && !lf_j_is_space(lf_utf8_get(s.s + n, &len)))
            n += len;
        lf_jlist_add(r, out, part_of(self, (struct lf_str){s.s, n}));
        s = lf_j_strip(from(s, n), NULL, true, false);
    }
    if (s.n > 0)
        lf_jlist_add(r, out, part_of(self, lf_j_strip(s, NULL, false, true)));
}

METHOD(split)
{
    bool right = a->how == RIGHT;
    int64_t most = a->given[1] ? lf_jv_to_int(a->v[1]) : -1;
    struct lf_jlist *out = lf_jlist_new(r, 0);
    struct lf_str s = self.s, by = a->v[0].s;
    lf_j_spend(r, s.n);
    if (a->given[0] && by.n == 0)
        return lf_j_fail(r, LF_E_INVALID, "empty separator");
    if (right && most >= 0 && !a->given[0])
        return lf_j_fail(r, LF_E_UNSUPPORTED, "rsplit() by white space with a limit");
    if (!a->given[0]) {
        split_words(r, out, self, most);
        return lf_jv_list(LF_J_LIST, out);
    }
    for (const char *hit; most != 0 && r->rc == LF_OK && (hit = search(s, by, right));
         most -= most > 0) {
        struct lf_str before = {s.s, (size_t)(hit - s.s)}, after = from(s, before.n + by.n);
        lf_jlist_add(r, out, part_of(self, right ? after : before));
        s = right ? before : after;
    }
    lf_jlist_add(r, out, part_of(self, s));
    for (size_t i = 0; right && i < out->n / 2; i++) { /* they came from the end */
        struct lf_jv v = out->v[i];
        out->v[i] = out->v[out->n - 1 - i];
        out->v[out->n - 1 - i] = v;
    }
    return lf_jv_list(LF_J_LIST, out);
}

METHOD(splitlines)
{
    struct lf_jlist *out = lf_jlist_new(r, 0);
    lf_j_spend(r, self.s.n);
    for (size_t i = 0, next; i < self.s.n && r->rc == LF_OK; i = next) {
        size_t end = lf_j_line_end(self.s, i, &next);
        struct lf_str line = {self.s.s + i, (lf_jv_truth(a->v[0]) ? next : end) - i};
        lf_jlist_add(r, out, part_of(self, line));
    }
    return lf_jv_list(LF_J_LIST, out);
}

METHOD(join)
{
    const struct lf_jlist *items = lf_jv_items(r, a->v[0]);
    struct lf_buf b = {.max = LF_J_MEMORY_MAX};
    refuse_markup(r, self);
    for (size_t i = 0; i < items->n && r->rc == LF_OK; i++) {
        if (items->v[i].type != LF_J_STRING)
            lf_j_fail(r, LF_E_INVALID, "sequence item %zu: expected str, '%s' found", i,
                      lf_jv_type_name(items->v[i]));
        if (i > 0)
            lf_jv_print(r, &b, self);
        lf_jv_print(r, &b, items->v[i]);
    }
    return lf_jv_take(r, &b);
}

/* --- strings: searching and changing --- */

METHOD(find)
{
    const char *hit = search(self.s, a->v[0].s, a->how & RIGHT);
    lf_j_spend(r, self.s.n);
    if (!hit)
        return a->how & LEFT ? lf_j_fail(r, LF_E_INVALID, "substring not found") : lf_jv_int(-1);
    return lf_jv_int((int64_t)lf_j_length((struct lf_str){self.s.s, (size_t)(hit - self.s.s)}));
}

METHOD(count)
{
    struct lf_str s = self.s, sub = a->v[0].s;
    int64_t n = sub.n == 0 ? (int64_t)lf_j_length(s) + 1 : 0;
    lf_j_spend(r, s.n);
    for (const char *hit; sub.n > 0 && (hit = search(s, sub, false)); n++)
        s = from(s, (size_t)(hit - s.s) + sub.n);
    return lf_jv_int(n);
}

/* startswith and endswith: one string, or a tuple of which any will do. */
METHOD(affix)
{
    struct lf_jv one = a->v[0];
    bool tuple = one.type == LF_J_TUPLE, has = false;
    size_t n = tuple ? one.list->n : 1;
    for (size_t i = 0; i < n && !has && r->rc == LF_OK; i++) {
        if (tuple)
            one = a->v[0].list->v[i];
        if (one.type == LF_J_UNDEFINED)
            lf_j_fail_undefined(r, one);
        else if (one.type != LF_J_STRING)
            lf_j_fail(r, LF_E_INVALID, "a string or a tuple of them is needed, not '%s'",
                      lf_jv_type_name(one));
        else
            has = has_affix(self.s, one.s, a->how == RIGHT);
    }
    return lf_jv_bool(has);
}

METHOD(replace)
{
    refuse_markup(r, self);
    return lf_j_replace(r, self.s, a->v[0].s, a->v[1].s, a->given[2] ? lf_jv_to_int(a->v[2]) : -1);
}

METHOD(change_case)
{
    return lf_j_change_case(r, self, (enum lf_jcase)a->how);
}

enum { SPACE, LETTER, DIGIT };

/* Whether there is a character and all are of one kind. isdigit also takes superscripts and circled
 * digits, which no template asks about. */
METHOD(all_are)
{
    bool all = self.s.n > 0;
    lf_j_spend(r, self.s.n);
    for (size_t i = 0, len; i < self.s.n && all; i += len) {
        uint32_t c = lf_utf8_get(self.s.s + i, &len);
        utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
        if (a->how == DIGIT && k == UTF8PROC_CATEGORY_NO)
            return lf_j_fail(r, LF_E_UNSUPPORTED, "isdigit() of such a number is not supported");
        all = a->how == SPACE    ? lf_j_is_space(c)
              : a->how == LETTER ? k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO
                                 : k == UTF8PROC_CATEGORY_ND;
    }
    return lf_jv_bool(all);
}

/* --- dicts and lists --- */

METHOD(get)
{
    const struct lf_jv *have = NULL;
    lf_j_spend(r, self.dict->n);
    if (lf_jv_hashable(r, a->v[0]))
        have = lf_jdict_find(r, self.dict, a->v[0]);
    return have ? *have : a->given[1] ? a->v[1] : lf_jv_none();
}

METHOD(view)
{
    return lf_jdict_view(r, self.dict, (enum lf_jtype)a->how);
}

/* A value that does not change is its own copy. */
METHOD(copy)
{
    (void)r;
    (void)a;
    return self;
}

METHOD(list_search)
{
    int64_t n = 0;
    lf_j_spend(r, self.list->n);
    for (size_t i = 0; i < self.list->n; i++) {
        bool equal = lf_jv_equal(r, self.list->v[i], a->v[0]);
        if (equal && a->how == LEFT)
            return lf_jv_int((int64_t)i);
        n += equal;
    }
    return a->how == LEFT ? lf_j_fail(r, LF_E_INVALID, "the value is not in the list")
                          : lf_jv_int(n);
}

/* --- by name --- */

static const struct lf_jdef string_methods[] = {
    {"strip", "chars?:S", strip, LEFT | RIGHT},
    {"lstrip", "chars?:S", strip, LEFT},
    {"rstrip", "chars?:S", strip, RIGHT},
    {"removeprefix", "prefix:s", remove_affix, LEFT},
    {"removesuffix", "suffix:s", remove_affix, RIGHT},
    {"split", "sep?:S maxsplit?:i", split, LEFT},
    {"rsplit", "sep?:S maxsplit?:i", split, RIGHT},
    {"splitlines", "keepends?", splitlines},
    {"join", "iterable", join},
    {"find", "sub:s", find},
    {"rfind", "sub:s", find, RIGHT},
    {"index", "sub:s", find, LEFT},
    {"count", "sub:s", count},
    {"startswith", "prefix", affix, LEFT},
    {"endswith", "suffix", affix, RIGHT},
    {"replace", "old:s new:s count?:i", replace},
    {"lower", "", change_case, LF_J_LOWER},
    {"upper", "", change_case, LF_J_UPPER},
    {"title", "", change_case, LF_J_TITLE},
    {"capitalize", "", change_case, LF_J_CAPITALIZE},
    {"isspace", "", all_are, SPACE},
    {"isalpha", "", all_are, LETTER},
    {"isdigit", "", all_are, DIGIT},
    {"casefold"}, /* refused */
    {"center"},
    {"encode"},
    {"expandtabs"},
    {"format"},
    {"format_map"},
    {"isalnum"},
    {"isascii"},
    {"isdecimal"},
    {"isidentifier"},
    {"islower"},
    {"isnumeric"},
    {"isprintable"},
    {"istitle"},
    {"isupper"},
    {"ljust"},
    {"maketrans"},
    {"partition"},
    {"rindex"},
    {"rjust"},
    {"rpartition"},
    {"swapcase"},
    {"translate"},
    {"zfill"},
    {NULL},
};

static const struct lf_jdef dict_methods[] = {
    {"get", "key default?", get},
    {"items", "", view, LF_J_ITEMS},
    {"keys", "", view, LF_J_KEYS},
    {"values", "", view, LF_J_VALUES},
    {"copy", "", copy},
    {"fromkeys"}, /* refused */
    {"clear", .how = LF_J_UNSAFE},
    {"pop", .how = LF_J_UNSAFE},
    {"popitem", .how = LF_J_UNSAFE},
    {"setdefault", .how = LF_J_UNSAFE},
    {"update", .how = LF_J_UNSAFE},
    {NULL},
};

/* What a list has and a tuple has not. */
static const struct lf_jdef list_methods[] = {
    {"copy", "", copy},
    {"append", .how = LF_J_UNSAFE},
    {"clear", .how = LF_J_UNSAFE},
    {"extend", .how = LF_J_UNSAFE},
    {"insert", .how = LF_J_UNSAFE},
    {"pop", .how = LF_J_UNSAFE},
    {"remove", .how = LF_J_UNSAFE},
    {"reverse", .how = LF_J_UNSAFE},
    {"sort", .how = LF_J_UNSAFE},
    {NULL},
};

static const struct lf_jdef tuple_methods[] = {
    {"index", "value", list_search, LEFT},
    {"count", "value", list_search},
    {NULL},
};

static const struct lf_jdef range_methods[] = {
    {"index"}, {"count"}, {"start"}, {"stop"}, {"step"}, {NULL}, /* refused */
};

const struct lf_jdef *lf_j_method(enum lf_jtype of, struct lf_str name)
{
    const struct lf_jdef *def = NULL;
    if (of == LF_J_STRING)
        return lf_j_find(string_methods, name);
    if (of == LF_J_DICT)
        return lf_j_find(dict_methods, name);
    if (of == LF_J_RANGE)
        return lf_j_find(range_methods, name);
    if (of == LF_J_LIST)
        def = lf_j_find(list_methods, name);
    return def || (of != LF_J_LIST && of != LF_J_TUPLE) ? def : lf_j_find(tuple_methods, name);
}
