/* LIBS: lf_meta lf_core */
/* A store's file that was cut or written over: it opens, what is there can be listed, and it takes
 * changes. What was lost is made again by the registry, which this test does not know.
 * LF_TEST_SEED repeats a run, LF_TEST_ROUNDS says how many damages. */
#include "core/buf.h"
#include "core/file.h"
#include "core/log.h"
#include "meta/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ADAPTERS 60

static char dir[] = "/tmp/lf-store-damage-XXXXXX", path[64];
static unsigned seed;

static size_t below(size_t n)
{
    return (size_t)((double)rand_r(&seed) / ((double)RAND_MAX + 1) * (double)n);
}

static void must(enum lf_err rc, const struct lf_diag *diag)
{
    if (rc != LF_OK)
        fail_msg("%s", diag->text);
}

static void add(struct lf_store *s, int i)
{
    struct lf_diag diag = {""};
    struct lf_adapter_record a = {.base = "b"};
    snprintf(a.name, sizeof a.name, "task-%d", i);
    must(lf_store_adapter_create(s, &a, NULL, NULL, &diag), &diag);
    struct lf_job_record j = {.adapter_id = a.id, .reason = "none"};
    must(lf_store_job_create(s, &j, &a, &diag), &diag);
    if (i % 3 == 0) /* pages become free */
        must(lf_store_adapter_delete(s, a.id, &diag), &diag);
}

static struct lf_store *opened(void)
{
    struct lf_store *s;
    struct lf_diag diag = {""};
    must(lf_store_open(&s, dir, &diag), &diag);
    return s;
}

/* One of: cut, a run of random bytes, a page of zeros, a byte. */
static size_t damage(char *data, size_t n)
{
    size_t at = below(n), run = 1 + below(4096);
    switch (below(4)) {
    case 0:
        return at;
    case 1:
        for (size_t i = at; i < n && i < at + run; i++)
            data[i] = (char)below(256);
        return n;
    case 2:
        at = at / 4096 * 4096;
        memset(data + at, 0, n - at < 4096 ? n - at : 4096);
        return n;
    default:
        data[at] = (char)(data[at] + 1 + (int)below(255));
        return n;
    }
}

static void a_damaged_file_opens_and_takes_changes(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    struct lf_store *s = opened();
    for (int i = 0; i < ADAPTERS; i++)
        add(s, i);
    lf_store_close(s);
    struct lf_buf whole;
    lf_buf_init(&whole, 1 << 24);
    must(lf_file_read(&whole, path, 1 << 24, &diag), &diag);
    size_t n = whole.len;
    const char *rounds = getenv("LF_TEST_ROUNDS");
    for (long round = 0; round < (rounds ? strtol(rounds, NULL, 10) : 60); round++) {
        char *data = malloc(n);
        memcpy(data, whole.data, n);
        size_t m = damage(data, n);
        must(lf_file_write(path, data, m, &diag), &diag);
        free(data);
        s = opened();
        struct lf_adapter_record *adapters;
        struct lf_job_record *jobs;
        size_t n_adapters, n_jobs;
        must(lf_store_adapter_list(s, &adapters, &n_adapters, &diag), &diag);
        must(lf_store_job_list(s, false, &jobs, &n_jobs, &diag), &diag);
        assert_true(n_adapters <= ADAPTERS && n_jobs <= ADAPTERS);
        free(adapters);
        free(jobs);
        for (int i = 0; i < 8; i++)
            add(s, ADAPTERS + i);
        lf_store_close(s);
    }
    lf_buf_free(&whole);
}

int main(void)
{
    const char *given = getenv("LF_TEST_SEED");
    seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("LF_TEST_SEED=%u\n", seed);
    lf_log_set_level(LF_LOG_ERROR + 1);
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_damaged_file_opens_and_takes_changes)};
    int bad = cmocka_run_group_tests(tests, NULL, NULL);
    return bad || lf_dir_remove(dir, NULL) != LF_OK;
}
