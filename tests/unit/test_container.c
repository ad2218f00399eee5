/* LIBS: lf_container lf_core Zlib Zstd */
/* Files of rows: every container gives the same rows, damage is named, and nothing grows without
 * end. */
#include "container/container.h"
#include "core/budget.h"

#include "core/json.h"
#include "core/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

static char path[64];

static int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "test_container.%d", (int)getpid());
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static void put(const void *data, size_t n)
{
    assert_int_equal(lf_file_write(path, data, n, NULL), LF_OK);
}

/* The rows as compact JSON, each behind its place: "1{...} 2{...}"; or the reason. */
static enum lf_err show(struct lf_buf *out, struct lf_diag *diag)
{
    struct lf_container *c;
    json_t *row = NULL;
    int64_t place;
    lf_buf_reset(out);
    enum lf_err rc = lf_container_open(&c, path, diag);
    if (rc != LF_OK)
        return rc;
    while ((rc = lf_container_next(c, &row, &place, diag)) == LF_OK && row) {
        lf_buf_printf(out, "%s%lld", out->len ? " " : "", (long long)place);
        assert_int_equal(lf_json_put(out, row, JSON_COMPACT | JSON_ENCODE_ANY), LF_OK);
    }
    if (rc == LF_OK) {
        char got[LF_SHA256_HEX], want[LF_SHA256_HEX];
        lf_buf_auto bytes = {0};
        assert_int_equal(lf_file_read(&bytes, path, 1 << 20, NULL), LF_OK);
        lf_sha256_hex(want, bytes.data, bytes.len);
        lf_container_sha256(c, got);
        assert_string_equal(got, want);
    }
    lf_container_close(c);
    return rc;
}

static void expect(const void *data, size_t n, const char *want)
{
    lf_buf_auto got = {0};
    struct lf_diag diag = {""};
    put(data, n);
    if (show(&got, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_string_equal(got.data, want);
}

static void expect_text(const char *text, const char *want)
{
    expect(text, strlen(text), want);
}

static void refuse(const void *data, size_t n, const char *says)
{
    lf_buf_auto got = {0};
    struct lf_diag diag = {""};
    put(data, n);
    if (show(&got, &diag) == LF_OK)
        fail_msg("taken: %s", got.data);
    if (!strstr(diag.text, says))
        fail_msg("\"%s\" does not say \"%s\"", diag.text, says);
}

static void refuse_text(const char *text, const char *says)
{
    refuse(text, strlen(text), says);
}

/* ---- Forms of text --------------------------------------------------------------------------- */

static void an_array_is_its_items(void **state)
{
    (void)state;
    expect_text("[\n {\"a\": \"],\\\"\"},\n\n {\"b\":\n [1, {}]} ]\n", "2{\"a\":\"],\\\"\"} "
                                                                       "4{\"b\":[1,{}]}");
    expect_text("\xef\xbb\xbf[{\"a\":1}]", "1{\"a\":1}");
    expect_text("[1, \"x\"]", "11 1\"x\"");
    refuse_text("[{\"a\": 1}", "cut off");
    refuse_text("[{\"a\": 1", "cut off");
    refuse_text("[{\"a\": 1},\n]", "line 2: an item of the array is missing");
    refuse_text("[{\"a\": 1},\n{\"b\" 1}]", "line 2: column 6");
    refuse_text("[{\"a\":\n1,\n}]", "line 3: column 1");
    refuse_text("[{\"a\": 1}]\n{}", "line 2: something stands behind the array");
}

static void a_table_names_its_columns_first(void **state)
{
    (void)state;
    static const char want[] = "2{\"prompt\":\"a, \\\"b\\\"\\n\",\"completion\":\"c\"} "
                               "4{\"prompt\":\"d\",\"completion\":null}";
    expect_text("prompt,completion\r\n\"a, \"\"b\"\"\n\",c\r\nd\r\n", want);
    expect_text("prompt\tcompletion\n\"a, \"\"b\"\"\n\"\tc\nd", want);
    expect_text("prompt;completion\n\"a, \"\"b\"\"\n\";c\n\nd\n",
                "2{\"prompt\":\"a, \\\"b\\\"\\n\",\"completion\":\"c\"} "
                "5{\"prompt\":\"d\",\"completion\":null}");
    /* pandas' index has no name; lists are text in a table. */
    expect_text(",messages,x\n0,\"[{\"\"role\"\": \"\"user\"\"}]\",[1]\n",
                "2{\"messages\":[{\"role\":\"user\"}],\"x\":\"[1]\"}");
    /* One column is known by its name; names may have blanks around, and delimiters in quotes. */
    expect_text("text\n\"a, b\"\nc\n", "2{\"text\":\"a, b\"} 3{\"text\":\"c\"}");
    expect_text("\"messages\"\r\n\"[{}]\"\r\n", "2{\"messages\":[{}]}");
    expect_text("a, b ,c\n1, 2 ,3\n", "2{\"a\":\"1\",\"b\":\" 2 \",\"c\":\"3\"}");
    expect_text("\"a, x\";b\n1;2\n", "2{\"a, x\":\"1\",\"b\":\"2\"}");
    refuse_text("a, a\n1,2\n", "two columns are called \"a\"");
    refuse_text("a,b\n1,2,3\n", "line 2: 3 fields, but 2 columns");
    refuse_text("a,a\n1,2\n", "two columns are called \"a\"");
    refuse_text("a,b\n\"1,2\n", "line 2: a quote never closes");
    refuse_text("a,b\n1,\xff\n", "line 2: it is not UTF-8");
    refuse_text("no table, and\x01 no JSON either\n\"", "quote never closes");
    refuse_text("not json\n", "line 1: column 3");
}

static void reasons_say_what_a_line_should_be(void **state)
{
    (void)state;
    refuse_text("It was a dark night\n", ": a row is an object {...}");
    refuse_text("{\"a\": 1}{\"a\": 2}\n", "a line is one row");
    refuse_text("{\"a\": 1},\n{\"a\": 2},\n", "a line is one row");
    refuse_text("{'a': 1}\n", "quotes are double");
    refuse_text("{\"a\": -Infinity}\n", "null is what JSON has");
    refuse_text("{\"a\": 1", "is cut off");
    refuse_text("FEA1\1\2\3\4", "Feather");
    refuse_text("<!doctype html><html>", "HTML page");
}

static void a_record_may_be_as_long_as_a_line(void **state)
{
    (void)state;
    size_t n = 300000;
    lf_buf_auto text = {0}, want = {0};
    lf_buf_puts(&text, "a,b\n\"");
    lf_buf_puts(&want, "2{\"a\":\"");
    for (size_t i = 0; i < n; i++) {
        lf_buf_puts(&text, i % 7 ? "x" : "\"\"");
        lf_buf_puts(&want, i % 7 ? "x" : "\\\"");
    }
    lf_buf_puts(&text, "\",y\nz,w\n");
    lf_buf_puts(&want, "\",\"b\":\"y\"} 3{\"a\":\"z\",\"b\":\"w\"}");
    expect(text.data, text.len, want.data);
    text.len = 0;
    lf_buf_puts(&text, "a,b\n\"");
    while (text.len < LF_DATASET_LINE_MAX + 100000)
        lf_buf_puts(&text, "a long text without an end, ");
    refuse(text.data, text.len, "a quote never closes");
}

static void utf_16_is_read_by_its_mark(void **state)
{
    (void)state;
    static const char little[] = "\xff\xfe{\0\"\0a\0\"\0:\0\"\0\xfc\0\x3d\xd8\x00\xde\"\0}\0\r\0\n";
    static const char big[] = "\xfe\xff\0{\0\"\0a\0\"\0:\0\"\0\xfc\xd8\x3d\xde\x00\0\"\0}\0\n";
    expect(little, sizeof little, "1{\"a\":\"ü\xf0\x9f\x98\x80\"}");
    expect(big, sizeof big - 1, "1{\"a\":\"ü\xf0\x9f\x98\x80\"}");
    expect(little + 2, sizeof little - 2, "1{\"a\":\"ü\xf0\x9f\x98\x80\"}"); /* without it */
    expect(big + 2, sizeof big - 3, "1{\"a\":\"ü\xf0\x9f\x98\x80\"}");
    expect("a\0,\0b\0\n\0001\0,\0\xfc\0\n", 16, "2{\"a\":\"1\",\"b\":\"ü\"}");
    refuse("\xff\xfe{", 3, "UTF-16: it ends within a character");
    refuse("\xff\xfe\x3d\xd8x\0", 6, "UTF-16: half of a character");
    refuse("\xff\xfe\0\0{\0\0\0", 8, "UTF-32");
}

/* ---- Packed ---------------------------------------------------------------------------------- */

/* A gzip member of the text, behind what is in `out`. */
static void add_gzip(struct lf_buf *out, const char *text, size_t n)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, n);
    unsigned char *bytes = malloc(room);
    assert_non_null(bytes);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)n;
    z.next_out = bytes;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    lf_buf_append(out, bytes, room - z.avail_out);
    deflateEnd(&z);
    free(bytes);
}

static void add_zstd(struct lf_buf *out, const char *text, size_t n)
{
    size_t room = ZSTD_compressBound(n);
    char *bytes = malloc(room);
    assert_non_null(bytes);
    size_t made = ZSTD_compress(bytes, room, text, n, 3);
    assert_false(ZSTD_isError(made));
    lf_buf_append(out, bytes, made);
    free(bytes);
}

static void packed_text_is_unpacked(void **state)
{
    (void)state;
    typedef void (*pack_fn)(struct lf_buf * out, const char *text, size_t n);
    static const pack_fn packs[] = {add_gzip, add_zstd};
    static const char first[] = "{\"a\":", second[] = "1}\n{\"b\":2}";
    for (size_t i = 0; i < 2; i++) {
        lf_buf_auto bytes = {0};
        packs[i](&bytes, first, strlen(first));
        packs[i](&bytes, second, strlen(second));
        expect(bytes.data, bytes.len, "1{\"a\":1} 2{\"b\":2}");
        refuse(bytes.data, bytes.len - 3,
               i ? "its zstd data do not end" : "its gzip data do not end");
        bytes.data[bytes.len / 2] ^= 0x55;
        refuse(bytes.data, bytes.len, i ? "zstd" : "gzip");
        lf_buf_reset(&bytes);
        packs[i](&bytes, "a,b\n1,2\n", 8);
        expect(bytes.data, bytes.len, "2{\"a\":\"1\",\"b\":\"2\"}");
        lf_buf_reset(&bytes);
        packs[i](&bytes, "PAR1....", 8);
        refuse(bytes.data, bytes.len, "Parquet");
    }
}

static void what_grows_without_end_is_refused(void **state)
{
    (void)state;
    size_t n = 100u << 20; /* 100 MB of blank lines are 100 kB of gzip, and 10 of zstd */
    char *blank = malloc(n);
    assert_non_null(blank);
    memset(blank, '\n', n);
    lf_buf_auto gzip = {0}, zstd = {0};
    add_gzip(&gzip, blank, n);
    add_zstd(&zstd, blank, n);
    refuse(gzip.data, gzip.len, "more than 200 times its size");
    refuse(zstd.data, zstd.len, "more than 200 times its size");
    free(blank);
}

static void what_is_no_line_of_json_is_said(void **state)
{
    (void)state;
    refuse_text("{\n  \"a\": 1\n}\n", "line 1: a row that does not end in its line");
    refuse_text("{\"a\": NaN}\n", "null is what JSON has");
}

static void other_files_are_called_what_they_are(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"PK\x03\x04xx", "zip archive"},
        {"ARROW1xx", "an Arrow file: save it as Parquet"},
        {"\xff\xff\xff\xffxx", "an Arrow stream"},
        {"SQLite format 3", "an SQLite database"},
        {"\x80\x04\x95xx", "a pickle"},
        {"BZh91AY", "bzip2"},
        {"\xfd"
         "7zXZ",
         "xz"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS"},
        {"<!DOCTYPE html>", "HTML"},
        {"PAR1", "Parquet"},
        {"PAR1\x15\x04xxxxxxxxxxPAR1", "Parquet"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse_text(cases[i][0], cases[i][1]);
}

/* ---- Parquet --------------------------------------------------------------------------------- */

/* A file of tests/fuzz/corpus/container, as pyarrow wrote it. */
static void read_sample(struct lf_buf *out, const char *name)
{
    char file[512];
    snprintf(file, sizeof file, "%s/tests/fuzz/corpus/container/%s", getenv("LF_SOURCE"), name);
    assert_int_equal(lf_file_read(out, file, 1 << 20, NULL), LF_OK);
}

static void parquet_gives_the_rows_that_were_written(void **state)
{
    (void)state;
    static const char *const nested[] = {"nested_snappy.parquet", "nested_zstd_v2.parquet",
                                         "nested_gzip.parquet"};
    for (size_t i = 0; i < 3; i++) {
        lf_buf_auto bytes = {0};
        read_sample(&bytes, nested[i]);
        expect(bytes.data, bytes.len,
               "1{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"n\":null},{\"role\":"
               "\"assistant\",\"content\":null,\"n\":[1,2]}],\"x\":1.5,\"b\":true,\"s\":\"one\","
               "\"u\":\"18446744073709551615\"} "
               "2{\"messages\":[],\"x\":null,\"b\":null,\"s\":\"two\",\"u\":0} "
               "3{\"messages\":null,\"x\":2.0,\"b\":false,\"s\":\"one\",\"u\":null}");
    }
    lf_buf_auto bytes = {0};
    read_sample(&bytes, "times.parquet");
    expect(bytes.data, bytes.len,
           "1{\"d\":\"1970-01-02\",\"t\":\"1970-01-01T00:00:00.000001\",\"n\":"
           "\"1970-01-01T00:00:00.000000001\",\"o\":null} "
           "2{\"d\":\"1970-01-03\",\"t\":\"1969-12-31T23:59:59.999998\",\"n\":"
           "\"1970-01-01T00:00:00.000000002\",\"o\":null}");
}

/* How reading a sample ends with so many bytes for it; *used: of them, after the first row. */
static enum lf_err read_within(uint64_t limit, uint64_t *used, struct lf_diag *diag)
{
    lf_buf_auto bytes = {0};
    struct lf_container *c;
    struct lf_budget *b = lf_budget_new(limit, "--host-memory");
    json_t *row = NULL;
    int64_t place;
    read_sample(&bytes, "nested_snappy.parquet");
    put(bytes.data, bytes.len);
    assert_int_equal(lf_container_open(&c, path, diag), LF_OK);
    lf_container_budget(c, b);
    enum lf_err rc = lf_container_next(c, &row, &place, diag);
    *used = lf_budget_used(b);
    json_decref(row);
    lf_container_close(c);
    assert_int_equal(lf_budget_used(b), 0);
    lf_budget_free(b);
    return rc;
}

static void unpacked_pages_come_out_of_the_budget(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    uint64_t used;
    assert_int_equal(read_within(1 << 20, &used, &diag), LF_OK);
    assert_true(used > 0);
    assert_int_equal(read_within(used - 1, &used, &diag), LF_E_TOO_BIG);
    assert_non_null(strstr(diag.text, "--host-memory"));
}

/* Every prefix, and every byte changed: rows, or a reason. */
static void damaged_parquet_is_refused_or_read(void **state)
{
    (void)state;
    static const char *const names[] = {"nested_snappy.parquet", "plain_v2.parquet"};
    for (size_t i = 0; i < 2; i++) {
        lf_buf_auto bytes = {0}, got = {0};
        read_sample(&bytes, names[i]);
        for (size_t k = 0; k < bytes.len; k++) {
            struct lf_diag diag = {""};
            bytes.data[k] ^= (char)(1 << k % 8);
            put(bytes.data, bytes.len);
            assert_true(show(&got, &diag) == LF_OK || diag.text[0]);
            bytes.data[k] ^= (char)(1 << k % 8);
        }
        for (size_t n = 4; n < bytes.len; n += 7)
            refuse(bytes.data, n, "no whole Parquet file");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_is_its_items),
        cmocka_unit_test(a_table_names_its_columns_first),
        cmocka_unit_test(reasons_say_what_a_line_should_be),
        cmocka_unit_test(a_record_may_be_as_long_as_a_line),
        cmocka_unit_test(utf_16_is_read_by_its_mark),
        cmocka_unit_test(packed_text_is_unpacked),
        cmocka_unit_test(what_grows_without_end_is_refused),
        cmocka_unit_test(what_is_no_line_of_json_is_said),
        cmocka_unit_test(other_files_are_called_what_they_are),
        cmocka_unit_test(parquet_gives_the_rows_that_were_written),
        cmocka_unit_test(unpacked_pages_come_out_of_the_budget),
        cmocka_unit_test(damaged_parquet_is_refused_or_read),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
