/* LIBS: lf_core */
/* The log line: as text and as JSON, with fields, and whatever it quotes. */
#include "core/file.h"
#include "core/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* What is written on stderr meanwhile. */
struct capture {
    char path[64];
    int stderr_fd;
};

static void capture_begin(struct capture *c)
{
    snprintf(c->path, sizeof c->path, "/tmp/lf-log-XXXXXX");
    int fd = mkstemp(c->path);
    assert_true(fd >= 0);
    c->stderr_fd = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static void capture_end(struct capture *c, struct lf_buf *out)
{
    dup2(c->stderr_fd, STDERR_FILENO);
    close(c->stderr_fd);
    lf_buf_init(out, 0);
    assert_int_equal(lf_file_read(out, c->path, 1 << 20, NULL), LF_OK);
    unlink(c->path);
}

static const struct lf_log_field fields[] = {
    {"adapter", "viggo", false},
    {"version", "3", true},
    {"reason", "line 1: \"x\"\n\x1b[2J", false},
    {"none", NULL, false},
};
#define N_FIELDS (sizeof fields / sizeof *fields)

static void a_text_line_has_its_fields_after_it(void **state)
{
    (void)state;
    struct capture c;
    struct lf_buf b;
    capture_begin(&c);
    lf_log(LF_LOG_DEBUG, "jobs", "not to be seen");
    lf_log(LF_LOG_INFO, "jobs", "one\ntwo");
    lf_log_fields(LF_LOG_WARN, "jobs", fields, N_FIELDS, "viggo: %s", "failed");
    capture_end(&c, &b);
    const char *second = strchr(b.data, '\n') + 1;
    assert_memory_equal(strchr(b.data, 'Z'), "Z info jobs: one\\ntwo\n", 22);
    assert_string_equal(strchr(second, 'Z'), "Z warn jobs: viggo: failed adapter=viggo version=3 "
                                             "reason=\"line 1: \\\"x\\\"\\\\n\\\\x1b[2J\"\n");
    lf_buf_free(&b);
}

static void a_json_line_is_an_object(void **state)
{
    (void)state;
    struct capture c;
    struct lf_buf b;
    lf_log_set_format(LF_LOG_JSON);
    capture_begin(&c);
    lf_log_fields(LF_LOG_WARN, "jobs", fields, N_FIELDS, "said \"so\"");
    capture_end(&c, &b);
    lf_log_set_format(LF_LOG_TEXT);
    assert_memory_equal(b.data, "{\"time\":\"20", 11);
    assert_string_equal(strchr(b.data, 'Z'),
                        "Z\",\"level\":\"warn\",\"room\":\"jobs\",\"message\":\"said \\\"so\\\"\","
                        "\"adapter\":\"viggo\",\"version\":3,"
                        "\"reason\":\"line 1: \\\"x\\\"\\\\n\\\\x1b[2J\"}\n");
    lf_buf_free(&b);
}

/* A field that does not fit is left out, whole; the object is closed. */
static void what_is_too_long_is_cut(void **state)
{
    (void)state;
    struct capture c;
    struct lf_buf b;
    static char quotes[4000];
    memset(quotes, '"', sizeof quotes - 1);
    const struct lf_log_field many[] = {
        {"a", quotes, false}, {"b", quotes, false}, {"c", "short", false}};
    lf_log_set_format(LF_LOG_JSON);
    capture_begin(&c);
    lf_log_fields(LF_LOG_ERROR, "jobs", many, 3, "%s", quotes);
    capture_end(&c, &b);
    lf_log_set_format(LF_LOG_TEXT);
    assert_int_equal(b.data[b.len - 2], '}');
    assert_null(strstr(b.data, ",\"b\":"));
    assert_non_null(strstr(b.data, ",\"c\":\"short\"}\n"));
    lf_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_line_has_its_fields_after_it),
        cmocka_unit_test(a_json_line_is_an_object),
        cmocka_unit_test(what_is_too_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
