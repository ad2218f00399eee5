/* The tokens that a state allows, and guides.
 *
 * A state's tokens are found by walking the trie, which costs as much as there are nodes that it
 * can reach: inside a string nearly all. So states inside one rule share the walk, whatever they
 * return to: the walk of their local state finds the tokens that stay in the rule, and the nodes at
 * which it is left; only from these on it depends on what is behind. */
#include "core/grow.h"
#include "text/guide/inside.h"

#include <stdlib.h>
#include <string.h>

struct lf_grammar {
    const struct lf_token_trie *trie;
    struct lf_program program;
    struct lf_machine machine;
    int32_t *path; /* (depth_max + 1) states on the way to a node */
    int32_t *exit; /* nodes at which a walk was whole */
    size_t n_exit, cap_exit;
    uint32_t *begin; /* the mask of an answer's first token, where that loses a space; of `epoch` */
    uint64_t begin_epoch;
    atomic_int holders;
};

/* A completion. What came is kept, to come to the same state again when they were forgotten. */
struct lf_guide {
    struct lf_grammar *g;
    struct lf_buf text;
    int32_t state;
    uint64_t epoch; /* of state; 0: none yet */
    bool begun;     /* a token came */
};

/* ---- Walks ----------------------------------------------------------------------------------- */

#define LOOP_NODES 16 /* a smaller subtree is walked as soon as it is known that it need not be */

/* Classes of bytes of which each leads back to the state: inside a string most. */
static uint64_t loops(struct lf_machine *m, int32_t state)
{
    uint64_t not = 0;
    for (int byte = 0; byte < 256 && m->state[state].loops == 0; byte++)
        if (lf_machine_step(m, state, (uint8_t)byte) != state)
            not |= 1ull << lf_byte_class((uint8_t)byte);
    if (m->state[state].loops == 0)
        m->state[state].loops = LF_LOOPS_KNOWN | ~not ;
    return m->state[state].loops;
}

static void allow(const struct lf_token_trie *t, uint32_t *mask, int32_t from, int32_t to)
{
    for (int32_t k = t->token_off[from]; k < t->token_off[to]; k++)
        mask[t->token[k] / 32] |= 1u << (t->token[k] % 32);
}

/* Nothing below a node leaves the state that it leads to, nor is anything there to be told. */
static bool stays(struct lf_grammar *g, int32_t state, int32_t node, bool exits)
{
    const struct lf_token_trie *t = g->trie;
    return !(exits && g->machine.state[state].whole) &&
           (t->below[node] & ~loops(&g->machine, state)) == 0;
}

/* From a state before node `from` through the nodes up to `to`. exits: wanted. */
static void walk(struct lf_grammar *g, int32_t state, int32_t from, int32_t to, uint32_t *mask,
                 bool exits)
{
    const struct lf_token_trie *t = g->trie;
    struct lf_machine *m = &g->machine;
    if (from >= to)
        return;
    g->path[t->depth[from] - 1] = state;
    for (int32_t i = from; i < to;) {
        int32_t before = g->path[t->depth[i] - 1];
        int32_t s = lf_machine_step(m, before, t->byte[i]);
        if (s == LF_DEAD) {
            i = t->skip[i];
            continue;
        }
        if (s == before && t->skip[i] - i >= LOOP_NODES && stays(g, s, i, exits)) {
            allow(t, mask, i, t->skip[i]);
            i = t->skip[i];
            continue;
        }
        g->path[t->depth[i]] = s;
        allow(t, mask, i, i + 1);
        if (exits && m->state[s].whole) {
            if (lf_grow(&g->exit, &g->cap_exit, g->n_exit + 1, sizeof *g->exit) != LF_OK)
                m->rc = LF_E_NO_MEMORY;
            else
                g->exit[g->n_exit++] = i;
        }
        i++;
    }
}

static uint32_t *mask_new(struct lf_grammar *g)
{
    uint32_t *mask = calloc(g->trie->words + 1, sizeof *mask);
    if (!mask)
        g->machine.rc = LF_E_NO_MEMORY;
    g->machine.bytes += g->trie->words * sizeof *mask;
    return mask;
}

/* The mask of a state that is walked by itself, and where it is whole on the way. */
static void walk_state(struct lf_grammar *g, int32_t state)
{
    uint32_t *mask = mask_new(g);
    g->n_exit = 0;
    if (!mask)
        return;
    walk(g, state, 0, (int32_t)g->trie->n, mask, true);
    struct lf_gstate *s = &g->machine.state[state];
    int32_t *exit = malloc(g->n_exit * sizeof *exit + 1);
    if (!exit) {
        g->machine.rc = LF_E_NO_MEMORY;
        free(mask);
        return;
    }
    if (g->n_exit > 0)
        memcpy(exit, g->exit, g->n_exit * sizeof *exit);
    g->machine.bytes += g->n_exit * sizeof *exit;
    s->mask = mask;
    s->exit = exit;
    s->n_exit = (int32_t)g->n_exit;
}

/* What the local state allows, and from where it is left, what the one behind does. */
static void join(struct lf_grammar *g, int32_t state, int32_t local, int32_t behind)
{
    const struct lf_gstate *l = &g->machine.state[local];
    uint32_t *mask = mask_new(g);
    if (!mask)
        return;
    memcpy(mask, l->mask, g->trie->words * sizeof *mask);
    for (int32_t i = 0; i < g->machine.state[local].n_exit; i++) {
        int32_t at = g->machine.state[local].exit[i];
        walk(g, behind, at + 1, g->trie->skip[at], mask, false);
    }
    g->machine.state[state].mask = mask;
}

/* A state's mask is there after this, where there was memory. */
static void mask_of(struct lf_grammar *g, int32_t state)
{
    struct lf_machine *m = &g->machine;
    int32_t local, behind;
    if (m->state[state].mask)
        return;
    if (!lf_machine_split(m, state, &local, &behind)) {
        walk_state(g, state);
        return;
    }
    if (!m->state[local].mask)
        walk_state(g, local);
    if (m->rc != LF_OK)
        return;
    if ((size_t)m->state[local].n_exit > g->trie->n / 16) /* it would be walked over and over */
        walk_state(g, state);
    else
        join(g, state, local, behind);
}

/* The first token's, which loses the space that it begins with. */
static void begin_mask(struct lf_grammar *g)
{
    const struct lf_token_trie *t = g->trie;
    int32_t start = lf_machine_start(&g->machine);
    if (!g->begin)
        g->begin = calloc(t->words + 1, sizeof *g->begin);
    if (!g->begin) {
        g->machine.rc = LF_E_NO_MEMORY;
        return;
    }
    memset(g->begin, 0, t->words * sizeof *g->begin);
    walk(g, start, 0, t->space, g->begin, false);
    walk(g, start, t->skip[t->space], (int32_t)t->n, g->begin, false);
    walk(g, start, t->space + 1, t->skip[t->space], g->begin, false);
    g->begin_epoch = g->machine.epoch;
}

/* ---- Grammars -------------------------------------------------------------------------------- */

enum lf_err lf_grammar_new(struct lf_grammar **out, const char *gbnf, size_t n,
                           const struct lf_token_trie *trie, struct lf_diag *diag)
{
    struct lf_rules rules = {0};
    struct lf_grammar *g = calloc(1, sizeof *g);
    if (!g)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a grammar");
    g->trie = trie;
    atomic_init(&g->holders, 1);
    enum lf_err rc =
        lf_rules_parse(&rules, gbnf, n, diag) ?: lf_program_make(&g->program, &rules, diag);
    lf_rules_free(&rules);
    if (rc == LF_OK) {
        rc = lf_machine_open(&g->machine, &g->program);
        g->path = calloc(trie ? (size_t)trie->depth_max + 1 : 1, sizeof *g->path);
        if (rc != LF_OK || !g->path)
            rc = lf_fail(diag, LF_E_NO_MEMORY, "no memory for a grammar");
    }
    if (rc == LF_OK)
        *out = g;
    else
        lf_grammar_release(g);
    return rc;
}

struct lf_grammar *lf_grammar_hold(struct lf_grammar *g)
{
    atomic_fetch_add(&g->holders, 1);
    return g;
}

void lf_grammar_release(struct lf_grammar *g)
{
    if (!g || atomic_fetch_sub(&g->holders, 1) > 1)
        return;
    lf_machine_close(&g->machine);
    lf_program_free(&g->program);
    free(g->path);
    free(g->exit);
    free(g->begin);
    free(g);
}

/* ---- Guides ---------------------------------------------------------------------------------- */

enum lf_err lf_guide_new(struct lf_guide **out, struct lf_grammar *g, struct lf_diag *diag)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return lf_fail(diag, LF_E_NO_MEMORY, "no memory for a guide");
    (*out)->g = lf_grammar_hold(g);
    return LF_OK;
}

void lf_guide_free(struct lf_guide *u)
{
    if (!u)
        return;
    lf_grammar_release(u->g);
    lf_buf_free(&u->text);
    free(u);
}

static int32_t run(struct lf_machine *m, int32_t state, const char *s, size_t n)
{
    for (size_t i = 0; i < n && state != LF_DEAD; i++)
        state = lf_machine_step(m, state, (uint8_t)s[i]);
    return state;
}

/* Its state is one of the machine's. */
static enum lf_err find(struct lf_guide *u)
{
    struct lf_machine *m = &u->g->machine;
    if (m->bytes > LF_GUIDE_MEMORY_MAX || m->rc != LF_OK)
        lf_machine_forget(m);
    if (u->epoch == m->epoch)
        return m->rc;
    u->state = run(m, lf_machine_start(m), lf_buf_str(&u->text), u->text.len);
    u->epoch = m->epoch;
    return m->rc;
}

size_t lf_guide_words(int n_ids)
{
    return ((size_t)n_ids + 31) / 32;
}

static bool is_empty(const uint32_t *mask, size_t words)
{
    uint32_t any = 0;
    for (size_t i = 0; i < words; i++)
        any |= mask[i];
    return any == 0;
}

enum lf_err lf_guide_mask(struct lf_guide *u, uint32_t *mask)
{
    struct lf_grammar *g = u->g;
    const struct lf_token_trie *t = g->trie;
    enum lf_err rc = find(u);
    bool begins = !u->begun && t->space != LF_NONE;
    if (rc == LF_OK && begins && (!g->begin || g->begin_epoch != g->machine.epoch))
        begin_mask(g);
    else if (rc == LF_OK && !begins)
        mask_of(g, u->state);
    if (g->machine.rc != LF_OK)
        return g->machine.rc;
    memcpy(mask, begins ? g->begin : g->machine.state[u->state].mask, t->words * sizeof *mask);
    if (g->machine.state[u->state].whole || is_empty(mask, t->words))
        for (int i = 0; i < t->n_ends; i++)
            mask[t->ends[i] / 32] |= 1u << (t->ends[i] % 32);
    return LF_OK;
}

enum lf_err lf_guide_bytes(struct lf_guide *u, const char *s, size_t n)
{
    enum lf_err rc = find(u);
    int32_t to = run(&u->g->machine, u->state, s, n);
    rc = rc ?: u->g->machine.rc;
    if (rc == LF_OK && to == LF_DEAD)
        return LF_E_INVALID;
    rc = rc ?: lf_buf_append(&u->text, s, n);
    if (rc == LF_OK)
        u->state = to;
    return rc;
}

enum lf_err lf_guide_accept(struct lf_guide *u, int32_t id)
{
    const struct lf_token_trie *t = u->g->trie;
    for (int i = 0; i < t->n_ends; i++)
        if (t->ends[i] == id)
            return LF_OK;
    struct lf_str s = id >= 0 && id < t->n_ids ? t->bytes[id] : (struct lf_str){0};
    bool drops = !u->begun && t->space != LF_NONE && s.n > 0 && s.s[0] == ' ';
    if (s.n <= drops)
        return LF_E_INVALID;
    enum lf_err rc = lf_guide_bytes(u, s.s + drops, s.n - drops);
    u->begun = u->begun || rc == LF_OK;
    return rc;
}

struct lf_guide_place lf_guide_place(const struct lf_guide *u)
{
    return (struct lf_guide_place){
        .n = u->text.len, .epoch = u->epoch, .state = u->state, .begun = u->begun};
}

void lf_guide_return(struct lf_guide *u, const struct lf_guide_place *to)
{
    lf_assert(to->n <= u->text.len);
    u->text.len = to->n;
    u->epoch = to->epoch;
    u->state = to->state;
    u->begun = to->begun;
}

bool lf_guide_ended(struct lf_guide *u)
{
    return lf_guide_whole(u) && u->g->machine.state[u->state].n == 0;
}

bool lf_guide_whole(struct lf_guide *u)
{
    return find(u) == LF_OK && u->g->machine.state[u->state].whole;
}
