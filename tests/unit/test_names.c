/* LIBS: lf_fs lf_names lf_core */
/* The table of an adapter's files and of ctl's words, and the texts that are held against it: the
 * mount's README, docs/http.md and openapi.json. */
#include "core/file.h"
#include "fs/space.h"
#include "names/ctl.h"
#include "names/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void read_source(struct lf_buf *out, const char *name)
{
    char path[LF_PATH_MAX];
    struct lf_diag diag = {""};
    const char *source = getenv("LF_SOURCE");
    snprintf(path, sizeof path, "%s/%s", source ? source : ".", name);
    lf_buf_init(out, 0);
    if (lf_file_read(out, path, 8u << 20, &diag) != LF_OK)
        fail_msg("%s", diag.text);
}

static void every_row_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < LF_FILE_N; i++) {
        const struct lf_file_row *f = &lf_files[i];
        struct lf_file_ref ref;
        bool written = f->form == LF_FORM_WRITTEN;
        assert_true(lf_file_ref_parse(&ref, f->name));
        assert_int_equal(ref.kind, i);
        assert_int_equal(lf_file_ref_writable(&ref), written);
        assert_int_equal(f->check != LF_CHECK_NONE, written);
        assert_true(written || f->effect == LF_EFFECT_NONE);
        assert_int_equal(f->disk != NULL, i < LF_FILE_PLAIN_N);
        assert_true(f->purpose && *f->purpose);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(f->name, lf_files[k].name);
    }
}

static void files_have_names_and_strangers_have_not(void **state)
{
    (void)state;
    struct lf_file_ref ref;
    static const char *const strange[] = {
        "",
        "x",
        "dataset.jsonl/",
        "dataset.jsonl2",
        "../config.json",
        "adapter",
        "adapter/",
        "adapter/x",
        "versions",
        "versions/",
        "versions/0",
        "versions/-1",
        "versions/01",
        "versions/99999999999",
        "versions/3/",
        "versions/3/../../config.json",
        "versions/3x",
        "versions/ 3",
        "log.jsonl",
        "jobs/1/dataset.jsonl",
    };
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
        if (lf_file_ref_parse(&ref, strange[i]))
            fail_msg("\"%s\" is no file of an adapter", strange[i]);
    assert_true(lf_file_ref_parse(&ref, "versions/3/adapter_config.json"));
    assert_int_equal(ref.kind, LF_FILE_ADAPTER_CONFIG);
    assert_false(lf_file_ref_writable(&ref));
    assert_int_equal(ref.version, 3);
    assert_true(lf_file_ref_parse(&ref, "versions/12"));
    assert_int_equal(ref.kind, LF_FILE_VERSION);
    assert_int_equal(ref.version, 12);
    assert_false(lf_file_ref_writable(&ref));
    assert_true(lf_file_ref_parse(&ref, "log"));
    assert_false(lf_file_ref_writable(&ref));
    assert_true(lf_file_ref_parse(&ref, "adapter/adapter_model.safetensors"));
    assert_true(lf_file_ref_writable(&ref));
}

static void a_command_is_a_word_and_what_it_takes(void **state)
{
    (void)state;
    struct lf_ctl_order o;
    struct lf_diag diag = {""};
    for (size_t i = 0; i < LF_CTL_N; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s%s", lf_ctl[i].word, *lf_ctl[i].argument ? " 7" : "");
        assert_int_equal(lf_ctl_parse(&o, line, &diag), LF_OK);
        assert_int_equal(o.word, i);
        assert_int_equal(o.n, *lf_ctl[i].argument ? 7 : 0);
    }
    static const char *const bad[] = {
        "",           "dance",        "trains",      "train 3",    "rollback",
        "rollback x", "rollback 2 3", "rollback -2", "rollback 0", "rollback 4294967297"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(lf_ctl_parse(&o, bad[i], &diag), LF_E_INVALID);
    for (size_t i = 0; i < LF_CTL_N; i++)
        assert_non_null(strstr(diag.text, lf_ctl[i].word));
    static const struct {
        const char *line, *says;
    } near[] = {{"trian", "did you mean \"train\"?"},
                {"Cancel", "did you mean \"cancel\"?"},
                {"stop", "did you mean \"cancel\"?"},
                {"rolback 2", "did you mean \"rollback N\"?"},
                {"frobnicate", "\"frobnicate\"; there are"}};
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        assert_int_equal(lf_ctl_parse(&o, near[i].line, &diag), LF_E_INVALID);
        if (!strstr(diag.text, near[i].says))
            fail_msg("%s: %s", near[i].line, diag.text);
    }
}

static void must_say(const struct lf_buf *text, const char *where, const char *what)
{
    if (!strstr(text->data, what))
        fail_msg("%s does not have: %s", where, what);
}

static void the_readme_has_every_file_and_command(void **state)
{
    (void)state;
    struct lf_buf text;
    lf_buf_init(&text, 0);
    assert_int_equal(lf_space_readme(&text), LF_OK);
    for (size_t i = 0; i < LF_FILE_N; i++) {
        must_say(&text, "README", lf_files[i].name);
        must_say(&text, "README", lf_files[i].purpose);
    }
    for (size_t i = 0; i < LF_CTL_N; i++)
        must_say(&text, "README", lf_ctl[i].purpose);
    lf_buf_free(&text);
}

/* How many lines start like this. */
static size_t count_lines(const struct lf_buf *text, const char *start)
{
    size_t n = 0;
    for (const char *p = text->data; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
        n += strncmp(p, start, strlen(start)) == 0;
    return n;
}

static void the_page_of_the_api_has_every_file_and_command(void **state)
{
    (void)state;
    struct lf_buf text;
    char row[512];
    read_source(&text, "docs/http.md");
    for (size_t i = 0; i < LF_FILE_N; i++) {
        const struct lf_file_row *f = &lf_files[i];
        snprintf(row, sizeof row, "| `%s` | ", f->name);
        assert_int_equal(count_lines(&text, row), 1);
        const char *line = strstr(text.data, row);
        snprintf(row, sizeof row, "%s%s%s| %s |\n", f->media_type ? "| `" : "",
                 f->media_type ? f->media_type : "", f->media_type ? "` " : "| ", f->purpose);
        const char *end = strstr(line, row);
        if (!end || end > strchr(line, '\n'))
            fail_msg("docs/http.md, %s: its line does not end in %s", f->name, row);
        assert_int_equal(strncmp(line + strlen(f->name) + 7, "| ", 2) == 0, !f->bytes_max);
    }
    for (size_t i = 0; i < LF_CTL_N; i++) {
        snprintf(row, sizeof row, "| `%s%s` | %s |\n", lf_ctl[i].word, lf_ctl[i].argument,
                 lf_ctl[i].purpose);
        must_say(&text, "docs/http.md", row);
    }
    lf_buf_free(&text);
}

static void the_document_of_the_api_has_every_file_and_command(void **state)
{
    (void)state;
    struct lf_buf text, words;
    char part[128];
    read_source(&text, "daemon/api/openapi.json");
    for (size_t i = 0; i < LF_FILE_N; i++) {
        snprintf(part, sizeof part, "`%s`", lf_files[i].name);
        if (lf_files[i].media_type)
            must_say(&text, "openapi.json", part);
    }
    lf_buf_init(&words, 0);
    assert_int_equal(lf_ctl_list(&words, ", "), LF_OK);
    must_say(&text, "openapi.json", words.data);
    for (size_t i = 0; i < LF_CTL_N; i++) {
        snprintf(part, sizeof part, "\"/v1/jobs/{id}/%s\"", lf_ctl[i].word);
        assert_int_equal(strstr(text.data, part) != NULL, lf_ctl[i].job_route);
    }
    lf_buf_free(&words);
    lf_buf_free(&text);
}

static void what_the_daemon_makes_is_known_again(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text;
        bool copy;
    } rows[] = {{"status", "ready v1\n", true},
                {"status", "hello\n", false},
                {"progress", "viggo v4 [...] 120/2500\n", true},
                {"progress", "viggo ready v4\n", true},
                {"progress", "hello world\n", false},
                {"error", "dataset.jsonl: line 17: no \"prompt\"\n", true},
                {"error", "hello world\n", false},
                {"log", "{\"time\":\"2026-11-28T09:51:50.194Z\",\"event\":\"queued\"}\n", true},
                {"log", "hello\n", false},
                {"metrics.json", "{\"version\": 1}", true},
                {"loss.svg", "<svg xmlns=", true},
                {"loss.svg", "GIF89a", false},
                {"generate", "", true},
                {"generate", "Hello", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (lf_file_is_copy(lf_file_find(rows[i].file), rows[i].text, strlen(rows[i].text)) !=
            rows[i].copy)
            fail_msg("%s: %s", rows[i].file, rows[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(files_have_names_and_strangers_have_not),
        cmocka_unit_test(what_the_daemon_makes_is_known_again),
        cmocka_unit_test(a_command_is_a_word_and_what_it_takes),
        cmocka_unit_test(the_readme_has_every_file_and_command),
        cmocka_unit_test(the_page_of_the_api_has_every_file_and_command),
        cmocka_unit_test(the_document_of_the_api_has_every_file_and_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
