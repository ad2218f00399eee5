/* LIBS: lf_model lf_gpu lf_core */
/* safetensors: the rules of the format, one by one, and the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/buf.h"
#include "core/file.h"
#include "core/limits.h"
#include "model/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file of this header and n_data zero bytes; length < 0: the header's own. */
static struct lf_buf file_of(const char *header, long length, size_t n_data)
{
    struct lf_buf b;
    uint64_t n = length < 0 ? strlen(header) : (uint64_t)length;
    lf_buf_init(&b, 0);
    for (int i = 0; i < 8; i++)
        lf_buf_putc(&b, (char)(n >> (8 * i)));
    lf_buf_puts(&b, header);
    for (size_t i = 0; i < n_data; i++)
        lf_buf_putc(&b, 0);
    return b;
}

static enum lf_err open_bytes(struct lf_tensors **out, const struct lf_buf *b, size_t n,
                              struct lf_diag *diag)
{
    diag->text[0] = '\0';
    /* an exact copy, so that a sanitizer sees reads past the end */
    char *exact = malloc(n ? n : 1);
    memcpy(exact, b->data, n);
    enum lf_err rc = lf_tensors_parse(out, exact, n, LF_ADAPTER_HEADER_MAX, diag);
    if (rc == LF_OK)
        lf_tensors_free(*out);
    free(exact);
    return rc;
}

static void refuses_broken_files_and_says_why(void **state)
{
    (void)state;
#define T(name, dtype, shape, begin, end)                                                        \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end \
    "]}"
    static const struct {
        const char *header;
        long length;
        size_t n_data;
        enum lf_err want;
        const char *word;
    } bad[] = {
        {"", 0, 0, LF_E_DAMAGED, "header"},
        {"{}", 200000000, 0, LF_E_DAMAGED, "over the limit"},
        {"{}", 50, 0, LF_E_DAMAGED, "longer than the file"},
        {"[]", -1, 0, LF_E_DAMAGED, "object"},
        {"{\"a\":\xff}", -1, 0, LF_E_DAMAGED, "header"},
        {"{} {}", -1, 0, LF_E_DAMAGED, "header"},
        {"{}", -1, 1, LF_E_DAMAGED, "no tensor"},
        {"{" T("a", "F32", "[1]", "0", "4") "," T("a", "F32", "[1]", "0", "4") "}", -1, 4,
         LF_E_DAMAGED, "duplicate"},
        {"{" T("a", "F32", "[2]", "0", "4") "}", -1, 4, LF_E_DAMAGED, "shape"},
        {"{" T("a", "F33", "[1]", "0", "4") "}", -1, 4, LF_E_DAMAGED, "F33"},
        {"{" T("a", "F8_E4M3", "[4]", "0", "4") "}", -1, 4, LF_E_UNSUPPORTED, "F8_E4M3"},
        {"{" T("a", "F32", "[1]", "0", "4") "}", -1, 3, LF_E_DAMAGED, "outside"},
        {"{" T("a", "F32", "[1]", "0", "4") "}", -1, 5, LF_E_DAMAGED, "no tensor"},
        {"{" T("a", "F32", "[1]", "4", "8") "}", -1, 8, LF_E_DAMAGED, "hole"},
        {"{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "2", "6") "}", -1, 6,
         LF_E_DAMAGED, "overlaps"},
        {"{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "0", "4") "}", -1, 4,
         LF_E_DAMAGED, "overlaps"},
        {"{" T("a", "F32", "[1]", "4", "0") "}", -1, 4, LF_E_DAMAGED, "offsets"},
        {"{" T("a", "F32", "[-1]", "0", "4") "}", -1, 4, LF_E_DAMAGED, "shape"},
        {"{" T("a", "F32", "[1.0]", "0", "4") "}", -1, 4, LF_E_DAMAGED, "shape"},
        {"{" T("a", "F32", "[4294967296,4294967296,4]", "0", "0") "}", -1, 0, LF_E_DAMAGED,
         "shape"},
        {"{" T("a", "F32", "[9223372036854775807,2]", "0", "4") "}", -1, 4, LF_E_DAMAGED, "shape"},
        {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", -1, 4, LF_E_UNSUPPORTED,
         "dimensions"},
        {"{" T("a", "F32", "[1]", "0", "18446744073709551616") "}", -1, 4, LF_E_DAMAGED, ""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", -1, 4, LF_E_DAMAGED, "offsets"},
        {"{\"a\":[]}", -1, 0, LF_E_DAMAGED, "dtype"},
        {"{\"__metadata__\":{\"a\":1}}", -1, 0, LF_E_DAMAGED, "__metadata__"},
        {"{\"__metadata__\":7}", -1, 0, LF_E_DAMAGED, "__metadata__"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lf_diag diag;
        struct lf_tensors *t = NULL;
        struct lf_buf b = file_of(bad[i].header, bad[i].length, bad[i].n_data);
        enum lf_err rc = open_bytes(&t, &b, b.len, &diag);
        if (rc != bad[i].want || !strstr(diag.text, bad[i].word))
            fail_msg("%s\ngave %s: \"%s\"", bad[i].header, lf_err_name(rc), diag.text);
        lf_buf_free(&b);
    }
}

static void reads_what_the_format_allows(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n_data, n_tensors;
    } good[] = {
        {"{}", 0, 0},
        {"  {}  \n", 0, 0},
        {"{\"__metadata__\":{\"format\":\"pt\"}}", 0, 0},
        {"{" T("a", "F32", "[]", "0", "4") "}", 4, 1},     /* rank 0: one element */
        {"{" T("a", "BF16", "[0,9]", "0", "0") "}", 0, 1}, /* no elements */
        {"{" T("a", "U8", "[9223372036854775807,0]", "0", "0") "}", 0, 1},
        {"{" T("b", "F16", "[2]", "4", "8") "," T("a", "I32", "[1]", "0", "4") "}", 8, 2},
        {"{" T("a", "I64", "[1]", "0", "8") "," T("z", "U8", "[0]", "8", "8") "}", 8, 2},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct lf_diag diag;
        struct lf_tensors *t;
        struct lf_buf b = file_of(good[i].header, -1, good[i].n_data);
        if (lf_tensors_parse(&t, b.data, b.len, 1000, &diag) != LF_OK)
            fail_msg("%s: %s", good[i].header, diag.text);
        assert_int_equal(lf_tensors_count(t), good[i].n_tensors);
        lf_tensors_free(t);
        lf_buf_free(&b);
    }
}

static void a_deep_header_is_refused(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_tensors *t = NULL;
    struct lf_buf text;
    lf_buf_init(&text, 0);
    for (int k = 0; k < 100000; k++)
        lf_buf_puts(&text, "{\"a\":");
    struct lf_buf b = file_of(text.data, -1, 0);
    assert_int_equal(open_bytes(&t, &b, b.len, &diag), LF_E_DAMAGED);
    assert_non_null(strstr(diag.text, "nested deeper"));
    lf_buf_free(&text);
    lf_buf_free(&b);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct lf_buf b = file_of("{" T("a", "F32", "[2,3]", "0", "24") "}", -1, 24);
    for (size_t n = 0; n < b.len; n++) {
        struct lf_diag diag;
        struct lf_tensors *t = NULL;
        assert_int_equal(open_bytes(&t, &b, n, &diag), LF_E_DAMAGED);
    }
    lf_buf_free(&b);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static char dir[] = "/tmp/lf-safetensors-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : 1;
}

static int remove_dir(void **state)
{
    struct lf_diag diag;
    (void)state;
    return lf_dir_remove(dir, &diag);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_tensors *r;
    char path[128];
    const float x[6] = {1, 2, 3, 4, 5, 6};
    const uint8_t y[3] = {7, 8, 9};
    const struct lf_tensor t[] = {
        {.name = "x \"quoted\" \xc3\xa9", .dtype = LF_F32, .n_dims = 2, .dims = {2, 3}, .data = x},
        {.name = "y", .dtype = LF_U8, .n_dims = 1, .dims = {3}, .data = y},
        {.name = "none", .dtype = LF_U8, .n_dims = 1, .dims = {0}, .data = y},
    };
    snprintf(path, sizeof path, "%s/a.safetensors", dir);
    assert_int_equal(lf_tensors_write(path, t, 3, &diag), LF_OK);
    assert_int_equal(lf_tensors_open(&r, path, 4096, &diag), LF_OK);
    assert_int_equal(lf_tensors_count(r), 3);
    struct lf_buf bytes;
    lf_buf_init(&bytes, 1u << 20);
    assert_int_equal(lf_file_read(&bytes, path, 1u << 20, &diag), LF_OK);
    assert_non_null(memmem(bytes.data, bytes.len, "\"__metadata__\":{\"format\":\"pt\"}", 30));
    lf_buf_free(&bytes);
    const struct lf_tensor *a = lf_tensors_find(r, t[0].name);
    assert_non_null(a);
    assert_int_equal(a->dims[1], 3);
    assert_memory_equal(a->data, x, sizeof x);
    assert_int_equal((uintptr_t)a->data % 4, 0);
    assert_memory_equal(lf_tensors_find(r, "y")->data, y, sizeof y);
    assert_null(lf_tensors_find(r, "z"));
    lf_tensors_free(r);
}

static void an_unfinished_file_leaves_nothing(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_tensors_writer *w;
    char path[128];
    size_t index;
    const struct lf_tensor t = {.name = "x", .dtype = LF_F32, .n_dims = 1, .dims = {1}};
    snprintf(path, sizeof path, "%s/b.safetensors", dir);
    assert_int_equal(lf_tensors_create(&w, path, 1, 1, &diag), LF_OK);
    assert_int_equal(lf_tensors_add(w, &t, &index, &diag), LF_OK);
    lf_tensors_writer_free(w);
    assert_false(lf_file_exists(path));
    snprintf(path, sizeof path, "%s/none/b.safetensors", dir);
    assert_int_equal(lf_tensors_write(path, &t, 0, &diag), LF_E_NOT_FOUND);
}

/* ---- Checkpoints of several files ------------------------------------------------------------ */

static void write_index(const char *text)
{
    struct lf_diag diag;
    char path[128];
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    assert_int_equal(lf_file_write(path, text, strlen(text), &diag), LF_OK);
}

static void write_shard(const char *file, const char *name)
{
    struct lf_diag diag;
    char path[128];
    const float x = 1;
    const struct lf_tensor t = {
        .name = name, .dtype = LF_F32, .n_dims = 1, .dims = {1}, .data = &x};
    snprintf(path, sizeof path, "%s/%s", dir, file);
    assert_int_equal(lf_tensors_write(path, &t, 1, &diag), LF_OK);
}

static void shards_make_one_checkpoint(void **state)
{
    (void)state;
    struct lf_diag diag;
    struct lf_tensors *t;
    write_shard("one.safetensors", "a");
    write_shard("two.safetensors", "b");
    write_index("{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    assert_int_equal(lf_tensors_open_checkpoint(&t, dir, &diag), LF_OK);
    assert_int_equal(lf_tensors_count(t), 2);
    assert_non_null(lf_tensors_find(t, "a"));
    assert_non_null(lf_tensors_find(t, "b"));
    lf_tensors_free(t);
}

static void refuses_a_bad_index(void **state)
{
    (void)state;
    char path[128];
    static const struct {
        const char *index;
        enum lf_err want;
        const char *word;
    } bad[] = {
        {"{}", LF_E_DAMAGED, "weight_map"},
        {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", LF_E_DAMAGED, "plain file"},
        {"{\"weight_map\":{\"a\":\"..\"}}", LF_E_DAMAGED, "plain file"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", LF_E_DAMAGED, "plain file"},
        {"{\"weight_map\":{\"a\":\"\"}}", LF_E_DAMAGED, "plain file"},
        {"{\"weight_map\":{\"a\":7}}", LF_E_DAMAGED, "plain file"},
        {"{\"weight_map\":[]}", LF_E_DAMAGED, "weight_map"},
        {"{", LF_E_INVALID, "index.json"},
        {"{\"weight_map\":{\"a\":\"short.safetensors\"}}", LF_E_DAMAGED, "short.safetensors"},
        {"{\"weight_map\":{\"c\":\"one.safetensors\"}}", LF_E_DAMAGED, "\"c\""},
        {"{\"weight_map\":{\"a\":\"missing.safetensors\"}}", LF_E_NOT_FOUND, "missing"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"same.safetensors\"}}", LF_E_DAMAGED,
         "two shards"},
    };
    write_shard("one.safetensors", "a");
    write_shard("same.safetensors", "a");
    write_shard("short.safetensors", "a");
    snprintf(path, sizeof path, "%s/short.safetensors", dir);
    assert_int_equal(truncate(path, lf_file_size(path) - 1), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lf_diag diag;
        struct lf_tensors *t;
        write_index(bad[i].index);
        enum lf_err rc = lf_tensors_open_checkpoint(&t, dir, &diag);
        if (rc != bad[i].want || !strstr(diag.text, bad[i].word))
            fail_msg("%s\ngave %s: \"%s\"", bad[i].index, lf_err_name(rc), diag.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_broken_files_and_says_why),
        cmocka_unit_test(reads_what_the_format_allows),
        cmocka_unit_test(a_deep_header_is_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(an_unfinished_file_leaves_nothing),
        cmocka_unit_test(shards_make_one_checkpoint),
        cmocka_unit_test(refuses_a_bad_index),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
