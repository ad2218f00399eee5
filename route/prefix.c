/* A table of pages by their numbers, in which a page that comes takes the place of one that was
 * there. */
#include "route/prefix.h"

#include "core/limits.h"

#include <stdbool.h>
#include <stdlib.h>

#define ROWS (1u << 15) /* 512 KB; a card's cache has fewer pages than that, or nearly */

static uint64_t mixed(uint64_t h)
{
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return h ^ h >> 31;
}

int lf_prefix_chain(uint64_t owner, const int32_t *ids, int n, uint64_t out[LF_PREFIX_PAGES])
{
    uint64_t h = mixed(owner + 0x9e3779b97f4a7c15u);
    int pages = n / LF_KV_PAGE_TOKENS;
    if (pages > LF_PREFIX_PAGES - 1)
        pages = LF_PREFIX_PAGES - 1;
    out[0] = h | 1;
    for (int page = 0; page < pages; page++) {
        for (int i = 0; i < LF_KV_PAGE_TOKENS; i++)
            h = mixed(h ^ (uint32_t)ids[page * LF_KV_PAGE_TOKENS + i]);
        out[page + 1] = h | 1;
    }
    return pages + 1;
}

enum lf_err lf_prefixes_init(struct lf_prefixes *p, struct lf_diag *diag)
{
    *p = (struct lf_prefixes){.rows = calloc(ROWS, sizeof *p->rows)};
    return p->rows ? LF_OK : lf_no_memory(diag, "a table of prompts");
}

void lf_prefixes_free(struct lf_prefixes *p)
{
    free(p->rows);
    p->rows = NULL;
}

static struct lf_prefix_row *row_of(const struct lf_prefixes *p, uint64_t page)
{
    return &p->rows[page >> 32 & (ROWS - 1)];
}

static bool is_there(const struct lf_prefixes *p, uint64_t page, int64_t capacity)
{
    const struct lf_prefix_row *r = row_of(p, page);
    return r->page == page && (int64_t)(p->noted - r->at) < capacity;
}

int lf_prefixes_known(const struct lf_prefixes *p, const uint64_t *chain, int n, int64_t capacity)
{
    int known = 0;
    while (known < n && is_there(p, chain[known], capacity))
        known++;
    return known;
}

void lf_prefixes_note(struct lf_prefixes *p, const uint64_t *chain, int n, int64_t capacity)
{
    for (int i = 0; i < n; i++) {
        p->noted += !is_there(p, chain[i], capacity);
        *row_of(p, chain[i]) = (struct lf_prefix_row){.page = chain[i], .at = p->noted};
    }
}
