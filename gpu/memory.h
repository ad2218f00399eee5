/* The ledger of device memory: what each pointer holds, the ceiling, and the peak. Private to
 * gpu/. Any thread. */
#ifndef LF_GPU_MEMORY_H
#define LF_GPU_MEMORY_H

#include "core/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct lf_ledger_entry {
    void *p;      /* NULL: free */
    size_t bytes; /* of the device; 0 where it is host memory */
    bool host;
};

struct lf_ledger {
    pthread_mutex_t lock;
    struct lf_ledger_entry *entries; /* open addressing, linear probing */
    size_t capacity, count;          /* capacity is a power of two or 0 */
    size_t ceiling;                  /* 0: none */
    size_t used, peak;
};

void lf_ledger_init(struct lf_ledger *l, size_t ceiling);
void lf_ledger_free(struct lf_ledger *l);
/* Books bytes before they are allocated, so that two threads cannot pass the ceiling together.
 * LF_E_DEVICE_FULL past it; LF_E_NO_MEMORY when the ledger itself cannot grow. */
enum lf_err lf_ledger_reserve(struct lf_ledger *l, size_t bytes,
                              struct lf_diag *diag) LF_MUST_CHECK;
/* Gives reserved bytes back, or binds them to the pointer that they became. */
void lf_ledger_cancel(struct lf_ledger *l, size_t bytes);
void lf_ledger_bind(struct lf_ledger *l, const struct lf_ledger_entry *e);
/* Forgets p: its entry to *out. False when it is not there. */
bool lf_ledger_drop(struct lf_ledger *l, void *p, struct lf_ledger_entry *out);

#endif
