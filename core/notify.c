/* Datagrams to a supervisor. */
#include "core/notify.h"

#include "core/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A path, or "@NAME" of the abstract namespace. 0: it is neither. */
static socklen_t address(struct sockaddr_un *to, const char *name)
{
    size_t n = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof to->sun_path)
        return 0;
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(to->sun_path, name, n);
    if (name[0] == '@')
        to->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

void lf_notify(const char *state)
{
    struct sockaddr_un to;
    const char *name = getenv("NOTIFY_SOCKET");
    if (!name)
        return;
    socklen_t n = address(&to, name);
    int fd = n ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    if (!n)
        lf_log(LF_LOG_WARN, "notify", "NOTIFY_SOCKET is no address: %s", name);
    else if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (void *)&to, n) < 0)
        lf_log(LF_LOG_WARN, "notify", "%s: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
}
