/* LIBS: lf_text Threads::Threads */
/* Chat templates: what is refused and how it says so, the ceilings, opening from a directory. What
 * a template renders is tests/vectors/test_chat_cases.c. */
#include "core/file.h"
#include "core/limits.h"
#include "text/chat.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct lf_chat *parse(const char *source)
{
    struct lf_chat *c;
    struct lf_diag diag;
    if (lf_chat_parse(&c, source, strlen(source), "<s>", "</s>", &diag) != LF_OK)
        fail_msg("%s", diag.text);
    return c;
}

/* Renders with these variables; the caller frees *out. */
static enum lf_err render(const char *source, const char *vars, struct lf_buf *out,
                          struct lf_diag *diag)
{
    struct lf_chat *c = parse(source);
    json_t *j = json_loads(vars, 0, NULL);
    assert_non_null(j);
    lf_buf_init(out, 0);
    enum lf_err rc = lf_chat_render(c, out, j, true, diag);
    json_decref(j);
    lf_chat_free(c);
    return rc;
}

static void expect(const char *source, const char *vars, const char *want)
{
    struct lf_buf out;
    struct lf_diag diag;
    if (render(source, vars, &out, &diag) != LF_OK)
        fail_msg("%s: %s", source, diag.text);
    assert_string_equal(out.len ? out.data : "", want);
    lf_buf_free(&out);
}

static void expect_error(const char *source, enum lf_err want, const char *says)
{
    struct lf_buf out;
    struct lf_diag diag = {""};
    enum lf_err rc =
        render(source, "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}", &out, &diag);
    if (rc != want || !strstr(diag.text, says))
        fail_msg("%s: %s: %s", source, lf_err_name(rc), diag.text);
    assert_int_equal(out.len, 0);
    lf_buf_free(&out);
}

static void the_caller_and_the_checkpoint_name_what_a_template_sees(void **state)
{
    (void)state;
    expect("{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ add_generation_prompt }}{{ tools }}"
           "{{ documents is none }}{{ mode }}",
           "{\"mode\":\"m\"}", "<s></s>TrueNoneTruem");
    expect("{{ bos_token }}{{ tools | length }}", "{\"bos_token\":\"B\",\"tools\":[1]}", "B1");
    expect("{{ messages[0].thinking }}{{ messages[0].reasoning_content }}",
           "{\"messages\":[{\"role\":\"assistant\",\"reasoning\":\"r\"}]}", "rr");
}

static void refuses_what_it_does_not_know_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *source, *says;
    } bad[] = {
        {"a\nb{% extends 'x' %}", "line 2: tag 'extends' is not supported"},
        {"{% block a %}{% endblock %}", "tag 'block' is not supported"},
        {"{% for x in y recursive %}{% endfor %}", "recursive loops are not supported"},
        {"\n\n{{ x | urlize }}", "line 3: filter 'urlize' is not supported"},
        {"{{ x | nonsense }}", "no filter named 'nonsense'"},
        {"{{ x is nonsense }}", "no test named 'nonsense'"},
        {"{% if true %}", "unexpected end of template, looking for endif"},
        {"{{ 'a }}", "a string without end"},
        {"{{ 99999999999999999999 }}", "an integer over 64 bits"},
        {"{{ (1 }}", "unexpected '}'"},
        {"{{ 1 ", "missing end of a variable"},
        {"{{ 1) }}", "unexpected ')'"},
        {"{{ a ? b }}", "unexpected character '?'"},
        {"{{ \xff }}", "not UTF-8"},
        {"{% set 1 = 2 %}", "cannot be assigned to"},
        {"{% continue %}", "outside a loop"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct lf_chat *c = NULL;
        struct lf_diag diag = {""};
        assert_int_not_equal(
            lf_chat_parse(&c, bad[i].source, strlen(bad[i].source), NULL, NULL, &diag), LF_OK);
        assert_null(c);
        if (!strstr(diag.text, bad[i].says))
            fail_msg("%s\n  says: %s\n  not:  %s", bad[i].source, diag.text, bad[i].says);
    }
}

static void errors_say_where_and_write_nothing(void **state)
{
    (void)state;
    expect_error("x\n{{ raise_exception('roles must alternate') }}", LF_E_INVALID,
                 "line 2: the template says: roles must alternate");
    expect_error("{{ nothing.at.all }}", LF_E_INVALID, "'nothing' is undefined");
    expect_error("{{ messages[0].nope() }}", LF_E_INVALID, "no attribute 'nope'");
    expect_error("{{ messages.append(1) }}", LF_E_INVALID, "unsafe");
    expect_error("{{ 'a' + 1 }}", LF_E_INVALID, "'str' and 'int'");
    expect_error("{{ messages[0].encode }}{{ 'x'.encode() }}", LF_E_UNSUPPORTED,
                 "method 'encode' of 'str' is not supported");
    expect_error("{{ 2 ** 64 }}", LF_E_UNSUPPORTED, "over 64 bits");
    expect_error("{{ [1] | map('urlize') | list }}", LF_E_UNSUPPORTED, "'urlize'");
    expect_error("{{ range }}", LF_E_UNSUPPORTED, "printing a 'function'");
}

static void work_depth_and_size_have_ceilings(void **state)
{
    (void)state;
    struct lf_buf long_sum;
    lf_buf_init(&long_sum, 0);
    lf_buf_puts(&long_sum, "{% for a in range(100000) %}{% if 1");
    for (int i = 0; i < 300; i++)
        lf_buf_puts(&long_sum, " + 1");
    lf_buf_puts(&long_sum, " %}{% endif %}{% endfor %}");
    expect_error(long_sum.data, LF_E_TOO_BIG, "steps");
    lf_buf_free(&long_sum);
    expect_error("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
                 LF_E_TOO_BIG, "bytes");
    expect_error("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", LF_E_TOO_BIG, "recurses");
    /* Comparing: 2^40 values that are one; a long text with itself, while sorting; a large dict. */
    static const char twice[] = "{% set n = namespace(a=[1], b=[1], c=(1,), d=(1,)) %}"
                                "{% for i in range(40) %}{% set n.a = [n.a, n.a] %}"
                                "{% set n.b = [n.b, n.b] %}{% set n.c = (n.c, n.c) %}"
                                "{% set n.d = (n.d, n.d) %}{% endfor %}";
    static const char *const compared[] = {"n.a == n.b", "n.a < n.b", "n.a in [n.b]",
                                           "{n.c: 1} == {n.d: 1}", "[n.b].count(n.a)"};
    for (size_t i = 0; i < sizeof compared / sizeof *compared; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s{{ %s }}", twice, compared[i]);
        expect_error(text, LF_E_TOO_BIG, "steps");
    }
    expect_error(
        "{% set x = 'x' * 500000 %}{{ ([x] * 2000) | sort(case_sensitive=true) | length }}",
        LF_E_TOO_BIG, "steps");
    expect_error("{{ range(100001) | length }}", LF_E_TOO_BIG, "range()");
    expect_error("{{ 'x' * 5000000 }}", LF_E_TOO_BIG, "over the limit");
    expect_error("{% set ns = namespace(x='xxxxxxxxxxxxxxxx') %}{% for i in range(40) %}"
                 "{% set ns.x = ns.x + ns.x %}{% endfor %}",
                 LF_E_TOO_BIG, "bytes");
    expect_error("{% set ns = namespace(x=[]) %}{% for i in range(300) %}{% set ns.x = [ns.x] %}"
                 "{% endfor %}",
                 LF_E_TOO_BIG, "nested deeper");
}

static void deep_nesting_is_refused_when_parsed(void **state)
{
    (void)state;
    static const char *const parts[] = {"(",    "[",          "{1:",          "-",
                                        "not ", "{% if 1 %}", "1 if 1 else ", "x["};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct lf_buf source;
        struct lf_chat *c = NULL;
        struct lf_diag diag = {""};
        lf_buf_init(&source, 0);
        lf_buf_puts(&source, parts[i][0] == '{' && parts[i][1] == '%' ? "" : "{{ ");
        for (int k = 0; k < 100000 / (int)strlen(parts[i]); k++)
            lf_buf_puts(&source, parts[i]);
        assert_int_equal(source.rc, LF_OK);
        assert_int_not_equal(lf_chat_parse(&c, source.data, source.len, NULL, NULL, &diag), LF_OK);
        assert_null(c);
        lf_buf_free(&source);
    }
}

/* --- opening --- */

static void put(const char *dir, const char *name, const char *text)
{
    char path[LF_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(lf_file_write(path, text, strlen(text), NULL), LF_OK);
}

static void expect_open(const char *dir, const char *want)
{
    struct lf_chat *c;
    struct lf_diag diag;
    struct lf_buf out;
    json_t *vars = json_object();
    lf_buf_init(&out, 0);
    if (lf_chat_open(&c, dir, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    assert_int_equal(lf_chat_render(c, &out, vars, false, &diag), LF_OK);
    assert_string_equal(out.data, want);
    lf_chat_free(c);
    json_decref(vars);
    lf_buf_free(&out);
}

static void opens_the_file_or_the_configuration(void **state)
{
    (void)state;
    char dir[] = "chat-XXXXXX";
    struct lf_chat *c;
    struct lf_diag diag;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(lf_chat_open(&c, dir, &diag), LF_E_NOT_FOUND);
    put(dir, "tokenizer_config.json", "{\"bos_token\":\"b\",\"chat_template\":null}");
    assert_int_equal(lf_chat_open(&c, dir, &diag), LF_E_NOT_FOUND);
    put(dir, "tokenizer_config.json",
        "{\"bos_token\":{\"content\":\"b\"},\"pad_token\":\"p\",\"eos_token\":null,"
        "\"model_max_length\":1000000000000000019884624838656,"
        "\"chat_template\":\"1{{ bos_token }}{{ pad_token }}{{ eos_token is defined }}\"}");
    expect_open(dir, "1bpFalse");
    put(dir, "tokenizer_config.json",
        "{\"bos_token\":\"b\",\"chat_template\":[{\"name\":\"rag\",\"template\":\"no\"},"
        "{\"name\":\"default\",\"template\":\"2{{ bos_token }}\"}]}");
    expect_open(dir, "2b");
    put(dir, "chat_template.jinja", "3{{ bos_token }}");
    expect_open(dir, "3b");
    put(dir, "chat_template.jinja", "{{");
    assert_int_equal(lf_chat_open(&c, dir, &diag), LF_E_INVALID);
    assert_int_equal(lf_dir_remove(dir, NULL), LF_OK);
}

static void *render_many(void *arg)
{
    json_t *vars = json_pack("{s:[{s:s}]}", "messages", "content", "hi");
    struct lf_buf out;
    bool good = true;
    lf_buf_init(&out, 0);
    for (int i = 0; i < 200 && good; i++) {
        lf_buf_reset(&out);
        good =
            lf_chat_render(arg, &out, vars, true, NULL) == LF_OK && strcmp(out.data, "<s>HI") == 0;
    }
    lf_buf_free(&out);
    json_decref(vars);
    return good ? NULL : arg;
}

static void threads_share_one_template(void **state)
{
    (void)state;
    struct lf_chat *c = parse("{{ bos_token }}{% for m in messages %}{{ m.content | upper }}"
                              "{% endfor %}");
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, render_many, c), 0);
    for (size_t i = 0; i < 4; i++) {
        void *bad;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    lf_chat_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_caller_and_the_checkpoint_name_what_a_template_sees),
        cmocka_unit_test(refuses_what_it_does_not_know_with_its_line),
        cmocka_unit_test(errors_say_where_and_write_nothing),
        cmocka_unit_test(work_depth_and_size_have_ceilings),
        cmocka_unit_test(deep_nesting_is_refused_when_parsed),
        cmocka_unit_test(opens_the_file_or_the_configuration),
        cmocka_unit_test(threads_share_one_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
