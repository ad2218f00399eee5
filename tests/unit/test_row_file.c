/* LIBS: lf_trainer */
/* Tokenised rows in a file with a name: taken as they are where they are of the same rows, settings
 * and base, and made anew where they are not, or not whole. */
#include "tests/unit/dataset_rig.h"

#include <fcntl.h>
#include <sys/stat.h>

#define ROWS 40000 /* 2 MB of them: the index goes through its own file */

static char rows[64];

/* How often it was asked, and when it has enough. */
struct asked {
    int n, at_most;
};

static bool ask(void *arg, double done)
{
    struct asked *a = arg;
    assert_true(done >= 0 && done <= 1);
    return a->n++ < a->at_most;
}

static enum lf_err load_named(struct lf_dataset **d, const struct lf_train_settings *s,
                              struct asked *a)
{
    const struct lf_dataset_limits limits = {.go_on = ask, .arg = a, .dir = ".", .rows = rows};
    *a = (struct asked){0, a->at_most ? a->at_most : INT32_MAX};
    return lf_dataset_load(d, path, &model, s, false, &limits, NULL);
}

static void write_rows(int n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < n; i++)
        fprintf(f, "{\"prompt\": \"Item %d is\", \"completion\": \" %d\"}\n", i, i % 7);
    assert_int_equal(fclose(f), 0);
}

/* The same rows and report as those in a file without a name. */
static void expect_same(const struct lf_dataset *d, const struct lf_train_settings *s)
{
    struct lf_dataset *other;
    struct lf_dataset_report a, b;
    assert_int_equal(lf_dataset_load(&other, path, &model, s, false, NULL, NULL), LF_OK);
    lf_dataset_report(d, &a);
    lf_dataset_report(other, &b);
    assert_int_equal(a.rows, b.rows);
    assert_int_equal(a.tokens, b.tokens);
    assert_int_equal(a.n_max, b.n_max);
    assert_string_equal(a.sha256, b.sha256);
    assert_ptr_equal(a.form, b.form);
    for (int64_t i = 0; i < a.rows; i++) {
        struct lf_row x, y;
        lf_dataset_row(d, i, &x);
        lf_dataset_row(other, i, &y);
        assert_true(x.n == y.n && x.n_supervised == y.n_supervised && x.line == y.line);
        assert_memory_equal(x.ids, y.ids, (size_t)x.n * sizeof *x.ids);
        assert_memory_equal(x.labels, y.labels, (size_t)x.n * sizeof *x.labels);
        assert_true(lf_dataset_hash(d, i) == lf_dataset_hash(other, i));
    }
    lf_dataset_free(other);
}

/* Loads them by name; `anew`: they are to be tokenised. */
static void expect_load(const struct lf_train_settings *s, int n, bool anew)
{
    struct lf_dataset *d;
    struct asked a = {0, 0};
    assert_int_equal(load_named(&d, s, &a), LF_OK);
    assert_int_equal(lf_dataset_rows(d), n);
    if ((a.n >= n) != anew)
        fail_msg("asked %d times for %d rows", a.n, n);
    expect_same(d, s);
    lf_dataset_free(d);
}

static void rows_that_were_tokenised_are_found(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(64);
    write_rows(ROWS);
    expect_load(&s, ROWS, true);
    expect_load(&s, ROWS, false);
    s.max_length = 4;
    expect_load(&s, ROWS, true);
    write_rows(100);
    expect_load(&s, 100, true);
    expect_load(&s, 100, false);
    snprintf(model.digest, sizeof model.digest, "another");
    expect_load(&s, 100, true);
    model.digest[0] = '\0';
}

static void a_file_that_is_not_whole_is_made_anew(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(64);
    write_rows(100);
    expect_load(&s, 100, true);
    off_t bytes = (off_t)lf_file_size(rows);
    const off_t cuts[] = {0, 10, 4096, 5000, bytes - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        assert_int_equal(truncate(rows, cuts[i]), 0);
        expect_load(&s, 100, true);
    }
    const off_t places[] = {0, 8, 20, 60, 200, 4096, 5001, bytes - 40, bytes - 1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char c;
        int fd = open(rows, O_RDWR);
        assert_true(pread(fd, &c, 1, places[i]) == 1);
        c = (char)(c ^ 4);
        assert_true(pwrite(fd, &c, 1, places[i]) == 1);
        close(fd);
        expect_load(&s, 100, true);
    }
}

static void what_was_cancelled_leaves_nothing(void **state)
{
    (void)state;
    struct lf_train_settings s = settings(64);
    struct lf_dataset *d = NULL;
    struct asked a = {0, 50};
    char part[80];
    write_rows(100);
    unlink(rows);
    snprintf(part, sizeof part, "%s.part", rows);
    assert_int_equal(load_named(&d, &s, &a), LF_E_CANCELLED);
    assert_int_equal(a.n, 51);
    assert_null(d);
    assert_false(lf_file_exists(rows));
    assert_false(lf_file_exists(part));
}

static int open_files(void **state)
{
    snprintf(rows, sizeof rows, "test_row_file.%d", (int)getpid());
    return open_model(state);
}

static int close_files(void **state)
{
    unlink(rows);
    return close_model(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_were_tokenised_are_found),
        cmocka_unit_test(a_file_that_is_not_whole_is_made_anew),
        cmocka_unit_test(what_was_cancelled_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, open_files, close_files);
}
