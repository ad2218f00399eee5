/* The state of a `for`, and what `loop` shows of it. */
#include "text/chat/value.h"

/* Fetches the next item that passes, if it has not been yet; false: there is none. */
static bool peek(struct lf_jrun *r, struct lf_jloop *loop)
{
    while (!loop->has_after && loop->next < loop->items->n && r->rc == LF_OK) {
        loop->after = loop->items->v[loop->next++];
        loop->has_after = !loop->passes || loop->passes(r, loop, loop->after);
    }
    return loop->has_after && r->rc == LF_OK;
}

bool lf_jloop_next(struct lf_jrun *r, struct lf_jloop *loop)
{
    if (!peek(r, loop))
        return false;
    loop->has_after = false;
    loop->has_before = loop->started;
    loop->before = loop->current;
    loop->current = loop->after;
    loop->index0 += loop->started;
    loop->started = true;
    return true;
}

/* How many items in all: those that a test has not seen yet are fetched now. */
static int64_t length(struct lf_jrun *r, struct lf_jloop *loop)
{
    if (loop->passes) {
        struct lf_jlist *rest = lf_jlist_new(r, 0);
        for (; peek(r, loop); loop->has_after = false)
            lf_jlist_add(r, rest, loop->after);
        loop->items = rest;
        loop->next = 0;
        loop->before_items = loop->index0 + loop->started;
        loop->passes = NULL;
    }
    return (int64_t)(loop->before_items + loop->items->n);
}

static struct lf_jv cycle(struct lf_jrun *r, struct lf_jv self, const struct lf_jbound *a)
{
    if (a->raw->n == 0 || a->raw->n_kw > 0)
        return lf_j_fail(r, LF_E_INVALID, "no items for cycling given");
    return a->raw->v[self.loop->index0 % a->raw->n];
}

static struct lf_jv changed(struct lf_jrun *r, struct lf_jv self, const struct lf_jbound *a)
{
    struct lf_jlist *now = lf_jlist_new(r, a->raw->n);
    const struct lf_jlist *was = self.loop->changed;
    for (size_t i = 0; i < a->raw->n; i++)
        lf_jlist_add(r, now, a->raw->v[i]);
    self.loop->changed = now;
    return lf_jv_bool(!was ||
                      !lf_jv_equal(r, lf_jv_list(LF_J_TUPLE, now), lf_jv_list(LF_J_TUPLE, was)));
}

/* The attributes. */
enum {
    INDEX,
    INDEX0,
    REVINDEX,
    REVINDEX0,
    LENGTH,
    FIRST,
    LAST,
    PREVITEM,
    NEXTITEM,
    DEPTH,
    DEPTH0,
    METHOD
};

bool lf_jloop_attr(struct lf_jrun *r, struct lf_jloop *loop, struct lf_str name, struct lf_jv *out)
{
    static const struct lf_jdef all[] = {
        {"index", .how = INDEX},
        {"index0", .how = INDEX0},
        {"revindex", .how = REVINDEX},
        {"revindex0", .how = REVINDEX0},
        {"length", .how = LENGTH},
        {"first", .how = FIRST},
        {"last", .how = LAST},
        {"previtem", .how = PREVITEM},
        {"nextitem", .how = NEXTITEM},
        {"depth", .how = DEPTH},
        {"depth0", .how = DEPTH0},
        {"cycle", NULL, cycle, METHOD},
        {"changed", NULL, changed, METHOD},
        {NULL},
    };
    const struct lf_jdef *def = lf_j_find(all, name);
    int64_t index = (int64_t)loop->index0;
    struct lf_jmethod *m;
    if (!def)
        return false;
    switch (def->how) {
    case INDEX:
    case INDEX0:
        *out = lf_jv_int(def->how == INDEX ? index + 1 : index);
        break;
    case REVINDEX:
    case REVINDEX0:
        *out = lf_jv_int(length(r, loop) - index - (def->how == REVINDEX0));
        break;
    case LENGTH:
        *out = lf_jv_int(length(r, loop));
        break;
    case FIRST:
    case LAST:
        *out = lf_jv_bool(def->how == FIRST ? index == 0 : !peek(r, loop));
        break;
    case PREVITEM:
        *out = loop->has_before ? loop->before : lf_jv_undefined("there is no previous item");
        break;
    case NEXTITEM:
        *out = peek(r, loop) ? loop->after : lf_jv_undefined("there is no next item");
        break;
    case DEPTH:
    case DEPTH0:
        *out = lf_jv_int(def->how == DEPTH); /* loops are not recursive */
        break;
    default:
        m = lf_j_alloc(r, sizeof *m);
        *out = lf_jv_undefined(NULL);
        if (m) {
            *m = (struct lf_jmethod){{.type = LF_J_LOOP, .loop = loop}, def};
            *out = (struct lf_jv){.type = LF_J_METHOD, .method = m};
        }
    }
    return true;
}
