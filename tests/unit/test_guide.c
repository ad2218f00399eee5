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
    check_refused("{\"allOf\":[{\"patternProperties\":{\"^a\":true}},"
                  "{\"additionalProperties\":false}]}",
                  "additionalProperties");
    check_refused("{\"properties\":{\"a\":{}},\"not\":{\"properties\":{\"b\":{\"minimum\":1}}},"
                  "\"unevaluatedProperties\":false}",
                  "unevaluatedProperties");
    check(schema("{\"allOf\":[{\"properties\":{\"a\":true}},{\"additionalProperties\":false}]}"),
          TEXTS("{}", NULL, "{\"a\":1}"));
}

static void what_is_not_exact_is_refused(void **state)
{
    (void)state;
    check_refused("{\"type\":\"number\",\"multipleOf\":0.01}", "multipleOf");
    check_refused("{\"items\":{\"type\":\"string\"},\"uniqueItems\":true}", "uniqueItems");
    check_refused("{\"minProperties\":2}", "minProperties");
    check_refused("{\"not\":{\"format\":\"date\"}}", "\"not\"");
    check_refused("{\"oneOf\":[{\"minimum\":1,\"type\":\"integer\"},{\"type\":\"number\"}]}",
                  "oneOf");
}

static void numbers_keep_to_their_bounds(void **state)
{
    (void)state;
    check(schema("{\"type\":\"number\",\"minimum\":0.1,\"exclusiveMaximum\":12.5}"),
          TEXTS("0.1", "0.10", "0.5", "1", "9.99", "12", "12.4999", "10.0", NULL, "0", "0.09",
                "12.5", "12.50", "12.6", "13", "100", "-1", "0.1e1", "00.5"));
    check(schema("{\"type\":\"number\",\"minimum\":-2.25,\"maximum\":-0.5}"),
          TEXTS("-0.5", "-1", "-2.25", "-2.2", NULL, "-0.4", "-2.26", "-3", "0", "-0"));
    check(schema("{\"type\":\"number\",\"exclusiveMinimum\":0}"),
          TEXTS("1e-7", "0.001", "12345678901234567890", NULL, "0", "0.0", "0e3", "-1"));
    check(schema("{\"type\":\"number\",\"minimum\":0}"), TEXTS("0", "1.5E+3", NULL, "-1"));
    check(schema("{\"type\":\"integer\",\"multipleOf\":15,\"minimum\":-30,\"maximum\":100}"),
          TEXTS("-30", "-15", "0", "15", "90", NULL, "5", "100", "105", "-45", "015", "1.5"));
    check(schema("{\"type\":\"integer\",\"minimum\":1,\"not\":{\"enum\":[3,13]}}"),
          TEXTS("1", "4", "130", NULL, "0", "3", "13"));
    check(schema("{\"type\":\"number\",\"maximum\":1e300}"), TEXTS("5", "-5.5", NULL, "x"));
    check(schema("{\"type\":\"integer\",\"maximum\":9223372036854775807}"),
          TEXTS("9223372036854775807", NULL, "9223372036854775808"));
    check(schema("{\"type\":\"integer\",\"maximum\":18446744073709551615}"),
          TEXTS("18446744073709551615", "7", "-5", NULL, "18446744073709551616"));
}

static void strings_are_what_all_says_of_them(void **state)
{
    (void)state;
    check(schema("{\"type\":\"string\",\"pattern\":\"^[a-z\\\"]+$\",\"maxLength\":3}"),
          TEXTS("\"a\"", "\"ab\\\"\"", NULL, "\"abcd\"", "\"\"", "\"A\""));
    check(schema("{\"allOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"z$\"},{\"minLength\":4}]}"),
          TEXTS("\"abcz\"", NULL, "\"abz\"", "\"abca\""));
    check(schema("{\"type\":\"string\",\"not\":{\"pattern\":\"[0-9]\"}}"),
          TEXTS("\"\"", "\"x\\ny\"", NULL, "\"a1\""));
    check(schema("{\"type\":\"string\",\"not\":{\"const\":\"no\"},\"maxLength\":4}"),
          TEXTS("\"n\"", "\"nono\"", NULL, "\"no\"", "\"nonon\""));
    check(schema("{\"format\":\"ipv6\"}"), TEXTS("\"::1\"", "\"fe80::a:1\"", NULL, "\"1::2::3\""));
    check(schema("{\"format\":\"email\",\"maxLength\":9}"),
          TEXTS("\"a.b@c.de\"", NULL, "\"ab.cd@e.fg\"", "\"a@b@c.d\""));
    check(schema("{\"format\":\"date\"}"),
          TEXTS("\"2024-02-29\"", "\"0999-12-31\"", NULL, "\"2023-02-29\"", "\"1900-02-29\""));
    check(schema("{\"enum\":[\"caf\xc3\xa9\",\"toolong\"],\"maxLength\":4}"),
          TEXTS("\"caf\xc3\xa9\"", "\"caf\\u00e9\"", NULL, "\"toolong\""));
}

static void members_are_told_by_their_names(void **state)
{
    (void)state;
    check(schema("{\"properties\":{\"n1\":{}},\"patternProperties\":{\"^n\":{\"type\":\"integer\"},"
                 "\"1$\":{\"minimum\":5,\"type\":\"integer\"}},\"additionalProperties\":"
                 "{\"type\":\"null\"}}"),
          TEXTS("{\"n1\":5,\"n2\":1,\"x1\":7,\"y\":null}", "{\"nn1\":6}", NULL, "{\"n1\":4}",
                "{\"nn1\":4}", "{\"x\":1}", "{\"n2\":null}", "{\"x1\":null}"));
    check(schema("{\"propertyNames\":{\"pattern\":\"^[a-c]\",\"maxLength\":2}}"),
          TEXTS("{}", "{\"a\":1,\"bz\":[]}", NULL, "{\"d\":1}", "{\"abc\":1}"));
    check(
        schema("{\"properties\":{\"n\xc3\xa9\":{}},\"additionalProperties\":{\"type\":\"null\"}}"),
        TEXTS("{\"n\xc3\xa9\":1,\"n\":null}", "{\"n\xc3\xa8\":null}", NULL, "{\"n\":1}"));
    check(schema("{\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"minProperties\":2}"),
          TEXTS("{\"a\":1,\"c\":1}", "{\"a\":1,\"b\":2,\"c\":3}", NULL, "{\"b\":1}", "{}"));
    check(schema("{\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"maxProperties\":1}"),
          TEXTS("{}", "{\"b\":1}", NULL, "{\"a\":1,\"c\":1}"));
}

static void conditions_hold(void **state)
{
    (void)state;
    check(
        schema(
            "{\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"dependentRequired\":{\"a\":[\"c\"]}}"),
        TEXTS("{}", "{\"b\":1}", "{\"a\":1,\"c\":1}", NULL, "{\"a\":1}", "{\"a\":1,\"b\":1}"));
    check(
        schema(
            "{\"properties\":{\"k\":{\"enum\":[\"x\",\"y\"]},\"n\":{\"type\":\"integer\"}},"
            "\"if\":{\"properties\":{\"k\":{\"const\":\"x\"}}},\"then\":{\"required\":[\"n\"]}}"),
        TEXTS("{\"k\":\"y\"}", "{\"k\":\"x\",\"n\":1}", "{\"n\":2}", NULL, "{}", "{\"k\":\"x\"}"));
    check(schema("{\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"oneOf\":[{\"required\":[\"a\"]},"
                 "{\"required\":[\"b\",\"c\"]}]}"),
          TEXTS("{\"a\":1}", "{\"a\":1,\"b\":1}", "{\"b\":1,\"c\":1}", NULL, "{}", "{\"b\":1}",
                "{\"a\":1,\"b\":1,\"c\":1}"));
    check(schema("{\"properties\":{\"a\":{}},\"not\":{\"required\":[\"b\"]}}"),
          TEXTS("{}", "{\"a\":1}", NULL, "{\"b\":1}"));
    check(schema("{\"not\":{\"type\":[\"object\",\"array\"]}}"),
          TEXTS("1", "\"\"", NULL, "{}", "[]"));
}

static void items_are_counted_and_told_apart(void **state)
{
    (void)state;
    check(schema("{\"items\":{\"type\":\"integer\"},\"contains\":{\"minimum\":5},\"maxItems\":3}"),
          TEXTS("[5]", "[1,2,7]", "[1, 7, 2]", NULL, "[]", "[1,2]", "[1,2,3,5]"));
    check(schema("{\"items\":{\"enum\":[1,2,3]},\"contains\":{\"const\":1},\"minContains\":2,"
                 "\"maxContains\":2}"),
          TEXTS("[1,1]", "[2,1,3,1]", NULL, "[1]", "[1,1,1]"));
    check(schema("{\"items\":{\"enum\":[\"a\",\"b\",\"c\"]},\"uniqueItems\":true,\"minItems\":1}"),
          TEXTS("[\"c\"]", "[\"b\",\"a\",\"c\"]", NULL, "[]", "[\"a\",\"a\"]"));
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
        cmocka_unit_test(what_is_not_exact_is_refused),
        cmocka_unit_test(numbers_keep_to_their_bounds),
        cmocka_unit_test(strings_are_what_all_says_of_them),
        cmocka_unit_test(members_are_told_by_their_names),
        cmocka_unit_test(conditions_hold),
        cmocka_unit_test(items_are_counted_and_told_apart),
        cmocka_unit_test(masks_allow_what_bytes_allow),
        cmocka_unit_test(states_are_made_anew),
        cmocka_unit_test(tokens_are_their_bytes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
