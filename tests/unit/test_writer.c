/* LIBS: lf_text */
/* Tokens to settled text: characters cut by tokens, stop strings across them, special tokens, ends.
 */
#include "text/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A vocabulary of bytes: a byte's id is its value; 256 is an end-of-text token. */
enum { EOS = 256 };
static struct lf_tokenizer *tok;

static int make_tokenizer(void **state)
{
    (void)state;
    struct lf_buf b;
    struct lf_diag diag = {""};
    lf_buf_init(&b, 0);
    lf_buf_puts(&b, "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":256,\"content\":\"<end>\","
                    "\"special\":true,\"normalized\":false}],\"normalizer\":null,"
                    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                    "\"trim_offsets\":true},"
                    "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\"},"
                    "\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{");
    for (int i = 0, next = 0x100; i < 256; i++) {
        bool self = (i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) || i >= 0xae;
        lf_buf_printf(&b, "%s\"\\u%04x\":%d", i ? "," : "", self ? i : next++, i);
    }
    lf_buf_puts(&b, ",\"<end>\":256}}}");
    enum lf_err rc = lf_tokenizer_parse(&tok, b.data, b.len, &diag);
    if (rc != LF_OK)
        fprintf(stderr, "%s\n", diag.text);
    lf_buf_free(&b);
    return rc == LF_OK ? 0 : -1;
}

static int free_tokenizer(void **state)
{
    (void)state;
    lf_tokenizer_free(tok);
    return 0;
}

static void push(struct lf_writer *w, const char *bytes)
{
    for (const char *p = bytes; *p; p++)
        assert_int_equal(lf_writer_token(w, (unsigned char)*p), LF_OK);
}

static const char *text(const struct lf_writer *w)
{
    return lf_buf_str(&w->text);
}

static void a_character_is_settled_with_its_last_byte(void **state)
{
    (void)state;
    struct lf_writer w;
    lf_writer_init(&w, tok, NULL, 0);
    push(&w, "a\xe2\x82");
    assert_string_equal(text(&w), "a");
    push(&w, "\xac");
    assert_string_equal(text(&w), "a\xe2\x82\xac");
    lf_buf_reset(&w.text); /* the caller has sent it */
    push(&w, "b\xe2\x82");
    assert_int_equal(lf_writer_end(&w, LF_ENDING_LENGTH), LF_OK);
    assert_string_equal(text(&w), "b\xef\xbf\xbd");
    assert_int_equal(w.ending, LF_ENDING_LENGTH);
    assert_int_equal(w.n_tokens, 7);
    lf_writer_free(&w);
}

static void a_stop_string_ends_the_text_wherever_tokens_cut_it(void **state)
{
    (void)state;
    static const struct {
        const char *tokens, *stops[2], *want;
        int n, taken; /* tokens until it ended; 0: it does not */
        bool skip_leading;
    } cases[] = {
        {"one\n\ntwo", {"\n\n"}, "one", 1, 5, false},
        {"one\ntwo", {"\n\n"}, "one\ntwo", 1, 0, false},
        {"aaab", {"aab"}, "a", 1, 4, false},
        {"x\xe2\x82\xacy", {"\xe2\x82\xac"}, "x", 1, 4, false},
        {"abcabd", {"abd", "abcx"}, "abc", 2, 6, false},  /* "abc" was held */
        {"one two", {"wo", "two"}, "one ", 2, 7, false},  /* overlap: the earlier one */
        {"one two", {"one two", "ne"}, "o", 2, 3, false}, /* met first */
        {"\n \nyes\nno", {"\n"}, "", 1, 1, false},
        {"\n \nyes\nno", {"\n"}, "\n \nyes", 1, 7, true},
        {"\n yes no", {" "}, "\n yes", 1, 6, true},
        {" \n", {"\n"}, " \n", 1, 0, true},
        {" END", {" END"}, " END", 1, 0, true}, /* it would begin in the white space */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lf_writer w;
        lf_writer_init(&w, tok, cases[i].stops, cases[i].n);
        if (cases[i].skip_leading)
            lf_writer_skip_leading(&w);
        push(&w, cases[i].tokens);
        assert_int_equal(w.ending, cases[i].taken ? LF_ENDING_STOP : LF_ENDING_NONE);
        assert_int_equal(lf_writer_end(&w, LF_ENDING_EOS), LF_OK);
        assert_int_equal(w.ending, cases[i].taken ? LF_ENDING_STOP : LF_ENDING_EOS);
        assert_string_equal(text(&w), cases[i].want);
        int all = (int)strlen(cases[i].tokens);
        assert_int_equal(w.n_tokens, cases[i].taken ? cases[i].taken : all);
        lf_writer_free(&w);
    }
}

static void what_a_stop_string_may_begin_waits_for_the_end(void **state)
{
    (void)state;
    const char *const stops[] = {"###"};
    struct lf_writer w;
    lf_writer_init(&w, tok, stops, 1);
    push(&w, "so ##");
    assert_string_equal(text(&w), "so ");
    assert_int_equal(lf_writer_end(&w, LF_ENDING_EOS), LF_OK);
    assert_string_equal(text(&w), "so ##");
    push(&w, "more"); /* nothing after the end */
    assert_int_equal(lf_writer_end(&w, LF_ENDING_LENGTH), LF_OK);
    assert_string_equal(text(&w), "so ##");
    assert_int_equal(w.ending, LF_ENDING_EOS);
    lf_writer_free(&w);
}

/* Half a character at the end is written as U+FFFD, and that completes the string. */
static void the_end_may_complete_a_stop_string(void **state)
{
    (void)state;
    const char *const stops[] = {"a\xef\xbf\xbd"};
    struct lf_writer w;
    lf_writer_init(&w, tok, stops, 1);
    push(&w, "ba\xe2");
    assert_int_equal(w.ending, LF_ENDING_NONE);
    assert_int_equal(lf_writer_end(&w, LF_ENDING_LENGTH), LF_OK);
    assert_int_equal(w.ending, LF_ENDING_STOP);
    assert_string_equal(text(&w), "b");
    lf_writer_free(&w);
}

static void special_tokens_count_and_have_no_text(void **state)
{
    (void)state;
    struct lf_writer w;
    lf_writer_init(&w, tok, NULL, 0);
    push(&w, "a");
    assert_int_equal(lf_writer_token(&w, EOS), LF_OK);
    push(&w, "b");
    assert_string_equal(text(&w), "ab");
    assert_int_equal(w.n_tokens, 3);
    lf_writer_free(&w);
}

static void without_a_tokenizer_tokens_are_counted(void **state)
{
    (void)state;
    const char *const stops[] = {"x"};
    struct lf_writer w;
    lf_writer_init(&w, NULL, stops, 1);
    push(&w, "xyz");
    assert_int_equal(lf_writer_end(&w, LF_ENDING_LENGTH), LF_OK);
    assert_string_equal(text(&w), "");
    assert_int_equal(w.n_tokens, 3);
    assert_int_equal(w.ending, LF_ENDING_LENGTH);
    lf_writer_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_character_is_settled_with_its_last_byte),
        cmocka_unit_test(a_stop_string_ends_the_text_wherever_tokens_cut_it),
        cmocka_unit_test(what_a_stop_string_may_begin_waits_for_the_end),
        cmocka_unit_test(the_end_may_complete_a_stop_string),
        cmocka_unit_test(special_tokens_count_and_have_no_text),
        cmocka_unit_test(without_a_tokenizer_tokens_are_counted),
    };
    return cmocka_run_group_tests(tests, make_tokenizer, free_tokenizer);
}
