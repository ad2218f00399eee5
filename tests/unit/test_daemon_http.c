/* LIBS: lf_daemon lf_core */
/* HTTP's pieces: routes, ranges, statuses, paths of files; and the document that lists the
 * routes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/json.h"
#include "daemon/api/api.h"
#include "daemon/api/params.h"
#include "daemon/api/sampling.h"
#include "daemon/counters.h"
#include "daemon/embedded.h"
#include "daemon/http/http.h"
#include "daemon/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum lf_err nothing(struct lf_http *q, struct lf_diag *diag)
{
    (void)q;
    (void)diag;
    return LF_OK;
}

static const struct lf_route table[] = {
    {LF_HTTP_GET, LF_ROLE_OPEN, "/", nothing},
    {LF_HTTP_GET, LF_ROLE_OPEN, "/a", nothing},
    {LF_HTTP_GET, LF_ROLE_OPEN, "/a/{name}", nothing},
    {LF_HTTP_PUT, LF_ROLE_OPEN, "/a/{name}/files/{path*}", nothing},
    {LF_HTTP_GET, LF_ROLE_OPEN, "/a/{name}/files/{path*}", nothing},
};

static const char *found(enum lf_http_method m, const char *path, char p[2][LF_HTTP_PARAM_BYTES],
                         enum lf_err *rc)
{
    const struct lf_route *r = lf_route_find(table, sizeof table / sizeof *table, m, path, p, rc);
    return r ? r->path : NULL;
}

static void a_path_finds_its_route_and_gives_its_parts(void **state)
{
    (void)state;
    char p[2][LF_HTTP_PARAM_BYTES];
    enum lf_err rc;
    assert_string_equal(found(LF_HTTP_GET, "/", p, &rc), "/");
    assert_string_equal(found(LF_HTTP_GET, "/a", p, &rc), "/a");
    assert_string_equal(found(LF_HTTP_GET, "/a/viggo", p, &rc), "/a/{name}");
    assert_string_equal(p[0], "viggo");
    assert_string_equal(found(LF_HTTP_PUT, "/a/v/files/versions/3/x", p, &rc),
                        "/a/{name}/files/{path*}");
    assert_string_equal(p[0], "v");
    assert_string_equal(p[1], "versions/3/x");
    assert_null(found(LF_HTTP_GET, "/a/", p, &rc));
    assert_int_equal(rc, LF_E_NOT_FOUND);
    assert_null(found(LF_HTTP_GET, "/a/v/files/", p, &rc));
    assert_null(found(LF_HTTP_GET, "", p, &rc));
    assert_null(found(LF_HTTP_GET, "/b", p, &rc));
    assert_null(found(LF_HTTP_POST, "/a/v", p, &rc));
    assert_int_equal(rc, LF_E_UNSUPPORTED);
    char path[LF_HTTP_PARAM_BYTES + 16] = "/a/";
    memset(path + 3, 'x', LF_HTTP_PARAM_BYTES);
    assert_null(found(LF_HTTP_GET, path, p, &rc));
    assert_int_equal(rc, LF_E_NOT_FOUND);
}

static void ranges_are_cut_to_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint64_t bytes;
        enum lf_range kind;
        uint64_t first, n;
    } cases[] = {
        {NULL, 10, LF_RANGE_WHOLE, 0, 0},
        {"bytes=0-", 10, LF_RANGE_PART, 0, 10},
        {"bytes=3-5", 10, LF_RANGE_PART, 3, 3},
        {"bytes=3-99", 10, LF_RANGE_PART, 3, 7},
        {"bytes=9-9", 10, LF_RANGE_PART, 9, 1},
        {"bytes=-4", 10, LF_RANGE_PART, 6, 4},
        {"bytes=-40", 10, LF_RANGE_PART, 0, 10},
        {"bytes=0-18446744073709551615", 10, LF_RANGE_PART, 0, 10},
        {"bytes=0-99999999999999999999999", 10, LF_RANGE_PART, 0, 10},
        {"bytes=10-", 10, LF_RANGE_NONE, 0, 0},
        {"bytes=99999999999999999999999-", 10, LF_RANGE_NONE, 0, 0},
        {"bytes=-0", 10, LF_RANGE_NONE, 0, 0},
        {"bytes=0-", 0, LF_RANGE_NONE, 0, 0},
        {"bytes=-1", 0, LF_RANGE_NONE, 0, 0},
        {"bytes=5-3", 10, LF_RANGE_WHOLE, 0, 0},
        {"bytes=-", 10, LF_RANGE_WHOLE, 0, 0},
        {"bytes=", 10, LF_RANGE_WHOLE, 0, 0},
        {"bytes=0-1,3-4", 10, LF_RANGE_WHOLE, 0, 0},
        {"bytes=a-b", 10, LF_RANGE_WHOLE, 0, 0},
        {"bytes= 1-2", 10, LF_RANGE_WHOLE, 0, 0},
        {"lines=1-2", 10, LF_RANGE_WHOLE, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t first = 0, n = 0;
        assert_int_equal(lf_range_parse(cases[i].value, cases[i].bytes, &first, &n), cases[i].kind);
        if (cases[i].kind != LF_RANGE_PART)
            continue;
        assert_int_equal(first, cases[i].first);
        assert_int_equal(n, cases[i].n);
    }
}

static void a_tag_is_found_in_a_list(void **state)
{
    (void)state;
    char a[LF_FILE_TAG], b[LF_FILE_TAG], got[LF_FILE_TAG], value[4 * LF_FILE_TAG];
    lf_file_tag(a, &(struct stat){.st_ino = 1, .st_size = 2});
    lf_file_tag(b, &(struct stat){.st_ino = 1, .st_size = 2, .st_mtim.tv_nsec = 1});
    assert_string_not_equal(a, b);
    assert_false(lf_tag_listed(NULL, a));
    assert_true(lf_tag_listed("*", a));
    snprintf(value, sizeof value, "\"x\", \"%s\"", a);
    assert_true(lf_tag_listed(value, a));
    assert_false(lf_tag_listed(value, b));
    assert_false(lf_tag_only(value, got));
    snprintf(value, sizeof value, "\"%s\"", a);
    assert_true(lf_tag_only(value, got));
    assert_string_equal(got, a);
    value[3] = '"';
    assert_false(lf_tag_only(value, got));
    assert_false(lf_tag_only(a, got));
    assert_false(lf_tag_only("*", got));
    assert_false(lf_tag_only(NULL, got));
}

static void a_refused_file_is_422_and_else_400(void **state)
{
    (void)state;
    assert_int_equal(lf_http_status(LF_E_INVALID, false), 400);
    assert_int_equal(lf_http_status(LF_E_INVALID, true), 422);
    assert_int_equal(lf_http_status(LF_E_BASE_DIFFERS, true), 422);
    assert_int_equal(lf_http_status(LF_E_OVERLOADED, false), 429);
    assert_int_equal(lf_http_status(LF_E_DEVICE_LOST, false), 503);
    assert_int_equal(lf_http_status(LF_E_DENIED, false), 401);
    assert_int_equal(lf_http_status(LF_E_READ_ONLY, true), 403);
    assert_int_equal(lf_http_status(LF_E_BUSY, false), 409);
}

/* "/v1/adapters/{name}/files/{path*}" as the document has it, "{path}". */
static void document_path(char *out, size_t cap, const char *path)
{
    size_t n = 0;
    for (; *path && n + 1 < cap; path++)
        if (*path != '*')
            out[n++] = *path;
    out[n] = '\0';
}

static void the_document_lists_every_route_and_no_other(void **state)
{
    (void)state;
    static const char *const words[] = {"get", "post", "put", "delete"};
    struct lf_diag diag = {""};
    json_t *doc = NULL;
    assert_int_equal(lf_json_parse(&doc, (const char *)lf_openapi->bytes, lf_openapi->n, &diag),
                     LF_OK);
    const json_t *paths = json_object_get(doc, "paths");
    size_t listed = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)paths, key, value)
        listed += json_object_size(value);
    for (size_t i = 0; i < lf_routes_n; i++) {
        char path[128];
        document_path(path, sizeof path, lf_routes[i].path);
        const json_t *op =
            json_object_get(json_object_get(paths, path), words[lf_routes[i].method]);
        if (!op)
            fail_msg("%s %s is not in openapi.json", words[lf_routes[i].method], path);
        assert_string_equal(lf_json_text_of(op, "x-role"), lf_role_name(lf_routes[i].role));
        assert_int_equal(lf_routes[i].role == LF_ROLE_OPEN,
                         json_object_get(op, "security") != NULL);
    }
    assert_int_equal(listed, lf_routes_n);
    assert_in_range(lf_routes_n, 1, LF_COUNTER_ROUTES_MAX);
    json_decref(doc);
}

/* Wherever the document has a sampling parameter, its range is the table's: as a member of a body
 * or as a parameter of a query. Returns how many stand in v. */
static int ranges_in(const json_t *v, const struct lf_sampling_param *p)
{
    const char *key;
    json_t *value;
    const json_t *range = json_object_get(v, p->key);
    const char *name = json_string_value(json_object_get(v, "name"));
    int n = 0;
    if (name && strcmp(name, p->key) == 0)
        range = json_object_get(v, "schema");
    if (range) {
        n = 1;
        assert_true(json_number_value(json_object_get(range, "minimum")) == p->lo);
        assert_true(json_number_value(json_object_get(range, "maximum")) == p->hi);
    }
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
        n += ranges_in(value, p);
    for (size_t i = 0; i < json_array_size(v); i++)
        n += ranges_in(json_array_get(v, i), p);
    return n;
}

static void the_document_has_the_ranges_of_sampling_parameters(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    json_t *doc = NULL;
    assert_int_equal(lf_json_parse(&doc, (const char *)lf_openapi->bytes, lf_openapi->n, &diag),
                     LF_OK);
    for (const struct lf_sampling_param *p = lf_sampling_params; p->key; p++)
        assert_int_equal(ranges_in(doc, p), 3); /* OpenAI's, LoRAX', the mount's */
    json_decref(doc);
}

/* What lf_params_check says of a body; "": nothing. */
static const char *said_of(const char *body, const struct lf_params *list, struct lf_diag *diag)
{
    json_t *j = NULL;
    *diag = (struct lf_diag){""};
    assert_int_equal(lf_json_parse(&j, body, strlen(body), diag), LF_OK);
    enum lf_err rc = lf_params_check(j, list, diag);
    assert_int_equal(rc != LF_OK, diag->text[0] != '\0');
    json_decref(j);
    return diag->text;
}

static void parameters_that_are_not_done_are_refused_by_name(void **state)
{
    (void)state;
    struct lf_diag diag;
    static const char *const refused[] = {
        "{\"allowed_token_ids\": [5]}", "{\"guided_whitespace_pattern\": \" ?\"}",
        "{\"min_tokens\": 3}",          "{\"skip_special_tokens\": false}",
        "{\"bad_words\": [\"x\"]}",     "{\"length_penalty\": 1.5}",
        "{\"adapter_id\": \"mine\"}",   "{\"prompt_logprobs\": 0}",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_non_null(strstr(said_of(refused[i], &lf_params_completion, &diag), "not done here"));
    assert_string_equal(said_of("{\"function_call\": \"add\"}", &lf_params_chat, &diag),
                        "\"function_call\" other than \"none\" \"auto\" is not done here");
    assert_string_equal(said_of("{\"continue_final_message\": true}", &lf_params_chat, &diag),
                        "\"continue_final_message\" other than false is not done here");
    assert_string_equal(said_of("{\"truncate\": 5}", &lf_params_lorax, &diag),
                        "\"truncate\" is not done here");
    assert_string_equal(said_of("{\"temprature\": 1}", &lf_params_lorax, &diag),
                        "unknown parameter \"temprature\"; did you mean \"temperature\"?");
    assert_string_equal(said_of("{\"max_token\": 1}", &lf_params_chat, &diag),
                        "unknown parameter \"max_token\"; did you mean \"max_tokens\"?");
    assert_string_equal(said_of("{\"qqqqqqqq\": 1}", &lf_params_chat, &diag),
                        "unknown parameter \"qqqqqqqq\"");
}

static void parameters_that_change_nothing_pass(void **state)
{
    (void)state;
    struct lf_diag diag;
    assert_string_equal(
        said_of(
            "{\"prompt\": \"x\", \"user\": \"me\", \"metadata\": {\"a\": \"b\"}, \"guided_json\": "
            "null, \"stop_token_ids\": [], \"logit_bias\": {}, \"suffix\": \"\", \"top_k\": 3, "
            "\"seed\": 1, \"typical_p\": 1.0, \"priority\": 0, \"never_heard_of\": null}",
            &lf_params_completion, &diag),
        "");
    assert_string_equal(said_of("{\"tools\": [], \"tool_choice\": \"auto\", \"modalities\": "
                                "[\"text\"], \"response_format\": {\"type\": \"text\"}}",
                                &lf_params_chat, &diag),
                        "");
    assert_string_equal(said_of("{\"watermark\": false, \"best_of\": 1, \"grammar\": null}",
                                &lf_params_lorax, &diag),
                        "");
}

static void counters_print_as_prometheus_reads_them(void **state)
{
    (void)state;
    struct lf_counters *c = malloc(sizeof *c);
    struct lf_buf b;
    lf_counters_init(c);
    lf_buf_init(&b, 0);
    lf_counters_request(c, 1, 200);
    lf_counters_request(c, 1, 200);
    lf_counters_request(c, lf_routes_n, 404);
    lf_counters_request(c, 1, 777); /* none of ours */
    lf_histogram_add(&c->queue_seconds, 0.003);
    lf_histogram_add(&c->queue_seconds, 1000);
    assert_int_equal(lf_counters_print(c, lf_routes, lf_routes_n, &b), LF_OK);
    char line[128];
    snprintf(line, sizeof line, "{method=\"GET\",route=\"%s\",code=\"200\"} 2\n",
             lf_routes[1].path);
    assert_non_null(strstr(b.data, line));
    assert_non_null(strstr(b.data, "{method=\"\",route=\"\",code=\"404\"} 1\n"));
    assert_non_null(strstr(b.data, "lorafs_queue_seconds_bucket{le=\"0.0025\"} 0\n"));
    assert_non_null(strstr(b.data, "lorafs_queue_seconds_bucket{le=\"0.005\"} 1\n"));
    assert_non_null(strstr(b.data, "lorafs_queue_seconds_bucket{le=\"+Inf\"} 2\n"));
    assert_non_null(strstr(b.data, "lorafs_queue_seconds_sum 1000.003"));
    lf_buf_free(&b);
    free(c);
}

static void only_names_of_this_machine_are_answered_without_a_key(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool ok;
    } cases[] = {
        {"localhost", true},
        {"localhost:8080", true},
        {"LOCALHOST", true},
        {"a.localhost:1", true},
        {"127.0.0.1:8080", true},
        {"10.1.2.3", true},
        {"[::1]:8080", true},
        {"[fe80::1]", true},
        {"", false},
        {"evil.example", false},
        {"evil.example:80", false},
        {"localhost.evil.example", false},
        {"127.0.0.1.evil.example", false},
        {"127.0.0.1:80:80", false},
        {"localhost:8x", false},
        {":8080", false},
        {"[::1", false},
        {"[evil.example]", false},
        {"localhost@evil.example", false},
        {"gpubox:8080", true},
        {"gpu box", false},
        {"1.2.3", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lf_http_host_ok(cases[i].host) != cases[i].ok)
            fail_msg("%s", cases[i].host);
    char own[256] = "";
    assert_int_equal(gethostname(own, sizeof own - 1), 0);
    assert_true(lf_http_host_ok(own));
}

static void only_pages_of_this_machine_or_the_daemons_own_may_ask(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *host;
        bool ok;
    } cases[] = {
        {"http://localhost:3000", "localhost:8080", true},
        {"https://127.0.0.1", NULL, true},
        {"http://[::1]:5173", "10.1.2.3:8080", true},
        {"http://10.1.2.3:8080", "10.1.2.3:8080", true}, /* served by the daemon itself */
        {"http://10.1.2.3:8081", "10.1.2.3:8080", false},
        {"http://10.1.2.3", NULL, false},
        {"http://evil.example", "localhost:8080", false},
        {"http://localhost.evil.example", "localhost:8080", false},
        {"null", "localhost:8080", false}, /* a sandboxed frame, a file */
        {"", "localhost:8080", false},
        {"file://localhost", "localhost:8080", false},
        {"http://localhost/x", "localhost:8080", false},
        {"http://", "localhost:8080", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lf_http_origin_ok(cases[i].origin, cases[i].host, NULL) != cases[i].ok)
            fail_msg("%s to %s", cases[i].origin, cases[i].host ? cases[i].host : "no host");
    assert_true(lf_http_origin_ok("https://b.example", "x", "https://a.example,https://b.example"));
    assert_true(lf_http_origin_ok("null", "x", "*"));
    assert_false(lf_http_origin_ok("http://b.example", "x", "https://a.example,https://b.example"));
    assert_false(lf_http_origin_ok("https://b.exampl", "x", "https://b.example"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_names_of_this_machine_are_answered_without_a_key),
        cmocka_unit_test(only_pages_of_this_machine_or_the_daemons_own_may_ask),
        cmocka_unit_test(a_path_finds_its_route_and_gives_its_parts),
        cmocka_unit_test(ranges_are_cut_to_the_file),
        cmocka_unit_test(a_tag_is_found_in_a_list),
        cmocka_unit_test(a_refused_file_is_422_and_else_400),
        cmocka_unit_test(the_document_lists_every_route_and_no_other),
        cmocka_unit_test(the_document_has_the_ranges_of_sampling_parameters),
        cmocka_unit_test(parameters_that_are_not_done_are_refused_by_name),
        cmocka_unit_test(parameters_that_change_nothing_pass),
        cmocka_unit_test(counters_print_as_prometheus_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
