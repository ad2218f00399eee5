/* What is printed arrives, or the exit status says that it did not. */
#include "tools/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void lf_streams_open(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0) /* open gives the lowest that is free: this one */
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int lf_streams_close(const char *program, int status)
{
    errno = 0;
    bool lost = ferror(stdout) != 0;
    if (fflush(stdout) == 0 && !lost)
        return status;
    if (status == 0)
        fprintf(stderr, "%s: stdout: %s\n", program,
                errno ? strerror(errno) : "not all of it could be written");
    return status ? status : 1;
}
