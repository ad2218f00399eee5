/* Lists that double as they fill. */
#include "core/grow.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum lf_err lf_grow_to(void *list, size_t *cap, size_t need, size_t size)
{
    size_t want = *cap ? *cap : 64;
    while (want < need)
        want = want > SIZE_MAX / 2 ? need : want * 2;
    void *p;
    memcpy(&p, list, sizeof p);
    p = want < SIZE_MAX / size ? realloc(p, want * size) : NULL;
    if (!p)
        return LF_E_NO_MEMORY;
    memcpy(list, &p, sizeof p);
    *cap = want;
    return LF_OK;
}
