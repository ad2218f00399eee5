/* LIBS: lf_text */
/* Answers in a form: what grammars accept and refuse, and that a mask allows a token where, and
 * only where, its bytes may come. */
#include "text/guide.h"
#include "text/tokenizer.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct lf_tokenizer *tokenizer;
static struct lf_token_trie *trie;
static int n_ids;
static int32_t eos;

static int set_up(void **state)
{
    struct lf_diag diag = {""};
    char dir[512];
    (void)state;
    snprintf(dir, sizeof dir, "%s/share/base", getenv("LF_SOURCE"));
    assert_int_equal(lf_tokenizer_open(&tokenizer, dir, &diag), LF_OK);
    while (lf_tokenizer_token(tokenizer, n_ids))
        n_ids++;
    eos = lf_tokenizer_eos(tokenizer);
    assert_int_equal(lf_token_trie_new(&trie, tokenizer, n_ids, &eos, 1, &diag), LF_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lf_token_trie_free(trie);
    lf_tokenizer_free(tokenizer);
    return 0;
}

static struct lf_grammar *grammar(const char *gbnf)
{
    struct lf_grammar *g;
    struct lf_diag diag = {""};
    if (lf_grammar_new(&g, gbnf, strlen(gbnf), trie, &diag) != LF_OK)
        fail_msg("%s: %s", gbnf, diag.text);
    return g;
}

static struct lf_grammar *schema(const char *text)
{
    lf_buf_auto gbnf = {0};
    struct lf_diag diag = {""};
    json_t *j;
    assert_int_equal(lf_json_parse(&j, text, strlen(text), &diag), LF_OK);
    if (lf_grammar_of_schema(&gbnf, j, "root", &diag) != LF_OK)
        fail_msg("%s: %s", text, diag.text);
    json_decref(j);
    return grammar(lf_buf_str(&gbnf));
}

static bool answers(struct lf_grammar *g, const char *text)
{
    struct lf_guide *u;
    assert_int_equal(lf_guide_new(&u, g, NULL), LF_OK);
    bool whole = lf_guide_bytes(u, text, strlen(text)) == LF_OK && lf_guide_whole(u);
    lf_guide_free(u);
    return whole;
}

/* Texts before the first NULL are answers, those after it are none. */
static void check(struct lf_grammar *g, const char *const *texts)
{
    int side = 0;
    for (size_t i = 0; texts[i] || side == 0; i++) {
        if (!texts[i])
            side = 1;
        else if (answers(g, texts[i]) != (side == 0))
            fail_msg("\"%s\" is %s", texts[i], side ? "accepted" : "not accepted");
    }
    lf_grammar_release(g);
}
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void grammars_say_what_answers_are(void **state)
{
    (void)state;
    check(grammar("root ::= \"a\" [b-d]? (\"x\" | \"y\"){2,3} # end\n"),
          TEXTS("axx", "abxyx", NULL, "ax", "axxxx", "aexx", "axxz", ""));
    check(grammar("root ::= item (\",\" item)*\nitem ::=\n  [^,\\n]+ |\n  \"\\u00e9\\x21\"\n"),
          TEXTS("a", "a,b,\xc3\xa9!", "\xe6\x97\xa5", NULL, "a,", ",a", "a\n", "\xe6\x97"));
    /* Nested, and with recursion at the end: a list may be as long as it likes. */
    check(grammar("root ::= \"(\" root \")\" | \"x\"\n"), TEXTS("x", "((x))", NULL, "(x", "(x))"));
    check(grammar("root ::= \"a\" root | \"b\"\n"),
          TEXTS("b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", NULL, "aaa"));
    /* What nothing fits is left out, with all that leads only there. */
    check(grammar("root ::= \"ab\" | \"a\" never\nnever ::= \"c\" never\n"),
          TEXTS("ab", NULL, "a", "ac", "acc"));
}

static void refuses(const char *gbnf, const char *word)
{
    struct lf_grammar *g;
    struct lf_diag diag = {""};
    assert_int_not_equal(lf_grammar_new(&g, gbnf, strlen(gbnf), trie, &diag), LF_OK);
    if (!strstr(diag.text, word))
        fail_msg("%s: \"%s\" does not say \"%s\"", gbnf, diag.text, word);
}

static void grammars_are_refused_with_their_line(void **state)
{
    (void)state;
    refuses("root ::= \"a\n", "line 1: a literal has no end");
    refuses("root ::= [a\n", "a class has no end");
    refuses("root ::= \"a\"\nb ::= (\"x\"\n", "a group has no end");
    refuses("root ::= other\n", "no rule \"other\"");
    refuses("start ::= \"a\"\n", "no rule \"root\"");
    refuses("root ::= \"a\"\nroot ::= \"b\"\n", "line 2: a rule is there twice");
    refuses("root ::= a\na ::= b \"x\" | \"y\"\nb ::= \"z\"? a\n", "left recursion");
    refuses("root ::= \"a\" root\n", "no text fits");
    refuses("root ::= \"a\"{3,2}\n", "backwards");
    refuses("root ::= \"\\q\"\n", "unknown escape");
    refuses("root = \"a\"\n", "::=");
    refuses("", "no rule \"root\"");
}

static void regular_expressions_match_in_whole(void **state)
{
    (void)state;
    static const struct {
        const char *regex, *texts[8];
    } cases[] = {
        {"^(a|bc)*\\d{2}$", {"12", "abca34", NULL, "a1", "12x", "b12"}},
        {"[^\\d\\s]+-?\\w?", {"ab", "a-b", "-", NULL, "1", "a b"}},
        {".{2}", {"ab", "\xc3\xa9\xe6\x97\xa5", NULL, "a", "a\n", "abc"}},
        {"a|b?|c+?", {"a", "", "b", "cc", NULL, "bb"}},
        {"\\x41\\u00e9\\.\\[[\\]x-]", {"A\xc3\xa9.[]", "A\xc3\xa9.[-", NULL, "A\xc3\xa9x[]"}},
        {"(?:x(?P<n>y)){1,2}z{0}", {"xy", "xyxy", NULL, "", "xyz"}},
        {"{a}", {"{a}", NULL, "a"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lf_buf_auto gbnf = {0};
        struct lf_diag diag = {""};
        const char *r = cases[i].regex;
        if (lf_grammar_of_regex(&gbnf, r, strlen(r), &diag) != LF_OK)
            fail_msg("%s: %s", r, diag.text);
        check(grammar(lf_buf_str(&gbnf)), cases[i].texts);
    }
    static const char *const bad[][2] = {{"a(?=b)", "looking around"}, {"(a)\\1", "references"},
                                         {"\\bx", "boundaries"},       {"(a", "no end"},
                                         {"a)", "no beginning"},       {"*a", "nothing in front"},
                                         {"(?i)a", "flags"},           {"a$b", "ends alone"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lf_buf_auto gbnf = {0};
        struct lf_diag diag = {""};
        const char *r = bad[i][0];
        assert_int_not_equal(lf_grammar_of_regex(&gbnf, r, strlen(r), &diag), LF_OK);
        if (!strstr(diag.text, bad[i][1]))
            fail_msg("%s: %s", r, diag.text);
    }
}

static void schemas_say_what_json_is_answered(void **state)
{
    (void)state;
    check(schema("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},"
                 "\"b\":{\"type\":\"string\"}},\"required\":[\"b\"]}"),
          TEXTS("{\"a\":1,\"b\":\"x\"}", "{ \"b\": \"\\u00e9\" }", "{\n  \"b\": \"\"\n}", NULL,
                "{\"b\":\"x\",\"a\":1}", "{\"a\":1}", "{\"b\":\"x\",\"c\":1}", "{\"b\":\"x\",}",
                "{\"b\":\"\\ud800\"}", "{\"b\":\"\n\"}"));
    check(schema("{\"type\":\"integer\",\"minimum\":-12,\"maximum\":305}"),
          TEXTS("-12", "-9", "-1", "0", "9", "10", "99", "100", "299", "305", NULL, "-13", "306",
                "999", "-0", "01", "1.0"));
    check(schema("{\"properties\":{\"kind\":{},\"kin\":{}},\"additionalProperties\":"
                 "{\"type\":\"null\"},\"type\":\"object\"}"),
          TEXTS("{\"kind\":1,\"kin\":2,\"k\":null}", "{\"kinds\":null}", "{\"\":null}", "{}", NULL,
                "{\"k\":1}", "{\"kin\":1,\"kind\":1}"));
    check(schema("{\"enum\":[\"a\",1,null,\"caf\xc3\xa9\"]}"),
          TEXTS("\"a\"", "1", "null", "\"caf\xc3\xa9\"", NULL, "\"b\"", "true"));
    check(schema("{\"minProperties\":1,\"maxProperties\":2,\"additionalProperties\":"
                 "{\"type\":\"null\"}}"),
          TEXTS("{\"a\":null}", "{\"a\":null,\"b\":null}", NULL, "{}",
                "{\"a\":null,\"b\":null,\"c\":null}"));
    check(schema("{\"maxProperties\":0}"), TEXTS("{}", NULL, "{\"a\":null}"));
    check(schema("{\"unevaluatedProperties\":false}"), TEXTS("{}", NULL, "{\"a\":null}"));
}

static void check_refused(const char *text, const char *why)
{
    lf_buf_auto gbnf = {0};
    struct lf_diag diag = {""};
    json_t *j;
    assert_int_equal(lf_json_parse(&j, text, strlen(text), &diag), LF_OK);
    assert_int_equal(lf_grammar_of_schema(&gbnf, j, "root", &diag), LF_E_UNSUPPORTED);
    assert_non_null(strstr(diag.text, why));
    json_decref(j);
}

/* What one schema says of what the other has not spoken of is not what both say together. */
static void schemas_that_do_not_know_of_each_other_are_refused(void **state)
{
    (void)state;
    check_refused("{\"allOf\":[{\"prefixItems\":[{\"minimum\":3}]}],\"items\":{\"minimum\":5}}",
                  "prefixItems");
    check_refused("{\"allOf\":[{\"properties\":{\"a\":true}},{\"unevaluatedProperties\":false}]}",
                  "unevaluatedProperties");
    check_refused("{\"allOf\":[{\"properties\":{\"a\":true}},{\"additionalProperties\":false}]}",
                  "additionalProperties");
}

/* For every token: allowed is what the bytes say. */
static void check_mask(struct lf_grammar *g, const char *text)
{
    uint32_t *mask = calloc(lf_guide_words(n_ids), sizeof *mask);
    struct lf_guide *u, *v;
    lf_buf_auto bytes = {0};
    int n = 0;
    assert_int_equal(lf_guide_new(&u, g, NULL), LF_OK);
    assert_int_equal(lf_guide_bytes(u, text, strlen(text)), LF_OK);
    assert_int_equal(lf_guide_mask(u, mask), LF_OK);
    for (int32_t id = 0; id < n_ids; id++) {
        lf_buf_reset(&bytes);
        assert_int_equal(lf_tokenizer_bytes(tokenizer, &bytes, id), LF_OK);
        assert_int_equal(lf_guide_new(&v, g, NULL), LF_OK);
        assert_int_equal(lf_guide_bytes(v, text, strlen(text)), LF_OK);
        bool fits = id == eos ? lf_guide_whole(v)
                              : bytes.len > 0 && lf_guide_bytes(v, bytes.data, bytes.len) == LF_OK;
        bool allowed = mask[id / 32] >> (id % 32) & 1;
        if (fits != allowed)
            fail_msg("after \"%s\" token %d is %s", text, (int)id, allowed ? "allowed" : "not");
        n += allowed;
        lf_guide_free(v);
    }
    assert_true(n > 0);
    free(mask);
    lf_guide_free(u);
}

static void masks_allow_what_bytes_allow(void **state)
{
    (void)state;
    static const char *const after[] = {"{",
                                        "{\"name\":",
                                        "{\"name\": \"",
                                        "{\"name\": \"a\\",
                                        "{\"name\": \"ab",
                                        "{\"name\": \"abc\"",
                                        "{\"name\":\"x\",\"list\":[",
                                        "{\"name\":\"x\",\"list\":[{\"a\":\"",
                                        "{\"name\":\"x\",\"list\":[12",
                                        "{\"name\":\"x\",\"list\":[12]}",
                                        "{\"name\":\"x\",\"list\":[[[\"\xc3"};
    struct lf_grammar *g = schema(
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":5},"
        "\"list\":{\"type\":\"array\"}},\"required\":[\"name\",\"list\"]}");
    for (size_t i = 0; i < sizeof after / sizeof *after; i++)
        check_mask(g, after[i]);
    lf_grammar_release(g);
}

/* A guide whose state was forgotten comes to it again: more states than are kept. */
static void states_are_made_anew(void **state)
{
    (void)state;
    struct lf_grammar *g = schema("{\"type\":\"string\",\"maxLength\":9000}");
    struct lf_guide *u[2];
    uint32_t *mask = calloc(lf_guide_words(n_ids), sizeof *mask);
    for (int i = 0; i < 2; i++)
        assert_int_equal(lf_guide_new(&u[i], g, NULL), LF_OK);
    assert_int_equal(lf_guide_bytes(u[0], "\"ab", 3), LF_OK);
    assert_int_equal(lf_guide_bytes(u[1], "\"", 1), LF_OK);
    for (int i = 0; i < 9000; i++) {
        assert_int_equal(lf_guide_bytes(u[1], "x", 1), LF_OK);
        if (i % 20 == 0)
            assert_int_equal(lf_guide_mask(u[1], mask), LF_OK);
    }
    assert_int_equal(lf_guide_bytes(u[1], "x", 1), LF_E_INVALID);
    assert_int_equal(lf_guide_bytes(u[1], "\"", 1), LF_OK);
    assert_true(lf_guide_whole(u[1]));
    assert_false(lf_guide_whole(u[0]));
    assert_int_equal(lf_guide_bytes(u[0], "\"", 1), LF_OK);
    assert_true(lf_guide_whole(u[0]));
    for (int i = 0; i < 2; i++)
        lf_guide_free(u[i]);
    lf_grammar_release(g);
    free(mask);
}

/* Tokens' bytes, one after the other, are the text that they decode to. */
static void tokens_are_their_bytes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        int32_t ids[12];
        lf_buf_auto joined = {0}, clean = {0}, text = {0};
        for (uint64_t i = 0; i < 12; i++) {
            ids[i] = (int32_t)(lf_rng_u32(seed, i, 0) % (uint32_t)n_ids);
            assert_int_equal(lf_tokenizer_bytes(tokenizer, &joined, ids[i]), LF_OK);
        }
        size_t drops = lf_tokenizer_drops_space(tokenizer) && joined.len && joined.data[0] == ' ';
        assert_int_equal(lf_buf_utf8(&clean, lf_buf_str(&joined) + drops, joined.len - drops),
                         LF_OK);
        assert_int_equal(lf_tokenizer_decode(tokenizer, &text, ids, 12, true), LF_OK);
        assert_string_equal(lf_buf_str(&clean), lf_buf_str(&text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grammars_say_what_answers_are),
        cmocka_unit_test(grammars_are_refused_with_their_line),
        cmocka_unit_test(regular_expressions_match_in_whole),
        cmocka_unit_test(schemas_say_what_json_is_answered),
        cmocka_unit_test(schemas_that_do_not_know_of_each_other_are_refused),
        cmocka_unit_test(masks_allow_what_bytes_allow),
        cmocka_unit_test(states_are_made_anew),
        cmocka_unit_test(tokens_are_their_bytes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
