/* The states of a program, as they are met: each a set of places, and by which byte it leads where.
 *
 * Calls that nothing comes after do not grow the list of returns, so that lists which are written
 * with recursion at their ends stay flat. */
#include "core/grow.h"
#include "text/guide/inside.h"

#include <stdlib.h>
#include <string.h>

#define RETS (1u << 16) /* slots of by_ret; half of them at the most are taken */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

static void out_of(struct lf_machine *m, enum lf_err rc)
{
    if (m->rc == LF_OK)
        m->rc = rc;
}

/* ---- Returns --------------------------------------------------------------------------------- */

/* LF_NONE: nested too deeply, or no memory. */
static int32_t return_to(struct lf_machine *m, int32_t to, int32_t outer)
{
    size_t at = mix(mix(1, (uint32_t)to), (uint32_t)outer) & m->by_ret_mask;
    for (; m->by_ret[at]; at = (at + 1) & m->by_ret_mask) {
        const struct lf_return *r = &m->ret[m->by_ret[at]];
        if (r->to == to && r->outer == outer)
            return (int32_t)m->by_ret[at];
    }
    int32_t depth = m->ret[outer].depth + 1;
    if (depth > LF_GUIDE_CALLS_MAX)
        return LF_NONE;
    if (m->n_ret >= RETS / 2 ||
        lf_grow(&m->ret, &m->cap_ret, m->n_ret + 1, sizeof *m->ret) != LF_OK) {
        out_of(m, LF_E_TOO_BIG);
        return LF_NONE;
    }
    m->ret[m->n_ret] = (struct lf_return){to, outer, depth};
    m->by_ret[at] = (uint32_t)m->n_ret;
    return (int32_t)m->n_ret++;
}

/* ---- A state that is being made -------------------------------------------------------------- */

static void work_begin(struct lf_machine *m)
{
    m->n_work = 0;
    m->work_whole = false;
    m->stamp++;
}

static void work_add(struct lf_machine *m, int32_t at, int32_t outer)
{
    size_t slot = mix(mix(2, (uint32_t)at), (uint32_t)outer) & (LF_GUIDE_SEEN - 1);
    for (; m->seen[slot].stamp == m->stamp; slot = (slot + 1) & (LF_GUIDE_SEEN - 1))
        if (m->seen[slot].place.at == at && m->seen[slot].place.outer == outer)
            return;
    if (m->n_work == LF_GUIDE_PLACES_MAX) {
        out_of(m, LF_E_TOO_BIG);
        return;
    }
    m->seen[slot].stamp = m->stamp;
    m->seen[slot].place = m->work[m->n_work++] = (struct lf_gplace){at, outer};
}

/* Follows all that takes no byte; what is left takes one. */
static void work_close(struct lf_machine *m)
{
    const struct lf_program *p = m->program;
    size_t n = 0;
    for (size_t i = 0; i < m->n_work; i++) {
        struct lf_gplace w = m->work[i];
        const struct lf_gnode *d = &p->node[w.at];
        int32_t start;
        switch (d->kind) {
        case LF_NODE_BYTE:
            m->work[n++] = w;
            break;
        case LF_NODE_BRANCH:
            work_add(m, d->next, w.outer);
            work_add(m, d->other, w.outer);
            break;
        case LF_NODE_CALL:
            start = p->start[d->other];
            if (d->next != LF_NODE_RETURN_AT)
                w.outer = return_to(m, d->next, w.outer);
            if (start != LF_NONE && w.outer != LF_NONE)
                work_add(m, start, w.outer);
            break;
        default:
            if (w.outer == 0)
                m->work_whole = true;
            else
                work_add(m, m->ret[w.outer].to, m->ret[w.outer].outer);
        }
    }
    m->n_work = n;
}

static int compare(const void *a, const void *b)
{
    const struct lf_gplace *x = a, *y = b;
    return x->outer != y->outer ? (x->outer < y->outer ? -1 : 1) : x->at - y->at;
}

static bool same(const struct lf_machine *m, const struct lf_gstate *s)
{
    return (size_t)s->n == m->n_work && s->whole == m->work_whole &&
           (s->n == 0 || memcmp(s->place, m->work, m->n_work * sizeof *m->work) == 0);
}

static size_t work_hash(const struct lf_machine *m)
{
    uint64_t h = mix(3, m->work_whole);
    for (size_t i = 0; i < m->n_work; i++)
        h = mix(mix(h, (uint32_t)m->work[i].at), (uint32_t)m->work[i].outer);
    return h;
}

static enum lf_err table_grow(struct lf_machine *m)
{
    size_t slots = m->by_place ? 2 * (m->by_place_mask + 1) : 256;
    uint32_t *grown = calloc(slots, sizeof *grown);
    if (!grown)
        return LF_E_NO_MEMORY;
    for (size_t i = 0; m->by_place && i <= m->by_place_mask; i++) {
        uint32_t s = m->by_place[i];
        if (s == 0)
            continue;
        size_t at = m->state[s - 1].hash & (slots - 1);
        while (grown[at])
            at = (at + 1) & (slots - 1);
        grown[at] = s;
    }
    free(m->by_place);
    m->by_place = grown;
    m->by_place_mask = slots - 1;
    return LF_OK;
}

/* The state of what is in the work. */
static int32_t work_state(struct lf_machine *m)
{
    if (m->rc != LF_OK)
        return LF_DEAD;
    qsort(m->work, m->n_work, sizeof *m->work, compare);
    size_t hash = work_hash(m), at = hash & m->by_place_mask;
    for (; m->by_place[at]; at = (at + 1) & m->by_place_mask)
        if (same(m, &m->state[m->by_place[at] - 1]))
            return (int32_t)m->by_place[at] - 1;
    size_t bytes = m->n_work * sizeof *m->work;
    struct lf_gplace *places = malloc(bytes + 1);
    if (!places || m->bytes > 2 * (size_t)LF_GUIDE_MEMORY_MAX ||
        lf_grow(&m->state, &m->cap, m->n + 1, sizeof *m->state) != LF_OK) {
        free(places);
        out_of(m, places ? LF_E_TOO_BIG : LF_E_NO_MEMORY);
        return LF_DEAD;
    }
    if (bytes > 0)
        memcpy(places, m->work, bytes);
    m->state[m->n] = (struct lf_gstate){
        .place = places, .n = (int32_t)m->n_work, .whole = m->work_whole, .hash = hash};
    m->by_place[at] = (uint32_t)m->n + 1;
    m->bytes += bytes + sizeof *m->state;
    int32_t made = (int32_t)m->n++;
    if (2 * m->n > m->by_place_mask && table_grow(m) != LF_OK)
        out_of(m, LF_E_NO_MEMORY);
    return made;
}

/* ---- The face -------------------------------------------------------------------------------- */

int32_t lf_machine_start(struct lf_machine *m)
{
    work_begin(m);
    work_add(m, m->program->start[m->program->root], 0);
    work_close(m);
    return work_state(m);
}

/* Where bytes lead: nowhere those that no place takes, which are most of a state inside a literal.
 */
static int32_t *next_new(struct lf_machine *m, const struct lf_gstate *s)
{
    int32_t *next = malloc(256 * sizeof *next);
    if (!next) {
        out_of(m, LF_E_NO_MEMORY);
        return NULL;
    }
    for (int byte = 0; byte < 256; byte++)
        next[byte] = LF_DEAD;
    for (int32_t i = 0; i < s->n; i++) {
        const struct lf_gnode *d = &m->program->node[s->place[i].at];
        memset(next + d->lo, 0xff, (size_t)(d->hi - d->lo + 1) * sizeof *next);
    }
    m->bytes += 256 * sizeof *next;
    return next;
}

int32_t lf_machine_step_new(struct lf_machine *m, int32_t state, uint8_t byte)
{
    struct lf_gstate *s = &m->state[state];
    if (!s->next && !(s->next = next_new(m, s)))
        return LF_DEAD;
    if (s->next[byte] == LF_DEAD)
        return LF_DEAD;
    work_begin(m);
    for (int32_t i = 0; i < s->n; i++) {
        const struct lf_gnode *d = &m->program->node[s->place[i].at];
        if (d->lo <= byte && byte <= d->hi)
            work_add(m, d->next, s->place[i].outer);
    }
    work_close(m);
    int32_t to = work_state(m);
    m->state[state].next[byte] = to; /* the states may have moved */
    return to;
}

bool lf_machine_split(struct lf_machine *m, int32_t state, int32_t *local, int32_t *behind)
{
    const struct lf_gstate *s = &m->state[state];
    int32_t n = 0;
    if (s->n == 0 || s->place[0].outer == 0)
        return false;
    while (n < s->n && s->place[n].outer == s->place[0].outer)
        n++;
    for (int32_t i = n; i < s->n; i++)
        if (s->n % n != 0 || s->place[i].at != s->place[i % n].at ||
            s->place[i].outer != s->place[i - i % n].outer)
            return false;
    work_begin(m);
    for (int32_t i = 0; i < n; i++)
        work_add(m, s->place[i].at, 0);
    *local = work_state(m);
    s = &m->state[state];
    work_begin(m);
    for (int32_t i = 0; i < s->n; i += n) {
        struct lf_return r = m->ret[s->place[i].outer];
        work_add(m, r.to, r.outer);
    }
    work_close(m);
    *behind = work_state(m);
    return m->rc == LF_OK;
}

static void states_free(struct lf_machine *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->state[i].place);
        free(m->state[i].next);
        free(m->state[i].mask);
        free(m->state[i].exit);
    }
    m->n = 0;
}

void lf_machine_forget(struct lf_machine *m)
{
    states_free(m);
    memset(m->by_place, 0, (m->by_place_mask + 1) * sizeof *m->by_place);
    memset(m->by_ret, 0, RETS * sizeof *m->by_ret);
    m->n_ret = 1; /* the first one is none */
    m->ret[0] = (struct lf_return){0};
    m->bytes = 0;
    m->rc = LF_OK;
    m->epoch++;
    work_begin(m);
    if (work_state(m) != LF_DEAD) /* nothing: the first one */
        out_of(m, LF_E_NO_MEMORY);
}

enum lf_err lf_machine_open(struct lf_machine *m, const struct lf_program *p)
{
    *m = (struct lf_machine){.program = p};
    m->by_ret_mask = RETS - 1;
    m->by_ret = calloc(RETS, sizeof *m->by_ret);
    m->work = malloc(LF_GUIDE_PLACES_MAX * sizeof *m->work);
    m->seen = calloc(LF_GUIDE_SEEN, sizeof *m->seen);
    if (!m->by_ret || !m->work || !m->seen || table_grow(m) != LF_OK ||
        lf_grow(&m->ret, &m->cap_ret, 1, sizeof *m->ret) != LF_OK)
        return LF_E_NO_MEMORY;
    lf_machine_forget(m);
    return m->rc;
}

void lf_machine_close(struct lf_machine *m)
{
    states_free(m);
    free(m->state);
    free(m->by_place);
    free(m->ret);
    free(m->by_ret);
    free(m->work);
    free(m->seen);
}
