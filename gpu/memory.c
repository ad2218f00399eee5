/* The ledger of device memory. */
#include "gpu/memory.h"

#include "core/lock.h"

#include <stdint.h>
#include <stdlib.h>

#define LEDGER_START 64

void lf_ledger_init(struct lf_ledger *l, size_t ceiling)
{
    *l = (struct lf_ledger){.ceiling = ceiling};
    pthread_mutex_init(&l->lock, NULL);
}

void lf_ledger_free(struct lf_ledger *l)
{
    pthread_mutex_destroy(&l->lock);
    free(l->entries);
}

static size_t slot_of(const struct lf_ledger *l, const void *p)
{
    uint64_t mixed = ((uint64_t)(uintptr_t)p >> 8) * 0x9E3779B97F4A7C15u;
    size_t i = (size_t)(mixed >> 32) & (l->capacity - 1);
    while (l->entries[i].p && l->entries[i].p != p)
        i = (i + 1) & (l->capacity - 1);
    return i;
}

/* Room for one more than count and those reserved by other threads: at most half full, and no
 * machine has as many threads between reserve and bind as the other half holds. */
static bool grow(struct lf_ledger *l)
{
    if ((l->count + 1) * 2 <= l->capacity)
        return true;
    struct lf_ledger old = *l;
    l->capacity = old.capacity ? old.capacity * 2 : LEDGER_START;
    l->entries = calloc(l->capacity, sizeof *l->entries);
    if (!l->entries) {
        l->entries = old.entries;
        l->capacity = old.capacity;
        return false;
    }
    for (size_t i = 0; i < old.capacity; i++)
        if (old.entries[i].p)
            l->entries[slot_of(l, old.entries[i].p)] = old.entries[i];
    free(old.entries);
    return true;
}

enum lf_err lf_ledger_reserve(struct lf_ledger *l, size_t bytes, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    lf_lock_auto held = lf_lock(&l->lock);
    if (l->ceiling && (bytes > l->ceiling || l->used > l->ceiling - bytes))
        rc = lf_fail(diag, LF_E_DEVICE_FULL, "device memory: %zu bytes wanted, %zu of %zu in use",
                     bytes, l->used, l->ceiling);
    else if (!grow(l))
        rc = lf_no_memory(diag, "the ledger of device memory");
    else {
        l->count++;
        l->used += bytes;
        if (l->used > l->peak)
            l->peak = l->used;
    }
    return rc;
}

void lf_ledger_cancel(struct lf_ledger *l, size_t bytes)
{
    lf_lock_auto held = lf_lock(&l->lock);
    l->count--;
    l->used -= bytes;
}

void lf_ledger_bind(struct lf_ledger *l, const struct lf_ledger_entry *e)
{
    lf_lock_auto held = lf_lock(&l->lock);
    l->entries[slot_of(l, e->p)] = *e;
}

/* Empties slot i and moves later members of its run up, so that probing finds them. */
static void remove_at(struct lf_ledger *l, size_t i)
{
    size_t mask = l->capacity - 1;
    l->entries[i] = (struct lf_ledger_entry){0};
    for (size_t j = (i + 1) & mask; l->entries[j].p; j = (j + 1) & mask) {
        struct lf_ledger_entry moved = l->entries[j];
        l->entries[j] = (struct lf_ledger_entry){0};
        l->entries[slot_of(l, moved.p)] = moved;
    }
}

bool lf_ledger_drop(struct lf_ledger *l, void *p, struct lf_ledger_entry *out)
{
    lf_lock_auto held = lf_lock(&l->lock);
    bool found = false;
    if (l->capacity) {
        size_t i = slot_of(l, p);
        found = l->entries[i].p == p;
        if (found) {
            *out = l->entries[i];
            l->used -= l->entries[i].bytes;
            l->count--;
            remove_at(l, i);
        }
    }
    return found;
}
