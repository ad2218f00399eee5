/* Lists that double as they fill. */
#ifndef LF_CORE_GROW_H
#define LF_CORE_GROW_H

#include "core/err.h"

/* Room for `need` elements of `size` bytes in the list whose pointer is at *list and whose capacity
 * is *cap elements. LF_E_NO_MEMORY leaves both as they were. */
static inline LF_MUST_CHECK enum lf_err lf_grow(void *list, size_t *cap, size_t need, size_t size);

/* The same where it is known that there is no room yet. */
enum lf_err lf_grow_to(void *list, size_t *cap, size_t need, size_t size) LF_MUST_CHECK;

static inline enum lf_err lf_grow(void *list, size_t *cap, size_t need, size_t size)
{
    return need <= *cap ? LF_OK : lf_grow_to(list, cap, need, size);
}

#endif
