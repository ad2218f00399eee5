#include "meta/rewrite.h"

#include "core/file.h"
#include "core/limits.h"
#include "core/log.h"
#include "meta/limits.h"
#include "meta/seal.h"

#include <errno.h>
#include <lmdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define REWRITE_SECONDS 600 /* a store is some megabytes, and every walk below has an end */

static const char *const tables[] = {"counters", "names", "adapters", "jobs"};
#define N_TABLES (sizeof tables / sizeof *tables)

/* How the child ends. */
enum outcome { DONE, DAMAGED, NEWER, NO_ROOM, NO_ROOM_OLD, UNKNOWN };

struct copying {
    MDB_txn *from, *to;
    bool new, sealed; /* what is read */
};

/* ---- In the child ---------------------------------------------------------------------------- */

/* What LMDB's code for reading says of the file. */
static enum outcome read_of(int code)
{
    bool outside = code > 0 && code != EINVAL; /* no memory, no descriptors, a disk that fails */
    return code == MDB_SUCCESS ? DONE : outside ? UNKNOWN : DAMAGED;
}

static int env_open(MDB_env **env, const char *path, size_t map_bytes, unsigned flags)
{
    int code = mdb_env_create(env);
    if (code != MDB_SUCCESS)
        return code;
    code = mdb_env_set_maxdbs(*env, N_TABLES) ?: mdb_env_set_mapsize(*env, map_bytes);
    code = code ?: mdb_env_open(*env, path, MDB_NOLOCK | MDB_NOSUBDIR | flags, 0600);
    if (code != MDB_SUCCESS)
        mdb_env_close(*env);
    return code;
}

/* Whether memory of this size can be had. */
static bool room_for(size_t map_bytes)
{
    void *small = malloc(1 << 16);
    void *map =
        mmap(NULL, map_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map != MAP_FAILED)
        munmap(map, map_bytes);
    free(small);
    return small && map != MAP_FAILED;
}

/* The size of its map is in the file, so that a damaged one may want more memory than there is. */
static enum outcome from_open(struct copying *w, const char *path, size_t map_bytes)
{
    MDB_env *env;
    int code = env_open(&env, path, map_bytes, MDB_RDONLY);
    if (code == ENOMEM && room_for(map_bytes))
        code = env_open(&env, path, map_bytes, MDB_RDONLY);
    if (code == ENOMEM && room_for(map_bytes))
        return DAMAGED;
    if (code == MDB_SUCCESS)
        code = mdb_txn_begin(env, NULL, MDB_RDONLY, &w->from);
    return read_of(code);
}

static enum outcome to_open(struct copying *w, const char *path, size_t map_bytes)
{
    MDB_env *env;
    int code = env_open(&env, path, map_bytes, 0) ?: mdb_txn_begin(env, NULL, 0, &w->to);
    return code == MDB_SUCCESS ? DONE : NO_ROOM;
}

/* Nothing was ever committed to it. */
static enum outcome is_new(struct copying *w)
{
    MDB_dbi names;
    MDB_stat stat;
    int code = mdb_dbi_open(w->from, NULL, 0, &names) ?: mdb_stat(w->from, names, &stat);
    w->new = code == MDB_SUCCESS &&stat.ms_entries == 0;
    return read_of(code);
}

/* Reads the format, and with it whether there are seals. */
static enum outcome format_read(struct copying *w)
{
    MDB_dbi counters;
    MDB_val key = {strlen("format"), "format"}, val;
    uint64_t format;
    enum outcome end = is_new(w);
    if (end != DONE || w->new)
        return end;
    int code = mdb_dbi_open(w->from, "counters", 0, &counters);
    code = code ?: mdb_get(w->from, counters, &key, &val);
    if (code != MDB_SUCCESS)
        return read_of(code);
    w->sealed = val.mv_size != sizeof format;
    if (w->sealed && !lf_seal_open(&val, &key))
        return DAMAGED;
    if (val.mv_size != sizeof format)
        return DAMAGED;
    memcpy(&format, val.mv_data, sizeof format);
    if (format > LF_STORE_FORMAT)
        return format <= LF_STORE_FORMATS_MAX ? NEWER : DAMAGED;
    return w->sealed == (format >= 2) ? DONE : DAMAGED;
}

/* A record goes as it is: one that is damaged is named, and left out, by who lists it. What has no
 * record of its own must be right. */
static enum outcome entry_write(const struct copying *w, MDB_dbi to, MDB_val *key, MDB_val val,
                                bool record)
{
    char room[LF_SEALED_MAX];
    MDB_val opened = val;
    if (val.mv_size > LF_SEALED_MAX)
        return DAMAGED;
    if (!w->sealed && lf_seal(&val, room, key, &opened) != LF_OK)
        return DAMAGED;
    if (w->sealed && !record && !lf_seal_open(&opened, key))
        return DAMAGED;
    int code = mdb_put(w->to, to, key, &val, MDB_APPEND); /* fails where keys do not rise */
    if (code == MDB_SUCCESS)
        return DONE;
    return code == MDB_KEYEXIST || code == MDB_BAD_VALSIZE ? DAMAGED : NO_ROOM;
}

static bool is_format(const MDB_val *key)
{
    return key->mv_size == strlen("format") && memcmp(key->mv_data, "format", key->mv_size) == 0;
}

static enum outcome format_write(const struct copying *w, MDB_dbi to, MDB_val *key)
{
    uint64_t format = LF_STORE_FORMAT;
    char room[LF_SEALED_MAX];
    MDB_val sealed, val = {sizeof format, &format};
    if (lf_seal(&sealed, room, key, &val) != LF_OK)
        return UNKNOWN;
    return mdb_put(w->to, to, key, &sealed, MDB_APPEND) ? NO_ROOM : DONE;
}

static enum outcome table_copy(const struct copying *w, const char *name)
{
    MDB_dbi from, to;
    MDB_stat stat;
    MDB_cursor *at;
    MDB_val key, val;
    size_t n = 0;
    int code = mdb_dbi_open(w->from, name, 0, &from);
    code = code ?: mdb_stat(w->from, from, &stat) ?: mdb_cursor_open(w->from, from, &at);
    if (code != MDB_SUCCESS)
        return read_of(code);
    if (mdb_dbi_open(w->to, name, MDB_CREATE, &to))
        return NO_ROOM;
    bool record = strcmp(name, "adapters") == 0 || strcmp(name, "jobs") == 0;
    enum outcome end = DONE;
    while (end == DONE && (code = mdb_cursor_get(at, &key, &val, MDB_NEXT)) == MDB_SUCCESS) {
        n++;
        end = !record && is_format(&key) ? format_write(w, to, &key)
                                         : entry_write(w, to, &key, val, record);
    }
    if (end != DONE)
        return end;
    if (code != MDB_NOTFOUND)
        return read_of(code);
    return n == stat.ms_entries ? DONE : DAMAGED;
}

static enum outcome copy(const char *path, const char *fresh, size_t map_bytes)
{
    struct copying w = {0};
    enum outcome end = from_open(&w, path, map_bytes);
    if (end == DONE)
        end = format_read(&w);
    if (end == DONE)
        end = to_open(&w, fresh, map_bytes);
    for (size_t i = 0; i < N_TABLES && end == DONE && !w.new; i++)
        end = table_copy(&w, tables[i]);
    if (end == DONE && mdb_txn_commit(w.to))
        end = NO_ROOM;
    return end == NO_ROOM && !w.sealed ? NO_ROOM_OLD : end;
}

static void copy_and_exit(const char *path, const char *fresh, size_t map_bytes)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM};
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        signal(fatal[i], SIG_DFL);
    alarm(REWRITE_SECONDS);
    _exit(copy(path, fresh, map_bytes));
}

/* ---- In the caller --------------------------------------------------------------------------- */

/* How the child ended; of a death by a signal, which. */
static enum lf_err run(enum outcome *end, int *died_of, const char *path, const char *fresh,
                       size_t map_bytes, struct lf_diag *diag)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        copy_and_exit(path, fresh, map_bytes);
    if (pid < 0)
        return lf_fail_errno(diag, errno, "%s: a process to read it", path);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return lf_fail_errno(diag, errno, "%s: the process that reads it", path);
    *died_of = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    *end = *died_of == SIGKILL || *died_of == SIGTERM ? UNKNOWN
           : *died_of                                 ? DAMAGED
                                                      : (enum outcome)WEXITSTATUS(status);
    return LF_OK;
}

static enum lf_err put_aside(const char *path, const char *dir, int died_of, struct lf_diag *diag)
{
    char aside[LF_PATH_MAX];
    enum lf_err rc = lf_path_join(aside, dir, "data.mdb.damaged", diag);
    if (rc != LF_OK)
        return rc;
    if (rename(path, aside) != 0)
        return lf_fail_errno(diag, errno, "%s", path);
    lf_log(LF_LOG_ERROR, "store", "%s is damaged (%s): kept as %s, and made again from the files",
           path, died_of ? strsignal(died_of) : "its pages do not fit together", aside);
    return lf_dir_sync(dir, diag);
}

static enum lf_err take_place(const char *fresh, const char *path, const char *dir,
                              struct lf_diag *diag)
{
    if (rename(fresh, path) != 0)
        return lf_fail_errno(diag, errno, "%s", path);
    return lf_dir_sync(dir, diag);
}

enum lf_err lf_store_rewrite(const char *dir, size_t map_bytes, struct lf_diag *diag)
{
    char path[LF_PATH_MAX], fresh[LF_PATH_MAX];
    int died_of;
    enum outcome end;
    enum lf_err rc = lf_path_join(path, dir, "data.mdb", diag);
    rc = rc ?: lf_path_join(fresh, dir, "data.mdb.new", diag);
    if (rc != LF_OK || lf_file_size(path) <= 0)
        return rc;
    unlink(fresh);
    rc = run(&end, &died_of, path, fresh, map_bytes, diag);
    if (rc == LF_OK && end == DONE)
        return take_place(fresh, path, dir, diag);
    unlink(fresh);
    if (rc != LF_OK)
        return rc;
    switch (end) {
    case DAMAGED:
        return put_aside(path, dir, died_of, diag);
    case NEWER:
        return lf_fail(diag, LF_E_DAMAGED, "%s: made by a later version; this one knows format %d",
                       path, LF_STORE_FORMAT);
    case NO_ROOM:
        lf_log(LF_LOG_WARN, "store", "%s: no room to write it anew; it is used as it is", path);
        return LF_OK;
    case NO_ROOM_OLD:
        return lf_fail(diag, LF_E_NO_SPACE,
                       "%s: of an older format, and there is no room to write it anew", path);
    default:
        return lf_fail(diag, LF_E_IO, "%s: cannot be read", path);
    }
}
