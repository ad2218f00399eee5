/* LIBS: lf_daemon lf_core */
/* Shares of connections, and how long a client may keep one waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/clock.h"
#include "daemon/http/connections.h"
#include "daemon/limits.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static void both_sockets_fit_into_the_descriptors(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 100000; n = n * 2 + 7) {
        struct lf_connection_share s = lf_connection_share_of(n);
        uint64_t each = (uint64_t)s.answered + (uint64_t)s.turned_away;
        assert_true(each * 4 <= n);
        assert_in_range(s.answered, n >= 64 ? LF_CONNECTIONS_MIN : 0, LF_CONNECTIONS_MAX);
        assert_in_range(s.turned_away, 0, LF_CONNECTIONS_OVER_MAX);
    }
    assert_int_equal(lf_connection_share_of(65536).answered, LF_CONNECTIONS_MAX);
}

static void a_socket_over_its_share_takes_nothing_of_the_other(void **state)
{
    (void)state;
    struct lf_connections *s = NULL;
    struct lf_connections_status status;
    struct lf_diag diag = {""};
    static struct lf_connection *tcp[LF_CONNECTIONS_MAX + 1];
    assert_int_equal(lf_connections_new(&s, &diag), LF_OK);
    int share = lf_connections_share(s).answered;
    for (int i = 0; i <= share; i++) {
        tcp[i] = lf_connection_new(s, LF_LISTENER_TCP, -1);
        assert_int_equal(lf_connection_is_over(tcp[i]), i == share);
    }
    struct lf_connection *mount = lf_connection_new(s, LF_LISTENER_UNIX, -1);
    assert_false(lf_connection_is_over(mount));
    lf_connections_status(s, &status);
    assert_int_equal(status.open[LF_LISTENER_TCP], share + 1);
    assert_int_equal(status.open[LF_LISTENER_UNIX], 1);
    assert_int_equal(status.turned_away, 1);
    assert_true(status.descriptors > 2);
    for (int i = 0; i <= share; i++)
        lf_connection_free(tcp[i]);
    lf_connection_free(mount);
    lf_connections_free(s);
}

static void patience_ends_but_for_what_we_do_ourselves(void **state)
{
    (void)state;
    const uint64_t s = LF_NS_PER_S;
    assert_int_equal(lf_connection_patience_ns(LF_CONNECTION_HEAD, 0, true, false), 10 * s);
    assert_int_equal(lf_connection_patience_ns(LF_CONNECTION_HEAD, 1 << 20, false, false), 60 * s);
    assert_int_equal(lf_connection_patience_ns(LF_CONNECTION_HEAD, 0, true, true), 2 * s);
    assert_int_equal(lf_connection_patience_ns(LF_CONNECTION_HEAD, 0, false, true), 12 * s);
    assert_int_equal(lf_connection_patience_ns(LF_CONNECTION_BODY, 5000, false, false), 65 * s);
    assert_int_equal(lf_connection_patience_ns(LF_CONNECTION_SENDS, 1000, false, false), 601 * s);
    assert_true(lf_connection_patience_ns(LF_CONNECTION_RUNS, 0, true, false) == UINT64_MAX);
}

static void one_that_keeps_waiting_is_closed(void **state)
{
    (void)state;
    int pair[2];
    struct lf_connections *s = NULL;
    struct lf_connections_status status;
    struct lf_diag diag = {""};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(lf_connections_new(&s, &diag), LF_OK);
    assert_int_equal(lf_connections_start(s, &diag), LF_OK);
    int share = lf_connections_share(s).answered;
    static struct lf_connection *all[LF_CONNECTIONS_MAX + 1];
    for (int i = 0; i < share; i++) {
        all[i] = lf_connection_new(s, LF_LISTENER_TCP, -1);
        lf_connection_enter(all[i], LF_CONNECTION_RUNS);
    }
    struct lf_connection *over = lf_connection_new(s, LF_LISTENER_TCP, pair[0]);
    struct pollfd p = {pair[1], POLLIN, 0};
    assert_int_equal(poll(&p, 1, 60000), 1);
    assert_true(p.revents & POLLHUP);
    lf_connections_status(s, &status);
    assert_int_equal(status.late, 1);
    for (int i = 0; i < share; i++)
        lf_connection_free(all[i]);
    lf_connection_free(over);
    lf_connections_free(s);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sockets_fit_into_the_descriptors),
        cmocka_unit_test(a_socket_over_its_share_takes_nothing_of_the_other),
        cmocka_unit_test(patience_ends_but_for_what_we_do_ourselves),
        cmocka_unit_test(one_that_keeps_waiting_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
