/* A bump allocator: many small allocations that die together (a request, a parsed file).
 * Memory is zeroed. One thread at a time. */
#ifndef LF_CORE_ARENA_H
#define LF_CORE_ARENA_H

#include "core/err.h"

struct lf_arena {
    struct lf_arena_block *head;
};

void lf_arena_init(struct lf_arena *a);
/* Everything handed out is gone; the arena may be used again. */
void lf_arena_free(struct lf_arena *a);
/* n bytes, zeroed, aligned to 16; NULL when memory is out. The arena's. */
void *lf_arena_alloc(struct lf_arena *a, size_t n);
char *lf_arena_strdup(struct lf_arena *a, const char *s);
char *lf_arena_strndup(struct lf_arena *a, const char *s, size_t n);

#endif
