/* LIBS: lf_client lf_core */
/* The client and a daemon that is cut off: what waits, what is made again, from where, and what is
 * not. The daemon is a thread that answers one request a connection, as it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/http.h"
#include "core/buf.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWERS_MAX 8
#define HEALTHY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"

struct far_daemon {
    int listener;
    int port;
    pthread_t thread;
    pthread_mutex_t lock;
    const char *answer[ANSWERS_MAX]; /* to what is not /health; "": the connection is closed */
    int n_answers, n_asked;
    char asked[ANSWERS_MAX][2048];
};

static void answer_one(struct far_daemon *d, int fd)
{
    char head[2048] = "";
    size_t n = 0;
    while (n < sizeof head - 1 && !strstr(head, "\r\n\r\n")) {
        ssize_t k = recv(fd, head + n, sizeof head - 1 - n, 0);
        if (k <= 0)
            return;
        n += (size_t)k;
        head[n] = '\0';
    }
    const char *text = HEALTHY;
    pthread_mutex_lock(&d->lock);
    if (strncmp(head, "GET /health ", 12) != 0) {
        int i = d->n_asked < ANSWERS_MAX ? d->n_asked++ : ANSWERS_MAX - 1;
        snprintf(d->asked[i], sizeof d->asked[i], "%s", head);
        text = i < d->n_answers ? d->answer[i] : "";
    }
    pthread_mutex_unlock(&d->lock);
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void *live(void *arg)
{
    struct far_daemon *d = arg;
    for (;;) {
        int fd = accept(d->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        answer_one(d, fd);
        close(fd);
    }
}

/* port 0: any. */
static void far_start(struct far_daemon *d, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int yes = 1;
    d->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(d->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    assert_int_equal(bind(d->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(d->listener, 16), 0);
    assert_int_equal(getsockname(d->listener, (struct sockaddr *)&a, &n), 0);
    d->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&d->thread, NULL, live, d), 0);
}

static void far_stop(struct far_daemon *d)
{
    shutdown(d->listener, SHUT_RDWR);
    pthread_join(d->thread, NULL);
    close(d->listener);
}

struct asking {
    struct far_daemon far;
    struct lf_client *client;
    struct lf_buf got;
    bool done, lost;
    enum lf_err rc;
};

static int setup(void **state)
{
    struct asking *a = calloc(1, sizeof *a);
    char target[64];
    struct lf_diag diag;
    assert_non_null(a);
    pthread_mutex_init(&a->far.lock, NULL);
    far_start(&a->far, 0);
    snprintf(target, sizeof target, "http://127.0.0.1:%d", a->far.port);
    assert_int_equal(lf_client_new(&a->client, target, NULL, NULL, &diag), LF_OK);
    lf_client_patience(a->client, 60, 60);
    *state = a;
    return 0;
}

static int teardown(void **state)
{
    struct asking *a = *state;
    far_stop(&a->far);
    lf_client_free(a->client);
    lf_buf_free(&a->got);
    pthread_mutex_destroy(&a->far.lock);
    free(a);
    return 0;
}

static enum lf_client_flow take(void *arg, const void *data, size_t n)
{
    struct asking *a = arg;
    return lf_buf_append(&a->got, data, n) == LF_OK ? LF_CLIENT_TAKEN : LF_CLIENT_ABORT;
}

static void done(void *arg, const struct lf_client_result *r)
{
    struct asking *a = arg;
    a->done = true;
    a->rc = r->rc;
    a->lost = r->lost;
    if (r->body_bytes > 0)
        assert_int_equal(lf_buf_append(&a->got, r->body, r->body_bytes), LF_OK);
}

static void run(struct asking *a)
{
    while (!a->done) {
        struct pollfd fd = {lf_client_fd(a->client), POLLIN, 0};
        poll(&fd, 1, lf_client_timeout_ms(a->client));
        lf_client_run(a->client);
    }
}

static enum lf_err start(struct asking *a, struct lf_client_spec spec)
{
    struct lf_client_call *c;
    struct lf_diag diag;
    spec.path = "/x";
    spec.reply_max = 4096;
    spec.on_done = done;
    spec.arg = a;
    a->done = false;
    return lf_client_start(&c, a->client, &spec, &diag);
}

static void ask(struct asking *a, struct lf_client_spec spec)
{
    assert_int_equal(start(a, spec), LF_OK);
    run(a);
}

static void answers(struct asking *a, const char *const *text, int n)
{
    memcpy(a->far.answer, text, (size_t)n * sizeof *text);
    a->far.n_answers = n;
}

static void what_was_cut_goes_on_where_it_broke_off(void **state)
{
    struct asking *a = *state;
    static const char *const text[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"one\"\r\n\r\n01234",
        "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nETag: \"one\"\r\n"
        "Content-Range: bytes 5-9/10\r\nConnection: close\r\n\r\n56789"};
    answers(a, text, 2);
    ask(a, (struct lf_client_spec){.method = "GET", .waits = true, .on_data = take});
    assert_int_equal(a->rc, LF_OK);
    assert_string_equal(lf_buf_str(&a->got), "0123456789");
    assert_non_null(strstr(a->far.asked[1], "\r\nRange: bytes=5-\r\n"));
    assert_non_null(strstr(a->far.asked[1], "\r\nIf-Match: \"one\"\r\n"));
    assert_false(lf_client_is_gone(a->client));
}

static void other_bytes_are_not_put_behind_them(void **state)
{
    struct asking *a = *state;
    static const char *const text[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"one\"\r\n\r\n01234",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabcdefghij",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234"};
    answers(a, text, 3);
    ask(a, (struct lf_client_spec){.method = "GET", .waits = true, .on_data = take});
    assert_int_equal(a->rc, LF_E_IO); /* the range was passed over */
    assert_string_equal(lf_buf_str(&a->got), "01234");
    ask(a, (struct lf_client_spec){.method = "GET", .waits = true, .on_data = take});
    assert_int_equal(a->rc, LF_E_IO); /* without a tag nobody knows what follows */
    assert_int_equal(a->far.n_asked, 3);
}

static void a_gateway_without_a_daemon_is_no_answer(void **state)
{
    struct asking *a = *state;
    static const char *const text[] = {
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhere",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 46\r\nConnection: close\r\n\r\n"
        "{\"error\":{\"code\":\"overloaded\",\"message\":\"no\"}}\n"};
    answers(a, text, 4);
    ask(a, (struct lf_client_spec){.method = "PUT", .body = "x", .body_bytes = 1, .waits = true});
    assert_int_equal(a->rc, LF_OK);
    assert_string_equal(lf_buf_str(&a->got), "here");
    ask(a, (struct lf_client_spec){.method = "PUT", .body = "x", .body_bytes = 1, .waits = true});
    assert_int_equal(a->rc, LF_E_OVERLOADED); /* a daemon's word is one */
    assert_false(a->lost);
    assert_int_equal(a->far.n_asked, 4);
}

static void what_may_have_been_done_is_not_done_again(void **state)
{
    struct asking *a = *state;
    static const char *const text[] = {"", ""};
    answers(a, text, 2);
    ask(a, (struct lf_client_spec){.method = "POST", .body = "x", .body_bytes = 1, .waits = true});
    assert_int_equal(a->rc, LF_E_IO);
    assert_true(a->lost);
    ask(a, (struct lf_client_spec){
               .method = "PUT", .body = "x", .body_bytes = 1, .waits = true, .once = true});
    assert_int_equal(a->rc, LF_E_IO);
    assert_int_equal(a->far.n_asked, 2);
}

static void who_waits_goes_on_when_it_is_back_and_who_does_not_fails_at_once(void **state)
{
    struct asking *a = *state;
    static const char *const text[] = {
        "HTTP/1.1 201 Created\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmade"};
    answers(a, text, 1);
    int port = a->far.port;
    far_stop(&a->far);
    ask(a, (struct lf_client_spec){.method = "GET"});
    assert_int_equal(a->rc, LF_E_UNREACHABLE);
    assert_true(lf_client_is_gone(a->client));
    assert_int_equal(start(a, (struct lf_client_spec){.method = "GET"}), LF_E_UNREACHABLE);
    assert_int_equal(start(a, (struct lf_client_spec){.method = "POST", .waits = true}), LF_OK);
    far_start(&a->far, port);
    run(a); /* it was not sent before */
    assert_int_equal(a->rc, LF_OK);
    assert_string_equal(lf_buf_str(&a->got), "made");
    assert_int_equal(a->far.n_asked, 1);
}

static void it_waits_no_longer_than_it_may(void **state)
{
    struct asking *a = *state;
    lf_client_patience(a->client, 60, 1);
    int port = a->far.port;
    far_stop(&a->far);
    ask(a, (struct lf_client_spec){.method = "GET", .waits = true});
    assert_int_equal(a->rc, LF_E_UNREACHABLE);
    assert_true(a->lost);
    far_start(&a->far, port);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_cut_goes_on_where_it_broke_off),
        TEST(other_bytes_are_not_put_behind_them),
        TEST(a_gateway_without_a_daemon_is_no_answer),
        TEST(what_may_have_been_done_is_not_done_again),
        TEST(who_waits_goes_on_when_it_is_back_and_who_does_not_fails_at_once),
        TEST(it_waits_no_longer_than_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
