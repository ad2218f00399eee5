/* LIBS: lf_meta lf_core Lmdb */
/* The store: names are unique, updates are whole, a killed writer loses nothing that was answered,
 * damaged records are refused. */
#include "core/file.h"
#include "meta/codec.h"
#include "meta/limits.h"
#include "meta/seal.h"
#include "meta/store.h"

#include <lmdb.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[64];
    struct lf_store *s;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct lf_diag diag;
    snprintf(f->dir, sizeof f->dir, "/tmp/lf-store-XXXXXX");
    if (!mkdtemp(f->dir) || lf_store_open(&f->s, f->dir, &diag) != LF_OK)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lf_store_close(f->s);
    int bad = lf_dir_remove(f->dir, NULL) != LF_OK;
    free(f);
    return bad;
}

static uint64_t make(struct lf_store *s, const char *name)
{
    struct lf_adapter_record r = {0};
    struct lf_diag diag = {""};
    snprintf(r.name, sizeof r.name, "%s", name);
    assert_int_equal(lf_store_adapter_create(s, &r, NULL, NULL, &diag), LF_OK);
    return r.id;
}

/* The adapter of an id among all; false: there is none. */
static bool get(struct lf_store *s, uint64_t id, struct lf_adapter_record *out)
{
    struct lf_adapter_record *all;
    struct lf_diag diag;
    size_t n;
    bool found = false;
    assert_int_equal(lf_store_adapter_list(s, &all, &n, &diag), LF_OK);
    for (size_t i = 0; i < n; i++) {
        if (all[i].id == id) {
            *out = all[i];
            found = true;
        }
    }
    free(all);
    return found;
}

static void an_adapter_reads_back_as_it_was_made(void **state)
{
    struct fixture *f = *state;
    struct lf_diag diag;
    struct lf_adapter_record r = {.name = "viggo", .base = "small"}, got;
    assert_int_equal(lf_store_adapter_create(f->s, &r, NULL, NULL, &diag), LF_OK);
    assert_true(r.id > 0 && r.created_ms > 0);
    assert_true(get(f->s, r.id, &got));
    assert_string_equal(got.name, "viggo");
    assert_string_equal(got.base, "small");
    assert_int_equal(got.created_ms, r.created_ms);
    assert_int_equal(got.current, 0);
    assert_false(get(f->s, 999, &got));
}

static void a_name_is_given_once(void **state)
{
    struct fixture *f = *state;
    struct lf_diag diag;
    uint64_t a = make(f->s, "a"), b = make(f->s, "b");
    struct lf_adapter_record r = {.name = "a"};
    assert_int_equal(lf_store_adapter_create(f->s, &r, NULL, NULL, &diag), LF_E_EXISTS);
    assert_int_equal(lf_store_adapter_rename(f->s, b, "a", NULL, &diag), LF_E_EXISTS);
    assert_int_equal(lf_store_adapter_rename(f->s, a, "c", &r, &diag), LF_OK);
    assert_string_equal(r.name, "c");
    assert_int_equal(lf_store_adapter_rename(f->s, a, "c", NULL, &diag), LF_OK);
    assert_int_equal(lf_store_adapter_rename(f->s, b, "a", NULL, &diag), LF_OK);
    assert_int_equal(lf_store_adapter_delete(f->s, b, &diag), LF_OK);
    assert_int_equal(lf_store_adapter_delete(f->s, b, &diag), LF_E_NOT_FOUND);
    assert_true(make(f->s, "a") > b);
}

static enum lf_err refuse(void *arg, struct lf_adapter_record *r, struct lf_diag *diag)
{
    (void)arg;
    r->current = 7;
    return lf_fail(diag, LF_E_BUSY, "not now");
}

static enum lf_err set_current(void *arg, struct lf_adapter_record *r, struct lf_diag *diag)
{
    (void)diag;
    r->current = *(int *)arg;
    return LF_OK;
}

static void an_update_is_whole_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    struct lf_diag diag;
    struct lf_adapter_record r;
    uint64_t id = make(f->s, "a");
    assert_int_equal(lf_store_adapter_update(f->s, id, refuse, NULL, NULL, &diag), LF_E_BUSY);
    assert_string_equal(diag.text, "not now");
    assert_true(get(f->s, id, &r));
    assert_int_equal(r.current, 0);
    int three = 3;
    assert_int_equal(lf_store_adapter_update(f->s, id, set_current, &three, &r, &diag), LF_OK);
    assert_int_equal(r.current, 3);
}

static void lists_are_in_order_of_id(void **state)
{
    struct fixture *f = *state;
    struct lf_diag diag;
    struct lf_adapter_record *list;
    size_t n;
    for (int i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", 299 - i);
        make(f->s, name);
    }
    assert_int_equal(lf_store_adapter_list(f->s, &list, &n, &diag), LF_OK);
    assert_int_equal(n, 300);
    for (size_t i = 1; i < n; i++)
        assert_true(list[i - 1].id < list[i].id);
    free(list);
}

static struct lf_job_record queue(struct lf_store *s, uint64_t adapter)
{
    struct lf_diag diag = {""};
    struct lf_adapter_record a;
    struct lf_job_record j = {
        .adapter_id = adapter, .progress = lf_progress_none(), .inputs_sha256 = "abc"};
    assert_int_equal(lf_store_job_create(s, &j, &a, &diag), LF_OK);
    assert_int_equal(a.last_job, j.id);
    return j;
}

static void a_job_ends_together_with_its_adapters_change(void **state)
{
    struct fixture *f = *state;
    struct lf_diag diag;
    struct lf_adapter_record a;
    uint64_t id = make(f->s, "a");
    struct lf_job_record j = queue(f->s, id), got;
    assert_int_equal(j.version, 1);
    j.progress.state = LF_JOB_DONE;
    assert_int_equal(lf_store_job_finish(f->s, &j, &a, &diag), LF_OK);
    assert_int_equal(a.current, 1);
    assert_string_equal(a.inputs_sha256, "abc");
    struct lf_job_record k = queue(f->s, id);
    assert_int_equal(k.version, 2);
    k.progress.state = LF_JOB_FAILED;
    snprintf(k.reason, sizeof k.reason, "loss is not finite");
    assert_int_equal(lf_store_job_finish(f->s, &k, &a, &diag), LF_OK);
    assert_int_equal(a.current, 1);
    assert_string_equal(a.trouble, "loss is not finite");
    assert_int_equal(lf_store_job_get(f->s, k.id, &got, &diag), LF_OK);
    assert_true(isnan(got.progress.loss));
    assert_int_equal(got.progress.state, LF_JOB_FAILED);
    assert_int_equal(lf_store_adapter_delete(f->s, id, &diag), LF_OK);
    assert_int_equal(lf_store_job_finish(f->s, &k, &a, &diag), LF_OK);
}

static void ended_jobs_are_forgotten_oldest_first(void **state)
{
    struct fixture *f = *state;
    struct lf_diag diag;
    struct lf_adapter_record a;
    struct lf_job_record *list;
    size_t n;
    uint64_t id = make(f->s, "a"), first = 0;
    for (int i = 0; i < 6; i++) {
        struct lf_job_record j = queue(f->s, id);
        if (i == 0)
            first = j.id; /* stays open */
        if (i > 0) {
            j.progress.state = LF_JOB_DONE;
            assert_int_equal(lf_store_job_finish(f->s, &j, &a, &diag), LF_OK);
        }
    }
    assert_int_equal(lf_store_job_prune(f->s, 2, &diag), LF_OK);
    assert_int_equal(lf_store_job_list(f->s, false, &list, &n, &diag), LF_OK);
    assert_int_equal(n, 3);
    assert_int_equal(list[0].id, first);
    free(list);
    assert_int_equal(lf_store_job_list(f->s, true, &list, &n, &diag), LF_OK);
    assert_int_equal(n, 1);
    free(list);
}

static void a_store_has_one_owner_and_counts_its_openings(void **state)
{
    struct fixture *f = *state;
    struct lf_diag diag;
    struct lf_store *second;
    uint64_t epoch = lf_store_epoch(f->s);
    assert_int_equal(lf_store_open(&second, f->dir, &diag), LF_E_BUSY);
    lf_store_close(f->s);
    assert_int_equal(lf_store_open(&f->s, f->dir, &diag), LF_OK);
    assert_int_equal(lf_store_epoch(f->s), epoch + 1);
}

/* The child opens the store (fork first, open then), makes adapters and tells each name once it was
 * answered; the parent kills it in the middle and finds every told one. */
static void child_writes(const char *dir, int round, int told)
{
    struct lf_store *s;
    struct lf_diag diag;
    if (lf_store_open(&s, dir, &diag) != LF_OK)
        _exit(1);
    for (int i = 0;; i++) {
        struct lf_adapter_record r = {0};
        char name[16] = {0};
        snprintf(name, sizeof name, "k%d-%d", round, i);
        memcpy(r.name, name, sizeof name);
        if (lf_store_adapter_create(s, &r, NULL, NULL, &diag) != LF_OK)
            _exit(2);
        if (write(told, name, sizeof name) != (ssize_t)sizeof name)
            _exit(3);
    }
}

static size_t kill_one(const char *dir, int round)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        child_writes(dir, round, ends[1]);
    }
    close(ends[1]);
    char name[16];
    size_t n = 0;
    while (n < 5 + (size_t)round && read(ends[0], name, sizeof name) == (ssize_t)sizeof name)
        n++;
    kill(pid, SIGKILL);
    while (read(ends[0], name, sizeof name) == (ssize_t)sizeof name)
        n++;
    close(ends[0]);
    waitpid(pid, NULL, 0);
    return n;
}

static void a_killed_writer_loses_nothing_that_was_answered(void **state)
{
    struct fixture *f = *state;
    struct lf_diag diag;
    lf_store_close(f->s);
    size_t told = 0;
    const size_t rounds = 8;
    for (size_t i = 0; i < rounds; i++)
        told += kill_one(f->dir, (int)i);
    assert_int_equal(lf_store_open(&f->s, f->dir, &diag), LF_OK);
    struct lf_adapter_record *list;
    size_t n;
    assert_int_equal(lf_store_adapter_list(f->s, &list, &n, &diag), LF_OK);
    /* One more a round may be there: committed, killed before it was told. */
    assert_in_range(n, told, told + rounds);
    for (size_t i = 0; i < n; i++) {
        struct lf_adapter_record r = {0};
        memcpy(r.name, list[i].name, sizeof r.name);
        assert_int_equal(lf_store_adapter_create(f->s, &r, NULL, NULL, &diag), LF_E_EXISTS);
    }
    free(list);
}

static void damaged_records_are_refused(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_buf b;
    struct lf_adapter_record r = {.id = 5, .name = "viggo", .base = "b", .trouble = "line 17"}, got;
    lf_buf_init(&b, LF_RECORD_BYTES_MAX);
    assert_int_equal(lf_adapter_record_encode(&b, &r), LF_OK);
    assert_int_equal(lf_adapter_record_decode(&got, b.data, b.len, &diag), LF_OK);
    assert_memory_equal(&got, &r, sizeof r);
    for (size_t n = 0; n < b.len; n++)
        assert_int_equal(lf_adapter_record_decode(&got, b.data, n, &diag), LF_E_DAMAGED);
    lf_buf_putc(&b, 'x');
    assert_int_equal(lf_adapter_record_decode(&got, b.data, b.len, &diag), LF_E_DAMAGED);
    b.len--;
    b.data[9] = (char)0xff; /* the name's length */
    assert_int_equal(lf_adapter_record_decode(&got, b.data, b.len, &diag), LF_E_DAMAGED);
    b.data[0] = 9;
    assert_int_equal(lf_adapter_record_decode(&got, b.data, b.len, &diag), LF_E_UNSUPPORTED);
    lf_buf_free(&b);
}

/* A change of the file that the store does not make. */
static MDB_txn *past_the_store(const char *dir)
{
    MDB_env *env;
    MDB_txn *txn;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_open(env, dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    return txn;
}

static void past_the_store_end(MDB_txn *txn)
{
    MDB_env *env = mdb_txn_env(txn);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

/* Cuts an adapter's record and a job's by three bytes, past the store. */
static void damage(const char *dir, uint64_t adapter, uint64_t job)
{
    const char *const tables[] = {"adapters", "jobs"};
    const uint64_t ids[] = {adapter, job};
    MDB_txn *txn = past_the_store(dir);
    for (int i = 0; i < 2; i++) {
        MDB_dbi db;
        unsigned char b[8] = {[7] = (unsigned char)ids[i]};
        char copy[LF_RECORD_BYTES_MAX];
        MDB_val key = {sizeof b, b}, val;
        assert_int_equal(mdb_dbi_open(txn, tables[i], 0, &db), 0);
        assert_int_equal(mdb_get(txn, db, &key, &val), 0);
        memcpy(copy, val.mv_data, val.mv_size);
        val = (MDB_val){val.mv_size - 3, copy};
        assert_int_equal(mdb_put(txn, db, &key, &val, 0), 0);
    }
    past_the_store_end(txn);
}

static void a_damaged_record_takes_no_other_along(void **state)
{
    struct fixture *f = *state;
    struct lf_diag diag = {""};
    struct lf_adapter_record *a, again = {.name = "b"};
    struct lf_job_record *j;
    size_t n;
    bool removed = true;
    again.id = make(f->s, "a") + 1;
    assert_int_equal(make(f->s, "b"), again.id);
    assert_int_equal(queue(f->s, again.id).id, 1);
    assert_int_equal(queue(f->s, again.id).id, 2);
    lf_store_close(f->s);
    damage(f->dir, again.id, 1);
    assert_int_equal(lf_store_open(&f->s, f->dir, &diag), LF_OK);
    assert_int_equal(lf_store_adapter_list(f->s, &a, &n, &diag), LF_OK);
    assert_int_equal(n, 1);
    assert_string_equal(a[0].name, "a");
    free(a);
    assert_int_equal(lf_store_job_list(f->s, true, &j, &n, &diag), LF_OK);
    assert_int_equal(n, 1);
    assert_int_equal(j[0].id, 2);
    free(j);
    assert_int_equal(lf_store_adapter_removed(f->s, again.id, &removed, &diag), LF_OK);
    assert_false(removed);
    assert_int_equal(lf_store_adapter_adopt(f->s, &again, &diag), LF_OK); /* its name is its own */
    assert_int_equal(lf_store_adapter_list(f->s, &a, &n, &diag), LF_OK);
    assert_int_equal(n, 2);
    free(a);
    again.id = 9;
    assert_int_equal(lf_store_adapter_adopt(f->s, &again, &diag), LF_E_EXISTS);
    snprintf(again.name, sizeof again.name, "c");
    assert_int_equal(lf_store_adapter_adopt(f->s, &again, &diag), LF_OK);
    assert_int_equal(make(f->s, "d"), 10);
    assert_int_equal(lf_store_adapter_delete(f->s, 9, &diag), LF_OK);
    assert_int_equal(lf_store_adapter_removed(f->s, 9, &removed, &diag), LF_OK);
    assert_true(removed);
    assert_int_equal(lf_store_adapter_removed(f->s, 11, &removed, &diag), LF_OK);
    assert_false(removed);
}

/* Makes of the store what version 0.1 wrote: values without seals, and this format. */
static void make_old(const char *dir, uint64_t format)
{
    const char *const tables[] = {"adapters", "jobs", "names", "counters"};
    MDB_txn *txn = past_the_store(dir);
    for (size_t i = 0; i < 4; i++) {
        MDB_dbi db;
        MDB_cursor *at;
        MDB_val key, val;
        char keys[8][64], values[8][LF_RECORD_BYTES_MAX];
        size_t key_n[8], value_n[8], n = 0;
        assert_int_equal(mdb_dbi_open(txn, tables[i], 0, &db), 0);
        assert_int_equal(mdb_cursor_open(txn, db, &at), 0);
        for (; mdb_cursor_get(at, &key, &val, MDB_NEXT) == 0; n++) {
            assert_true(n < 8 && key.mv_size < 64);
            memcpy(keys[n], key.mv_data, key_n[n] = key.mv_size);
            memcpy(values[n], val.mv_data, value_n[n] = val.mv_size - LF_SEAL_BYTES);
            if (key.mv_size == strlen("format") && memcmp(key.mv_data, "format", 6) == 0)
                memcpy(values[n], &format, sizeof format);
        }
        mdb_cursor_close(at);
        while (n-- > 0) {
            key = (MDB_val){key_n[n], keys[n]};
            val = (MDB_val){value_n[n], values[n]};
            assert_int_equal(mdb_put(txn, db, &key, &val, 0), 0);
        }
    }
    past_the_store_end(txn);
}

static void a_store_of_the_first_format_is_taken_over(void **state)
{
    struct fixture *f = *state;
    struct lf_diag diag;
    struct lf_adapter_record got;
    uint64_t id = make(f->s, "viggo"), epoch = lf_store_epoch(f->s);
    lf_store_close(f->s);
    make_old(f->dir, 1);
    assert_int_equal(lf_store_open(&f->s, f->dir, &diag), LF_OK);
    assert_int_equal(lf_store_epoch(f->s), epoch + 1);
    assert_true(get(f->s, id, &got));
    assert_string_equal(got.name, "viggo");
    assert_int_equal(make(f->s, "e2e"), id + 1);
}

static void a_store_of_a_later_format_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct lf_diag diag = {""};
    char path[128];
    struct lf_store *s;
    lf_store_close(f->s);
    f->s = NULL;
    make_old(f->dir, 3);
    assert_int_equal(lf_store_open(&s, f->dir, &diag), LF_E_DAMAGED);
    assert_non_null(strstr(diag.text, "later version"));
    snprintf(path, sizeof path, "%s/data.mdb", f->dir);
    assert_true(lf_file_exists(path));
}

#define REWARDS_BYTES 64 /* in a job's record */

/* Format 1 ended before `losses`, format 2 before `attempts`, 3 before the rewards. */
static void a_job_of_the_first_format_reads_back(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_buf b;
    struct lf_job_record r = {.id = 5, .adapter = "viggo", .losses = 2, .attempts = 1}, got;
    r.progress.steps = 7;
    r.progress.eval_rewards.accuracy = 0.75;
    lf_buf_init(&b, LF_RECORD_BYTES_MAX);
    assert_int_equal(lf_job_record_encode(&b, &r), LF_OK);
    assert_int_equal(lf_job_record_decode(&got, b.data, b.len, &diag), LF_OK);
    assert_int_equal(got.losses, 2);
    assert_int_equal(got.attempts, 1);
    assert_true(got.progress.eval_rewards.accuracy == 0.75);
    b.data[0] = 3;
    b.len -= REWARDS_BYTES;
    assert_int_equal(lf_job_record_decode(&got, b.data, b.len, &diag), LF_OK);
    assert_int_equal(got.attempts, 1);
    assert_true(isnan(got.progress.eval_rewards.accuracy));
    b.data[0] = 2;
    assert_int_equal(lf_job_record_decode(&got, b.data, b.len - 8, &diag), LF_OK);
    assert_int_equal(got.losses, 2);
    assert_int_equal(got.attempts, 0);
    b.data[0] = 1;
    assert_int_equal(lf_job_record_decode(&got, b.data, b.len, &diag), LF_E_DAMAGED);
    assert_int_equal(lf_job_record_decode(&got, b.data, b.len - 16, &diag), LF_OK);
    assert_int_equal(got.progress.steps, 7);
    assert_int_equal(got.losses, 0);
    lf_buf_free(&b);
}

/* Format 1 ended before `refused`, format 2 before `wanted`, 3 before `base_sha256`. */
static void an_adapter_of_an_older_format_reads_back(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_buf b;
    struct lf_adapter_record r = {.id = 5, .name = "viggo", .trouble = "x"}, got;
    r.refused = r.wanted = 1;
    lf_buf_init(&b, LF_RECORD_BYTES_MAX);
    assert_int_equal(lf_adapter_record_encode(&b, &r), LF_OK);
    assert_int_equal(lf_adapter_record_decode(&got, b.data, b.len, &diag), LF_OK);
    assert_int_equal(got.refused, 1);
    assert_int_equal(got.wanted, 1);
    b.data[0] = 3;
    assert_int_equal(lf_adapter_record_decode(&got, b.data, b.len - 2, &diag), LF_OK);
    assert_int_equal(got.wanted, 1);
    b.data[0] = 2;
    assert_int_equal(lf_adapter_record_decode(&got, b.data, b.len - 10, &diag), LF_OK);
    assert_int_equal(got.refused, 1);
    assert_int_equal(got.wanted, 0);
    b.data[0] = 1;
    assert_int_equal(lf_adapter_record_decode(&got, b.data, b.len, &diag), LF_E_DAMAGED);
    assert_int_equal(lf_adapter_record_decode(&got, b.data, b.len - 18, &diag), LF_OK);
    assert_string_equal(got.trouble, "x");
    assert_int_equal(got.refused, 0);
    lf_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_adapter_reads_back_as_it_was_made, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_is_given_once, setup, teardown),
        cmocka_unit_test_setup_teardown(an_update_is_whole_or_not_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_are_in_order_of_id, setup, teardown),
        cmocka_unit_test_setup_teardown(a_job_ends_together_with_its_adapters_change, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(ended_jobs_are_forgotten_oldest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_has_one_owner_and_counts_its_openings, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_killed_writer_loses_nothing_that_was_answered, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_damaged_record_takes_no_other_along, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_of_the_first_format_is_taken_over, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_of_a_later_format_is_left_alone, setup, teardown),
        cmocka_unit_test(damaged_records_are_refused),
        cmocka_unit_test(a_job_of_the_first_format_reads_back),
        cmocka_unit_test(an_adapter_of_an_older_format_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
