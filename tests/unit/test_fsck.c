/* LIBS: lf_fsck lf_daemon lf_meta lf_core */
/* Data directories that were damaged: the registry opens whatever was done to a file of it, fsck
 * names what is lost, mends it, and finds nothing then. LF_TEST_SEED repeats a run, LF_TEST_ROUNDS
 * says how many damages. */
#include "tests/unit/daemon_rig.h"

#include "core/json.h"
#include "core/log.h"
#include "fsck/fsck.h"
#include "daemon/jobs/inputs.h"
#include "meta/documents.h"

#include <ftw.h>
#include <time.h>

#define ROWS "{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\":\"c\",\"completion\":\"d\"}\n"
#define FILES_MAX 256

static struct rig rig;
static char whole[64]; /* a data directory that nothing is wrong with */
static unsigned seed;
static struct lf_buf said; /* a line a problem */
static char *files[FILES_MAX];
static size_t n_files;

static size_t below(size_t n)
{
    return (size_t)((double)rand_r(&seed) / ((double)RAND_MAX + 1) * (double)n);
}

static void say(void *arg, const struct lf_fsck_problem *p)
{
    (void)arg;
    lf_buf_printf(&said, "%s: %s: %s\n", p->where, p->what, p->mended ? p->mended : "-");
}

static struct lf_fsck_counts check(bool repair)
{
    struct lf_diag diag = {""};
    struct lf_fsck_counts n;
    lf_buf_reset(&said);
    lf_buf_puts(&said, "");
    must(lf_fsck_run(rig.dir, repair, say, NULL, &n, &diag), &diag);
    return n;
}

static void rig_shut(void)
{
    lf_registry_close(rig.registry);
    lf_store_close(rig.store);
    rig.registry = NULL;
    rig.store = NULL;
}

static void shell(const char *fmt, const char *a, const char *b)
{
    char line[256];
    snprintf(line, sizeof line, fmt, a, b);
    assert_int_equal(system(line), 0);
}

static void job_open(const char *name)
{
    struct lf_diag diag = {""};
    struct lf_adapter_view v;
    char dir[LF_PATH_MAX], part[64], sha256[LF_SHA256_HEX];
    must(lf_registry_view(rig.registry, name, &v, &diag), &diag);
    struct lf_job_record j = {.adapter_id = v.record.id, .progress = lf_progress_none()};
    must(lf_registry_job_create(rig.registry, &j, &diag), &diag);
    snprintf(part, sizeof part, "jobs/%d", (int)j.id);
    must(lf_registry_dir(rig.registry, v.record.id, part, dir, &diag), &diag);
    struct lf_recent digests;
    lf_recent_init(&digests);
    must(lf_inputs_freeze(rig.registry, &digests, v.record.id, dir, sha256, &diag), &diag);
    lf_recent_deinit(&digests);
    snprintf(part, sizeof part, "jobs/%d/" LF_INPUTS_CHECKPOINT, (int)j.id);
    must(lf_registry_dir(rig.registry, v.record.id, part, dir, &diag), &diag);
    must(lf_dir_make(dir, &diag), &diag);
}

/* A file that was uploaded, and a batch under way. */
static void documents_make(void)
{
    struct lf_diag diag = {""};
    char dir[LF_PATH_MAX], path[LF_PATH_MAX], id[2][LF_DOCUMENT_ID_MAX];
    snprintf(dir, sizeof dir, "%s/documents", rig.dir);
    must(lf_documents_open(dir, &diag), &diag);
    lf_document_id(id[0], "file-");
    lf_document_id(id[1], "batch_");
    for (int i = 0; i < 2; i++) {
        json_auto_t *j = i ? json_pack("{s:s}", "id", id[i])
                           : json_pack("{s:s, s:i}", "id", id[i], "bytes", (int)strlen(ROWS));
        must(lf_document_path(path, dir, id[i], i ? LF_DOCUMENT_OUTPUT : LF_DOCUMENT_BYTES, &diag),
             &diag);
        must(lf_file_write(path, ROWS, strlen(ROWS), &diag), &diag);
        must(lf_document_put(dir, j, &diag), &diag);
    }
}

/* Two adapters with versions and all files, one that trains. */
static int setup(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    char peft[80];
    int32_t n;
    struct lf_buf text = {.data = (char *)(uintptr_t) "{\"a\":1}", .len = 7};
    lf_log_set_level(LF_LOG_OFF);
    rig_open(&rig);
    const char *s = getenv("LF_TEST_SEED");
    seed = s ? (unsigned)strtoul(s, NULL, 10) : (unsigned)time(NULL);
    printf("LF_TEST_SEED=%u\n", seed);
    snprintf(peft, sizeof peft, "%s.peft", rig.dir);
    for (uint64_t i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "a%d", (int)i);
        must(lf_registry_create(rig.registry, name, NULL, &diag), &diag);
        rig_peft(&rig, peft, i);
        must(lf_registry_import(rig.registry, name, peft, &n, &diag), &diag);
        must(lf_registry_import(rig.registry, name, peft, &n, &diag), &diag);
        must(rig_put_text(&rig, name, "dataset.jsonl", ROWS, &diag), &diag);
        must(rig_put_text(&rig, name, "config.json", "{\"epochs\": 2}", &diag), &diag);
        must(rig_put_text(&rig, name, "template", "{prompt}", &diag), &diag);
        must(rig_put_text(&rig, name, "prompt", "hello", &diag), &diag);
        must(lf_registry_write(rig.registry, i + 1, LF_FILE_METRICS, &text, &diag), &diag);
        lf_registry_version_write(rig.registry, i + 1, 1, LF_FILE_METRICS, "{}", 2);
        lf_registry_version_write(rig.registry, i + 1, 1, LF_FILE_CONFIG, "{}", 2);
    }
    job_open("a3");
    documents_make();
    rig_shut();
    if (check(false).problems > 0)
        fail_msg("%s", said.data);
    must(lf_dir_remove(peft, &diag), &diag);
    snprintf(whole, sizeof whole, "%s.whole", rig.dir);
    shell("cp -a %s %s", rig.dir, whole);
    if (access("/dev/shm", W_OK) == 0) { /* hundreds of copies, each synced */
        must(lf_dir_remove(rig.dir, &diag), &diag);
        snprintf(rig.dir, sizeof rig.dir, "/dev/shm/lf-fsck-%d", (int)getpid());
        setenv("TMPDIR", "/dev/shm", 1);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shell("rm -rf %s %s", whole, whole);
    lf_buf_free(&said);
    rig_close(&rig);
    return 0;
}

static int add_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    if (type == FTW_F && S_ISREG(st->st_mode) && n_files < FILES_MAX && !strstr(path, "lock.mdb") &&
        !strstr(path, "owner"))
        files[n_files++] = strdup(path + strlen(rig.dir) + 1);
    return 0;
}

static void start_anew(void)
{
    struct lf_diag diag = {""};
    must(lf_dir_remove(rig.dir, &diag), &diag);
    shell("cp -a %s %s", whole, rig.dir);
    while (n_files > 0)
        free(files[--n_files]);
    assert_int_equal(nftw(rig.dir, add_file, 16, FTW_PHYS), 0);
}

/* What was done, for who reads a failure. */
static void damage(const char *file, char done[128])
{
    static const char *const ways[] = {"deleted", "emptied", "cut",     "zeroed",
                                       "bytes",   "byte",    "appended"};
    struct lf_diag diag = {""};
    struct lf_buf text;
    char path[LF_PATH_MAX];
    size_t way = below(7);
    lf_buf_init(&text, 0);
    snprintf(path, sizeof path, "%s/%s", rig.dir, file);
    snprintf(done, 128, "%.100s %s", file, ways[way]);
    must(lf_file_read(&text, path, 1u << 28, &diag), &diag);
    size_t n = text.len, at = n ? below(n) : 0, run = 1 + below(2000);
    run = run < n - at ? run : n - at;
    if (way == 2)
        n = at;
    if (way == 5 && n > 0)
        text.data[at] = (char)(text.data[at] ^ 1 << below(8));
    for (size_t i = at; i < at + run && (way == 3 || way == 4); i++)
        text.data[i] = way == 3 ? '\0' : (char)below(256);
    if (way == 6)
        lf_buf_puts(&text, "{\"torn");
    unlink(path); /* it may have other names */
    if (way != 0) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        if (way != 1 && (way == 6 ? text.len : n) > 0)
            assert_int_equal(fwrite(text.data, way == 6 ? text.len : n, 1, f), 1);
        assert_int_equal(fclose(f), 0);
    }
    lf_buf_free(&text);
}

static bool same(const char *a, const char *b)
{
    char x[LF_SHA256_HEX], y[LF_SHA256_HEX];
    return lf_sha256_file(x, a, NULL) == LF_OK && lf_sha256_file(y, b, NULL) == LF_OK &&
           strcmp(x, y) == 0;
}

/* Whether fsck said something of the adapter, or of the store. */
static bool named(int id)
{
    char where[32];
    snprintf(where, sizeof where, "adapters/%d", id);
    return strstr(said.data, where) || strstr(said.data, "state");
}

/* Every adapter answers as before, or was named. */
static void lost_only_what_was_named(const char *done)
{
    struct lf_diag diag = {""};
    for (int id = 1; id <= 4; id++) {
        char name[8], a[LF_PATH_MAX], b[LF_PATH_MAX];
        struct lf_adapter_view v;
        bool well = true;
        snprintf(name, sizeof name, "a%d", id - 1);
        must(lf_registry_view(rig.registry, name, &v, &diag), &diag);
        well = v.record.current == 2;
        for (size_t k = 0; k < 2 && well; k++) {
            snprintf(a, sizeof a, "%s/adapters/%d/versions/2/%s", rig.dir, id,
                     lf_version_files[k].name);
            snprintf(b, sizeof b, "%s/adapters/%d/versions/2/%s", whole, id,
                     lf_version_files[k].name);
            well = same(a, b);
        }
        for (int k = 0; k < LF_FILE_PLAIN_N && well; k++) {
            snprintf(a, sizeof a, "%s/adapters/%d/%s", rig.dir, id, lf_files[k].disk);
            snprintf(b, sizeof b, "%s/adapters/%d/%s", whole, id, lf_files[k].disk);
            well = lf_file_exists(a) || !lf_file_exists(b) || strstr(done, lf_files[k].disk);
        }
        if (!well && !named(id))
            fail_msg("%s: %s lost something, and is not named:\n%s", done, name, said.data);
    }
}

/* Sanitizers make a round three times as long. */
#ifdef __SANITIZE_ADDRESS__
#define ROUNDS 30
#else
#define ROUNDS 100
#endif

static int rounds_wanted(void)
{
    const char *r = getenv("LF_TEST_ROUNDS");
    return r ? (int)strtol(r, NULL, 10) : ROUNDS;
}

static void a_damaged_file_is_named_and_mended(void **state)
{
    (void)state;
    for (int rounds = rounds_wanted(); rounds > 0; rounds--) {
        char done[128];
        start_anew();
        damage(files[below(n_files)], done);
        check(false);
        struct lf_buf first = said;
        said = (struct lf_buf){0};
        struct lf_fsck_counts n = check(true);
        if (n.left > 0 || (n.problems == 0) != (first.len == 0))
            fail_msg("%s: not mended\n%s-- it was\n%s", done, said.data, first.data);
        lf_buf_free(&first);
        struct lf_buf mended = said;
        said = (struct lf_buf){0};
        n = check(false);
        if (n.problems > 0)
            fail_msg("%s: not clean after\n%s-- but\n%s", done, mended.data, said.data);
        lf_buf_free(&said);
        said = mended;
        rig_reopen(&rig);
        lost_only_what_was_named(done);
        rig_shut();
    }
}

/* Without fsck: the daemon's start. */
static void a_registry_opens_with_any_file_damaged(void **state)
{
    (void)state;
    for (int rounds = rounds_wanted(); rounds > 0; rounds--) {
        struct lf_diag diag = {""};
        struct lf_adapter_view v;
        char done[128], name[8];
        start_anew();
        damage(files[below(n_files)], done);
        rig_reopen(&rig);
        for (int id = 1; id <= 4; id++) {
            snprintf(name, sizeof name, "a%d", id - 1);
            if (lf_registry_view(rig.registry, name, &v, &diag) != LF_OK)
                fail_msg("%s: there is no %s", done, name);
            if (v.record.current == 0)
                fail_msg("%s: %s has no version", done, name);
        }
        must(lf_registry_create(rig.registry, "new", NULL, &diag), &diag);
        rig_shut();
        if (check(true).left > 0)
            fail_msg("%s: after a start: %s", done, said.data);
    }
}

static void whats_left_of_a_crash_is_named_and_removed(void **state)
{
    (void)state;
    static const char *const left[] = {
        "adapters/1/config.json.tmp-Ab12Cd",
        "adapters/1/versions/3.tmp-Ab12Cd",
        "adapters/1/versions/7",
        "adapters/1/jobs/99",
        "adapters/1/jobs/new",
        "adapters/1/import",
        "adapters/1/restore",
        "adapters/1/removed.json",
        "adapters/1/versions/1/log.tmp-Ab12Cd",
        "adapters/99",
        "adapters/what",
        "incoming/Ab12Cd",
        "documents/file-000000000000000000000000.bytes",
        "documents/file-000000000000000000000000.json.tmp-Ab12Cd",
        "documents/stranger",
        "adapters/1/stranger",
    };
    for (int by_start = 0; by_start < 2; by_start++) {
        start_anew();
        size_t n = sizeof left / sizeof *left;
        for (size_t i = 0; i < n; i++)
            shell("mkdir -p %s/%s", rig.dir, left[i]);
        assert_int_equal(check(false).problems, n);
        for (size_t i = 0; i < n; i++)
            assert_non_null(strstr(said.data, left[i]));
        if (by_start) {
            char dir[LF_PATH_MAX];
            struct lf_diag diag = {""};
            snprintf(dir, sizeof dir, "%s/documents", rig.dir);
            rig_reopen(&rig);
            rig_shut();
            must(lf_documents_open(dir, &diag), &diag);
            assert_int_equal(check(false).problems, 3); /* what the daemon does not know */
        }
        assert_int_equal(check(true).left, 0);
        assert_int_equal(check(false).problems, 0);
    }
}

static void a_directory_that_is_open_is_not_checked(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    struct lf_fsck_counts n;
    start_anew();
    rig_reopen(&rig);
    assert_int_equal(lf_fsck_run(rig.dir, false, say, NULL, &n, &diag), LF_E_BUSY);
    assert_int_equal(lf_fsck_run(rig.dir, true, say, NULL, &n, &diag), LF_E_BUSY);
    rig_shut();
    assert_int_equal(lf_fsck_run("/tmp/lf-no-such", true, say, NULL, &n, &diag), LF_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whats_left_of_a_crash_is_named_and_removed),
        cmocka_unit_test(a_directory_that_is_open_is_not_checked),
        cmocka_unit_test(a_damaged_file_is_named_and_mended),
        cmocka_unit_test(a_registry_opens_with_any_file_damaged),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
