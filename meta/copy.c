/* A copy of a store that is in use: LMDB lets other processes read. */
#include "meta/store.h"

#include "core/file.h"

#include <lmdb.h>

enum lf_err lf_store_copy(const char *dir, const char *to, struct lf_diag *diag)
{
    MDB_env *env = NULL;
    int code = mdb_env_create(&env) ?: mdb_env_set_maxdbs(env, 4);
    code = code ?: mdb_env_open(env, dir, MDB_RDONLY | MDB_NOTLS, 0600);
    enum lf_err rc = code ? LF_OK : lf_dir_make(to, diag);
    if (rc == LF_OK && code == MDB_SUCCESS)
        code = mdb_env_copy2(env, to, MDB_CP_COMPACT);
    if (env)
        mdb_env_close(env);
    if (code == MDB_SUCCESS)
        return rc;
    return lf_fail(diag, code > 0 ? lf_err_from_errno(code) : LF_E_DAMAGED, "%s: %s", dir,
                   mdb_strerror(code));
}
