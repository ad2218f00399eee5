/* Mending: tables of a store that do not agree. */
#include "meta/inside.h"

#include "core/grow.h"
#include "meta/codec.h"
#include "meta/seal.h"

#include <stdio.h>
#include <stdlib.h>

struct store_mending {
    struct lf_tx t;
    lf_store_mended_fn say;
    void *arg;
};

static void mended(const struct store_mending *m, const char *table, const MDB_val *key,
                   const char *why, const char *how)
{
    char what[LF_NAME_MAX + 16];
    if (strcmp(table, "name") == 0)
        snprintf(what, sizeof what, "name %.*s",
                 (int)(key->mv_size < LF_NAME_MAX ? key->mv_size : LF_NAME_MAX),
                 (const char *)key->mv_data);
    else
        snprintf(what, sizeof what, "%s %llu", table, (unsigned long long)lf_key_id(key));
    m->say(m->arg, what, why, how);
}

/* NULL, or what is wrong with an entry. */
typedef const char *(*fault_fn)(struct store_mending *m, const MDB_val *key, MDB_val *val);

static const char *record_fault(enum lf_err decoded, const MDB_val *key, uint64_t id)
{
    return decoded != LF_OK       ? "its record cannot be read"
           : lf_key_id(key) != id ? "its record is another's"
           : key->mv_size != 8    ? "its key is damaged"
                                  : NULL;
}

static const char *adapter_fault(struct store_mending *m, const MDB_val *key, MDB_val *val)
{
    (void)m;
    struct lf_adapter_record r = {.id = 0};
    if (!lf_seal_open(val, key))
        return "its bytes are damaged";
    enum lf_err rc = lf_adapter_record_decode(&r, val->mv_data, val->mv_size, NULL);
    return record_fault(rc, key, r.id);
}

static const char *job_fault(struct store_mending *m, const MDB_val *key, MDB_val *val)
{
    (void)m;
    struct lf_job_record r = {.id = 0};
    if (!lf_seal_open(val, key))
        return "its bytes are damaged";
    enum lf_err rc = lf_job_record_decode(&r, val->mv_data, val->mv_size, NULL);
    return record_fault(rc, key, r.id);
}

static const char *name_fault(struct store_mending *m, const MDB_val *key, MDB_val *val)
{
    struct lf_adapter_record r;
    uint64_t id;
    if (!lf_seal_open(val, key) || val->mv_size != sizeof id)
        return "its bytes are damaged";
    memcpy(&id, val->mv_data, sizeof id);
    if (lf_tx_adapter_read(&m->t, id, &r) != LF_OK)
        return "there is no such adapter";
    bool same = strlen(r.name) == key->mv_size && memcmp(r.name, key->mv_data, key->mv_size) == 0;
    return same ? NULL : "its adapter has another name";
}

/* Drops what is wrong. */
static enum lf_err table_mend(struct store_mending *m, MDB_dbi db, const char *table,
                              fault_fn fault)
{
    MDB_cursor *c;
    MDB_val key, val;
    int code = mdb_cursor_open(m->t.txn, db, &c);
    if (code != MDB_SUCCESS)
        return lf_mdb_err(code, "walk", m->t.diag);
    while ((code = mdb_cursor_get(c, &key, &val, MDB_NEXT)) == MDB_SUCCESS) {
        const char *why = fault(m, &key, &val);
        if (!why)
            continue;
        mended(m, table, &key, why, "dropped");
        code = mdb_cursor_del(c, 0);
        if (code != MDB_SUCCESS)
            break;
    }
    mdb_cursor_close(c);
    return code == MDB_NOTFOUND ? LF_OK : lf_mdb_err(code, "walk", m->t.diag);
}

/* The adapter's name stands for it; where it is another's already, the adapter gets a new one. */
static enum lf_err name_mend(struct store_mending *m, struct lf_adapter_record *r)
{
    struct lf_id_key k = lf_id_key(r->id);
    MDB_val key = lf_id_val(&k), val;
    uint64_t id = 0;
    enum lf_err rc = lf_tx_get(&m->t, m->t.s->names, lf_text_val(r->name), &val);
    if (rc == LF_OK)
        memcpy(&id, val.mv_data, sizeof id);
    if (id == r->id)
        return LF_OK;
    mended(m, "adapter", &key, "its name does not stand for it", "named");
    if (rc != LF_E_NOT_FOUND)
        snprintf(r->name, sizeof r->name, "recovered-%llu", (unsigned long long)r->id);
    return lf_tx_name_take(&m->t, r->name, r->id) ?: lf_tx_adapter_write(&m->t, r);
}

/* All adapters' ids; *out is yours (free). */
static enum lf_err ids_of(struct store_mending *m, uint64_t **out, size_t *n)
{
    MDB_cursor *c;
    MDB_val key, val;
    size_t cap = 0;
    int code = mdb_cursor_open(m->t.txn, m->t.s->adapters, &c);
    if (code != MDB_SUCCESS)
        return lf_mdb_err(code, "walk", m->t.diag);
    enum lf_err rc = LF_OK;
    while (rc == LF_OK && (code = mdb_cursor_get(c, &key, &val, MDB_NEXT)) == MDB_SUCCESS) {
        rc = lf_grow(out, &cap, *n + 1, sizeof **out);
        if (rc == LF_OK)
            (*out)[(*n)++] = lf_key_id(&key);
    }
    mdb_cursor_close(c);
    return rc == LF_OK ? rc : lf_no_memory(m->t.diag, "the adapters");
}

enum lf_err lf_store_mend(struct lf_store *s, lf_store_mended_fn say, void *arg,
                          struct lf_diag *diag)
{
    struct store_mending m = {.say = say, .arg = arg};
    uint64_t *ids = NULL;
    size_t n = 0;
    enum lf_err rc = lf_tx_begin(&m.t, s, true, diag);
    if (rc != LF_OK)
        return rc;
    rc = table_mend(&m, s->adapters, "adapter", adapter_fault);
    rc = rc ?: table_mend(&m, s->jobs, "job", job_fault);
    rc = rc ?: table_mend(&m, s->names, "name", name_fault);
    rc = rc ?: ids_of(&m, &ids, &n);
    for (size_t i = 0; i < n && rc == LF_OK; i++) {
        struct lf_adapter_record r;
        rc = lf_tx_adapter_read(&m.t, ids[i], &r) ?: name_mend(&m, &r);
    }
    free(ids);
    return lf_tx_end(&m.t, rc);
}
