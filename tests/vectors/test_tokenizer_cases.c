/* LIBS: lf_text */
/* Tokenizers against the ids and texts that the Hugging Face library, sentencepiece and tiktoken
 * gave. A case is {text, ids, ids_plain, decoded}: with special tokens, without, and the decoded
 * ids_plain. Every case is also decoded one id at a time.
 *
 * $LF_SHARED/golden/<architecture>: small tokenizers, a JSON list of cases each.
 * $LF_SHARED/base/<name>: loads, and text comes back.
 * $LF_TOKENIZERS/vectors: llama.cpp's own strings and ids, for the vocabularies that are there.
 * $LF_TOKENIZERS/<name> (or $LF_SHARED/tokenizers/tokenizers.tar.xz, unpacked): real ones, JSON
 * lines of cases; tokenizer.model and vocab.json are held against the same cases. */
#include "core/file.h"
#include "core/json.h"
#include "core/limits.h"
#include "text/tokenizer.h"
#include "tests/vectors/unpacked.h"

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
    static const char text[] = "A bright day in April; \xe6\x9d\xb1\xe4\xba\xac 12345\n\n\tx";
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
    assert_non_null(lf_tokenizer_token(t, 4095));
    assert_null(lf_tokenizer_token(t, 4096));
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

/* A directory that holds links to some files of others, so that another form is found. */
static void link_into(const char *dir, const char *from, const char *file, const char *as)
{
    char target[LF_PATH_MAX], whole[LF_PATH_MAX], link[LF_PATH_MAX];
    assert_true(join(target, from, file));
    assert_non_null(realpath(target, whole));
    snprintf(link, sizeof link, "%s/%s", dir, as);
    assert_int_equal(symlink(whole, link), 0);
}

/* Opens what `dir` holds and removes it. */
static void check_form(const char *dir, const char *name, const char *cases)
{
    struct lf_tokenizer *t = open_dir(dir);
    check_cases(t, name, cases);
    lf_tokenizer_free(t);
    assert_int_equal(lf_dir_remove(dir, NULL), LF_OK);
}

static void check_model(const char *dir, const char *name, const char *cases)
{
    char form[] = "form-XXXXXX", label[LF_PATH_MAX], path[LF_PATH_MAX];
    if (!join(path, dir, "tokenizer.model"))
        return;
    assert_non_null(mkdtemp(form));
    link_into(form, dir, "tokenizer.model", "tokenizer.model");
    snprintf(label, sizeof label, "%s/tokenizer.model", name);
    check_form(form, label, cases);
}

static void check_merges(const char *dir, const char *name, const char *cases)
{
    char form[] = "form-XXXXXX", label[LF_PATH_MAX], path[LF_PATH_MAX];
    if (!join(path, dir, "merges.txt"))
        return;
    assert_non_null(mkdtemp(form));
    link_into(form, dir, "vocab.json", "vocab.json");
    link_into(form, dir, "merges.txt", "merges.txt");
    snprintf(label, sizeof label, "%s/merges.txt", name);
    check_form(form, label, cases);
}

static void check_real(const char *dir, const char *name)
{
    char cases[LF_PATH_MAX];
    if (!join(cases, dir, "cases.jsonl"))
        return;
    struct lf_tokenizer *t = open_dir(dir);
    check_cases(t, name, cases);
    lf_tokenizer_free(t);
    check_model(dir, name, cases);
    check_merges(dir, name, cases);
}

static void real_tokenizers_are_equal_in_every_form(void **state)
{
    (void)state;
    const char *dir = unpacked_tokenizers();
    if (!dir || each_folder(dir, check_real) == 0)
        skip();
}

/* phi-2 is GPT-2's vocabulary and merges with added runs of spaces. */
static void added_tokens_json_is_read(void **state)
{
    (void)state;
    char gpt2[LF_PATH_MAX], phi2[LF_PATH_MAX], cases[LF_PATH_MAX], form[] = "form-XXXXXX";
    const char *dir = unpacked_tokenizers();
    if (!dir || !join(gpt2, dir, "gpt2") || !join(phi2, dir, "phi-2"))
        skip();
    assert_true(join(cases, phi2, "cases.jsonl"));
    assert_non_null(mkdtemp(form));
    link_into(form, gpt2, "vocab.json", "vocab.json");
    link_into(form, gpt2, "merges.txt", "merges.txt");
    link_into(form, phi2, "added_tokens.derived.json", "added_tokens.json");
    check_form(form, "phi-2/added_tokens.json", cases);
}

/* llama.cpp's pair of files: strings with a separator between, and a line of ids for each. */
static void check_ggml(const char *dir, const char *file, const char *vocabulary)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char path[LF_PATH_MAX], name[128];
    struct lf_buf in, out;
    struct lf_diag diag;
    size_t n = 0;
    lf_buf_init(&in, 0);
    lf_buf_init(&out, 0);
    snprintf(name, sizeof name, "vectors/ggml-vocab-%s.gguf.inp", file);
    if (!join(path, dir, name))
        return;
    assert_int_equal(lf_file_read(&in, path, 1u << 20, &diag), LF_OK);
    memcpy(strrchr(path, '.'), ".out", 5);
    assert_int_equal(lf_file_read(&out, path, 1u << 20, &diag), LF_OK);
    assert_true(join(path, dir, vocabulary));
    struct lf_tokenizer *t = open_dir(path);
    char *lines = out.data;
    for (char *s = in.data; s && lines; n++) {
        char *end = strstr(s, separator), *line = strsep(&lines, "\n");
        size_t len = end ? (size_t)(end - s) : strlen(s);
        json_t *want = json_array();
        for (char *word; (word = strsep(&line, " "));)
            if (*word)
                json_array_append_new(want, json_integer(strtol(word, NULL, 10)));
        if (!same_ids(t, s, len, false, want))
            fail_msg("%s: \"%.*s\"", file, (int)len, s);
        json_decref(want);
        s = end ? end + sizeof separator - 1 : NULL;
    }
    print_message("llama.cpp %s: %zu strings\n", file, n);
    assert_true(n > 40);
    lf_tokenizer_free(t);
    lf_buf_free(&in);
    lf_buf_free(&out);
}

static void llama_cpp_vectors_are_equal(void **state)
{
    (void)state;
    const char *dir = unpacked_tokenizers();
    if (!dir)
        skip();
    check_ggml(dir, "gpt-2", "gpt2");
    check_ggml(dir, "llama-bpe", "llama-3");
    check_ggml(dir, "llama-spm", "llama-2");
}

int main(void)
{
    char golden[LF_PATH_MAX];
    if (!join(golden, shared(), "golden") && !unpacked_tokenizers())
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_cases_are_equal),
        cmocka_unit_test(trained_bases_load_and_give_text_back),
        cmocka_unit_test(real_tokenizers_are_equal_in_every_form),
        cmocka_unit_test(added_tokens_json_is_read),
        cmocka_unit_test(llama_cpp_vectors_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
