/* The bump allocator: a list of blocks, newest first. */
#include "core/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)64 << 10)

struct lf_arena_block {
    struct lf_arena_block *next;
    size_t used, cap;
    _Alignas(16) char bytes[];
};

void lf_arena_init(struct lf_arena *a)
{
    a->head = NULL;
}

void lf_arena_free(struct lf_arena *a)
{
    while (a->head) {
        struct lf_arena_block *next = a->head->next;
        free(a->head);
        a->head = next;
    }
}

void *lf_arena_alloc(struct lf_arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    n = (n + 15) & ~(size_t)15;
    struct lf_arena_block *b = a->head;
    if (!b || b->cap - b->used < n) {
        size_t cap = n > BLOCK_BYTES ? n : BLOCK_BYTES;
        b = calloc(1, sizeof *b + cap);
        if (!b)
            return NULL;
        b->cap = cap;
        b->next = a->head;
        a->head = b;
    }
    void *p = b->bytes + b->used;
    b->used += n;
    return p;
}

char *lf_arena_strndup(struct lf_arena *a, const char *s, size_t n)
{
    char *p = lf_arena_alloc(a, n + 1);
    if (p)
        memcpy(p, s, n);
    return p;
}

char *lf_arena_strdup(struct lf_arena *a, const char *s)
{
    return lf_arena_strndup(a, s, strlen(s));
}
