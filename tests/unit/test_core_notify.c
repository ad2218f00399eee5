/* LIBS: lf_core */
/* What a supervisor hears. */
#include "core/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* A supervisor's socket at `name`, which NOTIFY_SOCKET names. */
static int listen_at(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(at.sun_path, name, n);
    if (name[0] == '@')
        at.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (void *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static void heard(const char *name)
{
    char text[64] = "";
    int fd = listen_at(name);
    lf_notify("READY=1\nSTATUS=serving");
    assert_int_equal(recv(fd, text, sizeof text - 1, 0), 22);
    assert_string_equal(text, "READY=1\nSTATUS=serving");
    close(fd);
}

static void test_a_supervisor_hears(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "@lorafs-notify-%d", (int)getpid());
    heard(name);
    char dir[] = "/tmp/lorafs-notify-XXXXXX";
    assert_non_null(mkdtemp(dir));
    snprintf(name, sizeof name, "%s/socket", dir);
    heard(name);
    unlink(name);
    rmdir(dir);
}

/* None, one that is gone, a name that is none: the service goes on. */
static void test_nobody_hears(void **state)
{
    (void)state;
    char longer[256];
    memset(longer, 'x', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    const char *names[] = {"/nonexistent/socket", "", "@", "relative", longer};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        lf_notify("READY=1");
    }
    unsetenv("NOTIFY_SOCKET");
    lf_notify("READY=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_supervisor_hears),
        cmocka_unit_test(test_nobody_hears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
