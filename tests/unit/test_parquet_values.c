/* LIBS: lf_container */
/* Parquet's other encodings, byte by byte as its manual has them, and bytes that are none. */
#include "tests/unit/tiny.h"

#include "container/parquet_values.h"

#include <stdlib.h>
#include <string.h>

enum { NUMBERS = 5, LENGTHS = 6, STRINGS = 7, SPLIT = 9 };

/* 128 to a block of 4, so many numbers, the first of them (zigzag). */
#define HEAD(n, first) 0x80, 0x01, 4, n, first

static void expect(int encoding, enum lf_pq_type type, const unsigned char *bytes, size_t n,
                   const void *want, size_t want_n)
{
    lf_buf_auto out = {0};
    struct lf_diag diag = {""};
    if (lf_pq_plain(&out, encoding, type, bytes, bytes + n, 100, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(out.len, want_n);
    assert_memory_equal(lf_buf_str(&out), want, want_n);
}

static void numbers_are_differences(void **state)
{
    (void)state;
    /* 7, 5, 3, 1, 2, 3, 4, 5: differences -2 -2 -2 1 1 1 1, the least -2, over it 0 0 0 3 3 3 3 in
     * two bits each; a miniblock has 32 numbers */
    static const unsigned char mixed[] = {HEAD(8, 14), 3, 2, 0, 0, 0, 0xc0, 0x3f, 0, 0, 0, 0, 0, 0};
    static const unsigned char steps[] = {HEAD(5, 2), 2, 0, 0, 0, 0}; /* 1 to 5 in no bits at all */
    const int32_t want[] = {7, 5, 3, 1, 2, 3, 4, 5}, one[] = {1, 2, 3, 4, 5};
    const int64_t wide[] = {1, 2, 3, 4, 5};
    expect(NUMBERS, LF_PQ_INT32, mixed, sizeof mixed, want, sizeof want);
    expect(NUMBERS, LF_PQ_INT32, steps, sizeof steps, one, sizeof one);
    expect(NUMBERS, LF_PQ_INT64, steps, sizeof steps, wide, sizeof wide);
    expect(NUMBERS, LF_PQ_INT64, steps, 0, "", 0); /* all are null */
}

static void strings_stand_behind_their_lengths(void **state)
{
    (void)state;
    static const unsigned char lengths[] = {HEAD(3, 4), 0,   0,   0,   0,   0,
                                            'a',        'b', 'c', 'd', 'e', 'f'};
    static const char plain[] = "\2\0\0\0ab\2\0\0\0cd\2\0\0\0ef";
    /* "axis", "axle": 0 and 2 bytes are the one before's, 4 and 2 are their own */
    static const unsigned char shared[] = {HEAD(2, 0), 4, 0, 0,   0,   0,   HEAD(2, 8), 3,   0,
                                           0,          0, 0, 'a', 'x', 'i', 's',        'l', 'e'};
    static const char axis[] = "\4\0\0\0axis\4\0\0\0axle";
    expect(LENGTHS, LF_PQ_BYTES, lengths, sizeof lengths, plain, sizeof plain - 1);
    expect(STRINGS, LF_PQ_BYTES, shared, sizeof shared, axis, sizeof axis - 1);
}

static void split_bytes_are_joined(void **state)
{
    (void)state;
    expect(SPLIT, LF_PQ_FLOAT, (const unsigned char *)"aebfcgdh", 8, "abcdefgh", 8);
}

static void expect_refused(int encoding, enum lf_pq_type type, const unsigned char *bytes, size_t n,
                           enum lf_err want)
{
    lf_buf_auto out = {.max = 64};
    struct lf_diag diag = {""};
    unsigned char *copy = malloc(n + 1); /* so that a sanitizer sees its end */
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    assert_int_equal(lf_pq_plain(&out, encoding, type, copy, copy + n, 100, &diag), want);
    assert_string_not_equal(diag.text, "");
    free(copy);
}

static void what_is_damaged_is_refused(void **state)
{
    (void)state;
    static const unsigned char mixed[] = {HEAD(8, 14), 3, 2, 0, 0, 0, 0xc0, 0x3f, 0, 0, 0, 0, 0, 0};
    static const unsigned char many[] = {HEAD(101, 2), 2, 0, 0, 0, 0};
    static const unsigned char none[] = {0x80, 0x01, 0, 1, 2}, odd[] = {0x07, 1, 1, 2};
    static const unsigned char long_ones[] = {HEAD(3, 40), 0, 0, 0, 0, 0, 'a', 'b'};
    static const unsigned char borrowed[] = {HEAD(1, 2), HEAD(1, 2), 'a'}; /* of none before */
    for (size_t n = 1; n < sizeof mixed; n++)
        expect_refused(NUMBERS, LF_PQ_INT32, mixed, n, LF_E_INVALID);
    expect_refused(NUMBERS, LF_PQ_INT32, many, sizeof many, LF_E_INVALID);
    expect_refused(NUMBERS, LF_PQ_INT32, none, sizeof none, LF_E_INVALID);
    expect_refused(NUMBERS, LF_PQ_INT32, odd, sizeof odd, LF_E_INVALID);
    expect_refused(LENGTHS, LF_PQ_BYTES, long_ones, sizeof long_ones, LF_E_INVALID);
    expect_refused(STRINGS, LF_PQ_BYTES, borrowed, sizeof borrowed, LF_E_INVALID);
    expect_refused(SPLIT, LF_PQ_DOUBLE, mixed, 7, LF_E_INVALID);
    expect_refused(NUMBERS, LF_PQ_BYTES, mixed, sizeof mixed, LF_E_UNSUPPORTED);
    expect_refused(1, LF_PQ_INT32, mixed, sizeof mixed, LF_E_UNSUPPORTED);
    static const unsigned char steps[] = {HEAD(99, 2), 2, 0, 0, 0, 0};
    expect_refused(NUMBERS, LF_PQ_INT64, steps, sizeof steps, LF_E_TOO_BIG); /* over out.max */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_differences),
        cmocka_unit_test(strings_stand_behind_their_lengths),
        cmocka_unit_test(split_bytes_are_joined),
        cmocka_unit_test(what_is_damaged_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
