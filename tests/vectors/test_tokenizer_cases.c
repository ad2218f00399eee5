/* LIBS: lf_model */
/* Tokenizers against the ids and texts that the Hugging Face library, sentencepiece and tiktoken
 * gave. A case is {text, ids, ids_plain, decoded}: with special tokens, without, and the decoded
 * ids_plain. Every case is also decoded one id at a time.
 *
 * $LF_SHARED/golden/<architecture>: small tokenizers, a JSON list of cases each.
 * $LF_SHARED/base/<name>: loads, and text comes back.
 * $LF_TOKENIZERS/<name> (or $LF_SHARED/tokenizers/tokenizers.tar.xz, unpacked): real ones, JSON
 * lines of cases; tokenizer.model and vocab.json are held against the same cases. */
#include "core/file.h"
#include "core/json.h"
#include "core/limits.h"
#include "model/tokenizer.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *shared(void)
{
    const char *s = getenv("LF_SHARED");
    return s ? s : "../shared";
}

static bool join(char out[LF_PATH_MAX], const char *dir, const char *name)
{
    return snprintf(out, LF_PATH_MAX, "%s/%s", dir, name) < LF_PATH_MAX && lf_file_exists(out);
}

static void show_ids(const char *what, const int32_t *ids, size_t n)
{
    print_message("  %s:", what);
    for (size_t i = 0; i < n && i < 60; i++)
        print_message(" %d", ids[i]);
    print_message("%s\n", n > 60 ? " ..." : "");
}

static bool same_ids(const struct lf_tokenizer *t, const char *text, size_t n, bool special,
                     const json_t *want)
{
    struct lf_ids got = {0}, expected = {0};
    struct lf_diag diag;
    if (lf_tokenizer_encode(t, &got, text, n, special, &diag) != LF_OK)
        fail_msg("encode: %s", diag.text);
    for (size_t i = 0; i < json_array_size(want); i++)
        assert_int_equal(
            lf_ids_push(&expected, (int32_t)json_integer_value(json_array_get(want, i))), LF_OK);
    bool same = got.n == expected.n &&
                (got.n == 0 || memcmp(got.ids, expected.ids, got.n * sizeof *got.ids) == 0);
    if (!same) {
        show_ids("want", expected.ids, expected.n);
        show_ids("got ", got.ids, got.n);
    }
    lf_ids_free(&got);
    lf_ids_free(&expected);
    return same;
}

/* Decodes at once and one id at a time; both must give the text. */
static bool same_text(const struct lf_tokenizer *t, const json_t *ids, const char *want, size_t n)
{
    struct lf_buf whole, stream;
    struct lf_decoder d;
    struct lf_ids v = {0};
    lf_buf_init(&whole, 0);
    lf_buf_init(&stream, 0);
    lf_decoder_init(&d, t, false);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        int32_t id = (int32_t)json_integer_value(json_array_get(ids, i));
        assert_int_equal(lf_ids_push(&v, id), LF_OK);
        assert_int_equal(lf_decoder_push(&d, &stream, id), LF_OK);
    }
    assert_int_equal(lf_decoder_finish(&d, &stream), LF_OK);
    assert_int_equal(lf_tokenizer_decode(t, &whole, v.ids, v.n, false), LF_OK);
    bool same = whole.len == n && (n == 0 || memcmp(whole.data, want, n) == 0);
    if (!same)
        print_message("  want text: %s\n  got text:  %s\n", want, whole.data);
    if (stream.len != whole.len || (whole.len && memcmp(stream.data, whole.data, whole.len) != 0)) {
        print_message("  whole:  %s\n  stream: %s\n", whole.data, stream.data);
        same = false;
    }
    lf_decoder_free(&d);
    lf_ids_free(&v);
    lf_buf_free(&whole);
    lf_buf_free(&stream);
    return same;
}

static bool check_case(const struct lf_tokenizer *t, const json_t *c)
{
    const json_t *text = json_object_get(c, "text"), *decoded = json_object_get(c, "decoded");
    const json_t *plain = json_object_get(c, "ids_plain");
    const char *s = json_string_value(text);
    size_t n = json_string_length(text);
    bool same = same_ids(t, s, n, true, json_object_get(c, "ids"));
    same &= same_ids(t, s, n, false, plain);
    same &= same_text(t, plain, json_string_value(decoded), json_string_length(decoded));
    if (!same)
        print_message("  text: %s\n", s);
    return same;
}

/* A list of cases, or one on each line. */
static json_t *load_cases(const char *path)
{
    struct lf_diag diag;
    struct lf_buf b;
    json_t *all = NULL;
    lf_buf_init(&b, 0);
    if (lf_file_read(&b, path, 64u << 20, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    if (b.data[0] == '[') {
        assert_int_equal(lf_json_parse(&all, b.data, b.len, &diag), LF_OK);
    } else {
        all = json_array();
        char *rest = b.data;
        for (char *line; (line = strsep(&rest, "\n"));) {
            json_t *one = NULL;
            if (*line && lf_json_parse(&one, line, strlen(line), &diag) != LF_OK)
                fail_msg("%s: %s", path, diag.text);
            if (one)
                json_array_append_new(all, one);
        }
    }
    lf_buf_free(&b);
    return all;
}

static void check_cases(const struct lf_tokenizer *t, const char *name, const char *cases)
{
    json_t *all = load_cases(cases);
    size_t n = json_array_size(all), bad = 0;
    for (size_t i = 0; i < n && bad < 10; i++)
        bad += !check_case(t, json_array_get(all, i));
    print_message("%s: %zu cases\n", name, n);
    json_decref(all);
    assert_true(n > 0);
    if (bad)
        fail_msg("%s: %zu cases differ (or the first ten)", name, bad);
}

static struct lf_tokenizer *open_dir(const char *dir)
{
    struct lf_tokenizer *t;
    struct lf_diag diag;
    if (lf_tokenizer_open(&t, dir, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    return t;
}

typedef void (*dir_fn)(const char *dir, const char *name);

/* Calls fn for every folder in dir; returns how many. */
static size_t each_folder(const char *dir, dir_fn fn)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    if (!d)
        return 0;
    for (struct dirent *e; (e = readdir(d));) {
        char path[LF_PATH_MAX];
        if (e->d_name[0] == '.' || !join(path, dir, e->d_name))
            continue;
        fn(path, e->d_name);
        n++;
    }
    closedir(d);
    return n;
}

static void check_golden(const char *dir, const char *name)
{
    char cases[LF_PATH_MAX], model[LF_PATH_MAX];
    if (!join(cases, dir, "tokenizer.cases.json") || !join(model, dir, "model"))
        return;
    struct lf_tokenizer *t = open_dir(model);
    check_cases(t, name, cases);
    lf_tokenizer_free(t);
}

static void golden_cases_are_equal(void **state)
{
    (void)state;
    char dir[LF_PATH_MAX];
    if (!join(dir, shared(), "golden") || each_folder(dir, check_golden) == 0)
        skip();
}

static void check_base(const char *dir, const char *name)
{
    static const char text[] = "It was a bright day in April; \xe6\x9d\xb1\xe4\xba\xac 12345\n\n\tx";
    char json[LF_PATH_MAX];
    if (!join(json, dir, "tokenizer.json"))
        return;
    struct lf_tokenizer *t = open_dir(dir);
    struct lf_ids ids = {0};
    struct lf_buf b;
    lf_buf_init(&b, 0);
    assert_int_equal(lf_tokenizer_encode(t, &ids, text, sizeof text - 1, true, NULL), LF_OK);
    assert_int_equal(ids.ids[0], lf_tokenizer_bos(t));
    assert_string_equal(lf_tokenizer_token(t, lf_tokenizer_bos(t)), "<|begin_of_text|>");
    assert_string_equal(lf_tokenizer_token(t, lf_tokenizer_eos(t)), "<|endoftext|>");
    assert_int_equal(lf_tokenizer_size(t), 4096);
    assert_int_equal(lf_tokenizer_decode(t, &b, ids.ids, ids.n, true), LF_OK);
    assert_string_equal(b.data, text);
    print_message("%s: %zu ids\n", name, ids.n);
    lf_buf_free(&b);
    lf_ids_free(&ids);
    lf_tokenizer_free(t);
}

static void trained_bases_load_and_give_text_back(void **state)
{
    (void)state;
    char dir[LF_PATH_MAX];
    if (!join(dir, shared(), "base") || each_folder(dir, check_base) == 0)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_cases_are_equal),
        cmocka_unit_test(trained_bases_load_and_give_text_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
