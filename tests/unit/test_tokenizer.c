/* LIBS: lf_text Threads::Threads */
/* The tokenizer on small vocabularies made here: what is recognised, refused, streamed, shared. */
#include "core/buf.h"
#include "text/tokenizer.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MARK "\xe2\x96\x81"
#define REPLACEMENT "\xef\xbf\xbd"

/* Characters with byte fallback, as SentencePiece models are; four added tokens. */
static const char spm_head[] =
    "{\"version\":\"1.0\",\"added_tokens\":["
    "{\"id\":0,\"content\":\"<unk>\",\"special\":true,\"normalized\":false},"
    "{\"id\":1,\"content\":\"<s>\",\"special\":true,\"normalized\":false},"
    "{\"id\":900,\"content\":\"WORD\",\"single_word\":true,\"normalized\":false},"
    "{\"id\":901,\"content\":\"<l>\",\"lstrip\":true,\"rstrip\":true,\"normalized\":false}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["
    "{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}]},"
    "\"pre_tokenizer\":null,"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
    "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"
    "],\"pair\":[],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":["
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" MARK "\"},\"content\":\" \"},"
    "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,"
    "\"merges\":[\"a b\",[\"" MARK "\",\"ab\"],\"ab ab\"],\"vocab\":{\"<unk>\":0,\"<s>\":1";
enum { SPM_BYTE = 2, SPM_A = 300, SPM_B, SPM_MARK, SPM_AB, SPM_MARK_AB };

/* 264 entries: the added tokens that the model lacks get 264 and 265, whatever they ask for. */
static char *spm_json(void)
{
    static const char *const words[] = {"a", "b", MARK, "ab", MARK "ab", "abab"};
    struct lf_buf b;
    lf_buf_init(&b, 0);
    lf_buf_puts(&b, spm_head);
    for (int i = 0; i < 256; i++)
        lf_buf_printf(&b, ",\"<0x%02X>\":%d", i, SPM_BYTE + i);
    for (int i = 0; i < 6; i++)
        lf_buf_printf(&b, ",\"%s\":%d", words[i], SPM_A + i);
    lf_buf_puts(&b, "}}}");
    return lf_buf_take(&b, NULL);
}

/* GPT-2's shape: a byte's id is its value; then " a", "aa", "aaaa". */
static char *byte_json(void)
{
    struct lf_buf b;
    lf_buf_init(&b, 0);
    lf_buf_puts(&b, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                    "\"trim_offsets\":true},\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{"
                    "\"merges\":[\"\\u0120 a\",\"a a\",\"aa aa\"],\"vocab\":{");
    for (int i = 0, next = 0x100; i < 256; i++) {
        bool self = (i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) || i >= 0xae;
        lf_buf_printf(&b, "%s\"\\u%04x\":%d", i ? "," : "", self ? i : next++, i);
    }
    lf_buf_puts(&b, ",\"\\u0120a\":256,\"aa\":257,\"aaaa\":258}}}");
    return lf_buf_take(&b, NULL);
}

static struct lf_tokenizer *parse(char *json)
{
    struct lf_tokenizer *t;
    struct lf_diag diag;
    if (lf_tokenizer_parse(&t, json, strlen(json), &diag) != LF_OK)
        fail_msg("%s", diag.text);
    free(json);
    return t;
}

static void expect(const struct lf_tokenizer *t, const char *text, size_t bytes, bool special,
                   const int32_t *ids, size_t n)
{
    struct lf_ids got = {0};
    struct lf_diag diag;
    if (lf_tokenizer_encode(t, &got, text, bytes, special, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    bool same = got.n == n && memcmp(got.ids, ids, n * sizeof *ids) == 0;
    for (size_t i = 0; !same && i < got.n; i++)
        print_message("%d ", got.ids[i]);
    lf_ids_free(&got);
    if (!same)
        fail_msg("\"%s\"", text);
}

#define EXPECT(t, text, special, ...)                                                  \
    do {                                                                               \
        const int32_t ids_[] = {__VA_ARGS__};                                          \
        expect(t, text, sizeof text - 1, special, ids_, sizeof ids_ / sizeof ids_[0]); \
    } while (0)

static void expect_text(const struct lf_tokenizer *t, const int32_t *ids, size_t n, bool skip,
                        const char *want)
{
    struct lf_buf b;
    lf_buf_init(&b, 0);
    assert_int_equal(lf_tokenizer_decode(t, &b, ids, n, skip), LF_OK);
    assert_string_equal(b.len ? b.data : "", want);
    lf_buf_free(&b);
}

#define EXPECT_TEXT(t, want, skip, ...)                                 \
    do {                                                                \
        const int32_t ids_[] = {__VA_ARGS__};                           \
        expect_text(t, ids_, sizeof ids_ / sizeof ids_[0], skip, want); \
    } while (0)

/* --- the tests --- */

static void merges_by_rank_and_falls_back_to_bytes(void **state)
{
    (void)state;
    struct lf_tokenizer *t = parse(spm_json());
    EXPECT(t, "ab abab", true, 1, SPM_MARK_AB, SPM_MARK_AB, SPM_AB);
    EXPECT(t, "b\xc3\xa9", false, SPM_MARK, SPM_B, SPM_BYTE + 0xc3, SPM_BYTE + 0xa9);
    EXPECT(t, "\xff", false, SPM_MARK, SPM_BYTE + 0xef, SPM_BYTE + 0xbf, SPM_BYTE + 0xbd);
    assert_int_equal(lf_tokenizer_bos(t), 1);
    assert_int_equal(lf_tokenizer_find(t, MARK "ab"), SPM_MARK_AB);
    assert_int_equal(lf_tokenizer_find(t, "nothing"), -1);
    assert_string_equal(lf_tokenizer_token(t, SPM_AB), "ab");
    assert_null(lf_tokenizer_token(t, 299));
    assert_null(lf_tokenizer_token(t, -1));
    lf_tokenizer_free(t);
}

static void added_tokens_are_found_and_numbered_as_the_library_does(void **state)
{
    (void)state;
    struct lf_tokenizer *t = parse(spm_json());
    int32_t word = lf_tokenizer_find(t, "WORD"), strips = lf_tokenizer_find(t, "<l>");
    assert_int_equal(word, 264); /* the model has 264 entries; the ids in the file do not count */
    assert_int_equal(strips, 265);
    EXPECT(t, "<s>", false, 1);
    EXPECT(t, "WORD", false, word);
    EXPECT(t, "ab  <l> \n ab", false, SPM_MARK_AB, strips, SPM_MARK_AB);
    EXPECT(t, "a.WORD.a", false, SPM_MARK, SPM_A, SPM_BYTE + '.', word, SPM_MARK, SPM_BYTE + '.',
           SPM_A);
    EXPECT(t, "aWORD", false, SPM_MARK, SPM_A, SPM_BYTE + 'W', SPM_BYTE + 'O', SPM_BYTE + 'R',
           SPM_BYTE + 'D');
    assert_true(lf_tokenizer_is_special(t, 1));
    assert_false(lf_tokenizer_is_special(t, word));
    assert_non_null(lf_tokenizer_token(t, 305));
    assert_null(lf_tokenizer_token(t, 306));
    lf_tokenizer_free(t);
}

static void decodes_bytes_spaces_and_specials(void **state)
{
    (void)state;
    struct lf_tokenizer *t = parse(spm_json());
    EXPECT_TEXT(t, "ab ab", true, 1, SPM_MARK_AB, SPM_MARK_AB);
    EXPECT_TEXT(t, "<s> ab", false, 1, SPM_MARK_AB);
    EXPECT_TEXT(t, "\xc3\xa9", false, SPM_BYTE + 0xc3, SPM_BYTE + 0xa9);
    EXPECT_TEXT(t, REPLACEMENT REPLACEMENT "a", false, SPM_BYTE + 0xc3, SPM_BYTE + 0xc3, SPM_A);
    EXPECT_TEXT(t, "a", false, -7, SPM_A, 1 << 30, 299);
    lf_tokenizer_free(t);
}

static void a_stream_gives_whole_characters_and_the_same_text(void **state)
{
    (void)state;
    static const unsigned char text[] = "a\xc3\xa9\xf0\x9f\x98\x80 \xe6\x9d\xb1\xff\xe6\x9d";
    struct lf_tokenizer *t = parse(byte_json());
    struct lf_decoder d;
    struct lf_buf out;
    lf_decoder_init(&d, t, false);
    lf_buf_init(&out, 0);
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        size_t before = out.len;
        assert_int_equal(lf_decoder_push(&d, &out, text[i]), LF_OK);
        bool whole = out.len == before || (out.data[before] & 0xc0) != 0x80;
        assert_true(whole);
    }
    assert_string_equal(out.data, "a\xc3\xa9\xf0\x9f\x98\x80 \xe6\x9d\xb1" REPLACEMENT);
    assert_int_equal(lf_decoder_finish(&d, &out), LF_OK);
    assert_string_equal(out.data, "a\xc3\xa9\xf0\x9f\x98\x80 \xe6\x9d\xb1" REPLACEMENT REPLACEMENT);
    lf_decoder_free(&d);
    lf_buf_free(&out);
    lf_tokenizer_free(t);
}

static void a_megabyte_of_one_letter_takes_no_time(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    struct lf_tokenizer *t = parse(byte_json());
    struct lf_ids ids = {0};
    char *text = malloc(N);
    assert_non_null(text);
    memset(text, 'a', N);
    assert_int_equal(lf_tokenizer_encode(t, &ids, text, N, true, NULL), LF_OK);
    assert_int_equal(ids.n, N / 4);
    assert_int_equal(ids.ids[0], 258);
    free(text);
    lf_ids_free(&ids);
    lf_tokenizer_free(t);
}

static void *encode_many(void *arg)
{
    const struct lf_tokenizer *t = arg;
    for (int i = 0; i < 2000; i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "a aaaa word%d", i % 500);
        struct lf_ids ids = {0};
        if (lf_tokenizer_encode(t, &ids, text, (size_t)n, true, NULL) != LF_OK ||
            ids.ids[0] != 'a' || ids.ids[1] != 256)
            return (void *)1;
        lf_ids_free(&ids);
    }
    return NULL;
}

static void threads_share_one_tokenizer(void **state)
{
    (void)state;
    struct lf_tokenizer *t = parse(byte_json());
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_many, t), 0);
    for (size_t i = 0; i < 4; i++) {
        void *bad;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    lf_tokenizer_free(t);
}

static void refuses_what_it_does_not_know_by_name(void **state)
{
    (void)state;
#define MODEL "\"model\":{\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}"
    static const struct {
        const char *json, *says;
    } bad[] = {
        {"", "expected '{'"},
        {"{}", "\"model\" is missing"},
        {"{" MODEL "} x", "trailing bytes"},
        {"{" MODEL ",\"extra\":1}", "unknown key \"extra\""},
        {"{" MODEL ",\"version\":\"2.0\"}", "version"},
        {"{\"model\":{\"vocab\":{\"a\":0}}}", "\"merges\" is missing"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":{},\"merges\":[]}}", "\"Unigram\""},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"odd\":1}}", "unknown key \"odd\""},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}}", "dropout"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "\"b\" is not in the voc"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}", "two tokens with a space"},
        {"{\"model\":{\"vocab\":{\"\":0,\"a\":1},\"merges\":[[\"a\",\"\"]]}}",
         "\"a\" is joined with"},
        {"{\"model\":{\"vocab\":{\"\":0,\"a\":1},\"merges\":[\" a\"]}}", "\"a\" is joined with"},
        {"{\"model\":{\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[\"a a\",\"aa a\"]}}",
         "merge 1: \"aaa\" is not in the voc"},
        {"{\"model\":{\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", "have id 0"},
        {"{\"model\":{\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}}", "\"a\" twice"},
        {"{\"model\":{\"vocab\":{\"a\":-1},\"merges\":[]}}", "expected a token id"},
        {"{\"model\":{\"vocab\":{\"a\":99999999},\"merges\":[]}}", "over the limit"},
        {"{\"model\":{\"vocab\":{\"\\ud800\":0},\"merges\":[]}}", "surrogate"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"u\"}}", "unk_token"},
        {"{\"model\":{\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"</w>\"}}",
         "end_of_word_suffix"},
        {"{" MODEL ",\"normalizer\":{\"type\":\"Precompiled\"}}", "\"Precompiled\""},
        {"{" MODEL ",\"normalizer\":{\"type\":\"NFC\",\"x\":1}}", "unknown key \"x\""},
        {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Bert\"}}", "\"Bert\""},
        {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Odd\",\"invert\":false,"
         "\"pattern\":{\"Regex\":\"a\"}}}",
         "\"Odd\""},
        {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\","
         "\"invert\":false,\"pattern\":{\"Regex\":\"[a&&b]\"}}}",
         "set in a set"},
        {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\","
         "\"invert\":false,\"pattern\":{\"Regex\":\"\\\\p{Nonsense}\"}}}",
         "regex"},
        {"{" MODEL ",\"post_processor\":{\"type\":\"RobertaProcessing\"}}", "Roberta"},
        {"{" MODEL ",\"decoder\":{\"type\":\"WordPiece\"}}", "\"WordPiece\""},
        {"{" MODEL ",\"decoder\":{\"type\":\"Strip\",\"content\":\"ab\",\"start\":1,\"stop\":0}}",
         "one character"},
        {"{" MODEL ",\"added_tokens\":[{\"content\":\"x\",\"odd\":true}]}", "added_tokens[0]"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct lf_tokenizer *t = NULL;
        struct lf_diag diag = {""};
        assert_int_not_equal(lf_tokenizer_parse(&t, bad[i].json, strlen(bad[i].json), &diag),
                             LF_OK);
        assert_null(t);
        if (!strstr(diag.text, bad[i].says))
            fail_msg("%s\n  says: %s\n  not:  %s", bad[i].json, diag.text, bad[i].says);
    }
}

/* n brackets around nothing, after `before` and before `after`. */
static char *nested(const char *before, int n, const char *after)
{
    struct lf_buf b;
    lf_buf_init(&b, 0);
    lf_buf_puts(&b, before);
    for (int i = 0; i < n; i++)
        lf_buf_putc(&b, '[');
    for (int i = 0; i < n; i++)
        lf_buf_putc(&b, ']');
    lf_buf_puts(&b, after);
    return lf_buf_take(&b, NULL);
}

static void deep_nesting_is_refused_wherever_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after, *says;
    } places[] = {
        {"", "", "expected '{'"},
        {"{" MODEL ",\"normalizer\":", "}", "normalizer: JSON is nested deeper than 64"},
        {"{" MODEL ",\"added_tokens\":", "}", "added_tokens: JSON is nested deeper than 64"},
        {"{\"model\":{\"vocab\":", ",\"merges\":[]}}", "model: vocab: line 1 column 1: expected"},
        {"{\"model\":{\"vocab\":{},\"merges\":", "}}", "model: line 1 column 3: expected"},
        {"{\"model\":{\"vocab\":{},\"merges\":[],\"dropout\":", "}}", "nested deeper than 64"},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct lf_tokenizer *t = NULL;
        struct lf_diag diag = {""};
        char *json = nested(places[i].before, 1000000, places[i].after);
        assert_int_equal(lf_tokenizer_parse(&t, json, strlen(json), &diag), LF_E_INVALID);
        if (!strstr(diag.text, places[i].says))
            fail_msg("%s... says: %s\n  not: %s", places[i].before, diag.text, places[i].says);
        free(json);
    }
}

static void refuses_broken_models_of_the_other_forms(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } bad[] = {
        {"", 0, "no pieces"},
        {"\x0a\xff", 2, "protobuf is broken"},
        {"\x0a\x02\x0a\x05", 4, "protobuf is broken"},
        {"\x0a\x03\x0a\x01\xff", 5, "not UTF-8"},
        {"\x0a\x03\x0a\x01x", 5, "a model type other than BPE"},
        {"YQ== 0\nYg== 0\n", 14, "have id 0"},
        {"YQ== 0\nnonsense\n", 16, "line 2"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct lf_tokenizer *t = NULL;
        struct lf_diag diag = {""};
        assert_int_not_equal(lf_tokenizer_parse_model(&t, bad[i].bytes, bad[i].n, &diag), LF_OK);
        if (!strstr(diag.text, bad[i].says))
            fail_msg("%zu says: %s\n  not: %s", i, diag.text, bad[i].says);
    }
}

static void a_directory_without_one_is_not_found(void **state)
{
    (void)state;
    struct lf_tokenizer *t = NULL;
    struct lf_diag diag;
    assert_int_equal(lf_tokenizer_open(&t, "/nonexistent", &diag), LF_E_NOT_FOUND);
    assert_non_null(strstr(diag.text, "no tokenizer.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_by_rank_and_falls_back_to_bytes),
        cmocka_unit_test(added_tokens_are_found_and_numbered_as_the_library_does),
        cmocka_unit_test(decodes_bytes_spaces_and_specials),
        cmocka_unit_test(a_stream_gives_whole_characters_and_the_same_text),
        cmocka_unit_test(a_megabyte_of_one_letter_takes_no_time),
        cmocka_unit_test(threads_share_one_tokenizer),
        cmocka_unit_test(refuses_what_it_does_not_know_by_name),
        cmocka_unit_test(deep_nesting_is_refused_wherever_it_is),
        cmocka_unit_test(refuses_broken_models_of_the_other_forms),
        cmocka_unit_test(a_directory_without_one_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
